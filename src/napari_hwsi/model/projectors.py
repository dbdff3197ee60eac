"""Vectors of each scale into the space of the language model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_NARROW = 1e-4
_FARTHEST = 8.0


class Projector(nn.Sequential):
    """LayerNorm, linear, GELU, dropout, linear."""

    def __init__(self, width: int, hidden: int, out: int, dropout: float = 0.1) -> None:
        super().__init__(
            nn.LayerNorm(width),
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, out),
        )


def masked_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean over the next to last axis, (…, W) of x (…, K, W).

    mask: bool (…, K), True for what counts; None counts all. Where nothing counts the mean is zero.
    """
    if mask is None:
        return x.mean(-2)
    counts = mask.sum(-1, keepdim=True).clamp(min=1)
    return x.masked_fill(~mask[..., None], 0).sum(-2) / counts


class Adapter(nn.Module):
    """A correction to the vectors of an encoder: x + MLP(LayerNorm(x)), nothing at first."""

    def __init__(self, width: int, dropout: float = 0.1) -> None:
        super().__init__()
        last = nn.Linear(2 * width, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.change = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), last
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return vectors (…, W) of the same width."""
        changed: Tensor = self.change(x)
        return x + changed


class Standard(nn.Module):
    """Vectors in standard deviations from a mean, number by number; as they are until these are known."""

    mean: Tensor
    sd: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("sd", torch.ones(width))

    def settle(self, vectors: Tensor) -> None:
        """Take the mean and standard deviation of vectors (N, W)."""
        self.mean.copy_(vectors.mean(0))
        self.sd.copy_(vectors.std(0, correction=0).clamp(min=_NARROW))

    def forward(self, x: Tensor) -> Tensor:
        """Return vectors (…, W), held to ±8."""
        return ((x - self.mean) / self.sd).clamp(-_FARTHEST, _FARTHEST)
