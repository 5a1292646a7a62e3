"""A map that was saved and loaded gives the same answers, with the same ids, and goes on."""

import json

import pytest
from box_scene import Box, answer, true_masks, walk

from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.conforming_map import ConformingMap, ReasoningProgress
from lira_ros.fusion.contracts import SearchState
from lira_ros.fusion.engine import Outcome, create_fusion
from lira_ros.fusion.map_state import read_instances
from lira_ros.fusion.target_inference import TargetInference
from lira_ros.reasoning.contracts import Instruction
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.relevance import Relevance
from lira_ros.state.columns import StateError

CRATE, PARCEL = Box(1, (-0.5, -0.2, 0.0), (-0.1, 0.2, 0.4)), Box(2, (0.2, -0.15, 0.0), (0.5, 0.15, 0.25))
LABELS = ["crate", "parcel"]


@pytest.fixture(scope="module")
def views():
    return walk([CRATE, PARCEL], 12)


def instruction(name, text):
    return Instruction(name, text, parse(text), 5)


CRATES, BEDS = instruction("find-1", "find the crate"), instruction("find-2", "find the bed")


def made(*instructions):
    result = ConformingMap(create_fusion(FusionConfiguration()), TargetInference(Relevance(None)))
    result.set_instructions(instructions)
    return result


def feed(subject, views, *names):
    for key, ids in views:
        subject.add_keyframe(key)
        for name in names:
            numbers = [i for i in (1, 2) if (ids == i).sum() >= 20]
            said = answer(key, true_masks(ids), [LABELS[i - 1] for i in numbers], instruction_id=name)
            assert subject.add_candidates(said) is Outcome.FUSED
    for name in names:
        subject.note_progress(name, ReasoningProgress(len(subject._answered[name]), 0))
    return subject


def answers_of(subject):
    subject.refresh()
    return {
        item.id: (subject.status(item.id), subject.judgement(item.id), [i.id for i in subject.view(item.id).instances])
        for item in subject.instructions
    }


@pytest.fixture
def saved(views):
    subject = feed(made(CRATES, BEDS), views[:7], "find-1", "find-2")
    before = answers_of(subject)
    assert before["find-1"][0].state is SearchState.FOUND
    return subject, before, subject.export_state("map")


@pytest.mark.parametrize("list_first", [True, False])
def test_the_answers_are_the_same_whenever_the_list_of_instructions_comes(saved, list_first, views):
    subject, before, data = saved
    other = made(instruction("find-1", "find the parcel"), instruction("find-7", "find a cup"))
    feed(other, views[:3], "find-1")
    if list_first:
        other.set_instructions((CRATES, BEDS))
    other.import_state(data)
    if not list_first:
        other.refresh()
        assert set(other.set_instructions((CRATES, BEDS))) == {"find-1", "find-7"}
    assert answers_of(other) == before
    assert other.export_state("map") == data
    assert other.resets == 1

    for key, _ in views[:7]:
        other.add_keyframe(key)
    for goes_on in (subject, other):
        feed(goes_on, views[7:], "find-1", "find-2")
    assert answers_of(other) == answers_of(subject)


def test_an_instruction_with_the_id_of_a_saved_one_but_another_text_starts_anew(saved, views):
    _, _, data = saved
    other = made()
    other.import_state(data)
    other.set_instructions((instruction("find-1", "find the parcel"),))
    other.refresh()
    assert other.status("find-1").keyframes_answered == 0
    for key, ids in views[:2]:
        other.add_keyframe(key)
        said = answer(key, true_masks(ids), LABELS, instruction_id="find-1")
        assert other.add_candidates(said) is Outcome.FUSED


def test_broken_bytes_change_nothing(saved):
    subject, before, data = saved
    for broken in (b"", b"nothing", data[:-1], data[:100] + b"x" + data[101:], subject.fusion.export_state()):
        with pytest.raises(StateError):
            subject.import_state(broken)
    assert answers_of(subject) == before


def test_programs_read_what_was_saved_without_the_method(saved):
    subject, _, data = saved
    found = read_instances(data)
    assert found.document["frame_id"] == "map"
    assert [item["label"] for item in found.document["instances"]] == ["crate", "parcel"]
    first = found.document["instructions"][0]
    assert (first["text"], first["state"]) == ("find the crate", "FOUND")
    assert [item["conformity"] for item in first["verdicts"]] == ["CONFORMS", "REJECTED"]
    near = {"subject": 1, "relation": "near", "object": 2}
    assert any(near.items() <= relation.items() for relation in found.document["relations"])
    assert all(len(found.voxels[item.id].voxels) == len(item.voxels) for item in subject.fusion.instances())
    json.dumps(found.document, allow_nan=False)
