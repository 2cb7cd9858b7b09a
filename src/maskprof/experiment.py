"""The whole job on one page: load the model, make the masks, measure them clean, trace each, attribute, save.

The running half (models, skipping, measuring, recording) and the reading half (traces, analysis, results) meet
here and nowhere else.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from maskprof.analysis.attribution import attribute
from maskprof.analysis.knob_fits import fit_knobs
from maskprof.analysis.summary import closures, fit_lines, summarize
from maskprof.config.knobs import Knobs
from maskprof.config.schema import RunConfig
from maskprof.errors import MaskprofError
from maskprof.measuring.environment import describe_environment, machine_of
from maskprof.measuring.phases import GreedyPass
from maskprof.measuring.runner import Plan, Runner
from maskprof.measuring.timers import timer_for
from maskprof.models.blocks import find_blocks
from maskprof.models.experts import active_experts
from maskprof.models.inputs import make_inputs
from maskprof.models.load import LoadedModel, load_model, resolve_device
from maskprof.recording.session import Details, discard, record, recorded
from maskprof.results.configurations import configurations_of
from maskprof.results.journal import Journal
from maskprof.results.schema import (
    Attribution,
    Configuration,
    Failure,
    ModelFacts,
    PhaseCost,
    RunResult,
    Sample,
)
from maskprof.results.store import ResultStore, prepare
from maskprof.skipping.wrapper import BlockMaskWrapper
from maskprof.traces.reader import read_trace

_log = logging.getLogger(__name__)


class Display(Protocol):
    """Who shows how far a run is."""

    def stage(self, text: str) -> None: ...

    def start(self, total_samples: int, configurations: int) -> None: ...

    def advance(self, configuration_name: str, stage: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run's result, and whether it was interrupted before its end."""

    result: RunResult
    interrupted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Everything a run works on, ready.

    `passes` are by what makes different inputs: the number of crops and the prompt's tokens.
    """

    config: RunConfig
    device: torch.device
    loaded: LoadedModel
    passes: Mapping[tuple[int | None, int | None], GreedyPass]
    configurations: tuple[Configuration, ...]
    facts: ModelFacts
    environment: dict[str, Any]

    def pass_of(self, configuration: Configuration) -> GreedyPass:
        """The pass over a configuration's inputs."""
        return self.passes[_inputs_key(configuration.knobs)]


def run(config: RunConfig, display: Display) -> Outcome:
    """Measure and trace what `config` asks for; everything is saved under its folders when this returns.

    An interruption (Ctrl-C) ends the measuring and not the saving. A configuration that fails is recorded
    among the failures, and the others go on.

    Raises:
        MaskprofError: the input cannot be meant; nothing was measured.
        KeyboardInterrupt: the interruption came before the first sample; nothing was saved.
    """
    store = ResultStore(Path(config.output_dir))
    store.prepare()
    if config.trace:
        prepare(config.resolved_trace_dir)
    setup = set_up(config, display)
    if config.trace and not config.resume:
        for configuration in setup.configurations:
            discard(config.resolved_trace_dir / configuration.name)
    open_journal = Journal.resume if config.resume else Journal.create
    with open_journal(store.journal_path, _fingerprint(setup)) as journal:
        collected = _Collected(journal, display)
        traces: dict[str, Path] = {}
        try:
            measure(setup, collected)
            trace(setup, collected, traces)
            interrupted = False
        except KeyboardInterrupt:
            if not collected.samples:
                # There is nothing to save, and the result of an earlier run may lie in the folder.
                raise
            interrupted = True
    display.stage("saving")
    result = _result(setup, collected, traces)
    store.save(result)
    return Outcome(result=result, interrupted=interrupted)


def set_up(config: RunConfig, display: Display) -> Setup:
    """Load the model, make its inputs, and see which configurations are asked for.

    Raises:
        MaskprofError: a setting does not fit the model.
    """
    device = resolve_device(config.device)
    display.stage("loading the model")
    loaded = load_model(config, device)
    total = len(find_blocks(loaded.model))
    configurations = configurations_of(config, total)
    for k in config.moe_top_k:
        # What cannot be set is told before anything is measured.
        with active_experts(loaded.model, k):
            pass
    for configuration in configurations:
        _log.info("%s: active blocks %s", configuration.name, list(configuration.active_block_indices))
    return Setup(
        config=config,
        device=device,
        loaded=loaded,
        passes=_passes(loaded, config, device),
        configurations=configurations,
        facts=_facts(loaded, total),
        environment=describe_environment(device),
    )


