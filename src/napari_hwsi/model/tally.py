"""Means and sums over all places of a box: attention of a small model finds them late, and never a sum."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_HIDDEN = 128
_USUAL = 2.0  # about what logarithms of sums are, so that they vary around zero


class Tally(nn.Module):
    """How much there is of each of a few things in a box, and what its patches are like on the whole.

    Each patch says how much it holds of ``count`` things that are learned, never less than nothing: nuclei,
    tumour, dark nuclei in stroma, …; the amounts in the box are summed. The logarithms of these sums, those
    of what is measured of the cells where that is not negative, and the mean of all vectors go through a
    small network. widths: of the vectors of patches and of their cells, those that are used; out: D.
    """

    def __init__(self, widths: Mapping[str, int], count: int, out: int) -> None:
        super().__init__()
        self.cells, width = widths.get("cell", 0), sum(widths.values())
        self.amounts = nn.Sequential(
            nn.Linear(width, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, count), nn.Softplus()
        )
        self.tell = nn.Sequential(
            nn.Linear(width + count + self.cells + 1, 2 * out), nn.GELU(), nn.Linear(2 * out, out)
        )

    def forward(self, places: Tensor, scaled: Tensor, inside: Tensor) -> Tensor:
        """Return (B, D). places, scaled: (B, N, W), a patch's vector before that of its cells, as it is and
        in standard deviations from the mean; inside: (B, N), how much of each lies in the box.
        """
        share, area = inside[..., None], inside.sum(1, keepdim=True)
        measured = places[..., places.shape[-1] - self.cells :].clamp(min=0)
        amounts = torch.cat([self.amounts(scaled).float(), measured, torch.ones_like(share)], -1)
        sums = (amounts * share).sum(1).log1p() - _USUAL
        means = (scaled * share).sum(1) / area.clamp(min=1e-3)
        told: Tensor = self.tell(torch.cat([means, sums], -1))
        return told
