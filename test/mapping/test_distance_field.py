import functools

import numpy as np
import pytest
from analytic_scene import frame_of, looking_at, rays, walk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.ground import GroundPlane
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.distance_field import (
    FREE,
    OCCUPIED,
    UNKNOWN,
    DistanceSlice,
    Slab,
    _signed_distances,
    distance_slice,
)
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.tsdf import Volume

CAMERA = Camera(96, 72, 60.0, 60.0, 47.5, 35.5)
VOXEL_M = 0.04
FLOOR_M = 0.3  # the floor of the test rooms is not at height 0
NONE = np.zeros(3, np.int64)

# Boxes (low, high) with the floor at z = 0. A room of 4 x 3 m, a door of 0.9 m in its wall at x = 2, a space behind.
ROOM = [
    ((-2.5, -2.0, -0.3), (5.0, 2.0, 0.0)),
    ((-2.2, -1.7, 0.0), (-2.0, 1.7, 2.4)),
    ((-2.2, -1.7, 0.0), (4.7, -1.5, 2.4)),
    ((-2.2, 1.5, 0.0), (4.7, 1.7, 2.4)),
    ((2.0, -1.5, 0.0), (2.2, -0.45, 2.4)),
    ((2.0, 0.45, 0.0), (2.2, 1.5, 2.4)),
    ((2.0, -0.45, 2.0), (2.2, 0.45, 2.4)),
    ((4.5, -1.7, 0.0), (4.7, 1.7, 2.4)),
]
TABLE_TOP = ((-1.4, -0.5, 0.7), (-0.4, 0.5, 0.8))
CUPBOARD = ((0.2, 0.9, 0.0), (1.2, 1.5, 1.8))


@functools.cache
def depth_images(boxes):
    return [depth_of(boxes, pose) for pose in views()]


def depth_of(boxes, T_map_camera):
    direction = rays(CAMERA, T_map_camera)
    direction[direction == 0] = 1e-12
    depth = np.full(direction.shape[:2], np.inf)
    for low, high in np.array(boxes, float):
        a, b = (low - T_map_camera[:3, 3]) / direction, (high - T_map_camera[:3, 3]) / direction
        near, far = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
        depth = np.where((near < far) & (near > 0) & (near < depth), near, depth)
    return np.where(np.isfinite(depth), depth, 0.0).astype(np.float32)


def views():
    """Cameras at 1.3 m and 0.4 m height that turn around, two that look through the door, one that looks up at it."""
    for eye in ((1.2, -0.9, 1.3), (-1.6, -1.1, 1.3), (-0.9, 0.9, 0.4), (0.6, -0.6, 0.4), (1.4, 0.3, 0.9)):
        for angle in np.arange(0, 2 * np.pi, np.pi / 3):
            for tilt in (-0.9, -0.2):
                yield looking_at(eye, np.add(eye, (np.cos(angle), np.sin(angle), tilt)))
    for y in (-0.2, 0.2):
        yield looking_at((1.0, y, 1.3), (3.5, y, 0.0))
    yield looking_at((0.5, 0.0, 1.5), (2.0, 0.0, 2.1))


def mapped(boxes, T_map_scene, first=0, step=1):
    volume = Volume(VOXEL_M, 4 * VOXEL_M, 40_000)
    for pose, depth in list(zip(views(), depth_images(tuple(boxes)), strict=True))[first::step]:
        frame = frame_of(depth, T_map_scene @ pose, camera=CAMERA)
        if volume.select(frame.depth_m, 0.2, 6.0):
            volume.integrate(frame.color, CAMERA, frame.T_map_camera, 6.0)
    return volume


def placed(rotation):
    T = np.eye(4)
    T[:3, :3] = rotation
    T[:3, 3] = rotation @ (0.7, -0.4, FLOOR_M)
    return T


def empty():
    return Volume(VOXEL_M, 4 * VOXEL_M, 1)


@pytest.fixture(scope="module")
def room():
    T = placed(np.eye(3))
    return mapped([*ROOM, TABLE_TOP, CUPBOARD], T), T


def ground_of(T):
    return GroundPlane(T[:3, 2], float(T[:3, 2] @ T[:3, 3]))


def at(T, *points):
    return np.array(points, float) @ T[:3, :3].T + T[:3, 3]


def room_slice(room, bottom_m=0.1, top_m=1.2, **options):
    volume, T = room
    unknown = options.pop("unknown", "occupied")
    return distance_slice(volume, empty(), NONE, Slab(ground_of(T), bottom_m, top_m, **options), 0.5, unknown)


