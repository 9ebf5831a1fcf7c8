"""The derivations of the fused operations: every term of a hand-derived gradient as a formula, with its shape and the
path that it stands for.

Pages of pictures, the reference and docs/derivations.md show what stands in the table below. Axes have names, as
indices have on paper: ``x[n, c, p]`` times ``w[c]`` is multiplied channel by channel, ``sum(g, n, p)`` sums over
examples and positions, and the axes of a result follow from those of its parts. So a test evaluates every line on
numbers and compares the last ones with what the operation itself sends back.

A derivation begins with what is given, each with its axes, ``w[c] = weight`` where the operation has another word for
it. Lines before the first heading compute the value, those after ``gradient`` the gradient, where ``g`` is what
arrived and ``dx`` is what x receives. Those after ``forth`` are done at every time, first to last, and those after
``back`` last to first; there ``h_before`` is the time before's ``h``, and ``dh_after`` the time after's ``dh_before``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import erfc
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError
from autodiff.core.op import registry
from autodiff.viz.formulas import tree, typeset

__all__ = ["DERIVATIONS", "Derivation", "Named", "Row", "derivation_of", "evaluate", "shape_of", "solve"]

_CHANNELS = """
    x[n, c, p]; {}w[c] = weight; b[c] = bias
    {}
    gradient
    db = sum(g, n, p)             # the bias is added everywhere
    dw = sum(g * {}, n, p)        # the weight multiplies everywhere
"""
_STANDARDISED = """
    μ = mean(x, {over})               # mean of {what}
    v = x - μ
    s = 1 / sqrt(mean(v**2, {over}) + eps)
    x̂ = v * s
    y = w * x̂ + b
    gradient
    db = sum(g, {others})
    dw = sum(g * x̂, {others})
    dx̂ = w * g
    dx_1 = s * dx̂                     # straight through x̂
    dx_2 = -s * mean(dx̂, {over})      # through the mean
    dx_3 = -s * x̂ * mean(dx̂ * x̂, {over})  # through the variance
    dx = dx_1 + dx_2 + dx_3
"""
_GATES = """
    i = 1 / (1 + exp(-a_i{}))         # input gate
    f = 1 / (1 + exp(-a_f{}))         # forget gate
    u = tanh(a_u{})                   # candidate
    o = 1 / (1 + exp(-a_o{}))         # output gate
    c = f * {} + i * u                # new cell
    h = o * tanh(c)                   # new state
"""
_SHARES = [f" {sign} h_before @ transpose(W_{gate})" for gate, sign in zip("ifuo", "--+-", strict=True)]
_GATES_BACK = """
    dc = {0} + {1} * o * (1 - tanh(c)**2)   # the new cell: what came to it, and through the state
    da_i = dc * u * i * (1 - i)             # input gate, before its σ
    da_f = dc * {2} * f * (1 - f)           # forget gate
    da_u = dc * i * (1 - u**2)              # candidate, before its tanh
    da_o = {1} * tanh(c) * o * (1 - o)      # output gate, through the state alone
"""
_RESET = """
    r = 1 / (1 + exp(-a_r - {0}_r))   # reset gate
    z = 1 / (1 + exp(-a_z - {0}_z))   # update gate
    u = tanh(a_u + r * {0}_u)         # candidate
    h = (1 - z) * u + z * {1}         # new state: between candidate and old
"""
_RESET_BACK = """
    da_u = {0} * (1 - z) * (1 - u**2)      # candidate, before its tanh
    da_z = {0} * ({2} - u) * z * (1 - z)   # update gate, before its σ
    da_r = da_u * {1}_u * r * (1 - r)      # reset gate, through the candidate
