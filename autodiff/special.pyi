# fmt: off
"""scipy.special's functions under our own names: ``autodiff.special.erf(x)``. Needs SciPy.

Written by docs/make_stubs.py; do not edit.
"""

from collections.abc import Sequence
from typing import Literal, overload

import numpy as np
from numpy.typing import DTypeLike

from autodiff.signatures import ArrayLike
from autodiff.tensor import Tensor

__all__ = [
    "log_softmax", "logsumexp", "multigammaln", "polygamma", "softmax", "softplus", "sph_harm_y", "zeta",
    "spherical_in", "spherical_jn", "spherical_kn", "spherical_yn",
]

def airy(z: ArrayLike) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Differentiable ``airy``."""

def bdtr(*args: ArrayLike) -> Tensor:
    """``scipy.special.bdtr``, composed of differentiable functions."""

def bdtrc(*args: ArrayLike) -> Tensor:
    """``scipy.special.bdtrc``, composed of differentiable functions."""

def bdtri(*args: ArrayLike) -> Tensor:
    """``scipy.special.bdtri``, composed of differentiable functions."""

def bei(x: ArrayLike) -> Tensor:
    """Differentiable ``bei``."""

def beip(x: ArrayLike) -> Tensor:
    """Differentiable ``beip``."""

def ber(x: ArrayLike) -> Tensor:
    """Differentiable ``ber``."""

def berp(x: ArrayLike) -> Tensor:
    """Differentiable ``berp``."""

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

def boxcox(x: ArrayLike, lmbda: ArrayLike) -> Tensor:
    """Differentiable ``boxcox``."""

def boxcox1p(x: ArrayLike, lmbda: ArrayLike) -> Tensor:
    """Differentiable ``boxcox1p``."""

def cbrt(x: ArrayLike) -> Tensor:
    """Differentiable ``special_cbrt``."""

def chdtr(*args: ArrayLike) -> Tensor:
    """``scipy.special.chdtr``, composed of differentiable functions."""

def chdtrc(*args: ArrayLike) -> Tensor:
    """``scipy.special.chdtrc``, composed of differentiable functions."""

def chdtri(*args: ArrayLike) -> Tensor:
    """``scipy.special.chdtri``, composed of differentiable functions."""

def cosdg(*args: ArrayLike) -> Tensor:
    """``scipy.special.cosdg``, composed of differentiable functions."""

def cosm1(x: ArrayLike) -> Tensor:
    """Differentiable ``cosm1``."""

def cotdg(*args: ArrayLike) -> Tensor:
    """``scipy.special.cotdg``, composed of differentiable functions."""

def dawsn(x: ArrayLike) -> Tensor:
    """Differentiable ``dawsn``."""

def digamma(x: ArrayLike) -> Tensor:
    """Differentiable ``digamma``."""

def ellipe(m: ArrayLike) -> Tensor:
    """Differentiable ``ellipe``."""

def ellipeinc(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``ellipeinc``."""

def ellipj(u: ArrayLike, m: ArrayLike) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Differentiable ``ellipj``."""

def ellipk(m: ArrayLike) -> Tensor:
    """Differentiable ``ellipk``."""

def ellipkinc(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``ellipkinc``."""

def ellipkm1(p: ArrayLike) -> Tensor:
    """Differentiable ``ellipkm1``."""

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

