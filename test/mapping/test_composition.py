from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lira_ros.geometry.pose import inverse
from lira_ros.mapping import voxel
from lira_ros.mapping.composition import Composition, VoxelSource, grid_offset, reached_blocks
from lira_ros.mapping.fragment import Fragment
from lira_ros.mapping.fragment_store import FragmentStore

VOXEL_M = 0.05
TRUNCATION_M = 0.2
LOCAL = np.stack([np.arange(512) & 7, np.arange(512) >> 3 & 7, np.arange(512) >> 6], axis=1)


def transform(rotation_vector=(0.0, 0.0, 0.0), translation=(0.0, 0.0, 0.0)):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec(rotation_vector).as_matrix()
    T[:3, 3] = translation
    return T


def fragment_of(blocks, tsdf, weight, T=None, number=1, color=None, label=None):
    blocks = np.asarray(blocks, dtype=np.int32).reshape(-1, 3)
    shape = (len(blocks), 512)
    return Fragment(
        number,
        1,
        0,
        np.eye(4) if T is None else T,
        VOXEL_M,
        TRUNCATION_M,
        (number,),
        blocks,
        np.ascontiguousarray(np.broadcast_to(tsdf, shape), dtype=np.float32),
        np.ascontiguousarray(np.broadcast_to(weight, shape), dtype=np.float32),
        np.full((*shape, 3), 100, np.uint8) if color is None else color,
        label,
        None if label is None else np.ones(shape, np.float32),
    )


def random_fragment(number, seed, count=6, T=None, labelled=False):
    rng = np.random.default_rng(seed)
    blocks = np.unique(rng.integers(-2, 2, (count, 3)), axis=0)
    shape = (len(blocks), 512)
    return fragment_of(
        blocks,
        rng.uniform(-1, 1, shape),
        rng.integers(0, 4, shape),
        T,
        number,
        rng.integers(1, 256, (*shape, 3)).astype(np.uint8),
        rng.integers(1, 5, shape).astype(np.uint16) if labelled else None,
    )


def voxels_of(fragment):
    """(N, 3) voxels of a fragment in its own frame, in the order of its arrays."""
    return (fragment.block_coordinates[:, None, :].astype(np.int64) * 8 + LOCAL[None]).reshape(-1, 3)


def composed(*fragments):
    composition = Composition(FragmentStore(), VOXEL_M, TRUNCATION_M, 100_000)
    for fragment in fragments:
        composition.put(fragment)
    composition.require()
    return composition


def records_at(composition, voxels):
    """(N, 7) channels of map voxels, zero where there is no block."""
    voxels = np.asarray(voxels, dtype=np.int64)
    index = composition.volume.find((voxels >> 3).astype(np.int32))
    local = (voxels & 7) @ (1, 8, 64)
    found = composition.volume.records[np.maximum(index, 0), :, local]
    return np.where(index[:, None] >= 0, found, 0.0)


def everything(composition):
    count = composition.volume.block_count
    order = np.lexsort(composition.volume.block_coordinates.T)
    return composition.volume.block_coordinates[order], composition.volume.records[:count][order]


def whole_blocks(x, y, z):
    return transform(translation=np.array([x, y, z]) * 8 * VOXEL_M)


def test_fragments_on_the_grid_add_exactly():
    fragments = [random_fragment(n, n, T=whole_blocks(n - 2, 0, 1 - n)) for n in (1, 2, 3)]
    composition = composed(*fragments)
    sums = {}
    for fragment in fragments:
        offset = grid_offset(fragment.T_map_fragment, VOXEL_M) * 8
        voxels = voxels_of(fragment) + offset
        channels = zip(
            fragment.tsdf.ravel().tolist(),
            fragment.weight.ravel().tolist(),
            fragment.color.reshape(-1, 3).tolist(),
            strict=True,
        )
        for key, (tsdf, weight, color) in zip(map(tuple, voxels.tolist()), channels, strict=True):
            entry = sums.setdefault(key, np.zeros(5))
            entry += np.array([tsdf, 1.0, *color]) * weight
    keys = np.array(list(sums))
    wanted = np.array(list(sums.values()))
    found = records_at(composition, keys)
    np.testing.assert_array_equal(found[:, voxel.WEIGHT], wanted[:, 1])
    seen = wanted[:, 1] > 0
    means = wanted[seen] / wanted[seen, 1:2]
    np.testing.assert_allclose(found[seen, voxel.TSDF], means[:, 0], atol=1e-6)
    np.testing.assert_allclose(found[seen][:, voxel.RED : voxel.RED + 3], means[:, 2:], atol=1e-3)