"""

#: Name of a fused operation to its derivation.
DERIVATIONS: dict[str, str] = {
    "relu": """
        x[n]
        y = max(x, 0)
        gradient
        dx = g * positive(x)          # all of g where x is positive, nothing elsewhere
    """,
    "gelu": """
        x[n]
        y = x * Φ(x)                  # Φ: the standard normal distribution, φ its density
        gradient
        dx_1 = g * Φ(x)               # through the factor x
        dx_2 = g * x * φ(x)           # through Φ
        dx = dx_1 + dx_2
    """,
    "gelu_tanh": """
        x[n]
        v = sqrt(2 / π) * (x + 0.044715 * x**3)
        y = x * (1 + tanh(v)) / 2
        gradient
        dx_1 = g * (1 + tanh(v)) / 2            # through the factor x
        dv = g * x * (1 - tanh(v)**2) / 2       # through tanh
        dx_2 = dv * sqrt(2 / π) * (1 + 3 * 0.044715 * x**2)  # from there to x
        dx = dx_1 + dx_2
    """,
    "softmax": """
        x[n, k]                       # k: the classes along the axis
        e = exp(x)                    # less its largest entry, which cancels
        y = e / sum(e, k)
        gradient
        dx_1 = y * g                  # through the numerator
        dx_2 = -y * sum(g * y, k)     # through the sum, in which every class stands
        dx = dx_1 + dx_2
    """,
    "log_softmax": """
        x[n, k]
        y = x - log(sum(exp(x), k))
        gradient
        dx_1 = g                      # through x itself
        dx_2 = -exp(y) * sum(g, k)    # through the logarithm: softmax times all that arrived
        dx = dx_1 + dx_2
    """,
    "scaled_dot_product_attention": """
        Q[l, e] = query; K[s, e] = key; V[s, d] = value; M[l, s] = attn_mask
        Z = Q @ transpose(K) / sqrt(E) + M    # scores of query l for key s
        A = exp(Z)
        P = A / sum(A, s)                     # weights: softmax along the keys
        O = P @ V
        gradient
        dV = transpose(P) @ g                 # values: what each was weighed with
        dP = g @ transpose(V)                 # weights
        dZ = P * (dP - sum(dP * P, s))        # through the softmax
        dM = dZ                               # the mask is added
        dQ = dZ @ K / sqrt(E)
        dK = transpose(dZ) @ Q / sqrt(E)
    """,
    "linear": """
        x[n, i]; W[o, i] = weight; b[o] = bias
        y = x @ transpose(W) + b
        gradient
        dx = g @ W
        dW = transpose(g) @ x
        db = sum(g, n)                # the bias is added to every example
    """,
    "embedding": """
        W[v, d] = weight; R[n, v] = indices   # R: 1 where read n is of row v, else 0
        y = R @ W
        gradient
        dW = transpose(R) @ g         # each row gets the sum over its reads
    """,
    "dropout": """
        x[n]; m[n] = mask             # m: 1 where kept, else 0
        y = x * m / (1 - p)
        gradient
        dx = g * m / (1 - p)
    """,
    "cross_entropy": """
        z[n, k] = logits; q[n, k] = target    # q: 1 at the class of the example, else 0
        s = exp(z) / sum(exp(z), k)           # softmax
        L = -sum(q * log(s), n, k) / N
        gradient
        dz_1 = g * s / N              # through the logarithm of the sum: every score
        dz_2 = -g * q / N             # through the score of the class itself
        dz = dz_1 + dz_2
    """,
    "multi_margin_loss": """
        x[n, k] = scores; q[n, k] = target    # q: 1 at the class of the example, else 0
        v = (1 - q) * max(margin - sum(q * x, k) + x, 0)   # how far another class comes within the margin
        L = sum(v, n, k) / (K * N)
        gradient
        s = positive(v)
        dx_1 = g * s / (K * N)                # each class that comes within the margin
        dx_2 = -g * q * sum(s, k) / (K * N)   # the class itself, which stands in every term
        dx = dx_1 + dx_2
    """,
    "batch_norm": _CHANNELS.format(
        "",
        """μ = mean(x, n, p)             # mean of a channel
    v = x - μ
    s = 1 / sqrt(mean(v**2, n, p) + eps)   # one over the deviation
    x̂ = v * s
    y = w * x̂ + b""",
        "x̂",
    )
    + """
    dx_1 = w * s * g                       # straight through x̂
    dx_2 = -w * s * mean(g, n, p)          # through the mean
    dx_3 = -w * s * x̂ * mean(g * x̂, n, p)  # through the variance
    dx = dx_1 + dx_2 + dx_3
    """,
    "batch_norm_inference": _CHANNELS.format(
        "μ[c] = running_mean; v[c] = running_var; ",
        """s = 1 / sqrt(v + eps)
    x̂ = (x - μ) * s                   # by statistics gathered before: constants
    y = w * x̂ + b""",
        "x̂",
    )
    + """
    dx = w * s * g
    """,
    "batch_renorm": _CHANNELS.format(
        "μ_run[c] = running_mean; σ_run[c] = running_std; ",
        """μ = mean(x, n, p)
    σ = sqrt(mean((x - μ)**2, n, p) + eps)
    x̂ = (x - μ) / σ
    r = clip(σ / σ_run, 1 / rmax, rmax)         # a constant of the gradient
    d = clip((μ - μ_run) / σ_run, -dmax, dmax)  # a constant of the gradient
    y = w * (x̂ * r + d) + b""",
        "(x̂ * r + d)",
    )
    + """
    dx_1 = w * r / σ * g                       # straight through x̂
    dx_2 = -w * r / σ * mean(g, n, p)          # through the mean
    dx_3 = -w * r / σ * x̂ * mean(g * x̂, n, p)  # through the deviation
    dx = dx_1 + dx_2 + dx_3
    """,
    "cross_iteration_batch_norm": _CHANNELS.format(
        "μ_past[t, c] = past_mean; v_past[t, c] = past_var; m[t, c] = kept; ",
        """k = 1 + sum(m, t)                 # batches that count
    μ = (mean(x, n, p) + sum(m * μ_past, t)) / k
    v = (mean(x**2, n, p) + sum(m * (v_past + μ_past**2), t)) / k - μ**2
    s = 1 / sqrt(v + eps)
    x̂ = (x - μ) * s
    y = w * x̂ + b""",
        "x̂",
    )
    + """
    dx_1 = w * s * g                           # straight through x̂
    dx_2 = -w * s * mean(g, n, p) / k          # through this batch's share of the mean
    dx_3 = -w * s * x̂ * mean(g * x̂, n, p) / k  # through its share of the variance
    dx = dx_1 + dx_2 + dx_3
    """,
    "layer_norm": "x[n, i]; w[i] = weight; b[i] = bias" + _STANDARDISED.format(what="an example", over="i", others="n"),
    "group_norm": "x[n, r, c, p]; w[r, c] = weight; b[r, c] = bias   # channel c of group r"
    + _STANDARDISED.format(what="a group", over="c, p", others="n, p"),
    "rms_norm": """
        x[n, i]; w[i] = weight
        s = 1 / sqrt(mean(x**2, i) + eps)
        x̂ = x * s
        y = w * x̂
        gradient
        dw = sum(g * x̂, n)
        dx̂ = w * g
        dx_1 = s * dx̂                 # straight through x̂
        dx_2 = -s * x̂ * mean(dx̂ * x̂, i)  # through the mean square
        dx = dx_1 + dx_2
    """,
    "conv": """
        x[n, c, q]; w[o, c, k] = weight; b[o] = bias
        S[p, k, q]                    # S: 1 where window p has element q at its place k, else 0
        X = sum(S * x, q)             # the windows, unfolded
        y = sum(w * X, c, k) + b
        gradient
        db = sum(g, n, p)
        dw = sum(g * X, n, p)         # every window, weighed by what arrived for it
        dX = sum(g * w, o)            # each window receives the kernel
        dx = sum(S * dX, p, k)        # added up where windows overlap
    """,
    "conv_transpose": """
        x[n, c, p]; w[c, o, k] = weight; b[o] = bias
        S[p, k, q]                    # S: 1 where window p has element q at its place k, else 0
        Y = sum(w * x, c)             # each element spreads the kernel
        y = sum(S * Y, p, k) + b      # added up where windows overlap
        gradient
        db = sum(g, n, q)
        dY = sum(S * g, q)            # the windows of g, unfolded
        dw = sum(dY * x, n, p)
        dx = sum(dY * w, o, k)
    """,
    "max_pool": """
        x[n, c, q]; F[n, c, p, q]     # F: 1 where window p has its first largest element, else 0
        y = sum(F * x, q)
        gradient
        dx = sum(F * g, p)            # all of g goes to the largest
    """,
    "avg_pool": """
        x[n, c, q]; A[p, q]           # A: one over the elements of window p where it holds q, else 0
        y = sum(A * x, q)
        gradient
        dx = sum(A * g, p)            # g goes to all alike
    """,
    "ctc_loss": """
        ℓ[t, n, k] = log_probs; Y[n, s, k] = labels    # Y: 1 where state s is of class k, else 0
        α[t, n, s]; β[t, n, s]        # log-probabilities of reading up to time t into state s, and the rest from there
        P = sum(exp(α + β), t, s) / T     # of the labels: at every time the alignments pass some state
        L = -log(P)
        gradient
        γ = exp(α + β) / P            # the share of alignments that pass state s at t
        dℓ = -g * sum(Y * γ, s)
    """,
    "lstm_cell": f"""
        a_i[n, h], a_f[n, h], a_u[n, h], a_o[n, h] = gates; c_old[n, h] = cell
        {_GATES.format("", "", "", "", "c_old")}
        gradient
        {_GATES_BACK.format("g_c", "g_h", "c_old")}
        dc_old = dc * f               # to the old cell
    """,
    "lstm": f"""
        a_i[t, n, h], a_f[t, n, h], a_u[t, n, h], a_o[t, n, h] = gates; h_0[n, j] = state; c_0[n, h] = cell
        W_i[h, j], W_f[h, j], W_u[h, j], W_o[h, j] = weight
        forth
        {_GATES.format(*_SHARES, "c_before")}
        back
        dh = g_h + dh_after           # the state: what arrived at this time, and what came back from later ones
        {_GATES_BACK.format("dc_after", "dh", "c_before")}
        dc_before = dc * f            # to the time before
        dh_before = da_i @ W_i + da_f @ W_f + da_u @ W_u + da_o @ W_o
        gradient
        dW_i = sum(da_i * h_before, t, n)
        dW_f = sum(da_f * h_before, t, n)
        dW_u = sum(da_u * h_before, t, n)
        dW_o = sum(da_o * h_before, t, n)
        dh_0 = dh_first               # what comes back to before the first time
        dc_0 = dc_first
    """,
    "gru_cell": f"""
        a_r[n, h], a_z[n, h], a_u[n, h] = gates; b_r[n, h], b_z[n, h], b_u[n, h] = hidden_gates; v[n, h] = state
        {_RESET.format("b", "v")}
        gradient
        {_RESET_BACK.format("g", "b", "v")}
        db_r = da_r
        db_z = da_z
        db_u = da_u * r               # the reset gate stands before it
        dv = g * z                    # the old state
    """,
    "gru": f"""
        a_r[t, n, h], a_z[t, n, h], a_u[t, n, h] = gates; h_0[n, j] = state; v_r[h], v_z[h], v_u[h] = bias
        W_r[h, j], W_z[h, j], W_u[h, j] = weight; I[j, h]    # I: the unit matrix
        forth
        b_r = h_before @ transpose(W_r) + v_r
        b_z = h_before @ transpose(W_z) + v_z
        b_u = h_before @ transpose(W_u) + v_u
        old = h_before @ I
        {_RESET.format("b", "old")}
        back
        dh = g + dh_after             # what arrived at this time, and what came back from later ones
        {_RESET_BACK.format("dh", "b", "old")}
        db_u = da_u * r               # the reset gate stands before it
        dh_before = da_r @ W_r + da_z @ W_z + db_u @ W_u + (dh * z) @ transpose(I)   # to the time before
        gradient
        dW_r = sum(da_r * h_before, t, n)
        dW_z = sum(da_z * h_before, t, n)
        dW_u = sum(db_u * h_before, t, n)
        dv_r = sum(da_r, t, n)
        dv_z = sum(da_z, t, n)
        dv_u = sum(db_u, t, n)
        dh_0 = dh_first               # what comes back to before the first time
    """,
    "rnn": """
        a[t, n, h] = gates; h_0[n, j] = state; W[h, j] = weight
        forth
        h = tanh(a + h_before @ transpose(W))
        back
        da = (g + dh_after) * (1 - h**2)   # what arrived at this time and came back from later ones, through tanh
        dh_before = da @ W                 # to the time before
        gradient
        dW = sum(da * h_before, t, n)
        dh_0 = dh_first               # what comes back to before the first time
    """,
}
DERIVATIONS["adaptive_max_pool"], DERIVATIONS["adaptive_avg_pool"] = DERIVATIONS["max_pool"], DERIVATIONS["avg_pool"]

_GIVEN = re.compile(r"(\w+)\[([\w, ]+)\]")
_SECTIONS = ("value", "forth", "back", "gradient")
#: Axes that another letter names: a state before and after a step are of one length.
_ALIKE = {"j": "h"}


def shape_of(axes: tuple[str, ...]) -> str:
    """The lengths of some axes, by their letters.

    Examples
    --------
    >>> shape_of(("n", "c"))
    'N×C'
    """
    return "×".join(_ALIKE.get(axis, axis).upper() for axis in axes) or "scalar"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a derivation."""

    name: str
    #: As nested lists; see :func:`autodiff.viz.formulas.tree`.
    formula: Any
    #: Of the result.
    axes: tuple[str, ...]
    #: What it is, or which path of the gradient.
    words: str
    #: ``value``, ``forth``, ``back`` or ``gradient``.
    section: str

    @property
    def shape(self) -> str:
        """Such as ``N×C``."""
        return shape_of(self.axes)

    def equation(self, latex: bool = False) -> str:
        """The line as MathML, or as LaTeX."""
        return typeset(["=", self.name, self.formula], latex)


