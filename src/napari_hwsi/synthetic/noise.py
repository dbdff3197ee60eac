"""Randomness that depends on the place alone.

Whatever is drawn here is a function of a seed and of integer lattice indices, so any
part of an endless plane can be made without the rest.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Images: TypeAlias = npt.NDArray[np.floating[Any]]  # float32
Weights: TypeAlias = "csr_array[Any, tuple[int, int]]"
Keys: TypeAlias = npt.NDArray[np.uint64]

_ODD = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def keys(seed: int, *indices: npt.ArrayLike) -> Keys:
    """Return one well-mixed 64-bit key for every (broadcast) tuple of integer indices.

    The mixing is the finaliser of SplitMix64 (Steele et al., OOPSLA 2014), once per index.
    """
    key: Keys = np.full(1, seed & 0xFFFFFFFFFFFFFFFF, np.uint64)
    for index in indices:
        values = np.atleast_1d(np.asarray(index))
        key = (key + _ODD) ^ (values.astype(np.int64).view(np.uint64) * _ODD)
        key = (key ^ (key >> np.uint64(30))) * _MIX_1
        key = (key ^ (key >> np.uint64(27))) * _MIX_2
        key = key ^ (key >> np.uint64(31))
    return key


def uniform(key: Keys, draw: int) -> Floats:
    """Return the ``draw``-th uniform number in [0, 1) of every key."""
    salt = np.uint64((draw + 1) * int(_MIX_2) & 0xFFFFFFFFFFFFFFFF)
    mixed = (key ^ salt) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(32))) * _MIX_2
    return ((mixed ^ (mixed >> np.uint64(29))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(key: Keys, draw: int) -> Floats:
    """Return a nearly normal number (sum of four uniforms), zero mean, unit variance, within ±3.5."""
    total = sum(uniform(key, 1000 + 4 * draw + i) for i in range(4))
    return np.asarray((total - 2.0) * np.sqrt(3.0))


def generator(seed: int, name: str) -> np.random.Generator:
    """Return numpy's generator for one named choice of one seed."""
    return np.random.default_rng([seed & 0xFFFFFFFFFFFFFFFF, *name.encode()])


class Field:
    """Smooth noise on the endless plane: hashed lattice values under a cubic B-spline.

    Zero mean, about unit variance; features are about two lattice pitches wide.
    """

    _GAIN = 3.6  # brings the variance of B-spline-smoothed uniform values to about one

    def __init__(self, seed: int, name: str, pitch_um: float) -> None:
        self.pitch = pitch_um
        self.seed = int(generator(seed, name).integers(2**62))

    def __call__(self, y: Floats, x: Floats) -> Floats:
        """Return the noise at places in µm: an open grid ((n, 1) and (1, m)) or two equal flat lists."""
        v, u = y / self.pitch, x / self.pitch
        i, j = np.floor(v).astype(np.int64), np.floor(u).astype(np.int64)
        if not v.size or not u.size:
            return np.zeros(np.broadcast_shapes(v.shape, u.shape))
        top, left = int(i.min()) - 1, int(j.min()) - 1
        rows = np.arange(top, int(i.max()) + 3)
        columns = np.arange(left, int(j.max()) + 3)
        table = (uniform(keys(self.seed, rows[:, None], columns[None, :]), 0) * 2 - 1) * self._GAIN
        wy, wx = _bspline(v - i), _bspline(u - j)
        if v.ndim == 2 and v.shape[1] == 1 and u.shape[0] == 1:
            down = _spread(wy[..., 0], i[:, 0] - 1 - top, len(rows))
            right = _spread(wx[:, 0], j[0] - 1 - left, len(columns))
            return resampled(table, down, right)
        step = np.arange(-1, 3)
        corners = table[i - top + step[:, None, None], j - left + step[None, :, None]]
        return np.asarray((wy[:, None] * wx[None, :] * corners).sum((0, 1)))


