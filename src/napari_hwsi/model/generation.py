"""An answer as it is written, token by token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Attended:
    """How the T tokens of an answer looked at the N places of the slide that the model was given.

    weights: float32 (T, N), mean over layers and heads, of the attention that went to the slide and to
    everything else a row sums to one; scales: (N,) names; boxes: int64 (N, 4), level-0 px.
    """

    weights: NDArray[np.float32]
    scales: NDArray[np.str_]
    boxes: NDArray[np.int64]

    def scale(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the mean weights (n,) of the places of a scale, over the whole answer, and their boxes."""
        rows = self.scales == name
        mean = self.weights[:, rows].mean(0) if len(self.weights) else np.zeros(int(rows.sum()), np.float32)
        return mean.astype(np.float32), self.boxes[rows]


class Generation:
    """An iterator over the pieces of an answer, always the likeliest next token.

    Leaving the iterator stops the work, and so does :meth:`stop` from any thread. text, tokens: what was said
    so far; ended: whether the model itself ended the answer; attended: once it is over, where it looked, if
    that was asked for.
    """

    def __init__(
        self,
        language: Any,
        tokenizer: Any,
        inputs: Tensor,
        stops: set[int],
        longest: int,
        places: tuple[int, int, Callable[[NDArray[np.float32]], Attended]] | None = None,
    ) -> None:
        """inputs: (1, L, D); places: the slide's first and last column, and what makes Attended of them."""
        self._language, self._tokenizer, self._inputs = language, tokenizer, inputs
        self._stops, self._longest, self._places = stops, longest, places
        self._stopped = False
        self._rows: list[NDArray[np.float32]] = []
        self.text, self.ended = "", False
        self.tokens: list[int] = []

    def stop(self) -> None:
        """End the answer after the token in hand."""
        self._stopped = True

    @property
    def attended(self) -> Attended | None:
        """Where the tokens said so far looked, None where that was not asked for."""
        if self._places is None:
            return None
        first, last, make = self._places
        return make(np.stack(self._rows) if self._rows else np.zeros((0, last - first), np.float32))

    def __iter__(self) -> Iterator[str]:
        for token in self._choose():
            self.tokens.append(token)
            text = self._decode(self.tokens)
            if not text.endswith("�"):  # half a letter: the rest comes with the next token
                piece, self.text = text[len(self.text) :], text
                if piece:
                    yield piece
        text = self._decode(self.tokens)
        if piece := text[len(self.text) :]:
            self.text = text
            yield piece

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def _choose(self) -> Iterator[int]:
        embed, cache, inputs = self._language.get_input_embeddings(), None, self._inputs
        watched = self._places is not None
        attention = self._language.config._attn_implementation
        try:
            if watched:  # attention weights are only computed plainly
                self._language.set_attn_implementation("eager")
                with torch.inference_mode():  # of the prompt only the last row is wanted, the rest is large
                    cache = self._language(
                        inputs_embeds=inputs[:, :-1], use_cache=True, logits_to_keep=1
                    ).past_key_values
                inputs = inputs[:, -1:]
            for _ in range(self._longest):
                if self._stopped:
                    return
                with torch.inference_mode():
                    out = self._language(
                        inputs_embeds=inputs,
                        past_key_values=cache,
                        use_cache=True,
                        logits_to_keep=1,
                        output_attentions=watched,
                    )
                    token, cache = int(out.logits[0, -1].argmax()), out.past_key_values
                    inputs = embed(torch.tensor([[token]], device=inputs.device))
                if token in self._stops:
                    self.ended = True
                    return
                if watched:
                    self._rows.append(self._row(out.attentions))
                yield token
        finally:
            if watched:
                self._language.set_attn_implementation(attention)

    def _row(self, attentions: Sequence[Tensor]) -> NDArray[np.float32]:
        assert self._places is not None  # asked for only then
        first, last, _ = self._places
        layers = torch.stack([layer[0, :, -1, first:last].float().mean(0) for layer in attentions])
        return layers.mean(0).cpu().numpy()
