"""Attention: conventions of PyTorch over the fused primitive."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor, fused
from autodiff.core.errors import ShapeError
from nn.functional.common import as_input, as_number
from nn.init import default_generator

__all__ = ["attention_with_weights", "scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """``softmax(scale query key^T + attn_mask) value``, the softmax along the keys.

    Parameters
    ----------
    query : (..., L, E)
    key : (..., S, E)
    value : (..., S, D)
    attn_mask : bool or float, broadcastable to (..., L, S), optional
        True where a query may look (MultiheadAttention's masks mean the opposite), or numbers added to the scores, of
        which -inf hides. A float mask has a gradient. Whatever stands where a mask hides, NaN included, reaches no
        output and no gradient.
    dropout_p : float
        Probability with which a weight is dropped. There is no training flag: pass 0 in evaluation.
    is_causal : bool
        Query i sees keys 0 to i only; excludes ``attn_mask``.
    scale : float, optional
        Default ``1 / sqrt(E)``.
    enable_gqa : bool
        Let query have a multiple of key's and value's heads (axis -3): each of theirs serves as many neighbouring query
        heads.
    generator : numpy.random.Generator, optional
        Draws the dropout mask; default the one of ``nn.init.manual_seed``.

    Returns
    -------
    Tensor, (..., L, D)
        Zeros for a query that may see no key.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If shapes do not fit, a mask is neither boolean nor float, or both a mask and ``is_causal`` are given.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(2, 4, 6, 8))  # batch, heads, length, width
    >>> scaled_dot_product_attention(x, x, x, is_causal=True).shape
    (2, 4, 6, 8)
    """
    q, k, v, mask = as_input(query), as_input(key), as_input(value), None if attn_mask is None else as_input(attn_mask)
    if enable_gqa:
        k, v = (_shared_heads(q, a) for a in (k, v))
    mask = _in_dtype(mask, q)
    kept = _dropout_mask(q, k, v, dropout_p, generator)
    return fused.scaled_dot_product_attention.function(  # type: ignore[no-any-return]
        q, k, v, mask, kept, is_causal=is_causal, scale=scale, dropout_p=dropout_p
    )


def _in_dtype(mask: Any, query: Any) -> Any:
    """A float mask in query's precision: made by NumPy, it is float64 more often than meant."""
    return mask if mask is None or mask.dtype.kind != "f" or mask.dtype == query.dtype else mask.astype(query.dtype)


def _dropout_mask(query: Any, key: Any, value: Any, p: float, generator: np.random.Generator | None) -> Any:
    p = as_number("scaled_dot_product_attention", "dropout_p", p)
    if p == 0:
        return None
    lead = np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    return fused.dropout_mask((*lead, query.shape[-2], key.shape[-2]), p, default_generator(generator))


def _shared_heads(query: Any, x: Any) -> Any:
    """``x`` (..., heads, S, E) with each head as often as query has heads for it."""
    if min(query.ndim, x.ndim) < 3 or not x.shape[-3] or query.shape[-3] % x.shape[-3]:
        raise ShapeError(
            "scaled_dot_product_attention: enable_gqa needs heads on axis -3, query's a multiple of key's and value's;"
            f" got shapes {query.shape} and {x.shape}"
        )
    return np.repeat(x, query.shape[-3] // x.shape[-3], axis=-3)


def attention_with_weights(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    generator: np.random.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """:func:`scaled_dot_product_attention` that hands out its weights, too: slower, composed of elementary operations.

    Parameters
    ----------
    query, key, value, attn_mask, dropout_p, is_causal, scale, generator
        As there.

    Returns
    -------
    output : Tensor, (..., L, D)
    weights : Tensor, (..., L, S)
        After dropout, as PyTorch's MultiheadAttention returns them.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((1, 3, 2))
    >>> attention_with_weights(x, x, x, is_causal=True)[1].data[0, 1]
    array([0.5, 0.5, 0. ])
    """
    q, k, v, mask = as_input(query), as_input(key), as_input(value), None if attn_mask is None else as_input(attn_mask)
    mask = _in_dtype(mask, q)
    kept = _dropout_mask(q, k, v, dropout_p, generator)
    out, weights = fused.attention_with_weights(
        q, k, v, mask, kept, is_causal=is_causal, scale=scale, dropout_p=dropout_p
    )
    return _tensor(out), _tensor(weights)


def _tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else Tensor(x)
