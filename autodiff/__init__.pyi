# fmt: off
"""Reverse-mode automatic differentiation on NumPy: every gradient derived by hand, proved equal to the composed graph,
and seen.

Written by docs/make_stubs.py; do not edit.
"""

from collections.abc import Callable, Sequence
from typing import Literal, overload

from numpy.typing import DTypeLike
from typing_extensions import TypeVar

import nn as nn
import optim as optim
from autodiff import array_api as array_api
from autodiff import decorators as decorators
from autodiff import extend as extend
from autodiff import fast as fast
from autodiff import fft as fft
from autodiff import functions as functions
from autodiff import fused as fused
from autodiff import higher as higher
from autodiff import implicit as implicit
from autodiff import integrate as integrate
from autodiff import interpolate as interpolate
from autodiff import kernels as kernels
from autodiff import linalg as linalg
from autodiff import ndimage as ndimage
from autodiff import optimize as optimize
from autodiff import performance as performance
from autodiff import random as random
from autodiff import reads as reads
from autodiff import signal as signal
from autodiff import sparse as sparse
from autodiff import special as special
from autodiff import stats as stats
from autodiff import testing as testing
from autodiff import viz as viz
from autodiff import watch as watch
from autodiff import zero_times_infinity as zero_times_infinity
from autodiff.coloring import sparse_hessian as sparse_hessian
from autodiff.coloring import sparse_jacobian as sparse_jacobian
from autodiff.compiler import compile as compile
from autodiff.compiler.jit import jit as jit
from autodiff.compiler.scan import fori_loop as fori_loop
from autodiff.compiler.scan import scan as scan
from autodiff.compiler.scan import while_loop as while_loop
from autodiff.core.errors import AnomalyError as AnomalyError
from autodiff.core.errors import ArgumentError as ArgumentError
from autodiff.core.errors import AutodiffError as AutodiffError
from autodiff.core.errors import CompileWarning as CompileWarning
from autodiff.core.errors import ConvergenceError as ConvergenceError
from autodiff.core.errors import CutWarning as CutWarning
from autodiff.core.errors import DTypeError as DTypeError
from autodiff.core.errors import ForeignArrayError as ForeignArrayError
from autodiff.core.errors import GradientMismatch as GradientMismatch
from autodiff.core.errors import GraphError as GraphError
from autodiff.core.errors import MissingExtraError as MissingExtraError
from autodiff.core.errors import NotDifferentiableError as NotDifferentiableError
from autodiff.core.errors import ShapeError as ShapeError
from autodiff.core.errors import SingularMatrixError as SingularMatrixError
from autodiff.core.modes import composed as composed
from autodiff.core.modes import enable_grad as enable_grad
from autodiff.core.modes import is_grad_enabled as is_grad_enabled
from autodiff.core.modes import no_grad as no_grad
from autodiff.core.modes import plain as plain
from autodiff.core.op import registry as registry
from autodiff.custom import custom_jvp as custom_jvp
from autodiff.custom import custom_vjp as custom_vjp
from autodiff.mapping import vmap as vmap
from autodiff.ops import creation as creation
from autodiff.ops.elementwise import constant as constant
from autodiff.results import Array, Gradient, Tree, ValueAndGradient
from autodiff.signatures import ArrayLike, Joiner, UniqueAllResult, UniqueCountsResult, UniqueInverseResult
from autodiff.tensor import Tensor as Tensor
from autodiff.tensor import from_dlpack as from_dlpack
from autodiff.tensor import tensor as tensor
from autodiff.transforms import checkpoint as checkpoint
from autodiff.transforms import elementwise_grad as elementwise_grad
from autodiff.transforms import hvp as hvp
from autodiff.transforms import linearize as linearize
from autodiff.transforms import vjp as vjp
from autodiff.watch import detect_anomaly as detect_anomaly

__version__: str
__all__ = [
    "AnomalyError", "ArgumentError", "AutodiffError", "CompileWarning", "ConvergenceError", "CutWarning", "DTypeError",
    "ForeignArrayError", "GradientMismatch", "GraphError", "MissingExtraError", "NotDifferentiableError", "ShapeError",
    "SingularMatrixError", "Tensor", "abs", "absolute", "add", "amax", "amin", "angle", "append", "apply_along_axis",
    "apply_over_axes", "arange", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "array",
    "array_split", "asanyarray", "asarray", "ascontiguousarray", "asfortranarray", "astype", "atleast_1d",
    "atleast_2d", "atleast_3d", "average", "bincount", "block", "broadcast_arrays", "broadcast_to", "c_", "cbrt",
    "checkpoint", "choose", "clip", "column_stack", "compile", "composed", "compress", "concatenate", "conj",
    "conjugate", "constant", "convolve", "copy", "copysign", "copyto", "corrcoef", "correlate", "cos", "cosh", "cov",
    "cross", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "custom_jvp", "custom_vjp", "deg2rad",
    "degrees", "delete", "detect_anomaly", "diag", "diagflat", "diagonal", "diff", "divide", "divmod", "dot", "dsplit",
    "dstack", "ediff1d", "einsum", "elementwise_grad", "empty", "empty_like", "enable_grad", "exp", "exp2",
    "expand_dims", "expm1", "extract", "eye", "fabs", "fft", "fill_diagonal", "flip", "fliplr", "flipud",
    "float_power", "fmax", "fmin", "fmod", "from_dlpack", "fromfunction", "full", "full_like", "fused", "geomspace",
    "grad", "gradient", "gradients", "heaviside", "hessian", "histogram", "histogram_bin_edges", "hsplit", "hstack",
    "hvp", "hypot", "i0", "identity", "imag", "indices", "inner", "insert", "interp", "is_grad_enabled", "ix_",
    "jacfwd", "jacobian", "jacrev", "jvp", "kron", "ldexp", "linalg", "linearize", "linspace", "log", "log10", "log1p",
    "log2", "logaddexp", "logaddexp2", "logspace", "matmul", "matrix_transpose", "matvec", "max", "maximum", "mean",
    "median", "meshgrid", "min", "minimum", "modf", "moveaxis", "multiply", "nan_to_num", "nancumprod", "nancumsum",
    "nanmax", "nanmean", "nanmedian", "nanmin", "nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum",
    "nanvar", "negative", "nextafter", "no_grad", "ones", "ones_like", "outer", "pad", "partition", "percentile",
    "piecewise", "place", "plain", "poly", "polyadd", "polyder", "polydiv", "polyfit", "polyint", "polymul", "polysub",
    "polyval", "positive", "power", "prod", "ptp", "put", "put_along_axis", "putmask", "quantile", "r_", "rad2deg",
    "radians", "ravel", "real", "real_if_close", "reciprocal", "registry", "remainder", "repeat", "reshape", "resize",
    "roll", "rollaxis", "roots", "rot90", "select", "sign", "signal", "sin", "sinc", "sinh", "sort", "split", "sqrt",
    "square", "squeeze", "stack", "std", "subtract", "sum", "swapaxes", "take", "take_along_axis", "tan", "tanh",
    "tensor", "tensordot", "tile", "trace", "transpose", "trapezoid", "tri", "tril", "triu", "unique_all",
    "unique_counts", "unique_inverse", "unique_values", "unstack", "unwrap", "value_and_grad", "vander", "var", "vdot",
    "vecdot", "vecmat", "vjp", "vmap", "vsplit", "vstack", "where", "zeros", "zeros_like",
]

