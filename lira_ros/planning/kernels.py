"""Compiled loops over cells: the shortest ways through free cells, and what can be seen across a grid."""

from __future__ import annotations

import heapq

import numpy as np

from lira_ros.mapping.voxel import Array, compiled

# Rays from a place to an instance: one for each of so many directions of equal width within the angle that it takes up.
SIGHT_RAYS = 16
# A height is known to about a voxel and a cell; what reaches this far above a ray need not hide anything.
_HEIGHT_TOLERANCE_M = 0.05
# What a ray can meet: free floor, something that may hide, the instance itself, and what nothing is known of.
OPEN, HIDING, OWN, VEILED = np.uint8(0), np.uint8(1), np.uint8(2), np.uint8(3)


@compiled
def spread(standing: Array, row: int, column: int, lengths: Array) -> None:
    """Write to lengths (rows, columns), all infinite, how many cells the way from one cell to each is long.

    standing: (rows, columns) uint8, over which cells a way may lead. Diagonal steps count the root of two (Dijkstra).
    """
    rows, columns = standing.shape
    diagonal = np.float32(np.sqrt(2.0))
    lengths[row, column] = np.float32(0.0)
    heap = [(np.float32(0.0), row * columns + column)]
    while len(heap) > 0:
        length, index = heapq.heappop(heap)
        r, c = index // columns, index % columns
        if length > lengths[r, c]:
            continue
        for dr in range(-1, 2):
            for dc in range(-1, 2):
                nr, nc = r + dr, c + dc
                if nr < 0 or nc < 0 or nr >= rows or nc >= columns or standing[nr, nc] == 0:
                    continue
                longer = length + (diagonal if dr != 0 and dc != 0 else np.float32(1.0))
                if longer < lengths[nr, nc]:
                    lengths[nr, nc] = longer
                    heapq.heappush(heap, (longer, nr * columns + nc))


@compiled
def _meets(
    x: float, y: float, eye: float, to_x: float, to_y: float, top: float, cells: Array, heights: Array,
    use_heights: bool, cell: float,
) -> int:  # fmt: skip
    # 2: the instance is seen; 1: what hides it reaches to it; 0: there is free space behind what hides it, or a wall.
    rows, columns = cells.shape
    away = np.hypot(to_x - x, to_y - y)
    steps = int(away / (0.5 * cell)) + 1
    hidden = False
    for k in range(steps):
        part = k / steps
        c, r = int(np.floor((x + part * (to_x - x)) / cell)), int(np.floor((y + part * (to_y - y)) / cell))
        if r < 0 or c < 0 or r >= rows or c >= columns:
            continue
        if cells[r, c] == OWN:
            return 1 if hidden else 2
        if cells[r, c] == OPEN and hidden:
            return 0
        if cells[r, c] == HIDING:
            if not use_heights:
                hidden = True
            elif not heights[r, c] < np.inf:
                return 0
            elif heights[r, c] > eye + part * (top - eye) + _HEIGHT_TOLERANCE_M:
                hidden = True
    return 1 if hidden else 2


@compiled
def look(
    places: Array, columns: Array, tops: Array, eye: float, cells: Array, heights: Array, use_heights: bool,
    cell: float, seen: Array, apart: Array, middles: Array, nearest: Array,
) -> None:  # fmt: skip
    """Look from places (N, 2) [m] at an instance that consists of columns (M, 2) [m] with tops (M,) [m].

    Writes to seen (N,) the share of SIGHT_RAYS directions in which it is visible, to apart (N,) the share in which
    something stands between place and instance with free space behind, or too high to look over; to middles (N,) the
    direction [rad] to the middle of the angle that it takes up, and to nearest (N,) that to its nearest column. eye:
    height of the camera [m]. cells: (rows, columns) uint8, OPEN, HIDING, OWN or VEILED. heights: how high what hides
    reaches [m], infinite or NaN = too high to look over; without use_heights everything that may hide does. cell: edge
    of a cell [m].
    """
    targets = np.empty(SIGHT_RAYS, np.int64)
    target_away = np.empty(SIGHT_RAYS)
    for n in range(places.shape[0]):
        x, y = places[n, 0], places[n, 1]
        closest, direction = np.inf, 0.0
        for m in range(columns.shape[0]):
            away = np.hypot(columns[m, 0] - x, columns[m, 1] - y)
            if away < closest:
                closest, direction = away, np.arctan2(columns[m, 1] - y, columns[m, 0] - x)
        low, high = 0.0, 0.0
        for m in range(columns.shape[0]):
            turn = np.arctan2(columns[m, 1] - y, columns[m, 0] - x) - direction
            turn = (turn + np.pi) % (2.0 * np.pi) - np.pi
            low, high = min(low, turn), max(high, turn)
        nearest[n] = direction
        # Around a robot that stands inside of an instance no middle means anything.
        middles[n] = direction + (0.5 * (low + high) if high - low < np.pi else 0.0)
        width = max(high - low, 1e-6)
        targets[:] = -1
        for m in range(columns.shape[0]):
            turn = np.arctan2(columns[m, 1] - y, columns[m, 0] - x) - direction
            turn = (turn + np.pi) % (2.0 * np.pi) - np.pi
            b = min(SIGHT_RAYS - 1, int((turn - low) / width * SIGHT_RAYS))
            away = np.hypot(columns[m, 0] - x, columns[m, 1] - y)
            if targets[b] < 0 or away < target_away[b]:
                targets[b], target_away[b] = m, away
        tried = found = walled = 0
        for b in range(SIGHT_RAYS):
            if targets[b] >= 0:
                m = targets[b]
                met = _meets(x, y, eye, columns[m, 0], columns[m, 1], tops[m], cells, heights, use_heights, cell)
                tried += 1
                found += met == 2
                walled += met == 0
        seen[n], apart[n] = found / tried, walled / tried
