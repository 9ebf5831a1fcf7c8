"""Learning-rate schedules with PyTorch's names, arguments and arithmetic.

A schedule sets ``group["lr"]`` of every parameter group when it is made, and again at every :meth:`~Schedule.step`,
which comes after the optimiser's step or at the end of an epoch. Most multiply the present rate (PyTorch's chainable
form), so that two schedules on one optimiser combine, and rounding is PyTorch's to the last bit.
"""

from __future__ import annotations

import inspect
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from autodiff.arguments import checked
from autodiff.core.errors import ArgumentError, GraphError
from autodiff.docstrings import Derived, completed

if TYPE_CHECKING:
    from autodiff.signatures import ArrayLike
    from optim.optimizer import HasGroups

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "Schedule",
    "SequentialLR",
    "StepLR",
]


def check(good: bool, message: str) -> None:
    """Refuse an option of a schedule."""
    if not good:
        raise ArgumentError(message)


def check_choice(option: str, value: str, *allowed: str) -> None:
    """Refuse a word that is not one of those allowed."""
    check(value in allowed, f"{option} must be {' or '.join(map(repr, allowed))}, got {value!r}")


def check_counts(name: str, **counts: Any) -> None:
    """Refuse options that are no positive integers."""
    for option, value in counts.items():
        check(_whole(value) and value > 0, f"{name}: {option} must be a positive int, got {value!r}")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def per_group(name: str, optimizer: Any, value: Any) -> list[Any]:
    """One value for every parameter group."""
    groups = len(optimizer.param_groups)
    if isinstance(value, (list, tuple)):
        check(len(value) == groups, f"{name}: got {len(value)} values for {groups} parameter groups")
        return list(value)
    return [value] * groups


def numbers_per_group(name: str, optimizer: Any, value: Any) -> list[Any]:
    """One finite number for every parameter group, none of them negative."""
    values = per_group(name, optimizer, value)
    check_numbers(name, **{f"value {i}": v for i, v in enumerate(values)})
    return values


def check_numbers(name: str, **values: Any) -> None:
    """Refuse options that are NaN, infinite, negative or no numbers."""
    for option, value in values.items():
        good = hasattr(value, "__float__") and 0 <= value < math.inf
        check(good, f"{name}: {option} must be finite and not negative, got {value!r}")


def _momenta(name: str, optimizer: Any, low: Any, high: Any) -> tuple[list[Any], list[Any]]:
    """The lowest and the highest momentum of every group."""
    check(
        not {"betas", "momentum"}.isdisjoint(optimizer.param_groups[0]),
        f"{name}: {type(optimizer).__name__} has neither momentum nor betas; pass cycle_momentum=False",
    )
    lows, highs = (numbers_per_group(f"{name} {w}_momentum", optimizer, v) for w, v in (("base", low), ("max", high)))
    return lows, highs


def _begin_momenta(optimizer: Any, lows: list[Any], highs: list[Any]) -> None:
    """Groups hold their momenta at the beginning, and start high."""
    for group, least, most in zip(optimizer.param_groups, lows, highs, strict=False):
        _set_momentum(group, most)
        group["max_momentum"], group["base_momentum"] = most, least


def _set_momentum(group: dict[str, Any], value: float) -> None:
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