c_: Joiner
r_: Joiner

A = TypeVar("A")

@overload
def grad(
    f: Callable[..., object], argnums: Literal[0] = 0, has_aux: Literal[False] = False, holomorphic: bool = False
) -> Gradient:
    """A function that returns the gradient of the scalar function ``f``."""

@overload
def grad(
    f: Callable[..., object], argnums: Sequence[int], has_aux: Literal[False] = False, holomorphic: bool = False
) -> Callable[..., tuple[Tree, ...]]: ...
@overload
def grad(
    f: Callable[..., object], argnums: int, has_aux: Literal[False] = False, holomorphic: bool = False
) -> Callable[..., Tree]: ...
@overload
def grad(
    f: Callable[..., tuple[object, A]], argnums: int | Sequence[int] = 0, *, has_aux: Literal[True],
    holomorphic: bool = False,
) -> Callable[..., tuple[Tree, A]]: ...
@overload
def gradients(
    outputs: Tensor | Sequence[Tensor], inputs: Tensor,
    grad_outputs: ArrayLike | Sequence[ArrayLike | None] | None = None, create_graph: bool = False,
    retain_graph: bool | None = None, allow_unused: Literal[False] = False,
) -> Array:
    """The gradients of ``sum(<grad_output, output>)`` with respect to ``inputs``; no ``.grad`` is touched."""

@overload
def gradients(
    outputs: Tensor | Sequence[Tensor], inputs: Sequence[Tensor],
    grad_outputs: ArrayLike | Sequence[ArrayLike | None] | None = None, create_graph: bool = False,
    retain_graph: bool | None = None, allow_unused: Literal[False] = False,
) -> tuple[Array, ...]: ...
@overload
def gradients(
    outputs: Tensor | Sequence[Tensor], inputs: Tensor,
    grad_outputs: ArrayLike | Sequence[ArrayLike | None] | None = None, create_graph: bool = False,
    retain_graph: bool | None = None, *, allow_unused: bool,
) -> Array | None: ...
@overload
def gradients(
    outputs: Tensor | Sequence[Tensor], inputs: Sequence[Tensor],
    grad_outputs: ArrayLike | Sequence[ArrayLike | None] | None = None, create_graph: bool = False,
    retain_graph: bool | None = None, *, allow_unused: bool,
) -> tuple[Array | None, ...]: ...
@overload
def hessian(
    f: Callable[..., object], argnums: int | Sequence[int] = 0, holomorphic: bool = False,
    has_aux: Literal[False] = False,
) -> Callable[..., Tree]:
    """A function that returns the Hessian of the scalar function ``f``: forward mode over reverse mode."""

@overload
def hessian(
    f: Callable[..., tuple[object, A]], argnums: int | Sequence[int] = 0, holomorphic: bool = False, *,
    has_aux: Literal[True],
) -> Callable[..., tuple[Tree, A]]: ...
@overload
def jacfwd(
    f: Callable[..., object], argnums: int | Sequence[int] = 0, has_aux: Literal[False] = False,
    holomorphic: bool = False,
) -> Callable[..., Tree]:
    """:func:`jacobian` by columns, all of them pushed forward at once: for functions with few inputs."""

@overload
def jacfwd(
    f: Callable[..., tuple[object, A]], argnums: int | Sequence[int] = 0, *, has_aux: Literal[True],
    holomorphic: bool = False,
) -> Callable[..., tuple[Tree, A]]: ...
@overload
def jacobian(
    f: Callable[..., object], argnums: int | Sequence[int] = 0, holomorphic: bool = False,
    has_aux: Literal[False] = False,
) -> Callable[..., Tree]:
    """A function that returns the Jacobian of ``f``, by columns or by rows, whichever are fewer."""

@overload
def jacobian(
    f: Callable[..., tuple[object, A]], argnums: int | Sequence[int] = 0, holomorphic: bool = False, *,
    has_aux: Literal[True],
) -> Callable[..., tuple[Tree, A]]: ...
@overload
def jacrev(
    f: Callable[..., object], argnums: int | Sequence[int] = 0, has_aux: Literal[False] = False,
    holomorphic: bool = False,
) -> Callable[..., Tree]:
    """:func:`jacobian` by rows, all of them pulled back at once: for functions with few outputs."""

@overload
def jacrev(
    f: Callable[..., tuple[object, A]], argnums: int | Sequence[int] = 0, *, has_aux: Literal[True],
    holomorphic: bool = False,
) -> Callable[..., tuple[Tree, A]]: ...
@overload
def jvp(
    f: Callable[..., object], args: Sequence[object], tangents: Sequence[object], has_aux: Literal[False] = False
) -> tuple[Tree, Tree]:
    """``f``'s value and its directional derivative ``J t``, in forward mode: in one run and without a graph."""

@overload
def jvp(
    f: Callable[..., tuple[object, A]], args: Sequence[object], tangents: Sequence[object], *, has_aux: Literal[True]
) -> tuple[Tree, Tree, A]: ...
@overload
def value_and_grad(
    f: Callable[..., object], argnums: Literal[0] = 0, has_aux: Literal[False] = False, holomorphic: bool = False
) -> ValueAndGradient:
    """A function that returns ``f``'s value and its gradient; arguments as :func:`grad`."""

