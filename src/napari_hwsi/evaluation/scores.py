"""From replies to scores, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..metrics import (
    Interval,
    Scorer,
    balanced_accuracy,
    bootstrap,
    box_iou,
    mean_of,
    pointing_hits,
    text_scores,
    weighted_f1,
)
from .cases import Case, Kind, Said, read_reply

NEAR = 0.2
"""A number counts as near within this share of the true one."""

_NOTHING = "no answer in the form asked for"


@dataclass(frozen=True)
class Score:
    """One score of one system on one part of a benchmark.

    part: the task, or 'all'; system: who answered, such as 'answerer' or 'blind: random'; metric: its name;
    cases: how many were scored; wrong_form: how many of these were answered in a wrong format, and are wrong.
    """

    part: str
    kind: Kind
    system: str
    metric: str
    interval: Interval
    cases: int
    wrong_form: int


def score_cases(
    cases: Sequence[Case], said: Mapping[str, Said], part: str, system: str, repeats: int = 1000
) -> list[Score]:
    """Return the scores of cases of one kind; a case that nothing was said to counts as wrong.

    choice: accuracy. yes_no: accuracy, balanced accuracy, weighted F1. number: the share that is exact,
    and near the truth. text: BLEU-1 to 4, ROUGE-L, METEOR. place: the share that hits, and IoU.
    """
    kind = cases[0].kind
    groups = [case.group for case in cases]
    answers = [said.get(case.id, Said("")) for case in cases]
    read = [
        None if not answer.text else read_reply(case, answer.text)
        for case, answer in zip(cases, answers, strict=True)
    ]
    if kind == "place":
        wrong = sum(not answer.places for answer in answers)
        scorers = _place_scorers(cases, answers)
    else:
        wrong = sum(value is None for value in read)
        scorers = {"number": _number_scorers, "text": _text_scorers}.get(kind, _class_scorers)(cases, read)
    return [
        Score(part, kind, system, metric, bootstrap(scorer, groups, repeats), len(cases), wrong)
        for metric, scorer in scorers.items()
    ]


def right_cases(cases: Sequence[Case], said: Mapping[str, Said]) -> NDArray[np.bool_]:
    """Return which cases of a choice or of yes and no are answered rightly, bool (N,)."""
    return np.array(
        [case.id in said and read_reply(case, said[case.id].text) == case.answer for case in cases], bool
    )


def agreement(cases: Sequence[Case], one: Mapping[str, Said], other: Mapping[str, Said]) -> float:
    """Return how far two sets of replies agree, 0 to 1: the share of equal ones, of texts the mean ROUGE-L.

    Only cases that both reply to are compared; NaN where there is none.
    """
    both = [case for case in cases if case.id in one and case.id in other]
    if not both:
        return float("nan")
    if both[0].kind == "text":
        pairs = [(one[case.id].text, other[case.id].text) for case in both]
        pairs = [(a, b) for a, b in pairs if b.strip()]
        return (
            float(text_scores(*map(list, zip(*pairs, strict=True))).rouge_l.mean()) if pairs else float("nan")
        )
    if both[0].kind == "place":
        return float(
            np.mean(
                [
                    bool(one[case.id].places and other[case.id].places)
                    and box_iou(one[case.id].places[0], other[case.id].places[0])[0, 0] > 0
                    for case in both
                ]
            )
        )
    same = [
        (read_reply(case, one[case.id].text) or one[case.id].text)
        == (read_reply(case, other[case.id].text) or other[case.id].text)
        for case in both
    ]
    return float(np.mean(same))


def _class_scorers(cases: Sequence[Case], read: Sequence[str | None]) -> dict[str, Scorer]:
    truth = np.array([case.answer for case in cases], object)
    found = np.array([_NOTHING if value is None else value for value in read], object)
    scorers: dict[str, Scorer] = {"accuracy": mean_of(truth == found)}
    if cases[0].kind == "yes_no":
        scorers["balanced accuracy"] = lambda rows: balanced_accuracy(truth[rows], found[rows])
        scorers["weighted F1"] = lambda rows: weighted_f1(truth[rows], found[rows])
    return scorers


def _number_scorers(cases: Sequence[Case], read: Sequence[str | None]) -> dict[str, Scorer]:
    truth = np.array([float(case.answer) for case in cases])
    found = np.array([np.nan if value is None else float(value) for value in read])
    off = np.abs(found - truth)
    return {
        "exact": mean_of(off == 0),
        f"within {NEAR:.0%}": mean_of(off <= NEAR * np.abs(truth)),
    }


def _text_scorers(cases: Sequence[Case], read: Sequence[str | None]) -> dict[str, Scorer]:
    scores = text_scores([value or "" for value in read], [case.answer for case in cases])
    scorers: dict[str, Scorer] = {f"BLEU-{n}": partial(scores.bleu, n) for n in range(1, 5)}
    return scorers | {"ROUGE-L": mean_of(scores.rouge_l), scores.meteor_form: mean_of(scores.meteor)}


def _place_scorers(cases: Sequence[Case], answers: Sequence[Said]) -> dict[str, Scorer]:
    hits, overlap = np.zeros(len(cases)), np.zeros(len(cases))
    for i, (case, answer) in enumerate(zip(cases, answers, strict=True)):
        if answer.places:  # the first place is the one meant
            hits[i] = pointing_hits(answer.places[0], case.places)[0]
            overlap[i] = box_iou(answer.places[0], case.places).max()
    return {"pointing hits": mean_of(hits), "IoU": mean_of(overlap)}
