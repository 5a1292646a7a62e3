from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lira_ros.datasets.rooms import RoomSequence
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


def still_imu(estimator, up, count=100, start=0):
    """Feed an IMU at rest at 100 Hz."""
    for i in range(start, start + count):
        assert estimator.add_acceleration(9.81 * np.asarray(up), i * 10_000_000, (0.0, 0.0, 0.01))


def test_an_imu_tells_up_and_the_floor_is_found_along_it():
    rotation = Rotation.from_euler("xyz", [25, -30, 40], degrees=True).as_matrix()
    estimator = GravityEstimator("imu")
    still_imu(estimator, rotation[:, 2])
    assert estimator.source == "imu"
    assert error_deg(estimator.up, rotation[:, 2]) < 1e-3
    estimator.add_keyframe(turned(view(10, 35), rotation))
    assert estimator.floor_height_m == pytest.approx(-1.3, abs=0.02)
    assert error_deg(estimator.up, rotation[:, 2]) < 1e-3
    assert estimator.imu_samples == {"accepted": 100, "old": 0, "invalid": 0, "accelerated": 0, "turning": 0}


def test_until_the_imu_speaks_the_scene_does_and_the_floor_is_counted_anew():
    rotation = Rotation.from_euler("xyz", [25, -30, 40], degrees=True).as_matrix()
    estimator = GravityEstimator("imu")
    for i in range(FREEZE_AFTER_KEYFRAMES + 5):
        estimator.add_keyframe(turned(view(20 * i, 40), rotation))
    assert estimator.source == "scene"
    assert not estimator.is_frozen
    assert error_deg(estimator.up, rotation[:, 2]) < 1.0
    # Not exactly the scene's direction: the measured one is taken, and the floor found along it.
    measured = Rotation.from_rotvec([0.0, 0.03, 0.0]).as_matrix() @ rotation[:, 2]
    still_imu(estimator, measured)
    assert error_deg(estimator.up, measured) < 1e-3
    assert estimator.floor_height_m == pytest.approx(-1.3, abs=0.06)


def test_a_map_that_is_level_but_for_the_bias_of_the_imu_stays_level_and_settles():
    estimator = GravityEstimator("imu")
    tilt = Rotation.from_euler("x", 2.5, degrees=True).as_matrix()
    still_imu(estimator, tilt[:, 2], 2000)
    np.testing.assert_array_equal(estimator.up, (0, 0, 1))
    assert estimator.is_frozen
    still_imu(estimator, (1, 0, 0), 10_000, 2000)
    np.testing.assert_array_equal(estimator.up, (0, 0, 1))


def test_a_moving_imu_says_nothing():
    estimator = GravityEstimator("imu")
    for i in range(200):
        assert not estimator.add_acceleration((4.0, 0, 9.81), i * 10_000_000)
    assert estimator.source == "scene"
    assert estimator.imu_samples["accelerated"] == 200


def test_the_orientation_of_an_imu_is_taken_as_well():
    estimator = GravityEstimator("imu")
    R_world_imu = Rotation.from_euler("xyz", [100, 20, 30], degrees=True)
    T_map_imu = np.eye(4)
    T_map_imu[:3, :3] = (Rotation.from_euler("x", 40, degrees=True) * R_world_imu).as_matrix()
    for i in range(100):
        assert estimator.add_orientation(R_world_imu.as_quat(), T_map_imu, i * 10_000_000)
    expected = Rotation.from_euler("x", 40, degrees=True).as_matrix()[:, 2]
    assert error_deg(estimator.up, expected) < 1e-3


def test_tf_tells_up_and_may_change_it():
    rotation = Rotation.from_euler("xyz", [25, -30, 40], degrees=True).as_matrix()
    estimator = GravityEstimator("tf")
    estimator.add_keyframe(turned(view(10, 35), rotation))
    assert estimator.set_direction(2.0 * rotation[:, 2])
    assert estimator.source == "tf"
    assert error_deg(estimator.up, rotation[:, 2]) < 1e-6
    assert estimator.floor_height_m == pytest.approx(-1.3, abs=0.03)
    assert not estimator.set_direction(Rotation.from_rotvec([1e-3, 0, 0]).as_matrix() @ rotation[:, 2])
    assert estimator.set_direction((0, 1, 0))
    np.testing.assert_array_equal(estimator.up, (0, 1, 0))
    assert not estimator.is_frozen
    for bad in ((0, 0, 0), (0, np.nan, 1), (0, 1)):
        with pytest.raises(ValueError, match="direction against gravity"):
            estimator.set_direction(bad)


