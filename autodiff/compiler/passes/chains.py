"""A chain of elementwise operations as one call: block by block in NumPy, or as one compiled loop.

NumPy runs every operation over whole arrays, and so each intermediate result travels to memory and back. A
:class:`Chain` computes the same operations, in the same order for every element, and so to the same bits, while
intermediates stay in cache or in registers:

* NumPy runs all operations on one *block* of elements before it goes on to the next. Results of its elementwise loops
  do not depend on where in
  an array an element lies, for the operations in :data:`POINTWISE`: a test shows it of every one of them.
* numba, where it is installed, compiles the operations in :data:`LOOPS` into one loop over the elements. These are
  rounded once by IEEE 754
  (+, -, *, /, square root) or exact (comparisons, choices, casts), and the compiler may neither reorder them nor
  contract a product and a sum into one rounding. What is not among them (exp, tanh, ...) stays NumPy's own call,
  between two loops, on a block.

Compiling takes some tenths of a second. A chain waits until its replays in NumPy have lost about as much against the
compiled loop as that takes, so at most half of the time that it ever spends is wasted; chains of the same source are
compiled once in a process. A plan made in the mode ``numba`` of :mod:`autodiff.kernels` compiles in its first replay,
one made in the mode ``numpy`` never.

Warnings are those of the eager calls: while a chain computes, floating-point errors are only noted, and if there were
any that the caller's ``np.errstate`` heeds, the operations are done again one by one, which warns or raises as they do.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from autodiff import kernels
from autodiff.fast.thresholds import THRESHOLDS

__all__ = ["BLOCK", "CAST", "LOOPS", "POINTWISE", "Chain", "Step", "Value", "compiles", "least"]

# From so many elements on a chain is worth a compiled loop, in the mode "auto".
_LEAST = THRESHOLDS["CHAIN"].value

#: Elements in a block: some arrays of so many stay in a core's second-level cache, and NumPy's cost per call is small
#: beside so many.
BLOCK = THRESHOLDS["CHAIN_BLOCK"].value


class _Cast:
    """``array.astype(dtype)``, the dtype being that of the result."""

    __name__ = "astype"


CAST = _Cast()

#: Ufuncs whose result for an element depends on nothing but the element.
POINTWISE = frozenset(
    {
        np.add,
        np.subtract,
        np.multiply,
        np.true_divide,
        np.negative,
        np.positive,
        np.absolute,
        np.fabs,
        np.sqrt,
        np.square,
        np.reciprocal,
        np.sign,
        np.exp,
        np.exp2,
        np.expm1,
        np.log,
        np.log2,
        np.log10,
        np.log1p,
        np.sin,
        np.cos,
        np.tan,
        np.arcsin,
        np.arccos,
        np.arctan,
        np.sinh,
        np.cosh,
        np.tanh,
        np.arcsinh,
        np.arccosh,
        np.arctanh,
        np.cbrt,
        np.maximum,
        np.minimum,
        np.arctan2,
        np.hypot,
        np.logaddexp,
        np.logaddexp2,
        np.floor,
        np.ceil,
        np.rint,
        np.trunc,
        np.greater,
        np.greater_equal,
        np.less,
        np.less_equal,
        np.equal,
        np.not_equal,
        np.isnan,
        np.isfinite,
        np.isinf,
        np.signbit,
        np.copysign,
        np.logical_and,
        np.logical_or,
        np.logical_not,
        np.logical_xor,
        np.bitwise_and,
        np.bitwise_or,
        np.bitwise_xor,
        np.invert,
        np.power,
        np.heaviside,
    }
)

#: Callable -> its expression for a compiled loop, whose bits are NumPy's.
LOOPS: dict[Any, str] = {
    np.add: "{} + {}",
    np.subtract: "{} - {}",
    np.multiply: "{} * {}",
    np.true_divide: "{} / {}",
    np.negative: "-{}",
    np.positive: "{}",
    np.absolute: "abs({})",
    np.fabs: "abs({})",
    np.sqrt: "np.sqrt({})",
    np.square: "{0} * {0}",
    np.reciprocal: "one / {}",
    np.greater: "{} > {}",
    np.greater_equal: "{} >= {}",
    np.less: "{} < {}",
    np.less_equal: "{} <= {}",
    np.equal: "{} == {}",
    np.not_equal: "{} != {}",
    np.isnan: "{0} != {0}",
    np.isfinite: "(abs({0}) != inf) & ({0} == {0})",
    np.where: "{1} if {0} else {2}",
    CAST: "{}",
    np.sign: "(one if {0} > zero else (-one if {0} < zero else (zero if {0} == zero else {0})))",
    # Of two zeros NumPy's vector loops give the second, and of two NaNs the first.
    np.maximum: "({0} if ({0} > {1} or {0} != {0}) else {1})",
    np.minimum: "({0} if ({0} < {1} or {0} != {0}) else {1})",
    np.logical_and: "{} & {}",
    np.logical_or: "{} | {}",
    np.logical_not: "not {}",
    np.logical_xor: "{} ^ {}",
    np.bitwise_and: "{} & {}",
    np.bitwise_or: "{} | {}",
    np.bitwise_xor: "{} ^ {}",
    np.invert: "not {}",
}

# What a loop does not compute twice, and how many other steps it does for one value.
_DEAR = {np.true_divide, np.sqrt, np.reciprocal}
_AGAIN = 6

_ONLY_BOOL = {
    np.bitwise_and,
    np.bitwise_or,
    np.bitwise_xor,
    np.invert,
    np.logical_and,
    np.logical_or,
    np.logical_not,
    np.logical_xor,
}
_BITS = {np.dtype(np.float32): np.dtype(np.int32), np.dtype(np.float64): np.dtype(np.int64)}
_NAMES = {np.dtype(np.float32): "np.float32", np.dtype(np.float64): "np.float64", np.dtype(bool): "np.bool_"}


@dataclass(eq=False)
class Value:
    """What a chain reads or computes.

    Parameters
    ----------
    kind : {"full", "row", "column", "scalar", "number", "computed"}
        An array of all elements; one that is the same in every row, or in every column; a single value from outside, or
        written down; or a result.
    dtype : dtype or type
        Of a Python number its type.
    literal : object
        The number of the kind "number".
    place : int or None
        Which of the chain's outputs it is.
    """

    kind: Literal["full", "row", "column", "scalar", "number", "computed"]
    dtype: Any
    literal: Any = None
    place: int | None = None
    name: str = ""


@dataclass(eq=False)
class Step:
    """One operation of a chain: a ufunc, ``np.where`` or :data:`CAST`; with what it changes of the chain's
    floating-point error state.
    """

    target: Any
    args: list[Value]
    out: Value
    errors: dict[str, Any] | None = None

    @property
    def loop(self) -> tuple[Any, ...] | None:
        """The dtypes that the operation computes with, if it may stand in a compiled loop."""
        if self.target not in LOOPS:
            return None
        found = self._dtypes()
        if found is None or any(d not in _NAMES for d in (*found, self.out.dtype)):
            return None
        if self.target in _ONLY_BOOL and any(d != np.bool_ for d in found):
            return None
        arithmetic = self.target not in _ONLY_BOOL and self.target not in (np.where, CAST)
        if arithmetic and any(d == np.bool_ for d in found):
            return None
        if self.target is CAST and self.out.dtype == np.bool_ and found[0] != np.bool_:
            return None
        if self.target in (np.maximum, np.minimum) and not _second_of_zeros(self.target, found[0]):
            return None
        return found

    def _dtypes(self) -> tuple[Any, ...] | None:
        given = tuple(value.dtype for value in self.args)
        if self.target is CAST:
            return None if isinstance(given[0], type) else given
        if self.target is np.where:
            return (np.dtype(bool), self.out.dtype, self.out.dtype) if given[0] == np.bool_ else None
        try:
            *found, out = self.target.resolve_dtypes((*given, None))
        except TypeError:
            return None
        return tuple(found) if out == self.out.dtype else None

    @property
    def by_bits(self) -> bool:
        """Whether :func:`_choose` does it."""
        if self.target is not np.where or self.out.dtype not in _BITS or self.args[0].dtype != np.bool_:
            return False
        return all(value.dtype == self.out.dtype or value.kind == "number" for value in self.args[1:])

    def expression(self) -> str:
        """The operation as an expression of a compiled loop."""
        dtypes = self.loop
        assert dtypes is not None
        terms = [_as(value, dtype) for value, dtype in zip(self.args, dtypes, strict=True)]
        text = LOOPS[self.target].format(*terms)
        for word in ("one", "zero", "inf"):
            text = text.replace(word, f"{word}{dtypes[0].itemsize}")
        return f"{_NAMES[self.out.dtype]}({text})" if self.target is CAST else text


def _as(value: Value, dtype: Any) -> str:
    """A value as a term of the given dtype."""
    if value.dtype == dtype and value.kind != "number":
        return value.name
    return (
        f"{_NAMES[dtype]}({value.name})" if value.kind != "number" else f"{value.name}_{dtype.char.replace('?', 'b')}"
    )


@lru_cache(maxsize=8)
def _second_of_zeros(ufunc: Any, dtype: Any) -> bool:
    """Whether this NumPy gives the second of two zeros, wherever they are, as its vector loops do on x86."""
    zeros = np.tile(np.array([0.0, -0.0], dtype), 70)
    return all(
        np.array_equal(np.signbit(ufunc(zeros[s:n], -zeros[s:n])), np.signbit(-zeros[s:n]))
        for s in range(5)
        for n in range(s + 1, 140)
    )


@dataclass(eq=False)
class _Loop:
    """Steps that are compiled into one loop."""

    steps: list[Step]
    reads: list[Value] = field(default_factory=list)
    gives: list[Value] = field(default_factory=list)


def compiles() -> bool:
    """Whether chains may be compiled here: numba is there and switched on, and the processor's error flags are
    known.
    """
    return kernels.using() != "numpy" and kernels.installed() and _flags() is not None


def least() -> int:
    """Elements from which on calls are put into chains, in the mode at hand."""
    return _LEAST if kernels.using() == "auto" else 2


def _flags() -> tuple[int, int, int, int] | None:
    """fenv.h's numbers for division by zero, overflow, underflow and invalid operations."""
    if not sys.platform.startswith(("linux", "darwin")):
        return None
    return {"x86_64": (4, 8, 16, 1), "aarch64": (2, 4, 8, 1), "arm64": (2, 4, 8, 1)}.get(platform.machine())


