"""A camera at 30 Hz and a model that thinks for seconds: the mapping takes every image, what is dropped is counted."""

import threading
import time

import pytest
from mapping_harness import mapped
from rclpy.parameter import Parameter

from lira_msgs.msg import CandidateArray
from lira_msgs.srv import SubmitInstruction
from lira_ros.nodes import reasoning_node
from lira_ros.reasoning.contracts import CandidateSet, Reasoner
from lira_ros.reasoning.relevance import Relevance
from lira_ros.ros import qos

RATE_HZ = 30.0
FRAMES = 60
KEPT = 10


class SlowReasoner(Reasoner):
    """Answers one keyframe and thinks about the second until the test is over."""

    name = "slow"

    def __init__(self):
        self.asked = []
        self.over = threading.Event()

    def propose(self, keyframe, instruction):
        self.asked.append(keyframe.id)
        if len(self.asked) > 1:
            self.over.wait(60.0)
        return CandidateSet(keyframe.id, keyframe.frame.stamp_ns, instruction.id, "slow/1", 0.1, ())

    def close(self):
        self.over.set()


@pytest.fixture
def slow(monkeypatch):
    reasoner = SlowReasoner()
    monkeypatch.setattr(reasoning_node, "create_relevance", lambda configuration: Relevance(None))
    monkeypatch.setattr(reasoning_node, "create_reasoner", lambda *arguments: reasoner)
    yield reasoner
    reasoner.over.set()


def drive(camera, count):
    for _ in range(count):
        camera.send(camera.next())
        time.sleep(1.0 / RATE_HZ)


def test_mapping_keeps_up_with_the_camera_and_everything_dropped_is_counted(
    slow, mapping, camera, peer, spinner, collect, call_service, wait_for
):
    mapper = mapping(**{"mapping.keyframe_distance_m": 0.01, "frame_queue_size": FRAMES})  # each frame a keyframe
    reasoning = spinner.add(
        reasoning_node.ReasoningNode(parameter_overrides=[Parameter("scheduler.max_keyframes", value=KEPT)])
    )
    wait_for(lambda: reasoning.state == "active", 30, "the reasoning node")
    answers = collect(CandidateArray, "candidates", qos.candidates())
    request = SubmitInstruction.Request(text="Find the box.", id="box")
    assert call_service(peer, SubmitInstruction, "submit_instruction", request).accepted
    camera.step_m = 0.02
    camera.connect(peer)
    wait_for(camera.connected, what="the subscriptions of the mapping")

    drive(camera, FRAMES)
    wait_for(lambda: mapped(mapper) == FRAMES, 10, "all images in the map")
    assert mapper.worker.statistics()["frames"].dropped == 0
    wait_for(lambda: reasoning.diagnose()["keyframes forgotten"] == FRAMES - KEPT, 10, "the count of what was dropped")
    assert reasoning.diagnose()["keyframes stored"] == KEPT
    assert reasoning.diagnose()["questions in flight"] == 1
    assert (len(slow.asked), len(answers)) == (2, 1)

    # The mapping itself: while its worker is busy more comes than its queue holds.
    busy = threading.Event()
    mapper.worker.submit(lambda: busy.wait(30.0))
    drive(camera, FRAMES + KEPT)
    wait_for(lambda: mapper.worker.statistics()["frames"].received == 2 * FRAMES + KEPT, 10, "all images in the queue")
    busy.set()
    wait_for(lambda: mapped(mapper) == 2 * FRAMES, 20, "what the queue held in the map")
    assert mapper.worker.statistics()["frames"].dropped == KEPT
