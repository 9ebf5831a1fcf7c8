"""GraphView to DOT, the language of Graphviz: plain text, no package needed, deterministic to the byte.

Every string is quoted, so a tensor named ``"];`` stays a name. Boxes carry a fixed size computed by
:mod:`autodiff.viz.style`; so one layout serves the SVG writer here and Graphviz's own PDF and PNG writers.
"""

from __future__ import annotations

from collections import Counter

from .style import ALERT, FAMILIES, TITLE_SIZE, box_of, clean, ellipsis, text_width
from .view import ClusterView, EdgeView, GraphView, NodeView

__all__ = ["beside", "quote", "to_dot"]

_DIRECTIONS = {"TB", "LR", "BT", "RL"}
_FONT = "Helvetica"


def quote(text: object) -> str:
    """A DOT string literal that shows exactly this text, with ampersands escaped, since Graphviz reads HTML entities.

    Examples
    --------
    >>> print(quote('"];'))
    "\\"];"
    """
    return '"' + _escape(clean(text)) + '"'


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")


def _lines(texts: list[str]) -> str:
    return '"' + "\\n".join(_escape(text) for text in texts) + '"'


def to_dot(view: GraphView, *, rankdir: str = "TB") -> str:
    """A picture as a ``digraph`` whose node names are the ids of the view; collapsed clusters are boxes.

    Examples
    --------
    >>> from autodiff.viz.view import GraphView, NodeView
    >>> print(to_dot(GraphView((NodeView("n0", "x"),))).splitlines()[0])
    digraph autodiff {
    """
    view = view.visible()
    out = [
        "digraph autodiff {",
        (
            f'  graph [rankdir={rankdir if rankdir in _DIRECTIONS else "TB"}, fontname="{_FONT}",'
            f' fontsize={TITLE_SIZE:g}, nodesep=0.25, ranksep=0.38, bgcolor="transparent", labeljust="l", pad=0.2,'
            " newrank=true];"
        ),
        f'  node [shape=box, style="rounded,filled", fontname="{_FONT}", fontsize=10, fixedsize=true, margin=0];',
        f'  edge [fontname="{_FONT}", fontsize=10, arrowsize=0.7, color="#6e7781", fontcolor="#57606a"];',
    ]
    if view.title:
        out[1] = out[1].removesuffix("];") + f", label={quote(view.title)}, labelloc=t, fontsize=15];"
    children: dict[str | None, list[ClusterView]] = {}
    for frame in view.clusters:
        children.setdefault(frame.parent, []).append(frame)
    members: dict[str | None, list[NodeView]] = {}
    for node in view.nodes:
        members.setdefault(node.cluster, []).append(node)
    out.extend(_node(node, 1) for node in members.get(None, ()))
    # A stack of clusters to open; None closes the one that is open.
    stack: list[ClusterView | None] = list(reversed(children.get(None, [])))
    depth = 1
    while stack:
        cluster = stack.pop()
        if cluster is None:
            depth -= 1
            out.append("  " * depth + "}")
            continue
        out.extend(_open(cluster, depth))
        depth += 1
        out.extend(_node(node, depth) for node in members.get(cluster.id, ()))
        stack.append(None)
        stack.extend(reversed(children.get(cluster.id, [])))
    aside = beside(view)
    # In one row Graphviz sets the tail of an arrow to the left of its head.
    right = {leaves[1] for leaves in aside.values() if len(leaves) > 1}
    out.extend(_edge(edge, edge.source in right) for edge in view.edges)
    for box, leaves in aside.items():
        out.append(f"  {{rank=same; {'; '.join(map(quote, [box, *leaves]))}}}")
    out.append("}")
    return "\n".join(out) + "\n"


def beside(view: GraphView) -> dict[str, list[str]]:
    """The leaves that stand beside the box that reads them, the first to its left, the second to its right: those of
    the same frame that no other box reads, two at most, where data comes to the box from above as well.

    Examples
    --------
    >>> boxes = (NodeView("x", "exp"), NodeView("w", "w", kind="parameter"), NodeView("y", "matmul"))
    >>> beside(GraphView(boxes, (EdgeView("e0", "x", "y"), EdgeView("e1", "w", "y"))))
    {'y': ['w']}
    """
    by_id = {node.id: node for node in view.nodes}
    uses: dict[str, list[EdgeView]] = {}
    flows: set[str] = set()
    reads = Counter(edge.source for edge in view.edges)
    for edge in view.edges:
        source, target = by_id[edge.source], by_id[edge.target]
        if source.kind in ("parameter", "constant") and source.cluster == target.cluster and edge.kind == "data":
            uses.setdefault(edge.source, []).append(edge)
        elif not edge.upward:
            flows.add(edge.target)
    found: dict[str, list[str]] = {}
    for leaf, edges in uses.items():
        if reads[leaf] == 1 and not edges[0].upward and edges[0].target in flows:
            found.setdefault(edges[0].target, []).append(leaf)
    return {box: leaves for box, leaves in found.items() if len(leaves) <= 2}


