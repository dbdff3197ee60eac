"""DICOM whole-slide images (VL Whole Slide Microscopy) through wsidicom."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingDependencyError, SlideError
from ..units import Box, Mpp
from .backend import RGB
from .cache import tile_cache
from .limits import require_memory
from .pixel_size import plausible
from .window import between_pixels, paste_inside

if TYPE_CHECKING:
    from pydicom import Dataset

logger = logging.getLogger(__name__)

_WSI = "1.2.840.10008.5.1.4.1.1.77.1.6"  # VL Whole Slide Microscopy Image Storage
_REMEDY = "For DICOM run: pip install 'napari-hwsi[dicom]'"
_NEEDED = (
    "ImageType",
    "SeriesInstanceUID",
    "TotalPixelMatrixColumns",
    "TotalPixelMatrixRows",
    "SharedFunctionalGroupsSequence",
)


class DicomBackend:
    """The levels of one DICOM series, from a folder or from any one of its files.

    Other files of the folder that belong to the same series are its other levels, its label and
    its overview, here as in OpenSlide. Where a level has several focal planes or optical paths,
    wsidicom's default one is read. The colour profile is that of the first optical path.
    """

    name = "wsidicom"
    vendor = "dicom"
    background: tuple[int, int, int] = (255, 255, 255)
    bounds: Box | None = None

    def __init__(self, path: Path) -> None:
        """Open a file or folder.

        Raises SlideError for what is not a conformant 8-bit RGB slide, naming what it lacks;
        MissingDependencyError where wsidicom is not installed.
        """
        self.path = path
        self._slide: Any = None
        self._key = object()  # of its tiles in the cache
        try:
            self._open(path)
        except (SlideError, MissingDependencyError):
            self.close()
            raise
        except Exception as error:  # a damaged header can make the parser raise anything
            self.close()
            raise SlideError(f"damaged, or not conformant: {type(error).__name__}: {error}") from error

    def _open(self, path: Path) -> None:
        try:
            from wsidicom import WsiDicom
        except ImportError as error:
            raise MissingDependencyError(f"wsidicom is not installed. {_REMEDY}") from error
        headers = slide_files(path)
        self._files = {file: file.stat().st_size for file in headers}
        self._slide = WsiDicom.open(list(headers))
        levels = list(self._slide.pyramid)
        self._images = [level.default_instance.image_data for level in levels]
        self.level_shapes = tuple((i.image_size.height, i.image_size.width) for i in self._images)
        self.tile_shapes = tuple((i.tile_size.height, i.tile_size.width) for i in self._images)
        for image, (height, width) in zip(self._images, self.tile_shapes, strict=True):
            if image.samples_per_pixel != 3 or image.bits != 8:
                raise SlideError(f"not 8-bit RGB ({image.samples_per_pixel} x {image.bits} bits a pixel)")
            require_memory(6 * height * width, f"a tile of {height} x {width} px")
        if min(min(pair) for pair in (*self.level_shapes, *self.tile_shapes)) < 1:
            raise SlideError(f"levels of {self.level_shapes} px in tiles of {self.tile_shapes} px")
        spacing = levels[0].mpp
        self.mpp: Mpp | None = plausible(float(spacing.height), float(spacing.width))
        first = next(iter(headers.values()))
        self.icc_profile = _profile(first)
        self.properties: Mapping[str, str] = {
            f"dicom.{name}": str(first.get(name, ""))
            for name in ("SeriesInstanceUID", "Manufacturer", "ManufacturerModelName")
        } | {
            "dicom.TransferSyntaxUID": str(first.file_meta.TransferSyntaxUID),
            "dicom.OpticalPaths": ", ".join(self._images[0].optical_paths),
            "dicom.FocalPlanes": ", ".join(map(str, self._images[0].focal_planes)),
        }
        found = {"label": self._slide.labels, "macro": self._slide.overviews}
        self._associated = {name: next(iter(group)) for name, group in found.items() if group}
        self.associated: Mapping[str, tuple[int, int]] = {
            name: (group.size.height, group.size.width) for name, group in self._associated.items()
        }

    def read(self, level: int, origin: tuple[float, float], size: tuple[int, int]) -> RGB:
        """Return pixels of a level, bilinear between them. Raises SlideError where a tile is damaged."""
        return between_pixels(
            lambda place, extent: paste_inside(
                self.level_shapes[level],
                place,
                extent,
                self.background,
                lambda y0, y1, x0, x1: self._inside(level, y0, y1, x0, x1),
            ),
            origin,
            size,
        )

    def read_associated(self, name: str) -> RGB:
        """Return 'label', or 'macro' as DICOM's overview is called elsewhere."""
        group = self._associated[name]
        try:
            read = self._slide.read_label if name == "label" else self._slide.read_overview
            pixels = np.asarray(read().convert("RGB"))
        except Exception as error:  # as in _tile
            raise SlideError(f"{self.path} cannot be read at its image {name!r}: {error}") from error
        return pixels[: group.size.height, : group.size.width]

    def answers(self) -> bool:
        """Whether all files of the slide are there as they were opened."""
        try:
            return all(file.stat().st_size >= size for file, size in self._files.items())
        except OSError:
            return False

    def close(self) -> None:
        """Close the files."""
        if self._slide is not None:
            slide, self._slide = self._slide, None
            slide._source.close()

    def _inside(self, level: int, y0: int, y1: int, x0: int, x1: int) -> RGB:
        if self._slide is None:
            raise SlideError(f"{self.path} is closed. Open it again to read it.")
        out = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
        h, w = self.tile_shapes[level]
        for row, column in product(range(y0 // h, -(-y1 // h)), range(x0 // w, -(-x1 // w))):
            key = (self._key, level, row, column)
            tile = tile_cache().get(key, partial(self._tile, level, row, column))
            top, left = row * h, column * w
            a, b, c, d = max(top, y0), min(top + h, y1), max(left, x0), min(left + w, x1)
            out[a - y0 : b - y0, c - x0 : d - x0] = tile[a - top : b - top, c - left : d - left]
        return out

    def _tile(self, level: int, row: int, column: int) -> RGB:
        from wsidicom.geometry import Point

        image = self._images[level]
        try:
            place = Point(column, row)
            tile = image.get_decoded_tile(place, image.default_z, image.default_path, cache=False)
        except Exception as error:  # a codec may raise anything on a damaged tile
            where = f"level {level}, tile ({row}, {column})"
            raise SlideError(f"{self.path} cannot be read at {where}: {error}") from error
        if tile.shape != (*self.tile_shapes[level], 3) or tile.dtype != np.uint8:
            raise SlideError(f"{self.path} is damaged at level {level}: a tile of {tile.shape} {tile.dtype}")
        return np.array(tile)


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its preamble; whether any file of a folder is."""
    if path.is_dir():
        return next(dicom_files(path), None) is not None
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def dicom_files(folder: Path) -> Iterator[Path]:
    """Yield the DICOM files of a folder, by name."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != "DICOMDIR" and is_dicom(path):
            yield path


def slide_files(path: Path) -> dict[Path, Dataset]:
    """Return files and headers of the one slide in a folder, or of the slide that a file belongs to.

    Raises SlideError where that is no one slide, or not a conformant one; MissingDependencyError
    without pydicom.
    """
    try:
        from pydicom import dcmread
        from pydicom.config import disable_value_validation
    except ImportError as error:
        raise MissingDependencyError(f"pydicom is not installed. {_REMEDY}") from error

    try:
        with disable_value_validation():  # of lengths and letters, on which pydicom would comment at length
            return _files(path, partial(dcmread, stop_before_pixels=True))
    except SlideError:
        raise
    except Exception as error:  # a damaged header can make the parser raise anything
        raise SlideError(f"damaged: {type(error).__name__}: {error}"[:300]) from error


def _files(path: Path, read: Callable[[Path], Dataset]) -> dict[Path, Dataset]:
    if path.is_dir():
        slides = _headers(dicom_files(path), read)
        kinds = {str(header.get("SeriesInstanceUID")) for header in slides.values()}
        if len(kinds) != 1:
            raise SlideError(f"a folder with {len(kinds)} DICOM slides; give one file of the slide you mean")
    else:
        own = read(path)
        if own.get("SOPClassUID") != _WSI:
            raise SlideError("DICOM, but no whole-slide image")
        _check(own, path)
        near = _headers((file for file in dicom_files(path.parent) if file != path), read) | {path: own}
        series = own.SeriesInstanceUID
        slides = {file: near[file] for file in sorted(near) if near[file].get("SeriesInstanceUID") == series}
    for file, header in slides.items():
        _check(header, file)
    return slides


def _headers(files: Iterable[Path], read: Callable[[Path], Dataset]) -> dict[Path, Dataset]:
    """Read the headers of whole-slide images among ``files``; one that cannot be read belongs to no slide."""
    found: dict[Path, Dataset] = {}
    for file in files:
        try:
            header = read(file)
            if header.get("SOPClassUID") == _WSI:
                found[file] = header
        except Exception as error:  # noqa: BLE001  # as in slide_files
            logger.warning("%s is left out of the slide: its header is damaged (%s)", file, error)
    return found


def _check(header: Dataset, file: Path) -> None:
    missing = [name for name in _NEEDED if not header.get(name)]
    if missing:
        raise SlideError(f"{file.name} is not a conformant DICOM slide: it lacks {', '.join(missing)}")


def _profile(header: Dataset) -> bytes | None:
    paths = header.get("OpticalPathSequence")
    profile = paths[0].get("ICCProfile") if paths else None
    return bytes(profile) if profile else None
