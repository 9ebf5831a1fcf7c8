"""scipy.special's functions under our own names: ``autodiff.special.erf(x)``. Needs SciPy.

Written by docs/make_stubs.py; do not edit.
"""

from collections.abc import Sequence
from typing import Any

from autodiff.signatures import ArrayLike
from autodiff.tensor import Tensor

__all__ = ["log_softmax", "logsumexp", "multigammaln", "polygamma", "softmax"]

def beta(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Differentiable ``beta``."""

def betainc(x: ArrayLike, y: ArrayLike, z: ArrayLike) -> Tensor:
    """Differentiable ``betainc``."""

def betaincc(x: ArrayLike, y: ArrayLike, z: ArrayLike) -> Tensor:
    """Differentiable ``betaincc``."""

def betainccinv(a: ArrayLike, b: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``betainccinv``."""

def betaincinv(a: ArrayLike, b: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``betaincinv``."""

def betaln(a: ArrayLike, b: ArrayLike) -> Tensor:
    """Differentiable ``betaln``."""

def binom(n: ArrayLike, k: ArrayLike) -> Tensor:
    """Differentiable ``binom``."""

def cbrt(x: ArrayLike) -> Tensor:
    """Differentiable ``special_cbrt``."""

def cosm1(x: ArrayLike) -> Tensor:
    """Differentiable ``cosm1``."""

def dawsn(x: ArrayLike) -> Tensor:
    """Differentiable ``dawsn``."""

def digamma(x: ArrayLike) -> Tensor:
    """Differentiable ``digamma``."""

def ellipe(m: ArrayLike) -> Tensor:
    """Differentiable ``ellipe``."""

def ellipk(m: ArrayLike) -> Tensor:
    """Differentiable ``ellipk``."""

def entr(x: ArrayLike) -> Tensor:
    """Differentiable ``entr``."""

def erf(x: ArrayLike) -> Tensor:
    """Differentiable ``erf``."""

def erfc(x: ArrayLike) -> Tensor:
    """Differentiable ``erfc``."""

def erfcinv(x: ArrayLike) -> Tensor:
    """Differentiable ``erfcinv``."""

def erfcx(x: ArrayLike) -> Tensor:
    """Differentiable ``erfcx``."""

def erfi(x: ArrayLike) -> Tensor:
    """Differentiable ``erfi``."""

def erfinv(x: ArrayLike) -> Tensor:
    """Differentiable ``erfinv``."""

def exp1(x: ArrayLike) -> Tensor:
    """Differentiable ``exp1``."""

def exp10(x: ArrayLike) -> Tensor:
    """Differentiable ``exp10``."""

def exp2(x: ArrayLike) -> Tensor:
    """Differentiable ``special_exp2``."""

def expi(x: ArrayLike) -> Tensor:
    """Differentiable ``expi``."""

def expit(x: ArrayLike) -> Tensor:
    """Differentiable ``expit``."""

def expm1(x: ArrayLike) -> Tensor:
    """Differentiable ``special_expm1``."""

def expn(n: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``expn``."""

def gamma(x: ArrayLike) -> Tensor:
    """Differentiable ``gamma``."""

def gammainc(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``gammainc``."""

def gammaincc(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``gammaincc``."""

def gammainccinv(a: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``gammainccinv``."""

def gammaincinv(a: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``gammaincinv``."""

def gammaln(x: ArrayLike) -> Tensor:
    """Differentiable ``gammaln``."""

def huber(delta: ArrayLike, r: ArrayLike) -> Tensor:
    """Differentiable ``huber``."""

def hyp2f1(a: ArrayLike, b: ArrayLike, c: ArrayLike, z: ArrayLike) -> Tensor:
    """Differentiable ``hyp2f1``."""

def i0(x: ArrayLike) -> Tensor:
    """Differentiable ``special_i0``."""

def i0e(x: ArrayLike) -> Tensor:
    """Differentiable ``i0e``."""

def i1(x: ArrayLike) -> Tensor:
    """Differentiable ``special_i1``."""

def i1e(x: ArrayLike) -> Tensor:
    """Differentiable ``i1e``."""

def iv(v: ArrayLike, z: ArrayLike) -> Tensor:
    """Differentiable ``iv``."""

def ive(v: ArrayLike, z: ArrayLike) -> Tensor:
    """Differentiable ``ive``."""

def j0(x: ArrayLike) -> Tensor:
    """Differentiable ``j0``."""

def j1(x: ArrayLike) -> Tensor:
    """Differentiable ``j1``."""

def jn(v: ArrayLike, z: ArrayLike) -> Tensor:
    """Differentiable ``jv``."""

def jv(v: ArrayLike, z: ArrayLike) -> Tensor:
    """Differentiable ``jv``."""

def k0(x: ArrayLike) -> Tensor:
    """Differentiable ``k0``."""

def k1(x: ArrayLike) -> Tensor:
    """Differentiable ``k1``."""

def kl_div(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``kl_div``."""

def kn(n: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``kn``."""

def kv(v: ArrayLike, z: ArrayLike) -> Tensor:
    """Differentiable ``kv``."""

def log1p(x: ArrayLike) -> Tensor:
    """Differentiable ``special_log1p``."""

def log_expit(x: ArrayLike) -> Tensor:
    """Differentiable ``log_expit``."""

def log_ndtr(x: ArrayLike) -> Tensor:
    """Differentiable ``log_ndtr``."""

def log_softmax(x: ArrayLike, axis: int | Sequence[int] | None = None) -> Tensor:
    """The logarithm of :func:`softmax`."""

def loggamma(x: ArrayLike) -> Tensor:
    """Differentiable ``loggamma``."""

def logit(x: ArrayLike) -> Tensor:
    """Differentiable ``logit``."""

def logsumexp(
    a: ArrayLike,
    axis: int | Sequence[int] | None = None,
    b: ArrayLike | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
) -> Any:
    """``log(sum(b * exp(a)))``, stable for any magnitude."""

def multigammaln(a: ArrayLike, d: int) -> Tensor:
    """The logarithm of the multivariate gamma function."""

def ndtr(x: ArrayLike) -> Tensor:
    """Differentiable ``ndtr``."""

def ndtri(x: ArrayLike) -> Tensor:
    """Differentiable ``ndtri``."""

def owens_t(h: ArrayLike, a: ArrayLike) -> Tensor:
    """Differentiable ``owens_t``."""

def poch(z: ArrayLike, m: ArrayLike) -> Tensor:
    """Differentiable ``poch``."""

def polygamma(n: int, x: ArrayLike) -> Tensor:
    """The n-th derivative of digamma: ``(-1)^(n + 1) n! zeta(n + 1, x)``."""

def psi(x: ArrayLike) -> Tensor:
    """Differentiable ``digamma``."""

def rel_entr(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``rel_entr``."""

def rgamma(x: ArrayLike) -> Tensor:
    """Differentiable ``rgamma``."""

def softmax(x: ArrayLike, axis: int | Sequence[int] | None = None) -> Tensor:
    """``exp(x) / sum(exp(x))`` over an axis, axes or, as in SciPy, by default all of them."""

def stdtr(df: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``stdtr``."""

def stdtrit(df: ArrayLike, p: ArrayLike) -> Tensor:
    """Differentiable ``stdtrit``."""

def xlog1py(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``xlog1py``."""

def xlogy(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``xlogy``."""

def y0(x: ArrayLike) -> Tensor:
    """Differentiable ``y0``."""

def y1(x: ArrayLike) -> Tensor:
    """Differentiable ``y1``."""

def yn(n: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``yn``."""

def yv(v: ArrayLike, z: ArrayLike) -> Tensor:
    """Differentiable ``yv``."""
