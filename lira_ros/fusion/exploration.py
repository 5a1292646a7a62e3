"""How much of the scene was seen: before enough was, that nothing conforms is not said.

Two figures decide, both from the depth of keyframes alone, so that they are there without the map as well.

* Open edge: on a floor plan of 20 cm cells, the part of the edge of the free space that borders on what was never seen
  rather than on something that stands there: doors not gone through, corners not looked behind.
* New surface: the part of what the newest keyframes show that no keyframe showed before, in voxels of 10 cm.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.frame import Keyframe
from lira_ros.geometry.pose import transform_points
from lira_ros.reasoning.coverage import MAX_VOXELS, SurfaceIndex
from lira_ros.reasoning.measurement import horizontal_axes
from lira_ros.state.columns import Array

CELL_M = 0.2
# What is looked over or under is no wall: things count that reach from above the skirting to the height of a head [m].
LOWEST_M, HIGHEST_M = 0.1, 1.7
# Rays end here [m]: depth is too noisy beyond to tell a door from a wall.
REACH_M = 5.0
# One pixel of this many in each direction is a ray; 80 x 60 rays are closer than cells up to REACH_M.
RAYS_ACROSS = 80
# A cell is occupied when so many rays ended in it: one may be a flying pixel.
HITS = 2
# A gap narrower than this is no way to anywhere: a person is half a metre wide.
NARROWEST_M = 0.5
# Largest part of the edge that may be open, and of what is shown that may be new, when enough was seen. In the walks
# through 12 homes of the validation split the open edge was 4 to 13 % at the end and 13 to 30 % in most of the first
# two thirds, the new surface 1 to 12 % and 15 to 40 %.
OPEN_SHARE, NEW_SHARE = 0.12, 0.15
# What was said to be enough is taken back only beyond this many times as much.
SETTLED_FACTOR = 1.5
# New surface is counted over so many keyframes: a turn of 180 degrees at the 15 degrees between keyframes.
NEWEST_KEYFRAMES = 12
# The direction of gravity is settled with the first keyframes; from such a turn on the plan is begun anew [cos 5 deg].
SAME_UP = 0.996
# A plan of 400 m x 400 m; what is farther from the first keyframe is not looked at.
MOST_CELLS = 2000


@dataclass(frozen=True)
class Explored:
    """What was seen so far.

    open_share, new_share: in [0, 1], see above; open_m: length of the open edge [m]; area_m2: free space seen.
    """

    open_share: float
    open_m: float
    area_m2: float
    new_share: float
    keyframes: int

    def is_enough(self, *, settled: bool) -> bool:
        """Return whether it may be said that nothing conforms; settled: it was said before."""
        factor = SETTLED_FACTOR if settled else 1.0
        return self.open_share <= factor * OPEN_SHARE and self.new_share <= factor * NEW_SHARE

    def words(self) -> str:
        """Return the figures for a person."""
        return (
            f"{100 * self.open_share:.0f} % of the edge of the {self.area_m2:.0f} m2 seen is open ({self.open_m:.1f} m)"
            f" and {100 * self.new_share:.0f} % of what the newest keyframes show was new"
        )

    def missing(self) -> str:
        """Return what is to be done before enough was seen."""
        return f"{self.words()}; at most {100 * OPEN_SHARE:.0f} % and {100 * NEW_SHARE:.0f} % are to be"


class Exploration:
    """Follows what keyframes show. Not thread-safe: it has one owner.

    Keyframes whose pose is corrected later stay where they were drawn first: an edge that was open by the error stays
    open, so that too much is looked at rather than too little.
    """

    STATE: ClassVar[dict[str, Any]] = {
        "_axes": Array("<f8", (3, 3)),
        "_free": Array("|b1", ("rows", "columns")),
        "_hits": Array("<u2", ("rows", "columns")),
        "_origin": Array("<i8", (2,)),
        "_surfaces": SurfaceIndex,
        "_newest": list[tuple[int, int]],
        "_count": int,
    }
    _explored: Explored | None = None  # until the next keyframe

    def check_state(self) -> None:
        """Raise ValueError when the plan is larger than any."""
        if max(self._free.shape) > MOST_CELLS:
            raise ValueError(f"plan: expected at most {MOST_CELLS} cells along each side, found {self._free.shape}")
        self._newest: deque[tuple[int, int]] = deque(self._newest, maxlen=NEWEST_KEYFRAMES)  # new and seen voxels

    def __init__(self) -> None:
        self._begin(np.array([0.0, 0.0, 1.0]))

    def _begin(self, up: NDArray[np.float64]) -> None:
        self._axes = horizontal_axes(up)
        self._free = np.zeros((0, 0), dtype=np.bool_)
        self._hits = np.zeros((0, 0), dtype=np.uint16)
        self._origin = np.zeros(2, dtype=np.int64)  # cell of the first row and column of the plan
        self._surfaces = SurfaceIndex()
        self._newest = deque(maxlen=NEWEST_KEYFRAMES)
        self._count = 0
        self._explored = None

    def add(self, keyframe: Keyframe) -> None:
        """Take in what a keyframe shows."""
        if float(keyframe.up @ self._axes[2]) < SAME_UP:
            self._begin(keyframe.up)
        self._count += 1
        self._explored = None
        if len(self._surfaces) >= MAX_VOXELS:  # what was seen long ago may count as new again
            self._surfaces = SurfaceIndex()
        before = len(self._surfaces)
        seen = len(self._surfaces.add(keyframe).voxels)
        self._newest.append((len(self._surfaces) - before, seen))
        points, hits = self._rays(keyframe)
        camera = (self._axes @ keyframe.frame.T_map_camera[:3, 3])[:2]
        if len(points):
            self._make_room(np.vstack([points, camera]))
            _draw(self._free, self._hits, camera / CELL_M - self._origin, points / CELL_M - self._origin, hits)

    def explored(self) -> Explored:
        """Return how much was seen."""
        if self._explored is None:
            self._explored = self._measure()
        return self._explored

    def _measure(self) -> Explored:
        new, seen = (sum(counts) for counts in zip(*self._newest, strict=True)) if self._newest else (0, 0)
        new_share = new / seen if seen else 1.0
        if self._free.size == 0:
            return Explored(1.0, 0.0, 0.0, new_share, self._count)
        occupied = self._hits >= HITS
        free = self._free & ~occupied
        open_edge = free & _beside(~self._free & ~occupied)
        wall_edge = free & _beside(occupied)
        count, _, statistics, _ = cv2.connectedComponentsWithStats(open_edge.astype(np.uint8), connectivity=8)
        lengths_m = statistics[1:, cv2.CC_STAT_AREA] * CELL_M if count > 1 else np.zeros(0)
        open_m = float(lengths_m[lengths_m >= NARROWEST_M].sum())
        edge_m = open_m + CELL_M * int(np.count_nonzero(wall_edge))
        return Explored(
            open_share=open_m / edge_m if edge_m > 0 else 1.0,
            open_m=open_m,
            area_m2=float(np.count_nonzero(free)) * CELL_M**2,
            new_share=new_share,
            keyframes=self._count,
        )

    def _rays(self, keyframe: Keyframe) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return (R, 2) ends of rays on the plan [m], and whether something stands there."""
        frame = keyframe.frame
        stride = max(1, frame.camera.width_px // RAYS_ACROSS)
        v, u = np.mgrid[stride // 2 : frame.camera.height_px : stride, stride // 2 : frame.camera.width_px : stride]
        depth_m = frame.depth_m[v, u].astype(np.float64)
        known = depth_m > 0
        far = depth_m[known] > REACH_M
        z = np.minimum(depth_m[known], REACH_M)
        camera = frame.camera
        rays = np.stack([(u[known] - camera.cx) / camera.fx * z, (v[known] - camera.cy) / camera.fy * z, z], axis=-1)
        points = transform_points(frame.T_map_camera, rays) @ self._axes.T
        if len(points) == 0:
            return np.zeros((0, 2)), np.zeros(0, dtype=np.bool_)
        floor_m = keyframe.floor_height_m
        if not np.isfinite(floor_m):
            floor_m = float(np.percentile(points[:, 2], 2.0))
        height_m = points[:, 2] - floor_m
        hits = (height_m > LOWEST_M) & (height_m < HIGHEST_M) & ~far
        below = height_m < HIGHEST_M
        return points[below, :2], hits[below]

    def _make_room(self, points: NDArray[np.float64]) -> None:
        cells = np.floor(points / CELL_M).astype(np.int64)
        low, high = cells.min(axis=0) - 2, cells.max(axis=0) + 3
        if self._free.size == 0:
            self._origin = low
        before = np.maximum(self._origin - low, 0)
        after = np.maximum(high - self._origin - self._free.shape, 0)
        if not (before.any() or after.any()) or (np.array(self._free.shape) + before + after > MOST_CELLS).any():
            return
        room = [(int(before[0]), int(after[0])), (int(before[1]), int(after[1]))]
        self._free, self._hits = np.pad(self._free, room), np.pad(self._hits, room)
        self._origin = self._origin - before


def _beside(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the cells that have one of these among their four neighbours."""
    result = np.zeros_like(cells)
    result[1:] |= cells[:-1]
    result[:-1] |= cells[1:]
    result[:, 1:] |= cells[:, :-1]
    result[:, :-1] |= cells[:, 1:]
    return result


@numba.njit(nogil=True, cache=True)
def _draw(
    free: NDArray[np.bool_],
    hits: NDArray[np.uint16],
    start: NDArray[np.float64],
    ends: NDArray[np.float64],
    ended: NDArray[np.bool_],
) -> None:
    # Half a cell a step: a ray may cut a corner of a cell, never jump over one.
    for ray in range(len(ends)):
        across, along = ends[ray, 0] - start[0], ends[ray, 1] - start[1]
        steps = int(2.0 * max(abs(across), abs(along))) + 1
        for step in range(steps):
            row = int(np.floor(start[0] + across * step / steps))
            column = int(np.floor(start[1] + along * step / steps))
            if 0 <= row < free.shape[0] and 0 <= column < free.shape[1]:
                free[row, column] = True
        row, column = int(np.floor(ends[ray, 0])), int(np.floor(ends[ray, 1]))
        if ended[ray] and 0 <= row < hits.shape[0] and 0 <= column < hits.shape[1] and hits[row, column] < 65535:
            hits[row, column] += 1
