"""What a gradient rule says, as text: in the words of a textbook, which a test holds to the operation; else read off
the rule's own source, so that pictures and arithmetic cannot disagree.
"""

from __future__ import annotations

import ast
import linecache
import re
from functools import cache, lru_cache
from types import CodeType
from typing import Any

import numpy as np

from autodiff.viz.formulas import TEXTBOOK, tree

__all__ = ["number_text", "rule_text", "substituted"]

_MOST = 90


@cache
def _source(code: CodeType) -> str:
    """The expression that a lambda returns; empty for anything else."""
    if code.co_name != "<lambda>":
        return ""
    spans = [
        (a, c, b, d)
        for a, b, c, d in code.co_positions()
        if a is not None and None not in (b, c, d) and (a, c) != (b, d)
    ]
    if not spans:
        return ""
    (top, left), (bottom, right) = min((a, c) for a, c, _, _ in spans), max((b, d) for _, _, b, d in spans)
    lines = [line.encode() for line in linecache.getlines(code.co_filename)[top - 1 : bottom]]  # type: ignore[operator]
    if len(lines) != bottom - top + 1:  # type: ignore[operator]
        return ""
    lines[-1] = lines[-1][:right]
    lines[0] = lines[0][left:]
    text = " ".join(part.decode("utf-8", "replace").strip() for part in lines)
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError:
        return ""
    return ast.unparse(_Plain().visit(tree.body if isinstance(tree, ast.Lambda) else tree))


class _Plain(ast.NodeTransformer):
    """The library's helpers as a reader would write them: ``quotient(a, b)`` is ``a / b``, ``bare(x)`` is ``x``,
    ``np.cos`` is ``cos``.
    """

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == "quotient" and len(node.args) == 2:
            return ast.BinOp(node.args[0], ast.Div(), node.args[1])
        return node.args[0] if name == "bare" and len(node.args) == 1 else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        module = node.value.id if isinstance(node.value, ast.Name) else ""
        return ast.Name(node.attr) if module in ("np", "numpy", "s") else node


# Rules of several statements, in the words of a textbook.
_SPELLED = {
    "matmul": ("g @ yᵀ", "xᵀ @ g"),
    "einsum": ("einsum of g and the other operands",),
    "max": ("g where x is the largest, else 0",),
    "min": ("g where x is the smallest, else 0",),
    "cumsum": ("the sum of g from the end",),
    "concatenate": ("its own part of g",),
    "stack": ("its own part of g",),
    "getitem": ("g at the index, 0 elsewhere",),
    "var": ("g * 2 * (x - mean(x)) / n",),
    "std": ("g * (x - mean(x)) / (n * out)",),
    "prod": ("g * out / x",),
    "pad": ("g without the border",),
    "sum": ("g, repeated to the shape of x",),
    "mean": ("g / n, repeated to the shape of x",),
    "set_at": ("g, 0 at the index", "g at the index"),
    "maximum": ("g where x > y, else 0", "g where y > x, else 0"),
    "minimum": ("g where x < y, else 0", "g where y < x, else 0"),
}


def _textbook(op: Any, slot: int) -> str:
    """What arrived times the derivative, as a textbook writes it; empty without one."""
    if op.name not in TEXTBOOK:
        return ""
    slope = TEXTBOOK[op.name][1][slot]
    sign, slope = ("-", slope[1:]) if slope.startswith("-") else ("", slope)
    if slope == "1" or slope.startswith("1 / "):
        return f"{sign}g{slope[1:]}"
    return f"{sign}g * ({slope})" if tree(slope)[0] in ("+", "-") else f"{sign}g * {slope}"


@lru_cache(maxsize=4096)
def rule_text(op: Any, slot: int) -> str:
    """How an operation computes the gradient that it sends to input ``slot``: ``g`` is the gradient that arrived,
    ``out`` the output, the other names are inputs. Empty where there is nothing short to say.

    Examples
    --------
    >>> from autodiff.core.op import registry
    >>> rule_text(registry["sin"], 0)
    'g * cos(x)'
    """
    if op.fused:
        return f"hand-derived: {op.formula}" if op.formula.startswith("d") else "hand-derived"
    rules = getattr(op, "rules", None)
    if rules is None:
        return "g"
    if not rules:
        return "the program's own rule"  # custom_vjp, custom_jvp
    spelled = _SPELLED.get(op.name, ())
    if spelled:
        return spelled[min(slot, len(spelled) - 1)]
    rule = rules[0] if op.variadic else rules[slot]
    code = getattr(rule, "__code__", None)
    if code is None:
        return ""
    text = _textbook(op, slot) or _source(code)
    if not text:
        text = (getattr(rule, "__doc__", None) or "").strip().partition("\n")[0]
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"


def number_text(array: Any, most: int = 6, digits: int = 5) -> str:
    """A number, or an array of at most ``most`` numbers, as text of so many significant digits; empty for a larger one.

    Examples
    --------
    >>> number_text(np.array([1.0, 0.25])), number_text(3.0), number_text(np.zeros(100))
    ('[1, 0.25]', '3', '')
    """
    array = np.asarray(array)
    if array.size > most or array.dtype.kind not in "biufc":
        return ""
    return _nested(array.tolist(), digits)


def _nested(value: Any, digits: int) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_nested(item, digits) for item in value) + "]"
    return str(value) if isinstance(value, bool) else f"{value:.{digits}g}"


def substituted(op: Any, slot: int, g: Any, out: Any, inputs: tuple[Any, ...]) -> str:
    """The rule with numbers in place of names, where all of them are small; else empty.

    Examples
    --------
    >>> from autodiff.core.op import registry
    >>> substituted(registry["multiply"], 0, np.array(2.0), np.array(15.0), (np.array(3.0), np.array(5.0)))
    '2 * 5'
    """
    rules = getattr(op, "rules", None)
    if op.fused or rules is None or op.variadic or op.name in _SPELLED or len(inputs) != len(rules):
        return ""
    code = getattr(rules[slot], "__code__", None)
    text = _textbook(op, slot)
    names = ("g", "out", *op.inputs) if text else getattr(code, "co_varnames", ())
    text = text or (_source(code) if code is not None else "")
    if not text:
        return ""
    values: dict[str, str] = {}
    for name, value in zip(names, (g, out, *inputs), strict=False):
        if re.search(rf"\b{name}\b", text) is None:
            continue
        shown = "" if value is None or isinstance(value, list | tuple) else number_text(value, 4)
        if not shown:
            return ""
        values[name] = f"({shown})" if shown.startswith("-") else shown
    if not values:
        return ""
    # A name followed by "=" names an argument, one after a dot an attribute.
    return re.sub(
        r"(?<![\w.])(" + "|".join(map(re.escape, values)) + r")\b(?!\s*=[^=])", lambda m: values[m.group(1)], text
    )
