"""The planning node over DDS: goals, masks and searches; the test plays fusion, reasoning, mapping and Nav2."""

import time
from dataclasses import replace

import numpy as np
import pytest
import rclpy
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import PoseStamped
from nav2_msgs.action import NavigateToPose
from nav2_msgs.msg import CostmapFilterInfo
from nav_msgs.msg import OccupancyGrid
from rclpy.action import ActionClient, ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.parameter import Parameter
from rclpy.task import Future as RosFuture
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import PointCloud2
from tf2_msgs.msg import TFMessage

from lira_msgs.action import FindInstances
from lira_msgs.msg import InstanceMap, InstructionArray, InstructionStatusArray
from lira_msgs.msg import Instruction as InstructionMessage
from lira_msgs.srv import CancelInstruction, GetGoalBeside, ListInstructions, SubmitInstruction
from lira_ros.fusion.contracts import Conformity, Instance, InstructionStatus, OrientedBox, SearchState, Verdict
from lira_ros.mapping.distance_field import DistanceSlice
from lira_ros.nodes.planning_node import PlanningNode
from lira_ros.reasoning.contracts import Attributes
from lira_ros.ros import qos
from lira_ros.ros.conversions.geometry import pose_to_message, transform_to_message
from lira_ros.ros.conversions.grid import slice_to_heights
from lira_ros.ros.conversions.instance import map_to_message
from lira_ros.ros.conversions.instruction import status_to_message
from lira_ros.ros.conversions.time import stamp_from_ns

VOXEL_M, CELL_M, STAMP_NS = 0.05, 0.05, 7_000_000_000


def box_instance(number, center, size, score=0.9, label="chair", instruction_id="i1") -> Instance:
    low, high = np.asarray(center) - np.asarray(size) / 2, np.asarray(center) + np.asarray(size) / 2
    axes = [np.arange(round(a / VOXEL_M + 0.5), round(b / VOXEL_M + 0.5)) for a, b in zip(low, high, strict=True)]
    voxels = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3).astype(np.int32)
    T = np.eye(4)
    T[:3, 3] = center
    return Instance(
        id=number,
        label=label,
        label_confidence=1.0,
        existence=1.0,
        attributes=Attributes(),
        box=OrientedBox(T, np.asarray(size, float)),
        voxel_size_m=VOXEL_M,
        voxels=voxels,
        voxel_colors=np.zeros_like(voxels, dtype=np.uint8),
        first_seen_ns=1,
        last_seen_ns=2,
        observations=3,
        verdicts={instruction_id: Verdict(Conformity.CONFORMS, score, "fits")},
    )


