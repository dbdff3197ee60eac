"""The built-in sample slide is small, varied, and what its spec makes."""

from __future__ import annotations

import json

import numpy as np
import openslide

from napari_hwsi.sample_data import SPEC, sample_slide
from napari_hwsi.synthetic import REGIONS, TYPES, SyntheticSlide, is_synthetic


def test_it_is_small_and_opens() -> None:
    path = sample_slide()
    parts = [path, path.with_suffix(".truth.json"), path.with_suffix(".truth.npz")]
    assert sum(p.stat().st_size for p in parts) < 8_000_000
    with openslide.OpenSlide(path) as slide:
        assert slide.dimensions == (SPEC.shape[1], SPEC.shape[0])
        assert float(slide.properties["openslide.mpp-x"]) == SPEC.mpp
        assert slide.level_count == 3
        assert is_synthetic(slide.properties)


def test_it_is_what_its_spec_makes() -> None:
    made = SyntheticSlide(SPEC)
    with openslide.OpenSlide(sample_slide()) as slide:
        for y, x in ((1600, 2700), (3690, 1250), (5300, 2000)):  # lymphoid tissue, tumour, fat
            decoded = np.asarray(slide.read_region((x, y), 0, (160, 120)).convert("RGB")).astype(float)
            error = decoded - made.read((y, x), (120, 160))
            assert np.abs(error).mean() < 10  # JPEG
            assert np.abs(error.mean((0, 1))).max() < 2


def test_its_truth_is_what_its_spec_makes() -> None:
    made = SyntheticSlide(SPEC)
    table = np.load(sample_slide().with_suffix(".truth.npz"))
    box = (3700, 1300, 3900, 1500)
    inside = (table["y"] >= box[0]) & (table["y"] < box[2]) & (table["x"] >= box[1]) & (table["x"] < box[3])
    np.testing.assert_array_equal(np.sort(table["id"][inside]), np.sort(made.nuclei(box).key))
    facts = json.loads(sample_slide().with_suffix(".truth.json").read_text())
    assert facts["spec"]["seed"] == SPEC.seed
    assert tuple(facts["spec"]["shape"]) == SPEC.shape
    assert facts["report"] == made.report


def test_it_shows_every_kind_of_tissue_and_nucleus() -> None:
    facts = json.loads(sample_slide().with_suffix(".truth.json").read_text())
    assert min(facts["area_mm2"][name] for name in REGIONS) > 0.02
    assert facts["area_mm2"]["glass"] > 2
    assert min(facts["nuclei"][name] for name in TYPES[1:]) > 100
    assert facts["mitoses"] > 10
