"""The main job as `make demo` does it: one command, a real window, pictures of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

pytestmark = pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="no xvfb-run on this machine")


def demo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the demo where there is no display."""
    blind = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "napari_hwsi.cli", "demo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=blind, check=False)


def test_a_slide_is_opened_analysed_and_asked_about(piece: Path, tmp_path: Path) -> None:
    done = demo("--slide", piece, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "How many nuclei are in this view" in done.stdout
    assert "nuclei in this view. The nuclei are densest at" in done.stdout
    assert "Research use only" in done.stdout
    before, after = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("analysis", "window"))
    cyan = np.abs(after[..., :3].astype(int) - (0, 229, 255)).max(-1) < 12
    assert cyan.sum() > 500  # the places the answer rests on are outlined
    assert (np.abs(before[..., :3].astype(int) - (0, 229, 255)).max(-1) < 12).sum() < cyan.sum() / 10
    assert (tmp_path / "piece.hwsi.zarr").is_dir()


def test_fluorescence_is_shown_and_what_still_works_is_said(data: Path, tmp_path: Path) -> None:
    done = demo("--slide", data / "wsi" / "test3-DAPI-2-387.ndpi", "--output", tmp_path)
    assert done.returncode == 1
    assert "is not H&E: it looks like fluorescence" in done.stderr
    assert "viewing the slide" in done.stderr
    blue = np.asarray(Image.open(tmp_path / "window.png"))[..., 2]
    assert (blue > 200).sum() > 10_000


def test_a_bad_slide_opens_no_window(data: Path, tmp_path: Path) -> None:
    done = demo("--slide", data / "wsi" / "broken.svs", "--output", tmp_path)
    assert done.returncode == 1
    assert "cannot be opened as a slide" in done.stderr
    assert not (tmp_path / "window.png").exists()


def test_a_slide_without_tissue_is_shown_and_said(tmp_path: Path) -> None:
    glass = np.full((1200, 1200, 3), 243, np.uint8)
    options = {"photometric": "rgb", "tile": (256, 256), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "glass.tif", glass, resolution=(2e4, 2e4), **options)
    done = demo("--slide", tmp_path / "glass.tif", "--output", tmp_path / "out")
    assert done.returncode == 1
    assert "There is no tissue on glass.tif" in done.stderr
    assert "Traceback" not in done.stderr
