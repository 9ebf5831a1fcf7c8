"""Large pictures made small: repeated blocks drawn once, chains of elementwise operations merged, modules closed, long
programs cut into spans.

Nothing is lost: every fold is a cluster that can be opened. Each step takes time linear in the size of the view, and
none recurses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from autodiff.viz.style import ellipsis
from autodiff.viz.view import ClusterKind, ClusterView, GraphView, NodeView, starred

__all__ = ["LIMIT", "fold"]

#: More boxes than this and a picture opens folded.
LIMIT = 150
_LONGEST_PERIOD = 64
_SPAN = 24
_LEAVES = ("parameter", "constant", "input")


@dataclass
class _Group:
    """A cluster while the tree is being rebuilt: its facts and, in order, what lies directly in it."""

    facts: ClusterView
    items: list[Any] = field(default_factory=list)
    collapsed: bool = False


class _Tree:
    """A view as a tree of clusters over numbered nodes; an item of a group is a node's number or another group."""

    def __init__(self, view: GraphView) -> None:
        self.view = view
        self.top = _Group(ClusterView("", ""))
        self.groups: dict[str | None, _Group] = {None: self.top}
        parents: dict[str, str | None] = {}
        for cluster in view.clusters:
            self.groups[cluster.id] = _Group(cluster)
            parents[cluster.id] = cluster.parent
        number = {node.id: i for i, node in enumerate(view.nodes)}
        # From the end, so that a cluster stands where its last box does: after what it uses.
        entered: set[str] = set()
        for i in reversed(range(len(view.nodes))):
            cluster_id = view.nodes[i].cluster
            self.groups[cluster_id].items.append(i)
            while cluster_id is not None and cluster_id not in entered:
                entered.add(cluster_id)
                outer = parents[cluster_id]
                self.groups[outer].items.append(self.groups[cluster_id])
                cluster_id = outer
        for group in self.groups.values():
            group.items.reverse()
        self.incoming: list[list[tuple[int, int, str]]] = [[] for _ in view.nodes]
        self.uses = [0] * len(view.nodes)
        for edge in view.edges:
            self.incoming[number[edge.target]].append((edge.slot, number[edge.source], edge.kind))
            self.uses[number[edge.source]] += 1
        self.fresh = 0

    def members(self, items: Sequence[Any]) -> list[int]:
        """The numbers of all nodes in some items, in order."""
        found: list[int] = []
        stack = list(reversed(items))
        while stack:
            item = stack.pop()
            if isinstance(item, _Group):
                stack.extend(reversed(item.items))
            else:
                found.append(item)
        return found

    def operations(self, members: Sequence[int]) -> int:
        """How many of some nodes are operations."""
        return sum(self.view.nodes[i].kind in ("op", "fused") for i in members)

    def alert(self, members: Sequence[int]) -> str:
        """The first alert among some nodes."""
        return next((self.view.nodes[i].alert for i in members if self.view.nodes[i].alert), "")

    def group(self, label: str, kind: ClusterKind, items: list[Any], **facts: Any) -> _Group:
        identifier = f"f{self.fresh}"
        self.fresh += 1
        return _Group(ClusterView(identifier, label, kind, **facts), items)

    def all_groups(self) -> list[_Group]:
        """Every group, outer ones first."""
        found = [self.top]
        for group in found:
            found.extend(item for item in group.items if isinstance(item, _Group))
        return found

    def built(self) -> GraphView:
        """The tree as a view again."""
        clusters: list[ClusterView] = []
        homes: dict[int, str | None] = {}
        stack: list[tuple[_Group, str | None]] = [(self.top, None)]
        while stack:
            group, outer = stack.pop()
            here = group.facts.id or None
            inner = []
            for item in group.items:
                if isinstance(item, _Group):
                    inner.append((item, here))
                else:
                    homes[item] = here
            if here is not None:
                clusters.append(replace(group.facts, parent=outer, collapsed=group.collapsed))
            stack.extend(reversed(inner))
        nodes = tuple(
            node if node.cluster == homes[i] else replace(node, cluster=homes[i])
            for i, node in enumerate(self.view.nodes)
        )
        return replace(self.view, nodes=nodes, clusters=tuple(clusters))


# --- repeated blocks ------------------------------------------------------------------------------------------------


