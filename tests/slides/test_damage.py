"""Damaged files give what can be read of them; files that go away come back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from napari_hwsi.errors import SlideError, SlideUnavailableError
from napari_hwsi.slides import open_slide, stream_patches
from napari_hwsi.slides.reader import hatched

BACKENDS = ("openslide", "tifffile")


@pytest.fixture
def damaged(cmu: Path, tmp_path: Path) -> Path:
    """A copy of the slide whose tile at rows 240 to 480, columns 480 to 720 is zeros."""
    path = Path(shutil.copy(cmu, tmp_path / "damaged.svs"))
    with tifffile.TiffFile(cmu) as file:
        page = file.pages[0]
        index = -(-page.shape[1] // 240) + 2
        start, count = page.dataoffsets[index], page.databytecounts[index]
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(count))
    return path


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_damaged_tile_is_marked_and_all_round_it_is_read(damaged: Path, cmu: Path, backend: str) -> None:
    with open_slide(damaged, backend=backend) as slide, open_slide(cmu) as whole:
        with pytest.raises(SlideError):
            slide.read((100, 300), (500, 600))
        pixels, readable = slide.read_masked((100, 300), (500, 600))
        want = np.ones((500, 600), bool)
        want[140:380, 180:420] = False
        np.testing.assert_array_equal(readable, want)
        np.testing.assert_array_equal(pixels[want], whole.read((100, 300), (500, 600))[want])
        np.testing.assert_array_equal(pixels[~want], hatched((100, 300), (500, 600))[~want])
        assert slide.available


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mean_over_a_damaged_pixel_is_not_readable(damaged: Path, backend: str) -> None:
    with open_slide(damaged, mpp=0.499, backend=backend) as slide:
        _, readable = slide.read_masked((101, 301), (100, 100), mpp=0.499 * 4.1)
        assert not readable.all()
        hole = np.flatnonzero(~readable[:, 60])
        assert (hole[0], hole[-1]) == (int(139 / 4.1), int(378 / 4.1))


def test_a_damaged_tile_is_hatched_on_the_screen(damaged: Path) -> None:
    with open_slide(damaged) as slide:
        for level in (slide.lazy_levels[0], slide.levels[0]):
            part = np.asarray(level[240:480, 480:720])
            np.testing.assert_array_equal(part, hatched((240, 480), (240, 240)))


def test_what_could_not_be_read_is_tried_again(damaged: Path, cmu: Path) -> None:
    with open_slide(damaged) as slide, open_slide(cmu) as whole:
        before = np.asarray(slide.lazy_levels[0][:900, :900])
        with damaged.open("r+b") as file:
            file.write(cmu.read_bytes())
        after = np.asarray(slide.lazy_levels[0][:900, :900])
        assert (before != after).any()
        np.testing.assert_array_equal(after, whole.read((0, 0), (900, 900)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_that_goes_away_is_told_of_and_comes_back(cmu: Path, tmp_path: Path, backend: str) -> None:
    path = Path(shutil.copy(cmu, tmp_path / "slide.svs"))
    content = path.read_bytes()
    heard: list[bool] = []
    with open_slide(path, backend=backend) as slide:
        slide.on_trouble(heard.append)
        expected = slide.read((0, 0), (300, 300))
        path.write_bytes(content[:5000])
        with pytest.raises(SlideUnavailableError, match="does not answer"):
            slide.read((500, 500), (300, 300))
        with pytest.raises(SlideUnavailableError):
            slide.read_masked((500, 500), (300, 300))
        assert not slide.available
        part = np.asarray(slide.lazy_levels[0][1000:1200, 1000:1200])
        np.testing.assert_array_equal(part, hatched((1000, 1000), (200, 200)))
        path.unlink()  # another file under the same name, as a drive that is mounted again has it
        path.write_bytes(content)
        np.testing.assert_array_equal(slide.read((0, 0), (300, 300)), expected)
        assert slide.available
        assert (np.asarray(slide.lazy_levels[0][1000:1200, 1000:1200]) != part).any()
    assert heard == [False, True]


def test_a_file_that_is_away_at_its_first_look_is_read_directly_when_it_is_back(
    cmu: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(cmu, tmp_path / "slide.svs"))
    content = path.read_bytes()
    with open_slide(path) as slide, open_slide(cmu) as whole:
        path.write_bytes(content[:5000])
        for y in (700, 1400):
            with pytest.raises(SlideUnavailableError):
                slide.read((y, 900), (64, 64))
        path.write_bytes(content)
        (batch,) = stream_patches(slide, [(700, 700), (100, 900)], size=(64, 64))
        assert batch.readable.all()
        assert slide._backend._direct[0] is not None
        assert not slide._backend._broken
        np.testing.assert_array_equal(slide.read((9, 9), (99, 99)), whole.read((9, 9), (99, 99)))


def test_a_drive_that_goes_away_between_two_looks_is_not_taken_for_damage(
    damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window holds a damaged tile; the file goes while its parts are tried one by one."""
    with open_slide(damaged) as slide:
        own, calls = slide._backend.read, []

        def vanishing(*where):
            calls.append(where)
            if len(calls) == 3:
                damaged.write_bytes(b"")
            return own(*where)

        monkeypatch.setattr(slide._backend, "read", vanishing)
        with pytest.raises(SlideUnavailableError):
            slide.read_masked((100, 300), (500, 600))


