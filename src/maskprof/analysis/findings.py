"""The first paragraph: what bounds a run, and the facts that show it, in plain words.

Nothing is said that the figures beside it do not show: where a trace cannot tell, the sentence says so.
"""

from collections.abc import Iterable, Sequence

from maskprof.analysis.finding_words import percent, short, time, words
from maskprof.analysis.findings_of_host import of_host_alone
from maskprof.analysis.longest_gap import LongestGap
from maskprof.counted_nouns import count
from maskprof.results.trace_account import TraceAccount
from maskprof.results.trace_summary import (
    Blocks,
    Breakdown,
    DeviceShare,
    DeviceTime,
    RangeTime,
    Roofline,
    TraceFacts,
)

_MOVING = frozenset(
    (
        "elementwise",
        "copy",
        "norm",
        "softmax",
        "rope",
        "kv_cache",
        "embedding",
        "quantise",
        "reduction",
        "sort",
        "optimizer",
        "fused",
        "memset",
    )
)
"""Categories of kernels that do little arithmetic for what they read and write."""

_COMPUTING = frozenset(("gemm", "attention", "moe", "conv"))

_BOUNDS = {"compute": "arithmetic", "memory": "memory"}
_MOST = 0.5
_SEVERAL = 2
_WORTH_SAYING = 0.05
_UNCLASSIFIED_PCT = 3.0
_LISTED = 3
_TOP = 0.25


def headline(
    facts: TraceFacts,
    whole: Breakdown,
    account: TraceAccount,
    *,
    gap: LongestGap | None = None,
    blocks: Blocks | None = None,
    roofline: Roofline | None = None,
    devices: Sequence[DeviceShare] = (),
    scope: RangeTime | None = None,
) -> tuple[str, ...]:
    """A few sentences on one trace, the verdict first.

    `gap` is the device's longest idle time, where the whole trace is looked at; otherwise `scope` is the range that
    `whole` is of. `devices` is how much each device works.
    """
    device = whole.device
    aside = tuple(_by_other_threads(scope))
    if device is None or device.span_us <= 0:
        sentences = [*aside, *of_host_alone(facts, whole, account, scope)]
    else:
        sentences = [
            *aside,
            _verdict(facts, whole, device, devices, partial=_is_mostly_elsewhere(scope)),
            *_longest(device, gap),
            *_launching(whole, device),
            *_work(whole, device),
            *_against_peaks(roofline, device),
            *_observer(facts, device),
            *_graphs(account),
        ]
    return (*sentences, *_skipped(blocks), *_reservations(account, scope))


def _by_other_threads(scope: RangeTime | None) -> Iterable[str]:
    """What the figures of a range, which are of its own thread, leave out of the time in which it is open."""
    if scope is None or not scope.elsewhere_kernel_count:
        return
    if scope.elsewhere_device_us < _WORTH_SAYING * (scope.device_us + scope.elsewhere_device_us):
        return
    others = f"{count(scope.elsewhere_kernel_count, 'kernel')} of {time(scope.elsewhere_device_us)}"
    own = f"{scope.kernel_count} of {time(scope.device_us)}" if scope.kernel_count else "none"
    is_backward = "backward" in scope.name.lower() and _is_mostly_elsewhere(scope)
    hint = ", as a backward pass has a thread of its own" if is_backward else ""
    yield (
        f"While {scope.name} was open, other threads launched {others} and its own thread {own}{hint}: "
        "the figures are of its own thread alone."
    )


def _is_mostly_elsewhere(scope: RangeTime | None) -> bool:
    return scope is not None and scope.elsewhere_device_us >= max(scope.device_us, 1e-3)


def _verdict(
    facts: TraceFacts, whole: Breakdown, device: DeviceTime, devices: Sequence[DeviceShare], *, partial: bool
) -> str:
    span = device.span_us
    parts = _parts(device)
    bound, most = max(parts.items(), key=lambda part: part[1])
    works = (
        f"{_subject(facts, devices)} {percent(device.busy_us, span)} of {time(span)}{_each(device, devices)}"
    )
    if device.elsewhere_us:
        works += f" on this and {percent(device.elsewhere_us, span)} on what was launched outside of it"
    alone = f"{percent(device.exposed_communication_us, span)} with nothing but communication"
    waits = f"waiting {percent(device.idle_launch_us, span)} for the host's next launch"
    lead = {
        "work": f"Bound by the device's own work{_most_of(whole)}",
        "communication": "Bound by communication",
        "launch": "Bound by the host (launch-bound)",
        "gap": "Idle for the most part, and not for want of launches",
        "other": "Idle for the most part, for reasons that this trace cannot tell",
    }[bound]
    if most < _MOST * span:
        lead = "Bound by no single thing"
    if partial:
        lead = "Of what its own thread launched"
    told = [works]
    if device.exposed_communication_us >= _WORTH_SAYING * span:
        told.append(alone)
    if device.idle_launch_us >= _WORTH_SAYING * span:
        told.append(waits)
    if device.idle_gap_us >= _WORTH_SAYING * span:
        told.append(f"idle {percent(device.idle_gap_us, span)} although the next event was launched")
    if device.idle_other_us >= _WORTH_SAYING * span:
        told.append(
            f"idle {percent(device.idle_other_us, span)} before events whose launch is not in the trace"
        )
    return f"{lead}: {', '.join(told)}."


