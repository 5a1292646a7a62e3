"""Instances in: the voxels that the fusion published, so that the map's points can be told apart by instance."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import PointCloud2

from lira_ros.mapping.instance_layer import InstanceLayer
from lira_ros.ros import qos
from lira_ros.ros.conversions.points import points_from_message
from lira_ros.ros.errors import ConversionError
from lira_ros.ros.node import LiraNode


class InstanceInput:
    """Keeps an instance layer like the newest instances/points; used in the worker thread but for the subscription."""

    def __init__(self, node: LiraNode, voxel_size_m: float, map_frame: str) -> None:
        self.layer = InstanceLayer(voxel_size_m)
        self.revision = 0
        self._node = node
        self._map_frame = map_frame
        node.worker.add_queue("instances", self._take, 1)  # each message holds all instances

    def open(self) -> None:
        """Subscribe."""
        self._node.subscribe(
            PointCloud2,
            "instances/points",
            lambda message: self._node.worker.put("instances", message),
            qos.latched(),
            required=False,
        )

    def clear(self) -> None:
        """Forget all instances, because the map starts anew."""
        self.layer.clear()
        self.revision += 1

    def _take(self, message: PointCloud2) -> None:
        topic = self._node.resolve_topic_name("instances/points")
        if message.header.frame_id != self._map_frame:
            raise ConversionError(f"{topic}: expected frame {self._map_frame!r}, got {message.header.frame_id!r}")
        points, _, ids = points_from_message(message, topic)
        if ids is None:
            raise ConversionError(f"{topic}: expected a field instance_id, got none")
        order = np.argsort(ids, kind="stable")
        voxels = np.rint(points[order] / self.layer.voxel_size_m).astype(np.int32)
        present, starts = np.unique(ids[order], return_index=True)
        for instance_id in set(self.layer.ids()) - {int(key) for key in present}:
            self.layer.remove(instance_id)
        # An empty cloud, when nothing conforms any more, has no part at all.
        ends = np.append(starts, len(voxels))[1:]
        for instance_id, start, end in zip(present.tolist(), starts.tolist(), ends.tolist(), strict=True):
            if instance_id:
                self.layer.set(instance_id, voxels[start:end])
        self.layer.changed_blocks()  # nobody asks which blocks show others; the list of them would grow for ever
        self.revision += 1
