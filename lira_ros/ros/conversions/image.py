"""sensor_msgs/Image and CompressedImage <-> numpy, without cv_bridge (which some distributions break with NumPy 2).

Colour becomes (H, W, 3) uint8 RGB. Depth becomes (H, W) float32 metres with 0 = invalid (REP-118: 16UC1 millimetres
or 32FC1 metres; 0, NaN and infinity are invalid).
"""

from __future__ import annotations

import struct
from array import array
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from lira_ros.geometry.depth import meters_from_float, meters_from_millimeters
from lira_ros.ros.errors import ConversionError

__all__ = [
    "ConversionError",
    "color_from_compressed",
    "color_from_image",
    "color_to_compressed",
    "color_to_image",
    "depth_from_compressed",
    "depth_from_image",
    "depth_to_compressed",
    "depth_to_image",
]

# Colour encodings: number of channels, and the cv2 conversion to RGB (None = is RGB already).
_COLOR_ENCODINGS: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
}
# mono16 is what drivers without REP-118 call their millimetres.
_DEPTH_ENCODINGS: dict[str, str] = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}
# compressed_depth_image_transport: enum compressionFormat (int32) and float32 quantisation A, B before the PNG.
_COMPRESSED_DEPTH_HEADER = struct.Struct("<iff")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def bytes_array(data: bytes | memoryview | NDArray[Any]) -> array[int]:
    """Return data as array('B'), the only form that both rclpy of Humble and of Jazzy assign without a slow check."""
    result = array("B")
    if isinstance(data, np.ndarray):
        data = memoryview(np.ascontiguousarray(data)).cast("B") if data.size else b""
    result.frombytes(data)
    return result


def _pixels(message: Image, topic: str, dtype: str, channels: int) -> NDArray[Any]:
    """Return the pixels of an image as (H, W) or (H, W, channels) in native byte order; checks sizes by name."""
    element = np.dtype(dtype)
    row_bytes = message.width * channels * element.itemsize
    if message.width == 0 or message.height == 0:
        raise ConversionError(f"{topic}: expected an image of at least 1 x 1, got {message.width} x {message.height}")
    if message.step < row_bytes:
        raise ConversionError(
            f"{topic}: expected a step of at least {row_bytes} bytes for width {message.width} and encoding "
            f"{message.encoding}, got {message.step}"
        )
    # The last row may be shorter than step: some drivers leave its padding away.
    needed = message.step * (message.height - 1) + row_bytes
    if len(message.data) < needed:
        raise ConversionError(
            f"{topic}: expected {needed} bytes of data for {message.width} x {message.height} {message.encoding} "
            f"with step {message.step}, got {len(message.data)} (truncated)"
        )
    buffer = np.frombuffer(message.data, dtype=np.uint8)
    rows = np.lib.stride_tricks.as_strided(buffer, (message.height, row_bytes), (message.step, 1), writeable=False)
    pixels = np.ascontiguousarray(rows).view(element.newbyteorder(">" if message.is_bigendian else "<"))
    pixels = pixels.astype(element, copy=False)
    return pixels.reshape(message.height, message.width, channels) if channels > 1 else pixels


def color_from_image(message: Image, topic: str) -> NDArray[np.uint8]:
    """Return a colour image as (H, W, 3) uint8 RGB; raises ConversionError for what it cannot be."""
    if message.encoding not in _COLOR_ENCODINGS:
        raise ConversionError(
            f"{topic}: expected encoding {', '.join(_COLOR_ENCODINGS)} for colour, got {message.encoding!r}"
        )
    channels, conversion = _COLOR_ENCODINGS[message.encoding]
    pixels = _pixels(message, topic, "u1", channels)
    return pixels if conversion is None else cv2.cvtColor(pixels, conversion)


def color_to_image(color: NDArray[np.uint8], header: Any) -> Image:
    """Return a (H, W, 3) uint8 RGB image as an rgb8 message."""
    height, width = color.shape[:2]
    message = Image(header=header, height=height, width=width, encoding="rgb8", step=3 * width)
    message.data = bytes_array(color)
    return message


def depth_from_image(message: Image, topic: str) -> NDArray[np.float32]:
    """Return a depth image as (H, W) float32 [m], 0 = invalid; raises ConversionError for what it cannot be."""
    if message.encoding not in _DEPTH_ENCODINGS:
        raise ConversionError(
            f"{topic}: expected encoding {', '.join(_DEPTH_ENCODINGS)} for depth, got {message.encoding!r}"
        )
    dtype = _DEPTH_ENCODINGS[message.encoding]
    pixels = _pixels(message, topic, dtype, 1)
    return meters_from_millimeters(pixels) if dtype == "u2" else meters_from_float(pixels)


