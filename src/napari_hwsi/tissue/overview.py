"""A slide seen from afar: one read of a low level, and what is measured on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import SlideError
from ..slides import RGB, Slide
from .reading import means, read_level, wholes
from .shapes import Plane, largest, smallest
from .stains import optical_density

PIXEL_UM = 8.0
"""Pixel of the mask, where the slide is neither small nor huge."""

_DETAIL_UM = 2.0  # pixel at which sharpness is judged
_COARSEST_UM = 20.0
_MAX_READ = 4096  # px a side
_MAX_SIDE = 1600
_MIN_SIDE = 64
_UNSIZED = 512  # px a side of a mask at least, where nothing says how large a pixel is
_PALE, _TINT = 200, 25  # nothing darker in a channel, or more coloured, passes for glass
_DARK = 100  # grey level; a darker ground is fluorescence


@dataclass(frozen=True)
class Overview:
    """A slide of ``shape`` (y, x) mask pixels.

    rgb: (y, x, 3) uint8, means; brightest: the same, each channel's largest value within the pixel;
    readable: bool (y, x), the other pixels are white and say nothing;
    detail: green, uint8, ``step`` times finer (padded to whole mask pixels); downsample: (y, x)
    level-0 px per mask pixel; pixel_um: side of a mask pixel, taken to be 8 µm where the slide
    states no mpp and ``sized`` is false; shrunk: level-0 px per pixel of ``detail``.
    """

    rgb: RGB
    readable: NDArray[np.bool_]
    brightest: RGB
    detail: NDArray[np.uint8]
    step: int
    downsample: tuple[float, float]
    pixel_um: float
    shrunk: float
    sized: bool

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x) mask pixels."""
        return self.rgb.shape[0], self.rgb.shape[1]

    @cached_property
    def glass(self) -> NDArray[np.float32]:
        """Optical density (3,) of the empty glass, against full white; 0 where tissue fills the picture."""
        pixels = self._sample(max(1, self.shape[0] // 512), max(1, self.shape[1] // 512))
        brightest = np.percentile(pixels, 99, axis=0)
        if brightest.min() < _PALE or np.ptp(brightest) > _TINT:
            brightest[:] = 255  # no glass to be seen
        return optical_density(brightest.round().astype(np.uint8))

    @cached_property
    def density(self) -> Plane:
        """Optical density (y, x, 3) above that of the glass."""
        return np.maximum(optical_density(self.rgb) - self.glass, 0)

    @cached_property
    def veil(self) -> Plane:
        """Optical density (y, x, 3) that the palest places all around a pixel have too.

        Between the structures of tissue there are gaps; what covers the gaps as well lies above
        the section. A morphological opening by three pixels of 8 µm: a nucleus is to be such a structure, on
        small slides too, whose pixels are smaller.
        """
        return self._opened(2 * max(1, int(1.5 * PIXEL_UM / self.pixel_um)) + 1)

    @cached_property
    def fine_veil(self) -> Plane:
        """The same within three pixels of any size: above it lies the grain of an even ground too."""
        return self._opened(3)

    def _opened(self, size: int) -> Plane:
        palest = ndimage.maximum_filter(self.brightest, (size, size, 1))
        return np.maximum(optical_density(ndimage.minimum_filter(palest, (size, size, 1))) - self.glass, 0)

    @cached_property
    def spread(self) -> Plane:
        """Largest less smallest optical density (y, x), of the slightly smoothed picture."""
        smooth = ndimage.gaussian_filter(self.rgb, (1, 1, 0), truncate=2.0)
        density = optical_density(smooth) - self.glass
        return largest(density) - smallest(density)

    @property
    def bright_field(self) -> bool:
        """Whether the ground is bright."""
        return bool(np.percentile(self._sample(4, 4).max(-1), 75) >= _DARK)

    def _sample(self, rows: int, columns: int) -> RGB:
        """Return readable pixels (n, 3), one of so many rows and columns."""
        seen = self.readable[::rows, ::columns]
        return self.rgb[::rows, ::columns][seen] if seen.any() else self.rgb[self.readable]

    def pixels(self, um: float) -> int:
        """Return a length in mask pixels, at least one."""
        return max(1, round(um / self.pixel_um))

    def area(self, um2: float) -> float:
        """Return an area in mask pixels, at most a fiftieth of the slide: a small field shows small parts."""
        return min(um2 / self.pixel_um**2, self.rgb[..., 0].size / 50)


def look_at(slide: Slide) -> Overview:
    """Read a slide once, at a low level of at most 4096 px a side where it has one.

    Sharpness is judged at 2 µm/px or the finest such level, the mask has pixels of 8 µm, at most
    1600 a side. A slide without mpp is looked at as if its mask pixels were 8 µm. Raises SlideError where
    nothing can be read.
    """
    level, binned = _level(slide)
    detail, readable = read_level(slide, level, binned)
    ratio = slide.level_downsamples[level]
    own = None if slide.mpp is None else max(slide.mpp)
    fine_um = None if own is None else own * max(ratio) * binned
    side = max(detail.shape[:2])
    wanted = min(4, side // _UNSIZED) if fine_um is None else round(PIXEL_UM / fine_um)
    step = max(1, math.ceil(side / _MAX_SIDE), min(wanted, side // _MIN_SIDE))
    readable = wholes(readable, step)
    if not readable.any():
        raise SlideError(f"So little of {slide.name} can be read that its tissue cannot be found.")
    rest = (-detail.shape[0] % step, -detail.shape[1] % step)
    detail = np.pad(detail, ((0, rest[0]), (0, rest[1]), (0, 0)), mode="edge")
    return Overview(
        rgb=means(detail, step),
        readable=readable,
        brightest=_brightest(detail, step),
        detail=np.ascontiguousarray(detail[..., 1]),
        step=step,
        downsample=(ratio[0] * binned * step, ratio[1] * binned * step),
        pixel_um=PIXEL_UM if fine_um is None else fine_um * step,
        shrunk=max(ratio) * binned,
        sized=own is not None,
    )


def _level(slide: Slide) -> tuple[int, int]:
    """Return the level to read, and by how much to shrink it."""
    ratios = [max(ratio) for ratio in slide.level_downsamples]
    side = max(slide.shape)
    if slide.mpp is None:
        wanted, coarsest = side / _MAX_SIDE, math.inf
    else:
        wanted = max(_DETAIL_UM / max(slide.mpp), side / _MAX_READ)
        coarsest = _COARSEST_UM / max(slide.mpp)
    low = [i for i, r in enumerate(ratios) if side / r <= _MAX_READ and r <= max(coarsest, 1)]
    near = [i for i in low if ratios[i] <= 1.3 * wanted] or low[:1]
    level = near[-1] if near else max(i for i, r in enumerate(ratios) if r <= max(wanted, 1))
    binned = int(wanted / ratios[level] + 0.25)
    return level, max(1, min(binned, int(side / ratios[level] / (4 * _MIN_SIDE))))


def _brightest(image: RGB, n: int) -> RGB:
    out = image[::n, ::n]
    for i in range(n):
        for j in range(n):
            out = np.maximum(out, image[i::n, j::n])
    return out
