"""Blind baselines: what can be answered without ever seeing a slide.

Whatever learns here learns from other patients' questions of the same benchmark, in folds by patient, so
that it knows what a careful reader of a test file's training part would know, and no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingDependencyError
from .cases import LETTERS, Benchmark, Case, Kind, Said

Replies: TypeAlias = dict[str, Said]
"""What is said to each case, by its id."""

Texts: TypeAlias = dict[str, str]

Learner: TypeAlias = Callable[[Sequence[Case], Sequence[Case], int], Texts]
"""From the cases of other patients and those to answer, all of one kind, and a seed, to texts by case id."""

_FOLDS = 5


@dataclass(frozen=True)
class Baseline:
    """A way to answer without a slide: its name, the kinds of questions it answers, how it does."""

    name: str
    what: str
    kinds: tuple[Kind, ...]
    answer: Learner


def blind_replies(benchmark: Benchmark, seed: int = 0) -> dict[str, Replies]:
    """Return what each of BASELINES replies to the cases it can answer.

    Folds are by patient, or by slide where a patient is unknown; with one patient alone nothing can be
    learnt, and those that learn reply nothing. Raises MissingDependencyError without scikit-learn.
    """
    if find_spec("sklearn") is None:
        raise MissingDependencyError(
            "Blind baselines need scikit-learn. Install it: pip install 'napari-hwsi[evaluate]'"
        )
    replies: dict[str, Replies] = {}
    for baseline in BASELINES:
        answered: Replies = {}
        for kind in baseline.kinds:
            cases = [case for case in benchmark.cases if case.kind == kind]
            for rest, asked in _folds(cases):
                texts = baseline.answer(rest, asked, seed)
                answered |= {case: Said(text) for case, text in texts.items()}
        if answered:
            replies[baseline.name] = answered
    if placed := _random_places(benchmark.cases, seed):
        replies["random"] = replies.get("random", {}) | placed
    return replies


def _folds(cases: Sequence[Case]) -> list[tuple[list[Case], list[Case]]]:
    """Return (cases of other patients, cases to answer), each case to be answered once.

    The cases of one patient alone are answered with nothing to learn from.
    """
    from sklearn.model_selection import GroupKFold

    groups = [case.group for case in cases]
    count = min(_FOLDS, len(set(groups)))
    if count < 2:
        return [([], list(cases))] if cases else []
    splits = GroupKFold(count).split(np.zeros(len(cases)), groups=groups)
    return [([cases[i] for i in rest], [cases[i] for i in asked]) for rest, asked in splits]


def _random(rest: Sequence[Case], asked: Sequence[Case], seed: int) -> Texts:
    """Guess: any option, yes or no by a coin, another patient's number or text."""
    generator = np.random.default_rng(seed)
    replies: Texts = {}
    for case in asked:
        if case.kind == "choice":
            replies[case.id] = LETTERS[generator.integers(len(case.options))]
        elif case.kind == "yes_no":
            replies[case.id] = ("yes", "no")[generator.integers(2)]
        elif same := _same_task(rest, case):
            replies[case.id] = same[int(generator.integers(len(same)))].answer
    return replies


def _majority(rest: Sequence[Case], asked: Sequence[Case], _: int) -> Texts:
    """Give the most frequent answer of the task: a letter, yes or no, the median number."""
    replies: Texts = {}
    for case in asked if rest else ():
        answers = [other.answer for other in _same_task(rest, case)]
        if case.kind == "number":
            replies[case.id] = f"{np.median([float(answer) for answer in answers]):g}"
            continue
        possible = LETTERS[: len(case.options)] if case.kind == "choice" else ("no", "yes")
        counts = Counter(answer for answer in answers if answer in possible)
        replies[case.id] = max(possible, key=lambda answer: counts[answer])
    return replies


def _longest(_: Sequence[Case], asked: Sequence[Case], seed: int) -> Texts:
    """Take the longest option."""
    return {case.id: LETTERS[int(np.argmax([len(text) for text in case.options]))] for case in asked}


def _typical(rest: Sequence[Case], asked: Sequence[Case], _: int) -> Texts:
    """Give the answer of the task that is nearest to the mean of all in TF-IDF."""
    if not rest:
        return {}
    chosen: Texts = {}
    for task in {case.task for case in asked}:
        answers = [other.answer for other in rest if other.task == task] or [other.answer for other in rest]
        vectors = _tfidf().fit_transform(answers)
        centre = np.asarray(vectors.mean(0)).ravel()
        chosen[task] = answers[int(np.argmax(vectors @ centre))]
    return {case.id: chosen[case.task] for case in asked}


def _nearest(rest: Sequence[Case], asked: Sequence[Case], _: int) -> Texts:
    """Answer as the most similar question of another patient was answered (TF-IDF, cosine).

    For a choice, the option most similar to that question's answer is taken; where none shares a word
    with it, its letter.
    """
    if not rest:
        return {}
    texts = [case.full_question for case in rest]
    words = _tfidf()
    known = words.fit_transform(texts)
    nearest = _rows_of_most(words.transform([case.full_question for case in asked]), known)
    replies: Texts = {}
    for case, row in zip(asked, nearest, strict=True):
        found = rest[row]
        replies[case.id] = _option_like(found, case) if case.kind == "choice" else found.answer
    return replies


