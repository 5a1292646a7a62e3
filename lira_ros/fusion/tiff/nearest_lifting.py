"""Which pixel of a keyframe each voxel of a fragment takes its value from, by LIRA's rule.

Depth, masks and features are looked at on a grid of 160 x 120 pixels. A voxel in view takes the value of the pixel
whose un-projected depth is nearest to it, if that is nearer than one voxel; this is the test of occlusion as well
(section 3 of the description). The released code compares every voxel with every pixel. Here only pixels are looked
at onto which a point so near can project, in the same order and with the same arithmetic: the same pixels are found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.tiff.fragment_volume import View, near_depth
from lira_ros.geometry.pose import inverse
from lira_ros.mapping.lira_volume import VOXEL_SIZE_M

Sample = TypeVar("Sample", bound=np.generic)

# LIRA, section 3: the grid, the least number of its pixels with depth, and how near a voxel's pixel must be.
GRID_WIDTH_PX, GRID_HEIGHT_PX = 160, 120
LEAST_DEPTH_PIXELS = 50
REACH_M = VOXEL_SIZE_M
NOT_SEEN = -1
# The search looks this much farther than the reach, so that rounding never hides a pixel from the exact comparison.
_SEARCH_M = 1.01 * REACH_M


def grid_sample(image: NDArray[Sample]) -> NDArray[Sample]:
    """Return an image (H, W, ...) at the pixels of the grid, (120, 160, ...): the nearest at or before each."""
    rows = np.arange(GRID_HEIGHT_PX) * image.shape[0] // GRID_HEIGHT_PX
    columns = np.arange(GRID_WIDTH_PX) * image.shape[1] // GRID_WIDTH_PX
    return np.ascontiguousarray(image[rows[:, None], columns[None]])


@dataclass(frozen=True)
class GridView:
    """The depth of a view on the grid.

    depth_m: (120, 160) float32 [m] up to 3 m, 0 = invalid. intrinsics: fx, fy, cx, cy in pixels of the grid.
    points_m: (120, 160, 3) float64, its un-projected pixels in the upright frame. T_camera_upright: (4, 4).
    """

    depth_m: NDArray[np.float32]
    intrinsics: NDArray[np.float64]
    points_m: NDArray[np.float64]
    T_camera_upright: NDArray[np.float64]

    @classmethod
    def of(cls, view: View) -> GridView:
        """Return the view on the grid; pixels are picked, so the intrinsics are divided without a shift."""
        depth = near_depth(grid_sample(view.depth_m))
        camera = view.camera
        across, down = GRID_WIDTH_PX / camera.width_px, GRID_HEIGHT_PX / camera.height_px
        fx, fy, cx, cy = camera.fx * across, camera.fy * down, camera.cx * across, camera.cy * down
        v, u = np.mgrid[0:GRID_HEIGHT_PX, 0:GRID_WIDTH_PX]
        d = depth.astype(np.float64)
        in_camera = np.stack(((u - cx) / fx * d, (v - cy) / fy * d, d), axis=-1)
        T = view.T_upright_camera
        points = in_camera @ T[:3, :3].T + T[:3, 3]
        return cls(depth, np.array([fx, fy, cx, cy]), np.ascontiguousarray(points), inverse(T))


def nearest_pixels(points_m: NDArray[np.float64], view: GridView) -> NDArray[np.int16]:
    """Return for each of (N, 3) voxels [m] the pixel of the grid, row * 160 + column, that it takes its value from.

    NOT_SEEN for voxels out of view and for those without any un-projected pixel nearer than 4 cm; all of them in a view
    with fewer than 50 pixels of depth. Of equally near pixels the first in the order of rows and columns is taken.
    """
    pixels = np.full(len(points_m), NOT_SEEN, dtype=np.int16)
    if np.count_nonzero(view.depth_m) >= LEAST_DEPTH_PIXELS:
        _nearest_pixels(points_m, view.depth_m, view.points_m, view.intrinsics, view.T_camera_upright, pixels)
    return pixels


@numba.njit(inline="always")
def _bounds(place: float, depth: float, focal: float, centre: float, size: int) -> tuple[int, int]:
    # Pixels onto which points within the reach of a place on one axis, and of its depth, can project.
    low, high = 0, size - 1
    if depth > _SEARCH_M:
        near, far = depth - _SEARCH_M, depth + _SEARCH_M
        left, right = place - _SEARCH_M, place + _SEARCH_M
        low = max(low, math.floor(focal * (left / near if left < 0.0 else left / far) + centre))
        high = min(high, math.ceil(focal * (right / far if right < 0.0 else right / near) + centre))
    return int(low), int(high)


@numba.njit(nogil=True, cache=True)
def _nearest_pixels(
    points_m: NDArray[np.float64],
    depth_m: NDArray[np.float32],
    unprojected_m: NDArray[np.float64],
    k: NDArray[np.float64],
    t: NDArray[np.float64],
    pixels: NDArray[np.int16],
) -> None:
    height, width = depth_m.shape
    for row in range(len(points_m)):
        px, py, pz = points_m[row]
        z = t[2, 0] * px + t[2, 1] * py + t[2, 2] * pz + t[2, 3]
        if z <= 0.0:
            continue
        x = t[0, 0] * px + t[0, 1] * py + t[0, 2] * pz + t[0, 3]
        y = t[1, 0] * px + t[1, 1] * py + t[1, 2] * pz + t[1, 3]
        u = k[0] * x / z + k[2]
        v = k[1] * y / z + k[3]
        if not (0.0 <= u <= width - 1 and 0.0 <= v <= height - 1):
            continue
        u_low, u_high = _bounds(x, z, k[0], k[2], width)
        v_low, v_high = _bounds(y, z, k[1], k[3], height)
        best = np.inf
        for vv in range(v_low, v_high + 1):
            for uu in range(u_low, u_high + 1):
                d = depth_m[vv, uu]
                if d == 0.0 or abs(d - z) > _SEARCH_M:
                    continue
                dx = unprojected_m[vv, uu, 0] - px
                dy = unprojected_m[vv, uu, 1] - py
                dz = unprojected_m[vv, uu, 2] - pz
                square = dx * dx + dy * dy + dz * dz
                if square < best:
                    best = square
                    pixels[row] = vv * width + uu
        if math.sqrt(best) >= REACH_M:
            pixels[row] = NOT_SEEN
