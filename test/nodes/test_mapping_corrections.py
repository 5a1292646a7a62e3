"""Pose corrections over DDS: jumps of map -> odom, a pose graph and the service; what subscribers get to know."""

import numpy as np
import pytest
from conftest import CameraMessages
from geometry_msgs.msg import PoseStamped
from mapping_harness import feed, mapped, mapper, problem
from nav_msgs.msg import Path
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from lira_msgs.msg import FragmentPoses, VoxelFragment
from lira_msgs.srv import ClearOutside, CorrectPoses, LoadMap, SaveMap
from lira_ros.ros import qos
from lira_ros.ros.conversions.fragment import fragment_from_message
from lira_ros.ros.conversions.fragment_poses import poses_from_message
from lira_ros.ros.conversions.geometry import pose_to_message, transform_to_message
from lira_ros.ros.conversions.time import stamp_from_ns

STEP_M, DRIFT_M = 0.2, 0.016  # along x and y for each frame: the wall seems to recede
BENT, STRAIGHT = 0.05, 0.012  # slopes of the wall that was mapped


class DriftingCamera(CameraMessages):
    """A camera on a robot whose odometry drifts; its SLAM knows nothing of it until it corrects map -> odom."""

    y_map_odom_m = 0.0
    drift_m = DRIFT_M

    def drifted(self, index):
        """Return T_odom_camera of a frame."""
        T = self.pose()
        T[0, 3] = index * self.step_m
        T[1, 3] = index * self.drift_m
        return T

    def true(self, index):
        """Return T_map_camera of a frame."""
        T = self.drifted(index)
        T[1, 3] = 0.0
        return T

    def stamp(self, index):
        return stamp_from_ns(1_700_000_000_000_000_000 + index * self.period_ns)

    def next(self):
        messages = super().next()
        T_map_odom = np.eye(4)
        T_map_odom[1, 3] = self.y_map_odom_m
        stamp = self.stamp(self.index)
        messages["tf"] = TFMessage(
            transforms=[
                transform_to_message(T_map_odom, "map", "odom", stamp),
                transform_to_message(self.drifted(self.index), "odom", self.frame, stamp),
            ]
        )
        return messages

    def close_loop(self):
        """Let the SLAM take out the drift up to here; from here on there is none."""
        self.y_map_odom_m = -(self.index + 1) * self.drift_m
        kept, self.drift_m = (self.index + 1) * self.drift_m, 0.0
        plain = self.pose

        def drifted(index):
            T = plain()
            T[0, 3], T[1, 3] = index * self.step_m, kept
            return T

        self.drifted = drifted


def wall(node):
    """Return x and y of the surface points of the wall (not of the box before it)."""
    points, _ = mapper(node, "points")
    points = points[(points[:, 2] > 1.15) | (points[:, 2] < 0.55)]
    return points[:, 0], points[:, 1]


def slope(node):
    x, y = wall(node)
    return np.polyfit(x, y, 1)[0]


def settle(camera, node, wait_for, name, count=1):
    """Send frames, one after another, until a jump has been noticed; the frame of the jump itself is not mapped."""

    def looked_at():
        return mapped(node) + node.statistics.counter("frames while the global frame jumped")

    for _ in range(5):
        before = looked_at()
        camera.send(camera.next())
        wait_for(lambda before=before: looked_at() > before, what="the frame at the node")
        if node.statistics.counter(name) >= count:
            return
    pytest.fail(f"{name}: not noticed in five frames")


@pytest.fixture
def walk(mapping, peer, wait_for):
    """Return a function that starts a node and walks 20 frames with drift."""

    def start(**values):
        node = mapping(**values)
        camera = DriftingCamera(step_m=STEP_M).connect(peer)
        wait_for(camera.connected, what="the subscriptions")
        feed(camera, 20, node, wait_for)
        return node, camera

    return start


