"""GradBench's tasks: right answers from closed forms, loops written out, finite differences and published numbers."""

import io
import itertools
import json
from typing import Any

import numpy as np
import pytest

from benchmarks.gradbench import nested
from benchmarks.gradbench.__main__ import TASKS, serve


def ask(module: str, function: str, given: Any) -> Any:
    """The output that the tool gives for one evaluation."""
    message = {"id": 3, "kind": "evaluate", "module": module, "function": function, "input": given}
    out = io.StringIO()
    serve(io.StringIO(json.dumps(message) + "\n"), out)
    answer = json.loads(out.getvalue())
    assert answer["id"] == 3
    assert answer["success"], answer["error"]
    assert answer["timings"][0]["nanoseconds"] > 0
    return answer["output"]


def numeric(f: Any, x: np.ndarray) -> np.ndarray:
    """Central differences of a plain function, accurate to about 1e-8."""
    rows = []
    for i in range(x.size):
        h = np.zeros(x.size)
        h[i] = 1e-5
        h = h.reshape(x.shape)
        rows.append((np.asarray(f(x + h)) - np.asarray(f(x - h))) / 2e-5)
    return np.stack(rows, axis=-1)


def test_the_protocol() -> None:
    lines = [
        {"id": 0, "kind": "start", "eval": "hello"},
        {"id": 1, "kind": "define", "module": "hello"},
        {"id": 2, "kind": "define", "module": "nothing"},
        {"id": 3, "kind": "evaluate", "module": "hello", "function": "double", "input": 3.0},
        {"id": 4, "kind": "evaluate", "module": "hello", "function": "other", "input": 3.0},
        {"id": 5, "kind": "analysis", "of": 3, "valid": True},
    ]
    out = io.StringIO()
    serve(io.StringIO("".join(json.dumps(line) + "\n" for line in lines)), out)
    replies = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [r["id"] for r in replies] == list(range(6))
    assert [r.get("success") for r in replies] == [None, True, False, True, False, None]
    assert replies[3]["output"] == 6.0
    assert "other" in replies[4]["error"]


def test_runs_are_repeated_as_asked() -> None:
    message = {"id": 1, "kind": "evaluate", "module": "lse", "function": "primal"}
    out = io.StringIO()
    serve(io.StringIO(json.dumps(message | {"input": {"x": [0.0, 0.0], "min_runs": 4, "min_seconds": 0}}) + "\n"), out)
    answer = json.loads(out.getvalue())
    assert len(answer["timings"]) == 4
    assert np.isclose(answer["output"], np.log(2))


def test_all_twelve_are_there() -> None:
    assert set(TASKS) == set("hello lse llsq gmm lstm ode det kmeans ba ht particle saddle".split())


def test_hello() -> None:
    assert ask("hello", "square", 3.0) == 9.0


def test_lse() -> None:
    x = np.random.default_rng(0).random(50)
    assert np.allclose(ask("lse", "gradient", {"x": x.tolist()}), np.exp(x) / np.exp(x).sum(), rtol=1e-12)


def test_llsq() -> None:
    rng = np.random.default_rng(0)
    x, n = rng.random(6), 16
    t = -1 + 2 * np.arange(n) / (n - 1)
    powers = t[:, None] ** np.arange(6)
    right = -powers.T @ (np.sign(t) - powers @ x)
    assert np.allclose(ask("llsq", "gradient", {"x": x.tolist(), "n": n}), right, rtol=1e-10)


def test_ode() -> None:
    # y_i(t) = x_0 ... x_i t^(i+1) / (i+1)!, exact for the first four components; d y_3 / d x_j = y_3 / x_j.
    x = np.array([0.3, 0.7, 0.2, 0.9])
    last = np.prod(x) * 2**4 / 24
    assert np.allclose(ask("ode", "gradient", {"x": x.tolist(), "s": 10}), last / x, rtol=1e-12)
    assert np.isclose(ask("ode", "primal", {"x": x.tolist(), "s": 10})[-1], last)


