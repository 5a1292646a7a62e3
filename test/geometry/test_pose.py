import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from lira_ros.geometry.pose import (
    checked_transform,
    from_quaternion,
    inverse,
    motion_between,
    to_quaternion,
    transform_points,
)


def transform(rotation_vector, translation):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(rotation_vector).as_matrix()
    T[:3, 3] = translation
    return T


vectors = arrays(np.float64, 3, elements=st.floats(-3, 3, allow_subnormal=False))
transforms = st.builds(transform, vectors, vectors)


@settings(deadline=None, max_examples=60)
@given(transforms, transforms)
def test_inverse_and_composition(a, b):
    np.testing.assert_allclose(inverse(a) @ a, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(inverse(a @ b), inverse(b) @ inverse(a), atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(transforms, arrays(np.float64, (5, 3), elements=st.floats(-10, 10)))
def test_points_follow_the_matrix(T, points):
    expected = (T @ np.concatenate([points, np.ones((5, 1))], axis=1).T).T[:, :3]
    np.testing.assert_allclose(transform_points(T, points), expected, atol=1e-9)
    assert transform_points(T, points.astype(np.float32)).dtype == np.float32


@settings(deadline=None, max_examples=60)
@given(transforms)
def test_quaternions_go_there_and_back(T):
    quaternion = to_quaternion(T)
    assert quaternion[3] >= 0
    np.testing.assert_allclose(from_quaternion(T[:3, 3], quaternion, "pose"), T, atol=1e-9)


def test_slightly_skewed_rotations_are_made_orthonormal():
    T = transform([0.3, -0.2, 0.5], [1, 2, 3])
    rough = T.copy()
    rough[:3, :3] = np.round(rough[:3, :3], 5)
    checked = checked_transform(rough.tolist(), "pose")
    np.testing.assert_allclose(checked[:3, :3].T @ checked[:3, :3], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(checked, T, atol=2e-5)


def mirrored():
    return np.diag([1.0, 1.0, -1.0, 1.0])


def with_nan():
    T = np.eye(4)
    T[0, 3] = np.nan
    return T


def with_last_row():
    T = np.eye(4)
    T[3, 0] = 0.5
    return T


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(3), "camera: expected a 4x4"),
        (with_nan(), "camera: contains NaN"),
        (with_last_row(), "camera: last row"),
        (2.0 * np.eye(4) - np.diag([0, 0, 0, 1.0]), "camera: .* not a rotation"),
        (mirrored(), "camera: .* not a rotation"),
        (np.zeros((4, 4)) + np.diag([0, 0, 0, 1.0]), "camera: .* not a rotation"),
    ],
)
def test_what_is_no_rigid_transform_is_refused_by_name(matrix, message):
    with pytest.raises(ValueError, match=message):
        checked_transform(matrix, "camera")


def test_quaternions_that_are_none_are_refused_by_name():
    with pytest.raises(ValueError, match="pose: quaternion must have length 1"):
        from_quaternion([0, 0, 0], [0, 0, 0, 0.5], "pose")
    with pytest.raises(ValueError, match="pose: contains NaN"):
        from_quaternion([0, np.nan, 0], [0, 0, 0, 1], "pose")


def test_motion_is_the_turn_of_the_optical_axis_and_the_way():
    a = transform([0, 0, 0], [0, 0, 0])
    angle_deg, distance_m = motion_between(a, transform([0, np.radians(20), 0], [0.3, 0, 0.4]))
    assert angle_deg == pytest.approx(20)
    assert distance_m == pytest.approx(0.5)
    rolled, _ = motion_between(a, transform([0, 0, np.radians(90)], [0, 0, 0]))
    assert rolled == pytest.approx(0)
