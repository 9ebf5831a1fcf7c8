"""The drawing that :mod:`autodiff.viz.svg` writes, as PDF or PNG: the same places, sizes, colours, title and legend.

matplotlib puts it on paper; every line of text is stretched to the length that the SVG fixes, so that both look alike
whichever fonts the machine has.
"""

from __future__ import annotations

import base64
import io
from typing import Any

from autodiff.extras import require

from .dot import edge_label, heading
from .layered import Layout, layered
from .sheet import DARK, LIGHT, arrow_head, corner_radius, family, heading_places, lines_of, sheet_of
from .style import box_of, text_width
from .view import GraphView

__all__ = ["to_paper"]

_DASHES = {"carry": (0, (6, 3)), "link": (0, (1.5, 3.5))}


class _Paper:
    """A sheet of so many points, with the vertical axis down, as SVG has it."""

    def __init__(self, width: float, height: float, dark: bool) -> None:
        figure = require("matplotlib.figure")
        self.patches, self.path = require("matplotlib.patches"), require("matplotlib.path").Path
        self.text_path, self.font = require("matplotlib.textpath").TextPath, require("matplotlib.font_manager")
        self.affine = require("matplotlib.transforms").Affine2D
        self.dark, self.page = dark, DARK if dark else LIGHT
        self.figure = figure.Figure(figsize=(width / 72, height / 72), facecolor=self.page["page"])
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(height, 0)
        self.axes.set_axis_off()

    def colours(self, key: str) -> tuple[str, str]:
        """Fill and line of a family."""
        found = family(key)
        return (found.dark_fill, found.dark_line) if self.dark else (found.fill, found.line)

    def rect(self, left: float, top: float, width: float, height: float, radius: float, **look: Any) -> None:
        style = f"round,pad=0,rounding_size={min(radius, width / 2, height / 2)}"
        self.axes.add_patch(self.patches.FancyBboxPatch((left, top), width, height, boxstyle=style, **look))

    def line(self, vertices: list[tuple[float, float]], curved: bool = False, **look: Any) -> None:
        code = self.path.CURVE4 if curved else self.path.LINETO
        found = self.path(vertices, [self.path.MOVETO, *[code] * (len(vertices) - 1)])
        self.axes.add_patch(self.patches.PathPatch(found, fill=False, **look))

    def write(
        self, text: str, x: float, y: float, size: float, colour: str, bold: bool, middle: bool, most: float = 0.0
    ) -> None:
        """One line of text from ``x`` on, or around it, stretched to its computed length."""
        if not text.strip():
            return
        length = text_width(text, size, bold)
        length = min(length, most) if most else length
        # matplotlib carries this font with it: the same file on every machine.
        font = self.font.FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
        glyphs = self.text_path((0, 0), text.replace("$", r"\$"), size=size, prop=font)
        extent = glyphs.get_extents()
        stretch = length / extent.width if extent.width else 1.0
        move = self.affine().translate(-extent.x0, 0).scale(stretch, -1).translate(x - length / 2 if middle else x, y)
        self.axes.add_patch(self.patches.PathPatch(move.transform_path(glyphs), facecolor=colour, linewidth=0))

    def image(self, uri: str, left: float, top: float, width: float, height: float) -> None:
        data = require("matplotlib.image").imread(io.BytesIO(base64.b64decode(uri.partition(",")[2])), format="png")
        self.axes.imshow(
            data, extent=(left, left + width, top + height, top), interpolation="nearest", aspect="auto", zorder=5
        )


def to_paper(view: GraphView, format: str, *, rankdir: str = "TB", theme: str = "auto") -> bytes:
    """A picture as PDF, or as PNG of 144 dots an inch. Its theme is "dark", or light for anything else: paper does not
    follow a reader's setting.

    Examples
    --------
    >>> from autodiff.viz.view import NodeView
    >>> to_paper(GraphView((NodeView("n0", "x"),)), "png")[1:4]
    b'PNG'
    """
    view = view.visible()
    layout = layered(view, rankdir)
    sheet = sheet_of(view, layout)
    paper = _Paper(sheet.width, sheet.height, theme == "dark")
    for line, x, y in sheet.title:
        paper.write(line, x, y, 15, paper.page["ink"], True, False)
    for key, x, y in sheet.legend:
        fill, edge = paper.colours(key)
        paper.rect(x, y, 12, 10, 3, facecolor=fill, edgecolor=edge, linewidth=1.2)
        paper.write(family(key).title, x + 17, y + 9, 10.5, paper.page["soft"], False, False)
    _graph(paper, view, layout, *sheet.graph)
    for line, x, y in sheet.note:
        paper.write(line, x, y, 10.5, paper.page["soft"], False, False)
    found = io.BytesIO()
    # No date and no version: the same picture is the same file.
    paper.figure.savefig(
        found,
        format=format,
        dpi=144,
        metadata={"CreationDate": None, "Producer": None, "Creator": None} if format == "pdf" else {"Software": None},
    )
    return found.getvalue()


