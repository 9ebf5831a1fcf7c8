"""A layered layout in plain Python: where every box, frame and arrow of a drawing goes.

The method is that of Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures"
(1981): boxes are put on layers by longest paths, layers are ordered by the mean place of their neighbours, and places
within a layer are the least-squares ones that keep the distances. Frames are laid out from the inside out, each as one
box of the frame around it; an arrow that crosses a border does so at a port, which holds its place on the border.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from .dot import beside, edge_label, heading, heading_width
from .style import box_of, text_width
from .view import EdgeView, GraphView, shared

__all__ = ["Layout", "free_place", "layered"]

_GAP, _LAYER_GAP, _PAD = 22.0, 28.0, 12.0
#: Between a box and the leaves beside it.
_BESIDE = 24.0
#: The room around a block for the arrows from each of its copies to the next.
_LOOP = 24.0
#: More bends than this are not laid out: the arrow then runs straight.
_MOST_BENDS = 30_000
_SWEEPS = 6

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are, in points, y growing downwards."""

    width: float
    height: float
    #: The centre of each box; left, top, right and bottom of each frame.
    nodes: dict[str, Point]
    clusters: dict[str, tuple[float, float, float, float]]
    #: Bezier points of each arrow, its head's point (None without one) and the centre of its label (or None).
    edges: dict[str, tuple[list[Point], Point | None, Point | None]]


@dataclass
class _Link:
    """One piece of an arrow inside one frame."""

    tail: Any
    head: Any
    label: tuple[float, float] | None = None
    tail_port: Any = None
    head_port: Any = None
    path: list[Any] = field(default_factory=list)