def test_det() -> None:
    a = np.random.default_rng(0).random((5, 5))
    given = {"A": a.ravel().tolist(), "ell": 5}
    assert np.isclose(ask("det", "primal", given), np.linalg.det(a), rtol=1e-10)
    right = np.linalg.det(a) * np.linalg.inv(a).T
    assert np.allclose(np.reshape(ask("det", "gradient", given), (5, 5)), right, rtol=1e-9)


def test_kmeans() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((40, 3))
    centroids = points[-4:]
    nearest = np.argmin(((points[:, None] - centroids) ** 2).sum(2), axis=1)
    # Newton's step leads from each centroid to the mean of its points.
    right = centroids - np.stack([points[nearest == k].mean(0) for k in range(4)])
    given = {"points": points.tolist(), "centroids": centroids.tolist()}
    assert np.allclose(ask("kmeans", "dir", given), right, atol=1e-12)


def mixture(rng: np.random.Generator, d: int, k: int, n: int) -> dict[str, Any]:
    return {
        "d": d, "k": k, "n": n, "m": 0, "gamma": 1.0,
        "x": rng.normal(size=(n, d)).tolist(),
        "mu": rng.random((k, d)).tolist(),
        "q": rng.normal(size=(k, d)).tolist(),
        "l": rng.normal(size=(k, d * (d - 1) // 2)).tolist(),
        "alpha": rng.normal(size=k).tolist(),
    }  # fmt: skip


def posterior(given: dict[str, Any]) -> float:
    """The log of the product of densities, as the definition says it: loops, determinants and inverses."""
    from scipy.stats import multivariate_normal, wishart

    d, n = given["d"], given["n"]
    weights = np.exp(given["alpha"]) / np.sum(np.exp(given["alpha"]))
    precisions = []
    for q, below in zip(given["q"], given["l"], strict=True):
        root, entries = np.diag(np.exp(q)), iter(below)
        for column in range(d):
            for row in range(column + 1, d):
                root[row, column] = next(entries)
        precisions.append(root.T @ root)
    normals = [multivariate_normal(m, np.linalg.inv(p)) for m, p in zip(given["mu"], precisions, strict=True)]
    total = sum(np.log(sum(w * f.pdf(given["x"][i]) for w, f in zip(weights, normals, strict=True))) for i in range(n))
    return float(total + sum(wishart(d + 1, np.eye(d)).logpdf(p) for p in precisions))


def test_gmm() -> None:
    given = mixture(np.random.default_rng(0), 3, 2, 6)
    assert np.isclose(ask("gmm", "objective", given), posterior(given), rtol=1e-10)
    found = ask("gmm", "jacobian", given)
    for name in ("alpha", "mu", "q", "l"):
        right = numeric(lambda v, name=name: posterior(given | {name: v}), np.asarray(given[name]))
        assert np.allclose(np.ravel(found[name]), right, rtol=1e-6, atol=1e-6), name


def test_lstm() -> None:
    rng = np.random.default_rng(0)
    layers, bits, count = 2, 3, 5
    main, extra = rng.normal(size=(2 * layers, 4 * bits)), rng.normal(size=(3, bits))
    state, sequence = rng.normal(size=(2 * layers, bits)), rng.integers(0, 2, (count, bits)).astype(float)

    def loss(flat: np.ndarray) -> float:
        weights, tail = flat[: main.size].reshape(main.shape), flat[main.size :].reshape(3, bits)
        s, total = state.copy(), 0.0

        def sigmoid(v: np.ndarray) -> np.ndarray:
            return 1 / (1 + np.exp(-v))

        for t in range(count - 1):
            x = sequence[t] * tail[0]
            for k in range(layers):
                w, b = weights[2 * k].reshape(4, bits), weights[2 * k + 1].reshape(4, bits)
                h, c = s[2 * k], s[2 * k + 1]
                c = c * sigmoid(x * w[0] + b[0]) + sigmoid(h * w[1] + b[1]) * np.tanh(h * w[3] + b[3])
                x = sigmoid(x * w[2] + b[2]) * np.tanh(c)
                s[2 * k], s[2 * k + 1] = x, c
            y = x * tail[1] + tail[2]
            total += np.sum(sequence[t + 1] * (y - np.log(2 + np.sum(np.exp(y)))))
        return float(-total / ((count - 1) * bits))

    given = {"main_params": main, "extra_params": extra, "state": state, "sequence": sequence}
    given = {name: value.tolist() for name, value in given.items()}
    flat = np.concatenate([main.ravel(), extra.ravel()])
    assert np.isclose(ask("lstm", "objective", given), loss(flat), rtol=1e-12)
    assert np.allclose(ask("lstm", "jacobian", given), numeric(loss, flat), atol=1e-8)


def test_ba() -> None:
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(0)
    camera, point, feature, weight = rng.normal(size=11), rng.normal(size=3) + 5, rng.normal(size=2), 0.7

    def error(v: np.ndarray) -> np.ndarray:
        camera, point, weight = v[:11], v[11:14], v[14]
        turned = Rotation.from_rotvec(camera[:3]).apply(point - camera[3:6])
        flat = turned[:2] / turned[2]
        r2 = flat @ flat
        seen = flat * (1 + camera[9] * r2 + camera[10] * r2 * r2) * camera[6] + camera[7:9]
        return weight * (seen - feature)

    given = {"n": 2, "m": 3, "p": 4, "cam": camera.tolist(), "x": point.tolist(), "w": weight, "feat": feature.tolist()}
    all_together = np.concatenate([camera, point, [weight]])
    errors = ask("ba", "objective", given)
    assert np.allclose(errors["reproj_error"]["elements"], error(all_together), rtol=1e-10)
    assert np.isclose(errors["w_err"]["element"], 1 - weight**2)
    assert errors["w_err"]["repeated"] == errors["reproj_error"]["repeated"] == 4
    found = ask("ba", "jacobian", given)
    block = numeric(error, all_together)
    rows, columns, values = (np.array(found[name]) for name in ("rows", "cols", "vals"))
    assert rows[-1] == len(columns) == len(values) == 4 * 31
    for i in range(4):
        where = [11 * (i % 2) + c for c in range(11)] + [22 + 3 * (i % 3) + c for c in range(3)] + [22 + 9 + i]
        for row in range(2):
            part = slice(rows[2 * i + row], rows[2 * i + row + 1])
            assert columns[part].tolist() == where
            assert np.allclose(values[part], block[row], rtol=1e-6, atol=1e-7)
        part = slice(rows[8 + i], rows[9 + i])
        assert columns[part].tolist() == [31 + i]
        assert np.allclose(values[part], -2 * weight)


def hand(rng: np.random.Generator, complicated: bool) -> dict[str, Any]:
    bones, vertices, count = 22, 9, 4
    relatives = np.tile(np.eye(4), (bones, 1, 1))
    relatives[:, :3] += 0.1 * rng.normal(size=(bones, 3, 4))
    inverses = np.tile(np.eye(4), (bones, 1, 1))
    inverses[:, :3] += 0.1 * rng.normal(size=(bones, 3, 4))
    positions = np.ones((vertices, 4))
    positions[:, :3] = rng.normal(size=(vertices, 3))
    model = {
        "bone_count": bones, "bone_names": [], "is_mirrored": False,
        "parents": [-1, 0] + [bone - 1 if bone % 4 != 2 else 0 for bone in range(2, bones)],
        "base_relatives": relatives.tolist(), "inverse_base_absolutes": inverses.tolist(),
        "base_positions": positions.tolist(), "weights": rng.random((vertices, bones)).tolist(),
        "triangles": rng.integers(0, vertices, (6, 3)).tolist(),
    }  # fmt: skip
    data = {"model": model, "points": rng.normal(size=(count, 3)).tolist()}
    data["correspondences"] = rng.integers(0, 6, count).tolist()
    us = rng.random((count, 2)).tolist() if complicated else []
    return {"theta": rng.normal(size=26).tolist(), "data": data, "us": us}


def hand_errors(given: dict[str, Any], theta: np.ndarray, us: np.ndarray) -> np.ndarray:
    """The residuals with every bone and every vertex in a loop of its own."""
    from scipy.spatial.transform import Rotation

    model = given["data"]["model"]
    angles, places = np.zeros((22, 3)), iter(theta[6:])
    for finger, joint in itertools.product(range(5), range(3)):
        angles[2 + 4 * finger + joint, 0] = next(places)
        if joint == 0:
            angles[2 + 4 * finger, 1] = next(places)
    absolutes: list[np.ndarray] = []
    for bone, parent in enumerate(model["parents"]):
        tx, tz, ty = angles[bone]
        turn = np.eye(4)
        rx, ry, rz = (Rotation.from_euler(axis, a).as_matrix() for axis, a in (("x", tx), ("y", -ty), ("z", tz)))
        turn[:3, :3] = rz @ ry @ rx
        own = np.asarray(model["base_relatives"][bone]) @ turn
        absolutes.append(own if parent == -1 else absolutes[parent] @ own)
    placed = []
    for position, weights in zip(model["base_positions"], model["weights"], strict=True):
        sums = sum(
            w * (a @ np.asarray(inverse) @ position)
            for w, a, inverse in zip(weights, absolutes, model["inverse_base_absolutes"], strict=True)
        )
        placed.append(Rotation.from_rotvec(theta[:3]).apply(sums[:3]) + theta[3:6])
    errors = []
    for i, (point, match) in enumerate(zip(given["data"]["points"], given["data"]["correspondences"], strict=True)):
        if len(us):
            a, b, c = (placed[corner] for corner in model["triangles"][match])
            errors.append(point - (us[i, 0] * a + us[i, 1] * b + (1 - us[i, 0] - us[i, 1]) * c))
        else:
            errors.append(point - placed[match])
    return np.concatenate(errors)


@pytest.mark.parametrize("complicated", [False, True])
def test_ht(complicated: bool) -> None:
    given = hand(np.random.default_rng(0), complicated)
    theta, us = np.array(given["theta"]), np.array(given["us"])
    assert np.allclose(ask("ht", "objective", given), hand_errors(given, theta, us), rtol=1e-9)
    found = np.array(ask("ht", "jacobian", given))
    pose = numeric(lambda t: hand_errors(given, t, us), theta)
    assert np.allclose(found[:, -26:], pose, rtol=1e-5, atol=1e-6)
    if complicated:
        corners = numeric(lambda both: hand_errors(given, theta, us + both), np.zeros(2))
        assert np.allclose(found[:, :2], corners, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("modes", ["rr", "rf", "fr", "ff"])
def test_derivatives_within_derivatives(modes: str) -> None:
    outer, inner = (nested.MODES[mode] for mode in modes)
    w = np.array([0.1])
    right = numeric(lambda w: float(nested.landing(w, nested.MODES["r"])), w)
    assert np.allclose(outer(lambda w: nested.landing(w, inner))(w), right, rtol=1e-6)
    # The maximum over y is at 0, up to where the descent ends; so the gradient is that of x1^2 + x2^2.
    x = np.array([0.3, 0.2])
    assert np.allclose(outer(lambda x: nested.highest(x, np.ones(2), inner))(x), 2 * x, atol=1e-4)


@pytest.mark.slow
def test_particle() -> None:
    # Published with the benchmark.
    assert np.isclose(ask("particle", "rr", {"w": 0.0}), 0.2071918746486116, rtol=1e-6)


@pytest.mark.slow
def test_saddle() -> None:
    # Published with the benchmark, four times the same number.
    assert np.allclose(ask("saddle", "rr", {"start": [1.0, 1.0]}), 8.246324826140356e-06, rtol=1e-6)
