"""Summaries of traces made by hand: round figures, so that every number in a table can be checked by eye."""

from dataclasses import replace

from maskprof.results.trace_account import TraceAccount
from maskprof.results.trace_summary import (
    BlockPhase,
    Blocks,
    BlockTime,
    BlockWork,
    Breakdown,
    CategoryTime,
    DevicePeaks,
    DeviceTime,
    KernelTime,
    LaunchFacts,
    OperatorTime,
    RangeTime,
    Roofline,
    RooflineRow,
    TraceFacts,
    TraceSummary,
)

ADD = (
    "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, std::array<char*, 3ul> >"
    "(int, at::native::CUDAFunctor_add<float>, std::array<char*, 3ul>)"
)
MUL = ADD.replace("CUDAFunctor_add", "binary_internal::MulFunctor")
GEMM = (
    "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_warpgroupsize1x1x1_execute_segment_k_off_kernel"
    "__5x_cublas"
)
FLASH = (
    "void pytorch_flash::flash_fwd_kernel<pytorch_flash::Flash_fwd_kernel_traits<64, 128, 128, 4, false, false, "
    "cutlass::bfloat16_t>, false, true>(pytorch_flash::Flash_fwd_params)"
)
ALL_REDUCE = "ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevKernelArgsStorage<4096ul>)"
# One kernel of each kind in a block: (name, category, us).
IN_BLOCK = (
    (GEMM, "GEMM", 40.0),
    (FLASH, "attention", 20.0),
    (ADD, "elementwise", 5.0),
    (MUL, "elementwise", 4.0),
)
BLOCK_US = sum(us for _, _, us in IN_BLOCK)


def kernels_of(counts: dict[str, tuple[str, int, float]]) -> tuple[KernelTime, ...]:
    """From {name: (category, count, us each)}, by falling total."""
    whole = sum(count * us for _, count, us in counts.values())
    found = [
        KernelTime(name=name, category=category, count=count, total_us=count * us, share=count * us / whole)
        for name, (category, count, us) in counts.items()
        if count
    ]
    return tuple(sorted(found, key=lambda kernel: -kernel.total_us))


def categories_of(kernels, **others: tuple[int, float]) -> tuple[CategoryTime, ...]:
    """The categories of these kernels, with others as `copy=(count, us)`."""
    found: dict[str, tuple[int, float]] = dict(others)
    for kernel in kernels:
        count, us = found.get(kernel.category, (0, 0.0))
        found[kernel.category] = count + kernel.count, us + kernel.total_us
    whole = sum(us for _, us in found.values())
    rows = [
        CategoryTime(category=name, count=count, total_us=us, share=us / whole)
        for name, (count, us) in found.items()
        if count
    ]
    return tuple(sorted(rows, key=lambda row: -row.total_us))


def make_device(kernels, *, memset_count=0, communication_us=0.0, idle_launch_us=300.0) -> DeviceTime:
    kernel_us = sum(kernel.total_us for kernel in kernels)
    memset_us = 2.0 * memset_count
    busy_us = kernel_us + memset_us
    return DeviceTime(
        kernel_count=sum(kernel.count for kernel in kernels),
        kernel_time_us=kernel_us,
        busy_us=busy_us,
        span_us=busy_us + idle_launch_us + 60.0,
        idle_launch_us=idle_launch_us,
        idle_gap_us=50.0,
        idle_other_us=10.0,
        memcpy_count=0,
        memcpy_us=0.0,
        memset_count=memset_count,
        memset_us=memset_us,
        communication_us=communication_us,
        exposed_communication_us=communication_us / 2,
        streams=2 if communication_us else 1,
    )


# What a block calls on a machine without a device: (name, category, calls, us of all of them).
ON_HOST = (
    ("aten::addmm", "gemm", 3.0, 40.0),
    ("aten::add", "elementwise", 6.0, 6.0),
    ("aten::linear", "gemm", 3.0, 4.0),
)


def work_of(is_active: bool, scale: float, *, device: bool) -> tuple[BlockWork, ...]:
    """A block's kernels; its memset where it is skipped; without a device its operators."""
    if device and is_active:
        return tuple(
            BlockWork(name=name, kind="kernel", category=category, count=1.0, total_us=us * scale)
            for name, category, us in IN_BLOCK
        )
    if device:
        return (BlockWork(name="Memset (Device)", kind="memset", category="memset", count=1.0, total_us=2.0),)
    if is_active:
        return tuple(
            BlockWork(name=name, kind="operator", category=category, count=count, total_us=us)
            for name, category, count, us in ON_HOST
        )
    return (BlockWork(name="aten::add", kind="operator", category="elementwise", count=1.0, total_us=0.5),)


