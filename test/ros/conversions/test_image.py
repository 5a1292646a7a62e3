"""Images <-> numpy: every encoding, padding, byte order, and what is refused."""

import struct
from array import array

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from lira_ros.ros.conversions import image as conversions
from lira_ros.ros.errors import ConversionError

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)
DEPTH = (RNG.integers(0, 9000, (6, 5)) / 1000).astype(np.float32)


def message(encoding, pixels, step=None, big=False):
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1).view(np.uint8)
    step = step or rows.shape[1]
    padded = np.full((height, step), 0xAB, dtype=np.uint8)
    padded[:, : rows.shape[1]] = rows
    result = Image(height=height, width=width, encoding=encoding, step=step, is_bigendian=int(big))
    result.data = array("B", padded.tobytes())
    return result


@pytest.mark.parametrize("padding", [0, 7])
@pytest.mark.parametrize(
    ("encoding", "pixels", "expected"),
    [
        ("rgb8", COLOR, COLOR),
        ("bgr8", np.ascontiguousarray(COLOR[..., ::-1]), COLOR),
        ("rgba8", np.dstack([COLOR, np.full((6, 5), 9, np.uint8)]), COLOR),
        ("bgra8", np.dstack([COLOR[..., ::-1], np.full((6, 5), 9, np.uint8)]), COLOR),
        ("mono8", np.ascontiguousarray(COLOR[..., 0]), np.repeat(COLOR[..., :1], 3, axis=2)),
    ],
)
def test_colour_encodings(encoding, pixels, expected, padding):
    step = pixels[0].nbytes + padding
    np.testing.assert_array_equal(conversions.color_from_image(message(encoding, pixels, step), "/c"), expected)


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding", ["16UC1", "mono16", "32FC1"])
def test_depth_encodings(encoding, big, padding):
    dtype = ">" if big else "<"
    meters, millimeters = DEPTH.astype(dtype + "f4"), np.rint(DEPTH * 1000).astype(dtype + "u2")
    pixels = meters if encoding == "32FC1" else millimeters
    depth = conversions.depth_from_image(message(encoding, pixels, pixels[0].nbytes + padding, big), "/d")
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, DEPTH, atol=1e-6)


def test_invalid_depths_become_zero():
    pixels = np.array([[np.nan, np.inf, -np.inf, -1.0, 0.0, 2.0]], dtype=np.float32)
    depth = conversions.depth_from_image(message("32FC1", pixels), "/d")
    np.testing.assert_array_equal(depth, [[0, 0, 0, 0, 0, 2]])


def test_a_short_last_row_is_accepted():
    original = message("rgb8", COLOR, 20)
    original.data = original.data[:-5]
    np.testing.assert_array_equal(conversions.color_from_image(original, "/c"), COLOR)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"encoding": "bayer_rggb8"}, "/c: expected encoding .*got 'bayer_rggb8'"),
        ({"encoding": "16UC1"}, "/c: expected encoding .*got '16UC1'"),
        ({"step": 3}, "/c: expected a step of at least 15 bytes .*got 3"),
        ({"height": 7}, "/c: expected 105 bytes .*got 90 .truncated"),
        ({"width": 0}, "/c: expected an image of at least 1 x 1, got 0 x 6"),
        ({"data": array("B")}, "got 0 .truncated"),
    ],
)
def test_wrong_colour_is_refused_by_name(change, text):
    wrong = message("rgb8", COLOR)
    for name, value in change.items():
        setattr(wrong, name, value)
    with pytest.raises(ConversionError, match=text):
        conversions.color_from_image(wrong, "/c")


def test_colour_is_not_depth():
    with pytest.raises(ConversionError, match="/d: expected encoding 16UC1, mono16, 32FC1 for depth, got 'rgb8'"):
        conversions.depth_from_image(message("rgb8", COLOR), "/d")


