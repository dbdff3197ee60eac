"""The tokens of all scales one after another, each with its scale and its place."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .batch import SlideBatch
from .places import PlaceCode
from .projectors import Adapter, Projector, Standard
from .scales import SCALES, WIDTHS
from .seen import Seen
from .tally import Tally


class Concatenated(nn.Module):
    """A projector a scale, then slide, regions, patches and cells as one sequence (MLLM-HWSI, section 3).

    Vectors enter in standard deviations from the mean of those that were learned from: what all places share
    says nothing. Each token carries a learned code of its scale and a code of its place, so that an answer
    can say where.
    width: D, of the language model; hidden: inside the projectors; widths: of the vectors of the scales that
    are used; adapters: whether the vectors first pass what stage 1 learned of them; tallies: how many sums
    over all patches of the box (:class:`.tally.Tally`) every token is told, 0: none.
    """

    kind = "concatenated"

    def __init__(
        self,
        width: int = 3584,
        hidden: int = 1024,
        dropout: float = 0.1,
        widths: Mapping[str, int] = WIDTHS,
        adapters: bool = False,
        tallies: int = 0,
    ) -> None:
        super().__init__()
        self.width = width
        self.widths: dict[str, int] = {scale: widths[scale] for scale in SCALES if scale in widths}
        self.settings = {
            "width": width,
            "hidden": hidden,
            "dropout": dropout,
            "widths": self.widths,
            "adapters": adapters,
            "tallies": tallies,
        }
        self.adapters = nn.ModuleDict(
            {scale: Adapter(wide, dropout) for scale, wide in self.widths.items()} if adapters else {}
        )
        self.standard = nn.ModuleDict({scale: Standard(wide) for scale, wide in self.widths.items()})
        self.projectors = nn.ModuleDict(
            {scale: Projector(wide, hidden, width, dropout) for scale, wide in self.widths.items()}
        )
        self.scales = nn.ParameterDict(
            {scale: nn.Parameter(torch.randn(width) * 0.02) for scale in self.widths}
        )
        self.places = PlaceCode(width)
        if "cell" in self.widths:
            self.no_cells = nn.Parameter(torch.randn(width) * 0.02)
        counted = {scale: wide for scale, wide in self.widths.items() if scale in ("patch", "cell")}
        self.tally = Tally(counted, tallies, width) if tallies and counted else None

    def settle(self, scale: str, vectors: Tensor) -> None:
        """Take what vectors (N, W) of a scale have in common, and their spread, from those learned from."""
        standard = self.standard[scale]
        assert isinstance(standard, Standard)
        standard.settle(vectors.to(standard.mean.device))

    def see(self, batch: SlideBatch) -> Seen:
        """Return the tokens of B slides, in the order of the scales."""
        projected: dict[str, Tensor] = {}
        tokens = []
        for scale in self.widths:
            x = batch.vectors[scale]
            inside = self.projectors[scale](
                self.standard[scale](self.adapters[scale](x) if self.adapters else x)
            )
            if scale == "cell":
                inside = torch.where(x.any(-1, keepdim=True), inside, self.no_cells.to(inside.dtype))
            projected[scale] = inside
            tokens.append(inside + self.scales[scale] + self.places(batch.places[scale]))
        if self.tally is not None and batch.census is not None and batch.inside is not None:
            counted = [scale for scale in ("patch", "cell") if scale in self.widths]
            parts = torch.split(batch.census, [self.widths[scale] for scale in counted], -1)
            scaled = torch.cat([self.standard[s](part) for s, part in zip(counted, parts, strict=True)], -1)
            told = self.tally(batch.census, scaled, batch.inside)[:, None]
            tokens = [each + told for each in tokens]  # one among hundreds of tokens would hardly be heard
        mask = torch.cat([batch.masks[scale] for scale in self.widths], 1)
        return Seen(torch.cat(tokens, 1), mask, projected, batch.masks, batch.regions, batch.cells_of)

    def forward(self, batch: SlideBatch) -> Seen:
        """Return what :meth:`see` does."""
        return self.see(batch)
