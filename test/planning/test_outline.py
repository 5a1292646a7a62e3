"""Outlines of instances and the cells that they cover, against every voxel looked at one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lira_ros.fusion.contracts import Instance, OrientedBox
from lira_ros.planning.filter_mask import cells_of
from lira_ros.planning.free_grid import FreeGrid
from lira_ros.planning.outline import Outline
from lira_ros.reasoning.contracts import Attributes

VOXEL_M = 0.05


def instance(voxels, box_center, box_size) -> Instance:
    T = np.eye(4)
    T[:3, 3] = box_center
    return Instance(
        id=1,
        label="thing",
        label_confidence=1.0,
        existence=1.0,
        attributes=Attributes(),
        box=OrientedBox(T, np.asarray(box_size, float)),
        voxel_size_m=VOXEL_M,
        voxels=np.asarray(voxels, np.int32).reshape(-1, 3),
        voxel_colors=np.zeros((len(voxels), 3), np.uint8),
        first_seen_ns=0,
        last_seen_ns=1,
        observations=1,
    )


def square_distances(centres, yaw, points) -> np.ndarray:
    turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
    beyond = np.abs((points[:, None] - centres[None]) @ turn.T) - VOXEL_M / 2
    return np.linalg.norm(np.maximum(beyond, 0.0), axis=2).min(axis=1)


@given(seed=st.integers(0, 10**6), yaw=st.floats(-3.1, 3.1))
@settings(max_examples=20, deadline=None)
def test_distances_are_those_to_the_nearest_square_whichever_way_the_map_is_turned(seed, yaw):
    random = np.random.default_rng(seed)
    voxels = random.integers(-12, 12, (random.integers(1, 60), 3))
    T_grid_map = np.eye(4)
    T_grid_map[:3, :3] = Rotation.from_euler("z", yaw).as_matrix()
    T_grid_map[:3, 3] = (3.0, 2.0, 0.5)
    outline = Outline.of_points(voxels * VOXEL_M, VOXEL_M, T_grid_map)
    centres = (voxels * VOXEL_M) @ T_grid_map[:3, :3].T + T_grid_map[:3, 3]
    places = random.uniform(1.5, 4.5, (40, 2))
    expected = square_distances(centres[:, :2], yaw, places)
    assert outline.distances(places) == pytest.approx(expected, abs=1e-9)
    assert np.abs(outline.roughly(places) - expected).max() <= 0.25 * VOXEL_M
    assert outline.bottoms_m.min() == pytest.approx(centres[:, 2].min() - VOXEL_M / 2)
    assert outline.tops_m.max() == pytest.approx(centres[:, 2].max() + VOXEL_M / 2)
    # A cell is covered when some of a square lies in it.
    grid = FreeGrid(np.zeros((90, 120), np.int8), 0.05)
    covered = np.argwhere(outline.cells(grid))
    assert square_distances(centres[:, :2], yaw, grid.centres(covered)).max(initial=0.0) <= 0.05 * np.sqrt(0.5)
    middles = np.floor(centres[:, :2] / 0.05).astype(int)
    assert outline.cells(grid)[middles[:, 1], middles[:, 0]].all()


def test_strays_outside_of_the_box_are_left_out():
    voxels = [(x, y, 3) for x in range(10) for y in range(10)] + [(60, 60, 3)]
    outline = Outline.of_instance(instance(voxels, (0.225, 0.225, 0.15), (0.5, 0.5, 0.05)), np.eye(4))
    assert outline.columns.max() < 1.0


def test_an_instance_without_voxels_has_the_outline_of_its_box():
    outline = Outline.of_instance(instance([], (1.0, 2.0, 0.5), (0.8, 0.4, 0.6)), np.eye(4))
    assert outline.distances(np.array([[1.0, 2.5], [2.0, 2.0], [1.0, 2.0]])) == pytest.approx([0.3, 0.6, 0.0], abs=0.02)
    assert (outline.bottoms_m.min(), outline.tops_m.max()) == pytest.approx((0.2, 0.8), abs=0.02)


def test_a_mask_covers_instances_and_their_margin_also_from_beyond_the_grid():
    grid = FreeGrid(np.zeros((40, 60), np.int8), 0.1)
    inside = instance([(20, 20, 0)], (1.0, 1.0, 0.0), (0.05, 0.05, 0.05))
    outside = instance([(-4, 40, 0)], (-0.2, 2.0, 0.0), (0.05, 0.05, 0.05))
    assert not cells_of([], grid, np.eye(4), 0.5).any()
    assert set(map(tuple, np.argwhere(cells_of([inside], grid, np.eye(4), 0.0)))) <= {
        (9, 9),
        (9, 10),
        (10, 9),
        (10, 10),
    }
    marked = cells_of([inside, outside], grid, np.eye(4), 0.5)
    away = np.minimum(
        *(
            square_distances(np.array([c]), 0.0, grid.centres(np.argwhere(~grid.obstacles)))
            for c in ((1.0, 1.0), (-0.2, 2.0))
        )
    ).reshape(40, 60)
    # Measured between cells: all that comes within the margin, and none that stays two cells beyond it.
    assert marked[away <= 0.45].all()
    assert not marked[away > 0.5 + 0.2].any()
    assert marked[20, 0]
