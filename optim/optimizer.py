"""What every optimiser shares: parameter groups, state, and one fast way to walk the parameters.

An optimiser is a formula on flat vectors: it writes the new parameters, given the old ones, the gradient and its state,
and knows neither shapes nor parameters. This module brings the vectors to it. Small parameters that sit next to each
other are joined into one flat vector, since a NumPy call costs more than the arithmetic on a bias; a large parameter is
worked through in blocks that stay in the processor's cache, since ten passes over memory cost more than the arithmetic.

**Nothing that anybody may still need is written into.** A recorded graph keeps the arrays of the parameters that it was computed from, and so
may a program. So a step writes over the values of the step before only where the parameter alone refers to them, which the reference counts of
the array and of every view of it tell; a backward pass has let go of them by then. Otherwise ``p.data`` is bound to another array, and a backward
pass that comes after the step, or a second one with ``retain_graph=True``, still sees the old values. The array left behind is used again for a
later step as soon as nobody else refers to it. Where other threads run, which might take a reference while a step is writing, every step binds
another array.

An ordinary step finds everything as the last one left it: the same parameters, bound to the views that were cut then, and the same state. It
makes sure of that by identity alone, and looks closer only where something is another object (``benchmarks/training.py``: on a small network
the looking closer took twice as long as the arithmetic).
"""

from __future__ import annotations

import math
import operator
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import autodiff
from autodiff import kernels
from autodiff.errors import ArgumentError, DTypeError, ShapeError
from autodiff.graph import Variable
from autodiff.modes import current_state, taken_whole
from optim.prepared import PreparedStep, runs_of

__all__ = ["Optimizer"]

Array = NDArray[Any]
Group = dict[str, Any]
State = dict[str, Any]

# Elements worked on at once: four or five such float32 vectors fill half of a 1 MiB second-level cache.
BLOCK = 32_768
# Parameters up to this size are joined: below it the calls cost more than the copy of the gradient that joining takes.
SMALL = 16_384


# Options of PyTorch's optimisers that choose between implementations; they mean nothing here.
_ELSEWHERE = frozenset({"capturable", "differentiable", "foreach", "fused"})


# Without the global lock another thread might take a reference between the count and the writing.
_COUNTS = bool(getattr(sys, "_is_gil_enabled", lambda: True)())


class _Values:
    """One vector that parameters' values may lie in, with the views that parameters are bound to.

    Attributes
    ----------
    flat : ndarray
        Of the parameter's own shape where there is but one.
    line : ndarray
        The same memory as one axis of real numbers, as the formula sees it.
    views : list of ndarray
    """

    __slots__ = ("_bound", "_free", "flat", "line", "views")

    def __init__(self, flat: Array, views: list[Array]) -> None:
        self.flat = flat
        self.line = _real(flat.reshape(-1))
        self.views = views
        self._free: list[int] = []
        self._bound: list[int] = []

    def settle(self) -> None:
        """Count the references as they are while nobody else holds any of the arrays, no parameter either."""
        self._free = self._references()
        flat, *views = self._free
        # A parameter that is bound to a view adds one to it.
        self._bound = [flat + (self.views[0] is self.flat), *(count + 1 for count in views)]

    def free(self) -> bool:
        """Whether nobody else holds any of the arrays, nor a view of one."""
        return _COUNTS and self._references() == self._free

    def bound_alone(self) -> bool:
        """The same but for the parameters that are bound to the views."""
        return _COUNTS and self._references() == self._bound

    def _references(self) -> list[int]:
        return [sys.getrefcount(self.flat), *map(sys.getrefcount, self.views)]


