"""A flame view of one phase: the blocks along its time, each as wide as its share."""

from collections.abc import Sequence
from itertools import accumulate

from maskprof.reports import units
from maskprof.results.trace_summary import BlockPhase, Blocks

# Narrower than this no block could be told from the next.
LEAST_WIDTH = 20
_LABEL = "blocks  "
_SHADES = "█▓"
_SKIPPED = "░"
_REST = "·"


def flame(blocks: Blocks | None, width: int) -> tuple[str, ...]:
    """Lines at most `width` wide: per phase a strip of its blocks, light where skipped, dots for what is in no block.

    No lines where there are more blocks than characters.
    """
    lines: list[str] = []
    room = width - len(_LABEL)
    for phase in blocks.phases if blocks is not None else ():
        times, whole, what = _times(phase)
        if whole <= 0 or room < max(LEAST_WIDTH, len(times)) or not times:
            continue
        *widths, rest = _widths([*times, max(0.0, whole - sum(times))], room)
        cells = "".join(
            (_SKIPPED if block.active is False else _SHADES[place % 2]) * cell
            for place, (block, cell) in enumerate(zip(phase.blocks, widths, strict=True))
        )
        name = "One step" if phase.phase == "all" else f"One step of {phase.phase}"
        if lines:
            lines.append("")
        lines += [
            f"{name}: {units.duration_us(whole)} of {what} time, {units.duration_us(whole / room)} a character",
            f"{_LABEL}{cells}{_REST * rest}",
            f"{' ' * len(_LABEL)}{_labels([block.block for block in phase.blocks], widths, room)}".rstrip(),
        ]
    return tuple(lines)


def _times(phase: BlockPhase) -> tuple[list[float], float, str]:
    if phase.device_us is not None:
        times = [(block.device_us or 0.0) + block.copy_us for block in phase.blocks]
        return times, max(phase.device_us, sum(times) + (phase.outside_device_us or 0.0)), "device"
    times = [block.host_us or 0.0 for block in phase.blocks]
    return times, max(phase.host_us or 0.0, sum(times)), "host"


def _widths(times: Sequence[float], room: int) -> list[int]:
    """Whole characters for each time, in all `room`; each block gets at least one, the rest (the last) what is left."""
    whole = sum(times)
    ends = [round(room * (end / whole)) for end in accumulate(times)]
    ends[-1] = room
    widths = [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    for place in range(len(times) - 1):
        while widths[place] < 1:
            # What a sliver needs is taken from the widest.
            widest = max(range(len(widths)), key=lambda other: widths[other])
            widths[widest] -= 1
            widths[place] += 1
    return widths


def _labels(numbers: Sequence[int], widths: Sequence[int], room: int) -> str:
    """Each block's number under its beginning, where a space is left after the one before."""
    text, place = "", 0
    for number, width in zip(numbers, widths, strict=True):
        label = str(number)
        if (len(text) < place or not place) and place + len(label) <= room:
            text = text.ljust(place) + label
        place += width
    return text
