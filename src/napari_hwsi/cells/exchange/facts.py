"""What a file written here says of its cells beside their outlines, and cells put together from a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ...disk import written_whole
from ...errors import InputError, StoreError
from ...units import Mpp, as_mpp
from ..cells import Cells
from ..contours import Contours

FACTS = "napari_hwsi"
"""The name facts go by in a file."""

BLOCK = 16_384
"""Cells that are written at once."""

OWN = ("geometry", "type", "probability")
"""Columns of a file that are no measurements."""


@dataclass(frozen=True)
class Facts:
    """mpp, names of the types, name and dtype of each column of the table; None: a file of another tool.

    origin: the level-0 place (y, x) that outlines count from.
    """

    mpp: Mpp | None = None
    type_names: tuple[str, ...] = ()
    columns: Mapping[str, str] | None = None
    origin: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, cells: Cells, origin: Sequence[float] = (0.0, 0.0)) -> Facts:
        """Return the facts of cells. Raises InputError for a column that holds no numbers."""
        columns = {str(name): str(dtype) for name, dtype in cells.table.dtypes.items()}
        for name, dtype in columns.items():
            if dtype not in _DTYPES:
                raise InputError(
                    f"Column {name!r} holds {dtype}; files of cells hold numbers. Leave it out of the table."
                )
        return cls(cells.mpp, cells.type_names, columns, (float(origin[0]), float(origin[1])))

    @classmethod
    def read(cls, path: Path, values: Any) -> Facts:
        """Check facts read from JSON; raises InputError."""
        try:
            y, x = map(float, values.get("origin", cls.origin))
            mpp, columns = values.get("mpp"), values.get("columns")
            if columns is not None and (unknown := {*columns.values()} - _DTYPES):
                raise ValueError(f"columns of {', '.join(map(str, unknown))}")
            return cls(
                None if mpp is None else as_mpp(mpp),
                tuple(map(str, values.get("type_names", ()))),
                columns,
                (y, x),
            )
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{path} is damaged where it tells of its cells: {error}.") from error

    def plain(self) -> dict[str, Any]:
        """Return them as values for JSON."""
        return asdict(self)


_DTYPES = frozenset(
    ["bool", "float32", "float64", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))]
)


@dataclass
class Kinds:
    """Names of types as they turn up, and their numbers."""

    path: Path
    numbers: dict[str, int] = field(default_factory=dict)

    def number(self, name: str) -> int:
        """Return the number of a type; raises InputError for the 257th."""
        if name not in self.numbers:
            if len(self.numbers) == 256:
                raise InputError(f"{self.path} holds more than 256 classes of cells.")
            self.numbers[name] = len(self.numbers)
        return self.numbers[name]


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a draft of ``path`` as :func:`written_whole` does; raises StoreError when the disk refuses."""
    try:
        with written_whole(path) as draft:
            yield draft
    except OSError as error:
        raise StoreError(f"{path} could not be written: {error.strerror or error}.") from error


def blocks(cells: Cells, size: int = BLOCK) -> Iterator[Cells]:
    """Return all cells in parts of at most ``size``; one without cells where there are none."""
    for start in range(0, max(len(cells), 1), size):
        yield cells.select(np.arange(start, min(start + size, len(cells))))


def put_together(
    path: Path,
    contours: Contours,
    kinds: Kinds,
    types: ArrayLike,
    probabilities: ArrayLike,
    table: pd.DataFrame,
    facts: Facts | None = None,
    mpp: float | Sequence[float] | None = None,
) -> Cells:
    """Return cells with the table they were written with; that of another tool stands beside a new one.

    Cells of another tool are measured as far as outlines go: shapes and neighbours, where mpp is known.
    Raises InputError for outlines that are no numbers, and for a table that has lost its centroids.
    """
    facts = facts or Facts()
    if not np.isfinite(contours.vertices).all():
        raise InputError(f"{path} holds outlines with places that are no finite numbers.")
    names = tuple(kinds.numbers) or ("nucleus",)
    if facts.columns is None:
        cells = Cells.of(contours, types=types, type_names=names, probabilities=probabilities, mpp=mpp)
        cells = cells if cells.mpp is None else cells.with_neighbours()
        extra = table[[name for name in table.columns if name not in cells.table.columns]]
        return replace(cells, table=pd.concat([cells.table, extra], axis=1))
    missing = {"centroid_y_px", "centroid_x_px"} - {*table.columns}
    if missing:
        raise InputError(f"{path} lacks the columns {', '.join(sorted(missing))}.")
    centroids: NDArray[np.float32] = table[["centroid_y_px", "centroid_x_px"]].to_numpy(np.float32)
    pair = facts.mpp if facts.mpp is not None or mpp is None else as_mpp(mpp)
    return Cells(
        centroids,
        contours,
        np.asarray(types, np.uint8),
        names,
        np.asarray(probabilities, np.float32),
        pair,
        table,
    )
