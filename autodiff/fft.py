"""scipy.fft's functions, differentiable, under the same names and with the same arguments; those that NumPy has too
take NumPy's arguments as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autodiff.core.errors import ArgumentError, ShapeError
from autodiff.core.op import wrap
from autodiff.dispatch import differentiable_of
from autodiff.extras import require
from autodiff.functions import named
from autodiff.ops.common import bare, different_axes
from autodiff.ops.fft import _fit_length, _opposite
from autodiff.ops.filters import cosine_transform
from autodiff.ops.shaping import _floats, _tensor

_NUMPY = differentiable_of("numpy.fft")


def _one(name: str) -> Any:
    ours = _NUMPY[name]

    def transform(
        a: Any,
        n: Any = None,
        axis: int = -1,
        norm: Any = None,
        overwrite_x: Any = False,
        workers: Any = None,
        *,
        plan: Any = None,
        out: None = None,
    ) -> Any:
        return ours(a, n, axis, norm, **({} if out is None else {"out": out}))

    return named(transform, name, f"``scipy.fft.{name}``; how SciPy computes (workers, plan) is of no account.")


def _many(name: str, axes: Any = None) -> Any:
    default, ours = axes, _NUMPY[name]

    def transform(
        a: Any,
        s: Any = None,
        axes: Any = default,
        norm: Any = None,
        overwrite_x: Any = False,
        workers: Any = None,
        *,
        plan: Any = None,
        out: None = None,
    ) -> Any:
        if np.ndim(s) == 0 and s is not None:
            s = (s,)
        if s is not None and axes is None:
            axes = tuple(range(-len(s), 0))
        axes = None if axes is None else different_axes(name, axes, np.ndim(a))
        return ours(a, s, axes, norm, **({} if out is None else {"out": out}))

    return named(transform, name, f"``scipy.fft.{name}``; how SciPy computes (workers, plan) is of no account.")


def _hermitian(name: str, axes: Any = None) -> Any:
    default = axes

    def transform(
        x: Any,
        s: Any = None,
        axes: Any = default,
        norm: Any = None,
        overwrite_x: bool = False,
        workers: Any = None,
        *,
        plan: Any = None,
    ) -> Any:
        way = _opposite(norm)
        if name[0] == "h":
            return _MADE["irfftn"](np.conj(_tensor(x)), s, axes, way)
        return np.conj(_MADE["rfftn"](x, s, axes, way))

    return named(transform, name, f"``scipy.fft.{name}``.")


def _cosines(name: str) -> Any:
    def transform(
        x: Any,
        type: int = 2,
        n: Any = None,
        axis: int = -1,
        norm: Any = None,
        overwrite_x: bool = False,
        workers: Any = None,
        orthogonalize: Any = None,
    ) -> Any:
        t = _floats(x)
        axis = normalize_axis_index(axis, t.ndim)
        if n is not None:
            if n < 1:
                raise ArgumentError(f"{name}: invalid number of data points ({n})")
            t = _fit_length(t, n, axis)
        whole = norm == "ortho" if orthogonalize is None else bool(orthogonalize)
        return cosine_transform.function(t, name, int(type), axis, norm, whole)

    return named(transform, name, f"``scipy.fft.{name}`` of every type.")


def _many_cosines(name: str) -> Any:
    def transform(
        x: Any,
        type: int = 2,
        s: Any = None,
        axes: Any = None,
        norm: Any = None,
        overwrite_x: bool = False,
        workers: Any = None,
        *,
        orthogonalize: Any = None,
    ) -> Any:
        t, lengths = _tensor(x), [s] if np.ndim(s) == 0 and s is not None else s
        if axes is None:
            axes = range(-(t.ndim if lengths is None else len(lengths)), 0)
        along = different_axes(name, axes, t.ndim)
        if lengths is not None and len(lengths) != len(along):
            raise ShapeError(f"{name}: {len(lengths)} lengths for {len(along)} axes")
        for axis, n in zip(along, lengths or [None] * len(along), strict=True):
            t = _MADE[name[:-1]](t, type, n, axis, norm, orthogonalize=orthogonalize)
        return t

    return named(transform, name, f"``scipy.fft.{name}`` of every type, axis after axis.")


def _frequencies(name: str) -> Any:
    def frequencies(n: int, d: float = 1.0, *, xp: Any = None, device: Any = None) -> Any:
        return wrap(getattr(np.fft, name)(n, 1.0), None) / d

    return named(frequencies, name, f"``scipy.fft.{name}``, differentiable in the step ``d``.")


def next_fast_len(target: int, real: bool = False) -> int:
    """The next length for which SciPy's transform is quick."""
    return int(require("scipy.fft").next_fast_len(int(bare(target)), real))


_MADE = dict(_NUMPY)
_MADE |= {name: _one(name) for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")}
_MADE |= {name: _many(name) for name in ("fftn", "ifftn", "rfftn", "irfftn")}
_MADE |= {name: _many(name, (-2, -1)) for name in ("fft2", "ifft2", "rfft2", "irfft2")}
_MADE |= {name: _hermitian(name) for name in ("hfftn", "ihfftn")}
_MADE |= {name: _hermitian(name, (-2, -1)) for name in ("hfft2", "ihfft2")}
_MADE |= {name: _cosines(name) for name in ("dct", "idct", "dst", "idst")}
_MADE |= {name: _many_cosines(name) for name in ("dctn", "idctn", "dstn", "idstn")}
_MADE |= {name: _frequencies(name) for name in ("fftfreq", "rfftfreq")}
globals().update(_MADE)

__all__ = ["next_fast_len"]
__all__ += sorted(_MADE)