def _repeats(tree: _Tree) -> None:
    """Wrap runs of alike modules, or of any alike sequences of items, into one group of copies each."""
    codes: dict[Any, int] = {}
    code_of: dict[int, int] = {}

    def code(item: Any) -> int:
        if isinstance(item, _Group):
            return code_of[id(item)]
        node = tree.view.nodes[item]
        # Names of leaves and numbers may differ from copy to copy, as a counter's do.
        label = "" if node.kind in _LEAVES and (node.kind != "constant" or node.shape is None) else node.label
        return codes.setdefault(
            (label, node.kind, node.family, node.shape, node.dtype, len(tree.incoming[item])), len(codes)
        )

    groups = tree.all_groups()
    for group in reversed(groups):
        # A leaf with several uses belongs to no copy.
        plain = [
            i
            for i in group.items
            if isinstance(i, _Group) or tree.view.nodes[i].kind not in _LEAVES or tree.uses[i] == 1
        ]
        own = [code(item) for item in plain]
        wraps: list[list[list[Any]]] = []
        for start, length, count in _runs(np.array(own), [len(tree.members([item])) for item in plain]):
            copies = _in_phase(tree, plain[start : start + count * length], length)
            module = length == 1 and isinstance(plain[start], _Group)
            # A few operations that happen to recur in a long program are no loop.
            wraps.extend(copies[a:b] for a, b in _alike(tree, copies) if module or b - a >= 4)
        _wrap(tree, group, wraps)
        code_of[id(group)] = codes.setdefault(("group", group.facts.kind, group.facts.name, tuple(own)), len(codes))


