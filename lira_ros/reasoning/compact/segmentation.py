"""Image-sized kernels of the instance proposals: hole filling, graph segmentation and contacts between regions.

Regions grow as in Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation" (IJCV 2004), over
surface normals and colour; contacts carry the concavity of Stein et al., "Object Partitioning using Local
Convexity" (LCCP, CVPR 2014).
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.depth import NOISE_DEVIATIONS, noise_m

# Two neighbours are in contact when one lies on the tangent plane of the other within this and the sensor's noise.
CONTACT_M = 0.008
# Depths across a hole that differ by less than this ratio belong to one surface (twice the edge threshold of
# geometry.depth, for a hole is several pixels wide).
FILL_RATIO = 0.04

# Weights of the region growing: degrees of normal and units of Lab that count as one step each.
CONVEX_SHARE = 0.25  # convex bends are the outside of one object (LCCP), they count little
LAB_PER_DEGREE = 1.0
BUCKETS = 256  # weights are sorted by counting; degrees beyond are one bucket


@numba.njit(nogil=True, cache=True)
def fill_holes(depth_m: NDArray[np.float32], radius_px: int) -> NDArray[np.float32]:
    """Bridge holes of at most 2 * ``radius_px`` pixels along rows, then along columns; float32 metres, 0 = invalid."""
    rows, columns = depth_m.shape
    filled = depth_m.copy()
    for v in range(rows):
        last = -1
        for u in range(columns):
            if depth_m[v, u] > 0.0:
                gap = u - last - 1
                if last >= 0 and 0 < gap <= 2 * radius_px:
                    a, b = depth_m[v, last], depth_m[v, u]
                    if abs(a - b) < FILL_RATIO * min(a, b):
                        for i in range(last + 1, u):
                            filled[v, i] = a + (b - a) * (i - last) / (gap + 1)
                last = u
    for u in range(columns):
        last = -1
        for v in range(rows):
            if filled[v, u] > 0.0:
                gap = v - last - 1
                if last >= 0 and 0 < gap <= 2 * radius_px:
                    a, b = filled[last, u], filled[v, u]
                    if abs(a - b) < FILL_RATIO * min(a, b):
                        for i in range(last + 1, v):
                            filled[i, u] = a + (b - a) * (i - last) / (gap + 1)
                last = v
    return filled


@numba.njit(inline="always")
def _root(parent: NDArray[np.int32], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@numba.njit(inline="always")
def _touches(points, normals, va, ua, vb, ub) -> bool:  # type: ignore[no-untyped-def]
    dx = points[vb, ub, 0] - points[va, ua, 0]
    dy = points[vb, ub, 1] - points[va, ua, 1]
    dz = points[vb, ub, 2] - points[va, ua, 2]
    off_a = abs(normals[va, ua, 0] * dx + normals[va, ua, 1] * dy + normals[va, ua, 2] * dz)
    off_b = abs(normals[vb, ub, 0] * dx + normals[vb, ub, 1] * dy + normals[vb, ub, 2] * dz)
    return min(off_a, off_b) < CONTACT_M + NOISE_DEVIATIONS * noise_m(points[va, ua, 2])


@numba.njit(inline="always")
def _bend(points, normals, va, ua, vb, ub) -> float:  # type: ignore[no-untyped-def]
    # Signed angle between two surface elements in degrees, positive where they form a valley.
    dot = 0.0
    side = 0.0
    for i in range(3):
        dot += normals[va, ua, i] * normals[vb, ub, i]
        side += (points[va, ua, i] - points[vb, ub, i]) * (normals[va, ua, i] - normals[vb, ub, i])
    angle = math.degrees(math.acos(min(1.0, max(-1.0, dot))))
    return angle if side < 0.0 else -angle


@numba.njit(nogil=True, cache=True)
def horizontal_patches(
    height_m: NDArray[np.float32], level: NDArray[np.bool_], depth_m: NDArray[np.float32]
) -> NDArray[np.int32]:
    """Label the connected patches of level pixels whose height changes smoothly; (H, W) int32, 0 = none."""
    rows, columns = height_m.shape
    parent = np.arange(rows * columns, dtype=np.int32)
    for v in range(rows):
        for u in range(columns):
            if not level[v, u]:
                continue
            step = 0.004 + NOISE_DEVIATIONS * noise_m(depth_m[v, u])
            here = v * columns + u
            if u + 1 < columns and level[v, u + 1] and abs(height_m[v, u] - height_m[v, u + 1]) < step:
                parent[_root(parent, here)] = _root(parent, here + 1)
            if v + 1 < rows and level[v + 1, u] and abs(height_m[v, u] - height_m[v + 1, u]) < step:
                parent[_root(parent, here)] = _root(parent, here + columns)
    return _labels(parent, level)


@numba.njit(nogil=True, cache=True)
def _labels(parent: NDArray[np.int32], valid: NDArray[np.bool_]) -> NDArray[np.int32]:
    rows, columns = valid.shape
    names = np.zeros(rows * columns, dtype=np.int32)
    labels = np.zeros((rows, columns), dtype=np.int32)
    count = 0
    for v in range(rows):
        for u in range(columns):
            if valid[v, u]:
                root = _root(parent, v * columns + u)
                if names[root] == 0:
                    count += 1
                    names[root] = count
                labels[v, u] = names[root]
    return labels


@numba.njit(nogil=True, cache=True)
def grow_regions(
    points: NDArray[np.float32],
    normals: NDArray[np.float32],
    lab: NDArray[np.float32],
    valid: NDArray[np.bool_],
    reach_px: int,
    scale_deg: float,
    minimum_px: int,
) -> NDArray[np.int32]:
    """Segment the valid pixels into smooth regions.

    points, normals, lab: (H, W, 3) float32. reach_px: normals are compared this far apart. scale_deg: the k of
    Felzenszwalb and Huttenlocher in degrees; larger makes larger regions. minimum_px: smaller regions join the
    neighbour in contact that differs least. Returns (H, W) int32, 0 = none.
    """
    rows, columns = valid.shape
    count = np.zeros(BUCKETS + 1, dtype=np.int64)
    weights = np.full((rows, columns, 2), -1, dtype=np.int16)
    for v in range(rows):
        for u in range(columns):
            if not valid[v, u]:
                continue
            for side in range(2):
                vb, ub = v + side, u + 1 - side
                if vb >= rows or ub >= columns or not valid[vb, ub]:
                    continue
                if not _touches(points, normals, v, u, vb, ub):
                    continue
                va, ua, vc, uc = v, u, vb, ub
                for _ in range(reach_px):
                    v2, u2 = va - side, ua - 1 + side
                    if v2 < 0 or u2 < 0 or not valid[v2, u2] or not _touches(points, normals, v2, u2, va, ua):
                        break
                    va, ua = v2, u2
                for _ in range(reach_px):
                    v2, u2 = vc + side, uc + 1 - side
                    if v2 >= rows or u2 >= columns or not valid[v2, u2]:
                        break
                    if not _touches(points, normals, vc, uc, v2, u2):
                        break
                    vc, uc = v2, u2
                bend = _bend(points, normals, va, ua, vc, uc)
                if bend < 0.0:
                    bend = -CONVEX_SHARE * bend
                difference = 0.0
                for i in range(3):
                    d = lab[va, ua, i] - lab[vc, uc, i]
                    difference += d * d
                weight = bend + math.sqrt(difference) / LAB_PER_DEGREE
                bucket = min(BUCKETS - 1, int(weight))
                weights[v, u, side] = bucket
                count[bucket + 1] += 1
    for i in range(BUCKETS):
        count[i + 1] += count[i]
    edges = np.empty(count[BUCKETS], dtype=np.int32)
    at = count.copy()
    for v in range(rows):
        for u in range(columns):
            for side in range(2):
                weight = weights[v, u, side]
                if weight >= 0:
                    edges[at[weight]] = 2 * (v * columns + u) + side
                    at[weight] += 1
    parent = np.arange(rows * columns, dtype=np.int32)
    size = np.ones(rows * columns, dtype=np.int32)
    inside = np.zeros(rows * columns, dtype=np.float32)
    for e in edges:
        first = e // 2
        second = first + columns if e % 2 else first + 1
        a, b = _root(parent, first), _root(parent, second)
        if a == b:
            continue
        weight = float(weights[first // columns, first % columns, e % 2])
        if weight <= inside[a] + scale_deg / size[a] and weight <= inside[b] + scale_deg / size[b]:
            parent[b] = a
            size[a] += size[b]
            inside[a] = weight
    for e in edges:
        first = e // 2
        second = first + columns if e % 2 else first + 1
        a, b = _root(parent, first), _root(parent, second)
        if a != b and (size[a] < minimum_px or size[b] < minimum_px):
            parent[b] = a
            size[a] += size[b]
    return _labels(parent, valid)


@numba.njit(nogil=True, cache=True)
def contacts(
    points: NDArray[np.float32],
    normals: NDArray[np.float32],
    lab: NDArray[np.float32],
    labels: NDArray[np.int32],
    reach_px: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Measure every border pixel pair between two regions.

    Returns pairs (B, 2) int32 with the smaller label first, and (B, 4) float32: 1 where in contact else 0, signed
    bend [deg, valley positive], colour difference [Lab], and height of the second above the first [m] (points: up
    is the fourth channel).
    """
    rows, columns = labels.shape
    capacity = 0
    for v in range(rows):
        for u in range(columns):
            here = labels[v, u]
            if here == 0:
                continue
            if u + 1 < columns and labels[v, u + 1] != 0 and labels[v, u + 1] != here:
                capacity += 1
            if v + 1 < rows and labels[v + 1, u] != 0 and labels[v + 1, u] != here:
                capacity += 1
    pairs = np.empty((capacity, 2), dtype=np.int32)
    values = np.empty((capacity, 4), dtype=np.float32)
    k = 0
    for v in range(rows):
        for u in range(columns):
            here = labels[v, u]
            if here == 0:
                continue
            for side in range(2):
                vb, ub = v + side, u + 1 - side
                if vb >= rows or ub >= columns or labels[vb, ub] == 0 or labels[vb, ub] == here:
                    continue
                there = labels[vb, ub]
                touching = _touches(points, normals, v, u, vb, ub)
                va, ua, vc, uc = v, u, vb, ub
                for _ in range(reach_px):
                    v2, u2 = va - side, ua - 1 + side
                    if v2 < 0 or u2 < 0 or labels[v2, u2] != here:
                        break
                    va, ua = v2, u2
                for _ in range(reach_px):
                    v2, u2 = vc + side, uc + 1 - side
                    if v2 >= rows or u2 >= columns or labels[v2, u2] != there:
                        break
                    vc, uc = v2, u2
                difference = 0.0
                for i in range(3):
                    d = lab[va, ua, i] - lab[vc, uc, i]
                    difference += d * d
                rise = points[vc, uc, 3] - points[va, ua, 3]
                values[k, 0] = 1.0 if touching else 0.0
                values[k, 1] = _bend(points, normals, va, ua, vc, uc)
                values[k, 2] = math.sqrt(difference)
                values[k, 3] = rise if here < there else -rise
                pairs[k, 0] = min(here, there)
                pairs[k, 1] = max(here, there)
                k += 1
    return pairs, values
