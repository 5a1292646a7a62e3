"""The rasteriser against planes, ray casting and shared edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.pose import from_quaternion
from lira_ros.geometry.rasterizer import NEAR_M, rasterize

CAMERA = Camera(48, 36, 40.0, 42.0, 23.0, 18.5)
EYE = np.eye(4)


def _rays(camera: Camera) -> np.ndarray:
    x, y = np.meshgrid(np.arange(camera.width_px), np.arange(camera.height_px))
    return np.stack([(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, np.ones_like(x, float)], axis=-1)


def _cast(vertices: np.ndarray, triangles: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return depth (inf = nothing) and distance from the nearest edge in weights, by ray casting."""
    depth = np.full(rays.shape[:2], np.inf)
    margin = np.full(rays.shape[:2], np.inf)
    for corners in triangles:
        matrix = vertices[corners].T
        if abs(np.linalg.det(matrix)) < 1e-9:
            continue
        weights = rays @ np.linalg.inv(matrix).T
        z = 1.0 / weights.sum(axis=-1)
        weights = weights * z[..., None]
        margin = np.minimum(margin, np.abs(weights).min(axis=-1))
        hit = (weights >= 0).all(axis=-1) & (z > NEAR_M) & (z < depth)
        depth[hit] = z[hit]
    return depth, margin


@settings(max_examples=40, deadline=None)
@given(
    normal=st.tuples(st.floats(-0.8, 0.8), st.floats(-0.8, 0.8)),
    distance=st.floats(0.3, 8.0),
    seed=st.integers(0, 1000),
)
def test_plane_has_its_depth_at_every_pixel(normal: tuple[float, float], distance: float, seed: int) -> None:
    # A large square in the plane n . p = distance, anywhere in the map.
    n = np.array([*normal, 1.0]) / np.linalg.norm([*normal, 1.0])
    first = np.cross(n, [0.0, 1.0, 0.1])
    first /= np.linalg.norm(first)
    second = np.cross(n, first)
    corners = n * distance + 500.0 * np.array([-first - second, first - second, first + second, -first + second])
    q = np.random.default_rng(seed).normal(size=4)
    pose = from_quaternion((1.0, -2.0, 0.5), q / np.linalg.norm(q), "pose")
    in_map = corners @ pose[:3, :3].T + pose[:3, 3]
    raster = rasterize(in_map, np.array([[0, 1, 2], [0, 2, 3]]), CAMERA, pose)
    expected = distance / (_rays(CAMERA) @ n)
    visible = (expected > NEAR_M * 1.01) & (expected < 100.0)
    assert np.allclose(raster.depth_m[visible], expected[visible], rtol=1e-5)
    assert (raster.triangle[visible] >= 0).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 100_000), count=st.integers(1, 12))
def test_equals_ray_casting_also_behind_the_camera(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    vertices = random.uniform((-2, -2, -1), (2, 2, 4), (3 * count, 3))
    triangles = np.arange(3 * count).reshape(count, 3)
    raster = rasterize(vertices, triangles, CAMERA, EYE)
    expected, margin = _cast(vertices, triangles, _rays(CAMERA))
    clear = margin > 1e-5
    drawn = raster.triangle >= 0
    assert np.array_equal(drawn[clear], np.isfinite(expected)[clear])
    both = clear & drawn
    assert np.allclose(raster.depth_m[both], expected[both], rtol=1e-4)
    # The weights rebuild the point on the surface.
    points = np.einsum("nk,nkd->nd", raster.barycentric[both], vertices[triangles[raster.triangle[both]]])
    assert np.allclose(points, _rays(CAMERA)[both] * expected[both][:, None], atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_meshes_have_no_cracks(seed: int) -> None:
    # A wavy sheet of many small triangles that covers the view.
    random = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(-3, 3, 40), np.linspace(-3, 3, 40))
    z = 2.0 + 0.2 * random.standard_normal(x.shape)
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    corner = (np.arange(39)[:, None] * 40 + np.arange(39)).reshape(-1)
    lower = np.stack([corner, corner + 1, corner + 41], axis=-1)
    triangles = np.concatenate([lower, np.stack([corner, corner + 41, corner + 40], axis=-1)])
    assert (rasterize(vertices, triangles, CAMERA, EYE).triangle >= 0).all()


def test_scaled_camera_sees_the_same_scene() -> None:
    vertices = np.array([[-1.0, -1.0, 2.0], [1.0, -1.0, 2.5], [0.0, 1.0, 3.0]])
    triangles = np.array([[0, 1, 2]])
    small = rasterize(vertices, triangles, CAMERA, EYE)
    large = rasterize(vertices, triangles, CAMERA.scaled(96, 72), EYE)
    mean = large.depth_m.reshape(36, 2, 48, 2).mean(axis=(1, 3))
    inside = (large.triangle.reshape(36, 2, 48, 2) >= 0).all(axis=(1, 3))
    assert np.allclose(small.depth_m[inside], mean[inside], rtol=1e-3)


def test_nearer_surfaces_hide_and_both_faces_are_drawn() -> None:
    square = np.array([[-9, -9, 0], [9, -9, 0], [0, 18, 0]], float)
    vertices = np.concatenate([square + np.array([0, 0, 3]), square[::-1] + np.array([0, 0, 2])])
    raster = rasterize(vertices, np.array([[0, 1, 2], [3, 4, 5]]), CAMERA, EYE)
    assert (raster.triangle == 1).all()
    assert np.allclose(raster.depth_m, 2.0)


def test_empty_mesh_and_bad_input() -> None:
    nothing = rasterize(np.zeros((0, 3)), np.zeros((0, 3), np.int32), CAMERA, EYE)
    assert (nothing.triangle == -1).all()
    assert not nothing.depth_m.any()
    with pytest.raises(ValueError, match=r"triangles: expected indices 0 to 2, got 0 to 3"):
        rasterize(np.zeros((3, 3)), np.array([[0, 1, 3]]), CAMERA, EYE)
    with pytest.raises(ValueError, match="vertices: contain NaN"):
        rasterize(np.full((3, 3), np.nan), np.array([[0, 1, 2]]), CAMERA, EYE)
    with pytest.raises(ValueError, match=r"vertices: expected shape"):
        rasterize(np.zeros((3, 2)), np.array([[0, 1, 2]]), CAMERA, EYE)
