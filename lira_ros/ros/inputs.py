"""One subscription and what is known about it: needed for the sentences "still waiting for ..."."""

from __future__ import annotations

import time
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, qos_check_compatible

from lira_ros.ros import qos

# An input that is silent for this long is reported (RTAB-Map uses the same 5 s).
SILENCE_S = 5.0


def type_name(message_type: Any) -> str:
    """Return the ROS name of a message class, for example sensor_msgs/msg/Image."""
    package = message_type.__module__.split(".")[0]
    return f"{package}/msg/{message_type.__name__}"


class Input:
    """A subscription with its arrival statistics. ``required`` inputs are reported when they are silent."""

    def __init__(self, node: Node, message_type: Any, topic: str, profile: QoSProfile, required: bool) -> None:
        self._node = node
        self.type_name = type_name(message_type)
        self.topic = node.resolve_topic_name(topic)
        self.profile = profile
        self.required = required
        self.subscription: Any = None
        self.messages = 0
        self.last_arrival_s = time.monotonic()  # of the subscription itself until the first message arrives
        self.last_stamp_ns: int | None = None

    def received(self, message: Any) -> None:
        """Note the arrival of a message and its stamp."""
        self.messages += 1
        self.last_arrival_s = time.monotonic()
        header = getattr(message, "header", None)
        if header is not None:
            self.last_stamp_ns = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec

    def silent_for_s(self) -> float:
        """Return the time since the last message, or since the subscription [s]."""
        return time.monotonic() - self.last_arrival_s

    def publishers(self) -> list[str]:
        """Return the full names of the nodes that publish on this topic, one for each publisher."""
        return [
            f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            for info in self._node.get_publishers_info_by_topic(self.topic)
        ]

    def missing(self) -> str | None:
        """Return why nothing arrives, in words with topic, type and QoS, or None when the input is alive.

        A latched input is alive when it has had a message and still has a publisher.
        """
        if self.silent_for_s() < SILENCE_S:
            return None
        asked = f"{self.topic} ({self.type_name}, {qos.describe(self.profile)})"
        infos = self._node.get_publishers_info_by_topic(self.topic)
        if not infos:
            return f"{asked}: no publisher"
        for info in infos:
            name = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            if info.topic_type != self.type_name:
                return f"{asked}: {name} publishes {info.topic_type} there"
            compatibility, reason = qos_check_compatible(info.qos_profile, self.profile)
            if compatibility == QoSCompatibility.ERROR:
                return f"{asked}: {name} offers incompatible QoS ({qos.describe(info.qos_profile)}): {reason}"
        if self.messages and self.profile.durability == DurabilityPolicy.TRANSIENT_LOCAL:
            return None  # states and keyframes come when something changes
        count = f"{len(infos)} publisher" + ("s" if len(infos) > 1 else "")
        return f"{asked}: {count}, but no message for {self.silent_for_s():.0f} s"