class _Level:
    """The content of one frame, laid out along x (across) and y (with the flow)."""

    def __init__(self, sizes: dict[Any, tuple[float, float]], links: list[_Link]) -> None:
        self.sizes = dict(sizes)
        self.links = links
        # In the order of the links: a set of names has another in every process.
        self.ports = dict.fromkeys(key for link in links for key in (link.tail, link.head) if key not in sizes)
        self.sizes |= dict.fromkeys(self.ports, (2.0, 0.0))
        self.rank = self._ranks()
        # Next to a border, where only ports are, half the distance will do.
        self.borders = {self.rank[port] + (port[0] == "in") for port in self.ports}
        self.layers = self._layers()
        self._order()
        self.x: dict[Any, float] = {}
        self._place()
        self.y, self.tops, self.bottoms = self._heights()

    def _ranks(self) -> dict[Any, int]:
        forward: dict[Any, list[tuple[Any, int]]] = defaultdict(list)
        for link in self.links:
            if link.tail != link.head:
                forward[link.tail].append((link.head, 2 if link.label else 1))
        rank = dict.fromkeys(self.sizes, 0)
        entries = {port for port in self.ports if port[0] == "in"}
        exits = self.ports.keys() - entries
        for item in self.sizes:
            rank[item] = 1 if entries and item not in entries else 0
        waiting: dict[Any, int] = defaultdict(int)
        for heads in forward.values():
            for head, _ in heads:
                waiting[head] += 1
        fed = {head for heads in forward.values() for head, _ in heads}
        ready = [item for item in self.sizes if not waiting[item]]
        done = []
        while ready:
            item = ready.pop()
            done.append(item)
            for head, length in forward[item]:
                rank[head] = max(rank[head], rank[item] + length)
                waiting[head] -= 1
                if not waiting[head]:
                    ready.append(head)
        # What nothing feeds stands just before what reads it first.
        for item in reversed(done):
            if item not in fed and item not in entries and forward[item]:
                rank[item] = max(rank[item], min(rank[head] - length for head, length in forward[item]))
        last = max((rank[item] for item in rank if item not in exits), default=0)
        for port in exits:
            rank[port] = max(last + 1, rank[port])
        return rank

    def _layers(self) -> list[list[Any]]:
        layers: list[list[Any]] = [[] for _ in range(max(self.rank.values(), default=0) + 1)]
        for item, rank in self.rank.items():
            layers[rank].append(item)
        self.above: dict[Any, list[Any]] = defaultdict(list)
        self.below: dict[Any, list[Any]] = defaultdict(list)
        bends = sum(abs(self.rank[link.head] - self.rank[link.tail]) for link in self.links)
        trunks: dict[tuple[Any, int], Any] = {}
        for i, link in enumerate(self.links):
            tail, head = link.tail, link.head
            between = range(self.rank[tail] + 1, self.rank[head])
            path = [tail]
            middle = between[len(between) // 2] if len(between) else -1
            for rank in between if bends <= _MOST_BENDS or link.label else ():
                # Uses of one value run together as far as they can.
                key: Any = (tail, rank) if link.label is None and link.tail_port is None else (i, rank)
                bend = trunks.get(key)
                if bend is None:
                    bend = trunks[key] = ("bend", *key)
                    self.sizes[bend] = link.label if link.label and rank == middle else (4.0, 0.0)
                    self.rank[bend] = rank
                    layers[rank].append(bend)
                path.append(bend)
            path.append(head)
            link.path = path
            for one, other in pairwise(path):
                if self.rank[other] == self.rank[one] + 1:
                    self.below[one].append(other)
                    self.above[other].append(one)
        return layers

    def _order(self) -> None:
        place: dict[Any, float] = {}
        for layer in self.layers:
            place.update({item: float(i) for i, item in enumerate(layer)})
        best, fewest = [list(layer) for layer in self.layers], self._crossings(place)
        for sweep in range(_SWEEPS):
            down = sweep % 2 == 0
            near = self.above if down else self.below
            for layer in self.layers if down else reversed(self.layers):
                mean = {
                    item: sum(place[n] for n in near[item]) / len(near[item]) if near[item] else place[item]
                    for item in layer
                }
                layer.sort(key=mean.__getitem__)
                place.update({item: float(i) for i, item in enumerate(layer)})
            crossings = self._crossings(place)
            if crossings < fewest:
                best, fewest = [list(layer) for layer in self.layers], crossings
        self.layers = best

    def _crossings(self, place: dict[Any, float]) -> int:
        total = 0
        for layer in self.layers:
            seen: list[float] = []
            for item in sorted(layer, key=place.__getitem__):
                heads = sorted(place[n] for n in self.below[item])
                total += sum(len(seen) - bisect_right(seen, head) for head in heads)
                for head in heads:
                    insort(seen, head)
        return total

    def _place(self) -> None:
        x = self.x
        for layer in self.layers:
            at = 0.0
            for item in layer:
                width = self.sizes[item][0]
                x[item] = at + width / 2
                at += width + self._gap(item)
        for sweep in range(2 * _SWEEPS):
            down = sweep % 2 == 0
            final = sweep >= 2 * _SWEEPS - 2
            for layer in self.layers if down else reversed(self.layers):
                wanted, weights = [], []
                for item in layer:
                    near = self.above[item] if down else self.below[item]
                    if final:
                        near = self.above[item] + self.below[item]
                    wanted.append(sum(x[n] for n in near) / len(near) if near else x[item])
                    # Lines without bends and the main path before everything else.
                    weights.append(8.0 if item[0] == "bend" else 4.0 if self.above[item] and self.below[item] else 1.0)
                x.update(zip(layer, self._apart(layer, wanted, weights), strict=True))
        left = min((x[i] - self.sizes[i][0] / 2 for i in x), default=0.0)
        for item in x:
            x[item] -= left
        self.width = max((x[i] + self.sizes[i][0] / 2 for i in x), default=0.0)

    @staticmethod
    def _gap(item: Any) -> float:
        return 10.0 if item[0] == "bend" else _GAP

    def _apart(self, layer: list[Any], wanted: list[float], weights: list[float]) -> list[float]:
        """The places nearest to those wanted that keep the order and the distances: isotonic regression by pooling
        adjacent violators.
        """
        offsets = [0.0]
        for one, other in pairwise(layer):
            gap = min(self._gap(one), self._gap(other))
            offsets.append(offsets[-1] + (self.sizes[one][0] + self.sizes[other][0]) / 2 + gap)
        pools: list[list[float]] = []
        for want, offset, weight in zip(wanted, offsets, weights, strict=True):
            pools.append([want - offset, weight, 1])
            while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
                value, mass, count = pools.pop()
                before = pools[-1]
                before[0] = (before[0] * before[1] + value * mass) / (before[1] + mass)
                before[1] += mass
                before[2] += count
        flat = [pool[0] for pool in pools for _ in range(int(pool[2]))]
        return [place + offset for place, offset in zip(flat, offsets, strict=True)]

    def _heights(self) -> tuple[dict[Any, float], list[float], list[float]]:
        y: dict[Any, float] = {}
        tops: list[float] = []
        bottoms: list[float] = []
        at = 0.0
        for layer in self.layers:
            height = max((self.sizes[item][1] for item in layer), default=0.0)
            tops.append(at)
            bottoms.append(at + height)
            for item in layer:
                y[item] = at + height / 2
            gap = _LAYER_GAP / 2 if len(tops) in self.borders else _LAYER_GAP
            at += height + gap
        self.height = bottoms[-1] if bottoms else 0.0
        return y, tops, bottoms


def layered(view: GraphView, rankdir: str = "TB") -> Layout:
    """Where everything goes in a view without collapsed clusters.

    Examples
    --------
    >>> from autodiff.viz.view import NodeView
    >>> view = GraphView((NodeView("n0", "x"), NodeView("n1", "exp")), (EdgeView("e0", "n0", "n1"),))
    >>> places = layered(view).nodes
    >>> places["n0"][1] < places["n1"][1]
    True
    """
    sideways, backwards = rankdir in ("LR", "RL"), rankdir in ("BT", "RL")
    boxes = {node.id: box_of(node) for node in view.nodes}
    around = view.around()
    paths = {node.id: around[node.cluster] for node in view.nodes}
    links: dict[str | None, list[_Link]] = defaultdict(list)
    known: dict[tuple[Any, ...], _Link] = {}
    routes: dict[str, list[tuple[str | None, _Link]]] = {}

    def link(frame: str | None, tail: Any, head: Any, name: Any, **facts: Any) -> _Link:
        key = (frame, tail, head, name, facts.get("tail_port"), facts.get("head_port"))
        if key not in known:
            known[key] = _Link(tail, head, **facts)
            links[frame].append(known[key])
        return known[key]

    # A box and the leaves beside it are laid out as one, with the box in the middle: the main path runs straight down.
    aside = beside(view)
    kept = {leaf for leaves in aside.values() for leaf in leaves}
    repeats = {cluster.id for cluster in view.clusters if cluster.kind == "repeat"}
    laid: list[EdgeView] = []
    loops: dict[str, str] = {}
    for edge in view.edges:
        p, q = paths[edge.source], paths[edge.target]
        shared_blocks = [a for a, b in zip(p, q, strict=False) if a == b and a in repeats]
        if edge.kind == "carry" and shared_blocks:
            loops[edge.id] = shared_blocks[-1]
        if edge.id in loops or not (edge.source in kept or _loose(edge)):
            laid.append(edge)

    def ends(edge: EdgeView, back: bool) -> tuple[str, str, tuple[str, ...], tuple[str, ...], str | None]:
        """Tail and head of an arrow, the frames on its way out and in, and the innermost that holds both."""
        tail, head = (edge.target, edge.source) if back else (edge.source, edge.target)
        p, q = paths[tail], paths[head]
        common = p.index(loops[edge.id]) if edge.id in loops else shared(p, q)
        return tail, head, p[common:], q[common:], p[common - 1] if common else None

    def joined(edge: EdgeView) -> tuple[Any, Any]:
        tail, head, out, into, _ = ends(edge, edge.upward)
        return ("c", out[0]) if out else ("n", tail), ("c", into[0]) if into else ("n", head)

    against = _circular([(edge.id, *joined(edge)) for edge in laid if edge.id not in loops])
    back = {edge.id: edge.upward != (edge.id in against) for edge in laid}
    for edge in laid:
        tail, head, out, into, around_both = ends(edge, back[edge.id])
        text = edge_label(edge)
        size = (text_width(text, 10) + 8, 14.0) if text else None
        if size is not None and sideways:
            size = size[1], size[0]
        own = f" {edge.id}" if edge.id in loops else ""
        leaving, arriving = ("out", tail + own), ("in", tail + own)
        route: list[tuple[str | None, _Link]] = []
        for i in range(len(out) - 1, -1, -1):
            inner = i + 1 < len(out)
            start = ("c", out[i + 1]) if inner else ("n", tail)
            # What loops around a block says what it has to say on its way out.
            said = size if own and not inner else None
            route.append((out[i], link(out[i], start, leaving, own, tail_port=leaving if inner else None, label=said)))
        if not own:
            start = ("c", out[0]) if out else ("n", tail)
            end = ("c", into[0]) if into else ("n", head)
            facts = {"tail_port": leaving if out else None, "head_port": arriving if into else None, "label": size}
            route.append((around_both, link(around_both, start, end, edge.id if size or not into else "", **facts)))
        for i, entered in enumerate(into):
            inner = i + 1 < len(into)
            end = ("c", into[i + 1]) if inner else ("n", head)
            name = "" if inner else edge.id
            route.append((entered, link(entered, arriving, end, name, head_port=arriving if inner else None)))
        routes[edge.id] = route

    content: dict[str | None, list[Any]] = defaultdict(list)
    for node in view.nodes:
        if node.id not in kept:
            content[node.cluster].append(("n", node.id))
    for cluster in view.clusters:
        content[cluster.parent].append(("c", cluster.id))
    # Width and height that the heading of each frame needs.
    heads = {c.id: (min(heading_width(c), 420.0) + 18, 15.0 * len(heading(c)) + 10) for c in view.clusters}
    sizes: dict[Any, tuple[float, float]] = {}
    for name, box in boxes.items():
        sizes["n", name] = (box.height, box.width) if sideways else (box.width, box.height)
    rooms = dict(sizes)
    for name, leaves in aside.items():
        width, height = sizes["n", name]
        side = max(sizes["n", leaf][0] for leaf in leaves) + _BESIDE
        rooms["n", name] = width + 2 * side, max(height, *(sizes["n", leaf][1] for leaf in leaves))
    levels: dict[str | None, _Level] = {}
    shifts: dict[str | None, Point] = {}
    for frame in [*(cluster.id for cluster in reversed(view.clusters)), None]:
        level = levels[frame] = _Level({item: rooms[item] for item in content[frame]}, links[frame])
        if frame is None:
            shifts[frame] = (0.0, 0.0)
            continue
        least, head_room = heads[frame]
        across, along = level.width, level.height
        if sideways:
            width, height = across + head_room + _PAD, max(along + 2 * _PAD, least)
            shifts[frame] = (head_room, (height - along) / 2)
        else:
            width, height = max(across + 2 * _PAD, least), along + head_room + _PAD
            left = (width - across) / 2
            coming = [level.x[port] + left for port in level.ports if port[0] == ("out" if backwards else "in")]
            if free_place(coming, 9.0, width - 9.0, least - 18) is None:
                # Where arrows come in everywhere through the heading's words, the frame grows to the left of them.
                grown = max(0.0, least - min(coming) + 6)
                left, width = left + grown, width + grown
            shifts[frame] = (left, _PAD if backwards else head_room)
        sizes["c", frame] = rooms["c", frame] = (width, height)
        if frame in loops.values():
            rooms["c", frame] = (width + 2 * _LOOP, height + 2 * _LOOP)

    def anchor(frame: str | None, item: Any, port: Any, bottom: bool, spread: float = 0.0) -> Point:
        """Where an arrow meets an item of a frame, in the frame's own coordinates."""
        level = levels[frame]
        width, height = sizes[item] if item in sizes else level.sizes[item]
        y = level.y[item] + (height / 2 if bottom else -height / 2)
        if item[0] == "c":
            inner = levels[item[1]]
            return level.x[item] - width / 2 + shifts[item[1]][0] + inner.x[port], y
        return level.x[item] + spread, y

    # Arrows into one box meet it side by side, in the order in which they come.
    spreads: dict[tuple[str | None, int], float] = {}
    for frame, level in levels.items():
        arriving_at: dict[Any, list[_Link]] = defaultdict(list)
        for one in level.links:
            if one.head[0] == "n":
                arriving_at[one.head].append(one)
        for item, several in arriving_at.items():
            several.sort(key=lambda one: level.x[one.path[-2]])
            step = min(16.0, (sizes[item][0] - 20) / len(several))
            for i, one in enumerate(several):
                spreads[frame, id(one)] = (i - (len(several) - 1) / 2) * step

    def piece(frame: str | None, one: _Link) -> tuple[list[Point], Point | None]:
        level, (dx, dy) = levels[frame], shifts[frame]
        points: list[Point] = []
        label = None
        for i, item in enumerate(one.path):
            if 0 < i < len(one.path) - 1:
                rank = level.rank[item]
                if one.label and level.sizes[item] == one.label:
                    label = level.x[item] + dx, level.y[item] + dy
                points.extend((level.x[item], y) for y in (level.tops[rank], level.bottoms[rank]))
            elif item[0] in ("in", "out"):
                y = -dy if item[0] == "in" else sizes["c", frame][1] - dy
                points.append((level.x[item], y))
                if item[0] == "in":
                    points.append((level.x[item], level.tops[level.rank[item]]))
                else:
                    points.insert(-1, (level.x[item], level.tops[level.rank[item]]))
            else:
                # Straight to the edge of the layer, so that no taller neighbour is cut.
                rank = level.rank[item]
                last = i > 0
                port = one.head_port if last else one.tail_port
                spread = spreads.get((frame, id(one)), 0.0) if last else 0.0
                x, y = anchor(frame, item, port, not last, spread)
                edge = (x, level.tops[rank] if last else level.bottoms[rank])
                points.extend([edge, (x, y)] if last else [(x, y), edge])
        return [(x + dx, y + dy) for x, y in points], label

    # From the outside in.
    origins: dict[str | None, Point] = {None: (0.0, 0.0)}
    nodes: dict[str, Point] = {}
    clusters: dict[str, tuple[float, float, float, float]] = {}
    for frame in [None, *(cluster.id for cluster in view.clusters)]:
        level, (ox, oy), (dx, dy) = levels[frame], origins[frame], shifts[frame]
        for item in content[frame]:
            x, y = ox + dx + level.x[item], oy + dy + level.y[item]
            width, height = sizes[item]
            if item[0] == "n":
                nodes[item[1]] = x, y
                for side, leaf in zip((-1, 1), aside.get(item[1], ()), strict=False):
                    nodes[leaf] = x + side * (width / 2 + _BESIDE + sizes["n", leaf][0] / 2), y
            else:
                origins[item[1]] = x - width / 2, y - height / 2
                clusters[item[1]] = x - width / 2, y - height / 2, x + width / 2, y + height / 2

    total_width, total_height = levels[None].width, levels[None].height
    curves: dict[str, tuple[list[Point], Point | None, Point | None]] = {}
    for edge in view.edges:
        if edge.id not in routes:
            continue
        line: list[Point] = []
        label: Point | None = None
        for place, (frame, one) in enumerate(routes[edge.id]):
            points, where = piece(frame, one)
            ox, oy = origins[frame]
            if where is not None:
                label = where[0] + ox, where[1] + oy
            if place and edge.id in loops and frame == loops[edge.id] and one.tail[0] == "in":
                # Around the block from below it, on its right.
                (left, top), (width, height) = origins[frame], sizes["c", frame]
                side, below, above = left + width + _LOOP - 4, top + height + _LOOP / 2, top - _LOOP / 2
                came = line[-1][0]
                points = [
                    (x - ox, y - oy)
                    for x, y in ((came, below), (side, below), (side, above), (points[0][0] + ox, above))
                ] + points
            for x, y in points:
                if not line or abs(line[-1][0] - x - ox) + abs(line[-1][1] - y - oy) > 0.01:
                    line.append((x + ox, y + oy))
        if len(line) < 2:
            line.append((line[0][0], line[0][1] + 1.0))
        if back[edge.id]:
            line.reverse()
        curves[edge.id] = _curve(line, edge.kind != "link"), None if edge.kind == "link" else line[-1], label
    for edge in view.edges:
        if edge.source in kept:
            (x0, y0), (x1, _) = nodes[edge.source], nodes[edge.target]
            side = 1.0 if x1 > x0 else -1.0
            leaf_end = x0 + side * sizes["n", edge.source][0] / 2, y0
            point = x1 - side * sizes["n", edge.target][0] / 2, y0
            base = point[0] - 8 * side, y0
            curves[edge.id] = [leaf_end, leaf_end, base, base], point, None
    halves = {name: (sizes["n", name][0] / 2, sizes["n", name][1] / 2) for name in nodes}
    boxed = [(x - w, y - h, x + w, y + h) for (x, y), (w, h) in zip(nodes.values(), halves.values(), strict=True)]
    for edge in view.edges:
        if edge.id in back or edge.source in kept or edge.source == edge.target:
            continue
        # A link says nothing that the arrows do not: it is drawn where nothing stands between its ends.
        (x0, y0), (x1, y1) = nodes[edge.source], nodes[edge.target]
        side = 1.0 if x1 > x0 else -1.0
        a, b = (x0 + side * sizes["n", edge.source][0] / 2, y0), (x1 - side * sizes["n", edge.target][0] / 2, y1)
        steps = [(a[0] + (b[0] - a[0]) * t / 64, a[1] + (b[1] - a[1]) * t / 64) for t in range(1, 64)]
        if not any(r[0] < x < r[2] and r[1] < y < r[3] for x, y in steps for r in boxed):
            curves[edge.id] = [a, a, b, b], None, ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2 - 6)

    def turn(point: Point) -> Point:
        x, y = point
        if backwards:
            y = total_height - y
        return (round(y, 1), round(x, 1)) if sideways else (round(x, 1), round(y, 1))

    def turned(a: Point, b: Point) -> tuple[float, float, float, float]:
        (x0, y0), (x1, y1) = turn(a), turn(b)
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)

    size = (total_height, total_width) if sideways else (total_width, total_height)
    return Layout(
        *size,
        {name: turn(point) for name, point in nodes.items()},
        {name: turned(place[:2], place[2:]) for name, place in clusters.items()},
        {
            name: ([turn(p) for p in points], None if tip is None else turn(tip), None if at is None else turn(at))
            for name, (points, tip, at) in curves.items()
        },
    )


