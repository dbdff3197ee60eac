"""The patch features of this package's own results, for other tools to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...tissue import PATCH_PX, PER_SIDE
from ..hierarchy import Hierarchy
from .features import Facts, PatchFeatures, Regions


def features_of(result: Hierarchy) -> PatchFeatures:
    """Return the patches of a result, in the regions that have any.

    Raises InputError where no patches are done.
    """
    facts, patches = result.slide_facts, result.patches
    per_region = PER_SIDE**2
    valid = patches["valid"].to_numpy(bool)
    rows = np.flatnonzero(np.repeat(valid.reshape(-1, per_region).any(1), per_region))
    if not len(rows):
        raise InputError(f"{result.path} has no patches with tissue yet. Analyse its slide first.")
    patches, valid = patches.iloc[rows], valid[rows]
    numbers = patches["region"].to_numpy()[::per_region]
    height, width = facts["shape"]
    regions = Regions(
        result.regions[["y0", "x0", "y1", "x1"]].to_numpy(np.float64)[numbers],
        per_region,
        result.region_vectors[numbers],
        _kept(patches["rank"].to_numpy().reshape(len(numbers), per_region)),
    )
    return PatchFeatures(
        result.patch_vectors[rows],
        patches[["y0", "x0", "y1", "x1"]].to_numpy(np.float64),
        Facts(
            name=Path(facts["name"]).stem,
            encoder=result.encoder,
            patch_px=PATCH_PX,
            overlap_px=0,
            mpp=result.grid.mpp[1],
            slide_mpp=float(facts["mpp"][1]),
            slide_shape=(int(height), int(width)),
            slide_path=facts["path"],
        ),
        valid,
        regions,
        result.slide_vector,
    )


def _kept(rank: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return the kept patches of each region by rank, int64 (R, K), −1 where fewer, from ranks (R, 256)."""
    kept = np.full((len(rank), int(rank.max()) + 1), -1, np.int64)
    region, patch = np.nonzero(rank >= 0)
    kept[region, rank[region, patch]] = patch
    return kept
