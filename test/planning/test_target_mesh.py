"""Meshes for manipulators: shells without an opening, facing outwards, of bounded size, and the instance alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.instance_layer import InstanceLayer
from lira_ros.mapping.mapper import Mapper
from lira_ros.planning.target_mesh import TriangleMesh, closed, coarser, split, surface_within


def openings(mesh: TriangleMesh) -> int:
    """Return how many edges are not used as often one way as the other."""
    edges = {}
    for a, b, c in mesh.triangles.tolist():
        for start, end in ((a, b), (b, c), (c, a)):
            edges[(start, end)] = edges.get((start, end), 0) + 1
            edges[(end, start)] = edges.get((end, start), 0) - 1
    return sum(count != 0 for count in edges.values())


def volume_m3(mesh: TriangleMesh) -> float:
    a, b, c = (mesh.vertices[mesh.triangles[:, corner]] for corner in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6.0)


def patch(n=20, size_m=0.4) -> TriangleMesh:
    """Return a level square of n x n cells that faces up."""
    side = np.linspace(0.0, size_m, n + 1)
    vertices = np.stack([*np.meshgrid(side, side, indexing="ij"), np.ones((n + 1, n + 1))], -1).reshape(-1, 3)
    corner = (np.arange(n)[:, None] * (n + 1) + np.arange(n)).reshape(-1)
    a, b, c, d = corner, corner + n + 1, corner + n + 2, corner + 1
    return TriangleMesh(vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))


def test_a_patch_becomes_a_slab():
    shell = closed(patch(), 0.02)
    assert openings(shell) == 0
    assert volume_m3(shell) == pytest.approx(0.4 * 0.4 * 0.02)
    assert shell.vertices[:, 2].min() == pytest.approx(0.98)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_whatever_is_missing_of_a_surface_its_shell_has_no_opening(seed):
    random = np.random.default_rng(seed)
    whole = patch(8)
    kept = random.random(len(whole.triangles)) < random.uniform(0.1, 1.0)
    if kept.any():
        part = whole.kept(kept)
        shell = closed(part, 0.02)
        assert openings(shell) == 0
        assert volume_m3(shell) == pytest.approx(kept.sum() * (0.4 / 8) ** 2 / 2 * 0.02, rel=1e-6)


@pytest.mark.parametrize("limit", [10_000, 400, 60])
def test_a_mesh_is_as_small_as_asked_and_still_where_it_was(limit):
    mesh = patch(40)
    small = coarser(mesh, limit, 0.01)
    assert 0 < len(small.triangles) <= limit
    assert small.vertices[:, 2] == pytest.approx(1.0)
    assert (small.normals()[:, 2] > 0.99).all()
    assert openings(closed(small, 0.02)) == 0
    areas = (
        np.linalg.norm(
            np.cross(*(small.vertices[small.triangles[:, i]] - small.vertices[small.triangles[:, 0]] for i in (1, 2))),
            axis=1,
        )
        / 2
    )
    assert areas.sum() > 0.6 * 0.16


@pytest.fixture(scope="module")
def mapper() -> Mapper:
    """Return a map of a wall with a box in front of it, seen once."""
    camera = Camera(160, 120, 120.0, 120.0, 79.5, 59.5)
    depth = np.full((120, 160), 1.5, np.float32)
    depth[40:80, 60:100] = 1.3
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.04, up="-y", mesh_weight=0.1))
    for stamp in range(3):
        mapper.add_frame(Frame(stamp + 1, np.full((120, 160, 3), 99, np.uint8), depth, camera, np.eye(4)))
    return mapper


def test_the_surface_within_corners_is_that_of_the_map(mapper):
    mesh = mapper.mesh()
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    assert len(surface_within(mapper, low - 0.1, high + 0.1).triangles) == len(mesh.triangles)
    middle = (0.3 * low + 0.7 * high) * (1, 1, 0) + high * (0, 0, 1)
    inside = ((mesh.vertices >= low) & (mesh.vertices <= middle)).all(axis=1)[mesh.triangles].all(axis=1)
    part = surface_within(mapper, low, middle)
    assert len(part.triangles) == inside.sum() > 500
    assert len(surface_within(mapper, high + 5.0, high + 6.0).triangles) == 0


def test_the_part_of_an_instance_has_its_small_holes_and_not_its_surroundings(mapper):
    mesh = mapper.mesh()
    low = mesh.vertices.min(axis=0)
    surface = surface_within(mapper, low, mesh.vertices.max(axis=0))
    middle = surface.vertices[len(surface.vertices) // 2]
    of_ball = np.linalg.norm(surface.vertices - middle, axis=1) < 0.4
    voxels = np.unique(np.rint(surface.vertices[of_ball] / 0.04).astype(np.int32), axis=0)
    full, holed = InstanceLayer(0.04), InstanceLayer(0.04)
    full.set(5, voxels)
    holed.set(5, voxels[np.linalg.norm(voxels * 0.04 - middle, axis=1) > 0.05])
    own, rest = split(surface, full, 5)
    assert len(own.triangles) + len(rest.triangles) == len(surface.triangles)
    assert np.linalg.norm(own.vertices - middle, axis=1).max() < 0.4 + 0.15
    again, _ = split(surface, holed, 5)
    assert len(again.triangles) == pytest.approx(len(own.triangles), rel=0.02)
    assert len(split(surface, full, 6)[0].triangles) == 0
    shell = closed(own, 0.04)
    assert openings(shell) == 0
    assert volume_m3(shell) > 0
