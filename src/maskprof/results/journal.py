"""The journal: every sample is written down when it is measured, so that nothing is lost by an interruption.

JSON lines: a header with the fingerprint of the run, then one line per sample, failure or finished trace, and per
sitting one when it begins, one when it has warmed up, and one for each look at the machine. A crash can cut off only
the last line; readers drop it, and going on first removes it from the file.

Each line is handed to the system at once, so that whatever ends the process loses none. What a power cut may
take is bounded by time: the disk is waited for about once a second, between two samples.
"""

import io
import itertools
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from maskprof.errors import ConfigError, ResultError
from maskprof.results.circumstances import MachineState, Sitting, Warmup
from maskprof.results.jsonvalues import number, to_text, typed, whole
from maskprof.results.schema import SCHEMA_VERSION, Failure, Sample
from maskprof.results.serialize import check_version, failure_entry, failure_from
from maskprof.results.serialize_circumstances import sitting_entry, sitting_from, state_from, warmup_from
from maskprof.results.store import write_whole

_TIMES = ("started_s", "vision_ms", "projector_ms", "prefill_ms", "decode_ms", "total_ms")
_COUNTS = ("sample_id", "round", "num_input_text_tokens", "num_vision_tokens", "num_output_tokens")
_SYNC_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalContents:
    """What a journal holds.

    Attributes:
        fingerprint: what must not change when the run is resumed; None where not even the header is whole.
        samples: in the order of measuring, each (configuration, sample_id, reference) once.
        failures: in the order of happening.
        traces: the file of each configuration whose trace is finished, within the configuration's folder.
        sittings: each with all that was written of it before it ended, however it ended.
        whole_bytes: length of the file up to the end of its last whole line.
    """

    fingerprint: dict[str, Any] | None
    samples: tuple[Sample, ...] = ()
    failures: tuple[Failure, ...] = ()
    traces: Mapping[str, str] = field(default_factory=dict)
    sittings: tuple[Sitting, ...] = ()
    whole_bytes: int = 0


class Journal:
    """An open journal that lines are appended to; a context manager."""

    def __init__(self, path: Path, file: io.FileIO, contents: JournalContents) -> None:
        self._path, self._file = path, file
        self._known = {_identity(sample) for sample in contents.samples}
        self._end = contents.whole_bytes
        self._synced_s = time.monotonic()
        self.contents = contents

    @classmethod
    def create(cls, path: Path, fingerprint: Mapping[str, Any]) -> Self:
        """Start a journal; one that is there is kept as `journal.old.jsonl`, `journal.old2.jsonl`, ...

        Args:
            path: the journal's file.
            fingerprint: plain values that must not change when the run is resumed, nested dicts allowed.

        Raises:
            ConfigError: the file cannot be written.
        """
        header = {"journal": "maskprof", "schema_version": SCHEMA_VERSION, "fingerprint": fingerprint}
        try:
            # Whoever meant --resume and forgot it has lost nothing.
            _keep(path)
            write_whole(path, to_text(header) + "\n")
            file = path.open("r+b", buffering=0)
            size = file.seek(0, os.SEEK_END)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from None
        return cls(path, file, JournalContents(fingerprint=dict(fingerprint), whole_bytes=size))

    @classmethod
    def resume(cls, path: Path, fingerprint: Mapping[str, Any]) -> Self:
        """Go on with a journal: `contents` tells what is there. Without one there, a new one is started.

        Raises:
            ResultError: the journal is of a run with another fingerprint, of a newer version, or damaged.
            ConfigError: the file cannot be written.
        """
        if not path.is_file():
            return cls.create(path, fingerprint)
        contents = read_journal(path)
        if contents.fingerprint is None:
            return cls.create(path, fingerprint)
        _check_fingerprint(path, contents.fingerprint, fingerprint)
        try:
            file = path.open("r+b", buffering=0)
            file.truncate(contents.whole_bytes)
            file.seek(0, os.SEEK_END)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from None
        return cls(path, file, contents)

    def add_sample(self, sample: Sample) -> None:
        """Write a sample down, unless it is there already from before an interruption.

        Raises:
            ConfigError: it cannot be written; the journal then ends with the sample before, whole.
        """
        if _identity(sample) in self._known:
            return
        self._append({"sample": asdict(sample)})
        self._known.add(_identity(sample))

    def add_failure(self, failure: Failure) -> None:
        """Write a failure down; errors as `add_sample`."""
        self._append({"failure": failure_entry(failure)})

    def add_trace(self, configuration: str, file: str) -> None:
        """Note that the trace of a configuration is finished, under this name; errors as `add_sample`."""
        self._append({"trace": {"configuration": configuration, "file": file}})

    def add_sitting(self, sitting: Sitting) -> None:
        """Note that a sitting begins; its warm-up and states follow as they come. Errors as `add_sample`."""
        self._append({"sitting": sitting_entry(sitting)})

    def add_warmup(self, warmup: Warmup) -> None:
        """Note how the last sitting warmed up; errors as `add_sample`."""
        self._append({"warmup": asdict(warmup)})

    def add_state(self, state: MachineState) -> None:
        """Note what the machine did, in the last sitting; errors as `add_sample`."""
        self._append({"state": asdict(state)})

    def close(self) -> None:
        """Close the file for good; closing twice does no harm."""
        if not self._file.closed:
            with suppress(OSError):
                os.fsync(self._file.fileno())
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, line: Mapping[str, Any]) -> None:
        data = memoryview((to_text(dict(line)) + "\n").encode())
        size = len(data)
        try:
            while data:
                data = data[self._file.write(data) or 0 :]
            if time.monotonic() - self._synced_s > _SYNC_EVERY_S:
                os.fsync(self._file.fileno())
                self._synced_s = time.monotonic()
        except OSError as error:
            self._take_back()
            raise ConfigError(
                f"{self._path} cannot be written: {error.strerror or error}; the samples before are safe in it: "
                "mend that, and the same command with --resume goes on"
            ) from None
        self._end += size

    def _take_back(self) -> None:
        """Remove a line that is there in part: a full disk takes as much of it as there is room for."""
        with suppress(OSError):
            self._file.truncate(self._end)
            self._file.seek(self._end)


