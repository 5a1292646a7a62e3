"""LIRA's rule of lifting: the same pixels as comparing every voxel with every pixel, also at ties and at the limit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

pytest.importorskip("torch", reason="PyTorch is not installed here")

from lira_ros.fusion.tiff.fragment_volume import View
from lira_ros.fusion.tiff.nearest_lifting import (
    LEAST_DEPTH_PIXELS,
    NOT_SEEN,
    REACH_M,
    GridView,
    grid_sample,
    nearest_pixels,
)
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.pose import inverse


def compared_with_every_pixel(points_m, view):
    """The rule as it is written down, without any shortcut."""
    height, width = view.depth_m.shape
    fx, fy, cx, cy = view.intrinsics
    valid = np.flatnonzero(view.depth_m)
    result = np.full(len(points_m), NOT_SEEN)
    if len(valid) < LEAST_DEPTH_PIXELS:
        return result
    pixels = view.points_m.reshape(-1, 3)[valid]
    for row, point in enumerate(points_m):
        x, y, z = view.T_camera_upright[:3, :3] @ point + view.T_camera_upright[:3, 3]
        if z <= 0 or not (0 <= fx * x / z + cx <= width - 1 and 0 <= fy * y / z + cy <= height - 1):
            continue
        dx, dy, dz = (pixels[:, axis] - point[axis] for axis in range(3))
        squares = dx * dx + dy * dy + dz * dz
        best = int(np.argmin(squares))
        if math.sqrt(squares[best]) < REACH_M:
            result[row] = valid[best]
    return result


def view_of(depth_m, fx, T_upright_camera):
    """A view whose grid has the size of a small depth image."""
    height, width = depth_m.shape
    cx, cy = (width - 1) / 2, (height - 1) / 2
    v, u = np.mgrid[0:height, 0:width]
    points = np.stack(((u - cx) / fx * depth_m, (v - cy) / fx * depth_m, depth_m), axis=-1).astype(np.float64)
    points = points @ T_upright_camera[:3, :3].T + T_upright_camera[:3, 3]
    intrinsics = np.array([fx, fx, cx, cy])
    return GridView(depth_m.astype(np.float32), intrinsics, np.ascontiguousarray(points), inverse(T_upright_camera))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([16.0, 64.0, 144.0]))
def test_the_search_finds_the_pixels_that_comparing_all_finds(seed, dyadic, fx):
    random = np.random.default_rng(seed)
    T = np.eye(4)
    if dyadic:
        # Depths and places in parts of a power of two: many voxels are exactly as far from several pixels.
        depth = random.integers(8, 80, (9, 13)) / 64.0
        shift = np.array([0.0, 0.0, 0.0])
        fx = 16.0
    else:
        depth = random.uniform(0.05, 1.2, (9, 13)) + random.normal(0, 0.01, (9, 13))
        T[:3, :3] = Rotation.random(random_state=seed % 1000).as_matrix()
        T[:3, 3] = random.uniform(-2, 2, 3)
        shift = random.normal(0.0, 0.03, 3)
    depth = np.where(random.random(depth.shape) < 0.2, 0.0, depth).astype(np.float32).astype(np.float64)
    view = view_of(depth, fx, T)
    anywhere = view.points_m.reshape(-1, 3)[random.integers(0, depth.size, 80)]
    points = anywhere + (random.integers(-3, 4, (80, 3)) / 128.0 if dyadic else shift + random.normal(0, 0.02, (80, 3)))
    expected = compared_with_every_pixel(points, view)
    np.testing.assert_array_equal(nearest_pixels(points, view), expected)
    if dyadic and np.count_nonzero(depth) >= LEAST_DEPTH_PIXELS:
        assert (expected != NOT_SEEN).any()


def test_of_equally_near_pixels_the_first_counts():
    depth = np.zeros((8, 10))
    depth[:, 2:] = 0.5
    view = view_of(depth, 16.0, np.eye(4))
    between = 0.5 * (view.points_m[4, 4] + view.points_m[4, 5])
    among_four = 0.25 * (view.points_m[3, 3] + view.points_m[3, 4] + view.points_m[4, 3] + view.points_m[4, 4])
    found = nearest_pixels(np.array([between, among_four]), view)
    assert found.tolist() == [4 * 10 + 4, 3 * 10 + 3] == compared_with_every_pixel([between, among_four], view).tolist()


def test_a_pixel_at_exactly_one_voxel_is_too_far():
    # Pixels beside the middle one are 0.15 m away.
    depth = np.full((9, 9), 0.5)
    view = view_of(depth, 3.0, np.eye(4))
    middle = 4 * 9 + 4
    points = np.array([[REACH_M, 0.0, 0.5], [np.nextafter(REACH_M, 0.0), 0.0, 0.5]])
    assert nearest_pixels(points, view).tolist() == [NOT_SEEN, middle]
    assert compared_with_every_pixel(points, view).tolist() == [NOT_SEEN, middle]


def test_too_little_depth_shows_nothing_and_voxels_behind_or_beside_the_picture_are_not_seen():
    depth = np.zeros((9, 9))
    depth.ravel()[: LEAST_DEPTH_PIXELS - 1] = 0.5
    point = view_of(np.full((9, 9), 0.5), 16.0, np.eye(4)).points_m[2, 2][None]
    assert nearest_pixels(point, view_of(depth, 16.0, np.eye(4))).tolist() == [NOT_SEEN]
    depth.ravel()[LEAST_DEPTH_PIXELS - 1] = 0.5
    assert nearest_pixels(point, view_of(depth, 16.0, np.eye(4))).tolist() == [2 * 9 + 2]
    corner = view_of(np.full((9, 9), 0.5), 16.0, np.eye(4)).points_m[0, 0]
    beside, behind = corner - (0.01, 0.0, 0.0), corner * (1.0, 1.0, -1.0)
    assert nearest_pixels(np.array([beside, behind]), view_of(np.full((9, 9), 0.5), 16.0, np.eye(4))).tolist() == [
        -1,
        -1,
    ]


def test_the_grid_picks_every_fourth_pixel_and_divides_the_intrinsics():
    camera = Camera(640, 480, 577.0, 578.0, 319.5, 239.5)
    random = np.random.default_rng(1)
    depth = random.uniform(0.5, 4.0, (480, 640)).astype(np.float32)
    grid = GridView.of(View(depth, np.zeros((480, 640, 3), np.uint8), camera, np.eye(4)))
    np.testing.assert_array_equal(grid.depth_m, np.where(depth > 3.0, 0.0, depth)[::4, ::4])
    np.testing.assert_allclose(grid.intrinsics, np.array([577.0, 578.0, 319.5, 239.5]) / 4)
    np.testing.assert_allclose(grid.points_m, camera.unproject(np.where(depth > 3.0, 0.0, depth))[::4, ::4], atol=1e-6)


@pytest.mark.parametrize("size", [(120, 160), (240, 320), (100, 130), (720, 1280)])
def test_pictures_of_any_size_are_sampled_evenly(size):
    v, u = np.mgrid[0 : size[0], 0 : size[1]]
    picked = grid_sample(np.stack((v, u), axis=-1))
    assert picked.shape == (120, 160, 2)
    expected = np.arange(120)[:, None] * size[0] / 120, np.arange(160)[None] * size[1] / 160
    assert np.abs(picked - np.stack(np.broadcast_arrays(*expected), axis=-1)).max() < 1.0
