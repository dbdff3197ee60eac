"""Tissue masks that the user changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import napari_hwsi as hwsi
from napari_hwsi.errors import InputError, StoreError
from napari_hwsi.slides import open_slide, slide_from_array
from napari_hwsi.tissue import (
    CLASSES,
    forget_tissue,
    is_edited,
    keep_tissue,
    kept_tissue,
    tissue_mask,
    tissue_of,
)


def test_kept_for_the_slide_until_let_go(cmu: Path, tmp_path: Path, home: Path) -> None:
    with open_slide(cmu) as slide:
        automatic = tissue_mask(slide)
        assert not is_edited(slide)
        assert kept_tissue(slide.fingerprint) is None
        np.testing.assert_array_equal(tissue_of(slide).classes, automatic.classes)
        classes = automatic.classes.copy()
        classes[:100] = CLASSES.index("pen")
        classes[100:120, :50] = CLASSES.index("tissue")
        keep_tissue(slide, automatic, classes)
    copy = tmp_path / "elsewhere é.svs"
    copy.write_bytes(cmu.read_bytes())
    with open_slide(copy) as again:
        assert is_edited(again)
        kept = tissue_of(again)
        np.testing.assert_array_equal(kept.classes, classes)
        assert kept.downsample == automatic.downsample
        assert not kept.mask[:100].any()
        assert kept.mask[100:120, :50].all()
        forget_tissue(again)
        forget_tissue(again)  # twice is no error
        assert kept_tissue(again.fingerprint) is None
        np.testing.assert_array_equal(tissue_of(again).classes, automatic.classes)


def test_what_cannot_be_kept(cmu: Path, home: Path) -> None:
    with open_slide(cmu) as slide:
        mask = tissue_mask(slide)
        for wrong in (np.full(mask.mask.shape, len(CLASSES)), mask.classes[1:]):
            with pytest.raises(InputError):
                keep_tissue(slide, mask, wrong)
        assert not is_edited(slide)
        keep_tissue(slide, mask, mask.classes)
        (file,) = (home / "tissue").iterdir()
        whole = file.read_bytes()
        for damaged in (b"", b"no archive", whole[: len(whole) // 2]):
            file.write_bytes(damaged)
            with pytest.raises(StoreError, match=r"\.npz"):
                tissue_of(slide)
        forget_tissue(slide)
        assert kept_tissue(slide.fingerprint) is None
        (home / "tissue").rmdir()
        (home / "tissue").write_text("in the way")
        with pytest.raises(StoreError, match="cannot be kept"):
            keep_tissue(slide, mask, mask.classes)


def test_analysis_and_segmentation_use_it(cmu: Path, tmp_path: Path, home: Path) -> None:
    box, store = (200, 150, 500, 550), tmp_path / "a.hwsi.zarr"
    with open_slide(cmu) as whole:
        pixels, mpp = whole.read((400, 700), (700, 750)), whole.mpp
    with slide_from_array(pixels, mpp=mpp) as slide:
        automatic = tissue_mask(slide)
        before = hwsi.segment_cells(slide, box)
        classes = automatic.classes
        classes[:, : round(350 / automatic.downsample[1])] = CLASSES.index("fold")
        keep_tissue(slide, automatic, classes)
        cells, steps = hwsi.segment_cells(slide, box), []
        assert 0 < len(cells) < len(before)
        assert (cells.centroids[:, 1] > 340).all()
        result = hwsi.analyze(slide, store, parts=["cells"], box=box, progress=steps.append)
        assert result.slide_facts["tissue"] == "edited"
        assert result.tissue.origin == "edited"
        np.testing.assert_array_equal(result.tissue.classes, classes)
        assert (result.cells.centroids[:, 1] > 340).all()
        assert "taking the tissue you edited" in {step.what for step in steps}
        forget_tissue(slide)
        result = hwsi.analyze(slide, store, parts=["cells"], box=box)
        assert result.slide_facts["tissue"] == "automatic"
        assert (result.cells.centroids[:, 1] < 340).any()
        assert len(hwsi.segment_cells(slide, box)) == len(before)
