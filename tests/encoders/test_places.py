"""The transformers of regions and slides: places count, masked parts do not, any number will do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_hwsi.encoders.places import PlaceTransformer, PocketPlaces, load_places
from napari_hwsi.encoders.pocket import SHIPPED
from napari_hwsi.errors import InputError, WeightsError
from napari_hwsi.training.maps import Map
from napari_hwsi.training.places import Schedule, train, windows

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def places() -> PocketPlaces:
    return load_places(device="cpu")


def test_what_is_masked_has_no_influence(places: PocketPlaces) -> None:
    vectors = RNG.standard_normal((16, 16, places.features)).astype(np.float32)
    valid = RNG.uniform(size=(16, 16)) < 0.6
    first = places.region(vectors, valid)
    vectors[~valid] = np.nan
    second = places.region(vectors, valid)
    np.testing.assert_array_equal(first.vector, second.vector)
    np.testing.assert_array_equal(first.shares, second.shares)
    assert first.vector.shape == (places.width,)
    assert (first.shares[~valid.ravel()] == 0).all()
    assert (first.shares[valid.ravel()] > 0).all()
    assert 0 < first.shares.sum() < 1
    # a patch that is not masked has
    vectors[valid] = np.roll(vectors[valid], 1, axis=1)
    assert np.abs(places.region(vectors, valid).vector - first.vector).max() > 1e-3
    nothing = places.region(vectors, np.zeros_like(valid))
    assert np.isfinite(nothing.vector).all()
    assert (nothing.shares == 0).all()
    with pytest.raises(InputError, match="wide"):
        places.region(vectors[..., :5], valid)


def test_places_count_from_the_middle_and_order_does_not_count(places: PocketPlaces) -> None:
    vectors = RNG.standard_normal((7, places.width)).astype(np.float32)
    where = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [1, 2], [5, 9], [6, 9]])
    first = places.slide(vectors, where)
    order = RNG.permutation(7)
    again = places.slide(vectors[order], where[order] + (40, 3))
    assert again.vector == pytest.approx(first.vector, abs=1e-4)
    assert again.shares == pytest.approx(first.shares[order], abs=1e-4)
    elsewhere = places.slide(vectors, where[::-1])
    assert np.abs(elsewhere.vector - first.vector).max() > 1e-3
    assert places.slide(vectors[:1], where[:1]).vector.shape == (places.slide_width,)


def test_the_weights_are_small_and_others_are_refused(tmp_path: Path) -> None:
    assert (SHIPPED / "pocket_places.safetensors").stat().st_size < 3e6
    state = {f"regions.{k}": v for k, v in PlaceTransformer(8).state_dict().items()}
    with pytest.raises(WeightsError, match="slides"):
        load_places(state)


def test_a_window_beyond_its_map_is_masked_and_the_recipe_runs(tmp_path: Path) -> None:
    maps = [
        Map(
            RNG.standard_normal((rows, columns, 12)).astype(np.float32),
            RNG.uniform(size=(rows, columns)) < 0.8,
        )
        for rows, columns in ((5, 9), (40, 33), (33, 40), (50, 50))
    ]
    cut = windows(maps[:1], np.random.default_rng(1), 3)
    assert cut.mask.sum(1).tolist() == [int(maps[0].valid.sum())] * 3
    assert torch.isfinite(cut.vectors).all()
    small = Schedule(2, wholes=3)
    made = load_places(train(maps, tmp_path, (small, small)), "cpu")
    assert made.features == 12
    assert (tmp_path / "pocket_slides.csv").read_text().splitlines()[-1].startswith("2,")
