"""The picture as data: frozen dataclasses that hold everything a drawing shows and nothing of the engine.

A :class:`GraphView` is made by :mod:`autodiff.viz.snapshot` and written out by :mod:`autodiff.viz.dot`,
:mod:`~autodiff.viz.svg` and :mod:`~autodiff.viz.text`. Everything that can be drawn as one box is a cluster with a
flag, such as a fused operation with its composed definition. All functions here take time linear in the size of the
view and none recurses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

from autodiff.core.errors import ArgumentError

__all__ = ["ClusterView", "EdgeView", "GraphView", "HeatMap", "NodeView", "shared", "starred"]

NodeKind = Literal["op", "fused", "parameter", "input", "constant", "port", "fold", "gradient"]
EdgeKind = Literal["data", "gradient", "carry", "link"]
#: In which copy of which rolled block something lies, from the outside in.
_Path = tuple[tuple[str, int], ...]
ClusterKind = Literal["module", "fused", "chain", "repeat", "span", "side"]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A small picture of an array, its ``"value"`` or ``"gradient"``, made by :func:`autodiff.viz.heat.heat_map`: a
    ``data:`` address, its cells, and extremes and mean in words.
    """

    kind: str
    uri: str
    columns: int
    rows: int
    text: str

    def size(self, side: float) -> tuple[float, float]:
        """Width and height with the longer side of this length, and no side thinner than an eighth of it."""
        most = max(self.columns, self.rows)
        return max(side * self.columns / most, side / 8), max(side * self.rows / most, side / 8)


@dataclass(frozen=True, slots=True)
class NodeView:
    """One box of a picture."""

    #: The same program gives the same ids.
    id: str
    #: First line of the box: the operation, or the name of a tensor.
    label: str
    #: A ``port`` is an input of a fused operation that is drawn expanded, a ``fold`` a cluster drawn as one box, a
    #: ``gradient`` where a gradient ends up.
    kind: NodeKind = "op"
    #: Key into :data:`autodiff.viz.style.FAMILIES`: the colour.
    family: str = "elementwise"
    #: Of the tensor that leaves this box, whose name is the user's, empty for none.
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    name: str = ""
    #: The innermost cluster that holds the box.
    cluster: str | None = None
    #: Further lines drawn in the box: values, statistics, gradients, times.
    rows: tuple[str, ...] = ()
    #: What the tooltip and the panel of the HTML viewer say, as pairs of heading and text.
    details: tuple[tuple[str, str], ...] = ()
    #: ``"NaN"`` or ``"inf"`` draws the box in red with that word.
    alert: str = ""
    #: How many of the user's operations the box stands for.
    count: int = 1
    #: How often a folded block repeats; drawn as ``×12``.
    times: int = 1
    #: Running time, forward and backward as far as measured, and memory of the result.
    seconds: float | None = None
    nbytes: int | None = None
    #: Its value and its gradient as pictures.
    maps: tuple[HeatMap, ...] = ()
    #: The elements of a small array of real numbers, with which the page computes, and those of its gradient, which the
    #: page's own arithmetic has to reproduce.
    numbers: tuple[float, ...] = ()
    gradients: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class EdgeView:
    """One arrow: one use of a tensor by an operation."""

    id: str
    source: str
    target: str
    #: Which input of the target this is.
    slot: int = 0
    #: A ``gradient`` is a cotangent, a ``carry`` runs from one repetition of a folded block to the next, a ``link``
    #: is a dotted line between things that belong together.
    kind: EdgeKind = "data"
    #: Drawn next to the arrow.
    label: str = ""
    #: How many uses the arrow stands for.
    count: int = 1
    #: ``"NaN"`` or ``"inf"`` draws the arrow in red.
    alert: str = ""
    #: Text of the tooltip.
    details: tuple[tuple[str, str], ...] = ()
    #: Lay the arrow out from target to source, so that a backward graph stands beside its forward graph; of a link: let
    #: it have no say in the layout.
    upward: bool = False


@dataclass(frozen=True, slots=True)
class ClusterView:
    """A group of boxes, drawn as a frame, or while it is collapsed as one box that looks as a NodeView says."""

    id: str
    #: Heading of the frame and first line of the collapsed box.
    label: str
    kind: ClusterKind = "module"
    #: The cluster around it; listed before it.
    parent: str | None = None
    #: Second line of the heading, such as the formula of a fused operation.
    caption: str = ""
    collapsed: bool = False
    #: The clusters inside are copies of one another; only the first is drawn, with arrows from each copy to the next as
    #: dashed arrows back into it. Copies hold the same number of boxes in the same order.
    rolled: bool = False
    family: str = "module"
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    name: str = ""
    rows: tuple[str, ...] = ()
    details: tuple[tuple[str, str], ...] = ()
    alert: str = ""
    #: How many of the user's operations are inside, and how often the block repeats.
    count: int = 0
    times: int = 1


