"""The same checks for gradients that are not ours: a bare pair of NumPy functions, PyTorch, JAX, HIPS autograd.

``check_pair`` is for whoever derives a backward pass by hand, as in a course: it says which gradient is wrong, where, and by how much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.errors import ArgumentError, GradientMismatch, require
from autodiff.testing.check import Report, _compare

__all__ = ["check_autograd", "check_jax", "check_pair", "check_torch"]


def _run(
    name: str,
    args: Sequence[Any],
    forward: Callable[[Sequence[Any]], Any],
    pull: Callable[[Sequence[Any], Any], Sequence[Any]],
    seed: int,
    raises: bool,
) -> Report:
    """Compare ``pull`` with differences of ``forward``; only float64 arrays are differentiated with respect to."""
    full = [np.asarray(a) if isinstance(a, float | list) else a for a in args]
    places = [i for i, a in enumerate(full) if isinstance(a, np.ndarray) and a.dtype == np.float64]
    if not places:
        raise ArgumentError(f"{name}: none of the inputs is a float64 array; there is nothing to differentiate")
    rng = np.random.default_rng(seed)
    out = np.asarray(forward(full))
    cotangent = rng.uniform(0.5, 1.5, out.shape) * rng.choice([-1.0, 1.0], out.shape)

    def value(arrays: Sequence[Any]) -> Any:
        given = list(full)
        for place, array in zip(places, arrays, strict=True):
            given[place] = array
        return np.sum(np.asarray(forward(given)) * cotangent)

    def gradient() -> list[Any]:
        found = pull(full, cotangent)
        if len(found) != len(full):
            raise GradientMismatch(f"{name}: the backward returned {len(found)} gradients for {len(full)} inputs (None for one without)")
        return [found[i] for i in places]

    report = Report(name, seed)
    magnitude = float(np.sum(np.abs(out * cotangent)))
    _compare(report, value, gradient, tuple(full), places, 1, magnitude if np.isfinite(magnitude) else 0.0, rng)
    if raises and report.verdict != "pass":
        raise GradientMismatch(str(report))
    return report


def check_pair(
    forward: Callable[..., Any], backward: Callable[..., Any], inputs: Sequence[Any], *, name: str | None = None, seed: int = 0, raises: bool = True
) -> Report:
    """Check a backward pass written by hand against its forward pass.

    Parameters
    ----------
    forward : callable
        ``forward(*inputs)`` returns the output, or ``(output, cache)``. Plain NumPy.
    backward : callable
        ``backward(dout, cache)`` (``backward(dout, *inputs)`` if there is no cache) returns one gradient per input, or the only one; None for an
        input without one.
    inputs : sequence
        Float64 arrays are differentiated with respect to; anything else is passed on.
    name : str, optional
    seed : int
    raises : bool

    Returns
    -------
    Report
        Its text names the argument, the index, both numbers and the difference.

    Raises
    ------
    GradientMismatch
        If a gradient is wrong.

    Examples
    --------
    >>> forward = lambda x, w: (x @ w, (x, w))
    >>> backward = lambda dout, cache: (dout @ cache[1].T, cache[0].T @ dout)
    >>> check_pair(forward, backward, [np.ones((2, 3)), np.ones((3, 4))]).verdict
    'pass'
    """

    def run(arrays: Sequence[Any]) -> tuple[Any, Any]:
        result = forward(*arrays)
        return result if isinstance(result, tuple) and len(result) == 2 else (result, None)

    def pull(arrays: Sequence[Any], cotangent: Any) -> Sequence[Any]:
        _, cache = run(arrays)
        found = backward(cotangent.copy(), *arrays) if cache is None else backward(cotangent.copy(), cache)
        return found if isinstance(found, (tuple, list)) else (found,)

    return _run(name or str(getattr(forward, "__name__", "forward")), inputs, lambda arrays: run(arrays)[0], pull, seed, raises)


def check_torch(f: Callable[..., Any], *args: Any, seed: int = 0, raises: bool = True) -> Report:
    """Check PyTorch's gradient of a function of torch tensors; arguments are NumPy arrays.

    Raises
    ------
    GradientMismatch
        If a gradient is wrong.
    MissingExtraError
        If PyTorch is not installed.
    """
    torch = require("torch")

    def tensors(arrays: Sequence[Any], tracked: bool) -> list[Any]:
        return [
            torch.tensor(np.asarray(a, np.float64), requires_grad=tracked) if isinstance(a, np.ndarray) and a.dtype.kind == "f"
            else torch.tensor(a) if isinstance(a, np.ndarray) else a
            for a in arrays
        ]  # fmt: skip

    def pull(arrays: Sequence[Any], cotangent: Any) -> Sequence[Any]:
        given = tensors(arrays, True)
        leaves = [t for t in given if hasattr(t, "requires_grad") and t.requires_grad]
        found = iter(torch.autograd.grad(f(*given), leaves, torch.tensor(cotangent), allow_unused=True))
        result = [next(found) if any(t is leaf for leaf in leaves) else None for t in given]
        return [None if g is None else g.numpy() for g in result]

    return _run(getattr(f, "__name__", "f"), args, lambda arrays: f(*tensors(arrays, False)).numpy(), pull, seed, raises)


def check_jax(f: Callable[..., Any], *args: Any, seed: int = 0, raises: bool = True) -> Report:
    """Check JAX's gradient of a function of JAX arrays; arguments are NumPy arrays. JAX must be set to 64 bits.

    Raises
    ------
    GradientMismatch
        If a gradient is wrong.
    MissingExtraError
        If JAX is not installed.
    """
    jax = require("jax")

    def pull(arrays: Sequence[Any], cotangent: Any) -> Sequence[Any]:
        places = [i for i, a in enumerate(arrays) if isinstance(a, np.ndarray) and a.dtype == np.float64]

        def of_floats(*values: Any) -> Any:
            given = list(arrays)
            for place, v in zip(places, values, strict=True):
                given[place] = v
            return f(*given)

        found = iter(jax.vjp(of_floats, *(arrays[i] for i in places))[1](jax.numpy.asarray(cotangent)))
        return [np.array(next(found), np.float64) if i in places else None for i in range(len(arrays))]

    return _run(getattr(f, "__name__", "f"), args, lambda arrays: np.asarray(f(*[_double(a) for a in arrays])), pull, seed, raises)


def check_autograd(f: Callable[..., Any], *args: Any, seed: int = 0, raises: bool = True) -> Report:
    """Check HIPS autograd's gradient of a function written with ``autograd.numpy``; arguments are NumPy arrays.

    Raises
    ------
    GradientMismatch
        If a gradient is wrong.
    MissingExtraError
        If autograd is not installed.
    """
    make_vjp = require("autograd").make_vjp

    def pull(arrays: Sequence[Any], cotangent: Any) -> Sequence[Any]:
        result: list[Any] = []
        for i, a in enumerate(arrays):
            if isinstance(a, np.ndarray) and a.dtype == np.float64:
                vjp, _ = make_vjp(f, i)(*arrays)
                result.append(np.asarray(vjp(cotangent)))
            else:
                result.append(None)
        return result

    return _run(getattr(f, "__name__", "f"), args, lambda arrays: np.asarray(f(*[_double(a) for a in arrays])), pull, seed, raises)


def _double(value: Any) -> Any:
    """Longdouble steps as float64, the widest that other libraries compute in."""
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype == np.longdouble else value
