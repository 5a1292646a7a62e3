"""Measure running nodes from outside: rates, losses and latencies of their topics, and what they say of themselves."""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lira_ros.evaluation.load import RateCounter, RateSummary
from lira_ros.evaluation.record import RunRecord
from lira_ros.pipeline.latency import Latency
from lira_ros.ros import qos
from lira_ros.ros.client import InstructionClient
from lira_ros.ros.conversions.time import stamp_to_ns
from lira_ros.ros.diagnostics import HARDWARE, read_drops, read_stages
from lira_ros.ros.errors import plain_sentence
from lira_ros.ros.inputs import Input, type_name
from lira_ros.ros.monitor import Monitor

IMAGE_TYPES = {type_name(kind): kind for kind in (Image, CompressedImage)}
CAMERA_INFO_TYPE = type_name(CameraInfo)
# Images that did not come show as gaps between stamps; what is usual is the median of the last second or two.
PERIOD_IMAGES = 30
LEAST_PERIODS = 5
# A gap of one and a half periods is nearer to two than to one.
LOST_FROM_PERIODS = 1.5
# Stamps within this of the clock are its own; those of a replayed recording are years old.
SAME_CLOCK_S = 10.0
# Stamps that are remembered until something that was made of them comes: ten minutes at 30 Hz.
REMEMBERED_STAMPS = 18_000
DISCOVERY_PERIOD_S = 0.2


@dataclass(frozen=True)
class TopicFigures:
    """How one topic was received. role: "input" of the nodes or "output". lost: by gaps of stamps or of sequences."""

    name: str
    role: str
    type: str
    qos: str
    rate: RateSummary


@dataclass(frozen=True)
class NodeFigures:
    """What a node says of itself.

    stages: its own percentiles [ms] by stage. dropped: its counters of what it dropped, refused or missed.
    """

    name: str
    message: str
    stages: dict[str, dict[str, float]]
    dropped: dict[str, int]


@dataclass(frozen=True)
class LiveFigures:
    """All that was measured from outside."""

    seconds: float
    topics: tuple[TopicFigures, ...]
    latencies: tuple[Latency, ...]
    nodes: tuple[NodeFigures, ...]
    waiting: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


class CameraTopics:
    """The camera topics that the nodes of a namespace have subscribed to, as the ROS graph tells."""

    def __init__(self, client: InstructionClient, namespace: str) -> None:
        self._node = client.node
        self._namespace = "/" + namespace.strip("/")
        self.infos: tuple[str, ...] = ()
        self.images: dict[str, type] = {}

    def look(self) -> str | None:
        """Look at the graph; return in words what is missing, None when a camera is known."""
        names = self._node.get_node_names_and_namespaces()
        nodes = [name for name, namespace in names if namespace == self._namespace and not name.startswith("_")]
        subscribed: dict[str, list[str]] = {}
        for name in nodes:
            if name == self._node.get_name():
                continue
            try:
                subscribed.update(self._node.get_subscriber_names_and_types_by_node(name, self._namespace))
            except Exception:  # rclpy names no class for a node that ended since it was listed
                continue
        self.infos = tuple(sorted(topic for topic, types in subscribed.items() if CAMERA_INFO_TYPE in types))
        self.images = {
            topic: IMAGE_TYPES[kind]
            for topic, types in sorted(subscribed.items())
            for kind in types
            if kind in IMAGE_TYPES
        }
        if self.infos and self.images:
            return None
        others = sorted({namespace for _, namespace in names} - {self._namespace})
        return (
            f"a node in {self._namespace} that listens to a camera ({CAMERA_INFO_TYPE} and images); "
            f"there {'is ' + ', '.join(sorted(set(nodes))) if len(set(nodes)) > 1 else 'is none'}"
            + (f", other namespaces: {', '.join(others)}" if others else "")
        )


