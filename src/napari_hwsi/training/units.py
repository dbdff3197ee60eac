"""A report as words, phrases, sentences and a whole: what cell, patch, region and slide are compared with."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_SENTENCE = re.compile(r"(?<=[.!?;])\s+(?=[A-Z0-9(])|\n+")
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*|\d+(?:\.\d+)?\s?%?")
_STOP = frozenset(
    re.findall(
        r"\w+",
        """
        a about above after all also although an and any are as at be been before being below between both but
        by can could did do does during each either few for from further had has have having he her here his
        how however if in into is it its itself less may more most much near no nor not of off on once only or
        other our out over own per same seen she should since so some such than that the their them then there
        these they this those through to too under until up upon very was we were what when where whereas
        which while who whom why will with within without would you your show shows showing shown appear
        appears noted note
        """,
    )
)
_JOINS = frozenset(("of", "with", "without", "in", "by"))  # "nests of tumour cells" is one phrase


@dataclass(frozen=True)
class TextUnits:
    """Strings of one report, in order; none twice, whether of one scale or of two."""

    words: tuple[str, ...]
    phrases: tuple[str, ...]
    sentences: tuple[str, ...]
    report: str

    def of(self, scale: str) -> tuple[str, ...]:
        """Return the units of the language of a scale: cell, patch, region or slide."""
        return {"cell": self.words, "patch": self.phrases, "region": self.sentences, "slide": (self.report,)}[
            scale
        ]


def text_units(report: str) -> TextUnits:
    """Split a report.

    Sentences end at . ! ? ; before a capital or a number, and at line ends. Phrases are runs of content words
    within a sentence, of two words or more, which 'of', 'with', 'without', 'in' and 'by' may join; words are
    single content words. Where a string would stand at two scales it stays at the finer one: a report of one
    sentence has no sentences of its own.
    """
    text = " ".join(report.split())
    sentences = [part.strip(" .;") for line in report.splitlines() for part in _SENTENCE.split(line)]
    sentences = [part for part in sentences if _WORD.search(part)]
    phrases = [phrase for sentence in sentences for phrase in _phrases(sentence)]
    words = [w.lower() for w in _WORD.findall(text) if w.lower() not in _STOP and len(w) > 1]
    taken: set[str] = set()

    def own(strings: list[str]) -> tuple[str, ...]:
        fresh = [s for s in dict.fromkeys(strings) if _key(s) not in taken]
        taken.update(map(_key, fresh))
        return tuple(fresh)

    words_, phrases_ = own(words), own(phrases)
    taken.add(_key(text))
    return TextUnits(words_, phrases_, own(sentences), text)


def string_number(text: str) -> int:
    """Return a number of a string, the same in every run and for every spelling of spaces and case."""
    return int.from_bytes(hashlib.sha256(_key(text).encode()).digest()[:8], "big") >> 1


def _key(text: str) -> str:
    return " ".join(text.lower().strip(" .;").split())


def _phrases(sentence: str) -> list[str]:
    found: list[str] = []
    for clause in re.split(r"[,:;()]", sentence):
        run: list[str] = []
        for word in [*_WORD.findall(clause), "the"]:  # a stop word ends the last run
            small = word.lower()
            if small not in _STOP or (run and small in _JOINS):
                run.append(small)
                continue
            while run and run[-1] in _JOINS:
                run.pop()
            if len(run) > 1:
                found.append(" ".join(run))
            run = []
    return found