def _loose(edge: EdgeView) -> bool:
    """Whether an arrow has no say in the layout."""
    return edge.kind == "carry" or (edge.kind == "link" and edge.upward) or edge.source == edge.target


def _circular(arrows: list[tuple[str, Any, Any]]) -> set[str]:
    """Folded blocks may depend on one another in a circle: the arrows that lead back, which are laid out the other way
    round.
    """
    out: dict[Any, list[tuple[str, Any]]] = defaultdict(list)
    for name, tail, head in arrows:
        out[tail].append((name, head))
    state: dict[Any, int] = {}
    found: set[str] = set()
    for start in list(out):
        if start in state:
            continue
        state[start] = 1
        stack = [(start, iter(out[start]))]
        while stack:
            item, rest = stack[-1]
            for name, head in rest:
                if state.get(head) == 1:
                    found.add(name)
                elif head not in state:
                    state[head] = 1
                    stack.append((head, iter(out.get(head, ()))))
                    break
            else:
                state[item] = 2
                stack.pop()
    return found


def free_place(taken: list[float], left: float, right: float, width: float) -> float | None:
    """The first place from the left where a text of a width stands between what is taken; None where there is none.

    Examples
    --------
    >>> free_place([20.0], 9.0, 100.0, 30.0)
    26.0
    """
    for start in sorted([left, *(at + 6 for at in taken)]):
        if left <= start <= right - width and not any(start - 6 < at < start + width + 6 for at in taken):
            return start
    return None


def _curve(line: list[Point], tip: bool) -> list[Point]:
    """A polyline as cubic curves whose tangents run with the flow; the end under the arrow head stops short of it."""
    # What lies on a straight stretch is left out.
    line = [
        at
        for i, at in enumerate(line)
        if not 0 < i < len(line) - 1 or max(abs(at[0] - line[i + k][0]) for k in (-1, 1)) > 0.05
    ]
    if tip:
        line[-1] = line[-1][0], line[-1][1] + (8.0 if line[-2][1] > line[-1][1] else -8.0)
    points = [line[0]]
    for (x0, y0), (x1, y1) in pairwise(line):
        middle = (y0 + y1) / 2
        points.extend([(x0, middle), (x1, middle), (x1, y1)])
    return points
