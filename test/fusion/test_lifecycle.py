"""Instances that become two, move and come back, through the fusion that owns them."""

import dataclasses

import numpy as np
import pytest
from box_scene import Box, answer, keyframe, true_masks, walk

from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.conforming_map import ConformingMap
from lira_ros.fusion.contracts import InstanceState, Removal, RemovalReason
from lira_ros.fusion.instance_fusion import InstanceFusion
from lira_ros.fusion.instance_map import InstanceMapView
from lira_ros.fusion.instance_query import InstanceQuery
from lira_ros.fusion.target_inference import TargetInference
from lira_ros.reasoning.contracts import Instruction
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.relevance import Relevance

LEFT = Box(1, (-0.5, -0.2, 0.0), (-0.1, 0.2, 0.4))
RIGHT = Box(7, (0.15, -0.15, 0.0), (0.45, 0.15, 0.35))  # of the same colour as the left one
PILLAR = Box(3, (-0.15, 0.6, 0.0), (0.15, 0.7, 2.0))  # before the middle of what stands at the origin


def fuse(fusion, views, masks_of, label="chair"):
    for key, ids in views:
        fusion.add_keyframe(key)
        masks = masks_of(ids)
        fusion.add_candidates(answer(key, masks, [label] * len(masks)))


def both_as_one(ids):
    mask = (ids == LEFT.id) | (ids == RIGHT.id)
    return [mask] if mask.sum() > 20 else []


def each(ids):
    return true_masks(ids, only=(LEFT.id, RIGHT.id))


def center_of(box):
    return np.mean([box.low, box.high], axis=0)


def near(instance, box):
    return np.linalg.norm(instance.centroid - center_of(box)) < 0.15


def split_in_two():
    """Return a fusion that took two things for one at first, and the views that it saw."""
    fusion = InstanceFusion(FusionConfiguration())
    views = [*walk((LEFT, RIGHT), 4), *walk((LEFT, RIGHT), 9, first_id=5, span=6.0)]
    fuse(fusion, views[:4], both_as_one)
    assert [instance.id for instance in fusion.instances()] == [1]
    fuse(fusion, views[4:], each)
    return fusion, views


def test_two_that_were_one_are_split_and_the_piece_that_was_larger_keeps_the_id():
    fusion, views = split_in_two()
    first, second = fusion.instances()
    assert (first.id, second.id) == (1, 2)
    # The first views looked from the right.
    assert near(first, RIGHT)
    assert near(second, LEFT)
    assert second.state == InstanceState.CONFIRMED
    assert fusion.statistics().instances_split == 1
    # The masks that once held both are shared out, and with them the pictures.
    for instance, box in ((first, RIGHT), (second, LEFT)):
        pictures = fusion.views(instance.id, 4)
        assert pictures
        for picture in pictures:
            ids = next(ids for key, ids in views if key.id == picture.keyframe_id)
            assert picture.visible_px <= 1.15 * np.count_nonzero(ids == box.id)


def test_masks_that_hold_both_pieces_keep_a_thing_of_two_pieces_whole():
    fusion = InstanceFusion(FusionConfiguration())
    fuse(fusion, walk((LEFT, RIGHT), 12, span=6.0), both_as_one, label="pair of curtains")
    assert len(fusion.instances()) == 1
    assert fusion.statistics().instances_split == 0


@pytest.mark.parametrize(("hidden", "splits"), [(True, 0), (False, 1)])
def test_only_free_space_seen_between_pieces_makes_two_of_one(hidden, splits):
    """Two ends of a table behind a pillar, or two crates at the same places: the masks are alike."""
    ends = (Box(1, (-0.8, -0.2, 0.0), (-0.15, 0.2, 0.4)), Box(7, (0.15, -0.2, 0.0), (0.7, 0.2, 0.4)))
    things = (Box(1, (-0.8, -0.2, 0.0), (0.7, 0.2, 0.4)), PILLAR) if hidden else ends
    fusion = InstanceFusion(FusionConfiguration())
    for number, x in enumerate(np.linspace(-0.15, 0.15, 9), 1):
        key, ids = keyframe(number, things, (x, 2.2, 1.0), (0.5 * x, 0.0, 0.3))
        # Far enough from one another to count as looks.
        key = dataclasses.replace(key, frame=dataclasses.replace(key.frame, stamp_ns=number * 2_000_000_000))
        columns = np.arange(ids.shape[1])
        mask = np.isin(ids, (1, 7))
        middle = np.median(np.flatnonzero(mask.any(axis=0)))
        parts = [mask & (columns < middle), mask & (columns >= middle)] if number > 3 else [mask]
        fuse(fusion, [(key, ids)], lambda _, parts=parts: parts)
    assert fusion.statistics().instances_split == splits


@pytest.mark.parametrize(("names", "ended"), [(("bench", "bench"), {2: 1}), (("bench", "cushion"), {})])
def test_a_small_part_ends_in_the_whole_when_both_have_its_name(names, ended):
    bench = Box(1, (-1.0, -0.2, 0.0), (1.0, 0.2, 0.4))
    fusion = InstanceFusion(FusionConfiguration())
    for number, x in enumerate(np.linspace(-0.6, 0.6, 8), 1):
        key, ids = keyframe(number, (bench,), (x, -2.4, 1.2), (0.0, 0.0, 0.2))
        columns = np.flatnonzero((ids == 1).any(axis=0))
        end = (ids == 1) & (np.arange(ids.shape[1]) > np.quantile(columns, 0.8))
        masks = [(ids == 1) & ~end, end] if number <= 2 else [ids == 1]
        fusion.add_keyframe(key)
        fusion.add_candidates(answer(key, masks, list(names[: len(masks)])))
    assert fusion.merged_into() == ended


