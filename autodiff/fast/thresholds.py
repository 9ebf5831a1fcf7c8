"""Every size from which something is done another way for speed: one table, with the benchmark that made each.

``python -m autodiff.fast.thresholds`` prints the table, and for those that it can measure the size at which the other
way becomes the quicker on this machine. The values are written down, not measured at run time: results differ by
rounding between some of the ways, and a program must repeat itself to the bit.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["THRESHOLDS", "Threshold", "crossing", "main"]


@dataclass(frozen=True)
class Threshold:
    """A size, what changes there, and how it was found.

    Attributes
    ----------
    name : str
    value : int
    unit : str
        What is counted.
    what : str
        What is done from there on.
    benchmark : str
        What showed it: a part of ``python -m benchmarks``, or ``python -m benchmarks.gradbench``.
    ways : callable, optional
        ``ways(n)`` gives two functions without arguments: what is done below, and what is done from ``n`` on.
    """

    name: str
    value: int
    unit: str
    what: str
    benchmark: str
    ways: Callable[[int], tuple[Callable[[], Any], Callable[[], Any]]] | None = None


def _few(n: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    h = np.ones(n)
    return lambda: sum(h.tolist()), lambda: np.vdot(h, h)


def _in_place(n: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    held, g = np.ones(n), np.zeros(n)
    return lambda: held + g, lambda: np.add(held, g, held)


def _spread(n: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    g = np.ones(())

    def fill() -> Any:
        made = np.empty(n)
        made[...] = g
        return made

    return fill, lambda: np.broadcast_to(g, (n,))


def _product(n: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    side = max(1, round(n**0.5))
    a, b = np.ones((side, 100), np.float32), np.ones((100, side), np.float32)
    return lambda: a.dot(b), lambda: np.matmul(a, b)


def _contraction(n: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    side = max(1, round(n ** (1 / 3)))
    a, b = np.ones((side, side)), np.ones((side, side))
    return lambda: np.einsum("ij,jk->ik", a, b), lambda: np.einsum("ij,jk->ik", a, b, optimize=True)


THRESHOLDS = {
    threshold.name: threshold
    for threshold in (
        Threshold("FEW", 12, "elements", "NumPy, not Python, computes with few numbers", "overhead", _few),
        Threshold("SLOPE", 1 << 14, "elements", "the slope of tanh is computed in blocks", "solo"),
        Threshold("IN_PLACE", 1024, "elements", "a sum of gradients is added to in place", "overhead", _in_place),
        Threshold("SPREAD", 4096, "elements", "a reduction's gradient is a view, not filled", "overhead", _spread),
        Threshold("MATMUL", 1 << 14, "entries", "np.matmul, not dot, makes a product", "training", _product),
        Threshold("CONTRACTION", 1 << 15, "products", "BLAS sums an einsum of two", "gradbench", _contraction),
        Threshold("ZEROS", 1 << 15, "elements", "zeros to compare with are no longer kept", "training"),
        Threshold("PRODUCTS", 1 << 15, "elements", "einsum, not BLAS, sums products", "training"),
        Threshold("FLOAT_MASK", 1 << 16, "elements", "a dropout mask is kept as bytes, not floats", "training"),
        Threshold("DROPOUT_KERNEL", 1 << 13, "elements", "dropout goes to a kernel", "kernels"),
        Threshold("CROSS_ENTROPY", 1 << 13, "elements", "cross entropy computes in one array", "training"),
        Threshold("UNFOLD", 1 << 20, "bytes", "unfolded windows are made in parts", "solo"),
        Threshold("QUERIES", 128, "queries", "causal attention runs over blocks", "sequences"),
        Threshold("KERNEL", 1 << 16, "elements", "a kernel is taken where there is one", "kernels"),
        Threshold("KERNEL_OF_MANY", 1 << 10, "elements", "a kernel is taken for ten passes of NumPy's", "kernels"),
        Threshold("THREAD", 1 << 15, "elements", "one more thread is worth calling", "kernels"),
        Threshold("SCAN", 512, "steps", "a scan is a native loop", "gradbench"),
        Threshold("COTANGENTS", 128, "cotangents", "a Jacobian's backward passes run in chunks", "jacobians"),
    )
}


def crossing(threshold: Threshold) -> int | None:
    """The smallest power of two at which the second way is no slower on this machine; None for none up to 2**22."""
    assert threshold.ways is not None
    for power in range(23):
        first, second = threshold.ways(1 << power)
        times = [min(timeit.repeat(way, number=max(1, 20_000 >> power), repeat=5)) for way in (first, second)]
        if times[1] <= times[0]:
            return 1 << power
    return None


def main() -> None:
    """Print the table."""
    print(f"{'name':16} {'value':>9} {'here':>9}  from there on")
    for t in THRESHOLDS.values():
        here = "" if t.ways is None else str(crossing(t) or "never")
        print(f"{t.name:16} {t.value:9} {here:>9}  {t.what} ({t.unit}; benchmarks {t.benchmark})")


if __name__ == "__main__":
    main()
