"""The values at kinks and awkward points: the one table that docs/kinks.md is written from, and tests/ops/test_kinks.py
runs row by row.

python docs/make_kinks.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import autodiff as ad
from nn import functional as F

TARGET = Path(__file__).with_name("kinks.md")
INF = np.inf
ZERO = [[0.0, 0.0], [0.0, 0.0]]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    function, point : str
        As the page shows them.
    reason : str
    call : callable
    at : tuple
        The arguments, all of which ask for a gradient.
    gradient : tuple
        What each of them gets, for a cotangent of ones.
    cotangent : array_like, optional
        Another one.
    refused : str
        If not empty: the words of the refusal that takes the place of a gradient.
    """

    function: str
    point: str
    reason: str
    call: Callable[..., Any]
    at: tuple[Any, ...]
    gradient: tuple[Any, ...] = ()
    cotangent: Any = None
    refused: str = ""


ROWS = [
    Row("abs(x)", "0", "smallest subgradient; NumPy's `sign(0)`", np.abs, (0.0,), (0.0,)),
    Row("abs(x)", "-0.0", "the same, whatever the sign of zero", np.abs, (-0.0,), (0.0,)),
    Row("sqrt(x)", "0", "the derivative is infinite", np.sqrt, (0.0,), (INF,)),
    Row("sqrt(x)", "0, cotangent 0", "a masked branch stays masked", np.sqrt, (0.0,), (0.0,), 0.0),
    Row("cbrt(x)", "0", "the derivative is infinite", np.cbrt, (0.0,), (INF,)),
    Row("log(x)", "0", "the derivative is infinite", np.log, (0.0,), (INF,)),
    Row("log(x)", "0, cotangent 0", "a masked branch stays masked", np.log, (0.0,), (0.0,), 0.0),
    Row("1 / x", "0", "the pole of `-1 / x**2`", lambda x: 1 / x, (0.0,), (-INF,)),
    Row("x / y", "1, 0", "the pole, in both", lambda x, y: x / y, (1.0, 0.0), (INF, -INF)),
    Row("x / y", "1, 0, cotangent 0", "a masked branch stays masked", lambda x, y: x / y, (1.0, 0.0), (0.0, 0.0), 0.0),
    Row("arcsin(x)", "1, cotangent 0", "likewise at the ends of every domain", np.arcsin, (1.0,), (0.0,), 0.0),
    Row("x ** 0", "0", "the constant 1", lambda x: x**0, (0.0,), (0.0,)),
    Row("x ** 0", "inf, nan", "likewise", lambda x: x**0, ([INF, np.nan],), ([0.0, 0.0],)),
    Row("x ** 1", "0", "the derivative", lambda x: x**1, (0.0,), (1.0,)),
    Row("x ** 2", "0", "the derivative", lambda x: x**2, (0.0,), (0.0,)),
    Row("x ** 0.5", "0", "the derivative is infinite", lambda x: x**0.5, (0.0,), (INF,)),
    Row("sqrt(x ** 3)", "0", "`∞ · 0`: the derivative", lambda x: np.sqrt(x**3), (0.0,), (0.0,)),
    Row("sqrt(x ** 2)", "0", "`∞ · 0`: as `abs(x)`", lambda x: np.sqrt(x**2), (0.0,), (0.0,)),
    Row("sqrt(x @ x)", "[0, 0]", "`∞ · 0`: as `norm(x)`", lambda x: np.sqrt(x @ x), ([0.0, 0.0],), ([0.0, 0.0],)),
    Row("abs(x) ** 0.5", "0", "`∞ · 0`: the middle of a cusp", lambda x: np.abs(x) ** 0.5, (0.0,), (0.0,)),
    Row(
        "cbrt(x ** 3)", "0", "`∞ · 0`: the rule cannot see that the limit is 1", lambda x: np.cbrt(x**3), (0.0,), (0.0,)
    ),
    Row("x ** y", "0, 2", "`0 ** y` is the constant 0 for y > 0", lambda x, y: x**y, (0.0, 2.0), (0.0, 0.0)),
    Row("x ** y", "0, 0", "`x ** 0` is the constant 1", lambda x, y: x**y, (0.0, 0.0), (0.0, 0.0)),
    Row("relu(x)", "0", "PyTorch's convention; what is masked is exactly 0", F.relu, (0.0,), (0.0,)),
    Row(
        "leaky_relu(x, 0.1)", "0", "the side of the value 0, as PyTorch", lambda x: F.leaky_relu(x, 0.1), (0.0,), (0.1,)
    ),
    Row("prelu(x, a)", "[0], [0.1]", "likewise", F.prelu, ([0.0], [0.1]), ([0.1], [0.0])),
    Row("elu(x, 2)", "0", "likewise", lambda x: F.elu(x, 2.0), (0.0,), (2.0,)),
    Row("celu(x, 2)", "0", "no kink", lambda x: F.celu(x, 2.0), (0.0,), (1.0,)),
    Row("selu(x)", "0", "scale times alpha, as PyTorch", F.selu, (0.0,), (1.0507009873554805 * 1.6732632423543772,)),
    Row(
        "hardtanh(x)",
        "[-1, 0, 1]",
        "the open interval passes, as PyTorch; unlike `clip`",
        F.hardtanh,
        ([-1.0, 0.0, 1.0],),
        ([0.0, 1.0, 0.0],),
    ),
    Row("relu6(x)", "[0, 3, 6]", "likewise", F.relu6, ([0.0, 3.0, 6.0],), ([0.0, 1.0, 0.0],)),
    Row("hardsigmoid(x)", "[-3, 0, 3]", "likewise", F.hardsigmoid, ([-3.0, 0.0, 3.0],), ([0.0, 1 / 6, 0.0],)),
    Row(
        "hardswish(x)",
        "[-3, 0, 3]",
        "the side of the linear pieces, as PyTorch",
        F.hardswish,
        ([-3.0, 0.0, 3.0],),
        ([0.0, 0.5, 1.0],),
    ),
    Row(
        "softshrink(x)",
        "[-0.5, 0, 0.5]",
        "the side of the constant, as PyTorch",
        F.softshrink,
        ([-0.5, 0.0, 0.5],),
        ([0.0, 0.0, 0.0],),
    ),
    Row("hardshrink(x)", "[-0.5, 0, 0.5]", "likewise", F.hardshrink, ([-0.5, 0.0, 0.5],), ([0.0, 0.0, 0.0],)),
    Row("threshold(x, 1, 7)", "1", "likewise", lambda x: F.threshold(x, 1.0, 7.0), (1.0,), (0.0,)),
    Row(
        "softplus(x, 1, threshold=2)",
        "2",
        "the smooth side, as PyTorch",
        lambda x: F.softplus(x, 1.0, 2.0),
        (2.0,),
        (1 / (1 + np.exp(-2.0)),),
    ),
    Row("softsign(x)", "0", "no kink; `abs` inside has one, which cancels", F.softsign, (0.0,), (1.0,)),
    Row(
        "maxout(x, 2)",
        "[[1, 1, 3, 2]]",
        "ties share",
        lambda x: F.maxout(x, 2),
        ([[1.0, 1.0, 3.0, 2.0]],),
        ([[0.5, 0.5, 1.0, 0.0]],),
    ),
    Row("maximum(x, y)", "1, 1", "average over ties, as PyTorch and JAX", np.maximum, (1.0, 1.0), (0.5, 0.5)),
    Row("minimum(x, y)", "1, 1", "average over ties", np.minimum, (1.0, 1.0), (0.5, 0.5)),
    Row("fmax(x, y)", "nan, 1", "NaN is passed over", np.fmax, (np.nan, 1.0), (0.0, 1.0)),
    Row("max(x)", "[1, 2, 2]", "ties share, as PyTorch's `amax`", np.max, ([1.0, 2.0, 2.0],), ([0.0, 0.5, 0.5],)),
    Row("min(x)", "[1, 1, 1, 1]", "ties share", np.min, ([1.0, 1.0, 1.0, 1.0],), ([0.25, 0.25, 0.25, 0.25],)),
    Row(
        "sort(x)[0]",
        "[1, 1]",
        "ties keep their order of appearance",
        lambda x: np.sort(x)[0],
        ([1.0, 1.0],),
        ([1.0, 0.0],),
    ),
    Row(
        "median(x)",
        "[1, 2, 3, 4]",
        "the two in the middle share",
        np.median,
        ([1.0, 2.0, 3.0, 4.0],),
        ([0.0, 0.5, 0.5, 0.0],),
    ),
    Row(
        "clip(x, -1, 1)",
        "[-2, -1, 0, 1, 2]",
        "the closed interval passes, as PyTorch",
        lambda x: np.clip(x, -1, 1),
        ([-2.0, -1.0, 0.0, 1.0, 2.0],),
        ([0.0, 1.0, 1.0, 1.0, 0.0],),
    ),
    Row(
        "where(x > 0, sqrt(x), 0)",
        "[0, 4]",
        "selection, not multiplication by a mask",
        lambda x: np.where(x > 0, np.sqrt(x), 0.0),
        ([0.0, 4.0],),
        ([0.0, 0.25],),
    ),
    Row(
        "where(x > 0, log(x), x)",
        "[0, 4]",
        "the pole in the branch not chosen leaves no NaN",
        lambda x: np.where(x > 0, np.log(x), x),
        ([0.0, 4.0],),
        ([1.0, 0.25],),
    ),
    Row("prod(x)", "[2, 0, 5]", "exact: the product of all others", np.prod, ([2.0, 0.0, 5.0],), ([0.0, 10.0, 0.0],)),
    Row("prod(x)", "[2, 0, 0]", "exact", np.prod, ([2.0, 0.0, 0.0],), ([0.0, 0.0, 0.0],)),
    Row("cumprod(x)", "[2, 0, 5]", "exact", np.cumprod, ([2.0, 0.0, 5.0],), ([1.0, 12.0, 0.0],)),
    Row("std(x)", "[3, 3, 3]", "smallest subgradient", np.std, ([3.0, 3.0, 3.0],), ([0.0, 0.0, 0.0],)),
    Row("arctan2(y, x)", "0, 0", "the direction is undefined", np.arctan2, (0.0, 0.0), (0.0, 0.0)),
    Row("hypot(x, y)", "0, 0", "smallest subgradient", np.hypot, (0.0, 0.0), (0.0, 0.0)),
    Row("logaddexp(x, y)", "-∞, -∞", "equal terms weigh equally", np.logaddexp, (-INF, -INF), (0.5, 0.5)),
    Row("logaddexp2(x, y)", "-∞, -∞", "equal terms weigh equally", np.logaddexp2, (-INF, -INF), (0.5, 0.5)),
    Row("sinc(x)", "0", "the derivative; no 0/0", np.sinc, (0.0,), (0.0,)),
    Row("tanh(x)", "1000", "saturated", np.tanh, (1000.0,), (0.0,)),
    Row("sigmoid(x)", "[-1000, 1000]", "saturated", F.sigmoid, ([-1000.0, 1000.0],), ([0.0, 0.0],)),
    Row("norm(x)", "[0, 0]", "smallest subgradient", np.linalg.norm, ([0.0, 0.0],), ([0.0, 0.0],)),
    Row("norm(x, 1)", "[0, 2]", "smallest subgradient", lambda x: np.linalg.norm(x, 1), ([0.0, 2.0],), ([0.0, 1.0],)),
    Row(
        "norm(x, 3)",
        "[0, 0]",
        "smallest subgradient, for every p",
        lambda x: np.linalg.norm(x, 3),
        ([0.0, 0.0],),
        ([0.0, 0.0],),
    ),
    Row(
        "norm(x, 0.5)", "[0, 4]", "the middle of a cusp", lambda x: np.linalg.norm(x, 0.5), ([0.0, 4.0],), ([0.0, 1.0],)
    ),
    Row("norm(x, inf)", "[2, -2]", "ties share", lambda x: np.linalg.norm(x, np.inf), ([2.0, -2.0],), ([0.5, -0.5],)),
    Row(
        "norm(A, 'nuc')",
        "the zero matrix",
        "smallest subgradient",
        lambda a: np.linalg.norm(a, "nuc"),
        (ZERO,),
        (ZERO,),
    ),
    Row("norm(A, 2)", "the zero matrix", "smallest subgradient", lambda a: np.linalg.norm(a, 2), (ZERO,), (ZERO,)),
    Row(
        "svdvals(A)",
        "diag(2, 0)",
        "at a singular value of zero that of `abs`",
        lambda a: np.linalg.svdvals(a),
        ([[2.0, 0.0], [0.0, 0.0]],),
        ([[1.0, 0.0], [0.0, 0.0]],),
    ),
    Row(
        "det(A)",
        "[[1, 2], [2, 4]]",
        "the cofactors, of a singular matrix too",
        np.linalg.det,
        ([[1.0, 2.0], [2.0, 4.0]],),
        ([[4.0, -2.0], [-2.0, 1.0]],),
    ),
    Row(
        "sum(eigvalsh(A) ** 2)",
        "diag(3, 3)",
        "a smooth function of equal eigenvalues",
        lambda a: np.sum(np.linalg.eigvalsh(a) ** 2),
        ([[3.0, 0.0], [0.0, 3.0]],),
        ([[6.0, 0.0], [0.0, 6.0]],),
    ),
    Row(
        "eigh(A)[1]",
        "diag(3, 3)",
        "which vectors equal eigenvalues have is arbitrary",
        lambda a: np.linalg.eigh(a)[1][0, 1],
        ([[3.0, 0.0], [0.0, 3.0]],),
        refused="two values are equal",
    ),
    Row(
        "matrix_function(A, sqrt)",
        "diag(4, 4)",
        "told the function, it needs no vectors",
        lambda a: ad.linalg.matrix_function(a, np.sqrt).sum(),
        ([[4.0, 0.0], [0.0, 4.0]],),
        ([[0.25, 0.25], [0.25, 0.25]],),
    ),
    Row("abs(z)", "0 (complex)", "smallest subgradient", np.abs, (0j,), (0j,)),
    Row(
        "floor(x) + sign(x)",
        "0.5",
        "steps are constants: zero wherever the derivative exists",
        lambda x: np.floor(x) + np.sign(x) + 0 * x,
        (0.5,),
        (0.0,),
    ),
    Row("nanmean(x)", "[1, nan]", "what is left out gets 0", np.nanmean, ([1.0, np.nan],), ([1.0, 0.0],)),
    Row(
        "interp(x, [0, 1, 2], [0, 1, 0])",
        "1",
        "at a node the slope to its right",
        lambda x: np.interp(x, [0, 1, 2], [0, 1, 0]),
        (1.0,),
        (-1.0,),
    ),
    Row("remainder(x, 2)", "4", "the jump is passed over", lambda x: np.remainder(x, 2.0), (4.0,), (1.0,)),
]

