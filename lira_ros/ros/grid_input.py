"""An OccupancyGrid in, of the mapping node or of Nav2, and TF: only while somebody needs them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from rclpy.task import Future as RosFuture
from sensor_msgs.msg import PointCloud2

from lira_ros.geometry.pose import inverse
from lira_ros.planning.free_grid import FreeGrid, GridConfiguration
from lira_ros.ros import qos
from lira_ros.ros.conversions.grid import GridMessage, grid_from_message, heights_from_cloud
from lira_ros.ros.inputs import Input
from lira_ros.ros.node import LiraNode
from lira_ros.ros.poses import TransformPoses

# How often it is looked whether somebody needs the grid, and whether what is waited for has come.
LOOK_PERIOD_S, WAIT_PERIOD_S = 0.5, 0.05
# After a question the next one is likely to follow; a grid and TF that nobody asks for are not taken in.
LINGER_S = 30.0
# A grid comes when it is subscribed to: discovery takes up to 2.6 s with the defaults of Fast DDS, then a grid of a
# large house is drawn.
GRID_WAIT_S = 5.0
# Frames of a robot come at 10 Hz and more, and a listener has to be discovered first.
TRANSFORM_WAIT_S = 2.0


@dataclass(frozen=True, eq=False)
class PlacedGrid:
    """A grid and where it lies: T_frame_grid maps it into frame_id, T_grid_map the map into it.

    It is the same object as long as nothing of it has changed.
    """

    grid: FreeGrid
    frame_id: str
    stamp_ns: int
    T_frame_grid: NDArray[np.float64]
    T_grid_map: NDArray[np.float64]


class GridInput:
    """Keeps the newest map/occupancy, with the heights of its obstacles, while somebody needs it."""

    def __init__(self, node: LiraNode, configuration: GridConfiguration, is_needed: Callable[[], bool]) -> None:
        """Listen while ``is_needed()``, and for a while after each question."""
        self._node = node
        self._configuration = configuration
        self._is_needed = is_needed
        self._topic = node.resolve_topic_name("map/occupancy")
        self._needed_until_s = float("-inf")
        self._inputs: list[Input] = []
        self._transforms: TransformPoses | None = None
        self._timer = None
        self._message: GridMessage | None = None
        self._heights: tuple[int, NDArray[np.float32]] | None = None
        self._placed: tuple[tuple[Any, Any, bytes], PlacedGrid] | None = None
        node.worker.add_queue("grid", self._take, 1)
        node.worker.add_queue("heights", self._take_heights, 1)

    # ---- executor thread -----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to look whether the grid is needed."""
        self._timer = self._node.create_timer(LOOK_PERIOD_S, self._look, clock=self._node.steady_clock)

    def close(self) -> None:
        """Listen no more."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
        self._unsubscribe()

    def _look(self) -> None:
        if self._is_needed():
            self._subscribe()
        elif time.monotonic() > self._needed_until_s:
            self._unsubscribe()

    def _subscribe(self) -> None:
        if self._inputs or self._timer is None:
            return
        node = self._node
        self._transforms = TransformPoses(node, "")
        self._inputs = [
            node.subscribe(
                OccupancyGrid, "map/occupancy", lambda message: node.worker.put("grid", message), qos.latched()
            ),
            node.subscribe(
                PointCloud2,
                "map/heights",
                lambda message: node.worker.put("heights", message),
                qos.latched(),
                required=False,
            ),
        ]

    def _unsubscribe(self) -> None:
        for entry in self._inputs:
            self._node.unsubscribe(entry)
        self._inputs = []
        if self._transforms is not None:
            self._transforms.close()
            self._transforms = None
        # What changed meanwhile nobody would tell.
        self._message = self._heights = self._placed = None

    async def ready(self, frames: Callable[[str], tuple[str, ...]]) -> bool:
        """Wait until a grid is there, and a moment longer for TF; returns whether there is a grid.

        frames: names the frames, besides that of the grid, which TF should know by then, given that of the grid.
        """
        self._needed_until_s = time.monotonic() + LINGER_S
        self._subscribe()
        if not await self._wait(GRID_WAIT_S, lambda: self._message is not None):
            return False

        def known() -> bool:
            message = self._message
            return message is not None and all(
                self.between(message.frame_id, name) is not None for name in frames(message.frame_id)
            )

        await self._wait(TRANSFORM_WAIT_S, known)
        return self._message is not None

    async def _wait(self, timeout_s: float, condition: Callable[[], bool]) -> bool:
        until_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() >= until_s or self._timer is None:
                return False
            await self._node.within(WAIT_PERIOD_S, RosFuture())
        return True

    # ---- worker thread -------------------------------------------------------------------------------------------

    def _take(self, message: OccupancyGrid) -> None:
        if message.info.width == 0 or message.info.height == 0:
            self._message = None  # the map has started anew
            return
        self._message = grid_from_message(message, self._topic)

    def _take_heights(self, message: PointCloud2) -> None:
        topic = self._node.resolve_topic_name("map/heights")
        self._heights = heights_from_cloud(message, topic) if message.width else None

    def between(self, target: str, source: str) -> NDArray[np.float64] | None:
        """Return the newest T_target_source, None while TF cannot tell; raises ConversionError for NaN in TF."""
        if target == source:
            return np.eye(4)
        transforms = self._transforms
        return None if transforms is None else transforms.between(target, source, 0)

    def placed(self, map_frame: str) -> PlacedGrid | None:
        """Return the newest grid and where it lies in a map, None without a grid or without TF to its frame."""
        message, heights = self._message, self._heights
        if message is None:
            return None
        T_frame_map = self.between(message.frame_id, map_frame)
        if T_frame_map is None:
            return None
        fitting = heights is not None and heights[0] == message.stamp_ns and heights[1].shape == message.values.shape
        made_of = (message, heights if fitting else None, T_frame_map.tobytes())
        before = self._placed
        if (
            before is None
            or before[0][0] is not made_of[0]
            or before[0][1] is not made_of[1]
            or before[0][2] != made_of[2]
        ):
            grid = FreeGrid(
                message.values, message.resolution_m, self._configuration, heights[1] if fitting and heights else None
            )
            T_grid_map = inverse(message.T_frame_grid) @ T_frame_map
            placed = PlacedGrid(grid, message.frame_id, message.stamp_ns, message.T_frame_grid, T_grid_map)
            before = self._placed = (made_of, placed)
        return before[1]

    def describe(self) -> str:
        """Return in words what is held, for the diagnostics."""
        message = self._message
        if message is None:
            return "not needed" if not self._inputs else "waits"
        rows, columns = message.values.shape
        return f"{columns} x {rows} cells of {message.resolution_m:g} m in {message.frame_id}"

    def missing(self, map_frame: str) -> str:
        """Return in a sentence why there is no placed grid."""
        message = self._message
        if message is None:
            publishers = self._node.count_publishers(self._topic)
            return (
                f"no nav_msgs/OccupancyGrid came on {self._topic} ({qos.describe(qos.latched())}) within "
                f"{GRID_WAIT_S:g} s; it has {publishers} publisher(s). The mapping node publishes one as soon as it "
                "has seen the floor; for Nav2 remap map/occupancy to /global_costmap/costmap"
            )
        return (
            f"{self._topic} is in the frame {message.frame_id!r}, and TF knows no way there from {map_frame!r}, the "
            "frame of the instances"
        )
