"""The clean samples of a run that are missing yet."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from maskprof.measuring.runner import Plan, Runner
from maskprof.measuring.timers import timer_for
from maskprof.measuring.watch import watch_of
from maskprof.results.schema import Configuration
from maskprof.sweep.collecting import Collector, counts
from maskprof.sweep.limits import Limits
from maskprof.sweep.setup import Setup, decode_steps


def measure(
    setup: Setup, configurations: Sequence[Configuration], collector: Collector, limits: Limits
) -> None:
    """Take the clean samples that are missing of these configurations, interleaved."""
    config = setup.subject.config
    plan = Plan(
        samples=config.num_samples,
        references=config.resolved_closure_samples,
        warmups=config.num_warmup,
        steps={c.name: decode_steps(c) for c in configurations},
        seed=config.seed,
        done=counts(s for s in collector.samples if not s.reference),
        references_done=counts(s for s in collector.samples if s.reference),
        first_round=1 + max((s.round for s in collector.samples), default=-1),
        elapsed_s=max((s.started_s for s in collector.samples), default=0.0),
    )
    collector.display.start(missing(plan, configurations), len(configurations))

    @contextmanager
    def masked_as(configuration: Configuration, reference: bool) -> Iterator[None]:
        # The limit inside the mask: nothing breaks in while the model is put back.
        with setup.masked(configuration, reference=reference), limits.around(configuration):
            yield

    watch = watch_of(setup.device)
    runner = Runner(setup.pass_of, timer_for(setup.device), masked_as, collector, watch=watch)
    try:
        runner.measure(configurations, plan)
    finally:
        # Of an interrupted one too.
        collector.on_sitting(runner.sitting())


def missing(plan: Plan, configurations: Sequence[Configuration]) -> int:
    """Samples still to be taken, references included."""
    return sum(plan.missing(c.name) + plan.missing_references(c) for c in configurations)
