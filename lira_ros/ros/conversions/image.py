"""sensor_msgs/Image and CompressedImage <-> numpy, without cv_bridge (which some distributions break with NumPy 2).

Colour becomes (H, W, 3) uint8 RGB. Depth becomes (H, W) float32 metres with 0 = invalid. The pixels themselves are
read by lira_ros.geometry.image_message, as those of recorded messages are.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from lira_ros.geometry import image_message
from lira_ros.ros.conversions.time import stamp_from_ns
from lira_ros.ros.errors import ConversionError

# Encodings that image_to_message() writes, with the dtype and the channels of their pixels.
_WRITTEN_ENCODINGS: dict[str, tuple[str, int]] = {
    "rgb8": ("|u1", 3),
    "mono8": ("|u1", 1),
    "16UC1": ("<u2", 1),
    "32FC1": ("<f4", 1),
    "32SC1": ("<i4", 1),
}


def bytes_array(data: bytes | memoryview | NDArray[Any]) -> array[int]:
    """Return data as array('B'), the only form that both rclpy of Humble and of Jazzy assign without a slow check."""
    result = array("B")
    if isinstance(data, np.ndarray):
        data = memoryview(np.ascontiguousarray(data)).cast("B") if data.size else b""
    result.frombytes(data)
    return result


@contextmanager
def _named() -> Iterator[None]:
    """Turn what the pixel reader refuses into the error of this border."""
    try:
        yield
    except image_message.ImageMessageError as error:
        raise ConversionError(str(error)) from error


def color_from_image(message: Image, topic: str) -> NDArray[np.uint8]:
    """Return rgb8, bgr8, rgba8, bgra8 or mono8 as (H, W, 3) uint8 RGB; raises ConversionError."""
    with _named():
        return image_message.color_from_image(message, topic)


def depth_from_image(message: Image, topic: str) -> NDArray[np.float32]:
    """Return 16UC1 (mm), mono16 (mm) or 32FC1 (m) as (H, W) float32 [m], 0 = invalid; raises ConversionError."""
    with _named():
        return image_message.depth_from_image(message, topic)


def ids_from_image(message: Image, topic: str) -> NDArray[np.int32]:
    """Return 32SC1 as (H, W) int32 ids, 0 = none; raises ConversionError."""
    with _named():
        return image_message.ids_from_image(message, topic)


def color_from_compressed(message: CompressedImage, topic: str) -> NDArray[np.uint8]:
    """Return a JPEG or PNG colour image as (H, W, 3) uint8 RGB; raises ConversionError when it is broken."""
    with _named():
        return image_message.color_from_compressed(message, topic)


def depth_from_compressed(message: CompressedImage, topic: str) -> NDArray[np.float32]:
    """Return compressedDepth or a plain 16-bit PNG as (H, W) float32 [m], 0 = invalid; raises ConversionError."""
    with _named():
        return image_message.depth_from_compressed(message, topic)


def image_to_message(pixels: NDArray[Any], encoding: str, stamp_ns: int, frame_id: str) -> Image:
    """Return (H, W) or (H, W, 3) pixels as a message; encoding: rgb8, mono8, 16UC1, 32FC1 or 32SC1.

    Raises ValueError when shape or dtype do not fit the encoding.
    """
    dtype, channels = _WRITTEN_ENCODINGS[encoding]
    if pixels.dtype != np.dtype(dtype) or (pixels.shape[2:] or (1,)) != (channels,):
        raise ValueError(
            f"{encoding}: expected {dtype} pixels with {channels} channels, got {pixels.shape} {pixels.dtype}"
        )
    height, width = pixels.shape[:2]
    message = Image(
        header=Header(stamp=stamp_from_ns(stamp_ns), frame_id=frame_id),
        height=height,
        width=width,
        encoding=encoding,
        step=channels * pixels.itemsize * width,
    )
    message.data = bytes_array(pixels)
    return message


def depth_to_message(depth_m: NDArray[np.float32], stamp_ns: int, frame_id: str, encoding: str = "16UC1") -> Image:
    """Return (H, W) float32 depth [m] as a message of 16UC1 millimetres (rounded) or 32FC1 metres."""
    pixels = image_message.to_millimeters(depth_m) if encoding == "16UC1" else depth_m
    return image_to_message(pixels, encoding, stamp_ns, frame_id)


def color_to_compressed(color: NDArray[np.uint8], header: Any, quality: int = 95) -> CompressedImage:
    """Return a (H, W, 3) uint8 RGB image as JPEG of ``quality`` (1 to 100), or without loss as PNG (0)."""
    return encoded_to_message(*image_message.encoded_color(color, quality), header)


def depth_to_compressed(depth_m: NDArray[np.float32], header: Any) -> CompressedImage:
    """Return (H, W) float32 depth [m] as a plain PNG of 16-bit millimetres."""
    return encoded_to_message(*image_message.encoded_depth(depth_m), header)


def encoded_to_message(image_format: str, data: bytes | memoryview, header: Any) -> CompressedImage:
    """Return an encoded image as a message."""
    message = CompressedImage(header=header, format=image_format)
    message.data = bytes_array(data)
    return message