@dataclass(frozen=True, slots=True)
class GraphView:
    """A whole picture. An id that is used twice, an edge that ends nowhere, or a cluster that is listed before its
    parent is an ArgumentError.

    Examples
    --------
    >>> view = GraphView((NodeView("n0", "x"), NodeView("n1", "exp")), (EdgeView("e0", "n0", "n1"),))
    >>> len(view.visible().edges)
    1
    """

    #: In topological order.
    nodes: tuple[NodeView, ...]
    #: Sorted by target.
    edges: tuple[EdgeView, ...] = ()
    #: Parents before children.
    clusters: tuple[ClusterView, ...] = ()
    title: str = ""
    #: A sentence below the picture, for example what was folded and how to unfold it.
    note: str = ""

    def __post_init__(self) -> None:
        """Check ids, ends of edges and the order of clusters."""
        ids = [item.id for items in (self.clusters, self.nodes, self.edges) for item in items]
        if len(set(ids)) != len(ids):
            twice = next(identifier for identifier, count in Counter(ids).items() if count > 1)
            raise ArgumentError(f"the id {twice!r} is used twice in one picture")
        clusters: set[str | None] = {None}
        for cluster in self.clusters:
            if cluster.parent not in clusters:
                raise ArgumentError(f"cluster {cluster.id!r} is listed before its parent {cluster.parent!r}")
            clusters.add(cluster.id)
        for node in self.nodes:
            if node.cluster not in clusters:
                raise ArgumentError(f"node {node.id!r} names the cluster {node.cluster!r}, which does not exist")
        nodes = {node.id for node in self.nodes}
        for edge in self.edges:
            if edge.source not in nodes or edge.target not in nodes:
                raise ArgumentError(
                    f"edge {edge.id!r} runs from {edge.source!r} to {edge.target!r}: not both are nodes"
                )

    def visible(self) -> GraphView:
        """The picture with every collapsed cluster as one box: edges inside it are gone, and those that have become
        parallel because of it are one, with their count.

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
        if not any(cluster.collapsed or cluster.rolled for cluster in self.clusters):
            return self
        shown_as: dict[str, str | None] = {}
        for cluster in self.clusters:
            outer = shown_as[cluster.parent] if cluster.parent is not None else None
            shown_as[cluster.id] = outer if outer is not None else (cluster.id if cluster.collapsed else None)
        by_id = {cluster.id: cluster for cluster in self.clusters}
        twins, rolls = self._rolled()
        drawn = {node.id: node for node in self.nodes}
        copies: dict[str, list[NodeView]] = {}
        image: dict[str, str] = {}

        def first_of(name: str) -> str:
            while name in twins:
                name = twins[name]
            return name

        for node in self.nodes:
            first = first_of(node.id)
            home = drawn[first].cluster
            box_id = shown_as[home] if home is not None else None
            image[node.id] = first if box_id is None else box_id
            copies.setdefault(first, []).append(node)
        for cluster in self.clusters if twins else ():
            copies.setdefault(first_of(cluster.id), []).append(_as_box(cluster))
        nodes: list[NodeView] = []
        placed: set[str] = set()
        for node in self.nodes:
            target = image[node.id]
            if target == node.id:
                nodes.append(node if len(copies[node.id]) == 1 else _as_pattern(copies[node.id]))
            elif target in by_id and target not in placed:
                placed.add(target)
                alike = copies.get(target, [])
                box = _as_pattern(alike) if len(alike) > 1 else _as_box(by_id[target])
                repeat = by_id[box.cluster] if box.cluster is not None else None
                nodes.append(replace(box, label=repeat.label) if repeat is not None and repeat.rolled else box)
        merged: dict[tuple[str, str, int, EdgeKind], list[EdgeView]] = {}
        for edge in self.edges:
            source, target = image[edge.source], image[edge.target]
            changed = source != edge.source or target != edge.target
            kind = edge.kind
            if (
                changed
                and rolls
                and kind != "link"
                and _carried(rolls, drawn[edge.source].cluster, drawn[edge.target].cluster)
            ):
                kind = "carry"
            if source == target and changed and (kind != "carry" or source in by_id):
                continue
            # Uses stay apart where both ends are the user's own boxes and at the inputs of a fused operation.
            apart = (target not in by_id and source not in by_id) or (target in by_id and by_id[target].kind == "fused")
            key = (source, target, edge.slot if apart else -1, kind)
            if not changed and any((e.source, e.target) == (source, target) for e in merged.get(key, ())):
                key = (edge.id, "", edge.slot, kind)
            merged.setdefault(key, []).append(edge)
        hidden = {cluster.id for cluster in self.clusters if shown_as[cluster.id] is not None}
        # The frame of the first copy would stand right inside that of the repeat: its content moves out, the frame
        # goes.
        lifted: dict[str, str] = {}
        for cluster in self.clusters:
            path = rolls.get(cluster.id, ())
            if cluster.parent in hidden or any(number > 0 for _, number in path):
                hidden.add(cluster.id)
            elif path and path[-1][0] == cluster.parent and not cluster.collapsed:
                lifted[cluster.id] = path[-1][0]
        counts = Counter(cluster.parent for cluster in self.clusters)
        arrows = []
        for (source, target, _, kind), several in merged.items():
            edge = several[0]
            if not target:
                arrows.append(edge)
                continue
            paths = [
                (rolls.get(drawn[e.source].cluster or "", ()), rolls.get(drawn[e.target].cluster or "", ()))
                for e in several
            ]
            count = sum(e.count for e in several)
            if any(a or b for a, b in paths):
                # One use in each copy of a rolled block is one arrow, not twelve; what few copies have says which.
                where, times = _where(paths, counts)
                count = count // times if count % times == 0 else 1
                details = (*_shared(several), *((("in", where),) if where else ()))
                edge = replace(edge, label=f"{_common_label(several)} {where}".strip(), details=details)
            same = (edge.source, edge.target, edge.count, edge.kind) == (source, target, count, kind)
            arrow = edge if same else replace(edge, source=source, target=target, kind=kind, count=count)
            alarm = next((e.alert for e in several if e.alert), "")
            arrows.append(arrow if arrow.alert == alarm else replace(arrow, alert=alarm))
        return GraphView(
            tuple(replace(node, cluster=lifted[node.cluster]) if node.cluster in lifted else node for node in nodes),
            tuple(arrows),
            tuple(
                replace(cluster, parent=lifted.get(cluster.parent or "", cluster.parent), rolled=False)
                for cluster in self.clusters
                if cluster.id not in hidden and cluster.id not in lifted
            ),
            self.title,
            self.note,
        )

    def _rolled(self) -> tuple[dict[str, str], dict[str, tuple[tuple[str, int], ...]]]:
        """Each box of a later copy to the box of the first copy that is drawn for it; and in which copies a cluster
        lies.
        """
        shut: set[str] = set()
        for cluster in self.clusters:
            if cluster.collapsed or cluster.parent in shut:
                shut.add(cluster.id)
        rolled = {cluster.id for cluster in self.clusters if cluster.rolled and cluster.id not in shut}
        if not rolled:
            return {}, {}
        rolls: dict[str, tuple[tuple[str, int], ...]] = {}
        numbers: dict[str, int] = {}
        for cluster in self.clusters:
            outer = rolls[cluster.parent] if cluster.parent is not None else ()
            if cluster.parent in rolled:
                number = numbers[cluster.parent] = numbers.get(cluster.parent, -1) + 1  # type: ignore[index, arg-type]
                outer = (*outer, (cluster.parent, number))  # type: ignore[assignment]
            rolls[cluster.id] = outer
        members: dict[tuple[tuple[str, int], ...], list[str]] = {}
        frames: dict[tuple[tuple[str, int], ...], list[str]] = {}
        for item, home in [*((n.id, n.cluster) for n in self.nodes), *((c.id, c.id) for c in self.clusters)]:
            path = rolls[home] if home is not None else ()
            for length in range(1, len(path) + 1):
                (frames if item == home else members).setdefault(path[:length], []).append(item)
        twins: dict[str, str] = {}
        for path in sorted(members, key=len):
            repeat, number = path[-1]
            if number == 0:
                continue
            firsts = members.get((*path[:-1], (repeat, 0)), [])
            if len(firsts) != len(members[path]):
                raise ArgumentError(f"cluster {repeat!r} is rolled, but its copies hold different numbers of boxes")
            for node_id, first in zip(members[path], firsts, strict=True):
                twins.setdefault(node_id, first)
            others = frames[(*path[:-1], (repeat, 0))]
            if len(others) == len(frames[path]):
                twins.update(
                    (name, first) for name, first in zip(frames[path], others, strict=True) if name not in twins
                )
        return twins, rolls

    def around(self) -> dict[str | None, tuple[str, ...]]:
        """The ids of the clusters around each cluster, from the outside in, its own last; none around None.

        Examples
        --------
        >>> GraphView((), (), (ClusterView("c0", "a"), ClusterView("c1", "b", parent="c0"))).around()
        {None: (), 'c0': ('c0',), 'c1': ('c0', 'c1')}
        """
        found: dict[str | None, tuple[str, ...]] = {None: ()}
        for cluster in self.clusters:
            found[cluster.id] = (*found[cluster.parent], cluster.id)
        return found


def shared(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many steps two ways from the outside in have in common.

    Examples
    --------
    >>> shared(("c0", "c1"), ("c0", "c2", "c1"))
    1
    """
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _carried(rolls: Mapping[str, tuple[tuple[str, int], ...]], source: str | None, target: str | None) -> bool:
    """Whether an arrow runs from one copy of a rolled block to another."""
    if source is None or target is None:
        return False
    for (one, i), (other, j) in zip(rolls[source], rolls[target], strict=False):
        if one != other:
            return False
        if i != j:
            return True
    return False


