"""Watch a running suite and keep what its report needs: keyframes, candidates, maps, states and latencies."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo

from lira_msgs.msg import CandidateArray, FragmentPoses, InstanceMapUpdate, InstructionStatusArray
from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_ros.evaluation.record import RunRecord
from lira_ros.fusion.contracts import Instance
from lira_ros.geometry.frame import Keyframe
from lira_ros.ros import qos
from lira_ros.ros.client import InstructionClient
from lira_ros.ros.conversions.candidate import candidates_from_message
from lira_ros.ros.conversions.fragment_poses import poses_from_message
from lira_ros.ros.conversions.instance import instance_from_message
from lira_ros.ros.conversions.instruction import status_from_message
from lira_ros.ros.conversions.keyframe import keyframe_from_message
from lira_ros.ros.conversions.time import stamp_to_ns

# From node to node a message takes milliseconds; after this long without any, the nodes have nothing left to say.
QUIET_S, LOST_S = 1.0, 5.0


class Monitor:
    """Subscribe to everything that the suite says and note it in a RunRecord.

    The sensor's real time of a stamp is when its camera info arrived here; delays are real times since then.
    """

    def __init__(self, client: InstructionClient, record: RunRecord, camera_info_topic: str) -> None:
        self.record = record
        self._client = client
        self._sensed_s: dict[int, float] = {}
        self._keyframe_s: dict[int, float] = {}
        self._candidates_s: dict[int, float] = {}
        self._submitted_s: dict[str, float] = {}
        self._start_ns: int | None = None
        self._newest_ns = 0
        self._mapped_ns = 0
        self._heard_s = time.monotonic()
        self._maps: dict[str, dict[int, Instance]] = {}
        self._corrected: Mapping[int, NDArray[np.float64]] = {}
        self._listen(CameraInfo, camera_info_topic, self._sensed, qos.sensor_input(100))
        self._listen(PoseStamped, "pose", self._mapped, qos.stream(100))
        self._listen(KeyframeMessage, "keyframes", self._keyframe, qos.keyframes())
        self._listen(FragmentPoses, "fragment_poses", self._poses, qos.latched())
        self._listen(CandidateArray, "candidates", self._candidates, qos.candidates())
        self._listen(InstanceMapUpdate, "instance_map/updates", self._update, qos.instance_updates())
        self._listen(InstructionStatusArray, "instruction_status", self._statuses, qos.latched())

    def _listen(self, kind: type, topic: str, callback: Callable[[Any], None], profile: QoSProfile) -> None:
        self._client.node.create_subscription(kind, topic, callback, profile)

    @property
    def recording_s(self) -> float:
        """Return how far the recording is, in seconds; 0 before its first image."""
        return 0.0 if self._start_ns is None else (self._newest_ns - self._start_ns) * 1e-9

    @property
    def frames(self) -> int:
        """Return how many images the camera has sent so far."""
        return len(self._sensed_s)

    def note_submitted(self, instruction_id: str) -> None:
        """Note that an instruction is being given: what was seen before it does not count as late."""
        self._submitted_s[instruction_id] = time.monotonic()

    def spin(self, seconds: float) -> None:
        """Receive for a while."""
        self._client.spin(seconds)

    def mapped(self) -> bool:
        """Tell whether all images are mapped and nothing more comes; a lost image is not waited for beyond LOST_S."""
        quiet_s = QUIET_S if self._mapped_ns >= self._newest_ns else LOST_S
        return time.monotonic() - self._heard_s >= quiet_s

    def settled(self) -> bool:
        """Tell whether all images are mapped, all instructions answered for all keyframes, and nothing more comes."""
        statuses = self.record.statuses
        return self.mapped() and all(
            name in statuses and statuses[name].keyframes_pending == 0 for name in self.record.instructions
        )

    def _sensed(self, message: CameraInfo) -> None:
        stamp_ns = stamp_to_ns(message.header.stamp)
        self._sensed_s[stamp_ns] = time.monotonic()
        self._start_ns = stamp_ns if self._start_ns is None else self._start_ns
        self._newest_ns = max(self._newest_ns, stamp_ns)

    def _mapped(self, message: PoseStamped) -> None:
        self._heard_s = time.monotonic()
        stamp_ns = stamp_to_ns(message.header.stamp)
        self._mapped_ns = max(self._mapped_ns, stamp_ns)
        self._note("sensor stamp to mapped frame", self._sensed_s.get(stamp_ns), self._heard_s)

    def _keyframe(self, message: KeyframeMessage) -> None:
        now_s = self._heard_s = time.monotonic()
        keyframe = keyframe_from_message(message, "keyframes")
        pose = self._corrected.get(keyframe.id)
        self.record.keyframes[keyframe.id] = keyframe if pose is None else _placed(keyframe, pose)
        # The first images may be sent before they are listened to here; keyframes are latched.
        self._start_ns = min(keyframe.frame.stamp_ns, self._start_ns or keyframe.frame.stamp_ns)
        self._keyframe_s[keyframe.frame.stamp_ns] = now_s
        self._note("sensor stamp to keyframe", self._sensed_s.get(keyframe.frame.stamp_ns), now_s)

    def _poses(self, message: FragmentPoses) -> None:
        self._corrected = poses_from_message(message, "fragment_poses").keyframes
        for keyframe_id, pose in self._corrected.items():
            if keyframe_id in self.record.keyframes:
                self.record.keyframes[keyframe_id] = _placed(self.record.keyframes[keyframe_id], pose)

    def _candidates(self, message: CandidateArray) -> None:
        now_s = self._heard_s = time.monotonic()
        candidates = candidates_from_message(message, "candidates")
        self.record.candidates[(candidates.keyframe_id, candidates.instruction_id)] = candidates
        self.record.latency.add("reasoner, one keyframe", candidates.latency_s)
        self._candidates_s[candidates.stamp_ns] = now_s
        since_s = self._keyframe_s.get(candidates.stamp_ns)
        if since_s is not None and since_s >= self._submitted_s.get(candidates.instruction_id, 0.0):
            self._note("keyframe to candidates", since_s, now_s)

    def _update(self, message: InstanceMapUpdate) -> None:
        now_s = time.monotonic()
        held = {} if message.clear else self._maps.get(message.instruction_id, {})
        changed = [instance_from_message(item, "instance_map/updates") for item in message.changed]
        gone = {item.id for item in message.removed}
        held = {key: value for key, value in held.items() if key not in gone}
        held.update({item.id: item for item in changed})
        self._maps[message.instruction_id] = held
        if not changed:
            self.record.conforming[message.instruction_id] = tuple(held.values())
            return
        seen_ns = max(item.last_seen_ns for item in changed)
        sensed_s = self._sensed_s.get(seen_ns)
        delay_s = float("nan") if sensed_s is None else now_s - sensed_s
        if sensed_s is not None and sensed_s >= self._submitted_s.get(message.instruction_id, 0.0):
            self._note("candidates to published instance", self._candidates_s.get(seen_ns), now_s)
            self._note("sensor stamp to published instance", sensed_s, now_s)
        self.record.note_conforming(message.instruction_id, tuple(held.values()), self._start_ns or 0, delay_s)

    def _statuses(self, message: InstructionStatusArray) -> None:
        for item in message.statuses:
            self.record.note_status(status_from_message(item), self.recording_s)

    def _note(self, stage: str, before_s: float | None, now_s: float) -> None:
        if before_s is not None:
            self.record.latency.add(stage, now_s - before_s)


def _placed(keyframe: Keyframe, T_map_camera: NDArray[np.float64]) -> Keyframe:
    """Return a keyframe with its corrected pose."""
    return replace(keyframe, frame=replace(keyframe.frame, T_map_camera=T_map_camera))
