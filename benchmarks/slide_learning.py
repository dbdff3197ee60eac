"""Does attention find what only the slide's label tells of? Slides of known truth, weak labels.

A slide here is the patches of some windows of a synthetic slide: of half of the slides, windows without any
tumour; of the others a few with it among them. Learning sees one label a slide; where its attention goes is
held against the truth of each patch, which nothing has seen.

Usage: python benchmarks/slide_learning.py FOLDER [--slides 40] [--windows 10]
FOLDER keeps the vectors; run again, they are there.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from napari_hwsi.encoders import DescriptorEncoder
from napari_hwsi.metrics import area_under_curve, balanced_accuracy, bootstrap, calibration_error, mean_of
from napari_hwsi.synthetic import REGIONS, SlideSpec, SyntheticSlide
from napari_hwsi.training.slide_bags import read_labelled
from napari_hwsi.training.slide_fit import Recipe
from napari_hwsi.training.slide_folds import Looked, cross_validate
from napari_hwsi.training.slide_targets import Target, target_of

WINDOW, PATCH = 512, 256  # px: a window is one block of pixels, and four patches
TUMOUR = REGIONS.index("tumour")
RECIPES = {
    "mean": Recipe("mean"),
    "abmil": Recipe("abmil"),
    "abmil, entropy 0.2": Recipe("abmil", entropy=0.2),
    "abmil, mining 0.1": Recipe("abmil", mining=0.1),
    "abmil, augment 0.3": Recipe("abmil", augment=0.3),
    "clam": Recipe("clam"),
    "transmil": Recipe("transmil", rate=3e-4),
}


def main() -> None:
    """Make the slides that are missing, learn from them, print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--slides", type=int, default=40)
    parser.add_argument("--windows", type=int, default=10)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(options.slides):
        positive = seed % 2 == 1
        file = options.folder / f"S{seed:03d}.csv"
        if not file.exists():
            make(seed, positive, options.windows, file)
        rows.append({"slide": file.stem, "label": ("normal", "tumour")[positive], "patient": f"P{seed}"})
    labels = options.folder.with_suffix(".csv")
    pd.DataFrame(rows).to_csv(labels, index=False)
    slides = read_labelled(labels, options.folder, ("label",))
    target = target_of("class", [one.values for one in slides.slides])
    print("| recipe | balanced accuracy | ECE | ECE, calibrated | localisation AUC |\n|---|---|---|---|---|")
    for name, recipe in RECIPES.items():
        with tempfile.TemporaryDirectory() as folder:
            looked = cross_validate(slides, target, recipe, folder)
        print(f"| {name} | {' | '.join(scores_of(looked, target, options.folder))} |", flush=True)


def scores_of(looked: list[Looked], target: Target, folder: Path) -> list[str]:
    """Return the scores of slides by models that never saw their patients."""
    truth = np.array([target.classes.index(one.slide.values["label"]) for one in looked])
    sure = np.array([one.probabilities for one in looked])
    plain = np.array([one.uncalibrated for one in looked])
    found = sure.argmax(1)
    patients = [one.slide.patient for one in looked]
    accuracy = bootstrap(lambda rows: balanced_accuracy(truth[rows], found[rows]), patients)
    places = []
    for one in looked:
        sick = np.loadtxt(folder / f"{one.slide.slide}.truth") > 0.25
        if sick.any():
            places.append(area_under_curve(sick, one.attention))
    auc = bootstrap(mean_of(np.array(places)), range(len(places)))
    errors = (calibration_error(values, truth) for values in (plain, sure))
    return [str(accuracy), *(f"{error:.3f}" for error in errors), str(auc)]


def make(seed: int, positive: bool, windows: int, file: Path) -> None:
    """Write the vectors of one slide, and the tumour's share in each patch."""
    slide = SyntheticSlide(SlideSpec(seed=7000 + seed, shape=(8192, 8192)))
    generator = np.random.default_rng(seed)
    shares, tissue = survey(slide)
    free = np.argwhere((shares == 0) & (tissue > 0.6))
    sick = np.argwhere((shares > 0.5) & (tissue > 0.6))
    few = min(len(sick), max(1, round(windows * generator.uniform(0.1, 0.3)))) if positive else 0
    chosen = np.concatenate([generator.permutation(sick)[:few], generator.permutation(free)[: windows - few]])
    encoder, table, truth = DescriptorEncoder(), [], []
    for y, x in chosen * WINDOW:
        image = slide.read((y, x), (WINDOW, WINDOW))
        regions = regions_of(slide, y, x, WINDOW, 8)
        for dy in (0, PATCH):
            for dx in (0, PATCH):
                vector = encoder.encode(image[None, dy : dy + PATCH, dx : dx + PATCH])[0]
                table.append([x + dx, y + dy, PATCH, PATCH, *vector])
                part = regions[dy // 8 : (dy + PATCH) // 8, dx // 8 : (dx + PATCH) // 8]
                truth.append((part == TUMOUR).mean())
    names = ["x", "y", "width", "height", *(f"v{i}" for i in range(encoder.width))]
    np.savetxt(file.with_suffix(".truth"), truth)
    draft = file.with_suffix(".part")
    pd.DataFrame(table, columns=names).to_csv(draft, index=False)
    draft.rename(file)


def survey(slide: SyntheticSlide) -> tuple[np.ndarray, np.ndarray]:
    """Return the tumour's and the tissue's share of each window of a slide."""
    rows, columns = slide.shape[0] // WINDOW, slide.shape[1] // WINDOW
    tumour, tissue = np.zeros((rows, columns)), np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            regions = regions_of(slide, i * WINDOW, j * WINDOW, WINDOW, 32)
            tumour[i, j], tissue[i, j] = (regions == TUMOUR).mean(), (regions != 0).mean()
    return tumour, tissue


def regions_of(slide: SyntheticSlide, y: int, x: int, side: int, step: int) -> np.ndarray:
    """Return the region classes of a square, one place every ``step`` px."""
    at = np.arange(step // 2, side, step)
    rows, columns = (y + at) * slide.spec.mpp, (x + at) * slide.spec.mpp
    return slide.layout.at(rows[:, None], columns[None]).regions()


if __name__ == "__main__":
    main()
