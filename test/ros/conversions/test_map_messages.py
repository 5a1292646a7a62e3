"""Poses, keyframes, fragments, point clouds and meshes as messages: round trips and refusals."""

from array import array
from dataclasses import replace

import numpy as np
import pytest
from geometry_msgs.msg import Pose, TransformStamped
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from shape_msgs.msg import Mesh as ShapeMesh
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from lira_msgs.msg import FragmentPoses, MeshUpdate
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.geometry.pose import from_quaternion
from lira_ros.mapping.fragment import Fragment
from lira_ros.mapping.mesh_regions import MeshRegion, MeshRegions
from lira_ros.mapping.surface import BlockMesh
from lira_ros.ros.conversions import fragment as fragments
from lira_ros.ros.conversions import fragment_poses, geometry, keyframe, mesh, points
from lira_ros.ros.conversions.time import stamp_from_ns, stamp_to_ns
from lira_ros.ros.errors import ConversionError

RNG = np.random.default_rng(1)
numbers = st.floats(-10, 10, allow_nan=False)


@settings(max_examples=50, deadline=None)
@given(st.tuples(numbers, numbers, numbers), st.tuples(numbers, numbers, numbers, numbers))
def test_transform_round_trips(position, quaternion):
    quaternion = np.array(quaternion)
    if np.linalg.norm(quaternion) < 1e-3:
        return
    T = from_quaternion(position, quaternion / np.linalg.norm(quaternion), "T")
    np.testing.assert_allclose(geometry.pose_from_message(geometry.pose_to_message(T), "/p"), T, atol=1e-9)
    message = geometry.transform_to_message(T, "map", "camera", stamp_from_ns(5))
    assert (message.header.frame_id, message.child_frame_id, stamp_to_ns(message.header.stamp)) == ("map", "camera", 5)
    np.testing.assert_allclose(geometry.transform_from_message(message, "/tf"), T, atol=1e-9)


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamp_round_trips(stamp_ns):
    assert stamp_to_ns(stamp_from_ns(stamp_ns)) == stamp_ns


def test_impossible_poses_are_refused_by_name():
    pose = Pose()
    pose.orientation.w = 0.5
    with pytest.raises(ConversionError, match=r"/p: quaternion must have length 1, got 0\.5"):
        geometry.pose_from_message(pose, "/p")
    transform = TransformStamped()
    transform.transform.rotation.w = 1.0
    transform.transform.translation.x = float("nan")
    with pytest.raises(ConversionError, match="/tf: contains NaN"):
        geometry.transform_from_message(transform, "/tf")


def make_keyframe(floor=float("nan")):
    camera = Camera(32, 24, 30.0, 30.0, 15.5, 11.5)
    color = np.full((24, 32, 3), (200, 40, 90), dtype=np.uint8)
    depth = (RNG.integers(0, 5000, (24, 32)) / 1000).astype(np.float32)
    pose = from_quaternion((1, 2, 3), (0, 0, 0.6, 0.8), "T")
    return Keyframe(7, Frame(1_700_000_000_123_456_789, color, depth, camera, pose), np.array([0.0, 0, 1]), floor)


def over_the_wire(message):
    return deserialize_message(serialize_message(message), type(message))


@pytest.mark.parametrize("floor", [float("nan"), -1.25])
def test_keyframe_round_trip(floor):
    original = make_keyframe(floor)
    message = over_the_wire(keyframe.keyframe_to_message(original, 99, "world"))
    assert (message.session, message.header.frame_id) == (99, "world")
    result = keyframe.keyframe_from_message(message, "/keyframes")
    assert result.id == 7
    assert result.frame.stamp_ns == original.frame.stamp_ns
    assert result.frame.camera == original.frame.camera
    assert result.floor_height_m == pytest.approx(floor, nan_ok=True)
    np.testing.assert_allclose(result.frame.T_map_camera, original.frame.T_map_camera, atol=1e-12)
    np.testing.assert_allclose(result.frame.depth_m, original.frame.depth_m, atol=1e-6)
    assert np.abs(result.frame.color.astype(int) - original.frame.color).max() <= 3


