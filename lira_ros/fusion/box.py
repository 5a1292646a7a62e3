"""Oriented boxes about gravity."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.contracts import OrientedBox


def horizontal_axes(up: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (2, 3) unit vectors that span the plane across ``up``; with ``up`` they are right-handed."""
    # The map axis that is farthest from vertical gives a stable first direction; ties go to x, then y.
    axis = np.eye(3)[int(np.argmin(np.abs(up)))]
    first = axis - np.dot(axis, up) * up
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(up, first)])


def oriented_box(points: NDArray[np.floating], up: NDArray[np.floating], margin_m: float) -> OrientedBox:
    """Fit the box of least footprint with a vertical axis around (N, 3) points [m].

    up: (3,) unit vector against gravity. margin_m: added on every side, half a voxel when the points are voxel
    centres. The x axis lies along the longer horizontal side, z along ``up``. Raises ValueError without points.
    """
    if len(points) == 0:
        raise ValueError("oriented box: no points")
    points = np.asarray(points, dtype=np.float64)
    origin = points.mean(axis=0)
    axes = horizontal_axes(np.asarray(up, dtype=np.float64))
    flat = ((points - origin) @ axes.T).astype(np.float32)
    angle = np.radians(cv2.minAreaRect(flat)[2])
    direction = np.cos(angle) * axes[0] + np.sin(angle) * axes[1]
    across = np.cross(up, direction)
    frame = np.stack([direction, across, up], axis=1)
    local = (points - origin) @ frame
    low, high = local.min(axis=0) - margin_m, local.max(axis=0) + margin_m
    size = high - low
    if size[1] > size[0]:
        frame = np.stack([across, -direction, up], axis=1)
        local = (points - origin) @ frame
        low, high = local.min(axis=0) - margin_m, local.max(axis=0) + margin_m
        size = high - low
    T_map_box = np.eye(4)
    T_map_box[:3, :3] = frame
    T_map_box[:3, 3] = origin + frame @ (0.5 * (low + high))
    return OrientedBox(T_map_box, size)
