import numpy as np
import pytest
from box_scene import CAMERA, Box, keyframe, look_at, render
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.spatial.transform import Rotation

from lira_ros.fusion.lifting import (
    KEY_OFFSET,
    NO_DEPTH,
    OCCLUDED,
    ON_SURFACE,
    OUT_OF_VIEW,
    SEEN_THROUGH,
    StoredKeyframe,
    cells_of,
    lift,
    look_up,
    pack,
    resampled,
    unpack,
    voxel_bounds,
)

COORDINATES = st.integers(-(KEY_OFFSET - 1), KEY_OFFSET - 1)
VOXELS = npst.arrays(np.int32, st.tuples(st.integers(0, 30), st.just(3)), elements=COORDINATES)


@settings(deadline=None)
@given(VOXELS)
def test_keys_survive_a_round_trip(voxels):
    np.testing.assert_array_equal(unpack(pack(voxels)), voxels)


@settings(deadline=None)
@given(VOXELS)
def test_keys_sort_like_x_y_z(voxels):
    by_key = voxels[np.argsort(pack(voxels), kind="stable")]
    np.testing.assert_array_equal(by_key, voxels[np.lexsort(voxels.T[::-1])])


@settings(deadline=None)
@given(VOXELS)
def test_cells_hold_two_voxels_along_each_axis(voxels):
    halves = np.floor_divide(voxels.astype(np.int64), 2)
    same_cell = (halves[:, None] == halves[None]).all(axis=-1)
    cells = cells_of(pack(voxels))
    np.testing.assert_array_equal(cells[:, None] == cells[None], same_cell)


