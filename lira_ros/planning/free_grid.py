"""A grid of free space seen as a planner sees it: obstacles, unknown cells, room to stand, ways to get there."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lira_ros.configuration import parameter
from lira_ros.planning import kernels

# A disc around the centre of a cell may touch the corner of another cell, half a diagonal before its centre.
_HALF_DIAGONAL = float(np.sqrt(0.5))


@dataclass(frozen=True)
class GridConfiguration:
    """What the values of an OccupancyGrid mean."""

    lethal_value: int = parameter(
        100,
        "Cells of this value or more are obstacles: occupied (100) in a map, lethal (100) in a Nav2 costmap",
        minimum=1,
        maximum=100,
    )
    inscribed_value: int = parameter(
        99,
        "The middle of the robot may not be on cells of this value or more: inscribed (99) in a Nav2 costmap",
        minimum=1,
        maximum=100,
    )


@dataclass(frozen=True)
class FreeGrid:
    """An occupancy grid; its frame has its origin at the outer corner of cell (0, 0), x along columns, y along rows.

    values: (rows, columns) int8, -1 unknown, 0 free to 100 occupied. resolution_m: edge of a cell. heights_m: (rows,
    columns) float32, how high the obstacle of each cell reaches above the floor [m], NaN where there is none; None when
    nobody says. What lies beyond the grid is unknown.
    """

    values: NDArray[np.int8]
    resolution_m: float
    configuration: GridConfiguration = GridConfiguration()
    heights_m: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Check shape and size; raises ValueError that names what is wrong."""
        if self.values.ndim != 2 or self.values.size == 0:
            raise ValueError(f"grid: expected (rows, columns) cells, got shape {self.values.shape}")
        if not (np.isfinite(self.resolution_m) and self.resolution_m > 0):
            raise ValueError(f"grid: expected a resolution above 0 m, got {self.resolution_m}")
        if self.heights_m is not None and self.heights_m.shape != self.values.shape:
            raise ValueError(f"grid: expected heights for {self.values.shape} cells, got {self.heights_m.shape}")

    @functools.cached_property
    def obstacles(self) -> NDArray[np.bool_]:
        """Return (rows, columns) which cells something stands in."""
        return self.values >= self.configuration.lethal_value

    @functools.cached_property
    def unknown(self) -> NDArray[np.bool_]:
        """Return (rows, columns) of which cells nothing is known."""
        return self.values < 0

    @functools.cached_property
    def obstacle_clearance_m(self) -> NDArray[np.float32]:
        """Return (rows, columns) how large a disc around each cell's centre surely touches no obstacle [m]."""
        return self._clearance(self.obstacles, False)

    @functools.cached_property
    def clearance_m(self) -> NDArray[np.float32]:
        """Return (rows, columns) how large a disc around each cell's centre surely covers free cells only [m]."""
        return self._clearance(self.obstacles | self.unknown, True)

    def _clearance(self, blocked: NDArray[np.bool_], beyond: bool) -> NDArray[np.float32]:
        padded = np.pad(blocked, 1, constant_values=beyond)
        if not padded.any():
            return np.full(blocked.shape, np.inf, dtype=np.float32)
        away = cv2.distanceTransform((~padded).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        return np.asarray((away - np.float32(_HALF_DIAGONAL)) * np.float32(self.resolution_m), dtype=np.float32)

    def standing(self, radius_m: float) -> NDArray[np.bool_]:
        """Return (rows, columns) on which cells a round robot of radius_m can stand with all of it on free cells."""
        return (
            ~self.unknown
            & (self.values < self.configuration.inscribed_value)
            & (self.clearance_m >= max(radius_m, 0.0))
        )

    def centres(self, cells: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the (N, 2) centres [m] of (N, 2) cells (row, column), as x and y of the grid."""
        return (cells[:, ::-1].astype(np.float64) + 0.5) * self.resolution_m

    def cell_of(self, point: NDArray[np.floating]) -> tuple[int, int] | None:
        """Return row and column of the cell around a (2,) point [m], None beyond the grid."""
        column, row = (int(value) for value in np.floor(np.asarray(point) / self.resolution_m))
        rows, columns = self.values.shape
        return (row, column) if 0 <= row < rows and 0 <= column < columns else None

    def way_lengths(
        self, start: NDArray[np.floating], radius_m: float, reach_m: float
    ) -> tuple[NDArray[np.float32], float]:
        """Return (rows, columns) lengths [m] of the shortest ways from a place, infinite where none leads to.

        start: (2,) [m]. A way leads over cells on which a robot of radius_m can stand, from neighbour to neighbour
        also diagonally, so its length is up to 8 % too long. A robot does not see the floor under itself and before
        its feet: within reach_m of it unknown floor will do where no obstacle is near. The way begins on the nearest
        such cell, whose distance [m] is returned too; where that is beyond reach_m no way leads anywhere.
        """
        rows, columns = self.values.shape
        place = np.asarray(start, dtype=np.float64)
        x = (np.arange(columns) + 0.5) * self.resolution_m - place[0]
        y = (np.arange(rows) + 0.5) * self.resolution_m - place[1]
        close = x[None, :] ** 2 + y[:, None] ** 2 <= reach_m**2
        standing = self.standing(radius_m)
        standing |= close & (self.values < self.configuration.inscribed_value) & (self.obstacle_clearance_m >= radius_m)
        lengths = np.full(self.values.shape, np.inf, dtype=np.float32)
        cells = np.argwhere(standing)
        if len(cells) == 0:
            return lengths, np.inf
        away = np.linalg.norm(self.centres(cells) - place, axis=1)
        nearest = int(np.argmin(away))
        # On a cell of its own the robot is up to half a diagonal from the centre; that is no way.
        entry_m = max(0.0, float(away[nearest]) - _HALF_DIAGONAL * self.resolution_m)
        if entry_m > reach_m:
            return lengths, entry_m
        row, column = (int(value) for value in cells[nearest])
        kernels.spread(standing.view(np.uint8), row, column, lengths)
        lengths *= np.float32(self.resolution_m)
        lengths += np.float32(entry_m)
        return lengths, entry_m