def heading(cluster: ClusterView) -> list[str]:
    """The lines above a frame: its label, how often it repeats, the class of a module, and its caption.

    Examples
    --------
    >>> heading(ClusterView("c0", "blocks.*", name="Block", times=12))
    ['blocks.*  ×12 · Block']
    """
    first = ellipsis(clean(cluster.label), 60)
    if cluster.times > 1:
        first += f"  ×{cluster.times}"
    name = ellipsis(clean(cluster.name), 60)
    if name and name != clean(cluster.label):
        first += f" · {name}"
    lines = [first]
    if cluster.caption:
        lines.append(ellipsis(clean(cluster.caption), 110))
    return lines


def heading_width(cluster: ClusterView) -> float:
    """The width of the widest line of a heading."""
    return max(text_width(line, 10.5 if i else 12.0, not i) for i, line in enumerate(heading(cluster)))


def tooltip(node: NodeView | ClusterView) -> str:
    """The text of a tooltip: one line per detail.

    Examples
    --------
    >>> tooltip(NodeView("n0", "exp", details=(("axis", "0"),)))
    'exp\\naxis: 0'
    """
    return "\n".join([clean(node.label), *(f"{clean(key)}: {clean(value)}" for key, value in node.details)])


def _open(cluster: ClusterView, depth: int) -> list[str]:
    pad = "  " * depth
    style = "rounded,dashed" if cluster.kind == "fused" else "rounded"
    colour = FAMILIES[cluster.family].line if cluster.kind == "fused" else "#afb8c1"
    return [
        f"{pad}subgraph {quote('cluster_' + cluster.id)} {{",
        f'{pad}  label={_lines(heading(cluster))}; style="{style}"; color="{colour}"; fontsize=12; margin=10;',
    ]


def _node(node: NodeView, depth: int) -> str:
    box = box_of(node)
    colours = ALERT if node.alert else FAMILIES[node.family]
    style = "rounded,filled,dashed" if node.kind == "constant" else "rounded,filled"
    width = {"fused": 2.2, "parameter": 1.8, "gradient": 1.8}.get(node.kind, 1.2)
    rings = ", peripheries=2" if node.kind == "fold" and node.times > 1 else ""
    return (
        "  " * depth
        + f"{quote(node.id)} [label={_lines([text for text, *_ in box.lines])}, width={box.width / 72:.3f}, "
        + f'height={box.height / 72:.3f}, style="{style}", fillcolor="{colours.fill}", color="{colours.line}", '
        + f"penwidth={width:g}{rings}, tooltip={_lines(tooltip(node).splitlines())}];"
    )


def _edge(edge: EdgeView, turned: bool) -> str:
    attributes = [f"id={quote(edge.id)}"]
    label = edge_label(edge)
    if label:
        attributes.append(f"label={quote(label)}")
    if edge.alert:
        attributes.append(f'color="{ALERT.line}", fontcolor="{ALERT.line}", penwidth=2')
    if edge.kind == "gradient":
        attributes.append('color="#c06698"' if not edge.alert else "style=bold")
    elif edge.kind == "carry":
        attributes.append("style=dashed, constraint=false")
    elif edge.kind == "link":
        attributes.append(f'style=dotted, arrowhead=none, color="#afb8c1"{", constraint=false" if edge.upward else ""}')
    source, target = edge.source, edge.target
    if turned or (edge.upward and edge.kind != "link"):
        source, target = target, source
        attributes.append("dir=back")
    return f"  {quote(source)} -> {quote(target)} [{', '.join(attributes)}];"


def edge_label(edge: EdgeView) -> str:
    """What is written beside an arrow: its label, and how many uses it stands for if more than one.

    Examples
    --------
    >>> edge_label(EdgeView("e0", "n0", "n1", count=3))
    '×3'
    """
    label = ellipsis(clean(edge.label), 40)
    if edge.count > 1:
        return f"{label} ×{edge.count}".strip()
    return label