@pytest.mark.parametrize("up", ["auto", "+z"])
def test_what_was_not_asked_for_is_not_listened_to(up):
    estimator = GravityEstimator(up)
    assert not estimator.add_acceleration((9.81, 0, 0), 0)
    assert not estimator.add_orientation((0, 0, 0, 1), np.eye(4), 0)
    assert not estimator.set_direction((1, 0, 0))
    np.testing.assert_array_equal(estimator.up, (0, 0, 1))


@pytest.mark.parametrize("up", ["auto", "imu", "tf"])
def test_everything_moves_when_the_map_frame_jumps(up):
    estimator = GravityEstimator(up)
    if up == "imu":
        still_imu(estimator, (0, 0, 1))
    if up == "tf":
        estimator.set_direction((0, 0, 1))
    for yaw in (0, 40, 80):
        estimator.add_keyframe(view(yaw, 35))
    jump = np.eye(4)
    jump[:3, :3] = Rotation.from_euler("xyz", [25, -30, 40], degrees=True).as_matrix()
    jump[:3, 3] = 1.0, 2.0, 3.0
    estimator.move(jump)
    expected = float(jump[:3, 2] @ (jump[:3, :3] @ (0, 0, -1.3) + jump[:3, 3]))
    assert error_deg(estimator.up, jump[:3, 2]) < 1e-6
    assert estimator.floor_height_m == pytest.approx(expected, abs=0.03)
    ground = estimator.ground
    np.testing.assert_allclose(ground.heights_m(np.array([jump[:3, :3] @ (0, 0, 0.2) + jump[:3, 3]])), 1.5, atol=0.03)
    moved = view(120, 35)
    estimator.add_keyframe(Frame(0, moved.color, moved.depth_m, CAMERA, jump @ moved.T_map_camera))
    assert error_deg(estimator.up, jump[:3, 2]) < 1.0
    assert estimator.floor_height_m == pytest.approx(expected, abs=0.05)


def stairs(first_m, riser_m, count, start_x=0.5, tread_m=0.28):
    """Steps along +x between y = -0.6 and 0.6, each a box on the ground of the room."""
    steps = []
    for k in range(count):
        low, high = start_x + tread_m * k, start_x + tread_m * (k + 1)
        top = first_m + riser_m * (k + 1)
        steps.append((0.5 * (low + high), 0.0, 0.5 * (top - 1.3), 0.5 * tread_m, 0.6, 0.5 * (top + 1.3)))
    return steps


@pytest.mark.parametrize("up", ["auto", "+z"])
def test_stairs_that_go_up_do_not_lift_the_floor(up):
    estimator = GravityEstimator(up)
    boxes = (*stairs(-1.3, 0.17, 6), (-1.0, 1.2, -0.6, 0.5, 0.4, 0.02))  # and a table
    for tilt in (20, 35, 50):
        estimator.add_keyframe(view(0, tilt, position=(-1.2, 0.0, 0.2), boxes=boxes))
        assert estimator.floor_height_m == pytest.approx(-1.3, abs=0.03)


def test_at_the_head_of_stairs_the_floor_is_where_one_stands():
    # A floor at -0.3 with steps in an opening of it, down to the ground of the room at -1.3.
    floor = [(x, y, -0.8, hx, hy, 0.5) for x, y, hx, hy in ((-1, 0, 1.5, 2), (1.5, 1.3, 1, 0.7), (1.5, -1.3, 1, 0.7))]
    boxes = (*floor, *stairs(-0.3, -0.167, 5))
    estimator = GravityEstimator("+z")
    for yaw, tilt in ((0, 45), (0, 60), (180, 40), (90, 40)):
        estimator.add_keyframe(view(yaw, tilt, position=(-0.6, 0.0, 1.0), boxes=boxes))
    assert estimator.floor_height_m == pytest.approx(-0.3, abs=0.03)


@pytest.mark.parametrize("seed", [0, 3])
def test_a_generated_room_stands_on_its_floor(seed):
    sequence = RoomSequence(seed=seed, rate_hz=0.5, width_px=160, duration_s=16.0)
    estimator = GravityEstimator()
    for index in range(len(sequence)):
        estimator.add_keyframe(sequence.frame(index))
        assert error_deg(estimator.up, np.array([0, 0, 1.0])) < 1e-6
    assert estimator.floor_height_m == pytest.approx(0.0, abs=0.02)
