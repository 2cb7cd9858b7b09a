"""The clean samples of a run that are missing yet."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from maskprof.config.schema import RunConfig
from maskprof.measuring.runner import Plan, Runner
from maskprof.measuring.timers import timer_for
from maskprof.measuring.watch import watch_of
from maskprof.results.schema import Configuration, Sample
from maskprof.sweep.collecting import Collector, counts
from maskprof.sweep.limits import Limits
from maskprof.sweep.setup import Setup, decode_steps


def plan_of(config: RunConfig, configurations: Sequence[Configuration], samples: Sequence[Sample]) -> Plan:
    """How often each of these configurations is to be measured, beside the samples that are there."""
    return Plan(
        samples=config.num_samples,
        references=config.resolved_closure_samples,
        warmups=config.num_warmup,
        steps={c.name: decode_steps(c) for c in configurations},
        seed=config.seed,
        done=counts(s for s in samples if not s.reference),
        references_done=counts(s for s in samples if s.reference),
        first_round=1 + max((s.round for s in samples), default=-1),
        elapsed_s=max((s.started_s for s in samples), default=0.0),
    )


def measure(
    setup: Setup, configurations: Sequence[Configuration], collector: Collector, limits: Limits
) -> None:
    """Take the clean samples that are missing of these configurations, interleaved."""
    plan = plan_of(setup.subject.config, configurations, collector.samples)
    collector.display.start(missing(plan, configurations), len(configurations))

    @contextmanager
    def masked_as(configuration: Configuration, reference: bool) -> Iterator[None]:
        # The limit inside the mask: nothing breaks in while the model is put back.
        with setup.masked(configuration, reference=reference), limits.around(configuration):
            yield

    if not missing(plan, configurations):
        return
    alone = configurations[0].name if setup.subject.config.isolate else None
    collector.on_sitting(alone, setup.subject.environment)
    watch = watch_of(setup.device)
    Runner(setup.pass_of, timer_for(setup.device), masked_as, collector, watch=watch).measure(
        configurations, plan
    )


def missing(plan: Plan, configurations: Sequence[Configuration]) -> int:
    """Samples still to be taken, references included."""
    return sum(plan.missing(c.name) + plan.missing_references(c) for c in configurations)
