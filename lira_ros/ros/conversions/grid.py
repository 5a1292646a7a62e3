"""Free space as nav_msgs/OccupancyGrid and back; distances and heights of its cells as sensor_msgs/PointCloud2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nav_msgs.msg import MapMetaData, OccupancyGrid
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from lira_ros.geometry.pose import transform_points
from lira_ros.mapping.distance_field import UNKNOWN, DistanceSlice
from lira_ros.ros.conversions.geometry import pose_from_message, pose_to_message
from lira_ros.ros.conversions.image import bytes_array
from lira_ros.ros.conversions.time import stamp_from_ns, stamp_to_ns
from lira_ros.ros.errors import ConversionError

_DISTANCE_FIELDS = ("x", "y", "z", "intensity")  # intensity is what RViz colours by, as of nvblox's distance slice


def slice_to_occupancy(distances: DistanceSlice, stamp_ns: int, map_frame: str) -> OccupancyGrid:
    """Return which cells are free (0), occupied (100) or unknown (-1).

    The grid lies on the floor: info.origin is the pose of its corner in the map, turned so that z of the grid is up.
    With +z up it is not turned, as planners such as Nav2 ask for.
    """
    rows, columns = distances.states.shape
    message = OccupancyGrid(header=Header(stamp=stamp_from_ns(stamp_ns), frame_id=map_frame))
    message.info = MapMetaData(
        map_load_time=message.header.stamp,
        resolution=distances.resolution_m,
        width=columns,
        height=rows,
        origin=pose_to_message(distances.T_map_slice),
    )
    message.data.frombytes(distances.occupancy().tobytes())
    return message


def slice_to_cloud(distances: DistanceSlice, stamp_ns: int, map_frame: str) -> PointCloud2:
    """Return the centre of each cell [m], in the middle of the slab, with its distance [m] to the nearest obstacle.

    The cloud has the rows and columns of the occupancy grid. The field intensity is the distance, negative inside of
    obstacles and NaN where nothing is known.
    """
    middles_m = np.full(distances.states.shape, 0.5 * (distances.bottom_m + distances.top_m))
    values = np.where(distances.states == UNKNOWN, np.nan, distances.distances_m)
    return _cells_to_cloud(distances, middles_m, values, stamp_ns, map_frame)


def slice_to_heights(distances: DistanceSlice, stamp_ns: int, map_frame: str) -> PointCloud2:
    """Return the top of the obstacle in each cell [m], with its height above the floor [m].

    The cloud has the rows and columns of the occupancy grid. The field intensity is the height, infinite where the
    obstacle reaches the top of the slab; points are NaN where there is none. Raises ValueError for a slice without
    heights.
    """
    if distances.heights_m is None:
        raise ValueError("the slice was made without heights")
    tops_m = np.minimum(distances.heights_m.astype(np.float64), distances.top_m)
    return _cells_to_cloud(distances, tops_m, distances.heights_m, stamp_ns, map_frame)


def _cells_to_cloud(
    distances: DistanceSlice, levels_m: NDArray[np.float64], values: NDArray, stamp_ns: int, map_frame: str
) -> PointCloud2:
    rows, columns = distances.states.shape
    cells = np.zeros((rows, columns, 3))
    cells[..., 0] = (np.arange(columns) + 0.5) * distances.resolution_m
    cells[..., 1] = (np.arange(rows)[:, None] + 0.5) * distances.resolution_m
    cells[..., 2] = levels_m
    records = np.empty((rows, columns, 4), dtype="<f4")
    records[..., :3] = transform_points(distances.T_map_slice, cells)
    records[..., 3] = values
    message = PointCloud2(
        header=Header(stamp=stamp_from_ns(stamp_ns), frame_id=map_frame),
        height=rows,
        width=columns,
        fields=[
            PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
            for index, name in enumerate(_DISTANCE_FIELDS)
        ],
        is_bigendian=False,
        point_step=4 * len(_DISTANCE_FIELDS),
        row_step=4 * len(_DISTANCE_FIELDS) * columns,
        is_dense=False,
    )
    message.data = bytes_array(records)
    return message


@dataclass(frozen=True)
class GridMessage:
    """What an OccupancyGrid says.

    values: (rows, columns) int8, -1 unknown, 0 free to 100 occupied. T_frame_grid: (4, 4), maps the grid, whose origin
    is the corner of its first cell, x along columns and y along rows, into frame_id.
    """

    values: NDArray[np.int8]
    resolution_m: float
    frame_id: str
    stamp_ns: int
    T_frame_grid: NDArray[np.float64]


def grid_from_message(message: OccupancyGrid, topic: str) -> GridMessage:
    """Return the cells of a grid; raises ConversionError naming topic and field when they make no sense."""
    info = message.info
    if len(message.data) != info.width * info.height:
        raise ConversionError(f"{topic}: expected {info.width} x {info.height} cells in data, got {len(message.data)}")
    if not (np.isfinite(info.resolution) and info.resolution > 0):
        raise ConversionError(f"{topic}: expected a resolution above 0 m, got {info.resolution}")
    values = np.frombuffer(message.data, dtype=np.int8).reshape(info.height, info.width)
    if values.max() > 100 or values.min() < -1:
        raise ConversionError(f"{topic}: expected cells of -1 to 100, got {values.min()} to {values.max()}")
    T_frame_grid = pose_from_message(info.origin, f"{topic} info.origin")
    # A resolution of 0.05 as float32 is 0.0500000007, which is 7 um wrong at the end of a grid of 1000 cells.
    resolution_m = float(np.format_float_positional(np.float32(info.resolution), unique=True))
    stamp_ns = stamp_to_ns(message.header.stamp)
    return GridMessage(values, resolution_m, message.header.frame_id.lstrip("/"), stamp_ns, T_frame_grid)


def heights_from_cloud(message: PointCloud2, topic: str) -> tuple[int, NDArray[np.float32]]:
    """Return the stamp [ns] and the (rows, columns) float32 heights above the floor [m] of an organised cloud.

    Raises ConversionError naming topic and field for a cloud of another form.
    """
    names = [field.name for field in message.fields]
    size = 4 * len(_DISTANCE_FIELDS)
    if names != list(_DISTANCE_FIELDS) or message.point_step != size or message.is_bigendian:
        raise ConversionError(f"{topic}: expected little-endian fields {', '.join(_DISTANCE_FIELDS)}, got {names}")
    if len(message.data) != message.height * message.width * size:
        raise ConversionError(
            f"{topic}: expected {message.height} x {message.width} points of {size} bytes, got {len(message.data)}"
        )
    records = np.frombuffer(message.data, dtype="<f4").reshape(message.height, message.width, len(_DISTANCE_FIELDS))
    return stamp_to_ns(message.header.stamp), records[..., 3].copy()