class Schedule:
    """Base of the schedules: counts steps and hands new rates to the optimiser.

    Parameters
    ----------
    optimizer : Optimizer
        Or anything with ``param_groups``.
    last_epoch : int
        -1 to begin; a later number to go on where another schedule stopped (the groups then hold ``"initial_lr"``).

    Attributes
    ----------
    base_lrs : list of float
        The rates of the groups at the start.
    last_epoch : int
        How many steps were taken.

    Raises
    ------
    ArgumentError
        If the first argument is no optimiser, or an option is not allowed.
    """

    #: What state_dict() leaves out.
    _not_saved: tuple[str, ...] = ("optimizer",)
    #: Of the example in its docstring: the arguments, how many steps, and the rates from 1.0 on.
    _example: ClassVar[tuple[str, int, str] | None] = None

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls) and cls.__module__ == __name__:
            cls.__init__ = checked(cls.__init__)  # type: ignore[method-assign]
        written = cls.__doc__ or ""
        cls.__doc__ = Derived(lambda kind: _doc(kind, written))  # type: ignore[assignment]

    def __init__(self, optimizer: HasGroups, last_epoch: int = -1) -> None:
        self._attach(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            check(
                "initial_lr" in group,
                f"{self._name}: parameter group {i} has no 'initial_lr'; use last_epoch=-1 for a new run",
            )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _attach(self, optimizer: Any) -> None:
        check(
            hasattr(optimizer, "param_groups"),
            f"{self._name}: the first argument is an optimizer, got {type(optimizer).__name__}",
        )
        self.optimizer = optimizer

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def get_lr(self) -> list[float]:
        """The rates for ``last_epoch``, one per group, computed from the present ones."""
        raise NotImplementedError(f"{self._name} defines no get_lr")

    def _closed_form(self) -> list[float]:
        """The rates for ``last_epoch``, computed from the base rates."""
        return self.get_lr()

    def get_last_lr(self) -> list[float]:
        """The rates that were set last, one per group."""
        return list(self._last_lr)

    def step(self) -> None:
        """Count one step and set the rates; where that fails, all is as it was."""
        kept, groups = self._kept(), [dict(group) for group in self.optimizer.param_groups]
        try:
            self._advance()
        except BaseException:
            self._restore(kept)
            for group, held in zip(self.optimizer.param_groups, groups, strict=True):
                group.update(held)
            raise

    def _kept(self) -> dict[str, Any]:
        """What a step may change of the schedule."""
        return dict(self.__dict__)

    def _restore(self, kept: dict[str, Any]) -> None:
        """Take back what a step changed."""
        self.__dict__.update(kept)

    def _advance(self) -> None:
        """Count one step and set the rates."""
        self._step_count += 1
        self.last_epoch += 1
        self._set(self.get_lr())

    def _undo(self) -> None:
        """Take the count of a step back (used by :class:`SequentialLR`)."""
        self.last_epoch -= 1

    def _restart(self) -> None:
        """Set the rates of the beginning, whatever the present ones are (used by :class:`SequentialLR`)."""
        self.last_epoch = 0
        self._set(self._closed_form())

    def _set(self, rates: Sequence[float]) -> None:
        for i, rate in enumerate(rates):
            if not 0 <= rate < math.inf:  # a message takes longer to make than the step
                raise ArgumentError(f"{self._name}: the rate of group {i} became {rate} at step {self.last_epoch}")
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self._rates()

    def state_dict(self) -> dict[str, object]:
        """Everything but the optimiser (and functions); plain numbers, lists and dicts."""
        return {key: _copied(value) for key, value in self.__dict__.items() if key not in self._not_saved}

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Take over what :meth:`state_dict` gave. The rates themselves are in the optimiser's state.

        Raises
        ------
        ArgumentError
            If it is another schedule's.
        """
        self._check_state(state_dict)
        self.__dict__.update({key: _copied(value) for key, value in state_dict.items()})

    def _check_state(self, state_dict: Mapping[str, object]) -> None:
        check(isinstance(state_dict, Mapping), f"{self._name}: a state is a dict, got a {type(state_dict).__name__}")
        unknown = set(state_dict) - set(self.__dict__)
        missing = set(self.__dict__) - set(state_dict) - set(self._not_saved)
        check(
            not unknown and not missing,
            f"{self._name}: not its state: unknown {sorted(unknown)}, missing {sorted(missing)}",
        )

    def __repr__(self) -> str:
        return f"{self._name}(last_epoch={self.last_epoch}, lr={self._last_lr})"


#: What the options mean, where a schedule does not say otherwise.
WORDS = """\
optimizer : Optimizer
    Or anything with ``param_groups``.
gamma : float
    The factor.
total_iters : int
    How many steps it takes.
eta_min : float
    The lowest rate.
cycle_momentum : bool
    Move ``momentum`` (or ``betas[0]``) from ``max_momentum`` to ``base_momentum`` and back.
base_momentum, max_momentum : float or list of float
lr_lambda : callable or list of callable
    Step number to factor; one for all groups, or one each. Not part of the state_dict.
last_epoch : int
    -1 to begin; a later number to go on where another schedule stopped.""".splitlines()
_RAISES = ["ArgumentError", "    If an option has a value that is not allowed."]


def _doc(cls: type[Schedule], written: str) -> str:
    """A schedule's docs: its own words, and those that all share."""
    parameters = dict(list(inspect.signature(cls.__init__).parameters.items())[1:])
    otherwise = {name: str(p.annotation) for name, p in parameters.items()}
    parts = {"Parameters": WORDS, "Raises": _RAISES}
    if cls._example is not None:
        arguments, steps, rates = cls._example
        home = "swa_utils" if cls.__module__.endswith("swa_utils") else "lr_scheduler"
        parts["Examples"] = [
            ">>> import autodiff, optim",
            ">>> optimizer = optim.SGD([autodiff.tensor([1.0], requires_grad=True)], lr=1.0)",
            f">>> schedule = optim.{home}.{cls.__name__}(optimizer, {arguments})",
            ">>> rates = schedule.get_last_lr()",
            f">>> for _ in range({steps}):",
            "...     optimizer.step(); schedule.step(); rates += schedule.get_last_lr()",
            ">>> [round(rate, 4) for rate in rates]",
            rates,
        ]
    return completed(written, parameters, parts, otherwise)


def _copied(value: Any) -> Any:
    return [_copied(v) for v in value] if isinstance(value, list) else dict(value) if isinstance(value, dict) else value


class _Chainable(Schedule):
    """One that multiplies the present rate: to begin anew is to begin from the base rates."""

    def _restart(self) -> None:
        self.last_epoch = 0
        self._set(self.base_lrs)
        self._is_initial = True
        self._set(self.get_lr())
        self._is_initial = False


class _ByFunctions(Schedule):
    """One whose rates come from functions of the step, one for each group."""

    _not_saved = ("optimizer", "lr_lambdas")

    def __init__(
        self, optimizer: Any, lr_lambda: Callable[[int], float] | list[Callable[[int], float]], last_epoch: int = -1
    ) -> None:
        self._attach(optimizer)
        self.lr_lambdas: list[Callable[[int], float]] = per_group(self._name, optimizer, lr_lambda)
        for factor in self.lr_lambdas:
            check(callable(factor), f"{self._name}: lr_lambda is a function of the step, got {type(factor).__name__}")
        super().__init__(optimizer, last_epoch)


class LambdaLR(_ByFunctions):
    """The base rate times ``lr_lambda(step)``."""

    _example = ("lambda step: 1 / (1 + step)", 1, "[1.0, 0.5]")

    def get_lr(self) -> list[float]:
        """``base_lr * lr_lambda(last_epoch)``."""
        return [base * factor(self.last_epoch) for factor, base in zip(self.lr_lambdas, self.base_lrs, strict=True)]


class MultiplicativeLR(_ByFunctions):
    """The present rate times ``lr_lambda(step)``."""

    _example = ("lambda step: 0.5", 2, "[1.0, 0.5, 0.25]")

    def get_lr(self) -> list[float]:
        """The present rate, times the factor of this step."""
        if self._is_initial:
            return self._rates()
        return [rate * factor(self.last_epoch) for factor, rate in zip(self.lr_lambdas, self._rates(), strict=True)]


class PolynomialLR(_Chainable):
    """The base rate times ``(1 - step / total_iters)^power``, and 0 from ``total_iters`` on."""

    _example = ("total_iters=4", 1, "[1.0, 0.75]")

    def __init__(self, optimizer: HasGroups, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        check_counts("PolynomialLR", total_iters=total_iters)
        check_numbers("PolynomialLR", power=power)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rate, times what this step adds to the polynomial."""
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._rates()
        left = 1 - self.last_epoch / self.total_iters
        factor = (left / (1 - (self.last_epoch - 1) / self.total_iters)) ** self.power
        return [rate * factor for rate in self._rates()]


class StepLR(_Chainable):
    """The rate times ``gamma`` every ``step_size`` steps."""

    _example = ("step_size=2, gamma=0.5", 4, "[1.0, 1.0, 0.5, 0.5, 0.25]")

    def __init__(self, optimizer: HasGroups, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        check_counts("StepLR", step_size=step_size)
        check_numbers("StepLR", gamma=gamma)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rate, times ``gamma`` at multiples of ``step_size``."""
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return self._rates()
        return [rate * self.gamma for rate in self._rates()]


class MultiStepLR(_Chainable):
    """The rate times ``gamma`` at every milestone.

    Parameters
    ----------
    milestones : iterable of int
        Step numbers; one that is given twice counts twice.
    """

    _example = ("milestones=[1, 3], gamma=0.1", 3, "[1.0, 0.1, 0.1, 0.01]")

    def __init__(
        self, optimizer: HasGroups, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        check(
            not _whole(milestones), f"MultiStepLR: milestones is a list of ints, got {milestones}; write [{milestones}]"
        )
        self.milestones = sorted(milestones)
        check(all(map(_whole, self.milestones)), f"MultiStepLR: milestones must be ints, got {self.milestones}")
        check_numbers("MultiStepLR", gamma=gamma)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rate, times ``gamma`` once per milestone at this step."""
        times = Counter(self.milestones)[self.last_epoch]
        return [rate * self.gamma**times for rate in self._rates()] if times else self._rates()


class ExponentialLR(_Chainable):
    """The rate times ``gamma`` at every step."""

    _example = ("gamma=0.5", 3, "[1.0, 0.5, 0.25, 0.125]")

    def __init__(self, optimizer: HasGroups, gamma: float, last_epoch: int = -1) -> None:
        check_numbers("ExponentialLR", gamma=gamma)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rate times ``gamma``."""
        return self._rates() if self._is_initial else [rate * self.gamma for rate in self._rates()]


class ConstantLR(Schedule):
    """The rate times ``factor`` for the first ``total_iters`` steps, then whole.

    Parameters
    ----------
    factor : float
        In [0, 1].
    """

    _example = ("factor=0.5, total_iters=2", 3, "[0.5, 0.5, 1.0, 1.0]")

    def __init__(
        self, optimizer: HasGroups, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        check(0 <= factor <= 1, f"ConstantLR: factor must lie in [0, 1], got {factor!r}")
        check_numbers("ConstantLR", total_iters=total_iters)
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rate, times ``factor`` at the start and divided by it at the end."""
        if self.last_epoch == 0:
            return [rate * self.factor for rate in self._rates()]
        if self.last_epoch != self.total_iters:
            return self._rates()
        # From 0 no factor leads back.
        return [rate * (1.0 / self.factor) for rate in self._rates()] if self.factor else list(self.base_lrs)

    def _closed_form(self) -> list[float]:
        return [
            base * (self.factor + (self.last_epoch >= self.total_iters) * (1 - self.factor)) for base in self.base_lrs
        ]


class LinearLR(_Chainable):
    """A factor that goes from ``start_factor`` to ``end_factor`` in ``total_iters`` equal steps: warm-up, or cool-down.

    Parameters
    ----------
    start_factor : float
        In (0, 1].
    end_factor : float
        In [0, 1].
    """

    _example = ("start_factor=0.25, total_iters=3", 4, "[0.25, 0.5, 0.75, 1.0, 1.0]")

    def __init__(
        self,
        optimizer: HasGroups,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        check(0 < start_factor <= 1, f"LinearLR: start_factor must lie in (0, 1], got {start_factor!r}")
        check(0 <= end_factor <= 1, f"LinearLR: end_factor must lie in [0, 1], got {end_factor!r}")
        check_numbers("LinearLR", total_iters=total_iters)
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rate, times the quotient of this step's factor and the last one's."""
        if self.last_epoch == 0:
            return [rate * self.start_factor for rate in self._rates()]
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._rates()
        rise = self.end_factor - self.start_factor
        quotient = 1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise)
        # On the way to 0 the last step may round to just below it, which no optimiser takes.
        return [max(rate * quotient, 0.0) for rate in self._rates()]


class CosineAnnealingLR(Schedule):
    """Half a cosine from the base rate down to ``eta_min`` in ``T_max`` steps (and up again after).

    References
    ----------
    Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts", arXiv 1608.03983, without the restarts.
    """

    _example = ("T_max=4", 4, "[1.0, 0.8536, 0.5, 0.1464, 0.0]")

    def __init__(self, optimizer: HasGroups, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        check(T_max > 0, f"CosineAnnealingLR: T_max must be positive, got {T_max!r}")
        check_numbers("CosineAnnealingLR", eta_min=eta_min)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The recursive form, which leaves room for other schedules on the same optimiser."""
        t, T, low = self.last_epoch, self.T_max, self.eta_min
        if self._is_initial:
            return self._rates()
        if self._step_count == 1 and t > 0:
            return self._closed_form()
        if (t - 1 - T) % (2 * T) == 0:
            # The quotient below would be 0 / 0 one step after the bottom.
            return [
                rate + (base - low) * (1 - math.cos(math.pi / T)) / 2
                for base, rate in zip(self.base_lrs, self._rates(), strict=True)
            ]
        quotient = (1 + math.cos(math.pi * t / T)) / (1 + math.cos(math.pi * (t - 1) / T))
        return [quotient * (rate - low) + low for rate in self._rates()]

    def _closed_form(self) -> list[float]:
        low = self.eta_min
        return [
            low + (base - low) * (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2 for base in self.base_lrs
        ]


class CosineAnnealingWarmRestarts(Schedule):
    """Half cosines from the base rate to ``eta_min``, each ``T_mult`` times as long as the one before.

    Parameters
    ----------
    T_0 : int
        Length of the first.

    References
    ----------
    Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts", arXiv 1608.03983.
    """

    _example = ("T_0=2", 4, "[1.0, 0.5, 1.0, 0.5, 1.0]")

    def __init__(
        self, optimizer: HasGroups, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        check_counts("CosineAnnealingWarmRestarts", T_0=T_0, T_mult=T_mult)
        check_numbers("CosineAnnealingWarmRestarts", eta_min=eta_min)
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult, self.eta_min = T_mult, eta_min
        self.T_cur = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The cosine at ``T_cur`` of ``T_i``."""
        low = self.eta_min
        return [low + (base - low) * (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2 for base in self.base_lrs]

    def _advance(self) -> None:
        """Count one step and set the rates."""
        self.T_cur = 0 if self.last_epoch < 0 else self.T_cur + 1
        if self.T_cur >= self.T_i:
            self.T_cur %= self.T_i
            self.T_i *= self.T_mult
        super()._advance()

    def _restart(self) -> None:
        self.T_cur, self.T_i = 0, self.T_0
        super()._restart()


class CyclicLR(Schedule):
    """Up from ``base_lr`` to ``max_lr`` and down again, over and over; momentum the other way round. Step it per batch.

    Parameters
    ----------
    base_lr, max_lr : float or list of float
    step_size_up : int
        Steps from the bottom to the top.
    step_size_down : int, optional
        Default ``step_size_up``.
    mode : {"triangular", "triangular2", "exp_range"}
        The height of a cycle: always the whole, halved from cycle to cycle, or ``gamma^step`` of the whole.
    scale_fn : callable, optional
        The height instead of ``mode``, of what ``scale_mode`` says. Not part of the state_dict.
    scale_mode : {"cycle", "iterations"}
        The number of the cycle, from 1, or of the step.

    References
    ----------
    Smith, "Cyclical learning rates for training neural networks", arXiv 1506.01186.
    """

    _example = ("0.0, 1.0, step_size_up=2, cycle_momentum=False", 5, "[0.0, 0.5, 1.0, 0.5, 0.0, 0.5]")

    _not_saved = ("optimizer", "_scale")

    def __init__(
        self,
        optimizer: HasGroups,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[int], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self._attach(optimizer)
        modes = ("triangular", "triangular2", "exp_range")
        check(mode in modes or scale_fn is not None, f"CyclicLR: mode must be one of {modes}, got {mode!r}")
        check_choice("CyclicLR: scale_mode", scale_mode, "cycle", "iterations")
        check_numbers("CyclicLR", gamma=gamma)
        down = step_size_up if step_size_down is None else step_size_down
        check(step_size_up > 0 and down > 0, f"CyclicLR: steps must be positive, got {step_size_up} and {down}")
        lows = numbers_per_group("CyclicLR base_lr", optimizer, base_lr)
        self.max_lrs = numbers_per_group("CyclicLR max_lr", optimizer, max_lr)
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma = mode, gamma
        self._scale = scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        self.base_momentums: list[float] = []
        self.max_momentums: list[float] = []
        if cycle_momentum:
            self.base_momentums, self.max_momentums = _momenta("CyclicLR", optimizer, base_momentum, max_momentum)
        if last_epoch == -1:
            for group, low in zip(optimizer.param_groups, lows, strict=True):
                group["lr"] = low
            _begin_momenta(optimizer, self.base_momentums, self.max_momentums)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lows

    def _height(self, number: int) -> float:
        if self._scale is not None:
            return self._scale(number)
        return {"triangular": 1.0, "triangular2": 1 / (2.0 ** (number - 1))}.get(self.mode, self.gamma**number)

    def get_lr(self) -> list[float]:
        """The rates of this step of the cycle; sets the momentum, too."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        part = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        height = self._height(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(
                self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True
            ):
                _set_momentum(group, high - (high - low) * part * height)
        return [low + (high - low) * part * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]


class OneCycleLR(Schedule):
    """Up to ``max_lr`` and down far below the start within one run; momentum the other way round. Step it per batch.

    Parameters
    ----------
    max_lr : float or list of float
    total_steps : int, optional
        Or ``epochs`` and ``steps_per_epoch``.
    epochs, steps_per_epoch : int, optional
    pct_start : float
        The part of the run that goes up.
    anneal_strategy : {"cos", "linear"}
    div_factor, final_div_factor : float
        The first rate is ``max_lr / div_factor``, the last is the first ``/ final_div_factor``.
    three_phase : bool
        Down to the first rate as fast as up, then on to the last.

    References
    ----------
    Smith, Topin, "Super-convergence: very fast training of neural networks using large learning rates", arXiv
    1708.07120.
    """

    _example = (
        "max_lr=1.0, total_steps=6, pct_start=0.5, cycle_momentum=False",
        5,
        "[0.04, 0.52, 1.0, 0.75, 0.25, 0.0]",
    )

    def __init__(
        self,
        optimizer: HasGroups,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self._attach(optimizer)
        if total_steps is None:
            check(
                epochs is not None and steps_per_epoch is not None,
                "OneCycleLR: give total_steps, or epochs and steps_per_epoch",
            )
            check_counts("OneCycleLR", epochs=epochs, steps_per_epoch=steps_per_epoch)
            total_steps = (epochs or 0) * (steps_per_epoch or 0)
        check_counts("OneCycleLR", total_steps=total_steps)
        check(0 <= pct_start <= 1, f"OneCycleLR: pct_start must lie in [0, 1], got {pct_start!r}")
        check_choice("OneCycleLR: anneal_strategy", anneal_strategy, "cos", "linear")
        check(
            div_factor > 0 and final_div_factor > 0,
            f"OneCycleLR: div_factor and final_div_factor must be positive, got {div_factor} and {final_div_factor}",
        )
        tops = numbers_per_group("OneCycleLR max_lr", optimizer, max_lr)
        self.total_steps, self.anneal_strategy, self.cycle_momentum = total_steps, anneal_strategy, cycle_momentum
        up = float(pct_start * total_steps) - 1
        # (last step, rate from, rate to, momentum from, momentum to): the names are keys of a parameter group.
        self._phases: list[list[Any]] = [[up, "initial_lr", "max_lr", "max_momentum", "base_momentum"]]
        if three_phase:
            down = float(2 * pct_start * total_steps) - 2
            self._phases.append([down, "max_lr", "initial_lr", "base_momentum", "max_momentum"])
            self._phases.append([total_steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"])
        else:
            self._phases.append([total_steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum"])
        momenta = _momenta("OneCycleLR", optimizer, base_momentum, max_momentum) if cycle_momentum else ([], [])
        if last_epoch == -1:
            for group, top in zip(optimizer.param_groups, tops, strict=True):
                group["initial_lr"] = top / div_factor
                group["max_lr"] = top
                group["min_lr"] = group["initial_lr"] / final_div_factor
            _begin_momenta(optimizer, *momenta)
        super().__init__(optimizer, last_epoch)

    def _between(self, start: float, end: float, part: float) -> float:
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)
        return (end - start) * part + start

    def get_lr(self) -> list[float]:
        """The rates of this step's phase; sets the momentum, too."""
        number = self.last_epoch
        if number > self.total_steps:
            raise GraphError(
                f"OneCycleLR: step {number} of {self.total_steps}; the cycle is over, make it longer with total_steps"
            )
        rates = []
        for group in self.optimizer.param_groups:
            begin = 0.0
            for i, (end, rate_from, rate_to, momentum_from, momentum_to) in enumerate(self._phases):
                if number <= end or i == len(self._phases) - 1:
                    part = (number - begin) / (end - begin) if end != begin else 1.0
                    # One step after the last a line would go on below 0.
                    rates.append(max(self._between(group[rate_from], group[rate_to], part), 0.0))
                    if self.cycle_momentum:
                        _set_momentum(group, self._between(group[momentum_from], group[momentum_to], part))
                    break
                begin = end
        return rates


class _Several(Schedule):
    """One that hands on to schedules of one optimiser, which step without a metric."""

    _not_saved = ("optimizer", "_schedulers")
    _schedulers: Sequence[Schedule]

    def _hold(self, schedulers: Sequence[Any], optimizer: Any) -> None:
        check(bool(schedulers), f"{self._name}: needs at least one schedule")
        self._attach(schedulers[0].optimizer if optimizer is None else optimizer)
        for i, schedule in enumerate(schedulers):
            fits, kind = isinstance(schedule, Schedule), type(schedule).__name__
            check(
                fits and not isinstance(schedule, ReduceLROnPlateau),
                f"{self._name}: number {i} is a {kind}; it needs schedules that step without a metric",
            )
            check(schedule.optimizer is self.optimizer, f"{self._name}: number {i} belongs to another optimizer")
        self._schedulers = schedulers

    def _kept(self) -> dict[str, Any]:
        return self.state_dict()

    def _restore(self, kept: dict[str, Any]) -> None:
        self.load_state_dict(kept)

    def _undo(self) -> None:
        for schedule in self._schedulers:
            schedule._undo()

    def state_dict(self) -> dict[str, object]:
        """Its own state and that of its schedules."""
        return {**super().state_dict(), "_schedulers": [schedule.state_dict() for schedule in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Take over what :meth:`state_dict` gave; all of its schedules do, or none."""
        self._check_state(state_dict)
        parts: Any = state_dict["_schedulers"]
        self.__dict__.update({key: _copied(value) for key, value in state_dict.items() if key != "_schedulers"})
        for schedule, part in zip(self._schedulers, parts, strict=True):
            schedule.load_state_dict(part)

    def _check_state(self, state_dict: Mapping[str, object]) -> None:
        super()._check_state(state_dict)
        parts: Any = state_dict.get("_schedulers", [])
        check(
            len(parts) == len(self._schedulers),
            f"{self._name}: state of {len(parts)} schedules for {len(self._schedulers)}",
        )
        for schedule, part in zip(self._schedulers, parts, strict=True):
            schedule._check_state(part)


class SequentialLR(_Several):
    """One schedule after another: each begins anew at its milestone.

    Parameters
    ----------
    schedulers : list of Schedule
        All of this optimiser.
    milestones : list of int
        Where the second, third ... begin.

    Notes
    -----
    As in PyTorch, a SequentialLR inside another reaches its own milestones one step early.

    Examples
    --------
    >>> import autodiff, optim
    >>> optimizer = optim.SGD([autodiff.tensor([1.0], requires_grad=True)], lr=1.0)
    >>> parts = [optim.LinearLR(optimizer, 0.5, total_iters=2), optim.ExponentialLR(optimizer, 0.1)]
    >>> schedule = optim.SequentialLR(optimizer, parts, milestones=[2])
    >>> rates = [schedule.get_last_lr()[0]]
    >>> for _ in range(3):
    ...     optimizer.step(); schedule.step(); rates += schedule.get_last_lr()
    >>> rates
    [0.5, 0.75, 1.0, 0.1]
    """

    def __init__(
        self, optimizer: HasGroups, schedulers: Sequence[Schedule], milestones: list[int], last_epoch: int = -1
    ) -> None:
        self._attach(optimizer)
        self._hold(schedulers, optimizer)
        for i, schedule in enumerate(schedulers[1:], 1):
            check(
                not isinstance(schedule, _Several),
                f"SequentialLR: number {i} is a {type(schedule).__name__}, which cannot begin anew in the middle of a"
                " run; only the first may be made of others",
            )
        check(
            len(milestones) == len(schedulers) - 1,
            f"SequentialLR: {len(schedulers)} schedules need {len(schedulers) - 1} milestones, got {len(milestones)}",
        )
        self._milestones = list(milestones)
        check(
            all(map(_whole, self._milestones)) and self._milestones == sorted(self._milestones),
            f"SequentialLR: milestones are ints that rise, got {self._milestones}",
        )
        self.last_epoch = last_epoch + 1
        # Making the schedules has set rates already; begin again, with the first alone.
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._undo()
        first = schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def _advance(self) -> None:
        """Let the schedule whose turn it is set the rates."""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        schedule = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            schedule._restart()
        else:
            schedule.step()
        self._last_lr = schedule.get_last_lr()


class ChainedScheduler(_Several):
    """Several schedules that all step at every step.

    Parameters
    ----------
    schedulers : list of Schedule
        All of one optimiser; those that multiply the present rate combine.
    optimizer : Optimizer, optional
        Default the schedules'.

    Examples
    --------
    >>> import autodiff, optim
    >>> optimizer = optim.SGD([autodiff.tensor([1.0], requires_grad=True)], lr=1.0)
    >>> parts = [optim.ConstantLR(optimizer, 0.5, total_iters=2), optim.ExponentialLR(optimizer, 0.5)]
    >>> schedule = optim.ChainedScheduler(parts)
    >>> rates = schedule.get_last_lr()
    >>> for _ in range(2):
    ...     optimizer.step(); schedule.step(); rates += schedule.get_last_lr()
    >>> rates
    [0.5, 0.25, 0.25]
    """

    def __init__(self, schedulers: Sequence[Schedule], optimizer: HasGroups | None = None) -> None:
        self._hold(list(schedulers), optimizer)
        self._last_lr = self._rates()

    @property
    def last_epoch(self) -> int:  # type: ignore[override]
        """The first schedule's."""
        return self._schedulers[0].last_epoch  # type: ignore[no-any-return]

    def _advance(self) -> None:
        """Let every schedule set the rates."""
        for schedule in self._schedulers:
            schedule.step()
        self._last_lr = self._rates()


class ReduceLROnPlateau(Schedule):
    """The rate times ``factor`` when a metric has not improved for more than ``patience`` steps.

    Parameters
    ----------
    mode : {"min", "max"}
        Whether the metric should fall or rise.
    factor : float
        Below 1.
    threshold : float
        By how much it must improve, relative ("rel") or absolute ("abs").
    threshold_mode : {"rel", "abs"}
    cooldown : int
        Steps after a reduction that do not count.
    min_lr : float or list of float
    eps : float
        Smaller changes of the rate are not made.

    Examples
    --------
    >>> import autodiff, optim
    >>> optimizer = optim.SGD([autodiff.tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = optim.ReduceLROnPlateau(optimizer, patience=1)
    >>> for loss in [3.0, 2.0, 2.0, 2.0]:
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.1]
    """

    def __init__(
        self,
        optimizer: HasGroups,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        self._attach(optimizer)
        check(0 <= factor < 1, f"ReduceLROnPlateau: factor must lie in [0, 1), got {factor!r}")
        check_choice("ReduceLROnPlateau: mode", mode, "min", "max")
        check_choice("ReduceLROnPlateau: threshold_mode", threshold_mode, "rel", "abs")
        check_numbers("ReduceLROnPlateau", patience=patience, cooldown=cooldown, eps=eps)
        check(math.isfinite(threshold), f"ReduceLROnPlateau: threshold must be finite, got {threshold!r}")
        self.mode, self.factor, self.patience, self.threshold = mode, factor, patience, threshold
        self.threshold_mode, self.cooldown = threshold_mode, cooldown
        self.min_lrs = numbers_per_group("ReduceLROnPlateau min_lr", optimizer, min_lr)
        self.eps = eps
        self.last_epoch = 0
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = 0
        self.num_bad_epochs = 0
        self._last_lr = self._rates()

    def step(self, metrics: float | ArrayLike | None = None) -> None:
        """Look at the metric, and reduce the rates if it has stalled.

        Parameters
        ----------
        metrics : float or Tensor
            A number.

        Raises
        ------
        ArgumentError
            If no metric is given.
        """
        check(metrics is not None, "ReduceLROnPlateau: step(metric) needs the metric to watch")
        try:
            current = float(metrics.item() if hasattr(metrics, "item") else metrics)  # type: ignore[arg-type, union-attr]
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"ReduceLROnPlateau: a metric is a number, got {metrics!r:.80}") from error
        self.last_epoch += 1
        if self._is_better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                reduced = max(group["lr"] * self.factor, least)
                if group["lr"] - reduced > self.eps:
                    group["lr"] = reduced
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._rates()

    def _is_better(self, value: float) -> bool:
        if self.threshold_mode == "rel":
            return (
                value < self.best * (1.0 - self.threshold)
                if self.mode == "min"
                else value > self.best * (self.threshold + 1.0)
            )
        return value < self.best - self.threshold if self.mode == "min" else value > self.best + self.threshold
