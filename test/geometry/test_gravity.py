from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.depth import meters_from_millimeters
from lira_ros.geometry.frame import Frame
from lira_ros.geometry.gravity import FREEZE_AFTER_KEYFRAMES, UP_AXES, GravityEstimator

CAMERA = Camera(120, 90, 100.0, 100.0, 59.5, 44.5)
KITCHEN = Path(__file__).parents[3] / "shared" / "data" / "hololens_kitchen"
ROOM_M = np.array([2.5, 2.0, 1.3])  # half sizes; +z is up, the floor lies at -1.3


def view(yaw_deg, tilt_deg, roll_deg=0.0, position=(0.0, 0.0, 0.2), boxes=((0.8, 0.0, -0.9, 0.5, 0.4, 0.4),)):
    """A look into a furnished room, tilted down by tilt_deg; boxes: centre and half sizes."""
    look = Rotation.from_euler("z", yaw_deg, degrees=True) * Rotation.from_euler("y", tilt_deg, degrees=True)
    optical = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], float)
    T = np.eye(4)
    T[:3, :3] = look.as_matrix() @ optical @ Rotation.from_euler("z", roll_deg, degrees=True).as_matrix()
    T[:3, 3] = position
    u, v = np.meshgrid(np.arange(120), np.arange(90))
    local = np.stack([(u - 59.5) / 100, (v - 44.5) / 100, np.ones((90, 120))], axis=-1)
    rays = local @ T[:3, :3].T
    rays[rays == 0] = 1e-12
    depth = ((np.sign(rays) * ROOM_M - T[:3, 3]) / rays).min(axis=-1)
    for box in boxes:
        centre, half = np.array(box[:3]), np.array(box[3:])
        a, b = (centre - half - T[:3, 3]) / rays, (centre + half - T[:3, 3]) / rays
        near, far = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
        depth = np.where((near < far) & (near > 0) & (near < depth), near, depth)
    rng = np.random.default_rng(1000 + int(yaw_deg * 7 + tilt_deg))
    depth += rng.normal(0, 1, depth.shape) * (0.0012 + 0.0019 * (depth - 0.4) ** 2)
    color = np.zeros((90, 120, 3), np.uint8)
    return Frame(0, color, depth.astype(np.float32), CAMERA, T)


def turned(frame, rotation):
    T = np.eye(4)
    T[:3, :3] = rotation
    return Frame(frame.stamp_ns, frame.color, frame.depth_m, frame.camera, T @ frame.T_map_camera)


def error_deg(up, expected):
    return float(np.degrees(np.arccos(np.clip(up @ expected, -1, 1))))


@pytest.mark.parametrize("axis", list(UP_AXES))
def test_a_given_axis_is_kept_and_the_floor_found_along_it(axis):
    estimator = GravityEstimator(axis)
    assert estimator.is_frozen
    assert np.isnan(estimator.floor_height_m)
    rotation, _ = Rotation.align_vectors([UP_AXES[axis]], [[0.0, 0.0, 1.0]])
    estimator.add_keyframe(turned(view(10, 35), rotation.as_matrix()))
    np.testing.assert_array_equal(estimator.up, UP_AXES[axis])
    assert estimator.floor_height_m == pytest.approx(-1.3, abs=0.02)


@pytest.mark.parametrize("tilt_deg", [-5, 15, 30, 50])
@pytest.mark.parametrize("axis", ["+z", "+y", "-y"])
def test_the_first_view_of_a_room_snaps_to_the_axis(axis, tilt_deg):
    rotation, _ = Rotation.align_vectors([UP_AXES[axis]], [[0.0, 0.0, 1.0]])
    estimator = GravityEstimator()
    estimator.add_keyframe(turned(view(25, tilt_deg, roll_deg=3), rotation.as_matrix()))
    np.testing.assert_array_equal(estimator.up, UP_AXES[axis])


def test_a_map_that_lies_askew_is_found_by_its_planes():
    rotation = Rotation.from_euler("xyz", [25, -30, 40], degrees=True).as_matrix()
    expected = rotation[:, 2]
    estimator = GravityEstimator()
    for i in range(6):
        estimator.add_keyframe(turned(view(20 * i, 40, roll_deg=4 - 2 * i), rotation))
    assert error_deg(estimator.up, expected) < 1.0
    assert estimator.floor_height_m == pytest.approx(-1.3, abs=0.03)


def test_walls_alone_tell_up_when_no_floor_is_seen():
    rotation = Rotation.from_euler("xyz", [25, -30, 40], degrees=True).as_matrix()
    estimator = GravityEstimator()
    for i in range(5):
        estimator.add_keyframe(turned(view(15 + 25 * i, 0, position=(1.8, 1.4, 0.0), boxes=()), rotation))
    assert error_deg(estimator.up, rotation[:, 2]) < 3.0


