"""Telling slides apart by their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ..errors import SlideError
from .address import Place
from .backend import RGB, Backend

_BLOCK = 1 << 16
_BLOCKS = 32
_SERIES = "dicom.SeriesInstanceUID"
_GRID, _WINDOW, _OVERVIEW = 4, 64, 1024


def slide_fingerprint(place: Place, backend: Backend) -> str:
    """Return 32 hex digits that tell a slide from others, whatever it is called and wherever it lies.

    A DICOM slide, one file of it or the whole folder, is known by the UID of its series, which the
    standard makes unique, and its size. A single file is known by :func:`file_fingerprint`. Other
    folders and what lies at an address are known by :func:`pixels_fingerprint`. The cost grows with
    none of them.
    """
    if series := backend.properties.get(_SERIES):
        return _digest(f"{series} {backend.level_shapes[0]}".encode())
    if isinstance(place, Path) and place.is_file():
        return file_fingerprint(place)
    return pixels_fingerprint(backend)


def file_fingerprint(path: Path) -> str:
    """Return 32 hex digits from the size of the file and 32 blocks of 64 KiB spread over it.

    Independent of the file's name and dates; its cost does not grow with the file.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for i in range(_BLOCKS):
            file.seek((max(size - _BLOCK, 0) * i) // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:32]


def pixels_fingerprint(backend: Backend) -> str:
    """Return 32 hex digits from the sizes of all levels and from pixels.

    These are 16 windows of 64 px spread over the finest level, and the middle 1024 px of the
    coarsest. What cannot be read counts as such. The same slide copied, zipped or moved to a
    server keeps its fingerprint.
    """
    digest = hashlib.sha256(str(backend.level_shapes).encode())
    last = len(backend.level_shapes) - 1
    for level, side, steps in ((0, _WINDOW, _GRID), (last, _OVERVIEW, 1)):
        size = [min(side, extent) for extent in backend.level_shapes[level]]
        spare = [extent - own for extent, own in zip(backend.level_shapes[level], size, strict=True)]
        for i, j in np.ndindex(steps, steps):
            y, x = ((2 * at + 1) * room // (2 * steps) for at, room in zip((i, j), spare, strict=True))
            try:
                digest.update(backend.read(level, (y, x), (size[0], size[1])).tobytes())
            except SlideError:
                digest.update(b"unreadable")
    return digest.hexdigest()[:32]


def array_fingerprint(image: RGB) -> str:
    """Return 32 hex digits from the shape and bytes of an image."""
    digest = hashlib.sha256(str(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()[:32]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
