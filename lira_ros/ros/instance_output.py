"""Publish the conforming instances for people and for other packages: markers, labelled points, detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sensor_msgs.msg import PointCloud2
from vision_msgs.msg import Detection3DArray, LabelInfo
from visualization_msgs.msg import MarkerArray

from lira_ros.fusion.contracts import Instance
from lira_ros.ros import qos
from lira_ros.ros.conversions.instance import DetectionLabels, detections_to_message, instances_to_cloud
from lira_ros.ros.conversions.instance_markers import instances_to_markers, markers_of_nothing
from lira_ros.ros.node import LiraNode


class InstanceOutput:
    """The topics below instances/, all latched: whoever comes late sees what conforms now."""

    def __init__(self, node: LiraNode) -> None:
        self._labels = DetectionLabels()
        self._marker_output = node.publish_on(MarkerArray, "instances/markers", qos.latched())
        self._marker_output.publish(markers_of_nothing())
        self._points = node.publish_on(PointCloud2, "instances/points", qos.latched())
        self._detections = node.publish_on(Detection3DArray, "instances/detections", qos.latched())
        self._label_info = node.publish_on(LabelInfo, "instances/label_info", qos.latched())

    def show(self, shown: Mapping[str, Sequence[Instance]], stamp_ns: int, map_frame: str) -> None:
        """Publish the instances of all instructions, by instruction id; whatever else was shown is gone."""
        self._marker_output.publish(instances_to_markers(shown, stamp_ns, map_frame))
        known = self._labels.count
        detections = detections_to_message(dict(shown), self._labels, stamp_ns, map_frame)
        if self._labels.count != known:  # before the detections, so that nobody meets a number without a name
            self._label_info.publish(self._labels.message(stamp_ns, map_frame))
        self._detections.publish(detections)
        unique = {instance.id: instance for instances in shown.values() for instance in instances}
        self._points.publish(instances_to_cloud(unique.values(), stamp_ns, map_frame))
