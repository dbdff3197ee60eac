"""Down the four scales of a result and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import napari_hwsi as hwsi
from napari_hwsi.hierarchy.ladder import Ladder
from napari_hwsi.units import intersect


def test_each_rung_lies_in_what_is_chosen_above(whole: Path) -> None:
    result = hwsi.open_result(whole)
    ladder, kept = Ladder(result), result.selected_patches
    slide, region, patch, cell = ladder.rungs
    assert (slide.count, region.count) == (1, 4)
    assert slide.box == (0, 0, 4796, 4796)
    assert region.box == result.grid.region_box(0)
    assert patch.count == (kept["region"] == 0).sum()
    assert patch.size_um == (128, 128)
    assert str(patch) == f"Patch 1 of {patch.count}\n128 x 128 µm, 0.5 µm/px"
    first = result.cells_in(patch.box)
    assert cell.count == len(first)
    shares, boxes = result.attention("cell", "ccaf")
    here = (boxes[:, :2] >= np.subtract(patch.box[:2], 20)).all(1) & (
        boxes[:, 2:] <= np.add(patch.box[2:], 20)
    ).all(1)
    assert (
        shares[(boxes == cell.box).all(1)].max() == shares[here].max()
    )  # what counts most in its patch first
    assert intersect(cell.box, patch.box)
    # further down and back: what is below begins anew
    ladder.step("cell", 2)
    other = ladder.step("patch", 1)
    assert other.place == 1
    assert other.box == tuple(kept[kept["region"] == 0].iloc[1][["y0", "x0", "y1", "x1"]])
    assert ladder.rungs[3].place == 0
    last = ladder.step("region", -1)
    assert (last.place, last.box) == (3, result.grid.region_box(3))
    assert ladder.rungs[2].place == 0
    assert intersect(ladder.rungs[2].box, last.box) == ladder.rungs[2].box
    assert ladder.step("region", 1).place == 0
    assert ladder.rungs == Ladder(result).rungs


def test_a_ladder_ends_where_nothing_is_known(whole: Path, slide_file: Path, tmp_path: Path) -> None:
    box = (3560, 3560, 3600, 3600)
    patches = hwsi.analyze(slide_file, tmp_path / "p.hwsi.zarr", parts=["patches"], box=box)
    ladder = Ladder(patches)
    assert [rung.count > 0 for rung in ladder.rungs] == [True, True, True, False]
    assert str(ladder.rungs[3]) == "no cell here"
    assert ladder.step("cell", 1).box is None
