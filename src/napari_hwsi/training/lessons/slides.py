"""``python -m napari_hwsi.training.lessons OUT``: synthetic slides, their results, and lessons about them.

Into OUT go ``slides/`` (with the truth beside each), ``results/`` and, for each split, lessons and reports as
CSV; what is there is kept, so a stopped run goes on. All slides, of about a square millimetre each, take some
hours of one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import HwsiError
from ...hierarchy import analyze, open_result
from ...synthetic import Scanner, SlideSpec, Stain, write_slide
from .from_result import lessons_from_result
from .from_truth import KnownSlide, lessons_from_truth
from .lesson import Lesson, write_lessons, write_reports

_SIDES = (2048, 2304, 2560, 3072)
_MPP = 0.5


@dataclass(frozen=True)
class Split:
    """Slides of one purpose: seeds from ``first`` on; far: stains and scanners beyond those learned from."""

    name: str
    first: int
    count: int
    far: bool = False


SPLITS = (
    Split("train", 10_000, 200), Split("valid", 50_000, 30), Split("test", 60_000, 60),
    Split("far", 70_000, 40, far=True),
)  # fmt: skip
"""No seed is in two of them. 'far' is for measuring only, like 'test'."""


def spec_of(seed: int, far: bool = False) -> SlideSpec:
    """Return the slide of a seed: its size, stain and scanner are drawn from it too.

    far: paler or stronger, off in hue, blurred, noisy, dim and hard compressed, beyond what is learned from.
    """
    rng = np.random.default_rng([seed, 7])
    shape = int(rng.choice(_SIDES, p=[0.4, 0.25, 0.2, 0.15])), int(rng.choice(_SIDES[:3]))
    stain = _far_stain(seed, rng) if far else None
    scanner = Scanner(
        blur_um=float(rng.uniform(*((0.6, 0.8) if far else (0.2, 0.55)))),
        sharpening=float(rng.uniform(0, 0.4 if far else 1)),
        grain=float(rng.uniform(*((2.2, 3) if far else (0.3, 2.0)))),
        white=_white(rng, (215, 225), 4) if far else _white(rng, (228, 250), 3),
        jpeg_quality=int(rng.integers(*((30, 45) if far else (50, 91)))),
    )
    return SlideSpec(seed=seed, shape=shape, mpp=_MPP, stain=stain, scanner=scanner)


def _far_stain(seed: int, rng: np.random.Generator) -> Stain:
    stain, turn = Stain.of_seed(seed), int(rng.choice([-1, 1]))
    haematoxylin = np.clip(np.array(stain.haematoxylin) + turn * np.array([0.10, -0.09, 0.03]), 0, 4)
    eosin = np.clip(np.array(stain.eosin) + np.array([0.05, -0.03, -0.10 * turn]), 0, 4)
    strength = float(rng.choice([0.78, 1.4])), float(rng.choice([0.65, 1.35]))
    return Stain(_vector(haematoxylin), _vector(eosin), stain.erythrocytes, strength)


def _white(rng: np.random.Generator, level: tuple[float, float], tint: float) -> tuple[float, float, float]:
    return _vector(rng.uniform(*level) + rng.uniform(-tint, tint, 3))


def _vector(values: NDArray[np.float64]) -> tuple[float, float, float]:
    first, second, third = values.tolist()
    return first, second, third


def prepare(out: Path, split: str, seed: int, far: bool) -> str:
    """Write one slide and analyse it, where that is not done; return its name."""
    name = f"{split}_{seed}"
    slide, store = _slide(out, name), out / "results" / f"{name}.hwsi.zarr"
    if not slide.exists():
        write_slide(slide, spec_of(seed, far))
    analyze(slide, store, device="cpu")
    return name


def lessons_of(out: Path, name: str, seed: int, views: int) -> Iterator[Lesson]:
    """Yield the lessons of a prepared slide: of its truth, and half as many of what was measured."""
    yield from lessons_from_truth(KnownSlide.beside(_slide(out, name)), seed, views)
    result = open_result(out / "results" / f"{name}.hwsi.zarr")
    yield from lessons_from_result(result, seed, views // 2, synthetic=True)


def real_lessons(out: Path, slides: Sequence[Path], views: int) -> Iterator[tuple[str, str, Lesson]]:
    """Analyse real slides and yield their names and lessons: of what was measured, and what is declined."""
    for seed, slide in enumerate(slides):
        result = analyze(slide, out / "results" / f"{slide.stem}.hwsi.zarr", device="cpu")
        for lesson in lessons_from_result(result, seed, views, synthetic=False):
            yield slide.stem, slide.stem, lesson


def main() -> int:
    """Read the command line, make the lessons, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m napari_hwsi.training.lessons", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=1.0, help="of the slides of each split")
    parser.add_argument("--views", type=int, default=12, help="of each slide")
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="real slides with a pixel size")
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    out: Path = given.out
    for folder in ("slides", "results"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    try:
        with ProcessPoolExecutor(given.workers) as pool:
            jobs = {
                split.name: [
                    pool.submit(prepare, out, split.name, split.first + i, split.far)
                    for i in range(max(1, round(given.share * split.count)))
                ]
                for split in SPLITS
            }
            names = {split: [job.result() for job in part] for split, part in jobs.items()}
        for split, part in names.items():
            real = real_lessons(out, given.real, 4 * given.views) if split == "train" else ()
            n = write_lessons(out / f"{split}.csv", (*_rows(out, part, given.views), *real))
            write_reports(
                out / f"{split}-reports.csv",
                ((name, name, KnownSlide.beside(_slide(out, name)).report) for name in part),
            )
            sys.stdout.write(f"{n} lessons of {len(part)} slides in {out / split}.csv\n")
    except HwsiError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _rows(out: Path, names: Sequence[str], views: int) -> Iterator[tuple[str, str, Lesson]]:
    for name in names:
        for lesson in lessons_of(out, name, int(name.rpartition("_")[2]), views):
            yield name, name, lesson


def _slide(out: Path, name: str) -> Path:
    return out / "slides" / f"{name}.svs"
