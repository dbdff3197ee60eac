"""Maps in files, each kind known by its ending."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, StoreError
from ...progress import Progress
from .ome_tiff import write_ome_tiff
from .ome_zarr import read_ome_zarr, write_ome_zarr
from .picture import write_picture
from .score_map import ScoreMap
from .table import read_table, write_geojson, write_table

ENDINGS = (".ome.zarr", ".ome.tif", ".geojson", ".csv", ".parquet", ".png")
"""What :func:`write_maps` writes."""


def write_maps(
    maps: Sequence[ScoreMap],
    path: str | Path,
    step_um: float | None = None,
    thumbnail: NDArray[np.uint8] | None = None,
    progress: Progress | None = None,
    origin: Sequence[float] = (0, 0),
) -> list[Path]:
    """Write maps of one slide; return the files.

    path: its ending decides, see ENDINGS. step_um: µm per pixel in OME files. thumbnail: uint8 (Y, X, 3) of
    the slide, under PNG pictures, of which each map gets its own, named after it where there are several.
    origin: the (y, x) level-0 place that GeoJSON counts from; QuPath does from the corner of the slide's
    bounds, ``slide.bounds[:2]``. All other files count from level 0 itself.
    Raises InputError for another ending or no map, StoreError where the disk refuses; what was there stays.
    """
    try:
        return _written(maps, Path(path), step_um, thumbnail, progress, origin)
    except OSError as error:
        raise StoreError(
            f"The maps cannot be written to {path} ({error.strerror or error}): choose a folder that exists, "
            "with enough space, that you may write to."
        ) from error


def _written(
    maps: Sequence[ScoreMap],
    target: Path,
    step_um: float | None,
    thumbnail: NDArray[np.uint8] | None,
    progress: Progress | None,
    origin: Sequence[float],
) -> list[Path]:
    ending = next((end for end in ENDINGS if target.name.lower().endswith(end)), None)
    if ending is None:
        raise InputError(f"Maps are written as {', '.join(ENDINGS)}; not {target.name!r}.")
    if not maps:
        raise InputError("There is nothing to write: no map.")
    if ending == ".ome.zarr":
        write_ome_zarr(maps, target, step_um, progress)
    elif ending == ".ome.tif":
        write_ome_tiff(maps, target, step_um, progress)
    elif ending == ".geojson":
        write_geojson(maps, target, origin)
    elif ending == ".png":
        return _pictures(maps, target, thumbnail)
    else:
        write_table(maps, target)
    return [target]


def read_maps(path: str | Path) -> list[ScoreMap]:
    """Read the maps of an .ome.zarr or .parquet that :func:`write_maps` wrote: the same maps.

    Raises InputError for other files; pictures, GeoJSON and CSV do not say all of a map.
    """
    source = Path(path)
    if source.name.lower().endswith(".parquet"):
        return read_table(source)
    return read_ome_zarr(source)


def _pictures(maps: Sequence[ScoreMap], target: Path, thumbnail: NDArray[np.uint8] | None) -> list[Path]:
    out = []
    for one in maps:
        words = "".join(letter if letter.isalnum() else "-" for letter in one.name)
        file = target if len(maps) == 1 else target.with_name(f"{target.stem}-{words}.png")
        write_picture(one, file, thumbnail)
        out.append(file)
    return out
