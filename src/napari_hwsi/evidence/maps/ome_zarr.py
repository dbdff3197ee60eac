"""Maps of a slide as one OME-Zarr image (version 0.5, https://ngff.openmicroscopy.org/0.5/)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ...errors import InputError
from ...progress import Progress, tell
from .score_map import Pixels, ScoreMap, pixels_for

_CHUNK = 256
_SMALLEST = 64  # px; levels are added until the longer side is not larger
_COLOURS = ("0072B2", "E69F00", "009E73", "CC79A7", "56B4E9", "D55E00", "F0E442")  # Okabe and Ito, 2008
_FACTS = "napari-hwsi"
_FEW = 1024
_MOST_PROPERTIES = 20_000  # units; those of more are in the tables alone


def write_ome_zarr(
    maps: Sequence[ScoreMap], path: Path, step_um: float | None = None, progress: Progress | None = None
) -> None:
    """Write maps of one slide as the channels of one pyramid, with the units of each scale as labels.

    Image: float32 (c, y, x) in µm of the slide, NaN where no unit lies; a level halves the one before by the
    mean of what is known. Labels: an image per scale, int32, of 1 + the row of the unit at a pixel; their
    properties hold scores and boxes, up to 20,000 units; ``tables`` holds those of all. Written in blocks of
    rows, so memory does not grow with the height of a slide; there whole, or not at all.
    Raises InputError for maps that do not belong together, and for a folder that holds something else:
    it is left as it is; OSError where nothing can be written.
    """
    grid = pixels_for(maps, step_um)
    if path.exists():
        try:
            read_ome_zarr(path)
        except InputError as error:
            raise InputError(f"{path} holds no maps of napari-hwsi. Choose another name.") from error
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        _write(part, maps, grid, path.name, progress)
        if path.exists():
            shutil.rmtree(path)
        part.rename(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def read_ome_zarr(path: Path) -> list[ScoreMap]:
    """Read the maps that :func:`write_ome_zarr` wrote; raises InputError for another image."""
    try:
        group = zarr.open_group(path, mode="r")
        facts = dict(group.attrs).get(_FACTS)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not an OME-Zarr image that can be read: {error}") from error
    if not isinstance(facts, dict) or "maps" not in facts:
        raise InputError(
            f"{path} holds no maps of napari-hwsi; open it in napari as any other OME-Zarr image."
        )
    y, x = facts["shape"]
    mpp = facts["mpp"][0], facts["mpp"][1]
    return [
        ScoreMap(
            one["name"],
            one["scale"],
            one["kind"],
            np.asarray(group[f"tables/{i}/scores"]),
            np.asarray(group[f"tables/{i}/boxes"]),
            (y, x),
            mpp,
            one["values"],
        )
        for i, one in enumerate(facts["maps"])
    ]


def _write(
    folder: Path, maps: Sequence[ScoreMap], grid: Pixels, name: str, progress: Progress | None
) -> None:
    group = zarr.create_group(folder, zarr_format=3)
    first = maps[0]
    shapes = pyramid_shapes(grid.shape)
    levels = [
        group.create_array(
            str(k),
            shape=(len(maps), *shape),
            chunks=(1, _CHUNK, _CHUNK),
            dtype="float32",
            fill_value=np.nan,
            dimension_names=("c", "y", "x"),
        )
        for k, shape in enumerate(shapes)
    ]
    scales = _by_scale(maps)
    total = len(maps) + len(scales)
    for c, one in enumerate(maps):
        _fill(levels, c, one.blocks(grid), halved_mean)
        tell(progress, c + 1, total, "maps")
    labels = group.create_group("labels")
    for i, (scale, one) in enumerate(scales.items()):
        _write_labels(labels, _plural(scale), one, [m for m in maps if m.scale == scale], grid, shapes)
        tell(progress, len(maps) + i + 1, total, "maps")
    labels.attrs["ome"] = {"version": "0.5", "labels": [_plural(scale) for scale in scales]}
    tables = group.create_group("tables")
    for i, one in enumerate(maps):
        table = tables.create_group(str(i))
        table.create_array("scores", data=one.scores)
        table.create_array("boxes", data=one.boxes)
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [_multiscales(grid, first, shapes, name, channels=True)],
        "omero": {"channels": [_channel(one, i) for i, one in enumerate(maps)], "rdefs": {"model": "color"}},
    }
    group.attrs[_FACTS] = {
        "note": "Research use only: not for diagnosis.",
        "shape": list(first.shape),
        "mpp": list(first.mpp),
        "maps": [
            {"name": one.name, "scale": one.scale, "kind": one.kind, "values": one.values} for one in maps
        ],
    }


def _by_scale(maps: Sequence[ScoreMap]) -> dict[str, ScoreMap]:
    """Return the first map of each scale, of those with units."""
    out: dict[str, ScoreMap] = {}
    for one in maps:
        if len(one.scores):
            out.setdefault(one.scale, one)
    return out


def _write_labels(
    labels: zarr.Group,
    name: str,
    units: ScoreMap,
    maps: Sequence[ScoreMap],
    grid: Pixels,
    shapes: Sequence[tuple[int, int]],
) -> None:
    """Write where the units of one scale lie; a unit in front of another has the higher row."""
    group = labels.create_group(name)
    levels = [
        group.create_array(
            str(k), shape=shape, chunks=(_CHUNK, _CHUNK), dtype="int32", dimension_names=("y", "x")
        )
        for k, shape in enumerate(shapes)
    ]
    spans = grid.spans(units.boxes)
    _fill(levels, None, _label_blocks(spans, grid.shape), _halved_first)
    same = [one for one in maps if len(one.scores) == len(units.scores)]
    properties = [
        {"label-value": row + 1, "box": box}
        | {one.name: float(one.scores[row]) for one in same if np.isfinite(one.scores[row])}
        for row, box in enumerate(units.boxes.tolist() if len(units.boxes) <= _MOST_PROPERTIES else ())
    ]
    about: dict[str, Any] = {"source": {"image": "../../"}}
    if properties:
        about["properties"] = properties
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [_multiscales(grid, units, shapes, name, channels=False)],
        "image-label": about,
    }


def _label_blocks(spans: NDArray[np.int64], shape: tuple[int, int]) -> Iterator[NDArray[np.int32]]:
    """Yield rows of pixels with 1 + the last of the spans that holds each, 0 where none does."""
    height, width = shape
    tall, wide = (int((spans[:, k + 2] - spans[:, k]).max(initial=1)) for k in (0, 1))
    order = np.argsort(spans[:, 0], kind="stable")
    starts = spans[order, 0]
    for top in range(0, height, _CHUNK):
        rows = min(_CHUNK, height - top)
        block = np.zeros((rows, width), np.int32)
        near = order[np.searchsorted(starts, top - tall + 1) : np.searchsorted(starts, top + rows)]
        near.sort()
        if len(near) <= _FEW or tall * wide > _FEW:
            for row in near:
                y0, x0, y1, x1 = spans[row]
                block[max(y0 - top, 0) : max(y1 - top, 0), x0:x1] = row + 1
        else:  # very many, all small
            for dy, dx in np.ndindex(tall, wide):
                y, x = spans[near, 0] + dy, spans[near, 1] + dx
                here = (y < spans[near, 2]) & (x < spans[near, 3]) & (y >= top) & (y < top + rows)
                np.maximum.at(block, (y[here] - top, x[here]), near[here] + 1)
        yield block


def _fill(
    levels: Sequence[zarr.Array[Any]], channel: int | None, blocks: Iterator[NDArray[Any]], halve: Any
) -> None:
    """Write rows to the finest level and, from what was written, the coarser ones."""
    top = 0
    for block in blocks:
        _rows(levels[0], channel, top, block)
        top += len(block)
    for finer, coarser in pairwise(levels):
        height = coarser.shape[-2]
        for start in range(0, height, _CHUNK):
            rows = slice(2 * start, 2 * (start + _CHUNK))
            above = np.asarray(finer[rows] if channel is None else finer[channel, rows])
            _rows(coarser, channel, start, halve(above)[: height - start])


def _rows(level: zarr.Array[Any], channel: int | None, top: int, block: NDArray[Any]) -> None:
    rows = slice(top, top + len(block))
    if channel is None:
        level[rows] = block
    else:
        level[channel, rows] = block


def halved_mean(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means of what is known in 2 x 2 px, NaN where nothing is."""
    padded = np.pad(block, [(0, n % 2) for n in block.shape], constant_values=np.nan)
    squares = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2)
    known = np.isfinite(squares)
    count = known.sum((1, 3))
    total = np.where(known, squares, 0).sum((1, 3))
    return np.divide(total, count, out=np.full(total.shape, np.nan, np.float32), where=count > 0)


