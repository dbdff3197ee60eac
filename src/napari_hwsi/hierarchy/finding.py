"""Find places by example or by words: in one result, or over a folder of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..encoders import unit
from ..errors import HwsiError, InputError
from ..progress import Progress, tell
from ..units import Box, as_box
from .cell_arrays import TABLE
from .foreign import FeatureHierarchy
from .hierarchy import Hierarchy, open_result

Searched: TypeAlias = Hierarchy | FeatureHierarchy
FoundScale: TypeAlias = Literal["patch", "cell"]

_SUFFIX = ".hwsi.zarr"
_BOX = ["y0", "x0", "y1", "x1"]
_CELL_COLUMNS = (
    "area_um2", "eccentricity", "solidity", "haematoxylin_mean_od", "haematoxylin_sd_od", "eosin_mean_od",
)  # fmt: skip
_BEST = 8  # patches by which a slide is ranked: one may be chance, the mean of all drowns the few that count


@dataclass(frozen=True)
class Found:
    """One place. result: where it is held; slide: its name; box: (y0, x0, y1, x1), level-0 px; score: the
    cosine to what was looked for, of cells 1 / (1 + distance) in units of the spread of their measurements.
    """

    result: Path
    slide: str
    scale: FoundScale
    box: Box
    score: float


@dataclass(frozen=True)
class Finding:
    """What was found, the best first. searched: results that were looked through; left_out: those that were
    not, by name, and why.
    """

    places: tuple[Found, ...]
    searched: int
    left_out: dict[str, str]

    def slides(self) -> list[tuple[Path, str, float]]:
        """Return a worklist: result, slide and mean score of its best eight places found, best first."""
        scores: dict[tuple[Path, str], list[float]] = {}
        for place in self.places:
            scores.setdefault((place.result, place.slide), []).append(place.score)
        means = [(*key, float(np.mean(sorted(best)[-_BEST:]))) for key, best in scores.items()]
        return sorted(means, key=lambda one: (-one[2], one[1]))


@dataclass(frozen=True)
class Example:
    """A place to find others like. result: what holds it; box: (y0, x0, y1, x1), level-0 px."""

    result: Searched
    box: Sequence[float]


def find(
    where: Searched | str | Path | Sequence[Searched | str | Path],
    like: Example | Sequence[float] | None = None,
    text: str | None = None,
    scale: FoundScale = "patch",
    count: int = 20,
    each: int | None = None,
    *,
    progress: Progress | None = None,
) -> Finding:
    """Return the places that are most like an example, or that words describe best.

    where: a result, its path, a folder of results, or several of these. like: an :class:`Example`, or the box
    of one (y0, x0, y1, x1), level-0 px, where ``where`` is one result: the patches that meet it, weighted by
    how much of the box they hold; for scale 'cell' the nuclei in it. The example itself is not found again.
    text: what to look for, where the encoder of the results has words. count: places at most, in all; each:
    at most so many a slide. Vectors are compared only where encoder and normalisation are the same; what is
    left out is told.

    One result is held in memory at a time. Raises InputError for no example or two, one that holds nothing,
    words that the encoder does not know, and StoreError for a single result that cannot be read.
    """
    if (like is None) == (text is None):
        raise InputError("Say what to find: like=… a place, or text=… words; one of them.")
    if scale == "cell" and text is not None:
        raise InputError("Cells have no words: find them by an example.")
    if count < 1:
        raise InputError(f"At least one place is looked for, not {count}.")
    targets = list(_targets(where))
    example = _example(like, targets)
    sought = None if example is None else _sought(example, scale)
    key = None if example is None else _key(example.result, scale)
    best: list[Found] = []
    left_out: dict[str, str] = {}
    searched = 0
    for done, target in enumerate(targets):
        tell(progress, done, len(targets), "results")
        try:
            result = open_result(target) if isinstance(target, Path) else target
            if key is None:
                key = _key(result, scale)
            if _key(result, scale) != key:
                left_out[_name(target)] = f"made with {_said(_key(result, scale))}, not {_said(key)}"
                continue
            hits = _hits(result, sought, text, scale, example, each or count)
        except HwsiError as error:
            if len(targets) == 1:
                raise
            left_out[_name(target)] = str(error)
            continue
        searched += 1
        best = sorted([*best, *hits], key=lambda hit: (-hit.score, hit.slide, hit.box))[:count]
    tell(progress, len(targets), len(targets), "results")
    if not searched:
        raise InputError(f"Nothing was searched: {'; '.join(f'{k}: {v}' for k, v in left_out.items())}.")
    return Finding(tuple(best), searched, left_out)


def _targets(where: Searched | str | Path | Sequence[Searched | str | Path]) -> Iterator[Searched | Path]:
    """Yield results, or their paths, in the order of their names."""
    if isinstance(where, Hierarchy | FeatureHierarchy):
        yield where
    elif isinstance(where, str | Path):
        path = Path(where)
        if path.name.endswith(_SUFFIX):
            yield path
            return
        found = sorted(path.glob(f"*{_SUFFIX}"))
        if not found:
            raise InputError(f"{path} holds no results ({_SUFFIX}).")
        yield from found
    else:
        for one in where:
            yield from _targets(one)


def _example(like: Example | Sequence[float] | None, targets: Sequence[Searched | Path]) -> Example | None:
    if like is None or isinstance(like, Example):
        return like
    if len(targets) != 1:
        raise InputError("Say which result the example lies in: like=Example(result, box).")
    target = targets[0]
    return Example(open_result(target) if isinstance(target, Path) else target, like)


def _sought(example: Example, scale: FoundScale) -> NDArray[np.float64]:
    """Return the vector to look for; raises InputError where the example holds none."""
    box = as_box(example.box)
    if scale == "cell":
        values, centroids = _cell_columns(example.result)
        inside = ((centroids >= box[:2]) & (centroids < box[2:])).all(1)
        if not inside.any():
            raise InputError(f"There is no nucleus in {box} to find others like.")
        return np.asarray(np.nanmean(values[inside], 0))
    vectors, boxes = _patches(example.result)
    low = np.maximum(boxes[:, :2], box[:2])
    weight = np.clip(np.minimum(boxes[:, 2:], box[2:]) - low, 0, None).prod(1).astype(np.float64)
    if not weight.any():
        raise InputError(f"No analysed patch with tissue meets {box}: choose a place on the tissue.")
    return np.asarray((vectors * weight[:, None]).sum(0) / weight.sum())


def _hits(
    result: Searched,
    sought: NDArray[np.float64] | None,
    text: str | None,
    scale: FoundScale,
    example: Example | None,
    most: int,
) -> list[Found]:
    """Return the best places of one result, without the example."""
    own = example is not None and example.result.path == result.path
    box = as_box(example.box) if example is not None and own else None
    name = str(result.slide_facts["name"])
    if scale == "cell":
        assert sought is not None
        values, centroids = _cell_columns(result)
        if not len(values):
            return []
        spread = np.nanstd(values, 0)
        apart = (values - sought) / np.where(spread > 0, spread, 1)
        scores = 1 / (1 + np.sqrt(np.nanmean(apart**2, 1)))
        if box is not None:
            scores[((centroids >= box[:2]) & (centroids < box[2:])).all(1)] = -np.inf
        boxes = _cell_boxes(result, centroids, best := _best(scores, most))
        return [
            Found(result.path, name, scale, b, float(scores[i])) for i, b in zip(best, boxes, strict=True)
        ]
    vectors, places = _patches(result)
    if text is not None:
        if isinstance(result, FeatureHierarchy):
            raise InputError(f"{result.path} are features without words. Find by an example.")
        valid = result.patches["valid"].to_numpy(bool)
        scores = result.phrase_scores([text])[valid, 0].astype(np.float64)
    else:
        assert sought is not None
        scores = unit(vectors) @ (sought / max(float(np.linalg.norm(sought)), 1e-12))
    if box is not None:
        meets = ((places[:, :2] < box[2:]) & (places[:, 2:] > box[:2])).all(1)
        scores = np.where(meets, -np.inf, scores)
    best = _best(scores, most)
    return [Found(result.path, name, scale, as_box(places[i].tolist()), float(scores[i])) for i in best]


def _best(scores: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Return the rows of the best finite scores, best first, the first of equals first."""
    rows = np.argsort(-scores, kind="stable")[:most]
    return rows[np.isfinite(scores[rows])]


