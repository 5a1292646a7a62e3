"""Compiled loops that draw the surface of a map out of its blocks, keep it by block, and join it, on the CPU."""

from __future__ import annotations

import numpy as np

from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK
from lira_ros.mapping.kernels import find, insert
from lira_ros.mapping.marching_cubes import CELL_EDGES, MAXIMUM_TRIANGLES, TRIANGLE_COUNTS, TRIANGLE_EDGES
from lira_ros.mapping.view_arithmetic import composed_color, composed_distance, composed_label
from lira_ros.mapping.voxel import TSDF, WEIGHT, Array, compiled, pack_edge, pack_key

# The cells of a block reach one voxel into its upper neighbours.
PATCH = BLOCK_SIZE + 1
# An edge within a patch is named by ((z * 9 + y) * 9 + x) * 3 + axis of the voxel where it starts.
EDGE_CODES = PATCH**3 * 3


def _step(axis: int) -> int:
    return int(PATCH**axis)


# What to add to the code of a cell's first corner to get that of each of its 12 edges.
_CODE_OF_EDGE = np.array([(x + PATCH * y + PATCH**2 * z) * 3 + axis for x, y, z, axis in CELL_EDGES], dtype=np.int64)
# How far apart in the patch the two voxels of an edge are.
_STEP = np.array([_step(axis) for axis in range(3)], dtype=np.int64)


