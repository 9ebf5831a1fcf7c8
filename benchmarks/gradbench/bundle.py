"""``ba``: bundle adjustment. What is hard: a sparse Jacobian, 2 x 15 numbers an observation, of millions of columns."""

from __future__ import annotations

from typing import Any

import numpy as np

import autodiff as ad
from benchmarks.gradbench.task import Function, floats

__all__ = ["TASKS", "blocks", "jacobian", "objective", "project"]

CAMERA = 11


def project(camera: Any, point: Any) -> Any:
    """Points seen by cameras, in pixels.

    Parameters
    ----------
    camera : (p, 11)
        Rotation vector (3), centre (3), focal length, principal point (2), radial distortion (2).
    point : (p, 3)

    Returns
    -------
    (p, 2)
        Rodrigues' rotation of ``point - centre``, divided by depth, distorted, scaled and shifted.
    """
    rotation, centre, focal, middle, radial = (
        camera[:, 0:3], camera[:, 3:6], camera[:, 6:7], camera[:, 7:9], camera[:, 9:11]
    )  # fmt: skip
    offset = point - centre
    squared = np.sum(rotation * rotation, axis=1, keepdims=True)
    angle = np.sqrt(squared)
    axis = rotation / angle
    cosine, sine = np.cos(angle), np.sin(angle)
    along = np.sum(axis * offset, axis=1, keepdims=True)
    turned = offset * cosine + np.cross(axis, offset) * sine + axis * along * (1.0 - cosine)
    flat = turned[:, :2] / turned[:, 2:3]
    r2 = np.sum(flat * flat, axis=1, keepdims=True)
    return flat * (1.0 + radial[:, 0:1] * r2 + radial[:, 1:2] * r2 * r2) * focal + middle


def _errors(camera: Any, point: Any, weight: Any, feature: np.ndarray) -> Any:
    return weight[:, None] * (project(camera, point) - feature)


def objective(cameras: Any, points: Any, weights: Any, features: Any, seen: Any) -> tuple[Any, Any]:
    """Reprojection errors (p, 2) and weight errors (p,)."""
    i, j = seen
    return _errors(cameras[i], points[j], weights, features), 1.0 - weights**2


def blocks(camera: Any, point: Any, weight: Any, features: Any) -> Any:
    """The derivatives (p, 2, 15) of each observation's two errors in its camera, point and weight.

    Every observation reads one camera, one point and one weight of its own, so all blocks follow from two gradients: of
    the sum of all first errors and of the sum of all second ones.
    """
    _, pull = ad.vjp(lambda c, x, w: _errors(c, x, w, features), camera, point, weight)
    rows = []
    for row in range(2):
        seed = np.zeros(features.shape)
        seed[:, row] = 1.0
        dc, dx, dw = pull(seed)
        rows.append(np.concatenate([dc, dx, dw[:, None]], axis=1))
    return np.stack(rows, axis=1)


def jacobian(cameras: Any, points: Any, weights: Any, features: Any, seen: Any) -> tuple[np.ndarray, ...]:
    """Rows, columns and values of the sparse Jacobian in compressed row form."""
    i, j = seen
    p, n, m = len(weights), len(cameras), len(points)
    values = np.asarray(blocks(cameras[i], points[j], weights, features))
    columns = np.empty((p, 2, 15), dtype=np.int64)
    columns[:, :, :CAMERA] = (CAMERA * i[:, None] + np.arange(CAMERA))[:, None]
    columns[:, :, CAMERA:14] = (CAMERA * n + 3 * j[:, None] + np.arange(3))[:, None]
    columns[:, :, 14] = (CAMERA * n + 3 * m + np.arange(p))[:, None]
    rows = np.concatenate([15 * np.arange(2 * p + 1), 30 * p + 1 + np.arange(p)])
    return (
        rows,
        np.concatenate([columns.ravel(), CAMERA * n + 3 * m + np.arange(p)]),
        np.concatenate([values.ravel(), -2.0 * weights]),
    )


def _read(given: Any) -> tuple[Any, ...]:
    n, m, p = (int(given[name]) for name in "nmp")
    seen = np.arange(p) % n, np.arange(p) % m
    return (
        np.tile(floats(given["cam"]), (n, 1)),
        np.tile(floats(given["x"]), (m, 1)),
        np.full(p, float(given["w"])),
        np.tile(floats(given["feat"]), (p, 1)),
        seen,
    )


def _write_errors(found: tuple[Any, Any]) -> dict[str, Any]:
    errors, weights = (np.asarray(part) for part in found)
    return {
        "reproj_error": {"elements": errors[0].tolist(), "repeated": len(errors)},
        "w_err": {"element": float(weights[0]), "repeated": len(weights)},
    }


def _write(found: tuple[np.ndarray, ...]) -> dict[str, Any]:
    return {name: part.tolist() for name, part in zip(("rows", "cols", "vals"), found, strict=True)}


TASKS = {"ba": {"objective": Function(_read, objective, _write_errors), "jacobian": Function(_read, jacobian, _write)}}
