import dataclasses
import re

import numpy as np
import pytest

from lira_ros.fusion.contracts import Conformity, Instance, OrientedBox, SearchState
from lira_ros.fusion.relation_table import RelationTable
from lira_ros.fusion.target_inference import MIN_KEYFRAMES, TargetInference
from lira_ros.reasoning.constraint import RelationKind
from lira_ros.reasoning.contracts import Attributes, Instruction
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.measurement import measure
from lira_ros.reasoning.relevance import Relevance

VOXEL_M = 0.04
UP = np.array([0.0, 0.0, 1.0])
CAMERA = np.array([0.0, -6.0, 1.5])  # looks along +y: +x is right


def box(number, label, center, size, *, bottom=0.0, color="", support="floor", confidence=1.0, round_=False):
    """Build the surface of an upright box (or cylinder) that stands at ``bottom``."""
    low = np.array([center[0] - size[0] / 2, center[1] - size[1] / 2, bottom])
    steps = [np.arange(low[k], low[k] + size[k] + 1e-9, VOXEL_M / 2) for k in range(3)]
    grid = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    high = low + np.array(size)
    shell = ((grid < low + VOXEL_M / 2) | (grid > high - VOXEL_M / 2)).any(axis=1)
    if round_:
        radius = np.hypot(*((grid[:, :2] - np.array(center)) / (np.array(size[:2]) / 2)).T)
        shell = (radius <= 1.0) & ((radius > 0.85) | (grid[:, 2] > high[2] - VOXEL_M / 2))
    voxels = np.unique(np.round(grid[shell] / VOXEL_M).astype(np.int32), axis=0)
    colors = np.full((len(voxels), 3), 120, dtype=np.uint8)
    attributes = dataclasses.replace(measure(voxels * VOXEL_M, colors, UP, 0.0, support), color=color)
    pose = np.eye(4)
    pose[:3, 3] = (low + high) / 2
    return Instance(
        id=number,
        label=label,
        label_confidence=confidence if label else 0.0,
        existence=1.0,
        attributes=attributes,
        box=OrientedBox(pose, np.array(size)),
        voxel_size_m=VOXEL_M,
        voxels=voxels,
        voxel_colors=colors,
        first_seen_ns=0,
        last_seen_ns=1,
        observations=4,
        names={label: 1.0} if label else {},
    )


ROOM = (
    box(1, "dining table", (0.0, 0.0), (2.0, 1.0, 0.74)),
    box(2, "side table", (3.0, 0.0), (0.6, 0.6, 0.5), round_=True),
    box(3, "sofa", (-3.0, 0.0), (0.9, 2.0, 0.8), color="gray"),
    box(4, "coffee mug", (0.6, 0.2), (0.1, 0.1, 0.1), bottom=0.76, color="red", support="surface"),
    box(5, "coffee mug", (3.0, 0.0), (0.1, 0.1, 0.1), bottom=0.52, color="blue", support="surface"),
    box(6, "backpack", (0.0, 0.1), (0.4, 0.3, 0.4), color="black"),  # under the dining table
    box(7, "fruit basket", (-0.6, 0.0), (0.4, 0.4, 0.16), bottom=0.76, color="yellow", support="surface"),
    box(8, "chair", (1.3, 0.0), (0.5, 0.5, 0.9), color="brown"),
    box(9, "chair", (-1.5, 2.5), (0.5, 0.5, 0.9), color="black"),
    box(10, "chair", (3.9, 0.3), (0.55, 0.5, 1.0), color="brown"),
    box(11, "painting", (-3.4, 0.0), (0.06, 1.0, 0.7), bottom=1.2, support="wall"),
    box(12, "pillow", (-3.0, 0.5), (0.4, 0.4, 0.2), bottom=0.82, color="red", support="surface"),
)


@pytest.fixture(scope="module")
def inference() -> TargetInference:
    return TargetInference(Relevance(None))  # by word lists: the program must not need an encoder


def judge(inference, text, instances=ROOM, answered=20, pending=0):
    return inference.judge(
        instances,
        Instruction("i", text, parse(text)),
        up=UP,
        camera_position=CAMERA,
        keyframes_answered=answered,
        keyframes_pending=pending,
    )


def found(judgement):
    return {number for number, verdict in judgement.verdicts.items() if verdict.conformity is Conformity.CONFORMS}


