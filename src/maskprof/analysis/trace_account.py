"""What became of every device event, so that no figure leaves anything out unsaid."""

import numpy as np

from maskprof.analysis.device_work import DeviceWork
from maskprof.analysis.evidence import Evidence
from maskprof.counted_nouns import count
from maskprof.results.trace_account import TraceAccount
from maskprof.results.trace_summary import Breakdown
from maskprof.traces.columns import Bools
from maskprof.traces.pieces import slices


def trace_account(evidence: Evidence, whole: Breakdown, *, repeated_ids: int) -> TraceAccount:
    """Count what is linked to a launch, what is not and why, and what fell in no category.

    `whole` is what the report shows; where that is only a part of the trace, a note says how much is outside.
    `repeated_ids` are of several launch calls.
    """
    work = evidence.work
    linked = work.call >= 0
    before = _queued_before(work, linked)
    events_per_call = np.diff(evidence.calls.bounds)
    unclassified = [kernel for kernel in whole.kernels if kernel.category == "other"]
    unclassified_us = sum(kernel.total_us for kernel in unclassified)
    kernel_us = sum(kernel.total_us for kernel in whole.kernels)
    read = evidence.trace.account
    notes = read.notes
    outside = len(work) - sum(category.count for category in whole.categories)
    if outside:
        note = (
            f"{outside} of {count(len(work), 'device event')} {'was' if outside == 1 else 'were'} launched outside of "
            f"the chosen ranges, or on other threads, and {'is' if outside == 1 else 'are'} in no figure"
        )
        notes = (*notes, note)
    return TraceAccount(
        events_kept=read.events,
        python_frames=read.frames,
        events_other=read.other,
        events_lost=read.lost,
        unpaired=read.unpaired,
        negative_durations=read.negative_durations,
        device_events=len(work),
        linked=int(linked.sum()),
        unlinked_before_window=int(before.sum()),
        unlinked_other=int((~linked & ~before).sum()),
        repeated_ids=repeated_ids,
        from_graphs=int(events_per_call[events_per_call > 1].sum()),
        unclassified_count=sum(kernel.count for kernel in unclassified),
        unclassified_us=unclassified_us,
        unclassified_pct=100 * unclassified_us / kernel_us if kernel_us else 0.0,
        truncated=read.truncated,
        ignored_bytes=read.ignored_bytes,
        notes=notes,
    )


def _queued_before(work: DeviceWork, linked: Bools) -> Bools:
    """Which events without a launch were queued before the profiler's window.

    A stream runs its events in the order of their launches, so whatever a stream ran before the first event whose
    launch is in the trace was launched before that. On a stream without any such event, the first of all counts.
    """
    never = np.iinfo(np.int64).max
    first = np.full(work.streams, never, dtype=np.int64)
    for piece in slices(len(work)):
        chosen = linked[piece]
        np.minimum.at(first, work.stream[piece][chosen], work.start_ns[piece][chosen])
    earliest = int(first.min(initial=never))
    first[first == never] = 0 if earliest == never else earliest
    before = ~linked
    for piece in slices(len(work)):
        before[piece] &= work.start_ns[piece] < first[work.stream[piece]]
    return before
