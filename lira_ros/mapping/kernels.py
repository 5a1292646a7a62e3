"""Compiled loops of the block-sparse TSDF.

What happens to one voxel or one key is written as a plain scalar function; the loops around them are compiled by
numba for the CPU. All of them release the interpreter lock and are cached on disk.

A block is one contiguous record of CHANNELS x 512 float32. Fast-math is off: equal input gives equal bits.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK
from lira_ros.mapping.marching_cubes import CELL_EDGES, MAXIMUM_TRIANGLES, TRIANGLE_COUNTS, TRIANGLE_EDGES

Array = Any  # numba sees the exact dtypes; the shapes are in the docstrings

# NumPy's error model divides without a check for zero, which would keep loops from becoming vector instructions.
compiled = numba.njit(nogil=True, cache=True, error_model="numpy")
inlined = numba.njit(inline="always", error_model="numpy")

TSDF, WEIGHT, RED, GREEN, BLUE, LABEL, CONFIDENCE = range(7)
CHANNELS = 7

# Block coordinates are packed into 21 bits each. Voxels of a mesh edge are packed into 20 bits each with 2 bits for
# the axis, which bounds block coordinates to 16 bits and a sign: 10 km on each side at 2 cm.
BLOCK_LIMIT = 1 << 16
_KEY_BITS = 21
_KEY_BIAS = 1 << (_KEY_BITS - 1)
_EDGE_BITS = 20
_EDGE_BIAS = 1 << (_EDGE_BITS - 1)
EMPTY = -1

# Slots of the counters that `touch` shares with its caller.
BLOCK_COUNT, TOUCHED_COUNT, REFUSED_COUNT, MAP_COUNT = range(4)

_PATCH = BLOCK_SIZE + 1


# --- scalar functions ---------------------------------------------------------------------------------------------


@inlined
def pack_key(x: int, y: int, z: int) -> int:
    """Pack block coordinates in [-2^20, 2^20) into one non-negative 63-bit key."""
    return ((x + _KEY_BIAS) << (2 * _KEY_BITS)) | ((y + _KEY_BIAS) << _KEY_BITS) | (z + _KEY_BIAS)


def unique_blocks(blocks: Array) -> Array:
    """Return the distinct rows of (B, 3) block coordinates as int32, sorted by x, y, z."""
    x, y, z = blocks.astype(np.int64).T
    keys = np.unique(((x + _KEY_BIAS) << (2 * _KEY_BITS)) | ((y + _KEY_BIAS) << _KEY_BITS) | (z + _KEY_BIAS))
    mask = (1 << _KEY_BITS) - 1
    axes = [keys >> (2 * _KEY_BITS), keys >> _KEY_BITS & mask, keys & mask]
    return (np.stack(axes, axis=1) - _KEY_BIAS).astype(np.int32)


@inlined
def pack_edge(x: int, y: int, z: int, axis: int) -> int:
    """Name the edge that starts at voxel x, y, z in [-2^19, 2^19) and runs along ``axis``."""
    voxel = ((x + _EDGE_BIAS) << (2 * _EDGE_BITS)) | ((y + _EDGE_BIAS) << _EDGE_BITS) | (z + _EDGE_BIAS)
    return (voxel << 2) | axis


@inlined
def _slot_of(key: int, slots: int) -> int:
    # Finaliser of splitmix64 (Steele, Lea, Flood 2014): neighbouring keys land far apart.
    h = np.uint64(key)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    h = h ^ (h >> np.uint64(31))
    return np.int64(h & np.uint64(slots - 1))


@inlined
def observation_weight(depth_m: float, constant: bool) -> float:
    """Weigh one depth measurement: 1, or (2 m / z)^2 and at most 4.

    The noise of a depth camera grows with the square of the distance (Nguyen et al. 2012); 1 / z^2 is the weight of
    voxblox (Oleynikova et al., IROS 2017) and of nvblox. It is scaled so that a measurement from 2 m counts as one,
    and bounded below 1 m, where the noise floor takes over.
    """
    if constant:
        return np.float32(1.0)
    return min(np.float32(4.0), np.float32(4.0) / (depth_m * depth_m))


@inlined
def fuse(mean: float, weight: float, sample: float, sample_weight: float) -> float:
    """Return the weighted running mean (Curless and Levoy 1996) after one more sample."""
    return (mean * weight + sample * sample_weight) / (weight + sample_weight)


@inlined
def vote(label: float, confidence: float, other: float, other_confidence: float) -> tuple[float, float]:
    """Return the leading label and its lead after another vote (majority vote of Boyer and Moore)."""
    if label == other or confidence == 0.0:
        return other, confidence + other_confidence
    if other_confidence > confidence:
        return other, other_confidence - confidence
    return label, confidence - other_confidence


# --- hash of block keys -------------------------------------------------------------------------------------------


@compiled
def find(keys: Array, values: Array, key: int) -> int:
    """Return the index stored for ``key`` in the open-addressing table, -1 where it is not in."""
    slots = keys.shape[0]
    slot = _slot_of(key, slots)
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
    slot = _slot_of(key, slots)
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


# --- surfaces -----------------------------------------------------------------------------------------------------


@compiled
def _compose_patch(
    block: Array,
    records_a: Array,
    keys_a: Array,
    values_a: Array,
    records_b: Array,
    keys_b: Array,
    values_b: Array,
    offset_b: Array,
    patch: Array,
) -> bool:
    # Fill patch (5, 9, 9, 9) [channel, z, y, x] with the block and the first layers of its upper neighbours,
    # composed of volume a and of volume b, whose blocks lie offset_b further. False when neither has the block.
    for part in range(8):
        dx, dy, dz = part & 1, (part >> 1) & 1, part >> 2
        x, y, z = block[0] + dx, block[1] + dy, block[2] + dz
        a = find(keys_a, values_a, pack_key(x, y, z))
        b = find(keys_b, values_b, pack_key(x - offset_b[0], y - offset_b[1], z - offset_b[2]))
        if part == 0 and a < 0 and b < 0:
            return False
        for k in range(1 if dz else BLOCK_SIZE):
            for j in range(1 if dy else BLOCK_SIZE):
                for i in range(1 if dx else BLOCK_SIZE):
                    voxel = i + 8 * j + 64 * k
                    pz, py, px = 8 * dz + k, 8 * dy + j, 8 * dx + i
                    if a >= 0 and b >= 0:
                        weight_a = records_a[a, WEIGHT, voxel]
                        weight_b = records_b[b, WEIGHT, voxel]
                        patch[WEIGHT, pz, py, px] = weight_a + weight_b
                        if weight_b == 0.0:
                            for c in (TSDF, RED, GREEN, BLUE):
                                patch[c, pz, py, px] = records_a[a, c, voxel]
                        elif weight_a == 0.0:
                            for c in (TSDF, RED, GREEN, BLUE):
                                patch[c, pz, py, px] = records_b[b, c, voxel]
                        else:
                            patch[TSDF, pz, py, px] = fuse(
                                records_a[a, TSDF, voxel], weight_a, records_b[b, TSDF, voxel], weight_b
                            )
                            sum_a = records_a[a, RED, voxel] + records_a[a, GREEN, voxel] + records_a[a, BLUE, voxel]
                            sum_b = records_b[b, RED, voxel] + records_b[b, GREEN, voxel] + records_b[b, BLUE, voxel]
                            if sum_a == 0.0:
                                weight_a = np.float32(0.0)
                            elif sum_b == 0.0:
                                weight_b = np.float32(0.0)
                            for c in (RED, GREEN, BLUE):
                                patch[c, pz, py, px] = (
                                    fuse(records_a[a, c, voxel], weight_a, records_b[b, c, voxel], weight_b)
                                    if weight_a + weight_b > 0.0
                                    else np.float32(0.0)
                                )
                    elif a >= 0:
                        for c in range(5):
                            patch[c, pz, py, px] = records_a[a, c, voxel]
                    elif b >= 0:
                        for c in range(5):
                            patch[c, pz, py, px] = records_b[b, c, voxel]
                    else:
                        patch[WEIGHT, pz, py, px] = np.float32(0.0)
    return True


@compiled
def mesh_blocks(
    blocks: Array,
    first: int,
    records_a: Array,
    keys_a: Array,
    values_a: Array,
    records_b: Array,
    keys_b: Array,
    values_b: Array,
    offset_b: Array,
    voxel_m: float,
    minimum_weight: float,
    vertices: Array,
    normals: Array,
    colors: Array,
    edges: Array,
    triangles: Array,
    vertex_ends: Array,
    triangle_ends: Array,
) -> int:
    """Run marching cubes over (B, 3) ``blocks`` from ``first`` on; return the first block for which room is missing.

    The map is the composition of volume a and of volume b, whose blocks lie ``offset_b`` (3,) further. Cells with a
    corner of less than ``minimum_weight`` have no surface. For each block the outputs hold its vertices [m], their
    area-weighted normals (not of unit length), colours and the names of their edges, and triangles that count from
    its first vertex; vertex_ends and triangle_ends (B,) tell where each block ends.
    """
    patch = np.empty((5, _PATCH, _PATCH, _PATCH), np.float32)
    vertex_of = np.empty((_PATCH, _PATCH, _PATCH, 3), np.int32)
    voxel = np.float32(voxel_m)
    threshold = np.float32(minimum_weight)
    v_end = vertex_ends[first - 1] if first > 0 else 0
    t_end = triangle_ends[first - 1] if first > 0 else 0
    for n in range(first, blocks.shape[0]):
        if v_end + 3 * _PATCH**3 > vertices.shape[0]:
            return n
        if t_end + MAXIMUM_TRIANGLES * VOXELS_PER_BLOCK > triangles.shape[0]:
            return n
        v_first = v_end
        if _compose_patch(blocks[n], records_a, keys_a, values_a, records_b, keys_b, values_b, offset_b, patch):
            tsdf, weight = patch[TSDF], patch[WEIGHT]
            vertex_of[:] = -1
            x0 = blocks[n, 0] * BLOCK_SIZE
            y0 = blocks[n, 1] * BLOCK_SIZE
            z0 = blocks[n, 2] * BLOCK_SIZE
            for k in range(BLOCK_SIZE):
                for j in range(BLOCK_SIZE):
                    for i in range(BLOCK_SIZE):
                        case = 0
                        known = True
                        for corner in range(8):
                            z, y, x = k + (corner >> 2), j + ((corner >> 1) & 1), i + (corner & 1)
                            if weight[z, y, x] < threshold or weight[z, y, x] == 0.0:
                                known = False
                                break
                            if tsdf[z, y, x] < 0.0:
                                case |= 1 << corner
                        if not known or case == 0 or case == 255:
                            continue
                        for t in range(TRIANGLE_COUNTS[case]):
                            for side in range(3):
                                edge = TRIANGLE_EDGES[case, t, side]
                                x = i + CELL_EDGES[edge, 0]
                                y = j + CELL_EDGES[edge, 1]
                                z = k + CELL_EDGES[edge, 2]
                                axis = CELL_EDGES[edge, 3]
                                vertex = vertex_of[z, y, x, axis]
                                if vertex < 0:
                                    vertex = v_end
                                    v_end += 1
                                    vertex_of[z, y, x, axis] = vertex
                                    xe = x + (axis == 0)
                                    ye = y + (axis == 1)
                                    ze = z + (axis == 2)
                                    start, end = tsdf[z, y, x], tsdf[ze, ye, xe]
                                    part = start / (start - end)
                                    zero = np.float32(0.0)
                                    vertices[vertex, 0] = (np.float32(x0 + x) + (part if axis == 0 else zero)) * voxel
                                    vertices[vertex, 1] = (np.float32(y0 + y) + (part if axis == 1 else zero)) * voxel
                                    vertices[vertex, 2] = (np.float32(z0 + z) + (part if axis == 2 else zero)) * voxel
                                    for c in range(3):
                                        mixed = patch[RED + c, z, y, x] * (np.float32(1.0) - part)
                                        mixed += patch[RED + c, ze, ye, xe] * part
                                        colors[vertex, c] = np.uint8(min(mixed + np.float32(0.5), np.float32(255.0)))
                                        normals[vertex, c] = zero
                                    edges[vertex] = pack_edge(x0 + x, y0 + y, z0 + z, axis)
                                triangles[t_end, side] = vertex - v_first
                            a = v_first + triangles[t_end, 0]
                            b = v_first + triangles[t_end, 1]
                            c_ = v_first + triangles[t_end, 2]
                            abx = vertices[b, 0] - vertices[a, 0]
                            aby = vertices[b, 1] - vertices[a, 1]
                            abz = vertices[b, 2] - vertices[a, 2]
                            acx = vertices[c_, 0] - vertices[a, 0]
                            acy = vertices[c_, 1] - vertices[a, 1]
                            acz = vertices[c_, 2] - vertices[a, 2]
                            nx = aby * acz - abz * acy
                            ny = abz * acx - abx * acz
                            nz = abx * acy - aby * acx
                            for vertex in (a, b, c_):
                                normals[vertex, 0] += nx
                                normals[vertex, 1] += ny
                                normals[vertex, 2] += nz
                            t_end += 1
        vertex_ends[n] = v_end
        triangle_ends[n] = t_end
    return blocks.shape[0]
