import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.geometry.camera import Camera

CAMERA = Camera(64, 48, 50.0, 52.0, 31.0, 24.5)


def test_matrix_holds_the_intrinsics():
    np.testing.assert_array_equal(CAMERA.matrix, [[50, 0, 31], [0, 52, 24.5], [0, 0, 1]])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 48, 50.0, 50.0, 0.0, 0.0), "image size"),
        ((64, 48, 0.0, 50.0, 0.0, 0.0), "focal lengths"),
        ((64, 48, 50.0, -1.0, 0.0, 0.0), "focal lengths"),
        ((64, 48, float("nan"), 50.0, 0.0, 0.0), "fx must be finite"),
        ((64, 48, 50.0, 50.0, float("inf"), 0.0), "cx must be finite"),
    ],
)
def test_impossible_intrinsics_are_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message):
        Camera(*values)


def test_the_middle_of_the_first_pixel_is_its_coordinate():
    points = CAMERA.unproject(np.ones((48, 64), np.float32))
    np.testing.assert_allclose(points[0, 0], [-31 / 50, -24.5 / 52, 1.0], rtol=1e-6)
    assert points.dtype == np.float32


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 63), st.integers(0, 47), st.floats(0.1, 10.0))
def test_project_undoes_unproject(u, v, z):
    depth = np.zeros((48, 64), np.float32)
    depth[v, u] = z
    points = CAMERA.unproject(depth)
    assert (points.reshape(-1, 3) != 0).any(axis=1).sum() <= 1
    pixels, depths = CAMERA.project(points[v, u][None])
    np.testing.assert_allclose(pixels[0], (u, v), atol=1e-4)
    assert depths[0] == pytest.approx(z, rel=1e-6)


def test_points_behind_the_camera_have_no_pixel():
    pixels, depths = CAMERA.project(np.array([[0.0, 0.0, -1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    assert np.isnan(pixels[:2]).all()
    np.testing.assert_allclose(pixels[2], (31, 24.5))
    np.testing.assert_array_equal(depths, (-1, 0, 1))


@settings(deadline=None, max_examples=50)
@given(st.integers(8, 500), st.integers(8, 500), st.floats(-1, 1), st.floats(-1, 1))
def test_scaling_keeps_the_direction_of_pixel_edges(width, height, x, y):
    small = CAMERA.scaled(width, height)
    point = np.array([[x, y, 1.0]])
    (a, _), (b, _) = CAMERA.project(point), small.project(point)
    np.testing.assert_allclose((a[0] + 0.5) / (64, 48), (b[0] + 0.5) / (width, height), atol=1e-9)


def test_depth_of_another_size_is_refused():
    with pytest.raises(ValueError, match="depth: expected shape"):
        CAMERA.unproject(np.ones((4, 4), np.float32))
