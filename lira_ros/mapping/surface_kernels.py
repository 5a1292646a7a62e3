"""Compiled loops that draw the surface of a map out of its blocks, on the CPU."""

from __future__ import annotations

import numpy as np

from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK
from lira_ros.mapping.kernels import find
from lira_ros.mapping.marching_cubes import CELL_EDGES, MAXIMUM_TRIANGLES, TRIANGLE_COUNTS, TRIANGLE_EDGES
from lira_ros.mapping.voxel import BLUE, GREEN, RED, TSDF, WEIGHT, Array, compiled, fuse, pack_edge, pack_key

_PATCH = BLOCK_SIZE + 1


@compiled
def _compose_patch(
    block: Array,
    records_a: Array,
    keys_a: Array,
    values_a: Array,
    records_b: Array,
    keys_b: Array,
    values_b: Array,
    offset_b: Array,
    patch: Array,
) -> bool:
    # Fill patch (5, 9, 9, 9) [channel, z, y, x] with the block and the first layers of its upper neighbours,
    # composed of volume a and of volume b, whose blocks lie offset_b further. False when neither has the block.
    for part in range(8):
        dx, dy, dz = part & 1, (part >> 1) & 1, part >> 2
        x, y, z = block[0] + dx, block[1] + dy, block[2] + dz
        a = find(keys_a, values_a, pack_key(x, y, z))
        b = find(keys_b, values_b, pack_key(x - offset_b[0], y - offset_b[1], z - offset_b[2]))
        if part == 0 and a < 0 and b < 0:
            return False
        for k in range(1 if dz else BLOCK_SIZE):
            for j in range(1 if dy else BLOCK_SIZE):
                for i in range(1 if dx else BLOCK_SIZE):
                    voxel = i + 8 * j + 64 * k
                    pz, py, px = 8 * dz + k, 8 * dy + j, 8 * dx + i
                    if a >= 0 and b >= 0:
                        weight_a = records_a[a, WEIGHT, voxel]
                        weight_b = records_b[b, WEIGHT, voxel]
                        patch[WEIGHT, pz, py, px] = weight_a + weight_b
                        if weight_b == 0.0:
                            for c in (TSDF, RED, GREEN, BLUE):
                                patch[c, pz, py, px] = records_a[a, c, voxel]
                        elif weight_a == 0.0:
                            for c in (TSDF, RED, GREEN, BLUE):
                                patch[c, pz, py, px] = records_b[b, c, voxel]
                        else:
                            patch[TSDF, pz, py, px] = fuse(
                                records_a[a, TSDF, voxel], weight_a, records_b[b, TSDF, voxel], weight_b
                            )
                            sum_a = records_a[a, RED, voxel] + records_a[a, GREEN, voxel] + records_a[a, BLUE, voxel]
                            sum_b = records_b[b, RED, voxel] + records_b[b, GREEN, voxel] + records_b[b, BLUE, voxel]
                            if sum_a == 0.0:
                                weight_a = np.float32(0.0)
                            elif sum_b == 0.0:
                                weight_b = np.float32(0.0)
                            for c in (RED, GREEN, BLUE):
                                patch[c, pz, py, px] = (
                                    fuse(records_a[a, c, voxel], weight_a, records_b[b, c, voxel], weight_b)
                                    if weight_a + weight_b > 0.0
                                    else np.float32(0.0)
                                )
                    elif a >= 0:
                        for c in range(5):
                            patch[c, pz, py, px] = records_a[a, c, voxel]
                    elif b >= 0:
                        for c in range(5):
                            patch[c, pz, py, px] = records_b[b, c, voxel]
                    else:
                        patch[WEIGHT, pz, py, px] = np.float32(0.0)
    return True


