import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.reasoning.measurement import describe_attributes, measure

UP_AXES = [np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0]), np.array([0.0, -1.0, 0.0])]


def placed(local, up, angle):
    """Turn (N, 3) points with z up about gravity and into a map whose up is ``up``."""
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    axis = np.eye(3)[int(np.argmin(np.abs(up)))]
    first = np.cross(up, axis)
    frame = np.stack([first, np.cross(up, first), up])
    return (local @ rotation.T @ frame).astype(np.float32)


def gray(points):
    return np.full(points.shape, 128, dtype=np.uint8)


def box_surface(length, width, height, count=6000, seed=0):
    generator = np.random.default_rng(seed)
    size = np.array([length, width, height])
    points = (generator.random((count, 3)) - 0.5) * size
    areas = np.array([width * height, length * height, length * width])
    axis = generator.choice(3, count, p=areas / areas.sum())
    points[np.arange(count), axis] = np.where(generator.random(count) < 0.5, -0.5, 0.5) * size[axis]
    return points


def disc(radius, count=6000, seed=0):
    generator = np.random.default_rng(seed)
    angle, distance = generator.random(count) * 2 * np.pi, radius * np.sqrt(generator.random(count))
    return np.column_stack([distance * np.cos(angle), distance * np.sin(angle), np.zeros(count)])


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.05, 3.0),
    st.floats(0.2, 1.0),
    st.floats(0.05, 2.0),
    st.floats(0.0, 2 * math.pi),
    st.sampled_from(range(3)),
)
def test_a_box_has_its_size_whatever_its_heading_and_the_axes_of_the_map(length, ratio, height, angle, axis):
    points = placed(
        box_surface(length, ratio * length, height) + np.array([0, 0, height / 2 + 0.7]), UP_AXES[axis], angle
    )
    found = measure(points, gray(points), UP_AXES[axis], floor_height_m=-0.3)
    assert found.size_m[0] == pytest.approx(length, rel=0.12)
    assert found.size_m[1] == pytest.approx(ratio * length, rel=0.12)
    assert found.size_m[2] == pytest.approx(height, rel=0.05)
    assert found.bottom_height_m == pytest.approx(1.0, abs=0.05 * height)
    assert found.top_height_m == pytest.approx(1.0 + height, abs=0.05 * height)
    assert found.fill > 0.8
    assert found.elongation == pytest.approx(1 / ratio, rel=0.15)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 1.0), st.floats(0.0, 2 * math.pi))
def test_a_disc_is_round_flat_and_level_and_a_square_less_round(radius, angle):
    up = UP_AXES[0]
    round_top = placed(disc(radius), up, angle)
    found = measure(round_top, gray(round_top), up, 0.0)
    assert found.roundness > 0.9
    assert found.flatness > 0.98
    assert found.horizontality > 0.98
    assert found.elongation < 1.15
    assert found.fill == pytest.approx(math.pi / 4, abs=0.12)
    square = placed(box_surface(2 * radius, 2 * radius, 0.001), up, angle)
    assert measure(square, gray(square), up, 0.0).roundness < 0.75


def test_an_upright_panel_is_flat_but_not_level():
    points = placed(box_surface(0.9, 0.02, 2.0), UP_AXES[1], 0.4).astype(np.float64)
    found = measure(points, gray(points), UP_AXES[1], 0.0)
    assert found.flatness > 0.9
    assert found.horizontality < 0.1


def test_a_ball_is_not_flat():
    generator = np.random.default_rng(2)
    points = generator.normal(size=(5000, 3))
    points = 0.12 * points / np.linalg.norm(points, axis=1, keepdims=True)
    found = measure(points, gray(points), UP_AXES[0], 0.0)
    assert found.flatness < 0.45
    assert found.roundness > 0.9


def test_stray_points_do_not_change_the_size():
    generator = np.random.default_rng(3)
    points = box_surface(1.2, 0.8, 0.03, 8000)
    strays = np.column_stack([generator.uniform(-1.5, 1.5, (30, 2)), generator.uniform(-0.5, 0.5, 30)])
    mixed = np.concatenate([points, strays])
    found = measure(mixed, gray(mixed), UP_AXES[0], 0.0)
    assert found.size_m[0] == pytest.approx(1.2, rel=0.1)
    assert found.size_m[1] == pytest.approx(0.8, rel=0.1)
    assert found.size_m[2] == pytest.approx(0.03, abs=0.02)


def test_an_l_shape_fills_less_of_its_box_than_a_rectangle():
    points = box_surface(2.0, 2.0, 0.01, 12000)
    corner = points[(points[:, 0] < -0.3) | (points[:, 1] < -0.3)]
    assert measure(corner, gray(corner), UP_AXES[0], 0.0).fill < 0.75


def test_without_a_floor_there_are_sizes_but_no_heights():
    points = box_surface(0.3, 0.2, 0.1)
    found = measure(points, gray(points), UP_AXES[0], float("nan"), "surface")
    assert math.isnan(found.bottom_height_m)
    assert math.isnan(found.top_height_m)
    assert found.size_m[2] == pytest.approx(0.1, rel=0.05)
    assert found.supported_by == "surface"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_few_points_are_not_measured(count):
    points = np.zeros((count, 3), dtype=np.float32)
    found = measure(points, gray(points), UP_AXES[0], 0.0)
    assert all(math.isnan(value) for value in found.size_m)
    assert math.isnan(found.flatness)


@pytest.mark.parametrize("points", [np.zeros((50, 3)), np.linspace(0, 1, 50)[:, None] * np.array([1.0, 0.0, 0.0])])
def test_a_point_or_a_line_gives_finite_measures(points):
    found = measure(points, gray(points), UP_AXES[0], 0.0)
    assert np.isfinite([*found.size_m, found.flatness, found.horizontality, found.roundness, found.fill]).all()


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="measure: expected points"):
        measure(np.zeros((5, 3)), np.zeros((4, 3), dtype=np.uint8), UP_AXES[0], 0.0)


def test_a_description_says_what_was_measured():
    points = placed(box_surface(2.9, 1.0, 0.03) + np.array([0, 0, 0.73]), UP_AXES[1], 0.3)
    text = describe_attributes(measure(points, gray(points), UP_AXES[1], 0.0, "floor"))
    assert text.startswith("flat level gray top, 0.7")
    assert text.endswith("on the floor")
