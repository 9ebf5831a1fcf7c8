"""The textbook formula of an operation's value and of its derivatives, for readers and for the page's own arithmetic.

The engine's rules are written for accuracy over the whole range (``logistic_density_of(x)``); a reader wants the
formula that stands in a book (``out (1 - out)``). A test compares every formula here with the operation that it is said
of.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import Any

__all__ = ["TEXTBOOK", "formula_of", "tree"]

#: Name of an operation: its value, and its derivative with respect to each input. ``out`` is the value, ``n`` the
#: number of elements of the input.
TEXTBOOK: dict[str, tuple[str, tuple[str, ...]]] = {
    "add": ("x + y", ("1", "1")),
    "subtract": ("x - y", ("1", "-1")),
    "multiply": ("x * y", ("y", "x")),
    "divide": ("x / y", ("1 / y", "-x / y**2")),
    "negative": ("-x", ("-1",)),
    "power": ("x**y", ("y * x**(y - 1)", "out * log(x)")),
    "square": ("x**2", ("2 * x",)),
    "sqrt": ("sqrt(x)", ("1 / (2 * out)",)),
    "reciprocal": ("1 / x", ("-1 / x**2",)),
    "exp": ("exp(x)", ("out",)),
    "exp2": ("2**x", ("out * log(2)",)),
    "expm1": ("exp(x) - 1", ("exp(x)",)),
    "log": ("log(x)", ("1 / x",)),
    "log2": ("log(x) / log(2)", ("1 / (x * log(2))",)),
    "log10": ("log(x) / log(10)", ("1 / (x * log(10))",)),
    "log1p": ("log(1 + x)", ("1 / (1 + x)",)),
    "sin": ("sin(x)", ("cos(x)",)),
    "cos": ("cos(x)", ("-sin(x)",)),
    "tan": ("tan(x)", ("1 + out**2",)),
    "arcsin": ("arcsin(x)", ("1 / sqrt(1 - x**2)",)),
    "arccos": ("arccos(x)", ("-1 / sqrt(1 - x**2)",)),
    "arctan": ("arctan(x)", ("1 / (1 + x**2)",)),
    "arctan2": ("arctan2(y, x)", ("x / (x**2 + y**2)", "-y / (x**2 + y**2)")),
    "sinh": ("sinh(x)", ("cosh(x)",)),
    "cosh": ("cosh(x)", ("sinh(x)",)),
    "tanh": ("tanh(x)", ("1 - out**2",)),
    "hypot": ("sqrt(x**2 + y**2)", ("x / out", "y / out")),
    "absolute": ("abs(x)", ("sign(x)",)),
    "maximum": ("max(x, y)", ("step(x - y)", "step(y - x)")),
    "minimum": ("min(x, y)", ("step(y - x)", "step(x - y)")),
    "sigmoid": ("1 / (1 + exp(-x))", ("out * (1 - out)",)),
    "softplus": ("log(1 + exp(x))", ("1 / (1 + exp(-x))",)),
    "silu": ("x / (1 + exp(-x))", ("(1 + x + exp(x)) * exp(x) / (1 + exp(x))**2",)),
    "relu": ("max(x, 0)", ("positive(x)",)),
    "sum": ("sum(x)", ("1",)),
    "mean": ("sum(x) / n", ("1 / n",)),
}

#: For operations on whole arrays a reader is helped by the rule; the page does not compute with these.
_ARRAYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "matmul": ("x @ y", ("g @ transpose(y)", "transpose(x) @ g")),
    "transpose": ("transpose(x)", ("transpose(g)",)),
}

_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "^", ast.MatMult: "@"}


@lru_cache(maxsize=512)
def tree(text: str) -> Any:
    """An expression as nested lists, operator first, which the page draws as mathematics and computes with.

    Examples
    --------
    >>> tree("-x / y**2")
    ['/', ['neg', 'x'], ['^', 'y', 2]]
    >>> tree("cos(x)")
    ['cos', 'x']
    """
    return _tree(ast.parse(text, mode="eval").body)


def _tree(node: ast.expr) -> Any:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return ["neg", _tree(operand)]
        case ast.BinOp(left=left, op=op, right=right):
            return [_OPERATORS[type(op)], _tree(left), _tree(right)]
        case ast.Call(func=ast.Name(id=name), args=args):
            return [name, *map(_tree, args)]
    raise ValueError(f"no formula: {ast.unparse(node)}")


def formula_of(name: str) -> dict[str, Any] | None:
    """What the page is told of an operation: the trees of its value and of its derivatives, and whether it may compute
    with them; None where there is no formula.

    Examples
    --------
    >>> formula_of("multiply")
    {'value': ['*', 'x', 'y'], 'slopes': ['y', 'x'], 'computes': True}
    """
    computes = name in TEXTBOOK
    found = TEXTBOOK.get(name) or _ARRAYS.get(name)
    if found is None:
        return None
    value, slopes = found
    return {"value": tree(value), "slopes": [tree(slope) for slope in slopes], "computes": computes}
