"""Where nuclei are dense, and which type prevails, as layers on the slide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from napari.components import ViewerModel
from napari.layers import Image, Layer
from napari.utils.colormaps import ensure_colormap
from numpy.typing import NDArray

from ..cells.density import DensityMap
from ..slides import Slide
from .colours import type_colours
from .layers import LayerData, placing, show
from .raster import LookupColormap
from .state import PART, SLIDE

BINS_UM = (64, 128, 256, 512)
MAP_NAME = "viridis"
_OPACITY = 0.7


@dataclass(frozen=True)
class MapKind:
    """What a map of nuclei tells: cells per mm², the share of a type, or the type that prevails.

    kind: of which type, all where None.
    """

    what: str = "density"
    kind: str | None = None

    @property
    def title(self) -> str:
        """What the values are, with their unit."""
        if self.what == "prevailing":
            return "Type that prevails"
        if self.what == "share":
            return f"Share of {self.kind}"
        return f"{'Nuclei' if self.kind is None else self.kind} per mm²"


def map_kinds(type_names: tuple[str, ...]) -> list[MapKind]:
    """Return the maps that nuclei of these types have."""
    if len(type_names) < 2:
        return [MapKind()]
    return [
        MapKind(),
        MapKind("prevailing"),
        *(MapKind("density", name) for name in type_names),
        *(MapKind("share", name) for name in type_names),
    ]


def density_data(slide: Slide, found: DensityMap, kind: MapKind) -> LayerData:
    """Return the layer of a density or a share: an image of a pixel a bin, clear where nothing is told."""
    values = values_of(found, kind)
    kwargs = {
        "colormap": MAP_NAME,
        "contrast_limits": limits(values, kind),
        "interpolation2d": "nearest",
        "opacity": _OPACITY,
    }
    return values, _kwargs(slide, found, kind) | kwargs, "image"


def prevailing_data(slide: Slide, found: DensityMap, kind: MapKind) -> LayerData:
    """Return the layer of the type that is most frequent in each bin, in the colours of the types."""
    names = found.type_names
    colours = np.vstack([np.zeros((1, 4)), type_colours(len(names))])
    kwargs = {
        "colormap": LookupColormap.of(np.arange(len(names) + 1, dtype=np.uint8), colours),
        "features": pd.DataFrame({"index": range(1, len(names) + 1), "type": names}),
        "opacity": _OPACITY,
    }
    return found.dominant().astype(np.int32), _kwargs(slide, found, kind) | kwargs, "labels"


def show_map(viewer: ViewerModel, slide: Slide, found: DensityMap, kind: MapKind) -> Layer:
    """Show a map of the nuclei of a slide in place of the last: two would mix their colours.

    napari's colour bar is shown with it, but for types.
    """
    data = prevailing_data if kind.what == "prevailing" else density_data
    layer = show(viewer, data(slide, found, kind))
    if isinstance(layer, Image):
        layer.colorbar.visible = True
    return layer


def values_of(found: DensityMap, kind: MapKind) -> NDArray[np.float32]:
    """Return the values (Y, X) of a density or a share, NaN where nothing is told."""
    return found.density(kind.kind) if kind.what == "density" else found.share(kind.kind or "")


def limits(values: NDArray[np.float32], kind: MapKind) -> tuple[float, float]:
    """Return what the first and the last colour of a map stand for."""
    finite = values[np.isfinite(values)]
    most = 1.0 if kind.what == "share" else float(finite.max(initial=0))
    return 0.0, most if most > 0 else 1.0


def bar_colours(count: int) -> NDArray[np.float64]:
    """Return colours (count, 4) of a map's colour bar, from its lower end."""
    return np.asarray(ensure_colormap(MAP_NAME).map(np.linspace(0, 1, count)))


def _kwargs(slide: Slide, found: DensityMap, kind: MapKind) -> dict[str, Any]:
    return {
        "name": f"{kind.title} · {slide.name}",
        "metadata": {SLIDE: slide, PART: "density"},
        **placing(slide, found.step, found.origin),
    }
