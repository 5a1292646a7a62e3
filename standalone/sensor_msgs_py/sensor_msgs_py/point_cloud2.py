"""Make and read sensor_msgs/PointCloud2 messages with NumPy.

Stands in for the ROS 2 module of the same name; names, arguments and behaviour follow Humble and Jazzy.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured, unstructured_to_structured
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

_DATATYPES = {
    PointField.INT8: np.dtype(np.int8),
    PointField.UINT8: np.dtype(np.uint8),
    PointField.INT16: np.dtype(np.int16),
    PointField.UINT16: np.dtype(np.uint16),
    PointField.INT32: np.dtype(np.int32),
    PointField.UINT32: np.dtype(np.uint32),
    PointField.FLOAT32: np.dtype(np.float32),
    PointField.FLOAT64: np.dtype(np.float64),
}
# Prefix of the names of fields that have none, as in the real module.
DUMMY_FIELD_PREFIX = "unnamed_field"


def dtype_from_fields(fields: Iterable[PointField], point_step: int | None = None) -> np.dtype:
    """Return the structured dtype of a point; a field with count n becomes n fields ``<name>_0`` to ``<name>_<n-1>``.

    ``point_step`` [bytes] is the size of a point including what follows its last field.
    """
    names, offsets, formats = [], [], []
    for index, field in enumerate(fields):
        datatype = _DATATYPES[field.datatype]
        name = field.name or f"{DUMMY_FIELD_PREFIX}_{index}"
        if field.count == 0:
            raise AssertionError("Can't handle fields with count = 0!")
        for element in range(field.count):
            names.append(name if field.count == 1 else f"{name}_{element}")
            offsets.append(field.offset + element * datatype.itemsize)
            formats.append(datatype)
    layout = {"names": names, "formats": formats, "offsets": offsets}
    if point_step is not None:
        layout["itemsize"] = point_step
    return np.dtype(layout)


def read_points(
    cloud: PointCloud2,
    field_names: Sequence[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable | None = None,
    reshape_organized_cloud: bool = False,
) -> np.ndarray:
    """Return the points of a cloud as a structured array.

    Args:
        cloud: the message.
        field_names: fields to read, all if None.
        skip_nans: leave out points with a NaN in one of these fields.
        uvs: read only these points: indices (N,), or (column, row) pairs (N, 2) of an organised cloud.
        reshape_organized_cloud: return (height, width) instead of (N,).
    """
    points = np.ndarray(
        shape=(cloud.width * cloud.height,),
        dtype=dtype_from_fields(cloud.fields, point_step=cloud.point_step),
        buffer=cloud.data,
    )
    if field_names is not None:
        missing = set(field_names) - set(points.dtype.names or ())
        assert not missing, f"Requests field is not in the fields of the PointCloud! {sorted(missing)}"
        points = points[list(field_names)]
    if bool(sys.byteorder != "little") != bool(cloud.is_bigendian):
        points = points.byteswap(inplace=False)
    if skip_nans and not cloud.is_dense:
        valid = np.ones(len(points), dtype=bool)
        for name in points.dtype.names or ():
            valid &= ~np.isnan(points[name])
        points = points[valid]
    if uvs is not None:
        selection = np.asarray(uvs if isinstance(uvs, np.ndarray) else list(uvs), dtype=np.int64)
        if selection.ndim == 2:
            selection = selection[:, 1] * cloud.width + selection[:, 0]
        points = points[selection]
    if reshape_organized_cloud:
        points = points.reshape(cloud.height, cloud.width)
    return points


def read_points_numpy(
    cloud: PointCloud2,
    field_names: Sequence[str] | None = None,
    skip_nans: bool = False,
    uvs: Iterable | None = None,
    reshape_organized_cloud: bool = False,
) -> np.ndarray:
    """Return the points of a cloud whose fields have one data type as an array (N, number of fields)."""
    names = None if field_names is None else set(field_names)
    datatypes = {field.datatype for field in cloud.fields if names is None or field.name in names}
    assert len(datatypes) <= 1, "All fields need to have the same datatype. Use `read_points()` otherwise."
    return structured_to_unstructured(read_points(cloud, field_names, skip_nans, uvs, reshape_organized_cloud))


def create_cloud(header: Header, fields: Sequence[PointField], points: Iterable) -> PointCloud2:
    """Return a cloud with the given fields.

    ``points`` is a structured array (N,) or (height, width) whose dtype is that of the fields, an array with the fields
    along its last axis when all have one data type, or any iterable of tuples (slow).
    """
    dtype = dtype_from_fields(fields)
    if not isinstance(points, np.ndarray):
        points = np.array([tuple(point) for point in points], dtype=dtype)
    elif points.dtype.names is None:
        assert all(field.datatype == fields[0].datatype for field in fields), (
            "All fields need to have the same datatype. Pass a structured NumPy array with multiple dtypes otherwise."
        )
        points = unstructured_to_structured(points, dtype=dtype)
    else:
        assert points.dtype == dtype, (
            "PointFields and structured NumPy array dtype do not match for all fields! "
            "Check their field order, names and types."
        )
    assert points.ndim in (1, 2), f"Expected points of shape (N,) or (height, width), got {points.shape}"
    height, width = (1, *points.shape)[-2:]
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(points).tobytes())
    return PointCloud2(
        header=header,
        height=height,
        width=width,
        is_dense=False,
        is_bigendian=sys.byteorder != "little",
        fields=list(fields),
        point_step=dtype.itemsize,
        row_step=dtype.itemsize * width,
        data=data,
    )


def create_cloud_xyz32(header: Header, points: Iterable) -> PointCloud2:
    """Return a cloud with the float32 fields x, y and z from points (N, 3)."""
    fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate("xyz")
    ]
    return create_cloud(header, fields, points)
