"""Recurrent layers and cells with PyTorch's weights: RNN, LSTM, GRU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np

from autodiff import Tensor, fused
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.dispatch import bare
from nn import functional as F
from nn import init
from nn.module import Module
from nn.parameter import Parameter
from nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.signatures import ArrayLike

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNCell"]


def _draw(module: Module, hidden_size: int, generator: np.random.Generator | None) -> None:
    bound = 1 / math.sqrt(hidden_size) if hidden_size else 0.0
    for parameter in module.parameters(recurse=False):
        init.uniform_(parameter, -bound, bound, generator)


def _check_nonlinearity(name: str, nonlinearity: str) -> None:
    if nonlinearity not in ("tanh", "relu"):
        raise ArgumentError(f"{name}: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")


def _tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else Tensor(x)


# --- layers over time -------------------------------------------------------------------------------------------------


class _Recurrent(Module):
    """What RNN, LSTM and GRU share: weights by layer and direction, states, dropout between layers, lengths."""

    gates: ClassVar[int]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        dtype: DTypeLike = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if input_size <= 0 or hidden_size <= 0 or num_layers <= 0:
            raise ArgumentError(
                f"{name}: sizes and num_layers must be positive, got {input_size}, {hidden_size} and {num_layers}"
            )
        if not 0 <= dropout <= 1:
            raise ArgumentError(f"{name}: dropout must be a probability, 0 <= p <= 1, got {dropout}")
        if not 0 <= proj_size < hidden_size:
            raise ArgumentError(
                f"{name}: proj_size must be smaller than hidden_size {hidden_size}, or 0 for none; got {proj_size}"
            )
        self.input_size, self.hidden_size, self.num_layers, self.bias = input_size, hidden_size, num_layers, bias
        self.batch_first, self.dropout, self.bidirectional = batch_first, dropout, bidirectional
        self.proj_size, self.generator = proj_size, generator
        self._directions = ("", "_reverse") if bidirectional else ("",)
        rows, out = self.gates * hidden_size, proj_size or hidden_size
        for layer in range(num_layers):
            width = input_size if layer == 0 else out * len(self._directions)
            for direction in self._directions:
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (rows, out)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for key, shape in shapes.items():
                    self.register_parameter(f"{key}_l{layer}{direction}", Parameter(np.empty(shape, dtype)))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: np.random.Generator | None = None) -> None:
        """Draw the initial values anew."""
        _draw(self, self.hidden_size, generator)

    def _pass(
        self, x: Tensor, states: list[Any], parameters: tuple[Any, ...], reverse: bool, valid: Any
    ) -> tuple[Tensor, list[Any]]:
        """One layer in one direction over x (T, N, in): the states after every time, and what is carried on besides
        them.
        """
        raise NotImplementedError

    def _run(self, input: Any, states: list[Any], lengths: Any) -> tuple[Tensor, list[Tensor]]:
        """All layers; ``states`` holds the user's initial states or None, one entry per kind."""
        if isinstance(input, PackedSequence):
            return self._run_packed(input, states, lengths)
        x = self._input(input)
        batched = x.ndim == 3
        if not batched:
            x = x.reshape(x.shape[0], 1, x.shape[1])
        elif self.batch_first:
            x = x.swapaxes(0, 1)
        times, count = x.shape[:2]
        if not times:
            raise ShapeError(f"{type(self).__name__}: input of shape {np.shape(input)} holds no time at all")
        initial = [self._initial(i, given, count, batched, x.dtype) for i, given in enumerate(states)]
        valid, turned, last = self._lengths(lengths, times, count)
        if valid is not None:
            x = _tensor(
                np.where(valid[:, :, None], x, 0)
            )  # whatever stands after the end, NaN included, reaches no gradient
        everyone = np.arange(count)
        final: list[list[Any]] = [[] for _ in states]
        for layer in range(self.num_layers):
            outputs = []
            for direction in self._directions:
                suffix = f"_l{layer}{direction}"
                parameters = tuple(
                    getattr(self, key + suffix, None)
                    for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
                )
                begin = [each[len(final[0])] for each in initial]
                # Sequences of unequal lengths are turned about one by one, so that each begins at its own end.
                alone = valid is not None and bool(direction)
                out, carried = self._pass(
                    x[turned, everyone] if alone else x, begin, parameters, bool(direction) and not alone, valid
                )
                if valid is None:
                    final[0].append(out[0 if direction else -1])
                else:
                    final[0].append(out[last, everyone])
                    out = _tensor(np.where(valid[:, :, None], out[turned, everyone] if alone else out, 0))
                for kept, state in zip(final[1:], carried, strict=True):
                    kept.append(state)
                outputs.append(out)
            x = outputs[0] if len(outputs) == 1 else _tensor(np.concatenate(outputs, axis=2))  # type: ignore[call-overload]
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training, self.generator)
        stacked = [_tensor(np.stack(each)) for each in final]
        if not batched:
            return x[:, 0], [each[:, 0] for each in stacked]
        return x.swapaxes(0, 1) if self.batch_first else x, stacked

    def _run_packed(self, packed: PackedSequence, states: list[Any], lengths: Any) -> tuple[Any, list[Tensor]]:
        """The same over packed sequences; states are in the order in which the sequences came."""
        if lengths is not None:
            raise ArgumentError(f"{type(self).__name__}: packed sequences know their lengths; leave out lengths=")
        there, back = packed.sorted_indices, packed.unsorted_indices
        padded, counts = pad_packed_sequence(packed._replace(unsorted_indices=None), self.batch_first)
        if there is not None:
            states = [None if state is None else _tensor(state)[:, there._array] for state in states]
        out, final = self._run(padded, states, counts)
        if back is not None:
            final = [state[:, back._array] for state in final]
        return packed._replace(data=pack_padded_sequence(out, counts, self.batch_first).data), final

    def _input(self, input: Any) -> Tensor:
        name = type(self).__name__
        x = _tensor(input)
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            shape = "(N, T, {})" if self.batch_first else "(T, N, {})"
            raise ShapeError(
                f"{name}: input has shape {x.shape}; it needs shape {shape.format(self.input_size)} or (T,"
                f" {self.input_size})"
            )
        return x

    def _initial(self, kind: int, given: Any, count: int, batched: bool, dtype: Any) -> Any:
        """The initial states of one kind, (layers * directions, N, size)."""
        rows = self.num_layers * len(self._directions)
        size = self.proj_size if kind == 0 and self.proj_size else self.hidden_size
        if given is None:
            return np.zeros((rows, count, size), dtype)
        state = given if isinstance(given, Tensor) else np.asarray(given)
        if state.shape != ((rows, count, size) if batched else (rows, size)):
            wanted = (rows, count, size) if batched else (rows, size)
            raise ShapeError(
                f"{type(self).__name__}: initial state {'hc'[kind]} has shape {state.shape}; it needs shape {wanted}"
            )
        return state if batched else state.reshape(rows, 1, size)

    def _lengths(self, lengths: Any, times: int, count: int) -> tuple[Any, Any, Any]:
        """Which times of which sequence are there (T, N), the times in each one's own reverse order (T, N), and its
        last one (N,).
        """
        if lengths is None:
            return None, None, None
        array = np.asarray(bare(lengths))
        if (
            array.dtype.kind not in "iu"
            or array.shape != (count,)
            or (array.size and not 1 <= array.min() <= array.max() <= times)
        ):
            raise ArgumentError(
                f"{type(self).__name__}: lengths must be {count} integers from 1 to {times}, got {lengths!r}"
            )
        t = np.arange(times)[:, None]
        return t < array, np.where(t < array, array - 1 - t, t), array - 1

    def extra_repr(self) -> str:
        """The sizes, and what differs from the default."""
        words = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        for name, default in defaults.items():
            if getattr(self, name) != default:
                words.append(f"{name}={getattr(self, name)}")
        return ", ".join(words)


