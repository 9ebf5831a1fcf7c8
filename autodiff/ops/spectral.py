"""Eigenvalues and singular values as functions of the matrix, with second derivatives where some of them are equal.

A function of the values alone, symmetric in equal ones, is as smooth as it is in them, but its derivatives through the
vectors read 0 / 0 there. With ``G = V diag(g) V'`` its gradient, the change of G along T has the entries ``D_ij B_ij``
with ``B = V' T V`` and ``D_ij = (g_i - g_j) / (w_i - w_j)``, whose limit at equal values is ``dg_i/dw_i - dg_i/dw_j``
(Lewis and Sendov 2001). Reverse mode asks the graph of ``g``. Forward mode knows the direction T, and takes those
vectors of equal values that make B diagonal: along a line the values are smooth (Rellich 1969), and the limit is in
their tangents. Third derivatives come from a polynomial that agrees with the function
(:func:`_gradient_of_model`), in reverse mode and for small matrices; others at equal values are refused.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from autodiff.batching import Lanes, Unbatchable, is_batched
from autodiff.core.backward import gradients_of
from autodiff.core.errors import NotDifferentiableError
from autodiff.core.graph import Variable, topological_order
from autodiff.core.op import Primitive, registry, wrap
from autodiff.levels import Box
from autodiff.ops.common import bare


def _t(x: Any) -> Any:
    return np.swapaxes(x, -1, -2)


def _c(x: Any) -> Any:
    """The conjugate; of a cotangent it is the gradient as a direction (docs/complex.md), in which adjoint formulas are
    written.
    """
    return np.conjugate(x) if bare(x).dtype.kind == "c" else x


def _h(x: Any) -> Any:
    return _c(_t(x))


def _real(x: Any) -> Any:
    return np.real(x) if bare(x).dtype.kind == "c" else x


def _symmetric(x: Any) -> Any:
    return (x + _h(x)) / 2


def _real_diagonal(x: Any) -> Any:
    return _real(np.diagonal(x, axis1=-2, axis2=-1))


def _tracked(*values: Any) -> bool:
    return any(getattr(v, "_node", None) is not None for v in values)


def _tied(values: Any) -> Any:
    """Which pairs of different places hold equal values: (..., n, n).

    Equal up to a little more than half of the digits: a quotient of differences across less would lose as many.
    """
    plain = np.asarray(bare(values))
    size = np.max(np.abs(plain), axis=-1, keepdims=True, initial=0.0)[..., None]
    near = np.abs(plain[..., None, :] - plain[..., :, None]) <= np.finfo(plain.dtype).eps ** 0.575 * size
    return near & ~np.eye(plain.shape[-1], dtype=bool)


def _inverse_gaps(values: Any, tied: Any) -> Any:
    """``1 / (w_j - w_i)``, and 0 for equal ones."""
    apart = ~tied & ~np.eye(values.shape[-1], dtype=bool)
    return np.where(apart, 1 / np.where(apart, values[..., None, :] - values[..., :, None], 1), 0)


def _turned(w: Any, v: Any, b: Any) -> Any:
    """The columns of ``v`` turned within each run of equal values such that ``b`` becomes diagonal there."""
    v = v.copy()
    n = w.shape[-1]
    starts = np.ones(w.shape, bool)
    if n:
        starts[..., 1:] = ~_tied(w)[..., np.arange(1, n), np.arange(n - 1)]
    for place in np.ndindex(w.shape[:-1]):
        edges = [*np.flatnonzero(starts[place]), n]
        for start, stop in itertools.pairwise(edges):
            if stop - start > 1:
                _, q = np.linalg.eigh(b[place][start:stop, start:stop])
                v[place][:, start:stop] = v[place][:, start:stop] @ q
    return v


def _no_third() -> NotDifferentiableError:
    return NotDifferentiableError(
        "two eigenvalues or singular values are equal: first and second derivatives of functions of them are given, in"
        " reverse mode twice or forward over reverse (hvp, hessian), and third ones in reverse mode three times, of a"
        f" function of one call's values alone, of matrices of up to {_MOST} rows and columns; others are not. Use"
        " functions of the matrix itself (autodiff.linalg.matrix_function, np.linalg.matrix_power, np.linalg.slogdet)"
    )


# --- the gradient V diag(g) V' as an operation -----------------------------------------------------------------------


def _gradient(g: Any, x: Any, d: Any) -> Any:
    _, v = np.linalg.eigh(x)
    return _c(np.matmul(v * g[..., None, :], _h(v)))


def _gradient_in_g(s: Any, out: Any, g: Any, x: Any, d: Any) -> Any:
    if _tracked(s, g, x):
        raise _no_third()
    _, v = np.linalg.eigh(bare(x))
    return _real_diagonal(np.matmul(np.matmul(_h(v), _symmetric(s)), v))


def _gradient_in_x(s: Any, out: Any, g: Any, x: Any, d: Any) -> Any:
    if _tracked(s, g, x):
        raise _no_third()
    _, v = np.linalg.eigh(bare(x))
    inner = np.matmul(np.matmul(_h(v), _symmetric(s)), v)
    return _c(np.matmul(np.matmul(v, bare(d) * inner), _h(v)))


def _joint_tangent(t: Any, out: Any, z: Any) -> Any:
    if is_batched(t):
        raise Unbatchable
    if _tracked(t, z):
        raise _no_third()
    z, t = np.asarray(bare(z)), np.asarray(bare(t))
    x, g = z[..., :-1], np.real(z[..., -1])
    along, moved = _symmetric(t[..., :-1]), np.real(t[..., -1])
    w, v = np.linalg.eigh(x)
    v = _turned(w, v, np.matmul(np.matmul(_h(v), along), v))
    gaps = _inverse_gaps(w, _tied(w))
    middle = (g[..., None, :] - g[..., :, None]) * gaps * np.matmul(np.matmul(_h(v), along), v)
    middle = middle + moved[..., None, :] * np.eye(w.shape[-1])
    return _c(np.matmul(np.matmul(v, middle), _h(v)))


def _joint_rule(s: Any, out: Any, z: Any) -> Any:
    raise _no_third()


_gradient_ = Primitive("eigenvalue_gradient", _gradient, _gradient_in_g, _gradient_in_x, None)
# The matrix and g beside it, in one array: their tangents must be known together.
_joint_ = Primitive(
    "eigenvalue_gradient_joint",
    lambda z: _gradient(np.real(z[..., -1]), z[..., :-1], None),
    _joint_rule,
    tangent=_joint_tangent,
)
for _op in (_gradient_, _joint_):
    # No functions of their arguments to be verified by themselves: d and g follow from x.
    del registry[_op.name]


def _same(first: Any, second: Any) -> bool:
    """Whether two entries of the graph are one computation of one thing; not seen beyond 200 steps."""
    pairs, seen = [(first, second)], set()
    for _ in range(200):
        if not pairs:
            return True
        a, b = pair = pairs.pop()
        if a is b or pair in seen:
            continue
        seen.add(pair)
        if isinstance(a, Variable | None) or isinstance(b, Variable | None) or a.op is not b.op:
            return False
        kept = [(*(e.saved or ()), *(e.attrs or {}).values()) for e in pair]
        if len(kept[0]) != len(kept[1]) or not all(map(np.array_equal, *map(bare, kept))):
            return False
        pairs += zip(a.parents, b.parents, strict=True)
    return False


def _slopes(g: Any, values: Any) -> Any:
    """``dg_i / dw_j``, by the graph that leads from the values, and from others of the same matrix, to ``g``.

    Raises
    ------
    NotDifferentiableError
        If entries of ``g`` at equal values differ in what they depend on besides.
    """
    w = np.asarray(bare(values))
    slopes = np.zeros((*w.shape, w.shape[-1]))
    if not _tracked(g):
        return slopes
    own, places = getattr(values, "_node", None), []
    if own is not None:
        kin = next({op, given} for op, given in _GIVEN.items() if own.op in (op, given))
        found = (e for e in topological_order([g._node], beyond={own}) if not isinstance(e, Variable) and e.op in kin)
        places = [own, *(e for e in found if _same(e.parents[0], own.parents[0]))]
    reached = topological_order([g._node], beyond=places)
    others = [e for e in reached if isinstance(e, Variable)]

    def along(unit: Any) -> list[Any]:
        seed = wrap(unit.astype(bare(g).dtype), None)
        return gradients_of([g._node], [seed], [*places, *others], free=False, cut=True)

    for k in range(w.shape[-1]) if places else ():
        unit = np.zeros(w.shape)
        unit[..., k] = 1
        slopes[..., k, :] = sum(np.asarray(bare(row)) for row in along(unit)[: len(places)] if row is not None)
    for k in range(w.shape[-1] - 1) if others else ():
        pair = np.zeros(w.shape)
        pair[..., k] = _tied(w)[..., k, k + 1]
        one, both = (along(u)[len(places) :] for u in (pair, pair - np.roll(pair, 1, -1)))
        for a, b in zip(one, both, strict=True):
            if b is not None and np.any(
                np.abs(np.asarray(bare(b))) > 1e-7 * np.max(np.abs(np.asarray(bare(a))), initial=0)
            ):
                raise NotDifferentiableError(
                    "two eigenvalues or singular values are equal, and what they are multiplied with depends on the"
                    " matrix differently for each of them: the second derivative does not exist, or cannot be seen;"
                    " compute the values once, and write functions of these alone"
                )
    return slopes


def _limits(g: Any, values: Any, slopes: Any = None) -> Any:
    """``(g_i - g_j) / (w_i - w_j)``, where equal its limit."""
    w, plain = np.asarray(bare(values)), np.asarray(bare(g))
    tied = _tied(w)
    slopes = _slopes(g, values) if slopes is None else slopes
    own = np.diagonal(slopes, axis1=-2, axis2=-1)
    limit = (own[..., :, None] + own[..., None, :] - slopes - np.swapaxes(slopes, -1, -2)) / 2
    return np.where(tied, limit, (plain[..., None, :] - plain[..., :, None]) * _inverse_gaps(w, tied))


# --- third derivatives: a polynomial that agrees with the function ------------------------------------------------


#: Up to so many values; the third derivatives of a function of n values are n^2 backward passes.
_MOST = 8


def _of_values_alone(g: Any, values: Any) -> bool:
    """Whether nothing tracked leads to the cotangent ``g`` but the values."""
    if not _tracked(g):
        return True
    own = getattr(values, "_node", None)
    return not any(isinstance(e, Variable) for e in topological_order([g._node], beyond={own}) if e is not own)


def _derivatives(g: Any, values: Any) -> tuple[Any, Any]:
    """The first and second derivatives (n, n) and (n, n, n) of the cotangent ``g`` in the values."""

    def along(t: Any, unit: Any) -> Any:  # not beyond the values, whose own rule is what asks
        seed = wrap(unit.astype(t._data.dtype), None)
        return gradients_of([t._node], [seed], [values._node], create_graph=True, free=False, cut=True)[0]

    n = values.shape[0]
    first, second = np.zeros((n, n)), np.zeros((n, n, n))
    for i, unit in enumerate(np.eye(n)) if _tracked(g) else ():
        row = along(g, unit)
        if row is None:
            continue
        first[i] = np.asarray(bare(row))
        for j, other in enumerate(np.eye(n)) if _tracked(row) else ():
            column = along(row, other)
            if column is not None:
                second[i, j] = np.asarray(bare(column))
    return first, second


def _beyond(e: Any, left: int) -> Any:
    return np.zeros(())


def _beyond_rule(g: Any, out: Any, e: Any, left: int) -> Any:
    if not left:
        raise _no_third()
    return g * 0 * e + _beyond_.function(e, left - 1)


_beyond_ = Primitive(
    "beyond_the_model",
    _beyond,
    _beyond_rule,
    tangent=lambda t, out, e, left: np.sum(t * _beyond_rule(1.0, out, e, left)),
)
del registry[_beyond_.name]


def _gradient_of_model(g1: Any, first: Any, second: Any, x: Any) -> Any:
    """The gradient of a polynomial in ``x`` that has the derivatives up to the third of a function of its eigenvalues,
    whose derivatives in these are given: (n,), (n, n) and (n, n, n).

    With E the change of the matrix, each cluster c of equal values moves as the eigenvalues of a matrix of its size,
    ``N_c = PEP + PESEP + PESESEP - (PESSEP PEP + PEP PESSEP) / 2`` up to the third order, S being the resolvent on the
    other clusters (van Vleck; Kato 1966, II.2). A function that is symmetric within clusters is up to the third order a
    polynomial in the traces of their powers, whose coefficients are its derivatives in single values.
    """
    from autodiff.transforms import gradients

    w, v = np.linalg.eigh(np.asarray(bare(x)))
    starts = np.flatnonzero(np.r_[True, ~_tied(w)[np.arange(1, len(w)), np.arange(len(w) - 1)]])
    clusters = [np.arange(a, b) for a, b in zip(starts, [*starts[1:], len(w)], strict=True)]
    levels = np.concatenate([np.full(len(c), w[c].mean()) for c in clusters])
    e = np.matmul(np.matmul(v.T, _symmetric(x)), v) - np.diag(levels)
    traces = []
    for c in clusters:
        p = np.zeros((len(w), len(c)))
        p[c, np.arange(len(c))] = 1
        gaps = levels[c[0]] - levels
        gaps[c] = np.inf
        inverse = np.diag(1 / gaps)
        right = np.matmul(e, p)
        inner, once = np.matmul(p.T, right), np.matmul(inverse, right)
        moved = np.matmul(p.T, np.matmul(e, once))
        third = np.matmul(once.T, np.matmul(e, once)) - np.matmul(np.matmul(once.T, once), inner)
        block = inner + moved + third  # of the trace of the last term and its mirror image both halves are the same
        square = np.matmul(block, block)
        traces.append((np.trace(block), np.trace(square), np.trace(np.matmul(square, block))))
    total = _beyond_.function(e, 3)
    for a, (c, (p1, p2, p3)) in enumerate(zip(clusters, traces, strict=True)):
        i, many = c[0], len(c) > 1
        j = c[1] if many else i
        k = c[2] if len(c) > 2 else None
        total = total + g1[c].mean() * p1
        same, other = first[i, i], first[i, j] if many else 0.0
        total = total + ((same - other) * p2 + other * p1 * p1) / 2
        iii, iij = second[i, i, i], second[i, i, j] if many else 0.0
        ijk = second[i, j, k] if k is not None else 0.0
        total = total + ((iii - 3 * iij + 2 * ijk) * p3 + 3 * (iij - ijk) * p2 * p1 + ijk * p1 * p1 * p1) / 6
        for b, (d, (q1, _, _)) in enumerate(zip(clusters, traces, strict=True)):
            if a == b:
                continue
            outside = d[0]
            iid, ijd = second[i, i, outside], second[i, j, outside] if many else 0.0
            total = total + first[i, outside] * p1 * q1 / 2 + ((iid - ijd) * p2 + ijd * p1 * p1) * q1 / 2
            for f, (r1, _, _) in zip(clusters[b + 1 :], traces[b + 1 :], strict=True):
                if a < b:
                    total = total + second[i, outside, f[0]] * p1 * q1 * r1
    return gradients(total, x, create_graph=True)


def _by_graph(*values: Any) -> bool:
    return not any(isinstance(getattr(v, "_node", None), Box) for v in values)


# --- eigenvalues -------------------------------------------------------------------------------------------------


def _eigvalsh_rule(g: Any, out: Any, x: Any, uplo: str = "L") -> Any:
    g, x = _real(g), _symmetric(x)
    if not _tracked(g, x):
        _, v = np.linalg.eigh(bare(x))
        return _c(np.matmul(v * g[..., None, :], _h(v)))
    if not np.any(_tied(out)):
        from autodiff.ops.linalg import eigh_

        v = eigh_.function(x)[1]
        return _c(np.matmul(v * g[..., None, :], _h(v)))
    if _by_graph(g, x):
        if x.ndim == 2 and len(x) <= _MOST and bare(x).dtype.kind == "f" and _of_values_alone(g, out):
            return _gradient_of_model(np.asarray(bare(g)), *_derivatives(g, out), x)
        return _gradient_.function(g, x, _limits(g, out))
    return _joint_.function(np.concatenate([x, g[..., None]], axis=-1))


def _eigvalsh_tangent(t: Any, out: Any, x: Any, uplo: str = "L") -> Any:
    tied = np.any(_tied(out))
    if tied and is_batched(t):
        raise Unbatchable
    if tied and _tracked(t, x):
        raise _no_third()
    x = _symmetric(x)
    if _tracked(x):
        from autodiff.ops.linalg import eigh_

        v = eigh_.function(x)[1]
    else:
        w, v = np.linalg.eigh(bare(x))
        if tied:
            v = _turned(w, v, np.matmul(np.matmul(_h(v), _symmetric(bare(t))), v))
    return _real_diagonal(np.matmul(np.matmul(_h(v), _symmetric(t)), v))


def _sample_symmetric(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    n = draw.integer(1, 3)
    a = draw.array((n, n), -1.0, 1.0, distinct=True) + 2.5 * np.diag(np.arange(1.0, n + 1))
    return ((a + a.T) / 2,), {"uplo": draw.choice(("L", "U"))}


eigvalsh_ = Primitive(
    "eigvalsh",
    lambda x, uplo="L": np.linalg.eigvalsh(_symmetric(np.asarray(x)), UPLO=uplo),
    _eigvalsh_rule,
    sample=_sample_symmetric,
    tangent=_eigvalsh_tangent,
)


# --- values that came with their vectors -----------------------------------------------------------------------


def _ruled(rule: Any) -> Any:
    """A rule of (x) as one of (x, values)."""
    return lambda g, out, x, values: rule(g, out, x)


def with_rule_of_values(values: Any, op: Primitive, x: Any) -> Any:
    """Values that came with their vectors: where some are equal, and where a singular one is zero, with the rules of a
    function of the values alone.
    """
    special = values._data.__class__ is Lanes or np.any(_tied(values))
    if not special and not (op is svdvals_ and np.any(_zero(values, x.shape))):
        return values
    return _GIVEN[op].function(x, wrap(values._data, None))


# --- singular values ---------------------------------------------------------------------------------------------


def _zero(s: Any, shape: tuple[int, ...]) -> Any:
    plain = np.asarray(bare(s))
    return plain <= np.finfo(plain.dtype).eps * max(shape[-2:]) * np.max(plain, axis=-1, keepdims=True, initial=0.0)


def _modelled(g: Any, values: Any, shape: tuple[int, ...]) -> bool:
    return not np.any(_zero(values, shape)) and _of_values_alone(g, values)


def _no_forward_second() -> NotDifferentiableError:
    return NotDifferentiableError(
        "a singular value is zero: second derivatives are given in reverse mode twice, grad(lambda x: np.sum(grad(f)(x)"
        " * v)), and for other orders of the modes not; np.linalg.norm(x), traces and determinants need no singular"
        " values"
    )


def _flat(g: Any, zero: Any) -> Any:
    """Where a singular value of zero is no kink, since the slope is zero there, too: that of a square."""
    size = np.abs(np.asarray(bare(g)))
    return zero & (size <= np.finfo(size.dtype).eps ** 0.5 * np.max(size, axis=-1, keepdims=True, initial=0.0))


def _svdvals_rule(g: Any, out: Any, x: Any) -> Any:
    """At a singular value of zero there is a kink like that of ``abs``, and the cotangent counts for nothing. Where
    that is zero itself, as for squares, the function is as smooth as an even one: its second derivative counts.
    """
    g, zero = _real(g), _zero(out, x.shape)
    flat, given = _tracked(g) and np.any(_flat(g, zero)), g
    if flat and not _by_graph(g, x):
        raise _no_forward_second()
    g = np.where(zero, 0, g)
    tied = np.any(_tied(out)) or flat
    if not tied and not _tracked(g, x):
        u, _, vh = np.linalg.svd(bare(x), full_matrices=False)
        return _c(np.matmul(u * g[..., None, :], vh))
    if not tied:
        from autodiff.ops.linalg import svd_

        u, _, vh = svd_.function(x)
        return _c(np.matmul(u * g[..., None, :], vh))
    # The singular values are the largest eigenvalues of [[0, X], [X', 0]] (Jordan and Wielandt), and both derivatives
    # must take the same vectors of equal ones.
    m, n = x.shape[-2:]
    k, lead = min(m, n), tuple(x.shape[:-2])
    dtype = bare(x).dtype
    upper = np.concatenate([np.zeros((*lead, m, m), dtype), x], axis=-1)
    lower = np.concatenate([_h(x), np.zeros((*lead, n, n), dtype)], axis=-1)
    big = np.concatenate([upper, lower], axis=-2)
    rest = m + n - k
    padded = np.concatenate([np.broadcast_to(0 * g[..., :1], (*lead, rest)), np.flip(g, -1)], axis=-1)
    if not _tracked(g, x):
        gradient = _gradient(padded, big, None)
    elif _by_graph(g, x) and big.ndim == 2 and m + n <= _MOST and dtype.kind == "f" and _modelled(g, out, x.shape):
        at = np.arange(m + n - 1, rest - 1, -1)  # where the singular values stand among the eigenvalues
        first, second = np.zeros((m + n,) * 2), np.zeros((m + n,) * 3)
        first[np.ix_(at, at)], second[np.ix_(at, at, at)] = _derivatives(g, out)
        gradient = _gradient_of_model(np.asarray(bare(padded)), first, second, big)
    elif _by_graph(g, x):
        w = np.linalg.eigvalsh(np.asarray(bare(big)))
        plain = np.asarray(bare(padded))
        d = (plain[..., None, :] - plain[..., :, None]) * _inverse_gaps(w, _tied(w))
        slopes = _slopes(given, out)
        d[..., rest:, rest:] = np.flip(_limits(g, out, np.where(zero[..., None], 0, slopes)), (-1, -2))
        if flat:  # half of the second derivative of an even function, for each of the two signs
            own = np.where(_flat(given, zero), np.diagonal(slopes, axis1=-2, axis2=-1), 0)
            half = np.sum(own, -1, keepdims=True) / np.maximum(2 * np.sum(zero, -1, keepdims=True), 1)
            among = np.concatenate([zero, np.ones((*lead, rest - k), bool), np.flip(zero, -1)], axis=-1)
            among = among[..., None, :] & among[..., :, None] & np.any(zero, -1)[..., None, None]
            d = np.where(among, half[..., None], d)
        gradient = _gradient_.function(padded, big, d)
    else:
        gradient = _joint_.function(np.concatenate([big, padded[..., None]], axis=-1))
    return 2 * gradient[..., :m, m:]


def _svdvals_tangent(t: Any, out: Any, x: Any) -> Any:
    tied = np.any(_tied(out))
    if tied and is_batched(t):
        raise Unbatchable
    if tied and _tracked(t, x):
        raise _no_third()
    if _tracked(x):
        if np.any(_zero(out, x.shape)):
            raise _no_forward_second()
        from autodiff.ops.linalg import svd_

        u, _, vh = svd_.function(x)
        moved = _real_diagonal(np.matmul(np.matmul(_h(u), t), _h(vh)))
    else:
        u, s, vh = np.linalg.svd(bare(x), full_matrices=False)
        moved = np.matmul(np.matmul(_h(u), t), _h(vh))
        if tied:
            b = _symmetric(bare(moved))
            # Eigenvalues ascend, singular values descend.
            v = _turned(s, np.broadcast_to(np.eye(s.shape[-1], dtype=b.dtype), b.shape), -b)
            moved = np.matmul(np.matmul(_h(v), b), v)
        moved = _real_diagonal(moved)
    return np.where(_zero(out, x.shape), 0, moved)


def _sample_matrix(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    m, n = draw.integer(1, 3), draw.integer(1, 3)
    a = draw.array((m, n), -1.0, 1.0, distinct=True)
    a[np.arange(min(m, n)), np.arange(min(m, n))] += 2.0 * np.arange(1, min(m, n) + 1)
    return (a,), {}


svdvals_ = Primitive(
    "svdvals",
    lambda x: np.linalg.svd(x, compute_uv=False),
    _svdvals_rule,
    sample=_sample_matrix,
    tangent=_svdvals_tangent,
)

_GIVEN = {
    op: Primitive(
        f"{op.name}_given", lambda x, values: np.array(values), _ruled(rule), None, tangent=(_ruled(tangent), None)
    )
    for op, rule, tangent in (
        (eigvalsh_, _eigvalsh_rule, _eigvalsh_tangent),
        (svdvals_, _svdvals_rule, _svdvals_tangent),
    )
}
for _op in _GIVEN.values():
    del registry[_op.name]  # no function of its arguments to be verified by itself