def _keep(path: Path) -> None:
    """Give a journal that holds samples a second name, under which it stays when the first is taken from it."""
    if not path.is_file():
        return
    try:
        if not read_journal(path).samples:
            return
    except ResultError:
        # Whatever it is: it is not ours to throw away.
        pass
    names = (f"{path.stem}.old{number}{path.suffix}" for number in itertools.chain(("",), itertools.count(2)))
    for name in names:
        try:
            # Not renamed: at no moment is there no journal.
            os.link(path, path.with_name(name))
        except FileExistsError:
            continue
        except OSError:
            # A file system without second names.
            if path.with_name(name).exists():
                continue
            path.rename(path.with_name(name))
        return


def read_journal(path: Path) -> JournalContents:
    """Everything whole in a journal.

    Raises:
        ResultError: the file cannot be read, is no journal, is of a newer version, or has a damaged line
            that is not the last one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error.strerror or error}") from None
    lines = data.splitlines(keepends=True)
    entries = [_entry(line) for line in lines]
    if entries and entries[-1] is None:
        del lines[-1], entries[-1]
    if not entries:
        return JournalContents(fingerprint=None)
    if None in entries:
        raise ResultError(f"{path} is damaged: line {entries.index(None) + 1} is not whole")
    header, *rest = (entry for entry in entries if entry is not None)
    if header.get("journal") != "maskprof" or not isinstance(header.get("fingerprint"), dict):
        raise ResultError(f"{path} is no journal of maskprof: its first line is another one's")
    check_version(header.get("schema_version"), str(path))
    found = _Found()
    for position, entry in enumerate(rest, start=2):
        try:
            found.take(entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ResultError(f"{path} is damaged: line {position}: {error}") from None
    return JournalContents(
        fingerprint=header["fingerprint"],
        samples=tuple(found.samples.values()),
        failures=tuple(found.failures),
        traces=found.traces,
        sittings=tuple(replace(sitting, states=tuple(states)) for sitting, states in found.sittings),
        whole_bytes=sum(map(len, lines)),
    )


@dataclass(slots=True)
class _Found:
    """What the lines of a journal say, as far as they were read."""

    samples: dict[tuple[str, int, bool], Sample] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    traces: dict[str, str] = field(default_factory=dict)
    sittings: list[tuple[Sitting, list[MachineState]]] = field(default_factory=list)

    def take(self, entry: Mapping[str, Any]) -> None:
        if "sample" in entry:
            sample = _sample(entry["sample"])
            self.samples.setdefault(_identity(sample), sample)
        elif "trace" in entry:
            noted = entry["trace"]
            self.traces[typed(noted, "configuration", str)] = typed(noted, "file", str)
        elif "sitting" in entry:
            sitting = sitting_from(entry["sitting"])
            self.sittings.append((sitting, list(sitting.states)))
        elif "warmup" in entry:
            sitting, states = self._last_sitting()
            self.sittings[-1] = (replace(sitting, warmup=warmup_from(entry["warmup"])), states)
        elif "state" in entry:
            self._last_sitting()[1].append(state_from(entry["state"]))
        else:
            self.failures.append(failure_from(entry["failure"]))

    def _last_sitting(self) -> tuple[Sitting, list[MachineState]]:
        if not self.sittings:
            raise ValueError("no sitting has begun")
        return self.sittings[-1]


def _identity(sample: Sample) -> tuple[str, int, bool]:
    return sample.configuration, sample.sample_id, sample.reference


def _entry(line: bytes) -> dict[str, Any] | None:
    """A whole line's object; None where the line was cut off, even if what is left happens to be JSON."""
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _sample(entry: dict[str, Any]) -> Sample:
    return Sample(
        configuration=typed(entry, "configuration", str),
        reference=typed(entry, "reference", bool),
        decode_step_ms=tuple(number({"step": step}, "step") for step in entry["decode_step_ms"]),
        host_ms={key: number(entry["host_ms"], key) for key in entry["host_ms"]},
        # Journals of before sittings were told apart lack it.
        sitting=whole({"sitting": 1} | entry, "sitting"),
        **{key: number(entry, key) for key in _TIMES},  # type: ignore[arg-type]
        **{key: whole(entry, key) for key in _COUNTS},
    )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two fingerprints, one phrase each, such as `machine.threads was 2, now 1`."""
    # Through JSON, so that a tuple equals the list it was written as.
    old, new = (_flat(json.loads(to_text(dict(values)))) for values in (before, now))
    return [
        f"{key} was {_shown(old, key)}, now {_shown(new, key)}"
        for key in sorted(old.keys() | new.keys())
        if (key in old, old.get(key)) != (key in new, new.get(key))
    ]


def _check_fingerprint(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    differing = differences(before, now)
    if differing:
        raise ResultError(
            f"{path} is of another run, so it cannot be resumed: {'; '.join(differing)}. "
            "Give the old settings, another --output_dir, or leave --resume out to start anew"
        )


def _shown(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "absent"


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
