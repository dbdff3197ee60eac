"""Maps of patch vectors to learn regions and slides from: real pictures, and layouts of synthetic slides.

No machine paints hundreds of large slides in minutes. But where each tissue of a synthetic slide lies is
known without painting it: so each patch of a large layout takes the vector of a painted patch with the same
share of each tissue, as far as there is one of the stain that the map is drawn in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..encoders import unit
from ..encoders.pocket import joined
from ..encoders.pocket_network import SIDE as PATCH_PX
from ..encoders.pocket_network import PatchNetwork
from ..synthetic import REGIONS, SlideSpec, SyntheticSlide
from ..synthetic.layout import Layout
from ..tissue import optical_density
from .scenes import SIDE, Scenes, at_scene_mpp, measured, synthetic_slide, varied_places
from .sources import Picture, read_picture

_POINTS = 4  # a side of a patch, where its tissue is looked up
_FOREIGN = 0.3  # how much likeness in tissue a patch of another stain must bring
_TISSUE = 0.1  # share of a patch below which it is left out


@dataclass(frozen=True)
class Map:
    """vectors: float32 (rows, columns, W) of patches; valid: bool (rows, columns)."""

    vectors: NDArray[np.float32]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class Layouts:
    """Maps of large synthetic slides that name painted patches.

    scenes, quarters: int64 (N,), where each of N painted patches is, the row of its scene and the quarter of
    that; which: int32 (L, side, side), the painted patch at each place of L layouts; valid: bool, of that
    shape.
    """

    scenes: NDArray[np.int64]
    quarters: NDArray[np.int64]
    which: NDArray[np.int32]
    valid: NDArray[np.bool_]

    @classmethod
    def kept(cls, file: Path, scenes: Scenes, painted: Sequence[int], seeds: Sequence[int]) -> Layouts:
        """Read the layouts of a file; where it is not there they are made. See :func:`lay_out`."""
        if not file.exists():
            made = lay_out(scenes, painted, seeds)
            np.savez(file, scenes=made.scenes, quarters=made.quarters, which=made.which, valid=made.valid)
        with np.load(file, allow_pickle=False) as kept:
            return cls(kept["scenes"], kept["quarters"], kept["which"], kept["valid"])

    def maps(self, network: PatchNetwork, scenes: Scenes) -> Iterator[Map]:
        """Yield the maps with the vectors that the pocket encoder gives the painted patches."""
        rows = np.unique(self.scenes)
        made = np.stack([encode_quarters(network, scenes.pixels[row], scenes.measured[row]) for row in rows])
        vectors = made[np.searchsorted(rows, self.scenes), self.quarters]
        for which, valid in zip(self.which, self.valid, strict=True):
            yield Map(vectors[which], valid)


def lay_out(scenes: Scenes, painted: Sequence[int], seeds: Sequence[int], side: int = 64) -> Layouts:
    """Return the layout of each seed, ``side`` patches a side, filled with patches of the slides ``painted``.

    Each layout is given the stain of one of these slides; where that has no patch of the right tissues, one
    of another slide stands in.
    """
    rows, shares, slides = [], [], []
    sources = scenes.table.groupby("source").groups
    for seed in painted:
        slide = synthetic_slide(seed, 0.5 if seed % 3 == 2 else 1.0)
        for row, corner in zip(sources[f"synthetic_{seed:05d}"], _corners(slide), strict=True):
            rows.append(row)
            shares.append(tissues(slide.layout, corner, (2, 2)).reshape(4, -1))
            slides += [seed] * 4
    held, whose = np.concatenate(shares), np.array(slides)
    which = np.empty((len(seeds), side * side), np.int32)
    valid = np.empty(which.shape, bool)
    for i, seed in enumerate(seeds):
        rng = np.random.default_rng(seed)
        layout = Layout(SlideSpec(seed, (side * PATCH_PX, side * PATCH_PX), 1.0))
        there = tissues(layout, (0, 0), (side, side)).reshape(side * side, -1)
        foreign = _FOREIGN * (whose != rng.choice(whose))
        for j, share in enumerate(there):
            unlike = np.abs(held - share).sum(1) + foreign + rng.uniform(0, 0.1, len(held))
            which[i, j] = unlike.argmin()
        valid[i] = there[:, 0] < 1 - _TISSUE
    shape = (len(seeds), side, side)
    return Layouts(
        np.repeat(rows, 4), np.tile(np.arange(4), len(rows)), which.reshape(shape), valid.reshape(shape)
    )


def encode_quarters(
    network: PatchNetwork, scene: NDArray[np.uint8], half: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the pocket encoder's vectors of the quarters of a scene, (4, W). half: the measured ones."""
    quarters = scene.reshape(2, PATCH_PX, 2, PATCH_PX, 3).swapaxes(1, 2).reshape(4, PATCH_PX, PATCH_PX, 3)
    density = torch.from_numpy(optical_density(quarters)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        learned = unit(network(density.contiguous(memory_format=torch.channels_last)).numpy())
    return joined(learned, half)


def _corners(slide: SyntheticSlide) -> Iterator[tuple[float, float]]:
    """Yield where the scenes of a slide begin, µm, in their order."""
    mpp = slide.spec.mpp
    step = 2 if mpp == 0.5 else 1
    inside = range(0, 512 // step, SIDE)
    for y, x in varied_places(slide, 6 if step == 2 else 3):
        yield from ((y * mpp + v, x * mpp + u) for v in inside for u in inside)


def tissues(layout: Layout, corner: tuple[float, float], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the shares of tissues in a grid of patches, (rows, columns, tissues). corner: (y, x) µm."""
    step = PATCH_PX / _POINTS
    y, x = (start + (np.arange(n * _POINTS) + 0.5) * step for start, n in zip(corner, shape, strict=True))
    kinds = layout.at(y[:, None], x[None]).regions()
    blocks = kinds.reshape(shape[0], _POINTS, shape[1], _POINTS)
    return np.stack([(blocks == kind).mean((1, 3)) for kind in range(len(REGIONS))], -1)


def real(network: PatchNetwork, data: Path, pictures: Sequence[Picture]) -> Iterator[Map]:
    """Yield the maps of real pictures."""
    for picture in pictures:
        rgb = at_scene_mpp(read_picture(data / picture.path), picture.mpp)
        rows, columns = (n // SIDE for n in rgb.shape[:2])
        grid: list[list[NDArray[np.float32]]] = []
        tissue = np.zeros((2 * rows, 2 * columns), bool)
        for i in range(rows):
            grid.append([])
            for j in range(columns):
                scene = rgb[i * SIDE : (i + 1) * SIDE, j * SIDE : (j + 1) * SIDE]
                grid[-1].append(encode_quarters(network, scene, measured(scene)).reshape(2, 2, -1))
                coloured = (scene.max(-1).astype(int) - scene.min(-1) > 25).reshape(2, PATCH_PX, 2, PATCH_PX)
                tissue[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = coloured.mean((1, 3)) > _TISSUE
        yield Map(np.concatenate([np.concatenate(row, 1) for row in grid]), tissue)
