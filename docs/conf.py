"""The site: ``python -m sphinx -W -b html docs docs/_build``, with the packages of the extra ``docs``.

The pages are the Markdown files of this folder. The reference is made from the docstrings, module by module, whenever
the site is built.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from docutils.nodes import SkipNode  # noqa: E402
from make_derivations import as_mathml, sections  # noqa: E402
from sphinx.ext.napoleon import Config, NumpyDocstring  # noqa: E402

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
myst_enable_extensions = ["dollarmath"]
html_math_renderer = "mathml"
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_param = napoleon_use_rtype = False
NAPOLEON = Config(napoleon_use_ivar=True, napoleon_use_param=False, napoleon_use_rtype=False)
autodoc_typehints = "none"
autodoc_default_options = {"members": True}
add_module_names = False
toc_object_entries_show_parents = "hide"
html_title = f"autodiff {version}"
python_maximum_signature_line_length = 100

#: What the reference lists, in reading order: everything public in ``__all__``.
MODULES = (
    "autodiff autodiff.fused autodiff.extend autodiff.linalg autodiff.fft autodiff.signal autodiff.special"
    " autodiff.stats autodiff.random autodiff.sparse autodiff.implicit autodiff.optimize autodiff.integrate"
    " autodiff.interpolate autodiff.testing autodiff.testing.course autodiff.viz autodiff.kernels"
    " autodiff.performance nn nn.functional nn.init nn.utils nn.utils.data nn.utils.rnn optim optim.swa_utils"
    " optim.datasets"
).split()


def plain_stars(text: str) -> str:
    """Stars that stand for themselves, ``(N, *size)``, not for emphasis."""
    star = r"(?<=[ (])\*(?=\w)"
    return re.sub(rf"``(?=\S).+?(?<=\S)``|{star}", lambda m: r"\*" if m[0] == "*" else m[0], text, flags=re.S)


def entry(module: str, name: str, value: Any, again: bool) -> list[str]:
    """The directives of one name; what stands on another page already is described here and indexed there."""
    index = ["   :no-index:"] if again else []
    if isinstance(value, Primitive | Fused):
        signature = str(inspect.signature(value.function)).partition(" ->")[0].replace("'Any'", "Any")
        lines = [f".. py:function:: {module}.{name}{signature}", *index, ""]
        text = str(NumpyDocstring(plain_stars(inspect.getdoc(value.function) or ""), NAPOLEON))
        if isinstance(value, Fused):
            derivation = plain_stars(inspect.getdoc(value.backward) or "See the source.")
            text += f"\n\n.. rubric:: Derivation of the gradient\n\n{derivation}"
            for heading, rows in sections(value.name):
                terms = (f"- :math:`{latex}`, {shape}{words and f': {words}'}" for latex, shape, words in rows)
                text += "\n\n" + "\n".join([f"{heading}, term by term:", "", *terms])
        return lines + [f"   {line}" for line in text.splitlines()] + [""]
    kind = "function" if not inspect.isclass(value) else "class"
    if kind == "class" and issubclass(value, Exception):
        kind = "exception"
    return [f".. auto{kind}:: {module}.{name}", *index, ""]


def reference(folder: Path) -> None:
    """Write a page for each module, with an entry for each public callable of its own that has a docstring."""
    folder.mkdir(exist_ok=True)
    seen: set[int] = set()
    contents = ["Reference", "=========", "", ".. toctree::", "   :maxdepth: 1", "", *(f"   {m}" for m in MODULES), ""]
    pages = {"index": "\n".join(contents)}
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
        pages[module] = "\n".join(lines)
    for name, text in pages.items():
        page = folder / f"{name}.rst"
        if not page.exists() or page.read_text() != text:
            page.write_text(text)


reference(HERE / "reference")


def setup(app: Any) -> None:
    """Formulas are MathML, which browsers draw offline and without a script."""
    known = as_mathml()

    def draw(writer: Any, node: Any) -> None:
        writer.body.append(known[node.astext()])
        raise SkipNode

    app.add_html_math_renderer("mathml", (draw, None), (draw, None))
