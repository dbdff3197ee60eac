"""Segmenters of other packages, where they are installed; what is missing is told with the remedy."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_hwsi.cells import find_segmenter, segment_cells
from napari_hwsi.cells.packaged import nuclei_in, weights_hash
from napari_hwsi.encoders.operators import mend_torchvision
from napari_hwsi.errors import MissingDependencyError, WeightsError
from napari_hwsi.metrics import instance_scores

from .conftest import Piece


@pytest.mark.parametrize(
    ("name", "package"),
    [("cellpose", "cellpose"), ("instanseg", "instanseg-torch"), ("stardist", "stardist tensorflow")],
)
def test_without_its_package_each_says_how_to_get_it(name: str, package: str) -> None:
    if find_spec(name):
        pytest.skip(f"{name} is installed here")
    with pytest.raises(MissingDependencyError, match=f"pip install .*{package}"):
        find_segmenter(f"{name}:model")


def test_masks_are_renumbered_and_nothing_else() -> None:
    masks = np.zeros((20, 20), np.uint16)
    masks[2:6, 2:6], masks[10:14, 3:9] = 7, 40
    found = nuclei_in(np.zeros((20, 20, 3), np.uint8), masks, (0.5, 0.5))
    np.testing.assert_array_equal(found.labels, np.select([masks == 7, masks == 40], [1, 2]))
    assert len(found.types) == len(found.probabilities) == 2


def test_the_hash_is_of_what_is_in_the_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    first = weights_hash(tmp_path), weights_hash(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"two")
    assert weights_hash(tmp_path) != first[0]
    assert weights_hash(tmp_path / "a") != first[1]
    assert weights_hash("cyto3") == "cyto3"


@pytest.fixture
def small_cellpose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Cellpose 4 model with a small encoder in its place of SAM's."""
    pytest.importorskip("cellpose", reason="Cellpose is not installed")
    mend_torchvision()
    vit = pytest.importorskip("cellpose.vit", reason="Cellpose 4 is not installed")
    from segment_anything.modeling import ImageEncoderViT

    def small(checkpoint: None) -> Any:
        size = {"depth": 1, "embed_dim": 32, "num_heads": 2, "out_chans": 32}
        return SimpleNamespace(image_encoder=ImageEncoderViT(img_size=1024, use_rel_pos=True, **size))

    monkeypatch.setitem(vit.sam_model_registry, "vit_l", small)
    vit.CPSAM().save_model(tmp_path / "small")
    return tmp_path / "small"


def test_cellpose_runs_on_a_slide_and_its_masks_stand(
    small_cellpose: Path, tissue_piece: Piece, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flows of the truth stand in for the network's, which has learned nothing; all else is Cellpose's."""
    import torch
    from cellpose import dynamics, models

    segmenter = find_segmenter(f"cellpose:{small_cellpose}", "cpu")
    assert segmenter.settings()["weights"] == weights_hash(small_cellpose)
    image, truth = tissue_piece.rgb[:140, :150], tissue_piece.truth[:140, :150]
    assert segmenter.segment(image, (0.5, 0.5)).labels.shape == truth.shape
    flows = dynamics.labels_to_flows([truth], device=torch.device("cpu"))[0]

    def told(self: Any, x: Any, **_: Any) -> tuple[Any, ...]:
        return 5 * flows[2:4][:, None], np.where(flows[1], 5, -5)[None], None

    monkeypatch.setattr(models.CellposeModel, "_run_net", told)
    cells = segment_cells(image, box=(0, 0, 140, 150), segmenter=segmenter, mpp=0.5)
    direct = models.CellposeModel(pretrained_model=str(small_cellpose)).eval(image, channel_axis=-1)[0]
    assert len(cells) == len(np.unique(direct)) - 1 > 4
    assert instance_scores(truth, cells.labels((0, 0, 140, 150))).f1 > 0.8


@pytest.mark.usefixtures("small_cellpose")
def test_cellpose_does_not_download_what_was_mistyped(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no such file, and no model of Cellpose. It has: cpsam"):
        find_segmenter(f"cellpose:{tmp_path / 'nothing'}")
    with pytest.raises(WeightsError, match="cellpose:cpsam"):
        find_segmenter("cellpose")
    (tmp_path / "other").write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError, match=r"other: Cellpose .* cannot use it"):
        find_segmenter(f"cellpose:{tmp_path / 'other'}", "cpu")


def test_instanseg_runs_a_torchscript_model(tissue_piece: Piece, tmp_path: Path) -> None:
    pytest.importorskip("instanseg", reason="InstanSeg is not installed")
    import torch

    class Columns(torch.nn.Module):
        """Numbers 16 px columns of what is dark, in place of a trained model."""

        def __init__(self) -> None:
            super().__init__()
            self.pixel_size, self.cells_and_nuclei = 0.5, False

        def forward(self, x: torch.Tensor, target_segmentation: torch.Tensor) -> torch.Tensor:
            column = torch.arange(x.shape[3]).div(16, rounding_mode="floor") + 1
            return ((x.mean(1, keepdim=True) < 0.5) * column).float()

    torch.jit.script(Columns()).save(str(tmp_path / "instanseg.pt"))
    segmenter = find_segmenter(f"instanseg:{tmp_path / 'instanseg.pt'}", "cpu")
    found = segmenter.segment(tissue_piece.rgb[:100, :128], (0.5, 0.5))
    assert found.labels.shape == (100, 128)
    assert 0 < found.labels.max() <= 8
    for number in range(1, found.labels.max() + 1):
        assert len(np.unique(np.nonzero(found.labels == number)[1] // 16)) == 1
    (tmp_path / "other.pt").write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError, match="no TorchScript file of InstanSeg"):
        find_segmenter(f"instanseg:{tmp_path / 'other.pt'}", "cpu")
