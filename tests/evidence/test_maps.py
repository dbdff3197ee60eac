"""Maps: what a pixel shows is the score of the unit there, in every file."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_hwsi import Cells, analyze, open_result
from napari_hwsi.cli import main
from napari_hwsi.errors import InputError, StoreError
from napari_hwsi.evidence.maps import ENDINGS, ScoreMap, maps_of, pixels_for, read_maps, write_maps
from napari_hwsi.slides import open_slide

HALF = (0.5, 0.5)


@pytest.fixture(scope="module")
def store(piece: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return analyze(piece, tmp_path_factory.mktemp("maps") / "piece.hwsi.zarr", device="cpu").path


@pytest.fixture(scope="module")
def maps(store: Path) -> list[ScoreMap]:
    return [one for one in maps_of(open_result(store)) if one.scale != "cell"]


def grid_map(rows: int, columns: int, side: float = 256, stride: float | None = None) -> ScoreMap:
    """A map of patches whose score is their number."""
    step = side if stride is None else stride
    corners = np.array([(y * step, x * step) for y in range(rows) for x in range(columns)])
    boxes = np.rint(np.concatenate([corners, corners + side], 1)).astype(np.int64)
    scores = np.arange(len(boxes), dtype=np.float32)
    return ScoreMap("n", "patch", "filter", scores, boxes, (100_000, 100_000), HALF)


@pytest.mark.parametrize("side", [256, 256.513, 219.27])
def test_each_patch_is_one_pixel_whatever_rounding_does(side: float) -> None:
    one = grid_map(60, 90, side)
    np.testing.assert_array_equal(one.raster(), np.arange(5400).reshape(60, 90))


def test_where_patches_overlap_their_mean_is_shown() -> None:
    one = grid_map(3, 3, 256, 128)
    shown = one.raster()
    assert shown.shape == (4, 4)
    assert shown[0, 0] == 0
    assert shown[1, 1] == np.mean([0, 1, 3, 4])
    assert shown[3, 2] == np.mean([7, 8][0:2])


def test_where_nothing_lies_nothing_is_shown() -> None:
    one = grid_map(4, 4)
    keep = np.arange(16) != 5
    holed = ScoreMap("n", "patch", "filter", one.scores[keep], one.boxes[keep], one.shape, HALF)
    assert np.isnan(holed.raster()).sum() == 1
    unscored = np.where(keep, one.scores, np.nan).astype(np.float32)
    assert np.isnan(ScoreMap("n", "patch", "filter", unscored, one.boxes, one.shape, HALF).raster()[1, 1])


def test_small_cells_are_seen_and_equal_percentiles_are_shared() -> None:
    boxes = np.array([[y, x, y + 6, x + 5] for y, x in ((3, 3), (100, 3), (100, 200))])
    cells = ScoreMap("c", "cell", "ccaf", np.array([1, 2, 2], np.float32), boxes, (1000, 1000), HALF)
    assert np.isfinite(cells.raster()).sum() == 3
    np.testing.assert_allclose(cells.percentiles().scores, [0, 75, 75])
    assert cells.percentiles().limits == (0, 100)


def test_a_pixel_of_every_file_is_the_unit_of_the_result(maps: list[ScoreMap], tmp_path: Path) -> None:
    relevance = next(one for one in maps if one.name == "relevance")
    grid = pixels_for(maps)
    shown = np.stack([one.raster(grid) for one in maps])
    for box, score in zip(relevance.boxes, relevance.scores, strict=True):
        middle = [(box[k] + box[k + 2]) / 2 for k in (0, 1)]
        y, x = (int((m - o) / s) for m, o, s in zip(middle, grid.origin, grid.step, strict=True))
        assert shown[maps.index(relevance), y, x] == score
    for ending in (".ome.zarr", ".ome.tif"):
        write_maps(maps, tmp_path / f"a{ending}")
    np.testing.assert_array_equal(zarr.open_group(tmp_path / "a.ome.zarr")["0"][:], shown)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        np.testing.assert_array_equal(tif.asarray(), shown)
        about = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
    assert about["PhysicalSizeX"] == pytest.approx(grid.step[1] * maps[0].mpp[1])
    assert [channel["Name"] for channel in about["Channel"]] == [one.name for one in maps]


@pytest.mark.parametrize("ending", [".ome.zarr", ".parquet"])
def test_reading_back_gives_the_same_maps(maps: list[ScoreMap], ending: str, tmp_path: Path) -> None:
    some = [maps[0], maps[1].percentiles(), maps[2]]
    write_maps(some, tmp_path / f"a{ending}")
    for before, after in zip(some, read_maps(tmp_path / f"a{ending}"), strict=True):
        assert (before.name, before.scale, before.kind, before.values) == (
            after.name, after.scale, after.kind, after.values,
        )  # fmt: skip
        assert (before.shape, before.mpp) == (after.shape, after.mpp)
        np.testing.assert_array_equal(before.raster(), after.raster())


def test_the_ome_zarr_is_what_the_standard_asks_for(maps: list[ScoreMap], tmp_path: Path) -> None:
    models = pytest.importorskip("ome_zarr_models.v05", reason="ome-zarr-models is not installed")
    path = tmp_path / "a.ome.zarr"
    write_maps(maps, path)
    group = zarr.open_group(path, mode="r")
    image = models.Image.from_zarr(group)
    first = image.attributes.ome.multiscales[0].datasets[0].model_dump()
    assert first["coordinateTransformations"][0]["scale"][1:] == pytest.approx([128.0, 128.0], rel=0.01)
    for scale in ("patches", "regions"):
        if scale in group["labels"].attrs["ome"]["labels"]:
            models.ImageLabel.from_zarr(group["labels"][scale])


def test_labels_name_the_unit_and_its_scores(maps: list[ScoreMap], tmp_path: Path) -> None:
    write_maps(maps, tmp_path / "a.ome.zarr")
    labels = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")["labels/patches"]
    properties = labels.attrs["ome"]["image-label"]["properties"]
    pixels, relevance = np.asarray(labels["0"]), maps[0].raster(pixels_for(maps))
    for one in properties:
        (shown,) = np.unique(relevance[pixels == one["label-value"]])
        assert shown == np.float32(one["relevance"])


def test_a_coarser_level_is_the_mean_of_what_is_known(tmp_path: Path) -> None:
    one = grid_map(70, 130)
    keep = np.ones(len(one.scores), bool)
    keep[[0, 131]] = False
    holed = ScoreMap("n", "patch", "filter", one.scores[keep], one.boxes[keep], one.shape, HALF)
    write_maps([holed], tmp_path / "a.ome.zarr")
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    fine, coarse = group["0"][0], group["1"][0]
    assert coarse.shape == (35, 65)
    np.testing.assert_allclose(coarse[0, 0], np.nanmean(fine[:2, :2]))
    datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
    fine_at, coarse_at = (d["coordinateTransformations"][1]["translation"][1:] for d in datasets[:2])
    assert np.subtract(coarse_at, fine_at) == pytest.approx([64.0, 64.0])  # µm: half a pixel of 128


def test_tables_and_geojson_hold_every_scored_unit(maps: list[ScoreMap], tmp_path: Path) -> None:
    some = [one for one in maps if one.scale == "patch"]
    write_maps(some, tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert len(lines) == 1 + len(some[0].scores)
    write_maps(some, tmp_path / "a.geojson")
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert len(features) == len(some[0].scores)
    ring = features[0]["geometry"]["coordinates"][0]
    y0, x0, y1, x1 = some[0].boxes[0].tolist()
    assert (ring[0], ring[2]) == ([x0, y0], [x1, y1])
    assert features[0]["properties"]["measurements"]["relevance"] == pytest.approx(float(some[0].scores[0]))


def test_geojson_counts_from_the_bounds_as_qupath_does(
    cmu: Path, tmp_path: Path, write_leica: Callable[..., None]
) -> None:
    with open_slide(cmu) as whole:
        image = whole.read((1000, 850), (512, 512))
    write_leica(tmp_path / "a.scn", image, (333, 517), (2048, 2304))
    result = analyze(tmp_path / "a.scn", tmp_path / "a.hwsi.zarr", device="cpu")
    assert main(["maps", str(result.path), "-o", str(tmp_path / "maps.geojson"), "--map", "relevance"]) == 0
    features = json.loads((tmp_path / "maps.geojson").read_text())["features"]
    corners = np.array([each["geometry"]["coordinates"][0][0] for each in features])
    _, boxes = result.attention("patch")
    assert len(boxes) == 4
    np.testing.assert_array_equal(np.add(corners, (517, 333)), boxes[:, [1, 0]])
    assert corners.min() == 0
    # The command's cells count from there too, and come back to where they are on the slide.
    file = tmp_path / "cells.geojson"
    assert main(["cells", str(tmp_path / "a.scn"), "-o", str(file), "--segmenter", "classical"]) == 0
    first = json.loads(file.read_text())["features"][0]["geometry"]["coordinates"][0]
    cells = Cells.from_file(file)
    np.testing.assert_allclose(np.add(first[:-1], (517, 333)), cells.contours[0][:, ::-1], atol=0.01)
    assert ((cells.centroids > (333, 517)) & (cells.centroids < (333 + 512, 517 + 512))).all()


def test_the_picture_shows_squares_bar_and_ground(maps: list[ScoreMap], tmp_path: Path) -> None:
    (file,) = write_maps(maps[:1], tmp_path / "a.png", thumbnail=np.full((40, 30, 3), 90, np.uint8))
    picture = np.asarray(Image.open(file))
    colours = {tuple(colour) for colour in picture.reshape(-1, 3)}
    assert {(68, 1, 84), (253, 231, 37)} <= colours  # both ends of the colour bar
    assert len(write_maps(maps[:2], tmp_path / "b.png")) == 2


def test_memory_does_not_grow_with_the_height_of_the_slide() -> None:
    peaks = []
    for height in (20_000, 160_000):
        one = grid_map(8, 40)
        stretched = one.boxes * [height / 2048, 1, height / 2048, 1]
        tall = ScoreMap(
            "n", "patch", "filter", one.scores, stretched.astype(np.int64), (height, 10_240), HALF
        )
        grid = pixels_for([tall], step_um=16.0)
        tracemalloc.start()
        for _ in tall.blocks(grid):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_the_command_writes_and_names_what_is_not_there(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "a.parquet"
    assert main(["maps", str(store), "-o", str(target), "--map", "relevance", "--percentile", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["values"] == "percentile"
    assert read_maps(target)[0].limits == (0, 100)
    assert main(["maps", str(store), "-o", str(target), "--map", "tumour"]) == 1
    assert "has no map 'tumour'" in capsys.readouterr().err
    assert main(["maps", str(store), "-o", str(tmp_path / "a.jpg")]) == 1
    assert ENDINGS[0] in capsys.readouterr().err


def test_bad_maps_are_refused() -> None:
    with pytest.raises(InputError, match="one box"):
        ScoreMap("n", "patch", "filter", np.zeros(3, np.float32), np.zeros((2, 4), np.int64), (9, 9), HALF)
    with pytest.raises(InputError, match="nothing to show"):
        pixels_for([])
    with pytest.raises(InputError, match="positive size"):
        pixels_for([grid_map(2, 2)], step_um=-1)


def test_another_plugin_opens_it_at_its_place(maps: list[ScoreMap], tmp_path: Path) -> None:
    other = pytest.importorskip("napari_ome_zarr", reason="napari-ome-zarr is not installed")
    path = tmp_path / "a.ome.zarr"
    write_maps(maps, path)
    reader = other.napari_get_reader(str(path))
    layers = [layer for layer in reader(str(path)) if len(layer) == 3 and layer[2] == "image"]
    (data, kwargs, _) = layers[0]
    grid = pixels_for(maps)
    level = data[0] if isinstance(data, list) else data
    np.testing.assert_array_equal(np.asarray(level), np.stack([one.raster(grid) for one in maps]))
    assert list(np.ravel(kwargs["scale"]))[-2:] == pytest.approx([128.0, 128.0], rel=0.01)


def test_what_is_no_map_is_not_replaced(maps: list[ScoreMap], tmp_path: Path) -> None:
    slide = tmp_path / "slide.ome.zarr"
    zarr.create_group(slide).create_array("0", data=np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(InputError, match="holds no maps"):
        write_maps(maps, slide)
    assert zarr.open_group(slide, mode="r")["0"].shape == (3, 8, 8)
    write_maps(maps, tmp_path / "a.ome.zarr")
    write_maps(maps[:1], tmp_path / "a.ome.zarr")  # maps are replaced
    assert len(read_maps(tmp_path / "a.ome.zarr")) == 1


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_full_disk_is_one_clear_error_and_leaves_nothing(
    maps: list[ScoreMap], small_disk: Path, ending: str
) -> None:
    free = os.statvfs(small_disk)
    (small_disk / "ballast").write_bytes(b"x" * (free.f_bavail * free.f_bsize))
    with pytest.raises(StoreError, match="cannot be written"):
        write_maps(maps[:1] if ending == ".png" else maps, small_disk / f"a{ending}")
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]
