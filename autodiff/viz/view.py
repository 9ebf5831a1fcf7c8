"""The picture as data: frozen dataclasses that hold everything a drawing shows and nothing of the engine.

A :class:`GraphView` is made by :mod:`autodiff.viz.snapshot` and written out by :mod:`autodiff.viz.dot`, :mod:`~autodiff.viz.svg` and
:mod:`~autodiff.viz.text`. Everything that can be drawn as one box is a cluster with a flag, such as a fused operation with its composed definition.
All functions here take time linear in the size of the view and none recurses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ..errors import ArgumentError

__all__ = ["ClusterView", "EdgeView", "GraphView", "NodeView"]

NodeKind = Literal["op", "fused", "parameter", "input", "constant", "port", "fold", "gradient", "note"]
EdgeKind = Literal["data", "gradient", "carry", "link"]
ClusterKind = Literal["module", "fused", "chain", "repeat", "span", "side"]


@dataclass(frozen=True, slots=True)
class NodeView:
    """One box of a picture.

    Parameters
    ----------
    id : str
        Stable identifier: the same program gives the same ids.
    label : str
        First line of the box: the operation, or the name of a tensor.
    kind : str
        ``op``, ``fused``, ``parameter``, ``input``, ``constant``, ``port`` (an input of a fused operation that is drawn
        expanded), ``fold`` (a cluster drawn as one box), ``gradient`` (where a gradient ends up) or ``note``.
    family : str
        Key into :data:`autodiff.viz.style.FAMILIES`: the colour.
    shape, dtype : tuple of int, str, optional
        Of the tensor that leaves this box.
    name : str
        The user's name of that tensor, empty for none.
    cluster : str, optional
        The innermost cluster that holds the box.
    rows : tuple of str
        Further lines drawn in the box: values, statistics, gradients, times.
    details : tuple of (str, str)
        What the tooltip and the panel of the HTML viewer say, as pairs of heading and text.
    alert : str
        ``"NaN"`` or ``"inf"`` draws the box in red with that word.
    count : int
        How many of the user's operations the box stands for.
    times : int
        How often a folded block repeats; drawn as ``×12``.
    """

    id: str
    label: str
    kind: NodeKind = "op"
    family: str = "elementwise"
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    name: str = ""
    cluster: str | None = None
    rows: tuple[str, ...] = ()
    details: tuple[tuple[str, str], ...] = ()
    alert: str = ""
    count: int = 1
    times: int = 1


@dataclass(frozen=True, slots=True)
class EdgeView:
    """One arrow: one use of a tensor by an operation.

    Parameters
    ----------
    id : str
        Stable identifier.
    source, target : str
        Identifiers of two nodes.
    slot : int
        Which input of the target this is.
    kind : str
        ``data``, ``gradient`` (a cotangent), ``carry`` (from one repetition of a folded block to the next) or ``link``
        (a dotted line between things that belong together).
    label : str
        Drawn next to the arrow.
    count : int
        How many uses the arrow stands for.
    alert : str
        ``"NaN"`` or ``"inf"`` draws the arrow in red.
    details : tuple of (str, str)
        Text of the tooltip.
    upward : bool
        Lay the arrow out from target to source, so that a backward graph stands beside its forward graph.
    """

    id: str
    source: str
    target: str
    slot: int = 0
    kind: EdgeKind = "data"
    label: str = ""
    count: int = 1
    alert: str = ""
    details: tuple[tuple[str, str], ...] = ()
    upward: bool = False


@dataclass(frozen=True, slots=True)
class ClusterView:
    """A group of boxes, drawn as a frame, or as one box while it is collapsed.

    Parameters
    ----------
    id : str
        Stable identifier.
    label : str
        Heading of the frame and first line of the collapsed box.
    kind : str
        ``module``, ``fused``, ``chain``, ``repeat``, ``span`` or ``side``.
    parent : str, optional
        The cluster around it; listed before it.
    caption : str
        Second line of the heading, such as the formula of a fused operation.
    collapsed : bool
        Drawn as one box.
    family, shape, dtype, name, rows, details, alert
        How the collapsed box looks; see :class:`NodeView`.
    count : int
        How many of the user's operations are inside.
    times : int
        How often the block repeats.
    """

    id: str
    label: str
    kind: ClusterKind = "module"
    parent: str | None = None
    caption: str = ""
    collapsed: bool = False
    family: str = "module"
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    name: str = ""
    rows: tuple[str, ...] = ()
    details: tuple[tuple[str, str], ...] = ()
    alert: str = ""
    count: int = 0
    times: int = 1


@dataclass(frozen=True, slots=True)
class GraphView:
    """A whole picture.

    Parameters
    ----------
    nodes : tuple of NodeView
        In topological order.
    edges : tuple of EdgeView
        Sorted by target.
    clusters : tuple of ClusterView
        Parents before children.
    title : str
        Heading of the picture.
    note : str
        A sentence below it, for example what was folded and how to unfold it.

    Raises
    ------
    ArgumentError
        If an id is used twice, an edge ends nowhere, or a cluster is listed before its parent.

    Examples
    --------
    >>> view = GraphView((NodeView("n0", "x"), NodeView("n1", "exp")), (EdgeView("e0", "n0", "n1"),))
    >>> len(view.visible().edges)
    1
    """

    nodes: tuple[NodeView, ...]
    edges: tuple[EdgeView, ...] = ()
    clusters: tuple[ClusterView, ...] = ()
    title: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        """Check ids, ends of edges and the order of clusters."""
        seen: set[str] = set()
        for cluster in self.clusters:
            if cluster.parent is not None and cluster.parent not in seen:
                raise ArgumentError(f"cluster {cluster.id!r} is listed before its parent {cluster.parent!r}")
            _claim(cluster.id, seen)
        clusters = set(seen)
        for node in self.nodes:
            if node.cluster is not None and node.cluster not in clusters:
                raise ArgumentError(f"node {node.id!r} names the cluster {node.cluster!r}, which does not exist")
            _claim(node.id, seen)
        nodes = seen - clusters
        for edge in self.edges:
            if edge.source not in nodes or edge.target not in nodes:
                raise ArgumentError(f"edge {edge.id!r} runs from {edge.source!r} to {edge.target!r}: not both are nodes")
            _claim(edge.id, seen)

    def visible(self) -> GraphView:
        """Draw every collapsed cluster as one box.

        Returns
        -------
        GraphView
            Without collapsed clusters. Edges inside a collapsed cluster are gone; edges that have become parallel
            because of it are one, with their count.

        Examples
        --------
        >>> view = GraphView(
        ...     (NodeView("n0", "x"), NodeView("n1", "exp", cluster="c0"), NodeView("n2", "log", cluster="c0")),
        ...     (EdgeView("e0", "n0", "n1"), EdgeView("e1", "n1", "n2")),
        ...     (ClusterView("c0", "block", collapsed=True),),
        ... )
        >>> [node.label for node in view.visible().nodes], len(view.visible().edges)
        (['x', 'block'], 1)
        """
        shown_as: dict[str, str | None] = {}
        for cluster in self.clusters:
            outer = shown_as[cluster.parent] if cluster.parent is not None else None
            shown_as[cluster.id] = outer if outer is not None else (cluster.id if cluster.collapsed else None)
        if not any(shown_as.values()):
            return self
        by_id = {cluster.id: cluster for cluster in self.clusters}
        image: dict[str, str] = {}
        nodes: list[NodeView] = []
        placed: set[str] = set()
        for node in self.nodes:
            box = shown_as[node.cluster] if node.cluster is not None else None
            image[node.id] = node.id if box is None else box
            if box is None:
                nodes.append(node)
            elif box not in placed:
                placed.add(box)
                nodes.append(_as_box(by_id[box]))
        merged: dict[tuple[str, str, int, str], EdgeView] = {}
        for edge in self.edges:
            source, target = image[edge.source], image[edge.target]
            changed = source != edge.source or target != edge.target
            if source == target and changed:
                continue
            # Uses stay apart where both ends are the user's own boxes and at the inputs of a fused operation.
            apart = not changed or (target in by_id and by_id[target].kind == "fused")
            key = (source, target, edge.slot if apart else -1, edge.kind)
            first = merged.get(key)
            if first is None:
                merged[key] = replace(edge, source=source, target=target) if changed else edge
            else:
                merged[key] = replace(
                    first, count=first.count + edge.count, label=first.label or edge.label, alert=first.alert or edge.alert
                )
        clusters = tuple(cluster for cluster in self.clusters if shown_as[cluster.id] is None)
        return GraphView(tuple(nodes), tuple(merged.values()), clusters, self.title, self.note)

    def with_collapsed(self, collapsed: Mapping[str, bool]) -> GraphView:
        """Return the same picture with some clusters opened or closed.

        Parameters
        ----------
        collapsed : mapping of str to bool
            Cluster id to whether it is drawn as one box.

        Returns
        -------
        GraphView
            A new view; clusters that are not named stay as they are.

        Examples
        --------
        >>> view = GraphView((NodeView("n0", "x", cluster="c0"),), (), (ClusterView("c0", "block"),))
        >>> view.with_collapsed({"c0": True}).visible().nodes[0].label
        'block'
        """
        return replace(
            self,
            clusters=tuple(
                replace(cluster, collapsed=collapsed.get(cluster.id, cluster.collapsed)) for cluster in self.clusters
            ),
        )

    def depths(self) -> dict[str, int]:
        """Return how many clusters lie around each cluster, by id.

        Returns
        -------
        dict of str to int
            0 for a cluster at the top.

        Examples
        --------
        >>> GraphView((), (), (ClusterView("c0", "a"), ClusterView("c1", "b", parent="c0"))).depths()
        {'c0': 0, 'c1': 1}
        """
        depth: dict[str, int] = {}
        for cluster in self.clusters:
            depth[cluster.id] = 0 if cluster.parent is None else depth[cluster.parent] + 1
        return depth


def _claim(identifier: str, seen: set[str]) -> None:
    if identifier in seen:
        raise ArgumentError(f"the id {identifier!r} is used twice in one picture")
    seen.add(identifier)


def _as_box(cluster: ClusterView) -> NodeView:
    return NodeView(
        id=cluster.id,
        label=cluster.label,
        kind="fused" if cluster.kind == "fused" else "fold",
        family=cluster.family,
        shape=cluster.shape,
        dtype=cluster.dtype,
        name=cluster.name,
        cluster=cluster.parent,
        rows=cluster.rows,
        details=cluster.details,
        alert=cluster.alert,
        count=cluster.count,
        times=cluster.times,
    )