HEAD = """# Values at kinks and awkward points

Written by `python docs/make_kinks.py` from the table in that file, each row of which `tests/ops/test_kinks.py` runs.
Where a function has no derivative, or a formula reads 0/0 or 0·∞, the value below is what the library returns. Three
rules stand behind them.

- At a kink the value is a subgradient: the one of smallest norm, or the average over ties.
- In a product of derivatives `0 · ∞ = 0`, whichever factor comes first. A branch that `where(x > 0, sqrt(x), 0)` did
  not choose leaves no NaN, and forward and reverse mode agree, which multiply the same factors in opposite order.
  Where such a product has another limit (`exp(log(x))` at 0) a rule cannot know that. NumPy warns of it where a rule
  multiplies the two, which depends on the mode, the order and the rule: the gradient of `exp(log(x))` is 0 in silence.
  What is told for sure is the infinity behind it, by `detect_anomaly()`. Write the function without the pole.
- Beyond the first order the value at a kink is a constant: `abs(x)**2` at 0 has the second derivative 0, where `x * x`
  has 2, and so has `np.real(z * np.conj(z))` of complex z. Write even powers without `abs`. In the same way SciPy's
  `Rotation.from_rotvec(v)`, which takes the norm of v, lacks a part of its second derivatives at v = 0, and only there.
  With `s = v @ v` the quaternion `np.append(0.5 * hyp0f1(1.5, -s / 16) * v, hyp0f1(0.5, -s / 16))` has all of them.

| function | at | gradient | reason |
| --- | --- | --- | --- |
"""


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_shown(v) for v in value)}]"
    return f"{value.real:g}".replace("inf", "∞")


def page() -> str:
    """The text of docs/kinks.md."""
    lines = []
    for row in ROWS:
        gradient = f"refused: {row.refused}" if row.refused else "; ".join(_shown(g) for g in row.gradient)
        lines.append(f"| `{row.function}` | {row.point} | {gradient} | {row.reason} |")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(page())
    print(f"{TARGET.name}: {len(ROWS)} rows")
