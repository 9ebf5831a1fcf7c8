"""GraphView to text for a terminal: one line per box in topological order, clusters as indentation."""

from __future__ import annotations

from .style import clean, shape_text
from .view import GraphView, shared

__all__ = ["to_text"]


def to_text(view: GraphView) -> str:
    """A picture as a listing, in the manner of a program in single-assignment form: for every box, or collapsed
    cluster, a number, what it computes from which numbers, and its shape and dtype.

    Examples
    --------
    >>> from autodiff.viz.view import EdgeView, NodeView
    >>> nodes = (NodeView("n0", "x", shape=(3,)), NodeView("n1", "exp", shape=(3,)))
    >>> view = GraphView(nodes, (EdgeView("e0", "n0", "n1"),))
    >>> print(to_text(view))
    %0  x         3
    %1  exp(%0)   3
    """
    view = view.visible()
    number = {node.id: f"%{i}" for i, node in enumerate(view.nodes)}
    inputs: dict[str, list[str]] = {}
    for edge in sorted(view.edges, key=lambda edge: edge.slot):
        if edge.kind in ("data", "gradient", "carry"):
            times = f"×{edge.count}" if edge.count > 1 else ""
            where = dict(edge.details).get("in", "")
            before = f"{where}: " if where else "before: " if edge.kind == "carry" else ""
            inputs.setdefault(edge.target, []).append(before + number[edge.source] + times)
    around = view.around()
    headings = {cluster.id: cluster for cluster in view.clusters}
    lines: list[tuple[str, str]] = []
    open_clusters: tuple[str, ...] = ()
    for node in view.nodes:
        path = around[node.cluster]
        same = shared(path, open_clusters)
        # A frame that was left and is entered again is named again.
        again = path[-1:] if same == len(path) < len(open_clusters) else path[same:]
        for cluster in (headings[identifier] for identifier in again):
            times = f" ×{cluster.times}" if cluster.times > 1 else ""
            caption = f"  {clean(cluster.caption)}" if cluster.caption else ""
            lines.append(("  " * (len(around[cluster.id]) - 1) + f"[{clean(cluster.label)}{times}]{caption}", ""))
        open_clusters = path
        indent = "  " * len(path)
        call = clean(node.label) + (f" ×{node.times}" if node.times > 1 else "")
        if node.id in inputs:
            call += f"({', '.join(inputs[node.id])})"
        facts = [shape_text(node.shape, node.dtype)]
        if node.name and clean(node.name) != clean(node.label):
            facts.append(clean(node.name))
        facts.extend(clean(row) for row in node.rows)
        if node.kind in ("parameter", "constant", "fused"):
            facts.append(node.kind)
        if node.alert:
            facts.append(f"! {node.alert}")
        lines.append((f"{indent}{number[node.id]}  {call}", "  ".join(fact for fact in facts if fact)))
    width = min(max((len(left) for left, right in lines if right), default=0), 60)
    body = [f"{left:<{width}}   {right}".rstrip() for left, right in lines]
    head = [clean(view.title)] if view.title else []
    foot = [clean(view.note)] if view.note else []
    return "\n".join([*head, *body, *foot])
