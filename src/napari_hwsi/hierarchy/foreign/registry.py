"""The layouts by name: recognised by their content, read, and written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...errors import InputError
from ..files import storing
from . import atlaspatch, clam, release, slide2vec, stamp, table, trident
from .features import PatchFeatures
from .hints import Hints
from .layout import Layout, Written

LAYOUTS: Mapping[str, Layout] = {
    "release": release,
    "trident": trident,
    "atlaspatch": atlaspatch,
    "stamp": stamp,
    "clam": clam,
    "slide2vec": slide2vec,
    "csv": table,
}


def layout_of(path: str | Path) -> str:
    """Return the name of the layout a file or folder is in.

    Raises InputError that says of each layout why not, or that the file is damaged.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise InputError(f"{place} does not exist.")
    reasons: dict[str, str] = {}
    for name, layout in LAYOUTS.items():
        reason = layout.mismatch(place)
        if reason is None:
            return name
        reasons[name] = reason
    why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise InputError(f"{place} is in no layout of features that is known ({why}).")


def read_features(path: str | Path, hints: Hints | None = None, layout: str | None = None) -> PatchFeatures:
    """Read the features of one slide, in the layout named or recognised.

    hints: what the files may not say themselves. Raises InputError for what cannot be read, is damaged or
    does not fit together; ResolutionError where µm per pixel are needed and unknown.
    """
    place = Path(path).expanduser()
    if layout is None:
        layout = layout_of(place)
    elif reason := _named(layout).mismatch(place):
        raise InputError(f"{place} is not in the layout {layout}: {reason}.")
    return LAYOUTS[layout].read(place, hints or Hints())


def write_features(features: PatchFeatures, folder: str | Path, layout: str) -> Written:
    """Write features below a folder, in the folders and under the names of a layout.

    Files of the same names are replaced. Returns what was written. Raises InputError for features that a
    layout cannot hold, ResolutionError where it states resolutions and none is known, StoreError where
    nothing can be written.
    """
    place = Path(folder).expanduser()
    with storing(place):
        return _named(layout).write(features, place)


def _named(layout: str) -> Layout:
    if layout not in LAYOUTS:
        raise InputError(f'There is no layout "{layout}". Choose from: {", ".join(LAYOUTS)}.')
    return LAYOUTS[layout]
