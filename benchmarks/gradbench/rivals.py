"""GradBench's tasks against PyTorch and JAX: the same derivative, the same numbers, in turns within one process.

The rivals' programs are those of :mod:`benchmarks.gradbench` again, in the way their users write them: whole arrays,
``lax.scan`` where JAX has it, forward mode where inputs are few. JAX runs under ``jit``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import autodiff as ad
from benchmarks import rivals
from benchmarks.gradbench import bundle, hand, lstm, mixture, nested, scalars, sums
from benchmarks.harness import Candidate, Contest
from benchmarks.targets import JITTED

__all__ = [
    "PRESENT", "adbench", "bundles", "clusters", "determinant", "gradbench", "hand_model", "hands", "least_squares",
    "log_sum_exp", "mixtures", "recurrence", "runge_kutta",
]  # fmt: skip


# --- programs for torch and jax.numpy alike ---------------------------------------------------------------------------


def _lse(xp: Any, x: Any) -> Any:
    top = xp.max(x)
    return xp.log(xp.sum(xp.exp(x - top))) + top


def _llsq(xp: Any, x: Any, powers: Any, signs: Any) -> Any:
    return 0.5 * xp.sum((signs - powers @ x) ** 2)


def _ode(xp: Any, x: Any, one: Any, zero: Any, steps: int) -> Any:
    h = 2.0 / steps

    def slope(y: Any) -> Any:
        return x * xp.concatenate([one, y[:-1]])

    def step(y: Any) -> Any:
        k1 = slope(y)
        k2 = slope(y + h / 2 * k1)
        k3 = slope(y + h / 2 * k2)
        k4 = slope(y + h * k3)
        return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    y = zero
    for _ in range(steps):
        y = step(y)
    return y[-1]


def _kmeans(xp: Any, centroids: Any, points: Any, least: Any) -> Any:
    squares = xp.sum(centroids**2, axis=1)[:, None] - 2.0 * centroids @ points.T + xp.sum(points**2, axis=1)
    return xp.sum(least(squares))


def _det(xp: Any, matrix: Any) -> Any:
    columns = matrix.shape[1]
    if columns == 1:
        return matrix[0, 0]
    total = 0.0
    for left in range(columns):
        rest = [c for c in range(columns) if c != left]
        total = total + (-1) ** left * matrix[0, left] * _det(xp, matrix[1:][:, rest])
    return total


def _gmm(xp: Any, lse: Any, lower: Any, alpha: Any, mu: Any, q: Any, l: Any, x: Any) -> Any:  # noqa: E741
    n, d = x.shape
    k = len(alpha)
    scaled = xp.matmul(x - mu[:, None, :], xp.swapaxes(lower(q, l), 1, 2))
    beta = alpha[:, None] - 0.5 * xp.sum(scaled * scaled, axis=2) + xp.sum(q, axis=1)[:, None]
    likelihood = -n * (0.5 * d * math.log(2 * math.pi) + lse(alpha)) + xp.sum(lse(beta))
    constant = k * ((d + 1) * d * math.log(1 / math.sqrt(2.0)) - mixture._log_gamma_of_many(0.5 * (d + 1), d))
    return likelihood + constant - 0.5 * (xp.sum(xp.exp(2.0 * q)) + xp.sum(l * l))


def _cell(xp: Any, weight: Any, bias: Any, hidden: Any, cell: Any, x: Any) -> Any:
    forget, entering, leaving = (1.0 / (1.0 + xp.exp(-(v * weight[i] + bias[i]))) for i, v in enumerate((x, hidden, x)))
    cell = cell * forget + entering * xp.tanh(hidden * weight[3] + bias[3])
    return leaving * xp.tanh(cell), cell


def _lstm_step(xp: Any, main: Any, extra: Any, carry: Any, x: Any) -> Any:
    hidden, cell = carry
    x = x * extra[0]
    hiddens, cells = [], []
    for layer in range(len(main)):
        x, c = _cell(xp, main[layer, 0], main[layer, 1], hidden[layer], cell[layer], x)
        hiddens.append(x)
        cells.append(c)
    y = x * extra[1] + extra[2]
    return (xp.stack(hiddens), xp.stack(cells)), y - xp.log(2.0 + xp.sum(xp.exp(y)))


def _lstm(xp: Any, scan: Any, main: Any, extra: Any, state: Any, sequence: Any) -> Any:
    count, bits = sequence.shape
    scores = scan(partial(_lstm_step, xp, main, extra), (state[:, 0], state[:, 1]), sequence[:-1])
    return -xp.sum(sequence[1:] * scores) / ((count - 1) * bits)


def _python_scan(step: Any, carry: Any, xs: Any) -> Any:
    import torch

    found = []
    for x in xs:
        carry, y = step(carry, x)
        found.append(y)
    return torch.stack(found)


def _project(xp: Any, cross: Any, camera: Any, point: Any) -> Any:
    """One camera and one point, or a row for each observation."""
    rotation, centre = camera[..., 0:3], camera[..., 3:6]
    offset = point - centre
    angle = xp.sqrt(xp.sum(rotation * rotation, -1))[..., None]
    axis = rotation / angle
    cosine, sine = xp.cos(angle), xp.sin(angle)
    along = xp.sum(axis * offset, -1)[..., None]
    turned = offset * cosine + cross(axis, offset) * sine + axis * along * (1.0 - cosine)
    flat = turned[..., :2] / turned[..., 2:3]
    r2 = xp.sum(flat * flat, -1)[..., None]
    radial = 1.0 + camera[..., 9:10] * r2 + camera[..., 10:11] * r2 * r2
    return flat * radial * camera[..., 6:7] + camera[..., 7:9]


def _hand(xp: Any, put: Any, theta: Any, both: Any, model: dict[str, Any]) -> Any:
    bones = len(model["parents"])
    cosine, sine = xp.cos(put(theta[6:])), xp.sin(put(theta[6:]))
    cx, cz, cy = cosine[:, 0], cosine[:, 1], cosine[:, 2]
    sx, sz, sy = sine[:, 0], sine[:, 1], sine[:, 2]
    rows = [
        [cz * cy, -cz * sy * sx - sz * cx, sz * sx - cz * sy * cx],
        [sz * cy, cz * cx - sz * sy * sx, -cz * sx - sz * sy * cx],
        [sy, cy * sx, cy * cx],
    ]
    rotations = xp.stack([xp.stack(row, -1) for row in rows], -2)
    turned = xp.matmul(model["relatives"][:, :, :3], rotations)
    relatives = xp.concatenate([turned, model["relatives"][:, :, 3:]], 2)
    absolutes: list[Any] = []
    for bone, parent in enumerate(model["parents"]):
        absolutes.append(relatives[bone] if parent == -1 else absolutes[parent] @ relatives[bone])
    transforms = xp.matmul(xp.stack(absolutes), model["inverses"])[:, :3]
    blended = model["weighted"] @ xp.swapaxes(transforms, 1, 2).reshape(4 * bones, 3)
    angle = xp.sqrt(xp.sum(theta[:3] ** 2))
    x, y, z = theta[0] / angle, theta[1] / angle, theta[2] / angle
    s, c = xp.sin(angle), xp.cos(angle)
    about = [
        [x * x + (1 - x * x) * c, x * y * (1 - c) - z * s, x * z * (1 - c) + y * s],
        [x * y * (1 - c) + z * s, y * y + (1 - y * y) * c, y * z * (1 - c) - x * s],
        [x * z * (1 - c) - y * s, z * y * (1 - c) + x * s, z * z + (1 - z * z) * c],
    ]
    vertices = blended @ xp.stack([xp.stack(row) for row in about]).T + theta[3:6]
    if both is None:
        return (model["points"] - vertices[model["correspondences"]]).reshape(-1)
    corners, us = vertices[model["corners"]], model["us"] + both
    u, v = us[:, 0:1], us[:, 1:2]
    return (model["points"] - (u * corners[:, 0] + v * corners[:, 1] + (1.0 - u - v) * corners[:, 2])).reshape(-1)


# --- inputs -----------------------------------------------------------------------------------------------------------


def hand_model(rng: np.random.Generator, points: int, vertices: int = 544) -> dict[str, Any]:
    """A hand of 22 bones of ADBench's sizes, with random numbers in it."""
    bones = 22
    positions = np.concatenate([rng.normal(size=(vertices, 3)), np.ones((vertices, 1))], axis=1)
    weights = rng.random((vertices, bones))
    weights /= weights.sum(axis=1, keepdims=True)
    lift = lambda: np.eye(4) + 0.1 * rng.normal(size=(bones, 4, 4)) * np.eye(4)[:3].sum(axis=0)[:, None]
    corners = rng.integers(0, vertices, (points, 3))
    return {
        "parents": [-1, 0] + [bone - 1 if bone % 4 != 2 else 0 for bone in range(2, bones)],
        "relatives": lift(),
        "inverses": lift(),
        "weighted": (weights[:, :, None] * positions[:, None, :]).reshape(vertices, -1),
        "correspondences": corners[:, 0],
        "corners": corners,
        "points": rng.normal(size=(points, 3)),
        "us": rng.random((points, 2)),
    }


