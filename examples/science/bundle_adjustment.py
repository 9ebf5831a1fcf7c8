"""Bundle adjustment by a sparse Gauss-Newton method: where cameras stood and what they saw.

A camera turns a point by a Rodrigues rotation, divides by its depth and scales by its focal length with radial
distortion (the model of ADBench). Every residual sees one camera and one point, so its row of the Jacobian holds a
dozen numbers; ``sparse_jacobian`` reads that off the program and needs about as many tangents, whatever the size.
The first two cameras are known, which fixes position and scale; all else is found from pixels without noise and must
be what made them.

    python examples/science/bundle_adjustment.py [--cameras 8] [--points 120] [--out bundle.png]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

import autodiff as ad
from autodiff.sparse import spsolve


def rotated(w, x):
    """Rodrigues' formula, row by row: ``x`` turned about ``w`` by its length."""
    square = np.sum(w * w, axis=1, keepdims=True) + 1e-30
    angle = np.sqrt(square)
    axis = w / angle
    along = axis * np.sum(axis * x, axis=1, keepdims=True)
    return x * np.cos(angle) + np.cross(axis, x) * np.sin(angle) + along * (1 - np.cos(angle))


def projected(camera, x):
    """Pixels (m, 2) of points (m, 3) in cameras (m, 9): rotation 3, centre 3, focal length, two of distortion."""
    seen = rotated(camera[:, :3], x - camera[:, 3:6])
    flat = seen[:, :2] / seen[:, 2:]
    r = np.sum(flat * flat, axis=1, keepdims=True)
    return flat * camera[:, 6:7] * (1 + camera[:, 7:8] * r + camera[:, 8:9] * r * r)


def main(argv: list[str] | None = None) -> float:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--cameras", type=int, default=8, help="at least 3")
    parser.add_argument("--points", type=int, default=120, help="at least 20")
    parser.add_argument("--out", help="write a picture here (needs matplotlib)")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    n, m = options.cameras, options.points
    points = rng.uniform(-1, 1, (m, 3))
    cameras = np.zeros((n, 9))
    cameras[:, :3] = rng.normal(scale=0.1, size=(n, 3))
    cameras[:, 3:6] = rng.normal(scale=0.5, size=(n, 3)) + np.array([0.0, 0.0, -5.0])
    cameras[:, 6], cameras[:, 7:] = 1.0 + 0.1 * rng.random(n), 0.01 * rng.normal(size=(n, 2))
    camera, point = (place.ravel() for place in np.meshgrid(np.arange(n), np.arange(m), indexing="ij"))
    keep = (rng.random(camera.size) < 0.6) | (camera < 2)
    camera, point = camera[keep], point[keep]
    pixels = projected(cameras[camera], points[point])

    def residuals(p):
        every = np.concatenate([cameras[:2], p["cameras"]])
        return (projected(every[camera], p["points"][point]) - pixels).reshape(-1)

    p = {"cameras": cameras[2:] + 0.02 * rng.normal(size=(n - 2, 9)), "points": points + 0.05 * rng.normal(size=(m, 3))}
    jacobian = ad.sparse_jacobian(residuals)
    J: Any = None
    damping, history = 1e-3, []
    for step in range(30):
        r = residuals(p)
        begin = time.perf_counter()
        J = jacobian(p)
        if not step:
            print(
                f"Jacobian {J.shape}, {J.nnz} entries of {J.shape[0] * J.shape[1]}: {time.perf_counter() - begin:.3f} s"
            )
        history.append(float(np.sqrt(np.mean(r * r))))
        if history[-1] < 1e-13:
            break
        # Levenberg and Marquardt: damped where a step makes it worse.
        normal = (J.T @ J).tocsc()
        while True:
            damped = normal + damping * normal.diagonal().max() * _identity(normal.shape[0])
            move = spsolve(damped, -(J.T @ r)).data
            cut = 9 * (n - 2)
            tried = {
                "cameras": p["cameras"] + move[:cut].reshape(-1, 9),
                "points": p["points"] + move[cut:].reshape(-1, 3),
            }
            if np.sum(residuals(tried) ** 2) < np.sum(r * r) or damping > 1e3:
                break
            damping *= 10
        p, damping = tried, max(damping / 10, 1e-15)
    error = max(float(np.abs(p["points"] - points).max()), float(np.abs(p["cameras"] - cameras[2:]).max()))
    print(f"{len(history)} steps, {history[0]:.2e} -> {history[-1]:.2e} of a focal length; off by at most {error:.1e}")
    if options.out:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.spy(J, markersize=0.4, aspect="auto")
        left.set_title("the Jacobian's pattern")
        right.semilogy(history, "o-")
        right.set(xlabel="step", ylabel="root mean square of the residuals")
        figure.savefig(options.out, dpi=100)
    assert error < 1e-7, "the cameras and points that made the pixels were not found"
    return error


def _identity(n):
    import scipy.sparse

    return scipy.sparse.eye_array(n, format="csc")


if __name__ == "__main__":
    main()