def test_image_round_trips():
    result = conversions.image_to_message(COLOR, "rgb8", 12, "camera")
    assert (result.header.frame_id, result.header.stamp.nanosec) == ("camera", 12)
    np.testing.assert_array_equal(conversions.color_from_image(result, "/c"), COLOR)
    for encoding in ("16UC1", "32FC1"):
        result = conversions.depth_to_message(DEPTH, 0, "camera", encoding)
        np.testing.assert_allclose(conversions.depth_from_image(result, "/d"), DEPTH, atol=1e-6)
    with pytest.raises(ValueError, match="mono8: expected"):
        conversions.image_to_message(COLOR, "mono8", 0, "camera")


def test_depth_beyond_16_bits_becomes_invalid():
    depth = np.array([[65.534, 65.535, 65.6, 100.0]], dtype=np.float32)
    result = conversions.depth_from_image(conversions.depth_to_message(depth, 0, ""), "/d")
    np.testing.assert_allclose(result, [[65.534, 0, 0, 0]], atol=1e-4)


def test_compressed_round_trips():
    smooth = cv2.GaussianBlur(RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8), (0, 0), 6)
    color = conversions.color_from_compressed(conversions.color_to_compressed(smooth, Header(), 95), "/c")
    assert np.abs(color.astype(int) - smooth).max() < 12
    png = CompressedImage(format="rgb8; png compressed bgr8")
    png.data = conversions.bytes_array(cv2.imencode(".png", COLOR[..., ::-1])[1])
    np.testing.assert_array_equal(conversions.color_from_compressed(png, "/c"), COLOR)
    depth = conversions.depth_from_compressed(conversions.depth_to_compressed(DEPTH, Header()), "/d")
    np.testing.assert_allclose(depth, DEPTH, atol=1e-6)


def compressed_depth(text, values, a=0.0, b=0.0):
    result = CompressedImage(format=text)
    png = cv2.imencode(".png", values)[1].tobytes()
    result.data = array("B", struct.pack("<iff", 0, a, b) + png)
    return result


def test_compressed_depth_of_image_transport():
    millimetres = np.rint(DEPTH * 1000).astype(np.uint16)
    depth = conversions.depth_from_compressed(compressed_depth("16UC1; compressedDepth png", millimetres), "/d")
    np.testing.assert_allclose(depth, DEPTH, atol=1e-6)
    # 32FC1: inverse depth quantised with the formulas and defaults of compressed_depth_image_transport
    a, depth_max = 100.0 * 101.0, 10.0
    b = 1.0 - a / depth_max
    known = np.clip(DEPTH, 0.5, 9.0)
    quantised = np.rint(a / known + b).astype(np.uint16)
    quantised[0, 0] = 0
    depth = conversions.depth_from_compressed(compressed_depth("32FC1; compressedDepth png", quantised, a, b), "/d")
    assert depth[0, 0] == 0
    np.testing.assert_allclose(depth.ravel()[1:], known.ravel()[1:], rtol=2e-3)


def test_broken_compressed_images_are_refused():
    good = conversions.color_to_compressed(RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8), Header())
    for data in (good.data[:200], array("B"), array("B", b"hello")):
        broken = CompressedImage(format="jpeg", data=data)
        with pytest.raises(ConversionError, match="/c: expected"):
            conversions.color_from_compressed(broken, "/c")
    png = conversions.depth_to_compressed(DEPTH, Header())
    for data in (png.data[:-20], array("B"), good.data):
        broken = CompressedImage(format="16UC1; png", data=data)
        with pytest.raises(ConversionError, match="/d: expected"):
            conversions.depth_from_compressed(broken, "/d")
    eight_bit = CompressedImage(format="png", data=array("B", cv2.imencode(".png", COLOR)[1].tobytes()))
    with pytest.raises(ConversionError, match="expected 16-bit depth"):
        conversions.depth_from_compressed(eight_bit, "/d")


def test_images_of_ids_round_trip_and_others_are_refused():
    ids = np.array([[0, 7, 2**31 - 1]], dtype=np.int32)
    np.testing.assert_array_equal(conversions.ids_from_image(message("32SC1", ids), "/m"), ids)
    with pytest.raises(ConversionError, match="/m: expected encoding 32SC1 for ids, got 'rgb8'"):
        conversions.ids_from_image(message("rgb8", COLOR), "/m")
