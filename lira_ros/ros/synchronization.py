"""Colour, depth and camera info of the same moment, and their assembly to a Frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import message_filters
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lira_ros.configuration import parameter
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame
from lira_ros.geometry.registration import registered_depth
from lira_ros.ros import qos
from lira_ros.ros.conversions.camera import CameraModel, camera_model
from lira_ros.ros.conversions.image import (
    color_from_compressed,
    color_from_image,
    depth_from_compressed,
    depth_from_image,
)
from lira_ros.ros.conversions.time import stamp_to_ns
from lira_ros.ros.errors import ConversionError
from lira_ros.ros.node import LiraNode

# Two intrinsics that differ by less than this describe the same pixels.
SAME_INTRINSICS_PX = 0.5
# Stamps that stay behind by more than this, and rise among themselves for a few frames, are a recording that started
# again without /clock; a single one is an error of its sender.
RESTART_NS = 1_000_000_000
RESTART_FRAMES = 5


@dataclass(frozen=True)
class CameraInputConfiguration:
    """How the images of the camera arrive."""

    image_transport: str = parameter(
        "raw",
        "raw: sensor_msgs/Image; compressed: /compressed and /compressedDepth below color/image and depth/image",
        choices=("raw", "compressed"),
    )
    images_rectified: bool = parameter(
        False, "The images were rectified upstream: P of camera_info holds, and its distortion is not applied again"
    )
    sync_slop_s: float = parameter(
        0.02, "Largest difference of the stamps of colour, depth and camera_info [s]", minimum=0.0, maximum=1.0
    )
    sync_queue_size: int = parameter(
        30, "Messages of each input kept while their partners are on the way", minimum=2, maximum=1000
    )
    sensor_reliable: bool = parameter(
        False,
        "Subscribe to the camera reliably (nothing is lost while the node keeps up, but a best-effort camera is not "
        "received at all)",
    )


@dataclass(frozen=True)
class ImageSet:
    """Messages of one moment. depth_info: the newest depth/camera_info, None when there was none yet."""

    color: Any
    depth: Any
    info: CameraInfo
    depth_info: CameraInfo | None

    @property
    def stamp_ns(self) -> int:
        """Return the stamp of colour, which is the stamp of the frame."""
        return stamp_to_ns(self.color.header.stamp)


class ImageSynchronizer:
    """Subscribe to the camera and deliver sets of messages whose stamps agree (approximate time).

    ``deliver`` is called in the executor thread and must only queue the set.
    """

    def __init__(
        self,
        node: LiraNode,
        configuration: CameraInputConfiguration,
        deliver: Callable[[ImageSet], None],
        namespace: str = "",
    ) -> None:
        """Subscribe below ``namespace``, which ends with a slash where it is not empty."""
        self.sets = 0
        self._deliver = deliver
        self._depth_info: CameraInfo | None = None
        profile = qos.stream(qos.SENSOR_DEPTH) if configuration.sensor_reliable else qos.sensor_input()
        compressed = configuration.image_transport == "compressed"
        image_type = CompressedImage if compressed else Image
        color, depth = message_filters.SimpleFilter(), message_filters.SimpleFilter()
        info = message_filters.SimpleFilter()
        # As image_transport does: the base name is remapped, the transport is appended to what it became.
        color_topic, depth_topic = (
            node.resolve_topic_name(namespace + name) for name in ("color/image", "depth/image")
        )
        if compressed:
            color_topic, depth_topic = f"{color_topic}/compressed", f"{depth_topic}/compressedDepth"
        self.color = node.subscribe(
            image_type, color_topic, color.signalMessage, profile, role=f"{namespace}color/image"
        )
        self.depth = node.subscribe(
            image_type, depth_topic, depth.signalMessage, profile, role=f"{namespace}depth/image"
        )
        self.info = node.subscribe(CameraInfo, f"{namespace}color/camera_info", info.signalMessage, profile)
        self.depth_info = node.subscribe(
            CameraInfo, f"{namespace}depth/camera_info", self._set_depth_info, profile, required=False
        )
        self._synchronizer = message_filters.ApproximateTimeSynchronizer(
            [color, depth, info], configuration.sync_queue_size, configuration.sync_slop_s
        )
        self._synchronizer.registerCallback(self._synchronized)

    def _set_depth_info(self, message: CameraInfo) -> None:
        self._depth_info = message

    def _synchronized(self, color: Any, depth: Any, info: CameraInfo) -> None:
        self.sets += 1
        self._deliver(ImageSet(color, depth, info, self._depth_info))

    def missing(self) -> str | None:
        """Return why no set comes about although all topics are alive, in words, or None."""
        entries = (self.color, self.depth, self.info)
        if self.sets or any(entry.messages < 5 or entry.last_stamp_ns is None for entry in entries):
            return None
        stamps = ", ".join(f"{entry.topic} {entry.last_stamp_ns / 1e9:.3f} s" for entry in entries)
        return f"images of the same moment: the stamps never agree within sync_slop_s; the last ones are {stamps}"


class FrameAssembler:
    """Turn a set of messages and a pose into a Frame: decoded, rectified and registered.

    ``extrinsic(color_frame, depth_frame, stamp_ns)`` returns T_color_depth from TF, or None.
    """

    def __init__(
        self,
        topics: tuple[str, str, str, str],
        configuration: CameraInputConfiguration,
        extrinsic: Callable[[str, str, int], NDArray[np.float64] | None],
    ) -> None:
        """Set the resolved names of color/image, depth/image, color/camera_info and depth/camera_info."""
        self._color_topic, self._depth_topic, self._info_topic, self._depth_info_topic = topics
        self._rectified = configuration.images_rectified
        self._compressed = configuration.image_transport == "compressed"
        self._extrinsic = extrinsic
        # The camera seldom changes; its rectification maps take longer to compute than a frame.
        self._models: dict[str, tuple[tuple[Any, ...], CameraModel]] = {}

    def assemble(self, images: ImageSet, T_map_camera: NDArray[np.float64]) -> Frame:
        """Return the frame; raises ConversionError naming the topic of whatever cannot be used."""
        model = self._model(images.info, self._info_topic)
        camera = model.camera
        read_color = color_from_compressed if self._compressed else color_from_image
        color = read_color(images.color, self._color_topic)
        self._check_size(color.shape, camera, self._color_topic, self._info_topic)
        read_depth = depth_from_compressed if self._compressed else depth_from_image
        depth_m = read_depth(images.depth, self._depth_topic)
        depth_m = self._registered(depth_m, images, model)
        if not depth_m.any():
            raise ConversionError(
                f"{self._depth_topic}: expected at least one valid depth, got only zero, NaN or infinity"
            )
        if model.rectification is not None:
            color = model.rectification.color(color)
        frame_id = images.color.header.frame_id.lstrip("/")
        return Frame(images.stamp_ns, color, depth_m, camera, T_map_camera, frame_id)

    def _model(self, info: CameraInfo, topic: str) -> CameraModel:
        region = info.roi
        key = (
            info.width,
            info.height,
            tuple(info.k),
            tuple(info.p),
            tuple(info.d),
            info.distortion_model,
            (info.binning_x, info.binning_y),
            (region.x_offset, region.y_offset, region.width, region.height),
        )
        known = self._models.get(topic)
        if known is None or known[0] != key:
            known = self._models[topic] = (key, camera_model(info, topic, rectified=self._rectified))
        return known[1]

    @staticmethod
    def _check_size(shape: tuple[int, ...], camera: Camera, topic: str, info_topic: str) -> None:
        if shape[:2] != (camera.height_px, camera.width_px):
            raise ConversionError(
                f"{topic}: expected {camera.width_px} x {camera.height_px} pixels as {info_topic} says, "
                f"got {shape[1]} x {shape[0]}"
            )

    def _registered(self, depth_m: NDArray[np.float32], images: ImageSet, model: CameraModel) -> NDArray[np.float32]:
        """Return depth in the pixels of the rectified colour camera."""
        camera = model.camera
        color_frame = images.color.header.frame_id.lstrip("/")
        depth_frame = images.depth.header.frame_id.lstrip("/")
        same_size = depth_m.shape == (camera.height_px, camera.width_px)
        info = images.depth_info
        own_model = None
        if info is not None and info.header.frame_id.lstrip("/") == depth_frame:
            own_model = self._model(info, self._depth_info_topic)
        if same_size and color_frame == depth_frame and (own_model is None or _same(own_model.camera, camera)):
            return depth_m if model.rectification is None else model.rectification.depth(depth_m)
        wanted = (
            f"{self._depth_topic}: expected depth registered to {self._color_topic} "
            f"({camera.width_px} x {camera.height_px}, frame {color_frame!r}), "
            f"got {depth_m.shape[1]} x {depth_m.shape[0]} in frame {depth_frame!r}"
        )
        if own_model is None:
            raise ConversionError(
                f"{wanted}; it could be reprojected, but no camera info of that frame came on {self._depth_info_topic}"
            )
        same_frame = color_frame == depth_frame
        T_color_depth = np.eye(4) if same_frame else self._extrinsic(color_frame, depth_frame, images.stamp_ns)
        if T_color_depth is None:
            raise ConversionError(
                f"{wanted}; it could be reprojected, but TF has no transform from {depth_frame!r} to {color_frame!r}"
            )
        self._check_size(depth_m.shape, own_model.camera, self._depth_topic, self._depth_info_topic)
        if own_model.rectification is not None:
            depth_m = own_model.rectification.depth(depth_m)
        return registered_depth(depth_m, own_model.camera, camera, T_color_depth)


def _same(a: Camera, b: Camera) -> bool:
    return (a.width_px, a.height_px) == (b.width_px, b.height_px) and all(
        abs(getattr(a, name) - getattr(b, name)) < SAME_INTRINSICS_PX for name in ("fx", "fy", "cx", "cy")
    )


class StampOrder:
    """Tell stamps that rise from single ones that do not, and from a recording that started again."""

    def __init__(self) -> None:
        self.newest_ns: int | None = None
        self._behind: list[int] = []

    def judge(self, stamp_ns: int) -> str:
        """Return "rises", "behind" (refuse this one) or "restart" (the stamps start again from here)."""
        if self.newest_ns is None or stamp_ns > self.newest_ns:
            self.newest_ns = stamp_ns
            self._behind.clear()
            return "rises"
        if self.newest_ns - stamp_ns < RESTART_NS or (self._behind and stamp_ns <= self._behind[-1]):
            self._behind.clear()
            return "behind"
        self._behind.append(stamp_ns)
        if len(self._behind) < RESTART_FRAMES:
            return "behind"
        self.newest_ns = stamp_ns
        self._behind.clear()
        return "restart"

    def clear(self) -> None:
        """Forget all stamps."""
        self.newest_ns = None
        self._behind.clear()
