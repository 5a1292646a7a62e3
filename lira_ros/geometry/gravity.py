"""Which way is up, and how high is the floor: from parameters or from what the camera sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.depth import normals_camera
from lira_ros.geometry.frame import Frame

UP_AXES: dict[str, NDArray[np.float64]] = {
    sign + name: (1.0 if sign == "+" else -1.0) * np.eye(3)[axis]
    for axis, name in enumerate("xyz")
    for sign in ("+", "-")
}
UP_CHOICES = ("auto", *UP_AXES)

# Maps are built gravity-aligned by almost every SLAM, so a nearby axis is the truth and the difference is noise.
SNAP_DEG = 8.0
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
_ROWS = 90
# Of these the direction is found from few, and the floor from more while the direction may still change.
_NORMALS_PER_KEYFRAME = 100
_SAMPLES_PER_KEYFRAME = 2000
_MOST_NORMALS = 800
_FARTHEST_M = 6.0

# Heights are counted in bins around the first camera, in square metres of surface seen.
_BIN_M = 0.02
_BINS = 1500
_UPWARD_DEG = 15.0
_SMOOTHING_BINS = 2
# A floor is at least this large and this share of the largest horizontal plane; below it lies (almost) nothing.
_FLOOR_AREA_M2 = 0.1
_FLOOR_SHARE = 0.05
_BELOW_M = 0.1
_BELOW_SHARE = 0.02


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


class GravityEstimator:
    """Estimate the direction against gravity and the height of the floor along it, keyframe by keyframe.

    The direction is given as a signed axis, or found as the one that most planes seen lie across and most walls
    stand along, among those for which the cameras were held about level. It is refined over the first keyframes,
    set to a coordinate axis of the map when it is within SNAP_DEG of one, and then kept.

    The floor is the lowest horizontal plane of some size with nothing below it.
    """

    def __init__(self, up: str = "auto") -> None:
        """Take the direction from ``up`` ("+x" to "-z"), or estimate it for "auto"; ValueError for anything else."""
        if up not in UP_CHOICES:
            raise ValueError(f"up: {up!r} is not one of {', '.join(UP_CHOICES)}")
        self._setting = up
        self.reset()

    def reset(self) -> None:
        """Forget everything that was seen."""
        given = self._setting != "auto"
        # REP-103: maps have z up. The value until the first keyframe says more.
        self._up = UP_AXES[self._setting] if given else UP_AXES["+z"]
        self._frozen = given
        self._keyframes = 0
        self._x_axes: list[NDArray[np.float64]] = []
        self._up_axes: list[NDArray[np.float64]] = []
        self._normals: list[NDArray[np.float32]] = []
        self._samples: list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]] = []
        self._origin: NDArray[np.float64] | None = None
        self._upward_m2 = np.zeros(_BINS)
        self._all_m2 = np.zeros(_BINS)
        self._floor_m = float("nan")

    @property
    def up(self) -> NDArray[np.float64]:
        """Return the (3,) float64 unit vector against gravity in the map frame."""
        return self._up.copy()

    @property
    def floor_height_m(self) -> float:
        """Return the height of the floor along ``up`` from the map origin [m], NaN until one has been seen."""
        return self._floor_m

    @property
    def is_frozen(self) -> bool:
        """Return whether ``up`` will not change any more."""
        return self._frozen

    def restore(self, up: NDArray[np.float64], floor_height_m: float) -> None:
        """Go on from a saved estimate: ``up`` is kept, the floor until one is seen anew."""
        self.reset()
        self._up = np.asarray(up, dtype=np.float64) / np.linalg.norm(up)
        self._frozen = True
        self._floor_m = float(floor_height_m)

    def add_keyframe(self, frame: Frame) -> None:
        """Take one more view into account; frames without depth change nothing but the level of the camera."""
        T = frame.T_map_camera
        if self._origin is None:
            self._origin = T[:3, 3].copy()
        self._keyframes += 1
        points, normals, areas = self._reduce(frame)
        if self._frozen:
            self._count(points, normals, areas)
        else:
            self._x_axes.append(T[:3, 0])
            self._up_axes.append(-T[:3, 1])
            if len(normals):
                chosen = np.linspace(0, len(normals) - 1, min(len(normals), _NORMALS_PER_KEYFRAME)).astype(int)
                self._normals.append(normals[chosen])
            every = max(1, len(points) // _SAMPLES_PER_KEYFRAME)
            self._samples.append((points[::every], normals[::every], areas[::every] * np.float32(every)))
            before = self._up
            self._estimate_up()
            if np.array_equal(before, self._up):
                self._count(*self._samples[-1])
            else:
                self._upward_m2[:] = 0.0
                self._all_m2[:] = 0.0
                self._floor_m = float("nan")
                for sample in self._samples:
                    self._count(*sample)
            if self._keyframes >= FREEZE_AFTER_KEYFRAMES:
                self._frozen = True
                self._samples.clear()
                self._normals.clear()
        self._estimate_floor()

    def _reduce(self, frame: Frame) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        # Points relative to the first camera, normals in the map, and the surface that each stands for [m^2].
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
        return rays @ rotation.T + shift, normals @ rotation.T, areas.astype(np.float32)

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
        self._up = _snapped(up)

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

    def _count(self, points: NDArray[np.float32], normals: NDArray[np.float32], areas: NDArray[np.float32]) -> None:
        up = self._up.astype(np.float32)
        height = points @ up
        bins = np.clip(np.floor(height / _BIN_M).astype(np.int64) + _BINS // 2, 0, _BINS - 1)
        upward = normals @ up > _angle_cosine(_UPWARD_DEG)
        self._upward_m2 += np.bincount(bins[upward], areas[upward], _BINS)
        self._all_m2 += np.bincount(bins, areas, _BINS)

    def _estimate_floor(self) -> None:
        # Heights jitter with pose drift and noise: a plane is what lies within a few bins.
        window = np.ones(2 * _SMOOTHING_BINS + 1)
        support = np.convolve(self._upward_m2, window, mode="same")
        largest = float(support.max())
        supported = np.nonzero(support >= max(_FLOOR_AREA_M2, _FLOOR_SHARE * largest))[0]
        if len(supported) == 0:
            return
        lowest = int(supported[0])
        peak = lowest + int(np.argmax(support[lowest : lowest + int(_BELOW_M / _BIN_M) + 1]))
        below = self._all_m2[: max(0, peak - int(_BELOW_M / _BIN_M))].sum()
        if below > _BELOW_SHARE * self._all_m2.sum():
            return  # something reaches further down: this is a table, the floor has not been seen
        near = slice(max(0, peak - _SMOOTHING_BINS), peak + _SMOOTHING_BINS + 1)
        centres = (np.arange(_BINS)[near] - _BINS // 2 + 0.5) * _BIN_M
        assert self._origin is not None
        mean = float(np.average(centres, weights=self._upward_m2[near]))
        self._floor_m = mean + float(self._origin @ self._up)


def _snapped(up: NDArray[np.float64]) -> NDArray[np.float64]:
    axis = int(np.argmax(np.abs(up)))
    if abs(up[axis]) > _angle_cosine(SNAP_DEG):
        return np.sign(up[axis]) * np.eye(3)[axis]
    return up
