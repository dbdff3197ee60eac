"""Features of other tools, opened as a hierarchy with what they have."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import InputError, StoreError
from ...slides import Slide
from .features import Floats, Indices, PatchFeatures, Places
from .hints import Hints
from .registry import layout_of, read_features

_BOX = ["y0", "x0", "y1", "x1"]


class FeatureHierarchy:
    """Patch features that another tool made, with the names of :class:`Hierarchy` for what there is of them.

    path: the file; layout: its name among LAYOUTS; features: all that was read. What other tools' files do
    not hold (cells, phrases, attention, the µm grid, tissue) raises InputError that says so.
    """

    def __init__(self, features: PatchFeatures, path: Path, layout: str, slide: Slide | None = None) -> None:
        self.features = features
        self.path = path
        self.layout = layout
        self._slide = slide

    def __repr__(self) -> str:
        regions = f"{len(self.regions)} regions, " if self.features.regions else ""
        count, width = self.features.vectors.shape
        name = self.features.facts.name
        return f"FeatureHierarchy({name!r}, {self.layout}: {regions}{count} patches x {width})"

    @property
    def slide(self) -> Slide:
        """The slide it was opened with; raises StoreError where it was opened without."""
        if self._slide is None:
            raise StoreError(f"{self.path} was opened without its slide: open_features(path, slide=…).")
        return self._slide

    @property
    def slide_facts(self) -> dict[str, Any]:
        """What the files and the user say of the slide, the patches and the encoder."""
        return vars(self.features.facts) | {"layout": self.layout}

    @property
    def encoder(self) -> str | None:
        """Name of what made the patch vectors, None where nobody says."""
        return self.features.facts.encoder

    @property
    def boxes(self) -> Places:
        """Exact boxes of the rows of :attr:`patches`, float64 (N, 4), level-0 px."""
        return self.features.boxes

    @property
    def patch_vectors(self) -> Floats:
        """Vectors of the rows of :attr:`patches`, float32 (N, W), of the length they have in the file."""
        return self.features.vectors

    @cached_property
    def patches(self) -> pd.DataFrame:
        """All patches in the order of the file.

        Columns: y0, x0, y1, x1 (nearest whole level-0 px), valid; where there are regions also region and
        patch (number within it), and where a filter kept some, selected and rank (0 = most relevant, −1).
        """
        table = pd.DataFrame(np.rint(self.boxes).astype(np.int64), columns=_BOX)
        regions = self.features.regions
        if regions is not None:
            row = np.arange(len(table))
            table.insert(0, "region", row // max(1, regions.per_region))
            table.insert(1, "patch", row % max(1, regions.per_region))
        table["valid"] = self.features.valid
        if regions is not None and regions.kept is not None:
            region, rank = np.nonzero(regions.kept >= 0)
            ranks = np.full(len(table), -1, np.int64)
            ranks[region * regions.per_region + regions.kept[region, rank]] = rank
            table["selected"], table["rank"] = ranks >= 0, ranks
        return table

    @property
    def selected_patches(self) -> pd.DataFrame:
        """The patches a filter kept, by region, most relevant first; all valid ones where there was none."""
        patches = self.patches
        if "selected" not in patches:
            return patches[patches["valid"]]
        return patches[patches["selected"]].sort_values(["region", "rank"])

    @property
    def regions(self) -> pd.DataFrame:
        """Regions: region, y0, x0, y1, x1, status ('done'); none where the features have no regions."""
        boxes = self.features.regions.boxes if self.features.regions else np.empty((0, 4))
        table = pd.DataFrame(np.rint(boxes).astype(np.int64), columns=_BOX)
        table.insert(0, "region", np.arange(len(table)))
        return table.assign(status="done")

    @property
    def region_vectors(self) -> Floats:
        """Vectors of the regions, float32 (R, W); raises InputError where there are none."""
        regions = self.features.regions
        if regions is None or regions.vectors is None:
            self._lacks("region vectors")
        return regions.vectors

    @property
    def slide_vector(self) -> Floats:
        """The slide's own vector; else the mean of the region vectors; else that of the valid patch vectors.

        Raises InputError where there are no vectors at all.
        """
        own, regions = self.features.slide_vector, self.features.regions
        if own is not None:
            return own
        vectors = self.patch_vectors[self.features.valid]
        if regions is not None and regions.vectors is not None:
            vectors = regions.vectors
        if not vectors.size:
            self._lacks("vectors")
        return np.asarray(vectors.mean(0, dtype=np.float64), np.float32)

    @property
    def cell_vectors(self) -> Floats:
        """Cell tokens of the kept patches, float32 (R, K, C); raises InputError where there are none."""
        regions = self.features.regions
        if regions is None or regions.tokens is None:
            self._lacks("cell vectors")
        return regions.tokens

    @property
    def cells(self) -> NoReturn:
        """No layout holds cells; raises InputError."""
        self._lacks("cells", "Find them with segment_cells, or analyze the slide")

    @property
    def phrases(self) -> NoReturn:
        """No layout holds phrases; raises InputError."""
        self._lacks("phrases", "analyze scores patches by phrases")

    @property
    def tissue(self) -> NoReturn:
        """No layout holds tissue; raises InputError."""
        self._lacks("tissue mask", "tissue_mask(slide) finds it")

    @property
    def grid(self) -> NoReturn:
        """Patches of other tools lie on no grid of this package; raises InputError."""
        self._lacks("µm grid", "Places are in .boxes")

    def attention(self, scale: str, kind: str = "filter") -> tuple[NDArray[np.float32], Indices]:
        """No layout holds attention; raises InputError."""
        self._lacks(f"scores of kind {kind!r} at scale {scale!r}", "analyze makes them")

    def _lacks(self, what: str, instead: str | None = None) -> NoReturn:
        advice = f" {instead}." if instead else ""
        raise InputError(f"{self.path}, {self.layout} features of another tool, holds no {what}.{advice}")


def open_features(
    path: str | Path,
    slide: Slide | None = None,
    layout: str | None = None,
    mpp: float | None = None,
    patch_px: float | None = None,
    encoder: str | None = None,
    name: str | None = None,
) -> FeatureHierarchy:
    """Open patch features that another tool made, as a hierarchy with what they have.

    path: a file, or for the release's files also the folder above them. slide: the open slide they are
    of; patches off it are refused. layout: one of LAYOUTS, recognised by the content where None. What
    files may not say themselves: mpp, µm per level-0 pixel, where no slide does; patch_px, side of a
    patch in level-0 pixels; encoder, whose features where there are several; name, what the slide is
    called, and which of several.

    Raises InputError for a file in no known layout, one that is damaged, and parts that do not fit together;
    ResolutionError where µm per pixel are needed and unknown.
    """
    place = Path(path).expanduser()
    kind = layout or layout_of(place)
    features = read_features(place, Hints.of(slide, mpp, patch_px, encoder, name), kind)
    return FeatureHierarchy(features, place, kind, slide)
