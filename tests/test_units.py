"""Places, sizes and resolutions."""

from __future__ import annotations

import pytest

from napari_hwsi.errors import InputError, ResolutionError
from napari_hwsi.units import as_box, as_mpp, box_size_um, intersect


def test_one_number_serves_both_axes() -> None:
    assert as_mpp(0.5) == (0.5, 0.5)
    assert as_mpp((0.25, 0.5)) == (0.25, 0.5)


@pytest.mark.parametrize("value", [0, -1, float("nan"), 1e6, (1, 2, 3)])
def test_senseless_resolutions(value: float) -> None:
    with pytest.raises(ResolutionError):
        as_mpp(value)


def test_a_box_covers_its_fractions() -> None:
    assert as_box((0.2, 1.0, 3.1, 4.0)) == (0, 1, 4, 4)


@pytest.mark.parametrize("value", [(0, 0, 0, 5), (5, 0, 1, 5), (0, 0, 1), (0, 0, float("nan"), 1)])
def test_empty_boxes(value: tuple[float, ...]) -> None:
    with pytest.raises(InputError):
        as_box(value)


def test_boxes_are_half_open() -> None:
    assert intersect((0, 0, 10, 10), (10, 0, 20, 10)) is None
    assert intersect((0, 0, 10, 10), (5, 5, 20, 7)) == (5, 5, 10, 7)


def test_size_on_the_ground() -> None:
    assert box_size_um((0, 0, 10, 20), (0.5, 0.25)) == (5.0, 5.0)
