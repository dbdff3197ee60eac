"""Fine textures of tissue: small periodic tiles that stand behind what the layout places."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from .noise import Floats, Images, generator, periodic_noise

SIZE = 512  # px of a tile
_ACROSS_UM, _LENGTH_UM = 0.5, 1.2  # ground that one px of the fibre tile covers


class Textures:
    """The texture tiles of one slide, at its own resolution."""

    def __init__(self, seed: int, mpp: float) -> None:
        rng = generator(seed, "textures")
        px = 1 / mpp
        self.chromatin = _two_scales(rng, 1.0 * px, 2.6 * px, 1.7 * px, 4.5 * px, 0.5)
        self.grain = _two_scales(rng, 1.1 * px, 3.0 * px, 1.6 * px, 5.0 * px, 0.5)
        self.froth = _two_scales(rng, 2.4 * px, 6.5 * px, 5.5 * px, 16.0 * px, 0.5)
        self.bundles = _two_scales(rng, 12.0, 40.0, 6.0, 18.0, 0.45)
        self.fibrils = periodic_noise(rng, SIZE, 2.2, 7.0)
        self.speckle = rng.standard_normal((SIZE, SIZE)).astype(np.float32)
        self.erythrocytes, self.erythrocyte = self._discs(seed, mpp)

    def _discs(self, seed: int, mpp: float) -> tuple[Images, Images]:
        """Return the distance (µm) to the nearest of many crowded cells, and that cell's own draw (0–1)."""
        side = SIZE * mpp
        count = round(side / 5.7)
        rng = generator(seed, "erythrocytes")
        points = (np.mgrid[:count, :count].reshape(2, -1).T + rng.uniform(0.1, 0.9, (count**2, 2))) * (
            side / count
        )
        tree = cKDTree(points, boxsize=np.array([side, side]))
        places = (np.mgrid[:SIZE, :SIZE].reshape(2, -1).T + 0.5) * mpp
        distance, cell = tree.query(places)
        draw = (np.asarray(cell) * 0.6180339887498949) % 1.0
        return _tile(np.asarray(distance)), _tile(draw)

    def fibre(self, tile: Images, across: Images, length: Images, stretch: float = 1.0) -> Images:
        """Return a fibre tile at coordinates (µm) across and along the fibres, bilinearly."""
        v, u = across * np.float32(1 / _ACROSS_UM), length * np.float32(1 / (_LENGTH_UM * stretch))
        i, j = np.floor(v), np.floor(u)
        t, s = v - i, u - j
        a, b = i.astype(np.int32) % SIZE, j.astype(np.int32) % SIZE
        flat = tile.ravel()
        below, right = (a + 1) % SIZE * SIZE, (b + 1) % SIZE
        a *= SIZE
        upper = flat[a + b] * (1 - s) + flat[a + right] * s
        lower = flat[below + b] * (1 - s) + flat[below + right] * s
        return np.asarray(upper * (1 - t) + lower * t)


def _tile(values: Floats) -> Images:
    return values.reshape(SIZE, SIZE).astype(np.float32)


def _two_scales(
    rng: np.random.Generator, low: float, high: float, low_2: float, high_2: float, share: float
) -> Images:
    mixed = (1 - share) * periodic_noise(rng, SIZE, low, high) + share * periodic_noise(
        rng, SIZE, low_2, high_2
    )
    return np.asarray(mixed / mixed.std())


def window(tile: Images, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Images:
    """Return a tile repeated over pixel rows and columns of the slide."""
    return np.asarray(tile[rows % len(tile)][:, columns % len(tile)])


def ramp(depth: Images | Floats, width: float) -> Images:
    """Return a soft step: 0 below -width/2, 1 above +width/2, linear between."""
    return np.asarray(np.clip(depth * np.float32(1 / width) + np.float32(0.5), 0, 1), np.float32)
