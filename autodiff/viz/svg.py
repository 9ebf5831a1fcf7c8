"""GraphView to SVG: :mod:`autodiff.viz.layered` decides where things go, and this module draws them, with native
tooltips, colours that follow the reader's dark mode, text that cannot overflow its box, and ids that do not change from
one run to the next. Nothing has to be installed.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from xml.sax.saxutils import escape, quoteattr

from autodiff.core.errors import ArgumentError, MissingExtraError
from autodiff.extras import loadable, require

from .dot import edge_label, heading, tooltip
from .layered import Layout, layered
from .sheet import DARK, LIGHT, arrow_head, corner_radius, family, heading_places, lines_of, sheet_of
from .style import ALERT, FAMILIES, ROW_SIZE, TITLE_SIZE, Box, box_of, clean, text_width
from .view import ClusterView, EdgeView, GraphView, NodeView

__all__ = ["Layout", "render", "to_svg"]

_REMEDIES = (
    "Graphviz is not here: install Graphviz so that the program `dot` is on PATH (Debian: apt-get install"
    " graphviz) and  pip install graphviz,  or  pip install graphviz pygraphviz,  whose wheel carries the engine."
    " Pictures as SVG, HTML and DOT need neither."
)


def render(dot: str, format: str) -> bytes:
    """What Graphviz makes of DOT text in another format (``"json0"`` for positions). A MissingExtraError that names
    both remedies if there is neither a ``dot`` program nor a pygraphviz that loads.

    Examples
    --------
    >>> render("digraph { a }", "json0")[:1]
    b'{'
    """
    if shutil.which("dot") is not None and loadable("graphviz"):
        drawn: bytes = require("graphviz").pipe("dot", format, dot.encode())
        return drawn
    try:
        engine = require("pygraphviz")
    except MissingExtraError as error:
        raise MissingExtraError(f"{_REMEDIES} ({error})") from error
    graph = engine.AGraph(string=dot)
    try:
        # pygraphviz writes a remark to stderr from a thousand nodes on.
        with contextlib.redirect_stderr(io.StringIO()):
            result: bytes | str = graph.draw(format=format, prog="dot")
    finally:
        graph.close()
    return result.encode() if isinstance(result, str) else result


# --- drawing ----------------------------------------------------------------------------------------------------


THEMES = ("auto", "light", "dark")


def variables() -> tuple[str, str]:
    """The colours of a light and of a dark page, as custom properties of CSS.

    Examples
    --------
    >>> variables()[0].partition(";")[0]
    '--ad-page:#ffffff'
    """
    light, dark = ("".join(f"--ad-{key}:{colour};" for key, colour in page.items()) for page in (LIGHT, DARK))
    for key, found in {**FAMILIES, "alert": ALERT}.items():
        light += f"--ad-{key}-fill:{found.fill};--ad-{key}-line:{found.line};"
        dark += f"--ad-{key}-fill:{found.dark_fill};--ad-{key}-line:{found.dark_line};"
    return light, dark


def style_sheet(theme: str = "auto") -> str:
    """The rules of CSS shared by the SVG and the HTML viewer, all inside ``.autodiff-graph``; ``"auto"`` follows the
    reader's setting.

    Examples
    --------
    >>> ".autodiff-graph" in style_sheet("light")
    True
    """
    if theme not in THEMES:
        raise ArgumentError(f"theme must be one of {', '.join(THEMES)}; got {theme!r}")
    light, dark = variables()
    if theme == "dark":
        light = dark
    root = ".autodiff-graph"
    rules = [f"{root}{{{light}font-family:Helvetica,Arial,'Liberation Sans',sans-serif}}"]
    if theme == "auto":
        rules.append(f"@media (prefers-color-scheme:dark){{{root}{{{dark}}}}}")
    rules.append(
        f"{root} text{{fill:var(--ad-ink);stroke:none}}{root} .page{{fill:var(--ad-page)}}{root} .shape,{root}"
        f" .row,{root} .caption,{root} .note,{root} .edge-label{{fill:var(--ad-soft)}}{root} .title,{root} .name,{root}"
        f" .alert,{root} .heading{{font-weight:bold}}{root} .node text,{root}"
        f" .edge-label{{text-anchor:middle}}{root} .node text{{font-size:{ROW_SIZE:g}px}}{root}"
        f" .node .title{{font-size:{TITLE_SIZE:g}px}}{root} .edge"
        f" path{{fill:none;stroke:var(--ad-edge);stroke-width:1.1}}{root} .edge"
        f" polygon{{fill:var(--ad-edge);stroke:none}}{root} .edge.gradient path{{stroke:var(--ad-loss-line)}}{root}"
        f" .edge.gradient polygon{{fill:var(--ad-loss-line)}}{root} .edge.carry path{{stroke-dasharray:6 3}}{root}"
        f" .edge.link path{{stroke:var(--ad-frame);stroke-dasharray:1.5 3.5}}{root} .edge.bad"
        f" path{{stroke:var(--ad-alert-line);stroke-width:2.2}}{root} .edge.bad"
        f" polygon{{fill:var(--ad-alert-line)}}{root}"
        f" .cluster>rect{{fill:var(--ad-tint);fill-opacity:.55;stroke:var(--ad-frame)}}{root}"
        f" .cluster.fused>rect{{stroke:var(--c-line);stroke-dasharray:5 3;fill:var(--c-fill);fill-opacity:.3}}{root}"
        f" .cluster.repeat>rect{{stroke-width:2}}{root} .cluster.side>rect{{fill:none}}{root} .node"
        f" .body{{fill:var(--c-fill);stroke:var(--c-line);stroke-width:1.2}}{root} .node"
        f" .bar{{stroke:var(--c-line);stroke-width:1.2}}{root} .node.fused .body{{stroke-width:2}}{root}"
        f" .node.parameter .body,{root} .node.gradient .body{{stroke-width:1.8}}{root} .node.constant"
        f" .body{{stroke-dasharray:4 3}}{root} .node.bad .body{{stroke-width:2.6}}{root} .edge-label,{root} .cluster"
        f" text{{paint-order:stroke;stroke:var(--ad-page);stroke-width:3px;stroke-opacity:.85}}{root}"
        f" text.alert{{fill:var(--ad-alert-line)}}{root} .heat{{image-rendering:pixelated}}"
    )
    for key in (*FAMILIES, "alert"):
        rules.append(f"{root} .f-{key}{{--c-fill:var(--ad-{key}-fill);--c-line:var(--ad-{key}-line)}}")
    return "".join(rules)


def to_svg(view: GraphView, *, rankdir: str = "TB", theme: str = "auto", legend: bool = True) -> str:
    """A picture as one ``svg`` element of the size it needs: no cap, no scaling. Collapsed clusters are boxes.

    Examples
    --------
    >>> from autodiff.viz.view import NodeView
    >>> to_svg(GraphView((NodeView("n0", "x"),))).startswith("<svg")
    True
    """
    styles = style_sheet(theme)
    view = view.visible()
    layout = layered(view, rankdir)
    sheet = sheet_of(view, layout, legend)
    title = clean(view.title) or "computation graph"
    out = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="autodiff-graph" role="img" aria-label={quoteattr(title)} '
            f'width="{sheet.width:.0f}" height="{sheet.height:.0f}" viewBox="0 0 {sheet.width:.1f} {sheet.height:.1f}">'
        ),
        f"<style>{styles}</style>",
        '<rect class="page" width="100%" height="100%"/>',
        *(_text(line, x, y, 15, "heading", bold=True) for line, x, y in sheet.title),
        *(_legend_key(key, x, y) for key, x, y in sheet.legend),
        f'<g transform="translate({sheet.graph[0]:.1f} {sheet.graph[1]:.1f})">',
    ]
    places = heading_places(view, layout)
    out.extend(
        _frame(cluster, layout.clusters[cluster.id], *places[cluster.id])
        for cluster in view.clusters
        if cluster.id in places
    )
    labels = {node.id: clean(node.label) for node in view.nodes}
    out.extend(_arrow(edge, layout, labels) for edge in view.edges)
    out.extend(_box(node, layout.nodes[node.id]) for node in view.nodes)
    out.append("</g>")
    out.extend(_text(line, x, y, 10.5, "note") for line, x, y in sheet.note)
    out.append("</svg>")
    return "\n".join(part for part in out if part) + "\n"


_IN_BOXES = frozenset(("title", "name", "shape", "row", "alert"))


def _legend_key(key: str, x: float, y: float) -> str:
    return (
        f'<g class="node f-{key}"><rect class="body" x="{x:.1f}" y="{y:.1f}" width="12" height="10" rx="3"/></g>'
    ) + _text(family(key).title, x + 17, y + 9, 10.5, "note")


def _text(text: str, x: float, y: float, size: float, kind: str, *, bold: bool = False, most: float = 0.0) -> str:
    """A line of text, whose anchor is the style sheet's; so is the size of what stands in boxes."""
    length = text_width(text, size, bold)
    if most:
        length = min(length, most)
    sized = "" if kind in _IN_BOXES else f' font-size="{size:g}"'
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}"{sized} '
        f'textLength="{max(length, 1):.1f}" lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'
    )


