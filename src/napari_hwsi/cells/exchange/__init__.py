"""Cells in the files of other tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    import pandas as pd

    from ..cells import Cells

ENDINGS = (".geojson", ".geojson.gz", ".parquet", ".csv", ".zarr")
"""Endings of the files that cells are written to."""


def ending_of(path: str | Path) -> str:
    """Return which of ENDINGS a file has (``.json`` is GeoJSON), before there is something to write.

    Raises InputError for another one, MissingDependencyError for ``.zarr`` without the extra it needs.
    """
    name = Path(path).name.lower()
    name = name.removesuffix(".json") + ".geojson" if name.endswith(".json") else name
    for ending in ENDINGS:
        if name.endswith(ending):
            if ending == ".zarr" and find_spec("spatialdata") is None:
                raise MissingDependencyError(
                    f"{path}: SpatialData needs the package spatialdata. Install it: "
                    "pip install 'napari-hwsi[spatialdata]'"
                )
            return ending
    raise InputError(f"{path} must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}.")


def write_cells(cells: Cells, path: str | Path, origin: Sequence[float] = (0, 0)) -> None:
    """Write cells in the format that the file's ending names.

    origin: for GeoJSON, see :meth:`Cells.to_geojson`. Raises InputError for another ending, StoreError
    when it cannot be written.
    """
    ending = ending_of(path)
    if ending.startswith(".geojson"):
        cells.to_geojson(path, origin)
        return
    writers: dict[str, Callable[[str | Path], None]] = {
        ".parquet": cells.to_parquet,
        ".csv": cells.to_csv,
        ".zarr": cells.to_spatialdata,
    }
    writers[ending](path)


def write_objects(
    shapes: Sequence[Any],
    path: str | Path,
    object_type: str,
    table: pd.DataFrame,
    name: str | None = None,
    origin: Sequence[float] = (0, 0),
) -> None:
    """Write shapely geometries (x, y; level-0 px) as QuPath's objects, all of the class ``name``.

    object_type: 'annotation' or 'detection'; table: a row a geometry, numbers become measurements and
    all else metadata; origin: see :meth:`Cells.to_geojson`. Raises InputError for another ending than
    GeoJSON's, StoreError when it cannot be written.
    """
    from .geojson import write_geometries

    if not ending_of(path).startswith(".geojson"):
        raise InputError(f"{path} must end in .geojson or .geojson.gz.")
    write_geometries(shapes, Path(path), object_type, table, name, origin)


__all__ = ["ENDINGS", "ending_of", "write_cells", "write_objects"]
