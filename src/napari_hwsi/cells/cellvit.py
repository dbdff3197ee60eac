"""CellViT-256: nuclei with a type and a vector each (Hörst et al., Medical Image Analysis, 2024)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..encoders.registry import find, remedy
from ..encoders.tokens import TOKEN_PX, cell_vectors
from ..errors import WeightsError
from ..slides import RGB, Slide
from ..tissue import TissueMask
from ..units import Mpp
from .hover import nuclei_of, types_of
from .segmenter import Offer, Segmentation, segmenters

if TYPE_CHECKING:
    from ..encoders.weights import Source

_TYPES = ("unclassified", "neoplastic", "inflammatory", "connective", "dead", "epithelial")
_TILE_BYTES = 3 << 30  # what one image of 1024 px and its margins takes on a GPU


@dataclass(frozen=True, eq=False)
class CellViTMaps:
    """What the network says of an image of (Y, X) px.

    nucleus: bool (Y, X); distances: float16 (2, Y, X), horizontal and vertical; kinds: uint8 (Y, X), into
    the type names; tokens: float32 (384, h, w), one for each 16 x 16 px begun.
    """

    nucleus: NDArray[np.bool_]
    distances: NDArray[np.float16]
    kinds: NDArray[np.uint8]
    tokens: NDArray[np.float32]


def finish(rgb: RGB, maps: CellViTMaps, mpp: Mpp) -> Segmentation:
    """Return the nuclei of an image (Y, X, 3), with their types and tokens, from what the network said."""
    labels = nuclei_of(maps.nucleus, *maps.distances.astype(np.float32))
    types, share = types_of(labels, maps.kinds, len(_TYPES))
    whole = np.array(maps.tokens.shape[1:]) * TOKEN_PX - labels.shape
    tokens = cell_vectors(maps.tokens, np.pad(labels, [(0, whole[0]), (0, whole[1])]))
    return Segmentation(labels, types, share, tokens)


class CellViTSegmenter:
    """CellViT-256 with weights in the published layout.

    Each tile is one image of the network, as published. Its attention reaches across the tile and its
    distance maps are stretched to the tile's own range, so a nucleus near a seam can come out a little
    differently from two tiles; the surer one stays. Probabilities are the share of a nucleus' pixels that
    agree on its type; tokens are 384 wide.
    """

    name, margin_um, type_names, finish = "cellvit", 16.0, _TYPES, staticmethod(finish)

    def __init__(self, source: Source | None = None, device: str = "auto", mpp: float | None = None) -> None:
        """source: a file, a folder, a hub id or a state dict, None: the model's folder among the weights.

        mpp: µm/px of the images it was trained on; None: 0.5 where the file's name says x20, else 0.25.
        Raises WeightsError, with what to fetch and where to put it, where there are none or others.
        """
        from ..encoders.batches import choose_device, fitting, mixed_precision
        from ..encoders.cellvit import load_cellvit
        from ..encoders.weights import fingerprint, locate

        entry = find(self.name)
        if source is None and (lacking := _lacking()):
            raise WeightsError(f"{lacking}.")
        if not isinstance(source, Mapping):
            source = locate(source or entry.folder, entry.files)
        self.mpp = mpp or (0.5 if isinstance(source, Path) and "x20" in source.name else 0.25)
        self._device = choose_device(device)
        self._network = load_cellvit(source).to(self._device)
        self._weights = fingerprint(self._network)
        self._precision = mixed_precision(self._device)
        self.batch = self._fits = fitting(self._device, _TILE_BYTES, most=8)
        self.on_cpu = self._device.type == "cpu"

    def settings(self) -> Mapping[str, Any]:
        """Name, version of the method, resolution, hash of the weights, precision."""
        precision = str(self._precision).removeprefix("torch.")
        return {
            "name": self.name,
            "version": 1,
            "mpp": self.mpp,
            "weights": self._weights,
            "precision": precision,
        }

    def fit(self, slide: Slide, tissue: TissueMask | None = None) -> CellViTSegmenter:
        """Return it: it takes nothing from the slide as a whole."""
        return self

    def segment(self, rgb: RGB, mpp: Mpp) -> Segmentation:
        """Find the nuclei of (Y, X, 3) uint8 at about :attr:`mpp`."""
        (maps,) = self.predict([rgb], mpp, lambda: None)
        return finish(rgb, maps, mpp)

    def predict(self, images: Sequence[RGB], mpp: Mpp, beat: Callable[[], None]) -> list[CellViTMaps]:
        """Return the maps of images (Y, X, 3) uint8; those of one size go through the network together."""
        from ..encoders.batches import in_batches_by_size

        said, self._fits = in_batches_by_size(self._rows, images, self._fits, beat)
        return said

    def _rows(self, images: NDArray[np.uint8], rows: slice) -> list[CellViTMaps]:
        """Run the network on rows of images (N, Y, X, 3); white is added to whole tokens."""
        import torch

        height, width = images.shape[1:3]
        beyond = [(0, 0), (0, -height % TOKEN_PX), (0, -width % TOKEN_PX), (0, 0)]
        pixels = torch.from_numpy(np.pad(images[rows], beyond, constant_values=255)).to(self._device)
        scaled = (pixels.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
        lower = self._precision is not torch.float32
        with torch.inference_mode(), torch.autocast(self._device.type, self._precision, enabled=lower):
            maps = self._network(scaled)
        nucleus, kinds = (part[..., :height, :width].argmax(1) for part in (maps.nuclei, maps.types))
        distances = maps.distances[..., :height, :width].half()
        parts = (nucleus.bool(), distances, kinds.byte(), maps.tokens.float())
        return [CellViTMaps(*one) for one in zip(*(part.cpu().numpy() for part in parts), strict=True)]


def _lacking() -> str | None:
    entry = find("cellvit")
    if any((entry.folder / file).is_file() for file in entry.files):
        return None
    return f"No weights of {entry.title} here: {remedy(entry)}, or name them: cellvit:<file or folder>"


segmenters["cellvit"] = Offer(
    lambda device, source: CellViTSegmenter(source, device),
    what="CellViT-256: outlines and types, from a large network",
    needs="CellViT-256 weights, which you fetch",
    unverified="the published weights; the network and its post-processing agree with the published ones",
    lacking=_lacking,
)