#: The rivals that are loaded; a process in which one candidate's memory is read leaves out the others.
PRESENT = {"PyTorch", "JAX jit"}


# --- contests ---------------------------------------------------------------------------------------------------------


def _flat(found: Any) -> list[Any]:
    parts = found if isinstance(found, (tuple, list)) else [found]
    return [np.asarray(part.detach() if hasattr(part, "detach") else part) for part in parts]


def _candidate(name: str, run: Callable[[], Any]) -> Candidate:
    return Candidate(name, run, lambda: _flat(run()))


def _contest(
    part: str, case: str, ours: Callable[..., Any], args: Any, *others: Any, jit: Any = True, rounds: int = 15
) -> Contest:
    """``ours(*args)`` eager and under jit (or what stands in its place), and what ``others`` name."""
    candidates = [_candidate("autodiff", lambda: ours(*args))]
    if jit:
        compiled = ad.jit(ours) if jit is True else jit
        candidates.append(_candidate(JITTED, lambda: compiled(*args)))
    made = Contest(part, case, candidates, reference="autodiff", tolerance=1e-8, rounds=rounds)
    wanted = [(name, make) for name, make in others if name in PRESENT]
    return rivals.join(made, *((name, lambda name=name, make=make: _candidate(name, make())) for name, make in wanted))


