"""Who answers: from a name to the one that answers under it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from ..errors import InputError
from ..evidence import Change, ChangeKind, Evidence
from ..progress import Progress
from . import agent, endpoint, measured, modelled
from .answer import Answer, Asked

Sight: TypeAlias = Literal["picture", "result"]


@dataclass(frozen=True)
class Kind:
    """A kind of answerer, to choose from a list.

    form: how it is named; what: it is, in a sentence or two; needs: what the user has to name, a server with
    a model, or a model by its folder or hub id; picture: it is sent exactly the picture of the view.
    """

    form: str
    title: str
    what: str
    needs: Literal["nothing", "server", "model"] = "nothing"
    picture: bool = False


KINDS = (
    Kind(measured.NAME, "Measured facts", measured.WHAT),
    Kind(endpoint.FORM, "Model server", endpoint.WHAT, "server", picture=True),
    Kind(modelled.FORM, "Model on this machine", modelled.WHAT, "model"),
    Kind(agent.FORM, "Walking model", agent.WHAT, "server"),
)
FORMS = ("auto", *(kind.form for kind in KINDS))
"""The names that :func:`answerer` takes."""


class Answerer(Protocol):
    """Something that answers questions about a part of a slide.

    To add one: write a class with these three properties and :meth:`answer` in a module of this folder
    (whatever computes stays in the folders above it), add it to :data:`KINDS`, make it in
    :func:`answerer`, and list it in the README. Asking, follow-ups, the check without the image, occlusion,
    repeated sampling, exports and the Ask dock then work with it: they all go through :meth:`answer`.
    """

    @property
    def name(self) -> str:
        """The name to ask it by, in the form that :func:`answerer` reads."""
        ...

    @property
    def sees(self) -> Sight:
        """What it looks at.

        'picture': the pixels of :func:`~napari_hwsi.chat.picture`, which are shown to the user first;
        'result': what the result holds of the place, which must be analysed.
        """
        ...

    @property
    def changes(self) -> frozenset[ChangeKind]:
        """The kinds of :class:`~napari_hwsi.evidence.Change` that mean something to it."""
        ...

    def answer(self, asked: Asked, *, progress: Progress | None = None) -> Iterator[str | Evidence | Answer]:
        """Yield pieces of text as they come, Evidence, and last the Answer.

        The image is looked at under ``asked.change``. progress is called at least every second; what it
        raises goes through, and closing the iterator lets go of everything. Raises HwsiError.
        """
        ...


@runtime_checkable
class Likelihoods(Protocol):
    """What an answerer has besides, where it can tell how likely a given answer is."""

    def log_probabilities(
        self, asked: Asked, text: str, changes: Sequence[Change], *, progress: Progress | None = None
    ) -> Sequence[float]:
        """Return the natural log-probability of ``text`` as the answer under each change, in one batch."""
        ...


def answerer(name: str) -> Answerer:
    """Return the answerer of a name.

    ``auto`` is never a remote one: it is ``measured``, the best there is without a model.
    Raises InputError for a name that none answers to.
    """
    kind = name.partition(":")[0]
    if name in ("auto", measured.NAME):
        return measured.MeasuredAnswerer()
    if kind == "mllm":
        return modelled.ModelAnswerer.from_name(name)
    if kind == "agent":
        return agent.AgentAnswerer.from_name(name)
    if kind == "endpoint":
        return endpoint.EndpointAnswerer.from_name(name)
    raise InputError(f"No answerer is called {name!r}. There are: {', '.join(FORMS)}.")
