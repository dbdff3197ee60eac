"""The losses: worked by hand, the published form, and their gradients."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from napari_hwsi.model.losses import (
    Units,
    consistency,
    mean_of,
    paired,
    paper,
    release_consistency,
    release_contrast,
    soft,
)
from napari_hwsi.model.seen import Seen

RELEASED = {"slide": "wsi", "region": "region", "patch": "patch", "cell": "cell"}


def units(vectors: Any, report: list[int], string: list[int] | None = None) -> Units:
    table = torch.as_tensor(vectors, dtype=torch.float64)
    return Units(table, torch.tensor(report), torch.tensor(string or list(range(len(report)))))


def seen(**projected: Tensor) -> Seen:
    """One slide or more of two regions, the first half of patches and cells in the first."""
    count = {scale: values.shape[1] for scale, values in projected.items()}
    slides = len(next(iter(projected.values())))
    masks = {s: torch.ones(slides, n, dtype=torch.bool) for s, n in count.items()}
    halves = {s: torch.arange(count[s]).mul(2).div(count[s]).long().expand(slides, -1) for s in count}
    rows = torch.arange(count.get("cell", 0)).expand(slides, -1)
    return Seen(torch.zeros(slides, 0, 2), masks["region"][:, :0], projected, masks, halves, rows)


@pytest.mark.parity
def test_the_form_of_the_release_agrees_with_the_published_one(published: Any) -> None:
    golden = published.golden()
    visual = {s: torch.from_numpy(golden[f"projector.rep_{r}"]) for s, r in RELEASED.items()}
    text = {s: torch.from_numpy(golden[f"loss.text_{r}"]) for s, r in RELEASED.items()}
    parts = release_contrast(visual, text, 0.07)
    for scale, name in RELEASED.items():
        assert float(parts[scale]) == pytest.approx(float(golden[f"loss.contrast_{name}"]), rel=1e-4)
    assert float(mean_of(parts)) == pytest.approx(float(golden["loss.contrastive"]), rel=1e-4)
    one = release_contrast({s: v[:1] for s, v in visual.items()}, {s: t[:1] for s, t in text.items()}, 0.07)
    assert float(mean_of(one)) == pytest.approx(float(golden["loss.contrastive_single"]), rel=1e-4)
    held = release_consistency(visual)
    for pair, name in (("cell_patch",) * 2, ("patch_region",) * 2, ("region_slide", "region_wsi")):
        assert float(held[pair]) == pytest.approx(float(golden[f"loss.cons_{name}"]), rel=1e-4)
    assert float(mean_of(held)) == pytest.approx(float(golden["loss.consistency"]), rel=1e-4)


def test_pairs_by_hand() -> None:
    visual, text = torch.tensor([[2.0, 0], [0, 3]]), torch.tensor([[1.0, 0], [1, 0]])
    # cosines: first row 1, 1; second 0, 0: both are undecided
    assert float(paired(visual, text, 0.5)) == pytest.approx(math.log(2))
    right = torch.eye(2)
    assert float(paired(right, right, 0.5)) == pytest.approx(math.log(1 + math.exp(-2)))
    assert float(paired(right, right.flip(0), 0.5)) == pytest.approx(math.log(1 + math.exp(2)))


def test_a_place_belongs_to_all_units_of_its_report_together() -> None:
    visual = torch.tensor([[[1.0, 0], [0, 1]], [[0.0, 1], [5, 5]]], dtype=torch.float64)
    mask = torch.tensor([[True, True], [True, False]])  # the last place may not count
    three = units([[1.0, 0], [0, 2], [1, 0]], [0, 0, 1])
    e = math.exp(1)  # τ = 1; cosines to the three units: 1, 0, 1; 0, 1, 0; 0, 1, 0
    first = (math.log((e + 1 + e) / (e + 1)) + math.log((1 + e + 1) / (1 + e))) / 2
    second = math.log((1 + e + 1) / 1)
    assert float(soft(visual, mask, three, 1.0)) == pytest.approx((first + second) / 2)
    # with one unit a report it is the paired form
    one = units([[1.0, 0.5], [0, 1]], [0, 1])
    places = visual[:, :1]
    assert float(soft(places, mask[:, :1], one)) == pytest.approx(float(paired(places[:, 0], one.vectors)))


def test_the_same_words_in_another_report_are_no_negative() -> None:
    visual, mask = torch.tensor([[[1.0, 0]]], dtype=torch.float64), torch.ones(1, 1, dtype=torch.bool)
    alone = units([[1.0, 0]], [0], [7])
    assert float(soft(visual, mask, alone, 1.0)) == 0
    same = alone.and_earlier(torch.tensor([[1.0, 0]]), torch.tensor([7]))
    assert float(soft(visual, mask, same, 1.0)) == 0
    other = alone.and_earlier(torch.tensor([[1.0, 0]]), torch.tensor([8]))
    assert float(soft(visual, mask, other, 1.0)) == pytest.approx(math.log(2))
    none = units([[1.0, 0]], [-1])
    assert float(soft(visual, mask, none, 1.0)) == 0


def test_consistency_by_hand() -> None:
    region = torch.tensor([[[0.0, 0], [1, 1]]])
    patch = torch.tensor(
        [[[1.0, 0], [3, 0], [1, 1], [1, 3]]]
    )  # means (2, 0) and (1, 2): 4 and 1 from the regions
    cell = torch.tensor([[[1.0, 0], [3, 0], [1, 1], [1, 1]]])  # means (2, 0) and (1, 1): 4 and 0
    # (1/4)(4 + 1 + 4 + 0) + (1/4)(0 + 0 + 0 + 4)
    assert float(consistency(seen(region=region, patch=patch, cell=cell))) == pytest.approx(9 / 4 + 1)
    assert float(consistency(seen(region=region, patch=patch))) == pytest.approx(5 / 4)
    hidden = seen(region=region, patch=patch, cell=cell)
    hidden.masks["patch"][0, 3] = False  # then the second mean is (1, 1)
    assert float(consistency(hidden)) == pytest.approx((4 + 0 + 4 + 0) / 4 + 1)


def test_gradients() -> None:
    torch.manual_seed(0)
    text = units(torch.randn(5, 3), [0, 0, 1, 1, -1], [1, 2, 2, 3, 4])
    mask = torch.tensor([[True, True, False, True], [True, False, True, True]])
    values = {s: torch.randn(2, n, 3, dtype=torch.float64) for s, n in (("region", 2), ("patch", 4))}
    values["cell"] = torch.randn(2, 4, 3, dtype=torch.float64)
    whole = units(torch.randn(2, 3), [0, 1])

    def total(region: Tensor, patch: Tensor, cell: Tensor, words: Tensor) -> Tensor:
        given = seen(region=region, patch=patch, cell=cell, slide=region[:, :1])
        given.masks["patch"].copy_(mask)
        said = Units(words, text.report, text.string)
        parts = paper(given, {"slide": whole, "region": said, "patch": said, "cell": said}, 0.3)
        assert set(parts) == {"slide", "region", "patch", "cell", "consistency"}
        return torch.stack(list(parts.values())).sum()

    inputs = [values[s].requires_grad_() for s in ("region", "patch", "cell")]
    assert torch.autograd.gradcheck(total, (*inputs, text.vectors.requires_grad_()))
    pooled = [torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for _ in range(4)]

    def released(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        visual = {"slide": a, "region": b}
        return mean_of(release_contrast(visual, {"slide": c, "region": d})) + mean_of(
            release_consistency(visual)
        )

    assert torch.autograd.gradcheck(released, pooled)
