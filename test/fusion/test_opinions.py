"""What models that read the instruction think of instances: votes of views, kept with the other evidence."""

import dataclasses
import math

import numpy as np
import pytest
from box_scene import Box, answer, true_masks, walk

from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.instance_fusion import FusionError, InstanceFusion
from lira_ros.fusion.opinions import MAX_VIEWS, OpinionVotes

CRATE = Box(1, (-0.5, -0.2, 0.0), (-0.1, 0.2, 0.4))
PARCEL = Box(2, (0.15, -0.15, 0.0), (0.45, 0.15, 0.25))
MODEL = "reader/1"


@pytest.fixture(scope="module")
def room():
    return walk([CRATE, PARCEL], 6)


def confidence(votes):
    return votes.opinion().confidence


def views(*confidences, weight=1.0):
    votes = OpinionVotes()
    for number, value in enumerate(confidences, 1):
        votes.name(number, value, weight, MODEL)
    return votes


def said(key, ids, opinions, instruction_id="i1", model=MODEL):
    """Return an answer that names the boxes of ``opinions`` (id -> confidence) that are in view."""
    present = [box for box in opinions if (ids == box).sum() >= 20]
    answered = answer(key, [ids == box for box in present], instruction_id=instruction_id, model=model)
    candidates = tuple(
        dataclasses.replace(candidate, target_confidence=opinions[box])
        for candidate, box in zip(answered.candidates, present, strict=True)
    )
    return dataclasses.replace(answered, candidates=candidates)


def opinion_on(fusion, box, instruction_id="i1"):
    center = (np.array(box.low) + np.array(box.high)) / 2
    instance = min(fusion.instances(), key=lambda item: np.linalg.norm(item.box.T_map_box[:3, 3] - center))
    return instance.opinions.get(instruction_id)


def test_agreeing_views_make_an_opinion_surer_and_none_is_ever_quite_sure():
    one, five = confidence(views(1.0)), confidence(views(1.0, 1.0, 1.0, 1.0, 1.0))
    assert 0.5 < one < five < 1.0
    assert confidence(views(0.0)) == pytest.approx(1.0 - one)
    assert OpinionVotes().opinion() is None


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_one_wrong_view_does_not_decide_against_two_others(weight):
    votes = views(1.0, 1.0, weight=0.1)
    votes.name(3, 0.0, weight, MODEL)
    assert confidence(votes) >= 0.5
    assert votes.opinion().reason == "the model answered it in 2 of 3 views"


def test_silence_is_weaker_than_words():
    votes = views(1.0)
    votes.overlook(2, MODEL)
    assert confidence(votes) > 0.5
    for number in range(3, 8):
        votes.overlook(number, MODEL)
    assert confidence(votes) < 0.5
    assert votes.opinion().reason == "the model answered it in 1 of 7 views"
    votes.overlook(1, MODEL)
    assert votes.opinion().reason == "the model answered it in 1 of 7 views"


def test_words_take_the_place_of_silence_and_a_mention_without_an_opinion_counts_for_nothing():
    votes = OpinionVotes()
    votes.overlook(1, MODEL)
    assert confidence(votes) < 0.5
    assert "did not answer it in 1 view that shows it well" in votes.opinion().reason
    votes.name(1, math.nan, 1.0, MODEL)
    assert votes.opinion() is None
    votes.name(1, 0.9, 1.0, MODEL)
    assert confidence(votes) > 0.5


def test_memory_is_bounded_and_what_is_added_up_counts_as_before():
    count = 3 * MAX_VIEWS
    many = views(*[0.9, 0.6, 0.0] * MAX_VIEWS)
    assert len(many.views) <= MAX_VIEWS
    expected = (0.5 * 0.5 + 0.5 * count) / (count + 0.5)
    assert confidence(many) == pytest.approx(expected, abs=1e-6)
    many.fold(count)
    assert not many.views
    assert confidence(many) == pytest.approx(expected, abs=1e-6)


def test_the_order_of_answers_does_not_matter():
    first, second = OpinionVotes(), OpinionVotes()
    items = [(number, 0.1 * (number % 10)) for number in range(1, 30)]
    for number, value in items:
        first.name(number, value, 0.8, MODEL)
    for number, value in items[::-1]:
        second.name(number, value, 0.8, MODEL)
    assert first.opinion() == second.opinion()


def test_two_that_turn_out_to_be_one_count_each_keyframe_once():
    one, other = views(1.0, 1.0), views(1.0, 1.0, 1.0)
    one.overlook(3, MODEL)
    one.absorb(other)
    assert one.opinion() == views(1.0, 1.0, 1.0).opinion()


def test_instances_carry_what_the_model_said_in_their_views(room):
    fusion = InstanceFusion(FusionConfiguration())
    for key, ids in room:
        fusion.add_keyframe(key)
        fusion.add_candidates(said(key, ids, {1: 0.9, 2: 0.1}))
    wanted, other = opinion_on(fusion, CRATE), opinion_on(fusion, PARCEL)
    assert wanted.confidence > 0.75
    assert wanted.model == MODEL
    assert wanted.reason == "the model answered it in 6 of 6 views"
    assert other.confidence < 0.25
    assert "something else" in other.reason


def test_back_ends_without_opinions_leave_none_and_the_same_map(room):
    plain, read = InstanceFusion(FusionConfiguration()), InstanceFusion(FusionConfiguration())
    for key, ids in room:
        plain.add_keyframe(key)
        plain.add_candidates(answer(key, true_masks(ids)))
        read.add_keyframe(key)
        read.add_candidates(said(key, ids, {1: 0.9, 2: 0.1}))
    assert all(item.opinions == {} for item in plain.instances())
    for mine, theirs in zip(plain.instances(), read.instances(), strict=True):
        assert repr(dataclasses.replace(theirs, opinions={})) == repr(mine)