class _OneState(_Recurrent):
    """RNN and GRU, whose state is h alone."""

    @overload
    def forward(
        self, input: ArrayLike, hx: ArrayLike | None = None, lengths: ArrayLike | None = None
    ) -> tuple[Tensor, Tensor]: ...
    @overload
    def forward(self, input: PackedSequence, hx: ArrayLike | None = None) -> tuple[PackedSequence, Tensor]: ...
    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> Any:
        """Run over time.

        Parameters
        ----------
        input : (T, N, input_size), (N, T, input_size) with ``batch_first``, (T, input_size), or a PackedSequence
            Of a :class:`nn.utils.rnn.PackedSequence` the output is one, too.
        hx : (num_layers * directions, N, hidden_size), optional
            Initial states; default zeros.
        lengths : int, (N,), optional
            How many times of each sequence are there; what stands after is not read: packed sequences without packing.

        Returns
        -------
        output : Tensor, (T, N, directions * hidden_size)
            States of the last layer at every time; zeros after a sequence's end.
        h_n : Tensor, (num_layers * directions, N, hidden_size)
            States after each sequence's last time (first, for the reverse direction).

        Raises
        ------
        ShapeError, ArgumentError
            If shapes or lengths do not fit.
        """
        out, (h,) = self._run(input, [hx], lengths)
        return out, h


