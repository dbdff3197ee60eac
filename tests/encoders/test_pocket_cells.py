"""CCAF on measured cells: what it takes, and its recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_hwsi.encoders.pocket import SHIPPED
from napari_hwsi.encoders.pocket_cells import COLUMNS, load_pocket_fuser
from napari_hwsi.encoders.pocket_network import PatchNetwork
from napari_hwsi.synthetic import SlideSpec, SyntheticSlide
from napari_hwsi.training.ccaf import Schedule, measure, train

RNG = np.random.default_rng(0)


def test_measured_cells_are_fused_whatever_is_missing_or_extreme() -> None:
    fuser = load_pocket_fuser("cpu")
    assert (fuser.columns, fuser.cell_width, fuser.network.heads) == (COLUMNS, len(COLUMNS), 2)
    assert len(fuser.network.blocks) == 2
    assert (SHIPPED / "pocket_cells.safetensors").stat().st_size < 4e6
    middle, sd = fuser.network.mean.numpy(), fuser.network.sd.numpy()
    cells = (middle + sd * RNG.standard_normal((30, len(COLUMNS)))).astype(np.float32)
    sizes = [COLUMNS.index(name) for name in ("area_um2", "major_axis_um", "minor_axis_um")]
    cells[:, sizes] = np.exp(cells[:, sizes])
    offsets = np.array([0, 12, 12, 30])
    fused = fuser.fuse(cells, offsets)
    assert fused.has_cells.tolist() == [True, False, True]
    assert fused.tokens[1] == pytest.approx(fuser.network.no_cells.numpy())
    assert 0 < fused.shares[:12].sum() < 1
    # each cell for itself: order does not count, and a patch does not see another's cells
    other = np.concatenate([cells[:12][::-1], cells[12:] * 2])
    again = fuser.fuse(other, offsets)
    assert again.tokens[0] == pytest.approx(fused.tokens[0], abs=1e-4)
    assert np.abs(again.tokens[2] - fused.tokens[2]).max() > 1e-3
    # a measure that could not be taken is an average one; an absurd one is held
    cells[3, 6], cells[4, 0] = np.nan, 1e9
    assert np.isfinite(fuser.fuse(cells, offsets).tokens).all()
    cells[3, 6] = middle[6]
    mended = fuser.fuse(cells, offsets).tokens
    cells[3, 6] = np.nan
    assert fuser.fuse(cells, offsets).tokens == pytest.approx(mended, abs=1e-5)


def test_the_recipe_runs_from_pictures_to_weights(tmp_path: Path) -> None:
    tissue = SyntheticSlide(SlideSpec(9012, (2048, 2048))).read((512, 512), (512, 512))
    patches = measure([tissue, tissue[:256, :300]])
    assert len(patches.offsets) == 1 + 4 + 1
    assert patches.offsets[-1] == len(patches.cells) > 20
    assert patches.seen.shape == (5, 128, 128, 3)
    out = train(patches, PatchNetwork().eval(), tmp_path, Schedule(steps=2, patches=5))
    made = load_pocket_fuser("cpu", source=out)
    assert made.fuse(patches.cells, patches.offsets).tokens.shape == (5, made.width)
