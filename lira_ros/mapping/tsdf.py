"""Volume: a block-sparse TSDF with colour and label evidence, in one frame."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.depth import discontinuities
from lira_ros.mapping import kernels, voxel
from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK

BYTES_PER_BLOCK = voxel.CHANNELS * VOXELS_PER_BLOCK * 4
# A volume without a limit of its own stops here, before the machine starts to swap.
_MEMORY_SHARE = 0.5
_FIRST_TABLE_SLOTS = 1 << 13
# Blocks whose memory is asked for ahead of need, about what a frame at 2 cm adds at most.
_BLOCKS_AHEAD = 64
# Rays of neighbouring samples are at most this many pixels apart (Open3D touches with a stride of 4).
_MAXIMUM_STRIDE_PX = 4
# Samples through the truncation band are at most this part of a block apart, so that no block is stepped over.
_SAMPLE_SPACING_BLOCKS = 1.0 / 3.0


def _physical_memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def memory_share_bytes() -> int:
    """Return how much of the machine's memory a map may take when it has no limit of its own [bytes]."""
    return int(_MEMORY_SHARE * _physical_memory_bytes())


def _reserve_blocks(wanted: int) -> NDArray[np.float32]:
    # Large zeroed arrays are address space only: the system hands out pages when they are first written. So the
    # records never move, and growing costs nothing. Where address space is rationed, less is taken.
    while True:
        try:
            return np.zeros((wanted, voxel.CHANNELS, VOXELS_PER_BLOCK), dtype=np.float32)
        except MemoryError:
            wanted //= 2
            if wanted < 1:
                raise


@dataclass
class MapLimit:
    """How many blocks a whole map may have of which the volume is a part.

    keys and values: hash of the blocks that the rest of the map has, offset_blocks (3,) int64 further than those of
    the volume. map_blocks: blocks of the map so far, counted on by Volume.integrate().
    """

    keys: NDArray[np.int64]
    values: NDArray[np.int32]
    offset_blocks: NDArray[np.int64]
    maximum_blocks: int
    map_blocks: int


