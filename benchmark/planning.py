"""Measure goals beside instances and the grid that they stand on, against the truth of generated homes.

Usage: python benchmark/planning.py [--seeds 0 1 2] [--rate 3] [--width 320] [--picture FILE]

Each home is mapped from its drawn walk (depth noise of a Kinect). The truth is its mesh: samples of it tell which cells
of the slab from 0.1 to 1.5 m something stands in, rays what is seen. Goals are asked for beside every thing of the
home, from its true points in voxels of the map. The baseline is what one would first write: 16 places on a ring
around the box (half its diagonal, the robot and the distance), kept where their cell is free, facing its middle.
The time is the processor time of one question on a map of 100 m2 (10 x 10 m in cells of 5 cm), with the way from the
robot, median.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from lira_ros.datasets.rooms import RoomSequence
from lira_ros.datasets.rooms.raycasting import RayScene
from lira_ros.geometry.pose import inverse
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.distance_field import FREE, OCCUPIED, UNKNOWN, DistanceSlice
from lira_ros.mapping.mapper import Mapper
from lira_ros.planning.free_grid import FreeGrid
from lira_ros.planning.goals import Goal, GoalConfiguration, GoalFinder, warm_up
from lira_ros.planning.outline import Outline

BOTTOM_M, TOP_M, CELL_M, VOXEL_M = 0.1, 1.5, 0.05, 0.02
# Something that reaches a millimetre into a cell is in it; a sample every 5 mm finds it.
SAMPLE_M = 0.005
RING = 16


def samples(sequence: RoomSequence) -> NDArray[np.float64]:
    """Return points on the true surfaces, about one for each square of SAMPLE_M."""
    mesh = sequence.mesh()
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    areas = 0.5 * np.linalg.norm(np.cross(a, b), axis=1)
    # Only what can reach into the slab.
    low, high = corners[..., 2].min(axis=1), corners[..., 2].max(axis=1)
    within = (high >= BOTTOM_M) & (low <= TOP_M)
    counts = np.ceil(np.where(within, areas, 0.0) / SAMPLE_M**2).astype(np.int64)
    chosen = np.repeat(np.arange(len(counts)), counts)
    u, v = np.random.default_rng(0).random((2, len(chosen)))
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    points = corners[chosen, 0] + u[:, None] * a[chosen] + v[:, None] * b[chosen]
    return points[(points[:, 2] >= BOTTOM_M) & (points[:, 2] <= TOP_M)]


def truth_of(cells: DistanceSlice, points: NDArray, sequence: RoomSequence) -> tuple[NDArray, NDArray]:
    """Return (rows, columns) in which cells something stands, and which lie on the floor of a room or a doorway."""
    local = points @ cells.T_map_slice[:3, :3] - cells.T_map_slice[:3, 3] @ cells.T_map_slice[:3, :3]
    index = np.floor(local[:, :2] / CELL_M).astype(np.int64)
    rows, columns = cells.states.shape
    index = index[((index >= 0) & (index < (columns, rows))).all(axis=1)]
    occupied = np.zeros((rows, columns), bool)
    occupied[index[:, 1], index[:, 0]] = True
    x = (np.arange(columns) + 0.5) * CELL_M + cells.T_map_slice[0, 3]
    y = (np.arange(rows) + 0.5) * CELL_M + cells.T_map_slice[1, 3]
    floor = np.zeros((rows, columns), bool)
    for place in (*sequence.room.areas, *sequence.room.doorways):
        inside_x = (x >= place.minimum[0]) & (x <= place.maximum[0])
        inside_y = (y >= place.minimum[1]) & (y <= place.maximum[1])
        floor |= inside_y[:, None] & inside_x[None, :]
    return occupied, floor


def near(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return cells and their neighbours."""
    wide = np.pad(cells, 1)
    rows, columns = cells.shape
    return np.any([wide[r : r + rows, c : c + columns] for r in range(3) for c in range(3)], axis=0)


def occupancy_figures(cells: DistanceSlice, occupied: NDArray, floor: NDArray) -> dict[str, tuple[int, int]]:
    """Return counts of cells as (these, of these)."""
    states = cells.states
    free, taken, unknown = states == FREE, states == OCCUPIED, states == UNKNOWN
    truly_free = floor & ~occupied
    return {
        "mapped free, and something stands in them": ((free & occupied).sum(), free.sum()),
        "mapped free, farther than a cell inside of what stands there or off the floor": (
            (free & ~near(truly_free)).sum(),
            free.sum(),
        ),
        "mapped occupied, with something in them or in a neighbour": ((taken & near(occupied)).sum(), taken.sum()),
        "truly free and mapped free": ((truly_free & free).sum(), truly_free.sum()),
        "truly free and mapped occupied": ((truly_free & taken).sum(), truly_free.sum()),
        "truly free and unknown": ((truly_free & unknown).sum(), truly_free.sum()),
        "where something stands, and mapped free": ((occupied & free).sum(), occupied.sum()),
        "off the floor with nothing in them, and still unknown": (
            (~near(floor | occupied) & unknown).sum(),
            (~near(floor | occupied)).sum(),
        ),
    }


