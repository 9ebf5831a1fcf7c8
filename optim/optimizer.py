"""What every optimiser shares: a table of options, parameter groups, state, and one way to take a step.

An optimiser is a table of options and a formula. The formula writes new values over old ones, given the gradient and
the state, on one-dimensional arrays; it knows neither shapes nor parameters. :mod:`optim.flat` brings the vectors to
it. A large vector is worked through in blocks that stay in the processor's cache, since ten passes over memory cost
more than the arithmetic; a formula may offer a compiled kernel besides. Under :func:`autodiff.plain` every parameter is
a vector of its own, in one piece, in NumPy alone. The bits are the same.

**A step writes into the parameters' own arrays**, as PyTorch's does. The first step copies the values into memory of
the optimiser's, so an array that a Tensor was made from is never changed; from then on ``p.data`` shows every step. A
backward pass through a graph that was recorded before the step, and that needs values which the step has changed, is
refused.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias, TypedDict, TypeVar, dataclass_transform, overload

import numpy as np

import autodiff
from autodiff import Tensor
from autodiff.core.errors import ArgumentError, AutodiffError, DTypeError, ShapeError
from autodiff.core.modes import current_state, is_plain
from autodiff.docstrings import Derived, completed
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.rows import RowSparse, no_gradient
from optim.flat import Array, Flat, Ordinary, State, array_of, real, runs_of

__all__ = ["Optimizer", "option"]

#: Options by name, whose values have a type each.
Options: TypeAlias = dict[str, Any]
Group = Options
T = TypeVar("T")


class OptimizerState(TypedDict):
    """What an optimiser's ``state_dict`` holds, in PyTorch's form."""

    #: By the parameters' numbers.
    state: dict[int, State]
    #: Their ``"params"`` are numbers.
    param_groups: list[Options]


class Learned(Protocol):
    """A parameter: a Tensor, or anything with its value and its gradient."""

    @property
    def data(self) -> object:
        """The value, an array."""

    @property
    def grad(self) -> object:
        """The gradient, an array or None."""


#: What an optimiser takes: parameters, pairs of a name and one, or groups of them with options of their own.
Parameters: TypeAlias = Iterable[Learned | tuple[str, Learned] | Mapping[str, object]]


class HasGroups(Protocol):
    """What a schedule changes: an optimiser, or anything with groups of options."""

    @property
    def param_groups(self) -> list[Options]:
        """The groups."""
        ...


class Network(Protocol):
    """A model that is trained: an ``nn.Module``, or anything with its methods."""

    def parameters(self) -> Iterable[Any]:
        """The parameters."""
        ...

    def train(self, mode: bool = True) -> object:
        """Training behaviour."""

    def eval(self) -> object:
        """Evaluation behaviour."""

    def state_dict(self) -> Mapping[str, object]:
        """Arrays by name."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, object]) -> object:
        """Take such arrays over."""


# Elements worked on at once: four or five such float32 vectors fill half of a 1 MiB second-level cache.
BLOCK = THRESHOLDS["STEP"].value
# Parameters up to this size are joined: below it the calls cost more than the copy of the gradient that joining takes.
SMALL = THRESHOLDS["ALONE"].value


# Options of PyTorch's optimisers that choose between implementations; they mean nothing here.
_ELSEWHERE = frozenset({"capturable", "differentiable", "foreach", "fused"})


class Option(NamedTuple):
    """One option of an optimiser: what :func:`option` was told."""

    default: Any
    test: Any
    words: str
    kw_only: bool
    init: bool


class _InGroups:
    """Stands for an option on the class: its values are in the parameter groups."""

    def __init__(self, name: str) -> None:
        self.name = name

    def _told(self, optimizer: object, value: str) -> str:
        return (
            f"{type(optimizer).__name__} has no attribute {self.name!r}: options stand in the groups; write"
            f" for group in optimizer.param_groups: group[{self.name!r}]{value}"
        )

    def __get__(self, optimizer: object, owner: object) -> Any:
        raise AttributeError(self._told(optimizer, ""))

    def __set__(self, optimizer: object, value: object) -> None:
        raise ArgumentError(self._told(optimizer, f" = {value!r:.40}"))


