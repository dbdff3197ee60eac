"""The result on disk: ``<name>.hwsi.zarr``, a Zarr v3 hierarchy of columns.

Everything can be read with plain zarr; ``docs/store.md`` lists the arrays with their shapes and units. Places
are level-0 pixels, (y, x).

The attributes of each group are its sidecar of facts: its settings, the ``key`` that is
their hash together with that of the inputs, and ``content``, which names the state of its
arrays. The root holds the format, the slide's fingerprint and the software. Times stand
apart, in the attributes of ``log``. Row order depends on the grid alone. What is damaged is
found by its checksum (:mod:`.checksums`) when it is read; the next run of analyze makes it anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..disk import write_whole
from ..errors import DamagedError, StoreError
from ..home import home
from ..slides import Slide
from ..tissue import PER_SIDE
from .checksums import Rows, crc_of, damaged_rows, facts_of, rows_of, seal, unseal
from .files import storing
from .journal import WORK, Journal

T = TypeVar("T")

FORMAT = "hwsi"
FORMAT_VERSION = 5
FUSED = "ccaf"
"""The group of the fused cells, and their part of the journal."""
REGION_VECTOR, ADAPTIVE_VECTORS = "region_vector", "adaptive_vectors"
"""The columns of ``patches/sums`` about the region's rows in ``regions/vectors`` and ``adaptive/vectors``."""
_OF_PATCHES = {
    "regions/vectors": ("patches", REGION_VECTOR),
    "adaptive/vectors": ("patches", ADAPTIVE_VECTORS),
    "adaptive/region": ("patches", "offsets"),
}
GROUPS = ("slide", "regions", "patches", "adaptive", "cells", "ccaf", "attention")
PENDING, DONE, NO_TISSUE = 0, 1, 2

_PACKAGE = Path(__file__).resolve().parents[1]


def default_store(slide: Slide) -> Path:
    """Return where the result of a slide goes when nobody says otherwise.

    Beside the slide as ``<name>.hwsi.zarr``; in the user's data folder where that is read-only,
    belongs to this package (the sample), or the slide has no file.
    """
    if slide.path is not None and not slide.path.resolve().is_relative_to(_PACKAGE):
        beside = slide.path.with_name(f"{slide.path.stem}.hwsi.zarr")
        if beside.exists() or os.access(beside.parent, os.W_OK):
            return beside
    return home() / "results" / f"{Path(slide.name).stem}-{slide.fingerprint[:8]}.hwsi.zarr"


def has_result(path: str | Path) -> bool:
    """Return whether there is a result at ``path``; raises StoreError where there is something else."""
    return Store(path).exists()


