"""The mapping node over DDS: what it publishes, its services, and that bad input leaves node and map whole."""

from array import array

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from mapping_harness import feed, mapped, mapper, problem
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMessage
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, PointCloud2
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_msgs.msg import VoxelFragment
from lira_msgs.srv import LoadMap, SaveMap
from lira_ros.geometry.camera import Camera
from lira_ros.ros import qos
from lira_ros.ros.conversions.camera import camera_to_info
from lira_ros.ros.conversions.fragment import fragment_from_message
from lira_ros.ros.conversions.geometry import pose_to_message, transform_to_message
from lira_ros.ros.conversions.image import bytes_array, depth_to_message
from lira_ros.ros.conversions.keyframe import keyframe_from_message
from lira_ros.ros.conversions.points import points_from_message
from lira_ros.ros.conversions.time import stamp_from_ns, stamp_to_ns


def test_outputs_and_services(mapping, camera, peer, collect, wait_for, call_service, tmp_path):
    node = mapping()
    camera.connect(peer)
    keyframes = collect(KeyframeMessage, "keyframes", qos.keyframes())
    fragments = collect(VoxelFragment, "fragments", qos.fragments())
    clouds = collect(PointCloud2, "map/points", qos.latched())
    meshes = collect(MarkerArray, "map/mesh", qos.latched())
    paths = collect(PathMessage, "trajectory", qos.latched())
    poses = collect(PoseStamped, "pose", qos.stream(50))
    wait_for(camera.connected, what="the subscriptions")

    answer = call_service(peer, SaveMap, "save_map", SaveMap.Request(name="empty"))
    assert answer.code == SaveMap.Response.EMPTY_MAP

    feed(camera, 10, node, wait_for)
    wait_for(lambda: len(keyframes) >= 3 and fragments, what="keyframes and a fragment")
    first = keyframe_from_message(keyframes[0], "keyframes")
    assert first.id == 1
    assert keyframes[0].header.frame_id == "map"
    assert first.frame.camera.width_px == 64
    np.testing.assert_allclose(first.frame.T_map_camera[:3, 3], (0.05, 0, 1.0), atol=1e-9)
    fragment = fragment_from_message(fragments[0], "fragments")
    assert (fragment.id, fragment.keyframe_ids) == (1, (1, 2, 3))
    assert len(fragment.block_coordinates) > 0
    wait_for(lambda: clouds and clouds[-1].width > 0 and meshes and paths, what="surfaces")
    points, colors, _ = points_from_message(clouds[-1], "map/points")
    assert abs(np.median(points[:, 1]) - 1.5) < 0.05  # the wall is 1.5 m along +y
    assert np.abs(np.median(colors, axis=0) - (180, 60, 40)).max() < 40
    assert meshes[0].markers[0].action == Marker.DELETEALL
    wait_for(lambda: any(marker.action == Marker.ADD for message in meshes for marker in message.markers))
    wait_for(lambda: len(poses) == 10, what="a pose for each frame")
    assert stamp_to_ns(poses[-1].header.stamp) == node._stamp_ns

    # Somebody who comes late gets the keyframes of the past.
    late = collect(KeyframeMessage, "keyframes", qos.keyframes())
    wait_for(lambda: len(late) == len(keyframes), what="the history of keyframes")

    answer = call_service(peer, SaveMap, "save_map", SaveMap.Request(name="room"))
    assert answer.success, answer.message
    assert [name.split("/")[-1] for name in answer.files] == ["room.liramap"]
    saved = len(fragments)
    wait_for(lambda: len(fragments) > saved or len(mapper(node, "fragments")) == saved)
    for name in ("../up", ".hidden", "", "a" * 129, "a/b"):
        answer = call_service(peer, SaveMap, "save_map", SaveMap.Request(name=name))
        assert answer.code == SaveMap.Response.NAME_INVALID
        assert call_service(peer, LoadMap, "load_map", LoadMap.Request(name=name)).code == LoadMap.Response.NAME_INVALID
    (tmp_path / "broken.liramap").write_bytes(b"nothing")
    assert call_service(peer, LoadMap, "load_map", LoadMap.Request(name="broken")).code == LoadMap.Response.FILE_BROKEN
    assert call_service(peer, LoadMap, "load_map", LoadMap.Request(name="none")).code == LoadMap.Response.NOT_FOUND

    session, count = node._map.session, len(mapper(node, "fragments"))
    assert call_service(peer, Trigger, "/mapping_node/reset").success
    assert node._map.session != session
    wait_for(lambda: fragments[-1].clear and fragments[-1].session == node._map.session, what="the clear message")
    assert mapper(node, "fragments") == ()
    answer = call_service(peer, LoadMap, "load_map", LoadMap.Request(name="room"))
    assert answer.success, answer.message
    wait_for(lambda: len(fragments) >= count and fragments[-1].id == count, what="the loaded fragments")
    sequences = [message.sequence for message in fragments]
    assert sequences == list(range(1, len(sequences) + 1))

    assert call_service(peer, Trigger, "/mapping_node/pause").success
    camera.send(camera.next())
    wait_for(lambda: node.statistics.counter("frames while paused") == 1, what="the refused frame")
    assert call_service(peer, Trigger, "/mapping_node/resume").success
    feed(camera, 1, node, wait_for)
    # The map that was loaded goes on: its keyframes come again, and its ids are not used again.
    known = set(range(1, 1 + max(fragment.keyframe_ids[-1] for fragment in mapper(node, "fragments"))))
    session = node._map.session

    def numbers():
        return [message.id for message in keyframes if message.session == session]

    wait_for(lambda: len(numbers()) == len(known) + 1, what="the old keyframes and a new one")
    assert set(numbers()) == known | {max(known) + 1}


