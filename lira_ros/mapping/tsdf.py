"""Volume: a block-sparse TSDF with colour and label evidence, in one frame."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.depth import NOISE_DEVIATIONS, NOISE_FLOOR_M, NOISE_SLOPE_PER_M, discontinuities
from lira_ros.mapping import kernels, open3d_kernels, pages, voxel
from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK

BYTES_PER_BLOCK = voxel.CHANNELS * VOXELS_PER_BLOCK * 4
# A volume without a limit of its own stops here, before the machine starts to swap.
_MEMORY_SHARE = 0.5
_FIRST_TABLE_SLOTS = 1 << 13
# Blocks whose memory is asked for ahead of need: 14 MiB, what a camera that turns quickly sees first in a few frames.
_BLOCKS_AHEAD = 1024
_BLOCKS_PREPARED_AT_ONCE = 128  # about one huge page of 2 MiB
# Blocks that a thread updates at a time: few enough to share the work evenly, and far more work than handing over.
_BLOCKS_AT_ONCE = 32
# Rays of neighbouring samples are at most this many pixels apart (Open3D touches with a stride of 4).
_MAXIMUM_STRIDE_PX = 4
# Samples through the truncation band are at most this part of a block apart, so that no block is stepped over.
_SAMPLE_SPACING_BLOCKS = 1.0 / 3.0


# Opposite neighbours of a pixel lie on a surface with it when the sum of their inverse depths misses twice its own by
# less than three deviations of the noise of that difference, whose variance is 6 times that of one inverse depth. The
# noise of z is floor + slope z^2 (see geometry.depth, without its offset of 0.4 m); that of 1 / z is 1 / z^2 of it.
_PAIR_LIMIT = (
    NOISE_DEVIATIONS * 6.0**0.5 * NOISE_SLOPE_PER_M,
    NOISE_DEVIATIONS * 6.0**0.5 * NOISE_FLOOR_M,
)


def _intrinsics(camera: Camera) -> NDArray[np.float32]:
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy], dtype=np.float32)


@functools.cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="tsdf")


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


def hash_of_blocks(blocks: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the keys and values of a hash that leads from each of (B, 3) distinct blocks to its row."""
    slots = 1 << max(1, int(2 * len(blocks)).bit_length())
    keys = np.full(slots, voxel.EMPTY, dtype=np.int64)
    values = np.empty(slots, dtype=np.int32)
    kernels.insert_all(keys, values, np.ascontiguousarray(blocks, dtype=np.int32), len(blocks))
    return keys, values