@overload
def value_and_grad(
    f: Callable[..., object], argnums: Sequence[int], has_aux: Literal[False] = False, holomorphic: bool = False
) -> Callable[..., tuple[Array, tuple[Tree, ...]]]: ...
@overload
def value_and_grad(
    f: Callable[..., object], argnums: int, has_aux: Literal[False] = False, holomorphic: bool = False
) -> Callable[..., tuple[Array, Tree]]: ...
@overload
def value_and_grad(
    f: Callable[..., tuple[object, A]], argnums: int | Sequence[int] = 0, *, has_aux: Literal[True],
    holomorphic: bool = False,
) -> Callable[..., tuple[tuple[Array, A], Tree]]: ...
def abs(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.absolute``."""

def absolute(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.absolute``."""

def add(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.add``."""

def amax(
    a: ArrayLike, axis: int | Sequence[int] | None = None, out: None = None, keepdims: bool = False,
    initial: ArrayLike | None = None, where: ArrayLike = True,
) -> Tensor:
    """Differentiable ``numpy.max``. Ties share the gradient equally (docs/kinks.md); arguments as :func:`sum`."""

def amin(
    a: ArrayLike, axis: int | Sequence[int] | None = None, out: None = None, keepdims: bool = False,
    initial: ArrayLike | None = None, where: ArrayLike = True,
) -> Tensor:
    """Differentiable ``numpy.min``. Ties share the gradient equally (docs/kinks.md); arguments as :func:`sum`."""

def angle(z: ArrayLike, deg: bool = False) -> Tensor:
    """Differentiable ``numpy.angle``."""

def append(arr: ArrayLike, values: ArrayLike, axis: int | None = None) -> Tensor:
    """Differentiable ``numpy.append``."""

def apply_along_axis(
    func1d: Callable[..., object], axis: int, arr: ArrayLike, *args: ArrayLike, **kwargs: object
) -> Tensor:
    """Differentiable ``numpy.apply_along_axis``: the function is called on each slice and the results are stacked."""

def apply_over_axes(
    func: Callable[..., object], a: ArrayLike, axes: int | Sequence[int] | Sequence[Sequence[int]] | None
) -> Tensor:
    """Differentiable ``numpy.apply_over_axes``."""

def arange(*args: ArrayLike, requires_grad: bool = False, **kwargs: object) -> Tensor:
    """``numpy.arange`` as a Tensor: a constant, or a leaf with ``requires_grad=True``. Other arguments are NumPy's."""

def arccos(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.arccos``."""

def arccosh(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.arccosh``."""

def arcsin(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.arcsin``."""

def arcsinh(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.arcsinh``."""

def arctan(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.arctan``."""

def arctan2(y: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.arctan2``."""

def arctanh(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.arctanh``."""

def array(nested: ArrayLike, dtype: DTypeLike | None = None) -> Tensor:
    """Numbers, arrays and Tensors in nested lists, as one Tensor that is differentiable in each."""

def array_split(ary: ArrayLike, indices_or_sections: int | Sequence[int] | ArrayLike, axis: int = 0) -> list[Tensor]:
    """Differentiable ``numpy.array_split``: parts that may differ in length by one."""

def asanyarray(
    a: ArrayLike, dtype: DTypeLike | None = None, order: str | None = None, *, device: ArrayLike | None = None,
    copy: ArrayLike | None = None,
) -> Tensor:
    """Differentiable ``numpy.asanyarray``, a copy."""

def asarray(nested: ArrayLike, dtype: DTypeLike | None = None) -> Tensor:
    """Numbers, arrays and Tensors in nested lists, as one Tensor that is differentiable in each."""

def ascontiguousarray(
    a: ArrayLike, dtype: DTypeLike | None = None, order: str | None = None, *, device: ArrayLike | None = None,
    copy: ArrayLike | None = None,
) -> Tensor:
    """Differentiable ``numpy.ascontiguousarray``, a copy."""

def asfortranarray(
    a: ArrayLike, dtype: DTypeLike | None = None, order: str | None = None, *, device: ArrayLike | None = None,
    copy: ArrayLike | None = None,
) -> Tensor:
    """Differentiable ``numpy.asfortranarray``, a copy."""

def astype(x: ArrayLike, dtype: DTypeLike | None, copy: bool = True) -> Tensor:
    """``x`` in another dtype. Between floating-point and complex dtypes the gradient is cast back."""

@overload
def atleast_1d(ary: ArrayLike, /) -> Tensor:
    """Differentiable ``numpy.atleast_1d``."""

@overload
def atleast_1d(*arys: ArrayLike) -> tuple[Tensor, ...]: ...
@overload
def atleast_2d(ary: ArrayLike, /) -> Tensor:
    """Differentiable ``numpy.atleast_2d``."""

@overload
def atleast_2d(*arys: ArrayLike) -> tuple[Tensor, ...]: ...
@overload
def atleast_3d(ary: ArrayLike, /) -> Tensor:
    """Differentiable ``numpy.atleast_3d``."""

@overload
def atleast_3d(*arys: ArrayLike) -> tuple[Tensor, ...]: ...
@overload
def average(
    a: ArrayLike, axis: int | Sequence[int] | None = None, weights: ArrayLike | None = None,
    returned: Literal[False] = False, *, keepdims: bool = False,
) -> Tensor:
    """Differentiable ``numpy.average`` in values and weights."""

@overload
def average(
    a: ArrayLike, axis: int | Sequence[int] | None = None, weights: ArrayLike | None = None, *,
    returned: Literal[True], keepdims: bool = False,
) -> tuple[Tensor, Tensor]: ...
@overload
def average(
    a: ArrayLike, axis: int | Sequence[int] | None = None, weights: ArrayLike | None = None, returned: bool = False, *,
    keepdims: bool = False,
) -> Tensor | tuple[Tensor, Tensor]: ...
def bincount(x: ArrayLike, /, weights: ArrayLike | None = None, minlength: int = 0) -> Tensor:
    """Differentiable ``numpy.bincount`` in its weights."""

def block(arrays: ArrayLike) -> Tensor:
    """Differentiable ``numpy.block``: nested lists of blocks."""

def broadcast_arrays(*args: ArrayLike, subok: bool = False) -> tuple[Tensor, ...]:
    """Differentiable ``numpy.broadcast_arrays``."""

def broadcast_to(array: ArrayLike, shape: int | Sequence[int] | None, subok: bool = False) -> Tensor:
    """Differentiable ``numpy.broadcast_to``."""

def cbrt(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.cbrt``."""

def choose(a: ArrayLike, choices: ArrayLike, out: None = None, mode: str = "raise") -> Tensor:
    """Differentiable ``numpy.choose``."""

def clip(
    a: ArrayLike, a_min: ArrayLike | None = None, a_max: ArrayLike | None = None, *, min: ArrayLike | None = None,
    max: ArrayLike | None = None, dtype: DTypeLike | None = None,
) -> Tensor:
    """Differentiable ``numpy.clip``. At a bound the gradient passes, as in PyTorch (docs/kinks.md)."""

def column_stack(tup: ArrayLike) -> Tensor:
    """Differentiable ``numpy.column_stack``."""

def compress(condition: ArrayLike, a: ArrayLike, axis: int | None = None, out: None = None) -> Tensor:
    """Differentiable ``numpy.compress``."""

def concatenate(
    arrays: ArrayLike, axis: int | None = 0, out: None = None, *, dtype: DTypeLike | None = None,
    casting: str = "same_kind",
) -> Tensor:
    """Differentiable ``numpy.concatenate``."""

def conj(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.conjugate``."""

def conjugate(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.conjugate``."""

def convolve(a: ArrayLike, v: ArrayLike, mode: str = "full") -> Tensor:
    """Differentiable ``numpy.convolve``: one vector against the shifted windows of the other."""

def copy(a: ArrayLike, order: str = "K", subok: bool = False) -> Tensor:
    """Differentiable ``numpy.copy``."""

def copysign(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.copysign``."""

def copyto(dst: ArrayLike, src: ArrayLike, casting: str = "same_kind", where: ArrayLike = True) -> None:
    """``numpy.copyto``, recorded if ``dst`` is a Tensor."""

def corrcoef(
    x: ArrayLike, y: ArrayLike | None = None, rowvar: bool = True, *, dtype: DTypeLike | None = None
) -> Tensor:
    """Differentiable ``numpy.corrcoef``."""

def correlate(a: ArrayLike, v: ArrayLike, mode: str = "valid") -> Tensor:
    """Differentiable ``numpy.correlate``."""

def cos(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.cos``."""

def cosh(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.cosh``."""

def cov(
    m: ArrayLike, y: ArrayLike | None = None, rowvar: bool = True, bias: bool = False, ddof: ArrayLike | None = None,
    fweights: ArrayLike | None = None, aweights: ArrayLike | None = None, *, dtype: DTypeLike | None = None,
) -> Tensor:
    """Differentiable ``numpy.cov`` in the observations and the weights ``aweights``."""

def cross(
    a: ArrayLike, b: ArrayLike, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Tensor:
    """Differentiable ``numpy.cross`` of vectors of length three."""

def cumprod(
    a: ArrayLike, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: None = None
) -> Tensor:
    """Differentiable ``numpy.cumprod``, exact where elements are zero."""

def cumsum(
    a: ArrayLike, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: None = None
) -> Tensor:
    """Differentiable ``numpy.cumsum``; ``axis=None`` runs over the flattened array."""

def cumulative_prod(
    x: ArrayLike, /, *, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: None = None,
    include_initial: bool = False,
) -> Tensor:
    """Differentiable ``numpy.cumulative_prod``."""

def cumulative_sum(
    x: ArrayLike, /, *, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: None = None,
    include_initial: bool = False,
) -> Tensor:
    """Differentiable ``numpy.cumulative_sum``."""

def deg2rad(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.deg2rad``."""

def degrees(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.rad2deg``."""

def delete(arr: ArrayLike, obj: int | slice | ArrayLike, axis: int | None = None) -> Tensor:
    """Differentiable ``numpy.delete``."""

def diag(v: ArrayLike, k: int = 0) -> Tensor:
    """Differentiable ``numpy.diag``: a vector to a matrix, a matrix to its diagonal."""

def diagflat(v: ArrayLike, k: int = 0) -> Tensor:
    """Differentiable ``numpy.diagflat``."""

def diagonal(a: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Differentiable ``numpy.diagonal``."""

def diff(a: ArrayLike, n: int = 1, axis: int = -1, prepend: ArrayLike = ..., append: ArrayLike = ...) -> Tensor:
    """Differentiable ``numpy.diff``."""

def divide(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.divide``."""

def divmod(x1: ArrayLike, x2: ArrayLike) -> tuple[Tensor, Tensor]:
    """Differentiable ``numpy.divmod``: the quotient is constant."""

def dot(a: ArrayLike, b: ArrayLike, out: None = None) -> Tensor:
    """Differentiable ``numpy.dot``: scalars multiply, vectors and matrices as ``@``, else the last axis with the last but one."""

def dsplit(ary: ArrayLike, indices_or_sections: int | Sequence[int] | ArrayLike) -> list[Tensor]:
    """Differentiable ``numpy.dsplit``."""

def dstack(tup: ArrayLike) -> Tensor:
    """Differentiable ``numpy.dstack``."""

def ediff1d(ary: ArrayLike, to_end: ArrayLike | None = None, to_begin: ArrayLike | None = None) -> Tensor:
    """Differentiable ``numpy.ediff1d``."""

def einsum(
    *operands: ArrayLike | str, out: None = None, optimize: bool | str | Sequence[object] = False, **kwargs: object
) -> Tensor:
    """Differentiable ``numpy.einsum``, in both of NumPy's calling forms."""

def empty(*args: ArrayLike, requires_grad: bool = False, **kwargs: object) -> Tensor:
    """``numpy.empty`` as a Tensor: a constant, or a leaf with ``requires_grad=True``. Other arguments are NumPy's."""

def empty_like(*args: ArrayLike, requires_grad: bool = False, **kwargs: object) -> Tensor:
    """``numpy.empty_like`` as a Tensor: a constant, or a leaf with ``requires_grad=True``. Other arguments are NumPy's."""

def exp(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.exp``."""

def exp2(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.exp2``."""

def expand_dims(a: ArrayLike, axis: int | Sequence[int] | None) -> Tensor:
    """Differentiable ``numpy.expand_dims``."""

def expm1(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.expm1``."""

def extract(condition: ArrayLike, arr: ArrayLike) -> Tensor:
    """Differentiable ``numpy.extract``."""

def eye(*args: ArrayLike, requires_grad: bool = False, **kwargs: object) -> Tensor:
    """``numpy.eye`` as a Tensor: a constant, or a leaf with ``requires_grad=True``. Other arguments are NumPy's."""

def fabs(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.fabs``."""

def fill_diagonal(a: ArrayLike, val: ArrayLike, wrap: bool = False) -> None:
    """``numpy.fill_diagonal``, recorded if ``a`` is a Tensor."""

def flip(m: ArrayLike, axis: int | Sequence[int] | None = None) -> Tensor:
    """Differentiable ``numpy.flip``."""

def fliplr(m: ArrayLike) -> Tensor:
    """Differentiable ``numpy.fliplr``."""

def flipud(m: ArrayLike) -> Tensor:
    """Differentiable ``numpy.flipud``."""

def float_power(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.float_power``."""

def fmax(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.fmax``."""

def fmin(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.fmin``."""

def fmod(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.fmod``."""

def fromfunction(*args: ArrayLike, requires_grad: bool = False, **kwargs: object) -> Tensor:
    """``numpy.fromfunction`` as a Tensor: a constant, or a leaf with ``requires_grad=True``. Other arguments are NumPy's."""

def full(
    shape: int | Sequence[int] | None, fill_value: ArrayLike, dtype: DTypeLike | None = None, *,
    requires_grad: bool = False,
) -> Tensor:
    """``numpy.full`` as a Tensor, differentiable in ``fill_value``."""

def full_like(
    a: ArrayLike, fill_value: ArrayLike, dtype: DTypeLike | None = None, *, requires_grad: bool = False
) -> Tensor:
    """``numpy.full_like`` as a Tensor, differentiable in ``fill_value``: an array of ``a``'s shape and dtype."""

def geomspace(
    start: ArrayLike, stop: ArrayLike, num: int = 50, endpoint: bool = True, dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Tensor:
    """Differentiable ``numpy.geomspace`` in both ends, which must be positive."""

def gradient(
    f: ArrayLike, *varargs: ArrayLike, axis: int | Sequence[int] | None = None, edge_order: int = 1
) -> Tensor | tuple[Tensor, ...]:
    """Differentiable ``numpy.gradient`` in the values and in the spacings, which may be steps or coordinates."""

def heaviside(x1: ArrayLike, x2: ArrayLike) -> Tensor:
    """Differentiable ``numpy.heaviside``: at 0 it is its second argument."""

def histogram(
    a: ArrayLike, bins: int | str | ArrayLike = 10, range: ArrayLike | None = None, density: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[Tensor, Tensor]:
    """Differentiable ``numpy.histogram`` in its weights and its edges; counts are constants."""

def histogram_bin_edges(
    a: ArrayLike, bins: int | str | ArrayLike = 10, range: ArrayLike | None = None, weights: ArrayLike | None = None
) -> Tensor:
    """Differentiable ``numpy.histogram_bin_edges``: between the extremes of the values, or of ``range``."""

def hsplit(ary: ArrayLike, indices_or_sections: int | Sequence[int] | ArrayLike) -> list[Tensor]:
    """Differentiable ``numpy.hsplit``."""

def hstack(tup: ArrayLike, *, dtype: DTypeLike | None = None, casting: str = "same_kind") -> Tensor:
    """Differentiable ``numpy.hstack``."""

def hypot(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.hypot``."""

def i0(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.i0``."""

def identity(*args: ArrayLike, requires_grad: bool = False, **kwargs: object) -> Tensor:
    """``numpy.identity`` as a Tensor: a constant, or a leaf with ``requires_grad=True``. Other arguments are NumPy's."""

def imag(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.imag``."""

def indices(*args: ArrayLike, requires_grad: bool = False, **kwargs: object) -> Tensor:
    """``numpy.indices`` as a Tensor: a constant, or a leaf with ``requires_grad=True``. Other arguments are NumPy's."""

def inner(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Differentiable ``numpy.inner``: the last axis with the last axis."""

def insert(arr: ArrayLike, obj: int | slice | ArrayLike, values: ArrayLike, axis: int | None = None) -> Tensor:
    """Differentiable ``numpy.insert``; ``values`` are cast to the dtype of ``arr``."""

def interp(
    x: ArrayLike, xp: ArrayLike, fp: ArrayLike, left: ArrayLike | None = None, right: ArrayLike | None = None,
    period: ArrayLike | None = None,
) -> Tensor:
    """Differentiable ``numpy.interp`` in the points, the nodes and their values."""

def ix_(*args: ArrayLike) -> tuple[Tensor, ...]:
    """Differentiable ``numpy.ix_``."""

def kron(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Differentiable ``numpy.kron``."""

def ldexp(x1: ArrayLike, x2: ArrayLike) -> Tensor:
    """Differentiable ``numpy.ldexp`` in its first argument."""

@overload
def linspace(
    start: ArrayLike, stop: ArrayLike, num: int = 50, endpoint: bool = True, retstep: Literal[False] = False,
    dtype: DTypeLike | None = None, axis: int = 0, *, device: ArrayLike | None = None,
) -> Tensor:
    """Differentiable ``numpy.linspace`` in both ends."""

@overload
def linspace(
    start: ArrayLike, stop: ArrayLike, num: int = 50, endpoint: bool = True, *, retstep: Literal[True],
    dtype: DTypeLike | None = None, axis: int = 0, device: ArrayLike | None = None,
) -> tuple[Tensor, Tensor]: ...
@overload
def linspace(
    start: ArrayLike, stop: ArrayLike, num: int = 50, endpoint: bool = True, retstep: bool = False,
    dtype: DTypeLike | None = None, axis: int = 0, *, device: ArrayLike | None = None,
) -> Tensor | tuple[Tensor, Tensor]: ...
def log(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.log``."""

def log10(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.log10``."""

def log1p(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.log1p``."""

def log2(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.log2``."""

def logaddexp(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.logaddexp``."""

def logaddexp2(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.logaddexp2``."""

def logspace(
    start: ArrayLike, stop: ArrayLike, num: int = 50, endpoint: bool = True, base: ArrayLike = 10.0,
    dtype: DTypeLike | None = None, axis: int = 0,
) -> Tensor:
    """Differentiable ``numpy.logspace`` in both ends and the base."""

def matmul(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.matmul``."""

def matrix_transpose(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.matrix_transpose``: the last two axes exchanged."""

def matvec(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Differentiable ``numpy.matvec``: matrices times vectors, batched."""

def max(
    a: ArrayLike, axis: int | Sequence[int] | None = None, out: None = None, keepdims: bool = False,
    initial: ArrayLike | None = None, where: ArrayLike = True,
) -> Tensor:
    """Differentiable ``numpy.max``. Ties share the gradient equally (docs/kinks.md); arguments as :func:`sum`."""

def maximum(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.maximum``."""

def mean(
    a: ArrayLike, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: None = None,
    keepdims: bool = False, *, where: ArrayLike = True,
) -> Tensor:
    """Differentiable ``numpy.mean``; arguments as :func:`sum`."""

def median(
    a: ArrayLike, axis: int | Sequence[int] | None = None, out: None = None, overwrite_input: bool = False,
    keepdims: bool = False,
) -> Tensor:
    """Differentiable ``numpy.median``; of an even number the two in the middle share the gradient."""

def meshgrid(*xi: ArrayLike, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Differentiable ``numpy.meshgrid``."""

def min(
    a: ArrayLike, axis: int | Sequence[int] | None = None, out: None = None, keepdims: bool = False,
    initial: ArrayLike | None = None, where: ArrayLike = True,
) -> Tensor:
    """Differentiable ``numpy.min``. Ties share the gradient equally (docs/kinks.md); arguments as :func:`sum`."""

def minimum(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.minimum``."""

def modf(x: ArrayLike) -> tuple[Tensor, Tensor]:
    """Differentiable ``numpy.modf``: the fractional part moves with ``x``, the whole part is constant."""

def moveaxis(a: ArrayLike, source: ArrayLike, destination: ArrayLike) -> Tensor:
    """Differentiable ``numpy.moveaxis``."""

def multiply(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.multiply``."""

def nan_to_num(
    x: ArrayLike, copy: bool = True, nan: ArrayLike = 0.0, posinf: ArrayLike | None = None,
    neginf: ArrayLike | None = None,
) -> Tensor:
    """Differentiable ``numpy.nan_to_num``, in what is put in, too. ``copy=False`` writes into a Tensor."""

def nancumprod(
    a: ArrayLike, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: None = None
) -> Tensor:
    """Differentiable ``numpy.nancumprod``."""

def nancumsum(
    a: ArrayLike, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: None = None
) -> Tensor:
    """Differentiable ``numpy.nancumsum``."""

def nanmax(
    a: ArrayLike, axis: int | Sequence[int] | None = None, out: None = None, keepdims: bool = False, **kw: object
) -> Tensor:
    """Differentiable ``numpy.nanmax``."""

def nanmean(
    a: ArrayLike, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: None = None,
    keepdims: bool = False, **kw: object,
) -> Tensor:
    """Differentiable ``numpy.nanmean``."""

def nanmedian(
    a: ArrayLike, axis: int | Sequence[int] | None = None, out: None = None, overwrite_input: bool = False,
    keepdims: bool = False,
) -> Tensor:
    """Differentiable ``numpy.nanmedian``."""

def nanmin(
    a: ArrayLike, axis: int | Sequence[int] | None = None, out: None = None, keepdims: bool = False, **kw: object
) -> Tensor:
    """Differentiable ``numpy.nanmin``."""

def nanpercentile(
    a: ArrayLike, q: ArrayLike, axis: int | Sequence[int] | None = None, out: None = None, *args: ArrayLike,
    **kwargs: object,
) -> Tensor:
    """Differentiable ``numpy.nanpercentile``, all methods."""

def nanprod(
    a: ArrayLike, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: None = None,
    keepdims: bool = False, **kw: object,
) -> Tensor:
    """Differentiable ``numpy.nanprod``."""

def nanquantile(
    a: ArrayLike, q: ArrayLike, axis: int | Sequence[int] | None = None, out: None = None,
    overwrite_input: bool = False, method: str = "linear", keepdims: bool = False, **kwargs: object,
) -> Tensor:
    """Differentiable ``numpy.nanquantile`` in the values and, for the methods in which it moves, in ``q``."""

def nanstd(
    a: ArrayLike, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: None = None,
    ddof: float = 0, keepdims: bool = False, **kw: object,
) -> Tensor:
    """Differentiable ``numpy.nanstd``."""

def nansum(
    a: ArrayLike, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: None = None,
    keepdims: bool = False, **kw: object,
) -> Tensor:
    """Differentiable ``numpy.nansum``."""

def nanvar(
    a: ArrayLike, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: None = None,
    ddof: float = 0, keepdims: bool = False, **kw: object,
) -> Tensor:
    """Differentiable ``numpy.nanvar``."""

def negative(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.negative``."""

def nextafter(x1: ArrayLike, x2: ArrayLike) -> Tensor:
    """Differentiable ``numpy.nextafter``: as good as its first argument itself."""

def ones(*args: ArrayLike, requires_grad: bool = False, **kwargs: object) -> Tensor:
    """``numpy.ones`` as a Tensor: a constant, or a leaf with ``requires_grad=True``. Other arguments are NumPy's."""

def ones_like(*args: ArrayLike, requires_grad: bool = False, **kwargs: object) -> Tensor:
    """``numpy.ones_like`` as a Tensor: a constant, or a leaf with ``requires_grad=True``. Other arguments are NumPy's."""

def outer(a: ArrayLike, b: ArrayLike, out: None = None) -> Tensor:
    """Differentiable ``numpy.outer`` of the flattened arguments."""

def pad(
    array: ArrayLike, pad_width: ArrayLike | dict[int, int | tuple[int, int]], mode: str = "constant", **kwargs: object
) -> Tensor:
    """Differentiable ``numpy.pad``, in what is put around as well."""

def partition(
    a: ArrayLike, kth: ArrayLike, axis: int | None = -1, kind: str = "introselect",
    order: str | Sequence[str] | None = None,
) -> Tensor:
    """Differentiable ``numpy.partition``."""

def percentile(
    a: ArrayLike, q: ArrayLike, axis: int | Sequence[int] | None = None, out: None = None, *args: ArrayLike,
    **kwargs: object,
) -> Tensor:
    """Differentiable ``numpy.percentile``, all methods."""

def piecewise(
    x: ArrayLike, condlist: ArrayLike | Sequence[ArrayLike], funclist: Sequence[Callable[..., object] | ArrayLike],
    *args: ArrayLike, **kw: object,
) -> Tensor:
    """Differentiable ``numpy.piecewise``; every function sees the elements of its own piece only."""

def place(arr: ArrayLike, mask: ArrayLike, vals: ArrayLike) -> None:
    """``numpy.place``, recorded if ``arr`` is a Tensor."""

def poly(seq_of_zeros: ArrayLike) -> Tensor:
    """Differentiable ``numpy.poly`` in the roots, or in the matrix whose characteristic polynomial it is; its eigenvalues may be equal."""

def polyadd(a1: ArrayLike, a2: ArrayLike) -> Tensor:
    """Differentiable ``numpy.polyadd``."""

def polyder(p: ArrayLike, m: int = 1) -> Tensor:
    """Differentiable ``numpy.polyder``."""

def polydiv(u: ArrayLike, v: ArrayLike) -> tuple[Tensor, Tensor]:
    """Differentiable ``numpy.polydiv``: quotient and remainder, as long as NumPy's."""

def polyfit(
    x: ArrayLike, y: ArrayLike, deg: int, rcond: ArrayLike | None = None, full: bool = False,
    w: ArrayLike | None = None, cov: bool | str = False,
) -> Tensor:
    """Differentiable ``numpy.polyfit`` in points, values and weights, by :func:`numpy.linalg.lstsq`."""

def polyint(p: ArrayLike, m: int = 1, k: ArrayLike | None = None) -> Tensor:
    """Differentiable ``numpy.polyint`` in the coefficients and the constants ``k``."""

def polymul(a1: ArrayLike, a2: ArrayLike) -> Tensor:
    """Differentiable ``numpy.polymul``."""

def polysub(a1: ArrayLike, a2: ArrayLike) -> Tensor:
    """Differentiable ``numpy.polysub``."""

def polyval(p: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.polyval``, by Horner's rule, in coefficients and points; of a ``numpy.poly1d`` the coefficients of what it is put into."""

def positive(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.positive``."""

def power(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.power``."""

def prod(
    a: ArrayLike, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: None = None,
    keepdims: bool = False, initial: ArrayLike = 1, where: ArrayLike = True,
) -> Tensor:
    """Differentiable ``numpy.prod``, exact where elements are zero; arguments as :func:`sum`."""

def ptp(a: ArrayLike, axis: int | Sequence[int] | None = None, out: None = None, keepdims: bool = False) -> Tensor:
    """Differentiable ``numpy.ptp``: largest less smallest."""

def put(a: ArrayLike, ind: ArrayLike, v: ArrayLike, mode: str = "raise") -> None:
    """``numpy.put``, recorded if ``a`` is a Tensor."""

def put_along_axis(arr: ArrayLike, indices: ArrayLike, values: ArrayLike, axis: int | None) -> None:
    """``numpy.put_along_axis``, recorded if ``arr`` is a Tensor."""

def putmask(a: ArrayLike, mask: ArrayLike, values: ArrayLike) -> None:
    """``numpy.putmask``, recorded if ``a`` is a Tensor."""

def quantile(
    a: ArrayLike, q: ArrayLike, axis: int | Sequence[int] | None = None, out: None = None,
    overwrite_input: bool = False, method: str = "linear", keepdims: bool = False, **kwargs: object,
) -> Tensor:
    """Differentiable ``numpy.quantile`` in the values and, for the methods in which it moves, in ``q``."""

def rad2deg(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.rad2deg``."""

def radians(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.deg2rad``."""

def ravel(a: ArrayLike, order: str = "C") -> Tensor:
    """Differentiable ``numpy.ravel``: flattened to one axis."""

def real(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.real``."""

def real_if_close(a: ArrayLike, tol: float = 100) -> Tensor:
    """Differentiable ``numpy.real_if_close``."""

def reciprocal(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.reciprocal``."""

def remainder(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.remainder``."""

def repeat(a: ArrayLike, repeats: ArrayLike, axis: int | None = None) -> Tensor:
    """Differentiable ``numpy.repeat``."""

def reshape(
    a: ArrayLike, shape: int | Sequence[int] | None = None, order: str = "C", *, newshape: ArrayLike | None = None,
    copy: bool | None = None,
) -> Tensor:
    """Differentiable ``numpy.reshape``."""

def resize(a: ArrayLike, new_shape: int | Sequence[int]) -> Tensor:
    """Differentiable ``numpy.resize``: repeated as often as needed, or zeros where there is nothing to repeat."""

def roll(a: ArrayLike, shift: ArrayLike, axis: int | Sequence[int] | None = None) -> Tensor:
    """Differentiable ``numpy.roll``; ``shift`` and ``axis`` may be tuples."""

def rollaxis(a: ArrayLike, axis: int, start: int = 0) -> Tensor:
    """Differentiable ``numpy.rollaxis``."""

def roots(p: ArrayLike) -> Tensor:
    """Differentiable ``numpy.roots`` of simple roots: ``dr = -dp(r) / p'(r)``."""

def rot90(m: ArrayLike, k: int = 1, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = (0, 1)) -> Tensor:
    """Differentiable ``numpy.rot90``."""

def select(
    condlist: ArrayLike | Sequence[ArrayLike], choicelist: ArrayLike | Sequence[ArrayLike], default: ArrayLike = 0
) -> Tensor:
    """Differentiable ``numpy.select``: the first condition that holds decides."""

def sign(x: ArrayLike, /) -> Tensor:
    """``numpy.sign``: of real numbers a constant, of complex ones the differentiable ``z / |z|``, and 0 at 0."""

def sin(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.sin``."""

def sinc(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.sinc``."""

def sinh(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.sinh``."""

def sort(
    a: ArrayLike, axis: int | None = -1, kind: str | None = None, order: str | Sequence[str] | None = None, *,
    stable: bool | None = None,
) -> Tensor:
    """Differentiable ``numpy.sort``: the elements in the order found (ties in their order of appearance)."""

def split(ary: ArrayLike, indices_or_sections: int | Sequence[int] | ArrayLike, axis: int = 0) -> list[Tensor]:
    """Differentiable ``numpy.split``: equal parts, or parts cut at the given indices."""

def sqrt(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.sqrt``."""

def square(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.square``."""

def squeeze(a: ArrayLike, axis: int | Sequence[int] | None = None) -> Tensor:
    """Differentiable ``numpy.squeeze``: axes of length one removed."""

def stack(
    arrays: ArrayLike, axis: int = 0, out: None = None, *, dtype: DTypeLike | None = None, casting: str = "same_kind"
) -> Tensor:
    """Differentiable ``numpy.stack``: arrays of one shape along a new axis."""

def std(
    a: ArrayLike, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: None = None,
    ddof: float = 0, keepdims: bool = False, *, where: ArrayLike = True, mean: ArrayLike | None = None,
    correction: ArrayLike | None = None,
) -> Tensor:
    """Differentiable ``numpy.std``, with gradient 0 for a constant slice (docs/kinks.md)."""

def subtract(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``numpy.subtract``."""

def sum(
    a: ArrayLike, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: None = None,
    keepdims: bool = False, initial: ArrayLike = 0, where: ArrayLike = True,
) -> Tensor:
    """Differentiable ``numpy.sum``."""

def swapaxes(a: ArrayLike, axis1: int, axis2: int) -> Tensor:
    """Differentiable ``numpy.swapaxes``."""

def take(a: ArrayLike, indices: ArrayLike, axis: int | None = None, out: None = None, mode: str = "raise") -> Tensor:
    """Differentiable ``numpy.take``."""

def take_along_axis(arr: ArrayLike, indices: ArrayLike, axis: int | None = -1) -> Tensor:
    """Differentiable ``numpy.take_along_axis``: pairs with ``np.argsort`` and ``np.argmax(..., keepdims=True)``."""

def tan(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.tan``."""

def tanh(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.tanh``."""

def tensordot(a: ArrayLike, b: ArrayLike, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = 2) -> Tensor:
    """Differentiable ``numpy.tensordot``: a sum of products over the named axes, as one matrix product."""

def tile(A: ArrayLike, reps: int | Sequence[int]) -> Tensor:
    """Differentiable ``numpy.tile``."""

def trace(
    a: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: DTypeLike | None = None, out: None = None
) -> Tensor:
    """Differentiable ``numpy.trace``."""

def transpose(a: ArrayLike, axes: int | Sequence[int] | Sequence[Sequence[int]] | None = None) -> Tensor:
    """Differentiable ``numpy.transpose``: axes reversed, or permuted as told."""

def trapezoid(y: ArrayLike, x: ArrayLike | None = None, dx: ArrayLike = 1.0, axis: int = -1) -> Tensor:
    """Differentiable ``numpy.trapezoid`` in ordinates, abscissae and step."""

def tri(*args: ArrayLike, requires_grad: bool = False, **kwargs: object) -> Tensor:
    """``numpy.tri`` as a Tensor: a constant, or a leaf with ``requires_grad=True``. Other arguments are NumPy's."""

def tril(m: ArrayLike, k: int = 0) -> Tensor:
    """Differentiable ``numpy.tril``."""

def triu(m: ArrayLike, k: int = 0) -> Tensor:
    """Differentiable ``numpy.triu``."""

def unique_all(x: ArrayLike, /) -> UniqueAllResult:
    """Differentiable ``numpy.unique_all``: of equal elements the first has the gradient."""

def unique_counts(x: ArrayLike, /) -> UniqueCountsResult:
    """Differentiable ``numpy.unique_counts``: of equal elements the first has the gradient."""

def unique_inverse(x: ArrayLike, /) -> UniqueInverseResult:
    """Differentiable ``numpy.unique_inverse``: of equal elements the first has the gradient."""

def unique_values(x: ArrayLike, /) -> Tensor:
    """Differentiable ``numpy.unique_values``: of equal elements the first has the gradient."""

def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """Differentiable ``numpy.unstack``."""

def unwrap(
    p: ArrayLike, discont: ArrayLike | None = None, axis: int = -1, *, period: ArrayLike = 6.283185307179586
) -> Tensor:
    """Differentiable ``numpy.unwrap``, in the period, too: between the jumps as many periods are added."""

def vander(x: ArrayLike, N: int | None = None, increasing: bool = False) -> Tensor:
    """Differentiable ``numpy.vander``."""

def var(
    a: ArrayLike, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: None = None,
    ddof: float = 0, keepdims: bool = False, *, where: ArrayLike = True, mean: ArrayLike | None = None,
    correction: ArrayLike | None = None,
) -> Tensor:
    """Differentiable ``numpy.var``: ``sum((a - mean)**2) / (n - ddof)``; a ``mean=`` that is not the mean is refused."""

def vdot(a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """Differentiable ``numpy.vdot`` of the flattened arguments, the first conjugated."""

def vecdot(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """Differentiable ``numpy.vecdot``: sums of products along an axis, the first argument conjugated."""

def vecmat(x1: ArrayLike, x2: ArrayLike, /) -> Tensor:
    """Differentiable ``numpy.vecmat``: conjugated vectors times matrices, batched."""

def vsplit(ary: ArrayLike, indices_or_sections: int | Sequence[int] | ArrayLike) -> list[Tensor]:
    """Differentiable ``numpy.vsplit``."""

def vstack(tup: ArrayLike, *, dtype: DTypeLike | None = None, casting: str = "same_kind") -> Tensor:
    """Differentiable ``numpy.vstack``."""

@overload
def where(condition: ArrayLike, /) -> tuple[Tensor, ...]:
    """Differentiable ``numpy.where``: ``x`` where the condition holds, else ``y``."""

@overload
def where(condition: ArrayLike, x: ArrayLike, y: ArrayLike) -> Tensor: ...
def zeros(*args: ArrayLike, requires_grad: bool = False, **kwargs: object) -> Tensor:
    """``numpy.zeros`` as a Tensor: a constant, or a leaf with ``requires_grad=True``. Other arguments are NumPy's."""

def zeros_like(*args: ArrayLike, requires_grad: bool = False, **kwargs: object) -> Tensor:
    """``numpy.zeros_like`` as a Tensor: a constant, or a leaf with ``requires_grad=True``. Other arguments are NumPy's."""
