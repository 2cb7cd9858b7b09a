"""The traces of a run that are missing yet: one of each configuration that could be measured."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from maskprof.measuring.phases import GreedyPass
from maskprof.recording.session import Details, RangeWatch, record
from maskprof.results.schema import Configuration
from maskprof.results.store import within
from maskprof.sweep.collecting import Collector, failure_of
from maskprof.sweep.limits import Limits
from maskprof.sweep.setup import Setup, decode_steps


def trace(
    setup: Setup, configurations: Sequence[Configuration], collector: Collector, limits: Limits
) -> None:
    """Record a trace of each of these configurations that was measured and has none.

    One that fails costs its own row only: the clean figures are there already.
    """
    config = setup.subject.config
    if not config.trace:
        return
    details = Details(shapes=config.trace_shapes, stacks=config.trace_stacks, memory=config.trace_memory)
    measured = {sample.configuration for sample in collector.samples if not sample.reference}
    for configuration in configurations:
        if configuration.name not in measured or configuration.name in collector.traces:
            continue
        collector.display.stage(f"tracing {configuration.name}")
        steps = min(config.trace_steps, decode_steps(configuration))
        run_pass = partial(_limited_pass, setup.pass_of(configuration), steps, configuration, limits)
        try:
            with setup.masked(configuration, ranges=True):
                path = record(
                    run_pass,
                    within(config.resolved_trace_dir, configuration.name),
                    device=setup.device,
                    num_active_blocks=configuration.num_active_blocks,
                    metadata=_metadata(setup, configuration, steps),
                    details=details,
                )
        except Exception as error:  # noqa: BLE001 - whatever the profiler or the model does
            collector.on_failure(failure_of(configuration.name, "tracing", error))
        else:
            collector.on_trace(configuration, path)


def _limited_pass(
    greedy_pass: GreedyPass, steps: int, configuration: Configuration, limits: Limits, watch: RangeWatch
) -> None:
    with limits.around(configuration):
        greedy_pass.run(steps, watch)


def _metadata(setup: Setup, configuration: Configuration, steps: int) -> dict[str, Any]:
    return {
        "configuration": configuration.name,
        "mask": "".join("1" if active else "0" for active in configuration.active),
        "num_active_blocks": configuration.num_active_blocks,
        "num_total_blocks": configuration.num_total_blocks,
        "active_block_indices": list(configuration.active_block_indices),
        "skip_mode": configuration.skip_mode,
        "dummy_cache": configuration.dummy_cache,
        "mask_on": configuration.mask_on,
        **configuration.knobs.to_dict(),
        "decode_steps": steps,
        "model": setup.loaded.name,
    }
