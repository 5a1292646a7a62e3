"""Masks for the costmap filters of Nav2: which cells of a grid lie under chosen instances."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.contracts import Instance
from lira_ros.planning.free_grid import FreeGrid
from lira_ros.planning.outline import Outline


def cells_of(
    instances: Iterable[Instance], grid: FreeGrid, T_grid_map: NDArray[np.float64], margin_m: float
) -> NDArray[np.bool_]:
    """Return (rows, columns) which cells come within margin_m of the outlines of instances.

    Instances beyond the grid count as far as their margin reaches into it.
    """
    size_m = grid.resolution_m
    border = int(np.ceil(margin_m / size_m)) + 1
    wider = FreeGrid(np.pad(grid.values, border), size_m)
    T_wider_grid = np.eye(4)
    T_wider_grid[:2, 3] = border * size_m
    under = np.zeros(wider.values.shape, dtype=np.bool_)
    for instance in instances:
        under |= Outline.of_instance(instance, T_wider_grid @ T_grid_map).cells(wider)
    if margin_m > 0 and under.any():
        # From centre to centre the outlines of two cells are a cell nearer.
        away = cv2.distanceTransform((~under).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        under = (away - 1.0) * size_m <= margin_m
    return np.asarray(under[border:-border, border:-border])
