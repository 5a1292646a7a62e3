"""The voxels of a fragment as LIRA makes them: the depth of its keyframes, fused within a cube of 96 voxels of 4 cm.

Written from the description of the released code, sections 1.3 and 1.4. Distances are those of the keyframes of the
fragment, as far as they have come; the released code looks them up in a map of the whole scan that was made before.
The frame of the volume has z up and the floor at 0: "upright".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.pose import inverse
from lira_ros.mapping.lira_volume import (
    FRUSTUM_DEPTH_M,
    OCCUPIED_BELOW,
    SIZE_VOXELS,
    TRUNCATION_M,
    VOXEL_SIZE_M,
    frustum_bounds,
    volume_origin,
)


@dataclass(frozen=True)
class View:
    """A keyframe in the upright frame: depth_m (H, W) float32 [m], 0 = invalid, color (H, W, 3) uint8 RGB, its pose."""

    depth_m: NDArray[np.float32]
    color: NDArray[np.uint8]
    camera: Camera
    T_upright_camera: NDArray[np.float64]


@dataclass(frozen=True)
class FragmentVolume:
    """The N voxels near a surface, in the order x, y, z; voxel v of the map is centred at v * 4 cm.

    origin_voxels: (3,) int64, the voxel at index 0, 0, 0. coordinates: (N, 3) int64 in 0..95. tsdf: (N,) float32 in
    units of 0.12 m. normals: (N, 3) float32 of unit length out of the surface; 0, 0, 0 where the distances around a
    voxel do not tell.
    """

    origin_voxels: NDArray[np.int64]
    coordinates: NDArray[np.int64]
    tsdf: NDArray[np.float32]
    normals: NDArray[np.float32]

    @property
    def points_m(self) -> NDArray[np.float64]:
        """Return the (N, 3) places of the voxels in the upright frame [m]."""
        return np.asarray((self.coordinates + self.origin_voxels) * VOXEL_SIZE_M, dtype=np.float64)


def near_depth(depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return depth [m] without what LIRA takes for too far (3 m)."""
    return np.where(depth_m > np.float32(FRUSTUM_DEPTH_M), np.float32(0.0), depth_m)


def fragment_volume(views: Sequence[View]) -> FragmentVolume:
    """Fuse the depth of views into the cube that LIRA's rule places around them.

    Each view counts the same: distance along its optical axis at the nearest pixel, cut at 0.12 m; what lies farther
    than that behind the depth was not seen. Raises ValueError without views.
    """
    poses = np.array([view.T_upright_camera for view in views]).reshape(-1, 4, 4)
    origin = volume_origin(*frustum_bounds([view.camera for view in views], poses))
    shape = (SIZE_VOXELS,) * 3
    total, count = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    for view in views:
        camera = view.camera
        _integrate(
            np.ascontiguousarray(near_depth(view.depth_m)),
            np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
            inverse(view.T_upright_camera),
            origin.astype(np.float64) * VOXEL_SIZE_M,
            total,
            count,
        )
    seen = count > 0
    tsdf = np.divide(total, count, out=np.ones_like(total), where=seen)
    # Of one layout, whatever their number, so that the loop is compiled once.
    coordinates = np.ascontiguousarray(np.argwhere(seen & (np.abs(tsdf) < OCCUPIED_BELOW)))
    normals = np.empty((len(coordinates), 3), dtype=np.float32)
    _normals(tsdf, seen, coordinates, normals)
    return FragmentVolume(origin, coordinates, tsdf[tuple(coordinates.T)], normals)


@numba.njit(nogil=True, cache=True)
def _integrate(
    depth_m: NDArray[np.float32],
    k: NDArray[np.float64],
    t: NDArray[np.float64],
    origin_m: NDArray[np.float64],
    total: NDArray[np.float32],
    count: NDArray[np.float32],
) -> None:
    height, width = depth_m.shape
    for i in range(SIZE_VOXELS):
        x = origin_m[0] + i * VOXEL_SIZE_M
        for j in range(SIZE_VOXELS):
            y = origin_m[1] + j * VOXEL_SIZE_M
            a0 = t[0, 0] * x + t[0, 1] * y + t[0, 3]
            a1 = t[1, 0] * x + t[1, 1] * y + t[1, 3]
            a2 = t[2, 0] * x + t[2, 1] * y + t[2, 3]
            for n in range(SIZE_VOXELS):
                z = origin_m[2] + n * VOXEL_SIZE_M
                depth = a2 + t[2, 2] * z
                if depth <= 0.0 or depth > FRUSTUM_DEPTH_M + TRUNCATION_M:
                    continue
                u = math.floor(k[0] * (a0 + t[0, 2] * z) / depth + k[2] + 0.5)
                v = math.floor(k[1] * (a1 + t[1, 2] * z) / depth + k[3] + 0.5)
                if u < 0 or v < 0 or u >= width or v >= height:
                    continue
                measured = depth_m[int(v), int(u)]
                signed = measured - depth
                if measured == 0.0 or signed < -TRUNCATION_M:
                    continue
                total[i, j, n] += min(1.0, signed / TRUNCATION_M)
                count[i, j, n] += 1.0


@numba.njit(nogil=True, cache=True)
def _normals(
    tsdf: NDArray[np.float32], seen: NDArray[np.bool_], coordinates: NDArray[np.int64], normals: NDArray[np.float32]
) -> None:
    slope = np.zeros(3)
    place = np.zeros(3, dtype=np.int64)
    for row in range(len(coordinates)):
        for axis in range(3):
            ends = np.zeros(2)
            reach = 0
            for side in range(2):
                place[:] = coordinates[row]
                place[axis] += 2 * side - 1
                if 0 <= place[axis] < SIZE_VOXELS and seen[place[0], place[1], place[2]]:
                    reach += 1
                else:
                    place[:] = coordinates[row]
                ends[side] = tsdf[place[0], place[1], place[2]]
            slope[axis] = (ends[1] - ends[0]) / reach if reach > 0 else 0.0
        length = math.sqrt(slope[0] ** 2 + slope[1] ** 2 + slope[2] ** 2)
        for axis in range(3):
            normals[row, axis] = slope[axis] / length if length > 0.0 else 0.0
