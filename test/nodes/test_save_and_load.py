"""All three nodes behind one executor: a map is saved, everything ends, and a new suite goes on from the file."""

import json
import os
import threading

import pytest
from mapping_harness import feed, mapper, problem
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_msgs.srv import (
    ExportState,
    GetInstanceMap,
    ImportState,
    ListInstructions,
    LoadMap,
    SaveMap,
    SubmitInstruction,
)
from lira_ros.mapping import storage
from lira_ros.nodes import fusion_node, reasoning_node
from lira_ros.reasoning.contracts import Attributes, Candidate, CandidateSet, Reasoner, Role
from lira_ros.reasoning.relevance import Relevance
from lira_ros.ros import qos

SAVE, LOAD = SaveMap.Response, LoadMap.Response


class BoxReasoner(Reasoner):
    """Finds the box before the wall by its depth, and remembers what it was asked."""

    name = "box/1"

    def __init__(self):
        self.asked = []

    def propose(self, keyframe, instruction):
        self.asked.append((keyframe.id, instruction.id))
        depth_m = keyframe.frame.depth_m
        mask = (depth_m > 0.5) & (depth_m < 1.3)
        found = (Candidate(1, mask, "box", 0.9, 0.9, Role.TARGET, Attributes()),) if mask.sum() > 30 else ()
        return CandidateSet(keyframe.id, keyframe.frame.stamp_ns, instruction.id, self.name, 0.0, found)


@pytest.fixture
def suite(spinner, mapping, wait_for, monkeypatch):
    """Return a function that starts mapping, reasoning and fusion in one executor, as ``suite`` does."""
    for module in (fusion_node, reasoning_node):
        monkeypatch.setattr(module, "create_relevance", lambda configuration: Relevance(None))

    def start(others=("reasoning", "fusion"), **values):
        reasoner = BoxReasoner()
        monkeypatch.setattr(reasoning_node, "create_reasoner", lambda *arguments: reasoner)
        nodes = {"mapping": mapping(**values)}
        if "reasoning" in others:
            nodes["reasoning"] = reasoning_node.ReasoningNode()
        if "fusion" in others:
            overrides = [Parameter("fusion.voxel_size_m", value=0.05), Parameter("publish_rate_hz", value=50.0)]
            nodes["fusion"] = fusion_node.FusionNode(parameter_overrides=overrides)
        for name in others:
            spinner.add(nodes[name])
        wait_for(lambda: all(node.state == "active" for node in nodes.values()), 60, "the nodes")
        return nodes, reasoner

    return start


@pytest.fixture
def end(spinner):
    """Return a function that ends nodes as a process that is killed would: nothing is said to anybody."""

    def stop(nodes):
        for node in nodes.values():
            spinner.executor.remove_node(node)
            node.shut_down()
            node.destroy_node()
            spinner.nodes.remove(node)

    return stop


@pytest.fixture
def call(peer, call_service):
    return lambda kind, service, **fields: call_service(peer, kind, service, kind.Request(**fields), 30.0)


def found(call, instruction_id):
    answer = call(GetInstanceMap, "get_instance_map", instruction_id=instruction_id)
    assert answer.success, answer.message
    return {item.id: item for item in answer.map.instances}