def _where(paths: Sequence[tuple[_Path, _Path]], counts: Mapping[str | None, int]) -> tuple[str, int]:
    """In which copies of rolled blocks an arrow is, in words, and how many of them; no words where in every copy.

    A path says in which copy of which block an end of the arrow lies, from the outside in.
    """
    seen: dict[tuple[tuple[int, ...], ...], None] = {}
    totals: list[int] = []
    for source, target in paths:
        same = shared(source, target)
        # From one copy to another is one place: the pair of them.
        pair = len(source) > same < len(target) and source[same][0] == target[same][0]
        places = [(step,) for step in source[:same]] + ([(source[same], target[same])] if pair else [])
        places += [(step,) for step in (*source[same + pair :], *target[same + pair :])]
        seen[tuple(tuple(number for _, number in place) for place in places)] = None
        totals = [counts[place[0][0]] - (len(place) - 1) for place in places]
    columns = [sorted(set(column)) for column in zip(*seen, strict=True)]
    steps = {place[1] - place[0] for column in columns for place in column if len(place) > 1}
    if len(seen) == prod(totals) and len(steps) < 2 and steps <= {1, -1}:
        return "", len(seen)
    said = [
        _numbers(column)
        for column, total in zip(columns, totals, strict=True)
        if len(column) < total or len(column[0]) > 1
    ]
    return ", ".join(said) or "some copies", len(seen)