def test_without_depth_the_camera_is_taken_to_be_level():
    frame = view(30, 10)
    blind = Frame(0, frame.color, np.zeros_like(frame.depth_m), CAMERA, frame.T_map_camera)
    estimator = GravityEstimator()
    estimator.add_keyframe(blind)
    assert error_deg(estimator.up, np.array([0, 0, 1.0])) < 30
    assert np.isnan(estimator.floor_height_m)


def test_a_table_is_not_taken_for_the_floor():
    table = ((1.2, 0.0, -0.6, 0.9, 1.2, 0.02),)  # a slab 0.7 m above the floor
    estimator = GravityEstimator("+z")
    close = view(0, 70, position=(1.0, 0.0, 0.6), boxes=table)
    estimator.add_keyframe(close)
    first = estimator.floor_height_m
    estimator.add_keyframe(view(180, 40, boxes=table))
    assert estimator.floor_height_m == pytest.approx(-1.3, abs=0.02)
    estimator.add_keyframe(close)
    assert estimator.floor_height_m == pytest.approx(-1.3, abs=0.02)
    assert np.isnan(first) or first < -0.5  # a slab that fills the view cannot be told from a floor


def test_a_little_floor_between_furniture_is_enough():
    boxes = ((1.6, 0.0, -0.9, 0.8, 1.9, 0.4),)  # a counter all along the wall, 0.8 m high
    estimator = GravityEstimator()
    for yaw in (-10, 0, 10):
        estimator.add_keyframe(view(yaw, 42, position=(-0.3, 0.0, 0.3), boxes=boxes))
    np.testing.assert_array_equal(estimator.up, (0, 0, 1))
    assert estimator.floor_height_m == pytest.approx(-1.3, abs=0.03)


def test_a_few_points_below_the_floor_do_not_move_it():
    frame = view(0, 40)
    depth = frame.depth_m.copy()
    depth[60:64, 30:36] *= 1.3  # a reflection
    estimator = GravityEstimator("+z")
    estimator.add_keyframe(Frame(0, frame.color, depth, CAMERA, frame.T_map_camera))
    assert estimator.floor_height_m == pytest.approx(-1.3, abs=0.02)


def test_up_is_frozen_and_reset_forgets():
    estimator = GravityEstimator()
    for i in range(FREEZE_AFTER_KEYFRAMES):
        assert not estimator.is_frozen
        estimator.add_keyframe(view(18 * i, 30))
    assert estimator.is_frozen
    up = estimator.up
    for _ in range(3):
        estimator.add_keyframe(turned(view(0, 30), Rotation.from_euler("x", 90, degrees=True).as_matrix()))
    np.testing.assert_array_equal(estimator.up, up)
    estimator.reset()
    assert not estimator.is_frozen
    assert np.isnan(estimator.floor_height_m)


def test_restored_values_are_kept_until_a_floor_is_seen():
    estimator = GravityEstimator()
    estimator.restore(np.array([0, 1.0, 0]), -1.5)
    np.testing.assert_array_equal(estimator.up, (0, 1, 0))
    assert estimator.floor_height_m == -1.5
    frame = view(0, 0)
    estimator.add_keyframe(Frame(0, frame.color, np.zeros_like(frame.depth_m), CAMERA, frame.T_map_camera))
    assert estimator.floor_height_m == -1.5


def test_unknown_axes_are_refused():
    with pytest.raises(ValueError, match="'z' is not one of auto"):
        GravityEstimator("z")


@pytest.mark.skipif(not KITCHEN.is_dir(), reason=f"the kitchen recording is not at {KITCHEN}")
@pytest.mark.parametrize("start", [0, 40, 75])
def test_the_kitchen_stands_on_its_floor(start):
    names = (KITCHEN / "frames.txt").read_text().split()
    poses = np.loadtxt(KITCHEN / "poses.txt").reshape(-1, 4, 4)
    K = np.loadtxt(KITCHEN / "K.txt")
    camera = Camera(540, 360, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
    estimator = GravityEstimator()
    for i in range(start, start + 12, 2):
        image = cv2.imread(str(KITCHEN / "depth" / f"{Path(names[i]).stem}.png"), cv2.IMREAD_UNCHANGED)
        color = np.zeros((360, 540, 3), np.uint8)
        estimator.add_keyframe(Frame(i, color, meters_from_millimeters(image), camera, poses[i]))
        np.testing.assert_array_equal(estimator.up, (0, 1, 0))
    assert estimator.floor_height_m == pytest.approx(-1.535, abs=0.04)
