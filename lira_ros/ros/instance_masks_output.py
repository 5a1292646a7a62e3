"""Masks between keyframes: which instance each pixel of a camera image shows, drawn from the map without a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import Image

from lira_ros.configuration import parameter
from lira_ros.geometry.frame import Frame
from lira_ros.ros import qos
from lira_ros.ros.conversions.image import image_to_message
from lira_ros.ros.instance_input import InstanceInput
from lira_ros.ros.node import LiraNode
from lira_ros.ros.surface_output import Schedule


@dataclass(frozen=True)
class InstanceMasksConfiguration:
    """How often masks are drawn."""

    masks_rate_hz: float = parameter(
        5.0,
        "Most images of instance_masks published per second and camera, 0 = none",
        minimum=0.0,
        maximum=60.0,
    )


class InstanceMasksOutput:
    """Publishes instance_masks while somebody listens; used in the worker thread.

    An image has the stamp, the frame and the pixels of the colour image, and the id of an instance that conforms or 0
    in each of them.
    """

    def __init__(self, node: LiraNode, instances: InstanceInput, configuration: InstanceMasksConfiguration) -> None:
        self._node = node
        self._instances = instances
        self._rate_hz = configuration.masks_rate_hz
        self._schedules: dict[str, Schedule] = {}  # by camera, so that none takes the turn of another
        self._masks = node.publish_on(Image, "instance_masks", qos.stream(qos.SENSOR_DEPTH))

    def add(self, frame: Frame) -> None:
        """Draw the instances into a frame of the map when that is due."""
        schedule = self._schedules.setdefault(frame.camera_name, Schedule(self._rate_hz))
        if schedule.due() and self._masks.get_subscription_count() > 0:
            self._node.statistics.latency("publish masks", schedule.run(lambda: self._send(frame)))

    def _send(self, frame: Frame) -> None:
        ids = self._instances.layer.look_up_depth(frame.depth_m, frame.camera, frame.T_map_camera)
        self._masks.publish(image_to_message(ids.astype(np.int32), "32SC1", frame.stamp_ns, frame.camera_name))
