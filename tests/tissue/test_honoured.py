"""What was taken out of the tissue is not looked at, and the result keeps what it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import napari_hwsi as hwsi
from napari_hwsi import open_slide
from napari_hwsi.errors import InputError
from napari_hwsi.sample_data import sample_slide
from napari_hwsi.slides import Slide
from napari_hwsi.tissue import CLASSES, TissueMask, tissue_mask

BOX = (2048, 2048, 3072, 3072)


@pytest.fixture(scope="module")
def slide() -> Slide:
    return open_slide(sample_slide())


@pytest.fixture(scope="module")
def halved(slide: Slide) -> TissueMask:
    """The sample's mask with all left of x = 2560 painted as pen."""
    mask = tissue_mask(slide)
    classes = mask.classes
    classes[:, : round(2560 / mask.downsample[1])] = CLASSES.index("pen")
    return mask.edited(classes)


def test_cells_are_not_looked_for_in_artefacts(slide: Slide, halved: TissueMask) -> None:
    left, right = (2100, 2100, 2300, 2300), (2100, 2700, 2300, 2900)
    assert len(hwsi.segment_cells(slide, left, segmenter="classical", tissue=halved)) == 0
    assert len(hwsi.segment_cells(slide, right, segmenter="classical", tissue=halved)) > 20


def test_analysis_stands_on_the_mask_it_was_given(slide: Slide, halved: TissueMask, tmp_path: Path) -> None:
    store = tmp_path / "a.hwsi.zarr"
    result = hwsi.analyze(slide, store, parts=["patches"], box=BOX, tissue=halved)
    np.testing.assert_array_equal(result.tissue.artefacts, halved.artefacts)
    np.testing.assert_array_equal(result.tissue.mask, halved.mask)
    assert result.tissue.downsample == halved.downsample
    patches = result.patches
    assert not patches.loc[patches["x1"] <= 2500, "valid"].any()
    assert patches.loc[patches["x0"] >= 2600, "valid"].any()
    before = result._store.sidecar("patches")["key"]
    again = hwsi.analyze(slide, store, parts=["patches"], box=BOX, tissue=halved)
    assert again._store.sidecar("patches")["key"] == before

    other = hwsi.analyze(slide, store, parts=["patches"], box=BOX)
    assert other._store.sidecar("patches")["key"] != before
    assert not other.tissue.artefacts.any()
    patches = other.patches
    assert patches.loc[patches["x1"] <= 2500, "valid"].any()


def test_a_mask_of_another_slide_is_refused(slide: Slide, halved: TissueMask, tmp_path: Path) -> None:
    other = TissueMask(halved.mask[:100], halved.downsample)
    with pytest.raises(InputError, match="mask of this slide"):
        hwsi.analyze(slide, tmp_path / "b.hwsi.zarr", tissue=other)
