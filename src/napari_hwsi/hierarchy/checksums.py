"""Checksums: what tells a damaged file of a result from a sound one.

Each chunk of an array ends with the CRC-32C of Zarr's own codec of that name, so any reader of Zarr finds
what is damaged there. Each ``zarr.json`` names, as the attribute ``crc32``, the CRC-32 of its bytes with
eight zeros in that place; as ``holds`` a group names its arrays, so that a lost one is missed.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import google_crc32c
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec

Rows: TypeAlias = slice | NDArray[np.int64]
"""Some rows of an array: those of a slice without a step, or numbered ones in ascending order."""

_SEAL = re.compile(rb'"crc32": "([0-9a-f]{8})"')
_SUM_BYTES = 4
_BLANK = b'"crc32": "00000000"'
_UNCHANGED: dict[str, Any] = {"compressors": [Crc32cCodec()], "config": {"write_empty_chunks": True}}
_PACKED = _UNCHANGED | {"compressors": [ZstdCodec(level=0), Crc32cCodec()]}


def seal(document: dict[str, Any]) -> bytes:
    """Return the content of a ``zarr.json`` with its checksum among the attributes."""
    blank = document | {"attributes": document.get("attributes", {}) | {"crc32": "00000000"}}
    content = json.dumps(blank, indent=2).encode()
    return content.replace(_BLANK, b'"crc32": "%08x"' % zlib.crc32(content))


def unseal(content: bytes) -> dict[str, Any]:
    """Return what a ``zarr.json`` says. Raises ValueError where it is not as :func:`seal` made it."""
    found = _SEAL.search(content)
    if found is None or zlib.crc32(content.replace(found[0], _BLANK)) != int(found[1], 16):
        raise ValueError("its checksum does not fit")
    return dict(json.loads(content))


def seal_tree(root: Path) -> None:
    """Seal every ``zarr.json`` under ``root``; that of a group names its arrays, but for the root's."""
    arrays: list[Path] = []
    for file in sorted(root.rglob("zarr.json"), key=lambda file: len(file.parts), reverse=True):
        document = json.loads(file.read_bytes())
        if document["node_type"] == "array":
            arrays.append(file.parent)
        elif file.parent != root:
            inside = [array for array in arrays if array.is_relative_to(file.parent)]
            holds = sorted(array.relative_to(file.parent).as_posix() for array in inside)
            document["attributes"] = document.get("attributes", {}) | {"holds": holds}
        file.write_bytes(seal(document))


def arrays_in(group: Path) -> list[str]:
    """Return the names of the arrays of a group by their chunks: its facts may be damaged."""
    return sorted(
        chunks.parent.relative_to(group).as_posix() for chunks in group.rglob("c") if chunks.is_dir()
    )


def new_array(
    group: zarr.Group, name: str, dtype: Any, shape: tuple[int, ...], chunks: tuple[int, ...]
) -> zarr.Array[Any]:
    """Create an array whose chunks lie on the disk as they are in memory, each with its checksum."""
    return group.create_array(
        name, shape=shape, chunks=tuple(max(1, n) for n in chunks), dtype=dtype, **_UNCHANGED
    )


def put(group: zarr.Group, name: str, data: NDArray[Any], packed: bool = False) -> zarr.Array[Any]:
    """Create an array of one chunk with its checksum; packed: compressed."""
    codecs = _PACKED if packed else _UNCHANGED
    array = group.create_array(
        name, shape=data.shape, chunks=tuple(max(1, n) for n in data.shape), dtype=data.dtype, **codecs
    )
    array[...] = data
    return array


def facts_of(folder: Path) -> dict[str, Any]:
    """Return the attributes of a group or array. Raises OSError, and ValueError where they are damaged."""
    return dict(unseal((folder / "zarr.json").read_bytes())["attributes"])