def measure(setup: Setup, collected: "_Collected") -> None:
    """Take the clean samples that are missing."""
    config = setup.config
    plan = Plan(
        samples=config.num_samples,
        references=config.resolved_closure_samples,
        warmups=config.num_warmup,
        steps={c.name: _steps(c) for c in setup.configurations},
        seed=config.seed,
        done=_counts(s for s in collected.samples if not s.reference),
        references_done=_counts(s for s in collected.samples if s.reference),
        first_round=1 + max((s.round for s in collected.samples), default=-1),
        elapsed_s=max((s.started_s for s in collected.samples), default=0.0),
    )
    total = sum(plan.missing(c.name) + plan.missing_references(c) for c in setup.configurations)
    collected.display.start(total, len(setup.configurations))

    def masked_as(configuration: Configuration, reference: bool) -> AbstractContextManager[object]:
        return _masked(setup.loaded, configuration, reference=reference)

    runner = Runner(setup.pass_of, timer_for(setup.device), masked_as, collected)
    runner.measure(setup.configurations, plan)


def trace(setup: Setup, collected: "_Collected", traces: dict[str, Path]) -> None:
    """Record a trace of each configuration that could be measured, into `traces` by its name.

    A resumed run keeps the traces that are there: a fresh one has removed those of before at its start.
    """
    config = setup.config
    if not config.trace:
        return
    details = Details(shapes=config.trace_shapes, stacks=config.trace_stacks, memory=config.trace_memory)
    measured = {sample.configuration for sample in collected.samples}
    for configuration in setup.configurations:
        if configuration.name not in measured:
            continue
        folder = config.resolved_trace_dir / configuration.name
        there = recorded(folder) if config.resume else None
        if there is not None:
            traces[configuration.name] = there
            continue
        collected.display.stage(f"tracing {configuration.name}")
        steps = min(config.trace_steps, _steps(configuration))
        greedy_pass = setup.pass_of(configuration)
        try:
            with _masked(setup.loaded, configuration, ranges=True):
                traces[configuration.name] = record(
                    partial(greedy_pass.run, steps),
                    folder,
                    device=setup.device,
                    num_active_blocks=configuration.num_active_blocks,
                    metadata=_trace_metadata(setup.loaded, configuration, steps),
                    details=details,
                )
        except Exception as error:  # noqa: BLE001 - a trace that fails costs its own row only
            collected.on_failure(_failure(configuration, "tracing", error))


@contextmanager
def _masked(
    loaded: LoadedModel, configuration: Configuration, *, reference: bool = False, ranges: bool = False
) -> Iterator[None]:
    with ExitStack() as in_force:
        if configuration.knobs.moe_top_k is not None:
            in_force.enter_context(active_experts(loaded.model, configuration.knobs.moe_top_k))
        in_force.enter_context(
            BlockMaskWrapper(
                loaded.model,
                configuration.active,
                skip="remove" if reference else configuration.skip_mode,
                dummy_cache=configuration.dummy_cache,
                mask_on=configuration.mask_on,
                ranges=ranges,
            )
        )
        yield


def _passes(
    loaded: LoadedModel, config: RunConfig, device: torch.device
) -> dict[tuple[int | None, int | None], GreedyPass]:
    keys = dict.fromkeys(_inputs_key(knobs) for knobs in config.knobs)
    return {
        (num_crops, prompt_tokens): GreedyPass(
            loaded.model,
            make_inputs(loaded, config, device, num_crops=num_crops, prompt_tokens=prompt_tokens),
        )
        for num_crops, prompt_tokens in keys
    }


def _inputs_key(knobs: Knobs) -> tuple[int | None, int | None]:
    return knobs.num_crops, knobs.prompt_tokens


def _steps(configuration: Configuration) -> int:
    """Decode steps: the first new token comes from prefill."""
    return (configuration.knobs.max_new_tokens or 1) - 1


