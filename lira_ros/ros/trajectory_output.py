"""Where the camera was: the pose of each mapped frame, and the way of the keyframes as a path."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from numpy.typing import NDArray
from std_msgs.msg import Header

from lira_ros.geometry.frame import Frame
from lira_ros.ros import qos
from lira_ros.ros.conversions.geometry import pose_to_message
from lira_ros.ros.conversions.time import stamp_from_ns
from lira_ros.ros.node import LiraNode

PATH_PERIOD_S = 1.0
PATH_LENGTH = 5000  # poses: the last 500 m at one keyframe for each 0.1 m


class TrajectoryOutput:
    """Publishes pose and trajectory; used in the worker thread."""

    def __init__(self, node: LiraNode, frame_id: str) -> None:
        self._frame_id = frame_id
        self._pose = node.publish_on(PoseStamped, "pose", qos.stream(10))
        self._path = node.publish_on(Path, "trajectory", qos.latched())
        self._path_s = float("-inf")
        self.clear()
        self._changed = False

    def clear(self) -> None:
        """Start another path; whoever was shown the old one is told."""
        self.path = Path(header=Header(frame_id=self._frame_id))
        self._keyframe_ids: list[int] = []
        self._changed = True

    def withdraw(self) -> None:
        """Show no path any more."""
        self.clear()
        self._path.publish(self.path)

    def add(self, frame: Frame, keyframe_id: int | None) -> None:
        """Publish the pose of a frame; that of a keyframe becomes part of the path."""
        message = PoseStamped(pose=pose_to_message(frame.T_map_camera))
        message.header = Header(frame_id=self._frame_id, stamp=stamp_from_ns(frame.stamp_ns))
        self._pose.publish(message)
        if keyframe_id is not None:
            self.path.header = message.header
            self.path.poses.append(message)
            self._keyframe_ids.append(keyframe_id)
            del self.path.poses[:-PATH_LENGTH], self._keyframe_ids[:-PATH_LENGTH]
            self._changed = True

    def correct(self, keyframe_poses: Mapping[int, NDArray[np.float64]]) -> None:
        """Give the keyframes of the path their corrected (4, 4) poses."""
        for keyframe_id, message in zip(self._keyframe_ids, self.path.poses, strict=True):
            if keyframe_id in keyframe_poses:
                message.pose = pose_to_message(keyframe_poses[keyframe_id])
        self._changed = True

    def publish(self) -> None:
        """Publish the path when it changed, is due and somebody listens."""
        now_s = time.monotonic()
        if self._changed and now_s - self._path_s >= PATH_PERIOD_S and self._path.get_subscription_count() > 0:
            self._path_s, self._changed = now_s, False
            self._path.publish(self.path)
