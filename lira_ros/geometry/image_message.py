"""Pixels of ROS image messages as arrays, by the fields of sensor_msgs/Image and CompressedImage alone.

No message class is needed, so the same code reads messages of rclpy and messages of a bag. Colour becomes
(H, W, 3) uint8 RGB; depth becomes (H, W) float32 metres with 0 = invalid (REP-118: 16UC1 millimetres or 32FC1
metres; 0, NaN and infinity are invalid).
"""

from __future__ import annotations

import io
import struct
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lira_ros.geometry.depth import meters_from_float, meters_from_millimeters
from lira_ros.geometry.rvl import decode_rvl

# Colour encodings: number of channels, and the cv2 conversion to RGB (None = is RGB already).
COLOR_ENCODINGS: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "yuv422": (2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2RGB_YUY2),
}
# mono16 is what drivers without REP-118 call their millimetres.
DEPTH_ENCODINGS: dict[str, str] = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}
# The largest picture that is decoded, 8K UHD: a header of a few bytes must not ask for gigabytes.
LARGEST_PIXELS = 7680 * 4320
# compressed_depth_image_transport: enum compressionFormat (int32) and float32 quantisation A, B before the PNG; with
# RVL the number of columns and rows (int32) follow.
_COMPRESSED_DEPTH_HEADER = struct.Struct("<iff")
_RVL_SIZE = struct.Struct("<ii")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class ImageMessageError(ValueError):
    """An image message cannot be what it claims; names topic, what was expected and what came."""


class ImageFields(Protocol):
    """The fields of sensor_msgs/Image that are read here."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


class CompressedImageFields(Protocol):
    """The fields of sensor_msgs/CompressedImage that are read here."""

    format: str
    data: Any


def _pixels(message: ImageFields, topic: str, dtype: str, channels: int) -> NDArray[Any]:
    """Return the pixels of an image as (H, W) or (H, W, channels) in native byte order; checks sizes by name."""
    element = np.dtype(dtype)
    row_bytes = message.width * channels * element.itemsize
    if message.width == 0 or message.height == 0:
        raise ImageMessageError(f"{topic}: expected an image of at least 1 x 1, got {message.width} x {message.height}")
    if message.step < row_bytes:
        raise ImageMessageError(
            f"{topic}: expected a step of at least {row_bytes} bytes for width {message.width} and encoding "
            f"{message.encoding}, got {message.step}"
        )
    # The last row may be shorter than step: some drivers leave its padding away.
    needed = message.step * (message.height - 1) + row_bytes
    if len(message.data) < needed:
        raise ImageMessageError(
            f"{topic}: expected {needed} bytes of data for {message.width} x {message.height} {message.encoding} "
            f"with step {message.step}, got {len(message.data)} (truncated)"
        )
    buffer = np.frombuffer(message.data, dtype=np.uint8)
    rows = np.lib.stride_tricks.as_strided(buffer, (message.height, row_bytes), (message.step, 1), writeable=False)
    pixels = np.ascontiguousarray(rows).view(element.newbyteorder(">" if message.is_bigendian else "<"))
    pixels = pixels.astype(element, copy=False)
    return pixels.reshape(message.height, message.width, channels) if channels > 1 else pixels


def color_from_image(message: ImageFields, topic: str) -> NDArray[np.uint8]:
    """Return a colour image as (H, W, 3) uint8 RGB; raises ImageMessageError for what it cannot be."""
    if message.encoding not in COLOR_ENCODINGS:
        raise ImageMessageError(
            f"{topic}: expected encoding {', '.join(COLOR_ENCODINGS)} for colour, got {message.encoding!r}"
        )
    channels, conversion = COLOR_ENCODINGS[message.encoding]
    pixels = _pixels(message, topic, "u1", channels)
    if conversion is None:
        return pixels
    if channels == 2 and message.width % 2:
        raise ImageMessageError(f"{topic}: expected an even width for {message.encoding}, got {message.width}")
    return np.asarray(cv2.cvtColor(pixels, conversion), dtype=np.uint8)


def ids_from_image(message: ImageFields, topic: str) -> NDArray[np.int32]:
    """Return a 32SC1 image of ids as (H, W) int32; raises ImageMessageError for what it cannot be."""
    if message.encoding != "32SC1":
        raise ImageMessageError(f"{topic}: expected encoding 32SC1 for ids, got {message.encoding!r}")
    return _pixels(message, topic, "i4", 1)


def depth_from_image(message: ImageFields, topic: str) -> NDArray[np.float32]:
    """Return a depth image as (H, W) float32 [m], 0 = invalid; raises ImageMessageError for what it cannot be."""
    if message.encoding not in DEPTH_ENCODINGS:
        raise ImageMessageError(
            f"{topic}: expected encoding {', '.join(DEPTH_ENCODINGS)} for depth, got {message.encoding!r}"
        )
    dtype = DEPTH_ENCODINGS[message.encoding]
    pixels = _pixels(message, topic, dtype, 1)
    return meters_from_millimeters(pixels) if dtype == "u2" else meters_from_float(pixels)


def _encoded_size(data: bytes) -> tuple[int, int]:
    """Return width and height that an encoded image claims to have, 0 x 0 when it is none."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    # The readers of formats raise what they like on broken data.
    except Exception:
        return 0, 0


