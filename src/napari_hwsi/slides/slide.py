"""A slide: pixels by place and resolution."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import dask.array as da
import numpy as np
from dask.delayed import delayed
from numpy.typing import NDArray

from ..errors import InputError, ResolutionError, SlideError, SlideUnavailableError
from ..units import Box, Mpp, as_mpp
from .address import as_place, name_of
from .array_backend import ArrayBackend
from .backend import RGB, Backend
from .colour import ToSRGB, profile_name
from .fingerprint import array_fingerprint, slide_fingerprint
from .lazy import LazyLevel, coarser
from .memory import recall_mpp, remember_mpp
from .pyramid import exact_shapes, read_region_steps, true_ratios
from .reader import Reader, hatched
from .registry import open_backend
from .resample import area_resample

logger = logging.getLogger(__name__)

_LEVEL_TOLERANCE = 0.05
_EPSILON = 1e-6  # of a pixel: what rounding adds to a place
_BAND_PX = 1 << 23  # source pixels held at a time while shrinking
_HOW_FILE = (
    "{} does not state its pixel size, which is needed for sizes in µm. Give it once, in µm per pixel (a 40x "
    "scan has about 0.25, a 20x scan 0.5): mpp=0.5 in Python, --mpp 0.5 on the command line, the Slide dock "
    "in napari. It is remembered for this slide."
)
_HOW_ARRAY = (
    "{} has no pixel size, which is needed for sizes in µm. Give it with the array, in µm per pixel: mpp=0.5."
)
_NO_PIXELS: RGB = np.empty((0, 0, 0), np.uint8)
Fetch: TypeAlias = Callable[[int, tuple[float, float], tuple[int, int]], RGB]
_COARSE_ENOUGH = 2048  # a viewer is content with a coarsest level of this many pixels a side


@dataclass(frozen=True)
class Scale:
    """How pixels of a wanted resolution are read.

    level: the level they come from; mpp: their true (y, x) µm/px, None where only a
    level was asked of a slide without mpp; downsample: (y, x) level-0 px per output px.
    """

    level: int
    mpp: Mpp | None
    downsample: tuple[float, float]


class Slide:
    """One open slide; a context manager. Reading from several threads is allowed.

    path: the file or folder, None for an image in memory or at an address; address: where it was opened
    from, as text, None for an image in memory; name: for people to read; refused: by backend,
    why it did not open the file; icc: whether all pixels are converted to sRGB by the file's profile.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        path: Path | None,
        name: str,
        fingerprint: str,
        refused: Mapping[str, str] | None = None,
        address: str | None = None,
        icc: bool = False,
    ) -> None:
        self._backend = backend
        self._convert = ToSRGB(backend.icc_profile, name) if icc else None
        self._reader = Reader(backend, path or address, self._convert)
        self.path = path
        self.address = address
        self.icc = icc
        self.name = name
        self.fingerprint = fingerprint
        self.refused = dict(refused or {})
        self._user_mpp = recall_mpp(fingerprint) if backend.mpp is None else None

    def __enter__(self) -> Slide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        mpp = f"{self.mpp[0]:.4g} µm/px" if self.mpp else "no mpp"
        return f"Slide({self.name!r}, {self.shape[0]} x {self.shape[1]} px, {mpp}, {self.backend})"

    def close(self) -> None:
        """Close the file; reading afterwards is an error."""
        self._reader.close()

    @property
    def available(self) -> bool:
        """Whether the file answered when it was last read; a network drive may give up and come back."""
        return self._reader.available

    def on_trouble(self, listener: Callable[[bool], None]) -> None:
        """Have ``listener(available)`` called when the file stops or starts answering, from any thread."""
        self._reader.on_trouble(listener)

    @property
    def backend(self) -> str:
        """Name of the backend that reads the file."""
        return self._backend.name

    @property
    def vendor(self) -> str:
        """Scanner format as the backend names it, such as 'aperio'."""
        return self._backend.vendor

    @property
    def properties(self) -> Mapping[str, str]:
        """What the file says of itself. May hold names and dates: show, never send."""
        return self._backend.properties

    @property
    def background(self) -> tuple[int, int, int]:
        """RGB of what lies outside the scan."""
        own = self._backend.background
        if self._convert is None:
            return own
        red, green, blue = self._convert(np.array([[own]], np.uint8))[0, 0].tolist()
        return red, green, blue

    @property
    def icc_profile_name(self) -> str | None:
        """Name of the colour profile that the file carries, None where it carries none."""
        return profile_name(self._backend.icc_profile)

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) in level-0 pixels."""
        return self._backend.level_shapes[0]

    @property
    def level_shapes(self) -> tuple[tuple[int, int], ...]:
        """(Y, X) of each level of the file, finest first."""
        return self._backend.level_shapes

    @cached_property
    def level_downsamples(self) -> tuple[tuple[float, float], ...]:
        """(y, x) level-0 pixels per pixel of each level, as :func:`.pyramid.true_ratios` finds them."""
        return true_ratios(self.level_shapes)

    @property
    def bounds(self) -> Box:
        """The scanned part; the whole slide where the file names none."""
        return self._backend.bounds or (0, 0, *self.shape)

    @property
    def mpp(self) -> Mpp | None:
        """(y, x) µm per level-0 pixel: the file's own, else the user's, else None."""
        return self._backend.mpp or self._user_mpp

    @property
    def mpp_source(self) -> str | None:
        """'file', 'user' or None."""
        return "file" if self._backend.mpp else "user" if self._user_mpp else None

    def require_mpp(self) -> Mpp:
        """Return mpp; raises ResolutionError that says how to give it."""
        if self.mpp is None:
            raise ResolutionError(_HOW_FILE.format(self.name) if self.path else _HOW_ARRAY.format(self.name))
        return self.mpp

    def set_mpp(self, value: float | Sequence[float]) -> None:
        """Give µm per level-0 pixel to a slide that states none, and remember it for this slide.

        Raises ResolutionError for a senseless value, or one that contradicts the file by over 5 %.
        """
        mpp = as_mpp(value)
        own = self._backend.mpp
        if own is None:
            self._user_mpp = mpp
            remember_mpp(self.fingerprint, mpp)
        elif any(abs(given / stated - 1) > _LEVEL_TOLERANCE for given, stated in zip(mpp, own, strict=True)):
            raise ResolutionError(
                f"{self.name} states {own[0]:.4g} x {own[1]:.4g} µm/px; {mpp[0]:.4g} x {mpp[1]:.4g} "
                "contradicts it. Leave mpp out to use the file's own."
            )

    @cached_property
    def lazy_levels(self) -> list[LazyLevel]:
        """Lazy levels for a viewer, finest first, padded at their end to lie on each other exactly.

        The ratios of their shapes are the true ones, where these are whole. What cannot be read
        is hatched, and tried again at the next look. A file whose coarsest level is larger than 2048
        px a side is continued by levels averaged over 4 x 4 pixels, made when looked at.
        """
        extents, ratios = list(self.level_shapes), list(self.level_downsamples)
        while max(extents[-1]) > _COARSE_ENOUGH:
            extents.append((-(-extents[-1][0] // 4), -(-extents[-1][1] // 4)))
            ratios.append((ratios[-1][0] * 4, ratios[-1][1] * 4))
        shapes = exact_shapes(self.shape, ratios) or extents
        levels: list[LazyLevel] = []
        for i, shape in enumerate(shapes):
            if i < len(self.level_shapes):
                tile = self._backend.tile_shapes[i]
                levels.append(LazyLevel(partial(self._salvaged, i), extents[i], shape, tile, self.background))
            else:
                levels.append(coarser(levels[-1], shape, self.background))
        return levels

    def _salvaged(
        self, level: int, y0: int, y1: int, x0: int, x1: int
    ) -> tuple[RGB, NDArray[np.bool_] | None]:
        """Return pixels of a level for a viewer, hatched where they cannot be had now, and which could."""
        try:
            pixels, readable = self._reader.salvage(level, (y0, x0), (y1 - y0, x1 - x0))
        except SlideUnavailableError:
            return hatched((y0, x0), (y1 - y0, x1 - x0)), np.zeros((y1 - y0, x1 - x0), bool)
        return pixels, None if readable.all() else readable

    @property
    def levels(self) -> list[da.Array]:
        """Lazy levels (Y, X, 3) uint8 RGB, finest first, in chunks of 512 to 1024 px.

        They are those of :attr:`lazy_levels` without the padding.
        """
        arrays = []
        for i, lazy in enumerate(self.lazy_levels):
            name = f"slide-{self.fingerprint}-{i}-{id(self)}"
            array = da.from_array(lazy, chunks=lazy.chunks, name=name, meta=_NO_PIXELS)
            arrays.append(array[: lazy.extent[0], : lazy.extent[1]])
        return arrays

    def scale_at(self, mpp: float | Sequence[float] | None = None, level: int | None = None) -> Scale:
        """Return how a resolution (or a level) is read.

        A level within 5 % of ``mpp`` is taken as it is, with its true mpp; else the next finer
        one is area-resampled to exactly ``mpp``. Axes are judged each for itself. Raises
        ResolutionError when mpp is asked of a slide without one, or is finer than its pixels;
        InputError for both or an unknown level.
        """
        downsamples = self.level_downsamples
        if mpp is None:
            level = 0 if level is None else level
            if not 0 <= level < len(downsamples):
                raise InputError(f"{self.name} has levels 0 to {len(downsamples) - 1}, not {level}.")
            ratio = downsamples[level]
            true = None if self.mpp is None else (self.mpp[0] * ratio[0], self.mpp[1] * ratio[1])
            return Scale(level, true, ratio)
        if level is not None:
            raise InputError("Give mpp or level, not both.")
        own, wanted = self.require_mpp(), as_mpp(mpp)
        ratio = (wanted[0] / own[0], wanted[1] / own[1])
        near = 1 + _LEVEL_TOLERANCE
        levels = [i for i, (y, x) in enumerate(downsamples) if y <= ratio[0] * near and x <= ratio[1] * near]
        if not levels:
            raise ResolutionError(
                f"{self.name} is scanned at {max(own):.4g} µm/px; "
                f"{min(wanted):.4g} µm/px would be finer than its pixels."
            )
        coarsest = downsamples[levels[-1]]
        y, x = (have if want <= have * near else want for have, want in zip(coarsest, ratio, strict=True))
        return Scale(levels[-1], (own[0] * y, own[1] * x), (y, x))

    def read(
        self,
        origin: Sequence[int],
        size: Sequence[int],
        mpp: float | Sequence[float] | None = None,
        level: int | None = None,
    ) -> RGB:
        """Return (h, w, 3) uint8 RGB.

        origin: (y, x) in level-0 pixels; size: (h, w) in output pixels; the resolution is
        ``mpp``, or that of ``level``, or level 0, read as :meth:`scale_at` says. Outside the
        slide is background. A ``level`` is placed as OpenSlide's ``read_region`` places it, by the mean
        ratio of its sizes; a ``mpp`` by the true ratio. Raises ResolutionError, InputError, and
        SlideError where the file cannot be decoded.
        """
        return self._read(origin, size, mpp, level, self._reader.read)

    def read_masked(
        self,
        origin: Sequence[int],
        size: Sequence[int],
        mpp: float | Sequence[float] | None = None,
        level: int | None = None,
    ) -> tuple[RGB, NDArray[np.bool_]]:
        """Return :meth:`read`, hatched where the file cannot be decoded, and which pixels could be, (h, w).

        A pixel counts as readable where all that it was averaged from is. Raises ResolutionError
        and InputError; SlideUnavailableError where the file does not answer at all.
        """

        try:
            pixels = self.read(origin, size, mpp, level)
        except SlideUnavailableError:
            raise
        except SlideError:
            both = self._read(origin, size, mpp, level, self._marked)
            return both[..., :3], both[..., 3] == 0
        return pixels, np.ones(pixels.shape[:2], bool)

    def _marked(self, level: int, place: tuple[float, float], extent: tuple[int, int]) -> NDArray[np.uint8]:
        """Return (h, w, 4): pixels, and 255 where they could not be read."""
        pixels, readable = self._reader.salvage(level, place, extent)
        return np.dstack([pixels, np.where(readable, np.uint8(0), np.uint8(255))])

    def _read(
        self,
        origin: Sequence[int],
        size: Sequence[int],
        mpp: float | Sequence[float] | None,
        level: int | None,
        fetch: Fetch,
    ) -> RGB:
        top, left, height, width = int(origin[0]), int(origin[1]), int(size[0]), int(size[1])
        if height < 1 or width < 1:
            raise InputError(f"A size is (h, w) of at least one pixel, not {tuple(size)!r}.")
        scale = self.scale_at(mpp, level)
        if mpp is None:
            step = read_region_steps(self.level_shapes)[scale.level]
            return fetch(scale.level, (top / step, left / step), (height, width))
        ratio = self.level_downsamples[scale.level]
        factor = (scale.downsample[0] / ratio[0], scale.downsample[1] / ratio[1])
        place = (top / ratio[0], left / ratio[1])
        if factor == (1.0, 1.0):
            return fetch(scale.level, place, (height, width))
        return _shrunk(fetch, scale.level, place, (height, width), factor)

    def thumbnail(self, max_size: int = 1024) -> RGB:
        """Return the whole slide, area-resampled to at most ``max_size`` px a side; InputError below 1."""
        if max_size < 1:
            raise InputError(f"A thumbnail has at least one pixel a side, not {max_size}.")
        height, width = self.shape
        ratio = max(max(height, width) / max_size, 1.0)
        level = max((i for i, (y, x) in enumerate(self.level_downsamples) if max(y, x) <= ratio), default=0)
        size = (max(1, round(height / ratio)), max(1, round(width / ratio)))
        source = self.level_shapes[level]
        factor = (source[0] / size[0], source[1] / size[1])

        def fetch(level: int, place: tuple[float, float], extent: tuple[int, int]) -> RGB:
            return self._reader.salvage(level, place, extent)[0]

        return _shrunk(fetch, level, (0, 0), size, factor)

    @property
    def associated_images(self) -> Mapping[str, da.Array]:
        """Lazy (Y, X, 3) images by name. 'label' and 'macro' can carry patient data: show only on request."""
        decode = delayed(self._backend.read_associated, pure=True)
        return {
            name: da.from_delayed(decode(name), (*shape, 3), dtype=np.uint8)
            for name, shape in self._backend.associated.items()
        }


def _shrunk(
    fetch: Fetch, level: int, place: tuple[float, float], size: tuple[int, int], factor: tuple[float, float]
) -> RGB:
    """Shrink part of a level by ``factor``, in bands, so that memory follows the result's size."""
    parts = []
    y, x = place
    left = math.floor(x)
    width = math.ceil(x + size[1] * factor[1] - _EPSILON) - left
    rows = max(1, int(_BAND_PX / (width * factor[0])))
    for top in range(0, size[0], rows):
        count = min(rows, size[0] - top)
        start = y + top * factor[0]
        first = math.floor(start)
        height = math.ceil(start + count * factor[0] - _EPSILON) - first
        band = fetch(level, (first, left), (height, width))
        parts.append(area_resample(band, (count, size[1]), factor, (start - first, x - left)))
    return np.concatenate(parts)


