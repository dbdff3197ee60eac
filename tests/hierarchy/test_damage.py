"""What a disk has damaged is found by its checksum when it is read, and made anew, no more than that."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

import napari_hwsi as hwsi
from napari_hwsi.cli import main
from napari_hwsi.errors import DamagedError, StoreError
from napari_hwsi.hierarchy import analysis
from napari_hwsi.hierarchy.journal import Journal
from napari_hwsi.hierarchy.store import GROUPS, Store, region_words
from napari_hwsi.hierarchy.verify import find_damage

from .conftest import arrays_of, write_slide


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy.hwsi.zarr"))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """The regions that are computed, of each part."""
    computed: dict[str, list[int]] = {"patches": [], "cells": []}
    compute = analysis._compute

    def counted(part: str, plan: object, slide: object, region: int, *rest: object) -> object:
        computed[part].append(region)
        return compute(part, plan, slide, region, *rest)

    monkeypatch.setattr(analysis, "_compute", counted)
    return computed


def flip(file: Path, place: int | None = None) -> None:
    """Change one byte, in the middle unless said where."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 0x10
    file.write_bytes(content)


def flip_row(store: Path, array: str, row: int) -> None:
    """Change one byte of a row."""
    held = zarr.open_array(str(store), path=array, mode="r")
    chunk, place = divmod(row, held.chunks[0])
    file = (store / array / "c" / str(chunk)).joinpath(*["0"] * (held.ndim - 1))
    flip(file, place * (held.nbytes // held.shape[0]))


def test_every_file_is_vouched_for(copy: Path) -> None:
    assert not find_damage(Store(copy))
    files = [file for file in copy.rglob("*") if file.is_file()]
    chunks = [file for file in files if file.name != "zarr.json"]
    for chunk in chunks:
        flip(chunk)
    arrays = {str(chunk.relative_to(copy)).partition("/c/")[0] for chunk in chunks}
    assert {place.partition(" (")[0] for place in find_damage(Store(copy)).found} == arrays
    assert len(arrays) > 50
    for chunk in chunks:
        flip(chunk)
    assert not find_damage(Store(copy))
    in_arrays = [file for file in files if file.name == "zarr.json" and (file.parent / "c").exists()]
    for file in in_arrays:
        flip(file)
    assert {place.partition(" (")[0] for place in find_damage(Store(copy)).found} == arrays
    for file in in_arrays:
        flip(file)
    for group in ("", *(f"{group}/" for group in (*GROUPS, "log"))):
        flip(copy / group / "zarr.json")
    assert len(find_damage(copy).found) == 9


def test_a_read_names_the_part_and_the_region(copy: Path) -> None:
    result = hwsi.open_result(copy)
    rows = Store(copy).cell_rows(2, 3)
    flip_row(copy, "patches/vectors", 3 * 256 + 5)
    flip_row(copy, "cells/table/area_um2", rows.start)
    with pytest.raises(DamagedError, match=r"copy.hwsi.zarr is damaged in patches/vectors, region 3 \("):
        _ = result.patch_vectors
    with pytest.raises(DamagedError, match=r"cells/table/area_um2, region 2 \(.*Analyse its slide"):
        _ = result.cells
    assert len(result.patches) == 4 * 256  # the rest can be read
    shutil.rmtree(copy / "regions" / "vectors" / "c")
    with pytest.raises(DamagedError, match=r"regions/vectors, regions 0 to 3 .*chunk c/0/0 is missing"):
        _ = result.region_vectors
    flip(copy / "patches" / "zarr.json")
    with pytest.raises(DamagedError, match="damaged in patches "):
        hwsi.open_result(copy)
    assert region_words({8, 3, 5, 4, 11}) == "regions 3 to 5, 8 and 11"


def test_only_what_is_damaged_is_made_anew(
    copy: Path, whole: Path, slide_file: Path, made: dict[str, list[int]], caplog: pytest.LogCaptureFixture
) -> None:
    cells = Store(copy).cell_rows(1, 2)
    flip_row(copy, "patches/vectors", 2 * 256 + 100)
    flip_row(copy, "patches/valid", 2 * 256 + 7)
    flip_row(copy, "cells/vertices", 3)
    flip_row(copy, "cells/table/area_um2", cells.stop - 1)
    flip_row(copy, "cells/vertex_offsets", 0)
    for derived in ("patches/selected", "regions/vectors", "regions/boxes", "attention/filter/patch/scores"):
        flip_row(copy, derived, 0)
    shutil.rmtree(copy / "slide" / "tissue_mask" / "c")
    flip(copy / "zarr.json")
    # what is damaged is made anew even where nothing else is asked for
    with caplog.at_level(logging.WARNING):
        result = hwsi.analyze(slide_file, copy, box=(0, 0, 10, 10))
    assert made == {"patches": [0, 2], "cells": [0, 1]}  # a region's vector is made with its patches
    assert "patches/valid (region 2)" in caplog.text
    assert arrays_of(copy) == arrays_of(whole)
    assert len(result.cells) > 100


def test_a_part_whose_facts_are_damaged_is_made_anew(
    copy: Path, whole: Path, slide_file: Path, made: dict[str, list[int]], tmp_path: Path
) -> None:
    flip(copy / "patches" / "zarr.json")
    flip(copy / "slide" / "zarr.json")
    flip(copy / "log" / "zarr.json")
    hwsi.analyze(slide_file, copy)
    assert made == {"patches": [0, 1, 2, 3], "cells": []}
    assert arrays_of(copy) == arrays_of(whole)
    assert not find_damage(Store(copy))
    # neither another slide nor a result without a known owner is written to
    flip(copy / "zarr.json")
    before = arrays_of(copy)
    with pytest.raises(StoreError, match="another slide"):
        hwsi.analyze(write_slide(tmp_path / "other.tif", seed=50), copy)
    flip(copy / "slide" / "zarr.json")
    with pytest.raises(DamagedError, match="damaged in slide"):
        hwsi.analyze(slide_file, copy)
    flip(copy / "slide" / "zarr.json")
    assert arrays_of(copy) == before


def test_a_damaged_region_that_waits_is_done_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "waiting.hwsi.zarr")
    with journal.held():
        for region in range(3):
            journal.write("cells", "key", region, {"rows": np.arange(99)})
        kept = journal.read("cells", "key", 2)
    (file,) = (tmp_path / "waiting.hwsi.zarr").rglob("*01.npz")
    flip(file)
    with journal.held():
        assert journal.regions("cells", "key") == [0, 2]
        assert np.array_equal(journal.read("cells", "key", 2)["rows"], kept["rows"])
        journal.clear(["cells"])


def test_the_command_line_checks_a_result(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(copy), "--verify", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["checksums"], facts["slide"], facts["regions_analysed"]) == ("all fit", "four.tif", 4)
    flip_row(copy, "patches/vectors", 256)
    assert main(["info", str(copy), "--verify"]) == 1
    assert "patches/vectors (region 1)" in capsys.readouterr().out
