"""What every optimiser shares: parameter groups, state, and one fast way to walk the parameters.

An optimiser is a formula on flat vectors: it writes the new parameters, given the old ones, the gradient and its state,
and knows neither shapes nor parameters. This module brings the vectors to it. Small parameters that sit next to each
other are joined into one flat vector, since a NumPy call costs more than the arithmetic on a bias; a large parameter is
worked through in blocks that stay in the processor's cache, since ten passes over memory cost more than the arithmetic.

**Nothing that anybody may still need is written into.** A recorded graph keeps the arrays of the parameters that it was
computed from, and so may a program. So a step writes over the values of the step before only where the parameter alone
refers to them, which the reference counts of the array and of every view of it tell; a backward pass has let go of them
by then. Otherwise ``p.data`` is bound to another array, and a backward pass that comes after the step, or a second one
with ``retain_graph=True``, still sees the old values. The array left behind is used again for a later step as soon as
nobody else refers to it. A thread that computes with the parameters must not do so while another one takes a step,
which their common ``grad`` forbids already.

An ordinary step finds everything as the last one left it: the same parameters, bound to the views that were cut then,
and the same state. It makes sure of that by identity alone (:mod:`optim.steady`), and what stands here, which looks
closer, runs only where something is another object.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np

import autodiff
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from optim.buckets import Array, Bucket, State, real, runs_of
from optim.steady import Steady

__all__ = ["Optimizer"]

Group = dict[str, Any]

# Elements worked on at once: four or five such float32 vectors fill half of a 1 MiB second-level cache.
BLOCK = 32_768
# Parameters up to this size are joined: below it the calls cost more than the copy of the gradient that joining takes.
SMALL = 16_384


# Options of PyTorch's optimisers that choose between implementations; they mean nothing here.
_ELSEWHERE = frozenset({"capturable", "differentiable", "foreach", "fused"})


class Optimizer:
    """Base of all optimisers.

    A subclass gives the names of its state arrays (:meth:`_slots`) and its formula (:meth:`_update`).

    Parameters
    ----------
    params : iterable
        Parameters; or ``(name, parameter)`` pairs; or dicts, one per parameter group, each with the key ``"params"``
        and the options that differ from ``defaults``. A parameter is a Tensor, or anything with ``.data`` and
        ``.grad``.
    defaults : dict
        Options of the groups that do not say otherwise.

    Attributes
    ----------
    param_groups : list of dict
        The options are read at every step, so that a schedule may change them.
    state : dict
        Per parameter a dict of arrays of its shape and dtype, and the number of steps. Writing into the arrays is
        seen by the next step.

    Raises
    ------
    ArgumentError
        If there are no parameters, one appears twice, one is not a leaf, or an option has a value that is not allowed.
    DTypeError
        If a parameter holds integers or is no array.

    Examples
    --------
    An optimiser of one's own is its formula:

    >>> import autodiff
    >>> class SignDescent(Optimizer):
    ...     def __init__(self, params, lr=0.1):
    ...         super().__init__(params, {"lr": lr})
    ...     def _update(self, group, turn, p, g, out, slots, scratch):
    ...         np.subtract(p, group["lr"] * np.sign(g), out)
    >>> w = autodiff.tensor([4.0, -4.0], requires_grad=True)
    >>> optimizer = SignDescent([w], lr=1.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data
    array([ 3., -3.])
    """

    #: Whether the formula is told the number of the step, which ``state["step"]`` holds; else :meth:`_begin` changes
    #: nothing.
    _counts: ClassVar[bool] = True

    #: Allowed values: option -> (test, what to say).
    _allowed: ClassVar[dict[str, tuple[Callable[[Any], bool], str]]] = {}

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.state: dict[Any, State] = {}
        self.param_groups: list[Group] = []
        self._plans: dict[int, tuple[list[Any], list[Bucket]]] = {}
        self._scratch: dict[Any, list[Array]] = {}
        self._cells: dict[Any, tuple[Array, list[Array]]] = {}
        self._step_count = 0
        self._steady: Steady | None = None
        # Whether new values may overwrite the old ones: a formula from elsewhere might read the old ones after it has
        # written new ones.
        self._over = type(self).__module__.partition(".")[0] == "optim"
        if hasattr(params, "grad") and hasattr(params, "data"):
            raise ArgumentError(
                f"{self._name}: params is an iterable of parameters or dicts; for a single one write [parameter]"
            )
        if hasattr(params, "parameters") or callable(params):
            raise ArgumentError(f"{self._name}: params is an iterable of parameters; pass model.parameters()")
        if isinstance(params, int | float) or not hasattr(params, "__iter__"):
            raise ArgumentError(
                f"{self._name}: the first argument is the parameters (model.parameters()), got {type(params).__name__}"
            )
        given = list(params)
        if not given:
            raise ArgumentError(f"{self._name}: got no parameters; is the model's list of parameters empty?")
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    # --- what a subclass says
    # ------------------------------------------------------------------------------------------

    def _slots(self, group: Group) -> tuple[str, ...]:
        """Names of the state arrays under this group's options."""
        return ()

    def _initial(self, group: Group, slot: str, dtype: np.dtype[Any]) -> complex:
        """What a state array is filled with before the first step."""
        return 0.0

    def _begin(self, group: Group, states: list[State]) -> list[Any]:
        """Advance the counters in the parameters' states; what is returned for each is handed to :meth:`_update` as
        ``turn``.
        """
        steps = [int(state.get("step", 0)) + 1 for state in states]
        for state, step in zip(states, steps, strict=True):
            state["step"] = step
        return steps

    def _update(
        self, group: Group, turn: Any, p: Array, g: Array, out: Array, slots: list[Array], scratch: list[Array]
    ) -> None:
        """The formula, on one-dimensional real arrays of one length: write the new parameters into ``out``, the new
        state into ``slots``.

        ``p`` and ``g`` are never written into; ``scratch`` are three arrays to write into at will.
        """
        raise NotImplementedError(f"{self._name} defines no _update")

    # --- parameter groups
    # ------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own, for example the layers that are unfrozen later.

        Parameters
        ----------
        param_group : dict
            ``"params"``: a parameter or an iterable of them (or of ``(name, parameter)`` pairs); the other keys are
            options.

        Raises
        ------
        ArgumentError
            If ``"params"`` is missing or empty, a parameter is already here or is not a leaf, or an option is not
            allowed.
        DTypeError
            If a parameter holds integers or is no array.
        """
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise ArgumentError(
                f"{self._name}: a parameter group is a dict with the key 'params', got {param_group!r:.80}"
            )
        group = dict(param_group)
        params = group["params"]
        if isinstance(params, (set, frozenset)):
            raise ArgumentError(
                f"{self._name}: parameters need an order that is the same in every run; give a list, not a set"
            )
        params = [params] if hasattr(params, "grad") and hasattr(params, "data") else list(params)
        if params and all(isinstance(entry, tuple) and len(entry) == 2 for entry in params):
            group["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        if not params:
            raise ArgumentError(f"{self._name}: a parameter group is empty")
        seen = {id(p) for other in self.param_groups for p in other["params"]}
        for i, p in enumerate(params):
            if not (hasattr(p, "data") and hasattr(p, "grad")):
                raise ArgumentError(
                    f"{self._name}: parameter {i} is a {type(p).__name__}; it needs .data and .grad, as a Tensor has"
                )
            if not isinstance(p.data, np.ndarray) or p.data.dtype.kind not in "fc":
                kind = p.data.dtype if isinstance(p.data, np.ndarray) else type(p.data).__name__
                raise DTypeError(
                    f"{self._name}: parameter {i} holds {kind}; only floating-point and complex arrays can be optimised"
                )
            if not getattr(p, "is_leaf", True):
                raise ArgumentError(
                    f"{self._name}: parameter {i} was computed from others; only leaves can be optimised"
                )
            if id(p) in seen:
                raise ArgumentError(f"{self._name}: parameter {i} (shape {p.data.shape}) appears twice")
            seen.add(id(p))
        group["params"] = params
        for option, value in self.defaults.items():
            group.setdefault(option, value)
            # A NumPy scalar is of a strong dtype: a float64 rate would have float32 parameters computed in float64.
            if isinstance(group[option], np.generic):
                group[option] = group[option].item()
        self._check(group)
        self.param_groups.append(group)

    def _check(self, group: Group) -> None:
        for option, (test, words) in self._allowed.items():
            value = group[option]
            try:
                fine = test(value)
            except (TypeError, ValueError):
                fine = False
            if not fine:
                raise ArgumentError(f"{self._name}: {option} must be {words}, got {value!r}")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients.

        Parameters
        ----------
        set_to_none : bool
            Set ``p.grad`` to None, so that parameters without a new gradient are skipped; else bind zeros.
        """
        if set_to_none:
            for group in self.param_groups:
                for p in group["params"]:
                    try:
                        p._node._grad = None  # what p.grad = None does, without the questions that a property asks
                    except AttributeError:
                        p.grad = None  # no Tensor, or no leaf that asks for a gradient
            return
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad = np.zeros(p.data.shape, p.data.dtype)

    # --- a step
    # ----------------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step along the gradients that lie in ``p.grad``; parameters whose gradient is None stay as they are.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and the gradients anew and returns the loss.

        Returns
        -------
        object
            What ``closure`` returned, or None.

        Raises
        ------
        ShapeError
            If a gradient has another shape than its parameter. No parameter has been changed then.
        """
        loss = None
        if closure is not None:
            with autodiff.enable_grad():
                loss = closure()
        if self._steady is None or not self._steady.step(self):
            self._look_closer()
        self._step_count += 1
        return loss

    def _look_closer(self) -> None:
        """Take a step from whatever there is."""
        self._steady = None
        work = []
        ordinary = True
        for group in self.param_groups:
            for bucket in self._plan(group):
                grads = bucket.gradients(self._name)
                if bucket.whole or any(g is not None for g in grads):
                    work.append((group, bucket, grads))
                else:
                    ordinary = False
        for group, bucket, grads in work:
            if not self._step_bucket(group, bucket, grads):
                ordinary = False
        if ordinary:
            self._steady = Steady.of(self, [(group, bucket) for group, bucket, _ in work])

    def _plan(self, group: Group) -> list[Bucket]:
        """The group's parameters in buckets, kept from step to step as long as shapes and dtypes stay."""
        params: list[Any] = group["params"]
        known, buckets = self._plans.get(id(group), ([], []))
        if (
            len(known) == len(params)
            and all(map(operator.is_, known, params))
            and all(bucket.fits() for bucket in buckets)
        ):
            return buckets
        buckets = []
        run: list[Any] = []
        for p in [*params, None]:
            joins = p is not None and p.data.size <= SMALL
            if run and (not joins or p.data.dtype != run[0].data.dtype):
                buckets.append(Bucket(run, [q.data for q in run]))
                run = []
            if joins:
                run.append(p)
            elif p is not None:
                buckets.append(Bucket([p], [p.data]))
        self._plans[id(group)] = (list(params), buckets)
        return buckets

    def _step_bucket(self, group: Group, bucket: Bucket, grads: list[Array | None]) -> bool:
        """Take the step of one bucket; returns whether all of it has got new values over the old ones."""
        old = bucket.current()
        names = self._slots(group)
        if bucket.whole and bucket.known(names, self.state):
            turns = self._begin(group, bucket.states)
        else:
            states = [
                self.state.get(p, {}) if g is None else self.state.setdefault(p, {})
                for p, g in zip(bucket.params, grads, strict=True)
            ]
            begun = iter(self._begin(group, [state for state, g in zip(states, grads, strict=True) if g is not None]))
            turns = [None if g is None else next(begun) for g in grads]
            for name in names:
                self._adopt(group, bucket, name, states, grads)
            bucket.remember(names, states)
        new = bucket.place(self._over)
        line, slots = new.line, bucket.used
        if bucket.whole and turns.count(turns[0]) == len(turns):
            self._walk(group, turns[0], old, bucket.joined(grads), line, slots, 0, line.size)
        else:
            width = line.size // bucket.size if bucket.size else 1  # 2 for complex numbers
            if line is not old:
                line[:] = old  # parameters without a gradient keep their values
            for first, last, turn in runs_of(turns, grads):
                gradient: Array = np.concatenate(grads[first:last], axis=None)  # type: ignore[arg-type]
                self._walk(
                    group,
                    turn,
                    old,
                    real(gradient),
                    line,
                    slots,
                    bucket.offsets[first] * width,
                    bucket.offsets[last] * width,
                )
        if line is not old:
            bucket.bind(new)
        return bucket.whole and line is old

    def _walk(
        self,
        group: Group,
        turn: Any,
        old: Array,
        gradient: Array,
        new: Array,
        slots: list[Array],
        start: int,
        stop: int,
    ) -> None:
        """Apply the formula to ``start:stop``, block by block; ``gradient`` begins at ``start``."""
        if stop - start == old.size <= BLOCK:
            self._update(group, turn, old, gradient, new, slots, self._scratch_of(old.dtype, old.size))
            return
        for lo in range(start, stop, BLOCK):
            hi = min(lo + BLOCK, stop)
            part = slice(lo, hi)
            scratch = self._scratch_of(old.dtype, hi - lo)
            self._update(
                group, turn, old[part], gradient[lo - start : hi - start], new[part], [s[part] for s in slots], scratch
            )

    def _in_one_pass(self, group: Group, p: Array, slots: list[Array]) -> Callable[[Any, Array], None] | None:
        """What takes the step in place, given ``turn`` and gradient, over arrays that stay where they are; None where
        that is done in blocks.

        It holds on to no optimiser, and is good while :func:`autodiff.kernels.setting` stays what it is.
        """
        return None

    def _scratch_of(self, dtype: np.dtype[Any], length: int) -> list[Array]:
        """Three arrays to write into at will."""
        found = self._scratch.get((dtype, length))
        if found is None:
            if (dtype, BLOCK) not in self._scratch:
                self._scratch[dtype, BLOCK] = [np.empty(BLOCK, dtype) for _ in range(3)]
            found = self._scratch[dtype, length] = [s[:length] for s in self._scratch[dtype, BLOCK]]
        return found

    def _numbers(self, dtype: np.dtype[Any], *values: float) -> list[Array]:
        """The numbers as arrays without axes, which NumPy multiplies by in half the time that it takes for a Python
        float.

        They are good until the next call.
        """
        held = self._cells.get(dtype)
        if held is None:
            vector = np.empty(8, dtype)
            held = self._cells[dtype] = (vector, [vector[i : i + 1].reshape(()) for i in range(8)])
        vector, cells = held
        vector[: len(values)] = values
        return cells[: len(values)]

    def _adopt(self, group: Group, bucket: Bucket, name: str, states: list[State], grads: list[Array | None]) -> None:
        """See that the bucket's flat vector of this state array holds what ``self.state`` says, and that it lies
        there.
        """
        flat = bucket.slots.get(name)
        if flat is None:
            flat = bucket.slots[name] = np.full(bucket.size, self._initial(group, name, bucket.dtype), bucket.dtype)
            bucket.lines[name] = real(flat)
            bucket.views[name] = bucket.cut(flat)
        views = bucket.views[name]
        if all(map(operator.is_, [state.get(name) for state in states], views)):
            return
        for state, view, g in zip(states, views, grads, strict=True):
            held = state.get(name)
            if held is not view and (held is not None or g is not None):
                view[...] = self._initial(group, name, bucket.dtype) if held is None else held
                state[name] = view

    # --- saving
    # ------------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly: options and state, with parameters replaced by their number.

        Returns
        -------
        dict
            ``{"state": {number: {name: array or int}}, "param_groups": [{..., "params": [numbers]}]}``, as in PyTorch.
            Arrays are copies.
        """
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers[id(p)] = len(numbers)
            groups.append({**group, "params": [numbers[id(p)] for p in group["params"]]})
        state = {
            numbers[id(p)]: {
                key: value.copy() if isinstance(value, np.ndarray) else value for key, value in held.items()
            }
            for p, held in self.state.items()
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave; arrays are copied and cast to the parameters' dtypes.

        Raises
        ------
        ArgumentError
            If keys are missing, or the groups have other numbers of parameters than here. Nothing has been changed
            then.
        ShapeError
            If a state array has another shape than its parameter. Nothing has been changed then.
        """
        if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= set(state_dict):
            raise ArgumentError(f"{self._name}: a state dict has the keys 'state' and 'param_groups'")
        saved = state_dict["param_groups"]
        ours, theirs = [len(g["params"]) for g in self.param_groups], [len(g["params"]) for g in saved]
        if ours != theirs:
            raise ArgumentError(
                f"{self._name}: the state dict has groups of {theirs} parameters, this optimiser of {ours}"
            )
        by_number = {
            number: p
            for group, other in zip(self.param_groups, saved, strict=True)
            for number, p in zip(other["params"], group["params"], strict=True)
        }
        state: dict[Any, State] = {}
        for key, held in state_dict["state"].items():
            number = int(key)
            if number not in by_number:
                raise ArgumentError(
                    f"{self._name}: the state dict has state for parameter {key}, which is in none of its groups"
                )
            p = by_number[number]
            state[p] = {}
            for name, value in held.items():
                if name == "step":
                    state[p][name] = int(value)
                elif value is not None:
                    value = value.detach() if hasattr(value, "detach") else value
                    array = np.array(np.asarray(value), dtype=p.data.dtype)
                    if array.shape != p.data.shape:
                        raise ShapeError(
                            f"{self._name}: {name} of parameter {key} has shape {array.shape}, the parameter"
                            f" {p.data.shape}"
                        )
                    state[p][name] = array
        groups = []
        for group, other in zip(self.param_groups, saved, strict=True):
            merged = group | {k: tuple(v) if k == "betas" else v for k, v in other.items() if k not in _ELSEWHERE}
            merged["params"] = group["params"]
            self._check(merged)
            groups.append(merged)
        for group, merged in zip(self.param_groups, groups, strict=True):
            group.update(merged)
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle takes along: not what only holds as long as arrays are views of one another, which
        copies are not.
        """
        return {**self.__dict__, "_plans": {}, "_scratch": {}, "_cells": {}, "_steady": None}

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for i, group in enumerate(self.param_groups):
            options = ", ".join(f"{k}={v!r}" for k, v in sorted(group.items()) if k not in ("params", "param_names"))
            lines.append(f"  group {i}: {len(group['params'])} parameters, {options}")
        return "\n".join([*lines, ")"])


def decayed(group: Group, p: Array, g: Array, scratch: Array) -> Array:
    """The gradient to descend: negated for ``maximize``, plus ``weight_decay`` times the parameter (L2).

    Written into ``scratch`` if anything is to be done, else ``g`` itself.
    """
    weight_decay, maximize = group["weight_decay"], group["maximize"]
    if weight_decay:
        np.multiply(p, weight_decay, scratch)
        (np.subtract if maximize else np.add)(scratch, g, scratch)
        return scratch
    if maximize:
        return np.negative(g, scratch)
    return g


def non_negative(value: Any) -> bool:
    """Whether it is a finite number of at least zero."""
    return bool(0.0 <= value < math.inf)


def below_one(value: Any) -> bool:
    """Whether it is a number in [0, 1)."""
    return bool(0.0 <= value < 1.0)


NON_NEGATIVE = (non_negative, "a finite number >= 0")
BELOW_ONE = (below_one, "in [0, 1)")
BETAS = (lambda betas: len(betas) == 2 and all(map(below_one, betas)), "two numbers in [0, 1)")
