"""A back end is loaded once for all recordings of a process."""

import dataclasses
from unittest.mock import Mock

import numpy as np
import pytest

from lira_ros.configuration import build
from lira_ros.datasets.rooms import RoomSequence
from lira_ros.datasets.sequence import SequenceError
from lira_ros.evaluation.experiment_unit import Task, Unit, run_unit
from lira_ros.evaluation.run_configuration import KEPT_REASONER, KeptReasoner, RunConfiguration
from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning import backends
from lira_ros.reasoning.contracts import Instruction, Reasoner, ReasoningError
from lira_ros.reasoning.language.parser import parse


class Loaded(Reasoner):
    name = "loaded"
    closed = False

    def propose(self, keyframe, instruction):
        raise ReasoningError("says nothing")

    def close(self):
        self.closed = True


@pytest.fixture
def loaded(monkeypatch):
    """Return the list of the back ends that were made."""
    made = []

    def create(*_):
        made.append(Loaded())
        return made[-1]

    for name in ("loaded", "oracle"):
        monkeypatch.setitem(backends.BACKENDS, name, backends.Backend("counts", create))
    return made


def configuration(backend="loaded", **values):
    return build(RunConfiguration, {"reasoner.backend": backend, **values})


@pytest.fixture
def kept():
    holder = KeptReasoner()
    yield holder
    holder.close()


def test_a_back_end_is_made_once_until_another_is_asked_for(loaded, kept):
    lent = []
    for fusion in ("votes", "geometry"):
        with kept.lend(configuration(**{"fusion.method": fusion}), None) as (_, reasoner):
            lent.append(reasoner)
    assert lent == [loaded[0]] * 2
    assert not loaded[0].closed
    with kept.lend(configuration(**{"reasoner.compact.cached_keyframes": 7}), None) as (_, reasoner):
        assert reasoner is loaded[1]
        assert loaded[0].closed
    kept.close()
    assert [item.closed for item in loaded] == [True, True]


def test_one_that_answers_from_the_annotation_is_made_for_each_recording(loaded, kept):
    sequence = Mock(**{"objects.return_value": ()})
    for number in range(2):
        with kept.lend(configuration("oracle"), sequence) as (_, reasoner):
            assert reasoner is loaded[number]
            assert not reasoner.closed
        assert reasoner.closed


@pytest.mark.parametrize(("error", "made"), [(RuntimeError("the memory is full"), 2), (SequenceError("torn"), 1)])
def test_after_a_breakdown_it_is_loaded_anew_but_not_for_a_broken_recording(loaded, kept, error, made):
    def fail():
        with kept.lend(configuration(), None):
            raise error

    with pytest.raises(type(error)):
        fail()
    with kept.lend(configuration(), None):
        pass
    assert len(loaded) == made
    assert loaded[0].closed == (made == 2)


def test_a_kept_back_end_tells_the_keyframes_of_two_recordings_apart(kept):
    """Both have the same id and stamp; what is remembered of the first must not answer for the second."""
    instruction = Instruction("find-1", "sofa", parse("sofa"))
    frame = RoomSequence(seed=0, rate_hz=1.0, width_px=160, duration_s=2.0).frame(0)
    mirrored = dataclasses.replace(
        frame,
        color=np.ascontiguousarray(frame.color[:, ::-1]),
        depth_m=np.ascontiguousarray(frame.depth_m[:, ::-1]),
    )
    keyframes = [Keyframe(1, item, np.array([0.0, 0.0, 1.0]), 0.0) for item in (frame, mirrored)]
    answers, fresh = [], []
    for keyframe in keyframes:
        with kept.lend(configuration("compact"), None) as (_, reasoner):
            answers.append(reasoner.propose(keyframe, instruction))
        reasoner = backends.create_reasoner(configuration("compact").reasoner, reasoner._relevance)
        fresh.append(reasoner.propose(keyframe, instruction))
    for answer, expected in zip(answers, fresh, strict=True):
        assert [item.reason for item in answer.candidates] == [item.reason for item in expected.candidates]
        assert all(
            np.array_equal(one.mask, other.mask)
            for one, other in zip(answer.candidates, expected.candidates, strict=True)
        )
    assert not np.array_equal(answers[0].candidates[0].mask, answers[1].candidates[0].mask)


def test_units_of_an_experiment_share_it(loaded, tiny_recording):
    unit = Unit(str(tiny_recording), (Task("a", configuration()), Task("b", configuration())))
    outcomes = run_unit(unit)
    assert len(outcomes) == 2
    KEPT_REASONER.close()
    assert [item.closed for item in loaded] == [True]
