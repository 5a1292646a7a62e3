"""A keyframe as it is sent and saved: its images as image files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry import image_message
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.geometry.pose import checked_transform


@dataclass(frozen=True)
class PackedKeyframe:
    """A keyframe with its colour as JPEG or PNG and its depth as PNG of 16-bit millimetres.

    color_format, depth_format: as in sensor_msgs/CompressedImage. The rest is as in Keyframe and Frame. Raises
    ValueError for an id, a pose or a direction that is none.
    """

    id: int
    stamp_ns: int
    camera: Camera
    T_map_camera: NDArray[np.float64]
    up: NDArray[np.float64]
    floor_height_m: float
    color_format: str
    depth_format: str
    color: bytes | memoryview
    depth: bytes | memoryview

    def __post_init__(self) -> None:
        """Check what is there without looking into the images."""
        if self.id < 1:
            raise ValueError(f"keyframe id: must be at least 1, got {self.id}")
        checked_transform(self.T_map_camera, f"keyframe {self.id}: T_map_camera")
        if self.up.shape != (3,) or abs(float(np.linalg.norm(self.up)) - 1.0) > 1e-6:
            raise ValueError(f"keyframe {self.id}: up: expected a unit vector, got {self.up}")

    @property
    def nbytes(self) -> int:
        """Return the memory of its images [bytes]."""
        return len(self.color) + len(self.depth)

    @classmethod
    def of(cls, keyframe: Keyframe, jpeg_quality: int = 95) -> PackedKeyframe:
        """Encode a keyframe: colour as JPEG, or as PNG for quality 0, depth rounded to 1 mm."""
        frame = keyframe.frame
        color_format, color = image_message.encoded_color(frame.color, jpeg_quality)
        depth_format, depth = image_message.encoded_depth(frame.depth_m)
        return cls(
            keyframe.id,
            frame.stamp_ns,
            frame.camera,
            frame.T_map_camera,
            keyframe.up,
            keyframe.floor_height_m,
            color_format,
            depth_format,
            color,
            depth,
        )

    def at(self, T_map_camera: NDArray[np.float64]) -> PackedKeyframe:
        """Return the keyframe with another (4, 4) pose."""
        return replace(self, T_map_camera=T_map_camera)

    def unpack(self) -> Keyframe:
        """Decode the images; raises ValueError that names the keyframe when they are broken or of another size."""
        name = f"keyframe {self.id}"
        color = image_message.color_from_compressed(
            SimpleNamespace(format=self.color_format, data=self.color), f"{name}: colour"
        )
        depth_m = image_message.depth_from_compressed(
            SimpleNamespace(format=self.depth_format, data=self.depth), f"{name}: depth"
        )
        frame = Frame(self.stamp_ns, color, depth_m, self.camera, self.T_map_camera)
        return Keyframe(self.id, frame, self.up, self.floor_height_m)
