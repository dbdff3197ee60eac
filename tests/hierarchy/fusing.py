"""A segmenter that gives each nucleus a vector, and a profile that fuses them with seeded weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_hwsi.cells import Classical, Segmentation
from napari_hwsi.encoders.registry import find
from napari_hwsi.hierarchy import PROFILES, profile


@dataclass(frozen=True)
class WithTokens:
    """The classical segmenter, with 384 numbers for each nucleus, made of its size and darkness."""

    inner: Any = field(default_factory=Classical)
    name: str = "cellvit"
    mpp: float = Classical.mpp
    margin_um: float = Classical.margin_um
    type_names: tuple[str, ...] = Classical.type_names

    def settings(self) -> Mapping[str, Any]:
        return {"tokens": 384, **self.inner.settings()}

    def fit(self, slide: Any, tissue: Any = None) -> WithTokens:
        return replace(self, inner=self.inner.fit(slide, tissue))

    def segment(self, rgb: np.ndarray, mpp: Any) -> Segmentation:
        found = self.inner.segment(rgb, mpp)
        count = int(found.labels.max(initial=0))
        size = np.bincount(found.labels.ravel(), minlength=count + 1)[1:, None]
        red = np.bincount(found.labels.ravel(), rgb[..., 0].ravel(), count + 1)[1:, None] / np.maximum(
            size, 1
        )
        waves = np.arange(1, 385) / 384
        return replace(found, tokens=np.sin(waves * (size * 0.1 + red)).astype(np.float32))


def set_up(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be a profile that fuses, and CCAF be looked for there."""
    monkeypatch.setenv("HWSI_HOME", str(weights))
    tiny = replace(PROFILES["pocket"], name="fusing", segmenter="cellvit", fuses="release")
    monkeypatch.setattr(profile, "PROFILES", {**PROFILES, "fusing": tiny})


@pytest.fixture(scope="module")
def ccaf_weights(published: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with seeded weights of CCAF where the registry looks for them."""
    home = tmp_path_factory.mktemp("ccaf")
    file = home / "weights" / "ccaf" / find("ccaf").files[1]
    file.parent.mkdir(parents=True)
    torch.save(published.state("ccaf_dinov2_vits14"), file)
    return home


@pytest.fixture
def fusing(ccaf_weights: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a profile that fuses."""
    set_up(ccaf_weights, monkeypatch)
    return "fusing"
