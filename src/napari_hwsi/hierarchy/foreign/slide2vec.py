"""slide2vec (clemsgrs): tensors with a sidecar of facts, and places by hs2p.

``tile_embeddings/<name>.pt`` (N, D), ``hierarchical_embeddings/<name>.pt`` (R, T, D) of the T tiles of each
region, row by row, and ``slide_embeddings/<name>.pt`` (D,), each with ``<name>.meta.json``;
``tiles/<name>.coordinates.npz`` holds ``tile_index`` int32, ``x`` and ``y`` int64 of the top left in
level-0 pixels, and ``tissue_fractions`` float32, of tiles or, where there are regions, of these.
``tile_size_lv0`` of the sidecar is the side of a tile. Any of the three tensors can be opened; the slide
vector is taken from beside the others. A tile of a region whose vector is all 0 has none.
"""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...disk import write_whole, written_whole
from ...errors import InputError
from .features import Facts, Floats, Indices, PatchFeatures, Regions, as_vectors, corner_boxes, grid_boxes
from .hdf5 import number
from .hints import Hints
from .layout import Written
from .tensors import load_array, save, tensor

_TILES, _REGIONS, _SLIDES = "tile_embeddings", "hierarchical_embeddings", "slide_embeddings"


def mismatch(path: Path) -> str | None:
    """Return why a file is not slide2vec's."""
    if path.suffix != ".pt" or path.parent.name not in (_TILES, _REGIONS, _SLIDES):
        return f"not a .pt file in a folder {_TILES}, {_REGIONS} or {_SLIDES}"
    return None if _sidecar(path).is_file() else f"no {_sidecar(path).name} beside it"


def read(path: Path, hints: Hints) -> PatchFeatures:
    """Read tiles, tiles by region, or the slide vector with the tiles it was made of."""
    root = path.parents[1]
    slide = root / _SLIDES / path.name
    slide_vector = as_vectors(load_array(slide, None), slide, 1)[0] if slide.is_file() else None
    if path.parent.name == _SLIDES:
        tiles = root / _TILES / path.name
        path = tiles if tiles.is_file() else path
    meta = _facts(path)
    xy = _places(path, meta)
    known = Facts(
        name=path.stem,
        encoder=meta.get("encoder_name"),
        patch_px=_whole(number(meta, "requested_tile_size_px", _sidecar(path))),
        mpp=number(meta, "requested_spacing_um", _sidecar(path)),
        slide_path=meta.get("image_path"),
    )
    side = number(meta, "tile_size_lv0", _sidecar(path)) or hints.side(path, xy)
    if path.parent.name == _REGIONS:
        return _by_region(path, xy, side, hints.complete(known), slide_vector)
    values = (
        np.empty((len(xy), 0), np.float32) if path.parent.name == _SLIDES else load_array(path, None, None)
    )
    vectors, precision = as_vectors(values, path)
    facts = hints.complete(replace(known, precision=precision))
    return PatchFeatures(vectors, corner_boxes(xy, side), facts, slide_vector=slide_vector)