class Others:
    """Reasoning, fusion and mapping as far as the planning node sees them."""

    def __init__(self, peer):
        self.peer = peer
        self.texts: dict[str, str] = {}
        self.found: dict[str, list[Instance]] = {}
        self.states: dict[str, SearchState] = {}
        self.revision = 0
        self.refuse_text = "bad"
        self.limit = 64
        self.gate = None  # a future that answers wait for
        self.cancelled: list[str] = []
        self.instructions = peer.create_publisher(InstructionArray, "instructions", qos.latched())
        self.statuses = peer.create_publisher(InstructionStatusArray, "instruction_status", qos.latched())
        self.maps = peer.create_publisher(InstanceMap, "instance_map", qos.instance_maps())
        self.grids = peer.create_publisher(OccupancyGrid, "map/occupancy", qos.latched())
        self.tf = peer.create_publisher(TFMessage, "/tf", 100)
        group = ReentrantCallbackGroup()  # an answer that waits must not hold up the clients of the peer
        peer.create_service(SubmitInstruction, "submit_instruction", self.submit, callback_group=group)
        peer.create_service(CancelInstruction, "cancel_instruction", self.cancel, callback_group=group)
        peer.create_service(ListInstructions, "list_instructions", self.list, callback_group=group)
        self.tell()

    async def submit(self, request, response):
        if self.gate is not None:
            await self.gate
        name = request.id or f"i{len(self.texts) + len(self.cancelled) + 1}"
        if request.text == self.refuse_text:
            response.code, response.message = response.EMPTY_TEXT, "text: nothing is wanted"
        elif name in self.texts:
            response.code, response.message = response.ID_IN_USE, f"id {name!r} is in use"
        elif len(self.texts) >= self.limit:
            response.code, response.message = response.TOO_MANY_INSTRUCTIONS, "too many"
        else:
            self.texts[name] = request.text
            response.accepted, response.id, response.message = True, name, "ok"
            self.tell()
        return response

    def list(self, request, response):
        response.success = True
        response.instructions = [InstructionMessage(id=name, text=text) for name, text in self.texts.items()]
        return response

    def cancel(self, request, response):
        response.success = self.texts.pop(request.id, None) is not None
        self.cancelled.append(request.id)
        self.tell()
        return response

    def state(self, name):
        if name in self.states:
            return self.states[name]
        return SearchState.FOUND if self.found.get(name) else SearchState.SEARCHING

    def tell(self):
        """Publish what is asked, how it stands, and what was found."""
        self.revision += 1
        asked = [InstructionMessage(id=name, text=text) for name, text in self.texts.items()]
        self.instructions.publish(InstructionArray(instructions=asked))
        statuses = {
            name: InstructionStatus(name, self.state(name), "as told", instances_found=len(self.found.get(name, [])))
            for name in self.texts
        }
        self.statuses.publish(InstructionStatusArray(statuses=[status_to_message(item) for item in statuses.values()]))
        for name, status in statuses.items():
            found = self.found.get(name, [])
            self.maps.publish(map_to_message(found, (), status, (), self.revision, STAMP_NS + self.revision, "map"))

    def send_grid(self, values, T=None, frame="map", size_m=CELL_M):
        message = OccupancyGrid()
        message.header.frame_id, message.header.stamp = frame, stamp_from_ns(STAMP_NS)
        message.info.resolution, message.info.height, message.info.width = size_m, *values.shape
        message.info.origin = pose_to_message(np.eye(4) if T is None else T)
        message.data.frombytes(np.ascontiguousarray(values, dtype=np.int8).tobytes())
        self.grids.publish(message)

    def send_transform(self, parent, child, x=0.0, y=0.0, yaw=0.0):
        T = np.eye(4)
        T[:3, :3] = Rotation.from_euler("z", yaw).as_matrix()
        T[:2, 3] = x, y
        stamp = self.peer.get_clock().now().to_msg()
        self.tf.publish(TFMessage(transforms=[transform_to_message(T, parent, child, stamp)]))


def room(size=120) -> np.ndarray:
    """Return 6 x 6 m of free floor with walls."""
    values = np.zeros((size, size), np.int8)
    values[:2] = values[-2:] = 100
    values[:, :2] = values[:, -2:] = 100
    return values


def occupy(values, center, size, T=None):
    low, high = (np.asarray(center) - np.asarray(size) / 2)[:2], (np.asarray(center) + np.asarray(size) / 2)[:2]
    (c0, r0), (c1, r1) = np.floor(low / CELL_M + 1e-6).astype(int), np.ceil(high / CELL_M - 1e-6).astype(int)
    values[r0:r1, c0:c1] = 100
    return values


CHAIR = ((2.975, 2.975, 0.5), (0.5, 0.5, 1.0))


@pytest.fixture
def others(peer):
    return Others(peer)


