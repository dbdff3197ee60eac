"""Published test files of questions, captions and reports, read into cases.

What each format looks like is taken from the files where one was at hand (WSI-Bench) and else from what
their authors and users publish about them; those readers are marked unverified.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import InputError
from ..rows import LeftOut, patient_of, read_csv, read_json, slide_name
from ..units import Box
from .cases import LETTERS, Benchmark, Case, Kind, read_reply

Found: TypeAlias = tuple[int, dict[str, Any]]
"""The number of a record and the fields of its case, or {'error': why it is none}."""

_OPTION = re.compile(r"(?:(?<=\s)|^)([A-H])[).:]\s*")
_REPORT = "Write the pathology report of this slide."
_CAPTION = "Describe this slide."


@dataclass(frozen=True)
class Reader:
    """A format of test files: how it is called and read, and whether that was run on a published file."""

    name: str
    what: str
    records: Callable[[Path], Iterator[Found]]
    verified: bool = False


def read_benchmark(paths: Sequence[str | Path], form: str) -> Benchmark:
    """Read the files of one benchmark.

    form: a name among READERS. Each record that gives no case is left out with its row and reason: a
    missing slide, an empty question or answer, an answer that is none of the options, one that is there
    twice. Raises InputError for an unknown form, a file that cannot be read or is not of that form, and
    where no case is left.
    """
    if form not in READERS:
        raise InputError(f"No format of test files is called {form!r}. There are: {', '.join(READERS)}.")
    cases: list[Case] = []
    left_out: list[LeftOut] = []
    ids: set[str] = set()
    answers: dict[tuple[str, str, Box | None], str] = {}
    for path in map(Path, paths):
        for number, fields in READERS[form].records(path):
            try:
                case = _case(fields, path.stem)
                _refuse_double(case, ids, answers)
            except InputError as error:
                left_out.append(LeftOut(path.name, number, str(error)))
            else:
                cases.append(case)
    if not cases:
        why = f" The first: {left_out[0]}." if left_out else ""
        raise InputError(f"There is no question to ask in {', '.join(map(str, paths))}.{why}")
    files = tuple(str(path) for path in paths)
    return Benchmark(form, files, tuple(cases), tuple(left_out), READERS[form].verified)


def _case(fields: dict[str, Any], task: str) -> Case:
    if "error" in fields:
        raise InputError(fields["error"])
    slide = slide_name(str(fields["slide"] or ""))
    if not slide:
        raise InputError("no slide is named")
    task = fields.get("task") or re.sub(r"_(test|question_test)$", "", task)
    options = tuple(fields.get("options", ()))
    kind: Kind = fields.get("kind") or _kind_of(fields["answer"], options)
    answer = str(fields["answer"] or "")
    case = Case(
        id=f"{task}/{fields.get('id') or slide}",
        slide=slide,
        question=" ".join(str(fields["question"] or "").replace("<image>", " ").split()),
        answer=answer,
        task=task,
        kind=kind,
        options=options,
        patient=fields.get("patient") or patient_of(slide),
        box=fields.get("box"),
        places=fields.get("places", ()),
    )
    return case if kind == "place" else replace(case, answer=read_reply(case, answer) or answer)


def _refuse_double(case: Case, ids: set[str], answers: dict[tuple[str, str, Box | None], str]) -> None:
    asked = (case.slide, case.full_question, case.box)
    if asked in answers:
        same = "the same" if answers[asked] == case.answer else "another"
        raise InputError(f"the question was there before, with {same} answer")
    if case.id in ids:
        raise InputError(f"the id {case.id!r} was there before, with another question")
    answers[asked] = case.answer
    ids.add(case.id)


def _kind_of(answer: Any, options: Sequence[str]) -> Kind:
    if options:
        return "choice"
    return "yes_no" if str(answer).strip().rstrip(".").casefold() in ("yes", "no") else "text"


def _conversations(path: Path) -> Iterator[Found]:
    """WSI-Bench, and LLaVA's form in general: records of id, image and a conversation of two turns."""
    for number, record in _records(path):
        talk = record.get("conversations")
        if not isinstance(talk, list) or len(talk) < 2 or not all(isinstance(turn, dict) for turn in talk):
            yield number, {"error": "it holds no conversation of a question and an answer"}
            continue
        image = record.get("image")
        question, options = split_options(str(talk[0].get("value") or ""))
        yield (
            number,
            {
                "id": record.get("id") or record.get("question_id"),
                "slide": image[0] if isinstance(image, list) and image else image,
                "question": question,
                "options": options,
                "answer": talk[1].get("value"),
            },
        )


def _slidebench(path: Path) -> Iterator[Found]:
    """SlideBench: tables with Slide, Question, A to D and Answer; captions also as conversations."""
    if path.suffix.lower() == ".json":
        yield from _conversations(path)
        return
    for row in read_csv(path, ("slide", "answer")):
        options = [row.get(letter.lower()) for letter in LETTERS[:8]]
        while options and not options[-1]:
            options.pop()
        yield (
            row.number,
            {
                "id": row.get("id") or str(row.number),
                "slide": row.get("slide"),
                "task": row.get("task", "narrow category", "broad category"),
                "question": row.get("question") or _CAPTION,
                "options": options,
                "answer": row.get("answer"),
            },
        )


