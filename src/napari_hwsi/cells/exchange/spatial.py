"""SpatialData: outlines and their table, as scverse's tools take them. There x comes before y."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from ...errors import MissingDependencyError, StoreError
from ..cells import Cells
from .facts import Facts

_KEY = "cells"


def write_spatialdata(cells: Cells, path: Path) -> None:
    """Write shapes ``cells`` (level-0 px in the coordinate system 'global', µm in 'micrometer') and a table.

    Shapes have cell_id, class and prob; the table ``cells_table`` has a row a cell, measurements in X,
    ``class``, ``prob`` in obs, centroids (x, y; level-0 px) in obsm['spatial'] and, where mpp is known,
    the Delaunay graph in obsp as squidpy names it. Raises MissingDependencyError, StoreError.
    """
    try:
        import anndata
        import geopandas
        from spatialdata import SpatialData
        from spatialdata.models import ShapesModel, TableModel
        from spatialdata.transformations import Identity, Scale
    except ImportError as error:
        raise MissingDependencyError(
            f"SpatialData is written with the package spatialdata ({error}). Install it: "
            "pip install 'napari-hwsi[spatialdata]'"
        ) from error
    Facts.of(cells)  # a table of numbers, or an error
    number = np.arange(len(cells))
    kind = pd.Categorical.from_codes(cells.types.astype(int), list(cells.type_names))
    said = {"cell_id": number, "class": kind, "prob": cells.probabilities}
    frames = {"global": Identity()}
    if cells.mpp is not None:
        frames["micrometer"] = Scale([cells.mpp[1], cells.mpp[0]], axes=("x", "y"))
    shapes = ShapesModel.parse(
        geopandas.GeoDataFrame(said, geometry=cells.contours.polygons(), index=number), transformations=frames
    )
    table = anndata.AnnData(
        cells.table.to_numpy(np.float32),
        obs=pd.DataFrame(said | {"region": pd.Categorical([_KEY] * len(cells))}, index=number.astype(str)),
        var=pd.DataFrame(index=[str(name) for name in cells.table.columns]),
        obsm={"spatial": cells.centroids[:, ::-1].astype(np.float64)},
    )
    if cells.mpp is not None:
        near = cells.graph().adjacency()
        table.obsp["spatial_distances"] = near
        table.obsp["spatial_connectivities"] = (near > 0).astype(np.float32)
    table = TableModel.parse(table, region=_KEY, region_key="region", instance_key="cell_id")
    data = SpatialData(shapes={_KEY: shapes}, tables={f"{_KEY}_table": table})
    draft = path.with_name(f".{path.name}.tmp")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        data.write(draft)
        if path.exists():
            raise StoreError(f"{path} is there already. Choose a new name, or delete it first.")
        draft.rename(path)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{path} could not be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
