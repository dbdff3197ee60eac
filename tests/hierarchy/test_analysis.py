"""What a run computes, and what it does not compute again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile

import napari_hwsi as hwsi
from napari_hwsi.cells import Classical, segment_cells
from napari_hwsi.encoders import unit
from napari_hwsi.encoders.places import load_places
from napari_hwsi.encoders.pocket_cells import load_pocket_fuser
from napari_hwsi.errors import (
    Cancelled,
    InputError,
    ResolutionError,
    SlideUnavailableError,
    StoreError,
    TissueError,
)
from napari_hwsi.hierarchy import analysis, extend
from napari_hwsi.hierarchy.filter import filter_release
from napari_hwsi.hierarchy.fused import fuse_cells, fuser_for, patches_of
from napari_hwsi.progress import Step
from napari_hwsi.slides import open_slide
from napari_hwsi.tissue import CLASSES, tissue_mask

from .conftest import PIECE, PIECES, arrays_of, tissue, write_slide


@pytest.fixture
def result(whole: Path) -> hwsi.Hierarchy:
    return hwsi.open_result(whole)


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy.hwsi.zarr"))


def regions_done(steps: list[Step]) -> set[int]:
    return {step.done for step in steps if step.what == "regions"}


def files_of(store: Path, part: str) -> dict[str, bytes]:
    return {name: content for name, content in arrays_of(store).items() if name.startswith(part)}


def test_the_tables_fit_together(result: hwsi.Hierarchy) -> None:
    patches, cells = result.patches, result.cells
    assert patches["region"].tolist() == np.repeat(np.arange(4), 256).tolist()
    assert patches["patch"].tolist() == list(range(256)) * 4
    assert patches["n_cells"].sum() == len(cells) == result.regions["n_cells"].sum()
    for row in patches[patches["n_cells"] > 0].itertuples():
        assert cells.inside((row.y0, row.x0, row.y1, row.x1)).sum() == row.n_cells
    valid = patches["valid"]
    assert (patches.loc[valid, "on_slide"] >= 0.5).all()
    assert not result.patch_vectors[~valid].any()
    assert np.linalg.norm(result.patch_vectors[valid], axis=1) == pytest.approx(1, abs=1e-5)


def test_regions_and_the_slide_are_made_of_what_is_valid_where_it_lies(result: hwsi.Hierarchy) -> None:
    valid = result.patches["valid"].to_numpy()
    vectors = result.patch_vectors.reshape(4, 16, 16, -1)
    places = load_places(device="cpu")
    regions = [places.region(vectors[i], valid.reshape(4, 16, 16)[i]) for i in range(4)]
    np.testing.assert_allclose(result.region_vectors, [one.vector for one in regions], rtol=1e-4, atol=1e-4)
    shares, boxes = result.attention("patch", kind="pocket")
    np.testing.assert_allclose(
        shares, np.concatenate([r.shares for r in regions])[valid], rtol=1e-3, atol=1e-6
    )
    assert boxes.tolist() == result.patches.loc[valid, ["y0", "x0", "y1", "x1"]].to_numpy().tolist()
    slide = places.slide(result.region_vectors, np.array([[0, 0], [0, 1], [1, 0], [1, 1]]))
    np.testing.assert_allclose(result.slide_vector, slide.vector, rtol=1e-4, atol=1e-4)
    shares, boxes = result.attention("region", kind="pocket")
    np.testing.assert_allclose(shares, slide.shares, rtol=1e-3, atol=1e-6)
    assert 0 < shares.sum() < 1
    assert boxes.tolist() == result.regions[["y0", "x0", "y1", "x1"]].to_numpy().tolist()


def test_the_cells_of_kept_patches_are_fused_by_what_is_measured_of_them(result: hwsi.Hierarchy) -> None:
    fuser, kept, cells = load_pocket_fuser("cpu"), result.selected_patches, result.cells
    assert result.cell_tokens.shape == (len(kept), fuser.width)
    row = int(kept["n_cells"].to_numpy().argmax())
    patch = kept.iloc[row]
    inside = cells.inside((patch.y0, patch.x0, patch.y1, patch.x1))
    assert inside.sum() == patch.n_cells > 5
    measured = cells.table.loc[inside, list(fuser.columns)].to_numpy(np.float32)
    by_hand = fuser.fuse(measured, np.array([0, len(measured)]))
    np.testing.assert_allclose(result.cell_tokens[row], by_hand.tokens[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(result.cell_shares[inside], by_hand.shares, rtol=1e-3, atol=1e-5)
    everywhere = fuse_cells(cells, patches_of(result.grid, cells), fuser_for(cells, "cpu"))
    assert everywhere.tokens.shape[1] == fuser.width
    assert len(everywhere.cells) == len(cells)


def test_the_filter_stands_in_the_table(result: hwsi.Hierarchy) -> None:
    table = result.patches
    first = table[table["region"] == 0]
    words = unit(result.profile.patch_encoder().encode_text(result.phrases)).mean(0)
    kept = filter_release(result.patch_vectors[:256], words, first["valid"].to_numpy())
    mine = result.selected_patches
    assert mine[mine["region"] == 0]["patch"].tolist() == kept.tolist()
    assert table.loc[table["valid"], "relevance"].to_numpy() == pytest.approx(
        table.loc[table["valid"], [*result.phrases]].mean(axis=1), abs=1e-6
    )
    scores, boxes = result.attention("patch")
    assert scores.tolist() == table.loc[table["valid"], "relevance"].tolist()
    assert boxes.tolist() == table.loc[table["valid"], ["y0", "x0", "y1", "x1"]].to_numpy().tolist()
    with pytest.raises(InputError, match="filter"):
        result.attention("patch", kind="occlusion")


def test_phrases_of_a_question_are_scored_without_writing(result: hwsi.Hierarchy) -> None:
    before = arrays_of(result.path)
    scores = result.phrase_scores(["crowded nuclei", "fat"])
    assert scores.shape == (4 * 256, 2)
    assert np.array_equal(scores[:, 0], result.patches["crowded nuclei"], equal_nan=True)
    assert arrays_of(result.path) == before


def test_no_nucleus_is_counted_twice_at_a_seam(result: hwsi.Hierarchy) -> None:
    y, x = PIECES[-1]
    here = result.cells.in_box((y, x, y + PIECE, x + PIECE))
    polygons = here.contours.polygons()
    first, second = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    pairs = first < second
    a, b = polygons[first[pairs]], polygons[second[pairs]]
    shared = shapely.area(shapely.intersection(a, b))
    assert (shared <= 0.31 * np.minimum(shapely.area(a), shapely.area(b))).all()
    box = (y, x, y + PIECE, x + PIECE)
    at_once = segment_cells(result.slide, box=box)
    assert len(here) == pytest.approx(len(at_once), rel=0.03)


def test_a_box_and_then_the_rest_equals_the_whole(
    slide_file: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "parts.hwsi.zarr"
    box = (4500, 4500, 4510, 4510)
    first = hwsi.analyze(slide_file, path, box=box)
    assert first.regions["status"].tolist() == ["pending", "pending", "pending", "done"]
    assert first.covers(box)
    assert not first.covers((0, 0, 4796, 4796))
    monkeypatch.delattr(analysis, "tissue_of")  # the result knows where tissue is
    steps: list[Step] = []
    rest = extend(first, progress=steps.append)
    assert regions_done(steps) == {1, 2, 3, 4}
    assert rest.covers((0, 0, 4796, 4796))
    assert arrays_of(path) == arrays_of(whole)


def test_nothing_is_done_twice(slide_file: Path, copy: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in copy.rglob("*") if "log" not in file.parts}
    steps: list[Step] = []
    hwsi.analyze(slide_file, copy, progress=steps.append)
    assert regions_done(steps) == {4}
    after = {file: file.stat().st_mtime_ns for file in copy.rglob("*") if "log" not in file.parts}
    assert {k: v for k, v in before.items() if k.is_file()} == {k: v for k, v in after.items() if k.is_file()}


def test_another_name_of_an_artefact_reaches_the_result_and_redoes_nothing(
    slide_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "artefacts.hwsi.zarr"
    with open_slide(slide_file) as slide:
        mask = tissue_mask(slide)
        classes = mask.classes
        classes[:, int(4250 / mask.downsample[1]) :] = CLASSES.index("fold")
        hwsi.analyze(slide, path, tissue=mask.edited(classes))
        cells, vectors = files_of(path, "cells"), files_of(path, "patches/vectors")
        classes[classes == CLASSES.index("fold")] = CLASSES.index("pen")
        steps: list[Step] = []
        result = hwsi.analyze(slide, path, tissue=mask.edited(classes), progress=steps.append)
    assert regions_done(steps) == {4}
    np.testing.assert_array_equal(result.tissue.classes, classes)
    assert (files_of(path, "cells"), files_of(path, "patches/vectors")) == (cells, vectors)


def test_other_phrases_only_score_anew(slide_file: Path, copy: Path) -> None:
    cells, vectors = files_of(copy, "cells"), files_of(copy, "patches/vectors")
    steps: list[Step] = []
    result = hwsi.analyze(slide_file, copy, phrases=["few nuclei"], progress=steps.append)
    assert regions_done(steps) == {4}
    assert result.phrases == ("few nuclei",)
    assert result.patches["relevance"].equals(result.patches["few nuclei"].rename("relevance"))
    assert files_of(copy, "cells") == cells
    assert files_of(copy, "patches/vectors") == vectors
    # Cells alone leave the phrases as they are; without phrases, the filter still chooses.
    assert hwsi.analyze(slide_file, copy, parts=["cells"]).phrases == ("few nuclei",)
    bare = hwsi.analyze(slide_file, copy, phrases=[])
    assert bare.patches["selected"].sum() == bare.patches["valid"].sum()


def test_another_segmenter_redoes_the_cells_alone(slide_file: Path, copy: Path, whole: Path) -> None:
    vectors = files_of(copy, "patches/vectors")
    coarse = Classical(mpp=0.6)

    def refuse(step: Step) -> None:
        raise Cancelled("at once")

    with pytest.raises(Cancelled):
        hwsi.analyze(slide_file, copy, segmenter=coarse, progress=refuse)
    assert files_of(copy, "cells") == files_of(whole, "cells")
    result = hwsi.analyze(slide_file, copy, segmenter=coarse, box=(3200, 3200, 3300, 3300))
    assert files_of(copy, "patches/vectors") == vectors
    assert result.regions["cells"].tolist() == [True, False, False, False]
    assert result.regions["patches"].all()
    assert result.regions["n_cells"].isna().tolist() == [False, True, True, True]
    assert result.cells.inside(result.grid.region_box(0)).all()


def test_normalised_colours_redo_the_patches_alone(slide_file: Path, copy: Path) -> None:
    cells, before = files_of(copy, "cells"), hwsi.open_result(copy).patch_vectors
    result = hwsi.analyze(slide_file, copy, normalise="reinhard")
    assert (result.normalisation, files_of(copy, "cells")) == ("reinhard", cells)
    assert not np.allclose(result.patch_vectors, before)
    steps: list[Step] = []
    assert hwsi.analyze(slide_file, copy, parts=["cells"], progress=steps.append).normalisation == "reinhard"
    extend(result, progress=steps.append)
    assert regions_done(steps) == {4}
    assert hwsi.analyze(slide_file, copy).normalisation is None
    np.testing.assert_array_equal(hwsi.open_result(copy).patch_vectors, before)
    with pytest.raises(InputError, match="macenko, reinhard"):
        hwsi.analyze(slide_file, copy, normalise="white")


def test_adding_never_takes_away(slide_file: Path, tmp_path: Path) -> None:
    """A segmenter made by hand is not the one of its name."""
    coarse, box, other = Classical(mpp=0.6), (3200, 3200, 3300, 3300), (4500, 4500, 4510, 4510)
    result = hwsi.analyze(slide_file, tmp_path / "r.hwsi.zarr", segmenter=coarse, box=box)
    before, cells = arrays_of(result.path), files_of(result.path, "cells")
    with pytest.raises(StoreError, match="same segmenter"):
        extend(result, other)
    assert arrays_of(result.path) == before
    more = extend(result, other, parts=["patches"])
    assert more.regions["patches"].tolist() == [True, False, False, True]
    assert files_of(result.path, "cells") == cells
    more = extend(result, other, parts=["cells"], segmenter=coarse)
    assert more.covers(box)
    assert more.covers(other)


@pytest.mark.parametrize("what", ["looking at the stain", "looking for tissue", "sampling the stain"])
def test_work_before_the_first_region_can_be_stopped(slide_file: Path, tmp_path: Path, what: str) -> None:
    def stop(step: Step) -> None:
        if step.what == what:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        hwsi.analyze(slide_file, tmp_path / "r.hwsi.zarr", progress=stop)
    assert not (tmp_path / "r.hwsi.zarr").exists()


def test_one_part_alone(slide_file: Path, tmp_path: Path) -> None:
    result = hwsi.analyze(slide_file, tmp_path / "p.hwsi.zarr", parts=["patches"])
    assert (result.regions["status"] == "done").all()
    assert result.patches["n_cells"].isna().all()
    assert len(result.cells) == 0
    assert not result.covers((3200, 3200, 3300, 3300))
    assert result.covers((3200, 3200, 3300, 3300), parts=["patches"])


def damage_a_tile(path: Path, y: int, x: int) -> None:
    """Overwrite the compressed tile at a place of level 0 with zeros."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        tile = (y // 256) * -(-page.shape[1] // 256) + x // 256
        offset, size = page.dataoffsets[tile], page.databytecounts[tile]
    with path.open("rb+") as stream:
        stream.seek(offset)
        stream.write(bytes(size))


