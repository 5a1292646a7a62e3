"""What the mapping node publishes beyond the map itself, and what else it takes in, over DDS."""

import numpy as np
import pytest
from conftest import FOCAL, HEIGHT, START_NS, WIDTH, CameraMessages
from geometry_msgs.msg import Point
from mapping_harness import feed, mapped, mapper, problem
from nav_msgs.msg import OccupancyGrid, Path
from rclpy.serialization import serialize_message
from rviz_display import RvizDisplay
from sensor_msgs.msg import Image, Imu, PointCloud2
from shape_msgs.msg import Mesh
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_msgs.msg import MeshUpdate
from lira_ros.ros import qos
from lira_ros.ros.conversions.geometry import pose_from_message, pose_to_message, transform_to_message
from lira_ros.ros.conversions.image import bytes_array, depth_to_message
from lira_ros.ros.conversions.keyframe import keyframe_from_message
from lira_ros.ros.conversions.points import points_from_message, points_to_message
from lira_ros.ros.conversions.time import stamp_from_ns, stamp_to_ns

FLOOR_Z_M = 0.6  # the camera of these tests is 1 m high


class FloorCamera(CameraMessages):
    """Sees a wall 1.5 m away and the floor before it."""

    def next(self):
        messages = super().next()
        rows = np.arange(HEIGHT) - (HEIGHT - 1) / 2
        floor = np.where(rows > 0, (1.0 - FLOOR_Z_M) * FOCAL / np.maximum(rows, 1e-3), np.inf)
        depth = np.minimum(1.5, floor)[:, None].repeat(WIDTH, axis=1).astype(np.float32)
        header = messages["depth"].header
        messages["depth"] = depth_to_message(depth, stamp_to_ns(header.stamp), header.frame_id, "32FC1")
        return messages


def connect(camera, peer, wait_for):
    camera.connect(peer)
    wait_for(camera.connected, what="the subscriptions")
    return camera


def regions_of(updates):
    """Apply mesh updates; return triangle counts of the regions that are there, by coordinates."""
    held = {}
    for message in updates:
        if message.clear:
            held = {}
        for region in message.regions:
            held[tuple(region.coordinates)] = len(region.mesh.triangles)
    return {key: count for key, count in held.items() if count}


