"""The method "label_free" in the fusion: leaks and joined masks are outvoted, and what is kept is bounded."""

import gc

import cv2
import numpy as np
import pytest
from box_scene import Box, answer, keyframe, true_masks, walk

from lira_ros.fusion.association import Association
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.evidence import InstanceEvidence
from lira_ros.fusion.instance_fusion import InstanceFusion
from lira_ros.fusion.label_free import MOST_VIEWS, LabelFree, Observation
from lira_ros.fusion.lifting import StoredKeyframe

CRATE, PARCEL = Box(1, (-0.5, -0.2, 0.0), (-0.1, 0.2, 0.4)), Box(2, (0.2, -0.15, 0.0), (0.5, 0.15, 0.25))


def made(**values):
    """Return a fusion and the method that it uses."""
    configuration = FusionConfiguration(method="label_free", **values)
    methods = []

    def make(association):
        methods.append(LabelFree(configuration, association))
        return methods[-1]

    return InstanceFusion(configuration, make), methods[0]


def fuse(fusion, views, change=lambda number, masks: masks):
    for number, (key, ids) in enumerate(views):
        fusion.add_keyframe(key)
        fusion.add_candidates(answer(key, change(number, true_masks(ids))))
    return fusion


def center(box):
    return (np.array(box.low) + np.array(box.high)) / 2


def nearest(fusion, box):
    return min(fusion.instances(), key=lambda item: np.linalg.norm(item.box.T_map_box[:3, 3] - center(box)))


@pytest.fixture(scope="module")
def room():
    return walk([CRATE, PARCEL], 12)


@pytest.fixture(scope="module")
def exact(room):
    return fuse(InstanceFusion(FusionConfiguration(method="label_free")), room)


def test_each_thing_becomes_one_instance(exact):
    assert len(exact.instances()) == 2
    for box in (CRATE, PARCEL):
        np.testing.assert_allclose(nearest(exact, box).box.T_map_box[:3, 3], center(box), atol=0.04)


def test_one_leaking_mask_is_outvoted(room, exact):
    def leak(number, masks):
        if number != 4:
            return masks
        return [cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=4) > 0 for mask in masks]

    fusion = fuse(made()[0], room, leak)
    assert len(fusion.instances()) == 2
    for box in (CRATE, PARCEL):
        assert len(nearest(fusion, box).voxels) == pytest.approx(len(nearest(exact, box).voxels), rel=0.03)


def test_a_joined_mask_is_left_out(room, exact):
    def join(number, masks):
        return masks if number != 6 else [np.logical_or.reduce(masks)]

    fusion = fuse(made()[0], room, join)
    assert len(fusion.instances()) == 2
    # One of the two lacks a view; were the mask believed, it would have twice the voxels.
    for box in (CRATE, PARCEL):
        assert len(nearest(fusion, box).voxels) == pytest.approx(len(nearest(exact, box).voxels), rel=0.06)


def test_the_order_of_equal_inputs_gives_equal_maps(room, exact):
    again = fuse(made()[0], room)
    assert [(item.id, item.voxels.tolist()) for item in again.instances()] == [
        (item.id, item.voxels.tolist()) for item in exact.instances()
    ]


def test_observations_are_bounded_and_go_with_their_keyframes(room):
    fusion, method = made(max_keyframes=20)
    fuse(fusion, room)
    assert [len(kept) for kept in method._observations.values()] == [MOST_VIEWS, MOST_VIEWS]
    # A crop of one bit a pixel, the voxels and the embedding.
    assert max(item.nbytes for kept in method._observations.values() for item in kept) < 60_000
    ids = {item.keyframe.id for kept in method._observations.values() for item in kept}
    assert max(ids) == 12
    small, method = made(max_keyframes=3)
    fuse(small, room)
    gc.collect()
    kept = [item.keyframe for observations in method._observations.values() for item in observations]
    assert {stored.id for stored in kept if stored is not None} <= {10, 11, 12}
    assert len(small.instances()) == 2
    few, method = made(max_instances=1)
    fuse(few, room)
    assert len(method._observations) == 1


def test_what_forgotten_keyframes_said_stays(room):
    small, _ = made(max_keyframes=1)
    fuse(small, room)
    before = len(nearest(small, CRATE).voxels)

    def cut(number, masks):
        return [mask & (np.arange(mask.shape[1]) < np.flatnonzero(mask.any(axis=0)).mean()) for mask in masks]

    # One bad view, the only one that is left, does not undo twelve good ones.
    key, ids = keyframe(30, [CRATE, PARCEL], (1.6, 0.1, 1.2))
    fuse(small, [(key, ids)], cut)
    assert len(small.instances()) == 2
    assert len(nearest(small, CRATE).voxels) > 0.95 * before


def test_a_corrected_pose_takes_the_observations_along(room):
    fusion, _ = made()
    fuse(fusion, room[:6])
    shift = np.eye(4)
    shift[:3, 3] = (0.3, 0.0, 0.0)
    fusion.correct_poses({key.id: shift @ key.frame.T_map_camera for key, _ in room[:6]}, {})
    way = shift[:3, 3]
    moved = [Box(box.id, tuple(np.add(box.low, way)), tuple(np.add(box.high, way))) for box in (CRATE, PARCEL)]
    for number, angle in enumerate(np.linspace(0.5, 2.0, 3)):
        place = np.add(way, (1.6 * np.cos(angle), 1.6 * np.sin(angle), 1.2))
        key, ids = keyframe(20 + number, moved, tuple(place), target=(0.3, 0.0, 0.3))
        fuse(fusion, [(key, ids)])
    assert len(fusion.instances()) == 2
    for box in moved:
        np.testing.assert_allclose(nearest(fusion, box).box.T_map_box[:3, 3], center(box), atol=0.05)


def test_pieces_that_turn_out_to_be_one_thing_keep_their_views(room):
    configuration = FusionConfiguration(method="label_free")
    stored = {key.id: StoredKeyframe(key) for key, _ in room[:2]}
    association = Association(configuration, stored)
    method = LabelFree(configuration, association)
    masks = {}
    for instance, (key, ids) in ((1, room[0]), (2, room[0]), (2, room[1])):
        mask = ids == instance
        masks[instance, key.id] = mask
        lifted, _ = association.lift_all(answer(key, [mask]), stored[key.id])
        method._join(method._of(InstanceEvidence(instance)), Observation(stored[key.id], lifted[0]))
    kept = method._of(InstanceEvidence(1, merged_from={2}))
    assert list(method._observations) == [1]
    assert [item.keyframe.id for item in kept] == [1, 2]
    np.testing.assert_array_equal(kept[0].mask(), masks[1, 1] | masks[2, 1])
    np.testing.assert_array_equal(kept[1].mask(), masks[2, 2])
