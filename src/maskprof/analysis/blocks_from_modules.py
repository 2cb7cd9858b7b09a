"""Blocks from the profiler's module ranges: `nn.Module: LlamaDecoderLayer_7`, recorded with stacks.

No list of class names decides what a block is, but where modules are called: blocks are modules that are called
side by side by one module, that call modules themselves, and in which more time is spent than in any other such
list.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.block_turns import HostTurns, TurnPhase
from maskprof.analysis.launched import Launched
from maskprof.traces.columns import Bools, Int64s, Trace
from maskprof.traces.links import Nesting, innermost, nearest_of, nest
from maskprof.traces.pieces import positions, row_column, slices

MODULES = "python_function"
FEWEST_BLOCKS = 2
# A list in which hardly anything happens is none of blocks: these may be compiled, and have no module ranges.
LEAST_SHARE = 0.1

_NAME = re.compile(r"nn\.Module: (.+)_(\d+)")


def turns_from_modules(launched: Launched) -> HostTurns | None:
    """The calls of the modules that are the blocks; None without any.

    A list is all modules of one class that one module calls directly, if there are several, if they are called
    equally often (but for one call, at the edge of the window) and if most of them call modules themselves.
    Modules of other classes belong to it if they are called between its first and last and call modules
    themselves, as in models with two kinds of blocks. Of several lists (encoder and decoder, vision tower
    and language model) the blocks are the one in which most device time is launched or, without a device, most
    host time spent, if that is at least a tenth of all. A step is a call of the outermost module around the blocks.
    """
    trace = launched.trace
    calls = _find_calls(trace)
    if calls is None:
        return None
    lists = _lists(launched, calls)
    if not lists:
        return None
    chosen = _with_other_classes(calls, lists[0])
    is_turn = np.zeros(len(calls.module), dtype=np.bool_)
    is_turn[chosen] = True
    others = [
        f"{calls.class_names[calls.classes[other.calls[0]]]} ({len(np.unique(calls.module[other.calls]))})"
        for other in lists[1:]
        if _apart(calls, is_turn, other)
    ]
    note = (
        "Blocks are calls of modules: what a backward pass launches is in none of them, and host times include "
        "the recording of Python functions."
    )
    if others:
        note += f" Other lists of modules: {', '.join(others)}."
    return _turns(trace, calls, chosen, note)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Calls:
    """Every call of a module, in the order of `nesting`; arrays have shape (calls,).

    Attributes:
        module: name code of the module, which is its class and its number in one.
        classes: code of the class, into `class_names`.
        has_inner: whether modules are called inside.
    """

    nesting: Nesting
    module: Int64s
    classes: Int64s
    has_inner: Bools
    class_names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _List:
    """Modules of one class under one caller: positions of their calls, and the time spent in them."""

    calls: Int64s
    parent: int
    weight: float


def _find_calls(trace: Trace) -> _Calls | None:
    if MODULES not in trace.categories:
        return None
    class_codes: dict[str, int] = {}
    classes = np.full(len(trace.names), -1, dtype=np.int64)
    for code, name in enumerate(trace.names):
        # Traces with stacks have many thousands of names, and few of them are modules'.
        if name.startswith("nn.Module: ") and (match := _NAME.fullmatch(name)):
            classes[code] = class_codes.setdefault(match[1], len(class_codes))
    is_module = classes >= 0
    if np.count_nonzero(is_module) < FEWEST_BLOCKS:
        return None
    events, in_modules = trace.events, trace.categories_are((MODULES,))
    rows = positions(
        len(events), lambda piece: is_module[events.name[piece]] & in_modules[events.category[piece]]
    )
    nesting = nest(trace.events, rows)
    module = row_column(nesting.rows, lambda some: events.name[some]).astype(np.int64)
    has_inner = np.zeros(len(module), dtype=np.bool_)
    has_inner[nesting.parents[nesting.parents >= 0]] = True
    return _Calls(
        nesting=nesting,
        module=module,
        classes=classes[module],
        has_inner=has_inner,
        class_names=tuple(class_codes),
    )


def _lists(launched: Launched, calls: _Calls) -> list[_List]:
    """Every list of modules, by falling time."""
    weight, everything = _time_inside(launched, calls)
    parents = calls.nesting.parents
    inner = np.flatnonzero(parents >= 0)
    caller = np.full(len(parents), -1, dtype=np.int64)
    caller[inner] = calls.module[parents[inner]]
    order = inner[np.lexsort((calls.module[inner], caller[inner], calls.classes[inner]))]
    if not len(order):
        return []
    is_new_list = _changes(calls.classes[order]) | _changes(caller[order])
    is_new_module = is_new_list | _changes(calls.module[order])
    starts, module_starts = np.flatnonzero(is_new_list), np.flatnonzero(is_new_module)
    ends = np.append(starts[1:], len(order))
    # Of each list the first of its modules, among all modules of all lists.
    first = np.flatnonzero(is_new_list[module_starts])
    counts = np.diff(np.append(module_starts, len(order)))
    uneven = np.maximum.reduceat(counts, first) - np.minimum.reduceat(counts, first) > 1
    too_few = np.diff(np.append(first, len(module_starts))) < FEWEST_BLOCKS
    hollow = 2 * np.add.reduceat(calls.has_inner[order].astype(np.int64), starts) <= ends - starts
    inside = np.add.reduceat(weight[order], starts)
    convincing = ~(uneven | too_few | hollow) & (inside >= LEAST_SHARE * everything)
    found = [
        _List(
            calls=np.sort(order[starts[at] : ends[at]]),
            parent=int(caller[order[starts[at]]]),
            weight=float(inside[at]),
        )
        for at in np.flatnonzero(convincing)
    ]
    return sorted(found, key=lambda one: -one.weight)


def _changes(values: Int64s) -> Bools:
    """Where a value differs from the one before it; the first always does."""
    return np.concatenate(([True], values[1:] != values[:-1]))


def _time_inside(launched: Launched, calls: _Calls) -> tuple[NDArray[np.float64], float]:
    """Time of the device events launched inside each call, of inner calls too, and of all that were launched.

    Host time where there are none, and that of all outermost calls.
    """
    events, nesting = launched.trace.events, calls.nesting
    if not len(launched.calls):
        time = events.dur_ns[nesting.rows].astype(np.float64)
        return time, float(time[nesting.parents < 0].sum())
    dur = launched.calls.sums(lambda item: launched.work.dur_ns[item])
    inside = innermost(events, nesting, launched.calls.rows)
    time = np.zeros(len(nesting.rows))
    for piece in slices(len(inside)):
        at = inside[piece]
        np.add.at(time, at[at >= 0], dur[piece][at >= 0])
    depth = np.zeros(len(nesting.rows), dtype=np.int64)
    around = nesting.parents.copy()
    while (around >= 0).any():
        depth += around >= 0
        around = np.where(around >= 0, nesting.parents[around], -1)
    for level in range(int(depth.max(initial=0)), 0, -1):
        at = np.flatnonzero(depth == level)
        np.add.at(time, nesting.parents[at], time[at])
    return time, float(dur.sum(dtype=np.int64))


def _with_other_classes(calls: _Calls, found: _List) -> Int64s:
    """Positions of the list's calls, and of those of other classes between the first and the last of each pass."""
    parents = calls.nesting.parents
    callers = np.unique(parents[found.calls])
    first = np.full(len(parents), len(parents), dtype=np.int64)
    last = np.full(len(parents), -1, dtype=np.int64)
    np.minimum.at(first, parents[found.calls], found.calls)
    np.maximum.at(last, parents[found.calls], found.calls)
    beside = np.flatnonzero(np.isin(parents, callers) & calls.has_inner)
    between = (beside > first[parents[beside]]) & (beside < last[parents[beside]])
    return np.union1d(found.calls, beside[between])


