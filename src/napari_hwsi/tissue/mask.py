"""Where tissue is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import disk

from ..slides import RGB, Slide
from ..units import Box
from .stains import optical_density

_MPP = 8.0  # fine enough for a needle biopsy, one read of a low level for any slide
_MAX_SIDE = 4096
_SMALLEST_UM2 = 5_000.0
_SMALLEST_HOLE_UM2 = 20_000.0
_CLOSE_UM = 24.0


@dataclass(frozen=True)
class TissueMask:
    """Tissue of a slide at low resolution.

    mask: bool (y, x); downsample: (y, x) level-0 pixels per mask pixel; its origin is the slide's.
    """

    mask: NDArray[np.bool_]
    downsample: tuple[float, float]

    def area_in(self, box: Box) -> float:
        """Return the tissue area within ``box``, in level-0 pixels; parts of mask pixels count by area."""
        rows, columns = (
            _overlaps(box[i], box[i + 2], self.downsample[i], self.mask.shape[i]) for i in (0, 1)
        )
        part = self.mask[rows[0] : rows[0] + len(rows[1]), columns[0] : columns[0] + len(columns[1])]
        return float(rows[1] @ part @ columns[1])

    def coverage(self, box: Box) -> float:
        """Return the share (0 to 1) of ``box`` that is tissue; what lies off the slide is not."""
        return self.area_in(box) / ((box[2] - box[0]) * (box[3] - box[1]))

    def labels(self) -> NDArray[np.int32]:
        """Return the mask with its separate sections numbered from 1, top to bottom."""
        return ndimage.label(self.mask, np.ones((3, 3)))[0].astype(np.int32)


def tissue_mask(slide: Slide) -> TissueMask:
    """Find the tissue of a bright-field slide.

    Read at about 8 µm/px (at most 4096 px a side; coarser without mpp). A pixel is tissue where
    its colour is stained: the spread of its optical densities passes Otsu's threshold, held
    within bounds that glass and pale stroma set. Marker ink, whose red absorption no eosin
    or haematoxylin has, is left out. Gaps below 24 µm are closed, holes under 0.02 mm² filled,
    specks under 0.005 mm² (and a tenth of the image) dropped.
    """
    fine = max(slide.shape)
    wanted = fine if slide.mpp is None else fine * max(slide.mpp) / _MPP
    image = slide.thumbnail(int(np.clip(wanted, 256, _MAX_SIDE if slide.mpp else 1024)))
    downsample = (slide.shape[0] / image.shape[0], slide.shape[1] / image.shape[1])
    # Without mpp, sizes are those of a 20x scan; only the tidying depends on them.
    pixel = np.prod(downsample) * np.prod(slide.mpp or (0.5, 0.5))
    return TissueMask(_tidy(_stained(image), float(pixel)), downsample)


def _stained(image: RGB) -> NDArray[np.bool_]:
    smooth = np.stack([ndimage.gaussian_filter(image[..., c], 1) for c in range(3)], -1)
    glass = np.percentile(smooth.reshape(-1, 3), 99, axis=0)
    glass = np.where(glass < 200, 255, glass)
    od = optical_density(smooth) - optical_density(np.rint(glass).astype(np.uint8))
    spread = od.max(-1) - od.min(-1)
    threshold = float(np.clip(threshold_otsu(spread), 0.03, 0.07))
    # Ink grows from where it is strong to its pale rim.
    red_absorbing = od[..., 0] > od[..., 1] * 1.1
    ink = ndimage.binary_propagation(
        red_absorbing & (od[..., 0] > od[..., 1] * 1.2) & (spread > 0.3), mask=red_absorbing
    )
    black = (od.min(-1) > 0.7) & (spread < 0.15)
    return (spread > threshold) & ~ndimage.binary_dilation(ink | black, iterations=2)


def _tidy(mask: NDArray[np.bool_], pixel_um2: float) -> NDArray[np.bool_]:
    radius = max(1, round(_CLOSE_UM / np.sqrt(pixel_um2) / 2))
    padded = np.pad(mask, radius)
    mask = ndimage.binary_closing(padded, disk(radius))[radius:-radius, radius:-radius]
    mask = ~_drop_small(~mask, _SMALLEST_HOLE_UM2 / pixel_um2)
    # In a field that is hardly larger than a speck, what is there is what was meant.
    return _drop_small(mask, min(_SMALLEST_UM2 / pixel_um2, mask.size / 10))


def _drop_small(mask: NDArray[np.bool_], pixels: float) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(mask)
    large = np.bincount(labels.ravel()) >= pixels
    large[0] = False
    return large[labels]


def _overlaps(start: int, stop: int, step: float, count: int) -> tuple[int, NDArray[np.float64]]:
    """Return the first mask pixel that [start, stop) meets, and the length it covers of each from there."""
    first, last = int(np.clip(start / step, 0, count)), int(np.clip(np.ceil(stop / step), 0, count))
    edges = np.arange(first, max(last, first) + 1) * step
    return first, np.clip(np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start), 0, None)
