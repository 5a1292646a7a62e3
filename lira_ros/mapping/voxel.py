"""What happens to one voxel, one measurement or one key: scalar functions that every target compiles.

They are written once as plain scalar Python. The loops of kernels.py and surface_kernels.py inline them on the CPU;
a CUDA kernel that calls them compiles them for the device. Fast-math is off: equal input gives equal bits.
"""

from __future__ import annotations

import math
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


def contained_in(keys: Array, others: Array) -> Array:
    """Tell which of (N,) keys are among (M,) sorted others."""
    if len(others) == 0:
        return np.zeros(len(keys), dtype=np.bool_)
    return others[np.minimum(np.searchsorted(others, keys), len(others) - 1)] == keys


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
def larger(a: float, b: float) -> float:
    """Return the larger of two numbers; unlike max() it is one instruction, because NaN need not be told apart."""
    return a if a > b else b


@inlined
def smaller(a: float, b: float) -> float:
    """Return the smaller of two numbers; unlike min() it is one instruction, because NaN need not be told apart."""
    return a if a < b else b


@inlined
def pixel_at(
    x: float, y: float, z: float, fx: float, fy: float, cx: float, cy: float, columns: int, rows: int, outside: int
) -> int:
    """Return the index of the pixel that sees a point of the camera frame, ``outside`` where none does.

    A pixel is found by cutting off: for pixel centres at integers (OpenCV, ROS) cx and cy are moved by half a pixel.
    """
    zero = np.float32(0.0)
    per_z = np.float32(1.0) / z
    u = fx * x * per_z + cx
    v = fy * y * per_z + cy
    seen = (z > zero) & (u >= zero) & (v >= zero) & (u < np.float32(columns)) & (v < np.float32(rows))
    # Sums of narrow integers are wide, which would halve the number of voxels in an instruction.
    place = np.int32(np.int32(np.int32(v) * np.int32(columns)) + np.int32(u))
    return place if seen else outside


@inlined
def open3d_pixel_at(
    x: float, y: float, z: float, fx: float, fy: float, cx: float, cy: float, columns: int, rows: int, outside: int
) -> int:
    """Return the pixel that Open3D's VoxelBlockGrid takes for a point of the camera frame: that at or before it.

    That is right for pixel centres at half numbers; what lies beyond the centre of the last pixel is outside.
    """
    per_z = np.float32(1.0) / z
    u = fx * x * per_z + cx
    v = fy * y * per_z + cy
    seen = (
        (u >= 0) & (v >= 0) & (u <= np.float32(columns) - np.float32(1.0)) & (v <= np.float32(rows) - np.float32(1.0))
    )
    place = np.int32(np.int32(np.int32(v) * np.int32(columns)) + np.int32(u))
    return place if seen else outside


@inlined
def open3d_update(mean: float, weight: float, sample: float) -> float:
    """Return the running mean after one more sample of weight 1, in the order of Open3D's VoxelBlockGrid."""
    return (weight * mean + sample) * (np.float32(1.0) / (weight + np.float32(1.0)))


@inlined
def observation_weight(depth_m: float, constant: bool) -> float:
    """Weigh one depth measurement > 0: 1 (LIRA, Open3D, KinectFusion), or (2 m / z)^2 and at most 4.

    The noise of a depth camera grows with the square of the distance (Nguyen et al. 2012); 1 / z^2 is the weight of
    voxblox (Oleynikova et al., IROS 2017) and of nvblox. It is scaled so that a measurement from 2 m counts as one,
    and bounded below 1 m, where the noise floor takes over.
    """
    near = np.float32(4.0) / (depth_m * depth_m)
    near = near if near < np.float32(4.0) else np.float32(4.0)
    return np.float32(1.0) if constant else near


@inlined
def behind_weight(signed_m: float, truncation_m: float, voxel_m: float, fading: bool) -> float:
    """Return the share of its weight that a measurement keeps at a voxel ``-signed_m`` behind the surface, 0 to 1.

    Fading: full up to one voxel behind, then falling linearly to 0 at the truncation distance (voxblox, Oleynikova et
    al., IROS 2017; Bylow et al., RSS 2013), so that the back of a thin wall is not worn off by views of its front.
    Otherwise the full weight everywhere down to the truncation distance (KinectFusion, Open3D).
    """
    share = (truncation_m + signed_m) / (truncation_m - voxel_m)
    share = share if share < np.float32(1.0) else np.float32(1.0)
    share = share if fading else np.float32(1.0)
    return share if signed_m >= -truncation_m else np.float32(0.0)


@inlined
def incidence_weight(slope_u: float, slope_v: float, inverse: float, ray_x: float, ray_y: float) -> float:
    """Return the cosine of the angle between the ray of a pixel and the normal of the surface there.

    slope_u and slope_v: change of the inverse depth [1/m] for a change of the ray's x / z and y / z by one. inverse:
    inverse depth [1/m]. ray_x, ray_y: x / z and y / z of the pixel. Weight of KinectFusion (Newcombe et al., ISMAR
    2011: proportional to cos(theta) / z). A plane n X = d has the inverse depth (n_x x + n_y y + n_z) / d.
    """
    along = inverse - slope_u * ray_x - slope_v * ray_y
    normal = math.sqrt(slope_u * slope_u + slope_v * slope_v + along * along)
    return inverse / (normal * math.sqrt(ray_x * ray_x + ray_y * ray_y + 1.0))


@inlined
def sample_share(weight: float, sample_weight: float) -> float:
    """Return the share of a sample in the weighted mean (Curless and Levoy 1996) that it joins; 0 for no weight."""
    return sample_weight / larger(weight + sample_weight, np.float32(1e-20))


@inlined
def truncated(signed_m: float, per_truncation: float) -> float:
    """Return the tsdf of a signed distance: in units of the truncation distance, between -1 and 1."""
    one = np.float32(1.0)
    return larger(-one, smaller(one, signed_m * per_truncation))


@inlined
def color_share(brightness: float, signed_m: float, share: float, truncation_m: float) -> float:
    """Return the share of a colour in the mean of a voxel whose channels add up to ``brightness`` so far.

    Colour belongs to the surface: what is only seen through keeps none. A voxel without colour takes its first one
    whole, whatever weight free space gave it before.
    """
    zero = np.float32(0.0)
    part = share if signed_m < truncation_m else zero
    first = (brightness == zero) & (part > zero)
    return np.float32(1.0) if first else part


@inlined
def kept_share(age_s: float, half_life_s: float) -> float:
    """Return which share of its weight a voxel keeps when it was not seen for ``age_s``: half of it each half-life."""
    return np.float32(0.5 ** (age_s / half_life_s))


@inlined
def fuse(mean: float, weight: float, sample: float, sample_weight: float) -> float:
    """Return the weighted running mean (Curless and Levoy 1996) after one more sample."""
    return (mean * weight + sample * sample_weight) / (weight + sample_weight)


@inlined
def vote(label: float, confidence: float, other: float, other_confidence: float) -> tuple[float, float]:
    """Return the leading label and its lead after another vote (majority vote of Boyer and Moore)."""
    # Without branches, so that loops over voxels become vector instructions.
    joins = (label == other) | (confidence == np.float32(0.0))
    lead = confidence + other_confidence if joins else abs(confidence - other_confidence)
    return (other if joins | (other_confidence > confidence) else label), lead
