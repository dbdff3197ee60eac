"""Features of a slide that does not exist, as another tool could have made them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_hwsi.hierarchy.foreign import Facts, PatchFeatures, Regions

RNG = np.random.default_rng(0)
FACTS = Facts(
    name="case-1.DX1",
    encoder="uni_v1",
    patch_px=256,
    overlap_px=0,
    mpp=0.5,
    slide_mpp=0.25,
    slide_shape=(9000, 7000),
    slide_path="/slides/case-1.DX1.svs",
)
XY = np.array([[512, 1024], [1024, 1024], [512, 6656]])
BOXES = np.column_stack([XY[:, ::-1], XY[:, ::-1] + 512]).astype(float)


def tiles(count: int = 3, precision: str = "float32", slide: bool = True) -> PatchFeatures:
    vectors = RNG.normal(size=(count, 5)).astype(precision).astype(np.float32)
    vector = RNG.normal(size=7).astype(np.float32) if slide else None
    return PatchFeatures(vectors, BOXES[:count], replace(FACTS, precision=precision), slide_vector=vector)


def regions() -> PatchFeatures:
    """Two regions of 16 x 16 patches; a masked patch; one kept patch less in the second."""
    corners = np.array([[0, 0], [0, 8192]])  # (y, x)
    boxes = np.concatenate([corners, corners + 8192], 1).astype(float)
    place = np.stack(np.divmod(np.arange(256), 16), 1)
    grid = (boxes[:, None, :2] + place * 512).reshape(-1, 2)
    vectors = RNG.normal(size=(512, 4)).astype(np.float32)
    valid = np.ones(512, bool)
    valid[300] = False
    vectors[300] = 0
    kept = np.stack([RNG.permutation(256)[:16] for _ in boxes])
    kept[1, kept[1] == 300 - 256] = 255
    kept[1, 15] = -1
    tokens = RNG.normal(size=(2, 16, 6)).astype(np.float32)
    return PatchFeatures(
        vectors,
        np.concatenate([grid, grid + 512], 1),
        replace(FACTS, slide_shape=(18000, 18000)),
        valid,
        Regions(
            boxes,
            256,
            RNG.normal(size=(2, 3)).astype(np.float32),
            kept,
            tokens,
            np.array([True, False]),
        ),
        RNG.normal(size=3).astype(np.float32),
    )
