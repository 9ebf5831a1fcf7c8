"""L-BFGS: a quasi-Newton method on all parameters at once, which asks a closure for losses and gradients.

Source: Nocedal, Wright, "Numerical Optimization", 2nd edition, algorithms 7.4 (two loops), 3.5 and 3.6 (a line search
for the strong Wolfe conditions), as PyTorch writes them out, tolerances included.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn, overload

import numpy as np

import autodiff
from autodiff.core.errors import ArgumentError, ShapeError
from optim.flat import Array, array_of, gradient_of, real
from optim.optimizer import NON_NEGATIVE, Optimizer, OptimizerState, Options, Parameters, T, option

__all__ = ["LBFGS"]

_POSITIVE = (lambda n: isinstance(n, int) and n > 0, "a positive int")


class LBFGS(Optimizer):
    """Limited-memory BFGS.

    A step takes up to ``max_iter`` iterations, each along an estimate of ``-H⁻¹ g`` from the last ``history_size``
    changes of the gradient. The parameters make one group.

    Parameters
    ----------
    params : iterable
        Parameters.
    lr : float
        Length of a step; where the line search begins.
    max_iter : int
        Iterations per step.
    max_eval : int, optional
        Calls of the closure per step; default ``max_iter * 5 // 4``.
    tolerance_grad, tolerance_change : float
        Stop where the largest entry of the gradient, or the change of parameters or loss, is no larger.
    line_search_fn : {None, "strong_wolfe"}

    Raises
    ------
    ArgumentError
        If an option has a value that is not allowed, there are several parameter groups, or ``step`` gets no closure.

    References
    ----------
    Liu, Nocedal, "On the limited memory BFGS method for large scale optimization", Math. Programming 45, 1989.

    Examples
    --------
    >>> import autodiff, optim
    >>> w = autodiff.tensor([-1.2, 1.0], requires_grad=True)
    >>> optimizer = optim.LBFGS([w], max_iter=100, line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> first = optimizer.step(closure)
    >>> w.data.round(4)
    array([1., 1.])
    """

    params: Parameters
    lr: float = option(default=1, allowed=NON_NEGATIVE)
    max_iter: int = option(default=20, allowed=_POSITIVE)
    max_eval: int | None = option(
        default=None, allowed=(lambda n: n is None or (isinstance(n, int) and n > 0), "None or a positive int")
    )
    tolerance_grad: float = option(default=1e-7, allowed=NON_NEGATIVE)
    tolerance_change: float = option(default=1e-9, allowed=NON_NEGATIVE)
    history_size: int = option(default=100, allowed=_POSITIVE)
    line_search_fn: str | None = option(
        default=None, allowed=(lambda name: name in (None, "strong_wolfe"), "None or 'strong_wolfe'")
    )

    def add_param_group(self, param_group: Options) -> None:
        """Refused, but for the first group: the estimate of the Hessian is of all parameters together."""
        if self.param_groups:
            raise ArgumentError("LBFGS: the parameters make one group, with one set of options")
        super().add_param_group(param_group)

    # --- parameters as one vector -------------------------------------------------------------------------------------

    def _params(self) -> list[Any]:
        return self.param_groups[0]["params"]  # type: ignore[no-any-return]

    def _gradient(self) -> Array:
        parts = []
        for p, value in zip(self._params(), self._values(), strict=True):
            g = gradient_of("LBFGS", p)
            parts.append(real(np.asarray(np.zeros_like(value) if g is None else g).reshape(-1)))
        return np.concatenate(parts)

    def _values(self) -> list[Array]:
        return list(map(array_of, self._params()))

    def _place(self, values: list[Array], t: float, d: Array) -> None:
        """Move the parameters to ``values + t d``, in new memory: a recorded graph keeps what it saw."""
        start = 0
        for p, value in zip(self._params(), values, strict=True):
            flat = real(value.reshape(-1))
            moved = flat + t * d[start : start + flat.size]
            start += flat.size
            p.data = moved.astype(flat.dtype, copy=False).view(value.dtype).reshape(value.shape)

    # --- a step -------------------------------------------------------------------------------------------------------

    @overload
    def step(self, closure: None = None) -> NoReturn: ...
    @overload
    def step(self, closure: Callable[[], T]) -> T: ...
    def step(self, closure: Callable[[], object] | None = None) -> object:
        """Take up to ``max_iter`` iterations; where ``closure`` fails, the parameters are as they were.

        Parameters
        ----------
        closure : callable
            Forgets old gradients, computes the loss and the gradients anew and returns the loss.

        Returns
        -------
        object
            The first loss that ``closure`` returned.
        """
        if closure is None:
            raise ArgumentError("LBFGS: step(closure) needs a function that computes loss and gradients anew")
        group, state = self.param_groups[0], self.state.setdefault(self._params()[0], {})
        calls, entry = 0, self._values()

        def evaluate() -> tuple[Any, float, Array]:
            nonlocal calls
            calls += 1
            try:
                with autodiff.enable_grad():
                    out = closure()
                return out, float(out.item() if hasattr(out, "item") else out), self._gradient()  # type: ignore[arg-type]
            except BaseException:
                put_back(entry)
                raise

        def put_back(values: list[Array]) -> None:
            for p, value in zip(self._params(), values, strict=True):
                p.data = value

        first, loss, g = evaluate()
        if np.abs(g).max(initial=0.0) <= group["tolerance_grad"]:
            state["func_evals"] = state.get("func_evals", 0) + calls
            return first
        most = group["max_iter"] * 5 // 4 if group["max_eval"] is None else group["max_eval"]
        d, t = state.get("d"), state.get("t", 0.0)
        changes, steps = list(state.get("old_dirs", ())), list(state.get("old_stps", ()))
        ro, scale = list(state.get("ro", ())), state.get("H_diag", 1.0)
        g_before, n = state.get("prev_flat_grad"), state.get("n_iter", 0)
        for iteration in range(1, group["max_iter"] + 1):
            n += 1
            if d is None:
                d = -g
            else:
                y, s = g - g_before, d * t
                ys = float(y @ s)
                if ys > 1e-10:
                    for held, new in ((changes, y), (steps, s), (ro, 1.0 / ys)):
                        held.append(new)
                        del held[: -group["history_size"]]
                    scale = ys / float(y @ y)
                d = _two_loops(g, changes, steps, ro, scale)
            g_before, loss_before = g, loss
            t = min(1.0, 1.0 / float(np.abs(g).sum())) * group["lr"] if n == 1 else group["lr"]
            slope = float(g @ d)
            if slope > -group["tolerance_change"]:
                break
            begin = self._values()
            if group["line_search_fn"] is None:
                self._place(begin, t, d)
                if iteration != group["max_iter"]:
                    _, loss, g = evaluate()
            else:

                def at(t: float, begin: Any = begin, d: Any = d) -> tuple[float, Array]:
                    self._place(begin, t, d)
                    _, value, gradient = evaluate()
                    put_back(begin)
                    return value, gradient

                loss, g, t = _strong_wolfe(at, t, d, loss, g, slope, most - calls)
                self._place(begin, t, d)
            if (
                calls >= most
                or np.abs(g).max(initial=0.0) <= group["tolerance_grad"]
                or np.abs(d * t).max(initial=0.0) <= group["tolerance_change"]
                or abs(loss - loss_before) < group["tolerance_change"]
            ):
                break
        state.update(
            func_evals=state.get("func_evals", 0) + calls, n_iter=n, d=d, t=t, old_dirs=changes, old_stps=steps, ro=ro,
            H_diag=scale, prev_flat_grad=g_before, prev_loss=loss_before,
        )  # fmt: skip
        self._step_count += 1
        return first

    # --- saving -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> OptimizerState:
        """Everything needed to go on exactly; see :meth:`Optimizer.state_dict`."""
        saved = super().state_dict()
        for held in saved["state"].values():
            for name in ("old_dirs", "old_stps"):
                held[name] = np.array(held.get(name, ()))
            held["ro"] = list(held.get("ro", ()))
        return saved

    def _load(self, given: dict[str, Any]) -> None:
        held = dict(next(iter(given["state"].values()), {}))
        total = sum(real(value.reshape(-1)).size for value in self._values())
        known = {"func_evals", "n_iter", "d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad"}
        known |= {"prev_loss", "al"}
        if set(held) - known:
            raise ArgumentError(f"LBFGS: the state dict holds {sorted(set(held) - known)}: it is another optimiser's")
        state: dict[str, Any] = {}
        for name, value in held.items():
            if name in ("d", "prev_flat_grad") and value is not None:
                state[name] = _vector(name, value, total)
            elif name in ("old_dirs", "old_stps") and value is not None:
                state[name] = [_vector(name, one, total) for one in value]
            elif name in ("func_evals", "n_iter"):
                state[name] = int(value)
            elif name == "ro" and value is not None:
                state[name] = [float(one) for one in value]
            elif name in ("t", "H_diag", "prev_loss") and value is not None:
                state[name] = float(value)
        super()._load({"state": {}, "param_groups": given["param_groups"]})
        self.state = {self._params()[0]: state} if state else {}


def _vector(name: str, value: Any, total: int) -> Array:
    array = np.array(np.asarray(value.detach() if hasattr(value, "detach") else value))
    if array.shape != (total,):
        raise ShapeError(f"LBFGS: {name} has shape {array.shape}; the parameters have {total} elements")
    return array


def _two_loops(g: Array, changes: list[Array], steps: list[Array], ro: list[float], scale: float) -> Array:
    """``-H⁻¹ g`` with the estimate of H that the changes of the gradient along the steps give."""
    q = -g
    factors = [0.0] * len(ro)
    for i in reversed(range(len(ro))):
        factors[i] = float(steps[i] @ q) * ro[i]
        q = q - factors[i] * changes[i]
    r: Array = q * scale
    for i in range(len(ro)):
        r = r + steps[i] * (factors[i] - float(changes[i] @ r) * ro[i])
    return r


def _cubic(a: tuple[float, float, float], b: tuple[float, float, float], low: float, high: float) -> float:
    """Where the cubic through two points, each ``(t, value, slope)``, is least, between ``low`` and ``high``."""
    (t1, f1, g1), (t2, f2, g2) = (a, b) if a[0] <= b[0] else (b, a)
    d1 = g1 + g2 - 3 * (f1 - f2) / (t1 - t2)
    square = d1 * d1 - g1 * g2
    if not square >= 0:
        return (low + high) / 2
    d2 = math.sqrt(square)
    below = g2 - g1 + 2 * d2
    least = t2 - (t2 - t1) * ((g2 + d2 - d1) / below) if below else math.inf
    return min(max(least, low), high)


def _strong_wolfe(
    at: Callable[[float], tuple[float, Array]], t: float, d: Array, f: float, g: Array, slope: float, most: int
) -> tuple[float, Array, float]:
    """A step length with ``f(t) <= f + c1 t f'`` and ``|f'(t)| <= c2 |f'|``; the value and the gradient there."""
    c1, c2, least_change = 1e-4, 0.9, 1e-9
    largest = np.abs(d).max()
    # Points are (t, value, slope, gradient).
    start = before = (0.0, f, slope, g)

    def point(t: float) -> tuple[float, float, float, Array]:
        value, gradient = at(t)
        return t, value, float(gradient @ d), gradient

    new, count, bracket, done = point(t), 0, [start], False
    # Far enough that the bracket holds a good point?
    while count < most:
        if new[1] > f + c1 * new[0] * slope or (count > 1 and new[1] >= before[1]):
            bracket = [before, new]
            break
        if abs(new[2]) <= -c2 * slope:
            bracket, done = [new], True
            break
        if new[2] >= 0:
            bracket = [before, new]
            break
        far = _cubic(before[:3], new[:3], new[0] + 0.01 * (new[0] - before[0]), new[0] * 10)
        before, new = new, point(far)
        count += 1
    else:
        bracket = [start, new]
    # Closer, until it is found.
    stuck = False
    low, high = (0, -1) if bracket[0][1] <= bracket[-1][1] else (-1, 0)
    while not done and count < most:
        ends = sorted((bracket[0][0], bracket[1][0]))
        if (ends[1] - ends[0]) * largest < least_change:
            break
        t = _cubic(bracket[0][:3], bracket[1][:3], *ends)
        margin = 0.1 * (ends[1] - ends[0])
        if min(ends[1] - t, t - ends[0]) < margin:
            if stuck or t >= ends[1] or t <= ends[0]:
                t = ends[1] - margin if abs(t - ends[1]) < abs(t - ends[0]) else ends[0] + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        new = point(t)
        count += 1
        if new[1] > f + c1 * t * slope or new[1] >= bracket[low][1]:
            bracket[high] = new
            low, high = (0, -1) if bracket[0][1] <= bracket[1][1] else (-1, 0)
            continue
        if abs(new[2]) <= -c2 * slope:
            done = True
        elif new[2] * (bracket[high][0] - bracket[low][0]) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = new
    t, f, _, g = bracket[low]
    return f, g, t
