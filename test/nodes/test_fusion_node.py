"""The fusion node over DDS: what it publishes, its services, and that bad input leaves node and map whole."""

import dataclasses

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.parameter import Parameter
from rviz_display import RvizDisplay
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection3DArray, LabelInfo
from visualization_msgs.msg import MarkerArray
from wall_scene import BLUE_MUG, RED_MUG, SESSION, SOFA, THINGS, answer, candidates_message, keyframe_message, view

from lira_msgs.msg import (
    CandidateArray,
    FragmentPoses,
    InstanceMap,
    InstanceMapUpdate,
    InstructionArray,
    InstructionStatus,
    InstructionStatusArray,
    Removal,
    VoxelFragment,
)
from lira_msgs.msg import Instruction as InstructionMessage
from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_msgs.srv import GetInstanceMap, GetInstanceViews, QueryInstances
from lira_ros.nodes import fusion_node
from lira_ros.reasoning.contracts import Instruction
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.relevance import Relevance
from lira_ros.ros import qos
from lira_ros.ros.conversions.candidate import candidates_to_message
from lira_ros.ros.conversions.fragment import empty_fragment_message
from lira_ros.ros.conversions.fragment_poses import MapPoses, poses_to_message
from lira_ros.ros.conversions.instruction import instructions_to_message
from lira_ros.ros.conversions.points import points_from_message
from lira_ros.ros.conversions.time import stamp_to_ns
from lira_ros.ros.diagnostics import read_drops

QUERY = QueryInstances.Response