def spoil(name, change):
    """Return a function that spoils one of the messages."""

    def apply(messages):
        change(messages[name])
        return messages

    return apply


def without(name):
    return lambda messages: {key: value for key, value in messages.items() if key != name}


def transform_of(message):
    return message.transforms[0].transform


NAN = float("nan")
BAD_INPUT = {
    "zero intrinsics": (spoil("info", lambda m: setattr(m, "k", [0.0] * 9)), "/color/camera_info: expected finite"),
    "NaN intrinsics": (spoil("info", lambda m: setattr(m, "k", [NAN] * 9)), "/color/camera_info: expected finite"),
    "camera info of another size": (
        spoil("info", lambda m: setattr(m, "width", 32)),
        "/color/image: expected 32 x 48 pixels as /color/camera_info says, got 64 x 48",
    ),
    "wrong colour encoding": (
        spoil("color", lambda m: setattr(m, "encoding", "bayer_rggb8")),
        "/color/image: expected enc",
    ),
    "wrong depth encoding": (spoil("depth", lambda m: setattr(m, "encoding", "64FC1")), "/depth/image: expected enc"),
    "truncated colour": (spoil("color", lambda m: setattr(m, "data", m.data[:-100])), "/color/image: expected 9216"),
    "truncated depth": (spoil("depth", lambda m: setattr(m, "data", array("B"))), "/depth/image: expected 6144 bytes"),
    "step too small": (spoil("color", lambda m: setattr(m, "step", 10)), "/color/image: expected a step"),
    "all-zero depth": (
        spoil("depth", lambda m: setattr(m, "data", bytes_array(bytes(len(m.data))))),
        "/depth/image: expected at least one valid depth",
    ),
    "no frame": (spoil("color", lambda m: setattr(m.header, "frame_id", "")), "/color/image: expected the camera's"),
    "unregistered depth": (
        spoil("depth", lambda m: setattr(m.header, "frame_id", "camera_depth_optical_frame")),
        "/depth/image: expected depth registered to /color/image (64 x 48, frame 'camera_color_optical_frame'), "
        "got 64 x 48 in frame 'camera_depth_optical_frame'; it could be reprojected, but no camera info",
    ),
    "NaN in the pose": (
        spoil("tf", lambda m: setattr(transform_of(m).translation, "x", NAN)),
        "was dropped: waited 0.3 s",
    ),
    "not a rotation": (spoil("tf", lambda m: setattr(transform_of(m).rotation, "w", 3.0)), "was dropped: waited 0.3 s"),
    "TF missing": (without("tf"), "was dropped: waited 0.3 s for TF from camera_color_optical_frame to map"),
    "stamps going backwards": (
        lambda messages: [setattr(m.header.stamp, "sec", 100) for n, m in messages.items() if n != "tf"] and messages,
        "/color/image: expected a stamp after",
    ),
}


