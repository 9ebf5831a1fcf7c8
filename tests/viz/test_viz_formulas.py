"""A textbook formula says what its operation computes."""

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.op import registry
from autodiff.viz.formulas import TEXTBOOK, formula_of
from autodiff.viz.rules import rule_text

NAMES = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "arctan2": np.arctan2,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "abs": np.abs,
    "sign": np.sign,
    "max": np.maximum,
    "min": np.minimum,
    "sum": np.sum,
    "step": lambda a: np.heaviside(a, 0.5),
    "positive": lambda a: np.heaviside(a, 0.0),
}


@pytest.mark.parametrize("name", sorted(TEXTBOOK))
@pytest.mark.parametrize("tied", [False, True])
def test_the_textbook_says_what_the_operation_computes(name, tied):
    op = registry[name]
    value, slopes = TEXTBOOK[name]
    generator = np.random.default_rng(3)
    points = [generator.uniform(0.2, 0.8, 5) for _ in op.inputs]
    if tied:
        points = [points[0]] * len(points)
    if name in ("relu", "absolute", "maximum", "sin", "silu", "softplus", "tanh", "sigmoid"):
        points = [p * np.array([1, -1, 0, 1, -1]) for p in points]
    leaves = [ad.tensor(p, requires_grad=True) for p in points]
    out = op.function(*leaves)
    out.sum().backward()
    names = {**NAMES, **dict(zip(op.inputs, points, strict=True)), "out": out.data, "n": 5}
    # Our own formulas, from the table above.
    assert np.allclose(eval(value, names), out.data, rtol=1e-13, atol=0)
    assert len(slopes) == len(leaves)
    for leaf, slope in zip(leaves, slopes, strict=True):
        assert np.allclose(np.broadcast_to(eval(slope, names), 5), leaf.grad.data, rtol=1e-12, atol=1e-300), slope
    assert formula_of(name)["arithmetic"]
    if not op.fused and name not in ("sum", "mean", "maximum", "minimum"):  # which pictures say in words
        for slot, leaf in enumerate(leaves):
            sent = eval(rule_text(op, slot), {**names, "g": 0.7})
            assert np.allclose(np.broadcast_to(sent, 5), 0.7 * np.asarray(leaf.grad), rtol=1e-12, atol=1e-300)
