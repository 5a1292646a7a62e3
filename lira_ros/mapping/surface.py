"""Surfaces out of the map: an incremental mesh by block, points, and the surface voxels of a fragment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.mapping import surface_kernels
from lira_ros.mapping.fragment import BLOCK_SIZE, VOXELS_PER_BLOCK, Fragment
from lira_ros.mapping.marching_cubes import MAXIMUM_TRIANGLES
from lira_ros.mapping.tsdf import Volume
from lira_ros.mapping.voxel import unique_blocks

# A block's cells reach into its upper neighbours, so a changed block also changes the mesh of the 7 below it.
_LOWER_NEIGHBOURS = np.array([[-(i & 1), -(i >> 1 & 1), -(i >> 2)] for i in range(8)], dtype=np.int32)
# Room for this many blocks of typical content in one call; the worst case needs it for a single block.
_VERTEX_ROOM = 1 << 16


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in the map frame, counter-clockwise as seen from outside.

    vertices: (V, 3) float32 [m]. triangles: (T, 3) int32. colors: (V, 3) uint8 RGB. normals: (V, 3) float32 of unit
    length, pointing out of the surface.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    colors: NDArray[np.uint8]
    normals: NDArray[np.float32]


@dataclass(frozen=True)
class BlockMesh:
    """The part of the mesh whose cells start in one block; empty where the surface has gone.

    block: its coordinates in the map. revision: that of the mesh when this part was made. normal_sums: (V, 3)
    float32, area-weighted, not of unit length. edges: (V,) int64 names the voxel edge each vertex lies on, equal in
    all blocks that share it.
    """

    block: tuple[int, int, int]
    revision: int
    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    colors: NDArray[np.uint8]
    normal_sums: NDArray[np.float32]
    edges: NDArray[np.int64]

    @property
    def normals(self) -> NDArray[np.float32]:
        """Return the (V, 3) normals of unit length."""
        return _unit(self.normal_sums)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def _empty(block: tuple[int, int, int], revision: int) -> BlockMesh:
    return BlockMesh(
        block,
        revision,
        np.zeros((0, 3), np.float32),
        np.zeros((0, 3), np.int32),
        np.zeros((0, 3), np.uint8),
        np.zeros((0, 3), np.float32),
        np.zeros(0, np.int64),
    )


class SurfaceMesh:
    """The mesh of a map of two volumes, kept by block and renewed only where voxels have changed."""

    def __init__(self, minimum_weight: float) -> None:
        """Draw surfaces only between voxels of at least ``minimum_weight``."""
        self.minimum_weight = minimum_weight
        self.revision = 0
        # Ordered by revision, oldest first: a renewed block moves to the end.
        self._blocks: dict[tuple[int, int, int], BlockMesh] = {}
        self._vertices = np.empty((_VERTEX_ROOM, 3), np.float32)
        self._normals = np.empty((_VERTEX_ROOM, 3), np.float32)
        self._colors = np.empty((_VERTEX_ROOM, 3), np.uint8)
        self._edges = np.empty(_VERTEX_ROOM, np.int64)
        self._triangles = np.empty((2 * _VERTEX_ROOM + MAXIMUM_TRIANGLES * VOXELS_PER_BLOCK, 3), np.int32)

    def update(self, base: Volume, part: Volume, part_offset: NDArray[np.int64], dirty: NDArray[np.int32]) -> None:
        """Renew the mesh around the (B, 3) ``dirty`` blocks of the map, which is base plus part.

        part_offset: (3,) blocks by which those of ``part`` are moved to lie in the map.
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
            pending = blocks[first:]
            done = surface_kernels.mesh_blocks(
                pending,
                0,
                base.records,
                base.keys,
                base.values,
                part.records,
                part.keys,
                part.values,
                part_offset,
                base.voxel_size_m,
                self.minimum_weight,
                self._vertices,
                self._normals,
                self._colors,
                self._edges,
                self._triangles,
                vertex_ends,
                triangle_ends,
            )
            self._store(pending[:done], vertex_ends, triangle_ends)
            first += done

    def _store(
        self, blocks: NDArray[np.int32], vertex_ends: NDArray[np.int64], triangle_ends: NDArray[np.int64]
    ) -> None:
        v = t = 0
        ends = zip(blocks.tolist(), vertex_ends.tolist(), triangle_ends.tolist(), strict=False)
        for coordinates, v_end, t_end in ends:
            block = (coordinates[0], coordinates[1], coordinates[2])
            known = self._blocks.pop(block, None)
            if t_end > t:
                self._blocks[block] = BlockMesh(
                    block,
                    self.revision,
                    self._vertices[v:v_end].copy(),
                    self._triangles[t:t_end].copy(),
                    self._colors[v:v_end].copy(),
                    self._normals[v:v_end].copy(),
                    self._edges[v:v_end].copy(),
                )
            elif known is not None:
                self._blocks[block] = _empty(block, self.revision)
            v, t = v_end, t_end

    def clear(self) -> None:
        """Empty all blocks, under a new revision, so that who follows the changes takes them down."""
        self.revision += 1
        self._blocks = {block: _empty(block, self.revision) for block in self._blocks}

    def changed(self, since_revision: int) -> Iterator[BlockMesh]:
        """Yield the blocks renewed after a revision, newest first; 0 yields all."""
        for part in reversed(self._blocks.values()):
            if part.revision <= since_revision:
                return
            yield part

    def mesh(self) -> Mesh:
        """Return the whole mesh with the vertices of neighbouring blocks joined."""
        parts = [part for part in self._blocks.values() if len(part.triangles)]
        if not parts:
            nothing = _empty((0, 0, 0), 0)
            return Mesh(nothing.vertices, nothing.triangles, nothing.colors, nothing.normal_sums)
        edges = np.concatenate([part.edges for part in parts])
        starts = np.cumsum([0] + [len(part.edges) for part in parts[:-1]])
        triangles = np.concatenate([part.triangles + start for part, start in zip(parts, starts, strict=True)])
        _, first, joined = np.unique(edges, return_index=True, return_inverse=True)
        sums = np.concatenate([part.normal_sums for part in parts])
        normals = np.stack([np.bincount(joined, sums[:, i], len(first)) for i in range(3)], axis=1)
        return Mesh(
            np.concatenate([part.vertices for part in parts])[first],
            joined[triangles].astype(np.int32),
            np.concatenate([part.colors for part in parts])[first],
            _unit(normals.astype(np.float32)),
        )

    def points(self, spacing_m: float = 0.0) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return (N, 3) surface points [m] and (N, 3) uint8 RGB; one mean for each cell of ``spacing_m`` unless 0."""
        parts = [part for part in self._blocks.values() if len(part.triangles)]
        if not parts:
            return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8)
        _, first = np.unique(np.concatenate([part.edges for part in parts]), return_index=True)
        points = np.concatenate([part.vertices for part in parts])[first]
        colors = np.concatenate([part.colors for part in parts])[first]
        if spacing_m <= 0:
            return points, colors
        cells = np.floor(points / spacing_m).astype(np.int64)
        _, cell, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
        cell = cell.reshape(-1)

        def mean(values: NDArray) -> NDArray[np.float64]:
            sums = [np.bincount(cell, values[:, i].astype(np.float64), len(counts)) for i in range(3)]
            return np.stack(sums, axis=1) / counts[:, None]

        return mean(points).astype(np.float32), np.rint(mean(colors)).astype(np.uint8)


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
