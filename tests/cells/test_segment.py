"""The whole way: slides and images, tiles, seams, stores, bad input."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_hwsi.cells import Classical, find_segmenter, pipeline, segment_cells, segment_owned, tiles
from napari_hwsi.cells.fields import sample_fields
from napari_hwsi.cells.tiles import TilePixels
from napari_hwsi.errors import Cancelled, InputError, ResolutionError, SlideError, StoreError, TissueError
from napari_hwsi.metrics import instance_scores
from napari_hwsi.progress import Step
from napari_hwsi.slides import Slide, open_slide, slide_from_array
from napari_hwsi.tissue import TissueMask

from .conftest import Piece, same_cells


@pytest.fixture
def slide(tissue_piece: Piece) -> Slide:
    return slide_from_array(tissue_piece.rgb, mpp=0.5, name="piece")


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 250 px, so that the piece has nine, with seams through nuclei."""
    monkeypatch.setattr(tiles, "TILE_PX", 250)


def test_an_image_and_a_slide_give_the_same_cells(tissue_piece: Piece, slide: Slide) -> None:
    cells = segment_cells(tissue_piece.rgb, mpp=0.5)
    assert same_cells(cells, segment_cells(slide))
    assert cells.mpp == (0.5, 0.5)
    assert {"area_um2", "haematoxylin_mean_od", "centroid_y_px"} <= set(cells.table.columns)
    scores = instance_scores(tissue_piece.truth, cells.labels((0, 0, *slide.shape)))
    assert scores.f1 > 0.75


