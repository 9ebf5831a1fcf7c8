"""Lyapunov's and Riccati's equations of control, under SciPy's names: ``autodiff.linalg.solve_continuous_are`` and kin.

Where X solves Riccati's equation, its change solves Lyapunov's with the closed loop ``A - B K`` (Laub 1979).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.core.op import Primitive
from autodiff.extras import require
from autodiff.ops.common import real_numbers
from autodiff.ops.scipy_functions import _in_lapack_dtype, solve_sylvester
from autodiff.ops.shaping import _tensor
from autodiff.ops.spectral import _h, _symmetric, _t


def solve_continuous_lyapunov(a: Any, q: Any) -> Any:
    """The matrix X with ``a X + X a' = q``, as ``scipy.linalg.solve_continuous_lyapunov``.

    Examples
    --------
    >>> import numpy as np
    >>> solve_continuous_lyapunov(np.eye(2), np.eye(2) * 4.0).data
    array([[2., 0.],
           [0., 2.]])
    """
    return solve_sylvester(a, _h(_tensor(a)), q)


def solve_discrete_lyapunov(a: Any, q: Any, method: str | None = None) -> Any:
    """The matrix X with ``a X a' - X + q = 0``, as ``scipy.linalg.solve_discrete_lyapunov``.

    Parameters
    ----------
    a, q : (n, n)
    method : {"direct", "bilinear"}, optional
        One system of n^2 unknowns, SciPy's choice below 10 rows, or Lyapunov's equation of a transformed matrix.

    Examples
    --------
    >>> import numpy as np
    >>> solve_discrete_lyapunov(np.eye(2) * 0.5, np.eye(2) * 3.0).data
    array([[4., 0.],
           [0., 4.]])
    """
    a, q = _tensor(a), _tensor(q)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or q.shape != a.shape:
        raise ShapeError(f"solve_discrete_lyapunov: needs two matrices (n, n), got shapes {a.shape} and {q.shape}")
    n = a.shape[0]
    method = ("direct" if n < 10 else "bilinear") if method is None else method
    if method not in ("direct", "bilinear"):
        raise ArgumentError(f"solve_discrete_lyapunov: method is 'direct' or 'bilinear', got {method!r}")
    if method == "direct":
        system = np.eye(n * n) - np.kron(a, np.conjugate(a))
        return np.reshape(np.linalg.solve(system, np.reshape(q, (-1,))), (n, n))
    below = np.linalg.inv(_h(a) + np.eye(n))
    b = np.matmul(_h(a) - np.eye(n), below)
    return solve_sylvester(_h(b), b, -2 * np.matmul(np.matmul(np.linalg.inv(a + np.eye(n)), q), below))


def _riccati(kind: str) -> Primitive:
    name = f"solve_{kind}_are"
    discrete = kind == "discrete"

    def forward(a: Any, b: Any, q: Any, r: Any) -> Any:
        real_numbers(name, a, b, q, r)
        a, b, q, r = (_in_lapack_dtype(np.asarray(part)) for part in (a, b, q, r))
        n, k = b.shape if b.ndim == 2 else (0, 0)
        if [part.shape for part in (a, b, q, r)] != [(n, n), (n, k), (n, n), (k, k)] or not b.size:
            shapes = ", ".join(str(part.shape) for part in (a, b, q, r))
            raise ShapeError(f"{name}: needs shapes (n, n), (n, k), (n, n) and (k, k), none empty, got {shapes}")
        return getattr(require("scipy.linalg"), name)(a, b, _symmetric(q), _symmetric(r))

    def loop(x: Any, a: Any, b: Any, r: Any) -> tuple[Any, Any, Any]:
        """The gain K, the closed loop, and what stands beside changes of A and B."""
        a, b, r = (part.astype(x.dtype) for part in (a, b, r))
        right = np.matmul(_t(b), x)
        gain = np.linalg.solve(
            _symmetric(r) + (np.matmul(right, b) if discrete else 0), np.matmul(right, a) if discrete else right
        )
        closed = a - np.matmul(b, gain)
        return gain, closed, np.matmul(x, closed) if discrete else x

    def lyapunov(closed: Any, m: Any) -> Any:
        found = solve_discrete_lyapunov(closed, m) if discrete else solve_continuous_lyapunov(closed, -m)
        return found if hasattr(closed, "_node") or hasattr(m, "_node") else found.data

    def pulled(g: Any, x: Any, a: Any, b: Any, r: Any) -> tuple[Any, Any, Any]:
        gain, closed, beside = loop(x, a, b, r)
        return lyapunov(closed, _symmetric(g)), gain, beside

    def moved(x: Any, a: Any, b: Any, r: Any, change: Any) -> Any:
        gain, closed, beside = loop(x, a, b, r)
        return lyapunov(_t(closed), change(gain, beside))

    def both(m: Any) -> Any:
        return m + _t(m)

    def in_a(g: Any, x: Any, a: Any, b: Any, q: Any, r: Any) -> Any:
        s, _, beside = pulled(g, x, a, b, r)
        return 2 * np.matmul(beside, s)

    def in_b(g: Any, x: Any, a: Any, b: Any, q: Any, r: Any) -> Any:
        s, gain, beside = pulled(g, x, a, b, r)
        return -2 * np.matmul(np.matmul(beside, s), _t(gain))

    def in_r(g: Any, x: Any, a: Any, b: Any, q: Any, r: Any) -> Any:
        s, gain, _ = pulled(g, x, a, b, r)
        return np.matmul(np.matmul(gain, s), _t(gain))

    def sample(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        n, k = draw.integer(1, 3), draw.integer(1, 2)
        c = draw.array((n, n), -0.5, 0.5)
        matrices = draw.array((n, n), -0.6, 0.6), draw.array((n, k), 0.3, 1.0), c @ c.T + np.eye(n), np.eye(k) * 1.5
        return matrices, {}

    return Primitive(
        name,
        forward,
        in_a,
        in_b,
        lambda g, x, a, b, q, r: pulled(g, x, a, b, r)[0],
        in_r,
        tangent=(
            lambda t, x, a, b, q, r: moved(x, a, b, r, lambda gain, beside: both(np.matmul(_t(t), beside))),
            lambda t, x, a, b, q, r: moved(
                x, a, b, r, lambda gain, beside: -both(np.matmul(_t(gain), np.matmul(_t(t), beside)))
            ),
            lambda t, x, a, b, q, r: moved(x, a, b, r, lambda gain, beside: _symmetric(t)),
            lambda t, x, a, b, q, r: moved(
                x, a, b, r, lambda gain, beside: np.matmul(_t(gain), np.matmul(_symmetric(t), gain))
            ),
        ),
        sample=sample,
        real_only=True,
    )


continuous_are, discrete_are = _riccati("continuous"), _riccati("discrete")


def solve_continuous_are(a: Any, b: Any, q: Any, r: Any) -> Any:
    """The matrix X with ``a' X + X a - X b r^-1 b' X + q = 0``, as ``scipy.linalg.solve_continuous_are``.

    Parameters
    ----------
    a : (n, n)
    b : (n, k)
    q : (n, n)
    r : (k, k)
        Real; of ``q`` and ``r`` the symmetric parts count.

    Raises
    ------
    numpy.linalg.LinAlgError
        If no stabilising solution is found.
    ShapeError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> gain = lambda r: solve_continuous_are([[0.0]], [[1.0]], [[4.0]], np.reshape(r, (1, 1)))[0, 0]
    >>> import autodiff
    >>> round(float(autodiff.grad(gain)(1.0)), 6)  # X = 2 sqrt(r)
    1.0
    """
    return continuous_are.function(a, b, q, r)


def solve_discrete_are(a: Any, b: Any, q: Any, r: Any) -> Any:
    """The matrix X with ``a' X a - X - a' X b (r + b' X b)^-1 b' X a + q = 0``, as ``scipy.linalg.solve_discrete_are``.

    Parameters and errors are those of :func:`solve_continuous_are`.

    Examples
    --------
    >>> import numpy as np
    >>> solve_discrete_are([[0.0]], [[1.0]], [[4.0]], [[1.0]]).data
    array([[4.]])
    """
    return discrete_are.function(a, b, q, r)