class RNN(_OneState):
    """``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, in one or several layers (Elman 1990, doi
    10.1207/s15516709cog1402_1).

    Parameters
    ----------
    input_size, hidden_size : int
    num_layers : int
        Each layer reads the states of the one below.
    nonlinearity : {"tanh", "relu"}
    bias : bool
    batch_first : bool
        Inputs and outputs are (N, T, ...) instead of (T, N, ...); states are not concerned.
    dropout : float
        Probability with which the inputs of all layers but the first are dropped in training.
    bidirectional : bool
        Run a second set of weights from the end to the beginning; outputs stand side by side.
    dtype : dtype
    generator : numpy.random.Generator, optional
        Draws the initial values, uniform within ``1 / sqrt(hidden_size)`` as PyTorch, and the dropout masks, if given.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_ih_l0_reverse, ... : Parameter
        PyTorch's names and layouts, by layer and direction.

    Raises
    ------
    ArgumentError
        If a size or an option is not allowed.

    Examples
    --------
    >>> import numpy as np
    >>> out, h = RNN(3, 4, bidirectional=True)(np.zeros((5, 2, 3), np.float32))
    >>> out.shape, h.shape
    ((5, 2, 8), (2, 2, 4))
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: DTypeLike = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        _check_nonlinearity("RNN", nonlinearity)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, dtype, generator
        )
        self.nonlinearity = nonlinearity

    def _pass(
        self, x: Tensor, states: list[Any], parameters: tuple[Any, ...], reverse: bool, valid: Any
    ) -> tuple[Tensor, list[Any]]:
        w_ih, w_hh, b_ih, b_hh, _ = parameters
        gates = F.linear(x, w_ih, None if b_ih is None else b_ih + b_hh)
        return fused.rnn.function(gates, states[0], w_hh, nonlinearity=self.nonlinearity, reverse=reverse), []


class LSTM(_Recurrent):
    """Long short-term memory: ``c' = s(f) c + s(i) tanh(g)``, ``h' = s(o) tanh(c')`` with gates i, f, g, o affine in x
    and h.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, generator
        As in :class:`RNN`.
    proj_size : int
        Project h to this many units (Sak et al. 2014, arXiv 1402.1128); 0 for none.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_hr_l0, ... : Parameter
        PyTorch's names and layouts; the gates i, f, g, o under one another.

    Examples
    --------
    >>> import numpy as np
    >>> out, (h, c) = LSTM(3, 4, num_layers=2, batch_first=True)(np.zeros((2, 5, 3), np.float32))
    >>> out.shape, h.shape, c.shape
    ((2, 5, 4), (2, 2, 4), (2, 2, 4))
    """

    gates = 4

    @overload
    def forward(
        self, input: ArrayLike, hx: Sequence[ArrayLike] | None = None, lengths: ArrayLike | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]: ...
    @overload
    def forward(
        self, input: PackedSequence, hx: Sequence[ArrayLike] | None = None
    ) -> tuple[PackedSequence, tuple[Tensor, Tensor]]: ...
    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> Any:
        """Run over time; as :meth:`RNN.forward`, but the states are pairs.

        Parameters
        ----------
        input, lengths
            As there.
        hx : (h_0, c_0), optional
            (num_layers * directions, N, proj_size or hidden_size) and (num_layers * directions, N, hidden_size).

        Returns
        -------
        output : Tensor, (T, N, directions * (proj_size or hidden_size))
        (h_n, c_n) : tuple of Tensor
            Of the shapes of h_0 and c_0.
        """
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise ArgumentError(f"LSTM: hx must be a pair (h_0, c_0), got a {type(hx).__name__}")
        out, (h, c) = self._run(input, [None, None] if hx is None else list(hx), lengths)
        return out, (h, c)

    def _pass(
        self, x: Tensor, states: list[Any], parameters: tuple[Any, ...], reverse: bool, valid: Any
    ) -> tuple[Tensor, list[Any]]:
        w_ih, w_hh, b_ih, b_hh, w_hr = parameters
        gates = F.linear(x, w_ih, None if b_ih is None else b_ih + b_hh)
        if valid is not None:
            # Past a sequence's end i is shut and f open, to the last bit and with gradient zero, so that c stays.
            idle = np.repeat(np.array([-1e4, 1e4, 0.0, 0.0], gates.dtype), self.hidden_size)
            gates = _tensor(np.where(valid[:, :, None], gates, idle))
        out, cell = fused.lstm.function(gates, *states, w_hh, w_hr, reverse=reverse)
        return out, [cell]


class GRU(_OneState):
    """Gated recurrent unit: ``h' = (1 - z) n + z h`` with ``n = tanh(W_in x + b_in + r (W_hn h + b_hn))`` and gates r,
    z.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, generator
        As in :class:`RNN`.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, ... : Parameter
        PyTorch's names and layouts; the gates r, z, n under one another.

    Examples
    --------
    >>> import numpy as np
    >>> out, h = GRU(3, 4)(np.zeros((5, 3), np.float32))
    >>> out.shape, h.shape
    ((5, 4), (1, 4))
    """

    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: DTypeLike = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, dtype, generator
        )

    def _pass(
        self, x: Tensor, states: list[Any], parameters: tuple[Any, ...], reverse: bool, valid: Any
    ) -> tuple[Tensor, list[Any]]:
        w_ih, w_hh, b_ih, b_hh, _ = parameters
        return fused.gru.function(F.linear(x, w_ih, b_ih), states[0], w_hh, b_hh, reverse=reverse), []


# --- cells ------------------------------------------------------------------------------------------------------------


class _Cell(Module):
    """What the cells share: weights, and initial states of zeros."""

    gates: ClassVar[int]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        if input_size <= 0 or hidden_size <= 0:
            raise ArgumentError(f"{type(self).__name__}: sizes must be positive, got {input_size} and {hidden_size}")
        self.input_size, self.hidden_size = input_size, hidden_size
        rows = self.gates * hidden_size
        self.weight_ih = Parameter(np.empty((rows, input_size), dtype))
        self.weight_hh = Parameter(np.empty((rows, hidden_size), dtype))
        self.register_parameter("bias_ih", Parameter(np.empty(rows, dtype)) if bias else None)
        self.register_parameter("bias_hh", Parameter(np.empty(rows, dtype)) if bias else None)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: np.random.Generator | None = None) -> None:
        """Draw the initial values anew."""
        _draw(self, self.hidden_size, generator)

    def _read(self, input: Any, *states: Any) -> list[Any]:
        """The input and the states, zeros for None, everything checked."""
        x = _tensor(input)
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            n = self.input_size
            raise ShapeError(f"{type(self).__name__}: input has shape {x.shape}; it needs shape (N, {n}) or ({n},)")
        wanted = (*x.shape[:-1], self.hidden_size)
        read = [Tensor(np.zeros(wanted, x.dtype)) if state is None else _tensor(state) for state in states]
        for state in read:
            if state.shape != wanted:
                raise ShapeError(
                    f"{type(self).__name__}: a state has shape {state.shape}; for input of shape {x.shape} it needs"
                    f" {wanted}"
                )
        return [x, *read]

    def _shares(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return F.linear(x, self.weight_ih, self.bias_ih), F.linear(h, self.weight_hh, self.bias_hh)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias_ih is not None else ", bias=False")


class RNNCell(_Cell):
    """One step of :class:`RNN`.

    Parameters
    ----------
    input_size, hidden_size : int
    bias : bool
    nonlinearity : {"tanh", "relu"}
    dtype : dtype
    generator : numpy.random.Generator, optional

    Attributes
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh : Parameter

    Examples
    --------
    >>> import numpy as np
    >>> RNNCell(3, 4)(np.zeros((2, 3), np.float32)).shape
    (2, 4)
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        dtype: DTypeLike = np.float32,
        generator: np.random.Generator | None = None,
    ) -> None:
        _check_nonlinearity("RNNCell", nonlinearity)
        super().__init__(input_size, hidden_size, bias, dtype, generator)
        self.nonlinearity = nonlinearity

    def forward(self, input: ArrayLike, hx: ArrayLike | None = None) -> Tensor:
        """(N, input_size) and (N, hidden_size), or both without N -> (N, hidden_size)."""
        share, own = self._shares(*self._read(input, hx))
        return F.tanh(share + own) if self.nonlinearity == "tanh" else F.relu(share + own)


