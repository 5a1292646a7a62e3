"""Oriented boxes about gravity."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.components import COMPONENT_CELL_VOXELS, COMPONENT_SHARE, sizes_of_components
from lira_ros.fusion.contracts import OrientedBox
from lira_ros.fusion.lifting import KEY_OFFSET, pack

# At most this share of the points are strays: masks and depth leave a few percent beside a thing. More than that is
# part of it, however it lies.
STRAY_SHARE = 0.05
# Points that are no voxels hang together over this part of their extent; a surface of some hundred points does.
POINT_GAP_SHARE = 1.0 / 16.0
# What is left of strays near a thing are the outermost points along an axis, fewer than this share of all, with a gap
# before them that nothing that hangs together has.
TAIL_SHARE = 0.02


def horizontal_axes(up: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (2, 3) unit vectors that span the plane across ``up``; with ``up`` they are right-handed."""
    # The map axis that is farthest from vertical gives a stable first direction; ties go to x, then y.
    axis = np.eye(3)[int(np.argmin(np.abs(up)))]
    first = axis - np.dot(axis, up) * up
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(up, first)])


def oriented_box(points: NDArray[np.floating], up: NDArray[np.floating], margin_m: float) -> OrientedBox:
    """Fit the box of least volume with a vertical axis around (N, 3) points [m], but for a few strays.

    up: (3,) unit vector against gravity. margin_m: added on every side, half a voxel when the points are voxel
    centres. The x axis lies along the longer horizontal side, z along ``up``. Strays are points that do not hang
    together with the others, at most STRAY_SHARE of them, and at most TAIL_SHARE beyond a gap at an end of the box.
    Raises ValueError without points.
    """
    if len(points) == 0:
        raise ValueError("oriented box: no points")
    points = np.asarray(points, dtype=np.float64)
    up = np.asarray(up, dtype=np.float64)
    origin = points.mean(axis=0)
    axes = np.vstack([horizontal_axes(up), up])
    level = (points - origin) @ axes.T
    level, gap_m = _without_strays(level, margin_m)
    turn = _least_footprint(level)
    local = level @ turn
    inner = _without_tails(local, gap_m)
    if not inner.all():
        turn = _least_footprint(level[inner])
        local = level[inner] @ turn
    low, high = local.min(axis=0) - margin_m, local.max(axis=0) + margin_m
    size = high - low
    frame = axes.T @ turn
    if size[1] > size[0]:
        # A quarter turn about the vertical puts the longer side first.
        frame = np.stack([frame[:, 1], -frame[:, 0], up], axis=1)
        low, high = np.array([low[1], -high[0], low[2]]), np.array([high[1], -low[0], high[2]])
        size = high - low
    T_map_box = np.eye(4)
    T_map_box[:3, :3] = frame
    T_map_box[:3, 3] = origin + frame @ (0.5 * (low + high))
    return OrientedBox(T_map_box, size)


def _least_footprint(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (3, 3) turn about z whose columns are the axes of the least rectangle around (N, 3) points."""
    # The height is the same for every turn, so the least footprint is the least volume.
    angle = np.radians(cv2.minAreaRect(level[:, :2].astype(np.float32))[2])
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _without_strays(level: NDArray[np.float64], margin_m: float) -> tuple[NDArray[np.float64], float]:
    """Return the points that hang together, and over what gap [m] they do."""
    if len(level) * STRAY_SHARE < 1.0:
        return level, np.inf
    gap_m = 2.0 * margin_m * COMPONENT_CELL_VOXELS
    if margin_m == 0.0:
        low, high = np.percentile(level, [100.0 * STRAY_SHARE, 100.0 * (1.0 - STRAY_SHARE)], axis=0)
        gap_m = POINT_GAP_SHARE * float((high - low).max())
    # Few points on a large thing are far apart: then they hang together over larger gaps.
    while gap_m > 0.0:
        cells = np.clip(np.floor(level / gap_m), -KEY_OFFSET + 1, KEY_OFFSET - 1).astype(np.int64)
        component, sizes = sizes_of_components(pack(cells), 1)
        kept = sizes[component] >= COMPONENT_SHARE * sizes.max()
        if np.count_nonzero(kept) >= (1.0 - STRAY_SHARE) * len(level):
            return level[kept], gap_m
        gap_m *= 2.0
    return level, np.inf


def _without_tails(local: NDArray[np.float64], gap_m: float) -> NDArray[np.bool_]:
    """Tell which of (N, 3) points are not beyond a gap at one of the ends along an axis."""
    inner = np.ones(len(local), dtype=np.bool_)
    count = int(TAIL_SHARE * len(local))
    if count == 0 or not np.isfinite(gap_m):
        return inner
    for axis in range(3):
        for sign in (1.0, -1.0):
            values = sign * local[:, axis]
            tail = np.sort(np.partition(values, count)[: count + 1])
            gaps = np.flatnonzero(np.diff(tail) > gap_m)
            if len(gaps):
                inner &= values > tail[gaps[-1]]
    return inner
