"""Writes docs/coverage.md: every NumPy callable that can be overridden, what it does here, and who else differentiates
it.

    python docs/make_coverage.py

The other columns are found by trying: the library is asked for the derivative of a small call, where it is installed.
HIPS autograd's answer is read from its registry of gradient rules. Nothing is typed in.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.testing import overrides

import autodiff  # noqa: F401  # fills the table
from autodiff.dispatch import classify

TARGET = Path(__file__).with_name("coverage.md")


def public(callable_: Any) -> bool:
    """Whether users reach it under its own name."""
    module = importlib.import_module(getattr(callable_, "__module__", None) or "numpy")
    return not callable_.__name__.startswith("_") and getattr(module, callable_.__name__, None) is callable_


def qualified(callable_: Any) -> str:
    """np.linalg.norm and the like."""
    module = getattr(callable_, "__module__", None) or "numpy"
    return f"{module.replace('numpy', 'np', 1)}.{callable_.__name__}"


def autograd_has() -> Callable[[str], bool] | None:
    """Asks HIPS autograd's registry."""
    try:
        import autograd.numpy as anp
        from autograd.core import primitive_vjps
    except ImportError:
        return None

    def has(name: str) -> bool:
        target: Any = anp
        for part in name.split(".")[1:]:
            target = getattr(target, part, None)
        if getattr(target, "_is_autograd_primitive", False):
            return target in primitive_vjps
        # Functions written with other differentiable functions (mean, stack) are no primitives; they are its own plain
        # Python.
        return getattr(getattr(target, "__code__", None), "co_filename", "").replace("\\", "/").count("/autograd/") > 0

    return has


def named_in(module_name: str, spelling: str) -> Callable[[str], bool] | None:
    """Whether a library has a function of that name: for JAX and MyGrad, whose functions are all differentiable or
    constant.
    """
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return None

    def has(name: str) -> bool:
        target: Any = module
        for part in name.split(".")[1:]:
            target = getattr(target, part, None)
        return callable(target)

    has.__name__ = spelling
    return has


def main() -> None:
    """Write the page."""
    listed = sorted(
        {
            f
            for f in (*overrides.get_overridable_numpy_ufuncs(), *overrides.get_overridable_numpy_array_functions())
            if public(f)
        },
        key=qualified,
    )
    rivals = {
        name: probe
        for name, probe in (
            ("autograd", autograd_has()),
            ("MyGrad", named_in("mygrad", "mygrad")),
            ("JAX", named_in("jax.numpy", "jax")),
        )
        if probe is not None
    }
    rows = [(qualified(f), *classify(f)) for f in listed]
    numeric = [
        row
        for row in rows
        if row[2] not in ("it works on text",) and not row[0].startswith(("np.lib.recfunctions", "np.polynomial"))
    ]
    count = {kind: sum(row[1] == kind for row in numeric) for kind in ("differentiable", "constant", "refused")}
    lines = [
        "# Coverage of NumPy",
        "",
        (
            f"Written by `python docs/make_coverage.py` for NumPy {np.__version__}. Of {len(numeric)} callables on"
            " numbers that NumPy lists as"
        ),
        (
            f"overridable, {count['differentiable']} are differentiable, {count['constant']} are constant (their"
            f" derivative is zero) and {count['refused']} are refused with advice."
        ),
        (
            "Operations on text and on structured arrays are left out. A test holds the whole list against the"
            " installed NumPy."
        ),
        (
            "The columns of other libraries say whether they have a gradient rule (autograd) or a function of that name"
            " (MyGrad, JAX)."
        ),
        "",
        "| callable | here | " + "".join(f"{name} | " for name in rivals) + "note |",
        "| --- | --- | " + "--- | " * len(rivals) + "--- |",
    ]
    for name, kind, words in numeric:
        cells = [
            f"`{name}`",
            kind,
            *("yes" if probe(name) else "" for probe in rivals.values()),
            words if kind == "refused" else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    TARGET.write_text("\n".join(lines) + "\n")
    print(f"{TARGET.name}: {count}")


if __name__ == "__main__":
    main()
