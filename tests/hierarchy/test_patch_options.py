"""Patches in two steps, regions grown by likeness, and what is encoded and read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from scipy import ndimage

import napari_hwsi as hwsi
from napari_hwsi.cells import Classical
from napari_hwsi.encoders import unit
from napari_hwsi.errors import Cancelled, InputError
from napari_hwsi.hierarchy import PROFILES, extend, profile, regions
from napari_hwsi.hierarchy.adaptive import LEAST_PATCHES, MEAN_PATCHES, grow
from napari_hwsi.hierarchy.filter import filter_release
from napari_hwsi.hierarchy.ladder import Ladder
from napari_hwsi.progress import Step
from napari_hwsi.slides import Slide, slide_from_array
from napari_hwsi.tissue import TissueMask

from .conftest import arrays_of, tissue

SURVIVORS = 20
SIDE = (768, 4096 + 1792)
ALL_TISSUE = TissueMask(np.ones((24, 184), bool), (32.0, 32.0))


class Thumbs:
    """Colours of a patch at 8 x 8 px, turned at random: a dear encoder, so each image is counted."""

    name, version, width, mpp, input_px = "thumbs", "1", 24, 0.5, 256

    def __init__(self) -> None:
        self.turn = np.random.default_rng(1).normal(size=(192, self.width))
        self.seen = 0

    def encode(self, images: np.ndarray) -> np.ndarray:
        self.seen += len(images)
        small = images.reshape(len(images), 8, 32, 8, 32, 3).mean((2, 4)).reshape(len(images), -1)
        return unit((small / 255 - 0.7) @ self.turn).astype(np.float32)

    def encode_text(self, phrases: Sequence[str]) -> np.ndarray:
        seeds = [sum(map(ord, phrase)) for phrase in phrases]
        rows = [np.random.default_rng(seed).normal(size=self.width) for seed in seeds]
        return unit(np.array(rows).reshape(-1, self.width)).astype(np.float32)


@pytest.fixture
def thumbs(monkeypatch: pytest.MonkeyPatch) -> Thumbs:
    """The encoder of the profile 'dear'; that of 'plain' is the descriptor."""
    encoder = Thumbs()  # under a name of the registry, where the result's facts look for weights
    mean = replace(PROFILES["pocket"], regions="mean", fuses=None)
    dear = replace(mean, name="dear", encoder="phikon", phrases=("one", "two"))
    plain = replace(mean, name="plain", encoder="descriptor")
    monkeypatch.setattr(profile, "PROFILES", {**PROFILES, "dear": dear, "plain": plain})
    monkeypatch.setattr(profile, "load", lambda name, device: encoder)
    return encoder


@pytest.fixture(scope="module")
def strip() -> Slide:
    """Tissue in two regions: 48 patches of four kinds, and 21 of a fifth."""
    image = np.empty((*SIDE, 3), np.uint8)
    for i in range(23):
        piece = tissue(i % 5, 256).astype(int)
        piece[..., 1] -= 12 * (i // 4)
        image[:, i * 256 : (i + 1) * 256] = np.clip(np.tile(piece, (3, 1, 1)), 0, 255)
    return slide_from_array(image, mpp=0.5, name="strip")


def kept(result: hwsi.Hierarchy, region: int) -> set[int]:
    table = result.selected_patches
    return {*table.loc[table["region"] == region, "patch"]}


def test_two_steps_encode_few_and_say_what_that_saves_and_changes(
    thumbs: Thumbs, strip: Slide, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"profile": "dear", "parts": ["patches"], "tissue": ALL_TISSUE}
    full = hwsi.analyze(strip, tmp_path / "full.hwsi.zarr", **settings)
    count = full.patches["valid"].groupby(full.patches["region"]).sum().tolist()
    assert count == [48, 21]
    assert thumbs.seen == 69
    assert full.two_steps is None
    thumbs.seen = 0
    two = hwsi.analyze(strip, tmp_path / "two.hwsi.zarr", survivors=SURVIVORS, **settings)
    assert thumbs.seen == SURVIVORS + 21  # the second region is there to compare
    table, vectors = two.patches, two.patch_vectors
    tissue = full.patches["valid"]
    np.testing.assert_array_equal(table["valid"] | table["set_aside"], tissue)
    assert not (table["valid"] & table["set_aside"]).any()
    assert table["valid"].groupby(table["region"]).sum().tolist() == [SURVIVORS, SURVIVORS]
    np.testing.assert_array_equal(table["encoded"], vectors.any(1))
    np.testing.assert_allclose(vectors[table["encoded"]], full.patch_vectors[table["encoded"]])
    aside = table["set_aside"]
    assert table.loc[aside, ["relevance", "one"]].isna().all(axis=None)
    assert not table.loc[aside, "selected"].any()
    valid = table["valid"].to_numpy()[:256]
    np.testing.assert_allclose(two.region_vectors[0], vectors[:256][valid].mean(0), atol=1e-6)
    # what the two steps keep is what the filter keeps of those that pass
    words = unit(thumbs.encode_text(["one", "two"])).mean(0)
    assert kept(two, 0) == {*filter_release(full.patch_vectors[:256], words, valid)}
    facts = two.two_steps
    assert facts.survivors == SURVIVORS
    assert facts.saving == pytest.approx((48 - SURVIVORS) / 69)
    assert facts.audited == (1,)
    assert facts.agreement == pytest.approx(len(kept(two, 1) & kept(full, 1)) / len(kept(full, 1)))
    assert two._store.sidecar("patches")["settings"]["first_step"]["survivors"] == SURVIVORS
    # other phrases ask no encoder, and the comparison follows them
    thumbs.seen = 0
    assert hwsi.analyze(strip, two.path, phrases=["x"], survivors=SURVIVORS, **settings).phrases == ("x",)
    extend(two)
    assert thumbs.seen == 0
    # another number is another result
    assert hwsi.analyze(strip, two.path, survivors=40, **settings).two_steps.saving == pytest.approx(8 / 69)
    assert thumbs.seen == 40 + 21


def test_senseless_options_are_named(thumbs: Thumbs, strip: Slide, tmp_path: Path) -> None:
    for settings, words in [
        ({"profile": "dear", "survivors": 5}, "from 16 to 256"),
        ({"profile": "plain", "survivors": 40}, "nothing to save"),
        ({"regions": "round"}, "square or adaptive"),
    ]:
        with pytest.raises(InputError, match=words):
            hwsi.analyze(strip, tmp_path / "none.hwsi.zarr", tissue=ALL_TISSUE, **settings)
    assert not (tmp_path / "none.hwsi.zarr").exists()


def pieces(region: np.ndarray) -> int:
    return int(ndimage.label(region)[1])


@pytest.mark.parametrize("seed", range(3))
def test_regions_are_connected_bounded_and_hold_each_patch_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = ndimage.gaussian_filter(rng.normal(size=(16, 16, 4)), (2, 2, 0)).argmax(-1).ravel()
    vectors = np.eye(12)[kinds] + rng.normal(0, 0.2, (256, 12))
    tissue = rng.random(256) > 0.15
    tissue.reshape(16, 16)[:, 3] = False  # a gap: two islands at least
    found = grow(vectors, tissue)
    np.testing.assert_array_equal(found >= 0, tissue)
    numbers, sizes = np.unique(found[tissue], return_counts=True)
    assert numbers.tolist() == [*range(len(numbers))]
    islands = ndimage.label(tissue.reshape(16, 16))[0].ravel()
    for number, size in zip(numbers, sizes, strict=True):
        region = found == number
        assert pieces(region.reshape(16, 16)) == 1
        island = islands == islands[region][0]
        assert size >= min(LEAST_PATCHES, island.sum())
    assert sizes.max() < 256
    assert len(numbers) >= tissue.sum() / MEAN_PATCHES / 2
    np.testing.assert_array_equal(found, grow(vectors * 7, tissue))


def test_regions_follow_what_is_alike() -> None:
    row, column = np.divmod(np.arange(256), 16)
    kinds = (row * 2 + column > 22).astype(int) + 2 * (column > 11)
    found = grow(np.eye(4)[kinds], np.ones(256, bool))
    for number in np.unique(found):
        assert len(np.unique(kinds[found == number])) == 1, "a region of two kinds"
    assert grow(np.zeros((256, 3)), np.zeros(256, bool)).tolist() == [-1] * 256
    with pytest.raises(InputError, match="square"):
        grow(np.zeros((10, 3)), np.ones(10, bool))


def test_adaptive_regions_in_a_result(thumbs: Thumbs, strip: Slide, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"profile": "dear", "parts": ["patches"], "tissue": ALL_TISSUE}
    settings["regions"] = "adaptive"
    whole = hwsi.analyze(strip, tmp_path / "whole.hwsi.zarr", **settings)
    table, vectors, patches = whole.adaptive_regions, whole.adaptive_vectors, whole.patches
    assert whole.options.regions == "adaptive"
    assert table["n_patches"].sum() == patches["valid"].sum() == 69
    assert len(table) == len(vectors) >= 2
    scores, boxes = whole.attention("region")
    np.testing.assert_array_equal(boxes, table[["y0", "x0", "y1", "x1"]])
    for row, region in enumerate(table.itertuples()):
        inside = (patches["region"] == region.region) & (patches["adaptive"] == region.number)
        assert inside.sum() == region.n_patches
        np.testing.assert_allclose(vectors[row], whole.patch_vectors[inside].mean(0), atol=1e-6)
        mine = patches[inside & patches["selected"]]
        assert len(mine) == min(16, region.n_patches)
        assert scores[row] == pytest.approx(mine["relevance"].mean())
        assert (region.y0, region.x1) == (patches.loc[inside, "y0"].min(), patches.loc[inside, "x1"].max())
    np.testing.assert_allclose(whole.slide_vector, vectors.mean(0), atol=1e-6)
    ranks = patches.loc[patches["selected"]].groupby("region")["rank"]
    assert all(sorted(rank) == [*range(len(rank))] for _, rank in ranks)
    outlines = whole.adaptive_outlines()
    for region, outline in zip(table.itertuples(), outlines, strict=True):
        assert shapely.Polygon(outline).area >= region.n_patches * 256**2
        assert outline.min(0).tolist() == [region.y0, region.x0]
    assert Ladder(whole).rungs[1].count == len(table)
    # square by square, stopped in between, it comes out the same
    path = tmp_path / "parts.hwsi.zarr"

    def stop(step: Step) -> None:
        if step.what == "regions" and step.done == 1:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        hwsi.analyze(strip, path, progress=stop, **settings)
    assert set(hwsi.open_result(path).adaptive_regions["region"]) == {0}
    seen = thumbs.seen
    extend(hwsi.open_result(path, strip), parts=["patches"])
    assert thumbs.seen == seen + 21
    assert arrays_of(path) == arrays_of(whole.path)
    # and with two steps regions grow from the vectors of the first, so that all tissue is in one
    both = hwsi.analyze(strip, tmp_path / "both.hwsi.zarr", survivors=SURVIVORS, **settings)
    assert both.adaptive_regions["n_patches"].sum() == 69
    assert ((both.patches["adaptive"] >= 0) == (both.patches["valid"] | both.patches["set_aside"])).all()


def test_what_is_read_and_encoded_again(
    thumbs: Thumbs, strip: Slide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Phrases read and encode nothing, a segmenter reads no patch, colours segment nothing."""
    done = {"read": 0, "segmented": 0}
    stream, segment = regions.stream_patches, regions.segment_owned

    def streamed(*arguments: Any) -> Any:
        done["read"] += 1
        return stream(*arguments)

    def segmented(*arguments: Any, **options: Any) -> Any:
        done["segmented"] += 1
        return segment(*arguments, **options)

    monkeypatch.setattr(regions, "stream_patches", streamed)
    monkeypatch.setattr(regions, "segment_owned", segmented)
    box, path = (0, 5300, 100, 5400), tmp_path / "r.hwsi.zarr"

    def run(**settings: Any) -> tuple[int, int, int]:
        before = done["read"], done["segmented"], thumbs.seen
        hwsi.analyze(strip, path, profile="dear", box=box, tissue=ALL_TISSUE, **settings)
        after = done["read"], done["segmented"], thumbs.seen
        return tuple(b - a for a, b in zip(before, after, strict=True))

    coarse = Classical(mpp=1.0)
    assert run(segmenter=coarse) == (1, 1, 21)
    assert run(segmenter=coarse) == (0, 0, 0)
    assert run(segmenter=coarse, phrases=["other"]) == (0, 0, 0)
    assert run(segmenter=Classical(mpp=1.1), phrases=["other"]) == (0, 1, 0)
    assert run(segmenter=Classical(mpp=1.1), normalise="reinhard") == (1, 0, 21)
    assert run(segmenter=coarse, parts=["patches"], normalise="reinhard") == (0, 0, 0)
