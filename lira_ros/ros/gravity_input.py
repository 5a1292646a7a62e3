"""Gravity in: from an IMU or from a frame of TF whose z axis is up, where the parameter mapping.up asks for it."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
from sensor_msgs.msg import Imu

from lira_ros.geometry.gravity import GravityEstimator
from lira_ros.ros import qos
from lira_ros.ros.conversions.time import stamp_to_ns
from lira_ros.ros.errors import ConversionError
from lira_ros.ros.node import LiraNode
from lira_ros.ros.poses import TransformPoses

# Measurements that wait for their transform: a second of an IMU at 400 Hz.
IMU_QUEUE = 400
IMU_TIMEOUT_S = 1.0
ADVANCE_PERIOD_S = 0.05
# A frame in TF that is up does not move; a SLAM that learns its own gravity corrects it now and then.
TRANSFORM_PERIOD_S = 1.0


class GravityInput:
    """Feeds one estimator of gravity; used in the worker thread but for the subscription."""

    def __init__(self, node: LiraNode, up: str, map_frame: str, gravity_frame: str) -> None:
        """Take the value of mapping.up: only "imu" and "tf" need anything."""
        self._node = node
        self._up = up
        self._map_frame = map_frame
        self._gravity_frame = gravity_frame
        self._gravity: GravityEstimator | None = None
        self._transforms: TransformPoses | None = None
        self._waiting: deque[tuple[float, Imu]] = deque(maxlen=IMU_QUEUE)
        self._missing = ""
        if up == "imu":
            node.worker.add_queue("imu", self._take, IMU_QUEUE)
            node.worker.add_periodic("imu", ADVANCE_PERIOD_S, self._advance)
        elif up == "tf":
            node.worker.add_periodic("gravity", TRANSFORM_PERIOD_S, self._look_up)

    def open(self, gravity: GravityEstimator, transforms: TransformPoses) -> None:
        """Subscribe."""
        self._gravity, self._transforms = gravity, transforms
        if self._up == "imu":
            self._node.subscribe(
                Imu, "imu", lambda message: self._node.worker.put("imu", message), qos.sensor_input(IMU_QUEUE)
            )

    def close(self) -> None:
        """Forget what waits."""
        self._transforms = None
        self._node.worker.submit(self._waiting.clear)

    def missing(self) -> list[str]:
        """Return what is missing, in words."""
        return [self._missing] if self._missing else []

    def _take(self, message: Imu) -> None:
        if self._gravity is not None and not self._gravity.is_frozen:
            self._waiting.append((time.monotonic(), message))

    def _advance(self) -> None:
        while self._waiting and self._transforms is not None and self._gravity is not None:
            since_s, message = self._waiting[0]
            topic = self._node.resolve_topic_name("imu")
            frame = message.header.frame_id.lstrip("/")
            stamp_ns = stamp_to_ns(message.header.stamp)
            T_map_imu = self._transforms.between(self._map_frame, frame, stamp_ns) if frame else None
            if T_map_imu is None:
                if time.monotonic() - since_s < IMU_TIMEOUT_S:
                    return
                self._missing = f"{topic}: {self._transforms.missing()}" if frame else f"{topic}: a frame_id"
                self._node.statistics.count("imu without transform")
                self._waiting.popleft()
                continue
            self._missing = ""
            self._waiting.popleft()
            try:
                self._add(message, T_map_imu, stamp_ns)
            except ValueError as error:
                raise ConversionError(f"{topic}: {error}") from error

    def _add(self, message: Imu, T_map_imu: np.ndarray, stamp_ns: int) -> None:
        assert self._gravity is not None
        orientation = np.array([getattr(message.orientation, axis) for axis in "xyzw"])
        # REP-145 and sensor_msgs/Imu: -1 in the first element says "not measured". Drivers without a filter also leave
        # zeros, or the identity without any covariance.
        measured = message.orientation_covariance[0] != -1 and orientation.any()
        if measured and (any(message.orientation_covariance) or abs(orientation[3]) != 1.0):
            self._gravity.add_orientation(orientation, T_map_imu, stamp_ns)
        elif message.linear_acceleration_covariance[0] != -1:
            force, turn = message.linear_acceleration, message.angular_velocity
            acceleration_map = T_map_imu[:3, :3] @ np.array([force.x, force.y, force.z])
            known = message.angular_velocity_covariance[0] != -1
            self._gravity.add_acceleration(acceleration_map, stamp_ns, (turn.x, turn.y, turn.z) if known else None)
        else:
            raise ConversionError("expected an orientation or a linear acceleration, got neither (covariance -1)")

    def _look_up(self) -> None:
        if self._transforms is None or self._gravity is None:
            return
        T_map_level = self._transforms.between(self._map_frame, self._gravity_frame, 0)
        if T_map_level is None:
            self._missing = f"{self._transforms.missing()} (parameter gravity_frame)"
            return
        self._missing = ""
        self._gravity.set_direction(T_map_level[:3, 2])