def make_blocks(active, *, steps=4, device=True, source="ranges", told=True, note=None) -> Blocks:
    """Blocks in prefill (ten times as dear) and decode; a skipped one keeps 1.5 us on the host and a memset."""

    def block(number: int, is_active: bool, scale: float) -> BlockTime:
        figures = {
            "host_us": (50.0 + number if is_active else 1.5) if told else None,
            "device_us": (BLOCK_US * scale if is_active else 0.0) if device else None,
            "kernel_count": float(len(IN_BLOCK)) if is_active and device else 0.0,
            "launch_count": float(len(IN_BLOCK)) if is_active and device else float(device),
            "copy_us": 2.0 if device and not is_active else 0.0,
            "copy_count": float(device and not is_active),
            "operator_count": 12.0 if is_active else 1.0,
            "bubble_us": 3.0 if device and not is_active else None,
        }
        categories = categories_of(kernels_of({name: (kind, 1, us * scale) for name, kind, us in IN_BLOCK}))
        return BlockTime(
            block=number,
            name=f"block.{number:02d}" if told else f"period {number}",
            active=is_active if told else None,
            categories=categories if is_active and device else (),
            work=work_of(is_active, scale, device=device),
            **figures,
        )

    phases = []
    for phase, scale, count in (("prefill", 10.0, 1), ("decode", 1.0, steps)):
        blocks = tuple(block(number, is_active, scale) for number, is_active in enumerate(active))
        phases.append(
            BlockPhase(
                phase=phase,
                steps=count,
                host_us=sum(b.host_us for b in blocks) + 30.0 if told else None,
                device_us=sum(b.device_us for b in blocks) + 25.0 if device else None,
                outside_device_us=25.0 if device else None,
                blocks=blocks,
            )
        )
    return Blocks(source=source, phases=tuple(phases), note=note)


OPERATORS = (
    OperatorTime(
        name="aten::linear", count=80, total_us=4000.0, self_us=200.0, device_us=0.0, kernel_count=0
    ),
    OperatorTime(
        name="aten::addmm", count=80, total_us=3800.0, self_us=3700.0, device_us=0.0, kernel_count=0
    ),
    OperatorTime(name="aten::add", count=160, total_us=480.0, self_us=480.0, device_us=0.0, kernel_count=0),
)
PEAKS = DevicePeaks(
    name="NVIDIA H100",
    tflops={"bf16": 989.4, "fp32": 66.9},
    bandwidth_gb_s=3350.0,
    source="https://example.org/h100.pdf",
)
ACCOUNT = TraceAccount(
    events_kept=2000,
    events_other=900,
    events_lost=0,
    unpaired=0,
    device_events=0,
    linked=0,
    unlinked_before_window=0,
    unlinked_other=0,
    from_graphs=0,
    unclassified_count=0,
    unclassified_us=0.0,
    unclassified_pct=0.0,
    truncated=False,
)


def make_facts(path="traces/first-10-of-16/worker.1.pt.trace.json.gz", **changes) -> TraceFacts:
    return replace(
        TraceFacts(path=path, events=2000, span_us=20_000.0, devices=("NVIDIA H100 80GB HBM3",), shapes=True),
        **changes,
    )


