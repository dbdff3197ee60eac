"""Columns of a Zarr group that are written block by block, whole chunks at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from .checksums import crc_of, new_array

_CHUNK_BYTES = 1 << 20


class Column:
    """A growing array (rows, *shape). Its bytes do not depend on the sizes of the blocks."""

    def __init__(self, group: zarr.Group, name: str, dtype: str, shape: tuple[int, ...] = ()) -> None:
        row = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        self._chunk = max(256, _CHUNK_BYTES // row)
        self._group, self._name, self._dtype, self._shape = group, name, np.dtype(dtype), shape
        self._array: zarr.Array[Any] | None = None
        self._waiting: list[NDArray[Any]] = []
        self._count = 0
        self._rows = 0

    def append(self, block: NDArray[Any]) -> int:
        """Add rows, which are written once they fill a chunk; return the CRC-32 of their bytes."""
        rows = np.ascontiguousarray(block, self._dtype)
        self._waiting.append(rows)
        self._count += len(rows)
        if self._count >= self._chunk:
            self._write(self._count - self._count % self._chunk)
        return crc_of(rows)

    def close(self) -> None:
        """Write what is left."""
        self._write(self._count)

    def _write(self, count: int) -> None:
        if self._array is None:  # only now is it known whether one chunk holds all
            chunk = min(self._chunk, count) or self._chunk
            self._array = new_array(
                self._group, self._name, self._dtype, (0, *self._shape), (chunk, *self._shape)
            )
        if not count:
            return
        rows = np.concatenate(self._waiting)
        self._array.resize((self._rows + count, *self._array.shape[1:]))
        self._array[self._rows : self._rows + count] = rows[:count]
        self._waiting = [rows[count:]]
        self._count -= count
        self._rows += count


class Columns:
    """Columns that grow together, as a context manager that writes what is left."""

    def __init__(self, group: zarr.Group, layout: dict[str, tuple[str, tuple[int, ...]]]) -> None:
        self._columns = {name: Column(group, name, dtype, shape) for name, (dtype, shape) in layout.items()}

    def append(self, **blocks: NDArray[Any]) -> dict[str, int]:
        """Add a block to each named column; return the CRC-32 of each."""
        return {name: self._columns[name].append(block) for name, block in blocks.items()}

    def close(self) -> None:
        """Write what is left."""
        for column in self._columns.values():
            column.close()