@dataclass(slots=True)
class _Collected:
    """Samples and failures as they come in, written to the journal and shown; what was there before included."""

    journal: Journal
    display: Display
    samples: list[Sample] = field(init=False)
    failures: list[Failure] = field(init=False)

    def __post_init__(self) -> None:
        self.samples = list(self.journal.contents.samples)
        # What failed before is tried again.
        self.failures = []

    def on_warmup(self, _configuration: Configuration) -> None:
        # How many there will be is not known before, so the bar, which counts samples, stays where it is.
        self.display.stage("warm-up")

    def on_sample(self, sample: Sample) -> None:
        self.journal.add_sample(sample)
        self.samples.append(sample)
        _log.debug(
            "%s%s sample %d: prefill %.3f ms, decode steps %s ms",
            *(sample.configuration, " with its blocks removed" if sample.reference else ""),
            *(sample.sample_id, sample.prefill_ms),
            ", ".join(f"{step:.3f}" for step in sample.decode_step_ms),
        )
        self.display.advance(sample.configuration, "measuring")

    def on_failure(self, failure: Failure) -> None:
        self.journal.add_failure(failure)
        self.failures.append(failure)


def _result(setup: Setup, collected: _Collected, traces: Mapping[str, Path]) -> RunResult:
    of_configuration = {
        c: [sample for sample in collected.samples if sample.configuration == c.name]
        for c in setup.configurations
    }
    summaries = tuple(
        summarize(configuration, samples)
        for configuration, samples in of_configuration.items()
        if any(not sample.reference for sample in samples)
    )
    attribution = tuple(
        _attribution(configuration, samples, traces.get(configuration.name), collected)
        for configuration, samples in of_configuration.items()
    )
    return RunResult(
        config=setup.config.to_dict(),
        environment=setup.environment,
        model=setup.facts,
        configurations=setup.configurations,
        summary=summaries,
        samples=tuple(collected.samples),
        fits=fit_lines(summaries),
        knob_fits=fit_knobs(summaries),
        attribution=tuple(item for item in attribution if item.trace or item.closure),
        failures=tuple(collected.failures),
    )


def _attribution(
    configuration: Configuration, samples: Sequence[Sample], path: Path | None, collected: _Collected
) -> Attribution:
    phases: tuple[PhaseCost, ...] = ()
    instrument, account = None, dict[str, int]()
    try:
        if path is not None:
            found = attribute(read_trace(path))
            phases, instrument, account = found.phases, found.instrument, found.account
    except MaskprofError as error:
        collected.failures.append(_failure(configuration, "reading the trace", error))
    return Attribution(
        configuration=configuration.name,
        trace=None if path is None else str(path),
        phases=phases,
        instrument=instrument,
        closure=closures(configuration, samples, phases),
        account=account,
    )


def _failure(configuration: Configuration, stage: str, error: Exception) -> Failure:
    return Failure(configuration=configuration.name, stage=stage, error=f"{type(error).__name__}: {error}")


def _counts(samples: Iterable[Sample]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for sample in samples:
        counts[sample.configuration] = counts.get(sample.configuration, 0) + 1
    return counts


def _facts(loaded: LoadedModel, total: int) -> ModelFacts:
    return ModelFacts(
        name=loaded.name,
        source=loaded.source,
        architecture=loaded.architecture,
        num_blocks=total,
        num_parameters=loaded.num_parameters,
        dtype=loaded.dtype,
        has_vision=loaded.has_vision,
    )


def _fingerprint(setup: Setup) -> dict[str, Any]:
    """What must be the same for a run to go on: not how many samples, but what each of them is of."""
    settings = (
        *("max_new_tokens", "trace_steps", "trace_shapes", "trace_stacks", "trace_memory"),
        *("prompt", "image", "num_crops", "prompt_tokens", "moe_top_k"),
        "batch_size",
        *("attn_implementation", "seed", "trust_remote_code"),
    )
    facts = setup.facts
    return {
        "model": {"name": facts.name, "parameters": facts.num_parameters, "dtype": facts.dtype},
        "configurations": [configuration.name for configuration in setup.configurations],
        "settings": {name: getattr(setup.config, name) for name in settings},
        "machine": machine_of(setup.environment),
    }


def _trace_metadata(loaded: LoadedModel, configuration: Configuration, steps: int) -> dict[str, Any]:
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
        "model": loaded.name,
    }
