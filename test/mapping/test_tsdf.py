import numpy as np
import pytest
from analytic_scene import CAMERA, looking_at, plane_depth, walk
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.geometry.camera import Camera
from lira_ros.mapping import pages, voxel
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK
from lira_ros.mapping.tsdf import MapLimit, Volume

VOXEL_M, TRUNCATION_M = 0.04, 0.16
coordinate = st.integers(-(2**16), 2**16 - 1)
blocks = st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=1, max_size=60)


def integrate(volume, frame, **options):
    assert volume.select(frame.depth_m, 0.1, 5.0, keep_edges=True) > 0
    return volume.integrate(frame.color, frame.camera, frame.T_map_camera, 5.0, **options)


def reference(coordinates, frames, constant_weight, weight_cap, fading=False):
    """The per-voxel update in plain NumPy, float64."""
    count = len(coordinates)
    i = np.arange(VOXELS_PER_BLOCK)
    local = np.stack([i & 7, i >> 3 & 7, i >> 6], axis=1)
    centres = (coordinates[:, None] * BLOCK_SIZE + local[None]) * VOXEL_M
    tsdf, weight = np.zeros((count, VOXELS_PER_BLOCK)), np.zeros((count, VOXELS_PER_BLOCK))
    close = np.zeros((count, VOXELS_PER_BLOCK), bool)
    for frame in frames:
        T = frame.T_map_camera
        points = (centres - T[:3, 3]) @ T[:3, :3]
        with np.errstate(divide="ignore", invalid="ignore"):
            u = frame.camera.fx * points[..., 0] / points[..., 2] + frame.camera.cx
            v = frame.camera.fy * points[..., 1] / points[..., 2] + frame.camera.cy
        # Voxels that project within 1e-4 pixels of a pixel border may round either way in float32.
        close |= (np.abs(u + 0.5 - np.rint(u + 0.5)) < 1e-4) | (np.abs(v + 0.5 - np.rint(v + 0.5)) < 1e-4)
        column, row = np.floor(u + 0.5), np.floor(v + 0.5)
        seen = (points[..., 2] > 0) & (column >= 0) & (row >= 0)
        seen &= (column < frame.camera.width_px) & (row < frame.camera.height_px)
        depth = frame.depth_m[np.where(seen, row, 0).astype(int), np.where(seen, column, 0).astype(int)] * seen
        signed = depth - points[..., 2]
        close |= np.abs(signed + TRUNCATION_M) < 1e-5
        use = (depth > 0) & (signed >= -TRUNCATION_M)
        sample_weight = np.ones_like(depth) if constant_weight else np.minimum(4, 4 / np.maximum(depth, 1e-3) ** 2)
        if fading:
            behind = np.clip((TRUNCATION_M + signed) / (TRUNCATION_M - VOXEL_M), 0, 1)
            sample_weight = sample_weight * behind
        total = np.maximum(weight + sample_weight, 1e-20)
        tsdf = np.where(use, (tsdf * weight + np.minimum(1, signed / TRUNCATION_M) * sample_weight) / total, tsdf)
        weight = np.where(use, np.minimum(total, weight_cap), weight)
    return tsdf, weight, close


@pytest.mark.parametrize("fading", [True, False])
@pytest.mark.parametrize("constant_weight", [True, False])
def test_update_equals_the_reference(constant_weight, fading):
    volume = Volume(VOXEL_M, TRUNCATION_M)
    frames = walk(5)
    for frame in frames:
        integrate(volume, frame, constant_weight=constant_weight, fading=fading, weight_cap=3.5)
    # Blocks that a frame did not touch miss its free space: compare those that every frame updates.
    single = Volume(VOXEL_M, TRUNCATION_M)
    integrate(single, frames[0], constant_weight=constant_weight, fading=fading)
    tsdf, weight, close = reference(single.block_coordinates, frames[:1], constant_weight, np.inf, fading)
    records = single.records[: single.block_count]
    assert close.mean() < 0.01
    np.testing.assert_allclose(records[:, voxel.WEIGHT][~close], weight[~close], atol=1e-4)
    np.testing.assert_allclose(records[:, voxel.TSDF][~close], tsdf[~close], atol=1e-4)
    # Repeating one view touches the same blocks each time, so the running mean and the cap can be compared too.
    for _ in range(4):
        integrate(single, frames[0], constant_weight=constant_weight, fading=fading, weight_cap=2.5)
    tsdf, weight, close = reference(single.block_coordinates, frames[:1] * 5, constant_weight, 2.5, fading)
    np.testing.assert_allclose(single.records[: single.block_count, voxel.WEIGHT][~close], weight[~close], atol=1e-4)
    np.testing.assert_allclose(single.records[: single.block_count, voxel.TSDF][~close], tsdf[~close], atol=1e-4)
    assert records[:, voxel.WEIGHT].max() <= 2.5


