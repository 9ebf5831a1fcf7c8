"""The names under which the library is imported, and who else uses them.

``autodiff.nn`` and ``autodiff.optim`` are the packages ``nn`` and ``optim``: the same modules under a second name, for
programs in which the short names are taken. The distribution is called gradproof, since ``autodiff`` on the package
index is another project, which installs a package of this name, too.
"""

from __future__ import annotations

import os
import pkgutil
import sys
import warnings
from importlib import import_module


def alias(name: str, package: str) -> None:
    """Let ``import name`` give ``package``, and ``import name.part`` give ``package.part``.

    Every module of the package is loaded: one that was loaded later would be found by its path and be loaded twice,
    under two names.
    """
    found = import_module(package)
    sys.modules[name] = found
    for part in pkgutil.walk_packages(found.__path__, "."):
        sys.modules[name + part.name] = import_module(package + part.name)


def refuse_free_threading() -> None:
    """Refuse a Python that runs without its lock: nothing was tested there.

    Raises
    ------
    ImportError
        With the way to turn the lock on.
    """
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise ImportError(
            "autodiff was not tested on Python without the global interpreter lock; turn it on: PYTHON_GIL=1, or"
            " python -X gil=1"
        )


def notice_strangers() -> None:
    """Warn of a distribution called autodiff, whose files may lie over these."""
    for folder in sys.path:
        try:
            entries = os.listdir(folder or os.curdir)
        except OSError:
            continue
        for entry in entries:
            if entry.startswith("autodiff-") and entry.endswith((".dist-info", ".egg-info")):
                warnings.warn(
                    f"{os.path.join(folder, entry)} is another project, which installs a package called autodiff, too:"
                    f" pip uninstall autodiff, then install gradproof anew",
                    stacklevel=3,
                )
