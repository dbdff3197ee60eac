"""The patch encoder of the pocket profile: a measured descriptor, no learned weights.

Every number of its vectors is a named measure of colour, pale space, nuclei or texture
(:mod:`.measures`), so that what makes two patches similar can be read off. It needs no
download and gives the same bytes for a patch whatever else is encoded with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .measures import measure_patch
from .phrases import PHRASES
from .reference import REFERENCE
from .vectors import unit

_CLIP = 4.0


class DescriptorEncoder:
    """Measures of a patch, standardised by a fixed reference and brought to length one.

    name, version: identify the vectors; width: numbers a vector; input_px, mpp: side and
    µm/px of the patches it takes; dimensions: the name of each number.
    """

    name = "descriptor"
    version = "1"
    mpp = 0.5
    input_px = 256

    def __init__(self) -> None:
        self.dimensions: tuple[str, ...] = tuple(REFERENCE)
        self.width = len(self.dimensions)
        table = np.array(list(REFERENCE.values()), np.float64)
        self._mean, self._sd = table[:, 0], table[:, 1]

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The phrases :meth:`encode_text` understands."""
        return tuple(PHRASES)

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the vectors of N patches, float32 (N, width) of length one.

        images: uint8 RGB (N, 256, 256, 3) at 0.5 µm/px. Each measure is taken in standard
        deviations from the mean of the reference patches, held to ±4, so that a cosine says
        whether two patches differ from the average in the same way. Raises InputError for
        another shape or type.
        """
        side = self.input_px
        if images.ndim != 4 or images.shape[1:] != (side, side, 3) or images.dtype != np.uint8:
            raise InputError(
                f"The {self.name} takes uint8 RGB patches (N, {side}, {side}, 3), "
                f"not {images.dtype} {images.shape}."
            )
        rows = np.empty((len(images), self.width), np.float64)
        for row, image in zip(rows, images, strict=True):
            measures = measure_patch(image)
            row[:] = [measures[name] for name in self.dimensions]
        return unit(np.clip((rows - self._mean) / self._sd, -_CLIP, _CLIP)).astype(np.float32)

    def encode_text(self, phrases: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of M visual phrases, float32 (M, width) of length one.

        Phrases describe appearance, not diagnosis; see :attr:`vocabulary`. Raises InputError
        for any other phrase, naming those that are understood.
        """
        rows = np.zeros((len(phrases), self.width), np.float64)
        for row, phrase in zip(rows, phrases, strict=True):
            weights = PHRASES.get(" ".join(phrase.lower().split()))
            if weights is None:
                known = ", ".join(f'"{name}"' for name in PHRASES)
                raise InputError(
                    f'The {self.name} does not understand "{phrase}". It knows how patches look, in these '
                    f"phrases: {known}."
                )
            for name, weight in weights.items():
                row[self.dimensions.index(name)] = weight
        return unit(rows).astype(np.float32)
