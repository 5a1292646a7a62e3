import numpy as np
import pytest

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
