"""How wrong what was measured of an instance may be, and what that leaves of a comparison.

Deviations were measured on generated homes of the validation split (1000 to 1005, with and without noise in the poses,
Kinect noise in the depth, voxels of 2 cm), instances of the annotated masks against the true objects at many times of
the walk: of 1,232 extents 68 % were wrong by less than 3 cm once a thing was seen in eight keyframes, and by a share of
themselves before that which falls as one divided by the number of keyframes (0.6 to 0.8 at one, 0.3 at three, 0.15 at
six); of 2,570 distances between surfaces 68 % by less than 2 cm, or in the same way by a fifth of a thing's size.
"""

from __future__ import annotations

import math

from lira_ros.fusion.contracts import Instance

# Standard deviation of an extent and of the place of a surface that many views showed, without the grid [m].
EXTENT_DEVIATION_M, SURFACE_DEVIATION_M = 0.03, 0.014
# What views did not show yet: this share of an extent, and of the size for the place of the nearest surface, divided by
# the number of views.
UNSEEN_EXTENT, UNSEEN_SURFACE = 1.0, 0.2
# A number rounded to a grid is uniformly wrong within one cell.
GRID_DEVIATION = 1.0 / math.sqrt(12.0)


def surface_deviation_m(instance: Instance) -> float:
    """Return the standard deviation of where the nearest surface of an instance is [m]."""
    largest_m = float(instance.box.size_m.max())
    unseen_m = UNSEEN_SURFACE * largest_m / max(1, instance.observations)
    return math.hypot(SURFACE_DEVIATION_M, GRID_DEVIATION * instance.voxel_size_m, unseen_m)


def extent_deviation_m(instance: Instance, extent_m: float) -> float:
    """Return the standard deviation of an extent of an instance: length, width or height [m]."""
    unseen_m = UNSEEN_EXTENT * extent_m / max(1, instance.observations)
    # Both ends lie on the grid.
    return math.hypot(EXTENT_DEVIATION_M, math.sqrt(2.0) * GRID_DEVIATION * instance.voxel_size_m, unseen_m)


def volume_deviation_m3(instance: Instance, extents_m: tuple[float, float, float]) -> float:
    """Return the standard deviation of the product of three extents [m3]."""
    volume = math.prod(extents_m)
    relative = math.hypot(*(extent_deviation_m(instance, extent) / max(extent, 1e-3) for extent in extents_m))
    return volume * relative


def share_deviation(share: float, votes: float) -> float:
    """Return the standard deviation of a share of votes: of the beta distribution with a uniform prior."""
    wins = share * votes + 1.0
    total = votes + 2.0
    return math.sqrt(wins * (total - wins) / (total * total * (total + 1.0)))


def certainty(margin: float, deviation: float) -> float:
    """Return how probable it is that a decision stands whose measure is so far from its limit, from 0.5 on.

    The normal distribution of the margin; a margin without a deviation is certain.
    """
    if deviation <= 0.0 or math.isinf(margin):
        return 1.0
    return 0.5 * (1.0 + math.erf(abs(margin) / (deviation * math.sqrt(2.0))))
