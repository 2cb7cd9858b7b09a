"""What happened to everything a trace file held: kept, passed over, lost."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Of one trace file.

    Attributes:
        events: events with a duration that were kept; each is one row of the columns.
        other: events of kinds without a duration (flow arrows, counters, process names): passed over.
        lost: events that were damaged or null, and could not be kept.
        unpaired: begin events without an end, and ends without a begin: dropped too.
        truncated: whether the file ends before the trace does; how much is missing cannot be known.
        ignored_bytes: text after the trace's end, such as a second trace in the same file.
        notes: one sentence for each kind of damage that was seen.
    """

    events: int
    other: int = 0
    lost: int = 0
    unpaired: int = 0
    truncated: bool = False
    ignored_bytes: int = 0
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Tally:
    """The account while it is being kept."""

    other: int = 0
    lost: int = 0
    unpaired: int = 0
    truncated: bool = False
    ignored_bytes: int = 0
    notes: dict[str, None] = field(default_factory=dict)

    def note(self, sentence: str) -> None:
        """Keep `sentence`, once."""
        self.notes[sentence] = None

    def close(self, events: int) -> Account:
        """The finished account of a trace with so many kept events."""
        return Account(
            events=events,
            other=self.other,
            lost=self.lost,
            unpaired=self.unpaired,
            truncated=self.truncated,
            ignored_bytes=self.ignored_bytes,
            notes=tuple(self.notes),
        )
