"""A whole level of a slide in one picture, shrunk as it is read; what is damaged is marked and left white."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import SlideError
from ..slides import RGB, Slide
from ..slides.resample import area_resample

_BAND_PX = 1 << 25


def read_level(slide: Slide, level: int, binned: int) -> tuple[RGB, NDArray[np.bool_]]:
    """Return a level as means of ``binned`` x ``binned`` pixels, (y, x, 3), and which were readable, (y, x).

    It is read in bands: memory follows the result's size. What cannot be read, even in part, is white.
    Raises SlideError where nothing can be read.
    """
    height, width = slide.level_shapes[level]
    ratio = slide.level_downsamples[level][0]
    rows = max(1, _BAND_PX // (width * binned)) * binned
    bands, marks = [], []
    for top in range(0, height, rows):
        size = (min(rows, height - top), width)
        band, readable = slide.read_masked((round(top * ratio), 0), size, level=level)
        bands.append(means(band, binned))
        marks.append(wholes(readable, binned))
    image, readable = np.concatenate(bands), np.concatenate(marks)
    if not readable.any():
        raise SlideError(
            f"Nothing of level {level} of {slide.name} ({height} x {width} px) can be read: it is damaged."
        )
    image[~readable] = 255
    return image, readable


def means(image: RGB, n: int) -> RGB:
    """Return the means of n x n pixels; past its end the image goes on as it ends."""
    if n == 1:
        return image
    padded = np.pad(image, (*_rest(image.shape, n), (0, 0)), mode="edge")
    return area_resample(padded, (padded.shape[0] // n, padded.shape[1] // n), (n, n))


def wholes(mask: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
    """Return which n x n pixels are true throughout, counted as :func:`means` does."""
    padded = np.pad(mask, _rest(mask.shape, n), mode="edge")
    blocks = padded.reshape(padded.shape[0] // n, n, padded.shape[1] // n, n)
    return np.asarray(blocks.all((1, 3)))


def _rest(shape: tuple[int, ...], n: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (0, -shape[0] % n), (0, -shape[1] % n)
