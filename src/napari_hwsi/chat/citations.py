"""Places that a model names in its text."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from itertools import accumulate
from typing import Any

from ..evidence import Evidence
from ..units import Box
from .answer import Grounded

HOW_TO_CITE = (
    "Name the place each statement rests on as [[y0, x0, y1, x1]]: top, left, bottom and right as "
    "fractions from 0 to 1 of the picture's height and width, such as [[0.10, 0.55, 0.30, 0.80]]."
)

_CITATION = re.compile(r"\[\[[^\[\]]*\](?:\s*,\s*\[[^\[\]]*\])*\]")
_SPACE = re.compile(r"\s+")
_SENTENCE_END = re.compile(r"[.!?]\s|\n")
_EMPHASIS = re.compile(r"\*\*|__|`")
_LONGEST_NOTE = 160
MOST_PLACES = 32
"""Places that are taken from one answer."""


def cited_places(text: str, box: Box) -> tuple[tuple[Evidence, ...], int]:
    """Return the places that ``text`` names within ``box``, and how many were left out.

    A place is four numbers from 0 to 1, top before bottom and left before right; anything
    else is left out, and what goes beyond the first 32. The note of each is the sentence that
    names it, or the one before where it stands between two.
    """
    text = _SPACE.sub(lambda run: "\n" if "\n" in run.group() else " ", text)
    plain, ends, named = _sentences(text)
    places: list[Evidence] = []
    left_out = 0
    for citation, sentence in named:
        note = _note(plain[ends[sentence - 1] : ends[sentence]])
        for corners in _boxes(citation):
            place = _on_slide(corners, box)
            if place is None or len(places) == MOST_PLACES:
                left_out += 1
            else:
                places.append(Evidence("region", place, None, "crop", note))
    return tuple(places), left_out


def cited_statements(text: str, box: Box) -> tuple[Grounded, ...]:
    """Return the sentences of ``text`` without the places it names, and for each which of them it rests on.

    The numbers are rows of what :func:`cited_places` returns; joined, the sentences are the text.
    """
    plain, ends, named = _sentences(text)
    rows: list[list[int]] = [[] for _ in ends[1:]]
    count = 0
    for citation, sentence in named:
        for corners in _boxes(citation):
            if _on_slide(corners, box) is not None and count < MOST_PLACES:
                rows[sentence - 1].append(count)
                count += 1
    spans = zip(ends[:-1], ends[1:], rows, strict=True)
    return tuple((plain[start:end], tuple(found)) for start, end, found in spans if start < end)


def _sentences(text: str) -> tuple[str, list[int], list[tuple[str, int]]]:
    """Return a text without citations, where its sentences end, and the sentence of each citation, from 1."""
    between = [piece.rstrip(" ") for piece in _CITATION.split(text)]
    plain = "".join(between)
    ends = [0, *(match.end() for match in _SENTENCE_END.finditer(plain)), len(plain)]
    at = accumulate(map(len, between))
    named = [
        (citation, bisect_right(ends, place, hi=len(ends) - 1))
        for citation, place in zip(_CITATION.findall(text), at, strict=False)
    ]
    return plain, ends, named


def without_citations(text: str) -> str:
    """Return a text without the places it names."""
    return _CITATION.sub("", text)


def citation(place: Box, box: Box) -> str:
    """Return ``place`` as a model is asked to name it: fractions of ``box``."""
    height, width = box[2] - box[0], box[3] - box[1]
    y0, y1 = ((y - box[0]) / height for y in place[::2])
    x0, x1 = ((x - box[1]) / width for x in place[1::2])
    return f"[[{y0:.3f}, {x0:.3f}, {y1:.3f}, {x1:.3f}]]"


def _boxes(citation: str) -> list[Any]:
    try:
        value = json.loads(citation)
    except ValueError:
        return [None]
    return list(value)


def _on_slide(corners: Any, box: Box) -> Box | None:
    """Return level-0 pixels of four fractions of ``box``, or None where they are no place in it."""
    if not isinstance(corners, list) or len(corners) != 4:
        return None
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in corners):
        return None
    y0, x0, y1, x1 = corners
    if not (0 <= y0 < y1 <= 1 and 0 <= x0 < x1 <= 1):
        return None
    height, width = box[2] - box[0], box[3] - box[1]
    return (
        box[0] + math.floor(y0 * height),
        box[1] + math.floor(x0 * width),
        box[0] + math.ceil(y1 * height),
        box[1] + math.ceil(x1 * width),
    )


def _note(sentence: str) -> str:
    words = _EMPHASIS.sub("", sentence[: 2 * _LONGEST_NOTE]).replace("\n", " ").strip(" .,;:!-*#")
    return words[:_LONGEST_NOTE] or "a place the model named"
