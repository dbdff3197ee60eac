"""Pixels by place and resolution, on real slides and on arrays with known content."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_hwsi import open_slide, slide_from_array
from napari_hwsi.errors import HwsiError, InputError, ResolutionError, SlideError
from napari_hwsi.slides.resample import area_resample


def test_ome_tiff_is_read_as_tifffile_decodes_it(data: Path) -> None:
    path = data / "wsi" / "HE_example_instanseg.ome.tif"
    with open_slide(path) as slide:
        assert slide.backend == "tifffile"
        assert slide.mpp == pytest.approx((0.50008, 0.50008), rel=1e-4)
        whole = tifffile.imread(path)
        np.testing.assert_array_equal(slide.read((300, 411), (256, 100)), whole[300:556, 411:511])


def test_a_resolution_between_levels_is_the_area_mean() -> None:
    image = np.random.default_rng(0).integers(0, 256, (120, 90, 3), np.uint8)
    slide = slide_from_array(image, mpp=0.25)
    got = slide.read((12, 8), (10, 10), mpp=1.0)
    want = image[12:52, 8:48].reshape(10, 4, 10, 4, 3).mean((1, 3))
    assert np.abs(got - want).max() <= 0.5


def test_fractions_of_pixels_count_by_area() -> None:
    ramp = np.repeat(np.arange(0, 200, 10, dtype=np.uint8)[None, :, None], 3, 2)
    got = area_resample(np.repeat(ramp, 3, 0), (2, 8), (1.5, 2.5))
    # The first output pixel covers inputs 0, 1 and half of 2: (0 + 10 + 0.5 * 20) / 2.5.
    assert got[0, 0, 0] == 8
    assert got[0, 1, 0] == 32  # (0.5 * 20 + 30 + 40) / 2.5


def test_a_level_within_five_percent_is_read_as_it_is(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        scale = slide.scale_at(0.5)
        assert scale.mpp == (0.499, 0.499)
        np.testing.assert_array_equal(
            slide.read((100, 100), (64, 64), mpp=0.5), slide.read((100, 100), (64, 64), level=0)
        )


def test_outside_the_slide_is_background(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        assert (slide.read((-100, -100), (50, 50)) == 255).all()
        assert (slide.read((5000, 5000), (50, 50), mpp=2) == 255).all()


def test_levels_are_lazy_and_placed_by_their_true_ratio(data: Path) -> None:
    with open_slide(data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs") as slide:
        assert slide.level_downsamples[1] == (2, 2)
        assert [level.shape[:2] for level in slide.levels[:2]] == list(slide.level_shapes)
        assert max(slide.levels[-1].shape[:2]) <= 2048
        part = slide.levels[1][600:700, 700:800].compute()
        np.testing.assert_array_equal(part, slide.read((0, 0), (700, 800), level=1)[600:, 700:])
        assert max(max(c) for c in slide.levels[0].chunks[:2]) <= 1024


def test_a_flat_image_gets_a_pyramid_with_the_same_content() -> None:
    image = np.zeros((4100, 2051, 3), np.uint8)
    image[:, 1000:] = 200
    levels = slide_from_array(image).levels
    assert [level.shape for level in levels] == [(4100, 2051, 3), (1025, 513, 3)]
    coarse = np.asarray(levels[1])
    assert (coarse[:, :250] == 0).all()
    assert (coarse[:, 250:] == 200).all()


def test_label_and_macro_are_listed_but_only_decoded_on_request(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        assert set(slide.associated_images) == {"label", "macro", "thumbnail"}
        assert np.asarray(slide.associated_images["macro"]).shape == (431, 1280, 3)
        with pytest.raises(KeyError):
            slide.associated_images["patient"]


def test_a_missing_pixel_size_is_asked_for_and_remembered(data: Path, tmp_path: Path) -> None:
    path = data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs"
    with open_slide(path) as slide:
        assert slide.mpp is None
        with pytest.raises(ResolutionError, match="Give it once"):
            slide.read((0, 0), (8, 8), mpp=0.5)
        slide.set_mpp(0.25)
    copy = tmp_path / "renamed.svs"
    copy.write_bytes(path.read_bytes())
    with open_slide(copy) as again:
        assert again.mpp == (0.25, 0.25)
        assert again.mpp_source == "user"


def test_the_files_own_pixel_size_is_not_overruled(cmu: Path) -> None:
    with pytest.raises(ResolutionError, match="contradicts"):
        open_slide(cmu, mpp=0.25)
    with open_slide(cmu, mpp=0.5) as slide:
        assert slide.mpp == (0.499, 0.499)


def test_finer_than_the_scan_is_refused(cmu: Path) -> None:
    with open_slide(cmu) as slide, pytest.raises(ResolutionError, match="finer than its pixels"):
        slide.read((0, 0), (8, 8), mpp=0.25)


def test_fingerprint_follows_content_not_name(cmu: Path, tmp_path: Path) -> None:
    changed = tmp_path / cmu.name
    content = bytearray(cmu.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    with open_slide(cmu) as a, open_slide(changed) as b:
        assert a.fingerprint != b.fingerprint


@pytest.mark.parametrize("name", ["broken.svs", "small_dicom_TCGA-XK-AAJU.dcm"])
def test_a_bad_file_gives_one_error_with_both_reasons(data: Path, name: str) -> None:
    with pytest.raises(SlideError, match=f"{name}.*openslide.*tifffile"):
        open_slide(data / "wsi" / name)


def test_text_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.svs"
    text.write_text("not a slide")
    with pytest.raises(SlideError, match="cannot be opened as a slide"):
        open_slide(text)
    with pytest.raises(SlideError, match="is a folder"):
        open_slide(tmp_path)
    with pytest.raises(SlideError, match="No such file"):
        open_slide(tmp_path / "nowhere.svs")
    with pytest.raises(InputError, match="openslide, tifffile"):
        open_slide(text, backend="guess")


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 4), (0, 4, 3)])
def test_only_rgb_arrays_are_slides(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="RGB"):
        slide_from_array(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int32", "bool"])
def test_label_and_grey_images_are_not_slides(tmp_path: Path, kind: str) -> None:
    labels = np.zeros((300, 300), kind)
    labels[100:200, 100:200] = 1
    tifffile.imwrite(tmp_path / "labels.tif", labels, tile=(256, 256))
    with pytest.raises(SlideError, match="not an 8-bit RGB"):
        open_slide(tmp_path / "labels.tif")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.svs").touch()
    with pytest.raises(SlideError, match="is empty"):
        open_slide(tmp_path / "empty.svs")


def test_shrinking_in_bands_equals_shrinking_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(3).integers(0, 256, (703, 300, 3), np.uint8)
    slide = slide_from_array(image, mpp=0.3)
    at_once = slide.read((5, -7), (150, 60), mpp=1.0)
    monkeypatch.setattr("napari_hwsi.slides.slide._BAND_PX", 5000)
    in_bands = slide.read((5, -7), (150, 60), mpp=1.0)
    assert np.abs(at_once.astype(int) - in_bands).max() <= 1
    assert np.array_equal(at_once[:7], in_bands[:7])


def test_levels_can_be_sliced_in_any_way(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        level, whole = slide.levels[0], slide.read((0, 0), slide.shape)
        np.testing.assert_array_equal(level[100:160:3, 5], whole[100:160:3, 5])
        np.testing.assert_array_equal(level[2960:, ::-700, 1], whole[2960:, ::-700, 1])


@pytest.mark.parametrize("compression", [None, "jpeg"])
@pytest.mark.parametrize("axes", ["YXS", "SYX"])
def test_a_pyramid_in_subifds_is_read_at_every_level(tmp_path: Path, axes: str, compression: str) -> None:
    """Its colours interleaved, or a plane of tiles each; OpenSlide, which sees level 0 alone, agrees."""
    image = np.random.default_rng(4).integers(0, 256, (1200, 900, 3), np.uint8)
    levels = [image, image[::2, ::2], image[::4, ::4]]
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        options = {"photometric": "rgb", "tile": (256, 256), "compression": compression}
        options |= {"planarconfig": "contig" if axes == "YXS" else "separate"}
        metadata = {"axes": axes, "PhysicalSizeX": 0.3, "PhysicalSizeY": 0.25}
        first, *others = (np.moveaxis(level, -1, axes.index("S")) for level in levels)
        file.write(first, subifds=2, metadata=metadata, **options)
        for level in others:
            file.write(level, subfiletype=1, **options)
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert slide.backend == "tifffile"
        assert slide.mpp == (0.25, 0.3)
        assert slide.level_shapes == ((1200, 900), (600, 450), (300, 225))
        for i, level in enumerate(levels if compression is None else ()):
            top, left = 400 >> i, 80 >> i
            got = slide.read((400, 80), (99, 50), level=i)
            np.testing.assert_array_equal(got, level[top : top + 99, left : left + 50])
        with open_slide(tmp_path / "a.ome.tif", backend="openslide") as other:
            assert (
                np.abs(other.read((7, -9), (400, 300)) - slide.read((7, -9), (400, 300)).astype(int)).max()
                <= 1
            )


def test_a_pyramidal_svs_is_the_same_through_tifffile(data: Path) -> None:
    path = data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs"
    with open_slide(path) as a, open_slide(path, backend="tifffile") as b:
        assert np.abs(a.read((800, 900), (64, 64)).astype(int) - b.read((800, 900), (64, 64))).max() <= 1


def test_pixels_that_are_not_square_are_read_at_any_resolution() -> None:
    image = np.random.default_rng(5).integers(0, 256, (80, 60, 3), np.uint8)
    slide = slide_from_array(image, mpp=(0.25, 0.52))
    scale = slide.scale_at(0.5)
    assert scale.mpp == (0.5, 0.52)  # x is within 5 % as it is
    got = slide.read((0, 0), (40, 60), mpp=0.5)
    assert np.abs(got - image.reshape(40, 2, 60, 3).mean(1)).max() <= 0.5


def test_closing_waits_for_those_who_read(cmu: Path) -> None:
    """A file closed under a reader would end the process."""
    slide = open_slide(cmu)
    read, failed = 0, []

    def keep_reading() -> None:
        nonlocal read
        try:
            while True:
                slide.read((500, 500), (700, 700))
                read += 1
        except SlideError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=keep_reading) for _ in range(3)]
    for thread in threads:
        thread.start()
    while read < 10:
        time.sleep(0.01)
    slide.close()
    slide.close()
    for thread in threads:
        thread.join(10)
    assert len(failed) == 3
    assert all("is closed" in words for words in failed)


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_header_is_one_of_our_errors_or_none(data: Path, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = (data / "wsi" / "HE_example_instanseg.ome.tif").read_bytes()
    content = np.frombuffer(whole, np.uint8).copy()
    with tifffile.TiffFile(data / "wsi" / "HE_example_instanseg.ome.tif") as file:
        directory = file.pages[0].offset
    places = np.r_[rng.integers(0, 8, 1), directory + rng.integers(0, 240, 12)]
    content[places] = rng.integers(0, 256, len(places))
    (tmp_path / "a.ome.tif").write_bytes(content.tobytes())
    try:
        with open_slide(tmp_path / "a.ome.tif") as slide:
            slide.read((0, 0), (32, 32))
    except HwsiError:
        pass


def test_a_printers_resolution_is_no_pixel_size(tmp_path: Path) -> None:
    image = np.full((512, 512, 3), 200, np.uint8)
    options = {"photometric": "rgb", "tile": (256, 256)}
    tifffile.imwrite(tmp_path / "dpi.tif", image, resolution=(300, 300), resolutionunit="INCH", **options)
    tifffile.imwrite(
        tmp_path / "cm.tif", image, resolution=(2e4, 4e4), resolutionunit="CENTIMETER", **options
    )
    for backend in ("openslide", "tifffile"):
        with open_slide(tmp_path / "dpi.tif", backend=backend) as slide:
            assert slide.mpp is None
        with open_slide(tmp_path / "cm.tif", backend=backend) as slide:
            assert slide.mpp == pytest.approx((0.25, 0.5))


def test_a_name_too_long_for_any_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match="cannot be opened"):
        open_slide(tmp_path / ("a" * 300 + ".svs"))


def test_numpy_numbers_are_pixel_sizes() -> None:
    slide = slide_from_array(np.zeros((4, 4, 3), np.uint8), mpp=np.float32(0.5))
    assert slide.mpp == (0.5, 0.5)
