"""GraphView to SVG: Graphviz, or a layout of our own, decides where things go, and this module draws them.

The layout comes from the ``dot`` program where it is on PATH (through the ``graphviz`` package), else from the
``pygraphviz`` wheel, which carries the same engine and needs no system package, else from
:mod:`autodiff.viz.layered`, which needs nothing. Graphviz's own SVG is not used: drawing
here gives native tooltips, colours that follow the reader's dark mode, text that cannot overflow its box, and ids that
do not change from one run to the next.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from autodiff.core.errors import ArgumentError, MissingExtraError
from autodiff.extras import loadable, require

from .dot import beside, edge_label, heading, to_dot, tooltip
from .layered import Layout, layered
from .style import ALERT, FAMILIES, LINE_GAP, Box, box_of, clean, pill, text_width
from .view import ClusterView, EdgeView, GraphView, NodeView

__all__ = ["Layout", "lay_out", "render", "to_svg"]

_REMEDIES = (
    "drawing needs a layout engine: install Graphviz so that the program `dot` is on PATH (Debian: apt-get install"
    " graphviz) and  pip install graphviz,  or  pip install graphviz pygraphviz,  whose wheel carries the engine. The"
    " DOT text needs neither: draw(...).dot, draw(...).save('graph.dot')."
)


def render(dot: str, format: str) -> bytes:
    """Let Graphviz turn DOT text into another format.

    Parameters
    ----------
    dot : str
    format : str
        ``"json0"`` for positions, ``"pdf"``, ``"png"`` ...

    Returns
    -------
    bytes

    Raises
    ------
    MissingExtraError
        If there is neither a ``dot`` program nor a pygraphviz that loads; the message names both remedies.

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


def _point(text: str) -> tuple[float, float]:
    x, y = text.split(",")
    return float(x), float(y)


def lay_out(view: GraphView, *, rankdir: str = "TB") -> Layout:
    """Where to put every box, frame and arrow of a view without collapsed clusters: Graphviz says it where it is
    installed, else :func:`autodiff.viz.layered.layered`.

    Parameters
    ----------
    view : GraphView
    rankdir : str
        Direction of flow; see :func:`autodiff.viz.dot.to_dot`.

    Returns
    -------
    Layout

    Examples
    --------
    >>> from autodiff.viz.view import NodeView
    >>> lay_out(GraphView((NodeView("n0", "x"),))).nodes["n0"][0] > 0
    True
    """
    if not view.nodes:
        return Layout(0, 0, {}, {}, {})
    try:
        drawn = render(to_dot(view, rankdir=rankdir), "json0")
    except MissingExtraError:
        return layered(view, rankdir)
    found: dict[str, Any] = json.loads(drawn.decode("utf-8", "replace"))
    left, bottom, right, top = (float(value) for value in found["bb"].split(","))

    def place(text: str) -> tuple[float, float]:
        x, y = _point(text)
        return round(x - left, 1), round(top - y, 1)

    nodes: dict[str, tuple[float, float]] = {}
    clusters: dict[str, tuple[float, float, float, float]] = {}
    for item in found.get("objects", ()):
        name = item["name"]
        if "pos" in item:
            nodes[name] = place(item["pos"])
        elif name.startswith("cluster_") and "bb" in item:
            x0, y0, x1, y1 = (float(value) for value in item["bb"].split(","))
            clusters[name.removeprefix("cluster_")] = (
                round(x0 - left, 1),
                round(top - y1, 1),
                round(x1 - left, 1),
                round(top - y0, 1),
            )
    reversed_leaves = {leaves[1] for leaves in beside(view).values() if len(leaves) > 1}
    turned = {edge.id for edge in view.edges if edge.source in reversed_leaves}
    edges: dict[str, tuple[list[tuple[float, float]], tuple[float, float] | None, tuple[float, float] | None]] = {}
    for item in found.get("edges", ()):
        if "id" not in item:
            continue
        tip = None
        points = []
        for part in item["pos"].split():
            if part.startswith(("e,", "s,")):
                tip = place(part[2:])
            else:
                points.append(place(part))
        if item["id"] in turned:
            points.reverse()
        edges[item["id"]] = points, tip, place(item["lp"]) if "lp" in item else None
    return Layout(right - left, top - bottom, nodes, clusters, edges)


# --- drawing ----------------------------------------------------------------------------------------------------


_THEMES = ("auto", "light", "dark")
PAD = 16.0


