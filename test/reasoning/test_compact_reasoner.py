import numpy as np
import pytest
from box_room import CARTON, CUP, ROOM, TABLE, look

from lira_ros.configuration import build
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.backends import BACKENDS, GroundTruth, ReasonerConfiguration, create_reasoner
from lira_ros.reasoning.compact import reasoner as reasoner_module
from lira_ros.reasoning.compact.reasoner import CompactConfiguration, CompactReasoner
from lira_ros.reasoning.contracts import Instruction, ReasoningError, Role
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.relevance import Relevance


def ask(text):
    return Instruction("find-1", text, parse(text))


@pytest.fixture(name="reasoner")
def reasoner_fixture():
    return CompactReasoner(Relevance(None))


@pytest.fixture(name="view", scope="module")
def view_fixture():
    return look(width_px=640, height_px=480)


def shown(answer, mask):
    """Return the candidate that covers a mask best."""
    return max(answer.candidates, key=lambda c: np.count_nonzero(c.mask & mask) / np.count_nonzero(c.mask | mask))


def test_a_table_is_found_with_attributes_label_and_reason(reasoner, view):
    keyframe, index = view
    answer = reasoner.propose(keyframe, ask("Find the table."))
    assert (answer.keyframe_id, answer.stamp_ns, answer.model) == (1, keyframe.frame.stamp_ns, "compact")
    assert [item.id for item in answer.candidates] == list(range(1, len(answer.candidates) + 1))
    table = shown(answer, index == ROOM.index(TABLE))
    assert table.role is Role.TARGET
    assert table.attributes.size_m[0] == pytest.approx(1.4, abs=0.12)
    assert table.attributes.top_height_m == pytest.approx(0.74, abs=0.03)
    assert table.attributes.horizontality > 0.95
    assert "0.7" in table.reason
    assert "table" in table.reason
    assert 0.0 < table.label_confidence <= 1.0


def test_anchors_and_the_rest_of_the_scene_come_along(reasoner, view):
    keyframe, index = view
    answer = reasoner.propose(keyframe, ask("Find the red cup on the table."))
    assert shown(answer, index == ROOM.index(TABLE)).role is Role.ANCHOR
    cup, carton = (shown(answer, index == ROOM.index(box)) for box in (CUP, CARTON))
    assert cup.attributes.color == "red"
    assert cup.attributes.supported_by == "surface"
    assert carton.attributes.color == "blue"
    assert carton.role is not Role.ANCHOR


def test_embeddings_tell_things_apart(reasoner, view):
    keyframe, index = view
    answer = reasoner.propose(keyframe, ask("Find the table."))
    table, cup = (shown(answer, index == ROOM.index(box)).embedding for box in (TABLE, CUP))
    assert np.linalg.norm(table) == pytest.approx(1.0, abs=1e-4)
    assert table @ cup < 0.5


def test_a_keyframe_is_taken_apart_once_for_all_instructions(reasoner, view, monkeypatch):
    calls = []
    original = reasoner_module.propose_instances
    monkeypatch.setattr(
        reasoner_module, "propose_instances", lambda *arguments: calls.append(arguments) or original(*arguments)
    )
    keyframe, _ = view
    reasoner.propose(keyframe, ask("Find the table."))
    reasoner.propose(keyframe, ask("Find the cup."))
    assert len(calls) == 1
    later = Frame(99, keyframe.frame.color, keyframe.frame.depth_m, keyframe.frame.camera, keyframe.frame.T_map_camera)
    reasoner.propose(Keyframe(1, later, keyframe.up, 0.0), ask("Find the cup."))
    assert len(calls) == 2


def test_the_cache_is_bounded(monkeypatch):
    calls = []
    monkeypatch.setattr(reasoner_module, "propose_instances", lambda keyframe, _: calls.append(keyframe.id) or [])
    reasoner = CompactReasoner(Relevance(None), build(CompactConfiguration, {"cached_keyframes": 2}))
    keyframes = {number: look(width_px=64, height_px=48, keyframe_id=number)[0] for number in (1, 2, 3)}
    for number in (1, 2, 3, 3, 2, 1):
        reasoner.propose(keyframes[number], ask("Find the cup."))
    assert calls == [1, 2, 3, 1]


def test_without_depth_the_answer_is_empty(reasoner, view):
    frame = view[0].frame
    empty = Frame(5, frame.color, np.zeros_like(frame.depth_m), frame.camera, frame.T_map_camera)
    assert reasoner.propose(Keyframe(4, empty, view[0].up, 0.0), ask("Find the cup.")).candidates == ()


def test_back_ends_are_made_by_name():
    relevance = Relevance(None)
    assert create_reasoner(ReasonerConfiguration(), relevance).name == "compact"
    truth = GroundTruth(lambda stamp: None, [object.__new__(type("Annotated", (), {"id": 1, "label": "mug"}))])
    assert create_reasoner(ReasonerConfiguration(backend="oracle"), relevance, truth).name == "oracle"
    assert all(backend.description for backend in BACKENDS.values())


def test_an_unknown_back_end_is_refused_with_what_there_is():
    with pytest.raises(ReasoningError, match=r"'lisaa' is not known; there are compact, "):
        create_reasoner(ReasonerConfiguration(backend="lisaa"), Relevance(None))


def test_the_oracle_needs_an_annotated_recording():
    with pytest.raises(ReasoningError, match="needs a recording with annotated objects"):
        create_reasoner(ReasonerConfiguration(backend="oracle"), Relevance(None))