def _shared_codes() -> np.ndarray:
    # An edge on the border of a patch is drawn by the neighbouring blocks too; along its own axis it has no border.
    shared = np.zeros(EDGE_CODES, dtype=np.bool_)
    for code in range(EDGE_CODES):
        voxel, axis = divmod(code, 3)
        position = [voxel % PATCH, voxel // PATCH % PATCH, voxel // PATCH**2]
        shared[code] = any(place in (0, BLOCK_SIZE) for i, place in enumerate(position) if i != axis)
    return shared


_SHARED = _shared_codes()

# Columns of the table of kept blocks.
VERTEX_START, VERTEX_COUNT, VERTEX_ROOM, TRIANGLE_START, TRIANGLE_COUNT, TRIANGLE_ROOM, REVISION = range(7)
KEPT_COLUMNS = 7
# Counters of a pool: how many blocks, vertices and triangles of its arrays are in use.
BLOCKS_USED, VERTICES_USED, TRIANGLES_USED = range(3)


# --- drawing ------------------------------------------------------------------------------------------------------


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
    threshold: float,
    index_a: Array,
    index_b: Array,
    distance: Array,
    inside: Array,
    known: Array,
) -> bool:
    # Fill distance (729,) with the tsdf of the block and of the first layers of its upper neighbours, and for each of
    # the 81 rows along x a word with bit x set where the voxel is inside, and one with those that are known. The
    # records of the 8 blocks go to index_a and index_b. False when neither volume has the block.
    zero = np.float32(0.0)
    for part in range(8):
        dx, dy, dz = part & 1, (part >> 1) & 1, part >> 2
        x, y, z = block[0] + dx, block[1] + dy, block[2] + dz
        a = find(keys_a, values_a, pack_key(x, y, z))
        b = find(keys_b, values_b, pack_key(x - offset_b[0], y - offset_b[1], z - offset_b[2]))
        index_a[part], index_b[part] = a, b
        if part == 0 and a < 0 and b < 0:
            return False
        last_k, last_j = 1 if dz else BLOCK_SIZE, 1 if dy else BLOCK_SIZE
        if dx == 0:
            for k in range(last_k):
                for j in range(last_j):
                    first = 8 * j + 64 * k
                    row = (8 * dz + k) * PATCH + 8 * dy + j
                    place = row * PATCH
                    in_bits, known_bits = np.int64(0), np.int64(0)
                    if b < 0 and a < 0:
                        pass
                    elif b < 0 or a < 0:
                        if b < 0:
                            source, weights = records_a[a, TSDF], records_a[a, WEIGHT]
                        else:
                            source, weights = records_b[b, TSDF], records_b[b, WEIGHT]
                        for i in range(BLOCK_SIZE):
                            value, weight = source[first + i], weights[first + i]
                            distance[place + i] = value
                            in_bits |= np.int64(value < zero) << i
                            known_bits |= np.int64((weight >= threshold) & (weight > zero)) << i
                    else:
                        for i in range(BLOCK_SIZE):
                            value, weight = composed_distance(records_a, a, records_b, b, first + i)
                            distance[place + i] = value
                            in_bits |= np.int64(value < zero) << i
                            known_bits |= np.int64((weight >= threshold) & (weight > zero)) << i
                    inside[row] = in_bits
                    known[row] = known_bits
        elif a >= 0 or b >= 0:
            for k in range(last_k):
                for j in range(last_j):
                    row = (8 * dz + k) * PATCH + 8 * dy + j
                    value, weight = composed_distance(records_a, a, records_b, b, 8 * j + 64 * k)
                    distance[row * PATCH + BLOCK_SIZE] = value
                    inside[row] |= np.int64(value < zero) << BLOCK_SIZE
                    known[row] |= np.int64((weight >= threshold) & (weight > zero)) << BLOCK_SIZE
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
    labels: Array,
    codes: Array,
    triangles: Array,
    vertex_ends: Array,
    triangle_ends: Array,
) -> int:
    """Run marching cubes over (B, 3) ``blocks`` from ``first`` on; return the first block for which room is missing.

    The map is the composition of volume a and of volume b, whose blocks lie ``offset_b`` (3,) further. Cells with a
    corner of less than ``minimum_weight`` have no surface. For each block the outputs hold its vertices [m], their
    area-weighted normals (not of unit length), colours, labels (that of the edge's voxel with the larger lead) and
    the codes of their edges in the patch, and uint16 triangles that count from its first vertex. vertex_ends and
    triangle_ends (B,) tell where each block ends; those of ``first`` start at 0.
    """
    distance = np.empty(PATCH**3, np.float32)
    inside = np.empty(PATCH**2, np.int64)
    known = np.empty(PATCH**2, np.int64)
    index_a = np.empty(8, np.int64)
    index_b = np.empty(8, np.int64)
    vertex_of = np.empty(EDGE_CODES, np.int32)
    voxel = np.float32(voxel_m)
    threshold = np.float32(minimum_weight)
    zero, one, half = np.float32(0.0), np.float32(1.0), np.float32(0.5)
    v_end = 0
    t_end = 0
    for n in range(first, blocks.shape[0]):
        if v_end + 3 * PATCH**3 > vertices.shape[0] or t_end + MAXIMUM_TRIANGLES * VOXELS_PER_BLOCK > len(triangles):
            return n
        v_first = v_end
        x0 = np.int64(blocks[n, 0]) * BLOCK_SIZE
        y0 = np.int64(blocks[n, 1]) * BLOCK_SIZE
        z0 = np.int64(blocks[n, 2]) * BLOCK_SIZE
        there = _compose_patch(
            blocks[n],
            records_a,
            keys_a,
            values_a,
            records_b,
            keys_b,
            values_b,
            offset_b,
            threshold,
            index_a,
            index_b,
            distance,
            inside,
            known,
        )
        started = False
        for row in range(BLOCK_SIZE * BLOCK_SIZE if there else 0):
            j, k = row & 7, row >> 3
            r = k * PATCH + j
            whole = known[r] & known[r + 1] & known[r + PATCH] & known[r + PATCH + 1]
            whole &= whole >> 1
            some = inside[r] | inside[r + 1] | inside[r + PATCH] | inside[r + PATCH + 1]
            every = inside[r] & inside[r + 1] & inside[r + PATCH] & inside[r + PATCH + 1]
            active = whole & (some | (some >> 1)) & ~(every & (every >> 1)) & 255
            if active == 0:
                continue
            if not started:
                vertex_of[:] = -1
                started = True
            for i in range(BLOCK_SIZE):
                if not (active >> i) & 1:
                    continue
                case = (inside[r] >> i) & 3
                case |= ((inside[r + 1] >> i) & 3) << 2
                case |= ((inside[r + PATCH] >> i) & 3) << 4
                case |= ((inside[r + PATCH + 1] >> i) & 3) << 6
                cell = (r * PATCH + i) * 3
                for t in range(TRIANGLE_COUNTS[case]):
                    for side in range(3):
                        code = cell + _CODE_OF_EDGE[TRIANGLE_EDGES[case, t, side]]
                        vertex = vertex_of[code]
                        if vertex < 0:
                            vertex = v_end
                            v_end += 1
                            vertex_of[code] = vertex
                            place = code // 3
                            axis = code - 3 * place
                            z = place // (PATCH * PATCH)
                            y = place // PATCH - z * PATCH
                            x = place - (z * PATCH + y) * PATCH
                            end = place + _STEP[axis]
                            part = distance[place] / (distance[place] - distance[end])
                            vertices[vertex, 0] = (np.float32(x0 + x) + (part if axis == 0 else zero)) * voxel
                            vertices[vertex, 1] = (np.float32(y0 + y) + (part if axis == 1 else zero)) * voxel
                            vertices[vertex, 2] = (np.float32(z0 + z) + (part if axis == 2 else zero)) * voxel
                            codes[vertex] = code
                            # Colours and labels are read only here: most voxels of a block touch no surface.
                            block = (x >> 3) | ((y >> 3) << 1) | ((z >> 3) << 2)
                            a, b = index_a[block], index_b[block]
                            inner = (x & 7) | ((y & 7) << 3) | ((z & 7) << 6)
                            red, green, blue = composed_color(records_a, a, records_b, b, inner)
                            label, lead = composed_label(records_a, a, records_b, b, inner)
                            x += axis == 0
                            y += axis == 1
                            z += axis == 2
                            block = (x >> 3) | ((y >> 3) << 1) | ((z >> 3) << 2)
                            a, b = index_a[block], index_b[block]
                            inner = (x & 7) | ((y & 7) << 3) | ((z & 7) << 6)
                            end_red, end_green, end_blue = composed_color(records_a, a, records_b, b, inner)
                            end_label, end_lead = composed_label(records_a, a, records_b, b, inner)
                            rest = one - part
                            colors[vertex, 0] = np.uint8(min(red * rest + end_red * part + half, np.float32(255.0)))
                            colors[vertex, 1] = np.uint8(min(green * rest + end_green * part + half, np.float32(255.0)))
                            colors[vertex, 2] = np.uint8(min(blue * rest + end_blue * part + half, np.float32(255.0)))
                            if end_lead > lead:
                                label, lead = end_label, end_lead
                            labels[vertex] = np.uint16(label if lead > zero else zero)
                            normals[vertex, 0] = zero
                            normals[vertex, 1] = zero
                            normals[vertex, 2] = zero
                        triangles[t_end, side] = vertex - v_first
                    a = v_first + triangles[t_end, 0]
                    b = v_first + triangles[t_end, 1]
                    c = v_first + triangles[t_end, 2]
                    abx = vertices[b, 0] - vertices[a, 0]
                    aby = vertices[b, 1] - vertices[a, 1]
                    abz = vertices[b, 2] - vertices[a, 2]
                    acx = vertices[c, 0] - vertices[a, 0]
                    acy = vertices[c, 1] - vertices[a, 1]
                    acz = vertices[c, 2] - vertices[a, 2]
                    nx = aby * acz - abz * acy
                    ny = abz * acx - abx * acz
                    nz = abx * acy - aby * acx
                    for vertex in (a, b, c):
                        normals[vertex, 0] += nx
                        normals[vertex, 1] += ny
                        normals[vertex, 2] += nz
                    t_end += 1
        vertex_ends[n] = v_end
        triangle_ends[n] = t_end
    return blocks.shape[0]


