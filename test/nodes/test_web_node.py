"""The web node over DDS: a page sees what the suite publishes, its calls reach the services, alone it costs nothing."""

import asyncio
import base64
import json
import threading

import aiohttp
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from wall_scene import SESSION, keyframe_message, view

from lira_msgs.msg import (
    InstanceMap,
    InstanceMapUpdate,
    InstanceView,
    InstructionArray,
    InstructionStatusArray,
    Keyframe,
    MeshUpdate,
)
from lira_msgs.srv import GetInstanceMap, GetInstanceViews, SubmitInstruction
from lira_ros.fusion.contracts import Conformity, Instance, OrientedBox, SearchState, Verdict
from lira_ros.fusion.contracts import InstructionStatus as Status
from lira_ros.nodes import web_node
from lira_ros.reasoning.contracts import Attributes, Instruction
from lira_ros.reasoning.language.parser import parse
from lira_ros.ros import qos, web_inputs
from lira_ros.ros.conversions import mesh
from lira_ros.ros.conversions.geometry import pose_to_message
from lira_ros.ros.conversions.image import image_to_message
from lira_ros.ros.conversions.instance import instance_to_message, map_to_message, update_to_message
from lira_ros.ros.conversions.instruction import instructions_to_message, statuses_to_message
from lira_ros.web.frames import read_frame
from lira_ros.web.static_files import StaticFile, WebError

FILES = {"/": StaticFile("text/html", b"page", b"page", '"1"')}


class Page:
    """A page in a thread: holds what it is told, by key, and can ask."""

    def __init__(self, address):
        self.values = {}
        self.closed = False
        self._connected = threading.Event()
        self._origin = address.rstrip("/")
        self._answers = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)
        self._thread.start()
        assert self._connected.wait(10), "no connection within 10 s"

    async def _run(self):
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{self._origin}/socket", origin=self._origin, max_msg_size=0) as socket,
        ):
            self._socket = socket
            self._connected.set()
            count = 0
            async for message in socket:
                self._take(message.data)
                count += 1
                await socket.send_str(json.dumps({"received": count}))
        self.closed = True

    def _take(self, data):
        if isinstance(data, bytes):
            head, arrays = read_frame(data)
            self.values[(head["kind"], head["name"])] = (head, arrays)
            return
        value = json.loads(data)
        if value["kind"] == "answer":
            self._answers[value["number"]] = value
            return
        for key, item in value["changed"]:
            self.values[tuple(key)] = item
        for key in value["gone"]:
            self.values.pop(tuple(key), None)

    def kinds(self, kind):
        """Return names and values of one kind."""
        return {name: value for (found, name), value in list(self.values.items()) if found == kind}

    def ask(self, wait_for, call, **arguments):
        """Ask for something and return the answer."""
        number = len(self._answers) + 1
        text = json.dumps({"call": call, "number": number, "arguments": arguments})
        asyncio.run_coroutine_threadsafe(self._socket.send_str(text), self._loop)
        return wait_for(lambda: self._answers.get(number), 15, f"the answer to {call}")

    def close(self):
        """Go away."""
        if not self.closed:
            asyncio.run_coroutine_threadsafe(self._socket.close(), self._loop)
        self._thread.join(5)


