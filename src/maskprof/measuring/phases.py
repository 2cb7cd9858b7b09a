"""One pass: prefill, then cached greedy decode steps. Clean and traced runs share it and differ in the watch."""

import inspect
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import nn

from maskprof.errors import ModelError
from maskprof.models.cache_names import CACHE_NAMES, cache_arguments, carried
from maskprof.models.inputs import ModelInputs
from maskprof.models.vision import watch_vision
from maskprof.ranges import Phase


class PhaseWatch(Protocol):
    """Who is told when a pass and its phases begin and end: a timer in clean runs, ranges in traced ones."""

    def begin(self) -> None: ...

    def end(self) -> None: ...

    def enter(self, phase: Phase) -> None: ...

    def leave(self, phase: Phase) -> None: ...


class GreedyPass:
    """Runs a model over fixed inputs for a fixed number of tokens, whatever the tokens are.

    Prefill asks for the logits of the last position only where the model's forward can do that, as
    `generate()` does. No end-of-sequence check is made: every pass is of the same length, and a GPU need not be
    waited for between steps.
    """

    def __init__(self, model: nn.Module, inputs: ModelInputs) -> None:
        """Keep the model and its inputs, which stay on their device."""
        self.model = model
        self.inputs = inputs
        keeps_last = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._keep_last: dict[str, Any] = {"logits_to_keep": 1} if keeps_last else {}
        self._cache_arguments = cache_arguments(model.forward)

    def run(self, steps: int, watch: PhaseWatch) -> torch.Tensor:
        """Prefill and `steps` decode steps; the tokens, shape (batch, steps + 1), still on the device."""
        inputs, model = self.inputs.tensors, self.model
        with torch.inference_mode(), watch_vision(model, _as_phase(watch.enter), _as_phase(watch.leave)):
            watch.begin()
            watch.enter("prefill")
            output = model(**inputs, use_cache=True, **self._keep_last)
            watch.leave("prefill")
            token = _last_token(output)
            tokens = [token]
            mask = _grown(inputs.get("attention_mask"), steps)
            length = inputs["input_ids"].shape[1]
            for step in range(steps):
                watch.enter("decode")
                output = model(input_ids=token, use_cache=True, **self._past(output, mask, length + step + 1))
                token = _last_token(output)
                watch.leave("decode")
                tokens.append(token)
            watch.end()
            return torch.cat(tokens, dim=1)

    def _past(self, output: Any, mask: torch.Tensor | None, length: int) -> dict[str, Any]:
        past = carried(output, self._cache_arguments)
        if not past:
            raise ModelError(
                f"{type(self.model).__name__} returned no cache ({', '.join(CACHE_NAMES)}) from its first forward, "
                "so cached decode cannot be measured; use --max_new_tokens 1 for prefill alone"
            )
        return past if mask is None else {**past, "attention_mask": mask[:, :length]}


def _as_phase(call: Callable[[Phase], None]) -> Callable[[str], None]:
    return call  # type: ignore[return-value]  # vision is watched under the names of our phases


def _last_token(output: Any) -> torch.Tensor:
    token: torch.Tensor = output.logits[:, -1:].argmax(dim=-1)
    return token


def _grown(mask: torch.Tensor | None, steps: int) -> torch.Tensor | None:
    """The attention mask with room for the new tokens, made once so that no step has to."""
    return None if mask is None else torch.cat((mask, mask.new_ones(mask.shape[0], steps)), dim=1)