# --- keeping by block ---------------------------------------------------------------------------------------------


@compiled
def keep(
    blocks: Array,
    first: int,
    drawn_first: int,
    revision: int,
    vertices: Array,
    normals: Array,
    colors: Array,
    labels: Array,
    codes: Array,
    triangles: Array,
    vertex_ends: Array,
    triangle_ends: Array,
    last: int,
    keys: Array,
    values: Array,
    coordinates: Array,
    kept: Array,
    used: Array,
    kept_vertices: Array,
    kept_normals: Array,
    kept_colors: Array,
    kept_labels: Array,
    kept_codes: Array,
    kept_triangles: Array,
) -> int:
    """Move the meshes of blocks ``first`` to ``last`` into the pool; return the first one for which room is missing.

    The drawn arrays are those of mesh_blocks() from block ``drawn_first`` on. A block that draws what it drew before
    keeps its revision. A block without surface is known only if it had one; its counts are then 0.
    """
    for n in range(first, last):
        v = vertex_ends[n - 1] if n > drawn_first else 0
        t = triangle_ends[n - 1] if n > drawn_first else 0
        v_count, t_count = vertex_ends[n] - v, triangle_ends[n] - t
        key = pack_key(blocks[n, 0], blocks[n, 1], blocks[n, 2])
        slot = np.int64(find(keys, values, key))
        if slot < 0:
            if t_count == 0:
                continue
            if used[BLOCKS_USED] >= len(kept):
                return n
        elif kept[slot, REVISION] > 0 and kept[slot, VERTEX_COUNT] == v_count and kept[slot, TRIANGLE_COUNT] == t_count:
            # The same surface is not worth sending again.
            start = kept[slot, VERTEX_START]
            same = True
            for i in range(v_count):
                same &= kept_codes[start + i] == codes[v + i]
                same &= kept_labels[start + i] == labels[v + i]
                for c in range(3):
                    same &= kept_vertices[start + i, c] == vertices[v + i, c]
                    same &= kept_colors[start + i, c] == colors[v + i, c]
            start = kept[slot, TRIANGLE_START]
            for i in range(t_count):
                for c in range(3):
                    same &= kept_triangles[start + i, c] == triangles[t + i, c]
            if same:
                continue
        elif kept[slot, REVISION] == 0 and t_count == 0:
            continue
        # A little room to grow in place: a surface that settles changes its number of vertices by a few.
        v_room, t_room = v_count + v_count // 8, t_count + t_count // 8
        if slot < 0 or kept[slot, VERTEX_ROOM] < v_count or kept[slot, TRIANGLE_ROOM] < t_count:
            if used[VERTICES_USED] + v_room > len(kept_vertices) or used[TRIANGLES_USED] + t_room > len(kept_triangles):
                return n
            if slot < 0:
                slot = used[BLOCKS_USED]
                used[BLOCKS_USED] += 1
                insert(keys, values, key, slot)
                coordinates[slot, 0] = blocks[n, 0]
                coordinates[slot, 1] = blocks[n, 1]
                coordinates[slot, 2] = blocks[n, 2]
            kept[slot, VERTEX_START], kept[slot, VERTEX_ROOM] = used[VERTICES_USED], v_room
            kept[slot, TRIANGLE_START], kept[slot, TRIANGLE_ROOM] = used[TRIANGLES_USED], t_room
            used[VERTICES_USED] += v_room
            used[TRIANGLES_USED] += t_room
        kept[slot, VERTEX_COUNT], kept[slot, TRIANGLE_COUNT] = v_count, t_count
        kept[slot, REVISION] = revision
        start = kept[slot, VERTEX_START]
        kept_vertices[start : start + v_count] = vertices[v : v + v_count]
        kept_normals[start : start + v_count] = normals[v : v + v_count]
        kept_colors[start : start + v_count] = colors[v : v + v_count]
        kept_labels[start : start + v_count] = labels[v : v + v_count]
        kept_codes[start : start + v_count] = codes[v : v + v_count]
        start = kept[slot, TRIANGLE_START]
        kept_triangles[start : start + t_count] = triangles[t : t + t_count]
    return last


