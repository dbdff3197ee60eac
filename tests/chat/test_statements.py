"""Numbers in sentences."""

from __future__ import annotations

import pytest

from napari_hwsi.chat.statements import area, number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12345.6, "12,346"),
        (99.96, "100"),
        (12.34, "12.3"),
        (9.999, "10.0"),
        (1, "1.00"),
        (0.01234, "0.0123"),
        (5e-5, "0.0000500"),
        (-0.5, "-0.500"),
    ],
)
def test_three_figures_without_an_exponent(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("mm2", "text"),
    [(0, "0 mm²"), (0.00002, "20.0 µm²"), (0.0099, "9,900 µm²"), (0.01, "0.0100 mm²"), (12.5, "12.5 mm²")],
)
def test_small_areas_in_small_units(mm2: float, text: str) -> None:
    assert area(mm2) == text
