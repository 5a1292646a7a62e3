"""Compare LIRA's lifting by a search around the projected voxel with comparing every voxel with every pixel.

Usage: python benchmark/tiff_lifting.py [--data out/homes] [--seed 1] [--fragments 3] [--keyframes 9]

Keyframes of a walk through a generated home, nine a fragment, one thread of the processor. `every pixel` is the rule as
it is written down and as the released code does it, a matrix of distances for each keyframe, here in parts that fit
into memory; `k-d tree` builds a tree of the un-projected pixels of each keyframe and asks it for the nearest within
the reach (which leaves ties to the tree). All pixels found are compared first. The time of the whole fragment, with
its voxels and what is known of them, is given besides. Times are those of the process: other programs may run beside.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from lira_ros.fusion.tiff.candidates import FRAGMENT_KEYFRAMES
from lira_ros.fusion.tiff.fragment_volume import View, fragment_volume
from lira_ros.fusion.tiff.lifted_fragment import lift_fragment
from lira_ros.fusion.tiff.nearest_lifting import (
    LEAST_DEPTH_PIXELS,
    NOT_SEEN,
    REACH_M,
    GridView,
    nearest_pixels,
)
from lira_ros.training.homes import HomeStore

# Voxels that are compared with all pixels at once: a matrix of 60 MB.
PART = 400

Find = Callable[[NDArray[np.float64], GridView], NDArray[np.int16]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="generated home, 1 to 1999")
    parser.add_argument("--fragments", type=int, default=3, help="fragments of the walk, spread over it")
    parser.add_argument("--keyframes", type=int, default=9, help="of each fragment, that are compared")
    parser.add_argument("--data", type=Path, default=Path("out") / "homes", help="folder of drawn homes")
    return parser.parse_args()


def in_view(points_m: NDArray[np.float64], view: GridView) -> NDArray[np.int64]:
    """Return which voxels project into the picture."""
    height, width = view.depth_m.shape
    fx, fy, cx, cy = view.intrinsics
    x, y, z = view.T_camera_upright[:3, :3] @ points_m.T + view.T_camera_upright[:3, 3:]
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = fx * x / z + cx, fy * y / z + cy
    return np.flatnonzero((z > 0) & (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1))


def by_every_pixel(points_m: NDArray[np.float64], view: GridView) -> NDArray[np.int16]:
    """Return the pixels as nearest_pixels() does, from all distances."""
    result = np.full(len(points_m), NOT_SEEN, dtype=np.int16)
    valid = np.flatnonzero(view.depth_m)
    if len(valid) < LEAST_DEPTH_PIXELS:
        return result
    pixels = view.points_m.reshape(-1, 3)[valid]
    rows = in_view(points_m, view)
    for start in range(0, len(rows), PART):
        part = rows[start : start + PART]
        squares = np.zeros((len(part), len(pixels)))
        for axis in range(3):
            difference = points_m[part, axis, None] - pixels[None, :, axis]
            squares += difference * difference
        best = np.argmin(squares, axis=1)
        near = np.sqrt(squares[np.arange(len(part)), best]) < REACH_M
        result[part[near]] = valid[best[near]]
    return result


def by_tree(points_m: NDArray[np.float64], view: GridView) -> NDArray[np.int16]:
    """Return the pixels as nearest_pixels() does, up to ties, from a k-d tree."""
    result = np.full(len(points_m), NOT_SEEN, dtype=np.int16)
    valid = np.flatnonzero(view.depth_m)
    if len(valid) < LEAST_DEPTH_PIXELS:
        return result
    rows = in_view(points_m, view)
    _, nearest = cKDTree(view.points_m.reshape(-1, 3)[valid]).query(points_m[rows], distance_upper_bound=REACH_M)
    near = nearest < len(valid)
    result[rows[near]] = valid[nearest[near]]
    return result


def timed(
    find: Find, points_m: NDArray[np.float64], grids: list[GridView], repeats: int
) -> tuple[float, NDArray[np.int16]]:
    """Return the least time of looking at all keyframes [s], and the pixels found in each, (K, N)."""
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        found = np.array([find(points_m, grid) for grid in grids])
        times.append(time.process_time() - begin)
    return min(times), found


def main() -> None:
    options = arguments()
    recording = HomeStore(options.data).get(options.seed)
    views = [
        View(key.frame.depth_m, key.frame.color, key.frame.camera, key.frame.T_map_camera)
        for key in recording.keyframes
    ]
    count = len(views) // FRAGMENT_KEYFRAMES
    chosen = sorted({math.floor(place) for place in np.linspace(0, count - 1, options.fragments)})
    lift_fragment(views[:FRAGMENT_KEYFRAMES])  # compiles
    print("voxels | seen in a keyframe | search [ms] | every pixel | k-d tree | whole fragment [ms]")
    ratios: dict[str, list[float]] = {"every pixel": [], "k-d tree": []}
    for number in chosen:
        mine = views[number * FRAGMENT_KEYFRAMES : (number + 1) * FRAGMENT_KEYFRAMES]
        volume = fragment_volume(mine)
        points_m = volume.points_m
        grids = [GridView.of(view) for view in mine[: options.keyframes]]
        search_s, found = timed(nearest_pixels, points_m, grids, 3)
        every_s, expected = timed(by_every_pixel, points_m, grids, 1)
        tree_s, by_the_tree = timed(by_tree, points_m, grids, 3)
        if not np.array_equal(found, expected):
            raise SystemExit(f"fragment {number}: other pixels than by comparing all")
        if not np.array_equal(found != NOT_SEEN, by_the_tree != NOT_SEEN):
            raise SystemExit(f"fragment {number}: other voxels than by a k-d tree")
        begin = time.process_time()
        lift_fragment(mine)
        whole_s = time.process_time() - begin
        ratios["every pixel"].append(every_s / search_s)
        ratios["k-d tree"].append(tree_s / search_s)
        seen = np.count_nonzero(found != NOT_SEEN) / len(found)
        print(
            f"{len(points_m)} | {seen:.0f} | {1e3 * search_s:.1f} | {every_s / search_s:.0f}x | "
            f"{tree_s / search_s:.1f}x | {1e3 * whole_s:.0f}"
        )
    for name, values in ratios.items():
        print(f"{name}: median {statistics.median(values):.1f} times the time of the search")


if __name__ == "__main__":
    main()