def test_broken_keyframes_are_refused_by_name():
    for change, text in (
        (lambda m: setattr(m.camera, "width", 31), "/k: keyframe 7: color: expected"),
        (lambda m: setattr(m.pose.orientation, "w", 5.0), "/k: keyframe 7 pose: quaternion"),
        (lambda m: setattr(m.up, "z", 3.0), "/k: keyframe 7: keyframe up"),
        (lambda m: setattr(m.depth, "data", array("B")), "/k: keyframe 7 depth: expected"),
    ):
        message = keyframe.keyframe_to_message(make_keyframe(), 1, "map")
        change(message)
        with pytest.raises(ConversionError, match=text):
            keyframe.keyframe_from_message(message, "/k")


def make_fragment(blocks=5):
    return Fragment(
        id=3,
        revision=2,
        stamp_ns=123,
        T_map_fragment=from_quaternion((1, 0, 0), (0, 0, 0, 1), "T"),
        voxel_size_m=0.04,
        truncation_m=0.16,
        keyframe_ids=(4, 5, 9),
        block_coordinates=RNG.integers(-100, 100, (blocks, 3)).astype(np.int32),
        tsdf=RNG.uniform(-1, 1, (blocks, 512)).astype(np.float32),
        weight=RNG.uniform(0, 50, (blocks, 512)).astype(np.float32),
        color=RNG.integers(0, 256, (blocks, 512, 3), dtype=np.uint8),
    )


@pytest.mark.parametrize("blocks", [0, 5])
def test_fragment_round_trip(blocks):
    original = make_fragment(blocks)
    message = over_the_wire(fragments.fragment_to_message(original, 42, 17, "map"))
    assert (message.session, message.sequence, message.clear) == (42, 17, False)
    result = fragments.fragment_from_message(message, "/f")
    for name in ("id", "revision", "stamp_ns", "voxel_size_m", "truncation_m", "keyframe_ids"):
        assert getattr(result, name) == getattr(original, name)
    np.testing.assert_allclose(result.T_map_fragment, original.T_map_fragment, atol=1e-12)
    np.testing.assert_array_equal(result.block_coordinates, original.block_coordinates)
    np.testing.assert_allclose(result.tsdf, original.tsdf, atol=0.5 / 32767 + 1e-6)
    np.testing.assert_allclose(result.weight, original.weight, atol=0.5 / 64 + 1e-6)
    np.testing.assert_array_equal(result.color, original.color)


def test_broken_fragments_are_refused_by_name():
    for change, text in (
        (lambda m: setattr(m, "encoding", 9), "/f: fragment 3: expected encoding 1, got 9"),
        (lambda m: setattr(m, "data", m.data[:-30]), "/f: fragment 3: expected 17920 bytes for 5 blocks"),
        (lambda m: setattr(m, "data", array("B", b"nonsense")), "/f: fragment 3: expected deflated voxels"),
        (lambda m: setattr(m, "block_coordinates", m.block_coordinates[:-3]), "expected 14336 bytes for 4 blocks"),
        (lambda m: setattr(m, "block_coordinates", m.block_coordinates[:-1]), "expected 3 coordinates"),
        (lambda m: setattr(m, "voxel_size_m", 0.0), "/f: fragment 3: .*voxel_size_m"),
    ):
        message = fragments.fragment_to_message(make_fragment(), 1, 1, "map")
        change(message)
        with pytest.raises(ConversionError, match=text):
            fragments.fragment_from_message(message, "/f")


def test_clear_message():
    message = fragments.empty_fragment_message(5, 6, "map", 7)
    assert message.clear
    assert len(message.data) == 0
    assert (message.session, message.sequence) == (5, 6)


