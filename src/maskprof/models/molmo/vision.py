"""Molmo's vision part: the CLIP tower, the pooling of 2x2 patches into one token, the projector."""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskprof.models.molmo.config import MolmoConfig, MolmoVisionConfig

_WINDOW = 2
_CHANNELS = 3
_PADDING = -1.0
"""Crops of nothing but this value, and mask rows of it, are padding of a batch."""


class VisionAttention(nn.Module):
    """Multi-head attention with biases; queries and keys may come from different tensors."""

    def __init__(self, config: MolmoVisionConfig, input_width: int) -> None:
        """Heads of the tower's size over inputs of `input_width`."""
        super().__init__()
        self.num_heads, self.head_dim = config.num_attention_heads, config.head_dim
        self.in_float32 = config.float32_attention
        width = self.num_heads * self.head_dim
        self.wq = nn.Linear(input_width, width)
        self.wk = nn.Linear(input_width, width)
        self.wv = nn.Linear(input_width, width)
        self.wo = nn.Linear(width, config.hidden_size)

    def forward(self, x: Tensor, keys: Tensor | None = None) -> Tensor:
        """Attend from x (rows, queries, input_width) to `keys` (rows, keys, input_width), x itself by default."""
        keys = x if keys is None else keys
        q, k, v = (self._heads(part) for part in (self.wq(x), self.wk(keys), self.wv(keys)))
        dtype = v.dtype
        if self.in_float32:
            q, k, v = q.float(), k.float(), v.float()
        mixed = functional.scaled_dot_product_attention(q, k, v).to(dtype)
        out: Tensor = self.wo(mixed.transpose(1, 2).flatten(2))
        return out

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.num_heads, self.head_dim).transpose(1, 2)


class VisionFeedForward(nn.Module):
    """Two linear layers around CLIP's quick approximation of GELU."""

    def __init__(self, config: MolmoVisionConfig) -> None:
        """Build both layers."""
        super().__init__()
        self.w1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.w2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Map the last dimension."""
        inner = self.w1(x)
        out: Tensor = self.w2(inner * torch.sigmoid(1.702 * inner))
        return out


class VisionBlock(nn.Module):
    """A pre-norm block of the tower."""

    def __init__(self, config: MolmoVisionConfig) -> None:
        """Build the block."""
        super().__init__()
        self.attention = VisionAttention(config, config.hidden_size)
        self.feed_forward = VisionFeedForward(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.ffn_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block on x (crops, patches + 1, width)."""
        x = x + self.attention(self.attention_norm(x))
        out: Tensor = x + self.feed_forward(self.ffn_norm(x))
        return out


class VisionTower(nn.Module):
    """CLIP's vision transformer without its last layer and its final norm."""

    def __init__(self, config: MolmoVisionConfig) -> None:
        """Build the tower."""
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros(config.num_positions, width))
        self.patch_embedding = nn.Linear(_CHANNELS * config.patch_size**2, width, bias=False)
        self.pre_ln = nn.LayerNorm(width, eps=config.layer_norm_eps)
        blocks = nn.ModuleList(VisionBlock(config) for _ in range(config.num_hidden_layers))
        self.transformer = nn.ModuleDict({"resblocks": blocks})

    def forward(self, patches: Tensor) -> Tensor:
        """Features of patches (crops, patches, values per patch): (crops, patches, width * feature layers)."""
        x = self.patch_embedding(patches)
        class_token = self.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1)
        x = torch.cat((class_token, x), dim=1) + self._positions().to(x.dtype)
        x = self.pre_ln(x)
        blocks = cast("nn.ModuleList", self.transformer["resblocks"])
        wanted = [layer % len(blocks) for layer in self.config.feature_layers]
        kept: dict[int, Tensor] = {}
        for number, block in enumerate(blocks):
            x = block(x)
            if number in wanted:
                kept[number] = x[:, 1:]
            if number == max(wanted):
                break
        return torch.cat([kept[number] for number in wanted], dim=-1)

    def _positions(self) -> Tensor:
        """The table of positions, resized where it is for another grid than the crops'."""
        table, grid = self.positional_embedding, self.config.patch_grid
        side = math.isqrt(table.shape[0] - 1)
        if (side, side) == grid:
            return table
        square = table[1:].reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
        resized = functional.interpolate(
            square, size=grid, mode="bicubic", align_corners=False, antialias=True
        )
        return torch.cat((table[:1], resized.permute(0, 2, 3, 1).flatten(0, 2).to(table.dtype)))


