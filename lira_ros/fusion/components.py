"""What hangs together: components of voxels, and of points by the cells that they lie in."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.lifting import pack, unpack

# Parts of an instance are connected across gaps of this many voxels, as sampling leaves them on slanted surfaces.
COMPONENT_CELL_VOXELS = 3
# Components smaller than this share of the largest are flying voxels, not the other side of an occlusion.
COMPONENT_SHARE = 0.1


@numba.njit(nogil=True, cache=True)
def components(cells: NDArray[np.int32]) -> NDArray[np.int32]:
    """Find the components of (N, 3) cells sorted by x, y, z; neighbours share a corner at least.

    Returns (N,) int32, the index of the first cell of the component of each.
    """
    # Union-find over the 26-neighbourhood; cells are sorted by x, y, z, so lower neighbours are found by bisection.
    count = len(cells)
    parent = np.arange(count).astype(np.int32)
    for i in range(count):
        for dx in range(-1, 1):
            for dy in range(-1, 2):
                for dz in range(-1, 2):
                    if dx == 0 and (dy > 0 or (dy == 0 and dz >= 0)):
                        continue
                    x, y, z = cells[i, 0] + dx, cells[i, 1] + dy, cells[i, 2] + dz
                    low, high = 0, i
                    while low < high:
                        mid = (low + high) // 2
                        c = cells[mid]
                        if c[0] < x or (c[0] == x and (c[1] < y or (c[1] == y and c[2] < z))):
                            low = mid + 1
                        else:
                            high = mid
                    if low < i and cells[low, 0] == x and cells[low, 1] == y and cells[low, 2] == z:
                        a, b = i, low
                        while parent[a] != a:
                            parent[a] = parent[parent[a]]
                            a = parent[a]
                        while parent[b] != b:
                            parent[b] = parent[parent[b]]
                            b = parent[b]
                        parent[max(a, b)] = min(a, b)
    for i in range(count):
        a = i
        while parent[a] != a:
            a = parent[a]
        parent[i] = a
    return parent


def sizes_of_components(keys: NDArray[np.int64], edge: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Join (N,) voxel keys over cells of ``edge`` voxels that touch.

    Returns (N,) int32, which component each voxel belongs to, and the (M,) numbers of voxels of all of them; numbers
    that are no component have none.
    """
    cells, at = np.unique(pack(np.floor_divide(unpack(keys), edge)), return_inverse=True)
    component = components(unpack(cells))[at]
    return component, np.bincount(component, minlength=len(cells))


def without_flying_voxels(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which of (N,) sorted voxel keys belong to a component of at least a tenth of the largest one.

    Components are connected over gaps of up to COMPONENT_CELL_VOXELS voxels.
    """
    if len(keys) == 0:
        return np.zeros(0, dtype=np.bool_)
    component, sizes = sizes_of_components(keys, COMPONENT_CELL_VOXELS)
    return sizes[component] >= COMPONENT_SHARE * sizes.max()
