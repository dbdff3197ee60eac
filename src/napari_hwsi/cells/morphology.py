"""Measurements of nuclei, in micrometres and optical density."""

from __future__ import annotations

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from ..slides import RGB
from ..tissue import separate_stains
from ..units import Mpp
from .contours import Contours, moments, perimeters
from .texture import measure_texture


def measure_shapes(contours: Contours, mpp: Mpp) -> pd.DataFrame:
    """Return a row of shape measurements for each outline, float32.

    contours in level-0 pixels, mpp (y, x) µm per level-0 pixel. ``area_um2``, ``perimeter_um``;
    ``equivalent_diameter_um`` of the circle of that area; ``major_axis_um``, ``minor_axis_um``,
    ``eccentricity`` and ``orientation_rad`` (of the major axis, from the y axis towards x,
    −π/2 to π/2) of the ellipse of the same second moments; ``solidity``, area over that of the
    convex hull; ``circularity``, 4π area over the perimeter squared, at most 1.
    """
    parts = [_measure_shapes(part, mpp) for part in contours.parts()]
    return pd.concat(parts, ignore_index=True) if parts else _measure_shapes(contours, mpp)


def _measure_shapes(contours: Contours, mpp: Mpp) -> pd.DataFrame:
    on_ground = Contours((contours.vertices * np.array(mpp)).astype(np.float32), contours.offsets)
    area, _, covariance = moments(on_ground)
    perimeter = perimeters(on_ground)
    yy, xx, yx = covariance.T
    spread = np.sqrt(np.maximum(((yy - xx) / 2) ** 2 + yx**2, 0))
    major = 4 * np.sqrt(np.maximum((yy + xx) / 2 + spread, 0))
    minor = 4 * np.sqrt(np.maximum((yy + xx) / 2 - spread, 0))
    hull = shapely.area(shapely.convex_hull(on_ground.polygons()))
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {
            "area_um2": area,
            "perimeter_um": perimeter,
            "equivalent_diameter_um": np.sqrt(4 * area / np.pi),
            "major_axis_um": major,
            "minor_axis_um": minor,
            "eccentricity": np.sqrt(np.maximum(1 - (minor / major) ** 2, 0)),
            "solidity": np.minimum(area / hull, 1),
            "circularity": np.minimum(4 * np.pi * area / perimeter**2, 1),
            "orientation_rad": np.arctan2(2 * yx, yy - xx) / 2,
        }
    return pd.DataFrame({name: values.astype(np.float32) for name, values in columns.items()})


def measure_stains(labels: NDArray[np.int32], rgb: RGB) -> pd.DataFrame:
    """Return what the stains are like in each label 1 to N, float32.

    labels (Y, X); rgb (Y, X, 3) uint8. Mean and standard deviation of haematoxylin and eosin, separated
    with the fixed vectors of the tissue folder, so that slides can be compared; the texture of
    haematoxylin (:func:`.texture.measure_texture`).
    """
    pixels = np.flatnonzero(labels)
    owner = labels.ravel()[pixels] - 1
    count = int(labels.max(initial=0))
    stains = separate_stains(rgb.reshape(-1, 3)[pixels]).astype(np.float64)
    haematoxylin = np.zeros(labels.shape, np.float32)
    haematoxylin.ravel()[pixels] = stains[:, 0]
    size = np.maximum(np.bincount(owner, minlength=count), 1)
    columns: dict[str, NDArray[np.float32]] = {}
    for name, values in (("haematoxylin", stains[:, 0]), ("eosin", stains[:, 1])):
        mean = np.bincount(owner, values, count) / size
        variance = np.bincount(owner, (values - mean[owner]) ** 2, count) / size
        columns[f"{name}_mean_od"] = mean.astype(np.float32)
        columns[f"{name}_sd_od"] = np.sqrt(variance).astype(np.float32)
    return pd.concat([pd.DataFrame(columns), measure_texture(labels, haematoxylin)], axis=1)
