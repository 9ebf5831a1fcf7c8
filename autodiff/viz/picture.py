"""``draw``: a computation as a picture that knows how to show and save itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.extras import require
from autodiff.files import replacing
from autodiff.tensor import Tensor
from autodiff.viz.backward import backward_view, facing_view
from autodiff.viz.dot import to_dot
from autodiff.viz.folding import LIMIT, fold
from autodiff.viz.html import asset, to_html
from autodiff.viz.paper import to_paper
from autodiff.viz.recording import Part, kinds_of, module_kinds, names_of, run
from autodiff.viz.snapshot import Shown, snapshot
from autodiff.viz.svg import THEMES, to_svg
from autodiff.viz.text import to_text
from autodiff.viz.view import GraphView

__all__ = ["Graph", "draw"]

_CHOICES = {
    "direction": ("forward", "backward", "both"),
    "level": ("operations", "modules"),
    "rankdir": ("TB", "LR", "BT", "RL"),
    "theme": THEMES,
}
#: Of a larger graph the page holds one level of view.
_TURNED = 5000
_SUFFIXES = (".dot", ".html", ".pdf", ".png", ".svg", ".txt")


class Widget(Protocol):
    """The interactive page in a notebook: anywidget's, as any widget."""

    html: str
    selected: str

    def observe(self, handler: Callable[..., object], names: str | Sequence[str] = ...) -> None:
        """Call ``handler`` with every change of a trait."""


class Graph:
    """A picture of a computation.

    Attributes
    ----------
    view : GraphView
        The picture as data.
    """

    def __init__(
        self,
        view: GraphView,
        rankdir: str = "TB",
        theme: str = "auto",
        other: Callable[[], GraphView] | None = None,
        moments: Sequence[GraphView] = (),
    ) -> None:
        self.view = view
        self._other, self._moments = other, moments
        self.rankdir, self.theme = rankdir, theme

    @property
    def dot(self) -> str:
        """DOT text; needs no package."""
        return to_dot(self.view, rankdir=self.rankdir)

    @property
    def svg(self) -> str:
        """One SVG element; needs no package."""
        return to_svg(self.view, rankdir=self.rankdir, theme=self.theme)

    @property
    def html(self) -> str:
        """One interactive page; needs no package, no network and no other file."""
        other = None if self._other is None else self._other()
        return to_html(self.view, rankdir=self.rankdir, theme=self.theme, other=other, moments=self._moments)

    def save(self, path: str | Path) -> Path:
        """Write the picture, whole or not at all; the suffix (.svg, .html, .dot, .pdf, .png or .txt) chooses the
        format, and the folder is made if need be.

        Raises
        ------
        ArgumentError
            For another suffix.
        MissingExtraError
            For .pdf and .png, if matplotlib is not installed.
        """
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix not in _SUFFIXES:
            raise ArgumentError(f"save({str(path)!r}): the suffix must be one of {', '.join(_SUFFIXES)}")
        if suffix in (".pdf", ".png"):
            data = to_paper(self.view, suffix[1:], rankdir=self.rankdir, theme=self.theme)
        else:
            data = (str(self) if suffix == ".txt" else getattr(self, suffix[1:])).encode()
        with replacing(target) as file:
            file.write(data)
        return target

    def widget(self) -> Widget:
        """The interactive page as a notebook's widget, whose trait ``selected`` is the id of the chosen box, both ways:
        choosing on the page sets it, and setting it chooses on the page.

        Returns
        -------
        anywidget.AnyWidget
            With the traits ``html`` and ``selected``; ``observe`` it as any widget.

        Raises
        ------
        MissingExtraError
            If anywidget is not installed.
        """
        any_widget, traitlets = require("anywidget").AnyWidget, require("traitlets")
        facts = {
            "_esm": asset("widget.js"),
            "html": traitlets.Unicode(self.html).tag(sync=True),
            "selected": traitlets.Unicode("").tag(sync=True),
        }
        return type("GraphWidget", (any_widget,), facts)()  # type: ignore[no-any-return]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows: the interactive page in a frame of its own; else the drawing; else the listing."""
        frame = (
            f'<iframe srcdoc="{escape(self.html)}" style="width:100%;height:520px;border:0" title="computation'
            ' graph"></iframe>'
        )
        return {"text/plain": str(self), "text/html": frame, "image/svg+xml": self.svg}

    def __str__(self) -> str:
        return to_text(self.view)

    def __repr__(self) -> str:
        return f"Graph({len(self.view.nodes)} boxes, {len(self.view.edges)} arrows)"


