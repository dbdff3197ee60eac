"""The picture of a view."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_hwsi.chat.picture import MAX_SIDE, picture_of
from napari_hwsi.errors import ResolutionError
from napari_hwsi.slides import open_slide, slide_from_array


@pytest.mark.parametrize("side", [300, 1024, 1025, 1500, 1990, 2000, 2048, 2100, 3968])
def test_as_fine_as_fits(data: Path, side: int) -> None:
    with open_slide(data / "wsi" / "test3-DAPI-2-387.ndpi") as slide:  # seven levels
        box = (0, 100, side // 2, 100 + side)
        seen = picture_of(slide, box)
        own = slide.require_mpp()
    height, width = seen.pixels.shape[:2]
    assert max(height, width) <= MAX_SIDE
    assert width * seen.mpp[1] == pytest.approx(side * own[1], rel=2 / width)
    assert height * seen.mpp[0] == pytest.approx(side // 2 * own[0], rel=2 / height)
    if side <= MAX_SIDE:
        assert seen.mpp == own
    else:
        assert width > 0.9 * MAX_SIDE


def test_shows_the_box_and_no_more() -> None:
    image = np.full((3000, 3000, 3), 255, np.uint8)
    image[500:2500, 700:2700] = (90, 30, 120)
    seen = picture_of(slide_from_array(image, mpp=0.5), (500, 700, 2500, 2700))
    assert (seen.pixels == (90, 30, 120)).all()


def test_png_holds_the_pixels_and_nothing_else() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    file = picture_of(slide_from_array(image, mpp=0.5, name="Jane Doe"), (0, 0, 40, 50)).png()
    opened = Image.open(io.BytesIO(file))
    np.testing.assert_array_equal(np.asarray(opened), image)
    assert not opened.info
    assert b"Jane" not in file


def test_needs_a_pixel_size() -> None:
    slide = slide_from_array(np.zeros((40, 50, 3), np.uint8))
    with pytest.raises(ResolutionError):
        picture_of(slide, (0, 0, 40, 50))
