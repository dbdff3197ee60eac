"""Nuclei painted, deleted, merged and split by hand, and what that leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_hwsi.cells import Cells, Editable, correct, trace
from napari_hwsi.cells.corrections import EDITED, merge, split_at_waist, split_by_line
from napari_hwsi.cells.morphology import measure_stains
from napari_hwsi.errors import InputError
from napari_hwsi.slides import Slide, slide_from_array

from .conftest import Piece, ellipse, same_cells

BOX = (40, 30, 440, 530)


@pytest.fixture(scope="module")
def slide(tissue_piece: Piece) -> Slide:
    return slide_from_array(tissue_piece.rgb, mpp=0.5)


@pytest.fixture(scope="module")
def cells(tissue_piece: Piece) -> Cells:
    """The true nuclei, of two types, with their neighbours and a vector each."""
    labels = tissue_piece.truth
    count = int(labels.max())
    return Cells.of(
        trace(labels),
        types=np.arange(count) % 2,
        type_names=("tumour", "stroma"),
        probabilities=np.linspace(0.1, 0.9, count, dtype=np.float32),
        mpp=0.5,
        measurements=measure_stains(labels, tissue_piece.rgb),
        tokens=np.arange(2 * count, dtype=np.float32).reshape(-1, 2),
    ).with_neighbours((0, 0, 600, 700))


@pytest.fixture(scope="module")
def part(slide: Slide, cells: Cells) -> Editable:
    return Editable.of(slide, cells, BOX)


def whole(part: Editable) -> np.ndarray:
    """Labels that the box does not cut, the largest first."""
    labels, sizes = np.unique(part.labels[part.labels > 0], return_counts=True)
    return np.setdiff1d(labels[np.argsort(-sizes)], part.cut, assume_unique=True)


def free_place(labels: np.ndarray) -> tuple[slice, slice]:
    """A square of background, 14 px wide."""
    for y in range(10, labels.shape[0] - 30, 5):
        for x in range(10, labels.shape[1] - 30, 5):
            if not labels[y - 2 : y + 16, x - 2 : x + 16].any():
                return slice(y, y + 14), slice(x, x + 14)
    raise AssertionError("no free place")


def test_unchanged_rows_stay_to_the_last_bit_and_all_is_undone(part: Editable, cells: Cells) -> None:
    edited, (grown, deleted) = part.labels.copy(), whole(part)[:2]
    edited[edited == deleted] = 0
    place, new = free_place(edited), part.unused(edited)
    edited[place] = new
    column = np.flatnonzero((edited == grown).any(0))[0]
    rows = np.flatnonzero(edited[:, column] == grown)
    edited[rows, column - 2 : column] = grown
    done = correct(part, edited, new_type=1)
    assert sorted(done.reversal.rows) == sorted([grown - 1, deleted - 1])
    assert len(done.cells) == len(cells)  # one deleted, one new
    others = np.setdiff1d(np.arange(len(cells)), done.reversal.rows)
    kept = done.cells.select(np.arange(len(others)))
    assert not kept.table[EDITED].any()
    was = cells.select(others)
    np.testing.assert_array_equal(kept.contours.vertices, was.contours.vertices)
    np.testing.assert_array_equal(kept.tokens, was.tokens)
    assert kept.table.drop(columns=EDITED).equals(was.table)
    fresh = done.cells.select(np.arange(len(others), len(done.cells)))
    assert fresh.table[EDITED].all()
    assert (fresh.probabilities == 1).all()
    measured = [name for name in cells.table if name != "neighbour_same_type_share"]
    assert np.isfinite(fresh.table[measured].to_numpy(float)).all()
    own = fresh.labels(part.box, part.resolution) > 0
    assert (own == np.isin(edited, [grown, new])).mean() > 0.999
    painted = fresh.select(
        np.abs(fresh.centroids - (BOX[0] + place[0].start + 7, BOX[1] + place[1].start + 7)).max(1) < 1
    )
    assert painted.types.tolist() == [1]
    assert painted.table["area_um2"].iloc[0] == pytest.approx(14**2 / 4, rel=0.05)
    assert fresh.types.tolist().count(cells.types[grown - 1]) >= 1
    assert same_cells(done.undone(), cells)


def test_a_second_correction_keeps_the_first_mark(part: Editable, slide: Slide) -> None:
    first = whole(part)[0]
    edited = part.labels.copy()
    edited[edited == first] = 0
    edited[free_place(edited)] = part.unused(edited)
    once = correct(part, edited)
    again = Editable.of(slide, once.cells, BOX)
    labels = again.labels.copy()
    labels[labels == whole(again)[1]] = 0
    twice = correct(again, labels)
    assert twice.cells.table[EDITED].sum() == 1
    back = twice.undone()
    np.testing.assert_array_equal(back.tokens, once.cells.tokens)  # NaN where no network looked
    assert same_cells(replace(back, tokens=None), replace(once.cells, tokens=None))


def test_cut_nuclei_stay(part: Editable) -> None:
    assert len(part.cut)
    with pytest.raises(InputError, match="No nucleus was changed"):
        correct(part, np.where(np.isin(part.labels, part.cut), 0, part.labels))
    everything = correct(part, np.full_like(part.labels, part.unused(part.labels)))
    assert not np.isin(part.cut - 1, everything.reversal.rows).any()


def test_erased_through_is_two_nuclei_and_strays_go(part: Editable, cells: Cells) -> None:
    target = whole(part)[0]
    edited = part.labels.copy()
    ys, _ = np.nonzero(edited == target)
    middle = int(np.median(ys))
    edited[middle][edited[middle] == target] = 0
    edited[free_place(edited)[0].start, free_place(edited)[1].start] = target
    done = correct(part, edited)
    assert done.reversal.added == 2
    assert (done.cells.types[-2:] == cells.types[target - 1]).all()


def test_merge_and_split() -> None:
    left, right = (ellipse((60, 90), (30, x), (14, 13)) for x in (28, 58))
    labels = np.where(left, 3, np.where(right, 7, 0)).astype(np.int32)
    joined = merge(labels, [7, 3])
    assert set(np.unique(joined)) == {0, 7}
    assert (joined[labels > 0] == 7).all()
    assert joined[30, 43] == 7  # the gap between them
    apart = split_by_line(joined, [(2, 43), (58, 43)], unused=9)
    assert set(np.unique(apart)) == {0, 7, 9}
    assert ((apart > 0) == (joined > 0)).all()
    assert len(set(np.unique(apart[:, :42])) - {0}) == 1
    waist = split_at_waist(np.where((left | right | (joined > 0)) & (left | right), 3, 0) | np.where(
        (joined > 0) & (np.abs(np.indices(joined.shape)[0] - 30) < 4), 3, 0), 3, 0.5, 4)  # fmt: skip
    assert set(np.unique(waist)) == {0, 3, 4}
    with pytest.raises(InputError, match="no waist"):
        split_at_waist(left.astype(np.int32), 1, 0.5, 2)
    with pytest.raises(InputError, match="crosses no nucleus"):
        split_by_line(labels, [(30, 20), (30, 28)], 9)
    with pytest.raises(InputError, match="two nuclei"):
        merge(labels, [3])


def test_what_cannot_be_edited_is_refused(part: Editable, slide: Slide, cells: Cells) -> None:
    with pytest.raises(InputError, match="are needed"):
        correct(part, part.labels[1:])
    with pytest.raises(InputError, match="no name"):
        correct(part, part.labels, new_type=2)
    large = slide_from_array(np.full((4200, 64, 3), 240, np.uint8), mpp=0.5)
    with pytest.raises(InputError, match="Zoom in"):
        Editable.of(large, cells, (0, 0, 4200, 64))


@pytest.mark.parametrize("name", ["cells.geojson", "cells.parquet", "cells.csv"])
def test_the_mark_survives_files(part: Editable, name: str, tmp_path: Path) -> None:
    edited = part.labels.copy()
    edited[free_place(edited)] = part.unused(edited)
    done = correct(part, edited).cells
    getattr(done, {"geojson": "to_geojson", "parquet": "to_parquet", "csv": "to_csv"}[name.split(".")[1]])(
        tmp_path / name
    )
    back = Cells.from_file(tmp_path / name).table[EDITED]
    assert back.dtype == bool
    assert back.equals(done.table[EDITED])


def test_cells_with_and_without_the_mark_stand_together(part: Editable, cells: Cells) -> None:
    edited = part.labels.copy()
    edited[edited == whole(part)[0]] = 0
    marked = correct(part, edited).cells
    both = Cells.concatenate([cells, marked]).table[EDITED]
    assert both.dtype == bool
    assert not both.any()