def draw(
    output: Tensor | Sequence[Tensor] | Callable[..., object],
    *args: object,
    expand: bool = False,
    compare: bool = False,
    direction: str = "forward",
    values: bool = False,
    statistics: bool = False,
    gradients: bool = False,
    profile: bool = False,
    names: Mapping[str, object] | None = None,
    fold: bool | int = True,
    depth: int | None = None,
    level: str = "operations",
    rankdir: str = "TB",
    theme: str = "auto",
    title: str = "",
    history: Sequence[Mapping[str, object]] | None = None,
) -> Graph:
    """Draw the computation that ended in a tensor, or in several, or that a function or module does.

    Parameters
    ----------
    output : Tensor, sequence of Tensor, or callable
        A callable is run on ``args``. Arrays of floats among them are drawn as leaves under the names of its
        parameters; those given to a module that has parameters are constants, as in training. Modules become frames.
        Of a callable that raises, what it had computed is drawn, forward, and the operation that failed in red, with
        the shapes that it was given and the message.
    *args
        Arguments of a callable.
    expand : bool
        Show every fused operation as a frame around its composed definition.
    compare : bool
        Show every fused operation beside its composed definition, with both gradients and their difference.
    direction : {"forward", "backward", "both"}
        What is computed; or how the gradients are made, with the rule beside every arrow; or both, facing each other.
    values : bool
        Numbers in the boxes: scalars and small arrays in full, larger ones by their range.
    statistics : bool
        Range, mean and standard deviation in the boxes.
    gradients : bool
        The gradient of ``output`` (of the sum of its elements, if it has several) with respect to every box: in full
        where small, else its norm. Nothing is freed and no ``.grad`` is touched. Whatever is not finite is drawn in
        red.
    profile : bool
        Time, forward and with ``gradients=True`` backward too, and memory of the result, in every box and summed for
        every module; needs a callable, or a graph recorded inside :func:`autodiff.viz.recording`.
    names : mapping of str to object, optional
        Names to show, such as ``locals()``: tensors, modules (their parameters get paths) and collections of them;
        anything else is passed over.
    fold : bool or int
        Draw repeated blocks once, and fold until at most this many boxes (150) are visible; False draws everything.
    depth : int, optional
        How many levels of modules to open.
    level : {"operations", "modules"}
        ``"modules"`` draws the architecture: a box for every module that holds no other, with its class, options,
        shapes in and out, and number of parameters. A button of the page switches.
    rankdir : {"TB", "LR", "BT", "RL"}
        Which way the computation flows.
    theme : {"auto", "light", "dark"}
    title : str
    history : sequence of mapping of str to array, optional
        States of the module that is drawn, or of the only one among ``names``, as ``state_dict()`` gave them during
        training. The page has a slider over them: values, gradients and dead units of each. The module keeps its own
        state.

    Returns
    -------
    Graph

    Raises
    ------
    ArgumentError
        If there is nothing to draw or an option is unknown.
    GraphError
        If ``compare`` needs a gradient through a graph that a backward pass has freed.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.tensor(2.0, requires_grad=True, name="x")
    >>> print(draw(x * x))
    %0  x           scalar float64  parameter
    %1  ×(%0, %0)   scalar float64
    >>> print(draw(lambda a, b: a * b, 2.0, 3.0, values=True, gradients=True))
    %0  a           scalar float64  = 2  ∂ 3  parameter
    %1  b           scalar float64  = 3  ∂ 2  parameter
    %2  ×(%0, %1)   scalar float64  = 6  ∂ 1
    """
    given = {"rankdir": rankdir, "level": level, "direction": direction, "theme": theme}
    for name, value in given.items():
        if value not in _CHOICES[name]:
            raise ArgumentError(f"draw: {name} must be one of {_CHOICES[name]}, got {value!r}")
    if level == "modules" and fold is False:
        raise ArgumentError('draw: level="modules" closes modules, which fold=False forbids; leave fold out')
    if isinstance(fold, int) and not isinstance(fold, bool) and fold < 1:
        raise ArgumentError(f"draw: fold must be True, False or the number of boxes to show, at least 1; got {fold}")
    if history is not None:
        module = _module_of(output, names or {})
        values = gradients = True
    shown = Shown(expand, compare, values, statistics, gradients, profile)

    def record() -> tuple[GraphView, bool]:
        """The picture at this moment, and whether the program ended well."""
        known: dict[int, str] = {}
        kinds: dict[str, Part] = {}
        inputs: list[str] = []
        arguments: dict[int, str] = {}
        failure = None
        if isinstance(output, Tensor) or not callable(output):
            if args:
                raise ArgumentError("draw: arguments follow a callable only; options go by name")
            outputs = [output] if isinstance(output, Tensor) else list(output) if np.iterable(output) else []
            if not outputs or not all(isinstance(t, Tensor) for t in outputs):
                raise ArgumentError("draw: pass a Tensor, a sequence of Tensors, or a callable and its arguments")
        else:
            # Constants are known by their arrays, so these are kept where there are names to find.
            outputs, inputs, failure = run(output, args, shown.arrays or bool(names))
            arguments = names_of(dict(zip(inputs, args, strict=False)))
            if hasattr(output, "named_parameters"):
                known = names_of({"": output})
                kinds = module_kinds(output)
        known |= names_of(names or {})
        kinds = kinds_of(names or {}) | kinds
        view = snapshot(
            outputs,
            shown=shown,
            names=known,
            kinds=kinds,
            title=title,
            inputs=inputs,
            arguments=arguments,
            failure=failure,
        )
        if direction != "forward" and failure is None:
            view = (backward_view if direction == "backward" else facing_view)(view)
        return view, failure is None

    if history is not None:
        moments = _moments(module, history, record)
        view, well = moments[0], True
    else:
        moments = ()
        view, well = record()
    # The page turns to the backward pass; of a very large graph it would hold twice as much.
    turns = direction == "forward" and well and not moments and len(view.nodes) <= _TURNED
    other = (lambda: _folded(backward_view(view), fold, depth, False)) if turns else None
    return Graph(_folded(view, fold, depth, level == "modules"), rankdir, theme, other, moments)


