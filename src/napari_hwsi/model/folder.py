"""Models on disk: our own folder, and the published one.

Our own folder: ``config.json`` (what it is, how it was made, the SHA-256 of every other file and of all
together), ``bridge.safetensors``, ``language/`` (a Hugging Face folder with its tokenizer), or the place of
the language model, and ``adapter/`` where LoRA was trained.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ..disk import sync_tree
from ..encoders.weights import fill, is_hub_id, read_weights
from ..errors import WeightsError
from .bridge import Bridge, load_bridge
from .chat import Chat
from .concatenated import Concatenated
from .language import open_language, with_adapter
from .mllm import MLLM

FORMAT = "napari-hwsi model"
_VERSION = 2
_EVERYTHING = 1 << 30  # places that the release reads of a slide: it makes 64 tokens of any number
_CONFIG, _BRIDGE, _LANGUAGE, _ADAPTER = "config.json", "bridge.safetensors", "language", "adapter"
_BRIDGES: dict[str, type[Bridge] | type[Concatenated]] = {
    bridge.kind: bridge for bridge in (Bridge, Concatenated)
}


def save(model: MLLM, folder: str | Path, about: Mapping[str, Any] | None = None) -> str:
    """Write a model as a folder of our own, whole or not at all; returns the hash of all its files.

    about: what to record of how it was made. A language model that was not changed is named by its place,
    and not copied. A model that stands there is replaced.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in model.bridge.state_dict().items()}
    lora = hasattr(model.language, "peft_config")
    base = model.language.get_base_model() if lora else model.language
    if lora and model.place is None:
        raise WeightsError(f"{model.name}: LoRA needs a language model with a place of its own.")

    def put(draft: Path) -> None:
        save_file(state, draft / _BRIDGE)
        if lora:
            model.language.save_pretrained(str(draft / _ADAPTER))
        elif model.place is None:
            base.save_pretrained(str(draft / _LANGUAGE))
        if model.place is None:
            model.tokenizer.save_pretrained(str(draft / _LANGUAGE))

    config = {
        "bridge": {"kind": model.bridge.kind, **model.bridge.settings},
        "chat": {"system": model.chat.system, "placement": model.chat.placement},
        "budget": model.budget,
        **({} if model.filtered else {"filtered": False}),
    }
    beside = {"language": model.place, "about": dict(about if about is not None else model.about)}
    return write_folder(Path(folder), FORMAT, config, beside, put)


def write_folder(
    target: Path,
    form: str,
    config: Mapping[str, Any],
    beside: Mapping[str, Any],
    put: Callable[[Path], None],
) -> str:
    """Write a folder with its ``config.json``, whole or not at all, in place of one that stands there.

    put: writes the other files into the folder it is given. Returns the hash of these and of ``config``; what
    stands beside, where and how it was made, is not part of it.
    """
    draft = target.with_name(f".{target.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    put(draft)
    hashed = {"format": form, "version": _VERSION, **config, "files": hashes(draft)}
    digest = hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()
    content = {**hashed, **beside, "hash": digest}
    (draft / _CONFIG).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    sync_tree(draft)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    return digest


def is_own(folder: Path, form: str = FORMAT) -> bool:
    """Tell whether a folder holds something of our own form."""
    try:
        return bool(json.loads((folder / _CONFIG).read_text(encoding="utf-8")).get("format") == form)
    except (OSError, ValueError, AttributeError):
        return False


def facts_of(folder: Path, form: str = FORMAT) -> dict[str, Any]:
    """Return what the ``config.json`` of a folder of our own says; raises WeightsError if there is none."""
    if not is_own(folder, form):
        raise WeightsError(f"{folder}: no {form}, its {_CONFIG} is missing or another program's.")
    config: dict[str, Any] = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    if config.get("version") != _VERSION:
        raise WeightsError(
            f"{folder}: version {config.get('version')} is not one this package reads. Train it again."
        )
    return config


def checked(folder: Path, form: str = FORMAT) -> dict[str, Any]:
    """Return what :func:`facts_of` does, once every file is found to be as it was written."""
    config, found = facts_of(folder, form), hashes(folder)
    for name, digest in config["files"].items():
        if found.get(name) != digest:
            state = "changed" if name in found else "missing"
            raise WeightsError(f"{folder / name} is {state}: the model is not as it was written.")
    return config


def load(
    source: str | Path, device: str = "auto", *, language: str | Path | None = None, four_bit: bool = False
) -> MLLM:
    """Read a model: a folder of our own, or the released layout, a causal language model's folder with
    ``vl_projector.pt`` in it.

    source: the folder, or a hub id (only then is the network used); language: where its language model is
    now, if not where it was; four_bit: hold that in four bits. Raises WeightsError for a folder that lacks a
    part, whose files were changed, or whose parts do not belong together; MissingDependencyError without
    transformers.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir() and not is_hub_id(source):
        raise WeightsError(f"{source}: neither a model folder nor a hub id of the form owner/name.")
    if folder.is_dir() and is_own(folder):
        model = _load_own(folder, device, language, four_bit)
    else:
        model = _load_released(source, folder, device, four_bit)
    width = model.language.get_input_embeddings().weight.shape[1]
    if width != model.bridge.width:
        raise WeightsError(
            f"{source}: the projector gives width {model.bridge.width}, the language model reads {width}."
        )
    return model.eval()


def _load_released(source: str | Path, folder: Path, device: str, four_bit: bool) -> MLLM:
    bridge = load_bridge(source)
    local = folder.is_dir()
    place = str(folder) if local else str(source)
    language, tokenizer = open_language(place, local=local, four_bit=four_bit)
    name = folder.name if local else place
    chat = Chat(tokenizer, placement="before")
    return MLLM(name, language, chat, bridge, device, place, _EVERYTHING)


def _load_own(folder: Path, device: str, place: str | Path | None, four_bit: bool) -> MLLM:
    config = checked(folder)
    settings = dict(config["bridge"])
    kind = settings.pop("kind")
    if kind not in _BRIDGES:
        raise WeightsError(f"{folder}: its tokens are {kind!r}, which this version does not know.")
    weights, where = read_weights(folder / _BRIDGE)
    with torch.device("meta"):
        bridge: Bridge | Concatenated = _BRIDGES[kind](**settings)
    bridge = fill(bridge, weights, where)
    own = folder / _LANGUAGE
    kept = str(place or config["language"] or own)
    language, tokenizer = open_language(own if own.is_dir() else kept, four_bit=four_bit)
    if (folder / _ADAPTER).is_dir():
        language = with_adapter(language, folder / _ADAPTER)
    about = {**config["about"], "hash": config["hash"]}
    here = folder.resolve()
    return MLLM(
        here.parent.name if here.name == "model" else here.name,  # training calls all "model"
        language,
        Chat(tokenizer, **config["chat"]),
        bridge,
        device,
        None if own.is_dir() else kept,
        config["budget"],
        config.get("filtered", True),
        about,
    )


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a model folder but its ``config.json``, by path."""
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name != _CONFIG:
            with file.open("rb") as stream:
                found[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found
