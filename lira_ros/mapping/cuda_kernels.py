"""Kernels of the block-sparse TSDF on a CUDA device: hash of blocks, integration of frames, moving records.

The counterpart of kernels.py: what happens to one voxel are the same scalar functions of voxel.py, which numba
compiles for the device when a kernel calls them. Import it only where choose_device() said "cuda".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

from lira_ros.mapping import voxel
from lira_ros.mapping.devices import simulated
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
    pack_key,
    slot_of,
)

# Slots of the counters that the touch kernel shares with its caller.
TOUCHED_COUNT, NEW_COUNT, OVERFLOW = range(3)

# Threads of a block where each does something of its own; a multiple of the 32 of a warp (CUDA C++ Programming Guide).
THREADS = 128

_SIMULATED = simulated()


def on_device(function: Any) -> Callable[..., Any]:
    """Return a function of the processor in the form in which a kernel calls it.

    For a device numba compiles it again by itself. The simulator runs kernels in Python on arrays of its own, which
    compiled code does not take: there it is the Python source of the same function.
    """
    return function.py_func if _SIMULATED else function


_behind_weight = on_device(voxel.behind_weight)
_color_share = on_device(voxel.color_share)
_kept_share = on_device(voxel.kept_share)
_larger = on_device(voxel.larger)
_observation_weight = on_device(voxel.observation_weight)
_pixel_at = on_device(voxel.pixel_at)
_sample_share = on_device(voxel.sample_share)
_smaller = on_device(voxel.smaller)
_truncated = on_device(voxel.truncated)
_vote = on_device(voxel.vote)


def device_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that kernels of this module call; the simulator calls it as it stands."""
    return function if _SIMULATED else cuda.jit(device=True)(function)


@device_function
def _place(keys: Array, key: int) -> int:
    # The slot of a key, -1 where it is not in.
    slots = keys.shape[0]
    slot = slot_of(key, slots)
    for _ in range(slots):
        found = keys[slot]
        if found == key:
            return slot
        if found == EMPTY:
            return -1
        slot = (slot + 1) & (slots - 1)
    return -1


@device_function
def find(keys: Array, values: Array, key: int) -> int:
    """Return the index stored for ``key`` in the open-addressing table, -1 where it is not in."""
    slot = _place(keys, key)
    return values[slot] if slot >= 0 else -1


@device_function
def _touch_key(
    key: int,
    create: bool,
    keys: Array,
    values: Array,
    last_frame: Array,
    frame: int,
    touched: Array,
    new_keys: Array,
    new_slots: Array,
    counters: Array,
) -> None:
    # Add a known block to ``touched``, each once in a frame. With ``create``, the key of an unknown one is put into
    # the table without a value and added to new_keys with its slot. counters[OVERFLOW] is set when there is no room.
    slots = keys.shape[0]
    slot = slot_of(key, slots)
    for _ in range(slots):
        found = keys[slot]
        if found == EMPTY:
            if not create:
                return
            found = cuda.atomic.cas(keys, slot, EMPTY, key)
            if found == EMPTY:
                place = cuda.atomic.add(counters, NEW_COUNT, 1)
                if place < new_keys.shape[0]:
                    new_keys[place] = key
                    new_slots[place] = slot
                else:
                    counters[OVERFLOW] = 1
                return
        if found == key:
            # A key without a value is new in this frame, and the thread that put it in has added its block. The value
            # of a key that was there before does not change while the frame is looked through.
            index = values[slot]
            if index >= 0:
                before = last_frame[index]
                if before != frame and cuda.atomic.cas(last_frame, index, before, frame) == before:
                    touched[cuda.atomic.add(counters, TOUCHED_COUNT, 1)] = index
            return
        slot = (slot + 1) & (slots - 1)
    counters[OVERFLOW] = 1


@cuda.jit(cache=True)
def touch(
    usable: Array,
    columns: int,
    stride: int,
    across: int,
    rays: int,
    intrinsics: Array,
    rotation: Array,
    translation: Array,
    truncation_m: float,
    step_m: float,
    samples: int,
    per_block: float,
    keys: Array,
    values: Array,
    last_frame: Array,
    frame: int,
    touched: Array,
    new_keys: Array,
    new_slots: Array,
    counters: Array,
) -> None:
    """Collect the blocks within the truncation band of every stride-th measurement; one thread a sample.

    Known blocks are added to ``touched``. The keys of unknown ones are put into the table without a value and added
    to new_keys with their slots: the caller gives them their index. counters[OVERFLOW] is set when the table or the
    lists are too small.
    """
    n = cuda.grid(1)
    sample = n // rays
    if sample >= samples:
        return
    ray = n - sample * rays
    row = stride // 2 + (ray // across) * stride
    column = stride // 2 + (ray % across) * stride
    z = usable[row * columns + column]
    if z == np.float32(0.0):
        return
    ray_x = (np.float32(column) - intrinsics[2]) / intrinsics[0]
    ray_y = (np.float32(row) - intrinsics[3]) / intrinsics[1]
    direction_x = rotation[0, 0] * ray_x + rotation[0, 1] * ray_y + rotation[0, 2]
    direction_y = rotation[1, 0] * ray_x + rotation[1, 1] * ray_y + rotation[1, 2]
    direction_z = rotation[2, 0] * ray_x + rotation[2, 1] * ray_y + rotation[2, 2]
    s = z - truncation_m + step_m * np.float32(sample)
    bx = np.int64(math.floor((direction_x * s + translation[0]) * per_block))
    by = np.int64(math.floor((direction_y * s + translation[1]) * per_block))
    bz = np.int64(math.floor((direction_z * s + translation[2]) * per_block))
    if sample > 0:
        # A sample in the block of the one before it has nothing to add.
        s = z - truncation_m + step_m * np.float32(sample - 1)
        same = bx == np.int64(math.floor((direction_x * s + translation[0]) * per_block))
        same = same and by == np.int64(math.floor((direction_y * s + translation[1]) * per_block))
        if same and bz == np.int64(math.floor((direction_z * s + translation[2]) * per_block)):
            return
    key = pack_key(bx, by, bz)
    _touch_key(key, True, keys, values, last_frame, frame, touched, new_keys, new_slots, counters)


