import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lira_ros.fusion.box import oriented_box

CUBE = np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)]) / 2


@settings(deadline=None)
@given(
    yaw=st.floats(-4, 4),
    tilt=st.floats(0, 3.1),
    size=st.tuples(st.floats(0.5, 3), st.floats(0.05, 0.4), st.floats(0.05, 2)),
)
def test_a_box_is_found_in_any_frame(yaw, tilt, size):
    rotation = Rotation.from_euler("yz", [tilt, 0.7])
    up = rotation.apply([0.0, 0.0, 1.0])
    shift = np.array([3.0, -2.0, 1.0])
    points = rotation.apply(Rotation.from_euler("z", yaw).apply(CUBE * size)) + shift
    box = oriented_box(points, up, 0.0)
    np.testing.assert_allclose(box.size_m, size, atol=2e-3)
    np.testing.assert_allclose(box.T_map_box[:3, 3], shift, atol=2e-3)
    np.testing.assert_allclose(box.T_map_box[:3, 2], up, atol=1e-9)
    np.testing.assert_allclose(box.T_map_box[:3, :3].T @ box.T_map_box[:3, :3], np.eye(3), atol=1e-9)
    assert np.linalg.det(box.T_map_box[:3, :3]) == pytest.approx(1.0)


def block(size, voxel_m=0.02):
    """Return the voxel centres of the surface of a block around the origin."""
    counts = np.maximum(np.rint(np.asarray(size) / voxel_m).astype(int), 1)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in counts), indexing="ij"), axis=-1).reshape(-1, 3)
    shell = ((grid == 0) | (grid == counts - 1)).any(axis=1)
    return (grid[shell] - (counts - 1) / 2) * voxel_m


SIZES = st.tuples(st.floats(0.3, 1.5), st.floats(0.1, 0.25), st.floats(0.1, 0.8))


@settings(deadline=None, max_examples=40)
@given(size=SIZES, yaw=st.floats(-4, 4), tilt=st.floats(0, 3.1))
def test_a_turned_thing_gets_a_turned_box(size, yaw, tilt):
    points = block(size)
    plain = oriented_box(points, np.array([0.0, 0.0, 1.0]), 0.01)
    turn = Rotation.from_euler("y", tilt) * Rotation.from_euler("z", yaw)
    shift = np.array([1.0, -2.0, 0.5])
    turned = oriented_box(turn.apply(points) + shift, turn.apply([0.0, 0.0, 1.0]), 0.01)
    np.testing.assert_allclose(turned.size_m, plain.size_m, atol=2e-3)
    np.testing.assert_allclose(turned.T_map_box[:3, 3], turn.apply(plain.T_map_box[:3, 3]) + shift, atol=2e-3)


@settings(deadline=None, max_examples=40)
@given(
    size=SIZES,
    yaw=st.floats(-4, 4),
    share=st.floats(0.001, 0.03),
    reach_m=st.floats(2.0, 6.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_stray_voxels_do_not_move_a_box(size, yaw, share, reach_m, seed):
    rng = np.random.default_rng(seed)
    points = Rotation.from_euler("z", yaw).apply(block(size))
    up = np.array([0.0, 0.0, 1.0])
    clean = oriented_box(points, up, 0.01)
    strays = rng.uniform(-reach_m, reach_m, (max(1, int(share * len(points))), 3))
    box = oriented_box(np.concatenate([points, strays]), up, 0.01)
    # What lies within the gap over which voxels hang together cannot be told from the thing: two cells of 6 cm.
    assert np.abs(box.size_m - clean.size_m).max() <= 0.25
    assert np.median(np.abs(box.size_m - clean.size_m)) <= 0.06
    inside = np.abs((points - box.T_map_box[:3, 3]) @ box.T_map_box[:3, :3]) <= 0.5 * box.size_m + 1e-6
    assert inside.all(axis=1).mean() >= 0.95


def test_one_stray_voxel_changes_nothing():
    points = block((0.6, 0.4, 0.3))
    up = np.array([0.0, 0.0, 1.0])
    clean = oriented_box(points, up, 0.01)
    for stray in ([1.0, 0.0, 0.0], [0.0, -0.9, 0.1], [0.1, 0.1, 2.0], [400.0, 400.0, -400.0]):
        box = oriented_box(np.vstack([points, stray]), up, 0.01)
        np.testing.assert_allclose(box.size_m, clean.size_m, atol=1e-5)
        np.testing.assert_allclose(box.T_map_box, clean.T_map_box, atol=1e-5)


def test_a_thin_part_that_hangs_together_stays_in_the_box():
    pole = np.array([[0.0, 0.0, z] for z in np.arange(0.1, 1.5, 0.02)])
    points = np.vstack([block((0.3, 0.3, 0.2)), pole])
    assert oriented_box(points, np.array([0.0, 0.0, 1.0]), 0.01).size_m[2] == pytest.approx(1.6, abs=0.03)


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(1, 400), seed=st.integers(0, 2**32 - 1), flat=st.sampled_from([(), (0,), (2,), (0, 1), (1, 2)])
)
def test_any_points_are_boxed_but_for_a_few(count, seed, flat):
    rng = np.random.default_rng(seed)
    points = rng.normal(0.0, 1.0, (count, 3)) * rng.uniform(0.01, 2.0, 3)
    points[:, list(flat)] = 0.25
    box = oriented_box(points, np.array([0.0, 0.0, 1.0]), 0.01)
    assert np.isfinite(box.T_map_box).all()
    assert (box.size_m >= 0.02 - 1e-9).all()
    assert box.size_m[0] >= box.size_m[1]
    inside = np.abs((points - box.T_map_box[:3, 3]) @ box.T_map_box[:3, :3]) <= 0.5 * box.size_m + 1e-5
    # Strays by distance, and tails at both ends of three axes.
    assert inside.all(axis=1).mean() >= 0.95 - 6 * 0.02


def test_one_point_gets_the_margin_as_its_size():
    box = oriented_box(np.array([[1.0, 2.0, 3.0]]), np.array([0.0, 1.0, 0.0]), 0.01)
    np.testing.assert_allclose(box.size_m, 0.02)
    np.testing.assert_allclose(box.T_map_box[:3, 3], [1, 2, 3])


def test_no_points_are_refused():
    with pytest.raises(ValueError, match="no points"):
        oriented_box(np.zeros((0, 3)), np.array([0.0, 0.0, 1.0]), 0.01)
