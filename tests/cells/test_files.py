"""Cells in the files of other tools."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from napari_hwsi.cells import Cells, write_cells
from napari_hwsi.cells.exchange.json_stream import JsonStream
from napari_hwsi.errors import InputError, StoreError

from .conftest import same_cells

RING = [[20, 10], [24, 10], [24, 14], [20, 14], [20, 10]]  # x, y; closed


def feature(geometry: dict, **properties: object) -> dict:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def polygon(ring: list = RING) -> dict:
    return {"type": "Polygon", "coordinates": [ring]}


def read(folder: Path, content: object, **options: object) -> Cells:
    path = folder / "foreign.geojson"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return Cells.from_file(path, **options)


@pytest.mark.parametrize("ending", [".geojson", ".geojson.gz", ".parquet"])
def test_files_come_back_without_loss(some_cells: Cells, tmp_path: Path, ending: str, monkeypatch) -> None:
    monkeypatch.setattr("napari_hwsi.cells.exchange.geojson._BLOCK", 50)
    path = tmp_path / f"cells{ending}"
    marked = some_cells.table.assign(edited=some_cells.types > 0, number=np.arange(len(some_cells)) * 2**40)
    cells = replace(some_cells.with_neighbours(), table=marked)
    write_cells(cells, path)
    assert same_cells(Cells.from_file(path), cells)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", ["geojson", "parquet"])
def test_no_cells_and_unknown_resolution_come_back_too(tmp_path: Path, suffix: str) -> None:
    for i, cells in enumerate(
        [Cells.of([], type_names=("a", "b"), mpp=0.5), Cells.of([np.eye(3)[:, :2] * 9])]
    ):
        path = tmp_path / f"{i}.{suffix}"
        getattr(cells, f"to_{suffix}")(path)
        assert same_cells(Cells.from_file(path), cells)


def test_geojson_is_what_qupath_reads(some_cells: Cells, tmp_path: Path) -> None:
    some_cells.to_geojson(tmp_path / "cells.geojson")
    document = json.loads((tmp_path / "cells.geojson").read_text())
    assert document["type"] == "FeatureCollection"
    assert len(document["features"]) == len(some_cells)
    for row in (0, 1, len(some_cells) - 1):
        one = document["features"][row]
        assert one["properties"]["objectType"] == "detection"
        kind = one["properties"]["classification"]
        assert kind["name"] == some_cells.type_names[some_cells.types[row]]
        assert len(kind["color"]) == 3
        ring = np.array(one["geometry"]["coordinates"][0], np.float32)
        assert (ring[0] == ring[-1]).all()
        np.testing.assert_array_equal(ring[:-1, ::-1], some_cells.contours[row])
        measured = one["properties"]["measurements"]
        assert measured["area_um2"] == pytest.approx(some_cells.table.area_um2[row])
        assert measured["probability"] == pytest.approx(some_cells.probabilities[row], abs=1e-6)


def test_what_is_not_a_number_is_left_out_and_comes_back(some_cells: Cells, tmp_path: Path) -> None:
    table = some_cells.table.copy()
    table.loc[0, "solidity"] = np.nan
    cells = Cells(**{**vars(some_cells), "table": table})
    cells.to_geojson(tmp_path / "a.geojson")
    assert "NaN" not in (tmp_path / "a.geojson").read_text()
    assert same_cells(Cells.from_file(tmp_path / "a.geojson"), cells)


def test_the_origin_can_be_the_scanned_part(tmp_path: Path) -> None:
    cells = Cells.of([np.array([[10, 20], [10, 24], [14, 24]])])
    cells.to_geojson(tmp_path / "a.geojson", origin=(10, 20))
    document = json.loads((tmp_path / "a.geojson").read_text())
    assert document["features"][0]["geometry"]["coordinates"][0][0] == [0, 0]
    assert same_cells(Cells.from_file(tmp_path / "a.geojson"), cells)


def test_parquet_is_geoparquet(some_cells: Cells, tmp_path: Path) -> None:
    some_cells.to_parquet(tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["columns"][geo["primary_column"]]["encoding"] == "WKB"
    first = shapely.from_wkb(table.column("geometry")[0].as_py())
    assert first.equals_exact(some_cells.contours[:1].polygons()[0])
    assert table.column("type")[1].as_py() == "stroma"


def test_files_of_other_tools(tmp_path: Path) -> None:
    two = {"type": "MultiPolygon", "coordinates": [[RING], [[[0, 0], [4, 0], [4, 4], [0, 0]]]]}
    cells = read(
        tmp_path,
        [
            feature(
                polygon(), classification={"name": "Tumor", "color": [1, 2, 3]}, measurements={"Area": 3.5}
            ),
            feature(two, classification="Immune", measurements=[{"name": "Area", "value": 2}]),
            feature({"type": "Point", "coordinates": [1, 2]}),
            {
                **feature({"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9]]]}),
                "nucleusGeometry": polygon(),
            },
        ],
        mpp=0.5,
    )
    assert len(cells) == 4
    assert cells.type_names == ("Tumor", "Immune", "nucleus")
    assert cells.types.tolist() == [0, 1, 1, 2]
    assert cells.centroids[0].tolist() == cells.centroids[3].tolist() == [12, 22]
    assert cells.table.area_um2[0] == 4
    np.testing.assert_array_equal(cells.table.Area, np.array([3.5, 2, 2, np.nan], np.float32))


def test_drawn_objects_are_no_cells_where_there_are_cells(tmp_path: Path) -> None:
    objects = [feature(polygon(), objectType=kind) for kind in ("annotation", "detection", "tile", "cell")]
    assert len(read(tmp_path, objects)) == 2
    assert len(read(tmp_path, objects[:1])) == 1
    with pytest.raises(InputError, match="points alone"):
        read(tmp_path, [feature({"type": "MultiPoint", "coordinates": [[1, 2]]})])


@pytest.mark.parametrize("chunk", [1, 2, 3, 50])
def test_a_file_may_be_cut_anywhere_into_chunks(
    some_cells: Cells, tmp_path: Path, monkeypatch, chunk: int
) -> None:
    cells = some_cells.select([0, 1, 2])
    cells.to_geojson(tmp_path / "a.geojson")
    monkeypatch.setattr("napari_hwsi.cells.exchange.json_stream._CHUNK", chunk)
    assert same_cells(Cells.from_file(tmp_path / "a.geojson"), cells)


def test_a_fault_is_found_without_reading_on(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.geojson"
    path.write_text('{"features": [{"type": oh no' + " " * 5_000_000 + "}]}")
    monkeypatch.setattr("napari_hwsi.cells.exchange.json_stream._CHUNK", 1000)
    reads = []
    real = JsonStream._more
    monkeypatch.setattr(JsonStream, "_more", lambda self: reads.append(1) or real(self))
    with pytest.raises(InputError, match="character 14"):
        Cells.from_file(path)
    assert len(reads) < 4


def test_csv_holds_both_places_and_comes_back_with_its_outlines(some_cells: Cells, tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    some_cells.to_csv(path)
    table = pd.read_csv(path)
    assert table["type"][1] == "stroma"
    np.testing.assert_allclose(table.centroid_x_um, some_cells.centroids[:, 1] * 0.25, atol=1e-3)
    np.testing.assert_allclose(table.area_um2, some_cells.table.area_um2, rtol=1e-6)
    back = Cells.from_file(path, mpp=(0.5, 0.25))
    np.testing.assert_array_equal(back.contours.vertices, some_cells.contours.vertices)
    np.testing.assert_array_equal(back.types, some_cells.types)
    shared = [*some_cells.table.columns]
    np.testing.assert_allclose(back.table[shared], some_cells.table[shared], rtol=1e-5)
    assert Cells.from_file(path).mpp is None


CELLVIT = {
    "wsi_metadata": {"magnification": 40},
    "type_map": {"1": "Neoplastic", "2": "Inflammatory"},
    "cells": [
        {
            "bbox": [[10, 20], [14, 24]],
            "centroid": [22, 12],
            "contour": RING[:-1],
            "type_prob": 0.75,
            "type": 2,
        },
        {"bbox": [[0, 0], [4, 8]], "centroid": [4, 2], "type": 1},  # as in cell_detection.json
    ],
}


def test_cellvit(tmp_path: Path) -> None:
    (tmp_path / "cells.json").write_text(json.dumps(CELLVIT))
    cells = Cells.from_file(tmp_path / "cells.json", mpp=0.25)
    assert [cells.type_names[i] for i in cells.types] == ["Inflammatory", "Neoplastic"]
    assert cells.centroids.tolist() == [[12, 22], [2, 4]]
    assert cells.probabilities.tolist() == [0.75, 1]
    assert cells.table.area_um2.tolist() == [1, 2]
    assert cells.table.nearest_neighbour_um[0] > 0
    (tmp_path / "cells.json").write_text(json.dumps(CELLVIT | {"cells": [{"type": 1}]}))
    with pytest.raises(InputError, match="follows cell 0"):
        Cells.from_file(tmp_path / "cells.json")


@pytest.mark.parametrize(
    ("wrap", "sure"),
    [(lambda nuclei: {"mag": 20, "nuc": nuclei}, "type_prob"), (lambda nuclei: nuclei, "prob")],
    ids=["hovernet", "tiatoolbox"],
)
def test_hovernet_and_tiatoolbox_need_a_scale(tmp_path: Path, wrap: object, sure: str) -> None:
    nuclei = {str(i): {"centroid": [22, 12], "contour": RING[:-1], sure: 0.5, "type": i} for i in (3, 1)}
    path = tmp_path / "nuclei.json"
    path.write_text(json.dumps(wrap(nuclei)))
    with pytest.raises(InputError, match="scale"):
        Cells.from_file(path)
    cells = Cells.from_file(path, scale=2)
    assert cells.centroids.tolist() == [[24, 44]] * 2
    assert [cells.type_names[i] for i in cells.types] == ["type 3", "type 1"]
    assert cells.probabilities.tolist() == [0.5, 0.5]


def test_spatialdata(some_cells: Cells, tmp_path: Path) -> None:
    spatialdata = pytest.importorskip("spatialdata", reason="the extra spatialdata is not installed")
    write_cells(some_cells, tmp_path / "cells.zarr")
    data = spatialdata.read_zarr(tmp_path / "cells.zarr")
    table = data.tables["cells_table"]
    assert data.shapes["cells"].geometry.iloc[5].equals(some_cells.contours[5:6].polygons()[0])
    assert table.obs["class"].tolist() == [some_cells.type_names[i] for i in some_cells.types]
    np.testing.assert_array_equal(table[:, "area_um2"].X[:, 0], some_cells.table.area_um2)
    assert table.obsp["spatial_distances"].nnz == 2 * len(some_cells.graph().edges)


def test_a_collection_without_resolution(tmp_path: Path) -> None:
    cells = read(tmp_path, {"type": "FeatureCollection", "features": [feature(polygon())]})
    assert cells.mpp is None
    assert cells.type_names == ("nucleus",)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not json",
        '{"type": "Topology"}',
        '{"features": [{"type": "Feature"',
        '{"features": [3]}',
        '{"features": [' + '{"a":' * 50_000,
        '{"napari_hwsi": {"mpp": , "features": []}',
        '{"napari_hwsi": "", "features": []}',
        '{"napari_hwsi": {"mpp": ["a", "b"]}, "features": []}',
        '{"napari_hwsi": {"type_names": 3}, "features": []}',
        '{"napari_hwsi": {"origin": [1]}, "features": []}',
        '{"napari_hwsi": {"columns": ["area_um2"]}, "features": []}',
        '{"napari_hwsi": {"columns": {"area_um2": "object"}}, "features": []}',
        '{"napari_hwsi": {"columns": {"area_um2": "float32"}}, "features": []}',
    ],
)
def test_what_is_no_geojson_of_cells_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match=r"foreign\.geojson"):
        read(tmp_path, content)


def test_broken_outlines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path, [feature({"type": "Polygon", "coordinates": [["a"]]})])


def test_other_files_are_refused(some_cells: Cells, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exist"):
        Cells.from_file(tmp_path / "cells.csv")
    with pytest.raises(InputError, match=r"geojson\.gz"):
        write_cells(some_cells, tmp_path / "cells.xlsx")
    for content, message in (
        ("no cells", "recognised"),
        ("x,y\n1,2\n", "geometry"),
        ('{"a": 1}', "no cells"),
    ):
        (tmp_path / "other").write_text(content)
        with pytest.raises(InputError, match=message):
            Cells.from_file(tmp_path / "other")
    with pytest.raises(InputError, match="folder"):
        Cells.from_file(tmp_path)
    with pytest.raises(InputError, match="exist"):
        Cells.from_file(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(InputError, match=r"bad\.parquet"):
        Cells.from_file(tmp_path / "bad.parquet")


@pytest.mark.parametrize("lost", ["area_um2", "centroid_y_px", "geometry"])
def test_a_parquet_file_that_lacks_a_column_is_refused(some_cells: Cells, tmp_path: Path, lost: str) -> None:
    path = tmp_path / "a.parquet"
    some_cells.to_parquet(path)
    pq.write_table(pq.read_table(path).drop_columns([lost]), path)
    with pytest.raises(InputError, match=lost):
        Cells.from_file(path)


def test_a_parquet_file_with_other_columns_is_refused(some_cells: Cells, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    some_cells.to_parquet(path)
    table = pq.read_table(path)
    for name in ("geometry", "probability"):
        place = table.column_names.index(name)
        pq.write_table(table.set_column(place, name, pa.array(["a"] * len(table))), path)
        with pytest.raises(InputError, match=r"a\.parquet"):
            Cells.from_file(path)
    facts = {**table.schema.metadata, b"napari_hwsi": b"{"}
    pq.write_table(table.replace_schema_metadata(facts), path)
    with pytest.raises(InputError, match=r"a\.parquet"):
        Cells.from_file(path)


def test_a_file_in_the_place_of_the_folder_is_a_store_error(some_cells: Cells, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="could not be written"):
        some_cells.to_geojson(tmp_path / "file" / "a.geojson")


@pytest.mark.parametrize("suffix", ["geojson", "parquet"])
def test_a_folder_that_is_not_there_is_a_store_error(some_cells: Cells, tmp_path: Path, suffix: str) -> None:
    with pytest.raises(StoreError, match="could not be written"):
        getattr(some_cells, f"to_{suffix}")(tmp_path / "nowhere" / f"a.{suffix}")


def test_a_failed_write_leaves_the_old_file(some_cells: Cells, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.geojson"
    path.write_text("old")
    full = OSError(28, "No space left on device")

    def refuse(*_: object) -> None:
        raise full

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(StoreError, match="No space left"):
        some_cells.to_geojson(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
