"""A vector for each nucleus, from the tokens of the image it lies in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

TOKEN_PX = 16


def cell_vectors(tokens: NDArray[np.float32], labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """Return a vector for each nucleus, float32 (nuclei, C): the mean of the tokens that its mask touches.

    tokens: (C, h, w), one for each 16 x 16 px; labels: (16 h, 16 w), 0 = background. Rows come by rising
    label. Raises InputError for shapes that do not fit.
    """
    channels, h, w = tokens.shape
    if labels.shape != (h * TOKEN_PX, w * TOKEN_PX):
        raise InputError(f"{h} x {w} tokens are for labels of {h * 16} x {w * 16} px, not {labels.shape}.")
    pixels = np.flatnonzero(labels)
    y, x = np.divmod(pixels, labels.shape[1])
    touched = y // TOKEN_PX * w + x // TOKEN_PX
    pairs = np.unique(labels.ravel()[pixels].astype(np.int64) * (h * w) + touched)
    label, token = np.divmod(pairs, h * w)
    _, first, counts = np.unique(label, return_index=True, return_counts=True)
    if not len(first):
        return np.zeros((0, channels), np.float32)
    rows = np.ascontiguousarray(tokens.reshape(channels, -1).T, np.float64)
    return (np.add.reduceat(rows[token], first) / counts[:, None]).astype(np.float32)
