"""The recipe of the weights that fuse the measured cells of a patch.

    python -m napari_hwsi.training.ccaf DATA OUT

DATA and OUT are those of :mod:`.patches`, which comes first: its weights are taken from OUT, where this
leaves the cells, a curve and pocket_cells.safetensors. Fixed seeds, no label: two halves of the cells of a
patch, drawn at random and each stained in its own way, must give tokens that find one another among those of
other patches, and each must tell the vector that the patch encoder gives the patch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from ..cells import segment_cells
from ..encoders import unit
from ..encoders.pocket_cells import COLUMNS, MeasuredCCAF, on_scale
from ..encoders.pocket_network import PatchNetwork
from ..encoders.weights import fill
from ..slides import RGB
from ..tissue import optical_density
from .descent import descend, recipe_parser
from .patches import PICTURES, SYNTHETIC, agreement, save
from .scenes import shrunk, synthetic_slide, varied_places
from .sources import read_picture

PATCH_PX = 256
MPP = 0.5
SEEDS = tuple(seed for seed in SYNTHETIC if seed % 3 == 2)[:20]
REAL = tuple(picture for picture in PICTURES if abs(picture.mpp - MPP) < 0.01)
_MOST = 160  # cells a patch in training
_GUESSING = 2.0
_EVERY = 10  # steps, between two rows of the curve
_STAINS = (
    [COLUMNS.index(name) for name in COLUMNS if name.startswith("haematoxylin") and name.endswith("_od")],
    [COLUMNS.index(name) for name in COLUMNS if name.startswith("eosin")],
)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: steps of ``patches`` patches, the highest learning rate, a seed."""

    steps: int = 150
    rate: float = 1e-3
    patches: int = 64
    seed: int = 0


