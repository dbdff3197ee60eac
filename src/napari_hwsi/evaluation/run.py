"""Ask an answerer the questions of a benchmark, and set its scores beside what blind guessing reaches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .. import __version__
from ..errors import Cancelled, EndpointError, HwsiError
from ..progress import Progress, tell
from ..rows import LeftOut
from .baselines import Replies, blind_replies
from .cases import Benchmark, Case, Said
from .contamination import Contamination, contamination
from .journal import Answered, Journal
from .scores import Score, agreement, right_cases, score_cases

Answering: TypeAlias = Callable[[Case, str], Said]
"""Answers a case under a change of the image: one of CHANGES."""

CHANGES = {
    "unchanged": "the image",
    "nothing": "no image",
    "elsewhere": "another patient's slide",
    "shuffled": "its pieces shuffled",
}
"""What the image is replaced by, in words; the names are those of :class:`~napari_hwsi.evidence.Change`."""

_IN_A_ROW = 3
"""Failures of a server, one after the other, after which it is not asked again."""


@dataclass(frozen=True)
class Dependent:
    """Whether the answers of a part depend on the image.

    change: what was done to it; agreement: how far the answers agree with those to the image, 0 to 1; score:
    that of the answers under the change, by the metric of the first score of the part.
    """

    part: str
    change: str
    agreement: float
    cases: int


@dataclass(frozen=True)
class Evaluation:
    """All that came out of asking one answerer the questions of one benchmark.

    answerer: its name, None where only the blind baselines were asked; settings: what was asked and how;
    failed: cases without an answer, and why; seconds and calls: what it took, over all runs; not_tried:
    changes of the image that the answerer cannot do.
    """

    benchmark: Benchmark
    answerer: str | None
    settings: dict[str, Any]
    scores: tuple[Score, ...]
    dependence: tuple[Dependent, ...]
    contamination: tuple[Contamination, ...]
    failed: tuple[LeftOut, ...]
    not_tried: tuple[str, ...]
    calls: int
    seconds: float
    characters: int
    warnings: tuple[str, ...]


def evaluate(
    benchmark: Benchmark,
    folder: str | Path,
    answering: Answering | None = None,
    name: str | None = None,
    *,
    changes: Sequence[str] = tuple(CHANGES),
    training: Sequence[str | Path] = (),
    settings: dict[str, Any] | None = None,
    repeats: int = 1000,
    progress: Progress | None = None,
) -> Evaluation:
    """Ask every case under every change, score, and compare with the blind baselines.

    folder: where answers are kept as they come; run again after a kill, only what is missing is asked.
    answering: who answers, None for the blind baselines alone; name: what it is called; changes: those of
    CHANGES that mean something to it; training: files it was trained on, to look for the test in; settings:
    more that must be the same for a run to go on; repeats: of the bootstrap. A case that fails is recorded
    with its reason, scored as wrong, and asked again by the next run.

    Raises StoreError and StoreBusyError for the folder, EndpointError after three failures of a server in
    a row, MissingDependencyError, Cancelled; what was answered is kept.
    """
    known = {"benchmark": benchmark.digest, "answerer": name, **(settings or {})}
    journal = Journal(Path(folder), known)
    failed: list[LeftOut] = []
    if answering is not None:
        with journal.held():
            _ask_all(benchmark, answering, changes, journal, failed, progress)
    said = {
        change: {case: one.said for (case, under), one in journal.answers.items() if under == change}
        for change in CHANGES
    }
    blind = blind_replies(benchmark)
    systems: dict[str, dict[str, Said]] = {}
    if answering is not None:
        systems |= {
            "answerer" if change == "unchanged" else f"answerer, {CHANGES[change]}": said[change]
            for change in CHANGES
            if change == "unchanged" or said[change]
        }
    for way, guessed in blind.items():
        systems[f"blind: {way}"] = guessed
    scores: list[Score] = []
    dependence: list[Dependent] = []
    parts = parts_of(benchmark)
    for done, (part, cases) in enumerate(parts):
        tell(progress, done, len(parts), "scores")
        for system, replies in systems.items():
            answered = [case for case in cases if case.id in replies]
            if answered or system == "answerer":
                scores += score_cases(cases, replies, part, system, repeats)
        for change in CHANGES:
            both = [case for case in cases if case.id in said["unchanged"] and case.id in said[change]]
            if change != "unchanged" and both:
                alike = agreement(both, said["unchanged"], said[change])
                dependence.append(Dependent(part, change, alike, len(both)))
    seen = tuple(contamination(benchmark.cases, path) for path in training)
    not_tried = tuple(
        CHANGES[change] for change in CHANGES if answering is not None and change not in changes
    )
    return Evaluation(
        benchmark=benchmark,
        answerer=name,
        settings=known | {"version": __version__},
        scores=tuple(scores),
        dependence=tuple(dependence),
        contamination=seen,
        failed=tuple(failed),
        not_tried=not_tried,
        calls=len(journal.answers),
        seconds=sum(one.seconds for one in journal.answers.values()),
        characters=sum(len(one.said.text) for one in journal.answers.values()),
        warnings=tuple(_warnings(benchmark, scores, dependence, seen, said["unchanged"], blind)),
    )


def parts_of(benchmark: Benchmark) -> list[tuple[str, list[Case]]]:
    """Return the parts that are scored: each task, by kind, and all of a kind where several tasks have it."""
    parts: dict[tuple[str, str], list[Case]] = {}
    whole: dict[str, list[Case]] = {}
    for case in benchmark.cases:
        parts.setdefault((case.task, case.kind), []).append(case)
        whole.setdefault(case.kind, []).append(case)
    several = {task for task, kind in parts if sum(other == task for other, _ in parts) > 1}
    listed = [
        (f"{task} ({kind})" if task in several else task, cases) for (task, kind), cases in parts.items()
    ]
    for kind, cases in whole.items():
        if sum(other == kind for _, other in parts) > 1:
            listed.append((f"all of kind {kind}", cases))
    return listed


def _ask_all(
    benchmark: Benchmark,
    answering: Answering,
    changes: Sequence[str],
    journal: Journal,
    failed: list[LeftOut],
    progress: Progress | None,
) -> None:
    """Ask what is missing, slide by slide as the file has them, under one change after the other."""
    wanted = [
        (number, case, change)
        for change in changes
        for number, case in enumerate(benchmark.cases, 1)
        if (case.id, change) not in journal.answers
    ]
    in_a_row = 0
    for done, (number, case, change) in enumerate(wanted):
        tell(progress, done, len(wanted), "questions")
        start = time.monotonic()
        try:
            said = answering(case, change)
        except Cancelled:
            raise
        except HwsiError as error:
            in_a_row = in_a_row + 1 if isinstance(error, EndpointError) else 0
            if in_a_row == _IN_A_ROW:
                raise
            failed.append(LeftOut(case.id, number, f"{CHANGES[change]}: {error}"))
        else:
            in_a_row = 0
            journal.keep(Answered(case.id, change, said, time.monotonic() - start))


def _warnings(
    benchmark: Benchmark,
    scores: Sequence[Score],
    dependence: Sequence[Dependent],
    seen: Sequence[Contamination],
    said: dict[str, Said],
    blind: dict[str, Replies],
) -> list[str]:
    """Say what a reader of the scores must know."""
    warnings = []
    if not benchmark.verified:
        warnings.append(
            f"The reader of {benchmark.form} was never run on a published file: check the cases it found."
        )
    if not benchmark.patients_known:
        warnings.append(
            "Patients are not known for all cases: there, slides are drawn and kept apart instead."
        )
    for part, cases in parts_of(benchmark):
        warnings += _against_blind(part, cases, scores, said, blind)
    for item in dependence:
        same = "mean ROUGE-L" if np.isfinite(item.agreement) and _is_text(scores, item.part) else "the same"
        if item.change in ("nothing", "elsewhere") and item.agreement >= 0.9:
            warnings.append(
                f"{item.part}: answers hardly depend on the image: with {CHANGES[item.change]} they are "
                f"{item.agreement:.0%} {same}."
            )
    warnings += [
        f"{item.file} holds the slides of {item.slide} and the patients of {item.patient} of {item.cases} "
        f"test cases ({item.same_question} with the same question): scores on these say little."
        for item in seen
        if not item.clean
    ]
    return warnings


def _against_blind(
    part: str,
    cases: Sequence[Case],
    scores: Sequence[Score],
    said: dict[str, Said],
    blind: dict[str, Replies],
) -> list[str]:
    own = [score for score in scores if score.part == part and score.system == "answerer"]
    if not own:
        return []
    # The score that the field reports of each kind: of a text ROUGE-L, else the first.
    main = next((score for score in own if score.metric == "ROUGE-L"), own[0])
    others = [
        score
        for score in scores
        if score.part == part and score.metric == main.metric and score.system.startswith("blind: ")
    ]
    best = max(others, key=lambda score: score.interval.score, default=None)
    if best is None or main.interval.low > best.interval.high:
        return []
    way = best.system.removeprefix("blind: ")
    text = (
        f"{part}: {main.metric} {main.interval} is not clearly above what {way} reaches without a slide, "
        f"{best.interval}."
    )
    if main.kind in ("choice", "yes_no"):
        own_right, blind_right = right_cases(cases, said), right_cases(cases, blind[way])
        text += f" {np.count_nonzero(own_right & ~blind_right)} right answers are not among the blind ones."
    return [text]


def _is_text(scores: Sequence[Score], part: str) -> bool:
    return any(score.part == part and score.kind == "text" for score in scores)
