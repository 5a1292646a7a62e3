"""Scores over time on walks that are short enough to follow by hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vertex_line import transfer, truth

from lira_ros.evaluation.online import (
    FirstSight,
    Identities,
    Moment,
    OnlineScores,
    area_of_first_sight,
    area_under_curve,
    belonging,
    curve,
    delays_s,
    duplicates,
    identities,
    online_scores,
)
from lira_ros.evaluation.pair import Prediction, Transfer

SCENE = "AAAABBBB...."


def moment(time_s, targets=(1, 2), **answers):
    """Published at a time: i7="####...." is instance 7."""
    scene = truth(SCENE)
    drawn = transfer(scene, list(answers.values()))
    instances = [
        Prediction(int(name[1:]), "", item.points) for name, item in zip(answers, drawn.instances, strict=True)
    ]
    found = Transfer(scene, instances, scene.vertices)
    return Moment(time_s, found.compare(targets, [item.id for item in instances]))


A, B, WALL = "####........", "....####....", "........####"


def test_an_object_is_seen_from_50_pixels_on():
    sight = FirstSight()
    image = np.zeros((10, 20), np.uint16)
    image[:3, :16] = 4
    sight.add(0.0, image)
    sight.add(0.5, None)
    image[3, :2] = 4
    image[5:, :] = 9
    sight.add(1.0, image)
    sight.add(2.0, image)
    assert sight.times_s == {4: 1.0, 9: 1.0}
    assert 0 not in sight.times_s


def test_area_is_the_mean_of_a_value_that_holds():
    times, values = np.array([2.0, 6.0]), np.array([0.5, 1.0])
    assert area_under_curve(times, values, 0.0, 10.0) == pytest.approx((4 * 0.5 + 4 * 1.0) / 10)
    assert area_under_curve(times, values, 0.0, 10.0, before=1.0) == pytest.approx(0.8)
    assert area_under_curve(times, values, 4.0, 8.0) == pytest.approx(0.75)
    assert area_under_curve(times, values, 7.0, 8.0) == 1.0
    assert area_under_curve(np.array([]), np.array([]), 0.0, 3.0, before=0.25) == 0.25
    with pytest.raises(ValueError, match=r"end_s: expected more than start_s, 3\.0, got 3\.0"):
        area_under_curve(times, values, 3.0, 3.0)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), max_size=6), st.floats(0, 1))
def test_area_lies_between_the_values(entries, before):
    entries = sorted(entries)
    values = np.array([value for _, value in entries])
    area = area_under_curve(np.array([time for time, _ in entries]), values, 0.0, 10.0, before)
    assert min([*values, before]) - 1e-9 <= area <= max([*values, before]) + 1e-9


def test_scores_of_a_walk():
    moments = [moment(1.0, i7=A), moment(3.0, i7=A, i8=WALL), moment(6.0, i7=A, i9=B)]
    np.testing.assert_allclose(curve(moments)[1], [2 / 3, 1 / 2, 1.0])
    scores = online_scores(moments, {1: 0.0, 2: 5.0}, given_s=0.0, end_s=10.0)
    assert scores.area_f1 == pytest.approx((0 * 1 + 2 / 3 * 2 + 1 / 2 * 3 + 1 * 4) / 10)
    assert scores.area_first_sight == pytest.approx((2 / 3 * 5 + 1 * 5) / 10)
    assert scores.delays_s == {1: 1.0, 2: 1.0}
    assert (scores.identity_switches, scores.duplicates_at_end) == (0, 0)
    assert scores.areas["f1@0.25"] == scores.area_f1
    assert scores.areas["recall@0.5"] == pytest.approx((0.5 * 2 + 0.5 * 3 + 1 * 4) / 10)
    assert scores.areas["precision@0.5"] == pytest.approx((1 * 2 + 0.5 * 3 + 1 * 4) / 10)
    assert scores.areas["exact@0.25"] == pytest.approx(0.4)
    assert scores.areas["iou"] == pytest.approx((4 / 8 * 2 + 4 / 12 * 3 + 1 * 4) / 10)
    assert OnlineScores.from_dict(json.loads(json.dumps(scores.to_dict()))) == scores


def test_the_clock_starts_when_the_instruction_is_given():
    moments = [moment(4.0, i7=A)]
    assert delays_s(moments, {1: 0.0, 2: 2.0}, given_s=3.0) == {1: 1.0, 2: None}
    assert delays_s(moments, {1: 9.0}) == {1: 0.0}, "published before it counted as seen"
    assert delays_s([], {1: 0.0}) == {}
    assert delays_s(moments, {}) == {}, "what was never seen cannot be late"


def test_an_instruction_without_a_target_is_right_until_something_is_published():
    right = online_scores([moment(2.0, targets=())], {}, 0.0, 10.0)
    assert (right.area_f1, right.area_first_sight, right.areas["empty_accuracy"]) == (1.0, 1.0, 1.0)
    wrong = online_scores([moment(2.0, targets=()), moment(5.0, targets=(), i7=A)], {}, 0.0, 10.0)
    assert (wrong.area_f1, wrong.area_first_sight) == (0.5, 1.0)


def test_what_was_never_seen_stays_missed_at_first_sight():
    assert area_of_first_sight((1, 2), {1: 0.0}, 0.0, 4.0) == pytest.approx(2 / 3)
    assert area_of_first_sight((1,), {}, 0.0, 4.0) == 0.0


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.sampled_from([1, 2]), st.floats(0, 10)), st.lists(st.floats(0, 10), min_size=1, max_size=4))
def test_nobody_beats_first_sight(first_seen_s, times):
    """Whatever is published after an object was seen; what was not seen cannot be."""
    moments = []
    for time_s in sorted(times):
        seen = {f"i{i}": text for i, text in ((1, A), (2, B)) if first_seen_s.get(i, 11.0) <= time_s}
        moments.append(moment(time_s, **seen))
    scores = online_scores(moments, first_seen_s, 0.0, 10.0)
    assert scores.area_f1 <= scores.area_first_sight + 1e-9


def test_identities():
    same = [moment(1.0, i7=A, i8=B), moment(2.0, i8=B, i7=A), moment(3.0, i7="###........."), moment(4.0, i7=A, i8=B)]
    assert identities(same) == Identities(found=2, again=5, switches=0), "at 3 s object 2 has none"
    assert identities([moment(1.0, i7=A, i8=B), moment(2.0, i9=A, i8=B)]) == Identities(2, 2, 1)
    assert identities([moment(1.0, i7=A), moment(2.0), moment(3.0, i9=A)]) == Identities(1, 1, 1), "also after a gap"
    assert identities([moment(1.0, i7=A, i8=B), moment(2.0, i7=B, i8=A)]).switches == 2
    # 7 still fits, though 9 fits better.
    assert identities([moment(1.0, i7=A), moment(2.0, i7="##..........", i9="..##........")]).switches == 0
    assert identities([]) == Identities(0, 0, 0)


def test_duplicates_are_instances_of_the_same_object():
    last = moment(1.0, i7="##..........", i8="..##........", i9="....###.....", i10="..........##").pair
    assert belonging(last) == {7: 1, 8: 1, 9: 2}
    assert duplicates(last) == 1
    # Half on each: it belongs to neither.
    assert belonging(moment(1.0, i7="..####......").pair) == {}
    assert duplicates(moment(1.0).pair) == 0


def test_what_has_no_order_is_refused():
    with pytest.raises(ValueError, match="expected growing times"):
        curve([moment(2.0), moment(1.0)])
    with pytest.raises(ValueError, match="expected at least one"):
        online_scores([], {}, 0.0, 1.0)
