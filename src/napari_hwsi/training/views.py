"""Two looks at a place: neighbouring crops of a scene, each stained, focused and turned in its own way."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..tissue import HE_MATRIX, optical_density
from .scenes import SIDE

CROP_PX = 96
_TRIES = 4
_CELL = 16  # px
_PALE = 0.06  # optical density below which a pixel is glass
_APART = 80.0  # px; the second crop lies within this of the first, along each axis
_BASIS = np.vstack([HE_MATRIX, np.cross(*HE_MATRIX)])
_BASIS = _BASIS / np.linalg.norm(_BASIS, axis=1, keepdims=True)
_SIGMAS = (0.0, 0.7, 1.3)  # px, of the blurs


def two_views(
    scenes: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
    """Return optical densities (N, 3, 96, 96) of two crops of each scene (N, 256, 256, 3), neighbours.

    With them, int64 (N,): the quarter of the scene, by row, then column, in which the first one lies.
    """
    density = torch.from_numpy(optical_density(scenes)).permute(0, 3, 1, 2)
    room = SIDE - CROP_PX
    tissue = functional.avg_pool2d((density.mean(1) > _PALE).float()[:, None], _CELL, _CELL)
    shares = functional.avg_pool2d(tissue, CROP_PX // _CELL, 1)[:, 0].numpy()
    quarters = rng.integers(0, 2, (_TRIES, len(scenes), 2)) * (SIDE // 2)
    first = _on_tissue(quarters + rng.uniform(0, SIDE // 2 - CROP_PX, quarters.shape), shares)
    near = first + rng.uniform(-_APART, _APART, (_TRIES, *first.shape))
    second = _on_tissue(np.clip(near, 0, room), shares)
    quarter = (first // (SIDE // 2)).astype(np.int64) @ (2, 1)
    return _looked_at(density, first, rng), _looked_at(density, second, rng), quarter


def _on_tissue(corners: NDArray[np.float64], shares: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return for each scene the first of several corners (tries, N, 2) with tissue, else that with most.

    shares: (N, 11, 11), of tissue in crops with their corner at multiples of 16 px.
    """
    y, x = np.moveaxis(np.rint(corners / _CELL).astype(int), -1, 0)
    scenes = np.arange(len(shares))
    there = np.minimum(shares[scenes, y, x], 0.5)
    return corners[there.argmax(0), scenes]


def _looked_at(density: Tensor, corners: NDArray[np.float64], rng: np.random.Generator) -> Tensor:
    return focused(stained(_turned(density, corners, rng), rng), rng)


def _turned(density: Tensor, corners: NDArray[np.float64], rng: np.random.Generator) -> Tensor:
    """Return crops round the middles of squares at ``corners`` (y, x), turned, mirrored and scaled."""
    n = len(density)
    angle = rng.uniform(0, 2 * np.pi, n)
    scale = np.exp(rng.uniform(np.log(0.85), np.log(1.2), n)) * CROP_PX / SIDE
    mirror = rng.choice([-1.0, 1.0], n)
    middle = (corners + CROP_PX / 2) / SIDE * 2 - 1
    matrix = np.empty((n, 2, 3), np.float32)
    matrix[:, 0, 0], matrix[:, 0, 1] = mirror * scale * np.cos(angle), -scale * np.sin(angle)
    matrix[:, 1, 0], matrix[:, 1, 1] = mirror * scale * np.sin(angle), scale * np.cos(angle)
    matrix[:, 0, 2], matrix[:, 1, 2] = middle[:, 1], middle[:, 0]
    grid = functional.affine_grid(torch.from_numpy(matrix), [n, 3, CROP_PX, CROP_PX], align_corners=False)
    return functional.grid_sample(density, grid, padding_mode="reflection", align_corners=False)


def stained(density: Tensor, rng: np.random.Generator) -> Tensor:
    """Return pictures (N, 3, Y, X) with other amounts and hues of their stains, another ground and contrast.

    A third of them far from what they were, so that hue alone tells nothing.
    """
    n = len(density)
    strong = np.where(rng.uniform(size=n) < 0.33, 2.5, 1.0)
    factors = np.exp(rng.normal(0, 0.2, (n, 3)) * strong[:, None] + rng.normal(0, 0.15, (n, 1)))
    hues = _BASIS + rng.normal(0, 0.05, (n, 3, 3)) * strong[:, None, None]
    hues *= np.linalg.norm(_BASIS, axis=1)[:, None] / np.linalg.norm(hues, axis=2, keepdims=True)
    mix = np.linalg.inv(_BASIS) @ (factors[:, :, None] * hues)
    ground = rng.normal(0, 0.02, (n, 3)) + np.abs(rng.normal(0, 0.02, (n, 1)))
    power = torch.from_numpy(np.exp(rng.normal(0, 0.1, (n, 1, 1, 1))).astype(np.float32))
    mixed = torch.einsum("nchw,ncd->ndhw", density, torch.from_numpy(mix.astype(np.float32)))
    return mixed.clamp(min=1e-4) ** power + torch.from_numpy(ground.astype(np.float32))[:, :, None, None]


def focused(density: Tensor, rng: np.random.Generator) -> Tensor:
    """Return pictures sharp, blurred or sharpened, with noise."""
    which = rng.integers(0, 4, len(density))
    out = density.clone()
    for i, sigma in enumerate(_SIGMAS[1:]):
        rows = torch.from_numpy(np.flatnonzero(which == i))
        if len(rows):
            out[rows] = _blurred(density[rows], sigma)
    rows = torch.from_numpy(np.flatnonzero(which == 2))
    if len(rows):
        out[rows] += 0.6 * (density[rows] - _blurred(density[rows], 0.8))
    noise = torch.from_numpy(rng.standard_normal(density.shape, np.float32))
    return out + noise * torch.from_numpy(rng.uniform(0, 0.03, (len(density), 1, 1, 1)).astype(np.float32))


def _blurred(images: Tensor, sigma: float) -> Tensor:
    reach = int(np.ceil(2.5 * sigma))
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    line = (line / line.sum()).repeat(3, 1)
    images = functional.pad(images, (reach, reach, reach, reach), mode="replicate")
    images = functional.conv2d(images, line[:, None, :, None], groups=3)
    return functional.conv2d(images, line[:, None, None, :], groups=3)
