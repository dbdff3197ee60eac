"""Scores of classes, rankings, texts, places and survival, against worked examples and other libraries."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hwsi.errors import InputError
from napari_hwsi.metrics import (
    METEOR_WITHOUT_WORDNET,
    area_under_curve,
    balanced_accuracy,
    bootstrap,
    box_iou,
    calibration_error,
    concordance,
    first_ranks,
    mean_reciprocal_rank,
    pointing_hits,
    quadratic_kappa,
    recall_at,
    text_scores,
    weighted_f1,
)


def test_scores_of_classes_are_those_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 4, 200)
    predicted = np.where(generator.random(200) < 0.6, truth, generator.integers(0, 6, 200))  # 4, 5: no class
    recall = sklearn.recall_score(truth, predicted, average="macro", labels=np.arange(4), zero_division=0)
    assert balanced_accuracy(truth, predicted) == pytest.approx(recall)
    f1 = sklearn.f1_score(truth, predicted, average="weighted", zero_division=0)
    assert weighted_f1(truth, predicted) == pytest.approx(f1)
    predicted %= 4
    kappa = sklearn.cohen_kappa_score(truth, predicted, weights="quadratic")
    assert quadratic_kappa(truth, predicted, 4) == pytest.approx(kappa)
    score = np.round(generator.random(200) + (truth == 1) * 0.3, 1)
    assert area_under_curve(truth == 1, score) == pytest.approx(sklearn.roc_auc_score(truth == 1, score))
    assert np.isnan(quadratic_kappa([1, 1], [1, 1], 3))
    with pytest.raises(InputError, match="0 to 2"):
        quadratic_kappa([0, 3], [0, 1], 3)


def test_calibration_error_by_hand() -> None:
    # Two at 0.95 of which one is right (gap 0.9 in sum), two at 0.65 both right (gap 0.7): 1.6 / 4.
    probabilities = [[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.65, 0.35]]
    assert calibration_error(probabilities, [0, 1, 0, 0]) == pytest.approx((0.9 + 0.7) / 4)


def test_bleu_of_papineni_rouge_l_of_lin_meteor_of_banerjee() -> None:
    pytest.importorskip("sacrebleu")
    # Papineni et al. 2002, section 2.1: clipped unigram precision 2/7, lengths equal.
    the = text_scores(["the the the the the the the"], ["The cat is on the mat."])
    assert the.bleu(1) == pytest.approx(2 / 7)
    assert the.bleu(4) == 0
    # Lin 2004, section 3.1: police killed the gunman.
    killed = "police killed the gunman"
    lin = text_scores(["police kill the gunman", "the gunman kill police"], [killed, killed])
    assert lin.rouge_l == pytest.approx([3 / 4, 2 / 4])
    # Banerjee & Lavie 2005, section 2: two chunks, "the president" and "spoke to the audience".
    meteor = text_scores(
        ["the president then spoke to the audience"], ["the president spoke to the audience"]
    )
    precision, recall = 6 / 7, 6 / 6
    mean = 10 * precision * recall / (recall + 9 * precision)
    assert meteor.meteor[0] == pytest.approx(mean * (1 - 0.5 * (2 / 6) ** 3))
    if meteor.meteor_form == METEOR_WITHOUT_WORDNET:
        stems = text_scores(["nuclei enlarged", "nuclei big"], ["nuclei enlarging", "nuclei large"])
        assert stems.meteor[0] > 0.9 > stems.meteor[1] > 0


def test_bleu_of_a_corpus_is_that_of_its_sums_and_empty_answers_score_nothing() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    generated = ["Sheets of atypical cells with necrosis.", "", "A benign gland with a thin wall"]
    references = ["Sheets of atypical squamous cells.", "A cyst.", "A benign gland with a thick wall."]
    scores = text_scores(generated, references)
    whole = sacrebleu.corpus_bleu(generated, [references], lowercase=True, smooth_method="none")
    assert scores.bleu() == pytest.approx(whole.score / 100)
    assert scores.rouge_l[1] == scores.meteor[1] == 0
    assert scores.bleu(4, np.array([1, 1])) == 0
    with pytest.raises(InputError, match="Reference 0 is empty"):
        text_scores(["a"], [" "])


def test_ranks_count_ties_against_and_leave_out_what_may_not_be_found() -> None:
    similarity = np.array([[0.9, 0.8, 0.7], [0.5, 0.5, 0.5]])
    relevant = np.array([[False, True, True], [True, False, False]])
    assert first_ranks(similarity, relevant).tolist() == [2, 3]
    allowed = np.array([[False, True, True], [True, True, False]])
    ranks = first_ranks(similarity, relevant, allowed)
    assert ranks.tolist() == [1, 2]
    assert (recall_at(ranks, 1), mean_reciprocal_rank(ranks)) == (0.5, 0.75)
    with pytest.raises(InputError, match="1 queries"):
        first_ranks(similarity, relevant, ~relevant | np.array([[True], [False]]))


def test_places_and_survival_by_hand() -> None:
    assert pointing_hits([[0, 0, 4, 4], [8, 8, 10, 10]], [[1, 1, 3, 3], [20, 20, 30, 30]]).tolist() == [
        True,
        False,
    ]
    assert box_iou([0, 0, 2, 2], [[1, 1, 3, 3], [5, 5, 6, 6]]).tolist() == [[1 / 7, 0]]
    # Pairs whose earlier time is an event: (0,1) (0,2) (0,3) (2,3); risk agrees, disagrees, ties, agrees.
    assert concordance([2, 1, 3, 2], [1, 2, 3, 4], [True, False, True, False]) == (1 + 0 + 0.5 + 1) / 4
    assert np.isnan(concordance([1, 2], [1, 2], [False, True]))


def test_an_interval_drawn_by_patient_is_wider_than_by_case() -> None:
    generator = np.random.default_rng(0)
    per_patient = generator.random(30)
    values = np.repeat(per_patient, 20)
    patients = np.repeat(np.arange(30), 20)

    def mean(rows: np.ndarray) -> float:
        return float(values[rows].mean())

    by_patient, by_case = bootstrap(mean, patients), bootstrap(mean, range(600))
    assert by_patient.score == by_case.score == pytest.approx(values.mean())
    assert by_patient.high - by_patient.low > 3 * (by_case.high - by_case.low)
    expected = 2 * 1.96 * per_patient.std() / 30**0.5
    assert by_patient.high - by_patient.low == pytest.approx(expected, rel=0.15)
    assert (by_patient.groups, by_case.groups, by_patient.repeats) == (30, 600, 1000)
