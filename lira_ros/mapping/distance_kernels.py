"""Compiled loops that look through a slab of the map for free and occupied space, on the CPU."""

from __future__ import annotations

import numpy as np

from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK
from lira_ros.mapping.kernels import find
from lira_ros.mapping.voxel import TSDF, WEIGHT, Array, compiled, fuse, pack_key

# As bytes: wider integers would keep the loops from becoming vector instructions.
UNKNOWN, FREE, OCCUPIED = np.uint8(0), np.uint8(1), np.uint8(2)

# An axis is upright when its sine to up is rounding.
_ALIGNED = 1e-9


@compiled
def _classify(
    records: Array,
    n: int,
    other_records: Array,
    other: int,
    minimum_weight: float,
    begin: int,
    end: int,
    states: Array,
) -> tuple[int, int]:
    # Fill states (512,) of voxels begin to end of block n, composed with a block of the other volume unless that is -1;
    # return the smallest and the largest of them. Without branches, so that it becomes vector instructions.
    threshold, zero = max(np.float32(minimum_weight), np.float32(1e-12)), np.float32(0.0)
    tsdf, weight, out = records[n, TSDF, begin:end], records[n, WEIGHT, begin:end], states[begin:end]
    smallest, largest = OCCUPIED, UNKNOWN
    if other < 0:
        for i in range(out.shape[0]):
            out[i] = (OCCUPIED if tsdf[i] <= zero else FREE) if weight[i] >= threshold else UNKNOWN
            smallest, largest = min(smallest, out[i]), max(largest, out[i])
    else:
        other_tsdf, other_weight = other_records[other, TSDF, begin:end], other_records[other, WEIGHT, begin:end]
        for i in range(out.shape[0]):
            total = weight[i] + other_weight[i]
            mean = fuse(tsdf[i], weight[i], other_tsdf[i], max(other_weight[i], np.float32(1e-12)))
            out[i] = (OCCUPIED if mean <= zero else FREE) if total >= threshold else UNKNOWN
            smallest, largest = min(smallest, out[i]), max(largest, out[i])
    return smallest, largest


@compiled
def _mark_upright(
    states: Array,
    content: int,
    start: Array,
    step: Array,
    axes: Array,
    below: bool,
    low: float,
    high: float,
    free_to: float,
    per_cell: float,
    half: float,
    spans: Array,
    layers: Array,
    best: Array,
    cells: Array,
    support_height: Array,
    support_free: Array,
) -> None:
    # A column of voxels along up stays over the same cells: it is read first and marks them once. spans (4, 8): first
    # and last column and row of cells under each voxel of an edge; layers (8,), best (64,): room to work in.
    rows, columns = cells.shape
    main, first_axis, second_axis = axes[0], axes[1], axes[2]
    rise = step[2, main]
    stride_main, stride_first, stride_second = 1 << (3 * main), 1 << (3 * first_axis), 1 << (3 * second_axis)
    first_is_x = abs(step[0, first_axis]) > abs(step[0, second_axis])
    for t in range(BLOCK_SIZE):
        x = start[0] + t * (step[0, first_axis] + step[0, second_axis])
        y = start[1] + t * (step[1, first_axis] + step[1, second_axis])
        spans[0, t] = max(0, int(np.floor((x - half) * per_cell)))
        spans[1, t] = min(columns - 1, int(np.floor((x + half) * per_cell)))
        spans[2, t] = max(0, int(np.floor((y - half) * per_cell)))
        spans[3, t] = min(rows - 1, int(np.floor((y + half) * per_cell)))
    # Layers of interest from the highest one down, and the first of them that makes a cell free.
    count = free_begin = 0
    for k in range(BLOCK_SIZE):
        m = BLOCK_SIZE - 1 - k if rise > 0.0 else k
        height = start[2] + m * rise
        if low <= height <= high:
            layers[count] = m
            count += 1
            free_begin += height > free_to
    best[:] = UNKNOWN
    if not below:
        for k in range(0 if content == OCCUPIED else free_begin, count):
            least = FREE if k >= free_begin else OCCUPIED
            if main == 2:  # the voxels of a layer lie side by side: vector instructions
                layer = states[layers[k] * stride_main : (layers[k] + 1) * stride_main]
                for i in range(64):
                    best[i] = max(best[i], layer[i] if layer[i] >= least else UNKNOWN)
            else:
                for second in range(BLOCK_SIZE):
                    for first in range(BLOCK_SIZE):
                        i = first + BLOCK_SIZE * second
                        state = states[first * stride_first + second * stride_second + layers[k] * stride_main]
                        best[i] = max(best[i], state if state >= least else UNKNOWN)
    for second in range(BLOCK_SIZE):
        for first in range(BLOCK_SIZE):
            found = best[first + BLOCK_SIZE * second]
            if found == UNKNOWN and not below:
                continue
            tx, ty = (first, second) if first_is_x else (second, first)
            if not below:
                for row in range(spans[2, ty], spans[3, ty] + 1):
                    for column in range(spans[0, tx], spans[1, tx] + 1):
                        cells[row, column] = max(cells[row, column], found)
                continue
            for k in range(count):
                state = states[first * stride_first + second * stride_second + layers[k] * stride_main]
                if state == UNKNOWN:
                    continue
                height = start[2] + layers[k] * rise
                for row in range(spans[2, ty], spans[3, ty] + 1):
                    for column in range(spans[0, tx], spans[1, tx] + 1):
                        if height > support_height[row, column]:
                            support_height[row, column] = height
                            support_free[row, column] = state == FREE
                break


