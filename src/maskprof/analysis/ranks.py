"""The ranks of one job side by side, and which of them the others wait for."""

import re
from collections.abc import Sequence
from pathlib import PurePath
from statistics import median

from maskprof.results.trace_comparison import RankComparison, RankRow
from maskprof.results.trace_summary import TraceSummary

# Ranks of which the slowest costs the others less than this share of their span do not differ in earnest.
LEAST_SHARE = 0.02
# A straggler waits at most this share of what the rank waits that waits longest.
_WAITS_LITTLE = 0.1

_IN_NAME = re.compile(r"(?:^|[^a-z])(?:rank|worker|node|gpu|tp|dp|pp)[-_.=]?(\d{1,6})(?!\d)")


def compare_ranks(summaries: Sequence[TraceSummary]) -> RankComparison | None:
    """The ranks among these traces, by what their metadata says, else by their files' names.

    None where fewer than two different ranks are known: then the traces are not those of one job.
    """
    known = [(rank, summary) for summary in summaries if (rank := rank_of(summary)) is not None]
    known.sort(key=lambda found: found[0])
    by_rank: dict[int, list[TraceSummary]] = {}
    for rank, summary in known:
        by_rank.setdefault(rank, []).append(summary)
    if len(by_rank) < 2:  # noqa: PLR2004 - one rank is not several
        return None
    least = min(_communication_us(found[0]) for found in by_rank.values())
    rows = tuple(_row(rank, found[0], least) for rank, found in by_rank.items())
    stragglers = _stragglers(rows)
    return RankComparison(
        rows=rows,
        stragglers=stragglers,
        notes=(*_straggler_notes(rows, stragglers), *_completeness_notes(by_rank, summaries, len(known))),
    )


def rank_of(summary: TraceSummary) -> int | None:
    """The trace's rank: from its metadata, else from its file's name (`rank3`, `worker_3`, `tp3`); None if unknown."""
    if len(summary.facts.ranks) == 1:
        return summary.facts.ranks[0]
    if summary.facts.ranks:
        return None
    path = PurePath(summary.facts.path)
    # The folder's name may have it where each rank wrote to its own.
    for part in (path.name, path.parent.name):
        if found := _IN_NAME.search(part.lower()):
            return int(found[1])
    return None


def _row(rank: int, summary: TraceSummary, least_communication_us: float) -> RankRow:
    device = summary.whole.device
    communication_us = _communication_us(summary)
    return RankRow(
        rank=rank,
        path=summary.facts.path,
        span_us=device.span_us if device else summary.facts.span_us,
        busy_us=device.busy_us if device else 0.0,
        compute_us=device.busy_us - device.exposed_communication_us if device else 0.0,
        communication_us=communication_us,
        wait_us=communication_us - least_communication_us,
        idle_pct=device.idle_pct if device else 0.0,
    )


def _communication_us(summary: TraceSummary) -> float:
    return summary.whole.device.communication_us if summary.whole.device else 0.0


def _stragglers(rows: Sequence[RankRow]) -> tuple[int, ...]:
    span_us = median(row.span_us for row in rows)
    longest_wait = max(row.wait_us for row in rows)
    if longest_wait > 0:
        if longest_wait < LEAST_SHARE * span_us:
            return ()
        late = [row.rank for row in rows if row.wait_us <= _WAITS_LITTLE * longest_wait]
        # Where as many come late as wait, no rank stands out.
        return tuple(late) if 2 * len(late) <= len(rows) else ()
    busy = median(row.busy_us for row in rows)
    return tuple(row.rank for row in rows if row.busy_us - busy > max(LEAST_SHARE * span_us, 0.05 * busy))


def _straggler_notes(rows: Sequence[RankRow], stragglers: Sequence[int]) -> list[str]:
    others = [row for row in rows if row.rank not in stragglers]
    if not stragglers:
        longest = max(row.wait_us for row in rows)
        return [f"No rank holds up the others: none waits more than {_ms(longest)} in communication."]
    notes = []
    for row in rows:
        if row.rank not in stragglers:
            continue
        computes = (
            f"computes for {_ms(row.compute_us)}, the others for {_ms(median(o.compute_us for o in others))}"
        )
        waiting = median(other.wait_us for other in others)
        if waiting > 0:
            share = 100 * median(other.wait_us / other.span_us for other in others if other.span_us > 0)
            notes.append(
                f"Rank {row.rank} is a straggler: the others wait {_ms(waiting)} for it ({share:.0f} % of their span; "
                f"medians). It {computes}."
            )
        else:
            notes.append(f"Rank {row.rank} is slower than the others: it {computes}.")
    return notes


def _completeness_notes(
    by_rank: dict[int, list[TraceSummary]], summaries: Sequence[TraceSummary], known: int
) -> list[str]:
    notes = []
    sizes = sorted({s.facts.world_size for s in summaries if s.facts.world_size is not None})
    if len(sizes) > 1:
        notes.append(f"The traces are of jobs of different sizes: {', '.join(map(str, sizes))} ranks.")
    elif sizes:
        missing = [rank for rank in range(sizes[0]) if rank not in by_rank]
        if missing:
            shown = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")  # noqa: PLR2004
            what = f"rank {shown} is" if len(missing) == 1 else f"ranks {shown} are"
            notes.append(f"The job had {sizes[0]} ranks: {what} missing here.")
    for rank, found in by_rank.items():
        if len(found) > 1:
            notes.append(
                f"Rank {rank} is in {len(found)} files: {found[0].facts.path} is compared, "
                f"{', '.join(s.facts.path for s in found[1:])} not."
            )
    if known < len(summaries):
        count = len(summaries) - known
        notes.append(f"{count} trace{'s' if count > 1 else ''} of unknown rank: not compared.")
    hurt = [
        rank for rank, found in by_rank.items() if found[0].account.truncated or found[0].account.events_lost
    ]
    if hurt:
        notes.append(f"Damaged: the trace of rank {', '.join(map(str, hurt))}; its figures are too low.")
    return notes


def _ms(us: float) -> str:
    return f"{us / 1000:.3g} ms"
