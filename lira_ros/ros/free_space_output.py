"""Free space for planners: which cells of the floor are free, how far the nearest obstacle is, and how high it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2

from lira_ros.configuration import parameter
from lira_ros.mapping.distance_field import UNKNOWN_CHOICES
from lira_ros.mapping.mapper import Mapper
from lira_ros.ros import qos
from lira_ros.ros.conversions.grid import slice_to_cloud, slice_to_heights, slice_to_occupancy
from lira_ros.ros.conversions.time import stamp_from_ns
from lira_ros.ros.node import LiraNode
from lira_ros.ros.surface_output import Schedule


@dataclass(frozen=True)
class FreeSpaceConfiguration:
    """Which slab of the map is published as free space."""

    rate_hz: float = parameter(
        1.0, "Most grids of free space published per second, 0 = none", minimum=0.0, maximum=30.0
    )
    bottom_m: float = parameter(
        0.1, "Lowest height above the floor at which something is in the way [m]", minimum=-10.0, maximum=100.0
    )
    top_m: float = parameter(
        1.5, "Greatest height above the floor at which something is in the way [m]", minimum=-10.0, maximum=100.0
    )
    resolution_m: float = parameter(0.05, "Edge of a cell [m]; never less than a voxel", minimum=0.005, maximum=10.0)
    radius_m: float = parameter(
        0.0, "Half the edge of the square around the camera [m], 0 = the whole map", minimum=0.0, maximum=1000.0
    )
    unknown: str = parameter(
        "occupied", "What unknown cells count as when distances are measured", choices=UNKNOWN_CHOICES
    )


class FreeSpaceOutput:
    """Publishes map/occupancy, map/distance and map/heights of one mapper; used in the worker thread."""

    def __init__(self, node: LiraNode, mapper: Mapper, frame_id: str, configuration: FreeSpaceConfiguration) -> None:
        """Raise ValueError for a slab without height."""
        self._node = node
        self._mapper = mapper
        self._frame_id = frame_id
        self._configuration = c = configuration
        if c.bottom_m >= c.top_m:
            raise ValueError(f"free_space.bottom_m {c.bottom_m} must be below free_space.top_m {c.top_m}")
        self._resolution_m = max(c.resolution_m, mapper.configuration.voxel_size_m)
        self._occupancy = node.publish_on(OccupancyGrid, "map/occupancy", qos.latched())
        self._distance = node.publish_on(PointCloud2, "map/distance", qos.latched())
        self._heights = node.publish_on(PointCloud2, "map/heights", qos.latched())
        self._outputs = (self._occupancy, self._distance, self._heights)
        self._schedule = Schedule(c.rate_hz)
        self._revision = mapper.revision
        self._watchers = 0
        self._shown = False

    def clear(self, stamp_ns: int) -> None:
        """Take down what was published, with a grid without cells: the map has started anew."""
        if self._shown:
            empty = OccupancyGrid()
            empty.header.stamp, empty.header.frame_id = stamp_from_ns(stamp_ns), self._frame_id
            empty.info.resolution = self._resolution_m
            self._occupancy.publish(empty)
            self._distance.publish(PointCloud2(header=empty.header))
            self._heights.publish(PointCloud2(header=empty.header))
        self._shown = False

    def publish(self, stamp_ns: int, viewpoint_m: NDArray[np.float64] | None) -> None:
        """Publish when the map has changed, it is due, and somebody listens; viewpoint_m: (3,) the camera's place."""
        watchers = sum(output.get_subscription_count() for output in self._outputs)
        newcomer, self._watchers = watchers > self._watchers, watchers
        if watchers == 0 or not self._schedule.due() or (self._mapper.revision == self._revision and not newcomer):
            return
        if self._mapper.gravity.ground is None or viewpoint_m is None:
            return  # heights mean nothing before the floor has been seen
        self._revision = self._mapper.revision
        self._node.statistics.latency(
            "publish free space", self._schedule.run(lambda: self._send(stamp_ns, viewpoint_m))
        )

    def _send(self, stamp_ns: int, viewpoint_m: NDArray[np.float64]) -> None:
        c = self._configuration
        around = (viewpoint_m, c.radius_m) if c.radius_m > 0 else (None, None)
        try:
            distances = self._mapper.distance_slice(
                c.bottom_m,
                c.top_m,
                self._resolution_m,
                *around,
                unknown=c.unknown,
                with_heights=self._heights.get_subscription_count() > 0,
            )
        except ValueError as error:
            self._node.report("no free space", f"{self._occupancy.topic_name}: {error}")
            return
        self._shown = True
        # Heights first: who waits for the grid then has them.
        if distances.heights_m is not None:
            self._heights.publish(slice_to_heights(distances, stamp_ns, self._frame_id))
        if self._occupancy.get_subscription_count():
            self._occupancy.publish(slice_to_occupancy(distances, stamp_ns, self._frame_id))
        if self._distance.get_subscription_count():
            self._distance.publish(slice_to_cloud(distances, stamp_ns, self._frame_id))