def test_the_floor_is_free_walls_are_occupied_and_what_nobody_saw_is_unknown(room):
    field = room_slice(room)
    T = room[1]
    free = at(T, (1.2, -0.9, 0.5), (0.5, -0.3, 0), (-1.7, 1.2, 3))
    assert (field.state_at(free) == FREE).all()
    walls = at(T, (-2.04, 0, 0), (0, -1.54, 0), (-1.0, 1.54, 0), (2.04, -1.0, 0))
    assert (field.state_at(walls) == OCCUPIED).all()
    unseen = at(T, (0.7, 1.3, 0), (-2.4, 0, 0), (2.6, 1.2, 0), (50.0, 0, 0))
    assert (field.state_at(unseen) == UNKNOWN).all()


def test_nothing_free_lies_in_a_wall_and_nearly_all_of_the_seen_floor_is_free(room):
    field = room_slice(room)
    T = room[1]
    x, y = np.meshgrid(np.arange(-1.9, 1.9, 0.05), np.arange(-1.4, 1.4, 0.05))
    clear = ~((x > -1.5) & (x < -0.3) & (np.abs(y) < 0.6)) & ~((x > 0.1) & (x < 1.3) & (y > 0.8))
    open_floor = at(T, *np.stack([x[clear], y[clear], 0 * x[clear]], axis=1))
    assert (field.state_at(open_floor) == FREE).mean() > 0.99
    for low, high in np.array([*ROOM[1:6], CUPBOARD]):
        grid = np.meshgrid(*[np.arange(a + 0.05, b - 0.04, 0.05) for a, b in zip(low[:2], high[:2], strict=True)])
        solid = np.stack([*[g.ravel() for g in grid], np.zeros(grid[0].size)], axis=1)
        assert (field.state_at(at(T, *solid)) != FREE).all()


def test_a_low_robot_passes_below_a_table_and_a_high_one_does_not(room):
    low, high, above = room_slice(room, 0.1, 0.5), room_slice(room, 0.1, 1.2), room_slice(room, 0.9, 1.2)
    T = room[1]
    below = at(T, (-0.9, 0.0, 0.0), (-1.2, 0.3, 0.0), (-0.6, -0.3, 0.0))
    assert (low.state_at(below) == FREE).all()
    assert (high.state_at(below) == OCCUPIED).all()
    # Seen from above, what stands on the table would be seen too.
    assert (above.state_at(below) == FREE).all()
    assert low.is_free(below[0], 0.3)
    assert not high.is_free(below[0], 0.0)


@pytest.mark.parametrize("rotation", [np.eye(3), Rotation.from_euler("xyz", (0.2, -0.3, 0.8)).as_matrix()])
def test_obstacles_are_as_high_as_they_are_whichever_way_is_up(rotation):
    T = placed(rotation)
    volume = mapped([*ROOM, TABLE_TOP, CUPBOARD], T)
    slab = Slab(ground_of(T), 0.1, 1.4)
    field = distance_slice(volume, empty(), NONE, slab, 0.5, with_heights=True)
    assert distance_slice(volume, empty(), NONE, slab, 0.5).heights_m is None

    def heights_at(*places):
        local = at(np.linalg.inv(field.T_map_slice), *at(T, *places))[:, :2]
        columns, rows = np.floor(local / field.resolution_m).astype(int).T
        return field.heights_m[rows, columns]

    table = heights_at((-0.9, 0.0, 0.0), (-1.2, 0.3, 0.0), (-0.6, -0.3, 0.0))
    assert table == pytest.approx(0.8, abs=1.5 * VOXEL_M)
    assert np.isinf(heights_at((0.7, 0.95, 0.0), (2.1, 1.0, 0.0), (-2.1, 0.0, 0.0))).all(), "they go on above the slab"
    assert np.isnan(heights_at((1.5, 0.0, 0.0), (0.0, -1.0, 0.0))).all(), "nothing stands there"
    assert np.array_equal(np.isnan(field.heights_m), field.states != OCCUPIED)


def test_the_door_is_as_wide_as_it_is(room):
    field = room_slice(room)
    T = room[1]
    middle = at(T, (2.1, 0.0, 0.0))
    assert field.is_free(middle[0], 0.25)
    assert not field.is_free(middle[0], 0.47)
    # Half of 0.9 m; the posts, seen past their edges, are up to the truncation distance thicker than they are.
    assert 0.45 - 4 * VOXEL_M < field.distance_at(middle)[0] < 0.47
    # The lintel is an obstacle only for who reaches as high.
    tall = room_slice(room, 0.1, 2.3)
    assert not tall.is_free(at(T, (2.1, 0.0, 0.0))[0], 0.1)


