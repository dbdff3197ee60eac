"""Cells gathered one by one, a few bytes each."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...errors import InputError
from ..cells import Cells
from ..contours import Contours
from .facts import Facts, Kinds, put_together


class Gathered:
    """What a file says of its cells, in growing columns."""

    def __init__(self, path: Path, facts: Facts | None = None) -> None:
        self._path, self._facts = path, facts or Facts()
        self._kinds = Kinds(path, {name: i for i, name in enumerate(self._facts.type_names)})
        self._places, self._sizes = array("f"), array("q")
        self._types, self._probabilities = array("B"), array("f")
        self._columns: dict[str, array[float]] = {}
        for name, dtype in (self._facts.columns or {}).items():
            self._columns[name] = array("f" if dtype == "float32" else "d")

    def __len__(self) -> int:
        return len(self._sizes)

    def add(
        self,
        ring: Sequence[Sequence[float]],
        kind: str = "nucleus",
        probability: float | None = None,
        measurements: Mapping[str, float] | None = None,
    ) -> None:
        """Add a cell: its ring of (x, y), closed or not.

        Raises ValueError or TypeError for what is no outline, or no number.
        """
        flat = list(chain.from_iterable(ring))
        if len(flat) != 2 * len(ring):
            flat = [value for point in ring for value in point[:2]]
        if len(ring) > 3 and flat[:2] == flat[-2:]:
            del flat[-2:]
        if len(flat) < 6 or len(flat) % 2:
            raise ValueError("an outline has at least three points of x and y")
        count = len(self._sizes)
        for name, value in (measurements or {}).items():
            column = self._columns.get(name)
            if column is None:
                column = self._columns[name] = array("f")
            if len(column) < count:
                column.extend([float("nan")] * (count - len(column)))
            column.append(float(value))
        self._places.extend(flat)
        self._sizes.append(len(flat) // 2)
        self._types.append(self._kinds.number(kind))
        self._probabilities.append(1 if probability is None else probability)

    def cells(self, mpp: float | Sequence[float] | None = None, scale: float = 1, keep: Any = None) -> Cells:
        """Return the cells, places times ``scale`` plus the facts' origin; ``keep``: a bool mask (N,) or all.

        Raises InputError as :func:`put_together` does.
        """
        count = len(self)
        values = {}
        for name, column in self._columns.items():
            column.extend([float("nan")] * (count - len(column)))
            dtype = (self._facts.columns or {}).get(name, "float32")
            values[name] = np.asarray(column).astype(dtype, copy=False)
        vertices = np.asarray(self._places).reshape(-1, 2)[:, ::-1] * np.float32(scale)
        vertices += np.array(self._facts.origin, np.float32)
        contours = Contours(vertices, np.append(0, np.cumsum(self._sizes, dtype=np.int64)))
        types, sure = np.asarray(self._types), np.asarray(self._probabilities)
        table = pd.DataFrame(values, index=range(count))
        if keep is not None and not keep.all():
            contours, types, sure = contours.take(np.flatnonzero(keep)), types[keep], sure[keep]
            table = table[keep].reset_index(drop=True)
        return put_together(self._path, contours, self._kinds, types, sure, table, self._facts, mpp)

    def refuse(self, error: Exception) -> InputError:
        """Return the error of a cell that cannot be read."""
        return InputError(f"{self._path}: what follows cell {len(self)} cannot be read: {error}.")
