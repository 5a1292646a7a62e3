import numpy as np
import pytest
from box_room import CUP, ROOM, look

from lira_ros.reasoning.answers.contracts import ConstraintKind, DetectedInstance, StatedConstraint, StructuredAnswer
from lira_ros.reasoning.answers.proposal import region_prompts, sightings_from_answer, target_confidence
from lira_ros.reasoning.contracts import Role
from lira_ros.reasoning.segmentation.contracts import RegionMask
from lira_ros.reasoning.sightings import candidates_from_sightings


def instance(label="cup", role=Role.TARGET, confidence=0.8, color="red", **more):
    return DetectedInstance(label, color, (10.0, 20.0, 30.0, 40.0), (15.0, 25.0), role, confidence, **more)


def test_a_segmenter_is_asked_for_box_point_and_phrase():
    (prompt,) = region_prompts(StructuredAnswer((instance(),)))
    assert (prompt.box_px, prompt.point_px, prompt.phrase) == ((10, 20, 30, 40), (15, 25), "red cup")


def test_an_answer_becomes_measured_candidates():
    keyframe, index = look()
    cup = index == ROOM.index(CUP)
    stated = StatedConstraint(ConstraintKind.DISTANCE, "nearest", "carton")
    answer = StructuredAnswer((instance(constraint=stated, reason="on the table"), instance("ghost")))
    masks = [RegionMask(cup, 0.7), RegionMask(np.zeros_like(cup), 0.9)]
    embeddings = np.eye(2, 5, dtype=np.float32)
    joined = sightings_from_answer(answer, masks, embeddings)
    assert joined.without_mask == 1
    (candidate,) = candidates_from_sightings(keyframe, joined.sightings)
    assert (candidate.label, candidate.role, candidate.score) == ("cup", Role.TARGET, 0.7)
    assert candidate.label_confidence == candidate.target_confidence == 0.8
    assert candidate.attributes.color == "red"
    assert 0.05 < candidate.attributes.size_m[2] < 0.2
    assert "on the table (nearest to carton)" in candidate.reason
    assert np.array_equal(candidate.embedding, embeddings[0])


def test_without_an_encoder_the_appearance_is_the_embedding():
    keyframe, index = look()
    mask = RegionMask(index == ROOM.index(CUP), 1.0)
    (candidate,) = candidates_from_sightings(
        keyframe, sightings_from_answer(StructuredAnswer((instance(),)), [mask]).sightings
    )
    assert np.linalg.norm(candidate.embedding) == pytest.approx(1, abs=1e-5)


def test_only_targets_are_wanted():
    assert target_confidence(instance(confidence=0.9)) == 0.9
    for role in (Role.ANCHOR, Role.CONTEXT):
        opinions = [target_confidence(instance(role=role, confidence=c)) for c in (0.0, 0.5, 1.0)]
        assert opinions == [0.5, 0.25, 0.0]


def test_masks_and_embeddings_must_be_as_many_as_instances():
    mask = RegionMask(np.ones((4, 4), dtype=bool), 1.0)
    with pytest.raises(ValueError, match="1 instances, but 2 masks"):
        sightings_from_answer(StructuredAnswer((instance(),)), [mask, mask])
    with pytest.raises(ValueError, match="3 embeddings"):
        sightings_from_answer(StructuredAnswer((instance(),)), [mask], np.zeros((3, 0), dtype=np.float32))
