"""What a run is to produce: its inputs, its settings, and the hashes that tell stale from current."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..cells import TILE_PX, NetworkSegmenter, Segmenter, no_cells
from ..encoders import PatchEncoder
from ..errors import InputError
from ..slides import Slide
from ..synthetic import is_synthetic
from ..tissue import PATCH_PX, REGION_PX, Grid, Normaliser, StainKind, TissueMask, fit_normaliser
from . import adaptive
from .files import digest, plain
from .filter import KEEP, POOL
from .first_step import FirstStep, audited
from .options import PatchOptions
from .profile import Profile, profile_named
from .provenance import weight_files
from .store import FORMAT, FORMAT_VERSION, Store

if TYPE_CHECKING:
    from ..encoders.ccaf import Fuser
    from ..encoders.places import PocketPlaces
    from ..encoders.region import Hipt

PARTS = ("patches", "cells")
MIN_ON_SLIDE = 0.5
MIN_TISSUE = 0.1
"""Smaller shares of a patch on the slide, or covered by tissue, keep it out of the filter."""

_VECTORS = ("encoder", "regions", "normalisation", "first_step", "adaptive")
_SOFTWARE = (
    *("napari-hwsi", "numpy", "scipy", "scikit-image", "zarr", "openslide-python", "tifffile", "imagecodecs"),
    *("torch", "shapely"),
)


@dataclass(frozen=True)
class Plan:
    """A run's inputs and settings.

    slide: facts of the slide; fractions: float32 (R,) tissue share of each region; regions: encoder of
    the pixels of regions, places: of vectors at places, of patches and regions; where both are None, regions
    and slide are means; normaliser: of the patches' colours, fitted to the slide; first_step: of a two-step
    filter, None where all patches are encoded; adaptive: whether regions are grown; fuser: of the cells of
    kept patches, None where there is none; parts: those asked for; phrases: of the patch scores; settings:
    facts of each part; keys: hash of each part's settings and inputs; base: hash of what all parts stand on
    (slide, grid, tissue).
    A part that is not asked for keeps the settings it has in the store.
    """

    slide: Mapping[str, Any]
    grid: Grid
    tissue: TissueMask
    fractions: NDArray[np.float32]
    encoder: PatchEncoder
    regions: Hipt | None
    places: PocketPlaces | None
    normaliser: Normaliser | None
    first_step: FirstStep | None
    adaptive: bool
    fuser: Fuser | None
    parts: tuple[str, ...]
    phrases: tuple[str, ...]
    settings: Mapping[str, Mapping[str, Any]]
    keys: Mapping[str, str]
    base: str

    @property
    def facts(self) -> dict[str, Any]:
        """Facts of the whole result."""
        software = _versions() | {"python": platform.python_version()}
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "fingerprint": self.slide["fingerprint"],
            "software": software,
        }

    @property
    def region_width(self) -> int:
        """Numbers of a region vector."""
        return next((one.width for one in (self.places, self.regions) if one is not None), self.encoder.width)

    @property
    def slide_width(self) -> int:
        """Numbers of the slide's vector."""
        return self.region_width if self.places is None else self.places.slide_width

    @property
    def with_tissue(self) -> list[int]:
        """Regions that are worth looking at."""
        return [int(region) for region in np.flatnonzero(self.fractions > 0)]

    @property
    def audited(self) -> frozenset[int]:
        """Regions where all patches are encoded, to compare a two-step filter with the full one."""
        return frozenset() if self.first_step is None else audited(self.with_tissue)


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in _SOFTWARE}


def chosen_parts(parts: Sequence[str] | None) -> tuple[str, ...]:
    """Return the parts asked for, all where None; raises InputError for unknown ones."""
    wanted = PARTS if parts is None else (parts,) if isinstance(parts, str) else tuple(parts)
    unknown = [part for part in wanted if part not in PARTS]
    if unknown or not wanted:
        raise InputError(f"Parts are chosen from {', '.join(PARTS)}; not {list(wanted)}.")
    return tuple(part for part in PARTS if part in wanted)


