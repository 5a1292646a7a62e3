"""A walk that is saved halfway and goes on in a new pipeline ends as the one that was not interrupted."""

import numpy as np
import pytest
from test_pipeline import make, oracle

from lira_ros.datasets.rooms import RoomSequence
from lira_ros.fusion.contracts import Conformity
from lira_ros.reasoning.observed import ObservedReasoner

TEXTS = ("find the sofa", "find the fridge")


class Counting(ObservedReasoner):
    """Notes what was asked."""

    def __init__(self, reasoner):
        super().__init__(reasoner)
        self.asked = []

    def observe(self, task, outcome, latency_s):
        self.asked.append((task.keyframe.id, task.instruction.id))


@pytest.fixture(scope="module")
def room():
    return RoomSequence(seed=0, rate_hz=2.0, width_px=160, duration_s=8.0)


def begun(room):
    reasoner = Counting(oracle(room))
    return make(reasoner), reasoner


def test_a_resumed_walk_ends_as_one_that_was_not_interrupted(room, tmp_path):
    frames = list(room)
    whole, whole_reasoner = begun(room)
    first, first_reasoner = begun(room)
    for pipeline in (whole, first):
        names = [pipeline.submit(text, stamp_ns=3).id for text in TEXTS]
        for frame in frames[:9]:
            pipeline.add_frame(frame)
    assert first.save(tmp_path / "half") >= 1
    before = {item.id: item for item in first.map.fusion.instances()}
    del first

    second, second_reasoner = begun(room)
    second.submit("find the lamp", "find-1")
    second.load(tmp_path / "half")
    assert [(item.id, item.text, item.submitted_ns) for item in second.book.active] == [
        (name, text, 3) for name, text in zip(names, TEXTS, strict=True)
    ]
    assert second_reasoner.asked == []
    assert {item.id for item in second.map.fusion.instances()} >= before.keys()  # what was open is a fragment now
    for pipeline in (whole, second):
        for frame in frames[9:]:
            pipeline.add_frame(frame)
        pipeline.finish()
    # Nothing is asked twice; but the first frame after a load is a keyframe, wherever the robot is.
    asked = first_reasoner.asked + second_reasoner.asked
    assert len(asked) == len(set(asked))
    assert 0 <= len(asked) - len(whole_reasoner.asked) <= len(TEXTS)

    one, other = ({item.id: item for item in pipeline.map.fusion.instances()} for pipeline in (whole, second))
    assert one.keys() == other.keys()
    both = 0
    for number, instance in one.items():
        assert other[number].label == instance.label
        assert 0 <= other[number].observations - instance.observations <= 1
        assert other[number].merged_from == instance.merged_from
        # Depth was rounded to millimetres, and the fragment that was open when it was saved is closed there.
        shared = len(set(map(tuple, instance.voxels)) & set(map(tuple, other[number].voxels)))
        assert shared >= 0.7 * max(len(instance.voxels), len(other[number].voxels))
        both += shared
    assert both >= 0.9 * sum(len(instance.voxels) for instance in one.values())
    for name in names:
        mine, theirs = whole.judgement(name), second.judgement(name)
        assert mine.state == theirs.state
        conforming = [[n for n, v in j.verdicts.items() if v.conformity is Conformity.CONFORMS] for j in (mine, theirs)]
        assert conforming[0] == conforming[1]
    assert any(whole.conforming(name) for name in names)
    np.testing.assert_allclose(
        second.mapper.mesh().vertices.mean(axis=0), whole.mapper.mesh().vertices.mean(axis=0), atol=0.05
    )
    # A new instruction is asked about the whole walk.
    late = second.submit("find the table").id
    second.finish()
    assert {key for key, name in second_reasoner.asked if name == late} == {key for key, _ in asked}
