"""A slide of four regions with a little tissue in each, cheap enough to analyse again and again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

import napari_hwsi as hwsi

SIDE = 4096 + 700
PIECE = 300
PIECES = [(3560, 3560), (3560, 4300), (4300, 3560), (4300, 4300), (3950, 3950)]


def tissue(seed: int, side: int = PIECE) -> np.ndarray:
    """Pink ground with purple discs, (side, side, 3)."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side, 3), (228, 165, 195), np.uint8)
    image[:] = np.clip(image + rng.normal(0, 5, image.shape), 0, 255)
    y, x = np.ogrid[:side, :side]
    for _ in range(side * side // 1600):
        cy, cx = rng.uniform(10, side - 10, 2)
        radius = rng.uniform(5, 9)
        image[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = (95, 60, 140)
    return image


def picture(seed: int = 0) -> np.ndarray:
    """White, with a piece of tissue in each of the four regions, and one where they meet."""
    image = np.full((SIDE, SIDE, 3), 245, np.uint8)
    for i, (y, x) in enumerate(PIECES):
        image[y : y + PIECE, x : x + PIECE] = tissue(seed + i)
    return image


def write_slide(path: Path, seed: int = 0) -> Path:
    """Write the picture as an Aperio-style pyramid of 0.5 µm/px."""
    image = picture(seed)
    description = f"Aperio test\r\n{SIDE}x{SIDE}|AppMag = 20|MPP = 0.5"
    with tifffile.TiffWriter(path) as file:
        for level in (image, image[::4, ::4], image[::16, ::16]):
            file.write(
                level,
                tile=(256, 256),
                photometric="rgb",
                compression="deflate",
                description=description,
                metadata=None,
            )
    return path


@pytest.fixture(scope="session")
def slide_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slide(tmp_path_factory.mktemp("slides") / "four.tif")


@pytest.fixture(scope="session")
def whole(slide_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of that slide, made in one go. Read it only."""
    return hwsi.analyze(slide_file, tmp_path_factory.mktemp("whole") / "four.hwsi.zarr").path


def arrays_of(store: Path) -> dict[str, bytes]:
    """Every file of a result but its log, by name: what has to come out the same each time."""
    return {
        str(file.relative_to(store)): file.read_bytes()
        for file in sorted(store.rglob("*"))
        if file.is_file() and file.relative_to(store).parts[0] != "log"
    }


def python_environment(home: Path) -> dict[str, str]:
    return {**os.environ, "HWSI_HOME": str(home), "OMP_NUM_THREADS": "1"}
