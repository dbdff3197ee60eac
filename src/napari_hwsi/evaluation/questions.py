"""The report of a benchmark of questions."""

from __future__ import annotations

from collections.abc import Sequence

from ..metrics import Interval
from .report import Report, Table
from .run import CHANGES, Evaluation
from .scores import Score

_OWN = "answerer"


def question_report(evaluation: Evaluation) -> Report:
    """Return what a reader is given of an evaluation: scores beside blind ones, and what they rest on."""
    benchmark = evaluation.benchmark
    facts = {
        "benchmark": f"{benchmark.form}{'' if benchmark.verified else ' (reader unverified)'}",
        "files": ", ".join(benchmark.files),
        "questions": f"{len(benchmark.cases)}, of {len(set(benchmark.groups))} "
        f"{'patients' if benchmark.patients_known else 'patients or slides'}; {len(benchmark.left_out)} rows "
        "left out",
        "answerer": evaluation.answerer or "none: blind baselines only",
    }
    if evaluation.answerer is not None:
        failed = len(evaluation.failed)
        facts["answers"] = (
            f"{evaluation.calls} kept, {failed} failed; {evaluation.seconds:.1f} s, {evaluation.characters} "
            "characters received"
        )
    facts["intervals"] = "95 % bootstrap, drawn by patient (by slide where the patient is unknown)"
    facts["blind baselines"] = "in five folds by patient, of the questions of the same files"
    if evaluation.not_tried:
        facts["not tried"] = f"{', '.join(evaluation.not_tried)}: this answerer cannot do that"
    return Report(
        title=f"{evaluation.answerer or 'Blind baselines'} on {benchmark.form}",
        facts=facts,
        warnings=evaluation.warnings,
        tables=(*score_tables(evaluation.scores), *_dependence(evaluation), *_seen(evaluation)),
        left_out=(*benchmark.left_out, *evaluation.failed),
        more={
            "settings": evaluation.settings,
            "scores": [
                {**vars(score), "interval": {k: _finite(v) for k, v in vars(score.interval).items()}}
                for score in evaluation.scores
            ],
        },
    )


def score_tables(scores: Sequence[Score]) -> list[Table]:
    """Return one table a part: systems in rows, metrics in columns."""
    tables = []
    for part in dict.fromkeys(score.part for score in scores):
        own = [score for score in scores if score.part == part]
        metrics = tuple(dict.fromkeys(score.metric for score in own))
        rows = []
        for system in dict.fromkeys(score.system for score in own):
            values: dict[str, Interval] = {s.metric: s.interval for s in own if s.system == system}
            one = next(score for score in own if score.system == system)
            cells = (*(values.get(metric) for metric in metrics), one.cases, one.wrong_form)
            rows.append((system, cells))
        tables.append(Table(part, (*metrics, "cases", "wrong format"), tuple(rows), own=frozenset({_OWN})))
    return tables


def _dependence(evaluation: Evaluation) -> list[Table]:
    if not evaluation.dependence:
        return []
    parts = dict.fromkeys(item.part for item in evaluation.dependence)
    found = {(item.part, item.change): item.agreement for item in evaluation.dependence}
    changes = [change for change in CHANGES if any(change == key for _, key in found)]
    rows = tuple((part, tuple(found.get((part, change)) for change in changes)) for part in parts)
    note = (
        "How far the answers agree with those to the image itself (share of equal answers; of texts, mean "
        "ROUGE-L; of places, share that overlap). Near 1 without the image: the image was not looked at."
    )
    return [Table("Dependence on the image", tuple(CHANGES[change] for change in changes), rows, note)]


def _seen(evaluation: Evaluation) -> list[Table]:
    if not evaluation.contamination:
        return []
    rows = tuple(
        (item.file, (item.records, item.same_question, item.slide, item.patient, item.wording))
        for item in evaluation.contamination
    )
    columns = ("records", "same slide and question", "same slide", "same patient", "same wording")
    return [Table("Test cases found in training files", columns, rows)]


def _finite(value: float) -> float | None:
    return value if value == value else None
