"""Which slides a batch is about: from folders, lists and tables to jobs."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from ..errors import InputError, ResolutionError
from ..slides.address import as_place, name_of
from ..slides.dicom_backend import is_dicom
from ..slides.zarr_backend import is_zarr
from .job import Job

logger = logging.getLogger(__name__)

Source: TypeAlias = str | Path

ENDINGS = (
    *(".svs", ".ndpi", ".tif", ".tiff", ".mrxs", ".scn", ".bif", ".svslide", ".vms", ".vmu", ".czi"),
    *(".ozx", ".zarr.zip"),
)
"""Files of a folder that are taken for slides; pictures are not, as previews lie beside many slides."""

COLUMNS = ("slide", "mpp", "patient", "label")
_LISTS = (".csv", ".txt")
_RESULT = ".hwsi.zarr"


def is_collection(source: Source) -> bool:
    """Whether a source stands for several slides: a table, a list, or a folder that is not itself a slide."""
    place = as_place(source)
    if isinstance(place, str):
        return False
    return place.suffix.lower() in _LISTS or (place.is_dir() and not _is_slide(place))


def find_jobs(sources: Source | Sequence[Source], mpp: float | None = None) -> tuple[Job, ...]:
    """Return the slides that the sources name, in their order, each once.

    sources: one or several of: a slide; a folder, searched with all below it for files with a slide's
    ending, OME-Zarr and DICOM folders, by name; a .txt with a path a line; a .csv with a column ``slide``
    and, where wanted, ``mpp``, ``patient`` and ``label``. Paths in a list count from its folder. mpp: for
    slides whose list gives none. A result is named like its slide's file, without the ending; slides that
    would share a name get part of the hash of their path in it.

    Raises InputError where a list cannot be read or understood, where a slide is given twice with different
    facts, and where there is none; ResolutionError for a senseless mpp.
    """
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    found: dict[str, Job] = {}
    for job in (job for source in given for job in _jobs_of(source)):
        job = replace(job, mpp=mpp) if job.mpp is None else job
        if found.setdefault(job.slide, job) != job:
            raise InputError(f"{job.slide} is given twice, with different facts. Leave one of them out.")
    if not found:
        raise InputError(f"There is no slide in {', '.join(map(str, given)) or 'an empty list'}.")
    shared = Counter(job.name.casefold() for job in found.values())
    return tuple(
        replace(job, name=f"{job.name}-{hashlib.sha256(job.slide.encode()).hexdigest()[:8]}")
        if shared[job.name.casefold()] > 1
        else job
        for job in found.values()
    )


def _jobs_of(source: Source) -> Iterator[Job]:
    place = as_place(source)
    if isinstance(place, str) or not is_collection(place):
        yield _job(place)
    elif place.is_dir():
        for slide in _slides_in(place):
            yield _job(slide)
    elif place.suffix.lower() == ".csv":
        yield from _rows_of(place)
    else:
        for line in filter(None, map(str.strip, _text(place).splitlines())):
            yield _job(_from(place.parent, line))


def _job(place: Path | str, **facts: str | float | None) -> Job:
    whole = str(place.absolute() if isinstance(place, Path) else place)
    return Job(slide=whole, name=Path(name_of(place)).stem or "slide", **facts)  # type: ignore[arg-type]


def _from(folder: Path, line: str) -> Path | str:
    place = as_place(line)
    return place if isinstance(place, str) else folder / place


def _slides_in(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.endswith(_RESULT):
            continue
        if path.is_dir():
            if _is_slide(path):
                yield path
            else:
                yield from _slides_in(path)
        elif path.name.lower().endswith(ENDINGS):
            yield path


def _is_slide(folder: Path) -> bool:
    if is_zarr(folder):
        return True
    return not any(path.name.lower().endswith(ENDINGS) for path in folder.iterdir()) and is_dicom(folder)


def _rows_of(table: Path) -> Iterator[Job]:
    text = _text(table)
    header = text.splitlines()[0] if text else ""
    rows = csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=header.count))
    names = [name.strip().lower() for name in rows.fieldnames or ()]
    if "slide" not in names:
        raise InputError(
            f"{table} has no column 'slide'. Its first line names the columns: {', '.join(COLUMNS)}; "
            "the last three may be left out."
        )
    if ignored := [name for name in names if name not in COLUMNS]:
        logger.warning("Columns of %s that mean nothing here: %s.", table, ", ".join(ignored))
    rows.fieldnames = names
    for row in rows:
        facts = {name: (row.get(name) or "").strip() for name in COLUMNS}
        if not any(facts.values()):
            continue
        where = f"Line {rows.line_num} of {table}"
        if not facts["slide"]:
            raise InputError(f"{where} has no slide.")
        yield _row(_from(table.parent, facts["slide"]), facts, where)


def _row(place: Path | str, facts: Mapping[str, str], where: str) -> Job:
    try:
        mpp = float(facts["mpp"]) if facts["mpp"] else None
    except ValueError:
        raise InputError(f"{where}: mpp is {facts['mpp']!r}, not a number of µm per pixel.") from None
    try:
        return _job(place, mpp=mpp, patient=facts["patient"], label=facts["label"])
    except ResolutionError as error:
        raise ResolutionError(f"{where}: {error}") from error


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read as text in UTF-8: {error}.") from error
