"""What is recorded of a reasoner answers again without it, and files that are broken are named."""

import contextlib
import dataclasses
import json
import os
import threading

import numpy as np
import pytest
from wall_strip import instruction, wall_view

from lira_ros.configuration import build
from lira_ros.datasets.rooms import RoomSequence
from lira_ros.evaluation.runner import ground_truth
from lira_ros.pipeline.pipeline import Pipeline, PipelineConfiguration
from lira_ros.reasoning import exchanges as exchanges_module
from lira_ros.reasoning.backends import ReasonerConfiguration, create_reasoner
from lira_ros.reasoning.contracts import (
    Attributes,
    Candidate,
    CandidateSet,
    Exchange,
    Reasoner,
    ReasoningError,
    Role,
    ServerUnavailable,
)
from lira_ros.reasoning.exchanges import ExchangeFile, RecordingReasoner
from lira_ros.reasoning.relevance import Relevance
from lira_ros.reasoning.replay import ReplayConfiguration, ReplayReasoner


def answer(keyframe, asked):
    """Return two candidates with everything that a candidate can have, and with what may be unknown."""
    height, width = keyframe.frame.depth_m.shape
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[1:4, 2:5] = True
    known = Attributes("red", (0.3, 0.2, 0.1), 0.7, 0.8, 0.1, 0.2, 0.3, 0.4, 0.5, "surface")
    embedding = np.linspace(-1, 1, 7, dtype=np.float32) / np.float32(3)
    candidates = (
        Candidate(1, mask, "cup", 0.1 + 0.2, 1 / 3, Role.TARGET, known, "stands on it: \u2018so\u2019", embedding, 0.9),
        Candidate(2, ~mask, "", 0.0, 1.0, Role.CONTEXT, Attributes()),
    )
    texts = (Exchange("what is there?", "a cup", "", 0.5), Exchange("again", "", "no JSON", 0.25))
    stamp_ns = keyframe.frame.stamp_ns
    return CandidateSet(keyframe.id, stamp_ns, asked.id, "fake/7b", 0.75, candidates, texts)


class Fake(Reasoner):
    """Raises what it is told to raise, then answers."""

    name = "fake"
    batch_size = 3

    def __init__(self):
        self.raises = []
        self.closed = False

    def propose(self, keyframe, instruction):
        if self.raises:
            raise self.raises.pop(0)
        return answer(keyframe, instruction)

    def diagnose(self):
        return {"mood": "good"}

    def close(self):
        self.closed = True


def recording(path, *, raises=(), questions=(("cup", 1),)):
    """Ask a recorded reasoner and return it; what it raises stays in the record."""
    fake = Fake()
    fake.raises = list(raises)
    reasoner = RecordingReasoner(fake, ExchangeFile(path))
    for name, number in questions:
        with contextlib.suppress(*{type(error) for error in raises}):
            reasoner.propose(wall_view(number, 0.0), instruction(name))
    return reasoner


