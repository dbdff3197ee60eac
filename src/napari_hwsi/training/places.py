"""The recipe of the weights that make regions of patches, and slides of regions.

    python -m napari_hwsi.training.places DATA OUT

DATA and OUT are those of :mod:`.patches`, which comes first: its scenes and its weights are taken from OUT,
where this leaves layouts, two curves and pocket_places.safetensors. Fixed seeds, no label: two halves of the
parts of one whole, drawn at random, must give vectors that find one another among those of other wholes, and
each must tell what lies at a place of which it saw nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from ..encoders.places import PlaceTransformer, codes_of
from ..encoders.pocket_network import PatchNetwork
from ..encoders.weights import fill
from ..tissue import PER_SIDE
from .descent import descend, recipe_parser
from .maps import Layouts, Map, real
from .patches import DYED, PICTURES, SYNTHETIC, agreement, save
from .scenes import gather

REAL = tuple(picture for picture in PICTURES if picture.path.startswith("wsi/"))
PAINTED = tuple(SYNTHETIC[:60])
LAYOUTS = range(5000, 5030)
_ASKED = 8  # places that are guessed, of each half
_GUESSING = 2.0
_EVERY = 20  # steps, between two rows of a curve
_OFFSETS = ((0, 0), (8, 0), (0, 8), (8, 8))  # patches; where the regions of a map may begin


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: steps of ``wholes`` regions or slides, the highest learning rate, a seed."""

    steps: int
    rate: float = 1e-3
    wholes: int = 24
    seed: int = 0


REGIONS, SLIDES = Schedule(200), Schedule(300)


@dataclass(frozen=True)
class Wholes:
    """Padded sets: vectors float32 (N, T, W), places (N, T, 2), mask bool (N, T)."""

    vectors: Tensor
    places: Tensor
    mask: Tensor


