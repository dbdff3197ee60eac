"""The transformer block that all networks of this package are built from, in timm's tensor naming."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rotation = tuple[Tensor, Tensor]
"""Sine and cosine of the rotary position codes, each (T', width of a head), for the last T' tokens."""


class Attention(nn.Module):
    """Multi-head self-attention with one matrix for query, key and value (timm's ``attn.qkv``)."""

    def __init__(self, width: int, heads: int, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None, rotation: Rotation | None = None) -> Tensor:
        """Return (N, T, W) of tokens (N, T, W); mask: bool, of (N, heads, T, T), True where one looks."""
        q, k, v = self._split(x, rotation)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def weights(
        self, x: Tensor, queries: int, mask: Tensor | None = None, rotation: Rotation | None = None
    ) -> Tensor:
        """Return how much the first ``queries`` tokens look at every token, (N, heads, queries, T)."""
        q, k, _ = self._split(x, rotation)
        scores = q[:, :, :queries] @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if mask is not None:
            seen = mask.expand(*scores.shape[:2], x.shape[1], -1)[:, :, :queries]
            scores = scores.masked_fill(~seen, -torch.inf)
        return scores.softmax(-1)

    def _split(self, x: Tensor, rotation: Rotation | None) -> tuple[Tensor, Tensor, Tensor]:
        n, t, w = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        if rotation is not None:
            q, k = _rotate(q, rotation), _rotate(k, rotation)
        return q, k, v


def _rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn the last tokens of (N, heads, T, D) by their place; class token and registers stay."""
    sin, cos = rotation
    still, moved = x[:, :, : -len(sin)], x[:, :, -len(sin) :]
    first, second = moved.chunk(2, -1)
    turned = moved * cos + torch.cat([-second, first], -1) * sin
    return torch.cat([still, turned.to(x.dtype)], 2)


class LayerScale(nn.Module):
    """A learned factor a channel (Touvron et al. 2021)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return x (…, W) scaled."""
        return x * self.gamma


class Mlp(nn.Module):
    """Two linear layers with GELU, or SwiGLU with gate and value packed into the first (Shazeer 2020)."""

    def __init__(self, width: int, hidden: int, gated: bool = False) -> None:
        super().__init__()
        self.gated = gated
        self.fc1 = nn.Linear(width, 2 * hidden if gated else hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, W) for (…, W)."""
        x = self.fc1(x)
        if self.gated:
            gate, value = x.chunk(2, -1)
            return self.fc2(F.silu(gate) * value)
        return self.fc2(F.gelu(x))


class Block(nn.Module):
    """Attention, then the MLP, each after its norm and added to what came in."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        gated: bool = False,
        layer_scale: bool = False,
        bias: bool = True,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps)
        self.attn = Attention(width, heads, bias)
        self.ls1 = LayerScale(width) if layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(width, eps)
        self.mlp = Mlp(width, hidden, gated)
        self.ls2 = LayerScale(width) if layer_scale else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor | None = None, rotation: Rotation | None = None) -> Tensor:
        """Return tokens (N, T, W); mask and rotation as :class:`Attention` takes them."""
        x = x + self.ls1(self.attn(self.norm1(x), mask, rotation))
        return x + self.ls2(self.mlp(self.norm2(x)))

    def attention(
        self, x: Tensor, queries: int, mask: Tensor | None = None, rotation: Rotation | None = None
    ) -> Tensor:
        """Return the attention of the first ``queries`` tokens in this block, (N, heads, queries, T)."""
        return self.attn.weights(self.norm1(x), queries, mask, rotation)
