"""The voxels of a fragment: where the cube lies, which voxels there are, and how far they are from the surface."""

import numpy as np
import pytest
from box_scene import CAMERA, Box, look_at, render

pytest.importorskip("torch", reason="PyTorch is not installed here")

from lira_ros.fusion.tiff.fragment_volume import View, fragment_volume
from lira_ros.geometry.camera import Camera

CRATE = Box(1, (-0.4, -0.2, 0.0), (0.0, 0.2, 0.4))


def view(position, target=(0.0, 0.0, 0.2), boxes=(CRATE,), shift=(0.0, 0.0, 0.0)):
    T = look_at(position, target)
    depth, _ = render(boxes, T)
    T[:3, 3] += shift
    return View(depth, np.full((120, 160, 3), 90, np.uint8), CAMERA, T)


def test_the_cube_lies_on_whole_steps_around_the_views_and_begins_below_the_floor():
    volume = fragment_volume([view((1.5, 0.3, 1.2)), view((1.2, 1.0, 1.2))])
    assert (volume.origin_voxels % 8 == 0).all()
    assert volume.origin_voxels[2] == -8
    assert volume.coordinates.min() >= 0
    assert volume.coordinates.max() <= 95
    assert (np.diff(volume.coordinates @ (96 * 96, 96, 1)) > 0).all()  # in the order x, y, z
    moved = fragment_volume([view(p, shift=(0.64, -0.32, 0.0)) for p in ((1.5, 0.3, 1.2), (1.2, 1.0, 1.2))])
    np.testing.assert_array_equal(moved.origin_voxels - volume.origin_voxels, (16, -8, 0))
    # A cube that moves along with the views has the same voxels, but for single pixels that round the other way.
    both = np.isin(moved.coordinates @ (96 * 96, 96, 1), volume.coordinates @ (96 * 96, 96, 1))
    assert both.mean() > 0.999


def test_distances_are_those_of_the_floor_below_a_camera_that_looks_down():
    down = np.array([[1.0, 0, 0, 0.1], [0, -1.0, 0, 0.1], [0, 0, -1.0, 1.5], [0, 0, 0, 1.0]])
    volume = fragment_volume(
        [View(np.full((120, 160), 1.5, np.float32), np.zeros((120, 160, 3), np.uint8), CAMERA, down)]
    )
    z = volume.points_m[:, 2]
    np.testing.assert_allclose(volume.tsdf, np.clip(z / 0.12, -1, 1), atol=1e-5)
    assert z.min() == pytest.approx(-0.08)
    assert z.max() == pytest.approx(0.08)
    inside = np.abs(z) < 0.05
    np.testing.assert_allclose(volume.normals[inside], np.tile((0.0, 0.0, 1.0), (inside.sum(), 1)), atol=1e-4)


def test_what_is_behind_the_depth_and_beyond_three_metres_is_not_seen():
    down = np.array([[1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, -1.0, 2.0], [0, 0, 0, 1.0]])
    color = np.zeros((120, 160, 3), np.uint8)
    near, far = np.full((120, 160), 1.0, np.float32), np.full((120, 160), 3.1, np.float32)
    assert len(fragment_volume([View(far, color, CAMERA, down)]).coordinates) == 0
    shelf = fragment_volume([View(near, color, CAMERA, down)])
    assert shelf.points_m[:, 2].min() > 1.0 - 0.12 - 1e-9
    # Two views that differ are averaged: 1.0 and 1.04 m give a surface at 1.02 m.
    other = fragment_volume([View(near, color, CAMERA, down), View(near - np.float32(0.04), color, CAMERA, down)])
    z = other.points_m[:, 2]
    middle = np.abs(z - 1.02) < 0.07
    np.testing.assert_allclose(other.tsdf[middle], (z[middle] - 1.02) / 0.12, atol=1e-4)


def test_a_fragment_has_views():
    with pytest.raises(ValueError, match="cameras"):
        fragment_volume([])


def test_pictures_of_any_size_and_shape_give_the_same_surface():
    T = look_at((1.5, 0.3, 1.2), (0.0, 0.0, 0.2))
    large = Camera(320, 180, 280.0, 280.0, 159.5, 89.5)
    depth, _ = render((CRATE,), T, large)
    volume = fragment_volume([View(depth, np.zeros((180, 320, 3), np.uint8), large, T)])
    x, y, z = volume.points_m.T
    top = (np.abs(z - 0.4) < 0.01) & (x > -0.3) & (x < -0.1) & (np.abs(y) < 0.1)
    assert top.sum() > 15
    np.testing.assert_allclose(volume.tsdf[top], 0.0, atol=0.1)
