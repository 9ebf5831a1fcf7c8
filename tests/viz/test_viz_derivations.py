"""The derivations that pages and docs show, evaluated line by line on numbers: they end in what the operation itself
computes and sends back.
"""

import importlib.util
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import autodiff as ad
import nn  # noqa: F401
from autodiff.core.errors import ArgumentError
from autodiff.core.op import registry
from autodiff.viz.derivations import DERIVATIONS, Named, derivation_of, evaluate, solve
from autodiff.viz.formulas import tree

DOCS = Path(__file__).resolve().parents[2] / "docs"
SIZES = dict(zip("ncpqelsdkiovrtw", (3, 2, 5, 7, 4, 3, 5, 2, 3, 4, 2, 6, 2, 4, 2), strict=True)) | {"h": 3, "j": 3}
#: Options of the operation, and axes of another length.
OPTIONS = {
    "batch_norm": {"eps": 0.1},
    "batch_norm_inference": {"eps": 0.1},
    "batch_renorm": {"eps": 0.1, "rmax": 1.5, "dmax": 0.3},
    "cross_iteration_batch_norm": {"eps": 0.1},
    "layer_norm": {"eps": 0.1},
    "group_norm": {"eps": 0.1, "num_groups": 2},
    "rms_norm": {"eps": 0.1},
    "dropout": {"p": 0.25},
    "multi_margin_loss": {"margin": 1.3},
    "conv": {"stride": 2, "padding": 1},
    "conv_transpose": {"stride": 2, "padding": 1},
    "max_pool": {"kernel_size": 3, "stride": 2},
    "avg_pool": {"kernel_size": 3, "stride": 2},
    "adaptive_max_pool": {"output_size": 3},
    "adaptive_avg_pool": {"output_size": 3},
}
LENGTHS = {
    "conv": {"p": 4},
    "conv_transpose": {"p": 4},
    "max_pool": {"p": 3},
    "avg_pool": {"p": 3},
    "adaptive_max_pool": {"p": 3},
    "adaptive_avg_pool": {"p": 3},
}


