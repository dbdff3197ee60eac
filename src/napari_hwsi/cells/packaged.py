"""Segmenters of other packages: the user's own installation and weights, used as they are.

Their images, masks and settings are their own; ours is which pixels they are given and, at seams, which tile
a nucleus belongs to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import relabel_sequential

from ..errors import MissingDependencyError, WeightsError
from ..slides import RGB, Slide
from ..tissue import TissueMask
from ..units import Mpp
from .segmenter import Offer, Segmentation, segmenters

Run = Callable[[RGB, Mpp], NDArray[np.integer]]
"""From an image (Y, X, 3) uint8 at (y, x) µm/px to masks (Y, X), 0 background."""

_MARGIN_UM = 32.0


def nuclei_in(rgb: RGB, masks: NDArray[np.integer], mpp: Mpp) -> Segmentation:
    """Return masks (Y, X) as nuclei; only their numbers change, to 1 … N."""
    labels = np.asarray(relabel_sequential(np.asarray(masks, np.int64))[0], np.int32)
    count = int(labels.max(initial=0))
    return Segmentation(labels, np.zeros(count, np.uint8), np.ones(count, np.float32))


class PackagedSegmenter:
    """A model of another package; the package says nothing of how sure it is, so probabilities are 1."""

    batch, margin_um, type_names, finish = 1, _MARGIN_UM, ("nucleus",), staticmethod(nuclei_in)

    def __init__(self, name: str, mpp: float, run: Run, facts: Mapping[str, Any], on_cpu: bool) -> None:
        """mpp: µm/px of what it is given; facts: what else decides its result, as plain values."""
        self.name, self.mpp, self.on_cpu = name, mpp, on_cpu
        self._run, self._facts = run, dict(facts)

    def settings(self) -> Mapping[str, Any]:
        """Name, resolution, the package's version, the weights' hash or name."""
        return {"name": self.name, "version": 1, "mpp": self.mpp, **self._facts}

    def fit(self, slide: Slide, tissue: TissueMask | None = None) -> PackagedSegmenter:
        """Return it: it takes nothing from the slide as a whole."""
        return self

    def segment(self, rgb: RGB, mpp: Mpp) -> Segmentation:
        """Find the nuclei of (Y, X, 3) uint8 at (y, x) µm per pixel."""
        return nuclei_in(rgb, self._run(rgb, mpp), mpp)

    def predict(self, images: Sequence[RGB], mpp: Mpp, beat: Callable[[], None]) -> list[NDArray[np.integer]]:
        """Return the masks of images (Y, X, 3) uint8."""
        masks = []
        for image in images:
            beat()
            masks.append(self._run(image, mpp))
        return masks


def cellpose(device: str, source: str | None) -> PackagedSegmenter:
    """Return Cellpose 4 (Pachitariu et al. 2025) or 3 (Stringer & Pachitariu 2025) with a model.

    source: a model's file, or a name its package knows, which it downloads when it does not have it. Images
    are given at 0.5 µm/px, normalised by Cellpose tile by tile; its flow and probability thresholds stand.
    """
    from ..encoders.batches import choose_device, halving, mixed_precision
    from ..encoders.weights import optional

    _require("cellpose")
    models = optional("cellpose.models", "run Cellpose")
    if source is None:
        raise WeightsError(
            "Cellpose needs a model: name its file, or one that Cellpose may download, as in "
            f"cellpose:{models.MODEL_NAMES[0]}."
        )
    file = Path(source).expanduser()
    # a path that is not there would only be warned of, and another model downloaded
    if not file.is_file() and source not in models.MODEL_NAMES:
        known = ", ".join(models.MODEL_NAMES)
        raise WeightsError(f"{source}: no such file, and no model of Cellpose. It has: {known}.")
    place, own = choose_device(device), version("cellpose")
    four = int(own.partition(".")[0]) >= 4
    lower = {"use_bfloat16": mixed_precision(place).itemsize == 2} if four else {}
    given = str(file) if file.is_file() else source
    try:
        model = models.CellposeModel(gpu=place.type != "cpu", device=place, pretrained_model=given, **lower)
    except (RuntimeError, ValueError, KeyError, TypeError, EOFError, OSError) as error:
        raise WeightsError(
            f"{source}: Cellpose {own} cannot use it as a model: {str(error).splitlines()[0][:200]}"
        ) from error
    size = [8]  # images of 256 px at a time, as Cellpose has it

    def run(rgb: RGB, mpp: Mpp) -> NDArray[np.integer]:
        channels = {} if four else {"channels": [0, 0]}
        masks, size[0] = halving(
            lambda batch: model.eval(rgb, batch_size=batch, channel_axis=-1, **channels)[0], size[0]
        )
        return np.asarray(masks)

    facts = {"package": own, "weights": weights_hash(model.pretrained_model), **lower}
    return PackagedSegmenter("cellpose", 0.5, run, facts, place.type == "cpu")


def instanseg(device: str, source: str | None) -> PackagedSegmenter:
    """Return InstanSeg (Goldsborough et al. 2024) with a TorchScript model.

    source: its file (``instanseg.pt``), or a name such as brightfield_nuclei, which its package downloads.
    Images are given at 0.5 µm/px with their pixel size, by which it scales them to its model's.
    """
    import torch

    from ..encoders.batches import choose_device
    from ..encoders.weights import optional

    _require("instanseg")
    package = optional("instanseg", "run InstanSeg")
    place = choose_device(device)
    if source is None:
        raise WeightsError(
            "InstanSeg needs a model: name its file, or one that InstanSeg may download, as in "
            "instanseg:brightfield_nuclei."
        )
    file = Path(source).expanduser()
    try:
        network: Any = torch.jit.load(file, map_location=place) if file.is_file() else source  # type: ignore[no-untyped-call]
        model = package.InstanSeg(network, device=str(place), verbosity=0, channels_last=False)
    except (RuntimeError, ValueError, OSError, AttributeError, IndexError) as error:
        raise WeightsError(
            f"{source}: no TorchScript file of InstanSeg, and no model it could fetch: "
            f"{str(error).splitlines()[0][:200]}"
        ) from error

    def run(rgb: RGB, mpp: Mpp) -> NDArray[np.integer]:
        pixel_um = float(np.sqrt(mpp[0] * mpp[1]))
        found = model.eval_small_image(
            torch.from_numpy(np.ascontiguousarray(np.moveaxis(rgb, -1, 0))).float(),
            pixel_size=pixel_um,
            target="nuclei",
            return_image_tensor=False,
        )
        return found[0, 0].cpu().numpy().astype(np.int32)

    facts = {"package": version("instanseg-torch"), "weights": weights_hash(source)}
    return PackagedSegmenter("instanseg", 0.5, run, facts, place.type == "cpu")


def stardist(device: str, source: str | None) -> PackagedSegmenter:
    """Return StarDist (Schmidt et al. 2018; Weigert & Schmidt 2022) with a model for H&E.

    source: a model's folder (config.json, weights, thresholds), or a name such as 2D_versatile_he, which its
    package downloads. Images are given at 0.5 µm/px, stretched between their 1st and 99.8th percentile as
    StarDist's examples do; TensorFlow chooses the device.
    """
    from ..encoders.weights import optional

    _require("stardist")
    models = optional("stardist.models", "run StarDist")
    normalize = optional("csbdeep.utils", "run StarDist").normalize
    if source is None:
        raise WeightsError(
            "StarDist needs a model: name its folder, or one that StarDist may download, as in "
            "stardist:2D_versatile_he."
        )
    folder = Path(source).expanduser()
    try:
        if folder.is_dir():
            model = models.StarDist2D(None, name=folder.name, basedir=str(folder.parent))
        else:
            model = models.StarDist2D.from_pretrained(source)
    except (RuntimeError, ValueError, OSError) as error:
        raise WeightsError(f"{source}: StarDist cannot use it: {str(error).splitlines()[0][:200]}") from error
    if model is None:
        raise WeightsError(f"{source}: no such folder, and no model of StarDist.")

    def run(rgb: RGB, mpp: Mpp) -> NDArray[np.integer]:
        stretched = normalize(rgb, 1, 99.8, axis=(0, 1, 2))
        labels, _ = model.predict_instances(stretched, axes="YXC", show_tile_progress=False)
        return np.asarray(labels)

    facts = {"package": version("stardist"), "weights": weights_hash(source)}
    return PackagedSegmenter("stardist", 0.5, run, facts, True)


def weights_hash(source: str | Path) -> str:
    """Return the SHA-256 of a file, or of the files of a folder; a name that is neither stands for itself."""
    path = Path(source).expanduser()
    files = sorted(f for f in path.iterdir() if f.is_file()) if path.is_dir() else [path]
    if not path.exists():
        return str(source)
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


_PACKAGES = {
    "cellpose": "'napari-hwsi[cellpose]'",
    "instanseg": "instanseg-torch",
    "stardist": "stardist tensorflow",
}


def _lacking(module: str) -> str | None:
    return None if find_spec(module) else f"{module} is not installed: pip install {_PACKAGES[module]}"


def _require(module: str) -> None:
    if lacking := _lacking(module):
        raise MissingDependencyError(f"{lacking}.")


segmenters["cellpose"] = Offer(
    cellpose,
    what="Cellpose: outlines, by a network of your choice",
    needs="Cellpose and a model, named: cellpose:<file or name>",
    unverified="published models; its code runs here with small ones",
    lacking=partial(_lacking, "cellpose"),
)
segmenters["instanseg"] = Offer(
    instanseg,
    what="InstanSeg: outlines, by a network of your choice",
    needs="InstanSeg and a model, named: instanseg:<file or name>",
    unverified="published models",
    lacking=partial(_lacking, "instanseg"),
)
segmenters["stardist"] = Offer(
    stardist,
    what="StarDist: star-shaped outlines, by a network of your choice",
    needs="StarDist with TensorFlow, and a model, named: stardist:<folder or name>",
    unverified="its calls stand as documented, and were never run",
    lacking=partial(_lacking, "stardist"),
)
