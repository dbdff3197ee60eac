"""The staining of a slide, and what brings it to the one the pocket network knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..slides import RGB
from ..tissue import optical_density
from ..units import Mpp
from .classical import Signal

Vector = tuple[float, float, float]

_CONTRAST = 0.45
_GROUND = (0.09, 0.20, 0.10)
_LEAST_CONTRAST = 0.12  # paler tissue is not stretched further, so noise stays noise
_RANGE = (10.0, 99.5)  # percentiles of the nuclear signal between which its contrast lies
_PALEST = 10  # percentile of the stained pixels that is the ground
_FEW_PX = 1000
_DIGITS = 5  # kept of what is measured, so that it does not depend on the machine's arithmetic


@dataclass(frozen=True)
class Staining:
    """How strongly the nuclei of a slide are stained, and the colour they lie on, in optical density.

    contrast: range of the nuclear signal of its tissue (see :class:`.classical.Signal`); ground: of its
    palest tissue, R, G, B. The defaults are what others are brought to.
    """

    contrast: float = _CONTRAST
    ground: Vector = _GROUND

    def evened(self, density: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return optical densities (..., 3) with the contrast and ground of the defaults, none below 0."""
        scale = np.float32(_CONTRAST / max(self.contrast, _LEAST_CONTRAST))
        ground = np.array(self.ground, np.float32)
        return np.maximum((density - ground) * scale + np.array(_GROUND, np.float32), 0)


def staining_of(images: Sequence[tuple[RGB, Mpp]]) -> Staining:
    """Return the staining of images (Y, X, 3) uint8 at (y, x) µm/px, from their stained pixels, ink left out.

    The defaults where they show hardly any tissue.
    """
    signals = [Signal.of(rgb, mpp) for rgb, mpp in images]
    nuclear = np.concatenate([signal.nuclear[signal.tissue] for signal in signals])
    if len(nuclear) < _FEW_PX:
        return Staining()
    stained = [rgb[signal.tissue] for (rgb, _), signal in zip(images, signals, strict=True)]
    low, high = np.percentile(nuclear, _RANGE)
    ground = np.percentile(optical_density(np.concatenate(stained)), _PALEST, axis=0)
    red, green, blue = (round(float(value), _DIGITS) for value in ground)
    return Staining(round(float(high - low), _DIGITS), (red, green, blue))
