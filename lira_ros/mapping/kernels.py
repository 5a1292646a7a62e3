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
    behind_weight,
    color_share,
    compiled,
    incidence_weight,
    kept_share,
    larger,
    observation_weight,
    pack_key,
    pixel_at,
    sample_share,
    slot_of,
    smaller,
    truncated,
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


@compiled
def remove(keys: Array, key: int, values: Array) -> None:
    """Take a key that is in out of the table, moving back what was pushed behind it (Knuth, TAOCP 3, 6.4 R)."""
    slots = keys.shape[0]
    mask = slots - 1
    slot = slot_of(key, slots)
    while keys[slot] != key:
        slot = (slot + 1) & mask
    hole = slot
    while True:
        slot = (slot + 1) & mask
        found = keys[slot]
        if found == EMPTY:
            break
        # A key may move into the hole unless its search starts behind the hole.
        if ((slot - slot_of(found, slots)) & mask) >= ((slot - hole) & mask):
            keys[hole] = found
            values[hole] = values[slot]
            hole = slot
    keys[hole] = EMPTY


@compiled
def discard_all(
    keys: Array,
    values: Array,
    coordinates: Array,
    records: Array,
    last_frame: Array,
    block_stamp_s: Array,
    dirty: Array,
    count: int,
    unwanted: Array,
) -> int:
    """Take the (B, 3) unwanted blocks out; return the new block count.

    The last block moves into the record that falls free, so that the blocks stay together; its old record is cleared
    for the next new block. Blocks that are not in are passed over.
    """
    for k in range(unwanted.shape[0]):
        key = pack_key(unwanted[k, 0], unwanted[k, 1], unwanted[k, 2])
        index = find(keys, values, key)
        if index < 0:
            continue
        remove(keys, key, values)
        count -= 1
        if index != count:
            for axis in range(3):
                coordinates[index, axis] = coordinates[count, axis]
            moved = pack_key(coordinates[count, 0], coordinates[count, 1], coordinates[count, 2])
            slot = slot_of(moved, keys.shape[0])
            while keys[slot] != moved:
                slot = (slot + 1) & (keys.shape[0] - 1)
            values[slot] = index
            records[index] = records[count]
            last_frame[index] = last_frame[count]
            block_stamp_s[index] = block_stamp_s[count]
            dirty[index] = dirty[count]
        records[count] = np.float32(0.0)
        last_frame[count] = 0
        block_stamp_s[count] = 0.0
        dirty[count] = False
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
def smooth_depth(usable: Array, rows: int, columns: int, per_depth: float, floor: float, inverse: Array) -> None:
    """Replace flat depth by the mean inverse depth of 3 x 3 pixels, where these lie on one surface.

    Opposite neighbours are taken in pairs, when their inverse depths lie on one line with that of the middle within
    ``per_depth`` + ``floor`` [1/m] times its square: that holds on a plane however slanted it is, and not across an
    edge. Pairs also keep the mean in the middle. inverse: (H + 2, W + 2) float32, scratch.
    """
    one, nothing = np.float32(1.0), np.float32(0.0)
    # Far from all depths: no pair with a pixel without a measurement is accepted.
    missing = np.float32(-1e6)
    inverse[0] = missing
    inverse[rows + 1] = missing
    for v in range(rows):
        out, row = inverse[v + 1], usable[v * columns : (v + 1) * columns]
        out[0] = missing
        out[columns + 1] = missing
        middle = out[1 : columns + 1]
        for u in range(columns):
            z = row[u]
            middle[u] = one / z if z > nothing else missing
    linear, square = np.float32(per_depth), np.float32(floor)
    for v in range(rows):
        row = usable[v * columns : (v + 1) * columns]
        above, here, below = inverse[v], inverse[v + 1], inverse[v + 2]
        north, south = above[1 : columns + 1], below[1 : columns + 1]
        west, middle, east = here[:columns], here[1 : columns + 1], here[2:]
        north_west, north_east = above[:columns], above[2:]
        south_west, south_east = below[:columns], below[2:]
        for u in range(columns):
            w = middle[u]
            limit = linear + square * w * w
            twice = w + w
            total, count = w, one
            pair = west[u] + east[u]
            good = abs(pair - twice) <= limit
            total += pair if good else nothing
            count += np.float32(2.0) if good else nothing
            pair = north[u] + south[u]
            good = abs(pair - twice) <= limit
            total += pair if good else nothing
            count += np.float32(2.0) if good else nothing
            pair = north_west[u] + south_east[u]
            good = abs(pair - twice) <= limit
            total += pair if good else nothing
            count += np.float32(2.0) if good else nothing
            pair = north_east[u] + south_west[u]
            good = abs(pair - twice) <= limit
            total += pair if good else nothing
            count += np.float32(2.0) if good else nothing
            row[u] = count / total if row[u] > nothing else nothing


