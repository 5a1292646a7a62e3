"""Looking at the map: labels where a depth image hits it, and how it appears to a camera.

The map is base plus part, whose blocks lie ``part_offset`` (3,) further, like in SurfaceMesh.update().
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.pose import inverse
from lira_ros.mapping import view_kernels
from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK
from lira_ros.mapping.instance_layer import InstanceLayer
from lira_ros.mapping.tsdf import Volume

# Surface voxels for which there is room at first; about what a camera of 640 x 480 sees at 2 cm.
_FIRST_POINTS = 1 << 16
# A tsdf along rays may rise twice as fast as the true distance, which is at most a voxel on either side.
SURFACE_BAND_VOXELS = 2.0
_NO_OFFSET = np.zeros(3, np.int64)


@dataclass(frozen=True)
class View:
    """What a camera sees of the map.

    depth_m: (H, W) float32 along the optical axis, 0 = nothing. normals: (H, W, 3) float32 of unit length in the map
    frame, pointing out of the surface, 0 where unknown. colors: (H, W, 3) uint8 RGB. labels: (H, W) uint16 of the
    label channel, 0 = none. instance_ids: (H, W) uint32, 0 = none.
    """

    depth_m: NDArray[np.float32]
    normals: NDArray[np.float32]
    colors: NDArray[np.uint8]
    labels: NDArray[np.uint16]
    instance_ids: NDArray[np.uint32]


def look_up_labels(
    base: Volume, part: Volume, part_offset: NDArray[np.int64], points_map: NDArray[np.floating]
) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Look up the label evidence of the voxels nearest to (N, 3) map points [m].

    Returns (N,) uint16 labels, 0 where there is none, and (N,) float32 their lead in confidence.
    """
    points = np.ascontiguousarray(points_map, dtype=np.float64)
    labels = np.empty(len(points), np.uint16)
    confidences = np.empty(len(points), np.float32)
    view_kernels.look_up(
        points,
        base.voxel_size_m,
        base.records,
        base.keys,
        base.values,
        part.records,
        part.keys,
        part.values,
        part_offset,
        labels,
        confidences,
    )
    return labels, confidences


