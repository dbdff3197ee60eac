"""Pixels of one open slide: whole, or as much of them as a damaged file gives."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise, product
from math import ceil, floor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import SlideError, SlideUnavailableError
from .address import Place
from .backend import RGB, Backend

logger = logging.getLogger(__name__)

_HATCH_PX = 12
_HATCH = np.array([[96, 96, 96], [160, 160, 160]], np.uint8)

Listener = Callable[[bool], None]


class Reader:
    """Reads through a backend and keeps watch on its file. Any thread may use it.

    convert: what is done to all pixels, such as their colours brought to sRGB.
    """

    def __init__(
        self, backend: Backend, place: Place | None, convert: Callable[[RGB], RGB] | None = None
    ) -> None:
        self.backend, self._place, self._convert = backend, place, convert
        self._size = place.stat().st_size if isinstance(place, Path) and place.is_file() else None
        self._lost = self._closed = self._damaged = False
        self._listeners: list[Listener] = []
        self._state = threading.Lock()

    @property
    def available(self) -> bool:
        """Whether the file answered when it was last read."""
        return not self._lost

    def on_trouble(self, listener: Listener) -> None:
        """Have ``listener(available)`` called, from any thread, when the file stops or starts answering."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Close the file; reading afterwards is a SlideError."""
        self._closed = True
        self.backend.close()

    def read(self, level: int, origin: tuple[float, float], size: tuple[int, int]) -> RGB:
        """Return (h, w, 3); origin and size in pixels of the level.

        Raises SlideUnavailableError where the file does not answer, SlideError where it is damaged there.
        """
        if self._closed:
            raise SlideError(f"{self._place or 'The image'} is closed. Open it again to read it.")
        try:
            pixels = self.backend.read(level, origin, size)
        except SlideError as error:
            if self._closed or self._answers():
                raise
            self._tell(lost=True)
            raise SlideUnavailableError(
                f"{self._place} does not answer. Is its drive connected? It is tried again at each look."
            ) from error
        self._tell(lost=False)
        return pixels if self._convert is None else self._convert(pixels)

    def salvage(
        self, level: int, origin: tuple[float, float], size: tuple[int, int]
    ) -> tuple[RGB, NDArray[np.bool_]]:
        """Return (h, w, 3) and (h, w), which of it could be read; the rest is hatched.

        Where the window cannot be read whole, each tile of it is tried by itself. Raises
        SlideUnavailableError where the file does not answer, SlideError once the slide is closed.
        """
        try:
            return self.read(level, origin, size), np.ones(size, bool)
        except SlideUnavailableError:
            raise
        except SlideError as error:
            if self._closed:
                raise
            logger.log(logging.DEBUG if self._damaged else logging.WARNING, "%s It is shown hatched.", error)
            self._damaged = True
        pixels, readable = hatched(origin, size), np.zeros(size, bool)
        tile = self.backend.tile_shapes[level]
        for (y0, y1), (x0, x1) in product(
            *(list(_pieces(o, n, t)) for o, n, t in zip(origin, size, tile, strict=True))
        ):
            try:
                part = self.read(level, (origin[0] + y0, origin[1] + x0), (y1 - y0, x1 - x0))
            except SlideUnavailableError:
                raise
            except SlideError:
                continue
            pixels[y0:y1, x0:x1] = part
            readable[y0:y1, x0:x1] = True
        return pixels, readable

    def _answers(self) -> bool:
        """Whether the file is there as it was opened."""
        if self._size is None or not isinstance(self._place, Path):
            return self.backend.answers()
        try:
            with self._place.open("rb") as file:
                file.seek(self._size - 1)
                return len(file.read(1)) == 1
        except OSError:
            return False

    def _tell(self, *, lost: bool) -> None:
        if lost != self._lost:
            with self._state:
                changed, self._lost = lost != self._lost, lost
            for listener in self._listeners if changed else ():
                listener(not lost)


def hatched(origin: tuple[float, float], size: tuple[int, int]) -> RGB:
    """Return the (h, w, 3) pattern of what could not be read; no tissue and no glass looks like it."""
    y, x = (floor(o) + np.arange(n) for o, n in zip(origin, size, strict=True))
    return _HATCH[(y[:, None] + x) // _HATCH_PX % 2]


def _pieces(origin: float, size: int, tile: int) -> Iterator[tuple[int, int]]:
    """Cut ``size`` pixels from ``origin`` on at the borders of tiles."""
    first = floor(origin / tile) + 1
    borders = [ceil(border * tile - origin) for border in range(first, first + size // tile + 2)]
    return pairwise([0, *(b for b in borders if 0 < b < size), size])
