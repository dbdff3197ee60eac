"""The pocket patch network: 128 µm of H&E at 1 µm/px to a vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE = 128
"""Pixels a side of a patch as the network sees it."""

_CENTRE, _SPREAD = 0.25, 0.25  # of optical densities, roughly
_DENSEST = 2.0


class Block(nn.Module):
    """Two convolutions, each followed by a norm over the batch, added to what came in (He et al. 2016)."""

    def __init__(self, before: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.short = nn.Conv2d(before, width, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, width, Y / stride, X / stride)."""
        inner = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.short(x) + self.norm2(self.conv2(inner)))


class PatchNetwork(nn.Module):
    """A small residual network on optical densities.

    Mean and standard deviation over the places, of two depths, describe a patch as a texture, whatever its
    size and turn; a last linear step, fitted when all else is trained, brings them to ``width`` numbers that
    vary alike.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (32, 48, 96, 192), width: int = 192) -> None:
        super().__init__()
        first, *deeper = widths
        self.width, self.pooled_width = width, 2 * (widths[2] + widths[3])
        self.stem = nn.Conv2d(3, first, 3, 2, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(first)
        self.fine = nn.Sequential(Block(first, deeper[0], 2), Block(deeper[0], deeper[0]))
        self.middle = nn.Sequential(Block(deeper[0], deeper[1], 2), Block(deeper[1], deeper[1]))
        self.coarse = nn.Sequential(Block(deeper[1], deeper[2], 2), Block(deeper[2], deeper[2]))
        self.last = nn.Linear(self.pooled_width, width)

    def pooled(self, density: Tensor) -> Tensor:
        """Return (N, pooled_width) of optical densities (N, 3, Y, X)."""
        x = (density.clamp(0, _DENSEST) - _CENTRE) / _SPREAD
        x = functional.relu(self.stem_norm(self.stem(x)))
        middle = self.middle(self.fine(x))
        coarse = self.coarse(middle)
        moments = []
        for planes in (middle.float(), coarse.float()):
            mean = planes.mean((2, 3))
            spread = (planes - mean[:, :, None, None]).square().mean((2, 3))
            moments += [mean, (spread + 1e-4).sqrt()]
        return torch.cat(moments, 1)

    def forward(self, density: Tensor) -> Tensor:
        """Return (N, width)."""
        return self.last(self.pooled(density))
