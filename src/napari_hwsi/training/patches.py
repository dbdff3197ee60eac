"""The recipe of the pocket patch encoder's weights.

    python -m napari_hwsi.training.patches DATA OUT

DATA is the folder with wsi/, qc_tiles/, features/mopadi_example_data/ and nuclei_train/dsb2018_histology;
OUT takes the scenes, the curve and pocket.safetensors. Fixed seeds, no label of any kind. The network learns
that two neighbouring places, each stained and scanned in its own way, are the same tissue, and to tell from
such a picture what the descriptor measures in the undisturbed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from ..encoders.pocket_network import PatchNetwork
from .descent import descend, recipe_parser
from .scenes import Scenes, gather
from .sources import Picture
from .views import two_views

_MOPADI = "features/mopadi_example_data"
_TILES = "qc_tiles/tiles"

PICTURES: tuple[Picture, ...] = (
    Picture("wsi/CMU-1-Small-Region.svs", 0.499),
    Picture("wsi/HE_example_instanseg.ome.tif", 0.5),
    Picture("wsi/TCGA-CR-7395-01A-01-TS1.svs", 1.0),
    *(Picture(f"{_MOPADI}/TCGA-3X-AAVA-01Z-00-DX1/0_0_{i}_506.jpg", 0.5) for i in range(6)),
    *(
        Picture(f"{_MOPADI}/TCGA-AD-6964-01Z-00-DX1/Tile_({place}).jpg", 0.5)
        for place in ("16896,20480", "22016,11776", "23040,25088")
    ),
    Picture(f"{_TILES}/low-nuclei-score-level0.png", 0.5),
    Picture(f"{_TILES}/medium-nuclei-score-green-pen-level1.png", 1.0),
    Picture(f"{_TILES}/medium-nuclei-score-level1-2.png", 1.0),
    Picture(f"{_TILES}/tissue-level0-4302-10273-4814-10785.png", 0.5),
    Picture(f"{_TILES}/very-low-nuclei-score-level0.png", 0.5),
)
"""Real tissue; where a file states no pixel size it is judged from nuclei and fat cells."""

DYED = "nuclei_train/dsb2018_histology"
SYNTHETIC = range(220)
SHARES = {"synthetic": 0.5, "slide": 0.36, "tile": 0.11, "stained": 0.03}
_HIDDEN, _COMPARED = 512, 128
_TEMPERATURE = 0.15
_GUESSING = 4.0  # weight of the measures
_WARM_UP = 40  # steps
_EVERY = 25  # steps, between two rows of the curve


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: steps of ``pairs`` pairs, the highest learning rate, a seed; settled: pairs that
    the last step is fitted to.
    """

    steps: int = 1100
    rate: float = 2e-3
    pairs: int = 128
    seed: int = 0
    settled: int = 4096


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the recipe from the command line."""
    options = recipe_parser(__doc__).parse_args(arguments)
    train(options.data, options.out)


def train(
    data: Path,
    out: Path,
    pictures: Sequence[Picture] = PICTURES,
    seeds: Sequence[int] = SYNTHETIC,
    dyed: str | None = DYED,
    schedule: Schedule | None = None,
) -> Path:
    """Return the path of the weights, trained on the data folder; see the module."""
    schedule = schedule or Schedule()
    scenes = gather(out / "scenes", data, seeds, pictures, dyed)
    network = fit(scenes, schedule, out / "pocket.csv")
    settle(network, scenes, np.random.default_rng(schedule.seed), schedule.settled)
    path = out / "pocket.safetensors"
    save(network, path)
    return path


def save(network: nn.Module, path: Path) -> None:
    """Write weights: kernels and matrices in half precision, but for a last step that was settled."""
    state = {
        name: (value.half() if value.ndim > 1 and name != "last.weight" else value).contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(state, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)


def draw(scenes: Scenes, count: int, rng: np.random.Generator, held_out: bool = False) -> NDArray[np.int64]:
    """Return the rows of ``count`` scenes, their kinds by SHARES; large sources are drawn more often."""
    table = scenes.table[scenes.table["held_out"] == held_out]
    weight = 1 / table.groupby(["kind", "source"])["kind"].transform("size") ** 0.5
    weight *= table["kind"].map(SHARES) / weight.groupby(table["kind"]).transform("sum")
    return np.sort(rng.choice(table.index.to_numpy(), count, p=(weight / weight.sum()).to_numpy()))


def agreement(first: Tensor, second: Tensor) -> Tensor:
    """Return how badly the two of each pair, (N, D) each, find one another among all (NT-Xent: Chen et al.,
    SimCLR, ICML 2020, equation 1).
    """
    both = functional.normalize(torch.cat([first, second]), dim=1)
    cosine = both @ both.T / _TEMPERATURE
    own = torch.eye(len(both), dtype=torch.bool)
    return functional.cross_entropy(
        cosine.masked_fill(own, -torch.inf), torch.arange(len(both)).roll(len(first))
    )


class Heads(nn.Module):
    """What training alone needs on top of a network: where pairs are compared, and measures guessed."""

    def __init__(self, pooled: int, measures: int) -> None:
        super().__init__()
        self.compared = nn.Sequential(
            nn.BatchNorm1d(pooled),
            nn.Linear(pooled, _HIDDEN),
            nn.BatchNorm1d(_HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, _COMPARED),
        )
        self.guessed = nn.Sequential(nn.BatchNorm1d(pooled), nn.Linear(pooled, measures))


def fit(scenes: Scenes, schedule: Schedule, curve: Path) -> PatchNetwork:
    """Return a network fitted to the scenes; its last step is still to be settled.

    AdamW with a cosine after a short warm-up; convolutions in bfloat16 where the processor computes in it.
    curve: a CSV of the losses, of training and of held-out scenes (always the same).
    """
    torch.manual_seed(schedule.seed)
    network = PatchNetwork()
    heads = Heads(network.pooled_width, scenes.measured.shape[2])
    parameters = [p for name, p in network.named_parameters() if not name.startswith("last")]
    parameters += heads.parameters()
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.02},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    lower = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()

    def batch(rng: np.random.Generator, held_out: bool = False) -> tuple[Tensor, Tensor]:
        rows = draw(scenes, schedule.pairs, rng, held_out)
        first, second, quarter = two_views(scenes.pixels[rows], rng)
        both = torch.cat([first, second]).contiguous(memory_format=torch.channels_last)
        return both, torch.from_numpy(scenes.measured[rows, quarter])

    def losses(both: Tensor, measured: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            pooled = network.pooled(both)
        guessed = heads.guessed(pooled[: len(measured)])
        missed = 1 - functional.cosine_similarity(guessed, measured).mean()
        return torch.stack([agreement(*heads.compared(pooled).chunk(2)), _GUESSING * missed])

    held = batch(np.random.default_rng(10**6), held_out=True) if scenes.table["held_out"].any() else None
    rng = np.random.default_rng(schedule.seed)

    def checked() -> list[float]:
        if held is None:
            return []
        for module in (network, heads):
            module.eval()
        with torch.no_grad():
            values: list[float] = losses(*held).tolist()
        for module in (network, heads):
            module.train()
        return values

    names = ("pairs", "measures")
    descend(
        groups,
        lambda: losses(*batch(rng)),
        steps=schedule.steps,
        rate=schedule.rate,
        names=names,
        curve=curve,
        warm_up=_WARM_UP,
        clip=None,
        every=_EVERY,
        check=([f"check_{name}" for name in names], checked),
    )
    return network.eval()


def settle(network: PatchNetwork, scenes: Scenes, rng: np.random.Generator, pairs: int) -> None:
    """Fit the network's last step to pairs of views.

    What differs within pairs (stain, scanner, place within a tissue) is made alike small in all directions
    (within-class covariance normalisation: Hatch et al., Interspeech 2006, a pair being a class); then those
    directions are kept in which pairs differ most from one another, each over the root of its spread, so that
    a few do not outweigh all others.
    """
    first, second = (
        np.concatenate(parts) for parts in zip(*_pooled(network, scenes, rng, pairs), strict=True)
    )
    middle = (first.mean(0) + second.mean(0)) / 2
    within = _shrunk((first - second).T @ (first - second) / (2 * len(first)))
    values, vectors = np.linalg.eigh(within)
    white = vectors / np.sqrt(values)
    between = ((first + second) / 2 - middle) @ white
    values, turn = np.linalg.eigh(_shrunk(between.T @ between / len(between)))
    step = (white @ (turn / values**0.25))[:, ::-1][:, : network.width].T
    with torch.no_grad():
        network.last.weight.copy_(torch.from_numpy(step.copy()))
        network.last.bias.copy_(torch.from_numpy(-step @ middle))


def _pooled(
    network: PatchNetwork, scenes: Scenes, rng: np.random.Generator, pairs: int
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    out = []
    with torch.inference_mode():
        for _ in range(pairs // 128):
            *views, _ = two_views(scenes.pixels[draw(scenes, 128, rng)], rng)
            first, second = (network.pooled(view).double().numpy() for view in views)
            out.append((first, second))
    return out


def _shrunk(covariance: NDArray[np.float64], share: float = 0.02) -> NDArray[np.float64]:
    """Return a covariance drawn a little towards one that is equal in all directions."""
    even = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    return (1 - share) * covariance + share * even


if __name__ == "__main__":
    main()
