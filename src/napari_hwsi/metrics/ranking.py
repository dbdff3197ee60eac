"""Retrieval: where the first right one stands in each list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


def first_ranks(
    similarity: NDArray[np.floating], relevant: NDArray[np.bool_], allowed: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Return the rank, from 1, of the best relevant candidate of each query, int64 (Q,).

    similarity: (Q, C); relevant: bool (Q, C); allowed: bool (Q, C), candidates that take part, all where
    None. Candidates as similar as it stand before it, so that a constant earns nothing. Raises InputError
    where a query has no relevant candidate.
    """
    allowed = np.ones(similarity.shape, bool) if allowed is None else allowed
    right = relevant & allowed
    if not right.any(1).all():
        raise InputError(f"{np.count_nonzero(~right.any(1))} queries have nothing to find. Leave them out.")
    best = np.where(right, similarity, -np.inf).max(1, keepdims=True)
    return 1 + (allowed & ~relevant & (similarity >= best)).sum(1).astype(np.int64)


def recall_at(ranks: NDArray[np.int64], k: int) -> float:
    """Share of the queries whose first right one is among the first ``k`` (R@K; top-1 for k = 1)."""
    return float((ranks <= k).mean())


def mean_reciprocal_rank(ranks: NDArray[np.int64]) -> float:
    """Mean of 1 / rank (Voorhees, TREC-8 1999)."""
    return float((1 / ranks).mean())
