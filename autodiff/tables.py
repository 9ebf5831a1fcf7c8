"""What notebooks show: tables, and figures that need no magic line."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autodiff.extras import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def html_table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[Any]], below: Sequence[str] = ()) -> str:
    """A table as HTML, in the notebook's own style.

    Parameters
    ----------
    caption : str
    headings : sequence of str
    rows : sequence of sequences
        Cells; None is an empty one, floats get four significant digits.
    below : sequence of str
        Lines of text under the table.

    Examples
    --------
    >>> html_table("a < b", ["a"], [[0.5], [None]])
    '<p><b>a &lt; b</b></p><table><tr><th>a</th></tr><tr><td>0.5</td></tr><tr><td></td></tr></table>'
    """

    def cell(value: Any) -> str:
        text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
        return f"<td>{html.escape(text)}</td>"

    lines = [f"<p><b>{html.escape(caption)}</b></p><table><tr>"]
    lines += [f"<th>{html.escape(heading)}</th>" for heading in headings] + ["</tr>"]
    lines += ["<tr>" + "".join(cell(value) for value in row) + "</tr>" for row in rows]
    lines += ["</table>", *(f"<p>{html.escape(line)}</p>" for line in below)]
    return "".join(lines)


def figure(**options: Any) -> Figure:
    """A matplotlib figure that needs no display, leaves pyplot's state alone, and shows itself in a notebook, where
    ``%matplotlib`` was never said.

    Parameters
    ----------
    **options
        As of ``matplotlib.figure.Figure``.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    made: Any = require("matplotlib.figure").Figure(**options)

    def png() -> bytes:
        held = io.BytesIO()
        made.savefig(held, format="png")
        return held.getvalue()

    # IPython asks the object itself.
    made._repr_png_ = png
    drawn: Figure = made
    return drawn