@compiled
def compact(
    kept: Array,
    used: Array,
    kept_vertices: Array,
    kept_normals: Array,
    kept_colors: Array,
    kept_labels: Array,
    kept_codes: Array,
    kept_triangles: Array,
) -> None:
    """Move the kept blocks, which come in the order of their starts, together; each keeps just the room it needs."""
    v_end = 0
    t_end = 0
    for slot in range(used[BLOCKS_USED]):
        start = kept[slot, VERTEX_START]
        count = kept[slot, VERTEX_COUNT]
        for i in range(count if start > v_end else 0):
            kept_labels[v_end + i] = kept_labels[start + i]
            kept_codes[v_end + i] = kept_codes[start + i]
            for c in range(3):
                kept_vertices[v_end + i, c] = kept_vertices[start + i, c]
                kept_normals[v_end + i, c] = kept_normals[start + i, c]
                kept_colors[v_end + i, c] = kept_colors[start + i, c]
        kept[slot, VERTEX_START], kept[slot, VERTEX_ROOM] = v_end, count
        v_end += count
        start = kept[slot, TRIANGLE_START]
        count = kept[slot, TRIANGLE_COUNT]
        for i in range(count if start > t_end else 0):
            for c in range(3):
                kept_triangles[t_end + i, c] = kept_triangles[start + i, c]
        kept[slot, TRIANGLE_START], kept[slot, TRIANGLE_ROOM] = t_end, count
        t_end += count
    used[VERTICES_USED] = v_end
    used[TRIANGLES_USED] = t_end


# --- joining ------------------------------------------------------------------------------------------------------


@compiled
def _edge_of(block: Array, code: int) -> int:
    place = code // 3
    z = place // (PATCH * PATCH)
    y = place // PATCH - z * PATCH
    x = place - (z * PATCH + y) * PATCH
    return pack_edge(
        np.int64(block[0]) * BLOCK_SIZE + x,
        np.int64(block[1]) * BLOCK_SIZE + y,
        np.int64(block[2]) * BLOCK_SIZE + z,
        code - 3 * place,
    )


