"""Cells in the files of other tools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from napari_hwsi.cells import Cells
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


@pytest.mark.parametrize("suffix", ["geojson", "parquet"])
def test_files_come_back_without_loss(some_cells: Cells, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cells.{suffix}"
    getattr(some_cells, f"to_{suffix}")(path)
    assert same_cells(Cells.from_file(path), some_cells)
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
    ],
)
def test_what_is_no_geojson_of_cells_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match=r"foreign\.geojson"):
        read(tmp_path, content)


def test_broken_outlines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path, [feature({"type": "Polygon", "coordinates": [["a"]]})])


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="geojson"):
        Cells.from_file(tmp_path / "cells.csv")
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
