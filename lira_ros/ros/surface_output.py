"""The map for viewers: a coloured point cloud and a mesh of markers, sent when they changed and somebody listens."""

from __future__ import annotations

import time
from collections.abc import Callable

from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import MarkerArray

from lira_ros.mapping.mapper import Mapper
from lira_ros.ros import qos
from lira_ros.ros.conversions.mesh import MeshRegions, mesh_to_markers
from lira_ros.ros.conversions.points import points_to_message
from lira_ros.ros.node import LiraNode

# Showing the map may take this part of the worker's time at most, however large the map has become.
LARGEST_SHARE = 0.1


class _Schedule:
    """When something may be sent again: at its rate, and never more often than its cost allows."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._due_s = 0.0

    def due(self) -> bool:
        return time.monotonic() >= self._due_s

    def run(self, function: Callable[[], None]) -> float:
        began_s = time.monotonic()
        function()
        ended_s = time.monotonic()
        self._due_s = ended_s + max(self._period_s, (ended_s - began_s) / LARGEST_SHARE)
        return ended_s - began_s


class SurfaceOutput:
    """Publishes map/points and map/mesh of one mapper; used in the worker thread."""

    def __init__(
        self,
        node: LiraNode,
        mapper: Mapper,
        frame_id: str,
        points_rate_hz: float,
        points_spacing_m: float,
        mesh_rate_hz: float,
    ) -> None:
        self._node = node
        self._mapper = mapper
        self._frame_id = frame_id
        self._spacing_m = points_spacing_m
        self._points = node.publish_on(PointCloud2, "map/points", qos.latched())
        self._mesh = node.publish_on(MarkerArray, "map/mesh", qos.latched())
        self._points_schedule = _Schedule(1.0 / points_rate_hz) if points_rate_hz > 0 else None
        self._mesh_schedule = _Schedule(1.0 / mesh_rate_hz) if mesh_rate_hz > 0 else None
        self._points_revision = mapper.revision  # an empty map is not worth a message
        self._mesh_watchers = 0
        self.clear()

    def clear(self) -> None:
        """Take everything down at the next publication; called when the map starts anew."""
        self._regions = MeshRegions()
        self._mesh_revision = 0
        self._map_revision = -1
        self._clear_mesh = True

    def publish(self, stamp_ns: int) -> None:
        """Publish what changed, what is due and what somebody subscribed to."""
        revision = self._mapper.revision
        if (
            self._points_schedule is not None
            and revision != self._points_revision
            and self._points.get_subscription_count() > 0
            and self._points_schedule.due()
        ):
            self._node.statistics.latency(
                "publish points", self._points_schedule.run(lambda: self._send_points(stamp_ns))
            )
            self._points_revision = revision
        watchers = self._mesh.get_subscription_count()
        # The latched message holds the last change only: whoever comes later gets the whole mesh once.
        everything = self._clear_mesh or watchers > self._mesh_watchers
        self._mesh_watchers = watchers
        if (
            self._mesh_schedule is not None
            and watchers > 0
            and (everything or (revision != self._map_revision and self._mesh_schedule.due()))
        ):
            self._node.statistics.latency(
                "publish mesh", self._mesh_schedule.run(lambda: self._send_mesh(stamp_ns, everything))
            )
            self._map_revision = revision

    def _send_points(self, stamp_ns: int) -> None:
        points, colors = self._mapper.points(self._spacing_m)
        self._points.publish(points_to_message(points, colors, stamp_ns, self._frame_id))

    def _send_mesh(self, stamp_ns: int, everything: bool) -> None:
        self._mesh_revision, blocks = self._mapper.mesh_blocks(self._mesh_revision)
        parts = self._regions.update(blocks)
        if everything:
            parts = self._regions.parts()
        self._mesh.publish(mesh_to_markers(parts, stamp_ns, self._frame_id, "map", clear=everything))
        self._clear_mesh = False
