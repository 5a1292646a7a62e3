"""Composition: the map as the weighted sum of its fragments, block by block, composed where it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.pose import inverse
from lira_ros.mapping import composition_kernels, kernels, voxel
from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK, Fragment
from lira_ros.mapping.fragment_store import FragmentStore
from lira_ros.mapping.tsdf import Volume, hash_of_blocks

# Blocks that are made at once, about what fits into the cache of a core.
_CHUNK_BLOCKS = 64
# A fragment is on the grid when this far from it at most: rounding of poses, no visible part of a voxel.
_GRID_TOLERANCE_VOXELS = 1e-5
_GRID_TOLERANCE_ROTATION = 1e-9
# A map block of an unscaled fragment overlaps at most this many blocks of it, and the other way round.
_MOST_OVERLAPS = 27

_NO_LABELS = np.zeros((0, VOXELS_PER_BLOCK), dtype=np.uint16)
_NO_CONFIDENCE = np.zeros((0, VOXELS_PER_BLOCK), dtype=np.float32)


def grid_offset(T_map_fragment: NDArray[np.float64], voxel_size_m: float) -> NDArray[np.int64] | None:
    """Return by how many blocks (3,) a fragment lies off the map's origin, None unless its blocks are map blocks."""
    if np.abs(T_map_fragment[:3, :3] - np.eye(3)).max() > _GRID_TOLERANCE_ROTATION:
        return None
    blocks = T_map_fragment[:3, 3] / (BLOCK_SIZE * voxel_size_m)
    whole = np.rint(blocks)
    if np.abs(blocks - whole).max() * BLOCK_SIZE > _GRID_TOLERANCE_VOXELS:
        return None
    return whole.astype(np.int64)


def reached_blocks(
    blocks: NDArray[np.int32], T_map_fragment: NDArray[np.float64], voxel_size_m: float
) -> NDArray[np.int32]:
    """Return the (N, 3) map blocks that (B, 3) blocks of a frame off the grid reach, sorted; some may stay empty."""
    keys = np.empty(_MOST_OVERLAPS * len(blocks), dtype=np.int64)
    count = composition_kernels.reached_blocks(
        np.ascontiguousarray(blocks, dtype=np.int32),
        np.ascontiguousarray(T_map_fragment[:3, :3]),
        T_map_fragment[:3, 3] / voxel_size_m,
        keys,
    )
    return voxel.blocks_of_keys(np.unique(keys[:count]))


@dataclass(frozen=True)
class VoxelSource:
    """Blocks of voxels behind a hash, to be sampled at other places: a volume, or the arrays of a fragment.

    All channels are (B, 512); label and confidence may have no rows.
    """

    keys: NDArray[np.int64]
    values: NDArray[np.int32]
    tsdf: NDArray[np.float32]
    weight: NDArray[np.float32]
    red: NDArray
    green: NDArray
    blue: NDArray
    label: NDArray
    confidence: NDArray[np.float32]

    @classmethod
    def of_volume(cls, volume: Volume) -> VoxelSource:
        """Sample a volume as it is at the time of sampling."""
        tsdf, weight, red, green, blue, label, confidence = np.moveaxis(volume.records, 1, 0)
        return cls(volume.keys, volume.values, tsdf, weight, red, green, blue, label, confidence)

    @classmethod
    def of_fragment(cls, fragment: Fragment) -> VoxelSource:
        """Sample the voxels of a fragment."""
        keys, values = hash_of_blocks(fragment.block_coordinates)
        label, confidence = _labels_of(fragment)
        red, green, blue = np.moveaxis(fragment.color, 2, 0)
        return cls(keys, values, fragment.tsdf, fragment.weight, red, green, blue, label, confidence)

    def at(
        self, blocks: NDArray[np.int32], T_source_target: NDArray[np.float64], voxel_size_m: float, scale: float = 1.0
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.bool_]]]:
        """Interpolate (N, 3) blocks of another grid; yield (C, 3) blocks, (C, 7, 512) records, (C,) whether observed.

        T_source_target: (4, 4). voxel_size_m: of the source; a voxel of the other grid is ``scale`` times as large.
        The records are valid until the next ones are asked for.
        """
        rotation = np.ascontiguousarray(scale * T_source_target[:3, :3])
        offset = T_source_target[:3, 3] / voxel_size_m
        records = np.empty((min(_CHUNK_BLOCKS, len(blocks)), voxel.CHANNELS, VOXELS_PER_BLOCK), dtype=np.float32)
        for first in range(0, len(blocks), _CHUNK_BLOCKS):
            chunk = np.ascontiguousarray(blocks[first : first + _CHUNK_BLOCKS], dtype=np.int32)
            observed = np.empty(len(chunk), dtype=np.bool_)
            composition_kernels.resample(
                chunk,
                rotation,
                offset,
                self.keys,
                self.values,
                self.tsdf,
                self.weight,
                self.red,
                self.green,
                self.blue,
                self.label,
                self.confidence,
                records,
                observed,
            )
            yield chunk, records, observed


