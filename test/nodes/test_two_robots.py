"""Two robots in one DDS domain, alike in all but their namespace: ids of instructions, frames, stamps and clock."""

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.parameter import Parameter

from lira_msgs.msg import InstanceMap
from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_msgs.srv import SubmitInstruction
from lira_ros.datasets import open_sequence
from lira_ros.nodes.fusion_node import FusionNode
from lira_ros.nodes.mapping_node import MappingNode
from lira_ros.nodes.reasoning_node import ReasoningNode
from lira_ros.nodes.replay_node import ReplayNode
from lira_ros.ros import qos
from lira_ros.ros.conversions.geometry import pose_from_message
from lira_ros.ros.conversions.time import stamp_to_ns

# What ROS itself and REP-107 put above all namespaces; everything in them says who it is of.
COMMON = {"/diagnostics", "/parameter_events", "/rosout"}
# TF and clock are global by convention; below the namespace of a robot they are its own, as Nav2 does it.
OWN = {"/tf": "tf", "/tf_static": "tf_static", "/clock": "clock"}
INPUTS = {
    "color/image": "camera/color/image_raw",
    "color/camera_info": "camera/color/camera_info",
    "depth/image": "camera/aligned_depth_to_color/image_raw",
}
SIZE = "rate_hz=2&width_px=160&duration_s=5.0"
ASKED = {
    "robot1": (f"room:0?{SIZE}", "Find the sofa.", "sofa"),
    "robot2": (f"room:3?{SIZE}", "Find the stove.", "stove"),
}


def start(spinner, robot, node_class, values, remappings):
    """Start a node as ``ros2 run ... --ros-args`` with these remappings would, in this process."""
    rules = [text for pair in remappings.items() for text in ("-r", "{}:={}".format(*pair))]
    node = node_class(
        namespace=robot,
        cli_args=["--ros-args", *rules],
        parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
    )
    return spinner.add(node)


def start_suite(spinner, robot, recording):
    common = {"use_sim_time": True}
    mapping = {**common, "camera.sensor_reliable": True, "mapping.voxel_size_m": 0.04}
    reasoning = {**common, "reasoner.backend": "oracle", "recording": recording}
    start(spinner, robot, MappingNode, mapping, {**INPUTS, **OWN})
    start(spinner, robot, ReasoningNode, reasoning, OWN)
    start(spinner, robot, FusionNode, {**common, "fusion.voxel_size_m": 0.04}, OWN)


def start_replay(spinner, robot, recording):
    values = {
        "recording": recording,
        "camera_namespace": "camera",
        "publish_clock": True,
        "wait_for_subscribers": True,
        "exit_at_end": False,
    }
    return start(spinner, robot, ReplayNode, values, OWN)


def names_in(node):
    return {name for name, _ in (*node.get_topic_names_and_types(), *node.get_service_names_and_types())}


def test_two_suites_and_two_replays_do_not_touch_each_other(collected_nodes, spinner, peer, wait_for, call_service):
    of_earlier_tests = {name for name in names_in(peer) if name.endswith("/get_type_description")}  # rclpy keeps them
    keyframes = {robot: {} for robot in ASKED}
    maps = {robot: {} for robot in ASKED}
    reporters = set()
    sequences = {robot: open_sequence(recording) for robot, (recording, _, _) in ASKED.items()}
    for robot in ASKED:
        peer.create_subscription(
            KeyframeMessage,
            f"/{robot}/keyframes",
            lambda message, robot=robot: keyframes[robot].update({stamp_to_ns(message.header.stamp): message}),
            qos.keyframes(),
        )
        peer.create_subscription(
            InstanceMap,
            f"/{robot}/instance_map",
            lambda message, robot=robot: maps[robot].update({message.instruction_id: message}),
            qos.instance_maps(),
        )
    peer.create_subscription(
        DiagnosticArray,
        "/diagnostics",
        lambda message: reporters.update(status.name for status in message.status),
        qos.stream(50),
    )
    for robot, (recording, text, _) in ASKED.items():
        start_suite(spinner, robot, recording)
        reply = call_service(
            peer,
            SubmitInstruction,
            f"/{robot}/submit_instruction",
            SubmitInstruction.Request(text=text, id="wanted"),
            timeout_s=90,
        )
        assert reply.accepted, reply.message
    for robot, (recording, _, _) in ASKED.items():
        start_replay(spinner, robot, recording)

    def finished(robot):
        sequence = sequences[robot]
        found = maps[robot].get("wanted")
        newest_ns = sequence.stamp_ns(len(sequence) - 1)
        return keyframes[robot] and max(keyframes[robot]) >= newest_ns - 10**9 and found and found.instances

    for robot, (_, _, label) in ASKED.items():
        wait_for(lambda robot=robot: finished(robot), 60, f"{robot} to find what it was asked for")
        sequence = sequences[robot]
        assert {item.label for item in maps[robot]["wanted"].instances} == {label}
        # Both recordings have the same stamps and frames: with one /tf poses would be those of either robot.
        stamps = {sequence.stamp_ns(index): index for index in range(len(sequence))}
        for stamp_ns, message in keyframes[robot].items():
            expected = sequence.pose(stamps[stamp_ns])
            np.testing.assert_allclose(pose_from_message(message.pose, "keyframe"), expected, atol=1e-5)
    own = (*(f"/{robot}/" for robot in ASKED), f"/{peer.get_name()}/")
    assert {name for name in names_in(peer) - of_earlier_tests if not name.startswith(own)} <= COMMON
    assert {name for name, _ in peer.get_topic_names_and_types()} >= {
        f"/{robot}/{name}" for robot in ASKED for name in OWN.values()
    }
    assert {name.rsplit("/", 1)[0] for name in reporters if "node" in name} == {f"/{robot}" for robot in ASKED}
