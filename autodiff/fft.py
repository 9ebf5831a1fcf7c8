"""numpy.fft's functions, differentiable, under the same names."""

from autodiff.dispatch import differentiable_of

_NUMPY = differentiable_of("numpy.fft")
globals().update(_NUMPY)

__all__ = []
__all__ += sorted(_NUMPY)
