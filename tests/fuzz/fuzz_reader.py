"""Coverage-guided fuzzing of the trace reader, with atheris.

    python -m tests.fuzz.fuzz_reader -max_total_time=600 [folder of inputs that were interesting]

Any flag of libFuzzer goes. Whatever comes in, the reader gives a trace or a `TraceError`; what strict JSON says
about sound events is what the trace says. An input that breaks this is left in the folder, as `crash-...`.
"""

import gzip
import io
import json
import math
import re
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["maskprof.traces"]):
    from maskprof.errors import TraceError
    from maskprof.traces import decode, inflate
    from maskprof.traces.columns import Trace
    from maskprof.traces.reader import read_trace

from tests.support.traces import TraceBuilder, event_rows

_LONGEST_US = Decimal(2**53)
_PIECES = (1 << 20, 1000, 150, 17)


def check(data: bytes) -> None:
    """The first byte says how the text is cut into pieces, and whether it is packed; the rest is the file."""
    if not data:
        return
    how, content = data[0], data[1:]
    decode._PIECE_BYTES = _PIECES[how & 3]
    inflate._CHUNK_BYTES = _PIECES[how >> 2 & 3]
    inflate._READ_BYTES = max(2, _PIECES[how >> 2 & 3] // 2)
    if how & 16:
        content = gzip.compress(content, 1)
    expected = None if how & 16 else _sound_rows(content)
    trace, refusal = _read(content)
    if trace is None:
        assert "\n" not in refusal, "an error is one sentence"
        assert not expected, f"{len(expected or ())} sound events were refused: {refusal}"
        return
    events = trace.events
    assert len(events) == trace.account.events
    tables = {"name": trace.names, "category": trace.categories, "pid": trace.pids, "tid": trace.tids}
    for column in events.__slots__:
        assert len(getattr(events, column)) == len(events)
    for column, table in tables.items():
        codes = getattr(events, column)
        assert not len(events) or (codes.min() >= 0 and codes.max() < len(table))
    assert not len(events) or (events.inputs.min() >= -1 and events.inputs.max() < len(trace.inputs))
    assert all(isinstance(name, str) for name in trace.names)
    if expected is not None:
        assert [(row[1], *row[4:]) for row in event_rows(trace)] == expected


def _read(content: bytes) -> tuple[Trace | None, str]:
    try:
        return read_trace(io.BytesIO(content), python=True, max_text_bytes=1 << 24), ""
    except TraceError as error:
        return None, str(error)


def _sound_rows(content: bytes) -> list[tuple[str, int, int]] | None:
    """Name, start and duration of each complete event, if the file is sound and plain; else None."""
    try:
        value = json.loads(
            content.decode(), parse_float=Decimal, parse_constant=_refused, object_pairs_hook=_unique
        )
    except (ValueError, RecursionError, ArithmeticError):
        return None
    events = value.get("traceEvents") if isinstance(value, dict) else value
    if not isinstance(events, list) or not all(
        isinstance(event, dict) and _is_plain(event) for event in events
    ):
        return None
    complete = [event for event in events if event["ph"] == "X"]
    if any(not _is_time(t) for event in complete for t in (event.get("ts"), event.get("dur", 0))):
        return None
    rows = [(event.get("name", ""), _ns(event["ts"]), max(0, _ns(event.get("dur", 0)))) for event in complete]
    return rows if rows or isinstance(value, dict) else None


def _is_plain(event: dict[str, object]) -> bool:
    texts = [event.get(key, "") for key in ("name", "cat")]
    ids = [event.get(key, 0) for key in ("pid", "tid")]
    ph = event.get("ph")
    return (
        isinstance(ph, str)
        and ph not in ("", "B", "E")
        and all(isinstance(text, str) and not re.search("[\ud800-\udfff]", text) for text in texts)
        and all(isinstance(one, str | int) and not isinstance(one, bool) for one in ids)
        and isinstance(event.get("args", {}), dict)
    )


def _is_time(value: object) -> bool:
    return type(value) in (int, Decimal) and Decimal(value).copy_abs() < _LONGEST_US


def _ns(microseconds: int | Decimal) -> int:
    return int((Decimal(microseconds) * 1000).to_integral_value())


def _refused(constant: str) -> float:
    raise ValueError(constant)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    if any(isinstance(v, int) and not isinstance(v, bool) and abs(v) >= 2**63 for v in found.values()):
        raise ValueError("a number of more than 64 bits")
    if any(isinstance(v, Decimal) and not math.isfinite(float(v)) for v in found.values()):
        raise ValueError("a number beyond those of 64 bits")
    return found


def _seeds() -> list[bytes]:
    shapes = {"Input Dims": [[2, 3], []], "Input type": ["float", ""], "Concrete Inputs": ["", "1"]}
    builder = TraceBuilder(baseTimeNanoseconds=17 * 10**17, distributedInfo={"rank": 1, "world_size": 2})
    builder.annotation("block.00.active", "10.125", 90).op("aten::mm", "10.25", "2.5", **shapes)
    builder.op("flash_attention", 12, 1, **shapes).launch(13, 42).kernel(
        "gemm<float, 1>", "20.001", "0.999", 42
    )
    builder.memset(21, 1, 43).event("ac2g", "ac2g", 13, 0, ph="s", id=42).event("", "", 1, 0, ph="M")
    builder.event("python_function", "nn.Module: Linear_0", 14, 1).event(
        "cpu_op", 'b"\\\u00e9', 15, 0, ph="B"
    )
    builder.event("", "", 16, 0, ph="E").event("Kernel", "old", "1661203462598738", 3, stream="0x0")
    plain = TraceBuilder().op("a", "1700000000000000.123", 1).op("b", 2, 1)
    texts = [
        builder.text(),
        builder.text(indent=2),
        builder.text(bare=True),
        plain.text(),
        TraceBuilder().text(),
    ]
    contents = [text.encode() for text in texts]
    damaged = [
        contents[0].replace(b'"aten::mm"', b'"aten"mm"'),
        contents[0].replace(b"90", b"NaN"),
        contents[0][:-200],
        contents[0] + contents[3],
        contents[0].replace(b"{", b"null, {", 3),
        b"\xef\xbb\xbf" + contents[3],
        texts[3].encode("utf-16"),
    ]
    packed = [gzip.compress(content) for content in contents[:2]]
    packed += [packed[0] + packed[1], packed[0][:-20], packed[0][:150] + b"\xff" + packed[0][151:]]
    everything = [*contents, *damaged, *packed]
    return [bytes([how]) + content for content in everything for how in (0, 5, 10, 15)]


def _dictionary() -> str:
    words = [
        "traceEvents",
        "ph",
        "X",
        "B",
        "E",
        "ts",
        "dur",
        "name",
        "cat",
        "args",
        "pid",
        "tid",
        "Input Dims",
    ]
    words += [
        "correlation",
        "External id",
        "stream",
        "python_function",
        "distributedInfo",
        "rank",
        "schemaVersion",
    ]
    marks = ["},{", "}]", "[{", "null,", "NaN", "\\\\u", "1e999", ".5", "-", '\\"', ":[", "]}"]
    return "\n".join([f'"\\"{word}\\":"' for word in words] + [f'"{mark}"' for mark in marks])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        seeds = Path(folder, "seeds")
        seeds.mkdir()
        for number, seed in enumerate(_seeds()):
            check(seed)
            (seeds / f"{number:03d}").write_bytes(seed)
        words = Path(folder, "words.txt")
        words.write_text(_dictionary())
        flags = [flag for flag in sys.argv[1:] if flag.startswith("-")]
        folders = [word for word in sys.argv[1:] if not word.startswith("-")]
        given = ["-max_len=8192", "-rss_limit_mb=1024", "-timeout=20", f"-dict={words}", *flags]
        atheris.Setup([sys.argv[0], *given, *folders, str(seeds)], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