@pytest.mark.parametrize(
    "rotation",
    [
        np.eye(3),
        Rotation.from_euler("x", -90, degrees=True).as_matrix(),
        Rotation.from_euler("y", 90, degrees=True).as_matrix(),
        Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix(),
    ],
)
def test_distances_are_those_of_the_room_whichever_way_is_up(rotation):
    T = placed(rotation)
    field = room_slice((mapped(ROOM, T), T))
    np.testing.assert_allclose(field.T_map_slice[:3, 2], T[:3, 2], atol=1e-12)
    np.testing.assert_allclose(field.T_map_slice[:3, :3].T @ field.T_map_slice[:3, :3], np.eye(3), atol=1e-12)
    x, y = np.meshgrid(np.arange(-1.8, 1.2, 0.13), np.arange(-1.3, 1.31, 0.13))
    points = np.stack([x.ravel(), y.ravel(), np.full(x.size, 0.6)], axis=1)
    door = np.hypot(2.0 - points[:, 0], np.maximum(0.45 - np.abs(points[:, 1]), 0.0))
    true = np.minimum.reduce([points[:, 0] + 2.0, 1.5 - np.abs(points[:, 1]), door])
    error = field.distance_at(at(T, *points)) - true
    # An obstacle begins with the first cell that it reaches into, so it is nearer than it is by a cell and a voxel at
    # most, and hardly ever farther.
    assert error.max() < 0.5 * VOXEL_M
    assert error.min() > -(field.resolution_m + 1.5 * VOXEL_M)
    assert -0.08 < np.median(error) < 1e-3


def test_distances_are_negative_inside_of_obstacles():
    T = placed(np.eye(3))
    field = room_slice((mapped([ROOM[0], ((0.0, 0.0, 0.0), (0.8, 0.8, 0.5))], T), T), 0.1, 1.0)
    inside, border, outside = field.distance_at(at(T, (0.4, 0.4, 0.2), (0.4, 0.02, 0.2), (0.4, -0.4, 0.2)))
    assert inside < -0.2
    assert abs(border) < 0.1
    assert 0.4 - 4 * VOXEL_M < outside < 0.42


def test_unknown_counts_as_asked_and_so_does_what_lies_beyond_the_grid(room):
    T = room[1]
    inside_cupboard = at(T, (0.7, 1.3, 0.0))
    centre = at(T, (0.5, 0.0, 0.0))[0]
    careful = room_slice(room, centre=centre, radius_m=0.4)
    curious = room_slice(room, centre=centre, radius_m=0.4, unknown="free")
    np.testing.assert_array_equal(careful.states, curious.states)
    assert (careful.states == FREE).all()
    assert careful.distance_at(centre[None])[0] == pytest.approx(0.4, abs=0.05)
    assert curious.distance_at(centre[None])[0] == np.inf
    for field in (careful, curious):
        assert np.isnan(field.distance_at(inside_cupboard)[0])
        assert not field.is_free(inside_cupboard[0], 0.0)
    assert room_slice(room).distance_at(inside_cupboard)[0] < 0
    assert room_slice(room, unknown="free").distance_at(inside_cupboard)[0] > 0


def test_cells_of_two_slices_coincide(room):
    T = room[1]
    whole = room_slice(room)
    part = room_slice(room, centre=at(T, (0.013, 0.017, 0.0))[0], radius_m=0.8)
    shift = (part.T_map_slice[:2, 3] - whole.T_map_slice[:2, 3]) / whole.resolution_m
    np.testing.assert_allclose(shift, np.rint(shift), atol=1e-6)
    column, row = np.rint(shift).astype(int)
    rows, columns = part.states.shape
    np.testing.assert_array_equal(part.states, whole.states[row : row + rows, column : column + columns])


def test_a_cell_is_where_the_grid_says():
    states = np.full((2, 3), FREE, np.uint8)
    states[1, 2], states[0, 0] = OCCUPIED, UNKNOWN
    T = np.eye(4)
    T[:3, 3] = 1.0, 2.0, 0.0
    field = DistanceSlice(T, 0.5, 0.1, 1.0, "occupied", states, np.zeros((2, 3), np.float32))
    np.testing.assert_array_equal(field.state_at([(2.01, 2.51, 7.0), (1.4, 2.4, 0.0)]), (OCCUPIED, UNKNOWN))
    np.testing.assert_array_equal(field.occupancy(), [[-1, 0, 0], [0, 0, 100]])


def test_the_map_is_base_plus_part_wherever_its_voxels_lie():
    T = placed(np.eye(3))
    offset = np.array([5, -3, 2], np.int64)
    back = np.eye(4)
    back[:3, 3] = -offset * 8 * VOXEL_M
    boxes = [*ROOM, TABLE_TOP, CUPBOARD]
    whole = mapped(boxes, T)
    base = mapped(boxes, T, 0, 2)
    part = mapped(boxes, back @ T, 1, 2)
    slab = Slab(ground_of(T), 0.1, 1.2)
    expected = distance_slice(whole, empty(), NONE, slab)
    result = distance_slice(base, part, offset, slab)
    np.testing.assert_array_equal(result.T_map_slice, expected.T_map_slice)
    assert (result.states == expected.states).mean() > 0.999  # rounding of sums in another order
    alone = distance_slice(empty(), part, offset, slab)
    assert 0 < (alone.states != UNKNOWN).sum() < (expected.states != UNKNOWN).sum()