def test_every_voxel_near_the_surface_has_a_block():
    volume = Volume(VOXEL_M, TRUNCATION_M)
    T = looking_at((0, 0, 0), (1.0, 0.3, 0.2))
    depth = plane_depth(CAMERA, T, (1.0, 0.2, 0.1), 1.3)
    frame_points = CAMERA.unproject(depth)[depth > 0] @ T[:3, :3].T
    volume.select(depth, 0.1, 5.0)
    volume.integrate(np.zeros((*depth.shape, 3), np.uint8), CAMERA, T, 5.0)
    block = np.unique(np.floor(frame_points / (8 * VOXEL_M)).astype(np.int32), axis=0)
    assert (volume.find(block) >= 0).mean() > 0.98


def test_depth_out_of_range_and_at_edges_is_not_used():
    volume = Volume(VOXEL_M, TRUNCATION_M)
    depth = np.full((20, 30), 1.0, np.float32)
    depth[:, 15:] = 2.0
    depth[0, :5] = 0.0
    depth[1, :5] = 9.0
    depth[2, :5] = 0.05
    assert volume.select(depth, 0.3, 4.0, keep_edges=True) == 600 - 15
    steps = volume.select(depth, 0.3, 4.0)
    # both sides of the step in 20 rows, and the pixels around the single wrong values
    assert 600 - 15 - 40 - 40 < steps < 600 - 15 - 40 + 1


def test_color_is_kept_on_the_surface_whole():
    volume = Volume(VOXEL_M, TRUNCATION_M)
    T = looking_at((0, 0, 0), (1, 0, 0))
    depth = plane_depth(CAMERA, T, (1, 0, 0), 1.0)
    volume.select(depth, 0.1, 5.0)
    for color in ((255, 0, 10), (255, 0, 30)):
        image = np.full((*depth.shape, 3), color, np.uint8)
        volume.integrate(image, CAMERA, T, 5.0)
    records = volume.records[: volume.block_count]
    surface = (np.abs(records[:, voxel.TSDF]) < 0.3) & (records[:, voxel.WEIGHT] > 0)
    assert surface.sum() > 100
    rgb = records[:, [voxel.RED, voxel.GREEN, voxel.BLUE]].transpose(0, 2, 1)[surface]
    np.testing.assert_allclose(rgb, np.broadcast_to([255, 0, 20], rgb.shape), atol=1e-3)


def test_labels_follow_the_majority():
    volume = Volume(VOXEL_M, TRUNCATION_M)
    T = looking_at((0, 0, 0), (1, 0, 0))
    depth = plane_depth(CAMERA, T, (1, 0, 0), 1.0)
    color = np.zeros((*depth.shape, 3), np.uint8)
    volume.select(depth, 0.1, 5.0)
    for label in (7, 9, 9, 7, 9):
        volume.integrate(color, CAMERA, T, 5.0, labels=np.full(depth.shape, label, np.uint16))
    volume.integrate(color, CAMERA, T, 5.0, labels=np.zeros(depth.shape, np.uint16))  # no evidence changes nothing
    records = volume.records[: volume.block_count]
    voted = records[:, voxel.CONFIDENCE] > 0
    assert voted.sum() > 100
    assert (records[:, voxel.LABEL][voted] == 9).all()
    assert (records[:, voxel.CONFIDENCE][voted] == 1).all()
    assert (np.abs(records[:, voxel.TSDF][voted]) * TRUNCATION_M < 1.6 * VOXEL_M).all()
    strong = np.full(depth.shape, 3.0, np.float32)
    volume.integrate(color, CAMERA, T, 5.0, labels=np.full(depth.shape, 4, np.uint16), label_confidence=strong)
    assert (records[:, voxel.LABEL][voted] == 4).all()


def test_smoothing_keeps_planes_and_edges_and_calms_noise():
    volume = Volume(VOXEL_M, TRUNCATION_M)
    T = looking_at((0, 0, 0), (1.0, 0.3, 0.2))
    slanted = plane_depth(CAMERA, T, (1.0, 0.8, 0.3), 1.3)
    edged = slanted.copy()
    edged[:, :40] *= 0.7
    edged[30:33, 60:62] = 0.0
    noise = np.random.default_rng(0).normal(0, 0.002, slanted.shape).astype(np.float32)
    for truth in (slanted, edged):
        volume.select(truth, 0.1, 9.0, keep_edges=True, smooth=True)
        smooth = volume._usable[:-1].reshape(truth.shape)
        np.testing.assert_allclose(smooth, truth, rtol=2e-6)
        volume.select((truth + noise) * (truth > 0), 0.1, 9.0, keep_edges=True, smooth=True)
        smooth = volume._usable[:-1].reshape(truth.shape)
        error = (smooth - truth)[truth > 0]
        assert np.abs(error).mean() < 0.45 * np.abs(noise[truth > 0]).mean()
        assert np.abs(error).max() < 0.012


