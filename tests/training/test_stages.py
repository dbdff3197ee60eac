"""Stages 2 and 3 on a tiny language model: what is learned, what is recorded, going on after a kill."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_hwsi import model
from napari_hwsi.cli import main
from napari_hwsi.errors import Cancelled, InputError, MissingDependencyError, WeightsError
from napari_hwsi.progress import Step
from napari_hwsi.training.config import packaged_configs, read_config
from napari_hwsi.training.shelf import Shelf
from napari_hwsi.training.stages import Trained, train

from .tiny import KINDS, QUESTION, write_config


@pytest.fixture(scope="module")
def shelf(slides: Path) -> Shelf:
    return Shelf([slides / "features"], mpp=0.5)


@pytest.fixture(scope="module")
def mllm(second: Trained) -> Any:
    return model.load(second.folder, device="cpu")


def test_the_answer_is_read_off_the_slide(mllm: Any, shelf: Shelf, second: Trained) -> None:
    choices = [f"It is {kind}." for kind in KINDS]
    for slide in range(9):  # some were held out
        view = mllm.view(shelf.atlas(f"s{slide}"))
        scores = mllm.choices(view, QUESTION, choices)
        assert np.argmax(scores) == slide % 3
        written = mllm.generate(view, QUESTION, longest=20)
        pieces = list(written)
        assert "".join(pieces) == written.text == choices[slide % 3]
        assert written.ended
        assert len(pieces) > 1
    first = mllm.chat.answer_ids(choices[0])[0]
    logits = mllm.logits(view, QUESTION)
    assert np.log(np.exp(logits - logits.max()).sum()) - (logits[first] - logits.max()) < -scores.max() + 1e-4
    assert json.loads((second.folder / "config.json").read_text())["about"]["stage"] == "stage2"


def test_where_the_answer_looked(mllm: Any, shelf: Shelf) -> None:
    atlas = shelf.atlas("s0")
    view = mllm.view(atlas, (0, 0, 4096, 4096))  # one of the two regions, three kept patches of 256
    written = mllm.generate(view, QUESTION, attention=True, longest=20)
    list(written)
    found = written.attended
    assert found.weights.shape == (len(written.tokens), 1 + 1 + len(view.patch) + len(view.cell))
    assert (found.weights > 0).all()
    assert (found.weights.sum(1) < 1).all()
    _, boxes = found.scale("cell")
    assert {tuple(box) for box in boxes} == {tuple(box) for box in view.cell.boxes}
    assert {tuple(box) for box in view.cell.boxes} <= {tuple(box) for box in view.patch.boxes}
    assert mllm.language.config._attn_implementation != "eager"
    plain = mllm.generate(view, QUESTION, longest=20)
    assert "".join(plain) == written.text
    assert plain.attended is None


def test_an_answer_stops_when_told(mllm: Any, shelf: Shelf) -> None:
    written = mllm.generate(mllm.view(shelf.atlas("s0")), QUESTION, longest=20)
    for _ in written:
        written.stop()
    assert len(written.tokens) == 1
    assert not written.ended


def test_training_and_use_compute_the_same(mllm: Any, shelf: Shelf) -> None:
    """A batch of two slides of different size, padded and masked, against each alone with a cache."""
    views = [mllm.view(shelf.atlas("s0")), mllm.view(shelf.atlas("s1"), (0, 0, 300, 300))]
    history = [("Is it tissue?", "Yes.")]
    answers = ["It is necrosis.", "It is."]
    words = [mllm.words(QUESTION, history if i else (), answer) for i, answer in enumerate(answers)]
    with torch.inference_mode():
        read = mllm(mllm.batch(views), [[each] for each in words])
    scores = read.logits[:, :-1].log_softmax(-1)
    for i, answer in enumerate(answers):
        rows = read.labels[i, 1:] != -100
        told = scores[i, rows].gather(1, read.labels[i, 1:][rows, None]).sum()
        alone = mllm.choices(views[i], QUESTION, [answer], history if i else ())[0]
        assert float(told) == pytest.approx(alone, abs=1e-3)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_questions_that_share_a_slide_do_not_see_each_other(mllm: Any, shelf: Shelf, attention: str) -> None:
    views = [mllm.view(shelf.atlas("s0")), mllm.view(shelf.atlas("s1"), (0, 0, 300, 300))]
    asked = [
        [(QUESTION, "It is necrosis."), ("Is it?", "It is."), ("What?", "It is tumour.")],
        [("Is it?", "No.")],
    ]
    words = [[mllm.words(question, (), answer) for question, answer in row] for row in asked]
    before = mllm.language.config._attn_implementation
    mllm.language.set_attn_implementation(attention)
    with torch.inference_mode():
        read = mllm(mllm.batch(views), words)
    mllm.language.set_attn_implementation(before)
    scores = read.logits[:, :-1].log_softmax(-1)
    for i, (view, row) in enumerate(zip(views, asked, strict=True)):
        rows = read.labels[i, 1:] != -100
        told = scores[i, rows].gather(1, read.labels[i, 1:][rows, None])[:, 0]
        lengths = [len(each.answer) for each in words[i]]
        for said, (question, answer) in zip(told.split(lengths), row, strict=True):
            alone = mllm.choices(view, question, [answer])[0]
            assert float(said.sum()) == pytest.approx(alone, abs=1e-3)


@pytest.mark.gpu
def test_cpu_and_gpu_agree(mllm: Any, shelf: Shelf, second: Trained) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    view = mllm.view(shelf.atlas("s0"))
    wanted = mllm.logits(view, QUESTION)
    found = model.load(second.folder, device="cuda").logits(view, QUESTION)
    assert np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < 1e-3


def test_stage_three_stands_on_stage_two(
    slides: Path, second: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WeightsError, match="Stage 3 goes on from stage 2"):
        train("stage3", read_config(write_config(slides, "alone", True)))
    lora = {"rank": 4, "alpha": 8, "targets": ["q_proj", "v_proj"]}
    start = str(second.folder)
    changes = {"language": {"trains": "lora", "lora": lora}, "schedule__precision": "bf16"}
    file = write_config(slides, "third", True, start=start, **changes)
    assert main(["train", "stage3", str(file), "--device", "cpu", "--set", "schedule.steps=2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    facts = json.loads((Path(told["model"]) / "config.json").read_text())
    assert facts["about"]["from"] == {"stage": "stage2", "hash": second.hash}
    assert facts["about"]["config"]["language"]["lora"] == lora
    assert facts["hash"] == told["hash"] != second.hash
    with pytest.raises(InputError, match="leave tokens and new out"):
        train("stage3", read_config(write_config(slides, "other", True, start=start, tokens__budget=9)))
    with pytest.raises(WeightsError, match=r"holds a model of stage3. Stage 3 goes on from stage 2"):
        train("stage3", read_config(write_config(slides, "fourth", True, start=told["model"])))
    shutil.copytree(second.folder, slides / "damaged")
    with (slides / "damaged" / "bridge.safetensors").open("r+b") as stream:
        stream.seek(-4, os.SEEK_END)
        stream.write(b"\0\0\0\1")
    with pytest.raises(WeightsError, match=r"bridge.safetensors is changed"):
        train("stage3", read_config(write_config(slides, "fifth", True, start=str(slides / "damaged"))))


def test_a_language_model_that_stays_in_its_place(slides: Path, second: Trained, shelf: Shelf) -> None:
    """As one that is too large to copy: the model's folders name it, and keep what was learned beside it."""
    place = str(second.folder / "language")
    here = {"place": place, "trains": "nothing"}
    two = write_config(slides, "placed", language=here, schedule__steps=1)
    learned = train("stage2", read_config(two), device="cpu")
    assert not (learned.folder / "language").exists()
    lora = {"trains": "lora", "lora": {"rank": 2, "alpha": 400, "targets": ["o_proj"]}}
    three = write_config(
        slides, "low", True, start=str(learned.folder), language=lora, schedule__steps=4, schedule__rate=0.1
    )
    found = train("stage3", read_config(three), device="cpu")
    assert sorted(path.name for path in found.folder.iterdir()) == [
        "adapter",
        "bridge.safetensors",
        "config.json",
    ]
    loaded = model.load(found.folder, device="cpu")
    view = loaded.view(shelf.atlas("s0"))
    with_lora = loaded.logits(view, QUESTION)
    with loaded.language.disable_adapter():
        assert np.abs(loaded.logits(view, QUESTION) - with_lora).max() > 0.01
    (learned.folder.parent / "moved").symlink_to(place)
    moved = model.load(found.folder, device="cpu", language=learned.folder.parent / "moved")
    assert np.array_equal(moved.logits(view, QUESTION), with_lora)
    if find_spec("bitsandbytes") is None:
        with pytest.raises(MissingDependencyError, match="needed to hold the language model in four bits"):
            model.load(found.folder, four_bit=True)


