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