def test_an_unreadable_place_is_marked_and_all_else_is_kept(
    slide_file: Path, result: hwsi.Hierarchy, tmp_path: Path
) -> None:
    broken = Path(shutil.copy(slide_file, tmp_path / "broken.tif"))
    damage_a_tile(broken, 3700, 3700)
    whole = result
    result = hwsi.analyze(broken, tmp_path / "broken.hwsi.zarr")
    assert (result.regions["status"] == "done").all()
    patches, vectors = result.patches, result.patch_vectors
    hit = ~patches["readable"].to_numpy()
    meets = (patches["y0"] < 3840) & (patches["y1"] > 3584) & (patches["x0"] < 3840) & (patches["x1"] > 3584)
    np.testing.assert_array_equal(hit, meets & whole.patches["valid"])
    assert hit.any()
    assert not patches["valid"][hit].any()
    assert not vectors[hit].any()
    np.testing.assert_array_equal(vectors[~hit], whole.patch_vectors[~hit])
    tile, around = (3584, 3584, 3840, 3840), (3500, 3500, 3900, 3900)
    assert len(result.cells.in_box(tile)) == 0 < len(whole.cells.in_box(tile))
    lost = len(whole.cells) - len(result.cells)
    assert 0 < lost < 1.5 * len(whole.cells.in_box(around))
    answer = hwsi.ask(result, "How many nuclei are there?", box=(3400, 3400, 4000, 4000))
    assert any("could not be read" in note for note in answer.notes)


