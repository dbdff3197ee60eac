"""What is learned from: questions and answers about slides, and reports, as they stand in files.

Every row that is not used is kept with its place and its reason; what is used is exactly what is returned.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..units import Box, as_box

CAPTION = "Describe this slide."
"""What is asked where a file holds reports alone."""

_IMAGE = "<image>"
_FROM = {"human": "question", "user": "question", "gpt": "answer", "assistant": "answer"}
_COLUMNS = {"slide", "question", "answer", "report", "id", "patient", "box"}


@dataclass(frozen=True)
class Example:
    """One question about a slide and the answer to learn.

    slide: its name; where: file and row; history: earlier (question, answer) pairs; box: what is asked about,
    (y0, x0, y1, x1) in level-0 px, None: the whole slide; patient: None where the file does not say;
    also: more questions about the same, each with its answer and none knowing of the others: the slide is
    looked at once for all of them.
    """

    slide: str
    question: str
    answer: str
    where: str
    id: str | None = None
    history: tuple[tuple[str, str], ...] = ()
    box: Box | None = None
    patient: str | None = None
    also: tuple[tuple[str, str], ...] = ()

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All its questions, with their answers."""
        return (self.question, self.answer), *self.also


@dataclass(frozen=True)
class LeftOut:
    """A row that is not used: its file and row, and why."""

    where: str
    reason: str


@dataclass(frozen=True)
class Examples:
    """What is used, and what is not."""

    used: tuple[Example, ...]
    left_out: tuple[LeftOut, ...] = ()

    def without(self, left_out: Iterable[LeftOut]) -> Examples:
        """Return the examples without some of them, which are named by where they stand."""
        more = {row.where: row for row in left_out}
        used = tuple(example for example in self.used if example.where not in more)
        return Examples(used, (*self.left_out, *more.values()))

    @property
    def counts(self) -> dict[str, int]:
        """How many are used, and how many are not, by the kind of reason (what comes before a colon)."""
        reasons = Counter(row.reason.split(":")[0] for row in self.left_out)
        return {"used": len(self.used), **dict(sorted(reasons.items()))}


def read_examples(files: Sequence[str | Path], encoding: str = "utf-8") -> Examples:
    """Read files of questions and answers, or of reports.

    ``.json``: a list of {id, image, conversations: [{from, value}, …]}, as WSI-Bench's training file; each
    answer of a conversation is an example of its own, with what was said before. ``.csv``: columns slide,
    question, answer (or slide, report), and as one likes id, patient, box (four numbers y0 x0 y1 x1);
    encoding: of these, UTF-8 with or without a mark unless told otherwise.

    Rows with an empty answer, with an id that an earlier row of the file has, or that cannot be understood
    are left out and named. Raises InputError for a file that cannot be read at all, naming the row where it
    fails.
    """
    used: list[Example] = []
    left_out: list[LeftOut] = []
    for file in map(Path, files):
        first: dict[str, str] = {}
        for row in _rows(file, encoding):
            if isinstance(row, LeftOut):
                left_out.append(row)
                continue
            if row.id is not None:
                if row.id in first:
                    left_out.append(
                        LeftOut(row.where, f"duplicate id: {row.id} stands at {first[row.id]} too")
                    )
                    continue
                first[row.id] = row.where
            if not row.answer.strip():
                left_out.append(LeftOut(row.where, "empty answer"))
            elif not row.question.strip():
                left_out.append(LeftOut(row.where, "empty question"))
            elif not row.slide:
                left_out.append(LeftOut(row.where, "no slide named"))
            else:
                used.append(row)
    return Examples(tuple(used), tuple(left_out))


def _rows(file: Path, encoding: str) -> Iterator[Example | LeftOut]:
    if file.suffix.lower() == ".json":
        yield from _json_rows(file)
    elif file.suffix.lower() == ".csv":
        yield from _csv_rows(file, encoding)
    else:
        raise InputError(f"{file}: questions and answers are read from .json and .csv files.")


def _json_rows(file: Path) -> Iterator[Example | LeftOut]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as JSON: {error}") from error
    if not isinstance(content, list):
        raise InputError(f"{file}: expected a list of conversations, found a {type(content).__name__}.")
    for number, entry in enumerate(content, 1):
        where = f"{file.name}, entry {number}"
        try:
            yield from _conversation(entry, where)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            yield LeftOut(where, f"not understood: {type(error).__name__} {error}")


