"""The direction against gravity from an inertial measurement unit (IMU)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lira_ros.geometry.pose import from_quaternion

STANDARD_GRAVITY_MPS2 = 9.80665  # CGPM 1901; on earth it differs by at most 0.3 %
# An accelerometer that moves measures more than gravity. 5 % leaves room for the local gravity and the usual bias.
STILL_TOLERANCE = 0.05
# Turning faster than this, an IMU off the axis of rotation and a pose that is late by a frame both mislead.
STILL_TURN_RAD_S = 0.2
# A quarter of a second of a 200 Hz IMU, over half a second: one good moment is not enough.
READY_SAMPLES = 50
READY_SPAN_S = 0.5
# Ten seconds of stillness at 200 Hz: what is left is bias, which more samples do not take away.
SETTLED_SAMPLES = 2000


def up_from_orientation(orientation_xyzw: ArrayLike, T_map_imu: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (3,) unit vector against gravity in the map from the orientation that an IMU reports.

    orientation_xyzw: the IMU in a world frame with z up (REP-145, sensor_msgs/Imu). T_map_imu: (4, 4) at its stamp.
    Raises ValueError for a quaternion that is not finite or not of unit length, as that of a driver without a filter.
    """
    R_world_imu = from_quaternion(np.zeros(3), orientation_xyzw, "IMU orientation")[:3, :3]
    up = np.asarray(T_map_imu, dtype=np.float64)[:3, :3] @ R_world_imu[2]
    return up / np.linalg.norm(up)


class GravityFromImu:
    """Average what an accelerometer measures while it is still: it is pushed upwards by as much as gravity pulls.

    The samples are given in the map frame, where gravity stays the same however the IMU is turned.
    """

    def __init__(self) -> None:
        self._sum = np.zeros(3)
        self._first_ns = 0
        self._last_ns: int | None = None
        self.accepted = 0
        self.rejected = {"old": 0, "invalid": 0, "accelerated": 0, "turning": 0}

    @property
    def up(self) -> NDArray[np.float64] | None:
        """Return the (3,) unit vector against gravity in the map frame, None until enough was measured."""
        if self._last_ns is None or self.accepted < READY_SAMPLES:
            return None
        length = float(np.linalg.norm(self._sum))
        if (self._last_ns - self._first_ns) * 1e-9 < READY_SPAN_S or length == 0.0:
            return None
        return self._sum / length

    @property
    def is_settled(self) -> bool:
        """Return whether more samples will not change the direction by much."""
        return self.accepted >= SETTLED_SAMPLES and self.up is not None

    def add_acceleration(
        self, acceleration_map: ArrayLike, stamp_ns: int, angular_velocity_rad_s: ArrayLike | None = None
    ) -> bool:
        """Take one sample into account and return whether it was used.

        acceleration_map: (3,) specific force turned into the map frame [m/s^2], as sensor_msgs/Imu has it (an IMU at
        rest measures +9.81 upwards). angular_velocity_rad_s: (3,), in any frame. Samples out of order, not finite,
        of another length than gravity, or taken while turning fast are counted in ``rejected``.
        """
        acceleration = np.asarray(acceleration_map, dtype=np.float64)
        turn = np.zeros(3) if angular_velocity_rad_s is None else np.asarray(angular_velocity_rad_s, dtype=np.float64)
        if acceleration.shape != (3,) or not (np.isfinite(acceleration).all() and np.isfinite(turn).all()):
            return self._reject("invalid")
        if abs(float(np.linalg.norm(acceleration)) / STANDARD_GRAVITY_MPS2 - 1.0) > STILL_TOLERANCE:
            return self._reject("accelerated")
        if float(np.linalg.norm(turn)) > STILL_TURN_RAD_S:
            return self._reject("turning")
        return self._add(acceleration / STANDARD_GRAVITY_MPS2, stamp_ns)

    def add_direction(self, up_map: ArrayLike, stamp_ns: int) -> bool:
        """Take a (3,) direction that the IMU's own filter found (up_from_orientation()); return whether it was used."""
        up = np.asarray(up_map, dtype=np.float64)
        if up.shape != (3,) or not np.isfinite(up).all() or abs(float(np.linalg.norm(up)) - 1.0) > STILL_TOLERANCE:
            return self._reject("invalid")
        return self._add(up, stamp_ns)

    def turn(self, rotation: NDArray[np.float64]) -> None:
        """Go along when the map frame is turned by ``rotation`` (3, 3)."""
        self._sum = rotation @ self._sum

    def _add(self, up: NDArray[np.float64], stamp_ns: int) -> bool:
        if self._last_ns is not None and stamp_ns <= self._last_ns:
            return self._reject("old")
        if self._last_ns is None:
            self._first_ns = stamp_ns
        self._last_ns = stamp_ns
        self._sum += up
        self.accepted += 1
        return True

    def _reject(self, reason: str) -> bool:
        self.rejected[reason] += 1
        return False