def test_bad_input_is_named_and_leaves_the_map_whole(mapping, camera, peer, wait_for):
    node = mapping(pose_timeout_s=0.3)
    camera.connect(peer)
    wait_for(camera.connected, what="the subscriptions")
    feed(camera, 3, node, wait_for)
    for name, (change, expected) in BAD_INPUT.items():
        before = mapped(node)
        known = {key: item.count for key, item in node.statistics.problems().items()}

        def new_problem(expected=expected, known=known):
            return any(
                expected in item.text and item.count > known.get(key, 0)
                for key, item in node.statistics.problems().items()
            )

        camera.send(change(camera.next()))
        wait_for(new_problem, what=f"{name}: a problem with {expected!r}")
        assert mapped(node) == before, name
        assert node.state == "active"
        feed(camera, 1, node, wait_for)
    assert node.statistics.counter("frames without pose") >= 2
    assert node.statistics.counter("frames refused") >= 9
    assert mapped(node) == 3 + len(BAD_INPUT)
    points, _ = mapper(node, "points")
    assert abs(np.median(points[:, 1]) - 1.5) < 0.05


def test_accepted_input_variants(mapping, camera, peer, wait_for):
    """32FC1 with NaN and infinity, bgra8, padding, big endian: all of it is mapped."""
    node = mapping()
    camera.connect(peer)
    wait_for(camera.connected, what="the subscriptions")
    feed(camera, 1, node, wait_for)

    def variant(change):
        messages = camera.next()
        change(messages)
        before = mapped(node)
        camera.send(messages)
        wait_for(lambda: mapped(node) == before + 1, what="the variant in the map")

    def float_depth(messages):
        depth = np.full((48, 64), 1.5, dtype=np.float32)
        depth[:5], depth[5:10] = np.nan, np.inf
        original = messages["depth"].header
        messages["depth"] = depth_to_message(depth, stamp_to_ns(original.stamp), original.frame_id, "32FC1")

    def padded(messages):
        message = messages["color"]
        rows = np.frombuffer(message.data, np.uint8).reshape(48, -1)
        message.step += 32
        message.data = bytes_array(np.pad(rows, ((0, 0), (0, 32))))

    def bgra(messages):
        message = messages["color"]
        rgb = np.frombuffer(message.data, np.uint8).reshape(48, 64, 3)
        message.encoding, message.step = "bgra8", 256
        message.data = bytes_array(np.dstack([rgb[..., ::-1], np.zeros((48, 64), np.uint8)]))

    def big_endian(messages):
        message = messages["depth"]
        message.data = bytes_array(np.frombuffer(message.data, "<u2").astype(">u2"))
        message.is_bigendian = 1

    for change in (float_depth, padded, bgra, big_endian):
        variant(change)
    points, colors = mapper(node, "points")
    assert abs(np.median(points[:, 1]) - 1.5) < 0.05
    assert np.abs(np.median(colors, axis=0) - (180, 60, 40)).max() < 40


def test_compressed_images(mapping, camera, peer, wait_for):
    remapped = ["--ros-args"]
    for name in ("color/image", "depth/image", "color/camera_info"):
        remapped += ["-r", f"{name}:=/driver/{name}"]  # the base name is remapped, as with image_transport
    node = mapping(cli_args=remapped, **{"camera.image_transport": "compressed"})
    camera.namespace = "/driver/"
    camera.connect(peer, compressed=True)
    wait_for(camera.connected, what="the subscriptions")
    for _ in range(2):
        messages = camera.next()
        color, depth = messages["color"], messages["depth"]
        rgb = np.frombuffer(color.data, np.uint8).reshape(48, 64, 3)
        millimeters = np.frombuffer(depth.data, "<u2").reshape(48, 64)
        messages["color"] = CompressedImage(header=color.header, format="rgb8; jpeg compressed bgr8")
        messages["color"].data = bytes_array(cv2.imencode(".jpg", rgb[..., ::-1])[1])
        messages["depth"] = CompressedImage(header=depth.header, format="16UC1; compressedDepth png")
        messages["depth"].data = bytes_array(bytes(12) + cv2.imencode(".png", millimeters)[1].tobytes())
        before = mapped(node)
        camera.send(messages)
        wait_for(lambda before=before: mapped(node) == before + 1, what="the frame in the map")