def option(
    default: T, allowed: tuple[Callable[[T], bool], str] | None = None, *, kw_only: bool = False, init: bool = True
) -> T:
    """An option of an optimiser, as the value of a field of its class.

    Type checkers read the fields as those of a dataclass; they know a default by the keyword alone.

    Parameters
    ----------
    default : object
    allowed : (callable, str), optional
        A test of a value, and what to say of allowed ones: ``(lambda lr: lr > 0, "a number > 0")``.
    kw_only : bool
        Whether it is given by name alone.
    init : bool
        Whether it can be given at all; if not, its groups hold the default.

    Examples
    --------
    See :class:`Optimizer`.
    """
    test, words = (lambda _: True, "") if allowed is None else allowed
    return Option(default, test, words, kw_only, init)  # type: ignore[return-value]


@dataclass_transform(eq_default=False, field_specifiers=(option,))
class Optimizer:
    """Base of all optimisers.

    A subclass is a table of options, from which its signature, defaults, checks and ``repr`` follow; the names of its
    state arrays (:meth:`_slots`); and its formula (:meth:`_update`). One that defines ``__init__`` itself calls this
    one with its defaults.

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
    An optimiser of one's own:

    >>> import autodiff
    >>> class SignDescent(Optimizer):
    ...     params: Iterable[Any]
    ...     lr: float = option(default=0.1, allowed=(lambda lr: lr > 0, "a number > 0"))
    ...
    ...     def _update(self, group, turn, p, g, slots, scratch):
    ...         p -= group["lr"] * np.sign(g)
    >>> w = autodiff.tensor([4.0, -4.0], requires_grad=True)
    >>> optimizer = SignDescent([w], lr=1.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data
    array([ 3., -3.])
    """

    #: The table: option -> what is known of it. A subclass's fields extend and replace its base's.
    _options: ClassVar[dict[str, Option]] = {}
    #: Of the example in its docstring: the arguments, and where a step from 4 along the gradient of w² leads.
    _example: ClassVar[tuple[str, str] | None] = None
    #: What is a number in the state of a parameter, and not an array.
    _counters: ClassVar[dict[str, type]] = {"step": int}

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Option)}
        for name in own:
            setattr(cls, name, _InGroups(name))
        written = cls.__doc__ or ""
        cls.__doc__ = Derived(lambda kind: _doc(kind, written))  # type: ignore[assignment]
        if own:
            cls._options = {**cls._options, **own}
            if "__init__" not in vars(cls):
                cls.__init__ = _init_of(cls)  # type: ignore[method-assign]

    def __init__(self, params: Parameters, defaults: Options) -> None:
        self.defaults = dict(defaults)
        self.state: dict[Any, State] = {}  # by parameter
        self.param_groups: list[Group] = []
        self._flats: dict[int, tuple[bool, list[Any], list[Flat]]] = {}
        self._scratch: dict[Any, list[Array]] = {}
        self._cells: dict[Any, tuple[Array, list[Array]]] = {}
        self._ordinary: Ordinary | None = None
        self._step_count = 0
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
            raise ArgumentError(
                f"{self._name}: got no parameters; a model finds its layers as attributes and in an nn.ModuleList, not"
                " in a plain list, and an array as an nn.Parameter"
            )
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)  # type: ignore[arg-type]

    @property
    def _name(self) -> str:
        return type(self).__name__

    # --- what a subclass says -----------------------------------------------------------------------------------------

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
        steps: list[Any] = []
        for state in states:
            state["step"] = step = int(state.get("step", 0)) + 1
            steps.append(step)
        return steps

    def _update(self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array], scratch: list[Array]) -> None:
        """The formula, on one-dimensional real arrays of one length: write new values over ``p`` and over ``slots``.

        ``g`` is never written into; ``scratch`` are three arrays to write into at will.
        """
        raise NotImplementedError(f"{self._name} defines no _update")

    def _kernel(self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array]) -> bool:
        """The formula as compiled code, where that pays; returns whether it was applied."""
        return False

    def _rows_of(self, group: Group, g: RowSparse) -> Any:
        """A gradient of rows as the formula takes it: as it is, to go over these rows alone, or dense."""
        raise ArgumentError(
            f"{self._name}: takes no sparse gradients; use optim.SparseAdam, SGD or Adagrad, or an embedding with"
            " sparse=False"
        )

    def _fitting(self, group: Group, grads: list[Any]) -> list[Any]:
        """The gradients as the formula takes them."""
        return [self._rows_of(group, g) if g.__class__ is RowSparse else g for g in grads]

    def _state_shape(self, name: str, p: Any) -> tuple[int, ...]:
        """The shape of a state array: the parameter's."""
        return p.data.shape  # type: ignore[no-any-return]

    # --- parameter groups ---------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: Options) -> None:
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
        if hasattr(params, "grad") and hasattr(params, "data"):
            params = [params]
        if not isinstance(params, Iterable):
            raise ArgumentError(f"{self._name}: 'params' of a group are parameters, got a {type(params).__name__}")
        params = list(params)
        if params and all(isinstance(entry, tuple) and len(entry) == 2 for entry in params):
            group["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        if not params:
            raise ArgumentError(f"{self._name}: a parameter group is empty")
        seen = {id(p) for other in self.param_groups for p in other["params"]}
        for i, p in enumerate(params):
            later = hasattr(type(p), "materialize")  # of a lazy layer, which has no array yet
            if not later and not (hasattr(p, "data") and hasattr(p, "grad")):
                raise ArgumentError(
                    f"{self._name}: parameter {i} is a {type(p).__name__}; it needs .data and .grad, as a Tensor has"
                )
            if not later and (not isinstance(array_of(p), np.ndarray) or array_of(p).dtype.kind not in "fc"):
                kind = array_of(p).dtype if isinstance(array_of(p), np.ndarray) else type(array_of(p)).__name__
                raise DTypeError(
                    f"{self._name}: parameter {i} holds {kind}; only floating-point and complex arrays can be optimised"
                )
            if not getattr(p, "is_leaf", True):
                raise ArgumentError(
                    f"{self._name}: parameter {i} was computed from others; only leaves can be optimised"
                )
            if id(p) in seen:
                raise ArgumentError(f"{self._name}: parameter {i} appears twice")
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
        for name, known in self._options.items():
            value = group[name]
            try:
                fine = known.test(value) and isinstance(value, bool) <= isinstance(known.default, bool)
            except (TypeError, ValueError):
                fine = False
            if not fine:
                raise ArgumentError(f"{self._name}: {name} must be {known.words}, got {value!r}")

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
                    p.grad = no_gradient(p.grad)

    # --- a step -------------------------------------------------------------------------------------------------------

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], T]) -> T: ...
    def step(self, closure: Callable[[], object] | None = None) -> object:
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
        state = current_state()
        if closure is not None and not callable(closure):
            raise ArgumentError(
                f"{self._name}.step: takes no loss, got a {type(closure).__name__}; call loss.backward() and then"
                " step()"
            )
        if state is not None and state.tracer is not None and closure is None:
            done = state.tracer.step(self)
            if done is not NotImplemented:
                return done
        if closure is not None:
            with autodiff.enable_grad():
                loss = closure()
        plain = is_plain()
        if self._ordinary is not None and not plain:
            given = self._ordinary.gradients(self)
            if given is not None:
                self._take(self._ordinary, given)
                return loss
        work = [
            (group, flat, self._fitting(group, flat.gradients(self._name)))
            for group in self.param_groups
            for flat in self._vectors(group, plain)
        ]
        work = [(group, flat, grads) for group, flat, grads in work if any(g is not None for g in grads)]
        for _, flat, _ in work:
            flat.bind()
        for group, flat, grads in work:
            self._step_flat(group, flat, grads, plain)
        by_rows = any(g.__class__ is RowSparse for _, _, grads in work for g in grads)
        self._ordinary = None if plain or by_rows else Ordinary.of(self, [(group, flat) for group, flat, _ in work])
        self._step_count += 1
        return loss

    def ordinary(self) -> Ordinary | None:
        """What the next step finds as the last one left it, for ``autodiff.jit``; None if the step is not this class's
        own.
        """
        own = type(self).step is Optimizer.step and "step" not in self.__dict__
        return self._ordinary if own else None

    def step_along(self, ordinary: Ordinary, grads: list[Array], leaves: list[Tensor]) -> None:
        """A step whose caller has seen that nothing but the gradients has changed since ``ordinary`` was made."""
        if not ordinary.is_named(self) or is_plain():
            self.step()
            return
        ordinary.mark(leaves)
        self._take(ordinary, grads)

    def _take(self, ordinary: Ordinary, grads: list[Any]) -> None:
        for group, flat, states, slots, first, last in ordinary.parts:
            self._advance(group, flat, grads[first:last], None, self._begin(group, states), slots)
        self._step_count += 1

    def _vectors(self, group: Group, plain: bool) -> list[Flat]:
        """The group's parameters as vectors, kept from step to step as long as shapes and dtypes stay."""
        params: list[Any] = group["params"]
        as_before, known, flats = self._flats.get(id(group), (plain, [], []))
        if (
            plain is as_before
            and len(known) == len(params)
            and all(map(operator.is_, known, params))
            and all(flat.fits() for flat in flats)
        ):
            return flats
        runs: list[list[Any]] = []
        for p in params:
            joins = not plain and runs and max(array_of(p).size, array_of(runs[-1][0]).size) <= SMALL
            if joins and array_of(p).dtype == array_of(runs[-1][0]).dtype:
                runs[-1].append(p)
            else:
                runs.append([p])
        flats = [Flat(run) for run in runs]
        self._flats[id(group)] = (plain, list(params), flats)
        return flats

    def _step_flat(self, group: Group, flat: Flat, grads: list[Array | None], plain: bool) -> None:
        """Take the step of one vector."""
        used = [g is not None for g in grads]
        names = self._slots(group)
        states = [
            self.state.setdefault(p, {}) if takes_part else self.state.get(p, {})
            for p, takes_part in zip(flat.params, used, strict=True)
        ]
        begun = iter(self._begin(group, [s for s, takes_part in zip(states, used, strict=True) if takes_part]))
        turns = [next(begun) if takes_part else None for takes_part in used]
        starts = [self._initial(group, name, flat.dtype) for name in names]
        slots = flat.adopt(names, states, starts, used)
        flat.mark_written()
        dense = [g is not None and not isinstance(g, RowSparse) for g in grads]
        if any(dense):
            self._advance(group, flat, grads, None if all(dense) else dense, turns, slots, plain)
        for view, state, g, turn in zip(flat.views, states, grads, turns, strict=True):
            if isinstance(g, RowSparse):
                self._step_rows(group, turn, [view, *map(state.__getitem__, names)], g, plain)

    def _step_rows(self, group: Group, turn: Any, arrays: list[Array], g: Any, plain: bool) -> None:
        """Apply the formula to the rows that have a gradient, of a parameter and its state: the others stay."""
        (rows,) = g.indices()
        if rows.size:
            taken = [array[rows] for array in arrays]
            p, *slots = (real(part.reshape(-1)) for part in taken)
            self._walk(group, turn, p, real(g.values().reshape(-1)), slots, plain)
            for array, part in zip(arrays, taken, strict=True):
                array[rows] = part

    def _advance(
        self,
        group: Group,
        flat: Flat,
        grads: list[Any],
        used: list[bool] | None,
        turns: list[Any],
        slots: list[Array],
        plain: bool = False,
    ) -> None:
        """Apply the formula to the parameters that are used, None for all: in one piece if these are at one turn."""
        if used is None and turns.count(turns[0]) == len(turns):
            self._walk(group, turns[0], flat.line, flat.joined(grads), slots, plain)
            return
        for first, last, turn in runs_of(turns, used or [True] * len(turns)):
            part = slice(flat.offsets[first], flat.offsets[last])
            gradient: Array = np.concatenate(grads[first:last], axis=None)  # type: ignore[arg-type]
            self._walk(group, turn, flat.line[part], real(gradient), [slot[part] for slot in slots], plain)

    def _walk(self, group: Group, turn: Any, p: Array, g: Array, slots: list[Array], plain: bool) -> None:
        """Apply the formula: in compiled code where the optimiser has some, else block by block."""
        if not plain and self._kernel(group, turn, p, g, slots):
            return
        size = p.size
        if plain:
            self._update(group, turn, p, g, slots, [np.empty(size, p.dtype) for _ in range(3)])
        elif size <= BLOCK:
            self._update(group, turn, p, g, slots, self._scratch_of(p.dtype, size))
        else:
            for lo in range(0, size, BLOCK):
                part = slice(lo, min(lo + BLOCK, size))
                scratch = self._scratch_of(p.dtype, part.stop - lo)
                self._update(group, turn, p[part], g[part], [slot[part] for slot in slots], scratch)

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

    # --- saving -------------------------------------------------------------------------------------------------------

    def state_dict(self) -> OptimizerState:
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

    def _read(self, state_dict: Mapping[str, object]) -> dict[str, Any]:
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            raise ArgumentError(f"{self._name}: a state dict has the keys 'state' and 'param_groups'")
        return dict(state_dict)

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Take over what :meth:`state_dict` gave; arrays are copied and cast to the parameters' dtypes.

        Raises
        ------
        ArgumentError
            If keys are missing, or the groups have other numbers of parameters than here. Nothing has been changed
            then.
        ShapeError, DTypeError
            If a state array has another shape than its parameter, or is complex and that is not. Nothing has been
            changed then.
        """
        try:
            self._load(self._read(state_dict))
        except AutodiffError:
            raise
        except Exception as error:
            raise ArgumentError(f"{self._name}: not the state of an optimiser: {error!r:.200}") from error

    def _load(self, given: dict[str, Any]) -> None:
        saved = given["param_groups"]
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
        for key, held in given["state"].items():
            number = int(key)
            if number not in by_number:
                raise ArgumentError(
                    f"{self._name}: the state dict has state for parameter {key}, which is in none of its groups"
                )
            p = by_number[number]
            state[p] = {}
            for name, value in held.items():
                if name in self._counters:
                    state[p][name] = self._counters[name](value)
                elif value is not None:
                    value = value.detach() if hasattr(value, "detach") else value
                    array = np.asarray(value)
                    if array.dtype.kind == "c" != array_of(p).dtype.kind:
                        raise DTypeError(f"{self._name}: {name} of parameter {key} is complex, the parameter is not")
                    array = np.array(array, dtype=array_of(p).dtype)
                    if array.shape != self._state_shape(name, p):
                        raise ShapeError(
                            f"{self._name}: {name} of parameter {key} has shape {array.shape}, the parameter"
                            f" {array_of(p).shape}"
                        )
                    state[p][name] = array
        groups = []
        for group, other in zip(self.param_groups, saved, strict=True):
            merged = group | {
                k: tuple(v) if isinstance(v, list) else v for k, v in other.items() if k not in _ELSEWHERE
            }
            merged["params"] = group["params"]
            self._check(merged)
            for p in group["params"]:
                held = state.get(p, {})
                missing = [name for name in self._slots(merged) if held and name not in held]
                if missing:
                    raise ArgumentError(f"{self._name}: the state dict has steps of a parameter, but no {missing}")
            groups.append(merged)
        for group, merged in zip(self.param_groups, groups, strict=True):
            group.update(merged)
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle takes along: not what only holds as long as arrays are views of one another, which
        copies are not.
        """
        return {**self.__dict__, "_ordinary": None, "_flats": {}, "_scratch": {}, "_cells": {}}

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for i, group in enumerate(self.param_groups):
            options = ", ".join(f"{k}={v!r}" for k, v in sorted(group.items()) if k not in ("params", "param_names"))
            lines.append(f"  group {i}: {len(group['params'])} parameters, {options}")
        return "\n".join([*lines, ")"])