class _Bucket:
    """Neighbouring parameters of one group and dtype whose values lie in one flat vector.

    Attributes
    ----------
    values : _Values or None
        What the last step bound to the parameters.
    spare : _Values or None
        What the step before it had bound.
    slots, lines, views : dict of str
        Per state array its flat vector, the same as real numbers, and the parameters' parts of it.
    ours : bool
        Whether the parameters are Tensors, whose gradients have the right shape and dtype wherever their arrays have.
    steady : bool
        Whether the parameters were found bound to what the last step left, at the beginning of this one.
    whole : bool
        Whether every parameter has a gradient in this step.
    states : list of dict
        The parameters' entries in ``Optimizer.state``, as the last whole step found them; ``holders``, ``keys`` and ``held`` are parallel and
        say which of them held which array under which name. ``used`` are the vectors that these arrays are parts of, as real numbers.
    """

    __slots__ = (
        "_gradient", "_parts", "_plain", "dtype", "held", "holders", "keys", "lines", "names", "offsets", "ours", "params", "shapes", "size",
        "slots", "spare", "states", "steady", "used", "values", "views", "whole",
    )  # fmt: skip

    def __init__(self, params: list[Any], arrays: list[Array]) -> None:
        self.params = params
        self.ours = all(isinstance(p, autodiff.Tensor) for p in params)
        self.steady = self.whole = False
        self.dtype = arrays[0].dtype
        self.shapes = [a.shape for a in arrays]
        self.offsets = [0]
        for array in arrays:
            self.offsets.append(self.offsets[-1] + array.size)
        self.size = self.offsets[-1]
        self.values: _Values | None = None
        self.spare: _Values | None = None
        self.slots: dict[str, Array] = {}
        self.lines: dict[str, Array] = {}
        self.views: dict[str, list[Array]] = {}
        self._gradient: Array | None = None
        self._parts: list[Array] = []
        self._plain = [np.ndarray] * len(params)
        self.names: tuple[str, ...] = ()
        self.used: list[Array] = []
        self.states: list[State] = []
        self.holders: list[State] = []
        self.keys: list[str] = []
        self.held: list[Array] = []

    def cut(self, flat: Array) -> list[Array]:
        """The parameters' parts of a flat vector, each in its parameter's shape."""
        if len(self.shapes) == 1:
            return [flat if flat.shape == self.shapes[0] else flat.reshape(self.shapes[0])]
        offsets = self.offsets
        return [flat[offsets[i] : offsets[i + 1]].reshape(shape) for i, shape in enumerate(self.shapes)]

    def place(self, over: bool) -> _Values:
        """Where to write new values: over the present ones if that is allowed and nobody but the parameters holds them; else apart from them."""
        values = self.values
        if over and self.steady and values is not None and values.bound_alone():
            self.spare = None
            return values
        spare, self.spare = self.spare, None
        if spare is not None and spare.free():
            return spare
        # A parameter that is alone gets an array of its own shape, not a view of a flat one.
        fresh = self._fresh()
        fresh.settle()
        return fresh

    def _fresh(self) -> _Values:
        flat = np.empty(self.shapes[0] if len(self.shapes) == 1 else self.size, self.dtype)
        return _Values(flat, self.cut(flat))

    def adopt(self, flat: Array, views: list[Array]) -> None:
        """Know of a vector that somebody else has bound to the parameters."""
        self.values, self.spare, self._gradient = _Values(flat, views), None, None

    def fits(self) -> bool:
        """Whether the parameters' arrays still have the shapes and the dtype that the bucket was made for; notes in ``steady`` what it saw."""
        values = self.values
        self.steady = self.ours and values is not None and all(map(operator.is_, [p._data for p in self.params], values.views))
        return self.steady or all(
            p.data.shape == shape and p.data.dtype == self.dtype for p, shape in zip(self.params, self.shapes, strict=True)
        )

    def current(self) -> Array:
        """The parameters' values as one axis of real numbers; no copy as long as they are what the last step bound."""
        values = self.values
        if values is not None:
            if self.steady or all(p.data is view for p, view in zip(self.params, values.views, strict=True)):
                return values.line
            # Somebody bound other arrays to p.data: what we handed out before is theirs now.
            self.values = self.spare = None
        arrays = [p.data for p in self.params]
        return _real(arrays[0].reshape(-1) if len(arrays) == 1 else np.concatenate(arrays, axis=None))

    def bind(self, new: _Values) -> None:
        """Give the parameters new values; those until now may be written over by the step after the next, if nobody holds them."""
        if self.ours:
            for p, view in zip(self.params, new.views, strict=True):
                p._data = view
        else:
            for p, view in zip(self.params, new.views, strict=True):
                p.data = view
        self.spare, self.values = self.values, new

    def gradients(self, name: str) -> list[Array | None]:
        """The parameters' gradients, each of its parameter's shape and dtype, None where there is none."""
        if self.steady:
            try:
                found = [p._node.grad for p in self.params]
            except AttributeError:
                pass  # one that is no leaf, or asks for no gradient: p.grad knows
            else:
                if list(map(type, found)) == self._plain:
                    self.whole = True
                    return found
        grads = [_gradient_of(name, p, p.data) for p in self.params]
        self.whole = all(g is not None for g in grads)
        return grads

    def joined(self, grads: list[Any]) -> Array:
        """The gradients of all parameters as one axis of real numbers."""
        if len(grads) == 1:
            return _real(grads[0].reshape(-1))
        if self._gradient is None:
            flat = np.empty(self.size, self.dtype)
            self._gradient, self._parts = _real(flat), self.cut(flat)
        for part, g in zip(self._parts, grads, strict=True):
            part[...] = g  # together two thirds of what np.concatenate takes for small arrays
        return self._gradient

    def known(self, names: tuple[str, ...], state: dict[Any, State]) -> bool:
        """Whether the state is what the last whole step left, by identity."""
        return (
            names == self.names
            and len(self.states) == len(self.params)
            and all(map(operator.is_, map(state.get, self.params), self.states))
            and all(map(operator.is_, map(dict.get, self.holders, self.keys), self.held))
        )

    def remember(self, names: tuple[str, ...], states: list[State]) -> None:
        """Note which state dict holds which array, for :meth:`known`."""
        triples = [(s, name, view) for name in names for s, view in zip(states, self.views[name], strict=True)]
        self.names, self.states, self.used = names, states, [self.lines[name] for name in names]
        self.holders, self.keys, self.held = [s for s, _, _ in triples], [name for _, name, _ in triples], [view for _, _, view in triples]