class _Counted:
    """One topic: its subscription and what came on it."""

    def __init__(self, entry: Input, role: str) -> None:
        self.entry = entry
        self.role = role
        self._rate = RateCounter()
        self._sequence: int | None = None
        self._stamp_ns: int | None = None
        self._periods_ns: deque[int] = deque(maxlen=PERIOD_IMAGES)

    def arrived(self, message: Any) -> None:
        """Note a message; one with a sequence number tells how many came before it and were lost."""
        self.entry.received(message)
        lost = 0
        sequence = getattr(message, "sequence", None)
        if sequence is not None:
            # A publisher that starts anew counts from the beginning: that is no loss.
            lost = max(0, sequence - self._sequence - 1) if self._sequence is not None else 0
            self._sequence = sequence
        self._rate.add(time.monotonic(), lost)

    def image_arrived(self, data: bytes) -> None:
        """Note a serialised image; a gap between stamps of more than a period is images that were lost."""
        self.entry.received(None)
        order = "<" if data[1] & 1 else ">"
        seconds, nanoseconds = struct.unpack_from(order + "iI", data, 4)
        stamp_ns, lost = seconds * 1_000_000_000 + nanoseconds, 0
        if self._stamp_ns is not None and stamp_ns > self._stamp_ns:
            gap_ns = stamp_ns - self._stamp_ns
            if len(self._periods_ns) >= LEAST_PERIODS:
                periods = gap_ns / float(np.median(self._periods_ns))
                lost = round(periods) - 1 if periods > LOST_FROM_PERIODS else 0
            self._periods_ns.append(gap_ns)
        self._stamp_ns = stamp_ns
        self._rate.add(time.monotonic(), lost)

    def figures(self) -> TopicFigures:
        """Return what came so far."""
        entry = self.entry
        return TopicFigures(entry.topic, self.role, entry.type_name, qos.describe(entry.profile), self._rate.summary())


class LiveMeasurement(Monitor):
    """A monitor of nodes that run already: it takes no part in what was said before it came, and keeps no history.

    Latencies count from the stamp of the sensor where that is of this machine's clock, else from when the camera info
    came here.
    """

    def __init__(self, client: InstructionClient, camera: CameraTopics) -> None:
        self._counted: list[_Counted] = []
        self._nodes: dict[str, NodeFigures] = {}
        self._began_s = time.monotonic()
        self._namespace = client.node.get_namespace()
        super().__init__(client, RunRecord(title="live"), camera.infos[0])
        for topic, kind in camera.images.items():
            counted = self._count(kind, topic, qos.sensor_input(), "input")
            client.node.create_subscription(kind, topic, counted.image_arrived, counted.entry.profile, raw=True)
        client.node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnosed, qos.stream(50))

    def _count(self, kind: type, topic: str, profile: QoSProfile, role: str) -> _Counted:
        counted = _Counted(Input(self._client.node, kind, topic, profile, required=True), role)
        self._counted.append(counted)
        return counted

    def _listen(self, kind: type, topic: str, callback: Callable[[Any], None], profile: QoSProfile) -> None:
        # Without the history of latched topics: what was said before is neither a rate nor a latency of now.
        profile.durability = DurabilityPolicy.VOLATILE
        counted = self._count(kind, topic, profile, "input" if kind is CameraInfo else "output")

        def received(message: Any) -> None:
            counted.arrived(message)
            callback(message)

        self._client.node.create_subscription(kind, topic, received, profile)

    def _sensed(self, message: CameraInfo) -> None:
        super()._sensed(message)
        stamp_ns = stamp_to_ns(message.header.stamp)
        age_s = (time.time_ns() - stamp_ns) * 1e-9
        if abs(age_s) < SAME_CLOCK_S:
            self._sensed_s[stamp_ns] -= age_s

    def _diagnosed(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.hardware_id.startswith(HARDWARE) and (status.name.rpartition("/")[0] or "/") == self._namespace:
                values = {plain_sentence(item.key): plain_sentence(item.value) for item in status.values}
                said = plain_sentence(status.message)
                self._nodes[status.name] = NodeFigures(status.name, said, read_stages(values), read_drops(values))

    def spin(self, seconds: float) -> None:
        """Receive for a while, and forget what will not be needed any more."""
        super().spin(seconds)
        latency = self.record.latency
        self.record = RunRecord(title=self.record.title)
        self.record.latency = latency
        for remembered in (self._sensed_s, self._keyframe_s, self._candidates_s):
            while len(remembered) > REMEMBERED_STAMPS:
                del remembered[next(iter(remembered))]

    def waiting(self) -> list[str]:
        """Return which topics nothing has come on, each in words with its type and QoS."""
        silent = [item.entry for item in self._counted if not item.entry.messages]
        return [sentence for entry in silent if (sentence := entry.missing()) is not None]

    def figures(self) -> LiveFigures:
        """Return what was measured so far."""
        return LiveFigures(
            time.monotonic() - self._began_s,
            tuple(item.figures() for item in sorted(self._counted, key=lambda item: (item.role, item.entry.topic))),
            self.record.latency.summary(),
            tuple(self._nodes[name] for name in sorted(self._nodes)),
            tuple(self.waiting()),
        )