Draw = Callable[[np.random.Generator, int], Wholes]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the recipe from the command line."""
    options = recipe_parser(__doc__).parse_args(arguments)
    scenes = gather(options.out / "scenes", options.data, SYNTHETIC, PICTURES, DYED)
    file = options.out / "pocket.safetensors"
    network = fill(PatchNetwork(), load_file(file), str(file))
    layouts = Layouts.kept(options.out / "layouts.npz", scenes, PAINTED, LAYOUTS)
    maps = [*real(network, options.data, REAL), *layouts.maps(network, scenes)]
    train(maps, options.out)


def train(maps: Sequence[Map], out: Path, schedules: tuple[Schedule, Schedule] = (REGIONS, SLIDES)) -> Path:
    """Return the path of the weights of both transformers, trained on maps of patch vectors."""
    torch.manual_seed(schedules[0].seed)
    regions = PlaceTransformer(maps[0].vectors.shape[2])
    fit(regions, lambda rng, count: windows(maps, rng, count), schedules[0], out / "pocket_regions.csv")
    slides = PlaceTransformer(regions.width, depth=1)
    whole = [made for one in maps for offset in _OFFSETS if (made := _regions(regions, one, offset))]
    fit(slides, lambda rng, count: _slides(whole, rng, count), schedules[1], out / "pocket_slides.csv")
    both = nn.ModuleDict({"regions": regions, "slides": slides})
    path = out / "pocket_places.safetensors"
    save(both, path)
    return path


def windows(maps: Sequence[Map], rng: np.random.Generator, count: int) -> Wholes:
    """Return regions of 16 x 16 patches cut anywhere from maps, turned and mirrored."""
    vectors, masks = [], []
    weights = np.array([one.valid.sum() for one in maps], float) ** 0.5
    for i in rng.choice(len(maps), count, p=weights / weights.sum()):
        cut = _filled(maps[i], rng)
        turn, mirror = int(rng.integers(4)), int(rng.choice([-1, 1]))
        vectors.append(np.rot90(cut.vectors, turn)[:, ::mirror])
        masks.append(np.rot90(cut.valid, turn)[:, ::mirror])
    places = np.moveaxis(np.indices((PER_SIDE, PER_SIDE)), 0, -1).reshape(-1, 2).astype(np.float32)
    return Wholes(
        torch.from_numpy(np.stack(vectors)).flatten(1, 2),
        torch.from_numpy(places).expand(count, -1, -1),
        torch.from_numpy(np.stack(masks)).flatten(1, 2),
    )


def _filled(one: Map, rng: np.random.Generator) -> Map:
    """Return the fullest of three windows of a map; beyond its edge nothing is valid."""
    best: Map | None = None
    for _ in range(3):
        y, x = (int(rng.integers(0, max(n - PER_SIDE, 0) + 1)) for n in one.valid.shape)
        part = slice(y, y + PER_SIDE), slice(x, x + PER_SIDE)
        valid = np.zeros((PER_SIDE, PER_SIDE), bool)
        vectors = np.zeros((*valid.shape, one.vectors.shape[2]), np.float32)
        rows, columns = one.valid[part].shape
        valid[:rows, :columns], vectors[:rows, :columns] = one.valid[part], one.vectors[part]
        if best is None or valid.sum() > best.valid.sum():
            best = Map(vectors, valid)
    assert best is not None  # of three
    return best


def _regions(network: PlaceTransformer, one: Map, offset: tuple[int, int]) -> Map | None:
    """Return the vectors of the regions of a map, from an offset on, as a map; None where there is one."""
    shape = [(n - o) // PER_SIDE for n, o in zip(one.valid.shape, offset, strict=True)]
    if min(shape) < 1 or max(shape) < 2:
        return None
    part = tuple(slice(o, o + n * PER_SIDE) for o, n in zip(offset, shape, strict=True))
    blocks = (shape[0], PER_SIDE, shape[1], PER_SIDE)
    vectors = (
        one.vectors[part].reshape(*blocks, -1).swapaxes(1, 2).reshape(shape[0] * shape[1], PER_SIDE**2, -1)
    )
    valid = one.valid[part].reshape(blocks).swapaxes(1, 2).reshape(-1, PER_SIDE**2)
    places = np.moveaxis(np.indices((PER_SIDE, PER_SIDE)), 0, -1).reshape(1, -1, 2).astype(np.float32)
    with torch.inference_mode():
        made, _ = network(
            torch.from_numpy(np.ascontiguousarray(vectors)),
            torch.from_numpy(places).expand(len(vectors), -1, -1),
            torch.from_numpy(np.ascontiguousarray(valid)),
        )
    there = valid.any(1).reshape(shape)
    return Map(made.numpy().reshape(*shape, -1), there) if there.sum() > 1 else None


def _slides(whole: Sequence[Map], rng: np.random.Generator, count: int) -> Wholes:
    """Return slides turned and mirrored, padded to the largest; none is drawn twice."""
    made = []
    for i in rng.permutation(len(whole))[:count]:
        turn, mirror = int(rng.integers(4)), int(rng.choice([-1, 1]))
        valid = np.rot90(whole[i].valid, turn)[:, ::mirror]
        made.append((np.rot90(whole[i].vectors, turn)[:, ::mirror][valid], np.argwhere(valid)))
    most = max(len(places) for _, places in made)
    vectors = np.zeros((len(made), most, made[0][0].shape[1]), np.float32)
    places, mask = np.zeros((len(made), most, 2), np.float32), np.zeros((len(made), most), bool)
    for row, (values, where) in enumerate(made):
        vectors[row, : len(where)], places[row, : len(where)], mask[row, : len(where)] = values, where, True
    return Wholes(torch.from_numpy(vectors), torch.from_numpy(places), torch.from_numpy(mask))


class _Heads(nn.Module):
    """Where halves are compared, and what guesses a vector from a whole and a place."""

    def __init__(self, network: PlaceTransformer) -> None:
        super().__init__()
        width = network.width
        self.compared = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 64))
        self.guessed = nn.Sequential(
            nn.Linear(2 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, network.features)
        )


def fit(network: PlaceTransformer, draw: Draw, schedule: Schedule, curve: Path) -> None:
    """Fit a transformer to wholes, in place, and leave it for use. curve: a CSV of the losses.

    The vectors that are guessed are taken less their mean over the batch, by cosine.
    """
    heads = _Heads(network)
    parameters = [*network.parameters(), *heads.parameters()]
    rng = np.random.default_rng(schedule.seed)

    def losses() -> Tensor:
        return _losses(network, heads, draw(rng, schedule.wholes), rng)

    descend(
        parameters,
        losses,
        steps=schedule.steps,
        rate=schedule.rate,
        names=("halves", "places"),
        curve=curve,
        every=_EVERY,
    )
    network.eval().requires_grad_(False)


def _losses(network: PlaceTransformer, heads: _Heads, wholes: Wholes, rng: np.random.Generator) -> Tensor:
    """Return how badly halves find one another, and how badly each tells what the other holds, (2,)."""
    order, counts = _shuffled(wholes.mask.numpy(), rng)
    most = max(2, int(counts.max()))
    halves = [order[:, : most // 2], order[:, most // 2 : most]]
    there = [_take(wholes.mask, rows) for rows in halves]
    made = [
        network(_take(wholes.vectors, rows), _take(wholes.places, rows), mask)[0]
        for rows, mask in zip(halves, there, strict=True)
    ]
    usable = there[0].any(1) & there[1].any(1)
    alike = agreement(*(heads.compared(one[usable]) for one in made))
    missed = []
    for own, other in ((0, 1), (1, 0)):
        rows, known = halves[other][:, :_ASKED], there[other][:, :_ASKED] & usable[:, None]
        mask = there[own][..., None]
        places = torch.where(mask, _take(wholes.places, halves[own]), 0)
        middle = places.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
        codes = codes_of(_take(wholes.places, rows) - middle, network.width)
        asked = torch.cat([made[own][:, None].expand(-1, rows.shape[1], -1), codes], -1)
        wanted = _take(wholes.vectors, rows)[known]
        guess = heads.guessed(asked[known])
        missed.append(1 - functional.cosine_similarity(guess, wanted - wanted.mean(0)).mean())
    return torch.stack([alike, _GUESSING * torch.stack(missed).mean()])


def _shuffled(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Tensor, NDArray[np.int64]]:
    """Return an order of the parts of each whole in which those of both halves are there in like numbers.

    That is: even places of a random order first, then odd ones, each with what is masked at its end.
    """
    counts = mask.sum(1)
    most = max(2, int(counts.max()))
    keys = np.where(mask, rng.random(mask.shape), 2.0)
    order = np.argsort(keys, 1)
    first = np.arange(most // 2) * 2
    second = np.arange(most - most // 2) * 2 + 1
    second = np.minimum(second, mask.shape[1] - 1)
    return torch.from_numpy(order[:, np.concatenate([first, second])]), counts


def _take(values: Tensor, rows: Tensor) -> Tensor:
    """Return rows (N, K) of (N, T, …)."""
    return values[torch.arange(len(values))[:, None], rows]


if __name__ == "__main__":
    main()