def depth_to_image(depth_m: NDArray[np.float32], header: Any, encoding: str = "16UC1") -> Image:
    """Return (H, W) float32 depth [m] as a message of 16UC1 millimetres (rounded, saturating) or 32FC1 metres."""
    height, width = depth_m.shape
    pixels = to_millimetres(depth_m) if encoding == "16UC1" else depth_m.astype("<f4", copy=False)
    message = Image(header=header, height=height, width=width, encoding=encoding, step=pixels.itemsize * width)
    message.data = bytes_array(pixels)
    return message


def to_millimetres(depth_m: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Return depth [m] as 16-bit millimetres; what is beyond 65.535 m becomes invalid (0), not a wrong distance."""
    millimetres = np.rint(depth_m * 1000.0)
    return np.where(millimetres > 65535, 0, millimetres).astype("<u2")


def _decoded(data: Any, flags: int, topic: str) -> NDArray[Any]:
    buffer = np.frombuffer(data, dtype=np.uint8)
    image = cv2.imdecode(buffer, flags) if buffer.size else None
    if image is None:
        raise ConversionError(
            f"{topic}: expected a JPEG or PNG image, got {buffer.size} bytes that cannot be decoded (truncated?)"
        )
    return image


def color_from_compressed(message: CompressedImage, topic: str) -> NDArray[np.uint8]:
    """Return a JPEG or PNG colour image as (H, W, 3) uint8 RGB; raises ConversionError when it is broken.

    A JPEG that ends before its end marker is refused: the decoder would fill the missing part with grey.
    """
    data = bytes(message.data)
    if data[:2] == b"\xff\xd8" and b"\xff\xd9" not in data[-64:]:
        raise ConversionError(f"{topic}: expected a complete JPEG, got {len(data)} bytes without an end (truncated)")
    image = _decoded(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, topic)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def color_to_compressed(color: NDArray[np.uint8], header: Any, quality: int = 95) -> CompressedImage:
    """Return a (H, W, 3) uint8 RGB image as JPEG of ``quality`` (1 to 100)."""
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(color, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ValueError(f"color: cannot be encoded as JPEG, shape {color.shape}")
    message = CompressedImage(header=header, format="rgb8; jpeg compressed bgr8")
    message.data = bytes_array(data)
    return message


def depth_from_compressed(message: CompressedImage, topic: str) -> NDArray[np.float32]:
    """Return a compressed depth image as (H, W) float32 [m], 0 = invalid.

    Accepts the format of compressed_depth_image_transport (a header of 12 bytes before the PNG; 16UC1, or 32FC1
    quantised as inverse depth: depth = A / (value - B)) and a plain 16-bit PNG of millimetres.
    """
    data = bytes(message.data)
    quantization = None
    if not data.startswith(_PNG_SIGNATURE):
        if data[_COMPRESSED_DEPTH_HEADER.size :][: len(_PNG_SIGNATURE)] != _PNG_SIGNATURE:
            raise ConversionError(
                f"{topic}: expected a 16-bit PNG, with or without the header of compressedDepth, got "
                f"{len(data)} bytes of format {message.format!r}"
            )
        _, a, b = _COMPRESSED_DEPTH_HEADER.unpack_from(data)
        quantization = (a, b) if message.format.startswith("32FC1") else None
        data = data[_COMPRESSED_DEPTH_HEADER.size :]
    if b"IEND" not in data[-16:]:
        raise ConversionError(f"{topic}: expected a complete PNG, got {len(data)} bytes without an end (truncated)")
    image = _decoded(data, cv2.IMREAD_UNCHANGED, topic)
    if image.ndim != 2 or image.dtype != np.uint16:
        raise ConversionError(f"{topic}: expected 16-bit depth with one channel, got {image.shape} {image.dtype}")
    if quantization is None:
        return meters_from_millimeters(image)
    a, b = quantization
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = a / (image.astype(np.float32) - b)
    depth[image == 0] = 0.0
    return meters_from_float(depth)


def depth_to_compressed(depth_m: NDArray[np.float32], header: Any, level: int = 1) -> CompressedImage:
    """Return (H, W) float32 depth [m] as a plain PNG of 16-bit millimetres; level 0 (fast) to 9 (small)."""
    ok, data = cv2.imencode(".png", to_millimetres(depth_m), [cv2.IMWRITE_PNG_COMPRESSION, level])
    if not ok:
        raise ValueError(f"depth_m: cannot be encoded as PNG, shape {depth_m.shape}")
    message = CompressedImage(header=header, format="16UC1; png")
    message.data = bytes_array(data)
    return message
