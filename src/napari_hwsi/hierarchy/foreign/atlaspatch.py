"""AtlasPatch (AtlasAnalyticsLab): places and the features of any number of encoders in one HDF5 file.

``patches/<name>.h5``: ``coords`` int32 (N, 5) of x, y, read_w, read_h, level, x and y of the top left in
level-0 pixels; ``passports`` S160, a line of text a patch; ``features/<encoder>`` float32 (N, D). The
attributes of the file give ``patch_size`` at the target magnification and ``patch_size_level0``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np

from ...errors import InputError
from .features import Facts, PatchFeatures, as_vectors, corner_boxes
from .hdf5 import array, attributes, corners, number, opened, set_attributes, written
from .hdf5 import mismatch as hdf5_mismatch
from .hints import Hints
from .layout import Written

_CHUNK = 4096
_PASSPORT = "{stem}__x{X}_y{Y}_rw{RW}_rh{RH}_lv{LV}_mag{MAG}_tmag{TMAG}_total{TOTAL}"


def mismatch(path: Path) -> str | None:
    """Return why a file is not AtlasPatch's."""

    def check(file: h5py.File) -> str | None:
        coords = file.get("coords")
        if not isinstance(coords, h5py.Dataset):
            return "no dataset coords"
        return None if coords.ndim == 2 and coords.shape[1] == 5 else "coords is not (N, 5)"

    return hdf5_mismatch(path, check)


def read(path: Path, hints: Hints) -> PatchFeatures:
    """Read the features of one encoder, or places alone where there are none."""
    with opened(path) as file:
        xy, facts = corners(file, columns=5)[:, :2], attributes(file.attrs)
        group = file.get("features")
        held = sorted(group) if isinstance(group, h5py.Group) else []
        encoder = _chosen(path, held, hints.encoder)
        values = array(file, f"features/{encoder}") if encoder else np.empty((len(xy), 0), np.float32)
    vectors, precision = as_vectors(values, path)
    width, height = number(facts, "level0_width", path), number(facts, "level0_height", path)
    size, overlap = number(facts, "patch_size", path), number(facts, "overlap", path)
    known = Facts(
        name=path.stem,
        encoder=encoder,
        patch_px=None if size is None else round(size),
        overlap_px=None if overlap is None else round(overlap),
        slide_mpp=number(facts, "mpp", path),
        slide_shape=(int(height), int(width)) if height and width else None,
        slide_magnification=number(facts, "level0_magnification", path),
        magnification=number(facts, "target_magnification", path),
        slide_path=facts.get("wsi_path"),
        precision=precision,
    )
    side = number(facts, "patch_size_level0", path) or hints.side(path, xy)
    return PatchFeatures(vectors, corner_boxes(xy, side), hints.complete(known))


def write(features: PatchFeatures, folder: Path) -> Written:
    """Write the one file, as if patches had been read at level 0."""
    patches = features.flat()
    xy, side = patches.squares()
    facts = features.facts
    count = len(xy)
    height, width = facts.slide_shape or (0, 0)
    source, target = (known or 0 for known in facts.magnifications())
    coords = np.column_stack([xy, np.full((count, 2), side), np.zeros(count)]).astype(np.int32)
    passports = [
        f"{facts.name}__x{x}_y{y}_rw{side}_rh{side}_lv0_mag{source:g}_tmag{target:g}_total{count}"
        for x, y in xy
    ]
    path = folder / "patches" / f"{facts.name}.h5"
    with written(path) as file:
        file.create_dataset("coords", data=coords, maxshape=(None, 5), chunks=(_CHUNK, 5))
        lines = np.array(passports, "S160").reshape(-1)
        file.create_dataset("passports", data=lines, maxshape=(None,), chunks=(_CHUNK,))
        if dimensions := patches.vectors.shape[1]:
            shape = {"maxshape": (None, dimensions), "chunks": (256, dimensions)}
            name = f"features/{facts.label}"
            file.create_dataset(name, data=patches.vectors, dtype=np.float32, **shape)
        about = {
            "patch_size": facts.patch_px or side,
            "patch_size_level0": side,
            "level0_magnification": int(source),
            "target_magnification": int(target),
            "overlap": facts.overlap_px or 0,
            "level0_width": width,
            "level0_height": height,
            "wsi_path": facts.slide_path,
            "passport_format": _PASSPORT,
            "passport_version": 2,
            "creation_date": datetime.now(UTC).isoformat(),
            "num_patches": count,
            "filename": path.name,
            "mpp": facts.slide_mpp,
            "magnification": int(source),
        }
        set_attributes(file.attrs, about)
    return Written((path,), tuple(features.left_out("encoder")))


def _chosen(path: Path, held: list[str], wanted: str | None) -> str | None:
    """Return which encoder's features to read; raises InputError where that is open or missing."""
    if wanted in held or not held:
        return wanted if held else None
    if wanted is None and len(held) == 1:
        return held[0]
    said = "Say which" if wanted is None else f"{wanted} is none of them; choose one"
    raise InputError(
        f"{path} holds the features of {', '.join(held)}. {said}: encoder=… in Python, --encoder on the "
        "command line."
    )
