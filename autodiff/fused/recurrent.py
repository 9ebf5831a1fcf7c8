"""Recurrent networks: single steps of LSTM and GRU, and whole layers that run over time in one operation.

A layer is given the inputs' share of its gates for all times at once (one matrix product, made outside), and does what
is left: the recurrence. Composed of elementary operations a step is some twenty nodes, each with its own arrays and
calls; here the factors of the gradient that do not depend on the cotangent are made for all times in one go, so that a
step backwards is five small products, and the weights' gradient is a single matrix product at the end. Gate order and
formulas are PyTorch's. Sources: Hochreiter and Schmidhuber 1997 (doi 10.1162/neco.1997.9.8.1735) with the forget gate
of Gers et al. 2000; Cho et al. 2014 (arXiv 1406.1078), in the variant whose reset gate stands after the matrix product.

Shapes: T times, N sequences, H hidden units; P units of the state that is handed on, H unless an LSTM projects it.
``s`` is the logistic function, for which ``s' = s (1 - s)``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff import kernels
from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.fused.common import fused

__all__ = ["gru", "gru_cell", "lstm", "lstm_cell", "rnn"]


def _sigmoid(x: Any) -> Any:
    return 0.5 * np.tanh(0.5 * x) + 0.5


def _activate(gates: Any) -> Any:
    """``s`` in place; by tanh, which overflows nowhere."""
    gates *= 0.5
    np.tanh(gates, out=gates)
    gates *= 0.5
    gates += 0.5
    return gates


def _writable(x: Any, *others: Any) -> Any:
    """A contiguous copy of ``x`` in the dtype that all have in common."""
    return np.array(x, np.result_type(x, *(o for o in others if o is not None)), order="C")


def _need(name: str, fits: bool, words: str) -> None:
    if not fits:
        raise ShapeError(f"{name}: {words}")


# --- one step of an LSTM ----------------------------------------------------------------------------------------------


def lstm_cell_composed(gates: Any, cell: Any) -> Any:
    """One step of an LSTM, given its gates before their nonlinearities.

    ``c' = s(f) c + s(i) tanh(g)`` and ``h' = s(o) tanh(c')``.

    Parameters
    ----------
    gates : (N, 4 H)
        i, f, g and o side by side.
    cell : (N, H)

    Returns
    -------
    h', c' : Tensor, (N, H)

    Raises
    ------
    ShapeError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> h, c = lstm_cell(np.zeros((1, 8)), np.ones((1, 2)))
    >>> c.data
    array([[0.5, 0.5]])
    """
    n = _check_cell("lstm_cell", 4, gates, cell)
    i, f, o = (_sigmoid(gates[..., k * n : (k + 1) * n]) for k in (0, 1, 3))
    new = f * cell + i * np.tanh(gates[..., 2 * n : 3 * n])
    return o * np.tanh(new), new


def _check_cell(name: str, count: int, gates: Any, state: Any) -> int:
    fits = state.ndim >= 1 and gates.shape == (*state.shape[:-1], count * state.shape[-1])
    _need(
        name,
        fits,
        f"gates of shape {gates.shape} with a state of shape {state.shape}; they need shapes (..., {count} H) and"
        " (..., H)",
    )
    return int(state.shape[-1])


def lstm_cell_forward(gates: Any, cell: Any) -> tuple[Any, Any]:
    """Residuals: the four gates after their nonlinearities, ``c`` and ``tanh(c')``."""
    n = _check_cell("lstm_cell", 4, gates, cell)
    acts = _writable(gates, cell)
    i, f, g, o = (acts[..., k * n : (k + 1) * n] for k in range(4))
    _activate(acts[..., : 2 * n])
    np.tanh(g, out=g)
    _activate(o)
    new = f * cell
    new += i * g
    squashed = np.tanh(new)
    return (o * squashed, new), (i, f, g, o, cell, squashed, acts.shape)


def lstm_cell_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """With ``u = tanh(c')`` and cotangents ``dh, dc`` of the outputs, all (N, H):

    - ``h' = o u`` makes ``d = dc + dh o (1 - u^2)`` the whole gradient at c'.
    - ``c' = f c + i g``: gate gradients before the nonlinearities ``d g i (1 - i)``, ``d c f (1 - f)``, ``d i (1 -
      g^2)``, and from ``h'`` ``dh u o (1 - o)``: side by side (N, 4 H).
    - ``dc_old = d f``: (N, H).
    """
    dh, dc = g
    i, f, new, o, cell, u, shape = residuals
    n = cell.shape[-1]
    d = dh * o
    d *= 1 - u * u
    d += dc
    dgates = np.empty(shape, d.dtype)
    np.multiply(d, new * i * (1 - i), out=dgates[..., :n])
    np.multiply(d, cell * f * (1 - f), out=dgates[..., n : 2 * n])
    np.multiply(d, i * (1 - new * new), out=dgates[..., 2 * n : 3 * n])
    np.multiply(dh, u * o * (1 - o), out=dgates[..., 3 * n :])
    return dgates, d * f


def _sample_lstm_cell(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    n, h = draw.integer(1, 3), draw.integer(1, 3)
    return (draw.array((n, 4 * h)), draw.array((n, h))), {}


lstm_cell = fused(
    lstm_cell_composed, _sample_lstm_cell, "c' = σ(f) c + σ(i) tanh(g), h' = σ(o) tanh(c')", label="LSTM cell"
)


# --- an LSTM over time ------------------------------------------------------------------------------------------------


def lstm_composed(
    gates: Any, state: Any, cell: Any, weight: Any, projection: Any = None, *, reverse: bool = False
) -> Any:
    """A layer of LSTM over all times: at each, ``gates[t] + h W^T`` are the gates of :func:`lstm_cell`.

    Parameters
    ----------
    gates : (T, N, 4 H)
        The inputs' share of the gates, biases included.
    state : (N, P)
        Of h before the first time.
    cell : (N, H)
    weight : (4 H, P)
    projection : (P, H) or None
        ``h' = s(o) tanh(c') projection^T`` (Sak et al. 2014, arXiv 1402.1128); without, P is H.
    reverse : bool
        Run from the last time to the first.

    Returns
    -------
    states : Tensor, (T, N, P)
        h after every time, in the order of ``gates``.
    cell : Tensor, (N, H)
        After the time that is visited last.

    Raises
    ------
    ShapeError
        If shapes do not fit, or there is no time at all.

    Examples
    --------
    >>> import numpy as np
    >>> states, c = lstm(np.zeros((3, 1, 8)), np.zeros((1, 2)), np.ones((1, 2)), np.zeros((8, 2)))
    >>> c.data
    array([[0.125, 0.125]])
    """
    _check_lstm(gates, state, cell, weight, projection)
    states: list[Any] = [None] * gates.shape[0]
    turned = np.swapaxes(weight, 0, 1)
    for t in _times(len(states), reverse):
        state, cell = lstm_cell_composed(gates[t] + np.matmul(state, turned), cell)
        if projection is not None:
            state = np.matmul(state, np.swapaxes(projection, 0, 1))
        states[t] = state
    return np.stack(states), cell


def _times(count: int, reverse: bool) -> range:
    return range(count)[::-1] if reverse else range(count)


def _check_lstm(gates: Any, state: Any, cell: Any, weight: Any, projection: Any) -> None:
    n, h = cell.shape if cell.ndim == 2 else (-1, -1)
    p = h if projection is None else projection.shape[0]
    fits = (
        gates.ndim == 3
        and gates.shape[0] > 0
        and gates.shape[1:] == (n, 4 * h)
        and state.shape == (n, p)
        and weight.shape == (4 * h, p)
    )
    fits = fits and (projection is None or projection.shape == (p, h))
    words = f"gates {gates.shape}, state {state.shape}, cell {cell.shape}, weight {weight.shape}"
    words += "" if projection is None else f", projection {projection.shape}"
    _need("lstm", fits, f"{words}; they need shapes (T, N, 4 H), (N, P), (N, H), (4 H, P) and (P, H), T at least 1")


def lstm_forward(
    gates: Any, state: Any, cell: Any, weight: Any, projection: Any = None, *, reverse: bool = False
) -> tuple[Any, Any]:
    """All four gates pass through one tanh, by ``s(x) = (1 + tanh(x / 2)) / 2``.

    Residuals: the gates after their nonlinearities (T, N, 4, H), c before each time and ``tanh(c')`` (T, N, H), the
    states, and what came in.
    """
    _check_lstm(gates, state, cell, weight, projection)
    times, (n, h) = gates.shape[0], cell.shape
    dtype = np.result_type(gates, state, cell, weight)
    half = np.repeat(np.array([0.5, 0.5, 1.0, 0.5], dtype), h)
    offset = np.repeat(np.array([0.5, 0.5, 0.0, 0.5], dtype), h)
    acts = np.empty(gates.shape, dtype)
    turned = np.ascontiguousarray(weight.T, dtype)
    squashed, before = np.empty((2, times, n, h), dtype)
    states = np.empty((times, n, weight.shape[1]), dtype)
    share, scratch, c = np.empty((n, 4 * h), dtype), np.empty((n, h), dtype), np.empty((n, h), dtype)
    c[...] = cell
    here = state.astype(dtype, copy=False)
    compiled = _is_compiled(projection, share, gates)
    for t in _times(times, reverse):
        a, u = acts[t], squashed[t]
        np.matmul(here, turned, out=share)
        if compiled:
            try:
                kernels.run("lstm_enter", n, a.size, gates[t], share, a)
                np.tanh(a, out=a)
                kernels.run("lstm_advance", n, a.size, a, c, before[t])
            except kernels.KernelFailure:
                compiled = False
        if not compiled:
            np.add(gates[t], share, out=a)
            a *= half
            np.tanh(a, out=a)
            a *= half
            a += offset
            before[t] = c
            c *= a[:, h : 2 * h]
            np.multiply(a[:, :h], a[:, 2 * h : 3 * h], out=scratch)
            c += scratch
        np.tanh(c, out=u)
        here = states[t]
        if projection is None:
            np.multiply(a[:, 3 * h :], u, out=here)
        else:
            np.matmul(a[:, 3 * h :] * u, projection.T, out=here)
    return (states, c), (acts.reshape(times, n, 4, h), before, squashed, states, state, weight, projection, reverse)


def lstm_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """Backwards in time, with ``u = tanh(c')``, and ``dh, dc`` what has come back from later times plus the cotangents
    of this one, (N, H):

    - with a projection R, ``h' = m R^T`` with ``m = o u``: ``dm = dh R`` (N, H) = (N, P) (P, H); without, ``dm = dh``.
    - as in ``lstm_cell``, ``d = dc + dm o (1 - u^2)``, and the gates before their nonlinearities receive ``da`` (N, 4,
      H): ``d`` times ``g i (1 - i)``, ``c f (1 - f)`` and ``i (1 - g^2)``, and ``dm`` times ``u o (1 - o)``. These
      factors know nothing of the cotangent, so they are made for all times at once. So is ``o (1 - u^2)``.
    - to the time before: ``dh = da W`` (N, P) = (N, 4 H) (4 H, P) and ``dc = d f``.

    After the last, over all times: ``dgates = da`` (T, N, 4 H); ``dW = sum_t da_t^T h_t`` (4 H, P), h the state before;
    ``dR = sum_t dh_t^T m_t`` (P, H).
    """
    dstates, dcell = g
    acts, before, u, states, state, weight, projection, reverse = residuals
    times, n, _, h = acts.shape
    if _is_compiled(projection, acts[0], dstates):
        try:
            dgates, dh, d = _lstm_return(dstates, dcell, acts, before, u, weight, reverse)
        except kernels.KernelFailure:
            pass
        else:
            return dgates, dh, d, _weight_gradient(dgates, states, state, reverse) if needs[3] else None, None
    i, f, new, o = (acts[:, :, k] for k in range(4))
    factors = 1 - acts
    factors *= acts
    np.multiply(new, new, out=factors[:, :, 2])
    np.subtract(1, factors[:, :, 2], out=factors[:, :, 2])
    for k, other in enumerate((new, before, i, u)):
        factors[:, :, k] *= other
    through = u * u
    np.subtract(1, through, out=through)
    through *= o
    # The arrays of factors become the gradients: each is read for the last time where its place is written.
    dh, d = np.zeros(state.shape, acts.dtype), dcell.astype(acts.dtype)
    scratch = np.empty_like(d)
    arrived = np.empty_like(states) if projection is not None else None
    for t in _times(times, not reverse):
        dh += dstates[t]
        dm = dh
        if projection is not None and arrived is not None:
            arrived[t] = dh
            dm = np.matmul(dh, projection)
        np.multiply(dm, through[t], out=scratch)
        d += scratch
        da = factors[t]
        da[:, :3] *= d[:, None]
        da[:, 3] *= dm
        d *= f[t]
        np.matmul(da.reshape(n, 4 * h), weight, out=dh)
    dgates = factors.reshape(times, n, 4 * h)
    dweight = dprojection = None
    if needs[3]:
        dweight = _weight_gradient(dgates, states, state, reverse)
    if arrived is not None and needs[4]:
        dprojection = np.matmul(_rows(arrived).T, _rows(o * u))
    return dgates, dh, d, dweight, dprojection


def _is_compiled(projection: Any, one: Any, *arrays: Any) -> bool:
    """Whether what stands between the products of an LSTM's times is done by kernels, to the same bits."""
    return projection is None and kernels.large(one.size, kernels.LEAST_OF_MANY) and kernels.ready(one, *arrays)


def _lstm_return(dstates: Any, dcell: Any, acts: Any, before: Any, u: Any, weight: Any, reverse: bool) -> Any:
    """The way back but for the weight's gradient, every time in one pass over its arrays."""
    times, n, _, h = acts.shape
    acts, dgates = acts.reshape(times, n, 4 * h), np.empty((times, n, 4 * h), acts.dtype)
    dh, d = np.zeros((n, h), acts.dtype), np.empty((n, h), acts.dtype)
    d[...] = dcell
    for t in _times(times, not reverse):
        kernels.run("lstm_return", n, 4 * n * h, dh, dstates[t], acts[t], before[t], u[t], d, dgates[t])
        np.matmul(dgates[t], weight, out=dh)
    return dgates, dh, d


def _weight_gradient(dgates: Any, states: Any, state: Any, reverse: bool) -> Any:
    return np.matmul(_rows(dgates).T, _rows(_before(states, state, reverse)))


def _rows(array: Any) -> Any:
    """(T, N, ...) as a matrix with a row for each time and example; there may be nothing in one."""
    return array.reshape(array.shape[0] * array.shape[1], math.prod(array.shape[2:]))


def _before(states: Any, first: Any, reverse: bool) -> Any:
    """The state before each time, (T, N, P)."""
    first = first[None].astype(states.dtype, copy=False)
    return np.concatenate([states[1:], first] if reverse else [first, states[:-1]])


def _sample_lstm(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    t, n, h = draw.integer(1, 3), draw.integer(1, 2), draw.integer(1, 2)
    p = draw.integer(1, 2) if draw.boolean() else None
    q = h if p is None else p
    arrays = (draw.array((t, n, 4 * h)), draw.array((n, q)), draw.array((n, h)), draw.array((4 * h, q)))
    return (*arrays, None if p is None else draw.array((p, h))), {"reverse": draw.boolean()}


lstm = fused(lstm_composed, _sample_lstm, label="LSTM")


# --- one step of a GRU ------------------------------------------------------------------------------------------------


def gru_cell_composed(gates: Any, hidden_gates: Any, state: Any) -> Any:
    """One step of a GRU, given the shares of input and state in its gates.

    ``r = s(a_r + b_r)``, ``z = s(a_z + b_z)``, ``n = tanh(a_n + r b_n)``, ``h' = (1 - z) n + z h``.

    Parameters
    ----------
    gates, hidden_gates : (N, 3 H)
        a and b: r, z and n side by side, biases included.
    state : (N, H)

    Returns
    -------
    Tensor, (N, H)

    Raises
    ------
    ShapeError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> gru_cell(np.zeros((1, 3)), np.zeros((1, 3)), np.ones((1, 1))).data
    array([[0.5]])
    """
    n = _check_cell("gru_cell", 3, gates, state)
    _check_cell("gru_cell", 3, hidden_gates, state)
    r, z = (_sigmoid(gates[..., k * n : (k + 1) * n] + hidden_gates[..., k * n : (k + 1) * n]) for k in (0, 1))
    new = np.tanh(gates[..., 2 * n :] + r * hidden_gates[..., 2 * n :])
    return (1 - z) * new + z * state


def gru_cell_forward(gates: Any, hidden_gates: Any, state: Any) -> tuple[Any, Any]:
    """Residuals: r, z, n, ``b_n`` and h."""
    n = _check_cell("gru_cell", 3, gates, state)
    _check_cell("gru_cell", 3, hidden_gates, state)
    both = _activate(gates[..., : 2 * n] + hidden_gates[..., : 2 * n])
    r, z = both[..., :n], both[..., n:]
    share = hidden_gates[..., 2 * n :]
    new = np.tanh(gates[..., 2 * n :] + r * share)
    return new + z * (state - new), (r, z, new, share, state)


def gru_cell_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """Of ``h' = n + z (h - n)``, all (N, H) unless said:

    - ``dn = g (1 - z)``, before its tanh ``dn' = dn (1 - n^2)``; ``dz' = g (h - n) z (1 - z)``.
    - ``n`` holds ``r b_n``: ``db_n = dn' r``, ``dr' = dn' b_n r (1 - r)``.
    - ``dgates = (dr', dz', dn')`` and ``dhidden_gates = (dr', dz', dn' r)``, (N, 3 H) each; ``dh = g z``.
    """
    r, z, new, share, state = residuals
    n = state.shape[-1]
    dgates = np.empty((*state.shape[:-1], 3 * n), np.result_type(g, new))
    dnew = g * (1 - z) * (1 - new * new)
    dgates[..., 2 * n :] = dnew
    dgates[..., n : 2 * n] = g * (state - new) * z * (1 - z)
    dgates[..., :n] = dnew * share * r * (1 - r)
    dhidden = dgates.copy()
    dhidden[..., 2 * n :] *= r
    return dgates, dhidden, g * z


def _sample_gru_cell(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    n, h = draw.integer(1, 3), draw.integer(1, 3)
    return (draw.array((n, 3 * h)), draw.array((n, 3 * h)), draw.array((n, h))), {}


gru_cell = fused(gru_cell_composed, _sample_gru_cell, "h' = (1 - z) n + z h", label="GRU cell")


# --- a GRU over time --------------------------------------------------------------------------------------------------


def gru_composed(gates: Any, state: Any, weight: Any, bias: Any = None, *, reverse: bool = False) -> Any:
    """A layer of GRU over all times: :func:`gru_cell` with ``gates[t]`` and ``h W^T + bias``.

    Parameters
    ----------
    gates : (T, N, 3 H)
        The inputs' share of the gates, their bias included.
    state : (N, H)
    weight : (3 H, H)
    bias : (3 H,) or None
        Of the state's share.
    reverse : bool
        Run from the last time to the first.

    Returns
    -------
    Tensor, (T, N, H)
        h after every time, in the order of ``gates``.

    Raises
    ------
    ShapeError
        If shapes do not fit, or there is no time at all.

    Examples
    --------
    >>> import numpy as np
    >>> gru(np.zeros((2, 1, 3)), np.ones((1, 1)), np.zeros((3, 1))).data.ravel()
    array([0.5 , 0.25])
    """
    _check_simple("gru", 3, gates, state, weight, bias)
    states: list[Any] = [None] * gates.shape[0]
    turned = np.swapaxes(weight, 0, 1)
    for t in _times(len(states), reverse):
        share = np.matmul(state, turned)
        states[t] = state = gru_cell_composed(gates[t], share if bias is None else share + bias, state)
    return np.stack(states)


def _check_simple(name: str, count: int, gates: Any, state: Any, weight: Any, bias: Any = None) -> None:
    n, h = state.shape if state.ndim == 2 else (-1, -1)
    fits = (
        gates.ndim == 3 and gates.shape[0] > 0 and gates.shape[1:] == (n, count * h) and weight.shape == (count * h, h)
    )
    fits = fits and (bias is None or bias.shape == (count * h,))
    words = f"gates {gates.shape}, state {state.shape}, weight {weight.shape}" + (
        "" if bias is None else f", bias {bias.shape}"
    )
    width = "H" if count == 1 else f"{count} H"
    _need(name, fits, f"{words}; they need shapes (T, N, {width}), (N, H), ({width}, H) and ({width},), T at least 1")


def gru_forward(gates: Any, state: Any, weight: Any, bias: Any = None, *, reverse: bool = False) -> tuple[Any, Any]:
    """Residuals: r, z and n (T, N, 3, H), ``b_n`` (T, N, H), the states, and what came in."""
    _check_simple("gru", 3, gates, state, weight, bias)
    times, (n, h) = gates.shape[0], state.shape
    acts = _writable(gates, state, weight, bias)
    dtype = acts.dtype
    turned = np.ascontiguousarray(weight.T, dtype)
    shares, states = np.empty((2, times, n, h), dtype)
    share = np.empty((n, 3 * h), dtype)
    here = state.astype(dtype, copy=False)
    for t in _times(times, reverse):
        a = acts[t]
        np.matmul(here, turned, out=share)
        if bias is not None:
            share += bias
        shares[t] = share[:, 2 * h :]
        both, new = a[:, : 2 * h], a[:, 2 * h :]
        both += share[:, : 2 * h]
        _activate(both)
        new += both[:, :h] * shares[t]
        np.tanh(new, out=new)
        np.subtract(here, new, out=states[t])
        states[t] *= both[:, h:]
        states[t] += new
        here = states[t]
    return states, (acts.reshape(times, n, 3, h), shares, states, state, weight, reverse)


def gru_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """Backwards in time with ``dh`` (N, H), what has come back from later times plus the cotangent of this one.

    The gates' gradients are those of ``gru_cell``, that is ``dh`` times factors which know nothing of it and are made
    for all times at once: ``f_n = (1 - z) (1 - n^2)``, ``f_z = (h - n) z (1 - z)``, ``f_r = f_n b_n r (1 - r)``. To the
    time before goes ``dh z + db W`` with ``db = dh (f_r, f_z, f_n r)``, the gradient of the state's share: (N, H) + (N,
    3 H) (3 H, H). After the last, over all times: ``dgates = dh (f_r, f_z, f_n)`` (T, N, 3 H), ``dW = sum_t db_t^T
    h_t`` (3 H, H), ``dbias = sum_tn db`` (3 H,).
    """
    acts, shares, states, state, weight, reverse = residuals
    times, n, _, h = acts.shape
    r, z, new = (acts[:, :, k] for k in range(3))
    before = _before(states, state, reverse)
    factors = np.empty_like(acts)
    last = (1 - z) * (1 - new * new)
    factors[:, :, 0] = last * shares * r * (1 - r)
    factors[:, :, 1] = (before - new) * z * (1 - z)
    factors[:, :, 2] = last * r
    dh = np.zeros(state.shape, acts.dtype)
    through = np.empty_like(dh)
    for t in _times(times, not reverse):
        dh += g[t]
        db = factors[t]
        db *= dh[:, None]
        last[t] *= dh
        np.multiply(dh, z[t], out=through)
        np.matmul(db.reshape(n, 3 * h), weight, out=dh)
        dh += through
    rows = _rows(factors)
    dweight = np.matmul(rows.T, _rows(before)) if needs[2] else None
    dbias = rows.sum(axis=0) if needs[3] else None
    dgates = None
    if needs[0]:
        factors[:, :, 2] = last  # after its last use as the gradient of the state's share
        dgates = factors.reshape(times, n, 3 * h)
    return dgates, dh, dweight, dbias


def _sample_gru(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    t, n, h = draw.integer(1, 3), draw.integer(1, 2), draw.integer(1, 2)
    bias = draw.array((3 * h,)) if draw.boolean() else None
    return (draw.array((t, n, 3 * h)), draw.array((n, h)), draw.array((3 * h, h)), bias), {"reverse": draw.boolean()}


gru = fused(gru_composed, _sample_gru, label="GRU")


# --- a plain recurrent layer ------------------------------------------------------------------------------------------


def rnn_composed(gates: Any, state: Any, weight: Any, *, nonlinearity: str = "tanh", reverse: bool = False) -> Any:
    """A plain recurrent layer over all times: ``h' = tanh(gates[t] + h W^T)``, or relu.

    Parameters
    ----------
    gates : (T, N, H)
        The inputs' share, biases included.
    state : (N, H)
    weight : (H, H)
    nonlinearity : {"tanh", "relu"}
    reverse : bool
        Run from the last time to the first.

    Returns
    -------
    Tensor, (T, N, H)
        h after every time, in the order of ``gates``.

    Raises
    ------
    ShapeError, ArgumentError
        If shapes do not fit, there is no time at all, or the nonlinearity is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> rnn(np.ones((2, 1, 1)), np.zeros((1, 1)), np.ones((1, 1)), nonlinearity="relu").data.ravel()
    array([1., 2.])
    """
    _check_rnn(gates, state, weight, nonlinearity)
    states: list[Any] = [None] * gates.shape[0]
    turned = np.swapaxes(weight, 0, 1)
    for t in _times(len(states), reverse):
        a = gates[t] + np.matmul(state, turned)
        states[t] = state = np.tanh(a) if nonlinearity == "tanh" else np.where(a <= 0, 0, a)
    return np.stack(states)


def _check_rnn(gates: Any, state: Any, weight: Any, nonlinearity: str) -> None:
    if nonlinearity not in ("tanh", "relu"):
        raise ArgumentError(f"rnn: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
    _check_simple("rnn", 1, gates, state, weight)


def rnn_forward(
    gates: Any, state: Any, weight: Any, *, nonlinearity: str = "tanh", reverse: bool = False
) -> tuple[Any, Any]:
    """Residuals: the states, and what came in."""
    _check_rnn(gates, state, weight, nonlinearity)
    states = _writable(gates, state, weight)
    turned = np.ascontiguousarray(weight.T, states.dtype)
    here = state.astype(states.dtype, copy=False)
    share = np.empty(state.shape, states.dtype)
    for t in _times(len(states), reverse):
        a = states[t]
        np.matmul(here, turned, out=share)
        a += share
        here = np.tanh(a, out=a) if nonlinearity == "tanh" else np.maximum(a, 0, out=a)
    return states, (states, state, weight, nonlinearity, reverse)


def rnn_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """Backwards in time with ``dh`` (N, H), what has come back from later times plus the cotangent of this one:

    - ``da = dh (1 - h'^2)`` for tanh, ``dh`` where ``h'`` is not 0 for relu: (N, H); to the time before ``dh = da W``.
    - After the last, over all times: ``dgates = da`` (T, N, H) and ``dW = sum_t da_t^T h_t`` (H, H), h the state
      before.
    """
    states, state, weight, nonlinearity, reverse = residuals
    dgates = 1 - states * states if nonlinearity == "tanh" else np.asarray(states != 0, states.dtype)
    dh = np.zeros(state.shape, states.dtype)
    for t in _times(len(states), not reverse):
        dh += g[t]
        da = dgates[t]
        if nonlinearity == "tanh":
            da *= dh
        else:
            np.copyto(da, dh, where=da > 0)  # selected, not multiplied: what is infinite must not leak
        np.matmul(da, weight, out=dh)
    dweight = _weight_gradient(dgates, states, state, reverse) if needs[2] else None
    return dgates, dh, dweight


def _sample_rnn(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    t, n, h = draw.integer(1, 3), draw.integer(1, 2), draw.integer(1, 3)
    arrays = (draw.array((t, n, h)), draw.array((n, h)), draw.array((h, h)))
    return arrays, {"nonlinearity": "tanh", "reverse": draw.boolean()}


rnn = fused(rnn_composed, _sample_rnn, label="RNN")
