"""Everything a run works on, made ready before anything is measured."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from maskprof.config.knobs import Knobs
from maskprof.config.schema import RunConfig
from maskprof.measuring.environment import describe_environment
from maskprof.measuring.garbage import without_collection
from maskprof.measuring.phases import GreedyPass
from maskprof.models.blocks import find_blocks
from maskprof.models.experts import active_experts
from maskprof.models.inputs import make_inputs
from maskprof.models.load import LoadedModel, load_model, resolve_device
from maskprof.results.configurations import configurations_of
from maskprof.results.schema import Configuration, ModelFacts
from maskprof.skipping.wrapper import BlockMaskWrapper
from maskprof.sweep.collecting import Display
from maskprof.sweep.identity import identity_of

_log = logging.getLogger(__name__)

_ORDER_INTERLEAVED = "all configurations interleaved, in shuffled rounds"
_ORDER_ISOLATED = "one configuration after the other, each in a process of its own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a run is of, as plain values that can be handed to another process.

    `identity` is what must be the same for a run to go on with the samples of an earlier one.
    """

    config: RunConfig
    configurations: tuple[Configuration, ...]
    facts: ModelFacts
    environment: dict[str, Any]
    identity: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A subject, and the loaded model with its inputs.

    `passes` are by what makes different inputs: the number of crops and the prompt's tokens.
    """

    subject: Subject
    device: torch.device
    loaded: LoadedModel
    passes: Mapping[tuple[int | None, int | None], GreedyPass]

    def pass_of(self, configuration: Configuration) -> GreedyPass:
        """The pass over a configuration's inputs."""
        return self.passes[_inputs_key(configuration.knobs)]

    @contextmanager
    def masked(
        self, configuration: Configuration, *, reference: bool = False, ranges: bool = False
    ) -> Iterator[None]:
        """Put a configuration in force; as a reference, with its blocks removed."""
        with ExitStack() as in_force:
            if configuration.knobs.moe_top_k is not None:
                in_force.enter_context(active_experts(self.loaded.model, configuration.knobs.moe_top_k))
            in_force.enter_context(
                BlockMaskWrapper(
                    self.loaded.model,
                    configuration.active,
                    skip="remove" if reference else configuration.skip_mode,
                    dummy_cache=configuration.dummy_cache,
                    mask_on=configuration.mask_on,
                    ranges=ranges,
                )
            )
            yield


def set_up(config: RunConfig, display: Display) -> Setup:
    """Load the model, make its inputs, and see which configurations are asked for.

    Raises:
        MaskprofError: a setting does not fit the model.
    """
    device = resolve_device(config.device)
    display.stage("loading the model")
    with without_collection():
        loaded = load_model(config, device)
    total = len(find_blocks(loaded.model))
    configurations = configurations_of(config, total)
    for k in config.moe_top_k:
        # What cannot be set is told before anything is measured.
        with active_experts(loaded.model, k):
            pass
    for configuration in configurations:
        _log.info("%s: active blocks %s", configuration.name, list(configuration.active_block_indices))
    facts = _facts(loaded, total)
    order = _ORDER_ISOLATED if config.isolate else _ORDER_INTERLEAVED
    environment = {**describe_environment(device), "order_of_measuring": order}
    return Setup(
        subject=Subject(
            config=config,
            configurations=configurations,
            facts=facts,
            environment=environment,
            identity=identity_of(config, configurations, loaded, environment),
        ),
        device=device,
        loaded=loaded,
        passes=_passes(loaded, config, device),
    )


def decode_steps(configuration: Configuration) -> int:
    """Decode steps: the first new token comes from prefill."""
    return (configuration.knobs.max_new_tokens or 1) - 1


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