class Chain:
    """Elementwise operations on arrays of one shape, called like a function: ``chain(*inputs, *outputs, *scratch)``.

    Parameters
    ----------
    steps : sequence of Step
        In order.
    inputs : sequence of Value
        What is passed: arrays of the whole shape, flattened, or with rows and columns (``outer`` given) as a matrix;
        rows (n,); columns (m, 1); scalars.
    outputs : sequence of Value
        Results that are written into arrays passed.
    size : int
        Elements.
    outer : int or None
        How many rows there are, if some input is a row or a column.

    Attributes
    ----------
    scratch : list of (tuple of int, dtype)
        Shapes and dtypes of the block-sized arrays that must be passed.
    calls : int
        Calls of NumPy or of compiled loops that one call makes.
    """

    def __init__(
        self, steps: Sequence[Step], inputs: Sequence[Value], outputs: Sequence[Value], size: int, outer: int | None
    ) -> None:
        self.steps = list(steps)
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.size = size
        self.outer = outer
        self.__name__ = "chain"
        self._mixed = [step.errors for step in self.steps if step.errors]
        for letter, values in (
            ("x", self.inputs),
            ("y", self.outputs),
            ("t", [s.out for s in self.steps if s.out.place is None]),
        ):
            for number, value in enumerate(values):
                value.name = f"{letter}{number}"
        self._numbers: dict[str, Any] = {}
        self._name_numbers()
        self.fused = False
        rows = 1 if outer is None else size // outer
        self._length = size if outer is None else outer
        self._block = max(1, BLOCK // rows)
        self._units: list[Any] = list(self.steps)
        self._registers: list[tuple[str, Any]] = []
        if compiles():
            self._allocate(
                self._schedule(), self._registers
            )  # loops need registers of their own, as what they write must not be what they read
        body = self._allocate(self._units, self._registers)
        self.scratch = [((self._rows,) if outer is None else (self._rows, rows), dtype) for _, dtype in self._registers]
        self._scope: dict[str, Any] = {"np": np, "choose": _choose, **self._numbers}
        self._blocks = self._define("blocks", body)
        self._one_by_one = self._define_plain()
        self._run: Callable[..., Any] = self._in_numpy
        self._loops = sum(s.loop is not None for s in self.steps)
        weight = 1e-9 * sum(
            s.out.dtype.itemsize * (5 if s.target is np.where else 1) for s in self.steps if s.loop is not None
        )
        #: Replays after which compiling pays: see the module's docstring.
        self.patience = float("inf")
        if self._loops > 1 and compiles():
            seconds = 0.2 + 0.012 * len(self.steps) + (0 if "numba" in sys.modules else 1.3)  # to load numba
            self.patience = seconds / (0.08 * weight * size + 3e-7 * self._loops) if kernels.using() == "auto" else 0.0
        self._called = 0

    def __call__(self, *arrays: Any) -> None:
        """Compute the outputs."""
        self._run(*arrays)

    @property
    def _rows(self) -> int:
        """Rows (or elements) in a block."""
        return min(self._block, self._length)

    @property
    def calls(self) -> int:
        """Calls of NumPy or of compiled loops that one call makes."""
        return len(self._units) * -(-self._length // self._rows)

    def text(self, name: str) -> str:
        """What it runs, as Python, under the name that the plan gives it."""
        blocks = -(-self._length // self._rows)
        loops = sum(isinstance(unit, _Loop) for unit in self._units)
        how = f"numba, {loops} loop{'s' if loops > 1 else ''}" if loops else "NumPy"
        parts = "" if blocks == 1 else f" in {blocks} blocks of {self._rows * (self.size // self._length):,}"
        title = f"# {name}: {len(self.steps)} operations on {self.size:,} elements{parts}, {how}\n"
        return title + self.source.replace("def blocks(", f"def {name}(")

    @property
    def label(self) -> str:
        """The operations' names."""
        return ", ".join(step.target.__name__ for step in self.steps)

    def _name_numbers(self) -> None:
        for step in self.steps:
            dtypes = step.loop
            for place, value in enumerate(step.args):
                if value.kind != "number":
                    continue
                value.name = (
                    value.name
                    or f"k{len({v.name for s in self.steps for v in s.args if v.kind == 'number' and v.name})}"
                )
                self._numbers[value.name] = value.literal
                if dtypes is not None:
                    self._numbers[_as(value, dtypes[place])] = dtypes[place].type(value.literal)

    # --- NumPy --------------------------------------------------------------------------------------------------------

    def _allocate(self, units: Sequence[Any], registers: list[tuple[str, Any]]) -> list[str]:
        """The lines of one block, intermediates being kept in as few registers (scratch arrays) as can be."""
        last: dict[Value, int] = {}
        for i, unit in enumerate(units):
            for value in unit.args if isinstance(unit, Step) else unit.reads:
                last[value] = i
        free: dict[Any, list[str]] = {}
        for name, dtype in reversed(registers):
            free.setdefault(dtype, []).append(name)
        at: dict[Value, str] = {}
        lines = []

        def place(value: Value) -> str:
            if value.place is not None:
                return f"{value.name}_"
            pool = free.setdefault(value.dtype, [])
            if not pool:
                registers.append((f"s{len(registers)}", value.dtype))
                pool.append(registers[-1][0])
            at[value] = pool.pop()
            return f"{at[value]}_"

        def release(values: Sequence[Value], i: int) -> None:
            for value in dict.fromkeys(values):
                if value in at and last.get(value, -1) <= i:
                    free[value.dtype].append(at.pop(value))

        def text(value: Value) -> str:
            if value in at:
                return f"{at[value]}_"
            return value.name if value.kind in ("number", "scalar", "row") else f"{value.name}_"

        for i, unit in enumerate(units):
            if isinstance(unit, _Loop):
                # A loop is told that what it writes is nowhere among what it reads.
                reads = [text(value) for value in unit.reads]
                gives = [place(value) for value in unit.gives]
                lines.append(f"flags |= loop{sum(isinstance(u, _Loop) for u in units[:i])}({', '.join(reads + gives)})")
                release([*unit.reads, *unit.gives], i)
                continue
            args = [text(value) for value in unit.args]
            if unit.by_bits:
                # The result must not lie where its third operand does, and the condition needs a place as a number.
                mask = Value("computed", _BITS[unit.out.dtype])
                lines.append(f"choose({', '.join([*args, place(unit.out), place(mask)])})")
                release([*unit.args, mask], i)
            else:
                release(unit.args, i)
                lines.append(_call(unit, args, place(unit.out)))
            release([unit.out], i)
        return lines

    def _define(self, name: str, body: list[str]) -> Callable[..., Any]:
        """The function that runs over all blocks."""
        taken = [v.name for v in (*self.inputs, *self.outputs)] + [name for name, _ in self._registers]
        cut = [v.name for v in (*self.inputs, *self.outputs) if v.kind not in ("scalar", "row")]
        whole = self._rows >= self._length
        lines = [f"def {name}({', '.join(taken)}):", "    flags = 0"]
        if whole:
            body = [_without_marks(line) for line in body]
            indent = "    "
        else:
            lines.append(f"    for i in range(0, {self._length}, {self._rows}):")
            indent = " " * 8
            lines += [f"{indent}{v}_ = {v}[i:i + {self._rows}]" for v in cut]
            if self._length % self._rows:
                lines += [f"{indent}{s}_ = {s}[:{self._length} - i]" for s, _ in self._registers]
            else:
                kept = {s for s, _ in self._registers}
                body = [_without_marks(line, kept) for line in body]
        lines += [indent + line for line in body]
        lines.append("    return flags")
        source = "\n".join(lines) + "\n"
        if not any("flags |=" in line for line in body):
            source = source.replace("    flags = 0\n", "").replace("    return flags\n", "")
        self.source = source
        exec(compile(source, f"<{self.__name__}>", "exec"), self._scope)
        found: Callable[..., Any] = self._scope[name]
        return found

    def _define_plain(self) -> Callable[..., Any]:
        """The function that makes one call after another, on whole arrays."""
        taken = [v.name for v in (*self.inputs, *self.outputs)] + ["*scratch"]
        lines = [f"def one_by_one({', '.join(taken)}):"]
        for step in self.steps:
            args = [v.name for v in step.args]
            if step.errors:
                lines.append(f"    with np.errstate(**{step.errors!r}):")
            line = (
                _call(step, args, step.out.name)
                if step.out.place is not None
                else f"{step.out.name} = {_result(step, args)}"
            )
            lines.append(f"{' ' * (8 if step.errors else 4)}{line}")
        scope = {"np": np, **self._numbers}
        exec(compile("\n".join(lines) + "\n", f"<{self.__name__}>", "exec"), scope)
        found: Callable[..., Any] = scope["one_by_one"]
        return found

    def _in_numpy(self, *arrays: Any) -> None:
        self._called += 1
        if self._called > self.patience:
            self.compile()
            self._run(*arrays)
        elif self._rows >= self._length and not self._mixed:
            self._blocks(*arrays)
        else:
            self._noting(*arrays)

    def _noting(self, *arrays: Any) -> None:
        """Run with floating-point errors noted; if any is heeded, run one by one, which tells of it."""
        noted = _Noted()
        with np.errstate(all="call", call=noted):
            flags = self._blocks(*arrays)
        if (noted.flags or flags) and self._heeded(noted.flags | _as_numpys(flags or 0)):
            self._one_by_one(*arrays)

    # --- compiled loops -----------------------------------------------------------------------------------------------

    def compile(self) -> None:
        """Have the loops compiled now."""
        units = self._schedule()
        loops = [unit for unit in units if isinstance(unit, _Loop)]
        if not loops:
            self.patience = float("inf")
            return
        if len(units) == 1:
            self._block = self._length
        body = self._allocate(units, self._registers)
        self._units = units
        texts = []
        for number, loop in enumerate(loops):
            text = self._text(loop)
            texts.append(text.replace("def loop", f"def loop{number}"))
            self._scope[f"loop{number}"] = _compiled(text)
        self._blocks = self._define("blocks", body)
        self.fused = True
        if len(units) == 1:
            self._direct(loops[0])
            self.source = ""
        else:
            self._run = self._noting
        self.source = "\n".join([*texts, self.source]).rstrip("\n") + "\n"

    def _direct(self, loop: _Loop) -> None:
        """One loop over everything."""
        kernel = self._scope["loop0"]
        names = [v.name for v in (*self.inputs, *self.outputs)] + [name for name, _ in self._registers]
        scope = {"kernel": kernel, "trouble": self._trouble}
        passed = ", ".join(v.name for v in (*loop.reads, *loop.gives))
        source = (
            f"def direct({', '.join(names)}):\n    flags = kernel({passed})\n    if flags: trouble(flags,"
            f" {', '.join(names)})\n"
        )
        exec(source, scope)
        self._run = scope["direct"]  # type: ignore[assignment]

    def _trouble(self, flags: int, *arrays: Any) -> None:
        if self._heeded(_as_numpys(flags)):
            self._one_by_one(*arrays)

    def _heeded(self, flags: int) -> bool:
        """Whether the caller's error state, or an operation's own, wants to hear of one of these."""
        state = np.geterr()
        return any(_heeds({**state, **own}, flags) for own in ({}, *self._mixed))

    def _schedule(self) -> list[Any]:
        """Steps in as few loops as can be, with NumPy's calls between them.

        A loop computes what the next calls need, and the last one everything else. What an earlier loop has computed
        and a later one needs, too, is computed again if that is cheap, since a load from memory costs as much as
        several additions and products.
        """
        by = {step.out: step for step in self.steps}
        compiled = {step: step.loop is not None for step in self.steps}
        level: dict[Value, int] = {}
        for step in self.steps:
            level[step.out] = max((level.get(v, 0) for v in step.args), default=0) + (not compiled[step])
        units: list[Any] = []
        kept: set[Value] = set(self.inputs)
        passed: set[Value] = set()
        for stage in range(max(level.values()) + 1):
            calls = [step for step in self.steps if not compiled[step] and level[step.out] == stage + 1]
            last = stage == max(level.values())
            wanted = [
                v
                for step in (self.steps if last else calls)
                for v in ([step.out] if last else step.args)
                if not last or v.place is not None
            ]
            taken: set[Step] = set()
            for value in wanted:
                if value not in passed:
                    self._gather(value, by, compiled, kept, passed, taken)
            order = [step for step in self.steps if step in taken]
            units += [_Loop(order)] if len(order) > 1 else order
            passed |= {step.out for step in order}
            kept |= {step.out for step in order} if len(order) == 1 else set()
            units += calls
            kept |= {step.out for step in calls}
        first: dict[Value, Any] = {}
        for unit in units:
            for step in unit.steps if isinstance(unit, _Loop) else [unit]:
                first.setdefault(step.out, unit)
        for unit in units:
            steps = unit.steps if isinstance(unit, _Loop) else [unit]
            inside = {step.out for step in steps}
            reads = [
                v for v in dict.fromkeys(v for s in steps for v in s.args) if v not in inside and v.kind != "number"
            ]
            if isinstance(unit, _Loop):
                unit.reads = reads
                unit.gives += [
                    s.out for s in steps if s.out.place is not None and first[s.out] is unit and s.out not in unit.gives
                ]
            for value in reads:
                giver = first.get(value)
                if isinstance(giver, _Loop) and value not in giver.gives:
                    giver.gives.append(value)
        return units

    def _gather(
        self,
        value: Value,
        by: dict[Value, Step],
        compiled: dict[Step, bool],
        kept: set[Value],
        passed: set[Value],
        taken: set[Step],
    ) -> None:
        """Add to ``taken`` what a loop has to compute for a value."""
        waiting = [value]
        while waiting:
            step = by.get(waiting.pop())
            if step is None or step in taken or not compiled[step] or step.out in kept:
                continue
            if step.out in passed:
                again = self._again(step, by, compiled, kept)
                if again is None:
                    continue
                taken |= again
                continue
            taken.add(step)
            waiting += step.args

    def _again(
        self, step: Step, by: dict[Value, Step], compiled: dict[Step, bool], kept: set[Value]
    ) -> set[Step] | None:
        """The steps that compute a value once more; None if reading it is cheaper."""
        found: set[Step] = set()
        waiting = [step]
        while waiting:
            one = waiting.pop()
            if one in found:
                continue
            if one.target in _DEAR or len(found) == _AGAIN:
                return None
            found.add(one)
            waiting += [by[v] for v in one.args if v in by and v not in kept and compiled[by[v]]]
        return found

    def _text(self, loop: _Loop) -> str:
        """The source of a compiled loop; values are named in order, so that equal loops have equal sources."""
        names = {v: v.name for s in loop.steps for v in (*s.args, s.out)}
        arrays = {v: f"a{i}" for i, v in enumerate((*loop.reads, *loop.gives))}
        for i, v in enumerate(loop.reads):
            v.name = f"a{i}" if v.kind == "scalar" else f"u{i}"
        for i, step in enumerate(loop.steps):
            step.out.name = f"v{i}"
        numbers: dict[str, str] = {}
        expressions = []
        for step in loop.steps:
            text = step.expression()
            for value, dtype in zip(step.args, step.loop or (), strict=False):
                if value.kind == "number":
                    name = _as(value, dtype)
                    numbers.setdefault(name, f"{name} = {_NAMES[dtype]}({_literal(self._numbers[name])})")
            expressions.append(f"{step.out.name} = {text}")
        matrix = self.outer is not None
        columns = [v for v in loop.reads if v.kind == "column"]
        sliced = [v for v in loop.reads if v.kind in ("full", "computed")]
        lines = [*numbers.values(), f"def loop({', '.join(arrays.values())}):", "    clear(61)"]
        indent = "    "
        if matrix:
            lines.append(f"    for r in range({arrays[loop.gives[0]]}.shape[0]):")
            lines += [f"        {v.name} = {arrays[v]}[r, 0]" for v in columns]
            lines += [f"        {arrays[v]}r = {arrays[v]}[r]" for v in (*sliced, *loop.gives)]
            indent = "        "
        suffix = "r" if matrix else ""
        lines.append(f"{indent}for i in range({arrays[loop.gives[0]]}{suffix}.size):")
        lines += [f"{indent}    {v.name} = {arrays[v]}{suffix}[i]" for v in sliced]
        lines += [f"{indent}    {v.name} = {arrays[v]}[i]" for v in loop.reads if v.kind == "row"]
        lines += [f"{indent}    {text}" for text in expressions]
        lines += [f"{indent}    {arrays[v]}{suffix}[i] = {v.name}" for v in loop.gives]
        lines.append(f"    return test({sum(_flags() or ())})")
        for v, name in names.items():
            v.name = name
        return "\n".join(lines) + "\n"


def _without_marks(line: str, names: set[str] | None = None) -> str:
    """A line with ``x0_`` (a block of x0) read as ``x0``, for all or for some names."""
    import re

    return re.sub(r"\b([xys]\d+)_(?=\W|$)", lambda m: m[1] if names is None or m[1] in names else m[0], line)


def _choose(condition: Any, x: Any, y: Any, out: Any, mask: Any) -> None:
    """``np.where(condition, x, y)`` by exclusive or of bits, a fifth of its time on a block: no branch is there to be
    predicted wrongly.
    """
    x, y = (np.asarray(v, out.dtype).view(mask.dtype) for v in (x, y))
    out = out.view(mask.dtype)
    np.copyto(mask, condition)
    np.bitwise_xor(x, y, out)
    np.multiply(out, mask, out)
    np.bitwise_xor(out, y, out)


def _call(step: Step, args: list[str], into: str) -> str:
    if step.target is CAST:
        return f"np.copyto({into}, {args[0]}, 'unsafe')"
    if step.target is np.where:
        return f"np.copyto({into}, np.where({', '.join(args)}))"
    by_name = step.target in (np.maximum, np.minimum)
    return f"np.{step.target.__name__}({', '.join(args)}, {'out=' if by_name else ''}{into})"


def _result(step: Step, args: list[str]) -> str:
    if step.target is CAST:
        return f"{args[0]}.astype(np.{step.out.dtype.name})"
    return f"np.{step.target.__name__}({', '.join(args)})"


def _literal(value: Any) -> str:
    number = value.item()
    return repr(number) if number == number and abs(number) != float("inf") else f"'{number}'"


class _Noted:
    """Collects NumPy's error flags (1 division by zero, 2 overflow, 4 underflow, 8 invalid)."""

    def __init__(self) -> None:
        self.flags = 0

    def __call__(self, kind: str, flag: int) -> None:
        self.flags |= flag


def _as_numpys(flags: int) -> int:
    """fenv.h's flags as NumPy numbers them."""
    return sum(1 << i for i, flag in enumerate(_flags() or ()) if flags & flag)


def _heeds(state: Any, flags: int) -> bool:
    """Whether an error state wants to hear of one of these."""
    return any(
        flags & (1 << i) and state[name] != "ignore" for i, name in enumerate(("divide", "over", "under", "invalid"))
    )


@lru_cache(maxsize=512)
def _compiled(source: str) -> Any:
    """A loop's machine code, made once for every source."""
    import numba
    from numba.core.compiler import CompilerBase, DefaultPassBuilder
    from numba.core.types import ExternalFunction, int32

    class Pipeline(CompilerBase):  # type: ignore[misc]
        """numba's own, told that no array written is another one: without it every loop begins by comparing all
        addresses.
        """

        def define_pipelines(self) -> list[Any]:
            self.state.flags.noalias = True
            return [DefaultPassBuilder.define_nopython_pipeline(self.state)]

    scope: dict[str, Any] = {
        "np": np,
        "clear": ExternalFunction("feclearexcept", int32(int32)),
        "test": ExternalFunction("fetestexcept", int32(int32)),
    }
    for word, value in (("one", 1.0), ("zero", 0.0), ("inf", np.inf)):
        scope |= {f"{word}4": np.float32(value), f"{word}8": np.float64(value)}
    exec(compile(source, "<loop of a chain>", "exec"), scope)
    return numba.njit(error_model="numpy", nogil=True, pipeline_class=Pipeline)(scope["loop"])
