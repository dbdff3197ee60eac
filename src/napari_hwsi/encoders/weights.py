"""Checkpoints: found in a file, a folder or on the hub, read without running code, put into networks."""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from ..errors import MissingDependencyError, WeightsError
from .operators import mend_torchvision

Source: TypeAlias = "str | Path | Mapping[str, Tensor]"
"""A file, a folder, a hub id ('owner/name') or a state dict."""

_HUB_ID = re.compile(r"[\w][\w.-]*/[\w.-]+")
_ENDINGS = (".safetensors", ".bin", ".pth", ".pt", ".ckpt")
_WRAPPERS = ("teacher", "state_dict", "model_state_dict", "vl_projector_state_dict", "model")

_WANT_TORCHVISION = ("transformers", "peft", "cellpose")

Network = TypeVar("Network", bound=nn.Module)


def read_weights(source: Source, files: Sequence[str] = ()) -> tuple[dict[str, Tensor], str]:
    """Return the state dict of a checkpoint, on the CPU, and what messages should call it.

    source: a file (safetensors, or a torch file that holds tensors and plain values only), a folder that
    holds one of ``files`` or a single checkpoint, a hub id, or a state dict (numpy arrays will do). Only a
    hub id makes a network connection. Wrappers such as ``{"teacher": …}`` are opened. Raises WeightsError.
    """
    if isinstance(source, Mapping):
        # a copy: whoever goes on training these tensors changes no encoder
        given = _tensors(source, "the state dict")
        return {name: value.detach().clone() for name, value in given.items()}, "the state dict"
    file = locate(source, files)
    where = str(file)
    if file.name.endswith(".index.json"):
        shards = sorted({*json.loads(file.read_text())["weight_map"].values()})
        return {k: v for shard in shards for k, v in _read(file.with_name(shard)).items()}, where
    return _tensors(_read(file), where), where


def locate(source: str | Path, files: Sequence[str] = ()) -> Path:
    """Return the checkpoint file that a path or hub id means; raises WeightsError if there is none."""
    path = Path(source).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        return _in_folder(path, files)
    if is_hub_id(source):
        return download(str(source), files or ("model.safetensors", "pytorch_model.bin"))
    raise WeightsError(f"{source}: no such file or folder, and not a hub id of the form owner/name.")


def is_hub_id(source: str | Path) -> bool:
    """Tell whether a source that is no path here reads ``owner/name``."""
    return isinstance(source, str) and _HUB_ID.fullmatch(source) is not None


def _in_folder(folder: Path, files: Sequence[str]) -> Path:
    for name in (*files, "model.safetensors.index.json"):
        if (folder / name).is_file():
            return folder / name
    found = sorted(file for file in folder.iterdir() if file.suffix in _ENDINGS)
    if len(found) == 1:
        return found[0]
    wanted = " or ".join(files) or f"one file ending in {', '.join(_ENDINGS)}"
    held = ", ".join(file.name for file in found) or "none"
    raise WeightsError(f"{folder}: expected {wanted}; checkpoints found there: {held}. Name the file itself.")


def download(repository: str, files: Sequence[str]) -> Path:
    """Fetch the first of ``files`` that a hub repository has, or find it in the hub's own cache."""
    hub = optional("huggingface_hub", f"fetch {repository}")
    errors = optional("huggingface_hub.errors", f"fetch {repository}")
    for name in files:
        try:
            return Path(hub.hf_hub_download(repository, name))
        except errors.GatedRepoError as error:
            raise WeightsError(
                f"{repository} is gated: accept its terms at https://huggingface.co/{repository}, then run "
                "`hf auth login` with a token that may read it."
            ) from error
        except errors.EntryNotFoundError:
            continue
        except (errors.HfHubHTTPError, OSError) as error:
            raise WeightsError(f"{repository}: {name} cannot be fetched from the hub: {error}") from error
    raise WeightsError(f"{repository}: has none of {', '.join(files)}. Name the file that holds the weights.")


def _read(file: Path) -> Mapping[str, Any]:
    if file.suffix == ".safetensors":
        reader = optional("safetensors.torch", f"read {file.name}")
        try:
            return reader.load_file(file)
        except (optional("safetensors", "read weights").SafetensorError, OSError) as error:
            raise WeightsError(f"{file}: not a readable safetensors file: {error}") from error
    try:
        # training settings lie beside the weights in the files of DINO and HIPT
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"{file}: holds more than tensors and plain values, and is not opened, since that could run code "
            f"({reason}). Ask for a safetensors file."
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise WeightsError(f"{file}: not a readable torch checkpoint: {error}") from error


def _tensors(content: Any, where: str) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        for name in _WRAPPERS:
            if isinstance(inner := content.get(name), Mapping):
                return _tensors(inner, where)
        tensors = {str(k): torch.as_tensor(v) for k, v in content.items() if hasattr(v, "shape")}
        if tensors:
            return tensors
    raise WeightsError(f"{where}: holds no tensors by name.")


def fill(network: Network, state: Mapping[str, Tensor], where: str) -> Network:
    """Give a network all tensors of a checkpoint, as float32; returns it in evaluation mode, frozen.

    The network may lie on the meta device. Raises WeightsError, with tensor, expected and found shape,
    unless every tensor is there, has its shape, and has a place.
    """
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    wrong = [name for name, shape in expected.items() if name in state and tuple(state[name].shape) != shape]
    if wrong:
        name = wrong[0]
        more = f", and {len(wrong) - 1} more tensors differ" if len(wrong) > 1 else ""
        raise WeightsError(
            f"{where}: tensor {name} should have shape {expected[name]}, "
            f"but has {tuple(state[name].shape)}{more}."
        )
    for name, shape in expected.items():
        if name not in state:
            raise missing_tensor(name, state, where, shape)
    if foreign := sorted(state.keys() - expected.keys()):
        name = foreign[0]
        raise WeightsError(
            f"{where}: holds {len(foreign)} tensors that have no place in this network, the first is {name} "
            f"with shape {tuple(state[name].shape)}: this is a checkpoint of another model."
        )
    values = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    network.load_state_dict(values, assign=True)
    return network.eval().requires_grad_(False)


def fingerprint(network: nn.Module) -> str:
    """Return the SHA-256 of names and values of a network's tensors, the same on every device."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def missing_tensor(
    name: str, state: Mapping[str, Tensor], where: str, shape: tuple[int, ...] | None = None
) -> WeightsError:
    """Return the error for a checkpoint that lacks a tensor."""
    wanted = f"{name} of shape {shape}" if shape is not None else name
    held = ", ".join([f"{key} {tuple(value.shape)}" for key, value in state.items()][:3])
    return WeightsError(
        f"{where}: tensor {wanted} is missing; found {len(state)} tensors, the first are {held}."
    )


def optional(module: str, purpose: str) -> Any:
    """Import an optional package when it is needed; raises MissingDependencyError with the remedy."""
    if module.partition(".")[0] in _WANT_TORCHVISION:
        mend_torchvision()
    try:
        return import_module(module)
    except ImportError as error:
        package = module.split(".")[0].replace("_", "-")
        raise MissingDependencyError(
            f"{package} is needed to {purpose}: pip install {package} ({error})"
        ) from error
