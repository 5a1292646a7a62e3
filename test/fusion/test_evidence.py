import numpy as np

from lira_ros.fusion.components import without_flying_voxels
from lira_ros.fusion.evidence import Claim, VoxelEvidence
from lira_ros.fusion.lifting import pack, unpack
from lira_ros.fusion.surface import FragmentSurfaces
from lira_ros.geometry.pose import from_quaternion, transform_points
from lira_ros.mapping.fragment import Fragment


def test_a_claim_keeps_its_mask():
    mask = np.random.default_rng(0).random((7, 13)) > 0.5
    claim = Claim.of(mask)
    np.testing.assert_array_equal(claim.mask(), mask)
    assert claim.cells == mask.sum()


def test_votes_add_up_and_contradicted_voxels_are_forgotten():
    keys = pack(np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]]))
    voxels = VoxelEvidence()
    one, colors = np.ones(2, np.float32), np.full((2, 3), 90, np.float32)
    voxels.add(keys[:2], one, one, colors, one, np.full(2, 7, np.int32))
    voxels.add(keys[1:], one, one, colors, one, np.full(2, 8, np.int32))
    assert voxels.hits.tolist() == [1, 2, 1]
    assert voxels.keyframe_ids.tolist() == [7, 7, 8]
    assert voxels.contains(keys + 1).tolist() == [False] * 3
    voxels.views[0] = 6
    np.testing.assert_allclose(voxels.share(), [1 / 6, 1, 1])
    voxels.forget()
    np.testing.assert_array_equal(voxels.keys, keys[1:])
    assert voxels.keyframe_ids.tolist() == [7, 8]


def test_voxels_follow_the_keyframe_that_saw_them_first():
    keys = pack(np.array([[0, 0, 0], [1, 0, 0], [5, 0, 0]]))
    ones, colors = np.ones(3, np.float32), np.full((3, 3), 90, np.float32)
    voxels = VoxelEvidence()
    voxels.add(keys, ones, ones, colors, ones, np.array([1, 2, 3], np.int32))
    shift = np.eye(4)
    shift[0, 3] = 0.1  # five voxels
    assert not voxels.move({9: shift}, 0.02)
    assert voxels.move({1: shift, 2: shift.copy()}, 0.02)
    np.testing.assert_array_equal(voxels.keys, pack(np.array([[5, 0, 0], [6, 0, 0]])))
    assert voxels.hits.tolist() == [2, 1]
    np.testing.assert_allclose(voxels.colors[:, 0], [180, 90])
    assert voxels.keyframe_ids.tolist() == [3, 2]


def test_flying_voxels_go_and_both_sides_of_an_occlusion_stay():
    block = np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    voxels = np.concatenate([block, block + np.array([40, 0, 0]), [[20, 20, 20], [-15, 0, 0]]])
    keys = np.sort(pack(voxels))
    kept = keys[without_flying_voxels(keys)]
    np.testing.assert_array_equal(kept, np.sort(pack(voxels[:-2])))
    assert without_flying_voxels(keys[:0]).shape == (0,)


def plane(T_map_fragment):
    """Return fragment 3, whose surface is its plane x = 0.1."""
    blocks = np.array([[x, y, z] for x in range(2) for y in range(-2, 2) for z in range(-2, 2)], dtype=np.int32)
    inside = np.array([[x, y, z] for z in range(8) for y in range(8) for x in range(8)])
    voxels = blocks[:, None] * 8 + inside
    tsdf = np.clip((voxels[..., 0] * 0.02 - 0.1) / 0.08, -1, 1).astype(np.float32)
    weight = np.full(tsdf.shape, 4, np.float32)
    weight[voxels[..., 1] < -8] = 1  # seen too rarely to decide
    return Fragment(
        3, 1, 0, T_map_fragment, 0.02, 0.08, (1,), blocks, tsdf, weight, np.zeros((*tsdf.shape, 3), np.uint8)
    )


def test_voxels_are_drawn_to_the_surface_of_a_turned_fragment():
    T_map_fragment = from_quaternion([1.0, -2.0, 0.5], [0.1826, 0.3651, 0.5477, 0.7303], "test")
    surfaces = FragmentSurfaces(max_fragments=2, min_weight=2.0)
    surfaces.add(plane(T_map_fragment))
    near = np.array([[0.125, 0.05, 0.03], [0.08, -0.07, 0.1]])
    flying = np.array([[0.17, 0.05, 0.03], [0.25, 0.0, 0.0]])
    elsewhere = np.array([[0.13, -0.25, 0.0], [0.13, 3.0, 0.0]])
    points = transform_points(T_map_fragment, np.concatenate([near, flying, elsewhere]))
    keys = pack(np.rint(points / 0.02).astype(int))
    moved, firm = surfaces.snap(keys, 0.02)
    assert firm.tolist() == [True, True, False, False, True, True]
    on_plane = transform_points(T_map_fragment, near * [0, 1, 1] + [0.1, 0, 0])
    np.testing.assert_allclose(unpack(moved[:2]) * 0.02, on_plane, atol=0.025)
    np.testing.assert_array_equal(moved[4:], keys[4:])


def test_fragments_are_bounded_and_old_revisions_ignored():
    def fragment(fragment_id, revision):
        empty = np.zeros((0, 512), np.float32)
        return Fragment(
            fragment_id, revision, 0, np.eye(4), 0.02, 0.08, (), np.zeros((0, 3), np.int32), empty, empty,
            np.zeros((0, 512, 3), np.uint8),
        )  # fmt: skip

    surfaces = FragmentSurfaces(max_fragments=2, min_weight=2.0)
    assert len(surfaces.add(fragment(1, 2))) == 1
    assert surfaces.add(fragment(1, 1)) == ()
    assert len(surfaces.add(fragment(1, 3))) == 2
    surfaces.add(fragment(2, 1))
    surfaces.add(fragment(3, 1))
    assert len(surfaces) == 2


def test_a_fragment_is_moved_whether_its_pose_comes_before_or_after_it():
    T = np.eye(4)
    T[0, 3] = 0.5
    keys = pack(np.array([[31, 0, 0]]))  # 2 cm in front of the plane x = 0.1 + 0.5
    results = []
    for order in ("pose first", "fragment first"):
        surfaces = FragmentSurfaces(max_fragments=2, min_weight=2.0)
        if order == "fragment first":
            surfaces.add(plane(np.eye(4)))
        moved = surfaces.place(3, 2, T)
        assert len(moved) == (2 if order == "fragment first" else 0)
        if order == "pose first":
            surfaces.add(plane(np.eye(4)))
        assert surfaces.place(3, 2, np.eye(4)) == ()  # not newer
        results.append(unpack(surfaces.snap(keys, 0.02)[0]).tolist())
    assert results == [[[30, 0, 0]], [[30, 0, 0]]]
    assert surfaces.remove(3) is not None
    assert unpack(surfaces.snap(keys, 0.02)[0]).tolist() == [[31, 0, 0]]
    assert surfaces.remove(3) is None