class Suite:
    """What mapping, reasoning and fusion publish and answer, from a test node."""

    def __init__(self, peer):
        self.mesh = peer.create_publisher(MeshUpdate, "map/mesh_updates", qos.mesh_updates())
        self.overlay = peer.create_publisher(Image, "reasoning/overlay", qos.image_output())
        self.keyframes = peer.create_publisher(Keyframe, "keyframes", qos.keyframes())
        self.pose = peer.create_publisher(PoseStamped, "pose", qos.stream(10))
        self.trajectory = peer.create_publisher(Path, "trajectory", qos.latched())
        self.instructions = peer.create_publisher(InstructionArray, "instructions", qos.latched())
        self.status = peer.create_publisher(InstructionStatusArray, "instruction_status", qos.latched())
        self.maps = peer.create_publisher(InstanceMap, "instance_map", qos.instance_maps())
        self.updates = peer.create_publisher(InstanceMapUpdate, "instance_map/updates", qos.instance_updates())
        self.diagnostics = peer.create_publisher(DiagnosticArray, "/diagnostics", qos.diagnostics())
        self.sequence = 0
        self.resends = []
        self.submitted = []
        self.rejected = []
        peer.create_service(Trigger, "mapping_node/publish_full_mesh", self._resend)
        peer.create_service(SubmitInstruction, "submit_instruction", self._submit)
        peer.create_service(GetInstanceMap, "get_instance_map", self._get_map)
        peer.create_service(GetInstanceViews, "get_instance_views", self._get_views)

    def heavy(self):
        """Return how many listen to the heavy topics."""
        return sum(
            item.get_subscription_count()
            for item in (self.mesh, self.overlay, self.keyframes, self.pose, self.maps, self.updates)
        )

    def send_mesh(self, *regions, clear=False, session=SESSION, skip=0, waiting=0):
        self.sequence += 1 + skip
        head = mesh.UpdateHead(1, "map", session, self.sequence, clear, 0.64, waiting)
        self.mesh.publish(mesh.mesh_to_update(head, regions))

    def ask(self, *names):
        items = [Instruction(name, "Find the mug.", parse("Find the mug.")) for name in names]
        self.instructions.publish(instructions_to_message(items, 1))
        statuses = [Status(name, SearchState.FOUND, "1 of 2 things conforms.", 4, 1, 2, 1) for name in names]
        self.status.publish(statuses_to_message(statuses, 1, "map"))

    def _resend(self, request, response):
        self.resends.append(self.sequence)
        response.success = True
        return response

    def _submit(self, request, response):
        self.submitted.append(request)
        response.accepted, response.id, response.understood = True, "a1", "mug"
        response.message = "a1: looking for mug"
        return response

    def _get_map(self, request, response):
        response.success = True
        response.map.rejected = [instance_to_message(item, with_voxels=False) for item in self.rejected]
        return response

    def _get_views(self, request, response):
        response.success = list(request.ids) == [7]
        response.message = "views"
        if response.success:
            response.views = [InstanceView(instance_id=7)]
            response.views[0].image.data = b"jpeg"
        return response


def make_region(coordinates, triangles=1):
    vertices = np.array(coordinates, dtype=np.float32) * 0.64 + np.eye(3, dtype=np.float32) * 0.1
    if triangles == 0:
        vertices = vertices[:0]
    return mesh.MeshRegion(
        coordinates,
        1,
        1,
        vertices,
        np.array([[0, 1, 2]] * triangles, dtype=np.int32).reshape(-1, 3),
        np.full((len(vertices), 3), 99, dtype=np.uint8),
    )


def make_instance(number, conformity, label="mug", voxels=4):
    T = np.eye(4)
    T[:3, 3] = (1.0, 2.0, 0.5)
    return Instance(
        id=number,
        label=label,
        label_confidence=0.9,
        existence=0.95,
        attributes=Attributes(),
        box=OrientedBox(T, np.array([0.1, 0.1, 0.12])),
        voxel_size_m=0.02,
        voxels=np.arange(3 * voxels, dtype=np.int32).reshape(-1, 3),
        voxel_colors=np.zeros((voxels, 3), dtype=np.uint8),
        first_seen_ns=1,
        last_seen_ns=2,
        observations=4,
        verdicts={"a1": Verdict(conformity, 0.8, "It is a mug.")},
    )


@pytest.fixture
def web(spinner, wait_for, monkeypatch):
    """Return a function that starts a web node with a page of a few bytes."""
    monkeypatch.setattr(web_node, "read_static_files", lambda: FILES)
    monkeypatch.setattr(web_node, "LINGER_S", 0.5)
    monkeypatch.setattr(web_inputs, "OTHERS_PERIOD_S", 0.2)

    def start(active=True, **values):
        overrides = [Parameter(f"web.{name}", value=value) for name, value in {"port": 0, **values}.items()]
        node = spinner.add(web_node.WebNode(parameter_overrides=overrides))
        if active:
            wait_for(lambda: node.state == "active", 30, "the start of the web node")
        return node

    return start


@pytest.fixture
def suite(peer):
    return Suite(peer)


@pytest.fixture
def watched(web, suite, wait_for):
    """Return a web node and a page of it, connected to the suite."""
    node = web()
    page = Page(node._server.addresses()[0])
    wait_for(lambda: suite.heavy() == 6 and len(node.inputs) == 10, what="the subscriptions for the page")
    yield node, page
    page.close()


def test_heavy_topics_are_listened_to_while_a_page_is_open(web, suite, wait_for):
    node = web()
    wait_for(lambda: node.state == "active", what="the start")
    assert suite.heavy() == 0
    assert node.inputs == ()
    page = Page(node._server.addresses()[0])
    wait_for(lambda: suite.heavy() == 6, what="the subscriptions for the page")
    suite.ask("a1")
    suite.send_mesh(make_region((0, 0, 0)), clear=True)
    wait_for(lambda: page.kinds("region") and page.kinds("instruction"), what="what is shown")
    page.close()
    wait_for(lambda: suite.heavy() == 0, what="the end of the subscriptions")
    wait_for(lambda: node._store.known() == [], what="the end of what was kept")
    again = Page(node._server.addresses()[0])
    wait_for(lambda: suite.heavy() == 6, what="the subscriptions for another page")
    wait_for(lambda: again.kinds("instruction"), what="the latched instructions")
    assert again.kinds("region") == {}
    again.close()


