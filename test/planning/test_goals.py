"""Goals beside instances: always free, reachable, facing, as far away as wanted, the same wherever the grid lies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lira_ros.planning.free_grid import FreeGrid, GridConfiguration
from lira_ros.planning.goals import GoalConfiguration, GoalFinder, steady
from lira_ros.planning.outline import Outline

CELL_M, VOXEL_M, ROWS, COLUMNS = 0.05, 0.04, 110, 130


def cuboid(low, high) -> np.ndarray:
    """Return (N, 3) centres of the voxels that fill a box."""
    starts, ends = (np.rint(np.asarray(corner) / VOXEL_M).astype(int) for corner in (low, high))
    axes = [(np.arange(a, b) + 0.5) * VOXEL_M for a, b in zip(starts, ends, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def outline_of(*boxes, T=None) -> Outline:
    return Outline.of_points(np.concatenate([cuboid(*box) for box in boxes]), VOXEL_M, np.eye(4) if T is None else T)


def with_outlines(values, *outlines) -> np.ndarray:
    values = values.copy()
    for outline in outlines:
        values[outline.cells(FreeGrid(values, CELL_M))] = 100
    return values


def floor(rows=ROWS, columns=COLUMNS) -> np.ndarray:
    values = np.zeros((rows, columns), np.int8)
    values[0] = values[-1] = 100
    values[:, 0] = values[:, -1] = 100
    return values


def disc_is_free(values, place, radius_m) -> bool:
    """Check every cell exactly: the square of none that is not free comes nearer than the radius."""
    rows, columns = np.nonzero(values != 0)
    corners = np.stack([columns, rows], axis=1) * CELL_M
    beyond = np.maximum(np.maximum(corners - place, place - corners - CELL_M), 0.0)
    inside = (place >= radius_m).all() and (place <= np.array(values.shape[::-1]) * CELL_M - radius_m).all()
    return bool(inside and (np.linalg.norm(beyond, axis=1) >= radius_m - 1e-9).all())


def distance_to(points, place) -> float:
    """Return the way from a place to the nearest voxel seen from above."""
    beyond = np.maximum(np.abs(points[:, :2] - place) - VOXEL_M / 2, 0.0)
    return float(np.linalg.norm(beyond, axis=1).min())


SOFA = (((1.6, 1.6, 0.0), (4.0, 2.4, 0.8)), ((3.2, 2.4, 0.0), (4.0, 3.6, 0.8)))


@given(
    seed=st.integers(0, 10**6),
    distance_m=st.floats(0.0, 0.9),
    radius_m=st.floats(0.1, 0.4),
)
@settings(max_examples=12, deadline=None)
def test_goals_are_free_reachable_at_the_wanted_distance_and_face_the_instance(seed, distance_m, radius_m):
    random = np.random.default_rng(seed)
    low = np.round(random.uniform((1.0, 1.0), (4.0, 3.5)) / VOXEL_M) * VOXEL_M
    points = cuboid((*low, 0.0), (*(low + random.uniform(0.12, 1.2, 2)), 0.6))
    outline = Outline.of_points(points, VOXEL_M, np.eye(4))
    values = with_outlines(floor(), outline)
    for _ in range(6):
        r, c = random.integers(1, ROWS - 8), random.integers(1, COLUMNS - 8)
        values[r : r + random.integers(1, 8), c : c + random.integers(1, 8)] = random.choice([-1, 100])
    configuration = GoalConfiguration(robot_radius_m=radius_m)
    grid = FreeGrid(values, CELL_M)
    free = np.argwhere(grid.standing(radius_m))
    start = grid.centres(free[random.integers(len(free))][None])[0]
    finder = GoalFinder(grid, configuration, start)
    found = finder.find(outline, distance_m)
    lengths, _ = grid.way_lengths(start, radius_m, 1.0)
    for goal in found.goals:
        assert disc_is_free(values, goal.position, radius_m)
        away_m = distance_to(points, goal.position) - radius_m
        assert goal.distance_m == pytest.approx(away_m, abs=1e-6)
        assert away_m >= distance_m - 1e-6
        ray = goal.position + np.outer(np.linspace(0, 5, 2001), [np.cos(goal.yaw), np.sin(goal.yaw)])
        assert outline.distances(ray).min() < 0.02, "the robot does not look at it"
        assert np.isfinite(lengths[grid.cell_of(goal.position)])
        assert np.linalg.norm(goal.position - start) <= goal.way_m + 0.1
    scores = [goal.score for goal in found.goals]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    gaps = [np.linalg.norm(a.position - b.position) for i, a in enumerate(found.goals) for b in found.goals[:i]]
    assert all(gap >= configuration.spacing_m - 1e-6 for gap in gaps)
    if not found.goals:
        assert str(found.looked_at) in found.describe()


@given(distance_m=st.floats(0.0, 1.0))
@settings(max_examples=6, deadline=None)
def test_in_an_empty_room_every_goal_has_the_wanted_distance_within_the_tolerance(distance_m):
    outline = outline_of(*SOFA)
    found = GoalFinder(FreeGrid(with_outlines(floor(), outline), CELL_M), GoalConfiguration()).find(outline, distance_m)
    assert found.goals
    # A disc on cells keeps a cell's diagonal from the cells that the sofa reaches into.
    least_m = max(distance_m, 0.0)
    assert all(least_m - 1e-6 <= goal.distance_m <= least_m + 0.1 + 0.08 for goal in found.goals)


@given(angle=st.floats(-3.1, 3.1), x=st.floats(-50, 50), y=st.floats(-50, 50))
@settings(max_examples=6, deadline=None)
def test_a_world_that_is_turned_and_moved_has_its_goals_turned_and_moved(angle, x, y):
    T_map_grid = np.eye(4)
    T_map_grid[:3, :3] = Rotation.from_euler("z", angle).as_matrix()
    T_map_grid[:3, 3] = (x, y, 1.5)
    points = np.concatenate([cuboid(*box) for box in SOFA])
    plain = Outline.of_points(points, VOXEL_M, np.eye(4))
    grid = FreeGrid(with_outlines(floor(), plain), CELL_M)
    start = np.array([1.0, 4.5])
    expected = GoalFinder(grid, GoalConfiguration(), start).find(plain).goals
    # The voxels are those of the turned map: the same squares, told in its coordinates.
    turned = Outline.of_points(points @ T_map_grid[:3, :3].T + T_map_grid[:3, 3], VOXEL_M, np.linalg.inv(T_map_grid))
    distances = plain.distances(np.array([goal.position for goal in expected]))
    turned_distances = turned.distances(np.array([goal.position for goal in expected]))
    # Squares along the axes of the map reach as far as turned ones but for their corners.
    assert np.abs(distances - turned_distances).max() < 0.25 * VOXEL_M
    found = GoalFinder(grid, GoalConfiguration(), start).find(turned).goals
    assert min(np.linalg.norm(goal.position - expected[0].position) for goal in found) <= 3 * CELL_M


def test_around_concave_furniture_goals_also_lie_inside_of_the_corner():
    outline = outline_of(*SOFA)
    grid = FreeGrid(with_outlines(floor(), outline), CELL_M)
    configuration = GoalConfiguration(distance_m=0.2, max_goals=200)
    inside = [
        goal
        for goal in GoalFinder(grid, configuration).find(outline).goals
        if 1.6 < goal.position[0] < 3.2 and 2.4 < goal.position[1] < 3.6
    ]
    # A ring around the box of the sofa has no place there.
    assert inside
    corner = min(inside, key=lambda goal: np.linalg.norm(goal.position - (3.2, 2.4)))
    assert np.cos(corner.yaw + np.pi / 4) > 0.5, "from the corner one looks into it"


def test_against_a_wall_goals_are_on_the_side_of_the_room_also_where_the_other_room_is_nearer_to_the_robot():
    values = floor()
    values[40:42, :] = 100  # a wall from y = 2.0 m on, with a door
    values[40:42, 10:28] = 0
    outline = outline_of(((4.0, 2.12, 0.0), (5.0, 2.48, 1.6)))
    values = with_outlines(values, outline)
    found = GoalFinder(FreeGrid(values, CELL_M), GoalConfiguration(), np.array([4.5, 1.0])).find(outline)
    assert found.goals
    assert all(goal.position[1] > 2.6 for goal in found.goals)
    # When the door is shut no place remains, and the numbers say why.
    values[40:42, 10:28] = 100
    found = GoalFinder(FreeGrid(values, CELL_M), GoalConfiguration(), np.array([4.5, 1.0])).find(outline)
    assert not found.goals
    assert found.cut_off > 0
    assert found.hidden > 0
    assert f"{found.cut_off} cut off from the robot, {found.hidden} behind something else" in found.describe()


def test_beside_a_thing_on_a_table_the_robot_stands_at_the_edge_of_the_table():
    table = outline_of(((2.0, 2.0, 0.6), (3.6, 3.2, 0.76)))
    mug = outline_of(((2.2, 2.56, 0.76), (2.32, 2.68, 0.88)))
    values = with_outlines(floor(), table)
    heights = np.full(values.shape, np.nan, np.float32)
    heights[values == 100] = np.inf
    heights[table.cells(FreeGrid(values, CELL_M))] = 0.76
    for known in (heights, None):
        grid = FreeGrid(values, CELL_M, heights_m=known)
        best = GoalFinder(grid, GoalConfiguration(distance_m=0.1)).find(mug).goals[0]
        assert best.position[0] < 2.0, "the near edge is that on the left"
        assert 0.2 <= best.distance_m < 0.4
        assert best.sight == 1.0
    # Behind a shelf on the table that is higher than the eye it is not seen from there.
    heights[50:55, 41:42] = np.inf
    heights[45:60, 41:42] = np.inf
    goals = GoalFinder(FreeGrid(values, CELL_M, heights_m=heights), GoalConfiguration(distance_m=0.1)).find(mug).goals
    assert all(goal.sight > 0 for goal in goals)
    assert not any(abs(goal.position[1] - 2.6) < 0.2 and goal.position[0] < 2.0 for goal in goals)


def test_a_costmap_of_nav2_says_where_the_middle_of_the_robot_may_be():
    outline = outline_of(((2.0, 2.0, 0.0), (2.4, 2.4, 0.6)))
    values = np.zeros((ROWS, COLUMNS), np.int8)
    away = outline.distances(FreeGrid(values, CELL_M).centres(np.argwhere(values == 0))).reshape(values.shape)
    values[away <= 0.6] = 60  # costs of the inflation layer: allowed
    values[away <= 0.35] = 99  # inscribed: the robot would touch
    values[away <= 0.0] = 100
    configuration = GoalConfiguration(distance_m=0.0, robot_radius_m=0.1)
    goals = GoalFinder(FreeGrid(values, CELL_M), configuration).find(outline).goals
    assert min(goal.distance_m for goal in goals) == pytest.approx(0.25, abs=0.06)
    grid = FreeGrid(values, CELL_M, GridConfiguration(inscribed_value=50, lethal_value=100))
    assert min(goal.distance_m for goal in GoalFinder(grid, configuration).find(outline).goals) > 0.5


def test_a_robot_drives_over_the_unknown_floor_at_its_feet_and_not_farther():
    values = floor()
    values[1:40, 1:40] = -1  # what the robot stands on was never seen
    outline = outline_of(((3.0, 3.0, 0.0), (3.4, 3.4, 0.6)))
    grid = FreeGrid(with_outlines(values, outline), CELL_M)
    for reach_m in (1.5, 0.5):
        finder = GoalFinder(grid, GoalConfiguration(start_reach_m=reach_m), np.array([1.0, 1.0]))
        assert finder.can_start
        goals = finder.find(outline).goals
        assert bool(goals) == (reach_m == 1.5)
        assert all(1.9 < goal.way_m < 5.0 for goal in goals)
        assert all(grid.standing(0.25)[grid.cell_of(goal.position)] for goal in goals)
    # Among obstacles nobody can start, and it is told how far away it would be free.
    values[10:31, 10:31] = 100
    finder = GoalFinder(FreeGrid(values, CELL_M), GoalConfiguration(start_reach_m=0.2), np.array([1.0, 1.0]))
    assert not finder.can_start
    assert finder.entry_m == pytest.approx(1.25, abs=0.1)


def test_ways_are_as_long_as_they_are():
    values = np.zeros((60, 60), np.int8)
    values[30, :50] = 100
    grid = FreeGrid(np.pad(values, 10), CELL_M)
    lengths, entry_m = grid.way_lengths(np.array([1.0, 1.2]), 0.1, 0.0)
    assert entry_m == 0.0
    # Around the end of the wall at x = 0.5 m: there and back, a robot's radius past it.
    turn = np.array([0.4, 2.0])
    direct = np.linalg.norm(turn - (1.0, 1.2)) + np.linalg.norm(turn - (1.0, 2.8))
    assert direct * 0.98 <= lengths[grid.cell_of(np.array([1.0, 2.8]))] <= direct * 1.1


def test_a_goal_stays_while_it_is_nearly_as_good_and_goes_when_it_is_none_any_more():
    outline = outline_of(((2.0, 2.0, 0.0), (2.4, 2.4, 0.6)))
    values = with_outlines(floor(), outline)
    finder = GoalFinder(FreeGrid(values, CELL_M), GoalConfiguration())
    goals = finder.find(outline, max_goals=6).goals
    told = finder.rate(outline, goals[-1].position)
    assert told.score == pytest.approx(goals[-1].score)
    assert steady(goals[0], told)
    assert not steady(goals[0], None)
    row, column = finder.grid.cell_of(goals[-1].position)
    values[row, column] = 100
    assert GoalFinder(FreeGrid(values, CELL_M), GoalConfiguration()).rate(outline, goals[-1].position) is None


@pytest.mark.parametrize(
    ("values", "resolution_m", "said"),
    [
        (np.zeros((0, 4), np.int8), 0.05, "shape"),
        (np.zeros((4, 4), np.int8), 0.0, "resolution"),
        (np.zeros((4, 4), np.int8), float("nan"), "resolution"),
    ],
)
def test_a_grid_that_is_none_is_refused(values, resolution_m, said):
    with pytest.raises(ValueError, match=said):
        FreeGrid(values, resolution_m)
