"""What a question asks for, by a small grammar.

A question is cut into clauses. A clause that names something no measurement can tell (a
diagnosis, a mitosis, a gland) is refused as a whole: "how large is the tumour?" must not be
answered with the size of nuclei. In every other clause each topic of the vocabulary that
occurs is asked for, unless something narrows it that no answer takes into account: "how many
nuclei are not round?" must not be answered with how many there are. Topics named by everyday
words count only where every other word is known: "calcifications in the tissue" does not ask
how much tissue there is. Words that nothing used are kept, so that an answer can say so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from .vocabulary import (
    AVERAGE,
    AVERAGED,
    COUNTED,
    COUNTED_ELSEWHERE,
    EVERYDAY,
    GOES_WITH,
    LIMITS,
    NAMED_GOES_WITH,
    NOUN_ENDS,
    NUCLEI,
    SLIDE,
    STOP,
    TOPICS,
    UNMEASURED,
    WHERE,
    Topic,
)

_CLAUSE = re.compile(r"[.?!;,:]+(?:\s+|$)|\b(?:and|but|also|then|plus)\b")
_HOW_MANY = re.compile(
    r"\b(?:how many|(?:number|count) of|count(?= (?:up|the|all|nuclei|cells)\b)"
    rf"|(?:are|is) there any(?=(?: [\w-]+)* {NUCLEI}\b))((?: [\w'-]+)*)"
)
_PATTERNS = tuple((topic, re.compile(rf"\b(?:{'|'.join(names)})\b")) for topic, names in TOPICS)
_WHOLE = re.compile(rf"\b{SLIDE}\b")
_WHERE = re.compile(rf"\b{WHERE}\b")
_LIMITS = re.compile(rf"\b(?:{'|'.join(sorted(LIMITS))})(?!\w)")
_REFUSED = re.compile(rf"\b(?:{'|'.join(sorted(UNMEASURED))})\w*")


@dataclass(frozen=True)
class Ask:
    """One thing asked for. detail: the type, phrase, unmeasurable thing or limit it is about, if any."""

    topic: Topic
    detail: str = ""


@dataclass(frozen=True)
class Reading:
    """How a question was understood.

    asks: what it asks for, in its order; whole_slide: about the slide, whatever is in view;
    where, here: it asks for places, or names the view; unused: its words that play no part in this.
    """

    asks: tuple[Ask, ...]
    whole_slide: bool = False
    where: bool = False
    here: bool = False
    unused: tuple[str, ...] = ()


# What "and where?" asks for, after each topic.
_WITH_PLACES = frozenset({"densest", "sparsest", "largest", "smallest", "kept", "phrases", "types"})
_PLACES: dict[Topic, Ask] = {
    "count": Ask("densest"),
    "density": Ask("densest"),
    "summary": Ask("densest"),
    "size": Ask("largest"),
}


def read_question(question: str, type_names: Sequence[str] = (), phrases: Sequence[str] = ()) -> Reading:
    """Return what ``question`` asks for.

    type_names: the types of nuclei that the result tells apart; phrases: those its patches were scored for.
    """
    text = re.sub(r"['’]", "", question.lower())
    text = " ".join(re.sub(r"[^\w\s.?!;,:/-]", " ", text).split())
    asks: list[Ask] = []
    unused: list[str] = []
    whole_slide = False
    for clause in _CLAUSE.split(text):
        found, rest = _read_clause(clause, type_names, phrases)
        words = [word for word in re.findall(r"[\w-]+", _WHOLE.sub("", rest)) if word not in STOP]
        if words and Ask("count") in found:
            found, words = [Ask("limited", " ".join(words))], []
        elif words and any(ask.topic in EVERYDAY for ask in found):
            known = [ask for ask in found if ask.topic not in EVERYDAY]
            found = known or [Ask("refused", " ".join(words))]
            words = words if known else []
        whole_slide |= bool(_WHOLE.search(rest)) and Ask("compare") not in found
        asks += [ask for ask in dict.fromkeys(found) if ask not in asks]
        unused += [word for word in words if word not in unused]
    said = set(re.findall(r"\w+", text))
    return Reading(
        asks=tuple(asks),
        whole_slide=whole_slide,
        where="where" in said,
        here=bool(said & {"here", "view", "now"}),
        unused=tuple(unused),
    )


def follow_up(reading: Reading, before: Reading | None) -> Reading:
    """Complete "and where?", "and here?" or "and in the whole slide?" from the question before."""
    if reading.asks or reading.unused or before is None or not before.asks:
        return reading
    if reading.where:
        places = (ask if ask.topic in _WITH_PLACES else _PLACES.get(ask.topic) for ask in before.asks)
        return replace(reading, asks=tuple(dict.fromkeys(ask for ask in places if ask)))
    return replace(reading, asks=before.asks) if reading.whole_slide or reading.here else reading


def _read_clause(clause: str, type_names: Sequence[str], phrases: Sequence[str]) -> tuple[list[Ask], str]:
    """Return what a clause asks for, in its order, and what is left of it."""
    found: list[tuple[int, Ask]] = []
    rest = clause

    def take(start: int, end: int, ask: Ask) -> None:
        nonlocal rest
        found.append((start, ask))
        rest = rest[:start] + " " * (end - start) + rest[end:]

    named: tuple[tuple[Topic, Sequence[str]], ...] = (("phrases", phrases), ("types", type_names))
    for topic, names in named:
        for name in names:
            singular = re.escape(name.lower().removesuffix("s"))
            for match in re.finditer(rf"(?<!most )(?<!least )\b{singular}(?:e?s)?\b", rest):
                take(*match.span(), Ask(topic, name))
    if refused := [match.group() for match in _REFUSED.finditer(rest)]:
        return [Ask("refused", word) for word in refused], ""
    for match in _HOW_MANY.finditer(rest):
        nouns = list(takewhile(lambda word: word not in NOUN_ENDS, match.group(1).split()))
        unknown = [word for word in nouns if word not in COUNTED]
        if set(unknown) - COUNTED_ELSEWHERE:
            return [Ask("refused", " ".join(nouns))], ""
        if not unknown and not found:
            take(match.start(), match.start(1) + len(" ".join(["", *nouns])), Ask("count"))
    for topic, pattern in _PATTERNS:
        for match in pattern.finditer(rest):
            take(*match.span(), Ask(topic))
    if limits := _limits(clause, rest, found):
        return [Ask("limited", limits)], ""
    if not found and (asked := _WHERE.search(rest)):
        take(*asked.span(), Ask("densest"))
    found.sort(key=lambda item: item[0])
    return [ask for _, ask in found], rest


def _limits(clause: str, rest: str, found: Sequence[tuple[int, Ask]]) -> str:
    """Return what narrows a clause in a way that no answer takes into account, "" where nothing does."""
    rest = _WHOLE.sub("", rest)
    if limits := [match.group() for match in _LIMITS.finditer(rest)]:
        return " ".join(dict.fromkeys(limits))
    asks = {ask for _, ask in found}
    topics = {ask.topic for ask in asks}
    if (averages := AVERAGE.intersection(rest.split())) and not topics <= AVERAGED:
        return " ".join(sorted(averages))
    apart = any(topics - GOES_WITH.get(topic, topics) - {topic} for topic in topics)
    mixed = any(ask.detail for ask in asks) and not topics <= NAMED_GOES_WITH
    return clause.strip() if apart or mixed else ""