def _patches(result: Searched) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the vectors of the patches that have one, and their boxes."""
    table = result.patches
    valid = table["valid"].to_numpy(bool)
    if "encoded" in table:
        valid = valid & table["encoded"].to_numpy(bool)
    return result.patch_vectors[valid], table[_BOX].to_numpy(np.int64)[valid]


def _cell_columns(result: Searched) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return the measurements by which nuclei are compared (N, C), and their centroids (N, 2)."""
    if isinstance(result, FeatureHierarchy):
        raise InputError(f"{result.path} are features without cells. Find patches.")
    columns = [result.cell_column(TABLE + name) for name in _CELL_COLUMNS]
    return np.stack(columns, 1).astype(np.float64), result.cell_column("centroids")


def _cell_boxes(result: Searched, centroids: NDArray[np.float32], rows: NDArray[np.int64]) -> list[Box]:
    """Return the bounding boxes of some nuclei; only what lies round each is read."""
    assert isinstance(result, Hierarchy)
    out = []
    for row in rows:
        y, x = np.floor(centroids[row]).astype(int).tolist()
        near = result.cells_in((y, x, y + 1, x + 1))
        (one,) = np.flatnonzero((near.centroids == centroids[row]).all(1))[:1]
        out.append(as_box(near.contours.bounds[one]))
    return out


def _key(result: Searched, scale: FoundScale) -> tuple[str, ...]:
    """Return what must be the same for vectors to be compared."""
    if isinstance(result, FeatureHierarchy):
        return (str(result.encoder), str(result.features.vectors.shape[1]))
    if scale == "cell":
        return (result.segmenter,)
    encoder = result.encoder_facts
    return (str(encoder["name"]), str(encoder["version"]), result.normalisation or "no normalisation")


def _said(key: tuple[str, ...]) -> str:
    return ", ".join(key)


def _name(target: Searched | Path) -> str:
    return target.name if isinstance(target, Path) else target.path.name
