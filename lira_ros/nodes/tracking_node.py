"""Follow the instances of the map in every camera image with a video model: optional, needs its files and a GPU."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from lira_ros.configuration import parameter, section
from lira_ros.reasoning.compute import ComputeConfiguration
from lira_ros.reasoning.segmentation.configuration import SegmentationConfiguration
from lira_ros.reasoning.segmentation.creation import create_mask_tracker
from lira_ros.reasoning.segmentation.following import MaskFollower, Tracker
from lira_ros.ros import qos
from lira_ros.ros.conversions.image import color_from_compressed, color_from_image, ids_from_image, image_to_message
from lira_ros.ros.conversions.time import stamp_to_ns
from lira_ros.ros.errors import ConversionError
from lira_ros.ros.node import LiraNode, NodeConfiguration, run

# Images wait here for the masks that the map draws for them: two seconds of a 30 Hz camera, longer than its poses take
# as a rule (0.9 MB each at 640x480).
IMAGE_HISTORY = 60


@dataclass(frozen=True)
class TrackingNodeConfiguration(NodeConfiguration):
    """Parameters of the tracking node."""

    model: str = parameter("sam2-hiera-large", "Card of a SAM 2 model (lira models list), or a card file")
    restart_s: float = parameter(
        2.0,
        "Take up the instances anew from instance_masks after this long [s]; a new instance is taken up at once",
        minimum=0.1,
        maximum=3600.0,
    )
    max_instances: int = parameter(
        16, "Most instances followed at once, the largest in view; each costs time and memory", minimum=1, maximum=1000
    )
    image_transport: str = parameter(
        "raw",
        "raw: sensor_msgs/Image on color/image; compressed: color/image/compressed",
        choices=("raw", "compressed"),
    )
    compute: ComputeConfiguration = section(ComputeConfiguration)


class TrackingNode(LiraNode):
    """Tracks in its idle time, newest image first; what came meanwhile is left out."""

    node_name = "tracking_node"
    configuration_class = TrackingNodeConfiguration
    headline = ("instances followed",)

    def configure(self) -> None:
        """Load the model; missing files are said here and not on the first image."""
        c = self.configuration
        self._follower = MaskFollower(self.create_tracker(), c.restart_s, c.max_instances)
        self._images: OrderedDict[int, Image | CompressedImage] = OrderedDict()  # by stamp [ns]
        self._masks: Image | None = None
        self._tracked_ns = 0
        self._output = self.publish_on(Image, "tracked_masks", qos.stream(qos.SENSOR_DEPTH))
        self.worker.add_queue("images", self._take_image, IMAGE_HISTORY)
        self.worker.add_queue("masks", self._take_masks, 1)
        self.worker.set_idle_work(self._step)

    def create_tracker(self) -> Tracker:
        """Return the video model; raises ReasoningError that says what is missing."""
        c = self.configuration
        return create_mask_tracker(SegmentationConfiguration(method="model", model=c.model), c.compute)

    def activate(self) -> None:
        """Listen to the camera, and to the masks that the map draws."""
        compressed = self.configuration.image_transport == "compressed"
        color = self.resolve_topic_name("color/image")
        self._color = self.subscribe(
            CompressedImage if compressed else Image,
            f"{color}/compressed" if compressed else color,
            lambda message: self.worker.put("images", message),
            qos.sensor_input(),
        )
        self._drawn = self.subscribe(
            Image,
            "instance_masks",
            lambda message: self.worker.put("masks", message),
            qos.stream(qos.SENSOR_DEPTH),
        )

    def cleanup(self) -> None:
        """Let go of the model."""
        self._follower = None

    def time_jumped(self) -> None:
        """Forget the images of the past."""
        self._start_anew()

    def diagnose(self) -> dict[str, object]:
        """Return what is followed."""
        return {"model": self.configuration.model, "instances followed": len(self._follower.followed)}

    # ---- worker ------------------------------------------------------------------------------------------------

    def _take_image(self, message: Image | CompressedImage) -> None:
        stamp_ns = stamp_to_ns(message.header.stamp)
        if self._images and stamp_ns < next(reversed(self._images)):
            self.report("stamps restarted", f"{self._color.topic}: the stamps start again: starting anew")
            self._start_anew()
        self._images[stamp_ns] = message
        if len(self._images) > IMAGE_HISTORY:
            self._images.popitem(last=False)

    def _take_masks(self, message: Image) -> None:
        self._masks = message

    def _start_anew(self) -> None:
        self._images.clear()
        self._masks = None
        self._tracked_ns = 0
        self._follower.clear()

    def _step(self) -> bool:
        """Start anew where the masks of the map ask for it, else follow into the newest image."""
        return self._restart() or self._track()

    def _restart(self) -> bool:
        message, self._masks = self._masks, None
        if message is None:
            return False
        ids = ids_from_image(message, self._drawn.topic)
        stamp_ns = stamp_to_ns(message.header.stamp)
        image = self._images.get(stamp_ns)
        if image is None:
            # Not here yet, or older than any that is kept.
            if not self._images or stamp_ns > next(reversed(self._images)):
                self._masks = message
            return False
        if image.header.frame_id != message.header.frame_id or not self._follower.wants(ids, stamp_ns):
            return False
        color = self._decode(image)
        if ids.shape != color.shape[:2]:
            raise ConversionError(
                f"{self._drawn.topic}: expected {color.shape[1]} x {color.shape[0]} pixels of {self._color.topic}, "
                f"got {ids.shape[1]} x {ids.shape[0]}"
            )
        began_s = time.monotonic()
        self._follower.start(color, ids, stamp_ns)
        self.statistics.latency("take up instances", time.monotonic() - began_s)
        return True

    def _track(self) -> bool:
        if not self._images or self._follower.started_ns is None:
            return False
        stamp_ns = next(reversed(self._images))
        if stamp_ns <= max(self._tracked_ns, self._follower.started_ns):
            return False
        message = self._images[stamp_ns]
        self._tracked_ns = stamp_ns
        began_s = time.monotonic()
        ids = self._follower.track(self._decode(message))
        self.statistics.latency("track an image", time.monotonic() - began_s)
        self._output.publish(image_to_message(ids, "32SC1", stamp_ns, message.header.frame_id))
        return True

    def _decode(self, message: Image | CompressedImage) -> NDArray[np.uint8]:
        if isinstance(message, CompressedImage):
            return color_from_compressed(message, self._color.topic)
        return color_from_image(message, self._color.topic)


def main(args: list[str] | None = None) -> int:
    """Run the tracking node until SIGINT or SIGTERM."""
    return run(TrackingNode, args=args)


if __name__ == "__main__":
    raise SystemExit(main())
