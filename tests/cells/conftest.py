"""A piece of a synthetic slide with its truth, and plain shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_hwsi.cells import Cells
from napari_hwsi.cells.contours import trace
from napari_hwsi.cells.morphology import measure_stains
from napari_hwsi.synthetic import SlideSpec, SyntheticSlide

MPP = 0.5


@dataclass(frozen=True)
class Piece:
    """rgb (Y, X, 3) uint8 and the true nuclei, labels (Y, X), at 0.5 µm/px."""

    rgb: NDArray[np.uint8]
    truth: NDArray[np.int32]


@pytest.fixture(scope="session")
def tissue_piece() -> Piece:
    """600 x 700 px of tumour glands and stroma."""
    slide, box = SyntheticSlide(SlideSpec(seed=1)), (2048, 2600, 2648, 3300)
    return Piece(slide.read(box[:2], (600, 700)), slide.truth(box).labels)


@pytest.fixture(scope="session")
def some_cells(tissue_piece: Piece) -> Cells:
    """True nuclei of the piece as measured cells of two types, places with fractions."""
    labels = tissue_piece.truth
    outlines = trace(labels)
    count = len(outlines)
    return Cells.of(
        outlines,
        types=np.arange(count) % 2,
        type_names=("tumour", "stroma"),
        probabilities=np.linspace(0, 1, count, dtype=np.float32),
        mpp=(0.5, 0.25),
        measurements=measure_stains(labels, tissue_piece.rgb),
    )


def ellipse(
    shape: tuple[int, int], centre: tuple[float, float], axes: tuple[float, float], angle: float = 0
) -> NDArray[np.bool_]:
    """Return a filled ellipse (Y, X) bool of half-axes; the first lies ``angle`` rad from y towards x."""
    y, x = np.indices(shape) + 0.5
    dy, dx = y - centre[0], x - centre[1]
    along, across = dy * np.cos(angle) + dx * np.sin(angle), dx * np.cos(angle) - dy * np.sin(angle)
    return (along / axes[0]) ** 2 + (across / axes[1]) ** 2 <= 1


def same_cells(a: Cells, b: Cells) -> bool:
    """Return whether two sets hold the same cells, to the last bit."""
    arrays = [
        (a.centroids, b.centroids),
        (a.contours.vertices, b.contours.vertices),
        (a.contours.offsets, b.contours.offsets),
        (a.types, b.types),
        (a.probabilities, b.probabilities),
    ]
    equal = all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in arrays)
    tokens = (a.tokens is None) == (b.tokens is None) and (
        a.tokens is None or np.array_equal(a.tokens, b.tokens)
    )
    return equal and tokens and (a.type_names, a.mpp) == (b.type_names, b.mpp) and a.table.equals(b.table)
