"""Pictures of the generated room: colour with light and texture, exact depth and object ids."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from lira_ros.datasets.rooms import room as plan
from lira_ros.datasets.rooms.lighting import SUN_DIRECTION, bake
from lira_ros.datasets.rooms.room import Room
from lira_ros.datasets.rooms.textures import PATTERNS, SIZE_PX, build_atlas
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.pose import inverse, transform_points
from lira_ros.geometry.rasterizer import NEAR_M, edge_functions, fill_triangles

# How far behind the window the view outside stands; sets how much it moves when one walks by.
OUTSIDE_DISTANCE_M = 3.0
# Brightness that becomes 63 % of white; chosen so that the lit floor is of middle brightness.
EXPOSURE = 1.75
SUN = (1.0, 0.88, 0.68)
SUN_X, SUN_Y, SUN_Z = (float(value) for value in SUN_DIRECTION)
# The edge of a sunlit patch is as soft as the sun is wide (half a degree over about 3 m).
SUN_EDGE_M = 0.03
# Schlick's approximation of reflection at a polished dielectric, refractive index 1.5.
REFLECTION_AT_NORMAL = 0.04


# From the square root of light to the screen: a film-like shoulder, then the square root that screens expect
# (gamma 2). A table, as the exponential of three channels would be a fifth of the time of a picture.
TONE_STEPS = 1024
_TONES = np.sqrt(1.0 - np.exp(-EXPOSURE * (np.arange(2 * TONE_STEPS) / TONE_STEPS) ** 2)).astype(np.float32)


@dataclass(frozen=True)
class View:
    """One rendered picture.

    color: (H, W, 3) uint8 RGB. depth_m: (H, W) float32 exact depth, 0 through the window. object_ids: (H, W)
    uint16, 0 = floor, wall, ceiling. facing: (H, W) float32, cosine between ray and surface normal.
    """

    color: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    object_ids: NDArray[np.uint16]
    facing: NDArray[np.float32]


class Renderer:
    """Draws a room. Light and textures are prepared once; a picture is drawn at twice its size for smooth edges."""

    def __init__(self, room: Room) -> None:
        mesh = room.mesh
        self._room = room
        atlas = build_atlas(room.seed)
        self._light = bake(room)
        self._pixels, self._starts = atlas.pixels, atlas.starts
        names = list(PATTERNS)
        # The patterns are square roots of reflectance (gamma 2); the tints come as sRGB, which is close to it.
        self._materials = np.array(
            [
                (
                    names.index(item.pattern),
                    *item.color,
                    1.0 / item.tile_m[0],
                    1.0 / item.tile_m[1],
                    *item.origin,
                    item.gloss,
                    item.emission,
                    float(item.outside),
                )
                for item in mesh.materials
            ],
            dtype=np.float64,
        )

    def render(self, camera: Camera, T_map_camera: NDArray[np.floating]) -> View:
        """Draw the room as seen from a pose in the map."""
        mesh = self._room.mesh
        in_camera = transform_points(inverse(T_map_camera), mesh.vertices)
        fine = camera.scaled(2 * camera.width_px, 2 * camera.height_px)
        inverse_depth = np.zeros((fine.height_px, fine.width_px), dtype=np.float32)
        triangle = np.full(inverse_depth.shape, -1, dtype=np.int32)
        fill_triangles(
            np.asarray(in_camera, dtype=np.float64),
            mesh.triangles,
            fine.fx,
            fine.fy,
            fine.cx,
            fine.cy,
            NEAR_M,
            inverse_depth,
            triangle,
        )
        shape = (camera.height_px, camera.width_px)
        color = np.zeros((*shape, 3), dtype=np.uint8)
        depth_m, facing = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
        object_ids = np.zeros(shape, dtype=np.uint16)
        _shade(
            np.asarray(in_camera, dtype=np.float64),
            mesh.triangles,
            mesh.object_ids,
            mesh.material_ids,
            mesh.normals,
            mesh.uv,
            self._light,
            self._materials,
            self._pixels,
            self._starts,
            np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
            np.asarray(T_map_camera, dtype=np.float64),
            _TONES,
            triangle,
            color,
            depth_m,
            object_ids,
            facing,
        )
        return View(color, depth_m, object_ids, facing)


# The two functions below are drawn into their one caller: handing over so many arrays costs more than they do.
@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=True, inline="always")
def _texel(pixels: NDArray[np.uint8], start: int, size: int, u: float, v: float, out: NDArray[np.float64]) -> None:
    """Write the colour (0 to 1) at tile coordinates u, v of one level, interpolated and repeated."""
    x, y = (u - math.floor(u)) * size - 0.5, (v - math.floor(v)) * size - 0.5
    column, row = math.floor(x), math.floor(y)
    s, t = x - column, y - row
    mask = size - 1
    left, right = int(column) & mask, (int(column) + 1) & mask
    upper, lower = start + (int(row) & mask) * size, start + ((int(row) + 1) & mask) * size
    for channel in range(3):
        top = pixels[upper + left, channel] * (1 - s) + pixels[upper + right, channel] * s
        bottom = pixels[lower + left, channel] * (1 - s) + pixels[lower + right, channel] * s
        out[channel] = (top * (1 - t) + bottom * t) * (1.0 / 255.0)


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=True, inline="always")
def _surface_color(
    index: int,
    ray_x: float,
    ray_y: float,
    focal: float,
    vertices: NDArray[np.float64],
    triangles: NDArray[np.int32],
    material_ids: NDArray[np.int16],
    normals: NDArray[np.float32],
    uv: NDArray[np.float32],
    light: NDArray[np.float32],
    materials: NDArray[np.float64],
    pixels: NDArray[np.uint8],
    starts: NDArray[np.int64],
    pose: NDArray[np.float64],
    tones: NDArray[np.float32],
    out: NDArray[np.float64],
) -> tuple[float, float]:
    """Write the display colour (0 to 1) of a triangle on a ray; return depth [m] and the cosine to its normal."""
    i, j, k = triangles[index, 0], triangles[index, 1], triangles[index, 2]
    ux, uy, uz, vx, vy, vz, wx, wy, wz, volume = edge_functions(vertices, i, j, k)
    a, b, c = ux * ray_x + uy * ray_y + uz, vx * ray_x + vy * ray_y + vz, wx * ray_x + wy * ray_y + wz
    total = a + b + c
    if total == 0.0:
        return 0.0, 0.0
    depth = volume / total
    # Half a pixel beside a triangle its plane can be anywhere; stay within the triangle.
    nearest = min(vertices[i, 2], min(vertices[j, 2], vertices[k, 2]))
    farthest = max(vertices[i, 2], max(vertices[j, 2], vertices[k, 2]))
    depth = min(max(depth, max(nearest, 0.02)), farthest)
    a, b, c = a / total, b / total, c / total
    a, b, c = min(max(a, 0.0), 1.0), min(max(b, 0.0), 1.0), min(max(c, 0.0), 1.0)
    scale = 1.0 / (a + b + c)
    a, b, c = a * scale, b * scale, c * scale
    # The true plane, for the cosine: the sum of the edge functions is its normal.
    nx, ny, nz = ux + vx + wx, uy + vy + wy, uz + vz + wz
    ray_length = math.sqrt(ray_x * ray_x + ray_y * ray_y + 1.0)
    cosine = abs(total) / (math.sqrt(nx * nx + ny * ny + nz * nz) * ray_length)
    material = material_ids[index]
    pattern = int(materials[material, 0])
    # View direction in the map, from the camera.
    dx = (pose[0, 0] * ray_x + pose[0, 1] * ray_y + pose[0, 2]) / ray_length
    dy = (pose[1, 0] * ray_x + pose[1, 1] * ray_y + pose[1, 2]) / ray_length
    dz = (pose[2, 0] * ray_x + pose[2, 1] * ray_y + pose[2, 2]) / ray_length
    outside = materials[material, 10] > 0.0
    if outside:
        far = (plan.WINDOW_CENTER[1] + OUTSIDE_DISTANCE_M - pose[1, 3]) / max(dy, 0.05)
        u = (pose[0, 3] + far * dx) * materials[material, 4] + 0.5
        v = 0.5 + (pose[2, 3] + far * dz - 1.75) * materials[material, 5]
        v = min(max(v, 0.004), 0.996)
    else:
        u = (a * uv[i, 0] + b * uv[j, 0] + c * uv[k, 0]) * materials[material, 4] + materials[material, 6]
        v = (a * uv[i, 1] + b * uv[j, 1] + c * uv[k, 1]) * materials[material, 5] + materials[material, 7]
    # One pixel covers depth / focal, stretched where the surface is slanted: the mean of both directions.
    cover = (
        depth
        / focal
        / math.sqrt(max(cosine, 0.08))
        * SIZE_PX
        * math.sqrt(abs(materials[material, 4] * materials[material, 5]))
    )
    level = 0
    while not outside and cover > 1.4 and level < starts.shape[1] - 1:
        cover *= 0.5
        level += 1
    _texel(pixels, starts[pattern, level], SIZE_PX >> level, u, v, out)
    if outside:
        return depth, cosine
    px = pose[0, 3] + depth * ray_length * dx
    py = pose[1, 3] + depth * ray_length * dy
    pz = pose[2, 3] + depth * ray_length * dz
    sun = a * light[i, 3] + b * light[j, 3] + c * light[k, 3]
    if sun > 0.0:
        # Back along the sunbeam to the window with its bar in the middle.
        far = (plan.WINDOW_CENTER[1] - py) / SUN_Y
        aside = abs(px + far * SUN_X - plan.WINDOW_CENTER[0])
        above = abs(pz + far * SUN_Z - plan.WINDOW_CENTER[2])
        sun *= min(max((plan.WINDOW_SIZE[0] / 2 - aside) / SUN_EDGE_M, 0.0), 1.0)
        sun *= min(max((plan.WINDOW_SIZE[1] / 2 - above) / SUN_EDGE_M, 0.0), 1.0)
        sun *= min(max((aside - 0.025) / SUN_EDGE_M + 0.5, 0.0), 1.0)
    gloss, emission = materials[material, 8], materials[material, 9]
    shine = 0.0
    if gloss > 0.0:
        mx = a * normals[i, 0] + b * normals[j, 0] + c * normals[k, 0]
        my = a * normals[i, 1] + b * normals[j, 1] + c * normals[k, 1]
        mz = a * normals[i, 2] + b * normals[j, 2] + c * normals[k, 2]
        inv = 1.0 / math.sqrt(mx * mx + my * my + mz * mz + 1e-12)
        mx, my, mz = mx * inv, my * inv, mz * inv
        against = dx * mx + dy * my + dz * mz
        if against > 0.0:
            mx, my, mz, against = -mx, -my, -mz, -against
        rx, ry, rz = dx - 2 * against * mx, dy - 2 * against * my, dz - 2 * against * mz
        fresnel = REFLECTION_AT_NORMAL + (1.0 - REFLECTION_AT_NORMAL) * (1.0 + max(against, -1.0)) ** 5
        # Where the mirrored ray leaves the room: through the window, at the ceiling lamp, or at something dim.
        bright = 0.25
        soft = 0.05 + 0.35 * (1.0 - gloss)
        if ry > 0.05:
            far = (plan.WINDOW_CENTER[1] - py) / ry
            aside = plan.WINDOW_SIZE[0] / 2 - abs(px + far * rx - plan.WINDOW_CENTER[0])
            above = plan.WINDOW_SIZE[1] / 2 - abs(pz + far * rz - plan.WINDOW_CENTER[2])
            inside = min(max(aside / soft + 0.5, 0.0), 1.0) * min(max(above / soft + 0.5, 0.0), 1.0)
            bright += 3.0 * inside * inside * (3 - 2 * inside)
        if rz > 0.05:
            far = (plan.HEIGHT_M - pz) / rz
            away = math.sqrt((px + far * rx) ** 2 + (py + far * ry) ** 2)
            bright += 4.0 * min(max((0.22 - away) / soft + 0.5, 0.0), 1.0)
        # Only lit places mirror: what is in the shadow does not see the window either.
        shine = gloss * fresnel * bright * min(1.0, 1.4 * (a * light[i, 1] + b * light[j, 1] + c * light[k, 1]))
    for channel in range(3):
        albedo = out[channel] * materials[material, 1 + channel]
        albedo *= albedo
        received = a * light[i, channel] + b * light[j, channel] + c * light[k, channel]
        value = albedo * (received + emission + sun * SUN[channel]) + shine
        out[channel] = tones[min(int(math.sqrt(max(value, 0.0)) * TONE_STEPS), len(tones) - 1)]
    return depth, cosine


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=True)
def _shade(
    vertices: NDArray[np.float64],
    triangles: NDArray[np.int32],
    object_ids: NDArray[np.uint16],
    material_ids: NDArray[np.int16],
    normals: NDArray[np.float32],
    uv: NDArray[np.float32],
    light: NDArray[np.float32],
    materials: NDArray[np.float64],
    pixels: NDArray[np.uint8],
    starts: NDArray[np.int64],
    intrinsics: NDArray[np.float64],
    pose: NDArray[np.float64],
    tones: NDArray[np.float32],
    triangle: NDArray[np.int32],
    color: NDArray[np.uint8],
    depth_m: NDArray[np.float32],
    seen_ids: NDArray[np.uint16],
    facing: NDArray[np.float32],
) -> None:
    height, width = depth_m.shape
    fx, fy, cx, cy = intrinsics
    value, mean = np.zeros(3), np.zeros(3)
    for row in range(height):
        for column in range(width):
            first = triangle[2 * row, 2 * column]
            if first < 0:
                continue
            second, third = triangle[2 * row, 2 * column + 1], triangle[2 * row + 1, 2 * column]
            fourth = triangle[2 * row + 1, 2 * column + 1]
            same = True
            for other in (second, third, fourth):
                if other == first:
                    continue
                if other < 0 or material_ids[other] != material_ids[first] or object_ids[other] != object_ids[first]:
                    same = False
                    break
                # Neighbours on a smooth surface have a corner normal in common direction.
                p, q = triangles[first, 0], triangles[other, 0]
                turn = normals[p, 0] * normals[q, 0] + normals[p, 1] * normals[q, 1] + normals[p, 2] * normals[q, 2]
                if turn < 0.95:
                    same = False
                    break
            # Depth and id belong to the middle of the pixel; at an edge to its first quarter. There the colour is
            # the mean of all quarters.
            x, y = (column - cx) / fx, (row - cy) / fy
            mean[0], mean[1], mean[2] = 0.0, 0.0, 0.0
            count = 0
            for sample in range(1 if same else 5):
                index, ray_x, ray_y = first, x, y
                if sample > 0:
                    index = first if sample == 1 else second if sample == 2 else third if sample == 3 else fourth
                    ray_x += (0.25 if sample % 2 == 0 else -0.25) / fx
                    ray_y += (0.25 if sample > 2 else -0.25) / fy
                    if index < 0:
                        continue
                depth, cosine = _surface_color(
                    index,
                    ray_x,
                    ray_y,
                    fx,
                    vertices,
                    triangles,
                    material_ids,
                    normals,
                    uv,
                    light,
                    materials,
                    pixels,
                    starts,
                    pose,
                    tones,
                    value,
                )
                if sample == 0:
                    seen_ids[row, column] = object_ids[first]
                    facing[row, column] = cosine
                    depth_m[row, column] = 0.0 if materials[material_ids[first], 10] > 0.0 else depth
                    if not same:
                        continue
                mean[0] += value[0]
                mean[1] += value[1]
                mean[2] += value[2]
                count += 1
            for channel in range(3):
                color[row, column, channel] = int(min(max(mean[channel] / count, 0.0), 1.0) * 255.0 + 0.5)
