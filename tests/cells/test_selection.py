"""Cells chosen by an expression or a lasso."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_hwsi.cells import Cells
from napari_hwsi.cells.selection import in_filter, inside_lasso, matching
from napari_hwsi.errors import InputError


@pytest.fixture
def cells() -> Cells:
    squares = [np.array([[0, 0], [0, s], [s, s], [s, 0]], np.float32) for s in (4, 8, 12, 16)]
    table = pd.DataFrame({"grade": [1.0, np.nan, 3.0, 4.0], "edited": [True, False, False, True]})
    table["Nucleus: Area µm^2"] = table["area_µm2"] = [16.0, 64.0, 144.0, 256.0]
    table["is"] = table["edited"]
    return Cells.of(
        squares,
        types=[0, 1, 0, 1],
        type_names=("lymphocyte", "tumour"),
        probabilities=[0.2, 0.4, 0.6, 0.8],
        mpp=1.0,
        measurements=table,
    )


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("", [0, 1, 2, 3]),
        ("area_um2 > 40", [1, 2, 3]),
        ('area_um2 > 40 and type == "lymphocyte"', [2]),
        ("not (probability < 0.5) or edited", [0, 2, 3]),
        ("0.3 < probability <= 0.65", [1, 2]),
        ("-grade + 2 * 3 / 2 >= 0", [0, 2]),
        ("edited == True and grade - 1 > 0", [3]),
        ("1 < 2", [0, 1, 2, 3]),
        ("`Nucleus: Area µm^2` > 40 and `is` and `area_µm2` == `Nucleus: Area µm^2`", [3]),
        ("type != '`' and \"`\" != type and `grade` > 3", [3]),
    ],
)
def test_what_fits(cells: Cells, expression: str, rows: list[int]) -> None:
    assert np.flatnonzero(matching(cells, expression)).tolist() == rows


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("area > 40", "no column 'area'.*type, probability.*area_um2"),
        ("area_um2 >", "cannot be read"),
        ("__import__('os').system('true')", "does not know"),
        ("table.grade > 1", "does not know 'table.grade'"),
        ("grade ** 9 > 1", "does not know"),
        ("type == 1", "a word, with '1', a number"),
        ("type + 1 > 2", "'type' in the filter is a word"),
        ("area_um2", "neither true nor false"),
        ("grade and edited", "is a number, not a truth"),
        ("`Nucleus: Area µm^2` and edited", r"'`Nucleus: Area µm\^2`' in the filter is a number"),
        ("`Area` > 4", "no column 'Area'"),
        ("`Area > 4", "cannot be read"),
        (f"grade > {'9' * 400}", "cannot be read"),
    ],
)
def test_what_is_refused(cells: Cells, expression: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        matching(cells, expression)


def test_how_columns_are_written(cells: Cells) -> None:
    for name in map(str, cells.table.columns):
        assert len(matching(cells, f"{in_filter(name)} == {in_filter(name)}")) == 4
    assert in_filter("area_um2") == "area_um2"


def test_a_lasso() -> None:
    points = [(1, 1), (3, 1), (1, 3), (9, 9)]
    assert inside_lasso(points, [(0, 0), (0, 4), (2, 2), (4, 0)]).tolist() == [True, False, False, False]
    assert not inside_lasso(points, [(0, 0), (9, 9)]).any()