def _frame(cluster: ClusterView, place: tuple[float, float, float, float], start: float, room: float) -> str:
    left, top, right, bottom = place
    lines = heading(cluster)
    parts = [
        (
            f'<g class="cluster {cluster.kind} f-{cluster.family}" id={quoteattr(cluster.id)}>'
            f"<title>{escape(tooltip(cluster))}</title>"
        ),
        f'<rect x="{left}" y="{top}" width="{right - left:.1f}" height="{bottom - top:.1f}" rx="8"/>',
    ]
    for i, line in enumerate(lines):
        size, kind = (12.0, "heading") if i == 0 else (10.5, "caption")
        parts.append(_text(line, start, top + 17 + 15 * i, size, kind, bold=i == 0, most=room))
    return "".join(parts) + "</g>"


def _arrow(edge: EdgeView, layout: Layout, labels: dict[str, str]) -> str:
    drawn = layout.edges.get(edge.id)
    kind = f"edge {edge.kind}{' bad' if edge.alert else ''}"
    said = [f"{labels[edge.source]} → {labels[edge.target]}", *(f"{clean(k)}: {clean(v)}" for k, v in edge.details)]
    start = (
        f'<g class="{kind}" id={quoteattr(edge.id)} data-source={quoteattr(edge.source)}'
        f" data-target={quoteattr(edge.target)}><title>{escape(chr(10).join(said))}</title>"
    )
    if drawn is None:
        return start + "</g>"
    points, tip, middle = drawn
    x0, y0 = points[0]
    curve = ""
    for (xa, ya), *rest in zip(points[::3], points[1::3], points[2::3], points[3::3], strict=False):
        (ax, ay), (bx, by), (x, y) = ((round(px - xa, 1), round(py - ya, 1)) for px, py in rest)
        curve += f"v{y:g}" if ax == bx == x == 0 else f"c{ax:g} {ay:g} {bx:g} {by:g} {x:g} {y:g}"
    parts = [start, f'<path d="M{x0} {y0}{curve}"/>']
    if tip is not None:
        (x, y), (ax, ay), (bx, by) = arrow_head(edge, points, tip)
        parts.append(f'<polygon points="{x},{y} {ax:.1f},{ay:.1f} {bx:.1f},{by:.1f}"/>')
    label = edge_label(edge)
    if label and middle is not None:
        parts.append(_text(label, middle[0], middle[1] + 3.5, 10, "edge-label"))
    return "".join(parts) + "</g>"


