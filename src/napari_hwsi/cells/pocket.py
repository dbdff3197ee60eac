"""Nuclei by the small network that ships with the package."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import functional

from ..errors import ResolutionError, WeightsError
from ..slides import RGB, Slide
from ..synthetic import TYPES
from ..tissue import TissueMask, optical_density
from ..units import Mpp
from .pocket_decode import decode
from .pocket_network import STRIDE, NucleusNetwork
from .segmenter import Segmentation

_FINEST, _COARSEST = 0.2, 1.1  # µm/px it has been trained to see
_SAME = 0.06  # relative difference of scale that is not worth resampling
_EVEN = 1e-6

WEIGHTS = Path(__file__).parent / "weights" / "pocket.safetensors"


@dataclass(frozen=True)
class Pocket:
    """Nuclei by a network of half a million weights that works at 0.5 µm/px; see weights/pocket.md.

    weights: a safetensors file; device: 'cpu', 'cuda', 'mps' or 'auto'; precision: 'float32', 'bfloat16' or
    'auto', which is bfloat16 where the hardware computes in it. Types are learned on synthetic
    slides alone: an experiment, not a finding.
    """

    weights: Path = WEIGHTS
    device: str = "auto"
    precision: str = "auto"

    name = "pocket"
    mpp = 0.5
    margin_um = 32.0
    type_names = TYPES[1:]

    def settings(self) -> Mapping[str, Any]:
        """Name, version of the method, resolution, digest of the weights, and the precision in use."""
        device = _device(self.device)
        return {
            "name": self.name,
            "version": 1,
            "mpp": self.mpp,
            "weights": _digest(self.weights),
            "precision": str(_dtype(self.precision, device)).removeprefix("torch."),
        }

    def fit(self, slide: Slide, tissue: TissueMask | None = None) -> Pocket:
        """Return it as it is: it takes nothing from the slide as a whole."""
        return self

    def segment(self, rgb: RGB, mpp: Mpp) -> Segmentation:
        """Find the nuclei of (Y, X, 3) uint8 at (y, x) µm per pixel.

        Probabilities are means over a nucleus' pixels, not calibrated. Raises ResolutionError outside 0.2 to
        1.1 µm/px, WeightsError for a file that does not hold this network.
        """
        if not all(_FINEST <= step <= _COARSEST for step in mpp):
            raise ResolutionError(
                f"The pocket segmenter works from {_FINEST} to {_COARSEST} µm per pixel; "
                f"this image has {mpp[0]:.3g} x {mpp[1]:.3g}."
            )
        shape = rgb.shape[:2]
        scale = [1.0 if abs(step / self.mpp - 1) <= _SAME else step / self.mpp for step in mpp]
        size = [max(1, round(n * s)) for n, s in zip(shape, scale, strict=True)]
        if size != list(shape):
            rgb = np.asarray(Image.fromarray(rgb).resize(size[::-1], Image.Resampling.BILINEAR))
        nucleus, depth, kinds = self._maps(rgb)
        pixel_um = float(np.sqrt(mpp[0] * mpp[1] / (scale[0] * scale[1])))
        labels, probabilities = decode(nucleus, depth, pixel_um)
        types = _types(labels, kinds, len(probabilities))
        if size != list(shape):
            rows, columns = (
                ((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(shape, size, strict=True)
            )
            labels = np.ascontiguousarray(labels[rows[:, None], columns])
            seen = np.unique(labels[labels > 0])
            place = np.zeros(len(probabilities) + 1, np.int32)
            place[seen] = np.arange(1, len(seen) + 1)
            labels, types, probabilities = place[labels], types[seen - 1], probabilities[seen - 1]
        return Segmentation(labels, types, probabilities)

    def _maps(self, rgb: RGB) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return the probability (Y, X), the depth (Y, X) and the logits of types (T, Y/2, X/2)."""
        device = _device(self.device)
        dtype = _dtype(self.precision, device)
        network = _network(self.weights, device, dtype)
        height, width = rgb.shape[:2]
        density = torch.from_numpy(np.ascontiguousarray(optical_density(rgb).transpose(2, 0, 1)))[None]
        pad = (0, -width % STRIDE, 0, -height % STRIDE)
        density = functional.pad(density, pad, mode="replicate").to(device, dtype)
        with torch.inference_mode():
            maps = network(density.contiguous(memory_format=torch.channels_last))
            nucleus, depth = maps.nucleus.sigmoid(), maps.depth
        cut = (slice(height), slice(width))
        return (
            nucleus[0, 0].cpu().numpy()[cut],
            depth[0, 0].cpu().numpy()[cut],
            maps.types[0].cpu().numpy(),
        )


def _types(labels: NDArray[np.int32], kinds: NDArray[np.float32], count: int) -> NDArray[np.uint8]:
    """Return the type of each nucleus, (N,): the highest sum of logits (T, Y/2, X/2) over its pixels."""
    owner = labels[::2, ::2]
    kinds = kinds[:, : owner.shape[0], : owner.shape[1]]
    sums = [np.bincount(owner.ravel(), kind.ravel(), count + 1)[1:] for kind in kinds]
    return np.argmax(sums, axis=0).astype(np.uint8)


def _device(name: str) -> str:
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _dtype(precision: str, device: str) -> torch.dtype:
    """Return what to compute in: flags of the hardware decide, never a measurement, so that runs agree."""
    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    if device.startswith("cuda"):
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = device == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
    return torch.bfloat16 if able else torch.float32


@lru_cache(maxsize=4)
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@lru_cache(maxsize=2)
def _network(path: Path, device: str, dtype: torch.dtype) -> NucleusNetwork:
    """Return the network of a file, ready on a device. Raises WeightsError."""
    network = NucleusNetwork()
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WeightsError(
            f"{path} does not hold the pocket network's weights; reinstall the package, or give another file."
        ) from error
    return network.eval().to(device, dtype)
