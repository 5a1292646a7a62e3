from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from analytic_scene import CAMERA, ROOM_HALF_M, frame_of, looking_at, plane_depth, scene_depth, scene_distance, walk
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from lira_ros.geometry.pose import inverse, transform_points
from lira_ros.mapping import mapper as mapper_module
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.keyframes import rigid_fit, spread_corrections
from lira_ros.mapping.mapper import Mapper

COARSE = {"voxel_size_m": 0.05, "mesh_weight": 0.1, "max_depth_m": 5.0, "up": "+z"}


def transform(rotation_vector=(0.0, 0.0, 0.0), translation=(0.0, 0.0, 0.0)):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(rotation_vector).as_matrix()
    T[:3, 3] = translation
    return T


def mapped(frames, **options):
    mapper = Mapper(MappingConfiguration(**{**COARSE, "fragment_keyframes": 3, **options}))
    for frame in frames:
        mapper.add_frame(frame)
    return mapper


def placed(frames, T):
    return [replace(frame, T_map_camera=T @ frame.T_map_camera) for frame in frames]


def chamfer_m(a, b):
    return np.concatenate([cKDTree(a).query(b)[0], cKDTree(b).query(a)[0]])


JUMP = transform((0.2, -0.1, 0.7), (1.0, 2.03, -0.7))


# Each example maps a room: a failing one is as good as the smallest.
@settings(max_examples=4, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    st.builds(transform, st.tuples(*[st.floats(-3.0, 3.0)] * 3), st.tuples(*[st.floats(-20.0, 20.0)] * 3)),
)
def test_a_jump_of_the_global_frame_moves_the_mesh_by_it(jump):
    mapper = mapped(walk(8))
    before = mapper.mesh().vertices
    keyframes = mapper.keyframe_poses
    mapper.apply_jump(jump)
    after = transform_points(inverse(jump), mapper.mesh().vertices)
    assert len(after) > 0.65 * len(before)  # triangles of another shape, and less at the borders of what was seen
    # Vertices of one mesh lie between those of the other.
    assert np.percentile(chamfer_m(before, after), 95) < 0.8 * COARSE["voxel_size_m"]
    # Against the scene itself, the moved map is as good.
    assert np.median(scene_distance(after)) < 0.005
    assert np.percentile(scene_distance(after), 95) < np.percentile(scene_distance(before), 95) + 0.01
    for number, pose in mapper.keyframe_poses.items():
        np.testing.assert_allclose(pose, jump @ keyframes[number], atol=1e-9)
    mapper.apply_jump(inverse(jump))
    np.testing.assert_allclose(np.sort(mapper.mesh().vertices, axis=0), np.sort(before, axis=0), atol=1e-4)


def test_a_moved_map_equals_one_of_the_moved_poses():
    frames = walk(8)
    moved, wanted = mapped(frames), mapped(placed(frames, JUMP))
    moved.apply_jump(JUMP)
    moved.flush()
    wanted.flush()
    # Both are within interpolation of the same surface.
    a, b = (mapper.mesh().vertices for mapper in (moved, wanted))
    assert len(a) == pytest.approx(len(b), rel=0.2)
    assert np.percentile(chamfer_m(a, b), 95) < 0.8 * COARSE["voxel_size_m"]


def test_frames_after_a_jump_go_on_in_the_moved_fragment():
    frames = walk(12)
    mapper = mapped(frames[:7])
    assert mapper._open.frames == 1
    mapper.apply_jump(JUMP)
    assert mapper._open.offset_blocks is None
    for frame in placed(frames[7:8], JUMP):
        assert mapper.add_frame(frame).keyframe is not None
    # Standing still is no motion, although the coordinates jumped.
    assert mapper.add_frame(replace(placed(frames[7:8], JUMP)[0], stamp_ns=10**12)).keyframe is None
    for frame in placed(frames[8:], JUMP):
        mapper.add_frame(replace(frame, stamp_ns=2 * 10**12))
    mapper.flush()
    assert [fragment.keyframe_ids for fragment in mapper.fragments()] == [(1, 2, 3), (4, 5, 6), (7, 8, 9), (10, 11, 12)]
    assert mapper._open.offset_blocks is not None
    after = transform_points(inverse(JUMP), mapper.mesh().vertices)
    assert np.median(scene_distance(after)) < 0.003
    assert np.percentile(scene_distance(after), 95) < 0.02


