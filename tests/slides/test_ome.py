"""OME-TIFF of several images: the largest colour one is the slide, with its own pixel size."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_hwsi import open_slide

RNG = np.random.default_rng(5)
SLIDE = RNG.integers(0, 256, (512, 400, 3), np.uint8)
SMALL = SLIDE[:200, :256]
OTHER = SLIDE[::-1].copy()
GREY = RNG.integers(0, 999, (512, 400), np.uint16)


def write(path: Path, *images: tuple[np.ndarray, float | None]) -> Path:
    """Write images with their µm a pixel, which may be left out."""
    with tifffile.TiffWriter(path, ome=True) as file:
        for pixels, mpp in images:
            size = {} if mpp is None else {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
            if pixels.ndim == 2:
                file.write(pixels, metadata={"axes": "YX", **size})
            else:
                file.write(pixels, photometric="rgb", tile=(128, 128), metadata={"axes": "YXS", **size})
    return path


@pytest.mark.parametrize(
    "images",
    [
        ((GREY, 2.0), (SLIDE, 0.25)),
        ((SMALL, 20.0), (SLIDE, 0.25)),
        ((SLIDE, 0.25), (SMALL, 20.0), (GREY, 2.0)),
        ((GREY, 2.0), (SMALL, None), (SLIDE, 0.25)),
        ((SLIDE, 0.25), (OTHER, 0.5)),
        ((SMALL, 20.0), (SLIDE, None)),
    ],
    ids=["grey first", "macro first", "slide first", "one without", "two of a size", "slide without"],
)
def test_the_pixel_size_is_the_slides_own(
    tmp_path: Path, images: tuple[tuple[np.ndarray, float | None], ...]
) -> None:
    want = next(mpp for pixels, mpp in images if pixels is SLIDE)
    with open_slide(write(tmp_path / "a.ome.tif", *images)) as slide:
        np.testing.assert_array_equal(slide.read((0, 0), slide.shape), SLIDE)
        assert slide.mpp == (None if want is None else (want, want))


def test_no_pixel_size_is_better_than_that_of_another_image(tmp_path: Path) -> None:
    """Two images of one size, and nothing says which is which."""
    path = write(tmp_path / "a.ome.tif", (SLIDE, 0.25), (OTHER, 0.5))
    content = path.read_bytes()
    told = re.sub(rb'IFD="(\d)"', rb'IFX="\1"', content)
    assert told != content
    path.write_bytes(told)
    with open_slide(path) as slide:
        assert slide.mpp is None