def _numbers(places: Sequence[tuple[int, ...]]) -> str:
    """Copies in words, counted from 1."""
    if len(places[0]) > 1:
        pairs = [f"{a + 1} to {b + 1}" for a, b in places]
        return f"copy {', '.join(pairs[:3])}{' …' if len(pairs) > 3 else ''}"
    runs: list[list[int]] = []
    for number in (place[0] + 1 for place in places):
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    said = ", ".join(" to ".join(map(str, run)) for run in runs[:4])
    return f"cop{'y' if len(places) == 1 else 'ies'} {said}{' …' if len(runs) > 4 else ''}"


def _common_label(edges: Sequence[EdgeView]) -> str:
    """What is written beside all of some arrows: the label, or the rule in front of its number."""
    labels = {edge.label for edge in edges}
    rules = {label.partition(" = ")[0] for label in labels}
    return (
        labels.pop()
        if len(labels) == 1
        else rules.pop()
        if len(rules) == 1 and any(" = " in text for text in labels)
        else ""
    )


def _shared(items: Sequence[NodeView] | Sequence[EdgeView]) -> tuple[tuple[str, str], ...]:
    """The details that all of some items have."""
    own = [set(item.details) for item in items[1:]]
    return tuple(pair for pair in items[0].details if all(pair in other for other in own))


def _as_pattern(copies: Sequence[NodeView]) -> NodeView:
    """A box that stands for its copies as well: what differs in the label becomes a star, and what only one has
    goes.
    """
    first, label = copies[0], starred([copy.label for copy in copies])
    rows = tuple(row for row in first.rows if all(row in copy.rows for copy in copies))
    alert = next((copy.alert for copy in copies if copy.alert), "")
    return replace(
        first, label=label, rows=rows, maps=(), numbers=(), gradients=(), details=_shared(copies), alert=alert
    )


def starred(labels: Sequence[str]) -> str:
    """One label for several: the parts in which they differ become stars.

    Examples
    --------
    >>> starred(["blocks.0.w", "blocks.1.w"])
    'blocks.*.w'
    """
    if all(label[-1:].isdigit() and label[:1] in "-0123456789" for label in labels):
        return labels[0] if len(set(labels)) == 1 else f"{labels[0]} … {labels[-1]}"
    parts = [label.split(".") for label in labels]
    if len({len(part) for part in parts}) != 1:
        return labels[0]
    return ".".join(column[0] if len(set(column)) == 1 else "*" for column in zip(*parts, strict=True))


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