def same(one, other):
    """Tell whether two candidates are the same to the last bit, NaN included."""
    for item in dataclasses.fields(Candidate):
        a, b = getattr(one, item.name), getattr(other, item.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        else:
            assert repr(a) == repr(b), item.name


def test_everything_that_was_answered_comes_back(tmp_path):
    recording(tmp_path / "run.jsonl", questions=[("cup", 1), ("cup", 2)]).close()
    replay = ReplayReasoner(tmp_path / "run.jsonl")
    assert (replay.batch_size, replay.diagnose()) == (3, {"answers of": "fake", "questions known": 2})
    asked = dataclasses.replace(instruction("cup"), id="another-id")
    keyframe = dataclasses.replace(wall_view(2, 0.0), id=17)  # ids are those of a run, not of what was seen
    expected, found = answer(keyframe, asked), replay.propose(keyframe, asked)
    for one, other in zip(expected.candidates, found.candidates, strict=True):
        same(one, other)
    assert dataclasses.replace(found, candidates=()) == dataclasses.replace(expected, candidates=())


VALUES = {"mapping.voxel_size_m": 0.04, "fusion.voxel_size_m": 0.04, "mapping.up": "+z"}


def run(frames, configuration, truth=None):
    """Run the pipeline over frames; return the instances, the verdicts and the name of the back end."""
    relevance = Relevance(None)
    reasoner = create_reasoner(build(ReasonerConfiguration, configuration), relevance, truth)
    pipeline = Pipeline(build(PipelineConfiguration, VALUES), reasoner, relevance)
    pipeline.submit("Find the sofa.", "sofa")
    for number, frame in enumerate(frames):
        if number == len(frames) // 2:
            pipeline.submit("Find the armchair.", "late")
        pipeline.add_frame(frame)
    pipeline.finish()
    reasoner.close()
    assert not pipeline.failures
    return pipeline.map.fusion.instances(), {name: pipeline.judgement(name) for name in ("sofa", "late")}


def test_a_run_is_had_again_without_its_model(tmp_path):
    room = RoomSequence(seed=0, rate_hz=2.0, width_px=160, duration_s=4.0)
    frames, path = list(room), str(tmp_path / "run.jsonl")
    instances, verdicts = run(frames, {"backend": "oracle", "record_exchanges": path}, ground_truth(room))
    again, verdicts_again = run(frames, {"backend": "replay", "replay.exchanges": path})
    assert len(instances) > 3
    assert verdicts_again == verdicts
    for one, other in zip(instances, again, strict=True):
        assert (one.id, one.label, one.names, one.observations) == (
            other.id,
            other.label,
            other.names,
            other.observations,
        )
        assert repr(one.attributes) == repr(other.attributes)
        np.testing.assert_array_equal(one.voxels, other.voxels)
        np.testing.assert_array_equal(one.voxel_colors, other.voxel_colors)
        np.testing.assert_array_equal(one.embedding, other.embedding)


def test_failures_are_replayed_in_their_order_and_the_last_answer_is_repeated(tmp_path):
    talked = (Exchange("what?", "I think, therefore", "no JSON", 0.1),)
    raises = [ReasoningError("cannot be parsed", talked), ServerUnavailable("away", 9.0), KeyError("a bug")]
    recording(tmp_path / "run.jsonl", raises=raises, questions=[("cup", 1)] * 4).close()
    replay = ReplayReasoner(tmp_path / "run.jsonl")
    question = (wall_view(1, 0.0), instruction("cup"))
    with pytest.raises(ReasoningError, match="cannot be parsed") as parsing:
        replay.propose(*question)
    assert parsing.value.exchanges == talked
    with pytest.raises(ServerUnavailable, match="away") as away:
        replay.propose(*question)
    assert away.value.retry_after_s == 0.0
    with pytest.raises(ReasoningError, match="KeyError: 'a bug'"):
        replay.propose(*question)
    for _ in range(2):
        assert len(replay.propose(*question).candidates) == 2


def test_a_batch_is_recorded_task_by_task(tmp_path):
    fake = Fake()
    fake.raises = [ReasoningError("no")]
    reasoner = RecordingReasoner(fake, ExchangeFile(tmp_path / "run.jsonl"))
    tasks = [exchanges_module.Task(wall_view(number, 0.0), instruction("cup")) for number in (1, 2)]
    assert [type(item) for item in reasoner.propose_batch(tasks)] == [ReasoningError, CandidateSet]
    assert reasoner.diagnose() == {"mood": "good", "exchanges recorded": 2}
    reasoner.close()
    assert fake.closed
    replayed = ReplayReasoner(tmp_path / "run.jsonl").propose_batch(tasks)
    assert [type(item) for item in replayed] == [ReasoningError, CandidateSet]


def test_a_question_that_was_not_recorded_is_named(tmp_path):
    recording(tmp_path / "run.jsonl").close()
    replay = ReplayReasoner(tmp_path / "run.jsonl")
    keyframe = wall_view(1, 0.0)
    with pytest.raises(ReasoningError, match=r"run.jsonl holds no answer about keyframe 2 .*stamp 2 ns.* for 'cup'"):
        replay.propose(wall_view(2, 0.0), instruction("cup"))
    with pytest.raises(ReasoningError, match="for 'bowl'"):
        replay.propose(keyframe, instruction("bowl"))
    other = np.full_like(keyframe.frame.color, 1)
    with pytest.raises(ReasoningError, match="holds no answer"):
        replay.propose(
            dataclasses.replace(keyframe, frame=dataclasses.replace(keyframe.frame, color=other)), instruction("cup")
        )


def broken(path, change):
    """Record two lines and change the values of the second."""
    recording(path, questions=[("cup", 1), ("cup", 2)]).close()
    first, second = path.read_text().splitlines()
    values = json.loads(second)
    change(values)
    path.write_text(f"{first}\n{json.dumps(values)}\n")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda values: values.update(schema=2), "schema: expected 1, got 2"),
        (lambda values: values.pop("keyframe"), "keyframe: expected dict, got NoneType"),
        (lambda values: values["keyframe"].update(stamp_ns="soon"), "stamp_ns: expected int, got str"),
        (lambda values: values["instruction"].update(text=None), "text: expected str, got NoneType"),
        (lambda values: values.update(answer=None), "expected either an answer or an error"),
    ],
)
def test_a_line_that_is_no_exchange_is_named_at_the_start(tmp_path, change, expected):
    broken(tmp_path / "run.jsonl", change)
    with pytest.raises(ReasoningError, match=f"run.jsonl, line 2: is not a recorded exchange: {expected}"):
        ReplayReasoner(tmp_path / "run.jsonl")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda item: item["mask"].update(size=[10**9, 10**9]), "mask: expected the size"),
        (lambda item: item["mask"].update(counts=[1, 2]), "run lengths sum to 3 pixels"),
        (lambda item: item["mask"].update(counts=[-5, 53]), "must not be negative"),
        (lambda item: item["mask"].update(counts=["a"]), "counts: expected whole numbers"),
        (lambda item: item["mask"].update(counts=[10**30]), "counts: expected whole numbers"),
        (lambda item: item["mask"].update(counts=[0.5]), "counts: expected whole numbers"),
        (lambda item: item["mask"].update(counts=[[1], [2, 3]]), "inhomogeneous"),
        (lambda item: item.update(role="king"), "role: expected target, anchor, context, got 'king'"),
        (lambda item: item.update(embedding="AAA"), "padding"),
        (lambda item: item.update(embedding="AAAA"), "buffer size"),
        (lambda item: item.update(score=float("inf")), "score: expected a number or null"),
        (lambda item: item["attributes"].update(fill=10**400), "fill: expected a number or null"),
        (lambda item: item["attributes"].update(fill=1e39), "fill: expected a number or null"),
        (lambda item: item["attributes"].update(size_m=[1.0]), "size_m: expected 3 numbers"),
        (lambda item: item["attributes"].pop("color"), "color: expected str"),
    ],
)
def test_an_answer_that_is_broken_is_named_when_it_is_asked_for(tmp_path, change, expected):
    broken(tmp_path / "run.jsonl", lambda values: change(values["answer"]["candidates"][0]))
    replay = ReplayReasoner(tmp_path / "run.jsonl")
    assert replay.propose(wall_view(1, 0.0), instruction("cup")).candidates
    with pytest.raises(ReasoningError, match=f"run.jsonl, line 2: .*{expected}"):
        replay.propose(wall_view(2, 0.0), instruction("cup"))


