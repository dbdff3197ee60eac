"""The pocket network: nuclei, their distances and kinds in each pixel of H&E at 0.5 µm/px."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 8
"""Sides of its input are multiples of this, px, and it is blind to shifts by them."""

_GAIN = 1.7139588594436646  # makes the variance of a rectified normal variable 1


@dataclass(frozen=True)
class Maps:
    """What the network says of (N, 3, Y, X).

    nucleus: (N, 1, Y, X) logit; depth: (N, 1, Y, X), distance to the nucleus' edge as a share of its
    largest; offsets: (N, 2, Y, X), vertical and horizontal distance from its centre as a share of
    its reach; types: (N, T, Y/2, X/2) logits.
    """

    nucleus: Tensor
    depth: Tensor
    offsets: Tensor
    types: Tensor


class NucleusNetwork(nn.Module):
    """A U-Net without normalisation (Ronneberger et al., MICCAI 2015) that works at half resolution.

    Pixels are folded 2 x 2 into channels, and the maps unfolded again, so that no layer runs at full
    size. Blocks are residual and their activations scaled to keep variance (Brock et al., ICML 2021):
    nothing depends on the batch or on far pixels, which any norm over an image would bring in.
    """

    def __init__(self, widths: tuple[int, int, int] = (32, 48, 96), types: int = 5) -> None:
        super().__init__()
        first, second, third = widths
        self.stem = nn.Conv2d(12, first, 3, padding=1)
        self.down1 = nn.Conv2d(first, second, 3, stride=2, padding=1)
        self.encode2 = Block(second)
        self.down2 = nn.Conv2d(second, third, 3, stride=2, padding=1)
        self.middle = nn.Sequential(Block(third), Block(third))
        self.up2 = nn.Conv2d(third, second, 1)
        self.decode2 = Block(second)
        self.up1 = nn.Conv2d(second, first, 1)
        self.decode1 = Block(first)
        self.head = nn.Conv2d(first, 4 * 4 + types, 1)

    def forward(self, density: Tensor) -> Maps:
        """Return the maps of optical densities (N, 3, Y, X); Y and X multiples of 8."""
        fine = self.stem(functional.pixel_unshuffle(density, 2))
        coarse = self.encode2(self.down1(_active(fine)))
        deep = self.middle(self.down2(_active(coarse)))
        coarse = self.decode2(coarse + _twice(self.up2(_active(deep))))
        fine = self.decode1(fine + _twice(self.up1(_active(coarse))))
        out = self.head(_active(fine)).float()
        full = functional.pixel_shuffle(out[:, :16], 2)
        return Maps(full[:, 0:1], full[:, 1:2], full[:, 2:4], out[:, 16:])


class Block(nn.Module):
    """Two 3 x 3 convolutions on a residual branch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.scale = nn.Parameter(torch.full((1, width, 1, 1), 0.2))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, Y, X) of the same shape."""
        return x + self.scale * self.second(_active(self.first(_active(x))))


def _active(x: Tensor) -> Tensor:
    return functional.relu(x) * _GAIN


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
