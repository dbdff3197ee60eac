"""From folders, lists and tables to jobs."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from napari_hwsi.batch import Job, find_jobs
from napari_hwsi.batch.sources import is_collection
from napari_hwsi.errors import InputError, ResolutionError


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def names(jobs: tuple[Job, ...]) -> list[str]:
    return [job.name for job in jobs]


def test_a_folder_is_searched_for_slides_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.svs", "a.NDPI", "deep/er/c.tiff", "preview.jpg", "notes.txt", ".hidden.svs"):
        touch(tmp_path / name)
    touch(tmp_path / "b.hwsi.zarr" / "zarr.json")
    touch(tmp_path / "b.hwsi.zarr" / "d.svs")
    touch(tmp_path / "image.ome.zarr" / "zarr.json")
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "1").write_bytes(bytes(128) + b"DICM")
    assert is_collection(tmp_path)
    assert not is_collection(tmp_path / "dicom")
    assert not is_collection(tmp_path / "image.ome.zarr")
    assert names(find_jobs(tmp_path)) == ["a", "b", "c", "dicom", "image.ome"]


def test_a_table_with_all_its_columns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = tmp_path / "list.csv"
    table.write_text("﻿Slide;mpp;Patient;label;age\nx/a.svs;0.25;Müller, A.;lum A;61\n\n/b.svs;;;;\n")
    with caplog.at_level(logging.WARNING):
        first, second = find_jobs(table, mpp=0.5)
    assert first == Job(str(tmp_path / "x" / "a.svs"), "a", 0.25, "Müller, A.", "lum A")
    assert second == Job("/b.svs", "b", 0.5)
    assert "age" in caplog.text


def test_a_list_may_hold_paths_and_addresses(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("a.svs\n\nhttps://host/b.ome.zarr\n")
    jobs = find_jobs([listed, tmp_path / "c.svs"])
    assert [job.slide for job in jobs] == [
        str(tmp_path / "a.svs"),
        "https://host/b.ome.zarr",
        str(tmp_path / "c.svs"),
    ]


def test_slides_of_one_name_get_results_of_their_own(tmp_path: Path) -> None:
    places = [tmp_path / "1" / "x.svs", tmp_path / "2" / "X.tif", tmp_path / "y.svs"]
    jobs = find_jobs(places)
    assert len({job.name.casefold() for job in jobs}) == 3
    assert jobs[0].name.startswith("x-")
    assert jobs[2].name == "y"
    assert find_jobs(places[::-1]) == jobs[::-1]  # names do not depend on the order


def test_a_slide_given_twice_is_done_once_unless_its_facts_differ(tmp_path: Path) -> None:
    slide, table = tmp_path / "a.svs", tmp_path / "t.csv"
    assert len(find_jobs([slide, slide])) == 1
    table.write_text("slide,patient\na.svs,P1\n")
    with pytest.raises(InputError, match="twice"):
        find_jobs([slide, table])


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("path,patient\na.svs,P\n", InputError, "no column 'slide'"),
        ("", InputError, "no column 'slide'"),
        ("slide,patient\na.svs,P\n,Q\n", InputError, "Line 3"),
        ("slide,mpp\na.svs,half\n", InputError, "Line 2.*'half'"),
        ("slide,mpp\na.svs,-1\n", ResolutionError, "Line 2"),
        ("slide\n", InputError, "no slide in"),
        ("slide\n\xff", InputError, "UTF-8"),
    ],
)
def test_a_table_that_makes_no_sense(tmp_path: Path, text: str, error: type[Exception], says: str) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes(text.encode("latin-1"))
    with pytest.raises(error, match=says):
        find_jobs(table)


def test_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no slide"):
        find_jobs(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        find_jobs(tmp_path / "nowhere.csv")
