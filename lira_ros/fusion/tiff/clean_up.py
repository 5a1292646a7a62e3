"""What LIRA leaves of a map at the end of a scan (section 4.8 of the description)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.components import sizes_of_components
from lira_ros.fusion.lifting import pack
from lira_ros.fusion.tiff.global_map import BACKGROUND

# LIRA, section 4.8.
LEAST_INSTANCE_VOXELS = 100


def cleaned(coordinates: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the labels (M,) of voxels (M, 3) with the largest component of each instance alone.

    Voxels hang together when they share a corner at least; of components of one size the first by x, y, z stays.
    Instances with fewer than 100 voxels left become background.
    """
    result = np.full_like(labels, BACKGROUND)
    keys = pack(coordinates)
    order = np.lexsort((keys, labels))
    keys, ordered = keys[order], labels[order]
    for label in np.unique(labels[labels != BACKGROUND]):
        first, last = np.searchsorted(ordered, (label, label + 1))
        component, sizes = sizes_of_components(keys[first:last], 1)
        largest = component == int(np.argmax(sizes))
        if np.count_nonzero(largest) >= LEAST_INSTANCE_VOXELS:
            result[order[first:last][largest]] = label
    return result
