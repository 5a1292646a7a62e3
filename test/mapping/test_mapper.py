from dataclasses import replace

import numpy as np
import pytest
from analytic_scene import CAMERA, frame_of, looking_at, plane_depth, walk

from lira_ros.geometry.camera import Camera
from lira_ros.mapping import voxel
from lira_ros.mapping.composition import grid_offset
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper

COARSE = {"voxel_size_m": 0.04, "mesh_weight": 0.1, "max_depth_m": 5.0, "up": "+z"}
T_AHEAD = looking_at((0, 0, 0), (1, 0, 0))


def wall(stamp_ns=0, distance_m=1.0, T=T_AHEAD):
    return frame_of(plane_depth(CAMERA, T, (1, 0, 0), distance_m), T, stamp_ns)


def in_map(fragment):
    offset = grid_offset(fragment.T_map_fragment, fragment.voxel_size_m)
    return (fragment.block_coordinates + offset.astype(np.int32)).tolist()


def moved(x, y=0.0):
    T = T_AHEAD.copy()
    T[:2, 3] = x, y
    return T


@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_depth_in_the_wrong_unit_is_refused_with_the_reason_and_right_depth_goes_on(factor):
    frames = walk(8)
    wrong = [replace(frame, depth_m=frame.depth_m * np.float32(factor)) for frame in frames[:5]]
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.04, min_depth_m=0.01, max_depth_m=30.0))
    reasons = [mapper.add_frame(frame).rejected for frame in wrong]
    assert all(reason is not None for reason in reasons)
    assert all("wrong unit" in reason for reason in reasons[2:])
    assert mapper.statistics()["rejected_depth"] == 5
    assert mapper.statistics()["blocks"] == 0
    assert [mapper.add_frame(frame).rejected for frame in frames[5:]] == [None] * 3


def test_two_cameras_of_which_one_has_the_wrong_unit():
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.04))
    other = Camera(96, 72, 81.0, 81.0, 47.5, 35.5)
    refused = []
    for i, frame in enumerate(walk(12)):
        if i % 2:
            frame = replace(frame, camera=other, depth_m=frame.depth_m * 1000)
        refused.append(mapper.add_frame(frame).rejected)
    assert [reason is None for reason in refused] == [True, False] * 6
    assert all("wrong unit" in reason for reason in refused[5::2])


def test_fragments_close_with_their_last_keyframe_and_flush_keeps_the_rest():
    mapper = Mapper(MappingConfiguration(fragment_keyframes=4, **COARSE))
    frames = walk(11)
    updates = [mapper.add_frame(frame) for frame in frames]
    assert [u.keyframe.id for u in updates] == list(range(1, 12))
    assert [i for i, u in enumerate(updates) if u.fragment] == [3, 7]
    (last,) = mapper.flush()
    fragments = mapper.fragments()
    assert [f.id for f in fragments] == [1, 2, 3]
    assert [f.keyframe_ids for f in fragments] == [(1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11)]
    assert fragments[-1] is last
    assert [f.stamp_ns for f in fragments] == [frames[i].stamp_ns for i in (3, 7, 10)]
    assert all(f.revision == 1 and (f.weight > 0).any() for f in fragments)
    assert mapper.flush() == ()


def test_composition_of_fragments_equals_one_volume():
    many = Mapper(MappingConfiguration(fragment_keyframes=2, **COARSE))
    one = Mapper(MappingConfiguration(fragment_keyframes=1000, **COARSE))
    for frame in walk(7):
        many.add_frame(frame)
        one.add_frame(frame)
    assert len(many.fragments()) == 3
    # The open fragment of the one mapper has its own frame: compare in the map.
    offset = one._open.offset_blocks.astype(np.int32)
    many.flush()
    blocks = one._open.volume.block_coordinates
    index = many._composition.volume.find(blocks + offset)
    assert (index >= 0).all()
    assert many._composition.volume.block_count == one._open.volume.block_count
    a, b = many._composition.volume.records[index], one._open.volume.records[: len(index)]
    # A fragment only updates the blocks that its own frames touch, free space beside them is left out.
    weight_a, weight_b = a[:, voxel.WEIGHT], b[:, voxel.WEIGHT]
    same = np.abs(weight_a - weight_b) < 1e-4
    assert same.mean() > 0.7
    assert (weight_a > weight_b + 1e-4).mean() < 1e-3  # pixel borders, rounded another way in another frame
    near = same & (weight_b > 0)
    # float32 poses in other frames project some voxels to the neighbouring pixel
    assert np.percentile(np.abs(a[:, voxel.TSDF] - b[:, voxel.TSDF])[near], 99) < 1e-3


