"""Chains of elementwise operations, loss and gradient: where NumPy writes every intermediate result to memory and a
compiler need not.

Four expressions, each by hand with fresh arrays, by hand in place over buffers made beforehand, with this library
eagerly and compiled (with loops compiled by numba where it is installed, and in NumPy alone), and with PyTorch,
torch.compile and JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import rivals
from benchmarks.harness import Candidate, Contest, Target
from benchmarks.targets import COMPILED, JITTED

__all__ = ["contests"]

SIZES = (4_096, 65_536, 1_048_576)
LAYERS = 4
SCANS = 3
ROOT = np.float32(0.7978845608)
CUBIC = np.float32(0.044715)


@dataclass(frozen=True)
class Case:
    """An expression of arrays of one shape; its sum is the loss.

    Parameters
    ----------
    name : str
    function : callable
        Of a namespace with NumPy's names and the arrays; returns what is summed.
    arrays : tuple of ndarray
    varied : int
        The gradient is taken for so many of the arrays, the first ones.
    by_hand, in_place : callable
        Of the arrays: the loss and the gradients. The second is a class that makes its buffers when it is made.
    """

    name: str
    function: Callable[..., Any]
    arrays: tuple[Any, ...]
    varied: int
    by_hand: Callable[..., Any]
    in_place: Callable[..., Any]


# --- tanh(h w + b), four times ----------------------------------------------------------------------------------------


def tanh_chain(xp: Any, x: Any, w: Any, b: Any) -> Any:
    """Four layers with a weight for every element."""
    for _ in range(LAYERS):
        x = xp.tanh(x * w + b)
    return x


def tanh_chain_by_hand(x: Any, w: Any, b: Any) -> Any:
    """As a user would write it."""
    held = [x]
    for _ in range(LAYERS):
        held.append(np.tanh(held[-1] * w + b))
    g, gw, gb = np.ones_like(x), np.zeros_like(w), np.zeros_like(b)
    for i in range(LAYERS, 0, -1):
        g = g * (1 - held[i] * held[i])
        gb += g
        gw += g * held[i - 1]
        g = g * w
    return held[-1].sum(), g, gw, gb


class TanhChainInPlace:
    """The same without a temporary."""

    def __init__(self, x: Any, w: Any, b: Any) -> None:
        self.held = [np.empty_like(x) for _ in range(LAYERS)]
        self.g, self.gw, self.gb, self.t = (np.empty_like(x) for _ in range(4))

    def __call__(self, x: Any, w: Any, b: Any) -> Any:
        g, gw, gb, t = self.g, self.gw, self.gb, self.t
        h = x
        for out in self.held:
            np.multiply(h, w, out)
            np.add(out, b, out)
            h = np.tanh(out, out)
        loss = h.sum()
        g.fill(1)
        gw.fill(0)
        gb.fill(0)
        for i in range(LAYERS - 1, -1, -1):
            np.multiply(self.held[i], self.held[i], t)
            np.subtract(1, t, t)
            np.multiply(g, t, g)
            np.add(gb, g, gb)
            np.multiply(g, self.held[i - 1] if i else x, t)
            np.add(gw, t, gw)
            np.multiply(g, w, g)
        return loss, g, gw, gb


# --- GELU -------------------------------------------------------------------------------------------------------------


def gelu(xp: Any, x: Any, g: Any) -> Any:
    """GELU by tanh, each element weighted."""
    return 0.5 * x * (1 + xp.tanh(0.7978845608 * (x + 0.044715 * x * x * x))) * g


def gelu_by_hand(x: Any, g: Any) -> Any:
    """As a user would write it."""
    t = np.tanh(ROOT * (x + CUBIC * x * x * x))
    y = 0.5 * x * (1 + t)
    slope = 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * ROOT * (1 + 3 * CUBIC * x * x)
    return (y * g).sum(), g * slope, y


class GeluInPlace:
    """The same without a temporary."""

    def __init__(self, x: Any, g: Any) -> None:
        self.t, self.s, self.y, self.d = (np.empty_like(x) for _ in range(4))

    def __call__(self, x: Any, g: Any) -> Any:
        t, s, y, d = self.t, self.s, self.y, self.d
        np.multiply(x, x, s)
        np.multiply(s, CUBIC, t)
        np.add(t, 1, t)
        np.multiply(t, x, t)
        np.multiply(t, ROOT, t)
        np.tanh(t, t)
        np.multiply(t, t, d)
        np.subtract(1, d, d)
        np.multiply(s, 3 * CUBIC, s)
        np.add(s, 1, s)
        np.multiply(d, s, d)
        np.multiply(d, x, d)
        np.multiply(d, ROOT, d)
        np.add(t, 1, t)
        np.add(d, t, d)
        np.multiply(d, 0.5, d)
        np.multiply(d, g, d)
        np.multiply(t, x, y)
        np.multiply(y, 0.5, y)
        np.multiply(y, g, t)
        return t.sum(), d, y


# --- logistic loss ----------------------------------------------------------------------------------------------------


def logistic(xp: Any, w: Any, b: Any, x: Any, y: Any) -> Any:
    """Cross-entropy of labels 0 and 1 with the scores w x + b."""
    z = w * x + b
    return xp.relu(z) - z * y + xp.log1p(xp.exp(-xp.abs(z)))


def logistic_by_hand(w: Any, b: Any, x: Any, y: Any) -> Any:
    """As a user would write it who knows that the derivative is ``sigmoid(z) - y``."""
    z = w * x + b
    loss = (np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))).sum()
    d = 1 / (1 + np.exp(-z)) - y
    return loss, d * x, d


class LogisticInPlace:
    """The same without a temporary."""

    def __init__(self, w: Any, b: Any, x: Any, y: Any) -> None:
        self.z, self.t, self.l, self.d = (np.empty_like(x) for _ in range(4))

    def __call__(self, w: Any, b: Any, x: Any, y: Any) -> Any:
        z, t, l, d = self.z, self.t, self.l, self.d  # noqa: E741
        np.multiply(w, x, z)
        np.add(z, b, z)
        np.maximum(z, 0, out=l)
        np.multiply(z, y, t)
        np.subtract(l, t, l)
        np.abs(z, t)
        np.negative(t, t)
        np.exp(t, t)
        np.log1p(t, t)
        np.add(l, t, l)
        np.negative(z, d)
        np.exp(d, d)
        np.add(d, 1, d)
        np.divide(1, d, d)
        np.subtract(d, y, d)
        np.multiply(d, x, t)
        return l.sum(), t, d


# --- Kalman filter ----------------------------------------------------------------------------------------------------


def kalman(xp: Any, q: Any, r: Any, *scans: Any) -> Any:
    """Squared innovations of one-dimensional Kalman filters, one per element, by the variances q of the motion and r of
    the measurement.
    """
    mean, variance, total = 0 * q, 1 + 0 * q, 0
    for z in scans:
        variance = variance + q
        gain = variance / (variance + r)
        surprise = z - mean
        mean = mean + gain * surprise
        variance = (1 - gain) * variance
        total = total + surprise * surprise
    return total


def kalman_by_hand(q: Any, r: Any, *scans: Any) -> Any:
    """As a user would write it."""
    mean, variance, total, held = np.zeros_like(q), np.ones_like(q), np.zeros_like(q), []
    for z in scans:
        variance = variance + q
        s = variance + r
        gain = variance / s
        surprise = z - mean
        held.append((variance, s, gain, surprise))
        mean = mean + gain * surprise
        variance = (1 - gain) * variance
        total += surprise * surprise
    gm, gv, gq, gr = (np.zeros_like(q) for _ in range(4))
    for variance, s, gain, surprise in reversed(held):
        g = gm * surprise - gv * variance
        ge = 2 * surprise + gm * gain
        gs = -g * gain / s
        gv = gv * (1 - gain) + g / s + gs
        gm = gm - ge
        gr += gs
        gq += gv
    return total.sum(), gq, gr


class KalmanInPlace:
    """The same without a temporary."""

    def __init__(self, q: Any, r: Any, *scans: Any) -> None:
        self.held = [[np.empty_like(q) for _ in range(4)] for _ in scans]
        self.m, self.v, self.total, self.t, self.u, self.g, self.gm, self.gv, self.gq, self.gr = (
            np.empty_like(q) for _ in range(10)
        )

    def __call__(self, q: Any, r: Any, *scans: Any) -> Any:
        m, v, total, t, u, g, gm, gv = self.m, self.v, self.total, self.t, self.u, self.g, self.gm, self.gv
        m.fill(0)
        v.fill(1)
        total.fill(0)
        for z, (variance, s, gain, surprise) in zip(scans, self.held, strict=True):
            np.add(v, q, variance)
            np.add(variance, r, s)
            np.divide(variance, s, gain)
            np.subtract(z, m, surprise)
            np.multiply(gain, surprise, t)
            np.add(m, t, m)
            np.subtract(1, gain, t)
            np.multiply(t, variance, v)
            np.multiply(surprise, surprise, t)
            np.add(total, t, total)
        for array in (gm, gv, self.gq, self.gr):
            array.fill(0)
        for variance, s, gain, surprise in reversed(self.held):
            np.multiply(gm, surprise, g)
            np.multiply(gv, variance, t)
            np.subtract(g, t, g)
            np.divide(g, s, t)
            np.multiply(t, gain, u)
            np.add(t, gv, t)
            np.multiply(gv, gain, gv)
            np.subtract(t, gv, gv)
            np.subtract(gv, u, gv)
            np.subtract(self.gr, u, self.gr)
            np.add(self.gq, gv, self.gq)
            np.multiply(gm, gain, t)
            np.subtract(gm, t, gm)
            np.multiply(surprise, 2, t)
            np.subtract(gm, t, gm)
        return total.sum(), self.gq, self.gr


# --- everybody --------------------------------------------------------------------------------------------------------


def _cases(size: int) -> Iterator[Case]:
    rng = np.random.default_rng(0)
    draw = lambda n: tuple(rng.uniform(-0.9, 0.9, size).astype(np.float32) for _ in range(n))
    yield Case("tanh chain", tanh_chain, draw(3), 3, tanh_chain_by_hand, TanhChainInPlace)
    yield Case("GELU", gelu, draw(2), 2, gelu_by_hand, GeluInPlace)
    labels = (rng.random(size) < 0.5).astype(np.float32)
    yield Case("logistic loss", logistic, (*draw(3), labels), 2, logistic_by_hand, LogisticInPlace)
    variances = tuple(rng.uniform(0.1, 1, size).astype(np.float32) for _ in range(2))
    yield Case("Kalman filter", kalman, (*variances, *draw(SCANS)), 2, kalman_by_hand, KalmanInPlace)


class _Numpy:
    """NumPy's names for functions of Tensors."""

    tanh, exp, log1p, abs = np.tanh, np.exp, np.log1p, np.abs

    @staticmethod
    def relu(x: Any) -> Any:
        return np.maximum(x, 0)


