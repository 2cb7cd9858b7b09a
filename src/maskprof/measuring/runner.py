"""Clean measuring: warm up, then visit the configurations in interleaved rounds and collect samples."""

import gc
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch

from maskprof.measuring.garbage import without_collection
from maskprof.measuring.interleaving import Visit, visits
from maskprof.measuring.phases import GreedyPass
from maskprof.measuring.timers import PassTimer, PassTimes
from maskprof.measuring.warmup import WarmupWatch
from maskprof.measuring.watch import MachineWatch
from maskprof.results.circumstances import MachineState, Warmup
from maskprof.results.schema import REFERENCE_STAGE, Configuration, Failure, Sample

_log = logging.getLogger(__name__)

PassOf = Callable[[Configuration], GreedyPass]
"""The pass over the inputs of a configuration."""

MaskedAs = Callable[[Configuration, bool], AbstractContextManager[object]]
"""Puts a configuration in force; with True, the reference of it whose blocks are removed."""


class Listener(Protocol):
    """Who is told of each sample and failure as it happens, and how it went: the journal and the display."""

    def on_warmup(self, configuration: Configuration) -> None: ...

    def on_settled(self, warmup: Warmup) -> None: ...

    def on_state(self, state: MachineState) -> None: ...

    def on_sample(self, sample: Sample) -> None: ...

    def on_failure(self, failure: Failure) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How often each configuration is measured.

    `steps` are the decode steps of each configuration by its name. `done` and `references_done` count samples
    that are there already, from a run that this one goes on with; its last sample began at `elapsed_s`.
    """

    samples: int
    references: int
    warmups: int
    steps: Mapping[str, int]
    seed: int
    done: Mapping[str, int]
    references_done: Mapping[str, int]
    first_round: int = 0
    elapsed_s: float = 0.0

    def missing(self, name: str) -> int:
        """Samples still to be taken of a configuration."""
        return max(0, self.samples - self.done.get(name, 0))

    def missing_references(self, configuration: Configuration) -> int:
        """Reference passes still to be made; blocks that all run, or are removed anyway, need none."""
        if configuration.skip_mode != "mask" or configuration.num_skipped_blocks == 0:
            return 0
        return max(0, self.references - self.references_done.get(configuration.name, 0))


class Runner:
    """Measures configurations of one model on one device; a failing one is left out of the rounds to come."""

    def __init__(
        self,
        pass_of: PassOf,
        timer: PassTimer,
        masked_as: MaskedAs,
        listener: Listener,
        *,
        watch: MachineWatch | None = None,
    ) -> None:
        """Keep the parts; nothing runs yet."""
        self._pass_of, self._timer = pass_of, timer
        self._watch = watch
        self._masked_as, self._listener = masked_as, listener
        self._failed: set[tuple[str, bool]] = set()
        self._begin_s = 0.0

    def measure(self, configurations: Sequence[Configuration], plan: Plan) -> None:
        """Warm up and measure; samples and failures go to the listener one by one."""
        self._begin_s = time.perf_counter() - plan.elapsed_s
        by_name = {configuration.name: configuration for configuration in configurations}
        wanted = {name: plan.missing(name) for name in by_name}
        references = {name: plan.missing_references(c) for name, c in by_name.items()}
        pending = [by_name[name] for name in by_name if wanted[name] or references[name]]
        warmup = self._warm_up(pending, plan, {name for name, count in references.items() if count})
        self._listener.on_settled(warmup)
        taken = {name: plan.done.get(name, 0) for name in by_name}
        taken_references = {name: plan.references_done.get(name, 0) for name in by_name}
        for visit in visits(wanted, references, seed=plan.seed, first_round=plan.first_round):
            configuration = by_name[visit.configuration]
            counter = taken_references if visit.reference else taken
            if self._is_out(visit):
                continue
            if self._watch is not None and (state := self._watch.look(visit.round)) is not None:
                self._listener.on_state(state)
            sample = self._visit(
                configuration, visit, plan.steps[configuration.name], counter[configuration.name]
            )
            if sample is not None:
                counter[configuration.name] += 1
                self._listener.on_sample(sample)

    def _is_out(self, visit: Visit) -> bool:
        return (visit.configuration, False) in self._failed or (
            visit.configuration,
            visit.reference,
        ) in self._failed

    def _warm_up(
        self, configurations: Sequence[Configuration], plan: Plan, with_reference: set[str]
    ) -> Warmup:
        """Unrecorded rounds, at least `plan.warmups` of them, until times no longer change; see `WarmupWatch`."""
        watch = WarmupWatch(plan.warmups)
        while not watch.is_over:
            steps = plan.steps
            took = {
                c.name: times.total_ms
                for c in configurations
                if (times := self._attempt(c, steps[c.name], reference=False, stage="warm-up")) is not None
            }
            if not watch.has_begun:
                for configuration in configurations:
                    if configuration.name in with_reference:
                        self._attempt(
                            configuration, steps[configuration.name], reference=True, stage="warm-up"
                        )
            if not took:
                break
            watch.add(took)
        return watch.result()

    def _attempt(
        self, configuration: Configuration, steps: int, *, reference: bool, stage: str
    ) -> PassTimes | None:
        """One timed pass, None where it fails or has failed before."""
        if {(configuration.name, False), (configuration.name, reference)} & self._failed:
            return None
        try:
            with self._masked_as(configuration, reference), without_collection():
                self._pass_of(configuration).run(steps, self._timer)
                times = self._timer.times()
        except Exception as error:  # noqa: BLE001 - whatever a configuration does, the others go on
            self._failed.add((configuration.name, reference))
            _log.debug("%s failed", configuration.name, exc_info=error)
            failure = Failure(
                configuration=configuration.name,
                stage=REFERENCE_STAGE if reference else stage,
                error=f"{type(error).__name__}: {error}",
            )
        else:
            if stage == "warm-up":
                self._listener.on_warmup(configuration)
            return times
        # Only here, where the error is gone, are the tensors that its frames held free.
        _free_memory()
        self._listener.on_failure(failure)
        return None

    def _visit(self, configuration: Configuration, visit: Visit, steps: int, sample_id: int) -> Sample | None:
        started_s = time.perf_counter() - self._begin_s
        times = self._attempt(configuration, steps, reference=visit.reference, stage="measuring")
        if times is None:
            return None
        inputs = self._pass_of(configuration).inputs
        return Sample(
            configuration=configuration.name,
            sample_id=sample_id,
            round=visit.round,
            started_s=started_s,
            vision_ms=times.vision_ms,
            projector_ms=times.projector_ms,
            prefill_ms=times.prefill_ms,
            decode_ms=sum(times.decode_step_ms),
            total_ms=times.total_ms,
            decode_step_ms=times.decode_step_ms,
            host_ms={
                "vision": times.host_vision_ms,
                "prefill": times.host_prefill_ms,
                "decode": times.host_decode_ms,
            },
            num_input_text_tokens=inputs.num_input_text_tokens,
            num_vision_tokens=inputs.num_vision_tokens,
            num_output_tokens=steps + 1,
            reference=visit.reference,
        )


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
