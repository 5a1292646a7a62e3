"""A program or a person without topics gives an instruction, sees how it goes, and gets a goal; over real DDS."""

import argparse
import threading
import time

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped

from lira_msgs.msg import InstanceMap, InstanceMapUpdate, Instruction, InstructionArray, InstructionStatusArray
from lira_msgs.srv import CancelInstruction, GetGoalBeside, QueryInstances, SubmitInstruction
from lira_ros.cli import instruct
from lira_ros.client import Lira, ServiceError
from lira_ros.fusion.contracts import (
    Conformity,
    Instance,
    InstructionStatus,
    OrientedBox,
    SearchState,
    Verdict,
)
from lira_ros.reasoning.contracts import Attributes
from lira_ros.ros import qos
from lira_ros.ros.conversions.instance import instance_to_message, map_to_message, update_to_message
from lira_ros.ros.conversions.instruction import statuses_to_message


def chair(number, score=0.9):
    return Instance(
        id=number, label="chair", label_confidence=1.0, existence=0.9, attributes=Attributes(),
        box=OrientedBox(np.eye(4), np.array([0.5, 0.5, 0.9])), voxel_size_m=0.1,
        voxels=np.array([[number, 2, 3]], dtype=np.int32), voxel_colors=np.zeros((1, 3), np.uint8),
        first_seen_ns=1, last_seen_ns=2, observations=3,
        verdicts={"seat": Verdict(Conformity.CONFORMS, score, "a chair is to sit on")},
    )  # fmt: skip


class Suite:
    """Stands for reasoning, fusion and planning: refuses, finds, or finds nothing, as its next step says."""

    def __init__(self, node):
        self.node = node
        self.steps = []
        self.revision = 0
        for kind, name, answer in (
            (SubmitInstruction, "submit_instruction", self.submit),
            (CancelInstruction, "cancel_instruction", self.cancel),
            (GetGoalBeside, "get_goal_beside", self.goal),
            (QueryInstances, "query_instances", self.query),
        ):
            node.create_service(kind, f"/lira/{name}", answer)
        self.instructions = node.create_publisher(InstructionArray, "/lira/instructions", qos.latched())
        self.statuses = node.create_publisher(InstructionStatusArray, "/lira/instruction_status", qos.latched())
        self.maps = node.create_publisher(InstanceMap, "/lira/instance_map", qos.instance_maps())
        self.updates = node.create_publisher(InstanceMapUpdate, "/lira/instance_map/updates", qos.instance_updates())

    def submit(self, request, response):
        if "xyz" in request.text:
            response.message, response.code = "no word of it means anything", SubmitInstruction.Response.NOT_UNDERSTOOD
            return response
        response.accepted, response.id, response.message = True, "seat", "seat: looking for a seat"
        self.instructions.publish(InstructionArray(instructions=[Instruction(id="seat", text=request.text)]))
        self.say(SearchState.SEARCHING, "Nothing yet.")
        self.maps.publish(map_to_message((), (), self.status(SearchState.SEARCHING, "."), (), 0, 10, "map"))
        self.revision = 0
        threading.Thread(target=self.play, daemon=True).start()
        return response

    def play(self):
        for step in list(self.steps):
            time.sleep(0.15)
            step()

    def status(self, state, reason):
        return InstructionStatus("seat", state, reason, 4, 2, 3, 1)

    def say(self, state, reason):
        self.statuses.publish(statuses_to_message([self.status(state, reason)], 10, "map"))

    def find(self, *chairs):
        def step():
            status = self.status(SearchState.FOUND, "Found a chair.")
            revisions = (self.revision, self.revision + 1)
            self.revision += 1
            self.updates.publish(update_to_message(chairs, (), status, revisions, 1, 10, "map"))
            self.say(SearchState.FOUND, "Found a chair.")

        return step

    def cancel(self, request, response):
        response.success, response.message = True, f"cancelled {request.id}"
        self.instructions.publish(InstructionArray())
        self.statuses.publish(InstructionStatusArray())
        return response

    def goal(self, request, response):
        if request.instance_id != 3:
            response.code, response.message = GetGoalBeside.Response.UNKNOWN_ID, "no instance has the id 9"
            return response
        goal = PoseStamped()
        goal.header.frame_id = "map"
        goal.pose.position.x, goal.pose.position.y = 1.0, request.distance_m
        goal.pose.orientation.z = goal.pose.orientation.w = float(np.sqrt(0.5))
        response.success, response.goals, response.scores = True, [goal], [0.75]
        return response

    def query(self, request, response):
        response.success = request.text == "what is on the table?"
        response.message = "the text cannot be parsed"
        response.instances = [instance_to_message(chair(8))]
        return response