#: What the options mean, where an optimiser does not say otherwise.
WORDS = """\
params : iterable
    Parameters or parameter groups, see :class:`~optim.Optimizer`.
lr : float
    Learning rate.
betas : tuple of float
    ``(beta1, beta2)``.
eps : float
    Added to what is divided by.
weight_decay : float
    Adds ``weight_decay * p`` to the gradient.
decoupled_weight_decay : bool
    Shrink the parameters by ``1 - lr weight_decay`` instead of adding to the gradient, as :class:`~optim.AdamW` does.
maximize : bool
    Ascend.""".splitlines()
_RAISES = ["ArgumentError", "    If an option has a value that is not allowed."]


def _doc(cls: type[Optimizer], written: str) -> str:
    """An optimiser's docs: its own words, and those that all share."""
    names = ["params", *(name for name, known in cls._options.items() if known.init)]
    otherwise = {name: type(known.default).__name__ for name, known in cls._options.items()}
    parts = {"Parameters": WORDS, "Raises": _RAISES}
    if cls._example is not None:
        arguments, result = cls._example
        parts["Examples"] = [
            ">>> import autodiff, optim",
            ">>> w = autodiff.tensor([4.0], requires_grad=True)",
            f">>> optimizer = optim.{cls.__name__}([w], {arguments})",
            ">>> (w * w).sum().backward()",
            ">>> optimizer.step()",
            ">>> w.data.round(4)",
            result,
        ]
    return completed(written, names, parts, otherwise)