def test_the_surface_grows_and_what_was_lost_is_asked_for(watched, suite, wait_for):
    node, page = watched
    suite.send_mesh(make_region((0, 0, 0)), make_region((1, 0, 0)), clear=True, waiting=3)
    wait_for(lambda: set(page.kinds("region")) == {"0,0,0", "1,0,0"}, what="two regions")
    head, (positions, colors, indices) = page.values[("region", "1,0,0")]
    shown = positions.reshape(-1, 3) * np.array(head["step"]) + np.array(head["origin"])
    np.testing.assert_allclose(shown, make_region((1, 0, 0)).vertices, atol=1e-4)
    assert (colors.tolist(), indices.tolist()) == ([99] * 9, [0, 1, 2])
    assert page.kinds("surface")[""] == {"frame": "map", "waiting": 3}
    suite.send_mesh(make_region((1, 0, 0), 0))
    wait_for(lambda: set(page.kinds("region")) == {"0,0,0"}, what="one region less")
    assert suite.resends == []
    suite.send_mesh(make_region((2, 0, 0)), skip=1)
    wait_for(lambda: suite.resends, what="the question for the whole mesh")
    suite.send_mesh(make_region((5, 5, 5)), session=SESSION + 1)
    wait_for(lambda: set(page.kinds("region")) == {"5,5,5"}, what="the map of the next session only")
    suite.mesh.publish(b"\x00\x01\x00\x00broken")
    wait_for(lambda: "mesh refused" in node.statistics.problems(), what="the report of a broken message")
    suite.send_mesh(make_region((6, 5, 5)), session=SESSION + 1)
    wait_for(lambda: len(page.kinds("region")) == 2, what="the next part")


