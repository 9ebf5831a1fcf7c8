"""NumPy's callables whose derivative is zero wherever it exists: comparisons, rounding, shape queries, sorting indices.

They run on the bare arrays and give constants. That is no cut: the true gradient through them is zero.
"""

from __future__ import annotations

import numpy as np

from autodiff import dispatch

UFUNCS = (
    "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor logical_not isfinite isinf isnan isnat "
    "signbit sign floor ceil trunc rint floor_divide spacing nextafter heaviside bitwise_and bitwise_or bitwise_xor "
    "invert left_shift right_shift bitwise_count gcd lcm"
)
FUNCTIONS = (
    "round around fix all any allclose isclose array_equal array_equiv isreal isrealobj iscomplex iscomplexobj isposinf isneginf "
    "shape ndim size argmax argmin nanargmax nanargmin argsort argpartition lexsort searchsorted digitize nonzero flatnonzero argwhere "
    "count_nonzero zeros_like ones_like empty_like result_type can_cast min_scalar_type common_type isin array_repr array_str array2string "
    "shares_memory may_share_memory ravel_multi_index unravel_index tril_indices_from triu_indices_from diag_indices_from "
    "broadcast_shapes histogram_bin_edges iterable unique_counts packbits unpackbits ix_"
)


def register() -> None:
    """Enter them in the dispatch table."""
    for name in (*UFUNCS.split(), *FUNCTIONS.split()):
        dispatch.constant_functions.add(getattr(np, name))
