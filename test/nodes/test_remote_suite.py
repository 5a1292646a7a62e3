"""Mapping, reasoning and fusion with a server that hangs and comes back: mapping keeps its rate, candidates return."""

import json
import time

import pytest
from hostile_server import HostileServer, completion, hang, http
from mapping_harness import mapped
from rclpy.parameter import Parameter

from lira_msgs.msg import CandidateArray
from lira_msgs.srv import SubmitInstruction
from lira_ros.nodes import fusion_node, reasoning_node
from lira_ros.reasoning.relevance import Relevance
from lira_ros.ros import qos

# Of the whole image in the middle, which holds the box before the wall while the camera goes by.
SEEN = {"label": "box", "color": "red", "bbox_2d": [250, 300, 750, 850], "role": "target", "confidence": 0.9}
RATE_HZ = 30.0


def good(connection, request):
    """Answer about images, and want everything of a table."""
    if request[0] == "GET":
        connection.sendall(http(200, json.dumps({"data": [{"id": "tiny"}]}).encode()))
        return
    body = json.loads(request[3])
    name = body["response_format"]["json_schema"]["name"]
    said = {"objects": [SEEN], "reason": ""}
    if name == "targets":
        target = body["response_format"]["json_schema"]["schema"]["properties"]["targets"]["items"]
        said = {"targets": [{"id": i, "confidence": 1.0} for i in target["properties"]["id"]["enum"]]}
    connection.sendall(http(200, completion(json.dumps(said))))


@pytest.fixture
def server():
    server = HostileServer(good)
    yield server
    server.close()


def start(spinner, wait_for, node_class, **values):
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = spinner.add(node_class(parameter_overrides=overrides))
    wait_for(lambda: node.state == "active", 30, f"the start of {node_class.node_name}")
    return node


def drive(camera, seconds):
    """Send images at the rate of a camera; returns their number."""
    count = round(seconds * RATE_HZ)
    for _ in range(count):
        camera.send(camera.next())
        time.sleep(1.0 / RATE_HZ)
    return count


def test_mapping_keeps_its_rate_while_the_server_hangs_and_candidates_come_back(
    server, mapping, camera, peer, spinner, collect, call_service, wait_for, monkeypatch
):
    for module in (reasoning_node, fusion_node):
        monkeypatch.setattr(module, "create_relevance", lambda configuration: Relevance(None))
    # Each frame a keyframe: the reasoner is given far more than it can be asked.
    mapper = mapping(**{"mapping.keyframe_distance_m": 0.01})
    remote = {"reasoner.backend": "remote", "reasoner.remote.url": server.url, "reasoner.remote.timeout_s": 1.0}
    remote |= {"reasoner.masks.method": "depth", "scheduler.keyframe_stride": 3}
    reasoning = start(spinner, wait_for, reasoning_node.ReasoningNode, **remote)
    judged = {"judge.when": "open", "judge.url": server.url, "judge.timeout_s": 1.0, "judge.period_s": 0.1}
    fusion = start(spinner, wait_for, fusion_node.FusionNode, **judged)
    answers = collect(CandidateArray, "candidates", qos.candidates())
    for text, name in (("Find the box.", "box"), ("I need something to put my things into.", "need")):
        request = SubmitInstruction.Request(text=text, id=name)
        assert call_service(peer, SubmitInstruction, "submit_instruction", request).accepted
    camera.step_m = 0.005
    camera.connect(peer)
    wait_for(camera.connected, what="the subscriptions of the mapping")

    sent = drive(camera, 1.0)
    wait_for(lambda: any(message.candidates for message in answers), 10, "candidates")
    wait_for(lambda: fusion.diagnose()["judge answers"], 10, "an answer of the judge")
    assert {message.model for message in answers} == {"remote/tiny"}

    server.behave = hang
    before_s = time.monotonic()
    sent += drive(camera, 3.0)
    wait_for(lambda: mapped(mapper) == sent, 1.0, "all images in the map")  # as many as came, as fast as they came
    took_s = time.monotonic() - before_s
    assert took_s < 3.0 * 1.5 + 1.0
    before = len(answers)  # what was answered before has arrived
    wait_for(lambda: reasoning.diagnose()["remote server circuit"] != "closed", 10, "the circuit to open")
    assert len(answers) == before
    values = reasoning.diagnose()
    assert "did not answer completely within 1 s" in values["remote server circuit reason"]
    assert values["questions pending"] > 0  # nothing is given up

    server.behave = good
    back_s = time.monotonic()
    wait_for(lambda: len(answers) > before, 10, "candidates after the server is back")
    assert time.monotonic() - back_s < 10
    wait_for(lambda: reasoning.diagnose()["questions pending"] == 0, 20, "the answers to all that had waited")
    assert reasoning.diagnose()["remote server circuit"] == "closed"
    assert server.most_in_flight <= 3 + 2  # one for each instruction, one of the judge; and one each given up unseen
