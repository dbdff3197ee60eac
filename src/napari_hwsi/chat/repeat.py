"""Ask an answer's question several times more: how steady is it?"""

from __future__ import annotations

from ..errors import InputError
from ..evidence import UNCHANGED
from ..evidence.repeats import Repeats, repeats
from ..progress import Progress
from .answer import Answer
from .answerers import answerer
from .check import ask_again, asked_of
from .citations import without_citations


def repeat(answer: Answer, times: int = 5, *, progress: Progress | None = None) -> Repeats:
    """Ask ``times`` more, as a model's own sampling has it, and tell the share that says the same.

    Raises InputError for an answer that was read from a file, or of an answerer that always answers alike;
    Cancelled, and what the answerer raises.
    """
    asked = asked_of(answer)
    by = answerer(answer.answerer)
    if "unchanged" not in by.changes:
        raise InputError(f"{by.name} computes its answers: asked again it says the same.")
    text = without_citations(answer.text)
    return repeats(text, lambda: ask_again(by, asked, UNCHANGED, progress), times, progress=progress)
