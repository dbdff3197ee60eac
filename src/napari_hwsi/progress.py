"""Progress of long work, and the one way to stop it.

Long functions take ``progress``: a callable that receives a :class:`Step` after
each unit of work. Raising :class:`~napari_hwsi.errors.Cancelled` from it stops
the work; what was finished is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Step:
    """``done`` of ``total`` units of ``what`` ('cells', 'regions', …) are finished.

    part: what is being done to the unit in hand ('patches', 'cells'), where that is told.
    """

    done: int
    total: int
    what: str
    part: str = ""


Progress: TypeAlias = Callable[[Step], None]


def tell(progress: Progress | None, done: int, total: int, what: str, part: str = "") -> None:
    """Report a step where somebody listens."""
    if progress is not None:
        progress(Step(done, total, what, part))
