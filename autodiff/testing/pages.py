"""The page that ``--grad-report`` writes: every gradient case and its outcome, as Markdown or as one HTML file without
anything else.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autodiff.files import replacing

__all__ = ["Case", "page_html", "page_markdown", "write_page"]


@dataclass(frozen=True)
class Case:
    """One gradient case that was run: ``node`` is pytest's name of the test, ``outcome`` "passed", "failed" or
    "skipped", ``message`` a failure's report with its reproducing line.
    """

    operation: str
    dtype: str
    layout: str
    order: int
    outcome: str
    seconds: float
    node: str
    message: str = ""


def _summary(cases: Sequence[Case], missing: Sequence[str]) -> str:
    failed = sum(case.outcome == "failed" for case in cases)
    operations = len({case.operation for case in cases})
    words = f"{len(cases)} gradient cases of {operations} operations, {failed} failed"
    return words + (f"; without a case: {', '.join(missing)}" if missing else "")


def write_page(target: Path, cases: Sequence[Case], missing: Sequence[str]) -> None:
    """Write the page, as HTML if the name ends so; ``missing`` names the operations without a case."""
    page = page_html if target.suffix.lower() in (".html", ".htm") else page_markdown
    with replacing(target) as file:
        file.write(page(cases, missing).encode())


def page_markdown(cases: Sequence[Case], missing: Sequence[str]) -> str:
    """The page as Markdown.

    Examples
    --------
    >>> case = Case("tanh", "float64", "contiguous", 1, "passed", 0.01, "t.py::t")
    >>> print(page_markdown([case], ["erf"]).splitlines()[2])
    1 gradient cases of 1 operations, 0 failed; without a case: erf
    """
    head = "| operation | dtype | layout | order | outcome | seconds | case |"
    lines = ["# Gradient cases", "", _summary(cases, missing), "", head, "|" + " --- |" * 7]
    lines += [
        f"| {c.operation} | {c.dtype} | {c.layout} | {c.order} | {c.outcome} | {c.seconds:.2f} | `{c.node}` |"
        for c in cases
    ]
    for case in cases:
        if case.message:
            lines += ["", f"## {case.node}", "", "```text", case.message, "```"]
    return "\n".join(lines) + "\n"


_STYLE = """body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1f2328}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #d8dee4}
.passed{color:#1a7f37}.failed{color:#cf222e;font-weight:600}.skipped{color:#9a6700}pre{background:#f6f8fa;padding:.8rem;overflow:auto}"""


def page_html(cases: Sequence[Case], missing: Sequence[str]) -> str:
    """The page as HTML; failures first, each with its report folded below it."""
    rows = []
    for case in sorted(cases, key=lambda c: (c.outcome != "failed", c.operation, c.node)):
        cells = (case.operation, case.dtype, case.layout, str(case.order))
        told = f"<details><summary><code>{html.escape(case.node)}</code></summary><pre>{html.escape(case.message)}</pre></details>"  # noqa: E501
        node = told if case.message else f"<code>{html.escape(case.node)}</code>"
        rows.append(
            "<tr>"
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
            + f'<td class="{case.outcome}">{case.outcome}</td><td>{case.seconds:.2f}</td><td>{node}</td></tr>'
        )
    heads = "".join(
        f"<th>{head}</th>" for head in ("operation", "dtype", "layout", "order", "outcome", "seconds", "case")
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Gradient cases</title><style>{_STYLE}</style>'
        f"<h1>Gradient cases</h1><p>{html.escape(_summary(cases, missing))}</p><table><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></html>\n"
    )
