"""Jumps of the global frame: tell them from motion, and spread them over the way on which the drift came about.

REP-105: in the local frame (odom) a robot moves without jumps but drifts; SLAM and localisation take the drift out by
changing the transform from the global frame (map) to the local one, at once. Motion never changes that transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lira_ros.geometry.pose import inverse

# TF interpolates between the transform before a jump and the one after it. SLAM publishes it at 10 Hz or more, so at
# 30 images per second two or three fall between; what goes on for longer is no jump.
LONGEST_JUMP_FRAMES = 5
# Visual and inertial odometry drifts by 0.5 to 2 % of the way (KITTI odometry benchmark, Geiger et al. 2012), wheels
# that slip by a tenth. What is more than this share of the way came about otherwise.
LARGEST_DRIFT = 0.25


class Change(Enum):
    """What became of the global frame since the last frame.

    STEADY: nothing to speak of. UNSETTLED: it may be jumping; the pose of this frame lies somewhere between and is
    not to be used. JUMPED: it has jumped, and is steady again. DRIFTING: it changes with every frame, so it is no jump.
    """

    STEADY = "steady"
    UNSETTLED = "unsettled"
    JUMPED = "jumped"
    DRIFTING = "drifting"


@dataclass(frozen=True)
class Judgement:
    """The judgement of one frame. T_new_old: (4, 4), with JUMPED where a point of the old global frame is now."""

    change: Change
    T_new_old: NDArray[np.float64] | None = None


class JumpDetector:
    """Watch T_global_local from frame to frame.

    How much it changed is measured where the camera is: a small turn about a far origin moves the map there by a lot.
    Small changes are followed, so that corrections in small steps never add up to a jump.
    """

    def __init__(self, distance_m: float, angle_deg: float) -> None:
        """Set the change between two frames of which either part, when exceeded, is a jump."""
        self._distance_m = distance_m
        self._angle_rad = np.radians(angle_deg)
        self.clear()

    def clear(self) -> None:
        """Forget everything, as for a new map."""
        self._before: NDArray[np.float64] | None = None
        self._after: NDArray[np.float64] | None = None
        self._unsettled = 0

    def judge(self, T_global_local: NDArray[np.float64], T_global_camera: NDArray[np.float64]) -> Judgement:
        """Judge the (4, 4) transforms of the next frame."""
        position_local = (inverse(T_global_local) @ T_global_camera)[:3, 3]
        if self._before is None or self._is_near(self._before, T_global_local, position_local):
            self._settle(T_global_local)
            return Judgement(Change.STEADY)
        if self._after is not None and self._is_near(self._after, T_global_local, position_local):
            T_new_old = T_global_local @ inverse(self._before)
            self._settle(T_global_local)
            return Judgement(Change.JUMPED, T_new_old)
        self._after = T_global_local
        self._unsettled += 1
        if self._unsettled > LONGEST_JUMP_FRAMES:
            self._settle(T_global_local)
            return Judgement(Change.DRIFTING)
        return Judgement(Change.UNSETTLED)

    def _settle(self, T_global_local: NDArray[np.float64]) -> None:
        self._before, self._after, self._unsettled = T_global_local, None, 0

    def _is_near(self, a: NDArray[np.float64], b: NDArray[np.float64], position_local: NDArray[np.float64]) -> bool:
        difference = (b - a)[:3]
        distance_m = float(np.linalg.norm(difference[:, :3] @ position_local + difference[:, 3]))
        angle_rad = Rotation.from_matrix(b[:3, :3].T @ a[:3, :3]).magnitude()
        return distance_m <= self._distance_m and angle_rad <= self._angle_rad


def partial_motions(T: NDArray[np.float64], fractions: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (N, 4, 4): the screw motion that leads to the rigid motion ``T`` (4, 4), done by ``fractions`` (N,).

    exp(f log T) in SE(3): about any origin the same motion, 1 is T and 0 the identity (Murray, Li and Sastry, A
    Mathematical Introduction to Robotic Manipulation, 1994, section 2.3).
    """
    turn = Rotation.from_matrix(T[:3, :3]).as_rotvec()
    translation = np.linalg.solve(_mean_rotation(turn), T[:3, 3])
    result = np.tile(np.eye(4), (len(fractions), 1, 1))
    for index, fraction in enumerate(fractions):
        result[index, :3, :3] = Rotation.from_rotvec(fraction * turn).as_matrix()
        result[index, :3, 3] = _mean_rotation(fraction * turn) @ (fraction * translation)
    return result


def _mean_rotation(turn: NDArray[np.float64]) -> NDArray[np.float64]:
    # The mean of the rotations from none to ``turn``: what a translation becomes while it is turned.
    angle = float(np.linalg.norm(turn))
    cross = np.array([[0.0, -turn[2], turn[1]], [turn[2], 0.0, -turn[0]], [-turn[1], turn[0], 0.0]])
    if angle < 1e-6:
        return np.eye(3) + 0.5 * cross
    return np.eye(3) + (1.0 - np.cos(angle)) / angle**2 * cross + (angle - np.sin(angle)) / angle**3 * cross @ cross


def can_be_drift(T_new_old: NDArray[np.float64], poses: NDArray[np.float64]) -> bool:
    """Tell whether a jump (4, 4) may be the drift of a walk past (N, 4, 4) poses; else the place was recognised."""
    if len(poses) < 2:
        return False
    positions = poses[:, :3, 3]
    way_m = float(np.linalg.norm(np.diff(positions, axis=0), axis=1).sum())
    moved = T_new_old[:3, :3] @ positions[-1] + T_new_old[:3, 3] - positions[-1]
    return float(np.linalg.norm(moved)) <= LARGEST_DRIFT * way_m


def spread_correction(T_new_old: NDArray[np.float64], poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, 4, 4) corrected poses of keyframes in the order of time: the first stays, the last gets all of it.

    T_new_old: (4, 4), where the last of ``poses`` (N, 4, 4) is found to be now. Keyframes are made after equal
    motion, so a drift that grows with motion grows by the same step with each of them; a pose graph that is one loop
    of equally certain edges has the same solution.
    """
    if len(poses) < 2:
        return poses.copy()
    return partial_motions(T_new_old, np.linspace(0.0, 1.0, len(poses))) @ poses