@settings(deadline=None)
@given(VOXELS)
def test_bounds_are_those_of_the_voxels(voxels):
    low, high, mean = voxel_bounds(pack(voxels))
    if len(voxels):
        np.testing.assert_array_equal(low, voxels.min(axis=0))
        np.testing.assert_array_equal(high, voxels.max(axis=0))
        np.testing.assert_allclose(mean, voxels.mean(axis=0), rtol=1e-9, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(
    npst.arrays(np.float64, 3, elements=st.floats(-1.0, 1.0)), npst.arrays(np.float64, 3, elements=st.floats(-2.0, 2.0))
)
def test_a_moved_solid_keeps_its_voxels_and_has_no_holes(turn, shift_m):
    size = 0.02
    cube = np.stack(np.meshgrid(*[np.arange(12)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    T[:3, 3] = shift_m
    keys, origin = resampled(pack(cube), T, size)
    assert (keys[1:] > keys[:-1]).all()
    moved = unpack(keys)
    # Each new voxel lies within half a voxel, along the old axes, of where its old one went.
    back = (moved * size - T[:3, 3]) @ T[:3, :3] / size
    assert np.abs(back - cube[origin]).max() <= 0.5 + 1e-9
    assert len(keys) == pytest.approx(len(cube), rel=0.1)
    # Every voxel well inside of the moved cube is there.
    low, high = moved.min(axis=0), moved.max(axis=0)
    grid = np.stack(np.meshgrid(*[np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]), axis=-1).reshape(-1, 3)
    source = (grid * size - T[:3, 3]) @ T[:3, :3] / size
    inside = ((source > -0.49) & (source < 11.49)).all(axis=1)
    assert np.isin(pack(grid[inside]), keys).all()


def test_coordinates_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=str(KEY_OFFSET - 1)):
        pack(np.array([[KEY_OFFSET, 0, 0]]))


BOX = Box(1, (-0.3, -0.3, 0.0), (0.3, 0.3, 0.5))


@pytest.fixture(scope="module")
def view():
    key, ids = keyframe(1, [BOX], (1.5, 0.4, 1.2), noise_m=0.0)
    return StoredKeyframe(key), ids


def test_lifted_voxels_lie_on_the_surface_of_the_box(view):
    stored, ids = view
    keys, colors = lift(ids == 1, stored, 0.02)
    assert (np.diff(keys) > 0).all()
    points = unpack(keys) * 0.02
    outside = np.maximum(np.array(BOX.low) - points, points - np.array(BOX.high)).max(axis=1)
    assert np.abs(outside).max() < 0.012
    assert len(keys) > 800
    np.testing.assert_allclose(np.median(colors, axis=0), [200, 30, 30])


def test_an_empty_mask_lifts_to_nothing(view):
    stored, ids = view
    keys, colors = lift(np.zeros_like(ids, dtype=bool), stored, 0.02)
    assert keys.shape == (0,)
    assert colors.shape == (0, 3)


@pytest.mark.parametrize("voxel_size_m", [0.005, 0.02, 0.1])
def test_lifting_agrees_with_numpy(view, voxel_size_m):
    stored, ids = view
    mask = ids == 1
    points = CAMERA.unproject(stored.depth_m()).astype(np.float64)[mask]
    points = points @ stored.T_map_camera[:3, :3].T + stored.T_map_camera[:3, 3]
    expected = np.unique(pack(np.floor(points / voxel_size_m + 0.5).astype(np.int64)))
    keys, _ = lift(mask, stored, voxel_size_m)
    # float32 in unproject() moves points at the border of two voxels.
    assert len(np.setxor1d(keys, expected)) <= 0.02 * len(expected) + 2


def relation_of(point, stored):
    relation, pixel, distance = look_up(pack(np.rint(np.array([point]) / 0.02).astype(int)), stored, 0.02, 0.05)
    return int(relation[0]), int(pixel[0]), float(distance[0])


def test_looking_up_tells_surface_free_space_and_occlusion_apart(view):
    stored, _ = view
    assert relation_of((0.3, 0.0, 0.3), stored)[0] == ON_SURFACE
    assert relation_of((0.7, 0.0, 0.5), stored)[0] == SEEN_THROUGH
    assert relation_of((0.0, 0.0, 0.2), stored)[0] == OCCLUDED
    assert relation_of((-0.6, 0.0, 0.0), stored)[0] == OCCLUDED
    assert relation_of((3.0, 0.4, 1.2), stored) == (OUT_OF_VIEW, -1, relation_of((3.0, 0.4, 1.2), stored)[2])
    assert relation_of((0.0, 5.0, 0.0), stored)[0] == OUT_OF_VIEW


def test_looking_up_without_depth_tells_nothing():
    key, _ = keyframe(1, [], (0.0, 0.0, 1.0), (1.0, 0.0, 1.6))
    assert relation_of((1.0, 0.0, 1.6), StoredKeyframe(key))[0] == NO_DEPTH


def test_every_lifted_voxel_is_on_the_surface_of_its_own_view(view):
    stored, ids = view
    keys, _ = lift((ids == 1) & stored.liftable(5.0), stored, 0.02)
    relation, pixel, _ = look_up(keys, stored, 0.02, 0.05)
    assert (relation == ON_SURFACE).mean() > 0.99
    assert (pixel >= 0).all()


def test_a_far_wall_behind_noise_stays_on_the_surface():
    wall = Box(1, (4.5, -2.0, 0.0), (4.6, 2.0, 2.5))
    clean, ids = keyframe(1, [wall], (0.0, 0.0, 1.0), (4.5, 0.0, 1.0), noise_m=0.0)
    noisy, _ = keyframe(2, [wall], (0.0, 0.0, 1.0), (4.5, 0.0, 1.0), noise_m=0.025)
    keys, _ = lift(ids == 1, StoredKeyframe(clean), 0.02)
    relation, _, _ = look_up(keys, StoredKeyframe(noisy), 0.02, 0.05)
    assert (relation == SEEN_THROUGH).mean() < 0.01
    assert (relation == ON_SURFACE).mean() > 0.9


def test_the_scene_is_what_it_says():
    depth, ids = render([BOX], look_at((2.0, 0.0, 0.25), (0.0, 0.0, 0.25)))
    assert depth[60, 80] == pytest.approx(1.7, abs=1e-3)
    assert ids[60, 80] == 1
