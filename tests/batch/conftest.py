"""Slides small enough to analyse by the dozen, and one of three regions to be killed in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

import napari_hwsi as hwsi

from ..hierarchy.conftest import PIECE, tissue

EDGE = 100  # px of glass on each side


def write(path: Path, image: np.ndarray, mpp: float | None = 0.5) -> Path:
    """Write an image as an Aperio-style file; without a pixel size where ``mpp`` is None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stated = f"|MPP = {mpp}" if mpp else ""
    description = f"Aperio test\r\n{image.shape[1]}x{image.shape[0]}|AppMag = 20{stated}"
    with tifffile.TiffWriter(path) as file:
        for level in (image, image[::4, ::4]):
            file.write(
                level,
                tile=(256, 256),
                photometric="rgb",
                compression="deflate",
                description=description,
                metadata=None,
            )
    return path


def write_small(path: Path, seed: int = 0, side: int = 512, mpp: float | None = 0.5) -> Path:
    """Write a slide of one region: a square of tissue on glass."""
    image = np.full((side, side, 3), 245, np.uint8)
    image[EDGE:-EDGE, EDGE:-EDGE] = tissue(seed, side - 2 * EDGE)
    return write(path, image, mpp)


@pytest.fixture(scope="session")
def long_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three regions in a row, with tissue in each and over one seam."""
    image = np.full((PIECE + 2 * EDGE, 2 * 4096 + 700, 3), 245, np.uint8)
    for i, x in enumerate((1000, 3950, 6000, 8400)):
        image[EDGE:-EDGE, x : x + PIECE] = tissue(i)
    return write(tmp_path_factory.mktemp("long") / "long.tif", image)


@pytest.fixture(scope="session")
def undisturbed(long_slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of that slide, made in one go by analyze itself. Read it only."""
    return hwsi.analyze(long_slide, tmp_path_factory.mktemp("whole") / "long.hwsi.zarr").path
