import numpy as np
import pytest

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe

CAMERA = Camera(8, 6, 10.0, 10.0, 3.5, 2.5)


def frame(**changes):
    values = {
        "stamp_ns": 5,
        "color": np.zeros((6, 8, 3), np.uint8),
        "depth_m": np.ones((6, 8), np.float32),
        "camera": CAMERA,
        "T_map_camera": np.eye(4),
    }
    return Frame(**{**values, **changes})


def test_a_good_frame_is_taken():
    assert frame().T_map_camera.dtype == np.float64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"color": np.zeros((8, 6, 3), np.uint8)}, "color: expected"),
        ({"color": np.zeros((6, 8), np.uint8)}, "color: expected"),
        ({"color": np.zeros((6, 8, 3), np.float32)}, "color: expected"),
        ({"depth_m": np.ones((3, 4), np.float32)}, "depth_m: expected"),
        ({"depth_m": np.ones((6, 8), np.uint16)}, "depth_m: expected"),
        ({"depth_m": np.full((6, 8), np.nan, np.float32)}, "depth_m: must be finite"),
        ({"depth_m": np.full((6, 8), -1.0, np.float32)}, "depth_m: must be finite and not negative"),
        ({"T_map_camera": np.full((4, 4), np.nan)}, "T_map_camera: contains NaN"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        frame(**changes)


def test_keyframes_count_from_one_and_know_up():
    keyframe = Keyframe(1, frame(), [0, 0, 1], float("nan"))
    assert keyframe.up.dtype == np.float64
    with pytest.raises(ValueError, match="at least 1"):
        Keyframe(0, frame(), np.array([0, 0, 1.0]), 0.0)
    with pytest.raises(ValueError, match="unit vector"):
        Keyframe(1, frame(), np.array([0, 0, 2.0]), 0.0)
