"""The patch encoder of the pocket profile: a small network trained here, beside the measured descriptor.

A vector is the network's (what patches look alike) and the descriptor's (what can be named), each of length
one, weighted so that a cosine of two patches is 0.8 of the one and 0.2 of the other. Phrases have the second
part alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ..tissue import optical_density
from .batches import choose_device, in_batches
from .descriptor import DescriptorEncoder
from .measures import halve
from .pocket_network import PatchNetwork
from .vectors import unit
from .weights import Source, fill, fingerprint, read_weights

SHIPPED = Path(__file__).parent / "shipped"
"""The folder of the weights that come with the package, each with its card."""

LEARNED = 0.8
"""Share of the network in the cosine of two patches."""

_FILE = "pocket.safetensors"
_ON_CPU = 8  # images at a time at most


class PocketEncoder:
    """Patches of 256 px at 0.5 µm/px to vectors; see shipped/pocket.md.

    name, width, input_px, mpp: as :class:`.encoder.PatchEncoder` has them.
    """

    name = "pocket"
    mpp = 0.5
    input_px = 256

    def __init__(self, network: PatchNetwork, device: str = "auto", batch: int = 32) -> None:
        self.device = choose_device(device)
        self.batch = min(batch, _ON_CPU) if self.device.type == "cpu" else batch
        self._network = network.to(self.device)
        self._descriptor = DescriptorEncoder()
        self.width = network.width + self._descriptor.width

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The phrases :meth:`encode_text` understands."""
        return self._descriptor.vocabulary

    @cached_property
    def version(self) -> str:
        """A hash of the weights, of their share and of the descriptor's version."""
        facts = f"{fingerprint(self._network)} {LEARNED} {self._descriptor.version}"
        return hashlib.sha256(facts.encode()).hexdigest()[:16]

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the vectors of N patches, float32 (N, width) of length one.

        images: uint8 RGB (N, 256, 256, 3) at 0.5 µm/px. A batch that does not fit into memory is halved.
        Raises InputError for another shape or type.
        """
        measured = self._descriptor.encode(images)
        return joined(self.encode_network(images), measured)

    def encode_network(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the network's part of the vectors alone, float32 (N, network width) of length one."""

        def run(rows: slice) -> NDArray[np.float32]:
            planes = halve(np.moveaxis(images[rows], -1, 1).astype(np.float32))
            density = torch.from_numpy(optical_density(np.rint(planes).astype(np.uint8)))
            if self.device.type == "cpu":
                # always as many, so that a vector has the same bytes whatever else is encoded
                density = functional.pad(density, (0, 0, 0, 0, 0, 0, 0, self.batch - len(density)))
            with torch.inference_mode():
                return self._network(density.to(self.device)).cpu().numpy()[: rows.stop - rows.start]

        out = [result for _, result in in_batches(run, len(images), self.batch)]
        return unit(np.concatenate([np.zeros((0, self._network.width), np.float32), *out])).astype(np.float32)

    def encode_text(self, phrases: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of M visual phrases, float32 (M, width) of length one.

        Raises InputError for a phrase that is not in :attr:`vocabulary`.
        """
        words = self._descriptor.encode_text(phrases)
        nothing = np.zeros((len(words), self._network.width), np.float32)
        return np.concatenate([nothing, words], 1)


def joined(learned: NDArray[np.floating], measured: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return vectors of N patches, float32 of length one, of their learned and measured parts (N, ·)."""
    parts = [learned * np.sqrt(LEARNED), measured * np.sqrt(1 - LEARNED)]
    return np.concatenate(parts, 1).astype(np.float32)


def load_pocket(source: Source | None = None, device: str = "auto", batch: int = 32) -> PocketEncoder:
    """Read the network that ships, or another of its form from a file, a folder or a state dict.

    Raises WeightsError.
    """
    state, where = read_weights(SHIPPED / _FILE if source is None else source, (_FILE,))
    return PocketEncoder(fill(PatchNetwork(), state, where), device, batch)