def test_seams_neither_cut_nor_double(slide: Slide, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = segment_cells(slide)
    for side in (300, 171):
        monkeypatch.setattr(tiles, "TILE_PX", side)
        tiled = segment_cells(slide)
        assert abs(len(tiled) / len(whole) - 1) <= 0.005
        same = {tuple(c) for c in whole.centroids} & {tuple(c) for c in tiled.centroids}
        assert len(same) >= 0.99 * len(whole)
        covered = tiled.labels((0, 0, *slide.shape)) > 0
        assert (covered == (whole.labels((0, 0, *slide.shape)) > 0)).mean() > 0.999


@pytest.mark.usefixtures("small_tiles")
def test_rows_stand_in_order_of_tile_then_place(slide: Slide) -> None:
    y, x = segment_cells(slide).centroids.T
    np.testing.assert_array_equal(np.lexsort((x, y, x // 250, y // 250)), np.arange(len(y)))


def test_owned_halves_make_the_whole(slide: Slide) -> None:
    fitted = Classical().fit(slide)
    height, width = slide.shape
    whole = segment_owned(slide, (0, 0, height, width), fitted)
    halves = [segment_owned(slide, box, fitted) for box in ((0, 0, height, 333), (0, 333, height, width))]
    assert (halves[0].centroids[:, 1] < 333).all()
    assert (halves[1].centroids[:, 1] >= 333).all()
    assert {tuple(c) for half in halves for c in half.centroids} == {tuple(c) for c in whole.centroids}


def test_owned_boxes_reach_beyond_the_slide(slide: Slide) -> None:
    fitted = Classical().fit(slide)
    beyond = segment_owned(slide, (-500, -500, 4096, 4096), fitted)
    assert same_cells(beyond, segment_owned(slide, (0, 0, *slide.shape), fitted))
    assert len(segment_owned(slide, (5000, 5000, 6000, 6000), fitted)) == 0


def test_a_box_holds_the_cells_whose_centroid_is_in_it(slide: Slide) -> None:
    box = (100, 150, 400, 420)
    cells = segment_cells(slide, box=box)
    assert 0 < len(cells) < len(segment_cells(slide))
    assert cells.inside(box).all()


def test_fine_and_coarse_pixels_are_placed_right(tissue_piece: Piece) -> None:
    half = segment_cells(tissue_piece.rgb, mpp=0.5)
    doubled = tissue_piece.rgb.repeat(2, 0).repeat(2, 1)
    fine = segment_cells(doubled, mpp=0.25)
    assert same_cells(half, fine) is False
    np.testing.assert_allclose(fine.centroids / 2, half.centroids, atol=0.1)
    np.testing.assert_allclose(fine.table.area_um2, half.table.area_um2, rtol=0.01)
    coarse = segment_cells(tissue_piece.rgb, mpp=0.9)
    assert coarse.mpp == (0.9, 0.9)


@pytest.mark.parametrize(("mpp", "times"), [((0.6, 0.3), (1, 2)), ((0.25, 0.5), (2, 1))])
def test_oblong_pixels_are_segmented_square(
    tissue_piece: Piece, mpp: tuple[float, float], times: tuple[int, int]
) -> None:
    stretched = tissue_piece.rgb.repeat(times[0], 0).repeat(times[1], 1)
    square, oblong = (
        segment_cells(image, mpp=size, tissue=TissueMask(np.ones((1, 1), bool), image.shape[:2]))
        for image, size in ((tissue_piece.rgb, max(mpp)), (stretched, mpp))
    )
    assert len(square) > 100
    np.testing.assert_allclose(oblong.centroids / times, square.centroids, atol=0.1)
    np.testing.assert_allclose(oblong.table.area_um2, square.table.area_um2, rtol=0.02)


def test_an_unreadable_field_is_passed_over(slide: Slide, monkeypatch: pytest.MonkeyPatch) -> None:
    read, left = slide.read, [1]

    def failing(*arguments: object, **options: object) -> np.ndarray:
        if left[0]:
            left[0] -= 1
            raise SlideError("a damaged tile")
        return read(*arguments, **options)

    monkeypatch.setattr(slide, "read", failing)
    fields = sample_fields(slide, 0.5, None)
    assert len(fields) == 3  # of four
    left[0] = 99
    with pytest.raises(SlideError, match="damaged tile"):
        sample_fields(slide, 0.5, None)


def test_work_before_the_first_tile_can_be_stopped(slide: Slide) -> None:
    for what in ("looking at the stain", "looking for tissue", "sampling the stain"):

        def stop(step: Step, what: str = what) -> None:
            if step.what == what:
                raise Cancelled(what)

        with pytest.raises(Cancelled, match=what):
            segment_cells(slide, progress=stop)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("damaged", ["tile-000003.parquet", "facts.json"])
def test_a_power_cut_is_made_good(slide: Slide, tmp_path: Path, damaged: str) -> None:
    expected = segment_cells(slide, store=tmp_path / "cells")
    (tmp_path / "cells" / damaged).write_bytes(b"")
    assert same_cells(segment_cells(slide, store=tmp_path / "cells"), expected)
    assert (tmp_path / "cells" / damaged).stat().st_size


def test_cancelling_keeps_finished_tiles_and_a_second_run_goes_on(
    slide: Slide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_tiles: None
) -> None:
    expected = segment_cells(slide)
    store = tmp_path / "piece.cells"

    def stop_after_four(step: Step) -> None:
        if step == Step(4, 9, "tiles"):
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        segment_cells(slide, store=store, progress=stop_after_four)
    assert len(list(store.glob("tile-*.parquet"))) == 4
    fresh: list[object] = []
    original = pipeline.read_tile

    def counted(*arguments: Any) -> TilePixels:
        fresh.append(arguments[1])
        return original(*arguments)

    monkeypatch.setattr(pipeline, "read_tile", counted)
    resumed = segment_cells(slide, store=store)
    assert len(fresh) == 5
    assert same_cells(resumed, expected)
    assert same_cells(segment_cells(slide, store=store), expected)
    assert len(fresh) == 5


def test_a_store_belongs_to_one_slide_and_its_settings(
    slide: Slide, tissue_piece: Piece, tmp_path: Path
) -> None:
    store = tmp_path / "cells"
    box = (0, 0, 200, 200)
    segment_cells(slide, box=box, store=store)
    other = slide_from_array(tissue_piece.rgb[::-1].copy(), mpp=0.5, name="other")
    with pytest.raises(StoreError, match=r"another slide \(piece\)"):
        segment_cells(other, box=box, store=store)
    with pytest.raises(StoreError, match=r"other settings \(segmenter\)"):
        segment_cells(slide, box=box, store=store, segmenter=Classical(mpp=0.6))
    with pytest.raises(StoreError, match="box"):
        segment_cells(slide, box=(0, 0, 100, 100), store=store)


def test_a_folder_of_something_else_is_left_alone(slide: Slide, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(StoreError, match="new folder"):
        segment_cells(slide, store=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_an_image_without_resolution_is_refused(tissue_piece: Piece) -> None:
    with pytest.raises(ResolutionError, match="with the array"):
        segment_cells(tissue_piece.rgb)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((50, 60), np.uint8), "grey or holds labels"),
        (np.zeros((50, 60), np.int32), "grey or holds labels"),
        (np.zeros((50, 60, 3), np.float32), "float32"),
        (np.zeros((5, 50, 60, 3), np.uint8), r"\(5, 50, 60, 3\)"),
        ("slide.svs", "open_slide"),
    ],
)
def test_what_is_not_rgb_is_refused(image: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        segment_cells(image, mpp=0.5)  # type: ignore[arg-type]


def test_transparency_is_laid_on_white(tissue_piece: Piece) -> None:
    alpha = np.full((*tissue_piece.rgb.shape[:2], 1), 255, np.uint8)
    alpha[:, :350] = 0
    cells = segment_cells(np.concatenate([tissue_piece.rgb, alpha], 2), mpp=0.5)
    assert len(cells)
    assert (cells.centroids[:, 1] > 348).all()


def test_an_unknown_segmenter_names_those_that_are_here(slide: Slide) -> None:
    with pytest.raises(InputError, match=r"'mesmer'.*cellpose.*classical"):
        segment_cells(slide, segmenter="mesmer")
    assert find_segmenter().name == "pocket"


def test_a_box_off_the_slide_is_refused(slide: Slide) -> None:
    with pytest.raises(InputError, match="does not meet"):
        segment_cells(slide, box=(9000, 9000, 9100, 9100))


def test_a_slide_of_glass_has_no_tissue() -> None:
    glass = np.full((2300, 2300, 3), 244, np.uint8)
    with pytest.raises(TissueError, match="No tissue"):
        segment_cells(glass, mpp=0.5)
    assert len(segment_cells(glass, box=(0, 0, 500, 500), mpp=0.5)) == 0


def test_only_tiles_with_tissue_are_visited(tissue_piece: Piece) -> None:
    image = np.full((2300, 2300, 3), 244, np.uint8)
    image[1500:2100, 1500:2200] = tissue_piece.rgb
    steps: list[Step] = []
    cells = segment_cells(image, mpp=0.5, progress=steps.append)
    visits = [step for step in steps if step.what == "tiles"]
    assert list(dict.fromkeys(step.done for step in visits)) == list(range(visits[0].total + 1))
    assert 0 < visits[0].total <= 4  # of nine
    assert cells.inside((1490, 1490, 2110, 2210)).all()
    assert len(cells) > 100


def test_fluorescence_is_refused(data: Path) -> None:
    with (
        open_slide(data / "wsi" / "test3-DAPI-2-387.ndpi") as slide,
        pytest.raises(InputError, match=r"fluorescence.*works? all the same"),
    ):
        segment_cells(slide, box=(0, 0, 500, 500), segmenter="classical")


def test_other_stains_are_tried_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    brown = np.random.default_rng(0).integers(0, 20, (200, 200, 3)) + np.array([120, 90, 40])
    with caplog.at_level(logging.WARNING):
        segment_cells(brown.astype(np.uint8), mpp=0.5)
    assert "does not look like H&E" in caplog.text


def test_real_skin(cmu: Path) -> None:
    """Epidermis in the middle of the section, counted by eye as roughly 200 nuclei."""
    with open_slide(cmu) as slide:
        box = (600, 850, 900, 1250)
        cells = segment_cells(slide, box=box)
        assert 110 < len(cells) < 260
        assert 20 < cells.table.area_um2.median() < 60
        assert (cells.table.haematoxylin_mean_od > cells.table.eosin_mean_od).mean() > 0.9
        glass = segment_cells(slide, box=(100, 100, 700, 500))
        assert len(glass) == 0
