"""A slide: pixels by place and resolution."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import delayed

from ..errors import InputError, ResolutionError
from ..units import Box, Mpp, as_mpp
from .array_backend import ArrayBackend
from .backend import RGB, Backend
from .fingerprint import array_fingerprint, file_fingerprint
from .memory import recall_mpp, remember_mpp
from .registry import open_backend
from .resample import area_resample

logger = logging.getLogger(__name__)

_CHUNK = 1024
_LEVEL_TOLERANCE = 0.05
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

    path: the file, None for an image in memory; name: for people to read;
    refused: by backend, why it did not open the file.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        path: Path | None,
        name: str,
        fingerprint: str,
        refused: Mapping[str, str] | None = None,
    ) -> None:
        self._backend = backend
        self.path = path
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
        self._backend.close()

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
        return self._backend.background

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) in level-0 pixels."""
        return self._backend.level_shapes[0]

    @property
    def level_shapes(self) -> tuple[tuple[int, int], ...]:
        """(Y, X) of each level of the file, finest first."""
        return self._backend.level_shapes

    @property
    def level_downsamples(self) -> tuple[tuple[float, float], ...]:
        """(y, x) level-0 pixels per pixel of each level, from the true sizes."""
        height, width = self.shape
        return tuple((height / h, width / w) for h, w in self.level_shapes)

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

    @property
    def levels(self) -> list[da.Array]:
        """Lazy levels (Y, X, 3) uint8 RGB, finest first, in chunks of 1024 px.

        A file whose coarsest level is larger than 2048 px a side is continued by
        levels averaged over 4 x 4 pixels, made when looked at.
        """
        arrays = [self._level(i) for i in range(len(self.level_shapes))]
        while max(arrays[-1].shape[:2]) > _COARSE_ENOUGH:
            arrays.append(_coarsen(arrays[-1]))
        return arrays

    def _level(self, level: int) -> da.Array:
        backend, shape, full = self._backend, self.level_shapes[level], self.shape

        def decode(block_info: Any = None) -> RGB:
            (y0, y1), (x0, x1), _ = block_info[None]["array-location"]
            origin = (round(y0 * full[0] / shape[0]), round(x0 * full[1] / shape[1]))
            return backend.read(level, origin, (y1 - y0, x1 - x0))

        name = f"slide-{self.fingerprint}-{level}-{id(self)}"
        chunks = da.core.normalize_chunks((_CHUNK, _CHUNK, -1), (*shape, 3))
        return da.map_blocks(decode, name=name, chunks=chunks, dtype=np.uint8, meta=_NO_PIXELS)

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
        slide is background. Raises ResolutionError, InputError, and SlideError where the
        file cannot be decoded.
        """
        top, left, height, width = int(origin[0]), int(origin[1]), int(size[0]), int(size[1])
        if height < 1 or width < 1:
            raise InputError(f"A size is (h, w) of at least one pixel, not {tuple(size)!r}.")
        scale = self.scale_at(mpp, level)
        of_level = self.level_downsamples[scale.level]
        factor = (scale.downsample[0] / of_level[0], scale.downsample[1] / of_level[1])
        if factor == (1.0, 1.0):
            return self._backend.read(scale.level, (top, left), (height, width))
        return self._resampled(scale.level, (top, left), (height, width), factor)

    def _resampled(
        self, level: int, origin: tuple[int, int], size: tuple[int, int], factor: tuple[float, float]
    ) -> RGB:
        """Shrink part of a level by ``factor``, in bands, so that memory follows the result's size."""
        out = np.empty((*size, 3), np.uint8)
        width = math.ceil(size[1] * factor[1])
        rows = max(1, int(_BAND_PX / (width * factor[0])))
        for top in range(0, size[0], rows):
            count = min(rows, size[0] - top)
            first = math.floor(top * factor[0])
            height = math.ceil((top + count) * factor[0]) - first
            place = (origin[0] + round(first * self.level_downsamples[level][0]), origin[1])
            band = self._backend.read(level, place, (height, width))
            out[top : top + count] = area_resample(
                band, (count, size[1]), factor, (top * factor[0] - first, 0.0)
            )
        return out

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
        return self._resampled(level, (0, 0), size, factor)

    @property
    def associated_images(self) -> Mapping[str, da.Array]:
        """Lazy (Y, X, 3) images by name. 'label' and 'macro' can carry patient data: show only on request."""
        decode = delayed(self._backend.read_associated, pure=True)
        return {
            name: da.from_delayed(decode(name), (*shape, 3), dtype=np.uint8)
            for name, shape in self._backend.associated.items()
        }


def _coarsen(array: da.Array) -> da.Array:
    """Average 4 x 4 pixels; a last row or column that does not fill four is repeated to do so."""
    padded = da.pad(array, [(0, -array.shape[0] % 4), (0, -array.shape[1] % 4), (0, 0)], mode="edge")
    padded = padded.rechunk((_CHUNK * 4, _CHUNK * 4, 3))
    return da.map_blocks(
        _mean4,
        padded,
        dtype=np.uint8,
        chunks=(*(tuple(c // 4 for c in axis) for axis in padded.chunks[:2]), (3,)),
        meta=_NO_PIXELS,
    )


def _mean4(block: Any) -> RGB:
    h, w, c = block.shape
    mean = np.asarray(block, np.float32).reshape(h // 4, 4, w // 4, 4, c).mean((1, 3))
    return np.rint(mean).astype(np.uint8, copy=False)


def open_slide(
    path: str | Path, mpp: float | Sequence[float] | None = None, backend: str | None = None
) -> Slide:
    """Open a slide file.

    mpp: (y, x) or one number in µm per level-0 pixel, for a file that states none;
    remembered for this slide. backend: 'openslide' or 'tifffile', else chosen.
    Raises SlideError, ResolutionError for a senseless mpp, InputError for an unknown backend.
    """
    path = Path(path).expanduser()
    opened, refused = open_backend(path, backend)
    for name, reason in refused.items():
        logger.debug("%s was not opened by %s: %s", path.name, name, reason)
    try:
        slide = Slide(opened, path=path, name=path.name, fingerprint=file_fingerprint(path), refused=refused)
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
