"""What happens to one voxel or one pixel when the map is looked at: scalar functions that every target compiles.

The map is looked at as the sum of two volumes, the base and the open fragment. A voxel of the sum is composed where
it is needed; a volume without the voxel counts as weight 0. Like voxel.py, without ROS, loops or fast-math.
"""

from __future__ import annotations

import numpy as np

from lira_ros.mapping.voxel import BLUE, CONFIDENCE, GREEN, LABEL, RED, TSDF, WEIGHT, Array, inlined, vote


@inlined
def composed_distance(records_a: Array, a: int, records_b: Array, b: int, voxel: int) -> tuple[float, float]:
    """Return the tsdf and weight of a voxel in the sum of record a and record b; a negative record is missing."""
    distance, weight = np.float32(0.0), np.float32(0.0)
    if a >= 0:
        distance, weight = records_a[a, TSDF, voxel], records_a[a, WEIGHT, voxel]
    if b >= 0:
        other = records_b[b, WEIGHT, voxel]
        total = weight + other
        # The form of kernels.merge(), so that closing a fragment does not move the surface.
        distance += (records_b[b, TSDF, voxel] - distance) * (other / max(total, np.float32(1e-20)))
        weight = total
    return distance, weight


@inlined
def composed_color(records_a: Array, a: int, records_b: Array, b: int, voxel: int) -> tuple[float, float, float]:
    """Return red, green and blue (0 to 255) of a voxel in the sum of two records; black means never coloured."""
    zero, one = np.float32(0.0), np.float32(1.0)
    red, green, blue, weight = zero, zero, zero, zero
    if a >= 0:
        red, green, blue = records_a[a, RED, voxel], records_a[a, GREEN, voxel], records_a[a, BLUE, voxel]
        weight = records_a[a, WEIGHT, voxel]
    if b >= 0:
        other_red, other_green = records_b[b, RED, voxel], records_b[b, GREEN, voxel]
        other_blue, other = records_b[b, BLUE, voxel], records_b[b, WEIGHT, voxel]
        part = other / max(weight + other, np.float32(1e-20))
        if red + green + blue == zero:
            part = one
        if other_red + other_green + other_blue == zero:
            part = zero
        red += (other_red - red) * part
        green += (other_green - green) * part
        blue += (other_blue - blue) * part
    return red, green, blue


@inlined
def composed_label(records_a: Array, a: int, records_b: Array, b: int, voxel: int) -> tuple[float, float]:
    """Return the leading label of a voxel in the sum of two records and its lead; a lead of 0 means no label."""
    label, confidence = np.float32(0.0), np.float32(0.0)
    if a >= 0:
        label, confidence = records_a[a, LABEL, voxel], records_a[a, CONFIDENCE, voxel]
    if b >= 0 and records_b[b, CONFIDENCE, voxel] > np.float32(0.0):
        label, confidence = vote(label, confidence, records_b[b, LABEL, voxel], records_b[b, CONFIDENCE, voxel])
    return label, confidence


@inlined
def block_exit(position: float, direction: float, block: int) -> float:
    """Return how far a ray goes along one axis until it leaves a block, in units of its direction.

    Coordinates count in voxels. Block b reaches from 8 b - 0.5 to 8 b + 7.5, because voxels are centred at integers.
    """
    away = np.float64(np.inf)
    if direction > 0.0:
        away = (8.0 * block + 7.5 - position) / direction
    elif direction < 0.0:
        away = (8.0 * block - 0.5 - position) / direction
    return away


@inlined
def interpolated(corners: Array, x: float, y: float, z: float) -> float:
    """Return the trilinear value at x, y, z in [0, 1] between 8 corners, of which corner c is at its bits."""
    low_y = corners[0] + (corners[1] - corners[0]) * x
    high_y = corners[2] + (corners[3] - corners[2]) * x
    low = low_y + (high_y - low_y) * y
    low_y = corners[4] + (corners[5] - corners[4]) * x
    high_y = corners[6] + (corners[7] - corners[6]) * x
    return low + (low_y + (high_y - low_y) * y - low) * z


@inlined
def interpolated_slope(corners: Array, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Return the gradient of interpolated() by x, y and z."""
    one = np.float32(1.0)
    low = (corners[1] - corners[0]) * (one - y) + (corners[3] - corners[2]) * y
    high = (corners[5] - corners[4]) * (one - y) + (corners[7] - corners[6]) * y
    slope_x = low + (high - low) * z
    low = (corners[2] - corners[0]) * (one - x) + (corners[3] - corners[1]) * x
    high = (corners[6] - corners[4]) * (one - x) + (corners[7] - corners[5]) * x
    slope_y = low + (high - low) * z
    low = (corners[4] - corners[0]) * (one - x) + (corners[5] - corners[1]) * x
    high = (corners[6] - corners[2]) * (one - x) + (corners[7] - corners[3]) * x
    slope_z = low + (high - low) * y
    return slope_x, slope_y, slope_z


@inlined
def known_slope(lower: float, here: float, upper: float, knows_lower: float, knows_upper: float) -> float:
    """Return the difference per voxel across a voxel from those of its two neighbours that are known (1, else 0)."""
    rise = (upper - here) * knows_upper + (here - lower) * knows_lower
    return rise * (np.float32(0.5) if knows_lower + knows_upper > np.float32(1.0) else np.float32(1.0))


@inlined
def plane_in_view(
    nx: float, ny: float, nz: float, distance: float, fx: float, fy: float, cx: float, cy: float
) -> tuple[float, float, float]:
    """Return a, b, c: the plane n . p = distance of camera points p shows at pixel u, v with 1 / z = a u + b v + c.

    The distance must not be 0: such a plane is seen edge-on.
    """
    a = nx / (fx * distance)
    b = ny / (fy * distance)
    return a, b, nz / distance - a * cx - b * cy
