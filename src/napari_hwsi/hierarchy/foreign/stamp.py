"""STAMP (KatherLab): tile features in HDF5, placed in micrometres.

``<extractor>-<hash>/<name>.h5``: ``coords`` float32 (N, 2), x and y of the top left in µm; ``feats``
float16 (N, D); attributes of the file: ``extractor``, ``unit`` "um", ``tile_size_um``, ``tile_size_px``,
``feat_type``. STAMP takes one µm per pixel for both axes, that along x. Rows come in any order and are kept
so. Files without a unit, as older versions wrote them, are read in level-0 pixels if the user gives the
side of a patch.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np

from ... import __version__
from ...errors import InputError, ResolutionError
from .features import Facts, PatchFeatures, as_vectors, corner_boxes, mean_side
from .hdf5 import array, attributes, corners, number, opened, set_attributes, written
from .hdf5 import mismatch as hdf5_mismatch
from .hints import Hints
from .layout import Written

_LAYOUT_OF = "2.1.0"
"""The version of STAMP whose layout is written."""


def mismatch(path: Path) -> str | None:
    """Return why a file is not STAMP's."""

    def check(file: h5py.File) -> str | None:
        if not isinstance(file.get("feats"), h5py.Dataset):
            return "no dataset feats"
        placed = "coords" in file or file.attrs.get("feat_type", "tile") != "tile"
        return None if placed else "no dataset coords"

    return hdf5_mismatch(path, check)


def read(path: Path, hints: Hints) -> PatchFeatures:
    """Read tile features."""
    with opened(path) as file:
        facts = attributes(file.attrs)
        kind = facts.get("feat_type", "tile")
        if kind != "tile":
            raise InputError(
                f"{path} holds a {kind}'s features, which have no places. Open those of its tiles."
            )
        xy, values = corners(file), array(file, "feats")
    vectors, precision = as_vectors(values, path)
    size, side_um = number(facts, "tile_size_px", path), number(facts, "tile_size_um", path)
    known = Facts(
        name=path.stem,
        encoder=facts.get("extractor"),
        patch_px=None if size is None else round(size),
        mpp=side_um / size if size and side_um else None,
        precision=precision,
    )
    if facts.get("unit") == "um":
        mpp = hints.mpp(path, "places its tiles in µm")
        if side_um is None:
            raise InputError(f"{path} has no attribute tile_size_um.")
        boxes = corner_boxes(xy.astype(np.float64) / mpp, side_um / mpp)
    elif "unit" in facts:
        raise InputError(f"{path} places its tiles in {facts['unit']!r}; only 'um' is known.")
    else:
        boxes = corner_boxes(xy, hints.side(path, xy))
    return PatchFeatures(vectors, boxes, hints.complete(known))


def write(features: PatchFeatures, folder: Path) -> Written:
    """Write tile features; vectors become float16, as STAMP's are. Raises ResolutionError without mpp."""
    patches, facts = features.flat(), features.facts
    if facts.slide_mpp is None:
        raise ResolutionError(
            f"{facts.name}: STAMP places tiles in µm. Give the slide, or its µm per level-0 pixel: mpp=0.5 "
            "in Python, --mpp 0.5 on the command line."
        )
    patches.squares()
    with np.errstate(over="ignore"):
        halves = patches.vectors.astype(np.float16)
    if not np.isfinite(halves).all():
        raise InputError(
            f"{facts.name}: vectors reach {np.abs(patches.vectors).max():.3g}, more than float16 holds, "
            "which STAMP's files have. Choose another layout."
        )
    side_um = mean_side(patches.boxes) * facts.slide_mpp
    code = hashlib.sha256(f"napari-hwsi {__version__}".encode()).hexdigest()[:8]
    path = folder / f"{facts.label}-{code}" / f"{facts.name}.h5"
    with written(path) as file:
        file["coords"] = (patches.boxes[:, 1::-1] * facts.slide_mpp).astype(np.float32)
        file["feats"] = halves
        about = {
            "stamp_version": _LAYOUT_OF,
            "extractor": facts.encoder,
            "unit": "um",
            "tile_size_um": side_um,
            "tile_size_px": facts.patch_px or round(mean_side(patches.boxes)),
            "code_hash": code,
            "feat_type": "tile",
        }
        set_attributes(file.attrs, about)
    rounded = [] if (halves == patches.vectors).all() else ["digits of the vectors beyond float16"]
    return Written((path,), (*features.left_out("encoder"), *rounded))
