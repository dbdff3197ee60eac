"""Slides with labels, and the patch vectors of each: what slide-level learning and probing start from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import HwsiError, InputError
from ..hierarchy import Hierarchy, open_features, open_result
from ..rows import LeftOut, Row, patient_of, read_csv, slide_name

_STORE = ".hwsi.zarr"
_FILES = (_STORE, ".h5", ".hdf5", ".pt", ".csv", ".npz")
_CACHE = 2 * 2**30  # bytes


@dataclass(frozen=True)
class Bag:
    """The patches of one slide. vectors: float32 (N, W); boxes: float64 (N, 4), level-0 px."""

    vectors: NDArray[np.float32]
    boxes: NDArray[np.float64]


@dataclass(frozen=True)
class LabelledSlide:
    """A slide of a table: its name, where its vectors are, its patient, split and the values of its row.

    patient is the slide's name where nobody states it, and patient_known False; row: line of the table.
    """

    slide: str
    path: Path
    patient: str
    patient_known: bool
    split: str
    values: Mapping[str, str]
    row: int


@dataclass
class LabelledSlides:
    """Slides with labels and their bags, read when they are needed.

    slides: in the order of the table; left_out: rows that are not used, and why; width: of all vectors;
    encoder: what made them, where files say it.
    """

    slides: list[LabelledSlide]
    left_out: list[LeftOut]
    width: int
    encoder: str | None
    _cache: OrderedDict[Path, Bag] = field(default_factory=OrderedDict, repr=False)

    def bag(self, slide: LabelledSlide) -> Bag:
        """Return a slide's patches; up to 2 GB of them are kept in memory. Raises what reading raises."""
        if slide.path not in self._cache:
            self._cache[slide.path] = read_bag(slide.path)[0]
            while sum(bag.vectors.nbytes for bag in self._cache.values()) > _CACHE and len(self._cache) > 1:
                self._cache.popitem(last=False)
        self._cache.move_to_end(slide.path)
        return self._cache[slide.path]

    def means(self) -> NDArray[np.float32]:
        """Return the mean vector of each slide's patches, (S, W)."""
        return np.stack([self.bag(slide).vectors.mean(0) for slide in self.slides])

    def values(self, column: str) -> list[str]:
        """Return the values of a column of the table."""
        return [slide.values[column] for slide in self.slides]


def read_labelled(table: str | Path, features: str | Path, needed: Sequence[str]) -> LabelledSlides:
    """Read a table of slides and find the vectors of each.

    table: a CSV with the columns slide and ``needed``, and where wanted patient and split; features: a folder
    of results (.hwsi.zarr) or other tools' features, named like the slides. Left out, with row and reason:
    a slide without features, one whose features cannot be read or are of another width, an empty value, a
    slide that is there twice. Raises InputError for a table or folder that cannot be used.
    """
    return label_slides(read_csv(table, ("slide", *needed)), Path(table).name, features, needed)


def label_slides(
    rows: Sequence[Row], file: str, features: str | Path, needed: Sequence[str]
) -> LabelledSlides:
    """Find the vectors of the slides of rows, as :func:`read_labelled` does; file: what the rows are of."""
    found = find_features(features)
    slides: list[LabelledSlide] = []
    left_out: list[LeftOut] = []
    seen: dict[str, str] = {}
    width: int | None = None
    encoders: set[str] = set()
    for row in rows:
        try:
            name = slide_name(row.get("slide"))
            if not name:
                raise InputError("no slide is named")
            if empty := [column for column in needed if not row.get(column)]:
                raise InputError(f"{empty[0]} is empty")
            values = " ".join(row.get(column) for column in needed)
            if name in seen:
                raise InputError(
                    "the slide was there before"
                    + ("" if seen[name] == values else f", with another {' and '.join(needed)}")
                )
            seen[name] = values
            path = matching(name, found)
            bag, encoder = read_bag(path)
            if width is None:
                width = bag.vectors.shape[1]
            if bag.vectors.shape[1] != width:
                raise InputError(f"its vectors are {bag.vectors.shape[1]} wide, those before it {width}")
        except HwsiError as error:
            left_out.append(LeftOut(file, row.number, str(error)))
            continue
        if encoder:
            encoders.add(encoder)
        patient = row.get("patient", "case", "case_id") or patient_of(name)
        kept = {column: row.get(column) for column in row.values}
        split = row.get("split").casefold()
        slides.append(LabelledSlide(name, path, patient or name, bool(patient), split, kept, row.number))
    if not slides or width is None:
        why = f" The first row left out: {left_out[0]}." if left_out else ""
        raise InputError(f"No row of {file} can be used with {features}.{why}")
    if len(encoders) > 1:
        raise InputError(
            f"The features in {features} were made by several encoders: {', '.join(sorted(encoders))}. "
            "Vectors of different encoders cannot be compared."
        )
    return LabelledSlides(slides, left_out, width, next(iter(encoders), None))


def find_features(folder: str | Path) -> dict[str, Path]:
    """Return the results and feature files in a folder and those below it, by the name of their slide.

    Raises InputError where there is none, or a name is there twice.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"{place} is no folder of results or features.")
    found: dict[str, Path] = {}
    waiting = [place]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            if path.name.startswith("."):
                continue
            if path.is_dir() and not path.name.endswith(_STORE):
                waiting.append(path)
            elif path.name.lower().endswith(_FILES):
                name = slide_name(path.name)
                if name in found:
                    raise InputError(
                        f"{found[name]} and {path} are both of {name}. Give the folder of one of them."
                    )
                found[name] = path
    if not found:
        raise InputError(f"{place} holds no results (.hwsi.zarr) and no feature files.")
    return found


def matching(slide: str, found: Mapping[str, Path]) -> Path:
    """Return the file of a slide, by its whole name.

    A name without the last parts of a barcode (a TCGA patient, or a slide without its UUID) stands for the
    one slide that begins with it, at a dot or, for a patient, at a hyphen. Raises InputError where there is
    none, or several.
    """
    if slide in found:
        return found[slide]
    ends = (".", "-") if patient_of(slide) == slide.upper() else (".",)
    longer = [name for name in found if name.startswith(tuple(slide + end for end in ends))]
    if len(longer) > 1:
        raise InputError(f"{slide} may be any of {len(longer)} slides, such as {longer[0]} and {longer[1]}")
    if not longer:
        raise InputError(f"{slide} has neither a result nor features")
    return found[longer[0]]


def read_bag(path: Path) -> tuple[Bag, str | None]:
    """Return the valid patches of a result or a feature file, and what encoded them where that is known.

    Raises InputError for no patches or numbers that are not finite, and what opening raises.
    """
    source = open_result(path) if path.name.endswith(_STORE) else open_features(path)
    valid = source.patches["valid"].to_numpy(bool)
    if isinstance(source, Hierarchy):
        boxes = source.patches[["y0", "x0", "y1", "x1"]].to_numpy(np.float64)
    else:
        boxes = source.boxes
    vectors = np.asarray(source.patch_vectors[valid], np.float32)
    if not len(vectors):
        raise InputError(f"{path.name} holds no patch with a vector")
    if not np.isfinite(vectors).all():
        bad = np.count_nonzero(~np.isfinite(vectors).all(1))
        raise InputError(f"{path.name} holds {bad} vectors with numbers that are not finite")
    return Bag(vectors, boxes[valid]), source.encoder
