"""Large plain images: every kind of picture has one rule."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from napari_hwsi import open_slide
from napari_hwsi.errors import SlideError
from napari_hwsi.slides import flat_tiff
from napari_hwsi.slides.picture import Picture, on_white

RNG = np.random.default_rng(11)
COLOUR = RNG.integers(0, 256, (131, 97, 3), np.uint8)
ALPHA = RNG.integers(0, 256, (131, 97), np.uint8)
CLEAR = np.dstack([COLOUR, ALPHA])
ON_WHITE = np.rint(COLOUR * (ALPHA[..., None] / 255) + 255 * (1 - ALPHA[..., None] / 255))
DEEP = COLOUR.astype(np.uint16) * 256 + RNG.integers(0, 256, COLOUR.shape).astype(np.uint16)
PALETTE = Image.fromarray(COLOUR).quantize(50)
LOOKED_UP = np.asarray(PALETTE.convert("RGB"))


@dataclass(frozen=True)
class Case:
    """name: of the file; write: makes it; want: its pixels (Y, X, 3); backend: that opens it."""

    name: str
    write: Callable[[Path], object]
    want: np.ndarray
    backend: str = "image"


def picture(pixels: np.ndarray, **options: object) -> Callable[[Path], object]:
    return lambda path: Image.fromarray(pixels).save(path, **options)


def tiff(pixels: np.ndarray, **options: object) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path, pixels, **({"photometric": "rgb"} | options))


def see_through(path: Path) -> None:
    image = PALETTE.copy()
    image.save(path, transparency=bytes(range(0, 250, 5)))


SHADES = np.array([*range(0, 250, 5)], float)[np.asarray(PALETTE)][..., None] / 255
EIGHT = {"extrasamples": ["unassalpha"]}
CASES = (
    Case("rgb.png", picture(COLOUR), COLOUR),
    Case("rgb.bmp", picture(COLOUR), COLOUR),
    Case("rgb.webp", picture(COLOUR, lossless=True), COLOUR),
    Case("palette.png", PALETTE.save, LOOKED_UP),
    Case("palette.bmp", PALETTE.save, LOOKED_UP),
    Case("palette.tif", PALETTE.save, LOOKED_UP),
    Case("see-through palette.png", see_through, np.rint(LOOKED_UP * SHADES + 255 * (1 - SHADES))),
    Case("alpha.png", picture(CLEAR), ON_WHITE),
    Case("alpha.webp", picture(CLEAR, lossless=True, exact=True), ON_WHITE),
    Case("alpha.tif", tiff(CLEAR, **EIGHT), ON_WHITE),
    Case("alpha in strips.tif", tiff(CLEAR, rowsperstrip=20, compression="zlib", **EIGHT), ON_WHITE),
    Case("16 bits.tif", tiff(DEEP), COLOUR),
    Case("16 bits, other order.tif", tiff(DEEP, byteorder=">"), COLOUR),
    Case("16 bits in strips.tif", tiff(DEEP, rowsperstrip=16, compression="zlib", predictor=True), COLOUR),
    Case("16 bits in tiles.tif", tiff(DEEP, tile=(64, 32), compression="lzw"), COLOUR),
    Case(
        "16 bits in planes.tif",
        tiff(np.moveaxis(DEEP, -1, 0), planarconfig="separate", rowsperstrip=9, compression="zlib"),
        COLOUR,
    ),
    Case("flat.tif", tiff(COLOUR), COLOUR, "tifffile"),
    Case(
        "in strips.tif", tiff(COLOUR, rowsperstrip=16, compression="zlib", predictor=True), COLOUR, "tifffile"
    ),
    Case("in planes.tif", tiff(np.moveaxis(COLOUR, -1, 0), planarconfig="separate"), COLOUR, "tifffile"),
    Case("in tiles.tif", tiff(COLOUR, tile=(64, 64)), COLOUR, "openslide"),
    Case("Präparat 組織 №1.png", picture(COLOUR), COLOUR),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_kind_has_one_rule(tmp_path: Path, case: Case) -> None:
    path = tmp_path / case.name
    case.write(path)
    with open_slide(path) as slide:
        assert slide.backend == case.backend
        assert slide.mpp is None
        got = slide.read((0, 0), slide.shape).astype(int)
        assert np.abs(got - case.want).max() <= 1
        np.testing.assert_array_equal(slide.read((17, 30), (50, 40)), got[17:67, 30:70])
        outside = slide.read((-5, 90), (20, 20))
        np.testing.assert_array_equal(outside[5:, :7], got[:15, 90:])
        assert (outside[:5] == 255).all()


def test_16_bit_png_is_cut_to_eight(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in DEEP)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 97, 131, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    (tmp_path / "a.png").write_bytes(_png(parts))
    with open_slide(tmp_path / "a.png") as slide:
        assert np.abs(slide.read((0, 0), slide.shape).astype(int) - COLOUR).max() <= 1


def _png(parts: list[tuple[bytes, bytes]]) -> bytes:
    blocks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(blocks)


def test_a_photograph_is_decoded_as_pillow_does(tmp_path: Path, cmu: Path) -> None:
    real = tifffile.imread(cmu, key=0)[:500, :700]
    Image.fromarray(real).save(tmp_path / "a.jpg", quality=90)
    Image.fromarray(real[..., 1]).save(tmp_path / "grey.jpg")
    with open_slide(tmp_path / "a.jpg") as slide:
        np.testing.assert_array_equal(
            slide.read((0, 0), slide.shape), np.asarray(Image.open(tmp_path / "a.jpg"))
        )
    with open_slide(tmp_path / "grey.jpg") as slide:
        grey = np.asarray(Image.open(tmp_path / "grey.jpg"))
        np.testing.assert_array_equal(slide.read((0, 0), slide.shape), np.dstack([grey] * 3))


@pytest.mark.parametrize(
    ("name", "write", "reason"),
    [
        ("grey.png", picture(ALPHA), "one channel"),
        ("grey.bmp", picture(ALPHA), "one channel"),
        ("mask.png", picture(ALPHA > 99), "one channel"),
        ("labels.png", picture(ALPHA.astype(np.uint16) * 9), "one channel"),
        ("labels.tif", tiff(ALPHA.astype(np.uint16), photometric="minisblack"), "1 channel"),
        ("stack.tif", tiff(COLOUR.astype(np.float32)), "float32"),
        ("cmyk.jpg", lambda path: Image.fromarray(COLOUR).convert("CMYK").save(path), "CMYK"),
        ("unmarked.tif", tiff(CLEAR, extrasamples=["unspecified"]), "not marked as transparency"),
    ],
)
def test_masks_labels_and_prints_are_refused(
    tmp_path: Path, name: str, write: Callable[[Path], object], reason: str
) -> None:
    write(tmp_path / name)
    with pytest.raises(SlideError, match=rf"{name}.*{reason}"):
        open_slide(tmp_path / name)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_turned_picture_is_turned_upright(tmp_path: Path, orientation: int, ending: str) -> None:
    smooth = np.add.outer(np.arange(60), 2 * np.arange(40)).astype(np.uint8)[..., None].repeat(3, 2)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{ending}"
    Image.fromarray(smooth).save(path, exif=exif, quality=100)
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # Pillow's names of the ways to turn
    want = (
        Image.fromarray(smooth) if orientation == 1 else Image.fromarray(smooth).transpose(back[orientation])
    )
    with open_slide(path) as slide:
        assert slide.shape == want.size[::-1]
        assert np.abs(slide.read((0, 0), slide.shape).astype(int) - np.asarray(want)).max() <= 3


def test_a_printers_density_is_no_pixel_size_and_centimetres_are(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.png", dpi=(300, 300))
    Image.fromarray(COLOUR).save(tmp_path / "a.jpg", dpi=(300, 300))
    tifffile.imwrite(tmp_path / "a.tif", DEEP, photometric="rgb", resolution=(2e4, 4e4), resolutionunit=3)
    found = []
    for name in ("a.png", "a.jpg", "a.tif"):
        with open_slide(tmp_path / name) as slide:
            found.append(slide.mpp)
    assert found == [None, None, pytest.approx((0.25, 0.5))]


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
def test_a_declared_size_is_checked_before_anything_is_made(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray(COLOUR).save(path)
    content = bytearray(path.read_bytes())
    if ending == "png":
        content[16:24] = struct.pack(">II", 200_000, 200_000)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    elif ending == "bmp":
        content[18:26] = struct.pack("<ii", 200_000, 200_000)
    else:
        start = content.index(b"\xff\xc0") + 5
        content[start : start + 4] = struct.pack(">HH", 65500, 65500)
    path.write_bytes(content)
    with pytest.raises(SlideError, match=r"damaged: it declares \d+ x \d+ px in \d+ bytes"):
        open_slide(path)


def test_a_size_that_its_bytes_cannot_hold_is_refused(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 3000, 3000, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", bytes(20_000)), (b"IEND", b"")]
    (tmp_path / "a.png").write_bytes(_png(parts))
    with pytest.raises(SlideError, match="damaged: it declares 3000 x 3000 px"):
        open_slide(tmp_path / "a.png")


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_what_failed_to_decode_is_not_tried_again_until_the_file_changes(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a.{ending}"
    if ending == "png":
        Image.fromarray(COLOUR).save(path)
        target, name = Picture, "_decoded"
    else:
        monkeypatch.setattr(flat_tiff, "_WHOLE_PX", 0)
        tifffile.imwrite(path, COLOUR, photometric="rgb", compression="zlib", rowsperstrip=131)
        target, name = flat_tiff.FlatTiff, "_opened_array"
    sound = path.read_bytes()
    path.write_bytes(sound[:9000] + bytes(2000) + sound[11000:])
    own, calls = getattr(target, name), []
    monkeypatch.setattr(target, name, lambda self: (calls.append(self), own(self))[1])
    with open_slide(path, backend="image") as slide:
        messages = set()
        for _ in range(3):
            with pytest.raises(SlideError) as refused:
                slide.read((0, 0), (9, 9))
            messages.add(str(refused.value))
        assert len(messages) == len(calls) == 1
        path.write_bytes(sound)
        os.utime(path, ns=(1, 1))
        np.testing.assert_array_equal(slide.read((0, 0), (131, 97)), COLOUR)
        assert len(calls) == 2


def test_a_short_memory_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    own, calls = Image.Image.load, []

    def load(self: Image.Image) -> object:
        calls.append(self)
        if len(calls) == 1:
            raise MemoryError
        return own(self)

    with open_slide(tmp_path / "a.png") as slide:
        monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
        with pytest.raises(SlideError):
            slide.read((0, 0), (9, 9))
        monkeypatch.undo()
        np.testing.assert_array_equal(slide.read((0, 0), (131, 97)), COLOUR)


def test_a_picture_larger_than_the_memory_is_refused(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 300_000, 300_000, 1, 3, 0, 0, 0)
    parts = [(b"IHDR", header), (b"PLTE", bytes(6)), (b"IDAT", bytes(12_000_000)), (b"IEND", b"")]
    (tmp_path / "a.png").write_bytes(_png(parts))
    with pytest.raises(SlideError, match=r"GiB of memory.*tiled pyramid"):
        open_slide(tmp_path / "a.png")


def test_a_picture_above_pillows_own_bound_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        np.testing.assert_array_equal(slide.read((0, 0), slide.shape), COLOUR)


def test_a_flat_image_gets_a_pyramid_exact_in_place(tmp_path: Path) -> None:
    image = np.zeros((4099, 2307, 3), np.uint8)
    image[1600:2400, 1200:1600] = (200, 100, 50)
    Image.fromarray(image).save(tmp_path / "a.png", compress_level=1)
    with open_slide(tmp_path / "a.png") as slide:
        assert slide.level_shapes == ((4099, 2307),)
        coarse = slide.levels[1].compute()
        assert coarse.shape == (1025, 577, 3)
        assert (coarse[400:600, 300:400] == (200, 100, 50)).all()
        outside = coarse.copy()
        outside[400:600, 300:400] = 0
        assert not outside[:1024, :576].any()


def test_a_large_strip_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", DEEP, photometric="rgb", compression="zlib", rowsperstrip=131)
    monkeypatch.setattr(flat_tiff, "_WHOLE_PX", 100)
    with open_slide(tmp_path / "a.tif") as slide:
        np.testing.assert_array_equal(slide.read((3, 4), (100, 80)), COLOUR[3:103, 4:84])
        (tmp_path / "a.tif").write_bytes(b"")
        np.testing.assert_array_equal(slide.read((9, 4), (100, 80)), COLOUR[9:109, 4:84])


def test_premultiplied_colours_are_not_weighted_again() -> None:
    pixels = np.array([[[100, 50, 0, 100], [255, 255, 255, 255], [0, 0, 0, 0]]], np.uint8)
    assert on_white(pixels, premultiplied=True).tolist() == [[[255, 205, 155], [255] * 3, [255] * 3]]
    assert on_white(pixels).tolist()[0][0] == [194, 175, 155]
