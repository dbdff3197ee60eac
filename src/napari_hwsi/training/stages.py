"""The three stages, from a configuration to a model's folder."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .. import __version__
from ..disk import write_whole
from ..errors import InputError, WeightsError
from ..model import Chat, Concatenated, load, new_language, open_language, save
from ..model.aligned import FORMAT as ALIGNED
from ..model.aligned import load_aligned
from ..model.bridge import Bridge
from ..model.folder import facts_of
from ..model.language import lora_from, with_lora
from ..progress import Progress
from .answering import Answering
from .config import Config, Stage, Tokens
from .examples import Example, Examples, LeftOut, read_examples, together, with_patients
from .loop import Outcome, processes, run, written_once
from .shelf import Shelf
from .splits import check_disjoint, split

if TYPE_CHECKING:
    from ..model import MLLM


_SETTLED = 200  # slides, at the most, from which the spread of vectors is taken


@dataclass(frozen=True)
class Trained:
    """A finished stage: its folder, the hash of the model in it, how the run went, and what it learned from.

    counts: by 'training' and 'validation', examples used, and left out by reason.
    """

    folder: Path
    hash: str
    outcome: Outcome
    counts: Mapping[str, Any]


@dataclass(frozen=True)
class Material:
    """What a run learns from."""

    shelf: Shelf
    widths: Mapping[str, int]
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    left_out: tuple[LeftOut, ...]
    counts: Mapping[str, Any]


def train(stage: Stage, config: Config, progress: Progress | None = None, device: str = "auto") -> Trained:
    """Run a stage; run again, it goes on where it was killed, and a finished one is left as it is.

    The folder ``config.out`` takes the model (``model/``), the curve, the state, and ``data.json``: what was
    used, and every row that was not, with its reason. Raises InputError for data or settings that do not
    fit, WeightsError for a stage before that is missing or another one.
    """
    if stage == "stage1":
        from .aligning import train_stage1

        return train_stage1(config, progress, device)
    out = Path(config.out)
    start = _start_of(stage, config)
    material = gather(config, start.get("widths"), progress)
    torch.manual_seed(config.schedule.seed)
    model = _model(stage, config, material, processes(device).device)
    material = _fitting(model, material)
    written_once(lambda: write_data(out, material), device)
    origin = {"stage": start.get("stage"), "hash": start.get("hash")} if start else None
    settings = settings_of(stage, config, material, origin)
    learner = Answering(model, material.shelf, config.losses)
    learn, check = (together(part, config.data.together) for part in (material.train, material.validation))
    outcome = run(learner, learn, check, config.schedule, out, settings, progress, device)
    about = {
        "stage": stage,
        "from": origin,
        "settings": settings,
        "config": plain(config),
        "data": material.counts,
        "best_step": outcome.best_step,
        "validation": outcome.best,
        "version": __version__,
    }
    folder = out / "model"
    written_once(lambda: _saved(model, folder, about), device)
    return Trained(folder, facts_of(folder)["hash"], outcome, material.counts)


def gather(
    config: Config, widths: Mapping[str, int] | None = None, progress: Progress | None = None
) -> Material:
    """Read the examples and find their slides.

    widths: of the vectors that a model takes already. Raises InputError where nothing is left, and for
    patients in both training and validation.
    """
    data = config.data
    shelf = Shelf(data.stores, data.kept, data.mpp)
    patients = {} if data.patients is None else read_patients(data.patients, data.encoding)

    def read(files: Iterable[str]) -> Examples:
        return with_patients(read_examples(tuple(files), data.encoding), patients)

    found, widths = shelf.usable(read(data.files), widths, progress)
    left_out, counts = [*found.left_out], {"training": found.counts}
    if data.validation is None:
        learn, check = split(found.used, data.share, data.seed)
    else:
        held, _ = shelf.usable(read(data.validation), widths, progress)
        learn, check = found.used, held.used
        check_disjoint(learn, check)
        left_out += held.left_out
        counts["validation"] = held.counts
    counts = {**counts, "examples": {"training": len(learn), "validation": len(check)}}
    return Material(shelf, widths, learn, check, tuple(left_out), counts)


def read_patients(path: str, encoding: str = "utf-8") -> dict[str, str]:
    """Read whose each slide is from a CSV of slide, patient; raises InputError naming a row that is not."""
    from .examples import slide_name

    found: dict[str, str] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig" if encoding == "utf-8" else encoding) as stream:
            reader = csv.DictReader(stream)
            if not {"slide", "patient"} <= {*(reader.fieldnames or ())}:
                raise InputError(f"{path}: needs the columns slide and patient.")
            for row in reader:
                slide, patient = slide_name(row["slide"] or ""), (row["patient"] or "").strip()
                if not slide or not patient or found.get(slide, patient) != patient:
                    raise InputError(f"{path}, line {reader.line_num}: no slide, no patient, or two of them.")
                found[slide] = patient
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    return found


def write_data(out: Path, material: Material) -> None:
    """Write what a run learns from, and every row that it does not use."""
    out.mkdir(parents=True, exist_ok=True)
    content = {
        "counts": material.counts,
        "left_out": [asdict(row) for row in material.left_out],
        "validation": sorted({example.slide for example in material.validation}),
    }
    write_whole(out / "data.json", json.dumps(content, indent=2, ensure_ascii=False).encode())


def settings_of(stage: Stage, config: Config, material: Material, origin: Mapping[str, Any] | None) -> str:
    """Return the hash of all that a run's numbers depend on."""
    values = plain(config)
    rows = [[asdict(example) for example in part] for part in (material.train, material.validation)]
    parts = [stage, values, origin, rows]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def plain(config: Config) -> dict[str, Any]:
    """Return a configuration without the places of this machine: they do not decide what is learned."""
    values = config.as_dict()
    for name in ("out", "start"):
        values.pop(name)
    for name in ("stores", "kept"):
        values["data"].pop(name)
    for name in ("files", "validation", "patients"):
        held = values["data"][name]
        if held is not None:
            names = [held] if isinstance(held, str) else held
            values["data"][name] = [Path(one).name for one in names]
    text = values["encoders"]["text"]
    if text is not None:
        values["encoders"]["text"] = Path(text).name
    place = values["language"]["place"]
    if place is not None and Path(place).is_absolute():
        values["language"]["place"] = Path(place).name
    return values