def variables() -> tuple[str, str]:
    """The colours of a light and of a dark page, as custom properties of CSS.

    Examples
    --------
    >>> variables()[0].partition(";")[0]
    '--ad-page:#ffffff'
    """
    light = (
        "--ad-page:#ffffff;--ad-ink:#1f2328;--ad-soft:#57606a;--ad-edge:#6e7781;--ad-frame:#afb8c1;--ad-tint:#f6f8fa;"
    )
    dark = (
        "--ad-page:#0d1117;--ad-ink:#e6edf3;--ad-soft:#9aa4af;--ad-edge:#8b949e;--ad-frame:#484f58;--ad-tint:#161b22;"
    )
    for key, family in {**FAMILIES, "alert": ALERT}.items():
        light += f"--ad-{key}-fill:{family.fill};--ad-{key}-line:{family.line};"
        dark += f"--ad-{key}-fill:{family.dark_fill};--ad-{key}-line:{family.dark_line};"
    return light, dark


def style_sheet(theme: str = "auto") -> str:
    """Return the rules of CSS shared by the SVG and the HTML viewer, all inside ``.autodiff-graph``.

    Parameters
    ----------
    theme : str
        ``"auto"`` follows the reader's setting; ``"light"`` and ``"dark"`` are fixed.

    Returns
    -------
    str

    Raises
    ------
    ArgumentError
        For any other theme.

    Examples
    --------
    >>> ".autodiff-graph" in style_sheet("light")
    True
    """
    if theme not in _THEMES:
        raise ArgumentError(f"theme must be one of {', '.join(_THEMES)}; got {theme!r}")
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
        f" .alert,{root} .heading{{font-weight:bold}}{root} .edge"
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
    """Draw a picture as SVG.

    Parameters
    ----------
    view : GraphView
        Collapsed clusters are drawn as boxes.
    rankdir : str
        Direction of flow: ``"TB"``, ``"LR"``, ``"BT"`` or ``"RL"``.
    theme : str
        ``"auto"``, ``"light"`` or ``"dark"``.
    legend : bool
        Say which colour means what.

    Returns
    -------
    str
        One ``svg`` element of the size it needs: no cap, no scaling.

    Examples
    --------
    >>> from autodiff.viz.view import NodeView
    >>> to_svg(GraphView((NodeView("n0", "x"),))).startswith("<svg")
    True
    """
    sheet = style_sheet(theme)
    view = view.visible()
    layout = lay_out(view, rankdir=rankdir)
    keys = legend_keys(view) if legend else []
    header, header_width, header_height = _header(view.title, keys, max(layout.width, 320.0))
    footer = [] if not view.note else wrapped(clean(view.note), max(layout.width, header_width, 320.0), 10.5)
    width = max(layout.width, header_width, *(text_width(line, 10.5) for line in footer), 0.0) + 2 * PAD
    height = header_height + layout.height + 15 * len(footer) + (6 if footer else 0) + 2 * PAD
    title = clean(view.title) or "computation graph"
    out = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="autodiff-graph" role="img" aria-label={quoteattr(title)} '
            f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.1f} {height:.1f}">'
        ),
        f"<style>{sheet}</style>",
        '<rect class="page" width="100%" height="100%"/>',
        *header,
        f'<g transform="translate({(width - layout.width) / 2:.1f} {PAD + header_height:.1f})">',
    ]
    out.extend(_frame(cluster, layout.clusters.get(cluster.id)) for cluster in view.clusters)
    labels = {node.id: clean(node.label) for node in view.nodes}
    out.extend(_arrow(edge, layout, labels) for edge in view.edges)
    out.extend(_box(node, layout.nodes[node.id]) for node in view.nodes)
    out.append("</g>")
    y = height - PAD - 15 * (len(footer) - 1) - 3
    out.extend(_text(line, PAD, y + 15 * i, 10.5, "note", anchor="start") for i, line in enumerate(footer))
    out.append("</svg>")
    return "\n".join(part for part in out if part) + "\n"


def legend_keys(view: GraphView) -> list[str]:
    """Return the families that a view shows, in the order of :data:`~autodiff.viz.style.FAMILIES`.

    Examples
    --------
    >>> legend_keys(GraphView((NodeView("n0", "exp"),)))
    ['elementwise']
    """
    present = {node.family for node in view.nodes if node.kind != "port"}
    return [key for key in FAMILIES if key in present] + (["alert"] if any(n.alert for n in view.nodes) else [])


