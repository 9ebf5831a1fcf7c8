"""Multi-head attention with PyTorch's weights and masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from nn import functional as F
from nn import init
from nn.linear import Linear
from nn.module import Module
from nn.parameter import Parameter

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.signatures import ArrayLike

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Attention in ``num_heads`` subspaces at once (Vaswani et al. 2017, arXiv 1706.03762, section 3.2.2).

    Parameters
    ----------
    embed_dim : int
        Width E of queries and outputs.
    num_heads : int
        Divides ``embed_dim``.
    dropout : float
        Probability with which an attention weight is dropped in training.
    bias : bool
        Of the projections.
    add_bias_kv : bool
        Append one learned key and value to every sequence.
    add_zero_attn : bool
        Append a key and a value of zeros.
    kdim, vdim : int, optional
        Widths of keys and values; default ``embed_dim``.
    batch_first : bool
        Inputs are (N, L, E) instead of (L, N, E).
    dtype : dtype
    generator : numpy.random.Generator, optional
        Draws the initial values (and the dropout masks, if given): Glorot uniform projections, zero biases, as PyTorch.

    Attributes
    ----------
    in_proj_weight : Parameter, (3 E, E), or None
        Projections of query, key and value under one another; None where ``kdim`` or ``vdim`` differ from
        ``embed_dim``.
    q_proj_weight, k_proj_weight, v_proj_weight : Parameter, (E, E), (E, kdim), (E, vdim), or None
        Then, these.
    in_proj_bias : Parameter, (3 E,), or None
    out_proj : Linear
    bias_k, bias_v : Parameter, (1, 1, E), or None

    Raises
    ------
    ArgumentError
        If ``num_heads`` does not divide ``embed_dim``.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.zeros((2, 5, 8), np.float32)
    >>> out, weights = MultiheadAttention(8, 2, batch_first=True)(x, x, x)
    >>> out.shape, weights.shape
    ((2, 5, 8), (2, 5, 5))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        dtype: DTypeLike = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ArgumentError(f"MultiheadAttention: num_heads must divide embed_dim, got {num_heads} and {embed_dim}")
        if not 0 <= dropout <= 1:
            raise ArgumentError(f"MultiheadAttention: dropout must be a probability, 0 <= p <= 1, got {dropout}")
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout, self.batch_first = dropout, batch_first
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.add_zero_attn, self.generator = add_zero_attn, generator
        packed = self.kdim == self.vdim == embed_dim

        def empty(*shape: int) -> Parameter:
            return Parameter(np.empty(shape, dtype))

        # Entered in PyTorch's order, which is the state_dict's.
        if packed:
            self.in_proj_weight = empty(3 * embed_dim, embed_dim)
        for name, width in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
            self.register_parameter(f"{name}_proj_weight", None if packed else empty(embed_dim, width))
        if not packed:
            self.register_parameter("in_proj_weight", None)
        self.register_parameter("in_proj_bias", empty(3 * embed_dim) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias, dtype, generator)
        self.register_parameter("bias_k", empty(1, 1, embed_dim) if add_bias_kv else None)
        self.register_parameter("bias_v", empty(1, 1, embed_dim) if add_bias_kv else None)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: np.random.Generator | None = None) -> None:
        """Draw the initial values anew."""
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            if getattr(self, name) is not None:
                init.xavier_uniform_(getattr(self, name), generator=generator)
        self.out_proj.reset_parameters(generator)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for name in ("bias_k", "bias_v"):
            if getattr(self, name) is not None:
                init.xavier_normal_(getattr(self, name), generator=generator)

    def forward(
        self,
        query: ArrayLike,
        key: ArrayLike,
        value: ArrayLike,
        key_padding_mask: ArrayLike | None = None,
        need_weights: bool = True,
        attn_mask: ArrayLike | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Let every query look at the keys.

        Parameters
        ----------
        query : (L, N, E), (N, L, E) with ``batch_first``, or (L, E)
        key : (S, N, kdim), (N, S, kdim) or (S, kdim)
        value : (S, N, vdim), (N, S, vdim) or (S, vdim)
        key_padding_mask : bool or float, (N, S) or (S,), optional
            True where a key is padding and must NOT be looked at (the opposite of ``scaled_dot_product_attention``), or
            numbers added to the scores. Where it is True, key and value may hold anything, NaN included, unless they
            are the query, too.
        need_weights : bool
            Return the weights. False is faster: one fused operation.
        attn_mask : bool or float, (L, S) or (N num_heads, L, S), optional
            True where a query must NOT look, or numbers added to the scores.
        average_attn_weights : bool
            Return the mean of the weights over the heads.
        is_causal : bool
            Query i sees keys 0 to i only. PyTorch wants the mask spelt out besides; here it may be, and is then what
            counts.

        Returns
        -------
        output : Tensor
            Of query's shape. A query that may see no key sees zeros (PyTorch: NaN with ``need_weights``, zeros
            without).
        weights : Tensor or None
            (N, L, S), or (N, num_heads, L, S) if not averaged; without N for inputs without N. None unless
            ``need_weights``.

        Raises
        ------
        ShapeError, DTypeError
            If shapes do not fit, or a mask is neither boolean nor float.
        """
        q, k, v = (x if isinstance(x, Tensor) else Tensor(x) for x in (query, key, value))
        batched = q.ndim == 3
        self._check(q, k, v)
        keys = k.shape[0 if batched and not self.batch_first else -2]

        def batch_first(x: Tensor) -> Tensor:
            if not batched:
                return x.reshape(1, *x.shape)
            return x if self.batch_first else x.swapaxes(0, 1)

        if query is key and key is value and self.in_proj_weight is not None:
            # Self-attention: one matrix product for all three.
            packed = F.linear(batch_first(q), self.in_proj_weight, self.in_proj_bias)
            q, k, v = (packed[..., i * self.embed_dim : (i + 1) * self.embed_dim] for i in range(3))
        else:
            padding = None if key_padding_mask is None else _as_mask("key_padding_mask", key_padding_mask)
            q, k, v = self._projected(
                batch_first(q), _without(padding, batch_first(k)), _without(padding, batch_first(v))
            )
        count, length = q.shape[:2]
        if self.bias_k is not None:
            k, v = _append(k, self.bias_k), _append(v, self.bias_v)
        if self.add_zero_attn:
            zero = Tensor(np.zeros((1, 1, self.embed_dim), k.dtype))
            k, v = _append(k, zero), _append(v, zero)
        mask = self._mask(count, length, keys, key_padding_mask, attn_mask, is_causal, q.dtype)
        q, k, v = (x.reshape(count, x.shape[1], self.num_heads, self.head_dim).swapaxes(1, 2) for x in (q, k, v))
        p = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            out, weights = F.attention_with_weights(q, k, v, mask, p, generator=self.generator)
            if average_attn_weights:
                weights = weights.mean(axis=1)
            if not batched:
                weights = weights[0]
        else:
            out = F.scaled_dot_product_attention(q, k, v, mask, p, generator=self.generator)
        out = self.out_proj(out.swapaxes(1, 2).reshape(count, length, self.embed_dim))
        if not batched:
            return out[0], weights
        return out if self.batch_first else out.swapaxes(0, 1), weights

    def _check(self, q: Tensor, k: Tensor, v: Tensor) -> None:
        shapes = f"MultiheadAttention: query {q.shape}, key {k.shape}, value {v.shape}"
        if q.ndim not in (2, 3) or k.ndim != q.ndim or v.ndim != q.ndim:
            raise ShapeError(f"{shapes}; they need two dimensions each (length, width), or three with a batch")
        if (q.shape[-1], k.shape[-1], v.shape[-1]) != (self.embed_dim, self.kdim, self.vdim):
            raise ShapeError(f"{shapes}; their widths must be {self.embed_dim}, {self.kdim} and {self.vdim}")
        if k.shape[:-1] != v.shape[:-1]:
            raise ShapeError(f"{shapes}; key and value need the same length and batch")
        if q.ndim == 3:
            place = 0 if self.batch_first else 1
            if q.shape[place] != k.shape[place]:
                raise ShapeError(
                    f"{shapes}; the batch, axis {place} with batch_first={self.batch_first}, must be the same"
                )

    def _projected(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        bias = self.in_proj_bias
        places = [slice(i * self.embed_dim, (i + 1) * self.embed_dim) for i in range(3)]
        weights: Any = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        if self.in_proj_weight is not None:
            weights = tuple(self.in_proj_weight[place] for place in places)
        first, second, third = (
            F.linear(x, w, None if bias is None else bias[place])
            for x, w, place in zip((q, k, v), weights, places, strict=True)
        )
        return first, second, third

    def _mask(self, count: int, length: int, keys: int, padding: Any, attn: Any, is_causal: bool, dtype: Any) -> Any:
        """Both masks as one that ``scaled_dot_product_attention`` understands: (N or 1, heads or 1, L or 1, S +
        appended), or None.
        """
        masks = []
        if padding is not None:
            mask = _as_mask("key_padding_mask", padding)
            if mask.shape not in ((count, keys), (keys,) if count == 1 else ()):
                raise ShapeError(
                    f"MultiheadAttention: key_padding_mask of shape {mask.shape}; it needs shape {(count, keys)}"
                )
            masks.append(mask.reshape(count, 1, 1, keys))
        if attn is not None:
            mask = _as_mask("attn_mask", attn)
            whole = (count * self.num_heads, length, keys)
            if mask.shape not in ((length, keys), whole):
                raise ShapeError(
                    f"MultiheadAttention: attn_mask of shape {mask.shape}; it needs shape {whole[1:]} or {whole}"
                )
            masks.append(mask.reshape(*((count, self.num_heads) if mask.ndim == 3 else (1, 1)), length, keys))
        elif is_causal:
            masks.append(~np.tri(length, keys, dtype=bool)[None, None])
        if not masks:
            return None
        appended = (self.bias_k is not None) + self.add_zero_attn
        if appended:
            masks = [
                F.pad(mask, (0, appended)) if isinstance(mask, Tensor) else np.pad(mask, [(0, 0)] * 3 + [(0, appended)])
                for mask in masks
            ]
        if all(mask.dtype == bool for mask in masks):
            return ~np.logical_or.reduce(np.broadcast_arrays(*masks))
        return sum(np.where(mask, dtype.type(-np.inf), dtype.type(0)) if mask.dtype == bool else mask for mask in masks)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.embed_dim}, num_heads={self.num_heads}, dropout={self.dropout}, batch_first={self.batch_first}"


