"""HDF5 files as pathology tools write them, with one clear error for a bad one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ...disk import written_whole
from ...errors import HwsiError, InputError

SUFFIXES = (".h5", ".hdf5")

_DENSEST = 1032
"""The most that deflate compresses; a damaged header claims more, and would fill the memory."""


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading; raises InputError where it cannot be, then or while it is read."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except HwsiError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.") from error
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read as HDF5: {error}. It may have been cut short; copy or make it again."
        ) from error


def mismatch(path: Path, check: Callable[[h5py.File], str | None]) -> str | None:
    """Return why a path is no HDF5 file of a layout, None where ``check`` finds nothing against it."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return "not an .h5 file"
    with opened(path) as file:
        return check(file)


def array(file: h5py.File, name: str) -> NDArray[Any]:
    """Return a whole dataset; raises InputError where there is none of that name, or no whole one."""
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"{file.filename} has no dataset {name!r}. It has: {', '.join(file) or 'none'}.")
    if dataset.nbytes > _DENSEST * Path(file.filename).stat().st_size:
        raise InputError(
            f"{file.filename}: {name} of shape {dataset.shape} is more than the file can hold. It is "
            "damaged; copy or make it again."
        )
    return np.asarray(dataset[()])


def corners(file: h5py.File, name: str = "coords", columns: int = 2) -> NDArray[Any]:
    """Return the dataset of places, numbers (N, columns); raises InputError for anything else."""
    values = array(file, name)
    if values.ndim != 2 or values.shape[1] != columns or values.dtype.kind not in "iuf":
        raise InputError(
            f"{file.filename}: {name} is {values.dtype} of shape {values.shape}, not numbers (N, {columns})."
        )
    return values


def attributes(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as plain Python values; the text 'None' is how these tools write None."""
    plain = {name: _plain(value) for name, value in attrs.items()}
    return {name: value for name, value in plain.items() if not isinstance(value, str) or value != "None"}


def number(facts: Mapping[str, Any], name: str, path: Path) -> float | None:
    """Return an attribute as a number, None where it is missing; raises InputError where it is none."""
    value = facts.get(name)
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: the attribute {name} is {value!r}, not a number.") from error


@contextmanager
def written(path: Path) -> Iterator[h5py.File]:
    """Write a file that is there whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as draft, h5py.File(draft, "w") as file:
        yield file


def grow(file: h5py.File, name: str, values: NDArray[Any], facts: Mapping[str, Any] | None = None) -> None:
    """Write a dataset of rows that can grow, a row a chunk, None among its attributes as the text 'None'."""
    row = tuple(max(1, size) for size in values.shape[1:])
    dataset = file.create_dataset(
        name, data=values, maxshape=(None, *values.shape[1:]), chunks=(1, *row), dtype=values.dtype
    )
    set_attributes(dataset.attrs, facts or {})


def set_attributes(attrs: Any, facts: Mapping[str, Any]) -> None:
    """Write attributes, None as the text 'None'."""
    for name, value in facts.items():
        attrs[name] = "None" if value is None else value


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value