def test_composition_is_exact_where_all_fragments_touch_the_same_blocks():
    many = Mapper(MappingConfiguration(fragment_keyframes=1, keyframe_distance_m=0.0, **COARSE))
    one = Mapper(MappingConfiguration(fragment_keyframes=1000, **COARSE))
    for i in range(6):
        many.add_frame(wall(i, 1.0 + 0.01 * i, moved(0.001 * i)))
        one.add_frame(wall(i, 1.0 + 0.01 * i, moved(0.001 * i)))
    assert len(many.fragments()) == 6
    index = many._composition.volume.find(one._open.blocks_in_map())
    a, b = many._composition.volume.records[index], one._open.volume.records[: len(index)]
    seen = b[:, voxel.WEIGHT] > 0
    close = np.abs(a[:, voxel.WEIGHT] - b[:, voxel.WEIGHT]) < 1e-5
    assert close[seen].mean() > 0.95
    for channel, tolerance in ((voxel.TSDF, 1e-5), (voxel.RED, 1e-3), (voxel.BLUE, 1e-3)):
        np.testing.assert_allclose(a[:, channel][seen & close], b[:, channel][seen & close], atol=tolerance)


def test_fragment_holds_the_voxels_of_its_frames_in_its_own_frame():
    mapper = Mapper(MappingConfiguration(fragment_keyframes=1, **COARSE))
    T = moved(10.0, -7.3)
    fragment = mapper.add_frame(wall(3, 11.0, T)).fragment
    np.testing.assert_array_equal(fragment.T_map_fragment[:3, :3], np.eye(3))
    steps = fragment.T_map_fragment[:3, 3] / (8 * 0.04)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
    assert np.abs(fragment.T_map_fragment[:3, 3] - T[:3, 3]).max() <= 0.33
    near = (np.abs(fragment.tsdf) < 0.3) & (fragment.weight > 0)
    block, voxel = np.nonzero(near)
    x = (fragment.block_coordinates[block, 0] * 8 + (voxel & 7)) * 0.04 + fragment.T_map_fragment[0, 3]
    np.testing.assert_allclose(x, 11.0, atol=0.06)
    assert (fragment.color[near] == (200, 100, 50)).all()
    assert fragment.truncation_m == pytest.approx(0.16)


def test_frames_after_a_fragment_without_a_keyframe_join_it_on_flush():
    mapper = Mapper(MappingConfiguration(fragment_keyframes=1, **COARSE))
    first = mapper.add_frame(wall(0)).fragment
    assert mapper.add_frame(wall(1, T=moved(0.01))).keyframe is None
    (again,) = mapper.flush()
    assert (again.id, again.revision, again.keyframe_ids) == (1, 2, (1,))
    assert again.stamp_ns == 1
    assert again.weight.sum() == pytest.approx(2 * first.weight.sum(), rel=0.1)
    assert mapper.fragments() == (again,)
    mapper.add_frame(wall(2, T=moved(0.3)))
    assert [f.id for f in mapper.fragments()] == [1, 2]


def test_older_frames_are_rejected_and_counted():
    mapper = Mapper(MappingConfiguration(**COARSE))
    mapper.add_frame(wall(1_000_000_000))
    before = mapper.mesh()
    update = mapper.add_frame(wall(500_000_000))
    assert update.keyframe is None
    assert "0.500 s older" in update.rejected
    assert mapper.statistics()["rejected_stamp"] == 1
    np.testing.assert_array_equal(mapper.mesh().vertices, before.vertices)
    assert mapper.add_frame(wall(1_000_000_001)).rejected is None


def test_frames_without_usable_depth_are_rejected_with_what_they_have():
    mapper = Mapper(MappingConfiguration(**COARSE))
    nothing = frame_of(np.zeros((72, 96), np.float32), T_AHEAD)
    assert "no valid pixel" in mapper.add_frame(nothing).rejected
    far = frame_of(np.full((72, 96), 1500.0, np.float32), T_AHEAD)
    assert "1500.000" in mapper.add_frame(far).rejected
    assert mapper.statistics()["rejected_depth"] == 2
    assert mapper.statistics()["keyframes"] == 0
    assert mapper.add_frame(wall(5)).keyframe.id == 1


