"""Embedding: a learned vector for every entry of a vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from autodiff import Tensor
from autodiff.arguments import refuse_negative
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.dispatch import bare
from nn import functional as F
from nn import init
from nn.module import Module
from nn.parameter import Parameter

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.signatures import ArrayLike

__all__ = ["Embedding", "EmbeddingBag"]

E = TypeVar("E", bound="Embedding")


class Embedding(Module):
    """A table of ``num_embeddings`` vectors, looked up by index.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
    padding_idx : int, optional
        This row starts as zeros and receives no gradient; negative counts from the end.
    max_norm : float, optional
        Rows are shortened to this norm whenever they are read.
    norm_type : float
        The p of that norm.
    scale_grad_by_freq : bool
        Divide the gradient of each row by how often a batch reads it.
    sparse : bool
        The gradient of ``weight`` holds the rows that were read alone: :func:`nn.functional.embedding`.
    dtype : dtype
    generator : numpy.random.Generator, optional
        Draws the initial values: standard normal, as PyTorch.

    Attributes
    ----------
    weight : Parameter, (num_embeddings, embedding_dim)

    Raises
    ------
    ArgumentError
        If a size is negative, or ``padding_idx`` names no row.

    Examples
    --------
    >>> Embedding(10, 3)([[1, 2, 4, 5], [4, 3, 2, 9]]).shape
    (2, 4, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: ArrayLike | None = None,
        dtype: DTypeLike = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        if num_embeddings < 0 or embedding_dim < 0:
            raise ArgumentError(f"Embedding: sizes must not be negative, got {num_embeddings} and {embedding_dim}")
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ArgumentError(f"Embedding: padding_idx {padding_idx} does not name one of {num_embeddings} rows")
        refuse_negative("Embedding: max_norm", 0 if max_norm is None else max_norm)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq
        self.sparse = sparse
        self.weight = Parameter(np.empty((num_embeddings, embedding_dim), dtype) if _weight is None else _weight)
        if self.weight.shape != (num_embeddings, embedding_dim):
            raise ShapeError(
                f"{type(self).__name__}: a _weight of shape {self.weight.shape} for {num_embeddings} embeddings of"
                f" {embedding_dim} numbers"
            )
        if _weight is None:
            self.reset_parameters(generator)

    def reset_parameters(self, generator: np.random.Generator | None = None) -> None:
        """Draw the initial values anew."""
        init.normal_(self.weight, generator=generator)
        if self.padding_idx is not None:
            self.weight._array[self.padding_idx] = 0

    @classmethod
    def from_pretrained(
        cls,
        embeddings: ArrayLike,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """An embedding with given vectors.

        Parameters
        ----------
        embeddings : (num_embeddings, embedding_dim)
            Copied.
        freeze : bool
            Do not learn them.

        Raises
        ------
        ShapeError
            If ``embeddings`` is no matrix.

        Examples
        --------
        >>> Embedding.from_pretrained([[1.0, 2.3], [4.0, 5.1]])([1]).data
        array([[4. , 5.1]])
        """
        options = {"padding_idx": padding_idx, "max_norm": max_norm, "norm_type": norm_type}
        return cls._holding(embeddings, freeze, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse, **options)

    @classmethod
    def _holding(cls: type[E], embeddings: ArrayLike, freeze: bool, **options: Any) -> E:
        table = np.asarray(bare(embeddings))
        if table.ndim != 2:
            raise ShapeError(
                f"{cls.__name__}.from_pretrained: needs shape (num_embeddings, embedding_dim), got {table.shape}"
            )
        rows, dim = table.shape
        made = cls(rows, dim, _weight=table, **options)
        made.weight.requires_grad = not freeze
        return made

    def forward(self, input: ArrayLike) -> Tensor:
        """int (...) -> (..., embedding_dim)."""
        return F.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )

    def extra_repr(self) -> str:
        """The sizes."""
        options = {"padding_idx": self.padding_idx, "max_norm": self.max_norm}
        told = [f"{key}={value}" for key, value in options.items() if value is not None]
        return ", ".join([f"{self.num_embeddings}, {self.embedding_dim}", *told])


class EmbeddingBag(Embedding):
    """Sums, means or maxima of the vectors that bags of indices name: :func:`nn.functional.embedding_bag`.

    Parameters
    ----------
    num_embeddings, embedding_dim, max_norm, norm_type, scale_grad_by_freq, sparse, padding_idx, dtype, generator
        As in :class:`Embedding`; entries that name ``padding_idx`` count for nothing.
    mode : {"mean", "sum", "max"}
    include_last_offset : bool
        The last offset is the length of the input, and begins no bag.

    Attributes
    ----------
    weight : Parameter, (num_embeddings, embedding_dim)

    Examples
    --------
    >>> EmbeddingBag(10, 3)([1, 2, 4, 5, 4], offsets=[0, 2]).shape
    (2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: ArrayLike | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        dtype: DTypeLike = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        if mode not in ("mean", "sum", "max"):
            raise ArgumentError(f"EmbeddingBag: mode must be 'mean', 'sum' or 'max', got {mode!r}")
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight, dtype,
            generator,
        )  # fmt: skip
        self.mode, self.include_last_offset = mode, include_last_offset

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        embeddings: ArrayLike,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """Bags of given vectors; see :meth:`Embedding.from_pretrained`."""
        options = {"max_norm": max_norm, "norm_type": norm_type, "mode": mode, "padding_idx": padding_idx}
        options |= {"scale_grad_by_freq": scale_grad_by_freq, "include_last_offset": include_last_offset}
        return cls._holding(embeddings, freeze, sparse=sparse, **options)

    def forward(
        self, input: ArrayLike, offsets: ArrayLike | None = None, per_sample_weights: ArrayLike | None = None
    ) -> Tensor:  # type: ignore[override]
        """int (B, n), or (total,) with offsets -> (B, embedding_dim)."""
        return F.embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, self.sparse,
            per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The sizes and the mode."""
        return f"{super().extra_repr()}, mode={self.mode!r}"
