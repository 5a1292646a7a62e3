"""The surfaces of fragments, to which the voxels of instances are drawn once they are mapped."""

from __future__ import annotations

import copy
import math
from typing import Annotated, Any, ClassVar

import numba
import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.lifting import KEY_BITS, KEY_OFFSET, pack, unpack
from lira_ros.geometry.pose import inverse
from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK, Fragment
from lira_ros.state.columns import Array

# Distances are kept as 8-bit fractions of the truncation distance: a step of 1 mm at a truncation of 0.12 m.
DISTANCE_STEPS = 127.0
UNOBSERVED = -128
# A voxel is drawn to a surface within this many voxels (the sensor noise at range, section 7 of the mapping
# measurements: below 4 cm); what is farther from any surface of a mapped place is a flying voxel.
SNAP_VOXELS = 2.0

NOT_COVERED = 0
SNAPPED = 1
FLYING = 2


class FragmentSurface:
    """The signed distances of one fragment, compact, for looking up."""

    STATE: ClassVar[dict[str, Any]] = {
        "id": int,
        "revision": int,
        "voxel_size_m": float,
        "truncation_m": float,
        "keys": Array("<i8", ("blocks",)),
        "distances": Array("|i1", ("blocks", VOXELS_PER_BLOCK)),
        "_low": Array("<f8", (3,)),
        "_high": Array("<f8", (3,)),
        "T_fragment_map": Array("<f8", (4, 4)),
        "low": Array("<f8", (3,), finite=False),  # of a fragment without voxels there is no box
        "high": Array("<f8", (3,), finite=False),
    }

    def __init__(self, fragment: Fragment, min_weight: float) -> None:
        self.id = fragment.id
        self.revision = fragment.revision
        self.voxel_size_m = fragment.voxel_size_m
        self.truncation_m = fragment.truncation_m
        keys = pack(fragment.block_coordinates) if len(fragment.block_coordinates) else np.zeros(0, dtype=np.int64)
        order = np.argsort(keys)
        self.keys = keys[order]
        observed = fragment.weight[order] >= min_weight
        steps = np.rint(np.clip(fragment.tsdf[order], -1.0, 1.0) * DISTANCE_STEPS)
        self.distances = np.where(observed, steps, UNOBSERVED).astype(np.int8)
        edge = BLOCK_SIZE * fragment.voxel_size_m
        blocks = fragment.block_coordinates if len(keys) else np.zeros((1, 3), dtype=np.int32)
        self._low, self._high = blocks.min(axis=0) * edge, (blocks.max(axis=0) + 1) * edge
        self.place(fragment.T_map_fragment)

    def check_state(self) -> None:
        """Raise ValueError for what no fragment has."""
        if not (self.voxel_size_m > 0 and self.truncation_m > 0):
            raise ValueError(f"fragment {self.id}: sizes must be positive")
        if len(self.keys) and (int(self.keys[0]) < 0 or not (self.keys[1:] > self.keys[:-1]).all()):
            raise ValueError(f"fragment {self.id}: block keys must not be negative, and must ascend")

    def place(self, T_map_fragment: NDArray[np.float64]) -> None:
        """Take over a (4, 4) pose, the first or a corrected one."""
        self.T_fragment_map = inverse(T_map_fragment)
        self.low, self.high = np.full(3, np.inf), np.full(3, -np.inf)
        if len(self.keys):
            corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
            points = (self._low + corners * (self._high - self._low)) @ T_map_fragment[:3, :3].T + T_map_fragment[:3, 3]
            self.low, self.high = points.min(axis=0), points.max(axis=0)

    def overlaps(self, low: NDArray[np.floating], high: NDArray[np.floating]) -> bool:
        """Tell whether the fragment's bounds meet the box from ``low`` to ``high`` [m] in the map frame."""
        return bool((self.low <= high).all() and (low <= self.high).all())


