"""Which backend opens a file, and why the others did not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import tifffile

from ..errors import InputError, MissingDependencyError, SlideError
from .address import Place
from .backend import Backend
from .dicom_backend import DicomBackend, is_dicom, slide_files
from .image_backend import ImageBackend
from .openslide_backend import OpenSlideBackend
from .picture import picture_format
from .tifffile_backend import TifffileBackend
from .zarr_backend import ZarrBackend, is_zarr

_UNSAFE = (
    "not tried: a damaged DICOM file, as wsidicom calls this one, can end the process in OpenSlide; "
    "backend='openslide' tries it"
)


def _openslide(path: Path) -> Backend:
    """Open a file, or the slide whose DICOM files fill a folder: OpenSlide finds all from any one of them."""
    return OpenSlideBackend(next(iter(slide_files(path))) if path.is_dir() else path)


BACKENDS: Mapping[str, Callable[[Any], Backend]] = {
    "openslide": _openslide,
    "tifffile": TifffileBackend,
    "wsidicom": DicomBackend,
    "zarr": ZarrBackend,
    "image": ImageBackend,
}


@dataclass(frozen=True)
class Kind:
    """A kind of file: what it is in words, and the backends that may open it, in order."""

    words: str
    backends: tuple[str, ...]


REMOTE = Kind("an address", ("zarr",))
ZARR = Kind("Zarr", ("zarr",))
DICOM = Kind("DICOM", ("wsidicom", "openslide", "tifffile"))  # a DICOM file can be a TIFF file as well
OME_TIFF = Kind("OME-TIFF", ("tifffile", "openslide", "image"))  # OpenSlide does not see pyramids in SubIFDs
TIFF = Kind("TIFF", ("openslide", "tifffile", "image"))
PICTURE = Kind("a plain picture", ("image",))
OTHER = Kind("a file of another kind", ("openslide", "tifffile"))


def kind_of(place: Place) -> Kind:
    """Tell what kind of slide lies at a place, by its content; an address is not looked at.

    Raises SlideError where nothing can be read there, or a folder holds no slide.
    """
    if isinstance(place, str):
        return REMOTE
    try:
        if place.is_dir():
            return _folder(place)
        if not place.stat().st_size:
            raise SlideError(f"{place} is empty. Copy it again.")
        if is_dicom(place):
            return DICOM
        if is_zarr(place):
            return ZARR
        if place.suffix.lower() == ".mrxs":  # a JPEG in front of its folder of data
            return OTHER
        if picture_format(place):
            return PICTURE
        return _tiff(place)
    except SlideError:
        raise
    except OSError as error:
        raise SlideError(f"{place} cannot be opened: {error.strerror or error}.") from error


def open_backend(place: Place, backend: str | None = None) -> tuple[Backend, dict[str, str]]:
    """Open what lies at ``place`` with the named backend, or the first of its kind that can.

    Returns the open backend and, by name, why each other one was not taken. Raises SlideError naming
    every refusal, InputError for an unknown backend, MissingDependencyError where all that is missing
    is a package.
    """
    if backend is not None and backend not in BACKENDS:
        raise InputError(f"There is no backend {backend!r}; there are {', '.join(BACKENDS)}.")
    kind = kind_of(place)
    order = [backend] if backend else list(kind.backends)
    refused: dict[str, str] = {}
    missing: MissingDependencyError | None = None
    for name in order:
        if name == "openslide" and "wsidicom" in refused and missing is None:
            refused[name] = _UNSAFE
            continue
        try:
            opened = _checked(BACKENDS[name](place))
        except MissingDependencyError as error:
            refused[name], missing = str(error), error
        except SlideError as error:
            refused[name] = str(error)
        else:
            return opened, refused | _not_tried(name, refused, kind, asked=backend is not None)
    if missing is not None and len(refused) == 1:
        raise missing
    reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
    raise SlideError(
        f"{place} cannot be opened as a slide ({reasons}). If it once did, copy it again; "
        "the formats are listed by: napari-hwsi doctor."
    )


def _checked(backend: Backend) -> Backend:
    """Return ``backend``; raises SlideError, and closes it, where its levels cannot be those of one slide."""
    shapes = backend.level_shapes
    sound = bool(shapes) and min(min(shape) for shape in shapes) > 0
    if sound and all(here <= finer for a, b in pairwise(shapes) for finer, here in zip(a, b, strict=True)):
        return backend
    backend.close()
    raise SlideError(f"damaged: levels of {', '.join(f'{y} x {x}' for y, x in shapes) or 'nothing'} px")


def _not_tried(chosen: str, refused: Mapping[str, str], kind: Kind, asked: bool) -> dict[str, str]:
    rest = [name for name in BACKENDS if name != chosen and name not in refused]
    if asked:
        return dict.fromkeys(rest, f"not tried: {chosen} was asked for")
    return {
        name: f"not tried: {chosen} comes before it for {kind.words}"
        if name in kind.backends
        else f"not for {kind.words}"
        for name in rest
    }


def _folder(path: Path) -> Kind:
    if is_zarr(path):
        return ZARR
    if is_dicom(path):
        return DICOM
    raise SlideError(
        f"{path} is a folder without DICOM files or an OME-Zarr image in it, not a slide. "
        "Give one slide file."
    )


def _tiff(path: Path) -> Kind:
    with path.open("rb") as file:
        head = file.read(4)
    if len(head) < 4 or head[:2] not in (b"II", b"MM") or not {42, 43} & {head[2], head[3]}:
        return OTHER
    if path.name.lower().endswith((".ome.tif", ".ome.tiff")):
        return OME_TIFF
    try:
        with tifffile.TiffFile(path) as tiff:
            return OME_TIFF if tiff.is_ome else TIFF
    except Exception:  # noqa: BLE001  # a damaged header can make the parser raise anything; the backends say what
        return TIFF