def _idles(device: DeviceTime) -> bool:
    """Whether idling, whatever its cause, is more than any work."""
    parts = _parts(device)
    return max(parts["launch"], parts["gap"], parts["other"]) >= max(parts["work"], parts["communication"])


def _parts(device: DeviceTime) -> dict[str, float]:
    return {
        "work": device.busy_us - device.exposed_communication_us,
        "communication": device.exposed_communication_us,
        "launch": device.idle_launch_us,
        "gap": device.idle_gap_us,
        "other": device.idle_other_us,
    }


def _longest(device: DeviceTime, gap: LongestGap | None) -> Iterable[str]:
    """A single gap that is most of the idle time is an event of its own, such as loading code on first use."""
    idle = device.idle_us
    if gap is None or idle < _WORTH_SAYING * device.span_us or gap.us < _MOST * idle:
        return
    rest = device.busy_us / (device.span_us - gap.us) if device.span_us > gap.us else 1.0
    why = "whose launch is not in the trace"
    if gap.launch_us is not None and gap.call_us is not None:
        if gap.call_us >= _MOST * gap.us:
            why = f"whose launch call alone took {time(gap.call_us)}"
        elif gap.launch_us >= _MOST * gap.us:
            why = "which the host launched late"
        else:
            why = (
                "which had been launched: it waited for another stream or for something outside of the trace"
            )
    yield (
        f"One gap of {time(gap.us)} is {percent(gap.us, idle)} of the idle time: before {short(gap.before)}, "
        f"{why}; without it the device would work {percent(rest, 1)} of the time."
    )


def _launching(whole: Breakdown, device: DeviceTime) -> Iterable[str]:
    launches = whole.launches
    if launches is None or not device.kernel_count:
        return
    kernel = device.kernel_time_us / device.kernel_count
    if device.idle_launch_us >= max(_parts(device).values()):
        yield (
            f"A kernel takes {time(kernel)} on average and launches come {time(device.span_us / launches.count)} "
            f"apart; on average {launches.mean_queue_depth:.1f} events are queued before one."
        )
    elif launches.mean_queue_depth >= 1 and not _idles(device):
        yield (
            f"The host runs ahead: a launch finds {count(round(launches.mean_queue_depth), 'event')} queued on "
            f"average and its work starts after {time(launches.median_delay_us)} (median)."
        )


def _work(whole: Breakdown, device: DeviceTime) -> Iterable[str]:
    listed = [c for c in whole.categories if c.share >= _WORTH_SAYING][:_LISTED]
    if listed:
        parts = ", ".join(f"{words(c.category)} {percent(c.share, 1)}" for c in listed)
        yield f"Of the device's work, {parts}."
    top = next(iter(whole.kernels), None)
    if top is not None and top.share >= _TOP and top.category not in {"elementwise", "communication"}:
        yield f"{short(top.name)} takes {percent(top.share, 1)} of the kernels' time."
    moving = _share_in(whole, _MOVING)
    if moving >= _MOST and not _idles(device):
        aside = ", communication aside," if device.communication_us else ""
        yield (
            f"{percent(moving, 1)} of the kernels' time{aside} is in kernels that do little arithmetic for "
            "what they read and write: memory bounds them."
        )


def _most_of(whole: Breakdown) -> str:
    if _share_in(whole, _MOVING) >= _MOST:
        return ", for the most part memory traffic"
    if _share_in(whole, _COMPUTING) >= _MOST:
        return ", for the most part matrix products, experts and attention"
    return ""


def _share_in(whole: Breakdown, categories: frozenset[str]) -> float:
    """The share of some categories in the kernels' time, communication aside."""
    of_all = sum(kernel.total_us for kernel in whole.kernels if kernel.category != "communication")
    of_these = sum(kernel.total_us for kernel in whole.kernels if kernel.category in categories)
    return of_these / of_all if of_all else 0.0


def _skipped(blocks: Blocks | None) -> Iterable[str]:
    """What blocks still cost that a mask left out."""
    for phase in blocks.phases if blocks is not None else ():
        skipped = [block for block in phase.blocks if block.active is False]
        if not skipped:
            continue
        costs = [f"{time(sum(block.host_us or 0.0 for block in skipped))} of the host"]
        if phase.device_us is not None:
            spent = sum((block.device_us or 0.0) + block.copy_us for block in skipped)
            bubble = sum(block.bubble_us or 0.0 for block in skipped)
            costs += [f"{time(spent)} of the device", f"{time(bubble)} in which it waits"]
        where = "" if phase.phase == "all" else f" of {phase.phase}"
        blocks_of = count(len(phase.blocks), "block")
        left = f"{len(skipped)} skipped of {blocks_of} still take{'s' if len(skipped) == 1 else ''}"
        yield (f"The {left}, in each step{where}, {', '.join(costs)}.")


