"""Wrong elsewhere, right here: derivatives of the installed PyTorch and JAX beside ours and the truth.

``python -m autodiff.testing --rivals`` measures every case anew and writes docs/rivals.md. The truth comes from SymPy's
derivatives evaluated by mpmath (:mod:`autodiff.testing.truths`), or is a closed form that the case states. Only what
was measured with the installed versions is listed: a case in which both others are right is left out.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from autodiff import grad
from autodiff.core.op import registry
from autodiff.extras import require
from autodiff.ops import special
from autodiff.testing.truths import TRUTHS, derivative

__all__ = ["Case", "measure", "page"]

#: From here on a derivative counts as wrong: half of the digits are.
WRONG = 1e-8
#: Our operation: (the function of torch, of jax), as expressions.
_ALIKE = {
    "tanh": ("torch.tanh", "jnp.tanh"), "sigmoid": ("torch.sigmoid", "jax.nn.sigmoid"),
    "silu": ("torch.nn.functional.silu", "jax.nn.silu"), "expm1": ("torch.expm1", "jnp.expm1"),
    "arctanh": ("torch.atanh", "jnp.arctanh"), "arcsinh": ("torch.asinh", "jnp.arcsinh"),
    "arccosh": ("torch.acosh", "jnp.arccosh"), "arctan": ("torch.atan", "jnp.arctan"),
    "arcsin": ("torch.asin", "jnp.arcsin"), "arccos": ("torch.acos", "jnp.arccos"), "sinc": ("torch.sinc", "jnp.sinc"),
    "log_sigmoid": ("torch.nn.functional.logsigmoid", "jax.nn.log_sigmoid"), "i0": ("torch.i0", "jnp.i0"),
    "log_ndtr": ("torch.special.log_ndtr", "jax.scipy.special.log_ndtr"), "erfcx": ("torch.special.erfcx", ""),
    "soft_sign": ("torch.nn.functional.softsign", "jax.nn.soft_sign"),
    "reciprocal": ("torch.reciprocal", "jnp.reciprocal"),
    "erf": ("torch.erf", "jax.scipy.special.erf"),
    "gelu": ("torch.nn.functional.gelu", "lambda x: jax.nn.gelu(x, False)"),
    "softplus": ("torch.nn.functional.softplus", "jax.nn.softplus"), "square": ("torch.square", "jnp.square"),
    "logit": ("torch.logit", "jax.scipy.special.logit"), "sqrt": ("torch.sqrt", "jnp.sqrt"),
    "log1p": ("torch.log1p", "jnp.log1p"), "exp": ("torch.exp", "jnp.exp"), "tan": ("torch.tan", "jnp.tan"),
    "log": ("torch.log", "jnp.log"), "cosh": ("torch.cosh", "jnp.cosh"), "exp2": ("torch.exp2", "jnp.exp2"),
}  # fmt: skip
_POINTS = (
    1e-12, 1e-8, 1e-5, 0.3, 0.99, 5.0, 18.0, 40.0, 300.0, 1e5, 1e8, 1e60, 1e100, 1e160, -1e-8, -5.0, -18.0, -40.0,
)  # fmt: skip
#: Which of them an operation gets, by the numbers that it takes.
_TRIED = {
    "positive": (0, np.inf), "unit": (-1, 1), "share": (0, 1), "above 1": (1, np.inf), "above -1": (-1, np.inf),
    "angle": (-1e4, 1e4), "exponent": (-300, 300), "bessel": (-300, 300), "normal": (-20, 20), "below 20": (-18, 18),
    "positive normal": (-1e5, 1e5),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One derivative, measured: relative errors (infinite for NaN), None where a library has not the function."""

    what: str
    point: str
    truth: float
    ours: float
    torch: float | None
    jax: float | None


def _error(found: Any, truth: Any) -> float:
    found, truth = np.asarray(found, float), np.asarray(truth, float)
    if not np.isfinite(found).all():
        return float("inf")
    return float(np.max(np.abs(found - truth)) / np.max(np.abs(truth)))


def _tried(truth: Any, derivative: Callable[..., Any], *args: Any) -> float | None:
    """The error of a derivative; None where a library says that it has none."""
    try:
        return _error(np.asarray(derivative(*args)), truth)
    except Exception:
        return None


def _libraries() -> tuple[Any, Any]:
    torch, jax = require("torch"), require("jax")
    jax.config.update("jax_enable_x64", True)
    return torch, jax


def _nested(first: Callable[..., Any], order: int, f: Callable[..., Any]) -> Callable[..., Any]:
    for _ in range(order):
        f = first(f)
    return f


