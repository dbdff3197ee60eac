"""The released model's folder: prompt, tokens and answer against the published ones, and what it refuses."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_hwsi import model
from napari_hwsi.errors import InputError, WeightsError
from napari_hwsi.model import SlideVectors


def slide(regions: int = 3) -> SlideVectors:
    draw = np.random.default_rng(0).standard_normal
    shapes = (192,), (regions, 192), (regions, 16, 512), (regions, 16, 384)
    return SlideVectors.of_regions(*(draw(shape) for shape in shapes))


@pytest.fixture(scope="module")
def folder(published: Any) -> Path:
    pytest.importorskip("transformers")
    pytest.importorskip("safetensors")
    return published.folder / "tiny_mllm_hwsi"


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Any:
    return model.load(folder, device="cpu")


@pytest.mark.parity
def test_the_whole_model_agrees_with_the_published_one(published: Any, tiny: Any) -> None:
    golden = published.golden("golden_mllm")
    names = {"slide": "wsi", "region": "region", "patch": "patch", "cell": "cell"}
    vectors = SlideVectors.of_regions(**{scale: golden[name][0] for scale, name in names.items()})
    question = str(golden["prompt"])
    assert tiny.chat.prompt(question) == str(golden["formatted"])
    assert tiny.chat.ids(question) == ([], golden["prompt_ids"].tolist())
    tokens, wanted = tiny.look(vectors).tokens.numpy(), golden["slide_tokens"]
    assert np.linalg.norm(tokens - wanted) / np.linalg.norm(wanted) < 1e-4
    logits, wanted = tiny.logits(vectors, question), golden["next_token_logits"]
    assert np.linalg.norm(logits - wanted) / np.linalg.norm(wanted) < 1e-4
    pieces = list(tiny.generate(vectors, question, longest=24))
    assert "".join(pieces) == str(golden["greedy_text"])
    assert len(pieces) > 1
    short = "".join(tiny.generate(vectors, question, longest=5))
    assert len(short) < len("".join(pieces))
    assert "".join(pieces).startswith(short.rstrip("\ufffd"))


@pytest.mark.parity
def test_the_answer_rests_on_the_slide_and_on_what_was_said(tiny: Any) -> None:
    one = slide()
    other = replace(one, region=replace(one.region, vectors=-one.region.vectors))
    assert np.abs(tiny.logits(one, "Grade?") - tiny.logits(other, "Grade?")).max() > 1e-3
    seen = np.tile(np.arange(16) < 8, 3)
    parts = {scale: replace(getattr(one, scale), mask=seen) for scale in ("patch", "cell")}
    cut = replace(one, **parts)
    hidden = replace(parts["patch"], vectors=np.where(seen[:, None], one.patch.vectors, np.float32(9)))
    changed = replace(cut, patch=hidden)
    assert tiny.logits(cut, "Grade?") == pytest.approx(tiny.logits(changed, "Grade?"), abs=1e-6)
    assert tiny.look(one).looked.shape == (1, 8, 8, 3)
    told = tiny.chat.prompt("And now?", history=[("Grade?", "Two.")])
    assert told.index("Grade?") < told.index("Two.") < told.index("And now?")


@pytest.mark.parity
def test_an_answer_ends_where_the_model_ends_it(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = int(tiny.logits(slide(), "Grade?").argmax())
    monkeypatch.setattr(tiny.language.generation_config, "eos_token_id", [first, 2])
    assert list(tiny.generate(slide(), "Grade?", longest=9)) == []


def test_vectors_that_do_not_belong_together() -> None:
    good = {"slide": np.ones(3), "region": np.ones((3, 4)), "patch": np.ones((3, 2, 5))}
    good["cell"] = np.ones((3, 2, 6))
    for wrong in (
        {"region": good["region"][:2]},
        {"cell": good["cell"][:, :1]},
        {"slide": good["region"]},
        {"patch_mask": np.ones((3, 15), bool)},
    ):
        with pytest.raises(InputError, match="do not belong together"):
            SlideVectors.of_regions(**{**good, **wrong})
    with pytest.raises(InputError, match="without a region"):
        slide(0)
    good["patch"][1, 1] = np.nan
    with pytest.raises(InputError, match="Row 3 of the vectors"):
        SlideVectors.of_regions(**good)


@pytest.mark.parity
def test_a_folder_that_is_no_such_model(folder: Path, tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="neither a model folder nor a hub id"):
        model.load(tmp_path / "absent")
    narrow = replace(slide().patch, vectors=slide().patch.vectors[:, :500])
    with pytest.raises(InputError, match="takes patch vectors of width 512, not 500"):
        tiny.look(replace(slide(), patch=narrow))
    copy = shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
    torch.save(model.Bridge(32, 12, 8).released(), copy / "vl_projector.pt")
    with pytest.raises(WeightsError, match="gives width 32, the language model reads 64"):
        model.load(copy)
    (copy / "config.json").unlink()
    with pytest.raises(WeightsError, match="transformers cannot read its language model"):
        model.load(copy)
    (copy / "vl_projector.pt").unlink()
    (copy / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"expected vl_projector\.pt"):
        model.load(copy)


@pytest.mark.gpu
@pytest.mark.parity
def test_cpu_and_gpu_agree(folder: Path, tiny: Any) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    wanted = tiny.logits(slide(), "Grade?")
    found = model.load(folder, device="cuda").logits(slide(), "Grade?")
    assert np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < 1e-3
