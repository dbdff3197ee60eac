"""The words around a slide: chat template, earlier turns, where the slide's tokens stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..errors import InputError

SYSTEM = "You are an expert histopathology assistant."
"""What the released model was trained to be told first."""

MARK = "<|slide|>"
"""Stands for the slide's tokens in a prompt; it is no token itself."""

Placement: TypeAlias = Literal["template", "before"]
Turn: TypeAlias = tuple[str, str]
"""A question and its answer."""


@dataclass(frozen=True)
class Chat:
    """How a question becomes tokens, the same in training and at use.

    placement: 'template', the slide at the start of what the user says first; 'before', the release's way, in
    front of the whole template.
    """

    tokenizer: Any
    system: str = SYSTEM
    placement: Placement = "template"

    def prompt(self, question: str, history: Sequence[Turn] = ()) -> str:
        """Return the text that the model reads; history: earlier (question, answer) pairs.

        Raises InputError for an empty question, and for one that holds the mark of the slide.
        """
        turns = [*history, (question, "")]
        for asked, answered in turns:
            if MARK in asked or MARK in answered:
                raise InputError(f"{MARK} stands for the slide and cannot be part of what is said.")
        if not question.strip():
            raise InputError("The question is empty.")
        messages = [{"role": "system", "content": self.system}] if self.system else []
        mark = f"{MARK}\n" if self.placement == "template" else ""
        for i, (asked, answered) in enumerate(turns):
            messages.append({"role": "user", "content": mark * (i == 0) + asked})
            if i < len(turns) - 1:
                messages.append({"role": "assistant", "content": answered})
        return self._format(messages, add_generation_prompt=True)

    def ids(self, question: str, history: Sequence[Turn] = ()) -> tuple[list[int], list[int]]:
        """Return the tokens before the slide and those after it.

        Raises InputError where the chat template does not leave the mark of the slide in its place.
        """
        text = self.prompt(question, history)
        if self.placement == "before":
            return [], self._ids(text)
        before, mark, after = text.partition(MARK)
        if not mark or MARK in after:
            raise InputError("The chat template of this language model drops or repeats the slide's place.")
        return self._ids(before), self._ids(after)

    def answer_ids(self, answer: str) -> list[int]:
        """Return the tokens of an answer with the one that ends it."""
        return [*self._ids(answer), self.end]

    @property
    def end(self) -> int:
        """The token that ends an answer; raises InputError for a tokenizer without one."""
        end = self.tokenizer.eos_token_id
        if end is None:
            raise InputError("The tokenizer of this language model has no token that ends an answer.")
        return int(end)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def _format(self, messages: list[dict[str, str]], **options: Any) -> str:
        return str(
            self.tokenizer.apply_chat_template(messages, tokenize=False, enable_thinking=False, **options)
        )
