"""Compiled loops of the block-sparse TSDF on the CPU: hash of blocks, integration of frames, sums of volumes.

All of them release the interpreter lock and are cached on disk; what happens to one voxel is written in voxel.py.
"""

from __future__ import annotations

import numpy as np

from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK
from lira_ros.mapping.voxel import (
    BLUE,
    CHANNELS,
    CONFIDENCE,
    EMPTY,
    GREEN,
    LABEL,
    RED,
    TSDF,
    WEIGHT,
    Array,
    compiled,
    observation_weight,
    pack_key,
    slot_of,
    vote,
)

# Slots of the counters that `touch` shares with its caller.
BLOCK_COUNT, TOUCHED_COUNT, REFUSED_COUNT, MAP_COUNT = range(4)


# --- hash of block keys -------------------------------------------------------------------------------------------


@compiled
def find(keys: Array, values: Array, key: int) -> int:
    """Return the index stored for ``key`` in the open-addressing table, -1 where it is not in."""
    slots = keys.shape[0]
    slot = slot_of(key, slots)
    while True:
        found = keys[slot]
        if found == key:
            return values[slot]
        if found == EMPTY:
            return -1
        slot = (slot + 1) & (slots - 1)


@compiled
def insert(keys: Array, values: Array, key: int, value: int) -> int:
    """Store ``value`` for ``key`` unless it is in already; return the stored value. The table must have room."""
    slots = keys.shape[0]
    slot = slot_of(key, slots)
    while True:
        found = keys[slot]
        if found == key:
            return values[slot]
        if found == EMPTY:
            keys[slot] = key
            values[slot] = value
            return value
        slot = (slot + 1) & (slots - 1)


@compiled
def insert_all(keys: Array, values: Array, coordinates: Array, count: int) -> None:
    """Store index i for the first ``count`` (B, 3) block coordinates, used to fill a larger table."""
    for i in range(count):
        insert(keys, values, pack_key(coordinates[i, 0], coordinates[i, 1], coordinates[i, 2]), i)


@compiled
def find_all(keys: Array, values: Array, coordinates: Array, indices: Array) -> None:
    """Write the index of each of the (B, 3) block coordinates, -1 where there is no block."""
    for i in range(coordinates.shape[0]):
        indices[i] = find(keys, values, pack_key(coordinates[i, 0], coordinates[i, 1], coordinates[i, 2]))


@compiled
def allocate_all(
    keys: Array, values: Array, coordinates: Array, count: int, limit: int, wanted: Array, indices: Array
) -> int:
    """Write the index of each of the (B, 3) wanted blocks, creating what is missing; return the new block count.

    Beyond ``limit`` blocks the index is -1. The table must have room for all of them.
    """
    for i in range(wanted.shape[0]):
        key = pack_key(wanted[i, 0], wanted[i, 1], wanted[i, 2])
        index = find(keys, values, key)
        if index < 0 and count < limit:
            index = count
            insert(keys, values, key, index)
            coordinates[index, 0] = wanted[i, 0]
            coordinates[index, 1] = wanted[i, 1]
            coordinates[index, 2] = wanted[i, 2]
            count += 1
        indices[i] = index
    return count


# --- integration --------------------------------------------------------------------------------------------------


@compiled
def select_depth(depth: Array, edge: Array, nearest_m: float, farthest_m: float, usable: Array) -> int:
    """Copy the (H, W) depth [m] within range and off the edges into flat ``usable``, 0 elsewhere; return the count.

    ``usable`` has one value more than there are pixels: a 0 that voxels outside of the image read.
    """
    rows, columns = depth.shape
    nothing = np.float32(0.0)
    count = 0
    for v in range(rows):
        row, row_edge, out = depth[v], edge[v], usable[v * columns : (v + 1) * columns]
        for u in range(columns):
            z = row[u]
            good = (z >= nearest_m) & (z <= farthest_m) & (not row_edge[u])
            out[u] = z if good else nothing
            count += good
    usable[rows * columns] = nothing
    return count


