"""Averages of a model's parameters over a run, with equal weights (SWA) or exponential ones (EMA).

Names and arithmetic are those of ``torch.optim.swa_utils``.

A model is anything with ``parameters``, ``buffers``, ``state_dict`` and ``load_state_dict``: any ``nn.Module``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol

import numpy as np

from autodiff import Tensor, no_grad
from autodiff.core.errors import ArgumentError
from optim.optimizer import HasGroups, Network
from optim.schedules import Schedule, check, check_choice, numbers_per_group

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Net = TypeVar("Net", bound=Network, covariant=True, default=Network)
else:
    from typing import TypeVar

    Net = TypeVar("Net", covariant=True)

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

P = ParamSpec("P")
Result = TypeVar("Result", covariant=True)
Average = Callable[[Any, Any, int], Any]
Averages = Callable[[list[Any], list[Any], int], None]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """``decay * average + (1 - decay) * parameter``, for :class:`AveragedModel`.

    Raises
    ------
    ArgumentError
        If ``decay`` does not lie in [0, 1].

    Examples
    --------
    >>> get_ema_avg_fn(0.75)(4.0, 0.0, 1)
    3.0
    """
    if not 0.0 <= decay <= 1.0:
        raise ArgumentError(f"get_ema_avg_fn: decay must lie in [0, 1], got {decay}")
    return lambda average, parameter, number: decay * average + (1 - decay) * parameter


def get_swa_avg_fn() -> Average:
    """``average + (parameter - average) / (number + 1)``: the mean of all that have been seen.

    Examples
    --------
    >>> get_swa_avg_fn()(4.0, 1.0, 2)
    3.0
    """
    return lambda average, parameter, number: average + (parameter - average) / (number + 1)


def _of_all(average: Average) -> Averages:
    def update(averaged: list[Any], parameters: list[Any], number: int) -> None:
        pairs = list(zip(averaged, parameters, strict=True))
        found = [np.asarray(average(a._array, p._array, number)).astype(a.dtype) for a, p in pairs]
        for a, value in zip(averaged, found, strict=True):
            a.data = value

    return update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Averages:
    """:func:`get_ema_avg_fn` of lists of parameters, written into the first.

    Examples
    --------
    >>> import autodiff
    >>> averages = [autodiff.tensor(4.0)]
    >>> get_ema_multi_avg_fn(0.75)(averages, [autodiff.tensor(0.0)], 1); averages
    [tensor(3.)]
    """
    return _of_all(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Averages:
    """:func:`get_swa_avg_fn` of lists of parameters, written into the first.

    Examples
    --------
    >>> import autodiff
    >>> averages = [autodiff.tensor(4.0)]
    >>> get_swa_multi_avg_fn()(averages, [autodiff.tensor(1.0)], 2); averages
    [tensor(3.)]
    """
    return _of_all(get_swa_avg_fn())


class _Forwards(Network, Protocol[P, Result]):
    def forward(self, *args: P.args, **kwargs: P.kwargs) -> Result: ...


class _Call:
    """For type checkers: the averages are called with what the model's ``forward`` takes."""

    def __get__(self, averaged: AveragedModel[_Forwards[P, Result]], owner: object) -> Callable[P, Result]:
        raise NotImplementedError


