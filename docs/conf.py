"""The site: ``python -m sphinx -W -b html docs docs/_build``, with the packages of the extra ``docs``.

The pages are the Markdown files of this folder. The reference is made from the docstrings, module by module, whenever
the site is built.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import numpy as np  # noqa: E402
from docutils.nodes import SkipNode  # noqa: E402
from make_derivations import as_mathml, sections  # noqa: E402
from make_notebooks import LESSONS, as_cells  # noqa: E402
from make_notebooks import write as write_notebooks  # noqa: E402
from numpydoc.docscrape_sphinx import SphinxDocString  # noqa: E402

import autodiff  # noqa: E402
from autodiff.extend import Fused, Primitive  # noqa: E402
from autodiff.facts import sample_call  # noqa: E402
from autodiff.testing.draw import RandomDraw  # noqa: E402
from autodiff.viz import draw  # noqa: E402

project = "autodiff"
author = "the authors of autodiff"
release = version = autodiff.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "numpydoc"]
exclude_patterns = ["_build", "notebooks", "jupyter_execute"]
html_theme = "pydata_sphinx_theme"
html_theme_options: dict[str, Any] = {
    "navbar_align": "left",
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False
html_static_path = ["_static"]
html_js_files = ["filter.js"]
html_css_files = ["site.css"]
html_extra_path = ["notebooks"]
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
html_math_renderer = "mathml"
# A lesson's programs are run whenever the site is built; one that fails ends the build.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
# Kernels without the reader's own profile, and quiet about the ports on which they listen to this machine.
os.environ["IPYTHONDIR"] = tempfile.mkdtemp()
profile = Path(os.environ["IPYTHONDIR"], "profile_default")
profile.mkdir()
(profile / "ipython_kernel_config.py").write_text('get_config().IPKernelApp.log_level = "ERROR"\n')
# The theme's contents list holds a class's methods already.
numpydoc_show_class_members = False
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


def names_of(module: Any) -> list[str]:
    """A module's public names; of one that only gathers operations, these."""
    listed = getattr(module, "__all__", None)
    return listed or [name for name, value in vars(module).items() if isinstance(value, Primitive | Fused)]


def plain_stars(text: str) -> str:
    """Stars that stand for themselves, ``(N, *size)``, not for emphasis; programs stay as they are."""
    star = r"(?<=[ (])\*(?=\w)"
    program = r"^ *(?:>>>|\.\.\.) [^\n]*$"
    return re.sub(
        rf"``(?=\S).+?(?<=\S)``|{program}|{star}", lambda m: r"\*" if m[0] == "*" else m[0], text, flags=re.S | re.M
    )


def starless(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """The same of a docstring that autodoc reads."""
    lines[:] = plain_stars("\n".join(lines)).split("\n")


def entry(module: str, name: str, value: Any, again: bool) -> list[str]:
    """The directives of one name; what stands on another page already is described here and indexed there."""
    index = ["   :no-index:"] if again else []
    if isinstance(value, Primitive | Fused):
        signature = (
            str(inspect.signature(value.function)).partition(" ->")[0].replace(": 'Any'", "").replace(": Any", "")
        )
        lines = [f".. py:function:: {module}.{name}{signature}", *index, ""]
        text = str(SphinxDocString(plain_stars(inspect.getdoc(value.function) or "")))
        if isinstance(value, Fused):
            text += f"\n\n{picture(name, value)}"
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


def picture(name: str, op: Fused) -> str:
    """The operation's definition as a graph, of a random call: the steps that its gradient is compared with."""
    args, options = sample_call(op, RandomDraw(np.random.default_rng(0)))
    names = list(inspect.signature(op.function).parameters)
    inputs = [
        autodiff.Tensor(value, requires_grad=np.asarray(value).dtype.kind == "f", name=names[min(i, len(names) - 1)])
        if isinstance(value, np.ndarray)
        else value
        for i, value in enumerate(args)
    ]
    with autodiff.composed():
        out = op.function(*inputs, **options)
    file = HERE / "reference" / "composed" / f"{name}.svg"
    file.parent.mkdir(parents=True, exist_ok=True)
    draw(out).save(file)
    words = f"What :func:`~autodiff.fused.{name}` is made of, for inputs of some small shapes."
    return f".. figure:: composed/{name}.svg\n   :figclass: composed\n   :alt: the graph of {name}\n\n   {words}\n"


def offered(app: Any, name: str, source: list[str]) -> None:
    """A lesson's page is a notebook, and links to it."""
    if name in {page.relative_to(HERE).with_suffix("").as_posix() for page in LESSONS}:
        up = "../" * name.count("/")
        link = (
            f'<p><a download href="{up}lessons-as-notebooks/{Path(name).name}.ipynb">This lesson as a notebook</a></p>'
        )
        source[0] = as_cells(source[0]) + f"\n```{{raw}} html\n{link}\n```\n"


def reference(folder: Path) -> None:
    """Write a page for each module, with an entry for each public callable of its own that has a docstring."""
    folder.mkdir(exist_ok=True)
    seen: set[int] = set()
    contents = ["Reference", "=========", "", ".. toctree::", "   :maxdepth: 1", "", *(f"   {m}" for m in MODULES), ""]
    pages = {"index": "\n".join(contents)}
    for module in MODULES:
        found = importlib.import_module(module)
        lines = [module, "=" * len(module), "", f".. automodule:: {module}", "   :no-members:", ""]
        for name in sorted(names_of(found), key=str.lower):
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
write_notebooks(HERE / "notebooks" / "lessons-as-notebooks")


def setup(app: Any) -> None:
    """Formulas are MathML, which browsers draw offline and without a script."""
    known = as_mathml()

    def draw(writer: Any, node: Any) -> None:
        writer.body.append(known[node.astext()])
        raise SkipNode

    app.add_html_math_renderer("mathml", (draw, None), (draw, None))
    app.connect("source-read", offered)
    app.connect("autodoc-process-docstring", starless, priority=1)
