"""The backward graph of a picture: where each gradient is made from which, by which rule; alone, or facing the forward
graph.
"""

from __future__ import annotations

from dataclasses import replace

from autodiff.viz.view import ClusterView, EdgeView, GraphView, NodeView

__all__ = ["backward_view", "facing_view"]

_LEAVES = ("parameter", "input")


def _turned(
    view: GraphView, upward: bool, outer: str | None
) -> tuple[list[NodeView], list[EdgeView], list[ClusterView]]:
    """Boxes, arrows and frames of the backward graph, under ids of their own."""
    flows = [edge for edge in view.edges if edge.kind == "data" and any(key == "rule" for key, _ in edge.details)]
    taking_part = {end for edge in flows for end in (edge.source, edge.target)}
    nodes = [
        replace(
            node,
            id=f"g{node.id}",
            label=f"∂ {node.name or node.label}",
            name="",
            kind="gradient" if node.kind in _LEAVES else node.kind,
            cluster=f"g{node.cluster}" if node.cluster is not None else outer,
            rows=tuple(row for row in node.rows if row.startswith(("∂", "‖∂‖"))),
            details=(
                ("gradient of", node.name or node.label),
                *(pair for pair in node.details if pair[0] in ("gradient", "gradient norm")),
            ),
            seconds=None,
            nbytes=None,
            numbers=(),
            maps=tuple(heat for heat in node.maps if heat.kind == "gradient"),
        )
        for node in reversed(view.nodes)
        if node.id in taking_part
    ]
    edges = []
    for edge in flows:
        facts = dict(edge.details)
        value = facts.get("gradient", "")
        rule = facts["rule"]
        label = f"{rule} = {value}" if value and len(rule) + len(value) < 36 and rule != value else rule
        edges.append(
            replace(
                edge,
                id=f"g{edge.id}",
                source=f"g{edge.target}",
                target=f"g{edge.source}",
                kind="gradient",
                label=label,
                upward=upward,
            )
        )
    used = {node.cluster for node in nodes}
    clusters: list[ClusterView] = []
    for cluster in reversed(view.clusters):
        if f"g{cluster.id}" in used:
            used.add(f"g{cluster.parent}" if cluster.parent is not None else None)
            parent = f"g{cluster.parent}" if cluster.parent is not None else outer
            clusters.append(replace(cluster, id=f"g{cluster.id}", parent=parent))
    return nodes, edges, clusters[::-1]


def backward_view(view: GraphView) -> GraphView:
    """The backward graph alone: arrows carry the rules, boxes are gradients.

    Examples
    --------
    >>> from autodiff.viz.snapshot import snapshot
    >>> import autodiff as ad
    >>> x = ad.tensor(2.0, requires_grad=True, name="x")
    >>> view = backward_view(snapshot([ad.exp(x)]))
    >>> [node.label for node in view.nodes], view.edges[0].label
    (['∂ exp', '∂ x'], 'g * out')
    """
    nodes, edges, clusters = _turned(view, False, None)
    return GraphView(tuple(nodes), tuple(edges), tuple(clusters), view.title, view.note)


def facing_view(view: GraphView) -> GraphView:
    """The forward graph, and beside it the backward graph laid out from the leaves to the result, so that both stand
    level.

    Examples
    --------
    >>> from autodiff.viz.snapshot import snapshot
    >>> import autodiff as ad
    >>> x = ad.tensor(2.0, requires_grad=True, name="x")
    >>> [cluster.label for cluster in facing_view(snapshot([ad.exp(x)])).clusters]
    ['forward', 'backward']
    """
    nodes, edges, clusters = _turned(view, True, "backward")
    ahead = tuple(replace(node, cluster="forward") if node.cluster is None else node for node in view.nodes)
    frames = tuple(
        replace(cluster, parent="forward") if cluster.parent is None else cluster for cluster in view.clusters
    )
    reached = {edge.target for edge in edges}
    last = {edge.source for edge in edges} - reached
    links = tuple(
        EdgeView(f"l{node.id}", node.id, f"g{node.id}", -1, "link", upward=True)
        for node in view.nodes
        if f"g{node.id}" in last or (node.kind in _LEAVES and f"g{node.id}" in reached)
    )
    return GraphView(
        (*ahead, *nodes),
        (*view.edges, *edges, *links),
        (ClusterView("forward", "forward", "side"), *frames, ClusterView("backward", "backward", "side"), *clusters),
        view.title,
        view.note,
    )