CASES = {
    "the sofa": {3},
    "Find the fridge.": set(),
    "all chairs": {8, 9, 10},
    "brown chairs": {8, 10},
    "a chair that is not brown": {9},
    "the chairs except the black one": {8, 10},
    "the tallest chair": {10},
    "Which table is the largest?": {1},
    "the smallest table": {2},
    "the second largest table": {2},
    "the third largest table": set(),
    "the round table": {2},
    "tables that are not round": {1},
    "tables, but not the round one": {1},
    "everything on the dining table": {4, 7},
    "the mug on the side table": {5},
    "the mug that is not on the side table": {4},
    "What is under the dining table?": {6},
    "the painting above the sofa": {11},
    "the table with a mug on it": {1, 2},
    "the table that has a fruit basket on it": {1},
    "a table without a fruit basket on it": {2},
    "the chair next to the side table": {10},
    "the chair closest to the sofa": {9},
    "the chair farthest from the sofa": {10},
    "the second closest chair to the sofa": {8},
    "the chair between the dining table and the side table": {8},
    "the chair to the left of the dining table": {9},
    "the leftmost chair": {9},
    "the second chair from the right": {8},
    "the chair behind the dining table": {9},
    "the red things on the sofa": {12},
    "things on the floor": {1, 2, 3, 6, 8, 9, 10},
    "the mug closest to the fruit basket on the dining table": {4},
    "the backpack or the pillow": {6, 12},
    "the pillow and the painting": {11, 12},
    "I am hungry": {7},
    "somewhere several people can sit": {3},
    "the highest mug": {4},
    "the nearest chair": {8},
    "the mug on the table with the fruit basket": {4},
    "the chair far from the side table": {9},
}


@pytest.mark.parametrize(("text", "wanted"), CASES.items())
def test_answers(inference, text, wanted):
    judgement = judge(inference, text)
    reasons = "\n".join(f"{number}: {verdict.reason}" for number, verdict in judgement.verdicts.items())
    assert found(judgement) == wanted, reasons
    assert judgement.state is (SearchState.FOUND if wanted else SearchState.NONE_CONFORM)


@pytest.mark.parametrize("text", CASES)
def test_every_instance_has_a_reason(inference, text):
    judgement = judge(inference, text)
    assert judgement.verdicts.keys() == {instance.id for instance in ROOM}
    for verdict in judgement.verdicts.values():
        assert verdict.reason.endswith(".")
        assert 0.0 <= verdict.score <= 1.0
    assert judgement.reason


def test_reasons_name_what_decided(inference):
    reasons = judge(inference, "the largest table").verdicts
    assert "dining table #1" in reasons[2].reason
    assert "larger" in reasons[2].reason
    assert "1.4 m3 > 0.16 m3" in reasons[2].reason
    assert "the largest of 2 tables: 1.4 m3 > 0.16 m3 (side table #2)" in reasons[1].reason
    assert "black" in judge(inference, "brown chairs").verdicts[9].reason
    none = judge(inference, "the purple chair")
    assert none.state is SearchState.NONE_CONFORM
    assert "12 things" in none.reason
    assert "closest" in none.reason


def test_searching_until_keyframes_are_answered(inference):
    assert judge(inference, "the fridge", answered=0, pending=3).state is SearchState.PENDING
    assert judge(inference, "the fridge", answered=9, pending=3).state is SearchState.SEARCHING
    assert judge(inference, "the fridge", answered=MIN_KEYFRAMES - 1).state is SearchState.SEARCHING
    assert judge(inference, "the fridge", answered=MIN_KEYFRAMES).state is SearchState.NONE_CONFORM
    assert judge(inference, "the sofa", answered=1, pending=3).state is SearchState.FOUND
    assert judge(inference, "the sofa", instances=(), answered=5).state is SearchState.NONE_CONFORM


def test_count_keeps_the_best_and_says_when_there_are_fewer(inference):
    assert len(found(judge(inference, "two chairs"))) == 2
    few = judge(inference, "five chairs")
    assert len(found(few)) == 3
    assert "3 of 5" in few.reason


def test_order_of_instances_does_not_matter(inference):
    for text in ("the largest table", "two chairs", "the chair next to the side table"):
        assert judge(inference, text, ROOM[::-1]) == judge(inference, text)


def test_measures_alone_find_furniture_and_admit_what_they_cannot_tell(inference):
    unnamed = tuple(dataclasses.replace(item, label="", label_confidence=0.0, names={}) for item in ROOM)
    assert 3 in found(judge(inference, "the long piece of furniture for several people to sit on", unnamed))
    assert found(judge(inference, "the foosball table", unnamed)) == set()
    assert found(judge(inference, "the guitar", unnamed)) == set()


