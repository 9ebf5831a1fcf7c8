"""GraphView to one HTML page that needs nothing else: no network, no server, no other file.

The page carries the whole picture as JSON, the layout library dagre (MIT licence, unchanged but for its pointer to a
source map), and the viewer of ``assets/viewer.js``. Its content security policy forbids every request. Text reaches the
page as JSON with ``<``, ``>`` and ``&`` escaped, and enters the document as text nodes only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from autodiff.core.op import registry

from .derivations import derivation_of
from .formulas import formula_of
from .style import ALERT, FAMILIES, MAP_GAP, MAP_SIDE, WIDEST, clean, shape_text
from .svg import style_sheet, variables
from .view import GraphView, NodeView

__all__ = ["to_html"]

#: The most boxes of a picture whose numbers the page moves.
_LIVELY = 1000
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_KEYS = (
    ("click, Enter", "open or fold a block; show a box's details"),
    ("/", "search by name"),
    ("p", "highlight everything between the chosen box and the result"),
    ("a, b", "step through the computation, through the backward pass"),
    ("q", "a quiz: guess each gradient, then see it"),
    ("l", "live numbers: move the leaves, and see values and gradients move"),
    ("n, N", "next step, previous step"),
    ("arrows", "with a box in focus: to what it feeds, to what feeds it; else pan"),
    ("Tab", "into the picture, and through its buttons"),
    ("+, -, 0", "zoom in, zoom out, fit; also the wheel"),
    ("m", "a box a module, or the operations"),
    ("e, f", "open as much as stays legible; fold as at first"),
    ("Escape", "let go of a choice"),
)


@cache
def asset(name: str) -> str:
    """A file of the page."""
    return (files("autodiff.viz") / "assets" / name).read_text(encoding="utf-8")


def safe_json(value: Any) -> str:
    """JSON that may stand inside a script element: nothing in it can end the element or open a comment.

    Examples
    --------
    >>> safe_json("</script>")
    '"\\\\u003c/script\\\\u003e"'
    """
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class _Strings:
    """Every text once; the rest of the page speaks of its number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.seen: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        found = self.seen.get(text)
        if found is None:
            found = self.seen[text] = self.numbers.setdefault(clean(text), len(self.numbers))
        return found

    def pairs(self, details: tuple[tuple[str, str], ...]) -> list[list[int]]:
        return [[self(key), self(value)] for key, value in details]


def _data(view: GraphView, rankdir: str, moments: Sequence[GraphView] = ()) -> dict[str, Any]:
    text = _Strings()
    still = why_still(view)

    def now(n: NodeView) -> list[Any]:
        """What a box shows at one moment."""
        return [
            [text(row) for row in n.rows],
            text.pairs(n.details),
            text(n.alert),
            [[text(m.kind), text(m.uri), *m.size(MAP_SIDE), text(m.text)] for m in n.maps],
            n.numbers,
            () if still else n.gradients,
        ]

    cluster_of: dict[str | None, int] = {None: -1} | {c.id: i for i, c in enumerate(view.clusters)}
    node_of = {node.id: i for i, node in enumerate(view.nodes)}
    clusters = [
        [
            c.id,
            text(c.label),
            text(c.kind),
            cluster_of[c.parent],
            text(c.caption),
            int(c.collapsed),
            int(c.rolled),
            text(c.family),
            text(shape_text(c.shape, c.dtype)),
            text(c.name),
            [text(row) for row in c.rows],
            text.pairs(c.details),
            text(c.alert),
            c.count,
            c.times,
        ]
        for c in view.clusters
    ]
    nodes = [
        [
            n.id,
            text(n.label),
            text(n.kind),
            text(n.family),
            text(shape_text(n.shape, n.dtype)),
            text(n.name),
            cluster_of[n.cluster],
            *now(n),
        ]
        for n in view.nodes
    ]
    edges = [
        [
            e.id,
            node_of[e.source],
            node_of[e.target],
            e.slot,
            text(e.kind),
            text(e.label),
            text.pairs(e.details),
            text(e.alert),
            int(e.upward),
            e.count,
        ]
        for e in view.edges
    ]
    shown = {"moments": [[now(node) for node in moment.nodes] for moment in moments]} if moments else {}
    return {
        **shown,
        "rankdir": rankdir,
        "gap": MAP_GAP,
        "legend": [*((key, family.title) for key, family in FAMILIES.items()), ("alert", ALERT.title)],
        "gradients": any(key == "gradient norm" for n in view.nodes for key, _ in n.details),
        "still": still,
        "widest": WIDEST,
        **_formulas(view),
        "nodes": nodes,
        "edges": edges,
        "clusters": clusters,
        "strings": list(text.numbers),
    }


