"""Long traces made of short ones: everything that is done piece by piece, done in the smallest pieces."""

from maskprof.analysis import operators, pair_sums, roofline
from maskprof.traces import pieces, spilling


def cut_small(patch):
    """Make every array a long one: cut, sorted in several goes, and on disk."""
    patch.setattr(operators, "_WINDOW", 2)
    patch.setattr(roofline, "_TOGETHER", 2)
    patch.setattr(pair_sums, "_DENSE", 0)
    patch.setattr(pair_sums, "_MERGE_AT", 2)
    patch.setattr(pieces, "PIECE", 3)
    patch.setattr(pieces, "_SPAN", 4)
    patch.setattr(pieces, "_SORTED_AT_ONCE", 4)
    patch.setattr(spilling, "LEAST_BYTES", 8)
