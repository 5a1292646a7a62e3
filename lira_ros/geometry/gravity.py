"""Which way is up, and how high is the floor: from parameters, an IMU, TF, or from what the camera sees."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.depth import normals_camera
from lira_ros.geometry.frame import Frame
from lira_ros.geometry.ground import GroundPlane, HeightHistogram
from lira_ros.geometry.inertial import READY_SAMPLES, SETTLED_SAMPLES, GravityFromImu, up_from_orientation

UP_AXES: dict[str, NDArray[np.float64]] = {
    sign + name: (1.0 if sign == "+" else -1.0) * np.eye(3)[axis]
    for axis, name in enumerate("xyz")
    for sign in ("+", "-")
}
UP_CHOICES = ("auto", *UP_AXES, "imu", "tf")

# Maps are built gravity-aligned by almost every SLAM, so a nearby axis is the truth and the difference is noise.
SNAP_DEG = 8.0
# An accelerometer without calibration is off by up to 70 mg (zero-g offset of the BMI055 in RealSense cameras).
IMU_SNAP_DEG = 4.0
# Smaller changes of a measured direction are its noise; each larger one means to count the floor anew.
_NEWS_DEG = 0.2
# Keyframes of 0.1 m or 15 degrees each: after 20 of them the camera has looked around.
FREEZE_AFTER_KEYFRAMES = 20

# Cameras on heads, hands and robots roll little and look ahead or down; both only choose between the planes seen.
_ROLL_DEG = 10.0
_PITCH_MEAN_DEG = 20.0
_PITCH_DEG = 35.0
_WIDEST_PITCH_DEG = 75.0
# Support of a direction by single normals: planes along it, and walls across it, at the noise of a depth normal.
_PLANE_DEG = 6.0
_WALL_SHARE = 0.3
_CANDIDATE_SPACING_DEG = 3.0
_REFINEMENTS_DEG = (10.0, 6.0, 4.0)
# Planes and walls with fewer normals than this share of all say nothing.
_LEAST_SHARE = 0.02

# Keyframes are reduced to about this many rows before normals are estimated.
_ROWS = 64
# Of these the direction is found from few, and the floor from more while the direction may still change.
_NORMALS_PER_KEYFRAME = 100
_SAMPLES_PER_KEYFRAME = 2000
_MOST_NORMALS = 500
_FARTHEST_M = 6.0

# A surface is level when its normal is this close to up.
_UPWARD_DEG = 15.0


def _angle_cosine(degrees: float) -> float:
    return float(np.cos(np.radians(degrees)))


def _half_sphere(around: NDArray[np.float64]) -> NDArray[np.float64]:
    # Directions about evenly spaced (Fibonacci lattice) within the widest pitch of `around`.
    count = int(4 * np.pi / np.radians(_CANDIDATE_SPACING_DEG) ** 2)
    z = 1.0 - (2.0 * np.arange(count) + 1.0) / count
    turn = np.arange(count) * np.pi * (3.0 - np.sqrt(5.0))
    radius = np.sqrt(1.0 - z * z)
    directions = np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1)
    return directions[directions @ around > _angle_cosine(_WIDEST_PITCH_DEG)]


@dataclass(frozen=True)
class _Sample:
    """What one keyframe says of the floor: points relative to the first camera, normals in the map, areas [m^2]."""

    points: NDArray[np.float32]
    normals: NDArray[np.float32]
    areas: NDArray[np.float32]

    def thinned(self, count: int) -> _Sample:
        every = max(1, len(self.points) // count)
        return _Sample(self.points[::every], self.normals[::every], self.areas[::every] * np.float32(every))

    def turned(self, rotation: NDArray[np.float64]) -> _Sample:
        turn = rotation.T.astype(np.float32)
        return _Sample(self.points @ turn, self.normals @ turn, self.areas)


class GravityEstimator:
    """Estimate the direction against gravity and the height of the floor along it, keyframe by keyframe.

    The direction comes from one source, chosen by ``up``:

    - a signed axis of the map: it is that, for good;
    - "imu": the average of an accelerometer at rest, see add_acceleration() and add_orientation(); set to a coordinate
      axis of the map within IMU_SNAP_DEG, and kept after ten seconds of stillness;
    - "tf": the z axis of a fixed frame known to have z up, see set_direction();
    - "auto": the one that most planes seen lie across and most walls stand along, among those for which the cameras
      were held about level. It is refined over the first keyframes, set to a coordinate axis of the map when it is
      within SNAP_DEG of one, and then kept. "imu" and "tf" go by it as well until they have been told.

    The floor is the lowest level surface of some size with nothing below it, see HeightHistogram.
    """

    def __init__(self, up: str = "auto") -> None:
        """Take the direction from one of UP_CHOICES; ValueError for anything else."""
        if up not in UP_CHOICES:
            raise ValueError(f"up: {up!r} is not one of {', '.join(UP_CHOICES)}")
        self._setting = up
        self.reset()

    def reset(self) -> None:
        """Forget everything that was seen and measured."""
        given = self._setting in UP_AXES
        # REP-103: maps have z up. The value until the first keyframe says more.
        self._up = UP_AXES[self._setting] if given else UP_AXES["+z"]
        self._source = "parameter" if given else "scene"
        self._imu = GravityFromImu()
        self._keyframes = 0
        self._x_axes: list[NDArray[np.float64]] = []
        self._up_axes: list[NDArray[np.float64]] = []
        self._normals: list[NDArray[np.float32]] = []
        # Kept while the direction may change, for then they are counted anew.
        self._samples: deque[_Sample] = deque(maxlen=FREEZE_AFTER_KEYFRAMES)
        self._origin: NDArray[np.float64] | None = None
        self._seen = HeightHistogram()
        self._floor_m = float("nan")

    @property
    def up(self) -> NDArray[np.float64]:
        """Return the (3,) float64 unit vector against gravity in the map frame."""
        return self._up.copy()

    @property
    def source(self) -> str:
        """Return where ``up`` comes from: "parameter", "scene", "imu", "tf", or "file" after restore()."""
        return self._source

    @property
    def floor_height_m(self) -> float:
        """Return the height of the floor along ``up`` from the map origin [m], NaN until one has been seen."""
        return self._floor_m

    @property
    def ground(self) -> GroundPlane | None:
        """Return the plane of the floor, None until one has been seen."""
        return None if np.isnan(self._floor_m) else GroundPlane(self.up, self._floor_m)

    @property
    def imu_samples(self) -> dict[str, int]:
        """Return how many measurements of the IMU were accepted, and how many rejected for which reason."""
        return {"accepted": self._imu.accepted, **self._imu.rejected}

    @property
    def is_frozen(self) -> bool:
        """Return whether ``up`` will not change any more."""
        if self._source == "scene":
            return self._setting == "auto" and self._keyframes >= FREEZE_AFTER_KEYFRAMES
        if self._source == "imu":
            return self._imu.is_settled
        return self._source != "tf" and (self._source == "parameter" or self._setting == "auto")

    def restore(self, up: NDArray[np.float64], floor_height_m: float) -> None:
        """Go on from a saved estimate: ``up`` is kept (until "imu" or "tf" say more), the floor until one is seen."""
        self.reset()
        self._up = np.asarray(up, dtype=np.float64) / np.linalg.norm(up)
        self._source = "file"
        self._floor_m = float(floor_height_m)

    # --- measured directions --------------------------------------------------------------------------------------

    def add_acceleration(
        self, acceleration_map: ArrayLike, stamp_ns: int, angular_velocity_rad_s: ArrayLike | None = None
    ) -> bool:
        """Take one sample of an accelerometer into account; return whether it was used. Only with up "imu".

        acceleration_map: (3,) [m/s^2], turned from the IMU into the map frame with the pose at its stamp; see
        GravityFromImu.add_acceleration() for what is rejected.
        """
        if self._setting != "imu" or not self._imu.add_acceleration(acceleration_map, stamp_ns, angular_velocity_rad_s):
            return False
        self._follow_imu()
        return True

    def add_orientation(self, orientation_xyzw: ArrayLike, T_map_imu: NDArray[np.float64], stamp_ns: int) -> bool:
        """Take the orientation into account that the IMU's own filter found; return whether it was used.

        Only with up "imu". orientation_xyzw: the IMU in a world frame with z up (REP-145). T_map_imu: (4, 4) at its
        stamp. Raises ValueError for a quaternion that is not finite or not of unit length.
        """
        if self._setting != "imu":
            return False
        if not self._imu.add_direction(up_from_orientation(orientation_xyzw, T_map_imu), stamp_ns):
            return False
        self._follow_imu()
        return True

    def _follow_imu(self) -> None:
        measured = self._imu.up
        # Looking at every 50th is often enough, and all the work there is when the direction is settled.
        if measured is None or (self._source == "imu" and self._imu.accepted % READY_SAMPLES):
            return
        if self._source != "imu" or self._imu.accepted <= SETTLED_SAMPLES:
            self._source = "imu"
            self._turn_to(_snapped(measured, IMU_SNAP_DEG))
        if self._imu.is_settled:
            self._samples.clear()

    def set_direction(self, up_map: ArrayLike) -> bool:
        """Take the z axis of a fixed frame in the map from TF; return whether ``up`` is another one now.

        Only with up "tf". up_map: (3,), the third column of the rotation of T_map_fixed. Changes below 0.2 degrees
        are left out. Raises ValueError for what is no direction.
        """
        direction = np.asarray(up_map, dtype=np.float64)
        length = float(np.linalg.norm(direction))
        if direction.shape != (3,) or not np.isfinite(length) or length < 1e-9:
            raise ValueError(f"direction against gravity: expected 3 finite numbers, not all 0, got {up_map!r}")
        if self._setting != "tf":
            return False
        self._source = "tf"
        return self._turn_to(direction / length)

    def _turn_to(self, up: NDArray[np.float64]) -> bool:
        # A measured direction: the floor is counted along it anew.
        if float(np.linalg.norm(np.cross(up, self._up))) < np.sin(np.radians(_NEWS_DEG)) and up @ self._up > 0:
            return False
        self._up = up
        self._recount()
        return True

    def move(self, T_new_old: NDArray[np.float64]) -> None:
        """Go along when the whole map frame jumps rigidly: points x of the map are at T_new_old x (4, 4) now.

        A direction that was given as an axis stays that axis.
        """
        T = np.asarray(T_new_old, dtype=np.float64)
        rotation = T[:3, :3]
        foot = rotation @ (self._floor_m * self._up) + T[:3, 3]
        if self._source != "parameter":
            self._up = _snapped(rotation @ self._up, _NEWS_DEG)
        self._floor_m = float(foot @ self._up)
        self._imu.turn(rotation)
        self._x_axes = [rotation @ axis for axis in self._x_axes]
        self._up_axes = [rotation @ axis for axis in self._up_axes]
        self._normals = [normals @ rotation.T.astype(np.float32) for normals in self._normals]
        self._samples = deque((sample.turned(rotation) for sample in self._samples), maxlen=self._samples.maxlen)
        if self._origin is not None:
            self._origin = rotation @ self._origin + T[:3, 3]

    # --- keyframes ------------------------------------------------------------------------------------------------

    def add_keyframe(self, frame: Frame) -> None:
        """Take one more view into account; frames without depth change nothing but the level of the camera."""
        T = frame.T_map_camera
        if self._origin is None:
            self._origin = T[:3, 3].copy()
        looking = self._source == "scene" and self._keyframes < FREEZE_AFTER_KEYFRAMES
        sample = self._reduce(frame)
        if not self.is_frozen:
            if looking and len(sample.normals):
                count = min(len(sample.normals), _NORMALS_PER_KEYFRAME)
                self._normals.append(sample.normals[np.linspace(0, len(sample.normals) - 1, count).astype(int)])
            sample = sample.thinned(_SAMPLES_PER_KEYFRAME)
            self._samples.append(sample)
        self._keyframes += 1
        before = self._up
        if looking:
            self._x_axes.append(T[:3, 0])
            self._up_axes.append(-T[:3, 1])
            self._estimate_up()
        if np.array_equal(before, self._up):
            self._count(sample)
            self._read_floor()
        else:
            self._recount()
        if self._keyframes >= FREEZE_AFTER_KEYFRAMES:
            self._normals.clear()
            if self.is_frozen:
                self._samples.clear()

    def _reduce(self, frame: Frame) -> _Sample:
        # A pixel stands for a piece of surface [m^2].
        step = max(1, round(frame.camera.height_px / _ROWS))
        depth = np.ascontiguousarray(frame.depth_m[::step, ::step])
        camera = frame.camera
        small = Camera(
            depth.shape[1], depth.shape[0], camera.fx / step, camera.fy / step, camera.cx / step, camera.cy / step
        )
        normals = normals_camera(depth, small)
        good = (normals != 0).any(axis=2) & (depth < _FARTHEST_M)
        rays = small.unproject(depth)[good]
        normals = normals[good]
        T = frame.T_map_camera
        assert self._origin is not None
        shift = (T[:3, 3] - self._origin).astype(np.float32)
        rotation = T[:3, :3].astype(np.float32)
        distance = np.linalg.norm(rays, axis=1)
        facing = np.abs((rays * normals).sum(axis=1)) / np.maximum(distance, 1e-6)
        # A pixel sees z^2 / (fx fy) of a plane across the axis; grazing ones are bounded, they see it badly.
        areas = rays[:, 2] ** 2 / np.float32(small.fx * small.fy) / np.maximum(facing, 0.2)
        return _Sample(rays @ rotation.T + shift, normals @ rotation.T, areas.astype(np.float32))

    # --- up -------------------------------------------------------------------------------------------------------

    def _estimate_up(self) -> None:
        around = np.mean(self._up_axes, axis=0)
        length = float(np.linalg.norm(around))
        around = around / length if length > 1e-3 else self._up_axes[-1]
        candidates = _half_sphere(around)
        roll = np.degrees(np.arcsin(np.clip(candidates @ np.array(self._x_axes).T, -1.0, 1.0)))
        # Pitch from the x-free part: the angle of up from the image's up axis towards the viewer.
        pitch = np.degrees(np.arccos(np.clip(candidates @ np.array(self._up_axes).T, -1.0, 1.0)))
        likely = np.exp(-0.5 * np.mean((roll / _ROLL_DEG) ** 2, axis=1))
        likely *= np.exp(-0.5 * np.mean((np.maximum(pitch - _PITCH_MEAN_DEG, 0.0) / _PITCH_DEG) ** 2, axis=1))
        support = np.ones(len(candidates))
        normals = np.concatenate(self._normals).astype(np.float64) if self._normals else np.zeros((0, 3))
        if len(normals):
            few = normals[:: max(1, -(-len(normals) // _MOST_NORMALS))]
            cosine = candidates.astype(np.float32) @ few.T.astype(np.float32)
            planes = (np.abs(cosine) > _angle_cosine(_PLANE_DEG)).mean(axis=1)
            walls = (np.abs(cosine) < np.sin(np.radians(_PLANE_DEG))).mean(axis=1)
            support = _LEAST_SHARE + planes + _WALL_SHARE * walls
        up = candidates[int(np.argmax(likely * support))]
        for limit_deg in _REFINEMENTS_DEG:
            up = self._refined(up, normals, limit_deg)
        self._up = _snapped(up, SNAP_DEG)

    def _refined(self, up: NDArray[np.float64], normals: NDArray[np.float64], limit_deg: float) -> NDArray[np.float64]:
        # up minimises the squared sines to the planes across it and the squared cosines to the walls along it.
        cosine = normals @ up
        planes = normals[np.abs(cosine) > _angle_cosine(limit_deg)]
        walls = normals[np.abs(cosine) < np.sin(np.radians(limit_deg))]
        if len(planes) < _LEAST_SHARE * len(normals) or len(planes) == 0:
            planes = np.zeros((0, 3))
        levels = np.array(self._x_axes)
        # What is seen outweighs how the camera is held, which only settles what walls leave open.
        weak = 0.01 * max(len(normals), 1) / len(levels)
        matrix = len(planes) * np.eye(3) - planes.T @ planes
        matrix += _WALL_SHARE * walls.T @ walls + weak * levels.T @ levels
        matrix += weak * len(levels) * (np.eye(3) - np.outer(up, up))
        _, vectors = np.linalg.eigh(matrix)
        best = vectors[:, 0]
        return best if best @ up > 0 else -best

    # --- floor ----------------------------------------------------------------------------------------------------

    def _count(self, sample: _Sample) -> None:
        up = self._up.astype(np.float32)
        self._seen.add(sample.points @ up, sample.areas, sample.normals @ up > _angle_cosine(_UPWARD_DEG))

    def _recount(self) -> None:
        self._seen.clear()
        self._floor_m = float("nan")
        for sample in self._samples:
            self._count(sample)
        self._read_floor()

    def _read_floor(self) -> None:
        floor_m = self._seen.floor_m()
        if floor_m is not None and self._origin is not None:
            self._floor_m = floor_m + float(self._origin @ self._up)


def _snapped(up: NDArray[np.float64], limit_deg: float) -> NDArray[np.float64]:
    axis = int(np.argmax(np.abs(up)))
    if abs(up[axis]) > _angle_cosine(limit_deg):
        return np.sign(up[axis]) * np.eye(3)[axis]
    return up
