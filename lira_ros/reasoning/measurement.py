"""Attributes measured from points: sizes in metres, heights, flatness, outline, colour.

All measures are robust against stray points, for points come from noisy views or from voxels.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from lira_ros.reasoning.color import color_name
from lira_ros.reasoning.contracts import Attributes

# Enough for stable percentiles and outlines; bounds the time.
_SAMPLES = 3000
# Heights are the 1st and 99th percentile: flying pixels at depth edges are rarely more than 1 % of an eroded view.
_PERCENTILE = 1.0
# The outline is drawn on a grid of this many cells along its longer side.
_GRID_CELLS = 32
# A cell of the outline holds points when it has this share of what a filled cell has on average.
_CELL_SHARE = 0.12
# A point lies in a plane within 4 % of the size of the thing, at least the noise of a depth camera at 1 m and at
# most the truncation of common maps.
_PLANE_RATIO, _PLANE_MIN_M, _PLANE_MAX_M = 0.04, 0.006, 0.025
_PLANE_TRIALS = 24


def horizontal_axes(up: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (3, 3): two horizontal unit vectors and ``up`` as rows, right-handed."""
    up = np.asarray(up, dtype=np.float64)
    first = np.cross(up, np.eye(3)[int(np.argmin(np.abs(up)))])
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(up, first), up])


def measure(
    points_map: NDArray[np.floating],
    colors: NDArray[np.uint8],
    up: NDArray[np.floating],
    floor_height_m: float,
    supported_by: str = "",
) -> Attributes:
    """Measure a set of points.

    points_map: (N, 3) [m] in the map frame. colors: (N, 3) uint8 RGB. up: (3,) unit vector against gravity.
    floor_height_m: height of the floor along ``up`` from the map origin, NaN = heights are not measured.
    Fewer than 4 points leave everything but the colour unmeasured. Raises ValueError for arrays that do not fit.
    """
    if points_map.ndim != 2 or points_map.shape[1] != 3 or colors.shape != points_map.shape:
        raise ValueError(f"measure: expected points (N, 3) and colors (N, 3), got {points_map.shape}, {colors.shape}")
    if len(points_map) > _SAMPLES:
        step = len(points_map) / _SAMPLES
        chosen = (np.arange(_SAMPLES) * step).astype(np.int64)
        points_map, colors = points_map[chosen], colors[chosen]
    color = color_name(colors)
    if len(points_map) < 4:
        return Attributes(color=color, supported_by=supported_by)
    local = points_map.astype(np.float64) @ horizontal_axes(up).T
    bottom, top = (float(value) for value in np.percentile(local[:, 2], [_PERCENTILE, 100.0 - _PERCENTILE]))
    length, width, roundness, fill = _outline(local[:, :2])
    flatness, horizontality = _plane(local, max(length, top - bottom))
    return Attributes(
        color=color,
        size_m=(length, width, top - bottom),
        bottom_height_m=bottom - floor_height_m,
        top_height_m=top - floor_height_m,
        flatness=flatness,
        horizontality=horizontality,
        roundness=roundness,
        elongation=length / max(width, 1e-3),
        fill=fill,
        supported_by=supported_by,
    )


def describe_attributes(attributes: Attributes) -> str:
    """Say in words what was measured: "flat level brown top, 0.74 m above the floor, 2.9 x 1.0 m"."""
    length, width, height = attributes.size_m
    words = []
    level = attributes.flatness > 0.8 and attributes.horizontality > 0.9
    if level:
        words.append("flat level")
    if attributes.roundness > 0.85 and attributes.elongation < 1.2:
        words.append("round")
    if attributes.color:
        words.append(attributes.color)
    words.append("top" if level and height < 0.12 and length > 0.4 else "thing")
    parts = [" ".join(words)]
    if level and math.isfinite(attributes.top_height_m):
        parts.append(f"{attributes.top_height_m:.2f} m above the floor")
    if math.isfinite(length) and math.isfinite(width) and math.isfinite(height):
        parts.append(f"{length:.2f} x {width:.2f} m" if level else f"{length:.2f} x {width:.2f} x {height:.2f} m")
    if attributes.supported_by:
        parts.append({"floor": "on the floor", "surface": "on a surface", "wall": "at a wall"}[attributes.supported_by])
    return ", ".join(parts)