@compiled
def touch(
    usable: Array,
    rows: int,
    columns: int,
    first_row: int,
    stride: int,
    intrinsics: Array,
    rotation: Array,
    translation: Array,
    truncation_m: float,
    samples: int,
    block_m: float,
    keys: Array,
    values: Array,
    coordinates: Array,
    last_frame: Array,
    frame: int,
    capacity: int,
    room: int,
    map_keys: Array,
    map_values: Array,
    map_offset: Array,
    map_limit: int,
    touched: Array,
    counters: Array,
) -> int:
    """Collect the blocks within the truncation band of every stride-th measurement, creating what is missing.

    usable: flat depth of select_depth(). intrinsics: fx, fy, cx, cy. rotation (3, 3), translation (3,): camera to
    volume. touched receives block indices, each once; the counters are updated. New blocks are refused beyond
    ``capacity`` of the volume, and beyond ``map_limit`` blocks of the map when the map (blocks map_offset further)
    does not have them yet. Returns the row to go on with when the hash table has no ``room`` left for new blocks,
    ``rows`` when done.
    """
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    per_block = np.float32(1.0 / block_m)
    step = np.float32(2.0 * truncation_m / (samples - 1))
    # A direct-mapped filter catches what the run-length test misses, before the larger table is asked.
    filter_keys = np.full(4096, np.int64(EMPTY))
    last_key = np.int64(EMPTY)
    row = first_row
    while row < rows:
        # One row brings at most this many new blocks; growing the table is left to the caller.
        if counters[BLOCK_COUNT] + (columns // stride + 1) * samples > room:
            return row
        ray_y = np.float32((row - cy) / fy)
        for column in range(stride // 2, columns, stride):
            z = usable[row * columns + column]
            if z == np.float32(0.0):
                continue
            ray_x = np.float32((column - cx) / fx)
            direction_x = rotation[0, 0] * ray_x + rotation[0, 1] * ray_y + rotation[0, 2]
            direction_y = rotation[1, 0] * ray_x + rotation[1, 1] * ray_y + rotation[1, 2]
            direction_z = rotation[2, 0] * ray_x + rotation[2, 1] * ray_y + rotation[2, 2]
            for sample in range(samples):
                s = z - np.float32(truncation_m) + step * np.float32(sample)
                x = int(np.floor((direction_x * s + translation[0]) * per_block))
                y = int(np.floor((direction_y * s + translation[1]) * per_block))
                w = int(np.floor((direction_z * s + translation[2]) * per_block))
                key = pack_key(x, y, w)
                if key == last_key:
                    continue
                last_key = key
                place = (x + 16 * y + 256 * w) & 4095
                if filter_keys[place] == key:
                    continue
                filter_keys[place] = key
                index = find(keys, values, key)
                if index < 0:
                    index = counters[BLOCK_COUNT]
                    map_key = pack_key(x + map_offset[0], y + map_offset[1], w + map_offset[2])
                    new_to_map = find(map_keys, map_values, map_key) < 0
                    if index >= capacity or (new_to_map and counters[MAP_COUNT] >= map_limit):
                        counters[REFUSED_COUNT] += 1
                        continue
                    counters[MAP_COUNT] += new_to_map
                    insert(keys, values, key, index)
                    coordinates[index, 0] = x
                    coordinates[index, 1] = y
                    coordinates[index, 2] = w
                    counters[BLOCK_COUNT] = index + 1
                if last_frame[index] != frame:
                    last_frame[index] = frame
                    touched[counters[TOUCHED_COUNT]] = index
                    counters[TOUCHED_COUNT] += 1
        row += stride
    return rows


@compiled
def integrate(
    records: Array,
    coordinates: Array,
    touched: Array,
    usable: Array,
    color: Array,
    labels: Array,
    confidences: Array,
    rows: int,
    columns: int,
    intrinsics: Array,
    rotation: Array,
    translation: Array,
    voxel_m: float,
    truncation_m: float,
    constant_weight: bool,
    weight_cap: float,
    dirty: Array,
) -> None:
    """Update all channels of the touched blocks from one frame.

    usable: flat depth of select_depth(). color: (H * W, 3) uint8. labels: (H * W,) uint16 and confidences: (H * W,)
    float32, both empty when the frame has none. rotation (3, 3), translation (3,): volume to camera, float32.
    dirty (B,) bool is set where a voxel changed.
    """
    fx, fy = intrinsics[0], intrinsics[1]
    # Pixel centres are at integers (OpenCV): the nearest pixel is found by rounding, never by cutting off.
    cx, cy = intrinsics[2] + np.float32(0.5), intrinsics[3] + np.float32(0.5)
    voxel = np.float32(voxel_m)
    truncation = np.float32(truncation_m)
    per_truncation = np.float32(1.0 / truncation_m)
    label_band = np.float32(1.5) * voxel
    cap = np.float32(weight_cap)
    zero, one = np.float32(0.0), np.float32(1.0)
    width, height = np.float32(columns), np.float32(rows)
    outside = np.uint32(rows * columns)
    with_labels = labels.shape[0] > 0

    offset_x = np.empty(VOXELS_PER_BLOCK, np.float32)
    offset_y = np.empty(VOXELS_PER_BLOCK, np.float32)
    offset_z = np.empty(VOXELS_PER_BLOCK, np.float32)
    for i in range(VOXELS_PER_BLOCK):
        x = voxel * np.float32(i & 7)
        y = voxel * np.float32((i >> 3) & 7)
        z = voxel * np.float32(i >> 6)
        offset_x[i] = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z
        offset_y[i] = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z
        offset_z[i] = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z

    pixel = np.empty(VOXELS_PER_BLOCK, np.uint32)
    distance = np.empty(VOXELS_PER_BLOCK, np.float32)
    share = np.empty(VOXELS_PER_BLOCK, np.float32)

    for k in range(touched.shape[0]):
        block = touched[k]
        x0 = np.float32(coordinates[block, 0] * BLOCK_SIZE) * voxel
        y0 = np.float32(coordinates[block, 1] * BLOCK_SIZE) * voxel
        z0 = np.float32(coordinates[block, 2] * BLOCK_SIZE) * voxel
        base_x = rotation[0, 0] * x0 + rotation[0, 1] * y0 + rotation[0, 2] * z0 + translation[0]
        base_y = rotation[1, 0] * x0 + rotation[1, 1] * y0 + rotation[1, 2] * z0 + translation[1]
        base_z = rotation[2, 0] * x0 + rotation[2, 1] * y0 + rotation[2, 2] * z0 + translation[2]
        # Separate loops without branches: each is turned into vector instructions.
        for i in range(VOXELS_PER_BLOCK):
            z = base_z + offset_z[i]
            per_z = one / max(z, np.float32(1e-6))
            u = fx * (base_x + offset_x[i]) * per_z + cx
            v = fy * (base_y + offset_y[i]) * per_z + cy
            seen = (z > zero) & (u >= zero) & (u < width) & (v >= zero) & (v < height)
            u = min(max(u, zero), width)
            v = min(max(v, zero), height)
            place = np.uint32(np.int32(v) * np.int32(columns) + np.int32(u))
            pixel[i] = place if seen else outside
        for i in range(VOXELS_PER_BLOCK):
            distance[i] = usable[pixel[i]]
        tsdf = records[block, TSDF]
        weight = records[block, WEIGHT]
        changed = 0
        for i in range(VOXELS_PER_BLOCK):
            depth = distance[i]
            signed = depth - (base_z + offset_z[i])
            updated = (depth > zero) & (signed >= -truncation)
            sample_weight = observation_weight(max(depth, np.float32(1e-3)), constant_weight) if updated else zero
            total = weight[i] + sample_weight
            # Written so that a voxel with nothing to add keeps its bits, and without a condition on the stores:
            # masked stores are slow.
            part = sample_weight / max(total, np.float32(1e-20))
            tsdf[i] += (max(-one, min(one, signed * per_truncation)) - tsdf[i]) * part
            weight[i] = min(total, cap)
            share[i] = part
            distance[i] = signed
            changed += updated
        if changed == 0:
            continue
        dirty[block] = True
        red, green, blue = records[block, RED], records[block, GREEN], records[block, BLUE]
        for i in range(VOXELS_PER_BLOCK):
            # Colour belongs to the surface: what is only seen through keeps none.
            if share[i] > zero and distance[i] < truncation:
                place = pixel[i]
                part = share[i]
                # A voxel without colour takes its first one whole, whatever weight free space gave it before.
                if red[i] + green[i] + blue[i] == zero:
                    part = one
                red[i] += (np.float32(color[place, 0]) - red[i]) * part
                green[i] += (np.float32(color[place, 1]) - green[i]) * part
                blue[i] += (np.float32(color[place, 2]) - blue[i]) * part
        if with_labels:
            label, confidence = records[block, LABEL], records[block, CONFIDENCE]
            for i in range(VOXELS_PER_BLOCK):
                if share[i] > zero and abs(distance[i]) < label_band:
                    seen_label = labels[pixel[i]]
                    if seen_label != 0:
                        label[i], confidence[i] = vote(
                            label[i], confidence[i], np.float32(seen_label), confidences[pixel[i]]
                        )


@compiled
def merge(records: Array, indices: Array, other: Array, first_new: int) -> None:
    """Add block i of ``other`` to block indices[i] of ``records``: weighted means, summed weights, joint votes.

    Blocks from ``first_new`` on are empty so far; negative indices are left out.
    """
    for k in range(indices.shape[0]):
        block = indices[k]
        if block < 0:
            continue
        if block >= first_new:
            for channel in range(CHANNELS):
                for i in range(VOXELS_PER_BLOCK):
                    records[block, channel, i] = other[k, channel, i]
            continue
        tsdf, weight = records[block, TSDF], records[block, WEIGHT]
        red, green, blue = records[block, RED], records[block, GREEN], records[block, BLUE]
        other_tsdf, other_weight = other[k, TSDF], other[k, WEIGHT]
        other_red, other_green, other_blue = other[k, RED], other[k, GREEN], other[k, BLUE]
        confidence, other_confidence = records[block, CONFIDENCE], other[k, CONFIDENCE]
        zero, one = np.float32(0.0), np.float32(1.0)
        votes = 0
        for i in range(VOXELS_PER_BLOCK):
            total = weight[i] + other_weight[i]
            part = other_weight[i] / max(total, np.float32(1e-20))
            tsdf[i] += (other_tsdf[i] - tsdf[i]) * part
            weight[i] = total
            part = one if red[i] + green[i] + blue[i] == zero else part
            part = zero if other_red[i] + other_green[i] + other_blue[i] == zero else part
            red[i] += (other_red[i] - red[i]) * part
            green[i] += (other_green[i] - green[i]) * part
            blue[i] += (other_blue[i] - blue[i]) * part
            votes += other_confidence[i] > zero
        if votes == 0:
            continue
        label, other_label = records[block, LABEL], other[k, LABEL]
        for i in range(VOXELS_PER_BLOCK):
            if other_confidence[i] > zero:
                label[i], confidence[i] = vote(label[i], confidence[i], other_label[i], other_confidence[i])


@compiled
def export_colors(records: Array, colors: Array) -> None:
    """Write the (B, 512, 3) uint8 colours of (B, CHANNELS, 512) records, rounded."""
    for k in range(records.shape[0]):
        for i in range(VOXELS_PER_BLOCK):
            for c in range(3):
                colors[k, i, c] = np.uint8(records[k, RED + c, i] + np.float32(0.5))
