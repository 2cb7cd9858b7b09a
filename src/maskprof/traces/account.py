"""What happened to everything a trace file held: kept, passed over, lost."""

from dataclasses import dataclass, field

_MOST_PLACES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a file something was lost.

    Attributes:
        event: number of the event in the file's list, counted from 0 and of all kinds.
        byte: offset in the text (after unpacking) where it starts; None where only the number is known.
    """

    event: int
    byte: int | None = None

    def __str__(self) -> str:
        return f"event {self.event}" if self.byte is None else f"event {self.event} at byte {self.byte}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Of one trace file.

    Attributes:
        events: events with a duration that were kept; each is one row of the columns.
        frames: Python frames, which have a duration too and were passed over, since no analysis needs them
            (the ranges of modules are kept); 0 where `read_trace` was asked to keep them.
        frames_ns: when the first of those began and the last one ended; None without any.
        other: events of kinds without a duration (flow arrows, counters, process names): passed over.
        lost: events that were damaged or null, and could not be kept.
        lost_at: where the first of them stood.
        unpaired: begin events without an end, and ends without a begin: dropped too.
        negative_durations: events that end before they begin by what the file says; their durations are taken as 0.
        truncated: whether the file ends before the trace does; how much is missing cannot be known.
        text_bytes: length of the text, after unpacking.
        ignored_bytes: text after the trace's end, such as a second trace in the same file.
        notes: one sentence for each kind of damage that was seen, with where it was seen first.
    """

    events: int
    frames: int = 0
    frames_ns: tuple[int, int] | None = None
    other: int = 0
    lost: int = 0
    lost_at: tuple[Place, ...] = ()
    unpaired: int = 0
    negative_durations: int = 0
    truncated: bool = False
    text_bytes: int = 0
    ignored_bytes: int = 0
    notes: tuple[str, ...] = ()

    @property
    def with_duration(self) -> int:
        """Sound events with a duration that the file holds, kept or passed over."""
        return self.events + self.frames


@dataclass(slots=True)
class Tally:
    """The account while it is being kept."""

    frames: int = 0
    frames_ns: tuple[int, int] | None = None
    other: int = 0
    lost: int = 0
    unpaired: int = 0
    negative_durations: int = 0
    truncated: bool = False
    text_bytes: int = 0
    ignored_bytes: int = 0
    seen: int = 0
    """Events of all kinds so far, lost ones too."""
    _lost_at: list[Place] = field(default_factory=list)
    _notes: dict[str, str] = field(default_factory=dict)

    def note(self, sentence: str, where: str = "") -> None:
        """Keep `sentence`, once, with where it was first true."""
        self._notes.setdefault(sentence, where)

    def pass_over(self, frames: int, start_ns: int, end_ns: int) -> None:
        """Count Python frames, the first of which begins at `start_ns` and the last of which ends at `end_ns`."""
        first, last = self.frames_ns or (start_ns, end_ns)
        self.frames += frames
        self.frames_ns = min(first, start_ns), max(last, end_ns)

    def lose(self, count: int, *, after: int = 0, byte: int | None = None) -> None:
        """Count lost events, the first of which comes `after` so many others that are not in `seen` yet."""
        self.lost += count
        if count and len(self._lost_at) < _MOST_PLACES:
            self._lost_at.append(Place(event=self.seen + after, byte=byte))

    def close(self, events: int) -> Account:
        """The finished account of a trace with so many kept events."""
        if self.lost:
            were = "1 event was" if self.lost == 1 else f"{self.lost} events were"
            self.note(f"{were} lost: damaged, null, or without a time", f"first {self._lost_at[0]}")
        return Account(
            events=events,
            frames=self.frames,
            frames_ns=self.frames_ns,
            other=self.other,
            lost=self.lost,
            lost_at=tuple(self._lost_at),
            unpaired=self.unpaired,
            negative_durations=self.negative_durations,
            truncated=self.truncated,
            text_bytes=self.text_bytes,
            ignored_bytes=self.ignored_bytes,
            notes=tuple(f"{note} ({where})" if where else note for note, where in self._notes.items()),
        )
