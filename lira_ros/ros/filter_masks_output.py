"""Instances as masks for the keep-out and speed filters of Nav2, with the messages that explain them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from nav_msgs.msg import MapMetaData, OccupancyGrid
from numpy.typing import NDArray
from std_msgs.msg import Header

from lira_ros.configuration import parameter, section
from lira_ros.fusion.contracts import Instance
from lira_ros.planning.filter_mask import cells_of
from lira_ros.ros import qos
from lira_ros.ros.conversions.geometry import pose_to_message
from lira_ros.ros.conversions.time import stamp_from_ns
from lira_ros.ros.grid_input import PlacedGrid
from lira_ros.ros.instance_map_input import InstanceMaps
from lira_ros.ros.node import LiraNode

# The types of nav2_msgs/CostmapFilterInfo, as nav2_costmap_2d names them (filter_values.hpp).
KEEPOUT_FILTER, SPEED_FILTER_PERCENT, SPEED_FILTER_ABSOLUTE = 0, 1, 2
# Of a mask: forbidden, and where nothing is said. A speed filter takes 0 as "no limit".
LETHAL, NOTHING = 100, 0


@dataclass(frozen=True)
class MaskConfiguration:
    """Which instances a mask shows."""

    instructions: tuple[str, ...] = parameter(
        (), "Ids of the instructions whose instances count; empty = all", read_only=False
    )
    labels: tuple[str, ...] = parameter(
        (), "Labels of the instances that count, lower case; empty = all", read_only=False
    )
    margin_m: float = parameter(
        0.0, "How far around an instance the mask reaches [m]", minimum=0.0, maximum=20.0, read_only=False
    )


@dataclass(frozen=True)
class SpeedMaskConfiguration(MaskConfiguration):
    """Which instances slow the robot down, and to what."""

    margin_m: float = parameter(
        1.0, "How far around an instance the mask reaches [m]", minimum=0.0, maximum=20.0, read_only=False
    )
    limit_percent: float = parameter(
        40.0, "Highest speed there, in per cent of the robot's highest", minimum=1.0, maximum=100.0
    )
    limit_mps: float = parameter(
        0.0, "Highest speed there [m/s]; above 0 this counts instead of limit_percent", minimum=0.0, maximum=50.0
    )


@dataclass(frozen=True)
class FilterMasksConfiguration:
    """The masks for the costmap filters of Nav2."""

    keepout: MaskConfiguration = section(MaskConfiguration)
    speed: SpeedMaskConfiguration = section(SpeedMaskConfiguration)


class FilterMask:
    """One mask and its CostmapFilterInfo; made only while somebody listens to the mask."""

    def __init__(self, node: LiraNode, name: str, value: int, filter_type: int, multiplier: float) -> None:
        """Publish instances/NAME_mask and, where nav2_msgs is installed, instances/NAME_filter_info."""
        self._value = value
        self._publisher = node.publish_on(OccupancyGrid, f"instances/{name}_mask", qos.latched())
        self._published: tuple[Any, ...] | None = None
        try:
            from nav2_msgs.msg import CostmapFilterInfo
        except ImportError:
            node.get_logger().info(f"nav2_msgs is not installed: instances/{name}_filter_info is not published")
            return
        info = node.publish_on(CostmapFilterInfo, f"instances/{name}_filter_info", qos.latched())
        # Nothing of it ever changes, and Nav2 reads no stamp; latched, so that a costmap that comes late has it.
        info.publish(
            CostmapFilterInfo(
                type=filter_type,
                filter_mask_topic=node.resolve_topic_name(f"instances/{name}_mask"),
                base=0.0,
                multiplier=multiplier,
            )
        )

    @property
    def is_watched(self) -> bool:
        """Tell whether somebody listens to the mask."""
        return self._publisher.get_subscription_count() > 0

    def publish(self, configuration: MaskConfiguration, maps: InstanceMaps, placed: PlacedGrid) -> None:
        """Publish the mask on the cells of a grid when it differs from the one that is out."""
        chosen = list(_chosen(configuration, maps))
        marked = cells_of(chosen, placed.grid, placed.T_grid_map, configuration.margin_m)
        values = np.where(marked, np.int8(self._value), np.int8(NOTHING))
        place = (placed.frame_id, placed.T_frame_grid.tobytes(), placed.grid.resolution_m, values.shape)
        state = (*place, values.tobytes())
        if state == self._published:
            return
        self._published = state
        self._publisher.publish(_to_message(values, placed, max(placed.stamp_ns, maps.stamp_ns)))


def _chosen(configuration: MaskConfiguration, maps: InstanceMaps) -> Iterable[Instance]:
    chosen: dict[int, Instance] = {}
    for name in configuration.instructions or maps.instruction_ids():
        for number, instance in maps.instances(name).items():
            if not configuration.labels or instance.label in configuration.labels:
                chosen[number] = instance
    return chosen.values()


def _to_message(values: NDArray[np.int8], placed: PlacedGrid, stamp_ns: int) -> OccupancyGrid:
    rows, columns = values.shape
    stamp = stamp_from_ns(stamp_ns)
    message = OccupancyGrid(header=Header(stamp=stamp, frame_id=placed.frame_id))
    message.info = MapMetaData(
        map_load_time=stamp,
        resolution=placed.grid.resolution_m,
        width=columns,
        height=rows,
        origin=pose_to_message(placed.T_frame_grid),
    )
    message.data.frombytes(values.tobytes())
    return message


class FilterMasksOutput:
    """Publishes instances/keepout_mask and instances/speed_mask; used in the worker thread."""

    def __init__(self, node: LiraNode, configuration: Callable[[], FilterMasksConfiguration]) -> None:
        """Take the configuration anew each time: what the masks show can be changed while the node runs."""
        self._configuration = configuration
        speed = configuration().speed
        # A single limit needs no more than one value: with m/s, 100 of the mask is the limit.
        absolute = speed.limit_mps > 0
        self._keepout = FilterMask(node, "keepout", LETHAL, KEEPOUT_FILTER, 1.0)
        self._speed = FilterMask(
            node,
            "speed",
            100 if absolute else round(speed.limit_percent),
            SPEED_FILTER_ABSOLUTE if absolute else SPEED_FILTER_PERCENT,
            speed.limit_mps / 100.0 if absolute else 1.0,
        )

    @property
    def is_watched(self) -> bool:
        """Tell whether somebody listens to a mask."""
        return self._keepout.is_watched or self._speed.is_watched

    def publish(self, maps: InstanceMaps, placed: PlacedGrid) -> None:
        """Publish the masks that somebody listens to and that have changed."""
        configuration = self._configuration()
        for mask, section_ in ((self._keepout, configuration.keepout), (self._speed, configuration.speed)):
            if mask.is_watched:
                mask.publish(section_, maps, placed)
