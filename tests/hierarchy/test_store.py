"""The result on disk: what it refuses, and how plain zarr reads it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

import napari_hwsi as hwsi
from napari_hwsi.errors import InputError, SlideError, StoreError
from napari_hwsi.hierarchy.checksums import rows_of, seal, seal_tree
from napari_hwsi.hierarchy.columns import Columns
from napari_hwsi.hierarchy.journal import Journal
from napari_hwsi.hierarchy.store import Store

from .conftest import arrays_of, python_environment, write_slide


@pytest.fixture
def result(whole: Path) -> hwsi.Hierarchy:
    return hwsi.open_result(whole)


def test_plain_zarr_reads_all_of_it(result: hwsi.Hierarchy) -> None:
    root = zarr.open_group(str(result.path), mode="r")
    groups = {"slide", "regions", "patches", "adaptive", "cells", "ccaf", "attention", "log"}
    assert {*root.group_keys()} == groups
    assert root.attrs["fingerprint"] == result.slide.fingerprint
    cells = root["cells"]
    offsets, vertices = cells["vertex_offsets"][:], cells["vertices"][:]
    kept = np.flatnonzero(~cells["double"][:])
    assert len(kept) == len(result.cells) > 100
    for mine, row in enumerate(kept[::37]):
        outline = vertices[offsets[row] : offsets[row + 1]]
        assert np.array_equal(outline, result.cells.contours[mine * 37])
    assert np.array_equal(cells["table/area_um2"][:][kept], result.cells.table["area_um2"])
    assert cells["patch_counts"][:].sum() == len(kept)
    assert root["patches/vectors"].shape == (4 * 256, result.patch_vectors.shape[1])
    assert dict(cells.attrs)["settings"]["segmenter"]["tile_px"] == 1024
    assert {*dict(root["patches"].attrs)} >= {"key", "settings", "phrases", "content", "regions"}


def test_another_slide_is_refused(result: hwsi.Hierarchy, tmp_path: Path) -> None:
    other = write_slide(tmp_path / "other.tif", seed=50)
    before = arrays_of(result.path)
    with pytest.raises(StoreError, match=r"another slide, four\.tif"):
        hwsi.analyze(other, result.path)
    assert arrays_of(result.path) == before


def test_what_is_no_result_is_refused_and_left_alone(slide_file: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("Dear")
    with pytest.raises(StoreError, match="no result"):
        hwsi.open_result(tmp_path / "absent.hwsi.zarr")
    for open_it in (hwsi.open_result, lambda path: hwsi.analyze(slide_file, path)):
        with pytest.raises(StoreError, match="not a result"):
            open_it(tmp_path / "letters")
        with pytest.raises(StoreError, match="not a result"):
            open_it(tmp_path / "letters" / "dear.txt")
    zarr.create_group(str(tmp_path / "foreign.zarr"))
    with pytest.raises(StoreError, match="not a result"):
        hwsi.open_result(tmp_path / "foreign.zarr")
    assert [file.name for file in (tmp_path / "letters").iterdir()] == ["dear.txt"]


def test_another_format_version_is_refused(slide_file: Path, whole: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(whole, tmp_path / "copy.hwsi.zarr")
    facts = json.loads((copy / "zarr.json").read_text())
    facts["attributes"]["format_version"] = 99
    (copy / "zarr.json").write_bytes(seal(facts))
    with pytest.raises(StoreError, match="99"):
        hwsi.open_result(copy)
    facts["attributes"]["format_version"] = 3  # had no checksums
    del facts["attributes"]["crc32"]
    (copy / "zarr.json").write_text(json.dumps(facts))
    for open_it in (hwsi.open_result, lambda path: hwsi.analyze(slide_file, path)):
        with pytest.raises(StoreError, match=r"format version 3; .* analyse the slide anew"):
            open_it(copy)


def test_a_place_that_cannot_be_looked_at(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be looked at"):
        hwsi.open_result(tmp_path / ("n" * 300))


@pytest.mark.parametrize("moves", [1, 2])
def test_a_reader_is_not_told_of_damage_while_a_run_publishes(
    result: hwsi.Hierarchy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    """A group is moved after the reader has looked where it is: away for the draft, and the draft there."""
    store = Store(shutil.copytree(result.path, tmp_path / "copy.hwsi.zarr"))
    current, work = store.path / "cells", store.path / ".work"
    shutil.copytree(current, work / "new" / "cells")

    def publish(old: Path) -> None:
        (work / "ready").touch()
        current.rename(old)

    steps = [lambda: publish(work / "old"), lambda: (work / "new" / "cells").rename(current)]
    if moves == 1:
        steps.pop(0)()
    looked: list[Path] = []
    place, count = Journal.place, len(result.cells)

    def overtaken(journal: Journal, name: str) -> Path:
        looked.append(place(journal, name))
        if steps:
            steps.pop(0)()
        return looked[-1]

    monkeypatch.setattr(Journal, "place", overtaken)
    assert len(store.read("cells/types")) >= count > 100
    assert len(looked) == moves + 1


def test_objects_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names"):
        Journal(tmp_path).write("cells", "key", 0, {"names": np.array(["a", None], object)})


def test_a_second_writer_is_told_who_holds_it(slide_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "held.hwsi.zarr"
    with (
        Journal(path).held(),
        pytest.raises(StoreError, match=f"process {os.getpid()} "),
    ):
        hwsi.analyze(slide_file, path)
    assert not (path / ".work").exists()


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "held.hwsi.zarr"
    script = (
        "import os, sys; from pathlib import Path; from napari_hwsi.hierarchy.journal import Journal\n"
        "with Journal(Path(sys.argv[1])).held(): os.kill(os.getpid(), 9)"
    )
    died = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert died.returncode == -9
    assert (path / ".work" / "holder.json").exists()
    with Journal(path).held():
        pass
    assert not (path / ".work").exists()


def test_a_result_that_changed_is_not_mixed(slide_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "grows.hwsi.zarr"
    early = hwsi.analyze(slide_file, path, box=(3200, 3200, 3300, 3300), parts=["patches"])
    assert len(early.patches) == 256
    late = hwsi.analyze(slide_file, path, parts=["patches"])
    assert len(late.patches) == 4 * 256
    assert len(early.patches) == 256
    for reading in (lambda: early.patch_vectors, lambda: early.cells_in((0, 0, 9, 9))):
        with pytest.raises(StoreError, match="refresh"):
            reading()
    early.refresh()
    assert len(early.patches) == len(early.patch_vectors) == 4 * 256


def test_a_result_of_another_slide_is_not_opened_with_this_one(slide_file: Path, tmp_path: Path) -> None:
    result = hwsi.analyze(slide_file, tmp_path / "r.hwsi.zarr", box=(0, 0, 10, 10), parts=["patches"])
    with hwsi.open_slide(slide_file) as slide:
        assert hwsi.open_result(result.path, slide).slide is slide
    other = hwsi.slide_from_array(np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(StoreError, match="another slide"):
        hwsi.open_result(result.path, other)


def test_columns_do_not_depend_on_the_blocks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = rng.random((70_000, 3)).astype(np.float32)
    for name, cuts in {"a": [], "b": [1, 5, 30_000, 69_999], "c": list(range(0, 70_000, 997))}.items():
        columns = Columns(
            zarr.create_group(str(tmp_path / name)), {"x": ("float32", (3,)), "empty": ("int8", ())}
        )
        for block in np.split(table, cuts):
            columns.append(x=block)
        columns.close()
    assert np.array_equal(zarr.open_array(str(tmp_path / "b"), path="x")[:], table)
    assert arrays_of(tmp_path / "a") == arrays_of(tmp_path / "b") == arrays_of(tmp_path / "c")


FULL = """
import resource, sys
import napari_hwsi as hwsi
from napari_hwsi.errors import InputError, StoreError
slide, store, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    hwsi.analyze(slide, store)
except StoreError as error:
    print("StoreError", error)
