"""What the patch network learns from: scenes of tissue, 256 x 256 µm at 1 µm/px, in one file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from numpy.typing import NDArray
from PIL import Image

from ..encoders import DescriptorEncoder
from ..slides import RGB
from ..synthetic import ARTEFACTS, REGIONS, Scanner, SlideSpec, SyntheticSlide
from .sources import NUCLEUS_UM, Picture, nucleus_px, read_picture

SIDE = 256
MPP = 1.0
_BLOCK = 512  # px, in which synthetic slides are drawn
_SMALLEST = 64  # µm; of less tissue no scene is made


@dataclass(frozen=True)
class Scenes:
    """pixels: uint8 (N, 256, 256, 3) RGB at 1 µm/px, read from the file as they are asked for; table: a row
    a scene, with ``source``, ``kind`` ('synthetic', 'slide', 'tile' or 'stained') and ``held_out``, kept for
    choosing and never trained on; measured: float32 (N, 4, W), the descriptor's vectors of the quarters of
    each, by row, then column.
    """

    pixels: NDArray[np.uint8]
    table: pd.DataFrame
    measured: NDArray[np.float32]

    @classmethod
    def load(cls, folder: Path) -> Scenes:
        """Read what :func:`gather` wrote."""
        pixels = np.load(folder / "scenes.npy", mmap_mode="r")
        return cls(pixels, pd.read_csv(folder / "scenes.csv"), np.load(folder / "measured.npy"))


Labelled = tuple[str, str, bool, NDArray[np.uint8]]
"""Source, kind, whether held out, and scenes (N, 256, 256, 3)."""


def gather(
    folder: Path, data: Path, seeds: Sequence[int], pictures: Sequence[Picture], dyed: str | None
) -> Scenes:
    """Make all scenes, write them to ``folder`` and return them; where they are there already they are read.

    data: folder of the real pictures and of ``dyed``, a folder of images and of label images of their nuclei.
    """
    if not (folder / "scenes.csv").exists():
        folder.mkdir(parents=True, exist_ok=True)
        parts = [*real_scenes(data, pictures), *synthetic_scenes(seeds)]
        if dyed is not None:
            parts += dyed_scenes(data / dyed)
        total = sum(len(part[3]) for part in parts)
        pixels = np.lib.format.open_memmap(
            folder / "scenes.npy", "w+", np.dtype(np.uint8), (total, SIDE, SIDE, 3)
        )
        rows, at = [], 0
        for source, kind, held_out, scenes in parts:
            pixels[at : at + len(scenes)] = scenes
            at += len(scenes)
            rows += [(source, kind, held_out)] * len(scenes)
        pixels.flush()
        table = pd.DataFrame(rows, columns=["source", "kind", "held_out"])
        table.to_csv(folder / "scenes.csv", index=False)
    if not (folder / "measured.npy").exists():
        pixels = np.load(folder / "scenes.npy", mmap_mode="r")
        np.save(folder / "measured.npy", np.stack([measured(scene) for scene in pixels]))
    return Scenes.load(folder)


def synthetic_scenes(seeds: Sequence[int]) -> Iterator[Labelled]:
    """Yield scenes of the synthetic slide of each seed, each stained and scanned in its own way.

    Two slides of three are drawn at 1 µm/px, the others at 0.5 and made smaller, as real ones are. One in
    five has artefacts. Places are chosen to hold different tissues.
    """
    for seed in seeds:
        slide = synthetic_slide(seed, 0.5 if seed % 3 == 2 else 1.0)
        step = round(MPP / slide.spec.mpp)
        blocks = [
            slide.read(place, (_BLOCK, _BLOCK)) for place in varied_places(slide, 6 if step == 2 else 3)
        ]
        scenes = [scene for block in blocks for scene in _cut(shrunk(block, step))]
        yield f"synthetic_{seed:05d}", "synthetic", False, np.stack(scenes)


def synthetic_slide(seed: int, mpp: float) -> SyntheticSlide:
    """Return the slide of a seed, 4096 px a side, with a scanner of its own."""
    rng = np.random.default_rng(seed)
    lamp = rng.uniform(228, 248) + rng.uniform(-5, 5, 3)
    scanner = Scanner(
        blur_um=float(rng.uniform(0.2, 0.6)),
        sharpening=float(rng.uniform(0, 1)),
        grain=float(rng.uniform(0.5, 2)),
        white=(float(lamp[0]), float(lamp[1]), float(lamp[2])),
    )
    artefacts = ARTEFACTS if seed % 5 == 4 else ()
    return SyntheticSlide(
        SlideSpec(seed=seed, shape=(4096, 4096), mpp=mpp, scanner=scanner, artefacts=artefacts)
    )


def varied_places(slide: SyntheticSlide, count: int) -> list[tuple[int, int]]:
    """Return corners (y, x) of ``count`` blocks of 512 px with tissue, as unlike in tissues as may be."""
    rng = np.random.default_rng(slide.spec.seed)
    per_side = slide.shape[0] // _BLOCK
    drawn = rng.permutation(per_side**2)[:32]
    corners = [(int(i) // per_side * _BLOCK, int(i) % per_side * _BLOCK) for i in drawn]
    inside = (np.arange(12) + 0.5) * _BLOCK / 12
    shares = []
    for y, x in corners:
        ground = slide.layout.at((y + inside[:, None]) * slide.spec.mpp, (x + inside[None]) * slide.spec.mpp)
        shares.append(np.bincount(ground.regions().ravel(), minlength=len(REGIONS)) / 144)
    found = np.array(shares)
    usable = np.flatnonzero(found[:, 0] < 0.5)
    if not len(usable):
        usable = np.arange(len(corners))
    chosen = [int(usable[0])]
    while len(chosen) < min(count, len(usable)):
        unlike = np.abs(found[usable, None] - found[None, chosen]).sum(2).min(1)
        unlike[np.isin(usable, chosen)] = -1
        chosen.append(int(usable[unlike.argmax()]))
    return [corners[i] for i in chosen]


def real_scenes(data: Path, pictures: Sequence[Picture]) -> Iterator[Labelled]:
    """Yield overlapping scenes of real pictures; the last fifth of the columns of large ones is held out."""
    for picture in pictures:
        rgb = at_scene_mpp(read_picture(data / picture.path), picture.mpp)
        whole = rgb.shape[1] >= 4 * SIDE
        edge = round(rgb.shape[1] * 0.8) if whole else rgb.shape[1]
        kind = "slide" if picture.path.startswith("wsi/") else "tile"
        parts = [(rgb[:, :edge], False), (rgb[:, edge:], True)] if whole else [(rgb, False)]
        for part, held_out in parts:
            scenes = [scene for scene in _overlapping(part) if _has_tissue(scene)]
            if scenes:
                yield picture.name, kind, held_out, np.stack(scenes)


def dyed_scenes(folder: Path) -> Iterator[Labelled]:
    """Yield a scene of each image of ``folder``/images that is large enough by the size of its nuclei."""
    for path in sorted((folder / "images").glob("*.png")):
        labels = tifffile.imread(folder / "labels" / f"{path.stem}.tif").astype(np.int32)
        rgb = np.asarray(Image.open(path).convert("RGB"))
        small = at_scene_mpp(rgb, NUCLEUS_UM / nucleus_px(labels))
        if min(small.shape[:2]) >= _SMALLEST and labels.any():
            yield f"masks_{path.stem[:12]}", "stained", False, _overlapping(small)[:1]


def measured(scene: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the descriptor's vectors of the quarters of a scene, (4, W), by row, then column."""
    fine = np.asarray(Image.fromarray(scene).resize((2 * SIDE, 2 * SIDE), Image.Resampling.BICUBIC))
    quarters = fine.reshape(2, SIDE, 2, SIDE, 3).swapaxes(1, 2).reshape(4, SIDE, SIDE, 3)
    return DescriptorEncoder().encode(quarters)


