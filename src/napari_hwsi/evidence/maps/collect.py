"""The maps that a result holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import InputError
from ...hierarchy import Hierarchy
from ...units import Mpp
from ..occlusion import Occlusion
from .score_map import ScoreMap

_BOX = ["y0", "x0", "y1", "x1"]


def maps_of(result: Hierarchy, names: Sequence[str] | None = None) -> list[ScoreMap]:
    """Return the maps of a result: of the filter, of each phrase, of the attention of regions and of the
    slide where transformers made these, and of CCAF where cells are fused.

    names: those wanted, by name, all where None: 'relevance', 'relevance of regions', a phrase, 'attention',
    'attention of regions', 'CCAF'.
    Raises InputError for a name that the result does not have, naming those that it has.
    """
    maps = {one.name: one for one in _held(result)}
    if names is None:
        return list(maps.values())
    for name in names:
        if name not in maps:
            raise InputError(f"{result.path} has no map {name!r}. It has: {', '.join(maps)}.")
    return [maps[name] for name in names]


def occlusion_map(result: Hierarchy, found: Occlusion) -> ScoreMap:
    """Return how much an answer about a result changes without each unit, as a map."""
    name, about = f"without each {found.scale}", _about(result)
    return ScoreMap(name, found.scale, "occlusion", found.scores, found.boxes, *about)


def _about(result: Hierarchy) -> tuple[tuple[int, int], Mpp]:
    """Return shape and mpp of the slide of a result."""
    y, x = result.slide_facts["shape"]
    my, mx = result.slide_facts["mpp"]
    return (int(y), int(x)), (float(my), float(mx))


def _held(result: Hierarchy) -> list[ScoreMap]:
    about = _about(result)
    scores, boxes = result.attention("patch")
    out = [ScoreMap("relevance", "patch", "filter", scores, boxes, *about)]
    scores, boxes = result.attention("region")
    out.append(ScoreMap("relevance of regions", "region", "filter", scores, boxes, *about))
    patches = result.patches
    valid = patches[patches["valid"]]
    boxes = valid[_BOX].to_numpy(np.int64)
    for phrase in result.phrases:
        values = valid[phrase].to_numpy(np.float32)
        out.append(ScoreMap(phrase, "patch", "phrase", values, boxes, *about))
    if result.attends:
        scores, boxes = result.attention("patch", "pocket")
        out.append(ScoreMap("attention", "patch", "pocket", scores, boxes, *about))
        scores, boxes = result.attention("region", "pocket")
        out.append(ScoreMap("attention of regions", "region", "pocket", scores, boxes, *about))
    if result.fuses:
        scores, boxes = result.attention("cell", "ccaf")
        out.append(ScoreMap("CCAF", "cell", "ccaf", scores, boxes, *about))
    return out
