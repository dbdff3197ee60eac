"""Checkpoints from files, folders and the hub: read without running code, or one clear error."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from napari_hwsi.encoders import weights
from napari_hwsi.encoders.weights import fill, read_weights
from napari_hwsi.errors import MissingDependencyError, WeightsError

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return (Path.touch, (self.file,))


def same(found: dict[str, torch.Tensor]) -> bool:
    return {*found} == {*STATE} and all(torch.equal(found[k], STATE[k]) for k in STATE)


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"teacher": STATE, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
        {"arch": "CellViT256", "config": {"data.num": 6}, "model_state_dict": STATE},
        {"state_dict": STATE | {"note": "text"}},
        {"vl_projector_state_dict": STATE},
    ],
)
def test_torch_files_with_and_without_wrapper(tmp_path: Path, content: dict[str, Any]) -> None:
    file = tmp_path / "weights.pth"
    torch.save(content, file)
    found, where = read_weights(file)
    assert same(found)
    assert where == str(file)
    assert same(read_weights(tmp_path)[0])


def test_a_state_dict_may_hold_numpy_arrays() -> None:
    assert same(read_weights({k: v.numpy() for k, v in STATE.items()})[0])  # type: ignore[misc]


def test_safetensors_whole_and_in_shards(tmp_path: Path) -> None:
    files = pytest.importorskip("safetensors.torch")
    files.save_file(STATE, tmp_path / "one.safetensors")
    assert same(read_weights(tmp_path)[0])
    (tmp_path / "one.safetensors").unlink()
    where = {}
    for i, (name, value) in enumerate(STATE.items()):
        files.save_file({name: value}, tmp_path / f"{i}.safetensors")
        where[name] = f"{i}.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    assert same(read_weights(tmp_path)[0])
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    with pytest.raises(WeightsError, match=r"broken\.safetensors: not a readable"):
        read_weights(tmp_path / "broken.safetensors")


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    left_behind = tmp_path / "ran"
    torch.save(STATE | {"trap": Trap(left_behind)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth: holds more than tensors.*safetensors"):
        read_weights(tmp_path / "w.pth")
    assert not left_behind.exists()


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"PK no zip at all")
    with pytest.raises(WeightsError, match=r"w\.pt: "):
        read_weights(tmp_path / "w.pt")
    torch.save({"epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"w\.pt: holds no tensors"):
        read_weights(tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="no such file or folder, and not a hub id"):
        read_weights(tmp_path / "nothing")
    with pytest.raises(WeightsError, match="no such file or folder, and not a hub id"):
        read_weights("a/b/c")


def test_a_folder_of_several_files_must_be_told_apart(tmp_path: Path) -> None:
    for name in ("one.pth", "two.bin"):
        torch.save(STATE, tmp_path / name)
    with pytest.raises(WeightsError, match=r"found there: one\.pth, two\.bin"):
        read_weights(tmp_path)
    torch.save({"b": torch.ones(1)}, tmp_path / "two.bin")
    assert same(read_weights(tmp_path, ("absent.bin", "one.pth"))[0])
    assert {*read_weights(tmp_path, ("two.bin",))[0]} == {"b"}


def test_only_a_hub_id_asks_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(STATE, tmp_path / "fetched.bin")
    asked = []

    class Gated(OSError): ...

    class Absent(OSError): ...

    def fetch(repository: str, name: str) -> str:
        asked.append((repository, name))
        if repository == "some/gated":
            raise Gated
        if name != "second.bin":
            raise Absent
        return str(tmp_path / "fetched.bin")

    hub = SimpleNamespace(hf_hub_download=fetch)
    errors = SimpleNamespace(GatedRepoError=Gated, EntryNotFoundError=Absent, HfHubHTTPError=Gated)
    both = {"huggingface_hub": hub, "huggingface_hub.errors": errors}
    monkeypatch.setattr(weights, "optional", lambda module, purpose: both[module])
    assert same(read_weights(tmp_path / "fetched.bin")[0])
    assert asked == []
    assert same(read_weights("some/model", ("first.bin", "second.bin"))[0])
    assert asked == [("some/model", "first.bin"), ("some/model", "second.bin")]
    with pytest.raises(WeightsError, match=r"gated: accept its terms at https://huggingface\.co/some/gated"):
        read_weights("some/gated")
    with pytest.raises(WeightsError, match=r"has none of third\.bin"):
        read_weights("some/model", ("third.bin",))


def test_a_missing_package_says_how_to_get_it() -> None:
    with pytest.raises(MissingDependencyError, match="needed to fly: pip install no-such-package"):
        weights.optional("no_such_package.wings", "fly")


def test_filling_keeps_values_and_takes_other_types() -> None:
    layer = torch.nn.Linear(3, 2, device="meta")
    half = {"weight": STATE["a.weight"].half(), "bias": STATE["a.bias"].double()}
    filled = fill(layer, half, "here")
    assert filled(torch.eye(3)).numpy() == pytest.approx(np.arange(6).reshape(2, 3).T + 1)
    assert not any(parameter.requires_grad for parameter in filled.parameters())
    assert not filled.training