class Volume:
    """Blocks of 8x8x8 voxels behind a hash of their coordinates; adding some never moves the others.

    Block b covers voxels 8 b to 8 b + 7; voxel v is centred at v * voxel_size_m. A voxel holds tsdf (in units of
    truncation_m), weight, red, green, blue (0 to 255), label and confidence, all float32.
    """

    def __init__(self, voxel_size_m: float, truncation_m: float, maximum_blocks: int = 0, threads: int = 1) -> None:
        """Make an empty volume; maximum_blocks 0 means as many as half of the machine's memory holds.

        threads: how many update blocks at a time. The result does not depend on it.
        """
        self._threads = threads
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
        self._block_stamp_s = np.zeros(self.capacity, dtype=np.float64)
        self._per_block = (
            self.records,
            self._coordinates,
            self._last_frame,
            self._dirty,
            self._touched,
            self._block_stamp_s,
        )
        self._frame = 0
        self._usable = np.zeros(0, dtype=np.float32)
        self._inverse = np.zeros((0, 0), dtype=np.float32)
        self._edge = np.zeros((0, 0), dtype=np.bool_)
        self._pixel_weight = np.zeros(0, dtype=np.float32)
        self._color = np.zeros(0, dtype=np.uint32)
        self._prepared = 0
        self.block_count = 0
        self.prepare(_BLOCKS_AHEAD)

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
        """Return the memory of the blocks, that at hand for the next ones included, and their hash [bytes]."""
        per_block = BYTES_PER_BLOCK + 12 + 8 + 1 + 4 + 8
        return max(self._prepared, self.block_count) * per_block + self.keys.nbytes + self.values.nbytes

    def clear(self) -> None:
        """Forget all blocks but keep their memory for the next ones."""
        self._prepared = max(self._prepared, self.block_count)
        self.records[: self.block_count] = 0.0
        self._last_frame[: self.block_count] = 0
        self._block_stamp_s[: self.block_count] = 0.0
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

    def discard(self, block_coordinates: NDArray[np.int32]) -> None:
        """Take the (B, 3) blocks out and use their memory for the next new ones; those that are not in are ignored.

        Where much is left over, most of it goes back to the system.

        The last blocks move into the records that fall free, so that the first block_count records stay those in use:
        indices from find() are not valid any more.
        """
        self._prepared = max(self._prepared, self.block_count)
        self.block_count = kernels.discard_all(
            self.keys,
            self.values,
            self._coordinates,
            self.records,
            self._last_frame,
            self._block_stamp_s,
            self._dirty,
            self.block_count,
            np.ascontiguousarray(block_coordinates, dtype=np.int32),
        )
        # Records that are not in use are zero, as pages that come again are.
        kept = self.block_count + _BLOCKS_AHEAD
        if self._prepared > kept + _BLOCKS_AHEAD and pages.give_back(self.records[kept : self._prepared]):
            self._prepared = kept

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
        self,
        depth_m: NDArray[np.float32],
        nearest_m: float,
        farthest_m: float,
        keep_edges: bool = False,
        *,
        smooth: bool = False,
        incidence_camera: Camera | None = None,
    ) -> int:
        """Choose the pixels of a (H, W) float32 depth image [m] for the next integrate(); return how many there are.

        Pixels out of range are dropped, and those at depth discontinuities unless ``keep_edges``. smooth: take the
        mean inverse depth of 3 x 3 pixels where these lie on one surface; it does not move planes, and keeps edges.
        incidence_camera: weigh measurements by the cosine of the angle at which this camera sees their surface.
        """
        depth = np.ascontiguousarray(depth_m, dtype=np.float32)
        rows, columns = depth.shape
        if len(self._usable) != depth.size + 1:
            self._usable = np.zeros(depth.size + 1, dtype=np.float32)
        if self._inverse.shape != (rows + 2, columns + 2):
            self._inverse = np.empty((rows + 2, columns + 2), dtype=np.float32)
            self._edge = np.zeros(depth.shape, dtype=np.bool_)
        if keep_edges:
            self._edge[:] = False
        edge = self._edge if keep_edges else discontinuities(depth)
        count = kernels.select_depth(depth, edge, np.float32(nearest_m), np.float32(farthest_m), self._usable)
        if smooth:
            kernels.smooth_depth(self._usable, rows, columns, *_PAIR_LIMIT, self._inverse)
        if incidence_camera is None:
            self._pixel_weight = np.zeros(0, dtype=np.float32)
        else:
            if len(self._pixel_weight) != depth.size + 1:
                self._pixel_weight = np.empty(depth.size + 1, dtype=np.float32)
            kernels.weigh_incidence(self._usable, rows, columns, _intrinsics(incidence_camera), self._pixel_weight)
        return count

    def integrate(
        self,
        color: NDArray[np.uint8],
        camera: Camera,
        T_volume_camera: NDArray[np.float64],
        farthest_m: float,
        *,
        constant_weight: bool = False,
        weight_cap: float = np.inf,
        fading: bool = False,
        carve_from_m: float = 0.0,
        stamp_s: float = 0.0,
        half_life_s: float = 0.0,
        labels: NDArray[np.uint16] | None = None,
        label_confidence: NDArray[np.float32] | None = None,
        limit: MapLimit | None = None,
    ) -> tuple[int, int]:
        """Fuse the depth chosen by select() with its (H, W, 3) uint8 RGB colour from one camera pose.

        constant_weight: see voxel.observation_weight(). fading: see voxel.behind_weight(). carve_from_m: from this
        depth on [m], also update blocks that were mapped before and are seen through now, so that what was taken away
        goes; 0 leaves them. half_life_s: time after which what was measured counts half, with stamp_s the time of the
        frame; 0 keeps all. labels: (H, W) uint16, 0 = none, with label_confidence (H, W) float32 > 0 (1 where not
        given). Frames of cameras of different sizes may follow each other.
        Returns the number of blocks updated, and how often a new block was refused for want of room.
        """
        rows, columns = camera.height_px, camera.width_px
        self._frame += 1
        touched, refused = self._touch(rows, columns, camera, T_volume_camera, farthest_m, carve_from_m, limit)
        if half_life_s > 0:
            kernels.decay(self.records, touched, self._block_stamp_s, stamp_s, half_life_s)
        rotation = np.ascontiguousarray(T_volume_camera[:3, :3].T)
        flat_labels = np.zeros(0, dtype=np.uint16)
        flat_confidence = np.zeros(0, dtype=np.float32)
        if labels is not None:
            flat_labels = np.ascontiguousarray(labels, dtype=np.uint16).reshape(-1)
            if label_confidence is not None:
                flat_confidence = np.ascontiguousarray(label_confidence, dtype=np.float32).reshape(-1)
        records, packed = self.records, self._packed_color(color)
        intrinsics, translation = _intrinsics(camera), (-rotation @ T_volume_camera[:3, 3]).astype(np.float32)
        rotation = rotation.astype(np.float32)

        def update(blocks: NDArray[np.int32]) -> None:
            kernels.integrate(
                records,
                self._coordinates,
                blocks,
                self._usable,
                self._pixel_weight,
                packed,
                flat_labels,
                flat_confidence,
                rows,
                columns,
                intrinsics,
                rotation,
                translation,
                self.voxel_size_m,
                self.truncation_m,
                constant_weight,
                fading,
                weight_cap,
                self._dirty,
            )

        self._in_parts(update, touched)
        self._prepare_ahead()
        return len(touched), refused

    def integrate_as_open3d(
        self,
        depth: NDArray[np.uint16] | NDArray[np.float32],
        color: NDArray[np.uint8],
        camera: Camera,
        T_volume_camera: NDArray[np.float64],
        farthest_m: float,
        *,
        depth_scale: float = 1.0,
        limit: MapLimit | None = None,
    ) -> tuple[int, int]:
        """Fuse a frame with the rules of Open3D's VoxelBlockGrid (0.20), for results equal to its.

        depth: (H, W) as it was measured, ``depth_scale`` units to the metre; select() is not used. color: (H, W, 3)
        uint8 RGB. Blocks are those of four samples on every 4th ray, a voxel takes the pixel at or before its place,
        every measurement weighs 1, and colour is also kept in free space. Colour differs in the first column of the
        image, where Open3D takes none.
        Returns the number of blocks updated, and how often a new block was refused for want of room.
        """
        image = np.ascontiguousarray(depth) / np.float32(depth_scale)
        rows, columns = image.shape
        if len(self._usable) != image.size + 1:
            self._usable = np.zeros(image.size + 1, dtype=np.float32)
        self._usable[:-1] = image.reshape(-1)
        self._frame += 1
        rotation, translation = T_volume_camera[:3, :3], T_volume_camera[:3, 3]
        T_camera_volume = np.concatenate([rotation.T, (-rotation.T @ translation)[:, None]], axis=1).astype(np.float32)
        limit = limit or self._no_limit()
        counters = np.array([self.block_count, 0, 0, limit.map_blocks], dtype=np.int64)
        blocks = open3d_kernels.blocks_in_band(
            self._usable,
            rows,
            columns,
            _intrinsics(camera),
            T_volume_camera[:3].astype(np.float32),
            np.float32(self.voxel_size_m * BLOCK_SIZE),
            np.float32(self.truncation_m),
            np.float32(farthest_m),
        )
        self._grow_table(self.block_count + len(blocks))
        kernels.touch_all(
            blocks,
            self.keys,
            self.values,
            self._coordinates,
            self._last_frame,
            self._frame,
            self.capacity,
            limit.keys,
            limit.values,
            limit.offset_blocks,
            limit.maximum_blocks,
            self._touched,
            counters,
        )
        touched = self._count(counters, limit)
        records, packed = self.records, self._packed_color(color)
        intrinsics = _intrinsics(camera)

        def update(blocks: NDArray[np.int32]) -> None:
            open3d_kernels.integrate(
                records,
                self._coordinates,
                blocks,
                self._usable,
                packed,
                rows,
                columns,
                intrinsics,
                T_camera_volume,
                np.float32(self.voxel_size_m),
                np.float32(self.truncation_m),
                np.float32(farthest_m),
                self._dirty,
            )

        self._in_parts(update, touched)
        self._prepare_ahead()
        return len(touched), int(counters[kernels.REFUSED_COUNT])

    def _packed_color(self, color: NDArray[np.uint8]) -> NDArray[np.uint32]:
        # One number a pixel is looked up in a third of the time of three; the last one is for voxels outside.
        rows, columns = color.shape[:2]
        if len(self._color) != rows * columns + 1:
            self._color = np.zeros(rows * columns + 1, dtype=np.uint32)
        bytes_out = self._color[:-1].view(np.uint8).reshape(rows, columns, 4)
        cv2.cvtColor(np.ascontiguousarray(color), cv2.COLOR_RGB2RGBA, dst=bytes_out)
        return self._color

    def _in_parts(self, update: Callable[[NDArray[np.int32]], None], touched: NDArray[np.int32]) -> None:
        # Blocks do not depend on each other, so it makes no difference which thread takes which.
        parts = -(-len(touched) // _BLOCKS_AT_ONCE)
        if self._threads <= 1 or parts <= 1:
            update(touched)
            return
        turn = itertools.count()

        def take_turns() -> None:
            while (part := next(turn)) < parts:
                update(touched[part * _BLOCKS_AT_ONCE : (part + 1) * _BLOCKS_AT_ONCE])

        helpers = [_workers().submit(take_turns) for _ in range(min(self._threads, parts) - 1)]
        take_turns()
        for helper in helpers:
            helper.result()

    def _no_limit(self) -> MapLimit:
        nothing = np.full(1, voxel.EMPTY, dtype=np.int64), np.zeros(1, dtype=np.int32)
        return MapLimit(*nothing, np.zeros(3, dtype=np.int64), self.capacity, self.block_count)

    def _count(self, counters: NDArray[np.int64], limit: MapLimit) -> NDArray[np.int32]:
        self.block_count = int(counters[kernels.BLOCK_COUNT])
        limit.map_blocks = int(counters[kernels.MAP_COUNT])
        return self._touched[: int(counters[kernels.TOUCHED_COUNT])]

    def _touch_pattern(self, camera: Camera, farthest_m: float) -> tuple[int, int, int]:
        # Every how many pixels there is a ray through free space, and one through the band, with how many samples.
        block_m = BLOCK_SIZE * self.voxel_size_m
        # Two rays are at most half a block apart where they end.
        apart = max(1, int(0.5 * block_m * min(camera.fx, camera.fy) / farthest_m))
        samples = int(np.ceil(2.0 * self.truncation_m / block_m / _SAMPLE_SPACING_BLOCKS)) + 1
        return apart, min(apart, _MAXIMUM_STRIDE_PX), max(2, samples)

    def _touch(
        self,
        rows: int,
        columns: int,
        camera: Camera,
        T_volume_camera: NDArray[np.float64],
        farthest_m: float,
        carve_from_m: float,
        limit: MapLimit | None,
    ) -> tuple[NDArray[np.int32], int]:
        block_m = BLOCK_SIZE * self.voxel_size_m
        intrinsics = _intrinsics(camera)
        apart, stride, samples = self._touch_pattern(camera, farthest_m)
        limit = limit or self._no_limit()
        counters = np.array([self.block_count, 0, 0, limit.map_blocks], dtype=np.int64)
        rotation = np.ascontiguousarray(T_volume_camera[:3, :3]).astype(np.float32)
        translation = T_volume_camera[:3, 3].astype(np.float32)
        row = stride // 2
        while True:
            row = kernels.touch(
                self._usable,
                rows,
                columns,
                row,
                stride,
                intrinsics,
                rotation,
                translation,
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
            touched = self._count(counters, limit)
            if row >= rows:
                break
            self._grow_table(max(len(self.keys), self.block_count + (columns // stride + 1) * samples))
        if carve_from_m > 0:
            # All blocks that a frustum of this reach can have: the table never has to grow while rays are followed.
            sides = farthest_m / float(intrinsics[0]) * columns, farthest_m / float(intrinsics[1]) * rows, farthest_m
            within = int(np.prod([side / block_m + 2 for side in sides])) // 3
            self._grow_table(min(self.block_count + within, self.block_count + len(limit.keys) // 2))
            kernels.touch_seen_through(
                self._usable,
                rows,
                columns,
                apart,
                intrinsics,
                rotation,
                translation,
                carve_from_m,
                self.truncation_m,
                block_m,
                self.keys,
                self.values,
                self._coordinates,
                self._last_frame,
                self._frame,
                self.capacity,
                limit.keys,
                limit.values,
                limit.offset_blocks,
                self._touched,
                counters,
            )
            touched = self._count(counters, limit)
        return touched, int(counters[kernels.REFUSED_COUNT])

    def _prepare_ahead(self) -> None:
        # A little with each frame: where there is no other core, the frame after it waits for it.
        wanted = self.block_count + _BLOCKS_AHEAD
        if wanted >= self._prepared + _BLOCKS_PREPARED_AT_ONCE:
            self.prepare(wanted)

    def take_warning(self) -> str | None:
        """Return once what has gone wrong with the device that the volume is kept on; the processor does not fail."""
        return None

    def prepare(self, blocks: int) -> None:
        """Have the memory of the first ``blocks`` blocks at hand soon, so that creating them later takes no time."""
        # The first write to a page costs more than the update of a block: that is done ahead of need in another thread.
        wanted = min(blocks, self.capacity)
        if wanted > self._prepared:
            first, self._prepared = max(self._prepared, self.block_count), wanted
            pages.prepare([array[first:wanted] for array in self._per_block])
