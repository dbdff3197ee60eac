"""What a bridge makes of slides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Seen:
    """What a language model of width D is given of B slides, and what the losses compare.

    tokens: (B, N, D); mask: bool (B, N), False for what it may not see. projected: the vectors of each scale
    in the model's space, (B, N_s, D), before places are added; masks: bool (B, N_s); regions: int64 (B, N_s),
    of patches and cells; cell_rows: int64 (B, N_cell), the row of each cell's patch. looked: where the tokens
    are not the places themselves, how each looked at each region, (B, heads, N, R); else None.
    """

    tokens: Tensor
    mask: Tensor
    projected: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    regions: Mapping[str, Tensor]
    cell_rows: Tensor | None = None
    looked: Tensor | None = None
