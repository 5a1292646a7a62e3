"""Frames in: the images of one or several cameras, each with its pose, assembled and checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from numpy.typing import NDArray

from lira_ros.configuration import parameter, section
from lira_ros.geometry.frame import Frame
from lira_ros.ros.errors import ConversionError
from lira_ros.ros.node import LiraNode
from lira_ros.ros.poses import FrameGate, PoseSource, TopicPoses, TransformPoses
from lira_ros.ros.synchronization import (
    CameraInputConfiguration,
    FrameAssembler,
    ImageSet,
    ImageSynchronizer,
    StampOrder,
)

# How often held frames look for their pose.
POSE_PERIOD_S = 0.02


@dataclass(frozen=True)
class CameraInputsConfiguration:
    """Which cameras there are, and where their poses come from."""

    camera_names: tuple[str, ...] = parameter(
        (),
        "Several cameras into one map: the namespace of each, for example [front, back] for front/color/image and "
        "back/color/image; empty = one camera at color/image",
    )
    pose_source: str = parameter(
        "tf",
        "tf: TF at the image stamp; pose: PoseStamped of the camera's optical frame on camera_pose; "
        "odometry: Odometry on odometry",
        choices=("tf", "pose", "odometry"),
    )
    pose_timeout_s: float = parameter(
        1.0, "How long a frame waits for its pose before it is dropped [s]", minimum=0.0, maximum=60.0
    )
    pose_queue_size: int = parameter(60, "Most frames that wait for their pose", minimum=1, maximum=10000)
    frame_queue_size: int = parameter(
        15, "Most frames that wait for the map; the oldest is dropped when more come", minimum=1, maximum=10000
    )
    camera: CameraInputConfiguration = section(CameraInputConfiguration)


class _CameraInput:
    """One camera: its subscriptions, the frames that wait for their pose, and what is known of its stamps."""

    def __init__(
        self,
        node: LiraNode,
        namespace: str,
        configuration: CameraInputsConfiguration,
        poses: PoseSource,
        transforms: TransformPoses,
        deliver: Callable[[Frame, str], None],
        queue: Callable[[_CameraInput, ImageSet], None],
    ) -> None:
        self._node = node
        self._deliver = deliver
        self.poses = poses
        self.synchronizer = ImageSynchronizer(node, configuration.camera, lambda images: queue(self, images), namespace)
        self.order = StampOrder()
        self.gate = FrameGate(
            poses, configuration.pose_queue_size, configuration.pose_timeout_s, self._assemble, self._without_pose
        )
        inputs = self.synchronizer
        topics = (inputs.color.topic, inputs.depth.topic, inputs.info.topic, inputs.depth_info.topic)
        self._assembler = FrameAssembler(topics, configuration.camera, transforms.between)

    @property
    def topic(self) -> str:
        """Return the topic of its colour images, by which it is named in messages."""
        return self.synchronizer.color.topic

    def clear(self) -> None:
        """Forget stamps and waiting frames."""
        self.order.clear()
        self.gate.clear()

    def missing(self) -> list[str]:
        """Return what is missing, in words."""
        sentences = []
        if (sentence := self.synchronizer.missing()) is not None:
            sentences.append(sentence)
        if len(self.gate) and self._node.statistics.rate_hz("frames mapped") == 0:
            sentences.append(f"{self.poses.missing()} ({len(self.gate)} frames wait for it)")
        return sentences

    def _without_pose(self, text: str) -> None:
        self._node.statistics.count("frames without pose")
        self._node.report("no pose", text)

    def _assemble(self, images: ImageSet, T_map_camera: NDArray[np.float64]) -> None:
        began_s = time.monotonic()
        try:
            frame = self._assembler.assemble(images, T_map_camera)
        except ConversionError as error:
            self._node.statistics.count("frames refused")
            self._node.report("frame refused", str(error))
            return
        self._node.statistics.latency("decode", time.monotonic() - began_s)
        self._deliver(frame, self.synchronizer.depth.topic)


class CameraInputs:
    """All cameras of a node. Created at configuration; subscribes from open() until close().

    ``deliver(frame, depth_topic)`` gets each frame in the worker thread, ``restart()`` is called there when the stamps
    of a camera start again. What comes while ``paused`` is counted and dropped.
    """

    def __init__(
        self,
        node: LiraNode,
        configuration: CameraInputsConfiguration,
        map_frame: str,
        deliver: Callable[[Frame, str], None],
        restart: Callable[[], None],
    ) -> None:
        """Add the queue of frames to the node's worker; raises ValueError for names that cannot be namespaces."""
        self._node = node
        self._configuration = configuration
        self._map_frame = map_frame
        self._deliver = deliver
        self._restart = restart
        self._cameras: tuple[_CameraInput, ...] = ()
        self.transforms: TransformPoses | None = None
        self.paused = False
        names = configuration.camera_names
        for name in names:
            if not name.strip("/") or names.count(name) > 1:
                raise ValueError(f"camera_names: expected different namespaces, got {list(names)}")
        node.worker.add_queue("frames", self._take, configuration.frame_queue_size)
        node.worker.add_periodic("poses", POSE_PERIOD_S, self._advance)

    def open(self, transforms: TransformPoses) -> None:
        """Subscribe to the cameras and to their poses."""
        c = self._configuration
        self.transforms = transforms
        odometry = None
        if c.pose_source == "odometry":
            odometry = TopicPoses(self._node, Odometry, "odometry", self._map_frame, transforms)
        cameras = []
        for name in c.camera_names or ("",):
            namespace = f"{name.rstrip('/')}/" if name else ""
            poses: PoseSource = odometry or transforms
            if c.pose_source == "pose":
                topic = f"{namespace}camera_pose"
                poses = TopicPoses(self._node, PoseStamped, topic, self._map_frame, transforms)
            cameras.append(_CameraInput(self._node, namespace, c, poses, transforms, self._deliver, self._queue))
        self._cameras = tuple(cameras)

    def close(self) -> None:
        """Forget what waits; the subscriptions end with the node's deactivation."""
        cameras, self._cameras = self._cameras, ()
        self._node.worker.submit(lambda: [camera.gate.clear() for camera in cameras])

    def clear(self) -> None:
        """Forget stamps and waiting frames, because the map starts anew."""
        for camera in self._cameras:
            camera.clear()

    def forget_poses(self) -> None:
        """Forget the poses of the past, because the clock went back."""
        if self.transforms is not None:
            self.transforms.clear()
        for camera in self._cameras:
            camera.poses.clear()

    def missing(self) -> list[str]:
        """Return what the cameras wait for, in words."""
        return [sentence for camera in self._cameras for sentence in camera.missing()]

    def statistics(self) -> dict[str, object]:
        """Return the counts for diagnostics."""
        return {
            "frames waiting for a pose": sum(len(camera.gate) for camera in self._cameras),
            "image sets": sum(camera.synchronizer.sets for camera in self._cameras),
        }

    # ---- frames --------------------------------------------------------------------------------------------------

    def _queue(self, camera: _CameraInput, images: ImageSet) -> None:
        if self.paused:
            self._node.statistics.count("frames while paused")
        elif not self._node.worker.put("frames", (camera, images)):
            text = "the map is slower than the camera: the oldest waiting frame was dropped"
            self._node.report("frames dropped", text)

    def _take(self, item: tuple[_CameraInput, ImageSet]) -> None:
        camera, images = item
        stamp_ns, topic = images.stamp_ns, camera.topic
        newest_ns = camera.order.newest_ns
        judgement = camera.order.judge(stamp_ns)
        if judgement == "restart":
            text = f"{topic}: the stamps start again at {stamp_ns / 1e9:.3f} s: starting anew"
            self._node.report("stamps restarted", text)
            self._restart()
            camera.order.judge(stamp_ns)
        elif judgement == "behind":
            self._node.statistics.count("frames with old stamps")
            raise ConversionError(
                f"{topic}: expected a stamp after {newest_ns / 1e9:.3f} s, got {stamp_ns / 1e9:.3f} s"
            )
        frame_id = images.color.header.frame_id.lstrip("/")
        if not frame_id:
            raise ConversionError(f"{topic}: expected the camera's optical frame in header.frame_id, got ''")
        camera.gate.add(frame_id, stamp_ns, images)

    def _advance(self) -> None:
        for camera in self._cameras:
            camera.gate.advance()
