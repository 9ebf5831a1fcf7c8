"""The site: ``python -m sphinx -W -b html docs docs/_build``, with the packages of the extra ``docs``.

The pages are the Markdown files of this folder. The reference is made from the docstrings, module by module, whenever
the site is built.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import autodiff  # noqa: E402
from autodiff.extend import Fused, Primitive  # noqa: E402

project = "autodiff"
author = "the authors of autodiff"
release = version = autodiff.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
html_theme_options: dict[str, Any] = {
    "navbar_align": "left",
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False
myst_heading_anchors = 3
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_param = napoleon_use_rtype = False
autodoc_typehints = "none"
autodoc_default_options = {"members": True}
add_module_names = False
python_maximum_signature_line_length = 100

#: What the reference lists, in reading order: everything public in ``__all__``.
MODULES = (
    "autodiff autodiff.fused autodiff.extend autodiff.linalg autodiff.fft autodiff.signal autodiff.special"
    " autodiff.stats autodiff.random autodiff.sparse autodiff.implicit autodiff.optimize autodiff.integrate"
    " autodiff.interpolate autodiff.testing autodiff.testing.course autodiff.viz autodiff.kernels"
    " autodiff.performance nn nn.functional nn.init optim optim.datasets"
).split()


def entry(module: str, name: str, value: Any, again: bool) -> list[str]:
    """The directives of one name; what stands on another page already is described here and indexed there."""
    index = ["   :no-index:"] if again else []
    if isinstance(value, Primitive | Fused):
        signature = str(inspect.signature(value.function)).partition(" ->")[0].replace("'Any'", "Any")
        lines = [f".. py:function:: {module}.{name}{signature}", *index, ""]
        said = [inspect.getdoc(value.function) or ""]
        if isinstance(value, Fused):
            said.append(f"Derivation of the gradient:\n\n{inspect.getdoc(value.backward) or 'see the source'}")
        for text in said:
            lines += ["   ::", "", *(f"      {line}" for line in text.splitlines()), ""]
        return lines
    kind = "function" if not inspect.isclass(value) else "class"
    if kind == "class" and issubclass(value, Exception):
        kind = "exception"
    return [f".. auto{kind}:: {module}.{name}", *index, ""]


def reference(folder: Path) -> None:
    """Write a page for each module, with an entry for each public callable of its own that has a docstring."""
    folder.mkdir(exist_ok=True)
    seen: set[int] = set()
    for module in MODULES:
        found = importlib.import_module(module)
        lines = [module, "=" * len(module), "", f".. automodule:: {module}", "   :no-members:", ""]
        for name in sorted(found.__all__, key=str.lower):
            value = getattr(found, name)
            foreign = (getattr(value, "__module__", None) or "").startswith("numpy")
            if not callable(value) or not inspect.getdoc(value) or foreign:
                continue
            lines += entry(module, name, value, id(value) in seen)
            seen.add(id(value))
        page, text = folder / f"{module}.rst", "\n".join(lines)
        if not page.exists() or page.read_text() != text:
            page.write_text(text)


reference(HERE / "reference")
