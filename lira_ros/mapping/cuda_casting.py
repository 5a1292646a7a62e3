"""Ray casting into a map on a CUDA device, the counterpart of view_kernels.cast()."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda, float32, float64
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.pose import inverse
from lira_ros.mapping import view_arithmetic, view_kernels, views, voxel
from lira_ros.mapping.cuda_kernels import THREADS, device_function, find, on_device
from lira_ros.mapping.cuda_surface import records_on_device
from lira_ros.mapping.cuda_views import INVERSE_UNITS, VOXEL_BITS, splatted
from lira_ros.mapping.fragment import VOXELS_PER_BLOCK
from lira_ros.mapping.instance_layer import InstanceLayer
from lira_ros.mapping.tsdf import Volume, hash_of_blocks
from lira_ros.mapping.view_kernels import HEAD_START_VOXELS, HIT_VOXELS, OVERSHOOT_VOXELS, REFINEMENTS, TILE_PX
from lira_ros.mapping.voxel import Array, pack_key

_MARK_THREADS = 64
_UPPER = np.array([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)])

_block_exit = on_device(view_arithmetic.block_exit)
_color_of = on_device(view_arithmetic.composed_color)
_distance_of = on_device(view_arithmetic.composed_distance)
_interpolated = on_device(view_arithmetic.interpolated)
_interpolated_slope = on_device(view_arithmetic.interpolated_slope)
_label_of = on_device(view_arithmetic.composed_label)


@cuda.jit(cache=True)
def mark_surfaces(
    index_a: Array, index_b: Array, records_a: Array, records_b: Array, band: float, threshold: float, near: Array
) -> None:
    """Set near (B,) uint8 for blocks with a known tsdf between -band and band; one CUDA block a block."""
    block = cuda.blockIdx.x
    for voxel_index in range(cuda.threadIdx.x, VOXELS_PER_BLOCK, _MARK_THREADS):
        value, weight = _distance_of(records_a, index_a[block], records_b, index_b[block], voxel_index)
        if weight >= threshold and abs(value) < band:
            near[block] = 1


@device_function
def _nearest_voxel(place: float) -> int:
    # Half-way cases go to the even voxel, as those of numpy.rint().
    return np.int64(round(place))


@device_function
def _block_of(x: int, y: int, z: int, keys: Array, values: Array) -> int:
    # The number of the block that a voxel lies in, -1 where there is none.
    return find(keys, values, pack_key(x >> 3, y >> 3, z >> 3))


@device_function
def _distance_at(
    x: int, y: int, z: int, block: int, index_a: Array, index_b: Array, records_a: Array, records_b: Array
) -> tuple[Any, Any]:
    # The tsdf and weight of a voxel of the map in a block, weight 0 where there is no block.
    if block < 0:
        return float32(0.0), float32(0.0)
    place = (x & 7) | ((y & 7) << 3) | ((z & 7) << 6)
    return _distance_of(records_a, index_a[block], records_b, index_b[block], place)


@device_function
def _corner_distances(
    x: int,
    y: int,
    z: int,
    keys: Array,
    values: Array,
    index_a: Array,
    index_b: Array,
    records_a: Array,
    records_b: Array,
    threshold: float,
    corners: Array,
) -> bool:
    # As in view_kernels: the tsdf of a voxel and its 7 upper neighbours, what is not known from its neighbours.
    block, last = -1, -1
    known, count = 0, 0
    crossing = (1 if x & 7 == 7 else 0) | (2 if y & 7 == 7 else 0) | (4 if z & 7 == 7 else 0)
    for corner in range(8):
        vx, vy, vz = x + (corner & 1), y + ((corner >> 1) & 1), z + (corner >> 2)
        beyond = corner & crossing
        if beyond != last:
            last = beyond
            block = _block_of(vx, vy, vz, keys, values)
        value, weight = _distance_at(vx, vy, vz, block, index_a, index_b, records_a, records_b)
        corners[corner] = value
        if weight >= threshold:
            known |= 1 << corner
            count += 1
    if count < 4:
        return False
    if count == 8:
        return True
    for corner in range(8):
        if (known >> corner) & 1:
            continue
        total, sides = float32(0.0), 0
        for axis in range(3):
            neighbour = corner ^ (1 << axis)
            if (known >> neighbour) & 1:
                total += corners[neighbour]
                sides += 1
        if sides == 0:
            return False
        corners[corner] = total / float32(sides)
    return True


@cuda.jit(cache=True)
def cast(
    keys: Array,
    values: Array,
    index_a: Array,
    index_b: Array,
    records_a: Array,
    records_b: Array,
    near: Array,
    voxel_m: float,
    truncation_m: float,
    threshold: float,
    T_map_camera: Array,
    pinhole: Array,
    nearest: Array,
    lowest: Array,
    highest: Array,
    depth: Array,
    normals: Array,
    colors: Array,
    labels: Array,
) -> None:
    """Follow the ray of each pixel to the first surface; one thread a pixel, see view_kernels.cast().

    keys, values: hash of the blocks in view, numbered as index_a, index_b and near. nearest: of cuda_views.splat().
    The images come filled with 0.
    """
    i = cuda.grid(1)
    height, width = nearest.shape
    if i >= height * width:
        return
    v = i // width
    u = i - v * width
    s, end = lowest[v // TILE_PX, u // TILE_PX], highest[v // TILE_PX, u // TILE_PX]
    found = nearest[v, u]
    if not s < end or found == 0:
        return
    corners = cuda.local.array(8, float32)
    zero, half, most = float32(0.0), float32(0.5), float32(255.0)
    per_voxel = 1.0 / voxel_m
    truncation_voxels = truncation_m / voxel_m
    ox, oy, oz = T_map_camera[0, 3] * per_voxel, T_map_camera[1, 3] * per_voxel, T_map_camera[2, 3] * per_voxel
    ray_x = (u - pinhole[2]) / pinhole[0]
    ray_y = (v - pinhole[3]) / pinhole[1]
    dx = (T_map_camera[0, 0] * ray_x + T_map_camera[0, 1] * ray_y + T_map_camera[0, 2]) * per_voxel
    dy = (T_map_camera[1, 0] * ray_x + T_map_camera[1, 1] * ray_y + T_map_camera[1, 2]) * per_voxel
    dz = (T_map_camera[2, 0] * ray_x + T_map_camera[2, 1] * ray_y + T_map_camera[2, 2]) * per_voxel
    per_step = 1.0 / math.sqrt(dx * dx + dy * dy + dz * dz)
    s = max(s, float64(INVERSE_UNITS) / (found >> VOXEL_BITS) - HEAD_START_VOXELS * per_step)
    before, before_s = math.nan, s
    while s <= end:
        x, y, z = ox + dx * s, oy + dy * s, oz + dz * s
        ix, iy, iz = _nearest_voxel(x), _nearest_voxel(y), _nearest_voxel(z)
        block = _block_of(ix, iy, iz, keys, values)
        if block < 0 or near[block] == 0:
            s += min(_block_exit(x, dx, ix >> 3), _block_exit(y, dy, iy >> 3), _block_exit(z, dz, iz >> 3))
            before, before_s = math.nan, s
            if block >= 0:
                # On which side of the surface the block ends.
                jx = min(max(_nearest_voxel(ox + dx * s), ix & -8), ix | 7)
                jy = min(max(_nearest_voxel(oy + dy * s), iy & -8), iy | 7)
                jz = min(max(_nearest_voxel(oz + dz * s), iz & -8), iz | 7)
                value, weight = _distance_at(jx, jy, jz, block, index_a, index_b, records_a, records_b)
                if weight >= threshold:
                    before = float64(value)
            s += 1e-3 * per_step
            continue
        value, weight = _distance_at(ix, iy, iz, block, index_a, index_b, records_a, records_b)
        if weight < threshold:
            s += 0.8 * per_step
            before = math.nan
            continue
        away = abs(float64(value)) * truncation_voxels
        if away > 1.8:
            # The nearest voxel is off by less than a voxel's half diagonal; go no farther than what is sure.
            before, before_s = float64(value), s
            s += min(0.8 * (away - 0.9), 0.8 * truncation_voxels) * per_step
            continue
        cx, cy, cz = np.int64(math.floor(x)), np.int64(math.floor(y)), np.int64(math.floor(z))
        if not _corner_distances(cx, cy, cz, keys, values, index_a, index_b, records_a, records_b, threshold, corners):
            s += 0.5 * per_step
            before = math.nan
            continue
        exact = float64(_interpolated(corners, float32(x - cx), float32(y - cy), float32(z - cz)))
        if not ((exact < 0.0 and before >= 0.0) or (exact >= 0.0 and before < 0.0)):
            before, before_s = exact, s
            # Just past where the surface should be: two values around it are what is needed.
            s += (abs(exact) * truncation_voxels + OVERSHOOT_VOXELS) * per_step
            continue
        # Regula falsi: a straight line between both values, and the next one from where it hits.
        after, after_s, hit = exact, s, s
        for _ in range(REFINEMENTS):
            hit = before_s + (after_s - before_s) * before / (before - after)
            x, y, z = ox + dx * hit, oy + dy * hit, oz + dz * hit
            cx, cy, cz = np.int64(math.floor(x)), np.int64(math.floor(y)), np.int64(math.floor(z))
            if not _corner_distances(
                cx, cy, cz, keys, values, index_a, index_b, records_a, records_b, threshold, corners
            ):
                break
            rx, ry, rz = float32(x - cx), float32(y - cy), float32(z - cz)
            nx, ny, nz = _interpolated_slope(corners, rx, ry, rz)
            length = float32(math.sqrt(nx * nx + ny * ny + nz * nz))
            if length > zero:
                normals[v, u, 0] = nx / length
                normals[v, u, 1] = ny / length
                normals[v, u, 2] = nz / length
            rest = float64(_interpolated(corners, rx, ry, rz))
            if abs(rest) * truncation_voxels < HIT_VOXELS:
                break
            if (rest < 0.0) == (after < 0.0):
                after, after_s = rest, hit
            else:
                before, before_s = rest, hit
        depth[v, u] = hit
        ix, iy, iz = _nearest_voxel(ox + dx * hit), _nearest_voxel(oy + dy * hit), _nearest_voxel(oz + dz * hit)
        block = _block_of(ix, iy, iz, keys, values)
        if block >= 0:
            place = (ix & 7) | ((iy & 7) << 3) | ((iz & 7) << 6)
            red, green, blue = _color_of(records_a, index_a[block], records_b, index_b[block], place)
            colors[v, u, 0] = int(min(red + half, most))
            colors[v, u, 1] = int(min(green + half, most))
            colors[v, u, 2] = int(min(blue + half, most))
            label, lead = _label_of(records_a, index_a[block], records_b, index_b[block], place)
            labels[v, u] = int(label) if lead > zero else 0
        return


def _hash_around(blocks: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    # The (B, 3) blocks in view and after them their upper neighbours, which rays interpolate into, with a hash.
    around = voxel.unique_blocks((blocks[:, None] + _UPPER).reshape(-1, 3))
    new = ~np.isin(voxel.block_keys(around), voxel.block_keys(blocks))
    everything = np.concatenate([blocks, around[new]]).astype(np.int32)
    return everything, *hash_of_blocks(everything)


def cast_view(
    base: Volume,
    part: Volume,
    part_offset: NDArray[np.int64],
    camera: Camera,
    T_map_camera: NDArray[np.float64],
    *,
    minimum_weight: float = 0.0,
    nearest_m: float = 0.05,
    farthest_m: float = 10.0,
    instances: InstanceLayer | None = None,
) -> views.View:
    """Follow the ray of each pixel to the first surface of the map on the device; see views.cast_view().

    What is not on the device yet is brought there. Raises ValueError for an impossible range, and what the driver
    raises when the device fails.
    """
    views.check_range(nearest_m, farthest_m)
    size = (camera.height_px, camera.width_px)
    T_camera_map = inverse(T_map_camera)
    blocks, _ = views.blocks_in_view(base, part, part_offset, camera, T_camera_map, nearest_m, farthest_m)
    if len(blocks) == 0:
        return views.empty_view(size)
    coordinates, keys, values = _hash_around(blocks[:, :3].astype(np.int32))
    records_a, index_a = records_on_device(base, base.find(coordinates))
    records_b, index_b = records_on_device(part, part.find((coordinates - part_offset).astype(np.int32)))
    sources = cuda.to_device(index_a), cuda.to_device(index_b), records_a, records_b
    threshold = np.float32(max(minimum_weight, 1e-20))
    near_there = cuda.to_device(np.zeros(len(coordinates), dtype=np.uint8))
    band = min(views.SURFACE_BAND_VOXELS * base.voxel_size_m / base.truncation_m, 0.999)
    mark_surfaces[len(blocks), _MARK_THREADS](*sources, np.float32(band), threshold, near_there)
    nearest = splatted(base, blocks, sources, camera, T_camera_map, threshold, nearest_m, farthest_m)
    near = near_there.copy_to_host()[: len(blocks)] > 0
    tiles = tuple(-(-n // TILE_PX) for n in size)
    lowest, highest = np.full(tiles, np.inf), np.full(tiles, -np.inf)
    pinhole = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    view_kernels.tile_ranges(
        blocks[near], base.voxel_size_m, T_camera_map, pinhole, nearest_m, farthest_m, lowest, highest
    )
    view = views.empty_view(size)
    images = [cuda.to_device(image) for image in (view.depth_m, view.normals, view.colors, view.labels)]
    cast[-(-size[0] * size[1] // THREADS), THREADS](
        cuda.to_device(keys),
        cuda.to_device(values),
        *sources,
        near_there,
        base.voxel_size_m,
        base.truncation_m,
        threshold,
        cuda.to_device(np.ascontiguousarray(T_map_camera, dtype=np.float64)),
        cuda.to_device(pinhole),
        nearest,
        cuda.to_device(lowest),
        cuda.to_device(highest),
        *images,
    )
    depth_m, normals, colors, labels = (image.copy_to_host() for image in images)
    return views.with_instances(depth_m, normals, colors, labels, camera, T_map_camera, instances)
