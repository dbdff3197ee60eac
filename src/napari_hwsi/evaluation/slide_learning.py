"""The command ``napari-hwsi train slide``: learn a label of whole slides, and say how well and from where."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..metrics import Interval
    from ..training.slide_bags import LabelledSlides
    from ..training.slide_folds import Looked
    from ..training.slide_targets import Target
    from .report import Report

_TARGETS = ("class", "ordinal", "continuous", "survival")
_MODELS = ("mean", "abmil", "clam", "transmil")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "table", type=Path, help="CSV of slide and label (survival: time and event), and patient where known"
    )
    parser.add_argument("--results", type=Path, required=True, help="folder of results, or of features")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder; run again to go on")
    parser.add_argument("--target", choices=_TARGETS, default="class", help="default: %(default)s")
    parser.add_argument("--model", choices=_MODELS, default="abmil", help="default: %(default)s")
    parser.add_argument("--folds", type=int, default=5, help="by patient; default: %(default)s")
    parser.add_argument("--epochs", type=int, default=40, help="at most; default: %(default)s")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate; default: %(default)s")
    parser.add_argument("--batch", type=int, default=4, help="slides in a step; default: %(default)s")
    parser.add_argument(
        "--patches", type=int, default=4096, help="most of a slide in a step; default: %(default)s"
    )
    parser.add_argument("--entropy", type=float, default=0.0, help="weight of the attention's entropy")
    parser.add_argument(
        "--mining", type=float, default=0.0, help="share of the most attended patches to hide, such as 0.05"
    )
    parser.add_argument(
        "--augment", type=float, default=0.0, help="strength of latent augmentation, such as 0.1"
    )
    parser.add_argument("--seed", type=int, default=0)


def train_slide_command(options: argparse.Namespace, progress: Progress | None = None) -> tuple[Report, Path]:
    """Cross-validate, write models, predictions, attention and the report; returns it, and its page.

    Raises what reading and training raise.
    """
    from ..training.slide_bags import read_labelled
    from ..training.slide_fit import Recipe
    from ..training.slide_folds import cross_validate
    from ..training.slide_targets import target_of
    from .report import Report, Table

    recipe = Recipe(
        model=options.model,
        epochs=options.epochs,
        rate=options.rate,
        batch=options.batch,
        patches=options.patches,
        entropy=options.entropy,
        mining=options.mining,
        augment=options.augment,
        seed=options.seed,
    )
    needed = ("time", "event") if options.target == "survival" else ("label",)
    slides = read_labelled(options.table, options.results, needed)
    target = target_of(options.target, [one.values for one in slides.slides])
    looked = cross_validate(slides, target, recipe, options.output, options.folds, progress)
    predictions = _write_predictions(looked, target, options.output)
    for one in looked:
        _write_attention(one, slides, options.output / "attention")
    rows = tuple((name, tuple(values)) for name, values in _scores(looked, target).items())
    metrics = tuple(dict.fromkeys(metric for _, values in rows for metric in dict(values)))
    cells = tuple((name, tuple(dict(values).get(metric) for metric in metrics)) for name, values in rows)
    unknown = sum(not one.patient_known for one in slides.slides)
    warnings = (
        (f"The patient of {unknown} slides is unknown: each counts as one of its own.",) if unknown else ()
    )
    report = Report(
        title=f"{options.model}: {options.target} of {options.table.name}",
        facts={
            "slides": f"{len(slides.slides)}, of {len({one.patient for one in slides.slides})} patients; "
            f"{len(slides.left_out)} rows left out",
            "target": f"{options.target}{': ' if target.classes else ''}{', '.join(target.classes)}",
            "vectors": f"{slides.width} wide, of {slides.encoder or 'an encoder that the files do not name'}",
            "folds": f"{options.folds} by patient; the model that looks at a slide never saw its patient",
            "predictions": str(predictions),
            "attention": str(options.output / "attention"),
        },
        warnings=warnings,
        tables=(Table("Cross-validation", metrics, cells, own=frozenset({"model"})),),
        left_out=tuple(slides.left_out),
        more={"recipe": vars(recipe)},
    )
    page, _ = report.write(options.output)
    return report, page


def _scores(looked: Sequence[Looked], target: Target) -> dict[str, Sequence[tuple[str, Interval | float]]]:
    """Return the scores of the models, and of what knows no slide."""
    import numpy as np

    from ..metrics import (
        area_under_curve,
        balanced_accuracy,
        bootstrap,
        calibration_error,
        concordance,
        quadratic_kappa,
        weighted_f1,
    )

    groups = [one.slide.patient for one in looked]
    rows = [one.slide.values for one in looked]
    if target.classes:
        truth = target.numbers(rows)[:, 0].astype(np.int64)
        sure, plain = (
            np.array([one.probabilities for one in looked]),
            np.array([one.uncalibrated for one in looked]),
        )
        found, count = sure.argmax(1), len(target.classes)
        most = np.full(len(truth), np.bincount(truth).argmax())
        own: list[tuple[str, Interval | float]] = [
            ("balanced accuracy", bootstrap(lambda i: balanced_accuracy(truth[i], found[i]), groups)),
            ("weighted F1", bootstrap(lambda i: weighted_f1(truth[i], found[i]), groups)),
            (
                "AUC, mean of classes",
                bootstrap(
                    lambda i: float(
                        np.mean([area_under_curve(truth[i] == k, sure[i, k]) for k in range(count)])
                    ),
                    groups,
                ),
            ),
        ]
        if target.kind == "ordinal":
            own.append(
                ("quadratic kappa", bootstrap(lambda i: quadratic_kappa(truth[i], found[i], count), groups))
            )
        own += [
            ("ECE", calibration_error(plain, truth)),
            ("ECE, calibrated", calibration_error(sure, truth)),
        ]
        blind = [
            ("balanced accuracy", bootstrap(lambda i: balanced_accuracy(truth[i], most[i]), groups)),
            ("weighted F1", bootstrap(lambda i: weighted_f1(truth[i], most[i]), groups)),
        ]
        return {"model": own, "most frequent class": blind}
    values = np.array([one.value for one in looked])
    if target.kind == "survival":
        times = np.array([float(row["time"]) for row in rows])
        events = target.numbers(rows)[:, 1] == 1
        index = bootstrap(lambda i: concordance(values[i], times[i], events[i]), groups)
        return {"model": [("concordance", index)], "no model": [("concordance", 0.5)]}
    labels = np.array([float(row["label"]) for row in rows])

    def correlated(i: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
        if np.ptp(labels[i]) == 0 or np.ptp(values[i]) == 0:
            return float("nan")
        return float(np.corrcoef(labels[i], values[i])[0, 1])

    error = bootstrap(lambda i: float(np.abs(values[i] - labels[i]).mean()), groups)
    mean = bootstrap(lambda i: float(np.abs(labels[i] - labels.mean()).mean()), groups)
    return {
        "model": [("correlation", bootstrap(correlated, groups)), ("mean error", error)],
        "the mean": [("mean error", mean)],
    }


def _write_predictions(looked: Sequence[Looked], target: Target, folder: Path) -> Path:
    """Write what was found of each slide: fold, truth, class probabilities or value."""
    import pandas as pd

    from ..disk import write_whole

    table = []
    for one in looked:
        row: dict[str, object] = {"slide": one.slide.slide, "patient": one.slide.patient, "fold": one.fold}
        truth = one.slide.values
        row |= {name: truth[name] for name in ("label", "time", "event") if name in truth}
        if target.classes:
            row["predicted"] = target.classes[one.probabilities.index(max(one.probabilities))]
            row |= {f"p_{name}": p for name, p in zip(target.classes, one.probabilities, strict=True)}
        else:
            row["predicted"] = one.value
        table.append(row)
    file = folder / "predictions.csv"
    write_whole(file, pd.DataFrame(table).to_csv(index=False).encode())
    return file


def _write_attention(looked: Looked, slides: LabelledSlides, folder: Path) -> None:
    """Write how much each patch of a slide counted, where it lies.

    ``<slide>.csv`` in the layout csv of features, which opens in napari on the slide; ``<slide>.geojson`` for
    QuPath; where the slide has a result, ``<slide>.ome.zarr``, a picture in µm.
    """
    import numpy as np
    import pandas as pd

    from ..disk import write_whole
    from ..evidence.maps import ScoreMap, write_maps
    from ..hierarchy import open_result

    folder.mkdir(parents=True, exist_ok=True)
    boxes = slides.bag(looked.slide).boxes
    size = boxes[:, 2:] - boxes[:, :2]
    table = pd.DataFrame(
        {
            "x": boxes[:, 1],
            "y": boxes[:, 0],
            "width": size[:, 1],
            "height": size[:, 0],
            "attention": looked.attention,
        }
    )
    name = looked.slide.slide
    write_whole(folder / f"{name}.csv", table.to_csv(index=False).encode())
    whole = np.rint(boxes).astype(np.int64)
    shape, mpp = (int(whole[:, 2].max()), int(whole[:, 3].max())), (1.0, 1.0)
    origin = (0, 0)
    stored = looked.slide.path.name.endswith(".hwsi.zarr")
    if stored:
        facts = open_result(looked.slide.path).slide_facts
        shape, mpp = (facts["shape"][0], facts["shape"][1]), (facts["mpp"][0], facts["mpp"][1])
        origin = facts["bounds"][0], facts["bounds"][1]
    one = ScoreMap("attention", "patch", "slide model", looked.attention, whole, shape, mpp)
    write_maps([one], folder / f"{name}.geojson", origin=origin)
    if stored:
        write_maps([one], folder / f"{name}.ome.zarr")