def test_a_closed_loop_straightens_the_walk(walk, wait_for, collect):
    fragments = collect(VoxelFragment, "fragments", qos.fragments())
    poses = collect(FragmentPoses, "fragment_poses", qos.latched())
    node, camera = walk()
    assert slope(node) > BENT
    camera.close_loop()
    settle(camera, node, wait_for, "jumps of the global frame")
    wait_for(lambda: poses, what="the corrected poses")
    assert abs(slope(node)) < STRAIGHT
    assert abs(np.median(wall(node)[1]) - 1.5) < 0.03
    assert node.statistics.counter("frames while the global frame jumped") == 1
    # Subscribers know where everything lies, without a voxel sent twice.
    result = poses_from_message(poses[-1], "fragment_poses")
    assert poses[-1].session == node._map.session
    wait_for(lambda: len(fragments) >= len(result.fragments), what="the fragments")
    assert len({message.id for message in fragments}) == len(fragments), "a fragment was sent again"
    moved = {key: T for key, (revision, T) in result.fragments.items() if revision > 1}
    assert len(moved) >= len(result.fragments) - 1  # the first may stay, the drift began there
    straight = []
    for message in fragments:
        fragment = fragment_from_message(message, "fragments")
        if fragment.id in result.fragments:
            assert result.fragments[fragment.id][0] >= fragment.revision
            straight.append(result.fragments[fragment.id][1][1, 3] - fragment.T_map_fragment[1, 3])
    assert straight == sorted(straight, reverse=True), "the newest moves farthest"
    path = node.worker.submit(lambda: [p.pose.position.y for p in node._trajectory.path.poses]).result(15)
    assert np.abs(path).max() < 0.2 * 20 * DRIFT_M  # what drift is left is that within fragments
    # What comes later starts from there: nothing is corrected twice.
    feed(camera, 6, node, wait_for)
    assert abs(slope(node)) < STRAIGHT
    late = collect(FragmentPoses, "fragment_poses", qos.latched())
    wait_for(lambda: late, what="the poses for who comes late")
    assert late[-1].sequence == poses[-1].sequence


@pytest.mark.parametrize("on_jump", ["rigid", "auto"])
def test_a_recognised_place_moves_the_whole_map(on_jump, walk, wait_for):
    node, camera = walk(**{"correction.on_jump": on_jump})
    before, tilt = np.median(wall(node)[1]), slope(node)
    camera.close_loop()
    if on_jump == "auto":
        camera.y_map_odom_m = 2.0  # after a way of 4 m this is no drift
    settle(camera, node, wait_for, "jumps of the global frame")
    assert abs(np.median(wall(node)[1]) - before - camera.y_map_odom_m) < 0.04
    assert slope(node) == pytest.approx(tilt, abs=0.01)


def test_jumps_can_be_left_to_others(walk, wait_for):
    node, camera = walk(**{"correction.on_jump": "ignore"})
    camera.close_loop()
    settle(camera, node, wait_for, "jumps of the global frame")
    assert {fragment.revision for fragment in mapper(node, "fragments")} == {1}


def path_of(camera, indices, frame="map"):
    poses = [
        PoseStamped(header=Header(stamp=camera.stamp(i), frame_id=frame), pose=pose_to_message(camera.true(i)))
        for i in indices
    ]
    return Path(header=Header(frame_id=frame), poses=poses)


@pytest.fixture
def graph(peer, wait_for):
    publisher = peer.create_publisher(Path, "pose_graph", qos.stream(1))

    def send(path):
        wait_for(publisher.get_subscription_count, what="the subscription to the graph")
        publisher.publish(path)

    return send


