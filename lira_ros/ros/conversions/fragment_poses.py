"""lira_msgs/FragmentPoses <-> where the fragments and keyframes of a map lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from geometry_msgs.msg import Pose
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from lira_msgs.msg import FragmentPoses
from lira_ros.ros.conversions.cdr import CdrWriter
from lira_ros.ros.conversions.geometry import pose_from_message
from lira_ros.ros.conversions.time import stamp_from_ns
from lira_ros.ros.errors import ConversionError


@dataclass(frozen=True)
class MapPoses:
    """Poses after a correction.

    fragments: revision and (4, 4) T_map_fragment by fragment id. keyframes: (4, 4) T_map_camera by keyframe id.
    removed and removed_keyframes: ids of what was removed from the map in this session.
    """

    fragments: Mapping[int, tuple[int, NDArray[np.float64]]]
    keyframes: Mapping[int, NDArray[np.float64]]
    removed: frozenset[int] = field(default_factory=frozenset)
    removed_keyframes: frozenset[int] = field(default_factory=frozenset)


def poses_to_message(poses: MapPoses, session: int, sequence: int, map_frame: str, stamp_ns: int) -> bytes:
    """Return a serialised FragmentPoses."""
    fragment_ids, keyframe_ids = sorted(poses.fragments), sorted(poses.keyframes)
    writer = CdrWriter()
    writer.header(Header(stamp=stamp_from_ns(stamp_ns), frame_id=map_frame))
    writer.pack("I", session, sequence)
    _write_ids(writer, fragment_ids)
    _write_ids(writer, [poses.fragments[key][0] for key in fragment_ids])
    _write_poses(writer, [poses.fragments[key][1] for key in fragment_ids])
    _write_ids(writer, keyframe_ids)
    _write_poses(writer, [poses.keyframes[key] for key in keyframe_ids])
    _write_ids(writer, sorted(poses.removed))
    _write_ids(writer, sorted(poses.removed_keyframes))
    return writer.message()


def _write_ids(writer: CdrWriter, ids: Sequence[int]) -> None:
    writer.array("I", np.array(ids, dtype="<u4"))


def _write_poses(writer: CdrWriter, transforms: Sequence[NDArray[np.float64]]) -> None:
    rows = np.zeros((len(transforms), 7), dtype="<f8")
    if len(transforms):
        stacked = np.stack(transforms)
        rows[:, :3] = stacked[:, :3, 3]
        rows[:, 3:] = Rotation.from_matrix(stacked[:, :3, :3]).as_quat()
    writer.array("d", rows)


def poses_from_message(message: FragmentPoses, topic: str) -> MapPoses:
    """Decode the poses; raises ConversionError that names the topic and what is wrong."""
    for name, ids, others in (
        ("revisions", message.ids, message.revisions),
        ("anchors", message.ids, message.anchors),
        ("keyframe_poses", message.keyframe_ids, message.keyframe_poses),
    ):
        if len(ids) != len(others):
            raise ConversionError(f"{topic}: {name}: expected {len(ids)}, one for each id, got {len(others)}")
    anchors = _poses(message.anchors, message.ids, f"{topic}: anchor of fragment")
    return MapPoses(
        {
            int(key): (int(revision), anchors[int(key)])
            for key, revision in zip(message.ids, message.revisions, strict=True)
        },
        _poses(message.keyframe_poses, message.keyframe_ids, f"{topic}: pose of keyframe"),
        frozenset(map(int, message.removed_ids)),
        frozenset(map(int, message.removed_keyframe_ids)),
    )


def _poses(messages: Iterable[Pose], ids: Iterable[int], where: str) -> dict[int, NDArray[np.float64]]:
    return {int(key): pose_from_message(pose, f"{where} {key}") for key, pose in zip(ids, messages, strict=True)}
