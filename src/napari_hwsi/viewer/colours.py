"""Colours of cells: by type or by a measurement, told apart with any colour vision."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from napari.utils.colormaps import ensure_colormap
from numpy.typing import NDArray

from ..cells import Cells
from ..errors import InputError
from .raster import OKABE_ITO, TYPE_COLOURS, LookupColormap

TYPE, PROBABILITY = "type", "probability"
MAPS = ("viridis", "cividis", "magma", "gray")
"""Colormaps of numbers that rise evenly in lightness."""

SELECTED_COLOUR = "#00E5FF"  # no stain is cyan
_STEPS = 64
_DARKEST = 0.3  # darker parts of a colormap are not seen on haematoxylin
_NOT_MEASURED = (0.6, 0.6, 0.6, 1.0)
_DIMMED = 0.35
_UNITS = {
    "_per_mm2": "per mm²",
    "_um2": "µm²",
    "_od2": "OD²",
    "_bits": "bits",
    "_um": "µm",
    "_od": "OD",
    "_rad": "rad",
    "_px": "px",
    "_deg": "°",
}


@dataclass(frozen=True, eq=False)
class Colouring:
    """A class of colour for each cell.

    classes: (N,) uint8, 1 to the number of ``colours``, (K, 4) RGBA. kinds: the names of the first
    colours where these are kinds; else ``low`` and ``high`` are what the first and the last of 64
    steps of a number stand for, and a 65th colour is that of cells without a number.
    """

    column: str
    classes: NDArray[np.uint8]
    colours: NDArray[np.float64]
    kinds: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0

    def colormap(self, shown: NDArray[np.bool_] | None, selected: NDArray[np.int64]) -> LookupColormap:
        """Return the colours of labels 1 + row: only those shown; what is not selected dimmed, if any is."""
        count = len(self.colours)
        classes = np.zeros(len(self.classes) + 1, np.uint8)
        classes[1:] = self.classes
        if len(selected):
            classes[1:] += np.uint8(count)
            classes[selected + 1] = 2 * count + 1
        if shown is not None:
            classes[1:][~shown] = 0
        dimmed = self.colours * (1, 1, 1, _DIMMED)
        colours = np.vstack([np.zeros((1, 4)), self.colours, dimmed, rgba([SELECTED_COLOUR])])
        return LookupColormap.of(classes, colours)


def columns_of(cells: Cells) -> tuple[str, ...]:
    """Return what cells can be coloured by: type, probability, then the numbers of the table."""
    table = cells.table
    numbers = (name for name in table.columns if pd.api.types.is_numeric_dtype(table[name].dtype))
    return tuple(dict.fromkeys([TYPE, PROBABILITY, *map(str, numbers)]))


def values_of(cells: Cells, column: str) -> NDArray[np.float64]:
    """Return a column as numbers, types as places in ``type_names``. Raises InputError for no column."""
    if column == TYPE:
        return cells.types.astype(np.float64)
    if column == PROBABILITY:
        return cells.probabilities.astype(np.float64)
    if column not in cells.table.columns:
        raise InputError(f"These cells have no column {column!r}. Choose another.")
    return cells.table[column].to_numpy(np.float64, na_value=np.nan)


def colouring(
    cells: Cells,
    column: str = TYPE,
    percentiles: tuple[float, float] = (1.0, 99.0),
    colormap: str = "viridis",
) -> Colouring:
    """Return the colours of cells by a column: kinds in those of :func:`type_colours`, numbers by a colormap.

    percentiles: the colormap, but for its darkest three tenths, runs from the one to the other of the
    finite values; beyond, its ends. Raises InputError for a column that is not there.
    """
    if column == TYPE:
        colours = type_colours(min(len(cells.type_names), len(TYPE_COLOURS)))
        classes = (cells.types % max(len(colours), 1) + 1).astype(np.uint8)
        return Colouring(column, classes, colours, cells.type_names)
    if column in cells.table and cells.table[column].dtype == bool:
        return Colouring(
            column,
            cells.table[column].to_numpy().astype(np.uint8) + np.uint8(1),
            rgba(OKABE_ITO[1:3]),
            ("no", "yes"),
        )
    values = values_of(cells, column)
    finite = np.isfinite(values)
    low, high = np.percentile(values[finite], percentiles) if finite.any() else (0.0, 0.0)
    spread = high - low if high > low else 1.0
    steps = (
        (np.where(finite, values, 0) - low) / spread * _STEPS
        if high > low
        else np.full(len(values), _STEPS / 2)
    )
    classes = np.clip(steps, 0, _STEPS - 1).astype(np.uint8) + np.uint8(1)
    classes[~finite] = _STEPS + 1
    colours = ensure_colormap(colormap).map(np.linspace(_DARKEST, 1, _STEPS))
    return Colouring(column, classes, np.vstack([colours, _NOT_MEASURED]), (), float(low), float(high))


def type_colours(count: int) -> NDArray[np.float64]:
    """Return the colours (count, 4) of so many types; after 16 they repeat."""
    return rgba([TYPE_COLOURS[i % len(TYPE_COLOURS)] for i in range(count)]).reshape(count, 4)


def unit_of(column: str) -> str:
    """Return the unit that the end of a column's name states, '' where it states none."""
    return next((unit for end, unit in _UNITS.items() if column.endswith(end)), "")


def title_of(column: str) -> str:
    """Return a column's name in words, with its unit."""
    unit = unit_of(column)
    end = next((end for end in _UNITS if unit and column.endswith(end)), "")
    words = (column.removesuffix(end) if end else column).replace("_", " ")
    words = re.sub(r"\b(\d+)um\b", r"\1 µm", words)
    return f"{words} ({unit})" if unit else words


def rgba(colours: tuple[str, ...] | list[str]) -> NDArray[np.float64]:
    """Return colours written as #RRGGBB as (N, 4) from 0 to 1."""
    return np.array([[*(int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1.0] for c in colours])