def test_votes_of_single_views_do_not_outweigh_the_whole(inference):
    voted = dataclasses.replace(ROOM[0], label="refrigerator", label_confidence=0.2, names={"refrigerator": 1.0})
    assert found(judge(inference, "the fridge", (voted, *ROOM[1:]))) == set()


def test_missing_anchor_is_named(inference):
    judgement = judge(inference, "the chair next to the piano")
    assert found(judgement) == set()
    assert "no piano" in judgement.verdicts[8].reason


def test_labels_that_state_the_relation_themselves(inference):
    crate = box(20, "red crate with bottles", (0.0, 0.0), (0.5, 0.3, 0.3), bottom=0.76, color="red", support="surface")
    other = box(21, "red crate", (0.7, 0.0), (0.5, 0.3, 0.3), bottom=0.76, color="red", support="surface")
    assert found(judge(inference, "the crate filled with bottles", (ROOM[0], crate, other))) == {20}


def test_things_unmeasured_and_unnamed_are_judged_too(inference):
    blank = dataclasses.replace(ROOM[5], label="", names={}, label_confidence=0.0, attributes=Attributes())
    judgement = judge(inference, "the largest black bag near the sofa", (blank, *ROOM[:3]))
    assert blank.id in judgement.verdicts


@pytest.mark.parametrize("turn", [np.eye(3), np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])])
def test_relations_follow_gravity(turn):
    """The same scene with y down instead of z up gives the same relations."""

    def turned(instance):
        voxels = np.round(instance.voxels @ turn.T).astype(np.int32)
        return dataclasses.replace(instance, voxels=voxels)

    relations = RelationTable()
    relations.look_from(turn @ UP, turn @ CAMERA)
    table, mug, bag, chair = (turned(ROOM[k]) for k in (0, 3, 5, 7))
    assert relations.relate(RelationKind.ON, mug, (table,)).holds
    assert not relations.relate(RelationKind.ON, table, (mug,)).holds
    assert not relations.relate(RelationKind.ON, bag, (table,)).holds
    assert relations.relate(RelationKind.UNDER, bag, (table,)).holds
    assert relations.relate(RelationKind.HOLDS, table, (mug,)).holds
    assert relations.relate(RelationKind.RIGHT_OF, chair, (table,)).holds
    assert not relations.relate(RelationKind.LEFT_OF, chair, (table,)).holds
    assert relations.gap(table, chair) == relations.gap(chair, table) == pytest.approx(0.05, abs=0.05)


def test_a_thing_is_published_under_the_name_by_which_it_conforms(inference):
    cup = box(20, "fruit", (0.6, 0.2), (0.1, 0.1, 0.1), bottom=0.76, color="red", support="surface", confidence=0.14)
    judgement = judge(inference, "the red mug", (cup,))
    assert found(judgement) == {20}
    assert judgement.verdicts[20].label == "mug"
    assert "colour and the size of a mug" in judgement.verdicts[20].reason
    sure = judge(inference, "the red mug")
    assert found(sure) == {4}
    assert sure.verdicts[4].label == ""  # a label that somebody saw stays


def test_a_part_of_an_answer_is_no_second_answer(inference):
    whole = box(21, "table", (0.0, 0.0), (2.0, 1.0, 0.06), bottom=0.68, confidence=0.3)
    part = box(22, "table", (0.45, 0.0), (1.0, 0.9, 0.06), bottom=0.68, confidence=0.3)
    apart = box(23, "table", (4.0, 0.0), (2.0, 1.0, 0.06), bottom=0.68, confidence=0.3)
    judgement = judge(inference, "tables", (whole, part, apart))
    assert found(judgement) == {21, 23}
    assert "part of the table #21" in judgement.verdicts[22].reason


def test_a_single_view_is_not_enough_after_many(inference):
    once = dataclasses.replace(
        box(24, "table", (0.0, 0.0), (2.0, 1.0, 0.06), bottom=0.68, confidence=0.3), observations=1
    )
    assert found(judge(inference, "tables", (once,), answered=2)) == {24}
    later = judge(inference, "tables", (once,), answered=50)
    assert found(later) == set()
    assert "seen only once" in later.verdicts[24].reason


