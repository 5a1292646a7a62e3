"""Choose the frames that are worth reasoning about, by motion (LIRA, section 1.2 of its specification)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.pose import motion_between


class KeyframeSelector:
    """Decide which frames become keyframes and count them from 1 without gaps."""

    def __init__(self, angle_deg: float, distance_m: float) -> None:
        """Set the motion since the last keyframe of which either part, when exceeded, makes another one."""
        self.angle_deg = angle_deg
        self.distance_m = distance_m
        self.last_id = 0
        self._T_map_last: NDArray[np.float64] | None = None

    def select(self, T_map_camera: NDArray[np.float64]) -> int | None:
        """Return the id of the new keyframe, or None when the camera (4, 4) has not moved enough; the first always."""
        if self._T_map_last is not None:
            angle_deg, distance_m = motion_between(self._T_map_last, T_map_camera)
            if angle_deg <= self.angle_deg and distance_m <= self.distance_m:
                return None
        self._T_map_last = T_map_camera.copy()
        self.last_id += 1
        return self.last_id

    def restart(self, last_id: int = 0) -> None:
        """Take the next frame as a keyframe whatever the motion, counting on from ``last_id``."""
        self._T_map_last = None
        self.last_id = last_id
