"""A valid slide of any size in a small file: many tiles of it are the same bytes.

A BigTIFF in Aperio's manner whose tile offsets point again and again at a few stored JPEG tiles, cut from the
package's sample slide: tissue in a disc, glass around it. A decoder does the same work as for a real
slide of that size.
"""

from __future__ import annotations

import struct
from pathlib import Path

import imagecodecs
import numpy as np

import napari_hwsi as hwsi
from napari_hwsi.sample_data import sample_slide

TILE = 256
STEPS = (1, 4, 16, 64)
KINDS = 24  # different tiles of tissue a level


def write_large_slide(path: Path, side: int, mpp: float = 0.25) -> Path:
    """Write a slide of ``side`` x ``side`` px with levels 1, 4, 16, 64 as far as they have 256 px."""
    steps = [step for step in STEPS if side // step >= TILE or step == 1]
    with path.open("wb") as file:
        file.write(b"II+\0" + struct.pack("<HHQ", 8, 0, 0))
        link = 8
        for level, step in enumerate(steps):
            tissue, glass = _tiles(level)
            places = [_append(file, data) for data in (*tissue, glass)]
            link = _directory(file, link, side // step, places, level, mpp)
    return path


def _tiles(level: int) -> tuple[list[bytes], bytes]:
    """Return JPEG tiles of tissue and one of glass, 4:2:0 at quality 80 as scanners write them."""
    rng = np.random.default_rng(level)
    with hwsi.open_slide(sample_slide()) as slide:
        tissue = [slide.read(tuple(rng.integers(2200, 4600, 2)), (TILE, TILE), level=0) for _ in range(KINDS)]
    return [_jpeg(tile) for tile in tissue], _jpeg(np.full((TILE, TILE, 3), 243, np.uint8))


def _jpeg(tile: np.ndarray) -> bytes:
    return imagecodecs.jpeg8_encode(
        tile, level=80, colorspace="RGB", outcolorspace="YCBCR", subsampling="420"
    )


def _append(file, data: bytes) -> tuple[int, int]:
    file.seek(0, 2)
    place = file.tell()
    file.write(data)
    return place, len(data)


def _directory(file, link: int, side: int, places: list[tuple[int, int]], level: int, mpp: float) -> int:
    """Write the directory of a level, its offset at ``link``; return where that of the next one goes."""
    across = -(-side // TILE)
    y, x = np.mgrid[:across, :across]
    inside = (y + 0.5 - across / 2) ** 2 + (x + 0.5 - across / 2) ** 2 < (0.4 * across) ** 2
    kind = np.where(inside | (across < 4), (y * 7919 + x * 104729) % KINDS, KINDS).ravel()
    offsets, counts = np.array(places, np.uint64)[kind].T
    description = f"Aperio Image Library v1\r\n{side}x{side} |AppMag = 40|MPP = {mpp}".encode() + b"\0"
    values = [
        (254, 4, 1 if level else 0),
        (256, 4, side),
        (257, 4, side),
        (258, 3, (8, 8, 8)),
        (259, 3, 7),
        (262, 3, 6),
        (270, 2, description),
        (277, 3, 3),
        (284, 3, 1),
        (322, 4, TILE),
        (323, 4, TILE),
        (324, 16, offsets),
        (325, 16, counts),
        (530, 3, (2, 2)),
    ]
    kinds = {2: "u1", 3: "<u2", 4: "<u4", 16: "<u8"}
    entries = b""
    for tag, dtype, value in values:
        data = value if dtype == 2 else np.atleast_1d(value).astype(kinds[dtype]).tobytes()
        count = len(data) // np.dtype(kinds[dtype]).itemsize
        held = data.ljust(8, b"\0") if len(data) <= 8 else struct.pack("<Q", _append(file, data)[0])
        entries += struct.pack("<HHQ", tag, dtype, count) + held
    start, length = _append(file, struct.pack("<Q", len(values)) + entries + bytes(8))
    file.seek(link)
    file.write(struct.pack("<Q", start))
    return start + length - 8
