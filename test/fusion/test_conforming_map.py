"""From fused instances to published maps: progress, states, late lists, queries. Judging itself is faked by label."""

import dataclasses

import numpy as np
import pytest
from box_scene import Box, answer, keyframe, walk

from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.conforming_map import ConformingMap, ReasoningProgress
from lira_ros.fusion.contracts import Conformity, Judgement, SearchState, Verdict
from lira_ros.fusion.instance_fusion import InstanceFusion
from lira_ros.fusion.instance_query import InstanceQuery, UnknownAnchorError
from lira_ros.reasoning.constraint import Constraint, Phrase, RelationKind
from lira_ros.reasoning.contracts import Instruction, Opinion

BOXES = (Box(1, (-0.2, -0.2, 0.0), (0.2, 0.2, 0.4)),)
WALLS = (
    Box(2, (-2.1, -2.1, 0.0), (2.1, -2.0, 2.5)),
    Box(3, (-2.1, 2.0, 0.0), (2.1, 2.1, 2.5)),
    Box(4, (-2.1, -2.1, 0.0), (-2.0, 2.1, 2.5)),
    Box(5, (2.0, -2.1, 0.0), (2.1, 2.1, 2.5)),
)
DIRECTIONS = 12


class ByLabel:
    """Stands for the target inference: what bears the label asked for conforms."""

    def judge(self, instances, instruction, *, up, camera_position, keyframes_answered, keyframes_pending, opinions=()):
        fits = {item.id: item.label == instruction.constraint.phrase.head or item.id in opinions for item in instances}
        verdicts = {
            number: Verdict(Conformity.CONFORMS if good else Conformity.REJECTED, float(good), "by its label")
            for number, good in fits.items()
        }
        if any(fits.values()):
            return Judgement(SearchState.FOUND, "found", verdicts)
        state = SearchState.SEARCHING if keyframes_pending else SearchState.NONE_CONFORM
        return Judgement(state if keyframes_answered else SearchState.PENDING, "none", verdicts)


def asked(label, name):
    return Instruction(name, label, Constraint(Phrase(label, head=label)))


def make(*instructions):
    subject = ConformingMap(InstanceFusion(FusionConfiguration()), ByLabel())
    subject.set_instructions(instructions)
    return subject


def answers(frames, name, label="box"):
    for frame, ids in frames:
        yield answer(frame, [ids == 1], [label], instruction_id=name)


def feed(subject, frames, name, label="box"):
    for frame, _ in frames:
        subject.add_keyframe(frame)
    for item in answers(frames, name, label):
        subject.add_candidates(item)


def test_what_conforms_is_published_as_a_growing_map():
    subject = make(asked("box", "a"), asked("bed", "b"))
    frames = walk(BOXES, 4)
    feed(subject, frames, "a")
    changes = {change.instruction_id: change for change in subject.refresh()}
    assert changes["a"].status.state == SearchState.FOUND
    assert changes["a"].delta.base_revision == 0
    assert len(subject.view("a").instances) == 1
    assert subject.view("b").instances == ()
    (rejected,) = subject.rejected("b")
    assert rejected.verdicts["b"].conformity == Conformity.REJECTED
    assert subject.refresh() == ()


def test_answers_may_come_before_the_list_of_instructions():
    subject = make()
    frames = walk(BOXES, 3)
    feed(subject, frames, "a")
    subject.set_instructions([asked("box", "a")])
    subject.refresh()
    assert subject.status("a").keyframes_answered == 3
    assert subject.status("a").state == SearchState.FOUND


def test_an_instruction_with_another_text_starts_anew_and_others_stay():
    subject = make(asked("box", "a"), asked("box", "b"))
    frames = walk(BOXES, 3)
    feed(subject, frames, "a")
    subject.refresh()
    assert subject.set_instructions([asked("bed", "a"), asked("box", "b")]) == ("a",)
    assert subject.view("a").instances == ()
    assert subject.status("a").state == SearchState.PENDING
    subject.refresh()
    assert len(subject.view("b").instances) == 1


def look_around(walls, rounds):
    """Return keyframes of a camera that turns on the spot in a closed room, beside a box."""
    place, frames = (1.2, 0.6, 1.3), []
    for number in range(DIRECTIONS):
        angle = number * 2 * np.pi / DIRECTIONS
        frames.append(keyframe(1, BOXES + walls, place, np.add(place, (np.cos(angle), np.sin(angle), -0.3))))
    numbered = []
    for number, (seen, ids) in enumerate(frames * rounds, 1):
        frame = dataclasses.replace(seen.frame, stamp_ns=number * 10**8)
        numbered.append((dataclasses.replace(seen, id=number, frame=frame), ids))
    return numbered


def test_none_conforms_only_when_everything_is_answered_and_stays_while_few_are_pending():
    subject = make(asked("bed", "a"))
    feed(subject, look_around(WALLS, 2), "a")
    subject.note_progress("a", ReasoningProgress(answered=24, pending=1))
    subject.refresh()
    assert subject.status("a").state == SearchState.SEARCHING
    subject.note_progress("a", ReasoningProgress(answered=24, pending=0))
    subject.refresh()
    assert subject.status("a").state == SearchState.NONE_CONFORM
    subject.note_progress("a", ReasoningProgress(answered=24, pending=3))
    subject.refresh()
    assert subject.status("a").state == SearchState.NONE_CONFORM
    assert subject.status("a").keyframes_pending == 3
    subject.note_progress("a", ReasoningProgress(answered=24, pending=9))
    subject.refresh()
    assert subject.status("a").state == SearchState.SEARCHING


