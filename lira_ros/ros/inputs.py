"""One subscription and what is known about it: needed for the sentences "still waiting for ..."."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, qos_check_compatible

from lira_ros.ros import qos
from lira_ros.ros.diagnostics import RATE_WINDOW_S

# A rate is counted from at most so many arrivals: five seconds at 200 Hz.
MOST_ARRIVALS = 1000
# Stamps further from the clock than this are those of a recording without /clock; their age says nothing.
LARGEST_AGE_S = 3600.0

# An input that is silent for this long is reported (RTAB-Map uses the same 5 s).
SILENCE_S = 5.0


def type_name(message_type: Any) -> str:
    """Return the ROS name of a message class, for example sensor_msgs/msg/Image."""
    package = message_type.__module__.split(".")[0]
    return f"{package}/msg/{message_type.__name__}"


class Input:
    """A subscription with its arrival statistics. ``required`` inputs are reported when they are silent.

    ``role``: what the node calls the input, before it was remapped.
    """

    def __init__(
        self, node: Node, message_type: Any, topic: str, profile: QoSProfile, required: bool, role: str = ""
    ) -> None:
        self._node = node
        self.role = role or topic
        self.type_name = type_name(message_type)
        self.topic = node.resolve_topic_name(topic)
        self.profile = profile
        self.required = required
        self.subscription: Any = None
        self.messages = 0
        self.last_arrival_s = time.monotonic()  # of the subscription itself until the first message arrives
        self.last_stamp_ns: int | None = None
        self._arrivals_s: deque[float] = deque(maxlen=MOST_ARRIVALS)

    def received(self, message: Any) -> None:
        """Note the arrival of a message and its stamp."""
        self.messages += 1
        self.last_arrival_s = time.monotonic()
        self._arrivals_s.append(self.last_arrival_s)
        header = getattr(message, "header", None)
        if header is not None:
            self.last_stamp_ns = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec

    def silent_for_s(self) -> float:
        """Return the time since the last message, or since the subscription [s]."""
        return time.monotonic() - self.last_arrival_s

    def describe(self) -> str:
        """Return topic, rate, age and number of messages for a person; the topic ends with the first comma."""
        if not self.messages:
            return f"{self.topic}, no message yet"
        if self.silent_for_s() > RATE_WINDOW_S:
            return f"{self.topic}, silent for {self.silent_for_s():.0f} s after {self.messages} messages"
        now_s = time.monotonic()
        recent = sum(1 for arrival_s in tuple(self._arrivals_s) if now_s - arrival_s <= RATE_WINDOW_S)
        parts = [self.topic, f"{recent / RATE_WINDOW_S:.1f} Hz"]
        if self.last_stamp_ns is not None:
            age_s = (self._node.get_clock().now().nanoseconds - self.last_stamp_ns) / 1e9
            if abs(age_s) < LARGEST_AGE_S:
                parts.append(f"{age_s:.3f} s old")
        return ", ".join([*parts, f"{self.messages} messages"])

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
