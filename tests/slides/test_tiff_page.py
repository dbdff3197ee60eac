"""What is asked of a TIFF file before its pixels are decoded, and that its decoders survive damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_hwsi import open_slide
from napari_hwsi.errors import SlideError
from napari_hwsi.slides.lzw import require_sound
from napari_hwsi.slides.tiff_level import SharedFile, TiffLevel
from napari_hwsi.slides.tiff_page import ColourModelError

RNG = np.random.default_rng(3)
IMAGE = RNG.integers(0, 256, (300, 260, 3), np.uint8)
CLEAR, END, STRING = 256, 257, 300


def stream(codes: list[int], old: bool = False) -> bytes:
    """Pack codes of nine bits as LZW does, in the order of TIFF 6.0 or the older one."""
    bits = "".join(f"{code:09b}"[:: -1 if old else 1] for code in codes)
    bits += "0" * (-len(bits) % 8)
    whole = [bits[i : i + 8][:: -1 if old else 1] for i in range(0, len(bits), 8)]
    return bytes(int(byte, 2) for byte in whole)


def written(path: Path, **options: Any) -> Path:
    tifffile.imwrite(path, IMAGE, **{"photometric": "rgb", **options})
    return path


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("codes", "sound"),
    [
        ([CLEAR, 65, 66, END], True),
        ([CLEAR, CLEAR, 65, 258, CLEAR, 66, END], True),
        ([CLEAR, END, STRING], True),
        ([CLEAR, 65, CLEAR], True),
        ([CLEAR, STRING, 65, END], False),
        ([CLEAR, 65, 66, CLEAR, STRING, END], False),
        ([CLEAR, 65, 66, *[CLEAR] * 9, 258, END], False),
        ([CLEAR, 65, *[66] * 200, CLEAR, 511, END], False),
    ],
)
def test_a_string_where_lzw_begins_anew_is_damage(codes: list[int], sound: bool, old: bool) -> None:
    if sound:
        require_sound(stream(codes, old))
    else:
        with pytest.raises(ValueError, match="a string where LZW begins anew"):
            require_sound(stream(codes, old))


@pytest.mark.parametrize("kinds", [1, 2, 7, 256])
@pytest.mark.parametrize("size", [1, 300, 4000, 30000])
def test_what_an_encoder_writes_is_sound(kinds: int, size: int) -> None:
    content = RNG.integers(0, kinds, size, np.uint8).tobytes()
    encoded = imagecodecs.lzw_encode(content)
    require_sound(encoded)
    for end in range(2, len(encoded), max(len(encoded) // 50, 1)):
        require_sound(encoded[:end])  # cut off is for the decoder to say


def test_a_string_behind_codes_of_every_width_is_found() -> None:
    """The clear code that an encoder writes when its table is full is followed by one."""
    encoded = bytearray(imagecodecs.lzw_encode(RNG.integers(0, 256, 6000, np.uint8).tobytes()))
    bits = "".join(f"{byte:08b}" for byte in encoded)
    full = 9 + 9 * 254 + 10 * 512 + 11 * 1024 + 12 * (4096 - 2048)
    found = bits.index(f"{CLEAR:012b}", full - 60)
    assert found < full + 60
    after = found + 12
    bits = bits[:after] + "1" * 9 + bits[after + 9 :]
    with pytest.raises(ValueError, match="begins anew"):
        require_sound(bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)))


@pytest.mark.parametrize("backend", ["tifffile", "image"])
def test_damaged_lzw_is_an_error_there_and_nowhere_else(tmp_path: Path, backend: str) -> None:
    path = written(tmp_path / "a.tif", compression="lzw", tile=(128, 128))
    with tifffile.TiffFile(path) as file:
        place = file.pages.first.dataoffsets[0]
    content = bytearray(path.read_bytes())
    bad = stream([CLEAR, STRING, *[301, 400, 500] * 40])
    content[place : place + len(bad)] = bad
    path.write_bytes(content)
    with open_slide(path, backend=backend) as slide:
        with pytest.raises(SlideError, match="a string where LZW begins anew"):
            slide.read((0, 0), (50, 50))
        np.testing.assert_array_equal(slide.read((128, 128), (100, 100)), IMAGE[128:228, 128:228])


@pytest.mark.parametrize(
    ("photometric", "options"),
    [("cielab", {}), ("ycbcr", {}), ("ycbcr", {"compression": "zlib"}), ("minisblack", {"planarconfig": 1})],
)
@pytest.mark.parametrize("tile", [None, (128, 128)])
@pytest.mark.parametrize("backend", ["tifffile", "image"])
def test_other_colour_models_are_not_shown_as_rgb(
    tmp_path: Path, photometric: str, options: dict[str, Any], tile: tuple[int, int] | None, backend: str
) -> None:
    path = written(tmp_path / "a.tif", photometric=photometric, tile=tile, **options)
    with pytest.raises(SlideError, match=r"not an RGB image but [A-Z]+; convert it to RGB"):
        open_slide(path, backend=backend)
    with tifffile.TiffFile(path) as file, pytest.raises(ColourModelError):
        TiffLevel(SharedFile(path), file.pages.first, (255, 255, 255))


@pytest.mark.parametrize("codec", ["jpeg", "webp"])
def test_a_codec_that_converts_ycbcr_is_read(tmp_path: Path, codec: str) -> None:
    smooth = np.asarray(Image.fromarray(IMAGE[:6, :6]).resize((260, 300)))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, smooth, photometric="ycbcr", compression=codec, tile=(128, 128))
    with open_slide(path, backend="tifffile") as slide:
        own = slide.read((0, 0), slide.shape).astype(int)
    stored = Image.frombytes("RGB" if codec == "webp" else "YCbCr", (260, 300), smooth.tobytes())
    assert np.abs(own - np.asarray(stored.convert("RGB"))).mean() < 4


@pytest.mark.parametrize("tag", ["TileOffsets", "TileByteCounts"])
@pytest.mark.parametrize("kind", [2, 8, 9, 11, 16])
@pytest.mark.parametrize("backend", ["tifffile", "image"])
def test_places_that_are_no_places_are_damage(tmp_path: Path, tag: str, kind: int, backend: str) -> None:
    """The type of the tag is changed to text, to signed or broken numbers, and to ones of eight bytes."""
    path = written(tmp_path / "a.tif", compression="zlib", tile=(128, 128))
    with tifffile.TiffFile(path) as file:
        found = file.pages.first.tags[tag]
    content = bytearray(path.read_bytes())
    content[found.offset + 2 : found.offset + 4] = kind.to_bytes(2, "little")
    content[found.valueoffset : found.valueoffset + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with pytest.raises(SlideError):
        open_slide(path, backend=backend).read((0, 0), (50, 50))


@pytest.mark.parametrize("count", [1 << 33, 1 << 36, (1 << 63) - 1, (1 << 64) - 1])
@pytest.mark.parametrize("backend", ["tifffile", "image"])
def test_a_directory_of_any_number_of_tags_is_damage(tmp_path: Path, count: int, backend: str) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for pixels in (IMAGE, IMAGE[::2, ::2]):
            file.write(pixels, photometric="rgb", tile=(128, 128))
    with tifffile.TiffFile(path) as file:
        place = file.pages[1].offset
    with path.open("r+b") as file:
        file.seek(place)
        file.write(count.to_bytes(8, "little"))
    with pytest.raises(SlideError, match="cut off: it ends within its directories"):
        open_slide(path, backend=backend)


@pytest.mark.parametrize("codec", ["zlib", "lzw", "packbits", "jpeg"])
@pytest.mark.parametrize("backend", ["tifffile", "image"])
def test_a_level_that_its_bytes_cannot_hold_is_refused(tmp_path: Path, codec: str, backend: str) -> None:
    path = tmp_path / "a.tif"
    flat = np.zeros((64, 64, 3), np.uint8)
    tifffile.imwrite(path, flat, photometric="rgb", compression=codec, rowsperstrip=8)
    with tifffile.TiffFile(path) as file:
        width = file.pages.first.tags["ImageWidth"].valueoffset
    for side, words in (
        (1 << 20, r"damaged: (tiles of \d+ x|it declares)"),
        (1 << 23, r"damaged: (a level of|it declares)|too large"),
    ):
        with path.open("r+b") as file:
            file.seek(width)
            file.write(side.to_bytes(4, "little"))
        with pytest.raises(SlideError, match=words):
            open_slide(path, backend=backend)


@pytest.mark.parametrize("codec", [None, "zlib", "lzw", "packbits", "jpeg", "jpeg2000", "webp", "zstd"])
def test_glass_that_takes_next_to_no_bytes_is_read(tmp_path: Path, codec: str | None) -> None:
    path, glass = tmp_path / "a.tif", np.full((1000, 1500, 3), 255, np.uint8)
    tifffile.imwrite(path, glass, photometric="rgb", compression=codec, tile=(512, 512))
    with open_slide(path, backend="tifffile") as slide:
        assert (slide.read((0, 0), slide.shape) == 255).all()
