"""CSV: a row a cell, for spreadsheets and R."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import shapely

from ...errors import InputError
from ..cells import Cells
from ..contours import Contours
from .facts import OWN, Facts, Kinds, blocks, put_together, writing
from .texts import joined, rings


def write_csv(cells: Cells, path: Path) -> None:
    """Write a header and a row a cell.

    ``type``, ``probability``, centroids in level-0 px and, where mpp is known, in µm (from the slide's
    top left), the measurements, and the outline last, as ``geometry`` in WKT (x before y, level-0 px).
    What is not a number is an empty field.
    """
    Facts.of(cells)  # a table of numbers, or an error
    with writing(path) as draft, draft.open("wb") as file:
        for i, part in enumerate(blocks(cells)):
            names = pa.array(cells.type_names, pa.string())
            columns = {"type": names.take(pa.array(part.types)), "probability": pa.array(part.probabilities)}
            if cells.mpp is not None:
                y, x = (part.centroids.astype(np.float64) * cells.mpp).round(3).T
                columns |= {"centroid_y_um": pa.array(y), "centroid_x_um": pa.array(x)}
            for name, values in part.table.items():
                columns[str(name)] = pa.array(values.to_numpy(), from_pandas=True)
            columns["geometry"] = joined(
                "POLYGON ((", rings(part.contours, (0, 0), ("", " ", ""), ", "), "))"
            )
            pacsv.write_csv(pa.table(columns), file, pacsv.WriteOptions(include_header=i == 0))


def read_csv(path: Path, mpp: float | Sequence[float] | None = None) -> Cells:
    """Read a CSV with a column ``geometry`` of polygons in WKT.

    ``type`` and ``probability`` are taken where they are there. A CSV states no µm per pixel: ``mpp``
    does. Raises InputError.
    """
    try:
        table = pacsv.read_csv(path, convert_options=pacsv.ConvertOptions(column_types={"type": pa.string()}))
        if "geometry" not in table.column_names:
            raise InputError(
                f"{path} has no column 'geometry' with outlines in WKT, so its rows are no cells. "
                f"It has: {', '.join(table.column_names[:12])}."
            )
        shapes = shapely.from_wkt(table.column("geometry").to_numpy(zero_copy_only=False))
        if (shapely.get_type_id(shapes) != shapely.GeometryType.POLYGON).any():
            raise InputError(f"{path} holds other shapes than polygons.")
        points, owner = shapely.get_coordinates(shapely.get_exterior_ring(shapes), return_index=True)
        kinds = Kinds(path)
        named = table.column("type").combine_chunks() if "type" in table.column_names else None
        types = [kinds.number(name or "nucleus") for name in named.to_pylist()] if named is not None else None
        sure = table.column("probability").to_numpy() if "probability" in table.column_names else None
        last = np.diff(owner, append=-1) != 0
        sizes = np.bincount(owner[~last], minlength=len(shapes))
        contours = Contours(
            points[~last][:, ::-1].astype(np.float32), np.append(0, np.cumsum(sizes)).astype(np.int64)
        )
        measured = table.drop_columns([n for n in (*OWN, *_GROUND) if n in table.column_names])
        numeric = [
            f.name for f in measured.schema if pa.types.is_floating(f.type) or pa.types.is_integer(f.type)
        ]
        values = {name: measured.column(name).to_numpy().astype(np.float32) for name in numeric}
        flags = [f.name for f in measured.schema if pa.types.is_boolean(f.type)]
        values |= {name: measured.column(name).fill_null(False).to_numpy() for name in flags}
    except (OSError, ValueError, pa.ArrowException, shapely.errors.ShapelyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as cells: {error}.") from error
    count = len(contours)
    return put_together(
        path,
        contours,
        kinds,
        np.zeros(count) if types is None else types,
        np.ones(count) if sure is None else sure,
        pd.DataFrame(values, index=range(count)),
        mpp=mpp,
    )


_GROUND = ("centroid_y_um", "centroid_x_um")