def test_a_pose_graph_corrects_the_walk_and_has_the_say_over_jumps(walk, graph, wait_for):
    node, camera = walk()
    # As RTAB-Map: a pose of the camera now and then, not at each keyframe.
    graph(path_of(camera, range(1, 21, 3)))
    wait_for(lambda: abs(slope(node)) < STRAIGHT, what="the straight wall")
    assert abs(np.median(wall(node)[1]) - 1.5) < 0.03
    # The jump in TF that belongs to it comes later, and moves nothing a second time.
    camera.close_loop()
    settle(camera, node, wait_for, "jumps of the global frame")
    assert abs(slope(node)) < STRAIGHT
    graph(path_of(camera, range(1, 21, 3), frame="odom"))
    wait_for(lambda: problem(node, "/pose_graph: expected poses in the frame 'map' (parameter map_frame), got 'odom'"))
    graph(path_of(camera, range(100_001, 100_005)))
    wait_for(lambda: problem(node, "/pose_graph: no frame was mapped at the stamps of its 4 poses"))
    without_stamps = path_of(camera, range(1, 5))
    for item in without_stamps.poses:
        item.header.stamp = stamp_from_ns(0)
    graph(without_stamps)
    wait_for(lambda: problem(node, "/pose_graph: expected a stamp of its own in the header of every pose"))
    assert abs(slope(node)) < STRAIGHT


def test_a_graph_of_robot_poses_needs_the_place_of_the_camera(walk, graph, peer, wait_for):
    node, camera = walk(**{"correction.graph_frame": "base_link"})
    T_base_camera = np.eye(4)
    T_base_camera[:3, 3] = (0.1, 0.2, 0.3)
    path = path_of(camera, range(1, 21, 3))
    for index, item in zip(range(1, 21, 3), path.poses, strict=True):
        item.pose = pose_to_message(camera.true(index) @ np.linalg.inv(T_base_camera))
    graph(path)
    wait_for(lambda: problem(node, "TF has no transform from 'camera_color_optical_frame' to 'base_link'"))
    static = peer.create_publisher(TFMessage, "/tf_static", qos.latched())
    # base_link is below the camera in the tree: the camera has its parent, odom, already.
    static.publish(
        TFMessage(
            transforms=[transform_to_message(np.linalg.inv(T_base_camera), camera.frame, "base_link", stamp_from_ns(0))]
        )
    )

    def straight():
        graph(path)
        return abs(slope(node)) < STRAIGHT

    wait_for(straight, what="the straight wall")


def test_the_service_corrects_by_id_and_by_stamp(walk, peer, call_service, collect, wait_for):
    node, camera = walk()
    codes = CorrectPoses.Response

    def call(**fields):
        return call_service(peer, CorrectPoses, "correct_poses", CorrectPoses.Request(**fields))

    known = node.worker.submit(lambda: node._mapper.keyframe_poses).result(15)
    ids = sorted(known)
    straight = []
    for key in ids:
        T = known[key].copy()
        T[1, 3] = 0.0
        straight.append(pose_to_message(T))
    for fields, code in (
        ({}, codes.LENGTHS_DIFFER),
        ({"keyframe_ids": ids, "poses": straight[:-1]}, codes.LENGTHS_DIFFER),
        ({"keyframe_ids": ids[:1], "stamps": [camera.stamp(1)], "poses": straight[:2]}, codes.LENGTHS_DIFFER),
        ({"session": node._map.session + 1, "keyframe_ids": ids, "poses": straight}, codes.OTHER_SESSION),
        ({"keyframe_ids": [900, 901], "poses": straight[:2]}, codes.NOTHING_MATCHED),
        ({"stamps": [stamp_from_ns(5)], "poses": straight[:1]}, codes.NOTHING_MATCHED),
    ):
        answer = call(**fields)
        assert (answer.success, answer.code) == (False, code), answer.message
    spoilt = pose_to_message(np.eye(4))
    spoilt.orientation.w = float("nan")
    answer = call(keyframe_ids=ids[:1], poses=[spoilt])
    assert (answer.success, answer.code) == (False, codes.INVALID_POSE)
    assert f"pose of keyframe {ids[0]}" in answer.message
    assert slope(node) > BENT, "a refused request moves nothing"

    answer = call(session=node._map.session, keyframe_ids=[*ids, 900], poses=[*straight, straight[0]])
    assert answer.success, answer.message
    assert (answer.code, answer.matched, answer.unmatched) == (codes.OK, len(ids), 1)
    assert answer.fragments_moved >= 1
    assert answer.largest_m == pytest.approx(known[ids[-1]][1, 3], abs=1e-6)
    assert abs(slope(node)) < STRAIGHT
    # And by stamp: everything 0.3 m further.
    stamps, poses = [], []
    for index in range(1, 21, 4):
        T = camera.true(index)
        T[1, 3] = 0.3
        stamps.append(camera.stamp(index))
        poses.append(pose_to_message(T))
    answer = call(stamps=[*stamps, stamp_from_ns(77)], poses=[*poses, poses[0]])
    assert (answer.code, answer.matched, answer.unmatched) == (codes.OK, len(stamps), 1), answer.message
    assert abs(np.median(wall(node)[1]) - 1.8) < 0.03


