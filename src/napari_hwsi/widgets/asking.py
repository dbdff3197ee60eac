"""What the Ask dock does in its thread: ask, check, repeat, write, and keep conversations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from ..chat import (
    KINDS,
    Answer,
    ask_stream,
    check,
    occlude_answer,
    picture,
    picture_under,
    planned,
    repeat,
    units_of,
)
from ..chat.conversations import Conversation, keep_conversations, read_conversations
from ..chat.documents import conversation_document, report_document
from ..errors import InputError
from ..evidence import Change, Occlusion
from ..evidence.maps import ScoreMap, occlusion_map
from ..evidence.occlusion import UnitScale
from ..progress import Progress
from ..units import Box
from ..viewer.layers import LayerData, result_data
from ..viewer.results import result_for
from ..viewer.state import result_of, slide_of
from .history import REPORT
from .paper import save_as
from .task import Work

if TYPE_CHECKING:
    from ..hierarchy import Hierarchy

_TIMES = 5


@dataclass(frozen=True)
class Plan:
    """A question as it was put. box: None is the whole slide."""

    layer: Image
    box: Box | None
    question: str
    answerer: str
    history: tuple[Answer, ...]


@dataclass(frozen=True)
class Said:
    """Words on what is being done."""

    words: str


@dataclass(frozen=True)
class Analysed:
    """A result that has grown, with its layers made ready in the thread."""

    result: Hierarchy
    data: list[LayerData]


def is_sent_the_picture(name: str) -> bool:
    """Return whether an answerer is sent exactly the picture of the view."""
    form = name.partition(":")[0]
    return any(kind.picture for kind in KINDS if kind.form.partition(":")[0] == form)


def answering(plan: Plan) -> Work:
    """Analyse what is not, then answer piece by piece; return the Answer."""
    slide, known, box = slide_of(plan.layer), result_of(plan.layer), plan.box
    assert slide is not None

    def work(progress: Progress, piece: Any) -> Answer:
        # About the whole slide is about what is analysed of it; a view is completed first.
        if known is None or (box is not None and not known.covers(box)):
            piece(Said("This part is not analysed yet; that comes first, and is kept."))
        result = result_for(plan.layer, box, progress)
        grows = box is not None and not result.covers(box)
        answer = None
        if is_sent_the_picture(plan.answerer):
            piece(picture(result, box))
        try:
            asked = (plan.question, box, plan.answerer, plan.history)
            for event in ask_stream(result, *asked, progress=progress):
                if isinstance(event, Answer):
                    answer = event
                piece(event)
        finally:  # also when stopped: what was finished is in the result
            if grows:
                result.refresh()
        assert answer is not None  # the stream ends with it
        if grows or result is not known:
            piece(Analysed(result, result_data(result, slide)))
        return answer

    return work


def checking(layer: Image, answer: Answer, waits: bool, other: Image | Path | None = None) -> Work:
    """Show the pictures of a check, then check; return the Answer with what was found.

    waits: stop after the pictures and return None, for the user to agree to them; other: the layer of another
    slide, or a result on disk, whose image stands for another place.
    """

    def work(progress: Progress, piece: Any) -> Answer | None:
        current, there = _current(layer, answer), None if other is None else _result_of_other(other)
        asked = current.asked
        pictures = []
        if is_sent_the_picture(answer.answerer) and asked is not None:
            changes, _ = planned(current, other=there)
            pictures = [
                (str(change), picture_under(asked.result, asked.box, change))
                for change in changes
                if change.kind != "unchanged"  # that one is above
            ]
        piece(pictures)
        if waits:
            return None
        return replace(answer, dependence=check(current, other=there, progress=progress))

    return work


def repeating(layer: Image, answer: Answer, waits: bool) -> Work:
    """Ask several times more; return the Answer with what was found. Nothing is sent that was not before."""
    return lambda progress, _: replace(
        answer, repeats=repeat(_current(layer, answer), _TIMES, progress=progress)
    )


@dataclass(frozen=True)
class Occluded:
    """An Answer with the places that it was found to rest on, and all that was found, as a map too."""

    answer: Answer
    found: Occlusion
    scores: ScoreMap


def occluding(layer: Image, answer: Answer, waits: bool, scale: UnitScale) -> Work:
    """Leave out one unit of the image at a time; return what was found as Occluded.

    waits: show one of the pictures first and return None, for the user to agree to them.
    """

    def work(progress: Progress, piece: Any) -> Occluded | None:
        current = _current(layer, answer)
        asked = current.asked
        if waits and asked is not None:
            boxes = units_of(current, scale).tolist()
            change = Change("without", boxes[len(boxes) // 2])
            words = f"without one {scale}, as here; {len(boxes)} questions, each without another"
            piece([(words, picture_under(asked.result, asked.box, change))])
            return None
        found = occlude_answer(current, scale, progress=progress)
        assert asked is not None  # else it would have been refused
        kept = [e for e in answer.evidence if (e.source, e.scale) != ("occlusion", scale)]
        scores = occlusion_map(asked.result, found)
        return Occluded(replace(answer, evidence=(*kept, *found.evidence())), found, scores)

    return work


def _result_of_other(other: Image | Path) -> Hierarchy:
    """Return the result of another slide that is open, or on disk. Raises InputError where it has none."""
    from ..hierarchy import default_store, has_result, open_result

    if isinstance(other, Path):
        return open_result(other)
    slide, known = slide_of(other), result_of(other)
    assert slide is not None
    if known is not None:
        return known
    if not has_result(default_store(slide)):
        raise InputError(
            f"{slide.name} is not analysed yet. Analyse it in the Analyse dock, or choose another slide."
        )
    return open_result(default_store(slide), slide)


def reading(layer: Image) -> Work:
    """Return the result of a slide, None where there is none, and the conversations kept beside it."""
    from ..hierarchy import default_store, has_result, open_result

    slide, known = slide_of(layer), result_of(layer)
    assert slide is not None

    def work(progress: Progress, piece: Any) -> tuple[Hierarchy | None, tuple[Conversation, ...]]:
        store = default_store(slide)
        if known is None and not has_result(store):
            return None, ()
        result = known or open_result(store, slide)
        return result, read_conversations(result)

    return work


def keeping(result: Hierarchy, conversations: Sequence[Conversation]) -> Work:
    """Write the conversations about a result."""
    return lambda progress, piece: keep_conversations(result, conversations)


def writing(layer: Image, answers: tuple[Answer, ...], file: str, entry: str) -> Work:
    """Write a conversation, or a report drafted from it; return the file."""

    def work(progress: Progress, piece: Any) -> Path:
        asked = answers[0].asked if answers else None
        if asked is None:
            raise InputError("Nothing is answered yet in this conversation.")
        result = result_of(layer) or asked.result
        document = report_document if entry == REPORT else conversation_document
        return save_as(document(result, Conversation(answers), progress), file)

    return work


def _current(layer: Image, answer: Answer) -> Answer:
    """Return an answer that is asked of the result as it stands now, which may have grown since."""
    result = result_of(layer)
    if answer.asked is None or result is None or result.path != answer.asked.result.path:
        return answer
    return replace(answer, asked=replace(answer.asked, result=result))
