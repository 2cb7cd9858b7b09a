"""From what a user names to the folder that TensorBoard is to show."""

import json
from pathlib import Path
from typing import Any

from maskprof.config.schema import RunConfig
from maskprof.errors import ConfigError, ResultError
from maskprof.results.store import ResultStore, unfinished

_WHAT_IS_SHOWN = ("events.out.tfevents.*", "*.pt.trace.json", "*.pt.trace.json.gz")


def find_logdir(folder: Path) -> Path:
    """`folder` itself where it holds traces or event files, at any depth; of a run's results, its folder of traces.

    Raises:
        ConfigError: there is nothing to show.
        ResultError: the result in it cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no {folder}; give the folder of a run's traces or results, or one trace")
    if holds_runs(folder):
        return folder
    result = ResultStore(folder).result_path
    if not result.is_file():
        if hint := unfinished(folder):
            raise ConfigError(f"{folder} holds no result: {hint}")
        raise ConfigError(
            f"{folder} holds neither traces nor TensorBoard's event files; "
            "give the folder of a run's traces or results (maskprof run writes traces to ./traces)"
        )
    places = [place for place in _trace_dirs(folder, _config_in(result)) if holds_runs(place)]
    if not places:
        raise ConfigError(
            f"{folder} holds a result, and its traces are not there any more; give their folder"
        )
    return places[0]


def holds_runs(folder: Path) -> bool:
    """Whether there is anything below `folder` that TensorBoard or its profiler plugin shows."""
    return any(next(folder.rglob(pattern), None) is not None for pattern in _WHAT_IS_SHOWN)


def _trace_dirs(folder: Path, config: dict[str, Any]) -> list[Path]:
    """Where the run put its traces: as named from here, and as named from where it ran."""
    output_dir, trace_dir = config.get("output_dir"), config.get("trace_dir")
    named = RunConfig(output_dir=output_dir or str(folder), trace_dir=trace_dir).resolved_trace_dir
    places = [named]
    here = folder.resolve().parts
    own = Path(output_dir or "").parts
    if own and here[-len(own) :] == own:
        places.insert(0, Path(*here[: -len(own)]) / named)
    return places


def _config_in(result: Path) -> dict[str, Any]:
    try:
        content = json.loads(result.read_text(encoding="utf-8"))
        return dict(content["config"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ResultError(f"{result} is no result of maskprof run") from None