"""


def run_full(slide: Path, store: Path, home: Path, limit: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(slide), str(store), str(limit)],
        env=python_environment(home),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_file_that_cannot_grow(
    slide_file: Path, result: hwsi.Hierarchy, tmp_path: Path, home: Path
) -> None:
    path = tmp_path / "limited.hwsi.zarr"
    assert "Raise the limit" in run_full(slide_file, path, home, limit=12_000)
    assert hwsi.open_result(path).regions["status"].tolist() == ["pending"] * 4
    hwsi.analyze(slide_file, path)
    assert arrays_of(path) == arrays_of(result.path)


def test_a_full_disk_keeps_what_is_finished(
    slide_file: Path, result: hwsi.Hierarchy, small_disk: Path
) -> None:
    path = small_disk / "full.hwsi.zarr"
    first = (3200, 3200, 3300, 3300)
    hwsi.analyze(slide_file, path, box=first)
    (small_disk / "ballast").write_bytes(b"0" * (shutil.disk_usage(small_disk).free - 24_000))
    with pytest.raises(StoreError, match="disk is full"):
        hwsi.analyze(slide_file, path)
    assert hwsi.open_result(path).covers(first)
    (small_disk / "ballast").unlink()
    hwsi.analyze(slide_file, path)
    assert arrays_of(path) == arrays_of(result.path)


def test_a_read_only_disk(slide_file: Path, result: hwsi.Hierarchy, small_disk: Path) -> None:
    path = small_disk / "there.hwsi.zarr"
    shutil.copytree(result.path, path)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreError, match="read-only"):
        hwsi.analyze(slide_file, path)
    with pytest.raises(StoreError, match="read-only"):
        hwsi.analyze(slide_file, small_disk / "new.hwsi.zarr")
    assert len(hwsi.open_result(path).cells) == len(result.cells)


def test_cells_of_a_place_are_read_alone(result: hwsi.Hierarchy, monkeypatch: pytest.MonkeyPatch) -> None:
    y, x = 4150.5, 4200
    for box in [(0, 0, 4796, 4796), (3560, 3560, 3700, 3800), (y - 300, x - 300, y, x), (0, 0, 9, 9)]:
        mine, all_of_them = hwsi.open_result(result.path).cells_in(box), result.cells.in_box(box)
        assert np.array_equal(mine.centroids, all_of_them.centroids)
        assert np.array_equal(mine.contours.vertices, all_of_them.contours.vertices)
        assert mine.table.equals(all_of_them.table)
        assert (mine.type_names, mine.mpp) == (result.type_names, result.slide.mpp)
    assert len(result.cells_in((0, 0, 4796, 4796))) == len(result.cells) > 100
    outside = result.cells_in((9000, 9000, 9010, 9010))
    assert len(outside) == 0
    assert [*outside.table.columns] == [*result.cells.table.columns]
    read: list[int] = []
    original = Store.cells_of

    def counted(store: Store, rows: slice, tokens: bool = False) -> dict[str, np.ndarray]:
        read.append(rows.stop - rows.start)
        return original(store, rows, tokens)

    monkeypatch.setattr(Store, "cells_of", counted)
    result.cells_in((3560, 3560, 3700, 3800))
    assert 0 < sum(read) < len(result.cells) / 2


def test_one_column_of_the_cells(result: hwsi.Hierarchy) -> None:
    assert np.array_equal(result.cell_column("centroids"), result.cells.centroids)
    assert np.array_equal(result.cell_column("types"), result.cells.types)
    assert result.cell_table.equals(result.cells.table)
    assert np.array_equal(result.cell_column("table/area_um2"), result.cells.table["area_um2"])
    with pytest.raises(InputError, match="table/area_um2"):
        result.cell_column("table/area_mm2")


def test_a_slide_is_closed_by_who_opened_it(whole: Path, slide_file: Path) -> None:
    with hwsi.open_result(whole) as result:
        own = result.slide
        assert own.read((0, 0), (4, 4)).shape == (4, 4, 3)
    with pytest.raises(SlideError):
        own.read((0, 0), (4, 4))
    assert result.slide is not own  # opened anew when asked for again
    result.close()
    with hwsi.open_slide(slide_file) as given:
        hwsi.open_result(whole, given).close()
        assert given.read((0, 0), (4, 4)).shape == (4, 4, 3)


def test_rows_are_read_from_the_chunks_they_lie_in(tmp_path: Path) -> None:
    group = zarr.open_group(str(tmp_path / "r"), mode="w")
    values = np.arange(700_000, dtype=np.float32)  # three chunks
    columns = Columns(group, {"numbers": ("float32", ())})
    columns.append(numbers=values)
    columns.close()
    seal_tree(tmp_path / "r")
    folder = tmp_path / "r" / "numbers"
    for rows in (slice(None), slice(262_100, 262_200), np.array([3, 262_143, 262_144, 699_999]), values[:0]):
        at = rows if isinstance(rows, slice) else rows.astype(np.int64)
        np.testing.assert_array_equal(rows_of(folder, at), values[at])
    with (folder / "c" / "1").open("r+b") as chunk:
        chunk.write(b"\x01")
    np.testing.assert_array_equal(rows_of(folder, np.array([3, 699_999])), values[[3, 699_999]])
    with pytest.raises(ValueError, match="checksum of chunk c/1"):
        rows_of(folder, np.array([3, 300_000]))