def _runs(codes: Any, sizes: list[int]) -> list[tuple[int, int, int]]:
    """Disjoint (start, period, repetitions), the most rewarding first."""
    candidates: list[tuple[int, int, int, int]] = []
    n = len(codes)
    weight = np.concatenate([[0], np.cumsum(sizes)])
    for period in range(1, min(_LONGEST_PERIOD, n // 2) + 1):
        equal = codes[:-period] == codes[period:]
        edges = np.flatnonzero(np.diff(np.concatenate([[0], equal.astype(np.int8), [0]])))
        for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            count = (stop - start) // period + 1
            if count < 2:
                continue
            one = int(weight[start + period] - weight[start])
            # Two copies are worth folding when they are large, three when they are more than an operation.
            if one * count >= 12 and (count >= 3 or one >= 8) and (one >= 2 or count >= 12):
                candidates.append((-int(weight[start + count * period] - weight[start]), period, start, count))
    taken = np.zeros(n, bool)
    chosen = []
    for _, period, start, count in sorted(candidates):
        if not taken[start : start + period * count].any():
            taken[start : start + period * count] = True
            chosen.append((start, period, count))
    return chosen


def _in_phase(tree: _Tree, run: list[Any], length: int) -> list[list[Any]]:
    """A periodic run cut where the fewest arrows cross from one copy to the next: that is where a loop's body
    begins.
    """

    def cut(shift: int) -> list[list[Any]]:
        return [run[i : i + length] for i in range(shift, len(run) - length + 1, length)]

    def crossings(shift: int) -> int:
        first, second = cut(shift)[:2]
        before = set(tree.members(first))
        return sum(source in before for node in tree.members(second) for _, source, _ in tree.incoming[node])

    if length == 1 or len(run) < 3 * length:
        return cut(0)
    return cut(min(range(length), key=lambda shift: (crossings(shift), shift)))


def _alike(tree: _Tree, copies: list[list[Any]]) -> list[tuple[int, int]]:
    """The runs of at least two copies whose inner wiring is the same, as (first, last + 1)."""
    wirings = []
    for copy in copies:
        # By number, which is how a view pairs the boxes of one copy with those of another.
        place = {node: i for i, node in enumerate(sorted(tree.members(copy)))}
        boxes = [
            (tree.view.nodes[node].kind, tree.view.nodes[node].family, tree.view.nodes[node].shape) for node in place
        ]
        arrows = [
            (i, slot, place[source], kind)
            for node, i in place.items()
            for slot, source, kind in tree.incoming[node]
            if source in place
        ]
        wirings.append((boxes, arrows))
    found, start = [], 0
    for i in range(1, len(copies) + 1):
        if i == len(copies) or wirings[i] != wirings[start]:
            if i - start >= 2:
                found.append((start, i))
            start = i
    return found


def _wrap(tree: _Tree, group: _Group, wraps: list[list[list[Any]]]) -> None:
    """Put each run of copies in a group of its own, where its first item was."""
    _replace(group, [([item for copy in copies for item in copy], _repeat(tree, copies)) for copies in wraps])


def _replace(group: _Group, wraps: Sequence[tuple[Sequence[Any], _Group]]) -> None:
    """Put groups in the places of the first of the items that each holds, and take the others away."""

    def key(item: Any) -> Any:
        return id(item) if isinstance(item, _Group) else item

    made = {key(items[0]): other for items, other in wraps}
    gone = {key(item) for items, _ in wraps for item in items}
    group.items = [made.get(key(item), item) for item in group.items if key(item) in made or key(item) not in gone]


def _repeat(tree: _Tree, copies: list[list[Any]]) -> _Group:
    parts: list[Any] = []
    for k, copy in enumerate(copies):
        if len(copy) == 1 and isinstance(copy[0], _Group):
            parts.append(copy[0])
        else:
            parts.append(
                tree.group(f"copy {k + 1}", "span", list(copy), details=(("copy", f"{k + 1} of {len(copies)}"),))
            )
    first, every = tree.members(copies[0]), tree.members([item for copy in copies for item in copy])
    names = [part.facts.label for part in parts]
    modules = [item.facts.label for item in copies[0] if isinstance(item, _Group) and item.facts.kind == "module"]
    if all(len(copy) == 1 for copy in copies) and not names[0].startswith("copy "):
        label = starred(names)
    else:
        label = ellipsis(", ".join(dict.fromkeys(modules)), 40) or _summary(tree, first)
    operations = tree.operations(first)
    named = parts[0].facts.name if parts[0].facts.kind == "module" else ""
    return tree.group(
        label,
        "repeat",
        parts,
        times=len(copies),
        rolled=True,
        count=operations * len(copies),
        name=named,
        alert=tree.alert(every),
        rows=(f"{operations} operation{'s' if operations != 1 else ''} each",),
        details=(("repeats", str(len(copies))),),
    )


def _summary(tree: _Tree, members: Sequence[int]) -> str:
    """The commonest operations among some nodes, for a label."""
    counts = Counter(tree.view.nodes[i].label for i in members if tree.view.nodes[i].kind in ("op", "fused"))
    parts = [f"{label} ×{count}" if count > 1 else label for label, count in counts.most_common(4)]
    return ellipsis(", ".join(parts) + (" …" if len(counts) > 4 else ""), 40)


# --- chains and spans -----------------------------------------------------------------------------------------------


def _chains(tree: _Tree) -> None:
    """Wrap every run of three or more elementwise operations of which each feeds only the next."""
    nodes = tree.view.nodes
    for group in tree.all_groups():
        if group.facts.kind == "chain":
            continue
        inside = {item for item in group.items if not isinstance(item, _Group)}
        follows: dict[int, int] = {}
        for i in group.items:
            if isinstance(i, _Group) or not _smooth(nodes[i]):
                continue
            sources = [s for _, s, _ in tree.incoming[i] if nodes[s].kind != "constant"]
            if len(sources) == 1 and sources[0] in inside and _smooth(nodes[sources[0]]) and tree.uses[sources[0]] == 1:
                follows[i] = sources[0]
        runs: dict[int, list[int]] = {}
        for i in group.items:
            if not isinstance(i, _Group) and _smooth(nodes[i]):
                run = runs.pop(follows[i]) if i in follows else []
                run.append(i)
                runs[i] = run
        wrapped: list[tuple[Sequence[Any], _Group]] = []
        for last, run in runs.items():
            if len(run) < 3:
                continue
            extras = [
                s
                for i in run
                for _, s, _ in tree.incoming[i]
                if nodes[s].kind == "constant" and tree.uses[s] == 1 and s in inside
            ]
            members = sorted({*run, *extras})
            end = nodes[last]
            chain = tree.group(
                ellipsis(" · ".join(nodes[i].label for i in run), 40),
                "chain",
                list(members),
                family="elementwise",
                shape=end.shape,
                dtype=end.dtype,
                count=len(run),
                name=end.name,
                alert=tree.alert(run),
                details=(("merged", f"{len(run)} elementwise operations"),),
            )
            wrapped.append((members, chain))
        _replace(group, wrapped)


def _smooth(node: NodeView) -> bool:
    return node.kind == "op" and node.family in ("elementwise", "activation")


def _spans(tree: _Tree, most: int) -> None:
    """Cut groups with many items into consecutive spans, and those again, until no group holds more than ``most``."""
    for group in tree.all_groups():
        if group.facts.kind == "repeat":
            continue
        while len(group.items) > most:
            spans: list[Any] = []
            for start in range(0, len(group.items), _SPAN):
                part = group.items[start : start + _SPAN]
                if len(part) == 1:
                    spans.extend(part)
                    continue
                members = tree.members(part)
                operations, alert = tree.operations(members), tree.alert(members)
                label = _summary(tree, members) or f"{len(members)} leaves"
                details = (("span", f"{len(members)} boxes in order of computation"),)
                rows = (f"{operations} operations",)
                spans.append(
                    tree.group(label, "span", list(part), count=operations, rows=rows, alert=alert, details=details)
                )
            group.items = spans


# --- what is open ---------------------------------------------------------------------------------------------------


def _opened(tree: _Tree, limit: int, depth: int | None, modules: bool) -> None:
    """Open groups level by level while the picture stays within ``limit`` boxes, and no deeper than ``depth``
    modules; with ``modules`` no module that holds no other.
    """
    holders = {id(group) for group in tree.all_groups() if any(_module(item) for item in group.items)}
    shown = len(tree.top.items)
    level: list[tuple[_Group, int]] = [(item, 0) for item in tree.top.items if isinstance(item, _Group)]
    while level:
        following: list[tuple[_Group, int]] = []
        for group, above in level:
            counts = group.facts.kind in ("module", "fused")
            more = 1 if group.facts.rolled else len(group.items)
            closed = (
                (depth is not None and counts and above >= depth)
                or shown + more - 1 > limit
                or (group.facts.kind == "chain")
                or (modules and group.facts.kind == "module" and id(group) not in holders)
            )
            group.collapsed = closed
            if not closed:
                shown += more - 1
            inner = [item for item in group.items if isinstance(item, _Group)]
            following.extend(
                (item, above + counts)
                for item in (inner[:1] if group.facts.rolled and not closed else inner if not closed else ())
            )
            if closed or group.facts.rolled:
                _close_all(inner if closed else inner[1:])
        level = following


def _module(item: Any) -> bool:
    """Whether an item is a module, or copies of one."""
    if not isinstance(item, _Group):
        return False
    return item.facts.kind == "module" or (item.facts.kind == "repeat" and any(map(_module, item.items)))


def _close_all(groups: list[_Group]) -> None:
    stack = list(groups)
    while stack:
        group = stack.pop()
        group.collapsed = True
        stack.extend(item for item in group.items if isinstance(item, _Group))


def fold(view: GraphView, *, limit: int = LIMIT, depth: int | None = None, modules: bool = False) -> GraphView:
    """Fold a picture until it can be read: the same boxes and arrows, with more clusters, of which some are collapsed.

    At most ``limit`` boxes are visible at the start, and ``depth`` levels of modules open. ``modules`` closes every
    module that holds no other module: the architecture.

    Examples
    --------
    >>> from autodiff.viz.view import EdgeView
    >>> nodes = tuple(NodeView(f"n{i}", "exp") for i in range(1000))
    >>> edges = tuple(EdgeView(f"e{i}", f"n{i}", f"n{i + 1}") for i in range(999))
    >>> len(fold(GraphView(nodes, edges)).visible().nodes) < LIMIT
    True
    """
    tree = _Tree(view)
    large = len(view.nodes) > limit
    _repeats(tree)
    if large:
        _chains(tree)
        _spans(tree, max(limit // 3, _SPAN))
    _opened(tree, limit, depth, modules)
    folded = tree.built()
    boxes = len(folded.visible().nodes) if any(c.collapsed or c.rolled for c in folded.clusters) else len(view.nodes)
    if boxes == len(view.nodes):
        return folded
    note = f"{len(view.nodes):,} boxes, folded to {boxes:,}; fold=False draws them all."
    return replace(folded, note=f"{view.note} {note}".strip())
