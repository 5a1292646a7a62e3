"""Pose corrections in: a jump of the global frame in TF, a pose graph as a path, or a service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from nav_msgs.msg import Path
from numpy.typing import NDArray

from lira_msgs.srv import CorrectPoses
from lira_ros.configuration import parameter
from lira_ros.geometry.drift import Change, JumpDetector, can_be_drift, spread_correction
from lira_ros.geometry.frame import Frame
from lira_ros.geometry.pose import inverse
from lira_ros.mapping.keyframes import motion
from lira_ros.mapping.mapper import Mapper
from lira_ros.ros import qos
from lira_ros.ros.conversions.geometry import pose_from_message
from lira_ros.ros.conversions.time import stamp_to_ns
from lira_ros.ros.errors import ConversionError
from lira_ros.ros.node import LiraNode
from lira_ros.ros.poses import TransformPoses


@dataclass(frozen=True)
class CorrectionConfiguration:
    """How the map follows a SLAM that changes its mind."""

    on_jump: str = parameter(
        "auto",
        "What to do when TF from map_frame to local_frame jumps. auto: a loop was closed, and the drift came about "
        "little by little since the last jump, so the newest keyframes move by all of it and earlier ones by less; "
        "but the whole map moves when the jump is too long for the way to be drift; rigid: the whole map always moves; "
        "ignore: pose_graph or correct_poses will tell",
        choices=("auto", "rigid", "ignore"),
    )
    local_frame: str = parameter(
        "odom", "Frame in which the robot moves without jumps (REP-105); without it in TF no jump is looked for"
    )
    jump_distance_m: float = parameter(
        0.05, "A change of the camera's place by more than this from frame to frame is a jump [m]", minimum=0.001
    )
    jump_angle_deg: float = parameter(
        1.0, "A turn by more than this from frame to frame is a jump [degrees]", minimum=0.01, maximum=180.0
    )
    graph_frame: str = parameter(
        "",
        "Frame of the robot whose poses pose_graph holds, for example base_link for RTAB-Map; empty = the camera's "
        "optical frame",
    )


class PoseCorrections:
    """Takes corrections in and moves the fragments of one mapper; used in the worker thread.

    ``moved(text)`` is called after keyframes and fragments have moved, with a sentence for the log.
    """

    def __init__(
        self,
        node: LiraNode,
        mapper: Mapper,
        map_frame: str,
        configuration: CorrectionConfiguration,
        close_fragment: Callable[[], None],
        moved: Callable[[str], None],
    ) -> None:
        self._node = node
        self._mapper = mapper
        self._map_frame = map_frame
        self._configuration = c = configuration
        self._close_fragment = close_fragment
        self._moved = moved
        self._jumps = JumpDetector(c.jump_distance_m, c.jump_angle_deg)
        self._transforms: TransformPoses | None = None
        self._watches_jumps = False
        node.worker.add_queue("pose_graph", self._take_graph, 1)
        self.clear(0)

    def open(self, transforms: TransformPoses, poses_from_tf: bool) -> None:
        """Subscribe; jumps are looked for only where poses come from TF."""
        self._transforms = transforms
        self._watches_jumps = poses_from_tf
        self._node.subscribe(
            Path,
            "pose_graph",
            lambda message: self._node.worker.put("pose_graph", message),
            qos.stream(1),  # paths are published reliably, and a long one would not survive otherwise
            required=False,
        )

    def clear(self, first_keyframe: int) -> None:
        """Begin anew with a map whose keyframes below ``first_keyframe`` came from elsewhere and are not corrected."""
        self._jumps.clear()
        self._first_keyframe = first_keyframe
        self._has_graph = False
        self._camera_frame = ""

    # ---- jumps ---------------------------------------------------------------------------------------------------

    def admit(self, frame: Frame) -> bool:
        """Look at the global frame at the stamp of a frame, correct what has to be, and tell whether to map it."""
        self._camera_frame = frame.camera_name
        c = self._configuration
        if not self._watches_jumps or self._transforms is None:
            return True
        T_map_local = self._transforms.between(self._map_frame, c.local_frame, frame.stamp_ns)
        if T_map_local is None:
            return True
        judgement = self._jumps.judge(T_map_local, frame.T_map_camera)
        if judgement.change is Change.UNSETTLED:
            self._node.statistics.count("frames while the global frame jumped")
            return False
        if judgement.change is Change.DRIFTING:
            self._node.report(
                "global frame without rest",
                f"TF from {c.local_frame} to {self._map_frame} changes by more than correction.jump_distance_m "
                f"{c.jump_distance_m:g} m or jump_angle_deg {c.jump_angle_deg:g} with every frame: this is no jump",
            )
        if judgement.T_new_old is not None:
            self._node.statistics.count("jumps of the global frame")
            if c.on_jump != "ignore" and not self._has_graph:
                self._follow_jump(judgement.T_new_old, frame.T_map_camera)
        return True

    def _follow_jump(self, T_new_old: NDArray[np.float64], T_map_camera: NDArray[np.float64]) -> None:
        # At the camera; the jump of the origin says little where the map is far from it.
        here = T_map_camera[:3, 3]
        distance_m = float(np.linalg.norm(here - (inverse(T_new_old) @ T_map_camera)[:3, 3]))
        # What comes now has the new poses: a fragment holds none of both kinds.
        self._close_fragment()
        known = self._mapper.keyframe_poses
        ids = sorted(key for key in known if key >= self._first_keyframe)
        poses = np.array([known[key] for key in ids]).reshape(-1, 4, 4)
        if self._configuration.on_jump == "auto" and can_be_drift(T_new_old, poses):
            corrected = spread_correction(T_new_old, poses)
            fragments = self._mapper.correct(dict(zip(ids, corrected, strict=True)))
            # Drift from before this jump has been taken out: the next one is of what comes now.
            self._first_keyframe = ids[-1]
        else:
            fragments = self._mapper.apply_jump(T_new_old)
        self._moved(f"the global frame jumped by {distance_m:.3f} m: {len(fragments)} fragments moved")

    # ---- pose graph ----------------------------------------------------------------------------------------------

    def _take_graph(self, message: Path) -> None:
        topic = self._node.resolve_topic_name("pose_graph")
        frame = message.header.frame_id.lstrip("/")
        if frame != self._map_frame:
            raise ConversionError(
                f"{topic}: expected poses in the frame {self._map_frame!r} (parameter map_frame), got {frame!r}"
            )
        stamps_ns = np.array([stamp_to_ns(item.header.stamp) for item in message.poses], dtype=np.int64)
        if len(stamps_ns) and (len(stamps_ns) != len(np.unique(stamps_ns)) or not stamps_ns.all()):
            raise ConversionError(f"{topic}: expected a stamp of its own in the header of every pose of the path")
        if not self._mapper.keyframe_poses or len(stamps_ns) == 0:
            return
        T_body_camera = self._extrinsic()
        if T_body_camera is None:
            raise ConversionError(
                f"{topic}: TF has no transform from {self._camera_frame!r} to {self._configuration.graph_frame!r} "
                "(parameter correction.graph_frame)"
            )
        poses = np.stack([pose_from_message(item.pose, topic) for item in message.poses]) @ T_body_camera
        # The extrinsic is that of one camera; without one, the path is of whichever camera was there at its stamps.
        camera_name = self._camera_frame if self._configuration.graph_frame else None
        report = self._mapper.correct_by_stamp(stamps_ns, poses, camera_name)
        if report.matched == 0:
            self._node.report(
                "pose graph without frames",
                f"{topic}: no frame was mapped at the stamps of its {len(stamps_ns)} poses, from "
                f"{stamps_ns.min() / 1e9:.3f} to {stamps_ns.max() / 1e9:.3f} s: do both use the same clock?",
            )
            return
        self._has_graph = True
        self._node.statistics.count("pose graphs")
        if report.moved:
            self._moved(
                f"{topic}: {report.matched} keyframes corrected by up to {report.largest_m:.3f} m and "
                f"{report.largest_deg:.2f} degrees, {len(report.moved)} fragments moved"
            )

    def _extrinsic(self) -> NDArray[np.float64] | None:
        body = self._configuration.graph_frame
        if body in ("", self._camera_frame):
            return np.eye(4)
        if self._transforms is None or not self._camera_frame:
            return None
        return self._transforms.between(body, self._camera_frame, 0)

    # ---- service -------------------------------------------------------------------------------------------------

    def answer(self, session: int, request: CorrectPoses.Request, response: CorrectPoses.Response) -> None:
        """Answer correct_poses for the map of ``session``."""
        codes = CorrectPoses.Response

        def refuse(code: int, message: str) -> None:
            self._node.refuse(response, "correct_poses", code, message)

        ids, stamps = list(request.keyframe_ids), list(request.stamps)
        if bool(ids) == bool(stamps) or len(request.poses) != len(ids) + len(stamps):
            refuse(
                codes.LENGTHS_DIFFER,
                f"expected keyframe_ids or stamps and as many poses, got {len(ids)} ids, {len(stamps)} stamps and "
                f"{len(request.poses)} poses",
            )
            return
        if request.session not in (0, session) and ids:
            refuse(codes.OTHER_SESSION, f"session: expected {session} or 0, got {request.session}")
            return
        names = [f"pose of keyframe {key}" for key in ids] or [f"pose of stamp {stamp_to_ns(item)}" for item in stamps]
        try:
            poses = [pose_from_message(pose, name) for name, pose in zip(names, request.poses, strict=True)]
        except ConversionError as error:
            refuse(codes.INVALID_POSE, str(error))
            return
        if ids:
            self._answer_ids(dict(zip(map(int, ids), poses, strict=True)), response)
        else:
            self._answer_stamps(np.array([stamp_to_ns(item) for item in stamps], dtype=np.int64), poses, response)
        if response.matched == 0:
            refuse(codes.NOTHING_MATCHED, f"none of {len(poses)} poses is of a keyframe of this map")
            return
        response.success, response.code = True, codes.OK
        response.message = (
            f"{response.matched} keyframes corrected by up to {response.largest_m:.3f} m and "
            f"{response.largest_deg:.2f} degrees; {response.fragments_moved} fragments moved"
        )
        if response.fragments_moved:
            self._moved(f"correct_poses: {response.message}")

    def _answer_ids(self, poses: dict[int, NDArray[np.float64]], response: CorrectPoses.Response) -> None:
        known = self._mapper.keyframe_poses
        matched = {key: pose for key, pose in poses.items() if key in known}
        response.matched, response.unmatched = len(matched), len(poses) - len(matched)
        if matched:
            motions = [motion(pose, known[key]) for key, pose in matched.items()]
            response.largest_m = max(distance_m for distance_m, _ in motions)
            response.largest_deg = max(angle_deg for _, angle_deg in motions)
            response.fragments_moved = len(self._mapper.correct(matched))

    def _answer_stamps(
        self, stamps_ns: NDArray[np.int64], poses: list[NDArray[np.float64]], response: CorrectPoses.Response
    ) -> None:
        report = self._mapper.correct_by_stamp(stamps_ns, np.stack(poses))
        response.matched, response.unmatched = report.matched, report.unmatched
        response.largest_m, response.largest_deg = report.largest_m, report.largest_deg
        response.fragments_moved = len(report.moved)
