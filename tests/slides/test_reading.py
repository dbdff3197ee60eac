"""Every pixel is the one that OpenSlide's own read_region gives, and lies where it says."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from napari_hwsi.slides import Slide, open_slide
from napari_hwsi.slides.resample import area_resample
from napari_hwsi.slides.tiff_level import TiffLevel
from napari_hwsi.tissue import region_grid

NAMES = ("CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs", "test3-DAPI-2-387.ndpi")


def reference(slide: openslide.OpenSlide, origin: tuple[int, int], size: tuple[int, int], level: int):
    """read_region, composited on white in floating point."""
    rgba = np.asarray(slide.read_region((origin[1], origin[0]), level, (size[1], size[0]))).astype(float)
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + 255 * (1 - alpha)


@pytest.mark.parametrize("name", NAMES)
def test_equals_read_region_on_every_level_at_odd_origins_and_over_every_edge(data: Path, name: str) -> None:
    path = data / "wsi" / name
    rng = np.random.default_rng(7)
    with open_slide(path, backend="openslide") as slide, openslide.OpenSlide(path) as own:
        for level, (height, width) in enumerate(slide.level_shapes):
            step = own.level_downsamples[level]
            size = (min(301, height + 20), min(257, width + 20))
            ys = [-7, 1, int(height * step) - 150, *rng.integers(0, slide.shape[0], 3)]
            xs = [-13, 3, int(width * step) - 99, *rng.integers(0, slide.shape[1], 3)]
            for y, x in zip([*ys, -7, ys[2]], [*xs, xs[2], -13], strict=True):
                got = slide.read((int(y), int(x)), size, level=level)
                np.testing.assert_allclose(got, reference(own, (int(y), int(x)), size, level), atol=1)


def test_tiles_are_decoded_directly_where_they_can_be(data: Path) -> None:
    for name in NAMES:
        with open_slide(data / "wsi" / name, backend="openslide") as slide:
            slide.read((0, 0), (64, 64))
            assert slide._backend._direct[0] is not None, name


def test_a_level_that_openslide_decodes_otherwise_is_left_to_it(
    cmu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiles are decoded two grey levels too bright, as another colour conversion might do."""
    own = TiffLevel.tile
    monkeypatch.setattr(
        TiffLevel, "tile", lambda *at: np.clip(own(*at).astype(int) + 2, 0, 255).astype(np.uint8)
    )
    with open_slide(cmu, backend="openslide") as slide, openslide.OpenSlide(cmu) as plain:
        want = reference(plain, (300, 501), (200, 200), 0)
        np.testing.assert_array_equal(slide.read((300, 501), (200, 200)), want)


def test_a_tile_that_aperio_leaves_out_is_drawn_as_openslide_draws_it(tmp_path: Path) -> None:
    """OpenSlide takes such a tile of a coarse level from the next finer one."""
    rng = np.random.default_rng(0)
    base = ndimage.gaussian_filter(rng.integers(0, 255, (2048, 2048, 3)).astype(float), (6, 6, 0))
    base = ((base - base.min()) / np.ptp(base) * 255).astype(np.uint8)
    text = "Aperio Image Library v12\r\n2048x2048 (256x256) JPEG/RGB Q=90|AppMag = 40|MPP = 0.25"
    path = tmp_path / "aperio.svs"
    kwargs = {"photometric": "rgb", "compression": "jpeg", "description": text, "metadata": None}
    with tifffile.TiffWriter(path) as file:
        file.write(base, tile=(256, 256), **kwargs)
        file.write(np.ascontiguousarray(base[::8, ::8]), rowsperstrip=16, **kwargs)
        file.write(np.ascontiguousarray(base[::4, ::4]), tile=(256, 256), subfiletype=1, **kwargs)
    with tifffile.TiffFile(path) as file:
        tag = file.pages[2].tags["TileByteCounts"]
        place, size = tag.valueoffset, {3: 2, 4: 4, 16: 8}[int(tag.dtype)]
    with path.open("r+b") as raw:
        raw.seek(place)
        raw.write(bytes(size))
    with open_slide(path, backend="openslide") as slide, openslide.OpenSlide(path) as own:
        assert slide.vendor == "aperio"
        want = reference(own, (0, 0), (512, 512), 1)
        assert want[:256, :256].std() > 5
        np.testing.assert_allclose(slide.read((0, 0), (512, 512), level=1), want, atol=1)


def test_a_file_that_grows_is_the_same_slide(cmu: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(cmu, tmp_path / "slide.svs"))
    with open_slide(path) as slide:
        before = slide.read((0, 0), (500, 500))
        with path.open("ab") as file:
            file.write(bytes(1 << 20))
        np.testing.assert_array_equal(slide.read((0, 0), (500, 500)), before)
        assert slide.available


