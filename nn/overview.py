"""A table of a network's modules: shapes of what they give and numbers of parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff import Tensor, no_grad
from autodiff.core.errors import ArgumentError
from autodiff.tables import html_table
from nn.module import Module

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.signatures import ArrayLike

__all__ = ["Summary", "summary"]


class Summary:
    """What :func:`summary` gives: a table that prints, and shows itself in notebooks.

    Attributes
    ----------
    rows : list of tuple
        Name, class, what shape comes out (or None), number of parameters.
    parameters, trainable : int
        Of all modules; a shared one counts once.
    """

    def __init__(
        self, rows: Sequence[tuple[str, str, object, int]], parameters: int, trainable: int, size: int
    ) -> None:
        self.rows, self.parameters, self.trainable, self.bytes = rows, parameters, trainable, size

    _HEADINGS = ("module", "class", "output", "parameters")

    def _below(self) -> str:
        frozen = self.parameters - self.trainable
        return f"{self.parameters:,} parameters ({frozen:,} of them frozen), {self.bytes / 1024:,.1f} KiB"

    def __repr__(self) -> str:
        cells: list[tuple[str, ...]] = [self._HEADINGS]
        cells += [
            (name, kind, "" if shape is None else str(shape), f"{count:,}") for name, kind, shape, count in self.rows
        ]
        wide = [max(len(row[i]) for row in cells) for i in range(4)]
        lines = ["  ".join([*(row[i].ljust(wide[i]) for i in range(3)), row[3].rjust(wide[3])]) for row in cells]
        return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], "-" * len(lines[0]), self._below()])

    def _repr_html_(self) -> str:
        return html_table("network", self._HEADINGS, self.rows, [self._below()])


def _shape(out: Any) -> Any:
    if isinstance(out, tuple | list):
        return tuple(_shape(part) for part in out)
    return getattr(out, "shape", None)


def summary(
    model: Module, *inputs: ArrayLike, input_size: Sequence[int] | None = None, dtype: DTypeLike | None = np.float32
) -> Summary:
    """The modules of a network, the shapes of what they give, and how many parameters they hold themselves.

    Parameters
    ----------
    model : Module
    *inputs : array_like or Tensor
        What the network is called with, once, in evaluation mode, without recording. Without any, shapes are left out.
    input_size : tuple of int, optional
        Instead of inputs: the shape of one, batch axis included; zeros are used.
    dtype : dtype
        Of these zeros.

    Returns
    -------
    Summary

    Raises
    ------
    ArgumentError
        If both inputs and ``input_size`` are given, or ``model`` is no Module.

    Examples
    --------
    >>> import nn
    >>> summary(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), input_size=(1, 4))
    module  class       output  parameters
    --------------------------------------
            Sequential  (1, 2)           0
    0       Linear      (1, 8)          40
    1       ReLU        (1, 8)           0
    2       Linear      (1, 2)          18
    --------------------------------------
    58 parameters (0 of them frozen), 0.2 KiB
    """
    if not isinstance(model, Module):
        raise ArgumentError(f"summary: needs an nn.Module, got {type(model).__name__}")
    if inputs and input_size is not None:
        raise ArgumentError("summary: give inputs or input_size, not both")
    first = inputs[0] if len(inputs) == 1 else None
    if isinstance(first, tuple) and all(isinstance(n, int) for n in first):
        inputs, input_size = (), first
    if input_size is not None:
        inputs = (np.zeros(tuple(input_size), dtype),)
    shapes: dict[int, Any] = {}
    if inputs:
        modes = [(module, module.training) for module in model.modules()]
        remember = lambda module, args, out: shapes.__setitem__(id(module), _shape(out))
        handles = [module.register_forward_hook(remember) for module, _ in modes]
        try:
            with no_grad():
                model.eval()(*inputs)
        finally:
            for handle in handles:
                handle.remove()
            for module, training in modes:
                module.__dict__["training"] = training
    rows = [
        (name, type(module).__name__, shapes.get(id(module)), _count(module.parameters(recurse=False)))
        for name, module in model.named_modules()
    ]
    held = list(model.parameters())
    size = sum(p.size * p.dtype.itemsize for p in held)
    return Summary(rows, _count(held), _count(p for p in held if p.requires_grad), size)


def _count(parameters: Any) -> int:
    return sum(math.prod(p.shape) for p in parameters if isinstance(p, Tensor))
