"""CvBridge for mono, colour (8 and 16 bit) and OpenCV-typed ("16UC1", "32FC1", ...) images."""

from __future__ import annotations

import array
import re
import sys

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

_BIG_ENDIAN = sys.byteorder == "big"

# Encodings of sensor_msgs/image_encodings.hpp with the meaning of their channels.
_COLOR_ENCODINGS = {
    "mono8": (np.uint8, "mono"),
    "mono16": (np.uint16, "mono"),
    "rgb8": (np.uint8, "rgb"),
    "bgr8": (np.uint8, "bgr"),
    "rgba8": (np.uint8, "rgba"),
    "bgra8": (np.uint8, "bgra"),
    "rgb16": (np.uint16, "rgb"),
    "bgr16": (np.uint16, "bgr"),
    "rgba16": (np.uint16, "rgba"),
    "bgra16": (np.uint16, "bgra"),
}
_CHANNELS = {"mono": 1, "rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4}
_OPENCV_TYPES = {
    "8U": np.uint8,
    "8S": np.int8,
    "16U": np.uint16,
    "16S": np.int16,
    "32S": np.int32,
    "32F": np.float32,
    "64F": np.float64,
}
_OPENCV_NAMES = {np.dtype(dtype): name for name, dtype in _OPENCV_TYPES.items()}
_OPENCV_ENCODING = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)C([1-9]\d*)")


class CvBridgeError(TypeError):
    """An image cannot be converted; says which and why."""


