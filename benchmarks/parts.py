"""The parts of the benchmarks: what each shows, at how many threads it runs, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PARTS", "Part"]


@dataclass(frozen=True)
class Part:
    """One benchmark.

    Parameters
    ----------
    title, about : str
        The heading on the page and the sentences under it.
    threads : tuple of int
        Thread counts, each run in a process of its own; one where a second thread has nothing to do.
    seconds : float
        Time per case, after results were compared and everything is warm.
    limit : float
        Seconds after which the part is stopped; what it measured until then counts.
    """

    title: str
    about: str
    threads: tuple[int, ...] = (1,)
    seconds: float = 3.0
    limit: float = 120.0


PARTS: dict[str, Part] = {
    "overhead": Part(
        "One elementwise operation",
        "`h = tanh(h * w + b)` ten times over, forward and backward to all three inputs, float32; time per operation"
        " (thirty of them). By hand that is three NumPy calls forward and seven backward.",
        seconds=4,
    ),
    "scalar_chain": Part(
        "Scalars",
        "micrograd's own ground: Python numbers, forward and backward, the garbage collector on; time per operation.",
        seconds=4,
    ),
    "training": Part(
        "A training step",
        "Forward, softmax loss, backward and Adam, float32. CS231n: its six-layer network, 3072-100-100-100-100-100-10"
        " on inputs of CIFAR-10's size, batch 100. Small: 64-32-32-10, batch 32, where an engine's own cost shows."
        " Dropout draws fresh masks. JAX runs the whole step under one `jit`, `torch.compile` model and loss,"
        " `autodiff, compiled` the whole step under `autodiff.compile`.",
        threads=(1, 2),
        seconds=6,
        limit=480,
    ),
    "interpreter": Part(
        "The interpreter's work in a training step",
        "Bytecode instructions of CPython in one step of the networks above, once warm: counted, so no load on the"
        " machine changes them. What PyTorch, JAX and NumPy do in compiled code is not among them. `python -m"
        " benchmarks.interpreter` lists the functions that they are of.",
        limit=120,
    ),
    "solo": Part(
        "A training step, each in a process of its own",
        "The same networks, but every figure from a fresh process that runs nothing else. In one process with others,"
        " glibc's allocator stops mapping large temporaries afresh once anybody has freed one, which spares the"
        " textbook its page faults; alone it pays for them. Both are true, of different situations; a script sees this"
        " one. `malloc tuned`: the same program under the two variables that `python -m autodiff.performance` prints.",
        limit=300,
    ),
    "kernels": Part(
        "Kernels",
        "Forward and backward of single operations at the sizes that networks give them, float32; Adam: one step."
        " `autodiff` has numba's kernels where the extra `fast` is installed and the arrays are large enough;"
        " `autodiff, NumPy alone` has them switched off.",
        threads=(1, 2),
        seconds=3,
        limit=300,
    ),
    "chains": Part(
        "Chains of elementwise operations",
        "Four expressions of arrays, loss and gradient, float32: where NumPy writes every intermediate result to memory"
        " and a compiler need not. `autodiff, compiled` has loops compiled by numba where it is installed, `autodiff,"
        " compiled, NumPy alone` goes block by block.",
        seconds=2,
        limit=360,
    ),
    "sequences": Part(
        "Models of sequences",
        "Recurrent layers, single steps, causal attention and embedding, forward and backward, float32, against the"
        " same call composed of elementary operations.",
        threads=(1, 2),
        seconds=1,
        limit=420,
    ),
    "programs": Part(
        "Training steps of whole programs",
        "A transformer block, LeNet, derivatives within a loss, and a table of a million rows, float32: a step with"
        " forward, backward and optimiser, the same lines in both libraries.",
        seconds=3,
        limit=240,
    ),
    "transforms": Part(
        "Transforms of functions",
        "Forward mode, nested modes and batches of examples, float64, against a loop of our own or NumPy by hand.",
        seconds=2,
        limit=120,
    ),
    "jacobians": Part("Jacobians and Hessians", "Whole matrices of derivatives, float32.", seconds=2, limit=120),
    "adbench": Part(
        "ADBench",
        "Gaussian mixtures, a recurrent network, bundle adjustment and hand tracking (Srajer, Kukelova, Fitzgibbon,"
        " arXiv 1807.10129), float64: whole derivatives.",
        seconds=3,
        limit=240,
    ),
    "gradbench": Part(
        "GradBench",
        "GradBench's other tasks, float64: a derivative each. `det`, `particle` and `saddle` are numbers and decisions"
        " by value, which `jit` and JAX cannot trace.",
        seconds=2,
        limit=240,
    ),
    "graphs": Part(
        "Growth of time",
        "By depth: forward and backward through a chain of scalar operations, time per node. By width (batch 64) and by"
        " batch (width 128): a training step of a network with two hidden layers of that width.",
        seconds=2,
        limit=480,
    ),
    "growth": Part(
        "Growth of gradients",
        "Time and memory of a gradient by the size of every task of GradBench, and of gradients made of many parts, in"
        " a process of its own for every candidate and task. `det` by the number of its products.",
        limit=900,
    ),
    "costs": Part(
        "First calls, and the collector",
        "The first call of a step under `autodiff.compile` runs eagerly and is traced; the second writes code, and so"
        " do a few after it. `h = h * w + b` of Python numbers, forward and backward, beside libraries that fill the"
        " heap which Python's collector walks.",
        limit=240,
    ),
    "memory": Part(
        "Memory",
        "A graph's bytes and a process's peak are the growth of its resident memory, in a process of its own for every"
        " candidate and size, after a small run has loaded and warmed up the library. Arrays within a step are counted"
        " to the byte as NumPy takes them.",
        limit=480,
    ),
}
