"""What is stored of a run: raw samples first, statistics beside them, attribution from the traces.

Attribute names carry their unit. `results.serialize` maps them to the keys of the result file, which are
older than this code (`T_LLM_prefill`, `P50`, ...).
"""

from dataclasses import dataclass, field
from typing import Any

from maskprof.config.knobs import Knobs
from maskprof.config.schema import Variant
from maskprof.results.circumstances import Finding, Sitting

SCHEMA_VERSION = 1

REFERENCE_STAGE = "removed-blocks reference"
"""Stage of a failure of the reference that a masked configuration is compared with: not every model has one."""

HUNG_STAGE = "hung"
"""Stage of a failure that only the end of the process could end: native code did not return."""

PROCESS_STAGE = "its process"
"""Stage of a failure that took the process of an isolated configuration with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One mask carried out in one way at one setting of the knobs: what is measured as a unit.

    Attributes:
        name: folder and table name, unique in a run, such as `first-04-of-16`.
        active: one bool per block, True where it runs.
        strategy: how the blocks were chosen: a strategy's name, or `blocks` for an explicit list.
        skip_mode, dummy_cache, mask_on: how the mask is carried out.
        knobs: crops, prompt, active experts and output length.
    """

    name: str
    active: tuple[bool, ...]
    strategy: str
    skip_mode: str
    dummy_cache: str
    mask_on: str
    knobs: Knobs = Knobs()  # noqa: RUF009 - frozen, so it can be shared

    @property
    def num_total_blocks(self) -> int:
        return len(self.active)

    @property
    def num_active_blocks(self) -> int:
        return sum(self.active)

    @property
    def active_block_indices(self) -> tuple[int, ...]:
        return tuple(i for i, active in enumerate(self.active) if active)

    @property
    def num_skipped_blocks(self) -> int:
        return len(self.active) - sum(self.active)

    @property
    def variant(self) -> str:
        """Short name of the way the mask is carried out, the one that `Fit.variant` holds."""
        return Variant(skip_mode=self.skip_mode, dummy_cache=self.dummy_cache, mask_on=self.mask_on).name


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One clean run: one prefill and its decode steps, with no profiler and no ranges.

    `vision_ms + prefill_ms + decode_ms + remainder_ms == total_ms`, all from the same run. On a GPU the
    phases are timed by events in the stream and the total by the host up to the final synchronisation;
    `host_ms` holds the host's time of the same phases.

    Attributes:
        sample_id: 0, 1, ... within its configuration.
        round: the round of measuring; samples of one round are neighbours in time.
        started_s: host clock at the start, in seconds since the run began; a resumed run goes on from its last sample.
        projector_ms: the part of `vision_ms` in the projector between tower and decoder.
        decode_step_ms: each decode step, `num_output_tokens - 1` of them.
        reference: True where this is the removed-blocks reference run of its configuration.
        sitting: the number of the sitting it was taken in; the circumstances of each are in the result.
    """

    configuration: str
    sample_id: int
    round: int
    started_s: float
    vision_ms: float
    projector_ms: float
    prefill_ms: float
    decode_ms: float
    total_ms: float
    decode_step_ms: tuple[float, ...]
    host_ms: dict[str, float]
    num_input_text_tokens: int
    num_vision_tokens: int
    num_output_tokens: int
    reference: bool = False
    sitting: int = 1

    @property
    def remainder_ms(self) -> float:
        return self.total_ms - self.vision_ms - self.prefill_ms - self.decode_ms

    @property
    def decode_per_token_ms(self) -> float | None:
        """Decode time per decode step; None where there was none (one output token comes from prefill)."""
        return self.decode_ms / (self.num_output_tokens - 1) if self.num_output_tokens > 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Of one phase's samples, in milliseconds; percentiles interpolate linearly, std is the population's.

    `median_ci95` is the median's interval, which takes neighbours in time as alike; `effective_samples` tells
    how many independent samples would give one as wide. Both are None below 5 samples.
    """

    p50: float
    p95: float
    p99: float
    mean: float
    std: float
    min: float
    max: float
    median_ci95: tuple[float, float] | None = None
    effective_samples: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationSummary:
    """The statistics of one configuration; a phase that does not occur is None."""

    configuration: Configuration
    num_samples: int
    vision: Statistics | None
    prefill: Statistics
    decode: Statistics
    decode_per_token: Statistics | None
    total: Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A straight line through the medians: latency = intercept + slope * active blocks.

    Attributes:
        phase: `prefill`, `decode_per_token` or `total`.
        variant, knobs: the way of skipping and the setting of the knobs that the line is of.
        slope_ms_per_block, intercept_ms: with 95 % intervals from the samples' spread, round by round; below 5
            samples from the medians' distances to the line, None where 2 points leave none.
        r2: share of the variance that the line explains; None where all medians are equal.
        departures: (configuration name, measured minus line in ms) where that exceeds the intervals of median and
            line and 2 % of the line; none below 5 samples, which have no interval.
    """

    phase: str
    variant: str
    num_points: int
    slope_ms_per_block: float
    intercept_ms: float
    slope_ci95: tuple[float, float] | None
    intercept_ci95: tuple[float, float] | None
    r2: float | None
    departures: tuple[tuple[str, float], ...]
    knobs: Knobs = Knobs()  # noqa: RUF009 - frozen, so it can be shared


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A fitted figure and its 95 % interval.

    The interval comes from the samples' spread, round by round; below 5 samples from the medians' distances to
    the fit, None where it goes through all of them.
    """

    value: float
    ci95: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnobFit:
    """Depth and one knob together, through the medians: latency = a + b * blocks + c * knob + d * blocks * knob.

    The savings are the fit's, from the largest depth and the largest value of the knob that were measured.

    Attributes:
        phase: `prefill`, `decode_per_token` or `total`.
        variant: the way of skipping.
        knob: the name of the knob, one of `KNOBS`.
        held: the setting of the other knobs; None for `knob` itself.
        num_points: configurations that the fit goes through.
        intercept_ms, ms_per_block, ms_per_unit, ms_per_block_and_unit: a, b, c and d.
        r2: share of the variance that the fit explains; None where all medians are equal, or are all met.
        full_blocks, full_value: the largest depth and value measured.
        halving_blocks_ms, halving_knob_ms, halving_both_ms: what half of each, and half of both, saves there.
    """

    phase: str
    variant: str
    knob: str
    held: Knobs
    num_points: int
    intercept_ms: Estimate
    ms_per_block: Estimate
    ms_per_unit: Estimate
    ms_per_block_and_unit: Estimate
    r2: float | None
    full_blocks: int
    full_value: int
    halving_blocks_ms: Estimate
    halving_knob_ms: Estimate
    halving_both_ms: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A configuration that could not be measured or traced; the others go on."""

    configuration: str
    stage: str
    error: str

    @property
    def costs_configuration(self) -> bool:
        """Whether the configuration itself lacks figures, and not only its comparison."""
        return self.stage != REFERENCE_STAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCost:
    """One block in one phase of one trace; decode figures are per step. Instrument cost is subtracted.

    `host_us` is the block's whole turn on the host, `device_us` the kernel time launched inside it (None
    without a GPU). `mask_check_us` and `cache_us` are None where no such range was there.
    `kernel_count` counts device kernels, on a CPU-only trace the operators called inside.
    """

    block: int
    active: bool
    host_us: float
    device_us: float | None
    mask_check_us: float | None
    cache_us: float | None
    kernel_count: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseCost:
    """All blocks in one phase (`prefill`, or `decode` per step) of one trace."""

    phase: str
    steps: int
    host_us: float
    device_us: float | None
    blocks: tuple[BlockCost, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentCost:
    """What the recording's own ranges cost, measured by empty ones in the same profiler session.

    Attributes:
        inner_us: what an empty inner range reports as its own duration: subtracted from mask check and cache.
        inner_total_us: what an inner range adds to the range around it: subtracted from a block's turn.
        turn_us: what an empty turn reports as its own duration: subtracted from a block's turn.
        next_turn_us, next_inner_total_us: the same for a turn that follows a skipped block's and finds the caches
            still warm; None in traces that have no such empty turns.
        inner_resolution_us: spread of `inner_us`, 5th to 95th percentile; a figure below it is below resolution.
        samples: how many empty turns were measured.
    """

    inner_us: float
    inner_total_us: float
    turn_us: float
    inner_resolution_us: float
    samples: int
    next_turn_us: float | None = None
    next_inner_total_us: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """The skip path's cost measured twice: clean (masked minus removed), and as the traces attribute it.

    `clean_us` is the median of the paired differences with its interval, `attributed_us` the sum over
    skipped blocks of their turns; both for the whole phase (`decode`: per step) and not per block.
    """

    phase: str
    skipped_blocks: int
    clean_us: float | None
    clean_ci95_us: tuple[float, float] | None
    pairs: int
    attributed_us: float | None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """What one configuration's trace says, block by block."""

    configuration: str
    trace: str | None
    phases: tuple[PhaseCost, ...]
    instrument: InstrumentCost | None
    closure: tuple[Closure, ...]
    account: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The model that was measured."""

    name: str
    source: str
    architecture: str
    num_blocks: int
    num_parameters: int
    dtype: str
    has_vision: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A whole run, as stored.

    `environment` is that of the command that wrote it; `sittings` are the stretches of measuring, `findings` what the
    reader should know about how they went.
    """

    config: dict[str, Any]
    environment: dict[str, Any]
    model: ModelFacts
    configurations: tuple[Configuration, ...]
    summary: tuple[ConfigurationSummary, ...]
    samples: tuple[Sample, ...]
    fits: tuple[Fit, ...]
    attribution: tuple[Attribution, ...]
    failures: tuple[Failure, ...]
    knob_fits: tuple[KnobFit, ...] = ()
    sittings: tuple[Sitting, ...] = ()
    findings: tuple[Finding, ...] = ()
    schema_version: int = SCHEMA_VERSION
