"""Cells of a slide or an image: tile by tile, each cell once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, TissueError
from ..progress import Progress, tell
from ..slides import Slide, slide_from_array
from ..tissue import TissueMask, measurable_stain, tissue_of
from ..units import Box, Mpp, as_box, as_mpp, intersect
from . import tiles as tiling
from .cells import Cells
from .pipeline import chosen_workers, run_tiles
from .seams import resolve_seams
from .segmenter import NetworkSegmenter, Segmenter, find_segmenter
from .store import TileStore
from .tiles import no_cells, tiles_of


def segment_cells(
    slide_or_image: Slide | NDArray[np.uint8],
    box: Sequence[float] | None = None,
    segmenter: str | Segmenter | None = None,
    device: str = "auto",
    mpp: float | Sequence[float] | None = None,
    store: str | Path | None = None,
    progress: Progress | None = None,
    tissue: TissueMask | None = None,
    workers: int | None = None,
    piece: Callable[[Cells], None] | None = None,
) -> Cells:
    """Find the cells of a slide, or of an image (Y, X, 3) uint8 RGB; RGBA is laid on white.

    box: (y0, x0, y1, x1) level-0 px, the cells whose centroid lies in it; the whole slide where
    None. segmenter: ``name`` or ``name:weights``, one made by hand, or None for the best that ships. mpp:
    µm per level-0 pixel where the slide states none. tissue: what :func:`tissue_of` gives where None; cells
    are kept where it allows them (:attr:`TissueMask.allowed`). Only tiles with tissue are visited, with
    a margin round each; rows stand in order of the tiles, then of y and x. store: a folder; tiles are
    kept there as they are done and a later run goes on from them, with the batches it began with.
    workers: processes that finish tiles beside this one, 0: none, None: as many as pay; the cells do not
    depend on it. progress hears of what comes before and of 'tiles', as each is done and while none is,
    and may raise Cancelled. piece: called in this thread with the cells of each tile as it is done (or read
    from the store), in any order, before doubles at seams are settled: something to show meanwhile.

    Raises InputError (not an RGB image, fluorescence, a box off the slide, an unknown
    segmenter, a mask of another slide), ResolutionError (no mpp), TissueError (a whole slide
    without tissue), StoreError, WeightsError and MissingDependencyError (a segmenter that is not here).
    """
    slide = _as_slide(slide_or_image, mpp)
    chosen = find_segmenter(segmenter, device)
    tell(progress, 0, 1, "looking at the stain")
    measurable_stain(slide)
    slide.require_mpp()
    within = slide.bounds if box is None else intersect(as_box(box), (0, 0, *slide.shape))
    if within is None:
        size = f"{slide.shape[0]} x {slide.shape[1]} px"
        raise InputError(f"The box {tuple(box or ())} does not meet {slide.name}, {size}.")
    tissue = tissue_of(slide, progress) if tissue is None else tissue
    tissue.check(slide)
    tiles = tiles_of(slide, within, chosen)
    visited = [i for i, tile in enumerate(tiles) if tissue.coverage(tile) > 0]
    if box is None and not visited:
        raise TissueError(f"No tissue was found on {slide.name}. Give a box to segment a place all the same.")
    tell(progress, 0, 1, "sampling the stain")
    fitted = chosen.fit(slide, tissue)
    batch = fitted.batch if isinstance(fitted, NetworkSegmenter) else 1
    kept = None if store is None else TileStore.open(store, _facts(slide, fitted, within, tissue, batch))
    found = _find(slide, tiles, visited, fitted, tissue, kept, batch, workers, progress, piece)
    tell(progress, 0, 1, "measuring neighbours")
    return found.with_neighbours(within, tissue)


def segment_owned(
    slide: Slide,
    box: Box,
    segmenter: str | Segmenter | None = None,
    mpp: float | Sequence[float] | None = None,
    progress: Progress | None = None,
    tissue: TissueMask | None = None,
    workers: int = 0,
    batch: int | None = None,
) -> Cells:
    """Find the cells whose centroid lies in the half-open ``box`` (level-0 px).

    Pixels are read with the segmenter's margin round the box, so the result does not depend on
    what is segmented elsewhere. mpp: µm per level-0 pixel where the slide states none; tissue:
    cells are kept where it allows them, anywhere where None. workers: as for :func:`segment_cells`.
    batch: tiles that a network is given at a time, the segmenter's own where None. Give a
    segmenter that is fitted to the slide when calling this box after box.
    """
    _as_slide(slide, mpp)
    chosen = find_segmenter(segmenter).fit(slide)
    within = intersect(box, (0, 0, *slide.shape))
    tiles = [] if within is None else tiles_of(slide, within, chosen)
    visited = [i for i, tile in enumerate(tiles) if tissue is None or tissue.coverage(tile) > 0]
    if batch is None:
        batch = chosen.batch if isinstance(chosen, NetworkSegmenter) else 1
    return _find(slide, tiles, visited, chosen, tissue, None, batch, workers, progress, None)


def _find(
    slide: Slide,
    tiles: list[Box],
    visited: list[int],
    segmenter: Segmenter,
    tissue: TissueMask | None,
    kept: TileStore | None,
    batch: int,
    workers: int | None,
    progress: Progress | None,
    piece: Callable[[Cells], None] | None,
) -> Cells:
    """Find the cells of the visited tiles that are not kept already, and join them all."""
    parts: dict[int, Cells] = {}

    def take(tile: int, cells: Cells) -> None:
        parts[tile] = cells
        if piece is not None:
            piece(cells)
        tell(progress, len(parts), len(visited), "tiles")

    tell(progress, 0, len(visited), "tiles")
    for i in visited if kept else ():
        if kept and (cells := kept.read(i)) is not None:
            take(i, cells)
    wanted = set(visited).difference(parts)
    if wanted:
        size = kept.batch if kept else batch
        groups = [visited[i : i + size] for i in range(0, len(visited), size)]
        count = chosen_workers(workers, segmenter, len(wanted) * tiling.TILE_PX**2)
        beat = lambda: tell(progress, len(parts), len(visited), "tiles")  # noqa: E731
        for i, cells in run_tiles(slide, tiles, groups, wanted, segmenter, count, beat):
            if tissue is not None:
                cells = cells.select(tissue.allows(cells.centroids))
            if kept:
                kept.write(i, cells)
            take(i, cells)
    if not parts:
        return no_cells(segmenter.type_names, slide.mpp)
    owners = np.repeat(np.arange(len(visited)), [len(parts[i]) for i in visited])
    joined = Cells.concatenate([parts.pop(i) for i in visited])
    return resolve_seams(joined, owners, [tiles[i] for i in visited])


def _as_slide(slide_or_image: Any, mpp: float | Sequence[float] | None) -> Slide:
    if isinstance(slide_or_image, Slide):
        if mpp is not None and slide_or_image.mpp != as_mpp(mpp):
            slide_or_image.set_mpp(mpp)
        return slide_or_image
    if isinstance(slide_or_image, str | Path):
        raise InputError(f"Open the slide first: segment_cells(open_slide({str(slide_or_image)!r})).")
    image = np.asarray(slide_or_image)
    if image.ndim == 2:
        raise InputError(
            f"An image of shape {image.shape} is grey or holds labels; "
            "cells are found on RGB, (Y, X, 3) uint8."
        )
    if image.ndim != 3 or image.shape[2] not in (3, 4) or image.dtype != np.uint8:
        raise InputError(f"Cells are found on RGB images, (Y, X, 3) uint8, not {image.dtype} {image.shape}.")
    if image.shape[2] == 4:
        alpha = image[..., 3:].astype(np.float32) / 255
        image = np.rint(image[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return slide_from_array(image, mpp=mpp)


def _facts(slide: Slide, segmenter: Segmenter, box: Box, tissue: TissueMask, batch: int) -> dict[str, Any]:
    mpp: Mpp = slide.require_mpp()
    return {
        "slide": slide.name,
        "fingerprint": slide.fingerprint,
        "mpp": mpp,
        "box": box,
        "tile_px": tiling.TILE_PX,
        "batch": batch,
        "tissue": tissue.digest,
        "segmenter": dict(segmenter.settings()),
    } | ({"icc": slide.icc_profile_name} if slide.icc else {})
