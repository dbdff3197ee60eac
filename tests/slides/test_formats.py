"""Which backend opens what and why, and what all of them do with bad input."""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_hwsi import open_slide
from napari_hwsi.errors import HwsiError, InputError, SlideError
from napari_hwsi.slides.registry import BACKENDS

IMAGE = np.random.default_rng(5).integers(0, 256, (700, 611, 3), np.uint8)


def write_pyramid(path: Path, image: np.ndarray) -> None:
    with tifffile.TiffWriter(path) as file:
        for step in (1, 2):
            file.write(image[::step, ::step], photometric="rgb", tile=(128, 128), compression="zlib")


def write_ome(path: Path, image: np.ndarray) -> None:
    tifffile.imwrite(path, image, photometric="rgb", tile=(128, 128), metadata={"axes": "YXS"})


def write_deep_strips(path: Path, image: np.ndarray) -> None:
    options = {"compression": "zlib", "rowsperstrip": 64}
    tifffile.imwrite(path, image.astype("u2") * 257, photometric="rgb", **options)


def write_zarr(path: Path, image: np.ndarray) -> None:
    group = zarr.open_group(path, mode="w")
    datasets = []
    for i, step in enumerate((1, 2)):
        level = image[::step, ::step]
        group.create_array(str(i), shape=level.shape, dtype="u1", chunks=(128, 128, 3))[:] = level
        scale = [{"type": "scale", "scale": [step, step, 1]}]
        datasets.append({"path": str(i), "coordinateTransformations": scale})
    axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}, {"name": "c", "type": "channel"}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}


@dataclass(frozen=True)
class Case:
    """backend: that opens it; name: of the file; write: (path, (Y, X, 3)) makes it."""

    backend: str
    name: str
    write: Callable[[Path, np.ndarray], object]


CASES = (
    Case("openslide", "pyramid.tif", write_pyramid),
    Case("tifffile", "a.ome.tif", write_ome),
    Case("tifffile", "flat.tif", lambda path, image: tifffile.imwrite(path, image, photometric="rgb")),
    Case(
        "image",
        "deep.tif",
        lambda path, image: tifffile.imwrite(path, image.astype("u2") * 257, photometric="rgb"),
    ),
    Case("image", "deep strips.tif", write_deep_strips),
    Case("image", "a.png", lambda path, image: Image.fromarray(image).save(path, compress_level=1)),
    Case("image", "a.webp", lambda path, image: Image.fromarray(image).save(path, lossless=True, quality=0)),
    Case("zarr", "a.zarr", write_zarr),
)
FILES = tuple(case for case in CASES if case.backend != "zarr")
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_file = pytest.mark.parametrize("case", FILES, ids=lambda case: case.name)


@every_case
def test_the_choice_is_told_with_the_reasons_against_all_others(tmp_path: Path, case: Case) -> None:
    path = tmp_path / case.name
    case.write(path, IMAGE)
    with open_slide(path) as slide:
        assert slide.backend == case.backend
        assert {*slide.refused} == {*BACKENDS} - {case.backend}
        assert all(slide.refused.values())
        np.testing.assert_array_equal(slide.read((0, 0), slide.shape), IMAGE)
        assert slide.address == str(path)
    with open_slide(path, backend=case.backend) as slide:
        assert {*slide.refused.values()} == {f"not tried: {case.backend} was asked for"}


def test_an_ome_tiff_is_known_by_its_content(tmp_path: Path) -> None:
    write_ome(tmp_path / "plain name.tif", IMAGE)
    with tifffile.TiffFile(tmp_path / "plain name.tif") as file:
        assert not file.is_ome  # tifffile writes OME only where the name says so
    shutil.copy(tmp_path / "plain name.tif", tmp_path / "other.tif")
    write_ome(tmp_path / "a.ome.tif", IMAGE)
    (tmp_path / "a.ome.tif").rename(tmp_path / "b.tif")
    with open_slide(tmp_path / "b.tif") as slide, open_slide(tmp_path / "other.tif") as plain:
        assert slide.backend == "tifffile"
        assert plain.backend == "openslide"