def _graph(paper: _Paper, view: GraphView, layout: Layout, dx: float, dy: float) -> None:
    headings = heading_places(view, layout)
    for cluster in view.clusters:
        place = layout.clusters.get(cluster.id)
        if place is None:
            continue
        start, room = headings[cluster.id]
        left, top, right, bottom = place[0] + dx, place[1] + dy, place[2] + dx, place[3] + dy
        fill, line = paper.colours(cluster.family)
        look: dict[str, Any] = {
            "facecolor": paper.page["tint"],
            "edgecolor": paper.page["frame"],
            "linewidth": 2 if cluster.kind == "repeat" else 1,
        }
        if cluster.kind == "fused":
            look = {"facecolor": fill, "edgecolor": line, "linestyle": (0, (5, 3)), "linewidth": 1}
        elif cluster.kind == "side":
            look["facecolor"] = "none"
        paper.rect(left, top, right - left, bottom - top, 8, **look)
        for i, text in enumerate(heading(cluster)):
            size, colour = (10.5, paper.page["soft"]) if i else (12.0, paper.page["ink"])
            paper.write(text, start + dx, top + 17 + 15 * i, size, colour, not i, False, room)
    for edge in view.edges:
        drawn = layout.edges.get(edge.id)
        if drawn is None:
            continue
        points, tip, middle = drawn
        family = "alert" if edge.alert else "loss" if edge.kind == "gradient" else ""
        colour = paper.colours(family)[1] if family else paper.page["frame" if edge.kind == "link" else "edge"]
        paper.line(
            [(x + dx, y + dy) for x, y in points],
            len(points) % 3 == 1,
            edgecolor=colour,
            linewidth=2.2 if edge.alert else 1.1,
            linestyle=_DASHES.get(edge.kind, "solid"),
        )
        if tip is not None:
            corners = [(x + dx, y + dy) for x, y in arrow_head(edge, points, tip)]
            paper.axes.add_patch(paper.patches.Polygon(corners, closed=True, facecolor=colour, linewidth=0))
        label = edge_label(edge)
        if label and middle is not None:
            paper.write(label, middle[0] + dx, middle[1] + dy + 3.5, 10, paper.page["soft"], False, True)
    for node in view.nodes:
        box = box_of(node)
        x, y = layout.nodes[node.id]
        left, top = x + dx - box.width / 2, y + dy - box.height / 2
        fill, line = paper.colours("alert" if node.alert else node.family)
        radius = corner_radius(node, box)
        thick = 2.6 if node.alert else {"fused": 2.0, "parameter": 1.8, "gradient": 1.8}.get(node.kind, 1.2)
        look = {
            "facecolor": fill,
            "edgecolor": line,
            "linewidth": thick,
            "linestyle": (0, (4, 3)) if node.kind == "constant" else "solid",
        }
        behind = (6, 3, 0) if node.kind == "fold" and node.times > 1 else (0,)
        for back in behind:
            paper.rect(left + back, top - back, box.width, box.height, radius, **look)
        if node.kind == "fused":
            for bar in (left + 6, left + box.width - 6):
                paper.line([(bar, top), (bar, top + box.height)], edgecolor=line, linewidth=1.2)
        for text, size, bold, kind, baseline in lines_of(box, top):
            soft = paper.page["soft" if kind in ("shape", "row") else "ink"]
            colour = paper.colours("alert")[1] if kind == "alert" else soft
            paper.write(text, x + dx, baseline, size, colour, bold, True)
        for heat, shift, up, wide, high in box.maps:
            paper.image(heat.uri, x + dx + shift, top + box.height - up, wide, high)
