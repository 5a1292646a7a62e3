"""Compiled loops that look at the map: label look-up, splatting into a camera and ray casting, on the CPU.

The map is the sum of volume a and of volume b, whose blocks lie ``offset_b`` (3,) further. ``pinhole`` is fx, fy, cx,
cy. What happens to one voxel or one pixel is written in view_arithmetic.py.
"""

from __future__ import annotations

import numba
import numpy as np

from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK
from lira_ros.mapping.kernels import find
from lira_ros.mapping.view_arithmetic import (
    block_exit,
    composed_color,
    composed_distance,
    composed_label,
    interpolated,
    interpolated_slope,
    known_slope,
    plane_in_view,
)
from lira_ros.mapping.voxel import EMPTY, TSDF, WEIGHT, Array, compiled, pack_key

# Put into the loops that call it by the compiler's back end: a call with a dozen arrays costs as much as its work.
_within = numba.njit(forceinline=True, error_model="numpy")

# Edge of a tile of pixels that share the range of depth in which ray casting looks [px]; Open3D has 8 by default.
TILE_PX = 8
# A square of this half edge on each surface voxel leaves no hole in a surface, however the voxels are turned.
SPLAT_VOXELS = np.float32(0.71)
# Below this slope of the tsdf, in units of a true distance, there is no surface but noise.
LEAST_SLOPE = np.float32(0.15)

# Squared cosine between normal and line of sight below which a plane is seen edge-on and not drawn (3 degrees).
EDGE_ON = np.float32(0.003)
# A block with a rim of one voxel: its edge, a layer of it, the place of the block's first voxel, and how far its last
# one is behind.
_RIMMED = BLOCK_SIZE + 2
_LAYER = _RIMMED * _RIMMED
_FIRST_RIMMED = _LAYER + _RIMMED + 1
_SPAN = (BLOCK_SIZE - 1) * (_LAYER + _RIMMED + 1) + 1
# A ray has met the surface where the tsdf is this close to zero [voxels]; it takes about two steps.
HIT_VOXELS = 0.01
REFINEMENTS = 5
OVERSHOOT_VOXELS = 0.3
# A splat lies within a voxel of the surface that it is made of.
HEAD_START_VOXELS = 1.5


# --- looking up ---------------------------------------------------------------------------------------------------


@compiled
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
    """Write label and lead of the voxels nearest to (N, 3) map points [m], 0 where there is none."""
    last = np.int64(EMPTY)
    a, b = np.int64(-1), np.int64(-1)
    for i in range(points.shape[0]):
        x = np.int64(np.rint(points[i, 0] / voxel_m))
        y = np.int64(np.rint(points[i, 1] / voxel_m))
        z = np.int64(np.rint(points[i, 2] / voxel_m))
        key = pack_key(x >> 3, y >> 3, z >> 3)
        if key != last:
            last = key
            a = np.int64(find(keys_a, values_a, key))
            other = pack_key((x >> 3) - offset_b[0], (y >> 3) - offset_b[1], (z >> 3) - offset_b[2])
            b = np.int64(find(keys_b, values_b, other))
        voxel = (x & 7) | ((y & 7) << 3) | ((z & 7) << 6)
        label, lead = composed_label(records_a, a, records_b, b, voxel)
        labels[i] = np.uint16(label) if lead > np.float32(0.0) else np.uint16(0)
        confidences[i] = lead


