import numpy as np
import pytest
from analytic_scene import CAMERA as SMALL
from analytic_scene import frame_of, plane_depth

from lira_ros.geometry.camera import Camera
from lira_ros.mapping import lira_volume as lira
from lira_ros.mapping import voxel
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.tsdf import Volume

CAMERA = Camera(640, 480, 320.0, 320.0, 320.0, 240.0)


def facing_x(x=0.0, y=0.0, z=1.5):
    """T_map_camera of a level camera that looks along the map's x."""
    T = np.eye(4)
    T[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    T[:3, 3] = x, y, z
    return T


def test_views_reach_three_metres():
    lower, upper = lira.frustum_bounds([CAMERA], facing_x()[None])
    # 45 degrees to each side, 36.9 degrees up and down: +-3 m and +-2.25 m at a depth of 3 m.
    np.testing.assert_allclose(lower, (0.0, -3.0, 1.5 - 2.25), atol=1e-12)
    np.testing.assert_allclose(upper, (3.0, 3.0, 1.5 + 2.25), atol=1e-12)
    both = np.array([facing_x(), facing_x(x=1.0, y=0.5)])
    lower, upper = lira.frustum_bounds([CAMERA, CAMERA], both)
    np.testing.assert_allclose((lower[:2], upper[:2]), ((0.0, -3.0), (4.0, 3.5)), atol=1e-12)
    for cameras, poses in (([], np.zeros((0, 4, 4))), ([CAMERA], both)):
        with pytest.raises(ValueError, match="cameras"):
            lira.frustum_bounds(cameras, poses)


@pytest.mark.parametrize(
    ("lower", "upper", "origin"),
    [
        # The middle 1.5 m is voxel 37.5, the nearest multiple of 8 is 40; y 0 stays; z begins at -0.32 m.
        ((0.0, -3.0, -0.75), (3.0, 3.0, 3.75), (40 - 48, -48, -8)),
        # 2 m is voxel 50, nearest 48; 0.25 m is voxel 6.25, nearest 8.
        ((0.0, -3.0, 10.0), (4.0, 3.5, 20.0), (0, 8 - 48, -8)),
        # -1.1 m is voxel -27.5, nearest -24 (3.5 away, -32 is 4.5 away).
        ((-2.2, 0.0, 0.0), (0.0, 0.0, 0.0), (-24 - 48, -48, -8)),
    ],
)
def test_the_volume_snaps_to_eight_voxels(lower, upper, origin):
    found = lira.volume_origin(np.array(lower), np.array(upper))
    np.testing.assert_array_equal(found, origin)
    np.testing.assert_allclose(found[2] * 0.04, -0.32)
    np.testing.assert_allclose((found[2] + 96) * 0.04, 3.52)


def volume_with(values, voxel_size_m, truncation_m):
    """A volume with the given (tsdf, weight, rgb) by voxel."""
    volume = Volume(voxel_size_m, truncation_m, 4096)
    for place, (tsdf, weight, rgb) in values.items():
        block = np.array(place) >> 3
        index = volume.allocate(block[None].astype(np.int32))[0]
        local = int((np.array(place) & 7) @ (1, 8, 64))
        volume.records[index, [voxel.TSDF, voxel.WEIGHT], local] = tsdf, weight
        volume.records[index, voxel.RED : voxel.RED + 3, local] = rgb
    return volume


def test_equal_voxels_are_taken_over_in_lira_s_units():
    values = {
        (-48, -48, -8): (0.3, 2.0, (10, 20, 30)),
        (47, 47, 87): (-0.6, 5.0, (200, 100, 50)),
        (0, 3, 5): (1.0, 7.0, (0, 0, 0)),
        (1, 9, 17): (-1.0, 1.0, (0, 0, 0)),
        (48, 0, 0): (0.1, 1.0, (1, 1, 1)),  # outside
    }
    found = lira.lira_volume(volume_with(values, 0.04, 0.16), np.array([-48, -48, -8]))
    # 0.3 of 16 cm are 0.4 of LIRA's 12 cm; 0.6 are 0.8.
    assert found.tsdf[0, 0, 0] == pytest.approx(0.4)
    assert found.tsdf[95, 95, 95] == pytest.approx(-0.8)
    assert (found.tsdf[48, 51, 13], found.tsdf[49, 57, 25]) == (1.0, -1.0)
    assert (found.weight[0, 0, 0], found.weight[95, 95, 95], found.weight[48, 51, 13]) == (2.0, 5.0, 7.0)
    assert (found.weight > 0).sum() == 4
    assert found.tsdf[50, 50, 50] == 1.0  # nothing observed
    np.testing.assert_array_equal(found.color[95, 95, 95], (200, 100, 50))
    np.testing.assert_array_equal(np.argwhere(found.occupied), [(0, 0, 0), (95, 95, 95)])
    np.testing.assert_allclose(found.origin_m, (-1.92, -1.92, -0.32))
    assert found.tsdf.shape == found.weight.shape == (96, 96, 96)


def test_finer_voxels_are_taken_at_lira_s_places():
    # A voxel of 4 cm is every second one of 2 cm. Truncation of 6 voxels is LIRA's 12 cm.
    values = {(2 * 5, 2 * 6, 2 * 7): (0.25, 3.0, (9, 8, 7)), (2 * 5 + 1, 12, 14): (0.75, 3.0, (9, 8, 7))}
    found = lira.lira_volume(volume_with(values, 0.02, 0.12), np.array([0, 0, -8]))
    assert found.tsdf[5, 6, 15] == pytest.approx(0.25)
    assert (found.weight > 0).sum() == 1
    # A short truncation leaves what lies beyond it unknown, and says so by saturation.
    short = lira.lira_volume(volume_with({(10, 12, 14): (-1.0, 3.0, (9, 8, 7))}, 0.02, 0.08), np.array([0, 0, -8]))
    assert short.tsdf[5, 6, 15] == -1.0
    half = lira.lira_volume(volume_with({(10, 12, 14): (0.5, 3.0, (9, 8, 7))}, 0.02, 0.08), np.array([0, 0, -8]))
    assert half.tsdf[5, 6, 15] == pytest.approx(0.04 / 0.12)


def test_an_origin_off_the_grid_is_refused():
    with pytest.raises(ValueError, match="multiples of 8"):
        lira.lira_volume(Volume(0.04, 0.12, 1), np.array([4, 0, 0]))


def test_a_wall_of_the_map_is_where_it_was_seen():
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.02, truncation_voxels=6.0, up="+z"))
    T = facing_x(0.1, 0.2, 1.3)
    mapper.add_frame(frame_of(plane_depth(SMALL, T, (1, 0, 0), 1.5), T))
    found = mapper.lira_volume([SMALL], T[None])
    x, y, z = np.nonzero(found.occupied)
    # Surface at x = 1.5 m: within 12 cm of it, and exact where two voxels of 4 cm enclose it.
    centre = (found.origin_voxels[0] + x) * 0.04
    assert np.abs(centre - 1.5).max() < 0.12
    np.testing.assert_allclose(found.tsdf[x, y, z], (1.5 - centre) / 0.12, atol=0.02)
    assert (found.color[x, y, z] == (200, 100, 50)).all(axis=1).mean() > 0.95
    np.testing.assert_array_equal(found.origin_voxels, lira.volume_origin(*lira.frustum_bounds([SMALL], T[None])))
