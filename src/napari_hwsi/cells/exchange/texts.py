"""Numbers and outlines as text, a column at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..contours import Contours


def numbers(values: NDArray[Any]) -> pa.Array:
    """Return each value in the fewest digits that give it back; null where it is not finite."""
    if values.dtype == bool:
        values = values.astype(np.uint8)
    wrong = None if values.dtype.kind in "iu" else ~np.isfinite(values)
    return pc.cast(pa.array(values, mask=wrong), pa.string())


def joined(*parts: pa.Array | str) -> pa.Array:
    """Return the parts of each row one after the other; null where one is."""
    return pc.binary_join_element_wise(*parts, "")


def listed(parts: Sequence[pa.Array], between: str) -> pa.Array:
    """Return the parts of each row in a row, nulls left out."""
    return pc.binary_join_element_wise(*parts, between, null_handling="skip")


def lines(rows: pa.Array, between: str) -> pa.Buffer:
    """Return all rows as one text."""
    return pc.binary_join(pa.ListArray.from_arrays([0, len(rows)], rows), between)[0].as_buffer()


def rings(contours: Contours, origin: Sequence[float], point: tuple[str, str, str], between: str) -> pa.Array:
    """Return each outline as text, closed, x before y, places counted from ``origin`` (y, x).

    point: what stands before, within and after a point.
    """
    index, offsets = contours.closed
    places = contours.vertices - np.array(origin, np.float32) if any(origin) else contours.vertices
    y, x = (numbers(np.ascontiguousarray(column)).take(pa.array(index)) for column in places.T)
    points = joined(point[0], x, point[1], y, point[2])
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), points), between)