def test_what_stands_on_the_floor_is_not_on_furniture():
    relations = RelationTable()
    relations.look_from(UP, CAMERA)
    sofa = box(25, "sofa", (0.0, 0.0), (2.0, 0.9, 0.6))
    lamp = dataclasses.replace(box(26, "lamp", (0.0, 0.0), (0.3, 0.3, 1.0), bottom=0.62), attributes=Attributes(
        size_m=(0.3, 0.3, 1.6), bottom_height_m=0.04, top_height_m=1.62, supported_by="floor"))  # fmt: skip
    assert not relations.relate(RelationKind.ON, lamp, (sofa,)).holds
    cushion = box(27, "pillow", (0.0, 0.0), (0.4, 0.4, 0.2), bottom=0.62, support="surface")
    assert relations.relate(RelationKind.ON, cushion, (sofa,)).holds


def test_an_instance_that_changed_is_matched_anew(inference):
    def room(mug):
        return [mug if item.id == mug.id else item for item in ROOM]

    mug = ROOM[3]
    assert found(judge(inference, "the red mug")) == {4}
    blue = dataclasses.replace(mug, attributes=dataclasses.replace(mug.attributes, color="blue"))
    assert found(judge(inference, "the red mug", room(blue))) == set()
    bottle = dataclasses.replace(mug, label="bottle", names={"bottle": 1.0})
    assert found(judge(inference, "the red mug", room(bottle))) == set()
    assert found(judge(inference, "the red mug")) == {4}


def test_too_few_means_none(inference):
    # There are two mugs.
    enough = judge(inference, "If there is more than one mug, show me the mugs.")
    assert found(enough) == {4, 5}
    few = judge(inference, "If there are more than two mugs, show me the mugs.")
    assert found(few) == set()
    assert few.state is SearchState.NONE_CONFORM
    assert "only 2 and at least 3 are asked for" in few.verdicts[4].reason


def test_the_one_in_the_middle(inference):
    row = [box(30 + place, "box", (place, 0.0), (0.3, 0.3, 0.3)) for place in (0, 1, 2)]
    judgement = judge(inference, "the middle box", row)
    assert found(judgement) == {31}
    assert "0.00 m from their middle" in judgement.verdicts[31].reason
    assert "nearer to their middle" in judgement.verdicts[30].reason


def test_the_third_from_the_top(inference):
    stack = [box(40 + level, "box", (0.0, 0.0), (0.4, 0.4, 0.3), bottom=0.3 * level) for level in range(4)]
    assert found(judge(inference, "In the stack of boxes, this is the third one from the top.", stack)) == {41}


# What was said, an instance that it rejects, and what its reason must name.
REJECTIONS = {
    "size": ("the largest table", 2, r"dining table #1 is larger: 1\.4 m3 > 0\.16 m3"),
    "second size": ("the second largest chair", 10, r"larger than the chair #8|cannot be told apart"),
    "height": ("the tallest chair", 8, r"chair #10 is taller: 1\.00 m > 0\.88 m high"),
    "distance": ("the chair closest to the sofa", 8, r"chair #9 is closer: \d\.\d\d m < \d\.\d\d m from the sofa #3"),
    "camera": ("the nearest chair", 10, r"chair #8 is closer: \d\.\d\d m < \d\.\d\d m from the camera"),
    "place": (
        "the leftmost chair",
        8,
        r"chair #9 is farther left: 2\.\d\d m left of their middle < 0\.\d\d m right of",
    ),
    "too few": ("the third largest table", 1, "only 2 to choose the third largest from"),
    "colour": ("brown chairs", 9, r"black, not brown.*fits 0\.0\d of 0\.35 needed"),
    "kind": ("the sofa", 8, r"rather a chair than a sofa, 0\.5 x 0\.5 m, fits 0\.00 of 0\.35 needed"),
    "near": ("the mug near the sofa", 4, r"\d\.\d\d m, more than 1\.00 m, from the sofa #3"),
    "far": ("the chair far from the side table", 10, r"0\.\d\d m, less than 1\.5 m, away from the side table #2"),
    "on": ("the mug on the side table", 4, r"\d\.\d\d m beside, not on the side table #2"),
    "under": ("the chair under the dining table", 9, r"1\.\d\d m beside, not under the dining table #1"),
    "above": ("the painting above the dining table", 11, r"\d\.\d\d m beside, not above the dining table #1"),
    "between": ("the chair between the dining table and the sofa", 8, r"\d\.\d\d m beyond, not between"),
    "viewer": ("the chair to the left of the dining table", 8, r"1\.\d\d m to the right and 0\.\d\d m \w+"),
    "negation": ("the mug that is not on the side table", 5, "but on the side table #2"),
    "exclusion": ("tables, but not the round one", 2, r"to leave out \(0\.95 against \d\.\d\d\)"),
    "count": ("two chairs", 10, r"only 2 of 3 are wanted, .* fits at least as well \(\d\.\d\d >= \d\.\d\d\)"),
    "number": ("If there are more than two mugs, show me the mugs.", 4, "only 2 and at least 3 are asked for"),
    "need": ("I am hungry", 3, r"does not help with that.*fits 0\.\d\d of 0\.35 needed"),
}