def test_another_backend_can_be_asked_for(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", IMAGE)
    for backend in ("openslide", "tifffile", "image"):
        with open_slide(tmp_path / "a.tif", backend=backend) as slide:
            assert slide.backend == backend
            np.testing.assert_array_equal(slide.read((0, 0), slide.shape), IMAGE)
    for backend in ("wsidicom", "zarr"):
        with pytest.raises(SlideError, match=f"\\({backend}: "):
            open_slide(tmp_path / "a.tif", backend=backend)
    with pytest.raises(InputError, match="openslide, tifffile, wsidicom, zarr, image"):
        open_slide(tmp_path / "a.tif", backend="guess")


def test_a_folder_without_a_slide_is_refused(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", IMAGE)
    with pytest.raises(SlideError, match="without DICOM files or an OME-Zarr"):
        open_slide(tmp_path)


@every_case
def test_one_pixel_is_a_slide(tmp_path: Path, case: Case) -> None:
    path = tmp_path / case.name
    case.write(path, np.full((1, 1, 3), 77, np.uint8))
    with open_slide(path) as slide:
        assert slide.shape == (1, 1)
        window = slide.read((-1, -1), (3, 3))
        assert (window[1, 1] == 77).all()
        assert (window[0] == 255).all()
        assert (slide.thumbnail() == 77).all()
        assert np.asarray(slide.levels[0]).shape == (1, 1, 3)


@every_case
def test_any_path_will_do(tmp_path: Path, case: Case) -> None:
    folder = tmp_path / "Müllers Präparate, 組織 №1 ё"
    folder.mkdir()
    path = folder / f"a b%20c #1 {case.name}"
    case.write(path, IMAGE)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read((100, 100), (300, 300)), IMAGE[100:400, 100:400])


@every_file
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_a_truncated_file_is_a_clear_error_or_whole(tmp_path: Path, case: Case, share: float) -> None:
    """Where only the directory of a coarse level is cut off, the fine one is whole."""
    path = tmp_path / case.name
    case.write(path, IMAGE)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    fine_is_whole = (case.name, share) == ("pyramid.tif", 0.95)
    expected = nullcontext() if fine_is_whole else pytest.raises(SlideError, match=re.escape(case.name))
    with expected, open_slide(path) as slide:
        pixels = [slide.read((0, 0), shape, level=i) for i, shape in enumerate(slide.level_shapes)]
        np.testing.assert_array_equal(pixels[0], IMAGE)


@every_case
def test_a_slide_that_vanishes_while_open(tmp_path: Path, case: Case) -> None:
    """What is still to be had (an open file, pixels in memory) is right; all else is an error."""
    path = tmp_path / case.name
    case.write(path, IMAGE)
    with open_slide(path) as slide:
        slide.read((0, 0), (50, 50))
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        with suppress(SlideError):
            np.testing.assert_array_equal(slide.read((300, 300), (200, 200)), IMAGE[300:500, 300:500])


@every_file
def test_a_file_emptied_while_open(tmp_path: Path, case: Case) -> None:
    path = tmp_path / case.name
    case.write(path, IMAGE)
    with open_slide(path) as slide:
        path.write_bytes(b"")
        with pytest.raises(SlideError):
            slide.read((0, 0), slide.shape)


@every_case
def test_a_closed_slide_says_so(tmp_path: Path, case: Case) -> None:
    path = tmp_path / case.name
    case.write(path, IMAGE)
    slide = open_slide(path)
    slide.read((0, 0), (50, 50))
    slide.close()
    slide.close()
    with pytest.raises(SlideError, match="closed"):
        slide.read((0, 0), slide.shape)


def test_two_processes_read_one_slide(tmp_path: Path) -> None:
    script = (
        "import hashlib, sys; from napari_hwsi.slides import open_slide\n"
        "for path in sys.argv[1:]:\n"
        "    with open_slide(path) as slide:\n"
        "        print(hashlib.sha256(slide.read((0, 0), slide.shape).tobytes()).hexdigest())"
    )
    paths = [tmp_path / case.name for case in CASES]
    for case, path in zip(CASES, paths, strict=True):
        case.write(path, IMAGE)
    command = [sys.executable, "-c", script, *map(str, paths)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    want = [hashlib.sha256(IMAGE.tobytes()).hexdigest()] * len(CASES)
    assert [run.communicate()[0].split() for run in runs] == [want, want]


def _with_size(path: Path, height: int, width: int, ending: str) -> None:
    Image.fromarray(IMAGE).save(path)
    content = bytearray(path.read_bytes())
    if ending == "png":
        content[16:24] = struct.pack(">II", width, height)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    else:
        with tifffile.TiffFile(path) as file:
            tags = file.pages[0].tags
            places = [(tags["ImageLength"].valueoffset, height), (tags["ImageWidth"].valueoffset, width)]
            places.append((tags["RowsPerStrip"].valueoffset, max(height, 1)))
        for place, value in places:
            content[place : place + 4] = struct.pack("<I", value)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "content", [b"I", b"II", b"MM", b"II*", b"II+", b"\x89PNG", b"RIFF", b"BM", b"\xff\xd8\xff"]
)
def test_a_file_of_a_few_bytes_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(SlideError, match="cannot be opened as a slide"):
        open_slide(tmp_path / "a.tif")


@pytest.mark.parametrize("size", [(0, 611), (700, 0), (1 << 28, 1 << 28), (1 << 31, 1 << 31)])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sizes_of_nothing_and_of_everything_are_refused(
    tmp_path: Path, size: tuple[int, int], ending: str
) -> None:
    path = tmp_path / f"a.{ending}"
    _with_size(path, *size, ending)
    with pytest.raises(HwsiError), open_slide(path) as slide:
        slide.read((0, 0), (10, 10))


def test_a_zarr_level_of_nothing_is_refused(tmp_path: Path) -> None:
    write_zarr(tmp_path / "a.zarr", IMAGE)
    zarr.open_group(tmp_path / "a.zarr").create_array("1", shape=(0, 0, 3), dtype="u1", overwrite=True)
    with pytest.raises(SlideError, match="a level of 0 x 0 px"):
        open_slide(tmp_path / "a.zarr")
