"""Frame and Keyframe: what the camera saw, with the pose from where it saw it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.pose import checked_transform


@dataclass(frozen=True)
class Frame:
    """One registered RGB-D image with its pose.

    stamp_ns: sensor stamp [ns]. color: (H, W, 3) uint8 RGB. depth_m: (H, W) float32 [m] along the optical
    axis, 0 = invalid. T_map_camera: (4, 4) float64, maps camera points into the map frame. camera_name: which camera
    took it, its optical frame in ROS; frames of several cameras need one each.
    Raises ValueError that names the field when a shape, dtype or value is impossible.
    """

    stamp_ns: int
    color: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    camera: Camera
    T_map_camera: NDArray[np.float64]
    camera_name: str = ""

    def __post_init__(self) -> None:
        """Check shapes against the camera, dtypes, depth values and the pose."""
        size = (self.camera.height_px, self.camera.width_px)
        if self.color.shape != (*size, 3) or self.color.dtype != np.uint8:
            raise ValueError(
                f"color: expected {(*size, 3)} uint8 of the camera, got {self.color.shape} {self.color.dtype}"
            )
        if self.depth_m.shape != size or self.depth_m.dtype != np.float32:
            raise ValueError(
                f"depth_m: expected {size} float32 of the camera, got {self.depth_m.shape} {self.depth_m.dtype}"
            )
        if not np.isfinite(self.depth_m).all() or float(self.depth_m.min()) < 0:
            raise ValueError("depth_m: must be finite and not negative (0 = invalid)")
        object.__setattr__(self, "T_map_camera", checked_transform(self.T_map_camera, "T_map_camera"))


@dataclass(frozen=True)
class Keyframe:
    """A frame that was chosen for reasoning.

    id: counted from 1 without gaps. up: (3,) float64 unit vector against gravity in the map frame.
    floor_height_m: height of the floor along ``up`` from the map origin, NaN while it is not known.
    """

    id: int
    frame: Frame
    up: NDArray[np.float64]
    floor_height_m: float

    def __post_init__(self) -> None:
        """Check the id and that ``up`` is a unit vector."""
        if self.id < 1:
            raise ValueError(f"keyframe id: must be at least 1, got {self.id}")
        up = np.asarray(self.up, dtype=np.float64)
        if up.shape != (3,) or abs(float(np.linalg.norm(up)) - 1.0) > 1e-6:
            raise ValueError(f"keyframe up: expected a unit vector of shape (3,), got {self.up}")
        object.__setattr__(self, "up", up)