def test_light_voxels_are_not_known(room):
    volume, T = room
    field = distance_slice(volume, empty(), NONE, Slab(ground_of(T), 0.1, 1.2), 1e6)
    assert (field.states == UNKNOWN).all()
    assert (field.distances_m == -np.inf).all()
    assert not field.is_free(at(T, (0.5, 0.0, 0.0))[0], 0.0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["occupied", "free"]))
def test_distances_are_euclidean(seed, unknown):
    rng = np.random.default_rng(seed)
    states = rng.choice([FREE, OCCUPIED, UNKNOWN], size=rng.integers(1, 9, 2), p=[0.7, 0.2, 0.1]).astype(np.uint8)
    result = _signed_distances(states, unknown)
    free = (states == FREE) if unknown == "occupied" else (states != OCCUPIED)
    wide = np.pad(free, 1, constant_values=unknown == "free")
    places = np.argwhere(np.ones_like(free)) + 1
    for place, value in zip(places, result.ravel(), strict=True):
        other = np.argwhere(wide != wide[tuple(place)])
        sign = 1.0 if wide[tuple(place)] else -1.0
        if len(other) == 0:
            assert value == sign * np.inf
        else:
            nearest = np.sqrt(((other - place) ** 2).sum(axis=1).min())
            assert value == pytest.approx(sign * (nearest - 0.5), abs=1e-5)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"bottom_m": 1.0, "top_m": 1.0}, "bottom_m 1.0 must be below top_m 1.0"),
        ({"top_m": np.nan}, "top_m"),
        ({"resolution_m": 0.0}, "resolution_m: expected more than 0, got 0.0"),
        ({"centre": np.zeros(3)}, "give both"),
        ({"centre": np.zeros(2), "radius_m": 1.0}, "centre: expected 3 finite coordinates"),
        ({"centre": np.zeros(3), "radius_m": -1.0}, "radius_m: expected more than 0, got -1.0"),
    ],
)
def test_a_slab_that_is_none_is_refused(values, said):
    with pytest.raises(ValueError, match=said):
        Slab(**{"ground": GroundPlane(np.array([0, 0, 1.0]), 0.0), "bottom_m": 0.1, "top_m": 1.0, **values})


def test_slices_that_cannot_be_are_refused(room):
    with pytest.raises(ValueError, match=r"resolution_m 0\.01 is smaller than a voxel of the map, 0\.04 m"):
        room_slice(room, resolution_m=0.01)
    with pytest.raises(ValueError, match="give a smaller radius"):
        room_slice(room, centre=np.zeros(3), radius_m=1000.0)
    with pytest.raises(ValueError, match="the map has nothing between"):
        room_slice((empty(), np.eye(4)))
    with pytest.raises(ValueError, match="'maybe' is not one of occupied, free"):
        room_slice(room, unknown="maybe")
    field = room_slice(room)
    with pytest.raises(ValueError, match=r"expected \(N, 3\)"):
        field.distance_at(np.zeros(3))
    with pytest.raises(ValueError, match="radius_m: expected 0 or more, got -1"):
        field.is_free(np.zeros(3), -1.0)
    # Around a place where nothing was mapped there is simply nothing known.
    nothing = room_slice((empty(), np.eye(4)), centre=np.zeros(3), radius_m=0.5)
    assert (nothing.states == UNKNOWN).all()


def test_a_mapper_tells_free_space_around_a_place_and_of_the_whole_map():
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.04, up="+z", max_depth_m=6.0, fragment_keyframes=4))
    with pytest.raises(ValueError, match="no floor has been seen yet"):
        mapper.distance_slice(0.1, 1.0)
    for frame in walk(12):  # a room of 3 x 2.5 m with its floor at -1 m and a sphere that ends 0.7 m above it
        mapper.add_frame(frame)
    whole = mapper.distance_slice(0.15, 0.5, unknown="free")
    assert (whole.bottom_m, whole.top_m) == (0.15, 0.5)
    below_sphere = np.array([[0.2, -0.1, -1.0]])
    assert whole.state_at(below_sphere)[0] == FREE
    assert whole.distance_at(below_sphere)[0] == pytest.approx(1.15, abs=0.12)
    assert mapper.distance_slice(0.15, 1.4).state_at(below_sphere)[0] == OCCUPIED
    near = mapper.distance_slice(0.15, 0.5, centre=(0.2, -0.1, 0.0), radius_m=0.5, unknown="free")
    assert near.states.shape == (20, 20)
    assert (near.states == FREE).all()