def test_a_suite_that_was_killed_goes_on_from_the_file(suite, end, camera, peer, call, collect, wait_for, tmp_path):
    nodes, first = suite()
    camera.connect(peer)
    wait_for(camera.connected, what="the subscriptions")
    name = call(SubmitInstruction, "submit_instruction", text="find the box").id
    feed(camera, 10, nodes["mapping"], wait_for)
    wait_for(lambda: found(call, name), what="the box")
    wait_for(lambda: len(first.asked) == 4, what="all answers")
    before = found(call, name)
    answer = call(SaveMap, "save_map", name="home", exports=["json", "glb", "ply"])
    assert answer.success, answer.message
    assert [os.path.basename(path) for path in answer.files] == ["home.liramap", "home.json", "home.glb", "home.ply"]
    document = json.loads((tmp_path / "home.json").read_text())
    assert [item["id"] for item in document["instances"]] == list(before)
    assert document["instructions"][0]["verdicts"][0]["conformity"] == "CONFORMS"
    saved = storage.load(tmp_path / "home.liramap")
    assert ([item.id for item in saved.keyframes], set(saved.parts)) == ([1, 2, 3, 4], {"instructions", "instances"})
    end(nodes)

    nodes, second = suite()
    wait_for(camera.connected, what="the subscriptions")
    # Something runs already, under the same id: it is replaced.
    call(SubmitInstruction, "submit_instruction", text="find the lamp")
    feed(camera, 2, nodes["mapping"], wait_for)
    wait_for(lambda: second.asked, what="an answer of the other session")
    keyframes = collect(KeyframeMessage, "keyframes", qos.keyframes())
    answer = call(LoadMap, "load_map", name="home")
    assert answer.success, answer.message
    assert "1 instances go on with their ids" in answer.message
    listed = call(ListInstructions, "list_instructions")
    assert [(item.id, item.text) for item in listed.instructions] == [(name, "find the box")]
    wait_for(lambda: found(call, name).keys() == before.keys(), what="the instances of the file")
    for number, instance in found(call, name).items():
        assert (instance.label, instance.observations) == (before[number].label, before[number].observations)

    session = nodes["mapping"]._map.session
    wait_for(lambda: [item.id for item in keyframes if item.session == session] == [1, 2, 3, 4], what="the keyframes")
    # It goes on: the box is the same one, and nothing is asked twice.
    del second.asked[:]
    feed(camera, 4, nodes["mapping"], wait_for)
    number = next(iter(before))
    wait_for(lambda: found(call, name)[number].observations > before[number].observations, what="another observation")
    assert found(call, name).keys() == before.keys()
    assert min(key for key, _ in second.asked) == 5
    # A new instruction is asked about the old keyframes as well.
    other = call(SubmitInstruction, "submit_instruction", text="find the parcel").id
    assert other == "find-2"
    wait_for(lambda: {key for key, item in second.asked if item == other} >= {1, 2, 3, 4, 5}, what="all keyframes")
    assert not problem(nodes["mapping"], "failed")
    assert not problem(nodes["fusion"], "failed")


def test_the_map_is_saved_and_loaded_without_nodes_that_do_not_answer(suite, camera, peer, call, wait_for):
    nodes, _ = suite(others=("fusion",), **{"state_timeout_s": 0.3})
    camera.connect(peer)
    wait_for(camera.connected, what="the subscriptions")
    feed(camera, 4, nodes["mapping"], wait_for)
    wait_for(lambda: nodes["fusion"]._sessions.current, what="the session")
    blocked = threading.Event()
    nodes["fusion"].worker.submit(lambda: blocked.wait(30))
    answer = call(SaveMap, "save_map", name="alone")
    assert answer.success
    assert "no instructions were saved: /reasoning_node/export_state is not there" in answer.message
    assert "no instances were saved: /fusion_node/export_state did not answer within 0.3 s" in answer.message
    feed(camera, 1, nodes["mapping"], wait_for)  # who waits keeps nobody waiting
    blocked.set()
    answer = call(LoadMap, "load_map", name="alone")
    assert answer.success
    assert "the file has no instructions; the file has no instances" in answer.message
    wait_for(lambda: nodes["fusion"]._sessions.current == nodes["mapping"]._map.session, what="the new session")


def test_a_state_that_fusion_cannot_take_up_leaves_the_map_whole(suite, camera, peer, call, wait_for, tmp_path):
    nodes, _ = suite(others=("fusion",))
    camera.connect(peer)
    wait_for(camera.connected, what="the subscriptions")
    feed(camera, 4, nodes["mapping"], wait_for)
    assert call(SaveMap, "save_map", name="good").success
    state = storage.load(tmp_path / "good.liramap")
    with (tmp_path / "forged.liramap").open("wb") as file:
        storage.write(file, storage.MapState(**{**vars(state), "parts": {"instances": b"LIRA_STA nothing"}}))
    answer = call(LoadMap, "load_map", name="forged")
    assert answer.success
    assert "no instances were taken up: instance map: truncated" in answer.message
    wait_for(lambda: nodes["fusion"]._sessions.current == nodes["mapping"]._map.session, what="the new session")

    current, codes = nodes["fusion"]._sessions.current, ImportState.Response
    for fields in ({"session": current, "frame_id": "map"}, {"session": 77, "frame_id": ""}, {"session": 0}):
        assert call(ImportState, "fusion_node/import_state", **fields).code == codes.DATA_BROKEN
    answer = call(ExportState, "fusion_node/export_state", session=current + 1)
    assert answer.code == ExportState.Response.OTHER_SESSION
    assert call(ExportState, "fusion_node/export_state", session=current).success