def test_a_surface_beyond_the_budget_is_shown_near_the_camera(web, suite, wait_for, monkeypatch):
    node = web()
    page = Page(node._server.addresses()[0])
    wait_for(lambda: suite.heavy() == 6, what="the subscriptions for the page")
    size = len(
        web_inputs.views.region_frame(
            "0,0,0", np.eye(3, dtype=np.float32), np.zeros((1, 3), np.uint32), np.zeros((3, 3), np.uint8)
        )
    )
    monkeypatch.setattr(web_inputs, "MEBIBYTE", 3 * size // node.configuration.web.mesh_budget_mib)
    suite.send_mesh(*(make_region((n, 0, 0)) for n in range(8)), clear=True)
    wait_for(lambda: 1 <= len(page.kinds("region")) <= 3, what="a part of the surface")
    assert "0,0,0" in page.kinds("region")
    assert "7,0,0" not in page.kinds("region")
    page.close()


def test_instances_come_with_verdicts_voxels_and_reasons(watched, suite, wait_for):
    node, page = watched
    suite.rejected = [make_instance(9, Conformity.REJECTED, "cup")]
    status = Status("a1", SearchState.FOUND, "1 of 2 things conforms.", 4, 1, 2, 1)
    mug = make_instance(7, Conformity.CONFORMS)
    # Topics overtake each other: the map may come before the instruction that it is of.
    suite.maps.publish(map_to_message((mug,), (), status, (), 1, 5, "map"))
    wait_for(lambda: node._pages._maps.maps.instances("a1"), what="the map")
    suite.ask("a1")
    wait_for(lambda: set(page.kinds("instance")) == {"7", "9"}, what="both instances")
    told = page.values[("instance", "7")]
    assert (told["label"], told["size_m"]) == ("mug", [0.1, 0.1, 0.12])
    assert told["verdicts"]["a1"] == {"verdict": "conforms", "score": 0.8, "reason": "It is a mug."}
    assert page.values[("instance", "9")]["verdicts"]["a1"]["verdict"] == "rejected"
    instruction = page.values[("instruction", "a1")]
    assert (instruction["state"], instruction["reason"]) == ("found", "1 of 2 things conforms.")
    wait_for(lambda: set(page.kinds("voxels")) == {"7"}, what="the voxels of what conforms")

    def verdict_of(number):
        return page.values[("instance", number)]["verdicts"].get("a1", {}).get("verdict")

    # It turns out not to conform: it stays in the list, with the reason, and loses its voxels.
    suite.rejected = [make_instance(7, Conformity.REJECTED), *suite.rejected]
    suite.updates.publish(update_to_message((), (), status, (1, 2), 1, 6, "map", clear=True))
    wait_for(lambda: verdict_of("7") == "rejected", what="the change")
    assert page.kinds("voxels") == {}
    suite.ask()
    wait_for(lambda: not page.kinds("instance") and not page.kinds("instruction"), what="the end of it all")


def test_camera_way_up_and_health(watched, suite, wait_for):
    _, page = watched
    pose = PoseStamped(pose=pose_to_message(view(3)[0].frame.T_map_camera))
    path = Path(poses=[PoseStamped(pose=pose_to_message(view(n)[0].frame.T_map_camera)) for n in (1, 2, 3)])
    path.poses[1].pose.position.x = float("nan")
    suite.trajectory.publish(path)
    wait_for(lambda: page.kinds("way") and page.kinds("up"), what="the way")
    np.testing.assert_allclose(page.values[("way", "")][1][0], [0.03, 0, 1, 0.09, 0, 1], atol=1e-6)
    assert page.values[("up", "")]["floor_height_m"] is None
    suite.pose.publish(pose)
    wait_for(lambda: page.kinds("pose"), what="the pose")
    np.testing.assert_allclose(page.values[("pose", "")]["rows"][3], 0.09)
    suite.keyframes.publish(keyframe_message(3))
    wait_for(lambda: page.kinds("picture"), what="a picture without masks")
    assert page.values[("picture", "")][0]["source"] == "camera"
    assert page.values[("up", "")] == {"up": [0, 0, 1], "floor_height_m": 0}
    picture = np.full((48, 64, 3), 120, dtype=np.uint8)
    wait_for(
        lambda: (
            page.values[("picture", "")][0]["source"] == "masks"
            or suite.overlay.publish(image_to_message(picture, "rgb8", 1, "map"))
        ),
        what="a picture with masks",
    )
    assert page.values[("picture", "")][1][0].tobytes()[:2] == b"\xff\xd8"
    health = DiagnosticStatus(name="/mapping_node", hardware_id="lira_ros on x", message="<i>slow</i>", level=b"\x01")
    health.values = [KeyValue(key="frames mapped", value="9.0 Hz"), KeyValue(key="queue x", value="1")]
    foreign = DiagnosticStatus(name="/battery", hardware_id="robot")
    suite.diagnostics.publish(DiagnosticArray(header=Header(), status=[health, foreign]))
    told = wait_for(lambda: page.kinds("health").get("mapping_node"), what="the health of a node")
    assert told == {"level": 1, "message": "<i>slow</i>", "values": {"frames mapped": "9.0 Hz"}}
    assert "battery" not in page.kinds("health")


def test_calls_reach_the_services_and_missing_ones_are_named(watched, suite, wait_for):
    node, page = watched
    wait_for(lambda: node._calls._clients["submit"].service_is_ready(), what="the service")
    said = page.ask(wait_for, "submit", text="Find the mug.\ud800", id="", replace=True)
    assert not said["success"]
    assert "surrogate" in said["message"]
    said = page.ask(wait_for, "submit", text="Find the mug.", id="", replace=True)
    assert (said["success"], said["message"]) == (True, "a1: looking for mug")
    assert said["values"] == {"id": "a1", "understood": "mug"}
    assert [(item.text, item.replace) for item in suite.submitted] == [("Find the mug.", True)]
    said = page.ask(wait_for, "views", id=7)
    assert [base64.b64decode(item) for item in said["values"]["jpegs"]] == [b"jpeg"]
    assert not page.ask(wait_for, "views", id=8)["success"]
    said = page.ask(wait_for, "reset")
    assert said["message"] == "/mapping_node/reset: no such service; does the suite run?"


def test_what_cannot_be_served_is_said_and_ends_the_node(web, wait_for, monkeypatch, ros_context):
    ended = []
    monkeypatch.setattr(web_node.WebNode, "end_process", lambda node, code: ended.append(code))

    def not_built():
        raise WebError("the page is not built: run python3 -m bootstrap.page")

    monkeypatch.setattr(web_node, "read_static_files", not_built)
    node = web(active=False)
    wait_for(lambda: ended == [1], what="the end of the node")
    assert node.state == "unconfigured"
    monkeypatch.setenv("LIRA_WEB_TOKEN", "short")
    web(active=False)
    wait_for(lambda: ended == [1, 1], what="the end of the node with a weak token")


def test_a_page_outlives_a_cleaned_up_node_without_a_trace(watched, wait_for):
    node, page = watched
    node.trigger_deactivate()
    node.trigger_cleanup()
    wait_for(lambda: page.closed, what="the end of the connection")
    assert node._server is None
    assert [thread for thread in threading.enumerate() if thread.name == "web_server"] == []
    node.trigger_configure()
    node.trigger_activate()
    again = Page(node._server.addresses()[0])
    wait_for(lambda: node._server.clients == 1, what="a page again")
    again.close()
