"""Ordinary differential equations, differentiable in the state, the times and the parameters:
``autodiff.integrate.odeint``.

SciPy's own offers no protocol, and its steps are inside compiled code. Here the steps are recorded operations of a
fixed tableau (Dormand and Prince 1980): the gradient is the exact derivative of the solution that was computed,
whatever its tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.ops import shaping
from autodiff.ops.common import bare
from autodiff.ops.shaping import _tensor

__all__ = ["odeint"]

# Dormand and Prince 1980, RK5(4)7M: nodes, stages, and the difference between the fifth-order and the embedded
# fourth-order solution.
_NODES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    args: Sequence[Any] = (),
    *,
    rtol: float = 1e-8,
    atol: float = 1e-8,
    mxstep: int = 10_000,
    tfirst: bool = False,
) -> Any:
    """Integrate ``dy/dt = func(y, t, *args)``, with the arguments of ``scipy.integrate.odeint``.

    Parameters
    ----------
    func : callable
        ``func(y, t, *args)`` gives dy/dt, of y's shape; written with NumPy, it sees Tensors. ``func(t, y, *args)`` with
        ``tfirst``.
    y0 : array_like or Tensor
        State at ``t[0]``, of any shape.
    t : (k,) array_like or Tensor
        Times at which the state is wanted, increasing or decreasing.
    args : sequence
        Further arguments of ``func``: arrays, Tensors or anything else.
    rtol, atol : float
        The estimated error of each step stays below ``atol + rtol * |y|`` (root mean square over the components).
    mxstep : int
        The most steps between two times.
    tfirst : bool

    Returns
    -------
    Tensor (k, *y0.shape)
        Differentiable in ``y0``, ``t``, Tensors among ``args``, and Tensors that ``func`` closes over.

    Raises
    ------
    ShapeError
        If ``t`` is not one axis, or ``func`` returns another shape.
    ArgumentError
        If the times do not run one way, a tolerance is not positive, or ``mxstep`` steps do not suffice (a stiff or
        exploding system).

    Notes
    -----
    Explicit and adaptive, of order five; for stiff systems it takes very many steps. Every step stays in the graph:
    wrap ``func`` or the whole call in :func:`autodiff.checkpoint` where memory is short. Step sizes are fractions of
    the intervals between times, decided on the numbers alone.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> rate = autodiff.tensor(0.5, requires_grad=True)
    >>> y = odeint(lambda y, t, k: -k * y, 1.0, [0.0, 2.0], args=(rate,))
    >>> y[-1].backward()
    >>> bool(abs(y[-1].item() - np.exp(-1.0)) < 1e-7), bool(abs(rate.grad + 2 * np.exp(-1.0)) < 1e-6)
    (True, True)
    """
    times, state = _tensor(t), _tensor(y0)
    if times.ndim != 1 or not times.size:
        raise ShapeError(f"odeint: t must be one axis of times, got shape {times.shape}")
    gaps = np.diff(times.data)
    if not (np.all(gaps > 0) or np.all(gaps < 0)):
        raise ArgumentError("odeint: the times must increase or decrease throughout")
    if rtol <= 0 or atol <= 0:
        raise ArgumentError(f"odeint: tolerances must be positive, got rtol={rtol}, atol={atol}")
    if state.dtype.kind not in "fc":
        state = state.astype(float)
    if times.dtype.kind != "f":
        times = times.astype(float)

    def slope(y: Any, time: Any) -> Any:
        result = _tensor(func(time, y, *args) if tfirst else func(y, time, *args))
        if result.shape != y.shape:
            raise ShapeError(f"odeint: func returned shape {result.shape} for a state of shape {y.shape}")
        return result

    states, fraction = [state], None
    for i in range(times.size - 1):
        state, fraction = _interval(slope, state, times[i], times[i + 1] - times[i], fraction, rtol, atol, mxstep)
        states.append(state)
    return shaping.stack(states)


def _interval(
    slope: Callable[[Any, Any], Any],
    y: Any,
    start: Any,
    length: Any,
    guess: float | None,
    rtol: float,
    atol: float,
    mxstep: int,
) -> tuple[Any, float]:
    """Integrate over one interval; ``guess`` is the first step to try and the result's second part the last one taken,
    both in time.
    """
    span = abs(float(length.data))
    first = slope(y, start)
    step = _first_step(y, first, rtol, atol) if guess is None else guess
    done = 0.0
    for _ in range(mxstep):
        share = min(step / span, 1.0 - done)
        # A last step that would leave a crumb takes it along.
        share = 1.0 - done if 1.0 - done - share < 1e-9 else share
        h, time = length * share, start + length * done
        slopes = [first]
        for weights, node in zip(_STAGES, _NODES[1:], strict=True):
            after = y + h * _combined(weights, slopes)
            slopes.append(slope(after, time + h * node))
        size = atol + rtol * np.maximum(np.abs(y.data), np.abs(after.data))
        error = abs(float(h.data)) * np.abs(_combined(_ERROR, [k.data for k in slopes]))
        wrong = float(np.sqrt(np.mean((error / size) ** 2))) if error.size else 0.0
        if wrong <= 1.0:
            # The last stage is the slope at the end of the step: the next step's first.
            y, first, done = after, slopes[-1], done + share
            if done >= 1.0:
                return y, step
        step = (
            share
            * span
            * (
                min(5.0, max(0.2, 0.9 * wrong**-0.2))
                if np.isfinite(wrong) and wrong > 0
                else 5.0
                if wrong == 0
                else 0.2
            )
        )
    raise ArgumentError(
        f"odeint: {mxstep} steps reach only {done:.3g} of the interval of length {span:.6g}; the system is stiff or its"
        " solution explodes: loosen rtol and atol, or raise mxstep"
    )


def _combined(weights: Sequence[float], slopes: Sequence[Any]) -> Any:
    total = None
    for weight, k in zip(weights, slopes, strict=True):
        if weight:
            total = weight * k if total is None else total + weight * k
    return total


def _first_step(y: Any, slope: Any, rtol: float, atol: float) -> float:
    """Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, section II.4, less its second
    evaluation.
    """
    size = atol + rtol * np.abs(y.data)
    height, rate = (float(np.sqrt(np.mean((np.abs(bare(part)) / size) ** 2))) if y.size else 0.0 for part in (y, slope))
    return 0.01 * height / rate if height > 1e-5 and rate > 1e-5 else 1e-6