def _torch(make: Callable[..., Any], *args: Any) -> Any:
    """A rival that is given torch and the arguments as its tensors."""

    def made() -> Any:
        torch = rivals.torch()
        return make(torch, *[torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in args])

    return "PyTorch", made


def _jax(make: Callable[..., Any], *args: Any) -> Any:
    def made() -> Any:
        jax = rivals.jax()
        jax.config.update("jax_enable_x64", True)
        given = [jax.numpy.asarray(a) if isinstance(a, np.ndarray) else a for a in args]
        function = jax.jit(make(jax))
        return lambda: jax.block_until_ready(function(*given))

    return "JAX jit", made


def _torch_gradient(f: Callable[..., Any], count: int, *args: Any) -> Any:
    """The gradient in the first ``count`` arguments."""

    def make(torch: Any, *given: Any) -> Any:
        leaves = [a.clone().requires_grad_() for a in given[:count]]
        return lambda: torch.autograd.grad(f(torch, *leaves, *given[count:]), leaves)

    return _torch(make, *args)


def _jax_gradient(f: Callable[..., Any], count: int, *args: Any) -> Any:
    return _jax(lambda jax: jax.grad(partial(f, jax.numpy), tuple(range(count))), *args)


def log_sum_exp(rng: np.random.Generator, n: int) -> Contest:
    """lse of n numbers."""
    x = rng.random(n)
    gradient = ad.grad(sums.log_sum_exp)
    return _contest("gradbench", f"lse {n:,}", gradient, (x,), _torch_gradient(_lse, 1, x), _jax_gradient(_lse, 1, x))