def _start_of(stage: Stage, config: Config) -> dict[str, Any]:
    """Return what is known of the stage before; raises WeightsError where it is not the one needed."""
    if config.start is None:
        if stage == "stage3":
            raise WeightsError("Stage 3 goes on from stage 2. Say where its model is, as start: in the YAML.")
        return {}
    folder = Path(config.start)
    if stage == "stage2":
        facts = facts_of(folder, ALIGNED)
        return {"stage": "stage1", "hash": facts["hash"], "widths": facts["network"]["widths"]}
    if config.tokens != Tokens() or config.language.new is not None:
        raise InputError(
            "Stage 3 has the tokens and the language model of stage 2: leave tokens and new out."
        )
    facts = facts_of(folder)
    if facts["about"].get("stage") != "stage2":
        raise WeightsError(
            f"{folder}: holds a model of {facts['about'].get('stage') or 'no stage'}. Stage 3 goes on from "
            "stage 2."
        )
    return {"stage": "stage2", "hash": facts["hash"], "widths": facts["bridge"]["widths"]}


def _model(stage: Stage, config: Config, material: Material, device: torch.device) -> MLLM:
    from ..model import MLLM

    chosen = config.language
    if stage == "stage3":
        model = load(str(config.start), str(device), language=chosen.place, four_bit=chosen.four_bit)
    else:
        texts = [text for e in material.train for text in (e.question, e.answer)]
        texts.append(config.tokens.system)
        if chosen.place is not None:
            local = Path(chosen.place).is_dir()  # a hub id in a configuration is a wish to fetch it
            language, tokenizer = open_language(chosen.place, local=local, four_bit=chosen.four_bit)
        elif chosen.new is not None:
            language, tokenizer = new_language(texts, **chosen.new)
        else:
            raise InputError("language: say the place of a language model, or new: with the sizes of one.")
        chat = Chat(tokenizer, config.tokens.system, config.tokens.placement)
        width = language.get_input_embeddings().weight.shape[1]
        bridge = _bridge(config, material.widths, width)
        reads = config.tokens.budget, config.tokens.filter
        model = MLLM("model", language, chat, bridge, device, chosen.place, *reads)
        if isinstance(bridge, Concatenated):
            _settle(bridge, material)
    model.bridge.requires_grad_(True)
    if chosen.trains == "lora":
        model.language = with_lora(model.language, lora_from(chosen.lora or {}))
    elif chosen.trains == "all":
        if chosen.four_bit:
            raise InputError("language: weights in four bits cannot be trained themselves; use trains: lora.")
        model.language = model.language.float().requires_grad_(True)
        model.place = None
    if chosen.checkpointing:
        model.language.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def _settle(bridge: Concatenated, material: Material) -> None:
    """Let the bridge take the mean and spread of each scale over the slides that are learned from."""
    slides = sorted({example.slide for example in material.train})
    atlases = [material.shelf.atlas(slide) for slide in slides[:: -(-len(slides) // _SETTLED)]]
    tables = {
        "slide": [atlas.slide[None] for atlas in atlases],
        "region": [atlas.regions.vectors for atlas in atlases],
        "patch": [atlas.patches.vectors for atlas in atlases],
        "cell": [atlas.cells.vectors for atlas in atlases if atlas.cells.width],
    }
    for scale in bridge.widths:
        bridge.settle(scale, torch.from_numpy(np.concatenate(tables[scale])))


def _saved(model: MLLM, folder: Path, about: Mapping[str, Any]) -> None:
    if hasattr(model.language, "peft_config") and model.place is None:
        model.language = model.language.merge_and_unload()  # a language model of our own is kept whole
    save(model.eval(), folder, about)


def _bridge(config: Config, widths: Mapping[str, int], width: int) -> Bridge | Concatenated:
    tokens = config.tokens
    used = {scale: widths[scale] for scale in tokens.scales if widths.get(scale)}
    if lacking := [scale for scale in tokens.scales if scale not in used]:
        raise InputError(
            f"The stores hold no {lacking[0]} vectors. Analyse with a profile that makes them, or leave "
            f"{lacking[0]} out of tokens: scales."
        )
    if tokens.kind == "resampled":
        if len(used) != 4:
            raise InputError("tokens: kind: resampled needs all four scales.")
        return Bridge(width, tokens.hidden, tokens.queries, tokens.dropout, used)
    if config.start is None:
        return Concatenated(width, tokens.hidden, tokens.dropout, used, tallies=tokens.tallies)
    bridge = Concatenated(width, tokens.hidden, tokens.dropout, used, adapters=True, tallies=tokens.tallies)
    aligned = load_aligned(config.start)
    for scale in used:
        bridge.adapters[scale].load_state_dict(aligned.adapters[scale].state_dict())
    return bridge


def _fitting(model: MLLM, material: Material) -> Material:
    """Return the material without examples that are longer than what the language model reads."""
    slide = model.bridge.queries if isinstance(model.bridge, Bridge) else model.budget

    def long(examples: Iterable[Example]) -> dict[str, LeftOut]:
        found = {}
        for example in examples:
            words = len(model.words(example.question, example.history, example.answer))
            if slide + words > model.context:
                reason = f"longer than the context: {slide} + {words} tokens, and {model.context} are read"
                found[example.where] = LeftOut(example.where, reason)
        return found

    wrong = {**long(material.train), **long(material.validation)}
    learn = tuple(example for example in material.train if example.where not in wrong)
    check = tuple(example for example in material.validation if example.where not in wrong)
    if not learn:
        raise InputError(f"All examples are longer than the {model.context} tokens that the model reads.")
    counts = {**material.counts, "examples": {"training": len(learn), "validation": len(check)}}
    if wrong:
        counts["longer than the context"] = len(wrong)
    return replace(
        material,
        train=learn,
        validation=check,
        left_out=(*material.left_out, *wrong.values()),
        counts=counts,
    )