def test_a_file_that_stops_answering_stops_the_run_and_keeps_what_is_done(
    slide_file: Path, tmp_path: Path
) -> None:
    """The file loses its end when the second region starts, as a drive that goes away would have it."""
    path = Path(shutil.copy(slide_file, tmp_path / "slide.tif"))
    content = path.read_bytes()

    def cut(step: Step) -> None:
        if step.what == "regions" and step.done == 1:
            path.write_bytes(content[: len(content) // 50])

    with pytest.raises(SlideUnavailableError, match="drive"):
        hwsi.analyze(path, tmp_path / "r.hwsi.zarr", progress=cut)
    path.write_bytes(content)
    assert hwsi.open_result(tmp_path / "r.hwsi.zarr").regions["status"].tolist().count("done") == 1
    again = hwsi.analyze(path, tmp_path / "r.hwsi.zarr")
    assert (again.regions["status"] == "done").all()


def test_a_slide_that_moved(slide_file: Path, tmp_path: Path) -> None:
    here = Path(shutil.copy(slide_file, tmp_path / "here.tif"))
    hwsi.analyze(here, tmp_path / "r.hwsi.zarr", parts=["patches"], box=(3200, 3200, 3300, 3300))
    there = here.rename(tmp_path / "there.tif")
    result = hwsi.open_result(tmp_path / "r.hwsi.zarr")
    with pytest.raises(StoreError, match="open_slide"):
        _ = result.slide
    with pytest.raises(StoreError, match="not the slide"):
        result.open_slide(write_slide(tmp_path / "other.tif", seed=9))
    result.open_slide(there)
    assert result.slide.read((3200, 3200), (4, 4)).shape == (4, 4, 3)


def test_senseless_input_is_named_and_leaves_nothing(slide_file: Path, data: Path, tmp_path: Path) -> None:
    store = tmp_path / "none.hwsi.zarr"
    for settings, error, words in [
        ({"profile": "rocket"}, InputError, "pocket"),
        ({"parts": ["slides"]}, InputError, "patches, cells"),
        ({"segmenter": "guess"}, InputError, "classical"),
        ({"phrases": ["adenocarcinoma"]}, InputError, "crowded nuclei"),
        ({"box": (9000, 9000, 9100, 9100)}, InputError, "off four"),
    ]:
        with pytest.raises(error, match=words):
            hwsi.analyze(slide_file, store, **settings)
    with pytest.raises(InputError, match="fluorescence"):
        hwsi.analyze(data / "wsi" / "test3-DAPI-2-387.ndpi", store)
    with pytest.raises(ResolutionError, match="mpp="):
        hwsi.analyze(hwsi.slide_from_array(tissue(0)), store)
    with pytest.raises(TissueError, match="no tissue"):
        hwsi.analyze(hwsi.slide_from_array(np.full((900, 900, 3), 244, np.uint8), mpp=0.5), store)
    assert not store.exists()


def test_a_real_slide_smaller_than_a_region(cmu: Path, tmp_path: Path) -> None:
    result = hwsi.analyze(cmu, tmp_path / "cmu.hwsi.zarr")
    assert len(result.grid) == 1
    assert result.grid.mpp == pytest.approx((0.499, 0.499))
    assert 1500 < len(result.cells) < 6000
    valid = result.patches["valid"]
    assert 40 < valid.sum() < 80
    assert result.patches["selected"].sum() == 16
    assert result.patches.loc[~valid & (result.patches["on_slide"] < 0.5), "n_cells"].sum() < len(
        result.cells
    )
    assert result.covers((0, 0, *result.slide.shape))
    assert result.slide_facts["name"] == cmu.name
    densest = result.patches.loc[result.patches["n_cells"].astype(float).idxmax()]
    assert densest["crowded nuclei"] > result.patches["crowded nuclei"].median()