def _conversation(entry: dict[str, Any], where: str) -> Iterator[Example]:
    """Yield an example for each answer of a conversation."""
    identity = entry.get("id")
    said = [(_FROM[turn["from"]], str(turn["value"])) for turn in entry["conversations"]]
    if [kind for kind, _ in said] != ["question", "answer"] * (len(said) // 2) or not said:
        raise ValueError("questions and answers do not take turns")
    pairs = [(said[i][1].replace(_IMAGE, "").strip(), said[i + 1][1].strip()) for i in range(0, len(said), 2)]
    for turn, (question, answer) in enumerate(pairs):
        last = f", answer {turn + 1}" if len(pairs) > 1 else ""
        yield Example(
            slide_name(str(entry["image"])),
            question,
            answer,
            where + last,
            None if identity is None else f"{identity}{last}",
            tuple(pairs[:turn]),
        )


def _csv_rows(file: Path, encoding: str) -> Iterator[Example | LeftOut]:
    reader = csv.DictReader(io.StringIO(_text(file, encoding), newline=""), strict=True)
    columns = {name.strip().lower() for name in reader.fieldnames or ()}
    reports = "report" in columns
    needed = {"slide", "report"} if reports else {"slide", "question", "answer"}
    if lacking := sorted(needed - columns):
        raise InputError(
            f"{file}: has no column {lacking[0]}; its columns are {', '.join(sorted(columns)) or 'none'}. "
            "Needed are slide, question, answer, or slide, report."
        )
    if unknown := sorted(columns - _COLUMNS):
        raise InputError(f"{file}: the column {unknown[0]} has no meaning here; known: {sorted(_COLUMNS)}.")
    try:
        for row in reader:
            where = f"{file.name}, line {reader.line_num}"
            if None in row or None in row.values():
                yield LeftOut(where, "not as many fields as columns")
                continue
            values = {name.strip().lower(): value.strip() for name, value in row.items()}
            try:
                yield Example(
                    slide_name(values["slide"]),
                    values.get("question", CAPTION) or ("" if not reports else CAPTION),
                    values["report" if reports else "answer"],
                    where,
                    values.get("id") or None,
                    (),
                    as_box([float(v) for v in values["box"].split()]) if values.get("box") else None,
                    values.get("patient") or None,
                )
            except ValueError as error:
                yield LeftOut(where, f"box not understood: {error}")
    except csv.Error as error:
        raise InputError(f"{file}, line {reader.line_num}: not CSV: {error}") from error


def _text(file: Path, encoding: str) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error}") from error
    name = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        name = "utf-16"
    try:
        return content.decode(name)
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{file}, line {row}: byte {content[error.start]:#04x} is not {name}. Save the file as UTF-8, or "
            "say its encoding, such as encoding: latin-1."
        ) from error
    except LookupError as error:
        raise InputError(f"{encoding!r} is no encoding that Python knows.") from error


_ENDINGS = (
    ".hwsi.zarr", ".ome.tiff", ".ome.tif", ".ome.zarr",
    ".pt", ".h5", ".svs", ".ndpi", ".scn", ".mrxs", ".tiff", ".tif", ".dcm", ".zarr", ".bif", ".czi",
    ".png", ".jpg",
)  # fmt: skip


def slide_name(path: str) -> str:
    """Return what a slide is called in a path of it: no folders, no known ending, all else kept.

    Names with dots, as TCGA's, keep them: two slides are the same only when the whole name is.
    """
    name = path.replace("\\", "/").rstrip("/").rpartition("/")[2].strip()
    for ending in _ENDINGS:
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def together(examples: Iterable[Example], most: int) -> tuple[Example, ...]:
    """Return examples with up to ``most`` questions about the same box of the same slide in one.

    Those of a longer conversation stay alone.
    """
    groups: dict[object, list[Example]] = {}
    for example in examples:
        what = (example.slide, example.box) if not example.history else (example.where,)
        groups.setdefault(what, []).append(example)
    found = []
    for group in groups.values():
        parts = -(-len(group) // most)
        for i in range(parts):  # every so many, so that kinds that follow one another are spread
            first, *others = group[i::parts]
            found.append(replace(first, also=tuple((e.question, e.answer) for e in others)))
    return tuple(found)


def with_patients(examples: Examples, patients: dict[str, str]) -> Examples:
    """Return the examples with the patients of their slides, by name, where they do not name one."""
    used = tuple(
        example if example.patient else replace(example, patient=patients.get(example.slide))
        for example in examples.used
    )
    return replace(examples, used=used)
