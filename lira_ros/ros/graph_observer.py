"""Look at a ROS graph for some seconds from outside: what comes on lira's inputs, TF, clocks, nodes and their words."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry, Path
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu
from tf2_msgs.msg import TFMessage

from lira_ros.doctor.observation import (
    Arrival,
    Endpoint,
    Mismatch,
    NodeObservation,
    Observation,
    Setup,
    StatusReport,
    TopicObservation,
    TransformSample,
)
from lira_ros.presets import IMAGE_TRANSPORTS, base_name
from lira_ros.ros import qos
from lira_ros.ros.conversions.time import stamp_to_ns
from lira_ros.ros.dds import configure_dds
from lira_ros.ros.diagnostics import HARDWARE
from lira_ros.ros.errors import plain_sentence
from lira_ros.ros.inputs import type_name

NAME = "lira_doctor"
# Long-running processes with the default profile of Fast DDS are found within 2.6 s (measured); those with lira's
# within a second. Once a node was found, the others follow within this.
DISCOVERY_S = 3.0
SETTLE_S = 0.7
# Nodes report once a second.
REPORT_S = 2.5
# A node that is busy answers late; one that hangs must not stop the doctor.
PARAMETERS_S = 2.0
# Transforms of a few seconds: 1 kHz at most.
TRANSFORM_DEPTH = 1000

KINDS: dict[str, Any] = {
    "color/image": Image,
    "depth/image": Image,
    "color/camera_info": CameraInfo,
    "depth/camera_info": CameraInfo,
    "camera_pose": PoseStamped,
    "odometry": Odometry,
    "pose_graph": Path,
    "imu": Imu,
}


class GraphObserver:
    """A context manager with a node of its own that only listens and asks for parameters."""

    def __init__(self, namespace: str) -> None:
        """Take the namespace of lira, with or without slashes around it."""
        self.namespace = f"/{namespace.strip('/')}"
        self._reports: dict[str, StatusReport] = {}
        self._transforms: list[TransformSample] = []
        self._clock_ns: int | None = None
        self._ticks = 0

    def __enter__(self) -> GraphObserver:
        """Start a ROS context of its own and a node in it."""
        configure_dds()
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node(NAME, namespace=self.namespace, context=self._context, use_global_arguments=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        # Best effort matches every publisher.
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnosed, qos.sensor_input(100))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End node and context."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    # ---- what there is -------------------------------------------------------------------------------------------

    def discover(self) -> bool:
        """Wait until the nodes of the graph are known; returns whether there is any besides this one."""
        began_s = changed_s = time.monotonic()
        known: list[str] = []
        while True:
            self.spin(0.1)
            now_s, names = time.monotonic(), self._nodes()
            if names != known:
                known, changed_s = names, now_s
            if (known and now_s - changed_s > SETTLE_S) or now_s - began_s > DISCOVERY_S:
                return bool(known)

    def _nodes(self) -> list[str]:
        """Return the full names of all other nodes, sorted; hidden ones (of the ros2 command) are left out."""
        own = self._node.get_fully_qualified_name()
        names = [f"{space.rstrip('/')}/{name}" for name, space in self._node.get_node_names_and_namespaces()]
        return sorted(name for name in names if name != own and not name.rpartition("/")[2].startswith("_"))

    @property
    def mapping_node(self) -> str:
        """Return the full name of the mapping node when it runs, else ""."""
        name = f"{self.namespace.rstrip('/')}/mapping_node"
        return name if name in self._nodes() else ""

    def graph(self) -> dict[str, tuple[str, ...]]:
        """Return the types of all topics that somebody publishes, by name."""
        listed = self._node.get_topic_names_and_types()
        return {name: tuple(types) for name, types in listed if self._node.count_publishers(name)}

    def inputs_of_mapping_node(self) -> dict[str, str]:
        """Return the camera and pose inputs of the running mapping node: what it calls them -> topic.

        Empty when the node does not tell within REPORT_S, or is not active.
        """
        deadline_s = time.monotonic() + REPORT_S
        while time.monotonic() < deadline_s:
            report = self._reports.get(self.mapping_node)
            if report is not None:
                told = {
                    key.removeprefix("input "): value.partition(",")[0]
                    for key, value in report.values.items()
                    if key.startswith("input ")
                }
                return {role: topic for role, topic in told.items() if base_name(role)}
            self.spin(0.1)
        return {}

    def parameters(self, name: str) -> dict[str, Any]:
        """Return all parameters of a node; empty when it does not answer."""
        return self._ask_parameters([name], lambda _: True).get(name, {})

    def resolve(self, topics: Mapping[str, str], image_transport: str) -> dict[str, str]:
        """Return the inputs of a preset with full names, as they are subscribed to with this transport."""
        resolved = {}
        for role, topic in topics.items():
            full = self._node.resolve_topic_name(topic)
            transport = IMAGE_TRANSPORTS.get(base_name(role)) if image_transport == "compressed" else None
            resolved[role] = f"{full}/{transport}" if transport else full
        return resolved

    # ---- looking -------------------------------------------------------------------------------------------------

    def spin(self, seconds: float) -> None:
        """Receive for a while."""
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(left_s, 0.1))

    def observe(self, setup: Setup, topics: Mapping[str, str], seconds: float) -> Observation:
        """Look for some seconds and return what was seen. ``topics``: what lira calls an input -> full name."""
        arrivals: dict[str, list[Arrival]] = {role: [] for role in topics}
        last: dict[str, Any] = {}
        subscriptions = [
            self._node.create_subscription(
                _kind(role, setup), name, self._recorder(arrivals[role], last, role, setup), qos.sensor_input()
            )
            for role, name in topics.items()
        ]
        shared = self._shared_topics()
        subscriptions += [
            self._node.create_subscription(Clock, shared["clock"], self._ticked, qos.sensor_input()),
            self._node.create_subscription(TFMessage, shared["tf"], self._moving, qos.sensor_input(TRANSFORM_DEPTH)),
            # Published once: one has to ask for what was said before.
            self._node.create_subscription(TFMessage, shared["tf_static"], self._static, qos.history(TRANSFORM_DEPTH)),
        ]
        began_s = time.monotonic()
        self.spin(seconds)
        ended_s = time.monotonic()
        observed = tuple(
            self._topic(role, name, setup, arrivals[role], last.get(role)) for role, name in topics.items()
        )
        for subscription in subscriptions:
            self._node.destroy_subscription(subscription)
        names = self._nodes()
        return Observation(
            setup=setup,
            began_s=began_s,
            ended_s=ended_s,
            topics=observed,
            transforms=tuple(self._transforms),
            nodes=self._observed_nodes(names),
            reports=tuple(self._reports[name] for name in sorted(self._reports)),
            mismatches=self._mismatches(),
            graph=self.graph(),
            transform_publishers=tuple(sorted({end.node for end in self._publishers(shared["tf"], None)})),
            clock_publishers=tuple(sorted({end.node for end in self._publishers(shared["clock"], None)})),
            clock_ticks=self._ticks,
        )

    def _shared_topics(self) -> dict[str, str]:
        """Return where TF and the clock are: as the mapping node has them, which is below each robot of several."""
        found = {name: f"/{name}" for name in ("tf", "tf_static", "clock")}
        mapping = self.mapping_node
        if mapping:
            space, _, name = mapping.rpartition("/")
            for topic, types in self._node.get_subscriber_names_and_types_by_node(name, space or "/"):
                last = topic.rpartition("/")[2]
                if last in found and {type_name(TFMessage), type_name(Clock)} & set(types):
                    found[last] = topic
        return found

    def _recorder(
        self, arrivals: list[Arrival], last: dict[str, Any], role: str, setup: Setup
    ) -> Callable[[Any], None]:
        def received(message: Any) -> None:
            stamp_ns = stamp_to_ns(message.header.stamp)
            now_ns = self._clock_ns if setup.use_sim_time and self._clock_ns is not None else time.time_ns()
            arrivals.append(Arrival(time.monotonic(), stamp_ns, (now_ns - stamp_ns) / 1e9))
            last[role] = message

        return received

    def _diagnosed(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name = plain_sentence(status.name)
            if status.hardware_id.startswith(HARDWARE) and name.rpartition("/")[0] == self.namespace.rstrip("/"):
                values = {plain_sentence(item.key): plain_sentence(item.value) for item in status.values}
                level = int.from_bytes(status.level, "little")
                hardware = plain_sentence(status.hardware_id)
                self._reports[name] = StatusReport(name, level, plain_sentence(status.message), hardware, values)

    def _ticked(self, message: Clock) -> None:
        self._clock_ns = stamp_to_ns(message.clock)
        self._ticks += 1

    def _moving(self, message: TFMessage) -> None:
        self._transformed(message, False)

    def _static(self, message: TFMessage) -> None:
        self._transformed(message, True)

    def _transformed(self, message: TFMessage, is_static: bool) -> None:
        now_s = time.monotonic()
        for item in message.transforms:
            parent, child = plain_sentence(item.header.frame_id), plain_sentence(item.child_frame_id)
            self._transforms.append(TransformSample(now_s, parent, child, stamp_to_ns(item.header.stamp), is_static))

    # ---- graph ---------------------------------------------------------------------------------------------------

    def _topic(self, role: str, name: str, setup: Setup, arrivals: list[Arrival], last: Any) -> TopicObservation:
        asked = self._asked(role, name, setup)
        return TopicObservation(
            role=role,
            name=name,
            type_name=type_name(_kind(role, setup)),
            qos=qos.describe(asked),
            publishers=tuple(self._publishers(name, asked)),
            arrivals=tuple(arrivals),
            last=last,
        )

    def _asked(self, role: str, name: str, setup: Setup) -> QoSProfile:
        """Return the QoS with which the mapping node subscribes, or would."""
        mapping = self.mapping_node
        for info in self._node.get_subscriptions_info_by_topic(name):
            if mapping and _full_name(info) == mapping:
                return info.qos_profile
        return qos.stream(1) if base_name(role) == "pose_graph" else qos.sensor_input()

    def _publishers(self, topic: str, asked: QoSProfile | None) -> list[Endpoint]:
        ends = []
        for info in self._node.get_publishers_info_by_topic(topic):
            reason = "" if asked is None else _incompatible(info.qos_profile, asked)
            ends.append(Endpoint(_full_name(info), info.topic_type, qos.describe(info.qos_profile), reason))
        return ends

    def _mismatches(self) -> tuple[Mismatch, ...]:
        """Return the pairs of publishers and subscriptions that do not match, of topics that lira's nodes have."""
        prefix, found = self.namespace.rstrip("/") + "/", []
        for topic in self.graph():
            subscriptions = self._node.get_subscriptions_info_by_topic(topic)
            publishers = self._node.get_publishers_info_by_topic(topic)
            for publisher in publishers:
                for subscriber in subscriptions:
                    names = _full_name(publisher), _full_name(subscriber)
                    if NAME in names[1] or not any(name.startswith(prefix) for name in names):
                        continue
                    if reason := _incompatible(publisher.qos_profile, subscriber.qos_profile):
                        described = qos.describe(publisher.qos_profile), qos.describe(subscriber.qos_profile)
                        found.append(Mismatch(topic, *names, *described, reason))
        return tuple(found)

    def _observed_nodes(self, names: list[str]) -> tuple[NodeObservation, ...]:
        counts = Counter(names)
        prefix = self.namespace.rstrip("/") + "/"
        parameters = self._ask_parameters(sorted(counts), lambda name: name.startswith(prefix))
        return tuple(
            NodeObservation(
                name,
                parameters.get(name, {}).get("use_sim_time"),
                parameters.get(name, {}) if name.startswith(prefix) else {},
                count,
            )
            for name, count in sorted(counts.items())
        )

    def _ask_parameters(self, names: list[str], everything: Callable[[str], bool]) -> dict[str, dict[str, Any]]:
        """Return the parameters of nodes, ``everything`` or only use_sim_time; who does not answer is left out."""
        offered = {name for name, _ in self._node.get_service_names_and_types()}
        names = [name for name in names if f"{name}/get_parameters" in offered]
        wanted = {name: ["use_sim_time"] for name in names if not everything(name)}
        deadline_s = time.monotonic() + PARAMETERS_S
        lists = {name: ListParameters.Request() for name in names if everything(name)}
        listed = self._call_all(ListParameters, "list_parameters", lists, deadline_s)
        wanted.update({name: list(answer.result.names) for name, answer in listed.items()})
        requests = {name: GetParameters.Request(names=keys) for name, keys in wanted.items()}
        answers = self._call_all(GetParameters, "get_parameters", requests, deadline_s + PARAMETERS_S)
        return {
            name: {
                plain_sentence(key): parameter_value_to_python(value)
                for key, value in zip(wanted[name], answer.values, strict=False)
            }
            for name, answer in answers.items()
        }

    def _call_all(self, kind: Any, service: str, requests: Mapping[str, Any], deadline_s: float) -> dict[str, Any]:
        """Call a service of many nodes at once and return the answers that came in time."""
        clients = {name: self._node.create_client(kind, f"{name}/{service}") for name in requests}
        futures: dict[str, Any] = {}
        try:
            while time.monotonic() < deadline_s:
                for name, client in clients.items():
                    if name not in futures and client.service_is_ready():
                        futures[name] = client.call_async(requests[name])
                if len(futures) == len(clients) and all(future.done() for future in futures.values()):
                    break
                self._executor.spin_once(timeout_sec=0.05)
            return {name: future.result() for name, future in futures.items() if future.done() and future.result()}
        finally:
            for client in clients.values():
                self._node.destroy_client(client)


def _kind(role: str, setup: Setup) -> Any:
    kind = KINDS[base_name(role)]
    return CompressedImage if kind is Image and setup.image_transport == "compressed" else kind


def _full_name(info: Any) -> str:
    return plain_sentence(f"{info.node_namespace.rstrip('/')}/{info.node_name}")


def _incompatible(offered: QoSProfile, asked: QoSProfile) -> str:
    compatibility, reason = qos_check_compatible(offered, asked)
    if compatibility != QoSCompatibility.ERROR:
        return ""
    return plain_sentence(reason).replace("ERROR: ", "").rstrip("; ")