def write(features: PatchFeatures, folder: Path) -> Written:
    """Write tiles by region where there are regions, else tiles; and the slide vector."""
    facts, regions = features.facts, features.regions
    patches = features if regions else features.flat()
    width = patches.vectors.shape[1]
    _, side = patches.squares()
    corners = regions.boxes[:, 1::-1] if regions else patches.boxes[:, 1::-1]
    places = folder / "tiles" / f"{facts.name}.coordinates.npz"
    x, y = np.rint(corners).astype(np.int64).T
    _save_places(places, x, y)
    values: NDArray[Any] = patches.vectors.astype(facts.precision)
    count = {"num_tiles": len(values)}
    if regions:
        values = values.reshape(len(regions.boxes), regions.per_region, width)
        count |= {"num_regions": len(values), "tiles_per_region": regions.per_region}
    about = {
        "sample_id": facts.name,
        "backend": None,
        "coordinates_npz_path": str(places.resolve()),
        "coordinates_meta_path": None,
        "encoder_name": facts.encoder,
        "format": "pt",
        "image_path": facts.slide_path,
        "mask_path": None,
        "read_tile_size_px": side,
        "requested_tile_size_px": facts.patch_px or side,
        "encoder_input_size_px": facts.patch_px or side,
        "requested_spacing_um": facts.mpp,
        "tile_size_lv0": side,
    }
    files = [places]
    kind = _REGIONS if regions else _TILES
    files += _save(folder / kind / f"{facts.name}.pt", values, about | count | {"encoder_level": "tile"})
    if features.slide_vector is not None:
        slide = folder / _SLIDES / f"{facts.name}.pt"
        files += _save(slide, features.slide_vector, about | count | {"encoder_level": "slide"})
    held = ("slide", "encoder", "regions", "masked") if regions else ("slide", "encoder")
    notes = features.left_out(*held)
    if regions and regions.vectors is not None:
        notes.append("the region vectors")
    if regions and not features.valid.all():
        notes.append("the marks of places without a vector, which are zero")
    return Written(tuple(files), tuple(notes))


def _by_region(path: Path, xy: Indices, side: float, facts: Facts, slide: Floats | None) -> PatchFeatures:
    values, precision = as_vectors(load_array(path, len(xy), None, None), path, 3)
    per_region = values.shape[1]
    rows = math.isqrt(per_region)
    if rows * rows != per_region:
        raise InputError(f"{path} has {per_region} tiles a region, which are no square.")
    regions = Regions(corner_boxes(xy, side * rows), per_region)
    vectors = values.reshape(-1, values.shape[2])
    return PatchFeatures(
        vectors,
        grid_boxes(regions.boxes, rows),
        replace(facts, precision=precision),
        np.asarray(vectors.any(1)),
        regions,
        slide,
    )


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.stem}.meta.json")


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(_sidecar(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{_sidecar(path)} cannot be read: {error}.") from error
    if not isinstance(facts, dict):
        raise InputError(f"{_sidecar(path)} is not a table of facts.")
    return {name: value for name, value in facts.items() if value is not None}


def _places(path: Path, meta: dict[str, Any]) -> Indices:
    """Return x and y, (N, 2), from where the sidecar says, else from the usual place."""
    usual = path.parents[1] / "tiles" / f"{path.stem}.coordinates.npz"
    stated = Path(str(meta.get("coordinates_npz_path", usual)))
    file = stated if stated.is_file() else usual
    if not file.is_file() and meta.get("num_tiles") == 0:
        return np.empty((0, 2), np.int64)
    try:
        with np.load(file, allow_pickle=False) as data:
            index, x, y = (np.asarray(data[name]) for name in ("tile_index", "x", "y"))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{file} cannot be read as the places of {path}: {error}.") from error
    if x.ndim != 1 or x.shape != y.shape or not np.array_equal(index, np.arange(len(x))):
        raise InputError(f"{file}: x, y and tile_index are not of the same tiles, numbered from 0.")
    return np.stack([x, y], 1).astype(np.int64)


def _save_places(path: Path, x: Indices, y: Indices) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    index, fractions = np.arange(len(x), dtype=np.int32), np.ones(len(x), np.float32)
    with written_whole(path) as draft, draft.open("wb") as file:
        np.savez_compressed(file, tile_index=index, x=x, y=y, tissue_fractions=fractions)


def _save(path: Path, values: NDArray[Any], about: dict[str, Any]) -> list[Path]:
    kind = {
        "artifact_type": path.parent.name,
        "feature_dim": values.shape[-1],
        "feature_dtype": str(values.dtype),
    }
    save(path, tensor(values))
    text = json.dumps(about | kind, indent=2, sort_keys=True, ensure_ascii=False)
    write_whole(_sidecar(path), text.encode())
    return [path, _sidecar(path)]


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
