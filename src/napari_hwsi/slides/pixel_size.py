"""Pixel sizes as files state them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tifffile

from ..units import Mpp

UM: Mapping[str, float] = {
    "angstrom": 1e-4,
    "Å": 1e-4,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "micrometer": 1.0,
    "micron": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
}
"""µm in a unit, by its name."""


def plausible(y: float, x: float) -> Mpp | None:
    """Return (y, x) µm/px, None unless both lie within 0.01 and 100."""
    return (y, x) if 0.01 <= y <= 100 and 0.01 <= x <= 100 else None


def tag_mpp(page: Any) -> Mpp | None:
    """Read a TIFF page's resolution tags, only in centimetres: inches are mostly a printer's 72 dpi."""
    if page.resolutionunit != tifffile.RESUNIT.CENTIMETER:
        return None
    x, y = page.get_resolution(tifffile.RESUNIT.MICROMETER)
    return plausible(1 / y, 1 / x) if x > 0 and y > 0 else None
