"""Exact area resampling."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array

from .backend import RGB

_ROWS = 32
_SUMS_FIT = 256  # pixels of 8 bits whose sum fits 16


def area_resample(
    image: RGB, size: tuple[int, int], factor: tuple[float, float], start: tuple[float, float] = (0.0, 0.0)
) -> RGB:
    """Shrink ``image`` so that each output pixel is the mean of the area it covers.

    image: (Y, X, C) uint8; output pixel (i, j) covers rows [sy + i·fy, sy + (i+1)·fy) and columns
    [sx + j·fx, sx + (j+1)·fx) of it, fractions of pixels counted by area. size: (h, w) of the
    result; factor: (fy, fx), each at least 1; start: (sy, sx). Pixels past the image's end are
    left out of the mean.
    """
    whole = _whole_blocks(image, size, factor, start)
    if whole is not None:
        return whole
    height, width = size
    rows = _weights(height, image.shape[0], factor[0], start[0])
    columns = _weights(width, image.shape[1], factor[1], start[1])
    tall = rows @ image.reshape(image.shape[0], -1).astype(np.float32)
    tall = np.ascontiguousarray(tall.reshape(height, image.shape[1], -1).transpose(1, 0, 2))
    wide = columns @ tall.reshape(image.shape[1], -1)
    return np.rint(wide.reshape(width, height, -1).transpose(1, 0, 2)).astype(np.uint8)


def _whole_blocks(
    image: RGB, size: tuple[int, int], factor: tuple[float, float], start: tuple[float, float]
) -> RGB | None:
    """Return the means of whole blocks of pixels, many times faster; None where blocks are not whole."""
    if not all(float(v).is_integer() for v in (*factor, *start)):
        return None
    fy, fx, sy, sx = (int(v) for v in (*factor, *start))
    (height, width), channels, count = size, image.shape[2], fy * fx
    if sy + height * fy > image.shape[0] or sx + width * fx > image.shape[1]:
        return None
    out = np.empty((height, width, channels), np.uint8)
    kind = np.dtype(np.uint16 if count <= _SUMS_FIT else np.uint32)
    length = (width * fx - fx + 1) * channels
    for top in range(0, height, _ROWS):  # a few rows at a time stay in the processor's cache
        rows = min(_ROWS, height - top)
        band = image[sy + top * fy : sy + (top + rows) * fy, sx : sx + width * fx]
        tall = band[::fy].reshape(rows, -1).astype(kind)
        for i in range(1, fy):
            np.add(tall, band[i::fy].reshape(rows, -1), out=tall)
        # Neighbours are added along the whole line, which is contiguous; every fx-th sum is kept.
        wide = np.empty_like(tall)
        wide[:, :length] = tall[:, :length]
        for i in range(1, fx):
            np.add(wide[:, :length], tall[:, i * channels : i * channels + length], out=wide[:, :length])
        kept = wide.reshape(rows, width, fx * channels)[..., :channels]
        means = np.floor_divide(kept + kind.type(count // 2), kind.type(count))
        out[top : top + rows] = means
    return out


@lru_cache(maxsize=64)
def _weights(n_out: int, n_in: int, factor: float, start: float) -> csr_array:
    """Return the (n_out, n_in) matrix whose row i averages input start + [i·factor, (i+1)·factor)."""
    edges = np.minimum(start + np.arange(n_out + 1) * factor, n_in)
    reach = int(np.ceil(factor)) + 1
    index = edges[:-1, None].astype(np.int64) + np.arange(reach)
    overlap = np.minimum(index + 1, edges[1:, None]) - np.maximum(index, edges[:-1, None])
    overlap = np.where((overlap > 0) & (index < n_in), overlap, 0)
    overlap /= np.maximum(overlap.sum(1, keepdims=True), 1e-12)
    row = np.repeat(np.arange(n_out), reach)
    keep = overlap.ravel() > 0
    entries = (overlap.ravel()[keep].astype(np.float32), (row[keep], index.ravel()[keep]))
    return csr_array(entries, shape=(n_out, n_in))
