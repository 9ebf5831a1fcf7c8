"""``hello`` and ``det``: scalars and a recursion. What is hard in ``det`` is overhead: every minor is a few numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

import autodiff as ad
from benchmarks.gradbench.task import Function, floats, plain

__all__ = ["TASKS", "det"]


def square(x: Any) -> Any:
    """``x`` squared."""
    return x * x


def det(matrix: Any) -> Any:
    """The determinant of a square matrix by expansion along the first row, minor by minor, down to single entries."""
    rows, columns = matrix.shape
    if rows == 1:
        return matrix[0, 0]
    below = matrix[1:]
    minors = np.stack([det(below[:, [c for c in range(columns) if c != left]]) for left in range(columns)])
    return np.sum(matrix[0] * (-1.0) ** np.arange(columns) * minors)


def _number(given: Any) -> tuple[float]:
    return (float(given["x"] if isinstance(given, dict) else given),)


def _matrix(given: Any) -> tuple[np.ndarray]:
    n = given["ell"]
    return (floats(given["A"]).reshape(n, n),)


TASKS = {
    "hello": {"square": Function(_number, square, plain), "double": Function(_number, ad.grad(square), plain)},
    "det": {
        "primal": Function(_matrix, det, plain),
        "gradient": Function(_matrix, ad.grad(det), lambda g: plain(g.ravel())),
    },
}
