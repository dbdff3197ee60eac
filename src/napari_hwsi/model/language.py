"""Causal language models of transformers: opened from a folder, made new, given LoRA, in four bits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..encoders.weights import optional
from ..errors import InputError, WeightsError

_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


@dataclass(frozen=True)
class Lora:
    """Low-rank changes to a language model (Hu et al. 2021); targets: names of its linear layers."""

    rank: int = 128
    alpha: float = 256
    dropout: float = 0.05
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def open_language(
    place: str | Path, *, local: bool = True, four_bit: bool = False, precision: torch.dtype | str = "auto"
) -> tuple[Any, Any]:
    """Return a causal language model and its tokenizer, frozen.

    place: a folder, or a hub id; local: no network, a hub id must have been fetched before. four_bit: NF4
    through bitsandbytes (QLoRA, Dettmers et al. 2023). Raises WeightsError for what transformers cannot read,
    MissingDependencyError without transformers or bitsandbytes.
    """
    transformers = optional("transformers", "run the language model")
    options: dict[str, Any] = {"local_files_only": local, "dtype": precision}
    if four_bit:
        optional("bitsandbytes", "hold the language model in four bits")
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    try:
        language = transformers.AutoModelForCausalLM.from_pretrained(str(place), **options)
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(place), local_files_only=local)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{place}: transformers cannot read its language model: {error}") from error
    return language.eval().requires_grad_(False), tokenizer


def open_text(place: str | Path) -> tuple[Any, Any]:
    """Return a text model of transformers and its tokenizer, frozen; no network.

    Raises WeightsError for what transformers cannot read.
    """
    transformers = optional("transformers", "run the text encoder")
    try:
        network = transformers.AutoModel.from_pretrained(str(place), local_files_only=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(place), local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{place}: transformers cannot read its text model: {error}") from error
    return network.eval().requires_grad_(False), tokenizer


def new_language(
    texts: Iterable[str], vocabulary: int = 2048, architecture: str = "qwen2", **sizes: Any
) -> tuple[Any, Any]:
    """Return a language model with fresh weights and a tokenizer learned from texts.

    vocabulary: tokens at the most, byte-level BPE with digits one by one; architecture: a model type of
    transformers; sizes: fields of its configuration, such as hidden_size. Weights follow torch's seed. Raises
    InputError for a configuration that transformers refuses.
    """
    transformers = optional("transformers", "make a language model")
    tokenizer = new_tokenizer(texts, vocabulary)
    special = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0}
    try:
        config = transformers.AutoConfig.for_model(
            architecture, vocab_size=len(tokenizer), **{"tie_word_embeddings": True, **special, **sizes}
        )
        language = transformers.AutoModelForCausalLM.from_config(config)
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise InputError(f"No language model {architecture!r} of {sizes} can be made: {error}") from error
    return language.eval().requires_grad_(False), tokenizer


def new_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """Return a byte-level BPE tokenizer learned from texts, digits one by one, with a chat template."""
    transformers = optional("transformers", "make a tokenizer")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=_SPECIAL[2],
        pad_token=_SPECIAL[0],
        chat_template=_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def with_lora(language: Any, lora: Lora) -> Any:
    """Return a language model with fresh, trainable LoRA layers, the rest of it frozen.

    Raises InputError where no layer has one of the names, MissingDependencyError without peft.
    """
    peft = optional("peft", "train LoRA")
    config = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        task_type="CAUSAL_LM",
    )
    if getattr(language, "is_loaded_in_4bit", False):
        language = peft.prepare_model_for_kbit_training(language)
    try:
        return peft.get_peft_model(language, config)
    except ValueError as error:
        raise InputError(f"LoRA does not fit this language model: {error}") from error


def with_adapter(language: Any, folder: Path, trainable: bool = False) -> Any:
    """Return a language model with the LoRA layers kept in a folder; raises WeightsError."""
    peft = optional("peft", "read LoRA")
    try:
        return peft.PeftModel.from_pretrained(language, str(folder), is_trainable=trainable)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{folder}: its LoRA does not fit the language model: {error}") from error


def stops_of(language: Any, tokenizer: Any) -> set[int]:
    """Return the tokens that end an answer."""
    stops = getattr(language.generation_config, "eos_token_id", None)
    found = {stops} if isinstance(stops, int) else {*(stops or ())}
    return found | ({tokenizer.eos_token_id} if tokenizer.eos_token_id is not None else set())


def lora_from(settings: Mapping[str, Any]) -> Lora:
    """Return LoRA's settings from plain values; raises InputError for an unknown one."""
    known = asdict(Lora())
    if unknown := sorted(settings.keys() - known.keys()):
        raise InputError(f"LoRA has no setting {unknown[0]!r}; it has: {', '.join(known)}.")
    values = dict(settings)
    if isinstance(values.get("targets"), Sequence):
        values["targets"] = tuple(values["targets"])
    return Lora(**values)
