"""The view node over DDS: what it writes for the viewer is what the other nodes say, also when messages are bad."""

import numpy as np
import pytest

pytest.importorskip("rerun", reason="needs rerun-sdk (make setup)")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from rclpy.parameter import Parameter
from rerun_file import read_rerun_file
from shown_thing import thing
from std_srvs.srv import Trigger
from wall_scene import SESSION, candidates_message, keyframe_message, view

from lira_msgs.msg import (
    CandidateArray,
    FragmentPoses,
    InstanceMap,
    InstanceMapUpdate,
    InstructionArray,
    InstructionStatusArray,
    MeshUpdate,
)
from lira_msgs.msg import Instruction as InstructionMessage
from lira_msgs.msg import InstructionStatus as StatusMessage
from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_msgs.srv import GetInstanceMap
from lira_ros.fusion.contracts import Conformity, InstructionStatus, Removal, RemovalReason, SearchState
from lira_ros.mapping.mesh_regions import MeshRegion
from lira_ros.nodes.view_node import ViewNode
from lira_ros.ros import qos
from lira_ros.ros.conversions.fragment_poses import MapPoses, poses_to_message
from lira_ros.ros.conversions.geometry import pose_to_message
from lira_ros.ros.conversions.instance import map_to_message, update_to_message
from lira_ros.ros.conversions.mesh import UpdateHead, mesh_to_update
from lira_ros.ros.conversions.time import stamp_from_ns

STATUS = InstructionStatus("mug", SearchState.FOUND, "1 of 2 things conforms.", 3, 0, 2, 1)


@pytest.fixture
def view_node(spinner, wait_for, tmp_path):
    """Return a function that starts a view node which writes a file, and one that closes and reads it."""
    path = tmp_path / "live.rrd"
    nodes = []

    def start(**values):
        values = {"viewer.open": "none", "viewer.save": str(path), "judged_period_s": 0.1, **values}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        nodes.append(spinner.add(ViewNode(namespace="/lira", parameter_overrides=overrides)))
        wait_for(lambda: nodes[-1].state == "active", 30, "the start of the view node")
        return nodes[-1]

    def finish():
        assert nodes[-1].worker.wait_until_idle(10.0)
        nodes[-1].trigger_deactivate()
        nodes[-1].trigger_cleanup()
        return read_rerun_file(path)

    return start, finish


class Others:
    """What the other nodes publish, from a test node."""

    def __init__(self, peer):
        def publisher(kind, name, profile):
            return peer.create_publisher(kind, name if name.startswith("/") else f"/lira/{name}", profile)

        self.keyframes = publisher(KeyframeMessage, "keyframes", qos.keyframes())
        self.pose = publisher(PoseStamped, "pose", qos.stream())
        self.poses = publisher(FragmentPoses, "fragment_poses", qos.latched())
        self.candidates = publisher(CandidateArray, "candidates", qos.candidates())
        self.mesh = publisher(MeshUpdate, "map/mesh_updates", qos.mesh_updates())
        self.diagnostics = publisher(DiagnosticArray, "/diagnostics", qos.diagnostics())
        self.instructions = publisher(InstructionArray, "instructions", qos.latched())
        self.statuses = publisher(InstructionStatusArray, "instruction_status", qos.latched())
        self.maps = publisher(InstanceMap, "instance_map", qos.instance_maps())
        self.updates = publisher(InstanceMapUpdate, "instance_map/updates", qos.instance_updates())

    def connected(self):
        return all(publisher.get_subscription_count() for publisher in vars(self).values())

    def ask(self):
        item = InstructionMessage(id="mug", text="Find the red mug.", understood="A red mug.")
        self.instructions.publish(InstructionArray(instructions=[item]))
        status = StatusMessage(instruction_id="mug", state=StatusMessage.FOUND, reason=STATUS.reason)
        self.statuses.publish(InstructionStatusArray(statuses=[status]))

    def send_mesh(self, sequence, *coordinates, session=SESSION, clear=False, gone=False):
        count = 0 if gone else 1
        regions = [
            MeshRegion(
                item,
                0,
                sequence,
                np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0)], np.float32)[: 3 * count] + np.float32(item),
                np.array([(0, 1, 2)], np.int32)[:count],
                np.full((3, 3), 99, np.uint8)[: 3 * count],
            )
            for item in coordinates
        ]
        head = UpdateHead(view(1)[0].frame.stamp_ns, "map", session, sequence, clear, 0.64, 0)
        self.mesh.publish(mesh_to_update(head, regions))


@pytest.fixture
def others(peer):
    return Others(peer)


