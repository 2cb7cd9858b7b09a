"""What changed between two traces, in words."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from maskprof.counted_nouns import count
from maskprof.kernel_names import short_names
from maskprof.results.trace_comparison import BlockDiffRow, TraceDiff
from maskprof.results.trace_summary import BlockPhase, TraceSummary

_UNITS = (("s", 1e6), ("ms", 1e3), ("us", 1.0))
# A change of the idle share by fewer points than this is not worth a sentence.
_IDLE_POINTS = 3.0
_TIMES = 10
_NEARLY_GONE_PERCENT = -99.0
# So many kernels are named in a sentence, and so long.
_NAMED = 3
_LONGEST_NAME = 48


def headline(a: TraceSummary, b: TraceSummary, found: TraceDiff) -> tuple[str, ...]:
    """What B takes beside A; which blocks are skipped and what went with them; what else changed."""
    sentences = [_whole(a, b), *_blocks(a, b, found), _idle(a, b)]
    return tuple(sentence for sentence in sentences if sentence)


def notes(
    a: TraceSummary, b: TraceSummary, found: TraceDiff, *, relative: float, least_us: float
) -> tuple[str, ...]:
    """What has to be minded in reading the comparison."""
    sentences = [
        f"Same: less than {100 * relative:g} % or {least_us:g} us apart.",
        "More, fewer: calls, where their number explains most of the change.",
        "Each side is one recording: what differs little may be noise.",
    ]
    uneven = [row for row in found.phases if row.count_a != row.count_b and row.count_a and row.count_b]
    sentences += [
        f"A has {row.count_a:g} steps of {row.key}, B {row.count_b:g}: phases and blocks are per step, totals are not."
        for row in uneven
    ]
    if a.facts.devices != b.facts.devices:
        sentences.append(f"Different devices: {_devices(a)} and {_devices(b)}.")
    for letter, side in (("A", a), ("B", b)):
        if side.account.truncated or side.account.events_lost:
            sentences.append(f"{letter} is damaged: what it lacks may be lost, not removed.")
    if (a.blocks is None) != (b.blocks is None):
        sentences.append(
            f"No blocks were found in {'A' if a.blocks is None else 'B'}, so that none are compared."
        )
    elif a.blocks is not None and b.blocks is not None and _totals(a) != _totals(b):
        sentences.append(f"A has {_totals(a)} blocks, B {_totals(b)}: they are compared by number.")
    return tuple(sentences)


def _whole(a: TraceSummary, b: TraceSummary) -> str:
    if a.whole.device is not None and b.whole.device is not None:
        what, one, other = "device", a.whole.device.busy_us, b.whole.device.busy_us
        verb = "is busy for"
    elif a.whole.device is None and b.whole.device is None:
        what = "host"
        one, other = (sum(o.self_us for o in side.whole.operators) for side in (a, b))
        verb = "computes for"
    else:
        which = "A" if a.whole.device is not None else "B"
        return f"Only {which} has device events: host times are compared."
    return f"In B the {what} {verb} {_duration(other)}, {_change(one, other)} A's {_duration(one)}."


def _blocks(a: TraceSummary, b: TraceSummary, found: TraceDiff) -> list[str]:
    sentences = []
    sides = [
        (blocks, letter, masked)
        for blocks, letter, masked in (
            (found.skipped_only_in_b, "B", b),
            (found.skipped_only_in_a, "A", a),
        )
        if blocks
    ]
    for blocks, letter, masked in sides:
        verb = "skips" if _has_any(masked, blocks) else "leaves out"
        sentences.append(f"{letter} {verb} {_numbers(blocks)}{_residue(blocks, found, letter)}.")
    if len(sides) == 1:
        sentences += _gone(*sides[0][:2], found)
    elif elsewhere := _elsewhere(found, sign=1):
        sentences.append(f"Outside of these blocks B has {elsewhere}.")
    sentences += [_only_in("A", found), _only_in("B", found), _rest(found)]
    return [sentence for sentence in sentences if sentence]


def _gone(blocks: Sequence[int], letter: str, found: TraceDiff) -> list[str]:
    """Whether exactly the kernels (without a device: operators) of blocks are gone that only one side leaves out."""
    rows = found.skipped_kernels
    if not rows:
        return []
    sign = 1 if letter == "A" else -1
    word, name = _words(found)
    inside, whole = sum(row.inside_count for row in rows), sum(row.whole_count for row in rows)
    these = "this block" if len(blocks) == 1 else "these blocks"
    elsewhere = _elsewhere(found, sign=-sign)
    left = _left(letter, found)
    if elsewhere:
        are = "is" if inside * sign == 1 else "are"
        gone = f"{count(inside * sign, word)} of {these} {are} gone{left}"
        return [f"{gone}; elsewhere {letter} has {elsewhere}."]
    other = {"A": "B", "B": "A"}[letter]
    fewer = f"{letter} has {whole * sign} fewer {word}s than {other}"
    return [f"{fewer}: exactly those of {these}, {name} by {name}{left}."]


def _left(letter: str, found: TraceDiff) -> str:
    """`; 6 kernels remain in them`: in the blocks that this side skips."""
    steps = {row.key: row.count_a for row in found.phases}
    names = {row.key for row in found.kernels or found.operators}
    remain = round(
        sum(
            (work.count_a if letter == "A" else work.count_b) * steps.get(phase, 0.0)
            for phase, rows in found.blocks.items()
            for row in rows
            if row.status == ("added" if letter == "A" else "removed")
            for work in row.work
            if work.key in names
        )
    )
    if not remain:
        return ""
    where = (
        "it" if len(found.skipped_only_in_a if letter == "A" else found.skipped_only_in_b) == 1 else "them"
    )
    return f", and {count(remain, _words(found)[0])} {'remains' if remain == 1 else 'remain'} in {where}"


def _elsewhere(found: TraceDiff, *, sign: int) -> str:
    """`5 more of sort (in block 2) and 1 fewer of copy`: kernels whose number changed outside of those blocks."""
    rows = [row for row in found.skipped_kernels if row.elsewhere_count]
    rows.sort(key=lambda row: (-abs(row.elsewhere_us), -abs(row.elsewhere_count)))
    names = short_names([row.name for row in rows], _LONGEST_NAME)
    parts = [
        f"{abs(row.elsewhere_count)} {'more' if row.elsewhere_count * sign > 0 else 'fewer'} of {name}"
        f"{_places(row.name, found)}"
        for row, name in list(zip(rows, names, strict=True))[:_NAMED]
    ]
    if len(rows) > _NAMED:
        parts.append(f"other numbers of {count(len(rows) - _NAMED, f'other {_words(found)[1]}')}")
    return _listed(parts)


def _places(name: str, found: TraceDiff) -> str:
    """` (in blocks 2 and 3)`: where, among the blocks that run on both sides, the number changed."""
    blocks = {
        int(row.key)
        for rows in found.blocks.values()
        for row in rows
        if row.status not in ("added", "removed")
        for work in row.work
        if work.key == name and work.count_a != work.count_b
    }
    return f" (in {_numbers(sorted(blocks))})" if blocks else ""


def _words(found: TraceDiff) -> tuple[str, str]:
    """What is counted, and what goes by a name."""
    return ("kernel", "kernel") if found.kernels else ("operator call", "operator")


def _residue(skipped: Sequence[int], found: TraceDiff, letter: str) -> str:
    """`: they take 12.0 us of decode instead of 415 us`, per phase."""
    parts = []
    for phase, rows in found.blocks.items():
        chosen = [row for row in rows if int(row.key) in skipped]
        left = sum(row.us_b if letter == "B" else row.us_a for row in chosen)
        ran = sum(row.us_a if letter == "B" else row.us_b for row in chosen)
        place = "" if phase == "all" else f" in {phase}"
        parts.append(f"{_duration(left)} instead of {_duration(ran)}{place}")
    take = "takes" if len(skipped) == 1 else "take"
    return f", which {take} {_listed(parts)}, per step" if parts else ""


def _rest(found: TraceDiff) -> str:
    """What the blocks that run in both take, beside each other."""
    parts = []
    for phase, rows in found.blocks.items():
        both = [row for row in rows if _in_both(row)]
        one, other = sum(row.us_a for row in both), sum(row.us_b for row in both)
        if one > 0:
            parts.append(
                f"{_change(one, other)} A's {_duration(one)}{'' if phase == 'all' else f' in {phase}'}"
            )
    if not parts:
        return ""
    every = all(_in_both(row) for rows in found.blocks.values() for row in rows)
    return f"{'All blocks' if every else 'Blocks that run in both'} take in B {_listed(parts)}."


def _in_both(row: BlockDiffRow) -> bool:
    return row.status not in ("added", "removed") and row.us_a > 0 and row.us_b > 0


def _only_in(letter: str, found: TraceDiff) -> str:
    """`Only A has blocks 4 to 23: 26.4 ms per step.`: blocks that the other side neither runs nor skips."""
    status, skipped = (
        ("removed", found.skipped_only_in_b) if letter == "A" else ("added", found.skipped_only_in_a)
    )
    parts: list[str] = []
    blocks: set[int] = set()
    for phase, rows in found.blocks.items():
        own = [row for row in rows if row.status == status and int(row.key) not in skipped]
        if own:
            blocks.update(int(row.key) for row in own)
            took = sum(row.us_a if letter == "A" else row.us_b for row in own)
            parts.append(f"{_duration(took)}{'' if phase == 'all' else f' in {phase}'}")
    return f"Only {letter} has {_numbers(sorted(blocks))}: {_listed(parts)} per step." if parts else ""


def _idle(a: TraceSummary, b: TraceSummary) -> str:
    if a.whole.device is None or b.whole.device is None:
        return ""
    one, other = a.whole.device.idle_pct, b.whole.device.idle_pct
    if abs(one - other) < _IDLE_POINTS:
        return ""
    return f"The device idles {other:.0f} % of its span in B, {one:.0f} % in A."


def _change(one: float, other: float) -> str:
    """`12 % more than`, `the same as`, `147 times`; a side without time is said so by the figures."""
    if one <= 0:
        return "beside"
    if other >= _TIMES * one:
        return f"{other / one:.0f} times"
    percent = 100 * (other - one) / one
    if abs(percent) < 0.5:  # noqa: PLR2004 - rounds to 0
        return "the same as"
    if percent <= _NEARLY_GONE_PERCENT and other > 0:
        # What is not all gone is not 100 % less.
        return f"{min(-percent, 99.9):.1f} % less than"
    return f"{abs(percent):.0f} % {'more' if percent > 0 else 'less'} than"


def _phases(summary: TraceSummary) -> Sequence[BlockPhase]:
    return () if summary.blocks is None else summary.blocks.phases


def _has_any(summary: TraceSummary, numbers: Iterable[int]) -> bool:
    """Whether the trace shows any of these blocks, skipped."""
    chosen = set(numbers)
    return any(block.block in chosen for phase in _phases(summary) for block in phase.blocks)


def _totals(summary: TraceSummary) -> int:
    return len({block.block for phase in _phases(summary) for block in phase.blocks})


def _devices(summary: TraceSummary) -> str:
    return _listed(list(dict.fromkeys(summary.facts.devices))) or "none"


def _numbers(blocks: Sequence[int]) -> str:
    """`block 3`, `blocks 0, 4 and 8 to 12`."""
    runs: list[list[int]] = [[blocks[0]]]
    for before, number in pairwise(blocks):
        if number == before + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = []
    for run in runs:
        parts += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else [str(number) for number in run]  # noqa: PLR2004
    return f"block{'s' if len(blocks) > 1 else ''} {_listed(parts)}"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)


def _duration(us: float) -> str:
    unit, factor = next(((unit, factor) for unit, factor in _UNITS if us >= 0.9995 * factor), _UNITS[-1])
    return f"{us / factor:.3g} {unit}" if us / factor < 1000 else f"{us / factor:.0f} {unit}"  # noqa: PLR2004