def _module_of(output: Any, names: Mapping[str, Any]) -> Any:
    """The module whose states a history holds: what is drawn, or the only one among the names."""
    if hasattr(output, "load_state_dict"):
        return output
    found = [value for value in names.values() if hasattr(value, "load_state_dict") and hasattr(value, "parameters")]
    if not callable(output) or len(found) != 1:
        raise ArgumentError(
            "draw: history= needs a module: draw a module, or a function with the one module that it runs among names="
        )
    return found[0]


def _moments(
    module: Any, history: Sequence[Mapping[str, Any]], record: Callable[[], tuple[GraphView, bool]]
) -> tuple[GraphView, ...]:
    """The picture with each state of the module; the module has its own state again afterwards."""
    if not len(history):
        raise ArgumentError("draw: history= is empty; it needs a state_dict() or more")
    own = {name: np.array(array) for name, array in module.state_dict().items()}
    moments: list[GraphView] = []
    try:
        for number, state in enumerate(history):
            module.load_state_dict(state)
            view, well = record()
            if not well or [n.label for n in view.nodes] != [n.label for n in (moments or [view])[0].nodes]:
                raise ArgumentError(f"draw: with state {number} of history= the program runs another course")
            moments.append(view)
    finally:
        module.load_state_dict(own)
    return tuple(moments)


def _folded(view: GraphView, limit: bool | int, depth: int | None, modules: bool) -> GraphView:
    if limit is False:
        return view
    return fold(view, limit=LIMIT if limit is True else limit, depth=depth, modules=modules)
