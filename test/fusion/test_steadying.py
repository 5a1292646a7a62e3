"""Verdicts that do not flicker: noisy measures of two chairs of nearly one size, and changes that must not wait."""

import numpy as np
import pytest

from lira_ros.fusion.contracts import Conformity, Instance, Judgement, OrientedBox, SearchState, Verdict
from lira_ros.fusion.steadying import HOLD_KEYFRAMES, HOLD_S, SteadyVerdicts
from lira_ros.fusion.target_inference import TargetInference
from lira_ros.reasoning.contracts import Attributes, Instruction
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.relevance import Relevance

UP = np.array([0.0, 0.0, 1.0])
LARGEST = Instruction("i", "the largest chair", parse("the largest chair"))
ALL = Instruction("i", "all chairs", parse("all chairs"))


def chair(number, x, size, observations=20):
    pose = np.eye(4)
    pose[:3, 3] = (x, 0.0, 0.5 * size[2])
    voxels = np.mgrid[0:5, 0:5, 0:9].reshape(3, -1).T.astype(np.int32) + np.int32([round(x / 0.1), 0, 0])
    return Instance(
        id=number,
        label="chair",
        label_confidence=1.0,
        existence=1.0,
        attributes=Attributes(size_m=size),
        box=OrientedBox(pose, np.array(size)),
        voxel_size_m=0.1,
        voxels=voxels,
        voxel_colors=np.full(voxels.shape, 90, dtype=np.uint8),
        first_seen_ns=0,
        last_seen_ns=0,
        observations=observations,
        names={"chair": 1.0},
    )


def judged(inference, instruction, instances):
    return inference.judge(
        instances,
        instruction,
        up=UP,
        camera_position=np.array([0.0, -4.0, 1.5]),
        keyframes_answered=20,
        keyframes_pending=0,
    )


def conforming(judgement):
    return frozenset(key for key, verdict in judgement.verdicts.items() if verdict.conformity is Conformity.CONFORMS)


def judgement(**certainties):
    """Return a judgement of instances a and b: positive certainty = conforms, negative = rejected."""
    verdicts = {}
    for name, value in certainties.items():
        conformity = Conformity.CONFORMS if value > 0 else Conformity.REJECTED
        verdicts[{"a": 1, "b": 2}[name]] = Verdict(conformity, 0.5, "so.", "", abs(value))
    found = any(value > 0 for value in certainties.values())
    return Judgement(SearchState.FOUND if found else SearchState.NONE_CONFORM, "as measured", verdicts)


def at(step):
    """Return stamp and number of keyframes of a step of a second."""
    return {"stamp_ns": step * 10**9, "keyframes": 10 + step}


@pytest.mark.parametrize("seed", range(5))
def test_noise_turns_a_tie_less_often_and_a_clear_difference_never(seed):
    inference, random = TargetInference(Relevance(None)), np.random.default_rng(seed)
    flips = {}
    for name, second in (("tie", 0.52), ("clear", 0.7)):
        steady = SteadyVerdicts(LARGEST.constraint)
        raw_before = shown_before = None
        flips[name] = [0, 0]
        for step in range(60):
            sizes = np.array([[0.5, 0.5, 0.9], [second, 0.5, 0.9]]) + random.normal(0.0, 0.02, (2, 3))
            raw = judged(inference, LARGEST, [chair(1, 0.0, tuple(sizes[0])), chair(2, 2.0, tuple(sizes[1]))])
            shown = steady.steady(raw, **at(step))
            assert len(conforming(shown)) == 1
            flips[name][0] += raw_before not in (None, conforming(raw))
            flips[name][1] += shown_before not in (None, conforming(shown))
            raw_before, shown_before = conforming(raw), conforming(shown)
    assert flips["tie"][1] < 0.5 * flips["tie"][0]
    assert flips["clear"][1] <= flips["clear"][0]


