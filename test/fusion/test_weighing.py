"""Opinions in the judgement: they decide needs and help names, and nothing conforms against what was measured."""

import dataclasses

import numpy as np
import pytest
from test_target_inference import CAMERA, CASES, ROOM, UP, box, found

from lira_ros.fusion.target_inference import TargetInference
from lira_ros.reasoning.contracts import Attributes, Instruction, Opinion
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.relevance import CONFORM_SCORE, Relevance, is_open

SAID = "the model answered it in 4 of 5 views"
NOTHING = {}


@pytest.fixture(scope="module")
def inference():
    return TargetInference(Relevance(None))


def judge(inference, text, instances=ROOM, **arguments):
    return inference.judge(
        instances,
        Instruction("i", text, parse(text)),
        up=UP,
        camera_position=CAMERA,
        keyframes_answered=20,
        keyframes_pending=0,
        **arguments,
    )


def seen(instances, opinions, instruction_id="i"):
    """Return the instances with opinions (id -> confidence) from their views."""
    return tuple(
        dataclasses.replace(item, opinions={instruction_id: Opinion(opinions[item.id], SAID, "reader/1")})
        if item.id in opinions
        else item
        for item in instances
    )


def nameless(item):
    return dataclasses.replace(item, label="", label_confidence=0.0, names={})


@pytest.mark.parametrize("text", CASES)
def test_without_opinions_nothing_changes_and_those_on_other_instructions_say_nothing(inference, text):
    others = seen(ROOM, {item.id: float(item.id % 2) for item in ROOM}, "another")
    assert judge(inference, text, others) == judge(inference, text) == judge(inference, text, opinions={})


def test_a_nameless_thing_that_the_model_answered_conforms_to_a_need(inference):
    unnamed = tuple(nameless(item) for item in ROOM)
    text = "I spilled my drink and want to wipe it up"
    assert parse(text).phrase.implicit
    judgement = judge(inference, text, seen(unnamed, {12: 1.0}))
    assert found(judgement) == {12}
    assert SAID.lower() in judgement.verdicts[12].reason.lower()
    blank = dataclasses.replace(nameless(ROOM[11]), attributes=Attributes())
    assert found(judge(inference, text, seen((blank,), {12: 1.0}))) == {12}


def test_the_model_outweighs_words_for_needs_in_both_directions(inference):
    assert found(judge(inference, "I am hungry")) == {7}
    contradicted = judge(inference, "I am hungry", seen(ROOM, {7: 0.0}))
    assert 7 not in found(contradicted)
    assert f"but {SAID}" in contradicted.verdicts[7].reason
    assert found(judge(inference, "I am hungry", seen(ROOM, {7: 0.05, 4: 0.95}))) == {4}
    # One silent view does not outweigh words that are sure.
    assert found(judge(inference, "I am hungry", seen(ROOM, {7: 0.3}))) == {7}


def test_a_name_that_no_list_knows_is_helped_by_the_model(inference):
    davenport = box(30, "davenport", (5.0, 5.0), (0.9, 2.0, 0.8), color="red")
    assert found(judge(inference, "the sofa", (davenport,))) == set()
    judgement = judge(inference, "the sofa", seen((davenport,), {30: 0.9}))
    assert found(judgement) == {30}
    assert "although" in judgement.verdicts[30].reason
    # A thing that bears the name itself is preferred all the same.
    assert found(judge(inference, "the sofa", seen((*ROOM, davenport), {30: 0.9}))) == {3}


def test_of_two_that_bear_the_name_the_model_prefers_one(inference):
    assert found(judge(inference, "the chair", seen(ROOM, {8: 0.05, 9: 0.95, 10: 0.05}))) == {9}
    assert found(judge(inference, "all chairs", seen(ROOM, {8: 0.05, 9: 0.95, 10: 0.05}))) == {8, 9, 10}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("the red chair", set()),
        ("brown chairs", {8, 10}),
        ("a chair that is not brown", {9}),
        ("the chairs except the black one", {8, 10}),
        ("the chair next to the side table", {10}),
        ("the mug on the side table", {5}),
        ("the round table", {2}),
        ("tables that are not round", {1}),
        ("the largest table", {1}),
        ("the tallest chair", {10}),
        ("the second closest chair to the sofa", {8}),
        ("the painting above the sofa", {11}),
    ],
)
def test_no_opinion_conforms_against_what_was_measured(inference, text, wanted):
    """The model is sure of everything that has the name and is not wanted, and against what is."""
    kind = {item.id for item in ROOM if item.label.split()[-1] in text}
    against = seen(ROOM, {number: 0.0 if number in wanted else 1.0 for number in kind})
    assert found(judge(inference, text, against)) <= wanted
    sure = seen(ROOM, {item.id: 1.0 for item in ROOM if item.id in kind})
    assert found(judge(inference, text, sure)) == wanted


def test_a_nameless_thing_of_another_colour_does_not_conform_whatever_the_model_says(inference):
    blue = nameless(box(40, "", (0.0, 0.0), (0.5, 0.5, 0.9), color="blue"))
    red = nameless(box(41, "", (2.0, 0.0), (0.5, 0.5, 0.9), color="red"))
    for text in ("the red chair", "something red to sit on"):
        judgement = judge(inference, text, seen((blue, red), {40: 1.0, 41: 1.0}))
        assert found(judgement) == {41}
        assert judgement.verdicts[40].score < CONFORM_SCORE


def test_the_table_overrides_the_views(inference):
    instances = seen(ROOM, {7: 0.9, 4: 0.1, 5: 0.1})
    table = {
        7: Opinion(0.0, "A basket cannot be drunk from.", "judge/1"),
        4: Opinion(1.0, "It holds coffee.", "judge/1"),
        5: Opinion(1.0, "It holds tea.", "judge/1"),
    }
    judgement = judge(inference, "I am thirsty", instances, opinions=table)
    assert found(judgement) == {4, 5}
    assert "holds coffee" in judgement.verdicts[4].reason
    assert SAID not in judgement.verdicts[7].reason


def test_what_is_only_an_anchor_is_found_by_its_name_whatever_the_model_wants(inference):
    doubted = seen(ROOM, {1: 0.0, 4: 1.0, 7: 1.0})
    assert found(judge(inference, "everything on the dining table", doubted)) == {4, 7}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I am hungry", True),
        ("the sofa", False),
        ("red things", False),
        ("all furniture", False),
        ("an appliance in which ice cream stays hard", True),
        ("the coffee mug", False),
    ],
)
def test_needs_and_descriptions_are_open_and_names_are_not(text, expected):
    assert is_open(parse(text).phrase) is expected


def test_more_confidence_never_lowers_a_score(inference):
    for text in ("I am hungry", "the sofa", "the largest table", "red things"):
        scores = [
            [verdict.score for verdict in judge(inference, text, seen((item,), {item.id: value})).verdicts.values()]
            for item in ROOM
            for value in np.linspace(0.0, 1.0, 5)
        ]
        for start in range(0, len(scores), 5):
            assert scores[start : start + 5] == sorted(scores[start : start + 5])
