"""Many patches of a slide, decoded ahead of the network that reads them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, SlideError, SlideUnavailableError
from .slide import Slide

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class PatchBatch:
    """Some patches of a slide.

    indices: int64 (N,), rows of the origins; images: uint8 (N, h, w, 3), zeros where not readable;
    readable: bool (N,), whether all pixels of a patch could be read.
    """

    indices: NDArray[np.int64]
    images: NDArray[np.uint8]
    readable: NDArray[np.bool_]

    @property
    def pixels(self) -> torch.Tensor:
        """The images as torch.uint8 (N, 3, h, w), channels last in memory, without a copy."""
        import torch

        return torch.from_numpy(self.images).permute(0, 3, 1, 2)


def stream_patches(
    slide: Slide,
    origins: ArrayLike,
    mpp: float | tuple[float, float] | None = None,
    size: tuple[int, int] = (256, 256),
    batch: int = 64,
    threads: int | None = None,
) -> Iterator[PatchBatch]:
    """Yield patches of a slide in batches, each tile of the file decoded about once.

    origins: (N, 2), (y, x) level-0 px of the top left corners; mpp: µm/px, level 0 where None; size: (h, w)
    px; threads: as many as there are cores where None. Patches come in an order that keeps
    neighbours together (Morton 1966), the same in each run; at most ``threads`` + 1 batches are held
    ahead. Patches with a damaged tile come marked as such. Raises InputError, ResolutionError,
    and SlideUnavailableError where the file does not answer.
    """
    places = np.asarray(origins, np.int64).reshape(-1, 2)
    if batch < 1 or (threads is not None and threads < 1):
        raise InputError("A batch and the threads are at least one.")
    step = slide.scale_at(mpp).downsample
    order = _morton(places, (size[0] * step[0], size[1] * step[1]))
    parts = [order[i : i + batch] for i in range(0, len(order), batch)]
    count = threads or os.cpu_count() or 1
    pool = ThreadPoolExecutor(count, thread_name_prefix="hwsi-stream")
    waiting: deque[Future[PatchBatch]] = deque()
    try:
        for part in parts:
            waiting.append(pool.submit(_read_batch, slide, places, part, mpp, size))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read_batch(
    slide: Slide,
    places: NDArray[np.int64],
    indices: NDArray[np.int64],
    mpp: float | tuple[float, float] | None,
    size: tuple[int, int],
) -> PatchBatch:
    images = np.empty((len(indices), *size, 3), np.uint8)
    readable = np.ones(len(indices), bool)
    for row, index in enumerate(indices):
        try:
            images[row] = slide.read(places[index], size, mpp)
        except SlideUnavailableError:
            raise
        except SlideError:
            images[row], readable[row] = 0, False
    return PatchBatch(indices, images, readable)


def _morton(places: NDArray[np.int64], extent: tuple[float, float]) -> NDArray[np.int64]:
    """Return the order of places by the interleaved bits of the patch they lie in."""
    if not len(places):
        return np.empty(0, np.int64)
    cell = ((places - places.min(0)) // np.array(extent)).astype(np.uint64)
    code = np.zeros(len(places), np.uint64)
    for bit in range(int(cell.max()).bit_length()):
        for axis in (0, 1):
            code |= ((cell[:, axis] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(2 * bit + 1 - axis)
    return np.lexsort((places[:, 1], places[:, 0], code)).astype(np.int64)