def gpu_summary(num_active=10, total=16, *, rank=None, world_size=None, wait_us=0.0, **facts) -> TraceSummary:
    """A model of `total` blocks on a GPU, of which the first `num_active` run, in one prefill and 4 decode steps."""
    steps, skipped = 5, total - num_active
    # A kernel of prefill takes ten times as long as one of the four steps of decode.
    counts = {name: (kind, steps * num_active, us * 14 / 5) for name, kind, us in IN_BLOCK}
    if world_size:
        counts[ALL_REDUCE] = ("communication", 5, 30.0 + wait_us / 5)
    kernels = kernels_of(counts)
    memsets = steps * skipped
    communication_us = 150.0 + wait_us if world_size else 0.0
    device = make_device(kernels, memset_count=memsets, communication_us=communication_us)
    launches = LaunchFacts(
        count=device.kernel_count + memsets,
        host_us=5.0 * device.kernel_count,
        median_delay_us=12.0,
        p95_delay_us=80.0,
        min_delay_us=4.5,
        mean_queue_depth=3.25,
        max_queue_depth=17,
    )
    whole = Breakdown(
        device=device,
        kernels=kernels,
        categories=categories_of(kernels, memset=(memsets, 2.0 * memsets)),
        launches=launches,
        operators=tuple(replace(o, device_us=o.self_us / 2, kernel_count=o.count) for o in OPERATORS),
    )
    ranges = tuple(
        RangeTime(
            name=name,
            count=count,
            host_us=900.0 * count,
            device_us=device.kernel_time_us * count / 5,
            kernel_count=device.kernel_count * count // 5,
            launch_count=launches.count * count // 5,
            breakdown=whole,
        )
        for name, count in (("phase.prefill", 1), ("phase.decode", 4))
    )
    roofline = Roofline(
        peaks=PEAKS,
        rows=(
            RooflineRow(
                operator="aten::addmm",
                shapes="[1, 2048] x [2048, 8192]",
                dtype="bf16",
                count=50,
                device_us=2000.0,
                flops=33_554_432.0,
                bytes=33_574_912.0,
                tflops=0.84,
                gb_s=839.4,
                intensity=1.0,
                bound="memory",
                share_of_peak=0.25,
            ),
        ),
        covered_us=2000.0,
        kernel_time_us=device.kernel_time_us,
    )
    account = replace(
        ACCOUNT,
        device_events=device.kernel_count + memsets,
        linked=device.kernel_count + memsets,
    )
    return TraceSummary(
        facts=make_facts(ranks=() if rank is None else (rank,), world_size=world_size, **facts),
        headline=("The device is busy 90 % of the time.", "GEMM takes 58 % of it."),
        whole=whole,
        ranges=ranges,
        blocks=make_blocks([number < num_active for number in range(total)]),
        roofline=roofline,
        account=account,
    )


def cpu_summary(num_active=10, total=16, **facts) -> TraceSummary:
    """The same on a machine without a device."""
    whole = Breakdown(device=None, kernels=(), categories=(), launches=None, operators=OPERATORS)
    return TraceSummary(
        facts=make_facts(devices=(), **facts),
        headline=("No device: the host computes.",),
        whole=whole,
        ranges=(
            RangeTime(
                name="phase.prefill", count=1, host_us=900.0, device_us=0.0, kernel_count=0, launch_count=0,
                breakdown=whole,
            ),
        ),
        blocks=make_blocks([number < num_active for number in range(total)], device=False),
        roofline=None,
        account=ACCOUNT,
    )  # fmt: skip


def strange_summary() -> TraceSummary:
    """Every name in it would do harm if it were shown as it is."""
    bad = "\x1b[31mred\x1b[0m [bold]b[/bold] a|b <img src=x> `c` *d*\n\u202eright\ud800\x9b2J\x07 =1+1"
    summary = gpu_summary(4, 6)
    whole = summary.whole
    whole = replace(
        whole,
        kernels=(replace(whole.kernels[0], name=bad, category=bad), *whole.kernels[1:]),
        categories=(replace(whole.categories[0], category=bad), *whole.categories[1:]),
        operators=(replace(whole.operators[0], name=bad), *whole.operators[1:]),
    )
    assert summary.blocks is not None
    assert summary.roofline is not None
    return replace(
        summary,
        facts=replace(summary.facts, path=bad, devices=(bad,)),
        headline=(f"Most is {bad}.",),
        whole=whole,
        ranges=(replace(summary.ranges[0], name=bad, breakdown=whole),),
        blocks=replace(
            summary.blocks,
            source="modules",
            note=f"Of {bad}.",
            phases=tuple(
                replace(phase, blocks=tuple(replace(block, name=bad, active=None) for block in phase.blocks))
                for phase in summary.blocks.phases
            ),
        ),
        roofline=replace(
            summary.roofline,
            rows=(replace(summary.roofline.rows[0], operator=bad, shapes=bad, dtype=bad),),
        ),
        account=replace(summary.account, notes=(f"Lost {bad}.",)),
    )


def ranks_of_job(size, *, late=None, missing=(), **facts) -> list[TraceSummary]:
    """The ranks of one job; all but `late` wait 2 ms for it, each a little longer than the one before."""
    found = []
    for rank in range(size):
        if rank in missing:
            continue
        wait_us = 0.0 if late in (None, rank) else 2000.0 + 10.0 * rank
        found.append(
            gpu_summary(
                16, 16, rank=rank, world_size=size, wait_us=wait_us, path=f"job/rank{rank}.json.gz", **facts
            )
        )
    return found