def _against_peaks(roofline: Roofline | None, device: DeviceTime) -> Iterable[str]:
    """Whether arithmetic or memory bounds the matrix products, where shapes tell."""
    if roofline is None or roofline.peaks is None or _idles(device):
        return
    by_bound: dict[str, float] = {}
    computing = [row for row in roofline.rows if row.flops > 0]
    for row in computing:
        by_bound[row.bound] = by_bound.get(row.bound, 0.0) + row.device_us
    covered_us = sum(by_bound.values())
    bound, most = max(by_bound.items(), key=lambda item: item[1], default=("unknown", 0.0))
    if bound not in _BOUNDS or covered_us < _TOP * roofline.kernel_time_us:
        return
    top = computing[0]
    reached = f"{top.tflops:.3g} TFLOP/s" if top.bound == "compute" else f"{top.gb_s:.3g} GB/s"
    share = "" if top.share_of_peak is None else f", {percent(top.share_of_peak, 1)} of the peak"
    yield (
        f"By their shapes, {_BOUNDS[bound]} bounds {percent(most, covered_us)} of the matrix products' and "
        f"attention's time; {top.operator} reaches {reached}{share}."
    )


def _observer(facts: TraceFacts, device: DeviceTime) -> Iterable[str]:
    if facts.stacks and device.idle_launch_us >= max(_parts(device).values()):
        yield "Python's frames were recorded, which slows the host: without that the device waits less."


def _graphs(account: TraceAccount) -> Iterable[str]:
    if account.from_graphs >= _MOST * account.device_events:
        yield (
            f"{account.from_graphs} of {count(account.device_events, 'device event')} "
            f"{'comes' if account.from_graphs == 1 else 'come'} from launches of whole graphs, "
            "inside of which no operators are recorded."
        )


def _reservations(account: TraceAccount, scope: RangeTime | None) -> Iterable[str]:
    """What keeps the figures from being the whole truth."""
    unlinked = account.unlinked_before_window + account.unlinked_other
    if unlinked >= _WORTH_SAYING * account.device_events and unlinked:
        when = " before the trace began" if account.unlinked_before_window >= unlinked else ""
        one = unlinked == 1
        how = (
            f"{'was' if one else 'were'} launched{when}"
            if when
            else f"{'has' if one else 'have'} no launch in the trace"
        )
        counts, are = ("it counts", "it is") if one else ("they count", "they are")
        where = f"{counts} in all figures, and in no range" if scope is None else f"{are} in no figure here"
        yield f"{unlinked} of {count(account.device_events, 'device event')} {how}: {where}."
    if account.unclassified_pct >= _UNCLASSIFIED_PCT:
        yield f"{account.unclassified_pct:.1f} % of the kernels' time is in kernels of no known category."
    if account.truncated and account.device_events:
        yield "The file ends before the trace does: what is missing is in no figure."
    if account.negative_durations:
        end = "ends before it begins" if account.negative_durations == 1 else "end before they begin"
        yield f"{count(account.negative_durations, 'event')} {end} by the times in the file: taken as 0 long."
    if account.events_lost:
        be = "is" if account.events_lost == 1 else "are"
        yield f"{count(account.events_lost, 'damaged event')} could not be read and {be} in no figure."


def _subject(facts: TraceFacts, devices: Sequence[DeviceShare]) -> str:
    """Who works; of several devices the figure is of the time in which any of them does."""
    if len(devices) > 1:
        names = list(dict.fromkeys(facts.devices))
        return f"at least one of {len(devices)} devices ({', '.join(names)}) works"
    name = devices[0].name if devices else next(iter(facts.devices), "the device")
    return f"{name} works" if name.startswith(("device ", "the device")) else f"the {name} works"


def _each(device: DeviceTime, devices: Sequence[DeviceShare]) -> str:
    """What each of several devices does by itself, and how many do so at a time."""
    if len(devices) < _SEVERAL:
        return ""
    shares = [percent(share.busy_us, device.span_us) for share in devices]
    if len(devices) <= _LISTED:
        each = f"{', '.join(shares[:-1])} and {shares[-1]}"
    else:
        ordered = sorted(devices, key=lambda share: share.busy_us)
        least, most = (percent(share.busy_us, device.span_us) for share in (ordered[0], ordered[-1]))
        each = least if least == most else f"{least} to {most}"
    at_a_time = sum(share.busy_us for share in devices) / device.busy_us if device.busy_us else 0.0
    return f" (each by itself {each}; {at_a_time:.1f} at a time on average)"