def look_up_depth_labels(
    base: Volume,
    part: Volume,
    part_offset: NDArray[np.int64],
    depth_m: NDArray[np.float32],
    camera: Camera,
    T_map_camera: NDArray[np.float64],
    stride: int = 1,
) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Look up the label evidence where every stride-th pixel of a depth image lies in the map.

    depth_m: (H, W) float32 [m], 0 = none. Returns the labels, uint16, 0 where there is none, and their lead in
    confidence, float32, of the pixels [stride // 2 :: stride, stride // 2 :: stride]. What was measured cannot be
    hidden, so this needs no rendering. Raises ValueError for an image of another size than the camera's.
    """
    if depth_m.shape != (camera.height_px, camera.width_px):
        raise ValueError(
            f"depth_m: expected shape {(camera.height_px, camera.width_px)} of the camera, got {depth_m.shape}"
        )
    if stride < 1:
        raise ValueError(f"stride must be at least 1, got {stride}")
    size = tuple(len(range(stride // 2, n, stride)) for n in depth_m.shape)
    labels = np.empty(size, np.uint16)
    confidences = np.empty(size, np.float32)
    view_kernels.look_up_depth(
        np.ascontiguousarray(depth_m, dtype=np.float32),
        stride,
        _pinhole(camera),
        np.ascontiguousarray(T_map_camera, dtype=np.float64),
        base.voxel_size_m,
        base.records,
        base.keys,
        base.values,
        part.records,
        part.keys,
        part.values,
        part_offset,
        labels,
        confidences,
    )
    return labels, confidences


def _pinhole(camera: Camera) -> NDArray[np.float64]:
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy])


def blocks_in_view(
    base: Volume,
    part: Volume,
    part_offset: NDArray[np.int64],
    camera: Camera,
    T_camera_map: NDArray[np.float64],
    nearest_m: float,
    farthest_m: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return (B, 5) blocks that the camera may see with their records in base and in part, and (B,) their depths [m].

    A record is -1 where the volume does not have the block.
    """
    found, depths = [], []
    pairs = ((base, _NO_OFFSET, part, part_offset, False), (part, part_offset, base, _NO_OFFSET, True))
    for volume, offset, other, other_offset, only_new in pairs:
        blocks = np.empty((volume.block_count, 5), np.int64)
        depth = np.empty(volume.block_count)
        count = view_kernels.visible_blocks(
            volume.block_coordinates,
            volume.keys,
            volume.values,
            offset,
            other.keys,
            other.values,
            other_offset,
            only_new,
            BLOCK_SIZE * base.voxel_size_m,
            T_camera_map,
            _pinhole(camera),
            camera.width_px,
            camera.height_px,
            nearest_m,
            farthest_m,
            blocks,
            depth,
        )
        found.append(blocks[:count, [0, 1, 2, 4, 3]] if only_new else blocks[:count])
        depths.append(depth[:count])
    return np.concatenate(found), np.concatenate(depths)


def _visible_blocks(
    base: Volume,
    part: Volume,
    part_offset: NDArray[np.int64],
    camera: Camera,
    T_camera_map: NDArray[np.float64],
    nearest_m: float,
    farthest_m: float,
    minimum_weight: float,
) -> NDArray[np.int64]:
    # (B, 5): block of the map near a surface, its record in base and in part, nearest first.
    blocks, depths = blocks_in_view(base, part, part_offset, camera, T_camera_map, nearest_m, farthest_m)
    near = np.empty(len(blocks), np.bool_)
    band = min(SURFACE_BAND_VOXELS * base.voxel_size_m / base.truncation_m, 0.999)
    view_kernels.mark_surfaces(blocks, base.records, part.records, band, minimum_weight, near)
    return blocks[near][np.argsort(depths[near])]


def check_range(nearest_m: float, farthest_m: float) -> None:
    """Raise ValueError for a range of depths [m] that is none."""
    if not 0.0 <= nearest_m < farthest_m < np.inf:
        raise ValueError(f"expected 0 <= nearest_m < farthest_m, got {nearest_m} and {farthest_m}")


def _longer(array: NDArray, length: int) -> NDArray:
    longer = np.empty((length, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


def _splatted(
    base: Volume,
    part: Volume,
    blocks: NDArray[np.int64],
    camera: Camera,
    T_camera_map: NDArray[np.float64],
    minimum_weight: float,
    nearest_m: float,
    farthest_m: float,
) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray, NDArray]:
    # 1 / depth and number of the voxel drawn for each pixel, and the points, normals, colours, labels of the voxels.
    size = (camera.height_px, camera.width_px)
    inverse_depth = np.zeros(size, np.float32)
    winner = np.zeros(size, np.int32)
    room = _FIRST_POINTS
    points, normals = np.empty((room, 3), np.float32), np.empty((room, 3), np.float32)
    colors, labels = np.empty((room, 3), np.uint8), np.empty(room, np.uint16)
    done = count = 0
    while True:
        done, count = view_kernels.splat(
            blocks,
            done,
            base.records,
            part.records,
            base.voxel_size_m,
            base.truncation_m,
            minimum_weight,
            T_camera_map,
            _pinhole(camera),
            nearest_m,
            farthest_m,
            count,
            inverse_depth,
            winner,
            points,
            normals,
            colors,
            labels,
        )
        if done >= len(blocks):
            break
        room = 2 * room + VOXELS_PER_BLOCK
        points, normals, colors, labels = (_longer(array, room) for array in (points, normals, colors, labels))
    return inverse_depth, winner, points[:count], normals[:count], colors[:count], labels[:count]


def splat_view(
    base: Volume,
    part: Volume,
    part_offset: NDArray[np.int64],
    camera: Camera,
    T_map_camera: NDArray[np.float64],
    *,
    minimum_weight: float = 0.0,
    nearest_m: float = 0.05,
    farthest_m: float = 10.0,
    instances: InstanceLayer | None = None,
) -> View:
    """Draw the surface voxels of the map into a camera, nearest in front: fast, whole, rounder at the rims of things.

    Each voxel that the surface passes through, of more than ``minimum_weight``, becomes a piece of the plane that its
    tsdf and slope describe. Raises ValueError for an impossible range.
    """
    check_range(nearest_m, farthest_m)
    T_camera_map = inverse(T_map_camera)
    blocks = _visible_blocks(base, part, part_offset, camera, T_camera_map, nearest_m, farthest_m, minimum_weight)
    inverse_depth, winner, points, normals, colors, labels = _splatted(
        base, part, blocks, camera, T_camera_map, minimum_weight, nearest_m, farthest_m
    )
    size = inverse_depth.shape
    view = empty_view(size)
    view_kernels.shade(
        inverse_depth, winner, normals, colors, labels, view.depth_m, view.normals, view.colors, view.labels
    )
    if instances is None or len(points) == 0:
        return view
    ids = instances.look_up(points)
    return _with_ids(view, np.where(inverse_depth > 0, ids[winner], 0))


def empty_view(size: tuple[int, int]) -> View:
    """Return a view of (H, W) ``size`` that shows nothing."""
    return View(
        np.zeros(size, np.float32),
        np.zeros((*size, 3), np.float32),
        np.zeros((*size, 3), np.uint8),
        np.zeros(size, np.uint16),
        np.zeros(size, np.uint32),
    )


def _with_ids(view: View, ids: NDArray[np.integer]) -> View:
    return View(view.depth_m, view.normals, view.colors, view.labels, ids.astype(np.uint32))


def with_instances(
    depth_m: NDArray[np.float32],
    normals: NDArray[np.float32],
    colors: NDArray[np.uint8],
    labels: NDArray[np.uint16],
    camera: Camera,
    T_map_camera: NDArray[np.float64],
    instances: InstanceLayer | None,
) -> View:
    """Return a view with the instances of the points that it shows, see View; without a layer there are none."""
    ids = np.zeros(depth_m.shape, np.uint32)
    seen = depth_m > 0
    if instances is not None and seen.any():
        ids[seen] = instances.look_up(camera.unproject(depth_m)[seen] @ T_map_camera[:3, :3].T + T_map_camera[:3, 3])
    return View(depth_m, normals, colors, labels, ids)


def cast_view(
    base: Volume,
    part: Volume,
    part_offset: NDArray[np.int64],
    camera: Camera,
    T_map_camera: NDArray[np.float64],
    *,
    minimum_weight: float = 0.0,
    nearest_m: float = 0.05,
    farthest_m: float = 10.0,
    instances: InstanceLayer | None = None,
) -> View:
    """Follow the ray of each pixel to the first surface of the map: exact to a fraction of a voxel, also at rims.

    Voxels count from ``minimum_weight`` on. Raises ValueError for an impossible range.
    """
    check_range(nearest_m, farthest_m)
    T_camera_map = inverse(T_map_camera)
    blocks = _visible_blocks(base, part, part_offset, camera, T_camera_map, nearest_m, farthest_m, minimum_weight)
    size = (camera.height_px, camera.width_px)
    near_base, near_part = np.zeros(base.block_count, np.bool_), np.zeros(part.block_count, np.bool_)
    for flags, records in ((near_base, blocks[:, 3]), (near_part, blocks[:, 4])):
        flags[records[records >= 0]] = True
    # Where the splats are is known in a fraction of the time that the way of a ray through free space takes.
    inverse_depth = _splatted(base, part, blocks, camera, T_camera_map, minimum_weight, nearest_m, farthest_m)[0]
    tiles = tuple(-(-n // view_kernels.TILE_PX) for n in size)
    lowest, highest = np.full(tiles, np.inf), np.full(tiles, -np.inf)
    pinhole = _pinhole(camera)
    view_kernels.tile_ranges(blocks, base.voxel_size_m, T_camera_map, pinhole, nearest_m, farthest_m, lowest, highest)
    view = empty_view(size)
    view_kernels.cast(
        base.records,
        base.keys,
        base.values,
        part.records,
        part.keys,
        part.values,
        part_offset,
        base.voxel_size_m,
        base.truncation_m,
        minimum_weight,
        np.ascontiguousarray(T_map_camera, dtype=np.float64),
        pinhole,
        near_base,
        near_part,
        inverse_depth,
        lowest,
        highest,
        view.depth_m,
        view.normals,
        view.colors,
        view.labels,
    )
    return with_instances(view.depth_m, view.normals, view.colors, view.labels, camera, T_map_camera, instances)
