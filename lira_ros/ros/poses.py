"""Where the camera was at a stamp: from TF, or from a PoseStamped or Odometry topic."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

import numpy as np
import tf2_ros
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.time import Time
from scipy.spatial.transform import Rotation, Slerp

from lira_ros.ros import qos
from lira_ros.ros.conversions.geometry import pose_from_message, transform_from_message
from lira_ros.ros.conversions.time import stamp_to_ns
from lira_ros.ros.errors import ConversionError
from lira_ros.ros.node import LiraNode

# Poses kept for interpolation: 10 s at 200 Hz, more than any delay between a pose and its image.
POSE_HISTORY = 2000
# Between two poses further apart in time than this, a hand-held camera has moved too much to interpolate.
LARGEST_GAP_NS = 500_000_000


class PoseSource(Protocol):
    """Something that knows T_map_camera at a stamp."""

    def lookup(self, camera_frame: str, stamp_ns: int) -> NDArray[np.float64] | None:
        """Return T_map_camera at a stamp, None while it cannot be known yet. Raises ConversionError."""
        ...

    def missing(self) -> str:
        """Return what was missing at the last unsuccessful lookup, in words."""
        ...

    def clear(self) -> None:
        """Forget the past; called when the clock went back."""
        ...

    def close(self) -> None:
        """Unsubscribe."""
        ...


class TransformPoses:
    """Poses from TF; also the source of fixed transforms between frames of the robot."""

    def __init__(self, node: LiraNode, map_frame: str) -> None:
        self._map_frame = map_frame
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)
        self._missing = ""

    def lookup(self, camera_frame: str, stamp_ns: int) -> NDArray[np.float64] | None:
        """Return T_map_camera at a stamp, None while TF cannot tell. Raises ConversionError for NaN in TF."""
        return self.between(self._map_frame, camera_frame, stamp_ns)

    def between(self, target: str, source: str, stamp_ns: int) -> NDArray[np.float64] | None:
        """Return T_target_source at a stamp (0: the latest), None while TF cannot tell."""
        try:
            transform = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns))
        except tf2_ros.TransformException as error:
            self._missing = f"TF from {source} to {target} at {stamp_ns / 1e9:.3f} s: {error}"
            return None
        return transform_from_message(transform, f"/tf from {source} to {target}")

    def missing(self) -> str:
        """Return which transform was missing at the last unsuccessful lookup."""
        return self._missing

    def clear(self) -> None:
        """Forget moving transforms; static ones stay (as documented for tf2::BufferCore::clear)."""
        self._buffer.clear()

    def close(self) -> None:
        """Unsubscribe from TF."""
        self._listener.unregister()


class TopicPoses:
    """Poses from a topic, interpolated at the stamp of the image.

    A PoseStamped is the pose of the camera's optical frame. An Odometry is the pose of its child_frame_id; TF knows
    the fixed transform from there to the camera.
    """

    def __init__(
        self, node: LiraNode, message_type: type, topic: str, map_frame: str, transforms: TransformPoses
    ) -> None:
        self._map_frame = map_frame
        self._transforms = transforms
        self._topic = node.resolve_topic_name(topic)
        self._lock = threading.Lock()
        self._poses: deque[tuple[int, NDArray[np.float64], str]] = deque(maxlen=POSE_HISTORY)
        self._missing = f"a pose on {self._topic}"
        node.subscribe(message_type, topic, self._received, qos.sensor_input(100))

    def _received(self, message: PoseStamped | Odometry) -> None:
        if message.header.frame_id.lstrip("/") != self._map_frame:
            raise ConversionError(
                f"{self._topic}: expected poses in the frame {self._map_frame!r} (parameter map_frame), "
                f"got {message.header.frame_id!r}"
            )
        is_odometry = isinstance(message, Odometry)
        pose = pose_from_message(message.pose.pose if is_odometry else message.pose, self._topic)
        body = message.child_frame_id.lstrip("/") if is_odometry else ""
        stamp_ns = stamp_to_ns(message.header.stamp)
        with self._lock:
            if self._poses and stamp_ns <= self._poses[-1][0]:
                newest_s = self._poses[-1][0] / 1e9
                raise ConversionError(
                    f"{self._topic}: expected a stamp after {newest_s:.3f} s, got {stamp_ns / 1e9:.3f} s"
                )
            self._poses.append((stamp_ns, pose, body))

    def lookup(self, camera_frame: str, stamp_ns: int) -> NDArray[np.float64] | None:
        """Return T_map_camera interpolated at a stamp, None until a pose at or after the stamp has arrived."""
        with self._lock:
            before = next((item for item in reversed(self._poses) if item[0] <= stamp_ns), None)
            after = next((item for item in self._poses if item[0] >= stamp_ns), None)
        if before is None or after is None or after[0] - before[0] > LARGEST_GAP_NS:
            self._missing = f"poses on {self._topic} before and after {stamp_ns / 1e9:.3f} s"
            return None
        T_map_body = _interpolated(before[1], after[1], before[0], after[0], stamp_ns)
        body = before[2]
        if body in ("", camera_frame):
            return T_map_body
        T_body_camera = self._transforms.between(body, camera_frame, 0)
        if T_body_camera is None:
            self._missing = self._transforms.missing()
            return None
        return T_map_body @ T_body_camera

    def missing(self) -> str:
        """Return what was missing at the last unsuccessful lookup."""
        return self._missing

    def clear(self) -> None:
        """Forget all poses."""
        with self._lock:
            self._poses.clear()

    def close(self) -> None:
        """Do nothing: the subscription belongs to the node and ends with its deactivation."""


def _interpolated(
    T_before: NDArray[np.float64], T_after: NDArray[np.float64], before_ns: int, after_ns: int, stamp_ns: int
) -> NDArray[np.float64]:
    if before_ns == after_ns:
        return T_before
    ratio = (stamp_ns - before_ns) / (after_ns - before_ns)
    result = np.eye(4)
    rotations = Rotation.from_matrix(np.stack([T_before[:3, :3], T_after[:3, :3]]))
    result[:3, :3] = Slerp([0.0, 1.0], rotations)(ratio).as_matrix()
    result[:3, 3] = (1.0 - ratio) * T_before[:3, 3] + ratio * T_after[:3, 3]
    return result


@dataclass(frozen=True)
class _Held:
    camera_frame: str
    stamp_ns: int
    since_s: float
    item: Any


class FrameGate:
    """Hold frames, in order, until their pose can be known; bounded in time and in number.

    ``deliver(item, T_map_camera)`` gets each frame with its pose. ``drop(text)`` is told of each frame that waited
    longer than ``timeout_s`` of real time, that made the gate too full, or whose pose is impossible. Plain Python,
    used by one thread.
    """

    def __init__(
        self,
        source: PoseSource,
        capacity: int,
        timeout_s: float,
        deliver: Callable[[Any, NDArray[np.float64]], None],
        drop: Callable[[str], None],
    ) -> None:
        self._source = source
        self._capacity = capacity
        self._timeout_s = timeout_s
        self._deliver = deliver
        self._drop = drop
        self._held: deque[_Held] = deque()

    def __len__(self) -> int:
        return len(self._held)

    def add(self, camera_frame: str, stamp_ns: int, item: Any) -> None:
        """Add a frame and let pass what can pass."""
        if len(self._held) >= self._capacity:
            oldest = self._held.popleft()
            self._drop(
                f"the frame of {oldest.stamp_ns / 1e9:.3f} s was dropped: {self._capacity} frames wait for "
                f"{self._source.missing()}"
            )
        self._held.append(_Held(camera_frame, stamp_ns, monotonic(), item))
        self.advance()

    def advance(self) -> None:
        """Deliver the frames whose pose is known by now, and drop those that waited too long."""
        while self._held:
            head = self._held[0]
            try:
                pose = self._source.lookup(head.camera_frame, head.stamp_ns)
            except ConversionError as error:
                self._held.popleft()
                self._drop(f"the frame of {head.stamp_ns / 1e9:.3f} s was dropped: {error}")
                continue
            if pose is not None:
                self._held.popleft()
                self._deliver(head.item, pose)
            elif monotonic() - head.since_s > self._timeout_s:
                self._held.popleft()
                self._drop(
                    f"the frame of {head.stamp_ns / 1e9:.3f} s was dropped: waited {self._timeout_s:g} s for "
                    f"{self._source.missing()}"
                )
            else:
                return

    def clear(self) -> None:
        """Forget all held frames."""
        self._held.clear()