@compiled
def edges_of(slots: Array, coordinates: Array, kept: Array, kept_codes: Array, edges: Array) -> None:
    """Write the names of the edges on which the vertices of some kept blocks lie, one block after the other."""
    end = 0
    for slot in slots:
        start = kept[slot, VERTEX_START]
        for i in range(kept[slot, VERTEX_COUNT]):
            edges[end] = _edge_of(coordinates[slot], np.int64(kept_codes[start + i]))
            end += 1


@compiled
def join(
    count: int, coordinates: Array, kept: Array, kept_codes: Array, keys: Array, values: Array, joined: Array
) -> int:
    """Give equal numbers to equal vertices of the first ``count`` kept blocks; return how many numbers there are.

    keys, values: an empty hash table with room for the vertices on the borders of blocks. joined receives the number
    of each vertex of the pool.
    """
    numbers = 0
    for slot in range(count):
        start = kept[slot, VERTEX_START]
        for i in range(start, start + kept[slot, VERTEX_COUNT]):
            code = np.int64(kept_codes[i])
            number = numbers
            if _SHARED[code]:
                number = insert(keys, values, _edge_of(coordinates[slot], code), numbers)
            joined[i] = number
            numbers += number == numbers
    return numbers


@compiled
def count_shared(count: int, kept: Array, kept_codes: Array) -> int:
    """Return how many vertices of the first ``count`` kept blocks lie on the border of their block."""
    shared = 0
    for slot in range(count):
        start = kept[slot, VERTEX_START]
        for i in range(start, start + kept[slot, VERTEX_COUNT]):
            shared += _SHARED[kept_codes[i]]
    return shared


@compiled
def gather_vertices(
    count: int,
    kept: Array,
    joined: Array,
    kept_vertices: Array,
    kept_colors: Array,
    kept_labels: Array,
    vertices: Array,
    colors: Array,
    labels: Array,
) -> None:
    """Write position, colour and label of every joined vertex."""
    for slot in range(count):
        start = kept[slot, VERTEX_START]
        for i in range(start, start + kept[slot, VERTEX_COUNT]):
            number = joined[i]
            labels[number] = kept_labels[i]
            for c in range(3):
                vertices[number, c] = kept_vertices[i, c]
                colors[number, c] = kept_colors[i, c]


@compiled
def gather_triangles(
    count: int,
    kept: Array,
    joined: Array,
    kept_normals: Array,
    kept_triangles: Array,
    normals: Array,
    triangles: Array,
) -> None:
    """Write the triangles between joined vertices, and the unit normals that the sums of all blocks give.

    normals (V, 3) must be zero.
    """
    end = 0
    for slot in range(count):
        start = kept[slot, VERTEX_START]
        for i in range(start, start + kept[slot, VERTEX_COUNT]):
            for c in range(3):
                normals[joined[i], c] += kept_normals[i, c]
        first = kept[slot, TRIANGLE_START]
        for i in range(first, first + kept[slot, TRIANGLE_COUNT]):
            for c in range(3):
                triangles[end, c] = joined[start + kept_triangles[i, c]]
            end += 1
    for i in range(len(normals)):
        x, y, z = normals[i, 0], normals[i, 1], normals[i, 2]
        length = np.sqrt(x * x + y * y + z * z)
        if length > np.float32(0.0):
            normals[i, 0], normals[i, 1], normals[i, 2] = x / length, y / length, z / length


@compiled
def average_by_cell(
    points: Array, colors: Array, spacing_m: float, keys: Array, values: Array, sums: Array, best: Array
) -> int:
    """Sum points (N, 3) and colours by cells of ``spacing_m``; return the number of cells.

    keys, values: an empty hash table with room for N cells. sums (N, 7) float64 zeros: x, y, z, red, green, blue,
    count. best (N,): the index of the point nearest to the middle of the cell.
    """
    cells = 0
    for i in range(len(points)):
        x = np.floor(np.float64(points[i, 0]) / spacing_m)
        y = np.floor(np.float64(points[i, 1]) / spacing_m)
        z = np.floor(np.float64(points[i, 2]) / spacing_m)
        cell = np.int64(insert(keys, values, pack_key(np.int64(x), np.int64(y), np.int64(z)), cells))
        if cell == cells:
            cells += 1
            best[cell] = i
        away, least = 0.0, 0.0
        for c, corner in ((0, x), (1, y), (2, z)):
            sums[cell, c] += points[i, c]
            sums[cell, 3 + c] += colors[i, c]
            away += (points[i, c] / spacing_m - corner - 0.5) ** 2
            least += (points[best[cell], c] / spacing_m - corner - 0.5) ** 2
        if away < least:
            best[cell] = i
        sums[cell, 6] += 1.0
    return cells