def markers_of(messages):
    display = RvizDisplay()
    for message in messages:
        display.apply(message)
    return {number: len(marker.points) // 3 for (_, number), marker in display.shown.items()}


def test_the_mesh_goes_out_within_its_bandwidth_nearest_first_and_all_of_it(
    mapping, camera, peer, collect, call_service, wait_for
):
    # 2 Mbit/s are 250 kB per second, and as much at once after a pause.
    node = mapping(mesh_rate_hz=30.0, mesh_bandwidth_mbps=2.0, **{"mapping.voxel_size_m": 0.02})
    camera.step_m = 0.2
    connect(camera, peer, wait_for)
    feed(camera, 6, node, wait_for)
    updates = collect(MeshUpdate, "map/mesh_updates", qos.mesh_updates())
    wait_for(lambda: updates and updates[-1].waiting == 0, 30, "the whole mesh")
    triangles = len(mapper(node, "mesh").triangles)
    assert sum(regions_of(updates).values()) == triangles
    assert updates[0].clear
    assert not any(message.clear for message in updates[1:])
    assert [message.sequence for message in updates] == list(range(1, len(updates) + 1))
    assert {message.session for message in updates} == {node._map.session}
    sizes = [len(serialize_message(message)) for message in updates]
    assert sum(sizes) > 300_000, "the test needs a mesh that does not fit at once"
    assert len(updates) > 1
    for message, size in zip(updates, sizes, strict=True):
        assert size <= 260_000 or len(message.regions) == 1
    # What is sent first is near the camera; each fourth region may be any.
    region_m = updates[0].region_size_m
    assert region_m == pytest.approx(4 * 8 * 0.02)

    def distance_m(region):
        return np.linalg.norm((np.array(region.coordinates) + 0.5) * region_m - camera.pose()[:3, 3])

    first = [distance_m(region) for region in updates[0].regions]
    last = [distance_m(region) for message in updates[1:] for region in message.regions]
    assert np.median(first) < np.median(last)
    values = node.worker.submit(node.diagnose).result(15)
    assert values["map/mesh_updates regions waiting"] == 0
    assert values["map/mesh_updates sent_bytes"] == pytest.approx(sum(sizes), rel=0.01)
    # On request it comes again, to everybody.
    known, count = len(regions_of(updates)), len(updates)
    answer = call_service(peer, Trigger, "/mapping_node/publish_full_mesh")
    assert answer.success
    assert str(known) in answer.message
    wait_for(lambda: set(regions_of(updates[count:])) == set(regions_of(updates)), 30, "the mesh a second time")


def test_who_comes_late_gets_the_whole_mesh_in_every_form(mapping, camera, peer, collect, wait_for):
    node = mapping(mesh_rate_hz=30.0)
    early = collect(MarkerArray, "map/mesh", qos.latched())
    connect(camera, peer, wait_for)
    feed(camera, 6, node, wait_for)
    triangles = len(mapper(node, "mesh").triangles)
    wait_for(lambda: sum(markers_of(early).values()) == triangles, what="the mesh")
    late = collect(MarkerArray, "map/mesh", qos.latched())
    updates = collect(MeshUpdate, "map/mesh_updates", qos.mesh_updates())
    shapes = collect(Mesh, "map/shape", qos.latched())
    wait_for(lambda: sum(markers_of(late).values()) == triangles, what="the markers for the late one")
    wait_for(lambda: sum(regions_of(updates).values()) == triangles, what="the updates for the late one")
    wait_for(lambda: shapes and len(shapes[-1].triangles) == triangles, what="the mesh as one shape")
    whole = mapper(node, "mesh")
    vertices = np.array([(p.x, p.y, p.z) for p in shapes[-1].vertices])
    np.testing.assert_allclose(vertices, whole.vertices, atol=1e-6)
    np.testing.assert_array_equal([item.vertex_indices for item in shapes[-1].triangles], whole.triangles)
    assert sum(markers_of(early).values()) == triangles
    # When nobody looks, nothing is held; when somebody comes back, all is there.
    before = len(updates)
    session = node._map.session
    node.worker.submit(node._start_anew).result(15)
    feed(camera, 2, node, wait_for)
    wait_for(lambda: any(m.clear and m.session != session for m in updates[before:]), what="the new session")
    wait_for(
        lambda: regions_of(updates) and sum(regions_of(updates).values()) == len(mapper(node, "mesh").triangles),
        what="the mesh of the new session",
    )


def test_free_space_for_planners(mapping, peer, collect, wait_for):
    node = mapping(**{"free_space.rate_hz": 30.0, "free_space.bottom_m": 0.15, "free_space.top_m": 1.0})
    grids = collect(OccupancyGrid, "map/occupancy", qos.latched())
    clouds = collect(PointCloud2, "map/distance", qos.latched())
    tops = collect(PointCloud2, "map/heights", qos.latched())
    camera = connect(FloorCamera(), peer, wait_for)
    feed(camera, 12, node, wait_for)
    wait_for(lambda: grids and clouds, 30, "the grid")
    wait_for(lambda: stamp_to_ns(grids[-1].header.stamp) == node._stamp_ns, what="the newest grid")
    wait_for(lambda: stamp_to_ns(clouds[-1].header.stamp) == node._stamp_ns, what="the newest distances")
    grid, cloud = grids[-1], clouds[-1]
    T = pose_from_message(grid.info.origin, "origin")
    assert grid.header.frame_id == "map"
    np.testing.assert_allclose(T[:3, :3], np.eye(3), atol=1e-9)
    assert T[2, 3] == pytest.approx(FLOOR_Z_M, abs=0.04)
    cells = np.array(grid.data).reshape(grid.info.height, grid.info.width)
    xy = np.array([(cloud.width, cloud.height)])
    assert tuple(xy[0]) == (grid.info.width, grid.info.height)
    points = np.frombuffer(cloud.data, np.float32).reshape(cloud.height, cloud.width, 4)

    def cell(x, y):
        column, row = ((np.array((x, y)) - T[:2, 3]) / grid.info.resolution).astype(int)
        np.testing.assert_allclose(points[row, column, :2], (x, y), atol=grid.info.resolution)
        return cells[row, column], points[row, column, 3]

    assert cell(0.4, 1.52)[0] == 100  # the wall
    assert cell(0.4, 1.2)[0] == 0  # the floor before it
    assert cell(0.4, 1.2)[1] == pytest.approx(0.3, abs=0.1)
    assert -1 in cells, "what nobody saw is unknown"
    assert np.isnan(points[..., 3][cells == -1]).all()

    # The wall goes on above the slab; the heights are those of the cells of the same moment.
    height_of = {stamp_to_ns(message.header.stamp): message for message in tops}
    heights = np.frombuffer(height_of[node._stamp_ns].data, np.float32).reshape(*cells.shape, 4)[..., 3]
    assert np.array_equal(~np.isnan(heights), cells == 100)
    assert np.isinf(heights).any()

    # A map that starts anew takes it down, also for who comes late.
    node.worker.submit(node._start_anew).result(15)
    wait_for(lambda: len(grids[-1].data) == 0 and clouds[-1].width == 0, what="the end of the grid")
    assert grids[-1].header.frame_id == "map"


def test_no_free_space_before_the_floor_was_seen(mapping, camera, peer, collect, wait_for):
    node = mapping(**{"free_space.rate_hz": 30.0})
    grids = collect(OccupancyGrid, "map/occupancy", qos.latched())
    connect(camera, peer, wait_for)
    wait_for(lambda: node._free_space._occupancy.get_subscription_count(), what="the subscription to the grid")
    feed(camera, 4, node, wait_for)
    node.worker.submit(node._publish).result(15)
    assert "publish free space p50_ms" not in node.statistics.values()
    assert not grids
    assert node.state == "active"


def test_a_slab_without_height_is_refused_by_name(mapping):
    node = mapping(active=False, **{"free_space.bottom_m": 2.0, "autostart": False})
    node.trigger_configure()
    assert "free_space.bottom_m 2.0 must be below free_space.top_m 1.5" in node._error


@pytest.fixture
def static_transform(peer):
    publisher = peer.create_publisher(TFMessage, "/tf_static", qos.latched())

    def send(parent, child, T):
        publisher.publish(TFMessage(transforms=[transform_to_message(T, parent, child, stamp_from_ns(0))]))

    return send


def gravity(node):
    return node.worker.submit(lambda: (node._mapper.gravity.source, node._mapper.up)).result(15)


def turned_about_x():
    """Return a rotation that turns z into -y."""
    T = np.eye(4)
    T[:3, :3] = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
    return T


@pytest.mark.parametrize("measured", ["acceleration", "orientation"])
def test_gravity_from_an_imu(measured, mapping, camera, peer, static_transform, collect, wait_for):
    node = mapping(**{"mapping.up": "imu"})
    keyframes = collect(KeyframeMessage, "keyframes", qos.keyframes())
    imu = peer.create_publisher(Imu, "imu", qos.stream(400))
    static_transform("map", "imu_link", turned_about_x())
    connect(camera, peer, wait_for)
    wait_for(imu.get_subscription_count, what="the subscription")

    def measure(index, frame="imu_link"):
        message = Imu()
        message.header.stamp, message.header.frame_id = stamp_from_ns(START_NS + index * 20_000_000), frame
        if measured == "acceleration":
            message.orientation_covariance[0] = -1.0
            message.linear_acceleration.y = 9.8  # y of the IMU is z of the map
        else:  # its own filter knows how it hangs; its world is turned about z to the map
            world = np.eye(4)
            world[:2, :2] = [[0.0, -1.0], [1.0, 0.0]]
            message.orientation = pose_to_message(world @ turned_about_x()).orientation
            message.orientation_covariance[0] = 0.01
        imu.publish(message)

    for index in range(80):
        measure(index)
    wait_for(lambda: gravity(node)[0] == "imu", what="gravity from the IMU")
    np.testing.assert_allclose(gravity(node)[1], (0, 0, 1), atol=1e-6)
    feed(camera, 1, node, wait_for)
    wait_for(lambda: keyframes, what="a keyframe")
    np.testing.assert_allclose(keyframe_from_message(keyframes[0], "keyframes").up, (0, 0, 1), atol=1e-6)
    measure(100, frame="nowhere")
    wait_for(lambda: any("/imu: TF from nowhere" in item for item in node.missing_inputs()), what="the missing frame")


def test_gravity_from_a_frame_whose_z_is_up(mapping, static_transform, wait_for):
    node = mapping(gravity_frame="level", **{"mapping.up": "tf"})
    wait_for(lambda: any("level" in item and "gravity_frame" in item for item in node.missing_inputs()))
    static_transform("map", "level", turned_about_x())
    wait_for(lambda: gravity(node)[0] == "tf", what="gravity from TF")
    np.testing.assert_allclose(gravity(node)[1], (0, -1, 0), atol=1e-9)
    assert node.missing_inputs() == []


class BackCamera(CameraMessages):
    """Looks the other way, along -y of the map."""

    def pose(self):
        T = super().pose()
        T[:3, :3] = np.diag([-1.0, -1.0, 1.0]) @ T[:3, :3]
        return T


def test_two_cameras_make_one_map(mapping, peer, collect, wait_for):
    node = mapping(camera_names=["front", "back"])
    keyframes = collect(KeyframeMessage, "keyframes", qos.keyframes())
    front = connect(CameraMessages(namespace="front/", frame="front_optical"), peer, wait_for)
    back = connect(BackCamera(namespace="back/", frame="back_optical"), peer, wait_for)
    inputs = {entry.topic for entry in node.inputs}
    assert {"/front/color/image", "/back/depth/image", "/back/color/camera_info"} <= inputs
    assert "/color/image" not in inputs
    # The back camera is 10 ms behind, so its stamps lie between those of the other; every other set comes late.
    for index in range(8):
        pair = [front.next(), back.next()]
        for name in ("color", "depth", "info"):
            stamp = pair[1][name].header.stamp
            pair[1][name].header.stamp = stamp_from_ns(stamp_to_ns(stamp) + 10_000_000)
        for transform in pair[1]["tf"].transforms:
            transform.header.stamp = pair[1]["color"].header.stamp
        if index % 2:
            pair.reverse()
            front.send(pair[1]), back.send(pair[0])
        else:
            front.send(pair[0]), back.send(pair[1])
    wait_for(lambda: mapped(node) == 16, what="the frames of both cameras")
    points, _ = mapper(node, "points")
    assert (np.abs(points[:, 1] - 1.5) < 0.05).any(), "the wall before the front camera"
    assert (np.abs(points[:, 1] + 1.5) < 0.05).any(), "the wall behind, seen by the other camera"
    wait_for(lambda: len(keyframes) >= 4, what="keyframes of both")
    directions = {round(keyframe_from_message(m, "k").frame.T_map_camera[1, 2]) for m in keyframes}
    assert directions == {1, -1}
    assert [message.id for message in keyframes] == list(range(1, len(keyframes) + 1))
    # The trouble of one camera is named, and the other goes on.
    spoilt = back.next()
    spoilt["color"].encoding = "bayer_rggb8"
    back.send(spoilt)
    wait_for(lambda: problem(node, "/back/color/image: expected enc"), what="the problem")
    feed(front, 1, node, wait_for)


def test_impossible_camera_names_are_refused(mapping):
    for names in (["front", "front"], ["front", "/"]):
        node = mapping(active=False, camera_names=names, autostart=False)
        node.trigger_configure()
        assert "camera_names: expected different namespaces" in node._error


@pytest.mark.parametrize(
    ("factor", "expected"), [(1000.0, "in millimetres"), (0.001, "divided by 1000")], ids=["too large", "too small"]
)
def test_depth_in_a_wrong_unit_is_named_and_leaves_the_map_alone(factor, expected, mapping, camera, peer, wait_for):
    node = mapping()
    connect(camera, peer, wait_for)
    feed(camera, 2, node, wait_for)
    refused = node.statistics.counter("frames refused")
    for number in range(4):
        messages = camera.next()
        header = messages["depth"].header
        depth = np.full((HEIGHT, WIDTH), 1.5 * factor, np.float32)
        messages["depth"] = depth_to_message(depth, stamp_to_ns(header.stamp), header.frame_id, "32FC1")
        camera.send(messages)
        wait_for(
            lambda number=number: node.statistics.counter("frames refused") == refused + number + 1, what="the refusal"
        )
    (text,) = problem(node, "wrong unit")
    assert text.startswith("/depth/image: ")
    assert expected in text
    assert node.state == "active"
    assert mapped(node) == 2
    feed(camera, 3, node, wait_for)
    points, _ = mapper(node, "points")
    assert np.abs(points).max() < 3.0


def test_both_conventions_of_invalid_depth(mapping, camera, peer, wait_for):
    """In 16UC1, 0 and 65535 both say that nothing was measured."""
    node = mapping()
    connect(camera, peer, wait_for)
    for _ in range(4):
        messages = camera.next()
        millimeters = np.full((HEIGHT, WIDTH), 1500, "<u2")
        millimeters[:10], millimeters[-10:] = 65535, 0
        messages["depth"].data = bytes_array(millimeters)
        before = mapped(node)
        camera.send(messages)
        wait_for(lambda before=before: mapped(node) == before + 1, what="the frame in the map")
    points, _ = mapper(node, "points")
    assert np.abs(points[:, 1] - 1.5).max() < 0.05
    assert np.abs(points[:, 2] - 1.0).max() < 0.5


def test_points_carry_the_ids_of_published_instances(mapping, camera, peer, collect, wait_for):
    node = mapping(points_rate_hz=30.0)
    clouds = collect(PointCloud2, "map/points", qos.latched())
    instances = peer.create_publisher(PointCloud2, "instances/points", qos.latched())
    connect(camera, peer, wait_for)
    feed(camera, 3, node, wait_for)

    def publish(parts, frame="map"):
        points = np.array([point for _, part in parts for point in part], np.float32).reshape(-1, 3)
        ids = np.array([number for number, part in parts for _ in part], np.uint32)
        instances.publish(points_to_message(points, np.zeros((len(points), 3), np.uint8), 1, frame, ids))

    def found():
        """Return the mean x of the points of each instance in the newest cloud."""
        if not clouds or clouds[-1].width == 0:
            return None
        points, _, ids = points_from_message(clouds[-1], "map/points")
        return {int(key): float(points[ids == key, 0].mean()) for key in np.unique(ids) if key}

    wait_for(lambda: found() == {}, what="points without instances")
    wall = [(x, 1.5, z) for x in np.arange(-0.2, 0.0, 0.05) for z in np.arange(0.9, 1.3, 0.05)]
    other = [(x + 0.6, y, z) for x, y, z in wall]
    publish([(7, wall), (9, other)])
    wait_for(lambda: found() and set(found()) == {7, 9}, what="two instances")
    assert found()[7] == pytest.approx(-0.1, abs=0.1)
    assert found()[9] == pytest.approx(0.5, abs=0.1)
    publish([(9, other)])
    wait_for(lambda: set(found()) == {9}, what="the instance that is left")
    publish([])
    wait_for(lambda: found() == {}, what="points without instances once nothing conforms any more")
    assert not node.statistics.problems()
    publish([(9, other)], frame="odom")
    wait_for(lambda: problem(node, "/instances/points: expected frame 'map', got 'odom'"), what="the wrong frame")


def test_masks_of_the_instances_come_with_stamp_and_frame_of_the_image(mapping, camera, peer, collect, wait_for):
    node = mapping(masks_rate_hz=60.0)
    images = collect(Image, "instance_masks", qos.stream())
    instances = peer.create_publisher(PointCloud2, "instances/points", qos.latched())
    connect(camera, peer, wait_for)
    feed(camera, 1, node, wait_for)
    wait_for(lambda: images, what="an image without instances")
    assert not np.frombuffer(images[-1].data, "<i4").any()
    axes = (np.arange(-2.0, 0.0, 0.02), np.arange(1.46, 1.55, 0.02), np.arange(0.0, 2.0, 0.02))
    half = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 3).astype(np.float32)  # of the wall
    ids = np.full(len(half), 7, np.uint32)
    before = node._instances.revision
    instances.publish(points_to_message(half, np.zeros((len(half), 3), np.uint8), 1, "map", ids))
    wait_for(lambda: node._instances.revision > before, what="the instance")
    messages = camera.next()
    camera.send(messages)

    def shown():
        return images[-1].header.stamp == messages["color"].header.stamp

    wait_for(shown, what="the masks of the newest image")
    newest = images[-1]
    assert newest.header.frame_id == messages["color"].header.frame_id
    assert (newest.encoding, newest.width, newest.height) == ("32SC1", WIDTH, HEIGHT)
    drawn = np.frombuffer(newest.data, "<i4").reshape(HEIGHT, WIDTH)
    assert set(np.unique(drawn)) == {0, 7}
    assert (drawn[:, 0] == 7).mean() > 0.9
    assert (drawn[:, -1] == 0).all()
    assert not node.statistics.problems()


