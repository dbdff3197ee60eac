"""Nuclei by the small network that ships with the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ResolutionError, WeightsError
from ..slides import RGB, Slide
from ..synthetic import TYPES
from ..tissue import TissueMask, optical_density
from ..units import Mpp
from .fields import sample_fields
from .pocket_decode import decode
from .pocket_stain import Staining, staining_of
from .segmenter import Offer, Segmentation, segmenters

WEIGHTS = Path(__file__).parent / "weights" / "pocket.safetensors"

_MPP = 0.5
_FINEST, _COARSEST = 0.2, 1.1  # µm/px it has been trained to see
_SAME = 0.06  # relative difference of scale that is not worth resampling
_TILE_BYTES = 1 << 30  # what one image of 1024 px and its margins takes on a GPU


@dataclass(frozen=True, eq=False)
class PocketMaps:
    """What the network says of an image, at 0.5 µm/px: (Y, X) px.

    nucleus, depth: float16 (Y, X), see :class:`.pocket_network.Maps`, the first a probability; types:
    float16 (T, Y/2, X/2), logits.
    """

    nucleus: NDArray[np.float16]
    depth: NDArray[np.float16]
    types: NDArray[np.float16]


def finish(rgb: RGB, maps: PocketMaps, mpp: Mpp) -> Segmentation:
    """Return the nuclei of an image (Y, X, 3) from what the network said, at the image's own pixels."""
    shape, size = rgb.shape[:2], maps.nucleus.shape
    pixel_um = float(np.sqrt(mpp[0] * mpp[1] * np.prod(shape) / np.prod(size)))
    labels, probabilities = decode(maps.nucleus.astype(np.float32), maps.depth.astype(np.float32), pixel_um)
    types = _types(labels, maps.types.astype(np.float32), len(probabilities))
    if size != shape:
        rows, columns = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(shape, size, strict=True))
        labels = labels[rows[:, None], columns]
        seen = np.bincount(labels.ravel(), minlength=len(types) + 1) > 0
        seen[0] = False
        labels = np.where(seen, np.cumsum(seen), 0).astype(np.int32)[labels]
        types, probabilities = types[seen[1:]], probabilities[seen[1:]]
    return Segmentation(labels, types, probabilities)


def _types(labels: NDArray[np.int32], logits: NDArray[np.float32], count: int) -> NDArray[np.uint8]:
    """Return the type of each nucleus, (N,): the highest sum of logits (T, Y/2, X/2) over its pixels."""
    owner = labels[::2, ::2].ravel()
    sums = [np.bincount(owner, kind.ravel(), count + 1)[1:] for kind in logits]
    return np.argmax(sums, axis=0).astype(np.uint8)


