"""point_cloud2 writes and reads clouds of mixed field types without loss."""

import numpy as np
import pytest

point_cloud2 = pytest.importorskip("sensor_msgs_py.point_cloud2", reason="needs ROS 2 (make setup)")

from sensor_msgs.msg import PointCloud2, PointField  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

FIELDS = [
    PointField(name="x", offset=0, datatype=PointField.FLOAT32, count=1),
    PointField(name="y", offset=4, datatype=PointField.FLOAT32, count=1),
    PointField(name="z", offset=8, datatype=PointField.FLOAT32, count=1),
    PointField(name="rgb", offset=16, datatype=PointField.UINT32, count=1),
    PointField(name="label", offset=20, datatype=PointField.UINT16, count=1),
]


def points(count: int) -> np.ndarray:
    result = np.zeros(count, dtype=point_cloud2.dtype_from_fields(FIELDS))
    result["x"] = np.arange(count)
    result["rgb"] = np.arange(count) + 0xFFFF00
    result["label"] = np.arange(count) + 60000
    return result


def test_structured_points_come_back_with_gaps_between_the_fields():
    cloud = point_cloud2.create_cloud(Header(frame_id="map"), FIELDS, points(5))
    assert (cloud.width, cloud.height, cloud.point_step, cloud.row_step) == (5, 1, 22, 110)
    assert cloud.header.frame_id == "map"
    back = point_cloud2.read_points(cloud)
    for name in ("x", "y", "z", "rgb", "label"):
        np.testing.assert_array_equal(back[name], points(5)[name])


def test_xyz_cloud_comes_back_as_an_array():
    xyz = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    cloud = point_cloud2.create_cloud_xyz32(Header(), xyz)
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(cloud, ["x", "y", "z"]), xyz)
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(cloud, ["z"]), xyz[:, 2:])


def test_tuples_are_taken_too():
    cloud = point_cloud2.create_cloud(Header(), FIELDS, [(1.0, 2.0, 3.0, 4, 5)])
    assert tuple(point_cloud2.read_points(cloud)[0]) == (1.0, 2.0, 3.0, 4, 5)


def test_an_organized_cloud_keeps_its_shape_and_gives_single_pixels():
    cloud = point_cloud2.create_cloud(Header(), FIELDS, points(6).reshape(2, 3))
    assert (cloud.height, cloud.width) == (2, 3)
    assert point_cloud2.read_points(cloud, reshape_organized_cloud=True).shape == (2, 3)
    column, row = 2, 1
    assert point_cloud2.read_points(cloud, ["x"], uvs=[(column, row)])["x"] == [5.0]


def test_points_with_nan_are_left_out_on_request():
    xyz = np.array([[0, 0, 0], [np.nan, 0, 0], [1, 1, 1]], dtype=np.float32)
    cloud = point_cloud2.create_cloud_xyz32(Header(), xyz)
    assert len(point_cloud2.read_points(cloud, skip_nans=True)) == 2
    assert len(point_cloud2.read_points(cloud, ["y"], skip_nans=True)) == 3


def test_big_endian_clouds_are_read():
    cloud = point_cloud2.create_cloud_xyz32(Header(), np.array([[1, 2, 3]], dtype=np.float32))
    cloud.data = np.array([[1, 2, 3]], dtype=">f4").tobytes()
    cloud.is_bigendian = True
    np.testing.assert_array_equal(point_cloud2.read_points_numpy(cloud), [[1, 2, 3]])


def test_a_field_with_several_elements_becomes_several_columns():
    fields = [PointField(name="feature", offset=0, datatype=PointField.FLOAT64, count=3)]
    cloud = PointCloud2(height=1, width=1, fields=fields, point_step=24, row_step=24)
    cloud.data = np.array([1.0, 2.0, 3.0]).tobytes()
    assert point_cloud2.read_points(cloud).dtype.names == ("feature_0", "feature_1", "feature_2")


def test_wrong_requests_are_refused():
    cloud = point_cloud2.create_cloud(Header(), FIELDS, points(2))
    with pytest.raises(AssertionError, match="not in the fields"):
        point_cloud2.read_points(cloud, ["intensity"])
    with pytest.raises(AssertionError, match="same datatype"):
        point_cloud2.read_points_numpy(cloud)
    with pytest.raises(AssertionError, match="do not match"):
        point_cloud2.create_cloud(Header(), FIELDS[:3], points(2))
