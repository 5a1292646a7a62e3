"""The outline of an instance on the floor, as its voxels have it: concave, long, or thin."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from lira_ros.fusion.contracts import Instance
from lira_ros.geometry.pose import inverse, transform_points
from lira_ros.planning.free_grid import FreeGrid

# The nearest square belongs to one of the nearest few centres: of squares on a grid no more than these are as near.
_NEIGHBOURS = 8
# Directions and rays need no more columns than this; a sofa has thousands.
_LOOK_COLUMNS = 400


class Outline:
    """What lies above each place of the floor: the union of the squares below the voxels of an instance.

    columns: (M, 2) centres of the squares [m], bottoms and tops: (M,) lowest and highest point above each [m], in the
    frame of a grid. edge_m: edge of a square; yaw: how far it is turned [rad].
    """

    def __init__(
        self,
        columns: NDArray[np.float64],
        bottoms_m: NDArray[np.float64],
        tops_m: NDArray[np.float64],
        edge_m: float,
        yaw: float,
    ) -> None:
        """Raise ValueError for an outline without columns."""
        if len(columns) == 0:
            raise ValueError("outline: the instance has no voxels")
        self.columns, self.bottoms_m, self.tops_m = columns, bottoms_m, tops_m
        self.edge_m, self.yaw = edge_m, yaw
        cosine, sine = np.cos(yaw), np.sin(yaw)
        self._to_squares = np.array([[cosine, sine], [-sine, cosine]])
        self._tree = cKDTree(columns @ self._to_squares.T)

    @classmethod
    def of_points(cls, points: NDArray[np.floating], edge_m: float, T_grid_map: NDArray[np.float64]) -> Outline:
        """Return the outline of voxels of edge_m with (N, 3) centres in the map [m]; raises ValueError for none."""
        local = transform_points(T_grid_map, np.asarray(points, dtype=np.float64).reshape(-1, 3))
        # The squares lie along the most level axis of the map.
        axis = T_grid_map[:3, int(np.argmin(np.abs(T_grid_map[2, :3])))]
        yaw = float(np.arctan2(axis[1], axis[0]))
        cosine, sine = np.cos(yaw), np.sin(yaw)
        along = local[:, :2] @ np.array([[cosine, -sine], [sine, cosine]])
        # Voxels above one another differ by rounding, unless up is tilted against the map.
        keys = np.round(along / (0.5 * edge_m)).astype(np.int64)
        _, first, inverse_of = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        bottoms, tops = np.full(len(first), np.inf), np.full(len(first), -np.inf)
        np.minimum.at(bottoms, inverse_of.reshape(-1), local[:, 2])
        np.maximum.at(tops, inverse_of.reshape(-1), local[:, 2])
        return cls(
            np.asarray(local[first, :2], dtype=np.float64), bottoms - 0.5 * edge_m, tops + 0.5 * edge_m, edge_m, yaw
        )

    @classmethod
    def of_instance(cls, instance: Instance, T_grid_map: NDArray[np.float64]) -> Outline:
        """Return the outline of the voxels of an instance in its box, which leaves strays out, or of the box."""
        edge_m = instance.voxel_size_m
        half = 0.5 * np.asarray(instance.box.size_m, dtype=np.float64)
        if len(instance.voxels):
            points = instance.points.astype(np.float64)
            inside = np.abs(transform_points(inverse(instance.box.T_map_box), points)) <= half + edge_m
            points = points[inside.all(axis=1)] if inside.all(axis=1).any() else points
        else:
            edge_m = max(float(half.max()) / 50.0, 0.01)
            axes = [np.arange(-h, h + edge_m, edge_m).clip(-h, h) for h in (half[0], half[1])]
            level = np.stack(np.meshgrid(*axes, [-half[2], half[2]], indexing="ij"), axis=-1).reshape(-1, 3)
            points = np.asarray(transform_points(instance.box.T_map_box, level), dtype=np.float64)
        return cls.of_points(points, edge_m, T_grid_map)

    def distances(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return (N,) distances [m] of (N, 2) points to the outline, 0 inside of it."""
        turned = np.asarray(points, dtype=np.float64) @ self._to_squares.T
        count = min(_NEIGHBOURS, len(self.columns))
        _, index = self._tree.query(turned, k=count)
        centres = self._tree.data[np.asarray(index).reshape(len(turned), count)]
        beyond = np.maximum(np.abs(turned[:, None] - centres) - 0.5 * self.edge_m, 0.0)
        return np.asarray(np.linalg.norm(beyond, axis=2).min(axis=1))

    def roughly(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return distances() of (N, 2) points at a fifth of the cost, wrong by less than a quarter of a square."""
        away, _ = self._tree.query(np.asarray(points, dtype=np.float64) @ self._to_squares.T)
        return np.asarray(np.maximum(away - 0.5 * self.edge_m, 0.0))

    def extent(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lowest and the highest (2,) x and y that it reaches [m]."""
        reach = self.edge_m * np.sqrt(0.5)
        return self.columns.min(axis=0) - reach, self.columns.max(axis=0) + reach

    @functools.cached_property
    def look_columns(self) -> NDArray[np.intp]:
        """Return the indices of some hundred columns that show where it is."""
        spacing = self.edge_m
        index = np.arange(len(self.columns))
        while len(index) > _LOOK_COLUMNS:
            spacing *= 1.5
            _, index = np.unique(np.floor(self.columns / spacing).astype(np.int64), axis=0, return_index=True)
        return np.sort(index)

    def cells(self, grid: FreeGrid) -> NDArray[np.bool_]:
        """Return (rows, columns) which cells of a grid it lies over."""
        own = np.zeros(grid.values.shape, dtype=np.bool_)
        half, steps = 0.5 * self.edge_m, max(3, int(np.ceil(2.0 * self.edge_m / grid.resolution_m)) + 1)
        offsets = np.linspace(-half, half, steps) * (1.0 - 1e-9)
        shifts = np.stack(np.meshgrid(offsets, offsets, indexing="ij"), axis=-1).reshape(-1, 2) @ self._to_squares
        places = np.floor((self.columns[:, None] + shifts[None]).reshape(-1, 2) / grid.resolution_m).astype(np.int64)
        limits = (grid.values.shape[1], grid.values.shape[0])
        places = places[((places >= 0) & (places < limits)).all(axis=1)]
        own[places[:, 1], places[:, 0]] = True
        return own
