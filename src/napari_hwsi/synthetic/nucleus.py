"""Drawing nuclei: which pixel belongs to which nucleus, and how dark it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .noise import Floats, Images, uniform
from .nuclei import CONNECTIVE, DEAD, EPITHELIAL, INFLAMMATORY, NEOPLASTIC, Nuclei
from .textures import SIZE, Textures

# Haematoxylin of a nucleus by type: inside, at the membrane, amplitude of the chromatin, nucleoli
_LOOK = {
    NEOPLASTIC: (0.64, 0.55, 0.21, 1.0),
    INFLAMMATORY: (1.18, 0.45, 0.30, 0.0),
    CONNECTIVE: (1.15, 0.2, 0.2, 0.0),
    DEAD: (1.75, 0.0, 0.12, 0.0),
    EPITHELIAL: (0.92, 0.38, 0.24, 0.25),
}


@dataclass(frozen=True)
class Footprint:
    """Pixels of nuclei in a window: ``owner`` row of the table or -1, ``cover`` 0–1, ``dye`` haematoxylin."""

    owner: npt.NDArray[np.int32]
    cover: Images
    dye: Images


def footprint(
    table: Nuclei, origin: tuple[int, int], shape: tuple[int, int], mpp: float, textures: Textures | None
) -> Footprint:
    """Draw nuclei into a window (``origin`` in level-0 px); without textures only ``owner`` is filled in.

    Where outlines cross, a pixel goes to the nucleus in which it lies relatively deeper, so the
    result does not depend on the order of drawing.
    """
    size = shape[0] * shape[1]
    nearest = np.full(size, np.inf, np.float32)
    batches = []
    bins = np.ceil(table.long * 1.22 / mpp / 4).astype(np.int64)
    for step in np.unique(bins):
        rows = np.flatnonzero(bins == step)
        batch = _outlined(table, rows, int(step) * 4 + 1, origin, shape, mpp)
        np.minimum.at(nearest, batch[0], batch[2])
        batches.append(batch)
    owner = np.full(size, -1, np.int32)
    cover = np.zeros(size, np.float32)
    dye = np.zeros(size, np.float32)
    for pixel, row, d, v, u in batches:
        won = nearest[pixel] == d
        pixel, row, d, v, u = pixel[won], row[won], d[won], v[won], u[won]
        inside = d < 1
        owner[pixel[inside]] = row[inside]
        if textures is not None:
            cover[pixel], dye[pixel] = _stained(table, row, d, v, u, mpp, textures)
    return Footprint(owner.reshape(shape), cover.reshape(shape), dye.reshape(shape))


def _outlined(
    table: Nuclei,
    rows: npt.NDArray[np.int64],
    half: int,
    origin: tuple[int, int],
    shape: tuple[int, int],
    mpp: float,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Images, Images, Images]:
    """Return pixels near some nuclei: flat place, table row, relative depth d (1 = outline), v and u.

    (v, u) are µm along the short and the long axis of the nucleus.
    """
    y, x = table.y[rows] / mpp, table.x[rows] / mpp
    top, left = np.floor(y).astype(np.int64) - half, np.floor(x).astype(np.int64) - half
    span = np.arange(2 * half + 1)
    dy = ((top[:, None] + span + 0.5 - y[:, None]) * mpp).astype(np.float32)[:, :, None]
    dx = ((left[:, None] + span + 0.5 - x[:, None]) * mpp).astype(np.float32)[:, None, :]
    cos, sin = (f(table.angle[rows]).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    long, short = (a[rows].astype(np.float32)[:, None, None] for a in (table.long, table.short))
    # Fibroblasts: bent spindles with tapering ends; other nuclei: ellipses
    spindle = (table.type[rows] == CONNECTIVE).astype(np.float32)
    bend = (spindle * (uniform(table.key[rows], 55) - 0.5) * 0.35).astype(np.float32)[:, None, None]
    p = u / long
    v = v - bend * p * u
    q = v / (short * (1 - spindle[:, None, None] * np.minimum(0.4 * p * p, 0.75)))
    d = np.sqrt(p * p + q * q)
    key = table.key[rows]
    rough = np.where(table.type[rows] == NEOPLASTIC, 0.06, 0.045)
    # Dents and bulges: harmonics 2 to 4 of the direction, by powers of the unit vector
    norm = 1 / np.maximum(d, 1e-6)
    c, s = p * norm, q * norm
    c2, s2 = c * c - s * s, 2 * c * s
    c3, s3 = c2 * c - s2 * s, s2 * c + c2 * s
    c4, s4 = c2 * c2 - s2 * s2, 2 * c2 * s2
    wave = np.zeros_like(d)
    for n, (cn, sn) in enumerate(((c2, s2), (c3, s3), (c4, s4))):
        turn = 2 * np.pi * uniform(key, 50 + n)
        size = rough * (0.4 + 0.9 * uniform(key, 60 + n))
        wave += cn * (size * np.cos(turn)).astype(np.float32)[:, None, None]
        wave += sn * (size * np.sin(turn)).astype(np.float32)[:, None, None]
    d = d / (1 + wave)
    i, j = (
        top[:, None, None] + span[None, :, None] - origin[0],
        left[:, None, None] + span[None, None, :] - origin[1],
    )
    near = (d < 1.22) & (i >= 0) & (i < shape[0]) & (j >= 0) & (j < shape[1])
    pixel = (i * shape[1] + j)[near]
    row = np.broadcast_to(rows[:, None, None], near.shape)[near]
    return pixel, row, d[near], v[near], u[near]


def _stained(
    table: Nuclei, row: npt.NDArray[np.int64], d: Images, v: Images, u: Images, mpp: float, textures: Textures
) -> tuple[Images, Images]:
    """Return cover and haematoxylin of pixels at own axes (v, u) of their nuclei."""

    def of(values: Floats) -> Images:
        return np.asarray(values.astype(np.float32)[row])

    look = np.zeros((len(_LOOK) + 1, 4))
    look[list(_LOOK)] = list(_LOOK.values())
    body, rim, clump, nucleolus = (look[table.type, k] for k in range(4))
    key = table.key
    # A nucleus grazed by the section is pale and blurred, one that fills it is dark and crisp
    grazed = uniform(key, 70) ** 3
    body = body * table.tone * (1 - 0.45 * grazed) + 0.35 * table.mitosis
    open_up = np.where(table.type == NEOPLASTIC, uniform(key, 71), 0.3)  # vesicular chromatin
    body = body * (1.18 - 0.5 * open_up)
    rim = rim * (0.5 + 0.8 * open_up) * (1 - 0.5 * grazed)
    softness = np.maximum(0.55 + 1.1 * grazed, 1.3 * mpp) / np.sqrt(table.long * table.short)
    cover = np.clip((1 - d) / of(softness) + 0.5, 0, 1)
    shift_v, shift_u = (np.floor(uniform(key, 72 + k) * SIZE).astype(np.int64) for k in range(2))
    i = (np.floor(v / mpp).astype(np.int64) + shift_v[row]) % SIZE
    j = (np.floor(u / mpp).astype(np.int64) + shift_u[row]) % SIZE
    texture = textures.chromatin[i, j]
    edge = (d - np.float32(0.86)) * np.float32(1 / 0.15)
    dye = of(body) + of(rim) * np.exp(-edge * edge) + of(clump * (0.6 + 0.8 * open_up)) * texture
    for n in range(2):
        turn, out, size = (uniform(key, 80 + 4 * n + k) for k in range(3))
        there = uniform(key, 83 + 4 * n) < (0.75, 0.3)[n]
        radius = 0.55 + 0.65 * size * (table.long / 4.5)
        ny, nx = (
            0.45 * out * table.short * np.sin(6.2832 * turn),
            0.45 * out * table.long * np.cos(6.2832 * turn),
        )
        r2 = ((v - of(ny)) ** 2 + (u - of(nx)) ** 2) / of(radius) ** 2
        dye += of(nucleolus * there * (1 - 0.6 * grazed)) * np.exp(-r2 * np.float32(1.2))
    dividing = table.mitosis[row]
    if dividing.any():  # a ragged bar or star of condensed chromatin in a cleared cell
        plate = np.hypot(v / of(0.5 * table.short), u / of(0.8 * table.long)) + 0.16 * texture
        dye = np.where(dividing, 0.2 + 1.9 * np.clip(3.2 - 3 * plate, 0, 1), dye)
    return cover.astype(np.float32), np.maximum(dye, 0.12).astype(np.float32)