class AveragedModel(Generic[Net]):
    """A copy of a model that holds averages of its parameters, and is called as the model is.

    Parameters
    ----------
    model : object
        Copied.
    device : None
        Models live on the CPU.
    avg_fn : callable, optional
        ``(average, parameter, number of averaged models) -> new average``. Default: the mean of all.
    multi_avg_fn : callable, optional
        ``(averages, parameters, number)``, lists of Tensors, writes into the first.
    use_buffers : bool
        Average buffers, too; else they are the model's latest ones.

    Attributes
    ----------
    module : object
        The copy.
    n_averaged : int

    Raises
    ------
    ArgumentError
        If both functions are given, or the model is none.

    Examples
    --------
    >>> import nn, optim
    >>> net = nn.Linear(1, 1)
    >>> ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    >>> for value in (1.0, 2.0):
    ...     net.weight.data = np.full((1, 1), value, np.float32)
    ...     ema.update_parameters(net)
    >>> ema.module.weight.item(), ema.n_averaged
    (1.100000023841858, 2)
    """

    def __init__(
        self,
        model: Net,
        device: None = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Averages | None = None,
        use_buffers: bool = False,
    ) -> None:
        if avg_fn is not None and multi_avg_fn is not None:
            raise ArgumentError("AveragedModel: give avg_fn or multi_avg_fn, not both")
        if not all(hasattr(model, name) for name in ("parameters", "buffers", "state_dict", "load_state_dict")):
            raise ArgumentError(f"AveragedModel: needs a model, such as an nn.Module, got a {type(model).__name__}")
        for average in (avg_fn, multi_avg_fn):
            if average is not None and not callable(average):
                raise ArgumentError(f"AveragedModel: an average is a function, got {average!r}")
        self.module: Net = deepcopy(model)
        self.n_averaged = 0
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    if TYPE_CHECKING:
        __call__: _Call
    else:

        def __call__(self, *args: object, **kwargs: object) -> object:
            return self.module(*args, **kwargs)

    @property
    def _copy(self) -> Any:
        return self.module

    def update_parameters(self, model: Network) -> None:
        """Take the model's present parameters into the averages; the first ones are the averages.

        Raises
        ------
        ArgumentError
            If the model has other parameters or buffers than the copy. Nothing has been changed then.
        """
        if [a.shape for a in _tensors(self.module, True)] != [p.shape for p in _tensors(model, True)]:
            raise ArgumentError("AveragedModel: the model's parameters or buffers are not those of the averages")
        averaged, current = _tensors(self.module, self.use_buffers), _tensors(model, self.use_buffers)
        with no_grad():
            if self.n_averaged == 0:
                for a, p in zip(averaged, current, strict=True):
                    a.data = p._array.copy()
            else:
                update = self.multi_avg_fn or _of_all(self.avg_fn or get_swa_avg_fn())
                update(averaged, current, self.n_averaged)
            if not self.use_buffers:
                for a, p in zip(self.buffers(), model.buffers(), strict=True):  # type: ignore[attr-defined]
                    a.data = p._array.copy()
        self.n_averaged += 1

    def parameters(self) -> Iterator[Tensor]:
        """The averages."""
        return self._copy.parameters()  # type: ignore[no-any-return]

    def buffers(self) -> Iterator[Tensor]:
        """The copy's buffers."""
        return self._copy.buffers()  # type: ignore[no-any-return]

    def modules(self) -> Iterator[Network]:
        """The copy and its submodules."""
        return self._copy.modules()  # type: ignore[no-any-return]

    @property
    def training(self) -> bool:
        """Whether the copy behaves as in training."""
        return self._copy.training  # type: ignore[no-any-return]

    def train(self, mode: bool = True) -> AveragedModel:
        """Training behaviour of the copy."""
        self.module.train(mode)
        return self

    def eval(self) -> AveragedModel:
        """Evaluation behaviour of the copy."""
        return self.train(False)

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """``n_averaged`` and the copy's state, under PyTorch's keys."""
        state = {f"module.{name}": array for name, array in self._copy.state_dict().items()}
        return {"n_averaged": np.array(self.n_averaged), **state}

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Take over what :meth:`state_dict` gave.

        Raises
        ------
        ArgumentError
            If it is no averaged model's.
        """
        if "n_averaged" not in state_dict:
            raise ArgumentError("AveragedModel: the state dict has no 'n_averaged'")
        prefix, number = "module.", int(state_dict["n_averaged"])  # type: ignore[call-overload]
        self.module.load_state_dict(
            {name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)}
        )
        self.n_averaged = number


def _tensors(model: Any, buffers: bool) -> list[Any]:
    return list(itertools.chain(model.parameters(), model.buffers() if buffers else ()))


def update_bn(loader: Iterable[object], model: Network, device: None = None) -> None:
    """Running statistics of a model's batch normalisations anew, as means over all batches of ``loader``; where a batch
    fails, they are as they were.

    Parameters
    ----------
    loader : iterable
        Batches, or lists and tuples whose first entry is one.
    model : object
    device : None

    Examples
    --------
    >>> import nn
    >>> net = nn.BatchNorm1d(1)
    >>> update_bn([np.full((2, 1), 3.0, np.float32), np.full((2, 1), 5.0, np.float32)], net)
    >>> net.running_mean.data
    array([4.], dtype=float32)
    """
    net: Any = model
    norms = [
        m
        for m in net.modules()
        if hasattr(m, "reset_running_stats") and m.track_running_stats and getattr(m, "counts_batches", True)
    ]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    was_training = net.training
    before = [(tensor, tensor._array) for norm in norms for tensor in norm.buffers()]
    model.train()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        with no_grad():
            for batch in loader:
                net(batch[0] if isinstance(batch, list | tuple) else batch)
    except BaseException:
        for tensor, array in before:
            tensor.data = array
        raise
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(was_training)


class SWALR(Schedule):
    """From the present rate to ``swa_lr`` within ``anneal_epochs`` steps, and there it stays.

    Parameters
    ----------
    swa_lr : float or list of float
    anneal_strategy : {"cos", "linear"}

    References
    ----------
    Izmailov et al., "Averaging weights leads to wider optima and better generalization", arXiv 1803.05407.
    """

    _example = ('swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear"', 3, "[1.0, 0.75, 0.5, 0.5]")

    def __init__(
        self,
        optimizer: HasGroups,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        self._attach(optimizer)
        check_choice("SWALR: anneal_strategy", anneal_strategy, "cos", "linear")
        check(
            isinstance(anneal_epochs, int) and anneal_epochs >= 0,
            f"SWALR: anneal_epochs must be an int >= 0, got {anneal_epochs!r}",
        )
        for group, rate in zip(
            optimizer.param_groups, numbers_per_group("SWALR swa_lr", optimizer, swa_lr), strict=True
        ):
            group["swa_lr"] = rate
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _part(self, step: int) -> float:
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self.anneal_strategy == "cos" else t

    def get_lr(self) -> list[float]:
        """A mean of the first rate, recovered from the present one, and the last."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._part(step - 1), self._part(step)
        rates = []
        for group in self.optimizer.param_groups:
            last = group["swa_lr"]
            first = last if before == 1 else (group["lr"] - before * last) / (1 - before)
            rates.append(last * now + first * (1 - now))
        return rates
