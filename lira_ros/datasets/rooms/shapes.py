"""Surfaces that furniture is made of: boxes, rounded boxes, turned shapes, tubes, leaves.

All lengths in metres. Texture coordinates are metres along the surface, so that a pattern has its true size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Shape:
    """A triangle mesh. vertices, normals: (V, 3), uv: (V, 2) [m] float64; triangles: (T, 3) int32."""

    vertices: NDArray[np.float64]
    normals: NDArray[np.float64]
    uv: NDArray[np.float64]
    triangles: NDArray[np.int32]

    def moved(self, offset: ArrayLike, yaw_deg: float = 0.0, tilt_deg: Sequence[float] = (0.0, 0.0)) -> Shape:
        """Return the shape turned about x and y (tilt), then about z (yaw), then shifted by ``offset``."""
        turn = Rotation.from_euler("xyz", [tilt_deg[0], tilt_deg[1], yaw_deg], degrees=True).as_matrix()
        return Shape(self.vertices @ turn.T + np.asarray(offset), self.normals @ turn.T, self.uv, self.triangles)

    def scaled(self, factors: ArrayLike) -> Shape:
        """Return the shape stretched along the axes."""
        scale = np.asarray(factors, dtype=np.float64)
        normals = self.normals / scale
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        return Shape(self.vertices * scale, normals, self.uv, self.triangles)


def joined(shapes: Sequence[Shape]) -> Shape:
    """Return several shapes as one."""
    offsets = np.cumsum([0, *(len(shape.vertices) for shape in shapes)])
    return Shape(
        np.concatenate([shape.vertices for shape in shapes]),
        np.concatenate([shape.normals for shape in shapes]),
        np.concatenate([shape.uv for shape in shapes]),
        np.concatenate([shape.triangles + offset for shape, offset in zip(shapes, offsets[:-1], strict=True)]).astype(
            np.int32
        ),
    )


def _grid_triangles(rows: int, columns: int) -> NDArray[np.int32]:
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1)
    first = np.stack([corner, corner + 1, corner + columns + 1], axis=-1)
    second = np.stack([corner, corner + columns + 1, corner + columns], axis=-1)
    return np.concatenate([first, second]).astype(np.int32)


def sheet(corner: ArrayLike, along_u: ArrayLike, along_v: ArrayLike, step_m: float = 0.08) -> Shape:
    """Return a flat rectangle from a corner and two edges, cut into squares of about ``step_m``."""
    origin, u, v = (np.asarray(item, dtype=np.float64) for item in (corner, along_u, along_v))
    length_u, length_v = float(np.linalg.norm(u)), float(np.linalg.norm(v))
    columns, rows = max(2, round(length_u / step_m) + 1), max(2, round(length_v / step_m) + 1)
    s, t = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    vertices = origin + s.reshape(-1, 1) * u + t.reshape(-1, 1) * v
    normal = np.cross(u, v) / (length_u * length_v)
    uv = np.stack([s.reshape(-1) * length_u, t.reshape(-1) * length_v], axis=-1)
    return Shape(vertices, np.tile(normal, (len(vertices), 1)), uv, _grid_triangles(rows, columns))


def _axis_positions(half: float, radius: float, step_m: float, arc: int) -> NDArray[np.float64]:
    flat = half - radius
    inner = np.linspace(-flat, flat, max(2, round(2 * flat / step_m) + 1)) if flat > 1e-9 else np.zeros(1)
    if radius <= 0:
        return inner
    bend = flat + radius * np.tan(np.linspace(0, math.pi / 4, arc + 1)[1:])
    return np.concatenate([-bend[::-1], inner, bend])


def box(size: Sequence[float], center: ArrayLike = (0, 0, 0), radius: float = 0.0, step_m: float = 0.12) -> Shape:
    """Return a box of size (x, y, z) around a centre; edges rounded with ``radius``."""
    half = np.asarray(size, dtype=np.float64) / 2
    radius = min(radius, float(half.min()) * 0.999)
    # Small roundings need one facet only to catch the light.
    arc = 3 if radius > 0.02 else 1
    shapes = []
    for axis in range(3):
        u_axis, v_axis = (axis + 1) % 3, (axis + 2) % 3
        u = _axis_positions(float(half[u_axis]), radius, step_m, arc)
        v = _axis_positions(float(half[v_axis]), radius, step_m, arc)
        grid_u, grid_v = (item.reshape(-1) for item in np.meshgrid(u, v))
        for side in (-1.0, 1.0):
            points = np.zeros((len(grid_u), 3))
            points[:, axis], points[:, u_axis], points[:, v_axis] = side * half[axis], grid_u, grid_v
            # Grain and pattern run along the longer edge of each face.
            uv = np.stack([grid_u, grid_v], axis=-1)
            uv = uv if half[u_axis] >= half[v_axis] else uv[:, ::-1]
            if radius > 0:
                core = np.clip(points, -(half - radius), half - radius)
                normals = points - core
                normals /= np.linalg.norm(normals, axis=1, keepdims=True)
                points = core + radius * normals
            else:
                normals = np.zeros_like(points)
                normals[:, axis] = side
            shapes.append(Shape(points + np.asarray(center), normals, uv, _grid_triangles(len(v), len(u))))
    return joined(shapes)


def turned(profile: Sequence[tuple[float, float]], segments: int = 24) -> Shape:
    """Return a surface of revolution about z from (radius, height) points, bottom to top outside."""
    points = np.asarray(profile, dtype=np.float64)
    edges = np.diff(points, axis=0)
    edge_normals = np.stack([edges[:, 1], -edges[:, 0]], axis=-1)
    edge_normals /= np.maximum(np.linalg.norm(edge_normals, axis=1, keepdims=True), 1e-12)
    normals = np.concatenate([edge_normals[:1], edge_normals[:-1] + edge_normals[1:], edge_normals[-1:]])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    angle = np.linspace(0, 2 * math.pi, segments + 1)
    cosine, sine = np.cos(angle), np.sin(angle)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(edges, axis=1))])
    widest = float(points[:, 0].max())
    vertices = np.stack(
        [
            points[:, :1] * cosine,
            points[:, :1] * sine,
            np.broadcast_to(points[:, 1:], (len(points), segments + 1)),
        ],
        axis=-1,
    )
    directions = np.stack(
        [normals[:, :1] * cosine, normals[:, :1] * sine, np.broadcast_to(normals[:, 1:], (len(points), segments + 1))],
        axis=-1,
    )
    uv = np.stack(np.broadcast_arrays(angle * widest, along[:, None]), axis=-1)
    triangles = _grid_triangles(len(points), segments + 1)
    return Shape(vertices.reshape(-1, 3), directions.reshape(-1, 3), uv.reshape(-1, 2), triangles)


def disc(radius: float, height: float, rings: int = 4, segments: int = 32, up: bool = True) -> Shape:
    """Return a flat round surface at a height, with uv in metres across."""
    radii = np.linspace(radius, 0, rings + 1) if up else np.linspace(0, radius, rings + 1)
    flat = turned([(float(r), height) for r in radii], segments)
    normals = np.zeros_like(flat.vertices)
    normals[:, 2] = 1.0 if up else -1.0
    return Shape(flat.vertices, normals, flat.vertices[:, :2].copy(), flat.triangles)


def cylinder(radius: float, height: float, base: float = 0.0, segments: int = 24) -> Shape:
    """Return an upright closed cylinder that stands at height ``base``."""
    rows = max(1, round(height / 0.06))
    wall = turned([(radius, base + height * i / rows) for i in range(rows + 1)], segments)
    return joined([wall, disc(radius, base + height, 2, segments), disc(radius, base, 1, segments, up=False)])


def ball(radius: float, center: ArrayLike = (0, 0, 0), segments: int = 24) -> Shape:
    """Return a sphere."""
    angles = np.linspace(-math.pi / 2, math.pi / 2, segments // 2 + 1)
    return turned([(radius * math.cos(a), radius * math.sin(a)) for a in angles], segments).moved(center)


def tube(path: ArrayLike, radius: float, segments: int = 10) -> Shape:
    """Return a tube around a path of (N, 3) points, with flat ends left open."""
    points = np.asarray(path, dtype=np.float64)
    tangents = np.gradient(points, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    # A fixed helper that no tangent is parallel to keeps the rings from twisting.
    spread = np.abs(tangents).max(axis=0)
    aside = np.eye(3)[int(np.argmin(spread))]
    first = np.cross(tangents, aside)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(tangents, first)
    angle = np.linspace(0, 2 * math.pi, segments + 1)
    normals = first[:, None] * np.cos(angle)[None, :, None] + second[:, None] * np.sin(angle)[None, :, None]
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    uv = np.stack(np.broadcast_arrays(angle * radius, along[:, None]), axis=-1)
    vertices = points[:, None] + radius * normals
    return Shape(
        vertices.reshape(-1, 3), normals.reshape(-1, 3), uv.reshape(-1, 2), _grid_triangles(len(points), segments + 1)
    )


def leaf(length: float, width: float, lift_deg: float, bend: float) -> Shape:
    """Return a leaf that starts at the origin, points along +x, rises by ``lift_deg`` and hangs by ``bend``."""
    s = np.linspace(0, 1, 8)
    across = np.array([-1.0, 0.0, 1.0])
    half = width / 2 * np.sin(np.pi * np.clip(s * 0.96 + 0.02, 0, 1)) ** 0.8
    lift = math.radians(lift_deg)
    x = length * s * math.cos(lift)
    z = length * (s * math.sin(lift) - bend * s**2)
    vertices = np.zeros((len(s), 3, 3))
    vertices[..., 0] = x[:, None]
    vertices[..., 1] = half[:, None] * across
    # The middle vein lies lower than the rims.
    vertices[..., 2] = z[:, None] + 0.25 * half[:, None] * np.abs(across)
    slope = np.gradient(z, x)
    normals = np.stack([-slope, np.zeros_like(slope), np.ones_like(slope)], axis=-1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    directions = np.repeat(normals[:, None], 3, axis=1)
    directions[..., 1] -= 0.25 * across
    uv = np.stack([np.broadcast_to(length * s[:, None], (len(s), 3)), half[:, None] * across], axis=-1)
    return Shape(vertices.reshape(-1, 3), directions.reshape(-1, 3), uv.reshape(-1, 2), _grid_triangles(len(s), 3))