def at_scene_mpp(rgb: RGB, mpp: float) -> RGB:
    """Return a picture at 1 µm/px, averaged over areas."""
    height, width = (max(1, round(n * mpp / MPP)) for n in rgb.shape[:2])
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BOX))


def shrunk(rgb: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Return (…, Y, X, 3) averaged over ``step`` x ``step`` pixels."""
    if step == 1:
        return rgb
    *lead, height, width, _ = rgb.shape
    blocks = rgb.reshape(*lead, height // step, step, width // step, step, 3)
    return np.rint(blocks.mean((-4, -2))).astype(np.uint8)


def _cut(rgb: RGB) -> list[RGB]:
    rows, columns = (range(0, n - SIDE + 1, SIDE) for n in rgb.shape[:2])
    return [rgb[y : y + SIDE, x : x + SIDE] for y in rows for x in columns]


def _overlapping(rgb: RGB) -> NDArray[np.uint8]:
    """Return scenes half a side apart; a picture that is too small is mirrored at its edges."""
    short = [max(0, SIDE - n) for n in rgb.shape[:2]]
    rgb = np.pad(rgb, [(n // 2, n - n // 2) for n in short] + [(0, 0)], mode="symmetric")
    starts = [np.linspace(0, n - SIDE, 1 + -(-2 * (n - SIDE) // SIDE)).astype(int) for n in rgb.shape[:2]]
    return np.stack([rgb[y : y + SIDE, x : x + SIDE] for y in starts[0] for x in starts[1]])


def _has_tissue(rgb: RGB) -> bool:
    """Tell whether more than a sixth of a picture is neither white nor grey."""
    spread = rgb.max(-1).astype(int) - rgb.min(-1)
    return bool((spread > 25).mean() > 1 / 6)
