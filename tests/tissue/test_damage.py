"""Tissue of a slide with a damaged tile: what cannot be read is nothing, the rest is as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

import napari_hwsi as hwsi
from napari_hwsi.errors import SlideError
from napari_hwsi.slides import open_slide
from napari_hwsi.tissue import stain_kind, tissue_mask

SIDE, TILE, STEP = 4096, 256, 4  # STEP: level 0 to the level that the mask is found on


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three levels of 0.5 µm/px; a field of tissue, on which the tile of the low levels will be damaged."""
    rng = np.random.default_rng(0)
    image = np.full((SIDE, SIDE, 3), 243, np.uint8)
    field = np.array((205, 130, 180)) + rng.normal(0, 8, (2600, 2600, 1))
    field[rng.random(field.shape[:2]) < 0.1] = (95, 60, 140)
    image[400:3000, 400:3000] = field.clip(0, 255)
    path = tmp_path_factory.mktemp("damage") / "whole.tif"
    description = f"Aperio test\r\n{SIDE}x{SIDE}|AppMag = 20|MPP = 0.5"
    with tifffile.TiffWriter(path) as file:
        for shrink in (1, STEP, 16):
            pixels = image.reshape(SIDE // shrink, shrink, SIDE // shrink, shrink, 3).mean((1, 3))
            file.write(
                pixels.astype(np.uint8),
                tile=(TILE, TILE),
                photometric="rgb",
                compression="deflate",
                description=description,
                metadata=None,
            )
    return path


def damaged(whole: Path, to: Path, tiles: dict[int, slice]) -> Path:
    """Copy a slide with zeros for some tiles of some levels."""
    to.write_bytes(whole.read_bytes())
    with tifffile.TiffFile(whole) as file:
        pages = [(file.pages[level], which) for level, which in tiles.items()]
        spans = [
            span
            for page, at in pages
            for span in zip(page.dataoffsets[at], page.databytecounts[at], strict=True)
        ]
    with to.open("r+b") as file:
        for start, count in spans:
            file.seek(start)
            file.write(bytes(count))
    return to


def test_a_damaged_tile_of_a_low_level_is_no_tissue(whole: Path, tmp_path: Path) -> None:
    with open_slide(whole) as slide:
        want, kind = tissue_mask(slide), stain_kind(slide)
    with open_slide(damaged(whole, tmp_path / "d.tif", {1: slice(5, 6), 2: slice(0, 1)})) as slide:
        mask = tissue_mask(slide)
        assert mask.mask.shape == want.mask.shape
        step = np.array(mask.downsample)
        y0, x0 = np.floor(np.array((1, 1)) * TILE * STEP / step).astype(int)  # tile 5 of 4 a row
        y1, x1 = np.ceil(np.array((2, 2)) * TILE * STEP / step).astype(int)
        hole = np.zeros(mask.mask.shape, bool)
        hole[y0:y1, x0:x1] = True
        assert want.mask[hole].all()
        assert not mask.classes[hole].any()
        np.testing.assert_array_equal(mask.artefacts, 0)
        assert (mask.mask == want.mask)[~hole].mean() > 0.998
        assert mask.thresholds.tissue == pytest.approx(want.thresholds.tissue, rel=0.1)
        assert len(hwsi.segment_cells(slide, (420, 420, 700, 700))) > 0
        assert kind == "h&e"


def test_the_stain_is_told_by_what_can_be_read(whole: Path, tmp_path: Path) -> None:
    with open_slide(damaged(whole, tmp_path / "e.tif", {1: slice(0, 15)})) as slide:
        _, readable = slide.read_masked((0, 0), slide.level_shapes[1], level=1)
        assert readable.mean() < 0.1
        assert stain_kind(slide) == "h&e"


def test_a_level_of_which_nothing_can_be_read_is_an_error(whole: Path, tmp_path: Path) -> None:
    with (
        open_slide(damaged(whole, tmp_path / "f.tif", {1: slice(0, 16)})) as slide,
        pytest.raises(SlideError, match="f"),
    ):
        tissue_mask(slide)
