import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lira_ros.geometry.inertial import (
    READY_SAMPLES,
    SETTLED_SAMPLES,
    STANDARD_GRAVITY_MPS2,
    GravityFromImu,
    up_from_orientation,
)

RATE_NS = 10_000_000  # 100 Hz


def error_deg(a, b):
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))


def transform(rotation):
    T = np.eye(4)
    T[:3, :3] = rotation.as_matrix()
    return T


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_mean_of_a_noisy_accelerometer_points_up(seed):
    rng = np.random.default_rng(seed)
    up = rng.normal(size=3)
    up /= np.linalg.norm(up)
    gravity = GravityFromImu()
    for i in range(200):
        gravity.add_acceleration(STANDARD_GRAVITY_MPS2 * up + rng.normal(0, 0.1, 3), i * RATE_NS)
    assert gravity.accepted > 190
    assert error_deg(gravity.up, up) < 0.3


def test_it_waits_for_enough_samples_over_enough_time():
    gravity = GravityFromImu()
    for i in range(READY_SAMPLES + 1):
        assert gravity.up is None
        assert gravity.add_acceleration((0, 0, 9.81), i * RATE_NS)
    assert gravity.up is not None
    fast = GravityFromImu()
    for i in range(2 * READY_SAMPLES):
        fast.add_acceleration((0, 0, 9.81), i)  # 100 samples within 100 ns
    assert fast.up is None
    assert not gravity.is_settled
    for i in range(SETTLED_SAMPLES):
        gravity.add_acceleration((0, 0, 9.81), (i + 100) * RATE_NS)
    assert gravity.is_settled


@pytest.mark.parametrize(
    ("acceleration", "turn", "reason"),
    [
        ((0, 0, 9.81 * 1.06), None, "accelerated"),
        ((0, 0, 9.81 * 0.94), None, "accelerated"),
        ((0, 0, 0), None, "accelerated"),  # in free fall, or a driver without an accelerometer
        ((0, 0, 9.81), (0, 0.3, 0), "turning"),
        ((0, np.nan, 9.81), None, "invalid"),
        ((0, 0, 9.81), (np.inf, 0, 0), "invalid"),
        ((0, 9.81), None, "invalid"),
    ],
)
def test_samples_of_a_moving_imu_are_rejected_with_their_reason(acceleration, turn, reason):
    gravity = GravityFromImu()
    assert not gravity.add_acceleration(acceleration, 0, turn)
    assert gravity.rejected[reason] == 1
    assert sum(gravity.rejected.values()) == 1
    assert gravity.add_acceleration((0, 0, 9.9), 1, (0, 0, 0.05))


def test_samples_out_of_order_are_rejected():
    gravity = GravityFromImu()
    assert gravity.add_acceleration((0, 0, 9.81), 10)
    assert not gravity.add_acceleration((0, 0, 9.81), 10)
    assert not gravity.add_acceleration((0, 0, 9.81), 5)
    assert gravity.rejected["old"] == 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_an_orientation_tells_up_however_the_imu_is_turned(seed):
    R_world_imu, R_map_world = Rotation.random(2, random_state=seed)
    up = up_from_orientation(R_world_imu.as_quat(), transform(R_map_world * R_world_imu))
    np.testing.assert_allclose(up, R_map_world.as_matrix()[:, 2], atol=1e-9)


def test_a_driver_without_a_filter_is_refused():
    with pytest.raises(ValueError, match="quaternion must have length 1"):
        up_from_orientation((0, 0, 0, 0), np.eye(4))


def test_directions_are_averaged_as_well_and_turn_with_the_map():
    gravity = GravityFromImu()
    for i in range(READY_SAMPLES + 1):
        assert gravity.add_direction((0, 0, 1), i * RATE_NS)
    assert not gravity.add_direction((0, 0, 2), 10**10)
    gravity.turn(Rotation.from_euler("x", 90, degrees=True).as_matrix())
    np.testing.assert_allclose(gravity.up, (0, -1, 0), atol=1e-12)
