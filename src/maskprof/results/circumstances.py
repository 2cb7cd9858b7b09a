"""What is stored of the circumstances of a measurement: how it warmed up, what the machine did meanwhile."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """The unrecorded rounds at the start of one sitting.

    Attributes:
        rounds: how many there were, all of them discarded.
        changed_at: the round from which on times no longer changed; where `ended` is `cap`, the best guess.
        ended: `settled`, `cap` where the most rounds were made, `none` where none were asked for.
        round_ms: per round the geometric mean of one pass of each configuration.
    """

    rounds: int
    changed_at: int
    ended: str
    round_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuState:
    """One GPU at one moment; None is what its driver does not tell."""

    sm_mhz: int | None
    temperature_c: int | None
    power_w: float | None
    slowed_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """The machine at the start of a round; None is what cannot be seen here.

    Shares are since the round before, of all processors together.

    Attributes:
        round: the round that began then.
        cpu_mhz: mean over the processors.
        probe_us: a fixed piece of arithmetic, the fastest of a few tries: tells the processor's speed even where
            its frequency is hidden.
        others_share: busy with what is not this process.
        stolen_share: wanted by this virtual machine and given to another.
        load: the load average of the last minute.
    """

    round: int
    cpu_mhz: float | None
    probe_us: float
    others_share: float | None
    stolen_share: float | None
    load: float | None
    gpu: GpuState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """One stretch of measuring with one warm-up.

    Each time the command measured something is a sitting, so a run that was resumed has several. With `--isolate`
    a sitting has a stretch for each configuration, all under its number.

    Attributes:
        number: of the sitting, from 1; samples name it.
        configuration: with `--isolate` the one that was measured; None where they were interleaved.
        environment: machine and versions then, by the keys of the result's own; empty where that was not kept.
        warmup: None where the command ended before its warm-up did.
        states: by the rounds measured.
    """

    number: int = 1
    configuration: str | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    warmup: Warmup | None
    states: tuple[MachineState, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about a machine or a run that the reader should know.

    Attributes:
        topic: one word, such as `load`.
        is_warning: it can spoil figures; otherwise it explains them.
        text: what was seen, in a sentence.
        advice: what to do about it; empty where there is nothing.
    """

    topic: str
    is_warning: bool
    text: str
    advice: str = ""
