"""The ground plane: how high the floor is, given which way is up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Heights are counted in bins, in square metres of surface seen.
_BIN_M = 0.02
_BINS = 1500
_SMOOTHING_BINS = 2
# A floor is at least this large and this share of the largest horizontal plane; below it lies (almost) nothing.
_FLOOR_AREA_M2 = 0.1
_FLOOR_SHARE = 0.05
_BELOW_M = 0.1
_BELOW_SHARE = 0.02
# Steps of stairs: risers of 14 to 21 cm (EN 16954, IBC 1011.5) with some room for drift; two treads in a row are the
# least that can be told from furniture. A tread may be seen in part only.
_RISER_M = (0.12, 0.24)
_RISER_SPREAD_M = 0.04
_LEAST_TREADS = 2
_TREAD_AREA_M2 = 0.03
_TREAD_SHARE = 0.003
# An axis within 37 degrees of up makes a poor level direction.
_UPRIGHT = 0.8


def level_axes(up: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two (3,) unit vectors x and y that are level, with x, y, up right-handed.

    x is the x axis of the map made level, or its y axis where x is too upright; with +z up they are those of the map.
    """
    z = np.asarray(up, dtype=np.float64) / np.linalg.norm(up)
    x = np.eye(3)[0 if abs(z[0]) < _UPRIGHT else 1]
    x = x - (x @ z) * z
    x /= np.linalg.norm(x)
    return x, np.cross(z, x)


@dataclass(frozen=True)
class GroundPlane:
    """The floor as a plane: the points x of the map with normal . x = height_m.

    normal: (3,) float64 unit vector against gravity. height_m: along it, from the map origin [m].
    """

    normal: NDArray[np.float64]
    height_m: float

    def __post_init__(self) -> None:
        """Check that this is a plane."""
        normal = np.asarray(self.normal, dtype=np.float64)
        if normal.shape != (3,) or not abs(float(np.linalg.norm(normal)) - 1.0) < 1e-6:
            raise ValueError(f"ground plane: normal must be a unit vector (3,), got {np.asarray(self.normal).tolist()}")
        if not np.isfinite(self.height_m):
            raise ValueError(f"ground plane: height_m must be finite, got {self.height_m}: no floor has been seen yet")
        object.__setattr__(self, "normal", normal)

    def heights_m(self, points_map: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return how high (..., 3) points lie above the ground [m]."""
        return np.asarray(points_map, dtype=np.float64) @ self.normal - self.height_m

    def project(self, points_map: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the (..., 3) points of the ground below or above the given ones."""
        return np.asarray(points_map, dtype=np.float64) - self.heights_m(points_map)[..., None] * self.normal


class HeightHistogram:
    """How much surface was seen at which height, and how much of it faces up; the floor is read off it.

    Heights are relative to any fixed point within 15 m of them; what lies beyond counts at the end.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything that was counted."""
        self._upward_m2 = np.zeros(_BINS)
        self._all_m2 = np.zeros(_BINS)

    def add(self, heights_m: NDArray[np.floating], areas_m2: NDArray[np.floating], upward: NDArray[np.bool_]) -> None:
        """Count (N,) pieces of surface at (N,) heights; ``upward`` tells which of them are level and face up."""
        bins = np.clip(np.floor(heights_m / _BIN_M).astype(np.int64) + _BINS // 2, 0, _BINS - 1)
        self._upward_m2 += np.bincount(bins[upward], areas_m2[upward], _BINS)
        self._all_m2 += np.bincount(bins, areas_m2, _BINS)

    def floor_m(self) -> float | None:
        """Return the height of the floor, None while there is none to be told from what is seen.

        It is the lowest level surface of some size with almost nothing below it; the top of a table has something
        below it as soon as anything under it is seen. Where stairs go down from the largest level surface, that one
        is the floor, whatever is seen of the storey below.
        """
        # Heights jitter with pose drift and noise: a plane is what lies within a few bins.
        window = np.ones(2 * _SMOOTHING_BINS + 1)
        support = np.convolve(self._upward_m2, window, mode="same")
        supported = np.nonzero(support >= max(_FLOOR_AREA_M2, _FLOOR_SHARE * float(support.max())))[0]
        if len(supported) == 0:
            return None
        # A window that falls off to both sides, so that its peak is the middle of the plane.
        middle = np.convolve(support, window, mode="same")
        peak = int(np.argmax(middle))
        if self._treads_below(peak) < _LEAST_TREADS:
            lowest = int(supported[0])
            peak = lowest + int(np.argmax(middle[lowest : lowest + _bins(_BELOW_M) + 1]))
            below = self._all_m2[: max(0, peak - _bins(_BELOW_M))].sum()
            if below > _BELOW_SHARE * self._all_m2.sum():
                return None  # something reaches further down: this is a table, the floor has not been seen
        near = slice(max(0, peak - _SMOOTHING_BINS), peak + _SMOOTHING_BINS + 1)
        centres = (np.arange(_BINS)[near] - _BINS // 2 + 0.5) * _BIN_M
        return float(np.average(centres, weights=self._upward_m2[near]))

    def _treads_below(self, peak: int) -> int:
        # How many level surfaces follow one another down from `peak` at the even spacing of steps.
        area = np.convolve(self._upward_m2, np.ones(3), mode="same")
        level = area >= max(_TREAD_AREA_M2, _TREAD_SHARE * float(area.max()))
        treads, steps_m = 0, _RISER_M
        while (riser_m := _next_below(area, level, peak, steps_m)) is not None:
            steps_m = (max(_RISER_M[0], riser_m - _RISER_SPREAD_M), min(_RISER_M[1], riser_m + _RISER_SPREAD_M))
            peak -= _bins(riser_m)
            treads += 1
        return treads


def _bins(height_m: float) -> int:
    return round(height_m / _BIN_M)


def _next_below(
    area: NDArray[np.float64], level: NDArray[np.bool_], start: int, steps_m: tuple[float, float]
) -> float | None:
    # How far [m] the largest level surface within a step below `start` is; between the two there is a riser, which has
    # no level surface of that size.
    bins = np.arange(start - _bins(steps_m[1]), start - _bins(steps_m[0]) + 1)
    bins = bins[bins > 0]
    bins = bins[level[bins]]
    if len(bins) == 0:
        return None
    found = int(bins[np.argmax(area[bins])])
    if area[found + 1 : start].min() > 0.5 * min(area[start], area[found]):
        return None
    return (start - found) * _BIN_M