def least_squares(rng: np.random.Generator, n: int, unknowns: int = 128) -> Contest:
    """llsq of n points."""
    x = rng.normal(size=unknowns)
    t = -1.0 + 2.0 * np.arange(n) / (n - 1)
    rest = np.vander(t, len(x), increasing=True), np.sign(t)
    return _contest(
        "gradbench",
        f"llsq {unknowns} x {n:,}",
        ad.grad(lambda x, powers, signs: _llsq(np, x, powers, signs)),
        (x, *rest),
        _torch_gradient(_llsq, 1, x, *rest),
        _jax_gradient(_llsq, 1, x, *rest),
    )


def runge_kutta(rng: np.random.Generator, n: int, steps: int) -> Contest:
    """ode of n unknowns."""
    x = rng.random(n)
    rest = np.ones(1), np.zeros(n), steps
    return _contest(
        "gradbench",
        f"ode {n:,}, {steps} steps",
        ad.grad(lambda x: sums.solution(x, steps)[-1]),
        (x,),
        _torch_gradient(_ode, 1, x, *rest),
        _jax(lambda jax: jax.grad(lambda x, one, zero: _ode(jax.numpy, x, one, zero, steps)), x, *rest[:2]),
    )


def clusters(rng: np.random.Generator, k: int, n: int, d: int) -> Contest:
    """kmeans of n points."""
    points, centroids = rng.normal(size=(n, d)), rng.normal(size=(k, d))

    def torch_step(torch: Any, c: Any, points: Any) -> Any:
        cost = lambda c: _kmeans(torch, c, points, lambda s: torch.amin(s, 0))

        def step() -> Any:
            leaf = c.clone().requires_grad_()
            (g,) = torch.autograd.grad(cost(leaf), leaf, create_graph=True)
            (h,) = torch.autograd.grad(g.sum(), leaf)
            return g.detach() / h

        return step

    def jax_step(jax: Any) -> Any:
        def step(c: Any, points: Any) -> Any:
            slope = jax.grad(lambda c: _kmeans(jax.numpy, c, points, lambda s: jax.numpy.min(s, axis=0)))
            g, h = jax.jvp(slope, (c,), (jax.numpy.ones_like(c),))
            return g / h

        return step

    return _contest(
        "gradbench",
        f"kmeans k={k} n={n:,} d={d}",
        sums.clusters_step,
        (points, centroids),
        _torch(torch_step, centroids, points),
        _jax(jax_step, centroids, points),
    )


def determinant(rng: np.random.Generator, side: int) -> Contest:
    """det by minors."""
    matrix, gradient = rng.normal(size=(side, side)), ad.grad(scalars.det)
    theirs = _torch_gradient(_det, 1, matrix)
    return _contest("gradbench", f"det {side}", gradient, (matrix,), theirs, jit=False, rounds=5)


def gradbench(quick: bool = False) -> Iterator[Contest]:
    """GradBench's own tasks."""
    rng = np.random.default_rng(0)
    contest = partial(_contest, "gradbench")
    for n in (50,) if quick else (2_500, 80_000, 1_280_000):
        yield log_sum_exp(rng, n)
    for n in (16,) if quick else (256, 4_096):
        yield least_squares(rng, n, 8 if quick else 128)
    for n, steps in ((5, 2),) if quick else ((1_000, 10), (100_000, 10)):
        yield runge_kutta(rng, n, steps)
    for k, n, d in ((3, 20, 2),) if quick else ((10, 1_000, 8), (100, 10_000, 16)):
        yield clusters(rng, k, n, d)
    yield determinant(rng, 3 if quick else 6)
    w, x = np.full(1, 0.2), np.ones(2)
    yield contest(
        "particle, a gradient through gradients",
        ad.grad(lambda w: nested.landing(w, ad.grad)),
        (w,),
        _torch(_torch_particle, w),
        jit=False,
        rounds=5,
    )
    if not quick:
        yield contest(
            "saddle, a gradient through a descent",
            ad.grad(lambda x: nested.highest(x, np.ones(2), ad.grad)),
            (x,),
            _torch(_torch_saddle, x),
            jit=False,
            rounds=3,
        )


