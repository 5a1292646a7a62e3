import numpy as np
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

from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.surface import surface_voxels

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
