"""The command ``napari-hwsi evaluate``: its tasks, each with what it is compared with."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..progress import Progress

if TYPE_CHECKING:
    from ..training.slide_bags import LabelledSlides
    from .features import EncodeText, Outcome
    from .report import Report, Table

TASKS = {
    "vqa": "answer questions",
    "report": "write reports or captions",
    "zero-shot": "name classes by phrases",
    "few-shot": "name classes by prototypes of a few patients",
    "linear-probe": "learn classes from slide vectors",
    "slide-retrieval": "find slides of the same class",
    "cross-modal": "find reports by slides, and slides by reports",
}
_ASKED = ("vqa", "report")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("task", choices=TASKS, help="; ".join(f"{k}: {v}" for k, v in TASKS.items()))
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        help="test files; for all but vqa and report one CSV of slides and labels",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder for answers and reports; again to go on"
    )
    parser.add_argument("--format", help="of test files: wsi-bench, slidebench, wsi-vqa, …; default: table")
    parser.add_argument("--answerer", help="who is asked, as by ask; without: the blind baselines alone")
    parser.add_argument("--results", type=Path, help="folder of results (.hwsi.zarr), or of features")
    parser.add_argument(
        "--plain",
        action="store_true",
        help="ask without the sentence that says which form the answer must have",
    )
    parser.add_argument(
        "--training", type=Path, action="append", default=[], help="a training file to look for the test in"
    )
    parser.add_argument("--label", default="label", help="column of the class; default: %(default)s")
    parser.add_argument(
        "--phrases", type=Path, help="for zero-shot: CSV of label and phrase, several a label"
    )
    parser.add_argument(
        "--shots", type=int, nargs="+", default=[1, 2, 4, 8], help="for few-shot: patients a class"
    )
    parser.add_argument("--encoder", help="of texts, where results do not say it: a name of the registry")
    parser.add_argument("--weights", help="of that encoder: a file, folder or hub id")


def evaluate_command(options: argparse.Namespace, progress: Progress | None = None) -> tuple[Report, Path]:
    """Evaluate and write the report; returns it, and its page. Raises what reading and asking raise."""
    report = (_questions if options.task in _ASKED else _features)(options, progress)
    page, _ = report.write(options.output)
    return report, page


def _questions(options: argparse.Namespace, progress: Progress | None) -> Report:
    from .questions import question_report
    from .readers import read_benchmark
    from .run import evaluate

    benchmark = read_benchmark(options.files, options.format or "table")
    if options.task == "report" and (other := [case for case in benchmark.cases if case.kind != "text"]):
        raise InputError(
            f"{len(other)} of {len(benchmark.cases)} questions want no text, the first is {other[0].id}. "
            "Use the task vqa for them."
        )
    if options.answerer is None:
        return question_report(
            evaluate(benchmark, options.output, training=options.training, progress=progress)
        )
    if options.results is None:
        raise InputError("Say where the results of the slides are: --results FOLDER.")
    from .answering import NamedAnswering

    with closing(NamedAnswering(options.answerer, options.results, options.plain)) as answering:
        evaluation = evaluate(
            benchmark,
            options.output,
            answering,
            options.answerer,
            changes=answering.changes,
            training=options.training,
            settings={"plain": options.plain},
            progress=progress,
        )
    return question_report(evaluation)


def _features(options: argparse.Namespace, progress: Progress | None) -> Report:
    from .contamination import contamination
    from .features import cross_modal, few_shot, linear_probe, slide_retrieval, zero_shot
    from .report import Report, Table

    if len(options.files) != 1 or options.results is None:
        raise InputError("Give one table of slides, and the folder of their results or features: --results.")
    slides = _slides(options)
    if options.task == "linear-probe":
        tables = [_table("Linear probe", linear_probe(slides, options.label))]
    elif options.task == "few-shot":
        scores = few_shot(slides, options.shots, options.label)
        rows = tuple((who, (mean, spread)) for who, mean, spread in scores)
        own = frozenset(who for who, _ in rows if not who.startswith("random"))
        tables = [Table("Few-shot prototypes", ("balanced accuracy", "spread of 20 draws"), rows, own=own)]
    elif options.task == "slide-retrieval":
        tables = [_table("Slide retrieval", slide_retrieval(slides, options.label))]
    elif options.task == "zero-shot":
        words, phrases = _encode_text(options, slides), _phrases(options, slides)
        tables = [_table("Zero-shot classes", zero_shot(slides, words, phrases, options.label))]
    else:
        found = cross_modal(slides, _encode_text(options, slides))
        tables = [_table(name[0].upper() + name[1:], outcomes) for name, outcomes in found.items()]
    known = sum(slide.patient_known for slide in slides.slides)
    warnings = (
        []
        if known == len(slides.slides)
        else [
            f"The patient of {len(slides.slides) - known} slides is unknown: each counts as one of its own, "
            "and slides of one patient may stand on both sides of a split."
        ]
    )
    for path in options.training:
        seen = contamination(_as_cases(slides), path)
        if not seen.clean:
            warnings.append(
                f"{path} holds {seen.slide} of these slides and the patients of {seen.patient}: scores on "
                "these say little."
            )
    facts = {
        "task": f"{options.task}: {TASKS[options.task]}",
        "slides": f"{len(slides.slides)}, {len(slides.left_out)} rows left out",
        "vectors": f"{slides.width} wide, of {slides.encoder or 'an encoder that the files do not name'}",
        "intervals": "95 % bootstrap, drawn by patient",
        "random vectors": "mean of five draws of the same shape",
    }
    title = f"{options.task} on {options.files[0].name}"
    return Report(title, facts, tuple(warnings), tuple(tables), tuple(slides.left_out))


def _slides(options: argparse.Namespace) -> LabelledSlides:
    """Read the slides of a feature task; reports also from the published files."""
    from ..rows import Row
    from ..training.slide_bags import label_slides, read_labelled
    from .readers import read_benchmark

    file = options.files[0]
    if options.task != "cross-modal":
        return read_labelled(file, options.results, (options.label,))
    if options.format is None:
        return read_labelled(file, options.results, ("text",))
    benchmark = read_benchmark([file], options.format)
    rows = [
        Row(number, {"slide": case.slide, "text": case.answer, "patient": case.patient or ""})
        for number, case in enumerate(benchmark.cases, 1)
    ]
    slides = label_slides(rows, file.name, options.results, ("text",))
    slides.left_out[:0] = benchmark.left_out
    return slides


def _as_cases(slides: LabelledSlides) -> list[Any]:
    from .cases import Case

    return [
        Case(one.slide, one.slide, "no question", "-", "-", "text", patient=one.patient)
        for one in slides.slides
    ]


def _encode_text(options: argparse.Namespace, slides: LabelledSlides) -> EncodeText:
    from ..encoders import load
    from ..hierarchy import open_result

    if options.encoder:
        encoder: Any = load(options.encoder, options.weights)
    else:
        stores = [one.path for one in slides.slides if one.path.name.endswith(".hwsi.zarr")]
        if not stores:
            raise InputError("Features of other tools do not say how texts are encoded. Give --encoder NAME.")
        encoder = open_result(stores[0]).profile.patch_encoder()
    encode: Callable[[Sequence[str]], Any] | None = getattr(encoder, "encode_text", None)
    if encode is None:
        raise InputError(
            f"The encoder {encoder.name} has no text side. Use vectors of one that has, such as conch."
        )
    return encode


def _phrases(options: argparse.Namespace, slides: LabelledSlides) -> dict[str, list[str]]:
    """Return the phrases of each class; without a file, its name is its phrase."""
    from ..rows import read_csv

    if options.phrases is None:
        return {label: [label] for label in set(slides.values(options.label))}
    phrases: dict[str, list[str]] = {}
    for row in read_csv(options.phrases, ("label", "phrase")):
        phrases.setdefault(row.get("label"), []).append(row.get("phrase"))
    return phrases


def _table(title: str, outcomes: Sequence[Outcome]) -> Table:
    from .report import Table

    columns = tuple(outcomes[0].scores)
    rows = tuple(
        (outcome.system, (*(outcome.scores.get(name) for name in columns), outcome.cases))
        for outcome in outcomes
    )
    return Table(title, (*columns, "slides"), rows, own=frozenset({"vectors"}))
