"""Where networks run, and how much they are given at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError

logger = logging.getLogger(__name__)

Out = TypeVar("Out")


def choose_device(device: str = "auto") -> torch.device:
    """Return the device to run on; 'auto' takes CUDA, then MPS, then the CPU. Raises InputError."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"Device {device!r} cannot be used here: {reason}") from error
    return torch.device(device)


def mixed_precision(device: torch.device) -> torch.dtype:
    """Return the type that a network's products are computed fastest in without leaving its ground.

    float16 on CUDA, bfloat16 on a CPU with tiles for it (AMX, several times faster there), else float32.
    """
    if device.type == "cuda":
        return torch.float16
    cpu = Path("/proc/cpuinfo")
    tiles = device.type == "cpu" and cpu.is_file() and "amx_bf16" in cpu.read_text()
    return torch.bfloat16 if tiles else torch.float32


def fitting(device: torch.device, bytes_each: int, most: int) -> int:
    """Return how many images of ``bytes_each`` fit into half of the device's free memory; 1 off CUDA."""
    if device.type != "cuda":
        return 1
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(most, free // (2 * bytes_each)))


def in_batches(run: Callable[[slice], Out], count: int, batch: int) -> Iterator[tuple[slice, Out]]:
    """Run a function over ``count`` rows, ``batch`` at a time; yields (rows, result) in order.

    Where the device runs out of memory the batch is halved, for good, and the same rows are tried again;
    the error is raised only when one row alone is too much. Raises InputError for a batch below one.
    """
    if batch < 1:
        raise InputError(f"A batch holds at least one, not {batch}.")
    start = 0
    while start < count:
        rows = slice(start, min(start + batch, count))
        try:
            result = run(rows)
        except RuntimeError as error:
            size = rows.stop - rows.start
            if not _out_of_memory(error) or size == 1:
                raise
            batch = size // 2
        else:
            yield rows, result
            start = rows.stop
            continue
        # only here, with the failed attempt's tensors let go, is there memory to give back
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning("Out of memory with %d at a time; going on with %d.", size, batch)


def halving(run: Callable[[int], Out], batch: int) -> tuple[Out, int]:
    """Return what a function of a batch size gives, and the size that fitted, halved while memory is short.

    For functions of other packages that make their batches themselves. The error is raised when one is too
    much.
    """
    while True:
        try:
            return run(batch), batch
        except RuntimeError as error:
            if not _out_of_memory(error) or batch == 1:
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning("Out of memory with %d at a time; going on with %d.", batch, batch // 2)
        batch //= 2


def in_batches_by_size(
    run: Callable[[NDArray[Any], slice], Sequence[Out]],
    images: Sequence[NDArray[Any]],
    size: int,
    beat: Callable[[], None],
) -> tuple[list[Out], int]:
    """Return what ``run(stack, rows)`` says of each image, and the batch that memory held.

    images: (Y, X, C) uint8; those of one size are stacked, (N, Y, X, C). size: images at a time at first.
    ``beat`` is called after each batch and may raise Cancelled.
    """
    said: dict[int, Out] = {}
    for shape in dict.fromkeys(image.shape for image in images):
        rows = [i for i, image in enumerate(images) if image.shape == shape]
        for part, found in in_batches(partial(run, np.stack([images[i] for i in rows])), len(rows), size):
            beat()
            said.update(zip(rows[part], found, strict=True))
            if part.stop < len(rows):  # what memory did not hold is not tried again
                size = min(size, part.stop - part.start)
    return [said[i] for i in range(len(images))], size


def _out_of_memory(error: RuntimeError) -> bool:
    # MPS raises a plain RuntimeError
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