def _torch_slope(torch: Any) -> Any:
    def gradient(f: Any) -> Any:
        def slope(x: Any) -> Any:
            inner = x.requires_grad  # is this one differentiated again?
            leaf = x.clone() if inner else x.clone().requires_grad_()
            return torch.autograd.grad(f(leaf), leaf, create_graph=True)[0]

        return slope

    return gradient


def _torch_particle(torch: Any, start: Any) -> Any:
    gradient = _torch_slope(torch)

    def landing(w: Any) -> Any:
        first = torch.stack([10.0 + 0.0 * w[0], 10.0 - w[0]])
        second = torch.tensor([10.0, 0.0], dtype=torch.float64)

        def potential(x: Any) -> Any:
            return 1.0 / torch.sqrt(torch.sum((x - first) ** 2)) + 1.0 / torch.sqrt(torch.sum((x - second) ** 2))

        x, velocity = (torch.tensor(v, dtype=torch.float64) for v in ([0.0, 8.0], [0.75, 0.0]))
        while True:
            there = x + 0.1 * velocity
            acceleration = -gradient(potential)(x)
            if there[1] <= 0:
                return (x[0] - x[1] / velocity[1] * velocity[0]) ** 2
            x, velocity = there, velocity + 0.1 * acceleration

    return lambda: gradient(landing)(start.clone()).detach()


def _torch_saddle(torch: Any, start: Any) -> Any:
    height = lambda x, y: torch.sum(x * x) - torch.sum(y * y)

    def highest(x: Any) -> Any:
        start = torch.ones(2, dtype=torch.float64)
        return height(x, nested.argmin(lambda y: -height(x, y), start, _torch_slope(torch), torch))

    return lambda: _torch_slope(torch)(highest)(start.clone()).detach()


