"""DICOM slides through wsidicom and OpenSlide."""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import openslide
import pydicom
import pytest
import tifffile
from pydicom.uid import generate_uid

from napari_hwsi import open_slide
from napari_hwsi.errors import HwsiError, SlideError, SlideUnavailableError
from napari_hwsi.slides.colour import profile_name
from napari_hwsi.slides.dicom_backend import DicomBackend


def test_the_finest_level_is_the_scanners_own_tiles(dicom_folder: Path, cmu: Path) -> None:
    whole = tifffile.imread(cmu, key=0)
    with open_slide(dicom_folder) as slide:
        assert slide.backend == "wsidicom"
        assert slide.shape == whole.shape[:2]
        difference = slide.read((0, 0), slide.shape).astype(int) - whole
        assert np.abs(difference).max() <= 1


@pytest.mark.parametrize(("origin", "most"), [((0, 0), 1), ((2900, 2100), 1), ((701, 333), 2)])
def test_two_backends_give_the_same_pixels_at_every_level(
    dicom_folder: Path, origin: tuple[int, int], most: int
) -> None:
    """Their decoders round one grey level apart; between pixels that is rounded once more."""
    with open_slide(dicom_folder) as a, open_slide(dicom_folder / "a.dcm", backend="openslide") as b:
        assert a.level_shapes == b.level_shapes == ((2967, 2220), (1483, 1110), (741, 555))
        assert a.mpp == pytest.approx((0.499, 0.499))
        assert b.mpp == pytest.approx((0.499, 0.499))
        for level in range(3):
            got, other = (s.read(origin, (301, 280), level=level).astype(int) for s in (a, b))
            assert np.abs(got - other).max() <= most


def test_one_file_stands_for_its_whole_series(dicom_folder: Path) -> None:
    with open_slide(dicom_folder) as a, open_slide(dicom_folder / "2.dcm") as b:
        assert a.level_shapes == b.level_shapes
        assert a.fingerprint == b.fingerprint


def test_openslide_opens_the_folder_too_and_knows_the_same_slide(dicom_folder: Path) -> None:
    with open_slide(dicom_folder, backend="openslide") as a, open_slide(dicom_folder) as b:
        assert a.fingerprint == b.fingerprint
        assert b.refused["openslide"] == "not tried: wsidicom comes before it for DICOM"
        assert a.refused["wsidicom"] == "not tried: openslide was asked for"


def test_label_and_overview_are_associated_images(dicom_folder: Path, cmu: Path) -> None:
    with open_slide(dicom_folder) as slide, openslide.OpenSlide(cmu) as source:
        assert {*slide.associated_images} == {"label", "macro"}
        got = np.asarray(slide.associated_images["macro"]).astype(int)
        want = np.asarray(source.associated_images["macro"].convert("RGB"))
        assert got.shape == want.shape
        assert np.abs(got - want).mean() < 3  # encoded once more


def test_its_profile_and_maker_are_told(dicom_folder: Path) -> None:
    backend = DicomBackend(dicom_folder)
    assert backend.properties["dicom.Manufacturer"] == "Leica"
    assert profile_name(backend.icc_profile) == "sRGB built-in"
    assert not any("patient" in name.lower() for name in backend.properties)
    backend.close()
    with pytest.raises(SlideError):
        backend.read(0, (0, 0), (8, 8))


def test_a_slide_that_is_not_conformant_says_what_it_lacks(data: Path) -> None:
    with pytest.raises(SlideError, match=r"lacks ImageType"):
        open_slide(data / "wsi" / "small_dicom_TCGA-XK-AAJU.dcm")


def test_a_folder_of_two_slides_is_refused(dicom_folder: Path, tmp_path: Path) -> None:
    for name in ("1.dcm", "2.dcm"):
        shutil.copy(dicom_folder / name, tmp_path)
    other = pydicom.dcmread(tmp_path / "2.dcm")
    other.SeriesInstanceUID = generate_uid()
    other.save_as(tmp_path / "2.dcm")
    with pytest.raises(SlideError, match="2 DICOM slides"):
        open_slide(tmp_path)
    with open_slide(tmp_path / "1.dcm") as slide:
        assert slide.level_shapes == ((1483, 1110),)


def test_a_damaged_frame_is_an_error_there_and_nowhere_else(dicom_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(dicom_folder, tmp_path / "copy")
    content = bytearray((folder / "a.dcm").read_bytes())
    start = content.index(b"\xff\xd8\xff\xee")
    content[start : start + 3000] = bytes(3000)
    (folder / "a.dcm").write_bytes(content)
    with open_slide(folder) as slide, open_slide(dicom_folder) as whole:
        with pytest.raises(SlideError, match=r"level 0, tile \(0, 0\)"):
            slide.read((0, 0), (100, 100))
        np.testing.assert_array_equal(slide.read((900, 900), (99, 99)), whole.read((900, 900), (99, 99)))


def test_a_folder_that_loses_a_file_does_not_answer(dicom_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(dicom_folder, tmp_path / "copy")
    content = (folder / "a.dcm").read_bytes()
    with open_slide(folder) as slide, open_slide(dicom_folder) as whole:
        (folder / "a.dcm").write_bytes(content[:20_000])
        with pytest.raises(SlideUnavailableError):
            slide.read((1500, 1500), (99, 99))
        (folder / "a.dcm").write_bytes(content)
        np.testing.assert_array_equal(slide.read((1500, 1500), (99, 99)), whole.read((1500, 1500), (99, 99)))


def test_what_wsidicom_refuses_is_given_to_openslide_only_on_request(
    dicom_folder: Path, tmp_path: Path
) -> None:
    """Tiles that are missing from the middle of a file end the process there."""
    folder = shutil.copytree(dicom_folder, tmp_path / "copy")
    header = pydicom.dcmread(folder / "a.dcm")
    header.TotalPixelMatrixRows += 1000
    header.save_as(folder / "a.dcm")
    with pytest.raises(SlideError, match=r"wsidicom: .*number of frames.*openslide: not tried: a damaged"):
        open_slide(folder)


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_header_is_one_of_our_errors_or_none(dicom_folder: Path, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for name in ("1.dcm", "2.dcm"):
        shutil.copy(dicom_folder / name, tmp_path)
    content = np.frombuffer((tmp_path / "1.dcm").read_bytes(), np.uint8).copy()
    places = rng.integers(132, 3000, 6)
    content[places] = rng.integers(0, 256, len(places))
    (tmp_path / "1.dcm").write_bytes(content.tobytes())
    with suppress(HwsiError), open_slide(tmp_path) as slide:
        slide.read((0, 0), (32, 32))


def test_without_wsidicom_openslide_reads_it_and_says_so(
    dicom_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wsidicom", None)
    with open_slide(dicom_folder) as slide:
        assert slide.backend == "openslide"
        assert "pip install 'napari-hwsi[dicom]'" in slide.refused["wsidicom"]
