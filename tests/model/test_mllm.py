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
    return SlideVectors(draw(192), draw((regions, 192)), draw((regions, 16, 512)), draw((regions, 16, 384)))


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
    vectors = SlideVectors(**{scale: golden[name][0] for scale, name in names.items()})
    question = str(golden["prompt"])
    assert tiny.prompt(question) == str(golden["formatted"])
    ids = tiny._tokenizer(tiny.prompt(question)).input_ids
    assert ids == golden["prompt_ids"].tolist()
    tokens, wanted = tiny.look(vectors).tokens.numpy(), golden["slide_tokens"]
    assert np.linalg.norm(tokens - wanted) / np.linalg.norm(wanted) < 1e-4
    logits, wanted = tiny.logits(vectors, question), golden["next_token_logits"]
    assert np.linalg.norm(logits - wanted) / np.linalg.norm(wanted) < 1e-4
    pieces = list(tiny.answer(vectors, question, longest=24))
    assert "".join(pieces) == str(golden["greedy_text"])
    assert len(pieces) > 1
    short = "".join(tiny.answer(vectors, question, longest=5))
    assert len(short) < len("".join(pieces))
    assert "".join(pieces).startswith(short.rstrip("\ufffd"))


@pytest.mark.parity
def test_the_answer_rests_on_the_slide_and_on_what_was_said(tiny: Any) -> None:
    one, other = slide(), replace(slide(), region=-slide().region)
    assert np.abs(tiny.logits(one, "Grade?") - tiny.logits(other, "Grade?")).max() > 1e-3
    hidden = np.ones((3, 16), bool)
    hidden[:, 8:] = False
    cut = replace(one, patch_mask=hidden, cell_mask=hidden)
    changed = replace(cut, patch=np.where(hidden[..., None], cut.patch, 9.0))
    assert tiny.logits(cut, "Grade?") == pytest.approx(tiny.logits(changed, "Grade?"), abs=1e-6)
    assert tiny.look(one).attention.shape == (1, 8, 8, 3)
    told = tiny.prompt("And now?", history=[("Grade?", "Two.")])
    assert told.index("Grade?") < told.index("Two.") < told.index("And now?")


@pytest.mark.parity
def test_an_answer_ends_where_the_model_ends_it(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = int(tiny.logits(slide(), "Grade?").argmax())
    monkeypatch.setattr(tiny._language.generation_config, "eos_token_id", [first, 2])
    assert list(tiny.answer(slide(), "Grade?", longest=9)) == []


def test_vectors_that_do_not_belong_together() -> None:
    good = slide()
    for wrong in (
        {"region": good.region[:2]},
        {"cell": good.cell[:, :5]},
        {"slide": good.region},
        {"patch_mask": np.ones((3, 15), bool)},
    ):
        with pytest.raises(InputError, match="do not belong together"):
            replace(good, **wrong)
    with pytest.raises(InputError, match="without a region"):
        slide(0)


@pytest.mark.parity
def test_a_folder_that_is_no_such_model(folder: Path, tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="neither a model folder nor a hub id"):
        model.load(tmp_path / "absent")
    with pytest.raises(InputError, match="takes patch vectors of width 512, not 500"):
        tiny.look(replace(slide(), patch=slide().patch[..., :500]))
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
