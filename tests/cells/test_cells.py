"""The columns of cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_hwsi.cells import Cells
from napari_hwsi.errors import InputError, ResolutionError

SQUARE = np.array([[0, 0], [0, 4], [4, 4], [4, 0]], np.float32)


def squares(*corners: tuple[float, float], mpp: float | None = 0.5) -> Cells:
    """Return squares of 4 px with these top left corners."""
    return Cells.of([SQUARE + corner for corner in corners], mpp=mpp)


def test_cells_of_outlines_are_measured() -> None:
    cells = squares((10, 20), (30, 40))
    np.testing.assert_array_equal(cells.centroids, [[12, 22], [32, 42]])
    assert cells.centroids.dtype == np.float32
    assert cells.types.dtype == np.uint8
    assert cells.table.area_um2.tolist() == [4, 4]
    assert cells.table.centroid_y_px.tolist() == [12, 32]
    assert len(cells.contours) == len(cells) == 2


def test_without_mpp_nothing_is_measured_in_micrometres() -> None:
    cells = squares((0, 0), mpp=None)
    assert list(cells.table.columns) == ["centroid_y_px", "centroid_x_px"]
    with pytest.raises(ResolutionError, match="mpp"):
        cells.labels((0, 0, 8, 8), mpp=0.5)
    assert cells.labels((0, 0, 8, 8)).sum() == 16


def test_a_box_is_half_open_at_the_centroid() -> None:
    cells = squares((8, 8), (0, 0))
    assert len(cells.in_box((10, 10, 20, 20))) == 1
    assert len(cells.in_box((0, 0, 10, 20))) == 1
    assert cells.in_box((10, 10, 11, 11)).centroids.tolist() == [[10, 10]]


def test_selecting_takes_all_parts_in_order() -> None:
    cells = squares((0, 0), (10, 0), (20, 0))
    picked = cells.select([2, 0])
    assert picked.centroids[:, 0].tolist() == picked.table.centroid_y_px.tolist() == [22, 2]
    assert picked.contours[0][0].tolist() == [20, 0]
    assert picked.table.index.tolist() == [0, 1]
    assert cells.select(cells.centroids[:, 0] > 5).centroids[:, 0].tolist() == [12, 22]
    assert len(cells.select([])) == 0


def test_labels_are_row_numbers_plus_one_where_cells_meet_the_box() -> None:
    cells = squares((0, 0), (10, 10), (100, 100))
    image = cells.labels((8, 8, 20, 24))
    assert image.shape == (12, 16)
    assert image.dtype == np.int32
    np.testing.assert_array_equal(np.unique(image), [0, 2])
    np.testing.assert_array_equal(np.argwhere(image == 2).min(0), [2, 2])
    np.testing.assert_array_equal(np.argwhere(image == 2).max(0), [5, 5])


def test_labels_at_another_resolution() -> None:
    image = squares((8, 16)).labels((0, 0, 32, 32), mpp=(1.0, 0.25))
    assert image.shape == (16, 64)
    np.testing.assert_array_equal(np.argwhere(image).min(0), [4, 32])
    np.testing.assert_array_equal(np.argwhere(image).max(0), [5, 39])


def test_a_cell_cut_by_the_box_is_drawn_to_its_edge() -> None:
    assert squares((0, 0)).labels((2, 2, 6, 6)).sum() == 4


def test_concatenation_keeps_order_and_refuses_strangers() -> None:
    a, b = squares((0, 0)), squares((10, 0), (20, 0))
    both = Cells.concatenate([a, b.select([]), b])
    assert both.centroids[:, 0].tolist() == [2, 12, 22]
    assert both.table.area_um2.tolist() == [4, 4, 4]
    assert both.table.dtypes.equals(a.table.dtypes)
    with pytest.raises(InputError, match="resolutions"):
        Cells.concatenate([a, squares((0, 0), mpp=0.25)])


def test_parts_of_different_length_are_refused() -> None:
    cells = squares((0, 0), (9, 9))
    with pytest.raises(InputError, match="lengths"):
        Cells(**{**vars(cells), "types": np.zeros(3, np.uint8)})
    with pytest.raises(InputError, match="no name"):
        Cells(**{**vars(cells), "types": np.array([0, 1], np.uint8)})
    with pytest.raises(InputError, match="lengths"):
        Cells(**{**vars(cells), "table": pd.DataFrame({"a": [1.0]})})


def test_no_cells() -> None:
    none = Cells.of([], mpp=0.5)
    assert len(none) == 0
    assert none.labels((0, 0, 4, 4)).shape == (4, 4)
    assert "area_um2" in none.table
