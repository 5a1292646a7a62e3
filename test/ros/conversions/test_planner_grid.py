"""Grids of planners from messages, and the heights that go with them."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import PointCloud2

from lira_ros.mapping.distance_field import FREE, OCCUPIED, UNKNOWN, DistanceSlice
from lira_ros.ros.conversions.grid import grid_from_message, heights_from_cloud, slice_to_heights, slice_to_occupancy
from lira_ros.ros.errors import ConversionError


def example() -> DistanceSlice:
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("z", 0.4).as_matrix()
    T[:3, 3] = (1.0, -2.0, 0.3)
    states = np.array([[FREE, OCCUPIED, UNKNOWN], [OCCUPIED, FREE, FREE]], np.uint8)
    heights = np.array([[np.nan, 0.75, np.nan], [np.inf, np.nan, np.nan]], np.float32)
    return DistanceSlice(T, 0.05, 0.1, 1.5, "occupied", states, np.zeros((2, 3), np.float32), heights)


def test_a_grid_comes_back_as_it_was_sent():
    cells = example()
    grid = grid_from_message(slice_to_occupancy(cells, 5, "map"), "/grid")
    assert grid.values.tolist() == [[0, 100, -1], [100, 0, 0]]
    assert (grid.resolution_m, grid.frame_id, grid.stamp_ns) == (0.05, "map", 5)
    assert grid.T_frame_grid == pytest.approx(cells.T_map_slice)


def test_heights_come_back_and_their_points_lie_on_top():
    cells = example()
    message = slice_to_heights(cells, 5, "map")
    stamp_ns, heights = heights_from_cloud(message, "/heights")
    assert stamp_ns == 5
    assert np.array_equal(heights, cells.heights_m, equal_nan=True)
    records = np.frombuffer(message.data, "<f4").reshape(2, 3, 4)
    assert records[0, 1, 2] == pytest.approx(0.3 + 0.75)
    assert records[1, 0, 2] == pytest.approx(0.3 + 1.5), "what goes on above ends at the top of the slab"
    assert np.isnan(records[0, 0, :3]).any()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda m: m.data.pop(), "3 x 2 cells in data, got 5"),
        (lambda m: setattr(m.info, "resolution", 0.0), "resolution above 0 m, got 0.0"),
        (lambda m: setattr(m.info, "resolution", float("nan")), "resolution"),
        (lambda m: m.data.__setitem__(0, 101), "-1 to 100, got -1 to 101"),
        (lambda m: m.data.__setitem__(0, -5), "-5"),
        (lambda m: setattr(m.info.origin.orientation, "w", 5.0), "info.origin"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused_by_name(spoil, said):
    message = slice_to_occupancy(example(), 5, "map")
    spoil(message)
    with pytest.raises(ConversionError, match=said) as refused:
        grid_from_message(message, "/grid")
    assert "/grid" in str(refused.value)


def test_a_cloud_of_another_form_is_no_heights():
    message = slice_to_heights(example(), 5, "map")
    message.data = message.data[:-4]
    with pytest.raises(ConversionError, match="/heights: expected 2 x 3 points"):
        heights_from_cloud(message, "/heights")
    with pytest.raises(ConversionError, match="intensity"):
        heights_from_cloud(PointCloud2(), "/heights")
