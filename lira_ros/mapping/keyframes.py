"""Keyframes: which frames are worth reasoning about, where frames were in their fragments, and rigid corrections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from lira_ros.geometry.pose import inverse, motion_between

# A camera stands for what it sees: its centre and the corners of a view of 53 by 53 degrees at this distance, half of
# the usual range. So a degree counts as much as the way that it moves a surface.
_VIEW_DEPTH_M = 2.0
_VIEW_POINTS_M = _VIEW_DEPTH_M * np.array(
    [(0.0, 0.0, 0.0), (-0.5, -0.5, 1.0), (0.5, -0.5, 1.0), (-0.5, 0.5, 1.0), (0.5, 0.5, 1.0)]
)


class KeyframeSelector:
    """Decide which frames become keyframes and count them from 1 without gaps (LIRA, section 1.2 of its specification).

    Motion is measured since the last keyframe of the same camera, so that several cameras do not look like one that
    jumps to and fro.
    """

    def __init__(self, angle_deg: float, distance_m: float) -> None:
        """Set the motion since the last keyframe of which either part, when exceeded, makes another one."""
        self.angle_deg = angle_deg
        self.distance_m = distance_m
        self.last_id = 0
        self._T_map_last: dict[str, NDArray[np.float64]] = {}

    def select(self, T_map_camera: NDArray[np.float64], camera_name: str = "") -> int | None:
        """Return the id of the new keyframe, or None when the camera (4, 4) has not moved enough; the first always."""
        last = self._T_map_last.get(camera_name)
        if last is not None:
            angle_deg, distance_m = motion_between(last, T_map_camera)
            if angle_deg <= self.angle_deg and distance_m <= self.distance_m:
                return None
        self._T_map_last[camera_name] = T_map_camera.copy()
        self.last_id += 1
        return self.last_id

    def move(self, T_new_old: NDArray[np.float64]) -> None:
        """Go along when the places of the last keyframes move by (4, 4) ``T_new_old`` within the map."""
        self._T_map_last = {name: T_new_old @ pose for name, pose in self._T_map_last.items()}

    def restart(self, last_id: int = 0) -> None:
        """Take the next frame as a keyframe whatever the motion, counting on from ``last_id``."""
        self._T_map_last = {}
        self.last_id = last_id


class FramePlace(NamedTuple):
    """Where a frame was: its fragment, its stamp [ns] and the (4, 4) T_fragment_camera."""

    fragment_id: int
    stamp_ns: int
    T_fragment_camera: NDArray[np.float64]


@dataclass
class _Track:
    # The frames of one fragment, in the order in which they came; keyframe id 0 for those that are none.
    stamps_ns: list[int] = field(default_factory=list)
    poses: list[NDArray[np.float64]] = field(default_factory=list)  # T_fragment_camera
    keyframe_ids: list[int] = field(default_factory=list)
    cameras: list[str] = field(default_factory=list)


class FrameTracks:
    """Where the camera was in the frame of its fragment, for each frame: what stays when fragments are moved."""

    def __init__(self) -> None:
        """Start without frames."""
        self._tracks: dict[int, _Track] = {}
        self._keyframes: dict[int, FramePlace] = {}

    def add(
        self,
        fragment_id: int,
        stamp_ns: int,
        T_fragment_camera: NDArray[np.float64],
        keyframe_id: int | None = None,
        camera_name: str = "",
    ) -> None:
        """Note a frame that was integrated into a fragment."""
        track = self._tracks.setdefault(fragment_id, _Track())
        track.stamps_ns.append(stamp_ns)
        track.poses.append(T_fragment_camera)
        track.keyframe_ids.append(keyframe_id or 0)
        track.cameras.append(camera_name)
        if keyframe_id is not None:
            self._keyframes[keyframe_id] = FramePlace(fragment_id, stamp_ns, T_fragment_camera)

    def join(self, fragment_id: int, other_id: int, T_fragment_other: NDArray[np.float64]) -> None:
        """Let the frames of another fragment belong to this one."""
        other = self._tracks.pop(other_id, _Track())
        columns = other.stamps_ns, other.poses, other.keyframe_ids, other.cameras
        for stamp_ns, pose, keyframe_id, camera_name in zip(*columns, strict=True):
            self.add(fragment_id, stamp_ns, T_fragment_other @ pose, keyframe_id or None, camera_name)

    def remove(self, fragment_ids: Iterable[int]) -> None:
        """Forget the frames of fragments."""
        for fragment_id in fragment_ids:
            for keyframe_id in self._tracks.pop(fragment_id, _Track()).keyframe_ids:
                self._keyframes.pop(keyframe_id, None)

    def clear(self) -> None:
        """Forget all frames."""
        self._tracks.clear()
        self._keyframes.clear()

    def keyframes(self) -> Mapping[int, FramePlace]:
        """Return where every keyframe was, by id, in the order in which they came."""
        return self._keyframes

    def places(
        self, stamps_ns: NDArray[np.int64], tolerance_ns: int, camera_name: str | None = None
    ) -> list[FramePlace | None]:
        """Return for each stamp where the camera was, None without a frame within the tolerance.

        Between two frames of one camera and fragment the pose is interpolated, else it is that of the nearest frame.
        camera_name: None takes the frames of all cameras for those of one.
        """
        rows = sorted(
            (stamp_ns, fragment_id, number)
            for fragment_id, track in self._tracks.items()
            for number, stamp_ns in enumerate(track.stamps_ns)
            if camera_name is None or track.cameras[number] == camera_name
        )
        known = np.array([row[0] for row in rows], dtype=np.int64)
        result: list[FramePlace | None] = []
        for stamp_ns, after in zip(stamps_ns.tolist(), np.searchsorted(known, stamps_ns).tolist(), strict=True):
            near = [n for n in (after - 1, after) if 0 <= n < len(rows) and abs(rows[n][0] - stamp_ns) <= tolerance_ns]
            if not near:
                result.append(None)
                continue
            at_ns, fragment_id, number = rows[min(near, key=lambda n: abs(rows[n][0] - stamp_ns))]
            track = self._tracks[fragment_id]
            pose = track.poses[number]
            if len(near) == 2 and at_ns != stamp_ns:
                (a_ns, a_id, a), (b_ns, b_id, b) = (rows[n] for n in near)
                if a_id == b_id and track.cameras[a] == track.cameras[b]:
                    pose = _between(track.poses[a], track.poses[b], (stamp_ns - a_ns) / (b_ns - a_ns))
            result.append(FramePlace(fragment_id, stamp_ns, pose))
        return result


def _between(T_a: NDArray[np.float64], T_b: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    pose = np.eye(4)
    turns = Rotation.from_matrix(np.stack([T_a[:3, :3], T_b[:3, :3]]))
    pose[:3, :3] = Slerp([0.0, 1.0], turns)(share).as_matrix()
    pose[:3, 3] = (1.0 - share) * T_a[:3, 3] + share * T_b[:3, 3]
    return pose


def rigid_fit(T_body_camera: NDArray[np.float64], T_map_camera: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (4, 4) T_map_body that brings (N, 4, 4) camera poses of a body closest to (N, 4, 4) wanted ones.

    Least squares over points that each camera sees, by singular values (Kabsch 1976; Arun, Huang and Blostein 1987).
    One pose is met exactly.
    """
    body = (T_body_camera[:, :3, :3] @ _VIEW_POINTS_M.T + T_body_camera[:, :3, 3:]).transpose(0, 2, 1).reshape(-1, 3)
    wanted = (T_map_camera[:, :3, :3] @ _VIEW_POINTS_M.T + T_map_camera[:, :3, 3:]).transpose(0, 2, 1).reshape(-1, 3)
    body_mean, wanted_mean = body.mean(axis=0), wanted.mean(axis=0)
    u, _, vt = np.linalg.svd((wanted - wanted_mean).T @ (body - body_mean))
    u[:, 2] *= np.sign(np.linalg.det(u @ vt))  # a rotation, not a reflection
    result = np.eye(4)
    result[:3, :3] = u @ vt
    result[:3, 3] = wanted_mean - result[:3, :3] @ body_mean
    return result


