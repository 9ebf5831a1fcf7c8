"""Connectionist temporal classification by the forward-backward algorithm, in logarithms throughout.

Source: Graves, Fernandez, Gomez and Schmidhuber 2006, "Connectionist temporal classification".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.dispatch import bare
from autodiff.fused.common import fused

__all__ = ["ctc_loss"]


def _states(labels: Any, target_lengths: Any, blank: int) -> tuple[Any, Any, Any, Any]:
    """The sequences with a blank around every label: their classes (N, S); where a blank may be skipped on the way in
    (N, S), which is between different labels; where an alignment may end (N, S); what is no padding (N, S)."""
    n, count = labels.shape
    classes = np.full((n, 2 * count + 1), blank)
    classes[:, 1::2] = labels
    skip = np.zeros(classes.shape, bool)
    skip[:, 3::2] = labels[:, 1:] != labels[:, :-1]
    place = np.arange(2 * count + 1)
    last = 2 * target_lengths[:, None]
    return classes, skip, (place == last) | (place == last - 1), place <= last


def ctc_loss_composed(
    log_probs: Any, labels: Any, input_lengths: Any, target_lengths: Any, *, blank: int = 0, zero_infinity: bool = False
) -> Any:
    """``-log P(labels)`` of each example, P being summed over all alignments of its labels with its frames.

    Parameters
    ----------
    log_probs : (T, N, C)
    labels : int (N, L)
        Padded with anything that is a class.
    input_lengths, target_lengths : int (N,)
        At most T and L.
    blank : int
    zero_infinity : bool
        0 in place of an infinite loss.

    Returns
    -------
    Tensor, (N,)

    Examples
    --------
    >>> half = np.log(np.full((2, 1, 2), 0.5))
    >>> np.round(ctc_loss(half, np.array([[1]]), np.array([2]), np.array([1])).data, 6)
    array([0.287682])
    """
    labels, inputs, targets = (np.asarray(bare(a)) for a in (labels, input_lengths, target_lengths))
    classes, skip, ends, real = _states(labels, targets, blank)
    n, states = classes.shape
    never = np.full((n, 2), -np.inf)
    # Before the first frame only the state before state 0 is possible: a start in state 0 or 1.
    start = np.where(np.arange(states) < 2, 0.0, -np.inf) + np.zeros((n, 1))
    alpha: Any = None
    for t in range(len(log_probs)):
        emitted = np.where(real, log_probs[t][np.arange(n)[:, None], classes], -np.inf)
        if alpha is None:
            after = start + emitted
        else:
            by_one = np.concatenate([never[:, :1], alpha[:, :-1]], axis=1)
            by_two = np.where(skip, np.concatenate([never, alpha[:, :-2]], axis=1)[:, :states], -np.inf)
            after = np.logaddexp(np.logaddexp(alpha, by_one), by_two) + emitted
        before = np.where(np.arange(states) == 0, 0.0, -np.inf) + np.zeros((n, 1)) if alpha is None else alpha
        alpha = np.where((t < inputs)[:, None], after, before)
    if alpha is None:
        alpha = np.where(np.arange(states) == 0, 0.0, -np.inf) + np.zeros((n, 1)) + np.sum(log_probs)
    final = np.where(ends, alpha, -np.inf)
    total = final[:, 0]
    for state in range(1, states):
        total = np.logaddexp(total, final[:, state])
    if zero_infinity:
        total = np.where(total == -np.inf, 0.0, total)
    return -total


def _step(alpha: Any, skip: Any) -> Any:
    """The logarithm of the probability of arriving in each state, before its frame is read: from itself, its neighbour,
    or past a blank.
    """
    out = alpha.copy()
    np.logaddexp(out[:, 1:], alpha[:, :-1], out=out[:, 1:])
    np.logaddexp(out[:, 2:], alpha[:, :-2], out=out[:, 2:], where=skip[:, 2:])
    return out


def ctc_loss_forward(
    log_probs: Any, labels: Any, input_lengths: Any, target_lengths: Any, *, blank: int = 0, zero_infinity: bool = False
) -> tuple[Any, Any]:
    """Residuals, with S = 2 L + 1 states: classes, skips and ends (N, S), ``log p`` of each state's class and alpha (T,
    N, S), lengths, ``log P`` (N,), the options and the shape."""
    classes, skip, ends, real = _states(labels, target_lengths, blank)
    n, states = classes.shape
    emitted = log_probs[:, np.arange(n)[:, None], classes]
    alpha = np.full((len(log_probs), n, states), -np.inf, log_probs.dtype)
    reached = np.full((n, states), -np.inf, log_probs.dtype)
    reached[:, 0] = 0
    for t in range(len(log_probs)):
        if t:
            arriving = _step(reached, skip)
        else:
            arriving = np.where(np.arange(states) < 2, log_probs.dtype.type(0), log_probs.dtype.type(-np.inf))
        # What no alignment passes stays impossible, whatever is emitted there: a NaN of the padding, say.
        possible = real & (arriving != -np.inf)
        np.add(arriving, emitted[t], out=alpha[t], where=possible)
        reached = np.where((t < input_lengths)[:, None], alpha[t], reached)
    total = np.logaddexp.reduce(np.where(ends, reached, log_probs.dtype.type(-np.inf)), axis=1)
    loss = np.where(total == -np.inf, log_probs.dtype.type(0), -total) if zero_infinity else -total
    return loss, (classes, skip, ends, emitted, alpha, input_lengths, total, zero_infinity, log_probs.shape)


def ctc_loss_backward(g: Any, residuals: Any, needs: tuple[bool, ...]) -> tuple[Any, ...]:
    """``alpha_t(s)`` is the log-probability of reading frames 0 to t and being in state s, ``beta_t(s)`` that of
    reading the rest from there:

    - ``beta_t(s) = log sum_{s'} exp(beta_{t+1}(s') + log p_{t+1}(s'))`` over the states s' that follow s; 0 at the last
      frame in a final state.
    - An alignment passes state s at frame t with probability ``gamma_t(s) = exp(alpha_t(s) + beta_t(s) - log P)`` given
      the labels: (T, N, S).
    - Every alignment through it has the factor p_t(class of s), so ``d log P / d log p_t(c) = sum_{s of class c}
      gamma_t(s)`` and ``dlog_probs = -g sum gamma``: (T, N, C).

    It is 0 for frames beyond an example's length, and NaN for the others of an example whose loss is infinite.
    """
    classes, skip, ends, emitted, alpha, inputs, total, zero_infinity, shape = residuals
    n = len(classes)
    infinite = total == -np.inf
    bottom = alpha.dtype.type(-np.inf)
    final = np.where(ends, alpha.dtype.type(0), bottom)
    gamma = np.zeros(alpha.shape, alpha.dtype)
    beta = final
    level = np.where(infinite, 0, total)[:, None]
    for t in range(len(alpha) - 1, -1, -1):
        if t + 1 < len(alpha):
            # The mirror image of a step forward: a skip belongs to the state that is skipped to.
            onward = np.where(beta == bottom, bottom, beta + emitted[t + 1])
            moved = onward.copy()
            np.logaddexp(moved[:, :-1], onward[:, 1:], out=moved[:, :-1])
            np.logaddexp(moved[:, :-2], onward[:, 2:], out=moved[:, :-2], where=skip[:, 2:])
            beta = np.where((t + 1 < inputs)[:, None], moved, final)
        passed = (t < inputs)[:, None] & (alpha[t] != bottom) & (beta != bottom)
        np.exp(alpha[t] + beta - level, out=gamma[t], where=passed)
    gamma *= -g[:, None]
    gamma[infinite & (np.arange(len(alpha))[:, None] < inputs)] = 0 if zero_infinity else np.nan
    dlog_probs = np.zeros(shape, alpha.dtype)
    rows = np.arange(n)
    for state in range(classes.shape[1]):
        dlog_probs[:, rows, classes[:, state]] += gamma[:, :, state]
    return dlog_probs, None, None, None


def _sample(draw: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    n, time, classes = draw.integer(1, 2), draw.integer(3, 5), draw.integer(2, 3)
    # Two labels need three frames if they are equal, so every example is possible.
    labels = draw.integers((n, 2), 1, classes - 1)
    inputs, targets = draw.integers((n,), 3, time), draw.integers((n,), 0, 2)
    blank = draw.choice((0, classes - 1))
    return (draw.array((time, n, classes), low=-3.0, high=0.0), labels - (blank > 0), inputs, targets), {"blank": blank}


ctc_loss = fused(ctc_loss_composed, _sample, "dlog p_t(c) = -Σ_{s of class c} γ_t(s)", real_only=True)
