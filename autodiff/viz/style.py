"""How things look: colours by family of operation, sizes of boxes, and text made safe.

The colours are those of Okabe and Ito (2008), moved until any two differ for readers with any common colour blindness
and every outline and word has the contrast that WCAG 2.2 asks for, which a test holds; colour is never the only sign,
since kind is also told by shape and by words. Widths of text are computed from the advance widths
of Helvetica (and of its metric twins Arial and Liberation Sans), and the SVG fixes every line to its computed length,
so text stays in its box whichever font the reader's machine has.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from .view import HeatMap, NodeView

__all__ = [
    "ALERT",
    "FAMILIES",
    "LINE_GAP",
    "ROW_SIZE",
    "TITLE_SIZE",
    "WIDEST",
    "Box",
    "Family",
    "box_of",
    "clean",
    "ellipsis",
    "pill",
    "shape_text",
    "text_width",
]


@dataclass(frozen=True, slots=True)
class Family:
    """The name of a family of operations in the legend, and its colours on a light and on a dark page."""

    title: str
    fill: str
    line: str
    dark_fill: str
    dark_line: str


#: The colours by key; the key of an operation is decided in :func:`autodiff.viz.snapshot.family_of`.
FAMILIES: dict[str, Family] = {
    "elementwise": Family("elementwise", "#f5fbfe", "#2e94cf", "#12303f", "#56b4e9"),
    "activation": Family("activation", "#cddff4", "#0171b0", "#0f2942", "#3690de"),
    "reduction": Family("reduction", "#fffef8", "#9d8c01", "#38340d", "#efe341"),
    "shape": Family("shape and index", "#eeeff1", "#5d646c", "#2a2f36", "#99a4b0"),
    "linear": Family("linear algebra", "#fdefd2", "#b77a01", "#3c2d0a", "#e49e02"),
    "normalization": Family("normalization", "#d8f1e8", "#01966e", "#0b3328", "#2cc596"),
    "loss": Family("loss", "#fbeff5", "#c56a9d", "#150b11", "#dd90ba"),
    "random": Family("random", "#f7f5fb", "#6e54c2", "#13111c", "#a895e0"),
    "module": Family("folded", "#ffffff", "#57606a", "#20262d", "#8b949e"),
    "leaf": Family("parameter", "#ffffff", "#24292f", "#161b22", "#e6edf3"),
    "constant": Family("constant", "#ffffff", "#7d858e", "#161b22", "#7d8590"),
}

#: Line and fill of what is not finite, on a light and on a dark page (vermillion of the same palette, darkened).
ALERT = Family("not finite or failed", "#ffe3d6", "#ac3601", "#4a1a06", "#fe7b46")

# Advance widths in thousandths of the font size for the characters from space to tilde.
_REGULAR = tuple(
    int(width)
    for width in (
        "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 556 556 "
        "278 278 584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 722 778 667 778 722 667 "
        "611 722 667 944 667 667 611 278 278 278 469 556 333 556 556 500 556 556 278 556 556 222 222 500 222 833 "
        "556 556 556 556 333 500 278 556 500 722 500 500 500 334 260 334 584"
    ).split()
)
_BOLD = tuple(
    int(width)
    for width in (
        "278 333 474 556 556 889 722 238 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 556 556 "
        "333 333 584 584 584 611 975 722 722 722 722 667 611 778 722 278 556 722 611 833 722 778 667 778 722 667 "
        "611 722 667 944 667 667 611 333 278 333 584 556 333 556 611 556 611 556 333 611 611 278 278 556 278 889 "
        "611 611 611 611 389 556 333 611 556 778 556 556 500 389 280 389 584"
    ).split()
)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of a line of text in points, the sum of its advance widths; East Asian wide characters count 1 em,
    other unknown ones 0.7 em.

    Examples
    --------
    >>> text_width("ii", 10) < text_width("mm", 10)
    True
    """
    table = _BOLD if bold else _REGULAR
    total = 0
    for character in text:
        code = ord(character) - 32
        if 0 <= code < len(table):
            total += table[code]
        elif unicodedata.combining(character):
            continue
        else:
            total += 1000 if unicodedata.east_asian_width(character) in "WF" else 700
    return total * size / 1000


