"""What the vectors of slides are worth by themselves: probing, zero-shot classes, retrieval.

Beside each score stands what random vectors of the same shape reach in the same way, and the majority.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..encoders import unit
from ..errors import InputError, MissingDependencyError
from ..metrics import (
    Interval,
    Scorer,
    balanced_accuracy,
    bootstrap,
    first_ranks,
    mean_of,
    mean_reciprocal_rank,
    quadratic_kappa,
    recall_at,
    weighted_f1,
)
from ..training.slide_bags import LabelledSlides

Vectors: TypeAlias = NDArray[np.float32]
EncodeText: TypeAlias = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to vectors (M, W), in the space of the patches."""

TOP_PATCHES = 50
"""Patches of a slide that are most like a class and speak for it."""

_CONTROLS = 5
_FOLDS = 5
_TRAIN, _TEST = ("train", "training", "val", "valid", "validation"), ("test", "testing")


@dataclass(frozen=True)
class Outcome:
    """Scores of one way to do a task: of the vectors themselves, of random ones, of the majority."""

    system: str
    scores: dict[str, Interval]
    cases: int


def linear_probe(slides: LabelledSlides, label: str = "label", repeats: int = 1000) -> list[Outcome]:
    """Predict each slide's class from its mean vector by logistic regression.

    Where the table has splits, what is learnt on train is asked of test; else each patient is asked once, in
    folds by patient. Raises InputError for one class only, a class that is not in the training part, a
    patient in both parts; MissingDependencyError without scikit-learn.
    """
    _need_sklearn()
    labels = np.array(slides.values(label))
    groups = np.array([slide.patient for slide in slides.slides])
    folds = _folds(slides, labels, groups)
    vectors = slides.means()
    found: dict[str, NDArray[Any]] = {"vectors": _probe(vectors, labels, folds)}
    for seed in range(_CONTROLS):
        found[f"random vectors {seed}"] = _probe(_noise(vectors.shape, seed), labels, folds)
    majority = labels.copy()
    for rest, asked in folds:
        majority[asked] = Counter(labels[rest].tolist()).most_common(1)[0][0]
    found["majority"] = majority
    asked = np.sort(np.concatenate([part for _, part in folds]))
    return _class_outcomes(labels[asked], {k: v[asked] for k, v in found.items()}, groups[asked], repeats)


def zero_shot(
    slides: LabelledSlides,
    encode_text: EncodeText,
    phrases: Mapping[str, Sequence[str]],
    label: str = "label",
    repeats: int = 1000,
) -> list[Outcome]:
    """Name each slide's class by phrases alone: nothing is learnt.

    phrases: of each class, texts whose unit vectors are averaged. A slide's score for a class is the mean
    cosine of its TOP_PATCHES patches most like it (Lu et al., MI-Zero, CVPR 2023). The control has random
    vectors in place of the texts'. Slides marked as training take no part. Raises InputError for a class
    without a phrase, a phrase the encoder does not know, one class only.
    """
    chosen = [slide for slide in slides.slides if slide.split not in _TRAIN]
    truth = np.array([slide.values[label] for slide in chosen])
    classes = sorted(set(truth.tolist()))
    if len(classes) < 2:
        raise InputError(f"All slides are of the class {classes[0]!r}: there is nothing to tell apart.")
    if missing := [name for name in classes if not phrases.get(name)]:
        raise InputError(f"The class {missing[0]!r} has no phrase. Give it one.")
    words = unit(np.stack([unit(encode_text(list(phrases[name]))).mean(0) for name in classes]))
    _same_space(words, slides)
    texts = {"vectors": words}
    for seed in range(_CONTROLS):
        texts[f"random vectors {seed}"] = unit(_noise(words.shape, seed))
    found: dict[str, list[str]] = {name: [] for name in texts}
    for slide in chosen:
        patches = unit(slides.bag(slide).vectors)
        for name, words in texts.items():
            scores = np.sort(patches @ words.T, 0)[-TOP_PATCHES:].mean(0)
            found[name].append(classes[int(scores.argmax())])
    found["majority"] = [Counter(truth.tolist()).most_common(1)[0][0]] * len(truth)
    groups = [slide.patient for slide in chosen]
    return _class_outcomes(truth, {k: np.array(v) for k, v in found.items()}, groups, repeats)


