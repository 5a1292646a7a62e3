import itertools

import numpy as np
import pytest
from analytic_scene import (
    ROOM_HALF_M,
    SPHERE_CENTRE,
    SPHERE_RADIUS_M,
    frame_of,
    looking_at,
    rays,
    room_depth,
    scene_depth,
    sphere_depth,
    walk,
)
from scipy.ndimage import binary_erosion

from lira_ros.geometry.camera import Camera
from lira_ros.mapping import voxel
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.instance_layer import InstanceLayer
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.tsdf import Volume
from lira_ros.mapping.views import cast_view, look_up_depth_labels, look_up_labels, splat_view

VOXEL_M, TRUNCATION_M = 0.05, 0.2
CAMERA = Camera(160, 120, 110.0, 112.0, 81.0, 58.5)
SPHERE_LABEL, WALL_LABEL = 3, 9
OFFSET = np.array([4, -3, 2])
EYES = [
    looking_at((1.1, 0.6, 0.2), SPHERE_CENTRE),
    looking_at((-0.9, -0.9, -0.6), (0.4, 0.5, 0.1)),
    looking_at((0.3, 0.9, 0.7), (0.1, -1.0, -0.4), (0.2, 0.1, 1)),
]
VIEWS = {"splat": splat_view, "cast": cast_view}


def sphere_distance(points):
    return np.linalg.norm(points - SPHERE_CENTRE, axis=-1) - SPHERE_RADIUS_M


def room_distance(points):
    """Positive in the room, exact beside its walls."""
    return (ROOM_HALF_M - np.abs(points)).min(axis=-1)


@pytest.fixture(scope="module")
def scene():
    """The room with the sphere in two volumes: a third of the blocks in each and a third in both."""
    base, part = Volume(VOXEL_M, TRUNCATION_M, 1024), Volume(VOXEL_M, TRUNCATION_M, 1024)
    blocks = np.array(list(itertools.product(range(-5, 5), range(-4, 4), range(-4, 4))), np.int32)
    kind = np.random.default_rng(2).integers(0, 3, len(blocks))
    for volume, offset, chosen in ((base, 0 * OFFSET, kind != 0), (part, OFFSET, kind != 1)):
        index = np.arange(512)
        local = np.stack([index & 7, index >> 3 & 7, index >> 6], axis=1)
        points = (blocks[chosen][:, None] * 8 + local[None]) * VOXEL_M
        sphere, room = sphere_distance(points), room_distance(points)
        distance = np.minimum(sphere, room)
        found = volume.allocate((blocks[chosen] - offset).astype(np.int32))
        near = np.abs(distance) < TRUNCATION_M
        volume.records[found, voxel.TSDF] = np.where(near, distance / TRUNCATION_M, 0)
        volume.records[found, voxel.WEIGHT] = np.where(near, 2.0, 0.0)
        volume.records[found, voxel.RED] = np.where(sphere < room, 200, 20)
        volume.records[found, voxel.GREEN] = 90
        volume.records[found, voxel.LABEL] = np.where(sphere < room, SPHERE_LABEL, WALL_LABEL)
        volume.records[found, voxel.CONFIDENCE] = np.where(near, 1.5, 0.0)
    return base, part, OFFSET


def sphere_mask(T):
    sphere = sphere_depth(CAMERA, T)
    return (sphere > 0) & (sphere < room_depth(CAMERA, T))


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("T", EYES)
def test_depth_normals_and_labels_are_those_of_the_scene(scene, name, T):
    view = VIEWS[name](*scene, CAMERA, T, minimum_weight=1.0)
    expected = scene_depth(CAMERA, T)
    # Near a room corner the exact distance field of the room is round on its other side; the rest must all be there.
    assert (view.depth_m > 0).mean() > 0.995
    error = np.abs(view.depth_m - expected)[view.depth_m > 0]
    assert np.median(error) < 0.03 * VOXEL_M
    assert np.percentile(error, 95) < 0.25 * VOXEL_M
    # What is hidden does not show: away from its rim the sphere covers the wall, and the other way round.
    sphere = sphere_mask(T)
    assert 500 < sphere.sum() < 0.8 * sphere.size
    rim_px = 4  # half a voxel where the sphere is nearest
    inside = binary_erosion(sphere, iterations=rim_px)
    outside = binary_erosion(~sphere, iterations=rim_px, border_value=1) & (view.depth_m > 0)
    assert (view.labels[inside] == SPHERE_LABEL).all()
    assert (view.labels[outside] == WALL_LABEL).all()
    assert (np.abs(view.colors[inside].astype(int) - [200, 90, 0]) <= 1).all()
    assert (np.abs(view.colors[outside].astype(int) - [20, 90, 0]) <= 1).all()
    points = rays(CAMERA, T) * expected[..., None] + T[:3, 3]
    outwards = (points - SPHERE_CENTRE) / SPHERE_RADIUS_M
    assert np.percentile((view.normals * outwards).sum(axis=-1)[inside], 5) > 0.97
    inwards = np.where(np.abs(np.abs(points) - ROOM_HALF_M) < 1e-3, -np.sign(points), 0)
    flat = outside & ((inwards != 0).sum(axis=-1) == 1)
    assert np.percentile((view.normals * inwards).sum(axis=-1)[flat], 10) > 0.98


