"""Compiled loops that put fragments together: which map blocks they reach, and their voxels on the grid of the map."""

from __future__ import annotations

import numpy as np

from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK
from lira_ros.mapping.kernels import find
from lira_ros.mapping.voxel import (
    BLUE,
    CHANNELS,
    CONFIDENCE,
    GREEN,
    LABEL,
    RED,
    TSDF,
    WEIGHT,
    Array,
    compiled,
    pack_key,
)

# A voxel of the map is observed when observed voxels of the fragment hold at least this part of its interpolation
# weights. Where the border of what was seen is straight, one half neither adds to it nor takes from it.
_OBSERVED_SHARE = np.float32(0.5)
# So the voxels of a block reach less than 0.8 voxels beyond their centres: 1 - (1 - 0.8)^3 of the weights around a
# point belong to the others when the nearest is missing.
_HALF_BLOCK = 0.5 * (BLOCK_SIZE - 1)
_REACH = _HALF_BLOCK + 0.8

# The 8 voxels around a point: bit 0 is x, bit 1 is y, bit 2 is z.
_CORNER_STEP = np.array([(c & 1) + 8 * (c >> 1 & 1) + 64 * (c >> 2) for c in range(8)], dtype=np.int64)


@compiled
def reached_blocks(blocks: Array, rotation: Array, offset: Array, reached: Array) -> int:
    """Write the keys of the map blocks that a fragment reaches; return how many there are, keys may repeat.

    blocks: (B, 3) of the fragment. rotation (3, 3), offset (3,): fragment voxels to map voxels. reached: (27 B,)
    int64, the most there can be. Boxes that are apart along an axis of either have nothing in common (separating
    axes, Gottschalk et al. 1996, without the products of axes): a block too many may be kept, never one too few.
    """
    count = 0
    size = np.empty(3, np.float64)
    turned = np.empty(3, np.float64)
    for i in range(3):
        size[i] = _REACH * (abs(rotation[i, 0]) + abs(rotation[i, 1]) + abs(rotation[i, 2])) + _HALF_BLOCK
        turned[i] = _HALF_BLOCK * (abs(rotation[0, i]) + abs(rotation[1, i]) + abs(rotation[2, i])) + _REACH
    for n in range(blocks.shape[0]):
        fx = BLOCK_SIZE * blocks[n, 0] + _HALF_BLOCK
        fy = BLOCK_SIZE * blocks[n, 1] + _HALF_BLOCK
        fz = BLOCK_SIZE * blocks[n, 2] + _HALF_BLOCK
        cx = rotation[0, 0] * fx + rotation[0, 1] * fy + rotation[0, 2] * fz + offset[0]
        cy = rotation[1, 0] * fx + rotation[1, 1] * fy + rotation[1, 2] * fz + offset[1]
        cz = rotation[2, 0] * fx + rotation[2, 1] * fy + rotation[2, 2] * fz + offset[2]
        x0 = int(np.ceil((cx - size[0] - _HALF_BLOCK) / BLOCK_SIZE))
        x1 = int(np.floor((cx + size[0] - _HALF_BLOCK) / BLOCK_SIZE)) + 1
        y0 = int(np.ceil((cy - size[1] - _HALF_BLOCK) / BLOCK_SIZE))
        y1 = int(np.floor((cy + size[1] - _HALF_BLOCK) / BLOCK_SIZE)) + 1
        z0 = int(np.ceil((cz - size[2] - _HALF_BLOCK) / BLOCK_SIZE))
        z1 = int(np.floor((cz + size[2] - _HALF_BLOCK) / BLOCK_SIZE)) + 1
        for x in range(x0, x1):
            dx = BLOCK_SIZE * x + _HALF_BLOCK - cx
            for y in range(y0, y1):
                dy = BLOCK_SIZE * y + _HALF_BLOCK - cy
                for z in range(z0, z1):
                    dz = BLOCK_SIZE * z + _HALF_BLOCK - cz
                    if abs(rotation[0, 0] * dx + rotation[1, 0] * dy + rotation[2, 0] * dz) > turned[0]:
                        continue
                    if abs(rotation[0, 1] * dx + rotation[1, 1] * dy + rotation[2, 1] * dz) > turned[1]:
                        continue
                    if abs(rotation[0, 2] * dx + rotation[1, 2] * dy + rotation[2, 2] * dz) > turned[2]:
                        continue
                    reached[count] = pack_key(x, y, z)
                    count += 1
    return count