@pytest.mark.parametrize("count", [0, 100])
@pytest.mark.parametrize("with_ids", [False, True])
def test_point_cloud_round_trip(count, with_ids):
    xyz = RNG.normal(size=(count, 3)).astype(np.float32)
    colors = RNG.integers(0, 256, (count, 3), dtype=np.uint8)
    ids = np.arange(count, dtype=np.uint32) if with_ids else None
    cloud = over_the_wire(points.points_to_message(xyz, colors, 5, "map", ids))
    assert (cloud.width, cloud.point_step) == (count, 20 if with_ids else 16)
    got_xyz, got_colors, got_ids = points.points_from_message(cloud, "/m")
    np.testing.assert_array_equal(got_xyz, xyz)
    np.testing.assert_array_equal(got_colors, colors)
    if with_ids:
        np.testing.assert_array_equal(got_ids, ids)
    else:
        assert got_ids is None


def test_wrong_point_clouds_are_refused_by_name():
    cloud = points.points_to_message(np.zeros((4, 3)), np.zeros((4, 3), np.uint8), 0, "map")
    cloud.data = cloud.data[:-1]
    with pytest.raises(ConversionError, match="/m: expected 64 bytes for 4 points, got 63"):
        points.points_from_message(cloud, "/m")
    cloud.fields = cloud.fields[:3]
    with pytest.raises(ConversionError, match="got no rgb"):
        points.points_from_message(cloud, "/m")


def make_region(region_id, triangles, coordinates=(0, 0, 0)):
    return MeshRegion(
        coordinates,
        region_id,
        11,
        RNG.normal(size=(30 if triangles else 0, 3)).astype(np.float32),
        RNG.integers(0, 30, (triangles, 3)).astype(np.int32),
        RNG.integers(0, 256, (30 if triangles else 0, 3), dtype=np.uint8),
    )


FRAMES = ["map", "m", "world", "odom_frame"]  # each leaves another alignment behind it


@pytest.mark.parametrize("frame", FRAMES)
def test_mesh_markers_are_valid_messages(frame):
    parts = [make_region(id, count) for id, count in ((3, 7), (4, 0), (-5, 1))]
    header = Header(frame_id=frame, stamp=stamp_from_ns(12_000_000_034))
    data = mesh.mesh_to_markers(parts, 12_000_000_034, frame, "mesh", clear=True)
    result = deserialize_message(data, MarkerArray)
    assert [(item.id, item.action) for item in result.markers] == [
        (0, Marker.DELETEALL),
        (3, Marker.ADD),
        (4, Marker.DELETE),
        (-5, Marker.ADD),
    ]
    for item in result.markers:
        assert (item.header, item.ns, item.type) == (header, "mesh", Marker.TRIANGLE_LIST)
        assert (item.pose.orientation.w, item.scale.x, item.color.a) == (1.0, 1.0, 1.0)
    first = result.markers[1]
    corners = parts[0].triangles.ravel()
    np.testing.assert_allclose([(p.x, p.y, p.z) for p in first.points], parts[0].vertices[corners])
    np.testing.assert_allclose([(c.r, c.g, c.b) for c in first.colors], parts[0].colors[corners] / 255, atol=1e-6)
    assert all(c.a == 1.0 for c in first.colors)
    assert len(result.markers[3].points) == 3


def assert_shape(shape, region):
    triangles = np.array([item.vertex_indices for item in shape.triangles]).reshape(-1, 3)
    np.testing.assert_array_equal(triangles, region.triangles)
    vertices = np.array([(p.x, p.y, p.z) for p in shape.vertices]).reshape(-1, 3)
    np.testing.assert_array_equal(vertices, region.vertices.astype(np.float64))


