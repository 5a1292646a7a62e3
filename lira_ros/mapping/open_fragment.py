"""OpenFragment: the fragment that frames go into, and what becomes of it when it is closed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.pose import inverse
from lira_ros.mapping import composition_kernels, pages
from lira_ros.mapping.composition import Composition, VoxelSource, add_to_volume, grid_offset, reached_blocks
from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK, Fragment
from lira_ros.mapping.tsdf import Volume

_NO_LABELS = np.zeros((0, VOXELS_PER_BLOCK), dtype=np.uint16)
_NO_CONFIDENCE = np.zeros((0, VOXELS_PER_BLOCK), dtype=np.float32)


def _unwritten(
    volume: Volume,
    fragment_id: int,
    revision: int,
    stamp_ns: int,
    T_map_fragment: NDArray[np.float64],
    keyframe_ids: tuple[int, ...],
    labelled: bool,
) -> Fragment:
    # A fragment with the blocks of a volume; its voxels are what _export() writes later.
    shape = (volume.block_count, VOXELS_PER_BLOCK)
    return Fragment(
        fragment_id,
        revision,
        stamp_ns,
        T_map_fragment.copy(),
        volume.voxel_size_m,
        volume.truncation_m,
        keyframe_ids,
        volume.block_coordinates.copy(),
        pages.empty(shape, np.float32),
        pages.empty(shape, np.float32),
        pages.empty((*shape, 3), np.uint8),
        pages.empty(shape, np.uint16) if labelled else None,
        pages.empty(shape, np.float32) if labelled else None,
    )


def _export(volume: Volume, fragment: Fragment, first: int, end: int) -> None:
    # Copy rows `first` to `end` of the fragment out of its volume.
    label, confidence = fragment.label, fragment.label_confidence
    composition_kernels.export(
        volume.records,
        volume.find(fragment.block_coordinates[first:end]),
        first,
        fragment.tsdf,
        fragment.weight,
        fragment.color,
        _NO_LABELS if label is None else label,
        _NO_CONFIDENCE if confidence is None else confidence,
    )


class OpenFragment:
    """The volume that frames are integrated into, with its pose in the map.

    volume: in the frame of the fragment. T_map_fragment: (4, 4). keyframe_ids, frames, stamp_ns: of what went in.

    When it is closed, its volume is swapped with an empty one, and the voxels move into a fragment and the composition
    a few blocks at a time, so that no frame waits for them.
    """

    def __init__(
        self,
        composition: Composition,
        voxel_size_m: float,
        truncation_m: float,
        maximum_blocks: int,
        volume_class: Callable[[float, float, int], Volume] = Volume,
    ) -> None:
        """Make an empty one whose voxels go into ``composition`` when it is closed; volume_class: of its device."""
        self.volume, self._spare = (volume_class(voxel_size_m, truncation_m, maximum_blocks) for _ in range(2))
        self._composition = composition
        self._maximum_blocks = maximum_blocks
        self._closing: Fragment | None = None
        self._left = 0
        self._forget()

    def _forget(self) -> None:
        self.T_map_fragment = np.eye(4)
        self.offset_blocks: NDArray[np.int64] | None = np.zeros(3, dtype=np.int64)
        self.frames = 0
        self.keyframe_ids: list[int] = []
        self.stamp_ns = 0
        self._labelled = False
        # The same voxels on the grid of the map, while the fragment does not lie on it.
        self._aligned: Volume | None = None

    def release(self) -> None:
        """Forget everything, what is being closed included, and give the memory back."""
        self.volume.release()
        self._spare.release()
        self._closing = None
        self._forget()

    @property
    def bytes_used(self) -> int:
        """Return the memory of its voxels, of those being put away and of the copy on the grid of the map [bytes]."""
        volumes = (self.volume, self._spare) if self._aligned is None else (self.volume, self._spare, self._aligned)
        waiting = 0 if self._closing is None else self._closing.nbytes
        return sum(volume.bytes_used for volume in volumes) + waiting

    # --- frames in ------------------------------------------------------------------------------------------------

    def start_at(self, position_m: NDArray[np.float64]) -> None:
        """Let the first frame come from about here: near its origin a volume in float32 resolves micrometres."""
        block_m = BLOCK_SIZE * self.volume.voxel_size_m
        self.offset_blocks = np.floor(position_m / block_m).astype(np.int64)
        self.T_map_fragment = np.eye(4)
        self.T_map_fragment[:3, 3] = self.offset_blocks * block_m

    def note_frame(self, stamp_ns: int, labelled: bool) -> None:
        """Count a frame that was integrated into the volume."""
        self.frames += 1
        self.stamp_ns = max(stamp_ns, self.stamp_ns)
        self._labelled |= labelled

    def take_warning(self) -> str | None:
        """Return once what has gone wrong with the device of the volumes, None while all is well."""
        warnings = [warning for warning in (self.volume.take_warning(), self._spare.take_warning()) if warning]
        return warnings[0] if warnings else None

    # --- in the map -----------------------------------------------------------------------------------------------

    def in_map(self) -> tuple[Volume, NDArray[np.int64]]:
        """Return the voxels on the grid of the map, and by how many blocks (3,) they lie further there.

        They are as of the last take_dirty() or move().
        """
        if self._aligned is not None:
            return self._aligned, np.zeros(3, dtype=np.int64)
        assert self.offset_blocks is not None
        return self.volume, self.offset_blocks

    def blocks_in_map(self) -> NDArray[np.int32]:
        """Return the (B, 3) map blocks that have some of it."""
        volume, offset = self.in_map()
        return volume.block_coordinates + offset.astype(np.int32)

    def take_dirty(self) -> NDArray[np.int32]:
        """Return the (B, 3) map blocks changed since the last call."""
        dirty = self.volume.take_dirty()
        if self._aligned is None:
            return dirty + self.in_map()[1].astype(np.int32)
        return self._align(dirty, self._aligned)

    def move(self, T_map_fragment: NDArray[np.float64]) -> NDArray[np.int32]:
        """Lie elsewhere from now on; return the (B, 3) map blocks that are touched by that."""
        before = self.blocks_in_map()
        self.T_map_fragment = T_map_fragment.copy()
        self.offset_blocks = grid_offset(T_map_fragment, self.volume.voxel_size_m)
        self.volume.take_dirty()
        self._aligned = None
        if self.offset_blocks is None:
            self._aligned = Volume(self.volume.voxel_size_m, self.volume.truncation_m, self._maximum_blocks)
            after = self._align(self.volume.block_coordinates, self._aligned)
        else:
            after = self.blocks_in_map()
        return np.concatenate([before, after])

    def _align(self, blocks: NDArray[np.int32], aligned: Volume) -> NDArray[np.int32]:
        voxel_m = self.volume.voxel_size_m
        reached = reached_blocks(blocks, self.T_map_fragment, voxel_m)
        source = VoxelSource.of_volume(self.volume)
        for chunk, records, observed in source.at(reached, inverse(self.T_map_fragment), voxel_m):
            known = aligned.find(chunk)
            aligned.records[known[~observed & (known >= 0)]] = 0.0
            indices = aligned.allocate(chunk[observed])
            aligned.records[indices[indices >= 0]] = records[: len(chunk)][observed][indices >= 0]
        return reached

    # --- out as a fragment ----------------------------------------------------------------------------------------

    def snapshot(self, fragment_id: int) -> Fragment:
        """Return a fragment with a copy of the voxels as they are."""
        fragment = self._as_fragment(fragment_id)
        _export(self.volume, fragment, 0, len(fragment.block_coordinates))
        return fragment

    def _as_fragment(self, fragment_id: int) -> Fragment:
        return _unwritten(
            self.volume, fragment_id, 1, self.stamp_ns, self.T_map_fragment, tuple(self.keyframe_ids), self._labelled
        )

    def joined_with(self, last: Fragment) -> Fragment | None:
        """Return the next revision of a fragment with these voxels added, None where they do not fit its grid."""
        offset = grid_offset(inverse(last.T_map_fragment) @ self.T_map_fragment, self.volume.voxel_size_m)
        if offset is None:
            return None
        count = len(last.block_coordinates)
        both = Volume(self.volume.voxel_size_m, self.volume.truncation_m, count + self.volume.block_count)
        add_to_volume(both, last, np.arange(count), np.zeros(3, dtype=np.int64))
        both.merge(self.volume, offset)
        labelled = self._labelled or last.label is not None
        stamp_ns = max(self.stamp_ns, last.stamp_ns)
        fragment = _unwritten(
            both, last.id, last.revision + 1, stamp_ns, last.T_map_fragment, last.keyframe_ids, labelled
        )
        _export(both, fragment, 0, both.block_count)
        return fragment

    def discard(self) -> None:
        """Empty the volume after what was in it has gone elsewhere."""
        self.volume.clear()
        self._forget()

    def close(self, fragment_id: int) -> None:
        """Be empty from now on; advance() makes a fragment of what there was. Nothing else may be being closed."""
        self._closing, self._left = self._as_fragment(fragment_id), self.volume.block_count
        self.volume, self._spare = self._spare, self.volume
        self._forget()

    @property
    def is_closing(self) -> bool:
        """Return whether advance() has still something to do."""
        return self._closing is not None

    @property
    def closing_blocks(self) -> int:
        """Return how many blocks the fragment has that is being closed, 0 when none is."""
        return 0 if self._closing is None else len(self._closing.block_coordinates)

    @property
    def closing_blocks_left(self) -> int:
        """Return how many of them advance() has still to move."""
        return 0 if self._closing is None else self._left

    def advance(self, blocks: int) -> Fragment | None:
        """Move up to ``blocks`` blocks of what is being closed; return the fragment once it is in the composition."""
        fragment = self._closing
        if fragment is None:
            return None
        # From the last block on, so that what is taken out of the volume leaves no hole.
        first, end = max(self._left - blocks, 0), self._left
        _export(self._spare, fragment, first, end)
        self._composition.add_rows(fragment, np.arange(first, end))
        self._spare.discard(fragment.block_coordinates[first:end][::-1])
        self._left = first
        if first > 0:
            return None
        self._composition.register(fragment)
        self._spare.clear()
        self._closing = None
        return fragment
