"""Depth reprojected into the colour camera: against an analytic plane, occlusion, holes, identity."""

import numpy as np
import pytest

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.pose import from_quaternion, inverse
from lira_ros.geometry.registration import registered_depth

DEPTH_CAMERA = Camera(80, 60, 70.0, 70.0, 39.5, 29.5)
COLOR_CAMERA = Camera(160, 120, 200.0, 200.0, 79.5, 59.5)
IDENTITY = np.eye(4)


def plane_depth(camera: Camera, T_world_camera: np.ndarray, normal, distance) -> np.ndarray:
    """Return the exact depth of the plane normal . p = distance (world) in each pixel."""
    v, u = np.mgrid[: camera.height_px, : camera.width_px]
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u, float)], axis=-1)
    directions = rays @ T_world_camera[:3, :3].T
    return ((distance - normal @ T_world_camera[:3, 3]) / (directions @ normal)).astype(np.float32)


def test_identity_keeps_every_pixel():
    depth = np.random.default_rng(0).uniform(0.5, 4.0, (60, 80)).astype(np.float32)
    depth[10:20, 30:40] = 0.0
    np.testing.assert_allclose(registered_depth(depth, DEPTH_CAMERA, DEPTH_CAMERA, IDENTITY), depth, rtol=1e-6)


def test_a_slanted_plane_is_seen_from_the_other_camera():
    T_color_depth = from_quaternion((0.03, -0.01, 0.005), (0.01, 0.02, 0.0, np.sqrt(1 - 0.0005)), "T")
    normal = np.array([0.2, 0.1, 1.0]) / np.linalg.norm([0.2, 0.1, 1.0])
    depth = plane_depth(DEPTH_CAMERA, IDENTITY, normal, 2.0)
    expected = plane_depth(COLOR_CAMERA, inverse(T_color_depth), normal, 2.0)
    result = registered_depth(depth, DEPTH_CAMERA, COLOR_CAMERA, T_color_depth)
    inner = (slice(12, -12), slice(12, -12))
    assert (result[inner] > 0).all()  # no holes although colour has four times the pixels
    assert np.abs(result[inner] - expected[inner]).max() < 0.01


def test_the_nearer_surface_wins():
    depth = np.full((60, 80), 3.0, dtype=np.float32)
    depth[:, 40:] = 1.0
    T_color_depth = from_quaternion((0.2, 0, 0), (0, 0, 0, 1), "T")  # the colour camera is 0.2 m to the left
    result = registered_depth(depth, DEPTH_CAMERA, DEPTH_CAMERA, T_color_depth)
    # x_px = fx * 0.2 / z: the near half starts 14 px further right, the far half 4.7 px; between them is a shadow.
    assert (result[30, 55:] == 1.0).all()
    assert set(np.unique(result)) == {0.0, 1.0, 3.0}
    T_color_depth[0, 3] = -0.2
    result = registered_depth(depth, DEPTH_CAMERA, DEPTH_CAMERA, T_color_depth)
    assert (result[30, 27:60] == 1.0).all()  # the near half covers what is behind it


def test_points_behind_the_colour_camera_are_left_out():
    depth = np.full((60, 80), 1.0, dtype=np.float32)
    T_color_depth = from_quaternion((0, 0, -2.0), (0, 0, 0, 1), "T")
    assert not registered_depth(depth, DEPTH_CAMERA, COLOR_CAMERA, T_color_depth).any()


def test_wrong_size_is_refused():
    with pytest.raises(ValueError, match=r"depth: expected shape \(60, 80\)"):
        registered_depth(np.zeros((3, 3), np.float32), DEPTH_CAMERA, COLOR_CAMERA, IDENTITY)
