"""The light of the generated room, computed once for every vertex: window, lamps and what the walls throw back.

Visibility is marched through a distance field of the furniture (sphere tracing; Hart, "Sphere Tracing", The
Visual Computer 1996), which gives soft shadows without a ray tracer for triangles.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lira_ros.datasets.rooms import room as plan
from lira_ros.datasets.rooms.room import Room

# Cells of the distance field: half of what a chair leg is thick, so that legs throw a shadow.
CELL_M = 0.03
# Rays for the light that comes from everywhere, and how far they look for something in the way.
AMBIENT_RAYS = 32
AMBIENT_REACH_M = 1.4
WINDOW_SAMPLES = (5, 4)
# Radiant strengths in units in which a lit white wall is about 1; chosen by eye for a bright afternoon.
SKY = np.array([1.00, 1.06, 1.15]) * 3.4
CEILING_LAMP = np.array([1.0, 0.93, 0.82]) * 1.9
FLOOR_LAMP = np.array([1.0, 0.80, 0.55]) * 0.42
AMBIENT = np.array([1.0, 0.985, 0.95]) * 0.50
# The sun shines through the window on carpet and table: direction of its rays, and strength by eye, not so
# strong that what lies in it turns white.
SUN_DIRECTION = np.array([-0.42, -0.72, -0.55]) / math.sqrt(0.42**2 + 0.72**2 + 0.55**2)
# What comes back from a thing in the way: furniture is darker and warmer than walls.
BOUNCE = np.array([0.62, 0.57, 0.50]) * 0.36


def _distance_field(room: Room) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return distances [m] to the nearest furniture on a grid and the position of its first cell."""
    mesh = room.mesh
    origin = np.array([-plan.LENGTH_X_M / 2, -plan.LENGTH_Y_M / 2, 0.0])
    extent = np.array([plan.LENGTH_X_M, plan.LENGTH_Y_M, plan.HEIGHT_M])
    shape = np.ceil(extent / CELL_M).astype(int) + 1
    empty = np.ones(shape, dtype=bool)
    corners = mesh.vertices[mesh.triangles[mesh.casts_shadow]]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    # Triangles of like size together: each is covered by points no farther apart than a cell.
    needed = 2 ** np.ceil(np.log2(np.maximum(longest / CELL_M, 1.0))).astype(int)
    for pieces in np.unique(needed):
        chosen = corners[needed == pieces]
        i, j = np.meshgrid(np.arange(pieces + 1), np.arange(pieces + 1))
        inside = i + j <= pieces
        weights = np.stack([pieces - i[inside] - j[inside], i[inside], j[inside]], axis=-1) / pieces
        points = np.einsum("wk,nkd->nwd", weights, chosen).reshape(-1, 3)
        cells = np.rint((points - origin) / CELL_M).astype(int)
        valid = ((cells >= 0) & (cells < shape)).all(axis=1)
        empty[tuple(cells[valid].T)] = False
    return (ndimage.distance_transform_edt(empty) * CELL_M).astype(np.float32), origin


