"""Opening slides and results in napari: File > Open and drag and drop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils.notifications import show_warning

from ..errors import HwsiError, SlideError
from ..slides import Slide, open_slide
from ..slides.address import Place, as_place, name_of
from ..slides.picture import Picture
from ..slides.tiff_level import open_tiff
from .layers import LayerData, finish, result_data, slide_data
from .state import PART, part_layer, set_result, slide_layers, slide_of

Reader = Callable[[str | list[str]], list[LayerData]]

STORE_SUFFIX = ".hwsi.zarr"
SLIDE_SUFFIXES = (".svs", ".ndpi", ".scn", ".mrxs", ".vms", ".vmu", ".svslide", ".bif", ".dcm")
_TIFF_SUFFIXES = (".tif", ".tiff")
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
_ZARR_SUFFIX = ".zarr"
OPENABLE = (*SLIDE_SUFFIXES, *_TIFF_SUFFIXES, *_PICTURE_SUFFIXES)
_LARGE_BYTES = 2**30
_WSI_CLASS = b"1.2.840.10008.5.1.4.1.1.77.1.6"  # DICOM: VL Whole Slide Microscopy Image Storage
_FILES_LOOKED_AT = 16


def get_reader(path: str | list[str]) -> Reader | None:
    """Return the reader of one path or several, None unless all are slides or results of this package.

    A TIFF is a slide when it is RGB and a tiled pyramid, an OME-TIFF, or over 1 GiB of pixels; a PNG or
    JPEG when it is over 1 GiB of pixels; a Zarr, here or at an address, when it is an RGB image of
    OME; a folder when one of its first files is a slide of DICOM. The others are left to napari.
    """
    paths = [path] if isinstance(path, str) else path
    return read if paths and all(_is_ours(as_place(p)) for p in paths) else None


def read(path: str | list[str]) -> list[LayerData]:
    """Return the layers of one path or several. Raises SlideError or StoreError with one clear sentence."""
    layers: list[LayerData] = []
    for one in [path] if isinstance(path, str) else path:
        layers += _read_store(Path(one)) if one.rstrip("/").endswith(STORE_SUFFIX) else _read_slide(one)
    viewer = napari.current_viewer()
    if viewer is not None:  # napari adds the layers after this returns
        viewer.canvas.overlays["scale_bar"].visible = True
        viewer.layers.events.inserted.connect(_finish_inserted)
    return layers


def open_in(viewer: ViewerModel, path: str | Path) -> list[Layer]:
    """Add a slide or a result to a viewer and return its layers, the slide's first.

    Like ``viewer.open``, but never asks which of several readers to take. Raises SlideError, StoreError.
    """
    layers = [viewer.add_layer(Layer.create(*data)) for data in read(str(path))]
    for layer in layers:
        finish(viewer, layer)
    viewer.canvas.overlays["scale_bar"].visible = True
    viewer.layers.selection.active = layers[0]
    return layers


def ask_for_mpp(slides: Sequence[Slide]) -> None:
    """Tell the user of slides that state no pixel size."""
    for slide in slides:
        if slide.mpp is None:
            show_warning(
                f"Pixel size unknown: {slide.name} does not state it. Give it in Plugins > napari-hwsi > "
                "Slide; until then sizes are in pixels, and nothing can be measured."
            )


def _read_slide(place: str) -> list[LayerData]:
    slide = open_slide(place)
    ask_for_mpp([slide])
    return [slide_data(slide)]


def _read_store(path: Path) -> list[LayerData]:
    """Where its slide is open already, a result is shown on that."""
    from ..hierarchy import open_result

    result, viewer = open_result(path), napari.current_viewer()
    for layer in [] if viewer is None else slide_layers(viewer):
        slide = slide_of(layer)
        if slide is None or slide.fingerprint != result.slide_facts["fingerprint"]:
            continue
        result = open_result(path, slide)
        set_result(layer, result)
        parts = result_data(result, slide)
        for _, kwargs, _ in parts:
            if (old := part_layer(viewer, slide, kwargs["metadata"][PART])) is not None:
                viewer.layers.remove(old)
        return parts
    slide = result.slide
    return [slide_data(slide, result), *result_data(result, slide)]


def _is_ours(path: Place) -> bool:
    name = name_of(path).lower()
    if isinstance(path, str):  # an address, which only a user gives
        return name.endswith(_ZARR_SUFFIX) and _opens(path)
    if path.is_dir():
        return name.endswith(STORE_SUFFIX) or (
            _opens(path) if name.endswith(_ZARR_SUFFIX) else _holds_dicom(path)
        )
    if name.endswith(_PICTURE_SUFFIXES):
        return _is_large_picture(path)
    return name.endswith(SLIDE_SUFFIXES) or (name.endswith(_TIFF_SUFFIXES) and _is_tiff_slide(path))


def _holds_dicom(folder: Path) -> bool:
    """Look at a few files only: napari asks of every folder that is dropped."""
    try:
        files = islice((path for path in folder.iterdir() if path.is_file()), _FILES_LOOKED_AT)
        for path in files:
            with path.open("rb") as file:
                head = file.read(1024)
            if head[128:132] == b"DICM" and _WSI_CLASS in head:
                return True
    except OSError:
        return False
    return False


def _opens(path: Place) -> bool:
    try:
        open_slide(path).close()
    except HwsiError:
        return False
    return True


def _is_large_picture(path: Path) -> bool:
    try:
        height, width = Picture(path).shape
    except (SlideError, OSError):
        return False
    return height * width * 3 > _LARGE_BYTES


def _is_tiff_slide(path: Path) -> bool:
    try:
        with open_tiff(path) as file:
            page, levels = file.pages.first, len(file.series[0].levels)
            rgb = page.samplesperpixel >= 3 and page.dtype == np.uint8
            large = int(np.prod(page.shape)) > _LARGE_BYTES
            return rgb and bool(large or file.is_ome or (page.is_tiled and levels > 1))
    except Exception:  # noqa: BLE001  # a damaged file can make the parser raise anything
        return False


def _finish_inserted(event: Any) -> None:
    viewer = napari.current_viewer()
    if viewer is not None and event.value in viewer.layers:
        finish(viewer, event.value)