def test_a_moved_map_is_saved_and_loaded(walk, graph, peer, call_service, collect, wait_for, tmp_path):
    node, camera = walk()
    graph(path_of(camera, range(1, 21, 3)))
    wait_for(lambda: abs(slope(node)) < STRAIGHT, what="the straight wall")
    answer = call_service(peer, SaveMap, "save_map", SaveMap.Request(name="moved", exports=["ply", "glb"]))
    assert answer.success, answer.message
    assert [name.split("/")[-1] for name in answer.files] == ["moved.liramap", "moved.ply", "moved.glb"]
    assert (tmp_path / "moved.glb").read_bytes()[:4] == b"glTF"
    assert call_service(peer, Trigger, "/mapping_node/reset").success
    poses = collect(FragmentPoses, "fragment_poses", qos.latched())
    wait_for(lambda: poses and poses[-1].session == node._map.session, what="the poses of the empty map")
    assert len(poses[-1].ids) == 0
    fragments = collect(VoxelFragment, "fragments", qos.fragments())
    answer = call_service(peer, LoadMap, "load_map", LoadMap.Request(name="moved"))
    assert answer.success, answer.message
    assert abs(slope(node)) < STRAIGHT
    loaded = {fragment.id: fragment.T_map_fragment for fragment in mapper(node, "fragments")}
    count, session = len(loaded), node._map.session
    wait_for(lambda: sum(m.session == session and not m.clear for m in fragments) == count, what="all fragments")
    # Jumps do not touch what was made in another session.
    feed(camera, 4, node, wait_for)
    camera.y_map_odom_m = 0.1
    settle(camera, node, wait_for, "jumps of the global frame")
    now = {fragment.id: fragment.T_map_fragment for fragment in mapper(node, "fragments")}
    assert len(now) > count
    for key, T in loaded.items():
        np.testing.assert_array_equal(now[key], T)


def test_what_is_far_from_the_camera_is_forgotten(mapping, camera, peer, collect, call_service, wait_for):
    node = mapping(clear_radius_m=4.0)
    poses = collect(FragmentPoses, "fragment_poses", qos.latched())

    def call(radius_m):
        request = ClearOutside.Request(radius_m=radius_m)
        return call_service(peer, ClearOutside, "/mapping_node/clear_outside", request)

    assert call(2.0).code == ClearOutside.Response.NO_CAMERA
    camera.step_m = 0.5
    camera.connect(peer)
    wait_for(camera.connected, what="the subscriptions")
    feed(camera, 20, node, wait_for)  # 10 m
    wait_for(lambda: poses and len(poses[-1].removed_ids), what="the removed fragments")
    left = {fragment.id for fragment in mapper(node, "fragments")}
    wait_for(lambda: left.isdisjoint(poses[-1].removed_ids), what="the newest list")
    assert set(poses[-1].removed_keyframe_ids)
    assert set(poses[-1].removed_keyframe_ids).isdisjoint(poses[-1].keyframe_ids)
    assert wall(node)[0].min() > 2.0
    for radius_m in (0.0, -1.0, float("nan")):
        assert call(radius_m).code == ClearOutside.Response.INVALID_RADIUS
    answer = call(1.0)
    assert answer.success, answer.message
    assert list(answer.removed)
    assert set(answer.removed).isdisjoint({fragment.id for fragment in mapper(node, "fragments")})
    wait_for(lambda: set(answer.removed) <= set(poses[-1].removed_ids), what="the removed fragments")