@compiled
def mesh_blocks(
    blocks: Array,
    first: int,
    records_a: Array,
    keys_a: Array,
    values_a: Array,
    records_b: Array,
    keys_b: Array,
    values_b: Array,
    offset_b: Array,
    voxel_m: float,
    minimum_weight: float,
    vertices: Array,
    normals: Array,
    colors: Array,
    edges: Array,
    triangles: Array,
    vertex_ends: Array,
    triangle_ends: Array,
) -> int:
    """Run marching cubes over (B, 3) ``blocks`` from ``first`` on; return the first block for which room is missing.

    The map is the composition of volume a and of volume b, whose blocks lie ``offset_b`` (3,) further. Cells with a
    corner of less than ``minimum_weight`` have no surface. For each block the outputs hold its vertices [m], their
    area-weighted normals (not of unit length), colours and the names of their edges, and triangles that count from
    its first vertex; vertex_ends and triangle_ends (B,) tell where each block ends.
    """
    patch = np.empty((5, _PATCH, _PATCH, _PATCH), np.float32)
    vertex_of = np.empty((_PATCH, _PATCH, _PATCH, 3), np.int32)
    voxel = np.float32(voxel_m)
    threshold = np.float32(minimum_weight)
    v_end = vertex_ends[first - 1] if first > 0 else 0
    t_end = triangle_ends[first - 1] if first > 0 else 0
    for n in range(first, blocks.shape[0]):
        if v_end + 3 * _PATCH**3 > vertices.shape[0]:
            return n
        if t_end + MAXIMUM_TRIANGLES * VOXELS_PER_BLOCK > triangles.shape[0]:
            return n
        v_first = v_end
        if _compose_patch(blocks[n], records_a, keys_a, values_a, records_b, keys_b, values_b, offset_b, patch):
            tsdf, weight = patch[TSDF], patch[WEIGHT]
            vertex_of[:] = -1
            x0 = blocks[n, 0] * BLOCK_SIZE
            y0 = blocks[n, 1] * BLOCK_SIZE
            z0 = blocks[n, 2] * BLOCK_SIZE
            for k in range(BLOCK_SIZE):
                for j in range(BLOCK_SIZE):
                    for i in range(BLOCK_SIZE):
                        case = 0
                        known = True
                        for corner in range(8):
                            z, y, x = k + (corner >> 2), j + ((corner >> 1) & 1), i + (corner & 1)
                            if weight[z, y, x] < threshold or weight[z, y, x] == 0.0:
                                known = False
                                break
                            if tsdf[z, y, x] < 0.0:
                                case |= 1 << corner
                        if not known or case == 0 or case == 255:
                            continue
                        for t in range(TRIANGLE_COUNTS[case]):
                            for side in range(3):
                                edge = TRIANGLE_EDGES[case, t, side]
                                x = i + CELL_EDGES[edge, 0]
                                y = j + CELL_EDGES[edge, 1]
                                z = k + CELL_EDGES[edge, 2]
                                axis = CELL_EDGES[edge, 3]
                                vertex = vertex_of[z, y, x, axis]
                                if vertex < 0:
                                    vertex = v_end
                                    v_end += 1
                                    vertex_of[z, y, x, axis] = vertex
                                    xe = x + (axis == 0)
                                    ye = y + (axis == 1)
                                    ze = z + (axis == 2)
                                    start, end = tsdf[z, y, x], tsdf[ze, ye, xe]
                                    part = start / (start - end)
                                    zero = np.float32(0.0)
                                    vertices[vertex, 0] = (np.float32(x0 + x) + (part if axis == 0 else zero)) * voxel
                                    vertices[vertex, 1] = (np.float32(y0 + y) + (part if axis == 1 else zero)) * voxel
                                    vertices[vertex, 2] = (np.float32(z0 + z) + (part if axis == 2 else zero)) * voxel
                                    for c in range(3):
                                        mixed = patch[RED + c, z, y, x] * (np.float32(1.0) - part)
                                        mixed += patch[RED + c, ze, ye, xe] * part
                                        colors[vertex, c] = np.uint8(min(mixed + np.float32(0.5), np.float32(255.0)))
                                        normals[vertex, c] = zero
                                    edges[vertex] = pack_edge(x0 + x, y0 + y, z0 + z, axis)
                                triangles[t_end, side] = vertex - v_first
                            a = v_first + triangles[t_end, 0]
                            b = v_first + triangles[t_end, 1]
                            c_ = v_first + triangles[t_end, 2]
                            abx = vertices[b, 0] - vertices[a, 0]
                            aby = vertices[b, 1] - vertices[a, 1]
                            abz = vertices[b, 2] - vertices[a, 2]
                            acx = vertices[c_, 0] - vertices[a, 0]
                            acy = vertices[c_, 1] - vertices[a, 1]
                            acz = vertices[c_, 2] - vertices[a, 2]
                            nx = aby * acz - abz * acy
                            ny = abz * acx - abx * acz
                            nz = abx * acy - aby * acx
                            for vertex in (a, b, c_):
                                normals[vertex, 0] += nx
                                normals[vertex, 1] += ny
                                normals[vertex, 2] += nz
                            t_end += 1
        vertex_ends[n] = v_end
        triangle_ends[n] = t_end
    return blocks.shape[0]
