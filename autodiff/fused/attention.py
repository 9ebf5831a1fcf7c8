"""Scaled dot-product attention, with softmax, masks and dropout in one step.

Notation, here and below, per head: queries Q (L, E), keys K (S, E), values V (S, D); scores ``Z = c Q K^T + M`` (L, S)
with ``c = 1 / sqrt(E)``; weights ``P = softmax(Z)`` along the keys; output ``O = P V`` (L, D). Source: Vaswani et al.
2017 (arXiv 1706.03762), section 3.2.1.

What a mask hides is not there: its weight is exactly 0, and nothing that stands there, be it NaN or infinity, reaches
an output or a gradient. A query that may see no key at all has output 0 and gradient 0, as in PyTorch's function of
this name (older releases gave NaN).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from autodiff.dispatch import bare
from autodiff.fast.thresholds import THRESHOLDS
from autodiff.fused.common import fused

__all__ = ["attention_with_weights", "scaled_dot_product_attention"]


# --- the definition ---------------------------------------------------------------------------------------------------


def attention_composed(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_mask: Any = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
) -> Any:
    """``softmax(scale query key^T + attn_mask) value``, the softmax along the keys.

    Parameters
    ----------
    query : (..., L, E)
    key : (..., S, E)
    value : (..., S, D)
    attn_mask : bool or float, broadcastable to (..., L, S), or None
        True where a query may look, or numbers added to the scores, of which -inf hides; a float mask has a gradient.
    dropout_mask : bool, (..., L, S), or None
        True where a weight is kept.
    is_causal : bool
        Query i sees keys 0 to i only; excludes ``attn_mask``.
    scale : float or None
        None: ``1 / sqrt(E)``.
    dropout_p : float
        The probability with which ``dropout_mask`` dropped; kept weights are divided by ``1 - dropout_p``.

    Returns
    -------
    Tensor, (..., L, D)

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If shapes do not fit, a mask is neither boolean nor float, or both a mask and ``is_causal`` are given.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.eye(2)
    >>> scaled_dot_product_attention(x, x, x, is_causal=True).data.round(3)
    array([[1.  , 0.  ],
           [0.33, 0.67]])
    """
    options: Any = {"is_causal": is_causal, "scale": scale, "dropout_p": dropout_p}
    return attention_with_weights(query, key, value, attn_mask, dropout_mask, **options)[0]


def attention_with_weights(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_mask: Any = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
) -> tuple[Any, Any]:
    """The definition in elementary operations, which hands out the weights, too, for those who want to see them.

    Parameters
    ----------
    query, key, value, attn_mask, dropout_mask, is_causal, scale, dropout_p
        As in :func:`scaled_dot_product_attention`.

    Returns
    -------
    output : Tensor or ndarray, (..., L, D)
    weights : Tensor or ndarray, (..., L, S)
        After dropout. Without, rows sum to 1; those that may see nothing are 0.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((2, 3))
    >>> attention_with_weights(x, x, x, is_causal=True)[1]
    array([[1. , 0. ],
           [0.5, 0.5]])
    """
    shape = _check(query, key, value, attn_mask, dropout_mask, is_causal)
    hidden = _hidden(shape, attn_mask, is_causal)
    # Where something is not finite all products are made one by one, so that those which a mask hides can be left out:
    # no 0 * inf.
    scaled = query * _scale(query, scale)
    careful = hidden is not None and not _finite(query, key, value)
    if not careful:
        scores = np.matmul(scaled, np.swapaxes(key, -1, -2))
    else:
        apart = hidden[..., None]
        scores = np.sum(np.where(apart, 0, scaled[..., :, None, :]) * np.where(apart, 0, key[..., None, :, :]), axis=-1)
    if attn_mask is not None and attn_mask.dtype != bool:
        scores = scores + attn_mask
    if hidden is not None:
        scores = np.where(hidden, -np.inf, scores)
    top = np.max(bare(scores), axis=-1, keepdims=True, initial=-np.inf)
    e = np.exp(scores - np.where(top == -np.inf, 0, top))
    if careful:
        e = np.where(hidden, 0, e)  # in a row whose largest score is NaN, everything became NaN
    total = np.sum(e, axis=-1, keepdims=True)
    weights = e / np.where(total == 0, 1, total)
    if dropout_mask is not None:
        weights = weights * (dropout_mask * _kept_scale(weights, dropout_p))
    if not careful:
        return np.matmul(weights, value), weights
    apart = hidden[..., None]
    return np.sum(np.where(apart, 0, weights[..., None]) * np.where(apart, 0, value[..., None, :, :]), axis=-2), weights


# --- what both share --------------------------------------------------------------------------------------------------


def _check(query: Any, key: Any, value: Any, attn_mask: Any, dropout_mask: Any, is_causal: bool) -> tuple[int, ...]:
    """The shape of the scores, everything checked."""
    shapes = f"query {query.shape}, key {key.shape}, value {value.shape}"
    if any(x.dtype.kind != "f" for x in (query, key, value)):
        raise DTypeError(
            f"scaled_dot_product_attention: needs floating-point arrays, got {query.dtype}, {key.dtype} and"
            f" {value.dtype}"
        )
    if (
        min(query.ndim, key.ndim, value.ndim) < 2
        or query.shape[-1] != key.shape[-1]
        or key.shape[-2] != value.shape[-2]
    ):
        raise ShapeError(
            f"scaled_dot_product_attention: {shapes}; they need shapes (..., L, E), (..., S, E) and (..., S, D)"
        )
    try:
        lead = np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    except ValueError as error:
        raise ShapeError(f"scaled_dot_product_attention: {shapes}; their leading axes do not broadcast") from error
    shape = (*lead, query.shape[-2], key.shape[-2])
    if attn_mask is not None:
        if is_causal:
            raise ArgumentError(
                "scaled_dot_product_attention: give attn_mask or is_causal=True, not both; combine them into one mask"
            )
        if attn_mask.dtype.kind not in "bf":
            raise DTypeError(
                "scaled_dot_product_attention: attn_mask is boolean (True: may look) or float (added), not"
                f" {attn_mask.dtype}"
            )
        _check_mask("attn_mask", attn_mask, shape)
    if dropout_mask is not None:
        _check_mask("dropout_mask", dropout_mask, shape)
    return shape


def _check_mask(name: str, mask: Any, shape: tuple[int, ...]) -> None:
    try:
        fits = np.broadcast_shapes(mask.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"scaled_dot_product_attention: {name} of shape {mask.shape} does not broadcast to the scores' shape"
            f" {shape}"
        )


def _hidden(shape: tuple[int, ...], attn_mask: Any, is_causal: bool) -> Any:
    """Where a query may not look, broadcastable to the scores and of two axes at least; None where everybody sees
    everything.
    """
    if is_causal:
        return _future(*shape[-2:])
    if attn_mask is None:
        return None
    mask = bare(attn_mask)
    hidden = ~mask if mask.dtype == bool else mask == -np.inf
    if mask.dtype != bool and not hidden.any():
        return None
    return hidden if hidden.ndim >= 2 else hidden.reshape((1, -1))


@lru_cache(maxsize=16)
def _future(length: int, keys: int) -> Any:
    hidden = np.triu(np.ones((length, keys), bool), 1)
    hidden.flags.writeable = False
    return hidden


def _finite(*arrays: Any) -> bool:
    return all(bool(np.isfinite(bare(a)).all()) for a in arrays)


def _scale(query: Any, scale: float | None) -> Any:
    return query.dtype.type(1 / math.sqrt(max(query.shape[-1], 1)) if scale is None else scale)


def _kept_scale(x: Any, p: float) -> Any:
    return x.dtype.type(1 / (1 - p) if p < 1 else 0.0)


def _product_without(hidden: Any, a: Any, b: Any) -> Any:
    """``a @ b`` less the terms ``a[..., i, j] b[..., j, :]`` where ``hidden[..., i, j]``: ``a`` is 0 there, but ``b``
    may be NaN or infinite.
    """
    bad = ~np.isfinite(b)
    out = np.matmul(a, np.where(bad, 0, b))
    for j in np.flatnonzero(bad.any(axis=(*range(b.ndim - 2), -1))):
        column = slice(j, j + 1)
        seen = ~hidden[..., column] & bad[..., column, :]
        out = out + np.where(seen, a[..., column], 0) * np.where(seen, b[..., column, :], 0)
    return out


# --- the fast way -----------------------------------------------------------------------------------------------------

# Causal attention runs over blocks of so many queries, each with the keys up to its end only: 0.62 of the work at four
# blocks. Measured by benchmarks/sequences.py.
_BLOCK = THRESHOLDS["QUERIES"].value


def _blocks(shape: tuple[int, ...], is_causal: bool) -> list[tuple[slice, slice]]:
    """Which queries are worked on together, and which keys they may see."""
    length, keys = shape[-2:]
    if not is_causal or length <= _BLOCK:
        return [(slice(None), slice(None))]
    return [(slice(a, min(a + _BLOCK, length)), slice(0, min(a + _BLOCK, keys))) for a in range(0, length, _BLOCK)]


def attention_forward(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_mask: Any = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
) -> tuple[Any, Any]:
    """The softmax stays unnormalised: ``P = r A`` with ``A = exp(Z - max)`` (L, S) and ``r = 1 / sum(A)`` (L, 1). The
    output is scaled instead.

    Residuals: by block of queries A, A with dropout (the same array without) and r; ``c Q``, K, V, O, where masks hide,
    and whether something is not finite.
    """
    shape = _check(query, key, value, attn_mask, dropout_mask, is_causal)
    hidden = _hidden(shape, attn_mask, is_causal)
    # Without a mask NaN and infinity spread as in any product; with one, they are to be kept where they are.
    careful = hidden is not None and not _finite(query, key, value)
    c = _scale(query, scale)
    scaled = query * c
    additive = None if attn_mask is None or attn_mask.dtype == bool else attn_mask
    outs, parts = [], []
    for rows, keys in _blocks(shape, is_causal):
        unseen = None if hidden is None else hidden[..., rows, keys]
        with np.errstate(invalid="ignore" if careful else None):
            weights = np.matmul(scaled[..., rows, :], key[..., keys, :].swapaxes(-1, -2))
            if (
                weights.ndim < len(shape) or weights.shape[:-2] != shape[:-2]
            ):  # the value has more heads than query and key
                weights = np.broadcast_to(weights, (*shape[:-2], *weights.shape[-2:])).copy()
            if additive is not None:
                weights += additive
            if unseen is not None:
                np.copyto(weights, -np.inf, where=unseen)
            top = np.max(weights, axis=-1, keepdims=True, initial=-np.inf)
            np.copyto(top, 0, where=top == -np.inf)
            weights -= top
            np.exp(weights, out=weights)
            if careful:
                np.copyto(weights, 0, where=unseen)  # in a row whose largest score is NaN, everything became NaN
            total = weights.sum(axis=-1, keepdims=True)
            np.copyto(total, 1, where=total == 0)
            r = np.reciprocal(total, out=total)
            kept, mask, factor = weights, None, r
            if dropout_mask is not None:
                mask = np.broadcast_to(dropout_mask, shape)[..., rows, keys]
                kept, factor = weights * mask, r * _kept_scale(weights, dropout_p)
            out = (partial(_product_without, unseen) if careful else np.matmul)(kept, value[..., keys, :])
            out *= factor
        outs.append(out)
        parts.append((rows, keys, weights, kept, mask, r, factor))
    out = outs[0] if len(outs) == 1 else np.concatenate(outs, axis=-2)
    return out, (parts, scaled, key, value, out, hidden, careful, c)


def attention_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """With ``g = dO`` (L, D), and B the dropout mask over ``1 - p`` (all ones without), so that ``O = (P * B) V``:

    - ``dV = (P * B)^T g``: (S, D).
    - ``dP = (g V^T) * B``: (L, S).
    - softmax along a row: ``dZ = P * (dP - t)`` with ``t_i = sum_j P_ij dP_ij = sum_j (P * B)_ij (g_i . V_j) = g_i .
      O_i``: t is (L, 1), and no pass over (L, S) is needed for it (Dao et al. 2022, arXiv 2205.14135, appendix B.2).
    - ``Z = c Q K^T + M``: ``dQ = c dZ K`` (L, E), ``dK = dZ^T (c Q)`` (S, E), ``dM = dZ`` (L, S), summed by the engine
      to the mask's shape.

    With ``P = r A`` the factor r is moved to the small side everywhere: ``dZ = A * ((r g V^T) * B - r t)``. A block of
    queries gives its own rows of dQ; what blocks give to the same keys is added.
    """
    parts, scaled, key, value, out, hidden, careful, c = residuals
    careful = careful or (hidden is not None and not _finite(g))

    def product(a: Any, b: Any, hidden: Any) -> Any:
        return _product_without(hidden, a, b) if careful else np.matmul(a, b)

    turned: Callable[[Any], Any] = lambda a: None if a is None else a.swapaxes(-1, -2)
    dqueries, dkeys, dvalues, dscores = [], [], [], None
    with np.errstate(invalid="ignore" if careful else None):
        for rows, keys, weights, kept, mask, r, factor in parts:
            unseen = None if hidden is None else hidden[..., rows, keys]
            here = g[..., rows, :]
            h = here * factor
            if needs[2]:
                dvalues.append((keys, product(turned(kept), h, turned(unseen))))
            if not (needs[0] or needs[1] or needs[3]):
                continue
            dscores = np.matmul(h, turned(value[..., keys, :]))
            if mask is not None:
                dscores *= mask
            dscores -= r * np.vecdot(here, out[..., rows, :])[..., None]
            dscores *= weights
            if careful:
                np.copyto(dscores, 0, where=unseen)
            if needs[0]:
                dqueries.append(product(dscores, key[..., keys, :], unseen))
            if needs[1]:
                dkeys.append((keys, product(turned(dscores), scaled[..., rows, :], turned(unseen))))
    dquery = None
    if needs[0]:
        dquery = dqueries[0] if len(dqueries) == 1 else np.concatenate(dqueries, axis=-2)
        dquery *= c
    # Only a call without a mask has several blocks, so the last scores are all of them.
    return dquery, _added(dkeys, key), _added(dvalues, value), dscores if needs[3] else None, None


def _added(parts: list[tuple[slice, Any]], like: Any) -> Any:
    """What blocks give to keys, added up; None where nothing was asked for."""
    if len(parts) <= 1:
        return parts[0][1] if parts else None
    first = parts[0][1]
    total = np.zeros((*first.shape[:-2], *like.shape[-2:]), first.dtype)
    for keys, part in parts:
        total[..., keys, :] += part
    return total


def _sample(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    lead = draw.shape(max_ndim=2, max_side=2)
    length, keys, width = draw.integer(1, 3), draw.integer(1, 4), draw.integer(1, 3)
    scores = (*lead, length, keys)
    kind = draw.choice(("none", "causal", "bool", "float", "rows"))
    mask = {"bool": draw.mask(scores[-2:]), "float": draw.array(scores), "rows": draw.array((keys,))}.get(kind)
    dropout = draw.mask(scores) if draw.boolean() else None
    arrays = (
        draw.array((*lead, length, width)),
        draw.array((*lead, keys, width)),
        draw.array((*lead, keys, draw.integer(1, 3))),
    )
    return (*arrays, mask, dropout), {
        "is_causal": kind == "causal",
        "scale": draw.choice((None, 0.5)),
        "dropout_p": 0.25 if dropout is not None else 0.0,
    }


scaled_dot_product_attention = fused(
    attention_composed,
    _sample,
    "softmax(Q Kᵀ / √E + M) V",
    label="attention",
    real_only=True,
    name="scaled_dot_product_attention",
)