@cuda.jit(cache=True)
def add_blocks(
    slots: Array,
    indices: Array,
    blocks: Array,
    count: int,
    values: Array,
    coordinates: Array,
    last_frame: Array,
    frame: int,
    touched: Array,
    first: int,
) -> None:
    """Give the index indices[i] to the new block i, and add it to ``touched`` from ``first`` on; one thread a block.

    slots: where its key lies in the table, -1 where the table has the value already.
    """
    i = cuda.grid(1)
    if i >= count:
        return
    index = indices[i]
    if slots[i] >= 0:
        values[slots[i]] = index
    for axis in range(3):
        coordinates[index, axis] = blocks[i, axis]
    last_frame[index] = frame
    touched[first + i] = index


@cuda.jit(cache=True)
def touch_seen_through(
    usable: Array,
    columns: int,
    stride: int,
    across: int,
    rays: int,
    intrinsics: Array,
    rotation: Array,
    translation: Array,
    nearest_m: float,
    truncation_m: float,
    step_m: float,
    per_block: float,
    keys: Array,
    values: Array,
    map_keys: Array,
    map_offset: Array,
    last_frame: Array,
    frame: int,
    touched: Array,
    new_keys: Array,
    new_slots: Array,
    counters: Array,
) -> None:
    """Collect the blocks in front of the truncation band that the volume or the map has, see touch(); one thread a ray.

    map_keys: hash of the blocks of the map, map_offset (3,) further than those of the volume.
    """
    ray = cuda.grid(1)
    if ray >= rays:
        return
    row = stride // 2 + (ray // across) * stride
    column = stride // 2 + (ray % across) * stride
    end = usable[row * columns + column] - truncation_m
    ray_x = (np.float32(column) - intrinsics[2]) / intrinsics[0]
    ray_y = (np.float32(row) - intrinsics[3]) / intrinsics[1]
    direction_x = rotation[0, 0] * ray_x + rotation[0, 1] * ray_y + rotation[0, 2]
    direction_y = rotation[1, 0] * ray_x + rotation[1, 1] * ray_y + rotation[1, 2]
    direction_z = rotation[2, 0] * ray_x + rotation[2, 1] * ray_y + rotation[2, 2]
    last = np.int64(EMPTY)
    s = nearest_m
    while s < end:
        x = np.int64(math.floor((direction_x * s + translation[0]) * per_block))
        y = np.int64(math.floor((direction_y * s + translation[1]) * per_block))
        z = np.int64(math.floor((direction_z * s + translation[2]) * per_block))
        s += step_m
        key = pack_key(x, y, z)
        if key == last:
            continue
        last = key
        create = _place(map_keys, pack_key(x + map_offset[0], y + map_offset[1], z + map_offset[2])) >= 0
        _touch_key(key, create, keys, values, last_frame, frame, touched, new_keys, new_slots, counters)


@cuda.jit(cache=True)
def age(touched: Array, count: int, block_stamp_s: Array, stamp_s: float, half_life_s: float, kept: Array) -> None:
    """Write which share of its weight each touched block keeps, and note the time; one thread a block."""
    i = cuda.grid(1)
    if i < count:
        block = touched[i]
        kept[i] = _kept_share(max(stamp_s - block_stamp_s[block], 0.0), half_life_s)
        block_stamp_s[block] = stamp_s


