"""The pinhole camera: intrinsics, projection and back-projection.

Axes are those of an optical frame (REP-103): x right, y down, z forward. Pixel centres are at
integer coordinates (OpenCV, ROS): the centre of the first pixel is (0, 0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Camera:
    """Intrinsics of a rectified pinhole camera, in pixels. Raises ValueError for impossible values."""

    width_px: int
    height_px: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        """Check that size and focal lengths are positive and everything is finite."""
        if self.width_px <= 0 or self.height_px <= 0:
            raise ValueError(f"camera: image size must be positive, got {self.width_px} x {self.height_px}")
        for name in ("fx", "fy", "cx", "cy"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"camera: {name} must be finite, got {getattr(self, name)}")
        if self.fx <= 0 or self.fy <= 0:
            raise ValueError(f"camera: focal lengths must be positive, got fx={self.fx}, fy={self.fy}")

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Return the (3, 3) intrinsic matrix K."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def scaled(self, width_px: int, height_px: int) -> Camera:
        """Return the camera of the same view resized to another image size (pixel edges stay aligned)."""
        sx, sy = width_px / self.width_px, height_px / self.height_px
        return Camera(
            width_px,
            height_px,
            self.fx * sx,
            self.fy * sy,
            (self.cx + 0.5) * sx - 0.5,
            (self.cy + 0.5) * sy - 0.5,
        )

    def unproject(self, depth_m: NDArray[np.floating]) -> NDArray[np.float32]:
        """Back-project a (H, W) depth image [m] to (H, W, 3) camera points; invalid depth (0) gives 0, 0, 0."""
        if depth_m.shape != (self.height_px, self.width_px):
            raise ValueError(
                f"depth: expected shape {(self.height_px, self.width_px)} of the camera, got {depth_m.shape}"
            )
        x = ((np.arange(self.width_px) - self.cx) / self.fx).astype(np.float32)
        y = ((np.arange(self.height_px) - self.cy) / self.fy).astype(np.float32)
        depth = depth_m.astype(np.float32, copy=False)
        return np.stack([x[None, :] * depth, y[:, None] * depth, depth], axis=-1)

    def project(self, points_camera: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Project (N, 3) camera points [m] to (N, 2) pixel coordinates (x, y) and (N,) depth z [m].

        Pixels of points with z <= 0 are NaN.
        """
        points = np.asarray(points_camera, dtype=np.float64)
        z = points[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            pixels = np.stack([self.fx * points[:, 0] / z + self.cx, self.fy * points[:, 1] / z + self.cy], axis=-1)
        pixels[z <= 0] = np.nan
        return pixels, z
