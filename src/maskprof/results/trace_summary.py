"""What is found in one trace, as typed values: the vocabulary between analysis and the reports that show it.

`results.serialize_trace` maps these to the keys of `maskprof analyze --json`.

Every figure that says where the device's time went comes in a `Breakdown`: one of the whole trace, one of each
range, all with the same fields, so that a step is read as the whole is.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from maskprof.results.trace_account import TraceAccount

BlockSource = Literal["ranges", "modules", "annotations", "period"]
"""How blocks were found: by our ranges, by the profiler's module ranges, by ranges of the user's that are named as a
list of blocks, by a repeating sequence of kernels."""

WorkKind = Literal["kernel", "copy", "memset", "operator"]
"""What a block's work is: an event of the device, or, in a trace without one, an operator."""

Bound = Literal["compute", "memory", "launch", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFacts:
    """Where a trace comes from and what it holds.

    Attributes:
        path: as given.
        events: events with a duration.
        span_us: from the first event's start to the last one's end, of all that have a category; the event by
            which the profiler says how long it recorded does not count.
        devices: names of the devices, one per device; empty for a trace of the host alone.
        ranks: the ranks in the file (usually one); empty where it does not say.
        world_size: how many ranks the job had; None where it does not say.
        shapes, stacks, modules: whether operators' shapes, Python frames, module ranges were recorded.
    """

    path: str
    events: int
    span_us: float
    devices: tuple[str, ...]
    ranks: tuple[int, ...] = ()
    world_size: int | None = None
    shapes: bool = False
    stacks: bool = False
    modules: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTime:
    """How the device spent its time; all streams of all devices taken together.

    `busy_us + idle_us + elsewhere_us == span_us`, of a range as of the whole, where `idle_us` is the sum of the
    three kinds of idle time.

    Attributes:
        kernel_count: kernels (copies and memsets not counted).
        kernel_time_us: sum of the kernels' durations.
        busy_us: union of kernel, copy and memset intervals.
        span_us: from the first device event's start to the last one's end.
        idle_launch_us: idle while the host had not yet launched what ran next (launch-bound): until its launch
            call returned, or until the shortest delay of a launch had passed since it began.
        idle_gap_us: idle although the next event had been launched: the device's own gap between kernels,
            or waiting for an event of another stream.
        idle_other_us: idle before events whose launch is not in the trace, so that no cause can be told.
        elsewhere_us: of a range: between its events, while the device ran what was launched outside of it.
        memcpy_us, memset_us: sums of durations.
        communication_us: union of communication kernels; `exposed_communication_us` is the part of it during
            which no other kernel runs.
        streams: how many streams had work.
    """

    kernel_count: int
    kernel_time_us: float
    busy_us: float
    span_us: float
    idle_launch_us: float
    idle_gap_us: float
    idle_other_us: float
    memcpy_count: int
    memcpy_us: float
    memset_count: int
    memset_us: float
    communication_us: float
    exposed_communication_us: float
    streams: int
    elsewhere_us: float = 0.0

    @property
    def idle_us(self) -> float:
        """Time of the span in which the device did nothing."""
        return self.idle_launch_us + self.idle_gap_us + self.idle_other_us

    @property
    def idle_pct(self) -> float:
        """Share of the span without device work, in percent; 0 for an empty span."""
        return 100.0 * self.idle_us / self.span_us if self.span_us > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceShare:
    """What one of the devices did by itself; `busy_us` is the union of its events, `device` its number in the trace."""

    device: int | str
    name: str
    busy_us: float
    kernel_count: int
    kernel_time_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelTime:
    """All kernels of one name. `share` is of the time of all kernels in the same breakdown."""

    name: str
    category: str
    count: int
    total_us: float
    share: float

    @property
    def mean_us(self) -> float:
        return self.total_us / self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryTime:
    """All device events of one category, copies and memsets among them; `share` is of all of their time.

    `count` is a whole number but in a block's figures, which are means per step.
    """

    category: str
    count: float
    total_us: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFacts:
    """Launch calls that are linked to at least one device event.

    Attributes:
        count: how many; a graph's launch counts once.
        host_us: the host's time inside these calls.
        median_delay_us, p95_delay_us, min_delay_us: from the call's start to the start of its first device
            event. With a full queue this is the queue's depth in time, not the cost of launching.
        mean_queue_depth, max_queue_depth: device events launched and not yet started, seen at each launch.
    """

    count: int
    host_us: float
    median_delay_us: float
    p95_delay_us: float
    min_delay_us: float
    mean_queue_depth: float
    max_queue_depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTime:
    """All calls of one operator on the host.

    `self_us` leaves out the operators called inside, on the same thread. `device_us` and `kernel_count` are of
    the kernels whose innermost operator this is. `category` is what the name says, or `other`.
    """

    name: str
    count: int
    total_us: float
    self_us: float
    device_us: float
    kernel_count: int
    category: str = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Where the time went: of a whole trace, or of everything launched within the ranges of one name.

    `device` and `launches` are None without device events. Lists are by falling total time, and complete.
    """

    device: DeviceTime | None
    kernels: tuple[KernelTime, ...]
    categories: tuple[CategoryTime, ...]
    launches: LaunchFacts | None
    operators: tuple[OperatorTime, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeTime:
    """All ranges of one name on the host (`ProfilerStep#3`, `phase.decode`, a user's own).

    Attributes:
        count: how many.
        host_us: sum of their durations.
        device_us: time of the kernels launched inside them, summed.
        kernel_count: how many those are.
        launch_count: launch calls inside that are linked to a device event.
        breakdown: the same as for the whole trace, of what was launched inside; device time's span is from the
            first to the last event launched inside, summed over the ranges.
        elsewhere_kernel_count, elsewhere_device_us: kernels that other threads launched while such a range was
            open, and their time. A backward pass runs on a thread of its own: with it inside, these are not 0.
    """

    name: str
    count: int
    host_us: float
    device_us: float
    kernel_count: int
    launch_count: int
    breakdown: Breakdown
    elsewhere_kernel_count: int = 0
    elsewhere_device_us: float = 0.0


class BlockWork(NamedTuple):
    """All of one name that a block did, as means per step: device events, or operators where there is no device.

    `total_us` is device time, of operators self time. `category` is as in `KernelTime` and `OperatorTime`. A tuple,
    since there may be thousands of these: a frozen dataclass takes four times as long to make.
    """

    name: str
    kind: WorkKind
    category: str
    count: float  # type: ignore[assignment]  # hides a tuple's method
    total_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTime:
    """One block in one phase; means per step of that phase.

    Attributes:
        block: 0, 1, ... in the order of the model.
        name: what the trace calls it: `block.07`, `LlamaDecoderLayer_7`, `period 7`.
        active: False for a skipped block; None where the trace does not say.
        host_us: the block's turn on the host; None for blocks found by kernels alone, which have none.
        device_us, kernel_count, launch_count: what was launched inside. Copies and memsets are not kernels.
        copy_us, copy_count: copies and memsets launched inside; for a skipped block its dummy cache.
        operator_count: operators called inside, nested ones too.
        bubble_us: device idle time between the last device event launched before the block and the first one
            after it, for a skipped block; None for others and without a device. Skipped blocks that follow one
            another share one bubble by their time on the host, so that bubbles can be added up.
        categories: of the kernels launched inside, per step.
        work: what was done inside, by name and falling time: kernels, copies and memsets; without a device
            operators.
    """

    block: int
    name: str
    active: bool | None
    host_us: float | None
    device_us: float | None
    kernel_count: float
    launch_count: float
    copy_us: float
    copy_count: float
    operator_count: float
    bubble_us: float | None
    categories: tuple[CategoryTime, ...] = ()
    work: tuple[BlockWork, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPhase:
    """All blocks in one phase, whose `steps` they are means over.

    `phase` is `prefill`, `decode`, or `all` where the trace does not tell phases apart; steps that differ by their
    kernels alone are `pattern 1`, `pattern 2`, ... by their first occurrence. `device_us` is of the
    kernels launched in the phase, `outside_device_us` the part of it that is in no block.
    """

    phase: str
    steps: int
    host_us: float | None
    device_us: float | None
    outside_device_us: float | None
    blocks: tuple[BlockTime, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """The blocks of the model that was traced, and how they were found.

    `note` is a sentence on what the source cannot tell; None for our own ranges.
    """

    source: BlockSource
    phases: tuple[BlockPhase, ...]
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePeaks:
    """What a device can do at most, from its maker's data sheet.

    Attributes:
        name: the device as traces call it.
        tflops: dense peak by data type (`bf16`, `fp16`, `tf32`, `fp32`, `fp8`, `fp64`).
        bandwidth_gb_s: device memory.
        source: where the figures are from.
    """

    name: str
    tflops: dict[str, float]
    bandwidth_gb_s: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RooflineRow:
    """Calls of one operator with one set of shapes.

    `flops` and `bytes` are per call, from the shapes (least traffic: each tensor once); of operators that only move
    numbers `flops` is 0. `device_us` is the kernels' time over all `count` calls. Achieved figures are over that time.
    `intensity` is FLOPs per byte. `bound` is `compute` or `memory` by the side of the ridge that the intensity is on,
    `launch` if the device waited longer for the kernels' launch than they ran, `unknown` without a peak of this type.
    `share_of_peak` is of FLOP/s above the ridge and of bandwidth below it.
    """

    operator: str
    shapes: str
    dtype: str
    count: int
    device_us: float
    flops: float
    bytes: float
    tflops: float
    gb_s: float
    intensity: float
    bound: Bound
    share_of_peak: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """Achieved against possible. `covered_us` is the kernel time that the rows explain, of `kernel_time_us`."""

    peaks: DevicePeaks | None
    rows: tuple[RooflineRow, ...]
    covered_us: float
    kernel_time_us: float

    @property
    def without_figure(self) -> float:
        """The share of the kernels' time that no row explains."""
        left = self.kernel_time_us - self.covered_us
        return max(0.0, left / self.kernel_time_us) if self.kernel_time_us > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSummary:
    """All findings of one trace.

    Attributes:
        headline: the first paragraph, a few sentences in plain words: what bounds this run, and the facts that
            show it.
        whole: of everything.
        devices: what each device did by itself, of what `whole` is of; empty for the host alone.
        ranges: by the order of first appearance.
        own_ranges: the same of our blocks' ranges and the instrument's, of which `blocks` has more.
        no_blocks: where `blocks` is None, why none were found and what to record to have them; else None.
    """

    facts: TraceFacts
    headline: tuple[str, ...]
    whole: Breakdown
    ranges: tuple[RangeTime, ...]
    blocks: Blocks | None
    roofline: Roofline | None
    account: TraceAccount
    devices: tuple[DeviceShare, ...] = ()
    own_ranges: tuple[RangeTime, ...] = ()
    no_blocks: str | None = None
