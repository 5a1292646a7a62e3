"""Where a robot can stand beside an instance: free, reachable, at the wanted distance, facing it; best first."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lira_ros.configuration import parameter
from lira_ros.planning import kernels
from lira_ros.planning.free_grid import FreeGrid
from lira_ros.planning.outline import Outline

# What a place is worth: a weighted mean of five values in [0, 1]. Seeing the instance and being as near as wanted is
# what a goal is for; the way there, room around, and looking at it squarely decide between places alike in this.
WEIGHTS = {"distance": 0.3, "sight": 0.3, "way": 0.2, "room": 0.1, "squareness": 0.1}
# A way of this length [m] is worth half of none: the far side of a room against the near side.
_HALF_WAY_M = 5.0
# More room than this [m] beside the robot makes a place no better: Nav2 inflates obstacles by 0.55 m, less a robot's
# radius of 0.22 m.
_ENOUGH_ROOM_M = 0.33
# An instance whose lowest point is this far above the floor [m] stands or hangs on something that it may be seen over;
# legs and feet are lower, seats and tables are higher.
_RAISED_M = 0.25
# A goal that was told stays while it is worth nearly as much as the best one: less is flicker.
STEADY_SHARE = 0.9


@dataclass(frozen=True)
class GoalConfiguration:
    """How near, how far and for which robot goals are looked for."""

    distance_m: float = parameter(
        0.5, "Wanted distance between the outlines of robot and instance [m]", minimum=0.0, maximum=10.0
    )
    tolerance_m: float = parameter(
        0.1,
        "How much farther than wanted a goal may be [m]; at least one and a half cells of the grid count",
        minimum=0.0,
        maximum=5.0,
    )
    farthest_m: float = parameter(
        1.5,
        "Distance up to which goals are looked for where none is free at the wanted one, as beside a table [m]",
        minimum=0.0,
        maximum=20.0,
    )
    robot_radius_m: float = parameter(0.25, "Radius of the robot's footprint [m]", minimum=0.0, maximum=5.0)
    eye_height_m: float = parameter(
        1.0, "Height of the robot's camera above the floor, for the line of sight [m]", minimum=0.0, maximum=5.0
    )
    spacing_m: float = parameter(0.3, "Least distance between two goals of one answer [m]", minimum=0.01, maximum=5.0)
    start_reach_m: float = parameter(
        1.5,
        "How far around the robot unknown floor may be driven over: no camera sees the floor at its feet [m]",
        minimum=0.0,
        maximum=10.0,
    )
    max_goals: int = parameter(5, "Goals of an answer when the request does not say", minimum=1, maximum=1000)


@dataclass(frozen=True)
class Goal:
    """A place to stand, in the frame of the grid.

    position: (2,) [m]. yaw: direction of the robot's x axis [rad], to the middle of the angle that the instance takes
    up. distance_m: between the outlines of robot and instance. room_m: free beyond the robot's outline. way_m: length
    of the way there, NaN when nobody knows where the robot is. sight: [0, 1] share of the instance that is seen; apart:
    share of it behind a wall, or behind something with free space beyond.
    """

    position: NDArray[np.float64]
    yaw: float
    score: float
    distance_m: float
    room_m: float
    way_m: float
    sight: float
    apart: float


@dataclass(frozen=True)
class GoalSearch:
    """What was found around an instance, best first, and how many cells there were none and why.

    looked_at: cells between the wanted and the farthest distance. blocked: the robot would touch an obstacle there.
    unknown: nothing is known of some of the floor below the robot. cut_off: no free way from where the robot is.
    hidden: only places behind a wall or the like are left.
    entry_m: how far from the robot free space begins; infinite without any, NaN when nobody knows where the robot is.
    """

    goals: tuple[Goal, ...]
    looked_at: int
    blocked: int
    unknown: int
    cut_off: int
    hidden: int
    entry_m: float

    def describe(self) -> str:
        """Return in a sentence why there is no goal, or how many there are."""
        if self.goals:
            return f"{len(self.goals)} of {self.looked_at} places around it"
        if self.looked_at == 0:
            return "the grid does not reach to any place around it"
        return (
            f"none of {self.looked_at} places around it is free: {self.blocked} are blocked, {self.unknown} unknown, "
            f"{self.cut_off} cut off from the robot, {self.hidden} behind something else"
        )


class GoalFinder:
    """Finds places beside instances on one grid; ways from the robot are measured once."""

    def __init__(
        self, grid: FreeGrid, configuration: GoalConfiguration, start: NDArray[np.floating] | None = None
    ) -> None:
        """Take a grid, and where the robot is on it, (2,) [m], None when nobody knows."""
        self.grid, self.configuration = grid, configuration
        self._standing = grid.standing(configuration.robot_radius_m)
        self._ways: NDArray[np.float32] | None = None
        self._entry_m = float("nan")
        if start is not None:
            self._ways, self._entry_m = grid.way_lengths(
                start, configuration.robot_radius_m, configuration.start_reach_m
            )

    @property
    def can_start(self) -> bool:
        """Tell whether free space begins within reach of the robot, or nobody knows where it is."""
        return not self._entry_m > self.configuration.start_reach_m

    @property
    def entry_m(self) -> float:
        """Return how far from the robot known free space begins [m]; NaN when nobody knows where it is."""
        return self._entry_m

    def find(self, outline: Outline, distance_m: float | None = None, max_goals: int | None = None) -> GoalSearch:
        """Return the best places beside an instance.

        distance_m: wanted between the outlines, that of the configuration when None. Goals lie on centres of cells,
        from the wanted distance to the tolerance beyond it; only where none of these is possible, farther, and then
        within the tolerance beyond the nearest one. Those that see nothing of it come only where none sees it, and
        those behind a wall never.
        """
        c = self.configuration
        wanted_m = c.distance_m if distance_m is None else distance_m
        farthest_m = max(c.farthest_m, wanted_m + self._tolerance_m())
        cells, away_m = self._around(outline, wanted_m, farthest_m)
        inside = ((cells >= 0) & (cells < self.grid.values.shape)).all(axis=1)
        cells, away_m = cells[inside], away_m[inside]
        looked_at = len(cells)
        standing = self._standing[cells[:, 0], cells[:, 1]]
        # To the millimetre only where it matters.
        away_m[standing] = outline.distances(self.grid.centres(cells[standing])) - c.robot_radius_m
        near_enough = (away_m >= wanted_m) & (away_m <= farthest_m)
        cells, away_m = cells[near_enough], away_m[near_enough]
        rows, columns = cells.T
        standing = self._standing[rows, columns]
        blocked = ~standing & (
            (self.grid.values[rows, columns] >= self.grid.configuration.inscribed_value)
            | (self.grid.obstacle_clearance_m[rows, columns] < c.robot_radius_m)
        )
        reached = standing if self._ways is None else standing & np.isfinite(self._ways[rows, columns])
        goals = self._best(outline, cells[reached], away_m[reached], wanted_m, max_goals or c.max_goals)
        if goals and goals[0].sight == 0 and (standing & ~reached).any():
            # Seen from places that the robot cannot get to: where it can get to, it is on the wrong side of a wall.
            lost = self._rated(
                outline, *self._thinned(cells[standing & ~reached], away_m[standing & ~reached]), wanted_m
            )
            goals = () if any(goal.sight > 0 for goal in lost) else goals
        return GoalSearch(
            goals,
            looked_at,
            int(blocked.sum()),
            int((~standing & ~blocked).sum()),
            int((standing & ~reached).sum()),
            0 if goals else int(reached.sum()),
            self._entry_m,
        )

    def rate(self, outline: Outline, position: NDArray[np.floating], distance_m: float | None = None) -> Goal | None:
        """Return what a (2,) place [m] is worth as a goal now, None when it is none any more."""
        c = self.configuration
        wanted_m = c.distance_m if distance_m is None else distance_m
        cell = self.grid.cell_of(position)
        if cell is None or not self._standing[cell] or (self._ways is not None and not np.isfinite(self._ways[cell])):
            return None
        cells = np.array([cell])
        away_m = outline.distances(self.grid.centres(cells)) - c.robot_radius_m
        # A cell nearer than wanted is the price of a grid that moved by a part of a cell.
        if not wanted_m - self.grid.resolution_m <= away_m[0] <= max(c.farthest_m, wanted_m + self._tolerance_m()):
            return None
        goal = self._rated(outline, cells, away_m, wanted_m)[0]
        return goal if goal.apart < 1.0 else None

    def _tolerance_m(self) -> float:
        return max(self.configuration.tolerance_m, 1.5 * self.grid.resolution_m)

    def _around(
        self, outline: Outline, nearest_m: float, farthest_m: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        # Cells, also beyond the grid, whose robot would be about so far from the instance, and how far.
        radius_m, size = self.configuration.robot_radius_m, self.grid.resolution_m
        low, high = outline.extent()
        reach = farthest_m + radius_m
        first = np.floor((low - reach) / size).astype(np.int64)
        last = np.ceil((high + reach) / size).astype(np.int64)
        rows, columns = self.grid.values.shape
        first, last = np.maximum(first, -1), np.minimum(last, (columns + 1, rows + 1))
        if (first >= last).any():
            return np.zeros((0, 2), np.int64), np.zeros(0)
        cells = np.stack(
            np.meshgrid(np.arange(first[1], last[1]), np.arange(first[0], last[0]), indexing="ij"), axis=-1
        ).reshape(-1, 2)
        away_m = outline.roughly(self.grid.centres(cells)) - radius_m
        around = (away_m >= nearest_m) & (away_m <= farthest_m)
        return cells[around], away_m[around]

    def _best(
        self,
        outline: Outline,
        cells: NDArray[np.int64],
        away_m: NDArray[np.float64],
        wanted_m: float,
        max_goals: int,
    ) -> tuple[Goal, ...]:
        if len(cells) == 0:
            return ()
        tolerance_m = self._tolerance_m()
        within = away_m <= wanted_m + tolerance_m
        if not within.any():
            within = away_m <= away_m.min() + tolerance_m
        rated = self._rated(outline, *self._thinned(cells[within], away_m[within]), wanted_m)
        if not any(goal.sight > 0 for goal in rated):
            # Nothing of it is seen from near: a look from farther away is worth more.
            rated += self._rated(outline, *self._thinned(cells, away_m), wanted_m)
        rated = [goal for goal in rated if goal.sight > 0] or [goal for goal in rated if goal.apart < 1.0]
        best: list[Goal] = []
        for goal in sorted(rated, key=lambda item: -item.score):
            if all(
                np.linalg.norm(goal.position - other.position) >= self.configuration.spacing_m - 1e-9 for other in best
            ):
                best.append(goal)
                if len(best) == max_goals:
                    break
        return tuple(best)

    def _thinned(
        self, cells: NDArray[np.int64], away_m: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        # Of each square of half the spacing the place with most room and, of equals, nearest to the wanted distance:
        # what is left is few enough to look from each.
        size = max(1, int(0.5 * self.configuration.spacing_m / self.grid.resolution_m))
        room = np.minimum(self.grid.clearance_m[cells[:, 0], cells[:, 1]], self.configuration.robot_radius_m + 0.1)
        order = np.lexsort((away_m, -np.round(room / self.grid.resolution_m)))
        _, first = np.unique(cells[order] // size, axis=0, return_index=True)
        chosen = np.sort(order[first])
        return cells[chosen], away_m[chosen]

    def _rated(
        self, outline: Outline, cells: NDArray[np.int64], away_m: NDArray[np.float64], wanted_m: float
    ) -> list[Goal]:
        c, grid = self.configuration, self.grid
        places = grid.centres(cells)
        seen, apart, middles, nearest = self._look(outline, places)
        rows, columns = cells.T
        room_m = grid.clearance_m[rows, columns].astype(np.float64) - c.robot_radius_m
        range_m = max(c.farthest_m - wanted_m, self._tolerance_m())
        values = {
            "distance": 1.0 - np.clip((away_m - wanted_m) / range_m, 0.0, 1.0),
            "sight": seen,
            "room": np.clip(room_m / _ENOUGH_ROOM_M, 0.0, 1.0),
            "squareness": np.maximum(np.cos(middles - nearest), 0.0),
        }
        ways_m = np.full(len(cells), np.nan)
        if self._ways is not None:
            ways_m = self._ways[rows, columns].astype(np.float64)
            values["way"] = _HALF_WAY_M / (_HALF_WAY_M + ways_m)
        weight = sum(WEIGHTS[name] for name in values)
        scores = sum(WEIGHTS[name] * value for name, value in values.items()) / weight
        return [
            Goal(
                places[i],
                float((middles[i] + np.pi) % (2.0 * np.pi) - np.pi),
                float(np.clip(scores[i], 0.0, 1.0)),
                float(max(away_m[i], 0.0)),
                float(room_m[i]),
                float(ways_m[i]),
                float(seen[i]),
                float(apart[i]),
            )
            for i in range(len(cells))
        ]

    def _look(self, outline: Outline, places: NDArray[np.float64]) -> NDArray[np.float64]:
        # (4, N): of kernels.look(), what is seen, what is apart, and the directions to the middle and the nearest.
        grid = self.grid
        # An obstacle begins with the first cell that it reaches into: the rim of the instance may be one cell wider.
        own = cv2.dilate(outline.cells(grid).view(np.uint8), np.ones((3, 3), np.uint8))
        hiding = grid.obstacles & (own == 0)
        if grid.heights_m is None and float(outline.bottoms_m.min()) > _RAISED_M:
            # It stands on something, and nobody says how high that is: what hangs together with it hides nothing.
            labels, _ = ndimage.label(grid.obstacles | (own > 0))
            hiding &= ~np.isin(labels, np.unique(labels[own > 0]))
        # What a raised instance stands on is no free space beyond something either.
        cells = np.where(grid.obstacles | grid.unknown, kernels.VEILED, kernels.OPEN)
        cells[hiding] = kernels.HIDING
        cells[own > 0] = kernels.OWN
        index = outline.look_columns
        seen, apart, middles, nearest = (np.empty(len(places)) for _ in range(4))
        kernels.look(
            np.ascontiguousarray(places),
            np.ascontiguousarray(outline.columns[index]),
            np.ascontiguousarray(outline.tops_m[index]),
            float(self.configuration.eye_height_m),
            cells,
            grid.heights_m if grid.heights_m is not None else np.zeros((1, 1), np.float32),
            grid.heights_m is not None,
            float(grid.resolution_m),
            seen,
            apart,
            middles,
            nearest,
        )
        return np.stack([seen, apart, middles, nearest])


def steady(best: Goal, told: Goal | None) -> bool:
    """Tell whether a goal that was told before may stay: it still is one, and the best one is hardly better."""
    return told is not None and told.score >= STEADY_SHARE * best.score and (told.sight > 0 or best.sight == 0)


def warm_up() -> None:
    """Compile the loops, so that the first question is answered as fast as all others."""
    grid = FreeGrid(np.zeros((20, 20), np.int8), 0.1, heights_m=np.full((20, 20), np.nan, np.float32))
    outline = Outline(np.array([[1.0, 1.0]]), np.zeros(1), np.ones(1), 0.1, 0.0)
    GoalFinder(grid, GoalConfiguration(distance_m=0.2), np.array([0.5, 0.5])).find(outline)