def test_the_open_fragment_is_shown_where_it_lies_now():
    mapper = mapped(walk(12)[:7], fragment_keyframes=100)
    assert mapper.fragments() == ()
    revision, _ = mapper.mesh_blocks()
    assert mapper.apply_jump(JUMP) == ()
    after = transform_points(inverse(JUMP), mapper.mesh().vertices)
    assert np.median(scene_distance(after)) < 0.003
    # What was shown at the old place is taken down.
    _, changed = mapper.mesh_blocks(revision)
    assert any(len(part.triangles) == 0 for part in changed)
    points = JUMP[:3, :3] @ (1.5, 0.0, 0.3) + JUMP[:3, 3]
    labels, _ = mapper.labels(points[None])
    assert labels.tolist() == [0]


def test_only_touched_blocks_change():
    mapper = mapped(walk(12))
    mapper.flush()
    revision, parts = mapper.mesh_blocks()
    known = {part.block: part for part in parts}
    volume = mapper._composition.volume
    before = {tuple(b): volume.records[i].copy() for i, b in enumerate(volume.block_coordinates.tolist())}
    poses = mapper.keyframe_poses
    second = mapper.fragments()[1]
    shift = transform((0.0, 0.0, 0.02), (0.01, 0.0, 0.013))
    moved = mapper.correct({i: shift @ poses[i] for i in second.keyframe_ids})
    assert [(fragment.id, fragment.revision) for fragment in moved] == [(2, 2)]
    np.testing.assert_allclose(moved[0].T_map_fragment, shift @ second.T_map_fragment, atol=1e-9)
    touched = {tuple(block) for block in np.concatenate([
        second.block_coordinates + np.rint(second.T_map_fragment[:3, 3] / 0.4).astype(int),
        mapper._composition.blocks_of([2]),
    ]).tolist()}  # fmt: skip
    newer, changed = mapper.mesh_blocks(revision)
    assert newer > revision
    assert changed
    lower = {(x - dx, y - dy, z - dz) for x, y, z in touched for dx in (0, 1) for dy in (0, 1) for dz in (0, 1)}
    assert {part.block for part in changed} <= lower
    assert len(changed) < len(known)
    after = {tuple(b): volume.records[i] for i, b in enumerate(volume.block_coordinates.tolist())}
    untouched = set(before) - touched
    assert untouched
    for block in untouched:
        np.testing.assert_array_equal(after[block], before[block])


def test_a_corrected_surface_is_drawn_part_by_part_nearest_first(monkeypatch):
    monkeypatch.setattr(mapper_module, "_REFRESHED_BLOCKS", 40)
    frames = walk(12)
    at_once, by_parts = mapped(frames), mapped(frames)
    revision, _ = by_parts.mesh_blocks()
    assert by_parts.refresh_surface() == 0  # nothing was corrected
    for mapper in (at_once, by_parts):
        mapper.apply_jump(JUMP)
    here = by_parts.keyframe_poses[1][:3, 3]
    waiting, distances = [], []
    while not waiting or waiting[-1]:
        waiting.append(by_parts.refresh_surface(here))
        revision, blocks = by_parts.mesh_blocks(revision, complete=False)
        drawn = [np.abs((np.array(part.block) + 0.5) * 0.4 - here).max() for part in blocks if len(part.triangles)]
        distances += [np.median(drawn)] if drawn else []
        assert len(waiting) < 1000
    assert len(waiting) > 3
    assert all(later < earlier for earlier, later in pairwise(waiting))
    assert distances[0] < distances[-1]
    a, b = at_once.mesh(), by_parts.mesh()
    np.testing.assert_array_equal(np.sort(a.vertices, axis=0), np.sort(b.vertices, axis=0))


def test_corrections_that_do_not_show_do_nothing():
    mapper = mapped(walk(7))
    poses = mapper.keyframe_poses
    revision = mapper.revision
    assert mapper.correct({i: transform((0, 0, 1e-4), (0.0015, 0, 0)) @ pose for i, pose in poses.items()}) == ()
    assert mapper.apply_jump(transform((0, 0, 0), (0.0015, 0, 0))) == ()
    assert mapper.revision == revision
    assert mapper.fragments()[0].revision == 1
    # Jumps are told as differences: small ones add up.
    assert len(mapper.apply_jump(transform((0, 0, 0), (0.0015, 0, 0)))) == 2
    np.testing.assert_allclose(mapper.keyframe_poses[1][0, 3], poses[1][0, 3] + 0.003, atol=1e-9)


