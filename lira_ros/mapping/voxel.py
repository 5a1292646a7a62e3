"""What happens to one voxel, one measurement or one key: scalar functions that every target compiles.

They are written once as plain scalar Python. The loops of kernels.py and surface_kernels.py inline them on the CPU;
a CUDA kernel that calls them compiles them for the device. Fast-math is off: equal input gives equal bits.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

Array = Any  # numba sees the exact dtypes; the shapes are in the docstrings

# NumPy's error model divides without a check for zero, which would keep loops from becoming vector instructions.
compiled = numba.njit(nogil=True, cache=True, error_model="numpy")
inlined = numba.njit(inline="always", error_model="numpy")

# A block is one contiguous record of CHANNELS x 512 float32.
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


@inlined
def pack_key(x: int, y: int, z: int) -> int:
    """Pack block coordinates in [-2^20, 2^20) into one non-negative 63-bit key."""
    return ((x + _KEY_BIAS) << (2 * _KEY_BITS)) | ((y + _KEY_BIAS) << _KEY_BITS) | (z + _KEY_BIAS)


def block_keys(blocks: Array) -> Array:
    """Return the (B,) int64 packed keys of (B, 3) block coordinates, see pack_key()."""
    x, y, z = blocks.astype(np.int64).T
    return ((x + _KEY_BIAS) << (2 * _KEY_BITS)) | ((y + _KEY_BIAS) << _KEY_BITS) | (z + _KEY_BIAS)


def blocks_of_keys(keys: Array) -> Array:
    """Return the (B, 3) int32 block coordinates of (B,) packed keys."""
    mask = (1 << _KEY_BITS) - 1
    axes = [keys >> (2 * _KEY_BITS), keys >> _KEY_BITS & mask, keys & mask]
    return (np.stack(axes, axis=1) - _KEY_BIAS).astype(np.int32)


def unique_blocks(blocks: Array) -> Array:
    """Return the distinct rows of (B, 3) block coordinates as int32, sorted by x, y, z."""
    return blocks_of_keys(np.unique(block_keys(blocks)))


@inlined
def pack_edge(x: int, y: int, z: int, axis: int) -> int:
    """Name the edge that starts at voxel x, y, z in [-2^19, 2^19) and runs along ``axis``."""
    voxel = ((x + _EDGE_BIAS) << (2 * _EDGE_BITS)) | ((y + _EDGE_BIAS) << _EDGE_BITS) | (z + _EDGE_BIAS)
    return (voxel << 2) | axis


@inlined
def slot_of(key: int, slots: int) -> int:
    """Return the first slot to look at for a key in a table of ``slots``, a power of two."""
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
