"""TRIDENT (mahmoodlab): patch and slide features in HDF5.

``<mag>x_<px>px_<overlap>px_overlap/`` holds ``patches/<name>_patches.h5`` (places), ``features_<encoder>/
<name>.h5`` (``features`` (N, D), ``coords``) and ``slide_features_<encoder>/<name>.h5`` (``features``
(D,)). ``coords`` is int64 (N, 2), x and y of the top left in level-0 pixels; its attributes give the side
as ``patch_size`` at the target magnification and ``patch_size_level0``. Any of the three files can be
opened; the slide vector is taken from beside the others where there is exactly one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...errors import InputError, ResolutionError
from .features import Facts, Floats, PatchFeatures, as_vectors, corner_boxes
from .hdf5 import array, attributes, corners, grow, number, opened, written
from .hdf5 import mismatch as hdf5_mismatch
from .hints import Hints
from .layout import Written

_PLACES = "_patches"


def mismatch(path: Path) -> str | None:
    """Return why a file is not TRIDENT's."""

    def check(file: h5py.File) -> str | None:
        if not isinstance(file.get("coords"), h5py.Dataset):
            return "no dataset coords"
        if not {"patch_size_level0", "target_magnification"} & {*file["coords"].attrs}:
            return "coords has no attribute patch_size_level0"
        return None

    return hdf5_mismatch(path, check)


def read(path: Path, hints: Hints) -> PatchFeatures:
    """Read patch features, places alone, or a slide vector with the places it was made of."""
    with opened(path) as file:
        xy, facts = corners(file), attributes(file["coords"].attrs)
        own = attributes(file["features"].attrs) if "features" in file else {}
        values = array(file, "features") if "features" in file else np.empty((len(xy), 0), np.float32)
    whole_slide = values.ndim == 1
    slide_vector = as_vectors(values, path, 1)[0] if whole_slide else _slide_vector(path)
    patches = np.empty((len(xy), 0), np.float32) if whole_slide else values
    vectors, precision = as_vectors(patches, path)
    encoder = own.get("encoder") or _encoder(path)
    width, height = number(facts, "level0_width", path), number(facts, "level0_height", path)
    known = Facts(
        name=str(facts.get("name") or path.stem.removesuffix(_PLACES)),
        encoder=encoder,
        patch_px=_whole(number(facts, "patch_size", path)),
        overlap_px=_whole(number(facts, "overlap", path)),
        slide_shape=(int(height), int(width)) if height and width else None,
        slide_magnification=number(facts, "level0_magnification", path),
        magnification=number(facts, "target_magnification", path),
        precision=precision,
    )
    side = number(facts, "patch_size_level0", path) or _side(known) or hints.side(path, xy)
    return PatchFeatures(vectors, corner_boxes(xy, side), hints.complete(known), slide_vector=slide_vector)


def write(features: PatchFeatures, folder: Path) -> Written:
    """Write places, patch features and, where there is one, the slide vector."""
    patches = features.flat()
    xy, side = patches.squares()
    facts = features.facts
    source, target = _magnifications(facts, side)
    patch_px = facts.patch_px or round(side * target / source)
    overlap = facts.overlap_px or 0
    job = folder / f"{target:g}x_{patch_px}px_{overlap}px_overlap"
    height, width = facts.slide_shape or (None, None)

    def places(saved_to: Path) -> dict[str, Any]:
        return {
            "patch_size": patch_px,
            "patch_size_level0": side,
            "level0_magnification": _integer(source),
            "target_magnification": _integer(target),
            "overlap": overlap,
            "name": facts.name,
            "savetodir": str(saved_to),
            "level0_width": width,
            "level0_height": height,
        }

    files = [job / "patches" / f"{facts.name}{_PLACES}.h5"]
    with written(files[0]) as file:
        grow(file, "coords", xy, places(files[0].parent))
    made: list[tuple[str, Any]] = []
    if patches.vectors.shape[1]:
        made.append((f"features_{facts.label}", patches.vectors.astype(facts.precision)))
    if patches.slide_vector is not None:
        made.append((f"slide_features_{facts.label}", patches.slide_vector))
    for name, values in made:
        files.append(job / name / f"{facts.name}.h5")
        with written(files[-1]) as file:
            saved = {"name": facts.name, "savetodir": str(job / name), "encoder": facts.encoder}
            grow(file, "features", values, saved)
            grow(file, "coords", xy, places(job / name))
    return Written(tuple(files), tuple(features.left_out("slide", "encoder")))


def _slide_vector(path: Path) -> Floats | None:
    name = f"{path.stem.removesuffix(_PLACES)}.h5"
    found = sorted(path.parent.parent.glob(f"slide_features_*/{name}"))
    if len(found) != 1:
        return None
    with opened(found[0]) as file:
        return as_vectors(array(file, "features"), found[0], 1)[0]


def _encoder(path: Path) -> str | None:
    folder = path.parent.name
    return folder.partition("features_")[2] or None


def _side(facts: Facts) -> float | None:
    if not (facts.patch_px and facts.slide_magnification and facts.magnification):
        return None
    return facts.patch_px * facts.slide_magnification // facts.magnification


def _magnifications(facts: Facts, side: int) -> tuple[float, float]:
    """Return the magnification of the slide and of the patches; raises ResolutionError, InputError."""
    source, target = facts.magnifications()
    if source is None:
        raise ResolutionError(
            f"{facts.name}: TRIDENT's files state the magnification, and nothing is known of it. Give the "
            "slide, or its µm per level-0 pixel: mpp=0.5 in Python, --mpp 0.5 on the command line."
        )
    if not side and not (facts.magnification and facts.patch_px):
        raise InputError(f"{facts.name} has no patches, so there is nothing to say how large they are.")
    return source, target or (source * facts.patch_px / side if facts.patch_px else source)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _integer(value: float) -> int | float:
    return int(value) if value == int(value) else value
