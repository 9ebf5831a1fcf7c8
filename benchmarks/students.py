"""Students' mistakes at the sizes of class: does the check name the right argument and the right cause?

``python -m benchmarks.students`` prints one line for each. Every layer of an ordinary course stands here with its right
backward pass as text; a mistake is that text with one piece exchanged, and the words that a helpful diagnosis holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.testing import Report, check_pair

__all__ = ["LAYERS", "MISTAKES", "Mistake", "diagnosed", "main"]


@dataclass(frozen=True)
class Layer:
    """A forward pass, the text of its backward pass, and inputs at the size of an assignment."""

    forward: Callable[..., Any]
    text: str
    inputs: Callable[[np.random.Generator], list[Any]]

    def backward(self, text: str | None = None) -> Callable[..., Any]:
        """The backward pass, or what another text makes."""
        body = "\n".join("    " + line for line in (text or self.text).strip().splitlines())
        names = {"np": np, "softmax": softmax, "sigmoid": sigmoid, "windows": windows}
        exec(f"def backward(dout, cache):\n{body}", names)
        made: Callable[..., Any] = names["backward"]  # type: ignore[assignment]
        return made


def softmax(z: Any) -> Any:
    """Along the last axis."""
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(z: Any) -> Any:
    """Of every entry."""
    return 1 / (1 + np.exp(-z))


def windows(x: Any, k: int) -> Any:
    """All k by k windows of (N, C, H, W): (N, C, H', W', k, k)."""
    return np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(2, 3))


def _batchnorm(x: Any, gamma: Any, beta: Any) -> Any:
    mu, var = x.mean(0), x.var(0)
    s = 1 / np.sqrt(var + 1e-5)
    xhat = (x - mu) * s
    return gamma * xhat + beta, (x, xhat, s, gamma)


def _layernorm(x: Any, gamma: Any, beta: Any) -> Any:
    mu, var = x.mean(1, keepdims=True), x.var(1, keepdims=True)
    s = 1 / np.sqrt(var + 1e-5)
    xhat = (x - mu) * s
    return gamma * xhat + beta, (x, xhat, s, gamma)


def _rmsnorm(x: Any, gamma: Any) -> Any:
    s = 1 / np.sqrt((x**2).mean(1, keepdims=True) + 1e-5)
    return gamma * x * s, (x, s, gamma)


def _softmax_loss(z: Any, y: Any) -> Any:
    p = softmax(z)
    return -np.log(p[np.arange(len(y)), y]).mean(), (p, y)


def _svm(z: Any, y: Any) -> Any:
    rows = np.arange(len(y))
    margins = np.maximum(0, z - z[rows, y][:, None] + 1)
    margins[rows, y] = 0
    return margins.sum() / len(y), (margins, y)


def _ridge(x: Any, w: Any, t: Any) -> Any:
    r = x @ w - t
    return (r**2).mean() + 0.5 * 0.1 * (w**2).sum(), (x, w, r)


def _rnn(x: Any, h: Any, wx: Any, wh: Any, b: Any) -> Any:
    out = np.tanh(x @ wx + h @ wh + b)
    return out, (x, h, wx, wh, out)


def _conv(x: Any, w: Any, b: Any) -> Any:
    return np.einsum("nchwij,fcij->nfhw", windows(x, 3), w) + b[:, None, None], (x, w)


def _pool(x: Any) -> Any:
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // 2, 2, w // 2, 2)
    return blocks.max((3, 5)), (x, blocks)


def _attention(q: Any, k: Any, v: Any) -> Any:
    p = softmax(q @ k.T / np.sqrt(q.shape[1]))
    return p @ v, (q, k, v, p)


def _embedding(table: Any, index: Any) -> Any:
    return table[index], (table, index)


def _two_layers(x: Any, w1: Any, b1: Any, w2: Any) -> Any:
    h = np.maximum(x @ w1 + b1, 0)
    return h @ w2, (x, h, w1, w2)


def _normal(*shape: int) -> Callable[[np.random.Generator], Any]:
    return lambda r: r.normal(size=shape)


def _of(*parts: Any) -> Callable[[np.random.Generator], list[Any]]:
    return lambda r: [p(r) if callable(p) else p for p in parts]


_LABELS = lambda r: r.integers(0, 10, 20)

LAYERS = {
    "affine": Layer(lambda x, w, b: (x @ w + b, (x, w)), "x, w = cache\nreturn dout @ w.T, x.T @ dout, dout.sum(0)",
                    _of(_normal(12, 12), _normal(12, 12), _normal(12))),
    "tanh": Layer(lambda x: (np.tanh(x), x), "x = cache\nreturn dout * (1 - np.tanh(x) ** 2)", _of(_normal(20, 30))),
    "relu": Layer(lambda x: (np.maximum(x, 0), x), "x = cache\nreturn dout * (x > 0)", _of(_normal(20, 30))),
    "leaky relu": Layer(lambda x: (np.where(x > 0, x, 0.1 * x), x), "x = cache\nreturn dout * np.where(x > 0, 1, 0.1)", _of(_normal(20, 30))),
    "sigmoid": Layer(lambda x: (sigmoid(x), sigmoid(x)), "s = cache\nreturn dout * s * (1 - s)", _of(_normal(20, 30))),
    "batchnorm": Layer(_batchnorm, "x, xhat, s, gamma = cache\ng = dout * gamma\ndx = s * (g - g.mean(0) - xhat * (g * xhat).mean(0))\n"
                       "return dx, (dout * xhat).sum(0), dout.sum(0)", _of(_normal(20, 15), _normal(15), _normal(15))),
    "layernorm": Layer(_layernorm, "x, xhat, s, gamma = cache\ng = dout * gamma\n"
                       "dx = s * (g - g.mean(1, keepdims=True) - xhat * (g * xhat).mean(1, keepdims=True))\n"
                       "return dx, (dout * xhat).sum(0), dout.sum(0)", _of(_normal(20, 15), _normal(15), _normal(15))),
    "rmsnorm": Layer(_rmsnorm, "x, s, gamma = cache\ng = dout * gamma\ndx = s * (g - x * s * s * (g * x).mean(1, keepdims=True))\n"
                     "return dx, (dout * x * s).sum(0)", _of(_normal(20, 15), _normal(15))),
    "softmax": Layer(lambda z: (softmax(z), softmax(z)), "p = cache\nreturn p * (dout - (dout * p).sum(-1, keepdims=True))", _of(_normal(20, 10))),
    "softmax loss": Layer(_softmax_loss, "p, y = cache\ndz = p.copy()\ndz[np.arange(len(y)), y] -= 1\nreturn dout * dz / len(y)", _of(_normal(20, 10), _LABELS)),
    "svm loss": Layer(_svm, "m, y = cache\ndz = (m > 0).astype(float)\ndz[np.arange(len(y)), y] = -dz.sum(1)\nreturn dout * dz / len(y)",
                      _of(_normal(20, 10), _LABELS)),
    "ridge": Layer(_ridge, "x, w, r = cache\ndr = dout * 2 * r / r.size\nreturn dr @ w.T, x.T @ dr + dout * 0.1 * w, -dr",
                   _of(_normal(20, 15), _normal(15, 4), _normal(20, 4))),
    "rnn step": Layer(_rnn, "x, h, wx, wh, out = cache\nda = dout * (1 - out**2)\nreturn da @ wx.T, da @ wh.T, x.T @ da, h.T @ da, da.sum(0)",
                      _of(_normal(8, 12), _normal(8, 12), _normal(12, 12), _normal(12, 12), _normal(12))),
    "convolution": Layer(_conv, "x, w = cache\ndw = np.einsum('nchwij,nfhw->fcij', windows(x, 3), dout)\n"
                         "padded = np.pad(dout, ((0, 0), (0, 0), (2, 2), (2, 2)))\ndx = np.einsum('nfhwij,fcij->nchw', windows(padded, 3), w[:, :, ::-1, ::-1])\n"
                         "return dx, dw, dout.sum((0, 2, 3))", _of(_normal(2, 3, 8, 8), _normal(4, 3, 3, 3), _normal(4))),
    "max pooling": Layer(_pool, "x, blocks = cache\nbest = blocks == blocks.max((3, 5), keepdims=True)\n"
                         "return (best * dout[:, :, :, None, :, None]).reshape(x.shape)", _of(_normal(2, 3, 8, 8))),
    "attention": Layer(_attention, "q, k, v, p = cache\nd = q.shape[1]\ndp = dout @ v.T\nds = p * (dp - (dp * p).sum(-1, keepdims=True))\nds = ds / np.sqrt(d)\n"
                       "return ds @ k, ds.T @ q, p.T @ dout", _of(_normal(10, 10), _normal(10, 10), _normal(10, 10))),
    "embedding": Layer(_embedding, "table, index = cache\ndt = np.zeros(table.shape)\nnp.add.at(dt, index, dout)\nreturn dt",
                       _of(_normal(30, 8), np.array([[3, 5, 3, 8], [5, 9, 0, 21]]))),
    "two layers": Layer(_two_layers, "x, h, w1, w2 = cache\ndh = (dout @ w2.T) * (h > 0)\nreturn dh @ w1.T, x.T @ dh, dh.sum(0), h.T @ dout",
                        _of(_normal(15, 10), _normal(10, 12), _normal(12), _normal(12, 5))),
    "dropout": Layer(lambda x, mask: (x * mask / 0.8, mask), "mask = cache\nreturn dout * mask / 0.8",
                     _of(_normal(20, 30), lambda r: r.random((20, 30)) < 0.8)),
    "row norm": Layer(lambda x: (x / np.sqrt((x**2).sum(1, keepdims=True)), x),
                      "x = cache\nn = np.sqrt((x**2).sum(1, keepdims=True))\nreturn dout / n - x * (dout * x).sum(1, keepdims=True) / n**3", _of(_normal(20, 15))),
}  # fmt: skip


@dataclass(frozen=True)
class Mistake:
    """A layer's backward pass with one piece exchanged.

    Attributes
    ----------
    layer : str
    piece, by : str
    argument : int
        Whose gradient is wrong.
    words : str
        A pattern of what a helpful diagnosis says.
    """

    layer: str
    piece: str
    by: str
    argument: int
    words: str

    @property
    def text(self) -> str:
        """The wrong backward pass."""
        text = LAYERS[self.layer].text
        assert text.count(self.piece), (self.layer, self.piece)
        head, _, tail = text.rpartition(self.piece)
        return head + self.by + tail


_MEAN, _SIGN, _ZERO, _TRANS = r"1/\d+ of what", "sign is wrong", "zero everywhere", "transpose"
_STAT, _OWN, _PASSED = "path", "its own output alone", "passed on unchanged"

MISTAKES = [
    Mistake("affine", "dout.sum(0)", "dout.mean(0)", 2, _MEAN),
    Mistake("affine", "dout.sum(0)", "dout.sum(1)", 2, "axes? .*1"),
    Mistake("affine", "dout.sum(0)", "dout[0]", 2, "first entry along axis 0"),
    Mistake("affine", "dout.sum(0)", "dout[-1]", 2, "last entry along axis 0"),
    Mistake("affine", "dout.sum(0)", "0 * dout.sum(0)", 2, _ZERO),
    Mistake("affine", "x.T @ dout", "(x.T @ dout).T", 1, _TRANS),
    Mistake("affine", "x.T @ dout", "x.T @ dout / len(x)", 1, _MEAN),
    Mistake("affine", "x.T @ dout", "-x.T @ dout", 1, _SIGN),
    Mistake("affine", "dout @ w.T, x.T @ dout", "x.T @ dout, dout @ w.T", 0, "exchanged"),
    Mistake("affine", "dout @ w.T", "2 * dout @ w.T", 0, "2 times"),
    Mistake("tanh", "dout * (1 - np.tanh(x) ** 2)", "1 - np.tanh(x) ** 2", 0, "doubles"),
    Mistake("tanh", "dout * (1 - np.tanh(x) ** 2)", "dout", 0, _PASSED),
    Mistake("tanh", "1 - np.tanh(x) ** 2", "np.tanh(x) ** 2 - 1", 0, _SIGN),
    Mistake("tanh", "1 - np.tanh(x) ** 2", "1 - np.tanh(np.tanh(x)) ** 2", 0, "at the output"),
    Mistake("tanh", "np.tanh(x) ** 2", "np.tanh(x).astype(np.float32) ** 2", 0, "agrees to"),
    Mistake("relu", "dout * (x > 0)", "dout", 0, "argument is negative|passed on"),
    Mistake("relu", "x > 0", "x > 1", 0, "argument"),
    Mistake("relu", "x > 0", "x < 0", 0, "argument|entries"),
    Mistake("relu", "dout * (x > 0)", "1.0 * (x > 0)", 0, "doubles"),
    Mistake("relu", "dout * (x > 0)", "x * dout * (x > 0)", 0, "argument 0 times|output 0 times"),
    Mistake("leaky relu", "0.1)", "0.2)", 0, "argument is negative"),
    Mistake("leaky relu", "0.1)", "0)", 0, "argument is negative"),
    Mistake("leaky relu", "0.1)", "-0.1)", 0, "negative.*sign"),
    Mistake("leaky relu", "dout * np", "np", 0, "doubles"),
    Mistake("sigmoid", "dout * s * (1 - s)", "dout * (1 - s)", 0, "factor is missing: times output"),
    Mistake("sigmoid", "dout * s * (1 - s)", "-dout * s * (1 - s)", 0, _SIGN),
    Mistake("sigmoid", "dout * s * (1 - s)", "dout * s * s * (1 - s)", 0, "output 0 times"),
    Mistake("sigmoid", "dout * s * (1 - s)", "dout", 0, _PASSED),
    Mistake("batchnorm", " - g.mean(0)", "", 0, _STAT),
    Mistake("batchnorm", " - xhat * (g * xhat).mean(0)", "", 0, _STAT),
    Mistake("batchnorm", "s * (g - g.mean(0) - xhat * (g * xhat).mean(0))", "s * g", 0, "straight line"),
    Mistake("batchnorm", "(dout * xhat).sum(0), dout.sum(0)", "dout.sum(0), (dout * xhat).sum(0)", 1, "exchanged"),
    Mistake("batchnorm", "(dout * xhat).sum(0)", "(dout * xhat).mean(0)", 1, _MEAN),
    Mistake("batchnorm", "(dout * xhat).sum(0)", "(dout * x).sum(0)", 1, "$^"),
    Mistake("batchnorm", "dout.sum(0)", "dout.mean(0)", 2, _MEAN),
    Mistake("batchnorm", "g = dout * gamma", "g = dout", 0, "factor is missing: times argument 1"),
    Mistake("batchnorm", "g = dout * gamma", "g = dout * gamma * gamma", 0, "argument 1 times"),
    Mistake("layernorm", "g.mean(1, keepdims=True) - ", "0 - ", 0, _STAT),
    Mistake("layernorm", " - xhat * (g * xhat).mean(1, keepdims=True)", "", 0, _STAT),
    Mistake("layernorm", "(dout * xhat).sum(0)", "(dout * xhat).sum(0) / 20", 1, _MEAN),
    Mistake("layernorm", "dout.sum(0)", "dout[0]", 2, "first entry"),
    Mistake("layernorm", "dx = s", "dx = s * s", 0, "constant along axis 1"),
    Mistake("rmsnorm", " - x * s * s * (g * x).mean(1, keepdims=True)", "", 0, "norm"),
    Mistake("rmsnorm", "(g * x).mean(1, keepdims=True)", "(g * x).sum(1, keepdims=True)", 0, "norm"),
    Mistake("rmsnorm", "g = dout * gamma", "g = dout", 0, "factor is missing|$^"),
    Mistake("rmsnorm", "(dout * x * s).sum(0)", "(dout * x * s).mean(0)", 1, _MEAN),
    Mistake("softmax", " - (dout * p).sum(-1, keepdims=True)", "", 0, "path|$^"),
    Mistake("softmax", "p * (dout - (dout * p).sum(-1, keepdims=True))", "dout * p * (1 - p)", 0, _OWN),
    Mistake("softmax", "p * (dout", "(dout", 0, "factor is missing: times output"),
    Mistake("softmax loss", " / len(y)", "", 0, "20 times too large"),
    Mistake("softmax loss", " / len(y)", " / p.shape[1]", 0, "2 times|every entry"),
    Mistake("softmax loss", "dz[np.arange(len(y)), y] -= 1", "", 0, "entries are wrong"),
    Mistake("softmax loss", "-= 1", "+= 1", 0, "entries are wrong"),
    Mistake("softmax loss", "dout * dz", "dz", 0, "doubles"),
    Mistake("svm loss", " / len(y)", "", 0, "20 times too large"),
    Mistake("svm loss", "dz[np.arange(len(y)), y] = -dz.sum(1)", "", 0, "no gradient reaches"),
    Mistake("svm loss", "= -dz.sum(1)", "= -1", 0, "entries are wrong"),
    Mistake("svm loss", "-dz.sum(1)", "dz.sum(1)", 0, "sign"),
    Mistake("ridge", "dout * 2 * r", "dout * r", 0, "0.5 times"),
    Mistake("ridge", " / r.size", " / len(r)", 0, "4 times too large"),
    Mistake("ridge", " + dout * 0.1 * w", "", 1, "penalty"),
    Mistake("ridge", "dout * 0.1 * w", "dout * 0.2 * w", 1, "penalty"),
    Mistake("ridge", ", -dr", ", dr", 2, _SIGN),
    Mistake("rnn step", "1 - out**2", "1 - out", 0, "$^"),
    Mistake("rnn step", "da = dout * (1 - out**2)", "da = dout", 4, "summed over|$^"),
    Mistake("rnn step", "x.T @ da, h.T @ da", "h.T @ da, x.T @ da", 2, "exchanged"),
    Mistake("rnn step", "da @ wx.T, da @ wh.T", "da @ wh.T, da @ wx.T", 0, "exchanged"),
    Mistake("rnn step", "da.sum(0)", "da.mean(0)", 4, _MEAN),
    Mistake("rnn step", "x.T @ da", "(x.T @ da).T", 2, _TRANS),
    Mistake("convolution", "w[:, :, ::-1, ::-1]", "w", 0, "argument 1 reversed"),
    Mistake("convolution", "return dx, dw,", "return dx, dw[:, :, ::-1, ::-1],", 1, "flipped"),
    Mistake("convolution", "dout.sum((0, 2, 3))", "dout.mean((0, 2, 3))", 2, _MEAN),
    Mistake("convolution", "dout.sum((0, 2, 3))", "dout.sum((2, 3))[0]", 2, "first entry"),
    Mistake("convolution", "return dx, dw,", "return dx, dw.transpose(0, 1, 3, 2),", 1, _TRANS),
    Mistake("max pooling", "best = blocks == blocks.max((3, 5), keepdims=True)", "best = np.ones(blocks.shape)", 0, "a mask"),
    Mistake("max pooling", "best * dout", "best / 4 * dout", 0, "1/4 of what"),
    Mistake("max pooling", "dout[:, :, :, None, :, None]", "dout[:, :, ::-1, None, :, None]", 0, "$^"),
    Mistake("attention", "ds = ds / np.sqrt(d)\n", "", 0, "every entry is 3.16"),
    Mistake("attention", "p * (dp - (dp * p).sum(-1, keepdims=True))", "dp * p", 0, "$^"),
    Mistake("attention", "ds @ k, ds.T @ q", "ds.T @ q, ds @ k", 0, "exchanged"),
    Mistake("attention", "p.T @ dout", "p @ dout", 2, "applied forwards"),
    Mistake("attention", "ds.T @ q", "ds @ q", 1, "$^"),
    Mistake("embedding", "np.add.at(dt, index, dout)", "dt[index] += dout", 0, "indexed more than once"),
    Mistake("embedding", "np.add.at(dt, index, dout)", "dt[index] = dout", 0, "indexed more than once"),
    Mistake("embedding", "np.add.at(dt, index, dout)", "np.add.at(dt, index[:1], dout[:1])", 0, "first entry|no gradient"),
    Mistake("two layers", " * (h > 0)", "", 0, "$^"),
    Mistake("two layers", "h.T @ dout", "h.T @ dout / len(x)", 3, _MEAN),
    Mistake("two layers", "dh.sum(0)", "dh.sum(0) / len(x)", 2, _MEAN),
    Mistake("two layers", "(dout @ w2.T)", "-(dout @ w2.T)", 1, _SIGN),
    Mistake("dropout", " / 0.8", "", 0, "0.8 times"),
    Mistake("dropout", "dout * mask / 0.8", "dout / 0.8", 0, "factor is missing"),
    Mistake("dropout", "dout * mask", "dout * (1 - mask)", 0, "inverted"),
    Mistake("row norm", " - x * (dout * x).sum(1, keepdims=True) / n**3", "", 0, "norm"),
    Mistake("row norm", "n**3", "n**2", 0, "norm"),
    Mistake("row norm", "- x * (dout", "+ x * (dout", 0, "norm"),
]  # fmt: skip


def diagnosed(mistake: Mistake) -> Report:
    """The report on one mistake."""
    layer = LAYERS[mistake.layer]
    inputs = layer.inputs(np.random.default_rng(3))
    return check_pair(layer.forward, layer.backward(mistake.text), inputs, raises=False)


def outcome(mistake: Mistake, report: Report) -> str:
    """``named``: the right argument and cause; ``located``: the right argument, no cause or none that was foreseen."""
    if report.verdict != "fail":
        return "missed"
    own = [hint for hint in report.hints if hint.startswith(f"argument {mistake.argument}:")]
    if any(re.search(mistake.words, hint) for hint in own):
        return "named"
    return "other words" if own else "silent"


def main() -> None:
    """Print what is said of each mistake, and the counts."""
    counts: dict[str, int] = {}
    for mistake in MISTAKES:
        report = diagnosed(mistake)
        found = outcome(mistake, report)
        counts[found] = counts.get(found, 0) + 1
        if found != "named":
            print(f"{found:12} {mistake.layer}: {mistake.piece!r} -> {mistake.by!r}\n             {report.hints}")
    print(len(MISTAKES), counts)


if __name__ == "__main__":
    main()
