"""The rules by which Open3D's VoxelBlockGrid integrates a frame, for results that are equal to its.

Written after the behaviour of Open3D 0.20 on the CPU (GetUniqueBlockCoordinates and Integrate). Sums are
taken in its order, in float32 and without contraction: only so the last bit of a distance is the same.
"""

from __future__ import annotations

import numpy as np

from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK
from lira_ros.mapping.voxel import (
    BLUE,
    EMPTY,
    GREEN,
    RED,
    TSDF,
    WEIGHT,
    Array,
    compiled,
    larger,
    open3d_pixel_at,
    open3d_update,
    pack_key,
    slot_of,
    smaller,
)

# Rays that look for blocks are so many pixels apart, and take so many steps through the truncation band.
_STRIDE_PX, _STEPS = 4, 3


@compiled
def blocks_in_band(
    depth: Array,
    rows: int,
    columns: int,
    intrinsics: Array,
    T_volume_camera: Array,
    block_m: float,
    truncation_m: float,
    farthest_m: float,
) -> Array:
    """Return the (B, 3) int32 blocks that Open3D touches for flat depth [m], float32, each once."""
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    T = T_volume_camera
    one = np.float32(1.0)
    across, down = columns // _STRIDE_PX, rows // _STRIDE_PX
    blocks = np.empty((across * down * (_STEPS + 1), 3), np.int32)
    slots = 1024
    while slots < 2 * len(blocks):
        slots *= 2
    known = np.full(slots, np.int64(EMPTY))
    count = 0
    for j in range(down):
        ray_y = (np.float32(j * _STRIDE_PX) - cy) * one / fy
        for i in range(across):
            d = depth[j * _STRIDE_PX * columns + i * _STRIDE_PX]
            if not (d > np.float32(0.0) and d < farthest_m):
                continue
            ray_x = (np.float32(i * _STRIDE_PX) - cx) * one / fx
            # Open3D moves the ray into the volume and takes the position of the camera off again.
            x_d = ray_x * T[0, 0] + ray_y * T[0, 1] + one * T[0, 2] + T[0, 3] - T[0, 3]
            y_d = ray_x * T[1, 0] + ray_y * T[1, 1] + one * T[1, 2] + T[1, 3] - T[1, 3]
            z_d = ray_x * T[2, 0] + ray_y * T[2, 1] + one * T[2, 2] + T[2, 3] - T[2, 3]
            t = larger(d - truncation_m, np.float32(0.0))
            step = (smaller(d + truncation_m, farthest_m) - t) / np.float32(_STEPS)
            last_key = np.int64(EMPTY)
            for _ in range(_STEPS + 1):
                x = np.int64(np.floor((T[0, 3] + t * x_d) / block_m))
                y = np.int64(np.floor((T[1, 3] + t * y_d) / block_m))
                z = np.int64(np.floor((T[2, 3] + t * z_d) / block_m))
                t += step
                key = pack_key(x, y, z)
                if key == last_key:
                    continue
                last_key = key
                slot = slot_of(key, slots)
                while known[slot] != EMPTY and known[slot] != key:
                    slot = (slot + 1) & (slots - 1)
                if known[slot] == key:
                    continue
                known[slot] = key
                blocks[count, 0], blocks[count, 1], blocks[count, 2] = x, y, z
                count += 1
    return blocks[:count]


@compiled
def integrate(
    records: Array,
    coordinates: Array,
    touched: Array,
    depth: Array,
    color: Array,
    rows: int,
    columns: int,
    intrinsics: Array,
    T_camera_volume: Array,
    voxel_m: float,
    truncation_m: float,
    farthest_m: float,
    dirty: Array,
) -> None:
    """Update the touched blocks from one frame as Open3D does.

    depth: (H * W + 1,) float32 [m]. color: (H * W + 1,) uint32, red in the lowest byte. T_camera_volume: (3, 4)
    float32. dirty (B,) bool is set where a voxel changed.
    """
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    T = T_camera_volume
    outside = np.int32(rows * columns)
    for k in range(touched.shape[0]):
        block = touched[k]
        first_x = coordinates[block, 0] * BLOCK_SIZE
        first_y = coordinates[block, 1] * BLOCK_SIZE
        first_z = coordinates[block, 2] * BLOCK_SIZE
        tsdf, weight = records[block, TSDF], records[block, WEIGHT]
        red, green, blue = records[block, RED], records[block, GREEN], records[block, BLUE]
        for i in range(VOXELS_PER_BLOCK):
            x = np.float32(first_x + (i & 7)) * voxel_m
            y = np.float32(first_y + ((i >> 3) & 7)) * voxel_m
            z = np.float32(first_z + (i >> 6)) * voxel_m
            x_c = x * T[0, 0] + y * T[0, 1] + z * T[0, 2] + T[0, 3]
            y_c = x * T[1, 0] + y * T[1, 1] + z * T[1, 2] + T[1, 3]
            z_c = x * T[2, 0] + y * T[2, 1] + z * T[2, 2] + T[2, 3]
            pixel = open3d_pixel_at(x_c, y_c, z_c, fx, fy, cx, cy, columns, rows, outside)
            d = depth[pixel]
            signed = d - z_c
            if d <= np.float32(0.0) or d > farthest_m or z_c <= np.float32(0.0) or signed < -truncation_m:
                continue
            sample = smaller(signed, truncation_m) / truncation_m
            found = color[pixel]
            before = weight[i]
            tsdf[i] = open3d_update(tsdf[i], before, sample)
            red[i] = open3d_update(red[i], before, np.float32(found & np.uint32(255)))
            green[i] = open3d_update(green[i], before, np.float32((found >> np.uint32(8)) & np.uint32(255)))
            blue[i] = open3d_update(blue[i], before, np.float32((found >> np.uint32(16)) & np.uint32(255)))
            weight[i] = before + np.float32(1.0)
            dirty[block] = True
