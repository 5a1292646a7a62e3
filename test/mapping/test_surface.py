import itertools

import numpy as np
import pytest
from analytic_scene import (
    CAMERA,
    ROOM_HALF_M,
    SPHERE_CENTRE,
    SPHERE_RADIUS_M,
    frame_of,
    looking_at,
    plane_depth,
    scene_distance,
    sphere_depth,
    walk,
)
from scipy.spatial import cKDTree

from lira_ros.mapping import surface as surface_module
from lira_ros.mapping import voxel as voxel_module
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.instance_layer import InstanceLayer
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.surface import SurfaceMesh, surface_voxels
from lira_ros.mapping.tsdf import Volume

COARSE = MappingConfiguration(voxel_size_m=0.04, mesh_weight=0.1, max_depth_m=5.0, fragment_keyframes=3)


def open_edges(triangles):
    """Edges of a mesh that do not have exactly one triangle on each side."""
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(np.int64)
    forward = sides[:, 0] << 32 | sides[:, 1]
    backward = sides[:, 1] << 32 | sides[:, 0]
    assert len(np.unique(forward)) == len(forward), "two triangles run along an edge in the same direction"
    return sides[~np.isin(forward, backward)]


def around_the_sphere():
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.04, mesh_weight=0.01, fragment_keyframes=3, up="+z"))
    steps = (-1, 0, 1)
    directions = [(x, y, z) for x in steps for y in steps for z in steps if (x, y, z) != (0, 0, 0)]
    for i, direction in enumerate(directions):
        eye = SPHERE_CENTRE + 1.2 * np.array(direction) / np.linalg.norm(direction)
        T = looking_at(eye, SPHERE_CENTRE, (0.1, 0.2, 1.03))
        mapper.add_frame(frame_of(sphere_depth(CAMERA, T), T, i, (10 * i, 200, 30)))
    return mapper


def test_sphere_is_closed_across_blocks_and_faces_outwards():
    mesh = around_the_sphere().mesh()
    assert len(mesh.triangles) > 1000
    assert len(open_edges(mesh.triangles)) == 0
    # V - E + F = 2: one closed surface without handles, so no crack and no doubled vertex.
    edges = 3 * len(mesh.triangles) // 2
    assert len(mesh.vertices) - edges + len(mesh.triangles) == 2
    outwards = mesh.vertices - SPHERE_CENTRE
    distance = np.linalg.norm(outwards, axis=1)
    # Distances along the ray are too long off the axis: a fifth of a voxel is what projective distances can do here.
    assert np.abs(distance - SPHERE_RADIUS_M).mean() < 0.2 * 0.04
    faces = mesh.vertices[mesh.triangles]
    face = np.cross(faces[:, 1] - faces[:, 0], faces[:, 2] - faces[:, 0])
    facing = (face * (faces.mean(axis=1) - SPHERE_CENTRE)).sum(axis=1)
    assert (facing[np.linalg.norm(face, axis=1) > 1e-6] > 0).mean() > 0.999
    cosine = (mesh.normals * outwards).sum(axis=1) / distance
    assert np.percentile(cosine, 1) > 0.9
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1.0, atol=1e-5)


def test_plane_is_exact_to_a_fraction_of_a_voxel():
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.02, mesh_weight=0.1, up="+z"))
    normal = np.array([1.0, 0.3, 0.2]) / np.linalg.norm([1.0, 0.3, 0.2])
    for i in range(4):
        T = looking_at((0.05 * i, 0.02 * i, 0), (1.0, 0.1 * i, 0.1))
        mapper.add_frame(frame_of(plane_depth(CAMERA, T, normal, 1.2), T, i))
    mesh = mapper.mesh()
    error = mesh.vertices @ normal - 1.2
    assert len(error) > 1000
    assert np.abs(error).mean() < 0.002
    assert abs(error.mean()) < 0.001
    assert (mesh.normals @ normal).mean() < -0.99  # towards the camera