def _bspline(t: Floats) -> Floats:
    """Return the four cubic B-spline weights of fractions ``t``: shape (4, *t.shape)."""
    weights = np.empty((4, *t.shape))
    weights[3] = t**3 / 6
    weights[0] = (1 - t) ** 3 / 6
    weights[1] = 2 / 3 - t**2 + 3 * weights[3]
    weights[2] = 1 - weights[0] - weights[1] - weights[3]
    return weights


def _spread(weights: Floats, first: npt.NDArray[np.int64], width: int) -> Weights:
    """Return the (n, width) matrix that holds (4, n) weights from column ``first`` on."""
    n = len(first)
    columns = (first[:, None] + np.arange(4)).ravel()
    return csr_array((weights.T.ravel(), columns, np.arange(0, 4 * n + 1, 4)), shape=(n, width))


def upsampling(coarse: Floats, fine: Floats) -> Weights:
    """Return the (fine, coarse) matrix of Catmull-Rom interpolation between equally spaced places."""
    place = (fine - coarse[0]) / (coarse[1] - coarse[0])
    i = np.floor(place).astype(np.int64)
    t = place - i
    weights = np.stack(
        [
            -0.5 * t + t**2 - 0.5 * t**3,
            1 - 2.5 * t**2 + 1.5 * t**3,
            0.5 * t + 2 * t**2 - 1.5 * t**3,
            -0.5 * t**2 + 0.5 * t**3,
        ]
    )
    return _spread(weights.astype(np.float32), i - 1, len(coarse))


def resampled(table: Floats, rows: Weights, columns: Weights) -> Floats:
    """Return rows · table · columnsᵀ.

    Sparse products add in a fixed order; those of a threaded BLAS may round differently from run to run.
    """
    wide = np.ascontiguousarray((columns @ np.ascontiguousarray(table.T)).T)
    return np.asarray(rows @ wide)


class BlueNoise:
    """A periodic point set in which every leading part is evenly scattered.

    Points are ordered by farthest-point sampling (Eldar et al., 1997) on the torus, so
    "rank below density" thins them and keeps them apart.
    """

    COUNT = 1024

    def __init__(self, seed: int, name: str, pitch_um: float) -> None:
        self.period = pitch_um * self.COUNT**0.5
        self.density = 1e6 / pitch_um**2  # per mm² when all ranks are kept
        self.seed = int(generator(seed, name).integers(2**62))
        rng = generator(seed, name + " points")
        candidates = rng.random((6 * self.COUNT, 2))
        chosen = np.empty((self.COUNT, 2))
        nearest = np.full(len(candidates), np.inf)
        pick = 0
        for k in range(self.COUNT):
            chosen[k] = candidates[pick]
            gap = np.abs(candidates - chosen[k])
            gap = np.minimum(gap, 1 - gap)
            np.minimum(nearest, (gap**2).sum(1), out=nearest)
            pick = int(nearest.argmax())
        self.points = chosen

    def inside(self, y0: float, x0: float, y1: float, x1: float) -> tuple[Floats, Floats, Floats, Keys]:
        """Return y, x (µm), rank in [0, 1) and key of the points of a half-open box."""
        rows = np.arange(np.floor(y0 / self.period), np.floor(y1 / self.period) + 1)
        columns = np.arange(np.floor(x0 / self.period), np.floor(x1 / self.period) + 1)
        i, j, k = (a.ravel() for a in np.meshgrid(rows, columns, np.arange(self.COUNT), indexing="ij"))
        k = k.astype(np.int64)
        y, x = (i + self.points[k, 0]) * self.period, (j + self.points[k, 1]) * self.period
        keep = (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
        i, j, k = i[keep], j[keep], k[keep]
        return y[keep], x[keep], k / self.COUNT, keys(self.seed, i, j, k)


def periodic_noise(rng: np.random.Generator, size: int, low: float, high: float) -> Images:
    """Return a (size, size) periodic texture of wavelengths ``low`` to ``high`` px; zero mean, variance 1."""
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    f[0, 0] = 1.0
    band = np.exp(-0.2 / (f * high) ** 2 - 0.8 * (f * low) ** 2)
    texture = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * band, s=(size, size))
    texture -= texture.mean()
    return np.asarray(texture / texture.std(), np.float32)