def _wsi_vqa(path: Path) -> Iterator[Found]:
    """WSI-VQA: records of Id (a patient), Question, Answer and, for a choice, Choice."""
    for number, record in _records(path):
        choices = [str(choice) for choice in record.get("Choice") or ()]
        yield (
            number,
            {
                "id": f"{record.get('Id')}-{number}",
                "slide": record.get("Id"),
                "task": "choice" if choices else "open",
                "question": record.get("Question"),
                "options": choices,
                "answer": record.get("Answer"),
            },
        )


def _multipathqa(path: Path) -> Iterator[Found]:
    """MultiPathQA: a table of benchmark_name, image_path, prompt or question, options and answer."""
    for row in read_csv(path, ("benchmark_name", "image_path", "answer")):
        if row.get("is_valid").casefold() in ("false", "0"):
            yield row.number, {"error": "the file marks it as not valid"}
            continue
        options, answer = _options(row.get("options")), row.get("answer")
        if answer.isdigit() and answer not in options and 1 <= int(answer) <= len(options):
            answer = LETTERS[int(answer) - 1]
        yield (
            row.number,
            {
                "id": row.get("benchmark_id") or str(row.number),
                "slide": row.get("image_path"),
                "task": row.get("benchmark_name"),
                "question": row.get("question") or row.get("prompt"),
                "options": options,
                "answer": answer,
                "kind": "number" if not options and answer.isdigit() else None,
            },
        )


def _histgen(path: Path) -> Iterator[Found]:
    """HistGen: an object of splits, each with records of id and report; the test split."""
    whole = read_json(path)
    records = whole.get("test") if isinstance(whole, dict) else None
    if not isinstance(records, list):
        raise InputError(f"{path} holds no list 'test' of reports.")
    for number, record in _numbered(records):
        yield (
            number,
            {
                "id": record.get("id"),
                "slide": record.get("id"),
                "question": _REPORT,
                "answer": record.get("report"),
                "kind": "text",
            },
        )


def _tcga_reports(path: Path) -> Iterator[Found]:
    """TCGA-Reports: a table of patient_filename and text."""
    for row in read_csv(path, ("patient_filename", "text")):
        name = row.get("patient_filename")
        yield (
            row.number,
            {
                "id": name,
                "slide": patient_of(name) or name,
                "question": _REPORT,
                "answer": row.get("text"),
                "kind": "text",
            },
        )


def _table(path: Path) -> Iterator[Found]:
    """A plain table: slide, question, answer; where wanted id, patient, task, options (a | b | c), box
    (y0 x0 y1 x1) and places (boxes with ; between them).
    """
    for row in read_csv(path, ("slide", "question")):
        answer = row.get("answer")
        options = [option.strip() for option in row.get("options").split("|")] if row.get("options") else []
        try:
            box, places = _boxes(row.get("box")), _boxes(row.get("places"))
        except ValueError:
            yield row.number, {"error": "a box is four numbers: y0 x0 y1 x1"}
            continue
        number = read_reply(Case("", "-", "?", "0", "", "number"), answer) if not options else None
        yield (
            row.number,
            {
                "id": row.get("id") or str(row.number),
                "slide": row.get("slide"),
                "patient": row.get("patient") or None,
                "task": row.get("task"),
                "question": row.get("question"),
                "options": options,
                "answer": answer,
                "box": box[0] if box else None,
                "places": places,
                "kind": "place" if places else "number" if number is not None else None,
            },
        )


READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        Reader("wsi-bench", "WSI-Bench's *_test.json", _conversations, verified=True),
        Reader("slidebench", "SlideBench-VQA (TCGA, BCNB) tables and SlideBench-Caption", _slidebench),
        Reader("wsi-vqa", "WsiVQA_test.json", _wsi_vqa),
        Reader("multipathqa", "MultiPathQA.csv", _multipathqa),
        Reader("histgen", "HistGen's annotation file of reports", _histgen),
        Reader("tcga-reports", "TCGA_Reports.csv", _tcga_reports),
        Reader("table", "a CSV of slide, question, answer (docs/evaluation.md)", _table, verified=True),
    )
}


def split_options(question: str) -> tuple[str, tuple[str, ...]]:
    """Return a question and the options written into it, as 'A) … B) …' in alphabetic order; else none."""
    marks = list(_OPTION.finditer(question))
    letters = [mark.group(1) for mark in marks]
    if len(marks) < 2 or letters != list(LETTERS[: len(marks)]):
        return question, ()
    ends = [*(mark.start() for mark in marks[1:]), len(question)]
    texts = [" ".join(question[mark.end() : end].split()) for mark, end in zip(marks, ends, strict=True)]
    return question[: marks[0].start()].strip(), tuple(texts)


def _options(text: str) -> list[str]:
    """Return a list that is written as JSON or in Python's way."""
    if not text or text.casefold() in ("nan", "none"):
        return []
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError):
            continue
        if isinstance(value, list):
            return [str(option) for option in value]
    return [option.strip() for option in text.split("|")]


def _boxes(text: str) -> tuple[Box, ...]:
    boxes = []
    for part in filter(None, map(str.strip, text.split(";"))):
        y0, x0, y1, x1 = (round(float(value)) for value in part.replace(",", " ").split())
        boxes.append((y0, x0, y1, x1))
    return tuple(boxes)


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    records = read_json(path)
    if not isinstance(records, list):
        raise InputError(f"{path} is not a list of records. Is it of another format?")
    yield from _numbered(records)


def _numbered(records: Sequence[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, record in enumerate(records, 1):
        yield number, record if isinstance(record, dict) else {}