def _flat(value: Any) -> list[Any]:
    loss, gradients = value
    return [loss, *gradients]


def ours(case: Case) -> list[Candidate]:
    """This library: eager, compiled, and compiled without numba; and jitted."""
    import autodiff
    from autodiff import kernels

    function = (
        case.function
    )  # the case itself holds the arrays, and a compiled step may not reach its arguments by another way, too

    def loss(*arrays: Any) -> Any:
        return function(_Numpy, *arrays).sum()

    eager = autodiff.value_and_grad(loss, argnums=tuple(range(case.varied)))
    found = [Candidate("autodiff", lambda: eager(*case.arrays), lambda: _flat(eager(*case.arrays)))]
    compiled = autodiff.compile(eager)
    for _ in range(3):
        compiled(*case.arrays)
    found.append(Candidate(COMPILED, lambda: compiled(*case.arrays), lambda: _flat(compiled(*case.arrays))))
    alone = autodiff.compile(eager)

    def run() -> Any:
        before = kernels.use("numpy")
        result = alone(*case.arrays)
        kernels.use(before)
        return result

    found.append(Candidate(f"{COMPILED}, NumPy alone", run, lambda: _flat(run())))
    jitted = autodiff.jit(eager)
    found.append(Candidate(JITTED, lambda: jitted(*case.arrays), lambda: _flat(jitted(*case.arrays))))
    return found