class PocketSegmenter:
    """Nuclei by a network of half a million weights that works at 0.5 µm/px; see weights/pocket.md.

    Its convolutions reach 32 µm at most, so tiles do not know their neighbours; tiles begin at multiples of
    ``stride_px``, so that a nucleus comes out the same from any of them. Probabilities are means
    over the pixels of a nucleus, not calibrated. Types are learned on synthetic slides alone: an
    experiment, not a finding.
    """

    name, mpp, margin_um, type_names, finish = "pocket", _MPP, 32.0, TYPES[1:], staticmethod(finish)
    stride_px = 8

    staining: Staining | None = None

    def __init__(self, weights: Path | None = None, device: str = "auto", precision: str = "auto") -> None:
        """weights: a safetensors file, None: those that ship; precision: 'float32', 'bfloat16', …, or 'auto',
        bfloat16 on a CPU that computes in it, and what :func:`..encoders.batches.mixed_precision` says
        elsewhere. Raises WeightsError for a file that does not hold this network.
        """
        import torch

        from ..encoders.batches import choose_device, fitting, mixed_precision
        from ..encoders.weights import fingerprint

        self._device = choose_device(device)
        self.on_cpu = self._device.type == "cpu"
        if precision != "auto":
            self._precision = getattr(torch, precision)
        elif self.on_cpu:
            # Flags of the processor decide, never a measurement, so that runs agree.
            able = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
            self._precision = torch.bfloat16 if able else torch.float32
        else:
            self._precision = mixed_precision(self._device)
        network = _load(weights or WEIGHTS)
        self._weights = fingerprint(network)
        self._network = network.to(self._device, self._precision)
        self.batch = self._fits = fitting(self._device, _TILE_BYTES, most=16)

    def settings(self) -> Mapping[str, Any]:
        """Name, version of the method, resolution, hash of the weights, precision."""
        precision = str(self._precision).removeprefix("torch.")
        return {
            "name": self.name,
            "version": 2,
            "mpp": self.mpp,
            "weights": self._weights,
            "precision": precision,
            "staining": None if self.staining is None else asdict(self.staining),
        }

    def fit(self, slide: Slide, tissue: TissueMask | None = None) -> PocketSegmenter:
        """Return it with the staining of the slide, from at most 16 fields of its tissue."""
        if self.staining is not None:
            return self
        fitted = copy(self)
        fitted.staining = staining_of(
            [_at_working_size(*field) for field in sample_fields(slide, _MPP, tissue)]
        )
        return fitted

    def segment(self, rgb: RGB, mpp: Mpp) -> Segmentation:
        """Find the nuclei of (Y, X, 3) uint8 at (y, x) µm per pixel.

        Raises ResolutionError outside 0.2 to 1.1 µm/px.
        """
        (maps,) = self.predict([rgb], mpp, lambda: None)
        return finish(rgb, maps, mpp)

    def predict(self, images: Sequence[RGB], mpp: Mpp, beat: Callable[[], None]) -> list[PocketMaps]:
        """Return the maps of images (Y, X, 3) uint8; those of one size go through the network together."""
        from ..encoders.batches import in_batches_by_size

        if not all(_FINEST <= step <= _COARSEST for step in mpp):
            raise ResolutionError(
                f"The pocket segmenter works from {_FINEST} to {_COARSEST} µm per pixel; "
                f"this image has {mpp[0]:.3g} x {mpp[1]:.3g}."
            )
        scaled = [_at_working_size(image, mpp) for image in images]
        evened = [
            (self.staining or staining_of([(image, at)])).evened(optical_density(image))
            for image, at in scaled
        ]
        said, self._fits = in_batches_by_size(self._rows, evened, self._fits, beat)
        return said

    def _rows(self, densities: NDArray[np.float32], rows: slice) -> list[PocketMaps]:
        """Run the network on rows of densities (N, Y, X, 3); edges are repeated to whole strides."""
        import torch

        from .pocket_network import STRIDE

        height, width = densities.shape[1:3]
        beyond = [(0, 0), (0, -height % STRIDE), (0, -width % STRIDE), (0, 0)]
        density = torch.from_numpy(np.pad(densities[rows], beyond, mode="edge"))
        with torch.inference_mode():
            maps = self._network(density.permute(0, 3, 1, 2).to(self._device, self._precision))
            full = (maps.nucleus[:, 0].sigmoid(), maps.depth[:, 0])
            parts = [part[:, :height, :width].half().cpu().numpy() for part in full]
            half = (slice(None), slice(None), slice((height + 1) // 2), slice((width + 1) // 2))
            parts.append(maps.types[half].half().cpu().numpy())
        return [PocketMaps(*one) for one in zip(*parts, strict=True)]


def _at_working_size(image: RGB, mpp: Mpp) -> tuple[RGB, Mpp]:
    """Return the image at 0.5 µm/px, and what it is at; as it is where it is nearly that."""
    if all(abs(step / _MPP - 1) <= _SAME for step in mpp):
        return image, mpp
    height, width = (max(1, round(n * step / _MPP)) for n, step in zip(image.shape, mpp, strict=False))
    scaled = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(scaled), (_MPP, _MPP)


def _load(path: Path) -> Any:
    """Return the network of a file. Raises WeightsError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from .pocket_network import NucleusNetwork

    network = NucleusNetwork()
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WeightsError(
            f"{path} does not hold the pocket network's weights; reinstall the package, or give another file."
        ) from error
    return network.eval()


segmenters["pocket"] = Offer(
    lambda device, source: PocketSegmenter(Path(source) if source else None, device),
    what="a small network that ships, with types",
    unverified="its types, learned on synthetic slides",
)
