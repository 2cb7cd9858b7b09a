"""The recipe: from the columns of a trace to everything that is said of it."""

from maskprof.analysis.blocks import no_blocks, search_blocks
from maskprof.analysis.device_shares import device_shares
from maskprof.analysis.evidence import gather
from maskprof.analysis.findings import headline
from maskprof.analysis.launched import find_launched
from maskprof.analysis.longest_gap import longest_gap
from maskprof.analysis.range_times import range_times, whole_breakdown
from maskprof.analysis.roofline import roofline
from maskprof.analysis.scope import narrowed
from maskprof.analysis.trace_account import trace_account
from maskprof.analysis.trace_facts import trace_facts
from maskprof.ranges import is_block_or_instrument
from maskprof.results.trace_summary import DevicePeaks, TraceSummary
from maskprof.traces.columns import Trace
from maskprof.traces.links import link_launches


def analyze(trace: Trace, *, within: str | None = None, peaks: DevicePeaks | None = None) -> TraceSummary:
    """All findings of one trace: kernels, device time, launches, operators, ranges, blocks, roofline.

    Args:
        trace: what `read_trace` gives.
        within: only what was launched and called inside ranges of this name; `*` and `?` stand for any text and
            any character (`ProfilerStep#*`).
        peaks: what the device can do at most, where the built-in table should not be used.

    Raises:
        TraceError: if no range has that name.
    """
    launches = link_launches(trace)
    evidence = gather(trace, launches, within)
    facts = trace_facts(trace, evidence.work)
    ranges = range_times(evidence)
    whole = whole_breakdown(evidence)
    gap = longest_gap(trace, evidence.work, evidence.calls)
    inside = None
    if within is not None:
        gap = None
        ranges, inside = ranges[:-1], ranges[-1]
        whole = inside.breakdown
    account = trace_account(evidence, whole, repeated_ids=launches.repeated_ids)
    launched = evidence.launched
    if within is not None:
        launched = find_launched(narrowed(trace, launches, within))
    against_peaks = roofline(launched, peaks)
    devices = device_shares(launched)
    search = search_blocks(launched)
    blocks = search.blocks
    return TraceSummary(
        facts=facts,
        headline=headline(
            facts,
            whole,
            account,
            gap=gap,
            blocks=blocks,
            roofline=against_peaks,
            devices=devices,
            scope=inside,
        ),
        whole=whole,
        ranges=tuple(found for found in ranges if not is_block_or_instrument(found.name)),
        own_ranges=tuple(found for found in ranges if is_block_or_instrument(found.name)),
        blocks=blocks,
        roofline=against_peaks,
        account=account,
        devices=devices,
        no_blocks=no_blocks(search, has_modules=facts.modules),
    )