@compiled
def look_up_depth(
    depth: Array,
    stride: int,
    pinhole: Array,
    T_map_camera: Array,
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
    """Write label and lead of the voxels that every stride-th pixel of a (H, W) depth image [m] hits.

    The first pixel is stride // 2. labels and confidences have a value for each of these pixels, 0 without depth.
    """
    last = np.int64(EMPTY)
    a, b = np.int64(-1), np.int64(-1)
    per_voxel = 1.0 / voxel_m
    columns = labels.shape[1]
    record_a = np.empty(columns, np.int64)
    record_b = np.empty(columns, np.int64)
    voxel = np.empty(columns, np.int64)
    for row in range(labels.shape[0]):
        v = row * stride + stride // 2
        ray_y = (v - pinhole[3]) / pinhole[1]
        for column in range(columns):
            u = column * stride + stride // 2
            s = np.float64(depth[v, u])
            record_a[column], record_b[column], voxel[column] = -1, -1, 0
            if not (s > 0.0 and s < np.inf):
                continue
            ray_x = (u - pinhole[2]) / pinhole[0]
            px = (T_map_camera[0, 0] * ray_x + T_map_camera[0, 1] * ray_y + T_map_camera[0, 2]) * s
            py = (T_map_camera[1, 0] * ray_x + T_map_camera[1, 1] * ray_y + T_map_camera[1, 2]) * s
            pz = (T_map_camera[2, 0] * ray_x + T_map_camera[2, 1] * ray_y + T_map_camera[2, 2]) * s
            x = np.int64(np.rint((px + T_map_camera[0, 3]) * per_voxel))
            y = np.int64(np.rint((py + T_map_camera[1, 3]) * per_voxel))
            z = np.int64(np.rint((pz + T_map_camera[2, 3]) * per_voxel))
            key = pack_key(x >> 3, y >> 3, z >> 3)
            if key != last:
                last = key
                a = np.int64(find(keys_a, values_a, key))
                other = pack_key((x >> 3) - offset_b[0], (y >> 3) - offset_b[1], (z >> 3) - offset_b[2])
                b = np.int64(find(keys_b, values_b, other))
            record_a[column], record_b[column] = a, b
            voxel[column] = (x & 7) | ((y & 7) << 3) | ((z & 7) << 6)
        # A loop of its own: so short that the processor waits for the memory of many pixels at the same time.
        for column in range(columns):
            label, lead = composed_label(records_a, record_a[column], records_b, record_b[column], voxel[column])
            labels[row, column] = np.uint16(label) if lead > np.float32(0.0) else np.uint16(0)
            confidences[row, column] = lead


# --- what is in view ----------------------------------------------------------------------------------------------


@compiled
def visible_blocks(
    coordinates: Array,
    keys: Array,
    values: Array,
    offset: Array,
    other_keys: Array,
    other_values: Array,
    other_offset: Array,
    only_new: bool,
    block_m: float,
    T_camera_map: Array,
    pinhole: Array,
    width: int,
    height: int,
    nearest_m: float,
    farthest_m: float,
    found: Array,
    depth: Array,
) -> int:
    """Collect the blocks of a volume that the camera may see; return how many there are.

    found (B, 5) receives the block in the map, its record, and its record in the other volume; depth (B,) that of
    its centre. only_new leaves out what the other volume has.
    """
    radius = 0.5 * np.sqrt(3.0) * block_m
    fx, fy, cx, cy = pinhole[0], pinhole[1], pinhole[2], pinhole[3]
    # The planes through the borders of the image; their normals point inwards and have the length ``slant``.
    left, right = (cx + 0.5) / fx, (width - 0.5 - cx) / fx
    top, bottom = (cy + 0.5) / fy, (height - 0.5 - cy) / fy
    count = 0
    for n in range(coordinates.shape[0]):
        bx, by, bz = coordinates[n, 0] + offset[0], coordinates[n, 1] + offset[1], coordinates[n, 2] + offset[2]
        # Voxels are centred at integers, so a block's centre is at 3.5 voxels.
        x, y, z = (bx + 0.4375) * block_m, (by + 0.4375) * block_m, (bz + 0.4375) * block_m
        px = T_camera_map[0, 0] * x + T_camera_map[0, 1] * y + T_camera_map[0, 2] * z + T_camera_map[0, 3]
        py = T_camera_map[1, 0] * x + T_camera_map[1, 1] * y + T_camera_map[1, 2] * z + T_camera_map[1, 3]
        pz = T_camera_map[2, 0] * x + T_camera_map[2, 1] * y + T_camera_map[2, 2] * z + T_camera_map[2, 3]
        if pz < nearest_m - radius or pz > farthest_m + radius:
            continue
        if px + left * pz < -radius * np.sqrt(1.0 + left * left):
            continue
        if right * pz - px < -radius * np.sqrt(1.0 + right * right):
            continue
        if py + top * pz < -radius * np.sqrt(1.0 + top * top):
            continue
        if bottom * pz - py < -radius * np.sqrt(1.0 + bottom * bottom):
            continue
        # A record that no key leads to has been freed.
        if find(keys, values, pack_key(coordinates[n, 0], coordinates[n, 1], coordinates[n, 2])) != n:
            continue
        key = pack_key(bx - other_offset[0], by - other_offset[1], bz - other_offset[2])
        other = np.int64(find(other_keys, other_values, key))
        if only_new and other >= 0:
            continue
        found[count, 0], found[count, 1], found[count, 2] = bx, by, bz
        found[count, 3], found[count, 4] = n, other
        depth[count] = pz
        count += 1
    return count


@compiled
def mark_surfaces(
    blocks: Array,
    records_a: Array,
    records_b: Array,
    band: float,
    minimum_weight: float,
    near: Array,
) -> None:
    """Tell in ``near`` (B,) which (B, 5) blocks of visible_blocks() have a known tsdf between -band and band."""
    threshold = max(np.float32(minimum_weight), np.float32(1e-20))
    limit = np.float32(band)
    sum_distance = np.empty(VOXELS_PER_BLOCK, np.float32)
    sum_weight = np.empty(VOXELS_PER_BLOCK, np.float32)
    for n in range(blocks.shape[0]):
        a, b = blocks[n, 3], blocks[n, 4]
        if b < 0:
            distance, weight = records_a[a, TSDF], records_a[a, WEIGHT]
        elif a < 0:
            distance, weight = records_b[b, TSDF], records_b[b, WEIGHT]
        else:
            distance, weight = sum_distance, sum_weight
            for i in range(VOXELS_PER_BLOCK):
                sum_distance[i], sum_weight[i] = composed_distance(records_a, a, records_b, b, np.uint32(i))
        count = 0
        for i in range(VOXELS_PER_BLOCK):
            count += (abs(distance[i]) < limit) & (weight[i] >= threshold)
        near[n] = count > 0


# --- splatting ----------------------------------------------------------------------------------------------------


@compiled
def splat(
    blocks: Array,
    first_block: int,
    records_a: Array,
    records_b: Array,
    voxel_m: float,
    truncation_m: float,
    minimum_weight: float,
    T_camera_map: Array,
    pinhole: Array,
    nearest_m: float,
    farthest_m: float,
    count: int,
    inverse_depth: Array,
    winner: Array,
    points: Array,
    normals: Array,
    colors: Array,
    labels: Array,
) -> tuple[int, int]:
    """Draw the surface voxels of (B, 5) blocks of visible_blocks() as pieces of planes with a z-buffer.

    A voxel is drawn when the plane through it, by the tsdf and its slope, cuts its cube. inverse_depth (H, W) float32
    holds 1 / z [1/m], 0 for nothing, winner (H, W) int32 the number of the voxel drawn there. points, normals (map
    frame), colors and labels receive each voxel that won a pixel. Returns the block to go on with and the number of
    voxels, before their arrays are full.
    """
    height, width = inverse_depth.shape
    fx, fy = np.float32(pinhole[0]), np.float32(pinhole[1])
    cx, cy = np.float32(pinhole[2]), np.float32(pinhole[3])
    zero, one, half = np.float32(0.0), np.float32(1.0), np.float32(0.5)
    voxel, truncation = np.float32(voxel_m), np.float32(truncation_m)
    near, far = np.float32(max(nearest_m, 1e-3)), np.float32(farthest_m)
    threshold = max(np.float32(minimum_weight), np.float32(1e-20))
    # A block with a rim of voxels that are not known, so that all voxels are treated alike, in one long loop.
    distance = np.zeros(_RIMMED**3, np.float32)
    known = np.zeros(_RIMMED**3, np.float32)
    first, end = _FIRST_RIMMED, _FIRST_RIMMED + _SPAN
    here, knows_here = distance[first:end], known[first:end]
    low_x, high_x = distance[first - 1 : end - 1], distance[first + 1 : end + 1]
    low_y, high_y = distance[first - _RIMMED : end - _RIMMED], distance[first + _RIMMED : end + _RIMMED]
    low_z, high_z = distance[first - _LAYER : end - _LAYER], distance[first + _LAYER : end + _LAYER]
    knows_low_x, knows_high_x = known[first - 1 : end - 1], known[first + 1 : end + 1]
    knows_low_y, knows_high_y = known[first - _RIMMED : end - _RIMMED], known[first + _RIMMED : end + _RIMMED]
    knows_low_z, knows_high_z = known[first - _LAYER : end - _LAYER], known[first + _LAYER : end + _LAYER]
    slope_x = np.empty(_SPAN, np.float32)
    slope_y = np.empty(_SPAN, np.float32)
    slope_z = np.empty(_SPAN, np.float32)
    excess = np.empty(_SPAN, np.float32)
    chosen = np.empty(_SPAN + 1, np.int64)
    r00, r01, r02 = np.float32(T_camera_map[0, 0]), np.float32(T_camera_map[0, 1]), np.float32(T_camera_map[0, 2])
    r10, r11, r12 = np.float32(T_camera_map[1, 0]), np.float32(T_camera_map[1, 1]), np.float32(T_camera_map[1, 2])
    r20, r21, r22 = np.float32(T_camera_map[2, 0]), np.float32(T_camera_map[2, 1]), np.float32(T_camera_map[2, 2])
    for n in range(first_block, blocks.shape[0]):
        if count + VOXELS_PER_BLOCK > points.shape[0]:
            return n, count
        a, b = blocks[n, 3], blocks[n, 4]
        for row in range(BLOCK_SIZE * BLOCK_SIZE):
            place = np.uint32(_RIMMED * ((row >> 3) * _RIMMED + (row & 7)) + _FIRST_RIMMED)
            for i in range(BLOCK_SIZE):
                value, seen = composed_distance(records_a, a, records_b, b, np.uint32(8 * row) + np.uint32(i))
                distance[place + np.uint32(i)] = value
                known[place + np.uint32(i)] = one if seen >= threshold else zero
        for i in range(_SPAN):
            value = here[i]
            sx = known_slope(low_x[i], value, high_x[i], knows_low_x[i], knows_high_x[i])
            sy = known_slope(low_y[i], value, high_y[i], knows_low_y[i], knows_high_y[i])
            sz = known_slope(low_z[i], value, high_z[i], knows_low_z[i], knows_high_z[i])
            slope_x[i], slope_y[i], slope_z[i] = sx, sy, sz
            # The plane cuts the cube of the voxel: the length of the slope, on both sides, cancels out.
            excess[i] = knows_here[i] * (half * (abs(sx) + abs(sy) + abs(sz)) - abs(value))
        count_chosen = 0
        for i in range(_SPAN):
            chosen[np.uint32(count_chosen)] = i
            count_chosen += excess[i] > zero
        # From float64 once for each block, so that a map far from its origin is as sharp.
        x0, y0, z0 = blocks[n, 0] * 8 * voxel_m, blocks[n, 1] * 8 * voxel_m, blocks[n, 2] * 8 * voxel_m
        tx = np.float32(
            T_camera_map[0, 0] * x0 + T_camera_map[0, 1] * y0 + T_camera_map[0, 2] * z0 + T_camera_map[0, 3]
        )
        ty = np.float32(
            T_camera_map[1, 0] * x0 + T_camera_map[1, 1] * y0 + T_camera_map[1, 2] * z0 + T_camera_map[1, 3]
        )
        tz = np.float32(
            T_camera_map[2, 0] * x0 + T_camera_map[2, 1] * y0 + T_camera_map[2, 2] * z0 + T_camera_map[2, 3]
        )
        for k in range(count_chosen):
            i = chosen[k]
            iz, iy = i // _LAYER, i // _RIMMED % _RIMMED
            ix = i - iz * _LAYER - iy * _RIMMED
            gx, gy, gz = slope_x[i], slope_y[i], slope_z[i]
            slope = np.sqrt(gx * gx + gy * gy + gz * gz)
            if slope * truncation < LEAST_SLOPE * voxel:
                continue
            nx, ny, nz = gx / slope, gy / slope, gz / slope
            # In voxels; a tsdf along rays is steeper than the true distance, which its slope makes up for.
            away = here[i] / slope
            qx = (np.float32(ix) - away * nx) * voxel
            qy = (np.float32(iy) - away * ny) * voxel
            qz = (np.float32(iz) - away * nz) * voxel
            z = r20 * qx + r21 * qy + r22 * qz + tz
            if z < near or z > far:
                continue
            x = r00 * qx + r01 * qy + r02 * qz + tx
            y = r10 * qx + r11 * qy + r12 * qz + ty
            per_z = one / z
            u, v = fx * x * per_z + cx, fy * y * per_z + cy
            reach_u, reach_v = fx * SPLAT_VOXELS * voxel * per_z, fy * SPLAT_VOXELS * voxel * per_z
            # Bounds are compared as floats first: what is far outside does not fit an integer.
            if u + reach_u < zero or v + reach_v < zero or u - reach_u > width - 1 or v - reach_v > height - 1:
                continue
            u_low, u_high = max(int(np.ceil(u - reach_u)), 0), min(int(np.floor(u + reach_u)), width - 1)
            v_low, v_high = max(int(np.ceil(v - reach_v)), 0), min(int(np.floor(v + reach_v)), height - 1)
            ax = r00 * nx + r01 * ny + r02 * nz
            ay = r10 * nx + r11 * ny + r12 * nz
            az = r20 * nx + r21 * ny + r22 * nz
            facing = ax * x + ay * y + az * z
            if facing * facing < EDGE_ON * (x * x + y * y + z * z):
                continue
            slope_u, slope_v, level = plane_in_view(ax, ay, az, facing, fx, fy, cx, cy)
            # Only as far as the plane stays with its voxel: a slanted one is narrow, so that rims stay where they are.
            least, most = one / (z + voxel), one / max(z - voxel, half * near)
            won = 0
            for pv in range(v_low, v_high + 1):
                at_row = slope_v * np.float32(pv) + level
                row, row_winner = inverse_depth[pv], winner[pv]
                for pu in range(u_low, u_high + 1):
                    near_here = slope_u * np.float32(pu) + at_row
                    if near_here > row[pu] and near_here >= least and near_here <= most:
                        row[pu] = near_here
                        row_winner[pu] = count
                        won += 1
            if won == 0:
                continue
            points[count, 0], points[count, 1], points[count, 2] = x0 + qx, y0 + qy, z0 + qz
            normals[count, 0], normals[count, 1], normals[count, 2] = nx, ny, nz
            red, green, blue = composed_color(records_a, a, records_b, b, ix + 8 * iy + 64 * iz)
            colors[count, 0] = np.uint8(min(red + half, np.float32(255.0)))
            colors[count, 1] = np.uint8(min(green + half, np.float32(255.0)))
            colors[count, 2] = np.uint8(min(blue + half, np.float32(255.0)))
            label, lead = composed_label(records_a, a, records_b, b, ix + 8 * iy + 64 * iz)
            labels[count] = np.uint16(label) if lead > zero else np.uint16(0)
            count += 1
    return blocks.shape[0], count


@compiled
def shade(
    inverse_depth: Array,
    winner: Array,
    point_normals: Array,
    point_colors: Array,
    point_labels: Array,
    depth: Array,
    normals: Array,
    colors: Array,
    labels: Array,
) -> None:
    """Give each pixel depth, normal, colour and label of the voxel that won it; the images come filled with 0."""
    for v in range(winner.shape[0]):
        for u in range(winner.shape[1]):
            if inverse_depth[v, u] > np.float32(0.0):
                point = winner[v, u]
                depth[v, u] = np.float32(1.0) / inverse_depth[v, u]
                labels[v, u] = point_labels[point]
                for c in range(3):
                    normals[v, u, c] = point_normals[point, c]
                    colors[v, u, c] = point_colors[point, c]


# --- ray casting --------------------------------------------------------------------------------------------------


@compiled
def tile_ranges(
    blocks: Array,
    voxel_m: float,
    T_camera_map: Array,
    pinhole: Array,
    nearest_m: float,
    farthest_m: float,
    lowest: Array,
    highest: Array,
) -> None:
    """Write between which depths [m] there are blocks in each tile of the image; lowest starts at infinity."""
    rows, columns = lowest.shape
    half = 0.5 * BLOCK_SIZE * voxel_m
    fx, fy, cx, cy = pinhole[0], pinhole[1], pinhole[2], pinhole[3]
    for n in range(blocks.shape[0]):
        x, y, z = (
            (blocks[n, 0] * 8 + 3.5) * voxel_m,
            (blocks[n, 1] * 8 + 3.5) * voxel_m,
            (blocks[n, 2] * 8 + 3.5) * voxel_m,
        )
        z_low, z_high = np.inf, -np.inf
        u_low, u_high, v_low, v_high = np.inf, -np.inf, np.inf, -np.inf
        for corner in range(8):
            px = x + (half if corner & 1 else -half)
            py = y + (half if corner & 2 else -half)
            pz = z + (half if corner & 4 else -half)
            qx = T_camera_map[0, 0] * px + T_camera_map[0, 1] * py + T_camera_map[0, 2] * pz + T_camera_map[0, 3]
            qy = T_camera_map[1, 0] * px + T_camera_map[1, 1] * py + T_camera_map[1, 2] * pz + T_camera_map[1, 3]
            qz = T_camera_map[2, 0] * px + T_camera_map[2, 1] * py + T_camera_map[2, 2] * pz + T_camera_map[2, 3]
            z_low, z_high = min(z_low, qz), max(z_high, qz)
            # A corner beside or behind the camera covers the whole image; the block is then known by its depth.
            behind = qz < 1e-3
            qz = max(qz, 1e-3)
            u, v = fx * qx / qz + cx, fy * qy / qz + cy
            u_low, u_high = min(u_low, -np.inf if behind else u), max(u_high, np.inf if behind else u)
            v_low, v_high = min(v_low, -np.inf if behind else v), max(v_high, np.inf if behind else v)
        if z_high < nearest_m or z_low > farthest_m:
            continue
        first_column = int(min(max((u_low - 1.0) / TILE_PX, 0.0), columns * 1.0))
        last_column = int(max(min((u_high + 1.0) / TILE_PX, columns - 1.0), -1.0))
        first_row = int(min(max((v_low - 1.0) / TILE_PX, 0.0), rows * 1.0))
        last_row = int(max(min((v_high + 1.0) / TILE_PX, rows - 1.0), -1.0))
        for row in range(first_row, last_row + 1):
            for column in range(first_column, last_column + 1):
                lowest[row, column] = min(lowest[row, column], max(z_low, nearest_m))
                highest[row, column] = max(highest[row, column], min(z_high, farthest_m))


@_within
def _corner_distances(
    x: int,
    y: int,
    z: int,
    records_a: Array,
    keys_a: Array,
    values_a: Array,
    records_b: Array,
    keys_b: Array,
    values_b: Array,
    offset_b: Array,
    threshold: float,
    corners: Array,
) -> bool:
    # The tsdf of voxel x, y, z and its 7 upper neighbours; False when fewer than half of them are known. What is not
    # known takes the mean of its known neighbours, so that rays do not fall through the rim of what was seen.
    crossing = ((x & 7) == 7) | (((y & 7) == 7) << 1) | (((z & 7) == 7) << 2)
    a, b, last = np.int64(-1), np.int64(-1), -1
    known, count = 0, 0
    if crossing == 0:
        # The common case without asking for the block of each voxel.
        a = np.int64(find(keys_a, values_a, pack_key(x >> 3, y >> 3, z >> 3)))
        other = pack_key((x >> 3) - offset_b[0], (y >> 3) - offset_b[1], (z >> 3) - offset_b[2])
        b = np.int64(find(keys_b, values_b, other))
        first = (x & 7) | ((y & 7) << 3) | ((z & 7) << 6)
        for corner in range(8):
            voxel = first + (corner & 1) + ((corner & 2) << 2) + ((corner & 4) << 4)
            value, weight = composed_distance(records_a, a, records_b, b, voxel)
            corners[corner] = value
            known |= (weight >= threshold) << corner
            count += weight >= threshold
        last = 8
    for corner in range(8 if last < 0 else 0):
        vx, vy, vz = x + (corner & 1), y + ((corner >> 1) & 1), z + (corner >> 2)
        # Which of the borders of the block lies between the first voxel and this one.
        beyond = corner & crossing
        if beyond != last:
            last = beyond
            a = np.int64(find(keys_a, values_a, pack_key(vx >> 3, vy >> 3, vz >> 3)))
            other = pack_key((vx >> 3) - offset_b[0], (vy >> 3) - offset_b[1], (vz >> 3) - offset_b[2])
            b = np.int64(find(keys_b, values_b, other))
        value, weight = composed_distance(records_a, a, records_b, b, (vx & 7) | ((vy & 7) << 3) | ((vz & 7) << 6))
        corners[corner] = value
        known |= (weight >= threshold) << corner
        count += weight >= threshold
    if count < 4:
        return False
    if count < 8:
        for corner in range(8):
            if (known >> corner) & 1:
                continue
            total, sides = np.float32(0.0), 0
            for axis in range(3):
                neighbour = corner ^ (1 << axis)
                if (known >> neighbour) & 1:
                    total += corners[neighbour]
                    sides += 1
            if sides == 0:
                return False
            corners[corner] = total / np.float32(sides)
    return True


@compiled
def cast(
    records_a: Array,
    keys_a: Array,
    values_a: Array,
    records_b: Array,
    keys_b: Array,
    values_b: Array,
    offset_b: Array,
    voxel_m: float,
    truncation_m: float,
    minimum_weight: float,
    T_map_camera: Array,
    pinhole: Array,
    near_a: Array,
    near_b: Array,
    inverse_depth: Array,
    lowest: Array,
    highest: Array,
    depth: Array,
    normals: Array,
    colors: Array,
    labels: Array,
) -> None:
    """Follow the ray of each pixel to the first surface; the images come filled with 0.

    near_a and near_b tell for each record whether its block is near a surface; others are passed at once. A ray starts
    shortly before what splat() has drawn in its pixel and ends at the depth of tile_ranges(). A surface is where the
    trilinear tsdf between known voxels changes its sign, from either side: also from behind a thing is in the way.
    Normals point to its outside, in the map frame.
    """
    height, width = depth.shape
    threshold = max(np.float32(minimum_weight), np.float32(1e-20))
    corners = np.empty(8, np.float32)
    per_voxel = 1.0 / voxel_m
    truncation_voxels = truncation_m / voxel_m
    ox, oy, oz = T_map_camera[0, 3] * per_voxel, T_map_camera[1, 3] * per_voxel, T_map_camera[2, 3] * per_voxel
    for v in range(height):
        ray_y = (v - pinhole[3]) / pinhole[1]
        for u in range(width):
            s = lowest[v // TILE_PX, u // TILE_PX]
            end = highest[v // TILE_PX, u // TILE_PX]
            # Where no splat is there is no surface, but for a pixel in a thousand.
            if not s < end or inverse_depth[v, u] == np.float32(0.0):
                continue
            ray_x = (u - pinhole[2]) / pinhole[0]
            # In voxels of the map for each metre of depth.
            dx = (T_map_camera[0, 0] * ray_x + T_map_camera[0, 1] * ray_y + T_map_camera[0, 2]) * per_voxel
            dy = (T_map_camera[1, 0] * ray_x + T_map_camera[1, 1] * ray_y + T_map_camera[1, 2]) * per_voxel
            dz = (T_map_camera[2, 0] * ray_x + T_map_camera[2, 1] * ray_y + T_map_camera[2, 2]) * per_voxel
            per_step = 1.0 / np.sqrt(dx * dx + dy * dy + dz * dz)  # depth for a way of one voxel along the ray
            s = max(s, 1.0 / inverse_depth[v, u] - HEAD_START_VOXELS * per_step)
            last = np.int64(EMPTY)
            a, b = np.int64(-1), np.int64(-1)
            # The last known value along the ray, NaN where it is not known; precise ones are interpolated.
            before, before_s = np.nan, s
            while s <= end:
                x, y, z = ox + dx * s, oy + dy * s, oz + dz * s
                ix, iy, iz = np.int64(np.rint(x)), np.int64(np.rint(y)), np.int64(np.rint(z))
                key = pack_key(ix >> 3, iy >> 3, iz >> 3)
                if key != last:
                    last = key
                    a = np.int64(find(keys_a, values_a, key))
                    other = pack_key((ix >> 3) - offset_b[0], (iy >> 3) - offset_b[1], (iz >> 3) - offset_b[2])
                    b = np.int64(find(keys_b, values_b, other))
                if not ((a >= 0 and near_a[a]) or (b >= 0 and near_b[b])):
                    leave = min(block_exit(x, dx, ix >> 3), block_exit(y, dy, iy >> 3), block_exit(z, dz, iz >> 3))
                    s += leave
                    before, before_s = np.nan, s
                    if a >= 0 or b >= 0:
                        # On which side of the surface the block ends.
                        jx = min(max(np.int64(np.rint(ox + dx * s)), ix & -8), ix | 7) & 7
                        jy = min(max(np.int64(np.rint(oy + dy * s)), iy & -8), iy | 7) & 7
                        jz = min(max(np.int64(np.rint(oz + dz * s)), iz & -8), iz | 7) & 7
                        value, weight = composed_distance(records_a, a, records_b, b, jx | (jy << 3) | (jz << 6))
                        if weight >= threshold:
                            before = np.float64(value)
                    s += 1e-3 * per_step
                    continue
                voxel = (ix & 7) | ((iy & 7) << 3) | ((iz & 7) << 6)
                value, weight = composed_distance(records_a, a, records_b, b, voxel)
                if weight < threshold:
                    s += 0.8 * per_step
                    before = np.nan
                    continue
                away = abs(np.float64(value)) * truncation_voxels
                if away > 1.8:
                    # The nearest voxel is off by less than a voxel's half diagonal; go no farther than what is sure.
                    before, before_s = np.float64(value), s
                    s += min(0.8 * (away - 0.9), 0.8 * truncation_voxels) * per_step
                    continue
                fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
                if not _corner_distances(
                    np.int64(fx),
                    np.int64(fy),
                    np.int64(fz),
                    records_a,
                    keys_a,
                    values_a,
                    records_b,
                    keys_b,
                    values_b,
                    offset_b,
                    threshold,
                    corners,
                ):
                    s += 0.5 * per_step
                    before = np.nan
                    continue
                exact = np.float64(interpolated(corners, np.float32(x - fx), np.float32(y - fy), np.float32(z - fz)))
                if (exact < 0.0 and before >= 0.0) or (exact >= 0.0 and before < 0.0):
                    # Regula falsi: a straight line between both values, and the next one from where it hits.
                    after, after_s, hit = exact, s, s
                    for _ in range(REFINEMENTS):
                        hit = before_s + (after_s - before_s) * before / (before - after)
                        x, y, z = ox + dx * hit, oy + dy * hit, oz + dz * hit
                        fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
                        if not _corner_distances(
                            np.int64(fx),
                            np.int64(fy),
                            np.int64(fz),
                            records_a,
                            keys_a,
                            values_a,
                            records_b,
                            keys_b,
                            values_b,
                            offset_b,
                            threshold,
                            corners,
                        ):
                            break
                        rx, ry, rz = np.float32(x - fx), np.float32(y - fy), np.float32(z - fz)
                        nx, ny, nz = interpolated_slope(corners, rx, ry, rz)
                        length = np.sqrt(nx * nx + ny * ny + nz * nz)
                        if length > np.float32(0.0):
                            normals[v, u, 0], normals[v, u, 1], normals[v, u, 2] = nx / length, ny / length, nz / length
                        rest = np.float64(interpolated(corners, rx, ry, rz))
                        if abs(rest) * truncation_voxels < HIT_VOXELS:
                            break
                        if (rest < 0.0) == (after < 0.0):
                            after, after_s = rest, hit
                        else:
                            before, before_s = rest, hit
                    depth[v, u] = np.float32(hit)
                    ix = np.int64(np.rint(ox + dx * hit))
                    iy = np.int64(np.rint(oy + dy * hit))
                    iz = np.int64(np.rint(oz + dz * hit))
                    a = np.int64(find(keys_a, values_a, pack_key(ix >> 3, iy >> 3, iz >> 3)))
                    other = pack_key((ix >> 3) - offset_b[0], (iy >> 3) - offset_b[1], (iz >> 3) - offset_b[2])
                    b = np.int64(find(keys_b, values_b, other))
                    voxel = (ix & 7) | ((iy & 7) << 3) | ((iz & 7) << 6)
                    red, green, blue = composed_color(records_a, a, records_b, b, voxel)
                    colors[v, u, 0] = np.uint8(min(red + np.float32(0.5), np.float32(255.0)))
                    colors[v, u, 1] = np.uint8(min(green + np.float32(0.5), np.float32(255.0)))
                    colors[v, u, 2] = np.uint8(min(blue + np.float32(0.5), np.float32(255.0)))
                    label, lead = composed_label(records_a, a, records_b, b, voxel)
                    labels[v, u] = np.uint16(label) if lead > np.float32(0.0) else np.uint16(0)
                    break
                before, before_s = exact, s
                # Just past where the surface should be: two values around it are what is needed.
                s += (abs(exact) * truncation_voxels + OVERSHOOT_VOXELS) * per_step
