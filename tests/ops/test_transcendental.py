"""Further functions of scipy.special: first and second derivatives against mpmath, values against SciPy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff.core.errors import AutodiffError
from autodiff.testing import check_gradients

special = pytest.importorskip("scipy.special")
mpmath = mp = pytest.importorskip("mpmath")
from autodiff import special as ours  # noqa: E402  (needs SciPy)


def plasma(z: Any) -> Any:
    return mp.exp(-z * z) * mp.erfc(-1j * z)


def voigt(x: Any, sigma: Any, gamma: Any) -> Any:
    return mp.re(plasma((x + 1j * gamma) / (sigma * mp.sqrt(2)))) / (sigma * mp.sqrt(2 * mp.pi))


def harmonic(n: int, m: int) -> Any:
    def value(theta: Any, phi: Any) -> Any:
        k = abs(m)
        scale = mp.sqrt((2 * n + 1) / (4 * mp.pi) * mp.factorial(n - k) / mp.factorial(n + k))
        slope = mp.diff(lambda u: mp.legendre(n, u), mp.cos(theta), k)
        made = scale * (-1) ** k * mp.sin(theta) ** k * slope * mp.exp(1j * k * phi)
        return made if m >= 0 else (-1) ** k * mp.conj(made)

    return value


def boxcox(x: Any, power: Any) -> Any:
    return mp.log(x) * mp.hyp1f1(1, 2, power * mp.log(x))


AIRY = [(lambda z, k=k, f=f: f(z, derivative=k)) for f in (mp.airyai, mp.airybi) for k in (0, 1)]
#: name, ours, mpmath's, points, and in which arguments.
CASES: list[tuple[str, Any, Any, list[tuple[float, ...]], tuple[int, ...]]] = [
    ("lambertw", lambda z: np.real(ours.lambertw(z)), mp.lambertw, [(0.0,), (0.5,), (1e3,), (-0.3,)], (0,)),
    ("lambertw -1", lambda z: np.real(special.lambertw(z, -1)), lambda z: mp.lambertw(z, -1), [(-0.2,)], (0,)),
    ("wofz", lambda x: np.imag(special.wofz(x + 0.3j)), lambda x: mp.im(plasma(x + 0.3j)), [(0.0,), (2.0,)], (0,)),
    ("voigt_profile", ours.voigt_profile, voigt, [(0.4, 1.2, 0.7), (0.0, 1.0, 1.0), (-9.0, 1.0, 0.3)], (0, 1, 2)),
    *[(f"airy {i}", lambda z, i=i: special.airy(z)[i], f, [(-3.0,), (0.0,), (2.0,)], (0,)) for i, f in enumerate(AIRY)],
    ("hyp1f1", ours.hyp1f1, mp.hyp1f1, [(0.5, 1.5, 0.3), (-2.5, 0.7, -4.0), (-2.0, 1.5, 0.8)], (0, 1, 2)),
    ("hyperu", ours.hyperu, mp.hyperu, [(0.5, 1.5, 0.3), (2.0, 3.0, 4.0), (0.05, -1.5, 2.0)], (0, 1, 2)),
    ("hyp0f1", special.hyp0f1, mp.hyp0f1, [(1.5, 0.3), (0.3, -4.0)], (0, 1)),
    ("zeta", ours.zeta, mp.zeta, [(1.5, 1.0), (3.0, 0.4), (20.0, 2.0), (1.05, 5.0), (2.0, 1e3)], (0, 1)),
    ("zeta Riemann", ours.zeta, mp.zeta, [(2.5,), (-0.5,), (1.001,), (-1.2,), (-4.0,), (-10.0,), (-20.5,)], (0,)),
    ("exprel", special.exprel, lambda x: mp.hyp1f1(1, 2, x), [(0.0,), (1e-8,), (2.0,), (-3.0,)], (0,)),
    ("boxcox", special.boxcox, boxcox, [(2.0, 0.0), (2.0, 0.5), (0.3, -1e-9)], (0, 1)),
    ("boxcox1p", special.boxcox1p, lambda x, p: boxcox(1 + x, p), [(2.0, 0.0), (1e-9, 0.5)], (0, 1)),
    ("spence", special.spence, lambda z: mp.polylog(2, 1 - z), [(1e-9,), (1.0,), (0.5,), (1.8,), (40.0,)], (0,)),
    ("inv_boxcox", special.inv_boxcox, lambda y, p: (1 + p * y) ** (1 / p), [(0.7, 0.4), (1.2, -0.3)], (0, 1)),
    ("ellipkm1", special.ellipkm1, lambda p: mp.ellipk(1 - p), [(0.4,), (1.2,), (0.6,), (1e-3,), (1e-9,)], (0,)),
    (
        "ellipkinc",
        special.ellipkinc,
        mp.ellipf,
        [(0.7, 0.3), (5.0, 0.9), (1.5, 0.999), (-0.4, 0.0), (1.2, -40.0)],
        (0, 1),
    ),
    (
        "ellipeinc",
        ours.ellipeinc,
        mp.ellipe,
        [(0.7, 0.3), (5.0, 0.9), (1.5, 0.999), (-0.4, 1e-9), (1.2, -40.0)],
        (0, 1),
    ),
    *[
        (
            f"ellipj {i}",
            lambda u, m, i=i: special.ellipj(u, m)[i],
            lambda u, m, f=f: mp.ellipfun(f, u, m),
            points,
            (0, 1),
        )
        for i, f in enumerate(("sn", "cn", "dn"))
        for points in [[(0.7, 0.3), (-3.0, 0.9), (1.2, 1e-7)]]
    ],
    ("powm1", special.powm1, lambda x, y: x**y - 1, [(1.2, 0.7)], (0, 1)),
    ("wrightomega", special.wrightomega, lambda z: mp.lambertw(mp.exp(z)), [(-30.0,), (0.3,), (40.0,)], (0,)),
    *[
        (
            f"spherical {n}",
            lambda z, f=f, n=n: f(n, z),
            lambda z, g=g, n=n: mp.sqrt(mp.pi / 2 / z) * g(n + mp.mpf(0.5), z),
            [(0.05,), (1.3,), (30.0,)],
            (0,),
        )
        for f, g in (
            (ours.spherical_jn, mp.besselj),
            (ours.spherical_yn, mp.bessely),
            (ours.spherical_in, mp.besseli),
            (ours.spherical_kn, mp.besselk),
        )
        for n in (0, 1, 4)
    ],
    *[
        (name, getattr(special, name), lambda x, f=f: f(0, x), [(0.3,), (2.0,), (9.0,)], (0,))
        for name, f in (("ber", mp.ber), ("bei", mp.bei), ("ker", mp.ker), ("kei", mp.kei))
    ],
    *[
        (
            name,
            lambda x, v=v, name=name: getattr(special, name)(v, x),
            lambda x, v=v, g=g: g(mp.mpf(v), x),
            [(0.3,), (2.0,), (15.0,)],
            (0,),
        )
        for name, g in (("struve", mp.struveh), ("modstruve", mp.struvel))
        for v in (0.0, 1.5)
    ],
    ("kve", special.kve, lambda v, z: mp.besselk(v, z) * mp.exp(z), [(1.2, 0.7)], (0, 1)),
    ("sici", lambda x: special.sici(x)[0], mp.si, [(1.3,), (-1e-9,)], (0,)),
    ("sici 1", lambda x: ours.sici(x)[1], mp.ci, [(1.3,)], (0,)),
    ("shichi", lambda x: ours.shichi(x)[1], mp.chi, [(1.3,)], (0,)),
    ("shichi 0", lambda x: 1e9 * ours.shichi(x)[0], lambda x: 10**9 * mp.shi(x), [(1e-9,), (-2.3,)], (0,)),
    ("fresnel", lambda x: special.fresnel(x)[1], mp.fresnelc, [(1.3,), (-0.3,)], (0,)),
    ("hankel1", lambda z: np.real(ours.hankel1(1.2, z)), lambda z: mp.re(mp.hankel1(mp.mpf(1.2), z)), [(1.3,)], (0,)),
    ("chdtr", special.chdtr, lambda v, x: mp.gammainc(v / 2, 0, x / 2, regularized=True), [(3.0, 1.2)], (0, 1)),
    (
        "fdtr",
        special.fdtr,
        lambda n, d, x: mp.betainc(n / 2, d / 2, 0, n * x / (n * x + d), regularized=True),
        [(3.0, 1.2, 0.7)],
        (0, 1, 2),
    ),
]
POLYNOMIALS = {
    "eval_legendre": mp.legendre,
    "eval_sh_legendre": lambda n, x: mp.legendre(n, 2 * x - 1),
    "eval_chebyt": mp.chebyt,
    "eval_sh_chebyt": lambda n, x: mp.chebyt(n, 2 * x - 1),
    "eval_chebyc": lambda n, x: 2 * mp.chebyt(n, x / 2),
    "eval_chebyu": mp.chebyu,
    "eval_sh_chebyu": lambda n, x: mp.chebyu(n, 2 * x - 1),
    "eval_chebys": lambda n, x: mp.chebyu(n, x / 2),
    "eval_hermite": mp.hermite,
    "eval_hermitenorm": lambda n, x: mp.mpf(2) ** (-mp.mpf(n) / 2) * mp.hermite(n, x / mp.sqrt(2)),
    "eval_laguerre": lambda n, x: mp.laguerre(n, 0, x),
}
for name, truth in POLYNOMIALS.items():
    for n in (0, 1, 4):
        CASES.append(
            (
                f"{name} {n}",
                lambda x, f=name, n=n: getattr(ours, f)(n, x),
                lambda x, f=truth, n=n: f(n, x),
                [(-0.6,)],
                (0,),
            )
        )
for n in (0, 1, 4):
    for name, truth, more in (
        ("eval_genlaguerre", mp.laguerre, (0.7,)),
        ("eval_gegenbauer", mp.gegenbauer, (0.7,)),
        ("eval_jacobi", mp.jacobi, (0.7, 0.2)),
    ):
        CASES.append(
            (
                f"{name} {n}",
                lambda x, f=name, n=n, m=more: getattr(special, f)(n, *m, x),
                lambda x, f=truth, n=n, m=more: f(n, *map(mp.mpf, m), x),
                [(0.3,)],
                (0,),
            )
        )
for degree, order in ((0, 0), (1, 0), (2, 1), (3, -2), (3, 3)):
    CASES.append(
        (
            f"sph_harm_y {degree} {order}",
            lambda t, p, n=degree, m=order: np.real(ours.sph_harm_y(n, m, t, p)),
            lambda t, p, n=degree, m=order: mp.re(harmonic(n, m)(t, p)),
            [(0.7, 0.4), (0.0, 0.4)],
            (0, 1),
        )
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_derivatives_against_mpmath(case: Any) -> None:
    _, f, truth, points, places = case
    for args in points:
        for place in places:
            g = f
            for order in (1, 2):
                g = ad.grad(g, place)
                with mpmath.workdps(40):
                    orders = tuple(order * (i == place) for i in range(len(args)))
                    right = float(mp.re(mp.diff(truth, tuple(map(mp.mpf, args)), orders)))
                assert np.isclose(float(g(*args)), right, rtol=1e-8, atol=1e-11), (args, place, order)


def t_distribution(df: Any, x: Any) -> Any:
    half = mp.mpf(1) / 2
    scale = mp.gamma((df + 1) / 2) / (mp.sqrt(mp.pi * df) * mp.gamma(df / 2))
    return half + x * scale * mp.hyp2f1(half, (df + 1) / 2, 3 * half, -x * x / df)


@pytest.mark.parametrize(
    ("name", "truth", "args"),
    [
        ("powm1", lambda x, y: x**y - 1, (1e5, -3.0)),
        ("powm1", lambda x, y: x**y - 1, (1e-10, 2.0)),
        ("stdtr", t_distribution, (100.0, 1e-6)),
        ("stdtr", t_distribution, (3.0, -1e-7)),
        ("ellipkm1", lambda p: mp.ellipk(1 - p), (1e-30,)),
        ("cosdg", lambda x: mp.cos(x * mp.pi / 180), (1e-9,)),
        ("sindg", lambda x: mp.sin(x * mp.pi / 180), (90.00001,)),
    ],
)
def test_small_derivatives_keep_their_digits(name: str, truth: Any, args: Any) -> None:
    for place in range(len(args)):
        with mpmath.workdps(90):
            step = abs(mp.mpf(args[place])) * mp.mpf(10) ** -20
            before, after = ([mp.mpf(a) + sign * step * (i == place) for i, a in enumerate(args)] for sign in (-1, 1))
            right = float((truth(*after) - truth(*before)) / (2 * step))
        np.testing.assert_allclose(ad.grad(getattr(ours, name), place)(*args), right, rtol=1e-9)


@pytest.mark.parametrize("function", [np.hypot, np.arctan2])
def test_slopes_of_a_short_distance_in_half_precision(function: Any) -> None:
    x, y = (np.array([1e-5, -1e-3, 0.01, 0.06, 0.3]) * k for k in (1, 2))
    half = ad.grad(lambda x, y: function(x, y).sum(), (0, 1))(x.astype(np.float16), y.astype(np.float16))
    for a, b in zip(half, ad.grad(lambda x, y: function(x, y).sum(), (0, 1))(x, y), strict=True):
        near = np.abs(b) < 6e4
        np.testing.assert_allclose(a[near], b[near], rtol=1e-2)


def test_values_are_scipys() -> None:
    x = np.array([0.3, 0.6])
    for name, *args in (
        ("chdtr", 3.0, x), ("chdtrc", 3.0, x), ("chdtri", 3.0, x), ("gdtr", 2.0, 3.0, x), ("gdtrc", 2.0, 3.0, x),
        ("pdtr", 2, x), ("pdtrc", 2, x), ("bdtr", 2, 5, x), ("bdtrc", 2, 5, x), ("nbdtr", 2, 5, x), ("nbdtrc", 2, 5, x),
        ("fdtr", 2.0, 3.0, x), ("fdtrc", 2.0, 3.0, x), ("sindg", x), ("cosdg", x), ("tandg", x), ("lambertw", x),
        ("bdtri", 2, 5, x), ("nbdtri", 2, 5, x), ("pdtri", 2, x), ("fdtri", 2.0, 3.0, x), ("cotdg", x),
        ("k0e", x), ("k1e", x), ("zetac", x + 2), ("radian", x, x, x), ("inv_boxcox", x, 0.4), ("ellipkm1", x),
        ("zeta", x + 2), ("zeta", x + 2, 3.0), ("sph_harm_y", 2, 1, x, x), ("eval_hermite", 3, x),
    ):  # fmt: skip
        got, right = getattr(ours, name)(*args), getattr(special, name)(*args)
        np.testing.assert_allclose(got.data, right, rtol=1e-12, err_msg=name)
        assert got.dtype == right.dtype, name
    assert {"airy", "lambertw", "zeta", "eval_legendre", "chdtr", "sph_harm_y"} <= set(dir(ours))


def test_forward_mode_and_refusals() -> None:
    check_gradients(lambda z: special.wofz(z), np.array([0.3 + 0.2j]), order=1)
    check_gradients(lambda z: special.airy(z)[1], np.array([0.3, -2.0]))
    check_gradients(lambda t, p: np.imag(ours.sph_harm_y(2, 1, t, p)), np.array([0.7]), np.array([0.4]))
    # No integral, a series that does not end, and one that cancels.
    for f, args in (
        (special.hyperu, (-0.5, 2.0, 0.3)),
        (special.hyp1f1, (0.5, 2.0, 1e5)),
        (special.hyp1f1, (-200.5, 1.0, 100.0)),
    ):
        assert np.isnan(ad.grad(f)(*args))
    with pytest.raises(AutodiffError, match="diff_n"):
        ours.sph_harm_y(2, 1, 0.3, 0.4, diff_n=1)


def test_powers_of_nothing_come_back() -> None:
    """SciPy's confluent function loops for ever at an infinity, where the logarithm of 0 leads."""
    with np.errstate(all="ignore"):
        assert float(ad.grad(special.exprel)(-np.inf)) == 0.0
        assert float(ad.grad(special.boxcox)(0.0, 2.0)) == 0.0
        assert np.isfinite(ad.grad(special.boxcox1p, 1)(0.0, 0.5))


