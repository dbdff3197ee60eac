"""Four scales of one region into one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Fusion(nn.Module):
    """LayerNorm(region + MLP(slide, region, patches, cells)), as behind the released weights."""

    def __init__(self, width: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.fuse = nn.Sequential(
            nn.LayerNorm(4 * width),
            nn.Linear(4 * width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
        )
        self.out_norm = nn.LayerNorm(width)

    def forward(self, slide: Tensor, region: Tensor, patches: Tensor, cells: Tensor) -> Tensor:
        """Return the fused regions (B, R, D).

        slide: (B, D); region: (B, R, D); patches, cells: (B, R, D), the means over what the region kept.
        """
        together = torch.cat([slide[:, None].expand_as(region), region, patches, cells], -1)
        return self.out_norm(region + self.fuse(together))