def distance_errors(cells: DistanceSlice, points: NDArray) -> NDArray[np.float64]:
    """Return of the cells that are free how much too far the nearest obstacle is said to be [m]."""
    rows, columns = np.nonzero(cells.states == FREE)
    places = np.stack([(columns + 0.5) * CELL_M, (rows + 0.5) * CELL_M], axis=1) + cells.T_map_slice[:2, 3]
    tree = cKDTree(np.unique(np.round(points[:, :2] / SAMPLE_M).astype(np.int64), axis=0) * SAMPLE_M)
    exact_m, _ = tree.query(places)
    said_m = cells.distances_m[rows, columns]
    # Where the nearest obstacle is what nobody saw, the truth says nothing about the distance to it.
    return (said_m - exact_m)[exact_m < said_m + 0.1]


class Judge:
    """Tells what a place is truly worth."""

    def __init__(self, sequence: RoomSequence, points: NDArray) -> None:
        self._tree = cKDTree(points[:, :2])
        mesh = sequence.mesh()
        self._scene = RayScene(mesh)
        self._instances = mesh.instance_ids[mesh.triangles[:, 0]]
        self._floors = [*sequence.room.areas, *sequence.room.doorways]

    def free(self, place: NDArray, radius_m: float) -> bool:
        """Tell whether nothing stands where the robot would."""
        on_floor = any(all(area.minimum[k] <= place[k] <= area.maximum[k] for k in range(2)) for area in self._floors)
        return on_floor and float(self._tree.query(place)[0]) >= radius_m

    def sees(self, place: NDArray, thing: int, points: NDArray, eye_m: float) -> bool:
        """Tell whether the camera sees any of some points of a thing, with nothing else before them."""
        chosen = points[np.random.default_rng(1).permutation(len(points))[:200]].astype(np.float64)
        eye = np.array([*place, eye_m])
        rays = np.concatenate([np.broadcast_to(eye, chosen.shape), chosen - eye], axis=1).astype(np.float32)
        away, triangles, _ = self._scene.cast(rays)
        own = np.append(self._instances, 0)[np.minimum(triangles, len(self._instances))] == thing
        return bool((own | (away >= 0.99)).mean() > 0.02)


def ring(outline_points: NDArray, grid: FreeGrid, c: GoalConfiguration) -> list[NDArray]:
    """Return the free places on a ring around the box of some points (N, 2) of the grid."""
    low, high = outline_points.min(axis=0), outline_points.max(axis=0)
    radius_m = 0.5 * np.linalg.norm(high - low) + c.robot_radius_m + c.distance_m
    angles = np.arange(RING) * 2 * np.pi / RING
    places = 0.5 * (low + high) + radius_m * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return [place for place in places if (cell := grid.cell_of(place)) is not None and grid.values[cell] == 0]


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rate", type=float, default=3.0)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--picture", type=Path, help="draw the grid of the last home with its goals into this file")
    options = parser.parse_args()
    warm_up()
    c = GoalConfiguration()
    total: dict[str, NDArray] = {}
    errors, ours, others = [], [], []
    asked = answered = ring_answered = 0
    for seed in options.seeds:
        sequence = RoomSequence(seed, options.rate, options.width)
        mapper = Mapper(MappingConfiguration(voxel_size_m=VOXEL_M, up="+z"))
        for frame in sequence:
            mapper.add_frame(frame)
        began_s = time.perf_counter()
        cells = mapper.distance_slice(BOTTOM_M, TOP_M, CELL_M, with_heights=True)
        slice_ms = 1e3 * (time.perf_counter() - began_s)
        points = samples(sequence)
        occupied, floor = truth_of(cells, points, sequence)
        for name, counts in occupancy_figures(cells, occupied, floor).items():
            total[name] = total.get(name, np.zeros(2, np.int64)) + counts
        errors.append(distance_errors(cells, points))
        grid = FreeGrid(cells.occupancy(), CELL_M, heights_m=cells.heights_m)
        T_grid_map = inverse(cells.T_map_slice)
        start = (T_grid_map @ sequence.pose(len(sequence) - 1))[:2, 3]
        finder = GoalFinder(grid, c, start)
        judge = Judge(sequence, points)
        shown = []
        for thing in sequence.objects():
            # Of a thing only what a camera can see becomes voxels; what hangs at the ceiling is beside nothing.
            centres = np.unique(np.rint(thing.points / VOXEL_M).astype(np.int64), axis=0) * VOXEL_M
            if thing.points[:, 2].min() > TOP_M:
                continue
            asked += 1
            outline = Outline.of_points(centres, VOXEL_M, T_grid_map)
            found = finder.find(outline)
            answered += bool(found.goals)
            for goal in found.goals:
                place = (cells.T_map_slice @ [*goal.position, 0.0, 1.0])[:2]
                truly_free, seen = (
                    judge.free(place, c.robot_radius_m),
                    judge.sees(place, thing.id, thing.points, c.eye_height_m),
                )
                ours.append((truly_free, seen, abs(goal.distance_m - c.distance_m) <= c.tolerance_m + 1e-6))
            places = ring(outline.columns, grid, c)
            ring_answered += bool(places)
            for position in places:
                place = (cells.T_map_slice @ [*position, 0.0, 1.0])[:2]
                away_m = float(outline.distances(position[None])[0]) - c.robot_radius_m
                others.append(
                    (
                        judge.free(place, c.robot_radius_m),
                        judge.sees(place, thing.id, thing.points, c.eye_height_m),
                        abs(away_m - c.distance_m) <= c.tolerance_m + 1e-6,
                    )
                )
            shown.append((thing.label, outline, found.goals[:1]))
        print(
            f"home {seed}: {len(sequence)} frames, {grid.values.size} cells, slice with heights {slice_ms:.0f} ms",
            flush=True,
        )
        if options.picture:
            draw(options.picture, grid, shown, start)
    print("\ncells")
    for name, (part, of) in total.items():
        print(f"  {100 * part / max(of, 1):6.2f} %  {name} ({part} of {of})")
    error = np.concatenate(errors)
    print(f"\ndistance of free cells to the nearest obstacle, said less true, {len(error)} cells [cm]:")
    middle, low, high = 100 * np.quantile(error, (0.5, 0.05, 0.95))
    print(f"  median {middle:.1f}, 5 % below {low:.1f}, 5 % above {high:.1f}")
    print(f"  said to be more than a cell too far: {100 * (error > CELL_M).mean():.2f} %")
    print(f"\ngoals beside {asked} things" + "goals".rjust(24) + "ring".rjust(10))
    a, b = np.array(ours, float).reshape(-1, 3), np.array(others, float).reshape(-1, 3)
    print(f"  {'things with an answer':<36}{answered:>10}{ring_answered:>10}")
    shares = {
        "truly free for the robot": lambda of: of[:, 0],
        "the thing is truly seen": lambda of: of[:, 1],
        "at the wanted distance": lambda of: of[:, 2],
        "free and seen": lambda of: of[:, :2].prod(axis=1),
        "free, seen and at the distance": lambda of: of.prod(axis=1),
    }
    for name, share in shares.items():
        print(f"  {name:<36}{100 * share(a).mean():>9.1f}%{100 * share(b).mean():>9.1f}%")
    print_times(c)
    return 0


