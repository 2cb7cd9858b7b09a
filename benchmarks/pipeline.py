"""maskprof's own way from a model to a result, for models that are made here and come from no path."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from maskprof import find_blocks
from maskprof.config.schema import RunConfig
from maskprof.measuring.environment import describe_environment
from maskprof.measuring.phases import GreedyPass
from maskprof.models.inputs import ModelInputs
from maskprof.models.load import LoadedModel
from maskprof.results.configurations import configurations_of
from maskprof.results.journal import Journal
from maskprof.results.schema import Configuration, ModelFacts, RunResult
from maskprof.sweep.assembling import assemble
from maskprof.sweep.clean import measure
from maskprof.sweep.collecting import Collected, Display
from maskprof.sweep.limits import Limits
from maskprof.sweep.setup import Setup, Subject
from maskprof.sweep.tracing import trace


class Silent:
    """A display that shows nothing."""

    def stage(self, text: str) -> None: ...

    def start(self, total_samples: int, configurations: int) -> None: ...

    def advance(self, configuration_name: str, stage: str) -> None: ...


def setup_of(model: torch.nn.Module, inputs: ModelInputs, config: RunConfig, device: torch.device) -> Setup:
    """A model that is there already, as if it had been loaded."""
    total = len(find_blocks(model))
    name, parameters = type(model).__name__, sum(p.numel() for p in model.parameters())
    loaded = LoadedModel(
        model=model,
        tokenizer=None,
        processor=None,
        name=name,
        source="preset",
        architecture=name,
        num_parameters=parameters,
        dtype="float32",
        has_vision=False,
    )
    facts = ModelFacts(
        name=name,
        source="benchmark",
        architecture=name,
        num_blocks=total,
        num_parameters=parameters,
        dtype="float32",
        has_vision=False,
    )
    subject = Subject(
        config=config,
        configurations=configurations_of(config, total),
        facts=facts,
        environment=describe_environment(device),
        identity={},
    )
    passes = {(None, None): GreedyPass(model, inputs)}
    return Setup(subject=subject, device=device, loaded=loaded, passes=passes)


def run(
    setup: Setup, display: Display | None = None, *, traced: Sequence[Configuration] | None = None
) -> RunResult:
    """Measure, trace and attribute; nothing is kept on disk but the traces. `traced` is all where None."""
    with collecting(setup, display or Silent()) as collected:
        configurations, limits = setup.subject.configurations, Limits(None, lambda _configuration: None)
        measure(setup, configurations, collected, limits)
        trace(setup, configurations if traced is None else traced, collected, limits)
        result = assemble(setup.subject, collected)
    for failure in result.failures:
        raise RuntimeError(f"{failure.configuration}, {failure.stage}: {failure.error}")
    return result


@contextmanager
def collecting(setup: Setup, display: Display) -> Iterator[Collected]:
    """Who takes samples, with a journal in a folder that goes away."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Journal.create(Path(folder) / "journal.jsonl", setup.subject.identity) as journal,
    ):
        yield Collected(journal, display, setup.subject.config.resolved_trace_dir)


def text_inputs(tokens: int, device: torch.device, vocabulary: int) -> ModelInputs:
    """A prompt of so many tokens."""
    ids = torch.arange(tokens, device=device).remainder(vocabulary)[None]
    return ModelInputs(
        tensors={"input_ids": ids}, num_input_text_tokens=tokens, num_vision_tokens=0, batch_size=1
    )
