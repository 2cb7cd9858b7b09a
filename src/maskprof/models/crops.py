"""How finely a picture is looked at: a number of high-resolution crops, or the pixels of so many of them."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from maskprof.errors import ConfigError

if TYPE_CHECKING:
    from PIL import Image

# The side of a crop where an image processor has a budget of pixels and no crops of its own.
_SIDE = 336
_ABSENT = object()


def most_square(count: int) -> tuple[int, int]:
    """Rows and columns of the most square grid of exactly `count` cells; no fewer columns than rows."""
    rows = next(rows for rows in range(math.isqrt(count), 0, -1) if count % rows == 0)
    return rows, count // rows


def tiles_of(
    picture: "Image.Image", tiling: tuple[int, int], size: tuple[int, int]
) -> "Iterator[Image.Image]":
    """The picture at `tiling` (rows, columns) times `size` (height, width), tile by tile, row after row."""
    (rows, columns), (height, width) = tiling, size
    if not rows or not columns:
        return
    large = picture.resize((columns * width, rows * height))
    for row in range(rows):
        for column in range(columns):
            corner = (column * width, row * height)
            yield large.crop((*corner, corner[0] + width, corner[1] + height))


@contextmanager
def crops_set(processor: Any, name: str, picture: "Image.Image", num_crops: int) -> "Iterator[Image.Image]":
    """While active the processor cuts the picture that is yielded into `num_crops` crops; then it is as before.

    A processor without crops but with a limit of pixels takes as many pixels as so many crops have. The
    picture is resized to their grid, since a small picture would not be cut however large the limit.

    Raises:
        ConfigError: the image processor has no such setting, or cannot make just so many.
    """
    images = processor.image_processor
    setting = next((make for names, make in _SETTINGS if all(hasattr(images, n) for n in names)), None)
    if setting is None:
        raise _no_such_knob(images, name)
    side, changed = setting(images, name, num_crops)
    rows, columns = most_square(num_crops)
    before = {key: vars(images).get(key, _ABSENT) for key in changed}
    try:
        vars(images).update(changed)
        yield picture.resize((columns * side, rows * side))
    finally:
        for key, value in before.items():
            if value is _ABSENT:
                del vars(images)[key]
            else:
                vars(images)[key] = value


_Setting = tuple[int, dict[str, Any]]
"""The side of a crop in pixels, and the attributes to set."""


def _no_such_knob(images: Any, name: str) -> ConfigError:
    return ConfigError(
        f"--num_crops: the image processor of {name} ({type(images).__name__}) has neither a number of crops "
        "nor a limit of pixels that could be set"
    )


def _max_crops(images: Any, _name: str, count: int) -> _Setting:
    return images.size["height"], {"max_crops": count}


def _patches(images: Any, _name: str, count: int) -> _Setting:
    changed = {"crop_to_patches": True, "min_patches": count, "max_patches": count}
    return images.size["height"], changed


def _splitting(images: Any, _name: str, count: int) -> _Setting:
    side = images.max_image_size["longest_edge"]
    longest = most_square(count)[1] * side
    return side, {"do_image_splitting": True, "size": type(images.size)(longest_edge=longest)}


def _pinpoints(images: Any, name: str, count: int) -> _Setting:
    side = (getattr(images, "crop_size", None) or images.size)["height"]
    rows, columns = most_square(count)
    if [rows * side, columns * side] not in [list(point) for point in images.image_grid_pinpoints]:
        grids = sorted(
            height * width // side**2
            for height, width in images.image_grid_pinpoints
            if height % side == width % side == 0
            and most_square(height * width // side**2) == (height // side, width // side)
        )
        choice = ", ".join(map(str, dict.fromkeys(grids)))
        raise ConfigError(f"--num_crops: {name} cuts a picture into one of {choice} crops, not into {count}")
    return side, {}


def _pixels(images: Any, _name: str, count: int) -> _Setting:
    size = images.size
    longest = max(size["longest_edge"], count * _SIDE**2)
    return _SIDE, {
        "size": type(size)(shortest_edge=min(size["shortest_edge"], _SIDE**2), longest_edge=longest)
    }


def _longest_edge(images: Any, name: str, count: int) -> _Setting:
    if not images.size.get("longest_edge"):
        raise _no_such_knob(images, name)
    return _SIDE, {"size": type(images.size)(longest_edge=most_square(count)[1] * _SIDE)}


# By the attributes of the image processor that tell the kind; the first whose are all there counts.
_SETTINGS: tuple[tuple[tuple[str, ...], Callable[[Any, str, int], _Setting]], ...] = (
    (("max_crops",), _max_crops),  # Molmo2
    (("crop_to_patches",), _patches),  # InternVL, GOT, Command A Vision
    (("do_image_splitting", "max_image_size"), _splitting),  # Idefics 3, SmolVLM
    (("image_grid_pinpoints",), _pinpoints),  # LLaVA-NeXT, LLaVA-OneVision
    (("merge_size",), _pixels),  # Qwen2-VL to Qwen3-VL, GLM-4V: the edges of their size are areas
    (("patch_size", "size"), _longest_edge),  # Pixtral
)