@cuda.jit(cache=True)
def integrate(
    records: Array,
    coordinates: Array,
    touched: Array,
    first_new: int,
    usable: Array,
    pixel_weight: Array,
    with_pixel_weight: bool,
    color: Array,
    labels: Array,
    confidences: Array,
    with_labels: bool,
    kept: Array,
    with_decay: bool,
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
    """Update all channels of the touched blocks from one frame: one CUDA block a block, one thread a voxel.

    Neighbouring threads read and write neighbouring floats of a channel. Blocks from place ``first_new`` of
    ``touched`` on are new: their records hold nothing yet and are written whole. kept: see age(). Otherwise as
    kernels.integrate().
    """
    i = cuda.threadIdx.x
    block = touched[cuda.blockIdx.x]
    new = cuda.blockIdx.x >= first_new
    zero, half = np.float32(0.0), np.float32(0.5)
    # The sums are taken in the order of the processor: block first, then the voxel within it.
    x0 = np.float32(coordinates[block, 0] * BLOCK_SIZE) * voxel_m
    y0 = np.float32(coordinates[block, 1] * BLOCK_SIZE) * voxel_m
    z0 = np.float32(coordinates[block, 2] * BLOCK_SIZE) * voxel_m
    dx, dy, dz = voxel_m * np.float32(i & 7), voxel_m * np.float32((i >> 3) & 7), voxel_m * np.float32(i >> 6)
    x = rotation[0, 0] * x0 + rotation[0, 1] * y0 + rotation[0, 2] * z0 + translation[0]
    y = rotation[1, 0] * x0 + rotation[1, 1] * y0 + rotation[1, 2] * z0 + translation[1]
    z = rotation[2, 0] * x0 + rotation[2, 1] * y0 + rotation[2, 2] * z0 + translation[2]
    x += rotation[0, 0] * dx + rotation[0, 1] * dy + rotation[0, 2] * dz
    y += rotation[1, 0] * dx + rotation[1, 1] * dy + rotation[1, 2] * dz
    z += rotation[2, 0] * dx + rotation[2, 1] * dy + rotation[2, 2] * dz
    # Pixel centres are at integers (OpenCV): the nearest pixel is found by rounding, never by cutting off.
    cx, cy = intrinsics[2] + half, intrinsics[3] + half
    outside = rows * columns
    pixel = outside
    if z > zero:
        pixel = np.int64(_pixel_at(x, y, z, intrinsics[0], intrinsics[1], cx, cy, columns, rows, outside))
    depth = usable[pixel]
    signed = depth - z
    sample_weight = zero
    if depth > zero and signed >= -truncation_m:
        sample_weight = _observation_weight(_larger(depth, np.float32(1e-3)), constant_weight)
        sample_weight *= _behind_weight(signed, truncation_m, voxel_m, fading)
        if with_pixel_weight:
            sample_weight *= pixel_weight[pixel]
        dirty[block] = 1
    elif not (new or with_decay):
        return
    tsdf, weight = zero, zero
    if not new:
        tsdf, weight = records[block, TSDF, i], records[block, WEIGHT, i]
        if with_decay:
            weight *= kept[cuda.blockIdx.x]
    share = _sample_share(weight, sample_weight)
    tsdf += (_truncated(signed, np.float32(1.0) / truncation_m) - tsdf) * share
    records[block, TSDF, i] = tsdf
    records[block, WEIGHT, i] = _smaller(weight + sample_weight, weight_cap)
    if new or (share > zero and signed < truncation_m):
        red, green, blue = zero, zero, zero
        if not new:
            red, green, blue = records[block, RED, i], records[block, GREEN, i], records[block, BLUE, i]
        part = _color_share(red + green + blue, signed, share, truncation_m)
        packed = int(color[pixel])
        records[block, RED, i] = red + (np.float32(packed & 255) - red) * part
        records[block, GREEN, i] = green + (np.float32((packed >> 8) & 255) - green) * part
        records[block, BLUE, i] = blue + (np.float32((packed >> 16) & 255) - blue) * part
    seen_label = 0
    if with_labels and share > zero and abs(signed) < np.float32(1.5) * voxel_m:
        seen_label = int(labels[pixel])
    if new or seen_label != 0:
        label, confidence = zero, zero
        if not new:
            label, confidence = records[block, LABEL, i], records[block, CONFIDENCE, i]
        if seen_label != 0:
            label, confidence = _vote(label, confidence, np.float32(seen_label), confidences[pixel])
        records[block, LABEL, i] = label
        records[block, CONFIDENCE, i] = confidence


@cuda.jit(cache=True)
def gather_records(records: Array, indices: Array, packed: Array) -> None:
    """Copy the records of the blocks ``indices`` together into ``packed``; one CUDA block a block."""
    source = indices[cuda.blockIdx.x]
    i = cuda.threadIdx.x
    while i < VOXELS_PER_BLOCK:
        for channel in range(CHANNELS):
            packed[cuda.blockIdx.x, channel, i] = records[source, channel, i]
        i += cuda.blockDim.x


@cuda.jit(cache=True)
def scatter_records(packed: Array, indices: Array, records: Array) -> None:
    """Copy ``packed`` records to the blocks ``indices``; one CUDA block a block."""
    target = indices[cuda.blockIdx.x]
    i = cuda.threadIdx.x
    while i < VOXELS_PER_BLOCK:
        for channel in range(CHANNELS):
            records[target, channel, i] = packed[cuda.blockIdx.x, channel, i]
        i += cuda.blockDim.x
