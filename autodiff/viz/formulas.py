"""The textbook formula of an operation's value and of its derivatives, for readers and for the page's own arithmetic.

The engine's rules are written for accuracy over the whole range (``logistic_density_of(x)``); a reader wants the
formula that stands in a book (``out (1 - out)``). A test compares every formula here with the operation that it is said
of.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from typing import Any

__all__ = ["TEXTBOOK", "formula_of", "rank_of", "tree", "typeset"]

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

#: What the page computes with where the textbook's form loses digits or overflows; everything else as above.
_ARITHMETIC: dict[str, tuple[str, tuple[str, ...]]] = {
    "divide": ("x / y", ("1 / y", "-out / y")),
    "reciprocal": ("1 / x", ("-out * out",)),
    "expm1": ("expm1(x)", ("exp(x)",)),
    "log1p": ("log1p(x)", ("1 / (1 + x)",)),
    "log2": ("log2(x)", ("1 / (x * log(2))",)),
    "log10": ("log10(x)", ("1 / (x * log(10))",)),
    "arcsin": ("arcsin(x)", ("1 / sqrt((1 - x) * (1 + x))",)),
    "arccos": ("arccos(x)", ("-1 / sqrt((1 - x) * (1 + x))",)),
    "arctan2": (
        "arctan2(y, x)",
        ("ratio(ratio(x, hypot(x, y)), hypot(x, y))", "ratio(ratio(-y, hypot(x, y)), hypot(x, y))"),
    ),
    "tanh": ("tanh(x)", ("1 / cosh(x)**2",)),
    "hypot": ("hypot(x, y)", ("ratio(x, out)", "ratio(y, out)")),
    "power": ("x**y", ("y * lowered(x, y)", "out * logged(x)")),
    "sigmoid": ("logistic(x)", ("logistic(x) * logistic(-x)",)),
    "softplus": ("softplus(x)", ("logistic(x)",)),
    "silu": ("x * logistic(x)", ("logistic(x) * (1 + x * logistic(-x))",)),
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
    """What the page is told of an operation: its value and its derivatives in MathML, the trees of the derivatives, and
    the trees that it computes with, none where it may not; None where there is no formula.

    Examples
    --------
    >>> formula_of("exp")["value"]
    '<mrow><mi>out</mi><mo>=</mo><msup><mi>e</mi><mi>x</mi></msup></mrow>'
    >>> formula_of("multiply")["written"], formula_of("multiply")["arithmetic"]
    (['y', 'x'], (['*', 'x', 'y'], ['y', 'x']))
    >>> formula_of("transpose")["arithmetic"]
    """
    found = TEXTBOOK.get(name) or _ARRAYS.get(name)
    if found is None:
        return None
    (value, slopes), (own_value, own_slopes) = found, _ARITHMETIC.get(name, found)
    written = [tree(slope) for slope in slopes]
    return {
        "value": typeset(["=", "out", tree(value)]),
        "slopes": [typeset(slope) for slope in written],
        "written": written,
        "arithmetic": None if name in _ARRAYS else (tree(own_value), [tree(slope) for slope in own_slopes]),
    }


#: How each operation is written: in MathML, which browsers draw, and in LaTeX, which Markdown shows.
_MARKS: dict[str, tuple[str, str]] = {
    "=": ("<mrow>{}<mo>=</mo>{}</mrow>", "{} = {}"),
    "+": ("<mrow>{}<mo>+</mo>{}</mrow>", "{} + {}"),
    "-": ("<mrow>{}<mo>−</mo>{}</mrow>", "{} - {}"),
    "*": ("<mrow>{}<mo>·</mo>{}</mrow>", r"{} \cdot {}"),
    "@": ("<mrow>{}{}</mrow>", r"{} \, {}"),
    "/": ("<mfrac>{}{}</mfrac>", r"\frac{{{}}}{{{}}}"),
    "^": ("<msup>{}{}</msup>", "{{{}}}^{{{}}}"),
    "neg": ("<mrow><mo>−</mo>{}</mrow>", "-{}"),
    "sqrt": ("<msqrt>{}</msqrt>", r"\sqrt{{{}}}"),
    "exp": ("<msup><mi>e</mi>{}</msup>", "e^{{{}}}"),
    "abs": ("<mrow><mo>|</mo>{}<mo>|</mo></mrow>", r"\left|{}\right|"),
    "transpose": ("<msup>{}<mi>T</mi></msup>", "{{{}}}^{{T}}"),
    "sum": ("<mrow><mo>∑</mo>{}</mrow>", r"\sum {}"),
    "positive": ("<mrow><mo>[</mo>{}<mo>&gt;</mo><mn>0</mn><mo>]</mo></mrow>", r"[{} > 0]"),
    "bracket": ("<mrow><mo>(</mo>{}<mo>)</mo></mrow>", r"\left({}\right)"),
}
_MARKS["step"] = _MARKS["positive"]
_RANKS: dict[str, float] = {"+": 1, "-": 1, "neg": 2, "sum": 2.5, "*": 3, "@": 3, "/": 8, "^": 6}
#: How tightly each operand has to bind to stand without brackets.
_LEAST: dict[str, tuple[float, ...]] = {
    "+": (0, 2),
    "-": (0, 2.5),
    "neg": (2.5,),
    "*": (3, 4),
    "@": (3, 4),
    "^": (9, 0),
    "transpose": (9,),
    "sum": (2.5,),
}


def typeset(formula: Any, latex: bool = False) -> str:
    """A formula as mathematics: MathML, or LaTeX.

    Examples
    --------
    >>> typeset(tree("x / (1 + exp(-x))"), latex=True)
    '\\\\frac{x}{1 + e^{-x}}'
    >>> typeset(tree("sum(x, n)"))
    '<mrow><munder><mo>∑</mo><mrow><mi>n</mi></mrow></munder><mi>x</mi></mrow>'
    """
    if not isinstance(formula, list):
        return _word(formula, latex)
    op, *parts = formula
    marks = _MARKS.get(op)
    if op in ("sum", "mean") and len(parts) > 1:
        over = "<mo>,</mo>".join(_word(part, False) for part in parts[1:])
        if latex:
            head = (r"\sum" if op == "sum" else r"\operatorname{mean}") + f"_{{{', '.join(parts[1:])}}}"
        else:
            head = f"<munder>{'<mo>∑</mo>' if op == 'sum' else '<mi>mean</mi>'}<mrow>{over}</mrow></munder>"
        marks = (f"<mrow>{head}{{}}</mrow>", head.replace("{", "{{").replace("}", "}}") + " {}")
        parts = parts[:1]
    if marks is None:
        called = _word("ln" if op == "log" else op, latex)
        inner = (", " if latex else "<mo>,</mo>").join(typeset(part, latex) for part in parts)
        bracketed = _MARKS["bracket"][latex].format(inner)
        return f"{called}{bracketed}" if latex else f"<mrow>{called}{bracketed}</mrow>"

    def operand(place: int, part: Any) -> str:
        drawn = typeset(part, latex)
        least = 10 if op == "mean" else (*_LEAST.get(op, ()), 0, 0)[place]
        # A sign in front of a product is the product's.
        bare = rank_of(part) >= least or (op == "*" and not place and isinstance(part, list) and part[0] == "neg")
        return drawn if bare else _MARKS["bracket"][latex].format(drawn)

    return marks[latex].format(*(operand(place, part) for place, part in enumerate(parts)))


def rank_of(formula: Any) -> float:
    """How tightly a formula holds together: a sum 1, a product 3, a name 9."""
    return _RANKS.get(formula[0], 9) if isinstance(formula, list) else 9


def _word(text: Any, latex: bool) -> str:
    """A name, with what follows its underscore as an index; or a number."""
    if not isinstance(text, str):
        return str(text) if latex else f"<mn>{text}</mn>"
    base, _, index = text.partition("_")
    if not latex:
        return f"<msub><mi>{base}</mi><mi>{index}</mi></msub>" if index else f"<mi>{base}</mi>"
    # A hat follows its letter; words of several letters stand upright.
    base = re.sub("(.)\u0302", r"\\hat{\1}", base)
    parts = [text if len(text) < 3 or "hat" in text else rf"\mathrm{{{text}}}" for text in (base, index)]
    return f"{parts[0]}_{{{parts[1]}}}" if index else parts[0]
