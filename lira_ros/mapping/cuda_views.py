"""Looking at a map on a CUDA device: label look-up and splatting, the counterpart of views.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda, float32
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.pose import inverse
from lira_ros.mapping import view_arithmetic, views
from lira_ros.mapping.cuda_kernels import THREADS, device_function, find, on_device
from lira_ros.mapping.cuda_surface import records_on_device
from lira_ros.mapping.cuda_volume import CudaVolume
from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK
from lira_ros.mapping.instance_layer import InstanceLayer
from lira_ros.mapping.tsdf import Volume
from lira_ros.mapping.view_kernels import EDGE_ON, LEAST_SLOPE, SPLAT_VOXELS
from lira_ros.mapping.voxel import Array, pack_key

# Two warps a block: few of its 512 voxels are on a surface, and many blocks run at once.
_SPLAT_THREADS = 64
# A block with a rim of one voxel on each side.
_RIMMED = BLOCK_SIZE + 2
_LAYER = _RIMMED * _RIMMED
_RIMMED_VOXELS = _RIMMED * _LAYER
# What is nearest in a pixel is the largest of 64-bit numbers: 1 / depth [1/m] in units of 2^-24, which resolves 6
# micrometres at 10 m, above the number of the voxel, of which there is room for those of a million blocks.
VOXEL_BITS = 29
INVERSE_UNITS = float(1 << 24)

_color_of = on_device(view_arithmetic.composed_color)
_distance_of = on_device(view_arithmetic.composed_distance)
_label_of = on_device(view_arithmetic.composed_label)
_known_slope = on_device(view_arithmetic.known_slope)
_plane_in_view = on_device(view_arithmetic.plane_in_view)


# --- looking up ---------------------------------------------------------------------------------------------------


@cuda.jit(cache=True)
def look_up(
    points: Array,
    voxel_m: float,
    records_a: Array,
    keys_a: Array,
    values_a: Array,
    records_b: Array,
    keys_b: Array,
    values_b: Array,
    offset_b: Array,
    labels: Array,
    confidences: Array,
) -> None:
    """Write label and lead of the voxels nearest to (N, 3) map points [m], 0 where there is none; one thread a point.

    See view_kernels.look_up().
    """
    i = cuda.grid(1)
    if i >= points.shape[0]:
        return
    # Half-way cases go to the even voxel, as those of numpy.rint().
    x = np.int64(round(points[i, 0] / voxel_m))
    y = np.int64(round(points[i, 1] / voxel_m))
    z = np.int64(round(points[i, 2] / voxel_m))
    a = find(keys_a, values_a, pack_key(x >> 3, y >> 3, z >> 3))
    b = find(keys_b, values_b, pack_key((x >> 3) - offset_b[0], (y >> 3) - offset_b[1], (z >> 3) - offset_b[2]))
    label, lead = _label_of(records_a, a, records_b, b, (x & 7) | ((y & 7) << 3) | ((z & 7) << 6))
    labels[i] = int(label) if lead > float32(0.0) else 0
    confidences[i] = lead


def look_up_labels(
    base: CudaVolume, part: CudaVolume, part_offset: NDArray[np.int64], points_map: NDArray[np.floating]
) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Look up the label evidence of the voxels nearest to (N, 3) map points [m]; see views.look_up_labels()."""
    points = np.ascontiguousarray(points_map, dtype=np.float64)
    hashes = base.device_hash, part.device_hash
    if len(points) == 0 or hashes[0] is None or hashes[1] is None:
        return views.look_up_labels(base, part, part_offset, points)
    labels, confidences = cuda.device_array(len(points), np.uint16), cuda.device_array(len(points), np.float32)
    look_up[-(-len(points) // THREADS), THREADS](
        cuda.to_device(points),
        base.voxel_size_m,
        base.device_records,
        *hashes[0],
        part.device_records,
        *hashes[1],
        cuda.to_device(np.asarray(part_offset, dtype=np.int64)),
        labels,
        confidences,
    )
    return labels.copy_to_host(), confidences.copy_to_host()


# --- splatting ----------------------------------------------------------------------------------------------------


@device_function
def _load_rimmed(
    thread: int, a: int, b: int, records_a: Array, records_b: Array, threshold: float, distance: Array, known: Array
) -> None:
    # Fill the inside of distance and known (1000,) with a block; its rim is not known.
    place = thread
    while place < _RIMMED_VOXELS:
        z = place // _LAYER
        y = place // _RIMMED - z * _RIMMED
        x = place - z * _LAYER - y * _RIMMED
        value, seen = float32(0.0), float32(0.0)
        if 0 < x <= BLOCK_SIZE and 0 < y <= BLOCK_SIZE and 0 < z <= BLOCK_SIZE:
            value, weight = _distance_of(records_a, a, records_b, b, (x - 1) | ((y - 1) << 3) | ((z - 1) << 6))
            seen = float32(1.0) if weight >= threshold else float32(0.0)
        distance[place] = value
        known[place] = seen
        place += _SPLAT_THREADS


@device_function
def _surface_in(voxel: int, distance: Array, known: Array, voxel_m: float, truncation_m: float) -> tuple[Any, ...]:
    # Whether a voxel of a block is drawn, the normal of the plane in it, and a point of the plane from the block [m].
    zero, half = float32(0.0), float32(0.5)
    x, y, z = voxel & 7, (voxel >> 3) & 7, voxel >> 6
    place = ((z + 1) * _RIMMED + y + 1) * _RIMMED + x + 1
    value = distance[place]
    gx = _known_slope(distance[place - 1], value, distance[place + 1], known[place - 1], known[place + 1])
    low, high = place - _RIMMED, place + _RIMMED
    gy = _known_slope(distance[low], value, distance[high], known[low], known[high])
    low, high = place - _LAYER, place + _LAYER
    gz = _known_slope(distance[low], value, distance[high], known[low], known[high])
    # The plane cuts the cube of the voxel: the length of the slope, on both sides, cancels out.
    excess = known[place] * (half * (abs(gx) + abs(gy) + abs(gz)) - abs(value))
    slope = float32(math.sqrt(gx * gx + gy * gy + gz * gz))
    if excess <= zero or slope * truncation_m < LEAST_SLOPE * voxel_m:
        return False, zero, zero, zero, zero, zero, zero
    nx, ny, nz = gx / slope, gy / slope, gz / slope
    away = value / slope
    qx = (float32(x) - away * nx) * voxel_m
    qy = (float32(y) - away * ny) * voxel_m
    qz = (float32(z) - away * nz) * voxel_m
    return True, nx, ny, nz, qx, qy, qz


@cuda.jit(cache=True)
def splat(
    index_a: Array,
    index_b: Array,
    origins: Array,
    records_a: Array,
    records_b: Array,
    voxel_m: float,
    truncation_m: float,
    threshold: float,
    rotation: Array,
    intrinsics: Array,
    near_m: float,
    far_m: float,
    nearest: Array,
) -> None:
    """Draw the surface voxels of blocks with a z-buffer; one CUDA block a block, see view_kernels.splat().

    index_a, index_b: (B,) records. origins: (B, 3) first voxel of each block in the camera frame [m]. rotation: map
    to camera. nearest: (H, W) int64, for each pixel 1 / depth and the voxel drawn there, 0 for nothing.
    """
    distance = cuda.shared.array(_RIMMED_VOXELS, float32)
    known = cuda.shared.array(_RIMMED_VOXELS, float32)
    thread, block = cuda.threadIdx.x, cuda.blockIdx.x
    _load_rimmed(thread, index_a[block], index_b[block], records_a, records_b, threshold, distance, known)
    cuda.syncthreads()
    height, width = nearest.shape
    zero, one = float32(0.0), float32(1.0)
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    for voxel in range(thread, VOXELS_PER_BLOCK, _SPLAT_THREADS):
        drawn, nx, ny, nz, qx, qy, qz = _surface_in(voxel, distance, known, voxel_m, truncation_m)
        if not drawn:
            continue
        z = rotation[2, 0] * qx + rotation[2, 1] * qy + rotation[2, 2] * qz + origins[block, 2]
        if z < near_m or z > far_m:
            continue
        x = rotation[0, 0] * qx + rotation[0, 1] * qy + rotation[0, 2] * qz + origins[block, 0]
        y = rotation[1, 0] * qx + rotation[1, 1] * qy + rotation[1, 2] * qz + origins[block, 1]
        per_z = one / z
        u, v = fx * x * per_z + cx, fy * y * per_z + cy
        reach_u, reach_v = fx * SPLAT_VOXELS * voxel_m * per_z, fy * SPLAT_VOXELS * voxel_m * per_z
        if u + reach_u < zero or v + reach_v < zero:
            continue
        if u - reach_u > float32(width - 1) or v - reach_v > float32(height - 1):
            continue
        ax = rotation[0, 0] * nx + rotation[0, 1] * ny + rotation[0, 2] * nz
        ay = rotation[1, 0] * nx + rotation[1, 1] * ny + rotation[1, 2] * nz
        az = rotation[2, 0] * nx + rotation[2, 1] * ny + rotation[2, 2] * nz
        facing = ax * x + ay * y + az * z
        if facing * facing < EDGE_ON * (x * x + y * y + z * z):
            continue
        slope_u, slope_v, level = _plane_in_view(ax, ay, az, facing, fx, fy, cx, cy)
        least, most = one / (z + voxel_m), one / max(z - voxel_m, float32(0.5) * near_m)
        first_u, last_u = max(np.int64(math.ceil(u - reach_u)), 0), min(np.int64(math.floor(u + reach_u)), width - 1)
        first_v, last_v = max(np.int64(math.ceil(v - reach_v)), 0), min(np.int64(math.floor(v + reach_v)), height - 1)
        name = np.int64(block) * VOXELS_PER_BLOCK + voxel
        for pv in range(first_v, last_v + 1):
            for pu in range(first_u, last_u + 1):
                here = slope_u * float32(pu) + (slope_v * float32(pv) + level)
                mine = (np.int64(here * float32(INVERSE_UNITS)) << VOXEL_BITS) | name
                if here >= least and here <= most and mine > nearest[pv, pu]:
                    cuda.atomic.max(nearest, (pv, pu), mine)


@device_function
def _value_at(
    x: int, y: int, z: int, a: int, b: int, records_a: Array, records_b: Array, threshold: float
) -> tuple[Any, Any]:
    # The tsdf of a voxel of a block, and 1 where it is known; nothing is known outside of the block.
    if x < 0 or y < 0 or z < 0 or x >= BLOCK_SIZE or y >= BLOCK_SIZE or z >= BLOCK_SIZE:
        return float32(0.0), float32(0.0)
    value, weight = _distance_of(records_a, a, records_b, b, x | (y << 3) | (z << 6))
    return value, float32(1.0) if weight >= threshold else float32(0.0)


@cuda.jit(cache=True)
def shade(
    nearest: Array,
    index_a: Array,
    index_b: Array,
    records_a: Array,
    records_b: Array,
    threshold: float,
    depth: Array,
    normals: Array,
    colors: Array,
    labels: Array,
) -> None:
    """Give each pixel depth, normal, colour and label of the voxel that splat() drew there; one thread a pixel."""
    i = cuda.grid(1)
    height, width = nearest.shape
    if i >= height * width:
        return
    v = i // width
    u = i - v * width
    zero, half, most = float32(0.0), float32(0.5), float32(255.0)
    found = nearest[v, u]
    depth[v, u] = zero
    labels[v, u] = 0
    for axis in range(3):
        normals[v, u, axis] = zero
        colors[v, u, axis] = 0
    if found == 0:
        return
    depth[v, u] = float32(INVERSE_UNITS) / float32(found >> VOXEL_BITS)
    name = found & ((1 << VOXEL_BITS) - 1)
    block, voxel = name // VOXELS_PER_BLOCK, name % VOXELS_PER_BLOCK
    a, b = index_a[block], index_b[block]
    x, y, z = voxel & 7, (voxel >> 3) & 7, voxel >> 6
    here, _ = _value_at(x, y, z, a, b, records_a, records_b, threshold)
    low, knows_low = _value_at(x - 1, y, z, a, b, records_a, records_b, threshold)
    high, knows_high = _value_at(x + 1, y, z, a, b, records_a, records_b, threshold)
    gx = _known_slope(low, here, high, knows_low, knows_high)
    low, knows_low = _value_at(x, y - 1, z, a, b, records_a, records_b, threshold)
    high, knows_high = _value_at(x, y + 1, z, a, b, records_a, records_b, threshold)
    gy = _known_slope(low, here, high, knows_low, knows_high)
    low, knows_low = _value_at(x, y, z - 1, a, b, records_a, records_b, threshold)
    high, knows_high = _value_at(x, y, z + 1, a, b, records_a, records_b, threshold)
    gz = _known_slope(low, here, high, knows_low, knows_high)
    slope = float32(math.sqrt(gx * gx + gy * gy + gz * gz))
    normals[v, u, 0] = gx / slope
    normals[v, u, 1] = gy / slope
    normals[v, u, 2] = gz / slope
    red, green, blue = _color_of(records_a, a, records_b, b, voxel)
    colors[v, u, 0] = int(min(red + half, most))
    colors[v, u, 1] = int(min(green + half, most))
    colors[v, u, 2] = int(min(blue + half, most))
    label, lead = _label_of(records_a, a, records_b, b, voxel)
    labels[v, u] = int(label) if lead > zero else 0


def splatted(
    base: Volume,
    blocks: NDArray[np.int64],
    sources: tuple[Any, Any, Any, Any],
    camera: Camera,
    T_camera_map: NDArray[np.float64],
    threshold: np.float32,
    nearest_m: float,
    farthest_m: float,
) -> Any:
    """Return the (H, W) int64 z-buffer of splat() on the device for (B, 5) blocks of views.blocks_in_view().

    sources: on the device, the records of at least these blocks in base and in part, and the records.
    """
    first_voxels_m = blocks[:, :3] * (BLOCK_SIZE * base.voxel_size_m)
    origins = first_voxels_m @ T_camera_map[:3, :3].T + T_camera_map[:3, 3]
    nearest = cuda.to_device(np.zeros((camera.height_px, camera.width_px), dtype=np.int64))
    index_a, index_b, records_a, records_b = sources
    splat[len(blocks), _SPLAT_THREADS](
        index_a,
        index_b,
        cuda.to_device(origins.astype(np.float32)),
        records_a,
        records_b,
        np.float32(base.voxel_size_m),
        np.float32(base.truncation_m),
        threshold,
        cuda.to_device(T_camera_map[:3, :3].astype(np.float32)),
        cuda.to_device(np.array([camera.fx, camera.fy, camera.cx, camera.cy], dtype=np.float32)),
        np.float32(max(nearest_m, 1e-3)),
        np.float32(farthest_m),
        nearest,
    )
    return nearest


def splat_view(
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
    """Draw the surface voxels of the map into a camera on the device; see views.splat_view().

    Instances are those of the drawn points. What is not on the device yet is brought there. Raises ValueError for an
    impossible range, and what the driver raises when the device fails.
    """
    views.check_range(nearest_m, farthest_m)
    size = (camera.height_px, camera.width_px)
    T_camera_map = inverse(T_map_camera)
    blocks, _ = views.blocks_in_view(base, part, part_offset, camera, T_camera_map, nearest_m, farthest_m)
    if len(blocks) == 0:
        return views.empty_view(size)
    records_a, index_a = records_on_device(base, blocks[:, 3].astype(np.int32))
    records_b, index_b = records_on_device(part, blocks[:, 4].astype(np.int32))
    sources = cuda.to_device(index_a), cuda.to_device(index_b), records_a, records_b
    threshold = np.float32(max(minimum_weight, 1e-20))
    nearest = splatted(base, blocks, sources, camera, T_camera_map, threshold, nearest_m, farthest_m)
    images = (
        cuda.device_array(size, np.float32),
        cuda.device_array((*size, 3), np.float32),
        cuda.device_array((*size, 3), np.uint8),
        cuda.device_array(size, np.uint16),
    )
    shade[-(-size[0] * size[1] // THREADS), THREADS](nearest, *sources, threshold, *images)
    depth_m, normals, colors, labels = (image.copy_to_host() for image in images)
    return views.with_instances(depth_m, normals, colors, labels, camera, T_map_camera, instances)
