"""Which part of the surfaces that a keyframe shows was already looked at: coarse voxels, numbered once for all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.frame import Keyframe
from lira_ros.geometry.pose import transform_points
from lira_ros.state.columns import Array

# Coarser than the noise of depth cameras over a room and than the drift between two looks, finer than furniture.
VOXEL_M = 0.1
# Enough that pixels 10 m away are still closer to each other than voxels are large (62 degrees across 160 pixels).
SAMPLED_PIXELS = 160 * 120
# What is farther is not lifted into voxels by the fusion (fusion.max_depth_m) and small in the picture: to have seen it
# from there does not count, nor does it call for an answer.
MAX_DEPTH_M = 5.0
# 5 000 m2 of surface, a large building; 6 MB, and 2 MB for every instruction.
MAX_VOXELS = 500_000
# Coordinates are packed into 21 bits each: 100 km to each side.
_KEY_BITS = 21
_KEY_BIAS = 1 << (_KEY_BITS - 1)


@dataclass(frozen=True)
class Surface:
    """What a keyframe shows: (V,) numbers of distinct voxels, and (V,) how many of its sampled pixels lie on each."""

    voxels: NDArray[np.int32]
    pixels: NDArray[np.int64]


class SurfaceIndex:
    """Numbers voxels in the order in which they are first seen. Not thread-safe: it has one owner."""

    STATE: ClassVar[dict[str, Any]] = {"_keys": Array("<i8", ("voxels",)), "_numbers": Array("<i4", ("voxels",))}

    def __init__(self) -> None:
        self._keys = np.zeros(0, dtype=np.int64)  # sorted
        self._numbers = np.zeros(0, dtype=np.int32)  # of these keys

    def __len__(self) -> int:
        """Return how many voxels are numbered, which is one more than the highest number."""
        return len(self._keys)

    def check_state(self) -> None:
        """Raise ValueError when voxels are not sorted, or not numbered without gaps."""
        if not (self._keys[1:] > self._keys[:-1]).all():
            raise ValueError("voxels must ascend")
        if not np.array_equal(np.sort(self._numbers), np.arange(len(self._numbers))):
            raise ValueError("voxels must be numbered without gaps")

    def add(self, keyframe: Keyframe) -> Surface:
        """Return what a keyframe shows; voxels that nobody saw before get the next numbers.

        A keyframe without depth up to MAX_DEPTH_M shows nothing: what is drawn into it could not be lifted either.
        """
        keys, counts = np.unique(_voxel_keys(keyframe), return_counts=True)
        places = np.searchsorted(self._keys, keys)
        known = np.zeros(len(keys), dtype=np.bool_)
        inside = places < len(self._keys)
        known[inside] = self._keys[places[inside]] == keys[inside]
        fresh = np.arange(len(self._keys), len(self._keys) + np.count_nonzero(~known), dtype=np.int32)
        self._numbers = np.insert(self._numbers, places[~known], fresh)
        self._keys = np.insert(self._keys, places[~known], keys[~known])
        numbers = self._numbers[np.searchsorted(self._keys, keys)]
        return Surface(numbers, counts)

    def keep(self, surfaces: Iterable[Surface]) -> NDArray[np.int32]:
        """Forget all voxels but those of some surfaces; return the (old count,) new numbers, -1 for what is gone.

        Numbers that are kept stay in their order. Whoever holds surfaces and coverages renumbers them with the answer.
        """
        wanted = np.zeros(len(self._keys), dtype=np.bool_)
        for surface in surfaces:
            wanted[surface.voxels] = True
        renumbered = np.where(wanted, np.cumsum(wanted) - 1, -1).astype(np.int32)
        kept = wanted[self._numbers]
        self._keys, self._numbers = self._keys[kept], renumbered[self._numbers[kept]]
        return renumbered


class Coverage:
    """How many answers cover each voxel of an index; it grows with the index."""

    STATE: ClassVar[dict[str, Any]] = {"_counts": Array("<i4", ("voxels",))}

    def __init__(self) -> None:
        self._counts = np.zeros(0, dtype=np.int32)

    def check_state(self) -> None:
        """Raise ValueError for counts below zero."""
        if len(self._counts) and int(self._counts.min()) < 0:
            raise ValueError("a surface cannot be covered less than not at all")

    def copy(self) -> Coverage:
        """Return one that changes on its own."""
        result = Coverage()
        result._counts = self._counts.copy()
        return result

    def cover(self, surface: Surface) -> None:
        """Count a surface as looked at."""
        if len(surface.voxels) == 0:
            return
        missing = int(surface.voxels.max()) + 1 - len(self._counts)
        if missing > 0:
            # Some more than are needed: the next keyframe shows a little more again.
            self._counts = np.concatenate((self._counts, np.zeros(missing + len(self._counts) // 4, dtype=np.int32)))
        self._counts[surface.voxels] += 1

    def uncover(self, surface: Surface) -> None:
        """Take back one cover() of the same surface."""
        self._counts[surface.voxels] -= 1

    def new_share(self, surface: Surface) -> float:
        """Return which part of the pixels of a surface falls on voxels that nothing covers, in [0, 1]."""
        beyond = surface.voxels >= len(self._counts)
        if beyond.any():
            inside = np.flatnonzero(~beyond)
            uncovered = beyond
            uncovered[inside] = self._counts[surface.voxels[inside]] == 0
        else:
            uncovered = self._counts[surface.voxels] == 0
        return int(surface.pixels[uncovered].sum()) / max(1, int(surface.pixels.sum()))

    def renumber(self, renumbered: NDArray[np.int32]) -> None:
        """Follow SurfaceIndex.keep()."""
        counts = np.zeros(int(renumbered.max(initial=-1)) + 1, dtype=np.int32)
        before = np.flatnonzero(renumbered[: len(self._counts)] >= 0)
        counts[renumbered[before]] = self._counts[before]
        self._counts = counts


def _voxel_keys(keyframe: Keyframe) -> NDArray[np.int64]:
    """Return the packed voxel of every sampled pixel with depth."""
    frame = keyframe.frame
    stride = max(1, int(np.sqrt(frame.depth_m.size / SAMPLED_PIXELS)))
    v = np.arange(stride // 2, frame.camera.height_px, stride)
    u = np.arange(stride // 2, frame.camera.width_px, stride)
    depth_m = frame.depth_m[v[:, None], u[None, :]].astype(np.float64)
    rows, columns = np.nonzero((depth_m > 0) & (depth_m <= MAX_DEPTH_M))
    z = depth_m[rows, columns]
    x = (u[columns] - frame.camera.cx) / frame.camera.fx * z
    y = (v[rows] - frame.camera.cy) / frame.camera.fy * z
    points = transform_points(frame.T_map_camera, np.stack([x, y, z], axis=-1))
    voxels = np.clip(np.floor(points / VOXEL_M), -_KEY_BIAS, _KEY_BIAS - 1).astype(np.int64)
    ix, iy, iz = (voxels + _KEY_BIAS).T
    return np.asarray(ix << (2 * _KEY_BITS) | iy << _KEY_BITS | iz, dtype=np.int64)
