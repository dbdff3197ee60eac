"""Where on the slide something is, as a vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_SHORTEST_UM, _WAVES = 128.0, 11  # from a patch to 131 mm
_SHARES = 4  # halves of the box, quarters, …
_FEATURES = 2 * 2 * _WAVES + 2 * 2 * _SHARES + 2 + 2


class PlaceCode(nn.Module):
    """Sines and cosines of a place in µm and as a share of the box, and its size, through one linear layer.

    The two-dimensional form of the code of Vaswani et al. (2017), with wavelengths on the ground.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(_FEATURES, width)
        nn.init.normal_(self.project.weight, std=0.02)  # a tag, not louder than what it is put on

    def forward(self, places: Tensor) -> Tensor:
        """Return (…, D) for places (…, 6) as of :func:`.batch.places_of`."""
        centre, share, size = places[..., :2], places[..., 2:4], places[..., 4:]
        k = torch.arange(_WAVES, device=places.device)
        waves = 2 * torch.pi / (_SHORTEST_UM * 2.0**k)
        ground = (centre[..., None] * waves).flatten(-2)
        within = share.clamp(-1, 2)
        halves = torch.pi * 2.0 ** torch.arange(_SHARES, device=places.device)
        parts = (within[..., None] * halves).flatten(-2)
        angles = torch.cat([ground, parts], -1)
        size = torch.log2(size.clamp(min=1)) / 10
        code: Tensor = self.project(torch.cat([angles.sin(), angles.cos(), within, size], -1))
        return code