def test_room_is_where_it_is():
    mapper = Mapper(COARSE)
    frames = walk(24)
    for frame in frames:
        mapper.add_frame(frame)
    mesh = mapper.mesh()
    error = scene_distance(mesh.vertices.astype(float))
    assert error.mean() < 0.006
    assert np.percentile(error, 95) < 0.02
    assert (np.abs(mesh.vertices) < ROOM_HALF_M + 0.05).all()
    points, colors = mapper.points()
    assert len(points) == len(mesh.vertices) == len(colors)
    sparse, sparse_colors = mapper.points(0.1)
    assert 0 < len(sparse) < 0.4 * len(points)
    assert len(np.unique(np.floor(sparse / 0.1), axis=0)) > 0.95 * len(sparse)
    assert sparse_colors.dtype == np.uint8
    assert np.percentile(np.abs(colors[:, 1].astype(int) - 120), 99) <= 1  # every frame has green 120


def corners(blocks):
    """The corner positions of the triangles of each block that has some."""
    return {part.block: part.vertices[part.triangles] for part in blocks if len(part.triangles)}


def test_incremental_mesh_equals_the_full_one():
    mapper, at_once = Mapper(COARSE), Mapper(COARSE)
    kept, revision, touched = {}, 0, []
    for i, frame in enumerate(walk(14)):
        mapper.add_frame(frame)
        at_once.add_frame(frame)
        if i % 3 == 1:
            revision, changed = mapper.mesh_blocks(revision)
            touched.append(len(changed))
            kept.update({part.block: part for part in changed})
    revision, changed = mapper.mesh_blocks(revision)
    kept.update({part.block: part for part in changed})
    _, everything = at_once.mesh_blocks()
    a, b = corners(kept.values()), corners(everything)
    # Closing a fragment sums in another order than the open one was composed in: equal but for rounding.
    assert a.keys() == b.keys()
    for block, expected in b.items():
        np.testing.assert_allclose(a[block], expected, atol=1e-5)
    assert touched[-1] < len(everything)
    revision_again, nothing = mapper.mesh_blocks(revision)
    assert revision_again == revision
    assert nothing == []


def test_mesh_of_a_map_without_frames_is_empty():
    mesh = Mapper(COARSE).mesh()
    assert mesh.vertices.shape == (0, 3)
    assert mesh.triangles.shape == (0, 3)
    points, colors = Mapper(COARSE).points()
    assert points.shape == colors.shape == (0, 3)


def test_surface_voxels_of_a_fragment_lie_at_the_surface():
    mapper = around_the_sphere()
    fragment = mapper.fragments()[0]
    voxels, colors = surface_voxels(fragment, band_voxels=1.0)
    points = voxels * fragment.voxel_size_m + fragment.T_map_fragment[:3, 3]
    distance = np.abs(np.linalg.norm(points - SPHERE_CENTRE, axis=1) - SPHERE_RADIUS_M)
    assert len(voxels) > 300
    assert np.percentile(distance, 95) < 0.06
    assert colors.shape == voxels.shape
    fewer, _ = surface_voxels(fragment, minimum_weight=1e6)
    assert len(fewer) == 0


# --- maps that are filled from a distance function, without a camera --------------------------------------------------

VOXEL_M, TRUNCATION_M = 0.05, 0.2
NO_OFFSET = np.zeros(3, np.int64)


def grid_blocks(half):
    """The (B, 3) blocks from -half to half - 1 along each axis."""
    return np.array(list(itertools.product(range(-half, half), repeat=3)), np.int32)


def voxel_centres(blocks):
    """The (B, 512, 3) centres of the voxels of some blocks [m], in the order of a record."""
    index = np.arange(512)
    local = np.stack([index & 7, index >> 3 & 7, index >> 6], axis=1)
    return (blocks[:, None] * 8 + local[None]) * VOXEL_M


def write(volume, blocks, distance_m, weight=1.0, offset=NO_OFFSET):
    """Fill blocks of a volume, whose own lie ``offset`` lower, from a distance function of the map."""
    points = voxel_centres(blocks)
    records = volume.records[volume.allocate((blocks - offset).astype(np.int32))]
    records[:, voxel_module.TSDF] = np.clip(distance_m(points) / TRUNCATION_M, -1, 1)
    records[:, voxel_module.WEIGHT] = weight
    for c, axis in ((voxel_module.RED, 0), (voxel_module.GREEN, 1), (voxel_module.BLUE, 2)):
        records[:, c] = 127 + 60 * points[..., axis]
    volume.records[volume.find((blocks - offset).astype(np.int32))] = records


def two_volumes():
    return Volume(VOXEL_M, TRUNCATION_M, 2048), Volume(VOXEL_M, TRUNCATION_M, 2048)


