"""The densest and sparsest places, against counting one by one."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hwsi.chat.places import Place, extreme_places
from napari_hwsi.tissue import TissueMask
from napari_hwsi.units import Box, intersect

MPP = (0.5, 0.5)
SIDE = 256  # 128 µm


def tissue(shape: tuple[int, int], value: bool = True) -> TissueMask:
    return TissueMask(np.full((shape[0] // 16, shape[1] // 16), value), (16.0, 16.0))


def scattered(count: int, shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((count, 2)) * shape).astype(np.float32)


def counted(centroids: np.ndarray, box: Box) -> int:
    return sum(box[0] <= y < box[2] and box[1] <= x < box[3] for y, x in centroids.tolist())


def check(places: tuple[Place, ...], centroids: np.ndarray, view: Box) -> None:
    for i, place in enumerate(places):
        assert intersect(place.box, view) == place.box
        assert place.n_nuclei == counted(centroids, place.box)
        height, width = place.box[2] - place.box[0], place.box[3] - place.box[1]
        assert place.per_mm2 == pytest.approx(place.n_nuclei / (height * width * 0.25e-6))
        assert all(intersect(place.box, other.box) is None for other in places[:i])


@pytest.mark.parametrize("view", [(0, 0, 1600, 1600), (130, 77, 901, 1203), (300, 300, 556, 556)])
def test_finds_the_extremes(view: Box) -> None:
    centroids = scattered(3000, (1600, 1600))
    densest, sparsest = extreme_places(centroids, view, MPP, tissue((1600, 1600)))
    check(densest, centroids, view)
    check(sparsest, centroids, view)
    lattice = [
        counted(centroids, (y, x, y + SIDE, x + SIDE))
        for y in range(view[0], view[2] - SIDE + 1, 128)
        for x in range(view[1], view[3] - SIDE + 1, 128)
    ]
    # Windows are tried every 64 px or less; a coarse lattice cannot do much better by luck.
    assert densest[0].n_nuclei >= max(lattice) - 8
    assert sparsest[0].n_nuclei <= min(lattice) + 8
    assert densest[0].n_nuclei >= densest[-1].n_nuclei


def test_finds_a_cluster_at_the_very_edge() -> None:
    cluster = scattered(40, (60, 60)) + np.float32(1537)
    centroids = np.concatenate([scattered(200, (1600, 1600)), cluster])
    (first, *_), _ = extreme_places(centroids, (0, 0, 1600, 1600), MPP, tissue((1600, 1600)))
    assert first.box == (1344, 1344, 1600, 1600)
    assert first.n_nuclei == counted(centroids, first.box) >= 40


def test_half_open_on_every_side() -> None:
    view = (256, 256, 512, 512)
    inside = np.array([[256, 256], [511.9, 511.9]], np.float32)
    outside = np.array([[255.9, 300], [300, 255.9], [512, 300], [300, 512]], np.float32)
    (place,), _ = extreme_places(np.concatenate([inside, outside]), view, MPP, tissue((1600, 1600)))
    assert (place.box, place.n_nuclei) == (view, 2)


def test_a_view_smaller_than_a_patch_is_its_own_place() -> None:
    centroids = scattered(100, (100, 1000))
    densest, sparsest = extreme_places(centroids, (0, 0, 100, 1000), MPP, tissue((1600, 1600)))
    check(densest, centroids, (0, 0, 100, 1000))
    assert all(place.box[0] == 0 and place.box[2] == 100 for place in (*densest, *sparsest))
    assert all(place.box[3] - place.box[1] == SIDE for place in densest)


def test_glass_is_not_sparse_and_nothing_is_not_dense() -> None:
    nothing = np.empty((0, 2), np.float32)
    densest, sparsest = extreme_places(nothing, (0, 0, 1600, 1600), MPP, tissue((1600, 1600), False))
    assert densest == sparsest == ()
    mask = np.zeros((100, 100), bool)
    mask[:, 50:] = True  # the right half of 1600 x 1600
    (first, *_), sparse = extreme_places(
        scattered(500, (1600, 1600)), (0, 0, 1600, 1600), MPP, TissueMask(mask, (16.0, 16.0))
    )
    assert first.n_nuclei > 0
    assert sparse
    assert all(place.box[1] >= 800 - SIDE // 4 for place in sparse)


def test_resolutions_may_differ_between_axes() -> None:
    centroids = scattered(500, (1600, 1600))
    densest, _ = extreme_places(centroids, (0, 0, 1600, 1600), (0.25, 0.5), tissue((1600, 1600)))
    assert {(p.box[2] - p.box[0], p.box[3] - p.box[1]) for p in densest} == {(512, 256)}


@pytest.mark.parametrize("seed", range(4))
def test_no_window_is_denser(seed: int) -> None:
    """Every window of whole pixels, counted by a summed-area table."""
    shape = (500, 430)
    centroids = np.concatenate([scattered(300, shape, seed), 150 + scattered(60, (200, 150), seed + 10)])
    pixels = np.zeros((shape[0] + 1, shape[1] + 1))
    np.add.at(pixels, tuple(np.floor(centroids).astype(int).T + 1), 1)
    table = pixels.cumsum(0).cumsum(1)
    counts = table[64:, 64:] - table[:-64, 64:] - table[64:, :-64] + table[:-64, :-64]
    places, _ = extreme_places(centroids, (0, 0, *shape), (2.0, 2.0), tissue(shape))
    for place in places:
        assert intersect(place.box, (0, 0, *shape)) == place.box
        assert place.n_nuclei == counted(centroids, place.box) == counts.max()
        y, x = place.box[:2]
        counts[max(y - 63, 0) : y + 64, max(x - 63, 0) : x + 64] = 0


def test_a_larger_view_is_at_least_as_dense() -> None:
    centroids = scattered(3000, (1600, 1600))
    inner, outer = (
        extreme_places(centroids, view, MPP, tissue((1600, 1600)))[0][0]
        for view in ((313, 207, 1009, 911), (0, 0, 1600, 1600))
    )
    again = extreme_places(centroids, outer.box, MPP, tissue((1600, 1600)))[0][0]
    assert outer.n_nuclei >= inner.n_nuclei
    assert again == outer
