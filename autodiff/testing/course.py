"""Ready checks for the layers of courses: CS231n's functions, networks with ``loss``, layers with ``forward`` and
``backward``, operations of minitorch and needle.

A teacher drops one file beside the students' code::

    # test_gradients.py
    from autodiff.testing.course import gradient_tests

    test_gradients = gradient_tests("layers", "rnn_layers")

pytest then makes a test of every ``<name>_forward`` with its ``<name>_backward`` (and ``_backward_alt``), and of every
loss, that stands in these modules; a failure says which gradient is wrong, where, and the likely mistake.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.core.errors import ArgumentError, GradientMismatch
from autodiff.extras import require
from autodiff.testing.adapters import check_pair
from autodiff.testing.report import Report

if TYPE_CHECKING:
    from autodiff.signatures import ArrayLike

__all__ = [
    "CourseCase",
    "cases",
    "check_layer",
    "check_network",
    "gradient_tests",
    "matrices",
    "pairs",
    "sample_inputs",
]


#: What a function of a course takes: arrays, numbers, and dicts of settings.
Input = np.ndarray[Any, Any] | float | dict[str, object]


@dataclass(frozen=True)
class CourseCase:
    """A forward and a backward pass, or a loss, with inputs for it."""

    name: str
    forward: Callable[..., object]
    backward: Callable[..., object] | None
    inputs: Sequence[object]

    def check(self, raises: bool = True) -> Report:
        """Check it, as :func:`~autodiff.testing.check_pair` does."""
        return check_pair(self.forward, self.backward, self.inputs, name=self.name, raises=raises)


def _normal(*shape: int) -> Any:
    return np.random.default_rng([len(shape), *shape]).normal(size=shape)


def _labels(*shape: int, classes: int = 5) -> Any:
    return np.random.default_rng(shape).integers(0, classes, shape)


_POOL = {"pool_height": 2, "pool_width": 2, "stride": 2}

#: CS231n's names, what begins with them included, and inputs of an ordinary size: a stride that is not 1, a mask that
#: leaves something out, sides that differ, since a mistake hides behind the others.
_KNOWN: dict[str, Callable[[], list[Any]]] = {
    "affine_batchnorm_relu": lambda: [_normal(6, 4), _normal(4, 5), *(_normal(5) for _ in "bgb"), {"mode": "train"}],
    "affine": lambda: [_normal(4, 2, 3), _normal(6, 5), _normal(5)],
    "relu": lambda: [_normal(5, 7)],
    "batchnorm": lambda: [_normal(8, 5), _normal(5), _normal(5), {"mode": "train"}],
    "layernorm": lambda: [_normal(5, 8), _normal(8), _normal(8), {}],
    "spatial_batchnorm": lambda: [_normal(3, 4, 3, 2), _normal(4), _normal(4), {"mode": "train"}],
    "spatial_groupnorm": lambda: [_normal(2, 6, 3, 2), _normal(1, 6, 1, 1), _normal(1, 6, 1, 1), 2, {}],
    "dropout": lambda: [_normal(6, 7), {"mode": "train", "p": 0.7, "seed": 123}],
    "conv_relu_pool": lambda: [_normal(2, 3, 6, 6), _normal(2, 3, 3, 3), _normal(2), {"stride": 1, "pad": 1}, _POOL],
    "conv_relu": lambda: [_normal(2, 3, 5, 7), _normal(2, 3, 3, 3), _normal(2), {"stride": 2, "pad": 1}],
    "conv": lambda: [_normal(2, 3, 5, 7), _normal(2, 3, 3, 3), _normal(2), {"stride": 2, "pad": 1}],
    "max_pool": lambda: [_normal(2, 3, 4, 4), _POOL],
    "rnn_step": lambda: [_normal(4, 5), _normal(4, 6), _normal(5, 6), _normal(6, 6), _normal(6)],
    "rnn": lambda: [_normal(2, 4, 5), _normal(2, 6), _normal(5, 6), 0.3 * _normal(6, 6), _normal(6)],
    "lstm_step": lambda: [_normal(3, 4), _normal(3, 5), _normal(3, 5), _normal(4, 20), _normal(5, 20), _normal(20)],
    "lstm": lambda: [_normal(2, 4, 3), _normal(2, 5), _normal(3, 20), _normal(5, 20), _normal(20)],
    "word_embedding": lambda: [_labels(3, 4, classes=6), _normal(6, 5)],
    "temporal_affine": lambda: [_normal(2, 3, 4), _normal(4, 5), _normal(5)],
    "temporal_softmax_loss": lambda: [_normal(3, 4, 5), _labels(3, 4), np.arange(12).reshape(3, 4) % 3 > 0],
    "softmax_loss": lambda: [_normal(6, 5), _labels(6)],
    "svm_loss": lambda: [_normal(6, 5), _labels(6)],
}  # fmt: skip
#: Elsewhere the parameters' names say what to draw.
_SHAPES: dict[str, tuple[int, ...]] = {
    "x": (5, 6), "z": (5, 6), "scores": (5, 6), "logits": (5, 6), "w": (6, 4), "b": (4,), "gamma": (6,), "beta": (6,),
    "q": (4, 6), "k": (4, 6), "v": (4, 6),
}  # fmt: skip


def sample_inputs(name: str, forward: Callable[..., object]) -> list[Input] | None:
    """Inputs for a function of a course by its name, or by the names of its parameters; None if neither is known.

    Examples
    --------
    >>> [np.shape(a) for a in sample_inputs("affine", lambda x, w, b: x)]
    [(4, 2, 3), (6, 5), (5,)]
    """
    for known in sorted(_KNOWN, key=len, reverse=True):
        if name.startswith(known):
            return _KNOWN[known]()[: _count(forward)]
    found: list[Any] = []
    for key in _asked(forward):
        if key in ("y", "labels", "targets"):
            found.append(_labels(5))
        elif key in _SHAPES:
            found.append(_normal(*_SHAPES[key]))
        elif key.endswith("param"):
            found.append({"mode": "train"})
        else:
            return None
    return found or None


def matrices(forward: Callable[..., object]) -> list[Input]:
    """A matrix of positive numbers for every argument: for a function of which nothing is known.

    Examples
    --------
    >>> [a.shape for a in matrices(lambda ctx, a, b: a @ b)]
    [(4, 4), (4, 4)]
    """
    return [np.random.default_rng(i).uniform(0.5, 1.5, (4, 4)) for i in range(len(_asked(forward)))]


def _asked(forward: Callable[..., object]) -> list[str]:
    """The names of the parameters that inputs are needed for, in lower case."""
    names = []
    for parameter in inspect.signature(forward).parameters.values():
        if parameter.default is not parameter.empty or parameter.kind is parameter.VAR_KEYWORD:
            break
        names.append(parameter.name.lower())
    return names[1:] if names and names[0] in ("ctx", "context") else names


def _count(function: Callable[..., Any]) -> int | None:
    """How many arguments a function takes; None for any number."""
    kinds = inspect.signature(function).parameters.values()
    return None if any(p.kind is p.VAR_POSITIONAL for p in kinds) else len(kinds)


def cases(*modules: str | ModuleType) -> list[CourseCase]:
    """The pairs and losses that stand in modules.

    Parameters
    ----------
    *modules : str or module
        Their import names, or themselves.

    Raises
    ------
    ArgumentError
        If a pair is found for which no inputs are known; check it with :func:`~autodiff.testing.check_pair`.
    """
    return [case for module in modules for case in _cases(module)]


def pairs(module: ModuleType) -> Iterator[tuple[str, Callable[..., object], Callable[..., object] | None]]:
    """Name, forward and backward of the pairs that stand in a module, and of the losses, which have no backward."""
    for name, forward in sorted(vars(module).items()):
        stem, _, rest = name.partition("_forward")
        if callable(forward) and name.startswith(f"{stem}_forward") and not stem.startswith("_"):
            for key, backward in sorted(vars(module).items()):
                own = key == f"{stem}_backward{rest}" if rest else key.startswith(f"{stem}_backward")
                if own and callable(backward):
                    yield key, forward, backward
        elif name.endswith("_loss") and inspect.isfunction(forward) and sample_inputs(name, forward) is not None:
            yield name, forward, None


def _cases(module: str | ModuleType) -> Iterator[CourseCase]:
    home = importlib.import_module(module) if isinstance(module, str) else module
    for name, forward, backward in pairs(home):
        inputs = sample_inputs(name, forward)
        if inputs is None:
            raise ArgumentError(
                f"course: no inputs are known for {name}, whose forward takes {inspect.signature(forward)}; check it"
                " with check_pair and inputs of your own"
            )
        yield CourseCase(name, forward, backward, inputs)


def gradient_tests(*modules: str | ModuleType) -> Callable[..., None]:
    """A test function of pytest's with one case for every pair and loss in modules.

    Raises
    ------
    ArgumentError
        If there are none, or no inputs are known for one.
    """
    pytest = require("pytest")
    found = cases(*modules)
    if not found:
        names = ", ".join(getattr(module, "__name__", str(module)) for module in modules)
        raise ArgumentError(
            f"gradient_tests: {names or 'no module'} defines no <name>_forward with <name>_backward, and no loss whose"
            " inputs are known"
        )

    def test_gradients(case: CourseCase) -> None:
        case.check()

    made: Callable[..., None] = pytest.mark.parametrize("case", found, ids=[c.name for c in found])(test_gradients)
    return made


def check_network(model: ArrayLike, x: ArrayLike, y: ArrayLike, raises: bool = True) -> Report:
    """Check a network whose parameters stand in a dict ``model.params`` and whose ``model.loss(x, y)`` returns the loss
    and a dict of gradients, as CS231n's do.

    Raises
    ------
    GradientMismatch
        If a gradient is wrong.
    ArgumentError
        If ``model`` has no such dict or no ``loss``.
    """
    if not isinstance(getattr(model, "params", None), dict) or not callable(getattr(model, "loss", None)):
        raise ArgumentError(
            f"check_network: a {type(model).__name__} has no dict params beside loss(x, y), as CS231n's networks have;"
            " a layer goes to check_layer"
        )

    def loss(params: dict[str, Any]) -> Any:
        kept = model.params  # type: ignore[union-attr]
        model.params = params  # type: ignore[union-attr]
        try:
            return model.loss(x, y)  # type: ignore[union-attr]
        finally:
            model.params = kept  # type: ignore[union-attr]

    params = {key: np.asarray(value, np.float64) for key, value in model.params.items()}  # type: ignore[union-attr]
    return check_pair(loss, None, [params], name=type(model).__name__, raises=raises)


def check_layer(layer: ArrayLike, x: ArrayLike, gradients: dict[str, str] | None = None, raises: bool = True) -> Report:
    """Check a layer object with ``forward(x)`` and ``backward(dout)``, and the gradients that it keeps of its
    parameters.

    Parameters
    ----------
    layer : object
    x : ndarray
    gradients : dict of str to str, optional
        Of every parameter attribute the attribute of its gradient; by default such pairs as ``W`` and ``dW``,
        ``weight`` and ``weight_grad`` or ``grad_weight`` are found, and dicts ``params`` and ``grads`` of the same
        keys.
    raises : bool

    Raises
    ------
    GradientMismatch
        If a gradient is wrong.
    ArgumentError
        If ``layer`` is a class, or lacks one of the passes.
    """
    if isinstance(layer, type) or not all(callable(getattr(layer, name, None)) for name in ("forward", "backward")):
        what = f"the class {layer.__name__}" if isinstance(layer, type) else f"a {type(layer).__name__}"
        raise ArgumentError(f"check_layer: needs an object with forward(x) and backward(dout), got {what}")
    before = {key: value for key, value in vars(layer).items() if _is_float(value)}
    layer.backward(np.ones_like(np.asarray(layer.forward(x), np.float64)))  # type: ignore[union-attr]
    slots = list(_slots(layer, gradients))

    def set_to(values: Sequence[Any]) -> None:
        for (home, key, other, grad), value in zip(slots, values, strict=True):
            home[key], other[grad] = value, np.zeros_like(value)

    kept = [home[key] for home, key, _, _ in slots]

    def forward(x: Any, *values: Any) -> Any:
        set_to(values)
        return layer.forward(x), None  # type: ignore[union-attr]

    def backward(dout: Any, cache: Any) -> Any:
        dx = layer.backward(dout)  # type: ignore[union-attr]
        return (dx, *(other[grad] for _, _, other, grad in slots))

    known = {key for _, key, _, grad in slots for key in (key, grad)}
    alone = [key for key, value in before.items() if key not in known and vars(layer).get(key) is value]
    try:
        report = check_pair(forward, backward, [x, *kept], name=type(layer).__name__, raises=False)
    finally:
        set_to(kept)
    for place, (_, key, _, _) in enumerate(slots, 1):
        report.note(f"argument {place} is the parameter {key}")
    for key in alone:
        report.note(f"not checked: the attribute {key}, beside which no gradient of it was found")
    if raises and report.verdict != "pass":
        raise GradientMismatch(report)
    return report


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _slots(layer: Any, gradients: dict[str, str] | None) -> Iterator[tuple[dict[str, Any], str, dict[str, Any], str]]:
    """The dicts and keys of a layer's parameters, each with the dict and the key of its gradient."""
    own = vars(layer)
    if gradients is not None:
        yield from ((own, key, own, other) for key, other in gradients.items())
        return
    homes = [(own, own)]
    homes += [
        (own[a], own[b])
        for a in ("params", "parameters")
        for b in ("grads", "gradients", "dparams")
        if a in own and b in own
    ]
    for home, other in homes:
        if not isinstance(home, dict) or not isinstance(other, dict):
            continue
        for key in [key for key, value in home.items() if _is_float(value)]:
            spelled = [
                f"d{key}",
                f"{key}_grad",
                f"grad_{key}",
                f"d_{key}",
                f"dLd{key}",
                *([key] if home is not other else []),
            ]
            for grad in spelled:
                if _is_float(other.get(grad)):
                    yield home, key, other, grad
                    break
