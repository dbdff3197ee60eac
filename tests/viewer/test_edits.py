"""Tissue masks that the user changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_hwsi.errors import InputError, StoreError
from napari_hwsi.slides import open_slide
from napari_hwsi.tissue import CLASSES, tissue_mask
from napari_hwsi.viewer.edits import edited_tissue, forget_tissue, is_edited, keep_tissue, tissue_in_use


def test_kept_for_the_slide_until_let_go(cmu: Path, tmp_path: Path, home: Path) -> None:
    with open_slide(cmu) as slide:
        automatic = tissue_mask(slide)
        assert not is_edited(slide)
        assert edited_tissue(slide) is None
        np.testing.assert_array_equal(tissue_in_use(slide).classes, automatic.classes)
        classes = automatic.classes.copy()
        classes[:100] = CLASSES.index("pen")
        classes[100:120, :50] = CLASSES.index("tissue")
        keep_tissue(slide, automatic, classes)
    copy = tmp_path / "elsewhere é.svs"
    copy.write_bytes(cmu.read_bytes())
    with open_slide(copy) as again:
        assert is_edited(again)
        kept = tissue_in_use(again)
        np.testing.assert_array_equal(kept.classes, classes)
        assert kept.downsample == automatic.downsample
        assert not kept.mask[:100].any()
        assert kept.mask[100:120, :50].all()
        forget_tissue(again)
        forget_tissue(again)  # twice is no error
        assert edited_tissue(again) is None
        np.testing.assert_array_equal(tissue_in_use(again).classes, automatic.classes)


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
                tissue_in_use(slide)
        forget_tissue(slide)
        assert edited_tissue(slide) is None
        (home / "tissue").rmdir()
        (home / "tissue").write_text("in the way")
        with pytest.raises(StoreError, match="cannot be kept"):
            keep_tissue(slide, mask, mask.classes)
