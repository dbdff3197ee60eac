"""Torch files of tensors and plain values; nothing that could run code is ever loaded."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...disk import written_whole
from ...errors import InputError

if TYPE_CHECKING:
    import torch

_DAMAGED = (
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)
"""What torch raises over a file whose bytes are wrong."""


def load(path: Path) -> Any:
    """Return what a torch file holds, on the CPU; raises InputError."""
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.") from error
    except _DAMAGED as error:
        reason = str(error).split("\n")[0]
        raise InputError(
            f"{path} cannot be read as tensors: {reason}. It may have been cut short, or hold more than "
            "tensors, which is not loaded."
        ) from error


def load_array(path: Path, *shape: int | None) -> NDArray[Any]:
    """Return the one tensor of a file as an array, bfloat16 as float32; raises InputError for anything else.

    shape: the sizes it must have, None for any.
    """
    return as_array(load(path), path, *shape)


def as_array(value: Any, where: Path | str, *shape: int | None) -> NDArray[Any]:
    """Return a tensor as an array, bfloat16 as float32; raises InputError unless it is one of this shape."""
    import torch

    if not isinstance(value, torch.Tensor):
        raise InputError(f"{where} holds a {type(value).__name__}, not a tensor.")
    fits = len(shape) == value.ndim and all(
        want in (None, has) for want, has in zip(shape, value.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise InputError(f"{where} is of shape {tuple(value.shape)}, not ({wanted}).")
    value = value.detach()
    return np.asarray(value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy())


def save(path: Path, value: Any) -> Path:
    """Write tensors, whole or not at all. Raises OSError."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as draft:
        torch.save(value, draft)
    return path


def tensor(values: NDArray[Any]) -> torch.Tensor:
    """Return an array as a tensor of its own."""
    import torch

    return torch.from_numpy(np.array(values))
