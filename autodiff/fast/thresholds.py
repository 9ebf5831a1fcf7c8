"""Every size from which something is done another way for speed: one table, with the benchmark that made each.

The values are written down, not measured at run time: results differ by rounding between some of the ways, and a
program must repeat itself to the bit. ``python -m benchmarks.thresholds`` measures them all anew on this machine;
``AUTODIFF_THRESHOLDS=MATMUL=8192,FEW=4`` sets some of them for a process. Measured on one core of a Xeon with AVX-512
and 2 MiB of second-level cache, NumPy 2 with OpenBLAS.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from autodiff.core.errors import ArgumentError

__all__ = ["THRESHOLDS", "Threshold", "main"]


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
        What is done from there on, give or take one.
    benchmark : str
        What showed it: a part of ``python -m benchmarks``, or another program in ``benchmarks/``.
    block : bool
        The size of a piece in which larger work is done, rather than a size from which on.
    """

    name: str
    value: int
    unit: str
    what: str
    benchmark: str
    block: bool = False


_TABLE = (
    # operations
    Threshold("FEW", 12, "elements", "NumPy, not Python, computes with few numbers", "overhead"),
    Threshold("IN_PLACE", 1024, "elements", "a sum of gradients is added to in place", "overhead"),
    Threshold("SPREAD", 4096, "elements", "a reduction's gradient is a view, not filled", "overhead"),
    Threshold("MATMUL", 1 << 14, "entries", "np.matmul, not dot, makes a product", "training"),
    Threshold("CONTRACTION", 1 << 15, "products", "BLAS sums an einsum of two", "gradbench"),
    Threshold("SHORT_SUMS", 64, "rows", "sums of two to seven numbers are made by columns", "adbench"),
    Threshold("SLOPE", 1 << 14, "elements", "the slope of tanh is computed in blocks", "solo", block=True),
    Threshold("NORMAL", 1 << 15, "elements", "the normal distribution is computed in blocks", "solo", block=True),
    Threshold("NODES", 1 << 16, "numbers", "the nodes of a panel are summed one after another", "solo"),
    # networks
    Threshold("ZEROS", 1 << 15, "elements", "zeros to compare with are no longer kept", "training"),
    Threshold("PRODUCTS", 1 << 15, "elements", "einsum, not BLAS, sums products", "training"),
    Threshold("FLOAT_MASK", 1 << 16, "elements", "a dropout mask is kept as bytes, not floats", "training"),
    Threshold("CROSS_ENTROPY", 1 << 13, "elements", "cross entropy computes in one array", "training"),
    Threshold("LONG_ROWS", 64, "classes", "the largest of each row is found without turning them", "training"),
    Threshold("UNFOLD", 1 << 20, "bytes", "unfolded windows are made in parts", "solo", block=True),
    Threshold("QUERIES", 128, "queries", "causal attention runs over blocks", "sequences", block=True),
    # optimisers
    Threshold("STEP", 1 << 15, "elements", "an optimiser's formula runs over blocks", "training", block=True),
    Threshold("ALONE", 1 << 14, "elements", "a parameter is a vector of its own in a step", "training"),
    Threshold("MESSAGE", 1 << 20, "elements", "gradients travel between processes in parts", "parallel", block=True),
    # kernels
    Threshold("DROPOUT_KERNEL", 1 << 13, "elements", "dropout goes to a kernel", "kernels"),
    Threshold("KERNEL", 1 << 16, "elements", "a kernel is taken where there is one", "kernels"),
    Threshold("KERNEL_OF_MANY", 1 << 10, "elements", "a kernel is taken for ten passes of NumPy's", "kernels"),
    Threshold("THREAD", 1 << 15, "elements", "one more thread is worth calling", "kernels"),
    Threshold("IMAGES", 1 << 15, "elements", "small images are worked on in parts", "kernels", block=True),
    Threshold("WINDOWS", 160, "terms", "a correlation's sums are made in parts", "kernels", block=True),
    # compiled steps
    Threshold("CHAIN", 1 << 15, "elements", "elementwise calls become a native loop, times calls squared", "chains"),
    Threshold("LEASED", 1 << 21, "bytes", "a result takes memory that is used again", "memory"),
    Threshold("SCAN", 512, "steps", "a scan is a native loop, or one of plan calls", "gradbench"),
    Threshold("SCANNED", 1 << 12, "elements", "a scan with such an array in its body is Python's", "gradbench"),
    # derivatives and solvers
    Threshold("COTANGENTS", 128, "cotangents", "a Jacobian's backward passes run in chunks", "jacobians", block=True),
    Threshold("COLOURS", 20_000_000, "entries", "colours are pushed in chunks", "jacobians", block=True),
    Threshold("SPARSE", 64, "unknowns", "a sparse Jacobian is looked for", "thresholds"),
    Threshold("DENSE", 512, "unknowns", "no dense Jacobian is made", "thresholds"),
    Threshold("FULL_JACOBIANS", 24, "unknowns", "no Jacobians are held for the way back of an ODE", "thresholds"),
    Threshold("EXACT_JACOBIAN", 100, "unknowns", "SciPy's differences, not the exact Jacobian", "thresholds"),
)


def _chosen() -> dict[str, Threshold]:
    table = {threshold.name: threshold for threshold in _TABLE}
    for part in filter(None, os.environ.get("AUTODIFF_THRESHOLDS", "").split(",")):
        name, _, value = part.partition("=")
        if name.strip() not in table or not value.strip().isdecimal():
            raise ArgumentError(
                "the environment variable AUTODIFF_THRESHOLDS must hold NAME=NUMBER, with names of"
                f" autodiff.fast.thresholds, got {part!r}"
            )
        table[name.strip()] = replace(table[name.strip()], value=int(value))
    return table


THRESHOLDS = _chosen()


def main() -> None:
    """Print the table."""
    print(f"{'name':16} {'value':>9}  from there on, or in pieces of it")
    for t in THRESHOLDS.values():
        print(f"{t.name:16} {t.value:9}  {t.what} ({t.unit}; benchmarks {t.benchmark})")


if __name__ == "__main__":
    main()