def test_unregistered_depth_is_reprojected(mapping, camera, peer, wait_for):
    """Depth of half the size from a camera 5 cm to the side lands where the wall is."""
    node = mapping(**{"camera.sync_slop_s": 0.001})
    camera.connect(peer)
    depth_infos = peer.create_publisher(type(camera.next()["info"]), "depth/camera_info", 10)
    static = peer.create_publisher(TFMessage, "/tf_static", qos.latched())
    T_color_depth = np.eye(4)
    T_color_depth[0, 3] = 0.05
    static.publish(
        TFMessage(transforms=[transform_to_message(T_color_depth, camera.frame, "depth_frame", stamp_from_ns(0))])
    )
    wait_for(lambda: camera.connected() and depth_infos.get_subscription_count(), what="the subscriptions")
    depth_camera = Camera(32, 24, 25.0, 25.0, 15.5, 11.5)

    def send():
        messages = camera.next()
        header = messages["depth"].header
        header.frame_id = "depth_frame"
        depth_infos.publish(camera_to_info(depth_camera, header))
        messages["depth"] = depth_to_message(
            np.full((24, 32), 1.5, np.float32), stamp_to_ns(header.stamp), "depth_frame"
        )
        camera.send(messages)
        return mapped(node) >= 3

    wait_for(send, what="three frames with reprojected depth")
    points, _ = mapper(node, "points")
    assert abs(np.median(points[:, 1]) - 1.5) < 0.03


@pytest.mark.parametrize("source", ["pose", "odometry"])
def test_poses_from_a_topic(source, mapping, camera, peer, wait_for):
    node = mapping(pose_source=source)
    camera.connect(peer)
    kind, topic = (PoseStamped, "camera_pose") if source == "pose" else (Odometry, "odometry")
    poses = peer.create_publisher(kind, topic, qos.stream(50))
    static = peer.create_publisher(TFMessage, "/tf_static", qos.latched())
    T_base_camera = np.eye(4)
    T_base_camera[:3, 3] = (0.0, 0.0, 0.5)
    static.publish(TFMessage(transforms=[transform_to_message(T_base_camera, "base", camera.frame, stamp_from_ns(0))]))
    wait_for(lambda: camera.connected() and poses.get_subscription_count(), what="the subscriptions")

    def send_pose(stamp_ns, x_m, frame="map"):
        T = np.eye(4)
        T[0, 3] = x_m
        if source == "pose":
            message = PoseStamped(pose=pose_to_message(T))
        else:
            message = Odometry(child_frame_id="base")
            message.pose.pose = pose_to_message(T)
        message.header.frame_id, message.header.stamp = frame, stamp_from_ns(stamp_ns)
        poses.publish(message)

    messages = camera.next()
    del messages["tf"]
    stamp_ns = stamp_to_ns(messages["color"].header.stamp)
    send_pose(stamp_ns - 10_000_000, 0.0)
    camera.send(messages)
    wait_for(
        lambda: node._cameras.statistics()["frames waiting for a pose"] == 1, what="the frame that waits for its pose"
    )
    send_pose(stamp_ns + 30_000_000, 0.4)
    wait_for(lambda: mapped(node) == 1, what="the frame in the map")
    wait_for(lambda: node._trajectory.path.poses, what="the pose in the path")
    T = node._trajectory.path.poses[0].pose.position
    np.testing.assert_allclose((T.x, T.y, T.z), (0.1, 0, 0.5 if source == "odometry" else 0), atol=1e-9)
    send_pose(stamp_ns + 40_000_000, 0.4, frame="odom")
    wait_for(lambda: problem(node, "expected poses in the frame 'map' (parameter map_frame), got 'odom'"))