class LSTMCell(_Cell):
    """One step of :class:`LSTM`.

    Parameters
    ----------
    input_size, hidden_size, bias, dtype, generator
        As in :class:`RNNCell`.

    Attributes
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh : Parameter
        The gates i, f, g, o under one another.

    Examples
    --------
    >>> import numpy as np
    >>> h, c = LSTMCell(3, 4)(np.zeros((2, 3), np.float32))
    >>> h.shape, c.shape
    ((2, 4), (2, 4))
    """

    gates = 4

    def forward(self, input: ArrayLike, hx: Sequence[ArrayLike] | None = None) -> tuple[Tensor, Tensor]:
        """(N, input_size) and a pair of (N, hidden_size), or all without N -> the new pair."""
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise ArgumentError(f"LSTMCell: hx must be a pair (h, c), got a {type(hx).__name__}")
        x, h, c = self._read(input, *((None, None) if hx is None else hx))
        share, own = self._shares(x, h)
        pair: tuple[Tensor, Tensor] = fused.lstm_cell.function(share + own, c)
        return pair


class GRUCell(_Cell):
    """One step of :class:`GRU`.

    Parameters
    ----------
    input_size, hidden_size, bias, dtype, generator
        As in :class:`RNNCell`.

    Attributes
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh : Parameter
        The gates r, z, n under one another.

    Examples
    --------
    >>> import numpy as np
    >>> GRUCell(3, 4)(np.zeros(3, np.float32)).shape
    (4,)
    """

    gates = 3

    def forward(self, input: ArrayLike, hx: ArrayLike | None = None) -> Tensor:
        """(N, input_size) and (N, hidden_size), or both without N -> (N, hidden_size)."""
        x, h = self._read(input, hx)
        return fused.gru_cell.function(*self._shares(x, h), h)  # type: ignore[no-any-return]
