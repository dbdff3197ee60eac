"""Vectors of length one."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def unit(vectors: ArrayLike) -> NDArray[np.float64]:
    """Return vectors (..., W) as float64 of length one; zero vectors stay zero."""
    array = np.asarray(vectors, np.float64)
    length = np.linalg.norm(array, axis=-1, keepdims=True)
    return np.divide(array, length, out=np.zeros_like(array), where=length > 0)