def _outline(ground: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return length, width [m], roundness and fill of the outline of (N, 2) ground points."""
    low, high = np.percentile(ground, [0.5, 99.5], axis=0)
    extent = float(max((high - low).max(), 1e-3))
    # Stray points far outside would stretch the grid.
    near = ((ground > low - 0.1 * extent) & (ground < high + 0.1 * extent)).all(axis=1)
    ground = ground[near]
    origin = ground.min(axis=0)
    cell = float((ground.max(axis=0) - origin).max()) / _GRID_CELLS
    if cell <= 0.0:
        return 0.0, 0.0, 0.0, 0.0
    index = ((ground - origin) / cell).astype(np.int64)
    flat = index[:, 0] * (_GRID_CELLS + 1) + index[:, 1]
    counts = np.bincount(flat, minlength=(_GRID_CELLS + 1) ** 2)
    enough = _CELL_SHARE * float(counts[counts > 0].mean())
    kept = ground[counts[flat] >= enough].astype(np.float32)
    hull = cv2.convexHull(kept)
    if len(hull) < 3:
        spread = float(np.linalg.norm(kept.max(axis=0) - kept.min(axis=0)))
        return spread, 0.0, 0.0, 0.0
    _, sides, _ = cv2.minAreaRect(hull)
    length, width = float(max(sides)), float(min(sides))
    area = float(cv2.contourArea(hull))
    _, radius = cv2.minEnclosingCircle(hull)
    roundness = area / max(math.pi * float(radius) ** 2, 1e-9)
    occupied = (counts.reshape(_GRID_CELLS + 1, _GRID_CELLS + 1) >= max(1.0, enough)).astype(np.uint8)
    bordered = cv2.copyMakeBorder(occupied, 4, 4, 4, 4, cv2.BORDER_CONSTANT)
    closed = cv2.morphologyEx(bordered, cv2.MORPH_CLOSE, _DISC)
    contours, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    # findContours runs through the centres of border cells: half a cell of every border pixel is missing.
    drawn = sum(cv2.contourArea(c) + 0.5 * len(c) for c in contours) * cell * cell
    fill = min(drawn, area) / max(length * width, 1e-9)
    return length, width, min(1.0, roundness), min(1.0, fill)


_DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))


def _plane(local: NDArray[np.float64], size_m: float) -> tuple[float, float]:
    """Return the share of (N, 3) points in their largest plane and how level it is (cosine with up)."""
    points = local[:: max(1, len(local) // 700)]
    tolerance = min(_PLANE_MAX_M, max(_PLANE_MIN_M, _PLANE_RATIO * size_m))
    generator = np.random.default_rng(0)  # the same points always give the same answer
    triples = points[generator.integers(0, len(points), (_PLANE_TRIALS, 3))]
    normals = np.cross(triples[:, 1] - triples[:, 0], triples[:, 2] - triples[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    usable = lengths > 1e-9
    normals, origins = normals[usable] / lengths[usable, None], triples[usable, 0]
    # Level planes are the most likely ones: one through the height that most points share.
    height = np.sort(points[:, 2])
    span = max(1, len(height) // 4)
    densest = int(np.argmin(height[span:] - height[:-span])) if len(height) > span else 0
    level = height[min(len(height) - 1, densest + span // 2)]
    normals = np.vstack([normals, [0.0, 0.0, 1.0]])
    origins = np.vstack([origins, [0.0, 0.0, level]])
    distances = points @ normals.T - (normals * origins).sum(axis=1)
    shares = (np.abs(distances) < tolerance).mean(axis=0)
    normal, origin = normals[int(np.argmax(shares))], origins[int(np.argmax(shares))]
    share = float(shares.max())
    for _ in range(2):
        inside = np.abs((points - origin) @ normal) < tolerance
        if inside.sum() < 3:
            break
        center = points[inside].mean(axis=0)
        refined = np.linalg.eigh(np.cov((points[inside] - center).T))[1][:, 0]
        refined_share = float((np.abs((points - center) @ refined) < tolerance).mean())
        if refined_share < share:
            break
        normal, origin, share = refined, center, refined_share
    return share, min(1.0, abs(float(normal[2])))