def test_incidence_weighs_by_the_angle_to_the_normal():
    volume = Volume(VOXEL_M, TRUNCATION_M)
    normal = np.array([1.0, 0.8, 0.3]) / np.linalg.norm([1.0, 0.8, 0.3])
    T = looking_at((0, 0, 0), (1.0, 0.3, 0.2))
    depth = plane_depth(CAMERA, T, normal, 1.0)
    count = volume.select(depth, 0.1, 9.0, keep_edges=True, incidence_camera=CAMERA)
    assert count > 1000
    direction = CAMERA.unproject(np.ones_like(depth)) @ T[:3, :3].T
    cosine = direction @ normal / np.linalg.norm(direction, axis=-1)
    weight = volume._pixel_weight[:-1].reshape(depth.shape)
    valid = volume._usable[:-1].reshape(depth.shape) > 0
    np.testing.assert_allclose(weight[valid], cosine[valid], atol=2e-3)
    assert (weight[~valid] == 0).all()
    color = np.zeros((*depth.shape, 3), np.uint8)
    volume.integrate(color, CAMERA, T, 9.0, constant_weight=True)
    records = volume.records[: volume.block_count]
    seen = records[:, voxel.WEIGHT] > 0
    assert seen.sum() > 1000
    assert records[:, voxel.WEIGHT][seen].max() < cosine[valid].max() + 2e-3
    assert records[:, voxel.WEIGHT][seen].min() > cosine[valid].min() - 2e-3
    volume.select(depth, 0.1, 9.0, keep_edges=True)  # weights of one frame are not kept for the next
    volume.integrate(color, CAMERA, T, 9.0, constant_weight=True)
    assert records[:, voxel.WEIGHT].max() > 1.0


def wall_and_thing(thing_m=None, wall_m=2.0):
    depth = np.full((72, 96), wall_m, np.float32)
    if thing_m is not None:
        depth[20:50, 30:60] = thing_m
    return depth


@pytest.mark.parametrize("in_map", [False, True])
def test_carving_clears_what_was_taken_away(in_map):
    color = np.full((72, 96, 3), 90, np.uint8)
    T = looking_at((0, 0, 0), (1, 0, 0))
    kept = {}
    for carve_from_m in (0.0, 0.3):
        volume = Volume(VOXEL_M, TRUNCATION_M)
        limit = None
        offset = np.array([3, -2, 1], np.int64)
        if in_map:  # the thing was mapped by a fragment before: the blocks to carve are those of the map
            before = Volume(VOXEL_M, TRUNCATION_M)
            before.select(wall_and_thing(1.0), 0.3, 4.0, True)
            before.integrate(color, CAMERA, T, 4.0)
            in_its_place = Volume(VOXEL_M, TRUNCATION_M)
            in_its_place.allocate(before.block_coordinates + offset.astype(np.int32))
            limit = MapLimit(in_its_place.keys, in_its_place.values, offset, 10**6, in_its_place.block_count)
        else:
            volume.select(wall_and_thing(1.0), 0.3, 4.0, True)
            volume.integrate(color, CAMERA, T, 4.0)
        for _ in range(3):
            volume.select(wall_and_thing(), 0.3, 4.0, True)
            volume.integrate(color, CAMERA, T, 4.0, carve_from_m=carve_from_m, limit=limit)
        centre = np.rint(np.array([1.0, 0.0, 0.0]) / VOXEL_M).astype(int)
        record = volume.find((centre[None] >> 3).astype(np.int32))
        i = centre & 7
        value = volume.records[record[0], :, i[0] + 8 * i[1] + 64 * i[2]] if record[0] >= 0 else None
        kept[carve_from_m] = value
        if carve_from_m > 0:
            assert value[voxel.TSDF] > 0.3
            assert value[voxel.WEIGHT] > 1
            # Free space that no map has is not made into blocks.
            nearer = np.array([[0, 0, 0]], np.int32)
            assert volume.find(nearer)[0] < 0
    assert kept[0.0] is None if in_map else kept[0.0][voxel.TSDF] < 0.2


