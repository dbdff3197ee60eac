"""The grid of regions and patches, by micrometres."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..slides import Slide
from ..units import Box, Mpp, intersect

REGION_PX = 4096
PATCH_PX = 256
PER_SIDE = REGION_PX // PATCH_PX
MPP = 0.5


@dataclass(frozen=True)
class Grid:
    """Regions of 4096 x 4096 px and patches of 256 x 256 px at 0.5 µm/px over a whole slide.

    Region i stands at row i // columns, column i % columns; patch j of a region at row
    j // 16, column j % 16. origin: (y, x) level-0 px of the top left; downsample: (y, x)
    level-0 px per grid px; mpp: true (y, x) µm per grid px; extent: the box that is
    covered. Regions over the edge are kept.
    """

    origin: tuple[int, int]
    extent: Box
    downsample: tuple[float, float]
    mpp: Mpp

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of regions."""
        size = (self.extent[2] - self.origin[0], self.extent[3] - self.origin[1])
        rows, columns = (
            max(1, math.ceil(s / d / REGION_PX)) for s, d in zip(size, self.downsample, strict=True)
        )
        return rows, columns

    def __len__(self) -> int:
        rows, columns = self.shape
        return rows * columns

    def region_box(self, region: int) -> Box:
        """Return the box of a region, level-0 px."""
        row, column = divmod(region, self.shape[1])
        y0, x0 = self._place(row * REGION_PX, column * REGION_PX)
        y1, x1 = self._place((row + 1) * REGION_PX, (column + 1) * REGION_PX)
        return y0, x0, y1, x1

    def patch_boxes(self, region: int) -> NDArray[np.int64]:
        """Return the boxes of a region's 256 patches, (256, 4) level-0 px."""
        row, column = divmod(region, self.shape[1])
        corner = np.arange(PER_SIDE + 1) * PATCH_PX
        ys = np.rint(self.origin[0] + (row * REGION_PX + corner) * self.downsample[0]).astype(np.int64)
        xs = np.rint(self.origin[1] + (column * REGION_PX + corner) * self.downsample[1]).astype(np.int64)
        y, x = np.divmod(np.arange(PER_SIDE**2), PER_SIDE)
        return np.stack([ys[y], xs[x], ys[y + 1], xs[x + 1]], 1)

    def on_slide(self, region: int) -> NDArray[np.float32]:
        """Return the share of each patch's area that lies on the slide, float32 (256,)."""
        boxes = self.patch_boxes(region)
        low, high = np.array(self.extent[:2]), np.array(self.extent[2:])
        inside = np.clip(np.minimum(boxes[:, 2:], high) - np.maximum(boxes[:, :2], low), 0, None)
        return (inside.prod(1) / (boxes[:, 2:] - boxes[:, :2]).prod(1)).astype(np.float32)

    def regions_meeting(self, box: Box) -> list[int]:
        """Return the regions that share area with ``box``, in order."""
        return [i for i in range(len(self)) if intersect(self.region_box(i), box)]

    def _place(self, y: int, x: int) -> tuple[int, int]:
        return (
            round(self.origin[0] + y * self.downsample[0]),
            round(self.origin[1] + x * self.downsample[1]),
        )


def region_grid(slide: Slide, mpp: float = MPP) -> Grid:
    """Return the grid of the whole slide, from the top left of its bounds.

    It depends on the slide alone, so that all runs agree. Raises ResolutionError for a slide
    without mpp, or scanned more coarsely than ``mpp``.
    """
    scale = slide.scale_at(mpp)
    assert scale.mpp is not None  # scale_at of an mpp needs the slide's
    bounds = slide.bounds
    return Grid((bounds[0], bounds[1]), bounds, scale.downsample, scale.mpp)
