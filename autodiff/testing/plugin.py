"""A pytest plugin: gradient cases over dtypes, layouts and orders, a report, and a gate for operations without a case.

Loaded by pytest through an entry point where autodiff is installed, or by ``-p autodiff.testing``. It adds

- ``gradcase``: a decorator that makes a test for every dtype, layout and order from a function that returns a call;
- ``--grad-report FILE``: one page with the outcome of every case, HTML if the name ends so and Markdown otherwise;
- ``--grad-coverage``: fail the run if an operation registered outside the library has no case.

The hooks that every run loads stand in ``autodiff.testing.hooks``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.core.errors import require
from autodiff.files import replacing
from autodiff.testing.pages import Case, page_html, page_markdown

__all__ = ["Collector", "gradcase"]

if TYPE_CHECKING:
    import pytest
else:
    pytest = require("pytest")

#: So that ``-p autodiff.testing.plugin`` alone brings the hooks.
pytest_plugins = ["autodiff.testing.hooks"]

_LAYOUTS = ("contiguous", "fortran", "gapped", "reversed")


def gradcase(
    *,
    dtypes: Sequence[str] = ("float64", "float32"),
    layouts: Sequence[str] = ("contiguous", "reversed"),
    orders: Sequence[int] = (1, 2),
) -> Callable[[Callable[[], Any]], Callable[..., None]]:
    """Make a gradient test from a function that returns ``(op, args)`` or ``(op, args, kwargs)``.

    Parameters
    ----------
    dtypes : sequence of str
        "float64" is compared with the numerical reference, any other with float64.
    layouts : sequence of str
        Among "contiguous", "fortran", "gapped" and "reversed".
    orders : sequence of int
        Among 1 and 2; only for float64.

    Raises
    ------
    ArgumentError
        For an unknown layout or order.

    Examples
    --------
    In a test module run with the plugin::

        @gradcase(orders=(1,))
        def test_tanh():
            return np.tanh, (np.linspace(-1.0, 1.0, 3),)
    """
    from autodiff.core.errors import ArgumentError

    if set(layouts) - set(_LAYOUTS) or set(orders) - {1, 2}:
        raise ArgumentError(f"gradcase: layouts among {_LAYOUTS} and orders among (1, 2), got {layouts} and {orders}")
    cases = [
        (d, layout, order)
        for d in dtypes
        for layout in layouts
        for order in orders
        if d == "float64" or order == min(orders)
    ]

    def decorate(function: Callable[[], Any]) -> Callable[..., None]:
        @pytest.mark.gradcase
        @pytest.mark.parametrize(("dtype", "layout", "order"), cases)
        def case(request: pytest.FixtureRequest, dtype: str, layout: str, order: int) -> None:
            op, args, *rest = function()
            kwargs = rest[0] if rest else {}
            covered = getattr(op, "__autodiff__", op)
            name = getattr(covered, "name", getattr(op, "__name__", "function"))
            request.node.user_properties.append(("gradcase", [name, dtype, layout, order]))
            _run(op, args, kwargs, dtype, layout, order)

        case.__name__ = function.__name__
        case.__doc__ = function.__doc__
        case.__module__ = function.__module__
        return case

    return decorate


def _run(op: Any, args: Sequence[Any], kwargs: dict[str, Any], dtype: str, layout: str, order: int) -> None:
    from autodiff.testing import laws
    from autodiff.testing.check import check_gradients

    change = {"fortran": laws._fortran, "gapped": laws._gapped, "reversed": laws._reversed}.get(layout, lambda a: a)
    arranged = [change(a) if isinstance(a, np.ndarray) else a for a in args]
    if dtype == "float64":
        check_gradients(op, *arranged, order=order, **kwargs)
        return
    from autodiff import Tensor, gradients

    def pull(kind: Any) -> list[Any]:
        full = [
            Tensor(a, requires_grad=True, dtype=kind) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a
            for a in arranged
        ]
        leaves = [t for t in full if isinstance(t, Tensor)]
        out = op(*full, **kwargs)
        return list(gradients(out, leaves, np.ones(out.shape, out.dtype), allow_unused=True))

    eps = float(np.finfo(dtype).eps)
    for narrow, wide in zip(pull(np.dtype(dtype)), pull(np.float64), strict=True):
        if wide is None:
            continue
        assert narrow.dtype == np.dtype(dtype), f"the gradient of a {dtype} input has dtype {narrow.dtype}"
        scale = max(float(np.max(np.abs(wide), initial=0.0)), 1.0)
        gap = float(np.max(np.abs(narrow - wide), initial=0.0)) / scale
        assert gap <= 256 * eps, (
            f"the {dtype} gradient is {gap / eps:.0f} ulps of its largest entry from the float64 one"
        )


class Collector:
    """Gathers the outcomes of gradient cases; sits where reports arrive, which under xdist is the controlling
    process.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.cases: list[Case] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a gradient case came to."""
        if report.when != "call":
            return
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
        missing = _uncovered({case.operation for case in cases})
        target = self.config.getoption("--grad-report")
        if target is not None:
            page = page_html if target.suffix.lower() in (".html", ".htm") else page_markdown
            with replacing(target) as file:
                file.write(page(cases, missing).encode())
        if self.config.getoption("--grad-coverage") and missing:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            reporter = self.config.pluginmanager.get_plugin("terminalreporter")
            if reporter is not None:
                reporter.write_line(f"operations without a gradcase: {', '.join(missing)}", red=True)


def _uncovered(covered: set[str]) -> list[str]:
    """The operations registered outside the library that no case names."""
    from autodiff.core.op import Fused, registry

    return sorted(
        name
        for name, op in registry.items()
        if name not in covered and not _ours(op.composed if isinstance(op, Fused) else op.rules)
    )


def _ours(definition: Any) -> bool:
    """Whether a composed definition, or one of some rules, stands in the library."""
    rules = definition if isinstance(definition, tuple) else (definition,)
    return any(str(getattr(rule, "__module__", "")).startswith("autodiff.") for rule in rules)