class CvBridge:
    """Convert sensor_msgs/Image and CompressedImage to and from NumPy arrays as OpenCV uses them."""

    def encoding_to_dtype_with_channels(self, encoding: str) -> tuple[np.dtype, int]:
        """Return the data type and the number of channels of an encoding."""
        if encoding in _COLOR_ENCODINGS:
            dtype, channels = _COLOR_ENCODINGS[encoding]
            return np.dtype(dtype), _CHANNELS[channels]
        match = _OPENCV_ENCODING.fullmatch(encoding)
        if match is None:
            raise CvBridgeError(f"Unrecognized image encoding [{encoding}]")
        return np.dtype(_OPENCV_TYPES[match[1]]), int(match[2])

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> np.ndarray:
        """Return the image (height, width) or (height, width, channels), converted unless "passthrough".

        Honours step and byte order. Raises CvBridgeError for an unknown encoding or a senseless conversion.
        """
        dtype, channels = self.encoding_to_dtype_with_channels(img_msg.encoding)
        stored = dtype.newbyteorder(">" if img_msg.is_bigendian else "<")
        shape: tuple[int, ...] = (img_msg.height, img_msg.width)
        strides: tuple[int, ...] = (img_msg.step, dtype.itemsize * channels)
        if channels > 1:
            shape, strides = (*shape, channels), (*strides, dtype.itemsize)
        try:
            if img_msg.step < img_msg.width * channels * dtype.itemsize:
                raise ValueError("rows overlap")
            image = np.ndarray(shape, stored, np.frombuffer(img_msg.data, np.uint8), strides=strides)
        except (TypeError, ValueError) as error:
            raise CvBridgeError(
                f"Image is wrongly formed: {len(img_msg.data)} bytes do not hold {img_msg.height} rows of "
                f"{img_msg.width} pixels {img_msg.encoding} with a step of {img_msg.step} bytes"
            ) from error
        image = np.ascontiguousarray(image, dtype=dtype)
        return self._convert(image, img_msg.encoding, desired_encoding)

    def compressed_imgmsg_to_cv2(
        self, cmprs_img_msg: CompressedImage, desired_encoding: str = "passthrough"
    ) -> np.ndarray:
        """Return the decompressed image; "passthrough" gives what OpenCV decodes (bgr8 for JPEG)."""
        image = cv2.imdecode(np.frombuffer(cmprs_img_msg.data, np.uint8), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise CvBridgeError(f"Cannot decompress an image of format [{cmprs_img_msg.format}]")
        if desired_encoding == "passthrough":
            return image
        channels = 1 if image.ndim == 2 else image.shape[2]
        bits = 8 * image.dtype.itemsize
        return self._convert(image, {1: "mono", 3: "bgr", 4: "bgra"}[channels] + str(bits), desired_encoding)

    def cv2_to_imgmsg(self, cvim: np.ndarray, encoding: str = "passthrough", header: Header | None = None) -> Image:
        """Return the message of an image that already is in this encoding ("passthrough": its OpenCV type)."""
        if not isinstance(cvim, np.ndarray):
            raise TypeError("Your input type is not a numpy array")
        channels = 1 if cvim.ndim == 2 else cvim.shape[2]
        opencv_type = f"{_OPENCV_NAMES[cvim.dtype.newbyteorder('=')]}C{channels}"
        if encoding == "passthrough":
            encoding = opencv_type
        elif self.encoding_to_dtype_with_channels(encoding) != (cvim.dtype.newbyteorder("="), channels):
            raise CvBridgeError(f"encoding specified as {encoding}, but image has incompatible type {opencv_type}")
        data = array.array("B")
        data.frombytes(np.ascontiguousarray(cvim).tobytes())
        message = Image(height=cvim.shape[0], width=cvim.shape[1], encoding=encoding, data=data)
        message.is_bigendian = int(cvim.dtype.byteorder == ">" or (cvim.dtype.byteorder == "=" and _BIG_ENDIAN))
        message.step = len(data) // cvim.shape[0] if cvim.shape[0] else 0
        if header is not None:
            message.header = header
        return message

    def cv2_to_compressed_imgmsg(self, cvim: np.ndarray, dst_format: str = "jpg") -> CompressedImage:
        """Return the message of an image compressed by OpenCV (colour images in BGR order)."""
        if not isinstance(cvim, np.ndarray):
            raise TypeError("Your input type is not a numpy array")
        success, compressed = cv2.imencode("." + dst_format, cvim)
        if not success:
            raise CvBridgeError(f"Cannot compress an image {cvim.shape} {cvim.dtype} as {dst_format}")
        data = array.array("B")
        data.frombytes(compressed.tobytes())
        return CompressedImage(format=dst_format, data=data)

    def _convert(self, image: np.ndarray, source: str, target: str) -> np.ndarray:
        if target in ("passthrough", source):
            return image
        source_dtype, source_channels = self.encoding_to_dtype_with_channels(source)
        target_dtype, target_channels = self.encoding_to_dtype_with_channels(target)
        if source in _COLOR_ENCODINGS and target in _COLOR_ENCODINGS:
            source_meaning, target_meaning = _COLOR_ENCODINGS[source][1], _COLOR_ENCODINGS[target][1]
            if source_meaning != target_meaning:
                names = [{"mono": "GRAY"}.get(meaning, meaning.upper()) for meaning in (source_meaning, target_meaning)]
                image = cv2.cvtColor(image, getattr(cv2, f"COLOR_{names[0]}2{names[1]}"))
        elif target in _COLOR_ENCODINGS:
            raise CvBridgeError(
                f"[{source}] is not a color format. but [{target}] is. The conversion does not make sense"
            )
        elif source_channels != target_channels:
            raise CvBridgeError(f"[{source}] and [{target}] do not have the same number of channel")
        if source_dtype == target_dtype:
            return image
        # As cv_bridge does it: 8 and 16 bit mean the same range of brightness, all other values are kept.
        scale = {("uint8", "uint16"): 65535 / 255, ("uint16", "uint8"): 255 / 65535}.get(
            (source_dtype.name, target_dtype.name), 1.0
        )
        scaled = image * scale
        if target_dtype.kind in "iu":
            limits = np.iinfo(target_dtype)
            scaled = np.clip(np.rint(scaled), limits.min, limits.max)
        return scaled.astype(target_dtype)
