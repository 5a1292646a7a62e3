import threading

import numpy as np
import pytest

from lira_ros.configuration import build
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning import backends
from lira_ros.reasoning.asking import Questioner
from lira_ros.reasoning.backends import ReasonerConfiguration, create_reasoner
from lira_ros.reasoning.contracts import CandidateSet, Instruction, Reasoner, ReasoningError, Task
from lira_ros.reasoning.hybrid import HybridReasoner
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.scheduler import ReasoningScheduler, SchedulerConfiguration

PLAIN = ("Find the sofa.", "red chair", "two lamps or a candle", "the coffee table")
MORE_PLAIN = (
    "mug",
    "the mugs",
    "find me a red mug",
    "two chairs",
    "a theremin",
    "a small round table",
    "where is my phone?",
)
OPEN = (
    "something to sit on",
    "the lamp next to the sofa",
    "the largest chair",
    "chairs that are not red",
    "I am thirsty",
)

MORE_OPEN = ("chair near the window", "I spilled coffee", "a mug with a handle", "something red", "not a chair")


class Recorder(Reasoner):
    """Answers everything with nothing, and notes what it was asked; fails for what is named in ``broken``."""

    def __init__(self, name, batch_size=1, parallel_calls=1, broken=(), needs_depth=False):
        self.name = name
        self.batch_size = batch_size
        self.parallel_calls = parallel_calls
        self.needs_depth = needs_depth
        self.broken = broken
        self.calls = []
        self.closed = 0

    def propose(self, keyframe, instruction):
        if instruction.text in self.broken:
            raise ReasoningError(f"{self.name} broke")
        return CandidateSet(keyframe.id, 0, instruction.id, self.name, 0.0, ())

    def propose_batch(self, tasks):
        self.calls.append([task.instruction.text for task in tasks])
        return super().propose_batch(tasks)

    def diagnose(self):
        return {"state": "well"}

    def close(self):
        self.closed += 1


def keyframe(number=1):
    camera = Camera(8, 6, 10.0, 10.0, 3.5, 2.5)
    frame = Frame(number, np.zeros((6, 8, 3), np.uint8), np.ones((6, 8), np.float32), camera, np.eye(4))
    return Keyframe(number, frame, np.array([0.0, 0.0, 1.0]), float("nan"))


def instruction(text):
    return Instruction(text.replace(" ", "-"), text, parse(text))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (PLAIN + MORE_PLAIN, "fast"),
        (OPEN + MORE_OPEN, "slow"),
    ],
)
def test_plain_names_go_to_the_fast_one_and_everything_else_to_the_slow_one(texts, expected):
    reasoner = HybridReasoner(Recorder("fast"), Recorder("slow"))
    for text in texts:
        assert reasoner.lane(instruction(text)).name == expected, text
        assert reasoner.propose(keyframe(), instruction(text)).model == expected


def test_a_batch_is_split_and_the_order_of_its_answers_kept():
    fast, slow = Recorder("fast", batch_size=2, broken=("red chair",)), Recorder("slow", batch_size=4)
    reasoner = HybridReasoner(fast, slow)
    assert (reasoner.batch_size, reasoner.parallel_calls) == (4, 2)
    texts = [OPEN[0], *PLAIN[:2], OPEN[1], *PLAIN[2:], OPEN[2]]
    answers = reasoner.propose_batch([Task(keyframe(), instruction(text)) for text in texts])
    assert fast.calls == [list(PLAIN[:2]), list(PLAIN[2:])]
    assert slow.calls == [list(OPEN[:3])]
    assert [getattr(answer, "model", str(answer)) for answer in answers] == [
        "slow", "fast", "fast broke", "slow", "fast", "fast", "slow"
    ]  # fmt: skip
    said = reasoner.diagnose()
    assert (said["fast asked"], said["fast failed"], said["fast without candidates"]) == (4, 1, 3)
    assert (said["slow asked"], said["slow failed"], said["slow state"]) == (3, 0, "well")
    with pytest.raises(ReasoningError, match="fast broke"):
        reasoner.propose(keyframe(), instruction("red chair"))


def test_a_part_that_answers_another_number_of_questions_is_an_error():
    slow = Recorder("slow")
    slow.propose_batch = lambda tasks: []
    with pytest.raises(ReasoningError, match="slow: expected 1 answers, got 0"):
        HybridReasoner(Recorder("fast"), slow).propose(keyframe(), instruction(OPEN[0]))


