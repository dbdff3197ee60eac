"""Cross-validation by patient: each slide is looked at by a model that never saw its patient."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..disk import write_whole
from ..errors import InputError, StoreError
from ..progress import Progress, tell
from .slide_bags import LabelledSlide, LabelledSlides
from .slide_fit import Recipe, SlideModel, fit
from .slide_targets import Target, target_of

_SETTINGS, _DONE = "settings.json", "split.json"


@dataclass(frozen=True)
class Looked:
    """What the model of a fold makes of a slide it was not trained on.

    output: (K,) floats before calibration; probabilities: of each class, calibrated, () where there are
    none; value: number or risk, NaN for classes; attention: float32 (N,) of the slide's patches.
    """

    slide: LabelledSlide
    fold: int
    output: tuple[float, ...]
    probabilities: tuple[float, ...]
    uncalibrated: tuple[float, ...]
    value: float
    attention: NDArray[np.float32]


def cross_validate(
    slides: LabelledSlides,
    target: Target,
    recipe: Recipe,
    folder: str | Path,
    folds: int = 5,
    progress: Progress | None = None,
) -> list[Looked]:
    """Train one model a fold, and let it look at the slides of the patients that were left out.

    folder: gets ``fold0``, … with the model, its curve and which slides it saw, each fold whole or not at
    all; run again after a kill, finished folds are read. Of the patients a model may see, one part in
    ``folds`` is kept for stopping and calibration; what scales a number or survival comes from the rest.
    Raises InputError for too few patients, StoreError where the folder holds another run, and what
    :func:`fit` raises.
    """
    place = Path(folder)
    groups = [slide.patient for slide in slides.slides]
    strata = [slide.values.get("label", slide.values.get("event", "")) for slide in slides.slides]
    if target.kind == "continuous":
        strata = ["" for _ in strata]
    assigned = patient_folds(groups, strata, folds, recipe.seed)
    _claim(place, slides, target, recipe, folds)
    looked: list[Looked] = []
    for fold in range(folds):
        tell(progress, fold, folds, "folds")
        asked = [i for i, its in enumerate(assigned) if its == fold]
        own_folder = place / f"fold{fold}"
        if not (own_folder / _DONE).exists():
            seen = [i for i, its in enumerate(assigned) if its != fold]
            inner = patient_folds(
                [groups[i] for i in seen], [strata[i] for i in seen], folds, recipe.seed + 1
            )
            train = [slides.slides[i] for i, part in zip(seen, inner, strict=True) if part]
            held = [slides.slides[i] for i, part in zip(seen, inner, strict=True) if not part]
            own = target if target.classes else target_of(target.kind, [one.values for one in train])
            model, curve = fit(slides, train, held, own, recipe, progress)
            model.save(own_folder)
            _write_curve(own_folder / "curve.csv", curve)
            facts = {"train": [one.slide for one in train], "validation": [one.slide for one in held]}
            write_whole(own_folder / _DONE, json.dumps(facts, indent=2).encode())
        model = SlideModel.load(own_folder)
        looked += [look_at(model, slides, slides.slides[i], fold) for i in asked]
    return looked


def look_at(model: SlideModel, slides: LabelledSlides, slide: LabelledSlide, fold: int) -> Looked:
    """Return what a model makes of a slide."""
    output, attention = model.look(slides.bag(slide))
    classes = bool(model.target.classes)
    calibrated = model.target.probabilities(output, model.temperature)[0].tolist() if classes else ()
    plain = model.target.probabilities(output)[0].tolist() if classes else ()
    value = float("nan") if classes else float(model.target.value(output)[0])
    return Looked(slide, fold, tuple(output[0].tolist()), tuple(calibrated), tuple(plain), value, attention)


def patient_folds(groups: Sequence[str], strata: Sequence[str], folds: int, seed: int) -> list[int]:
    """Return the fold of each slide: whole patients, each stratum spread evenly, drawn by the seed.

    strata: what is to be spread, such as the class; a patient counts by that of its first slide. Raises
    InputError for fewer patients than folds, in all or of a stratum that is a class.
    """
    if folds < 2:
        raise InputError("Cross-validation needs at least two folds.")
    first = dict(reversed(list(zip(groups, strata, strict=True))))
    if len(first) < folds:
        raise InputError(f"{len(first)} patients cannot be split into {folds} folds.")
    fold_of: dict[str, int] = {}
    at = 0
    for stratum in sorted(set(first.values())):
        own = [group for group, other in first.items() if other == stratum]
        if stratum and len(own) < 2:
            raise InputError(
                f"Only one patient has {stratum!r}: it cannot be learnt and asked for as well. Leave it out."
            )
        own.sort(key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest())
        for group in own:
            fold_of[group] = at % folds
            at += 1
    return [fold_of[group] for group in groups]


def _claim(place: Path, slides: LabelledSlides, target: Target, recipe: Recipe, folds: int) -> None:
    """Note in the folder what is being trained; refuse one that holds something else."""
    rows = [(one.slide, one.patient, sorted(one.values.items())) for one in slides.slides]
    settings = {
        "target": asdict(target),
        "recipe": asdict(recipe),
        "folds": folds,
        "slides": hashlib.sha256(repr(rows).encode()).hexdigest()[:16],
    }
    settings = json.loads(json.dumps(settings))
    file = place / _SETTINGS
    try:
        place.mkdir(parents=True, exist_ok=True)
        if file.exists():
            if json.loads(file.read_text("utf-8")) != settings:
                raise StoreError(f"{place} holds another training. Choose another folder for this one.")
        else:
            write_whole(file, json.dumps(settings, indent=2).encode())
    except (OSError, ValueError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{place} cannot be used: {error}.") from error


def _write_curve(file: Path, curve: Sequence[dict[str, float]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(curve[0]))
    writer.writeheader()
    writer.writerows(curve)
    write_whole(file, text.getvalue().encode())
