"""A published encoder, ready: pixels in, vectors out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from .batches import choose_device, in_batches
from .preprocess import Preprocess
from .towers import Tower
from .weights import fingerprint

Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]
TextTower: TypeAlias = Callable[[Sequence[str], torch.device], Tensor]


class ImageEncoder:
    """Images to vectors, by one published network; texts too where it has a text tower.

    name: in the registry; mpp: µm/px of the images it was trained on; width: numbers a vector; input_px:
    side of what the network sees after its own resizing; device, batch, precision: how it runs.
    """

    def __init__(
        self,
        name: str,
        mpp: float,
        tower: Tower,
        preprocess: Preprocess,
        text: TextTower | None = None,
        *,
        device: str = "auto",
        batch: int = 32,
        precision: Precision = "float32",
    ) -> None:
        self.name, self.mpp = name, mpp
        self.width: int = tower.width
        self.input_px, self.batch, self.precision = preprocess.input_px, batch, precision
        self.device = choose_device(device)
        self._tower, self._preprocess, self._text = tower.to(self.device), preprocess, text

    @cached_property
    def version(self) -> str:
        """A hash of the weights, the preprocessing and the precision: what changes its vectors changes it."""
        facts = f"{fingerprint(self._tower)} {self._preprocess} {self.precision}"
        return hashlib.sha256(facts.encode()).hexdigest()[:16]

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the vectors of N images, float32 (N, width), as the published model gives them.

        images: uint8 RGB (N, H, W, 3) at :attr:`mpp`; resized, cut and normalised as published. A batch that
        does not fit into memory is halved. Raises InputError for another shape or type.
        """
        return self._run(images, lambda pixels: self._tower(pixels), (self.width,))

    def attention(self, images: NDArray[np.uint8], block: int = -1) -> NDArray[np.float32]:
        """Return how the class token looks at each patch of N images, float32 (N, heads, rows, columns).

        block: 0 the first, -1 the last. The rows and columns are those of what the network saw; with the
        class token itself and the registers, which are left out, a head's attention sums to one.
        """
        return self._run(images, lambda pixels: self._tower.attention(pixels, block), (0, 0, 0))

    def encode_text(self, phrases: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of M phrases in the space of the images, float32 (M, width) of length one.

        Raises InputError for a model without a text tower or without its tokenizer.
        """
        if not phrases:
            return np.zeros((0, self.width), np.float32)
        if self._text is None:
            raise InputError(
                f"{self.name} does not encode text here: it has no text tower, "
                "or its tokenizer file does not lie beside its weights."
            )
        with torch.inference_mode():
            return self._text(phrases, self.device).float().cpu().numpy()

    def _run(
        self, images: NDArray[np.uint8], network: Callable[[Tensor], Tensor], shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        self._preprocess(images[:0])  # what does not fit is refused before anything is computed
        out = [np.zeros((0, *shape), np.float32)] if len(images) == 0 else []
        lower = getattr(torch, self.precision)

        def run(rows: slice) -> NDArray[np.float32]:
            pixels = self._preprocess(images[rows]).to(self.device)
            cast = nullcontext() if lower is torch.float32 else torch.autocast(self.device.type, lower)
            with torch.inference_mode(), cast:
                return network(pixels).float().cpu().numpy()

        out.extend(result for _, result in in_batches(run, len(images), self.batch))
        return np.concatenate(out)
