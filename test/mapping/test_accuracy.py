"""How near the mesh comes to surfaces that are known exactly, and how near Open3D's comes on the same frames."""

import numpy as np
import pytest
from analytic_scene import (
    box_depth,
    box_distance,
    frame_of,
    looking_at,
    nearest,
    plane_depth,
    room_depth,
    scene_depth,
    scene_distance,
    sphere_depth,
    sphere_distance,
)
from open3d_map import open3d_mesh

from lira_ros.evaluation.surfaces import SurfaceScore, distance_to_mesh, sample_mesh
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.depth import noise_m
from lira_ros.geometry.pose import transform_points
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper

CAMERA = Camera(200, 150, 175.0, 175.0, 99.5, 74.5)
VOXEL_M = 0.02
PLANE_NORMAL, PLANE_OFFSET_M = np.array([2.0, 1.0, -0.5]) / np.linalg.norm([2.0, 1.0, -0.5]), 1.3
BOX_CENTRE, BOX_HALF = np.array([0.2, -0.1, -0.6]), np.array([0.35, 0.25, 0.4])
FLOOR_Z_M = -1.0


def around(count, radius_m, height_m, target, turn_deg=360.0, first_deg=0.0):
    """Poses on a circle that rise and sink, looking at ``target``."""
    turns = np.radians(first_deg + turn_deg * np.arange(count) / count)
    return [
        looking_at((radius_m * np.cos(a), radius_m * np.sin(a), height_m + 0.2 * np.sin(2 * a)), target) for a in turns
    ]


def on_the_floor(depth, distance):
    """Stand a thing on a floor."""
    return (
        lambda T: nearest(depth(T), plane_depth(CAMERA, T, (0, 0, 1), FLOOR_Z_M)),
        lambda points: np.minimum(distance(points), np.abs(points[:, 2] - FLOOR_Z_M)),
    )


def scene(name):
    """Return poses, depth(T_map_camera) and distance(points) of a scene."""
    if name == "plane":
        poses = [looking_at((0.05 * i, 0.3 - 0.04 * i, 0.1 + 0.01 * i), (1.4, 0.0, 0.02 * i)) for i in range(16)]
        return (
            poses,
            lambda T: plane_depth(CAMERA, T, PLANE_NORMAL, PLANE_OFFSET_M),
            lambda points: np.abs(points @ PLANE_NORMAL - PLANE_OFFSET_M),
        )
    if name == "sphere":
        poses = around(24, 1.3, 0.3, (0.2, -0.1, 0.1))
        return poses, lambda T: sphere_depth(CAMERA, T), sphere_distance
    if name == "box":
        poses = around(24, 1.3, 0.3, (0.2, -0.1, -0.6))
        return poses, *on_the_floor(
            lambda T: box_depth(CAMERA, T, BOX_CENTRE, BOX_HALF), lambda p: box_distance(p, BOX_CENTRE, BOX_HALF)
        )
    if name == "room":
        poses = []
        for i in range(32):
            angle = 2 * np.pi * i / 32
            eye = np.array([1.1 * np.cos(angle), 0.9 * np.sin(angle), 0.3 * np.sin(2 * angle)])
            poses.append(looking_at(eye, (-0.1 * eye[0], 0.1, -0.2)))
        return poses, lambda T: scene_depth(CAMERA, T), scene_distance
    raise ValueError(name)


def thin_wall(half):
    """A wall that stands in a room and is seen from both sides, by a camera that goes around it."""
    depth = lambda T: nearest(box_depth(CAMERA, T, (0, 0, 0), half), room_depth(CAMERA, T))  # noqa: E731
    return around(24, 1.1, 0.1, (0, 0, 0)), depth


def noise_of(depth_m):
    """The standard deviation of a depth camera [m]."""
    return noise_m.py_func(depth_m)


def frames_of(poses, depth, noisy=False, seed=0):
    rng = np.random.default_rng(seed)
    frames = []
    for i, T in enumerate(poses):
        image = depth(T)
        if noisy:
            image = np.where(image > 0, image + noise_of(image) * rng.normal(size=image.shape), 0)
        millimetres = np.rint(image * 1000).astype(np.float32)  # as a depth camera gives them
        frames.append(frame_of(millimetres / np.float32(1000), T, i * 100_000_000, camera=CAMERA))
    return frames