def test_what_was_measured_long_ago_counts_less():
    volume = Volume(VOXEL_M, TRUNCATION_M)
    T = looking_at((0, 0, 0), (1, 0, 0))
    color = np.zeros((72, 96, 3), np.uint8)
    weights = []
    for stamp_s in (100.0, 100.0, 102.0, 106.0):
        volume.select(wall_and_thing(), 0.3, 4.0, True)
        volume.integrate(color, CAMERA, T, 4.0, constant_weight=True, stamp_s=stamp_s, half_life_s=2.0)
        weights.append(volume.records[: volume.block_count, voxel.WEIGHT].max())
    np.testing.assert_allclose(weights, [1.0, 2.0, 2.0, 1.5], rtol=1e-6)


def test_the_number_of_threads_does_not_change_the_map():
    maps = []
    for threads in (1, 3):
        volume = Volume(0.02, 0.08, threads=threads)
        for frame in walk(4):
            volume.select(frame.depth_m, 0.1, 5.0, smooth=True)
            updated, _ = volume.integrate(frame.color, frame.camera, frame.T_map_camera, 5.0, fading=True)
            assert updated > 100
        maps.append(volume)
    np.testing.assert_array_equal(maps[0].block_coordinates, maps[1].block_coordinates)
    count = maps[0].block_count
    np.testing.assert_array_equal(maps[0].records[:count], maps[1].records[:count])
    assert key_set(maps[0].take_dirty()) == key_set(maps[1].take_dirty())


def test_cameras_of_different_sizes_share_a_map():
    small = Camera(48, 36, 40.0, 40.0, 23.5, 17.5)
    together, apart = Volume(VOXEL_M, TRUNCATION_M), Volume(VOXEL_M, TRUNCATION_M)
    T = looking_at((0, 0, 0), (1, 0, 0))
    for turn in range(4):
        camera = (CAMERA, small)[turn % 2]
        depth = plane_depth(camera, T, (1, 0.1, 0), 1.0)
        color = np.full((*depth.shape, 3), 60, np.uint8)
        together.select(depth, 0.1, 5.0, smooth=True, incidence_camera=camera)
        together.integrate(color, camera, T, 5.0)
    for camera in (CAMERA, CAMERA, small, small):
        depth = plane_depth(camera, T, (1, 0.1, 0), 1.0)
        apart.select(depth, 0.1, 5.0, smooth=True, incidence_camera=camera)
        apart.integrate(np.full((*depth.shape, 3), 60, np.uint8), camera, T, 5.0)
    indices = apart.find(together.block_coordinates)
    assert (indices >= 0).all()
    np.testing.assert_allclose(together.records[: together.block_count], apart.records[indices], atol=1e-3)


def test_blocks_never_move_and_the_table_grows():
    volume = Volume(VOXEL_M, TRUNCATION_M, 20000)
    slots, address = len(volume.keys), volume.records.ctypes.data
    wanted = np.stack(np.meshgrid(*[np.arange(-12, 12)] * 3), axis=-1).reshape(-1, 3).astype(np.int32)
    first = volume.allocate(wanted[:1000])
    volume.records[first, voxel.TSDF] = 0.25
    indices = volume.allocate(wanted)
    assert len(volume.keys) > slots
    assert volume.records.ctypes.data == address
    np.testing.assert_array_equal(indices[:1000], first)
    np.testing.assert_array_equal(np.sort(indices), np.arange(len(wanted)))
    np.testing.assert_array_equal(volume.find(wanted), indices)
    np.testing.assert_array_equal(volume.block_coordinates[indices], wanted)
    assert (volume.records[first, voxel.TSDF] == 0.25).all()


def key_set(coordinates):
    return {tuple(block) for block in np.asarray(coordinates).tolist()}


def test_preparing_memory_changes_nothing():
    volume = Volume(VOXEL_M, TRUNCATION_M, 4000)
    indices = volume.allocate(np.arange(300, dtype=np.int32).reshape(100, 3))
    volume.records[indices, voxel.TSDF] = 0.5
    pages.prepare([volume.records]).result()
    volume.prepare(4000)
    assert (volume.records[indices, voxel.TSDF] == 0.5).all()
    assert (volume.records[100:] == 0).all()
    assert pages.prepare([np.zeros((0, 3), np.float32)]) is None


small_block = st.tuples(*[st.integers(-3, 3)] * 3)
steps = st.lists(
    st.tuples(st.sampled_from(["add", "discard", "clear"]), st.lists(small_block, max_size=40)), max_size=12
)


