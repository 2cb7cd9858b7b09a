"""Names and folders of a run's files; what is written appears whole or not at all."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from maskprof.errors import ConfigError, ResultError
from maskprof.results.schema import RunResult
from maskprof.results.serialize import dump_result, load_result
from maskprof.results.serialize_attribution import dump_attribution, dump_attribution_csv, load_attribution

RESULT_NAME = "exp3_transformer_blocks_mask_results.json"
ATTRIBUTION_NAME = "attribution.json"
ATTRIBUTION_CSV_NAME = "attribution.csv"
JOURNAL_NAME = "journal.jsonl"

_DRAFT_PREFIX = ".maskprof-draft-"


@dataclass(frozen=True, slots=True)
class ResultStore:
    """One run's output folder."""

    output_dir: Path

    @property
    def result_path(self) -> Path:
        """The result file: statistics and every sample."""
        return self.output_dir / RESULT_NAME

    @property
    def attribution_path(self) -> Path:
        """What the traces attribute to each block."""
        return self.output_dir / ATTRIBUTION_NAME

    @property
    def attribution_csv_path(self) -> Path:
        """The same as one flat table."""
        return self.output_dir / ATTRIBUTION_CSV_NAME

    @property
    def journal_path(self) -> Path:
        """The samples in the order in which they were measured, for resuming."""
        return self.output_dir / JOURNAL_NAME

    def prepare(self) -> None:
        """Make the folder and try whether it can be written to, before any long work starts.

        Raises:
            ConfigError: it cannot.
        """
        prepare(self.output_dir)

    def save(self, result: RunResult) -> None:
        """Write the result, and its attribution where there is any.

        An attribution of an earlier run in the same folder is removed: the files belong together.

        Raises:
            ConfigError: the folder cannot be written to.
        """
        try:
            # The result file is the one that readers look for first, so it comes last.
            if result.attribution:
                _write(self.attribution_path, dump_attribution(result))
                _write(self.attribution_csv_path, dump_attribution_csv(result))
            else:
                self.attribution_path.unlink(missing_ok=True)
                self.attribution_csv_path.unlink(missing_ok=True)
            _write(self.result_path, dump_result(result))
        except OSError as error:
            raise ConfigError(
                f"{self.output_dir} cannot be written to: {error.strerror or error}; every sample is in "
                f"{JOURNAL_NAME} there: mend that, and the same command with --resume saves the result"
            ) from None

    def load(self) -> RunResult:
        """Read what `save` wrote.

        Raises:
            ResultError: there is no result, it is newer than this version, or it is damaged.
        """
        if not self.result_path.is_file():
            what = unfinished(self.output_dir) or f"there is no {RESULT_NAME} in it"
            raise ResultError(f"{self.output_dir} holds no result: {what}")
        attribution = (
            load_attribution(_text(self.attribution_path), str(self.attribution_path))
            if self.attribution_path.is_file()
            else ()
        )
        return load_result(_text(self.result_path), str(self.result_path), attribution)


def unfinished(folder: Path) -> str:
    """What to do about a folder with a journal and no result; empty for any other."""
    if not (folder / JOURNAL_NAME).is_file() or (folder / RESULT_NAME).is_file():
        return ""
    if not _holds_samples(folder / JOURNAL_NAME):
        return (
            f"no sample is in its {JOURNAL_NAME}: the run in it was ended before it had measured anything, or still "
            "goes on"
        )
    return (
        "the run in it was ended before it saved one, or still goes on. What it measured is in "
        f"{JOURNAL_NAME}: the same command with --resume saves it and goes on (maskprof run --resume "
        f"--output_dir {quote(str(folder))}, and what else it was given)"
    )


def _holds_samples(journal: Path) -> bool:
    """Whether the file begins as a journal does and has a sample; whether it is whole is for `read_journal` to say."""
    try:
        with journal.open("rb") as lines:
            return _keys(next(lines, b"")) >= {"journal"} and any("sample" in _keys(line) for line in lines)
    except OSError:
        # Somebody else's to read: what it holds is not known, and not said to be nothing.
        return True


def _keys(line: bytes) -> set[str]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return set()
    return set(entry) if isinstance(entry, dict) else set()


def within(folder: Path, *names: str) -> Path:
    """The path of a file or folder below `folder`, which it stays in: names are no paths, links lead nowhere else.

    Raises:
        ConfigError: it would lie elsewhere.
    """
    path = folder.joinpath(*names)
    for name in names:
        if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
            raise ConfigError(f"{name!r} is no name for something in {folder}")
    try:
        resolved = path.resolve()
        stays = resolved.is_relative_to(folder.resolve())
        # Since Python 3.13 links in a circle are left in the path; before, they are a RuntimeError.
        stays = stays and not any(part.is_symlink() for part in (resolved, *resolved.parents))
    except (OSError, RuntimeError):
        stays = False
    if not stays:
        raise ConfigError(f"{path} is a link that leads out of {folder}: remove it, or choose another folder")
    return path


def prepare(output_dir: Path) -> None:
    """Make a folder and try whether it can be written to.

    Raises:
        ConfigError: it cannot; the sentence names the folder and the reason.
    """
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        descriptor, probe = tempfile.mkstemp(prefix=_DRAFT_PREFIX, dir=output_dir)
        try:
            os.write(descriptor, b"\n")
        finally:
            os.close(descriptor)
            Path(probe).unlink()
    except OSError as error:
        raise ConfigError(
            f"{output_dir} cannot be written to: {error.strerror or error}; choose another folder"
        ) from None
    except ValueError as error:  # a NUL in the name
        raise ConfigError(f"{str(output_dir)!r} cannot be a folder: {error}") from None


def remove_drafts(folder: Path) -> None:
    """Remove what a killed run left half-written in a folder or directly below; it must be locked."""
    inner = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    for place in (folder, *inner):
        for draft in place.glob(f"{_DRAFT_PREFIX}*"):
            draft.unlink(missing_ok=True)


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """A file beside `path`, empty and new, to be filled and renamed to it; gone at the end if it was not.

    Its name cannot be guessed and only its owner may write to it.
    """
    descriptor, name = tempfile.mkstemp(prefix=_DRAFT_PREFIX, suffix=f"-{path.name}.part", dir=path.parent)
    os.close(descriptor)
    draft = Path(name)
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def put_in_place(draft: Path, path: Path) -> None:
    """Make a finished draft the file `path`, for good: after this not even a power cut takes it back."""
    with draft.open("r+b") as file:
        # Drafts are private; what is done is as readable as any new file.
        with suppress(OSError):
            os.fchmod(file.fileno(), 0o666 & ~_umask())
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last; where folders cannot be synced, the system does it in its own time."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    with suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader, or a crash at any moment, finds the old or the new one whole.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    try:
        _write(path, text)
    except OSError as error:
        raise ConfigError(
            f"{path.parent} cannot be written to: {error.strerror or error}; choose another folder"
        ) from None


def _write(path: Path, text: str) -> None:
    with draft_of(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")
        put_in_place(draft, path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"{path} cannot be read: {error}") from None


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    before = os.umask(0o077)
    os.umask(before)
    return before
