"""Answers of a language model of our own folder form: a tiny one with random weights, on a real result."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_hwsi import ask, ask_stream
from napari_hwsi.chat import answerer
from napari_hwsi.chat.answer import Answer, Asked
from napari_hwsi.chat.modelled import ModelAnswerer, seen_under
from napari_hwsi.errors import Cancelled, InputError, WeightsError
from napari_hwsi.evidence import Change, Evidence
from napari_hwsi.hierarchy import Hierarchy
from napari_hwsi.model import MLLM, Atlas, Chat, Concatenated, load, new_language, save

QUESTION = "What is in this view?"


@pytest.fixture(scope="module")
def folder(result: Hierarchy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    language, tokenizer = new_language(
        [QUESTION, "The view shows stroma."], 300, hidden_size=32, intermediate_size=64,
        num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=1024,
        initializer_range=0.3,
    )  # fmt: skip
    widths = {scale: width for scale, width in Atlas.of(result).widths.items() if width}
    bridge = Concatenated(32, 16, 0.0, widths)
    model = MLLM("tiny", language, Chat(tokenizer, "Answer."), bridge, "cpu", budget=200)
    path = tmp_path_factory.mktemp("model") / "tiny"
    save(model, path)
    return path


@pytest.fixture
def asked(result: Hierarchy) -> Asked:
    height, width = result.slide_facts["shape"]
    return Asked(result, QUESTION, (0, 0, height, width))


def test_it_answers_by_name_from_what_it_looked_at(result: Hierarchy, folder: Path, asked: Asked) -> None:
    events = list(ask_stream(result, QUESTION, asked.box, f"mllm:{folder}"))
    answer = events[-1]
    assert isinstance(answer, Answer)
    assert "".join(piece for piece in events if isinstance(piece, str)).strip() == answer.text
    model = load(folder, "cpu")
    written = model.generate(seen_under(model, asked), QUESTION, (), 384, attention=True)
    assert "".join(written).strip() == answer.text
    assert written.attended is not None
    weights, boxes = written.attended.scale("patch")
    first = next(place for place in answer.evidence if place.scale == "patch")
    assert first.source == "attention"
    assert first.box[:2] == tuple(boxes[weights.argmax()][:2])
    assert first.score == pytest.approx(weights.max() / weights.sum(), rel=1e-4)
    assert answer.model is not None
    assert answer.model.startswith("tiny ")
    assert any(isinstance(event, Evidence) for event in events)
    assert any("not measurements" in note for note in answer.notes)


def test_changes_of_the_image_change_what_is_read(folder: Path, asked: Asked, result: Hierarchy) -> None:
    model = load(folder, "cpu")

    def view(change: Change):  # type: ignore[no-untyped-def]
        return seen_under(model, Asked(result, QUESTION, asked.box, change=change))

    whole = view(Change())
    assert not view(Change("nothing")).patch.mask.any()
    shuffled = view(Change("shuffled", seed=1)).patch
    assert not np.array_equal(shuffled.vectors, whole.patch.vectors)
    np.testing.assert_array_equal(np.sort(shuffled.vectors, 0), np.sort(whole.patch.vectors, 0))
    np.testing.assert_array_equal(shuffled.boxes, whole.patch.boxes)
    y0, x0, y1, x1 = whole.patch.boxes[4].tolist()
    without = view(Change("without", (y0, x0, y1, x1))).patch.mask
    assert without.sum() == len(without) - 1
    assert not without[4]
    small = view(Change("elsewhere", (y0, x0, y1, x1)))
    assert len(small.patch) < len(whole.patch)


def test_the_check_tries_all_changes(result: Hierarchy, folder: Path, asked: Asked) -> None:
    half = (0, 0, asked.box[2] // 2, asked.box[3])  # type: ignore[index]
    answer = ask(result, QUESTION, half, f"mllm:{folder}", check=True)
    assert answer.dependence is not None
    kinds = {trial.kind for trial in answer.dependence.trials}
    assert {"nothing", "shuffled", "unchanged"} <= kinds


def test_likelihoods_are_those_of_the_model(folder: Path, asked: Asked) -> None:
    by = answerer(f"mllm:{folder}")
    assert isinstance(by, ModelAnswerer)
    model = load(folder, "cpu")
    changes = [Change(), Change("nothing")]
    found = by.log_probabilities(asked, "stroma", changes)
    views = [seen_under(model, Asked(asked.result, QUESTION, asked.box, change=c)) for c in changes]
    assert found == pytest.approx([float(model.choices(v, QUESTION, ["stroma"])[0]) for v in views])
    assert found[0] != found[1]


def test_first_tokens_are_told_on_request(result: Hierarchy, folder: Path, asked: Asked) -> None:
    answer = ask(result, QUESTION, asked.box, f"mllm:{folder}", choices=True)
    values = [value for _, value in answer.choices]
    assert values == sorted(values, reverse=True)
    assert 0 < np.exp(values).sum() <= 1


def test_it_stops_within_a_second(result: Hierarchy, folder: Path, asked: Asked) -> None:
    stopped_at: list[float] = []

    def stop(step: object) -> None:
        stopped_at.append(time.monotonic())
        raise Cancelled

    with pytest.raises(Cancelled):
        ask(result, QUESTION, asked.box, f"mllm:{folder}", progress=stop)
    assert time.monotonic() - stopped_at[0] < 1
    assert ask(result, QUESTION, asked.box, f"mllm:{folder}").text  # and the next answer is not disturbed


def test_what_is_no_model_is_refused(result: Hierarchy, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names no model"):
        answerer("mllm:")
    with pytest.raises(InputError, match="names no model"):
        answerer(f"mllm:{tmp_path / 'nowhere'}")
    with pytest.raises(WeightsError):
        ask(result, QUESTION, answerer=f"mllm:{tmp_path}")
