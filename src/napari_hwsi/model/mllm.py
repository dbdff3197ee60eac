"""The language model that answers from the four scales of a slide (MLLM-HWSI, arXiv 2603.23067)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..encoders.batches import choose_device
from ..encoders.weights import is_hub_id, optional
from ..errors import InputError, WeightsError
from .bridge import Bridge, Bridged, load_bridge
from .projectors import SCALES

SYSTEM = "You are an expert histopathology assistant."
"""What the released model was trained to be told first."""


@dataclass(frozen=True)
class SlideVectors:
    """What is known of one slide, in the vectors of its four scales.

    slide: (W,); region: (R, W); patch, cell: (R, K, W) of the K kept patches of each region, cell the token
    of a patch's cells; patch_mask, cell_mask: bool (R, K), True for what is there, None: all is.
    """

    slide: NDArray[np.floating]
    region: NDArray[np.floating]
    patch: NDArray[np.floating]
    cell: NDArray[np.floating]
    patch_mask: NDArray[np.bool_] | None = None
    cell_mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        kept = self.patch.shape[:2]
        masks = [mask.shape for mask in (self.patch_mask, self.cell_mask) if mask is not None]
        shapes = [self.cell.shape[:2], *masks]
        ranks = (self.slide.ndim, self.region.ndim, self.patch.ndim, self.cell.ndim)
        if ranks != (1, 2, 3, 3) or kept[0] != len(self.region) or any(shape != kept for shape in shapes):
            given = ", ".join(f"{scale} {getattr(self, scale).shape}" for scale in SCALES)
            raise InputError(f"The vectors of a slide do not belong together: {given}, masks {masks}.")
        if not len(self.region):
            raise InputError("A slide without a region says nothing to the model.")


class MLLM:
    """The released model: the bridge's tokens stand before the whole chat template, then the question.

    name: of the folder or hub id it came from; device: where it runs.
    """

    def __init__(
        self, name: str, language: Any, tokenizer: Any, bridge: Bridge, device: str = "auto"
    ) -> None:
        self.name, self.device = name, choose_device(device)
        self._language, self._tokenizer = language.to(self.device), tokenizer
        self._bridge = bridge.to(self.device)

    def look(self, vectors: SlideVectors) -> Bridged:
        """Return the slide's tokens (1, Q, D), the regions they looked at (1, heads, Q, R), and its pools.

        Raises InputError for vectors of widths that the model was not made for.
        """
        given = {scale: getattr(vectors, scale)[None] for scale in SCALES}
        for scale, values in given.items():
            width = self._bridge.widths[scale]
            if values.shape[-1] != width:
                raise InputError(
                    f"{self.name} takes {scale} vectors of width {width}, not {values.shape[-1]}."
                )
        masks = {"patch_mask": vectors.patch_mask, "cell_mask": vectors.cell_mask}
        with torch.inference_mode():
            return self._bridge(
                **{scale: self._tensor(values.astype(np.float32)) for scale, values in given.items()},
                **{name: self._tensor(mask[None]) for name, mask in masks.items() if mask is not None},
            )

    def prompt(self, question: str, history: Sequence[tuple[str, str]] = ()) -> str:
        """Return the text that the model reads after the slide; history: earlier (question, answer) pairs."""
        messages = [{"role": "system", "content": SYSTEM}]
        for asked, answered in history:
            messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        messages.append({"role": "user", "content": question})
        return self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    def logits(self, vectors: SlideVectors, question: str) -> NDArray[np.float32]:
        """Return the scores of every token to come first in the answer, float32 (vocabulary,)."""
        with torch.inference_mode():
            out = self._language(inputs_embeds=self._read(vectors, question, ()))
        return out.logits[0, -1].float().cpu().numpy()

    def answer(
        self,
        vectors: SlideVectors,
        question: str,
        history: Sequence[tuple[str, str]] = (),
        longest: int = 512,
    ) -> Iterator[str]:
        """Yield the answer piece by piece, always the likeliest next token, ``longest`` tokens at the most.

        Leaving the iterator stops the work.
        """
        stops = self._language.generation_config.eos_token_id
        stops = {stops} if isinstance(stops, int) else {*(stops or ())}
        inputs, cache, said, sent = self._read(vectors, question, history), None, [], 0
        for _ in range(longest):
            with torch.inference_mode():
                out = self._language(inputs_embeds=inputs, past_key_values=cache, use_cache=True)
                token, cache = int(out.logits[0, -1].argmax()), out.past_key_values
                inputs = self._words(torch.tensor([[token]]))
            if token in stops:
                break
            said.append(token)
            text = self._tokenizer.decode(said, skip_special_tokens=True)
            if not text.endswith("\ufffd"):  # half a letter: the rest comes with the next token
                yield text[sent:]
                sent = len(text)
        if rest := self._tokenizer.decode(said, skip_special_tokens=True)[sent:]:
            yield rest

    def _read(self, vectors: SlideVectors, question: str, history: Sequence[tuple[str, str]]) -> Tensor:
        ids = self._tokenizer(self.prompt(question, history), return_tensors="pt").input_ids
        with torch.inference_mode():
            words = self._words(ids)
            return torch.cat([self.look(vectors).tokens.to(words.dtype), words], 1)

    def _words(self, ids: Tensor) -> Tensor:
        return self._language.get_input_embeddings()(ids.to(self.device))

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)


def load(source: str | Path, device: str = "auto") -> MLLM:
    """Read a model in the released layout: a causal language model's folder with ``vl_projector.pt`` in it.

    source: the folder, or a hub id (only then is the network used). Raises WeightsError for a folder that
    lacks a part, or whose parts do not belong together; MissingDependencyError without transformers.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir() and not is_hub_id(source):
        raise WeightsError(f"{source}: neither a model folder nor a hub id of the form owner/name.")
    transformers = optional("transformers", "run the language model")
    bridge = load_bridge(source)
    local = folder.is_dir()
    place = str(folder) if local else str(source)
    try:
        language = transformers.AutoModelForCausalLM.from_pretrained(
            place, local_files_only=local, dtype="auto"
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, local_files_only=local)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{source}: transformers cannot read its language model: {error}") from error
    width = language.get_input_embeddings().weight.shape[1]
    if width != bridge.width:
        raise WeightsError(
            f"{source}: the projector gives width {bridge.width}, the language model reads {width}."
        )
    return MLLM(
        folder.name if local else place, language.eval().requires_grad_(False), tokenizer, bridge, device
    )