@settings(deadline=None, max_examples=100)
@given(steps)
def test_discarded_blocks_are_gone_and_their_memory_is_used_again(steps):
    volume = Volume(VOXEL_M, TRUNCATION_M, 150)
    model = {}
    stamp = 0.0
    for action, chosen in steps:
        wanted = np.array(chosen, dtype=np.int32).reshape(-1, 3)
        if action == "add":
            indices = volume.allocate(wanted)
            for block, index in zip(chosen, indices.tolist(), strict=True):
                if block not in model and index >= 0:
                    stamp += 1.0
                    assert (volume.records[index] == 0).all()
                    volume.records[index] = stamp
                    model[block] = stamp
        elif action == "discard":
            volume.discard(wanted)
            for block in chosen:
                model.pop(block, None)
        else:
            volume.clear()
            model.clear()
        assert volume.block_count == len(model) <= volume.capacity
        assert key_set(volume.block_coordinates) == set(model)
        known = np.array(list(model), dtype=np.int32).reshape(-1, 3)
        indices = volume.find(known)
        assert sorted(indices.tolist()) == list(range(len(model)))
        assert (volume.records[indices, 0, 0] == np.array(list(model.values()))).all()
        assert (volume.find(known + 10) == -1).all()
        assert (volume.keys != voxel.EMPTY).sum() == len(model)
        assert (volume.records[len(model) :] == 0).all()


def test_a_full_volume_refuses_and_a_cleared_one_is_empty():
    volume = Volume(VOXEL_M, TRUNCATION_M, 10)
    wanted = np.arange(45, dtype=np.int32).reshape(15, 3)
    indices = volume.allocate(wanted)
    assert (indices < 0).sum() == 5
    assert volume.block_count == 10
    volume.records[:10] = 1.0
    volume.clear()
    assert volume.block_count == 0
    assert (volume.find(wanted) == -1).all()
    assert (volume.records == 0).all()


@settings(deadline=None, max_examples=60)
@given(blocks)
def test_hash_finds_what_was_put_in_and_nothing_else(coordinates):
    volume = Volume(VOXEL_M, TRUNCATION_M, 100)
    wanted = np.array(coordinates, dtype=np.int32)
    indices = volume.allocate(wanted)
    assert volume.block_count == len(set(coordinates))
    np.testing.assert_array_equal(volume.block_coordinates[indices], wanted)
    np.testing.assert_array_equal(volume.find(wanted), indices)
    other = wanted + np.array([1, 0, 0], np.int32)
    there = np.array([tuple(c) in set(coordinates) for c in other.tolist()])
    np.testing.assert_array_equal(volume.find(other) >= 0, there)


@settings(deadline=None, max_examples=200)
@given(*[st.tuples(coordinate, coordinate, coordinate)] * 2, st.integers(0, 2), st.integers(0, 2))
def test_keys_are_unique(a, b, axis_a, axis_b):
    assert (voxel.pack_key.py_func(*a) == voxel.pack_key.py_func(*b)) == (a == b)
    assert 0 <= voxel.pack_key.py_func(*a) < 2**63
    edge_a = voxel.pack_edge.py_func(*[8 * v + 7 for v in a], axis_a)
    edge_b = voxel.pack_edge.py_func(*[8 * v + 7 for v in b], axis_b)
    assert (edge_a == edge_b) == (a == b and axis_a == axis_b)
    assert 0 <= edge_a < 2**63


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from([1.0, 0.5, 2.0])), max_size=12))
def test_a_label_with_more_than_half_of_the_votes_wins(votes):
    label, confidence = 0.0, 0.0
    for other, other_confidence in votes:
        label, confidence = voxel.vote.py_func(label, confidence, float(other), other_confidence)
    total = sum(c for _, c in votes)
    for candidate in (1, 2, 3):
        if sum(c for v, c in votes if v == candidate) > total / 2:
            assert label == candidate
            assert confidence > 0


@settings(deadline=None, max_examples=60)
@given(blocks)
def test_unique_blocks_are_the_set_of_them(coordinates):
    unique = voxel.unique_blocks(np.array(coordinates + coordinates[:3], dtype=np.int32))
    assert unique.dtype == np.int32
    assert [tuple(row) for row in unique.tolist()] == sorted(set(coordinates))


def test_truncation_in_metres_or_voxels():
    assert MappingConfiguration(voxel_size_m=0.02).truncation_distance_m == pytest.approx(0.08)
    assert MappingConfiguration(voxel_size_m=0.01, truncation_m=0.04).truncation_distance_m == 0.04
    with pytest.raises(ValueError, match=r"truncation_m 0\.03 must be at least 2 voxels"):
        _ = MappingConfiguration(voxel_size_m=0.02, truncation_m=0.03).truncation_distance_m
