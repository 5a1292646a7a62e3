"""The map for other nodes: keyframes, fragments, and where both lie after a correction, under one session number."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Collection

from lira_msgs.msg import FragmentPoses, VoxelFragment
from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_ros.geometry.frame import Keyframe
from lira_ros.geometry.packed_keyframe import PackedKeyframe
from lira_ros.mapping.fragment import Fragment
from lira_ros.mapping.kept_keyframes import KeptKeyframes
from lira_ros.mapping.mapper import Mapper
from lira_ros.ros import qos
from lira_ros.ros.conversions.fragment import empty_fragment_message, fragment_to_message
from lira_ros.ros.conversions.fragment_poses import MapPoses, poses_to_message
from lira_ros.ros.conversions.keyframe import packed_to_message
from lira_ros.ros.node import LiraNode

# Of a loaded map, with each call: 40 a second, which receivers follow, and less than their queues hold in five seconds.
KEYFRAMES_AT_ONCE = 2


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
        self._start(self.next_session())

    def next_session(self) -> int:
        """Return a number for a session to come."""
        return random.getrandbits(32) or 1

    def _start(self, session: int) -> None:
        self.session = session
        self._again: deque[tuple[str, int]] = deque()  # kind and id of what is published once more
        self._removed: set[int] = set()
        self._removed_keyframes: set[int] = set()

    def begin_session(self, stamp_ns: int, session: int = 0) -> None:
        """Begin a session, with a number of its own or 0 for any, and tell everybody to forget what they hold."""
        self._start(session or self.next_session())
        self._fragment_sequence += 1
        self._fragments.publish(empty_fragment_message(self.session, self._fragment_sequence, self._frame_id, stamp_ns))
        if self._has_poses:  # who takes the latched message later must not find those of another session
            self._send(MapPoses({}, {}), stamp_ns)

    def publish_keyframe(self, keyframe: Keyframe, jpeg_quality: int) -> PackedKeyframe:
        """Publish a keyframe and return it as it was sent."""
        began_s = time.monotonic()
        packed = PackedKeyframe.of(keyframe, jpeg_quality)
        self._keyframes.publish(packed_to_message(packed, self.session, self._frame_id))
        self._node.statistics.latency("encode keyframe", time.monotonic() - began_s)
        return packed

    def publish_all_again(self, mapper: Mapper, kept: KeptKeyframes) -> None:
        """Publish all fragments and kept keyframes of a loaded map with the next calls of publish_again()."""
        fragments = [("fragment", fragment.id) for fragment in mapper.fragments()]
        self._again = deque((*fragments, *(("keyframe", key) for key in kept.ids())))

    def publish_again(self, mapper: Mapper, kept: KeptKeyframes) -> None:
        """Publish the next of what is to be published again: a fragment, or some keyframes.

        Bit by bit, for encoding fragments takes long and queues of receivers are bounded.
        """
        for _ in range(KEYFRAMES_AT_ONCE):
            if not self._again:
                return
            kind, number = self._again.popleft()
            if kind == "fragment":
                fragment = mapper.fragment(number)
                if fragment is not None:
                    self.publish_fragment(fragment)
                return
            packed = kept.get(number)
            if packed is not None:
                pose = mapper.keyframe_pose(number)
                packed = packed if pose is None else packed.at(pose)
                self._keyframes.publish(packed_to_message(packed, self.session, self._frame_id))

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