def test_a_load_is_answered_in_every_state_and_maps_of_other_voxels_are_refused(
    mapping, camera, peer, call, wait_for, tmp_path
):
    node = mapping()
    camera.connect(peer)
    wait_for(camera.connected, what="the subscriptions")
    feed(camera, 5, node, wait_for)
    # Several at once: one after the other, and all are answered.
    saving, loading = peer.create_client(SaveMap, "save_map"), peer.create_client(LoadMap, "load_map")
    assert saving.wait_for_service(timeout_sec=10.0)
    assert call(SaveMap, "save_map", name="room").success
    asked = [
        client.call_async(request)
        for _ in range(3)
        for client, request in ((saving, SaveMap.Request(name="room")), (loading, LoadMap.Request(name="room")))
    ]
    for _ in range(6):
        camera.send(camera.next())
    wait_for(lambda: all(future.done() for future in asked), 60, "all answers")
    assert all(future.result().success for future in asked), [future.result().message for future in asked]
    count = len(mapper(node, "fragments"))
    assert count

    assert call(Trigger, "/mapping_node/pause").success
    assert call(LoadMap, "load_map", name="room").success
    assert call(Trigger, "/mapping_node/resume").success
    node.trigger_deactivate()
    assert call(LoadMap, "load_map", name="room").success
    node.trigger_cleanup()
    assert call(LoadMap, "load_map", name="room").code == LOAD.NOT_CONFIGURED
    node.trigger_configure()
    assert call(LoadMap, "load_map", name="room").success
    assert len(mapper(node, "fragments")) == count

    state = storage.load(tmp_path / "room.liramap")
    other = [storage.Fragment(**{**vars(item), "voxel_size_m": 0.04}) for item in state.fragments]
    storage.save(tmp_path / "other.liramap", storage.MapState(**{**vars(state), "fragments": other}))
    answer = call(LoadMap, "load_map", name="other")
    assert answer.code == LOAD.FILE_BROKEN
    assert "made with voxel_size_m 0.04, this mapper has 0.05" in answer.message
    assert len(mapper(node, "fragments")) == count


def test_links_and_places_where_nothing_can_be_written_are_refused(mapping, camera, peer, call, wait_for, tmp_path):
    node = mapping()
    camera.connect(peer)
    wait_for(camera.connected, what="the subscriptions")
    feed(camera, 4, node, wait_for)
    assert call(SaveMap, "save_map", name="room").success
    secret = tmp_path.parent / f"{tmp_path.name}.secret"
    secret.write_bytes((tmp_path / "room.liramap").read_bytes())
    (tmp_path / "link.liramap").symlink_to(secret)
    (tmp_path / "folder.liramap").mkdir()
    os.mkfifo(tmp_path / "pipe.liramap")
    before = secret.read_bytes()
    for name, said in (("link", "symbolic link"), ("folder", "not a plain file"), ("pipe", "not a plain file")):
        answer = call(LoadMap, "load_map", name=name)
        assert (answer.code, said in answer.message) == (LOAD.FILE_BROKEN, True), answer.message
        answer = call(SaveMap, "save_map", name=name)
        assert answer.code == SAVE.WRITE_FAILED, answer.message
        assert "is not replaced" in answer.message
    assert secret.read_bytes() == before
    answer = call(SaveMap, "save_map", name="x", exports=["ply", "obj"])
    assert (answer.code, list(answer.files)) == (SAVE.EXPORT_INVALID, [])
    assert not (tmp_path / "x.liramap").exists()
    answer = call(SaveMap, "save_map", name="x", exports=["json", "nav2"])
    assert answer.success
    assert "json: there are no instances to be written" in answer.message
    assert "nav2: no floor has been seen yet" in answer.message
    feed(camera, 1, node, wait_for)


def test_a_folder_that_cannot_be_used_is_named_and_the_node_stays_up(mapping, camera, peer, call, wait_for):
    node = mapping(map_directory="/sys")  # read-only in containers, and nothing can be made in it elsewhere
    camera.connect(peer)
    wait_for(camera.connected, what="the subscriptions")
    feed(camera, 2, node, wait_for)
    answer = call(SaveMap, "save_map", name="room")
    assert (answer.code, "/sys/room.liramap" in answer.message) == (SAVE.WRITE_FAILED, True), answer.message
    assert call(LoadMap, "load_map", name="room").code == LOAD.NOT_FOUND
    feed(camera, 1, node, wait_for)
