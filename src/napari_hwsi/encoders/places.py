"""Vectors with places become one vector: the transformers of the pocket profile's regions and slides.

A class token and the vectors, each with a code of where it lies, go through a small transformer; the normed
class token is the vector of the whole. Any number of vectors at any places will do, and those that are
masked are never looked at.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InputError
from .batches import choose_device
from .layouts import under
from .pocket import SHIPPED
from .transformer import Block
from .weights import Source, fill, fingerprint, read_weights

WIDTH = 192
_HEADS = 4
_FILE = "pocket_places.safetensors"
_LONGEST = 64.0  # steps of the grid; of the slowest wave of the codes


class PlaceTransformer(nn.Module):
    """A transformer over vectors at places.

    features: width of the vectors it takes; width, depth, heads: its own.
    """

    def __init__(self, features: int, width: int = WIDTH, depth: int = 2, heads: int = _HEADS) -> None:
        super().__init__()
        self.features, self.width, self.heads = features, width, heads
        self.embed = nn.Linear(features, width)
        self.where = nn.Linear(width, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(Block(width, heads, 2 * width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, 1e-6)
        nn.init.trunc_normal_(self.cls_token, std=0.02)

    def forward(self, vectors: Tensor, places: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors of N wholes, (N, width), and the attention of the last block, (N, heads, T).

        vectors: (N, T, features); places: (N, T, 2), (y, x) in steps of their grid; mask: bool (N, T), True
        for what is there. Places count from the middle of what is there. The attention is that of the class
        token; with its own share, which is left out, a head's sums to one.
        """
        there = mask[..., None]
        middle = torch.where(there, places, 0).sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1)
        codes = self.where(codes_of(torch.where(there, places - middle, 0), self.width))
        tokens = self.embed(torch.where(there, vectors, 0)) + codes
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1)
        seen = torch.cat([mask.new_ones(len(mask), 1), mask], 1)[:, None, None]
        for block in self.blocks[:-1]:
            tokens = block(tokens, seen)
        last: Any = self.blocks[-1]
        shares = last.attention(tokens, 1, seen)[:, :, 0, 1:]
        return self.norm(last(tokens, seen)[:, 0]), shares


def codes_of(places: Tensor, width: int) -> Tensor:
    """Return sines and cosines of places (…, 2), (…, width); half of them of y, half of x.

    Wavelengths run from 4 to 256 steps, evenly in their logarithm (after Vaswani et al. 2017).
    """
    count = width // 4
    waves = _LONGEST ** (torch.arange(count, device=places.device) / (count - 1)) * 4
    angles = places[..., None] * (2 * math.pi / waves)
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)


@dataclass(frozen=True)
class Placed:
    """vector: float32 (width,), of a whole; shares: float32 (T,), of each of its parts in the attention, the
    mean of the heads, 0 where masked; with the share of the whole itself they sum to one.
    """

    vector: NDArray[np.float32]
    shares: NDArray[np.float32]


class PocketPlaces:
    """Regions from their patches, and slides from their regions; see shipped/pocket_places.md."""

    name = "pocket"

    def __init__(self, regions: PlaceTransformer, slides: PlaceTransformer, device: str = "auto") -> None:
        self.device = choose_device(device)
        self._regions, self._slides = regions.to(self.device), slides.to(self.device)
        self.features, self.width, self.slide_width = regions.features, regions.width, slides.width

    @cached_property
    def version(self) -> str:
        """A hash of the weights of both."""
        both = f"{fingerprint(self._regions)} {fingerprint(self._slides)}"
        return hashlib.sha256(both.encode()).hexdigest()[:16]

    def region(self, vectors: NDArray[np.floating], valid: NDArray[np.bool_]) -> Placed:
        """Return what a region is made into. vectors: (rows, columns, features); valid: (rows, columns).

        Raises InputError for vectors of another width.
        """
        places = np.moveaxis(np.indices(valid.shape), 0, -1)
        return self._run(
            self._regions, vectors.reshape(-1, vectors.shape[-1]), places.reshape(-1, 2), valid.ravel()
        )

    def slide(self, vectors: NDArray[np.floating], places: NDArray[np.number]) -> Placed:
        """Return what a slide is made into. vectors: (R, width) of its regions; places: (R, 2), their rows
        and columns. Raises InputError for vectors of another width.
        """
        return self._run(self._slides, vectors, places, np.ones(len(vectors), bool))

    def _run(
        self,
        network: PlaceTransformer,
        vectors: NDArray[np.floating],
        places: NDArray[np.number],
        mask: NDArray[np.bool_],
    ) -> Placed:
        if vectors.shape[-1] != network.features:
            raise InputError(f"Vectors must be {network.features} wide, not {vectors.shape[-1]}.")
        given = (np.array(vectors, np.float32), np.array(places, np.float32), np.array(mask))
        inputs = [torch.from_numpy(array)[None].to(self.device) for array in given]
        with torch.inference_mode():
            vector, shares = network(*inputs)
        return Placed(vector[0].cpu().numpy(), shares[0].mean(0).cpu().numpy())


def load_places(source: Source | None = None, device: str = "auto") -> PocketPlaces:
    """Read the transformers that ship, or others of their form; raises WeightsError."""
    state, where = read_weights(SHIPPED / _FILE if source is None else source, (_FILE,))
    networks = []
    for part in ("regions.", "slides."):
        own = under(state, part)
        features = own["embed.weight"].shape[1] if "embed.weight" in own else WIDTH
        depth = 1 + max((int(name.split(".")[1]) for name in own if name.startswith("blocks.")), default=0)
        networks.append(fill(PlaceTransformer(features, depth=depth), own, f"{where} ({part[:-1]})"))
    return PocketPlaces(networks[0], networks[1], device)
