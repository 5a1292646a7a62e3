"""Registration of depth to colour: the depth image as the colour camera would have measured it."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera

# Neighbouring footprints of a slanted surface leave cracks of a fraction of a pixel between them; below half a pixel
# an image that is registered already stays exactly as it is.
OVERLAP_PX = 0.2


@numba.njit(nogil=True, cache=True)
def _splat(
    depth_m: NDArray[np.float32],
    fx_d: float,
    fy_d: float,
    cx_d: float,
    cy_d: float,
    fx: float,
    fy: float,
    cx: float,
    cy: float,
    T: NDArray[np.float64],
    result: NDArray[np.float32],
) -> None:
    height, width = result.shape
    for row in range(depth_m.shape[0]):
        for column in range(depth_m.shape[1]):
            z_d = float(depth_m[row, column])
            if z_d <= 0.0:
                continue
            # The footprint of a pixel: two opposite corners at its depth, seen from the colour camera.
            u_low = v_low = math.inf
            u_high = v_high = -math.inf
            for corner in range(2):
                x_d = (column - 0.5 + corner - cx_d) / fx_d * z_d
                y_d = (row - 0.5 + corner - cy_d) / fy_d * z_d
                z = T[2, 0] * x_d + T[2, 1] * y_d + T[2, 2] * z_d + T[2, 3]
                if z <= 0.0:
                    u_low = math.inf
                    break
                u = fx * (T[0, 0] * x_d + T[0, 1] * y_d + T[0, 2] * z_d + T[0, 3]) / z + cx
                v = fy * (T[1, 0] * x_d + T[1, 1] * y_d + T[1, 2] * z_d + T[1, 3]) / z + cy
                u_low, u_high = min(u_low, u), max(u_high, u)
                v_low, v_high = min(v_low, v), max(v_high, v)
            if u_low == math.inf:
                continue
            if u_high < 0.0 or v_high < 0.0 or u_low > width - 1 or v_low > height - 1:
                continue
            x_c, y_c = (column - cx_d) / fx_d * z_d, (row - cy_d) / fy_d * z_d
            z_center = np.float32(T[2, 0] * x_c + T[2, 1] * y_c + T[2, 2] * z_d + T[2, 3])
            # All pixels whose centre lies in the footprint.
            for v_px in range(max(0, math.ceil(v_low - OVERLAP_PX)), min(height, math.ceil(v_high + OVERLAP_PX))):
                for u_px in range(max(0, math.ceil(u_low - OVERLAP_PX)), min(width, math.ceil(u_high + OVERLAP_PX))):
                    known = result[v_px, u_px]
                    if known == 0.0 or z_center < known:
                        result[v_px, u_px] = z_center


def registered_depth(
    depth_m: NDArray[np.float32], depth_camera: Camera, color_camera: Camera, T_color_depth: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Reproject a depth image into the colour camera; the nearest surface wins, 0 where nothing was measured.

    depth_m: (H, W) float32 [m] of ``depth_camera``, 0 = invalid. T_color_depth: (4, 4), maps points of the depth
    camera into the colour camera. Returns (H', W') float32 [m] of ``color_camera``. Each depth pixel fills the
    rectangle that its footprint covers, so that a colour image of higher resolution gets no holes (the method of
    librealsense's align). Raises ValueError when depth_m does not have the size of its camera.
    """
    if depth_m.shape != (depth_camera.height_px, depth_camera.width_px):
        raise ValueError(
            f"depth: expected shape {(depth_camera.height_px, depth_camera.width_px)} of its camera, "
            f"got {depth_m.shape}"
        )
    result = np.zeros((color_camera.height_px, color_camera.width_px), dtype=np.float32)
    _splat(
        np.ascontiguousarray(depth_m, dtype=np.float32),
        depth_camera.fx,
        depth_camera.fy,
        depth_camera.cx,
        depth_camera.cy,
        color_camera.fx,
        color_camera.fy,
        color_camera.cx,
        color_camera.cy,
        np.ascontiguousarray(T_color_depth, dtype=np.float64),
        result,
    )
    return result
