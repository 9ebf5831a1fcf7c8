"""NumPy's callables whose derivative is zero wherever it exists: comparisons, rounding, shape queries, sorting indices.

They run on the bare arrays and give constants. That is no cut: the true gradient through them is zero.
"""

from __future__ import annotations

import numpy as np
import numpy.lib.recfunctions

from autodiff import dispatch

UFUNCS = (
    "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor logical_not isfinite"
    " isinf isnan isnat signbit floor ceil trunc rint floor_divide spacing bitwise_and"
    " bitwise_or bitwise_xor invert left_shift right_shift bitwise_count gcd lcm"
)
FUNCTIONS = (
    "round around fix all any allclose isclose array_equal array_equiv isreal isrealobj iscomplex iscomplexobj isposinf"
    " isneginf shape ndim size argmax argmin nanargmax nanargmin argsort argpartition lexsort searchsorted digitize"
    " nonzero flatnonzero argwhere count_nonzero zeros_like ones_like empty_like result_type can_cast min_scalar_type"
    " common_type isin array_repr array_str array2string shares_memory may_share_memory ravel_multi_index unravel_index"
    " tril_indices_from triu_indices_from diag_indices_from broadcast_shapes iterable packbits unpackbits"
)


#: What has no gradient, and what to use instead.
ADVICE = {
    "unique union1d intersect1d setdiff1d setxor1d": (
        "use np.unique_values or np.unique_all, or .data where no gradient is wanted"
    ),
    "frexp": "the mantissa jumps; use np.log2 and np.exp2",
    "trim_zeros": "how much it cuts depends on the values; slice instead",
    "histogram2d histogramdd": "use np.bincount with weights on the cell numbers",
    "einsum_path": "it plans a contraction; call it on the arrays (.data)",
    "sort_complex": "use np.sort of the real or the absolute values",
    "save savez savez_compressed savetxt": "save .data or .detach().numpy()",
    "arange": "use np.linspace, or start + step * np.arange(n)",
    "fromfunction fromiter frombuffer fromfile fromstring genfromtxt loadtxt array eye identity ones zeros empty full "
    "tri require": (
        "it makes an array (with like= only): make it first, then a Tensor with autodiff.tensor; join Tensors with"
        " autodiff.array"
    ),
    "busday_count busday_offset is_busday datetime_as_string": "dates are no numbers to differentiate",
}


def register() -> None:
    """Enter them in the dispatch table."""
    for names, words in ADVICE.items():
        for name in names.split():
            dispatch.advice[getattr(np, name)] = words
    for name in np.lib.recfunctions.__all__:
        words = "structured arrays hold no Tensors; work on the fields"
        dispatch.advice[getattr(np.lib.recfunctions, name)] = words
    dispatch.constant_functions.add(np.linalg.matrix_rank)
    for name in (*UFUNCS.split(), *FUNCTIONS.split()):
        dispatch.constant_functions.add(getattr(np, name))
    if hasattr(np, "in1d"):  # newer versions of NumPy have isin alone
        dispatch.constant_functions.add(getattr(np, "in1d"))  # noqa: B009