def _box(node: NodeView, centre: tuple[float, float]) -> str:
    box = box_of(node)
    family = "alert" if node.alert else node.family
    classes = f"node {node.kind} f-{family}{' bad' if node.alert else ''}"
    left, top = centre[0] - box.width / 2, centre[1] - box.height / 2
    parts = [f'<g class="{classes}" id={quoteattr(node.id)}><title>{escape(tooltip(node))}</title>']
    radius = corner_radius(node, box)
    if node.kind == "fold" and node.times > 1:
        for shift in (6, 3):
            parts.append(_rect(left + shift, top - shift, box, radius))
    parts.append(_rect(left, top, box, radius))
    if node.kind == "fused":
        for x in (left + 6, left + box.width - 6):
            parts.append(f'<line class="bar" x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{top + box.height:.1f}"/>')
    parts.extend(_text(text, centre[0], y, size, kind, bold=bold) for text, size, bold, kind, y in lines_of(box, top))
    for heat, x, up, width, height in box.maps:
        parts.append(
            f'<image href="{heat.uri}" x="{centre[0] + x:.1f}" y="{top + box.height - up:.1f}" width="{width:.1f}"'
            f' height="{height:.1f}" preserveAspectRatio="none" class="heat {heat.kind}"><title>{escape(heat.text)}'
            "</title></image>"
        )
    return "".join(parts) + "</g>"


def _rect(left: float, top: float, box: Box, radius: float) -> str:
    return (
        f'<rect class="body" x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
        f' rx="{radius:.1f}"/>'
    )