def print_times(c: GoalConfiguration) -> None:
    """Time questions about things of several sizes on a map of 100 m2."""
    values = np.zeros((200, 200), np.int8)
    values[:2] = values[-2:] = 100
    values[:, :2] = values[:, -2:] = 100
    random = np.random.default_rng(0)
    for _ in range(60):
        r, column = random.integers(2, 190, 2)
        values[r : r + 8, column : column + 8] = random.choice([100, -1])
    print("\none question on 100 m2, with the way from the robot [ms]")
    for name, size in (
        ("mug", (0.1, 0.1)),
        ("chair", (0.5, 0.5)),
        ("sofa", (2.0, 0.9)),
        ("kitchen counter", (4.0, 0.6)),
    ):
        axes = [np.arange(0.0, edge, VOXEL_M) + 4.0 for edge in size]
        points = np.stack(np.meshgrid(*axes, [0.3, 0.5], indexing="ij"), -1).reshape(-1, 3)
        times = []
        for _ in range(9):
            began_s = time.process_time()
            outline = Outline.of_points(points, VOXEL_M, np.eye(4))
            GoalFinder(FreeGrid(values, CELL_M), c, np.array([1.0, 1.0])).find(outline)
            times.append(1e3 * (time.process_time() - began_s))
        print(f"  {name:<18}{np.median(times):8.1f}")


def draw(path: Path, grid: FreeGrid, shown: list[tuple[str, Outline, tuple[Goal, ...]]], start: NDArray) -> None:
    """Draw the grid, the outlines of things, and the best goal beside each."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows, columns = grid.values.shape
    picture = np.full((rows, columns, 3), 245, np.uint8)
    picture[grid.obstacles], picture[grid.unknown] = (60, 60, 60), (185, 185, 190)
    figure, axes = plt.subplots(figsize=(14, 14 * rows / columns))
    axes.imshow(picture, origin="lower", extent=(0, columns * CELL_M, 0, rows * CELL_M), interpolation="nearest")
    for index, (label, outline, goals) in enumerate(shown):
        color = plt.get_cmap("tab20")(index % 20)
        axes.plot(*outline.columns.T, ",", color=color, alpha=0.6)
        for goal in goals:
            axes.add_patch(plt.Circle(goal.position, 0.25, fill=False, color=color))
            step = 0.35 * np.array([np.cos(goal.yaw), np.sin(goal.yaw)])
            axes.annotate("", goal.position + step, goal.position, arrowprops={"arrowstyle": "->", "color": color})
            axes.text(*goal.position, label, fontsize=7, ha="center", va="center")
    axes.plot(*start, "k*", markersize=14)
    figure.savefig(path, dpi=80, bbox_inches="tight")


if __name__ == "__main__":
    raise SystemExit(main())