def windows(name, sizes):
    """Which elements the windows of an operation hold, each with its place: (p, k, q)."""
    found = np.zeros([sizes[axis] for axis in "pkq"])
    for p in range(sizes["p"]):
        if "adaptive" in name:
            inside = range(p * sizes["q"] // sizes["p"], -(-(p + 1) * sizes["q"] // sizes["p"]))
        else:
            inside = range(2 * p - OPTIONS[name].get("padding", 0), 2 * p - OPTIONS[name].get("padding", 0) + 3)
        for k, q in enumerate(inside):
            if 0 <= q < sizes["q"]:
                found[p, min(k, sizes["k"] - 1), q] = 1
    return found


def alignments(log_probs, classes):
    """Of each state sequence, log-probabilities of reading up to a time into a state, and the rest from there."""
    times, n, states = len(log_probs), *classes.shape
    place = np.arange(states)
    alpha, beta = np.zeros((2, times, n, states))
    for i in range(n):
        step = (place[:, None] == place) | (place[:, None] + 1 == place)
        jump = (place[:, None] + 2 == place) & (place % 2 == 1) & (classes[i] != np.roll(classes[i], 2))
        seen = np.exp(log_probs[:, i][:, classes[i]])
        alpha[0, i] = seen[0] * (place < 2)
        beta[-1, i] = place >= states - 2
        for t in range(1, times):
            alpha[t, i] = (alpha[t - 1, i] @ (step | jump)) * seen[t]
            beta[-1 - t, i] = (step | jump) @ (beta[-t, i] * seen[-t])
    with np.errstate(divide="ignore"):
        return np.log(alpha), np.log(beta)


def given(name):
    """What a derivation is given, by its symbols, and the operation's arguments, by their words."""
    generator = np.random.default_rng(1)
    sizes = SIZES | LENGTHS.get(name, {})
    known, words = {}, derivation_of(name).given
    arrays = {symbol: generator.normal(size=[sizes[a] for a in axes]) for symbol, (axes, _) in words.items()}
    special = {}
    if name in ("cross_entropy", "multi_margin_loss", "embedding"):
        symbol, word = ("R", "indices") if name == "embedding" else ("q", "target")
        rows, classes = arrays[symbol].shape
        special[word] = generator.integers(0, classes, rows)
        arrays[symbol] = np.eye(classes)[special[word]]
    if name == "dropout":
        special["mask"] = np.array([True, False, True])
        arrays["m"] = special["mask"] * 1.0
    for symbol in ("v", "σ_run", "v_past"):
        if "norm" in name and symbol in arrays:
            arrays[symbol] = np.abs(arrays[symbol]) + 0.5
    if "kept" in registry[name].inputs:
        arrays["m"] = special["kept"] = np.array([[1, 0], [1, 1], [0, 1], [0, 0]]) * 1.0
    if "S" in arrays:
        arrays["S"] = windows(name, sizes)
    if name.endswith("pool"):
        inside = windows(name, sizes).max(1)
        if "A" in arrays:
            arrays["A"] = inside / inside.sum(1, keepdims=True)
        else:
            largest = np.where(inside, arrays["x"][:, :, None], -np.inf).argmax(-1)
            arrays["F"] = np.eye(sizes["q"])[largest]
    if "I" in arrays:
        arrays["I"] = np.eye(3)
    if name == "ctc_loss":
        labels = np.array([[1, 2], [2, 2], [1, 1]])
        classes = np.zeros((3, 5), int)
        classes[:, 1::2] = labels
        arrays["ℓ"] -= np.log(np.exp(arrays["ℓ"]).sum(-1, keepdims=True))
        arrays["Y"] = np.eye(3)[classes]
        arrays["α"], arrays["β"] = alignments(arrays["ℓ"], classes)
        special = {"labels": labels, "input_lengths": np.full(3, 4), "target_lengths": np.full(3, 2)}
    for symbol, array in arrays.items():
        known[symbol] = Named(words[symbol][0], array)
    return known, special


def joined(name, word, arrays):
    """The symbols of one input side by side, as the operation takes them."""
    words = derivation_of(name).given
    mine = [symbol for symbol, (_, said) in words.items() if said == word]
    if not mine:
        return None
    axes = words[mine[0]][0]
    parts = [arrays[symbol].along(axes) for symbol in mine]
    whole = np.concatenate(parts, axes.index("h")) if len(parts) > 1 else parts[0]
    if name != "group_norm":
        return whole
    return whole.reshape(3, 4, 5) if word == "x" else whole.reshape(4)


@pytest.mark.parametrize("name", sorted(DERIVATIONS))
def test_every_line_of_a_derivation_holds_on_numbers(name):
    op, rows = registry[name], derivation_of(name).rows
    known, special = given(name)
    options = OPTIONS.get(name, {})
    leaves = {}
    reached = {derivation_of(name).given[row.name[1:]][1] for row in rows if row.name[1:] in derivation_of(name).given}
    for word in op.inputs:
        array = special[word] if word in special else joined(name, word, known)
        leaves[word] = ad.tensor(array, requires_grad=True) if word in reached else array
    out = op.function(*leaves.values(), **options)
    outs = out if isinstance(out, tuple) else (out,)
    generator = np.random.default_rng(2)
    cotangents = [generator.normal(size=o.shape) for o in outs]
    sum((o * g).sum() for o, g in zip(outs, cotangents, strict=True)).backward()
    names = [row.name for row in rows if row.section in ("value", "forth")]
    shown = ["h", "c"] if len(outs) == 2 else names[-1:]
    axes = {row.name: row.axes for row in rows}
    timed = {row.name for row in rows if row.section == "forth"}
    for symbol, g in zip(shown, cotangents, strict=True):
        whole = (("t",) if symbol in timed and g.ndim == len(axes[symbol]) + 1 else ()) + axes[symbol]
        named = Named(whole, g.reshape(3, 2, 2, 5) if name == "group_norm" else g)
        known[f"g_{symbol}"] = known["g"] = named
    for option in ("eps", "p", "margin", "rmax", "dmax"):
        known[option] = Named((), options.get(option, np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = solve(rows, known)
    for symbol, o in zip(shown, outs, strict=True):
        value = found[symbol]
        array = value.along((("t",) if value.axes[:1] == ("t",) and symbol in timed else ()) + axes[symbol])
        array = array[-1] if array.ndim > o.ndim and name != "group_norm" else array
        assert np.allclose(array.reshape(o.shape), o.data, rtol=1e-12, atol=1e-13), symbol
    sent = {f"d{symbol}" for symbol in known}
    gradients = {symbol[1:]: named for symbol, named in found.items() if symbol in sent}
    assert reached
    for word in reached:
        assert np.allclose(joined(name, word, gradients), leaves[word].grad, rtol=1e-11, atol=1e-12), word
    # What a row says of its shape is the shape of what it computes.
    sizes = {axis: n for named in known.values() for axis, n in zip(named.axes, np.shape(named.array), strict=True)}
    for row in rows:
        value = found[row.name]
        assert set(row.axes) == set(value.axes) - ({"t"} - set(row.axes)), row.name
        assert {axis: sizes[axis] for axis in value.axes} == dict(zip(value.axes, value.array.shape, strict=True))


def test_every_fused_operation_has_a_derivation_that_names_each_input_that_gets_a_gradient():
    fused = {name for name, op in registry.items() if op.fused and op.backward.__module__.startswith("autodiff.fused.")}
    assert fused == set(DERIVATIONS)
    for name in fused:
        derivation = derivation_of(name)
        computed = {row.name for row in derivation.rows}
        assert {word for _, word in derivation.given.values()} <= {*registry[name].inputs, ""}
        assert any(f"d{symbol}" in computed for symbol in derivation.given)


def test_axes_of_a_product_have_to_meet():
    a = Named(("n", "i"), np.ones((2, 3)))
    with pytest.raises(ArgumentError, match="i does not meet n"):
        evaluate(tree("a @ a"), {"a": a})


def test_the_page_of_derivations_is_written_from_the_table():
    spec = importlib.util.spec_from_file_location("make_derivations", DOCS / "make_derivations.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (DOCS / "derivations.md").read_text() == script.page(), "run python docs/make_derivations.py"
    for mathml in script.as_mathml().values():
        assert ElementTree.fromstring(mathml).tag == "math"