def _option_like(found: Case, case: Case) -> str:
    text = found.options[LETTERS.index(found.answer)]
    if text in case.options:
        return LETTERS[case.options.index(text)]
    words = set(text.casefold().split())
    shared = []
    for option in case.options:
        own = set(option.casefold().split())
        shared.append(len(words & own) / max(1, len(words | own)))
    if max(shared) > 0:
        return LETTERS[int(np.argmax(shared))]
    return found.answer if found.answer in LETTERS[: len(case.options)] else LETTERS[0]


def _logistic(rest: Sequence[Case], asked: Sequence[Case], _: int) -> Texts:
    """Learn from question and options which is right, by logistic regression on TF-IDF.

    For a choice each option is judged by its words, its place, its length beside the others, and how much
    of it stands in the question; the likeliest is taken. Yes or no is judged by the question's words.
    """
    if not rest:
        return {}
    if asked[0].kind == "choice":
        return _judge_options(rest, asked)
    answers = [case.answer for case in rest]
    if len(set(answers)) < 2:
        return {case.id: answers[0] for case in asked}
    texts = [case.question for case in rest]
    words = _tfidf()
    model = _regression().fit(words.fit_transform(texts), answers)
    found = model.predict(words.transform([case.question for case in asked]))
    return {case.id: str(answer) for case, answer in zip(asked, found, strict=True)}


def _random_places(cases: Sequence[Case], seed: int) -> Replies:
    """Point at random: a box of the size of the first true one, anywhere in the part that is asked about.

    Hits then come as often as the true places have area; where no part is stated there is no guess.
    """
    generator = np.random.default_rng(seed)
    replies: Replies = {}
    for case in cases:
        if case.kind == "place" and case.box is not None:
            first, room = np.array(case.places[0]), np.array(case.box)
            size = np.minimum(first[2:] - first[:2], room[2:] - room[:2])
            # The centre, which is what points, may lie anywhere.
            corner = (generator.uniform(room[:2], room[2:]) - size / 2).astype(int)
            y, x, height, width = (int(value) for value in (*corner, *size))
            replies[case.id] = Said("", ((y, x, y + height, x + width),))
    return replies


def _judge_options(rest: Sequence[Case], asked: Sequence[Case]) -> Texts:
    from scipy.sparse import csr_matrix, hstack

    texts = [option for case in rest for option in case.options]
    words = _tfidf()

    def described(cases: Sequence[Case]) -> Any:
        options = [option for case in cases for option in case.options]
        return hstack([words.transform(options), csr_matrix(np.concatenate(list(map(_form_of, cases))))])

    words.fit(texts)
    right = np.concatenate([np.arange(len(case.options)) == LETTERS.index(case.answer) for case in rest])
    model = _regression().fit(described(rest), right)
    scores = model.decision_function(described(asked))
    replies: Texts = {}
    first = 0
    for case in asked:
        own = scores[first : first + len(case.options)]
        replies[case.id] = LETTERS[int(np.argmax(own))]
        first += len(case.options)
    return replies


def _form_of(case: Case) -> NDArray[np.float64]:
    """Return what the form of each option says, (options, 11): place, length among all, words shared."""
    count = len(case.options)
    place = np.eye(8)[np.minimum(np.arange(count), 7)]
    length = np.array([len(option) for option in case.options], float)
    question = set(case.question.casefold().split())
    own = [set(option.casefold().split()) for option in case.options]
    shared = np.array([len(words & question) / max(1, len(words)) for words in own])
    others = np.array([np.mean([len(a & b) for b in own]) / max(1, len(a)) for a in own])
    return np.column_stack([place, length / max(1.0, length.mean()) - 1, shared, others])


def _regression() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000, C=1.0)


def _tfidf() -> Any:
    """Return the field's TF-IDF of words and pairs of words, for texts that may hold no word at all."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\S+")


def _rows_of_most(asked: Any, known: Any, at_once: int = 512) -> list[int]:
    """Return, for each asked row, the known row with the greatest product."""
    rows: list[int] = []
    for first in range(0, asked.shape[0], at_once):
        product = (asked[first : first + at_once] @ known.T).toarray()
        rows += product.argmax(1).tolist()
    return rows


def _same_task(rest: Sequence[Case], case: Case) -> Sequence[Case]:
    return [other for other in rest if other.task == case.task] or rest


BASELINES = (
    Baseline("random", "a guess", ("choice", "yes_no", "number", "text"), _random),
    Baseline("most frequent", "the task's most frequent answer", ("choice", "yes_no", "number"), _majority),
    Baseline("longest option", "the longest option", ("choice",), _longest),
    Baseline("typical text", "the task's most typical text", ("text",), _typical),
    Baseline(
        "nearest question",
        "as the nearest question was answered",
        ("choice", "yes_no", "number", "text"),
        _nearest,
    ),
    Baseline("logistic", "logistic regression on question and options", ("choice", "yes_no"), _logistic),
)
"""Every blind baseline; which of them apply depends on the kind of a question."""