def test_a_thing_that_moved_keeps_its_id_once_its_old_place_was_seen_empty():
    here, there = Box(1, (-0.9, -0.2, 0.0), (-0.5, 0.2, 0.4)), Box(1, (0.5, -0.2, 0.0), (0.9, 0.2, 0.4))
    other = Box(2, (-0.15, -0.15, 0.0), (0.15, 0.15, 0.7))
    fusion = InstanceFusion(FusionConfiguration())

    def masks_of(ids):
        return true_masks(ids, only=(1,))

    fuse(fusion, walk((here, other), 6), masks_of)
    (before,) = fusion.instances()
    seen = []
    for view in walk((there, other), 12, first_id=20, span=3.0):
        fuse(fusion, [view], masks_of)
        seen.append([instance.id for instance in fusion.instances()])
    (after,) = fusion.instances()
    assert after.id == before.id
    assert near(after, there)
    assert len(after.merged_from) == 1
    assert fusion.merged_into() == {after.merged_from[0]: after.id}
    assert after.first_seen_ns == before.first_seen_ns
    assert fusion.statistics().instances_moved == 1
    assert sum(len(ids) > 1 for ids in seen) <= 4
    # Its pictures are those of the new place, and the id that ended finds them too.
    views = fusion.views(after.merged_from[0], 4)
    assert {view.instance_id for view in views} == {after.id}
    assert min(view.keyframe_id for view in views) >= 20


def test_who_holds_an_id_that_ended_finds_the_thing_in_updates_maps_and_queries():
    bench = Box(1, (-1.2, -0.2, 0.0), (1.2, 0.2, 0.4))
    # Two ends are two things until views show the whole.
    ends = [
        keyframe(1, [bench], (-1.4, -0.9, 0.8), (-1.3, 0, 0.2)),
        keyframe(2, [bench], (1.4, -0.9, 0.8), (1.3, 0, 0.2)),
    ]
    wholes = [keyframe(3 + i, [bench], (0.1 * i, -2.4, 1.2), (0, 0, 0.2)) for i in range(4)]
    conforming = ConformingMap(InstanceFusion(FusionConfiguration()), TargetInference(Relevance(None)))
    conforming.set_instructions([Instruction("i1", "Find the benches.", parse("Find the benches."))])
    fuse(conforming, ends, true_masks, label="bench")
    conforming.refresh()
    held = conforming.view("i1").instances
    assert sorted(item.id for item in held) == [1, 2]
    receiver = InstanceMapView("i1")
    receiver.replace(conforming.view("i1").full())
    fuse(conforming, wholes, true_masks, label="bench")
    for change in conforming.refresh():
        receiver.apply(change.delta)
    (one,) = receiver.instances
    assert (one.id, one.merged_from) == (1, (2,))
    assert receiver.removed == conforming.view("i1").full().removed == (Removal(2, RemovalReason.MERGED, 1),)
    assert [item.id for item in conforming.query(InstanceQuery(ids=frozenset({2}))).instances] == [1]
    views, unknown = conforming.views([2, 77], 0)
    assert {view.instance_id for view in views} == {1}
    assert unknown == (77,)


def test_one_of_twins_that_is_gone_is_not_taken_for_one_that_appears():
    here, there = Box(1, (-0.9, -0.2, 0.0), (-0.5, 0.2, 0.4)), Box(1, (0.5, -0.2, 0.0), (0.9, 0.2, 0.4))
    twin = Box(8, (-0.2, -0.9, 0.0), (0.2, -0.5, 0.4))
    fusion = InstanceFusion(FusionConfiguration())
    fuse(fusion, walk((here, twin), 8, span=6.0), true_masks)
    assert [instance.id for instance in fusion.instances()] == [1, 2]
    fuse(fusion, walk((there, twin), 12, first_id=20, span=6.0), true_masks)
    assert [instance.id for instance in fusion.instances()] == [2, 3]
    assert fusion.statistics().instances_moved == 0


def test_a_removed_thing_that_never_comes_back_frees_its_memory(monkeypatch):
    monkeypatch.setattr("lira_ros.fusion.lifecycle.MEMORY_S", 1.0)
    here, other = Box(1, (-0.9, -0.2, 0.0), (-0.5, 0.2, 0.4)), Box(2, (-0.15, -0.15, 0.0), (0.15, 0.15, 0.7))
    fusion = InstanceFusion(FusionConfiguration())
    fuse(fusion, walk((here, other), 6), true_masks)
    kept = next(instance.id for instance in fusion.instances() if near(instance, other))
    fuse(fusion, walk((other,), 6, first_id=7), true_masks)
    assert [instance.id for instance in fusion.instances()] == [kept]
    assert fusion._life._gone
    fuse(fusion, walk((other,), 12, first_id=13), true_masks)
    assert not fusion._life._gone


def test_corrected_poses_carry_pieces_views_and_looks_along():
    fusion, views = split_in_two()
    before = {instance.id: instance for instance in fusion.instances()}
    directions = {key: fusion.views(key, 1)[0].direction for key in before}
    shift = np.eye(4)
    shift[:3, 3] = (1.0, -2.0, 0.1)
    assert fusion.correct_poses({key.id: shift @ key.frame.T_map_camera for key, _ in views}, {}) == 2
    after = {instance.id: instance for instance in fusion.instances()}
    assert sorted(after) == sorted(before)
    for key, instance in after.items():
        np.testing.assert_allclose(instance.centroid, before[key].centroid + shift[:3, 3], atol=0.02)
        np.testing.assert_allclose(fusion.views(key, 1)[0].direction, directions[key], atol=0.02)
        assert instance.looks == pytest.approx(before[key].looks)
        assert instance.merged_from == before[key].merged_from
