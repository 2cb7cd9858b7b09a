"""Names and folders of a run's files; what is written appears whole or not at all."""

import os
from dataclasses import dataclass
from pathlib import Path

from maskprof.errors import ConfigError, ResultError
from maskprof.results.schema import RunResult
from maskprof.results.serialize import dump_result, load_result
from maskprof.results.serialize_attribution import dump_attribution, dump_attribution_csv, load_attribution

RESULT_NAME = "exp3_transformer_blocks_mask_results.json"
ATTRIBUTION_NAME = "attribution.json"
ATTRIBUTION_CSV_NAME = "attribution.csv"
JOURNAL_NAME = "journal.jsonl"


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
        # The result file is the one that readers look for first, so it comes last.
        if result.attribution:
            write_whole(self.attribution_path, dump_attribution(result))
            write_whole(self.attribution_csv_path, dump_attribution_csv(result))
        else:
            self.attribution_path.unlink(missing_ok=True)
            self.attribution_csv_path.unlink(missing_ok=True)
        write_whole(self.result_path, dump_result(result))

    def load(self) -> RunResult:
        """Read what `save` wrote.

        Raises:
            ResultError: there is no result, it is newer than this version, or it is damaged.
        """
        if not self.result_path.is_file():
            raise ResultError(f"{self.output_dir} holds no result: there is no {RESULT_NAME} in it")
        attribution = (
            load_attribution(_text(self.attribution_path), str(self.attribution_path))
            if self.attribution_path.is_file()
            else ()
        )
        return load_result(_text(self.result_path), str(self.result_path), attribution)


def prepare(output_dir: Path) -> None:
    """Make a folder and try whether it can be written to.

    Raises:
        ConfigError: it cannot; the sentence names the folder and the reason.
    """
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        probe = output_dir / f".maskprof-probe-{os.getpid()}"
        probe.write_bytes(b"\n")
        probe.unlink()
    except OSError as error:
        raise _not_writable(output_dir, error) from None


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader, or a crash at any moment, finds the old or the new one whole.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        try:
            with draft.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise _not_writable(path.parent, error) from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"{path} cannot be read: {error}") from None


def _not_writable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{folder} cannot be written to: {error.strerror or error}; choose another folder")