@dataclass(frozen=True, slots=True)
class Derivation:
    """What is given, each with its axes and the operation's word for it (empty for none), a remark on it, and the
    lines.
    """

    given: dict[str, tuple[tuple[str, ...], str]]
    words: str
    rows: tuple[Row, ...]

    def shown(self) -> dict[str, Any]:
        """What a page is told: what is given, each with its shape and the operation's word; and the lines."""
        return {
            "given": [[symbol, shape_of(axes), word] for symbol, (axes, word) in self.given.items()],
            "words": self.words,
            "rows": [[row.name, row.equation(), row.shape, row.words, row.section] for row in self.rows],
        }


@dataclass(frozen=True, slots=True)
class Named:
    """An array whose axes have names."""

    axes: tuple[str, ...]
    array: Any

    def along(self, axes: tuple[str, ...]) -> Any:
        """The array with these axes, of length 1 where it has them not."""
        mine = [axis for axis in axes if axis in self.axes]
        array = np.transpose(self.array, [self.axes.index(axis) for axis in mine])
        return array.reshape([array.shape[mine.index(axis)] if axis in mine else 1 for axis in axes])


_PAIRS: dict[str, Any] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
    "max": np.maximum,
    "clip": np.clip,
}
_SINGLE: dict[str, Any] = {
    "neg": np.negative,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "positive": lambda a: (a > 0) * 1.0,
    "φ": lambda a: np.exp(-(a**2) / 2) / np.sqrt(2 * np.pi),
}


