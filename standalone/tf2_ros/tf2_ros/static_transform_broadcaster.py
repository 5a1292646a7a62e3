"""Publish transforms that never change on /tf_static."""

from __future__ import annotations

from collections.abc import Iterable

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from tf2_msgs.msg import TFMessage


class StaticTransformBroadcaster:
    """Publish static transforms; ``qos`` defaults to reliable, transient local, depth 1."""

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        if qos is None:
            qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, history=HistoryPolicy.KEEP_LAST)
        self.pub_tf = node.create_publisher(TFMessage, "/tf_static", qos)
        self.net_message = TFMessage()

    def sendTransform(self, transform: TransformStamped | Iterable[TransformStamped]) -> None:
        """Publish all transforms sent so far with these; a child frame keeps the newest one."""
        transforms = [transform] if isinstance(transform, TransformStamped) else list(transform)
        by_child = {kept.child_frame_id: kept for kept in self.net_message.transforms}
        by_child.update({new.child_frame_id: new for new in transforms})
        self.net_message.transforms = list(by_child.values())
        self.pub_tf.publish(self.net_message)
