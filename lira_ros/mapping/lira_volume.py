"""LIRA's volume around the views of a fragment, taken out of the map: an export for fusion as LIRA does it.

The rules are those of LIRA's specification, sections 1.3 and 1.4: a cube of 96 x 96 x 96 voxels of 4 cm along the axes
of the map, with z up, placed by the frusta of the keyframes of a fragment and set to whole multiples of 8 voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.mapping import voxel
from lira_ros.mapping.composition import VoxelSource
from lira_ros.mapping.fragment import BLOCK_SIZE
from lira_ros.mapping.tsdf import Volume

# LIRA, section 1.3: the size of the volume and of its voxels, and how it is placed.
SIZE_VOXELS = 96
VOXEL_SIZE_M = 0.04
SNAP_VOXELS = 8
FRUSTUM_DEPTH_M = 3.0
CENTRE_HEIGHT_M = -0.2
# LIRA, section 1.4: truncation of 3 voxels; what lies within it was observed and is not saturated.
TRUNCATION_M = 0.12
OCCUPIED_BELOW = 0.999


@dataclass(frozen=True)
class LiraVolume:
    """A dense part of the map on LIRA's grid, whose voxel v is centred at v * VOXEL_SIZE_M in the map.

    origin_voxels: (3,) int64, the voxel at index 0, 0, 0. tsdf: (96, 96, 96) float32 in [-1, 1] in units of
    TRUNCATION_M, indexed x, y, z, 1 where nothing was observed. weight: the same shape, 0 = never observed.
    color: (96, 96, 96, 3) uint8 RGB.
    """

    origin_voxels: NDArray[np.int64]
    tsdf: NDArray[np.float32]
    weight: NDArray[np.float32]
    color: NDArray[np.uint8]

    @property
    def occupied(self) -> NDArray[np.bool_]:
        """Return which voxels lie near a surface (LIRA, section 1.4: the voxel set of a fragment)."""
        return (np.abs(self.tsdf) < OCCUPIED_BELOW) & (self.weight > 0)

    @property
    def origin_m(self) -> NDArray[np.float64]:
        """Return the (3,) centre of the voxel at index 0, 0, 0 in the map [m]."""
        return np.asarray(self.origin_voxels * VOXEL_SIZE_M, dtype=np.float64)


def frustum_bounds(
    cameras: Sequence[Camera], T_map_camera: NDArray[np.float64], depth_m: float = FRUSTUM_DEPTH_M
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and upper corner (3,) [m] of the box around views up to a depth: apex and 4 image corners each.

    cameras: N. T_map_camera: (N, 4, 4). Raises ValueError without views, or when the numbers differ.
    """
    poses = np.asarray(T_map_camera, dtype=np.float64)
    if len(cameras) == 0 or poses.shape != (len(cameras), 4, 4):
        raise ValueError(f"expected (N, 4, 4) poses of N > 0 cameras, got {poses.shape} and {len(cameras)} cameras")
    corners = []
    for camera, pose in zip(cameras, poses, strict=True):
        u = np.array([0.0, 0.0, 0.0, camera.width_px, camera.width_px])
        v = np.array([0.0, 0.0, camera.height_px, 0.0, camera.height_px])
        z = np.array([0.0, depth_m, depth_m, depth_m, depth_m])
        points = np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z], axis=1)
        corners.append(points @ pose[:3, :3].T + pose[:3, 3])
    everything = np.concatenate(corners)
    return everything.min(axis=0), everything.max(axis=0)


def volume_origin(lower_m: NDArray[np.float64], upper_m: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the (3,) first voxel of the volume for the bounds of the views.

    x and y: the middle of the bounds, rounded to a multiple of 8 voxels, is the centre. z always begins at the multiple
    of 8 voxels at or below -0.2 m, and so spans -0.32 to 3.52 m over the floor that LIRA assumes at 0.
    """
    centre = 0.5 * (np.asarray(lower_m, dtype=np.float64) + np.asarray(upper_m, dtype=np.float64)) / VOXEL_SIZE_M
    origin = np.empty(3, dtype=np.int64)
    origin[:2] = np.rint(centre[:2] / SNAP_VOXELS).astype(np.int64) * SNAP_VOXELS - SIZE_VOXELS // 2
    origin[2] = int(np.floor(CENTRE_HEIGHT_M / VOXEL_SIZE_M / SNAP_VOXELS)) * SNAP_VOXELS
    return origin


def blocks_within(origin_voxels: NDArray[np.int64], voxel_size_m: float) -> NDArray[np.int32]:
    """Return the (B, 3) blocks of a map of ``voxel_size_m`` that the volume at an origin is taken from."""
    block_m = BLOCK_SIZE * voxel_size_m
    low = np.floor((origin_voxels * VOXEL_SIZE_M - voxel_size_m) / block_m).astype(np.int64)
    high = np.floor(((origin_voxels + SIZE_VOXELS - 1) * VOXEL_SIZE_M + voxel_size_m) / block_m).astype(np.int64)
    sides = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)


def lira_volume(volume: Volume, origin_voxels: NDArray[np.int64]) -> LiraVolume:
    """Take the volume that begins at a voxel (3,), a multiple of 8, out of a map whose voxels may be of another size.

    Values between the voxels of the map are trilinear. A map with a shorter truncation distance than LIRA's knows
    nothing of what lies beyond: there values stay -1 and 1. Raises ValueError for an origin that is no multiple of 8.
    """
    origin = np.asarray(origin_voxels, dtype=np.int64)
    if origin.shape != (3,) or (origin % SNAP_VOXELS != 0).any():
        raise ValueError(f"origin_voxels: expected 3 multiples of {SNAP_VOXELS}, got {origin_voxels}")
    side = SIZE_VOXELS // BLOCK_SIZE
    steps = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    first = origin // BLOCK_SIZE
    shape = (SIZE_VOXELS,) * 3
    tsdf, weight = np.ones(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    color = np.zeros((*shape, 3), dtype=np.uint8)
    source = VoxelSource.of_volume(volume)
    scale = VOXEL_SIZE_M / volume.voxel_size_m
    per_truncation = np.float32(volume.truncation_m / TRUNCATION_M)
    for blocks, records, observed in source.at((steps + first).astype(np.int32), np.eye(4), volume.voxel_size_m, scale):
        for n in np.nonzero(observed)[0]:
            x, y, z = (blocks[n] - first) * BLOCK_SIZE
            place = np.s_[x : x + BLOCK_SIZE, y : y + BLOCK_SIZE, z : z + BLOCK_SIZE]
            # Voxels of a block run x fastest.
            channels = records[n].reshape(voxel.CHANNELS, BLOCK_SIZE, BLOCK_SIZE, BLOCK_SIZE).transpose(0, 3, 2, 1)
            seen = channels[voxel.WEIGHT] > 0
            value = channels[voxel.TSDF]
            saturated = np.abs(value) >= 1.0
            value = np.where(saturated, np.sign(value), np.clip(value * per_truncation, -1.0, 1.0))
            tsdf[place] = np.where(seen, value, np.float32(1.0))
            weight[place] = channels[voxel.WEIGHT]
            color[place] = np.rint(channels[voxel.RED : voxel.RED + 3]).astype(np.uint8).transpose(1, 2, 3, 0)
    return LiraVolume(origin, tsdf, weight, color)