def _real(flat: Array) -> Array:
    """Complex numbers as pairs of reals, which is how PyTorch's optimisers treat them."""
    return flat.view(flat.real.dtype) if flat.dtype.kind == "c" else flat


class Optimizer:
    """Base of all optimisers.

    A subclass gives the names of its state arrays (:meth:`_slots`) and its formula (:meth:`_update`).

    Parameters
    ----------
    params : iterable
        Parameters; or ``(name, parameter)`` pairs; or dicts, one per parameter group, each with the key ``"params"`` and
        the options that differ from ``defaults``. A parameter is a Tensor, or anything with ``.data`` and ``.grad``.
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

    #: Allowed values: option -> (test, what to say).
    _allowed: ClassVar[dict[str, tuple[Callable[[Any], bool], str]]] = {}

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.state: dict[Any, State] = {}
        self.param_groups: list[Group] = []
        self._plans: dict[int, tuple[list[Any], list[_Bucket]]] = {}
        self._scratch: dict[Any, list[Array]] = {}
        self._cells: dict[Any, tuple[Array, list[Array]]] = {}
        self._step_count = 0
        # Whether new values may overwrite the old ones: a formula from elsewhere might read the old ones after it has written new ones.
        self._over = type(self).__module__.partition(".")[0] == "optim"
        if hasattr(params, "grad") and hasattr(params, "data"):
            raise ArgumentError(f"{self._name}: params is an iterable of parameters or dicts; for a single one write [parameter]")
        given = list(params)
        if not given:
            raise ArgumentError(f"{self._name}: got no parameters; is the model's list of parameters empty?")
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    # --- what a subclass says ------------------------------------------------------------------------------------------

    def _slots(self, group: Group) -> tuple[str, ...]:
        """Names of the state arrays under this group's options."""
        return ()

    def _initial(self, group: Group, slot: str, dtype: np.dtype[Any]) -> complex:
        """What a state array is filled with before the first step."""
        return 0.0

    def _begin(self, group: Group, states: list[State]) -> list[Any]:
        """Advance the counters in the parameters' states; what is returned for each is handed to :meth:`_update` as ``turn``."""
        steps = [int(state.get("step", 0)) + 1 for state in states]
        for state, step in zip(states, steps, strict=True):
            state["step"] = step
        return steps

    def _update(self, group: Group, turn: Any, p: Array, g: Array, out: Array, slots: list[Array], scratch: list[Array]) -> None:
        """The formula, on one-dimensional real arrays of one length: write the new parameters into ``out``, the new state into ``slots``.

        ``p`` and ``g`` are never written into; ``scratch`` are three arrays to write into at will.
        """
        raise NotImplementedError(f"{self._name} defines no _update")

    # --- parameter groups ------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own, for example the layers that are unfrozen later.

        Parameters
        ----------
        param_group : dict
            ``"params"``: a parameter or an iterable of them (or of ``(name, parameter)`` pairs); the other keys are options.

        Raises
        ------
        ArgumentError
            If ``"params"`` is missing or empty, a parameter is already here or is not a leaf, or an option is not allowed.
        DTypeError
            If a parameter holds integers or is no array.
        """
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise ArgumentError(f"{self._name}: a parameter group is a dict with the key 'params', got {param_group!r:.80}")
        group = dict(param_group)
        params = group["params"]
        if isinstance(params, (set, frozenset)):
            raise ArgumentError(f"{self._name}: parameters need an order that is the same in every run; give a list, not a set")
        params = [params] if hasattr(params, "grad") and hasattr(params, "data") else list(params)
        if params and all(isinstance(entry, tuple) and len(entry) == 2 for entry in params):
            group["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        if not params:
            raise ArgumentError(f"{self._name}: a parameter group is empty")
        seen = {id(p) for other in self.param_groups for p in other["params"]}
        for i, p in enumerate(params):
            if not (hasattr(p, "data") and hasattr(p, "grad")):
                raise ArgumentError(f"{self._name}: parameter {i} is a {type(p).__name__}; it needs .data and .grad, as a Tensor has")
            if not isinstance(p.data, np.ndarray) or p.data.dtype.kind not in "fc":
                kind = p.data.dtype if isinstance(p.data, np.ndarray) else type(p.data).__name__
                raise DTypeError(f"{self._name}: parameter {i} holds {kind}; only floating-point and complex arrays can be optimised")
            if not getattr(p, "is_leaf", True):
                raise ArgumentError(f"{self._name}: parameter {i} was computed from others; only leaves can be optimised")
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
        usual = set_to_none and current_state() is None
        for group in self.param_groups:
            for p in group["params"]:
                if usual and (node := getattr(p, "_node", None)).__class__ is Variable:
                    node.grad = None  # what p.grad = None does, without the questions that a property asks
                elif set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad = np.zeros(p.data.shape, p.data.dtype)

    # --- a step ----------------------------------------------------------------------------------------------------------

    @taken_whole
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
        work = []
        for group in self.param_groups:
            for bucket in self._plan(group):
                grads = bucket.gradients(self._name)
                if bucket.whole or any(g is not None for g in grads):
                    work.append((group, bucket, grads))
        over = self._over and not _others_run()
        for group, bucket, grads in work:
            self._step_bucket(group, bucket, grads, over)
        self._step_count += 1
        return loss

    def _prepared(self) -> PreparedStep | None:
        """The step for a plan of ``autodiff.compile``; None where a plan must call :meth:`step` as it is."""
        known = self._over and type(self).step is Optimizer.step
        real = all(p.data.dtype.kind == "f" and p.data.size for group in self.param_groups for p in group["params"])
        return PreparedStep(self, BLOCK) if known and real else None

    def _plan(self, group: Group) -> list[_Bucket]:
        """The group's parameters in buckets, kept from step to step as long as shapes and dtypes stay."""
        params: list[Any] = group["params"]
        known, buckets = self._plans.get(id(group), ([], []))
        if len(known) == len(params) and all(map(operator.is_, known, params)) and all(bucket.fits() for bucket in buckets):
            return buckets
        buckets = []
        run: list[Any] = []
        for p in [*params, None]:
            joins = p is not None and p.data.size <= SMALL
            if run and (not joins or p.data.dtype != run[0].data.dtype):
                buckets.append(_Bucket(run, [q.data for q in run]))
                run = []
            if joins:
                run.append(p)
            elif p is not None:
                buckets.append(_Bucket([p], [p.data]))
        self._plans[id(group)] = (list(params), buckets)
        return buckets

    def _step_bucket(self, group: Group, bucket: _Bucket, grads: list[Array | None], over: bool) -> None:
        old = bucket.current()
        names = self._slots(group)
        if bucket.whole and bucket.known(names, self.state):
            turns = self._begin(group, bucket.states)
        else:
            states = [self.state.get(p, {}) if g is None else self.state.setdefault(p, {}) for p, g in zip(bucket.params, grads, strict=True)]
            begun = iter(self._begin(group, [state for state, g in zip(states, grads, strict=True) if g is not None]))
            turns = [None if g is None else next(begun) for g in grads]
            for name in names:
                self._adopt(group, bucket, name, states, grads)
            bucket.remember(names, states)
        new = bucket.place(over)
        line, slots = new.line, bucket.used
        if bucket.whole and turns.count(turns[0]) == len(turns):
            self._walk(group, turns[0], old, bucket.joined(grads), line, slots, 0, line.size)
        else:
            width = line.size // bucket.size if bucket.size else 1  # 2 for complex numbers
            if line is not old:
                line[:] = old  # parameters without a gradient keep their values
            for first, last, turn in runs_of(turns, grads):
                gradient: Array = np.concatenate(grads[first:last], axis=None)  # type: ignore[arg-type]
                self._walk(group, turn, old, _real(gradient), line, slots, bucket.offsets[first] * width, bucket.offsets[last] * width)
        if line is not old:
            bucket.bind(new)

    def _walk(self, group: Group, turn: Any, old: Array, gradient: Array, new: Array, slots: list[Array], start: int, stop: int) -> None:
        """Apply the formula to ``start:stop``, block by block; ``gradient`` begins at ``start``."""
        if stop - start == old.size <= BLOCK:
            self._update(group, turn, old, gradient, new, slots, self._scratch_of(old.dtype, old.size))
            return
        for lo in range(start, stop, BLOCK):
            hi = min(lo + BLOCK, stop)
            part = slice(lo, hi)
            scratch = self._scratch_of(old.dtype, hi - lo)
            self._update(group, turn, old[part], gradient[lo - start : hi - start], new[part], [s[part] for s in slots], scratch)

    def _in_one_pass(self, group: Group, p: Array, g: Array, slots: list[Array]) -> Callable[[Any], None] | None:
        """What takes the step in place, given ``turn``, over arrays that stay where they are; None where the formula goes block by block."""
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
        """The numbers as arrays without axes, which NumPy multiplies by in half the time that it takes for a Python float.

        They are good until the next call.
        """
        held = self._cells.get(dtype)
        if held is None:
            vector = np.empty(8, dtype)
            held = self._cells[dtype] = (vector, [vector[i : i + 1].reshape(()) for i in range(8)])
        vector, cells = held
        vector[: len(values)] = values
        return cells[: len(values)]

    def _adopt(self, group: Group, bucket: _Bucket, name: str, states: list[State], grads: list[Array | None]) -> None:
        """See that the bucket's flat vector of this state array holds what ``self.state`` says, and that it lies there."""
        flat = bucket.slots.get(name)
        if flat is None:
            flat = bucket.slots[name] = np.full(bucket.size, self._initial(group, name, bucket.dtype), bucket.dtype)
            bucket.lines[name] = _real(flat)
            bucket.views[name] = bucket.cut(flat)
        views = bucket.views[name]
        if all(map(operator.is_, [state.get(name) for state in states], views)):
            return
        for state, view, g in zip(states, views, grads, strict=True):
            held = state.get(name)
            if held is not view and (held is not None or g is not None):
                view[...] = self._initial(group, name, bucket.dtype) if held is None else held
                state[name] = view

    # --- saving ------------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly: options and state, with parameters replaced by their number.

        Returns
        -------
        dict
            ``{"state": {number: {name: array or int}}, "param_groups": [{..., "params": [numbers]}]}``, as in PyTorch. Arrays are
            copies.
        """
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers[id(p)] = len(numbers)
            groups.append({**group, "params": [numbers[id(p)] for p in group["params"]]})
        state = {
            numbers[id(p)]: {key: value.copy() if isinstance(value, np.ndarray) else value for key, value in held.items()}
            for p, held in self.state.items()
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave; arrays are copied and cast to the parameters' dtypes.

        Raises
        ------
        ArgumentError
            If keys are missing, or the groups have other numbers of parameters than here. Nothing has been changed then.
        ShapeError
            If a state array has another shape than its parameter. Nothing has been changed then.
        """
        if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= set(state_dict):
            raise ArgumentError(f"{self._name}: a state dict has the keys 'state' and 'param_groups'")
        saved = state_dict["param_groups"]
        ours, theirs = [len(g["params"]) for g in self.param_groups], [len(g["params"]) for g in saved]
        if ours != theirs:
            raise ArgumentError(f"{self._name}: the state dict has groups of {theirs} parameters, this optimiser of {ours}")
        by_number = {
            number: p
            for group, other in zip(self.param_groups, saved, strict=True)
            for number, p in zip(other["params"], group["params"], strict=True)
        }
        state: dict[Any, State] = {}
        for key, held in state_dict["state"].items():
            number = int(key)
            if number not in by_number:
                raise ArgumentError(f"{self._name}: the state dict has state for parameter {key}, which is in none of its groups")
            p = by_number[number]
            state[p] = {}
            for name, value in held.items():
                if name == "step":
                    state[p][name] = int(value)
                elif value is not None:
                    value = value.detach() if hasattr(value, "detach") else value
                    array = np.array(np.asarray(value), dtype=p.data.dtype)
                    if array.shape != p.data.shape:
                        raise ShapeError(f"{self._name}: {name} of parameter {key} has shape {array.shape}, the parameter {p.data.shape}")
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

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for i, group in enumerate(self.param_groups):
            options = ", ".join(f"{k}={v!r}" for k, v in sorted(group.items()) if k not in ("params", "param_names"))
            lines.append(f"  group {i}: {len(group['params'])} parameters, {options}")
        return "\n".join([*lines, ")"])


def _others_run() -> bool:
    """Whether a thread runs beside this one that might read parameters; those of :mod:`autodiff.kernels` do not by themselves."""
    if threading.active_count() == 1:
        return False
    this = threading.current_thread()
    return any(thread is not this and not thread.name.startswith(kernels.THREADS) for thread in threading.enumerate())


def _gradient_of(name: str, p: Any, data: Array) -> Array | None:
    """The gradient of ``p`` as an array of the shape and dtype of ``data``, which is ``p.data``."""
    g = p.grad
    if g is None:
        return None
    if g.__class__ is not np.ndarray:
        g = np.asarray(g.data if hasattr(g, "requires_grad") else g)
    if g.shape != data.shape:
        raise ShapeError(f"{name}: a gradient has shape {g.shape}, its parameter {data.shape}")
    array: Array = g if g.dtype == data.dtype else g.astype(data.dtype)
    return array


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
