"""A pytest plugin: gradient cases over dtypes, layouts and orders, a report, and a gate for operations without a case.

Loaded by pytest through an entry point where autodiff is installed, or by ``-p autodiff.testing``. It adds

- ``gradcase``: a decorator that makes a test for every dtype, layout and order from a function that returns a call;
- ``--grad-report FILE``: one page with the outcome of every case, HTML if the name ends so and Markdown otherwise;
- ``--grad-coverage``: fail the run if an operation registered outside the library has no case.

The hooks that every run loads stand in ``autodiff.testing.hooks``.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.extras import require
from autodiff.testing import hooks
from autodiff.testing.adapters import check_autograd, check_jax, check_pair, check_torch
from autodiff.testing.check import check_gradients
from autodiff.testing.foreign import LAYOUTS, problem_of
from autodiff.testing.pages import Case, write_page

__all__ = ["Collector", "gradcase"]

if TYPE_CHECKING:
    import pytest
else:
    pytest = require("pytest")


def pytest_addoption(parser: Any, pluginmanager: Any) -> None:
    """So that ``-p autodiff.testing.plugin`` alone brings the hooks."""
    hooks.present(pluginmanager)


#: The checks by their names in ``gradcase(check=...)``.
_CHECKS: dict[str | None, Callable[..., Any]] = {
    None: check_gradients,
    "torch": check_torch,
    "jax": check_jax,
    "autograd": check_autograd,
    "pair": check_pair,
}

_LAYOUTS = ("contiguous", "fortran", "gapped", "reversed")


def gradcase(
    function: Callable[..., Any] | None = None,
    /,
    *,
    dtypes: Sequence[str] = ("float64", "float32"),
    layouts: Sequence[str] = ("contiguous", "reversed"),
    orders: Sequence[int] | None = None,
    check: str | None = None,
) -> Callable[..., Any]:
    """Make a gradient test from a function that returns ``(op, args)`` or ``(op, args, kwargs)``; with options or bare.

    The function may take pytest's fixtures, and may stand in a class.

    Parameters
    ----------
    function : callable, optional
        Of a bare ``@gradcase``.
    dtypes : sequence of str
        Of real floating-point numbers. "float64" is compared with the numerical reference; any other, in which the
        function is then computed, with the gradient in float64.
    layouts : sequence of str
        Among "contiguous", "fortran", "gapped" and "reversed".
    orders : sequence of int, optional
        Among 1 and 2; only for float64. Both by default, and 1 for a pair.
    check : {"torch", "jax", "autograd", "pair"}, optional
        Whose gradient it is: by default our own, else that of ``check_torch`` and so on. For "pair" the function
        returns ``(forward, backward, inputs)``.

    Raises
    ------
    ArgumentError
        For an unknown dtype, layout, order or check, or none of them; when the test runs, for a function that returns
        something else.

    Examples
    --------
    In a test module run with the plugin::

        @gradcase(orders=(1,))
        def test_tanh():
            return np.tanh, (np.linspace(-1.0, 1.0, 3),)


        @gradcase(check="torch")
        def test_my_function(rng):
            return MyFunction, (rng.normal(size=3),)
    """
    if check not in _CHECKS:
        raise ArgumentError(f"gradcase: check must be among {tuple(_CHECKS)}, got {check!r}")
    chosen = ((1,) if check == "pair" else (1, 2)) if orders is None else orders
    for option, values, such in (
        ("dtypes", dtypes, ("float64",)),
        ("layouts", layouts, ("reversed",)),
        ("orders", chosen, (1,)),
    ):
        # Without a case the test would never run.
        if isinstance(values, str) or not isinstance(values, Iterable) or not list(values):
            raise ArgumentError(f"gradcase: {option} is a sequence that is not empty, such as {such}, got {values!r}")
    if set(layouts) - set(_LAYOUTS) or set(chosen) - {1, 2}:
        raise ArgumentError(f"gradcase: layouts among {_LAYOUTS} and orders among (1, 2), got {layouts} and {orders}")
    cases = [
        (d, layout, order)
        for d in map(_precision, dtypes)
        for layout in layouts
        for order in chosen
        if d == "float64" or order == min(chosen)
    ]

    def decorate(function: Callable[..., Any]) -> Callable[..., None]:
        def case(
            *own: Any, request: pytest.FixtureRequest, dtype: str, layout: str, order: int, **fixtures: Any
        ) -> None:
            op, args, *rest = _returned(function, function(*own, **fixtures), check == "pair")
            covered = getattr(op, "__self__", getattr(op, "__autodiff__", op))
            name = getattr(covered, "name", getattr(covered, "__name__", "function"))
            request.node.user_properties.append(("gradcase", [name, dtype, layout, order]))
            if check == "pair":
                _run(check_pair, (op, args, _arranged(rest[0], layout, dtype)), {}, dtype)
            else:
                arranged = _arranged(args, layout, dtype, numbers=check != "torch")
                _run(_CHECKS[check], (op, *arranged), rest[0] if rest else {}, dtype, order=order)

        functools.update_wrapper(case, function)
        del case.__wrapped__  # type: ignore[attr-defined]
        own = list(inspect.signature(function).parameters.values())
        names = [name for name in ("request", "dtype", "layout", "order") if name not in {p.name for p in own}]
        more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
        case.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
        marked: Any = pytest.mark.gradcase(pytest.mark.parametrize(("dtype", "layout", "order"), cases)(case))
        made: Callable[..., None] = marked
        return made

    return decorate if function is None else decorate(function)


def _precision(dtype: Any) -> str:
    """The name of a floating-point dtype, however it is told: "double" is float64."""
    try:
        known = np.dtype(dtype)
    except TypeError as error:
        raise ArgumentError(f"gradcase: NumPy knows no dtype {dtype!r}") from error
    if known.kind != "f":
        raise ArgumentError(f"gradcase: dtypes are those of real floating-point numbers, got {dtype!r}")
    return str(known.name)


def _returned(function: Callable[..., Any], value: Any, pair: bool) -> Sequence[Any]:
    """What the function of a case returned, if it has the form that is asked for."""
    sizes, form = ((3,), "(forward, backward, inputs)") if pair else ((2, 3), "(op, args) or (op, args, kwargs)")
    if (
        not isinstance(value, tuple)
        or len(value) not in sizes
        or not isinstance(value[2 if pair else 1], tuple | list)
        or (not pair and len(value) == 3 and not isinstance(value[2], dict))
    ):
        given = [type(part).__name__ for part in value] if isinstance(value, tuple) else type(value).__name__
        raise ArgumentError(
            f"gradcase: {function.__name__} must return {form}, the arguments in a tuple or list; got {given}"
        )
    return value


def _arranged(args: Sequence[Any], layout: str, dtype: str, numbers: bool = True) -> list[Any]:
    """Real arrays in a layout and a precision, and numbers beside them in that precision, unless they are options."""
    change = LAYOUTS.get(layout, lambda a: a)

    def arranged(value: Any) -> Any:
        if type(value) is float and numbers and dtype != "float64":
            return np.asarray(value, dtype)
        if not isinstance(value, np.ndarray):
            return value
        return change(value.astype(dtype) if value.dtype.kind == "f" else value)

    return [arranged(value) for value in args]


def _run(check: Callable[..., Any], call: Sequence[Any], kwargs: dict[str, Any], dtype: str, **options: Any) -> None:
    """In float64 the check itself; in any other precision the gradient there beside the one in float64."""
    if dtype == "float64":
        check(*call, **options, **kwargs)
        return
    problem = problem_of(check, call, kwargs)
    wide = problem.pulled(problem.cotangents, [np.array(b, order="C") for b in problem.base])
    values = float(np.sum(np.abs(problem.terms(problem.base))))
    problem.arguments.narrow = True
    narrow, eps = problem.pulled(problem.cotangents), float(np.finfo(dtype).eps)
    for leaf, point, exact, found in zip(problem.leaves, problem.base, wide, narrow, strict=True):
        # Terms that cancel leave their rounding.
        largest = float(np.max(np.abs(exact), initial=0.0))
        size = max(largest, values / (float(np.max(np.abs(point), initial=0.0)) or 1.0))
        gap = float(np.max(np.abs(found - exact), initial=0.0))
        assert gap <= 256 * eps * size, (
            f"the {dtype} gradient of {leaf.label} is off by {gap:.1g} from the float64 one, whose largest entry is"
            f" {largest:.3g}; {dtype} tells {eps:.1g} of that"
        )


class Collector:
    """Gathers the outcomes of gradient cases; sits where reports arrive, which under xdist is the controlling
    process.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.cases: list[Case] = []
        #: What the tests of :func:`autodiff.testing.course.gradient_tests` are called.
        self.named: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a gradient case came to."""
        if report.when != "call":
            return
        self.named.add(report.nodeid.rpartition("[")[2].rstrip("]"))
        for key, value in report.user_properties:
            if key == "gradcase":
                facts: Any = value
                operation, dtype, layout, order = facts
                message = report.longreprtext if report.failed else ""
                self.cases.append(
                    Case(operation, dtype, layout, order, report.outcome, report.duration, report.nodeid, message)
                )

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the page and apply the gate."""
        if hasattr(self.config, "workerinput"):
            return
        cases = sorted(self.cases, key=lambda case: case.node)
        missing = _uncovered({case.operation for case in cases} | self.named, self.config.rootpath)
        target = self.config.getoption("--grad-report")
        if target is not None:
            write_page(target, cases, missing)
        if self.config.getoption("--grad-coverage") and missing:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            reporter = self.config.pluginmanager.get_plugin("terminalreporter")
            if reporter is not None:
                reporter.write_line(f"operations without a gradcase: {', '.join(missing)}", red=True)


def _uncovered(covered: set[str], root: Path) -> list[str]:
    """What no case names: operations registered outside the library, PyTorch functions, and what the modules of the
    project define.
    """
    from autodiff.testing.discovery import found_under

    foreign = {name for name, item in found_under(root).items() if not item.names & covered}
    foreign |= {cls.__name__ for cls in _torch_functions()} - covered
    return sorted(foreign) + sorted(
        name
        for name, op in getattr(sys.modules.get("autodiff.core.op"), "registry", {}).items()
        if name not in covered and not _ours(op.composed if op.fused else op.rules)
    )


def _torch_functions() -> list[Any]:
    """The subclasses of ``torch.autograd.Function`` that are not PyTorch's own; none if nobody has imported it."""
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    found, stack = [], [torch.autograd.Function]
    while stack:
        for cls in stack.pop().__subclasses__():
            stack.append(cls)
            if not f"{cls.__module__}.".startswith("torch."):
                found.append(cls)
    return found


def _ours(definition: Any) -> bool:
    """Whether a composed definition, or one of some rules, stands in the library."""
    rules = definition if isinstance(definition, tuple) else (definition,)
    return any(str(getattr(rule, "__module__", "")).startswith("autodiff.") for rule in rules)
