"""``python -m napari_hwsi.training.lessons OUT``: synthetic slides, their results, and lessons about them.

Into OUT go ``slides/`` (with the truth beside each), ``results/`` and ``lessons.csv``; what is there is kept,
so a stopped run goes on. Three hundred slides of about a square millimetre take some two hours of one core.
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
from .lesson import Lesson, write_lessons

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
    Split("train", 10_000, 300), Split("valid", 50_000, 30), Split("test", 60_000, 60),
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
    slide, store = out / "slides" / f"{name}.svs", out / "results" / f"{name}.hwsi.zarr"
    if not slide.exists():
        write_slide(slide, spec_of(seed, far))
    analyze(slide, store, device="cpu")
    return name


def lessons_of(out: Path, name: str, seed: int, views: int) -> Iterator[Lesson]:
    """Yield the lessons of a prepared slide: of its truth, and half as many of what was measured."""
    yield from lessons_from_truth(KnownSlide.beside(out / "slides" / f"{name}.svs"), seed, views)
    result = open_result(out / "results" / f"{name}.hwsi.zarr")
    yield from lessons_from_result(result, seed, views // 2, synthetic=True)


def real_lessons(
    out: Path, slides: Sequence[Path], mpp: float | None, views: int
) -> Iterator[tuple[str, Lesson]]:
    """Analyse real slides and yield their names and lessons: of what was measured, and what is declined."""
    for slide in slides:
        store = out / "results" / f"{slide.stem}.hwsi.zarr"
        result = analyze(slide, store, device="cpu", mpp=mpp)
        for lesson in lessons_from_result(result, len(slide.stem), views, synthetic=False):
            yield slide.stem, lesson


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
    todo = [
        (split, split.first + i) for split in SPLITS for i in range(max(1, round(given.share * split.count)))
    ]
    try:
        with ProcessPoolExecutor(given.workers) as pool:
            jobs = [pool.submit(prepare, out, split.name, seed, split.far) for split, seed in todo]
            names = [job.result() for job in jobs]

        def rows() -> Iterator[tuple[str, str, str, Lesson]]:
            for (split, seed), name in zip(todo, names, strict=True):
                for lesson in lessons_of(out, name, seed, given.views):
                    yield name, str(seed), split.name, lesson
            for name, lesson in real_lessons(out, given.real, None, 4 * given.views):
                yield name, name, "train", lesson

        n = write_lessons(out / "lessons.csv", rows())
    except HwsiError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{n} lessons of {len(names) + len(given.real)} slides in {out / 'lessons.csv'}\n")
    return 0
