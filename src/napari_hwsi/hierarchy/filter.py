"""Semantic patch filtering: which patches of a region are kept.

Two published forms (MLLM-HWSI, arXiv 2603.23067). The form of the paper drops redundant
patches, then keeps the most relevant; the form behind the released weights first picks
patches that differ from one another, then keeps the most relevant of those.

Vectors may have any length: all similarities are cosines, in float64. What differs by less
than 1e-12 is a tie and goes to the lower index, so that the choice is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..encoders import unit
from ..errors import InputError

KEEP = 16
POOL = 32

_TIE = 1e-12

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Kept:
    """Patches kept by the form of the paper.

    indices: (K,) by descending relevance; relevance: (N,) mean cosine to the texts, NaN where
    masked; removed: bool (N,), dropped as redundant before relevance was looked at.
    """

    indices: Indices
    relevance: Floats
    removed: Mask


def mean_cosine(vectors: ArrayLike) -> Floats:
    """Return the mean cosine of each of N vectors (N, W) to the N − 1 others; 0 for a single one."""
    units = unit(vectors)
    if len(units) < 2:
        return np.zeros(len(units))
    own = np.einsum("nw,nw->n", units, units)
    return _even((units @ units.sum(0) - own) / (len(units) - 1))


def redundant(vectors: ArrayLike, keep: int = KEEP) -> Mask:
    """Return which of N patches (N, W) are redundant, bool (N,) [paper].

    Patch j is redundant when its mean cosine to the others exceeds μ + σ, the mean and
    standard deviation of the cosines of all pairs. At least ``keep`` patches are always
    left: where more would go, the most redundant go first.
    """
    units = unit(vectors)
    removed = np.zeros(len(units), bool)
    if len(units) <= max(keep, 2):
        return removed
    pairs = (units @ units.T)[np.triu_indices(len(units), 1)]
    mean = mean_cosine(units)
    order = np.argsort(-mean, kind="stable")[: len(units) - keep]
    removed[order] = mean[order] > pairs.mean() + pairs.std() + _TIE
    return removed


def farthest_first(vectors: ArrayLike, count: int) -> Indices:
    """Return ``count`` of N patches (N, W) that differ from one another, in the order taken [release].

    The first has the lowest mean cosine to the others; each next one is the patch whose
    largest cosine to those already taken is smallest. All N where count ≥ N.
    """
    units = unit(vectors)
    chosen: list[int] = []
    nearest = mean_cosine(units)
    for _ in range(min(count, len(units))):
        chosen.append(int(np.argmin(nearest)))
        cosine = _even(units @ units[chosen[-1]])
        nearest = cosine if len(chosen) == 1 else np.maximum(nearest, cosine)
        nearest[chosen] = np.inf
    return np.array(chosen, np.int64)


def relevance(vectors: ArrayLike, texts: ArrayLike) -> Floats:
    """Return r_j = (1/M) Σ_m cos(f_j, t_m), float64 (N,), for vectors (N, W) and texts (M, W)."""
    return _even((unit(vectors) @ unit(texts).T).mean(1))


def filter_paper(
    vectors: ArrayLike, texts: ArrayLike, valid: Sequence[bool] | Mask | None = None, keep: int = KEEP
) -> Kept:
    """Keep patches of one region as the paper describes: not redundant, then most relevant.

    A result is made with :func:`filter_release`, and its column ``redundant`` records what this form
    would drop; this is for comparing the two on ``patch_vectors``.

    vectors: (N, W); texts: (M, W) with M ≥ 1; valid: bool (N,), patches that take part (all
    where None). Fewer valid than ``keep``: all of them. Raises InputError for shapes that do
    not fit.
    """
    table, part = _checked(vectors, valid, keep)
    words = np.atleast_2d(np.asarray(texts, np.float64))
    if words.shape[0] < 1 or words.shape[1:] != table.shape[1:]:
        raise InputError(f"Texts are (M, {table.shape[1]}) vectors, at least one, not {words.shape}.")
    scores = np.full(len(table), np.nan)
    scores[part] = relevance(table[part], words)
    removed = np.zeros(len(table), bool)
    removed[part] = redundant(table[part], keep)
    left = part[~removed[part]]
    order = np.argsort(-scores[left], kind="stable")[:keep]
    return Kept(left[order], scores, removed)


def filter_release(
    vectors: ArrayLike,
    text: ArrayLike | None = None,
    valid: Sequence[bool] | Mask | None = None,
    keep: int = KEEP,
    pool: int = POOL,
) -> Indices:
    """Keep patches of one region as the released weights were made: diverse, then most relevant.

    ``pool`` patches by :func:`farthest_first`; of these the ``keep`` with the highest cosine to
    ``text`` (W,), in descending order. Without a text the first patch chosen in this region
    stands in for it. vectors: (N, W); valid: bool (N,), patches that take part. Returns (K,)
    indices; fewer valid than ``keep``: all of them. Raises InputError for shapes that do not fit.
    """
    table, part = _checked(vectors, valid, keep)
    if pool < keep:
        raise InputError(f"A pool of {pool} patches cannot give {keep}.")
    if not len(part):
        return part
    chosen = part[farthest_first(table[part], pool)]
    words = table[chosen[0]] if text is None else np.asarray(text, np.float64).reshape(-1)
    if words.shape != table.shape[1:]:
        raise InputError(f"The text vector has {words.size} numbers, the patches {table.shape[1]}.")
    order = np.argsort(-relevance(table[chosen], words[None]), kind="stable")[:keep]
    return chosen[order]


def filtered(
    vectors: NDArray[np.float32],
    valid: NDArray[np.bool_],
    words: NDArray[np.float64],
    regions: NDArray[np.bool_],
) -> dict[str, NDArray[Any]]:
    """Return what the filter says of one square's patches: columns of ``patches`` as in ``docs/store.md``.

    vectors: (256, W); words: (M, W), whose mean is the text of the release's form; regions: bool (A, 256),
    the patches of each region within the square, each of which keeps its own.
    """
    scores = np.full((len(vectors), len(words)), np.nan, np.float32)
    relevance, redundancy = np.full((2, len(vectors)), np.nan, np.float32)
    dropped, rank = np.zeros(len(vectors), bool), np.full(len(vectors), -1, np.int16)
    scores[valid] = unit(vectors[valid]) @ words.T
    if len(words):
        relevance[valid] = scores[valid].mean(1)
    kept = 0
    for part in regions & valid:
        redundancy[part] = mean_cosine(vectors[part])
        dropped[part] = redundant(vectors[part])
        chosen = filter_release(vectors, words.mean(0) if len(words) else None, part)
        if not len(words) and len(chosen):  # the patch that stands in for a text, as in filter_release
            relevance[part] = unit(vectors[part]) @ unit(vectors[chosen[0]])
        rank[chosen] = kept + np.arange(len(chosen))
        kept += len(chosen)
    return {
        "selected": rank >= 0,
        "rank": rank,
        "relevance": relevance,
        "redundancy": redundancy,
        "redundant": dropped,
        "scores": scores,
    }


def _even(cosines: Floats) -> Floats:
    """Round away what the order of a sum decides."""
    return np.asarray(np.round(cosines / _TIE) * _TIE)


def _checked(vectors: ArrayLike, valid: Sequence[bool] | Mask | None, keep: int) -> tuple[Floats, Indices]:
    table = np.asarray(vectors, np.float64)
    if table.ndim != 2:
        raise InputError(f"Patch vectors are (N, W), not {table.shape}.")
    mask = np.ones(len(table), bool) if valid is None else np.asarray(valid, bool)
    if mask.shape != (len(table),):
        raise InputError(f"{len(table)} patches need as many mask values, not {mask.shape}.")
    if keep < 1:
        raise InputError(f"At least one patch is kept, not {keep}.")
    if not np.isfinite(table[mask]).all():
        raise InputError("Patch vectors must be finite numbers.")
    return table, np.flatnonzero(mask)
