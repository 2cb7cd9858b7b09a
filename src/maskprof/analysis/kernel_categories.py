"""The category of every kernel: by its own name first, by the operator that launched it second.

Most kernels say what they are (`sm90_xmma_gemm_...`, `Cijk_...`), and a name needs no launch: kernels of a graph's
replay and kernels queued before the trace began are told like all others. The names are judged once each, by the
tables of `kernel_patterns`.
"""

import re
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.device_kinds import Kind, device_kinds, is_mtia
from maskprof.analysis.kernel_patterns import CATEGORIES, FAMILIES, HEADS, OPERATORS, PLAIN_OPERATORS
from maskprof.traces.categories import MTIA, OPERATOR
from maskprof.traces.columns import Int32s, Int64s, Trace
from maskprof.traces.links import Launches, innermost, nest

OTHER = "other"
CATEGORY_TABLE = tuple(CATEGORIES)

_OTHER = CATEGORY_TABLE.index(OTHER)
# What an MTIA runs is a whole compiled graph under a name of the user's; other kernels' names are judged.
_KINDS = {Kind.KERNEL: "compiled", Kind.COPY: "copy", Kind.MEMSET: "memset"}
_CODE_OF_KIND = np.array([CATEGORY_TABLE.index(_KINDS[kind]) for kind in Kind], dtype=np.int8)

_BACKWARD = re.compile(r"(_backward|backward\d*)$")
_CATEGORY_OF_PLAIN = {name: category for category, names in PLAIN_OPERATORS.items() for name in names}
_BRACKETS = re.compile(r"[<>()]")
_MANGLED = re.compile(r"_zn[kvr]*(?=\d)", re.IGNORECASE)
_CLOSES = {">": "<", ")": "("}


def device_categories(trace: Trace, launches: Launches) -> tuple[NDArray[np.int8], tuple[str, ...]]:
    """The category of each device event: a code for each of `launches.device_rows`, and the table of the codes.

    Copies and memsets are told by the event's own category, whatever their names say. A kernel's name is judged once;
    one that says nothing has the category of the operator that launched most of its time, if that says one.
    """
    rows = launches.device_rows
    return categorise(
        trace, rows, lambda chosen: _operators_of(trace, launches.launch_rows[chosen])
    ), CATEGORY_TABLE


def categorise(
    trace: Trace, rows: Int64s | Int32s, operators_of: Callable[[Int64s], Int32s]
) -> NDArray[np.int8]:
    """The category of each device event in `rows`, as a code of `CATEGORY_TABLE`; shape (rows,).

    `operators_of` gives, for positions in `rows`, the name codes of the operators that launched them, or -1. It is
    asked only for kernels whose names say nothing.
    """
    kinds = device_kinds(trace, rows)
    is_kernel = kinds == Kind.KERNEL
    if MTIA in trace.categories:
        is_kernel &= ~is_mtia(trace, rows)
    names = trace.events.name[rows]
    occurs = np.zeros(len(trace.names), dtype=np.bool_)
    occurs[names[is_kernel]] = True
    by_name = np.full(len(trace.names), -1, dtype=np.int8)
    for name in np.flatnonzero(occurs).tolist():
        by_name[name] = CATEGORY_TABLE.index(kernel_category(trace.names[name]))
    nameless = np.flatnonzero(is_kernel & (by_name == _OTHER)[names])
    if len(nameless):
        for name, category in _by_operator(trace, rows[nameless], operators_of(nameless)).items():
            by_name[name] = CATEGORY_TABLE.index(category)
    return np.where(is_kernel, by_name[names], _CODE_OF_KIND[kinds])


def _by_operator(trace: Trace, rows: Int64s | Int32s, operators: Int32s) -> dict[int, str]:
    """For the kernel names in `rows`: the category whose operators launched most of their time."""
    time: dict[int, dict[str, int]] = {}
    known = operators >= 0
    pairs, inverse = np.unique(
        np.stack((trace.events.name[rows[known]], operators[known])), axis=1, return_inverse=True
    )
    spent = np.bincount(inverse.ravel(), weights=trace.events.dur_ns[rows[known]])
    for name, operator, total in zip(*pairs.tolist(), spent.tolist(), strict=True):
        category = operator_category(trace.names[operator])
        of_name = time.setdefault(name, {})
        of_name[category] = of_name.get(category, 0) + int(total)
    return {name: max(of_name, key=lambda c: (of_name[c], c)) for name, of_name in time.items()}


def _operators_of(trace: Trace, launch_rows: Int64s) -> Int32s:
    """The name codes of the innermost operators around launch calls, or -1."""
    found = np.full(len(launch_rows), -1, dtype=np.int32)
    linked = launch_rows >= 0
    nesting = nest(trace.events, trace.rows_in((OPERATOR,)))
    at = innermost(trace.events, nesting, launch_rows[linked])
    found[linked] = np.where(at >= 0, trace.events.name[nesting.rows[at]], -1) if len(nesting.rows) else -1
    return found


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
