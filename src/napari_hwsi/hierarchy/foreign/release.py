"""The files behind the released MLLM-HWSI: a folder a kind, a file a slide.

=====================================  ================================================================
``patches/<name>.pt``                  [R, 256, 512], the 16 x 16 patches of each region, row by row
``patches_filtered/<name>.pt``         selected_features [R, 16, 512], selected_indices [R, 16] (by relevance)
``region_4k/<name>.pt``                [R, 192]
``wsi/<name>.pt``                      [192]
``coords_region4096_valid/<name>.h5``  coords [R, 2], x and y of the top left, level-0 pixels
``cells/<name>/encoded_cell_features   encoded_cell_features [R, 16, 384], selected_patch_cell_level_indices
.pt``                                  [R, 16], region_coords_level0 [R, 2], region_has_detail_dump [R],
                                       feature_dim
=====================================  ================================================================

Any of these can be opened, or the folder above them; what lies beside it is taken with it, and only the
coordinates must be there. A region is 4096 px of 0.5 µm. A patch whose vector is all 0 has none. The
numbers of kept patches that a region lacks are −1 here, in the files that this writes, and their features 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...tissue import MPP, PATCH_PX, PER_SIDE, REGION_PX
from .features import Facts, Floats, PatchFeatures, Regions, as_vectors, corner_boxes, grid_boxes
from .hdf5 import corners, opened, written
from .hints import Hints
from .layout import Written
from .tensors import as_array, load, load_array, save, tensor

_COORDS, _PATCHES, _KEPT = "coords_region4096_valid", "patches", "patches_filtered"
_REGIONS, _SLIDE, _CELLS, _CELL_FILE = "region_4k", "wsi", "cells", "encoded_cell_features.pt"
_PER_REGION = PER_SIDE**2
_KEEP = 16


def mismatch(path: Path) -> str | None:
    """Return why a file or folder is not the release's."""
    root, name = _root(path)
    if root is None:
        return f"no folder {_COORDS}, and not a file of one of its neighbours"
    if name is not None and not _coords(root, name).is_file():
        return f"no {_COORDS}/{name}.h5"
    return None


def read(path: Path, hints: Hints) -> PatchFeatures:
    """Read all that there is of one slide. Raises ResolutionError where the size of a region is unknown."""
    root, own = _root(path)
    assert root is not None  # mismatch() has looked
    name = own or hints.name or _only(root)
    coords = _coords(root, name)
    with opened(coords) as file:
        xy = corners(file)
    count = len(xy)
    boxes = corner_boxes(xy, _region_sides(coords, hints))
    facts = Facts(name, patch_px=PATCH_PX, overlap_px=0, mpp=MPP)
    vectors, valid, precision = _vectors(root, name, count)
    kept, tokens, has_cells = _cells(root, name, count)
    region_file, slide_file = (root / folder / f"{name}.pt" for folder in (_REGIONS, _SLIDE))
    regions = Regions(
        boxes,
        _PER_REGION,
        as_vectors(load_array(region_file, count, None), region_file)[0] if region_file.is_file() else None,
        kept,
        tokens,
        has_cells,
    )
    return PatchFeatures(
        vectors,
        grid_boxes(boxes, PER_SIDE),
        hints.complete(replace(facts, precision=precision)),
        valid,
        regions,
        as_vectors(load_array(slide_file, None), slide_file, 1)[0] if slide_file.is_file() else None,
    )


def write(features: PatchFeatures, folder: Path) -> Written:
    """Write all that there is of one slide. Raises InputError where there are no regions of 16 x 16."""
    regions, name = features.regions, features.facts.name
    if regions is None or regions.per_region != _PER_REGION:
        raise InputError(
            f"{name}: the release's files are of regions of {PER_SIDE} x {PER_SIDE} patches, which these "
            "features do not have. Choose another layout."
        )
    count, width = len(regions.boxes), features.vectors.shape[1]
    corner = np.rint(regions.boxes[:, 1::-1]).astype(np.int64)
    files = [_coords(folder, name)]
    with written(files[0]) as file:
        file.create_dataset("coords", data=corner)
    table = features.vectors.reshape(count, _PER_REGION, width)
    if width:
        files.append(save(folder / _PATCHES / f"{name}.pt", tensor(table)))
    if regions.kept is not None and width:
        kept = _widened(regions.kept)
        chosen = np.take_along_axis(table, np.maximum(kept, 0)[..., None], 1) * (kept >= 0)[..., None]
        both = {"selected_features": tensor(chosen), "selected_indices": tensor(kept)}
        files.append(save(folder / _KEPT / f"{name}.pt", both))
    if regions.vectors is not None:
        files.append(save(folder / _REGIONS / f"{name}.pt", tensor(regions.vectors)))
    if features.slide_vector is not None:
        files.append(save(folder / _SLIDE / f"{name}.pt", tensor(features.slide_vector)))
    if regions.tokens is not None and regions.kept is not None:
        files.append(save(folder / _CELLS / name / _CELL_FILE, _cell_file(regions, corner)))
    return Written(tuple(files), tuple(features.left_out("masked", "slide", "regions", "kept", "cells")))


