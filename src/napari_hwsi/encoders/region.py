"""HIPT ViT-4K: a grid of patch vectors becomes the vector of a region (Chen et al. 2022,
https://arxiv.org/abs/2206.02647).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError, WeightsError
from .batches import choose_device, in_batches
from .encoder import PatchEncoder
from .registry import load, own_weights
from .vit import ViT, read_vit
from .weights import Source, fingerprint, read_weights

_HEADS = 6
_FILE = "vit4k_xs_dino.pth"


class RegionEncoder:
    """Grids of patch vectors to region vectors.

    features: width of the patch vectors it takes (384, of HIPT ViT-256); width: of its own (192).
    """

    name = "hipt-4k"

    def __init__(self, vit: ViT, device: str = "auto", batch: int = 16) -> None:
        self.features, self.width, self.batch = vit.anatomy.patch[0], vit.anatomy.width, batch
        self.device = choose_device(device)
        self._vit = vit.to(self.device)

    @cached_property
    def version(self) -> str:
        """A hash of the weights."""
        return fingerprint(self._vit)[:16]

    def encode(self, grids: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the vectors of R regions, float32 (R, width).

        grids: (R > 0, rows, columns, features), patch (y, x) at its place; 16 x 16 as published. Raises
        InputError for another shape.
        """
        return self._run(grids, -1, whole=True)

    def attention(self, grids: NDArray[np.floating], block: int = -1) -> NDArray[np.float32]:
        """Return how the class token looks at each patch, float32 (R, heads, rows, columns)."""
        return self._run(grids, block, whole=False)

    def _run(self, grids: NDArray[np.floating], block: int, whole: bool) -> NDArray[np.float32]:
        if grids.ndim != 4 or grids.shape[3] != self.features or 0 in grids.shape:
            raise InputError(f"Regions must be (R, rows, columns, {self.features}), not {grids.shape}.")

        def run(rows: slice) -> NDArray[np.float32]:
            part = torch.from_numpy(np.ascontiguousarray(grids[rows], np.float32))
            x = part.to(self.device).permute(0, 3, 1, 2)
            with torch.inference_mode():
                out = self._vit(x)[:, 0] if whole else self._vit.to_patches(x, block)
            return out.cpu().numpy()

        return np.concatenate([out for _, out in in_batches(run, len(grids), self.batch)])


def load_regions(source: Source, device: str = "auto", batch: int = 16) -> RegionEncoder:
    """Read HIPT ViT-4K from its file, a folder, a hub id or a state dict; raises WeightsError."""
    state, where = read_weights(source, (_FILE,))
    vit = read_vit(state, where, heads=_HEADS, resizing="dino")
    if len(vit.anatomy.patch) != 1:
        raise WeightsError(
            f"{where}: tensor patch_embed.proj.weight is of an encoder of pixels, not of patch vectors."
        )
    return RegionEncoder(vit, device, batch)


@dataclass(frozen=True)
class Hipt:
    """HIPT whole: ViT-256 for the patches of a region, ViT-4K for their grid."""

    patches: PatchEncoder
    grid: RegionEncoder

    name = "hipt"

    @property
    def features(self) -> int:
        """Numbers a patch."""
        return self.grid.features

    @property
    def width(self) -> int:
        """Numbers a region."""
        return self.grid.width

    @cached_property
    def version(self) -> str:
        """A hash of the weights of both."""
        return hashlib.sha256(f"{self.patches.version} {self.grid.version}".encode()).hexdigest()[:16]

    def encode_patches(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 (N, features) for uint8 RGB patches (N, 256, 256, 3)."""
        return self.patches.encode(images)

    def encode_grid(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the vector of a region, float32 (width,), for all its patches (rows, columns, features)."""
        return self.grid.encode(features[None])[0]


def load_hipt(device: str = "auto") -> Hipt:
    """Read both levels of HIPT from this user's weights. Raises InputError where they are not there."""
    grid = load_regions(own_weights("hipt-4k"), device)
    return Hipt(load("hipt", device=device), grid)
