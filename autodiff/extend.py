"""Everything that somebody writing an operation imports.

    from autodiff.extend import Fused, Primitive

A ``Primitive`` is a NumPy forward and one gradient rule per argument; a ``Fused`` is a composed definition, a fast
forward and a hand-derived backward. The library's own operations are made with the same two classes. Check yours with
``autodiff.testing.verify`` and ``autodiff.testing.check_gradients``.
"""

from autodiff.core.op import Fused, Primitive, registry
from autodiff.dispatch import implements
from autodiff.ops.common import bare, expand_reduced, quotient, spread
from autodiff.ops.elementwise import constant

__all__ = ["Fused", "Primitive", "bare", "constant", "expand_reduced", "implements", "quotient", "registry", "spread"]
