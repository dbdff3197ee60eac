"""Rows of cells chosen by an expression over their measurements, or by a line drawn round points."""

from __future__ import annotations

import ast
import keyword
import operator
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .cells import Cells

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_BACKTICKS = re.compile(r"`([^`]*)`|\"[^\"]*\"|'[^']*'")
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def matching(cells: Cells, expression: str) -> NDArray[np.bool_]:
    """Return which cells fit an expression, bool (N,); all fit an empty one.

    Such as ``area_um2 > 40 and type == "lymphocyte"``: names of columns, in `backticks` where they are
    more than a word (:func:`in_filter`), ``type`` and ``probability``, numbers and words in quotes,
    comparisons, ``and``, ``or``, ``not``, ``+ - * /`` and brackets. What was not measured fits no comparison
    but ``!=``. Raises InputError for anything else.
    """
    text = expression.strip()
    if not text:
        return np.ones(len(cells), bool)
    quoted: dict[str, str] = {}  # names in backticks, by what stands in for them

    def replaced(match: re.Match[str]) -> str:
        if match[1] is None:  # words
            return match[0]
        stand_in = f"quoted_{len(quoted)}_"
        quoted[stand_in] = match[1]
        return stand_in

    try:
        plain = _BACKTICKS.sub(replaced, text)
        tree = ast.parse(plain, mode="eval").body
        with np.errstate(all="ignore"):
            found = _Reader(cells, plain, quoted).value(tree)
    except InputError:
        raise
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        raise InputError(
            f"The filter {text!r} cannot be read. Write such as area_um2 > 40 and probability > 0.5."
        ) from None
    if _kind(found) != "truth":
        raise InputError(f"The filter {text!r} is neither true nor false. Compare it, such as area_um2 > 40.")
    return np.broadcast_to(found, len(cells)).copy()


def in_filter(name: str) -> str:
    """Return how a column is written in :func:`matching`."""
    plain = name.isidentifier() and not keyword.iskeyword(name)
    # Python reads the micro sign in a name as the Greek letter.
    return name if plain and unicodedata.normalize("NFKC", name) == name else f"`{name}`"


def column_values(cells: Cells, name: str) -> NDArray[Any]:
    """Return a column (N,): float64 numbers, NaN where not measured, truths, or words.

    Raises InputError for a name that is neither a column nor ``type`` or ``probability``.
    """
    if name == "type":
        return np.array(cells.type_names, np.str_)[cells.types]
    if name == "probability":
        return cells.probabilities.astype(np.float64)
    if name not in cells.table.columns:
        there = ", ".join(dict.fromkeys(["type", "probability", *map(str, cells.table.columns)]))
        raise InputError(f"These cells have no column {name!r}. They have {there}.")
    column = cells.table[name]
    if column.dtype == bool:
        return column.to_numpy()
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(np.float64, na_value=np.nan)
    return column.astype(str).to_numpy(np.str_)


def inside_lasso(points: ArrayLike, lasso: ArrayLike) -> NDArray[np.bool_]:
    """Return which points (N, 2) lie in a closed line (M, 2), bool (N,); where it crosses itself, evenly odd.

    Both count in the same units and the same order of axes. Less than three corners hold nothing.
    """
    places, line = np.asarray(points, np.float64), np.asarray(lasso, np.float64)
    if len(line) < 3:
        return np.zeros(len(places), bool)
    area = shapely.make_valid(shapely.Polygon(line))
    shapely.prepare(area)
    return np.asarray(shapely.contains_xy(area, *places.T), bool)


class _Reader:
    """Works an expression out over all cells at once."""

    def __init__(self, cells: Cells, text: str, quoted: Mapping[str, str]) -> None:
        self._cells, self._text, self._quoted = cells, text, quoted

    def value(self, node: ast.expr) -> Any:
        """Return what a part of the expression comes to: (N,) or one value."""
        if isinstance(node, ast.Name):
            return column_values(self._cells, self._quoted.get(node.id, node.id))
        if isinstance(node, ast.Constant) and isinstance(node.value, bool | str):
            return node.value
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return float(node.value)
        if isinstance(node, ast.BoolOp):
            parts = [self._need("truth", part) for part in node.values]
            joined = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return joined.reduce(np.broadcast_arrays(*parts))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return np.logical_not(self._need("truth", node.operand))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._need("number", node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            left, right = self._need("number", node.left), self._need("number", node.right)
            return _ARITHMETIC[type(node.op)](left, right)
        if isinstance(node, ast.Compare) and all(type(op) in _COMPARISONS for op in node.ops):
            return self._compared(node)
        raise InputError(f"The filter does not know {self._source(node)!r}. {self._usage()}")

    def _compared(self, node: ast.Compare) -> Any:
        sides = [node.left, *node.comparators]
        values = [self.value(side) for side in sides]
        fits: Any = np.True_
        for op, a, b, left, right in zip(node.ops, values, values[1:], sides, sides[1:], strict=False):
            if _kind(a) != _kind(b):
                raise InputError(
                    f"The filter compares {self._source(left)!r}, a {_kind(a)}, with "
                    f"{self._source(right)!r}, a {_kind(b)}. Words stand in quotes."
                )
            fits = fits & _COMPARISONS[type(op)](np.asarray(a), np.asarray(b))
        return fits

    def _need(self, kind: str, node: ast.expr) -> Any:
        value = self.value(node)
        if _kind(value) != kind:
            raise InputError(f"{self._source(node)!r} in the filter is a {_kind(value)}, not a {kind}.")
        return np.asarray(value)

    def _source(self, node: ast.expr) -> str:
        words = ast.get_source_segment(self._text, node) or self._text
        for stand_in, name in self._quoted.items():
            words = words.replace(stand_in, f"`{name}`")
        return words

    def _usage(self) -> str:
        return "It takes columns, numbers, words in quotes, comparisons, and, or, not, + - * / and brackets."


def _kind(value: Any) -> str:
    return {"b": "truth", "U": "word"}.get(np.asarray(value).dtype.kind, "number")
