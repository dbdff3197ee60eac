"""Large plain images: PNG, JPEG, BMP, WebP and flat TIFF."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from ..errors import SlideError
from ..units import Box, Mpp
from .backend import RGB
from .flat_tiff import FlatTiff
from .picture import Picture, picture_format
from .window import between_pixels, paste_inside


class ImageBackend:
    """One plain image, a single level; :class:`Slide` continues it by averaged ones.

    A slide is a colour image, so each kind of picture has one rule:

    - RGB is read as it is; a palette is looked up.
    - Transparent pixels are composited on white.
    - 16 bits a channel: the upper byte is taken, as libpng does. Nothing is stretched.
    - Grey JPEG, which cannot be a label image, is shown with three equal channels. Any other image
      of one channel may be a mask or numbered labels and is refused, as are CMYK and Lab.
    - The EXIF orientation of PNG, JPEG and WebP is honoured; of several frames the first is read.

    A pixel size is taken only from a TIFF that states it in centimetres: the densities of PNG, JPEG
    and BMP, and inches, are a printer's or a screen's. PNG, JPEG, BMP and WebP cannot be
    read in parts: they are decoded once, at the first look, if the memory allows. TIFF is read
    strip by strip or tile by tile, or row by row where it is not compressed.
    """

    name = "image"
    background: tuple[int, int, int] = (255, 255, 255)
    bounds: Box | None = None
    associated: Mapping[str, tuple[int, int]] = MappingProxyType({})

    def __init__(self, path: Path) -> None:
        """Open ``path``; raises SlideError where it is no colour image, or one the memory cannot hold."""
        self.path = path
        try:
            self._image: Picture | FlatTiff = Picture(path) if picture_format(path) else FlatTiff(path)
        except SlideError:
            raise
        except Exception as error:  # a damaged header can make a parser raise anything
            raise SlideError(f"damaged: {type(error).__name__}: {error}") from error
        self.vendor = self._image.kind
        self.level_shapes: tuple[tuple[int, int], ...] = (self._image.shape,)
        self.tile_shapes: tuple[tuple[int, int], ...] = (self._image.piece,)
        self.mpp: Mpp | None = self._image.mpp
        self.icc_profile = self._image.icc_profile
        self.properties: Mapping[str, str] = self._image.properties

    def read(self, level: int, origin: tuple[float, float], size: tuple[int, int]) -> RGB:
        """Return pixels, bilinear between them, white outside. Raises SlideError where they are damaged."""
        return between_pixels(
            lambda place, extent: paste_inside(
                self.level_shapes[level], place, extent, self.background, self._inside
            ),
            origin,
            size,
        )

    def _inside(self, y0: int, y1: int, x0: int, x1: int) -> RGB:
        try:
            pixels = self._image.read(y0, y1, x0, x1)
        except SlideError:
            raise
        except Exception as error:  # a codec may raise anything on damaged data
            raise SlideError(f"{self.path} cannot be read at rows {y0} to {y1}: {error}") from error
        if pixels.shape != (y1 - y0, x1 - x0, 3):
            raise SlideError(f"{self.path} is damaged: at rows {y0} to {y1} it holds {pixels.shape} px.")
        return pixels

    def read_associated(self, name: str) -> RGB:
        """Plain images have no associated ones."""
        raise KeyError(name)

    def answers(self) -> bool:
        """The slide looks at single files itself."""
        return True

    def close(self) -> None:
        """Close the file, and forget its pixels."""
        self._image.close()