def _labels_of(fragment: Fragment) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    if fragment.label is None or fragment.label_confidence is None:
        return _NO_LABELS, _NO_CONFIDENCE
    return fragment.label, fragment.label_confidence


def add_to_volume(volume: Volume, fragment: Fragment, rows: NDArray[np.int64], offset_blocks: NDArray[np.int64]) -> int:
    """Add the blocks of a fragment in (R,) ``rows`` to a volume on the same grid; return how many had no room.

    offset_blocks: (3,) by how many blocks they lie further in the volume.
    """
    fragment, rows = _in_memory(fragment, rows)
    label, confidence = _labels_of(fragment)
    refused = 0
    records = np.empty((min(_CHUNK_BLOCKS, len(rows)), voxel.CHANNELS, VOXELS_PER_BLOCK), dtype=np.float32)
    for first in range(0, len(rows), _CHUNK_BLOCKS):
        chunk = np.ascontiguousarray(rows[first : first + _CHUNK_BLOCKS], dtype=np.int64)
        composition_kernels.unpack(chunk, fragment.tsdf, fragment.weight, fragment.color, label, confidence, records)
        refused += add_records(volume, fragment.block_coordinates[chunk] + offset_blocks.astype(np.int32), records)
    return refused


def add_records(volume: Volume, blocks: NDArray[np.int32], records: NDArray[np.float32]) -> int:
    """Add records, of which (B, 7, 512) are used, to (B, 3) blocks of a volume; return how many had no room."""
    indices = volume.allocate(blocks)
    # New blocks are zero: adding to them gives the same bits as copying.
    kernels.merge(volume.records, indices, records, volume.capacity)
    return int((indices < 0).sum())


@dataclass(frozen=True)
class _Reach:
    # The map blocks of one fragment. On the grid, block i is that of row i of the fragment, `offset` further.
    blocks: NDArray[np.int32]
    lower: NDArray[np.int32]
    upper: NDArray[np.int32]
    offset: NDArray[np.int64] | None

    def within(self, lower: NDArray[np.int32], upper: NDArray[np.int32]) -> bool:
        return len(self.blocks) > 0 and bool((self.lower <= upper).all() and (self.upper >= lower).all())


