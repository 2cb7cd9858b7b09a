"""A picture as a Molmo vision tower takes it: rows of patches, and which of them become one token."""

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from PIL import Image

_POOLING = 2


def cut_patches(picture: "Image.Image", size: tuple[int, int], patch: int) -> torch.Tensor:
    """The picture at `size` (height, width), values in -1 to 1: shape (1, patches, patch * patch * 3)."""
    height, width = size
    values = torch.frombuffer(bytearray(picture.resize((width, height)).tobytes()), dtype=torch.uint8)
    grid = values.reshape(height // patch, patch, width // patch, patch, 3).transpose(1, 2)
    return grid.reshape(1, -1, patch * patch * 3).float() / 127.5 - 1


def pooling_windows(height: int, width: int) -> tuple[torch.Tensor, int, int]:
    """Windows of 2x2 patches over a grid: indices of shape (rows * columns, 4), rows, columns.

    -1 stands where a window reaches beyond a grid of odd height or width.
    """
    side = _POOLING
    odd_height, odd_width = height % side, width % side
    grid = functional.pad(
        torch.arange(height * width).reshape(height, width), (0, odd_width, 0, odd_height), value=-1
    )
    rows, columns = grid.shape[0] // side, grid.shape[1] // side
    windows = grid.reshape(rows, side, columns, side).transpose(1, 2).reshape(rows * columns, side * side)
    return windows, rows, columns
