"""Find places by example and by words, in one result and over a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_hwsi import analyze, find, open_result
from napari_hwsi.cli import main
from napari_hwsi.errors import InputError
from napari_hwsi.hierarchy import Example, Hierarchy

from .conftest import write_slide


@pytest.fixture(scope="module")
def folder(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two slides, the second without cells."""
    out = tmp_path_factory.mktemp("results")
    shutil.copytree(whole, out / "a.hwsi.zarr")
    other = write_slide(tmp_path_factory.mktemp("other") / "b.tif", seed=9)
    analyze(other, out / "b.hwsi.zarr", parts=["patches"], device="cpu")
    return out


@pytest.fixture(scope="module")
def result(folder: Path) -> Hierarchy:
    return open_result(folder / "a.hwsi.zarr")


def box_of(result: Hierarchy, row: int) -> tuple[int, int, int, int]:
    y0, x0, y1, x1 = result.patches.loc[row, ["y0", "x0", "y1", "x1"]].astype(int)
    return y0, x0, y1, x1


def test_the_likest_patches_come_first_and_the_example_itself_never(result: Hierarchy) -> None:
    valid = np.flatnonzero(result.patches["valid"])
    row = int(valid[3])
    found = find(result, box_of(result, row), count=5)
    vectors = result.patch_vectors
    cosines = (
        vectors @ vectors[row] / np.linalg.norm(vectors, axis=1).clip(1e-9) / np.linalg.norm(vectors[row])
    )
    others = [i for i in valid[np.argsort(-cosines[valid], kind="stable")] if i != row][:5]
    assert [place.box for place in found.places] == [box_of(result, int(i)) for i in others]
    assert [place.score for place in found.places] == pytest.approx(cosines[others].tolist(), abs=1e-5)


def test_an_example_over_several_patches_is_their_mean_by_area(result: Hierarchy) -> None:
    valid = set(np.flatnonzero(result.patches["valid"]).tolist())
    row = next(
        i for i in sorted(valid) if i + 1 in valid and box_of(result, i)[0] == box_of(result, i + 1)[0]
    )
    y0, x0, y1, x1 = box_of(result, row)
    wide = y0, x0, y1, x1 + (x1 - x0) // 2
    best = find(result, wide, count=1).places[0]
    mixed = 2 * result.patch_vectors[row] + result.patch_vectors[row + 1]
    rows = [i for i in valid if i not in (row, row + 1)]
    scores = result.patch_vectors[rows] @ mixed / np.linalg.norm(mixed)
    assert best.box == box_of(result, rows[int(scores.argmax())])


def test_words_find_what_the_scores_say(result: Hierarchy) -> None:
    phrase = result.phrases[0]
    found = find(result, text=phrase, count=3)
    best = result.patches[result.patches["valid"]].sort_values(phrase, ascending=False, kind="stable")
    assert [place.box for place in found.places] == [box_of(result, int(i)) for i in best.index[:3]]
    with pytest.raises(InputError):
        find(result, text="a unicorn")


def test_nuclei_alike_in_size_and_stain_are_found_with_their_boxes(result: Hierarchy) -> None:
    areas = result.cell_column("table/area_um2")
    centre = result.cell_column("centroids")[int(areas.argmax())]
    y, x = np.floor(centre).astype(int).tolist()
    found = find(result, (y, x, y + 1, x + 1), scale="cell", count=10)
    sizes = []
    for place in found.places:
        y0, x0, y1, x1 = place.box
        near = result.cells_in((y0, x0, y1, x1))
        assert len(near) >= 1
        sizes.append(float(near.table["area_um2"].max()))
    assert np.median(sizes) > np.median(areas)


def test_a_folder_is_searched_and_slides_are_ranked(folder: Path, result: Hierarchy) -> None:
    row = int(np.flatnonzero(result.patches["valid"])[0])
    found = find(folder, Example(result, box_of(result, row)), count=40, each=6)
    names = [place.slide for place in found.places]
    assert found.searched == 2
    assert len(set(names)) == 2
    assert max(names.count(name) for name in set(names)) <= 6
    scores = [place.score for place in found.places]
    assert scores == sorted(scores, reverse=True)
    ranked = found.slides()
    assert [score for *_, score in ranked] == sorted((score for *_, score in ranked), reverse=True)


def test_what_was_made_otherwise_is_left_out_and_told(
    folder: Path, result: Hierarchy, slide_file: Path, tmp_path: Path
) -> None:
    analyze(slide_file, tmp_path / "n.hwsi.zarr", parts=["patches"], normalise="reinhard", device="cpu")
    row = int(np.flatnonzero(result.patches["valid"])[0])
    found = find([folder, tmp_path], Example(result, box_of(result, row)))
    assert found.searched == 2
    assert "reinhard" in found.left_out["n.hwsi.zarr"]


def test_bad_questions_are_refused(folder: Path, result: Hierarchy, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one of them"):
        find(result)
    with pytest.raises(InputError, match="holds no results"):
        find(tmp_path, text="x")
    with pytest.raises(InputError, match="which result"):
        find(folder, (0, 0, 10, 10))
    with pytest.raises(InputError, match="Cells have no words"):
        find(result, text="x", scale="cell")


def test_the_command_prints_places_and_worklist(
    folder: Path, result: Hierarchy, capsys: pytest.CaptureFixture[str]
) -> None:
    box = [str(value) for value in box_of(result, int(np.flatnonzero(result.patches["valid"])[0]))]
    store = str(folder / "a.hwsi.zarr")
    assert main(["find", str(folder), "--like", store, "--box", *box, "--worklist", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["searched"] == 2
    assert len(told["slides"]) == 2
    assert main(["find", store, "--text", result.phrases[1], "--count", "2"]) == 0
    assert "1 result searched" in capsys.readouterr().out