def test_rims_are_sharper_by_ray_casting_than_by_splatting(scene):
    T = EYES[0]
    wrong = {
        name: ((view(*scene, CAMERA, T).labels == SPHERE_LABEL) != sphere_mask(T)).sum() for name, view in VIEWS.items()
    }
    around = sphere_mask(T).sum() - binary_erosion(sphere_mask(T)).sum()
    assert wrong["cast"] < 0.5 * around
    assert wrong["cast"] <= wrong["splat"] < 4 * around


@pytest.mark.parametrize("name", VIEWS)
def test_from_behind_things_are_in_the_way_too(scene, name):
    T = looking_at(SPHERE_CENTRE, (1.4, 0.3, 0.1))  # in the middle of the sphere
    view = VIEWS[name](*scene, CAMERA, T)
    distance = np.linalg.norm(rays(CAMERA, T), axis=-1) * view.depth_m
    assert (view.labels == SPHERE_LABEL).mean() > 0.995
    assert np.percentile(np.abs(distance - SPHERE_RADIUS_M), 95) < 0.3 * VOXEL_M
    assert ((view.normals * rays(CAMERA, T)).sum(axis=-1) > 0).mean() > 0.99  # away from the camera: outwards


@pytest.mark.parametrize("name", VIEWS)
def test_only_what_is_in_range_and_seen_often_enough_is_drawn(scene, name):
    T, draw = EYES[0], VIEWS[name]
    whole = draw(*scene, CAMERA, T)
    near = draw(*scene, CAMERA, T, farthest_m=1.3)
    drawn = near.depth_m > 0
    assert 0.1 < drawn.mean() < 0.9
    assert near.depth_m.max() < 1.3 + 2 * VOXEL_M
    far = draw(*scene, CAMERA, T, nearest_m=1.3)
    assert far.depth_m[far.depth_m > 0].min() > 1.3 - 2 * VOXEL_M
    assert (far.labels == WALL_LABEL).sum() > (whole.labels == WALL_LABEL).sum()
    assert not draw(*scene, CAMERA, T, minimum_weight=4.5).depth_m.any()
    with pytest.raises(ValueError, match="nearest_m"):
        draw(*scene, CAMERA, T, nearest_m=2.0, farthest_m=1.0)