def evaluate(formula: Any, names: Mapping[str, Named]) -> Named:
    """The value of a formula on arrays whose axes have names.

    Examples
    --------
    >>> x = Named(("n", "c"), np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> evaluate(tree("sum(x, n)"), {"x": x})
    Named(axes=('c',), array=array([4., 6.]))
    """
    if not isinstance(formula, list):
        return names[formula] if isinstance(formula, str) else Named((), np.float64(formula))
    op, *parts = formula
    if op in ("sum", "mean"):
        inner = evaluate(parts[0], names)
        over = tuple(inner.axes.index(axis) for axis in parts[1:])
        left = tuple(axis for axis in inner.axes if axis not in parts[1:])
        return Named(left, (np.sum if op == "sum" else np.mean)(inner.array, axis=over))
    values = [evaluate(part, names) for part in parts]
    if op == "transpose":
        return Named(values[0].axes[::-1], values[0].array.T)
    if op == "@":
        a, b = values
        if a.axes[-1] != b.axes[0]:
            raise ArgumentError(f"a product of axes {a.axes} and {b.axes}: {a.axes[-1]} does not meet {b.axes[0]}")
        return Named(a.axes[:-1] + b.axes[1:], np.tensordot(a.array, b.array, 1))
    if op in _SINGLE:
        return Named(values[0].axes, _SINGLE[op](values[0].array))
    if op == "Φ":
        return Named(values[0].axes, np.vectorize(lambda v: erfc(-v / 2**0.5) / 2, otypes=[float])(values[0].array))
    axes = tuple(dict.fromkeys(axis for value in values for axis in value.axes))
    return Named(axes, _PAIRS[op](*(value.along(axes) for value in values)))


