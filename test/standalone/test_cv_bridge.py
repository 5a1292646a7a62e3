"""cv_bridge converts images without touching pixels that need no change."""

import cv2
import numpy as np
import pytest

cv_bridge = pytest.importorskip("cv_bridge", reason="needs ROS 2 (make setup)")

from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

BRIDGE = cv_bridge.CvBridge()
GENERATOR = np.random.default_rng(1)
BGR = GENERATOR.integers(0, 256, (6, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("encoding", "dtype", "channels"),
    [
        ("mono8", np.uint8, 1),
        ("mono16", np.uint16, 1),
        ("rgb8", np.uint8, 3),
        ("bgra8", np.uint8, 4),
        ("16UC1", np.uint16, 1),
        ("32FC1", np.float32, 1),
        ("8UC1", np.uint8, 1),
        ("64FC3", np.float64, 3),
    ],
)
def test_every_encoding_survives_the_round_trip(encoding, dtype, channels):
    shape = (4, 7) if channels == 1 else (4, 7, channels)
    image = GENERATOR.integers(0, 200, shape).astype(dtype)
    message = BRIDGE.cv2_to_imgmsg(image, encoding, header=Header(frame_id="camera"))
    assert (message.height, message.width, message.encoding, message.header.frame_id) == (4, 7, encoding, "camera")
    assert message.step == 7 * channels * np.dtype(dtype).itemsize
    back = BRIDGE.imgmsg_to_cv2(message)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, image)


def test_passthrough_names_the_opencv_type():
    assert BRIDGE.cv2_to_imgmsg(BGR).encoding == "8UC3"
    assert BRIDGE.cv2_to_imgmsg(np.zeros((2, 2), np.float32)).encoding == "32FC1"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("rgb8", BGR[..., ::-1]),
        ("bgr8", BGR),
        ("rgba8", np.dstack([BGR[..., ::-1], np.full((6, 5), 255, np.uint8)])),
        ("mono8", cv2.cvtColor(BGR, cv2.COLOR_BGR2GRAY)),
        ("bgr16", BGR.astype(np.uint16) * 257),
    ],
)
def test_colors_are_converted(target, expected):
    converted = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(BGR, "bgr8"), target)
    assert converted.dtype == expected.dtype
    np.testing.assert_array_equal(converted, expected)


def test_depth_keeps_its_values_when_its_type_changes():
    depth_mm = np.array([[0, 1234], [65535, 7]], dtype=np.uint16)
    converted = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(depth_mm, "16UC1"), "32FC1")
    assert converted.dtype == np.float32
    np.testing.assert_array_equal(converted, depth_mm)


def test_row_padding_and_byte_order_are_honoured():
    depth_mm = np.array([[1, 2, 3], [4, 5, 60000]], dtype=np.uint16)
    padded = np.zeros((2, 5), dtype=">u2")
    padded[:, :3] = depth_mm
    message = Image(height=2, width=3, encoding="16UC1", is_bigendian=1, step=10, data=padded.tobytes())
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message), depth_mm)


def test_compressed_images():
    message = BRIDGE.cv2_to_compressed_imgmsg(BGR, "png")
    assert "png" in message.format
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(message), BGR)
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(message, "rgb8"), BGR[..., ::-1])


def test_senseless_requests_are_refused():
    depth = BRIDGE.cv2_to_imgmsg(np.zeros((2, 2), np.uint16), "16UC1")
    with pytest.raises(cv_bridge.CvBridgeError, match="not a color format"):
        BRIDGE.imgmsg_to_cv2(depth, "bgr8")
    with pytest.raises(cv_bridge.CvBridgeError, match="encoding specified as bgr8"):
        BRIDGE.cv2_to_imgmsg(np.zeros((2, 2), np.uint16), "bgr8")
    with pytest.raises(TypeError):
        BRIDGE.cv2_to_imgmsg([[1, 2]])


def test_broken_images_are_refused():
    truncated = Image(height=4, width=4, encoding="mono8", step=4, data=bytes(15))
    overlapping = Image(height=4, width=4, encoding="mono8", step=3, data=bytes(16))
    unknown = Image(height=1, width=1, encoding="no such encoding", step=1, data=bytes(1))
    for message in (truncated, overlapping, unknown):
        with pytest.raises(Exception, match=r"."):
            BRIDGE.imgmsg_to_cv2(message, "bgr8")
    with pytest.raises(cv_bridge.CvBridgeError):
        BRIDGE.compressed_imgmsg_to_cv2(CompressedImage(format="jpeg", data=b"not an image"), "bgr8")
