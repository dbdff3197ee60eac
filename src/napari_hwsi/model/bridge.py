"""The bridge from a slide's four scales to the tokens that a language model reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..encoders.weights import Source, fill, missing_tensor, read_weights
from .batch import SlideBatch, by_region
from .fusion import Fusion
from .projectors import Projector, masked_mean
from .resampler import Resampler
from .scales import SCALES, WIDTHS
from .seen import Seen

_FILE = "vl_projector.pt"
_RELEASED = {"slide": "wsi", "region": "region", "patch": "patch", "cell": "cell"}


@dataclass(frozen=True)
class Bridged:
    """What a language model of width D is given of B slides.

    tokens: (B, Q, D); attention: (B, heads, Q, R), how each token looked at each region, the model's own
    "where"; pooled: for each scale one vector a slide, (B, D), the mean over what its mask lets through;
    projected: the vectors of each scale in the model's space, of the shapes they came in.
    """

    tokens: Tensor
    attention: Tensor
    pooled: dict[str, Tensor]
    projected: dict[str, Tensor]


class Bridge(nn.Module):
    """Four projectors, the fusion of each region, and the resampler (MLLM-HWSI, arXiv 2603.23067).

    width: D, of the language model; hidden: inside the projectors; queries: tokens a slide becomes;
    widths: of the vectors of each scale.
    """

    kind = "resampled"

    def __init__(
        self,
        width: int = 3584,
        hidden: int = 1024,
        queries: int = 64,
        dropout: float = 0.1,
        widths: Mapping[str, int] = WIDTHS,
    ) -> None:
        super().__init__()
        self.width, self.queries, self.widths = width, queries, dict(widths)
        self.settings = {
            "width": width,
            "hidden": hidden,
            "queries": queries,
            "dropout": dropout,
            "widths": self.widths,
        }
        self.projectors = nn.ModuleDict(
            {scale: Projector(widths[scale], hidden, width, dropout) for scale in SCALES}
        )
        self.fusion = Fusion(width, dropout)
        self.compressor = Resampler(width, queries, dropout)

    def forward(
        self,
        slide: Tensor,
        region: Tensor,
        patch: Tensor,
        cell: Tensor,
        *,
        region_mask: Tensor | None = None,
        patch_mask: Tensor | None = None,
        cell_mask: Tensor | None = None,
    ) -> Bridged:
        """Bring B slides of R regions with K kept patches each to the language model.

        slide: (B, W_slide); region: (B, R, W_region); patch: (B, R, K, W_patch); cell: (B, R, K, W_cell), one
        token a patch. Masks are bool, True for what is there: (B, R), (B, R, K), (B, R, K); None: all are.
        """
        given = {"slide": slide, "region": region, "patch": patch, "cell": cell}
        inside: dict[str, Tensor] = {scale: self.projectors[scale](given[scale]) for scale in SCALES}
        patches = masked_mean(inside["patch"], patch_mask)
        cells = masked_mean(inside["cell"], cell_mask)
        fused = self.fusion(inside["slide"], inside["region"], patches, cells)
        tokens, attention = self.compressor(fused, region_mask)
        pooled = {
            "slide": inside["slide"],
            "region": masked_mean(inside["region"], region_mask),
            "patch": _mean_of_slide(inside["patch"], patch_mask, region_mask),
            "cell": _mean_of_slide(inside["cell"], cell_mask, region_mask),
        }
        return Bridged(tokens, attention, pooled, inside)

    def see(self, batch: SlideBatch) -> Seen:
        """Return the tokens of B slides. A patch without cells has no cell vector, as in the release."""
        regions, count = batch.masks["region"], batch.vectors["region"].shape[1]
        patch, cell = batch.vectors["patch"], batch.vectors["cell"]
        with_cells = batch.masks["cell"] & cell.any(-1)
        beside = batch.cells_of[..., None].expand_as(cell)  # the cells of a patch go beside it
        cells = patch.new_zeros(*patch.shape[:2], cell.shape[-1])
        cells = cells.scatter_add(1, beside, cell * with_cells[..., None])
        held = patch.new_zeros(patch.shape[:2]).scatter_add(1, batch.cells_of, with_cells.to(patch.dtype))
        seen = batch.masks["patch"]
        table = torch.cat([patch, cells, seen[..., None].to(patch.dtype), held[..., None]], -1)
        grid, _ = by_region(table, seen | (held > 0), batch.regions["patch"], count)
        wide = patch.shape[-1]
        patch, cell = grid[..., :wide], grid[..., wide:-2]
        masks = {"patch": grid[..., -2] > 0, "cell": grid[..., -1] > 0}
        found = self(
            batch.vectors["slide"][:, 0],
            batch.vectors["region"],
            patch,
            cell,
            region_mask=regions,
            patch_mask=masks["patch"],
            cell_mask=masks["cell"],
        )
        kept = grid.shape[2]
        rows = torch.arange(count, device=regions.device).repeat_interleave(kept).expand(len(batch), -1)
        column = torch.arange(count * kept, device=regions.device).expand(len(batch), -1)
        projected = {
            "slide": found.projected["slide"][:, None],
            "region": found.projected["region"],
            "patch": found.projected["patch"].flatten(1, 2),
            "cell": found.projected["cell"].flatten(1, 2),
        }
        flat = {scale: mask.flatten(1) for scale, mask in masks.items()}
        flat = {"slide": batch.masks["slide"], "region": regions, **flat}
        everything = torch.ones(found.tokens.shape[:2], dtype=torch.bool, device=found.tokens.device)
        of_region = {"patch": rows, "cell": rows}
        return Seen(found.tokens, everything, projected, flat, of_region, column, found.attention)

    def released(self) -> dict[str, Tensor]:
        """Return the state dict under the names of the released ``vl_projector.pt``."""
        return {_outside(name): value for name, value in self.state_dict().items()}


def _mean_of_slide(x: Tensor, mask: Tensor | None, region_mask: Tensor | None) -> Tensor:
    """Return the mean over all patches of a slide, (B, D) of (B, R, K, D), whatever region they are of."""
    seen = x.new_ones(x.shape[:-1], dtype=torch.bool) if mask is None else mask
    if region_mask is not None:
        seen = seen & region_mask[..., None]
    return masked_mean(x.flatten(1, 2), seen.flatten(1, 2))


def _outside(name: str) -> str:
    return re.sub(r"^projectors\.(\w+)\.", lambda found: f"{_RELEASED[found[1]]}_proj.proj.projector.", name)


def _inside(name: str) -> str:
    scales = {released: scale for scale, released in _RELEASED.items()}
    return re.sub(
        r"^(wsi|region|patch|cell)_proj\.proj\.projector\.",
        lambda found: f"projectors.{scales[found[1]]}.",
        name,
    )


def load_bridge(source: Source) -> Bridge:
    """Read a bridge from the released layout: ``vl_projector.pt``, a folder that holds it, or a state dict.

    Widths are read from the tensors. Raises WeightsError, naming the tensor, for another network's file.
    """
    state, where = read_weights(source, (_FILE,))
    state = {_inside(name): value for name, value in state.items()}
    first = {scale: f"projectors.{scale}.1.weight" for scale in SCALES}
    for name in (*first.values(), "compressor.queries"):
        if name not in state:
            raise missing_tensor(_outside(name), state, where)
    _, queries, width = state["compressor.queries"].shape
    with torch.device("meta"):
        bridge = Bridge(
            width,
            state[first["slide"]].shape[0],
            queries,
            widths={scale: state[name].shape[1] for scale, name in first.items()},
        )
    return fill(bridge, state, where)