def few_shot(
    slides: LabelledSlides, shots: Sequence[int], label: str = "label", draws: int = 20, seed: int = 0
) -> list[tuple[str, float, float]]:
    """Name classes by prototypes of a few patients each: the mean of their slides' unit mean vectors.

    The nearest prototype by cosine is taken (Snell et al., NeurIPS 2017). shots: patients of a class that are
    drawn; the slides of all other patients are named. Returns (who, mean, standard deviation) of balanced
    accuracy over ``draws``, for the vectors and for random ones of the same shape. Raises InputError where a
    class has no patient beyond those drawn.
    """
    labels = np.array(slides.values(label))
    groups = np.array([slide.patient for slide in slides.slides])
    classes = sorted(set(labels.tolist()))
    fewest = min(len(set(groups[labels == name])) for name in classes)
    if len(classes) < 2 or max(shots) >= fewest:
        raise InputError(
            f"With {len(classes)} classes, the rarest of {fewest} patients, {max(shots)} a class cannot be "
            "drawn and others be named."
        )
    means = slides.means()
    found = []
    for count in shots:
        for who, vectors in (("vectors", means), ("random vectors", _noise(means.shape, seed))):
            one = unit(vectors)
            scores = []
            for draw in range(draws):
                generator = np.random.default_rng([seed, count, draw])
                own = {name: np.unique(groups[labels == name]) for name in classes}
                drawn = {name: generator.permutation(own[name])[:count] for name in classes}
                used = np.isin(groups, np.concatenate(list(drawn.values())))
                prototypes = np.stack(
                    [one[(labels == name) & np.isin(groups, drawn[name])].mean(0) for name in classes]
                )
                nearest = np.array(classes)[(one[~used] @ unit(prototypes).T).argmax(1)]
                scores.append(balanced_accuracy(labels[~used], nearest))
            found.append((f"{who}, {count} a class", float(np.mean(scores)), float(np.std(scores))))
    return found


def slide_retrieval(slides: LabelledSlides, label: str = "label", repeats: int = 1000) -> list[Outcome]:
    """Find a slide of the same class by the cosine of mean vectors; the same patient's slides do not count.

    Slides whose class no other patient has are left out of the queries. Raises InputError where none is left.
    """
    labels = np.array(slides.values(label))
    groups = np.array([slide.patient for slide in slides.slides])
    relevant = labels[:, None] == labels[None]
    allowed = groups[:, None] != groups[None]
    asked = (relevant & allowed).any(1)
    if not asked.any():
        raise InputError("No slide has another patient's slide of the same class: there is nothing to find.")

    def ranks(vectors: Vectors) -> NDArray[np.int64]:
        one = unit(vectors)
        return first_ranks((one @ one.T)[asked], relevant[asked], allowed[asked])

    vectors = slides.means()
    return _rank_outcomes(ranks, vectors, groups[asked], (1, 5), repeats)


