"""Any number of regions into a fixed number of tokens, and which region each token looked at."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_HEADS = 8


class Resampler(nn.Module):
    """Learned queries that look at the regions once (as in Perceiver and Flamingo)."""

    def __init__(self, width: int, queries: int = 64, dropout: float = 0.1) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, queries, width) * 0.02)
        self.attn = nn.MultiheadAttention(width, _HEADS, dropout=dropout, batch_first=True)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, regions: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the tokens (B, Q, D) and the attention of each to each region (B, heads, Q, R).

        regions: (B, R, D); mask: bool (B, R), True for a region, False for padding. A slide needs at least
        one region.
        """
        queries = self.queries.expand(len(regions), -1, -1)
        seen, attention = self.attn(
            self.norm1(queries),
            regions,
            regions,
            key_padding_mask=None if mask is None else ~mask,
            average_attn_weights=False,
        )
        tokens = queries + seen
        return tokens + self.mlp(self.norm2(tokens)), attention
