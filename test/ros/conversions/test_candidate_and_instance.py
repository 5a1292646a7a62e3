import math

import numpy as np
import pytest

pytest.importorskip("rclpy")

from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message

from lira_msgs.msg import CandidateArray, InstanceMapUpdate
from lira_msgs.msg import Instruction as InstructionMessage
from lira_ros.fusion.contracts import (
    Conformity,
    Instance,
    InstanceState,
    InstanceView,
    InstructionStatus,
    OrientedBox,
    Removal,
    RemovalReason,
    SearchState,
    Verdict,
)
from lira_ros.reasoning.contracts import Attributes, Candidate, CandidateSet, Role
from lira_ros.reasoning.language.parser import InstructionError
from lira_ros.ros.conversions.candidate import candidates_from_message, candidates_to_message
from lira_ros.ros.conversions.instance import (
    DetectionLabels,
    detections_to_message,
    instance_from_message,
    instance_to_message,
    map_to_message,
    removal_from_message,
    update_to_message,
    view_to_message,
)
from lira_ros.ros.conversions.instruction import instruction_from_message, status_from_message, status_to_message
from lira_ros.ros.errors import ConversionError

ATTRIBUTES = Attributes("red", (0.5, 0.25, 0.125), 0.75, 0.875, 0.5, 1.0, float("nan"), 2.0, 0.75, "surface")


def make_candidate(mask, number=1):
    embedding = np.array([0.6, 0.8], np.float32)
    return Candidate(number, mask, "mug", 0.5, 0.75, Role.ANCHOR, ATTRIBUTES, "because", embedding)


def make_instance(number=7):
    pose = np.eye(4)
    pose[:3, 3] = (1.0, 2.0, 0.5)
    return Instance(
        id=number,
        label="mug",
        label_confidence=0.5,
        existence=0.75,
        attributes=ATTRIBUTES,
        box=OrientedBox(pose, np.array([0.5, 0.25, 0.125])),
        voxel_size_m=0.0625,
        voxels=np.array([[-1, 2, 3], [4, 5, -6]], np.int32),
        voxel_colors=np.array([[1, 2, 3], [250, 251, 252]], np.uint8),
        first_seen_ns=1_000_000_123,
        last_seen_ns=2_500_000_000,
        observations=4,
        names={"mug": 0.75, "cup": 0.25},
        embedding=np.array([1.0, 0.0], np.float32),
        verdicts={"find-1": Verdict(Conformity.CONFORMS, 0.5, "it is red")},
        state=InstanceState.PROVISIONAL,
        looks=2.5,
        colors={"white": 0.5, "red": 0.5},
        color_deviation=12.5,
        merged_from=(9, 11),
    )


def assert_same_attributes(a, b):
    assert (a.color, a.supported_by) == (b.color, b.supported_by)
    for name in (
        "size_m",
        "bottom_height_m",
        "top_height_m",
        "flatness",
        "horizontality",
        "roundness",
        "elongation",
        "fill",
    ):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), equal_nan=True)


def through_the_wire(message):
    return deserialize_message(serialize_message(message), type(message))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_candidates_survive_the_wire(height, width, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    sent = CandidateSet(3, 5_000_000_001, "find-1", "compact/1", 0.25, (make_candidate(mask), make_candidate(~mask, 2)))
    received = candidates_from_message(through_the_wire(candidates_to_message(sent, 9, "map")), "candidates")
    assert (received.keyframe_id, received.stamp_ns, received.instruction_id) == (3, 5_000_000_001, "find-1")
    assert (received.model, received.latency_s) == ("compact/1", 0.25)
    for before, after in zip(sent.candidates, received.candidates, strict=True):
        np.testing.assert_array_equal(before.mask, after.mask)
        np.testing.assert_array_equal(before.embedding, after.embedding)
        assert (before.id, before.label, before.role, before.reason) == (
            after.id,
            after.label,
            after.role,
            after.reason,
        )
        assert_same_attributes(before.attributes, after.attributes)


def broken(change):
    message = candidates_to_message(
        CandidateSet(3, 0, "find-1", "m", 0.0, (make_candidate(np.ones((2, 3), bool)),)), 9, "map"
    )
    change(message.candidates[0])
    return message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: setattr(c.mask, "counts", [0, 99]), "99"),
        (lambda c: setattr(c, "role", 77), "77"),
        (lambda c: setattr(c, "score", 1.5), "score"),
        (lambda c: setattr(c, "label_confidence", math.nan), "label_confidence"),
        (lambda c: setattr(c, "embedding", [math.inf]), "embedding"),
    ],
)
def test_broken_candidates_are_refused_by_topic_keyframe_and_field(change, said):
    with pytest.raises(ConversionError) as caught:
        candidates_from_message(broken(change), "/lira/candidates")
    for word in ("/lira/candidates", "keyframe 3", "candidate 1", said):
        assert word in str(caught.value)


