"""Kernel names as short as they can be while they still tell kernels apart.

A name in a trace is a whole C++ signature, hundreds of characters of which few matter: of
`vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, ...>` it is the functor that says what the
kernel does. The full names stand in JSON and CSV.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from maskprof.terminal_cells import cells, cut_end, cut_middle

# Templates that run a functor given to them: it, not they, says what the kernel does.
_WRAPPERS = frozenset({
    "Kernel", "Kernel2", "kernel", "kentry", "device_kernel",
    "elementwise_kernel", "elementwise_kernel_manual_unroll", "elementwise_kernel_with_index",
    "index_elementwise_kernel", "unrolled_elementwise_kernel", "vectorized_elementwise_kernel",
    "vectorized_templated_elementwise_kernel", "unrolled_elementwise_kernel_for_multi_outputs",
    "multi_tensor_apply_kernel", "reduce_kernel", "gpu_kernel_impl", "gpu_kernel_impl_nocast",
    "opmath_gpu_kernel_impl", "AUnaryFunctor", "BUnaryFunctor", "BinaryFunctor", "UnaryFunctor", "ReduceOp",
    "func_wrapper_t", "_scatter_gather_elementwise_kernel", "distribution_elementwise_grid_stride_kernel",
})  # fmt: skip
# First arguments of wrappers that are data layouts, not functors.
_LAYOUTS = ("TensorListMetadata", "TensorListScalarListMetadata", "array", "Array", "OffsetCalculator")
_TYPES = frozenset({
    "bool", "char", "signed char", "unsigned char", "short", "int", "unsigned int", "long", "unsigned long",
    "float", "double", "half", "bfloat16", "int8", "uint8", "true", "false", "void",
})  # fmt: skip
_TYPE_NAMES = {
    "BFloat16": "bfloat16", "__nv_bfloat16": "bfloat16", "__hip_bfloat16": "bfloat16", "bfloat16_t": "bfloat16",
    "Half": "half", "__half": "half", "half_t": "half",
}  # fmt: skip
_OPEN = {"(": ")", "<": ">", "{": "}", "[": "]"}
_MARKS = {separator: re.compile(rf"{separator}|[(){{}}<>\[\]]") for separator in ("::", ",", " ")}
_QUALIFIER = re.compile(r"(?:\(anonymous namespace\)|\b[A-Za-z_]\w*)::(?=[\w({~])")
_WORD = re.compile(r"\b[A-Za-z_]\w*\b")
_TENSILE = re.compile(r"(Cijk_[A-Za-z]+_[A-Za-z]+_[A-Z0-9]+)_\w*?(MT\d+x\d+x\d+)\w*")
# What is in the brackets of a copy, `Memcpy HtoD (Pinned -> Device)`, is no argument.
_COPY = re.compile(r"Mem(?:cpy|set)\b")
_XMMA_TAIL = re.compile(r"_(?:warpgroupsize|execute_segment|execute_split)\w*$")
_LAMBDA = re.compile(r"\{lambda\((.*)\)#\d+\}")
_MANGLED_PART = re.compile(r"L[a-z]n?\d+E|DF16b?|(?P<length>\d{1,5})")
_LEAST_CORE = 12
# Longer and deeper than compilers write them: reading on would take long and tell nothing.
_MOST_READ = 6_000
_MOST_WRAPPED = 8
# A table asks for the same names in many widths.
_MOST_KEPT = 1024


def short_names(names: Sequence[str], width: int) -> tuple[str, ...]:
    """A short form of each name, at most `width` cells wide; different names get different short forms.

    Where the essence of two is the same, what they differ in is added; where even that does not show in the
    width, a number.
    """
    cores = {name: _core(name[:_MOST_READ]) for name in names}
    shown = dict(cores)
    # Some are alike only once they are cut.
    for _ in range(2):
        for group in _alike(shown):
            words = {name: dict.fromkeys(_words(name[:_MOST_READ])) for name in group}
            shown |= {name: _with_difference(name, cores[name], words, width) for name in group}
        shown = {name: _fit(text, width) for name, text in shown.items()}
    taken = set(shown.values())
    for group in _alike(shown):
        place = 0
        for name in group:
            while shown[name] in taken:
                place += 1
                mark = f" #{place}"
                shown[name] = _fit(cores[name], max(1, width - len(mark))) + mark
            taken.add(shown[name])
    return tuple(shown[name] for name in names)


def _alike(shown: dict[str, str]) -> list[list[str]]:
    """Groups of names that are shown the same."""
    groups: dict[str, list[str]] = {}
    for name, text in shown.items():
        groups.setdefault(text, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _with_difference(name: str, core: str, words: dict[str, dict[str, None]], width: int) -> str:
    """The core and, in brackets, the fewest words of the name that tell it from the rest of the group."""
    others = [other for other in words if other != name]
    chosen: list[str] = []
    for word in words[name]:
        left = [other for other in others if word in words[other]]
        if len(left) < len(others):
            chosen.append(word.removesuffix("_kernel").removesuffix("_elementwise"))
            others = left
    if not chosen:
        return core
    difference = " ".join(chosen)
    room = max(_LEAST_CORE, width - min(cells(core), width // 2) - 3)
    difference = cut_middle(difference, room)
    return f"{_fit(core, max(_LEAST_CORE, width - cells(difference) - 3))} [{difference}]"


@lru_cache(maxsize=_MOST_KEPT)
def _words(name: str) -> tuple[str, ...]:
    if name.startswith("_Z"):
        return tuple(word for word, _ in _identifiers(name))
    words = re.findall(r"\w+", _tidy(name))
    # Tensile's names are one word of settings.
    return tuple(part for word in words for part in (word.split("_") if word.startswith("Cijk_") else [word]))


def _fit(text: str, width: int) -> str:
    """C++ loses its end, where arguments stand; other names their middle."""
    if width < _LEAST_CORE:
        return cut_middle(text, width)
    opened = -1 if _COPY.match(text) else text.find("<")
    return cut_end(text, width) if 0 < opened < width - 2 else cut_middle(text, width)


@lru_cache(maxsize=_MOST_KEPT)
def _core(name: str) -> str:
    if name.startswith("_Z"):
        return _mangled(name)
    if match := _TENSILE.match(name):
        return f"{match[1]} {match[2]}"
    if _COPY.match(name):
        return name
    if "<" not in name and "(" not in name:
        return _XMMA_TAIL.sub("", name)
    return _tidy(_callee(_without_arguments(name))) or name


def _without_arguments(signature: str) -> str:
    """The qualified name of a function: without the type that it returns and the arguments that it takes."""
    spans = _top_level(signature, " ")
    # `(anonymous namespace)` holds its space within brackets, so that a space outside ends the returned type.
    last = len(spans) - 1
    while last > 0 and spans[last] in ("const", "const&", "&", "*"):
        last -= 1
    name = " ".join(spans[last:]) if len(spans) > 1 else signature
    head = _before_arguments(name)
    return head or name


def _before_arguments(name: str) -> str:
    """The part before the last bracket that is not followed by `::`."""
    parts = _top_level(name, "::")
    if not parts:
        return name
    tail = parts[-1]
    stack: list[str] = []
    for place, character in enumerate(tail):
        if character == "(" and not stack and place:
            parts[-1] = tail[:place]
            break
        _step(stack, character)
    return "::".join(parts)


def _callee(name: str, depth: int = 0) -> str:
    """The functor where the name is a wrapper's, else the name without its namespaces."""
    parts = _top_level(name, "::")
    if not parts:
        return name
    takes = ""
    while len(parts) > 1 and (parts[-1].startswith(("{lambda", "operator"))):
        found = _LAMBDA.match(parts[-1])
        # The innermost lambda's arguments are the types that the kernel works on.
        if found and not takes:
            takes = found[1]
        parts.pop()
    own = parts[-1]
    bare = _before_arguments(own)
    identifier, arguments = _template(bare)
    if identifier in _WRAPPERS and depth < _MOST_WRAPPED:
        inner = [argument for argument in arguments if _is_functor(argument)]
        if inner:
            functor = _callee(_without_arguments_of_functor(inner[0]), depth + 1)
            types = [_tidy(argument) for argument in arguments if _is_type(argument)]
            if types and types[0] not in functor and types[0] not in ("true", "false"):
                return f"{functor} on {types[0]}"
            return functor
    kind = _tidy(_top_level(takes, ",")[0]) if takes else ""
    if kind in _TYPES and kind not in _tidy(bare):
        return f"{bare}({kind})"
    return bare


