"""A judge at a server decides at the end of a run what serves a need, and its failures are told."""

import json

import pytest
from hostile_server import HostileServer, completion, http

from lira_ros.configuration import build
from lira_ros.datasets.rooms import RoomSequence
from lira_ros.evaluation.runner import Request, ground_truth, run_sequence
from lira_ros.pipeline.pipeline import Pipeline, PipelineConfiguration
from lira_ros.reasoning.backends import ReasonerConfiguration, create_reasoner
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.relevance import Relevance

# Words that are invented: no list of names and uses can ever tell what answers them.
REQUESTS = [
    Request("Where can I gronkle my wibbets?", 0.0, "need"),
    Request("I want to blorvify.", 0.0, "refused"),
    Request("Find the sofa.", 0.0, "sofa"),
]
VALUES = {"mapping.voxel_size_m": 0.05, "fusion.voxel_size_m": 0.05, "mapping.up": "+z", "judge.when": "open"}


@pytest.fixture
def server():
    server = HostileServer(behave)
    yield server
    server.close()


def table_of(question):
    things = question["messages"][1]["content"].split("\n")[1].removeprefix("Things: ")
    return {row["id"]: row for row in json.loads(things)}


def highest(table):
    return max(table, key=lambda number: table[number]["top"])


def behave(connection, request):
    question = json.loads(request[3])
    if "blorvify" in question["messages"][1]["content"]:
        connection.sendall(http(500, b"boom"))
        return
    chosen = [{"id": highest(table_of(question)), "confidence": 1.0}]
    connection.sendall(http(200, completion(json.dumps({"targets": chosen}))))


def test_the_judge_decides_what_serves_a_need_and_nothing_else(server):
    room = RoomSequence(seed=0, rate_hz=2.0, width_px=160, duration_s=3.0)
    values = {**VALUES, "judge.url": server.url, "judge.model": "tiny"}
    oracle = create_reasoner(ReasonerConfiguration("oracle"), Relevance(None), ground_truth(room))
    record = run_sequence(
        room,
        REQUESTS,
        lambda reasoner: Pipeline(build(PipelineConfiguration, values), reasoner, Relevance(None)),
        oracle,
    )

    asked = server.posts()[0]  # at the end
    assert "gronkle my wibbets" in asked["messages"][1]["content"]
    table = table_of(asked)
    assert len(table) > 3
    (found,) = record.conforming["need"]
    assert found.id == highest(table)
    assert found.label == table[found.id]["label"]
    assert record.conforming["refused"] == ()
    assert [item.label for item in record.conforming["sofa"]] == ["sofa"]  # names and measures decide
    assert not any("sofa" in question["messages"][1]["content"].split("\n")[0] for question in server.posts())
    (failure,) = record.failures
    assert failure.startswith("judge, refused: 127.0.0.1:")
    assert "HTTP 500: boom" in failure


def test_a_judge_without_a_server_is_refused_at_the_start():
    with pytest.raises(ReasoningError, match=r"judge\.url: expected the address"):
        Pipeline(build(PipelineConfiguration, VALUES), None, Relevance(None))
