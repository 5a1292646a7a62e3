"""sensor_msgs/PointCloud2 <-> points with colours and instance ids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from lira_ros.ros.conversions.image import bytes_array
from lira_ros.ros.conversions.time import stamp_from_ns
from lira_ros.ros.errors import ConversionError

# rgb is the packed colour of PCL (0x00RRGGBB in the bits of a float32), which RViz shows as it is.
_FIELDS: tuple[tuple[str, str, int], ...] = (
    ("x", "<f4", PointField.FLOAT32),
    ("y", "<f4", PointField.FLOAT32),
    ("z", "<f4", PointField.FLOAT32),
    ("rgb", "<u4", PointField.FLOAT32),
    ("instance_id", "<u4", PointField.UINT32),
)


def points_to_message(
    points: NDArray[np.floating],
    colors: NDArray[np.uint8],
    stamp_ns: int,
    frame_id: str,
    instance_ids: NDArray[np.integer] | None = None,
) -> PointCloud2:
    """Return (N, 3) points [m] with (N, 3) uint8 RGB colours as a cloud with the fields x, y, z, rgb.

    With ``instance_ids`` (N,) there is a fifth field, instance_id (uint32).
    """
    fields = _FIELDS if instance_ids is not None else _FIELDS[:4]
    records = np.empty(len(points), dtype=[(name, dtype) for name, dtype, _ in fields])
    for axis, name in enumerate("xyz"):
        records[name] = points[:, axis]
    red, green, blue = (colors[:, channel].astype(np.uint32) for channel in range(3))
    records["rgb"] = (red << 16) | (green << 8) | blue
    if instance_ids is not None:
        records["instance_id"] = instance_ids
    message = PointCloud2(
        header=Header(stamp=stamp_from_ns(stamp_ns), frame_id=frame_id),
        height=1,
        width=len(records),
        fields=[
            PointField(name=name, offset=4 * index, datatype=datatype, count=1)
            for index, (name, _, datatype) in enumerate(fields)
        ],
        is_bigendian=False,
        point_step=records.itemsize,
        row_step=records.itemsize * len(records),
        is_dense=True,
    )
    message.data = bytes_array(records.view(np.uint8)) if len(records) else bytes_array(b"")
    return message


def points_from_message(
    message: PointCloud2, topic: str
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint32] | None]:
    """Return points (N, 3), colours (N, 3) and instance ids (N,) or None of a cloud that points_to_message() made.

    Raises ConversionError naming the topic when a field is missing or the data is truncated.
    """
    known = {name: dtype for name, dtype, _ in _FIELDS}
    offsets = {field.name: field.offset for field in message.fields if field.name in known}
    missing = [name for name in ("x", "y", "z", "rgb") if name not in offsets]
    if missing:
        raise ConversionError(f"{topic}: expected the fields x, y, z, rgb, got no {', '.join(missing)}")
    count = message.width * message.height
    if len(message.data) < count * message.point_step:
        raise ConversionError(
            f"{topic}: expected {count * message.point_step} bytes for {count} points, got {len(message.data)}"
        )
    dtype = np.dtype(
        {
            "names": list(offsets),
            "formats": [known[name] for name in offsets],
            "offsets": list(offsets.values()),
            "itemsize": message.point_step,
        }
    )
    records = np.frombuffer(message.data, dtype=dtype, count=count)
    points = np.stack([records[name] for name in "xyz"], axis=-1)
    colors = np.stack([records["rgb"] >> shift & 255 for shift in (16, 8, 0)], axis=-1).astype(np.uint8)
    return points, colors, records["instance_id"].copy() if "instance_id" in offsets else None
