"""A plain CSV: a row a patch, with a header.

``x`` and ``y`` of the top left in level-0 pixels; ``width`` and ``height``, which the user's ``patch_px``
stands in for; all other columns are the vector. Written to the last digit of float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from ...disk import written_whole
from ...errors import InputError
from .features import Facts, PatchFeatures
from .hints import Hints
from .layout import Written

_ADVICE = "Take out columns that hold text; a last line that breaks off means that the file was cut short."
_CORNER, _SIZE = ("x", "y"), ("width", "height")


def mismatch(path: Path) -> str | None:
    """Return why a file is not such a table."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return "not a .csv file"
    missing = sorted({*_CORNER} - {*_header(path)})
    return f"no column {' and '.join(missing)}" if missing else None


def read(path: Path, hints: Hints) -> PatchFeatures:
    """Read places and vectors."""
    header = _header(path)
    if len({*header}) != len(header):
        raise InputError(f"{path} has columns of the same name.")
    names = [name for name in header if name not in (*_CORNER, *_SIZE)]
    places = [name for name in header if name not in names]
    kinds = {name: pa.float32() for name in names} | {name: pa.float64() for name in places}
    try:
        table = pa.csv.read_csv(path, convert_options=pa.csv.ConvertOptions(column_types=kinds))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as a table of numbers: {error}. {_ADVICE}") from error
    columns = {name: _column(path, table, name) for name in header}
    x, y = columns["x"], columns["y"]
    if {*_SIZE} <= {*places}:
        width, height = columns["width"], columns["height"]
    else:
        width = height = np.full(len(x), hints.side(path, np.stack([x, y], 1)))
    vectors = np.stack([columns[name] for name in names], 1) if names else np.empty((len(x), 0))
    return PatchFeatures(
        vectors.astype(np.float32),
        np.stack([y, x, y + height, x + width], 1),
        hints.complete(Facts(path.stem)),
    )


def write(features: PatchFeatures, folder: Path) -> Written:
    """Write one table; rows as they are."""
    patches = features.flat()
    y0, x0, y1, x1 = patches.boxes.T
    columns: dict[str, NDArray[Any]] = {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}
    columns |= {f"v{i}": values for i, values in enumerate(patches.vectors.T)}
    path = folder / f"{features.facts.name}.csv"
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as draft:
        pa.csv.write_csv(pa.table({name: np.ascontiguousarray(v) for name, v in columns.items()}), draft)
    return Written((path,), tuple(features.left_out()))


def _header(path: Path) -> list[str]:
    try:
        with pa.csv.open_csv(path) as file:
            return list(file.schema.names)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as CSV: {error} {_ADVICE}") from error


def _column(path: Path, table: pa.Table, name: str) -> NDArray[Any]:
    column = table.column(name)
    if column.null_count:
        raise InputError(f"{path}: the column {name} lacks {column.null_count} of its numbers.")
    return np.asarray(column.to_numpy())
