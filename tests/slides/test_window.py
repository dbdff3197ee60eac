"""Windows of a level, between its pixels and over its edges."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from scipy import ndimage

from napari_hwsi.slides.jpeg import stated_size
from napari_hwsi.slides.window import between_pixels, paste_inside

IMAGE = np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)


def whole(origin: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    return paste_inside((40, 50), origin, size, (255, 255, 255), lambda a, b, c, d: IMAGE[a:b, c:d])


@pytest.mark.parametrize("origin", [(3.0, 4.0), (3.25, 4.5), (-2.5, 30.125), (35.75, 47.0)])
def test_between_pixels_is_bilinear(origin: tuple[float, float]) -> None:
    got = between_pixels(whole, origin, (10, 12))
    padded = np.pad(IMAGE, ((20, 20), (20, 20), (0, 0)), constant_values=255).astype(float)
    y, x = np.mgrid[:10, :12]
    places = [y + origin[0] + 20, x + origin[1] + 20]
    want = np.stack([ndimage.map_coordinates(padded[..., c], places, order=1) for c in range(3)], -1)
    assert np.abs(got - want).max() <= 0.5


def test_nothing_of_the_level_is_asked_for_where_the_window_misses_it() -> None:
    out = paste_inside((40, 50), (60, 0), (5, 5), (1, 2, 3), lambda *_: pytest.fail("asked"))
    assert (out == [1, 2, 3]).all()


def test_the_size_a_picture_states() -> None:
    assert stated_size(imagecodecs.jpeg8_encode(IMAGE)) == (40, 50)
    assert stated_size(imagecodecs.jpeg2k_encode(IMAGE, codecformat="j2k")) == (40, 50)
    assert stated_size(imagecodecs.png_encode(IMAGE)) is None
    data = imagecodecs.jpeg8_encode(IMAGE)
    for end in range(0, 200, 7):  # a cut head states nothing, or what the whole one does
        assert stated_size(data[:end]) in (None, (40, 50))
