"""PyTorch's words on Tensors: the ones that mean what a NumPy name means work, the others say NumPy's spelling.

Two tables, one line a word. :data:`METHODS` holds what a method does in NumPy's terms. :data:`ADVICE` holds, for a
method or a function that is not here, what to write instead; asking for it raises an AttributeError that says so.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import numpy as np

from autodiff import fused
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from autodiff.ops import assignment, shaping
from autodiff.ops.common import bare

_UNARY = (
    "exp exp2 expm1 log log2 log10 log1p sqrt square sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh"
    " arctanh abs absolute sign floor ceil trunc reciprocal isnan isfinite isinf deg2rad rad2deg"
)
_BINARY = (
    "add subtract multiply divide power matmul maximum minimum equal less greater outer inner remainder fmod logaddexp"
    " hypot"
)


def _numpys(name: str) -> Callable[..., Any]:
    function = getattr(np, name)

    def method(t: Any, *others: Any) -> Any:
        return function(t, *others)

    return method


def _sizes(sizes: tuple[Any, ...]) -> Any:
    """One tuple, or several integers."""
    return sizes[0] if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes


def _view(t: Any, *sizes: Any) -> Any:
    if len(sizes) == 1 and not isinstance(sizes[0], int | np.integer | tuple | list):
        raise DTypeError(
            "view(dtype) of a tensor would read its bytes anew, which has no gradient; use t.astype(dtype)"
        )
    return t.reshape(*sizes) if sizes else t[...]


def _expand(t: Any, *sizes: Any) -> Any:
    wanted = _sizes(sizes)
    own = (1,) * (len(wanted) - t.ndim) + t.shape
    return shaping.broadcast_to(t, tuple(m if n == -1 else n for n, m in zip(wanted, own, strict=True)))


def _to(t: Any, where: Any = None, *, device: Any = None, dtype: Any = None, **options: Any) -> Any:
    """Only one device is there, the processor, and a dtype is cast to."""
    where = device if where is None else where
    if hasattr(where, "_node"):
        where, dtype = None, where.dtype if dtype is None else dtype
    if where is not None and not str(where).startswith("cpu"):
        if str(where).partition(":")[0] in ("cuda", "mps", "xpu", "gpu", "tpu", "xla", "meta"):
            raise ArgumentError(f"to({str(where)!r}): tensors live on the CPU, as NumPy's arrays do; leave it out")
        dtype = where
    return t if dtype is None else t.astype(dtype)


def _cuda(t: Any, *args: Any, **kwargs: Any) -> Any:
    raise ArgumentError("cuda(): tensors live on the CPU, as NumPy's arrays do; leave it out")


def _in_place(operation: str) -> Callable[..., Any]:
    def method(t: Any, other: Any, *, alpha: Any = 1) -> Any:
        return getattr(t, operation)(other if alpha.__class__ is int and alpha == 1 else other * alpha)

    return method


def _written(t: Any, value: Any) -> Any:
    assignment.assign(t, Ellipsis, value)
    return t


def _norm(t: Any, p: Any = None, dim: Any = None, keepdim: bool = False) -> Any:
    if p == "nuc":
        return np.linalg.norm(t, p, axis=dim, keepdims=keepdim)
    axis = tuple(dim) if isinstance(dim, list) else dim
    return np.linalg.vector_norm(t, axis=axis, ord=2 if p in (None, "fro") else p, keepdims=keepdim)


def _gather(t: Any, dim: int, index: Any) -> Any:
    """Along the other axes ``index`` may be shorter; it is not broadcast."""
    sizes, own = np.shape(bare(index)), list(t.shape)
    if len(sizes) == t.ndim:
        own[dim] = sizes[dim]
    if len(sizes) != t.ndim or any(n > m for n, m in zip(sizes, own, strict=True)):
        raise ShapeError(f"gather(dim={dim}): an index of shape {sizes} for a tensor of shape {t.shape}")
    part = [slice(n) for n in sizes]
    part[dim] = slice(None)
    return np.take_along_axis(t[tuple(part)], index, dim)


#: A Tensor's further methods, by name.
METHODS: dict[str, Callable[..., Any]] = {
    **{name: _numpys(name) for name in f"{_UNARY} {_BINARY}".split()},
    "asin": lambda t: np.arcsin(t),
    "acos": lambda t: np.arccos(t),
    "atan": lambda t: np.arctan(t),
    "asinh": lambda t: np.arcsinh(t),
    "acosh": lambda t: np.arccosh(t),
    "atanh": lambda t: np.arctanh(t),
    "amax": lambda t, dim=None, keepdim=False: t.max(axis=dim, keepdims=keepdim),
    "amin": lambda t, dim=None, keepdim=False: t.min(axis=dim, keepdims=keepdim),
    "neg": lambda t: -t,
    "rsqrt": lambda t: 1 / np.sqrt(t),
    "sigmoid": lambda t: fused.sigmoid.function(t),
    "relu": lambda t: fused.relu.function(t),
    "softmax": lambda t, dim=-1: fused.softmax.function(t, axis=dim),
    "log_softmax": lambda t, dim=-1: fused.log_softmax.function(t, axis=dim),
    "sub": lambda t, other: t - other,
    "mul": lambda t, other: t * other,
    "div": lambda t, other: t / other,
    "pow": lambda t, other: t**other,
    "mm": lambda t, other: t @ other,
    "bmm": lambda t, other: t @ other,
    "mv": lambda t, other: t @ other,
    "atan2": lambda t, other: np.arctan2(t, other),
    "eq": lambda t, other: t == other,
    "ne": lambda t, other: t != other,
    "lt": lambda t, other: t < other,
    "le": lambda t, other: t <= other,
    "gt": lambda t, other: t > other,
    "ge": lambda t, other: t >= other,
    "clamp": lambda t, min=None, max=None: np.clip(t, min, max),
    "norm": _norm,
    "view": _view,
    "view_as": lambda t, other: t.reshape(other.shape),
    "reshape_as": lambda t, other: t.reshape(other.shape),
    "permute": lambda t, *dims: t.transpose(*dims),
    "unsqueeze": lambda t, dim: np.expand_dims(t, dim),
    "expand": _expand,
    "expand_as": lambda t, other: shaping.broadcast_to(t, other.shape),
    "contiguous": lambda t: t,
    "t": lambda t: t.T,
    "flip": lambda t, *dims: np.flip(t, _sizes(dims)),
    "roll": lambda t, shifts, dims=None: np.roll(t, shifts, dims),
    "tril": lambda t, diagonal=0: np.tril(t, diagonal),
    "triu": lambda t, diagonal=0: np.triu(t, diagonal),
    "diag": lambda t, diagonal=0: np.diag(t, diagonal),
    "tile": lambda t, *dims: np.tile(t, _sizes(dims)),
    "masked_fill": lambda t, mask, value: np.where(mask, value, t),
    "where": lambda t, condition, other: np.where(condition, t, other),
    "masked_select": lambda t, mask: t[mask],
    "gather": _gather,
    "index_select": lambda t, dim, index: np.take(t, index, axis=dim),
    "dim": lambda t: t.ndim,
    "numel": lambda t: t._data.size,
    "nelement": lambda t: t._data.size,
    "is_floating_point": lambda t: t.dtype.kind == "f",
    "to": _to,
    "cpu": lambda t: t,
    "cuda": _cuda,
    "type_as": lambda t, other: t.astype(other.dtype),
    "float": lambda t: t.astype(np.float32),
    "double": lambda t: t.astype(np.float64),
    "half": lambda t: t.astype(np.float16),
    "int": lambda t: t.astype(np.int32),
    "long": lambda t: t.astype(np.int64),
    "bool": lambda t: t.astype(np.bool_),
    "add_": _in_place("__iadd__"),
    "sub_": _in_place("__isub__"),
    "mul_": _in_place("__imul__"),
    "div_": _in_place("__itruediv__"),
    "copy_": _written,
    "fill_": _written,
    "zero_": lambda t: _written(t, 0),
    "clamp_": lambda t, min=None, max=None: _written(t, np.clip(t, min, max)),
}

#: What to write instead of a method that is not here.
ADVICE: dict[str, str] = {
    "topk": "np.sort(t)[..., ::-1][..., :k], and np.argsort for the indices",
    "unfold": "np.lib.stride_tricks.sliding_window_view(t, size, axis)",
    "scatter": "t.at[index].set(v), or np.put_along_axis(t, index, v, axis)",
    "scatter_": "np.put_along_axis(t, index, v, axis)",
    "scatter_add": "t.at[index].add(v)",
    "scatter_add_": "np.add.at(t, index, v)",
    "index_add_": "np.add.at(t, index, v)",
    "index_put_": "t[index] = v",
    "index_fill_": "t[index] = v",
    "masked_fill_": "t[mask] = v",
    "chunk": "np.array_split(t, n, axis)",
    "split": "np.split(t, cuts, axis)",
    "unbind": "np.unstack(t), or iterate over t",
    "logsumexp": "autodiff.special.logsumexp(t, axis)",
    "cov": "np.cov(t)",
    "det": "np.linalg.det(t)",
    "inverse": "np.linalg.inv(t)",
    "svd": "np.linalg.svd(t)",
    "new_zeros": "autodiff.zeros(shape, t.dtype)",
    "new_ones": "autodiff.ones(shape, t.dtype)",
    "new_tensor": "autodiff.tensor(data, dtype=t.dtype)",
    "detach_": "t = t.detach()",
    "stride": "t.data.strides, in bytes",
    "tobytes": "t.data.tobytes()",
    "tofile": "t.data.tofile(file)",
    "setflags": "t.data.setflags(...)",
    "itemset": "t[index] = v",
    "is_cuda": "nothing: tensors live on the CPU",
    "grad_fn": "autodiff.viz.draw(t) shows the graph",
    "resize": "np.resize(t, shape)",
    "normal_": "autodiff.random.normal(0, 1, t.shape, rng=rng)",
    "uniform_": "autodiff.random.uniform(0, 1, t.shape, rng=rng)",
    "append": "np.append(t, v), or collect a list and autodiff.stack it",
    "type": "t.dtype, and t.astype(dtype)",
    "values": "t.data, the array",
    "share_memory_": "nothing: use optim.DataParallel",
    "pin_memory": "nothing: tensors live on the CPU",
    "apply_": "the NumPy function of the whole tensor",
    "map": "the NumPy function of the whole tensor",
    "eval": "model.eval() is a module's; a tensor has none",
}

#: The same for functions of the package: PyTorch's, JAX's, TensorFlow's and autograd's.
MODULE_ADVICE: dict[str, str] = {
    "cat": "autodiff.concatenate(arrays, axis=0)",
    "concat": "autodiff.concatenate(arrays, axis=0)",
    "unsqueeze": "autodiff.expand_dims(t, axis)",
    "permute": "autodiff.transpose(t, axes)",
    "clamp": "autodiff.clip(t, low, high)",
    "mm": "a @ b",
    "bmm": "a @ b",
    "mul": "a * b",
    "div": "a / b",
    "sub": "a - b",
    "pow": "a ** b",
    "norm": "autodiff.linalg.norm(t)",
    "inv": "autodiff.linalg.inv(t)",
    "det": "autodiff.linalg.det(t)",
    "svd": "autodiff.linalg.svd(t)",
    "solve": "autodiff.linalg.solve(a, b)",
    "rand": "autodiff.random.uniform(size=shape, rng=rng)",
    "randn": "autodiff.random.normal(size=shape, rng=rng)",
    "randint": "autodiff.tensor(rng.integers(low, high, shape))",
    "randperm": "autodiff.random.permutation(n, rng=rng)",
    "manual_seed": "rng = autodiff.random.default_rng(seed), given as rng= or generator=",
    "from_numpy": "autodiff.tensor(array)",
    "as_tensor": "autodiff.tensor(array)",
    "Variable": "autodiff.tensor(array, requires_grad=True)",
    "stop_gradient": "autodiff.constant(t)",
    "GradientTape": "tensors with requires_grad=True and loss.backward(), or autodiff.grad(f)",
    "relu": "nn.functional.relu(t)",
    "sigmoid": "nn.functional.sigmoid(t)",
    "softmax": "nn.functional.softmax(t, dim=-1)",
    "functional": "nn.functional",
    "float32": "numpy.float32",
    "float64": "numpy.float64",
    "int64": "numpy.int64",
    "float": "numpy.float32, or t.astype(numpy.float32)",
    "device": "nothing: tensors live on the CPU",
    "cuda": "nothing: tensors live on the CPU",
    "save": "nn.save(object, path), or t.data with numpy.save",
    "load": "nn.load(model, path)",
    "utils": "nn.utils: nn.utils.data.DataLoader, nn.utils.clip_grad_norm_; optim.datasets for known data",
    "backward": "loss.backward()",
    "detach": "t.detach()",
    "is_tensor": "isinstance(t, autodiff.Tensor)",
    "seed": "rng = autodiff.random.default_rng(seed), given as rng= or generator=",
    "autograd": "autodiff itself: autodiff.grad, autodiff.gradients, tensor.backward()",
    "numpy": "numpy itself: its functions take Tensors",
    "set_grad_enabled": "autodiff.no_grad() or autodiff.enable_grad()",
    "inference_mode": "autodiff.no_grad()",
    "masked_fill": "autodiff.where(mask, value, t)",
    "gather": "autodiff.take_along_axis(t, index, axis)",
    "topk": "autodiff.sort(t)[..., ::-1][..., :k]",
    "logsumexp": "autodiff.special.logsumexp(t, axis)",
    "tensor_split": "autodiff.array_split(t, n, axis)",
    "chunk": "autodiff.array_split(t, n, axis)",
}


class _Missing:
    """An attribute that is not there, and says what is. With ``__getattr__`` every look at a slot would take longer."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        raise missing(self.name, "Tensor", ADVICE)