def test_none_conforms_only_when_enough_was_seen():
    subject = make(asked("bed", "a"))
    frames = look_around(WALLS, 2)
    feed(subject, frames[:DIRECTIONS], "a")
    subject.note_progress("a", ReasoningProgress(answered=DIRECTIONS, pending=0))
    subject.refresh()
    status = subject.status("a")
    assert status.state == SearchState.SEARCHING  # what was seen last was new
    assert "More is to be seen first" in status.reason
    feed(subject, frames[DIRECTIONS:], "a")
    subject.note_progress("a", ReasoningProgress(answered=2 * DIRECTIONS, pending=0))
    subject.refresh()
    status = subject.status("a")
    assert status.state == SearchState.NONE_CONFORM
    assert "0 % of the edge" in status.reason
    # A room without one of its walls is open however often it is looked at.
    subject = make(asked("bed", "a"))
    feed(subject, look_around(WALLS[1:], 2), "a")
    subject.note_progress("a", ReasoningProgress(answered=2 * DIRECTIONS, pending=0))
    subject.refresh()
    assert subject.status("a").state == SearchState.SEARCHING
    assert " is open" in subject.status("a").reason


def test_an_answer_on_its_way_counts_as_pending():
    subject = make(asked("bed", "a"))
    frames = walk(BOXES, 3)
    feed(subject, frames[:2], "a")
    subject.note_progress("a", ReasoningProgress(answered=3, pending=0))
    subject.refresh()
    assert subject.status("a").state == SearchState.SEARCHING
    assert subject.status("a").keyframes_pending == 1


def test_a_reasoner_that_fails_is_said():
    subject = make(asked("box", "a"))
    subject.note_progress("a", ReasoningProgress(answered=0, pending=0, failure="no memory left"))
    subject.refresh()
    assert subject.status("a").state == SearchState.FAILED
    assert "no memory left" in subject.status("a").reason


def test_why_no_answer_has_come_is_said_until_one_comes():
    subject = make(asked("box", "a"))
    subject.note_progress("a", ReasoningProgress(answered=0, pending=4, waiting="3 failures, the last: away"))
    subject.refresh()
    status = subject.status("a")
    assert (status.state, status.reason) == (SearchState.PENDING, "3 failures, the last: away")
    feed(subject, walk(BOXES, 2), "a")
    subject.refresh()
    assert subject.status("a").state == SearchState.FOUND
    assert "away" not in subject.status("a").reason


def test_queries_combine_text_id_label_and_place():
    subject = make(asked("box", "a"))
    feed(subject, walk(BOXES, 4), "a")
    subject.refresh()

    def found(**conditions):
        return subject.query(InstanceQuery(**conditions)).instances

    (box,) = found()
    answer = subject.query(InstanceQuery(asked("box", "q")))
    assert answer.instances == (box,)
    assert answer.verdicts[box.id].conformity == Conformity.CONFORMS
    assert found(instruction=asked("bed", "q")) == ()
    assert found(ids=frozenset({box.id}), label="box") == (box,)
    assert found(ids=frozenset({box.id + 1})) == ()
    assert found(label="bed") == ()
    assert found(sphere=(np.add(box.centroid, (0.1, 0, 0)), 0.2)) == (box,)
    assert found(sphere=(np.add(box.centroid, (1.0, 0, 0)), 0.2)) == ()
    assert found(box=(box.centroid - 0.1, box.centroid + 0.1)) == (box,)
    assert found(box=(box.centroid + 0.1, box.centroid + 0.3)) == ()
    with pytest.raises(UnknownAnchorError, match="relative_to: no instance has the id 77"):
        found(relation=(RelationKind.ON, 77))


def test_a_reset_forgets_what_was_seen_and_keeps_what_is_asked():
    subject = make(asked("box", "a"))
    feed(subject, walk(BOXES, 3), "a")
    subject.refresh()
    subject.reset()
    assert [item.id for item in subject.instructions] == ["a"]
    assert subject.view("a").instances == ()
    assert subject.stamp_ns == 0
    np.testing.assert_array_equal(subject.up, (0, 0, 1))
    feed(subject, walk(BOXES, 3), "a")
    subject.refresh()
    assert len(subject.view("a").instances) == 1


def test_opinions_over_the_table_are_judged_at_once_and_go_with_the_instruction():
    subject = make(asked("lamp", "a"))
    feed(subject, walk(BOXES, 4), "a", label="box")
    subject.refresh()
    assert subject.status("a").state != SearchState.FOUND
    (instance,) = subject.query(InstanceQuery()).instances
    subject.set_opinions("a", {instance.id: Opinion(0.9, "it gives light", "judge")})
    (change,) = subject.refresh()
    assert change.status.state == SearchState.FOUND
    subject.set_instructions([asked("torch", "a")])
    subject.refresh()
    assert subject.status("a").state != SearchState.FOUND
    with pytest.raises(KeyError):
        subject.set_opinions("unknown", {})
