"""Columns of a Zarr group that are written block by block, whole chunks at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

_CHUNK_BYTES = 1 << 20


class Column:
    """A growing array (rows, *shape). Its bytes do not depend on the sizes of the blocks."""

    def __init__(self, group: zarr.Group, name: str, dtype: str, shape: tuple[int, ...] = ()) -> None:
        row = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        self._chunk = max(256, _CHUNK_BYTES // row)
        self._array = group.create_array(
            name, shape=(0, *shape), chunks=(self._chunk, *(max(1, n) for n in shape)), dtype=dtype
        )
        self._waiting: list[NDArray[Any]] = []
        self._count = 0
        self._rows = 0

    def append(self, block: NDArray[Any]) -> None:
        """Add rows; they are written once they fill a chunk."""
        self._waiting.append(np.asarray(block, self._array.dtype))
        self._count += len(block)
        if self._count >= self._chunk:
            self._write(self._count - self._count % self._chunk)

    def close(self) -> None:
        """Write what is left."""
        self._write(self._count)

    def _write(self, count: int) -> None:
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

    def append(self, **blocks: NDArray[Any]) -> None:
        """Add a block to each named column."""
        for name, block in blocks.items():
            self._columns[name].append(block)

    def close(self) -> None:
        """Write what is left."""
        for column in self._columns.values():
            column.close()
