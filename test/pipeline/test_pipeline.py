"""The whole pipeline on a small generated room with known masks: what is found, how, and what happens on the way."""

import numpy as np
import pytest

from lira_ros.configuration import build
from lira_ros.datasets.rooms import RoomSequence
from lira_ros.datasets.sequence import Sequence, SequenceError
from lira_ros.evaluation.runner import Request, ground_truth, run_sequence
from lira_ros.fusion.contracts import Conformity, SearchState
from lira_ros.pipeline.pipeline import Pipeline, PipelineConfiguration
from lira_ros.reasoning.backends import ReasonerConfiguration, create_reasoner
from lira_ros.reasoning.contracts import Reasoner, ReasoningError
from lira_ros.reasoning.language.parser import InstructionError
from lira_ros.reasoning.relevance import Relevance

# Coarse voxels and small pictures: the order of things is tested here, precision elsewhere.
VALUES = {"mapping.voxel_size_m": 0.04, "fusion.voxel_size_m": 0.04, "mapping.up": "+z"}


@pytest.fixture(scope="module")
def room():
    return RoomSequence(seed=0, rate_hz=2.0, width_px=160, duration_s=14.0)


@pytest.fixture(scope="module")
def frames(room):
    return list(room)


class Recording(Sequence):
    """A room whose frames are drawn once for all tests."""

    def __init__(self, room, frames):
        self.name = room.name
        self.skipped = {}
        self._frames = frames

    def __len__(self):
        return len(self._frames)

    def frame(self, index):
        if self._frames[index] is None:
            raise SequenceError("frame.png: is broken")
        return self._frames[index]

    def stamp_ns(self, index):
        return self._frames[index].stamp_ns


def make(reasoner=None):
    relevance = Relevance(None)
    return Pipeline(build(PipelineConfiguration, VALUES), reasoner, relevance)


def oracle(room):
    return create_reasoner(ReasonerConfiguration("oracle"), Relevance(None), ground_truth(room))


@pytest.fixture(scope="module")
def outcome(room, frames):
    requests = [
        Request("Find the sofa.", 0.0, "sofa"),
        Request("Find the armchair.", 8.0, "late"),
        Request("Find the bed.", 0.0, "bed"),
    ]
    return run_sequence(Recording(room, frames), requests, make, oracle(room))


def test_what_is_asked_for_is_found_where_it_is(room, outcome):
    truth = {item.label: item for item in room.objects()}
    for name, label in (("sofa", "sofa"), ("late", "armchair")):
        assert outcome.statuses[name].state == SearchState.FOUND
        (found,) = outcome.conforming[name]
        assert np.linalg.norm(found.centroid - truth[label].points.mean(axis=0)) < 0.5


def test_what_is_not_there_is_said_not_to_be_there_with_a_reason(outcome):
    status = outcome.statuses["bed"]
    assert status.state == SearchState.SEARCHING  # eleven keyframes leave most of the room unseen
    assert "More is to be seen first" in status.reason
    assert outcome.conforming["bed"] == ()
    assert status.instances_judged > 3
    assert status.reason
    assert all(item.verdicts["bed"].conformity == Conformity.REJECTED for item in outcome.rejected["bed"])
    assert all(item.verdicts["bed"].reason for item in outcome.rejected["bed"])


def test_an_instruction_given_late_is_asked_of_every_keyframe(outcome):
    asked = {keyframe_id for keyframe_id, name in outcome.candidates if name == "late"}
    assert asked == set(outcome.keyframes)
    assert outcome.statuses["late"].keyframes_answered == len(outcome.keyframes)
    assert outcome.statuses["late"].keyframes_pending == 0


def test_the_record_knows_when_and_how_fast(outcome):
    assert [change.state for change in outcome.states if change.instruction_id == "sofa"][-1] == SearchState.FOUND
    assert {publication.instruction_id for publication in outcome.publications} >= {"sofa", "late"}
    assert all(publication.delay_s > 0 for publication in outcome.publications)
    stages = {item.stage for item in outcome.latency.summary()}
    assert {"map a frame", "reason over a keyframe", "sensor stamp to published instance"} <= stages


def test_two_runs_give_the_same_instances(room, frames, outcome):
    again = run_sequence(Recording(room, frames), [Request("Find the sofa.", 0.0, "sofa")], make, oracle(room))
    first, second = outcome.conforming["sofa"], again.conforming["sofa"]
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert np.linalg.norm(a.centroid - b.centroid) < 0.05


def test_a_frame_that_cannot_be_read_is_left_out_and_counted(room, frames):
    recording = Recording(room, [*frames[:2], None, frames[2]])
    record = run_sequence(recording, [], make, oracle(room))
    assert record.latency.summary()[0].count == 3
    assert recording.skipped == {"the frame cannot be read": 1}
    assert recording.notices == ("a frame cannot be read and is left out: frame.png: is broken",)
    with pytest.raises(SequenceError, match=r"none of 2 frames can be read; .*frame.png: is broken"):
        run_sequence(Recording(room, [None, None]), [], make, oracle(room))


class Failing(Reasoner):
    """A reasoner that never answers about keyframe 1 and finds nothing elsewhere."""

    name = "failing"

    def __init__(self, good):
        self._good = good
        self.asked = []

    def propose(self, keyframe, instruction):
        self.asked.append(keyframe.id)
        if keyframe.id == 1:
            raise ReasoningError("out of memory")
        return self._good.propose(keyframe, instruction)


def test_a_failing_keyframe_is_asked_twice_and_the_rest_goes_on(room, frames):
    reasoner = Failing(oracle(room))
    pipeline = make(reasoner)
    pipeline.submit("Find the sofa.", "sofa")
    for frame in frames[:6]:
        pipeline.add_frame(frame)
    pipeline.finish()
    assert reasoner.asked.count(1) == 2
    assert pipeline.failures
    assert all("keyframe 1" in failure for failure in pipeline.failures)
    status = pipeline.status("sofa")
    assert status.keyframes_pending == 0
    assert status.keyframes_answered == len(set(reasoner.asked)) - 1


def test_when_nothing_can_be_answered_the_instruction_has_failed(frames):
    class Broken(Reasoner):
        name = "broken"

        def propose(self, keyframe, instruction):
            raise ReasoningError("the model is gone")

    pipeline = make(Broken())
    pipeline.submit("Find the sofa.", "sofa")
    for frame in frames[:4]:
        pipeline.add_frame(frame)
    pipeline.finish()
    assert pipeline.status("sofa").state == SearchState.FAILED
    assert "the model is gone" in pipeline.status("sofa").reason


def test_cancelling_and_refusing_leave_the_others_alone(room, frames):
    pipeline = make(oracle(room))
    pipeline.submit("Find the sofa.", "a")
    pipeline.submit("Find the chair.", "b")
    pipeline.cancel("b")
    with pytest.raises(InstructionError):
        pipeline.submit("", "c")
    pipeline.add_frame(frames[0])
    assert pipeline.status("a").keyframes_answered == 1
    with pytest.raises(KeyError):
        pipeline.status("b")
