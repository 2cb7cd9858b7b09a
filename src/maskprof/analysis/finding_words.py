"""Numbers, names and categories as the sentences on a trace have them."""

from maskprof.kernel_names import short_names

_WORDS = {
    "gemm": "matrix products",
    "moe": "mixtures of experts",
    "conv": "convolutions",
    "norm": "norms",
    "kv_cache": "the KV cache",
    "embedding": "embedding and indexing",
    "quantise": "quantising",
    "reduction": "reductions",
    "sort": "sorting and scans",
    "fused": "fused kernels",
    "compiled": "compiled graphs",
    "elementwise": "elementwise kernels",
    "copy": "copies",
    "memset": "memsets",
    "recurrent": "recurrent kernels",
    "optimizer": "the optimizer",
    "rope": "rotary embedding",
    "other": "unclassified kernels",
}
_LONGEST_NAME = 72
_LEAST_PERCENT = 0.1


def words(category: str) -> str:
    """A category of kernels or operators as a noun."""
    return _WORDS.get(category, category)


def short(name: str) -> str:
    """A kernel's or operator's name without what a sentence has no room for."""
    return short_names([name], _LONGEST_NAME)[0]


def percent(part: float, whole: float) -> str:
    """A share in percent: whole ones, but nothing is called all or none that is not."""
    share = 100 * part / whole
    if 0 < share < _LEAST_PERCENT:
        return f"less than {_LEAST_PERCENT:g} %"
    if 100 - _LEAST_PERCENT < share < 100:  # noqa: PLR2004
        return f"more than {100 - _LEAST_PERCENT:g} %"
    return f"{share:.1f} %" if 0 < share < 1 or 99 <= share < 100 else f"{share:.0f} %"  # noqa: PLR2004


def time(us: float) -> str:
    """A time with three digits and its unit."""
    for unit, scale in (("s", 1e6), ("ms", 1e3)):
        # 999.7 us would be 1e+03 us.
        if us >= 0.9995 * scale:
            return f"{us / scale:.3g} {unit}"
    return f"{us:.3g} us"