@pytest.fixture
def fusion(spinner, peer, wait_for, monkeypatch):
    """Return a function that starts a fusion node that compares words only."""
    monkeypatch.setattr(fusion_node, "create_relevance", lambda configuration: Relevance(None))

    def start(active=True, **values):
        values = {"publish_rate_hz": 50.0, "full_map_rate_hz": 20.0, **values}
        overrides = [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
        node = spinner.add(fusion_node.FusionNode(parameter_overrides=overrides))
        if active:
            wait_for(lambda: node.state == "active", 30, "the start of the fusion node")
        return node

    return start


class Neighbors:
    """What mapping and reasoning publish, from a test node."""

    def __init__(self, peer):
        self.instructions = peer.create_publisher(InstructionArray, "instructions", qos.latched())
        self.progress = peer.create_publisher(InstructionStatusArray, "reasoning_status", qos.latched())
        self.keyframes = peer.create_publisher(KeyframeMessage, "keyframes", qos.keyframes())
        self.fragments = peer.create_publisher(VoxelFragment, "fragments", qos.fragments())
        self.candidates = peer.create_publisher(CandidateArray, "candidates", qos.candidates())
        self.poses = peer.create_publisher(FragmentPoses, "fragment_poses", qos.latched())

    def connected(self):
        outputs = (self.instructions, self.progress, self.keyframes, self.fragments, self.candidates, self.poses)
        return all(publisher.get_subscription_count() for publisher in outputs)

    def ask(self, **texts):
        """Publish the list of active instructions, by id."""
        items = [Instruction(name, text, parse(text)) for name, text in texts.items()]
        self.instructions.publish(instructions_to_message(items, 1))

    def look(self, *numbers, instruction_id="mug", things=THINGS, session=SESSION):
        """Publish keyframes and the answers to them."""
        for number in numbers:
            self.keyframes.publish(keyframe_message(number, session, things))
            self.candidates.publish(candidates_message(number, instruction_id, session, things))

    def move(self, numbers, by_m, removed=(), session=SESSION):
        """Publish that keyframes lie elsewhere now, by (3,) metres, and which were removed."""
        poses = {}
        for number in numbers:
            poses[number] = view(number)[0].frame.T_map_camera.copy()
            poses[number][:3, 3] += by_m
        self.poses.publish(poses_to_message(MapPoses({}, poses, frozenset(), frozenset(removed)), session, 1, "map", 1))

    def report(self, name, answered, pending, state=InstructionStatus.SEARCHING, reason="so far"):
        """Publish the progress of one instruction, as the reasoning does."""
        status = InstructionStatus(
            instruction_id=name, state=state, reason=reason, keyframes_answered=answered, keyframes_pending=pending
        )
        self.progress.publish(InstructionStatusArray(statuses=[status]))


@pytest.fixture
def neighbors(peer):
    return Neighbors(peer)


@pytest.fixture
def started(fusion, neighbors, wait_for):
    """Return a running fusion node to which the neighbors are connected."""
    node = fusion()
    wait_for(neighbors.connected, what="the subscriptions of the fusion node")
    return node


@pytest.fixture
def get_map(peer, call_service):
    def call(name="", include_rejected=False):
        request = GetInstanceMap.Request(instruction_id=name, include_rejected=include_rejected)
        return call_service(peer, GetInstanceMap, "get_instance_map", request)

    return call


@pytest.fixture
def views(peer, call_service):
    def call(**request):
        return call_service(peer, GetInstanceViews, "get_instance_views", GetInstanceViews.Request(**request))

    return call


@pytest.fixture
def query(peer, call_service):
    def call(**conditions):
        center = conditions.pop("center", None)
        request = QueryInstances.Request(**conditions)
        if center is not None:
            request.use_sphere = True
            request.center.x, request.center.y, request.center.z = center
        return call_service(peer, QueryInstances, "query_instances", request)

    return call


def fused(node):
    # Asked of the worker: it alone may touch the map.
    return node.worker.submit(node._map.fusion.statistics).result(15).fused


def problem(node, text):
    return [item.text for item in node.statistics.problems().values() if text in item.text]


def found(messages, name="mug"):
    """Return the newest status of an instruction."""
    return next((item for item in messages[-1].statuses if item.instruction_id == name), None) if messages else None


def close_to(point, thing):
    center = (np.mean(thing.x), thing.y, np.mean(thing.z))
    return np.linalg.norm(np.subtract((point.x, point.y, point.z), center)) < 0.06


def test_a_map_grows_and_every_output_tells_the_same(started, neighbors, collect, get_map, wait_for):
    updates = collect(InstanceMapUpdate, "instance_map/updates", qos.stream())
    maps = collect(InstanceMap, "instance_map", qos.instance_maps())
    statuses = collect(InstructionStatusArray, "instruction_status", qos.latched())
    markers = collect(MarkerArray, "instances/markers", qos.latched())
    clouds = collect(PointCloud2, "instances/points", qos.latched())
    detections = collect(Detection3DArray, "instances/detections", qos.latched())
    labels = collect(LabelInfo, "instances/label_info", qos.latched())
    neighbors.ask(mug="Find the red mug.", mugs="Find all mugs.")
    wait_for(lambda: len(started._map.instructions) == 2, what="the instructions")
    wait_for(lambda: found(statuses, "mugs") is not None, what="the first status")
    assert found(statuses, "mugs").state == InstructionStatus.PENDING
    neighbors.look(1, 2, 3)
    wait_for(lambda: found(statuses) and found(statuses).state == InstructionStatus.FOUND, what="the red mug")
    wait_for(lambda: fused(started) == 3, what="three answers")
    answered = get_map("mug")
    assert (answered.success, answered.code) == (True, GetInstanceMap.Response.OK)
    (instance,) = answered.map.instances
    assert (instance.label, instance.attributes.color) == ("mug", "red")
    assert close_to(instance.centroid, RED_MUG)
    assert instance.observations == 3
    assert 1.0 <= instance.looks <= 3.0
    assert list(instance.names) == ["mug"]
    assert instance.colors[0] == "red"
    assert stamp_to_ns(instance.last_seen) == view(3)[0].frame.stamp_ns
    assert list(answered.map.rejected) == []
    assert answered.map.header.frame_id == "map"
    with_rejected = get_map("mug", include_rejected=True).map
    assert sorted(item.label for item in with_rejected.rejected) == ["mug", "sofa"]
    assert all(len(item.voxels) == 0 and item.verdicts[0].reason for item in with_rejected.rejected)

    # The updates, one after another, give the full map.
    assert [message.sequence for message in updates] == list(range(1, len(updates) + 1))
    for name in ("mug", "mugs"):
        full = get_map(name).map
        wait_for(lambda name=name, full=full: updates_of(updates, name)[1] == full.revision, what="the updates")
        assert updates_of(updates, name)[0] == {item.id: item for item in full.instances}
        wait_for(lambda name=name, full=full: last_map(maps, name).revision == full.revision, what="the latched map")
        assert last_map(maps, name).instances == full.instances

    # What people and other packages see.
    mugs = {item.id for item in get_map("mugs").map.instances}
    assert len(mugs) == 2
    assert shown(markers) == {("mug", instance.id)} | {("mugs", number) for number in mugs}
    assert [field.name for field in clouds[-1].fields] == ["x", "y", "z", "rgb", "instance_id"]
    points, _, ids = points_from_message(clouds[-1], "instances/points")
    assert set(ids) == mugs
    center = points[ids == instance.id].mean(axis=0)
    np.testing.assert_allclose(center, (instance.centroid.x, instance.centroid.y, instance.centroid.z), atol=1e-3)
    names = {item.class_id: item.class_name for item in labels[-1].class_map}
    assert {item.id for item in detections[-1].detections} == {f"mug/{instance.id}"} | {f"mugs/{i}" for i in mugs}
    for detection in detections[-1].detections:
        hypothesis = detection.results[0].hypothesis
        assert names[int(hypothesis.class_id)] == "mug"
        assert 0 < hypothesis.score <= 1
        assert detection.header.frame_id == "map"

    # Who comes late gets the newest map of every instruction.
    late = collect(InstanceMap, "instance_map", qos.instance_maps())
    wait_for(lambda: {message.instruction_id for message in late} == {"mug", "mugs"}, what="the latched maps")
    wait_for(lambda: last_map(late, "mugs").instances == get_map("mugs").map.instances, what="the newest map")


def centroid(get_map, name="mug"):
    instances = get_map(name).map.instances
    if len(instances) != 1:
        return None
    point = instances[0].centroid
    return np.array([point.x, point.y, point.z])


def test_instances_follow_corrected_poses(started, neighbors, get_map, wait_for):
    neighbors.ask(mug="Find the red mug.")
    wait_for(lambda: started._map.instructions, what="the instruction")
    neighbors.look(1, 2, 3)
    wait_for(lambda: fused(started) == 3 and centroid(get_map) is not None, what="the red mug")
    before = centroid(get_map)

    def there(offset):
        now = centroid(get_map)
        return now is not None and np.linalg.norm(now - before - offset) < 0.03

    neighbors.move((1, 2, 3), (0.4, 0.0, 0.2))
    wait_for(lambda: there((0.4, 0.0, 0.2)), what="the mug at its new place")
    # The next answer comes with the corrected pose of a keyframe whose message still has the old one.
    neighbors.move((1, 2, 3, 4), (0.4, 0.0, 0.2))
    neighbors.look(4)
    wait_for(lambda: fused(started) == 4, what="the fourth answer")
    assert there((0.4, 0.0, 0.2))
    assert started.statistics.counter("pose corrections") >= 2


def test_poses_of_a_session_to_come_wait_and_those_of_an_ended_one_are_refused(started, neighbors, get_map, wait_for):
    neighbors.ask(mug="Find the red mug.")
    wait_for(lambda: started._map.instructions, what="the instruction")
    neighbors.move((1, 2, 3), (0.4, 0.0, 0.0))
    neighbors.look(1, 2, 3)
    wait_for(lambda: fused(started) == 3 and centroid(get_map) is not None, what="the mug")
    assert abs(centroid(get_map)[0] - np.mean(RED_MUG.x) - 0.4) < 0.06
    neighbors.look(1, 2, 3, session=SESSION + 1)
    wait_for(lambda: started._sessions.current == SESSION + 1 and fused(started) == 3, what="the next session")
    neighbors.move((1, 2, 3), (0.4, 0.0, 0.0), session=SESSION)
    wait_for(lambda: problem(started, "/fragment_poses: expected mapping session"), what="the refusal")
    wait_for(lambda: centroid(get_map) is not None, what="the mug")
    assert abs(centroid(get_map)[0] - np.mean(RED_MUG.x)) < 0.06


def test_instances_of_removed_places_are_forgotten(started, neighbors, get_map, wait_for):
    neighbors.ask(mug="Find the red mug.")
    wait_for(lambda: started._map.instructions, what="the instruction")
    neighbors.look(1, 2, 3)
    wait_for(lambda: fused(started) == 3 and centroid(get_map) is not None, what="the red mug")
    neighbors.move((), (0, 0, 0), removed=(1, 2, 3))
    wait_for(lambda: not get_map().map.instances, what="an empty map")


def updates_of(messages, name):
    """Apply all updates of an instruction; return instances by id and the revision."""
    held, revision = {}, 0
    for message in messages:
        if message.instruction_id != name:
            continue
        if message.clear:
            held = {}
        else:
            assert message.base_revision == revision
        for removal in message.removed:
            del held[removal.id]
        held.update({item.id: item for item in message.changed})
        revision = message.revision
    return held, revision


def last_map(messages, name):
    return [message for message in messages if message.instruction_id == name][-1]


def test_what_does_not_conform_any_more_is_taken_away(started, neighbors, collect, get_map, wait_for):
    updates = collect(InstanceMapUpdate, "instance_map/updates", qos.stream())
    maps = collect(InstanceMap, "instance_map", qos.instance_maps())
    markers = collect(MarkerArray, "instances/markers", qos.latched())
    clouds = collect(PointCloud2, "instances/points", qos.latched())
    neighbors.ask(mug="Find the red mug.", seat="Find the sofa.")
    neighbors.look(1, 2, 3)
    wait_for(lambda: updates_of(updates, "mug")[0] and updates_of(updates, "seat")[0], what="mug and sofa")
    (number,) = updates_of(updates, "mug")[0]
    (sofa,) = updates_of(updates, "seat")[0]
    # The mug is taken away: the next views look through it.
    neighbors.look(4, 5, 6, 7, 8, things=(BLUE_MUG, SOFA))
    wait_for(lambda: not updates_of(updates, "mug")[0], what="the removal of the mug")
    wait_for(lambda: ("mug", number) not in shown(markers), what="the deleted marker")
    wait_for(lambda: last_map(maps, "mug").instances == [], what="the empty latched map")
    # Whoever held its id, or comes late, is told why.
    tombstone = (number, Removal.REMOVED, 0)
    told = [item for update in updates if update.instruction_id == "mug" for item in update.removed]
    for removed in (told, last_map(maps, "mug").removed, get_map("mug").map.removed):
        assert [(item.id, item.reason, item.merged_into) for item in removed] == [tombstone]
    assert not get_map("mug").map.instances
    assert shown(markers) == {("seat", sofa)}

    # The sofa is cancelled.
    neighbors.ask(mug="Find the red mug.")
    wait_for(lambda: not shown(markers), what="the deleted marker of the sofa")
    wait_for(lambda: updates_of(updates, "seat")[0] == {}, what="the cleared updates")
    wait_for(lambda: last_map(maps, "seat").status.state == InstructionStatus.CANCELLED, what="the cancelled map")
    assert last_map(maps, "seat").instances == []
    assert get_map("seat").code == GetInstanceMap.Response.UNKNOWN_ID
    wait_for(lambda: clouds[-1].width == 0, what="the empty cloud")

    # The same id with another text starts anew, and is answered anew for keyframes that were answered before.
    neighbors.ask(mug="Find the blue mug.")
    wait_for(lambda: started._map.instructions[0].text == "Find the blue mug.", what="the new text")
    before = fused(started)
    neighbors.candidates.publish(candidates_message(8, "mug", things=(BLUE_MUG, SOFA)))
    wait_for(lambda: fused(started) == before + 1, what="the answer")
    wait_for(lambda: [i.attributes.color for i in updates_of(updates, "mug")[0].values()] == ["blue"], what="blue mug")


def shown(messages, display=None):
    """Return instruction and id of the things that RViz shows, each with box, name and its shadow, and nothing else."""
    display = display or RvizDisplay()
    for message in messages:
        display.apply(message)
    by_kind = {}
    for namespace, number in display.shown:
        instruction_id, kind = namespace.split("/")
        by_kind.setdefault(kind, set()).add((instruction_id, number))
    assert by_kind.get("box") == by_kind.get("name") == by_kind.get("shadow")
    assert by_kind.keys() <= {"box", "name", "shadow", "line"}
    return by_kind.get("box", set())


MORE_TO_SEE = "More is to be seen first"  # everything was answered


def test_none_conforms_is_said_when_everything_was_answered(started, neighbors, collect, get_map, wait_for):
    statuses = collect(InstructionStatusArray, "instruction_status", qos.latched())
    neighbors.ask(bed="Find the bed.", failing="Find the lamp.")
    neighbors.report("bed", 0, 6)
    neighbors.look(1, 2, 3, 4, 5, instruction_id="bed")
    wait_for(lambda: found(statuses, "bed") and found(statuses, "bed").keyframes_answered == 5, what="five answers")
    assert found(statuses, "bed").state == InstructionStatus.SEARCHING
    neighbors.report("bed", 6, 0)  # the last answer is still on its way
    wait_for(lambda: found(statuses, "bed").keyframes_pending == 1, what="the answer that is pending")
    assert found(statuses, "bed").state == InstructionStatus.SEARCHING
    neighbors.look(6, instruction_id="bed")
    # Six looks in one direction are not enough of the scene, and the reason says what is missing.
    wait_for(lambda: MORE_TO_SEE in found(statuses, "bed").reason, what="none conforms")
    status = found(statuses, "bed")
    assert (status.keyframes_answered, status.keyframes_pending, status.instances_judged) == (6, 0, 3)
    assert status.state == InstructionStatus.SEARCHING
    assert "6 keyframes" in status.reason
    assert MORE_TO_SEE in get_map("bed").map.status.reason
    # Whoever comes late finds an empty map that says so.
    maps = collect(InstanceMap, "instance_map", qos.instance_maps())
    wait_for(lambda: maps and last_map(maps, "bed").status.state == InstructionStatus.SEARCHING, what="the map")

    neighbors.report("failing", 0, 0, InstructionStatus.FAILED, "the model is out of memory")
    wait_for(lambda: found(statuses, "failing").state == InstructionStatus.FAILED, what="the failure")
    assert "the model is out of memory" in found(statuses, "failing").reason


def test_an_answer_that_cannot_be_used_is_not_waited_for(started, neighbors, collect, wait_for):
    statuses = collect(InstructionStatusArray, "instruction_status", qos.latched())
    neighbors.ask(bed="Find the bed.")
    neighbors.look(1, 2, 3, instruction_id="bed")
    neighbors.keyframes.publish(keyframe_message(4))
    message = candidates_message(4, "bed")
    message.candidates[0].role = 77
    neighbors.candidates.publish(message)
    neighbors.report("bed", 4, 0)
    wait_for(lambda: found(statuses, "bed") and MORE_TO_SEE in found(statuses, "bed").reason)
    assert found(statuses, "bed").keyframes_answered == 3


def test_topics_may_overtake_each_other(started, neighbors, collect, wait_for):
    """Candidates before instructions, before their keyframe and before the first keyframe of all."""
    statuses = collect(InstructionStatusArray, "instruction_status", qos.latched())
    for number in (3, 1, 2):
        neighbors.candidates.publish(candidates_message(number))
    wait_for(lambda: started.worker.statistics()["candidates"].processed == 3, what="the candidates")
    assert fused(started) == 0
    for number in (2, 1, 3):
        neighbors.keyframes.publish(keyframe_message(number))
    wait_for(lambda: fused(started) == 3, what="the answers of the session that has begun")
    neighbors.ask(mug="Find the red mug.")
    wait_for(lambda: found(statuses) and found(statuses).state == InstructionStatus.FOUND, what="the red mug")
    assert found(statuses).keyframes_answered == 3
    assert not started.statistics.problems()


def bad_mask(message):
    message.candidates[0].mask.counts = message.candidates[0].mask.counts[:-1]


def other_mask(message):
    message.candidates[0].mask.width, message.candidates[0].mask.height = 60, 80


def with_candidate(**changes):
    def change(message):
        for name, value in changes.items():
            setattr(message.candidates[0], name, value)

    return change


BAD_CANDIDATES = {
    "broken runs": (bad_mask, "/candidates: keyframe 4, candidate 1: "),
    "masks of the wrong size": (other_mask, "mask of candidate 1 expected 80 x 60 pixels, got 60 x 80"),
    "role": (with_candidate(role=9), "/candidates: keyframe 4, candidate 1: 9 is not a valid Role"),
    "score": (with_candidate(score=float("nan")), "expected score in [0, 1], got nan"),
    "confidence": (with_candidate(label_confidence=1.5), "expected label_confidence in [0, 1], got 1.5"),
    "embedding": (with_candidate(embedding=[float("inf")]), "expected a finite embedding"),
    "another frame": (lambda m: setattr(m.header, "frame_id", "odom"), "expected frame 'map', got 'odom'"),
    "no instruction": (lambda m: setattr(m, "instruction_id", ""), "keyframe 4: expected the id of an instruction"),
    "keyframe 0": (lambda m: setattr(m, "keyframe_id", 0), "expected a keyframe id of at least 1, got 0"),
    "another stamp": (lambda m: setattr(m.header.stamp, "sec", 5), "candidates of keyframe 4: expected stamp"),
    "another session": (lambda m: setattr(m, "session", 99), "keyframe 4: expected mapping session 4711, got 99"),
    "unknown keyframe": (lambda m: setattr(m, "keyframe_id", 777), "keyframe 777: no such keyframe came within"),
}
BAD_KEYFRAMES = {
    "NaN in the pose": (lambda m: setattr(m.pose.position, "x", float("nan")), "/keyframes: keyframe 9 pose"),
    "broken colour": (lambda m: setattr(m.color, "data", m.color.data[:30]), "/keyframes: keyframe 9 color"),
    "broken depth": (lambda m: setattr(m.depth, "data", m.depth.data[:30]), "/keyframes: keyframe 9 depth"),
    "no frame": (lambda m: setattr(m.header, "frame_id", ""), "/keyframes: keyframe 9: expected the map frame"),
}


def test_bad_input_is_named_and_counted_and_leaves_the_map_whole(
    started, neighbors, collect, get_map, wait_for, monkeypatch
):
    monkeypatch.setattr(fusion_node, "OVERDUE_S", 0.3)
    diagnostics = collect(DiagnosticArray, "/diagnostics", qos.diagnostics())
    neighbors.ask(mug="Find the red mug.")
    neighbors.look(1, 2, 3)
    neighbors.keyframes.publish(keyframe_message(4))
    wait_for(lambda: fused(started) == 3 and len(get_map("mug").map.instances) == 1, what="the red mug")
    before = get_map("mug", include_rejected=True).map
    for name, (change, expected) in BAD_CANDIDATES.items():
        message = candidates_message(4)
        change(message)
        neighbors.candidates.publish(message)
        wait_for(lambda expected=expected: problem(started, expected), what=f"{name}: {expected}")
        assert started.state == "active"
    for name, (change, expected) in BAD_KEYFRAMES.items():
        message = keyframe_message(9, SESSION + 1)  # of another session: a broken message must not end the session
        change(message)
        neighbors.keyframes.publish(message)
        wait_for(lambda expected=expected: problem(started, expected), what=f"{name}: {expected}")
    message = keyframe_message(2)
    message.header.stamp.sec += 1
    neighbors.keyframes.publish(message)
    wait_for(lambda: problem(started, "keyframe 2: came again with stamp"), what="the keyframe id used twice")
    fragment = empty_fragment_message(99, 1, "map", 1)
    fragment.clear, fragment.id = False, 12
    neighbors.fragments.publish(fragment)
    wait_for(
        lambda: problem(started, "/fragments: fragment 12: expected mapping session 4711, got 99"), what="fragment"
    )
    fragment.session, fragment.encoding = SESSION, 200
    neighbors.fragments.publish(fragment)
    wait_for(lambda: problem(started, "/fragments: fragment 12: expected encoding 1, got 200"), what="the encoding")
    neighbors.instructions.publish(
        InstructionArray(
            instructions=[InstructionMessage(id="mug", text="Find the red mug."), InstructionMessage(id="x")]
        )
    )
    wait_for(lambda: problem(started, "/instructions: instruction 'x'"), what="the empty instruction")

    # As text, because what was not measured is NaN.
    assert repr(get_map("mug", include_rejected=True).map) == repr(before)
    problems = started.statistics.problems()
    assert problems["candidates refused"].count == 10
    assert problems["keyframes refused"].count == 5
    assert problems["fragments refused"].count == 1

    def counted():
        values = {pair.key: pair.value for array in diagnostics for s in array.status for pair in s.values}
        drops = read_drops(values)
        return drops.get("candidates refused") == 10 and drops.get("keyframes refused") == 5

    wait_for(counted, what="the counts in the diagnostics")
    # And it goes on.
    neighbors.look(5)
    wait_for(lambda: fused(started) == 4, what="the next answer")
    assert get_map("mug").map.instances[0].observations == 4


def test_a_new_session_starts_an_empty_map(started, neighbors, collect, get_map, call_service, peer, wait_for):
    updates = collect(InstanceMapUpdate, "instance_map/updates", qos.stream())
    markers = collect(MarkerArray, "instances/markers", qos.latched())
    neighbors.ask(mug="Find the red mug.")
    neighbors.look(1, 2, 3)
    wait_for(lambda: updates_of(updates, "mug")[0], what="the red mug")
    # The mapping was reset: it says so with a fragment that clears.
    neighbors.fragments.publish(empty_fragment_message(SESSION + 1, 5, "map", 7))
    wait_for(lambda: not updates_of(updates, "mug")[0], what="the empty map")
    wait_for(lambda: not shown(markers), what="the deleted marker")
    neighbors.look(4)  # of the session that has ended
    wait_for(lambda: problem(started, "/candidates: keyframe 4: expected mapping session 4712, got 4711"))
    assert get_map("mug").map.instances == []
    neighbors.look(1, 2, 3, session=SESSION + 1)
    wait_for(lambda: updates_of(updates, "mug")[0], what="the red mug of the new session")
    wait_for(lambda: updates_of(updates, "mug")[1] == get_map("mug").map.revision, what="the newest update")
    # Reset by a person: the session goes on.
    assert call_service(peer, Trigger, "/fusion_node/reset").success
    wait_for(lambda: not updates_of(updates, "mug")[0], what="the empty map")
    neighbors.look(4, 5, 6, session=SESSION + 1)
    wait_for(lambda: updates_of(updates, "mug")[0], what="the red mug after the reset")


def test_nothing_lingers_in_rviz_when_the_node_rests_ends_or_comes_back(
    fusion, neighbors, collect, get_map, spinner, peer, wait_for
):
    node = fusion()
    markers = collect(MarkerArray, "instances/markers", qos.latched())
    clouds = collect(PointCloud2, "instances/points", qos.latched())
    wait_for(neighbors.connected)
    neighbors.ask(mug="Find the red mug.")
    neighbors.look(1, 2, 3)
    wait_for(lambda: shown(markers), what="the red mug")
    held = shown(markers)

    node.trigger_deactivate()
    wait_for(lambda: not shown(markers) and clouds[-1].width == 0, what="the markers taken down")
    node.trigger_activate()
    wait_for(lambda: shown(markers) == held and clouds[-1].width, what="the markers of before")
    node.trigger_deactivate()
    node.trigger_cleanup()
    wait_for(lambda: not shown(markers), what="the markers taken down")

    node.trigger_configure()
    node.trigger_activate()
    wait_for(neighbors.connected)
    neighbors.look(4, 5, 6)
    wait_for(lambda: shown(markers), what="the red mug of the new map")
    before_death = [message for message in markers if len(message.markers) > 1]
    node.shut_down()
    wait_for(lambda: not shown(markers) and clouds[-1].width == 0, what="the markers taken down at the end")

    # A node that died took nothing down. Of the next one RViz may get only the newest message.
    display = RvizDisplay()
    assert shown(before_death, display)
    again = fusion()
    late = collect(MarkerArray, "instances/markers", qos.latched())
    wait_for(neighbors.connected)
    neighbors.ask(other="Find the red mug.")
    neighbors.look(7, 8, 9)
    for number in (7, 8, 9):
        neighbors.candidates.publish(candidates_message(number, "other"))
    wait_for(lambda: shown(late), what="the red mug")
    assert {name for name, _ in shown(late[-1:], display)} == {"other"}
    again.shut_down()


def test_services_answer_with_codes(started, neighbors, get_map, query, views, wait_for):
    codes = GetInstanceMap.Response
    assert get_map().code == codes.NO_INSTRUCTION
    assert query().instances == []
    neighbors.ask(seat="Find the sofa.", mug="Find the red mug.")
    neighbors.look(1, 2, 3)
    wait_for(lambda: fused(started) == 3 and len(get_map().map.instances) == 1, what="the red mug")
    assert get_map().map.instruction_id == "mug"  # the newest
    unknown = get_map("chair")
    assert (unknown.success, unknown.code) == (False, codes.UNKNOWN_ID)
    assert "'chair'" in unknown.message
    assert "seat, mug" in unknown.message

    everything = query()
    assert (everything.success, everything.code) == (True, QUERY.OK)
    assert everything.header.frame_id == "map"
    assert [item.id for item in everything.instances] == sorted(item.id for item in everything.instances)
    assert sorted(item.label for item in everything.instances) == ["mug", "mug", "sofa"]
    assert all(len(item.voxels) == 0 for item in everything.instances)
    first = everything.instances[0].id
    (one,) = query(ids=[first, 999], include_voxels=True).instances
    assert one.id == first

    pictures = views()
    assert (pictures.success, pictures.code, pictures.header.frame_id) == (True, GetInstanceViews.Response.OK, "map")
    assert {view.instance_id for view in pictures.views} == {item.id for item in everything.instances}
    (best,) = views(ids=[first], max_views=1).views
    assert best == next(view for view in pictures.views if view.instance_id == first)
    picture = cv2.imdecode(np.frombuffer(best.image.data, np.uint8), cv2.IMREAD_COLOR)
    assert 0 < max(picture.shape) <= 112
    missing = views(ids=[first, 999])
    assert (missing.success, missing.code) == (False, GetInstanceViews.Response.UNKNOWN_ID)
    assert "999" in missing.message
    assert {view.instance_id for view in missing.views} == {first}
    assert len(one.voxels) > 0
    assert [item.label for item in query(label="sofa").instances] == ["sofa"]
    assert query(label="chair").instances == []
    near = (float(np.mean(BLUE_MUG.x)), BLUE_MUG.y, float(np.mean(BLUE_MUG.z)))
    assert [item.attributes.color for item in query(center=near, radius_m=0.2).instances] == ["blue"]
    (red,) = query(text="the red mug").instances
    assert close_to(red.centroid, RED_MUG)
    assert red.verdicts[0].reason
    assert query(text="the red mug", label="sofa").instances == []

    for center, radius_m in ((near, 0.0), (near, -1.0), (near, float("nan")), ((float("inf"), 0.0, 0.0), 1.0)):
        refused = query(center=center, radius_m=radius_m)
        assert (refused.success, refused.code) == (False, QUERY.INVALID_REGION)
        assert "radius_m > 0" in refused.message
    assert query(text="x " * 5000).code == QUERY.TEXT_TOO_LONG
    assert query(text="красная кружка").code == QUERY.NOT_UNDERSTOOD
    assert started.statistics.problems()["/query_instances refused"].count == 6


def test_services_before_configuration(fusion, peer, get_map, query, call_service):
    fusion(active=False, autostart=False)
    for response in (get_map(), query()):
        assert (response.success, response.code) == (False, GetInstanceMap.Response.NOT_CONFIGURED)
        assert "fusion_node is unconfigured" in response.message
    assert not call_service(peer, Trigger, "/fusion_node/reset").success


def test_a_node_that_starts_late_catches_up(fusion, neighbors, collect, wait_for):
    """Keyframes, answers and instructions of the past are latched; their order does not matter."""
    neighbors.ask(mug="Find the red mug.")
    neighbors.look(1, 2, 3)
    empty = dataclasses.replace(answer(4), candidates=())  # looked, nothing there
    neighbors.keyframes.publish(keyframe_message(4))
    neighbors.candidates.publish(candidates_to_message(empty, SESSION, "map"))
    statuses = collect(InstructionStatusArray, "instruction_status", qos.latched())
    fusion()
    wait_for(lambda: found(statuses) and found(statuses).keyframes_answered == 4, what="the answers of the past")
    wait_for(lambda: found(statuses).state == InstructionStatus.FOUND, what="the red mug")