@compiled
def _mark_tilted(
    states: Array,
    start: Array,
    step: Array,
    axes: Array,
    below: bool,
    low: float,
    high: float,
    free_to: float,
    per_cell: float,
    half: float,
    cells: Array,
    support_height: Array,
    support_free: Array,
) -> None:
    # Voxel by voxel: along the axis that is most upright, the heights of interest are an interval.
    rows, columns = cells.shape
    main, first_axis, second_axis = axes[0], axes[1], axes[2]
    rise = step[2, main]
    stride_main, stride_first, stride_second = 1 << (3 * main), 1 << (3 * first_axis), 1 << (3 * second_axis)
    for second in range(BLOCK_SIZE):
        for first in range(BLOCK_SIZE):
            x0 = start[0] + first * step[0, first_axis] + second * step[0, second_axis]
            y0 = start[1] + first * step[1, first_axis] + second * step[1, second_axis]
            height_0 = start[2] + first * step[2, first_axis] + second * step[2, second_axis]
            begin, end = (low - height_0) / rise, (high - height_0) / rise
            if rise < 0.0:
                begin, end = end, begin
            base = first * stride_first + second * stride_second
            for m in range(max(0, int(np.ceil(begin))), min(BLOCK_SIZE - 1, int(np.floor(end))) + 1):
                state = states[base + m * stride_main]
                height = height_0 + m * rise
                if state == UNKNOWN or (state == FREE and height > free_to):
                    continue
                x, y = x0 + m * step[0, main], y0 + m * step[1, main]
                c0, c1 = int(np.floor((x - half) * per_cell)), int(np.floor((x + half) * per_cell))
                r0, r1 = int(np.floor((y - half) * per_cell)), int(np.floor((y + half) * per_cell))
                for row in range(max(0, r0), min(rows - 1, r1) + 1):
                    for column in range(max(0, c0), min(columns - 1, c1) + 1):
                        if not below:
                            cells[row, column] = max(cells[row, column], state)
                        elif height > support_height[row, column]:
                            support_height[row, column] = height
                            support_free[row, column] = state == FREE