class ImageProjector(nn.Module):
    """A gated feed-forward layer from the tower's width to the decoder's."""

    def __init__(self, config: MolmoConfig) -> None:
        """Build the layer."""
        super().__init__()
        inner, width = config.intermediate_size // 2, config.vision_config.hidden_size
        self.w1 = nn.Linear(width, inner, bias=False)
        self.w2 = nn.Linear(inner, config.hidden_size, bias=False)
        self.w3 = nn.Linear(width, inner, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map the last dimension."""
        out: Tensor = self.w2(functional.silu(self.w1(x)) * self.w3(x))
        return out


class VisionBackbone(nn.Module):
    """From patches to tokens of the decoder's width."""

    def __init__(self, config: MolmoConfig) -> None:
        """Build tower, pooling and projector."""
        super().__init__()
        vision: MolmoVisionConfig = config.vision_config
        self.config = vision
        width = vision.hidden_size * len(vision.feature_layers)
        self.image_vit = VisionTower(vision)
        self.pad_embed = nn.Parameter(torch.zeros(2, width))
        self.image_pooling_2d = VisionAttention(vision, width)
        self.image_projector = ImageProjector(config)

    def forward(self, images: Tensor, image_masks: Tensor | None = None) -> Tensor:
        """Image features, (batch, crops, tokens per crop, decoder width).

        Args:
            images: (batch, crops, patches, values per patch); crops of nothing but -1 pad the batch.
            image_masks: (batch, crops, patches), the share of each patch that is picture; None is all of it.
        """
        batch, crops, num_patches, _ = images.shape
        weight: Any = self.image_vit.patch_embedding.weight
        features = self.image_vit(images.flatten(0, 1).to(weight.dtype))
        is_crop = (images != _PADDING).flatten(2).any(dim=-1)
        features = features * is_crop.view(-1, 1, 1).to(features.dtype)
        if image_masks is not None:
            features = features + self._padding_embeds(image_masks).flatten(0, 1).to(features.dtype)
        windows = self._windows(features.view(batch * crops, num_patches, -1))
        pooled = self.image_pooling_2d(windows.mean(dim=-2, keepdim=True), windows)
        projected: Tensor = self.image_projector(pooled.view(batch, crops, -1, pooled.shape[-1]))
        return projected

    def _padding_embeds(self, image_masks: Tensor) -> Tensor:
        """What is added to patches without picture, and to patches with some; -1 counts as some."""
        empty = (image_masks == 0)[..., None].float()
        partial = ((image_masks < 1) & (image_masks != 0))[..., None].float()
        return empty * self.pad_embed[0] + partial * self.pad_embed[1]

    def _windows(self, features: Tensor) -> Tensor:
        """Group patches (crops, patches, width) by 2x2: (crops * tokens, 4, width), zeros beyond an odd edge."""
        rows, columns = self.config.patch_grid
        grid = features.view(features.shape[0], rows, columns, -1)
        grid = functional.pad(grid, (0, 0, 0, columns % _WINDOW, 0, rows % _WINDOW))
        crops, rows, columns, width = grid.shape
        cut = grid.view(crops, rows // _WINDOW, _WINDOW, columns // _WINDOW, _WINDOW, width)
        return cut.transpose(2, 3).reshape(-1, _WINDOW * _WINDOW, width)
