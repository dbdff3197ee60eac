"""PNG, JPEG, BMP and WebP through Pillow, and what their pixels become."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from ..errors import SlideError
from ..units import Mpp
from .backend import RGB
from .limits import require_memory
from .once import Once

_OPEN: Mapping[str, type[ImageFile.ImageFile]] = {
    "png": PngImagePlugin.PngImageFile,
    "jpeg": JpegImagePlugin.JpegImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}
_MOST_PX_PER_BYTE = {"png": 1032, "jpeg": 2048, "bmp": 256, "webp": 1 << 28}
"""More than each codec can put into a byte; PNG: bytes, by deflate; WebP bounds its sides itself."""
_BYTES_PER_PX = 12  # Pillow's four, four of an array to be composited, three of the result
_BAND = 256
_REFUSED = {
    "CMYK": "it is CMYK, made for printing",
    "LAB": "it is Lab",
}


def _as_it_is(pixels: RGB) -> RGB:
    return pixels


_UPRIGHT: Mapping[int, Callable[[RGB], RGB]] = {
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, 1),
}
"""How a picture is turned upright, by its EXIF orientation."""


class Picture:
    """One picture that is decoded whole when it is first looked at."""

    mpp: Mpp | None = None

    def __init__(self, path: Path) -> None:
        """Read the header; raises SlideError for what is no colour picture, or too large."""
        self.path, self.kind = path, picture_format(path)
        with self._opened() as image:
            width, height = image.size
            self._check(image, width * height)
            self._upright = _UPRIGHT.get(_orientation(image), _as_it_is)
            profile = image.info.get("icc_profile")
            self.properties: Mapping[str, str] = {"image.format": self.kind, "image.mode": image.mode}
        self._stored = (height, width)
        turned = self._upright(np.broadcast_to(np.uint8(0), (height, width, 3)))
        self.shape = self.piece = (turned.shape[0], turned.shape[1])
        self.icc_profile: bytes | None = profile if isinstance(profile, bytes) and profile else None
        self._pixels = Once(path, self._decoded)

    def read(self, y0: int, y1: int, x0: int, x1: int) -> RGB:
        """Return a copy of pixels [y0, y1) x [x0, x1)."""
        return self._pixels.get()[y0:y1, x0:x1].copy()

    def close(self) -> None:
        """Forget the pixels."""
        self._pixels.close()

    def _opened(self) -> ImageFile.ImageFile:
        """Open without Pillow's own bound on sizes, which is one for the whole process; ours follows."""
        try:
            return _OPEN[self.kind](self.path)
        except Exception as error:  # a damaged header can make the parser raise anything
            raise SlideError(f"not a {self.kind.upper()} picture, or a damaged one ({error})") from error

    def _check(self, image: Image.Image, n_px: int) -> None:
        mode, size = image.mode, self.path.stat().st_size
        bytes_per_px = self._png_bits() / 8 if self.kind == "png" else 1
        if n_px < 1 or n_px * bytes_per_px > size * _MOST_PX_PER_BYTE[self.kind]:
            raise SlideError(f"damaged: it declares {image.width} x {image.height} px in {size} bytes")
        if mode in _REFUSED:
            raise SlideError(f"{_REFUSED[mode]}; convert it to RGB")
        if mode not in ("RGB", "RGBA", "RGBX", "P", "PA") and not (mode == "L" and self.kind == "jpeg"):
            raise SlideError(
                "not a colour picture: it has one channel, as masks and label images have; "
                "if it is a photograph, convert it to RGB"
            )
        require_memory(n_px * _BYTES_PER_PX, f"{image.width} x {image.height} px of {self.kind.upper()}")

    def _png_bits(self) -> int:
        """Bits of a pixel as the header of a PNG has them, at least one."""
        with self.path.open("rb") as file:
            depth, colour = file.read(26)[24:]
        return max(depth * {2: 3, 4: 2, 6: 4}.get(colour, 1), 1)

    def _decoded(self) -> RGB:
        with self._opened() as image:
            try:
                image.load()
                clear = image.mode in ("RGBA", "PA") or "transparency" in image.info
                whole = np.asarray(image.convert("RGBA" if clear else "RGB"))
            except Exception as error:  # a codec may raise anything on damaged data
                raise SlideError(f"{self.path} is damaged or cut off ({error}). Copy it again.") from error
        if whole.shape[:2] != self._stored:
            raise SlideError(f"{self.path} changed while it was open. Open it again.")
        return self._upright(on_white(whole) if clear else whole)


def picture_format(path: Path) -> str:
    """Return 'png', 'jpeg', 'bmp', 'webp' by the first bytes of a file, '' for anything else."""
    with path.open("rb") as file:
        head = file.read(12)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"RIFF") and head[8:] == b"WEBP":
        return "webp"
    return "bmp" if head.startswith(b"BM") else ""


def _orientation(image: Image.Image) -> int:
    """Read the orientation that stands before the pixels; Pillow's own way may decode them to find it."""
    exif = Image.Exif()
    exif.load(image.info.get("exif", b""))
    return int(exif.get(0x0112, 1))


def on_white(rgba: NDArray[np.uint8], premultiplied: bool = False) -> RGB:
    """Return (h, w, 4) composited on white, (h, w, 3), in bands of rows to spare memory."""
    out = np.empty((*rgba.shape[:2], 3), np.uint8)
    for top in range(0, len(rgba), _BAND):
        band = rgba[top : top + _BAND].astype(np.uint16)
        colour, alpha = band[..., :3], band[..., 3:]
        weighted = colour * 255 if premultiplied else colour * alpha
        out[top : top + _BAND] = np.minimum((weighted + (255 - alpha) * 255 + 127) // 255, 255)
    return out