def sphere(points):
    return np.linalg.norm(points - [0.03, -0.02, 0.01], axis=-1) - 0.93


def torus(points):
    ring = np.hypot(points[..., 0], points[..., 1] + 0.01) - 0.71
    return np.hypot(ring, points[..., 2] - 0.02) - 0.28


def rounded_box(points):
    outside = np.abs(points - 0.011) - [0.8, 0.6, 0.7]
    return np.linalg.norm(np.maximum(outside, 0), axis=-1) + np.minimum(outside.max(axis=-1), 0) - 0.1


def noise(points):
    """Every voxel within 1 m for itself inside or outside: full of ambiguous cells, closed by what is around."""
    index = np.rint(points / VOXEL_M).astype(np.int64)
    mixed = (index[..., 0] * 73856093) ^ (index[..., 1] * 19349663) ^ (index[..., 2] * 83492791)
    value = ((mixed * 2654435761 >> 7) & 1023) / 1023 - 0.5
    return np.where(np.abs(index).max(axis=-1) < 19, 0.1 * np.where(value == 0, 0.1, value), 0.1)


SHAPES = {"sphere": (sphere, 2), "torus": (torus, 0), "rounded box": (rounded_box, 2)}


def mesh_of(distance_m, offset=NO_OFFSET, half=4):
    """The mesh of a shape of which a third of the blocks lies in either volume and a third in both."""
    base, part = two_volumes()
    blocks = grid_blocks(half)
    kind = np.random.default_rng(3).integers(0, 3, len(blocks))
    write(base, blocks[kind != 0], distance_m, 2.0)
    write(part, blocks[kind != 1], distance_m, 3.0, offset)
    surface = SurfaceMesh(1.5)
    surface.update(base, part, offset, blocks)
    return surface.mesh()


@pytest.mark.parametrize("name", SHAPES)
def test_closed_shapes_have_two_triangles_at_every_edge(name):
    distance_m, euler = SHAPES[name]
    mesh = mesh_of(distance_m, np.array([3, -5, 1]))
    assert mesh.vertices.min(axis=0).max() < -0.25  # it lies in many blocks on both sides of the origin
    assert len(open_edges(mesh.triangles)) == 0  # as well: no edge runs twice in one direction
    edges = 3 * len(mesh.triangles) // 2
    assert len(mesh.vertices) - edges + len(mesh.triangles) == euler
    assert len(np.unique(mesh.triangles)) == len(mesh.vertices)
    assert np.abs(distance_m(mesh.vertices.astype(float))).max() < 0.2 * VOXEL_M
    step = 1e-4 * np.eye(3)
    slope = np.stack([distance_m(mesh.vertices + d) - distance_m(mesh.vertices - d) for d in step], axis=1)
    cosine = (mesh.normals * slope).sum(axis=1) / np.linalg.norm(slope, axis=1)
    assert np.percentile(cosine, 1) > 0.95


def test_a_surface_without_any_order_is_closed_too():
    mesh = mesh_of(noise, half=3)
    sides = np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]])
    forward, f_count = np.unique(sides[:, 0].astype(np.int64) << 32 | sides[:, 1], return_counts=True)
    backward, b_count = np.unique(sides[:, 1].astype(np.int64) << 32 | sides[:, 0], return_counts=True)
    assert len(mesh.triangles) > 50_000
    np.testing.assert_array_equal(forward, backward)
    np.testing.assert_array_equal(f_count, b_count)


def triangle_positions(mesh):
    """The triangles by the positions of their corners, each from its first corner on, sorted."""
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    first = np.lexsort(corners.transpose(2, 0, 1)[::-1], axis=1)[:, 0]
    turned = np.stack([corners[np.arange(len(corners)), (first + i) % 3] for i in range(3)], axis=1).reshape(-1, 9)
    return turned[np.lexsort(turned.T[::-1])]