_KILLED = """
import os, signal, sys, torch
from napari_hwsi.training.config import read_config
from napari_hwsi.training.stages import train

def kill(step):
    if step.what == 'steps' and step.done == 5:
        os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
train("stage2", read_config(sys.argv[1]), kill, device="cpu")
"""


def test_a_killed_run_ends_with_the_same_numbers(slides: Path) -> None:
    torch.set_num_threads(1)
    whole = train("stage2", read_config(write_config(slides, "whole")), device="cpu")
    file = write_config(slides, "killed")
    command = [sys.executable, "-c", _KILLED, str(file)]
    killed = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (slides / "killed" / "model").exists()

    seen: list[Step] = []
    again = train("stage2", read_config(file), seen.append, device="cpu")
    assert [step.done for step in seen if step.what == "steps"] == [5, 6]  # saved after the fourth
    assert again.hash == whole.hash
    curves = []
    for run in (whole, again):
        with run.outcome.curve.open() as stream:
            rows = list(csv.DictReader(stream))
        curves.append([{k: v for k, v in row.items() if k != "seconds"} for row in rows])
    assert curves[0] == curves[1]
    assert [row["step"] for row in curves[0]] == list("123456")
    checked = {int(row["step"]): float(row["validation"]) for row in curves[0] if row["validation"]}
    assert list(checked) == [2, 4, 6]
    assert whole.outcome.best_step == min(checked, key=checked.__getitem__)
    assert whole.outcome.best == pytest.approx(min(checked.values()), rel=1e-5)

    assert train("stage2", read_config(file), device="cpu").hash == whole.hash  # a finished one stands
    with pytest.raises(InputError, match="other settings or other data"):
        train("stage2", read_config(file, {"schedule.rate": 0.02}), device="cpu")

    def cancel(step: Step) -> None:
        if step.what == "steps" and step.done == 3:
            raise Cancelled("enough")

    stopped = read_config(write_config(slides, "stopped"))
    with pytest.raises(Cancelled):
        train("stage2", stopped, cancel, device="cpu")
    seen.clear()
    assert train("stage2", stopped, seen.append, device="cpu").hash == whole.hash
    assert next(step.done for step in seen if step.what == "steps") == 4


def test_configurations_that_come_with_the_package() -> None:
    names = packaged_configs()
    assert {f"{size}-stage{n}" for size in ("pocket", "release") for n in (1, 2, 3)} <= {*names}
    for name in names:
        assert read_config(name).schedule.steps > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule.stepps": 3}, "schedule: unknown field stepps"),
        ({"schedule.steps": "many"}, "steps is 'many', which is not of type int"),
        ({"tokens.kind": "mixed"}, "choose from concatenated, resampled"),
        ({"data.files": 3}, "not a list of names"),
        ({"schedule.batch": 0}, "batch is at least 1"),
        ({"schedule": {"steps": 3}}, "schedule: the field rate is missing"),
    ],
)
def test_a_configuration_that_is_wrong_names_its_field(
    slides: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_config(write_config(slides, "wrong"), changes)
