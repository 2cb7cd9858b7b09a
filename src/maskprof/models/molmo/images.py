"""From a picture to the tensors that Molmo's vision part takes: overlapping crops, cut into patches.

A picture is looked at twice: as a whole in one crop (the global one, which comes first), and magnified in a grid
of crops that overlap, so that each patch that counts has neighbours around it in its crop.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from maskprof.errors import ModelError

if TYPE_CHECKING:
    from PIL import Image

_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
_STD: Final = (0.26862954, 0.26130258, 0.27577711)
_POOLING: Final = 2
DROPPED: Final = -100
"""Stands in `slots` for a pooled token that another crop has better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedImage:
    """One picture, without a batch dimension.

    Attributes:
        images: float32 (1 + crops, patches, patch * patch * 3), the global crop first.
        image_masks: float32 (1 + crops, patches), the share of each patch that is picture. As in the released
            models' own code its rows stand one crop too early: row c describes crop c + 1, the last row is -1.
        slots: int64 (1 + crops, tokens per crop), which of the picture's tokens each pooled feature belongs to,
            or `DROPPED`; the global crop's tokens are counted first, then the magnified picture's row by row.
        tiling: rows and columns of magnified crops.
        global_grid: tokens of the global crop, rows and columns.
        local_grid: tokens of the magnified picture, rows and columns.
    """

    images: Tensor
    image_masks: Tensor
    slots: Tensor
    tiling: tuple[int, int]
    global_grid: tuple[int, int]
    local_grid: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MolmoImageProcessor:
    """Molmo's "overlap-and-resize-c2"; the defaults are those of the released checkpoints.

    Attributes:
        image_size: height and width of a crop in pixels.
        patch_size: side of a patch in pixels.
        margins: patches at the left and upper edge, and at the right and lower edge, of a crop that are only
            there to be looked at by the others, where another crop has them too.
        max_crops: magnified crops at most.
    """

    image_size: tuple[int, int] = (336, 336)
    patch_size: int = 14
    margins: tuple[int, int] = (4, 4)
    max_crops: int = 12

    @classmethod
    def for_config(cls, config: Any, **changes: Any) -> "MolmoImageProcessor":
        """The processor for a `MolmoConfig`: its tower's sizes, and what MolmoE's config says of crops."""
        settings: dict[str, Any] = {
            "image_size": tuple(config.vision_config.image_size),
            "patch_size": config.vision_config.patch_size,
        }
        margins, crops = getattr(config, "overlap_margins", None), getattr(config, "max_crops", None)
        settings |= {} if margins is None else {"margins": tuple(margins)}
        settings |= {} if crops is None else {"max_crops": int(crops)}
        return cls(**{**settings, **changes})

    def __call__(
        self, image: "Image.Image | np.ndarray[Any, Any]", tiling: tuple[int, int] | None = None
    ) -> PreparedImage:
        """Prepare a picture; `tiling` (rows, columns) overrides the choice by the picture's size.

        Raises:
            ModelError: the picture is not (height, width, 3) with values of one byte, or has no pixels.
        """
        pixels = np.array(image if isinstance(image, np.ndarray) else image.convert("RGB"))
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:  # noqa: PLR2004
            raise ModelError(
                f"a picture is an array of shape (height, width, 3) of uint8, got {pixels.shape} {pixels.dtype}"
            )
        rows, columns = tiling or self.choose_tiling(*pixels.shape[:2])
        size, window = self.image_size, self._window
        margin = sum(self.margins) * self.patch_size
        target = (rows * window[0] + margin, columns * window[1] + margin)
        source = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
        magnified, real = resize_and_pad(source, target)
        whole, _ = resize_and_pad(source, size)
        crops = _windows(magnified, size, window)
        shares = _windows(real[None].float(), size, window)
        images = torch.cat((self._patches(whole[None]), self._patches(crops)))
        image_masks = self._patches(shares).mean(dim=-1)
        # The row of the global crop is put at the wrong end, which the models were trained with.
        image_masks = torch.cat((image_masks, image_masks.new_full((1, image_masks.shape[1]), -1)))
        grid = self.token_grid
        slots, local_grid = self._slots(rows, columns)
        return PreparedImage(
            images=images,
            image_masks=image_masks,
            slots=slots,
            tiling=(rows, columns),
            global_grid=grid,
            local_grid=local_grid,
        )

    @property
    def token_grid(self) -> tuple[int, int]:
        """Pooled tokens of a crop: rows, columns."""
        rows, columns = (-(-side // self.patch_size // _POOLING) for side in self.image_size)
        return rows, columns

    @property
    def _window(self) -> tuple[int, int]:
        """The part of a crop that is its own, in pixels: also the step from one crop to the next."""
        overlap = sum(self.margins)
        height, width = ((side // self.patch_size - overlap) * self.patch_size for side in self.image_size)
        return height, width

    def choose_tiling(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of crops that fit a picture best: the least magnification, or the least reduction."""
        margin = sum(self.margins) * self.patch_size
        tilings = np.array(
            sorted(_tilings(self.max_crops), key=lambda tiling: (tiling[0] * tiling[1], tiling[0]))
        )
        room = (tilings * np.array(self._window)).astype(np.float32)
        with np.errstate(divide="ignore"):
            scales = (room / np.array([height - margin, width - margin], dtype=np.float32)).min(axis=1)
        enough = scales >= 1
        best = np.where(enough, scales, np.inf).argmin() if enough.any() else scales.argmax()
        return int(tilings[best][0]), int(tilings[best][1])

    def _patches(self, crops: Tensor) -> Tensor:
        """Cut (crops, channels, height, width) into (crops, patches, patch * patch * channels)."""
        side = self.patch_size
        count, channels, height, width = crops.shape
        cut = crops.view(count, channels, height // side, side, width // side, side)
        return cut.permute(0, 2, 4, 3, 5, 1).reshape(count, -1, side * side * channels)

    def _slots(self, rows: int, columns: int) -> tuple[Tensor, tuple[int, int]]:
        """See `PreparedImage.slots`, and the grid of the magnified picture's tokens."""
        per_crop_rows, per_crop_columns = self.token_grid
        row_places, total_rows = self._places(rows, self.image_size[0], per_crop_rows)
        column_places, total_columns = self._places(columns, self.image_size[1], per_crop_columns)
        row, column = row_places[:, None, :, None], column_places[None, :, None, :]
        first = per_crop_rows * per_crop_columns
        local = torch.where((row >= 0) & (column >= 0), first + row * total_columns + column, DROPPED)
        slots = torch.cat((torch.arange(first)[None], local.reshape(rows * columns, first)))
        return slots, (total_rows, total_columns)

    def _places(self, crops: int, pixels: int, tokens: int) -> tuple[Tensor, int]:
        """Along one direction: the place of each crop's tokens in the whole picture, (crops, tokens), or -1."""
        left, right = self.margins
        places = torch.full((crops, tokens), -1)
        done = 0
        for crop in range(crops):
            patches = pixels // self.patch_size - left - right
            patches += (left if crop == 0 else 0) + (right if crop == crops - 1 else 0)
            kept, start = (patches + 1) // _POOLING, 0 if crop == 0 else left // _POOLING
            places[crop, start : start + kept] = torch.arange(done, done + kept)
            done += kept
        return places, done


def resize_and_pad(source: Tensor, target: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Fit a picture into `target` (height, width) without changing its proportions, normalised as CLIP has it.

    Args:
        source: float32 (3, height, width), values from 0 to 1.
        target: the size in pixels.

    Returns:
        The picture (3, *target), black around it, and where it is picture, bool (*target).
    """
    height, width = source.shape[1:]
    # Lengths are truncated products in float32: 640 x 480 becomes 336 x 251.
    scale = min(np.float32(target[0]) / np.float32(height), np.float32(target[1]) / np.float32(width))
    inner = max(1, int(np.float32(height) * scale)), max(1, int(np.float32(width) * scale))
    resized = functional.interpolate(
        source[None], size=inner, mode="bilinear", align_corners=False, antialias=True
    )[0]
    top, left = (target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2
    around = (left, target[1] - inner[1] - left, top, target[0] - inner[0] - top)
    padded = functional.pad(resized.clamp(0, 1), around)
    real = functional.pad(torch.ones(inner, dtype=torch.bool), around)
    # After the padding, which is therefore not zero in what the model sees.
    return (padded - torch.tensor(_MEAN)[:, None, None]) / torch.tensor(_STD)[:, None, None], real


def _windows(picture: Tensor, size: tuple[int, int], step: tuple[int, int]) -> Tensor:
    """All crops of (channels, height, width), row by row: (crops, channels, *size)."""
    windows = picture.unfold(1, size[0], step[0]).unfold(2, size[1], step[1])
    return windows.permute(1, 2, 0, 3, 4).flatten(0, 1)


def _tilings(most: int) -> Iterator[tuple[int, int]]:
    for rows in range(1, most + 1):
        for columns in range(1, most // rows + 1):
            yield rows, columns