def test_one_damaged_tile_does_not_keep_the_thumbnail_away(damaged: Path, cmu: Path) -> None:
    with open_slide(damaged) as slide, open_slide(cmu) as whole:
        got, want = slide.thumbnail(742).astype(int), whole.thumbnail(742)
        different = np.abs(got - want).max(-1) > 0
        assert different[62:118, 122:178].mean() > 0.99
        different[59:122, 119:182] = False
        assert not different.any()


@pytest.mark.parametrize("share", [0.7, 0.98])
@pytest.mark.parametrize("name", ["TCGA-CR-7395-01A-01-TS1.svs", "HE_example_instanseg.ome.tif"])
def test_a_slide_that_is_cut_off_says_so(data: Path, tmp_path: Path, name: str, share: float) -> None:
    content = (data / "wsi" / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SlideError, match=r"cut off|Copy it again|copy it again"):
        open_slide(path)


def test_tiles_that_would_fill_the_memory_are_refused(cmu: Path, tmp_path: Path) -> None:
    """OpenSlide would end the process over tiles of 128 x 16,777,216 px."""
    path = tmp_path / "tiles.tif"
    tifffile.imwrite(path, np.zeros((64, 64, 3), np.uint8), tile=(16, 16), photometric="rgb")
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].tags["TileWidth"].valueoffset
        assert file.pages[0].tags["TileWidth"].dtype == 4  # bytes of each
    with path.open("r+b") as raw:
        raw.seek(place)
        raw.write((1 << 24).to_bytes(4, "little"))
    with pytest.raises(SlideError, match=r"too large|fill the memory"):
        open_slide(path, backend="openslide")


def test_a_closed_slide_is_an_error_not_a_hatch(cmu: Path) -> None:
    slide = open_slide(cmu)
    level = slide.lazy_levels[0]
    slide.close()
    with pytest.raises(SlideError, match="closed"):
        slide.read((0, 0), (8, 8))
    with pytest.raises(SlideError, match="closed"):
        level[:8, :8]


def test_a_tile_that_states_a_huge_size_is_refused_before_it_is_decoded(cmu: Path, tmp_path: Path) -> None:
    """The JPEG header of a tile is made to say 65,000 x 65,000 px: 12 GB if it were believed."""
    path = Path(shutil.copy(cmu, tmp_path / "bomb.svs"))
    with tifffile.TiffFile(cmu) as file:
        page = file.pages[0]
        start, count = page.dataoffsets[0], page.databytecounts[0]
    content = bytearray(path.read_bytes())
    frame = content.index(b"\xff\xc0", start, start + count)
    content[frame + 5 : frame + 9] = (65000).to_bytes(2, "big") * 2
    path.write_bytes(content)
    for backend in BACKENDS:
        with open_slide(path, backend=backend) as slide:
            _, readable = slide.read_masked((0, 0), (480, 480))
            assert not readable[:240, :240].any()
            assert readable[240:, :].all()


def test_directories_that_run_in_a_circle_are_refused(tmp_path: Path) -> None:
    """The second directory of the file says that the first one follows."""
    path = tmp_path / "circle.tif"
    with tifffile.TiffWriter(path) as writer:
        for _ in range(2):
            writer.write(np.zeros((64, 64, 3), np.uint8), tile=(16, 16), photometric="rgb")
    with tifffile.TiffFile(path) as file:
        first, second = (page.offset for page in file.pages)
        count = len(file.pages[1].tags)
    with path.open("r+b") as raw:
        raw.seek(second + 2 + 12 * count)
        raw.write(first.to_bytes(4, "little"))
    with pytest.raises(SlideError, match="do not end"):
        open_slide(path, backend="tifffile")
    with pytest.raises(SlideError):
        open_slide(path)


def test_a_senseless_tag_is_one_of_our_errors(tmp_path: Path) -> None:
    """A photometric interpretation that there is none of."""
    path = tmp_path / "tag.tif"
    image = np.zeros((64, 64, 3), np.uint8)
    tifffile.imwrite(path, image, tile=(16, 16), photometric="ycbcr", compression="jpeg")
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].tags["PhotometricInterpretation"].valueoffset
    with path.open("r+b") as raw:
        raw.seek(place)
        raw.write((7686).to_bytes(2, "little"))
    for backend in BACKENDS:
        with pytest.raises(SlideError):
            open_slide(path, backend=backend)


def test_a_property_without_a_value_is_left_out(data: Path, tmp_path: Path) -> None:
    """As OpenSlide lists it where a count in the file's directory is damaged."""
    content = bytearray((data / "wsi" / "test3-DAPI-2-387.ndpi").read_bytes())
    content[300] = 255
    (path := tmp_path / "damaged.ndpi").write_bytes(content)
    with pytest.raises(KeyError):
        dict(openslide.OpenSlide(path).properties)
    with open_slide(path) as slide:
        assert slide.vendor == slide.properties["openslide.vendor"] == "hamamatsu"
        assert slide.read((0, 0), (9, 9)).shape == (9, 9, 3)