def mixtures(rng: np.random.Generator, n: int, d: int, k: int) -> Contest:
    """gmm of n points."""
    alpha, mu, q = rng.normal(size=k), rng.random((k, d)), rng.normal(size=(k, d))
    below, x = rng.normal(size=(k, d * (d - 1) // 2)), rng.normal(size=(n, d))
    rows, columns = mixture._below(d)

    def torch_gmm(torch: Any, *args: Any) -> Any:
        below = torch.from_numpy(rows), torch.from_numpy(columns)

        def lower(q: Any, l: Any) -> Any:  # noqa: E741
            made = torch.diag_embed(torch.exp(q))
            made[:, *below] = l
            return made

        return _gmm(torch, lambda a: torch.logsumexp(a, 0), lower, *args)

    def jax_gmm(jnp: Any, *args: Any) -> Any:
        def lower(q: Any, l: Any) -> Any:  # noqa: E741
            made = jnp.zeros((len(q), d, d)).at[:, np.arange(d), np.arange(d)].set(jnp.exp(q))
            return made.at[:, rows, columns].set(l)

        def lse(a: Any) -> Any:
            top = jnp.max(a, axis=0)
            return jnp.log(jnp.sum(jnp.exp(a - top), axis=0)) + top

        return _gmm(jnp, lse, lower, *args)

    args = alpha, mu, q, below, x
    return _contest(
        "adbench",
        f"gmm n={n} d={d} K={k}",
        ad.grad(lambda *args: mixture.log_posterior(*args, 1.0, 0), argnums=(0, 1, 2, 3)),
        args,
        _torch_gradient(torch_gmm, 4, *args),
        _jax_gradient(jax_gmm, 4, *args),
    )


def recurrence(rng: np.random.Generator, layers: int, count: int) -> Contest:
    """lstm of count characters."""
    args = rng.normal(size=(layers, 2, 4, 14)), rng.normal(size=(3, 14)), rng.normal(size=(layers, 2, 14)), None
    args = *args[:3], (rng.random((count, 14)) > 0.5).astype(float)
    lax = lambda f: lambda jnp, *given: f(jnp, lambda step, c, xs: rivals.jax().lax.scan(step, c, xs)[1], *given)
    return _contest(
        "adbench",
        f"lstm {layers} x {count}",
        ad.grad(lstm.loss, argnums=(0, 1)),
        args,
        _torch_gradient(lambda torch, *given: _lstm(torch, _python_scan, *given), 2, *args),
        _jax_gradient(lax(_lstm), 2, *args),
        rounds=5,
    )


def adbench(quick: bool = False) -> Iterator[Contest]:
    """The four tasks of ADBench."""
    rng = np.random.default_rng(0)
    for n, d, k in ((20, 2, 3),) if quick else ((1000, 2, 5), (1000, 10, 25), (1000, 32, 25), (1000, 64, 50)):
        yield mixtures(rng, n, d, k)
    yield recurrence(rng, *((2, 5) if quick else (2, 1024)))
    yield bundles(rng, *((3, 10, 20) if quick else (49, 7776, 31843)))
    for complicated in (False, True):
        yield hands(rng, 5 if quick else 100, complicated)


def bundles(rng: np.random.Generator, n: int, m: int, p: int) -> Contest:
    cameras, points = rng.normal(size=(n, 11)) + 0.5, rng.normal(size=(m, 3)) + [0, 0, 8.0]
    weights, features = rng.random(p), rng.normal(size=(p, 2))
    seen = np.arange(p) % n, np.arange(p) % m
    i, j = seen
    given = cameras[i], points[j], weights, features

    def blocks(transforms: Any, xp: Any, cross: Any) -> Any:
        """All 2 x 15 blocks by a Jacobian for each observation."""

        def error(camera: Any, point: Any, weight: Any, feature: Any) -> Any:
            return weight * (_project(xp, cross, camera, point) - feature)

        return transforms.vmap(transforms.jacrev(error, (0, 1, 2)))

    def values(c: Any, x: Any, w: Any, f: Any) -> Any:
        return bundle.blocks(c, x, w, f)

    return _contest(
        "adbench",
        f"ba {n} / {m} / {p}",
        values,
        given,
        _torch(lambda torch, *a: lambda: _joined(torch, blocks(torch.func, torch, torch.linalg.cross)(*a)), *given),
        _jax(lambda jax: lambda *a: _joined(jax.numpy, blocks(jax, jax.numpy, jax.numpy.cross)(*a)), *given),
    )


def _joined(xp: Any, parts: Any) -> Any:
    camera, point, weight = parts
    return xp.concatenate([camera, point, weight[..., None]], 2)


def hands(rng: np.random.Generator, count: int, complicated: bool) -> Contest:
    model, theta, both = hand_model(rng, count), rng.normal(size=26), np.zeros(2)
    us = model["us"] if complicated else None
    args = (theta, both) if complicated else (theta,)
    places = (0, 1) if complicated else 0

    def ours(theta: Any, both: Any = None) -> Any:
        return hand.residuals(theta, None if both is None else us + both, model)

    def theirs(xp: Any, put: Any, held: dict[str, Any]) -> Any:
        return lambda theta, both=None: _hand(xp, put, theta, both, held)

    def torch_made(torch: Any, *given: Any) -> Any:
        held = {key: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for key, v in model.items()}

        def put(angles: Any) -> Any:
            made = torch.zeros((22, 3), dtype=torch.float64)
            return made.index_put((torch.from_numpy(hand._BONES), torch.from_numpy(hand._AXES)), angles)

        jacobian = torch.func.jacfwd(theirs(torch, put, held), places)
        return lambda: jacobian(*given)

    def jax_made(jax: Any) -> Any:
        held = {key: jax.numpy.asarray(v) if isinstance(v, np.ndarray) else v for key, v in model.items()}
        put = lambda angles: jax.numpy.zeros((22, 3)).at[hand._BONES, hand._AXES].set(angles)
        return jax.jacfwd(theirs(jax.numpy, put, held), places)

    name = f"ht {'complicated' if complicated else 'simple'}, {count} points"
    return _contest(
        "adbench", name, ad.jacfwd(ours, argnums=places), args, _torch(torch_made, *args), _jax(jax_made, *args)
    )
