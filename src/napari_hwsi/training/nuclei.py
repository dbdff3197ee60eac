"""The recipe of the pocket network's weights.

    python -m napari_hwsi.training.nuclei DATA OUT [--from WEIGHTS]

DATA is the folder with nuclei_train/dsb2018_histology (images/*.png, labels/*.tif), wsi/, qc_tiles/
and features/mopadi_example_data/; OUT takes the sources, the curves and pocket.safetensors. Fixed seeds.
Round 1 learns from masks, from synthetic slides, and on real tissue from what the classical
segmenter finds whatever is done to the picture. In round 2 the network of round 1 votes as well: what both
find is kept, where they differ nothing is claimed. Round 3 goes on with the labels of round 2 and some more
tissue; with --from it goes on from those weights, and they vote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from ..cells import Classical
from ..cells.pocket import PocketSegmenter
from ..cells.pocket_network import NucleusNetwork
from ..slides import RGB
from .batches import Prepared
from .descent import recipe_parser
from .fit import Schedule, fit
from .sources import Picture, Source, mask_sources, picture_sources, synthetic_sources
from .teacher import VIEWS, Labels, agreed, votes_of

_MOPADI = "features/mopadi_example_data"
_TILES = "qc_tiles/tiles"

_KERATIN = ((1150, 1350), (1550, 1240), (1550, 1550), (1150, 1550))

PICTURES: tuple[Picture, ...] = (
    *(Picture(f"{_MOPADI}/TCGA-3X-AAVA-01Z-00-DX1/0_0_{i}_506.jpg", 0.5) for i in range(6)),
    Picture("wsi/CMU-1-Small-Region.svs", 0.499),
    Picture("wsi/HE_example_instanseg.ome.tif", 0.5),
    *(
        Picture(f"{_MOPADI}/TCGA-AD-6964-01Z-00-DX1/Tile_({place}).jpg", 0.5)
        for place in ("16896,20480", "22016,11776", "23040,25088")
    ),
    Picture(f"{_TILES}/medium-nuclei-score-level1-2.png", 0.5),
    Picture(f"{_TILES}/low-nuclei-score-level0.png", 0.5),
    *(
        Picture(f"{_TILES}/{name}.png", 0.5, empty=True)
        for name in ("no-tissue", "almost-white-1", "no-tissue-line", "very-low-nuclei-score-level0")
    ),
    Picture("wsi/CMU-1-Small-Region.svs", 0.499, empty=True, within=_KERATIN),
)
"""Real tissue. Where a file states no pixel size it is judged from its nuclei. What lies within an
outline joins in round 2, after a look at round 1."""

SYNTHETIC = range(90)
FIRST = Schedule(steps=700, rate=2e-3, seed=1)
SECOND = Schedule(steps=800, rate=1.2e-3, seed=2, shares=(0.3, 0.16, 0.47, 0.07))
THIRD = Schedule(450, 1e-3, (0.24, 0.22, 0.48, 0.06), seed=3, lower=True)

_FEW_VIEWS = (0, 1, 2, 5)  # of each of the two that vote in round 2
_ALONE, _BOTH = 0.65, 0.5  # share of the votes that makes a nucleus, of one segmenter and of two


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the recipe from the command line."""
    parser = recipe_parser(__doc__)
    parser.add_argument("--from", type=Path, dest="start", help="weights to go on from, with the last round")
    options = parser.parse_args(arguments)
    train(options.data, options.out, start=options.start)


def train(
    data: Path,
    out: Path,
    pictures: Sequence[Picture] = PICTURES,
    seeds: range = SYNTHETIC,
    schedules: tuple[Schedule, Schedule, Schedule] = (FIRST, SECOND, THIRD),
    start: Path | None = None,
) -> Path:
    """Return the path of the weights of the last round, trained on the data folder; see the module."""
    (out / "votes").mkdir(parents=True, exist_ok=True)
    fixed = [
        *_kept(out / "masks", lambda: mask_sources(data / "nuclei_train" / "dsb2018_histology")),
        *_kept(out / "synthetic", lambda: synthetic_sources(seeds)),
    ]

    def by_classical(picture: Picture, rgb: RGB) -> tuple[Labels, NDArray[np.bool_]]:
        return agreed(_votes(out, picture, rgb), _ALONE)

    def by_both(picture: Picture, rgb: RGB) -> tuple[Labels, NDArray[np.bool_]]:
        classical = _votes(out, picture, rgb)
        own = votes_of(rgb, picture.mpp, PocketSegmenter(voter), [VIEWS[i] for i in _FEW_VIEWS])
        views = own, [classical[i] for i in _FEW_VIEWS]
        return agreed([vote for pair in zip(*views, strict=True) for vote in pair], _BOTH)

    voter = start
    if voter is None:
        plainly = [picture for picture in pictures if not picture.within]
        sources = [*fixed, *picture_sources(data, plainly, by_classical)]
        voter = _fit(sources, schedules[0], out / "first")
    sources = [*fixed, *_kept(out / "tissue", lambda: picture_sources(data, pictures, by_both))]
    if start is None:
        start = _fit(sources, schedules[1], out / "second", voter)
    return _fit(sources, schedules[2], out / "pocket", start)


def _fit(sources: Iterable[Source], schedule: Schedule, name: Path, start: Path | None = None) -> Path:
    """Fit a network, from the weights of a file if one is given, else from chance.

    Returns where its weights lie, ``name`` with '.safetensors', beside its curve.
    """
    torch.manual_seed(schedule.seed)
    network = NucleusNetwork()
    if start is not None:
        network.load_state_dict(load_file(start))
    parts: tuple[list[Prepared], list[Prepared]] = ([], [])
    for source in sources:
        parts[source.held_out].append(Prepared.of(source))
    path = name.with_suffix(".safetensors")
    for averaged in fit(network, *parts, schedule, name.with_suffix(".csv"), start is not None):
        state = {key: value.contiguous() for key, value in averaged.state_dict().items()}
        save_file(state, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)
    return path


def _kept(folder: Path, make: Callable[[], Iterator[Source]]) -> Iterator[Source]:
    """Yield the sources of a folder; where it is not there they are made, and kept."""
    if not folder.exists():
        part = folder.with_name(f"{folder.name}.part")
        part.mkdir(parents=True, exist_ok=True)
        for source in make():
            source.save(part)
        part.rename(folder)
    for path in sorted(folder.glob("*.npz")):
        yield Source.load(path)


def _votes(out: Path, picture: Picture, rgb: RGB) -> list[Labels]:
    """Return the votes of the classical segmenter, kept from one round to the next."""
    path = out / "votes" / f"{picture.name}.npy"
    if not path.exists():
        np.save(path, np.stack(votes_of(rgb, picture.mpp, Classical(), VIEWS)))
    return list(np.load(path))


if __name__ == "__main__":
    main()