def test_missing_and_doubled_inputs_are_reported(mapping, camera, peer, wait_for):
    node = mapping()
    for entry in node.inputs:
        entry.last_arrival_s -= 10
    sentences = " ".join(node._missing())
    for name in ("/color/image (sensor_msgs/msg/Image", "/depth/image", "/color/camera_info", "no publisher"):
        assert name in sentences
    assert "depth/camera_info" not in sentences  # is not needed
    camera.connect(peer)
    peer.create_publisher(type(camera.next()["info"]), "color/camera_info", 10)
    wait_for(
        lambda: problem(node, "/color/camera_info: expected one publisher, got 2: /peer, /peer"),
        what="the second publisher",
    )
    # Images whose stamps never agree
    wait_for(camera.connected, what="the subscriptions")

    def send():
        messages = camera.next()
        messages["depth"].header.stamp.sec += 1000
        camera.send(messages)
        return any("the stamps never agree" in sentence for sentence in node.missing_inputs())

    wait_for(send, what="the sentence about the stamps")


def test_services_before_configuration(mapping, peer, call_service):
    mapping(active=False, autostart=False)
    answer = call_service(peer, SaveMap, "save_map", SaveMap.Request(name="a"))
    assert (answer.success, answer.code) == (False, SaveMap.Response.NOT_CONFIGURED)
    assert "mapping_node is unconfigured" in answer.message
    assert not call_service(peer, Trigger, "/mapping_node/reset").success


def test_a_looped_bag_starts_a_new_session(mapping, camera, peer, wait_for):
    node = mapping(use_sim_time=True)
    clock = peer.create_publisher(Clock, "/clock", 10)
    camera.connect(peer)
    wait_for(lambda: camera.connected() and clock.get_subscription_count(), what="the subscriptions")
    clock.publish(Clock(clock=stamp_from_ns(1_700_000_010_000_000_000)))
    feed(camera, 4, node, wait_for)
    session = node._map.session
    wait_for(lambda: node.get_clock().now().nanoseconds >= 1_700_000_010_000_000_000, what="the clock")
    clock.publish(Clock(clock=stamp_from_ns(1_700_000_000_000_000_000)))
    wait_for(lambda: node._map.session != session and mapped(node) == 0, what="the new session")
    camera.index = 0
    feed(camera, 2, node, wait_for)
    assert problem(node, "the clock went back by 10.0 s")
    # The same without /clock: the stamps alone start again.
    camera.index = 100
    feed(camera, 1, node, wait_for)
    session, camera.index = node._map.session, 0

    def send():
        camera.send(camera.next())
        return node._map.session != session and mapped(node) >= 2

    wait_for(send, what="another session after the stamps started again")


def test_the_last_fragment_is_closed_when_the_camera_stops(mapping, camera, peer, collect, wait_for):
    node = mapping(flush_after_s=0.2, **{"mapping.fragment_keyframes": 50})
    camera.connect(peer)
    fragments = collect(VoxelFragment, "fragments", qos.fragments())
    wait_for(camera.connected, what="the subscriptions")
    feed(camera, 4, node, wait_for)
    wait_for(lambda: len(fragments) == 1, what="the fragment")
    assert fragments[0].id == 1


def test_the_map_survives_deactivation_and_not_cleanup(mapping, camera, peer, wait_for, call_service):
    node = mapping()
    camera.connect(peer)
    wait_for(camera.connected, what="the subscriptions")
    feed(camera, 3, node, wait_for)

    def change(*transitions):
        for transition in transitions:
            request = ChangeState.Request(transition=Transition(id=transition))
            assert call_service(peer, ChangeState, "/mapping_node/change_state", request).success

    change(Transition.TRANSITION_DEACTIVATE)
    wait_for(lambda: not camera.connected(), what="the end of the subscriptions")
    assert call_service(peer, SaveMap, "save_map", SaveMap.Request(name="inactive")).success
    change(Transition.TRANSITION_ACTIVATE)
    wait_for(camera.connected, what="the subscriptions")
    feed(camera, 2, node, wait_for)
    assert mapped(node) == 5
    session = node._map.session
    change(Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)
    assert node.state == "unconfigured"
    change(Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
    wait_for(camera.connected, what="the subscriptions")
    assert mapped(node) == 0
    assert node._map.session != session
    feed(camera, 1, node, wait_for)