def _without_arguments_of_functor(text: str) -> str:
    # A lambda's place is inside the function that it stands in, whose arguments are no part of the name.
    parts = _top_level(text.strip(), "::")
    return "::".join(part if part.startswith("{lambda") else _before_arguments(part) for part in parts)


def _is_functor(argument: str) -> bool:
    tidy = _tidy(argument)
    return (
        bool(tidy) and not tidy[0].isdigit() and tidy[0] != "(" and not tidy.startswith(_LAYOUTS)
        and not _is_type(argument)
    )  # fmt: skip


def _is_type(argument: str) -> bool:
    return _tidy(argument) in _TYPES


def _template(text: str) -> tuple[str, list[str]]:
    """`name<a, b>` as (`name`, [`a`, `b`])."""
    opened = text.find("<")
    if opened <= 0:
        return text, []
    inner = text[opened + 1 : -1] if text.endswith(">") else text[opened + 1 :]
    return text[:opened], _top_level(inner, ",")


def _tidy(text: str) -> str:
    """Without namespaces, with short names of types, equal arguments in a row once."""
    text = _WORD.sub(lambda word: _TYPE_NAMES.get(word[0], word[0]), _unqualified(text))
    text = re.sub(r"(?<=\d)(?:ul|u|l)\b", "", text).replace("> >", ">>").strip()
    return re.sub(r"\b([A-Za-z_]\w*)(?:, \1\b)+", r"\1", text)