def _init_of(cls: type[Optimizer]) -> Any:
    """The ``__init__`` that a table of options stands for."""
    kinds = inspect.Parameter
    given = [(name, known) for name, known in cls._options.items() if known.init]
    signature = inspect.Signature(
        [
            kinds("self", kinds.POSITIONAL_OR_KEYWORD),
            kinds("params", kinds.POSITIONAL_OR_KEYWORD),
            *(kinds(n, kinds.POSITIONAL_OR_KEYWORD, default=k.default) for n, k in given if not k.kw_only),
            *(kinds(n, kinds.KEYWORD_ONLY, default=k.default) for n, k in given if k.kw_only),
        ]
    )

    def __init__(*args: Any, **kwargs: Any) -> None:
        if not _ELSEWHERE.isdisjoint(kwargs):
            if kwargs.get("differentiable"):
                raise ArgumentError(f"{cls.__name__}: a step is not differentiable; leave differentiable=True out")
            kwargs = {name: value for name, value in kwargs.items() if name not in _ELSEWHERE}
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{cls.__name__}() {error}") from None
        bound.apply_defaults()
        values = dict(bound.arguments)
        this, params = values.pop("self"), values.pop("params")
        fixed = {name: known.default for name, known in this._options.items() if name not in values}
        Optimizer.__init__(this, params, {**values, **fixed})

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    __init__.__module__ = cls.__module__
    return __init__


