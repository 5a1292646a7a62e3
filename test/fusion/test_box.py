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


def test_one_point_gets_the_margin_as_its_size():
    box = oriented_box(np.array([[1.0, 2.0, 3.0]]), np.array([0.0, 1.0, 0.0]), 0.01)
    np.testing.assert_allclose(box.size_m, 0.02)
    np.testing.assert_allclose(box.T_map_box[:3, 3], [1, 2, 3])


def test_no_points_are_refused():
    with pytest.raises(ValueError, match="no points"):
        oriented_box(np.zeros((0, 3)), np.array([0.0, 0.0, 1.0]), 0.01)