def why_still(view: GraphView) -> str:
    """Why a page cannot move the numbers of a program; empty where it can.

    The page computes with the textbook's formulas in double precision and element by element, so it takes real
    operations of float64 whose arrays have the shape of their result or a single element.
    """
    if len(view.nodes) > _LIVELY:
        return f"the picture has more than {_LIVELY} boxes"
    if any(edge.kind != "data" for edge in view.edges):
        return "the picture shows a program twice, or parts of it by hand"
    known = {node.id: node for node in view.nodes}
    takes: dict[str, list[NodeView]] = {node.id: [] for node in view.nodes}
    for edge in view.edges:
        takes[edge.target].append(known[edge.source])
    for node in view.nodes:
        facts, called = dict(node.details), node.name or node.label
        formula = formula_of(facts.get("operation", ""))
        if node.kind == "constant" and node.label.startswith("detach("):
            return f"{node.label} was read out of the graph, and would not follow what it was read from"
        if not node.numbers:
            return f"no finite values of {called} are on this page: draw(..., values=True) of a small program"
        if node.kind != "constant" and node.dtype != "float64":
            return f"{called} is {node.dtype}, and the page computes in float64"
        if node.kind in ("parameter", "input", "constant"):
            continue
        if formula is None or formula["arithmetic"] is None:
            return f"the page has no formula to compute {called} with"
        whole = facts["operation"] in ("sum", "mean")
        if any(not (len(m.numbers) == 1 or whole or _same(m.shape, node.shape)) for m in takes[node.id]) or (
            whole and len(node.numbers) > 1
        ):
            return f"the page does not repeat arrays or sum along an axis, as {called} does"
        if not node.gradients:
            return f"no finite gradient of {called} is on this page: draw(..., gradients=True)"
    return ""


def _same(one: tuple[int, ...] | None, other: tuple[int, ...] | None) -> bool:
    """Whether arrays of two shapes have the same elements in the same order."""
    return [n for n in one or () if n != 1] == [n for n in other or () if n != 1]


def _formulas(view: GraphView) -> dict[str, Any]:
    """The textbook formulas of the operations of a picture, and the derivations of the fused ones, by name."""
    names = sorted({value for node in view.nodes for key, value in node.details if key == "operation"})
    formulas = ((name, formula_of(name)) for name in names)
    derivations = ((name, derivation_of(name)) for name in names)
    return {
        "formulas": {
            name: {**formula, "inputs": list(registry[name].inputs)}
            for name, formula in formulas
            if formula is not None
        },
        "derivations": {name: found.shown() for name, found in derivations if found is not None},
    }


def _styles(theme: str) -> str:
    sheet = style_sheet(theme)
    light, dark = variables()
    chosen = f'.autodiff-graph[data-theme="light"]{{{light}color-scheme:light}}.autodiff-graph[data-theme="dark"]{{{dark}color-scheme:dark}}'
    scheme = {"auto": "light dark", "light": "light", "dark": "dark"}[theme]
    return f":root{{color-scheme:{scheme}}}{sheet}{chosen}\n{asset('viewer.css')}"


def to_html(
    view: GraphView,
    *,
    rankdir: str = "TB",
    theme: str = "auto",
    other: GraphView | None = None,
    moments: Sequence[GraphView] = (),
) -> str:
    """A picture as an interactive page, a whole document; collapsed clusters open when clicked.

    A button of the page turns to ``other``, the picture's backward pass; a slider runs over ``moments``, the same
    picture at several moments of a training. A theme other than "auto" (the reader's setting, which a button changes),
    "light" or "dark" is an ArgumentError.

    Examples
    --------
    >>> from autodiff.viz.view import NodeView
    >>> page = to_html(GraphView((NodeView("n0", "<script>"),)))
    >>> page.startswith("<!DOCTYPE html>"), "<script>\\"" in page
    (True, False)
    """
    title = escape(clean(view.title) or "computation graph")
    page = _data(view, rankdir, moments)
    if other is not None:
        page["other"] = _data(other, rankdir)
    styles = _styles(theme)
    library = "\n".join(line for line in asset("dagre.min.js").splitlines() if "sourceMappingURL" not in line)
    keys = "".join(f"<tr><td><kbd>{escape(key)}</kbd></td><td>{escape(does)}</td></tr>" for key, does in _KEYS)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{title}</title>
