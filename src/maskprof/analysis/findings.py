"""The first paragraph: what bounds a run, and the facts that show it, in plain words.

Nothing is said that the figures beside it do not show: where a trace cannot tell, the sentence says so.
"""

from collections.abc import Iterable

from maskprof.analysis.longest_gap import LongestGap
from maskprof.kernel_names import short_names
from maskprof.results.trace_summary import (
    Blocks,
    Breakdown,
    DeviceTime,
    OperatorTime,
    Roofline,
    TraceAccount,
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

_WORDS = {
    "gemm": "matrix products",
    "moe": "mixtures of experts",
    "conv": "convolutions",
    "norm": "norms",
    "kv_cache": "the KV cache",
    "embedding": "embedding and indexing",
    "quantise": "quantising",
    "reduction": "reductions",
    "sort": "sorting and scans",
    "fused": "fused kernels",
    "compiled": "compiled graphs",
    "elementwise": "elementwise kernels",
    "copy": "copies",
    "memset": "memsets",
    "recurrent": "recurrent kernels",
    "optimizer": "the optimizer",
    "rope": "rotary embedding",
    "other": "unclassified kernels",
}
_BOUNDS = {"compute": "arithmetic", "memory": "memory"}
_MOST = 0.5
_WORTH_SAYING = 0.05
_UNCLASSIFIED_PCT = 3.0
_LISTED = 3
_TOP = 0.25
_LONGEST_NAME = 72


def headline(
    facts: TraceFacts,
    whole: Breakdown,
    account: TraceAccount,
    *,
    gap: LongestGap | None = None,
    blocks: Blocks | None = None,
    roofline: Roofline | None = None,
) -> tuple[str, ...]:
    """A few sentences on one trace, the verdict first.

    `gap` is the device's longest idle time, where the whole trace is looked at.
    """
    device = whole.device
    if device is None or device.span_us <= 0:
        sentences = _host_alone(facts, whole, account)
    else:
        sentences = [
            _verdict(facts, whole, device),
            *_longest(device, gap),
            *_launching(whole, device),
            *_work(whole, device),
            *_against_peaks(roofline, device),
            *_observer(facts, device),
            *_graphs(account),
        ]
    return (*sentences, *_skipped(blocks), *_reservations(account))


def _verdict(facts: TraceFacts, whole: Breakdown, device: DeviceTime) -> str:
    span = device.span_us
    parts = _parts(device)
    bound, most = max(parts.items(), key=lambda part: part[1])
    devices = _devices(facts)
    works = f"{devices} {_verb(facts, 'work')} {_percent(device.busy_us, span)} of {_time(span)}"
    if device.elsewhere_us:
        works += f" on this and {_percent(device.elsewhere_us, span)} on what was launched outside of it"
    alone = f"{_percent(device.exposed_communication_us, span)} with nothing but communication"
    waits = f"waiting {_percent(device.idle_launch_us, span)} for the host's next launch"
    lead = {
        "work": f"Bound by the device's own work{_most_of(whole)}",
        "communication": "Bound by communication",
        "launch": "Bound by the host (launch-bound)",
        "gap": "Idle for the most part, and not for want of launches",
        "other": "Idle for the most part, for reasons that this trace cannot tell",
    }[bound]
    if most < _MOST * span:
        lead = "Bound by no single thing"
    told = [works]
    if device.exposed_communication_us >= _WORTH_SAYING * span:
        told.append(alone)
    if device.idle_launch_us >= _WORTH_SAYING * span:
        told.append(waits)
    if device.idle_gap_us >= _WORTH_SAYING * span:
        told.append(f"idle {_percent(device.idle_gap_us, span)} although the next event was launched")
    if device.idle_other_us >= _WORTH_SAYING * span:
        told.append(
            f"idle {_percent(device.idle_other_us, span)} before events whose launch is not in the trace"
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
            why = f"whose launch call alone took {_time(gap.call_us)}"
        elif gap.launch_us >= _MOST * gap.us:
            why = "which the host launched late"
        else:
            why = (
                "which had been launched: it waited for another stream or for something outside of the trace"
            )
    yield (
        f"One gap of {_time(gap.us)} is {_percent(gap.us, idle)} of the idle time: before {_short(gap.before)}, "
        f"{why}; without it the device would work {_percent(rest, 1)} of the time."
    )


def _launching(whole: Breakdown, device: DeviceTime) -> Iterable[str]:
    launches = whole.launches
    if launches is None or not device.kernel_count:
        return
    kernel = device.kernel_time_us / device.kernel_count
    if device.idle_launch_us >= max(_parts(device).values()):
        yield (
            f"A kernel takes {_time(kernel)} on average and launches come {_time(device.span_us / launches.count)} "
            f"apart; on average {launches.mean_queue_depth:.1f} events are queued before one."
        )
    elif launches.mean_queue_depth >= 1 and not _idles(device):
        yield (
            f"The host runs ahead: a launch finds {_count(round(launches.mean_queue_depth), 'event')} queued on "
            f"average and its work starts after {_time(launches.median_delay_us)} (median)."
        )


def _work(whole: Breakdown, device: DeviceTime) -> Iterable[str]:
    listed = [c for c in whole.categories if c.share >= _WORTH_SAYING][:_LISTED]
    if listed:
        parts = ", ".join(f"{_words(c.category)} {_percent(c.share, 1)}" for c in listed)
        yield f"Of the device's work, {parts}."
    top = next(iter(whole.kernels), None)
    if top is not None and top.share >= _TOP and top.category not in {"elementwise", "communication"}:
        yield f"{_short(top.name)} takes {_percent(top.share, 1)} of the kernels' time."
    moving = _share_in(whole, _MOVING)
    if moving >= _MOST and not _idles(device):
        aside = ", communication aside," if device.communication_us else ""
        yield (
            f"{_percent(moving, 1)} of the kernels' time{aside} is in kernels that do little arithmetic for "
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
        costs = [f"{_time(sum(block.host_us or 0.0 for block in skipped))} of the host"]
        if phase.device_us is not None:
            spent = sum((block.device_us or 0.0) + block.copy_us for block in skipped)
            bubble = sum(block.bubble_us or 0.0 for block in skipped)
            costs += [f"{_time(spent)} of the device", f"{_time(bubble)} in which it waits"]
        where = "" if phase.phase == "all" else f" of {phase.phase}"
        yield (
            f"The {len(skipped)} skipped of {len(phase.blocks)} blocks still take, in each step{where}, "
            f"{', '.join(costs)}."
        )


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
    share = "" if top.share_of_peak is None else f", {_percent(top.share_of_peak, 1)} of the peak"
    yield (
        f"By their shapes, {_BOUNDS[bound]} bounds {_percent(most, covered_us)} of the matrix products' and "
        f"attention's time; {top.operator} reaches {reached}{share}."
    )


def _observer(facts: TraceFacts, device: DeviceTime) -> Iterable[str]:
    if facts.stacks and device.idle_launch_us >= max(_parts(device).values()):
        yield "Python's frames were recorded, which slows the host: without that the device waits less."


def _graphs(account: TraceAccount) -> Iterable[str]:
    if account.from_graphs >= _MOST * account.device_events:
        yield (
            f"{account.from_graphs} of {account.device_events} device events come from launches of whole graphs, "
            "inside of which no operators are recorded."
        )


def _host_alone(facts: TraceFacts, whole: Breakdown, account: TraceAccount) -> list[str]:
    operators = [operator for operator in whole.operators if operator.self_us > 0]
    total = sum(operator.self_us for operator in operators)
    if account.truncated:
        lead = "The file ends before any device event, which profilers write last; of the host it shows this."
    elif operators:
        lead = "A trace of the host alone: it holds no work of a device."
    else:
        held = _count(facts.events, "event")
        return [f"The trace holds {held} with a duration, but no operators and no work of a device."]
    if not total:
        return [lead]
    by_category: dict[str, float] = {}
    for operator in operators:
        by_category[operator.category] = by_category.get(operator.category, 0.0) + operator.self_us
    parts = sorted(by_category.items(), key=lambda item: -item[1])
    busiest = max(operators, key=lambda operator: operator.self_us)
    sentences = [lead, f"Operators take {_time(total)} by themselves, in a trace of {_time(facts.span_us)}."]
    if parts[0][0] != "other" and parts[0][1] >= _MOST * total:
        sentences[-1] = f"Bound by {_words(parts[0][0])}: {sentences[-1][0].lower()}{sentences[-1][1:]}"
    listed = [
        f"{_words(c)} {_percent(us, total)}"
        for c, us in parts
        if us >= _WORTH_SAYING * total and c != "other"
    ]
    if listed:
        sentences.append(f"Of that, {', '.join(listed[:_LISTED])}.")
    sentences.append(_operator_fact(busiest, total))
    return sentences


def _operator_fact(operator: OperatorTime, total: float) -> str:
    return (
        f"{_short(operator.name)} takes most: {_percent(operator.self_us, total)} in "
        f"{_count(operator.count, 'call')} of {_time(operator.self_us / operator.count)} each."
    )


def _reservations(account: TraceAccount) -> Iterable[str]:
    """What keeps the figures from being the whole truth."""
    unlinked = account.unlinked_before_window + account.unlinked_other
    if unlinked >= _WORTH_SAYING * account.device_events and unlinked:
        when = " before the trace began" if account.unlinked_before_window >= unlinked else ""
        how = f"were launched{when}" if when else "have no launch in the trace"
        yield (
            f"{unlinked} of {account.device_events} device events {how}: they count in all figures, and in no range."
        )
    if account.unclassified_pct >= _UNCLASSIFIED_PCT:
        yield f"{account.unclassified_pct:.1f} % of the kernels' time is in kernels of no known category."
    if account.truncated and account.device_events:
        yield "The file ends before the trace does: what is missing is in no figure."
    if account.events_lost:
        be = "is" if account.events_lost == 1 else "are"
        yield f"{_count(account.events_lost, 'damaged event')} could not be read and {be} in no figure."


def _devices(facts: TraceFacts) -> str:
    if not facts.devices:
        return "the device"
    names = list(dict.fromkeys(facts.devices))
    if len(facts.devices) == 1:
        return f"the {names[0]}" if not names[0].startswith("device ") else names[0]
    return f"{len(facts.devices)} devices ({', '.join(names)})"


def _verb(facts: TraceFacts, verb: str) -> str:
    return verb if len(facts.devices) > 1 else f"{verb}s"


def _words(category: str) -> str:
    return _WORDS.get(category, category)


def _short(name: str) -> str:
    return short_names([name], _LONGEST_NAME)[0]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _percent(part: float, whole: float) -> str:
    share = 100 * part / whole
    # Whole percents, but nothing is called all or none that is not.
    return f"{share:.1f} %" if 0 < share < 1 or 99 <= share < 100 else f"{share:.0f} %"  # noqa: PLR2004


def _time(us: float) -> str:
    for unit, scale in (("s", 1e6), ("ms", 1e3)):
        if us >= scale:
            return f"{us / scale:.3g} {unit}"
    return f"{us:.3g} us"
