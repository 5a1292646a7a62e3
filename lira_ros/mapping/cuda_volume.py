"""CudaVolume: the block-sparse TSDF with its records on a CUDA device.

Import it only where choose_device() said "cuda".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.mapping import cuda_kernels, kernels, voxel
from lira_ros.mapping.devices import cuda_state, is_device_failure
from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK
from lira_ros.mapping.tsdf import MapLimit, Volume

# Blocks in the first pool on the device (14 MiB); it doubles when it is full.
_FIRST_BLOCKS = 1 << 10
# Records cross the bus in packs of this many blocks (14 MiB), which bounds the memory for it.
_PACK_BLOCKS = 1 << 10
# New blocks that one launch can report; a frame that has more is asked again with more room.
_NEW_BLOCKS = 1 << 12

Result = TypeVar("Result")


class _FrameBuffers:
    """Room on the device for one frame of a camera of some size, and for its pose."""

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels
        self.usable = cuda.device_array(pixels + 1, np.float32)
        self.color = cuda.device_array(pixels + 1, np.uint32)
        # Weights of pixels and labels are not always there: their room is made when the first ones come.
        self.pixel_weight = cuda.device_array(1, np.float32)
        self.labels = cuda.device_array(1, np.uint16)
        self.confidences = cuda.device_array(1, np.float32)
        # One copy brings all numbers of the camera; the kernels see its parts.
        self._numbers = cuda.device_array(28, np.float32)
        self.intrinsics = self._numbers[:4]
        self.rotation_out = self._numbers[4:13].reshape(3, 3)
        self.translation_out = self._numbers[13:16]
        self.rotation_in = self._numbers[16:25].reshape(3, 3)
        self.translation_in = self._numbers[25:]

    def set_camera(self, camera: Camera, T_volume_camera: NDArray[np.float64]) -> None:
        rotation, translation = T_volume_camera[:3, :3], T_volume_camera[:3, 3]
        numbers = [camera.fx, camera.fy, camera.cx, camera.cy]
        parts = [numbers, rotation.ravel(), translation, rotation.T.ravel(), -rotation.T @ translation]
        self._numbers.copy_to_device(np.concatenate(parts).astype(np.float32))

    def set_pixel_weight(self, pixel_weight: NDArray[np.float32]) -> None:
        if len(self.pixel_weight) != len(pixel_weight):
            self.pixel_weight = cuda.device_array(len(pixel_weight), np.float32)
        self.pixel_weight.copy_to_device(pixel_weight)

    def set_labels(self, labels: NDArray[np.uint16], confidences: NDArray[np.float32]) -> None:
        if len(self.labels) != self.pixels:
            self.labels = cuda.device_array(self.pixels, np.uint16)
            self.confidences = cuda.device_array(self.pixels, np.float32)
        self.labels.copy_to_device(labels)
        self.confidences.copy_to_device(confidences)


def _grid(threads: int) -> int:
    # How many CUDA blocks have so many threads together.
    return -(-threads // cuda_kernels.THREADS)


def _rays(camera: Camera, stride: int) -> tuple[int, int]:
    # How many rays every stride-th pixel has in a row, and in the image.
    across = len(range(stride // 2, camera.width_px, stride))
    return across, across * len(range(stride // 2, camera.height_px, stride))


class CudaVolume(Volume):
    """A Volume whose records live on the device; used in its place.

    The processor keeps the coordinates and the hash, and gives new blocks their index. The device has a copy of the
    hash, to which the touch kernel adds keys, and the records, which it integrates. ``records`` is a copy for the
    processor, brought up to date when it is read: only blocks that have changed cross the bus. What is written to
    it does not reach the device; merge() does.

    When the device fails, the volume goes on as a Volume on the processor with the records that it copied last, and
    says so once by take_warning().
    """

    def __init__(self, voxel_size_m: float, truncation_m: float, maximum_blocks: int = 0, threads: int = 1) -> None:
        """Make an empty volume; maximum_blocks 0 means as many as half of the machine's memory holds.

        threads: of the processor, where it has to go on without the device.
        """
        self._warning: str | None = None
        self._lost = False
        self._frames_since_copy = 0
        self._pool_blocks = 0
        self._slots = 0
        # On the device: records (B, CHANNELS, 512), and for each of them its coordinates, the last frame that touched
        # it, whether it has changed, when it was touched and which share of it is kept; the blocks touched by a frame;
        # the hash of all blocks.
        self._records: Any = None
        self._coordinates_there: Any = None
        self._last_frame_there: Any = None
        self._dirty_there: Any = None
        self._touched_there: Any = None
        self._stamps_there: Any = None
        self._kept_there: Any = None
        self._keys_there: Any = None
        self._values_there: Any = None
        super().__init__(voxel_size_m, truncation_m, maximum_blocks, threads)

    # --- memory ---------------------------------------------------------------------------------------------------

    def _reserve(self) -> None:
        self.block_count = 0
        super()._reserve()
        # Blocks of which the device has newer records than the processor.
        self._stale = np.zeros(self.capacity, dtype=np.bool_)
        self._buffers: _FrameBuffers | None = None
        self._aging = False
        if not self._lost:
            self._attempt(self._reserve_on_device)

    def _reserve_on_device(self) -> None:
        self._pool_blocks = 0
        self._grow_pool(min(_FIRST_BLOCKS, self.capacity))
        self._counters = cuda.to_device(np.zeros(3, dtype=np.int32))
        self._reserve_new(_NEW_BLOCKS)
        self._upload_table()

    def _reserve_new(self, blocks: int) -> None:
        self._new_keys = cuda.device_array(blocks, np.int64)
        self._new_slots = cuda.device_array(blocks, np.int32)

    def _grow_pool(self, blocks: int) -> None:
        # Move into a pool of at least so many blocks. When the device has no room for it, the volume is full.
        if blocks <= self._pool_blocks:
            return
        for wanted in (max(blocks, min(2 * self._pool_blocks, self.capacity)), blocks):
            try:
                records = cuda.device_array((wanted, voxel.CHANNELS, VOXELS_PER_BLOCK), np.float32)
            except Exception as error:
                if not is_device_failure(error) or "OUT_OF_MEMORY" not in str(error) or self._pool_blocks == 0:
                    raise
                continue
            break
        else:
            self.capacity = self._pool_blocks
            return
        coordinates = cuda.device_array((wanted, 3), np.int32)
        touched = cuda.device_array(wanted, np.int32)
        last_frame = cuda.to_device(np.zeros(wanted, dtype=np.int64))
        dirty = cuda.to_device(np.zeros(wanted, dtype=np.uint8))
        stamps = cuda.to_device(np.zeros(wanted, dtype=np.float64))
        n = self._pool_blocks
        if n > 0:
            records[:n].copy_to_device(self._records[:n])
            coordinates[:n].copy_to_device(self._coordinates_there[:n])
            last_frame[:n].copy_to_device(self._last_frame_there[:n])
            dirty[:n].copy_to_device(self._dirty_there[:n])
            touched[:n].copy_to_device(self._touched_there[:n])
            stamps[:n].copy_to_device(self._stamps_there[:n])
        self._records, self._coordinates_there, self._touched_there = records, coordinates, touched
        self._last_frame_there, self._dirty_there, self._stamps_there = last_frame, dirty, stamps
        self._kept_there = cuda.device_array(wanted, np.float32)
        self._pool_blocks = wanted

    def _upload_table(self) -> None:
        values = np.where(self.keys == voxel.EMPTY, np.int32(voxel.EMPTY), self.values)
        if self._slots != len(self.keys):
            self._keys_there = cuda.device_array(len(self.keys), np.int64)
            self._values_there = cuda.device_array(len(self.keys), np.int32)
            self._slots = len(self.keys)
        self._keys_there.copy_to_device(self.keys)
        self._values_there.copy_to_device(values)

    def clear(self) -> None:
        """Forget all blocks but keep their memory for the next ones."""
        self._stale[: self.block_count] = False
        self._aging = False
        count = self.block_count
        super().clear()
        if not self._lost and count > 0:
            self._attempt(lambda: self._clear_on_device(count))

    def _clear_on_device(self, count: int) -> None:
        # Records need no clearing: a block that is created is written whole.
        self._dirty_there[:count].copy_to_device(np.zeros(count, dtype=np.uint8))
        self._upload_table()

    # --- the processor's view -------------------------------------------------------------------------------------

    @property
    def records(self) -> NDArray[np.float32]:
        """Return the records for the processor, brought up to date."""
        if not self._lost and self.block_count > 0:
            self._attempt(self._download)
        return self._host_records

    @records.setter
    def records(self, records: NDArray[np.float32]) -> None:
        self._host_records = records

    @property
    def device_records(self) -> Any | None:
        """Return the records on the device, (at least capacity used, CHANNELS, 512); None when it was lost."""
        return None if self._lost else self._records

    @property
    def device_hash(self) -> tuple[Any, Any] | None:
        """Return keys and values of the hash of the blocks on the device; None when it was lost."""
        return None if self._lost else (self._keys_there, self._values_there)

    def _download(self) -> None:
        self._fetch_flags()
        self._frames_since_copy = 0
        if self._aging:
            self._block_stamp_s[: self.block_count] = self._stamps_there[: self.block_count].copy_to_host()
        stale = np.nonzero(self._stale[: self.block_count])[0].astype(np.int32)
        for start in range(0, len(stale), _PACK_BLOCKS):
            part = stale[start : start + _PACK_BLOCKS]
            packed = cuda.device_array((len(part), voxel.CHANNELS, VOXELS_PER_BLOCK), np.float32)
            cuda_kernels.gather_records[len(part), cuda_kernels.THREADS](self._records, cuda.to_device(part), packed)
            self._host_records[part] = packed.copy_to_host()
            self._stale[part] = False

    def _upload(self, indices: NDArray[np.int32]) -> None:
        for start in range(0, len(indices), _PACK_BLOCKS):
            part = indices[start : start + _PACK_BLOCKS]
            packed = cuda.to_device(self._host_records[part])
            cuda_kernels.scatter_records[len(part), cuda_kernels.THREADS](packed, cuda.to_device(part), self._records)

    def _fetch_flags(self) -> None:
        count = self.block_count
        if count == 0:
            return
        flags = self._dirty_there[:count].copy_to_host().astype(np.bool_)
        if flags.any():
            self._dirty[:count] |= flags
            self._stale[:count] |= flags
            self._dirty_there[:count].copy_to_device(np.zeros(count, dtype=np.uint8))

    def take_dirty(self) -> NDArray[np.int32]:
        """Return the (B, 3) blocks changed since the last call, and forget that they were."""
        if not self._lost:
            self._attempt(self._fetch_flags)
        return super().take_dirty()

    def allocate(self, block_coordinates: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the (B,) record index of each of the (B, 3) blocks, creating them; -1 where the volume is full."""
        first = self.block_count
        if not self._lost:
            self._attempt(lambda: self._grow_pool(min(first + len(block_coordinates), self.capacity)))
        indices = super().allocate(block_coordinates)
        if not self._lost and self.block_count > first:
            self._attempt(lambda: self._upload_blocks(first))
        return indices

    def _upload_blocks(self, first: int) -> None:
        # Blocks that the processor created, from index `first` on.
        new = np.arange(first, self.block_count, dtype=np.int32)
        self._host_records[new] = 0.0
        self._upload(new)
        self._coordinates_there[first : self.block_count].copy_to_device(self._coordinates[new])
        self._upload_table()

    def discard(self, block_coordinates: NDArray[np.int32]) -> None:
        """Take the (B, 3) blocks out and use their memory for the next new ones; see Volume.discard()."""
        gone = self.find(block_coordinates)
        super().discard(block_coordinates)
        if not self._lost:
            self._attempt(lambda: self._upload_moved(np.unique(gone[(gone >= 0) & (gone < self.block_count)])))

    def _upload_moved(self, indices: NDArray[np.int32]) -> None:
        # Other blocks have moved into these records.
        if len(indices) > 0:
            count = self.block_count
            self._upload(indices)
            self._coordinates_there[:count].copy_to_device(self._coordinates[:count])
            self._stamps_there[:count].copy_to_device(self._block_stamp_s[:count])
        self._upload_table()

    def merge(self, other: Volume, offset_blocks: NDArray[np.int64]) -> int:
        """Add another volume whose blocks lie ``offset_blocks`` (3,) further; return the number of blocks refused."""
        refused = super().merge(other, offset_blocks)
        if not self._lost:
            indices = self.find(other.block_coordinates + offset_blocks.astype(np.int32))
            self._attempt(lambda: self._upload(indices[indices >= 0]))
        return refused

    # --- integration ----------------------------------------------------------------------------------------------

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

        As Volume.integrate(), on the device; of the blocks refused each is counted once.
        """
        rules: dict[str, Any] = {
            "constant_weight": constant_weight,
            "weight_cap": weight_cap,
            "fading": fading,
            "carve_from_m": carve_from_m,
            "stamp_s": stamp_s,
            "half_life_s": half_life_s,
            "labels": labels,
            "label_confidence": label_confidence,
            "limit": limit,
        }
        done = None
        if not self._lost:
            done = self._attempt(lambda: self._integrate_on_device(color, camera, T_volume_camera, farthest_m, **rules))
        if done is not None:
            return done
        return super().integrate(color, camera, T_volume_camera, farthest_m, **rules)

    def integrate_as_open3d(self, *frame: Any, **options: Any) -> tuple[int, int]:
        """Fuse a frame with the rules of Open3D's VoxelBlockGrid; see Volume. Done by the processor, then copied."""
        first = self.block_count
        done = super().integrate_as_open3d(*frame, **options)
        if not self._lost:
            self._attempt(lambda: self._upload_updated(first, self._touched[: done[0]].copy()))
        return done

    def _upload_updated(self, first: int, indices: NDArray[np.int32]) -> None:
        # Blocks that the processor has updated, of which those from index `first` on are new.
        self._grow_pool(self.block_count)
        self._upload(indices)
        self._coordinates_there[first : self.block_count].copy_to_device(self._coordinates[first : self.block_count])
        self._upload_table()

    def _integrate_on_device(
        self,
        color: NDArray[np.uint8],
        camera: Camera,
        T_volume_camera: NDArray[np.float64],
        farthest_m: float,
        *,
        constant_weight: bool,
        weight_cap: float,
        fading: bool,
        carve_from_m: float,
        stamp_s: float,
        half_life_s: float,
        labels: NDArray[np.uint16] | None,
        label_confidence: NDArray[np.float32] | None,
        limit: MapLimit | None,
    ) -> tuple[int, int]:
        pixels = camera.height_px * camera.width_px
        if len(self._usable) != pixels + 1:
            raise ValueError(
                f"select() chose from a depth image of {len(self._usable) - 1} pixels, the camera has "
                f"{camera.width_px} x {camera.height_px}"
            )
        if self._buffers is None or self._buffers.pixels != pixels:
            self._buffers = _FrameBuffers(pixels)
        frame = self._buffers
        frame.usable.copy_to_device(self._usable)
        frame.color.copy_to_device(self._packed_color(color))
        if len(self._pixel_weight) > 0:
            frame.set_pixel_weight(self._pixel_weight)
        frame.set_camera(camera, T_volume_camera)
        if labels is not None:
            confidence = np.ones(labels.shape, np.float32) if label_confidence is None else label_confidence
            frame.set_labels(
                np.ascontiguousarray(labels, dtype=np.uint16).reshape(-1),
                np.ascontiguousarray(confidence, dtype=np.float32).reshape(-1),
            )
        self._frame += 1
        touched, first_new, refused = self._touch_on_device(frame, camera, farthest_m, carve_from_m, limit)
        if touched > 0:
            if half_life_s > 0:
                self._aging = True
                cuda_kernels.age[_grid(touched), cuda_kernels.THREADS](
                    self._touched_there, touched, self._stamps_there, stamp_s, half_life_s, self._kept_there
                )
            cuda_kernels.integrate[touched, VOXELS_PER_BLOCK](
                self._records,
                self._coordinates_there,
                self._touched_there,
                first_new,
                frame.usable,
                frame.pixel_weight,
                len(self._pixel_weight) > 0,
                frame.color,
                frame.labels,
                frame.confidences,
                labels is not None,
                self._kept_there,
                half_life_s > 0,
                camera.height_px,
                camera.width_px,
                frame.intrinsics,
                frame.rotation_in,
                frame.translation_in,
                np.float32(self.voxel_size_m),
                np.float32(self.truncation_m),
                constant_weight,
                fading,
                np.float32(weight_cap),
                self._dirty_there,
            )
        self._frames_since_copy += 1
        return touched, refused

    def _touch_on_device(
        self, frame: _FrameBuffers, camera: Camera, farthest_m: float, carve_from_m: float, limit: MapLimit | None
    ) -> tuple[int, int, int]:
        # Returns the number of touched blocks, from which of them on they are new, and how many were refused.
        apart, stride, samples = self._touch_pattern(camera, farthest_m)
        self._counters.copy_to_device(np.zeros(3, dtype=np.int32))
        if carve_from_m > 0:
            # The hash of the map changes whenever a fragment closes or is paged: it is brought along with the frame.
            limit = limit or self._no_limit()
            map_keys, map_offset = cuda.to_device(limit.keys), cuda.to_device(limit.offset_blocks)
        while True:
            across, rays = _rays(camera, stride)
            cuda_kernels.touch[_grid(rays * samples), cuda_kernels.THREADS](
                frame.usable,
                camera.width_px,
                stride,
                across,
                rays,
                frame.intrinsics,
                frame.rotation_out,
                frame.translation_out,
                np.float32(self.truncation_m),
                np.float32(2.0 * self.truncation_m / (samples - 1)),
                samples,
                np.float32(1.0 / (BLOCK_SIZE * self.voxel_size_m)),
                self._keys_there,
                self._values_there,
                self._last_frame_there,
                self._frame,
                self._touched_there,
                self._new_keys,
                self._new_slots,
                self._counters,
            )
            if carve_from_m > 0:
                across, rays = _rays(camera, apart)
                cuda_kernels.touch_seen_through[_grid(rays), cuda_kernels.THREADS](
                    frame.usable,
                    camera.width_px,
                    apart,
                    across,
                    rays,
                    frame.intrinsics,
                    frame.rotation_out,
                    frame.translation_out,
                    np.float32(carve_from_m),
                    np.float32(self.truncation_m),
                    # No block of which a ray passes the inner half is stepped over.
                    np.float32(0.5 * BLOCK_SIZE * self.voxel_size_m),
                    np.float32(1.0 / (BLOCK_SIZE * self.voxel_size_m)),
                    self._keys_there,
                    self._values_there,
                    map_keys,
                    map_offset,
                    self._last_frame_there,
                    self._frame,
                    self._touched_there,
                    self._new_keys,
                    self._new_slots,
                    self._counters,
                )
            counters = self._counters.copy_to_host()
            touched, new, overflow = (int(number) for number in counters)
            # Above half of the slots searches take long: the frame is asked again with a larger table. Blocks that
            # it has collected already are not collected again.
            if overflow == 0 and 2 * (self.block_count + new) <= len(self.keys):
                break
            self._grow_table(max(self.block_count + new, len(self.keys)))
            self._reserve_new(max(new, len(self._new_keys)))
            self._upload_table()
            counters[1:] = 0
            self._counters.copy_to_device(counters)
        if new == 0:
            return touched, touched, 0
        added, refused = self._add_new(new, touched, limit)
        return touched + added, touched, refused

    def _add_new(self, new: int, touched: int, limit: MapLimit | None) -> tuple[int, int]:
        # Give the new blocks that may be added their indices; return how many were added and how many refused.
        keys = self._new_keys[:new].copy_to_host()
        order = np.argsort(keys)  # threads report in any order: sorted, a map is the same each time
        blocks = voxel.blocks_of_keys(keys[order])
        slots = self._new_slots[:new].copy_to_host()[order]
        allowed = np.ones(new, dtype=np.bool_)
        if limit is not None:
            known = np.empty(new, dtype=np.int32)
            in_map = (blocks + limit.offset_blocks).astype(np.int32)
            kernels.find_all(limit.keys, limit.values, in_map, known)
            room = max(0, limit.maximum_blocks - limit.map_blocks)
            allowed = (known >= 0) | (np.cumsum(known < 0) <= room)
        self._grow_pool(min(self.block_count + int(allowed.sum()), self.capacity))
        allowed &= np.cumsum(allowed) <= self.capacity - self.block_count
        if limit is not None:
            limit.map_blocks += int((allowed & (known < 0)).sum())
        blocks, slots = blocks[allowed], slots[allowed]
        indices = super().allocate(blocks)
        if not allowed.all():
            # The table on the device holds keys of refused blocks: that of the processor does not.
            self._upload_table()
            slots[:] = -1
        if len(blocks) > 0:
            cuda_kernels.add_blocks[_grid(len(blocks)), cuda_kernels.THREADS](
                cuda.to_device(slots),
                cuda.to_device(indices),
                cuda.to_device(blocks),
                len(blocks),
                self._values_there,
                self._coordinates_there,
                self._last_frame_there,
                self._frame,
                self._touched_there,
                touched,
            )
        return len(blocks), new - len(blocks)

    # --- failures -------------------------------------------------------------------------------------------------

    def _attempt(self, step: Callable[[], Result]) -> Result | None:
        # Do something on the device; None when it has failed for good, and everything goes on without it.
        try:
            return step()
        except Exception as error:
            if not is_device_failure(error):
                raise
            self._lost = True
            lost = f"{self._frames_since_copy} frames" if self._frames_since_copy != 1 else "1 frame"
            self._warning = (
                f"the GPU ({cuda_state().name}) failed: {error}. Mapping goes on with the processor; what {lost} "
                "brought since the last output is missing from the map"
            )
            return None

    def take_warning(self) -> str | None:
        """Return once what has gone wrong on the device, None while all is well."""
        warning, self._warning = self._warning, None
        return warning


def warm_up() -> None:
    """Compile the kernels that default rules do without: those of carving, decay and blocks of the processor."""
    camera = Camera(8, 6, 6.0, 6.0, 3.5, 2.5)
    volume = CudaVolume(0.1, 0.4, 64)
    volume.allocate(np.zeros((1, 3), dtype=np.int32))
    volume.select(np.ones((6, 8), dtype=np.float32), 0.3, 4.0, True)
    color = np.zeros((6, 8, 3), dtype=np.uint8)
    volume.integrate(color, camera, np.eye(4), 4.0, carve_from_m=0.3, stamp_s=1.0, half_life_s=1.0)
