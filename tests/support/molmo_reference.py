"""Molmo written down once more, as plainly as can be: the oracle for the real implementation.

No cache, no batch, no shortcuts: explicit softmax attention over an explicit mask, a loop over all experts, one
pooling window after the other. It shares no code with maskprof and reads weights by their published names.
"""

import math

import torch


def weights_of(model):
    """A model's weights by their published names, the experts' one by one."""
    state = dict(model.state_dict())
    for name in [name for name in state if name.endswith("experts.gate_up_proj")]:
        prefix = name.removesuffix("gate_up_proj")
        both, down = state.pop(name), state.pop(f"{prefix}down_proj")
        inner = both.shape[1] // 2
        for expert in range(both.shape[0]):
            state[f"{prefix}{expert}.gate_proj.weight"] = both[expert, :inner]
            state[f"{prefix}{expert}.up_proj.weight"] = both[expert, inner:]
            state[f"{prefix}{expert}.down_proj.weight"] = down[expert]
    return state


class Reference:
    """One Molmo model; all methods take tensors without a batch dimension."""

    def __init__(self, config, weights):
        self.config, self.weights = config, weights

    def weight(self, name, default=None):
        return self.weights.get(name, default)

    # The decoder

    def logits(self, input_ids, images=None, image_masks=None, image_input_idx=None):
        return self.head(self.hidden_states(input_ids, images, image_masks, image_input_idx)[-1])

    def hidden_states(self, input_ids, images=None, image_masks=None, image_input_idx=None, skipped=()):
        x = self.embed(input_ids)
        if images is not None:
            features = self.image_features(images, image_masks)
            for crop in range(image_input_idx.shape[0]):
                for token in range(image_input_idx.shape[1]):
                    place = int(image_input_idx[crop, token])
                    if place >= 0:
                        x[place] = x[place] + features[crop, token]
        states = [x]
        for number in range(self.config.num_hidden_layers):
            if number not in skipped:
                x = self.block(number, x)
            states.append(x)
        return [*states[:-1], self.norm(x, self.weight("model.transformer.ln_f.weight"))]

    def embed(self, input_ids):
        table = torch.cat(
            (
                self.weight("model.transformer.wte.embedding"),
                self.weight("model.transformer.wte.new_embedding"),
            )
        )
        return torch.stack([table[max(0, int(i))] for i in input_ids])

    def head(self, x):
        weight = self.weight("lm_head.weight", self.weight("model.transformer.ff_out.weight"))
        return x @ weight.T

    def norm(self, x, weight):
        rows = [row / math.sqrt(float((row**2).mean()) + self.config.layer_norm_eps) for row in x]
        return torch.stack(rows) * weight

    def block(self, number, x):
        config, prefix = self.config, f"model.transformer.blocks.{number}."
        nested = f"{prefix}attn.att_proj.weight" in self.weights
        attn, mlp = (f"{prefix}attn.", f"{prefix}mlp.") if nested else (prefix, prefix)
        attn_norm, ff_norm = self.weight(f"{attn}attn_norm.weight"), self.weight(f"{mlp}ff_norm.weight")
        if config.norm_after:
            x = x + self.norm(self.attention(attn, x), attn_norm)
            return x + self.norm(self.feed_forward(mlp, x), ff_norm)
        x = x + self.attention(attn, self.norm(x, attn_norm))
        return x + self.feed_forward(mlp, self.norm(x, ff_norm))

    def attention(self, prefix, x):
        config = self.config
        tokens, hidden = x.shape
        heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
        width = hidden // heads
        fused = x @ self.weight(f"{prefix}att_proj.weight").T
        if f"{prefix}att_proj.bias" in self.weights:
            fused = fused + self.weight(f"{prefix}att_proj.bias")
        if config.clip_qkv is not None:
            fused = fused.clamp(-config.clip_qkv, config.clip_qkv)
        q = fused[:, :hidden]
        k = fused[:, hidden : hidden + kv_heads * width]
        v = fused[:, hidden + kv_heads * width :]
        if f"{prefix}q_norm.weight" in self.weights:
            q = self.norm(q, self.weight(f"{prefix}q_norm.weight"))
            k = self.norm(k, self.weight(f"{prefix}k_norm.weight"))
        merged = []
        for head in range(heads):
            kv = head // (heads // kv_heads)
            own_q = self.rotated(q[:, head * width : (head + 1) * width])
            own_k = self.rotated(k[:, kv * width : (kv + 1) * width])
            scores = own_q @ own_k.T / math.sqrt(width)
            future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
            shares = torch.softmax(scores.masked_fill(future, -math.inf), dim=-1)
            merged.append(shares @ v[:, kv * width : (kv + 1) * width])
        return torch.cat(merged, dim=-1) @ self.weight(f"{prefix}attn_out.weight").T

    def rotated(self, x):
        """One head, (tokens, width): value j turns with value j + width / 2."""
        half = x.shape[1] // 2
        out = torch.empty_like(x)
        for position in range(x.shape[0]):
            for j in range(half):
                angle = position * self.config.rope_theta ** (-2 * j / x.shape[1])
                a, b = x[position, j], x[position, j + half]
                out[position, j] = a * math.cos(angle) - b * math.sin(angle)
                out[position, j + half] = b * math.cos(angle) + a * math.sin(angle)
        return out

    def feed_forward(self, prefix, x):
        if self.config.num_experts:
            return self.experts(prefix, x)
        both = x @ self.weight(f"{prefix}ff_proj.weight").T
        value, gate = both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]
        return (silu(gate) * value) @ self.weight(f"{prefix}ff_out.weight").T

    def experts(self, prefix, x):
        """The published way: over all experts, each looking for its tokens."""
        shares = torch.softmax(x @ self.weight(f"{prefix}gate.weight").T, dim=-1)
        top, chosen = shares.topk(self.config.num_experts_per_tok, dim=-1)
        out = torch.zeros_like(x)
        for expert in range(self.config.num_experts):
            rows, slots = torch.where(chosen == expert)
            if len(rows):
                name = f"{prefix}experts.{expert}."
                gate = x[rows] @ self.weight(f"{name}gate_proj.weight").T
                up = x[rows] @ self.weight(f"{name}up_proj.weight").T
                made = (silu(gate) * up) @ self.weight(f"{name}down_proj.weight").T
                out.index_add_(0, rows, made * top[rows, slots, None])
        return out

    # The vision part

    def image_features(self, images, image_masks):
        """(crops, patches, values) to (crops, tokens, hidden)."""
        vision = self.config.vision_config
        prefix = "model.vision_backbone."
        pad = self.weight(f"{prefix}pad_embed")
        features = []
        for crop, mask in zip(images, image_masks, strict=True):
            patches = self.tower(crop)
            if bool((crop == -1).all()):
                patches = torch.zeros_like(patches)
            for number, share in enumerate(mask.tolist()):
                if share == 0:
                    patches[number] = patches[number] + pad[0]
                elif share < 1:
                    patches[number] = patches[number] + pad[1]
            rows, columns = (side // vision.patch_size for side in vision.image_size)
            tokens = []
            for row in range(0, rows, 2):
                for column in range(0, columns, 2):
                    window = [
                        patches[r * columns + c] if r < rows and c < columns else torch.zeros_like(patches[0])
                        for r in (row, row + 1)
                        for c in (column, column + 1)
                    ]
                    window = torch.stack(window)
                    tokens.append(
                        self.mixed(f"{prefix}image_pooling_2d.", window.mean(dim=0, keepdim=True), window)[0]
                    )
            pooled = torch.stack(tokens)
            w1, w2, w3 = (
                self.weight(f"{prefix}image_projector.{name}.weight") for name in ("w1", "w2", "w3")
            )
            features.append((silu(pooled @ w1.T) * (pooled @ w3.T)) @ w2.T)
        return torch.stack(features)

    def tower(self, crop):
        vision, prefix = self.config.vision_config, "model.vision_backbone.image_vit."
        x = crop @ self.weight(f"{prefix}patch_embedding.weight").T
        x = torch.cat((self.weight(f"{prefix}class_embedding")[None], x)) + self.positions(prefix)
        x = self.layer_norm(x, f"{prefix}pre_ln.")
        outputs = []
        for number in range(vision.num_hidden_layers):
            name = f"{prefix}transformer.resblocks.{number}."
            normed = self.layer_norm(x, f"{name}attention_norm.")
            x = x + self.mixed(f"{name}attention.", normed, normed)
            inner = self.linear(self.layer_norm(x, f"{name}ffn_norm."), f"{name}feed_forward.w1.")
            x = x + self.linear(inner * torch.sigmoid(1.702 * inner), f"{name}feed_forward.w2.")
            outputs.append(x)
        return torch.cat([outputs[layer][1:] for layer in vision.feature_layers], dim=-1)

    def positions(self, prefix):
        table, vision = self.weight(f"{prefix}positional_embedding"), self.config.vision_config
        side = int(math.sqrt(table.shape[0] - 1))
        grid = tuple(length // vision.patch_size for length in vision.image_size)
        if grid == (side, side):
            return table
        square = table[1:].T.reshape(1, -1, side, side)
        resized = torch.nn.functional.interpolate(square, size=grid, mode="bicubic", antialias=True)
        return torch.cat((table[:1], resized[0].flatten(1).T))

    def mixed(self, prefix, queries, keys):
        vision = self.config.vision_config
        q, k, v = (
            self.linear(x, f"{prefix}{name}.") for x, name in ((queries, "wq"), (keys, "wk"), (keys, "wv"))
        )
        heads = []
        for head in range(vision.num_attention_heads):
            own = slice(head * vision.head_dim, (head + 1) * vision.head_dim)
            shares = torch.softmax(q[:, own] @ k[:, own].T / math.sqrt(vision.head_dim), dim=-1)
            heads.append(shares @ v[:, own])
        return self.linear(torch.cat(heads, dim=-1), f"{prefix}wo.")

    def linear(self, x, prefix):
        return x @ self.weight(f"{prefix}weight").T + self.weight(f"{prefix}bias")

    def layer_norm(self, x, prefix):
        centred = x - x.mean(dim=-1, keepdim=True)
        scaled = centred / torch.sqrt(
            (centred**2).mean(dim=-1, keepdim=True) + self.config.vision_config.layer_norm_eps
        )
        return scaled * self.weight(f"{prefix}weight") + self.weight(f"{prefix}bias")


def silu(x):
    return x / (1 + torch.exp(-x))
