"""A slice of free space as nav_msgs/OccupancyGrid and, with its distances, as sensor_msgs/PointCloud2."""

from __future__ import annotations

import numpy as np
from nav_msgs.msg import MapMetaData, OccupancyGrid
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from lira_ros.geometry.pose import transform_points
from lira_ros.mapping.distance_field import UNKNOWN, DistanceSlice
from lira_ros.ros.conversions.geometry import pose_to_message
from lira_ros.ros.conversions.image import bytes_array
from lira_ros.ros.conversions.time import stamp_from_ns

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
    rows, columns = distances.states.shape
    cells = np.zeros((rows, columns, 3))
    cells[..., 0] = (np.arange(columns) + 0.5) * distances.resolution_m
    cells[..., 1] = (np.arange(rows)[:, None] + 0.5) * distances.resolution_m
    cells[..., 2] = 0.5 * (distances.bottom_m + distances.top_m)
    records = np.empty((rows, columns, 4), dtype="<f4")
    records[..., :3] = transform_points(distances.T_map_slice, cells)
    records[..., 3] = np.where(distances.states == UNKNOWN, np.nan, distances.distances_m)
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
