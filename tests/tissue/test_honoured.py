"""What was taken out of the tissue is not looked at, and the result keeps what it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import napari_hwsi as hwsi
from napari_hwsi import open_slide
from napari_hwsi.cells import Cells
from napari_hwsi.errors import InputError, StoreError
from napari_hwsi.sample_data import sample_slide
from napari_hwsi.slides import Slide, slide_from_array
from napari_hwsi.tissue import CLASSES, TissueMask, tissue_mask

BOX = (98, 0, 1122, 1022)


@pytest.fixture(scope="module")
def slide() -> Slide:
    """1150 x 1050 px of the sample."""
    with open_slide(sample_slide()) as whole:
        return slide_from_array(whole.read((1950, 2050), (1150, 1050)), mpp=whole.mpp)


@pytest.fixture(scope="module")
def halved(slide: Slide) -> TissueMask:
    """The sample's mask with all left of x = 510 painted as pen."""
    mask = tissue_mask(slide)
    classes = mask.classes
    classes[:, : round(510 / mask.downsample[1])] = CLASSES.index("pen")
    return mask.edited(classes)


ACROSS = (150, 350, 350, 670)  # the border of the pen runs through it


def kinds_under(cells: Cells, mask: TissueMask) -> np.ndarray:
    """The class of the mask's pixel that each centroid lies in."""
    y, x = (cells.centroids / mask.downsample).astype(int).T
    return mask.classes[y, x]


def test_cells_are_not_looked_for_in_artefacts(slide: Slide, halved: TissueMask) -> None:
    everywhere = hwsi.segment_cells(slide, ACROSS, segmenter="classical")
    found = hwsi.segment_cells(slide, ACROSS, segmenter="classical", tissue=halved)
    assert (kinds_under(everywhere, halved) == CLASSES.index("pen")).sum() > 10
    assert (kinds_under(found, halved) == CLASSES.index("tissue")).all()
    assert len(found) > 10


def test_what_was_erased_is_out_but_pale_stroma_that_was_not_found_is_not(slide: Slide) -> None:
    automatic = tissue_mask(slide)
    classes = automatic.classes
    classes[:, : round(510 / automatic.downsample[1])] = CLASSES.index("empty glass")
    erased = automatic.edited(classes)
    cells = hwsi.segment_cells(slide, ACROSS, segmenter="classical", tissue=erased)
    assert len(cells) > 10
    assert (kinds_under(cells, erased) == CLASSES.index("tissue")).all()
    # The same map, but found by a rule that may miss what is pale.
    found = replace(automatic, mask=erased.mask)
    all_of_it = hwsi.segment_cells(slide, ACROSS, segmenter="classical", tissue=found)
    assert (kinds_under(all_of_it, found) == CLASSES.index("empty glass")).sum() > 10


def test_nuclei_and_patches_of_an_analysis_agree_with_the_mask(
    slide: Slide, halved: TissueMask, tmp_path: Path
) -> None:
    result = hwsi.analyze(slide, tmp_path / "c.hwsi.zarr", parts=["cells"], box=ACROSS, tissue=halved)
    assert len(result.cells) > 100
    assert (kinds_under(result.cells, halved) == CLASSES.index("tissue")).all()
    counts = result._store.read("cells/patch_counts")[result.regions["cells"]]
    assert counts.sum() == len(result.cells)
    boxes = np.concatenate([result.grid.patch_boxes(i) for i in np.flatnonzero(result.regions["cells"])])
    assert counts.ravel()[boxes[:, 3] <= 502].sum() == 0
    answer = hwsi.ask(result, "How many nuclei are there?", (150, 50, 350, 450))
    assert answer.text.startswith("There is no tissue in this view, and so no nuclei.")


def test_tiles_found_under_another_mask_are_not_taken(
    slide: Slide, halved: TissueMask, tmp_path: Path
) -> None:
    store = tmp_path / "cells"
    hwsi.segment_cells(slide, ACROSS, segmenter="classical", store=store)
    with pytest.raises(StoreError, match=r"other settings \(.*tissue\)"):
        hwsi.segment_cells(slide, ACROSS, segmenter="classical", store=store, tissue=halved)


def test_analysis_stands_on_the_mask_it_was_given(slide: Slide, halved: TissueMask, tmp_path: Path) -> None:
    store = tmp_path / "a.hwsi.zarr"
    result = hwsi.analyze(slide, store, parts=["patches"], box=BOX, tissue=halved)
    np.testing.assert_array_equal(result.tissue.artefacts, halved.artefacts)
    np.testing.assert_array_equal(result.tissue.mask, halved.mask)
    assert result.tissue.downsample == halved.downsample
    patches = result.patches
    assert not patches.loc[patches["x1"] <= 450, "valid"].any()
    assert patches.loc[patches["x0"] >= 550, "valid"].any()
    before = result._store.sidecar("patches")["key"]
    again = hwsi.analyze(slide, store, parts=["patches"], box=BOX, tissue=halved)
    assert again._store.sidecar("patches")["key"] == before

    other = hwsi.analyze(slide, store, parts=["patches"], box=BOX)
    assert other._store.sidecar("patches")["key"] != before
    assert not other.tissue.artefacts.any()
    patches = other.patches
    assert patches.loc[patches["x1"] <= 450, "valid"].any()


def test_a_mask_of_another_slide_is_refused(slide: Slide, halved: TissueMask, tmp_path: Path) -> None:
    other = TissueMask(halved.mask[:50], halved.downsample)
    with pytest.raises(InputError, match="mask of this slide"):
        hwsi.analyze(slide, tmp_path / "b.hwsi.zarr", tissue=other)
    with pytest.raises(InputError, match="mask of this slide"):
        hwsi.segment_cells(slide, ACROSS, segmenter="classical", tissue=other)
