"""Exact area resampling."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from .backend import RGB

_BAND = 256  # output rows held as float at a time


def area_resample(image: RGB, size: tuple[int, int], factor: tuple[float, float]) -> RGB:
    """Shrink ``image`` so that each output pixel is the mean of the area it covers.

    image: (Y, X, 3) uint8; output pixel (i, j) covers rows [i·fy, (i+1)·fy) and columns
    [j·fx, (j+1)·fx) of it, fractions of pixels counted by area. size: (h, w) of the result;
    factor: (fy, fx), each at least 1. Pixels past the image's end are left out of the mean.
    """
    height, width = size
    rows, columns = _weights(height, image.shape[0], factor[0]), _weights(width, image.shape[1], factor[1])
    out = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _BAND):
        bottom = min(top + _BAND, height)
        first, last = int(top * factor[0]), min(int(np.ceil(bottom * factor[0])), image.shape[0])
        band = image[first:last].reshape(last - first, -1).astype(np.float32)
        tall = (rows[top:bottom, first:last] @ band).reshape(bottom - top, image.shape[1], 3)
        wide = columns @ np.ascontiguousarray(tall.transpose(1, 0, 2)).reshape(image.shape[1], -1)
        out[top:bottom] = np.rint(wide.reshape(width, bottom - top, 3)).transpose(1, 0, 2)
    return out


def _weights(n_out: int, n_in: int, factor: float) -> csr_array:
    """Return the (n_out, n_in) matrix whose row i averages input [i·factor, (i+1)·factor)."""
    edges = np.minimum(np.arange(n_out + 1) * factor, n_in)
    reach = int(np.ceil(factor)) + 1
    index = edges[:-1, None].astype(np.int64) + np.arange(reach)
    overlap = np.minimum(index + 1, edges[1:, None]) - np.maximum(index, edges[:-1, None])
    overlap = np.where((overlap > 0) & (index < n_in), overlap, 0)
    overlap /= np.maximum(overlap.sum(1, keepdims=True), 1e-12)
    row = np.repeat(np.arange(n_out), reach)
    keep = overlap.ravel() > 0
    entries = (overlap.ravel()[keep].astype(np.float32), (row[keep], index.ravel()[keep]))
    return csr_array(entries, shape=(n_out, n_in))