def test_both_are_closed_whatever_happens():
    fast, slow = Recorder("fast"), Recorder("slow")
    HybridReasoner(fast, slow).close()
    assert (fast.closed, slow.closed) == (1, 1)

    def fail():
        raise RuntimeError("stuck")

    fast.close = fail
    with pytest.raises(RuntimeError, match="stuck"):
        HybridReasoner(fast, slow).close()
    assert slow.closed == 2


def test_plain_names_are_answered_while_the_slow_one_thinks(wait_for):
    """Two sentences keep the slow model busy and waited for; the name must not queue behind them."""
    slow, fast = Recorder("slow"), Recorder("fast", needs_depth=True)
    thinking, go_on = threading.Event(), threading.Event()
    at_once = []

    def think(tasks):
        at_once.append(len(tasks))
        thinking.set()
        assert go_on.wait(30)
        return [slow.propose(task.keyframe, task.instruction) for task in tasks]

    slow.propose_batch = think
    reasoner = HybridReasoner(fast, slow)
    assert reasoner.needs_depth
    outcomes = []
    questioner = Questioner(reasoner, outcomes.append)
    scheduler = ReasoningScheduler(SchedulerConfiguration())
    for text in (OPEN[0], OPEN[1], PLAIN[0]):
        scheduler.add_instruction(instruction(text))
    for number in range(1, 5):
        scheduler.add_keyframe(keyframe(number))

    def ask_all():
        while questioner.free and (tasks := scheduler.next_tasks(reasoner.batch_size, questioner.lane)):
            questioner.ask(tasks)

    try:
        for count in range(1, 5):
            ask_all()
            wait_for(lambda: len(outcomes) == count, 15.0, f"answer {count}")  # noqa: B023
            (task,) = outcomes[-1].tasks
            assert task.instruction.text == PLAIN[0]
            scheduler.report_answered(task)
            wait_for(lambda: questioner.in_flight <= 1, 15.0, "a free thread")
        assert thinking.wait(15)
        assert at_once == [1]
        go_on.set()
    finally:
        go_on.set()
        questioner.close()


@pytest.fixture
def made(monkeypatch):
    """Register two back ends; return what was made of them."""
    made = {}
    for name in ("quick", "thorough"):

        def create(configuration, relevance, truth, name=name):
            if configuration.vlm.model == f"no {name}":
                raise ReasoningError(f"{name} misses its model")
            made[name] = Recorder(name)
            return made[name]

        monkeypatch.setitem(backends.BACKENDS, name, backends.Backend(name, create))
    return made


def create(**values):
    configuration = build(
        ReasonerConfiguration,
        {"backend": "hybrid", "hybrid.fast": "quick", "hybrid.slow": "thorough", **values},
    )
    return create_reasoner(configuration, None)


def test_it_is_made_of_two_back_ends_and_a_missing_model_is_said_at_once(made):
    reasoner = create()
    assert reasoner.name == "hybrid (quick | thorough)"
    assert reasoner.propose(keyframe(), instruction(OPEN[0])).model == "thorough"
    with pytest.raises(ReasoningError, match=r"reasoner\.hybrid\.slow is thorough: thorough misses its model"):
        create(**{"vlm.model": "no thorough"})
    assert made["quick"].closed == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"hybrid.fast": "psychic"}, r"reasoner\.hybrid\.fast: expected one of compact, .*, got 'psychic'"),
        ({"hybrid.slow": "hybrid"}, r"reasoner\.hybrid\.slow: expected one of compact, .*, got 'hybrid'"),
        ({"hybrid.slow": "quick"}, "fast and slow are both quick"),
    ],
)
def test_back_ends_that_make_no_hybrid_are_named(made, values, said):
    with pytest.raises(ReasoningError, match=said):
        create(**values)


def test_what_is_recorded_holds_the_answers_of_both(made, tmp_path):
    reasoner = create(record_exchanges=str(tmp_path / "exchanges.jsonl"))
    for text in (PLAIN[0], OPEN[0]):
        reasoner.propose(keyframe(), instruction(text))
    assert reasoner.lane(instruction(OPEN[0])).name == "slow"
    reasoner.close()
    assert reasoner.diagnose()["exchanges recorded"] == 2