@pytest.mark.parametrize("newest_first", [False, True])
def test_what_the_model_is_silent_of_is_rather_not_wanted(room, newest_first):
    """Both boxes are mapped for one instruction; the model reads another one and names the crate alone."""
    fusion = InstanceFusion(FusionConfiguration())
    for key, ids in room:
        fusion.add_keyframe(key)
        fusion.add_candidates(answer(key, true_masks(ids), model="detector/1"))
    for key, ids in room[::-1] if newest_first else room:
        fusion.add_candidates(said(key, ids, {1: 1.0}, "i2"))
    assert opinion_on(fusion, CRATE, "i2").confidence > 0.9
    assert opinion_on(fusion, PARCEL, "i2").confidence < 0.35
    assert "did not answer it" in opinion_on(fusion, PARCEL, "i2").reason
    assert opinion_on(fusion, PARCEL, "i1") is None


def test_one_view_that_named_the_wrong_thing_is_outvoted_by_the_silence_of_those_before_and_after(room):
    fusion = InstanceFusion(FusionConfiguration())
    for number, (key, ids) in enumerate(room):
        fusion.add_keyframe(key)
        # The parcel becomes an instance by the one wrong answer, after most of the keyframes were answered.
        fusion.add_candidates(said(key, ids, {1: 1.0, 2: 1.0} if number == 4 else {1: 1.0}))
    assert opinion_on(fusion, CRATE).confidence > 0.9
    assert opinion_on(fusion, PARCEL).confidence < 0.5
    assert opinion_on(fusion, PARCEL).reason.startswith("the model answered it in 1 of ")


def test_what_is_hidden_is_not_held_against_it():
    fusion = InstanceFusion(FusionConfiguration())
    for key, ids in walk([CRATE], 3, span=np.pi / 3):
        fusion.add_keyframe(key)
        fusion.add_candidates(said(key, ids, {1: 1.0}))
    alone = opinion_on(fusion, CRATE)
    for key, ids in walk([CRATE], 3, first_id=20, span=0.3):
        hand = np.minimum(key.frame.depth_m, np.float32(0.4))  # something close in front of the camera
        covered = dataclasses.replace(key, frame=dataclasses.replace(key.frame, depth_m=hand))
        fusion.add_keyframe(covered)
        fusion.add_candidates(said(covered, ids, {}))
    assert opinion_on(fusion, CRATE) == alone


def test_what_lies_in_the_mask_of_something_else_is_not_held_against_it(room):
    key, ids = room[2]
    fusion = InstanceFusion(FusionConfiguration())
    fusion.add_keyframe(key)
    fusion.add_candidates(answer(key, true_masks(ids), model="detector/1"))
    both = said(key, np.minimum(ids, 1), {1: 1.0}, "i2")  # one mask over both boxes
    fusion.add_candidates(both)
    opinions = [item.opinions["i2"].confidence for item in fusion.instances() if "i2" in item.opinions]
    assert opinions
    assert min(opinions) > 0.5


def test_opinions_go_with_their_instruction(room):
    fusion = InstanceFusion(FusionConfiguration())
    key, ids = room[0]
    fusion.add_keyframe(key)
    fusion.add_candidates(said(key, ids, {1: 0.9}, "i1"))
    fusion.add_candidates(said(key, ids, {1: 0.2}, "i2"))
    assert opinion_on(fusion, CRATE, "i2").confidence < 0.5
    before = fusion.revision
    fusion.forget_answers("i2")
    assert fusion.revision > before
    assert opinion_on(fusion, CRATE, "i2") is None
    assert opinion_on(fusion, CRATE, "i1").confidence > 0.5


def test_opinions_survive_forgotten_keyframes_and_corrected_poses(room):
    fusion = InstanceFusion(FusionConfiguration(max_keyframes=3))
    for key, ids in room:
        fusion.add_keyframe(key)
        fusion.add_candidates(said(key, ids, {1: 1.0}))
    before = opinion_on(fusion, CRATE)
    assert before.reason == "the model answered it in 6 of 6 views"
    shift = np.eye(4)
    shift[:3, 3] = (0.3, 0.1, 0.0)
    fusion.correct_poses({key.id: shift @ key.frame.T_map_camera for key, _ in room}, {})
    moved = fusion.instances()[0]
    assert moved.opinions["i1"] == before


def test_silence_from_a_wrong_pose_is_taken_back():
    views = walk([CRATE], 4, span=np.pi / 2)
    fusion = InstanceFusion(FusionConfiguration())
    for key, ids in views[:3]:
        fusion.add_keyframe(key)
        fusion.add_candidates(said(key, ids, {1: 1.0}))
    sure = opinion_on(fusion, CRATE)
    key, ids = views[3]
    fusion.add_keyframe(key)
    fusion.add_candidates(said(key, ids, {}))
    assert opinion_on(fusion, CRATE).confidence < sure.confidence
    away = key.frame.T_map_camera.copy()
    away[:3, 3] += (5.0, 5.0, 0.0)
    fusion.correct_poses({key.id: away}, {})
    assert opinion_on(fusion, CRATE) == sure


@pytest.mark.parametrize("value", [-0.1, 1.5, math.inf])
def test_impossible_opinions_are_refused(room, value):
    fusion = InstanceFusion(FusionConfiguration())
    key, ids = room[0]
    fusion.add_keyframe(key)
    with pytest.raises(FusionError, match="target_confidence"):
        fusion.add_candidates(said(key, ids, {1: value}))
    assert not fusion.instances()
