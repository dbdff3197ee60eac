"""What a question about a box is given: of which places, within which budget, and the tokens of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_hwsi as hwsi
from napari_hwsi.errors import InputError
from napari_hwsi.model import Atlas, Concatenated, ScaleVectors, SlideVectors
from napari_hwsi.model.batch import as_batch, by_region, places_of, region_means
from napari_hwsi.model.bridge import Bridge
from napari_hwsi.model.cell_measures import WIDTH as MEASURED
from napari_hwsi.model.cell_measures import measured_cells
from napari_hwsi.model.scales import SCALES

WIDTHS = {"slide": 6, "region": 6, "patch": 8, "cell": 5}


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    """Two regions of 16 patches of 256 px, the filter kept four of each, two of these with cells."""
    draw = np.random.default_rng(0).standard_normal
    y, x = np.divmod(np.arange(16), 4)
    corner = np.concatenate([np.stack([y, x], 1), np.stack([y, x + 4], 1)]) * 256
    boxes = np.concatenate([corner, corner + 256], 1)
    region = np.repeat([0, 1], 16)
    kept = np.tile(np.arange(16) % 4 == 0, 2)
    cells_of = np.array([0, 4, 16, 20])
    cells = draw((4, 5)).astype(np.float32)
    cells[2] = 0  # looked at, and none there
    return Atlas(
        "made up",
        draw(6).astype(np.float32),
        ScaleVectors.of(draw((2, 6)), [(0, 0, 1024, 1024), (0, 1024, 1024, 2048)]),
        ScaleVectors.of(draw((32, 8)), boxes, regions=region),
        np.arange(32, dtype=np.float32)[::-1].copy(),
        kept,
        ScaleVectors.of(cells, boxes[cells_of], regions=region[cells_of]),
        cells_of,
        (0, 0, 1024, 2048),
        (0.5, 0.5),
    )


def counts(view: SlideVectors) -> list[int]:
    return [len(view.at(scale)) for scale in SCALES]


def test_a_box_is_seen_by_what_meets_it(atlas: Atlas) -> None:
    assert counts(atlas.see()) == [1, 2, 8, 4]  # the whole slide: what the filter kept
    view = atlas.see((300, 300, 600, 600))
    assert counts(view) == [1, 1, 4, 0]  # all four patches that meet it, though the filter kept none
    assert {tuple(box) for box in view.patch.boxes[:, :2]} == {(256, 256), (256, 512), (512, 256), (512, 512)}
    assert counts(atlas.see((300, 0, 600, 600), kept_only=True)) == [1, 1, 2, 1]  # as the release
    across = atlas.see((0, 1000, 100, 1050))
    assert counts(across) == [1, 2, 2, 1]
    assert across.patch.regions.tolist() == [0, 1]
    assert across.cells_of.tolist() == [1]
    assert np.array_equal(across.cell.boxes[0], across.patch.boxes[1])
    only = atlas.see((0, 1100, 100, 1200))
    assert only.region.boxes.tolist() == [[0, 1024, 1024, 2048]]
    assert only.patch.regions.tolist() == [0]  # rows of what is given, not of the slide
    with pytest.raises(InputError, match="Nothing of made up is analysed within"):
        atlas.see((5000, 0, 6000, 100))


def test_the_budget_keeps_the_most_telling_and_says_what_it_left_out(atlas: Atlas) -> None:
    whole = atlas.see()
    assert not whole.left_out
    cut = atlas.see(budget=8)  # 1 + 2, and five for patches 0 and 4 with their cells, and patch 8
    assert counts(cut) == [1, 2, 3, 2]
    assert cut.left_out == {"patch": 5, "cell": 2}
    assert [tuple(box[:2]) for box in cut.patch.boxes] == [(0, 0), (256, 0), (512, 0)]
    assert counts(atlas.see(budget=8, scales=("slide", "region", "patch")))[:3] == [1, 2, 5]
    assert counts(atlas.see(budget=1))[:3] == [1, 1, 0]
    blind = atlas.see(budget=20, filtered=False)
    assert counts(blind)[:2] == [1, 2]
    assert np.array_equal(blind.patch.boxes, atlas.see(budget=20, filtered=False).patch.boxes)
    assert not set(map(tuple, blind.patch.boxes)) <= set(map(tuple, whole.patch.boxes))
    boxed = atlas.see((0, 0, 1024, 1024), budget=8)  # kept ones before those the filter dropped
    assert {tuple(box[:2]) for box in boxed.patch.boxes} == {(0, 0), (256, 0), (512, 0), (768, 0)}


def test_places_are_on_the_ground(atlas: Atlas) -> None:
    view = atlas.see((0, 0, 1024, 1024))
    places = places_of(view.patch, view)
    assert places[5].tolist() == [192, 192, 0.375, 0.375, 128, 128]  # µm, shares of the box, µm
    finer = {s: replace(view.at(s), boxes=view.at(s).boxes * 2) for s in SCALES}
    twice = replace(view, **finer, box=(0, 0, 2048, 2048), mpp=(0.25, 0.25))
    assert np.array_equal(places_of(twice.patch, twice), places)


@pytest.mark.parametrize("kind", ["concatenated", "resampled"])
def test_what_is_padded_or_masked_changes_no_token(atlas: Atlas, kind: str) -> None:
    torch.manual_seed(0)
    bridge: Any = (
        Concatenated(16, 12, widths=WIDTHS) if kind == "concatenated" else Bridge(16, 12, 4, widths=WIDTHS)
    )
    bridge.eval()
    small, large = atlas.see((0, 0, 300, 300)), atlas.see()
    with torch.inference_mode():
        alone, both = bridge.see(as_batch([small], WIDTHS)), bridge.see(as_batch([small, large], WIDTHS))
        assert both.tokens[0][both.mask[0]].numpy() == pytest.approx(
            alone.tokens[0][alone.mask[0]].numpy(), abs=1e-5
        )
        hidden = np.arange(len(large.patch)) % 2 > 0
        cut = replace(large, patch=replace(large.patch, mask=hidden))
        noise = np.where(hidden[:, None], large.patch.vectors, np.float32(7))
        other = replace(cut, patch=replace(cut.patch, vectors=noise))
        first, second = (bridge.see(as_batch([each], WIDTHS)) for each in (cut, other))
        assert torch.equal(first.tokens[first.mask], second.tokens[second.mask])
        seen = bridge.see(as_batch([large], WIDTHS))
        assert (
            not torch.equal(first.tokens[first.mask][:1], seen.tokens[seen.mask][:1]) or kind != "resampled"
        )


def test_gradients_reach_every_weight_and_no_cells_are_a_token_of_their_own(atlas: Atlas) -> None:
    bridge = Concatenated(16, 12, 0.0, WIDTHS, adapters=True)
    view = atlas.see()
    seen = bridge.see(as_batch([view], WIDTHS))
    assert torch.equal(seen.projected["cell"][0, 2], bridge.no_cells)
    assert not torch.equal(seen.projected["cell"][0, 1], bridge.no_cells)
    (seen.tokens * torch.randn_like(seen.tokens)).sum().backward()
    for name, parameter in bridge.named_parameters():
        assert parameter.grad is not None, name
        still = name.startswith("adapters") and "change.4" not in name  # behind a layer of zeros
        assert bool(parameter.grad.any()) != still, name


def test_the_census_holds_every_patch_of_the_box_whatever_the_budget(atlas: Atlas) -> None:
    view = atlas.see((0, 0, 1024, 640), budget=6, census=True)
    assert view.census is not None
    assert len(view.patch) < len(view.census) == 12  # three columns, the last of them half in the box
    assert atlas.see((0, 0, 1024, 640)).census is None
    batch = as_batch([view, atlas.see(census=True)], WIDTHS)
    assert batch.census is not None
    assert batch.inside is not None
    assert batch.inside[0, :12].reshape(4, 3).tolist() == [[1, 1, 0.5]] * 4
    assert batch.inside[0, 12:].sum() == 0
    assert batch.inside[1].sum() == 32
    assert np.array_equal(batch.census[0, 0, :8].numpy(), atlas.patches.vectors[0])
    assert np.array_equal(batch.census[0, 0, 8:].numpy(), atlas.cells.vectors[0])
    assert not batch.census[0, 1, 8:].any()  # a patch whose cells were not looked at
    odd = replace(view.census, vectors=view.census.vectors[:, :9])
    with pytest.raises(InputError, match="counts over vectors of width 13, not 9"):
        as_batch([replace(view, census=odd)], WIDTHS)


def test_sums_grow_with_the_place_and_not_with_padding(atlas: Atlas) -> None:
    torch.manual_seed(0)
    bridge = Concatenated(16, 12, 0.0, WIDTHS, tallies=4).eval()
    tally = bridge.tally
    assert tally is not None
    whole, half = atlas.see(census=True), atlas.see((0, 0, 1024, 1024), census=True)

    def given(*views: SlideVectors) -> tuple[torch.Tensor, torch.Tensor]:
        """The means and the sums that a view is summed up by."""
        told: list[torch.Tensor] = []
        hook = tally.tell.register_forward_hook(lambda _, inputs, __: told.append(inputs[0]))
        with torch.inference_mode():
            bridge.see(as_batch(views, WIDTHS))
        hook.remove()
        return told[0][:, :13], (told[0][:, 13:] + 2).expm1()

    means, sums = given(half, whole)
    for alone, both in zip(given(half), (means, sums), strict=True):
        assert torch.allclose(alone[0], both[0], atol=1e-5)
    right = given(atlas.see((0, 1024, 1024, 2048), census=True))
    assert torch.allclose(sums[1], sums[0] + right[1][0], atol=1e-3)
    assert torch.allclose(means[1], (means[0] + right[0][0]) / 2, atol=1e-5)
    assert sums[0, -1] == pytest.approx(16)  # patches
    cells = atlas.cells.vectors[:2].clip(min=0).sum(0)  # what is measured is summed as it is
    assert sums[0, 4:9].numpy() == pytest.approx(cells, abs=1e-3)
    assert half.census is not None
    hidden = replace(half, census=replace(half.census, mask=np.zeros(16, bool)))
    assert all(not each.any() for each in given(hidden))
    with torch.inference_mode():
        seen, unseen = (bridge.see(as_batch([view], WIDTHS)).tokens[0] for view in (half, hidden))
    change = seen - unseen
    assert change[0].any()
    assert torch.allclose(change, change[:1].expand_as(change), atol=1e-5)  # every token is told


def test_vectors_enter_in_standard_deviations(atlas: Atlas) -> None:
    torch.manual_seed(0)
    bridge = Concatenated(16, 12, 0.0, WIDTHS).eval()
    patches = torch.from_numpy(atlas.patches.vectors)
    bridge.settle("patch", patches)
    entered = bridge.standard["patch"](patches)
    assert torch.allclose(entered.mean(0), torch.zeros(8), atol=1e-5)
    assert torch.allclose(entered.std(0, correction=0), torch.ones(8), atol=1e-4)
    moved = replace(atlas, patches=replace(atlas.patches, vectors=atlas.patches.vectors * 3 + 7))
    with torch.inference_mode():
        before = bridge.see(as_batch([atlas.see()], WIDTHS)).tokens
        bridge.settle("patch", patches * 3 + 7)
        after = bridge.see(as_batch([moved.see()], WIDTHS)).tokens
    assert torch.allclose(before, after, atol=1e-4)


def test_grouping_by_region() -> None:
    values = torch.arange(10.0).reshape(1, 5, 2)
    mask = torch.tensor([[True, True, False, True, True]])
    regions = torch.tensor([[2, 0, 0, 2, 1]])
    grid, there = by_region(values, mask, regions, 3)
    assert grid[0, 2].tolist() == [[0, 1], [6, 7]]
    assert there[0].tolist() == [[True, False], [True, False], [True, True]]
    means, some = region_means(values, mask, regions, 4)
    assert means[0].tolist() == [[2, 3], [8, 9], [3, 4], [0, 0]]
    assert some[0].tolist() == [True, True, True, False]


def test_an_atlas_of_a_result(piece: Path, tmp_path: Path) -> None:
    result = hwsi.analyze(piece, tmp_path / "piece.hwsi.zarr", segmenter="classical")
    atlas = Atlas.of(result)
    patches = result.patches[result.patches["valid"]]
    assert len(atlas.patches) == len(patches)
    assert len(atlas.cells) == len(patches)  # those of every patch are measured …
    behind = atlas.cells.vectors[:, MEASURED:]
    fused = behind.any(1)
    made = result.cell_tokens[result.cell_tokens.any(1)]
    assert sorted(map(tuple, behind[fused])) == sorted(map(tuple, made))  # … and fused where it was kept
    assert atlas.kept[fused].all()
    assert atlas.mpp == (0.499, 0.499)
    assert np.array_equal(
        atlas.cells.vectors[:, :MEASURED],
        measured_cells(result, patches["region"].to_numpy(), patches["patch"].to_numpy()),
    )
    view = atlas.see()
    kept = result.selected_patches[["y0", "x0", "y1", "x1"]].to_numpy()
    assert {tuple(box) for box in view.patch.boxes} == {tuple(box) for box in kept}
    assert view.cells_of.tolist() == list(range(len(view.patch)))
    batch = as_batch([view], atlas.widths)
    assert not batch.masks["patch"][0].logical_not().any()

    row = int(patches["n_cells"].to_numpy(int).argmax())
    y0, x0, y1, x1 = patches[["y0", "x0", "y1", "x1"]].to_numpy()[row]
    y, x = result.cells.centroids.T
    own = result.cells.table[(y >= y0) & (y < y1) & (x >= x0) & (x < x1)]
    measured = measured_cells(result, patches["region"].to_numpy(), patches["patch"].to_numpy())
    told = measured[row]
    assert told[0] == pytest.approx(len(own) / 50)
    assert told[2] == pytest.approx(((np.log(own["area_um2"]) - 3.7) / 0.5).clip(-4, 4).mean(), abs=1e-4)
    assert told[4] == pytest.approx((own["eccentricity"] - 0.65).div(0.2).clip(-4, 4).mean(), abs=1e-4)
    assert told[-5:].sum() == pytest.approx(1)
    assert told[-1] == pytest.approx((own["area_um2"] > 90).mean())
    counts_told = np.rint(measured[:, 0] * 50).astype(int)
    assert counts_told.tolist() == patches["n_cells"].to_numpy(int).tolist()
    assert not measured[counts_told == 0].any()

    bare = hwsi.analyze(piece, tmp_path / "bare.hwsi.zarr", parts=["patches"])
    assert Atlas.of(bare).widths["cell"] == 0
