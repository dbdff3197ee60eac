"""Cells as the plain arrays a result holds, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..cells import Cells, Contours
from ..units import Mpp
from .journal import Arrays

TABLE = "table/"
"""What the names of the measurements' arrays begin with."""


def arrays_from_cells(cells: Cells) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of cells, named as in ``docs/store.md``."""
    table = {f"{TABLE}{name}": np.asarray(cells.table[name]) for name in cells.table.columns}
    return {
        "centroids": cells.centroids,
        "types": cells.types,
        "probabilities": cells.probabilities,
        "vertices": cells.contours.vertices,
        "vertex_offsets": cells.contours.offsets,
        **table,
        **({} if cells.tokens is None else {"tokens": cells.tokens}),
    }


def cells_from_arrays(arrays: Arrays, type_names: Sequence[str], mpp: Mpp) -> Cells:
    """Return the cells that :func:`arrays_from_cells` took apart. mpp: µm per level-0 pixel, (y, x)."""
    table = {name.removeprefix(TABLE): values for name, values in arrays.items() if name.startswith(TABLE)}
    if not table:  # nothing has been segmented yet
        return Cells.of([], type_names=type_names, mpp=mpp)
    return Cells(
        centroids=arrays["centroids"],
        contours=Contours(arrays["vertices"], arrays["vertex_offsets"]),
        types=arrays["types"],
        type_names=tuple(type_names),
        probabilities=arrays["probabilities"],
        mpp=mpp,
        table=pd.DataFrame(table),
        tokens=arrays.get("tokens"),
    )