@pytest.fixture
def suite(peer):
    return Suite(peer)


def test_a_program_searches_and_drives(suite):
    suite.steps = [suite.find(chair(3)), suite.find(chair(4, 0.95))]
    with Lira(timeout_s=15.0) as lira:
        with pytest.raises(ServiceError, match="no word of it means anything"):
            lira.submit("xyz")
        search = lira.submit("find something to sit on")
        assert search.understood == "seat: looking for a seat"
        assert [item.id for item in search.wait(20.0)] == [3]
        assert search.status.state is SearchState.FOUND
        assert [item.id for item in search.wait(20.0, count=2)] == [4, 3]  # the best first
        assert [item.id for item in search.found(0.0)] == [4, 3]
        (goal,) = lira.goals_beside(search.instances[1], distance_m=0.5)
        assert (goal.frame_id, goal.x_m, goal.y_m, goal.score) == ("map", 1.0, 0.5, 0.75)
        assert goal.yaw_rad == pytest.approx(np.pi / 2)
        with pytest.raises(ServiceError, match="get_goal_beside: no instance has the id 9"):
            lira.goals_beside(9)
        assert [item.id for item in lira.query("what is on the table?")] == [8]
        with pytest.raises(ServiceError, match="query_instances: the text cannot be parsed"):
            lira.query("?")
        search.cancel()
        assert search.wait(20.0) == ()
        assert search.status.state is SearchState.CANCELLED


def follow(**given):
    parser = argparse.ArgumentParser()
    instruct.add_parser(parser.add_subparsers(), "")
    arguments = ["instruct", "find something to sit on"]
    for name, value in given.items():
        arguments += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    return instruct.run(parser.parse_args(arguments))


def test_a_person_sees_how_the_search_goes_until_something_is_found(suite, capsys):
    suite.steps = [lambda: time.sleep(2 * instruct.PERIOD_S), suite.find(chair(3))]
    assert follow() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "seat: looking for a seat"
    assert any("searching" in line and "4 keyframes looked at, 2 to come" in line for line in lines[1:])
    assert "  + #3 chair 0.90 at (0.30, 0.20, 0.30) m, 0.50 x 0.50 x 0.90 m: a chair is to sit on" in lines
    assert lines[-1] == "Found a chair."


def test_a_person_is_told_that_nothing_conforms_and_that_time_is_up(suite, capsys):
    suite.steps = [lambda: suite.say(SearchState.NONE_CONFORM, "Nothing to sit on is here.")]
    assert follow() == instruct.NONE_CONFORMS
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing to sit on is here."
    suite.steps = []
    assert follow(**{"for": 0.5}) == instruct.NOT_IN_TIME
    assert follow(no_wait=True) == 0
    assert follow(**{"for": -1}) == 2
    assert "--for: expected more than 0 s, got -1" in capsys.readouterr().err


def test_the_last_line_of_a_terminal_is_written_over(capsys):
    screen = instruct.Screen(is_terminal=True)
    screen.state("searching " * 40, "searching")
    screen.say("found")
    written = capsys.readouterr().out
    assert written.endswith("\r\033[Kfound\n")
    assert len(written.split("\r\033[K")[1]) < 200
