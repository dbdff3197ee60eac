"""Stage 1, and stage 2 that begins with what it learned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_hwsi import model
from napari_hwsi.errors import InputError, WeightsError
from napari_hwsi.model.aligned import load_aligned
from napari_hwsi.training.config import read_config
from napari_hwsi.training.shelf import Shelf
from napari_hwsi.training.stages import Trained, train

from .tiny import KINDS, write_config

_STEPS = {"steps": 40, "rate": 0.01, "batch": 3, "micro": 1, "warmup": 4, "validate": 40, "save": 40}


@pytest.fixture(scope="module")
def first(slides: Path) -> Trained:
    """Stage 1 of reports, one at a time: all negatives come from the queue."""
    lines = ["slide,report,patient"]
    said = ("Invasive {0}. The nests are of {0} cells.", "Pale {0} bundles; no glands. It is {0}.")
    lines += [f's{i},"{said[i % 2].format(KINDS[i % 3])}",p{i}' for i in range(9)]
    (slides / "reports.csv").write_text("\n".join(lines) + "\n")
    encoders = {"width": 16, "hidden": 16, "dropout": 0.0, "vocabulary": 300, "layers": 1, "heads": 2}
    losses = {"contrast": 1.0, "consistency": 0.01, "temperature": 0.1, "queue": 32}
    changes = {"data__files": ["reports.csv"], "encoders": encoders, "losses": losses, "schedule": _STEPS}
    return train("stage1", read_config(write_config(slides, "first", **changes)), device="cpu")


def test_vectors_come_to_lie_by_their_words(first: Trained, slides: Path) -> None:
    network = load_aligned(first.folder)
    shelf = Shelf([slides / "features"], mpp=0.5)
    with torch.inference_mode():
        words = torch.nn.functional.normalize(network.encode_text(KINDS), dim=-1)
        hits = 0
        for i in range(9):
            atlas = shelf.atlas(f"s{i}")
            patches = network.place("patch", torch.from_numpy(atlas.patches.vectors))
            near = torch.nn.functional.normalize(patches, dim=-1) @ words.T
            hits += int((near.argmax(-1) == i % 3).float().mean() > 0.5)
    assert hits >= 8  # some slides were held out
    start = (first.outcome.curve).read_text().splitlines()
    assert start[0].startswith("step,rate,")
    assert {"cell", "patch", "region", "slide", "consistency", "matching"} <= {*start[0].split(",")}


def test_stage_two_begins_with_it(first: Trained, slides: Path) -> None:
    file = write_config(slides, "begun", start=str(first.folder), schedule__steps=1)
    second = train("stage2", read_config(file), device="cpu")
    facts = json.loads((second.folder / "config.json").read_text())
    assert facts["about"]["from"] == {"stage": "stage1", "hash": first.hash}
    assert facts["bridge"]["adapters"] is True
    adapters = load_aligned(first.folder).adapters.state_dict()
    begun = model.load(second.folder, device="cpu").bridge.adapters.state_dict()
    apart = {name: float((begun[name] - value).abs().max()) for name, value in adapters.items()}
    assert max(apart.values()) < 0.02  # one step of a hundredth from where stage 1 ended
    assert (
        float(np.mean([value.abs().mean() for name, value in adapters.items() if "change.4" in name])) > 0.005
    )
    with pytest.raises(WeightsError, match="no napari-hwsi aligned encoders"):
        train("stage2", read_config(write_config(slides, "not", start=str(second.folder))))
    with pytest.raises(InputError, match="Stage 1 is the first"):
        train("stage1", read_config(write_config(slides, "twice", start=str(second.folder))))


def test_words_of_a_given_text_model(first: Trained, second: Trained, slides: Path) -> None:
    """Any text model of transformers will do; here the one that stage 2 made."""
    place = str(second.folder / "language")
    encoders = {"width": 16, "hidden": 16, "text": place}
    changes = {"data__files": ["reports.csv"], "encoders": encoders, "losses": {"contrast": 1.0}}
    file = write_config(slides, "given", schedule__steps=2, schedule__rate=0.1, **changes)
    found = load_aligned(train("stage1", read_config(file), device="cpu").folder)
    texts = ["tumour cells", "stroma", "tumour cells"]
    words = found.encode_text(texts)
    assert words.shape == (3, 16)
    assert torch.equal(words[0], words[2])
    assert not torch.allclose(words[0], words[1])
    alone = load_aligned(slides / "given" / "model").encode_text(texts[1:2])
    assert alone[0].detach().numpy() == pytest.approx(
        words[1].detach().numpy(), abs=1e-5
    )  # padding tells nothing
    assert not any("embed_tokens" in name for name in found.state_dict())


def test_the_release_form_trains_too(slides: Path) -> None:
    """Fusion and resampler, pooled contrast, the slide's tokens before the template."""
    changes = {
        "tokens__kind": "resampled",
        "tokens__placement": "before",
        "tokens__queries": 4,
        "losses": {
            "language": 0.7,
            "contrast": 2.0,
            "consistency": 0.25,
            "form": "release",
            "temperature": 0.07,
        },
        "schedule__steps": 2,
    }
    trained = train("stage2", read_config(write_config(slides, "release", **changes)), device="cpu")
    loaded = model.load(trained.folder, device="cpu")
    atlas = Shelf([slides / "features"], mpp=0.5).atlas("s1")
    written = loaded.generate(loaded.view(atlas), "Grade?", longest=3, attention=True)
    list(written)
    scores, boxes = written.attended.scale("region")
    assert boxes.tolist() == atlas.regions.boxes.tolist()
    assert 0 < scores.sum() < 1
    assert loaded.chat.placement == "before"
    rows = trained.outcome.curve.read_text().splitlines()
    values = dict(zip(rows[0].split(","), rows[1].split(","), strict=True))
    parts = {name: float(values[name]) for name in ("language", "contrast", "consistency", "loss")}
    assert parts["loss"] == pytest.approx(
        0.7 * parts["language"] + 2 * parts["contrast"] + 0.25 * parts["consistency"], rel=1e-4
    )
