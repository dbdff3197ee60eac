"""Who answers: from a name to the one that answers under it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from ..errors import InputError
from ..evidence import Evidence
from ..hierarchy import Hierarchy
from ..progress import Progress
from ..units import Box
from . import endpoint, measured
from .answer import Answer

FORMS = ("auto", measured.NAME, endpoint.FORM)
"""The names that :func:`answerer` takes."""


class Answerer(Protocol):
    """Something that answers questions about a part of a slide."""

    @property
    def name(self) -> str:
        """The name to ask it by."""
        ...

    def answer(
        self,
        result: Hierarchy,
        question: str,
        box: Box | None,
        history: Sequence[Answer] = (),
        *,
        progress: Progress | None = None,
    ) -> Iterator[str | Evidence | Answer]:
        """Yield pieces of text, evidence, then the Answer, about ``box`` (None: the whole slide)."""
        ...


def answerer(name: str) -> Answerer:
    """Return the answerer of a name.

    ``auto`` is never a remote one: it is ``measured``, the best there is without a model.
    Raises InputError for a name that none answers to.
    """
    kind = name.partition(":")[0]
    if name in ("auto", measured.NAME):
        return measured.MeasuredAnswerer()
    if kind == "endpoint":
        return endpoint.EndpointAnswerer.from_name(name)
    raise InputError(f"No answerer is called {name!r}. There are: {', '.join(FORMS)}.")
