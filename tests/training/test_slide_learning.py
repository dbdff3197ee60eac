"""Slide models: packing, targets, options, and whether attention finds what only the slide's label tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_hwsi.errors import InputError, StoreError, WeightsError
from napari_hwsi.metrics import area_under_curve, calibration_error, concordance
from napari_hwsi.training.slide_bags import Bag, LabelledSlide, LabelledSlides
from napari_hwsi.training.slide_fit import Recipe, SlideModel, _less_attended, fit, fit_temperature
from napari_hwsi.training.slide_folds import cross_validate, patient_folds
from napari_hwsi.training.slide_models import MODELS, Packed, entropy, make_model
from napari_hwsi.training.slide_targets import Target, target_of

WIDTH, PATCHES = 8, 20
SICK = slice(4, 7)  # the patches of a positive slide that differ
QUICK = Recipe("abmil", epochs=60, patience=60, hidden=16, dropout=0.0, rate=5e-3, batch=8)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def _slides(count: int = 40, seed: int = 0) -> LabelledSlides:
    """Two slides a patient; in every other slide three patches of twenty lie off, along three axes."""
    generator = np.random.default_rng(seed)
    slides, cache = [], {}
    for i in range(count):
        vectors = generator.normal(0, 1, (PATCHES, WIDTH)).astype(np.float32)
        sick = i % 2
        if sick:
            vectors[SICK, :3] += 3.5
        values = {
            "label": ("normal", "tumour")[sick],
            "time": str(1 + (1 - sick) * 3 + i % 4 / 100),
            "event": "1",
        }
        path = Path(f"S{i}")
        slides.append(LabelledSlide(f"S{i}", path, f"P{i // 2}", True, "", values, i + 2))
        cache[path] = Bag(vectors, np.tile([0.0, 0, 1, 1], (PATCHES, 1)))
    made = LabelledSlides(slides, [], WIDTH, "noise")
    made._cache.update(cache)
    return made


def _rows(slides: LabelledSlides) -> list:
    return [one.values for one in slides.slides]


@pytest.mark.parametrize("name", MODELS)
def test_packed_slides_are_seen_as_each_by_itself(name: str) -> None:
    torch.manual_seed(0)
    model = make_model(name, WIDTH, 3, hidden=16).eval()
    bags = [torch.randn(n, WIDTH) for n in (1, 5, 12)]
    together = model(Packed.of(bags))
    alone = [model(Packed.of([bag])) for bag in bags]
    torch.testing.assert_close(together.output, torch.cat([one.output for one in alone]))
    torch.testing.assert_close(together.attention, torch.cat([one.attention for one in alone]))
    sums = torch.zeros(3).index_add(0, Packed.of(bags).slide, together.attention)
    torch.testing.assert_close(sums, torch.ones(3))


@pytest.mark.parametrize("name", ["abmil", "clam", "transmil"])
def test_attention_finds_the_patches_that_only_the_label_of_the_slide_tells_of(name: str) -> None:
    slides = _slides()
    target = target_of("class", _rows(slides))
    recipe = replace(QUICK, model=name)
    if name == "transmil":
        recipe = replace(recipe, rate=2e-3, epochs=30)
    model, curve = fit(slides, slides.slides[:24], slides.slides[24:32], target, recipe)
    assert curve[-1]["loss"] < curve[0]["loss"]
    right, places = [], []
    for one in slides.slides[32:]:
        output, attention = model.look(slides.bag(one))
        right.append(int(output.argmax()) == target.classes.index(one.values["label"]))
        if one.values["label"] == "tumour":
            places.append(area_under_curve(np.isin(np.arange(PATCHES), np.r_[SICK]), attention))
    assert np.mean(right) >= 0.75
    assert np.mean(places) > 0.85, places


def test_each_target_is_learnt_and_read_in_its_own_unit() -> None:
    slides = _slides()
    survival = target_of("survival", _rows(slides))
    model, _ = fit(slides, slides.slides[:28], slides.slides[28:], survival, QUICK)
    risk = [float(model.target.value(model.look(slides.bag(one))[0])[0]) for one in slides.slides[28:]]
    times = [float(one.values["time"]) for one in slides.slides[28:]]
    assert concordance(risk, times, [True] * len(times)) > 0.65

    for one in slides.slides:
        one.values["label"] = {"normal": "3", "tumour": "7"}[one.values["label"]]
    number = target_of("continuous", _rows(slides))
    model, _ = fit(slides, slides.slides[:28], slides.slides[28:], number, QUICK)
    found = np.array(
        [float(model.target.value(model.look(slides.bag(one))[0])[0]) for one in slides.slides[28:]]
    )
    truth = np.array([float(one.values["label"]) for one in slides.slides[28:]])
    assert np.abs(found - truth).mean() < 1.2 < np.abs(truth - truth.mean()).mean()
    with pytest.raises(InputError, match="CLAM tells patches of classes"):
        fit(slides, slides.slides, slides.slides, number, replace(QUICK, model="clam"))


def test_losses_and_probabilities_by_hand() -> None:
    ordered = Target("ordinal", ("0", "1", "2"))
    output = torch.tensor(
        [[float(np.log(3)), 0.0], [-1.0, 2.0]]
    )  # above 0: 3/4; above 1: 1/2; the last must not rise
    torch.testing.assert_close(ordered.probabilities(output)[0], torch.tensor([0.25, 0.25, 0.5]))
    assert ordered.probabilities(output)[1].min() >= 0
    wanted = torch.tensor([[1.0, 0]])
    expected = -(np.log(0.75) + np.log(0.5)) / 2
    assert float(ordered.loss(output[:1], wanted)[0]) == pytest.approx(expected, rel=1e-5)

    survival = Target("survival", cuts=(1.0, 2.0, 3.0))
    assert survival.numbers([{"time": "2.5", "event": "1"}]).tolist() == [[2, 1]]
    hazards = torch.zeros(1, 4)  # one half in each interval
    for event, chance in ((1.0, 0.5**3), (0.0, 0.5**3)):
        assert float(survival.loss(hazards, torch.tensor([[2.0, event]]))[0]) == pytest.approx(
            -np.log(chance)
        )
    assert float(survival.value(hazards)[0]) == pytest.approx(-(0.5 + 0.25 + 0.125 + 0.0625))


def test_options_do_what_they_say() -> None:
    torch.manual_seed(0)
    packed = Packed.of([torch.randn(10, WIDTH), torch.randn(4, WIDTH)])
    model = make_model("abmil", WIDTH, 2, hidden=16).eval()
    stay = _less_attended(model, packed, 0.3)
    attention = model(packed).attention
    for slide, hidden in ((0, 3), (1, 1)):
        rows = packed.slide == slide
        assert int((~stay[rows]).sum()) == hidden
        assert attention[rows & ~stay].min() > attention[rows & stay].max()
    equal = torch.cat([torch.full((10,), 0.1), torch.full((4,), 0.25)])
    one = torch.zeros(14)
    one[0] = one[10] = 1
    assert float(entropy(equal, packed)) == pytest.approx(1)
    assert float(entropy(one, packed)) == pytest.approx(0, abs=1e-6)

    slides = _slides(24)
    target = target_of("class", _rows(slides))
    spread = {}
    for weight in (0.0, 1.0):
        fitted, _ = fit(
            slides, slides.slides[:16], slides.slides[16:], target, replace(QUICK, entropy=weight)
        )
        looked = [Packed.of([fitted.standardised(slides.bag(s))]) for s in slides.slides]
        spread[weight] = np.mean([float(entropy(fitted.network(p).attention, p).detach()) for p in looked])
    assert spread[1.0] > spread[0.0] + 0.02
    mixed, _ = fit(
        slides,
        slides.slides[:16],
        slides.slides[16:],
        target,
        replace(QUICK, augment=0.3, mining=0.1, patches=8),
    )
    assert np.isfinite(mixed.look(slides.bag(slides.slides[0]))[0].numpy()).all()
    with pytest.raises(InputError, match="Mean pooling has no attention"):
        Recipe("mean", mining=0.1)


def test_one_temperature_calibrates_what_is_too_sure() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, 400)
    said = np.where(generator.random(400) < 0.8, truth, 1 - truth)  # right four times in five
    outputs = torch.from_numpy(8.0 * np.eye(2)[said]).float()  # and as good as certain
    target = Target("class", ("a", "b"))
    wanted = torch.from_numpy(np.column_stack([truth, truth])).float()
    temperature = fit_temperature(target, outputs, wanted)
    before = calibration_error(target.probabilities(outputs), truth)
    after = calibration_error(target.probabilities(outputs, temperature), truth)
    assert before > 0.15
    assert after < 0.03


def test_folds_keep_patients_together_spread_classes_and_go_on_after_a_kill(tmp_path: Path) -> None:
    groups = [f"P{i // 2}" for i in range(40)]
    strata = ["rare" if i < 8 else "common" for i in range(40)]
    folds = patient_folds(groups, strata, 4, 0)
    for fold in range(4):
        own = [i for i in range(40) if folds[i] == fold]
        assert len(own) == 10
        assert sum(strata[i] == "rare" for i in own) == 2
    assert all(folds[i] == folds[i + 1] for i in range(0, 40, 2))
    with pytest.raises(InputError, match="Only one patient has 'rare'"):
        patient_folds(["a", "b", "c"], ["rare", "x", "x"], 2, 0)

    slides = _slides(16)
    target = target_of("class", _rows(slides))
    quick = replace(QUICK, epochs=3)
    first = cross_validate(slides, target, quick, tmp_path, folds=2)
    assert sorted(one.slide.slide for one in first) == sorted(one.slide for one in slides.slides)
    weights = (tmp_path / "fold0" / "model.safetensors").read_bytes()
    (tmp_path / "fold1" / "split.json").unlink()  # as if killed in the second fold
    again = cross_validate(slides, target, quick, tmp_path, folds=2)
    assert (tmp_path / "fold0" / "model.safetensors").read_bytes() == weights
    assert [one.output for one in again] == [one.output for one in first]
    with pytest.raises(StoreError, match="another training"):
        cross_validate(slides, target, replace(quick, seed=1), tmp_path, folds=2)

    model = SlideModel.load(tmp_path / "fold0")
    with pytest.raises(InputError, match="8 wide; these are 3 wide"):
        model.look(Bag(np.zeros((2, 3), np.float32), np.zeros((2, 4))))
    (tmp_path / "fold0" / "model.safetensors").write_bytes(weights[:100])
    with pytest.raises(WeightsError, match="no slide model that can be read"):
        SlideModel.load(tmp_path / "fold0")


@pytest.mark.parametrize(
    ("kind", "rows", "reason"),
    [
        ("class", [{"label": "a"}, {"label": "a"}], "All slides are of the class 'a'"),
        ("ordinal", [{"label": "1"}, {"label": "II"}], "a whole number, not 'II'"),
        ("continuous", [{"label": "1"}, {"label": "n/a"}], "The label 'n/a' is no number"),
        ("continuous", [{"label": "1"}, {"label": "nan"}], "no finite number"),
        ("survival", [{"time": "3", "event": "0"}], "No slide has an event"),
        ("survival", [{"time": "0", "event": "1"}], "above 0"),
        ("grade", [], "A target is one of class, ordinal"),
    ],
)
def test_labels_that_teach_nothing_are_refused(kind: str, rows: list, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        target_of(kind, rows)
