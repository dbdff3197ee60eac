"""The two published forms of the patch filter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_hwsi.errors import InputError
from napari_hwsi.hierarchy.filter import (
    farthest_first,
    filter_paper,
    filter_release,
    mean_cosine,
    redundant,
    relevance,
)


def directions(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def test_mean_cosine_leaves_out_the_patch_itself() -> None:
    vectors = directions(0, 60, 180) * [[1], [7], [3]]
    assert mean_cosine(vectors) == pytest.approx([(0.5 - 1) / 2, (0.5 - 0.5) / 2, (-1 - 0.5) / 2])


def test_farthest_first_by_hand() -> None:
    # 200° lies farthest from all; 10° is most unlike it; then 95° is least like the nearer of these two.
    vectors = directions(0, 5, 10, 95, 200)
    assert farthest_first(vectors, 3).tolist() == [4, 2, 3]
    assert sorted(farthest_first(vectors, 99).tolist()) == [0, 1, 2, 3, 4]


def test_release_orders_the_diverse_pool_by_text() -> None:
    vectors = directions(0, 5, 10, 95, 200)
    assert filter_release(vectors, directions(90)[0], keep=2, pool=3).tolist() == [3, 2]
    # 5° and 0° match a text at 0° best of all, but are not in the pool.
    assert filter_release(vectors, directions(0)[0], keep=2, pool=3).tolist() == [2, 3]


def test_release_without_text_takes_the_first_patch_of_the_same_region() -> None:
    vectors = directions(0, 5, 10, 95, 200)
    assert filter_release(vectors, keep=2, pool=3).tolist() == [4, 3]


def hubs() -> np.ndarray:
    """30 patches with nothing in common, and two that resemble all of them."""
    both = np.ones((2, 30))
    both[1, 0] = 1.01
    return np.vstack([np.eye(30), both])


def test_paper_drops_what_repeats_and_reports_it() -> None:
    kept = filter_paper(hubs(), np.arange(30)[None], keep=16)
    assert np.flatnonzero(kept.removed).tolist() == [30, 31]
    assert kept.indices.tolist() == list(range(29, 13, -1))
    assert kept.relevance[30] > kept.relevance[29]


def test_paper_always_leaves_enough() -> None:
    assert redundant(hubs(), keep=31).sum() == 1
    assert len(filter_paper(hubs(), np.ones((1, 30)), keep=31).indices) == 31


def test_paper_keeps_patches_that_are_all_alike() -> None:
    # One cluster never exceeds mean + standard deviation: the rule as printed removes nothing here.
    assert not redundant(np.ones((40, 3))).any()


def test_relevance_is_the_mean_over_texts() -> None:
    scores = relevance(directions(0, 90), directions(0, 60, 90))
    assert scores == pytest.approx([1.5 / 3, (1 + np.sqrt(0.75)) / 3])


@pytest.mark.parametrize("form", ["paper", "release"])
def test_masked_patches_take_no_part(form: str) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(256, 12))
    valid = rng.random(256) < 0.3
    text = rng.normal(size=12)

    def keep(table: np.ndarray) -> list[int]:
        if form == "paper":
            return filter_paper(table, text, valid).indices.tolist()
        return filter_release(table, text, valid).tolist()

    chosen = keep(vectors)
    assert len(chosen) == 16
    assert valid[chosen].all()
    disturbed = np.where(valid[:, None], vectors, np.nan)
    assert keep(disturbed) == chosen


@pytest.mark.parametrize("count", [0, 1, 5])
def test_fewer_than_asked_for_gives_all(count: int) -> None:
    vectors = np.random.default_rng(2).normal(size=(20, 4))
    valid = np.arange(20) < count
    assert sorted(filter_release(vectors, None, valid).tolist()) == list(range(count))
    assert sorted(filter_paper(vectors, vectors[:1], valid).indices.tolist()) == list(range(count))


def test_ties_go_to_the_lower_index() -> None:
    same = np.ones((40, 3))
    assert filter_release(same, np.ones(3), keep=3, pool=5).tolist() == [0, 1, 2]
    assert filter_paper(same, np.ones((1, 3)), keep=3).indices.tolist() == [0, 1, 2]


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(InputError, match="12"):
        filter_release(np.ones((4, 12)), np.ones(5))
    with pytest.raises(InputError, match="mask"):
        filter_release(np.ones((4, 12)), None, [True])
    with pytest.raises(InputError, match="finite"):
        filter_release(np.full((4, 12), np.nan))


@pytest.mark.parity
def test_agrees_with_the_published_choice(parity: Path) -> None:
    golden = np.load(parity / "golden.npz")
    features, text = golden["filter.features"], golden["filter.text"][0]
    dissimilar = golden["filter.dissimilar"]
    assert farthest_first(features, len(dissimilar)).tolist() == dissimilar.tolist()
    for name, words in (("text", text), ("no_text", None)):
        expected = golden[f"filter.top16_{name}"]
        chosen = filter_release(features, words, keep=len(expected), pool=len(dissimilar))
        assert chosen.tolist() == expected.tolist()
