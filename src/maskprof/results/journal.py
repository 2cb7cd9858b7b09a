"""The journal: every sample is written down when it is measured, so that nothing is lost by an interruption.

JSON lines: a header with the fingerprint of the run, then one line per sample or failure. A crash can cut
off only the last line; readers drop it, and going on first removes it from the file.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from maskprof.errors import ConfigError, ResultError
from maskprof.results.jsonvalues import number, to_text, typed, whole
from maskprof.results.schema import SCHEMA_VERSION, Failure, Sample
from maskprof.results.serialize import check_version, failure_entry, failure_from

_TIMES = ("started_s", "vision_ms", "projector_ms", "prefill_ms", "decode_ms", "total_ms")
_COUNTS = ("sample_id", "round", "num_input_text_tokens", "num_vision_tokens", "num_output_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalContents:
    """What a journal holds.

    Attributes:
        fingerprint: what must not change when the run is resumed; None where not even the header is whole.
        samples: in the order of measuring, each (configuration, sample_id, reference) once.
        failures: in the order of happening.
        whole_bytes: length of the file up to the end of its last whole line.
    """

    fingerprint: dict[str, Any] | None
    samples: tuple[Sample, ...] = ()
    failures: tuple[Failure, ...] = ()
    whole_bytes: int = 0


class Journal:
    """An open journal that lines are appended to, each flushed at once; a context manager."""

    def __init__(self, file: IO[bytes], contents: JournalContents) -> None:
        self._file = file
        self._known = {_identity(sample) for sample in contents.samples}
        self.contents = contents

    @classmethod
    def create(cls, path: Path, fingerprint: Mapping[str, Any]) -> Self:
        """Start a journal; one that is there is kept as `journal.old.jsonl`.

        Args:
            path: the journal's file.
            fingerprint: plain values that must not change when the run is resumed, nested dicts allowed.

        Raises:
            ConfigError: the file cannot be written.
        """
        try:
            if path.is_file():
                # Whoever meant --resume and forgot it has lost nothing.
                path.replace(path.with_suffix(".old.jsonl"))
            file = path.open("wb")
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from None
        journal = cls(file, JournalContents(fingerprint=dict(fingerprint)))
        journal._append({"journal": "maskprof", "schema_version": SCHEMA_VERSION, "fingerprint": fingerprint})
        return journal

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
            file = path.open("r+b")
            file.truncate(contents.whole_bytes)
            file.seek(0, 2)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from None
        return cls(file, contents)

    def add_sample(self, sample: Sample) -> None:
        """Write a sample down, unless it is there already from before an interruption."""
        if _identity(sample) in self._known:
            return
        self._known.add(_identity(sample))
        self._append({"sample": asdict(sample)})

    def add_failure(self, failure: Failure) -> None:
        """Write a failure down."""
        self._append({"failure": failure_entry(failure)})

    def close(self) -> None:
        """Close the file; closing twice does no harm."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, line: Mapping[str, Any]) -> None:
        # One write per line; no fsync, which would disturb the next measurement by a disk's pace.
        self._file.write((to_text(dict(line)) + "\n").encode())
        self._file.flush()


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
    samples: dict[tuple[str, int, bool], Sample] = {}
    failures = []
    for position, entry in enumerate(rest, start=2):
        try:
            if "sample" in entry:
                sample = _sample(entry["sample"])
                samples.setdefault(_identity(sample), sample)
            else:
                failures.append(failure_from(entry["failure"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ResultError(f"{path} is damaged: line {position}: {error}") from None
    return JournalContents(
        fingerprint=header["fingerprint"],
        samples=tuple(samples.values()),
        failures=tuple(failures),
        whole_bytes=sum(map(len, lines)),
    )


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
        **{key: number(entry, key) for key in _TIMES},  # type: ignore[arg-type]
        **{key: whole(entry, key) for key in _COUNTS},
    )


def _check_fingerprint(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    # Through JSON, so that a tuple equals the list it was written as.
    old, new = _flat(before), _flat(json.loads(to_text(dict(now))))
    differing = [
        f"{key} was {_shown(old, key)}, now {_shown(new, key)}"
        for key in sorted(old.keys() | new.keys())
        if (key in old, old.get(key)) != (key in new, new.get(key))
    ]
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