def _decoded(data: Any, flags: int, topic: str) -> NDArray[Any]:
    buffer = np.frombuffer(data, dtype=np.uint8)
    width, height = _encoded_size(buffer.tobytes())
    if width * height > LARGEST_PIXELS:
        raise ImageMessageError(f"{topic}: expected at most {LARGEST_PIXELS} pixels (8K), got {width} x {height}")
    image = cv2.imdecode(buffer, flags) if width * height else None
    if image is None:
        raise ImageMessageError(
            f"{topic}: expected a JPEG or PNG image, got {buffer.size} bytes that cannot be decoded (truncated?)"
        )
    return image


def color_from_compressed(message: CompressedImageFields, topic: str) -> NDArray[np.uint8]:
    """Return a JPEG or PNG colour image as (H, W, 3) uint8 RGB; raises ImageMessageError when it is broken.

    A JPEG that ends before its end marker is refused: the decoder would fill the missing part with grey.
    """
    data = bytes(message.data)
    if data[:2] == b"\xff\xd8" and b"\xff\xd9" not in data[-64:]:
        raise ImageMessageError(f"{topic}: expected a complete JPEG, got {len(data)} bytes without an end (truncated)")
    image = _decoded(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, topic)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def depth_from_compressed(message: CompressedImageFields, topic: str) -> NDArray[np.float32]:
    """Return a compressed depth image as (H, W) float32 [m], 0 = invalid.

    Accepts the format of compressed_depth_image_transport (a header of 12 bytes before PNG or RVL; 16UC1, or 32FC1
    quantised as inverse depth: depth = A / (value - B)) and a plain 16-bit PNG of millimetres.
    """
    data = bytes(message.data)
    quantization = None
    if not data.startswith(_PNG_SIGNATURE):
        head, data = data[: _COMPRESSED_DEPTH_HEADER.size], data[_COMPRESSED_DEPTH_HEADER.size :]
        is_rvl = message.format.endswith("rvl") and len(data) >= _RVL_SIZE.size
        if not (is_rvl or data.startswith(_PNG_SIGNATURE)):
            raise ImageMessageError(
                f"{topic}: expected a 16-bit PNG, with or without the header of compressedDepth, or RVL, got "
                f"{len(message.data)} bytes of format {message.format!r}"
            )
        _, a, b = _COMPRESSED_DEPTH_HEADER.unpack(head)
        quantization = (a, b) if message.format.startswith("32FC1") else None
        if is_rvl:
            return _meters(_rvl_pixels(data, topic), quantization)
    if b"IEND" not in data[-16:]:
        raise ImageMessageError(f"{topic}: expected a complete PNG, got {len(data)} bytes without an end (truncated)")
    image = _decoded(data, cv2.IMREAD_UNCHANGED, topic)
    if image.ndim != 2 or image.dtype != np.uint16:
        raise ImageMessageError(f"{topic}: expected 16-bit depth with one channel, got {image.shape} {image.dtype}")
    return _meters(image, quantization)


def _rvl_pixels(data: bytes, topic: str) -> NDArray[np.uint16]:
    width, height = _RVL_SIZE.unpack_from(data)
    if not (width > 0 and height > 0 and width * height <= LARGEST_PIXELS):
        raise ImageMessageError(f"{topic}: expected at most {LARGEST_PIXELS} pixels (8K), got {width} x {height}")
    try:
        return decode_rvl(data[_RVL_SIZE.size :], width, height)
    except ValueError as error:
        raise ImageMessageError(f"{topic}: {error}") from None


def _meters(image: NDArray[np.uint16], quantization: tuple[float, float] | None) -> NDArray[np.float32]:
    if quantization is None:
        return meters_from_millimeters(image)
    a, b = quantization
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = a / (image.astype(np.float32) - b)
    depth[image == 0] = 0.0
    return meters_from_float(depth)


# --- encoding ---------------------------------------------------------------------------------------------------------


def to_millimeters(depth_m: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Return depth [m] as 16-bit millimetres; what is beyond 65.534 m becomes invalid (0), not a wrong distance."""
    millimeters = np.rint(depth_m * 1000.0)
    return np.where(millimeters > 65534, 0, millimeters).astype("<u2")


def encoded_color(color: NDArray[np.uint8], quality: int) -> tuple[str, bytes]:
    """Return (H, W, 3) uint8 RGB as JPEG of ``quality`` (1 to 100), or without loss as PNG (0), after its format."""
    name, extension, options = "jpeg", ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality]
    if quality == 0:
        name, extension, options = "png", ".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]
    ok, data = cv2.imencode(extension, cv2.cvtColor(color, cv2.COLOR_RGB2BGR), options)
    if not ok:
        raise ValueError(f"color: cannot be encoded as {name.upper()}, shape {color.shape}")
    return f"rgb8; {name} compressed bgr8", data.tobytes()


def encoded_depth(depth_m: NDArray[np.float32]) -> tuple[str, bytes]:
    """Return (H, W) float32 depth [m] as a plain PNG of 16-bit millimetres, after its format."""
    # Run lengths suit filtered depth: a sixth smaller than the default strategy at level 1, and faster; higher levels
    # change nothing then.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    ok, data = cv2.imencode(".png", to_millimeters(depth_m), options)
    if not ok:
        raise ValueError(f"depth_m: cannot be encoded as PNG, shape {depth_m.shape}")
    return "16UC1; png", data.tobytes()
