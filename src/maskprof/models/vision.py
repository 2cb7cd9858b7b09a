"""Know when a model's vision part runs, from inside an ordinary forward."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from maskprof.interruption import held

Part = Literal["vision", "projector"]

# What transformers' models call for a picture: the tower and what projects its features.
_FEATURE_METHODS = ("get_image_features", "get_video_features")

# Some older models call these straight from their forward.
_TOWERS = frozenset(
    (
        "vision_tower",
        "vision_model",
        "vision_encoder",
        "vision_backbone",
        "image_encoder",
        "visual",
        "visual_model",
    )
)

# Names that only a projector of images has: it counts also where it is called apart from the tower.
_IMAGE_PROJECTORS = frozenset(
    (
        *("multi_modal_projector", "multimodal_projector", "mm_projector", "visual_projection"),
        *("vision_projector", "vision_projection", "vision_adapter", "image_to_text_projection"),
        *(
            "image_projection",
            "image_pooling_2d",
            "image_projector",
            "perceiver_resampler",
            "embed_vision",
            "layerwise_projectors",
            "spatial_projectors",
        ),
    )
)
# Names that elsewhere mean something else: they count inside the vision part only.
_OTHER_PROJECTORS = frozenset(
    (
        *("connector", "merger", "merger_list", "deepstack_merger_list", "deepstack_mergers", "patch_merger"),
        *(
            "projector",
            "adapter",
            "aligner",
            "resampler_model",
            "language_projection",
            "vit_merger",
            "embed_vision",
        ),
    )
)


_ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """A method that belongs to the vision part, and what a call of it is reported as."""

    owner: nn.Module
    method: str
    parts: tuple[Part, ...]
    inside_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watch:
    """The callbacks, and how deep in each part the forward is."""

    enter: Callable[[Part], None]
    leave: Callable[[Part], None]
    depth: dict[Part, int] = field(default_factory=lambda: {"vision": 0, "projector": 0})


@contextmanager
def watch_vision(
    model: nn.Module, enter: Callable[[Part], None], leave: Callable[[Part], None]
) -> Iterator[None]:
    """While active, report the vision part of each forward, and the projector inside it.

    `enter("vision")` and `leave("vision")` surround the outermost call of the vision part, tower and
    projector together; the few models that call the two apart from each other (mllama, git) give a pair for
    each. `enter("projector")` and `leave("projector")` surround the outermost call of a projector; a model
    with several gives a pair for each. `leave` comes also where the forward raises. Nothing is reported for
    text alone, nor for text-only models.

    Methods are overridden on the instances: forward hooks would slow every call down. The exit puts back
    what was there; the decoder's blocks are not touched.
    """
    watch = _Watch(enter=enter, leave=leave)
    replaced: list[tuple[dict[str, Any], str, Any]] = []
    try:
        # The list first: looking for calls must not find the overrides.
        for call in list(_vision_calls(model)):
            attributes = call.owner.__dict__
            before = attributes.get(call.method, _ABSENT)
            attributes[call.method] = _surrounded(getattr(call.owner, call.method), call, watch)
            replaced.append((attributes, call.method, before))
        yield
    finally:
        # An interruption in the middle of this would leave a model that reports to a watch of the past.
        with held():
            for attributes, method, before in reversed(replaced):
                if before is _ABSENT:
                    del attributes[method]
                else:
                    attributes[method] = before


def _vision_calls(model: nn.Module) -> Iterator[_Call]:
    for name, module in _named(model):
        kind = type(module)
        for method in _FEATURE_METHODS:
            if hasattr(kind, method) or method in module.__dict__:
                yield _Call(owner=module, method=method, parts=("vision",))
        if kind is nn.ModuleList:
            continue  # its members are called one by one, and go by its name
        if name in _TOWERS:
            yield _Call(owner=module, method="forward", parts=("vision",))
        elif name in _IMAGE_PROJECTORS:
            yield _Call(owner=module, method="forward", parts=("vision", "projector"))
        elif name in _OTHER_PROJECTORS:
            yield _Call(owner=module, method="forward", parts=("projector",), inside_only=True)


def _named(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Each module once, with its attribute's name; members of a list go by the list's.

    Not `named_modules` and `getattr`: they take milliseconds on a large model, and every sample comes by here.
    """
    seen = {id(model)}
    waiting = [("", model)]
    while waiting:
        name, module = waiting.pop()
        yield name, module
        for attribute, child in module._modules.items():  # noqa: SLF001  see above
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                waiting.append((name if isinstance(module, nn.ModuleList) else attribute, child))


def _surrounded(original: Callable[..., Any], call: _Call, watch: _Watch) -> Callable[..., Any]:
    depth = watch.depth

    @functools.wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if call.inside_only and not depth["vision"]:
            return original(*args, **kwargs)
        entered: list[Part] = []
        try:
            for part in call.parts:
                depth[part] += 1
                entered.append(part)
                if depth[part] == 1:
                    watch.enter(part)
            return original(*args, **kwargs)
        finally:
            for part in reversed(entered):
                depth[part] -= 1
                if depth[part] == 0:
                    watch.leave(part)

    return watched
