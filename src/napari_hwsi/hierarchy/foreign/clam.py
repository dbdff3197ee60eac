"""CLAM (mahmoodlab): places in ``patches``, bags of features in ``h5_files`` and ``pt_files``.

``patches/<name>.h5``: ``coords`` int (N, 2), x and y of the top left in level-0 pixels, with the attributes
``patch_size`` (at ``patch_level``) and ``downsample`` (of that level, x and y); the level-0 side is their
product, and that of ``custom_downsample`` in older files. ``h5_files/<name>.h5``: ``features`` float32 (N,
D) and ``coords`` int32, without any attribute, so the side is taken from ``patches/<name>.h5``, looked for
in the folders above, or from the user. ``pt_files/<name>.pt``: the features alone. Any of the three can be
opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .features import Facts, PatchFeatures, as_vectors, corner_boxes
from .hdf5 import array, attributes, corners, grow, number, opened, written
from .hdf5 import mismatch as hdf5_mismatch
from .hints import Hints
from .layout import Written
from .tensors import load_array, save, tensor

_BAGS, _TENSORS, _PLACES = "h5_files", "pt_files", "patches"


def mismatch(path: Path) -> str | None:
    """Return why a file is not CLAM's."""
    if path.suffix == ".pt":
        return None if path.parent.name == _TENSORS else f"a .pt file, but not in a folder {_TENSORS}"

    def check(file: h5py.File) -> str | None:
        if not isinstance(file.get("coords"), h5py.Dataset):
            return "no dataset coords"
        if file["coords"].attrs and "patch_level" not in file["coords"].attrs:
            return "coords has attributes, but not patch_level"
        if not file["coords"].attrs and not isinstance(file.get("features"), h5py.Dataset):
            return "neither features nor an attribute patch_level of coords"
        return None

    return hdf5_mismatch(path, check)


def read(path: Path, hints: Hints) -> PatchFeatures:
    """Read a bag of features, or places alone."""
    bag = path.parents[1] / _BAGS / f"{path.stem}.h5" if path.suffix == ".pt" else path
    places = _places_file(path)
    if not bag.exists():
        if places is None:
            raise InputError(
                f"{path} holds vectors alone, and neither {bag} nor {_PLACES}/{path.stem}.h5 is there to say "
                "where they belong."
            )
        bag = places
    with opened(bag) as file:
        xy, own = corners(file), attributes(file["coords"].attrs)
        values = array(file, "features") if "features" in file else np.empty((len(xy), 0), np.float32)
    if path.suffix == ".pt":
        values = load_array(path, None, None)
    vectors, precision = as_vectors(values, path)
    facts = own
    if "patch_level" not in own and places is not None:
        with opened(places) as file:
            facts = attributes(file["coords"].attrs)
    side = _side(places or bag, facts) or (hints.side(path, xy),) * 2
    level_0 = _pair(facts.get("level_dim")) if number(facts, "patch_level", path) == 0 else None
    size = number(facts, "patch_size", path)
    known = Facts(
        name=path.stem,
        patch_px=None if size is None else round(size),
        slide_shape=(int(level_0[0]), int(level_0[1])) if level_0 else None,
        precision=precision,
    )
    return PatchFeatures(vectors, corner_boxes(xy, side), hints.complete(known))


def write(features: PatchFeatures, folder: Path) -> Written:
    """Write places and both forms of the features, as if patches had been read at level 0.

    Raises InputError where the size of the slide, which these files state, is unknown.
    """
    patches = features.flat()
    xy, side = patches.squares()
    facts = features.facts
    if facts.slide_shape is None:
        raise InputError(f"{facts.name}: CLAM's files state the size of the slide. Give the slide with it.")
    size = np.array(facts.slide_shape[::-1])
    file_path = folder / _PLACES / f"{facts.name}.h5"
    with written(file_path) as file:
        level = {
            "patch_size": side,
            "patch_level": 0,
            "downsample": np.ones(2),
            "downsampled_level_dim": size,
            "level_dim": size,
            "name": facts.name,
            "save_path": str(file_path.parent),
        }
        grow(file, "coords", xy, level)
    files = [file_path]
    if patches.vectors.shape[1]:
        files.append(folder / "features" / _BAGS / f"{facts.name}.h5")
        with written(files[-1]) as file:
            grow(file, "features", patches.vectors)
            grow(file, "coords", xy.astype(np.int32))
        files.append(save(folder / "features" / _TENSORS / f"{facts.name}.pt", tensor(patches.vectors)))
    return Written(tuple(files), tuple(features.left_out()))


def _places_file(path: Path) -> Path | None:
    """Return the file of places that belongs to a bag: the nearest above it, the bag itself aside."""
    for folder in path.parents[1:4]:
        file = folder / _PLACES / f"{path.stem}.h5"
        if file.is_file():
            return file
    return None


def _side(path: Path, facts: dict[str, Any]) -> tuple[float, float] | None:
    """Return (height, width) in level-0 pixels, None where the attributes do not say."""
    size, down = number(facts, "patch_size", path), _pair(facts.get("downsample"))
    if size is None or (down is None and number(facts, "patch_level", path) != 0):
        return None
    custom = number(facts, "custom_downsample", path) or 1.0
    y, x = down or (1.0, 1.0)
    return size * y * custom, size * x * custom


def _pair(value: NDArray[Any] | None) -> tuple[float, float] | None:
    """Return an attribute of x and y as (y, x)."""
    if value is None or np.size(value) != 2:
        return None
    x, y = np.ravel(value)
    return float(y), float(x)
