"""Ask a question about a slide, or the part of it on the screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..errors import InputError
from ..evidence import Evidence
from ..hierarchy import Hierarchy, extend
from ..progress import Progress
from ..units import Box, as_box, intersect
from .answer import Answer, Asked
from .answerers import Answerer
from .answerers import answerer as answerer_named
from .check import check as checked

_OTHER_TISSUE = (
    "This rests on another tissue mask than the one now in use for this slide; analyse it again to renew it."
)


def ask(
    result: Hierarchy,
    question: str,
    box: Sequence[float] | None = None,
    answerer: str = "auto",
    history: Sequence[Answer] | None = None,
    check: bool = False,
    *,
    choices: bool = False,
    progress: Progress | None = None,
) -> Answer:
    """Answer ``question`` about ``box``, with the places the answer rests on.

    box: (y0, x0, y1, x1) in level-0 px, clipped to the slide; None is the whole analysed
    slide. What is not analysed there yet is analysed first, with the result's own settings,
    and added to it on disk; open the result again to see that part.
    answerer: ``auto``, ``measured``, ``mllm:<folder>`` or ``endpoint:<url>#<model>``; history: earlier
    answers of the conversation, oldest first; check: also ask again without the image and with others, as
    :func:`~napari_hwsi.chat.check` does, and put what is found into ``answer.dependence``;
    choices: also ask for the log-probabilities of its first tokens.
    Raises InputError for an empty question, a box outside the slide or an unknown answerer,
    EndpointError, Cancelled, and what the analysis raises.
    """
    *_, answer = ask_stream(
        result, question, box, answerer, history, check, choices=choices, progress=progress
    )
    assert isinstance(answer, Answer)  # an answerer ends with it
    return answer


def ask_stream(
    result: Hierarchy,
    question: str,
    box: Sequence[float] | None = None,
    answerer: str = "auto",
    history: Sequence[Answer] | None = None,
    check: bool = False,
    *,
    choices: bool = False,
    progress: Progress | None = None,
) -> Iterator[str | Evidence | Answer]:
    """Like :func:`ask`, but yield pieces of text as they come, each Evidence, and last the Answer.

    Bad arguments are refused at once, before the first piece is asked for.
    """
    if not question.strip():
        raise InputError("The question is empty. Ask something, such as: How many nuclei are in this view?")
    by = answerer_named(answerer)
    view = None if box is None else _clipped(result, as_box(box))
    asked = Asked(result, question.strip(), view, tuple(history or ()), choices=choices)
    return _answered(by, asked, check, progress)


def _clipped(result: Hierarchy, box: Box) -> Box:
    """Return the part of ``box`` that lies on the slide."""
    height, width = result.slide_facts["shape"]
    inside = intersect(box, (0, 0, height, width))
    if inside is None:
        raise InputError(f"The box {box} lies outside the slide, which is {height} x {width} px (y, x).")
    return inside


def _answered(
    by: Answerer, asked: Asked, check: bool, progress: Progress | None
) -> Iterator[str | Evidence | Answer]:
    added = 0
    result, box = asked.result, asked.box
    if box is not None and not result.covers(box):
        known = int(result.regions["cells"].sum())
        extend(result, box, progress=progress)
        result.refresh()
        added = int(result.regions["cells"].sum()) - known
    current = result.tissue_is_current
    for event in by.answer(asked, progress=progress):
        if isinstance(event, Answer):
            notes = list(event.notes)
            if added:
                regions = "1 region was" if added == 1 else f"{added} regions were"
                notes.append(f"{regions} analysed for this question and added to the result.")
            if not current:
                notes.append(_OTHER_TISSUE)
            event = replace(event, notes=tuple(notes), asked=asked)
            if check:
                event = replace(event, dependence=checked(event, progress=progress))
        yield event