def _of_one_number() -> Iterator[Case]:
    torch, jax = _libraries()
    names = {"torch": torch, "jax": jax, "jnp": jax.numpy}

    def slope(first: Callable[..., Any], order: int, expression: str, at: Any) -> Any:
        return _nested(first, order, eval(expression, names))(at)

    for name, (theirs, others) in _ALIKE.items():
        if name not in registry:
            continue
        low, high = _TRIED.get(TRUTHS[name][1], (-np.inf, np.inf))
        for order in (1, 2, 3):
            worst: Case | None = None
            for x in _POINTS:
                if not low < x < high:
                    continue
                truth = float(derivative(name, order, x))
                if truth == 0 or not np.isfinite(truth) or abs(truth) < 1e-300:
                    continue
                ours = _error(_nested(grad, order, registry[name].function)(x), truth)
                number = torch.tensor(x, dtype=torch.float64)
                errors = (
                    _tried(truth, slope, first, order, expression, at) if expression else None
                    for first, expression, at in ((torch.func.grad, theirs, number), (jax.grad, others, x))
                )
                case = Case(f"{name}{chr(39) * order}", f"{x:g}", truth, ours, *errors)
                if worst is None or max(case.torch or 0, case.jax or 0) > max(worst.torch or 0, worst.jax or 0):
                    worst = case
            if worst is not None:
                yield worst


def _along(inner: Callable[..., Any], v: Any, total: Callable[..., Any], x: Any) -> Any:
    return total(inner(x) * v)


