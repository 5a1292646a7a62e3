from collections import defaultdict

import numpy as np
import pytest

from lira_ros.datasets.rooms.sequence import RoomSequence
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.pose import transform_points
from lira_ros.mapping.instance_layer import InstanceLayer


def shown_by(blocks_of_voxels):
    """The blocks whose mesh shows some voxels: each voxel's own and, for first voxels, the lower neighbours."""
    found = set()
    for voxel in blocks_of_voxels:
        for lower in np.ndindex(2, 2, 2):
            found.add(tuple((np.array(voxel) - lower) >> 3))
    return found


def test_layer_behaves_like_a_list_of_sets():
    rng = np.random.default_rng(5)
    layer, sets, before = InstanceLayer(0.02), {}, {}
    everywhere = np.stack(np.meshgrid(*[np.arange(-10, 10)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    for _ in range(25):
        instance = int(rng.integers(1, 6))
        if rng.random() < 0.3 and instance in sets:
            layer.remove(instance)
            del sets[instance]
        else:
            centre, size = rng.integers(-7, 7, 3), rng.integers(1, 4)
            voxels = everywhere[(np.abs(everywhere - centre) < size).all(axis=1)]
            layer.set(instance, voxels.astype(rng.choice([np.int32, np.int64])))
            sets.pop(instance, None)
            sets[instance] = set(map(tuple, voxels.tolist()))
        owner = {voxel: number for number, voxels in sets.items() for voxel in voxels}
        assert layer.ids() == tuple(sets)
        expected = np.array([owner.get(voxel, 0) for voxel in map(tuple, everywhere.tolist())])
        exact = layer.look_up(everywhere * 0.02)
        claimed = expected > 0
        np.testing.assert_array_equal(exact[claimed], expected[claimed])
        changed = {v for v in owner.keys() | before.keys() if owner.get(v, 0) != before.get(v, 0)}
        reported = set(map(tuple, layer.changed_blocks().tolist()))
        assert reported >= shown_by(changed)
        before = owner
    assert len(layer.changed_blocks()) == 0


def test_only_blocks_that_changed_are_reported():
    layer = InstanceLayer(0.02)
    voxels = np.array([[3, 3, 3], [12, 3, 3], [16, 3, 3], [-1, -8, 0]])
    layer.set(1, voxels)
    expected = {(0, 0, 0), (1, 0, 0), (2, 0, 0), (-1, -1, 0), (-1, -2, 0), (-1, -1, -1), (-1, -2, -1)}
    assert set(map(tuple, layer.changed_blocks().tolist())) == expected
    layer.set(1, voxels)
    assert len(layer.changed_blocks()) == 0
    layer.set(1, voxels[:-1])
    assert set(map(tuple, layer.changed_blocks().tolist())) == {b for b in expected if b[0] == -1}
    layer.clear()
    assert set(map(tuple, layer.changed_blocks().tolist())) >= {(0, 0, 0), (1, 0, 0), (2, 0, 0)}
    assert layer.ids() == ()
    assert not layer.look_up(voxels * 0.02).any()


def test_a_point_between_two_voxels_belongs_to_what_either_does():
    layer = InstanceLayer(0.1)
    layer.set(9, np.array([[1, 2, 3]]))
    points = np.array([[0.1, 0.2, 0.3], [0.1, 0.26, 0.3], [0.1, 0.14, 0.3], [0.1, 0.2, 0.39], [0.1, 0.36, 0.3]])
    np.testing.assert_array_equal(layer.look_up(points), [9, 9, 9, 9, 0])
    assert layer.look_up(points).dtype == np.uint32
    assert layer.look_up(np.zeros((0, 3))).shape == (0,)


def test_many_blocks():
    layer = InstanceLayer(0.02)
    line = np.stack([np.arange(-20_000, 20_000), np.full(40_000, -7), np.full(40_000, 5)], axis=1)
    layer.set(4, line)
    layer.set(2**32 - 1, line[::3])
    np.testing.assert_array_equal(layer.look_up(line * 0.02), np.where(np.arange(40_000) % 3, 4, 2**32 - 1))


def test_nonsense_is_refused():
    layer = InstanceLayer(0.02)
    with pytest.raises(ValueError, match="instance id"):
        layer.set(0, np.zeros((1, 3), int))
    with pytest.raises(ValueError, match="shape"):
        layer.set(1, np.zeros((1, 2), int))
    with pytest.raises(ValueError, match="integers"):
        layer.set(1, np.zeros((1, 3)))
    with pytest.raises(ValueError, match="voxels"):
        layer.set(1, np.array([[1 << 22, 0, 0]]))
    with pytest.raises(KeyError):
        layer.remove(1)


def camera_at(offset_m=0.0):
    """Return a camera that looks along +x of the map from ``offset_m``, and its pose."""
    T_map_camera = np.array([[0, 0, 1, offset_m], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], dtype=float)
    return Camera(64, 48, 60.0, 60.0, 31.5, 23.5), T_map_camera


def plate(x, y0, y1):
    """Return the voxels of an upright plate across the view at x [voxels of 2 cm]."""
    return np.stack(np.meshgrid([x], np.arange(y0, y1), np.arange(-60, 60), indexing="ij"), axis=-1).reshape(-1, 3)


def test_a_depth_image_shows_the_instances_at_the_measured_depth():
    layer = InstanceLayer(0.02)
    camera, T_map_camera = camera_at()
    depth = np.full((48, 64), 2.0, np.float32)
    assert not layer.look_up_depth(depth, camera, T_map_camera).any()
    layer.set(3, plate(100, 0, 80))  # y is left in the image
    layer.set(5, plate(100, -80, 0))
    ids = layer.look_up_depth(depth, camera, T_map_camera)
    assert (ids[:, :31] == 3).all()
    assert (ids[:, 33:] == 5).all()
    camera, turned = camera_at(-1.0)
    np.testing.assert_array_equal(layer.look_up_depth(depth + 1.0, camera, turned)[:, :31], 3)
    noisy = depth + np.random.default_rng(0).normal(0.0, 0.006, depth.shape).astype(np.float32)  # a Kinect at 2 m
    assert (layer.look_up_depth(noisy, *camera_at()) == ids)[:, :31].mean() > 0.99


def test_a_camera_of_any_resolution_shows_thirty_instances_until_they_are_removed():
    layer = InstanceLayer(0.02)
    for number in range(30):
        layer.set(number + 1, plate(100, 4 * number - 60, 4 * number - 56))
    camera, T_map_camera = camera_at()
    for factor in (1, 4):
        other = camera.scaled(64 * factor, 48 * factor)
        depth = np.full((48 * factor, 64 * factor), 2.0, np.float32)
        ids = layer.look_up_depth(depth, other, T_map_camera)
        left_m = -(np.arange(64 * factor) - other.cx) / other.fx * 2.0
        stripe = np.floor((np.rint(left_m / 0.02) + 60) / 4).astype(int) + 1
        inside = (stripe >= 1) & (stripe <= 30)
        # At a border between two plates the pixel may be of either.
        assert (ids[0] == np.where(inside, stripe, 0)).mean() > 0.9
        assert len(np.unique(ids)) > 25
    layer.remove(15)
    assert 15 not in layer.look_up_depth(depth, other, T_map_camera)


def test_what_stands_in_front_or_is_gone_or_was_not_measured_is_not_shown():
    layer = InstanceLayer(0.02)
    layer.set(3, plate(100, -80, 80))
    camera, T_map_camera = camera_at()
    depth = np.full((48, 64), 2.0, np.float32)
    depth[:10] = 1.0  # a hand
    depth[10:20] = 3.0  # seen through
    depth[20:30] = 0.0
    ids = layer.look_up_depth(depth, camera, T_map_camera)
    assert not ids[:30].any()
    assert (ids[30:] == 3).all()
    with pytest.raises(ValueError, match="depth_m: expected shape"):
        layer.look_up_depth(depth[:10], camera, T_map_camera)


def test_of_two_near_the_measured_depth_the_nearer_to_it_is_shown():
    layer = InstanceLayer(0.02)
    layer.set(1, plate(99, -80, 80))
    layer.set(2, plate(101, -80, 80))
    camera, T_map_camera = camera_at()
    for depth_m, expected in ((1.975, 1), (2.025, 2)):
        ids = layer.look_up_depth(np.full((48, 64), depth_m, np.float32), camera, T_map_camera)
        assert (ids == expected).all()


def test_frames_that_nothing_was_asked_about_show_the_things_of_a_home():
    """Every third frame of a walk with a noisy camera makes the instances; the others are drawn and compared."""
    sequence = RoomSequence(3, rate_hz=3.0, width_px=160, duration_s=6.0)
    points = defaultdict(list)
    frames = [(sequence.frame(index), sequence.instance_image(index)) for index in range(len(sequence))]
    for frame, truth in frames[::3]:
        lifted = transform_points(frame.T_map_camera, frame.camera.unproject(frame.depth_m))
        for thing in np.unique(truth[truth > 0]).tolist():
            points[thing].append(lifted[(truth == thing) & (frame.depth_m > 0)])
    layer = InstanceLayer(0.02)
    for thing, parts in points.items():
        layer.set(thing, np.unique(np.rint(np.concatenate(parts) / 0.02).astype(np.int32), axis=0))
    overlaps, precisions = [], []
    for index, (frame, truth) in enumerate(frames):
        ids = layer.look_up_depth(frame.depth_m, frame.camera, frame.T_map_camera)
        for thing in np.unique(ids[ids > 0]).tolist() if index % 3 else ():
            mask, true = ids == thing, truth == thing
            if mask.sum() >= 30:
                overlaps.append((mask & true).sum() / (mask | true).sum())
                precisions.append((mask & true).sum() / mask.sum())
    assert len(overlaps) > 20
    assert np.mean(precisions) > 0.85
    assert np.mean(overlaps) > 0.65