def test_an_instance_survives_the_wire():
    sent = make_instance()
    received = instance_from_message(through_the_wire(instance_to_message(sent)), "instance_map")
    for name in (
        "id",
        "label",
        "label_confidence",
        "existence",
        "first_seen_ns",
        "last_seen_ns",
        "observations",
        "verdicts",
        "names",
        "state",
        "looks",
        "colors",
        "color_deviation",
        "merged_from",
        "label_entropy_bits",
        "color_entropy_bits",
    ):
        assert getattr(sent, name) == getattr(received, name)
    for name in ("voxels", "voxel_colors", "embedding"):
        np.testing.assert_array_equal(getattr(sent, name), getattr(received, name))
    np.testing.assert_allclose(sent.box.T_map_box, received.box.T_map_box)
    np.testing.assert_allclose(sent.box.size_m, received.box.size_m)
    assert_same_attributes(sent.attributes, received.attributes)
    assert received.label_entropy_bits == pytest.approx(0.811, abs=1e-3)
    assert received.color_entropy_bits == 1.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: setattr(m, "name_shares", [1.0]), "share for each of names, got 1 for 2"),
        (lambda m: setattr(m, "colors", ["red"]), "share for each of colors, got 2 for 1"),
        (lambda m: setattr(m, "state", 9), "state PROVISIONAL or CONFIRMED, got 9"),
    ],
)
def test_a_broken_instance_is_refused_by_field(change, said):
    message = instance_to_message(make_instance())
    change(message)
    with pytest.raises(ConversionError, match=f"instance_map: instance 7: expected .*{said}"):
        instance_from_message(message, "instance_map")


def test_a_view_of_an_instance_becomes_a_jpeg_with_stamp_and_frame():
    view = InstanceView(7, 3, 2_500_000_000, b"\xff\xd8jpeg", 1234, 0.75, np.array([0.0, 0.6, 0.8]))
    message = through_the_wire(view_to_message(view, "map"))
    assert (message.instance_id, message.keyframe_id, message.visible_px, message.score) == (7, 3, 1234, 0.75)
    assert (message.image.format, bytes(message.image.data)) == ("jpeg", b"\xff\xd8jpeg")
    assert message.image.header.frame_id == "map"
    assert (message.stamp.sec, message.image.header.stamp.nanosec) == (2, 500_000_000)
    assert (message.direction.x, message.direction.y, message.direction.z) == (0.0, 0.6, 0.8)


def test_an_instance_with_too_few_colours_is_refused():
    message = instance_to_message(make_instance())
    message.voxel_colors = message.voxel_colors[:3]
    with pytest.raises(ConversionError, match=r"instance_map: instance 7.*6 and 3"):
        instance_from_message(message, "instance_map")


