"""Surfaces out of the map: an incremental mesh by block, points, and the surface voxels of a fragment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lira_ros.mapping import kernels, surface_kernels, voxel
from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK, Fragment
from lira_ros.mapping.instance_layer import InstanceLayer
from lira_ros.mapping.marching_cubes import MAXIMUM_TRIANGLES
from lira_ros.mapping.surface_kernels import (
    BLOCKS_USED,
    REVISION,
    TRIANGLE_COUNT,
    TRIANGLE_START,
    TRIANGLES_USED,
    VERTEX_COUNT,
    VERTEX_START,
    VERTICES_USED,
)
from lira_ros.mapping.tsdf import Volume
from lira_ros.mapping.voxel import unique_blocks

# A block's cells reach into its upper neighbours, so a changed block also changes the mesh of the 7 below it.
_LOWER_NEIGHBOURS = np.array([[-(i & 1), -(i >> 1 & 1), -(i >> 2)] for i in range(8)], dtype=np.int32)
# Room for this many vertices of typical blocks in one call; a single block needs 2187 in the worst case.
_VERTEX_ROOM = 1 << 15
_TRIANGLE_ROOM = 2 * _VERTEX_ROOM + MAXIMUM_TRIANGLES * VOXELS_PER_BLOCK
_FIRST_BLOCKS = 1 << 10


def _no_labels() -> NDArray[np.uint16]:
    return np.zeros(0, np.uint16)


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in the map frame, counter-clockwise as seen from outside.

    vertices: (V, 3) float32 [m]. triangles: (T, 3) int32. colors: (V, 3) uint8 RGB. normals: (V, 3) float32 of unit
    length, pointing out of the surface. labels: (V,) uint16 of the label channel, 0 = none; all 0 where not given.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    colors: NDArray[np.uint8]
    normals: NDArray[np.float32]
    labels: NDArray[np.uint16] = field(default_factory=_no_labels)

    def __post_init__(self) -> None:
        """Give every vertex a label."""
        if len(self.labels) == 0:
            object.__setattr__(self, "labels", np.zeros(len(self.vertices), np.uint16))


@dataclass(frozen=True)
class PointCloud:
    """Points of the surface in the map frame.

    points: (N, 3) float32 [m]. colors: (N, 3) uint8 RGB. labels: (N,) uint16 of the label channel, 0 = none.
    instance_ids: (N,) uint32, 0 = none.
    """

    points: NDArray[np.float32]
    colors: NDArray[np.uint8]
    labels: NDArray[np.uint16]
    instance_ids: NDArray[np.uint32]


@dataclass(frozen=True)
class BlockMesh:
    """The part of the mesh whose cells start in one block; empty where the surface has gone.

    block: its coordinates in the map. revision: that of the mesh when this part was made. normal_sums: (V, 3)
    float32, area-weighted, not of unit length. edges: (V,) int64 names the voxel edge each vertex lies on, equal in
    all blocks that share it. labels: (V,) uint16 of the label channel, 0 = none; all 0 where not given.
    """

    block: tuple[int, int, int]
    revision: int
    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    colors: NDArray[np.uint8]
    normal_sums: NDArray[np.float32]
    edges: NDArray[np.int64]
    labels: NDArray[np.uint16] = field(default_factory=_no_labels)

    def __post_init__(self) -> None:
        """Give every vertex a label."""
        if len(self.labels) == 0:
            object.__setattr__(self, "labels", np.zeros(len(self.vertices), np.uint16))

    @property
    def normals(self) -> NDArray[np.float32]:
        """Return the (V, 3) normals of unit length."""
        length = np.linalg.norm(self.normal_sums, axis=1, keepdims=True)
        return np.divide(self.normal_sums, length, out=np.zeros_like(self.normal_sums), where=length > 0)


class _VertexArrays:
    """What is known of each vertex, and triangles between them, in arrays of equal room."""

    def __init__(self, vertices: int, triangles: int) -> None:
        self.vertices = np.empty((vertices, 3), np.float32)
        self.normals = np.empty((vertices, 3), np.float32)
        self.colors = np.empty((vertices, 3), np.uint8)
        self.labels = np.empty(vertices, np.uint16)
        self.codes = np.empty(vertices, np.int16)
        # They count from the first vertex of their block, of which there are at most 2187.
        self.triangles = np.empty((triangles, 3), np.uint16)

    def all(self) -> tuple[NDArray, NDArray, NDArray, NDArray, NDArray, NDArray]:
        return self.vertices, self.normals, self.colors, self.labels, self.codes, self.triangles


def _table(entries: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    # An empty hash table that stays at most half full.
    slots = 1 << max(10, int(2 * entries - 1).bit_length())
    return np.full(slots, voxel.EMPTY, np.int64), np.empty(slots, np.int32)


def draw_blocks(
    blocks: NDArray[np.int32],
    first: int,
    base: Volume,
    part: Volume,
    part_offset: NDArray[np.int64],
    minimum_weight: float,
    *outputs: NDArray,
) -> int:
    """Draw (B, 3) ``blocks`` from ``first`` on; return the first block for which room is missing.

    The map is ``base`` plus ``part``, whose blocks lie part_offset (3,) further. outputs: those of
    surface_kernels.mesh_blocks().
    """
    return surface_kernels.mesh_blocks(
        blocks,
        first,
        base.records,
        base.keys,
        base.values,
        part.records,
        part.keys,
        part.values,
        part_offset,
        base.voxel_size_m,
        minimum_weight,
        *outputs,
    )


class SurfaceMesh:
    """The mesh of a map of two volumes, kept by block and renewed only where voxels have changed.

    The blocks lie in one pool of arrays. A block that is drawn again stays in its place while it fits and moves to
    the end otherwise; holes are closed when the pool is full.
    """

    def __init__(self, minimum_weight: float, draw: Callable[..., int] | None = None) -> None:
        """Draw surfaces only between voxels of at least ``minimum_weight``; draw: draw_blocks() of another device."""
        self.minimum_weight = minimum_weight
        self._draw = draw or draw_blocks
        self.revision = 0
        self._drawn = _VertexArrays(_VERTEX_ROOM, _TRIANGLE_ROOM)
        self._start_empty()

    def _start_empty(self) -> None:
        self._used = np.zeros(3, np.int64)
        self._kept = np.zeros((_FIRST_BLOCKS, surface_kernels.KEPT_COLUMNS), np.int64)
        self._coordinates = np.zeros((_FIRST_BLOCKS, 3), np.int32)
        self._keys, self._values = _table(_FIRST_BLOCKS)
        self._pool = _VertexArrays(2 * _VERTEX_ROOM, 4 * _VERTEX_ROOM)

    @property
    def bytes_used(self) -> int:
        """Return the memory of the kept mesh [bytes]."""
        arrays = (*self._pool.all(), self._kept, self._coordinates, self._keys, self._values)
        return sum(array.nbytes for array in arrays)

    def update(self, base: Volume, part: Volume, part_offset: NDArray[np.int64], dirty: NDArray[np.int32]) -> None:
        """Renew the mesh around the (B, 3) ``dirty`` blocks of the map, which is base plus part.

        part_offset: (3,) blocks by which those of ``part`` are moved to lie in the map. The 7 upper neighbours of a
        block are needed to draw it: where they have been dropped from memory, the surface ends at the block.
        """
        if len(dirty) == 0:
            return
        self.revision += 1
        around = (dirty[:, None, :] + _LOWER_NEIGHBOURS[None]).reshape(-1, 3)
        blocks = unique_blocks(around)
        vertex_ends = np.zeros(len(blocks), np.int64)
        triangle_ends = np.zeros(len(blocks), np.int64)
        first = 0
        while first < len(blocks):
            drawn = self._draw(
                blocks,
                first,
                base,
                part,
                part_offset,
                self.minimum_weight,
                *self._drawn.all(),
                vertex_ends,
                triangle_ends,
            )
            self._keep(blocks, first, drawn, vertex_ends, triangle_ends)
            first = drawn

    def _keep(
        self,
        blocks: NDArray[np.int32],
        first: int,
        last: int,
        vertex_ends: NDArray[np.int64],
        triangle_ends: NDArray[np.int64],
    ) -> None:
        done = first
        while done < last:
            done = surface_kernels.keep(
                blocks,
                done,
                first,
                self.revision,
                *self._drawn.all(),
                vertex_ends,
                triangle_ends,
                last,
                self._keys,
                self._values,
                self._coordinates,
                self._kept,
                self._used,
                *self._pool.all(),
            )
            if done < last:
                self._make_room(last - done, int(vertex_ends[last - 1]), int(triangle_ends[last - 1]))

    def _make_room(self, blocks: int, vertices: int, triangles: int) -> None:
        # Close the holes in the pool, and make it half as large again where that leaves it nearly full.
        alive = np.nonzero(self._kept[: self._used[BLOCKS_USED], REVISION])[0]
        alive = alive[np.argsort(self._kept[alive, VERTEX_START], kind="stable")]
        rows = len(self._kept)
        while rows < len(alive) + blocks:
            rows *= 2
        kept, coordinates = self._kept[alive], self._coordinates[alive]
        self._kept = np.zeros((rows, surface_kernels.KEPT_COLUMNS), np.int64)
        self._coordinates = np.zeros((rows, 3), np.int32)
        self._kept[: len(alive)], self._coordinates[: len(alive)] = kept, coordinates
        self._used[BLOCKS_USED] = len(alive)
        self._keys, self._values = _table(rows)
        kernels.insert_all(self._keys, self._values, self._coordinates, len(alive))
        surface_kernels.compact(self._kept, self._used, *self._pool.all())
        # keep() asks for an eighth more than a block has.
        vertices += int(self._used[VERTICES_USED]) + vertices // 8
        triangles += int(self._used[TRIANGLES_USED]) + triangles // 8
        room = len(self._pool.vertices), len(self._pool.triangles)
        if 4 * vertices > 3 * room[0] or 4 * triangles > 3 * room[1]:
            larger = _VertexArrays(max(room[0], 3 * vertices // 2), max(room[1], 3 * triangles // 2))
            for new, old in zip(larger.all(), self._pool.all(), strict=True):
                new[: len(old)] = old
            self._pool = larger

    def forget(self, blocks: NDArray[np.int32]) -> None:
        """Drop the mesh of (B, 3) blocks from memory without reporting them as removed; update() brings them back."""
        slots = np.empty(len(blocks), np.int32)
        kernels.find_all(self._keys, self._values, np.ascontiguousarray(blocks, dtype=np.int32), slots)
        slots = slots[slots >= 0]
        # The room stays theirs until the pool is full.
        self._kept[slots, REVISION] = 0
        self._kept[slots, VERTEX_COUNT] = 0
        self._kept[slots, TRIANGLE_COUNT] = 0

    def clear(self) -> None:
        """Empty all blocks, under a new revision, so that who follows the changes takes them down."""
        self.revision += 1
        known = self._kept[: self._used[BLOCKS_USED]]
        gone = self._coordinates[: self._used[BLOCKS_USED]][known[:, REVISION] > 0]
        self._start_empty()
        self._make_room(len(gone), 0, 0)
        self._coordinates[: len(gone)] = gone
        self._kept[: len(gone), REVISION] = self.revision
        self._used[BLOCKS_USED] = len(gone)
        kernels.insert_all(self._keys, self._values, self._coordinates, len(gone))

    def changed(self, since_revision: int) -> Iterator[BlockMesh]:
        """Yield the blocks renewed after a revision, newest first; 0 yields all."""
        revisions = self._kept[: self._used[BLOCKS_USED], REVISION]
        slots = np.nonzero(revisions > max(since_revision, 0))[0]
        slots = slots[np.argsort(-revisions[slots], kind="stable")]
        edges = np.empty(int(self._kept[slots, VERTEX_COUNT].sum()), np.int64)
        surface_kernels.edges_of(slots, self._coordinates, self._kept, self._pool.codes, edges)
        pool, end = self._pool, 0
        rows = zip(self._coordinates[slots].tolist(), self._kept[slots].tolist(), strict=True)
        for (x, y, z), row in rows:
            start, stop = row[VERTEX_START], row[VERTEX_START] + row[VERTEX_COUNT]
            first, last = row[TRIANGLE_START], row[TRIANGLE_START] + row[TRIANGLE_COUNT]
            begin, end = end, end + stop - start
            # Copies: the pool goes on changing.
            yield BlockMesh(
                (x, y, z),
                row[REVISION],
                pool.vertices[start:stop].copy(),
                pool.triangles[first:last].astype(np.int32),
                pool.colors[start:stop].copy(),
                pool.normals[start:stop].copy(),
                edges[begin:end].copy(),
                pool.labels[start:stop].copy(),
            )

    def _join(self) -> tuple[NDArray[np.int32], int]:
        # The number of each vertex of the pool in the whole mesh, and how many there are.
        count = int(self._used[BLOCKS_USED])
        shared = surface_kernels.count_shared(count, self._kept, self._pool.codes)
        joined = np.empty(int(self._used[VERTICES_USED]), np.int32)
        numbers = surface_kernels.join(count, self._coordinates, self._kept, self._pool.codes, *_table(shared), joined)
        return joined, numbers

    def _gather(
        self, joined: NDArray[np.int32], numbers: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint16]]:
        vertices = np.empty((numbers, 3), np.float32)
        colors = np.empty((numbers, 3), np.uint8)
        labels = np.empty(numbers, np.uint16)
        pool = self._pool
        surface_kernels.gather_vertices(
            int(self._used[BLOCKS_USED]),
            self._kept,
            joined,
            pool.vertices,
            pool.colors,
            pool.labels,
            vertices,
            colors,
            labels,
        )
        return vertices, colors, labels

    def mesh(self) -> Mesh:
        """Return the whole mesh with the vertices of neighbouring blocks joined."""
        joined, numbers = self._join()
        vertices, colors, labels = self._gather(joined, numbers)
        count = int(self._used[BLOCKS_USED])
        triangles = np.empty((int(self._kept[:count, TRIANGLE_COUNT].sum()), 3), np.int32)
        normals = np.zeros((numbers, 3), np.float32)
        surface_kernels.gather_triangles(
            count, self._kept, joined, self._pool.normals, self._pool.triangles, normals, triangles
        )
        return Mesh(vertices, triangles, colors, normals, labels)

    def points(self, spacing_m: float = 0.0, instances: InstanceLayer | None = None) -> PointCloud:
        """Return the vertices of the mesh as points, with the ids of ``instances`` where given.

        Unless spacing_m is 0 there is one point for each cell of that size: the mean position and colour of what is
        in it, with the label and the id in its middle. Raises ValueError for a negative spacing.
        """
        if spacing_m < 0:
            raise ValueError(f"spacing_m must not be negative, got {spacing_m}")
        vertices, colors, labels = self._gather(*self._join())
        ids = np.zeros(len(vertices), np.uint32) if instances is None else instances.look_up(vertices)
        if spacing_m == 0 or len(vertices) == 0:
            return PointCloud(vertices, colors, labels, ids)
        sums = np.zeros((len(vertices), 7))
        middle = np.empty(len(vertices), np.int64)
        table = _table(len(vertices))
        cells = surface_kernels.average_by_cell(vertices, colors, float(spacing_m), *table, sums, middle)
        mean = sums[:cells, :6] / sums[:cells, 6:]
        middle = middle[:cells]
        return PointCloud(
            mean[:, :3].astype(np.float32), np.rint(mean[:, 3:]).astype(np.uint8), labels[middle], ids[middle]
        )


def surface_voxels(
    fragment: Fragment, band_voxels: float = 1.0, minimum_weight: float = 0.0
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return the voxels of a fragment within ``band_voxels`` of a surface and above a weight.

    Returns (N, 3) int32 voxel coordinates in the fragment's frame (voxel v is centred at v * voxel_size_m) and
    their (N, 3) uint8 RGB colours, in the order of the fragment's blocks.
    """
    near = np.abs(fragment.tsdf) * np.float32(fragment.truncation_m) <= np.float32(band_voxels * fragment.voxel_size_m)
    block, voxel = np.nonzero(near & (fragment.weight > minimum_weight))
    local = np.stack([voxel & 7, voxel >> 3 & 7, voxel >> 6], axis=1).astype(np.int32)
    return fragment.block_coordinates[block] * np.int32(BLOCK_SIZE) + local, fragment.color[block, voxel]