def make_plan(
    store: Store,
    slide: Slide,
    stain: StainKind,
    grid: Grid,
    tissue: TissueMask,
    profile: Profile,
    segmenter: Segmenter,
    parts: tuple[str, ...],
    phrases: Sequence[str] | None,
    options: PatchOptions,
    device: str = "auto",
) -> Plan:
    """Return the plan of a run. segmenter: the one asked for, fitted to the slide.

    Raises InputError for phrases that the profile's encoder does not understand, and for weights that are
    not here; TissueError where there is too little tissue to fit the normalisation to.
    """
    fractions = np.array([tissue.coverage(grid.region_box(i)) for i in range(len(grid))], np.float32)
    ground: dict[str, Any] = {
        "fingerprint": slide.fingerprint,
        "grid": grid_facts(grid),
        "tissue": digest([tissue.downsample, tissue.mask.shape, np.packbits(tissue.mask).tobytes().hex()]),
        "format_version": FORMAT_VERSION,
    }
    if slide.icc:
        ground["icc"] = slide.icc_profile_name
    base = digest(ground)
    standing = {part: facts for part in PARTS if part not in parts and (facts := store.standing(part))}
    words = tuple(profile.phrases if phrases is None else [phrases] if isinstance(phrases, str) else phrases)
    if "patches" in standing:
        words = tuple(standing["patches"]["phrases"])
        if standing["patches"]["base"] == base:
            made = standing["patches"]["settings"]
            profile, options = profile_named(made["profile"]), PatchOptions.of(made)
    encoder, regions = profile.patch_encoder(device), profile.region_encoder(device)
    places = profile.place_encoder(device)
    whole = regions or places
    options.check_saves(encoder)
    normaliser = None if options.normalise is None else fit_normaliser(options.normalise, slide, tissue)
    first_step = None if options.survivors is None else FirstStep(options.survivors)
    grown = options.regions == "adaptive"
    named = {"profile": profile.name, "profile_version": profile.version}
    settings: dict[str, dict[str, Any]] = {
        "patches": named
        | {
            "encoder": {"name": encoder.name, "version": encoder.version, "width": encoder.width},
            "regions": None
            if whole is None
            else {"name": whole.name, "version": whole.version, "width": whole.width},
            "normalisation": None if normaliser is None else plain(normaliser.settings()),
            "first_step": None if first_step is None else first_step.settings(),
            "adaptive": adaptive.settings() if grown else None,
            "filter": {"form": "release", "keep": KEEP, "pool": POOL},
            "min_on_slide": MIN_ON_SLIDE,
            "min_tissue": MIN_TISSUE,
            "weights": weight_files(profile),
        },
        "cells": named
        | {
            "segmenter": {
                "name": segmenter.name,
                "settings": dict(segmenter.settings()),
                "tile_px": TILE_PX,
            },
            "batch": segmenter.batch if isinstance(segmenter, NetworkSegmenter) else 1,
            "type_names": list(segmenter.type_names),
            "measurements": list(no_cells((), None).table.columns),
        },
    }
    if "cells" in standing and standing["cells"]["base"] == base:
        settings["cells"] = standing["cells"]["settings"]
    encoder.encode_text(words)
    # the release's CCAF takes the cell vectors of one segmenter; those of others it was not made for
    own_cells = profile.fuses == "pocket" or settings["cells"]["segmenter"]["name"] == profile.segmenter
    has_cells = "cells" in parts or ("cells" in standing and bool(standing["cells"]["regions"]))
    fuser = profile.fuser(device) if own_cells and has_cells else None
    keys = {
        # Phrases and filter are worked out anew from the vectors; only these make vectors stale.
        "patches": digest(
            [base, *(settings["patches"][name] for name in _VECTORS), MIN_ON_SLIDE, MIN_TISSUE]
        ),
        "cells": digest(
            [base, *(settings["cells"][name] for name in ("segmenter", "measurements")), tissue.digest]
        ),
    }
    before = store.standing("cells")
    if before and before["key"] == keys["cells"]:  # the tiles a batch of the first run, for the same bytes
        settings["cells"]["batch"] = before["settings"]["batch"]
    return Plan(
        slide=slide_facts(slide, stain, tissue),
        grid=grid,
        tissue=tissue,
        fractions=fractions,
        encoder=encoder,
        regions=regions,
        places=places,
        normaliser=normaliser,
        first_step=first_step,
        adaptive=grown,
        fuser=fuser,
        parts=parts,
        phrases=words,
        settings=settings,
        keys=keys,
        base=base,
    )


def grid_facts(grid: Grid) -> dict[str, Any]:
    """Return the grid as facts JSON can hold."""
    facts = {name: list(value) for name, value in asdict(grid).items()}
    return facts | {"region_px": REGION_PX, "patch_px": PATCH_PX, "shape": list(grid.shape)}


def grid_from_facts(facts: Mapping[str, Any]) -> Grid:
    """Return the grid that :func:`grid_facts` wrote down."""
    y0, x0, y1, x1 = facts["extent"]
    return Grid(
        (facts["origin"][0], facts["origin"][1]),
        (y0, x0, y1, x1),
        (facts["downsample"][0], facts["downsample"][1]),
        (facts["mpp"][0], facts["mpp"][1]),
    )


def slide_facts(slide: Slide, stain: StainKind, tissue: TissueMask) -> dict[str, Any]:
    """Return what a result says of its slide; nothing of what a scanner wrote about the patient."""
    mpp = slide.require_mpp()
    return {
        "name": slide.name,
        "path": slide.address,
        "fingerprint": slide.fingerprint,
        "shape": list(slide.shape),
        "mpp": list(mpp),
        "mpp_source": slide.mpp_source,
        "bounds": list(slide.bounds),
        "vendor": slide.vendor,
        "backend": slide.backend,
        "icc": slide.icc_profile_name if slide.icc else None,
        "stain": stain,
        "synthetic": is_synthetic(slide.properties),
        "tissue": tissue.origin,
    }