@lru_cache(maxsize=64)
def derivation_of(name: str) -> Derivation | None:
    """The derivation of a fused operation; None for another.

    Examples
    --------
    >>> [(row.name, row.shape, row.words) for row in derivation_of("linear").rows][1:]
    [('dx', 'N×I', ''), ('dW', 'O×I', ''), ('db', 'O', 'the bias is added to every example')]
    """
    if name not in DERIVATIONS:
        return None
    given: dict[str, tuple[tuple[str, ...], str]] = {}
    remarks: list[str] = []
    rows: list[Row] = []
    section = "value"
    for line in filter(None, map(str.strip, DERIVATIONS[name].splitlines())):
        rule, _, words = line.partition("#")
        if line in _SECTIONS:
            section = line
            continue
        if "[" in rule:
            for part in rule.split(";"):
                word = part.partition("=")[2].strip()
                for symbol, axes in _GIVEN.findall(part):
                    given[symbol] = tuple(axes.split(", ")), word or (symbol if symbol in registry[name].inputs else "")
            remarks += [words.strip()] if words else []
            continue
        symbol, _, formula = rule.partition(" = ")
        rows.append(Row(symbol, tree(formula.strip()), (), words.strip(), section))
    # Axes are read off a trial with arrays of ones.
    trial = {symbol: Named(axes, np.ones((2,) * len(axes))) for symbol, (axes, _) in given.items()}
    with np.errstate(all="ignore"):
        found = solve(rows, trial | {word: Named((), np.float64(0.5)) for word in _OPTIONS})
    order = list(dict.fromkeys(axis for axes, _ in given.values() for axis in axes))

    def axes_of(row: Row) -> tuple[str, ...]:
        """As the input's whose gradient this is; a product of matrices as it comes; else in the order of what is
        given."""
        axes = found[row.name].axes[row.section in ("forth", "back") :]
        if row.name[0] == "d" and row.name[1:] in given:
            return given[row.name[1:]][0]
        return axes if "@" in str(row.formula) else tuple(sorted(axes, key=order.index))

    return Derivation(given, "; ".join(remarks), tuple(replace(row, axes=axes_of(row)) for row in rows))


