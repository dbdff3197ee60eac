"""Stains: optical density, separation of haematoxylin and eosin, and what kind of picture a slide is."""

from __future__ import annotations

import logging
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..slides import RGB, Slide
from .reading import read_level

logger = logging.getLogger(__name__)

StainKind: TypeAlias = Literal["h&e", "fluorescence", "other"]

HE_MATRIX: NDArray[np.float64] = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105]])
"""Unit optical-density vectors of haematoxylin and eosin, rows, in RGB (Ruifrok & Johnston,
Anal Quant Cytol Histol 23, 2001)."""

_JUDGED_PX = 512
_FAINT = 0.15  # optical density below which a pixel says nothing about its stain


def optical_density(rgb: RGB) -> NDArray[np.float32]:
    """Return −log10((rgb + 1) / 256), float32 of the same shape (Beer–Lambert; white is 0)."""
    return _OPTICAL_DENSITY[rgb]


_OPTICAL_DENSITY: NDArray[np.float32] = -np.log10((np.arange(256, dtype=np.float32) + 1) / 256)


def separate_stains(rgb: RGB, matrix: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
    """Return the amounts of haematoxylin, eosin and residual in each pixel.

    rgb: (..., 3) uint8; matrix: (2, 3) unit vectors of haematoxylin and eosin, the textbook's
    where None; the residual's is orthogonal to both. Result: (..., 3) float32, in optical
    density (colour deconvolution, Ruifrok & Johnston 2001). Raises InputError for a matrix
    whose vectors coincide.
    """
    stains = HE_MATRIX if matrix is None else np.asarray(matrix, np.float64)
    stains = stains / np.linalg.norm(stains, axis=1, keepdims=True)
    residual = np.cross(stains[0], stains[1])
    if np.linalg.norm(residual) < 1e-3:
        raise InputError("The two stain vectors are the same colour; they cannot be told apart.")
    basis = np.vstack([stains, residual / np.linalg.norm(residual)])
    return optical_density(rgb) @ np.linalg.inv(basis).astype(np.float32)


def stain_kind(slide: Slide) -> StainKind:
    """Return what kind of picture a slide is, judged from about 512 px a side.

    'fluorescence': a dark ground; 'h&e': of the stained pixels most absorb green most, as
    haematoxylin and eosin do; 'other': immunohistochemistry, other stains, grey pictures.
    A slide without stained pixels counts as 'h&e': there is nothing to say otherwise. Raises SlideError
    where nothing can be read.
    """
    wanted = max(*slide.shape, _JUDGED_PX) / _JUDGED_PX
    ratios = [max(ratio) for ratio in slide.level_downsamples]
    level = max((i for i, ratio in enumerate(ratios) if ratio <= wanted), default=0)
    picture, readable = read_level(slide, level, max(1, round(wanted / ratios[level])))
    pixels = picture[readable]
    if np.percentile(pixels.max(1), 75) < 100:
        return "fluorescence"
    od = optical_density(pixels)
    stained = od[od.mean(1) > _FAINT]
    if not len(stained):
        return "h&e"
    green_most = (stained[:, 1] > stained[:, 0]) & (stained[:, 1] > stained[:, 2])
    return "h&e" if green_most.mean() > 0.5 else "other"


def measurable_stain(slide: Slide) -> StainKind:
    """Return :func:`stain_kind`, for work that measures H&E: other stains are warned of.

    Raises InputError for fluorescence.
    """
    kind = stain_kind(slide)
    if kind == "fluorescence":
        raise InputError(
            f"{slide.name} is not H&E: it looks like fluorescence, bright on a dark ground. Nuclei, analysis "
            "and questions are for H&E; viewing the slide, its facts and the scale bar work all the same."
        )
    if kind == "other":
        logger.warning("%s does not look like H&E; what is measured on it may be wrong.", slide.name)
    return kind