@pytest.mark.parametrize("name", NAMES[:2])
def test_between_levels_it_is_the_area_mean_of_the_next_finer_one(data: Path, name: str) -> None:
    with open_slide(data / "wsi" / name) as slide:
        if slide.mpp is None:
            slide.set_mpp(0.25)
        fine = slide.mpp[0]
        got = slide.read((101, 203), (90, 120), mpp=fine * 1.7)
        whole = slide.read((101, 203), (160, 210))
        np.testing.assert_array_equal(got, area_resample(whole, (90, 120), (1.7, 1.7)))
        if len(slide.level_shapes) > 1:  # from level 1, at a place between its pixels
            got = slide.read((101, 203), (50, 60), mpp=fine * 5)
            level = slide.read((0, 0), (300, 400), level=1)
            want = area_resample(level, (50, 60), (2.5, 2.5), (50.5, 101.5))
            np.testing.assert_array_equal(got, want)


def test_a_scan_that_begins_somewhere_on_the_glass(tmp_path: Path, write_leica: Callable[..., None]) -> None:
    """Its bounds are the file's, all round is background, and the grid of patches begins where it does."""
    image = np.random.default_rng(3).integers(0, 256, (1024, 768, 3), np.uint8)
    write_leica(tmp_path / "a.scn", image, (333, 517), (2048, 2304))
    with open_slide(tmp_path / "a.scn") as slide, openslide.OpenSlide(tmp_path / "a.scn") as own:
        assert (slide.backend, slide.vendor, slide.mpp) == ("openslide", "leica", (0.5, 0.5))
        assert slide.shape == (2048, 2304)
        assert slide.bounds == (333, 517, 1357, 1285)
        np.testing.assert_array_equal(slide.read((333, 517), (1024, 768)), image)
        for level, step in ((0, 1), (1, 4)):
            for y, x in ((-9, -5), (301, 503), (1349, 1279), (1999, 2251), (1351, 501), (330, 1281)):
                for dy, dx in ((0, 0), (1, 2)):
                    place = (y + dy * step, x + dx * step)
                    got = slide.read(place, (150, 130), level=level)
                    np.testing.assert_allclose(got, reference(own, place, (150, 130), level), atol=1)
        first = region_grid(slide).patch_boxes(0)[0]
        assert tuple(first[:2]) == slide.bounds[:2]


def test_two_backends_give_the_same_pixels(data: Path) -> None:
    for name in NAMES:
        both = (open_slide(data / "wsi" / name, backend=backend) for backend in ("openslide", "tifffile"))
        a, b = both
        with a, b:
            assert a.level_shapes[: len(b.level_shapes)] == b.level_shapes
            for level in range(len(b.level_shapes)):
                origin = tuple(int(37 * step) for step in a.level_downsamples[level])
                np.testing.assert_allclose(
                    a.read(origin, (150, 130), level=level).astype(int),
                    b.read(origin, (150, 130), level=level).astype(int),
                    atol=1,
                )


@pytest.mark.parametrize("name", NAMES[1:])
def test_levels_register_with_each_other(data: Path, name: str) -> None:
    """A nucleus of level 0 is on its nucleus in every level: under half a pixel of the coarser one."""
    with open_slide(data / "wsi" / name) as slide:
        for coarse in range(1, min(4, len(slide.level_shapes))):
            for y, x in textured(slide, coarse):
                ratio = int(slide.level_downsamples[coarse][0])
                side = 128
                own = np.asarray(slide.lazy_levels[coarse][y : y + side, x : x + side]).mean(-1)
                fine = slide.lazy_levels[0].window(
                    y * ratio, (y + side) * ratio, x * ratio, (x + side) * ratio
                )
                fine = fine.reshape(side, ratio, side, ratio, 3).mean((1, 3, 4))
                shift, _, _ = phase_cross_correlation(fine, own, upsample_factor=20)
                assert np.abs(shift).max() < 0.5, (coarse, y, x, shift)


def textured(slide: Slide, level: int) -> list[tuple[int, int]]:
    """The far corner and others where there is something to register."""
    height, width = slide.level_shapes[level]
    places = [(y, x) for y in range(0, height - 128, 96) for x in range(0, width - 128, 96)]
    pixels = np.asarray(slide.levels[level])
    places = [(y, x) for y, x in places if pixels[y : y + 128, x : x + 128].mean(-1).std() > 12]
    return sorted(places, key=sum)[-2:] + places[:2]
