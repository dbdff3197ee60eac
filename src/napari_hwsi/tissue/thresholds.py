"""What tissue and its artefacts are told by."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ..errors import InputError


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of the tissue mask; None is found from the image, infinity finds nothing of the kind.

    tissue: spread of the optical densities of stained pixels. pen: saturation (optical density) of a
    veil whose hue no stain of the slide has. pen_dark: optical density in all channels of black ink.
    pen_strong: saturation of an even stroke on glass in a hue that the stains have too. focus: log2
    of fine over coarse detail below which a field is blurred (minus infinity finds nothing). fold:
    times the density of the tissue around. line: grey optical density of the rim of a bubble and the
    edge of a coverslip on tissue, above what lies beside it; less on glass.
    """

    tissue: float | None = None
    pen: float | None = None
    pen_dark: float | None = None
    pen_strong: float | None = None
    focus: float | None = None
    fold: float | None = None
    line: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and math.isnan(value):
                raise InputError(f"The threshold {field.name!r} is a number or None, not {value}.")
