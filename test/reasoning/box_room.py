"""A room of boxes seen by a depth camera, for the tests of what works on keyframes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe


@dataclass(frozen=True)
class Box:
    """An upright box: two opposite corners [m] in a map with z up, and its colour."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    color: tuple[int, int, int]


FLOOR = Box((-4.0, -4.0, -0.1), (4.0, 4.0, 0.0), (120, 120, 125))
WALL = Box((-4.0, 3.2, 0.0), (4.0, 3.3, 2.6), (230, 230, 225))
TABLE = Box((-0.7, 1.2, 0.70), (0.7, 2.0, 0.74), (150, 100, 60))
CARTON = Box((-0.45, 1.5, 0.74), (-0.2, 1.7, 0.90), (40, 70, 170))
CUP = Box((0.25, 1.45, 0.74), (0.33, 1.53, 0.85), (200, 30, 35))
CHEST = Box((-2.0, 2.2, 0.0), (-1.2, 2.7, 0.5), (60, 120, 60))
ROOM = (FLOOR, WALL, TABLE, CARTON, CUP, CHEST)

T_MAP_LEVEL = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])  # z forward is +y of the map


def look(boxes=ROOM, *, width_px=320, height_px=240, pitch_deg=25.0, eye=(-0.3, -0.4, 1.5), noise=True, keyframe_id=1):
    """Render boxes; returns the keyframe (up +z, floor 0) and the (H, W) index of the box in each pixel, -1 = none."""
    camera = Camera(width_px, height_px, 0.85 * width_px, 0.85 * width_px, (width_px - 1) / 2, (height_px - 1) / 2)
    pitch = np.radians(pitch_deg)
    T_map_camera = T_MAP_LEVEL.copy()
    turn = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    T_map_camera[:3, :3] = T_MAP_LEVEL[:3, :3] @ turn
    T_map_camera[:3, 3] = eye
    rays = camera.unproject(np.ones((height_px, width_px), dtype=np.float32)) @ T_map_camera[:3, :3].T
    depth = np.full((height_px, width_px), np.inf)
    index = np.full((height_px, width_px), -1)
    for number, box in enumerate(boxes):
        with np.errstate(divide="ignore", invalid="ignore"):
            first, second = (np.array(box.low) - eye) / rays, (np.array(box.high) - eye) / rays
        near, far = np.minimum(first, second).max(axis=-1), np.maximum(first, second).min(axis=-1)
        hit = (near < far) & (near > 0) & (near < depth)
        depth[hit], index[hit] = near[hit], number
    generator = np.random.default_rng(4)
    depth = np.where(np.isfinite(depth), depth, 0.0)
    if noise:
        depth += generator.normal(0, 0.0015, depth.shape) * depth**2 * (depth > 0)
        depth[generator.random(depth.shape) < 0.02] = 0.0
    palette = np.array([box.color for box in boxes] + [(0, 0, 0)])
    color = np.clip(palette[index] + generator.normal(0, 4, (*index.shape, 3)), 0, 255).astype(np.uint8)
    frame = Frame(1000 * keyframe_id, color, np.maximum(depth, 0).astype(np.float32), camera, T_map_camera)
    return Keyframe(keyframe_id, frame, np.array([0.0, 0.0, 1.0]), 0.0), index