def test_what_the_nodes_say_is_shown_and_what_they_take_back_is_gone(view_node, others, spinner, peer, wait_for):

    start, finish = view_node
    rejected = thing(9, Conformity.REJECTED)
    asked = []

    def get_map(request, response):
        asked.append(request.instruction_id)
        response.success = request.include_rejected
        response.map = map_to_message([thing(7)], [rejected], STATUS, [], 1, 0, "map")
        return response

    peer.create_service(GetInstanceMap, "/lira/get_instance_map", get_map)
    meshes_asked = []

    def publish_full_mesh(request, response):
        meshes_asked.append(True)
        return response

    peer.create_service(Trigger, "/lira/mapping_node/publish_full_mesh", publish_full_mesh)
    node = start()
    wait_for(others.connected, what="the subscriptions")
    wait_for(lambda: node._full_mesh.service_is_ready() and node._get_map.service_is_ready(), what="the services")
    others.ask()
    for number in (1, 2, 3):
        frame = view(number)[0].frame
        message = PoseStamped(pose=pose_to_message(frame.T_map_camera))
        message.header.stamp = stamp_from_ns(frame.stamp_ns)
        others.pose.publish(message)
        others.keyframes.publish(keyframe_message(number))
    wait_for(lambda: node.worker.statistics()["keyframes"].processed == 3, what="the keyframes")
    others.candidates.publish(candidates_message(2))
    others.candidates.publish(candidates_message(2, session=SESSION + 5))  # of another map
    moved = np.eye(4)
    moved[:3, 3] = (5.0, 6.0, 7.0)
    others.poses.publish(poses_to_message(MapPoses({}, {2: moved}), SESSION, 1, "map", 7))
    others.send_mesh(1, (0, 0, 0), (1, 0, 0), clear=True)
    others.send_mesh(2, (1, 0, 0), gone=True)
    others.send_mesh(9, (2, 0, 0))
    wait_for(lambda: meshes_asked, what="the whole mesh asked for, as updates were lost")
    others.updates.publish(update_to_message([thing(6), thing(7)], [], STATUS, (0, 1), 1, 5, "map", clear=True))
    wait_for(lambda: asked, what="what was judged asked for")
    others.updates.publish(update_to_message([], [Removal(6, RemovalReason.REMOVED)], STATUS, (1, 2), 2, 6, "map"))
    figures = "p50 4.0 ms, p95 12.5 ms, p99 20.0 ms"
    status = DiagnosticStatus(name="/lira/mapping_node", values=[KeyValue(key="stage integrate", value=figures)])
    status.values.append(KeyValue(key="stage decode", value=figures.replace("12.5", "3.0")))
    foreign = DiagnosticStatus(name="/other/mapping_node", values=[KeyValue(key="stage integrate", value=figures)])
    others.diagnostics.publish(DiagnosticArray(status=[status, foreign]))
    bad = keyframe_message(4)
    bad.color.data = b"no picture"
    others.keyframes.publish(bad)
    wait_for(lambda: node.worker.statistics()["keyframes"].failed == 1, what="the bad keyframe")
    wait_for(lambda: node.worker.statistics()["diagnostics"].processed, what="the diagnostics")
    wait_for(lambda: node.worker.statistics()["judged"].processed, what="what was judged")
    wait_for(lambda: node.worker.statistics()["instance updates"].processed == 2, what="the updates")
    read = finish()
    shown = read.shown()
    assert {name for name in shown if name.startswith("/map/mesh/")} == {"/map/mesh/0_0_0", "/map/mesh/2_0_0"}
    instances = {name for name in shown if name.startswith("/map/instances")}
    assert instances == {f"/map/instances/mug/7/{kind}" for kind in ("box", "points")}
    assert "/map/instances/mug/6/box" in read.entities()
    assert shown["/map/judged/mug"]["Boxes3D:labels"] == ["#9 mug 0.50: It is *red*."]
    strip = shown["/map/trajectory/0"]["LineStrips3D:strips"][0]
    np.testing.assert_allclose(strip[1], (5, 6, 7), atol=1e-6)
    assert len(read.of("/map/camera")) == 3 + 1  # poses, and the lens once
    assert len(read.of("/reasoner/answer")) == 1
    assert read.of("/latency/integrate")[0].values["Scalars:scalars"] == [12.5]
    assert read.entities("/latency") == ["/latency/integrate"]
    texts = [row.values["TextLog:text"][0] for row in read.of("/log")]
    assert texts[0] == '"Find the red mug." (mug) is asked for. A red mug.'
    assert "mug: #6 is not there any more." in texts
    stamps = [row.times["stamp"] for row in read.of("/map/keyframe/image")]
    assert stamps == [view(number)[0].frame.stamp_ns for number in (1, 2, 3)]
    assert read.blueprint


def test_another_session_takes_the_place_of_the_first(view_node, others, wait_for):
    start, finish = view_node
    node = start()
    wait_for(others.connected, what="the subscriptions")
    others.keyframes.publish(keyframe_message(1))
    others.send_mesh(1, (0, 0, 0), clear=True)
    wait_for(lambda: node.worker.statistics()["mesh"].processed == 1, what="the mesh")
    others.keyframes.publish(keyframe_message(1, session=SESSION + 1))
    wait_for(lambda: node.worker.statistics()["keyframes"].processed == 2, what="the keyframe of the next session")
    others.send_mesh(2, (0, 0, 0))  # late, of the session that has ended
    others.send_mesh(3, (5, 0, 0), session=SESSION + 1, clear=True)
    wait_for(lambda: node.worker.statistics()["mesh"].processed == 2, what="the mesh of the next session")
    assert node.worker.statistics()["mesh"].failed == 1
    read = finish()
    assert "/map/mesh/0_0_0" in read.entities()
    assert set(read.shown("/map/mesh")) == {"/map/mesh/5_0_0"}


def test_a_viewer_that_cannot_be_opened_ends_the_node_with_a_sentence(spinner, wait_for, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    ended = []
    monkeypatch.setattr(ViewNode, "end_process", lambda self, code: ended.append(code))
    node = spinner.add(ViewNode(namespace="/lira"))
    wait_for(lambda: ended == [1], what="the end of the node")
    assert "there is no display for a window" in node._error
