"""``ht``: hand tracking. What is hard: few inputs and many outputs through a tree of transforms, so forward mode."""

from __future__ import annotations

from typing import Any

import numpy as np

import autodiff as ad
from benchmarks.gradbench.task import Function, floats, plain

__all__ = ["TASKS", "jacobian", "residuals"]

#: Which of the 26 angles turn which bone about which axis: three bones to a finger, the first of which has two angles.
_BONES = np.array([[2 + 4 * finger + joint for joint in (0, 0, 1, 2)] for finger in range(5)]).ravel()
_AXES = np.array([0, 1, 0, 0] * 5)


def _rotations(angles: Any) -> Any:
    """Rotations ``Rz Ry Rx`` (k, 3, 3) by Euler angles (k, 3) in the order x, z, y."""
    cosine, sine = np.cos(angles), np.sin(angles)
    cx, cz, cy = cosine[:, 0], cosine[:, 1], cosine[:, 2]
    sx, sz, sy = sine[:, 0], sine[:, 1], sine[:, 2]
    rows = [
        [cz * cy, -cz * sy * sx - sz * cx, sz * sx - cz * sy * cx],
        [sz * cy, cz * cx - sz * sy * sx, -cz * sx - sz * sy * cx],
        [sy, cy * sx, cy * cx],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _about(vector: Any) -> Any:
    """The rotation matrix (3, 3) about an axis by an angle, given as axis times angle (Rodrigues)."""
    angle = np.sqrt(np.sum(vector * vector))
    axis = vector / angle
    x, y, z = axis[0], axis[1], axis[2]
    s, c = np.sin(angle), np.cos(angle)
    rows = [
        [x * x + (1 - x * x) * c, x * y * (1 - c) - z * s, x * z * (1 - c) + y * s],
        [x * y * (1 - c) + z * s, y * y + (1 - y * y) * c, y * z * (1 - c) - x * s],
        [x * z * (1 - c) - y * s, z * y * (1 - c) + x * s, z * z + (1 - z * z) * c],
    ]
    return np.stack([np.stack(row) for row in rows])


def _vertices(theta: Any, model: dict[str, Any]) -> Any:
    """Vertices (v, 3) of the hand in a pose of 26 parameters: global rotation (3), translation (3), angles (20)."""
    bones = len(model["parents"])
    angles = ad.tensor(np.zeros((bones, 3))).at[_BONES, _AXES].set(theta[6:])
    turned = np.matmul(model["relatives"][:, :, :3], _rotations(angles))
    relatives = np.concatenate([turned, model["relatives"][:, :, 3:]], axis=2)
    absolutes: list[Any] = []
    for bone, parent in enumerate(model["parents"]):
        own = relatives[bone]
        absolutes.append(own if parent == -1 else absolutes[parent] @ own)
    transforms = np.matmul(np.stack(absolutes), model["inverses"])[:, :3]  # (bones, 3, 4)
    # Linear blend skinning: vertices' weighted homogeneous positions, one row for each bone's four coordinates.
    blended = model["weighted"] @ np.swapaxes(transforms, 1, 2).reshape(4 * bones, 3)
    return blended @ _about(theta[:3]).T + theta[3:6]


def residuals(theta: Any, us: Any, model: dict[str, Any]) -> Any:
    """Measured points minus their counterparts on the model, (3 n,).

    ``us`` (n, 2) are barycentric coordinates in each point's triangle; without them a point corresponds to a vertex.
    """
    vertices = _vertices(theta, model)
    if us is None:
        return (model["points"] - vertices[model["correspondences"]]).reshape(-1)
    corners = vertices[model["corners"]]  # (n, 3, 3)
    u, v = us[:, 0:1], us[:, 1:2]
    return (model["points"] - (u * corners[:, 0] + v * corners[:, 1] + (1.0 - u - v) * corners[:, 2])).reshape(-1)


def jacobian(theta: np.ndarray, us: np.ndarray | None, model: dict[str, Any]) -> np.ndarray:
    """The dense columns of the pose by forward mode; before them two for the barycentric coordinates, compressed.

    A point depends on its own two coordinates alone, so one direction in which all first coordinates move gives every
    first column at once, and another gives the second.
    """
    if us is None:
        return np.asarray(ad.jacfwd(lambda t: residuals(t, None, model))(theta))

    def of_all(t: Any, both: Any) -> Any:
        return residuals(t, us + both, model)

    pose, corners = ad.jacfwd(of_all, argnums=(0, 1))(theta, np.zeros(2))
    return np.concatenate([np.asarray(corners), np.asarray(pose)], axis=1)


def _read(given: Any) -> tuple[Any, ...]:
    data = given["data"]
    model = data["model"]
    positions, weights = floats(model["base_positions"]), floats(model["weights"])
    facts: dict[str, Any] = {
        "parents": [int(parent) for parent in model["parents"]],
        "relatives": floats(model["base_relatives"]),
        "inverses": floats(model["inverse_base_absolutes"]),
        "weighted": (weights[:, :, None] * positions[:, None, :]).reshape(len(positions), -1),
        "correspondences": np.asarray(data["correspondences"], dtype=np.int64),
        "points": floats(data["points"]),
    }
    us = floats(given["us"]).reshape(-1, 2) if len(given.get("us", ())) else None
    if us is not None:
        facts["corners"] = np.asarray(model["triangles"], dtype=np.int64)[facts["correspondences"]]
    return floats(given["theta"]), us, facts


TASKS = {"ht": {"objective": Function(_read, residuals, plain), "jacobian": Function(_read, jacobian, plain)}}