def cross_modal(
    slides: LabelledSlides, encode_text: EncodeText, text: str = "text", repeats: int = 1000
) -> dict[str, list[Outcome]]:
    """Find the report of a slide among all, and the slide of a report, by the cosine of their vectors.

    A slide is the mean of its patches, a report the mean of its sentences' unit vectors. All slides and
    reports of one patient count as right. Raises InputError for a text the encoder does not know, and fewer
    than two patients.
    """
    groups = np.array([slide.patient for slide in slides.slides])
    if len(set(groups)) < 2:
        raise InputError("Reports of one patient alone leave nothing to find.")
    reports = np.stack([unit(encode_text(sentences(report))).mean(0) for report in slides.values(text)])
    _same_space(reports, slides)
    relevant = groups[:, None] == groups[None]
    written = unit(reports)
    vectors = slides.means()
    return {
        "report from slide": _rank_outcomes(
            lambda seen: first_ranks(unit(seen) @ written.T, relevant), vectors, groups, (1, 5, 10), repeats
        ),
        "slide from report": _rank_outcomes(
            lambda seen: first_ranks(written @ unit(seen).T, relevant), vectors, groups, (1, 5, 10), repeats
        ),
    }


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, cut after ., ! and ? before a space, and at line ends."""
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]


def _same_space(texts: NDArray[Any], slides: LabelledSlides) -> None:
    if texts.shape[1] != slides.width:
        raise InputError(
            f"The vectors of texts are {texts.shape[1]} wide, those of patches {slides.width}: they are not "
            "of one encoder."
        )


def _folds(
    slides: LabelledSlides, labels: NDArray[Any], groups: NDArray[Any]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    from sklearn.model_selection import StratifiedGroupKFold

    if len(set(labels)) < 2:
        raise InputError(f"All slides are of the class {str(labels[0])!r}: there is nothing to tell apart.")
    splits = np.array([slide.split for slide in slides.slides])
    if (splits != "").any():
        unknown = sorted({str(split) for split in splits if split not in (*_TRAIN, *_TEST)})
        if unknown:
            raise InputError(
                f"The split {unknown[0]!r} is unknown; known are {', '.join((*_TRAIN, *_TEST))}."
            )
        rest, asked = np.flatnonzero(np.isin(splits, _TRAIN)), np.flatnonzero(np.isin(splits, _TEST))
        if not len(rest) or not len(asked):
            raise InputError("The table's splits leave nothing to learn from, or nothing to ask.")
        if both := sorted(set(groups[rest]) & set(groups[asked])):
            raise InputError(f"{len(both)} patients are in train and in test, such as {both[0]}.")
        if unseen := sorted(set(labels[asked].tolist()) - set(labels[rest].tolist())):
            raise InputError(f"The class {unseen[0]!r} is in test only: nothing of it can be learnt.")
        return [(rest, asked)]
    per_class = [len(set(groups[labels == one])) for one in set(labels)]
    if min(per_class) < 2:
        raise InputError("A class has one patient alone: it cannot be learnt and asked for as well.")
    folds = StratifiedGroupKFold(min(_FOLDS, min(per_class))).split(labels, labels, groups)
    return [(rest, asked) for rest, asked in folds]


def _probe(vectors: Vectors, labels: NDArray[Any], folds: Sequence[tuple[Any, Any]]) -> NDArray[Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = labels.copy()
    for rest, asked in folds:
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        found[asked] = model.fit(vectors[rest], labels[rest]).predict(vectors[asked])
    return found


def _class_outcomes(
    truth: NDArray[Any], found: dict[str, NDArray[Any]], groups: Sequence[str] | NDArray[Any], repeats: int
) -> list[Outcome]:
    """Score predictions; random controls become one, the mean of their scores drawn together."""
    classes = sorted(set(truth.tolist()))
    ordered = all(name.isdigit() for name in classes)
    order = {name: i for i, name in enumerate(sorted(classes, key=int))} if ordered else {}

    def scorers(predicted: NDArray[Any]) -> dict[str, Scorer]:
        made: dict[str, Scorer] = {
            "balanced accuracy": lambda rows: balanced_accuracy(truth[rows], predicted[rows]),
            "weighted F1": lambda rows: weighted_f1(truth[rows], predicted[rows]),
            "accuracy": mean_of(truth == predicted),
        }
        if ordered:
            t = np.array([order[value] for value in truth])
            p = np.array([order[value] for value in predicted])
            made["quadratic kappa"] = lambda rows: quadratic_kappa(t[rows], p[rows], len(classes))
        return made

    return _outcomes({name: scorers(values) for name, values in found.items()}, groups, repeats)


def _rank_outcomes(
    ranks: Callable[[Vectors], NDArray[np.int64]],
    vectors: Vectors,
    groups: Sequence[str] | NDArray[Any],
    ks: Sequence[int],
    repeats: int,
) -> list[Outcome]:
    found = {"vectors": ranks(vectors)}
    for seed in range(_CONTROLS):
        found[f"random vectors {seed}"] = ranks(_noise(vectors.shape, seed))

    def scorers(of: NDArray[np.int64]) -> dict[str, Scorer]:
        def recall(k: int) -> Scorer:
            return lambda rows: recall_at(of[rows], k)

        return {f"R@{k}": recall(k) for k in ks} | {"MRR": lambda rows: mean_reciprocal_rank(of[rows])}

    return _outcomes({name: scorers(values) for name, values in found.items()}, groups, repeats)


def _outcomes(
    systems: dict[str, dict[str, Scorer]],
    groups: Sequence[str] | NDArray[Any],
    repeats: int,
) -> list[Outcome]:
    """Draw intervals; the random controls are scored together, by the mean of their scores."""
    controls = [scorers for name, scorers in systems.items() if name.startswith("random ")]
    shown = {name: scorers for name, scorers in systems.items() if not name.startswith("random ")}

    def together(metric: str) -> Scorer:
        return lambda rows: float(np.mean([one[metric](rows) for one in controls]))

    shown["random vectors"] = {metric: together(metric) for metric in controls[0]}
    return [
        Outcome(
            name,
            {
                metric: bootstrap(score, list(groups), repeats if name == "vectors" else min(repeats, 200))
                for metric, score in scorers.items()
            },
            len(groups),
        )
        for name, scorers in shown.items()
    ]


def _noise(shape: tuple[int, ...], seed: int) -> Vectors:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _need_sklearn() -> None:
    if find_spec("sklearn") is None:
        raise MissingDependencyError(
            "A linear probe needs scikit-learn. Install it: pip install 'napari-hwsi[evaluate]'"
        )