def test_files_that_cannot_answer_are_named(tmp_path, monkeypatch):
    path = tmp_path / "run.jsonl"
    with pytest.raises(ReasoningError, match=r"reasoner.replay.exchanges: names the file to answer from, is empty"):
        create_reasoner(ReasonerConfiguration("replay"), Relevance(None))
    with pytest.raises(ReasoningError, match=r"cannot read .*run.jsonl: No such file"):
        ReplayReasoner(path)
    with pytest.raises(ReasoningError, match=r"cannot write .*nowhere/run.jsonl: No such file"):
        ExchangeFile(tmp_path / "nowhere" / "run.jsonl")
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for ever
    with pytest.raises(ReasoningError, match="pipe is not a file"):
        ReplayReasoner(tmp_path / "pipe")
    path.write_bytes(b"")
    with pytest.raises(ReasoningError, match="holds no recorded exchange"):
        ReplayReasoner(path)
    path.write_bytes(b"\x00\xff\n")
    with pytest.raises(ReasoningError, match="line 1: is not a recorded exchange: is not JSON"):
        ReplayReasoner(path)
    path.write_bytes(b"[" * 100_000 + b"\n")
    with pytest.raises(ReasoningError, match="line 1: is not a recorded exchange: is not JSON"):
        ReplayReasoner(path)
    recording(path := tmp_path / "good.jsonl").close()
    both = ReasonerConfiguration("replay", str(path), replay=ReplayConfiguration(str(path)))
    with pytest.raises(ReasoningError, match="is what is replayed"):
        create_reasoner(both, Relevance(None))
    assert len(path.read_bytes().splitlines()) == 1


def test_a_line_that_a_killed_process_began_is_left_out_and_cut_off(tmp_path):
    path = tmp_path / "run.jsonl"
    recording(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:100])
    assert ReplayReasoner(path).diagnose()["questions known"] == 1
    recording(path, questions=[("cup", 2)]).close()
    assert path.read_bytes().startswith(whole)
    assert ReplayReasoner(path).diagnose()["questions known"] == 2
    path.write_bytes(whole[:100])
    recording(path).close()
    assert len(path.read_bytes().splitlines()) == 1


def test_many_writers_leave_whole_lines(tmp_path):
    files = [ExchangeFile(tmp_path / "run.jsonl") for _ in range(2)]  # as two processes have it
    threads = [
        threading.Thread(target=lambda k=k: [files[k % 2].append(bytes([65 + k]) * 5000) for _ in range(50)])
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / "run.jsonl").read_bytes().splitlines()
    assert sorted(lines) == sorted(bytes([65 + k]) * 5000 for k in range(4) for _ in range(50))


def test_a_disk_that_is_full_spoils_neither_answers_nor_the_file(tmp_path, monkeypatch):
    path = tmp_path / "run.jsonl"
    reasoner = recording(path)
    whole = path.read_bytes()
    real, calls = os.write, []

    def write(descriptor, data):
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:50])

    monkeypatch.setattr(os, "write", write)
    assert len(reasoner.propose(wall_view(2, 0.0), instruction("cup")).candidates) == 2
    monkeypatch.undo()
    assert path.read_bytes() == whole
    values = reasoner.diagnose()
    assert (values["exchanges recorded"], values["exchanges not recorded"]) == (1, 1)
    assert "No space left" in values["record of exchanges"]
    monkeypatch.setattr(exchanges_module, "MAX_FILE_BYTES", len(whole) + 10)
    reasoner.propose(wall_view(3, 0.0), instruction("cup"))
    assert path.read_bytes() == whole
    reasoner.close()
    reasoner.propose(wall_view(3, 0.0), instruction("cup"))  # a call that was left behind ends after the file
    assert reasoner.diagnose()["exchanges not recorded"] == 3