@pytest.mark.parametrize("kind", REJECTIONS)
def test_what_is_rejected_is_told_the_numbers(inference, kind):
    text, number, words = REJECTIONS[kind]
    verdict = judge(inference, text).verdicts[number]
    assert verdict.conformity is Conformity.REJECTED
    assert re.search(words, verdict.reason), verdict.reason


def test_the_numbers_of_its_rivals_say_why_one_was_chosen(inference):
    assert "the second largest of 2 tables: 0.16 m3 < 1.4 m3 (dining table #1)" in (
        judge(inference, "the second largest table").verdicts[2].reason
    )
    assert re.search(
        r"the second closest of 3 chairs: \d\.\d\d m from the sofa #3 > \d\.\d\d m \(chair #9\), < \d\.\d\d m \(chair",
        judge(inference, "the second closest chair to the sofa").verdicts[8].reason,
    )
    assert "the only one" in judge(inference, "the largest sofa").verdicts[3].reason


@pytest.mark.parametrize(("white_share", "conforms"), [(0.0, False), (0.01, False), (0.1, True)])
def test_a_neighbouring_colour_must_be_seen_somewhere(inference, white_share, conforms):
    chair = box(50, "chair", (0.0, 0.0), (0.5, 0.5, 0.9), color="gray")
    colors = chair.voxel_colors.copy()
    colors[: round(white_share * len(colors))] = 240
    chair = dataclasses.replace(chair, voxel_colors=colors)
    judgement = judge(inference, "the white chair", (chair,))
    assert found(judgement) == ({50} if conforms else set())
    assert re.search(r"gray, not white \(\d+ % of it looks white\)", judgement.verdicts[50].reason)
    assert found(judge(inference, "the gray chair", (chair,))) == {50}


def test_certainty_follows_the_views(inference):
    few = tuple(dataclasses.replace(item, observations=1) for item in ROOM)
    many = tuple(dataclasses.replace(item, observations=30) for item in ROOM)
    for text, number in (("the tallest chair", 10), ("the chair closest to the sofa", 9), ("brown chairs", 8)):
        sure = judge(inference, text, many).verdicts[number]
        guessed = judge(inference, text, few).verdicts[number]
        assert 0.5 <= guessed.certainty < sure.certainty <= 1.0
        assert guessed.score < sure.score


def test_a_table_of_which_the_top_alone_was_seen_is_as_large_as_it_stands(inference):
    top = box(60, "dining table", (0.0, 0.0), (3.0, 1.0, 0.08), bottom=0.7, support="")
    whole = box(61, "foosball table", (4.0, 0.0), (1.4, 0.9, 0.5), bottom=0.5, support="")
    assert found(judge(inference, "Which table is the largest?", (top, whole))) == {60}
    box_on_top = box(62, "box", (0.0, 0.0), (0.8, 0.4, 0.2), bottom=0.78, support="surface")
    box_below = box(63, "box", (2.0, 0.0), (0.6, 0.6, 0.3), support="floor")
    assert found(judge(inference, "the largest box", (box_on_top, box_below))) == {63}


def test_a_sliver_of_a_thing_is_not_counted(inference):
    ball = box(70, "ball", (0.0, 0.0), (0.4, 0.4, 0.4))
    sliver = box(71, "ball", (0.19, 0.0), (0.04, 0.08, 0.08), bottom=0.16)
    small = box(72, "ball", (0.28, 0.0), (0.12, 0.12, 0.12))  # touches the large one
    assert len(small.voxels) < 0.1 * len(ball.voxels)
    assert found(judge(inference, "all balls", (ball, sliver, small))) == {70, 72}
    assert "piece of the ball #70" in judge(inference, "all balls", (ball, sliver, small)).verdicts[71].reason
    assert found(judge(inference, "If there are more than two balls, show the balls.", (ball, sliver, small))) == set()