#: Options of operations, and numbers: what a formula names without its being computed.
_OPTIONS = ("eps", "p", "margin", "rmax", "dmax", "π")


def solve(rows: Sequence[Row], given: Mapping[str, Named]) -> dict[str, Named]:
    """Everything that a derivation computes from what is given: inputs, options, and ``g``, or ``g_h`` and ``g_c`` for
    two outputs, else ones. What is done at every time gets the axis ``t`` in front.

    Examples
    --------
    >>> x = Named(("n",), np.array([-1.0, 2.0]))
    >>> solve(derivation_of("relu").rows, {"x": x})["dx"].array
    array([0., 1.])
    """
    sizes = {axis: n for named in given.values() for axis, n in zip(named.axes, np.shape(named.array), strict=True)}
    known = {axis.upper(): Named((), np.float64(n)) for axis, n in sizes.items()}
    known |= {"π": Named((), np.float64(np.pi)), **given}
    for section in _SECTIONS:
        own = [row for row in rows if row.section == section]
        if section == "back" or (section == "gradient" and "g" not in known):
            for row in rows:
                if row.section in ("value", "forth"):
                    ones = Named(known[row.name].axes, np.ones(np.shape(known[row.name].array)))
                    known.setdefault(f"g_{row.name}", ones)
            known.setdefault("g", ones)
        if section in ("value", "gradient"):
            for row in own:
                known[row.name] = evaluate(row.formula, known)
        elif own:
            _over_time(own, known, sizes["t"], section == "forth")
    return known


def _over_time(rows: Sequence[Row], known: dict[str, Named], count: int, forth: bool) -> None:
    """Lines done at every time, first to last or last to first; what each time hands on reaches the next."""
    states = [symbol[:-2] for symbol in known if symbol.endswith("_0")]
    if forth:
        handed = {f"{state}_before": (state, known[f"{state}_0"]) for state in states}
    else:
        handed = {}
        for state in states:
            arrived = known[f"g_{state}"]
            # What arrives for the last state alone begins the way back; what arrives at every time is added there.
            start = arrived.array if "t" not in arrived.axes else np.zeros(arrived.array.shape[1:])
            handed[f"d{state}_after"] = f"d{state}_before", Named(known[state].axes[1:], start)
    done: dict[str, dict[int, Named]] = {}
    for t in range(count) if forth else reversed(range(count)):
        here = {symbol: Named(n.axes[1:], n.array[t]) if n.axes[:1] == ("t",) else n for symbol, n in known.items()} | {
            symbol: now for symbol, (_, now) in handed.items()
        }
        for row in rows:
            here[row.name] = evaluate(row.formula, here)
        for symbol in [*handed, *(row.name for row in rows)]:
            done.setdefault(symbol, {})[t] = here[symbol]
        handed = {symbol: (source, Named(now.axes, here[source].array)) for symbol, (source, now) in handed.items()}
    for symbol, found in done.items():
        known[symbol] = Named(("t", *found[0].axes), np.stack([found[t].array for t in range(count)]))
    if not forth:
        known |= {
            f"d{state}_first": Named(known[f"{state}_0"].axes, known[f"d{state}_before"].array[0]) for state in states
        }