def _torch(case: Case, compiled: bool) -> Candidate:
    t = rivals.torch()
    arrays = [t.from_numpy(array.copy()) for array in case.arrays]
    leaves = [array.requires_grad_() for array in arrays[: case.varied]]
    loss = lambda *values: case.function(t, *values).sum()
    call = rivals.torch_compile(loss) if compiled else loss

    def run() -> Any:
        for leaf in leaves:
            leaf.grad = None
        out = call(*arrays)
        out.backward()
        return out

    def result() -> list[Any]:
        return [run().detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]

    return Candidate("torch.compile" if compiled else "PyTorch", run, result)


def _jax(case: Case) -> Candidate:
    j = rivals.jax()

    class Names:
        tanh, exp, log1p, abs, relu = j.numpy.tanh, j.numpy.exp, j.numpy.log1p, j.numpy.abs, j.nn.relu

    arrays = [j.numpy.asarray(array) for array in case.arrays]
    both = j.jit(
        j.value_and_grad(lambda *values: case.function(Names, *values).sum(), argnums=tuple(range(case.varied)))
    )
    run = lambda: j.block_until_ready(both(*arrays))
    return Candidate("JAX jit", run, lambda: _flat(run()))


def contest(case: Case, quick: bool) -> Contest:
    """Everybody on one expression at one size."""
    size = case.arrays[0].size
    in_place = case.in_place(*case.arrays)
    fresh, careful = (lambda: case.by_hand(*case.arrays)), (lambda: in_place(*case.arrays))
    made = Contest(
        "chains",
        f"{case.name}, {size:,} elements",
        [Candidate("NumPy by hand", fresh, fresh), Candidate("NumPy in place", careful, careful), *ours(case)],
        reference="NumPy by hand",
        baseline="NumPy in place",
        targets=[
            Target(name, ratio, JITTED)
            for name, ratio in (("NumPy in place", 0.95), ("torch.compile", 1.0), ("JAX jit", 1.0))
        ],
        series=case.name,
        size=float(size),
    )
    makers: list[Any] = [("PyTorch", lambda: _torch(case, False)), ("JAX jit", lambda: _jax(case))]
    if not quick:  # its compiler takes longer than everything else together
        makers.insert(1, ("torch.compile", lambda: _torch(case, True)))
    return rivals.join(made, *makers)


def contests(quick: bool = False) -> Iterator[Contest]:
    """One contest per expression and size."""
    for size in SIZES[:1] if quick else SIZES:
        for case in _cases(size):
            yield contest(case, quick)