class Composition:
    """The map by block: the weighted sum of the closed fragments, kept in a volume on the grid of the map.

    Fragments whose voxels coincide with those of the map are added exactly when they come. Others are interpolated.
    Blocks that a moved or removed fragment has touched are stale and composed again when they are required.
    """

    def __init__(self, store: FragmentStore, voxel_size_m: float, truncation_m: float, maximum_blocks: int) -> None:
        """Compose the fragments of a store, of which this is from now on the only writer; it must be empty."""
        self._store = store
        self.volume = Volume(voxel_size_m, truncation_m, maximum_blocks)
        self.refused_blocks = 0
        self._reaches: dict[int, _Reach] = {}
        # Sorted keys of blocks that fragments touch, or have touched, and whose content in the volume is not valid.
        self._stale = np.zeros(0, dtype=np.int64)

    # --- fragments ------------------------------------------------------------------------------------------------

    def put(self, fragment: Fragment, later: bool = False) -> NDArray[np.int32]:
        """Take a fragment, new or a newer revision of a known id; return the (B, 3) map blocks that it changes.

        ``later`` leaves all of them to require().
        """
        before = self._reaches.get(fragment.id)
        if before is None and not later:
            self.add_rows(fragment, np.arange(len(fragment.block_coordinates)))
            return self.register(fragment)
        changed = self.register(fragment)
        if before is not None:
            changed = voxel.unique_blocks(np.concatenate([changed, before.blocks]))
        self._mark_stale(changed)
        return changed

    def add_rows(self, fragment: Fragment, rows: NDArray[np.int64]) -> None:
        """Add (R,) rows of a new fragment ahead of register(), so that the cost can be spread; off the grid nothing."""
        offset = grid_offset(fragment.T_map_fragment, self.volume.voxel_size_m)
        if offset is None:
            return
        if len(self._stale):
            keys = voxel.block_keys(fragment.block_coordinates[rows] + offset.astype(np.int32))
            rows = rows[~voxel.contained_in(keys, self._stale)]
        self.refused_blocks += add_to_volume(self.volume, fragment, rows, offset)

    def register(self, fragment: Fragment) -> NDArray[np.int32]:
        """Store a fragment of which add_rows() was given every row; return the (B, 3) map blocks that it changes."""
        self._store.put(fragment)
        reach = self._reaches[fragment.id] = self._reach_of(fragment.id)
        if reach.offset is None:
            self._mark_stale(reach.blocks)
        return reach.blocks

    def move(self, poses: Mapping[int, NDArray[np.float64]]) -> NDArray[np.int32]:
        """Give fragments other (4, 4) poses and the next revision; return the (B, 3) map blocks stale by that."""
        touched = [np.zeros(0, dtype=np.int64)]
        for fragment_id, pose in poses.items():
            touched.append(voxel.block_keys(self._reaches[fragment_id].blocks))
            self._store.move(fragment_id, pose)
            self._reaches[fragment_id] = self._reach_of(fragment_id)
            touched.append(voxel.block_keys(self._reaches[fragment_id].blocks))
        keys = np.unique(np.concatenate(touched))
        self._stale = np.union1d(self._stale, keys) if len(self._stale) else keys
        return voxel.blocks_of_keys(keys)

    def remove(self, ids: Iterable[int]) -> NDArray[np.int32]:
        """Forget fragments; return the (B, 3) map blocks stale by that."""
        gone = [fragment_id for fragment_id in ids if fragment_id in self._reaches]
        touched = [self._reaches.pop(fragment_id).blocks for fragment_id in gone]
        self._store.remove(gone)
        stale = voxel.unique_blocks(np.concatenate([np.zeros((0, 3), dtype=np.int32), *touched]))
        self._mark_stale(stale)
        return stale

    def clear(self) -> None:
        """Forget all fragments and give the memory back."""
        self._store.clear()
        self.volume.release()
        self.refused_blocks = 0
        self._reaches.clear()
        self._stale = np.zeros(0, dtype=np.int64)

    def _reach_of(self, fragment_id: int) -> _Reach:
        pose = self._store.pose(fragment_id)
        blocks = self._store.block_coordinates(fragment_id)
        offset = grid_offset(pose, self.volume.voxel_size_m)
        if offset is None:
            blocks = reached_blocks(blocks, pose, self.volume.voxel_size_m)
        else:
            blocks = blocks + offset.astype(np.int32)
        corners = blocks if len(blocks) else np.zeros((1, 3), dtype=np.int32)
        return _Reach(blocks, corners.min(axis=0), corners.max(axis=0), offset)

    # --- blocks ---------------------------------------------------------------------------------------------------

    def blocks(self) -> NDArray[np.int32]:
        """Return the (B, 3) map blocks that some fragment reaches, sorted."""
        return self.blocks_of(self._reaches)

    def blocks_of(self, ids: Iterable[int]) -> NDArray[np.int32]:
        """Return the (B, 3) map blocks that any of these fragments reaches, sorted."""
        reached = [self._reaches[fragment_id].blocks for fragment_id in ids]
        return voxel.unique_blocks(np.concatenate([np.zeros((0, 3), dtype=np.int32), *reached]))

    @property
    def stale_count(self) -> int:
        """Return how many blocks would have to be composed to have the whole map at hand."""
        return len(self._stale)

    def stale_among(self, blocks: NDArray[np.int32] | None) -> NDArray[np.int32]:
        """Return those of (B, 3) blocks (None: of all) that require() would compose, sorted."""
        if blocks is None or len(self._stale) == 0:
            return voxel.blocks_of_keys(self._stale)
        keys = np.unique(voxel.block_keys(blocks))
        return voxel.blocks_of_keys(keys[voxel.contained_in(keys, self._stale)])

    def without_resident(self, blocks: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return those of (B, 3) blocks that no fragment in memory reaches, sorted."""
        keys = np.unique(voxel.block_keys(blocks))
        if len(keys) == 0:
            return blocks
        lower, upper = blocks.min(axis=0), blocks.max(axis=0)
        reached = [
            voxel.block_keys(reach.blocks)
            for fragment_id, reach in self._reaches.items()
            if reach.within(lower, upper) and self._store.is_resident(fragment_id)
        ]
        if reached:
            keys = keys[~voxel.contained_in(keys, np.unique(np.concatenate(reached)))]
        return voxel.blocks_of_keys(keys)

    def require(self, blocks: NDArray[np.int32] | None = None) -> None:
        """Compose what is stale or missing among (B, 3) blocks, None: among all; the others stay as they are."""
        if len(self._stale) == 0:
            return
        wanted = self.stale_among(blocks)
        if len(wanted):
            self._compose(wanted)
            self._stale = self._stale[~voxel.contained_in(self._stale, voxel.block_keys(wanted))]

    def forget(self, blocks: NDArray[np.int32]) -> None:
        """Drop (B, 3) blocks of fragments from memory; require() brings them back."""
        self.volume.discard(blocks)
        self._mark_stale(blocks)

    def _mark_stale(self, blocks: NDArray[np.int32]) -> None:
        self._stale = np.union1d(self._stale, voxel.block_keys(blocks))

    def _compose(self, blocks: NDArray[np.int32]) -> None:
        # blocks: distinct. Fragments are added in the order of their ids, as when they came.
        indices = self.volume.find(blocks)
        self.volume.records[indices[indices >= 0]] = 0.0
        keys, values = hash_of_blocks(blocks)
        lower, upper = blocks.min(axis=0), blocks.max(axis=0)
        filled = np.zeros(len(blocks), dtype=np.bool_)
        for fragment_id in sorted(self._reaches):
            reach = self._reaches[fragment_id]
            if not reach.within(lower, upper):
                continue
            place = np.empty(len(reach.blocks), dtype=np.int32)
            kernels.find_all(keys, values, reach.blocks, place)
            rows = np.nonzero(place >= 0)[0]
            if len(rows) == 0:
                continue
            fragment = self._store.get(fragment_id)
            if reach.offset is not None:
                self.refused_blocks += add_to_volume(self.volume, fragment, rows, reach.offset)
                filled[place[rows]] = True
            else:
                observed = self._add_resampled(fragment, reach.blocks[rows])
                filled[place[rows]] |= observed
        self.volume.discard(blocks[~filled])

    def _add_resampled(self, fragment: Fragment, blocks: NDArray[np.int32]) -> NDArray[np.bool_]:
        fragment, _ = _in_memory(fragment, np.arange(len(fragment.block_coordinates)))
        source = VoxelSource.of_fragment(fragment)
        filled = []
        for chunk, records, observed in source.at(blocks, inverse(fragment.T_map_fragment), self.volume.voxel_size_m):
            self.refused_blocks += add_records(self.volume, chunk[observed], records[: len(chunk)][observed])
            filled.append(observed)
        return np.concatenate(filled)


def _in_memory(fragment: Fragment, rows: NDArray[np.int64]) -> tuple[Fragment, NDArray[np.int64]]:
    # What is mapped from a file is read once, and the compiled loops see arrays of one kind.
    if fragment.tsdf.flags.writeable:
        return fragment, rows
    return fragment.taken(rows), np.arange(len(rows))
