"""Write the tables of topics, services and parameters into the README, from the nodes themselves.

``python -m lira_ros.nodes.reference README.md`` renews the tables between the marker comments; a test checks that
they are current.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import QoSProfile

from lira_ros.configuration import Parameter, parameters_of
from lira_ros.nodes.fusion_node import FusionNode
from lira_ros.nodes.mapping_node import MappingNode
from lira_ros.nodes.planning_node import PlanningNode
from lira_ros.nodes.reasoning_node import ReasoningNode
from lira_ros.nodes.replay_node import ReplayNode
from lira_ros.nodes.tracking_node import TrackingNode
from lira_ros.nodes.view_node import ViewNode
from lira_ros.nodes.web_node import WebNode
from lira_ros.reasoning.segmentation.following import Tracker
from lira_ros.ros import qos
from lira_ros.ros.inputs import type_name
from lira_ros.ros.node import LiraNode
from lira_ros.ros.web_calls import SuiteCalls
from lira_ros.web.configuration import WebConfiguration
from lira_ros.web.server import WebServer
from lira_ros.web.store import Store


class _NoTracker:
    """Stands for the video model, whose files need not be here to read what a node has."""

    def start(self, color: NDArray[np.uint8], masks: Mapping[int, NDArray[np.bool_]]) -> None:
        """Follow nothing."""

    def update(self, color: NDArray[np.uint8]) -> dict[int, NDArray[np.bool_]]:
        """Return nothing."""
        return {}


class _TrackingInterface(TrackingNode):
    def create_tracker(self) -> Tracker:
        return _NoTracker()


class _WebInterface(WebNode):
    def create_server(self, store: Store, calls: SuiteCalls) -> WebServer:
        # The page need not be built here, and its port may be taken.
        server = WebServer(WebConfiguration(port=0), store, calls.answer, {}, "")
        server.start()
        return server

    def activate(self) -> None:
        self._pages.open()


class _ViewInterface(ViewNode):
    """Has the topics of the node without a viewer, whose package need not be here."""

    def open_viewer(self) -> None:
        """Open nothing."""

    def _follow(self) -> None:
        """Show nothing."""

    def _show_mesh(self) -> None:
        """Show nothing."""


NODES: tuple[type[LiraNode], ...] = (
    MappingNode,
    ReasoningNode,
    FusionNode,
    _TrackingInterface,
    PlanningNode,
    _ViewInterface,
    _WebInterface,
)
# The replay node publishes what a recording holds, which is not known without one.
NODES_WITH_PARAMETERS: tuple[type[LiraNode], ...] = (*NODES, ReplayNode)
NAMESPACE = "/lira"
# Inputs that a node has only when it is told to; the others come with the defaults.
OPTIONS: dict[type[LiraNode], tuple[tuple[str, str], ...]] = {
    MappingNode: (("pose_source", "pose"), ("pose_source", "odometry"), ("mapping.up", "imu"))
}

TOPIC_MEANINGS = {
    "/diagnostics": "what the nodes say of their health; the viewer plots their latencies",
    "color/image": "colour image: rgb8, bgr8, rgba8, bgra8 or mono8; also compressed (`camera.image_transport`)",
    "depth/image": "depth image: 16UC1 in millimetres or 32FC1 in metres, registered to colour or reprojected",
    "color/camera_info": "intrinsics of the colour image",
    "depth/camera_info": "intrinsics of depth, needed when it is not registered to colour",
    "camera_pose": "pose of the camera's optical frame, instead of TF (`pose_source: pose`)",
    "odometry": "odometry of the robot, instead of TF (`pose_source: odometry`)",
    "pose_graph": "corrected poses of the robot by stamp, from a SLAM that optimises a graph; the map follows",
    "imu": "an IMU, for the direction of gravity (`mapping.up: imu`)",
    "keyframes": "colour, depth, camera, pose and gravity of one stamp",
    "fragments": "submaps: blocks of TSDF voxels in a frame of their own",
    "fragment_poses": "where all fragments and keyframes lie after a correction, without their voxels",
    "pose": "pose of the camera for each frame that was mapped",
    "trajectory": "the poses of the keyframes so far",
    "map/points": "the whole map as coloured points, with the `instance_id` of those that conform",
    "map/shape": "the whole mesh without colours, for planners and physics; as often as the bandwidth allows",
    "map/mesh": "the coloured surface for RViz, one marker for each region of 4x4x4 blocks; only what changed",
    "map/mesh_updates": "the same for programs: regions with coordinates, revision and shape_msgs/Mesh",
    "map/occupancy": "which cells of the floor are free, occupied or unknown, for planners; z of its origin is up",
    "map/distance": "distance of each of these cells to the nearest obstacle [m], as intensity",
    "map/heights": "how high the obstacle in each of these cells reaches above the floor [m], as intensity",
    "instances/goal_pose": "where to stand beside the best instance of the newest instruction; no frame_id = nowhere",
    "instances/keepout_mask": "mask for Nav2's keep-out filter: cells under chosen instances are 100, others 0",
    "instances/keepout_filter_info": "what Nav2's filter has to know of this mask (type 0)",
    "instances/speed_mask": "mask for Nav2's speed filter: the limit near chosen instances, 0 = none elsewhere",
    "instances/speed_filter_info": "what Nav2's filter has to know of this mask (type 1 per cent, 2 m/s)",
    "instance_masks": "32SC1 with stamp and pixels of the colour image: which conforming instance each shows, or 0",
    "tracked_masks": "the same from a video model, for every image that it keeps up with (`tracking:=true`)",
    "instructions": "the active instructions, whole list",
    "candidates": "answer of the back end for one keyframe and one instruction: masks, names, attributes, reasons",
    "reasoning_status": "how many keyframes are answered and pending for each instruction, and failures",
    "reasoning/overlay": "a keyframe with the masks of its candidates, for people",
    "instruction_status": "state of each instruction (SEARCHING, FOUND, NONE_CONFORM ...) with a reason",
    "instance_map": "full map of one instruction: the instances that conform; the last one of each is latched",
    "instance_map/updates": "what changed in the map of one instruction, from one revision to the next",
    "instances/markers": "boxes and names of the instances that conform; those that are gone are deleted",
    "instances/points": "voxels of the instances that conform, with an `instance_id` each",
    "instances/detections": "the same as detections of vision_msgs",
    "instances/label_info": "names of the class ids of the detections",
}

SERVICE_MEANINGS = {
    "save_map": "save map, keyframes, instances and instructions to a file in `map_directory`, with exports beside it",
    "load_map": "load a map that was saved; it replaces the current one",
    "correct_poses": "give keyframes new poses, by id or stamp; their fragments move",
    "~/clear_outside": "forget the fragments beyond a radius around the camera",
    "~/publish_full_mesh": "send the whole mesh again, within the bandwidth limit",
    "~/pause": "take in no more frames",
    "~/resume": "take in frames again",
    "submit_instruction": "give an instruction, or replace one; answers how it was understood",
    "cancel_instruction": "cancel one instruction, or all",
    "list_instructions": "the active instructions and where they stand",
    "get_instance_map": "the full map of one instruction, on request with the instances that were rejected and why",
    "get_instance_views": "small pictures of instances, the best views of each from different sides",
    "get_instance_mesh": "closed mesh and box of an instance, and the surface around it, for manipulators",
    "get_goal_beside": "where the robot can stand beside an instance, best first; on request it drives there by Nav2",
    "query_instances": "instances by id, label, place or free text, without giving an instruction",
    "~/export_state": "what the node knows, as bytes; the mapping node asks for it when a map is saved",
    "~/import_state": "go on from such bytes under a new mapping session; called when a map is loaded",
    "~/reset": "start again with an empty map; the instructions stay",
}

# What rclpy adds to every node; nothing of ours.
STANDARD_NAMES = ("parameter_events", "rosout", "transition_event", "tf", "tf_static", "clock", "diagnostics")
STANDARD_SERVICES = (
    "change_state",
    "describe_parameters",
    "get_available_states",
    "get_available_transitions",
    "get_parameter_types",
    "get_parameters",
    "get_state",
    "get_transition_graph",
    "get_type_description",
    "list_parameters",
    "set_parameters",
    "set_parameters_atomically",
)


def _row(cells: Iterable[str]) -> str:
    escaped = (cell.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ") for cell in cells)
    return "| " + " | ".join(escaped) + " |"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join([_row(header), _row("---" for _ in header), *(_row(row) for row in rows)])


def _relative(name: str, node: LiraNode) -> str:
    own = node.get_fully_qualified_name() + "/"
    if name.startswith(own):
        return "~/" + name[len(own) :]
    return name.removeprefix(NAMESPACE + "/")


def _service_type(service: object) -> str:
    kind = service.srv_type  # type: ignore[attr-defined]
    return f"{kind.__module__.split('.')[0]}/{kind.__name__}"


def _meaning(meanings: dict[str, str], name: str) -> str:
    if name not in meanings:
        raise ValueError(f"{name}: its meaning is missing in {__name__}")
    return meanings[name]


def _live_nodes() -> Iterator[LiraNode]:
    """Bring up one node after another, those with options once more for each of them."""
    context = Context()
    rclpy.init(context=context)
    try:
        for node_class in NODES:
            for option in ((), *((item,) for item in OPTIONS.get(node_class, ()))):
                values = (("autostart", False), *option)
                node = node_class(
                    context=context,
                    namespace=NAMESPACE,
                    use_global_arguments=False,
                    parameter_overrides=[RosParameter(name, value=value) for name, value in values],
                )
                try:
                    for transition in (node.trigger_configure, node.trigger_activate):
                        if transition() != TransitionCallbackReturn.SUCCESS:
                            raise RuntimeError(f"{node_class.node_name} could not be brought up to read its interfaces")
                    yield node
                finally:
                    node.shut_down()
                    node.destroy_node()
    finally:
        context.try_shutdown()


def interface_tables() -> tuple[str, str]:
    """Return the tables of topics and of services of the nodes, read off live nodes.

    Raises ValueError for a topic or service without a meaning, and for a meaning without its topic or service.
    """
    topics: dict[tuple[str, ...], None] = {}
    services: dict[tuple[str, ...], None] = {}
    for node in _live_nodes():
        topics.update(dict.fromkeys(_topics(node)))
        services.update(dict.fromkeys(_services(node)))
    for meanings, rows, column in ((TOPIC_MEANINGS, topics, 2), (SERVICE_MEANINGS, services, 1)):
        unused = set(meanings) - {row[column].strip("`") for row in rows}
        if unused:
            raise ValueError(f"{', '.join(sorted(unused))}: has a meaning in {__name__}, but no node has it")
    order = [node_class.node_name for node_class in NODES]
    ordered = sorted(topics, key=lambda row: (order.index(row[0]), row[1] == "out"))
    return (
        _table(("node", "", "topic", "type", "QoS", "meaning"), ordered),
        _table(("node", "service", "type", "meaning"), services),
    )


def _topics(node: LiraNode) -> list[tuple[str, ...]]:
    rows = []
    for entry in node.inputs:
        kind = "in" if entry.required else "in, optional"
        name = _relative(entry.topic, node)
        rows.append(_topic_row(node, kind, name, entry.type_name, entry.profile))
    for publisher in node.publishers:
        name = _relative(publisher.topic_name, node)
        if name.split("/")[-1] not in STANDARD_NAMES:
            rows.append(_topic_row(node, "out", name, type_name(publisher.msg_type), publisher.qos_profile))
    return rows


def _topic_row(node: LiraNode, kind: str, name: str, message_type: str, profile: QoSProfile) -> tuple[str, ...]:
    meaning = _meaning(TOPIC_MEANINGS, name)
    short_type = message_type.replace("/msg/", "/")
    return (node.node_name, kind, f"`{name}`", short_type, qos.describe(profile), meaning)


def _services(node: LiraNode) -> list[tuple[str, ...]]:
    rows = []
    for service in node.services:
        name = _relative(service.srv_name, node)
        if name.split("/")[-1] not in STANDARD_SERVICES:
            meaning = _meaning(SERVICE_MEANINGS, name)
            rows.append((node.node_name, f"`{name}`", _service_type(service), meaning))
    return rows


def _limits(parameter: Parameter) -> str:
    info = parameter.info
    if info.choices:
        return ", ".join(info.choices)
    low, high = info.minimum, info.maximum
    if low is None and high is None:
        return ""
    if low is None or high is None:
        return f"at most {high:g}" if low is None else f"at least {low:g}"
    return f"{low:g} to {high:g}"


def _default(parameter: Parameter) -> str:
    value = parameter.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value not in ("", ()) else "empty"


def parameter_tables() -> str:
    """Return a table of parameters for each node."""
    parts = []
    for node_class in NODES_WITH_PARAMETERS:
        rows = [
            (
                f"`{item.name}`",
                _default(item),
                _limits(item),
                item.info.description + ("" if item.info.read_only else " (can be changed while running)"),
            )
            for item in parameters_of(node_class.configuration_class)
        ]
        table = _table(("parameter", "default", "range", "meaning"), rows)
        parts.append(f"<details><summary>{node_class.node_name}</summary>\n\n{table}\n\n</details>")
    return "\n".join(parts)


def renew(text: str) -> str:
    """Return a README text with all generated tables renewed; raises ValueError when a marker is missing."""
    topics, services = interface_tables()
    for name, content in (("topics", topics), ("services", services), ("parameters", parameter_tables())):
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        head, separator, rest = text.partition(begin)
        _, closing, tail = rest.partition(end)
        if not separator or not closing:
            raise ValueError(f"README: the markers {begin} and {end} are missing")
        text = f"{head}{begin}\n{content}\n{end}{tail}"
    return text


def main() -> int:
    """Renew the tables of the file named on the command line."""
    path = Path(sys.argv[1])
    path.write_text(renew(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
