"""Answers of a language model that reads the vectors of the four scales, on this machine."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..encoders.weights import is_hub_id
from ..errors import InputError
from ..evidence import CHANGES, Change, ChangeKind, Evidence, ScaleName
from ..hierarchy import Hierarchy
from ..progress import Progress, tell
from ..units import Box, intersect
from .answer import Answer, Asked
from .background import pull_computed

if TYPE_CHECKING:
    from ..model import MLLM, Atlas, Attended, Generation, ScaleVectors, SlideVectors

T = TypeVar("T")

FORM = "mllm:<folder or hub id>"
WHAT = (
    "A language model in a folder, or on the hub by its name, that reads the vectors of the result; "
    "it runs on this machine."
)
LONGEST = 384
"""Tokens of an answer at the most."""

_USING = threading.Lock()
_MOST_CHOICES = 20
_SHOWN: tuple[tuple[ScaleName, int], ...] = (("patch", 5), ("region", 2))  # places named, by scale


@dataclass(frozen=True)
class ModelAnswerer:
    """A model in a folder, or on the hub where the user named it so: ``mllm:<folder or hub id>``.

    It reads the regions, patches and fused cells that meet the box, with the slide as context; what it looked
    at most while it wrote becomes the evidence.
    """

    source: str
    sees: Literal["result"] = "result"
    changes: frozenset[ChangeKind] = frozenset(CHANGES)

    @classmethod
    def from_name(cls, name: str) -> ModelAnswerer:
        """Read ``mllm:<folder or hub id>``. Raises InputError for anything else."""
        source = name.partition(":")[2].strip()
        if not source or not (Path(source).expanduser().is_dir() or is_hub_id(source)):
            raise InputError(
                f"{name!r} names no model. The form is {FORM}, such as mllm:~/models/MLLM-HWSI: a folder "
                "that holds the model, or its name on the hub, which it is then fetched from."
            )
        return cls(source)

    @property
    def name(self) -> str:
        """The name to ask it by."""
        return f"mllm:{self.source}"

    def answer(self, asked: Asked, *, progress: Progress | None = None) -> Iterator[str | Evidence | Answer]:
        """Yield the text as it comes, the places it looked at, then the Answer.

        Raises WeightsError for a model that cannot be read, InputError for a result that is not made for it.
        """
        model = _one(lambda: _model(self.source), progress)
        history = [(turn.question, turn.text) for turn in asked.history]
        view = _one(lambda: seen_under(model, asked), progress)
        writing = model.generate(view, asked.question, history, LONGEST, attention=True)
        yield from pull_computed(
            partial(_alone, writing),
            lambda: tell(progress, len(writing.tokens), LONGEST, "words"),
            writing.stop,
        )
        within = asked.box or (0, 0, *asked.result.slide_facts["shape"])
        evidence = places_of(writing.attended, within)
        yield from evidence
        choices = _first_tokens(model, view, asked.question, history) if asked.choices else ()
        text = writing.text.strip() or "(The model wrote nothing.)"
        yield Answer(
            question=asked.question,
            text=text,
            evidence=evidence,
            answerer=self.name,
            box=view.box,
            model=f"{model.name} {str(model.about.get('hash', ''))[:12]}".strip(),
            choices=choices,
            statements=((text, tuple(range(len(evidence)))),),
            notes=_notes(view, writing.ended),
        )

    def log_probabilities(
        self, asked: Asked, text: str, changes: Sequence[Change], *, progress: Progress | None = None
    ) -> list[float]:
        """Return the natural log-probability of ``text`` as the answer under each change."""
        model = _one(lambda: _model(self.source), progress)
        history = [(turn.question, turn.text) for turn in asked.history]

        def likely() -> Iterator[float]:
            for change in changes:
                view = seen_under(model, replace(asked, change=change))
                with _USING:
                    yield float(model.choices(view, asked.question, [text], history)[0])

        found: list[float] = []
        for value in pull_computed(likely, lambda: tell(progress, len(found), len(changes), "changes")):
            found.append(value)
        return found


def seen_under(model: MLLM, asked: Asked) -> SlideVectors:
    """Return what a model reads of the place that was asked about, under the change of the image.

    'nothing': every place is hidden, or holds zeros where a model must be given a region; 'elsewhere': those
    of another place or slide; 'shuffled': the vectors of a scale change places among each other; 'without':
    what lies in a box is hidden. Raises InputError where nothing is analysed there.
    """
    change = asked.change
    result, box = asked.result, asked.box
    if change.kind == "elsewhere":
        result, box = change.result or result, change.box
    view = model.view(_atlas(result), result.grid.extent if box is None else box)
    if change.kind == "nothing":
        return _mapped(view, lambda table: _hidden(table, np.ones(len(table), bool), model))
    if change.kind == "without":
        assert change.box is not None  # a Change without a unit is refused
        gone = change.box
        hidden = _mapped(view, lambda table: _hidden(table, _inside(table.boxes, gone), model), slide=False)
        return replace(hidden, slide=view.slide)
    if change.kind == "shuffled":
        rng = np.random.default_rng(change.seed)
        return _mapped(view, lambda table: replace(table, vectors=rng.permutation(table.vectors)))
    return view


def places_of(attended: Attended | None, within: Box) -> tuple[Evidence, ...]:
    """Return the places that the answer looked at more than evenly, as shares of its look at their scale."""
    found: list[Evidence] = []
    for scale, most in _SHOWN:
        if attended is None:
            break
        weights, boxes = attended.scale(scale)
        total = float(weights.sum())
        if total <= 0 or len(weights) < 2:  # a single place says nothing
            continue
        for row in np.argsort(-weights, kind="stable")[:most]:
            y0, x0, y1, x1 = boxes[row].tolist()
            inside = intersect((y0, x0, y1, x1), within)
            if inside is None or weights[row] * len(weights) <= total:  # less than an even share
                continue
            share = float(weights[row]) / total
            note = f"{share:.0%} of what the answer looked at among {len(weights)} {_PLURAL[scale]}"
            found.append(Evidence(scale, inside, share, "attention", note))
    return tuple(found)


_PLURAL: dict[ScaleName, str] = {"cell": "cells", "patch": "patches", "region": "regions", "slide": "slides"}


def _mapped(
    view: SlideVectors, change: Callable[[ScaleVectors], ScaleVectors], slide: bool = True
) -> SlideVectors:
    return replace(
        view,
        slide=change(view.slide) if slide else view.slide,
        region=change(view.region),
        patch=change(view.patch),
        cell=change(view.cell),
        census=None if view.census is None else change(view.census),
    )


def _hidden(table: ScaleVectors, rows: NDArray[np.bool_], model: MLLM) -> ScaleVectors:
    """Return a table whose rows are not seen; a model that fuses scales gets zeros there instead."""
    if model.bridge.kind == "concatenated":
        return replace(table, mask=table.mask & ~rows)
    return replace(table, vectors=np.where(rows[:, None], 0, table.vectors).astype(np.float32))


def _inside(boxes: NDArray[np.int64], box: Box) -> NDArray[np.bool_]:
    """Return which boxes have their middle in a box."""
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.asarray(((middle >= box[:2]) & (middle < box[2:])).all(1))


def _alone(writing: Generation) -> Iterator[str]:
    """Write while no other answer uses the model: one that was left may still end its last word."""
    with _USING:
        yield from writing


@lru_cache(maxsize=1)
def _model(source: str) -> MLLM:
    from ..model import load

    folder = Path(source).expanduser()
    return load(folder if folder.is_dir() else source)


def _atlas(result: Hierarchy) -> Atlas:
    """Return the vectors of a result, kept until the result changes."""
    kept: tuple[object, Atlas] | None = result.__dict__.get("_atlas")
    if kept is None or kept[0] is not result.facts:
        from ..model import Atlas

        kept = result.facts, Atlas.of(result)
        result.__dict__["_atlas"] = kept
    return kept[1]


def _first_tokens(
    model: MLLM, view: SlideVectors, question: str, history: Sequence[tuple[str, str]]
) -> tuple[tuple[str, float], ...]:
    """Return the likeliest first tokens of the answer with their natural log-probabilities."""
    scores = model.logits(view, question, history).astype(np.float64)
    likely = scores - scores.max() - math.log(np.exp(scores - scores.max()).sum())
    best = np.argsort(-likely, kind="stable")[:_MOST_CHOICES]
    return tuple((str(model.tokenizer.decode([int(token)])), float(likely[token])) for token in best)


def _notes(view: SlideVectors, ended: bool) -> tuple[str, ...]:
    notes = ["Written by a model: its words are not measurements."]
    if view.left_out:
        parts = ", ".join(
            f"{count} of {len(view.at(scale)) + count} {_PLURAL[scale]}"
            for scale in ("region", "patch", "cell")
            if (count := view.left_out.get(scale, 0))
        )
        notes.append(f"The place is larger than the model reads at once: {parts} were left out.")
    if not ended:
        notes.append(f"The answer was cut off after {LONGEST} tokens.")
    return tuple(notes)


def _one(work: Callable[[], T], progress: Progress | None) -> T:
    """Return what ``work`` returns, computed aside so that ``progress`` is heard meanwhile."""
    *_, found = pull_computed(lambda: [work()], lambda: tell(progress, 0, 1, "model"))
    return found
