"""Which Python code a checkpoint brings: said before any of it runs, which it does on request only."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

# Where a checkpoint names classes of its own, under `auto_map`.
_FILES = ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")


def announce_code(name: str, where: str, *, in_directory: bool, options: Mapping[str, Any]) -> None:
    """Warn of the code that loading `where` with trust_remote_code will run; nothing is said where there is none.

    Args:
        name: what the model is called on the command line.
        where: the directory, or the hub's name of the repository.
        in_directory: whether it is a directory.
        options: how the hub is asked.
    """
    code = sorted(set(_code_of(where, in_directory=in_directory, options=options)))
    if code:
        _log.warning(
            "--trust_remote_code: %s brings code of its own, which runs now: %s", name, ", ".join(code)
        )


def _code_of(where: str, *, in_directory: bool, options: Mapping[str, Any]) -> Iterator[str]:
    for file in _FILES:
        path = Path(where, file) if in_directory else _fetched(where, file, options)
        for reference in _references(path):
            # Of another repository it is `owner/repository--module.Class`.
            repository, _, target = reference.rpartition("--")
            module = f"{target.rpartition('.')[0].replace('.', '/')}.py"
            if repository or not in_directory:
                yield f"{module} of the hub's {repository or where}"
            else:
                yield str(Path(where, module))


def _fetched(where: str, file: str, options: Mapping[str, Any]) -> Path | None:
    from transformers.utils import cached_file  # noqa: PLC0415  heavy

    wanted = {key: options[key] for key in ("local_files_only", "revision") if key in options}
    found = cached_file(
        where,
        file,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        **wanted,
    )
    return None if found is None else Path(found)


def _references(path: Path | None) -> Iterator[str]:
    """Every class that a file's `auto_map` names, however it is nested."""
    try:
        document = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    except (OSError, ValueError):
        # Loading will say what is wrong with it.
        return
    waiting = [document.get("auto_map")] if isinstance(document, dict) else []
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