def test_spherical_bessel_functions_as_scipys():
    z, n = np.array([0.2, 1.0, 7.0]), np.array([0, 2, 3])
    for kind in ("jn", "yn", "in", "kn"):
        f, g = getattr(ours, f"spherical_{kind}"), getattr(special, f"spherical_{kind}")
        for at in (z, z + 0.5j):
            np.testing.assert_allclose(f(n, at).data, g(n, at), rtol=1e-14)
            np.testing.assert_allclose(f(n, at, derivative=True).data, g(n, at, derivative=True), rtol=1e-12)
        np.testing.assert_allclose(
            ad.grad(lambda t, f=f: f(2, t), holomorphic=True)(1 + 2j), g(2, 1 + 2j, True), rtol=1e-12
        )
        with pytest.raises(ad.ArgumentError, match="whole number"):
            f(0.5, z)
    assert ad.grad(lambda t: ours.spherical_jn(1, t))(0.0) == 1 / 3
    assert [float(ad.grad(ad.grad(f))(0.0)) for f in (special.ber, special.bei)] == [0.0, 0.5]


def test_older_distribution_functions_have_no_value_where_scipys_have_none():
    counts, shares = [-2.0, -0.5, 0.0, 2.5, 4.0, 5.0, np.nan], [-0.1, 0.0, 1e-200, 0.3, 1.0, 1.5, np.nan]
    sizes = [-1.0, 0.0, 1e-300, 0.5, 3.0, np.inf, np.nan]
    for name, *arguments in (
        ("pdtr", counts[:-1], sizes),
        ("pdtrc", counts[:-1], sizes),
        ("pdtri", [-1, 0, 5], shares),
        ("bdtr", counts, [0, 1, 4], shares),
        ("bdtrc", counts, [0, 1, 4], shares),
        ("bdtri", counts, [0, 1, 4], shares),
        ("nbdtr", [-1, 0, 3], [-1, 0, 1, 4], shares),
        ("nbdtrc", [-1, 0, 3], [-1, 0, 1, 4], shares),
        ("nbdtri", [-1, 0, 3], [1, 4], shares),
        ("gdtr", [-1.0, 2.0], sizes, sizes),
        ("fdtr", sizes[:-2], sizes[:-2], sizes),
        ("tandg", [0.0, 45.0, 90.0, 135.0, 180.0]),
        ("cotdg", [0.0, 45.0, 90.0, 135.0, 270.0]),
        ("zetac", [0.5, 1.0, 1.5, 40.0, np.inf]),
    ):
        for given in itertools.product(*arguments):
            with np.errstate(all="ignore"):
                right = getattr(special, name)(*given)
                last = ad.tensor(float(given[-1]), requires_grad=True)
                got = getattr(ad.special, name)(*given[:-1], last)
                np.testing.assert_allclose(got.data, right, rtol=1e-12, err_msg=f"{name}{given}")
                if np.isnan(right):
                    got.backward()
                    assert np.isnan(last.grad), (name, given)


def test_binomial_points_of_tiny_probabilities():
    # betainc(a, b, x) is x^a / (a B(a, b)) there, so that its inverse in y has the slope x / (a y).
    y = 1e-200
    x = (y * 4 * special.beta(4.0, 4.0)) ** 0.25
    np.testing.assert_allclose(ad.special.nbdtri(3, 4, y).item(), x, rtol=1e-12)
    np.testing.assert_allclose(ad.grad(lambda y: ad.special.nbdtri(3, 4, y))(y), x / (4 * y), rtol=1e-12)
    rest = (y * 4 * special.beta(2.0, 4.0)) ** 0.25  # of bdtri(1, 5, y) = 1 - rest
    assert ad.special.bdtri(1.0, 5, y).item() == 1.0
    np.testing.assert_allclose(ad.grad(lambda y: ad.special.bdtri(1.0, 5, y))(y), -rest / (4 * y), rtol=1e-12)