@pytest.mark.parametrize("vertex_room", [1 << 12, 1 << 15])
def test_many_updates_in_any_order_give_the_mesh_made_at_once(monkeypatch, vertex_room):
    # Little room: blocks go through several calls, and the pool is closed up and grows.
    monkeypatch.setattr(surface_module, "_VERTEX_ROOM", vertex_room)
    monkeypatch.setattr(surface_module, "_FIRST_BLOCKS", 16)
    base, part = two_volumes()
    offset = np.array([-2, 7, 4])
    blocks, rng = grid_blocks(4), np.random.default_rng(8)
    kept = SurfaceMesh(1.5)
    shown, revision = {}, 0
    for step in range(40):
        shape = list(SHAPES.values())[int(rng.integers(3))][0] if step < 35 else torus
        chosen = blocks[rng.random(len(blocks)) < 0.15]
        volume, by = (base, NO_OFFSET) if rng.random() < 0.5 else (part, offset)
        weight = 0.0 if step % 7 == 3 else float(rng.integers(1, 4))  # sometimes the surface goes away
        write(volume, chosen, shape, weight, by)
        kept.update(base, part, offset, chosen)
        shown.update({found.block: found for found in kept.changed(revision)})
        revision = kept.revision
    at_once = SurfaceMesh(1.5)
    at_once.update(base, part, offset, blocks)
    mesh, expected = kept.mesh(), at_once.mesh()
    assert len(expected.triangles) > 3000
    np.testing.assert_array_equal(triangle_positions(mesh), triangle_positions(expected))
    assert len(mesh.vertices) == len(expected.vertices)
    # Who follows the changes holds the same blocks.
    a, b = corners(shown.values()), corners(at_once.changed(0))
    assert a.keys() == b.keys()
    for block, positions in b.items():
        np.testing.assert_array_equal(a[block], positions)
    names = np.concatenate([found.edges for found in shown.values()])
    assert len(np.unique(names)) == len(mesh.vertices)


def test_blocks_that_draw_the_same_are_not_sent_again():
    base, part = two_volumes()
    blocks = grid_blocks(3)
    write(base, blocks, sphere)
    surface = SurfaceMesh(0.5)
    surface.update(base, part, NO_OFFSET, blocks)
    revision = surface.revision
    surface.update(base, part, NO_OFFSET, blocks)
    assert surface.revision > revision
    assert list(surface.changed(revision)) == []
    one = np.array([[2, 0, 0]], np.int32)
    write(base, one, lambda points: sphere(points) + 0.01)
    surface.update(base, part, NO_OFFSET, blocks)
    changed = {found.block for found in surface.changed(revision)}
    assert (2, 0, 0) in changed
    assert changed <= {(2 - i, -j, -k) for i, j, k in itertools.product((0, 1), repeat=3)}


def test_forgotten_blocks_leave_the_mesh_silently_and_come_back():
    base, part = two_volumes()
    blocks = grid_blocks(3)
    write(base, blocks, sphere)
    surface = SurfaceMesh(0.5)
    surface.update(base, part, NO_OFFSET, blocks)
    whole, revision = surface.mesh(), surface.revision
    away = np.array([found.block for found in surface.changed(0) if found.block[0] >= 0], np.int32)
    surface.forget(away)
    assert list(surface.changed(revision)) == []
    assert {found.block[0] for found in surface.changed(0)} == {-3, -2, -1}
    assert surface.mesh().vertices[:, 0].max() < 1e-6
    assert len(surface.points().points) == len(surface.mesh().vertices)
    surface.update(base, part, NO_OFFSET, away)
    np.testing.assert_array_equal(triangle_positions(surface.mesh()), triangle_positions(whole))
    assert {found.block for found in surface.changed(revision)} == {tuple(block) for block in away.tolist()}
    surface.clear()
    gone = list(surface.changed(surface.revision - 1))
    assert {found.block for found in gone} >= {tuple(block) for block in away.tolist()}
    assert all(len(found.triangles) == 0 for found in gone)
    assert len(surface.mesh().triangles) == 0


