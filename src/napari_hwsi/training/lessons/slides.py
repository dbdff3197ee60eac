"""``python -m napari_hwsi.training.lessons OUT``: synthetic slides, their results, and lessons about them.

Into OUT go ``slides/`` (with the truth beside each), ``results/`` and, for each split, lessons, captions and
reports among these, and an exam (a table that ``napari-hwsi evaluate`` reads), as CSV. What is there is kept,
so a stopped run goes on. All of it takes about an hour of one core.
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
from .exam import balanced, items_of, write_exam
from .from_result import lessons_from_result
from .from_truth import KnownSlide, lessons_from_truth
from .lesson import Lesson, write_lessons, write_reports

_SIDES = (2048, 2304, 2560, 3072)
_LARGE_SIDES = (4096, 5120, 6144)
_MPP = 0.5
_EXAM_VIEWS = 5
_LEARNED = ("train", "large")
_CAPTIONS = ("report", "contents", "measured contents")


@dataclass(frozen=True)
class Split:
    """Slides of one purpose: seeds from ``first`` on; far: stains and scanners beyond those learned from;
    large: of several regions.
    """

    name: str
    first: int
    count: int
    far: bool = False
    large: bool = False


SPLITS = (
    Split("train", 10_000, 200), Split("large", 20_000, 16, large=True), Split("valid", 50_000, 30),
    Split("test", 60_000, 60), Split("far", 70_000, 40, far=True), Split("wide", 80_000, 4, large=True),
)  # fmt: skip
"""No seed is in two of them. 'test', 'far' and 'wide' are for measuring only."""


def spec_of(seed: int, far: bool = False, large: bool = False) -> SlideSpec:
    """Return the slide of a seed: its size, stain and scanner are drawn from it too.

    far: paler or stronger, off in hue, blurred, noisy, dim and hard compressed, beyond what is learned from;
    large: of several regions, not of one.
    """
    rng = np.random.default_rng([seed, 7])
    shape = int(rng.choice(_SIDES, p=[0.4, 0.25, 0.2, 0.15])), int(rng.choice(_SIDES[:3]))
    if large:
        shape = int(rng.choice(_LARGE_SIDES)), int(rng.choice(_LARGE_SIDES))
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


def prepare(out: Path, split: Split, seed: int) -> str:
    """Write one slide and analyse it, where that is not done; return its name."""
    name = f"{split.name}_{seed}"
    slide, store = _slide(out, name), out / "results" / f"{name}.hwsi.zarr"
    if not slide.exists():
        write_slide(slide, spec_of(seed, split.far, split.large))
    analyze(slide, store, device="cpu")
    return name


def lessons_of(out: Path, name: str, seed: int, views: int) -> Iterator[Lesson]:
    """Yield the lessons of a prepared slide: of its truth, of which half have a short answer in a fixed form,
    and half as many of what was measured; some of these as if it were a real slide.
    """
    known = KnownSlide.beside(_slide(out, name))
    for lesson in lessons_from_truth(known, seed, views):
        yield lesson.told(synthetic=True)
    for item in items_of(known, seed, views):
        if item.lesson is not None:
            yield item.lesson.told(synthetic=True)
    result = open_result(out / "results" / f"{name}.hwsi.zarr")
    for synthetic, few in ((True, views // 2), (False, views // 3)):
        for lesson in lessons_from_result(result, seed, few, synthetic):
            yield lesson.told(synthetic)


def real_lessons(out: Path, slides: Sequence[Path], views: int) -> Iterator[tuple[str, str, Lesson]]:
    """Analyse real slides and yield their names and lessons: of what was measured, and what is declined."""
    for seed, slide in enumerate(slides):
        result = analyze(slide, out / "results" / f"{slide.stem}.hwsi.zarr", device="cpu")
        for lesson in lessons_from_result(result, seed, views, synthetic=False):
            yield slide.stem, slide.stem, lesson.told(synthetic=False)


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
                    pool.submit(prepare, out, split, split.first + i)
                    for i in range(max(1, round(given.share * split.count)))
                ]
                for split in SPLITS
            }
            names = {split: [job.result() for job in part] for split, part in jobs.items()}
        for split, part in names.items():
            real = real_lessons(out, given.real, 4 * given.views) if split == "train" else ()
            views = given.views if split in _LEARNED else max(1, given.views // 4)
            lessons = [*_rows(out, part, views), *real]
            n = write_lessons(out / f"{split}.csv", lessons)
            captions = (row for row in lessons if row[2].kind in _CAPTIONS)
            write_lessons(out / f"{split}-captions.csv", captions)
            known = {name: KnownSlide.beside(_slide(out, name)) for name in part}
            reports = ((name, name, slide.report) for name, slide in known.items())
            write_reports(out / f"{split}-reports.csv", reports)
            items = [(name, i) for name, s in known.items() for i in items_of(s, _seed(name), _EXAM_VIEWS)]
            m = write_exam(out / f"{split}-exam.csv", balanced(items))
            sys.stdout.write(f"{split}: {n} lessons, {m} questions of the exam, {len(part)} slides\n")
    except HwsiError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _rows(out: Path, names: Sequence[str], views: int) -> Iterator[tuple[str, str, Lesson]]:
    for name in names:
        for lesson in lessons_of(out, name, _seed(name), views):
            yield name, name, lesson


def _seed(name: str) -> int:
    return int(name.rpartition("_")[2])


def _slide(out: Path, name: str) -> Path:
    return out / "slides" / f"{name}.svs"