<style>
{styles}
</style>
</head>
<body class="autodiff-graph">
<header>
<h1>{title}</h1>
<span class="find"><input id="find" type="search" placeholder="search (/)" aria-label="search by name" role="combobox" aria-expanded="false"
 aria-controls="found" autocomplete="off"><ul id="found" role="listbox" hidden></ul></span>
<button id="ahead" aria-pressed="false" title="watch the values being computed, one operation at a time (a)">step forward</button>
<button id="step" aria-pressed="false" title="watch the gradients arrive, one operation at a time (b)">step backward</button>
<button id="live" aria-pressed="false" title="move the leaves, and see values and gradients move (l)">live</button>
<button id="path" aria-pressed="false" disabled title="highlight the way from the chosen box to the result (p)">path</button>
<span class="grow"></span>
<span class="levels" role="group" aria-label="level of view"><button id="modules" aria-pressed="false" title="a box a module: class, options, shapes, parameters (m)">modules</button><button
 id="operations" aria-pressed="true" title="a box an operation">operations</button><button id="backward" aria-pressed="false" title="the backward pass: where each gradient is made from which">backward</button></span>
<button id="open" title="open as much as stays legible (e)">open all</button>
<button id="fold" title="fold as at first (f)">fold</button>
<button id="in" aria-label="zoom in" title="zoom in (+)">+</button>
<button id="out" aria-label="zoom out" title="zoom out (-)">−</button>
<button id="fit" title="fit into the window (0)">fit</button>
<button id="theme" title="light or dark" aria-label="light or dark">◐</button>
<button id="keys" aria-label="keys" title="keys (?)">?</button>
</header>
<main id="stage">
<svg id="picture" aria-label="{title}" role="group"></svg>
<div id="said" role="status" hidden></div>
</main>
<footer id="foot"><div id="note">{escape(clean(view.note))}</div><div id="legend"></div></footer>
<aside id="side" aria-label="details" hidden></aside>
<section id="steps" aria-label="backward pass" hidden>
<div class="row"><button id="first" aria-label="to the first step">|◀</button><button id="back" title="previous step (N)">◀ back</button>
<button id="next" title="next step (n)">next ▶</button><button id="play">▶ play</button><select id="speed" aria-label="speed"><option value="2800">slow</option><option
 value="1400" selected>normal</option><option value="500">fast</option></select><span id="count"></span><span class="grow"></span><button id="quiz" aria-pressed="false"
 title="guess each gradient, then see it (q)">quiz</button><button id="save" title="all steps as one animated SVG">save animation</button></div>
<div aria-live="polite"><p id="what"></p><ol id="sends"></ol></div>
<form id="ask" hidden><label>gradient <input id="guess" type="text" inputmode="text" autocomplete="off" size="12"></label> <button>check</button> <span id="verdict" role="status"></span></form>
</section>
<section id="times" aria-label="training steps" hidden><label>moment <input id="moment" type="range" min="0" step="1" value="0"></label> <output id="when"></output></section>
<section id="lively" aria-label="live numbers" hidden><p>The page computes every box again from the leaves. Constants, and what
the program chose by a value (detach, float(x), a comparison, an if), stay as they were recorded.</p><div id="dials"></div></section>
<div id="tip" role="tooltip" hidden></div>
<dialog id="help"><form method="dialog"><h2>Keys</h2><table>{keys}</table><p><button>close</button></p></form></dialog>
<script id="data" type="application/json">{safe_json(page)}</script>
<script>
/*
{asset("dagre.LICENSE.txt").partition("/*")[0].strip()}
*/
{library}
</script>
<script>
{asset("formula.js")}
</script>
<script>
{asset("viewer.js")}
</script>
</body>
</html>
"""
