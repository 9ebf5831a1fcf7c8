"""Reverse-mode automatic differentiation on NumPy: every gradient derived by hand, proved equal to the composed graph,
and seen.

>>> import autodiff
>>> x = autodiff.tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
array([2., 4.])

Every differentiable NumPy function is here under NumPy's name (``autodiff.exp``, ``autodiff.einsum``); the same
functions run when NumPy's own are called on a Tensor (``np.exp(x)``).
"""

from importlib import import_module
from typing import Any

from autodiff import functions as functions, fast as fast  # isort: skip
from autodiff import decorators as decorators
from autodiff import dispatch as _dispatch
from autodiff import fused as fused
from autodiff import higher as higher
from autodiff import naming as _naming
from autodiff import reads as reads
from autodiff import watch as watch
from autodiff import words as _words
from autodiff import zero_times_infinity as zero_times_infinity
from autodiff.core.errors import (
    AnomalyError,
    ArgumentError,
    AutodiffError,
    CompileWarning,
    ConvergenceError,
    CutWarning,
    DTypeError,
    ForeignArrayError,
    GradientMismatch,
    GraphError,
    MissingExtraError,
    NotDifferentiableError,
    ShapeError,
    SingularMatrixError,
)
from autodiff.core.modes import composed, enable_grad, is_grad_enabled, no_grad, plain
from autodiff.core.op import registry
from autodiff.custom import custom_jvp, custom_vjp
from autodiff.mapping import vmap
from autodiff.ops import creation
from autodiff.ops.elementwise import astype, constant
from autodiff.ops.shaping import array
from autodiff.tensor import Tensor, from_dlpack, tensor
from autodiff.transforms import (
    checkpoint,
    elementwise_grad,
    grad,
    gradients,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    linearize,
    value_and_grad,
    vjp,
)
from autodiff.watch import detect_anomaly

__version__ = "0.1.0"

__all__ = [
    "AnomalyError",
    "ArgumentError",
    "AutodiffError",
    "CompileWarning",
    "ConvergenceError",
    "CutWarning",
    "DTypeError",
    "ForeignArrayError",
    "GradientMismatch",
    "GraphError",
    "MissingExtraError",
    "NotDifferentiableError",
    "ShapeError",
    "SingularMatrixError",
    "Tensor",
    "array",
    "astype",
    "checkpoint",
    "compile",
    "composed",
    "constant",
    "custom_jvp",
    "custom_vjp",
    "detect_anomaly",
    "elementwise_grad",
    "enable_grad",
    "fft",
    "from_dlpack",
    "fused",
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "is_grad_enabled",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linalg",
    "linearize",
    "no_grad",
    "plain",
    "registry",
    "signal",
    "tensor",
    "value_and_grad",
    "vjp",
    "vmap",
]

# Every differentiable NumPy function under NumPy's name: the table is the single place where one is added.
_NUMPY = {
    callable_.__name__: function
    for callable_, function in _dispatch.differentiable.items()
    if (getattr(callable_, "__module__", None) or "numpy") == "numpy" and callable_.__name__ not in __all__
}
_NUMPY = {name: _words.listening(function) for name, function in _NUMPY.items()}
_NUMPY |= {**creation.MAKERS, **{name: getattr(creation, name) for name in ("c_", "full", "full_like", "r_")}}
_NUMPY["asarray"] = array
_NUMPY["abs"] = _NUMPY["absolute"]
_NUMPY["conj"] = _NUMPY["conjugate"]
globals().update(_NUMPY)


_words.install(Tensor)

# After every operation has been registered.
from autodiff import fft, linalg, signal  # noqa: E402

__all__ += sorted(_NUMPY)

#: Subpackages that load more than NumPy, or much; ``autodiff.optimize.minimize`` works without importing them first.
_ON_DEMAND = tuple(
    (
        "array_api extend implicit integrate interpolate kernels ndimage nn optim optimize performance random sparse"
        " special stats testing viz"
    ).split()
)


#: Functions of modules that are loaded when first asked for: most programs compile nothing.
_FUNCTIONS_ON_DEMAND = {
    "compile": "autodiff.compiler",
    "fori_loop": "autodiff.compiler.scan",
    "jit": "autodiff.compiler.jit",
    "scan": "autodiff.compiler.scan",
    "sparse_hessian": "autodiff.coloring",
    "sparse_jacobian": "autodiff.coloring",
    "while_loop": "autodiff.compiler.scan",
}


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS_ON_DEMAND:
        return getattr(import_module(_FUNCTIONS_ON_DEMAND[name]), name)
    if name in _ON_DEMAND:
        return import_module(f"autodiff.{name}")
    raise _words.missing(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND, *_FUNCTIONS_ON_DEMAND} - {"Any", "import_module"})


_naming.refuse_free_threading()
_naming.notice_strangers()

# The operations that are there without SciPy; its own are registered when they are first asked for.
_AT_IMPORT = frozenset(registry)
