"""The map for other nodes: keyframes, fragments, and where both lie after a correction, under one session number."""

from __future__ import annotations

import random
import time
from collections.abc import Collection

from lira_msgs.msg import FragmentPoses, VoxelFragment
from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_ros.geometry.frame import Keyframe
from lira_ros.mapping.fragment import Fragment
from lira_ros.mapping.mapper import Mapper
from lira_ros.ros import qos
from lira_ros.ros.conversions.fragment import empty_fragment_message, fragment_to_message
from lira_ros.ros.conversions.fragment_poses import MapPoses, poses_to_message
from lira_ros.ros.conversions.keyframe import keyframe_to_message
from lira_ros.ros.node import LiraNode


class MapOutput:
    """Publishes keyframes, fragments and fragment_poses; used in the worker thread."""

    def __init__(self, node: LiraNode, frame_id: str) -> None:
        self._node = node
        self._frame_id = frame_id
        self._fragment_sequence = 0
        self._pose_sequence = 0
        self._keyframes = node.publish_on(KeyframeMessage, "keyframes", qos.keyframes())
        self._fragments = node.publish_on(VoxelFragment, "fragments", qos.fragments())
        self._poses = node.publish_on(FragmentPoses, "fragment_poses", qos.latched())
        self._has_poses = False
        self._start()

    def _start(self) -> None:
        self.session = random.getrandbits(32) or 1
        self._removed: set[int] = set()
        self._removed_keyframes: set[int] = set()

    def begin_session(self, stamp_ns: int) -> None:
        """Draw another session number and tell everybody to forget what they hold."""
        self._start()
        self._fragment_sequence += 1
        self._fragments.publish(empty_fragment_message(self.session, self._fragment_sequence, self._frame_id, stamp_ns))
        if self._has_poses:  # who takes the latched message later must not find those of another session
            self._send(MapPoses({}, {}), stamp_ns)

    def publish_keyframe(self, keyframe: Keyframe, jpeg_quality: int) -> None:
        """Publish a keyframe."""
        began_s = time.monotonic()
        message = keyframe_to_message(keyframe, self.session, self._frame_id, jpeg_quality=jpeg_quality)
        self._keyframes.publish(message)
        self._node.statistics.latency("encode keyframe", time.monotonic() - began_s)

    def publish_fragment(self, fragment: Fragment) -> None:
        """Publish a fragment with its voxels."""
        began_s = time.monotonic()
        self._fragment_sequence += 1
        message = fragment_to_message(fragment, self.session, self._fragment_sequence, self._frame_id)
        self._fragments.publish(message)
        self._node.statistics.latency("encode fragment", time.monotonic() - began_s)

    def publish_poses(
        self,
        mapper: Mapper,
        stamp_ns: int,
        removed: Collection[int] = (),
        removed_keyframes: Collection[int] = (),
    ) -> None:
        """Publish where all fragments and keyframes lie now, without their voxels, and which were removed so far."""
        began_s = time.monotonic()
        self._removed.update(removed)
        self._removed_keyframes.update(removed_keyframes)
        self._send(
            MapPoses(
                {fragment.id: (fragment.revision, fragment.T_map_fragment) for fragment in mapper.fragments()},
                mapper.keyframe_poses,
                frozenset(self._removed),
                frozenset(self._removed_keyframes),
            ),
            stamp_ns,
        )
        self._node.statistics.latency("publish poses", time.monotonic() - began_s)

    def _send(self, poses: MapPoses, stamp_ns: int) -> None:
        self._has_poses = True
        self._pose_sequence += 1
        self._poses.publish(poses_to_message(poses, self.session, self._pose_sequence, self._frame_id, stamp_ns))
