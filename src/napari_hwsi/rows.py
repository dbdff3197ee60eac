"""Tables and JSON that people bring: read row by row, each bad row named with its number and reason."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InputError

_ENDINGS: tuple[str, ...] = (
    ".hwsi.zarr",
    ".ome.tiff",
    ".ome.tif",
    ".svs",
    ".tiff",
    ".tif",
    ".ndpi",
    ".mrxs",
    ".scn",
    ".bif",
)
_ENDINGS += (
    ".czi",
    ".dcm",
    ".zarr",
    ".pt",
    ".pth",
    ".h5",
    ".hdf5",
    ".npy",
    ".npz",
    ".csv",
    ".parquet",
    ".png",
)
_ENDINGS += (".jpg", ".jpeg")
_PATIENT = re.compile(r"TCGA-[0-9A-Z]{2}-[0-9A-Z]{4}|GTEX-[0-9A-Z]{4,5}", re.IGNORECASE)


@dataclass(frozen=True)
class LeftOut:
    """A row that is not used: its file, its number (lines of a table, records of JSON, from 1), and why."""

    file: str
    row: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, row {self.row}: {self.reason}"


@dataclass(frozen=True)
class Row:
    """A row of a table: its line, from 1, and its values by the name of their column."""

    number: int
    values: dict[str, str]

    def get(self, *names: str) -> str:
        """Return the value of the first of the columns that is there, stripped, '' where none is."""
        return next((self.values[name].strip() for name in names if name in self.values), "")


def read_csv(path: str | Path, required: Sequence[str] = ()) -> list[Row]:
    """Return the rows of a table in UTF-8, with commas, semicolons or tabs; empty lines are passed over.

    Names of columns are taken in lower case. Raises InputError for a file that cannot be read, one in
    another encoding (the line is named), a missing column, a column that is there twice.
    """
    file = Path(path)
    text = _text(file)
    header = text.splitlines()[0] if text else ""
    table = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=header.count), restkey="")
    names = [name.strip().lower() for name in table.fieldnames or ()]
    if missing := [name for name in required if name not in names]:
        raise InputError(
            f"{file} has no column {missing[0]!r}. Its first line names the columns; needed are "
            f"{', '.join(required)}."
        )
    if double := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"{file} has the column {double[0]!r} twice. Rename one of them.")
    table.fieldnames = names
    rows = []
    try:
        for row in table:
            values = {name: value for name, value in row.items() if name and isinstance(value, str)}
            if any(value.strip() for value in values.values()):
                rows.append(Row(table.line_num, values))
    except csv.Error as error:
        raise InputError(f"{file}, line {table.line_num}: {error}. Save it as a plain CSV again.") from error
    return rows


def read_json(path: str | Path) -> Any:
    """Return what a JSON file holds; raises InputError, with the line, where it cannot be read."""
    try:
        return json.loads(_text(Path(path)))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not JSON: line {error.lineno}: {error.msg}.") from error


def slide_name(place: str) -> str:
    """Return a slide's name from the path of its file, features or result: the last part, no ending."""
    name = place.strip().replace("\\", "/").rstrip("/").rpartition("/")[2]
    lower = name.lower()
    ending = next((ending for ending in _ENDINGS if lower.endswith(ending) and len(lower) > len(ending)), "")
    return name[: len(name) - len(ending)]


def patient_of(slide: str) -> str | None:
    """Return the patient that a slide's name states (TCGA and GTEx barcodes), None for other names."""
    found = _PATIENT.match(slide)
    return found.group().upper() if found else None


def summed(left_out: Sequence[LeftOut]) -> dict[str, int]:
    """Return how many rows were left out for each reason, most frequent first; numbers in reasons apart."""
    return dict(Counter(item.reason for item in left_out).most_common())


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}.") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{file}, line {line}, is not in UTF-8. Save the file as UTF-8 and try again."
        ) from error