def decayed(group: Group, p: Array, g: Array, scratch: Array) -> Array:
    """The gradient to descend: negated for ``maximize``, plus ``weight_decay`` times the parameter (L2); decoupled, the
    decay shrinks the parameter instead.

    Written into ``scratch`` if anything is to be done, else ``g`` itself.
    """
    weight_decay, maximize = group["weight_decay"], group["maximize"]
    if weight_decay and group.get("decoupled_weight_decay"):
        np.multiply(p, 1 - group["lr"] * weight_decay, p)
    elif weight_decay:
        np.multiply(p, weight_decay, scratch)
        (np.subtract if maximize else np.add)(scratch, g, scratch)
        return scratch
    if maximize:
        return np.negative(g, scratch)
    return g


def averaged(mean: Array, g: Array, beta: float, temporary: Array) -> None:
    """``mean = beta mean + (1 - beta) g``, in place."""
    np.subtract(g, mean, temporary)
    np.multiply(temporary, 1 - beta, temporary)
    np.add(mean, temporary, mean)


def averaged_square(square: Array, g: Array, beta: float, temporary: Array) -> None:
    """``square = beta square + (1 - beta) g²``, in place."""
    np.multiply(square, beta, square)
    np.multiply(g, g, temporary)
    np.multiply(temporary, 1 - beta, temporary)
    np.add(square, temporary, square)


FINITE = (math.isfinite, "a finite number")
NON_NEGATIVE = (lambda value: 0.0 <= value < math.inf, "a finite number >= 0")
BETAS = (lambda betas: len(betas) == 2 and all(0.0 <= beta < 1.0 for beta in betas), "two numbers in [0, 1)")
