"""Tiles in processes: the same bytes however they are made, and nothing lost when the work is cut off."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_hwsi.cells import Cells, Classical, Segmentation, segment_cells, tiles
from napari_hwsi.cells.workers import Workers
from napari_hwsi.errors import Cancelled, HwsiError, InputError, ResolutionError, StoreError
from napari_hwsi.progress import Step
from napari_hwsi.slides import open_slide, slide_from_array
from napari_hwsi.tissue import TissueMask

from .conftest import Piece, same_cells

_SCRIPT = """
import sys
from napari_hwsi.cells import segment_cells, tiles
from napari_hwsi.slides import open_slide
tiles.TILE_PX = 250
# no guard round the main part: workers must do without
with open_slide(sys.argv[1], mpp=0.5) as slide:
    segment_cells(slide, store=sys.argv[2], workers=int(sys.argv[3]))
"""


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "TILE_PX", 250)


@pytest.fixture
def picture(tissue_piece: Piece, tmp_path: Path) -> Path:
    Image.fromarray(tissue_piece.rgb).save(tmp_path / "piece.png")
    return tmp_path / "piece.png"


def script(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _SCRIPT, *map(str, arguments)])


def test_killed_and_gone_on_with_processes_gives_the_same_bytes(picture: Path, tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    one = script(picture, killed, 0)
    while not len(list(killed.glob("tile-*.parquet"))) >= 3:
        assert one.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    one.kill()
    one.wait()
    kept = {file.name: file.stat().st_mtime_ns for file in killed.glob("tile-*.parquet")}
    assert 3 <= len(kept) < 9
    with open_slide(picture, mpp=0.5) as slide:
        segment_cells(slide, store=undisturbed, workers=0)
    assert script(picture, killed, 2).wait() == 0
    files = {file.name: file.read_bytes() for file in undisturbed.iterdir()}
    assert len(files) == 10
    assert {file.name: file.read_bytes() for file in killed.iterdir()} == files
    assert {name: (killed / name).stat().st_mtime_ns for name in kept} == kept


@dataclass(frozen=True)
class Slow:
    """The classical segmenter, resting for ten seconds in its second tile."""

    tiles: list[int] = field(default_factory=list)
    name, mpp, margin_um, type_names = "slow", 0.5, 24.0, ("nucleus",)

    def settings(self) -> dict[str, Any]:
        return {"name": self.name}

    def fit(self, *_: object) -> Slow:
        return self

    def segment(self, rgb: Any, mpp: Any) -> Segmentation:
        self.tiles.append(1)
        if len(self.tiles) == 2:
            time.sleep(10)
        return Classical().segment(rgb, mpp)


def test_cancelled_within_a_second_also_inside_a_tile(tissue_piece: Piece, tmp_path: Path) -> None:
    asked: list[float] = []
    pieces: list[Cells] = []

    def stop(step: Step) -> None:
        if step == Step(1, 9, "tiles"):  # told again and again while nothing is done
            asked.append(time.monotonic())
            if asked[-1] - asked[0] > 0.5:
                raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        segment_cells(
            slide_from_array(tissue_piece.rgb, mpp=0.5),
            segmenter=Slow(),
            store=tmp_path / "cells",
            progress=stop,
            piece=pieces.append,
        )
    assert time.monotonic() - asked[0] < 2
    assert len(list((tmp_path / "cells").glob("tile-*"))) == len(pieces) == 1


def test_pieces_are_all_that_is_found(tissue_piece: Piece, tmp_path: Path) -> None:
    slide, pieces = slide_from_array(tissue_piece.rgb, mpp=0.5), []
    cells = segment_cells(slide, store=tmp_path / "cells", piece=pieces.append)
    assert len(pieces) == 9
    places = {tuple(c) for part in pieces for c in part.centroids}
    assert places >= {tuple(c) for c in cells.centroids}
    again: list[Cells] = []
    assert same_cells(segment_cells(slide, store=tmp_path / "cells", piece=again.append), cells)
    assert sum(map(len, again)) == len(places)


def test_a_full_disk_keeps_the_tiles_that_are_finished(tissue_piece: Piece, small_disk: Path) -> None:
    slide, store, ballast = (
        slide_from_array(tissue_piece.rgb, mpp=0.5),
        small_disk / "cells",
        small_disk / "b",
    )
    kept: list[int] = []

    def fill(step: Step) -> None:
        if step == Step(3, 9, "tiles") and not ballast.exists():
            kept.append(len(list(store.glob("tile-*.parquet"))))
            ballast.write_bytes(b"0" * shutil.disk_usage(small_disk).free)

    with pytest.raises(StoreError, match=r"could not be written: .*No space left"):
        segment_cells(slide, store=store, progress=fill)
    assert kept == [3]
    assert sorted(file.suffix for file in store.iterdir()) == [".json"] + 3 * [".parquet"]
    ballast.unlink()
    assert same_cells(segment_cells(slide, store=store), segment_cells(slide))


def test_a_damaged_tile_in_the_middle_is_a_gap_and_the_rest_is_kept(
    tissue_piece: Piece, tmp_path: Path
) -> None:
    file = tmp_path / "slide.tif"
    options = {"photometric": "ycbcr", "compression": "jpeg", "compressionargs": {"level": 98}}
    tifffile.imwrite(file, tissue_piece.rgb[:384, :384], tile=(128, 128), **options)
    tissue = TissueMask(np.ones((1, 1), bool), (384, 384))
    with open_slide(file, mpp=0.5) as slide:
        fitted = Classical().fit(slide)
        whole = segment_cells(slide, segmenter=fitted, tissue=tissue)
    with tifffile.TiffFile(file) as tiff:
        start, length = (part[4] for part in (tiff.pages[0].dataoffsets, tiff.pages[0].databytecounts))
    with file.open("r+b") as stream:
        stream.seek(start)
        stream.write(bytes(length))
    with open_slide(file, mpp=0.5) as slide:
        holed = segment_cells(slide, segmenter=fitted, tissue=tissue)
    assert not holed.inside((128, 128, 256, 256)).any()
    far = [~cells.inside((96, 96, 288, 288)) for cells in (whole, holed)]
    places = [
        {tuple(c) for c in cells.centroids[keep]} for cells, keep in zip((whole, holed), far, strict=True)
    ]
    assert len(places[0]) > 30
    assert len(places[0] & places[1]) > 0.95 * len(places[0])


def test_saturated_pictures_have_no_nuclei_or_are_refused() -> None:
    white, black = (np.full((300, 300, 3), value, np.uint8) for value in (255, 0))
    assert len(segment_cells(white, box=(0, 0, 300, 300), mpp=0.5)) == 0
    with pytest.raises(InputError, match="not H&E"):
        segment_cells(black, box=(0, 0, 300, 300), mpp=0.5)


def test_errors_and_deaths_of_workers_are_told() -> None:
    crew = Workers(1)
    try:
        with pytest.raises(ResolutionError, match="works from"):
            crew.run(Classical().segment, np.zeros((9, 9, 3), np.uint8), (5.0, 5.0))
        assert crew.run(sum, [1, 2]) == 3
        crew._all[0].kill()
        with pytest.raises(HwsiError, match="fewer workers"):
            crew.run(sum, [1, 2])
    finally:
        crew.close()
