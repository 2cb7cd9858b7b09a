"""One torch.profiler session of one configuration, written as a Chrome trace that TensorBoard's plugin reads."""

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from maskprof.annotate import coarse_range, write_empty_turns
from maskprof.errors import ConfigError
from maskprof.ranges import Phase, phase_range
from maskprof.recording.trace_file import finish
from maskprof.results.store import draft_of, put_in_place

_WARM_PASSES = 1
_EMPTY_TURNS = 50
_SCRATCH_ELEMENTS = 1_000_000
_KINETO_QUIET = "6"
METADATA_KEY = "maskprof"
_RAW_NAME = "trace.json"
TRACE_SUFFIX = ".pt.trace.json.gz"


class RangeWatch:
    """A phase watch that puts a range around each phase."""

    def __init__(self) -> None:
        """No phase is open yet."""
        self._open: list[AbstractContextManager[Any]] = []

    def begin(self) -> None:
        pass

    def end(self) -> None:
        pass

    def enter(self, phase: Phase) -> None:
        range_ = coarse_range(phase_range(phase))
        range_.__enter__()
        self._open.append(range_)

    def leave(self, _phase: Phase) -> None:
        self._open.pop().__exit__(None, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What a trace holds beside names and times; each makes it larger, and recording slower.

    Attributes:
        shapes: of the operators' inputs.
        stacks: the Python calls and modules around each operator.
        memory: each allocation.
    """

    shapes: bool = False
    stacks: bool = False
    memory: bool = False


def record(
    run_pass: Callable[[RangeWatch], object],
    folder: Path,
    *,
    device: torch.device,
    num_active_blocks: int,
    metadata: Mapping[str, Any],
    details: Details = Details(),
) -> Path:
    """Record one pass after a warm one, and return the trace's path.

    The folder is a run of TensorBoard's profiler plugin, `<worker>.<nanoseconds>.pt.trace.json.gz` in it the
    trace; traces of an earlier recording there are removed. The pass is preceded by empty ranges that tell
    what the instrument itself costs. The file appears whole or not at all.

    Args:
        run_pass: runs prefill and decode steps under the watch it is given.
        folder: where the trace goes; made if it is not there.
        device: what is recorded beside the host.
        num_active_blocks: for the counter of active blocks in the trace.
        metadata: kept in the trace under the key `maskprof`.
        details: what else is recorded.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with draft_of(folder / _RAW_NAME) as raw:
            _run_session(run_pass, raw, device=device, metadata=metadata, details=details)
            return _finished(raw, folder, num_active_blocks)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written to: {error.strerror or error}; choose another --trace_dir"
        ) from None


def _run_session(
    run_pass: Callable[[RangeWatch], object],
    raw: Path,
    *,
    device: torch.device,
    metadata: Mapping[str, Any],
    details: Details,
) -> None:
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    # Kineto writes two lines to stderr at each session, past Python; it reads this when it first starts.
    os.environ.setdefault("KINETO_LOG_LEVEL", _KINETO_QUIET)
    session = profile(
        activities=activities,
        schedule=schedule(wait=0, warmup=_WARM_PASSES, active=1, repeat=1),
        on_trace_ready=lambda finished: finished.export_chrome_trace(str(raw)),
        record_shapes=details.shapes,
        profile_memory=details.memory,
        with_stack=details.stacks,
        with_modules=details.stacks,
    )
    with session:
        session.add_metadata_json(METADATA_KEY, _exportable(metadata))
        for _ in range(_WARM_PASSES):
            run_pass(RangeWatch())
            session.step()
        write_empty_turns(_EMPTY_TURNS, _work_between_blocks(device))
        run_pass(RangeWatch())
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        session.step()
    # The session refers to itself, and its events, a hundred MB and more, would stay until the next collection.
    session.profiler = None


def _finished(raw: Path, folder: Path, num_active_blocks: int) -> Path:
    """The trace under its name, whole.

    Raises:
        OSError: the disk is full.
    """
    final = folder / f"maskprof.{time.time_ns()}{TRACE_SUFFIX}"
    discard(folder)
    with draft_of(final) as draft:
        finish(raw, draft, num_active_blocks)
        put_in_place(draft, final)
    return final


def _work_between_blocks(device: torch.device) -> Callable[[], object]:
    """Something like an active block's effect on the host's caches before the next block's turn.

    On a CPU the block itself goes through its weights there; with a GPU the host only issues operators.
    """
    scratch = torch.zeros(_SCRATCH_ELEMENTS if device.type == "cpu" else 1)
    return lambda: scratch.add_(1).mul_(1)


def discard(folder: Path) -> None:
    """Remove the traces that a configuration's folder holds."""
    for trace in folder.glob(f"*{TRACE_SUFFIX}"):
        trace.unlink()


def _exportable(metadata: Mapping[str, Any]) -> str:
    """The metadata as JSON that survives torch's exporter, which turns every backslash into a slash."""

    def plain(value: Any) -> Any:
        if isinstance(value, str):
            ascii_only = value.encode("ascii", "replace").decode()
            return "".join(
                character if character.isprintable() else " "
                for character in ascii_only.replace('"', "'").replace("\\", "/")
            )
        if isinstance(value, (list, tuple)):
            return [plain(entry) for entry in value]
        return value

    return json.dumps({key: plain(value) for key, value in metadata.items()})
