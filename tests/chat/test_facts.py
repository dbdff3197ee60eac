"""Facts of a view, against the cell table."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hwsi.chat.facts import AREA, ELONGATION, SPACING, STAIN, measure
from napari_hwsi.hierarchy import Hierarchy, open_result
from napari_hwsi.hierarchy.store import Store
from napari_hwsi.tissue import tissue_mask
from napari_hwsi.units import Box, as_box, intersect

VIEW = (200, 300, 1200, 1800)
VIEWS = (VIEW, (0, 0, 2967, 2220), (700, 800, 800, 1500))


def rows_in(result: Hierarchy, box: Box) -> np.ndarray:
    y, x = result.cells.centroids.astype(float).T
    return np.flatnonzero((box[0] <= y) & (y < box[2]) & (box[1] <= x) & (x < box[3]))


@pytest.mark.parametrize("view", VIEWS)
def test_counts_and_densities(result: Hierarchy, view: Box) -> None:
    scene = measure(result, view).view
    n = len(rows_in(result, view))
    my, mx = result.slide.require_mpp()
    tissue = tissue_mask(result.slide).area_in(view) * my * mx * 1e-6
    assert scene.n_nuclei == n > 0
    assert scene.area_mm2 == pytest.approx((view[2] - view[0]) * my * (view[3] - view[1]) * mx * 1e-6)
    assert scene.tissue_mm2 == pytest.approx(tissue)
    assert scene.analysed_mm2 == pytest.approx(tissue)
    assert scene.per_mm2 == pytest.approx(n / tissue)


@pytest.mark.parametrize("column", [AREA, STAIN])
def test_spreads_are_those_of_the_cell_table(result: Hierarchy, column: str) -> None:
    spread = measure(result, VIEW).view.spread(column)
    values = result.cells.table[column].to_numpy(float)[rows_in(result, VIEW)]
    assert spread is not None
    assert spread.n == len(values)
    assert (spread.low, spread.median, spread.high) == pytest.approx(np.quantile(values, (0.25, 0.5, 0.75)))


def test_elongation(result: Hierarchy) -> None:
    spread = measure(result, VIEW).view.spread(ELONGATION)
    table = result.cells.table.iloc[rows_in(result, VIEW)]
    assert spread is not None
    assert spread.median == pytest.approx(
        float((table.major_axis_um / table.minor_axis_um).median()), rel=1e-5
    )


def test_nearest_neighbours_may_lie_outside_the_view(result: Hierarchy) -> None:
    view = (700, 800, 900, 1000)
    spread = measure(result, view).view.spread(SPACING)
    places = result.cells.centroids.astype(float) * result.slide.require_mpp()
    inside = places[rows_in(result, view)]
    distances = np.linalg.norm(inside[:, None] - places[None], axis=2)
    assert spread is not None
    assert spread.median == pytest.approx(float(np.median(np.sort(distances, 1)[:, 1])), rel=1e-5)


def test_unknown_measures_are_none(result: Hierarchy) -> None:
    assert measure(result, VIEW).view.spread("length_of_song") is None


def test_largest_and_smallest(result: Hierarchy) -> None:
    facts = measure(result, VIEW)
    area = np.sort(result.cells.table[AREA].to_numpy(float)[rows_in(result, VIEW)])
    assert [n.area_um2 for n in facts.largest] == pytest.approx(area[::-1][:3])
    assert [n.area_um2 for n in facts.smallest] == pytest.approx(area[:3])
    assert all(intersect(n.box, VIEW) == n.box for n in (*facts.largest, *facts.smallest))


def test_patches(result: Hierarchy) -> None:
    patches = measure(result, VIEW).patches
    table = result.patches
    meets = [intersect((r.y0, r.x0, r.y1, r.x1), VIEW) is not None for r in table.itertuples()]
    assert patches.n == sum(meets)
    assert patches.n_kept == int(table[meets].selected.sum()) == len(patches.kept)
    assert all(intersect(place.box, VIEW) == place.box for place in patches.kept)
    scores = [place.score for place in patches.kept]
    assert scores == sorted(scores, reverse=True)


def test_best_patches_of_a_phrase(result: Hierarchy) -> None:
    phrase = result.phrases[0]
    best = measure(result, VIEW).best_patches(phrase)
    table = result.patches
    meets = np.array([intersect((r.y0, r.x0, r.y1, r.x1), VIEW) is not None for r in table.itertuples()])
    scores = np.sort(table[phrase].to_numpy(float)[meets & table["valid"].to_numpy()])[::-1]
    assert [place.score for place in best] == pytest.approx(scores[:3])


def test_only_what_is_analysed_counts(wide: Hierarchy) -> None:
    facts = measure(wide)
    my, mx = 0.5, 0.5
    left = wide.tissue.area_in((0, 0, 600, 4096)) * my * mx * 1e-6
    assert facts.view.analysed_mm2 == pytest.approx(left)
    assert facts.view.tissue_mm2 > 1.2 * left
    assert any("Only" in note and "is analysed" in note for note in facts.notes)
    # What is not analysed has no nuclei, and is not called sparse for it.
    assert all(place.box[1] < 4096 for place in facts.sparsest)


def test_notes_of_a_small_view(result: Hierarchy) -> None:
    assert any("smaller than a patch" in note for note in measure(result, (700, 800, 800, 1500)).notes)
    assert not any("smaller than a patch" in note for note in measure(result, VIEW).notes)


def test_a_view_does_not_read_the_cells_of_the_slide(wide: Hierarchy) -> None:
    wide = open_result(wide.path, wide.slide)
    facts = measure(wide, (100, 100, 500, 900))
    assert facts.view.n_nuclei > 0
    assert facts.largest
    assert facts.densest
    assert "cells" not in vars(wide)


def test_the_slide_is_measured_without_its_outlines(
    result: Hierarchy, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    plain = Store.read

    def noted(store: Store, array: str, *rows: slice) -> np.ndarray:
        read.append(array)
        return plain(store, array, *rows)

    monkeypatch.setattr(Store, "read", noted)
    slide = measure(result, VIEW).slide
    assert slide.n_nuclei == len(result.cell_column("types")) > 0
    assert slide.per_mm2
    assert slide.spread(AREA)
    assert slide.spread("length_of_song") is None
    assert "cells/centroids" in read
    assert not [name for name in read if "vert" in name]


def test_the_largest_of_the_slide(result: Hierarchy) -> None:
    facts = measure(result)
    rows = np.argsort(-result.cells.table[AREA].to_numpy(), kind="stable")[:3]
    bounds = result.cells.contours.bounds[rows]
    assert [n.area_um2 for n in facts.largest] == pytest.approx(result.cells.table[AREA].to_numpy()[rows])
    for nucleus, (y0, x0, y1, x1) in zip(facts.largest, bounds, strict=True):
        assert nucleus.box == as_box((y0, x0, y1, x1))