@pytest.mark.parametrize("name", VIEWS)
def test_views_show_instances(scene, name):
    layer = InstanceLayer(VOXEL_M)
    index = np.stack(np.meshgrid(*[np.arange(-16, 17)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    layer.set(77, index[np.abs(sphere_distance(index * VOXEL_M)) < VOXEL_M])
    view = VIEWS[name](*scene, CAMERA, EYES[0], instances=layer)
    np.testing.assert_array_equal(np.unique(view.instance_ids), [0, 77])
    sphere = binary_erosion(sphere_mask(EYES[0]), iterations=4)
    assert (view.instance_ids[sphere] == 77).all()
    # The ids are those of the surface, not of what is behind it.
    assert ((view.instance_ids == 77) == (view.labels == SPHERE_LABEL)).mean() > 0.99
    assert VIEWS[name](*scene, CAMERA, EYES[0]).instance_ids.max() == 0


@pytest.mark.parametrize("name", VIEWS)
def test_an_empty_map_and_a_turned_away_camera_show_nothing(scene, name):
    empty = Volume(VOXEL_M, TRUNCATION_M, 8)
    for volumes, T in (((empty, empty, OFFSET), EYES[0]), (scene, looking_at((30, 0, 0), (60, 0, 0)))):
        view = VIEWS[name](*volumes, CAMERA, T, farthest_m=5.0, instances=InstanceLayer(VOXEL_M))
        assert view.depth_m.shape == view.labels.shape == view.instance_ids.shape == (120, 160)
        assert view.normals.shape == view.colors.shape == (120, 160, 3)
        assert not view.depth_m.any()
        assert not view.labels.any()


@pytest.mark.parametrize("name", VIEWS)
def test_more_surface_voxels_than_there_was_room_for(scene, name, monkeypatch):
    expected = VIEWS[name](*scene, CAMERA, EYES[0])
    monkeypatch.setattr("lira_ros.mapping.views._FIRST_POINTS", 600)
    view = VIEWS[name](*scene, CAMERA, EYES[0])
    np.testing.assert_array_equal(view.depth_m, expected.depth_m)
    np.testing.assert_array_equal(view.labels, expected.labels)
    np.testing.assert_array_equal(view.colors, expected.colors)


def voted(scene, points):
    """The label of each point by looking into the records one after the other."""
    base, part, offset = scene
    result = []
    for point in points:
        index = np.rint(point / VOXEL_M).astype(int)
        votes = {}
        for volume, by in ((base, 0 * offset), (part, offset)):
            found = volume.find((index // 8 - by)[None].astype(np.int32))[0]
            if found >= 0:
                x, y, z = index % 8
                _, _, _, _, _, label, lead = volume.records[found, :, x + 8 * y + 64 * z]
                votes[label] = votes.get(label, 0) + lead
        label, lead = max(votes.items(), key=lambda vote: vote[1], default=(0, 0))
        result.append((label if lead > 0 else 0, lead))
    return np.array(result).reshape(-1, 2).T


def test_labels_of_points(scene):
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.uniform(-2, 2, (1500, 3)), SPHERE_CENTRE + rng.normal(0, 0.25, (500, 3))])
    labels, leads = look_up_labels(*scene, points)
    expected, expected_leads = voted(scene, points)
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) == {0, SPHERE_LABEL, WALL_LABEL}
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(leads, expected_leads)
    assert look_up_labels(*scene, np.zeros((0, 3)))[0].shape == (0,)


@pytest.mark.parametrize("stride", [1, 4, 7])
def test_labels_of_a_depth_image(scene, stride):
    T = EYES[1]
    depth = scene_depth(CAMERA, T).astype(np.float32)
    depth[10:20, 30:50] = 0.0
    depth[21:23, 30:50] = np.nan
    labels, leads = look_up_depth_labels(*scene, depth, CAMERA, T, stride)
    chosen = np.s_[stride // 2 :: stride, stride // 2 :: stride]
    points = (rays(CAMERA, T) * np.nan_to_num(depth)[..., None] + T[:3, 3])[chosen]
    expected, expected_leads = look_up_labels(*scene, points.reshape(-1, 3))
    measured = (depth > 0)[chosen]
    np.testing.assert_array_equal(labels, np.where(measured, expected.reshape(measured.shape), 0))
    np.testing.assert_array_equal(leads, np.where(measured, expected_leads.reshape(measured.shape), 0))
    hit = measured & (labels > 0)
    assert hit.sum() > 0.95 * measured.sum()
    assert ((labels == SPHERE_LABEL) == sphere_mask(T)[chosen])[hit].mean() > 0.97
    with pytest.raises(ValueError, match="depth_m"):
        look_up_depth_labels(*scene, depth[1:], CAMERA, T)
    with pytest.raises(ValueError, match="stride"):
        look_up_depth_labels(*scene, depth, CAMERA, T, 0)


def test_the_mapper_shows_what_it_mapped():
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.04, mesh_weight=0.1, max_depth_m=5.0, fragment_keyframes=3))
    for frame in walk(16):
        sphere = sphere_depth(frame.camera, frame.T_map_camera)
        on_sphere = (sphere > 0) & (sphere < room_depth(frame.camera, frame.T_map_camera))
        mapper.add_frame(frame, np.where(on_sphere, SPHERE_LABEL, WALL_LABEL).astype(np.uint16))
    T = walk(16)[5].T_map_camera
    expected = frame_of(scene_depth(CAMERA, T), T, camera=CAMERA)
    for exact in (False, True):
        view = mapper.view(CAMERA, T, exact=exact)
        seen = view.depth_m > 0
        assert seen.mean() > 0.9
        assert np.median(np.abs(view.depth_m - expected.depth_m)[seen]) < 0.01
        assert ((view.labels == SPHERE_LABEL) == sphere_mask(T))[seen].mean() > 0.97
    labels, _ = mapper.depth_labels(expected.depth_m, CAMERA, T)
    points = (rays(CAMERA, T) * expected.depth_m[..., None] + T[:3, 3])[2::4, 2::4].reshape(-1, 3)
    by_points, _ = mapper.labels(points)
    # The depth is rounded to float32 and the points are not: a few lie between two voxels.
    assert (labels.reshape(-1) == by_points).mean() > 0.995
    assert (labels > 0).mean() > 0.9
    assert ((labels == SPHERE_LABEL) == sphere_mask(T)[2::4, 2::4])[labels > 0].mean() > 0.97
    for look in (mapper.view, lambda camera, T: mapper.depth_labels(expected.depth_m, camera, T)):
        with pytest.raises(ValueError, match="T_map_camera"):
            look(CAMERA, np.full((4, 4), np.nan))
