"""What became of everything that a trace file held, as a typed value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceAccount:
    """What became of everything in the file; nothing is left out of a figure without a line here.

    Attributes:
        events_kept, events_other: with a duration, and without (flow arrows, counters, names).
        python_frames: with a duration too, and passed over: no figure needs them.
        events_lost: damaged or null; `unpaired`: begins without end and the reverse.
        negative_durations: events that end before they begin by what the file says: their time is taken as 0.
        device_events: kernels, copies, memsets.
        linked: device events whose launch call is in the trace.
        unlinked_before_window: without a launch, and started before the first linked event of their stream (of
            any, where the stream has none): queued before recording began. They count in all device figures, and
            in no range.
        unlinked_other: without a launch for another reason.
        repeated_ids: correlation ids of device events that several launch calls have, as of several processes or
            sessions in one file: the call of the event's process counts, or else the latest before the event.
        from_graphs: device events that share their launch with others (a graph's replay).
        unclassified_count, unclassified_us, unclassified_pct: kernels in category `other`.
        truncated: the file ends before the trace does.
        notes: a sentence for each kind of damage or oddity.
    """

    events_kept: int
    events_other: int
    events_lost: int
    unpaired: int
    device_events: int
    linked: int
    unlinked_before_window: int
    unlinked_other: int
    from_graphs: int
    unclassified_count: int
    unclassified_us: float
    unclassified_pct: float
    truncated: bool
    ignored_bytes: int = 0
    python_frames: int = 0
    negative_durations: int = 0
    repeated_ids: int = 0
    notes: tuple[str, ...] = ()