def _unqualified(text: str) -> str:
    return _QUALIFIER.sub("", text)


def _top_level(text: str, separator: str) -> list[str]:
    """The pieces between separators that are in no bracket, without spaces around, empty ones left out."""
    pieces, start = [], 0
    stack: list[str] = []
    for found in _MARKS[separator].finditer(text):
        if found[0] != separator:
            _step(stack, found[0])
        elif not stack:
            pieces.append(text[start : found.start()])
            start = found.end()
    pieces.append(text[start:])
    return [piece.strip() for piece in pieces if piece.strip()]


def _step(stack: list[str], character: str) -> None:
    if character in _OPEN:
        # Within round brackets `<` compares, as in `(8 > 0)`; templates there do no harm when passed over.
        stack.append(_OPEN[character])
    elif stack and character == stack[-1]:
        stack.pop()
    elif character in ")}" and character in stack:
        while stack.pop() != character:
            pass


def _mangled(name: str) -> str:
    """The function of a mangled name: `_ZN5aiter15fmha_fwd_kernelE` is `fmha_fwd_kernel`."""
    found = _identifiers(name)
    # Its own name is the last before template arguments (`I`) or the end (`E`).
    own = next((i for i, (_, after) in enumerate(found) if after in ("I", "E", "")), len(found) - 1)
    if not found:
        return name
    if found[own][0] in _WRAPPERS and own + 1 < len(found):
        own += 1
    return found[own][0]


def _identifiers(mangled: str) -> list[tuple[str, str]]:
    """The identifiers in a mangled name, each with the character after it; literals are passed over."""
    found = []
    place = 0
    while match := _MANGLED_PART.search(mangled, place):
        place = match.end()
        length = int(match["length"] or 0)
        word = mangled[place : place + length]
        if length and len(word) == length:
            place += length
            found.append((word, mangled[place : place + 1]))
    return found