def test_a_tie_says_so_and_halves_the_score():
    inference = TargetInference(Relevance(None))
    alike = judged(inference, LARGEST, [chair(1, 0.0, (0.5, 0.5, 0.9)), chair(2, 2.0, (0.505, 0.5, 0.9))])
    assert conforming(alike) == {2}
    assert "cannot be told apart yet" in alike.verdicts[2].reason
    assert "cannot be told apart yet" in alike.verdicts[1].reason
    assert 0.5 <= alike.verdicts[2].certainty < 0.6
    clear = judged(inference, LARGEST, [chair(1, 0.0, (0.5, 0.5, 0.9)), chair(2, 2.0, (0.9, 0.5, 0.9))])
    assert "cannot be told apart" not in clear.verdicts[2].reason
    assert clear.verdicts[2].certainty > 0.95
    assert alike.verdicts[2].score < 0.7 * clear.verdicts[2].score
    # The same sizes after a single look are less certain.
    early = [chair(1, 0.0, (0.5, 0.5, 0.9), observations=1), chair(2, 2.0, (0.9, 0.5, 0.9), observations=1)]
    assert judged(inference, LARGEST, early).verdicts[2].certainty < clear.verdicts[2].certainty


def test_a_change_that_holds_is_shown():
    steady = SteadyVerdicts(LARGEST.constraint)
    assert conforming(steady.steady(judgement(a=0.6, b=-0.6), **at(0))) == {1}
    waited = [conforming(steady.steady(judgement(a=-0.6, b=0.6), **at(step))) for step in range(1, 8)]
    assert HOLD_KEYFRAMES == HOLD_S == 3  # one keyframe a second
    assert waited == [{1}] * 3 + [{2}] * 4


def test_a_change_that_does_not_hold_begins_anew():
    steady = SteadyVerdicts(LARGEST.constraint)
    steady.steady(judgement(a=0.6, b=-0.6), **at(0))
    for step in range(1, 12):
        back = step % 3 == 0
        shown = steady.steady(judgement(a=0.6 if back else -0.6, b=-0.6 if back else 0.6), **at(step))
        assert conforming(shown) == {1}


def test_what_is_certain_or_newly_found_never_waits():
    steady = SteadyVerdicts(LARGEST.constraint)
    assert conforming(steady.steady(judgement(a=-0.6), **at(0))) == set()
    assert conforming(steady.steady(judgement(a=0.6), **at(0))) == {1}  # nothing else stays
    assert conforming(steady.steady(judgement(a=-0.95, b=0.95), **at(0))) == {2}
    several = SteadyVerdicts(ALL.constraint)
    several.steady(judgement(a=0.9, b=-0.6), **at(0))
    assert conforming(several.steady(judgement(a=-0.6, b=0.6), **at(1))) == {1, 2}


def test_what_is_new_and_a_tie_takes_no_place_that_is_kept():
    steady = SteadyVerdicts(LARGEST.constraint)
    steady.steady(judgement(a=0.6), **at(0))
    assert conforming(steady.steady(judgement(a=-0.6, b=0.6), **at(1))) == {1}
    assert conforming(steady.steady(judgement(a=-0.9, b=0.9), **at(1))) == {2}


def test_what_is_gone_does_not_stay_and_frees_its_place():
    steady = SteadyVerdicts(LARGEST.constraint)
    steady.steady(judgement(a=0.6, b=-0.6), **at(0))
    assert conforming(steady.steady(judgement(b=0.6), **at(0))) == {2}


def test_an_answer_that_stays_says_why():
    steady = SteadyVerdicts(LARGEST.constraint)
    steady.steady(judgement(a=0.6, b=-0.9), **at(0))
    shown = steady.steady(judgement(a=-0.6, b=-0.9), **at(2))
    assert shown.state is SearchState.FOUND
    assert "earlier answer stays" in shown.verdicts[1].reason
    assert "not certainly" in shown.reason
    assert shown.verdicts[2] == judgement(b=-0.9).verdicts[2]


def test_answers_that_come_in_while_the_sensor_stands_still_are_no_flicker():
    steady = SteadyVerdicts(LARGEST.constraint)
    steady.steady(judgement(a=0.6), stamp_ns=5, keyframes=1)
    newer = steady.steady(judgement(a=-0.6, b=0.6), stamp_ns=5, keyframes=2)
    assert conforming(newer) == {2}
    # Once the robot goes on, what was shown at an earlier stamp is kept.
    kept = steady.steady(judgement(a=0.6, b=-0.6), stamp_ns=6, keyframes=3)
    assert conforming(kept) == {2}
