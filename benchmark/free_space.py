"""Time a slice of free space of a large map, beside the same done with NumPy and SciPy, in one run.

Usage: python benchmark/free_space.py [--edge 20] [--voxel 0.02] [--rounds 7]

The map is made without a camera: a floor with rooms of 4 x 4 m whose walls are 10 cm thick, every block near a surface.
Both classify the slab from 0.1 to 1.2 m above the floor into cells of 5 cm and measure signed distances. Both must give
the same cells. Processor times, medians over rounds that alternate; both use one thread.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy import ndimage

from lira_ros.geometry.ground import GroundPlane
from lira_ros.mapping.distance_field import FREE, OCCUPIED, UNKNOWN, Slab, distance_slice
from lira_ros.mapping.fragment import VOXELS_PER_BLOCK
from lira_ros.mapping.precompile import warm_up
from lira_ros.mapping.tsdf import Volume
from lira_ros.mapping.voxel import TSDF, WEIGHT, unique_blocks

ROOM_M, WALL_M, HEIGHT_M, TRUNCATION_VOXELS = 4.0, 0.1, 2.4, 4.0
BOTTOM_M, TOP_M, CELL_M, LEAST_WEIGHT = 0.1, 1.2, 0.05, 1.5


def generated_map(edge_m: float, voxel_m: float) -> Volume:
    block_m = 8 * voxel_m
    truncation_m = TRUNCATION_VOXELS * voxel_m
    count = round(edge_m / block_m)
    across = np.arange(count)
    level = np.stack(np.meshgrid(across, across, [-1, 0], indexing="ij"), -1).reshape(-1, 3)
    near_wall = np.abs((across * block_m + 0.5 * block_m + ROOM_M / 2) % ROOM_M - ROOM_M / 2) < block_m
    lines = np.nonzero(near_wall)[0]
    upright = np.stack(np.meshgrid(lines, across, np.arange(round(HEIGHT_M / block_m)), indexing="ij"), -1)
    upright = upright.reshape(-1, 3)
    blocks = unique_blocks(np.concatenate([level, upright, upright[:, [1, 0, 2]]]).astype(np.int32))
    volume = Volume(voxel_m, truncation_m, len(blocks))
    rows = volume.allocate(blocks)
    index = np.arange(VOXELS_PER_BLOCK)
    local = np.stack([index & 7, index >> 3 & 7, index >> 6], axis=1)
    for chunk in np.array_split(np.arange(len(blocks)), max(1, len(blocks) // 2000)):
        points = (blocks[chunk, None, :] * 8 + local) * voxel_m
        walls = np.abs((points[..., :2] + ROOM_M / 2) % ROOM_M - ROOM_M / 2) - WALL_M / 2
        distance = np.minimum(points[..., 2], walls.min(axis=-1))
        volume.records[rows[chunk], TSDF] = np.clip(distance / truncation_m, -1, 1)
        volume.records[rows[chunk], WEIGHT] = np.where(distance > -truncation_m, 5.0, 0.0)
    return volume


def with_numpy(volume: Volume, edge_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Classify by whole arrays (+z up, one volume) and measure with scipy, as one would first write it."""
    cells = round(edge_m / CELL_M)
    states = np.full((cells, cells), UNKNOWN, np.uint8)
    blocks = volume.block_coordinates
    height_m = blocks[:, 2] * 8 * volume.voxel_size_m
    index = np.arange(VOXELS_PER_BLOCK)
    local = np.stack([index & 7, index >> 3 & 7, index >> 6], axis=1)
    kept = (height_m + 7 * volume.voxel_size_m >= BOTTOM_M) & (height_m <= TOP_M)
    records = volume.records[: volume.block_count][kept]
    z = height_m[kept, None] + local[:, 2] * volume.voxel_size_m
    known = (records[:, WEIGHT] >= LEAST_WEIGHT) & (z >= BOTTOM_M) & (z <= TOP_M)
    behind = known & (records[:, TSDF] <= 0)
    front = known & ~behind & (z <= BOTTOM_M + volume.truncation_m)
    x = (blocks[kept, None, 0] * 8 + local[:, 0]) * volume.voxel_size_m
    y = (blocks[kept, None, 1] * 8 + local[:, 1]) * volume.voxel_size_m
    half = 0.4995 * volume.voxel_size_m
    for where, state in ((front, FREE), (behind, OCCUPIED)):
        for dx in (-half, half):
            for dy in (-half, half):
                column = np.floor((x[where] + dx) / CELL_M).astype(int)
                row = np.floor((y[where] + dy) / CELL_M).astype(int)
                inside = (column >= 0) & (row >= 0) & (column < cells) & (row < cells)
                states[row[inside], column[inside]] = state
    blocked = np.pad(states != FREE, 1, constant_values=True)
    outwards, inwards = ndimage.distance_transform_edt(~blocked), ndimage.distance_transform_edt(blocked)
    return states, np.where(blocked, 0.5 - inwards, outwards - 0.5)[1:-1, 1:-1] * CELL_M


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--edge", type=float, default=20.0, help="edge of the map [m]")
    parser.add_argument("--voxel", type=float, default=0.02, help="voxel size [m]")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    warm_up()
    volume = generated_map(options.edge, options.voxel)
    nothing = Volume(options.voxel, volume.truncation_m, 1), np.zeros(3, np.int64)
    middle = np.array([options.edge / 2, options.edge / 2, 0.0])
    up = np.array([0.0, 0.0, 1.0])
    slabs = {
        "whole": Slab(GroundPlane(up, 0.0), BOTTOM_M, TOP_M, CELL_M, middle, options.edge / 2),
        "5 m around": Slab(GroundPlane(up, 0.0), BOTTOM_M, TOP_M, CELL_M, middle, 5.0),
        "whole, up 10 degrees off": Slab(
            GroundPlane(np.array([0.0, np.sin(np.pi / 18), np.cos(np.pi / 18)]), 0.0), -2.0, 2.0, CELL_M,
            middle, options.edge / 2,
        ),
    }  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in ("NumPy and SciPy, whole", *slabs)}
    for _ in range(options.rounds):
        started = time.process_time()
        states, distances_m = with_numpy(volume, options.edge)
        times["NumPy and SciPy, whole"].append(time.process_time() - started)
        for name, slab in slabs.items():
            started = time.process_time()
            result = distance_slice(volume, *nothing, slab, LEAST_WEIGHT)
            times[name].append(time.process_time() - started)
            if name == "whole":
                equal = float((result.states == states).mean())
                worst_m = float(np.abs(result.distances_m - distances_m).max())
    print(f"{volume.block_count} blocks of {options.voxel} m voxels, {len(states)} x {len(states)} cells")
    print(f"cells equal: {100 * equal:.3f} %, distances differ by at most {1000 * worst_m:.3f} mm")
    reference_ms = 1e3 * float(np.median(times["NumPy and SciPy, whole"]))
    for name, taken in times.items():
        milliseconds = 1e3 * float(np.median(taken))
        print(f"{name:28s} {milliseconds:8.1f} ms   x{reference_ms / milliseconds:.1f}")


if __name__ == "__main__":
    main()
