"""What is no depth in every encoding of a depth image: 0 and 65535 millimetres, NaN, infinity, negative metres."""

import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from lira_ros.geometry.image_message import depth_from_compressed, depth_from_image

MILLIMETRES = np.array([[0, 65535, 1, 1234], [65534, 2000, 65535, 0]], np.uint16)
METRES = np.array([[0, 0, 0.001, 1.234], [65.534, 2.0, 0, 0]], np.float32)
FLOATS = np.array([[np.nan, np.inf, -np.inf, -1.5], [0.0, 2.5, -0.0, 1e-3]], np.float32)


def image(pixels, encoding, is_bigendian=0):
    order = ">" if is_bigendian else "<"
    return SimpleNamespace(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=is_bigendian,
        step=pixels.shape[1] * pixels.itemsize,
        data=pixels.astype(pixels.dtype.newbyteorder(order)).tobytes(),
    )


def png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.mark.parametrize("is_bigendian", [0, 1])
@pytest.mark.parametrize("encoding", ["16UC1", "mono16"])
def test_both_marks_of_invalid_millimetres(encoding, is_bigendian):
    depth = depth_from_image(image(MILLIMETRES, encoding, is_bigendian), "depth")
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, METRES, rtol=1e-6)


@pytest.mark.parametrize("is_bigendian", [0, 1])
def test_floats_that_are_no_depth(is_bigendian):
    depth = depth_from_image(image(FLOATS, "32FC1", is_bigendian), "depth")
    np.testing.assert_array_equal(depth, np.array([[0, 0, 0, 0], [0, 2.5, 0, 1e-3]], np.float32))


@pytest.mark.parametrize("header", [b"", struct.pack("<iff", 0, 0.0, 0.0)], ids=["plain PNG", "compressedDepth"])
def test_both_marks_in_compressed_millimetres(header):
    message = SimpleNamespace(format="16UC1; compressedDepth png", data=header + png(MILLIMETRES))
    np.testing.assert_allclose(depth_from_compressed(message, "depth"), METRES, rtol=1e-6)


def test_inverse_depth_of_compressed_floats():
    # depth = A / (value - B): 0 is invalid, and what comes out infinite or negative is no depth either.
    a, b = 3000.0, 100.0
    values = np.array([[0, 100, 50, 1600], [3100, 65535, 0, 101]], np.uint16)
    message = SimpleNamespace(format="32FC1; compressedDepth png", data=struct.pack("<iff", 0, a, b) + png(values))
    expected = np.array([[0, 0, 0, 2.0], [1.0, 3000 / 65435, 0, 3000]], np.float32)
    np.testing.assert_allclose(depth_from_compressed(message, "depth"), expected, rtol=1e-6)
