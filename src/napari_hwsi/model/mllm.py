"""The language model that answers from the four scales of a slide (MLLM-HWSI, arXiv 2603.23067)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..encoders.batches import choose_device
from ..errors import InputError
from .atlas import BUDGET, Atlas
from .batch import SlideBatch, as_batch
from .bridge import Bridge
from .chat import Chat, Turn
from .concatenated import Concatenated
from .generation import Attended, Generation
from .language import stops_of
from .scales import SCALES
from .seen import Seen
from .vectors import SlideVectors

_IGNORED = -100


@dataclass(frozen=True)
class Words:
    """The tokens of one conversation about a slide: before the slide, after it, and of the answer."""

    before: list[int]
    after: list[int]
    answer: list[int]

    def __len__(self) -> int:
        return len(self.before) + len(self.after) + len(self.answer)


@dataclass(frozen=True)
class Read:
    """What the language model computed of B conversations: logits of their last L tokens (B, L, V), the
    tokens themselves with −100 where no answer is (B, L), and what it was given of the slides.
    """

    logits: Tensor
    labels: Tensor
    seen: Seen

    def loss(self) -> Tensor:
        """Return the mean of −log p over all tokens of the answers."""
        return nn.functional.cross_entropy(
            self.logits[:, :-1].flatten(0, 1).float(), self.labels[:, 1:].flatten(), ignore_index=_IGNORED
        )


class MLLM(nn.Module):
    """A bridge from the four scales, and the language model behind it.

    name: of the folder or hub id it came from; place: where its language model is read from when that is
    not kept with it, else None; budget: places of a slide that it reads at the most; filtered: whether the
    filter chooses these; about: what its folder says of how it was made.
    """

    def __init__(
        self,
        name: str,
        language: Any,
        chat: Chat,
        bridge: Bridge | Concatenated,
        device: str | torch.device = "auto",
        place: str | None = None,
        budget: int = BUDGET,
        filtered: bool = True,
        about: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.name, self.chat, self.place, self.budget = name, chat, place, budget
        self.filtered, self.about = filtered, about or {}
        self.language, self.bridge = language, bridge
        where = choose_device(device) if isinstance(device, str) else device
        bridge.to(where)
        if not getattr(language, "is_quantized", False):  # quantized weights stay where they were put
            language.to(where)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next(self.bridge.parameters()).device

    @property
    def tokenizer(self) -> Any:
        """The language model's."""
        return self.chat.tokenizer

    @property
    def context(self) -> int:
        """Tokens that fit into the language model, slide and words together."""
        return int(getattr(self.language.config, "max_position_embeddings", 1 << 30))

    def view(self, atlas: Atlas, box: Sequence[float] | None = None) -> SlideVectors:
        """Return what it reads of a box of a slide (None: all of it), the same in training and at use."""
        used = [scale for scale in SCALES if scale in self.bridge.widths]
        as_released = self.bridge.kind == Bridge.kind
        counts = isinstance(self.bridge, Concatenated) and self.bridge.tally is not None
        return atlas.see(box, self.budget, used, as_released, self.filtered, census=counts)

    def batch(self, slides: Sequence[SlideVectors]) -> SlideBatch:
        """Return slides as tensors; raises InputError for vectors of widths the model was not made for."""
        try:
            return as_batch(slides, self.bridge.widths).to(self.device)
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from error

    def look(self, *slides: SlideVectors) -> Seen:
        """Return what the language model is given of slides; raises InputError as :meth:`batch` does."""
        with torch.inference_mode():
            return self.bridge.see(self.batch(slides))

    def words(self, question: str, history: Sequence[Turn] = (), answer: str | None = None) -> Words:
        """Return the tokens of a conversation; with an answer also those of it and of its end."""
        return Words(
            *self.chat.ids(question, history), [] if answer is None else self.chat.answer_ids(answer)
        )

    def forward(self, slides: SlideBatch, words: Sequence[Sequence[Words]]) -> Read:
        """Read conversations about B slides, as in training; those about one do not see each other."""
        seen = self.bridge.see(slides)
        inputs, mask, positions, labels = self._together(seen, words)
        keep = max(sum(len(each.after) + len(each.answer) for each in row) for row in words) + 1
        out = self.language(
            inputs_embeds=inputs,
            attention_mask=mask,
            position_ids=positions,
            logits_to_keep=min(keep, inputs.shape[1]),
        )
        return Read(out.logits, labels[:, -keep:], seen)

    def logits(self, slide: SlideVectors, question: str, history: Sequence[Turn] = ()) -> NDArray[np.float32]:
        """Return the scores of every token to come first in the answer, float32 (vocabulary,)."""
        with torch.inference_mode():
            out = self.language(inputs_embeds=self._prompt(slide, question, history)[0], logits_to_keep=1)
        return out.logits[0, -1].float().cpu().numpy()

    def generate(
        self,
        slide: SlideVectors,
        question: str,
        history: Sequence[Turn] = (),
        longest: int = 512,
        attention: bool = False,
    ) -> Generation:
        """Return an answer to iterate over, ``longest`` tokens at the most.

        history: earlier (question, answer) pairs; attention: keep where each token looked.
        """
        inputs, seen, first = self._prompt(slide, question, history)
        stops = stops_of(self.language, self.tokenizer)
        places = None
        if attention:
            shown = int(seen.mask[0].sum())
            places = (first, first + shown, partial(self._attended, slide, seen))
        longest = min(longest, self.context - inputs.shape[1])
        return Generation(self.language, self.tokenizer, inputs, stops, longest, places)

    def choices(
        self, slide: SlideVectors, question: str, choices: Sequence[str], history: Sequence[Turn] = ()
    ) -> NDArray[np.float64]:
        """Return the log-probability of each of given answers and its end, float64 (len(choices),)."""
        inputs, _, _ = self._prompt(slide, question, history)
        found = []
        with torch.inference_mode():
            out = self.language(inputs_embeds=inputs, use_cache=True, logits_to_keep=1)
            cache = out.past_key_values
            first = out.logits[0, -1:].float().log_softmax(-1)
            for choice in choices:
                ids = torch.tensor(self.chat.answer_ids(choice), device=self.device)
                scores = first
                if len(ids) > 1:
                    more = self.language(
                        inputs_embeds=self._embed(ids[None, :-1]), past_key_values=cache, use_cache=True
                    )
                    scores = torch.cat([first, more.logits[0].float().log_softmax(-1)])
                    cache.crop(1 - len(ids))
                found.append(float(scores.double().gather(1, ids[:, None]).sum()))
        return np.array(found)

    def _prompt(
        self, slide: SlideVectors, question: str, history: Sequence[Turn]
    ) -> tuple[Tensor, Seen, int]:
        """Return what the model reads (1, L, D), what of the slide, and the slide's first column."""
        words = self.words(question, history)
        seen = self.look(slide)
        with torch.inference_mode():
            inputs = self._join(seen, words)
        if inputs.shape[1] >= self.context:
            raise InputError(
                f"Slide and words are {inputs.shape[1]} tokens, and {self.name} reads {self.context}. "
                "Ask about a smaller box, or begin anew."
            )
        return inputs, seen, len(words.before)

    def _join(self, seen: Seen, words: Words) -> Tensor:
        """Return what the language model reads of one slide and of what was said so far, (1, L, D)."""
        tokens = seen.tokens[0][seen.mask[0]]
        spoken = self._embed(torch.tensor([*words.before, *words.after], device=self.device))
        at = len(words.before)
        return torch.cat([spoken[:at], tokens.to(spoken.dtype), spoken[at:]])[None]

    def _together(
        self, seen: Seen, words: Sequence[Sequence[Words]]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return inputs (B, L, D), mask, positions (B, L) and labels (B, L), padded on the left.

        What comes before the questions stands once in a row, then each question with its answer, each in the
        places it would have alone. mask: bool (B, L), where each row has one question; else (B, 1, L, L),
        what each token looks at.
        """
        flat = [
            t for row in words for t in (*row[0].before, *(t for w in row for t in (*w.after, *w.answer)))
        ]
        embedded = self._embed(torch.tensor(flat, device=self.device))
        rows, blocks, places, labels, start = [], [], [], [], 0
        for row, tokens, mask in zip(words, seen.tokens, seen.mask, strict=True):
            if any(each.before != row[0].before for each in row):
                raise InputError("Questions that share a slide must begin alike: none has a history.")
            at, spoken = len(row[0].before), sum(len(w.after) + len(w.answer) for w in row)
            mine = embedded[start : start + at + spoken]
            start += at + spoken
            rows.append(torch.cat([mine[:at], tokens[mask].to(mine.dtype), mine[at:]]))
            first = len(rows[-1]) - spoken
            block, place, label = [0] * first, [*range(first)], [_IGNORED] * first
            for number, each in enumerate(row, 1):
                count = len(each.after) + len(each.answer)
                block += [number] * count
                place += range(first, first + count)
                label += [*[_IGNORED] * len(each.after), *each.answer]
            blocks.append(block)
            places.append(place)
            labels.append(label)
        longest = max(map(len, rows))
        inputs = torch.stack([nn.functional.pad(row, (0, 0, longest - len(row), 0)) for row in rows])

        def padded(values: Sequence[Sequence[int]], fill: int) -> Tensor:
            filled = [[fill] * (longest - len(row)) + [*row] for row in values]
            return torch.tensor(filled, device=self.device)

        of = padded(blocks, -1)
        mask = of >= 0
        if max(map(len, words)) > 1:
            mask = _sight(of, self.language.config._attn_implementation, inputs.dtype)
        return inputs, mask, padded(places, 0), padded(labels, _IGNORED)

    def _embed(self, ids: Tensor) -> Tensor:
        return self.language.get_input_embeddings()(ids)

    def _attended(self, slide: SlideVectors, seen: Seen, weights: NDArray[np.float32]) -> Attended:
        if seen.looked is not None:  # what the answer saw of a token goes to the regions the token looked at
            looked = seen.looked[0].float().mean(0).cpu().numpy()[:, : len(slide.region)]
            names = np.full(len(slide.region), "region")
            return Attended(weights @ looked, names, slide.region.boxes)
        shown = [scale for scale in SCALES if scale in self.bridge.widths]
        masks = [slide.at(scale).mask for scale in shown]
        boxes = np.concatenate([slide.at(scale).boxes[m] for scale, m in zip(shown, masks, strict=True)])
        names = np.repeat(shown, [int(mask.sum()) for mask in masks])
        return Attended(weights, names, boxes)


def _sight(block: Tensor, attention: str, dtype: torch.dtype) -> Tensor:
    """Return what each token of rows of blocks (B, L) looks at, (B, 1, L, L), in the form attention takes.

    Block 0 stands before all others, which do not see one another; −1 is padding, which looks at itself, so
    that nothing is divided by nothing.
    """
    count = block.shape[1]
    before = torch.ones(count, count, dtype=torch.bool, device=block.device).tril()
    mine = (block[:, None, :] == block[:, :, None]) | (block[:, None, :] == 0)
    itself = torch.eye(count, dtype=torch.bool, device=block.device)
    seen = (before & mine & (block[:, None, :] >= 0) | itself)[:, None]
    if attention == "sdpa":
        return seen
    return torch.zeros(seen.shape, dtype=dtype, device=block.device).masked_fill(
        ~seen, torch.finfo(dtype).min
    )
