"""Generated text against a reference: BLEU, ROUGE-L and METEOR, by the libraries the field uses.

BLEU by sacrebleu (Papineni et al., ACL 2002; 13a words, lower case, no smoothing, of the whole corpus),
ROUGE-L by rouge-score (Lin 2004; F1, no stemming), METEOR by NLTK (Banerjee & Lavie 2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, MissingDependencyError

METEOR = "METEOR"
METEOR_WITHOUT_WORDNET = "METEOR (exact and stem)"

_ORDER = 4
_PACKAGES = {"sacrebleu": "sacrebleu", "rouge_score": "rouge-score", "nltk": "nltk"}


@dataclass(frozen=True)
class TextScores:
    """Scores of N texts. matched and total: n-grams of 1 to 4 words, int64 (N, 4); length and
    reference_length: words, int64 (N,); rouge_l and meteor: float64 (N,); meteor_form: which METEOR it is.
    """

    matched: NDArray[np.int64]
    total: NDArray[np.int64]
    length: NDArray[np.int64]
    reference_length: NDArray[np.int64]
    rouge_l: NDArray[np.float64]
    meteor: NDArray[np.float64]
    meteor_form: str

    def bleu(self, order: int = _ORDER, rows: NDArray[np.int64] | None = None) -> float:
        """BLEU of n-grams of up to ``order`` words, 0 to 1, of all texts or of ``rows``, as one corpus."""
        from sacrebleu.metrics.bleu import BLEU

        chosen: Any = slice(None) if rows is None else rows
        matched, total = self.matched[chosen].sum(0), self.total[chosen].sum(0)
        length, reference = self.length[chosen].sum(), self.reference_length[chosen].sum()
        score = BLEU.compute_bleu(
            matched.tolist(), total.tolist(), int(length), int(reference), max_ngram_order=order
        )
        return float(score.score) / 100


def text_scores(generated: Sequence[str], references: Sequence[str]) -> TextScores:
    """Score each generated text against its reference; an empty one scores 0.

    METEOR matches words that are equal, then those of one stem, then synonyms where WordNet's data is
    installed for NLTK; else it goes without them, under the name METEOR_WITHOUT_WORDNET. Raises InputError
    for an empty reference, MissingDependencyError without the libraries.
    """
    if len(generated) != len(references):
        raise InputError(f"{len(generated)} texts and {len(references)} references do not belong together.")
    for number, text in enumerate(references):
        if not text.strip():
            raise InputError(f"Reference {number} is empty. Leave it out.")
    needed = [package for module, package in _PACKAGES.items() if find_spec(module) is None]
    if needed:
        raise MissingDependencyError(
            f"Scores of text need {', '.join(needed)}. Install them: pip install 'napari-hwsi[evaluate]'"
        )
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics.bleu import BLEU

    # effective_order only concerns the score of one sentence, which is not used here.
    counter = BLEU(lowercase=True, effective_order=True, max_ngram_order=_ORDER)
    rouge = RougeScorer(["rougeL"], use_stemmer=False)
    count = len(references)
    matched, total = np.zeros((count, _ORDER), np.int64), np.zeros((count, _ORDER), np.int64)
    length, reference_length = np.zeros(count, np.int64), np.zeros(count, np.int64)
    rouge_l, meteor = np.zeros(count), np.zeros(count)
    form, words = _meteor()
    for i, (text, reference) in enumerate(zip(generated, references, strict=True)):
        sentence = counter.sentence_score(text, [reference])
        matched[i], total[i] = sentence.counts, sentence.totals
        length[i], reference_length[i] = sentence.sys_len, sentence.ref_len
        if text.strip():
            rouge_l[i] = rouge.score(reference, text)["rougeL"].fmeasure
            meteor[i] = _meteor_of(text, reference, words)
    return TextScores(matched, total, length, reference_length, rouge_l, meteor, form)


class _NoSynonyms:
    """Stands where WordNet would: no word has synonyms."""

    def synsets(self, word: str) -> list[Any]:
        return []


@lru_cache(maxsize=1)
def _meteor() -> tuple[str, Any]:
    """Return which METEOR this installation computes, and where it finds synonyms."""
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except LookupError:
        return METEOR_WITHOUT_WORDNET, _NoSynonyms()
    return METEOR, wordnet


def _meteor_of(text: str, reference: str, words: Any) -> float:
    from nltk.tokenize import wordpunct_tokenize
    from nltk.translate.meteor_score import single_meteor_score

    return float(single_meteor_score(wordpunct_tokenize(reference), wordpunct_tokenize(text), wordnet=words))