def _without(padding: Any, x: Tensor) -> Tensor:
    """Zeros in place of padding that is not finite: hidden or not, the projections' weights would meet it in their
    gradients as 0 * NaN.
    """
    if (
        padding is None
        or padding.dtype != bool
        or padding.size != x.shape[0] * x.shape[1]
        or np.isfinite(x._array).all()
    ):
        return x
    cleaned: Tensor = np.where(padding.reshape(*x.shape[:2], 1), 0, x)  # type: ignore[assignment]
    return cleaned


def _append(x: Tensor, row: Tensor) -> Tensor:
    """``row`` (1, 1, E) after the last position of every sequence of ``x`` (N, S, E)."""
    joined: Any = np.concatenate([x, np.broadcast_to(row, (x.shape[0], 1, x.shape[2]))], axis=1)  # type: ignore[arg-type,call-overload]
    return joined  # type: ignore[no-any-return]


def _as_mask(name: str, mask: Any) -> Any:
    """A boolean mask as an array, a float one as it is."""
    array = mask if isinstance(mask, Tensor) else np.asarray(mask)
    if array.dtype.kind not in "bf":
        raise DTypeError(
            f"MultiheadAttention: {name} is boolean (True: not to be looked at) or float (added to the scores), not"
            f" {array.dtype}"
        )
    return array._array if isinstance(array, Tensor) and array.dtype == bool else array