@compiled
def mark_cells(
    coordinates: Array,
    records: Array,
    offset: Array,
    other_records: Array,
    other_keys: Array,
    other_values: Array,
    other_offset: Array,
    skip_shared: bool,
    below: bool,
    voxel_m: float,
    reach_m: float,
    minimum_weight: float,
    rotation: Array,
    origin: Array,
    heights: Array,
    cell_m: float,
    cells: Array,
    support_height: Array,
    support_free: Array,
) -> None:
    """Mark the cells of a slab that the blocks of a volume speak of, composed with another volume of the same map.

    coordinates: (B, 3) blocks of the volume, which lie ``offset`` (3,) blocks further in the map; other_offset: the
    same for the other volume. Blocks that the other has too are left out with skip_shared. Voxels of at least
    minimum_weight (and more than 0) are known. Those at or behind a surface make a cell of the slab occupied; those in
    front of one make it free up to reach_m above its bottom. With ``below`` only what lies below the slab is looked
    at, for the cells that are unknown after the slab itself. rotation (3, 3), origin (3,) [m]: map to slice, whose z
    is the height above the floor. heights: lowest height of interest, bottom and top of the slab [m]. cells (rows,
    columns) uint8 holds UNKNOWN, FREE or OCCUPIED. support_height float32 and support_free bool (rows, columns):
    height of the highest known voxel below the slab, and whether it is free.
    """
    rows, columns = cells.shape
    per_cell = 1.0 / cell_m
    # A voxel covers every cell that its cube reaches into; a cube that ends at a border of cells does not cross it.
    half = 0.4995 * voxel_m
    low, high = (heights[0], np.nextafter(heights[1], -np.inf)) if below else (heights[1], heights[2])
    free_to = heights[1] + reach_m
    main = 0
    for axis in range(1, 3):
        if abs(rotation[2, axis]) > abs(rotation[2, main]):
            main = axis
    axes = np.array([main, (main + 1) % 3, (main + 2) % 3])
    upright = abs(abs(rotation[2, main]) - 1.0) < _ALIGNED
    step = rotation * voxel_m  # what one voxel along map axis a adds to slice coordinate c: step[c, a]
    extent = np.empty(3)
    fall = np.empty(3)
    for c in range(3):
        extent[c] = 0.0
        fall[c] = 0.0
        for a in range(3):
            extent[c] += (BLOCK_SIZE - 1) * abs(step[c, a])
            fall[c] += (BLOCK_SIZE - 1) * min(step[c, a], 0.0)
    start = np.empty(3)
    least = np.empty(3)
    states = np.empty(VOXELS_PER_BLOCK, np.uint8)
    spans, layers = np.empty((4, BLOCK_SIZE), np.int64), np.empty(BLOCK_SIZE, np.int64)
    best = np.empty(BLOCK_SIZE * BLOCK_SIZE, np.uint8)
    for n in range(coordinates.shape[0]):
        bx, by, bz = coordinates[n, 0] + offset[0], coordinates[n, 1] + offset[1], coordinates[n, 2] + offset[2]
        for c in range(3):
            start[c] = BLOCK_SIZE * (step[c, 0] * bx + step[c, 1] * by + step[c, 2] * bz) - origin[c]
            least[c] = start[c] + fall[c]
        if least[2] > high or least[2] + extent[2] < low:
            continue
        c0 = max(0, int(np.floor((least[0] - half) * per_cell)))
        c1 = min(columns - 1, int(np.floor((least[0] + extent[0] + half) * per_cell)))
        r0 = max(0, int(np.floor((least[1] - half) * per_cell)))
        r1 = min(rows - 1, int(np.floor((least[1] + extent[1] + half) * per_cell)))
        # Blocks that can tell nothing new are left before their voxels are read.
        settled = True
        for row in range(r0, r1 + 1):
            for column in range(c0, c1 + 1):
                cell = cells[row, column]
                settled = settled and (cell == OCCUPIED or (below and cell == FREE))
        if settled:
            continue
        other = find(
            other_keys, other_values, pack_key(bx - other_offset[0], by - other_offset[1], bz - other_offset[2])
        )
        if other >= 0 and skip_shared:
            continue
        begin, end = 0, VOXELS_PER_BLOCK
        whole = low <= least[2] and least[2] + extent[2] <= high
        if upright and main == 2 and not whole:
            # Only the layers of interest, which lie one behind the other.
            first, last = (low - start[2]) / step[2, 2], (high - start[2]) / step[2, 2]
            if step[2, 2] < 0.0:
                first, last = last, first
            begin = 64 * max(0, int(np.ceil(first)))
            end = 64 * (min(BLOCK_SIZE - 1, int(np.floor(last))) + 1)
            whole = begin < end
        least_state, content = _classify(records, n, other_records, other, minimum_weight, begin, end, states)
        if content == UNKNOWN or (content == FREE and least[2] > free_to):
            continue
        if least_state == FREE and content == FREE and upright and whole and not below:
            for row in range(r0, r1 + 1):
                for column in range(c0, c1 + 1):
                    cells[row, column] = max(cells[row, column], FREE)
            continue
        if upright:
            _mark_upright(
                states, content, start, step, axes, below, low, high, free_to, per_cell, half, spans, layers, best,
                cells, support_height, support_free,
            )  # fmt: skip
        else:
            _mark_tilted(
                states, start, step, axes, below, low, high, free_to, per_cell, half,
                cells, support_height, support_free,
            )  # fmt: skip