def motion(T_new: NDArray[np.float64], T_old: NDArray[np.float64]) -> tuple[float, float]:
    """Return how far [m] and by how much [degrees] a pose (4, 4) has moved."""
    relative = inverse(T_old) @ T_new
    turned_deg = float(np.degrees(Rotation.from_matrix(relative[:3, :3]).magnitude()))
    return float(np.linalg.norm(relative[:3, 3])), turned_deg


def spread_corrections(
    corrections: Mapping[int, NDArray[np.float64]], fragment_ids: Iterable[int]
) -> dict[int, NDArray[np.float64]]:
    """Return a (4, 4) correction in the map for every fragment, from those that are known for some.

    Fragments between two of known corrections get one in between, by how many fragments away they are, since drift
    adds up along the way; those before the first and after the last follow it.
    """
    known = sorted(corrections)
    result: dict[int, NDArray[np.float64]] = {}
    for fragment_id in fragment_ids:
        after = int(np.searchsorted(known, fragment_id))
        low, high = known[max(after - 1, 0)], known[min(after, len(known) - 1)]
        if fragment_id in corrections or low == high:
            result[fragment_id] = corrections[fragment_id if fragment_id in corrections else low]
        else:
            share = (fragment_id - low) / (high - low)
            result[fragment_id] = _between(corrections[low], corrections[high], share)
    return result