def test_keyframes_that_are_not_in_the_map_are_named():
    mapper = mapped(walk(4))
    with pytest.raises(ValueError, match=r"keyframes \[9\] are not in the map"):
        mapper.correct({1: np.eye(4), 9: np.eye(4)})
    with pytest.raises(ValueError, match="pose of keyframe 1"):
        mapper.correct({1: np.full((4, 4), np.nan)})
    with pytest.raises(ValueError, match="T_new_old"):
        mapper.apply_jump(2 * np.eye(4))
    assert mapper.correct({}) == ()


def test_a_fragment_is_rigid_and_moves_by_the_best_fit():
    mapper = mapped(walk(3))
    poses = mapper.keyframe_poses
    before = mapper.fragments()[0].T_map_fragment
    shift = transform((0, 0, 0.1), (0.2, 0.1, 0.0))
    noise = [transform((0, 0, s), (t, 0, 0)) for s, t in ((0.01, 0.02), (-0.01, -0.02), (0.0, 0.0))]
    stamps = [i * 100_000_000 for i in range(3)]
    wanted = np.array([shift @ n @ poses[i + 1] for i, n in enumerate(noise)])
    report = mapper.correct_by_stamp(stamps, wanted)
    assert (report.matched, report.unmatched) == (3, 0)
    # From 0.01 and 0.02 at the map's origin, half way between what the three of them wish.
    assert 0.0 < report.residual_m < 0.06
    assert 0.0 < report.residual_deg < 1.2
    np.testing.assert_allclose(report.moved[0].T_map_fragment, shift @ before, atol=0.03)


def test_poses_by_stamp_find_frames_within_the_tolerance():
    frames = walk(9)  # one every 0.1 s, fragments of three
    mapper = mapped(frames, correction_tolerance_s=0.06)
    shift = transform(translation=(0.0, 0.0, 0.25))
    halfway = frames[0].T_map_camera.copy()
    halfway[:3, 3] = 0.5 * (frames[0].T_map_camera[:3, 3] + frames[1].T_map_camera[:3, 3])
    turns = Rotation.from_matrix([frames[0].T_map_camera[:3, :3], frames[1].T_map_camera[:3, :3]])
    halfway[:3, :3] = (
        turns[0].as_matrix() @ Rotation.from_rotvec(0.5 * (turns[0].inv() * turns[1]).as_rotvec()).as_matrix()
    )
    report = mapper.correct_by_stamp(
        [50_000_000, 10**12, -70_000_000], np.array([shift @ halfway, np.eye(4), np.eye(4)])
    )
    assert (report.matched, report.unmatched) == (1, 2)
    assert report.residual_m < 1e-6
    assert report.largest_m == pytest.approx(0.25)
    assert report.largest_deg == pytest.approx(0.0, abs=1e-6)
    # The other fragments follow the only one that is known.
    assert [fragment.id for fragment in report.moved] == [1, 2, 3]
    for number, pose in mapper.keyframe_poses.items():
        np.testing.assert_allclose(pose, shift @ frames[number - 1].T_map_camera, atol=1e-6)
    nothing = mapper.correct_by_stamp([10**12], np.eye(4)[None])
    assert (nothing.moved, nothing.matched, nothing.unmatched) == ((), 0, 1)
    with pytest.raises(ValueError, match=r"expected \(N,\) stamps"):
        mapper.correct_by_stamp([1, 2], np.eye(4)[None])


def test_fragments_between_two_corrected_ones_move_by_a_part():
    a, b = np.eye(4), transform((0, 0, 0.2), (1.0, 0, 0))
    spread = spread_corrections({2: a, 6: b}, [1, 2, 3, 5, 6, 9])
    assert sorted(spread) == [1, 2, 3, 5, 6, 9]
    np.testing.assert_allclose(spread[1], a)
    np.testing.assert_allclose(spread[9], b)
    np.testing.assert_allclose(spread[3], transform((0, 0, 0.05), (0.25, 0, 0)))
    np.testing.assert_allclose(spread[5], transform((0, 0, 0.15), (0.75, 0, 0)))