def seen_points(poses, depth, least_frames=4):
    """Points on the exact surface at the pixels of all images, in cells that several frames have seen."""
    points, frame = [], []
    for i, T in enumerate(poses):
        image = depth(T)
        image[image > 3.5] = 0
        mine = transform_points(T, CAMERA.unproject(image)[image > 0].astype(float))
        points.append(mine)
        frame.append(np.full(len(mine), i))
    points, frame = np.concatenate(points), np.concatenate(frame)
    _, cell = np.unique(np.floor(points / 0.04).astype(int), axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    views = np.bincount(np.unique(cell * len(poses) + frame) // len(poses))
    chosen = np.nonzero(views[cell] >= least_frames)[0]
    return points[np.random.default_rng(0).permutation(chosen)[:20_000]]


def own_mesh(frames, **values):
    mapper = Mapper(MappingConfiguration(voxel_size_m=VOXEL_M, **values))
    for frame in frames:
        assert mapper.add_frame(frame).rejected is None
    mesh = mapper.mesh()
    return mesh.vertices, mesh.triangles


def score(mesh, seen, distance):
    return SurfaceScore(distance(sample_mesh(*mesh, 40_000)), distance_to_mesh(seen, *mesh))


# Largest mean error [m] without and with the noise of a depth camera. A pixel is 6 to 20 mm wide in these scenes.
BOUNDS_M = {
    "plane": (0.0008, 0.0012),
    "sphere": (0.0015, 0.0018),
    "box": (0.0015, 0.0022),
    "room": (0.0012, 0.0020),
}


@pytest.mark.parametrize("noisy", [False, True], ids=["exact", "noisy"])
@pytest.mark.parametrize("name", BOUNDS_M)
def test_error_and_f_scores_beside_open3d(name, noisy):
    poses, depth, distance = scene(name)
    frames, seen = frames_of(poses, depth, noisy), seen_points(poses, depth)
    assert len(seen) > 5000
    own = score(own_mesh(frames), seen, distance)
    assert own.error_m.mean() < BOUNDS_M[name][noisy]
    assert own.missing_m.mean() < BOUNDS_M[name][noisy] + 0.0005
    assert own.f_score(0.05) > 0.999
    assert own.f_score(0.01) > 0.99
    peer = score(open3d_mesh(frames, VOXEL_M), seen, distance)
    assert own.error_m.mean() < peer.error_m.mean()
    # Two of 20,000 points of the truth, at the rim of what was seen, say nothing about either.
    assert own.f_score(0.05) >= peer.f_score(0.05) - 1e-4
    assert own.f_score(0.01) >= peer.f_score(0.01) - 1e-4


@pytest.mark.parametrize(("thickness_voxels", "bound_voxels"), [(2.0, 0.45), (3.0, 0.2)])
def test_both_faces_of_a_thin_wall_survive(thickness_voxels, bound_voxels):
    half = np.array([0.5 * thickness_voxels * VOXEL_M, 0.5, 0.45])
    poses, depth = thin_wall(half)
    frames = frames_of(poses, depth, noisy=True)

    def faces(mesh):
        """Return where each face of the wall is met, from its middle, by lines across it [m]; NaN where it is not."""
        vertices, triangles = mesh
        points = sample_mesh(vertices, triangles, 60_000)
        inner = (np.abs(points[:, 1]) < 0.42) & (np.abs(points[:, 2]) < 0.35) & (np.abs(points[:, 0]) < 0.2)
        return points[inner & (points[:, 0] > 0), 0], -points[inner & (points[:, 0] < 0), 0]

    own, peer = faces(own_mesh(frames)), faces(open3d_mesh(frames, VOXEL_M))
    for own_face, peer_face in zip(own, peer, strict=True):
        # As many samples as the area of a face asks for: nothing is missing, and nothing else floats there.
        assert len(own_face) == pytest.approx(np.mean([len(face) for face in own]), rel=0.15)
        error = np.abs(own_face - half[0])
        assert np.median(error) < bound_voxels * VOXEL_M
        assert np.percentile(error, 95) < 0.8 * VOXEL_M
        assert error.mean() < 0.6 * np.abs(peer_face - half[0]).mean()


def test_a_camera_that_comes_nearer_makes_the_surface_better():
    # Seen from 3 m first: sigma 14 mm; then from 1 m: 2 mm. Depth noise weighs what is near more.
    far = [looking_at((-2.0, 0.05 * i, 0.0), (1.0, 0.03 * i, 0.0)) for i in range(10)]
    near = [looking_at((0.0, 0.05 * i, 0.0), (1.0, 0.03 * i, 0.0)) for i in range(10)]
    depth = lambda T: plane_depth(CAMERA, T, (1, 0, 0), 1.0)  # noqa: E731
    errors = []
    for poses in (far, far + near):
        vertices, triangles = own_mesh(frames_of(poses, depth, noisy=True))
        points = sample_mesh(vertices, triangles, 20_000)
        middle = points[(np.abs(points[:, 1] - 0.2) < 0.3) & (np.abs(points[:, 2]) < 0.25)]
        assert len(middle) > 500
        errors.append(np.abs(middle[:, 0] - 1.0).mean())
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.0015
