"""The blocks of a mesh gathered into regions, for whoever shows the map while it grows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.mapping.surface import BlockMesh

# Blocks along the edge of a region: with 2 cm voxels a region is 0.64 m wide, so that a camera that looks at a part
# of the room makes a few regions be sent again and not the whole map.
REGION_BLOCKS = 4

Coordinates = tuple[int, int, int]


@dataclass(frozen=True)
class MeshRegion:
    """A cube of REGION_BLOCKS^3 blocks of the mesh, whole. No triangles = its surface is gone.

    coordinates: of the cube, in cubes. id: a number for it that stays. revision: that of its newest block.
    vertices: (V, 3) float32 [m] in the map; triangles: (T, 3) int32; colors: (V, 3) uint8 RGB.
    """

    coordinates: Coordinates
    id: int
    revision: int
    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    colors: NDArray[np.uint8]


@dataclass(frozen=True)
class _Block:
    """What is sent of a BlockMesh; no block has as many vertices as uint16 can count."""

    vertices: NDArray[np.float32]
    triangles: NDArray[np.uint16]
    colors: NDArray[np.uint8]


class MeshRegions:
    """The blocks of a mesh gathered into regions, so that a viewer gets tens of markers and not thousands."""

    def __init__(self) -> None:
        self._regions: dict[Coordinates, dict[Coordinates, _Block]] = {}
        self._ids: dict[Coordinates, int] = {}
        self._revisions: dict[Coordinates, int] = {}

    def update(self, blocks: Iterable[BlockMesh]) -> list[Coordinates]:
        """Take changed blocks (empty ones are gone) and return the regions that changed."""
        changed: dict[Coordinates, None] = {}
        for block in blocks:
            x, y, z = block.block
            region = (x // REGION_BLOCKS, y // REGION_BLOCKS, z // REGION_BLOCKS)
            known = self._regions.setdefault(region, {})
            if len(block.triangles):
                known[block.block] = _Block(block.vertices, block.triangles.astype(np.uint16), block.colors)
            elif known.pop(block.block, None) is None:
                continue
            self._revisions[region] = max(block.revision, self._revisions.get(region, 0))
            changed[region] = None
        return list(changed)

    def all(self) -> list[Coordinates]:
        """Return all regions that ever had a surface, also those whose surface is gone."""
        return list(self._revisions)

    def triangle_count(self, region: Coordinates) -> int:
        """Return the number of triangles of a region."""
        return sum(len(block.triangles) for block in self._regions[region].values())

    def vertex_count(self, region: Coordinates) -> int:
        """Return the number of vertices of a region."""
        return sum(len(block.vertices) for block in self._regions[region].values())

    def get(self, region: Coordinates) -> MeshRegion:
        """Return a region with the blocks that it has now."""
        region_id = self._ids.setdefault(region, len(self._ids))
        blocks = list(self._regions[region].values())
        revision = self._revisions[region]
        if not blocks:
            nothing = np.empty((0, 3))
            return MeshRegion(
                region,
                region_id,
                revision,
                nothing.astype(np.float32),
                nothing.astype(np.int32),
                nothing.astype(np.uint8),
            )
        starts = np.cumsum([0] + [len(block.vertices) for block in blocks[:-1]])
        return MeshRegion(
            region,
            region_id,
            revision,
            np.concatenate([block.vertices for block in blocks]),
            np.concatenate(
                [
                    block.triangles.astype(np.int32) + np.int32(start)
                    for block, start in zip(blocks, starts, strict=True)
                ]
            ),
            np.concatenate([block.colors for block in blocks]),
        )
