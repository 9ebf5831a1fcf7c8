"""What every optimiser shares: parameter groups, state, and one fast way to walk the parameters.

An optimiser is a formula on flat vectors: it writes the new parameters, given the old ones, the gradient and its state,
and knows neither shapes nor parameters. This module brings the vectors to it. Small parameters that sit next to each
other are joined into one flat vector, since a NumPy call costs more than the arithmetic on a bias; a large parameter is
worked through in blocks that stay in the processor's cache, since ten passes over memory cost more than the arithmetic.

**Nothing that a graph may still need is written into.** A recorded graph keeps the arrays of the parameters that it
was computed from. So a step never writes into ``p.data``: it rebinds ``p.data`` to another array, and a backward pass
that comes after the step, or a second one with ``retain_graph=True``, still sees the old values. The array that a
step leaves behind is used again for a later step, but only when nobody else holds a reference to it, neither to the array nor
to a view of it; otherwise a fresh one is allocated. Two buffers therefore alternate in an ordinary training loop.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import autodiff
from autodiff.errors import ArgumentError, DTypeError, ShapeError
from autodiff.modes import taken_whole
from optim.prepared import PreparedStep

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


def _references(box: list[Any]) -> int:
    return sys.getrefcount(box[0])


# What _references() says of an object that nothing but the box holds; measured, as interpreters count their own stack differently.
_ALONE = _references([object()])
# Without the global lock another thread might take a reference between the count and the writing.
_COUNTS = bool(getattr(sys, "_is_gil_enabled", lambda: True)())


class _Bucket:
    """Neighbouring parameters of one group and dtype whose values lie in one flat vector."""

    __slots__ = ("dtype", "flat", "given", "gradient", "offsets", "params", "shapes", "size", "slots", "spare", "views")

    def __init__(self, params: list[Any], arrays: list[Array]) -> None:
        self.params = params
        self.dtype = arrays[0].dtype
        self.shapes = [a.shape for a in arrays]
        self.offsets = [0]
        for array in arrays:
            self.offsets.append(self.offsets[-1] + array.size)
        self.size = self.offsets[-1]
        self.flat: Array | None = None  # the array that the parameters are views of
        self.given: list[Array] = []  # the very arrays bound to p.data by the last step
        self.spare: list[Any] = [None]  # in a list, so that counting its references does not add one
        self.slots: dict[str, Array] = {}
        self.views: dict[str, list[Array]] = {}
        self.gradient: Array | None = None

    def cut(self, flat: Array) -> list[Array]:
        """The parameters' parts of a flat vector, each in its parameter's shape."""
        if len(self.shapes) == 1:
            return [flat if flat.shape == self.shapes[0] else flat.reshape(self.shapes[0])]
        offsets = self.offsets
        return [flat[offsets[i] : offsets[i + 1]].reshape(shape) for i, shape in enumerate(self.shapes)]

    def blank(self) -> Array:
        """An array for new values: the spare one if nobody else can see it, else a fresh one."""
        box = self.spare
        if box[0] is not None and _COUNTS and _references(box) == _ALONE:
            array: Array = box[0]
            box[0] = None
            return array
        # A parameter that is alone gets an array of its own shape, not a view of a flat one.
        return np.empty(self.shapes[0] if len(self.shapes) == 1 else self.size, self.dtype)

    def bound(self, arrays: list[Array]) -> bool:
        """Whether the parameters' arrays are the very ones that the last step bound."""
        return self.flat is not None and all(map(operator.is_, arrays, self.given))

    def fits(self, arrays: list[Array]) -> bool:
        """Whether the parameters' arrays still have the shapes and the dtype that the bucket was made for."""
        return self.bound(arrays) or all(
            a.shape == shape and a.dtype == self.dtype for a, shape in zip(arrays, self.shapes, strict=True)
        )

    def current(self, arrays: list[Array]) -> Array:
        """The parameters' values as one array; no copy as long as they are what the last step bound."""
        if self.flat is not None and self.bound(arrays):
            return self.flat
        # Somebody bound other arrays to p.data: what we handed out before is theirs now.
        self.flat, self.spare[0] = None, None
        if len(arrays) == 1:
            return arrays[0]
        return np.concatenate([a.ravel() for a in arrays])

    def joined(self, grads: list[Array]) -> Array:
        if len(grads) == 1:
            return grads[0]
        if self.gradient is None:
            self.gradient = np.empty(self.size, self.dtype)
        np.concatenate([g.ravel() for g in grads], out=self.gradient)
        return self.gradient


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
        self._step_count = 0
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

    def _begin(self, group: Group, state: State) -> Any:
        """Advance a parameter's counters; what is returned is handed to :meth:`_update` as ``turn``."""
        step = int(state.get("step", 0)) + 1
        state["step"] = step
        return step

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
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
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
            for bucket, arrays in self._plan(group):
                grads = [_gradient_of(self._name, p, a) for p, a in zip(bucket.params, arrays, strict=True)]
                if any(g is not None for g in grads):
                    work.append((group, bucket, arrays, grads))
        for group, bucket, arrays, grads in work:
            self._step_bucket(group, bucket, arrays, grads)
        self._step_count += 1
        return loss

    def _prepared(self) -> PreparedStep | None:
        """The step for a plan of ``autodiff.compile``; None where a plan must call :meth:`step` as it is."""
        # A formula from elsewhere might read the old values after it has written new ones, and the two are one here.
        known = type(self).__module__.partition(".")[0] == "optim" and type(self).step is Optimizer.step
        real = all(p.data.dtype.kind == "f" and p.data.size for group in self.param_groups for p in group["params"])
        return PreparedStep(self, BLOCK) if known and real else None

    def _plan(self, group: Group) -> list[tuple[_Bucket, list[Array]]]:
        """The group's parameters in buckets, kept from step to step as long as shapes and dtypes stay; and their arrays."""
        params: list[Any] = group["params"]
        known, buckets = self._plans.get(id(group), ([], []))
        if len(known) == len(params) and all(map(operator.is_, known, params)):
            plan = [(bucket, [p.data for p in bucket.params]) for bucket in buckets]
            if all(bucket.fits(arrays) for bucket, arrays in plan):
                return plan
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
        return [(bucket, [p.data for p in bucket.params]) for bucket in buckets]

    def _step_bucket(self, group: Group, bucket: _Bucket, arrays: list[Array], grads: list[Array | None]) -> None:
        old = bucket.current(arrays)
        states = [self.state.get(p, {}) if g is None else self.state.setdefault(p, {}) for p, g in zip(bucket.params, grads, strict=True)]
        # Neighbours at the same turn are updated by the same calls.
        runs: list[tuple[int, int, Any]] = []
        first, last, turn = 0, 0, None
        for i, g in enumerate(grads):
            if g is None:
                continue
            now = self._begin(group, states[i])
            if last == i and last > first and now == turn:
                last = i + 1
                continue
            if last > first:
                runs.append((first, last, turn))
            first, last, turn = i, i + 1, now
        runs.append((first, last, turn))
        names = self._slots(group)
        for name in names:
            self._adopt(group, bucket, name, states, grads)
        whole = bucket.blank()
        flat_old, flat_new = _real(old.reshape(-1)), _real(whole.reshape(-1))
        width = flat_new.size // bucket.size if bucket.size else 1  # 2 for complex numbers
        flat_slots = [_real(bucket.slots[name]) for name in names]
        if len(runs) != 1 or runs[0][:2] != (0, len(grads)):
            flat_new[:] = flat_old  # parameters without a gradient keep their values
        for first, last, turn in runs:
            given = [g for g in grads[first:last] if g is not None]
            start, stop = bucket.offsets[first] * width, bucket.offsets[last] * width
            gradient = bucket.joined(given) if last - first == len(grads) else np.concatenate([g.ravel() for g in given])
            self._walk(group, turn, flat_old, _real(gradient.reshape(-1)), flat_new, flat_slots, start, stop)
        views = bucket.cut(whole)
        for p, view in zip(bucket.params, views, strict=True):
            p.data = view
        bucket.spare[0] = bucket.flat
        bucket.flat, bucket.given = whole, views

    def _walk(self, group: Group, turn: Any, old: Array, gradient: Array, new: Array, slots: list[Array], start: int, stop: int) -> None:
        """Apply the formula to ``start:stop``, block by block; ``gradient`` begins at ``start``."""
        scratch = self._scratch.get(old.dtype)
        if scratch is None:
            scratch = self._scratch[old.dtype] = [np.empty(BLOCK, old.dtype) for _ in range(3)]
        for lo in range(start, stop, BLOCK):
            hi = min(lo + BLOCK, stop)
            part = slice(lo, hi)
            self._update(
                group,
                turn,
                old[part],
                gradient[lo - start : hi - start],
                new[part],
                [s[part] for s in slots],
                scratch if hi - lo == BLOCK else [s[: hi - lo] for s in scratch],
            )

    def _adopt(self, group: Group, bucket: _Bucket, name: str, states: list[State], grads: list[Array | None]) -> None:
        """See that the bucket's flat vector of this state array holds what ``self.state`` says, and that it lies there."""
        flat = bucket.slots.get(name)
        if flat is None:
            flat = bucket.slots[name] = np.full(bucket.size, self._initial(group, name, bucket.dtype), bucket.dtype)
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
