"""The result on disk: ``<name>.hwsi.zarr``, a Zarr v3 hierarchy of columns.

Everything can be read with plain zarr. Places are level-0 pixels, (y, x); R is the number of
regions of the slide's whole grid, P = 256 rows for each region whose patches are done, N the
cells, V the vertices of all contours, W the width of the patch vectors, G that of the region vectors,
M the phrases, K the regions whose patches are done.

==================================  ==================  ===========================================
array                               type, shape         meaning
==================================  ==================  ===========================================
slide/vector                        float32 (G,)        mean of the region vectors, adaptive ones where grown
slide/tissue_mask                   bool (y, x)         at attribute ``downsample``; no artefacts
slide/artefacts                     uint8 (y, x)        0, or the number of the kind (``ARTEFACTS``)
regions/boxes                       int64 (R, 4)        y0, x0, y1, x1
regions/tissue_fraction, on_slide   float32 (R,)        shares of the region's area
regions/patches, cells              uint8 (R,)          0 pending, 1 done, 2 no tissue
regions/n_cells                     int32 (R,)          −1 where not done
regions/n_redundant                 int32 (R,)          patches the paper's rule would drop, −1
regions/vectors                     float32 (R, G)      of the encoder of regions, or the mean of the valid
                                                        patch vectors; 0 where no patch is valid
patches/region, patch               int32, int16 (P,)   row order: by region, then patch
patches/boxes                       int64 (P, 4)
patches/tissue_fraction, on_slide   float32 (P,)        shares of the patch's area
patches/readable                    bool (P,)           all its pixels could be decoded, where tried
patches/valid                       bool (P,)           takes part in the filter
patches/set_aside                   bool (P,)           by the first step of a two-step filter: not valid
patches/encoded                     bool (P,)           has a vector: valid, or set aside and audited
patches/adaptive                    int16 (P,)          its adaptive region in its square, −1 for none
patches/selected, rank              bool, int16 (P,)    kept; 0 = most relevant of its region, −1; adaptive
                                                        regions of a square follow one another
patches/relevance, redundancy       float32 (P,)        mean cosine to phrases, to other patches
patches/redundant                   bool (P,)           dropped by the paper's rule
patches/scores                      float32 (P, M)      cosine to each phrase
patches/vectors                     float32 (P, W)      0 where not encoded
adaptive/region, number             int32, int16 (A,)   square of each adaptive region, and number in it
adaptive/boxes                      int64 (A, 4)        bounding boxes of their patches
adaptive/n_patches                  int32 (A,)          patches with tissue
adaptive/vectors                    float32 (A, G)      as regions/vectors, of their patches alone
cells/offsets                       int64 (R + 1,)      rows of region i: offsets[i] to offsets[i + 1]
cells/centroids                     float32 (N, 2)
cells/types, probabilities          uint8, f32 (N,)
cells/vertices, vertex_offsets      f32 (V, 2), int64   contour i: offsets [i] to [i + 1], (N + 1,)
cells/table/…                       float32 (N,)        the measurements, named with their units
cells/tokens                        float32 (N, T)      the segmenter's vectors, where it gives any
cells/double                        bool (N,)           found from both sides of a seam: not counted
cells/patch_counts                  int32 (R, 256)      cells of each patch, −1 where not done
attention/filter/patch/…            scores, boxes       relevance of the valid patches
attention/filter/region/…           scores, boxes (K,)  mean relevance of the kept patches of the regions,
                                                        (A,) of the adaptive ones where grown
attention/ccaf/cell/…               scores, boxes (F,)  share of each fused cell in the attention of its
                                                        patch, the mean of the heads; ``rows`` in cells
ccaf/region, patch                  int32, int16 (S,)   kept patches whose cells are fused, by region, rank
ccaf/n_cells                        int32 (S,)          of them; they follow one another in attention/ccaf
ccaf/tokens                         float32 (S, C)      the cell token of each, 0 where it has no cell
ccaf/patch_offsets, cell_offsets    int64 (R + 1,)      rows of region i here, and in attention/ccaf
==================================  ==================  ===========================================

The attributes of each group are its sidecar of facts: its settings, the ``key`` that is
their hash together with that of the inputs, and ``content``, which names the state of its
arrays. The root holds the format, the slide's fingerprint and the software. Times stand
apart, in the attributes of ``log``. Row order depends on the grid alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import zarr
from numpy.typing import NDArray

from ..errors import StoreError
from ..home import home
from ..slides import Slide
from .files import storing
from .journal import WORK, Journal

T = TypeVar("T")

FORMAT = "hwsi"
FORMAT_VERSION = 4
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

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self.journal = Journal(self.path)

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
        facts = self._at("zarr.json", _attributes)
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

    def sidecar(self, group: str) -> dict[str, Any]:
        """Return the facts of one group."""
        return self._at(group, lambda place: _attributes(place / "zarr.json"))

    def read(self, array: str, rows: slice = slice(None)) -> NDArray[Any]:
        """Return an array, or some of its rows, by its path such as 'patches/vectors'."""
        group, _, name = array.partition("/")
        return self._at(
            group, lambda place: np.asarray(zarr.open_array(str(place), path=name, mode="r")[rows]), name
        )

    def array_facts(self, array: str) -> dict[str, Any]:
        """Return the attributes of an array."""
        group, _, name = array.partition("/")
        return self._at(group, lambda place: _attributes(place / name / "zarr.json"), name)

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
        names = [*self.cell_columns(), *(["tokens"] if tokens and self.token_width else [])]
        return {
            **{name: self.read(f"cells/{name}", rows) for name in names},
            "vertices": self.read("cells/vertices", slice(int(offsets[0]), int(offsets[-1]))),
            "vertex_offsets": offsets - offsets[0],
        }

    def note_run(self, started: datetime, regions: Sequence[int]) -> None:
        """Add a run to the log: when, and how many regions it was about."""
        with storing(self.path):
            log = zarr.open_group(str(self.path), path="log", mode="a")
            runs = [*cast(list[Any], log.attrs.get("runs", []))]
            times = {"started": started, "finished": datetime.now(UTC)}
            run = {name: time.isoformat(timespec="seconds") for name, time in times.items()}
            log.attrs["runs"] = [*runs, run | {"regions": len(regions)}]

    def _at(self, group: str, read: Callable[[Path], T], name: str = "") -> T:
        """Read where a group or file is now; a run that publishes meanwhile moves it at most twice."""
        for moves_left in (2, 1, 0):
            place = self.journal.place(group)
            try:
                return read(place)
            except (OSError, ValueError, KeyError, TypeError) as error:
                if not moves_left:
                    raise StoreError(
                        f"The result {self.path} is damaged at {place / name}: {error}. "
                        "Delete it and analyse the slide again."
                    ) from error
        raise AssertionError("not reached")


def _attributes(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text())["attributes"])
