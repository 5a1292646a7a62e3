import numpy as np
import pytest
from analytic_scene import CAMERA, looking_at, plane_depth, walk
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.mapping import voxel
from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK
from lira_ros.mapping.tsdf import Volume

VOXEL_M, TRUNCATION_M = 0.04, 0.16
coordinate = st.integers(-(2**16), 2**16 - 1)
blocks = st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=1, max_size=60)


def integrate(volume, frame, **options):
    assert volume.select(frame.depth_m, 0.1, 5.0, keep_edges=True) > 0
    return volume.integrate(frame.color, frame.camera, frame.T_map_camera, 5.0, **options)


def reference(coordinates, frames, constant_weight, weight_cap):
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
        total = weight + sample_weight
        tsdf = np.where(use, (tsdf * weight + np.minimum(1, signed / TRUNCATION_M) * sample_weight) / total, tsdf)
        weight = np.where(use, np.minimum(total, weight_cap), weight)
    return tsdf, weight, close


@pytest.mark.parametrize("constant_weight", [True, False])
def test_update_equals_the_reference(constant_weight):
    volume = Volume(VOXEL_M, TRUNCATION_M)
    frames = walk(5)
    for frame in frames:
        integrate(volume, frame, constant_weight=constant_weight, weight_cap=3.5)
    # Blocks that a frame did not touch miss its free space: compare those that every frame updates.
    single = Volume(VOXEL_M, TRUNCATION_M)
    integrate(single, frames[0], constant_weight=constant_weight)
    tsdf, weight, close = reference(single.block_coordinates, frames[:1], constant_weight, np.inf)
    records = single.records[: single.block_count]
    assert close.mean() < 0.01
    np.testing.assert_allclose(records[:, voxel.WEIGHT][~close], weight[~close], atol=1e-4)
    np.testing.assert_allclose(records[:, voxel.TSDF][~close], tsdf[~close], atol=1e-4)
    # Repeating one view touches the same blocks each time, so the running mean and the cap can be compared too.
    for _ in range(4):
        integrate(single, frames[0], constant_weight=constant_weight, weight_cap=2.5)
    tsdf, weight, close = reference(single.block_coordinates, frames[:1] * 5, constant_weight, 2.5)
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
