"""Several slides as tensors of one size, what is padding masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from .scales import SCALES
from .vectors import ScaleVectors, SlideVectors

PLACE = 6
"""Numbers that say where something is: see :func:`places_of`."""


@dataclass(frozen=True)
class SlideBatch:
    """B slides; for each scale s with up to N_s places a slide:

    vectors: float32 (B, N_s, W_s); masks: bool (B, N_s), False for padding and for what may not be seen;
    places: float32 (B, N_s, 6); regions: int64 (B, N_s), of patches and cells the row of their region.
    cells_of: int64 (B, N_cell), the row of the patch whose cells each is. census: float32 (B, N, W), what is
    summed over, and inside: float32 (B, N), how much of each place lies in the box, 0 to 1; None where
    nothing is to be summed.
    """

    vectors: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    places: Mapping[str, Tensor]
    regions: Mapping[str, Tensor]
    cells_of: Tensor
    census: Tensor | None = None
    inside: Tensor | None = None

    def __len__(self) -> int:
        return len(self.vectors["slide"])

    def to(self, device: torch.device | str) -> SlideBatch:
        """Return the batch on another device."""
        groups = (self.vectors, self.masks, self.places, self.regions)
        vectors, masks, places, regions = ({k: v.to(device) for k, v in group.items()} for group in groups)
        summed = (None if each is None else each.to(device) for each in (self.census, self.inside))
        return SlideBatch(vectors, masks, places, regions, self.cells_of.to(device), *summed)


def places_of(scale: ScaleVectors, slide: SlideVectors) -> NDArray[np.float32]:
    """Return where the places of a scale are in the box that is asked about, float32 (N, 6).

    Centre y and x in µm from the box's top left; the same as shares of the box; height and width in µm. All
    from level-0 pixels, so that the same tissue has the same places at every scan resolution.
    """
    corner, mpp = np.array(slide.box[:2], np.float64), np.array(slide.mpp)
    size_um = (np.array(slide.box[2:]) - corner) * mpp
    low, high = scale.boxes[:, :2] - corner, scale.boxes[:, 2:] - corner
    centre = (low + high) / 2 * mpp
    return np.concatenate([centre, centre / size_um, (high - low) * mpp], 1).astype(np.float32)


def as_batch(slides: Sequence[SlideVectors], widths: Mapping[str, int]) -> SlideBatch:
    """Bring slides together. widths: of the vectors that the model takes, by scale.

    A scale of which a slide has nothing is masked. Raises InputError for vectors of another width.
    """
    vectors: dict[str, NDArray[np.float32]] = {}
    places: dict[str, NDArray[np.float32]] = {}
    masks: dict[str, NDArray[np.bool_]] = {}
    regions: dict[str, NDArray[np.int64]] = {}
    for scale in SCALES:
        if scale not in widths:
            continue
        tables = [slide.at(scale) for slide in slides]
        for table in tables:
            if len(table) and table.width != widths[scale]:
                raise InputError(
                    f"The model takes {scale} vectors of width {widths[scale]}, not {table.width}."
                )
        longest = max([1, *(len(table) for table in tables)])
        shape = (len(slides), longest)
        vectors[scale] = np.zeros((*shape, widths[scale]), np.float32)
        masks[scale] = np.zeros(shape, bool)
        places[scale] = np.zeros((*shape, PLACE), np.float32)
        regions[scale] = np.zeros(shape, np.int64)
        for i, table in enumerate(tables):
            if not (count := len(table)):
                continue
            vectors[scale][i, :count] = np.where(table.mask[:, None], table.vectors, 0)
            masks[scale][i, :count] = table.mask
            places[scale][i, :count] = places_of(table, slides[i])
            regions[scale][i, :count] = table.regions
    cells_of = np.zeros((len(slides), max([1, *(len(slide.cell) for slide in slides)])), np.int64)
    for i, slide in enumerate(slides):
        cells_of[i, : len(slide.cell)] = slide.cells_of

    def tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
        return {scale: torch.from_numpy(values) for scale, values in arrays.items()}

    groups = tensors(vectors), tensors(masks), tensors(places), tensors(regions)
    return SlideBatch(*groups, torch.from_numpy(cells_of), *_census(slides, widths))


def _census(slides: Sequence[SlideVectors], widths: Mapping[str, int]) -> tuple[Tensor | None, Tensor | None]:
    """Return the census of slides and how much of each place lies in the box."""
    tables = [slide.census for slide in slides if slide.census is not None]
    if len(tables) < len(slides) or not slides:
        return None, None
    width = sum(widths.get(scale, 0) for scale in ("patch", "cell"))
    longest = max([1, *(len(table) for table in tables)])
    values = np.zeros((len(slides), longest, width), np.float32)
    inside = np.zeros((len(slides), longest), np.float32)
    for i, (table, slide) in enumerate(zip(tables, slides, strict=True)):
        if table.width not in (width, widths.get("patch")):  # without cells: those stay zeros
            raise InputError(f"The model counts over vectors of width {width}, not {table.width}.")
        values[i, : len(table), : table.width] = np.where(table.mask[:, None], table.vectors, 0)
        sides = np.clip(table.boxes, np.tile(slide.box[:2], 2), np.tile(slide.box[2:], 2))
        area, whole = (
            np.prod((boxes[:, 2:] - boxes[:, :2]).astype(np.float64), 1) for boxes in (sides, table.boxes)
        )
        inside[i, : len(table)] = np.where(table.mask, area / np.maximum(whole, 1), 0)
    return torch.from_numpy(values), torch.from_numpy(inside)


def by_region(values: Tensor, mask: Tensor, regions: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Group the places of each slide by region.

    values: (B, N, W); mask: bool (B, N); regions: int64 (B, N), below ``count``. Returns (B, count, K, W) and
    its mask (B, count, K), K being the most that a region has.
    """
    slides, width = len(values), values.shape[-1]
    key = torch.where(mask, regions, count)  # what is masked goes behind all regions
    counts = torch.stack([torch.bincount(row, minlength=count + 1)[:count] for row in key])
    most = max(1, int(counts.max()))
    order = key.argsort(dim=1, stable=True)
    ordered = key.gather(1, order)
    starts = counts.cumsum(1) - counts
    rank = torch.arange(key.shape[1], device=key.device)[None] - starts.gather(
        1, ordered.clamp(max=count - 1)
    )
    slide = torch.arange(slides, device=key.device)[:, None].expand_as(key)
    seen = ordered < count
    at = (slide[seen], ordered[seen], rank[seen])
    out = values.new_zeros(slides, count, most, width)
    out[at] = values.gather(1, order[..., None].expand(-1, -1, width))[seen]
    there = mask.new_zeros(slides, count, most)
    there[at] = True
    return out, there


def region_means(values: Tensor, mask: Tensor, regions: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the mean of each slide's places by region, (B, count, W), and where there is any, (B, count)."""
    shown = values * mask[..., None]
    sums = values.new_zeros(len(values), count, values.shape[-1])
    sums = sums.scatter_add(1, regions[..., None].expand_as(shown), shown)
    counts = values.new_zeros(len(values), count).scatter_add(1, regions, mask.to(values.dtype))
    return sums / counts.clamp(min=1)[..., None], counts > 0
