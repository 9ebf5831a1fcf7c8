"""Where title, legend, note and the parts of a box stand, and in which colours: what SVG and paper drawing share."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from .dot import heading, heading_width
from .layered import Layout, Point, free_place
from .style import ALERT, FAMILIES, LINE_GAP, Box, Family, clean, pill, text_width
from .view import EdgeView, GraphView, NodeView

__all__ = [
    "DARK",
    "LIGHT",
    "Sheet",
    "arrow_head",
    "corner_radius",
    "curve_points",
    "family",
    "heading_places",
    "legend_keys",
    "lines_of",
    "sheet_of",
]

_PAD = 16.0
_PARTS = ("page", "ink", "soft", "edge", "frame", "tint")
#: The colours of what is of no family, on a light and on a dark page.
LIGHT = dict(zip(_PARTS, ("#ffffff", "#1f2328", "#57606a", "#6e7781", "#868e97", "#f6f8fa"), strict=True))
DARK = dict(zip(_PARTS, ("#0d1117", "#e6edf3", "#9aa4af", "#8b949e", "#656d76", "#161b22"), strict=True))


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet in points, y growing downwards."""

    width: float
    height: float
    #: The corner of the graph's layout.
    graph: Point
    #: Lines and where their baselines begin, as of the note; one or none.
    title: list[tuple[str, float, float]]
    #: Keys of families, and the upper left corners of their squares.
    legend: list[tuple[str, float, float]]
    note: list[tuple[str, float, float]]


def sheet_of(view: GraphView, layout: Layout, legend: bool = True) -> Sheet:
    """Where everything around the graph goes.

    Examples
    --------
    >>> sheet = sheet_of(GraphView((NodeView("n0", "exp"),), title="exp"), Layout(100.0, 50.0, {}, {}, {}))
    >>> sheet.title, [key for key, _, _ in sheet.legend]
    ([('exp', 16.0, 28.0)], ['elementwise'])
    """
    room = max(layout.width, 320.0)
    y, widest = _PAD, 0.0
    title, squares = [], []
    if view.title:
        title.append((clean(view.title), _PAD, y + 12))
        widest = text_width(title[0][0], 15, bold=True)
        y += 24
    keys = legend_keys(view) if legend else []
    x = _PAD
    for key in keys:
        need = text_width(family(key).title, 10.5) + 32
        if x > _PAD and x + need > room + _PAD:
            x = _PAD
            y += 17
        squares.append((key, x, y))
        x += need
        widest = max(widest, x - _PAD)
    y += 24 if keys else 0
    note = _wrapped(clean(view.note), max(room, widest), 10.5) if view.note else []
    width = max(layout.width, widest, *(text_width(line, 10.5) for line in note), 0.0) + 2 * _PAD
    height = y - _PAD + layout.height + 15 * len(note) + (6 if note else 0) + 2 * _PAD
    first = height - _PAD - 15 * (len(note) - 1) - 3
    lines = [(line, _PAD, first + 15 * i) for i, line in enumerate(note)]
    return Sheet(width, height, ((width - layout.width) / 2, y), title, squares, lines)


