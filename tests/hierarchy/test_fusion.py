"""CCAF over a result: fused as by hand, anew when what it stands on changes, resumed when stopped."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_hwsi as hwsi
from napari_hwsi.encoders.ccaf import fuse, load_ccaf, load_fuser
from napari_hwsi.encoders.registry import find
from napari_hwsi.errors import Cancelled, InputError
from napari_hwsi.hierarchy import analysis
from napari_hwsi.hierarchy.fused import fuse_cells, fused_of, patches_of
from napari_hwsi.progress import Step

from .conftest import arrays_of
from .fusing import WithTokens, ccaf_weights, fusing, set_up  # noqa: F401  # fixtures among them

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("fusing")]


def analyse(slide: Path, store: Path, **settings: Any) -> hwsi.Hierarchy:
    return hwsi.analyze(slide, store, profile="fusing", segmenter=WithTokens(), device="cpu", **settings)


@pytest.fixture(scope="module")
def undisturbed(
    ccaf_weights: Path,  # noqa: F811
    slide_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The result of the slide with its cells fused, made in one go. Read it only."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_up(ccaf_weights, monkeypatch)
        return analyse(slide_file, tmp_path_factory.mktemp("fused") / "four.hwsi.zarr").path


def test_cells_of_kept_patches_are_fused(
    undisturbed: Path, slide_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = hwsi.open_result(shutil.copytree(undisturbed, tmp_path / "r.hwsi.zarr"))
    kept, cells, shares = result.selected_patches, result.cells, result.cell_shares
    assert result.cell_tokens.shape == (len(kept), 384)
    network = load_ccaf(find("ccaf").folder)
    tokens = result.cell_column("tokens")
    for row in (0, len(kept) // 2, len(kept) - 1):
        patch = kept.iloc[row]
        inside = cells.inside((patch.y0, patch.x0, patch.y1, patch.x1))
        assert inside.sum() == patch.n_cells
        by_hand = fuse(network, tokens[inside], np.array([0, inside.sum()]), "cpu")
        np.testing.assert_allclose(result.cell_tokens[row], by_hand.tokens[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(shares[inside], by_hand.shares, rtol=1e-4, atol=1e-6)
        assert 0 < shares[inside].sum() < 1
    scores, boxes = result.attention("cell", kind="ccaf")
    assert len(scores) == kept["n_cells"].sum() == (~np.isnan(shares)).sum()
    middles = cells.centroids[~np.isnan(shares)]
    assert ((boxes[:, 2:] - boxes[:, :2]) > 2).all()
    low_to_high = boxes[np.argsort(scores, kind="stable")]
    there = middles[np.argsort(shares[~np.isnan(shares)], kind="stable")]
    inside = (there >= low_to_high[:, :2]) & (there <= low_to_high[:, 2:])
    assert inside.all(1).mean() > 0.98  # but for ties
    # the same again from what is stored, and where the user asks
    stored = fused_of(result)
    again = fuse_cells(result.cells_in((0, 0, 4796, 4796), tokens=True), *_sets(result))
    everywhere = dict(zip(again.sets.tolist(), again.tokens, strict=True))
    for number, token in zip(stored.sets.tolist(), stored.tokens, strict=True):
        np.testing.assert_allclose(token, everywhere[number], rtol=1e-4, atol=1e-4)
    assert stored.likeness(0)[0] == pytest.approx(1, abs=1e-5)
    assert (np.diff(stored.shares[stored.most_attended]) <= 0).all()
    # nothing is fused twice; other phrases keep other patches, whose cells are then fused
    calls: list[int] = []
    inner = analysis.fuse_region
    monkeypatch.setattr(analysis, "fuse_region", lambda *a: calls.append(a[2]) or inner(*a))
    analyse(slide_file, result.path)
    assert calls == []
    assert analyse(slide_file, result.path, phrases=["few nuclei"]).fuses
    assert calls == [0, 1, 2, 3]
    # another segmenter's cells are not those of CCAF
    plain = hwsi.analyze(slide_file, result.path, profile="fusing", segmenter="classical")
    assert not plain.fuses
    with pytest.raises(InputError, match="'filter' at scale 'patch'"):
        plain.attention("cell", kind="ccaf")
    with pytest.raises(InputError, match="No cells"):
        _ = plain.cell_tokens


def _sets(result: hwsi.Hierarchy) -> tuple[np.ndarray, Any]:
    return patches_of(result.grid, result.cells), load_fuser("cpu")


def test_fusing_that_is_stopped_is_resumed_with_the_same_bytes(
    undisturbed: Path, slide_file: Path, tmp_path: Path
) -> None:
    def stop(step: Step) -> None:
        if "fused" in step.what and step.done == 2:
            raise Cancelled("enough")

    box = (4500, 4500, 4510, 4510)
    path = tmp_path / "stopped.hwsi.zarr"
    assert len(analyse(slide_file, path, box=box).attention("cell", "ccaf")[0])
    with pytest.raises(Cancelled):
        analyse(slide_file, path, progress=stop)
    assert np.isnan(hwsi.open_result(path).cell_tokens).any()
    analyse(slide_file, path)
    assert arrays_of(path) == arrays_of(undisturbed)


def test_without_weights_nothing_is_begun(
    slide_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWSI_HOME", str(tmp_path))
    with pytest.raises(InputError, match="facebook/dinov2-small"):
        analyse(slide_file, tmp_path / "r.hwsi.zarr")
    assert not (tmp_path / "r.hwsi.zarr").exists()


def test_cells_without_vectors_are_refused(whole: Path) -> None:
    result = hwsi.open_result(whole)
    with pytest.raises(InputError, match="cellvit"):
        fuse_cells(result.cells, *_sets(result))