def rows_of(folder: Path, rows: Rows = slice(None), checked: bool = True) -> NDArray[Any]:
    """Return rows of an array. Raises OSError, and ValueError where a chunk of them is damaged or lost.

    checked: else chunks that are not packed come as they are on the disk, with zeros where they are cut
    short. They are read without Zarr, whose threads take longer than the disk.
    """
    layout = _Layout.of(folder)
    if isinstance(rows, slice):
        start, stop, _ = rows.indices(layout.shape[0])
        count = max(stop - start, 0)
    else:
        start, stop, count = (int(rows[0]), int(rows[-1]) + 1, len(rows)) if len(rows) else (0, 0, 0)
    if layout.packed:
        for chunk, _ in layout.chunks_of(start, stop):
            if not chunk.exists():  # Zarr would fill in zeros
                raise ValueError(f"chunk {chunk.relative_to(folder)} is missing")
        return np.asarray(zarr.open_array(str(folder), mode="r")[:])[rows]
    out = np.empty((count, *layout.shape[1:]), layout.dtype)
    # A page is quicker filled from the processor's cache than by the system as it reads, so by way of this.
    scratch = np.empty(layout.each * out[:0].strides[0] + _SUM_BYTES + 1, np.uint8)
    for chunk, held in layout.chunks_of(start, stop):
        if isinstance(rows, slice):
            low, high = max(held.start, start) - start, min(held.stop, stop) - start
            wanted: Rows = slice(low + start - held.start, high + start - held.start)
        else:
            low, high = (int(i) for i in np.searchsorted(rows, (held.start, held.stop)))
            wanted = rows[low:high] - held.start
        if low < high:
            values = _read_chunk(folder, chunk, scratch, checked).view(out.dtype)
            out[low:high] = values.reshape(-1, *out.shape[1:])[wanted]
    return out


def _read_chunk(folder: Path, chunk: Path, scratch: NDArray[np.uint8], checked: bool) -> NDArray[np.uint8]:
    """Return the bytes of a chunk that is not packed; scratch: room for them, their checksum and one more."""
    size = len(scratch) - _SUM_BYTES - 1
    try:
        with chunk.open("rb") as file:
            read = file.readinto(scratch.data)
    except FileNotFoundError:
        read = 0
        if checked:
            raise ValueError(f"chunk {chunk.relative_to(folder)} is missing") from None
    place = scratch[:size]
    place[read:] = 0
    if checked and scratch[size:read].tobytes() != google_crc32c.value(place).to_bytes(_SUM_BYTES, "little"):
        raise ValueError(f"the checksum of chunk {chunk.relative_to(folder)} does not fit")
    return place


def damaged_rows(folder: Path, beat: Callable[[], None] = lambda: None) -> list[slice] | None:
    """Return which rows of an array lie in damaged or lost chunks, None where nothing of it can be read.

    ``beat`` is called before each chunk. Raises OSError where a file that is there does not answer.
    """
    try:
        layout = _Layout.of(folder)
    except (ValueError, FileNotFoundError):
        return None
    found = []
    for _, held in layout.chunks_of(0, layout.shape[0]):
        beat()
        try:
            rows_of(folder, held)
        except ValueError:
            found.append(held)
    return found


def crc_of(values: NDArray[Any]) -> int:
    """Return the CRC-32 of the bytes of values as they lie in a chunk that is not packed."""
    return zlib.crc32(np.ascontiguousarray(values).data)


@dataclass(frozen=True)
class _Layout:
    """Where the rows of an array are: chunks are cut along rows alone, ``each`` rows of them."""

    folder: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    each: int
    packed: bool

    @classmethod
    def of(cls, folder: Path) -> _Layout:
        """Read it. Raises OSError, and ValueError where it is damaged."""
        document = unseal((folder / "zarr.json").read_bytes())
        return cls(
            folder,
            np.dtype(document["data_type"]),
            tuple(document["shape"]),
            document["chunk_grid"]["configuration"]["chunk_shape"][0],
            any(codec["name"] == "zstd" for codec in document["codecs"]),
        )

    def chunks_of(self, start: int, stop: int) -> Iterator[tuple[Path, slice]]:
        """Yield the files of the chunks that some rows lie in, and the rows of each."""
        if start >= stop or 0 in self.shape:
            return
        for i in range(start // self.each, -(-stop // self.each)):
            name = "/".join(["c", str(i), *["0"] * (len(self.shape) - 1)])
            yield self.folder / name, slice(i * self.each, min((i + 1) * self.each, self.shape[0]))
