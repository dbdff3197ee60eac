"""Vectors of each scale into the space of the language model."""

from __future__ import annotations

from torch import Tensor, nn

SCALES = ("slide", "region", "patch", "cell")
"""From coarse to fine; everywhere in this folder scales come in this order."""

WIDTHS = {"slide": 192, "region": 192, "patch": 512, "cell": 384}
"""Width of the vectors of each scale in MLLM-HWSI: HIPT, HIPT, CONCH, CCAF of the release."""


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
