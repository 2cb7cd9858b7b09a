"""A TOML file and the command line to one RunConfig; what the command line gives wins."""

import difflib
import os
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from maskprof.config.schema import RunConfig
from maskprof.errors import ConfigError

_TYPES: dict[str, Any] = get_type_hints(RunConfig)

_WANTED = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def load_config(overrides: Mapping[str, object], toml_path: str | os.PathLike[str] | None) -> RunConfig:
    """The settings of a run: those of the file, replaced by `overrides` where both speak.

    Keys are the flags of `maskprof run` without the dashes in front, with underscores or hyphens; in the
    file they stand at the top level. Lists become tuples, one value stands for a list of one, and
    `active_block_indices` is one list of blocks or a list of such lists. Paths in the file are relative to
    the working directory, as on the command line.

    The one setting that a file cannot turn on is `trust_remote_code`: a file may come from others.

    Raises:
        ConfigError: the file is missing, unreadable or no TOML; a key is unknown; a value has the wrong type
            or cannot be meant. The sentence names the file and the key.
    """
    from_file: dict[str, Any] = {}
    if toml_path is not None:
        from_file = _converted(_read_toml(Path(toml_path)), str(toml_path))
        if from_file.get("trust_remote_code"):
            raise ConfigError(
                f"{toml_path}: trust_remote_code: code of others runs only where the command line asks for it: "
                "give --trust_remote_code there"
            )
        # Checked on its own first, so that a bad value in the file is reported with the file's name.
        try:
            RunConfig(**from_file)
        except ConfigError as error:
            raise ConfigError(f"{toml_path}: {error}") from None
    return RunConfig(**(from_file | _converted(overrides, None)))


def _read_toml(path: Path) -> dict[str, object]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"--config: there is no file {path}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"--config: {path} is not UTF-8 text (byte {error.start}), so it is no TOML"
        ) from None
    except OSError as error:
        raise ConfigError(f"--config: {path} cannot be read: {error.strerror}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # The parser says "at end of document" there, and an editor wants a number.
        problem = str(error).replace("at end of document", f"at line {text.count(chr(10)) + 1}, the end")
        raise ConfigError(f"--config: {path} is not valid TOML: {problem}") from None


def _converted(values: Mapping[str, object], source: str | None) -> dict[str, Any]:
    """The values under their field names and in the types of RunConfig; `source` is the file to name."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in _TYPES:
            raise ConfigError(_unknown(key, name, source))
        if name in found:
            raise ConfigError(f"{_place(key, source)}: given twice, with underscores and with hyphens")
        try:
            found[name] = _typed(value, _TYPES[name])
        except _WrongTypeError as error:
            raise ConfigError(f"{_place(key, source)}: {error}") from None
    return found


def _place(key: str, source: str | None) -> str:
    return f"--{key}" if source is None else f"{source}: {key}"


def _unknown(key: str, name: str, source: str | None) -> str:
    close = difflib.get_close_matches(name, _TYPES, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"the settings are {', '.join(_TYPES)}"
    return f"{source or 'settings'}: {key!r} is not a setting; {hint}"


class _WrongTypeError(Exception):
    """Says what was wanted and what was given; the caller adds where."""


def _typed(value: Any, wanted: Any) -> Any:
    """`value` as the annotated type `wanted`: the few forms that RunConfig's fields have."""
    if get_origin(wanted) in (types.UnionType, Union):
        if value is None:
            return None
        (wanted,) = (option for option in get_args(wanted) if option is not types.NoneType)
    if get_origin(wanted) is tuple:
        return _typed_tuple(value, get_args(wanted)[0])
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # bool is a subclass of int, and `num_samples = true` is a mistake.
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise _WrongTypeError(f"needs {_WANTED[wanted]}, got {_shown(value)}")
    return value


def _typed_tuple(value: Any, item: Any) -> tuple[Any, ...]:
    entries = list(value) if isinstance(value, (list, tuple)) else [value]
    holds_lists = get_origin(item) is tuple
    if holds_lists and entries and not all(isinstance(entry, (list, tuple)) for entry in entries):
        entries = [entries]
    return tuple(_typed(entry, item) for entry in entries)


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