@compiled
def mark_heights(
    coordinates: Array,
    records: Array,
    offset: Array,
    other_records: Array,
    other_keys: Array,
    other_values: Array,
    other_offset: Array,
    skip_shared: bool,
    voxel_m: float,
    minimum_weight: float,
    rotation: Array,
    origin: Array,
    bottom_m: float,
    top_m: float,
    cell_m: float,
    tops: Array,
) -> None:
    """Raise tops (rows, columns) float32 to the upper side of the highest voxel behind a surface in each cell [m].

    Arguments as of mark_cells(), for the part of the map between bottom_m and top_m above the floor.
    """
    rows, columns = tops.shape
    half = 0.4995 * voxel_m
    states = np.empty(VOXELS_PER_BLOCK, np.uint8)
    step = rotation * voxel_m
    for n in range(coordinates.shape[0]):
        bx, by, bz = coordinates[n, 0] + offset[0], coordinates[n, 1] + offset[1], coordinates[n, 2] + offset[2]
        x0 = BLOCK_SIZE * (step[0, 0] * bx + step[0, 1] * by + step[0, 2] * bz) - origin[0]
        y0 = BLOCK_SIZE * (step[1, 0] * bx + step[1, 1] * by + step[1, 2] * bz) - origin[1]
        z0 = BLOCK_SIZE * (step[2, 0] * bx + step[2, 1] * by + step[2, 2] * bz) - origin[2]
        low = high = z0
        for a in range(3):
            low += (BLOCK_SIZE - 1) * min(step[2, a], 0.0)
            high += (BLOCK_SIZE - 1) * max(step[2, a], 0.0)
        if low > top_m or high < bottom_m:
            continue
        other = find(
            other_keys, other_values, pack_key(bx - other_offset[0], by - other_offset[1], bz - other_offset[2])
        )
        if other >= 0 and skip_shared:
            continue
        _, content = _classify(records, n, other_records, other, minimum_weight, 0, VOXELS_PER_BLOCK, states)
        if content != OCCUPIED:
            continue
        for i in range(VOXELS_PER_BLOCK):
            if states[i] != OCCUPIED:
                continue
            a, b, c = i & 7, (i >> 3) & 7, i >> 6
            z = z0 + step[2, 0] * a + step[2, 1] * b + step[2, 2] * c
            if z < bottom_m or z >= top_m:
                continue
            x = x0 + step[0, 0] * a + step[0, 1] * b + step[0, 2] * c
            y = y0 + step[1, 0] * a + step[1, 1] * b + step[1, 2] * c
            height = np.float32(z + 0.5 * voxel_m)
            for row in range(max(0, int(np.floor((y - half) / cell_m))), min(rows - 1, int((y + half) / cell_m)) + 1):
                for column in range(
                    max(0, int(np.floor((x - half) / cell_m))), min(columns - 1, int((x + half) / cell_m)) + 1
                ):
                    tops[row, column] = max(tops[row, column], height)
