"""Ask again with one patch or region left out at a time: which of them does the answer rest on?"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import Cancelled, InputError
from ..evidence import Change, difference
from ..evidence.agreement import choice
from ..evidence.occlusion import Measure, Occlusion, UnitScale, occlusion
from ..hierarchy import Hierarchy
from ..progress import Progress, Step
from ..units import Box
from .answer import Answer, Asked
from .answerers import Answerer, Likelihoods
from .answerers import answerer as answerer_named
from .ask import ask
from .check import asked_of
from .citations import without_citations

MAX_CALLS = 256


def occlude(
    result: Hierarchy,
    question: str,
    box: Sequence[float] | None = None,
    scale: UnitScale = "patch",
    answerer: str = "auto",
    history: Sequence[Answer] | None = None,
    *,
    max_calls: int = MAX_CALLS,
    batch: int = 8,
    progress: Progress | None = None,
) -> Occlusion:
    """Return how much the answer to ``question`` about ``box`` changes without each unit of it.

    The units are the patches with tissue, or the regions, that meet the box; their boxes are cut to it. A
    picture has the unit filled with its mean colour; what is measured does not count there. ``batch`` units
    are asked about at a time. The score is the fall of the answer's log-probability where the answerer
    gives it (for a server: of the first token of an answer that is a choice), else the difference of the
    text. Raises InputError for more units than ``max_calls``, none, or an answerer that cannot leave out a
    part; and what :func:`~napari_hwsi.ask` raises.
    """
    _able(answerer_named(answerer))
    answer = ask(result, question, box, answerer, history, choices=True, progress=progress)
    return occlude_answer(answer, scale, max_calls=max_calls, batch=batch, progress=progress)


def occlude_answer(
    answer: Answer,
    scale: UnitScale = "patch",
    *,
    max_calls: int = MAX_CALLS,
    batch: int = 8,
    progress: Progress | None = None,
) -> Occlusion:
    """Return how much an answer that was given changes without each unit, as :func:`occlude` does.

    For a server, log-probabilities are scored where the answer was asked for with ``choices``. Raises
    InputError as :func:`occlude` does, and for an answer that was read from a file.
    """
    asked = asked_of(answer)
    by = _able(answerer_named(answer.answerer))
    boxes = units_of(answer, scale, max_calls)
    scorer = _Scorer(by, answer, asked, batch, progress)
    scores = occlusion(boxes, scorer, batch=batch, progress=scorer.tell)
    return Occlusion(answer.question, answer.text, scale, boxes, scores, scorer.measure)


def units_of(answer: Answer, scale: UnitScale, max_calls: int = MAX_CALLS) -> NDArray[np.int64]:
    """Return the units that are left out of an answer's image, int64 (N, 4), level-0 px.

    Raises InputError for none, more than ``max_calls``, or an answer that was read from a file.
    """
    boxes = _units(asked_of(answer).result, scale, answer.box)
    if not len(boxes):
        raise InputError(f"No {scale} with tissue is analysed there, so none can be left out.")
    if len(boxes) > max_calls:
        units, bigger = ("patches", ", or regions") if scale == "patch" else ("regions", "")
        raise InputError(
            f"There are {len(boxes)} {units} to leave out, and at most {max_calls} are, a question each. "
            f"Take a smaller part of the slide{bigger}, or allow max_calls={len(boxes)}."
        )
    return boxes


def _able(by: Answerer) -> Answerer:
    """Return an answerer that can leave out a part. Raises InputError for another."""
    if "without" not in by.changes:
        raise InputError(f"{by.name} cannot answer without a part of the image.")
    return by


class _Scorer:
    """Scores a batch of changes, with whatever the answerer has to tell how likely an answer is."""

    def __init__(
        self, by: Answerer, answer: Answer, asked: Asked, batch: int, progress: Progress | None
    ) -> None:
        self._by, self._answer, self._asked, self._progress = by, answer, asked, progress
        self._text = without_citations(answer.text)
        self._threads = batch if by.sees == "picture" else 1  # a server answers several at a time
        self._first = answer.choices[0][0] if answer.choices and choice(self._text) else None
        self._stop = threading.Event()
        self._at: Step | None = None
        self.measure: Measure = "difference"
        self._before = 0.0
        if isinstance(by, Likelihoods):
            self.measure = "log-probability"
            (self._before,) = by.log_probabilities(asked, answer.text, [asked.change], progress=self.tell)
        elif self._first is not None:
            self.measure = "log-probability"
            self._before = _likelihood(answer, self._first)

    def __call__(self, changes: Sequence[Change]) -> Sequence[float]:
        """Return how much the answer changes under each."""
        if isinstance(self._by, Likelihoods):
            now = self._by.log_probabilities(self._asked, self._answer.text, changes, progress=self.tell)
            return [self._before - value for value in now]
        if self._threads == 1:
            return [self._score(change) for change in changes]
        with ThreadPoolExecutor(self._threads) as pool:
            futures = [pool.submit(self._score, change) for change in changes]
            try:
                return [future.result() for future in futures]
            except BaseException:
                self._stop.set()  # the others need not go on
                raise

    def tell(self, step: Step) -> None:
        """Pass on how many units are done; the steps of the single answers are only heard."""
        if self._stop.is_set():
            raise Cancelled("Stopped.")
        if step.what == "occlusion":
            self._at = step
        if self._progress is not None:
            self._progress(self._at or step)

    def _score(self, change: Change) -> float:
        *_, answer = self._by.answer(replace(self._asked, change=change), progress=self.tell)
        assert isinstance(answer, Answer)  # an answerer ends with it
        if self._first is not None:
            return self._before - _likelihood(answer, self._first)
        return difference(self._text, without_citations(answer.text))


def _likelihood(answer: Answer, token: str) -> float:
    """Return the log-probability of a first token; where it is not among those told, the least of these."""
    told = dict(answer.choices)
    if not told:
        raise InputError(f"{answer.answerer} gave no log-probabilities this time, so there is no score.")
    return told.get(token, min(told.values()))


def _units(result: Hierarchy, scale: UnitScale, box: Box) -> NDArray[np.int64]:
    table = result.patches if scale == "patch" else result.regions
    table = table[table["valid"] if scale == "patch" else table["tissue_fraction"] > 0]
    corners = table[["y0", "x0", "y1", "x1"]].to_numpy(np.int64)
    low, high = np.maximum(corners[:, :2], box[:2]), np.minimum(corners[:, 2:], box[2:])
    return np.concatenate([low, high], 1)[(low < high).all(1)]
