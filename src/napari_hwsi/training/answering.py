"""Stages 2 and 3: the bridge, and in stage 3 the language model too, learn from questions and answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..model import MLLM
from ..model.losses import (
    consistency,
    mean_of,
    pooled,
    release_consistency,
    release_contrast,
    soft,
)
from ..model.seen import Seen
from .config import Losses
from .examples import Example
from .loop import Learner
from .queue import Queue
from .shelf import Shelf
from .wording import embedded, pooled_texts


class Answering(Learner):
    """The parts of the loss of examples: 'language', −log p of the answers' tokens; 'contrast' of the vectors
    of each scale with the words of the answers, as the language model itself embeds them; 'consistency'.
    """

    judged = "language"

    def __init__(self, model: MLLM, shelf: Shelf, losses: Losses) -> None:
        super().__init__()
        self.model, self._shelf, self._losses = model, shelf, losses
        remembers = losses.contrast > 0 and losses.form == "paper" and losses.queue > 0
        width = model.bridge.width
        self._queues = (
            {scale: Queue(losses.queue, width) for scale in model.bridge.widths} if remembers else {}
        )
        self.queues = nn.ModuleDict(self._queues).to(model.device)  # part of the state

    def forward(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Return the parts of the loss, and 'loss', their weighted sum."""
        model, losses = self.model, self._losses
        slides = model.batch([model.view(self._shelf.atlas(e.slide), e.box) for e in examples])
        words = [[model.words(asked, e.history, said) for asked, said in e.pairs] for e in examples]
        read = model(slides, words)
        parts = {"language": read.loss()}
        if losses.contrast:
            parts["contrast"] = self._contrast(read.seen, [_said(e) for e in examples])
        if losses.consistency:
            parts["consistency"] = (
                consistency(read.seen)
                if losses.form == "paper"
                else mean_of(release_consistency(pooled(read.seen)))
            )
        weights = {"language": losses.language, "contrast": losses.contrast}
        weights["consistency"] = losses.consistency
        total = torch.stack([weights[name] * value.float() for name, value in parts.items()]).sum()
        return {"loss": total, **parts}

    def _contrast(self, seen: Seen, answers: Sequence[str]) -> Tensor:
        parts = []
        for scale, visual in seen.projected.items():
            if self._losses.form == "paper":
                queue = self._queues.get(scale)
                units = embedded(answers, scale, self._encode, queue, self.training)
                if units is not None:
                    parts.append(soft(visual, seen.masks[scale], units, self._losses.temperature))
                continue
            text, there = pooled_texts(answers, scale, self._encode)
            if there.any():
                one = {scale: pooled(seen)[scale][there]}
                parts += release_contrast(one, {scale: text[there]}, self._losses.temperature).values()
        return torch.stack(parts).mean() if parts else seen.tokens.new_zeros(())

    def _encode(self, strings: Sequence[str]) -> Tensor:
        """Return the mean of the language model's own embeddings of the tokens of strings, (M, D)."""
        ids = [self.model.tokenizer(s, add_special_tokens=False).input_ids or [0] for s in strings]
        table = self.model.language.get_input_embeddings().weight
        flat = torch.tensor([token for row in ids for token in row], device=table.device)
        rows = torch.repeat_interleave(
            torch.arange(len(ids), device=table.device),
            torch.tensor([len(row) for row in ids]).to(table.device),
        )
        with torch.no_grad():
            words = table[flat].float()
            sums = words.new_zeros(len(ids), words.shape[1]).index_add(0, rows, words)
            return sums / torch.bincount(rows)[:, None]


def _said(example: Example) -> str:
    """Return all that is said of what an example is about."""
    return "\n".join(answer for _, answer in example.pairs)