def open_slide(
    path: str | Path,
    mpp: float | Sequence[float] | None = None,
    backend: str | None = None,
    icc: bool = False,
) -> Slide:
    """Open a slide: a file, a folder (DICOM, OME-Zarr), or the address of an OME-Zarr.

    mpp: (y, x) or one number in µm per level-0 pixel, for a file that states none;
    remembered for this slide. backend: 'openslide', 'tifffile', 'wsidicom', 'zarr' or 'image', else
    chosen. icc: convert all pixels to sRGB by the file's colour profile. A network is used only for
    an address such as ``https://…`` or ``s3://…``. Raises SlideError, ResolutionError for a senseless
    mpp, InputError for an unknown backend, MissingDependencyError where a format or a protocol
    needs a package that is not installed.
    """
    place = as_place(path)
    opened, refused = open_backend(place, backend)
    for name, reason in refused.items():
        logger.debug("%s was not opened by %s: %s", place, name, reason)
    try:
        slide = Slide(
            opened,
            path=place if isinstance(place, Path) else None,
            name=name_of(place),
            fingerprint=slide_fingerprint(place, opened),
            refused=refused,
            address=str(place.resolve() if isinstance(place, Path) else place),
            icc=icc,
        )
        if mpp is not None:
            slide.set_mpp(mpp)
    except BaseException:
        opened.close()
        raise
    return slide


def slide_from_array(image: RGB, mpp: float | Sequence[float] | None = None, name: str = "image") -> Slide:
    """Read an image in memory like a slide.

    image: (Y, X, 3) uint8 RGB; mpp: µm per pixel, one number or (y, x). Raises InputError
    for other arrays, ResolutionError for a senseless mpp.
    """
    backend = ArrayBackend(np.asarray(image), None if mpp is None else as_mpp(mpp))
    return Slide(backend, path=None, name=name, fingerprint=array_fingerprint(backend.image))