@pytest.mark.parametrize("frame", FRAMES)
def test_mesh_updates_are_valid_messages(frame):
    regions = [make_region(1, 5, (-1, 2, 3)), make_region(2, 0, (4, 5, -6)), make_region(3, 1)]
    head = mesh.UpdateHead(12_000_000_034, frame, 99, 7, True, 0.64, 12)
    data = mesh.mesh_to_update(head, regions)
    message = deserialize_message(data, MeshUpdate)
    assert len(serialize_message(message)) == len(data)  # its padding holds anything
    assert message.header == Header(frame_id=frame, stamp=stamp_from_ns(12_000_000_034))
    assert (message.session, message.sequence, message.clear, message.waiting) == (99, 7, True, 12)
    assert message.region_size_m == pytest.approx(0.64)
    for item, region in zip(message.regions, regions, strict=True):
        assert tuple(item.coordinates) == region.coordinates
        assert item.revision == 11
        assert_shape(item.mesh, region)
        np.testing.assert_array_equal(np.array(item.colors).reshape(-1, 3), region.colors)


@pytest.mark.parametrize("frame", FRAMES)
def test_mesh_updates_are_read_as_they_were_written_and_as_ros_writes_them(frame):
    regions = [make_region(1, 5, (-1, 2, 3)), make_region(2, 0, (4, 5, -6)), make_region(3, 1)]
    head = mesh.UpdateHead(12_000_000_034, frame, 99, 7, True, 0.5, 12)
    data = mesh.mesh_to_update(head, regions)
    for serialised in (data, serialize_message(deserialize_message(data, MeshUpdate))):
        read, received = mesh.update_from_bytes(serialised, "/u")
        assert read == head
        for item, region in zip(received, regions, strict=True):
            assert (item.coordinates, item.revision) == (region.coordinates, 11)
            np.testing.assert_array_equal(item.vertices, region.vertices)
            np.testing.assert_array_equal(item.triangles, region.triangles)
            np.testing.assert_array_equal(item.colors, region.colors)


def test_broken_mesh_updates_are_refused_by_name():
    region = make_region(1, 5, (-1, 2, 3))
    head = mesh.UpdateHead(0, "map", 99, 7, False, 0.64, 0)
    data = mesh.mesh_to_update(head, [region])
    for end in range(4, len(data), 7):
        with pytest.raises(ConversionError, match=r"^/u: expected "):
            mesh.update_from_bytes(data[:end], "/u")
    with pytest.raises(ConversionError, match="/u: expected a message in little-endian CDR, got 0000"):
        mesh.update_from_bytes(b"\0\0" + data[2:], "/u")
    wrong = replace(region, triangles=np.array([[0, 1, 30]], dtype=np.int32))
    with pytest.raises(ConversionError, match=r"/u: region \(-1, 2, 3\): expected vertices below 30, got 30"):
        mesh.update_from_bytes(mesh.mesh_to_update(head, [wrong]), "/u")
    wrong = replace(region, colors=region.colors[:-1])
    with pytest.raises(ConversionError, match="expected 90 values of colour, got 87"):
        mesh.update_from_bytes(mesh.mesh_to_update(head, [wrong]), "/u")


@pytest.mark.parametrize("triangles", [0, 9])
def test_a_whole_mesh_as_shape(triangles):
    region = make_region(1, triangles)
    data = mesh.mesh_to_shape(region.triangles, region.vertices)
    message = deserialize_message(data, ShapeMesh)
    assert len(serialize_message(message)) == len(data)  # its padding holds anything
    assert_shape(message, region)


def test_estimated_sizes_are_about_those_on_the_wire():
    region = make_region(1, 200)
    head = mesh.UpdateHead(0, "map", 1, 1, False, 0.64, 0)
    for estimate, data in (
        (mesh.marker_bytes(200), mesh.mesh_to_markers([region], 0, "map", "map")),
        (mesh.update_bytes(200, 30), mesh.mesh_to_update(head, [region])),
        (mesh.shape_bytes(200, 30), mesh.mesh_to_shape(region.triangles, region.vertices)),
    ):
        assert estimate == pytest.approx(len(data), rel=0.05)


def make_block(block, triangles, revision=1):
    vertices = np.full((3 * triangles, 3), block, dtype=np.float32)
    return BlockMesh(
        block,
        revision,
        vertices,
        np.arange(3 * triangles, dtype=np.int32).reshape(-1, 3),
        np.full((3 * triangles, 3), 7, np.uint8),
        *(np.zeros_like(vertices), np.zeros(3 * triangles, np.int64)),
    )


