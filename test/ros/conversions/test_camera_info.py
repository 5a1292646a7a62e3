"""CameraInfo <-> Camera: round trip, binning, region of interest, distortion, and what is refused."""

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from lira_ros.geometry.camera import Camera
from lira_ros.ros.conversions.camera import camera_model, camera_to_info
from lira_ros.ros.errors import ConversionError

CAMERA = Camera(64, 48, 50.0, 51.0, 31.0, 23.5)


def info(**changes) -> CameraInfo:
    message = camera_to_info(CAMERA, Header(frame_id="camera"))
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_round_trip():
    model = camera_model(info(), "/i")
    assert model.camera == CAMERA
    assert model.rectification is None
    assert camera_model(info(), "/i", rectified=True).camera == CAMERA


def test_zero_distortion_needs_no_rectification():
    assert camera_model(info(d=[0.0] * 5), "/i").rectification is None


def test_binning_and_region_of_interest():
    message = info(binning_x=2, binning_y=2)
    message.roi.x_offset, message.roi.y_offset, message.roi.width, message.roi.height = 8, 4, 32, 40
    assert camera_model(message, "/i").camera == Camera(16, 20, 25.0, 25.5, 11.5, 9.75)


def test_rectified_images_have_the_intrinsics_of_p():
    message = info(d=[0.1, 0.0, 0.0, 0.0, 0.0])
    message.p[0], message.p[2] = 40.0, 30.0
    model = camera_model(message, "/i", rectified=True)
    assert (model.camera.fx, model.camera.cx) == (40.0, 30.0)
    assert model.rectification is None


@pytest.mark.parametrize(
    ("name", "d"),
    [
        ("plumb_bob", [-0.2, 0.05, 0.001, -0.002, 0.0]),
        ("rational_polynomial", [0.2, 0.05, 0.0, 0.0, 0.01, 0.1, 0.0, 0.0]),
        ("equidistant", [0.1, 0.01, 0.0, 0.0]),
    ],
)
def test_distorted_points_return_to_the_pinhole(name, d):
    model = camera_model(info(distortion_model=name, d=d), "/i")
    # A point in space seen through the lens model must lie where the rectification takes its pixel from.
    points = np.array([[[0.1, 0.05, 1.0]], [[-0.2, 0.1, 1.0]], [[0.0, -0.15, 1.0]]])
    project = cv2.fisheye.projectPoints if name == "equidistant" else cv2.projectPoints
    distorted, _ = project(points, np.zeros(3), np.zeros(3), CAMERA.matrix, np.array(d))
    rectified, _ = CAMERA.project(points[:, 0])
    for (x, y), (u, v) in zip(rectified, distorted.reshape(-1, 2), strict=True):
        sample = np.array([[x, y]], dtype=np.float32)[None]
        got_u = cv2.remap(model.rectification.map_x, sample[..., 0], sample[..., 1], cv2.INTER_LINEAR)[0, 0]
        got_v = cv2.remap(model.rectification.map_y, sample[..., 0], sample[..., 1], cv2.INTER_LINEAR)[0, 0]
        assert (got_u, got_v) == pytest.approx((u, v), abs=0.05)


def test_depth_is_rectified_without_mixing():
    model = camera_model(info(distortion_model="plumb_bob", d=[-0.2, 0.05, 0.0, 0.0, 0.0]), "/i")
    depth = np.ones((48, 64), dtype=np.float32)
    depth[:, 32:] = 3.0
    assert set(np.unique(model.rectification.depth(depth))) <= {0.0, 1.0, 3.0}
    color = np.zeros((48, 64, 3), dtype=np.uint8)
    assert model.rectification.color(color).shape == color.shape


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"k": [0.0] * 9}, "/i: expected finite intrinsics .*fx=0"),
        ({"k": [float("nan")] * 9}, "/i: expected finite intrinsics .*fx=nan"),
        ({"k": [-50.0, 0, 31, 0, 50, 23, 0, 0, 1]}, "fx=-50"),
        ({"width": 0}, "/i: expected an image size .*got 0 x 48"),
        ({"d": [0.1] * 5, "distortion_model": "magic"}, "/i: expected distortion model .*'magic'"),
        ({"d": [0.1] * 3}, "/i: expected 4 or 5 coefficients for plumb_bob, got 3"),
        ({"d": [float("nan")] * 5}, "/i: expected finite distortion"),
    ],
)
def test_wrong_camera_infos_are_refused_by_name(changes, text):
    with pytest.raises(ConversionError, match=text):
        camera_model(info(**changes), "/i")
