"""The first paragraph where no device bounds anything: a trace of the host alone, or a part of one."""

from maskprof.analysis.finding_words import percent, short, time, words
from maskprof.counted_nouns import count
from maskprof.results.trace_account import TraceAccount
from maskprof.results.trace_summary import Breakdown, OperatorTime, RangeTime, TraceFacts

_MOST = 0.5
_WORTH_SAYING = 0.05
_LISTED = 3


def of_host_alone(
    facts: TraceFacts, whole: Breakdown, account: TraceAccount, scope: RangeTime | None
) -> list[str]:
    """What can be said of operators, and why nothing is said of a device.

    `scope` is the range that `whole` is of; None for the whole trace.
    """
    total = sum(operator.self_us for operator in whole.operators)
    lead = _lead(facts, whole, account, scope)
    if not total:
        return [lead]
    by_category: dict[str, float] = {}
    for operator in whole.operators:
        by_category[operator.category] = by_category.get(operator.category, 0.0) + operator.self_us
    parts = sorted(by_category.items(), key=lambda item: -item[1])
    busiest = max(whole.operators, key=lambda operator: operator.self_us)
    where = f"a trace of {time(facts.span_us)}" if scope is None else _open(scope)
    sentences = [lead, f"Operators take {time(total)} by themselves, in {where}."]
    if parts[0][0] != "other" and parts[0][1] >= _MOST * total:
        sentences[-1] = f"Bound by {words(parts[0][0])}: {sentences[-1][0].lower()}{sentences[-1][1:]}"
    listed = [
        f"{words(category)} {percent(us, total)}"
        for category, us in parts
        if us >= _WORTH_SAYING * total and category != "other"
    ]
    if listed:
        sentences.append(f"Of that, {', '.join(listed[:_LISTED])}.")
    sentences.append(_operator_fact(busiest, total))
    return sentences


def _lead(facts: TraceFacts, whole: Breakdown, account: TraceAccount, scope: RangeTime | None) -> str:
    where = "The trace" if scope is None else f"Inside {scope.name} the trace"
    events = sum(category.count for category in whole.categories)
    if events:
        they = "takes" if events == 1 else "take"
        return (
            f"{where} has {count(round(events), 'device event')}, but by its times {'it' if events == 1 else 'they'} "
            f"{they} no time at all: what bounds the device cannot be told."
        )
    if scope is not None and account.device_events:
        nothing = "no operator ran and " if not whole.operators else ""
        of_all = "The trace's only device event was"
        if account.device_events > 1:
            of_all = f"All {account.device_events} device events of the trace were"
        return (
            f"Inside {scope.name} ({_open(scope)}) {nothing}nothing was launched that a device ran. "
            f"{of_all} launched outside of it, or on other threads."
        )
    if account.truncated and not account.device_events:
        return "The file ends before any device event, which profilers write last; of the host it shows this."
    if scope is not None and not whole.operators:
        return (
            f"Inside {scope.name} ({_open(scope)}) no operator ran, and the trace holds no work of a device."
        )
    if whole.operators:
        return "A trace of the host alone: it holds no work of a device."
    held = count(facts.events, "event")
    return f"The trace holds {held} with a duration, but no operators and no work of a device."


def _open(scope: RangeTime) -> str:
    return f"{count(scope.count, 'range')} of {time(scope.host_us)}{' together' if scope.count > 1 else ''}"


def _operator_fact(operator: OperatorTime, total: float) -> str:
    return (
        f"{short(operator.name)} takes most: {percent(operator.self_us, total)} in "
        f"{count(operator.count, 'call')} of {time(operator.self_us / operator.count)} each."
    )