@settings(max_examples=30, deadline=None)
@given(
    st.builds(transform, st.tuples(*[st.floats(-3.0, 3.0)] * 3), st.tuples(*[st.floats(-20.0, 20.0)] * 3)),
    st.integers(1, 5),
    st.integers(0, 1000),
)
def test_the_fit_of_poses_is_exact_for_a_rigid_motion(T, count, seed):
    rng = np.random.default_rng(seed)
    poses = np.array([transform(rng.normal(size=3), rng.normal(size=3)) for _ in range(count)])
    np.testing.assert_allclose(rigid_fit(poses, T @ poses), T, atol=1e-7)


def test_the_floor_and_gravity_follow_a_jump():
    T = looking_at((0, 0, 0), (1, 0, -0.8))
    frame = frame_of(plane_depth(CAMERA, T, (0, 0, 1), -1.2), T)
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.04, up="auto"))
    mapper.add_frame(frame)
    assert mapper.floor_height_m == pytest.approx(-1.2, abs=0.02)
    mapper.apply_jump(transform((0, 0, 1.0), (3.0, 0, 0.5)))
    assert mapper.floor_height_m == pytest.approx(-0.7, abs=0.02)
    np.testing.assert_allclose(mapper.up, (0, 0, 1), atol=1e-9)


def test_a_corrected_map_is_saved_and_loaded_as_it_is(tmp_path):
    frames = walk(8)
    mapper = mapped(frames)
    poses = mapper.keyframe_poses
    shift = transform((0.0, 0.0, 0.3), (0.1, 0.2, 0.3))
    mapper.correct({i: shift @ poses[i] for i in (4, 5, 6, 7, 8)})
    count = mapper.save(tmp_path / "map")
    loaded = Mapper(mapper.configuration)
    assert len(loaded.load(tmp_path / "map")) == count == 3
    for number, pose in mapper.keyframe_poses.items():
        np.testing.assert_allclose(loaded.keyframe_poses[number], pose, atol=1e-9)
    mapper.flush()
    a, b = mapper.mesh().vertices, loaded.mesh().vertices
    np.testing.assert_allclose(np.sort(a, axis=0), np.sort(b, axis=0), atol=1e-5)
    # Corrections go on after loading, by id and by stamp.
    back = loaded.correct({i: poses[i] for i in (4, 5, 6)})
    assert [fragment.id for fragment in back] == [2]
    report = loaded.correct_by_stamp([frames[6].stamp_ns], poses[7][None])
    assert report.matched == 1
    np.testing.assert_allclose(loaded.keyframe_poses[7], poses[7], atol=1e-6)


def test_trailing_frames_of_a_moved_last_fragment_join_it_or_stand_alone():
    frames = walk(3)
    for turned in (False, True):
        mapper = mapped(frames)
        (last,) = mapper.fragments()
        if turned:
            mapper.apply_jump(JUMP)
        T = JUMP if turned else np.eye(4)
        mapper.add_frame(replace(placed(frames[2:], T)[0], stamp_ns=10**10))
        (fragment,) = mapper.flush()
        # A new open fragment lies along the map again, the moved one does not: their voxels do not coincide.
        assert (fragment.id, fragment.keyframe_ids) == ((2, ()) if turned else (1, last.keyframe_ids))
        assert mapper.keyframe_poses.keys() == {1, 2, 3}


def test_clearing_forgets_fragments_beyond_a_radius():
    near, far = walk(6), placed(walk(6), transform(translation=(20.0, 0, 0)))
    frames = [replace(frame, stamp_ns=i) for i, frame in enumerate(near + far)]
    mapper = mapped(frames)
    mapper.flush()
    assert len(mapper.fragments()) == 4
    revision, _ = mapper.mesh_blocks()
    assert mapper.clear_outside((0, 0, 0), 10.0) == (3, 4)
    assert [fragment.id for fragment in mapper.fragments()] == [1, 2]
    assert set(mapper.keyframe_poses) == set(range(1, 7))
    assert mapper.mesh().vertices[:, 0].max() < 10.0
    _, changed = mapper.mesh_blocks(revision)
    assert any(part.block[0] * 0.4 > 10.0 and len(part.triangles) == 0 for part in changed)
    assert mapper.clear_outside((0, 0, 0), 10.0) == ()
    update = mapper.add_frame(replace(near[0], stamp_ns=100))
    assert update.keyframe.id == 13
    assert [fragment.id for fragment in mapper.flush()] == [5]
    for bad in (((0, 0), 1.0), ((0, 0, np.nan), 1.0), ((0, 0, 0), -1.0)):
        with pytest.raises(ValueError, match=r"position_m|radius_m"):
            mapper.clear_outside(*bad)