@compiled
def unpack(
    rows: Array, tsdf: Array, weight: Array, color: Array, label: Array, confidence: Array, records: Array
) -> None:
    """Write the (R,) ``rows`` of a fragment's arrays as records (R, CHANNELS, 512); label may have no rows at all."""
    with_labels = label.shape[0] > 0
    for n in range(rows.shape[0]):
        row = rows[n]
        for i in range(VOXELS_PER_BLOCK):
            records[n, TSDF, i] = tsdf[row, i]
            records[n, WEIGHT, i] = weight[row, i]
            records[n, RED, i] = color[row, i, 0]
            records[n, GREEN, i] = color[row, i, 1]
            records[n, BLUE, i] = color[row, i, 2]
            records[n, LABEL, i] = np.float32(label[row, i]) if with_labels else np.float32(0.0)
            records[n, CONFIDENCE, i] = confidence[row, i] if with_labels else np.float32(0.0)


@compiled
def resample(
    blocks: Array,
    rotation: Array,
    offset: Array,
    keys: Array,
    values: Array,
    tsdf: Array,
    weight: Array,
    red: Array,
    green: Array,
    blue: Array,
    label: Array,
    confidence: Array,
    records: Array,
    observed: Array,
) -> None:
    """Write (N, 3) ``blocks`` of a target grid, interpolated between the voxels of a source, as (N, CHANNELS, 512).

    rotation (3, 3), offset (3,): target voxels to source voxels, float64; the rotation may contain a scale. keys,
    values: hash of the source's blocks, whose channels are (B, 512) each; label and confidence may have no rows.
    observed (N,) bool tells which blocks have a voxel with a weight.

    Values are trilinear between the 8 voxels around a point. Where some of them were never observed, the others are
    continued with their mean slope along each axis, which is exact for a plane; a point is observed when those that
    were hold at least half of its interpolation weights. Colours are interpolated between voxels that have one, labels
    are those of the nearest voxel.
    """
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    last = BLOCK_SIZE - 1
    with_labels = label.shape[0] > 0
    spread = np.empty(3, np.int64)
    for a in range(3):
        extent = last * (abs(rotation[a, 0]) + abs(rotation[a, 1]) + abs(rotation[a, 2]))
        # The voxels around a point, and one beyond them on each side.
        spread[a] = int(extent + 3.0) // BLOCK_SIZE + 2
    slots = np.empty(spread[0] * spread[1] * spread[2], np.int64)
    first = np.empty(3, np.int64)
    share = np.empty(8, np.float32)
    value = np.empty(8, np.float32)
    weights = np.empty(8, np.float32)
    source = np.empty(8, np.int64)
    place = np.empty(8, np.int64)
    for n in range(blocks.shape[0]):
        observed[n] = False
        x0, y0, z0 = BLOCK_SIZE * blocks[n, 0], BLOCK_SIZE * blocks[n, 1], BLOCK_SIZE * blocks[n, 2]
        base_x = rotation[0, 0] * x0 + rotation[0, 1] * y0 + rotation[0, 2] * z0 + offset[0]
        base_y = rotation[1, 0] * x0 + rotation[1, 1] * y0 + rotation[1, 2] * z0 + offset[1]
        base_z = rotation[2, 0] * x0 + rotation[2, 1] * y0 + rotation[2, 2] * z0 + offset[2]
        for a in range(3):
            lowest = base_x if a == 0 else (base_y if a == 1 else base_z)
            for b in range(3):
                lowest += last * min(rotation[a, b], 0.0)
            first[a] = int(np.floor(lowest - 1e-6) - 1.0) >> 3
        known = 0
        for k in range(spread[2]):
            for j in range(spread[1]):
                for i in range(spread[0]):
                    found = find(keys, values, pack_key(first[0] + i, first[1] + j, first[2] + k))
                    slots[i + spread[0] * (j + spread[1] * k)] = found
                    known += found >= 0
        if known == 0:
            continue
        # Within the block single precision is enough: relative coordinates stay below some tens of voxels.
        base_x -= BLOCK_SIZE * first[0]
        base_y -= BLOCK_SIZE * first[1]
        base_z -= BLOCK_SIZE * first[2]
        record = records[n]
        for voxel in range(VOXELS_PER_BLOCK):
            i, j, k = voxel & 7, (voxel >> 3) & 7, voxel >> 6
            x = base_x + (rotation[0, 0] * i + rotation[0, 1] * j + rotation[0, 2] * k)
            y = base_y + (rotation[1, 0] * i + rotation[1, 1] * j + rotation[1, 2] * k)
            z = base_z + (rotation[2, 0] * i + rotation[2, 1] * j + rotation[2, 2] * k)
            ix, iy, iz = int(x), int(y), int(z)
            px, py, pz = np.float32(x - ix), np.float32(y - iy), np.float32(z - iz)
            total = zero
            inside = (ix & 7) < last and (iy & 7) < last and (iz & 7) < last
            if inside:
                block = slots[(ix >> 3) + spread[0] * ((iy >> 3) + spread[1] * (iz >> 3))]
                start = (ix & 7) + 8 * (iy & 7) + 64 * (iz & 7)
                for c in range(8):
                    source[c] = block
                    place[c] = start + _CORNER_STEP[c]
            else:
                for c in range(8):
                    jx, jy, jz = ix + (c & 1), iy + ((c >> 1) & 1), iz + (c >> 2)
                    source[c] = slots[(jx >> 3) + spread[0] * ((jy >> 3) + spread[1] * (jz >> 3))]
                    place[c] = (jx & 7) + 8 * (jy & 7) + 64 * (jz & 7)
            if not inside or source[0] >= 0:
                for c in range(8):
                    part = (px if c & 1 else one - px) * (py if c & 2 else one - py) * (pz if c & 4 else one - pz)
                    share[c] = zero
                    if source[c] >= 0:
                        weights[c] = weight[source[c], place[c]]
                        if weights[c] > zero:
                            share[c] = part
                            value[c] = tsdf[source[c], place[c]]
                            total += part
            if total < _OBSERVED_SHARE:
                for channel in range(CHANNELS):
                    record[channel, voxel] = zero
                continue
            observed[n] = True
            mean, mean_weight = zero, zero
            for c in range(8):
                if share[c] > zero:
                    mean += share[c] * value[c]
                    mean_weight += share[c] * weights[c]
            if total < np.float32(0.99999):
                # Continue the mean slope along each axis over the corners that are missing.
                for axis in range(3):
                    bit = 1 << axis
                    slope, edges, centre = zero, zero, zero
                    for c in range(8):
                        if share[c] > zero:
                            centre += share[c] if c & bit else zero
                            if c & bit == 0 and share[c | bit] > zero:
                                slope += value[c | bit] - value[c]
                                edges += one
                    if edges == zero:
                        # All that was observed lies on one side: the slope is that of the voxels behind it.
                        for c in range(8):
                            if share[c] > zero:
                                step = 1 if c & bit else -1
                                jx = ix + (c & 1) + (step if axis == 0 else 0)
                                jy = iy + ((c >> 1) & 1) + (step if axis == 1 else 0)
                                jz = iz + (c >> 2) + (step if axis == 2 else 0)
                                s = slots[(jx >> 3) + spread[0] * ((jy >> 3) + spread[1] * (jz >> 3))]
                                at = (jx & 7) + 8 * (jy & 7) + 64 * (jz & 7)
                                if s >= 0 and weight[s, at] > zero:
                                    slope += (tsdf[s, at] - value[c]) * np.float32(step)
                                    edges += one
                    if edges > zero:
                        position = px if axis == 0 else (py if axis == 1 else pz)
                        mean += slope / edges * (position * total - centre)
            mean = min(max(mean / total, -one), one)
            record[TSDF, voxel] = mean
            record[WEIGHT, voxel] = mean_weight / total
            r, g, b = zero, zero, zero
            colored = zero
            if mean < one:
                for c in range(8):
                    if share[c] > zero:
                        s, at = source[c], place[c]
                        cr, cg, cb = np.float32(red[s, at]), np.float32(green[s, at]), np.float32(blue[s, at])
                        if cr + cg + cb > zero:
                            r += share[c] * cr
                            g += share[c] * cg
                            b += share[c] * cb
                            colored += share[c]
            part = one / colored if colored > zero else zero
            record[RED, voxel] = r * part
            record[GREEN, voxel] = g * part
            record[BLUE, voxel] = b * part
            record[LABEL, voxel] = zero
            record[CONFIDENCE, voxel] = zero
            if with_labels:
                c = (px >= half) + 2 * (py >= half) + 4 * (pz >= half)
                if share[c] > zero:
                    record[LABEL, voxel] = np.float32(label[source[c], place[c]])
                    record[CONFIDENCE, voxel] = confidence[source[c], place[c]]


@compiled
def export(
    records: Array,
    indices: Array,
    first: int,
    tsdf: Array,
    weight: Array,
    color: Array,
    label: Array,
    confidence: Array,
) -> None:
    """Copy the (R,) records ``indices`` to the rows of a fragment's arrays from ``first`` on, colours as uint8.

    label and confidence may have no rows.
    """
    with_labels = label.shape[0] > 0
    half = np.float32(0.5)
    for n in range(indices.shape[0]):
        row, record = first + n, records[indices[n]]
        for i in range(VOXELS_PER_BLOCK):
            tsdf[row, i] = record[TSDF, i]
            weight[row, i] = record[WEIGHT, i]
            color[row, i, 0] = np.uint8(record[RED, i] + half)
            color[row, i, 1] = np.uint8(record[GREEN, i] + half)
            color[row, i, 2] = np.uint8(record[BLUE, i] + half)
        if with_labels:
            for i in range(VOXELS_PER_BLOCK):
                label[row, i] = np.uint16(record[LABEL, i])
                confidence[row, i] = record[CONFIDENCE, i]
