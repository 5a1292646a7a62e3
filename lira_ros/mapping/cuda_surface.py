"""Marching cubes on a CUDA device: the counterpart of surface_kernels.mesh_blocks().

Each block is counted, the counts are summed up to places in the output, and each block is written to its place. The
triangles come in the order of the processor; the vertices of a block come in the order of their edges.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import cuda, float32, int16, int32, uint8
from numpy.typing import NDArray

from lira_ros.mapping import surface
from lira_ros.mapping.cuda_kernels import device_function, on_device
from lira_ros.mapping.cuda_volume import CudaVolume
from lira_ros.mapping.devices import is_device_failure
from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK
from lira_ros.mapping.marching_cubes import CELL_EDGES, TRIANGLE_COUNTS, TRIANGLE_EDGES
from lira_ros.mapping.surface_kernels import EDGE_CODES, PATCH
from lira_ros.mapping.tsdf import Volume
from lira_ros.mapping.view_arithmetic import composed_color, composed_distance, composed_label
from lira_ros.mapping.voxel import Array

# Two warps a block: a block has 2187 edges, of which few are crossed, and many blocks run at once.
THREADS = 64
_CODES_PER_THREAD = -(-EDGE_CODES // THREADS)
_CELLS_PER_THREAD = VOXELS_PER_BLOCK // THREADS
_PATCH_VOXELS = PATCH**3
_ACROSS_PATCH = PATCH**2
# Blocks drawn by one launch: they and their neighbours are some 14 MiB where they have to be brought to the device.
_BLOCKS_AT_ONCE = 512

_distance_of = on_device(composed_distance)
_color_of = on_device(composed_color)
_label_of = on_device(composed_label)


@device_function
def _load_patch(
    thread: int,
    index_a: Array,
    index_b: Array,
    records_a: Array,
    records_b: Array,
    threshold: float,
    distance: Array,
    known: Array,
) -> None:
    # Fill distance and known (729,) with the block and the first layers of its upper neighbours.
    place = thread
    while place < _PATCH_VOXELS:
        z = place // _ACROSS_PATCH
        y = place // PATCH - z * PATCH
        x = place - (z * PATCH + y) * PATCH
        block = (x >> 3) | ((y >> 3) << 1) | ((z >> 3) << 2)
        voxel = (x & 7) | ((y & 7) << 3) | ((z & 7) << 6)
        value, weight = _distance_of(records_a, index_a[block], records_b, index_b[block], voxel)
        distance[place] = value
        known[place] = weight >= threshold and weight > float32(0.0)
        place += THREADS


@device_function
def _classify(thread: int, distance: Array, known: Array, cases: Array) -> None:
    # Fill cases (512,) with the marching-cubes case of each cell, 0 where a corner is not known.
    cell = thread
    while cell < VOXELS_PER_BLOCK:
        x, y, z = cell & 7, (cell >> 3) & 7, cell >> 6
        case = 0
        for corner in range(8):
            place = ((z + (corner >> 2)) * PATCH + y + ((corner >> 1) & 1)) * PATCH + x + (corner & 1)
            if not known[place]:
                case = 0
                break
            if distance[place] < float32(0.0):
                case |= 1 << corner
        cases[cell] = case
        cell += THREADS


@device_function
def _cell_beside(code: int, side: int) -> tuple[int, int]:
    # The cell at side 0 to 3 around an edge, and which of its corners the edge starts from; -1 outside of the block.
    place = code // 3
    axis = code - 3 * place
    z = place // _ACROSS_PATCH
    y = place // PATCH - z * PATCH
    x = place - (z * PATCH + y) * PATCH
    first, second = side & 1, side >> 1
    dx, dy, dz = 0, 0, 0
    if axis == 0:
        dy, dz = first, second
    elif axis == 1:
        dx, dz = first, second
    else:
        dx, dy = first, second
    x, y, z = x - dx, y - dy, z - dz
    if x < 0 or y < 0 or z < 0 or x >= BLOCK_SIZE or y >= BLOCK_SIZE or z >= BLOCK_SIZE:
        return -1, 0
    return x + BLOCK_SIZE * (y + BLOCK_SIZE * z), dx | (dy << 1) | (dz << 2)


@device_function
def _is_crossed(code: int, cases: Array) -> bool:
    # Whether a triangle of this block has a corner on the edge.
    axis = code - 3 * (code // 3)
    for side in range(4):
        cell, corner = _cell_beside(code, side)
        if cell >= 0:
            case = int(cases[cell])
            if ((case >> corner) ^ (case >> (corner | (1 << axis)))) & 1 == 1:
                return True
    return False


@cuda.jit(cache=True)
def count_blocks(
    index_a: Array,
    index_b: Array,
    records_a: Array,
    records_b: Array,
    threshold: float,
    triangle_counts: Array,
    counts: Array,
) -> None:
    """Add the number of vertices and of triangles of each block to counts (B, 2); one CUDA block a block.

    index_a, index_b: (B, 8) records of the block and its upper neighbours in the two volumes whose sum is drawn.
    """
    distance = cuda.shared.array(_PATCH_VOXELS, float32)
    known = cuda.shared.array(_PATCH_VOXELS, uint8)
    cases = cuda.shared.array(VOXELS_PER_BLOCK, uint8)
    thread, block = cuda.threadIdx.x, cuda.blockIdx.x
    if index_a[block, 0] < 0 and index_b[block, 0] < 0:
        return
    _load_patch(thread, index_a[block], index_b[block], records_a, records_b, threshold, distance, known)
    cuda.syncthreads()
    _classify(thread, distance, known, cases)
    cuda.syncthreads()
    vertices, triangles = 0, 0
    for code in range(thread, EDGE_CODES, THREADS):
        if _is_crossed(code, cases):
            vertices += 1
    for cell in range(thread, VOXELS_PER_BLOCK, THREADS):
        triangles += triangle_counts[cases[cell]]
    if vertices > 0:
        cuda.atomic.add(counts, (block, 0), vertices)
    if triangles > 0:
        cuda.atomic.add(counts, (block, 1), triangles)


@cuda.jit(cache=True)
def draw_counted(
    blocks: Array,
    index_a: Array,
    index_b: Array,
    records_a: Array,
    records_b: Array,
    voxel_m: float,
    threshold: float,
    triangle_counts: Array,
    triangle_codes: Array,
    starts: Array,
    vertices: Array,
    normals: Array,
    colors: Array,
    labels: Array,
    codes: Array,
    triangles: Array,
) -> None:
    """Write the surface of each block to its place; one CUDA block a block, as surface_kernels.mesh_blocks().

    triangle_codes: (256, 3 T) codes of the edges of each case's triangles, relative to that of the cell.
    starts: (B + 1, 2) first vertex and first triangle of each block.
    """
    distance = cuda.shared.array(_PATCH_VOXELS, float32)
    known = cuda.shared.array(_PATCH_VOXELS, uint8)
    cases = cuda.shared.array(VOXELS_PER_BLOCK, uint8)
    vertex_of = cuda.shared.array(EDGE_CODES, int16)
    vertex_sums = cuda.shared.array(THREADS, int32)
    triangle_sums = cuda.shared.array(THREADS, int32)
    thread, block = cuda.threadIdx.x, cuda.blockIdx.x
    if starts[block + 1, 0] == starts[block, 0]:
        return
    zero, one, half, most = float32(0.0), float32(1.0), float32(0.5), float32(255.0)
    _load_patch(thread, index_a[block], index_b[block], records_a, records_b, threshold, distance, known)
    cuda.syncthreads()
    _classify(thread, distance, known, cases)
    cuda.syncthreads()

    # Each thread numbers its own run of edges and cells; then what comes before is added.
    count = 0
    first_code, last_code = thread * _CODES_PER_THREAD, min((thread + 1) * _CODES_PER_THREAD, EDGE_CODES)
    for code in range(first_code, last_code):
        if _is_crossed(code, cases):
            vertex_of[code] = count
            count += 1
        else:
            vertex_of[code] = -1
    vertex_sums[thread] = count
    count = 0
    first_cell = thread * _CELLS_PER_THREAD
    for cell in range(first_cell, first_cell + _CELLS_PER_THREAD):
        count += triangle_counts[cases[cell]]
    triangle_sums[thread] = count
    cuda.syncthreads()
    vertices_before, triangle = 0, starts[block, 1]
    for other in range(thread):
        vertices_before += vertex_sums[other]
        triangle += triangle_sums[other]
    first_vertex = starts[block, 0]
    for code in range(first_code, last_code):
        if vertex_of[code] < 0:
            continue
        number = vertex_of[code] + vertices_before
        vertex_of[code] = number
        vertex = first_vertex + number
        place = code // 3
        axis = code - 3 * place
        z = place // _ACROSS_PATCH
        y = place // PATCH - z * PATCH
        x = place - (z * PATCH + y) * PATCH
        step = 1 if axis == 0 else (PATCH if axis == 1 else _ACROSS_PATCH)
        part = distance[place] / (distance[place] - distance[place + step])
        x_part, y_part, z_part = zero, zero, zero
        if axis == 0:
            x_part = part
        elif axis == 1:
            y_part = part
        else:
            z_part = part
        vertices[vertex, 0] = (float32(blocks[block, 0] * BLOCK_SIZE + x) + x_part) * voxel_m
        vertices[vertex, 1] = (float32(blocks[block, 1] * BLOCK_SIZE + y) + y_part) * voxel_m
        vertices[vertex, 2] = (float32(blocks[block, 2] * BLOCK_SIZE + z) + z_part) * voxel_m
        codes[vertex] = code
        owner = (x >> 3) | ((y >> 3) << 1) | ((z >> 3) << 2)
        inner = (x & 7) | ((y & 7) << 3) | ((z & 7) << 6)
        a, b = index_a[block, owner], index_b[block, owner]
        red, green, blue = _color_of(records_a, a, records_b, b, inner)
        label, lead = _label_of(records_a, a, records_b, b, inner)
        x += 1 if axis == 0 else 0
        y += 1 if axis == 1 else 0
        z += 1 if axis == 2 else 0
        owner = (x >> 3) | ((y >> 3) << 1) | ((z >> 3) << 2)
        inner = (x & 7) | ((y & 7) << 3) | ((z & 7) << 6)
        a, b = index_a[block, owner], index_b[block, owner]
        end_red, end_green, end_blue = _color_of(records_a, a, records_b, b, inner)
        end_label, end_lead = _label_of(records_a, a, records_b, b, inner)
        rest = one - part
        colors[vertex, 0] = int(min(red * rest + end_red * part + half, most))
        colors[vertex, 1] = int(min(green * rest + end_green * part + half, most))
        colors[vertex, 2] = int(min(blue * rest + end_blue * part + half, most))
        if end_lead > lead:
            label, lead = end_label, end_lead
        labels[vertex] = int(label) if lead > zero else 0
    cuda.syncthreads()

    for cell in range(first_cell, first_cell + _CELLS_PER_THREAD):
        case = cases[cell]
        cell_code = (((cell >> 6) * PATCH + ((cell >> 3) & 7)) * PATCH + (cell & 7)) * 3
        for t in range(triangle_counts[case]):
            for side in range(3):
                triangles[triangle, side] = vertex_of[cell_code + triangle_codes[case, 3 * t + side]]
            triangle += 1

    # A vertex collects the normals of its triangles in the order in which the processor adds them.
    for code in range(first_code, last_code):
        if vertex_of[code] < 0:
            continue
        nx, ny, nz = zero, zero, zero
        for turn in range(4):
            cell, _ = _cell_beside(code, 3 - turn)
            if cell < 0:
                continue
            case = cases[cell]
            cell_code = (((cell >> 6) * PATCH + ((cell >> 3) & 7)) * PATCH + (cell & 7)) * 3
            for t in range(triangle_counts[case]):
                code_a = cell_code + triangle_codes[case, 3 * t]
                code_b = cell_code + triangle_codes[case, 3 * t + 1]
                code_c = cell_code + triangle_codes[case, 3 * t + 2]
                if code_a == code or code_b == code or code_c == code:
                    a = first_vertex + vertex_of[code_a]
                    b = first_vertex + vertex_of[code_b]
                    c = first_vertex + vertex_of[code_c]
                    abx = vertices[b, 0] - vertices[a, 0]
                    aby = vertices[b, 1] - vertices[a, 1]
                    abz = vertices[b, 2] - vertices[a, 2]
                    acx = vertices[c, 0] - vertices[a, 0]
                    acy = vertices[c, 1] - vertices[a, 1]
                    acz = vertices[c, 2] - vertices[a, 2]
                    nx += aby * acz - abz * acy
                    ny += abz * acx - abx * acz
                    nz += abx * acy - aby * acx
        vertex = first_vertex + vertex_of[code]
        normals[vertex, 0] = nx
        normals[vertex, 1] = ny
        normals[vertex, 2] = nz


@functools.lru_cache(maxsize=1)
def _tables() -> tuple[Any, Any]:
    # Triangles of each case on the device: how many, and the codes of their edges relative to that of the cell.
    code_of_edge = np.array([(x + PATCH * y + PATCH**2 * z) * 3 + axis for x, y, z, axis in CELL_EDGES])
    codes = code_of_edge[TRIANGLE_EDGES.reshape(256, -1)]
    return cuda.to_device(TRIANGLE_COUNTS.astype(np.int32)), cuda.to_device(codes.astype(np.int32))


_NEIGHBOURS = np.array([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)], dtype=np.int32)


def records_on_device(volume: Volume, indices: NDArray[np.int32]) -> tuple[Any, NDArray[np.int32]]:
    """Return an array of records on the device and where in it the (B,) records of a volume lie; -1 stays -1.

    Of a volume on the processor those records are copied.
    """
    if isinstance(volume, CudaVolume) and volume.device_records is not None:
        return volume.device_records, indices
    needed, places = np.unique(indices, return_inverse=True)
    if len(needed) and needed[0] < 0:
        needed, places = needed[1:], places - 1
    records = volume.records[needed] if len(needed) else volume.records[:1]
    return cuda.to_device(np.ascontiguousarray(records)), places.reshape(-1).astype(np.int32)


def _with_neighbours(volume: Volume, blocks: NDArray[np.int32]) -> tuple[Any, NDArray[np.int32]]:
    # Records on the device that hold the (B, 3) blocks and their upper neighbours, and where, (B, 8), -1 for missing.
    records, places = records_on_device(volume, volume.find((blocks[:, None] + _NEIGHBOURS).reshape(-1, 3)))
    return records, places.reshape(-1, 8)


class CudaDrawing:
    """draw_blocks() of surface.py on the device, and on the processor once the device has failed."""

    def __init__(self) -> None:
        """Begin on the device."""
        self._lost = False

    def __call__(
        self,
        blocks: NDArray[np.int32],
        first: int,
        base: Volume,
        part: Volume,
        part_offset: NDArray[np.int64],
        minimum_weight: float,
        *outputs: NDArray,
    ) -> int:
        """Draw blocks; see surface.draw_blocks()."""
        if not self._lost:
            try:
                return draw_blocks(blocks, first, base, part, part_offset, minimum_weight, *outputs)
            except Exception as error:
                if not is_device_failure(error):
                    raise
                # The volume on the device fails as well, and says so.
                self._lost = True
        return surface.draw_blocks(blocks, first, base, part, part_offset, minimum_weight, *outputs)


def draw_blocks(
    blocks: NDArray[np.int32],
    first: int,
    base: Volume,
    part: Volume,
    part_offset: NDArray[np.int64],
    minimum_weight: float,
    vertices: NDArray[np.float32],
    normals: NDArray[np.float32],
    colors: NDArray[np.uint8],
    labels: NDArray[np.uint16],
    codes: NDArray[np.int16],
    triangles: NDArray[np.uint16],
    vertex_ends: NDArray[np.int64],
    triangle_ends: NDArray[np.int64],
) -> int:
    """Run marching cubes over (B, 3) ``blocks`` from ``first`` on; return the first block for which room is missing.

    The map is ``base`` plus ``part``, whose blocks lie part_offset (3,) further. Outputs as those of
    surface_kernels.mesh_blocks(). Raises what the driver raises when the device fails.
    """
    chunk = np.ascontiguousarray(blocks[first : first + _BLOCKS_AT_ONCE], dtype=np.int32)
    records_a, index_a = _with_neighbours(base, chunk)
    records_b, index_b = _with_neighbours(part, (chunk - part_offset).astype(np.int32))
    triangle_counts, triangle_codes = _tables()
    volumes = cuda.to_device(index_a), cuda.to_device(index_b), records_a, records_b
    counts_there = cuda.to_device(np.zeros((len(chunk), 2), dtype=np.int32))
    threshold = np.float32(minimum_weight)
    count_blocks[len(chunk), THREADS](*volumes, threshold, triangle_counts, counts_there)
    # The processor needs the ends of all blocks anyway, so it also sums the counts up.
    ends = np.cumsum(counts_there.copy_to_host(), axis=0, dtype=np.int64)
    fitting = int(np.count_nonzero((ends[:, 0] <= len(vertices)) & (ends[:, 1] <= len(triangles))))
    if fitting == 0:
        raise ValueError(f"one block needs room for {ends[0, 0]} vertices and {ends[0, 1]} triangles")
    vertex_count, triangle_count = int(ends[fitting - 1, 0]), int(ends[fitting - 1, 1])
    vertex_ends[first : first + fitting] = ends[:fitting, 0]
    triangle_ends[first : first + fitting] = ends[:fitting, 1]
    if triangle_count == 0:
        return first + fitting
    starts = np.zeros((fitting + 1, 2), dtype=np.int64)
    starts[1:] = ends[:fitting]
    targets: tuple[NDArray, ...] = (vertices, normals, colors, labels, codes)
    drawn = [cuda.device_array((vertex_count, *target.shape[1:]), target.dtype) for target in targets]
    drawn.append(cuda.device_array((triangle_count, 3), triangles.dtype))
    draw_counted[fitting, THREADS](
        cuda.to_device(chunk),
        *volumes,
        np.float32(base.voxel_size_m),
        threshold,
        triangle_counts,
        triangle_codes,
        cuda.to_device(starts),
        *drawn,
    )
    for target, values in zip((*targets, triangles), drawn, strict=True):
        target[: len(values)] = values.copy_to_host()
    return first + fitting
