"""Units of language of earlier batches, as negatives for small ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..model.losses import Units


class Queue(nn.Module):
    """The last ``size`` units of a scale (as the memory of MoCo, He et al. 2020), part of a run's state."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.vectors: Tensor
        self.strings: Tensor
        self.register_buffer("vectors", torch.zeros(size, width))
        self.register_buffer("strings", torch.full((size,), -1, dtype=torch.int64))

    def behind(self, units: Units) -> Units:
        """Return units with those that are remembered behind them."""
        held = self.strings >= 0
        return units.and_earlier(self.vectors[held], self.strings[held])

    def remember(self, units: Units) -> None:
        """Take in the units of this batch, the oldest leave."""
        new, size = units.report >= 0, len(self.vectors)
        with torch.no_grad():
            vectors = units.vectors[new].detach().to(self.vectors.dtype)
            self.vectors.copy_(torch.cat([vectors, self.vectors])[:size])
            self.strings.copy_(torch.cat([units.string[new], self.strings])[:size])
