"""What a model may do on a walk: a fixed list of actions, read from strict JSON, nothing else."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from ...errors import HwsiError

ActionKind: TypeAlias = Literal["look", "list_cells", "measure", "compare", "similar", "mark", "answer"]
ACTIONS: tuple[ActionKind, ...] = get_args(ActionKind)

Fractions: TypeAlias = tuple[float, float, float, float]
"""(y0, x0, y1, x1) from 0 to 1 of the picture shown last."""

HOW_TO_ACT = """Reply with one JSON object and nothing else, one of:
{"action": "look", "box": [y0, x0, y1, x1]} - see a part of the last picture larger
{"action": "look", "place": "p2"} - see a place that was named to you; "slide" is the whole slide
{"action": "list_cells", "box": [...]} - the nuclei there, by type, and the largest of them
{"action": "measure", "box": [...]} - density, size and shape of the nuclei, share of tissue
{"action": "compare", "box": [...], "other": [...]} - the same of two places, side by side
{"action": "similar", "box": [...]} - the most similar places of the slide, which get names
{"action": "mark", "box": [...], "note": "..."} - keep a place that matters, with what it shows
{"action": "answer", "text": "..."} - the end: the answer, which rests on the places you marked
Boxes are top, left, bottom, right as fractions from 0 to 1 of the last picture; its guides show them."""

HOW_TO_STRUCTURE = """The answer also has these fields:
"findings": [{"text": "...", "box": [...] or null}], "differential": [{"name": "...", "for": "...", \
"against": "..."}], "diagnosis": "...", "would_change": "what would change your mind"."""

_TAKES: dict[ActionKind, tuple[str, ...]] = {
    "look": ("box", "place"), "list_cells": ("box",), "measure": ("box",), "compare": ("box", "other"),
    "similar": ("box",), "mark": ("box", "note"), "answer": ("text",),
}  # fmt: skip
_LONGEST = 20_000
_LONGEST_NOTE = 400


class ActionError(HwsiError, ValueError):
    """A reply that is no action; the message is what the model is told."""


@dataclass(frozen=True)
class Differential:
    """One possible diagnosis, with the evidence for and against it."""

    name: str
    speaks_for: str
    against: str


@dataclass(frozen=True)
class Structured:
    """An answer in parts. findings: texts with their place in the last picture, None where there is none."""

    findings: tuple[tuple[str, Fractions | None], ...] = ()
    differential: tuple[Differential, ...] = ()
    diagnosis: str = ""
    would_change: str = ""


@dataclass(frozen=True)
class Action:
    """One action. box, other: parts of the last picture; place: one that was named; note, text: words;
    structured: the parts of an answer, where these were asked for.
    """

    kind: ActionKind
    box: Fractions | None = None
    other: Fractions | None = None
    place: str | None = None
    note: str = ""
    text: str = ""
    structured: Structured | None = None
    repaired: bool = field(default=False, compare=False)


def read_action(reply: str, structured: bool = False) -> Action:
    """Read an action from what a model replied; words round the object are passed over.

    What is nearly JSON (fences, a comma too many, single quotes, words of Python) is repaired. structured:
    an answer must have its parts. Raises ActionError, in words for the model, for anything else.
    """
    values, repaired = _object(reply[:_LONGEST])
    kind = values.get("action")
    if kind not in ACTIONS:
        raise ActionError(f'"action" is one of {", ".join(ACTIONS)}; not {kind!r}.')
    box, other = _box(values, "box"), _box(values, "other")
    place = values.get("place")
    if kind == "look":
        if (box is None) == (place is None):
            raise ActionError('"look" takes either "box" or "place".')
        if place is not None and not isinstance(place, str):
            raise ActionError('"place" is a name such as "p1" or "slide".')
    else:
        place = None
        for name in _TAKES[kind]:
            if values.get(name) is None:
                raise ActionError(f'"{kind}" needs "{name}".')
    text, note = _words(values, "text"), _words(values, "note")[:_LONGEST_NOTE]
    if kind == "answer" and not text.strip():
        raise ActionError('"answer" needs a "text" that is not empty.')
    parts = _structured(values) if structured and kind == "answer" else None
    return Action(kind, box, other, place, note, text.strip(), parts, repaired)


def _object(reply: str) -> tuple[dict[str, Any], bool]:
    """Return the first JSON object of a text, and whether it had to be repaired."""
    start = reply.find("{")
    if start < 0:
        raise ActionError("There is no JSON object in your reply.")
    try:
        value, _ = json.JSONDecoder().raw_decode(reply[start:])
        return _known(value), False
    except ValueError:
        pass
    body = _balanced(reply[start:])
    for mended in (re.sub(r",(\s*[}\]])", r"\1", body.replace("“", '"').replace("”", '"')), body):
        try:
            return _known(json.loads(mended)), True
        except ValueError:
            pass
        try:
            return _known(ast.literal_eval(mended)), True  # reads values only, runs nothing
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            pass
    raise ActionError("Your JSON object cannot be read. Check its quotes and commas.")


def _known(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ActionError("Reply with a JSON object.")
    return {str(key): held for key, held in value.items()}


def _balanced(text: str) -> str:
    """Return the text up to the brace that closes its first; braces in strings do not count."""
    depth, quote, skip = 0, "", False
    for i, letter in enumerate(text):
        if skip:
            skip = False
        elif quote:
            skip = letter == "\\"
            quote = "" if letter == quote else quote
        elif letter == '"':
            quote = letter
        elif letter in "{[":
            depth += 1
        elif letter in "}]":
            depth -= 1
            if depth == 0:
                return text[: i + 1]
    return text + "}" * max(depth, 0)


def _box(values: Mapping[str, Any], name: str) -> Fractions | None:
    given = values.get(name)
    if given is None:
        return None
    if not isinstance(given, list | tuple) or len(given) != 4:
        raise ActionError(f'"{name}" has four numbers: top, left, bottom, right.')
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in given):
        raise ActionError(f'"{name}" has four numbers from 0 to 1.')
    y0, x0, y1, x1 = (float(v) for v in given)
    if not (0 <= y0 < y1 <= 1 and 0 <= x0 < x1 <= 1):
        raise ActionError(
            f'"{name}" is [top, left, bottom, right], each from 0 to 1, top above bottom, left before right; '
            f"not {list(given)}."
        )
    return y0, x0, y1, x1


def _words(values: Mapping[str, Any], name: str) -> str:
    given = values.get(name, "")
    if given is None:
        return ""
    if not isinstance(given, str):
        raise ActionError(f'"{name}" is text.')
    return given


def _structured(values: Mapping[str, Any]) -> Structured:
    findings, differential = values.get("findings"), values.get("differential")
    if not isinstance(findings, list) or not isinstance(differential, list):
        raise ActionError('"findings" and "differential" are lists.')
    if not all(isinstance(one, dict) for one in (*findings, *differential)):
        raise ActionError('The items of "findings" and "differential" are objects.')
    return Structured(
        tuple((_words(one, "text"), _box(one, "box")) for one in findings),
        tuple(
            Differential(_words(one, "name"), _words(one, "for"), _words(one, "against"))
            for one in differential
        ),
        _words(values, "diagnosis"),
        _words(values, "would_change"),
    )