def test_a_vertex_has_the_label_of_the_surer_of_its_two_voxels():
    base, part = two_volumes()
    blocks = grid_blocks(2)
    write(base, blocks, lambda points: points[..., 2] - 0.01)  # between the voxels 0 and 1 along z
    base.records[:, voxel_module.LABEL] = 3
    base.records[: len(blocks), voxel_module.CONFIDENCE] = 2
    high = voxel_centres(blocks)[..., 2] > 0.01
    left = voxel_centres(blocks)[..., 0] < -0.01
    base.records[: len(blocks), voxel_module.LABEL][high] = 5
    base.records[: len(blocks), voxel_module.CONFIDENCE][high & left] = 4
    base.records[: len(blocks), voxel_module.CONFIDENCE][high & ~left] = 1
    surface = SurfaceMesh(0.5)
    surface.update(base, part, NO_OFFSET, blocks)
    mesh = surface.mesh()
    np.testing.assert_array_equal(mesh.labels, np.where(mesh.vertices[:, 0] < -0.01, 5, 3))
    # The votes of both volumes count together: three more for label 3 turn the left side.
    write(part, blocks, lambda points: points[..., 2] - 0.01)
    part.records[: len(blocks), voxel_module.LABEL] = 3
    part.records[: len(blocks), voxel_module.CONFIDENCE] = 5
    surface.update(base, part, NO_OFFSET, blocks)
    assert (surface.mesh().labels == 3).all()
    for found in surface.changed(0):
        assert (found.labels == 3).all()
    assert (surface.points(0.2).labels == 3).all()


def test_points_carry_the_ids_of_instances():
    base, part = two_volumes()
    blocks = grid_blocks(2)
    write(base, blocks, lambda points: points[..., 2] - 0.01)
    surface = SurfaceMesh(0.5)
    surface.update(base, part, NO_OFFSET, blocks)
    layer = InstanceLayer(VOXEL_M)
    x, y = np.meshgrid(np.arange(-3, 6), np.arange(0, 4), indexing="ij")
    layer.set(7, np.stack([x, y, np.full_like(x, 1)], axis=-1).reshape(-1, 3))
    cloud = surface.points(0.0, layer)
    index = np.rint(cloud.points / VOXEL_M).astype(int)
    inside = (index[:, 0] >= -3) & (index[:, 0] < 6) & (index[:, 1] >= 0) & (index[:, 1] < 4)
    np.testing.assert_array_equal(cloud.instance_ids, np.where(inside, 7, 0))
    assert inside.sum() == 36
    sparse = surface.points(2 * VOXEL_M, layer)
    assert 0 < (sparse.instance_ids == 7).sum() < 20
    with pytest.raises(ValueError, match="spacing_m"):
        surface.points(-1.0)


def dense_copy(blocks, distance_m):
    """The tsdf of a cube of blocks as [x, y, z], and the position of its first voxel."""
    first = blocks.min(axis=0) * 8
    size = (blocks.max(axis=0) + 1) * 8 - first
    index = np.stack(np.meshgrid(*[np.arange(n) for n in size], indexing="ij"), axis=-1) + first
    return np.clip(distance_m(index * VOXEL_M) / TRUNCATION_M, -1, 1).astype(np.float32), first


@pytest.mark.parametrize("name", [*SHAPES, "noise"])
def test_mesh_equals_that_of_scikit_image_on_a_dense_copy(name):
    measure = pytest.importorskip("skimage.measure")
    distance_m = SHAPES[name][0] if name in SHAPES else noise
    half = 4 if name in SHAPES else 3
    mesh = mesh_of(distance_m, half=half)
    dense, first = dense_copy(grid_blocks(half), distance_m)
    vertices, faces, _, _ = measure.marching_cubes(dense, 0.0, method="lorensen", allow_degenerate=True)
    vertices = (vertices + first) * VOXEL_M

    # The same points on the same edges, in both directions; scikit-image repeats a point that falls on a voxel.
    for some, others in ((mesh.vertices, vertices), (vertices, mesh.vertices)):
        assert cKDTree(others).query(some)[0].max() < 1e-6
    assert len(np.unique(np.round(vertices, 6), axis=0)) == len(np.unique(np.round(mesh.vertices, 6), axis=0))

    def area_and_volume(points, triangles):
        a, b, c = points[triangles].astype(float).transpose(1, 0, 2)
        cross = np.cross(b - a, c - a)
        return 0.5 * np.linalg.norm(cross, axis=1).sum(), (a * cross).sum() / 6

    if name in SHAPES:  # without ambiguous cells only the diagonals of flat loops are free to differ
        ours = area_and_volume(mesh.vertices, mesh.triangles)
        theirs = area_and_volume(vertices, faces)
        np.testing.assert_allclose(ours, np.abs(theirs), rtol=5e-4)
    else:  # ambiguous cells are cut in another way, but within the cell
        ours, theirs = (p[f].mean(axis=1) for p, f in ((mesh.vertices, mesh.triangles), (vertices, faces)))
        assert cKDTree(theirs).query(ours)[0].max() < VOXEL_M
