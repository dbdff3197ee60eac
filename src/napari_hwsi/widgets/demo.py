"""The main job, once, in a real window: a slide is opened, its view analysed, a question answered.

Driven through the docks, as a user would.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from napari.layers import Image
from qtpy.QtCore import QEventLoop, QTimer
from scipy import ndimage

from ..chat import Answer
from ..errors import HwsiError, InputError, StoreError, TissueError
from ..slides import Slide, open_slide
from ..tissue import measurable_stain, tissue_mask
from ..units import Box
from ..viewer.layers import show_slide
from ..viewer.region import fly_to
from ..viewer.sample import sample_path
from ..viewer.state import result_of
from .analyse_dock import AnalyseDock
from .commands import open_all, open_dock
from .scope import VISIBLE
from .task import TaskRow

QUESTION = "How many nuclei are in this view, and where are they densest?"

_WINDOW = (1600, 1000)
_VIEW_UM = 400.0
_SETTLE_MS = 600
_LOOK_MS = 50

Say = Callable[[str], None]


def demo(path: Path | None, output: Path, mpp: float | None, stay: bool, say: Say) -> Answer:
    """Open a slide in napari, analyse what is in view, ask about it, and point at the places.

    path: the user's slide, the built-in sample where None; output: folder of the result, and of the
    pictures of the window; mpp: µm per pixel of a slide that states none; stay: leave the window
    open until the user closes it, else take pictures; say: gets each line for the user. Raises what
    opening and analysing raise; a fluorescence slide is opened all the same, and InputError
    tells what works on it.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder {output} cannot be made: {error}. Choose another --output.") from error
    slide = open_slide(path or sample_path(), mpp=mpp)
    viewer = napari.Viewer(title="napari-hwsi")
    viewer.window.resize(*_WINDOW)
    try:
        layer = show_slide(viewer, slide)
        dock = open_all(viewer)
        _pause()
        return _analyse_and_ask(viewer, layer, slide, output, say)
    except HwsiError as error:
        dock.task.say(str(error))
        if stay:  # the command ends, and says so, only when the window is closed
            say(str(error))
        raise
    finally:
        if stay:
            napari.run()
        else:
            _picture(viewer, output / "window.png", say)
            viewer.close()


def _analyse_and_ask(viewer: napari.Viewer, layer: Image, slide: Slide, output: Path, say: Say) -> Answer:
    measurable_stain(slide)
    fly_to(viewer, layer, _place_to_look_at(slide))
    _pause()
    say(f"Analysing what is in view of {slide.name} …")
    analyse = open_dock(viewer, AnalyseDock)
    analyse.scope_box.setCurrentText(VISIBLE)
    analyse.store_edit.setText(str(output / f"{Path(slide.name).stem}.hwsi.zarr"))
    analyse.run()
    _wait_for(analyse.task)
    if result_of(layer) is None:
        raise InputError(analyse.task.words.text())
    _picture(viewer, output / "analysis.png", say)
    ask = open_all(viewer)
    answers: list[Answer] = []
    ask.answered.connect(answers.append)
    ask.ask(QUESTION)
    _wait_for(ask.task)
    if not answers:
        raise InputError(ask.task.words.text())
    say(f"\nQuestion: {QUESTION}\nAnswer: {answers[0]}\n")
    return answers[0]


def _place_to_look_at(slide: Slide) -> Box:
    """Return a box of 0.4 mm with as much tissue as any, nearest the middle of the tissue."""
    mask, mpp = tissue_mask(slide), slide.require_mpp()
    if not mask.mask.any():
        raise TissueError(f"There is no tissue on {slide.name}, so there is nothing to ask about.")
    half = np.minimum(_VIEW_UM / np.array(mpp) / 2, np.array(slide.shape) / 2)
    window = np.maximum(np.round(2 * half / mask.downsample).astype(int), 1)
    share = ndimage.uniform_filter(mask.mask.astype(np.float32), tuple(window), mode="constant")
    full = np.argwhere(share > share.max() * 0.98)
    middle = np.argwhere(mask.mask).mean(0)
    nearest = full[np.argmin(((full - middle) ** 2).sum(1))]
    y, x = (nearest + 0.5) * mask.downsample
    return round(y - half[0]), round(x - half[1]), round(y + half[0]), round(x + half[1])


def _wait_for(task: TaskRow) -> None:
    """Let the window live until the dock's work is over and drawn."""
    loop, look = QEventLoop(), QTimer()
    look.timeout.connect(lambda: None if task.busy else loop.quit())
    look.start(_LOOK_MS)
    loop.exec()
    look.stop()
    _pause()


def _pause() -> None:
    loop = QEventLoop()
    QTimer.singleShot(_SETTLE_MS, loop.quit)
    loop.exec()


def _picture(viewer: napari.Viewer, path: Path, say: Say) -> None:
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    say(f"Picture of the window: {path}")