def _cell_file(regions: Regions, corner: NDArray[np.int64]) -> dict[str, Any]:
    assert regions.tokens is not None  # write() has looked
    assert regions.kept is not None
    kept = _widened(regions.kept)
    spare = kept.shape[1] - regions.tokens.shape[1]
    tokens = np.pad(regions.tokens, ((0, 0), (0, spare), (0, 0)))
    looked = np.ones(len(kept), bool) if regions.has_cells is None else regions.has_cells
    return {
        "encoded_cell_features": tensor(tokens),
        "selected_patch_cell_level_indices": tensor(kept),
        "region_coords_level0": tensor(corner),
        "region_has_detail_dump": tensor(looked),
        "feature_dim": tokens.shape[2],
    }


def _widened(kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return kept patches, at least 16 columns of them."""
    return np.pad(kept, ((0, 0), (0, max(0, _KEEP - kept.shape[1]))), constant_values=-1)


def _vectors(root: Path, name: str, count: int) -> tuple[Floats, NDArray[np.bool_], str]:
    """Return patch vectors (R · 256, W), which of them there are, and their precision."""
    file, kept_file = root / _PATCHES / f"{name}.pt", root / _KEPT / f"{name}.pt"
    if file.is_file():
        values, precision = as_vectors(load_array(file, count, _PER_REGION, None), file, 3)
    elif kept_file.is_file():
        held = _table(kept_file)
        chosen, precision = as_vectors(
            _part(held, "selected_features", kept_file, count, None, None), kept_file, 3
        )
        kept = _indices(held, "selected_indices", kept_file, count)
        values = np.zeros((count, _PER_REGION, chosen.shape[2]), np.float32)
        region, column = np.nonzero(kept >= 0)
        values[region, kept[region, column]] = chosen[region, column]
    else:
        values, precision = np.zeros((count, _PER_REGION, 0), np.float32), "float32"
    vectors = values.reshape(count * _PER_REGION, values.shape[2])
    return vectors, np.asarray(vectors.any(1)), precision


def _cells(
    root: Path, name: str, count: int
) -> tuple[NDArray[np.int64] | None, Floats | None, NDArray[np.bool_] | None]:
    """Return kept patches, their cell vectors, and which regions were looked at; None for what is missing."""
    kept_file, cell_file = root / _KEPT / f"{name}.pt", root / _CELLS / name / _CELL_FILE
    kept = None
    if kept_file.is_file():
        kept = _indices(_table(kept_file), "selected_indices", kept_file, count)
    if not cell_file.is_file():
        return kept, None, None
    held = _table(cell_file)
    own = _indices(held, "selected_patch_cell_level_indices", cell_file, count)
    if kept is not None and not np.array_equal(kept, own):
        raise InputError(f"{cell_file} was made of other patches than {kept_file} keeps. Make it again.")
    tokens, _ = as_vectors(_part(held, "encoded_cell_features", cell_file, count, None, None), cell_file, 3)
    return own, tokens, _part(held, "region_has_detail_dump", cell_file, count).astype(bool)


def _table(file: Path) -> Mapping[str, Any]:
    held = load(file)
    if not isinstance(held, Mapping):
        raise InputError(f"{file} holds a {type(held).__name__}, not tensors by name.")
    return held


def _part(held: Mapping[str, Any], name: str, file: Path, *shape: int | None) -> NDArray[Any]:
    if name not in held:
        raise InputError(f"{file} has no {name}. It has: {', '.join(map(str, held)) or 'nothing'}.")
    return as_array(held[name], f"{name} of {file}", *shape)


def _indices(held: Mapping[str, Any], name: str, file: Path, count: int) -> NDArray[np.int64]:
    values = _part(held, name, file, count, None)
    if values.dtype.kind not in "iu":
        raise InputError(f"{name} of {file} is {values.dtype}, not whole numbers.")
    indices = values.astype(np.int64)
    if ((indices < -1) | (indices >= _PER_REGION)).any():
        raise InputError(f"{name} of {file} are not all of 0 to {_PER_REGION - 1}.")
    return indices


def _region_sides(coords: Path, hints: Hints) -> tuple[float, float]:
    """Return the (height, width) of a region, level-0 px."""
    if hints.patch_px is not None:
        return (hints.patch_px * PER_SIDE,) * 2
    mpp = hints.mpp(coords, "has regions of 2048 µm")
    if hints.slide is not None and hints.slide.mpp is not None:
        y, x = hints.slide.scale_at(MPP).downsample
        return y * REGION_PX, x * REGION_PX
    return (MPP / mpp * REGION_PX,) * 2


def _root(path: Path) -> tuple[Path | None, str | None]:
    """Return the folder above all kinds, and the slide that a file is of."""
    if path.is_dir():
        return (path, None) if (path / _COORDS).is_dir() else (None, None)
    if path.name == _CELL_FILE and path.parents[1].name == _CELLS:
        return path.parents[2], path.parent.name
    if path.parent.name in (_COORDS, _PATCHES, _KEPT, _REGIONS, _SLIDE):
        return path.parents[1], path.stem
    return None, None


def _coords(root: Path, name: str) -> Path:
    return root / _COORDS / f"{name}.h5"


def _only(root: Path) -> str:
    names = sorted(file.stem for file in (root / _COORDS).glob("*.h5"))
    if len(names) == 1:
        return names[0]
    some = f"{', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
    raise InputError(
        f"{root} holds {len(names)} slides ({some}). Say which: name=… in Python, --name as a command; "
        "or open one slide's file."
    )