@compiled
def weigh_incidence(usable: Array, rows: int, columns: int, intrinsics: Array, weight: Array) -> None:
    """Write the weight of each measurement by the angle at which its surface is seen, see incidence_weight().

    usable: flat depth of select_depth(). weight: (H * W + 1,) float32. The slope is taken from the neighbours that
    are valid; where it cannot be, the surface counts as facing the camera.
    """
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    for v in range(rows):
        ray_y = (np.float32(v) - cy) / fy
        for u in range(columns):
            place = v * columns + u
            z = usable[place]
            if z <= np.float32(0.0):
                weight[place] = np.float32(0.0)
                continue
            inverse = np.float32(1.0) / z
            slope_u = slope_v = np.float32(0.0)
            steps = 0
            for side in (-1, 1):
                if 0 <= u + side < columns and usable[place + side] > np.float32(0.0):
                    slope_u += side * (np.float32(1.0) / usable[place + side] - inverse)
                    steps += 1
            slope_u = slope_u * fx / max(steps, 1)
            steps = 0
            for side in (-1, 1):
                if 0 <= v + side < rows and usable[place + side * columns] > np.float32(0.0):
                    slope_v += side * (np.float32(1.0) / usable[place + side * columns] - inverse)
                    steps += 1
            slope_v = slope_v * fy / max(steps, 1)
            ray_x = (np.float32(u) - cx) / fx
            weight[place] = incidence_weight(slope_u, slope_v, inverse, ray_x, ray_y)
    weight[rows * columns] = np.float32(0.0)


@compiled
def touch_block(
    x: int,
    y: int,
    z: int,
    key: int,
    create: bool,
    keys: Array,
    values: Array,
    coordinates: Array,
    last_frame: Array,
    frame: int,
    capacity: int,
    map_keys: Array,
    map_values: Array,
    map_offset: Array,
    map_limit: int,
    touched: Array,
    counters: Array,
) -> None:
    """Add a block to ``touched`` unless this frame has it already, see touch().

    A block that the volume does not have is made, with ``create``, or else only where the map has it.
    """
    index = find(keys, values, key)
    if index < 0:
        map_key = pack_key(x + map_offset[0], y + map_offset[1], z + map_offset[2])
        new_to_map = find(map_keys, map_values, map_key) < 0
        if new_to_map and not create:
            return
        index = counters[BLOCK_COUNT]
        if index >= capacity or (new_to_map and counters[MAP_COUNT] >= map_limit):
            counters[REFUSED_COUNT] += 1
            return
        counters[MAP_COUNT] += new_to_map
        counters[BLOCK_COUNT] = index + 1
        insert(keys, values, key, index)
        coordinates[index, 0] = x
        coordinates[index, 1] = y
        coordinates[index, 2] = z
    if last_frame[index] != frame:
        last_frame[index] = frame
        touched[counters[TOUCHED_COUNT]] = index
        counters[TOUCHED_COUNT] += 1


@compiled
def _row_directions(
    rotation: Array, first: float, stride: float, ray_y: float, cx: float, fx: float, direction: Array
) -> None:
    # Directions in the volume of the rays of every stride-th pixel of a row, from pixel `first` on.
    for axis in range(3):
        out = direction[axis]
        a, b, c = rotation[axis, 0], rotation[axis, 1], rotation[axis, 2]
        rest = b * ray_y + c
        for i in range(out.shape[0]):
            out[i] = a * ((first + np.float32(np.int32(i)) * stride - cx) / fx) + rest