def _halved_first(block: NDArray[np.int32]) -> NDArray[np.int32]:
    return block[::2, ::2]


def pyramid_shapes(finest: tuple[int, int]) -> list[tuple[int, int]]:
    shapes = [finest]
    while max(shapes[-1]) > _SMALLEST:
        y, x = shapes[-1]
        shapes.append((-(-y // 2), -(-x // 2)))
    return shapes


def _multiscales(
    grid: Pixels, one: ScoreMap, shapes: Sequence[tuple[int, int]], name: str, channels: bool
) -> dict[str, Any]:
    lead = [1.0] if channels else []
    corner = [start * mpp for start, mpp in zip(grid.origin, one.mpp, strict=True)]
    step = [size * mpp for size, mpp in zip(grid.step, one.mpp, strict=True)]
    datasets = []
    for k in range(len(shapes)):
        side = [size * 2**k for size in step]
        middle = [start + size / 2 for start, size in zip(corner, side, strict=True)]
        datasets.append(
            {
                "path": str(k),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [*lead, *side]},
                    {"type": "translation", "translation": [*(0.0 for _ in lead), *middle]},
                ],
            }
        )
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in ("y", "x")]
    return {
        "name": name,
        "axes": [{"name": "c", "type": "channel"}, *axes] if channels else axes,
        "datasets": datasets,
        "type": "mean" if channels else "nearest",
    }


def _channel(one: ScoreMap, number: int) -> dict[str, Any]:
    low, high = one.limits
    return {
        "label": one.name,
        "color": _COLOURS[number % len(_COLOURS)],
        "active": number == 0,
        "window": {"min": low, "max": high, "start": low, "end": high},
    }


def _plural(scale: str) -> str:
    return "patches" if scale == "patch" else f"{scale}s"
