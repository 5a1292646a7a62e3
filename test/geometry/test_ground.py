import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.geometry.ground import GroundPlane, HeightHistogram, level_axes

VECTOR = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1)


def seen(*levels, walls_m2=10.0, noise_m=0.0, rng=None):
    """A histogram of level surfaces (height, area) and of walls from the lowest of them to 2.5 m above it."""
    rng = rng or np.random.default_rng(0)
    histogram = HeightHistogram()
    for height, area in levels:
        heights = height + rng.normal(0.0, noise_m, 500)
        histogram.add(heights, np.full(500, area / 500), np.ones(500, bool))
    low = min(height for height, _ in levels)
    heights = rng.uniform(low, low + 2.5, 1000)
    histogram.add(heights, np.full(1000, walls_m2 / 1000), np.zeros(1000, bool))
    return histogram


def up_stairs(floor_m, steps, riser_m=0.17, tread_m2=0.25):
    return [(floor_m + riser_m * k, tread_m2) for k in range(1, steps + 1)]


@pytest.mark.parametrize("noise_m", [0.0, 0.01, 0.02])
@pytest.mark.parametrize(
    ("levels", "expected_m"),
    [
        ([(0.03, 5.0)], 0.03),
        ([(-1.3, 3.0), (-0.58, 6.0)], -1.3),  # most of what is seen is a table
        ([(-1.3, 0.5), (-0.58, 6.0), (-0.85, 0.4)], -1.3),  # a chair beside it
        ([(0.0, 4.0), *up_stairs(0.0, 6)], 0.0),  # at the foot of stairs
        ([(0.0, 4.0), *up_stairs(0.0, 6, -0.17)], 0.0),  # at the head of stairs
        ([(0.0, 4.0), *up_stairs(0.0, 3, -0.15), *up_stairs(0.0, 3, 0.15)], 0.0),  # between two flights
        ([(0.0, 4.0), *up_stairs(0.0, 8, -0.17), (-9 * 0.17, 1.5)], 0.0),  # with the landing below
        ([(0.0, 1.5), *up_stairs(0.0, 8, -0.17), (-9 * 0.17, 4.0)], -9 * 0.17),  # gone down to it
        ([(0.0, 4.0), (0.72, 2.0), *up_stairs(0.0, 4)], 0.0),
    ],
)
def test_the_floor_is_told_from_tables_and_stairs(levels, expected_m, noise_m):
    assert seen(*levels, noise_m=noise_m).floor_m() == pytest.approx(expected_m, abs=0.02)


def test_a_table_alone_is_no_floor_once_something_below_it_is_seen():
    histogram = seen((0.72, 2.0))
    assert histogram.floor_m() == pytest.approx(0.72, abs=0.02)
    histogram.add(np.linspace(0.0, 0.5, 100), np.full(100, 0.02), np.zeros(100, bool))
    assert histogram.floor_m() is None
    histogram.clear()
    assert histogram.floor_m() is None


def test_a_little_noise_below_the_floor_does_not_hide_it():
    histogram = seen((0.0, 5.0))
    histogram.add(np.linspace(-1.0, -0.2, 50), np.full(50, 0.002), np.ones(50, bool))
    assert histogram.floor_m() == pytest.approx(0.0, abs=0.02)


@settings(max_examples=50, deadline=None)
@given(VECTOR)
def test_level_axes_are_level_and_right_handed(up):
    up = np.array(up) / np.linalg.norm(up)
    x, y = level_axes(up)
    np.testing.assert_allclose(np.stack([x, y, up]) @ np.stack([x, y, up]).T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(np.cross(x, y), up, atol=1e-9)


def test_level_axes_of_a_ros_map_are_its_own_and_hardly_turn_with_noise():
    np.testing.assert_array_equal(level_axes(np.array([0, 0, 1.0])), [(1, 0, 0), (0, 1, 0)])
    x, _ = level_axes(np.array([1e-3, 1e-5, 1.0]))
    np.testing.assert_allclose(x, (1, 0, 0), atol=2e-3)


@settings(max_examples=50, deadline=None)
@given(VECTOR, VECTOR, st.floats(-5, 5))
def test_points_are_projected_onto_the_ground(normal, point, height_m):
    normal = np.array(normal) / np.linalg.norm(normal)
    ground = GroundPlane(normal, height_m)
    foot = ground.project(np.array([point]))
    np.testing.assert_allclose(ground.heights_m(foot), 0.0, atol=1e-9)
    np.testing.assert_allclose(
        np.array([point]) - foot, ground.heights_m(np.array([point]))[:, None] * normal, atol=1e-9
    )


def test_what_is_no_plane_is_refused():
    with pytest.raises(ValueError, match="must be a unit vector"):
        GroundPlane(np.array([0, 0, 2.0]), 0.0)
    with pytest.raises(ValueError, match="no floor has been seen yet"):
        GroundPlane(np.array([0, 0, 1.0]), float("nan"))