def install(tensor: type) -> None:
    """Give the class its further methods; none of them takes the place of one that is there."""
    for name, function in METHODS.items():
        if not hasattr(tensor, name):
            function.__name__ = name
            function.__qualname__ = f"Tensor.{name}"
            function.__doc__ = function.__doc__ or f"PyTorch's ``{name}``, in NumPy's terms."
            setattr(tensor, name, function)

    # Of what NumPy has loaded: to ask it for a name may load a package.
    functions = [name for name, thing in vars(np).items() if callable(thing) and not isinstance(thing, type)]
    functions = [name for name in functions if not name.startswith("_")]
    for name in (*ADVICE, *functions):
        if not hasattr(tensor, name):
            setattr(tensor, name, _Missing(name))
    listed = lambda t: [n for n in object.__dir__(t) if type(inspect.getattr_static(t, n, None)) is not _Missing]
    tensor.__dir__ = listed  # type: ignore[method-assign, assignment]


@cache  # two names of one function, as max and amax, stay one
def listening(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the package that, called with PyTorch's name of an argument, says NumPy's."""
    if "axis" not in inspect.signature(function).parameters:
        return function

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            for theirs, ours in (("dim", "axis"), ("dims", "axis"), ("keepdim", "keepdims")):
                if theirs in kwargs:
                    raise ArgumentError(f"{function.__name__}: write {ours}= for {theirs}=, as in NumPy") from error
            raise

    call.__module__ = "autodiff"  # where pickle finds it
    return call


def missing(name: str, owner: str = "module 'autodiff'", advice: dict[str, str] = MODULE_ADVICE) -> AttributeError:
    """The error for a function of the package, or an attribute of a Tensor, that is not there."""
    hint = f"; NumPy's spelling is {advice[name]}" if name in advice else ""
    if not hint and callable(getattr(np, name, None)):
        hint = f"; NumPy's own works on Tensors: numpy.{name}"
    return AttributeError(f"{owner} has no attribute {name!r}{hint}")