def test_composing_again_gives_the_same_bits_as_adding_one_by_one():
    fragments = [random_fragment(n, n, T=whole_blocks(n, 0, 0), labelled=n == 2) for n in (1, 2, 3)]
    composition = composed(*fragments)
    coordinates, records = (array.copy() for array in everything(composition))
    away = transform((0.3, 0.1, 0.2), (1.0, 2.0, 3.0))
    composition.move({2: away @ fragments[1].T_map_fragment})
    composition.require()
    assert not np.array_equal(everything(composition)[1].shape, records.shape)
    composition.move({2: fragments[1].T_map_fragment})
    composition.require()
    again = everything(composition)
    np.testing.assert_array_equal(again[0], coordinates)
    np.testing.assert_array_equal(again[1], records)


def test_a_newer_revision_replaces_the_older():
    first, other = random_fragment(1, 1), random_fragment(1, 2)
    composition = composed(first)
    composition.put(replace(other, revision=2))
    composition.require()
    coordinates, records = everything(composition)
    wanted = everything(composed(other))
    np.testing.assert_array_equal(coordinates, wanted[0])
    np.testing.assert_array_equal(records, wanted[1])


def test_removed_fragments_leave_nothing_behind():
    composition = composed(random_fragment(1, 1), random_fragment(2, 2, T=transform((0.2, 0, 0), (0.3, 0, 0))))
    gone = composition.remove([2, 7])
    assert len(gone) > 0
    composition.require()
    wanted = everything(composed(random_fragment(1, 1)))
    for found, expected in zip(everything(composition), wanted, strict=True):
        np.testing.assert_array_equal(found, expected)
    composition.remove([1])
    composition.require()
    assert composition.volume.block_count == 0
    assert len(composition.blocks()) == 0


