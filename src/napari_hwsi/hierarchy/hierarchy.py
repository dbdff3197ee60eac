"""One analysed slide: tables, vectors and cells of its four scales, lazily read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from ..cells import Cells
from ..encoders import PatchEncoder, unit
from ..errors import InputError, StoreError
from ..slides import Slide, open_slide
from ..slides.address import as_place
from ..tissue import Grid, TissueMask, kept_tissue
from ..units import as_box
from .cell_arrays import TABLE, cells_from_arrays
from .checksums import Rows
from .first_step import TwoSteps
from .options import PatchOptions
from .plan import PARTS, grid_from_facts
from .profile import Profile, find_encoder, profile_named
from .store import DONE, Store

Scale: TypeAlias = Literal["cell", "patch", "region"]

_BOX = ("y0", "x0", "y1", "x1")
_PATCH_COLUMNS = (
    "region",
    "patch",
    "tissue_fraction",
    "on_slide",
    "readable",
    "valid",
    "set_aside",
    "encoded",
    "adaptive",
    "selected",
    "rank",
    "relevance",
    "redundancy",
    "redundant",
)


class Hierarchy:
    """The result of :func:`analyze`, as it stands on the disk when this is made.

    Arrays are read when first asked for, and kept. When the result has grown since, reading what was
    not read before raises StoreError: :meth:`refresh` takes in the new state. A context manager that closes
    the slide where the result opened it itself.
    """

    def __init__(self, store: Store, slide: Slide | None = None) -> None:
        """Read the facts of a result; raises StoreError where there is none."""
        self._store = store
        self._slide = slide
        self._opened: list[Slide] = []  # by this result, and so closed by it
        self._words: PatchEncoder | None = None  # loaded once: it can be a large network
        self.refresh()

    def refresh(self) -> None:
        """Take in what has been added on the disk since; raises StoreError where the result is gone."""
        for name in [name for name, value in vars(type(self)).items() if isinstance(value, cached_property)]:
            self.__dict__.pop(name, None)
        self.facts: dict[str, Any] = self._store.facts()
        self._regions: dict[str, Any] = self._store.sidecar("regions")
        self._sidecars = {part: self._store.sidecar(part) for part in PARTS}
        self._fuser: dict[str, Any] | None = self._store.sidecar("ccaf")["fuser"]
        self.slide_facts: dict[str, Any] = self.facts | self._store.sidecar("slide")

    def __repr__(self) -> str:
        done = {part: len(sidecar["regions"]) for part, sidecar in self._sidecars.items()}
        return (
            f"Hierarchy({self.path.name!r}, {self.slide_facts['name']!r}, {len(self.grid)} regions: "
            f"{done['patches']} with patches, {done['cells']} with cells)"
        )

    @property
    def path(self) -> Path:
        """The result's folder."""
        return self._store.path

    @property
    def slide(self) -> Slide:
        """The slide, opened when first asked for.

        Raises SlideError where it cannot be read, StoreError where it is no longer where it was
        analysed, or is another slide: :meth:`open_slide` takes its new place.
        """
        if self._slide is None:
            path = self.slide_facts["path"]
            if path is None:
                raise StoreError(
                    f"{self.slide_facts['name']} was analysed from memory. Analyse it again to read pixels."
                )
            if isinstance(as_place(path), Path) and not Path(path).exists():
                raise StoreError(
                    f"The slide of {self.path} is no longer at {path}. Give its new place: "
                    "result.open_slide(path)."
                )
            self.open_slide(path)
        assert self._slide is not None  # open_slide sets it or raises
        return self._slide

    def open_slide(self, path: str | Path) -> Slide:
        """Open the slide of this result from another place; raises StoreError for another slide."""
        slide = open_slide(path, icc=bool(self.slide_facts.get("icc")))
        if slide.fingerprint != self.slide_facts["fingerprint"]:
            slide.close()
            raise StoreError(f"{path} is not the slide of {self.path}, {self.slide_facts['name']}.")
        if slide.mpp is None:
            slide.set_mpp(self.slide_facts["mpp"])
        self._slide = slide
        self._opened.append(slide)
        return slide

    def close(self) -> None:
        """Close the slides that this result opened; one that was given stays open, what is kept is kept."""
        for slide in self._opened:
            slide.close()
        if self._slide in self._opened:
            self._slide = None
        self._opened.clear()

    def __enter__(self) -> Hierarchy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def grid(self) -> Grid:
        """The grid of the whole slide."""
        return grid_from_facts(self._regions["grid"])

    @property
    def profile(self) -> Profile:
        """The profile of the patches; raises InputError where this version does not have it."""
        return profile_named(self._sidecars["patches"]["settings"]["profile"])

    @property
    def encoder(self) -> str:
        """Name of the encoder of the patches."""
        return str(self.encoder_facts["name"])

    @property
    def encoder_facts(self) -> dict[str, Any]:
        """Name, version (with the hash of its weights) and width of the encoder of the patches."""
        return dict(self._sidecars["patches"]["settings"]["encoder"])

    @property
    def options(self) -> PatchOptions:
        """How the patches became vectors and regions, beyond the profile."""
        return PatchOptions.of(self._sidecars["patches"]["settings"])

    @property
    def two_steps(self) -> TwoSteps | None:
        """What a two-step filter saved and changed, None where all patches were encoded."""
        facts, survivors = self._sidecars["patches"]["two_steps"], self.options.survivors
        if survivors is None:
            return None
        return TwoSteps(survivors, facts["saving"], facts["agreement"], tuple(facts["audited"]))

    @property
    def normalisation(self) -> str | None:
        """Name of the stain normalisation before that encoder, None where there was none."""
        return self.options.normalise

    @property
    def segmenter(self) -> str:
        """Name of the segmenter of the cells."""
        return str(self._sidecars["cells"]["settings"]["segmenter"]["name"])

    @property
    def phrases(self) -> tuple[str, ...]:
        """What the patches are scored by."""
        return tuple(self._sidecars["patches"]["phrases"])

    @cached_property
    def regions(self) -> pd.DataFrame:
        """All regions of the grid.

        Columns: region, y0, x0, y1, x1; tissue_fraction, on_slide (shares of the box); patches, cells
        (whether each part is done); n_cells, n_redundant (missing where not done); status: 'done' (all
        parts that the result has), 'pending', or 'skipped', with its reason.
        """
        names = ("tissue_fraction", "on_slide", "patches", "cells", "n_cells", "n_redundant")
        columns = {name: self._read(f"regions/{name}") for name in names}
        table = pd.DataFrame({"region": np.arange(len(self.grid))})
        table[[*_BOX]] = self._read("regions/boxes")
        for name, values in columns.items():
            table[name] = _missing(values) if name.startswith("n_") else values
        present = [part for part in PARTS if self._sidecars[part]["regions"]] or list(PARTS)
        done = np.all([columns[part] == DONE for part in present], 0)
        reasons: dict[str, str] = self._regions["left_out"]
        table["reason"] = [reasons.get(str(region), "") for region in table["region"]]
        table["status"] = np.where(done, "done", np.where(table["reason"] != "", "skipped", "pending"))
        for part in PARTS:
            table[part] = columns[part] == DONE
        return table

    @cached_property
    def region_vectors(self) -> NDArray[np.float32]:
        """Vectors of the regions, float32 (R, G): of what encodes regions in the profile, else the mean of
        the valid patch vectors; 0 where no patch is valid.
        """
        return self._read("regions/vectors")

    @cached_property
    def adaptive_regions(self) -> pd.DataFrame:
        """The regions grown by the likeness of patches, a row each; none where regions are squares.

        Columns: region, the square each lies in, and number, as in the columns ``region`` and ``adaptive`` of
        :attr:`patches`; y0, x0, y1, x1, the box round it; n_patches.
        """
        table = pd.DataFrame({name: self._read(f"adaptive/{name}") for name in ("region", "number")})
        table[[*_BOX]] = self._read("adaptive/boxes")
        return table.assign(n_patches=self._read("adaptive/n_patches"))

    def adaptive_outlines(self) -> list[NDArray[np.float64]]:
        """Return the outer outline of each of :attr:`adaptive_regions`, float64 (M, 2) level-0 px (y, x)."""
        patches = self.patches[self.patches["adaptive"] >= 0]
        squares = shapely.box(*(patches[name].to_numpy(np.float64) for name in _BOX))
        _, members = np.unique(patches[["region", "adaptive"]].to_numpy(), axis=0, return_inverse=True)
        order, counts = np.argsort(members, kind="stable"), np.bincount(members)
        parts = np.split(squares[order], counts.cumsum()[:-1]) if len(counts) else []
        return [shapely.get_coordinates(shapely.union_all(part).exterior) for part in parts]

    @cached_property
    def adaptive_vectors(self) -> NDArray[np.float32]:
        """Vectors of :attr:`adaptive_regions`, float32 (A, G), made as :attr:`region_vectors` are."""
        return self._read("adaptive/vectors")

    @cached_property
    def patches(self) -> pd.DataFrame:
        """All patches of the regions whose patches are done, by region, then patch.

        Columns: region, patch, y0, x0, y1, x1, tissue_fraction, on_slide, readable, valid, set_aside,
        encoded, adaptive, selected, rank, relevance, redundancy, redundant, n_cells, and one column of scores
        a phrase, named by it.
        """
        table = pd.DataFrame({name: self._read(f"patches/{name}") for name in _PATCH_COLUMNS})
        boxes = self._read("patches/boxes")
        for i, name in enumerate(_BOX):
            table.insert(2 + i, name, boxes[:, i])
        counts = self._read("cells/patch_counts")
        table["n_cells"] = _missing(counts[table["region"], table["patch"]])
        scores = self._read("patches/scores")
        for i, phrase in enumerate(self.phrases):
            table[phrase] = scores[:, i]
        return table

    @cached_property
    def patch_vectors(self) -> NDArray[np.float32]:
        """Vectors of the rows of :attr:`patches`, float32 (P, W), length one; 0 where not ``encoded``."""
        return self._read("patches/vectors")

    @property
    def selected_patches(self) -> pd.DataFrame:
        """The patches the filter kept, by region, most relevant first."""
        patches = self.patches
        return patches[patches["selected"]].sort_values(["region", "rank"])

    @cached_property
    def slide_vector(self) -> NDArray[np.float32]:
        """Vector of the slide, float32 (S,): of the profile's transformer of regions, else their mean; of the
        adaptive ones, where regions were grown.
        """
        return self._read("slide/vector")

    @cached_property
    def tissue(self) -> TissueMask:
        """Where tissue and artefacts are, as the analysis saw them."""
        y, x = self._store.array_facts("slide/tissue_mask")["downsample"]
        origin = self.slide_facts.get("tissue", "given")
        mask, artefacts = self._read("slide/tissue_mask"), self._read("slide/artefacts")
        return TissueMask(mask, (y, x), artefacts, origin=origin)

    @property
    def tissue_is_current(self) -> bool:
        """Whether the user has neither edited the slide's tissue since, nor gone back to the automatic one.

        Raises StoreError where the mask that is kept is damaged.
        """
        kept = kept_tissue(self.slide_facts["fingerprint"])
        if kept is None:
            return self.slide_facts.get("tissue") != "edited"
        same = kept.downsample == self.tissue.downsample
        return same and np.array_equal(kept.classes, self.tissue.classes)

    @property
    def type_names(self) -> tuple[str, ...]:
        """Kinds of cells that ``types`` numbers."""
        return tuple(self._sidecars["cells"]["settings"]["type_names"])

    @cached_property
    def cells(self) -> Cells:
        """All cells, by region, without their vectors (:meth:`cells_in` gives these); none where no region's
        cells are done.
        """
        return self._cells(0, len(self.grid))

    def cells_in(self, box: Sequence[float], tokens: bool = False) -> Cells:
        """Return the cells whose centroid lies in a half-open box (y0, x0, y1, x1), level-0 px.

        Only the regions that meet the box are read. tokens: with their vectors, where the segmenter gave
        any. Raises InputError for an empty box.
        """
        regions = self.grid.regions_meeting(as_box(box))
        parts = [self._cells(region, region + 1, tokens) for region in regions] or [self._cells(0, 0, tokens)]
        return Cells.concatenate(parts).in_box(box)

    def cell_column(self, name: str) -> NDArray[Any]:
        """Return one column of all cells, in the row order of :attr:`cells`, (N,) or (N, numbers).

        name: 'centroids', 'types', 'probabilities', a measurement such as 'table/area_um2', or 'tokens', the
        segmenter's vectors, where it gave any.
        Raises InputError for a column that the cells do not have.
        """
        names = [*self._store.cell_columns(), *(["tokens"] if self._store.token_width else [])]
        if not self._sidecars["cells"]["regions"] and name.startswith(TABLE):
            return np.empty(0, np.float32)  # what is measured is known once there are cells
        if name not in names:
            raise InputError(f"The cells have no column {name!r}. They have: {', '.join(names)}.")
        return self._read(f"cells/{name}", slice(None) if self._once is None else self._once)

    @property
    def cell_table(self) -> pd.DataFrame:
        """The measurements of all cells, the ``table`` of :attr:`cells`, read without their outlines."""
        if not self._sidecars["cells"]["regions"]:
            return self.cells.table
        names = self._sidecars["cells"]["measurements"]
        return pd.DataFrame({name: self.cell_column(f"{TABLE}{name}") for name in names}, copy=False)

    @cached_property
    def _once(self) -> NDArray[np.int64] | None:
        """The rows of the cells without doubles, None where there are no doubles."""
        double = self._read("cells/double")
        return np.flatnonzero(~double) if double.any() else None

    def _cells(self, first: int, last: int, tokens: bool = False) -> Cells:
        """Return the cells of regions ``first`` up to ``last``."""
        self._check_current()
        rows = self._store.cell_rows(first, last)
        arrays, double = self._store.cells_of(rows, tokens), self._read("cells/double", rows)
        y, x = self.slide_facts["mpp"]
        cells = cells_from_arrays(arrays, self.type_names, (y, x))
        return cells.select(~double) if double.any() else cells

    def attention(self, scale: Scale, kind: str = "filter") -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return scores float32 (N,) of places and their boxes int64 (N, 4).

        kind 'filter': at scale 'patch' the relevance of every valid patch, at scale 'region' the mean
        relevance of its kept patches. kind 'pocket': the share of each valid patch in the attention of its
        region, and that of each region in the attention of the slide, where the profile's transformers made
        these. kind 'ccaf', at scale 'cell': the share of each cell of the kept patches in the attention of
        its patch. With what the whole looks at itself shares sum to one. Raises InputError for what the
        result does not hold.
        """
        held = {("patch", "filter"), ("region", "filter")} | ({("cell", "ccaf")} if self.fuses else set())
        if self.attends:
            held |= {("patch", "pocket"), ("region", "pocket")}
        if (scale, kind) not in held:
            there = ", ".join(f"{k!r} at scale {s!r}" for s, k in sorted(held))
            raise InputError(f"This result holds scores of kind {there}; not {kind!r} at {scale!r}.")
        if (scale, kind) == ("patch", "pocket"):
            valid = self._read("patches/valid")
            return self._read("patches/attention")[valid], self._read("patches/boxes")[valid]
        return (
            self._read(f"attention/{kind}/{scale}/scores"),
            self._read(f"attention/{kind}/{scale}/boxes"),
        )

    @property
    def attends(self) -> bool:
        """Whether transformers made regions of patches and the slide of regions, and left their attention."""
        regions = self._sidecars["patches"]["settings"]["regions"]
        return regions is not None and regions["name"] == "pocket"

    @property
    def has_cell_vectors(self) -> bool:
        """Whether the segmenter gave each cell a vector of its own."""
        return self._store.token_width > 0

    @property
    def fuses(self) -> bool:
        """Whether CCAF fused the cells of kept patches."""
        return self._fuser is not None

    @cached_property
    def cell_shares(self) -> NDArray[np.float32]:
        """The ``attention("cell", "ccaf")`` of each of :attr:`cells`, float32 (N,); NaN outside kept patches.

        Raises InputError where no cells are fused.
        """
        scores, _ = self.attention("cell", "ccaf")
        double = self._read("cells/double")
        shares = np.full(len(double), np.nan, np.float32)
        shares[self._read("attention/ccaf/cell/rows")] = scores
        return shares[~double]

    @cached_property
    def cell_tokens(self) -> NDArray[np.float32]:
        """What CCAF makes of the cells of each of :attr:`selected_patches`, float32 (K, C).

        0 where a patch holds no cell, NaN where its cells are not done. Raises InputError where no cells are
        fused.
        """
        if not self.fuses:
            raise InputError(
                f"No cells of {self.path} are fused. Analyse with a profile that does so, such as 'release'."
            )
        tokens, kept = self._read("ccaf/tokens"), self.selected_patches
        rows = {
            key: i
            for i, key in enumerate(zip(self._read("ccaf/region"), self._read("ccaf/patch"), strict=True))
        }
        place = np.array(
            [rows.get(key, -1) for key in zip(kept["region"], kept["patch"], strict=True)], np.int64
        )
        out = np.full((len(kept), tokens.shape[1]), np.nan, np.float32)
        out[place >= 0] = tokens[place[place >= 0]]
        return out

    def phrase_scores(self, phrases: Sequence[str]) -> NDArray[np.float32]:
        """Return the cosine of each row of :attr:`patches` to each phrase, float32 (P, M).

        NaN where not valid. Nothing is written. Raises InputError for a phrase the encoder does not know, and
        StoreError where the encoder's weights are no longer those that made the vectors.
        """
        if self._words is None:
            encoder = find_encoder(self.encoder)
            if encoder.version != self._sidecars["patches"]["settings"]["encoder"]["version"]:
                raise StoreError(
                    f"The patches of {self.path} were encoded with other weights of {self.encoder}, in which "
                    "these phrases have no meaning. Analyse the slide again."
                )
            self._words = encoder
        words = unit(self._words.encode_text(phrases))
        valid = self._read("patches/valid")
        scores = np.full((len(valid), len(words)), np.nan, np.float32)
        scores[valid] = unit(self.patch_vectors[valid]) @ words.T
        return scores

    def covers(self, box: Sequence[float], parts: Sequence[str] = PARTS) -> bool:
        """Return whether the parts are done in every region with tissue that meets the box."""
        regions = self.regions.iloc[self.grid.regions_meeting(as_box(box))]
        regions = regions[regions["reason"] != "no tissue"]
        return all(bool(regions[part].all()) for part in parts)

    def _read(self, array: str, rows: Rows = slice(None)) -> NDArray[Any]:
        values = self._store.read(array, rows)
        self._check_current()
        return values

    def _check_current(self) -> None:
        if self._store.sidecar("regions")["content"] != self._regions["content"]:
            raise StoreError(
                f"The result {self.path} has changed since it was opened here. "
                "Take in its new state with result.refresh()."
            )


def open_result(store: str | Path, slide: Slide | None = None) -> Hierarchy:
    """Open a result on disk.

    slide: the open slide it is about, where there is one; else it is opened when first needed.
    Raises StoreError where there is no result, one this version cannot read, another slide's, or
    one that was made with another pixel size than the slide's.
    """
    result = Hierarchy(Store(store), slide)
    if slide is None:
        return result
    if slide.fingerprint != result.slide_facts["fingerprint"]:
        raise StoreError(
            f"{result.path} holds the result of another slide, {result.slide_facts['name']}, not of "
            f"{slide.name}. Choose another place for this one, or open that slide."
        )
    if bool(result.slide_facts.get("icc")) != slide.icc:
        raise StoreError(
            f"{result.path} was made {'without' if slide.icc else 'with'} the slide's colour profile, and "
            f"{slide.name} is open {'with' if slide.icc else 'without'} it. Analyse it again, or open it the "
            "same way."
        )
    made, given = result.slide_facts["mpp"], slide.mpp
    if given is not None and list(given) != made:
        raise StoreError(
            f"{result.path} was made at {made[0]:.4g} x {made[1]:.4g} µm/px, and {slide.name} now has "
            f"{given[0]:.4g} x {given[1]:.4g}. Analyse it again, or give the old pixel size."
        )
    return result


def _missing(values: NDArray[Any]) -> pd.Series[Any]:
    """Return whole numbers with −1 as missing."""
    return pd.Series(values, dtype="Int64").where(values >= 0)
