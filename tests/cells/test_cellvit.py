"""CellViT-256 from seeded weights: post-processing as published, tiles, tokens, and what is lacking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_hwsi.cells import Cells, CellViTSegmenter, find_segmenter, segment_cells, tiles
from napari_hwsi.cells.cellvit import CellViTMaps, finish
from napari_hwsi.cells.hover import nuclei_of, types_of
from napari_hwsi.errors import WeightsError
from napari_hwsi.metrics import instance_scores
from napari_hwsi.slides import slide_from_array

from .conftest import Piece, same_cells


@pytest.mark.parity
@pytest.mark.parametrize("power", ["20x", "40x"])
def test_nuclei_and_types_agree_with_the_published_post_processing(published: Any, power: str) -> None:
    golden = published.golden()
    nuclear, distances, kinds = (
        golden[f"postproc.{name}"].astype(np.float32) for name in ("binary", "hv", "type")
    )
    labels = nuclei_of(nuclear.argmax(0) > 0, *distances)
    wanted, ids = golden[f"postproc.instances_{power}"], golden[f"postproc.ids_{power}"]
    assert labels.max() == len(ids) == len(np.unique(labels)) - 1
    pairs = np.unique(np.stack([labels.ravel(), wanted.ravel()], 1), axis=0)
    assert len(pairs) == len(ids) + 1  # the same but for their numbers
    renamed = pairs[np.argsort(pairs[:, 1]), 0][1:] - 1
    types, share = types_of(labels, kinds.argmax(0), len(kinds))
    assert types[renamed].tolist() == golden[f"postproc.type_{power}"].tolist()
    np.testing.assert_allclose(share[renamed], golden[f"postproc.type_prob_{power}"], rtol=1e-5)
    y, x = np.indices(labels.shape)
    size = np.bincount(labels.ravel())
    centres = np.stack([np.bincount(labels.ravel(), part.ravel()) / size for part in (x, y)], 1)[1:]
    np.testing.assert_allclose(centres[renamed], golden[f"postproc.centroid_xy_{power}"], atol=1e-3)


def test_true_maps_give_back_the_true_nuclei(tissue_piece: Piece) -> None:
    """Distances as the network learns them: from −1 to 1 across each nucleus."""
    truth = tissue_piece.truth
    distances = np.zeros((2, *truth.shape), np.float16)
    for number in range(1, truth.max() + 1):
        y, x = np.nonzero(truth == number)
        for plane, place in zip(distances, (x, y), strict=True):
            plane[y, x] = (place - place.mean()) / max(np.ptp(place) / 2, 1)
    h, w = (-(-side // 16) for side in truth.shape)
    tokens = np.arange(2 * h * w, dtype=np.float32).reshape(2, h, w)
    maps = CellViTMaps(truth > 0, distances, (truth % 5 + 1).astype(np.uint8), tokens)
    found = finish(tissue_piece.rgb, maps, (0.25, 0.25))
    assert instance_scores(truth, found.labels).f1 > 0.9
    assert found.tokens is not None
    assert found.tokens.shape == (found.labels.max(), 2) == (len(found.types), 2)
    assert (found.types > 0).all()


def test_no_nuclei() -> None:
    nothing = np.zeros((40, 50))
    maps = CellViTMaps(
        nothing > 0, np.zeros((2, 40, 50), np.float16), nothing.astype(np.uint8), np.ones((3, 3, 4))
    )
    found = finish(np.zeros((40, 50, 3), np.uint8), maps, (0.25, 0.25))
    assert found.labels.max() == 0
    assert found.tokens is not None
    assert found.tokens.shape == (0, 3)


@pytest.mark.parity
def test_a_slide_in_tiles_with_tokens_and_batches(
    published: Any, tissue_piece: Piece, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded weights find nonsense, but the same nonsense whatever is done again and in which process."""
    monkeypatch.setattr(tiles, "TILE_PX", 96)
    slide = slide_from_array(tissue_piece.rgb[:80, :190], mpp=0.25)
    everywhere = {"nuclei_binary_map_decoder.decoder0_header.2.bias": torch.tensor([-20.0, 20.0])}
    segmenter = CellViTSegmenter(published.state("cellvit256") | everywhere, device="cpu")
    segmenter.batch = 2
    box = (0, 0, 80, 190)
    cells = segment_cells(slide, box, segmenter=segmenter, store=tmp_path / "cells")
    assert len(cells)
    assert cells.tokens is not None
    assert cells.tokens.shape == (len(cells), 384)
    kept = sorted((tmp_path / "cells").glob("tile-*"))
    assert len(kept) == 2
    before = [file.read_bytes() for file in kept]
    kept[1].unlink()
    segmenter.batch = 1  # a machine with less memory goes on with the batches that were begun
    assert same_cells(
        segment_cells(slide, box, segmenter=segmenter, store=tmp_path / "cells", workers=1), cells
    )
    assert [file.read_bytes() for file in kept] == before
    cells.to_parquet(tmp_path / "cells.parquet")
    assert same_cells(Cells.from_file(tmp_path / "cells.parquet"), cells)


def test_missing_and_wrong_weights_are_told_with_the_remedy(home: Path, tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"CellViT-256-x40\.pth .*github.*CellViT.*put it into .*cellvit:<file"
    ):
        find_segmenter("cellvit")
    with pytest.raises(WeightsError, match="no such file"):
        find_segmenter(f"cellvit:{tmp_path / 'nothing.pth'}")
    (tmp_path / "other.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(WeightsError, match=r"not a readable torch|is not opened"):
        find_segmenter(f"cellvit:{tmp_path / 'other.pth'}")