@numba.njit(nogil=True, cache=True, inline="always", error_model="numpy", fastmath=True)
def _distance(field: NDArray[np.float32], x: float, y: float, z: float) -> float:
    """Return the distance at a position in cells; outside of the grid it is far from everything."""
    i, j, k = int(x), int(y), int(z)
    if i < 0 or j < 0 or k < 0 or i >= field.shape[0] - 1 or j >= field.shape[1] - 1 or k >= field.shape[2] - 1:
        return 0.3
    u, v, w = x - i, y - j, z - k
    low = (field[i, j, k] * (1 - u) + field[i + 1, j, k] * u) * (1 - v) + (
        field[i, j + 1, k] * (1 - u) + field[i + 1, j + 1, k] * u
    ) * v
    high = (field[i, j, k + 1] * (1 - u) + field[i + 1, j, k + 1] * u) * (1 - v) + (
        field[i, j + 1, k + 1] * (1 - u) + field[i + 1, j + 1, k + 1] * u
    ) * v
    return low * (1 - w) + high * w


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=True)
def _openness(
    field: NDArray[np.float32],
    origin: NDArray[np.float64],
    start: NDArray[np.float64],
    direction: NDArray[np.float64],
    reach: float,
    sharpness: float,
) -> float:
    """Return how free a ray is, 1 = nothing near it, 0 = blocked."""
    result = 1.0
    travelled = 0.02
    for _ in range(48):
        if travelled >= reach:
            break
        distance = _distance(
            field,
            (start[0] + travelled * direction[0] - origin[0]) / CELL_M,
            (start[1] + travelled * direction[1] - origin[1]) / CELL_M,
            (start[2] + travelled * direction[2] - origin[2]) / CELL_M,
        )
        # A surface marks the whole cell that it passes through: half of it is in front of the surface.
        distance -= 0.5 * CELL_M
        if distance <= 0.0:
            return 0.0
        result = min(result, sharpness * distance / travelled)
        travelled += max(distance, 0.4 * CELL_M)
    return result


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=True)
def _bake(
    vertices: NDArray[np.float64],
    normals: NDArray[np.float64],
    field: NDArray[np.float32],
    origin: NDArray[np.float64],
    hemisphere: NDArray[np.float64],
    lights: NDArray[np.float64],
    light_colors: NDArray[np.float64],
    light_axes: NDArray[np.float64],
    ambient: NDArray[np.float64],
    bounce: NDArray[np.float64],
    room_size: NDArray[np.float64],
    sun: NDArray[np.float64],
) -> NDArray[np.float32]:
    result = np.zeros((len(vertices), 4), dtype=np.float32)
    direction, start, side, other = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
    for index in range(len(vertices)):
        normal = normals[index]
        for axis in range(3):
            start[axis] = vertices[index, axis] + 1.6 * CELL_M * normal[axis]
        # Direct light from window and lamps, each light a point of an area with a facing axis.
        for light in range(len(lights)):
            square = 0.0
            for axis in range(3):
                direction[axis] = lights[light, axis] - start[axis]
                square += direction[axis] ** 2
            length = math.sqrt(square)
            cosine, facing = 0.0, 0.0
            for axis in range(3):
                direction[axis] /= length
                cosine += direction[axis] * normal[axis]
                facing -= direction[axis] * light_axes[light, axis]
            if light_axes[light, 0] == 0.0 and light_axes[light, 1] == 0.0 and light_axes[light, 2] == 0.0:
                facing = 1.0
            if cosine <= 0.0 or facing <= 0.0:
                continue
            open_ = _openness(field, origin, start, direction, length - 0.05, 10.0)
            # The square is bounded, as the lights have a size and do not burn what is next to them.
            strength = open_ * cosine * facing / (square + 0.15)
            for channel in range(3):
                result[index, channel] += strength * light_colors[light, channel]
        # The sun: how much of it would arrive if there were no wall; the window cuts it out when a pixel is drawn.
        cosine = -(sun[0] * normal[0] + sun[1] * normal[1] + sun[2] * normal[2])
        if cosine > 0.0 and sun[1] != 0.0:
            for axis in range(3):
                direction[axis] = -sun[axis]
            reach = max(0.0, (room_size[1] / 2 - start[1]) / direction[1])
            # The frame of the window is left to the pixels.
            result[index, 3] = cosine * _openness(field, origin, start, direction, reach - 0.25, 14.0)
        # Light from everywhere: white ceiling and walls where the ray is free, furniture where it is not.
        if abs(normal[0]) < 0.9:
            side[0], side[1], side[2] = 0.0, normal[2], -normal[1]
        else:
            side[0], side[1], side[2] = -normal[2], 0.0, normal[0]
        length = math.sqrt(side[0] ** 2 + side[1] ** 2 + side[2] ** 2)
        for axis in range(3):
            side[axis] /= length
        other[0] = normal[1] * side[2] - normal[2] * side[1]
        other[1] = normal[2] * side[0] - normal[0] * side[2]
        other[2] = normal[0] * side[1] - normal[1] * side[0]
        for ray in range(len(hemisphere)):
            for axis in range(3):
                direction[axis] = (
                    hemisphere[ray, 0] * side[axis]
                    + hemisphere[ray, 1] * other[axis]
                    + hemisphere[ray, 2] * normal[axis]
                )
            free = _openness(field, origin, start, direction, AMBIENT_REACH_M, 4.0)
            # Corners of the room are darker: a wall that is near throws back less than one that is far.
            for axis in range(3):
                limit = room_size[axis] / 2 if axis < 2 else room_size[axis]
                low = -limit if axis < 2 else 0.0
                if direction[axis] > 1e-6:
                    far = (limit - start[axis]) / direction[axis]
                elif direction[axis] < -1e-6:
                    far = (low - start[axis]) / direction[axis]
                else:
                    continue
                free = min(free, 0.45 + 0.55 * min(1.0, max(0.0, far) / 0.8))
            upward = 0.75 + 0.35 * direction[2]
            for channel in range(3):
                lit = ambient[channel] * upward * free + bounce[channel] * (1.0 - free)
                result[index, channel] += lit / len(hemisphere)
    return result


def _hemisphere() -> NDArray[np.float64]:
    """Return directions around +z spread by the cosine, on a spiral."""
    index = np.arange(AMBIENT_RAYS) + 0.5
    radius, angle = np.sqrt(index / AMBIENT_RAYS), index * math.pi * (3 - math.sqrt(5))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - radius**2)], axis=-1)


def _lights() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return (N, 3) positions, colours and facing axes (0, 0, 0 = shines everywhere)."""
    positions, colors, axes = [], [], []
    columns, rows = WINDOW_SAMPLES
    width, height = plan.WINDOW_SIZE
    for i in range(columns):
        for j in range(rows):
            x = plan.WINDOW_CENTER[0] + width * ((i + 0.5) / columns - 0.5)
            z = plan.WINDOW_CENTER[2] + height * ((j + 0.5) / rows - 0.5)
            positions.append((x, plan.WINDOW_CENTER[1] - 0.04, z))
            colors.append(SKY * width * height / (math.pi * columns * rows))
            axes.append((0.0, -1.0, -0.25))
    for x, y in ((-0.2, -0.2), (0.2, -0.2), (-0.2, 0.2), (0.2, 0.2)):
        positions.append((x, y, plan.HEIGHT_M - 0.12))
        colors.append(CEILING_LAMP / 4)
        axes.append((0.0, 0.0, 0.0))
    positions.append(plan.LAMP_BULB)
    colors.append(FLOOR_LAMP)
    axes.append((0.0, 0.0, 0.0))
    return np.array(positions), np.array(colors), np.array(axes)


def bake(room: Room) -> NDArray[np.float32]:
    """Return the light that arrives at every vertex, (V, 4) float32, linear.

    Columns 0 to 2: red, green, blue from window, lamps and walls, 1 = a white wall in daylight. Column 3: part of
    the sun that arrives where the window lets it in.
    """
    field, origin = _distance_field(room)
    positions, colors, axes = _lights()
    return _bake(
        room.mesh.vertices,
        room.mesh.normals.astype(np.float64),
        field,
        origin,
        _hemisphere(),
        positions,
        colors,
        axes,
        AMBIENT,
        BOUNCE,
        np.array([plan.LENGTH_X_M, plan.LENGTH_Y_M, plan.HEIGHT_M]),
        SUN_DIRECTION,
    )