@compiled
def _row_blocks(
    depth: Array, beyond: float, direction: Array, translation: float, per_block: float, block: Array
) -> None:
    # Block coordinates along one axis of the points `beyond` the depth.
    for i in range(depth.shape[0]):
        place = (direction[i] * (depth[i] + beyond) + translation) * per_block
        cut = np.int32(place)
        block[i] = np.int32(cut - np.int32(np.float32(cut) > place))


@compiled
def _row_codes(depth: Array, block: Array, code: Array) -> None:
    # Codes that differ for different neighbouring blocks: a jump of 1024 blocks is beyond the range of the depth.
    low = np.int32(1023)
    for i in range(depth.shape[0]):
        x, y, z = block[0, i] & low, block[1, i] & low, block[2, i] & low
        found = np.int32(x | np.int32(np.int32(y << 10) | np.int32(z << 20)))
        code[i] = found if depth[i] > np.float32(0.0) else np.int32(-1)


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
    across = (columns - stride // 2 + stride - 1) // stride
    depth = np.empty(across, np.float32)
    direction = np.empty((3, across), np.float32)
    block = np.empty((3, across), np.int32)
    code = np.empty(across, np.int32)
    # A direct-mapped filter catches what the run-length test misses, before the larger table is asked.
    filter_keys = np.full(4096, np.int64(EMPTY))
    row = first_row
    while row < rows:
        # One row brings at most this many new blocks; growing the table is left to the caller.
        if counters[BLOCK_COUNT] + across * samples > room:
            return row
        ray_y = np.float32((row - cy) / fy)
        for i in range(across):
            depth[i] = usable[row * columns + stride // 2 + i * stride]
        _row_directions(rotation, np.float32(stride // 2), np.float32(stride), ray_y, cx, fx, direction)
        # One sample along all rays of a row: neighbouring rays are mostly in the same block.
        for sample in range(samples):
            beyond = step * np.float32(sample) - np.float32(truncation_m)
            for axis in range(3):
                _row_blocks(depth, beyond, direction[axis], translation[axis], per_block, block[axis])
            _row_codes(depth, block, code)
            last_code = np.int32(-1)
            for i in range(across):
                if code[i] == last_code or code[i] < 0:
                    continue
                last_code = code[i]
                x, y, z = np.int64(block[0, i]), np.int64(block[1, i]), np.int64(block[2, i])
                key = pack_key(x, y, z)
                place = (x + 16 * y + 256 * z) & 4095
                if filter_keys[place] == key:
                    continue
                filter_keys[place] = key
                touch_block(
                    x,
                    y,
                    z,
                    key,
                    True,
                    keys,
                    values,
                    coordinates,
                    last_frame,
                    frame,
                    capacity,
                    map_keys,
                    map_values,
                    map_offset,
                    map_limit,
                    touched,
                    counters,
                )
        row += stride
    return rows


@compiled
def touch_all(
    blocks: Array,
    keys: Array,
    values: Array,
    coordinates: Array,
    last_frame: Array,
    frame: int,
    capacity: int,
    map_keys: Array,
    map_values: Array,
    map_offset: Array,
    map_limit: int,
    touched: Array,
    counters: Array,
) -> None:
    """Collect the given (B, 3) blocks, creating what is missing, see touch(). The table must have room for all."""
    for k in range(blocks.shape[0]):
        x, y, z = np.int64(blocks[k, 0]), np.int64(blocks[k, 1]), np.int64(blocks[k, 2])
        touch_block(
            x,
            y,
            z,
            pack_key(x, y, z),
            True,
            keys,
            values,
            coordinates,
            last_frame,
            frame,
            capacity,
            map_keys,
            map_values,
            map_offset,
            map_limit,
            touched,
            counters,
        )


@compiled
def touch_seen_through(
    usable: Array,
    rows: int,
    columns: int,
    stride: int,
    intrinsics: Array,
    rotation: Array,
    translation: Array,
    nearest_m: float,
    truncation_m: float,
    block_m: float,
    keys: Array,
    values: Array,
    coordinates: Array,
    last_frame: Array,
    frame: int,
    capacity: int,
    map_keys: Array,
    map_values: Array,
    map_offset: Array,
    touched: Array,
    counters: Array,
) -> None:
    """Collect the blocks in front of the truncation band that the volume or the map already has, see touch().

    The table must have room for all blocks that the map has along the rays.
    """
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    per_block = np.float32(1.0 / block_m)
    # No block of which a ray passes the inner half is stepped over.
    step = np.float32(0.5 * block_m)
    filter_keys = np.full(4096, np.int64(EMPTY))
    for row in range(stride // 2, rows, stride):
        ray_y = np.float32((row - cy) / fy)
        for column in range(stride // 2, columns, stride):
            last = usable[row * columns + column] - np.float32(truncation_m)
            ray_x = np.float32((column - cx) / fx)
            direction_x = rotation[0, 0] * ray_x + rotation[0, 1] * ray_y + rotation[0, 2]
            direction_y = rotation[1, 0] * ray_x + rotation[1, 1] * ray_y + rotation[1, 2]
            direction_z = rotation[2, 0] * ray_x + rotation[2, 1] * ray_y + rotation[2, 2]
            s = np.float32(nearest_m)
            while s < last:
                x = np.int64(np.floor((direction_x * s + translation[0]) * per_block))
                y = np.int64(np.floor((direction_y * s + translation[1]) * per_block))
                z = np.int64(np.floor((direction_z * s + translation[2]) * per_block))
                s += step
                key = pack_key(x, y, z)
                place = (x + 16 * y + 256 * z) & 4095
                if filter_keys[place] == key or counters[BLOCK_COUNT] >= keys.shape[0] // 2:
                    continue
                filter_keys[place] = key
                touch_block(
                    x,
                    y,
                    z,
                    key,
                    False,
                    keys,
                    values,
                    coordinates,
                    last_frame,
                    frame,
                    capacity,
                    map_keys,
                    map_values,
                    map_offset,
                    0,
                    touched,
                    counters,
                )


# A block is updated by loops over its voxels without branches, each of which becomes vector instructions. What one
# hands to the next lies in arrays of 512 that stay in the first-level cache. Integers in them are narrow on purpose:
# 64 bits would halve the number of voxels in an instruction.
# Voxels of this many are looked at together where only a few have something to do; their flags are one uint64.
_GROUP = 8
_GROUPS = VOXELS_PER_BLOCK // _GROUP
# Signed distance of a voxel that no measurement sees.
_UNSEEN = np.float32(-1e9)


@compiled
def _project(
    base: Array,
    offset: Array,
    intrinsics: Array,
    rows: int,
    columns: int,
    pixel: Array,
    distance: Array,
) -> None:
    base_x, base_y, base_z = base[0], base[1], base[2]
    offset_x, offset_y, offset_z = offset[0], offset[1], offset[2]
    fx, fy, cx, cy = intrinsics[0], intrinsics[1], intrinsics[2], intrinsics[3]
    outside = np.int32(rows * columns)
    for i in range(VOXELS_PER_BLOCK):
        z = base_z + offset_z[i]
        pixel[i] = pixel_at(base_x + offset_x[i], base_y + offset_y[i], z, fx, fy, cx, cy, columns, rows, outside)
        distance[i] = z


@compiled
def _look_up(usable: Array, pixel: Array, depth: Array) -> None:
    for i in range(VOXELS_PER_BLOCK):
        depth[i] = usable[np.uint32(pixel[i])]


@compiled
def _signed_distances(depth: Array, distance: Array, truncation: float) -> bool:
    # distance: along the optical axis, replaced by that of the surface in front (positive) or behind.
    updated = False
    for i in range(VOXELS_PER_BLOCK):
        signed = depth[i] - distance[i]
        signed = signed if depth[i] > np.float32(0.0) else _UNSEEN
        updated = updated | (signed >= -truncation)
        distance[i] = signed
    return updated


@compiled
def _weights(
    depth: Array, signed: Array, constant: bool, fading: bool, truncation: float, voxel: float, sample_weight: Array
) -> None:
    for i in range(VOXELS_PER_BLOCK):
        behind = behind_weight(signed[i], truncation, voxel, fading)
        weight = observation_weight(larger(depth[i], np.float32(1e-3)), constant)
        sample_weight[i] = weight * behind


@compiled
def _scale(values: Array, factors: Array) -> None:
    for i in range(VOXELS_PER_BLOCK):
        values[i] *= factors[i]


@compiled
def _update_distances(
    tsdf: Array, weight: Array, signed: Array, per_truncation: float, cap: float, sample_weight: Array
) -> None:
    # sample_weight is replaced by the share that the measurement gets in the mean.
    for i in range(VOXELS_PER_BLOCK):
        share = sample_share(weight[i], sample_weight[i])
        # A voxel with nothing to add keeps its bits.
        tsdf[i] += (truncated(signed[i], per_truncation) - tsdf[i]) * share
        weight[i] = smaller(weight[i] + sample_weight[i], cap)
        sample_weight[i] = share


@compiled
def _flag_within(signed: Array, share: Array, band: float, flags: Array) -> None:
    for i in range(VOXELS_PER_BLOCK):
        flags[i] = (abs(signed[i]) < band) & (share[i] > np.float32(0.0))


@compiled
def _flagged_groups(flags: Array, groups: Array) -> int:
    # Write the first voxel of each group with a flag; return how many there are.
    words = flags.view(np.uint64)
    count = 0
    for group in range(_GROUPS):
        groups[count] = group * _GROUP
        count += words[group] != 0
    return count


@compiled
def _look_up_colors(color: Array, pixel: Array, groups: Array, count: int, found: Array) -> None:
    for k in range(count):
        first = groups[k]
        for i in range(first, first + _GROUP):
            found[np.uint32(i)] = color[np.uint32(pixel[np.uint32(i)])]


@compiled
def _unpack_colors(found: Array, red: Array, green: Array, blue: Array) -> None:
    low = np.uint32(255)
    for i in range(VOXELS_PER_BLOCK):
        packed = found[i]
        red[i] = np.float32(np.int32(packed & low))
        green[i] = np.float32(np.int32((packed >> np.uint32(8)) & low))
        blue[i] = np.float32(np.int32((packed >> np.uint32(16)) & low))


@compiled
def _color_shares(
    red: Array, green: Array, blue: Array, signed: Array, share: Array, truncation: float, part: Array
) -> None:
    for i in range(VOXELS_PER_BLOCK):
        part[i] = color_share(red[i] + green[i] + blue[i], signed[i], share[i], truncation)


@compiled
def _blend(channel: Array, sample: Array, share: Array) -> None:
    # One channel after the other: channels that lie 4 KiB apart get in the way of each other in one loop.
    for i in range(VOXELS_PER_BLOCK):
        channel[i] += (sample[i] - channel[i]) * share[i]


@compiled
def _look_up_labels(
    labels: Array,
    confidences: Array,
    pixel: Array,
    flags: Array,
    groups: Array,
    count: int,
    label: Array,
    confidence: Array,
) -> bool:
    # Write the label and its confidence for each voxel, both 0 where there is none; return whether there is any.
    zero, one = np.float32(0.0), np.float32(1.0)
    label[:] = zero
    confidence[:] = zero
    with_confidence = confidences.shape[0] > 0
    found = False
    for k in range(count):
        first = groups[k]
        for i in range(first, first + _GROUP):
            # What lies outside of the image has no flag.
            place = np.uint32(pixel[np.uint32(i)]) if flags[np.uint32(i)] else np.uint32(0)
            seen = labels[place] if flags[np.uint32(i)] else np.uint16(0)
            label[np.uint32(i)] = np.float32(seen)
            if seen != 0:
                confidence[np.uint32(i)] = confidences[place] if with_confidence else one
                found = True
    return found


@compiled
def _vote_all(label: Array, confidence: Array, other: Array, other_confidence: Array) -> None:
    for i in range(VOXELS_PER_BLOCK):
        leading, lead = vote(label[i], confidence[i], other[i], other_confidence[i])
        voted = other_confidence[i] > np.float32(0.0)
        label[i] = leading if voted else label[i]
        confidence[i] = lead if voted else confidence[i]


@compiled
def integrate(
    records: Array,
    coordinates: Array,
    touched: Array,
    usable: Array,
    pixel_weight: Array,
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
    fading: bool,
    weight_cap: float,
    dirty: Array,
) -> None:
    """Update all channels of the touched blocks from one frame.

    usable: flat depth of select_depth(). pixel_weight: (H * W + 1,) float32 factor of the weight of each measurement,
    empty for 1. color: (H * W + 1,) uint32, red in the lowest byte. labels: (H * W,) uint16, empty when the frame has
    none. confidences: (H * W,) float32, empty where all are 1. rotation (3, 3), translation (3,): volume to camera,
    float32. dirty (B,) bool is set where a voxel changed.
    """
    # Pixel centres are at integers (OpenCV): the nearest pixel is found by rounding, never by cutting off.
    half = np.float32(0.5)
    rounding = np.array([intrinsics[0], intrinsics[1], intrinsics[2] + half, intrinsics[3] + half], np.float32)
    voxel = np.float32(voxel_m)
    truncation = np.float32(truncation_m)
    per_truncation = np.float32(1.0 / truncation_m)
    label_band = np.float32(1.5) * voxel
    cap = np.float32(weight_cap)
    with_labels = labels.shape[0] > 0
    with_pixel_weight = pixel_weight.shape[0] > 0

    offset = np.empty((3, VOXELS_PER_BLOCK), np.float32)
    for i in range(VOXELS_PER_BLOCK):
        x = voxel * np.float32(i & 7)
        y = voxel * np.float32((i >> 3) & 7)
        z = voxel * np.float32(i >> 6)
        for axis in range(3):
            offset[axis, i] = rotation[axis, 0] * x + rotation[axis, 1] * y + rotation[axis, 2] * z
    base = np.empty(3, np.float32)
    pixel = np.empty(VOXELS_PER_BLOCK, np.int32)
    depth = np.empty(VOXELS_PER_BLOCK, np.float32)
    signed = np.empty(VOXELS_PER_BLOCK, np.float32)
    share = np.empty(VOXELS_PER_BLOCK, np.float32)
    part = np.empty(VOXELS_PER_BLOCK, np.float32)
    found = np.zeros(VOXELS_PER_BLOCK, np.uint32)
    samples = np.empty((3, VOXELS_PER_BLOCK), np.float32)
    flags = np.empty(VOXELS_PER_BLOCK, np.uint8)
    groups = np.empty(_GROUPS + 1, np.int64)

    for k in range(touched.shape[0]):
        block = touched[k]
        x0 = np.float32(coordinates[block, 0] * BLOCK_SIZE) * voxel
        y0 = np.float32(coordinates[block, 1] * BLOCK_SIZE) * voxel
        z0 = np.float32(coordinates[block, 2] * BLOCK_SIZE) * voxel
        for axis in range(3):
            turned = rotation[axis, 0] * x0 + rotation[axis, 1] * y0 + rotation[axis, 2] * z0
            base[axis] = turned + translation[axis]
        _project(base, offset, rounding, rows, columns, pixel, signed)
        _look_up(usable, pixel, depth)
        if not _signed_distances(depth, signed, truncation):
            continue
        dirty[block] = True
        _weights(depth, signed, constant_weight, fading, truncation, voxel, share)
        if with_pixel_weight:
            _look_up(pixel_weight, pixel, depth)
            _scale(share, depth)
        _update_distances(records[block, TSDF], records[block, WEIGHT], signed, per_truncation, cap, share)
        _flag_within(signed, share, truncation, flags)
        count = _flagged_groups(flags, groups)
        if count == 0:
            continue
        _look_up_colors(color, pixel, groups, count, found)
        red, green, blue = records[block, RED], records[block, GREEN], records[block, BLUE]
        _color_shares(red, green, blue, signed, share, truncation, part)
        _unpack_colors(found, samples[0], samples[1], samples[2])
        _blend(red, samples[0], part)
        _blend(green, samples[1], part)
        _blend(blue, samples[2], part)
        if with_labels:
            _flag_within(signed, share, label_band, flags)
            count = _flagged_groups(flags, groups)
            if count > 0 and _look_up_labels(labels, confidences, pixel, flags, groups, count, samples[0], samples[1]):
                _vote_all(records[block, LABEL], records[block, CONFIDENCE], samples[0], samples[1])


@compiled
def decay(records: Array, touched: Array, block_stamp_s: Array, stamp_s: float, half_life_s: float) -> None:
    """Halve the weight of the touched blocks for each half-life since they were last touched, and note the time."""
    for k in range(touched.shape[0]):
        block = touched[k]
        kept = kept_share(max(stamp_s - block_stamp_s[block], 0.0), half_life_s)
        block_stamp_s[block] = stamp_s
        weight = records[block, WEIGHT]
        for i in range(VOXELS_PER_BLOCK):
            weight[i] *= kept


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
