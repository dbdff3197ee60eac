"""Maps of a slide as one pyramidal OME-TIFF (https://docs.openmicroscopy.org/ome-model)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from ...disk import written_whole
from ...progress import Progress, tell
from .ome_zarr import halved_mean, pyramid_shapes
from .score_map import ScoreMap, pixels_for

_TILE = 256


def write_ome_tiff(
    maps: Sequence[ScoreMap], path: Path, step_um: float | None = None, progress: Progress | None = None
) -> None:
    """Write maps of one slide as the channels of a tiled pyramid: float32 (C, Y, X).

    NaN where no unit lies. Pixel size in µm; PositionX and PositionY of each plane say where the corner lies
    on the slide. Made on the disk in blocks of rows. Raises InputError for maps that do not belong together.
    """
    grid = pixels_for(maps, step_um)
    mpp = maps[0].mpp
    shapes = pyramid_shapes(grid.shape)
    with written_whole(path) as part, tempfile.TemporaryDirectory(dir=path.parent) as folder:
        levels = [
            np.memmap(Path(folder) / str(k), np.float32, "w+", shape=(len(maps), *shape))
            for k, shape in enumerate(shapes)
        ]
        for c, one in enumerate(maps):
            top = 0
            for block in one.blocks(grid):
                levels[0][c, top : top + len(block)] = block
                top += len(block)
            for finer, coarser in pairwise(levels):
                for start in range(0, coarser.shape[1], _TILE):
                    rows = finer[c, 2 * start : 2 * (start + _TILE)]
                    coarser[c, start : start + _TILE] = halved_mean(rows)[: coarser.shape[1] - start]
            tell(progress, c + 1, len(maps), "maps")
        size = [step * um for step, um in zip(grid.step, mpp, strict=True)]
        corner = [start * um for start, um in zip(grid.origin, mpp, strict=True)]
        facts = {
            "axes": "CYX",
            "PhysicalSizeY": size[0], "PhysicalSizeYUnit": "µm",
            "PhysicalSizeX": size[1], "PhysicalSizeXUnit": "µm",
            "Channel": {"Name": [one.name for one in maps]},
            "Plane": {
                "PositionY": [corner[0]] * len(maps), "PositionYUnit": ["µm"] * len(maps),
                "PositionX": [corner[1]] * len(maps), "PositionXUnit": ["µm"] * len(maps),
            },
        }  # fmt: skip
        options: dict[str, Any] = {"tile": (_TILE, _TILE), "compression": "zlib", "photometric": "minisblack"}
        with tifffile.TiffWriter(part, bigtiff=True, ome=True) as tif:
            tif.write(
                _tiles(levels[0]), shape=levels[0].shape, dtype=np.float32, subifds=len(levels) - 1,
                metadata=facts, **options,
            )  # fmt: skip
            for level in levels[1:]:
                tif.write(_tiles(level), shape=level.shape, dtype=np.float32, subfiletype=1, **options)
        del levels


def _tiles(level: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield the tiles of all channels, those at the end padded to full size."""
    for plane in level:
        for top in range(0, plane.shape[0], _TILE):
            for left in range(0, plane.shape[1], _TILE):
                tile = plane[top : top + _TILE, left : left + _TILE]
                rest = _TILE - tile.shape[0], _TILE - tile.shape[1]
                yield np.pad(tile, ((0, rest[0]), (0, rest[1])), constant_values=np.nan)
