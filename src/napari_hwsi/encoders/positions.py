"""Where a patch lies: learned position codes brought to another grid, and rotary codes."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from .transformer import Rotation

Resizing: TypeAlias = Literal["dino", "timm", "plain"]
"""How published code resizes position codes, bicubic each: 'dino' (DINO, HIPT, CellViT, DINOv2) asks for a
factor with 0.1 added to the grid, 'timm' (timm, DINOv2 with registers) for a size with antialiasing,
'plain' (transformers) for a size without."""


def resize_positions(codes: Tensor, grid: tuple[int, int], how: Resizing) -> Tensor:
    """Return codes (1, h * w, W) for a grid (h, w), from the codes (1, s * s, W) of a square grid."""
    side = math.isqrt(codes.shape[1])
    if grid == (side, side):
        return codes
    # MPS has no antialiased bicubic
    picture = (codes.cpu() if codes.device.type == "mps" else codes).float()
    picture = picture.view(1, side, side, -1).permute(0, 3, 1, 2)
    if how == "dino":
        factors = ((grid[0] + 0.1) / side, (grid[1] + 0.1) / side)
        picture = F.interpolate(picture, scale_factor=factors, mode="bicubic")
    else:
        picture = F.interpolate(picture, size=grid, mode="bicubic", antialias=how == "timm")
    return picture.flatten(2).transpose(1, 2).to(codes)


def rotary(grid: tuple[int, int], head_width: int, base: float, device: torch.device) -> Rotation:
    """Return the rotary codes of a grid (h, w) as DINOv3 has them, each (h * w, head_width) float32.

    The centres of the patches lie in (-1, 1) along each axis; a quarter of the head's width turns
    with y and a quarter with x, with periods base^0 … base^1, and the second half repeats the first
    (Siméoni et al. 2025, https://arxiv.org/abs/2508.10104).
    """
    quarter = head_width // 4
    periods = base ** (torch.arange(quarter, device=device, dtype=torch.float32) / quarter)
    axes = [2 * (torch.arange(n, device=device, dtype=torch.float32) + 0.5) / n - 1 for n in grid]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).view(-1, 2, 1)
    angles = (2 * math.pi * places / periods).flatten(1).repeat(1, 2)
    return angles.sin(), angles.cos()
