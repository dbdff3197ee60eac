"""Pixels as each published encoder was given them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..errors import InputError

RGB = tuple[float, ...]
"""A number a channel."""

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True)
class Preprocess:
    """Resize the shorter side to resize_px as PIL does, cut input_px from the middle, normalise.

    resize_px None: nothing is resized, and images must be input_px already. mean, std: of channels in [0, 1].
    """

    input_px: int
    mean: RGB
    std: RGB
    resize_px: int | None
    filter: Literal["bicubic", "bilinear"] = "bicubic"

    def __call__(self, images: NDArray[np.uint8]) -> Tensor:
        """Return float32 (N, 3, input_px, input_px) for uint8 RGB images (N, H, W, 3).

        Raises InputError for another shape or type.
        """
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or 0 in images.shape[1:]:
            raise InputError(f"Images must be uint8 RGB (N, H, W, 3), not {images.dtype} {images.shape}.")
        side = self.input_px
        fits = images.shape[1:3] == (side, side)
        if self.resize_px is None and not fits:
            raise InputError(
                f"This encoder takes images of {side} x {side} px and does not resize; "
                f"these are {images.shape[1]} x {images.shape[2]}."
            )
        if len(images) and not (fits and self.resize_px in (None, side)):
            images = np.stack([self._fit(image) for image in images])
        elif not fits:
            images = np.zeros((0, side, side, 3), np.uint8)
        scaled = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
        return (scaled - torch.tensor(self.mean).view(3, 1, 1)) / torch.tensor(self.std).view(3, 1, 1)

    def _fit(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        h, w = image.shape[:2]
        short = self.resize_px or self.input_px
        size = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
        resized = Image.fromarray(image).resize(size, _FILTERS[self.filter])
        left, top = (round((length - self.input_px) / 2) for length in size)
        return np.asarray(resized.crop((left, top, left + self.input_px, top + self.input_px)))