@pytest.fixture
def planning(spinner, wait_for):
    def start(**values):
        overrides = [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
        node = spinner.add(PlanningNode(parameter_overrides=overrides))
        wait_for(lambda: node.state == "active", 60, "the start of the planning node")
        return node

    return start


@pytest.fixture
def scene(others, planning, wait_for):
    """Return the others and the node, which knows a chair in the middle of a room."""
    others.texts["i1"] = "find a chair"
    others.found["i1"] = [box_instance(7, *CHAIR)]
    others.tell()
    node = planning(robot_frame="")
    wait_for(lambda: node._maps().instances("i1"), 10, "the chair")
    return others, node


def xy_yaw(pose):
    q = pose.orientation
    yaw = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_euler("zyx")[0]
    return np.array([pose.position.x, pose.position.y]), yaw


def test_goals_are_beside_the_chair_and_face_it(scene, peer, call_service):
    others, _node = scene
    others.send_grid(occupy(room(), *CHAIR))
    answer = call_service(peer, GetGoalBeside, "get_goal_beside")
    assert answer.success, answer.message
    assert (answer.code, answer.instance_id) == (answer.OK, 7)
    assert len(answer.goals) == 5
    assert sorted(answer.scores, reverse=True) == list(answer.scores)
    assert "5 of" in answer.message
    for goal, distance_m in zip(answer.goals, answer.distances_m, strict=True):
        assert goal.header.frame_id == "map"
        place, yaw = xy_yaw(goal.pose)
        beyond = np.maximum(np.abs(place - CHAIR[0][0]) - 0.25, 0.0)
        assert np.linalg.norm(beyond) - 0.25 == pytest.approx(distance_m, abs=1e-5)
        assert 0.5 <= distance_m <= 0.6 + 1e-6
        to_chair = np.arctan2(*(CHAIR[0][0] - place)[::-1])
        assert abs((yaw - to_chair + np.pi) % (2 * np.pi) - np.pi) < 0.15


def test_heights_of_the_same_moment_let_the_robot_look_over_a_table(scene, peer, call_service, wait_for):
    others, node = scene
    heights = peer.create_publisher(PointCloud2, "map/heights", qos.latched())
    # A wall of the height of a table all around the chair: it hides what nobody says the height of.
    values = occupy(room(), *CHAIR)
    values[40:42, 40:80] = values[78:80, 40:80] = values[40:80, 40:42] = values[40:80, 78:80] = 100
    request = GetGoalBeside.Request(distance_m=0.9)
    others.send_grid(values)
    assert call_service(peer, GetGoalBeside, "get_goal_beside", request).code == GetGoalBeside.Response.NO_FREE_POSE
    cells = DistanceSlice(
        np.eye(4), CELL_M, 0.1, 1.5, "occupied", *[np.where(values == 100, 2, 1).astype(np.uint8)] * 2
    )
    for height_m, seen in ((0.7, True), (np.inf, False)):
        known = np.where(values == 100, np.float32(height_m), np.float32(np.nan))
        heights.publish(slice_to_heights(replace(cells, heights_m=known), STAMP_NS, "map"))
        wait_for(lambda known=known: same(node._grid.placed("map").grid.heights_m, known), 10, "the heights")
        answer = call_service(peer, GetGoalBeside, "get_goal_beside", request)
        assert answer.success == seen, answer.message
    heights.publish(slice_to_heights(replace(cells, heights_m=known), STAMP_NS + 1, "map"))
    wait_for(lambda: node._grid.placed("map").grid.heights_m is None, 10, "the end of heights of another moment")


def same(heights, known) -> bool:
    return heights is not None and np.array_equal(heights, known, equal_nan=True)


def test_the_grid_is_taken_in_only_while_somebody_asks(scene, peer, call_service, wait_for, monkeypatch):
    others, _node = scene
    others.send_grid(occupy(room(), *CHAIR))
    time.sleep(0.8)
    assert others.grids.get_subscription_count() == 0
    monkeypatch.setattr("lira_ros.ros.grid_input.LINGER_S", 0.2)
    assert call_service(peer, GetGoalBeside, "get_goal_beside").success
    assert others.grids.get_subscription_count() == 1
    wait_for(lambda: others.grids.get_subscription_count() == 0, 10, "the end of the subscription")
    assert call_service(peer, GetGoalBeside, "get_goal_beside").success


def test_a_grid_turned_in_another_frame_gives_the_same_places(scene, peer, call_service, wait_for):
    others, node = scene
    T_odom_grid = np.eye(4)
    T_odom_grid[:3, :3] = Rotation.from_euler("z", 0.7).as_matrix()
    T_odom_grid[:3, 3] = (-2.0, 1.0, 0.0)
    # The grid lies where that of the map lay: map -> odom undoes the turn of its origin.
    T_map_odom = np.linalg.inv(T_odom_grid)
    yaw = Rotation.from_matrix(T_map_odom[:3, :3]).as_euler("zyx")[0]
    request = GetGoalBeside.Request(use_start=True)
    request.start.pose.position.x, request.start.pose.position.y = 1.0, 3.0
    others.send_grid(occupy(room(), *CHAIR))
    plain = call_service(peer, GetGoalBeside, "get_goal_beside", request)
    others.send_grid(occupy(room(), *CHAIR), T_odom_grid, "odom")
    wait_for(lambda: node._grid._message.frame_id == "odom", 10, "the turned grid")

    def turned():
        others.send_transform("map", "odom", *T_map_odom[:2, 3], yaw)
        return call_service(peer, GetGoalBeside, "get_goal_beside", request)

    answer = wait_for(lambda: (found := turned()).success and found, 10, "an answer in odom")
    assert answer.goals[0].header.frame_id == "odom"
    for expected, goal in zip(plain.goals, answer.goals, strict=True):
        place, yaw = xy_yaw(goal.pose)
        place = (T_map_odom @ [*place, 0.0, 1.0])[:2]
        assert place == pytest.approx(xy_yaw(expected.pose)[0], abs=1e-6)


def test_refusals_say_what_is_wrong_with_numbers(scene, peer, call_service, monkeypatch):
    others, _node = scene

    def ask(**values):
        return call_service(peer, GetGoalBeside, "get_goal_beside", GetGoalBeside.Request(**values))

    answer = ask(distance_m=-1.0)
    assert answer.code == answer.INVALID_REQUEST
    assert "-1" in answer.message
    answer = ask(distance_m=float("nan"))
    assert answer.code == answer.INVALID_REQUEST
    assert not answer.success
    answer = ask(instance_id=8)
    assert answer.code == answer.UNKNOWN_ID
    assert "there are: 7" in answer.message
    answer = ask(instruction_id="nothing")
    assert answer.code == answer.UNKNOWN_ID
    assert "i1" in answer.message
    monkeypatch.setattr("lira_ros.ros.grid_input.GRID_WAIT_S", 0.3)
    answer = ask()
    assert answer.code == answer.NO_GRID
    assert "/map/occupancy" in answer.message
    assert "transient local" in answer.message
    others.send_grid(np.full((120, 120), -1))
    monkeypatch.undo()
    answer = ask()
    assert answer.code == answer.NO_FREE_POSE
    assert "0 are blocked" in answer.message
    assert " unknown" in answer.message
    assert not answer.goals


def test_a_robot_behind_a_wall_is_told_that_it_cannot_get_there(scene, peer, call_service):
    others, _node = scene
    values = occupy(room(), *CHAIR)
    values[:, 30:32] = 100
    others.send_grid(values)
    request = GetGoalBeside.Request(use_start=True)
    request.start.pose.position.x, request.start.pose.position.y = 0.8, 3.0
    answer = call_service(peer, GetGoalBeside, "get_goal_beside", request)
    assert answer.code == answer.NO_FREE_POSE
    assert "cut off" in answer.message
    request.start.pose.position.x = 2.0
    assert call_service(peer, GetGoalBeside, "get_goal_beside", request).success
    request.start.pose.position.x = -5.0
    answer = call_service(peer, GetGoalBeside, "get_goal_beside", request)
    assert answer.code == answer.NO_START
    assert "-5.00" in answer.message
    request.start.header.frame_id = "nowhere"
    answer = call_service(peer, GetGoalBeside, "get_goal_beside", request)
    assert answer.code == answer.NO_START
    assert "nowhere" in answer.message


class FakeNav2:
    """An action server that refuses the first goals."""

    def __init__(self, peer):
        self.poses, self.refusals = [], 0
        self.server = ActionServer(
            peer,
            NavigateToPose,
            "navigate_to_pose",
            self.execute,
            goal_callback=self.asked,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
        )

    def asked(self, goal):
        self.poses.append(goal.pose)
        return GoalResponse.REJECT if len(self.poses) <= self.refusals else GoalResponse.ACCEPT

    def execute(self, handle):
        handle.succeed()
        return NavigateToPose.Result()


@pytest.fixture
def nav2(spinner):
    """Return an action server in a node of its own, which is gone after the test."""
    node = rclpy.create_node("bt_navigator")
    spinner.executor.add_node(node)
    nav2 = FakeNav2(node)
    yield nav2
    leave(spinner, node, nav2.server)


def leave(spinner, node, action):
    """Take down a node with an action while an executor spins others; it must not wait for either any more."""
    spinner.executor.remove_node(node)
    spinner.executor.wake()
    time.sleep(0.3)
    action.destroy()
    node.destroy_node()


def test_nav2_gets_the_next_goal_when_it_refuses_one(scene, nav2, peer, call_service):
    others, _node = scene
    others.send_grid(occupy(room(), *CHAIR))
    nav2.refusals = 2
    answer = call_service(peer, GetGoalBeside, "get_goal_beside", GetGoalBeside.Request(navigate=True))
    assert answer.success
    assert "drives to goal 3 of 5" in answer.message
    assert [pose.pose for pose in nav2.poses] == [goal.pose for goal in answer.goals[:3]]
    assert nav2.poses[0].header.frame_id == "map"
    assert nav2.poses[0].header.stamp.sec == 0
    nav2.refusals = 100
    answer = call_service(peer, GetGoalBeside, "get_goal_beside", GetGoalBeside.Request(navigate=True))
    assert answer.code == answer.NAVIGATION_REFUSED
    assert "refused all 5" in answer.message
    assert len(answer.goals) == 5


def test_a_robot_without_nav2_gets_goals_and_a_sentence(scene, peer, call_service, monkeypatch):
    others, _node = scene
    others.send_grid(occupy(room(), *CHAIR))
    monkeypatch.setattr("lira_ros.ros.navigation.SERVER_WAIT_S", 0.3)
    answer = call_service(peer, GetGoalBeside, "get_goal_beside", GetGoalBeside.Request(navigate=True))
    assert answer.code == answer.NAVIGATION_REFUSED
    assert "/navigate_to_pose" in answer.message
    assert answer.goals


def test_the_goal_topic_is_latched_steady_and_taken_back(scene, collect, wait_for):
    others, _node = scene
    others.send_grid(occupy(room(), *CHAIR))
    goals = collect(PoseStamped, "instances/goal_pose", qos.latched())
    wait_for(lambda: goals, 10, "a goal")
    place, _ = xy_yaw(goals[0].pose)
    values = occupy(room(), *CHAIR)
    values[100:110, 100:110] = -1  # far away: no reason for another goal
    others.send_grid(values)
    others.found["i1"] = [box_instance(7, *CHAIR, score=0.8), box_instance(9, (1.0, 1.0, 0.5), (0.3, 0.3, 1.0), 0.85)]
    others.tell()
    time.sleep(1.2)
    assert len(goals) == 1
    cell = np.floor(place / CELL_M).astype(int)
    values[cell[1], cell[0]] = 100
    others.send_grid(values)
    wait_for(lambda: len(goals) == 2, 10, "another goal, where the first is blocked")
    assert np.linalg.norm(xy_yaw(goals[1].pose)[0] - place) > 0.2
    others.found["i1"] = []
    others.tell()
    wait_for(lambda: len(goals) == 3, 10, "the goal to be taken back")
    assert goals[2].header.frame_id == ""
    others.found["i1"] = [box_instance(7, *CHAIR)]
    others.tell()
    wait_for(lambda: len(goals) == 4, 10, "a goal again")
    assert goals[3].header.frame_id == "map"
    others.send_grid(np.zeros((0, 0)))
    wait_for(lambda: len(goals) == 5, 10, "the goal to be taken back with the map")
    assert goals[4].header.frame_id == ""


def test_masks_cover_what_is_chosen_on_the_cells_of_the_grid(others, planning, collect, wait_for):
    others.texts["i1"] = "things"
    others.found["i1"] = [box_instance(7, *CHAIR), box_instance(8, (0.975, 0.975, 0.5), (0.5, 0.5, 1.0), label="vase")]
    others.tell()
    others.send_grid(room())
    planning(filter__keepout__labels=["vase"], filter__keepout__margin_m=0.2, filter__speed__limit_mps=0.3)
    masks = collect(OccupancyGrid, "instances/keepout_mask", qos.latched())
    slow = collect(OccupancyGrid, "instances/speed_mask", qos.latched())
    infos = collect(CostmapFilterInfo, "instances/keepout_filter_info", qos.latched())
    slow_infos = collect(CostmapFilterInfo, "instances/speed_filter_info", qos.latched())
    wait_for(lambda: masks and slow and infos and slow_infos, 10, "the masks")
    wait_for(lambda: np.any(np.array(masks[-1].data)) and np.any(np.array(slow[-1].data)), 10, "cells")
    grid = np.array(masks[-1].data).reshape(120, 120)
    rows, columns = np.nonzero(grid)
    assert set(grid[rows, columns]) == {100}
    # 0.725 to 1.225 m reaches into cells 14 to 24; four more lie within 0.2 m of these.
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (9, 29, 9, 29)
    assert infos[0].type == 0
    assert infos[0].filter_mask_topic == "/instances/keepout_mask"
    assert (infos[0].base, infos[0].multiplier) == (0.0, 1.0)
    speed = np.array(slow[-1].data).reshape(120, 120)
    assert speed[60, 60] == 100
    assert speed[20, 20] == 100
    assert speed[118, 118] == 0
    assert slow_infos[0].type == 2
    assert slow_infos[0].base + slow_infos[0].multiplier * 100 == pytest.approx(0.3)
    count = len(masks)
    others.tell()
    time.sleep(0.8)
    assert len(masks) == count  # nothing has changed


class Client:
    """A real action client of find_instances."""

    def __init__(self, peer, wait_for):
        self.client = ActionClient(peer, FindInstances, "find_instances")
        self.wait_for = wait_for
        assert self.client.wait_for_server(timeout_sec=10.0)

    def send(self, **values):
        feedback = []
        future = self.client.send_goal_async(
            FindInstances.Goal(**values), feedback_callback=lambda message: feedback.append(message.feedback)
        )
        self.wait_for(future.done, 10, "the goal to be taken")
        handle = future.result()
        assert handle.accepted
        return handle, handle.get_result_async(), feedback

    def result(self, future, timeout_s=15.0):
        self.wait_for(future.done, timeout_s, "the result")
        return future.result().status, future.result().result


@pytest.fixture
def client(others, planning, peer, wait_for):
    planning()
    client = Client(peer, wait_for)
    return client


def test_a_search_tells_what_it_finds_and_ends_with_enough(client, others, wait_for):
    _, future, feedback = client.send(text="chairs", stop_after=2)
    wait_for(lambda: feedback, 10, "feedback")
    assert others.texts == {"i1": "chairs"}
    others.found["i1"] = [box_instance(7, *CHAIR)]
    others.tell()
    wait_for(lambda: feedback[-1].instances, 10, "an instance in the feedback")
    told = feedback[-1].instances[0]
    assert told.id == 7
    assert told.label == "chair"
    assert not told.voxels
    assert not told.embedding
    assert feedback[-1].status.state == feedback[-1].status.FOUND
    others.found["i1"].append(box_instance(8, (1.0, 1.0, 0.5), (0.3, 0.3, 1.0), 0.95))
    others.tell()
    status, result = client.result(future)
    assert result.code == result.OK, result.message
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert [item.id for item in result.map.instances] == [8, 7]
    assert result.map.instances[0].voxels
    assert result.instruction_id == result.map.instruction_id == "i1"
    assert result.map.header.frame_id == "map"
    assert others.cancelled == ["i1"]


def test_a_search_that_is_cancelled_ends_and_keeps_what_it_found(client, others, wait_for):
    handle, future, feedback = client.send(text="chairs", keep_instruction=True)
    wait_for(lambda: feedback, 10, "feedback")
    others.found["i1"] = [box_instance(7, *CHAIR)]
    others.tell()
    wait_for(lambda: feedback[-1].instances, 10, "an instance in the feedback")
    wait_for(handle.cancel_goal_async().done, 10, "the answer to cancel")
    status, result = client.result(future)
    assert status == GoalStatus.STATUS_CANCELED
    assert result.code == result.CANCELLED
    assert [item.id for item in result.map.instances] == [7]
    assert others.texts == {"i1": "chairs"}
    assert others.cancelled == []


def test_a_later_goal_takes_the_place_of_an_earlier_one_unless_it_goes_alongside(client, others, wait_for):
    _, first, feedback = client.send(text="chairs", id="mine")
    wait_for(lambda: feedback, 10, "feedback")
    _, beside, other_feedback = client.send(text="tables", alongside=True)
    wait_for(lambda: other_feedback, 10, "feedback")
    assert not first.done()
    assert len(others.texts) == 2
    _, refused, _ = client.send(text=others.refuse_text)
    status, result = client.result(refused)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.code == result.REFUSED
    assert result.message == "text: nothing is wanted"
    assert not first.done()
    # The id is in use by what the new goal replaces.
    _, last, last_feedback = client.send(text="beds", id="mine")
    for future in (first, beside):
        status, result = client.result(future)
        assert status == GoalStatus.STATUS_ABORTED
        assert result.code == result.PREEMPTED
    wait_for(lambda: last_feedback, 10, "feedback")
    assert others.texts == {"mine": "beds"}
    assert not last.done()


def test_a_search_ends_in_time_or_when_nothing_conforms_or_when_it_is_cancelled_by_others(client, others, wait_for):
    _, future, _ = client.send(text="chairs", timeout_s=0.6)
    status, result = client.result(future)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.code == result.TIMED_OUT
    assert "0 found within 0.6" in result.message
    _, future, feedback = client.send(text="chairs", stop_when_none=True, id="b")
    wait_for(lambda: feedback, 10, "feedback")
    assert not future.done()
    others.states["b"] = SearchState.NONE_CONFORM
    others.tell()
    assert client.result(future)[1].code == FindInstances.Result.NONE_CONFORM
    _, future, feedback = client.send(text="chairs", id="c")
    wait_for(lambda: feedback, 10, "feedback")
    time.sleep(0.3)
    others.texts.clear()
    others.tell()
    status, result = client.result(future)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.code == result.CANCELLED
    assert "somebody else" in result.message


def test_searches_end_when_the_node_is_deactivated_and_are_refused_until_it_is_active_again(
    others, planning, peer, wait_for
):
    node = planning()
    client = Client(peer, wait_for)
    _, future, feedback = client.send(text="chairs")
    wait_for(lambda: feedback, 10, "feedback")
    task = node.executor.create_task(node.trigger_deactivate)
    status, result = client.result(future)
    assert status == GoalStatus.STATUS_ABORTED
    assert result.code == result.NOT_AVAILABLE
    assert "deactivated" in result.message
    wait_for(task.done, 10, "deactivation")
    _, future, _ = client.send(text="chairs")
    assert "is inactive" in client.result(future)[1].message
    node.executor.create_task(node.trigger_cleanup)
    wait_for(lambda: node.state == "unconfigured", 10, "cleanup")
    _, future, _ = client.send(text="chairs")
    assert client.result(future)[1].code == FindInstances.Result.NOT_AVAILABLE


def test_searches_are_bounded_and_one_without_a_client_ends(others, planning, peer, wait_for, monkeypatch):
    monkeypatch.setattr("lira_ros.ros.find_instances.MAX_SEARCHES", 2)
    monkeypatch.setattr("lira_ros.ros.find_instances.ABANDONED_S", 0.5)
    node = planning()
    client = Client(peer, wait_for)
    running = [client.send(text="chairs", alongside=True) for _ in range(2)]
    _, future, _ = client.send(text="chairs", alongside=True)
    _, result = client.result(future)
    assert result.code == result.REFUSED
    assert "2 searches" in result.message
    time.sleep(0.8)
    assert not any(item[1].done() for item in running)
    # rclpy lets go of a client in a process that goes on only when it pleases: the graph is asked in its place.
    listened = node.count_subscribers("/find_instances/_action/feedback")
    assert listened > 0
    monkeypatch.setattr(
        node, "count_subscribers", lambda topic: 0 if topic.endswith("find_instances/_action/feedback") else 1
    )
    for _, future, _ in running:
        _, result = client.result(future)
        assert result.code == result.CANCELLED
        assert "client of the search is gone" in result.message
    assert not others.texts


def test_an_answer_that_comes_too_late_leaves_no_search_behind(others, planning, peer, wait_for, monkeypatch):
    monkeypatch.setattr("lira_ros.ros.find_instances.ANSWER_WAIT_S", 0.3)
    planning()
    client = Client(peer, wait_for)
    others.gate = RosFuture()
    _, future, _ = client.send(text="chairs")
    _, result = client.result(future)
    assert result.code == result.NOT_AVAILABLE
    assert "did not answer within 0.3 s" in result.message
    others.gate.set_result(True)
    wait_for(lambda: others.cancelled == ["i1"], 10, "the end of what was begun late")


def test_a_reasoning_that_starts_anew_ends_the_searches_that_it_forgot(others, planning, peer, wait_for, monkeypatch):
    monkeypatch.setattr("lira_ros.ros.find_instances.CHECK_PERIOD_S", 0.3)
    planning()
    client = Client(peer, wait_for)
    _, future, feedback = client.send(text="chairs")
    wait_for(lambda: feedback, 10, "feedback")
    time.sleep(0.7)
    assert not future.done()
    others.texts.clear()  # nothing is published: a node that has just come up has nothing to say
    _, result = client.result(future)
    assert result.code == result.CANCELLED
    assert "started anew" in result.message


def test_without_reasoning_or_fusion_a_search_says_so(spinner, peer, planning, wait_for, monkeypatch):
    monkeypatch.setattr("lira_ros.ros.find_instances.SERVICE_WAIT_S", 0.3)
    monkeypatch.setattr("lira_ros.ros.find_instances.SILENCE_S", 0.5)
    planning()
    client = Client(peer, wait_for)
    _, future, _ = client.send(text="chairs")
    _, result = client.result(future)
    assert result.code == result.NOT_AVAILABLE
    assert "submit_instruction" in result.message
    others = Others(peer)
    _, future, feedback = client.send(text="chairs")
    wait_for(lambda: feedback, 10, "feedback")
    peer.destroy_publisher(others.maps)
    _status, result = client.result(future)
    assert result.code == result.NOT_AVAILABLE
    assert "/instance_map" in result.message
