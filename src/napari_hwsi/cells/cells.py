"""The cells of a slide, in columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, ResolutionError
from ..tissue import TissueMask
from ..units import Mpp, as_box, as_mpp
from .contours import Contours, concatenate, draw, moments
from .density import BIN_UM, DensityMap, map_density
from .morphology import measure_shapes
from .neighbours import COLUMNS as NEIGHBOUR_COLUMNS
from .neighbours import REACH_UM, Graph, GraphKind, build_graph, measure_neighbours

if TYPE_CHECKING:
    from .counts import Shape


@dataclass(frozen=True, eq=False)
class Cells:
    """N cells; places are (y, x) in level-0 pixels, pixel i covering [i, i + 1).

    centroids: float32 (N, 2); contours: N outlines, float32 (M, 2) each; types: uint8 (N,)
    into type_names; probabilities: float32 (N,), how sure the segmenter is; mpp: (y, x) µm
    per level-0 pixel or None; table: a row a cell, measurements with units in the column
    names; tokens: float32 (N, width), the vector that the segmenter's network has of each cell (384 wide of
    CellViT-256, what CCAF fuses), or None. Raises InputError when the parts differ in length.
    """

    centroids: NDArray[np.float32]
    contours: Contours
    types: NDArray[np.uint8]
    type_names: tuple[str, ...]
    probabilities: NDArray[np.float32]
    mpp: Mpp | None
    table: pd.DataFrame
    tokens: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        lengths = {len(part) for part in (self.contours, self.types, self.probabilities, self.table)}
        lengths |= set() if self.tokens is None else {len(self.tokens)}
        if self.centroids.shape != (len(self), 2) or lengths != {len(self)}:
            raise InputError(f"The parts of {len(self)} cells have other lengths: {sorted(lengths)}.")
        if len(self) and int(self.types.max()) >= len(self.type_names):
            raise InputError(f"Type {int(self.types.max())} has no name among {self.type_names}.")

    @classmethod
    def of(
        cls,
        contours: Contours | Iterable[ArrayLike],
        *,
        types: ArrayLike | None = None,
        type_names: Sequence[str] = ("nucleus",),
        probabilities: ArrayLike | None = None,
        mpp: float | Sequence[float] | None = None,
        measurements: pd.DataFrame | None = None,
        tokens: NDArray[np.float32] | None = None,
    ) -> Cells:
        """Return cells of these outlines (level-0 px), measured.

        Types are all the first, probabilities 1 where None. The table holds the centroids, the
        shapes where mpp is known, and ``measurements``, a row an outline. tokens: (N, width) or None.
        """
        outlines = contours if isinstance(contours, Contours) else Contours.of(map(np.asarray, contours))
        count, pair = len(outlines), None if mpp is None else as_mpp(mpp)
        places = [moments(part)[1].astype(np.float32) for part in outlines.parts()]
        centroids = np.concatenate(places) if places else np.empty((0, 2), np.float32)
        parts = [pd.DataFrame({"centroid_y_px": centroids[:, 0], "centroid_x_px": centroids[:, 1]})]
        if pair is not None:
            parts.append(measure_shapes(outlines, pair))
        if measurements is not None:
            parts.append(measurements.reset_index(drop=True))
        return cls(
            centroids,
            outlines,
            np.zeros(count, np.uint8) if types is None else np.asarray(types, np.uint8),
            tuple(type_names),
            np.ones(count, np.float32) if probabilities is None else np.asarray(probabilities, np.float32),
            pair,
            pd.concat(parts, axis=1),
            tokens,
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Cells]) -> Cells:
        """Return the cells of all parts, in order; a flag that some lack is false of them.

        Raises InputError where type names or mpp differ.
        """
        if not parts:
            return cls.of([])
        if len(parts) == 1:
            return parts[0]
        names, mpp = parts[0].type_names, parts[0].mpp
        if any(part.type_names != names or part.mpp != mpp for part in parts):
            raise InputError("Cells of different type names or resolutions cannot stand in one table.")
        filled = [part.table for part in parts if len(part)] or [parts[0].table]
        flags = {name for table in filled for name in table.select_dtypes(bool)}
        filled = [table.assign(**dict.fromkeys(flags.difference(table), False)) for table in filled]
        tokens = [part.tokens for part in parts if part.tokens is not None]
        if tokens and len(tokens) < len(parts):
            raise InputError("Cells with tokens and cells without cannot stand in one table.")
        return cls(
            np.concatenate([part.centroids for part in parts]),
            concatenate([part.contours for part in parts]),
            np.concatenate([part.types for part in parts]),
            names,
            np.concatenate([part.probabilities for part in parts]),
            mpp,
            pd.concat(filled, ignore_index=True),
            np.concatenate(tokens) if tokens else None,
        )

    @classmethod
    def from_file(
        cls, path: str | Path, mpp: float | Sequence[float] | None = None, scale: float | None = None
    ) -> Cells:
        """Read cells from a file, whose format is recognised by its content.

        GeoJSON of this package, QuPath and others, also gzipped; Parquet and CSV with outlines;
        CellViT's ``cells.json``, ``cell_detection.json`` (boxes for outlines) and ``cells.geojson``;
        HoVer-Net's and TIAToolbox's JSON. GeoJSON and Parquet written here come back without loss. Of
        others the polygons, classes and measurements are taken; ``mpp``, µm per level-0 px, serves if they
        state none; what outlines tell is measured where it is known. scale: level-0 px per px of the
        file, for those that count in pixels of another resolution. Raises InputError for a file that
        cannot be read as cells.
        """
        from .exchange.read import read_cells

        return read_cells(Path(path), mpp, scale)

    def __len__(self) -> int:
        return len(self.centroids)

    def __repr__(self) -> str:
        return f"Cells({len(self)} of {', '.join(self.type_names)})"

    def select(self, which: ArrayLike) -> Cells:
        """Return some cells: a bool mask (N,) or row numbers, in that order."""
        rows = np.asarray(which)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64).reshape(-1)
        return Cells(
            self.centroids[rows],
            self.contours.take(rows),
            self.types[rows],
            self.type_names,
            self.probabilities[rows],
            self.mpp,
            self.table.iloc[rows].reset_index(drop=True),
            None if self.tokens is None else self.tokens[rows],
        )

    def inside(self, box: Sequence[float]) -> NDArray[np.bool_]:
        """Return which centroids lie in a half-open box (y0, x0, y1, x1), level-0 px, bool (N,)."""
        y, x = self.centroids.T
        return (y >= box[0]) & (x >= box[1]) & (y < box[2]) & (x < box[3])

    def in_box(self, box: Sequence[float]) -> Cells:
        """Return the cells whose centroid lies in a half-open box, level-0 px."""
        return self.select(self.inside(box))

    def count_in(
        self, regions: Mapping[str, Shape] | Sequence[Shape], tissue: TissueMask | None = None
    ) -> pd.DataFrame:
        """Count cells in boxes or polygons, with 95 % intervals: see :func:`.counts.count_cells`."""
        from .counts import count_cells

        return count_cells(self, regions, tissue)

    def density_map(
        self,
        box: Sequence[float] | None = None,
        tissue: TissueMask | None = None,
        bin_um: float = BIN_UM,
        sigma_um: float | None = None,
    ) -> DensityMap:
        """Map cells per mm² and the types that prevail: see :func:`.density.map_density`."""
        return map_density(self, box, tissue, bin_um, sigma_um)

    def labels(self, box: Sequence[float], mpp: float | Sequence[float] | None = None) -> NDArray[np.int32]:
        """Draw the cells that meet a box: int32 (Y, X), row number + 1, background 0.

        box: (y0, x0, y1, x1) level-0 px; mpp: µm per pixel of the result, level 0 where None.
        Raises ResolutionError when mpp is asked of cells without one.
        """
        y0, x0, y1, x1 = as_box(box)
        scale = np.ones(2) if mpp is None else np.array(as_mpp(mpp)) / self.require_mpp()
        bounds = self.contours.bounds
        meets = (bounds[:, 0] < y1) & (bounds[:, 1] < x1) & (bounds[:, 2] > y0) & (bounds[:, 3] > x0)
        rows = np.flatnonzero(meets)
        near = self.contours.take(rows)
        placed = Contours(((near.vertices - (y0, x0)) / scale).astype(np.float32), near.offsets)
        shape = np.maximum(np.ceil(np.array([y1 - y0, x1 - x0]) / scale - 1e-6), 1).astype(int)
        numbers = np.append(0, rows + 1).astype(np.int32)
        return np.asarray(numbers[draw(placed, (int(shape[0]), int(shape[1])))])

    def require_mpp(self) -> Mpp:
        """Return mpp; raises ResolutionError where it is not known."""
        if self.mpp is None:
            raise ResolutionError(
                "These cells do not state their µm per pixel. Give it when they are made: "
                "segment_cells(image, mpp=0.25), Cells.from_file(path, mpp=0.25)."
            )
        return self.mpp

    def graph(self, kind: GraphKind = "delaunay", reach_um: float = REACH_UM) -> Graph:
        """Return which cells are neighbours: centroids at most ``reach_um`` apart.

        kind: 'delaunay', those that a triangulation joins, or 'radius', all. Raises ResolutionError without
        mpp, InputError for another kind.
        """
        return build_graph(self.centroids.astype(np.float64) * self.require_mpp(), kind, reach_um)

    def with_neighbours(self, box: Sequence[float] | None = None, tissue: TissueMask | None = None) -> Cells:
        """Return the cells with what their neighbours tell in the table (:func:`.measure_neighbours`).

        box: the (y0, x0, y1, x1) level-0 px that were looked at, what the outlines span where None; tissue:
        only where it allows cells. These columns depend on all cells, so they are not kept where cells are
        kept part by part; after cells were added, removed or typed anew, call this again. A selection
        keeps the values from among all. Raises ResolutionError without mpp.
        """
        mpp, bounds = self.require_mpp(), self.contours.bounds
        if box is None:
            box = [*bounds[:, :2].min(0), *bounds[:, 2:].max(0)] if len(self) else (0, 0, 1, 1)
        types = self.types if len(self.type_names) > 1 else None
        found = measure_neighbours(self.centroids, mpp, types, box, tissue)
        kept = self.table.drop(columns=[*NEIGHBOUR_COLUMNS], errors="ignore")
        return replace(self, table=pd.concat([kept, found.set_index(kept.index)], axis=1))

    def to_geojson(self, path: str | Path, origin: Sequence[float] = (0, 0)) -> None:
        """Write QuPath's GeoJSON, a detection a cell; gzipped where the name ends in ``.gz``.

        origin: the (y, x) level-0 place that becomes (0, 0): QuPath crops slides that state
        bounds (MIRAX), and wants ``slide.bounds[:2]`` there. Raises StoreError when it cannot be written.
        """
        from .exchange.geojson import write_geojson

        write_geojson(self, Path(path), origin)

    def to_parquet(self, path: str | Path) -> None:
        """Write GeoParquet: outlines as WKB, a column a measurement.

        Raises StoreError when it cannot be written.
        """
        from .exchange.parquet import write_parquet

        write_parquet(self, Path(path))

    def to_csv(self, path: str | Path) -> None:
        """Write a CSV: type, centroids in px and µm, measurements, outlines in WKT.

        Raises StoreError when it cannot be written.
        """
        from .exchange.commas import write_csv

        write_csv(self, Path(path))

    def to_spatialdata(self, path: str | Path) -> None:
        """Write a SpatialData Zarr: shapes ``cells`` with their table. Needs the extra ``spatialdata``.

        Raises MissingDependencyError without it, StoreError when it cannot be written.
        """
        from .exchange.spatial import write_spatialdata

        write_spatialdata(self, Path(path))
