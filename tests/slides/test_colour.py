"""Colour profiles: only when asked for, and then the same for every window."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_hwsi import open_slide
from napari_hwsi.cli import main
from napari_hwsi.errors import SlideError, StoreError
from napari_hwsi.hierarchy import analyze, open_result
from napari_hwsi.slides.colour import DAMAGED, ToSRGB, profile_name

GAMMA = 1.8


def profile(gamma: float = GAMMA, name: str = "Scanner 1.8") -> bytes:
    """Return an RGB profile (ICC.1:2001) with sRGB's primaries and a pure power as its curve."""

    def number(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(number, values))

    text = name.encode() + b"\0"
    curve = b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(gamma * 256))
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.4361, 0.2225, 0.0139),
        b"gXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"bXYZ": xyz(0.1431, 0.0606, 0.7139),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI", start + len(body), b"lcms", 0x02100000) + b"mntrRGB XYZ "
    header += bytes(12) + b"acsp" + bytes(28) + number(0.9642) + number(1.0) + number(0.8249)
    return header.ljust(128, b"\0") + table + body


@pytest.fixture
def profiled(cmu: Path, tmp_path: Path) -> Path:
    """A part of a real slide with that profile."""
    path = tmp_path / "profiled.tif"
    options = {
        "tile": (256, 256),
        "photometric": "rgb",
        "resolution": (2e4, 2e4),
        "resolutionunit": "CENTIMETER",
    }
    tifffile.imwrite(path, tifffile.imread(cmu, key=0)[500:1500, 400:1300], iccprofile=profile(), **options)
    return path


def to_srgb(value: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1 of what a power curve encodes."""
    linear = (value / 255) ** GAMMA
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("backend", ["openslide", "tifffile", "image"])
def test_pixels_become_what_the_standard_says(profiled: Path, backend: str) -> None:
    with (
        open_slide(profiled, backend=backend) as plain,
        open_slide(profiled, backend=backend, icc=True) as slide,
    ):
        own = plain.read((0, 0), (600, 600))
        assert (plain.icc, slide.icc) == (False, True)
        assert plain.icc_profile_name == slide.icc_profile_name == "Scanner 1.8"
        np.testing.assert_array_equal(own, tifffile.imread(profiled)[:600, :600])
        got = slide.read((0, 0), (600, 600))
        assert np.abs(got - to_srgb(own)).max() <= 2  # the primaries are given in 16 bits
        assert np.abs(got.astype(int) - own).max() > 10
        assert slide.fingerprint == plain.fingerprint


def test_any_window_any_thread_and_every_door_see_the_same(profiled: Path) -> None:
    with open_slide(profiled, icc=True) as slide:
        whole = slide.read((0, 0), slide.shape)
        places = [(y, x) for y in range(0, 900, 150) for x in range(0, 800, 130)]
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(lambda place: slide.read(place, (97, 89)), places))
        for (y, x), part in zip(places, parts, strict=True):
            np.testing.assert_array_equal(part, whole[y : y + 97, x : x + 89])
        np.testing.assert_array_equal(slide.levels[0][:99, :99].compute(), whole[:99, :99])
        np.testing.assert_array_equal(np.asarray(slide.lazy_levels[0][:99, :99]), whole[:99, :99])
        assert tuple(slide.read((-50, -50), (9, 9))[0, 0]) == slide.background == (255, 255, 255)


def test_the_profile_of_a_real_slide(data: Path) -> None:
    path = data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs"
    with open_slide(path) as plain, open_slide(path, icc=True) as slide:
        assert slide.icc_profile_name == "sRGB IEC61966-2.1"
        difference = plain.read((900, 900), (300, 300)).astype(int) - slide.read((900, 900), (300, 300))
        assert np.abs(difference).max() <= 1


def test_a_slide_without_a_profile_says_so(cmu: Path) -> None:
    with pytest.raises(SlideError, match=r"CMU-1-Small-Region.svs carries no colour profile"):
        open_slide(cmu, icc=True)
    with open_slide(cmu) as slide:
        assert slide.icc_profile_name is None


@pytest.mark.parametrize("damaged", [b"", b"nothing", profile()[:140], profile().replace(b"RGB ", b"GRAY")])
def test_a_damaged_profile_is_one_error_and_only_when_used(tmp_path: Path, damaged: bytes) -> None:
    with pytest.raises(SlideError, match=r"The colour profile of a\.tif is damaged"):
        ToSRGB(damaged, "a.tif")
    image = np.full((64, 64, 3), 99, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", tile=(64, 64), iccprofile=damaged or b"x")
    with open_slide(tmp_path / "a.tif") as slide:
        assert (slide.read((0, 0), (64, 64)) == 99).all()
    with pytest.raises(SlideError, match="damaged"):
        open_slide(tmp_path / "a.tif", icc=True)


def test_names() -> None:
    assert profile_name(None) is None
    assert profile_name(profile(name="Scanner of mine")) == "Scanner of mine"
    assert profile_name(b"nothing") == DAMAGED


def test_a_result_names_it_and_what_was_made_without_it_is_stale(profiled: Path, tmp_path: Path) -> None:
    store = tmp_path / "a.hwsi.zarr"
    result = analyze(profiled, store, parts=["patches"])
    assert result.slide_facts["icc"] is None
    before = result.patch_vectors[:].copy()
    with open_slide(profiled, icc=True) as slide:
        with pytest.raises(StoreError, match="without the slide's colour profile"):
            open_result(store, slide)
        again = analyze(slide, store, parts=["patches"])
    assert again.slide_facts["icc"] == "Scanner 1.8"
    assert np.abs(before - again.patch_vectors[:]).max() > 0
    reopened = open_result(store)
    assert reopened.slide.icc
    reopened.slide.close()


def test_info_names_the_profile_and_its_use(profiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(profiled)]) == 0
    assert "Scanner 1.8 (not used" in capsys.readouterr().out
    assert main(["info", "--icc", str(profiled)]) == 0
    assert "Scanner 1.8 (all pixels converted" in capsys.readouterr().out
