"""What an analysis will take, told before it starts: rough, from what earlier ones took on this machine.

Every run leaves, per part, the seconds and bytes that a square millimetre of tissue took it. They are kept
for the user, apart from results, whose bytes must not depend on a clock.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..disk import write_whole
from ..errors import StoreError
from ..home import home
from ..slides import Slide
from ..tissue import Grid, TissueMask, region_grid
from ..units import Box, intersect
from .hierarchy import Hierarchy
from .options import PatchOptions
from .plan import PARTS
from .profile import Profile
from .store import Store

_LEAST_MM2 = 0.02  # of less tissue a run tells nothing
_WHILE_WRITTEN = 3  # finished regions, old columns and new ones stand beside each other for a while

Names: TypeAlias = Mapping[str, str]
"""What each part of a run is done with: rates are kept by these."""


@dataclass(frozen=True)
class Rate:
    """What a square millimetre of tissue takes; here: whether that was measured on this machine."""

    seconds: float
    bytes: float
    here: bool = True


TYPICAL: Mapping[str, Rate] = {
    "cells classical": Rate(6.0, 1.5e6, here=False),
    "cells pocket": Rate(2.6, 1.5e6, here=False),
    "patches pocket pocket": Rate(1.2, 9e4, here=False),
}
"""On two cores without a GPU (benchmarks/RESULTS.md), until there is a rate of this machine."""


def names_of(profile: Profile, segmenter: str, options: PatchOptions, device: str) -> Names:
    """Return what each part is done with."""
    step = "" if options.survivors is None else f" of {options.survivors}"
    on = "" if device == "auto" else f" on {device}"
    return {
        "patches": f"patches {profile.encoder} {profile.regions}{step}{on}",
        "cells": f"cells {segmenter}{on}",
    }


def known_rates() -> dict[str, Rate]:
    """Return the rates by name, those of this machine first."""
    try:
        kept = json.loads(_file().read_text())
        return {**TYPICAL, **{name: Rate(float(s), float(b)) for name, (s, b) in kept.items()}}
    except (OSError, ValueError, TypeError):  # nothing has run yet; a damaged file is as good as none
        return dict(TYPICAL)


class Meter:
    """Takes the time of a run, part by part, and keeps what it comes to."""

    def __init__(self, names: Names, grid: Grid, tissue: TissueMask, mpp: tuple[float, float]) -> None:
        self._names, self._grid, self._tissue, self._mpp = names, grid, tissue, mpp
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._mm2 = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def region(self, part: str, region: int) -> Iterator[None]:
        """Measure the work on a region; what breaks off is not counted."""
        start = time.perf_counter()
        yield
        self._seconds[part] += time.perf_counter() - start
        self._mm2[part] += self._area(region)

    def keep(self, store: Store) -> None:
        """Remember the rates of the parts that were worked on, with the place they take in the store."""
        rates = {name: [rate.seconds, rate.bytes] for name, rate in known_rates().items() if rate.here}
        for part in PARTS:
            if self._mm2[part] < _LEAST_MM2:
                continue
            done = store.sidecar(part)["regions"]
            size = sum(file.stat().st_size for file in (store.path / part).rglob("*") if file.is_file())
            mm2 = sum(map(self._area, done))
            rates[self._names[part]] = [self._seconds[part] / self._mm2[part], size / mm2 if mm2 else 0.0]
        try:
            _file().parent.mkdir(parents=True, exist_ok=True)
            write_whole(_file(), json.dumps(rates, indent=1, sort_keys=True).encode())
        except OSError:
            return  # a home that cannot be written costs the next estimate, not this result

    def _area(self, region: int) -> float:
        return self._tissue.area_in(self._grid.region_box(region)) * self._mpp[0] * self._mpp[1] / 1e6


@dataclass(frozen=True)
class Estimate:
    """What is left to do, and what it takes.

    regions, mm2: by part, how many and how much tissue is in them; seconds, bytes: None where no rate is
    known; here: whether all rates are of this machine; begun: whether some of it is done already; free: bytes
    on the disk of the result, None where its place cannot be looked at.
    """

    regions: Mapping[str, int]
    mm2: Mapping[str, float]
    seconds: float | None
    bytes: float | None
    here: bool
    begun: bool
    free: int | None

    @property
    def fits(self) -> bool:
        """Whether the disk has room for the result while it is written."""
        return self.free is None or self.bytes is None or self.bytes * _WHILE_WRITTEN < self.free

    @property
    def left(self) -> bool:
        """Whether any region is left to do."""
        return any(self.regions.values())

    def __str__(self) -> str:
        count, mm2 = max(self.regions.values(), default=0), max(self.mm2.values(), default=0.0)
        if not self.left:
            return "Nothing is left to compute there but scores of phrases."
        what = f"{mm2:.1f} mm² of tissue in {count} region{'s' if count > 1 else ''}"
        if self.seconds is None or self.bytes is None:
            return f"{what}. How long it takes is known once a first region has been done on this machine."
        whose = "earlier runs on this machine" if self.here else "runs on another machine of two cores"
        words = f"{what}: about {spell_time(self.seconds)} and {spell_bytes(self.bytes)}; rough, by {whose}."
        if not self.fits:
            room = f"{spell_bytes(self.bytes * _WHILE_WRITTEN)}, and {spell_bytes(self.free or 0)} are free"
            words += f" The disk may be too full: while it is written the result needs up to {room}."
        return words


def estimate(
    slide: Slide,
    tissue: TissueMask,
    names: Names,
    parts: Sequence[str],
    profile: Profile,
    segmenter: str,
    options: PatchOptions,
    store: Path,
    box: Box | None = None,
) -> Estimate:
    """Return what analysing a slide, or a box of it (level-0 px), will take beyond what its result holds.

    Nothing is computed and nothing is loaded. Raises ResolutionError for a slide without mpp.
    """
    grid, mpp = region_grid(slide), slide.require_mpp()
    areas = [tissue.area_in(grid.region_box(i)) * mpp[0] * mpp[1] / 1e6 for i in range(len(grid))]
    asked = [i for i, area in enumerate(areas) if area > 0]
    if box is not None:
        asked = [i for i in asked if intersect(grid.region_box(i), box)]
    done = _done(slide, profile, segmenter, options, store)
    left = {part: [i for i in asked if i not in done[part]] for part in parts}
    mm2 = {part: sum(areas[i] for i in regions) for part, regions in left.items()}
    rates, busy = known_rates(), [part for part in parts if left[part]]
    found = [rates.get(names[part]) for part in busy]
    known = [(rate, mm2[part]) for part, rate in zip(busy, found, strict=True) if rate is not None]
    whole = len(known) == len(busy)
    return Estimate(
        {part: len(regions) for part, regions in left.items()},
        mm2,
        sum(rate.seconds * area for rate, area in known) if whole else None,
        sum(rate.bytes * area for rate, area in known) if whole else None,
        all(rate.here for rate, _ in known),
        any(len(regions) < len(asked) for regions in left.values()),
        _free(store),
    )


def spell_time(seconds: float) -> str:
    """Return a time in the largest fitting unit."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def spell_bytes(count: float) -> str:
    """Return a size in the largest fitting unit."""
    return f"{max(1, round(count / 1e6))} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def _done(
    slide: Slide, profile: Profile, segmenter: str, options: PatchOptions, store: Path
) -> dict[str, set[int]]:
    """Return the regions of each part that a result holds as wanted; none where there is no result."""
    try:
        result = Hierarchy(Store(store))
        regions = result.regions
        same = result.slide_facts["fingerprint"] == slide.fingerprint and result.tissue_is_current
        as_wanted = {
            "patches": (result.profile, result.options) == (profile, options),
            "cells": result.segmenter == segmenter,
        }
    except (StoreError, KeyError):  # nothing that could be gone on with
        return {part: set() for part in PARTS}
    return {
        part: {*map(int, np.flatnonzero(regions[part]))} if same and as_wanted[part] else set()
        for part in PARTS
    }


def _free(store: Path) -> int | None:
    place = store.expanduser().absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None


def _file() -> Path:
    return home() / "rates.json"