def test_only_what_is_required_is_composed():
    fragments = [random_fragment(n, n) for n in (1, 2)]
    composition = composed(*fragments)
    stale = composition.move({2: transform((0.0, 0.0, 0.4), (0.11, 0.0, 0.0))})
    chosen = stale[: len(stale) // 3]
    before = everything(composition)[1].copy()
    composition.require(chosen)
    assert composition.stale_count == len(stale) - len(chosen)
    assert not np.array_equal(before, everything(composition)[1])
    composition.require(stale)
    assert composition.stale_count == 0
    wanted = everything(composed(fragments[0], replace(fragments[1], T_map_fragment=composition._store.pose(2))))
    for found, expected in zip(everything(composition), wanted, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_forgotten_blocks_come_back_bit_equal():
    composition = composed(random_fragment(1, 1), random_fragment(2, 2, T=transform((0.5, 0.2, 0.1), (0.1, 0.2, 0.3))))
    wanted = [array.copy() for array in everything(composition)]
    half = composition.blocks()[::2]
    count = composition.volume.block_count
    composition.forget(half)
    assert composition.volume.block_count < count
    composition.require()
    for found, expected in zip(everything(composition), wanted, strict=True):
        np.testing.assert_array_equal(found, expected)


POSES = st.builds(
    transform,
    st.tuples(*[st.floats(-3.2, 3.2)] * 3),
    st.tuples(*[st.floats(-2.0, 2.0)] * 3),
)


def cube_of_blocks(low, high):
    side = np.arange(low, high)
    return np.stack(np.meshgrid(side, side, side, indexing="ij"), axis=-1).reshape(-1, 3)


@settings(max_examples=25, deadline=None)
@given(POSES)
def test_a_plane_stays_exact_wherever_a_fragment_lies(T):
    normal = np.array([0.36, 0.48, 0.8])
    blocks = cube_of_blocks(-2, 2)
    voxels = (blocks[:, None, :] * 8 + LOCAL[None]) * VOXEL_M
    distance = voxels @ normal / TRUNCATION_M
    fragment = fragment_of(blocks, np.clip(distance, -1, 1), np.abs(distance) < 1, T)
    composition = composed(fragment)
    coordinates, records = everything(composition)
    points = (coordinates[:, None, :] * 8 + LOCAL[None]) * VOXEL_M
    T_fragment_map = inverse(T)
    inside = points @ T_fragment_map[:3, :3].T + T_fragment_map[:3, 3]
    truth = inside @ normal / TRUNCATION_M
    seen = records[:, voxel.WEIGHT] > 0
    # Away from where the distance is clamped, which is not linear any more.
    near = seen & (np.abs(truth) < 0.9)
    assert near.sum() > 1000
    error = np.abs(records[:, voxel.TSDF][near] - truth[near])
    # A single voxel at the edge of everything has no neighbour to take a slope from: it errs by half a voxel at most.
    assert np.percentile(error, 99) < 2e-5
    assert error.max() < 0.5 * np.sqrt(3) * VOXEL_M / TRUNCATION_M
    np.testing.assert_allclose(records[:, voxel.WEIGHT][seen], 1.0, atol=1e-5)
    # As many voxels as went in, as far as grids count volumes alike: neither grown nor eroded.
    before = (fragment.weight > 0).sum()
    assert seen.sum() == pytest.approx(before, rel=0.02)


@settings(max_examples=25, deadline=None)
@given(POSES, st.integers(0, 100))
def test_every_block_with_a_voxel_is_reached(T, seed):
    rng = np.random.default_rng(seed)
    blocks = np.unique(rng.integers(-3, 3, (5, 3)), axis=0)
    fragment = fragment_of(blocks, rng.uniform(-1, 1, (len(blocks), 512)), rng.integers(0, 2, (len(blocks), 512)), T)
    reached = {tuple(block) for block in reached_blocks(blocks.astype(np.int32), T, VOXEL_M).tolist()}
    centre = np.floor(T[:3, 3] / (8 * VOXEL_M)).astype(int)
    everywhere = (cube_of_blocks(-8, 9) + centre).astype(np.int32)
    for chunk, _, observed in VoxelSource.of_fragment(fragment).at(everywhere, inverse(T), VOXEL_M):
        assert {tuple(block) for block in chunk[observed].tolist()} <= reached


def test_a_whole_number_of_voxels_moves_values_exactly():
    fragment = random_fragment(1, 3, labelled=True)
    T = transform(translation=np.array([3, -2, 9]) * VOXEL_M)
    assert grid_offset(T, VOXEL_M) is None
    found = records_at(composed(replace(fragment, T_map_fragment=T)), voxels_of(fragment) + np.array([3, -2, 9]))
    wanted = np.stack([fragment.tsdf, fragment.weight], axis=-1).reshape(-1, 2)
    seen = wanted[:, 1] > 0
    np.testing.assert_allclose(found[:, [voxel.TSDF, voxel.WEIGHT]][seen], wanted[seen], atol=1e-4)
    np.testing.assert_allclose(found[seen][:, voxel.RED : voxel.RED + 3], fragment.color.reshape(-1, 3)[seen], atol=0.1)
    np.testing.assert_array_equal(found[seen][:, voxel.LABEL], fragment.label.reshape(-1)[seen])
    assert (found[~seen][:, voxel.WEIGHT] == 0).mean() > 0.9


def test_a_straight_border_neither_grows_nor_erodes():
    blocks = cube_of_blocks(-2, 2)
    x = (blocks[:, None, :] * 8 + LOCAL[None])[..., 0]
    for shift in np.arange(0.05, 1.0, 0.1):
        fragment = fragment_of(blocks, 0.5, x < 3, transform(translation=(shift * VOXEL_M, 0, 0)))
        line = np.stack([np.arange(-6, 12), np.zeros(18), np.zeros(18)], axis=1)
        seen = records_at(composed(fragment), line)[:, voxel.WEIGHT] > 0
        # Voxel 2 is the last one that was observed: it reaches half a voxel further, to 2.5 + shift.
        np.testing.assert_array_equal(line[seen, 0], np.arange(-6, np.floor(2.5 + shift + 1e-9) + 1))


def test_colours_come_from_voxels_that_have_one():
    blocks = np.zeros((1, 3))
    color = np.zeros((1, 512, 3), np.uint8)
    color[0, LOCAL[:, 0] < 4] = (200, 100, 50)
    fragment = fragment_of(blocks, 0.0, 1.0, transform(translation=(0.5 * VOXEL_M, 0, 0)), color=color)
    found = records_at(composed(fragment), [(3, 3, 3), (4, 3, 3), (5, 3, 3)])
    np.testing.assert_allclose(found[:2, voxel.RED : voxel.RED + 3], [(200, 100, 50)] * 2, atol=1e-3)
    assert (found[2, voxel.RED : voxel.RED + 3] == 0).all()


def test_labels_follow_as_those_of_the_nearest_voxel():
    label = np.where(LOCAL[:, 0] < 4, 3, 9).astype(np.uint16)[None]
    T = transform((0, 0, np.pi / 2), (0.3 * VOXEL_M, 0.2 * VOXEL_M, 0))
    found = records_at(composed(fragment_of(np.zeros((1, 3)), 0.0, 1.0, T, label=label)), [(-3, 2, 2), (-3, 6, 2)])
    np.testing.assert_array_equal(found[:, voxel.LABEL], (3, 9))
    np.testing.assert_array_equal(found[:, voxel.CONFIDENCE], (1, 1))


def test_what_has_no_room_is_counted():
    composition = Composition(FragmentStore(), VOXEL_M, TRUNCATION_M, 3)
    composition.put(fragment_of(cube_of_blocks(0, 2), 0.5, 1.0))
    assert composition.volume.block_count == 3
    assert composition.refused_blocks == 5


@pytest.mark.parametrize(
    ("T", "offset"),
    [
        (np.eye(4), (0, 0, 0)),
        (whole_blocks(-3, 2, 10_000), (-3, 2, 10_000)),
        (transform(translation=(VOXEL_M, 0, 0)), None),
        (transform((0, 0, 1e-4)), None),
        (transform((0, 0, np.pi / 2)), None),
    ],
)
def test_a_fragment_is_on_the_grid_when_its_blocks_are_map_blocks(T, offset):
    found = grid_offset(T, VOXEL_M)
    assert (found is None) == (offset is None)
    if offset is not None:
        np.testing.assert_array_equal(found, offset)