def test_nothing_lingers_in_rviz_after_a_reset_a_cleanup_or_a_node_that_died(
    mapping, camera, peer, collect, call_service, wait_for
):
    node = mapping(mesh_rate_hz=30.0, points_rate_hz=30.0)
    meshes = collect(MarkerArray, "map/mesh", qos.latched())
    clouds = collect(PointCloud2, "map/points", qos.latched())
    paths = collect(Path, "trajectory", qos.latched())
    connect(camera, peer, wait_for)

    def look():
        for _ in range(6):
            camera.send(camera.next())
        wait_for(lambda: markers_of(meshes) and clouds and clouds[-1].width, what="the mesh and the points")
        wait_for(lambda: paths and paths[-1].poses, what="the way")

    def is_empty():
        return not markers_of(meshes) and clouds[-1].width == 0 and not paths[-1].poses

    look()
    assert call_service(peer, Trigger, "/mapping_node/reset").success
    wait_for(is_empty, what="nothing shown after the reset")
    look()
    # Somebody who still shows what a node that died sent comes second, when the mesh is out already.
    marker = Marker(ns="map", id=4711, type=Marker.TRIANGLE_LIST, points=[Point()] * 3)
    marker.header.frame_id = "map"
    marker.color.a = marker.scale.x = marker.scale.y = marker.scale.z = 1.0
    held = [MarkerArray(markers=[marker])]
    late = collect(MarkerArray, "map/mesh", qos.latched())
    wait_for(lambda: markers_of(held + late).keys() == markers_of(meshes).keys() != set(), what="the whole mesh alone")

    node.trigger_deactivate()
    assert markers_of(meshes)  # the map stays
    node.trigger_cleanup()
    wait_for(is_empty, what="nothing shown after the cleanup")
