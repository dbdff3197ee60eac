"""Survival: does a higher risk go with an earlier event."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def concordance(risk: ArrayLike, time: ArrayLike, event: ArrayLike) -> float:
    """Harrell's concordance index (Harrell et al., JAMA 1982).

    risk: (N,), higher is worse; time: (N,), until the event or the end of watching; event: bool (N,),
    whether it happened. Over all pairs in which the earlier time is an event, how often that case has the
    higher risk; equal risks count half. NaN where no pair can be compared.
    """
    r, t, e = np.asarray(risk, float), np.asarray(time, float), np.asarray(event, bool)
    comparable = e[:, None] & (t[:, None] < t[None])
    if not comparable.any():
        return float("nan")
    difference = (r[:, None] - r[None])[comparable]
    return float((np.count_nonzero(difference > 0) + np.count_nonzero(difference == 0) / 2) / len(difference))
