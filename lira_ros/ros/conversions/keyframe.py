"""lira_msgs/Keyframe <-> Keyframe."""

from __future__ import annotations

import math

from std_msgs.msg import Header

from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.geometry.packed_keyframe import PackedKeyframe
from lira_ros.ros.conversions.camera import camera_model, camera_to_info
from lira_ros.ros.conversions.geometry import (
    pose_from_message,
    pose_to_message,
    vector_from_message,
    vector_to_message,
)
from lira_ros.ros.conversions.image import (
    color_from_compressed,
    depth_from_compressed,
    encoded_to_message,
)
from lira_ros.ros.conversions.time import stamp_from_ns, stamp_to_ns
from lira_ros.ros.errors import ConversionError


def keyframe_to_message(keyframe: Keyframe, session: int, map_frame: str, *, jpeg_quality: int = 95) -> KeyframeMessage:
    """Encode a keyframe: colour as JPEG, or as PNG for quality 0, depth as PNG of millimetres (rounded to 1 mm)."""
    return packed_to_message(PackedKeyframe.of(keyframe, jpeg_quality), session, map_frame)


def packed_to_message(keyframe: PackedKeyframe, session: int, map_frame: str) -> KeyframeMessage:
    """Return the message of a keyframe whose images are encoded."""
    header = Header(stamp=stamp_from_ns(keyframe.stamp_ns), frame_id=map_frame)
    return KeyframeMessage(
        header=header,
        id=keyframe.id,
        session=session,
        color=encoded_to_message(keyframe.color_format, keyframe.color, header),
        depth=encoded_to_message(keyframe.depth_format, keyframe.depth, header),
        camera=camera_to_info(keyframe.camera, header),
        pose=pose_to_message(keyframe.T_map_camera),
        up=vector_to_message(keyframe.up),
        floor_height_m=float(keyframe.floor_height_m),
    )


def keyframe_from_message(message: KeyframeMessage, topic: str) -> Keyframe:
    """Decode a keyframe; raises ConversionError that names the topic and the keyframe for whatever is wrong in it."""
    where = f"{topic}: keyframe {message.id}"
    color = color_from_compressed(message.color, f"{where} color")
    depth_m = depth_from_compressed(message.depth, f"{where} depth")
    camera = camera_model(message.camera, f"{where} camera", rectified=True).camera
    pose = pose_from_message(message.pose, f"{where} pose")
    try:
        frame = Frame(stamp_to_ns(message.header.stamp), color, depth_m, camera, pose)
        # float32 on the wire; NaN (not known) stays NaN
        floor = message.floor_height_m if math.isfinite(message.floor_height_m) else float("nan")
        return Keyframe(message.id, frame, vector_from_message(message.up), floor)
    except ValueError as error:
        raise ConversionError(f"{where}: {error}") from error
