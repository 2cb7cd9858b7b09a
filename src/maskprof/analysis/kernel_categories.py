"""The category of every kernel: by its own name first, by the operator that launched it second.

Most kernels say what they are (`sm90_xmma_gemm_...`, `Cijk_...`), and a name needs no launch: kernels of a graph's
replay and kernels queued before the trace began are told like all others. The names are judged once each, by the
tables of `kernel_patterns`.
"""

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.device_kinds import KINDS, Kind, is_mtia
from maskprof.analysis.kernel_patterns import CATEGORIES, FAMILIES, HEADS, OPERATORS, PLAIN_OPERATORS
from maskprof.traces.categories import MTIA
from maskprof.traces.columns import Bools, Trace
from maskprof.traces.pieces import Ints, slices

OTHER = "other"
CATEGORY_TABLE = tuple(CATEGORIES)

_OTHER = CATEGORY_TABLE.index(OTHER)
# What an MTIA runs is a whole compiled graph under a name of the user's; other kernels' names are judged.
_KINDS = {Kind.KERNEL: "compiled", Kind.COPY: "copy", Kind.MEMSET: "memset"}
_CODE_OF_KIND = np.array([CATEGORY_TABLE.index(_KINDS[kind]) for kind in range(KINDS)], dtype=np.int8)

_BACKWARD = re.compile(r"(_backward|backward\d*)$")
_CATEGORY_OF_PLAIN = {name: category for category, names in PLAIN_OPERATORS.items() for name in names}
_BRACKETS = re.compile(r"[<>()]")
_MANGLED = re.compile(r"_zn[kvr]*(?=\d)", re.IGNORECASE)
_CLOSES = {">": "<", ")": "("}


def device_categories(kinds: Ints, judged: Ints) -> Ints:
    """Categories by kinds and what `judge_kernels` says of the names, codes of `CATEGORY_TABLE`; all of one shape.

    Copies and memsets are told by the event's own category, whatever their names say.
    """
    return np.where((kinds == Kind.KERNEL) & (judged >= 0), judged, _CODE_OF_KIND[kinds])


def judge_kernels(
    trace: Trace, rows: Ints, kinds: NDArray[np.int8], operators_of: Callable[[Ints], Ints]
) -> NDArray[np.int8]:
    """Judge the name of every kernel among the device events in `rows`, which are of `kinds`; shape (rows,) both.

    Gives, by name code, the category of the kernels of that name, a code of `CATEGORY_TABLE`, or -1 where it is no
    kernel's; shape (names,). A name is judged once; one that says nothing has the category of the operator that
    launched most of its time, if that says one. `operators_of` gives, for positions in `rows`, the name codes of the
    operators that launched them, or -1. It is asked only for kernels whose names say nothing.
    """
    name = trace.events.name
    occurs = np.zeros(len(trace.names), dtype=np.bool_)
    for piece in slices(len(rows)):
        occurs[name[rows[piece]][_is_named(trace, rows[piece], kinds[piece])]] = True
    by_name = np.full(len(trace.names), -1, dtype=np.int8)
    for code in np.flatnonzero(occurs).tolist():
        by_name[code] = CATEGORY_TABLE.index(kernel_category(trace.names[code]))
    says_nothing = by_name == _OTHER
    if says_nothing.any():
        spent: Counter[tuple[int, int]] = Counter()
        for piece in slices(len(rows)):
            at = np.flatnonzero(says_nothing[name[rows[piece]]] & _is_named(trace, rows[piece], kinds[piece]))
            _add_time(spent, trace, rows[piece][at], operators_of(at + piece.start))
        for code, category in _by_operator(trace, spent).items():
            by_name[code] = CATEGORY_TABLE.index(category)
    return by_name


def _is_named(trace: Trace, rows: Ints, kinds: NDArray[np.int8]) -> Bools:
    """Which device events are kernels with names to be judged."""
    is_kernel: Bools = kinds == Kind.KERNEL
    return is_kernel & ~is_mtia(trace, rows) if MTIA in trace.categories else is_kernel


def _add_time(spent: Counter[tuple[int, int]], trace: Trace, rows: Ints, operators: Ints) -> None:
    """Add the time of the events in `rows` by their names and the operators that launched them."""
    known = operators >= 0
    pairs, inverse = np.unique(
        np.stack((trace.events.name[rows[known]], operators[known])), axis=1, return_inverse=True
    )
    time = np.bincount(inverse.ravel(), weights=trace.events.dur_ns[rows[known]])
    for name, operator, total in zip(*pairs.tolist(), time.tolist(), strict=True):
        spent[name, operator] += int(total)


def _by_operator(trace: Trace, spent: Counter[tuple[int, int]]) -> dict[int, str]:
    """For names of kernels: the category whose operators launched most of their time."""
    time: dict[int, Counter[str]] = {}
    for (name, operator), total in spent.items():
        time.setdefault(name, Counter())[operator_category(trace.names[operator])] += total
    return {name: max(of_name, key=lambda c: (of_name[c], c)) for name, of_name in time.items()}


@lru_cache(maxsize=65536)
def kernel_category(name: str) -> str:
    """The category that a kernel's name says, or `other`."""
    full = name.lower()
    head = kernel_head(full)
    for family in FAMILIES:
        if _matches(head, family.heads):
            found = _first(full, family.rows) or family.default
            if found is not None:
                return found
    return _first(head, HEADS) or OTHER


@lru_cache(maxsize=65536)
def operator_category(name: str) -> str:
    """The category that an operator's name says, or `other`."""
    lower = name.lower()
    plain = _BACKWARD.sub("", lower.rpartition(":")[2].strip()).rstrip("_")
    return _first(lower, OPERATORS) or _CATEGORY_OF_PLAIN.get(plain, OTHER)


def kernel_head(name: str) -> str:
    """A kernel's own name with its namespaces, without return type, template arguments and parameters.

    `void a::b<c<d>, 3>(e*)` gives `a::b`. A mangled name (`_ZN5aiter...`) gives what stands before its template
    arguments.
    """
    name = name.replace("(anonymous namespace)::", "")
    if _MANGLED.match(name):
        return _mangled_head(name)
    parts: list[str] = []
    open_brackets: list[str] = []
    at = 0
    for match in _BRACKETS.finditer(name):
        bracket, place = match[0], match.start()
        if not open_brackets:
            parts.append(name[at:place])
            if bracket == "(" and parts[-1].strip():
                break
        if bracket in "<(":
            open_brackets.append(bracket)
        elif open_brackets and open_brackets[-1] == _CLOSES[bracket]:
            # A `>` within parentheses is a comparison.
            open_brackets.pop()
        at = place + 1
    else:
        if not open_brackets:
            parts.append(name[at:])
    return "".join(parts).strip().rpartition(" ")[2] or name


def _mangled_head(name: str) -> str:
    parts: list[str] = []
    prefix = _MANGLED.match(name)
    at = prefix.end() if prefix else 0
    while digits := re.match(r"\d+", name[at:]):
        start = at + digits.end()
        at = start + int(digits[0])
        parts.append(name[start:at])
    return "::".join(parts)


def _first(text: str, rows: tuple[tuple[str, tuple[str, ...]], ...]) -> str | None:
    for category, tokens in rows:
        if _matches(text, tokens):
            return category
    return None


def _matches(text: str, tokens: tuple[str, ...]) -> bool:
    for token in tokens:
        if token in text:
            return True
        mark = token[0]
        if mark == "^":
            if text.startswith(token[1:]):
                return True
        elif mark == "=" and text == token[1:]:
            return True
    return False