class Volume:
    """Blocks of 8x8x8 voxels behind a hash of their coordinates; they are only ever added, and never move.

    Block b covers voxels 8 b to 8 b + 7; voxel v is centred at v * voxel_size_m. A voxel holds tsdf (in units of
    truncation_m), weight, red, green, blue (0 to 255), label and confidence, all float32.
    """

    def __init__(self, voxel_size_m: float, truncation_m: float, maximum_blocks: int = 0) -> None:
        """Make an empty volume; maximum_blocks 0 means as many as half of the machine's memory holds."""
        self.voxel_size_m = voxel_size_m
        self.truncation_m = truncation_m
        fitting = max(1, memory_share_bytes() // BYTES_PER_BLOCK)
        self._maximum_blocks = min(maximum_blocks, fitting) if maximum_blocks > 0 else fitting
        self._reserve()

    def _reserve(self) -> None:
        self.records = _reserve_blocks(self._maximum_blocks)
        self.capacity = len(self.records)
        self._coordinates = np.zeros((self.capacity, 3), dtype=np.int32)
        self._last_frame = np.zeros(self.capacity, dtype=np.int64)
        self._dirty = np.zeros(self.capacity, dtype=np.bool_)
        self._touched = np.empty(self.capacity, dtype=np.int32)
        self._new_table(_FIRST_TABLE_SLOTS)
        self._frame = 0
        self._usable = np.zeros(0, dtype=np.float32)
        self._faulted = 0
        self.block_count = 0

    def _new_table(self, slots: int) -> None:
        self.keys = np.full(slots, voxel.EMPTY, dtype=np.int64)
        self.values = np.empty(slots, dtype=np.int32)

    def _grow_table(self, blocks: int) -> None:
        # At most half of the slots are ever used, so a search ends after about one step.
        slots = len(self.keys)
        while slots < 2 * blocks:
            slots *= 2
        if slots > len(self.keys):
            self._new_table(slots)
            kernels.insert_all(self.keys, self.values, self._coordinates, self.block_count)

    @property
    def block_coordinates(self) -> NDArray[np.int32]:
        """Return the (B, 3) coordinates of all blocks, in the order of their creation (a view)."""
        return self._coordinates[: self.block_count]

    @property
    def bytes_used(self) -> int:
        """Return the memory of the blocks and their hash [bytes]."""
        per_block = BYTES_PER_BLOCK + 12 + 8 + 1 + 4
        return self.block_count * per_block + self.keys.nbytes + self.values.nbytes

    def clear(self) -> None:
        """Forget all blocks but keep their memory for the next ones."""
        self.records[: self.block_count] = 0.0
        self._last_frame[: self.block_count] = 0
        self._dirty[: self.block_count] = False
        self.keys[:] = voxel.EMPTY
        self.block_count = 0

    def release(self) -> None:
        """Forget all blocks and give their memory back."""
        self._reserve()

    def find(self, block_coordinates: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the (B,) record index of each of the (B, 3) blocks, -1 where there is none."""
        indices = np.empty(len(block_coordinates), dtype=np.int32)
        kernels.find_all(self.keys, self.values, np.ascontiguousarray(block_coordinates, dtype=np.int32), indices)
        return indices

    def allocate(self, block_coordinates: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the (B,) record index of each of the (B, 3) blocks, creating them; -1 where the volume is full."""
        wanted = np.ascontiguousarray(block_coordinates, dtype=np.int32)
        self._grow_table(self.block_count + len(wanted))
        indices = np.empty(len(wanted), dtype=np.int32)
        self.block_count = kernels.allocate_all(
            self.keys, self.values, self._coordinates, self.block_count, self.capacity, wanted, indices
        )
        return indices

    def merge(self, other: Volume, offset_blocks: NDArray[np.int64]) -> int:
        """Add another volume whose blocks lie ``offset_blocks`` (3,) further; return the number of blocks refused."""
        first_new = self.block_count
        indices = self.allocate(other.block_coordinates + offset_blocks.astype(np.int32))
        kernels.merge(self.records, indices, other.records[: other.block_count], first_new)
        return int((indices < 0).sum())

    def take_dirty(self) -> NDArray[np.int32]:
        """Return the (B, 3) blocks changed since the last call, and forget that they were."""
        flags = self._dirty[: self.block_count]
        changed = self.block_coordinates[flags].copy()
        flags[:] = False
        return changed

    def select(
        self, depth_m: NDArray[np.float32], nearest_m: float, farthest_m: float, keep_edges: bool = False
    ) -> int:
        """Choose the pixels of a (H, W) float32 depth image [m] for the next integrate(); return how many there are.

        Pixels out of range are dropped, and those at depth discontinuities unless ``keep_edges``.
        """
        depth = np.ascontiguousarray(depth_m, dtype=np.float32)
        if len(self._usable) != depth.size + 1:
            self._usable = np.zeros(depth.size + 1, dtype=np.float32)
        edge = np.zeros(depth.shape, dtype=np.bool_) if keep_edges else discontinuities(depth)
        return kernels.select_depth(depth, edge, np.float32(nearest_m), np.float32(farthest_m), self._usable)

    def integrate(
        self,
        color: NDArray[np.uint8],
        camera: Camera,
        T_volume_camera: NDArray[np.float64],
        farthest_m: float,
        *,
        constant_weight: bool = False,
        weight_cap: float = np.inf,
        labels: NDArray[np.uint16] | None = None,
        label_confidence: NDArray[np.float32] | None = None,
        limit: MapLimit | None = None,
    ) -> tuple[int, int]:
        """Fuse the depth chosen by select() with its (H, W, 3) uint8 RGB colour from one camera pose.

        labels: (H, W) uint16, 0 = none, with label_confidence (H, W) float32 > 0 (1 where not given).
        Returns the number of blocks updated, and how often a new block was refused for want of room.
        """
        rows, columns = camera.height_px, camera.width_px
        intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy], dtype=np.float32)
        self._frame += 1
        touched = self._touch(rows, columns, intrinsics, T_volume_camera, farthest_m, limit)
        rotation = np.ascontiguousarray(T_volume_camera[:3, :3].T)
        flat_labels = np.zeros(0, dtype=np.uint16)
        flat_confidence = np.zeros(0, dtype=np.float32)
        if labels is not None:
            flat_labels = np.ascontiguousarray(labels, dtype=np.uint16).reshape(-1)
            confidence = np.ones(labels.shape, np.float32) if label_confidence is None else label_confidence
            flat_confidence = np.ascontiguousarray(confidence, dtype=np.float32).reshape(-1)
        kernels.integrate(
            self.records,
            self._coordinates,
            touched[0],
            self._usable,
            np.ascontiguousarray(color).reshape(-1, 3),
            flat_labels,
            flat_confidence,
            rows,
            columns,
            intrinsics,
            rotation.astype(np.float32),
            (-rotation @ T_volume_camera[:3, 3]).astype(np.float32),
            self.voxel_size_m,
            self.truncation_m,
            constant_weight,
            weight_cap,
            self._dirty,
        )
        self.prepare(self.block_count + _BLOCKS_AHEAD)
        return len(touched[0]), touched[1]

    def _touch(
        self,
        rows: int,
        columns: int,
        intrinsics: NDArray[np.float32],
        T_volume_camera: NDArray[np.float64],
        farthest_m: float,
        limit: MapLimit | None,
    ) -> tuple[NDArray[np.int32], int]:
        block_m = BLOCK_SIZE * self.voxel_size_m
        # Two rays are at most half a block apart where they end.
        stride = int(np.clip(0.5 * block_m * float(intrinsics[:2].min()) / farthest_m, 1, _MAXIMUM_STRIDE_PX))
        band_blocks = 2.0 * self.truncation_m / block_m
        samples = max(2, int(np.ceil(band_blocks / _SAMPLE_SPACING_BLOCKS)) + 1)
        if limit is None:
            nothing = np.full(1, voxel.EMPTY, dtype=np.int64), np.zeros(1, dtype=np.int32)
            limit = MapLimit(*nothing, np.zeros(3, dtype=np.int64), self.capacity, self.block_count)
        counters = np.array([self.block_count, 0, 0, limit.map_blocks], dtype=np.int64)
        row = stride // 2
        while True:
            row = kernels.touch(
                self._usable,
                rows,
                columns,
                row,
                stride,
                intrinsics,
                np.ascontiguousarray(T_volume_camera[:3, :3]).astype(np.float32),
                T_volume_camera[:3, 3].astype(np.float32),
                self.truncation_m,
                samples,
                block_m,
                self.keys,
                self.values,
                self._coordinates,
                self._last_frame,
                self._frame,
                self.capacity,
                len(self.keys) // 2,
                limit.keys,
                limit.values,
                limit.offset_blocks,
                limit.maximum_blocks,
                self._touched,
                counters,
            )
            self.block_count = int(counters[kernels.BLOCK_COUNT])
            limit.map_blocks = int(counters[kernels.MAP_COUNT])
            if row >= rows:
                break
            self._grow_table(max(len(self.keys), self.block_count + (columns // stride + 1) * samples))
        return self._touched[: int(counters[kernels.TOUCHED_COUNT])], int(counters[kernels.REFUSED_COUNT])

    def take_warning(self) -> str | None:
        """Return once what has gone wrong with the device that the volume is kept on; the processor does not fail."""
        return None

    def prepare(self, blocks: int) -> None:
        """Have the memory of the first ``blocks`` blocks at hand, so that creating them later takes no time."""
        # The first write to a page costs more than the update of a block.
        wanted = min(blocks, self.capacity)
        if wanted > self._faulted:
            start = max(self._faulted, self.block_count)
            self.records[start:wanted, :, ::VOXELS_PER_BLOCK] = 0.0
            self._faulted = wanted
