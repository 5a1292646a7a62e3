"""Exchange maps with Open3D: its VoxelBlockGrid and the .npz file that this saves to.

Both keep blocks of 8x8x8 voxels whose voxel v is centred at v * voxel_size, with x running fastest, then y, then z, so
voxels are copied as they are. What the attributes of the grid mean, all float32:

- tsdf: distance in units of the truncation distance, -1 to 1, positive in front of the surface, as ours.
- weight: as ours; 0 = never observed.
- color: red, green, blue from 0 to 255 (Open3D divides by 255 when it extracts a surface), as ours.

A grid has neither a truncation distance nor a pose; Open3D goes by 8 voxels unless told otherwise.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lira_ros.mapping import voxel
from lira_ros.mapping.atomic_file import partial_file
from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK, Fragment
from lira_ros.mapping.tsdf import Volume

OPEN3D_TRUNCATION_VOXELS = 8.0  # trunc_voxel_multiplier of VoxelBlockGrid.integrate()
_CHANNELS = {"tsdf": 1, "weight": 1, "color": 3}


class Open3DError(RuntimeError):
    """Open3D is not installed, or a grid is not one that can be taken over; says which and why."""


def _open3d() -> Any:
    try:
        import open3d
    except (ImportError, OSError) as error:  # OSError: one of its system libraries is missing
        raise Open3DError(f"Open3D cannot be imported: {error}; install it with: pip install open3d-cpu") from error
    return open3d


def grid_of_fragment(fragment: Fragment) -> Any:
    """Return the voxels of a fragment as an open3d.t.geometry.VoxelBlockGrid on the CPU, in the fragment's frame.

    Raises Open3DError when Open3D is not installed.
    """
    return _grid(fragment.voxel_size_m, fragment.block_coordinates, fragment.tsdf, fragment.weight, fragment.color)


def grid_of_map(base: Volume, part: Volume, part_offset: NDArray[np.int64]) -> Any:
    """Return a map, which is base plus part, as an open3d.t.geometry.VoxelBlockGrid on the CPU.

    part_offset: (3,) blocks by which those of ``part`` are moved to lie in the map. Blocks without a known voxel are
    left out. Raises Open3DError when Open3D is not installed.
    """
    whole = base
    if part.block_count:
        whole = Volume(base.voxel_size_m, base.truncation_m, base.block_count + part.block_count)
        whole.merge(base, np.zeros(3, dtype=np.int64))
        whole.merge(part, part_offset)
    records = whole.records[: whole.block_count]
    known = np.nonzero((records[:, voxel.WEIGHT] > 0).any(axis=1))[0]
    color = np.moveaxis(records[known, voxel.RED : voxel.BLUE + 1], 1, 2)
    return _grid(
        base.voxel_size_m,
        whole.block_coordinates[known],
        records[known, voxel.TSDF],
        records[known, voxel.WEIGHT],
        color,
    )


def _grid(voxel_size_m: float, blocks: NDArray[np.int32], tsdf: NDArray, weight: NDArray, color: NDArray) -> Any:
    open3d = _open3d()
    core = open3d.core
    grid = open3d.t.geometry.VoxelBlockGrid(
        attr_names=tuple(_CHANNELS),
        attr_dtypes=(core.float32,) * len(_CHANNELS),
        attr_channels=tuple((count,) for count in _CHANNELS.values()),
        voxel_size=voxel_size_m,
        block_resolution=BLOCK_SIZE,
        block_count=max(len(blocks), 1),
        device=core.Device("CPU:0"),
    )
    if len(blocks) == 0:
        return grid
    indices, _ = grid.hashmap().activate(core.Tensor(np.ascontiguousarray(blocks, dtype=np.int32)))
    rows = indices.to(core.int64)
    for name, values in (("tsdf", tsdf), ("weight", weight), ("color", color)):
        shaped = np.ascontiguousarray(values, dtype=np.float32).reshape(-1, *(BLOCK_SIZE,) * 3, _CHANNELS[name])
        grid.attribute(name)[rows] = core.Tensor(shaped)
    return grid


def fragment_of_grid(grid: Any, truncation_m: float | None = None) -> Fragment:
    """Return an open3d.t.geometry.VoxelBlockGrid as fragment 1 with its pose at the origin, blocks sorted by x, y, z.

    truncation_m: by which its tsdf was divided; 8 voxels, Open3D's own, unless given. A grid without colours is grey.
    Attributes may be of any type, weights of 16 bits for example. Raises Open3DError for an empty grid, for blocks that
    are not 8x8x8, when tsdf or weight is missing, or for values that are not finite.
    """
    open3d = _open3d()
    active = grid.hashmap().active_buf_indices()
    blocks = grid.hashmap().key_tensor()[active.to(open3d.core.int64)].cpu().numpy()
    if len(blocks) == 0:
        raise Open3DError("the voxel block grid is empty")
    order = np.lexsort((blocks[:, 2], blocks[:, 1], blocks[:, 0]))
    arrays = {
        name: _attribute(grid, name, active.to(open3d.core.int64), count)[order] for name, count in _CHANNELS.items()
    }
    # The grid does not tell its voxel size, but where the last voxel of a block is.
    points, _ = grid.voxel_coordinates_and_flattened_indices(active[:1].to(open3d.core.int32))
    last = BLOCK_SIZE * blocks[0].astype(np.float64) + BLOCK_SIZE - 1
    voxel_size_m = float(f"{float((points[-1].cpu().numpy() / last).mean()):.6g}")
    return Fragment(
        id=1,
        revision=1,
        stamp_ns=0,
        T_map_fragment=np.eye(4),
        voxel_size_m=voxel_size_m,
        truncation_m=OPEN3D_TRUNCATION_VOXELS * voxel_size_m if truncation_m is None else truncation_m,
        keyframe_ids=(),
        block_coordinates=np.ascontiguousarray(blocks[order], dtype=np.int32),
        tsdf=np.ascontiguousarray(arrays["tsdf"][:, :, 0]),
        weight=np.ascontiguousarray(arrays["weight"][:, :, 0]),
        color=np.clip(np.rint(arrays["color"]), 0, 255).astype(np.uint8),
    )


def _attribute(grid: Any, name: str, active: Any, channels: int) -> NDArray[np.float32]:
    # (B, 512, channels) of the active blocks.
    utility = _open3d().utility
    with utility.VerbosityContextManager(utility.VerbosityLevel.Error):
        values = grid.attribute(name)
    if values.shape[0] == 0:
        if name == "color":
            return np.full((active.shape[0], VOXELS_PER_BLOCK, channels), 128, dtype=np.float32)
        raise Open3DError(f"the voxel block grid has no attribute {name!r}")
    expected = (BLOCK_SIZE, BLOCK_SIZE, BLOCK_SIZE, channels)
    if tuple(values.shape)[1:] != expected:
        raise Open3DError(f"attribute {name!r} of the grid: expected {expected} a block, got {tuple(values.shape)[1:]}")
    array = values[active].cpu().numpy().reshape(-1, VOXELS_PER_BLOCK, channels).astype(np.float32)
    if not np.isfinite(array).all():
        raise Open3DError(f"attribute {name!r} of the voxel block grid has values that are not finite")
    return array


def write_grid(path: str | Path, grid: Any) -> None:
    """Save a VoxelBlockGrid as the .npz file that VoxelBlockGrid.load() reads.

    Raises Open3DError for another ending, OSError when the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise Open3DError(f"{path}: Open3D saves voxel block grids to files that end with .npz")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: there is no such folder")
    with partial_file(path) as partial:
        try:
            grid.save(str(partial))
        except RuntimeError as error:
            raise OSError(f"{path}: cannot write the grid: {error}") from error


def read_grid(path: str | Path) -> Any:
    """Load a VoxelBlockGrid from its .npz file; raises Open3DError that names the file when that is none."""
    open3d = _open3d()
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = {"key", "voxel_size", "block_resolution"} - set(getattr(file, "files", ()))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise Open3DError(f"{path}: not a voxel block grid of Open3D: {error}") from error
    if missing:
        raise Open3DError(f"{path}: not a voxel block grid of Open3D: it has no {', '.join(sorted(missing))}")
    try:
        return open3d.t.geometry.VoxelBlockGrid.load(str(path))
    except RuntimeError as error:
        raise Open3DError(f"{path}: not a voxel block grid of Open3D: {error}") from error
