"""What every trace of ours must be, whoever opens it: valid JSON, nothing lost, ranges nested, names unharmed."""

import gzip
import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NoReturn

import pytest

from maskprof.traces.reader import read_trace

# What torch's exporter writes as it is; see maskprof.ranges.
_SAFE_NAME = re.compile(r"[A-Za-z0-9._]+")
_OUR_NAMES = ("phase.", "block.", "instrument.")
# Times have three digits after the point; a sum of two may be off by one in the last.
_TOLERANCE_US = 0.002


def check_trace(path: Path, *, stacks: bool = False) -> list[dict[str, Any]]:
    """Assert that a trace is sound, and give its events.

    With `stacks` our ranges overlap in part with the Python calls that open and close them, which torch records.
    """
    document = strict_json(gzip.decompress(path.read_bytes()))
    events = document["traceEvents"]
    kinds = Counter(event["ph"] for event in events)
    assert kinds.keys() <= {"X", "M", "C", "i", "s", "f"}, "kinds of events that viewers know"
    account = read_trace(path, python=True).account
    assert (account.events, account.lost, account.unpaired, account.truncated) == (kinds["X"], 0, 0, False)
    assert account.events + account.other == len(events)
    for event in events:
        assert isinstance(event["ts"], (int, float))
        assert event["ph"] != "X" or event["dur"] >= 0
        if event["name"].startswith(_OUR_NAMES):
            assert _SAFE_NAME.fullmatch(event["name"])
    if not stacks:
        assert overlaps(events) == []
    found, expected = counter_track(events), phases_as_counts(events, document["maskprof"])
    assert [blocks for _, blocks in found] == [blocks for _, blocks in expected]
    assert [at for at, _ in found] == pytest.approx([at for at, _ in expected], rel=0, abs=_TOLERANCE_US)
    return events


def strict_json(text: bytes) -> Any:
    """As browsers read it: NaN and Infinity, which Python's reader takes, are no JSON."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def overlaps(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Pairs of events on one thread of which neither lies in the other, nor beside it."""
    threads: dict[tuple[Any, Any], list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            threads[event["pid"], event["tid"]].append(event)
    found = []
    for rows in threads.values():
        open_: list[tuple[float, str]] = []
        for event in sorted(rows, key=lambda event: (event["ts"], -event["dur"])):
            start, end = event["ts"], event["ts"] + event["dur"]
            while open_ and open_[-1][0] <= start + _TOLERANCE_US:
                open_.pop()
            if open_ and end > open_[-1][0] + _TOLERANCE_US:
                found.append((open_[-1][1], event["name"]))
            else:
                open_.append((end, event["name"]))
    return found


def counter_track(events: list[dict[str, Any]]) -> list[tuple[float, int]]:
    """The points of the counter of active blocks, in time."""
    points = [e for e in events if e["ph"] == "C" and e["name"] == "active blocks"]
    return sorted((point["ts"], point["args"]["blocks"]) for point in points)


def phases_as_counts(events: list[dict[str, Any]], metadata: dict[str, Any]) -> list[tuple[float, int]]:
    """What that counter must be: all active blocks while a forward runs, none between."""
    active = metadata["mask"].count("1")
    forwards = [e for e in events if e["ph"] == "X" and e["name"] in ("phase.prefill", "phase.decode")]
    edges = [(e["ts"], active) for e in forwards] + [(e["ts"] + e["dur"], 0) for e in forwards]
    return sorted(edges)