class Store:
    """A result folder, for reading; :mod:`.publish` writes it, with the :class:`Journal`'s lock held."""

    def __init__(self, path: str | Path, checked: bool = True) -> None:
        """checked: whether what is damaged is refused; else rows come as they are on the disk."""
        self.path = Path(path).expanduser()
        self.journal = Journal(self.path)
        self._checked = checked

    def exists(self) -> bool:
        """Return whether there is a result.

        Raises StoreError where there is something else instead, or the place cannot be looked at.
        """
        try:
            if self.journal.place("zarr.json").exists():
                return True
            other = self.path.is_file() or (
                self.path.is_dir() and any(entry.name != WORK for entry in self.path.iterdir())
            )
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be looked at: {error.strerror or error}. Choose another place."
            ) from error
        if other:
            raise StoreError(
                f"{self.path} exists and is not a result of napari-hwsi. Choose another name for the result."
            )
        return False

    def facts(self) -> dict[str, Any]:
        """Return the facts of the whole result.

        Raises StoreError where there is no result, or one of a format this version does not know.
        """
        if not self.exists():
            raise StoreError(f"There is no result at {self.path}. Make one with analyze, or check the path.")
        facts = self._at("zarr.json", _root)
        if facts.get("format") != FORMAT:
            raise StoreError(
                f"{self.path} is a Zarr folder, but not a result of napari-hwsi. Choose another path."
            )
        if facts.get("format_version") != FORMAT_VERSION:
            raise StoreError(
                f"{self.path} has format version {facts.get('format_version')}; this version of napari-hwsi "
                f"reads {FORMAT_VERSION}. Update napari-hwsi, or analyse the slide anew."
            )
        return facts

    def owner(self) -> str:
        """Return the fingerprint of the slide that the result is of, which stands in two places.

        Raises StoreError as :meth:`facts` does.
        """
        try:
            return str(self.facts()["fingerprint"])
        except DamagedError:
            return str(self.sidecar("slide")["fingerprint"])

    def sidecar(self, group: str) -> dict[str, Any]:
        """Return the facts of one group."""
        return self._at(group, facts_of)

    def standing(self, group: str) -> dict[str, Any] | None:
        """Return the facts of a group that a run can build on, None where there are none, or damaged ones."""
        try:
            return self.sidecar(group) if self.exists() else None
        except DamagedError:
            return None

    def read(self, array: str, rows: Rows = slice(None)) -> NDArray[Any]:
        """Return an array, or some of its rows, by its path such as 'patches/vectors'.

        Raises DamagedError, naming the regions, where a checksum does not fit.
        """
        group, _, name = array.partition("/")
        return self._at(group, lambda place: rows_of(place / name, rows, self._checked), name)

    def array_facts(self, array: str) -> dict[str, Any]:
        """Return the attributes of an array."""
        group, _, name = array.partition("/")
        return self._at(group, lambda place: facts_of(place / name), name)

    @property
    def token_width(self) -> int:
        """Numbers of the vector that the segmenter gave each cell, 0 where it gave none."""
        return int(self.sidecar("cells")["token_width"])

    def cell_columns(self) -> list[str]:
        """Return the names of the cell arrays that have a row a cell and are not worked out from others."""
        measured = self.sidecar("cells")["measurements"]
        return ["centroids", "types", "probabilities", *(f"table/{name}" for name in measured)]

    def cell_rows(self, first: int, last: int) -> slice:
        """Return the rows of the cells of regions ``first`` up to, not including, ``last``."""
        offsets = self.read("cells/offsets", slice(first, last + 1))
        return slice(int(offsets[0]), int(offsets[-1]))

    def cells_of(self, rows: slice, tokens: bool = False) -> dict[str, NDArray[Any]]:
        """Return some rows of the cells, doubles included; contour offsets count from the first vertex.

        tokens: with their vectors, where they have any.
        """
        offsets = self.read("cells/vertex_offsets", slice(rows.start, rows.stop + 1))
        offsets[: not rows.start] = 0  # of no region, so nothing vouches for it when rows are salvaged
        names = [*self.cell_columns(), *(["tokens"] if tokens and self.token_width else [])]
        return {
            **{name: self.read(f"cells/{name}", rows) for name in names},
            "vertices": self.read("cells/vertices", slice(int(offsets[0]), int(offsets[-1]))),
            "vertex_offsets": offsets - offsets[0],
        }

    def lost(self, array: str, rows: Sequence[slice] | None = None) -> tuple[str, set[int]]:
        """Return the part that a damaged array belongs to, and the regions that are to be made anew for it.

        These are the regions whose rows do not fit their sums; all, where that cannot be told; none, where
        the array is worked out from others. rows: those in damaged chunks, None where it cannot be read.
        """
        group, _, name = array.partition("/")
        if FUSED in (group, name.partition("/")[0]):  # quickly made, so all of it
            return FUSED, {int(region) for region in (self.standing(FUSED) or {"keys": ()})["keys"]}
        part, column = _OF_PATCHES.get(array, (group, name))
        facts = self.standing(part) or {}
        everything = {*facts.get("regions", ())}
        if column == "offsets":  # nothing else says where a region's rows are
            return part, everything
        if column not in facts.get("columns", ()):
            return part, set()
        if rows is None:
            return part, everything
        try:
            sums = self.read(f"{part}/sums")[:, facts["columns"].index(column)]
            bounds = self._bounds(part, column, sorted(everything))
        except (DamagedError, ValueError, FileNotFoundError):
            return part, everything
        values = rows_of(self.journal.place(group) / name, checked=False)
        return part, {r for r, where in bounds.items() if crc_of(values[where]) != sums[r]}

    def _bounds(self, part: str, column: str, regions: Sequence[int]) -> dict[int, slice]:
        """Return the rows of each region in a column of its part."""
        if column == REGION_VECTOR:
            return {region: slice(region, region + 1) for region in regions}
        if column == ADAPTIVE_VECTORS:
            ends = np.searchsorted(self.read("adaptive/region"), regions, "right").tolist()
            return {r: slice(a, b) for r, a, b in zip(regions, [0, *ends], ends, strict=False)}
        if part == "patches":
            each = PER_SIDE**2
            return {region: slice(i * each, (i + 1) * each) for i, region in enumerate(regions)}
        offsets = self.read("cells/offsets")
        if column == "vertex_offsets":
            offsets = offsets + 1
        if column == "vertices":
            offsets = rows_of(self.journal.place(part) / "vertex_offsets", checked=False)[offsets]
        return {region: slice(int(offsets[region]), int(offsets[region + 1])) for region in regions}

    def note_run(self, started: datetime, regions: Sequence[int], settings: Mapping[str, Any]) -> None:
        """Add a run to the log: when, how many regions it was about, and how it was asked for."""
        try:
            before = self.sidecar("log")["runs"] if self.journal.place("log/zarr.json").exists() else []
        except DamagedError:  # nothing but the times of earlier runs is lost
            before = []
        times = {"started": started, "finished": datetime.now(UTC)}
        run = {name: time.isoformat(timespec="seconds") for name, time in times.items()}
        runs = [*before, {**run, "regions": len(regions), **settings}]
        with storing(self.path):
            (self.path / "log").mkdir(exist_ok=True)
            document = {"attributes": {"runs": runs}, "zarr_format": 3, "node_type": "group"}
            write_whole(self.path / "log" / "zarr.json", seal(document))

    def _at(self, group: str, read: Callable[[Path], T], name: str = "") -> T:
        """Read where a group or file is now; a run that publishes meanwhile moves it at most twice."""
        for moves_left in (2, 1, 0):
            place = self.journal.place(group)
            try:
                return read(place)
            except (OSError, ValueError, KeyError, TypeError) as error:
                if not moves_left:
                    raise self._refusal(group, name, error) from error
        raise AssertionError("not reached")

    def _refusal(self, group: str, name: str, error: Exception) -> StoreError:
        array = f"{group}/{name}" if name else group
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            return StoreError(f"{array} of {self.path} cannot be read: {error.strerror or error}. Try again.")
        regions: set[int] = set()
        if name:
            _, regions = self.lost(array, damaged_rows(self.journal.place(group) / name))
        where = f", {region_words(regions)}" if regions else ""
        return DamagedError(
            f"The result {self.path} is damaged in {array}{where} ({str(error).rstrip('.')}). "
            "Analyse its slide again: what is damaged is made anew, the rest is kept."
        )


def region_words(regions: set[int]) -> str:
    """Return regions in words, such as 'regions 3 to 5 and 8'."""
    starts = sorted(region for region in regions if region - 1 not in regions)
    ends = sorted(region for region in regions if region + 1 not in regions)
    spans = [str(a) if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=True)]
    listed = " and ".join([", ".join(spans[:-1]), spans[-1]] if len(spans) > 1 else spans)
    return f"region{'s' if len(regions) > 1 else ''} {listed}"


def _root(file: Path) -> dict[str, Any]:
    """Return the facts of a result; those of another Zarr folder or an older format come unchecked."""
    content = file.read_bytes()
    try:
        return dict(unseal(content)["attributes"])
    except ValueError:
        facts = dict(json.loads(content).get("attributes", {}))
        if "crc32" in facts or facts.get("format_version") == FORMAT_VERSION:
            raise
        return facts
