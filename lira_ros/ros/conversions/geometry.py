"""geometry_msgs/Pose and TransformStamped <-> (4, 4) transforms.

PoseStamped and Odometry carry a Pose; TF carries a TransformStamped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, Transform, TransformStamped, Vector3
from numpy.typing import NDArray

from lira_ros.geometry.pose import from_quaternion, to_quaternion
from lira_ros.ros.errors import ConversionError


def _transform(position: Any, rotation: Any, topic: str) -> NDArray[np.float64]:
    try:
        return from_quaternion(
            (position.x, position.y, position.z), (rotation.x, rotation.y, rotation.z, rotation.w), topic
        )
    except ValueError as error:
        raise ConversionError(str(error)) from error


def pose_from_message(message: Pose, topic: str) -> NDArray[np.float64]:
    """Return a Pose as (4, 4) transform; raises ConversionError for NaN and quaternions that are not unit length."""
    return _transform(message.position, message.orientation, topic)


def pose_to_message(transform: NDArray[np.floating]) -> Pose:
    """Return a (4, 4) transform as Pose."""
    x, y, z, w = map(float, to_quaternion(transform))
    px, py, pz = map(float, transform[:3, 3])
    return Pose(position=Point(x=px, y=py, z=pz), orientation=Quaternion(x=x, y=y, z=z, w=w))


def transform_from_message(message: TransformStamped, topic: str) -> NDArray[np.float64]:
    """Return T_parent_child of a TransformStamped; raises ConversionError like pose_from_message()."""
    return _transform(message.transform.translation, message.transform.rotation, topic)


def transform_to_message(T_parent_child: NDArray[np.floating], parent: str, child: str, stamp: Any) -> TransformStamped:
    """Return a (4, 4) transform as TransformStamped that maps points of ``child`` into ``parent``."""
    pose = pose_to_message(T_parent_child)
    position = pose.position
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp = stamp
    message.transform = Transform(
        translation=Vector3(x=position.x, y=position.y, z=position.z), rotation=pose.orientation
    )
    return message


def vector_to_message(vector: NDArray[np.floating]) -> Vector3:
    """Return a (3,) vector."""
    x, y, z = map(float, vector)
    return Vector3(x=x, y=y, z=z)


def vector_from_message(message: Vector3) -> NDArray[np.float64]:
    """Return a Vector3 or Point as (3,) float64."""
    return np.array([message.x, message.y, message.z], dtype=np.float64)
