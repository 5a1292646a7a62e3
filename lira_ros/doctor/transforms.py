"""Judge TF: whether the way from the map to each camera is complete, and fresh at the stamps of the images."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from lira_ros.doctor.finding import Finding, bad, good, note
from lira_ros.doctor.observation import Arrival, Observation, TopicObservation, TransformSample
from lira_ros.presets import base_name

# Half of the images without a pose: the map has holes, and something is wrong with more than one packet.
LEAST_SHARE = 0.5
# A transform this far behind is not late but stands still, or goes by another clock.
STANDS_STILL_S = 5.0
# Between two transforms further apart a hand-held camera has moved too much to interpolate.
LEAST_RATE_HZ = 5.0


@dataclass
class Edge:
    """The transforms of one child frame to one parent, in the order in which they came."""

    parent: str
    child: str
    is_static: bool
    samples: list[tuple[float, int]] = field(default_factory=list)  # arrival [s], stamp [ns]

    def __str__(self) -> str:
        return f"{self.parent} -> {self.child}"

    def known(self, stamp_ns: int, until_s: float) -> bool:
        """Tell whether the transform at a stamp could be looked up before a time of arrival."""
        if self.is_static:
            return True
        came = [stamp for arrival_s, stamp in self.samples if arrival_s <= until_s]
        return any(stamp >= stamp_ns for stamp in came) and any(stamp <= stamp_ns for stamp in came)


class TransformTree:
    """The frames of TF with their parents."""

    def __init__(self, samples: Iterable[TransformSample]) -> None:
        self.edges: dict[tuple[str, str], Edge] = {}
        self.parents: dict[str, list[str]] = {}
        for sample in samples:
            parent, child = sample.parent.lstrip("/"), sample.child.lstrip("/")
            edge = self.edges.setdefault((parent, child), Edge(parent, child, sample.is_static))
            edge.is_static = edge.is_static or sample.is_static
            edge.samples.append((sample.arrival_s, sample.stamp_ns))
            if parent not in (known := self.parents.setdefault(child, [])):
                known.append(parent)

    @property
    def frames(self) -> set[str]:
        """Return the names of all frames."""
        return {name for pair in self.edges for name in pair}

    def ancestors(self, frame: str) -> list[str]:
        """Return a frame and its ancestors up to its root; a loop ends where it closes."""
        way = [frame]
        while (parents := self.parents.get(way[-1])) and parents[0] not in way:
            way.append(parents[0])
        return way

    def loop(self, frame: str) -> list[str]:
        """Return the frames of the loop that the way upwards runs into, or nothing."""
        way = self.ancestors(frame)
        parents = self.parents.get(way[-1])
        return way[way.index(parents[0]) :] if parents else []

    def connected(self, first: str, second: str) -> bool:
        """Tell whether TF knows a way between two frames."""
        return first == second or bool(set(self.ancestors(first)) & set(self.ancestors(second)))

    def way(self, target: str, source: str) -> list[Edge]:
        """Return the transforms between two connected frames, those of the target first."""
        up, down = self.ancestors(target), self.ancestors(source)
        meeting = next(name for name in down if name in up)
        below = [self.edges[parent, child] for child, parent in pairwise(down)]
        above = [self.edges[parent, child] for child, parent in pairwise(up)]
        return [*above[: up.index(meeting)], *reversed(below[: down.index(meeting)])]


def judge_transforms(observation: Observation) -> list[Finding]:
    """Return the findings on TF: several parents, and the way from the map to the frame of each camera."""
    setup = observation.setup
    tree = TransformTree(observation.transforms)
    images = [
        topic for topic in observation.topics if base_name(topic.role) == "color/image" and topic.last is not None
    ]
    findings: list[Finding] = []
    ways: set[str] = set()
    for topic in images:
        frame = str(topic.last.header.frame_id).lstrip("/")
        subject = f"{topic.role.removesuffix('color/image')}tf"
        if not frame:
            said = f"{topic.name} has no header.frame_id"
            findings.append(bad(subject, said, "let the driver name the optical frame of the camera"))
            continue
        ways |= set(tree.ancestors(frame))
        if setup.pose_source == "tf":
            findings += _from_map(subject, setup.map_frame, frame, topic, tree, observation)
        elif pose := _pose_topic(topic, observation):
            findings += _from_topic(subject, frame, pose, tree, observation)
    for child, parents in sorted(tree.parents.items()):
        if len(parents) > 1:
            said = f"{child} has {len(parents)} parents, {' and '.join(sorted(parents))}: TF jumps between them"
            publishers = ", ".join(observation.transform_publishers) or "those that publish /tf"
            mend = f"stop one of them (publish_tf:=false in a driver or in the odometry); /tf comes from {publishers}"
            findings.append(bad("tf", said, mend) if child in ways else note("tf", said, mend))
    return findings


def _from_map(
    subject: str, map_frame: str, frame: str, topic: TopicObservation, tree: TransformTree, observation: Observation
) -> list[Finding]:
    if loop := tree.loop(frame):
        said = f"the frames {' -> '.join([*loop, loop[0]])} are parents of each other: a loop"
        return [bad(subject, said, "stop the publisher of one of these transforms; ros2 run tf2_tools view_frames")]
    still = f"ros2 run tf2_ros static_transform_publisher --frame-id {map_frame} --child-frame-id"
    if not tree.edges:
        said = f"nobody publishes TF; lira needs {map_frame} -> {frame}"
        mend = f"start the SLAM or odometry (pose:=...), or for a camera that stands still: {still} {frame}"
        return [bad(subject, said, mend)]
    if frame not in tree.frames:
        said = f"the frame {frame} of {topic.name} is not in TF"
        mend = (
            "let the driver publish its frames (publish_tf:=true), or put the camera into the robot description (URDF)"
        )
        return [bad(subject, said, mend)]
    root = tree.ancestors(frame)[-1]
    if not tree.connected(map_frame, frame):
        if map_frame in tree.frames:
            said = (
                f"TF has two trees: {map_frame} is in one, {frame} in that of {root}; {map_frame} -> {root} is missing"
            )
            mend = f"publish the way from {map_frame} to {root}: it is what a SLAM, an odometry or the URDF does"
        else:
            said = f"there is no frame {map_frame} in TF; the tree of {frame} ends at {root}"
            mend = f"start the SLAM, or say map_frame:={root}; for a camera that stands still: {still} {root}"
        return [bad(subject, said, mend)]
    way = tree.way(map_frame, frame)
    names = " -> ".join(dict.fromkeys(name for edge in way for name in (edge.parent, edge.child))) or frame
    if late := _late(way, topic, observation):
        return [bad(subject, *late)]
    findings = [good(subject, f"{names}, known at the stamps of the images")]
    for edge in way:
        span_s = (edge.samples[-1][1] - edge.samples[0][1]) / 1e9
        if not edge.is_static and span_s > 0 and (rate_hz := (len(edge.samples) - 1) / span_s) < LEAST_RATE_HZ:
            mend = "raise its rate above 10 Hz: TF interpolates, and a camera does not move so evenly"
            findings.append(note(subject, f"{edge} comes at {rate_hz:.1f} Hz only", mend))
    return findings


def _pose_topic(image: TopicObservation, observation: Observation) -> TopicObservation | None:
    """Return the topic that says where this camera is: odometry is that of the robot, a pose that of the camera."""
    prefix = image.role.removesuffix("color/image")
    role = "odometry" if observation.setup.pose_source == "odometry" else f"{prefix}camera_pose"
    topic = observation.topic(role)
    return topic if topic is not None and topic.last is not None else None


def _from_topic(
    subject: str, frame: str, pose: TopicObservation, tree: TransformTree, observation: Observation
) -> list[Finding]:
    wanted = observation.setup.map_frame
    given = str(pose.last.header.frame_id).lstrip("/")
    if given != wanted:
        said = f"poses on {pose.name} are in {given!r}, lira maps in {wanted!r}"
        return [bad(subject, said, f"say map_frame:={given}, or let its publisher use {wanted}")]
    body = str(getattr(pose.last, "child_frame_id", "")).lstrip("/")
    if body and not tree.connected(body, frame):
        said = f"TF knows no way from {body}, whose poses {pose.name} holds, to {frame}"
        return [bad(subject, said, f"publish {body} -> {frame} on /tf_static: where the camera sits on the robot")]
    return [good(subject, f"poses of {body or frame} in {given} on {pose.name}")]


def _late(way: list[Edge], topic: TopicObservation, observation: Observation) -> tuple[str, str] | None:
    """Return message and remedy of the transform that is unknown at the stamps of most images, None when none is."""
    timeout_s = observation.setup.pose_timeout_s
    moving = [edge for edge in way if not edge.is_static]
    # Whose pose could still come is not judged, nor what was there before TF was listened to.
    judged = [item for item in topic.arrivals if item.arrival_s + timeout_s <= observation.ended_s] or topic.arrivals
    first_ns = max((min(stamp for _, stamp in edge.samples) for edge in moving), default=0)
    judged = [item for item in judged if item.stamp_ns >= first_ns] or judged
    for edge in moving:
        known = sum(edge.known(item.stamp_ns, item.arrival_s + timeout_s) for item in judged)
        if known >= LEAST_SHARE * len(judged):
            continue
        share = f"known for {known} of {len(judged)} images within pose_timeout_s {timeout_s:g} s"
        lag_s = _lag_s(edge, judged)
        side = "behind" if lag_s > 0 else "ahead of"
        said = f"{edge} is {abs(lag_s):.2f} s {side} the images; {share}"
        if len(edge.samples) == 1:
            return f"{said}; it came only once", f"publish {edge} on /tf_static, or again and again on /tf"
        if not 0 <= lag_s < STANDS_STILL_S:
            mend = f"restart what publishes {edge}; use_sim_time the same for all, clocks that agree (chronyc tracking)"
            return said, mend
        wanted_s = min(60.0, 2 * lag_s + timeout_s)
        return said, f"set pose_timeout_s: {wanted_s:.1f} (mapping_node), or make its publisher faster"
    return None


def _lag_s(edge: Edge, images: Sequence[Arrival]) -> float:
    """Return how far the transform was behind the images when they arrived, by the stamps: the median [s]."""
    lags_ns = []
    for item in images:
        came = [stamp for arrival_s, stamp in edge.samples if arrival_s <= item.arrival_s]
        lags_ns.append(item.stamp_ns - max(came, default=edge.samples[0][1]))
    return statistics.median(lags_ns) / 1e9