class FragmentSurfaces:
    """The newest revision of every fragment; the newest fragment that covers a place decides."""

    STATE: ClassVar[dict[str, Any]] = {
        "_surfaces": dict[int, FragmentSurface],
        "_poses": dict[int, tuple[int, Annotated[NDArray[np.float64], Array("<f8", (4, 4))]]],
    }

    def __init__(self, max_fragments: int, min_weight: float) -> None:
        self._surfaces: dict[int, FragmentSurface] = {}
        # Poses may overtake the fragment that they are about: by fragment id, the newest revision and pose.
        self._poses: dict[int, tuple[int, NDArray[np.float64]]] = {}
        self._max_fragments = max_fragments
        self._min_weight = min_weight

    def __len__(self) -> int:
        return len(self._surfaces)

    def add(self, fragment: Fragment) -> tuple[FragmentSurface, ...]:
        """Keep a fragment in place of its older revision; return the surfaces that changed, () for an old revision."""
        before = self._surfaces.get(fragment.id)
        if before is not None and before.revision >= fragment.revision:
            return ()
        surface = FragmentSurface(fragment, self._min_weight)
        revision, T_map_fragment = self._poses.get(fragment.id, (0, fragment.T_map_fragment))
        if revision > fragment.revision:
            surface.place(T_map_fragment)
        self._surfaces[fragment.id] = surface
        changed = [surface] if before is None else [surface, before]
        while len(self._surfaces) > self._max_fragments:
            changed.append(self._surfaces.pop(min(self._surfaces)))
        return tuple(changed)

    def place(
        self, fragment_id: int, revision: int, T_map_fragment: NDArray[np.float64]
    ) -> tuple[FragmentSurface, ...]:
        """Move a fragment that is here or still to come; return it as it was and as it is, () when nothing moved."""
        if self._poses.get(fragment_id, (0,))[0] >= revision:
            return ()
        self._poses[fragment_id] = (revision, T_map_fragment)
        before = self._surfaces.get(fragment_id)
        if before is None or before.revision >= revision:
            return ()
        after = copy.copy(before)
        after.place(T_map_fragment)
        self._surfaces[fragment_id] = after
        return before, after

    def remove(self, fragment_id: int) -> FragmentSurface | None:
        """Forget a fragment; return it as it was, None when it was not there."""
        return self._surfaces.pop(fragment_id, None)

    def clear(self) -> None:
        """Forget all fragments."""
        self._surfaces.clear()
        self._poses.clear()

    def snap(self, keys: NDArray[np.int64], voxel_size_m: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Draw (N,) voxels to the mapped surface.

        Returns (N,) keys, moved along the gradient of the distance by at most SNAP_VOXELS where a fragment
        covers them, and (N,) bool that is False for flying voxels, farther than that from any surface there.
        Voxels that no fragment covers stay as they are.
        """
        moved = unpack(keys).astype(np.float64) * voxel_size_m
        state = np.zeros(len(keys), dtype=np.uint8)
        if len(keys) == 0:
            return keys, state == NOT_COVERED
        low, high = moved.min(axis=0), moved.max(axis=0)
        for fragment_id in sorted(self._surfaces, reverse=True):
            surface = self._surfaces[fragment_id]
            if surface.overlaps(low, high):
                _snap(
                    moved,
                    state,
                    surface.T_fragment_map,
                    surface.keys,
                    surface.distances,
                    surface.voxel_size_m,
                    surface.truncation_m,
                    SNAP_VOXELS * voxel_size_m,
                )
        return pack(np.rint(moved / voxel_size_m).astype(np.int64)), state != FLYING


@numba.njit(inline="always")
def _distance(keys: NDArray[np.int64], distances: NDArray[np.int8], x: int, y: int, z: int) -> int:
    bx, by, bz = x >> 3, y >> 3, z >> 3
    key = (
        ((np.int64(bx) + KEY_OFFSET) << (2 * KEY_BITS)) | ((np.int64(by) + KEY_OFFSET) << KEY_BITS) | (bz + KEY_OFFSET)
    )
    low = np.searchsorted(keys, key)
    if low == len(keys) or keys[low] != key:
        return UNOBSERVED
    return distances[low, (x & 7) + BLOCK_SIZE * (y & 7) + BLOCK_SIZE * BLOCK_SIZE * (z & 7)]


@numba.njit(nogil=True, cache=True)
def _snap(
    points: NDArray[np.float64],
    state: NDArray[np.uint8],
    t: NDArray[np.float64],
    keys: NDArray[np.int64],
    distances: NDArray[np.int8],
    voxel_size_m: float,
    truncation_m: float,
    limit_m: float,
) -> None:
    for i in range(len(points)):
        if state[i] != NOT_COVERED:
            continue
        p = points[i]
        q0 = (t[0, 0] * p[0] + t[0, 1] * p[1] + t[0, 2] * p[2] + t[0, 3]) / voxel_size_m
        q1 = (t[1, 0] * p[0] + t[1, 1] * p[1] + t[1, 2] * p[2] + t[1, 3]) / voxel_size_m
        q2 = (t[2, 0] * p[0] + t[2, 1] * p[1] + t[2, 2] * p[2] + t[2, 3]) / voxel_size_m
        x, y, z = math.floor(q0 + 0.5), math.floor(q1 + 0.5), math.floor(q2 + 0.5)
        centre = _distance(keys, distances, x, y, z)
        if centre == UNOBSERVED:
            continue
        if centre >= DISTANCE_STEPS:
            state[i] = FLYING
            continue
        gx = _slope(keys, distances, x, y, z, centre, 0)
        gy = _slope(keys, distances, x, y, z, centre, 1)
        gz = _slope(keys, distances, x, y, z, centre, 2)
        length = math.sqrt(gx * gx + gy * gy + gz * gz)
        d = centre / DISTANCE_STEPS * truncation_m
        if abs(d) > limit_m:
            # Behind the surface, deeper than the noise: the inside of a thing or of a thin wall seen from its
            # other side. Depth says nothing against it, so only what floats in front is dropped.
            state[i] = FLYING if d > 0 else NOT_COVERED
            continue
        state[i] = SNAPPED
        if length < 1e-6:
            continue
        # The gradient is in the fragment's axes; its rotation back into the map is the transpose of t's.
        step = d / length
        p[0] -= step * (t[0, 0] * gx + t[1, 0] * gy + t[2, 0] * gz)
        p[1] -= step * (t[0, 1] * gx + t[1, 1] * gy + t[2, 1] * gz)
        p[2] -= step * (t[0, 2] * gx + t[1, 2] * gy + t[2, 2] * gz)


@numba.njit(inline="always")
def _slope(
    keys: NDArray[np.int64], distances: NDArray[np.int8], x: int, y: int, z: int, centre: int, axis: int
) -> float:
    dx, dy, dz = int(axis == 0), int(axis == 1), int(axis == 2)
    after = _distance(keys, distances, x + dx, y + dy, z + dz)
    before = _distance(keys, distances, x - dx, y - dy, z - dz)
    if after == UNOBSERVED and before == UNOBSERVED:
        return 0.0
    if after == UNOBSERVED:
        return float(centre - before)
    if before == UNOBSERVED:
        return float(after - centre)
    return 0.5 * (after - before)