def test_a_pose_beyond_the_map_is_rejected():
    mapper = Mapper(MappingConfiguration(**COARSE))
    far = frame_of(np.ones((72, 96), np.float32), moved(1e7))
    assert "outside of the map" in mapper.add_frame(far).rejected
    assert mapper.add_frame(wall()).rejected is None


def test_max_blocks_bounds_the_map_but_not_what_is_known():
    limit = 30
    mapper = Mapper(MappingConfiguration(max_blocks=limit, fragment_keyframes=1, **COARSE))
    warnings = [mapper.add_frame(frame).warning for frame in walk(6)]
    assert any("map is full" in w for w in warnings if w)
    statistics = mapper.statistics()
    assert statistics["blocks"] == limit
    assert statistics["blocks_refused"] > 0
    union = {tuple(c) for f in mapper.fragments() for c in in_map(f)}
    assert len(union) == limit
    weight = mapper._composition.volume.records[:limit, voxel.WEIGHT].sum()
    mapper.add_frame(replace(walk(6)[0], stamp_ns=10**10))
    assert mapper._composition.volume.records[:limit, voxel.WEIGHT].sum() > weight


def test_integrate_every_skips_frames_but_never_keyframes():
    mapper = Mapper(MappingConfiguration(integrate_every=3, **COARSE))
    for i in range(7):
        mapper.add_frame(wall(i, T=moved(0.001 * i)))
    assert mapper.statistics()["frames_integrated"] == 3
    mapper.add_frame(wall(7, T=moved(0.5)))
    assert mapper.statistics()["frames_integrated"] == 4


def test_reset_starts_anew_and_takes_the_old_mesh_down():
    mapper = Mapper(MappingConfiguration(**COARSE))
    mapper.add_frame(wall(100))
    revision, _ = mapper.mesh_blocks()
    mapper.reset()
    assert mapper.fragments() == ()
    assert len(mapper.mesh().vertices) == 0
    _, changed = mapper.mesh_blocks(revision)
    assert len(changed) > 0
    assert all(len(part.triangles) == 0 for part in changed)
    update = mapper.add_frame(wall(5))
    assert update.keyframe.id == 1
    assert mapper.statistics()["frames"] == 1


def test_up_and_floor_reach_the_keyframes():
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.04, up="-y"))
    keyframe = mapper.add_frame(wall()).keyframe
    np.testing.assert_array_equal(keyframe.up, (0, -1, 0))
    assert np.isnan(keyframe.floor_height_m)
    floor = looking_at((0, 0, 0), (1, 0, -0.8))
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.04, up="auto"))
    keyframe = mapper.add_frame(frame_of(plane_depth(CAMERA, floor, (0, 0, 1), -1.2), floor)).keyframe
    np.testing.assert_array_equal(keyframe.up, (0, 0, 1))
    assert keyframe.floor_height_m == pytest.approx(-1.2, abs=0.02)


def test_labels_are_looked_up_in_open_and_closed_fragments():
    mapper = Mapper(MappingConfiguration(fragment_keyframes=2, **COARSE))
    label = np.full((72, 96), 5, np.uint16)
    mapper.add_frame(wall(0), label)
    mapper.add_frame(wall(1, T=moved(0.2)), label)
    mapper.add_frame(wall(2, T=moved(0.31)), np.full((72, 96), 6, np.uint16))
    found, lead = mapper.labels(np.array([[1.0, 0.0, 0.0], [1.0, 0.1, 0.1], [50.0, 0, 0], [0.7, 0, 0]]))
    np.testing.assert_array_equal(found, (5, 5, 0, 0))
    np.testing.assert_array_equal(lead[:2], (1.0, 1.0))
    with pytest.raises(ValueError, match="labels: expected shape"):
        mapper.add_frame(wall(3), np.zeros((2, 2), np.uint16))


def test_impossible_range_is_refused():
    with pytest.raises(ValueError, match="min_depth_m"):
        Mapper(MappingConfiguration(min_depth_m=3.0, max_depth_m=2.0))