def _header(title: str, keys: list[str], room: float) -> tuple[list[str], float, float]:
    out: list[str] = []
    y = PAD
    widest = 0.0
    if title:
        text = clean(title)
        widest = text_width(text, 15, bold=True)
        out.append(_text(text, PAD, y + 12, 15, "heading", anchor="start", bold=True))
        y += 24
    if keys:
        x = PAD
        for key in keys:
            name = ALERT.title if key == "alert" else FAMILIES[key].title
            need = text_width(name, 10.5) + 32
            if x > PAD and x + need > room + PAD:
                x = PAD
                y += 17
            out.append(
                f'<g class="node f-{key}"><rect class="body" x="{x:.1f}" y="{y:.1f}" width="12" height="10"'
                ' rx="3"/></g>' + _text(name, x + 17, y + 9, 10.5, "note", anchor="start")
            )
            x += need
            widest = max(widest, x - PAD)
        y += 24
    return out, widest, y - PAD


def wrapped(text: str, width: float, size: float) -> list[str]:
    """Text as lines of at most this width.

    Examples
    --------
    >>> wrapped("one two", 30.0, 10.0)
    ['one', 'two']
    """
    lines = [""]
    for word in text.split(" "):
        trial = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(trial, size) > width:
            lines.append(word)
        else:
            lines[-1] = trial
    return lines


def _text(
    text: str,
    x: float,
    y: float,
    size: float,
    kind: str,
    *,
    anchor: str = "middle",
    bold: bool = False,
    most: float = 0.0,
) -> str:
    length = text_width(text, size, bold)
    if most:
        length = min(length, most)
    start = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" font-size="{size:g}"{start} '
        f'textLength="{max(length, 1):.1f}" lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'
    )


def _frame(cluster: ClusterView, place: tuple[float, float, float, float] | None) -> str:
    if place is None:
        return ""
    left, top, right, bottom = place
    lines = heading(cluster)
    parts = [
        (
            f'<g class="cluster {cluster.kind} f-{cluster.family}" id={quoteattr(cluster.id)}>'
            f"<title>{escape(tooltip(cluster))}</title>"
        ),
        f'<rect x="{left}" y="{top}" width="{right - left:.1f}" height="{bottom - top:.1f}" rx="8"/>',
    ]
    room = right - left - 16
    for i, line in enumerate(lines):
        size, kind = (12.0, "heading") if i == 0 else (10.5, "caption")
        parts.append(_text(line, left + 9, top + 17 + 15 * i, size, kind, anchor="start", bold=i == 0, most=room))
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
    curve = "".join(
        f"C{points[i][0]} {points[i][1]} {points[i + 1][0]} {points[i + 1][1]} {points[i + 2][0]} {points[i + 2][1]}"
        for i in range(1, len(points) - 2, 3)
    )
    parts = [start, f'<path d="M{x0} {y0}{curve}"/>']
    if tip is not None:
        base = points[0] if edge.upward and edge.kind != "link" else points[-1]
        dx, dy = tip[0] - base[0], tip[1] - base[1]
        length = (dx * dx + dy * dy) ** 0.5 or 1.0
        px, py = -dy / length * 3.2, dx / length * 3.2
        parts.append(
            f'<polygon points="{tip[0]},{tip[1]} {base[0] + px:.1f},{base[1] + py:.1f}'
            f' {base[0] - px:.1f},{base[1] - py:.1f}"/>'
        )
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
    radius = box.height / 2 if pill(node) and len(box.lines) < 4 else (2.5 if node.kind in ("input", "constant") else 7)
    if node.kind == "fold" and node.times > 1:
        for shift in (6, 3):
            parts.append(_rect(left + shift, top - shift, box, radius))
    parts.append(_rect(left, top, box, radius))
    if node.kind == "fused":
        for x in (left + 6, left + box.width - 6):
            parts.append(f'<line class="bar" x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{top + box.height:.1f}"/>')
    parts.append(_lines(box, centre[0], top))
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


def _lines(box: Box, x: float, top: float) -> str:
    total = sum(size + LINE_GAP for _, size, _, _ in box.lines) - LINE_GAP
    room = box.height - max((up for _, _, up, _, _ in box.maps), default=0.0)
    y = top + (room - total) / 2
    parts = []
    for text, size, bold, kind in box.lines:
        y += size
        parts.append(_text(text, x, y - 1.5, size, kind, bold=bold))
        y += LINE_GAP
    return "".join(parts)