def test_maps_and_updates_carry_revisions_stamps_and_rejected_without_voxels():
    status = InstructionStatus("find-1", SearchState.FOUND, "one conforms", 3, 1, 2, 1)
    assert status_from_message(through_the_wire(status_to_message(status))) == status
    removed = (Removal(3, RemovalReason.REJECTED), Removal(4, RemovalReason.MERGED, 2))
    full = map_to_message([make_instance()], [make_instance(8)], status, removed, 5, 1_500_000_000, "map")
    assert (full.revision, full.header.stamp.sec, full.header.stamp.nanosec) == (5, 1, 500_000_000)
    assert len(full.instances[0].voxels) == 6
    assert len(full.rejected[0].voxels) == 0
    update = update_to_message([make_instance()], removed, status, (5, 6), 11, 0, "map", clear=True)
    update = through_the_wire(update)
    assert isinstance(update, InstanceMapUpdate)
    assert (update.base_revision, update.revision, update.sequence, update.clear) == (5, 6, 11, True)
    for message in (update, through_the_wire(full)):
        assert tuple(removal_from_message(item, "instance_map") for item in message.removed) == removed
    update.removed[0].reason = 8
    with pytest.raises(ConversionError, match="instance_map/updates: removed instance 3: expected reason"):
        removal_from_message(update.removed[0], "instance_map/updates")


def test_detections_name_their_class_through_the_label_table():
    labels = DetectionLabels()
    message = detections_to_message({"find-1": [make_instance()]}, labels, 0, "map")
    detection = message.detections[0]
    table = {entry.class_id: entry.class_name for entry in labels.message(0, "map").class_map}
    assert detection.id == "find-1/7"
    assert table[int(detection.results[0].hypothesis.class_id)] == "mug"
    assert detection.results[0].hypothesis.score == 0.5
    assert detection.bbox.size.x == 0.5


def test_an_empty_candidate_list_is_an_answer():
    sent = CandidateSet(1, 0, "find-1", "m", 0.0, ())
    message = candidates_to_message(sent, 1, "map")
    assert isinstance(message, CandidateArray)
    assert candidates_from_message(message, "candidates").candidates == ()


EVIL = "\x1b[2J\u202e\u200b\r\n[ERROR] forged %s {0.__class__}"


def test_texts_from_another_node_become_one_line_without_control_characters():
    sent = candidates_to_message(
        CandidateSet(1, 0, "find-1", "m", 0.0, (make_candidate(np.ones((2, 2), bool)),)), 1, ""
    )
    sent.model = sent.candidates[0].label = sent.candidates[0].reason = sent.candidates[0].attributes.color = EVIL
    taken = candidates_from_message(through_the_wire(sent), "candidates")
    (candidate,) = taken.candidates
    shown = [taken.model, candidate.label, candidate.reason, candidate.attributes.color]
    sent = instance_to_message(make_instance())
    sent.label = sent.attributes.supported_by = sent.verdicts[0].reason = EVIL
    sent.names = sent.colors = [EVIL]
    sent.name_shares = sent.color_shares = [1.0]
    instance = instance_from_message(through_the_wire(sent), "instance_map")
    shown += [instance.label, *instance.names, *instance.colors, instance.attributes.supported_by]
    shown += [verdict.reason for verdict in instance.verdicts.values()]
    sent = status_to_message(InstructionStatus("find-1", SearchState.FAILED, EVIL))
    shown.append(status_from_message(through_the_wire(sent)).reason)
    assert len(shown) == 10
    assert all(text.isprintable() and "forged %s {0.__class__}" in text for text in shown)


@pytest.mark.parametrize("name", ["../../etc/x", "a/b", "", "a\nb", "x" * 65, "\u202e"])
def test_ids_of_instructions_that_are_none_are_refused(name):
    with pytest.raises(ConversionError, match="keyframe 1: expected the id of an instruction, got"):
        candidates_from_message(CandidateArray(keyframe_id=1, instruction_id=name), "candidates")
    with pytest.raises(InstructionError, match="expected 1 to 64 letters"):
        instruction_from_message(InstructionMessage(id=name, text="Find the sofa."))


def test_a_mask_that_is_larger_than_any_picture_is_refused_before_it_is_decoded():
    sent = candidates_to_message(
        CandidateSet(1, 0, "find-1", "m", 0.0, (make_candidate(np.ones((2, 2), bool)),)), 1, ""
    )
    sent.candidates[0].mask.height = sent.candidates[0].mask.width = 2**16 - 1
    sent.candidates[0].mask.counts = [0, (2**16 - 1) ** 2]
    with pytest.raises(ConversionError, match="expected at most 67108864 pixels, got 65535 x 65535"):
        candidates_from_message(sent, "candidates")