def _turns(trace: Trace, calls: _Calls, chosen: Int64s, note: str) -> HostTurns:
    nesting = calls.nesting
    count = len(nesting.rows)
    itself = np.arange(count, dtype=np.int32)
    is_turn = np.zeros(count, dtype=np.bool_)
    is_turn[chosen] = True
    roots = chosen
    while (nesting.parents[roots] >= 0).any():
        around = nesting.parents[roots]
        roots = np.where(around >= 0, around, roots)
    steps = np.unique(roots)
    is_step = np.zeros(count, dtype=np.bool_)
    is_step[steps] = True
    # Blocks are numbered in the order of their first calls.
    modules, first = np.unique(calls.module[chosen], return_index=True)
    rank = np.empty(len(modules), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(modules))
    block = np.full(count, -1, dtype=np.int64)
    block[chosen] = rank[np.searchsorted(modules, calls.module[chosen])]
    return HostTurns(
        nesting=nesting,
        turn=nearest_of(nesting, itself, is_turn),
        phase=nearest_of(nesting, itself, is_step),
        block=block,
        active=np.full(count, -1, dtype=np.int8),
        names={
            int(number): trace.names[module].removeprefix("nn.Module: ")
            for number, module in zip(rank, modules, strict=True)
        },
        phases=(
            TurnPhase(
                name="all",
                ranges=steps,
                steps=len(steps),
                host_us=float(trace.events.dur_ns[nesting.rows[steps]].sum(dtype=np.float64)) / 1000.0,
            ),
        ),
        ours=np.zeros(len(trace.names), dtype=np.bool_),
        source="modules",
        note=note,
    )


def _apart(calls: _Calls, is_turn: Bools, other: _List) -> bool:
    """Whether a list lies neither inside the blocks nor around them."""
    is_other = np.zeros(len(is_turn), dtype=np.bool_)
    is_other[other.calls] = True
    around_other = nearest_of(calls.nesting, other.calls, is_turn)
    around_blocks = nearest_of(calls.nesting, np.flatnonzero(is_turn), is_other)
    return bool((around_other < 0).all() and (around_blocks < 0).all())