def heading_places(view: GraphView, layout: Layout) -> dict[str, tuple[float, float]]:
    """Where the words of each frame's heading begin, and how wide they may be: where no arrow runs through them.

    Examples
    --------
    >>> from autodiff.viz.view import ClusterView
    >>> frame = ClusterView("c0", "block")
    >>> heading_places(GraphView((), (), (frame,)), Layout(90.0, 90.0, {}, {"c0": (0.0, 0.0, 90.0, 90.0)}, {}))
    {'c0': (9.0, 72.0)}
    """
    strips = []
    for cluster in view.clusters:
        if cluster.id in layout.clusters:
            left, top, right, _ = layout.clusters[cluster.id]
            strips.append((top, top + 15 * len(heading(cluster)) + 6, left, right, cluster))
    strips.sort(key=lambda strip: strip[0])
    tops = [strip[0] for strip in strips]
    taken: dict[str, list[float]] = {cluster.id: [] for *_, cluster in strips}
    for points, _, _ in layout.edges.values() if strips else ():
        for i in range(0, len(points) - 3, 3):
            curve = points[i : i + 4]
            xs, ys = [x for x, _ in curve], [y for _, y in curve]
            for top, bottom, left, right, cluster in strips[
                bisect_left(tops, min(ys) - 60) : bisect_right(tops, max(ys))
            ]:
                if bottom < min(ys) or right < min(xs) or left > max(xs):
                    continue
                if max(xs) - min(xs) < 0.5:
                    taken[cluster.id].append(xs[0])
                    continue
                for x, y in curve_points(curve, 3.0):
                    if top <= y <= bottom:
                        taken[cluster.id].append(x)
    found = {}
    for _, _, left, right, cluster in strips:
        held, room = taken[cluster.id], right - left - 18
        place = free_place(held, left + 9, right - 9, min(heading_width(cluster), room))
        if place is not None:
            found[cluster.id] = place, room
            continue
        # The widest gap, into which the words are squeezed.
        edges = sorted([left + 3, *held, right - 3])
        start, end = max(pairwise(edges), key=lambda gap: gap[1] - gap[0])
        found[cluster.id] = start + 6, max(end - start - 12, 1.0)
    return found


def curve_points(curve: list[Point], step: float) -> Iterator[Point]:
    """Points along a cubic curve, some ``step`` apart.

    Examples
    --------
    >>> list(curve_points([(0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (0.0, 3.0)], 3.0))
    [(0.0, 0.0), (0.0, 3.0)]
    """
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = curve
    count = int((abs(dx - ax) + abs(dy - ay)) / step) or 1
    for k in range(count + 1):
        t = k / count
        u = 1 - t
        p, q, r, s = u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t
        yield p * ax + q * bx + r * cx + s * dx, p * ay + q * by + r * cy + s * dy


def legend_keys(view: GraphView) -> list[str]:
    """Return the families that a view shows, in the order of :data:`~autodiff.viz.style.FAMILIES`.

    Examples
    --------
    >>> legend_keys(GraphView((NodeView("n0", "exp"),)))
    ['elementwise']
    """
    present = {node.family for node in view.nodes if node.kind != "port"}
    return [key for key in FAMILIES if key in present] + (["alert"] if any(n.alert for n in view.nodes) else [])


def family(key: str) -> Family:
    """The colours of a key of the legend."""
    return ALERT if key == "alert" else FAMILIES[key]


def corner_radius(node: NodeView, box: Box) -> float:
    """How round the corners of a box are."""
    if pill(node) and len(box.lines) < 4 and not box.maps:
        return box.height / 2
    return 2.5 if node.kind in ("input", "constant") else 7.0


def lines_of(box: Box, top: float) -> Iterator[tuple[str, float, bool, str, float]]:
    """The lines of a box, each with its baseline: text, font size, bold, style class, y."""
    total = sum(size + LINE_GAP for _, size, _, _ in box.lines) - LINE_GAP
    room = box.height - max((up for _, _, up, _, _ in box.maps), default=0.0)
    y = top + (room - total) / 2
    for text, size, bold, kind in box.lines:
        y += size
        yield text, size, bold, kind, y - 1.5
        y += LINE_GAP


def arrow_head(edge: EdgeView, points: list[Point], tip: Point) -> list[Point]:
    """The three corners of an arrow's head, the tip first."""
    x, y = points[-1]
    dx, dy = tip[0] - x, tip[1] - y
    length = (dx * dx + dy * dy) ** 0.5 or 1.0
    px, py = -dy / length * 3.2, dx / length * 3.2
    return [tip, (x + px, y + py), (x - px, y - py)]


def _wrapped(text: str, width: float, size: float) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        trial = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(trial, size) > width:
            lines.append(word)
        else:
            lines[-1] = trial
    return lines
