"""What was seen of a running ROS graph for some seconds, as plain values: collected in lira_ros/ros, judged here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Endpoint:
    """A publisher. qos: in words. incompatible: why lira's subscription gets nothing of it, "" when they match."""

    node: str
    type_name: str
    qos: str = ""
    incompatible: str = ""


@dataclass(frozen=True)
class Arrival:
    """One message. arrival_s: monotonic [s]. stamp_ns: of its header. age_s: behind the clock that lira goes by [s]."""

    arrival_s: float
    stamp_ns: int
    age_s: float


@dataclass(frozen=True)
class TopicObservation:
    """An input of lira. role: what lira calls it. qos: of lira's subscription. last: newest message, by its fields."""

    role: str
    name: str
    type_name: str
    qos: str = ""
    publishers: tuple[Endpoint, ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    last: Any = None


@dataclass(frozen=True)
class TransformSample:
    """One transform of /tf or /tf_static."""

    arrival_s: float
    parent: str
    child: str
    stamp_ns: int
    is_static: bool = False


@dataclass(frozen=True)
class NodeObservation:
    """A node. use_sim_time: None when it did not tell. parameters: of nodes of lira. count: how many have this name."""

    name: str
    use_sim_time: bool | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    count: int = 1


@dataclass(frozen=True)
class StatusReport:
    """The newest diagnostic status of a node of lira. level: 0 ok, 1 warning, 2 error, 3 stale."""

    name: str
    level: int
    message: str
    hardware: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mismatch:
    """A publisher and a subscription that do not match, one of them of lira."""

    topic: str
    publisher: str
    subscriber: str
    offered: str
    asked: str
    reason: str


@dataclass(frozen=True)
class Setup:
    """What lira wants: from the parameters of the running mapping node, or from a camera preset."""

    namespace: str = "/lira"
    source: str = "the running mapping_node"
    map_frame: str = "map"
    pose_source: str = "tf"
    pose_timeout_s: float = 1.0
    sync_slop_s: float = 0.02
    images_rectified: bool = False
    image_transport: str = "raw"
    use_sim_time: bool = False
    driver: str = ""

    @classmethod
    def of(cls, parameters: Mapping[str, Any], **known: Any) -> Setup:
        """Return the setup that parameters of the mapping node describe; what they do not say is the default."""
        names = {
            "map_frame": "map_frame",
            "pose_source": "pose_source",
            "pose_timeout_s": "pose_timeout_s",
            "camera.sync_slop_s": "sync_slop_s",
            "camera.images_rectified": "images_rectified",
            "camera.image_transport": "image_transport",
            "use_sim_time": "use_sim_time",
        }
        said = {names[name]: value for name, value in parameters.items() if name in names and value is not None}
        return cls(**{**said, **known})


@dataclass(frozen=True)
class Observation:
    """Everything that was seen. began_s, ended_s: monotonic [s]. graph: types of the topics that somebody publishes."""

    setup: Setup
    began_s: float
    ended_s: float
    topics: tuple[TopicObservation, ...] = ()
    transforms: tuple[TransformSample, ...] = ()
    nodes: tuple[NodeObservation, ...] = ()
    reports: tuple[StatusReport, ...] = ()
    mismatches: tuple[Mismatch, ...] = ()
    graph: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    transform_publishers: tuple[str, ...] = ()
    clock_publishers: tuple[str, ...] = ()
    clock_ticks: int = 0

    @property
    def seconds(self) -> float:
        """Return how long was looked [s]."""
        return self.ended_s - self.began_s

    def topic(self, role: str) -> TopicObservation | None:
        """Return an input by what lira calls it."""
        return next((item for item in self.topics if item.role == role), None)

    def own_nodes(self) -> tuple[NodeObservation, ...]:
        """Return the nodes in the namespace of lira."""
        prefix = self.setup.namespace.rstrip("/") + "/"
        return tuple(node for node in self.nodes if node.name.rpartition("/")[0] + "/" == prefix)