def test_blocks_are_gathered_into_regions_with_ids_that_stay():
    regions = MeshRegions()
    assert regions.update([make_block((0, 0, 0), 1), make_block((3, 3, 3), 2), make_block((-1, 0, 0), 1)]) == [
        (0, 0, 0),
        (-1, 0, 0),
    ]
    first = regions.get((0, 0, 0))
    assert (len(first.triangles), len(first.vertices)) == (3, 9)
    assert (regions.triangle_count((0, 0, 0)), regions.vertex_count((0, 0, 0))) == (3, 9)
    np.testing.assert_array_equal(first.triangles, np.arange(9).reshape(3, 3))
    np.testing.assert_array_equal(first.vertices[3:], np.full((6, 3), 3.0))
    assert regions.get((-1, 0, 0)).id != first.id
    # One block goes, then the other: the region is empty, but known, so that it can be told to whoever missed it.
    assert regions.update([make_block((0, 0, 0), 0, 2), make_block((3, 3, 3), 0, 3)]) == [(0, 0, 0)]
    gone = regions.get((0, 0, 0))
    assert (gone.id, gone.revision, len(gone.triangles)) == (first.id, 3, 0)
    assert set(regions.all()) == {(0, 0, 0), (-1, 0, 0)}
    assert regions.update([make_block((8, 8, 8), 0)]) == []  # nothing was there before


def test_fragment_poses_round_trip():
    poses = fragment_poses.MapPoses(
        {3: (5, from_quaternion((1, 2, 3), (0, 0.6, 0, 0.8), "T")), 1: (2, np.eye(4))},
        {7: from_quaternion((0, 0, 1), (1, 0, 0, 0), "T")},
        frozenset({2}),
        frozenset({4, 5}),
    )
    data = fragment_poses.poses_to_message(poses, 42, 3, "world", 1_000_000_005)
    message = deserialize_message(data, FragmentPoses)
    assert len(serialize_message(message)) == len(data)  # its padding holds anything
    assert (message.session, message.sequence, message.header.frame_id) == (42, 3, "world")
    assert list(message.ids) == [1, 3]
    result = fragment_poses.poses_from_message(message, "/fragment_poses")
    assert {key: revision for key, (revision, _) in result.fragments.items()} == {1: 2, 3: 5}
    np.testing.assert_allclose(result.fragments[3][1], poses.fragments[3][1], atol=1e-12)
    np.testing.assert_allclose(result.keyframes[7], poses.keyframes[7], atol=1e-12)
    assert (result.removed, result.removed_keyframes) == (poses.removed, poses.removed_keyframes)


def test_no_poses_are_a_valid_message():
    data = fragment_poses.poses_to_message(fragment_poses.MapPoses({}, {}), 1, 1, "map", 0)
    assert fragment_poses.poses_from_message(deserialize_message(data, FragmentPoses), "/p").fragments == {}


def test_broken_fragment_poses_are_refused_by_name():
    for change, text in (
        (lambda m: setattr(m, "revisions", m.revisions[:-1]), "/p: revisions: expected 1, one for each id, got 0"),
        (lambda m: setattr(m, "anchors", []), "/p: anchors: expected 1, one for each id, got 0"),
        (lambda m: setattr(m, "keyframe_poses", []), "/p: keyframe_poses: expected 1"),
        (lambda m: setattr(m.anchors[0].orientation, "w", 3.0), "/p: anchor of fragment 3: quaternion"),
        (lambda m: setattr(m.keyframe_poses[0].position, "x", float("nan")), "/p: pose of keyframe 7: contains NaN"),
    ):
        poses = fragment_poses.MapPoses({3: (1, np.eye(4))}, {7: np.eye(4)})
        message = deserialize_message(fragment_poses.poses_to_message(poses, 1, 1, "map", 0), FragmentPoses)
        change(message)
        with pytest.raises(ConversionError, match=text):
            fragment_poses.poses_from_message(message, "/p")
