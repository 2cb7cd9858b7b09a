"""What a trace says, in words."""

from maskprof.results.trace_summary import Breakdown, TraceAccount, TraceFacts


def headline(facts: TraceFacts, whole: Breakdown, account: TraceAccount) -> tuple[str, ...]:
    """The first paragraph."""
    return ()