def clean(text: object) -> str:
    """Text without characters that XML forbids or that would break a line or turn its direction: control and formatting
    characters, lone surrogates and unassigned code points become U+FFFD, white space plain spaces.

    Examples
    --------
    >>> clean("a\\tb\\x00")
    'a b\\ufffd'
    """
    string = str(text)
    if string.isascii() and string.isprintable():
        return string
    return "".join(
        character if character.isprintable() else (" " if character.isspace() else "\ufffd") for character in string
    )


def ellipsis(text: str, length: int) -> str:
    """A text shortened to so many characters, at least 3, with its start and its end kept.

    Examples
    --------
    >>> ellipsis("abcdefghij", 7)
    'abc…hij'
    """
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"


def shape_text(shape: tuple[int, ...] | None, dtype: str | None) -> str:
    """Such as ``"64×10 float32"``, or ``"scalar float64"``; empty if nothing is known.

    Examples
    --------
    >>> shape_text((64, 10), "float32")
    '64×10 float32'
    """
    if shape is None:
        return dtype or ""
    size = "×".join(map(str, shape)) if shape else "scalar"
    return f"{size} {dtype}" if dtype else size


def pill(node: NodeView) -> bool:
    """Whether a node is drawn with round ends, as leaves are.

    Examples
    --------
    >>> pill(NodeView("n0", "W", kind="parameter"))
    True
    """
    return node.kind in ("parameter", "port", "gradient")


@dataclass(frozen=True, slots=True)
class Box:
    """The size of a box in points, and what stands in it."""

    width: float
    height: float
    #: Text, font size, bold, and style class (``title``, ``name``, ``shape``, ``row`` or ``alert``).
    lines: tuple[tuple[str, float, bool, str], ...]
    #: Each small picture below, its left edge from the middle of the box, its top from the bottom, width and height.
    maps: tuple[tuple[HeatMap, float, float, float, float], ...] = ()


TITLE_SIZE = 13.0
ROW_SIZE = 10.5
LINE_GAP = 4.0
_LONGEST = 44
#: Longest array, in characters, that is written out in a box.
WIDEST = 34
#: The longer side of a heat map in a box, and the room around it.
MAP_SIDE, MAP_GAP = 64.0, 6.0


def box_of(node: NodeView) -> Box:
    """The lines and the size of a node's box.

    Examples
    --------
    >>> box_of(NodeView("n0", "exp", shape=(3,), dtype="float64")).lines[0][0]
    'exp'
    """
    title = ellipsis(clean(node.label), _LONGEST)
    if node.times > 1:
        title = f"{title}  ×{node.times}"
    lines = [(title, TITLE_SIZE, True, "title")]
    if node.name and clean(node.name) != clean(node.label):
        lines.append((ellipsis(clean(node.name), _LONGEST), ROW_SIZE, True, "name"))
    facts = shape_text(node.shape, node.dtype)
    if facts and node.kind != "port":
        lines.append((ellipsis(facts, _LONGEST), ROW_SIZE, False, "shape"))
    lines.extend((ellipsis(clean(row), _LONGEST), ROW_SIZE, False, "row") for row in node.rows)
    if node.alert:
        lines.append((f"⚠ {clean(node.alert)}", ROW_SIZE, True, "alert"))
    inner = max(text_width(text, size, bold) for text, size, bold, _ in lines)
    height = sum(size + LINE_GAP for _, size, _, _ in lines) + 10
    if node.kind == "port" and len(lines) == 1:
        return Box(max(inner + 16, 26), 22, tuple(lines))
    margin = 30 if pill(node) else (34 if node.kind == "fused" else 22)
    sizes = [heat.size(MAP_SIDE) for heat in node.maps]
    across = sum(width + MAP_GAP for width, _ in sizes) - MAP_GAP
    tall = max((size[1] for size in sizes), default=0.0)
    maps, left = [], -across / 2
    for heat, (width, high) in zip(node.maps, sizes, strict=True):
        maps.append((heat, left, tall + MAP_GAP - (tall - high) / 2, width, high))
        left += width + MAP_GAP
    if maps:
        inner, height = max(inner, across), height + tall + MAP_GAP
    return Box(round(max(inner + margin, 54), 1), round(height, 1), tuple(lines), tuple(maps))