@dataclass(frozen=True)
class Patches:
    """cells: float32 (N, columns) as measured, those of patch p in rows offsets[p] to offsets[p + 1]; seen:
    uint8 (P, 128, 128, 3), the patches as the patch network sees them.
    """

    cells: NDArray[np.float32]
    offsets: NDArray[np.int64]
    seen: NDArray[np.uint8]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the recipe from the command line."""
    options = recipe_parser(__doc__).parse_args(arguments)
    file = options.out / "cells.npz"
    if not file.exists():
        pictures = (read_picture(options.data / picture.path) for picture in REAL)
        made = measure((*pictures, *synthetic_blocks(SEEDS)))
        np.savez(file, cells=made.cells, offsets=made.offsets, seen=made.seen)
    with np.load(file, allow_pickle=False) as kept:
        patches = Patches(kept["cells"], kept["offsets"], kept["seen"])
    weights = options.out / "pocket.safetensors"
    train(patches, fill(PatchNetwork(), load_file(weights), str(weights)), options.out)


def synthetic_blocks(seeds: Sequence[int]) -> Iterator[RGB]:
    """Yield pictures (512, 512, 3) at 0.5 µm/px of different tissues of each slide."""
    for seed in seeds:
        slide = synthetic_slide(seed, MPP)
        yield from (slide.read(place, (512, 512)) for place in varied_places(slide, 6))


def measure(pictures: Iterable[RGB]) -> Patches:
    """Return all whole patches of pictures at 0.5 µm/px, with the cells that ``classical`` finds in them."""
    cells, counts, seen = [], [], []
    for rgb in pictures:
        rows, columns = (n // PATCH_PX for n in rgb.shape[:2])
        found = segment_cells(rgb, (0, 0, *rgb.shape[:2]), segmenter="classical", mpp=MPP)
        measured = found.table[list(COLUMNS)].to_numpy(np.float32)
        y, x = (found.centroids // PATCH_PX).astype(int).T
        place = np.where((y < rows) & (x < columns), y * columns + x, -1)
        order = np.argsort(place, kind="stable")[(place < 0).sum() :]
        cells.append(measured[order])
        counts.append(np.bincount(place[place >= 0], minlength=rows * columns))
        whole = rgb[: rows * PATCH_PX, : columns * PATCH_PX]
        blocks = whole.reshape(rows, PATCH_PX, columns, PATCH_PX, 3).swapaxes(1, 2)
        seen.append(shrunk(blocks.reshape(-1, PATCH_PX, PATCH_PX, 3), 2))
    offsets = np.concatenate([[0], np.concatenate(counts).cumsum()]).astype(np.int64)
    return Patches(np.concatenate(cells), offsets, np.concatenate(seen))


def train(patches: Patches, encoder: PatchNetwork, out: Path, schedule: Schedule | None = None) -> Path:
    """Return the path of the weights, trained on measured patches. encoder: the network of patches."""
    schedule = schedule or Schedule()
    torch.manual_seed(schedule.seed)
    network = MeasuredCCAF()
    scaled = on_scale(torch.from_numpy(patches.cells)).numpy()
    network.mean.copy_(torch.from_numpy(np.nanmean(scaled, 0)))
    network.sd.copy_(torch.from_numpy(np.nanstd(scaled, 0) + 1e-3))
    density = torch.from_numpy(optical_density(patches.seen)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        parts = [encoder(density[i : i + 32]) for i in range(0, len(density), 32)]
        vectors = unit(torch.cat(parts).numpy())
    fit(network, patches, vectors.astype(np.float32), schedule, out / "pocket_cells.csv")
    path = out / "pocket_cells.safetensors"
    save(network, path)
    return path


class _Heads(nn.Module):
    """Where halves are compared, and what guesses the vector of a patch from its token."""

    def __init__(self, width: int, vector: int) -> None:
        super().__init__()
        self.compared = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 64))
        self.guessed = nn.Linear(width, vector)


def fit(
    network: MeasuredCCAF,
    patches: Patches,
    vectors: NDArray[np.float32],
    schedule: Schedule,
    curve: Path,
) -> None:
    """Fit a CCAF to patches, in place. vectors: (P, W), to be told; curve: a CSV of the losses."""
    heads = _Heads(network.width, vectors.shape[1])
    wanted = torch.from_numpy(vectors - vectors.mean(0))
    parameters = [*network.parameters(), *heads.parameters()]
    rng = np.random.default_rng(schedule.seed)

    def losses() -> Tensor:
        rows = rng.choice(len(vectors), min(schedule.patches, len(vectors)), replace=False)
        halves = [network(cells, mask) for cells, mask in two_halves(patches, rows, rng)]
        several = torch.from_numpy(np.diff(patches.offsets)[rows] > 1)
        alike = agreement(*(heads.compared(half[several]) for half in halves))
        guesses = [functional.cosine_similarity(heads.guessed(half), wanted[rows]) for half in halves]
        return torch.stack([alike, _GUESSING * (1 - torch.cat(guesses).mean())])

    descend(
        parameters,
        losses,
        steps=schedule.steps,
        rate=schedule.rate,
        names=("halves", "vector"),
        curve=curve,
        every=_EVERY,
    )
    network.eval().requires_grad_(False)


def two_halves(
    patches: Patches, rows: NDArray[np.integer], rng: np.random.Generator
) -> list[tuple[Tensor, Tensor]]:
    """Return the cells of patches in two halves, each (N, K, columns) with its mask (N, K).

    The stains of each half are stronger or weaker as a whole; of very many cells some are left out.
    """
    parts: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] = ([], [])
    for row in rows:
        own = rng.permutation(np.arange(patches.offsets[row], patches.offsets[row + 1]))[:_MOST]
        for half, part in enumerate(parts):
            cells = patches.cells[own[half::2]]
            for columns in _STAINS:
                cells[:, columns] *= np.exp(rng.normal(0, 0.12))
            part.append(cells)
    out = []
    for part in parts:
        most = max(1, max(len(cells) for cells in part))
        padded, mask = (
            np.zeros((len(part), most, len(COLUMNS)), np.float32),
            np.zeros((len(part), most), bool),
        )
        for i, cells in enumerate(part):
            padded[i, : len(cells)], mask[i, : len(cells)] = cells, True
        out.append((torch.from_numpy(padded), torch.from_numpy(mask)))
    return out


if __name__ == "__main__":
    main()