def _of_arrays() -> Iterator[Case]:
    """Closed forms: a derivative along a direction, of first or second order."""
    torch, jax = _libraries()
    jnp = jax.numpy
    certain, tail = np.array([40.0, 0.0]), 4.248354255291589e-18
    swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    eye, singular = np.eye(2), np.array([[1.0, 2.0], [2.0, 4.0]])
    z, d = np.array([2.0, 0.0, 0.0]), np.array([1.0, 2.0, 3.0])
    rows: list[tuple[str, str, int, Any, Any, Any, Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = [
        ("det''", "singular", 2, singular, eye, eye,
         np.linalg.det, torch.linalg.det, jnp.linalg.det),
        ("det''", "0 (2x2)", 2, np.zeros((2, 2)), eye, eye, np.linalg.det, torch.linalg.det, jnp.linalg.det),
        ("prod''", "two zeros", 2, z, d, np.array([0.0, 6.0, 4.0]), np.prod, torch.prod, jnp.prod),
        ("cumprod'", "[2, 0, 5]", 1, np.array([2.0, 0.0, 5.0]), None, np.array([1.0, 12.0, 0.0]),
         lambda x: np.sum(np.cumprod(x)), lambda x: torch.cumprod(x, 0).sum(), lambda x: jnp.sum(jnp.cumprod(x))),
        ("sum of eigvalsh cubed''", "the identity", 2, eye, swap, 6 * swap,
         lambda a: np.sum(np.linalg.eigvalsh(a) ** 3), lambda a: (torch.linalg.eigvalsh(a) ** 3).sum(),
         lambda a: jnp.sum(jnp.linalg.eigvalsh(a) ** 3)),
        ("sum of squared log eigvalsh''", "the identity", 2, eye, swap, 2 * swap,
         lambda a: np.sum(np.log(np.linalg.eigvalsh(a)) ** 2),
         lambda a: (torch.log(torch.linalg.eigvalsh(a)) ** 2).sum(),
         lambda a: jnp.sum(jnp.log(jnp.linalg.eigvalsh(a)) ** 2)),
        ("sum of fourth powers of svdvals''", "the identity", 2, eye, swap, 12 * swap,
         lambda a: np.sum(np.linalg.svdvals(a) ** 4), lambda a: (torch.linalg.svdvals(a) ** 4).sum(),
         lambda a: jnp.sum(jnp.linalg.svd(a, compute_uv=False) ** 4)),
        ("log det by eigvalsh''", "the identity", 2, eye, swap, -swap,
         lambda a: np.sum(np.log(np.linalg.eigvalsh(a))), lambda a: torch.log(torch.linalg.eigvalsh(a)).sum(),
         lambda a: jnp.sum(jnp.log(jnp.linalg.eigvalsh(a)))),
        ("orthogonality penalty by svdvals''", "the identity", 2, eye, swap, 2 * swap,
         lambda a: np.sum((np.linalg.svdvals(a) - 1) ** 2), lambda a: ((torch.linalg.svdvals(a) - 1) ** 2).sum(),
         lambda a: jnp.sum((jnp.linalg.svd(a, compute_uv=False) - 1) ** 2)),
        ("log det by svdvals''", "the identity", 2, eye, swap, -swap,
         lambda a: np.sum(np.log(np.linalg.svdvals(a))), lambda a: torch.log(torch.linalg.svdvals(a)).sum(),
         lambda a: jnp.sum(jnp.log(jnp.linalg.svd(a, compute_uv=False)))),
        ("-log_softmax[0]'", "[40, 0]", 1, certain, None, np.array([-tail, tail]),
         lambda z: -registry["log_softmax"].function(z)[0], lambda z: -torch.log_softmax(z, 0)[0],
         lambda z: -jax.nn.log_softmax(z)[0]),
        ("softmax[0]'", "[40, 0]", 1, certain, None, np.array([tail, -tail]),
         lambda z: registry["softmax"].function(z)[0], lambda z: torch.softmax(z, 0)[0],
         lambda z: jax.nn.softmax(z)[0]),
        ("logaddexp(x, x0)'", "x = x0 = 1e8", 1, np.array(1e8), None, np.array(0.5),
         lambda x: np.logaddexp(x, 1e8), lambda x: torch.logaddexp(x, torch.tensor(1e8, dtype=torch.float64)),
         lambda x: jnp.logaddexp(x, 1e8)),
        ("hypot(x, 1)''", "1e8", 2, np.array(1e8), np.array(1.0), np.array(1e-24),
         lambda x: np.hypot(x, 1.0), lambda x: torch.hypot(x, torch.tensor(1.0, dtype=torch.float64)),
         lambda x: jnp.hypot(x, 1.0)),
        ("arctan2(x, 1)''", "1e100", 2, np.array(1e100), np.array(1.0), np.array(-2e-300),
         lambda x: np.arctan2(x, 1.0), lambda x: torch.atan2(x, torch.tensor(1.0, dtype=torch.float64)),
         lambda x: jnp.arctan2(x, 1.0)),
        ("(1e200 / y)'", "1e200", 1, np.array(1e200), None, np.array(-1e-200),
         lambda y: 1e200 / y, lambda y: 1e200 / y, lambda y: 1e200 / y),
    ]  # fmt: skip
    for what, point, order, x, along, truth, ours, theirs, others in rows:
        errors: list[Any] = []
        for first, f, make, total in (
            (grad, ours, np.asarray, np.sum),
            (torch.func.grad, theirs, lambda a: torch.tensor(a, dtype=torch.float64), torch.sum),
            (jax.grad, others, jnp.asarray, jnp.sum),
        ):
            slope = first(f)
            if order == 2:
                inner = first(f)
                slope = first(partial(_along, inner, make(along), total))
            errors.append(_tried(truth, slope, make(x)))
        yield Case(what, point, float(np.max(np.abs(truth))), *errors)


def measure() -> list[Case]:
    """All cases in which PyTorch or JAX is wrong, as measured now."""
    found: list[Case] = []
    with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.suppress(KeyError):
        warnings.simplefilter("ignore")
        special.register()
        for case in (*_of_one_number(), *_of_arrays()):
            if max(case.torch or 0, case.jax or 0) > WRONG:
                found.append(case)
    return found


def page(cases: list[Case]) -> str:
    """The text of docs/rivals.md."""
    torch, jax = _libraries()

    def shown(error: float | None) -> str:
        if error is None:
            return "refused or absent"
        text = "NaN or infinite" if not np.isfinite(error) else f"{error:.1e}"
        return f"**{text}**" if error > WRONG else text

    head = f"""# Wrong elsewhere, right here

Written by `python -m autodiff.testing --rivals` from what was measured with NumPy {np.__version__}, PyTorch
{torch.__version__} and JAX {jax.__version__}, in float64. The numbers are relative errors against the truth: SymPy's
derivative with many digits, or a closed form. Listed are the {len(cases)} cases in which PyTorch or JAX loses more than
half of the digits (bold), each at the worst of the points that were tried; a refusal counts as right. Primes count the
derivatives.

| derivative | at | truth | here | PyTorch | JAX |
| --- | --- | --- | --- | --- | --- |
"""
    rows = [
        f"| `{c.what}` | {c.point} | {c.truth:.6g} | {shown(c.ours)} | {shown(c.torch)} | {shown(c.jax)} |"
        for c in cases
    ]
    return head + "\n".join(rows) + "\n"