def eval_chebyc(n: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``eval_chebyc``."""

def eval_chebys(n: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``eval_chebys``."""

def eval_chebyt(n: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``eval_chebyt``."""

def eval_chebyu(n: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``eval_chebyu``."""

def eval_gegenbauer(n: ArrayLike, alpha: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``eval_gegenbauer``."""

def eval_genlaguerre(n: ArrayLike, alpha: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``eval_genlaguerre``."""

def eval_hermite(n: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``eval_hermite``."""

def eval_hermitenorm(n: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``eval_hermitenorm``."""

def eval_jacobi(n: ArrayLike, alpha: ArrayLike, beta: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``eval_jacobi``."""

def eval_laguerre(n: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``eval_laguerre``."""

def eval_legendre(n: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``eval_legendre``."""

def eval_sh_chebyt(n: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``eval_sh_chebyt``."""

def eval_sh_chebyu(n: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``eval_sh_chebyu``."""

def eval_sh_legendre(n: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``eval_sh_legendre``."""

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

def exprel(x: ArrayLike) -> Tensor:
    """Differentiable ``exprel``."""

def fdtr(*args: ArrayLike) -> Tensor:
    """``scipy.special.fdtr``, composed of differentiable functions."""

def fdtrc(*args: ArrayLike) -> Tensor:
    """``scipy.special.fdtrc``, composed of differentiable functions."""

def fdtri(*args: ArrayLike) -> Tensor:
    """``scipy.special.fdtri``, composed of differentiable functions."""

def fresnel(x: ArrayLike) -> tuple[Tensor, Tensor]:
    """Differentiable ``fresnel``."""

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

def gammasgn(
    x: ArrayLike, /, out: ArrayLike | None = None, *, where: ArrayLike = True, casting: str = "same_kind",
    order: str | Sequence[str] | None = "K", dtype: DTypeLike | None = None, subok: bool = True,
    signature: ArrayLike | None = None,
) -> np.ndarray:
    """gammasgn(x, out=None)"""

def gdtr(*args: ArrayLike) -> Tensor:
    """``scipy.special.gdtr``, composed of differentiable functions."""

def gdtrc(*args: ArrayLike) -> Tensor:
    """``scipy.special.gdtrc``, composed of differentiable functions."""

def hankel1(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``hankel1``."""

def hankel2(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``hankel2``."""

def huber(delta: ArrayLike, r: ArrayLike) -> Tensor:
    """Differentiable ``huber``."""

def hyp0f1(v: ArrayLike, z: ArrayLike) -> Tensor:
    """Differentiable ``hyp0f1``."""

def hyp1f1(a: ArrayLike, b: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``hyp1f1``."""

def hyp2f1(a: ArrayLike, b: ArrayLike, c: ArrayLike, z: ArrayLike) -> Tensor:
    """Differentiable ``hyp2f1``."""

def hyperu(a: ArrayLike, b: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``hyperu``."""

def i0(x: ArrayLike) -> Tensor:
    """Differentiable ``special_i0``."""

def i0e(x: ArrayLike) -> Tensor:
    """Differentiable ``i0e``."""

def i1(x: ArrayLike) -> Tensor:
    """Differentiable ``special_i1``."""

def i1e(x: ArrayLike) -> Tensor:
    """Differentiable ``i1e``."""

def inv_boxcox(y: ArrayLike, lmbda: ArrayLike) -> Tensor:
    """Differentiable ``inv_boxcox``."""

def inv_boxcox1p(*args: ArrayLike) -> Tensor:
    """``scipy.special.inv_boxcox1p``, composed of differentiable functions."""

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

def k0e(*args: ArrayLike) -> Tensor:
    """``scipy.special.k0e``, composed of differentiable functions."""

def k1(x: ArrayLike) -> Tensor:
    """Differentiable ``k1``."""

def k1e(*args: ArrayLike) -> Tensor:
    """``scipy.special.k1e``, composed of differentiable functions."""

def kei(x: ArrayLike) -> Tensor:
    """Differentiable ``kei``."""

def keip(x: ArrayLike) -> Tensor:
    """Differentiable ``keip``."""

def ker(x: ArrayLike) -> Tensor:
    """Differentiable ``ker``."""

def kerp(x: ArrayLike) -> Tensor:
    """Differentiable ``kerp``."""

def kl_div(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``kl_div``."""

def kn(n: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``kn``."""

def kv(v: ArrayLike, z: ArrayLike) -> Tensor:
    """Differentiable ``kv``."""

def kve(v: ArrayLike, z: ArrayLike) -> Tensor:
    """Differentiable ``kve``."""

def lambertw(z: ArrayLike, k: ArrayLike = 0, tol: ArrayLike = 1e-08) -> Tensor:
    """Differentiable ``lambertw``."""

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

@overload
def logsumexp(
    a: ArrayLike, axis: int | Sequence[int] | None = None, b: ArrayLike | None = None, keepdims: bool = False,
    return_sign: Literal[False] = False,
) -> Tensor:
    """``log(sum(b * exp(a)))``, stable for any magnitude."""

@overload
def logsumexp(
    a: ArrayLike, axis: int | Sequence[int] | None = None, b: ArrayLike | None = None, keepdims: bool = False, *,
    return_sign: Literal[True],
) -> tuple[Tensor, Tensor]: ...
@overload
def logsumexp(
    a: ArrayLike, axis: int | Sequence[int] | None = None, b: ArrayLike | None = None, keepdims: bool = False,
    return_sign: bool = False,
) -> Tensor | tuple[Tensor, Tensor]: ...
def modstruve(v: ArrayLike, z: ArrayLike) -> Tensor:
    """Differentiable ``modstruve``."""

def multigammaln(a: ArrayLike, d: int) -> Tensor:
    """The logarithm of the multivariate gamma function of a positive dimension ``d``, where ``a > (d - 1) / 2``."""

def nbdtr(*args: ArrayLike) -> Tensor:
    """``scipy.special.nbdtr``, composed of differentiable functions."""

def nbdtrc(*args: ArrayLike) -> Tensor:
    """``scipy.special.nbdtrc``, composed of differentiable functions."""

def nbdtri(*args: ArrayLike) -> Tensor:
    """``scipy.special.nbdtri``, composed of differentiable functions."""

def ndtr(x: ArrayLike) -> Tensor:
    """Differentiable ``ndtr``."""

def ndtri(x: ArrayLike) -> Tensor:
    """Differentiable ``ndtri``."""

def owens_t(h: ArrayLike, a: ArrayLike) -> Tensor:
    """Differentiable ``owens_t``."""

def pdtr(*args: ArrayLike) -> Tensor:
    """``scipy.special.pdtr``, composed of differentiable functions."""

def pdtrc(*args: ArrayLike) -> Tensor:
    """``scipy.special.pdtrc``, composed of differentiable functions."""

def pdtri(*args: ArrayLike) -> Tensor:
    """``scipy.special.pdtri``, composed of differentiable functions."""

def poch(z: ArrayLike, m: ArrayLike) -> Tensor:
    """Differentiable ``poch``."""

def polygamma(n: int, x: ArrayLike) -> Tensor:
    """The n-th derivative of digamma: ``(-1)^(n + 1) n! zeta(n + 1, x)``; ``n`` is one whole number."""

def powm1(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``powm1``."""

def pseudo_huber(delta: ArrayLike, r: ArrayLike) -> Tensor:
    """Differentiable ``pseudo_huber``."""

def psi(x: ArrayLike) -> Tensor:
    """Differentiable ``digamma``."""

def radian(*args: ArrayLike) -> Tensor:
    """``scipy.special.radian``, composed of differentiable functions."""

def rel_entr(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Differentiable ``rel_entr``."""

def rgamma(x: ArrayLike) -> Tensor:
    """Differentiable ``rgamma``."""

def shichi(x: ArrayLike) -> tuple[Tensor, Tensor]:
    """Differentiable ``shichi``."""

def sici(x: ArrayLike) -> tuple[Tensor, Tensor]:
    """Differentiable ``sici``."""

def sinc(x: ArrayLike) -> Tensor:
    """Differentiable ``numpy.sinc``."""

def sindg(*args: ArrayLike) -> Tensor:
    """``scipy.special.sindg``, composed of differentiable functions."""

def softmax(x: ArrayLike, axis: int | Sequence[int] | None = None) -> Tensor:
    """``exp(x) / sum(exp(x))`` over an axis, axes or, as in SciPy, by default all of them."""

def softplus(x: ArrayLike) -> Tensor:
    """``log(1 + exp(x))``, as ``scipy.special.softplus``."""

def spence(z: ArrayLike) -> Tensor:
    """Differentiable ``spence``."""

def sph_harm_y(n: ArrayLike, m: ArrayLike, theta: ArrayLike, phi: ArrayLike, *, diff_n: int = 0) -> Tensor:
    """The spherical harmonic of degree ``n`` and order ``m`` (whole numbers) at the polar angle ``theta`` and the azimuth ``phi``, as ``scipy.special.sph_harm_y``; differentiable in the angles, at the poles too."""

def spherical_in(n: ArrayLike, z: ArrayLike, derivative: bool = False) -> Tensor:
    """The modified spherical Bessel function of the first kind; see :func:`spherical_jn`."""

def spherical_jn(n: ArrayLike, z: ArrayLike, derivative: bool = False) -> Tensor:
    """The spherical Bessel function of the first kind of whole order ``n``, as ``scipy.special.spherical_jn``."""

def spherical_kn(n: ArrayLike, z: ArrayLike, derivative: bool = False) -> Tensor:
    """The modified spherical Bessel function of the second kind; see :func:`spherical_jn`."""

def spherical_yn(n: ArrayLike, z: ArrayLike, derivative: bool = False) -> Tensor:
    """The spherical Bessel function of the second kind; see :func:`spherical_jn`."""

def stdtr(df: ArrayLike, x: ArrayLike) -> Tensor:
    """Differentiable ``stdtr``."""

def stdtrit(df: ArrayLike, p: ArrayLike) -> Tensor:
    """Differentiable ``stdtrit``."""

def struve(v: ArrayLike, z: ArrayLike) -> Tensor:
    """Differentiable ``struve``."""

def tandg(*args: ArrayLike) -> Tensor:
    """``scipy.special.tandg``, composed of differentiable functions."""

def voigt_profile(x: ArrayLike, sigma: ArrayLike, gamma: ArrayLike) -> Tensor:
    """Differentiable ``voigt_profile``."""

def wofz(z: ArrayLike) -> Tensor:
    """Differentiable ``wofz``."""

def wrightomega(z: ArrayLike) -> Tensor:
    """Differentiable ``wrightomega``."""

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

def zeta(x: ArrayLike, q: ArrayLike | None = None) -> Tensor:
    """The zeta function of Hurwitz, without ``q`` that of Riemann, as ``scipy.special.zeta``; differentiable in both arguments."""

def zetac(*args: ArrayLike) -> Tensor:
    """``scipy.special.zetac``, composed of differentiable functions."""
