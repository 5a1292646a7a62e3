"""The record of what the judge was asked: a run with a judge can be had again without its server."""

import json

import pytest
from hostile_server import HostileServer, completion, http

from lira_ros.configuration import build
from lira_ros.reasoning.contracts import Instruction, ReasoningError, ServerUnavailable
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.remote.configuration import JudgeConfiguration
from lira_ros.reasoning.remote.judge import TableRow, create_judge

KEY = "sk-0d4be1977c2f"
NEED = Instruction("need", "Where can I gronkle?", parse("Where can I gronkle?"))
TABLES = [
    tuple(TableRow(number, label, "red", (1.0, 0.0, 0.5), None, None, None, "", None) for number in range(1, count))
    for count, label in ((3, "mug"), (4, "chair"), (5, "lamp"))
]
SAID = json.dumps({"targets": [{"id": 2, "confidence": 0.75, "reason": f"it is \ud800 {KEY}"}]})
ANSWERS = [completion("Hm."), completion(SAID), completion("Hm."), completion("Hm, hm."), None]


def outcome_of(judge, table):
    try:
        return judge.judge(table, NEED)
    except ReasoningError as error:
        return type(error), str(error).partition(": ")[2]


def judge_of(**values):
    return create_judge(build(JudgeConfiguration, {"when": "open", "timeout_s": 5.0, **values}))


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Return a record of two answers, and what became of them; the first and the second table got a useless one."""
    monkeypatch.setenv("LIRA_TEST_KEY", KEY)
    left = list(ANSWERS)

    def behave(connection, request):
        answer = left.pop(0)
        connection.sendall(http(503, b"", "Retry-After: 3") if answer is None else http(200, answer))

    server = HostileServer(behave)
    path = tmp_path / "judge.jsonl"
    values = {"url": server.url, "model": "big/model", "api_key_variable": "LIRA_TEST_KEY"}
    judge = judge_of(**values, record_exchanges=str(path))
    outcomes = [outcome_of(judge, table) for table in TABLES]
    assert judge.diagnose()["exchanges recorded"] == len(ANSWERS)
    judge.close()
    server.close()
    return path, outcomes


def test_a_record_answers_as_the_server_did(recorded):
    path, outcomes = recorded
    first, second, third = outcomes
    assert (first[2].confidence, first[2].model) == (0.75, "big/model")
    assert second[0] is ReasoningError
    assert third[0] is ServerUnavailable
    assert KEY not in path.read_text()
    assert [json.loads(line)["answer"] is None for line in path.read_text().splitlines()] == 4 * [False] + [True]

    judge = judge_of(replay_exchanges=str(path))
    replayed = [outcome_of(judge, table) for table in TABLES]
    assert replayed[0] == first
    assert replayed[1] == second
    assert replayed[2][0] is ServerUnavailable
    unknown = outcome_of(judge, TABLES[0][:1])
    assert unknown[0] is ReasoningError
    assert judge.diagnose()["unknown"] == 1
    judge.close()


@pytest.mark.parametrize(
    "line",
    [b"[]", b"{}", b"null", b"\xff", b'{"schema": 2}', b'{"schema": 1, "messages": [], "model": 7}', 100_000 * b"["],
)
def test_a_line_that_is_no_exchange_is_named(line, recorded):
    path, _ = recorded
    with path.open("ab") as file:
        file.write(line)
    judge_of(replay_exchanges=str(path)).close()  # torn: the process was killed while it wrote
    with path.open("ab") as file:
        file.write(b"\n")
    with pytest.raises(ReasoningError, match=f"line {len(ANSWERS) + 1}: is not a recorded exchange") as caught:
        judge_of(replay_exchanges=str(path))
    assert str(caught.value).isprintable()


def test_files_that_cannot_be(recorded, tmp_path):
    path, _ = recorded
    (tmp_path / "empty").touch()
    for values, words in (
        ({"replay_exchanges": str(tmp_path / "none")}, "judge.replay_exchanges: cannot read"),
        ({"replay_exchanges": str(tmp_path / "empty")}, "holds no recorded exchange"),
        ({"replay_exchanges": str(path), "record_exchanges": str(path)}, "is the file that is replayed"),
        ({"record_exchanges": str(tmp_path / "no" / "where"), "url": "http://localhost:1"}, "judge.record_exchanges"),
    ):
        with pytest.raises(ReasoningError, match=words):
            judge_of(**values)
