"""Every size of ``autodiff.fast.thresholds`` anew, on this machine: ``python -m benchmarks.thresholds [NAME]``.

For a size from which on something is done another way, a call of each size is timed in two fresh processes: in one the
threshold is out of reach, in the other everything is beyond it. Given is the size at which the other way becomes the
quicker. For the size of a piece, one large call is timed with pieces of several sizes, and the quickest is given. Write
what you find to be better into the table, with the benchmark that it shows in.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import timeit
from collections.abc import Callable
from typing import Any

import numpy as np

import autodiff as ad
import optim
from autodiff.fast.thresholds import THRESHOLDS
from nn import functional as F

Call = Callable[[], Any]

#: Thresholds that one process of this machine cannot show, and why.
NOT_HERE = {
    "MESSAGE": "it takes several processes under MPI",
    "THREAD": "it takes two cores that are free: python -m benchmarks --threads 2 kernels",
    "LEASED": "it saves page faults, which depend on what came before: python -m benchmarks memory",
}


def _leaf(*shape: int, dtype: Any = np.float32) -> Any:
    return ad.tensor(np.random.default_rng(0).normal(size=shape).astype(dtype), requires_grad=True)


def _both_ways(function: Callable[..., Any], *leaves: Any) -> Call:
    seed = np.ones(function(*leaves).shape, leaves[0].dtype)

    def run() -> None:
        function(*leaves).backward(seed)
        for leaf in leaves:
            leaf.grad = None

    return run


def _side(n: int, power: float = 0.5) -> int:
    return max(1, round(n**power))


def _step(sizes: list[int]) -> Call:
    leaves = [_leaf(size) for size in sizes]
    for leaf in leaves:
        leaf.grad = np.ones(leaf.shape, np.float32)
    return optim.SGD(leaves, lr=1e-9, momentum=0.9).step


def _loss(n: int, classes: int) -> Call:
    targets = np.arange(max(2, n // classes)) % classes
    return _both_ways(lambda z: F.cross_entropy(z, targets), _leaf(len(targets), classes))


def _dropout(n: int) -> Call:
    generator = np.random.default_rng(0)
    return _both_ways(lambda x: F.dropout(x, 0.5, generator=generator), _leaf(n))


def _chain(n: int) -> Call:
    x = _leaf(n)

    @ad.compile
    def step() -> None:
        (np.tanh(x * 2 + 1) * np.exp(-x) / (1 + x * x)).sum().backward()
        x.grad = None

    step()
    return step


def _scan(n: int) -> Call:
    xs = np.linspace(0.5, 1.0, 2 * n).reshape(n, 2)
    slope = ad.grad(lambda c: ad.scan(lambda c, x: (np.tanh(c * x), c), c, xs)[0].sum())
    return lambda: slope(np.ones(2))


def _scanned(n: int) -> Call:
    steps = np.linspace(0.5, 1.0, THRESHOLDS["SCAN"].value)
    slope = ad.grad(lambda c: ad.scan(lambda c, x: (np.tanh(c * x), None), c, steps)[0].sum())
    return lambda: slope(np.ones(n))


def _jacobian(n: int) -> Call:
    w, x = np.random.default_rng(0).normal(size=(n, 30)), np.ones(30)
    jacobian = ad.jacrev(lambda x: np.tanh(w @ x))
    return lambda: jacobian(x)


def _banded(n: int) -> Call:
    x = np.linspace(0.0, 1.0, n)
    jacobian = ad.sparse_jacobian(lambda x: np.sin(x[1:] * x[:-1]))
    jacobian(x)
    return lambda: jacobian(x)


def _root(n: int) -> Call:
    from autodiff import implicit

    c = np.linspace(1.0, 2.0, n)
    slope = ad.grad(lambda c: implicit.root(lambda x, c: x**3 + x - c, np.ones(n), (c,)).x.sum())
    return lambda: slope(c)


def _ode(method: str) -> Callable[[int], Call]:
    def case(n: int) -> Call:
        from autodiff.integrate import solve_ivp

        k = np.linspace(0.5, 1.0, n)
        slope = ad.grad(lambda k: solve_ivp(lambda t, y: -k * y, (0.0, 1.0), np.ones(n), method=method).y[:, -1].sum())
        return lambda: slope(k)

    return case


def _pooling(n: int) -> Call:
    return _both_ways(lambda x: F.max_pool2d(x, 2), _leaf(max(1, n // 64), 1, 8, 8))


def _convolution(n: int) -> Call:
    return _both_ways(
        lambda x, w: F.conv2d(x, w, padding=1), _leaf(8, 8, _side(n // 256), _side(n // 256)), _leaf(8, 8, 3, 3)
    )


def _attention(n: int) -> Call:
    x = _leaf(2, 2, n, 16)
    return _both_ways(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True), x)


#: ``CASES[name](n)`` is a call that does what the threshold is about, at the size n.
CASES: dict[str, Callable[[int], Call]] = {
    "FEW": lambda n: _both_ways(np.tanh, _leaf(n, dtype=np.float64)),
    "IN_PLACE": lambda n: _both_ways(lambda x: (lambda y: y * 2 + y * 3 + y * 4 + y * 5)(x * 1.5), _leaf(n)),
    "SPREAD": lambda n: _both_ways(np.sum, _leaf(n)),
    "MATMUL": lambda n: _both_ways(F.linear, _leaf(_side(n), 100), _leaf(_side(n), 100)),
    "SHORT_SUMS": lambda n: _both_ways(lambda x: np.sum(x, axis=1), _leaf(n, 3)),
    "CONTRACTION": lambda n: _both_ways(
        lambda a, b: np.einsum("ij,jk->ik", a, b),
        _leaf(_side(n, 1 / 3), _side(n, 1 / 3)),
        _leaf(_side(n, 1 / 3), _side(n, 1 / 3)),
    ),
    "SLOPE": lambda n: _both_ways(np.tanh, _leaf(n)),
    "NORMAL": lambda n: _both_ways(F.gelu, _leaf(n)),
    "NODES": lambda n: (lambda x, slope: lambda: slope(2.0, x))(
        np.linspace(0.1, 3.0, _side(n, 0.6)), ad.grad(lambda a, x: ad.special.gammainc(a, x).sum())
    ),
    "ZEROS": lambda n: _both_ways(F.relu, _leaf(n)),
    "PRODUCTS": lambda n: _both_ways(lambda x: F.batch_norm(x, None, None, training=True), _leaf(max(2, n // 32), 32)),
    "FLOAT_MASK": _dropout,
    "CROSS_ENTROPY": lambda n: _loss(n, 10),
    "LONG_ROWS": lambda n: _loss(256 * n, n),
    "UNFOLD": _convolution,
    "QUERIES": _attention,
    "STEP": lambda n: _step([n]),
    "ALONE": lambda n: _step([n] * 6),
    "DROPOUT_KERNEL": _dropout,
    "KERNEL": lambda n: _both_ways(F.gelu, _leaf(n)),
    "KERNEL_OF_MANY": lambda n: _both_ways(lambda x: F.layer_norm(x, 32), _leaf(max(1, n // 32), 32)),
    "IMAGES": _pooling,
    "WINDOWS": _convolution,
    "CHAIN": lambda n: _chain(max(1, n // 100)),
    "SCAN": _scan,
    "SCANNED": _scanned,
    "COTANGENTS": _jacobian,
    "COLOURS": _banded,
    "SPARSE": _root,
    "DENSE": _root,
    "FULL_JACOBIANS": _ode("DOP853"),
    "EXACT_JACOBIAN": _ode("Radau"),
}

#: The largest size at which a call still takes well under a second.
_MOST = {"DENSE": 1 << 10, "SPARSE": 1 << 10, "FULL_JACOBIANS": 1 << 8, "EXACT_JACOBIAN": 1 << 8, "COTANGENTS": 1 << 12}
_MOST |= {"QUERIES": 1 << 11, "LONG_ROWS": 1 << 11, "COLOURS": 1 << 14}
_REACHED, _OUT_OF_REACH = 1, 1 << 60


def measured(name: str, sizes: list[int], value: int | None = None, quick: bool = False) -> list[float]:
    """Seconds that the call of each size takes in a fresh process, where the threshold is ``value``."""
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    if value is not None:
        env["AUTODIFF_THRESHOLDS"] = f"{name}={value}"
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "benchmarks.thresholds",
        "--child",
        name,
        json.dumps(sizes),
        str(quick),
    ]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    times: list[float] = json.loads(done.stdout)
    return times


def _child(name: str, sizes: list[int], quick: bool) -> list[float]:
    times = []
    for size in sizes:
        call = CASES[name](size)
        call()
        number = 1 if quick else max(1, int(0.02 / max(1e-7, timeit.timeit(call, number=1))))
        times.append(min(timeit.repeat(call, number=number, repeat=1 if quick else 5)) / number)
    return times


def found(name: str) -> int | None:
    """The size that is best on this machine, a power of two; None where the other way is never the quicker."""
    threshold = THRESHOLDS[name]
    most = _MOST.get(name, 1 << 21)
    near = [n for n in (1 << k for k in range(23)) if threshold.value // 16 <= n <= min(16 * threshold.value, most)]
    if threshold.block:
        pieces = near[::2]
        times = [measured(name, [near[-1]], piece)[0] for piece in pieces]
        return pieces[int(np.argmin(times))]
    below, beyond = (measured(name, near, value) for value in (_OUT_OF_REACH, _REACHED))
    quicker = [other <= one for one, other in zip(below, beyond, strict=True)]
    return next((n for k, n in enumerate(near) if all(quicker[k:])), None)


def main() -> None:
    """Print the table with what is best here."""
    if sys.argv[1:2] == ["--child"]:
        name, sizes, quick = sys.argv[2:]
        print(json.dumps(_child(name, json.loads(sizes), quick == "True")))
        return
    print(f"{'name':16} {'value':>9} {'here':>9}  from there on, or in pieces of it", flush=True)
    for name, t in THRESHOLDS.items():
        if not sys.argv[1:] or name in sys.argv[1:]:
            here = "-" if name in NOT_HERE else str(found(name) or "never")
            said = NOT_HERE.get(name, f"{t.what} ({t.unit}; benchmarks {t.benchmark})")
            print(f"{name:16} {t.value:9} {here:>9}  {said}", flush=True)


if __name__ == "__main__":
    main()
