"""From dyes to pixels: Beer-Lambert absorption, optics and sensor."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from .artefacts import BLURS, Damage
from .noise import Images
from .paint import Dyes
from .spec import Scanner, Stain

MARGIN_UM = 3.0  # light from farther than this does not reach a pixel


def photograph(
    dyes: Dyes, grain: Images, stain: Stain, scanner: Scanner, mpp: float, damage: Damage | None = None
) -> npt.NDArray[np.uint8]:
    """Return (h, w, 3) uint8 of dye amounts: I = white · exp(-Σ dye · density), blurred and sharpened.

    ``grain`` (3, h, w) is noise of unit variance; ``damage`` is done to the section and above it.
    """
    if damage is not None:
        dyes.thin(damage.dye)
    h = dyes.haematoxylin * np.float32(stain.strength[0])
    e = dyes.eosin * np.float32(stain.strength[1])
    out = np.empty((*h.shape, 3), np.uint8)
    sigma = scanner.blur_um / mpp
    for c in range(3):
        density = h * np.float32(stain.haematoxylin[c]) + e * np.float32(stain.eosin[c])
        density += dyes.blood * np.float32(stain.erythrocytes[c])
        light = np.float32(scanner.white[c]) * np.exp(-density)
        if damage is not None:
            light = _defocused(light, damage.blur / mpp, mpp) * np.exp(-damage.density[c])
        if sigma > 0:
            light = gaussian_filter(light, sigma, truncate=3.0)
        if scanner.sharpening:
            wide = gaussian_filter(light, 1.0, truncate=3.0)
            light = light + np.float32(scanner.sharpening) * (light - wide)
        light += np.float32(scanner.grain) * grain[c]
        out[..., c] = np.clip(light + np.float32(0.5), 0, 255).astype(np.uint8)
    return out


def _defocused(light: Images, sigma: Images, mpp: float) -> Images:
    """Return a picture blurred by ``sigma`` (px, its shape), mixed from pictures of a few blurs."""
    if not sigma.any():
        return light
    out, below, sharper = light.copy(), 0.0, light
    for step in (blur / mpp for blur in BLURS):
        if not (sigma > below).any():
            break
        blurred = gaussian_filter(light, step, truncate=3.0)
        share = np.clip((sigma - below) / (step - below), 0, 1)
        out = np.where(sigma > below, sharper + share * (blurred - sharper), out)
        below, sharper = step, blurred
    return np.asarray(out, np.float32)