def test_frames_of_two_cameras_may_interleave():
    frames = walk(6)
    mapper = Mapper(MappingConfiguration(**COARSE))
    left = [replace(frame, camera_name="left") for frame in frames]
    right = [replace(frame, camera_name="right", stamp_ns=frame.stamp_ns - 30_000_000) for frame in frames]
    for a, b in zip(left[1:], right[1:], strict=True):
        assert mapper.add_frame(a).rejected is None
        assert mapper.add_frame(b).rejected is None
    assert "older" in mapper.add_frame(left[2]).rejected
    assert "older" in mapper.add_frame(replace(left[2], camera_name="other", stamp_ns=-(10**10))).rejected
    # Each camera has keyframes of its own: standing still, neither makes new ones.
    count = mapper.statistics()["keyframes"]
    for i in range(3):
        assert mapper.add_frame(replace(left[5], stamp_ns=10**9 + i)).keyframe is None
        assert mapper.add_frame(replace(right[5], stamp_ns=10**9 - 30_000_000 + i)).keyframe is None
    assert mapper.statistics()["keyframes"] == count


# --- a loop -------------------------------------------------------------------------------------------------------


def loop(count):
    """Frames once around the room and a bit more, each looking outwards, so that only the ends see the same."""
    frames = []
    for i in range(count):
        angle = 2 * np.pi * 1.1 * i / (count - 1)
        eye = np.array([0.5 * np.cos(angle), 0.5 * np.sin(angle), 0.1 * np.sin(3 * angle)])
        T = looking_at(eye, eye + np.array([np.cos(angle), np.sin(angle), -0.15]))
        frames.append(frame_of(scene_depth(CAMERA, T), T, i * 100_000_000))
    return frames


def f_score(vertices, truth, threshold_m=0.05):
    precision = (scene_distance(vertices) < threshold_m).mean()
    recall = (cKDTree(vertices).query(truth)[0] < threshold_m).mean()
    return 2 * precision * recall / (precision + recall)


def test_a_closed_loop_mends_the_map_without_integrating_a_frame_again():
    frames = loop(90)
    ideal = mapped(frames, fragment_keyframes=9)
    ideal.flush()
    # Odometry that drifts by a third of a degree and by some millimetres with each frame.
    rng = np.random.default_rng(0)
    drift = np.eye(4)
    drifted = []
    for frame in frames:
        drifted.append(replace(frame, T_map_camera=drift @ frame.T_map_camera))
        noise = transform(rng.normal((0, 0, 0.003), 0.001), rng.normal((0.002, 0.002, 0.001), 0.002))
        drift = drift @ noise
    mapper = mapped(drifted, fragment_keyframes=9)
    mapper.flush()
    truth = ideal.mesh().vertices
    assert f_score(truth, truth) > 0.97
    assert f_score(mapper.mesh().vertices, truth) < 0.9
    integrated = mapper.statistics()["frames_integrated"]
    # The loop is closed: the last camera is known to be where it is, and the error is spread along the way.
    error = frames[-1].T_map_camera @ inverse(drifted[-1].T_map_camera)
    corrections = spread_corrections({0: np.eye(4), len(frames) - 1: error}, range(len(frames)))
    poses = np.array([corrections[i] @ frame.T_map_camera for i, frame in enumerate(drifted)])
    report = mapper.correct_by_stamp([frame.stamp_ns for frame in drifted], poses)
    assert report.matched == len(frames)
    assert report.largest_m > 0.1
    assert mapper.statistics()["frames_integrated"] == integrated
    assert f_score(mapper.mesh().vertices, truth) > f_score(truth, truth) - 0.02
    assert (np.abs(mapper.mesh().vertices) < ROOM_HALF_M + 0.15).all()
