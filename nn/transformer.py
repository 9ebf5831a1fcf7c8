"""Transformer encoder and decoder with PyTorch's weights, and sinusoidal positions.

Source: Vaswani et al. 2017 (arXiv 1706.03762); normalisation before the sublayers: Xiong et al. 2020 (arXiv
2002.04745).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from autodiff import Tensor
from autodiff.core.errors import ArgumentError, ShapeError
from nn import functional as F
from nn import init
from nn.attention import MultiheadAttention
from nn.containers import ModuleList
from nn.layers import Dropout
from nn.linear import Linear
from nn.module import Module
from nn.normalization import LayerNorm

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.signatures import ArrayLike

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "generate_square_subsequent_mask",
    "sinusoidal_positions",
]


def sinusoidal_positions(
    length: int, dim: int, base: float = 10000.0, dtype: DTypeLike | None = np.float32
) -> np.ndarray[Any, Any]:
    """The fixed positional encoding of Vaswani et al. 2017, section 3.5, to be added to embeddings.

    ``p[t, 2 i] = sin(t / base^(2 i / dim))`` and ``p[t, 2 i + 1]`` the cosine of the same angle.

    Parameters
    ----------
    length, dim : int
    base : float
    dtype : dtype

    Returns
    -------
    ndarray, (length, dim)

    Examples
    --------
    >>> sinusoidal_positions(2, 4).round(2)
    array([[0.  , 1.  , 0.  , 1.  ],
           [0.84, 0.54, 0.01, 1.  ]], dtype=float32)
    """
    if length < 0 or dim < 0:
        raise ArgumentError(f"sinusoidal_positions: length and dim must not be negative, got {length} and {dim}")
    angles = np.arange(length)[:, None] / base ** (np.arange(0, dim, 2) / max(dim, 1))
    table = np.empty((length, dim), dtype)
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles[:, : dim // 2])
    return table


def generate_square_subsequent_mask(sz: int, dtype: DTypeLike | None = np.float32) -> np.ndarray[Any, Any]:
    """The causal mask to be added to scores: 0 on and below the diagonal, -inf above.

    Examples
    --------
    >>> generate_square_subsequent_mask(2)
    array([[  0., -inf],
           [  0.,   0.]], dtype=float32)
    """
    return np.where(np.tri(sz, dtype=bool), 0, -np.inf).astype(dtype)


def _activation(activation: str | Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    if callable(activation):
        return activation
    if activation not in ("relu", "gelu"):
        raise ArgumentError(f"activation must be 'relu', 'gelu' or a function, got {activation!r}")
    function: Callable[[Tensor], Tensor] = getattr(F, activation)
    return function


class _Layer(Module):
    """What encoder and decoder layers share: attention and a feed-forward net, each with dropout, a residual and a
    normalisation.
    """

    _attentions: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        names = self._attentions
        shared: dict[str, Any] = {"batch_first": batch_first, "dtype": dtype, "generator": generator}
        for name in names:
            self.add_module(name, MultiheadAttention(d_model, nhead, dropout, bias, **shared))
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype, generator)
        self.dropout = Dropout(dropout, generator)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype, generator)
        for i in range(len(names) + 1):
            self.add_module(f"norm{i + 1}", LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype))
        for i in range(len(names) + 1):
            self.add_module(f"dropout{i + 1}", Dropout(dropout, generator))
        self.norm_first = norm_first
        self.activation = _activation(activation)

    def _attended(self, x: Any, padding: Any, mask: Any, is_causal: bool) -> Any:
        """The first sublayer, self-attention."""
        x = x if isinstance(x, Tensor) else Tensor(x)
        options = {"need_weights": False, "attn_mask": mask, "is_causal": is_causal}
        return self._residual(x, 1, lambda x: self.self_attn(x, x, x, padding, **options)[0])

    def _residual(self, x: Any, number: int, sublayer: Callable[[Tensor], Tensor]) -> Any:
        norm, dropout = getattr(self, f"norm{number}"), getattr(self, f"dropout{number}")
        if self.norm_first:
            return x + dropout(sublayer(norm(x)))
        return norm(x + dropout(sublayer(x)))

    def _feed_forward(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
    """Self-attention and a feed-forward net.

    Parameters
    ----------
    d_model : int
        Width E.
    nhead : int
    dim_feedforward : int
    dropout : float
        Of attention weights, of the feed-forward net's hidden layer and before both residual sums.
    activation : {"relu", "gelu"} or callable
    layer_norm_eps : float
    batch_first : bool
        Inputs are (N, L, E) instead of (L, N, E).
    norm_first : bool
        Normalise before each sublayer (pre-norm) instead of after each residual sum.
    bias : bool
        Of the linear layers and normalisations.
    dtype : dtype
    generator : numpy.random.Generator, optional
        Draws the initial values, and the dropout masks, if given.

    Raises
    ------
    ArgumentError
        If an option is not allowed.

    Examples
    --------
    >>> import numpy as np
    >>> layer = TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    >>> layer(np.zeros((3, 5, 8), np.float32), is_causal=True).shape
    (3, 5, 8)
    """

    _attentions = ("self_attn",)

    def forward(
        self,
        src: ArrayLike,
        src_mask: ArrayLike | None = None,
        src_key_padding_mask: ArrayLike | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """One layer.

        Parameters
        ----------
        src : (L, N, E), (N, L, E) with ``batch_first``, or (L, E)
        src_mask : bool or float, (L, L) or (N nhead, L, L), optional
            True where a position must NOT look, or numbers added to the scores.
        src_key_padding_mask : bool or float, (N, L), optional
            True where a position is padding.
        is_causal : bool
            Position i sees positions 0 to i only.

        Returns
        -------
        Tensor
            Of src's shape.
        """
        x = self._attended(src, src_key_padding_mask, src_mask, is_causal)
        return self._residual(x, 2, self._feed_forward)  # type: ignore[no-any-return]


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to an encoder's output, and a feed-forward net.

    Parameters
    ----------
    d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, dtype,
    generator
        As in :class:`TransformerEncoderLayer`.

    Examples
    --------
    >>> import numpy as np
    >>> layer = TransformerDecoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    >>> layer(np.zeros((3, 5, 8), np.float32), np.zeros((3, 7, 8), np.float32), tgt_is_causal=True).shape
    (3, 5, 8)
    """

    _attentions = ("self_attn", "multihead_attn")

    def forward(
        self,
        tgt: ArrayLike,
        memory: ArrayLike,
        tgt_mask: ArrayLike | None = None,
        memory_mask: ArrayLike | None = None,
        tgt_key_padding_mask: ArrayLike | None = None,
        memory_key_padding_mask: ArrayLike | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """One layer.

        Parameters
        ----------
        tgt : (L, N, E), (N, L, E) with ``batch_first``, or (L, E)
        memory : (S, N, E), (N, S, E) or (S, E)
            The encoder's output.
        tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, tgt_is_causal, memory_is_causal
            As in :meth:`TransformerEncoderLayer.forward`, of the attention to ``tgt`` itself and to ``memory``.

        Returns
        -------
        Tensor
            Of tgt's shape.
        """
        memory = memory if isinstance(memory, Tensor) else Tensor(memory)

        def look(x: Any) -> Any:
            options = {"need_weights": False, "attn_mask": memory_mask, "is_causal": memory_is_causal}
            return self.multihead_attn(x, memory, memory, memory_key_padding_mask, **options)[0]

        x = self._attended(tgt, tgt_key_padding_mask, tgt_mask, tgt_is_causal)
        return self._residual(self._residual(x, 2, look), 3, self._feed_forward)  # type: ignore[no-any-return]


def _copies(layer: Module, count: int) -> ModuleList:
    """``count`` layers that start as the one given, as PyTorch copies them; a generator that the layer holds stays
    shared.
    """
    generators = {id(m.generator): m.generator for m in layer.modules() if getattr(m, "generator", None) is not None}
    return ModuleList(copy.deepcopy(layer, dict(generators)) for _ in range(count))


class TransformerEncoder(Module):
    """Encoder layers one after the other.

    Parameters
    ----------
    encoder_layer : TransformerEncoderLayer
        Copied ``num_layers`` times, initial values included, as in PyTorch.
    num_layers : int
    norm : Module, optional
        A last normalisation, usual with ``norm_first``.

    Examples
    --------
    >>> import numpy as np
    >>> encoder = TransformerEncoder(TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
    >>> encoder(np.zeros((3, 5, 8), np.float32)).shape
    (3, 5, 8)
    """

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.add_module("norm", norm)

    def forward(
        self,
        src: ArrayLike,
        mask: ArrayLike | None = None,
        src_key_padding_mask: ArrayLike | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """All layers with the same masks; see :meth:`TransformerEncoderLayer.forward`."""
        x = src if isinstance(src, Tensor) else Tensor(src)
        for layer in self.layers:
            x = layer(x, mask, src_key_padding_mask, bool(is_causal))
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(Module):
    """Decoder layers one after the other.

    Parameters
    ----------
    decoder_layer : TransformerDecoderLayer
        Copied ``num_layers`` times, initial values included, as in PyTorch.
    num_layers : int
    norm : Module, optional
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.add_module("norm", norm)

    def forward(
        self,
        tgt: ArrayLike,
        memory: ArrayLike,
        tgt_mask: ArrayLike | None = None,
        memory_mask: ArrayLike | None = None,
        tgt_key_padding_mask: ArrayLike | None = None,
        memory_key_padding_mask: ArrayLike | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """All layers with the same memory and masks; see :meth:`TransformerDecoderLayer.forward`."""
        x = tgt if isinstance(tgt, Tensor) else Tensor(tgt)
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        for layer in self.layers:
            x = layer(x, memory, *masks, bool(tgt_is_causal), memory_is_causal)
        return x if self.norm is None else self.norm(x)


class Transformer(Module):
    """Encoder and decoder, each with a last normalisation: the whole of Vaswani et al. 2017, but for embeddings and the
    last linear layer.

    Parameters
    ----------
    d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, dtype,
    generator
        As in :class:`TransformerEncoderLayer`.
    num_encoder_layers, num_decoder_layers : int
    custom_encoder, custom_decoder : Module, optional
        Called as a :class:`TransformerEncoder` and a :class:`TransformerDecoder` are.

    Notes
    -----
    Matrices start Glorot uniform, as in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> net = Transformer(8, 2, 1, 1, dim_feedforward=16, batch_first=True)
    >>> source, target = np.zeros((3, 7, 8), np.float32), np.zeros((3, 5, 8), np.float32)
    >>> net(source, target, tgt_is_causal=True).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        options = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*options, dtype, generator), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*options, dtype, generator), num_decoder_layers, norm()
        )
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter, generator=generator)
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def forward(
        self,
        src: ArrayLike,
        tgt: ArrayLike,
        src_mask: ArrayLike | None = None,
        tgt_mask: ArrayLike | None = None,
        memory_mask: ArrayLike | None = None,
        src_key_padding_mask: ArrayLike | None = None,
        tgt_key_padding_mask: ArrayLike | None = None,
        memory_key_padding_mask: ArrayLike | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The decoder's output for ``tgt``, which looks at the encoder's for ``src``.

        Parameters
        ----------
        src : (S, N, E), (N, S, E) with ``batch_first``, or (S, E)
        tgt : (T, N, E), (N, T, E) or (T, E)
        src_mask, tgt_mask, memory_mask, src_key_padding_mask, tgt_key_padding_mask, memory_key_padding_mask
            As in :meth:`TransformerEncoderLayer.forward`; ``memory_mask`` is (T, S).
        src_is_causal, tgt_is_causal, memory_is_causal : bool
            Position i sees positions 0 to i only.

        Returns
        -------
        Tensor
            Of tgt's shape.

        Raises
        ------
        ShapeError
            If source and target do not fit ``d_model`` or one another.
        """
        a, b = np.shape(src), np.shape(tgt)  # type: ignore[arg-type]
        batches = [shape[1 - self.batch_first] if len(shape) == 3 else None for shape in (a, b)]
        if len(a) != len(b) or batches[0] != batches[1] or (a[-1:], b[-1:]) != ((self.d_model,),) * 2:
            raise ShapeError(
                f"Transformer: source of shape {a} and target of shape {b} do not fit each other and"
                f" d_model={self.d_model}"
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(  # type: ignore[no-any-return]
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, tgt_is_causal,
            memory_is_causal,
        )  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(sz: int, dtype: DTypeLike = np.float32) -> np.ndarray[Any, Any]:
        """See :func:`generate_square_subsequent_mask`."""
        return generate_square_subsequent_mask(sz, dtype)
