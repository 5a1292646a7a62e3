"""The surface of an instance, and of what is around it, as meshes that a collision check can use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lira_ros.mapping.fragment import BLOCK_SIZE
from lira_ros.mapping.instance_layer import InstanceLayer
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.surface import SurfaceMesh

# Half a megabyte as a message, at 12 bytes a triangle and 24 a vertex, of which there is one for each two triangles.
MAX_TRIANGLES = 20_000
# Each time a mesh is too large, its cells grow by this; a mesh of cells twice as large has a quarter of the triangles.
_COARSER = 1.25


@dataclass(frozen=True)
class TriangleMesh:
    """Triangles, counter-clockwise as seen from outside. vertices: (V, 3) float64 [m]; triangles: (T, 3) int64."""

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int64]

    def kept(self, triangles: NDArray[np.bool_]) -> TriangleMesh:
        """Return some of the triangles, (T,), with the vertices that they use."""
        used, numbers = np.unique(self.triangles[triangles], return_inverse=True)
        return TriangleMesh(self.vertices[used], numbers.reshape(-1, 3).astype(np.int64))

    def normals(self) -> NDArray[np.float64]:
        """Return (V, 3) unit normals of the vertices, pointing outwards; weighted by area."""
        corners = self.vertices[self.triangles]
        areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        sums = np.zeros_like(self.vertices)
        for corner in range(3):
            np.add.at(sums, self.triangles[:, corner], areas)
        return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def surface_within(mapper: Mapper, low_m: NDArray[np.floating], high_m: NDArray[np.floating]) -> TriangleMesh:
    """Return the surface of a map between two corners (3,) [m]: the triangles all of which lie inside."""
    block_m = BLOCK_SIZE * mapper.configuration.voxel_size_m
    first, last = (np.floor(np.asarray(corner) / block_m).astype(np.int64) for corner in (low_m, high_m))
    axes = [np.arange(a - 1, b + 2) for a, b in zip(first, last, strict=True)]
    blocks = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)
    surface = SurfaceMesh(mapper.configuration.mesh_weight)
    surface.update(*mapper.volumes(blocks), blocks)
    mesh = surface.mesh()
    inside = np.all((mesh.vertices >= low_m) & (mesh.vertices <= high_m), axis=1)
    whole = TriangleMesh(mesh.vertices.astype(np.float64), mesh.triangles.astype(np.int64))
    return whole.kept(np.all(inside[whole.triangles], axis=1))


def split(surface: TriangleMesh, layer: InstanceLayer, instance_id: int) -> tuple[TriangleMesh, TriangleMesh]:
    """Return the part of a surface that belongs to an instance, and the rest.

    Vertices that the instance surrounds belong to it too: masks and depth leave holes of a voxel or two.
    """
    belongs = layer.look_up(surface.vertices) == instance_id
    neighbours = _neighbours(surface)
    wider = belongs.copy()
    for _ in range(2):
        wider |= neighbours @ wider
    for _ in range(2):
        wider &= ~(neighbours @ ~wider)
    of_instance = (belongs | wider)[surface.triangles].sum(axis=1) >= 2
    return surface.kept(of_instance), surface.kept(~of_instance)


def _neighbours(mesh: TriangleMesh) -> sparse.csr_matrix:
    # (V, V) bool: which vertices an edge joins.
    count = len(mesh.vertices)
    a = mesh.triangles[:, [0, 1, 2]].reshape(-1)
    b = mesh.triangles[:, [1, 2, 0]].reshape(-1)
    ones = np.ones(2 * len(a), dtype=np.bool_)
    return sparse.csr_matrix((ones, (np.concatenate([a, b]), np.concatenate([b, a]))), shape=(count, count))


def coarser(mesh: TriangleMesh, max_triangles: int, cell_m: float) -> TriangleMesh:
    """Return a mesh of at most so many triangles: vertices in the same cell become their mean.

    cell_m: edge of the first cells tried [m], as of the voxels that the mesh comes from.
    """
    reduced = mesh
    while len(reduced.triangles) > max_triangles:
        cell_m *= _COARSER
        _, numbers, counts = np.unique(
            np.floor(mesh.vertices / cell_m).astype(np.int64), axis=0, return_inverse=True, return_counts=True
        )
        numbers = numbers.reshape(-1)
        means = np.zeros((len(counts), 3))
        np.add.at(means, numbers, mesh.vertices)
        triangles = numbers[mesh.triangles]
        a, b, c = triangles.T
        triangles = triangles[(a != b) & (b != c) & (c != a)]
        # Turned so that the least corner comes first, each counts once.
        first = np.argmin(triangles, axis=1)[:, None]
        turned = np.unique(np.take_along_axis(triangles, (first + np.arange(3)) % 3, axis=1), axis=0)
        reduced = TriangleMesh(means / counts[:, None], turned.astype(np.int64))
        reduced = reduced.kept(np.ones(len(turned), dtype=np.bool_))
    return reduced


def closed(surface: TriangleMesh, thickness_m: float) -> TriangleMesh:
    """Return a shell: the surface, the same thickness_m behind it turned round, and walls along the borders between.

    Each edge is used as often in one direction as in the other, so that the shell has no opening.
    """
    count = len(surface.vertices)
    behind = surface.vertices - thickness_m * surface.normals()
    a = surface.triangles[:, [0, 1, 2]].reshape(-1)
    b = surface.triangles[:, [1, 2, 0]].reshape(-1)
    # Edges that one triangle has and no other has the other way round; at an edge of several surfaces once for each.
    keys, times = np.unique(a * count + b, return_counts=True)
    back = (keys % count) * count + keys // count
    place = np.minimum(np.searchsorted(keys, back), max(len(keys) - 1, 0))
    met = np.where(keys[place] == back, times[place], 0) if len(keys) else np.zeros(0, np.int64)
    open_times = np.maximum(times - met, 0)
    start = np.repeat(keys // count, open_times)
    end = np.repeat(keys % count, open_times)
    walls = np.concatenate(
        [np.stack([end, start, start + count], axis=1), np.stack([end, start + count, end + count], axis=1)]
    )
    triangles = np.concatenate([surface.triangles, surface.triangles[:, ::-1] + count, walls])
    return TriangleMesh(np.concatenate([surface.vertices, behind]), triangles.astype(np.int64))
