"""Ask an answer's question again with the image changed: does the answer depend on it?"""

from __future__ import annotations

from dataclasses import replace

from ..errors import InputError
from ..evidence import Change, Dependence, dependence
from ..evidence.elsewhere import far_place, fullest_place
from ..hierarchy import Hierarchy
from ..progress import Progress
from ..units import Box
from .answer import Answer, Asked
from .answerers import Answerer, answerer
from .citations import without_citations

MAX_CALLS = 4
SECONDS = 120.0


def check(
    answer: Answer,
    *,
    other: Hierarchy | None = None,
    max_calls: int = MAX_CALLS,
    seconds: float = SECONDS,
    progress: Progress | None = None,
) -> Dependence:
    """Return what becomes of an answer without the image, with another place's, shuffled, and asked again.

    The same answerer is asked the same, in the same conversation, with the changes of :func:`planned`.
    other: another slide's result, to take the other image from; else the farthest tissue of the same slide.
    At most ``max_calls`` questions and ``seconds`` are spent; what is left then, or refused by the answerer,
    is told in ``left_out``. ``ask(…, check=True)`` puts the same into ``answer.dependence``.
    Raises InputError for an answer that was read from a file, or an ``other`` of the same slide; Cancelled.
    """
    asked = asked_of(answer)
    by = answerer(answer.answerer)
    changes, left_out = planned(answer, by, other)

    def answering(change: Change, progress: Progress) -> str:
        return ask_again(by, asked, change, progress)

    return dependence(
        without_citations(answer.text),
        answering,
        changes,
        left_out=left_out,
        max_calls=max_calls,
        seconds=seconds,
        progress=progress,
    )


def planned(
    answer: Answer, by: Answerer | None = None, other: Hierarchy | None = None
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Return the changes that :func:`check` tries, in its order, and what it cannot try, in sentences.

    :func:`~napari_hwsi.chat.picture_under` gives the picture that a server would be sent for each. by: who
    is asked. Raises InputError for an answer that was read from a file, or an ``other`` of the same slide.
    """
    asked = asked_of(answer)
    if other is not None and other.slide_facts["fingerprint"] == asked.result.slide_facts["fingerprint"]:
        raise InputError(f"{other.path} is a result of the same slide. Choose another slide's.")
    by = by or answerer(answer.answerer)
    changes: list[Change] = []
    left_out: list[str] = []
    if "nothing" in by.changes:
        changes.append(Change("nothing"))
    else:
        left_out.append("without the image: this answerer only measures it.")
    if "elsewhere" in by.changes:
        there = _elsewhere(asked, None if answer.box == asked.result.grid.extent else asked.box, by, other)
        if there is None and other is not None:
            left_out.append("with another slide: nothing of this size is analysed on it.")
        elif there is None:
            left_out.append("with another place: there is none like it. Another slide's result can be given.")
        else:
            changes.append(there)
    changes += [Change(kind) for kind in ("shuffled", "unchanged") if kind in by.changes]
    return tuple(changes), tuple(left_out)


def ask_again(by: Answerer, asked: Asked, change: Change, progress: Progress | None = None) -> str:
    """Return the text of the answer under a change, without the places it names."""
    *_, answer = by.answer(replace(asked, change=change), progress=progress)
    assert isinstance(answer, Answer)  # an answerer ends with it
    return without_citations(answer.text)


def asked_of(answer: Answer) -> Asked:
    """Return what was asked; raises InputError for an answer that was read from a file."""
    if answer.asked is None:
        raise InputError("This answer was read from a file: ask its question again to check it.")
    return answer.asked


def _elsewhere(asked: Asked, box: Box | None, by: Answerer, other: Hierarchy | None) -> Change | None:
    """Return another image: of ``other``, or of the farthest place of the same slide."""
    analysed = by.sees == "result"
    if box is None:
        return None if other is None else Change("elsewhere", None, other)
    if other is None:
        place = far_place(asked.result, box, analysed)
    else:
        own, its = asked.result.slide_facts["mpp"], other.slide_facts["mpp"]
        height, width = (max(1, round((box[i + 2] - box[i]) * own[i] / its[i])) for i in (0, 1))
        place = fullest_place(other, (height, width), analysed)
    return None if place is None else Change("elsewhere", place, other)
