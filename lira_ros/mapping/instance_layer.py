"""InstanceLayer: which instance each voxel of the map belongs to, kept apart from the voxels themselves."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.depth import noise_m
from lira_ros.mapping.fragment import VOXELS_PER_BLOCK
from lira_ros.mapping.kernels import allocate_all, find, insert_all
from lira_ros.mapping.voxel import BLOCK_LIMIT, EMPTY, Array, compiled, pack_key, unique_blocks

_FIRST_BLOCKS = 1 << 9
# Voxels are packed into 21 bits each to compare sets of them: 3 * 16 bits for blocks and 3 for the place in a block.
_VOXEL_BITS = 21
_VOXEL_BIAS = 1 << (_VOXEL_BITS - 1)
# A measured point is where it seems to be within three standard deviations of the noise (99.7 %), and within a voxel
# for what the map and the pose are off.
_NOISE_DEVIATIONS = 3.0


@compiled
def assign(keys: Array, values: Array, ids: Array, voxels: Array, instance_id: int, changed: Array) -> None:
    """Write ``instance_id`` to (N, 3) voxels, whose blocks exist; tell in ``changed`` (N,) where it was another."""
    for i in range(voxels.shape[0]):
        x, y, z = voxels[i, 0], voxels[i, 1], voxels[i, 2]
        row = find(keys, values, pack_key(x >> 3, y >> 3, z >> 3))
        place = (x & 7) | ((y & 7) << 3) | ((z & 7) << 6)
        changed[i] = ids[row, place] != instance_id
        ids[row, place] = instance_id


@compiled
def look_up_ids(keys: Array, values: Array, ids: Array, points: Array, voxel_m: float, found: Array) -> None:
    """Write the id of the voxel nearest to each of (N, 3) points [m], or else of the second nearest along an axis."""
    for i in range(points.shape[0]):
        x, y, z = points[i, 0] / voxel_m, points[i, 1] / voxel_m, points[i, 2] / voxel_m
        nx, ny, nz = int(np.rint(x)), int(np.rint(y)), int(np.rint(z))
        found[i] = 0
        for attempt in range(2):
            if attempt == 1:
                # A vertex of the mesh lies between two voxels: the farther one is along its only broken coordinate.
                dx, dy, dz = x - nx, y - ny, z - nz
                if abs(dx) >= abs(dy) and abs(dx) >= abs(dz):
                    nx += 1 if dx > 0.0 else -1
                elif abs(dy) >= abs(dz):
                    ny += 1 if dy > 0.0 else -1
                else:
                    nz += 1 if dz > 0.0 else -1
            row = find(keys, values, pack_key(nx >> 3, ny >> 3, nz >> 3))
            if row >= 0:
                found[i] = ids[row, (nx & 7) | ((ny & 7) << 3) | ((nz & 7) << 6)]
                if found[i] != 0:
                    break


@compiled
def ids_at_depth(
    keys: Array, values: Array, ids: Array, depth: Array, pinhole: Array, pose: Array, voxel_m: float, found: Array
) -> None:
    """Write to (H, W) the id of the voxel nearest along the ray to what each pixel measures [m], 0 without one."""
    block_x, block_y, block_z, row = 0, 0, 0, find(keys, values, pack_key(0, 0, 0))
    # Truncation of what is positive rounds to the nearest, at a fraction of the cost of rint.
    ox = pose[0, 3] / voxel_m + _VOXEL_BIAS + 0.5
    oy = pose[1, 3] / voxel_m + _VOXEL_BIAS + 0.5
    oz = pose[2, 3] / voxel_m + _VOXEL_BIAS + 0.5
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            z = float(depth[v, u])
            found[v, u] = 0
            if z <= 0.0:
                continue
            x, y = (u - pinhole[2]) / pinhole[0], (v - pinhole[3]) / pinhole[1]
            # In voxels, by metres along the optical axis.
            dx = (pose[0, 0] * x + pose[0, 1] * y + pose[0, 2]) / voxel_m
            dy = (pose[1, 0] * x + pose[1, 1] * y + pose[1, 2]) / voxel_m
            dz = (pose[2, 0] * x + pose[2, 1] * y + pose[2, 2]) / voxel_m
            step_m = voxel_m / np.sqrt(x * x + y * y + 1.0)
            steps = 1 + int(np.ceil(_NOISE_DEVIATIONS * noise_m(z) / step_m))
            for k in range(2 * steps + 1):
                # 0, 1, -1, 2, -2 ... steps: what is nearest to the measurement wins, what is behind it of equals.
                at = z + step_m * ((k + 1) // 2 if k % 2 == 1 else -(k // 2))
                nx = int(ox + dx * at) - _VOXEL_BIAS
                ny = int(oy + dy * at) - _VOXEL_BIAS
                nz = int(oz + dz * at) - _VOXEL_BIAS
                if nx >> 3 != block_x or ny >> 3 != block_y or nz >> 3 != block_z:
                    block_x, block_y, block_z = nx >> 3, ny >> 3, nz >> 3
                    row = find(keys, values, pack_key(block_x, block_y, block_z))
                if row >= 0:
                    here = ids[row, (nx & 7) | ((ny & 7) << 3) | ((nz & 7) << 6)]
                    if here != 0:
                        found[v, u] = here
                        break


def _packed(voxels: NDArray[np.integer]) -> NDArray[np.int64]:
    x, y, z = voxels.astype(np.int64).T + _VOXEL_BIAS
    return np.unique(x << (2 * _VOXEL_BITS) | y << _VOXEL_BITS | z)


def _unpacked(keys: NDArray[np.int64]) -> NDArray[np.int32]:
    mask = (1 << _VOXEL_BITS) - 1
    axes = [keys >> (2 * _VOXEL_BITS), keys >> _VOXEL_BITS & mask, keys & mask]
    return (np.stack(axes, axis=1) - _VOXEL_BIAS).astype(np.int32)


def _among(keys: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    # Which of the sorted keys are among the sorted others.
    place = np.minimum(np.searchsorted(others, keys), max(len(others) - 1, 0))
    return others[place] == keys if len(others) else np.zeros(len(keys), np.bool_)


class InstanceLayer:
    """Instance ids by voxel of the map, as sets of voxels that come and go as a whole.

    Voxel v is centred at v * voxel_size_m. Where instances overlap, a voxel belongs to the one that was set last, and
    falls back to the one before when that one leaves.
    """

    def __init__(self, voxel_size_m: float) -> None:
        """Start without instances."""
        self.voxel_size_m = voxel_size_m
        self._voxels: dict[int, NDArray[np.int64]] = {}
        self._changed: list[NDArray[np.int32]] = []
        self._start_empty()

    def _start_empty(self) -> None:
        self._ids = np.zeros((_FIRST_BLOCKS, VOXELS_PER_BLOCK), np.uint32)
        self._coordinates = np.zeros((_FIRST_BLOCKS, 3), np.int32)
        self._count = 0
        self._new_table()

    def _new_table(self) -> None:
        # Never more than half full: there are twice as many slots as rows.
        self._keys = np.full(2 * len(self._ids), EMPTY, np.int64)
        self._values = np.empty(2 * len(self._ids), np.int32)

    def ids(self) -> tuple[int, ...]:
        """Return the ids of all instances, the one set last at the end."""
        return tuple(self._voxels)

    def set(self, instance_id: int, voxels: NDArray[np.integer]) -> None:
        """Let an instance be the (N, 3) integer voxels of the map, in place of those that it had.

        Raises ValueError for an id outside of 1 to 2^32 - 1, or voxels of another shape or outside of the map.
        """
        if not 0 < instance_id < 1 << 32:
            raise ValueError(f"instance id: expected 1 to {(1 << 32) - 1}, got {instance_id}")
        if voxels.ndim != 2 or voxels.shape[1] != 3 or not np.issubdtype(voxels.dtype, np.integer):
            raise ValueError(f"voxels: expected integers of shape (N, 3), got {voxels.dtype} {voxels.shape}")
        if len(voxels) and (voxels.min() < -8 * BLOCK_LIMIT or voxels.max() >= 8 * BLOCK_LIMIT):
            raise ValueError(
                f"voxels: expected -{8 * BLOCK_LIMIT} to {8 * BLOCK_LIMIT - 1}, got {voxels.max()} at most"
            )
        wanted = _packed(voxels)
        before = self._voxels.pop(instance_id, np.zeros(0, np.int64))
        self._release(before[~_among(before, wanted)])
        self._voxels[instance_id] = wanted
        self._assign(wanted, instance_id)

    def remove(self, instance_id: int) -> None:
        """Forget an instance; raises KeyError when there is none with this id."""
        self._release(self._voxels.pop(instance_id))

    def clear(self) -> None:
        """Forget all instances."""
        self._voxels.clear()
        there = np.nonzero(self._ids[: self._count].any(axis=1))[0]
        self._changed.append(_with_lower_neighbours(self._coordinates[there]))
        self._start_empty()

    def _release(self, voxels: NDArray[np.int64]) -> None:
        # What an instance leaves falls to the others that claim it, the one set last in the end.
        self._assign(voxels, 0)
        if len(voxels):
            for other, claimed in self._voxels.items():
                self._assign(voxels[_among(voxels, claimed)], other)

    def _assign(self, packed: NDArray[np.int64], instance_id: int) -> None:
        if len(packed) == 0:
            return
        voxels = _unpacked(packed)
        self._allocate(unique_blocks(voxels >> 3))
        changed = np.empty(len(voxels), np.bool_)
        assign(self._keys, self._values, self._ids, voxels, instance_id, changed)
        if changed.any():
            self._changed.append(_blocks_showing(voxels[changed]))

    def _allocate(self, blocks: NDArray[np.int32]) -> None:
        rows = len(self._ids)
        while rows < self._count + len(blocks):
            rows *= 2
        if rows > len(self._ids):
            more = rows - len(self._ids)
            self._ids = np.concatenate([self._ids, np.zeros((more, VOXELS_PER_BLOCK), np.uint32)])
            self._coordinates = np.concatenate([self._coordinates, np.zeros((more, 3), np.int32)])
            self._new_table()
            insert_all(self._keys, self._values, self._coordinates, self._count)
        indices = np.empty(len(blocks), np.int32)
        self._count = allocate_all(self._keys, self._values, self._coordinates, self._count, rows, blocks, indices)

    def look_up(self, points: NDArray[np.floating]) -> NDArray[np.uint32]:
        """Return the (N,) uint32 instance ids at (N, 3) map points [m], 0 where there is none.

        A point is in the voxel nearest to it. Where that has no id, the second nearest counts, so that a vertex of
        the mesh, which lies between two voxels, belongs to what either of them does.
        """
        found = np.empty(len(points), np.uint32)
        coordinates = np.ascontiguousarray(points, dtype=np.float32)
        look_up_ids(self._keys, self._values, self._ids, coordinates, self.voxel_size_m, found)
        return found

    def look_up_depth(
        self, depth_m: NDArray[np.float32], camera: Camera, T_map_camera: NDArray[np.float64]
    ) -> NDArray[np.uint32]:
        """Return the (H, W) uint32 instance ids of what a depth image [m] shows, 0 where there is none.

        A pixel shows the instance voxel nearest to its measurement along its ray, within a voxel and the noise of the
        sensor: whatever stands in front of an instance now hides it, and what was taken away is not shown. A pixel
        without depth shows none. Raises ValueError for an image of another size than the camera's.
        """
        size = (camera.height_px, camera.width_px)
        if depth_m.shape != size:
            raise ValueError(f"depth_m: expected shape {size} of the camera, got {depth_m.shape}")
        found = np.zeros(size, np.uint32)
        if self._voxels:
            ids_at_depth(
                self._keys,
                self._values,
                self._ids,
                np.ascontiguousarray(depth_m, dtype=np.float32),
                np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
                np.ascontiguousarray(T_map_camera, dtype=np.float64),
                self.voxel_size_m,
                found,
            )
        return found

    def changed_blocks(self) -> NDArray[np.int32]:
        """Return the (B, 3) blocks whose mesh shows other ids than at the last call."""
        if not self._changed:
            return np.zeros((0, 3), np.int32)
        changed = unique_blocks(np.concatenate(self._changed))
        self._changed.clear()
        return changed


def _blocks_showing(voxels: NDArray[np.int32]) -> NDArray[np.int32]:
    # The mesh of a block reaches to the first voxels of its upper neighbours.
    blocks, first = voxels >> 3, (voxels & 7) == 0
    found = [unique_blocks(blocks)]
    for step in itertools.product((0, 1), repeat=3):
        if any(step):
            lower = np.array(step, np.int32)
            at_border = first[:, lower == 1].all(axis=1)
            found.append(unique_blocks(blocks[at_border] - lower))
    return unique_blocks(np.concatenate(found))


def _with_lower_neighbours(blocks: NDArray[np.int32]) -> NDArray[np.int32]:
    steps = np.array(list(itertools.product((0, 1), repeat=3)), np.int32)
    return unique_blocks((blocks[:, None] - steps[None]).reshape(-1, 3))
