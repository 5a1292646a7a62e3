"""A reasoner in threads of its own: what comes back, in which thread, and that nothing of it dies."""

import dataclasses
import threading

import numpy as np
import pytest
from wall_strip import instruction, wall_view

from lira_ros.reasoning.asking import Questioner, ask
from lira_ros.reasoning.contracts import Attributes, Candidate, CandidateSet, Reasoner, ReasoningError, Role, Task


def task(number=1):
    return Task(wall_view(number, 0.0), instruction("cup"))


def answer(keyframe, instruction):
    return CandidateSet(keyframe.id, keyframe.frame.stamp_ns, instruction.id, "fake", 0.0, ())


class Fake(Reasoner):
    name = "fake"

    def __init__(self, parallel_calls=1):
        self.parallel_calls = parallel_calls
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.raises = []
        self.threads = set()
        self.closed = 0

    def propose(self, keyframe, instruction):
        self.threads.add(threading.current_thread().name)
        assert self.may_answer.wait(20)
        if self.raises:
            raise self.raises.pop(0)
        return answer(keyframe, instruction)

    def close(self):
        self.closed += 1
        self.may_answer.set()


class Outcomes:
    def __init__(self):
        self.all = []
        self._arrived = threading.Semaphore(0)

    def __call__(self, outcome):
        self.all.append(outcome)
        self._arrived.release()

    def next(self):
        assert self._arrived.acquire(timeout=20)
        return self.all[-1]


@pytest.fixture
def start():
    questioners = []

    def make(reasoner):
        outcomes = Outcomes()
        questioners.append(Questioner(reasoner, outcomes))
        return questioners[-1], outcomes

    yield make
    for questioner in questioners:
        questioner.close()


def test_a_call_is_answered_in_another_thread(start, wait_for):
    reasoner = Fake()
    questioner, outcomes = start(reasoner)
    tasks = (task(1), task(2))
    questioner.ask(tasks)
    outcome = outcomes.next()
    assert outcome.tasks == tasks
    assert [item.keyframe_id for item in outcome.answers] == [1, 2]
    assert threading.current_thread().name not in reasoner.threads
    wait_for(lambda: questioner.free == 1)
    assert (questioner.in_flight, questioner.longest_s) == (0, 0.0)


def test_as_many_calls_at_once_as_the_reasoner_takes(start, wait_for):
    reasoner = Fake(parallel_calls=2)
    reasoner.may_answer.clear()
    questioner, outcomes = start(reasoner)
    questioner.ask([task(1)])
    questioner.ask([task(2), task(3)])
    wait_for(lambda: len(reasoner.threads) == 2)
    assert (questioner.free, questioner.in_flight) == (0, 3)
    assert questioner.longest_s > 0
    with pytest.raises(RuntimeError, match="fake: no thread is free"):
        questioner.ask([task(4)])
    reasoner.may_answer.set()
    outcomes.next(), outcomes.next()
    wait_for(lambda: questioner.free == 2)


@pytest.mark.parametrize("error", [ReasoningError("no"), ZeroDivisionError("a bug"), MemoryError(), SystemExit(3)])
def test_whatever_is_raised_is_an_outcome_and_the_thread_lives_on(start, wait_for, error):
    reasoner = Fake()
    reasoner.raises = [error]
    questioner, outcomes = start(reasoner)
    questioner.ask([task(1)])
    (failed,) = outcomes.next().answers
    assert isinstance(failed, Exception)
    assert failed is error or "SystemExit: 3" in str(failed)
    wait_for(lambda: questioner.free)
    questioner.ask([task(1)])
    assert isinstance(outcomes.next().answers[0], CandidateSet)


def test_closing_cuts_off_a_call_and_drops_its_outcome(start, wait_for):
    reasoner = Fake()
    reasoner.may_answer.clear()
    questioner, outcomes = start(reasoner)
    questioner.ask([task(1)])
    wait_for(lambda: reasoner.threads)
    assert questioner.close(timeout_s=0.1)  # the reasoner's close() lets the call end
    assert (reasoner.closed, outcomes.all, questioner.free) == (1, [], 0)
    assert questioner.close()
    assert reasoner.closed == 1


def test_a_call_that_never_ends_is_left_behind(wait_for):
    class Hanging(Fake):
        def close(self):  # waits for the call, as one that holds a lock does
            self.may_answer.wait(20)

    reasoner = Hanging()
    reasoner.may_answer.clear()
    questioner = Questioner(reasoner, lambda outcome: None)
    questioner.ask([task(1)])
    wait_for(lambda: reasoner.threads)
    assert not questioner.close(timeout_s=0.1)
    reasoner.may_answer.set()


class Confused(Reasoner):
    name = "confused"

    def __init__(self, answers):
        self.answers = answers

    def propose(self, keyframe, instruction):
        raise NotImplementedError

    def propose_batch(self, tasks):
        return self.answers


def test_answers_that_do_not_belong_to_the_questions_are_failures():
    one, two = task(1), task(2)
    right = [answer(item.keyframe, item.instruction) for item in (one, two)]
    assert ask(Confused(right), (one, two)) == tuple(right)
    for answers, expected in (
        (right[:1], "expected 2 answers, got 1"),
        (right[::-1], "was asked about"),
        ([None, None], "expected a CandidateSet, got NoneType"),
    ):
        failed = ask(Confused(answers), (one, two))
        assert all(isinstance(item, ReasoningError) and expected in str(item) for item in failed), expected


def test_an_answer_with_values_that_cannot_be_is_a_failure():
    one = task(1)
    shape = one.keyframe.frame.depth_m.shape
    good = Candidate(1, np.ones(shape, dtype=bool), "cup", 0.5, 0.5, Role.TARGET, Attributes())
    for changes, expected in (
        ({}, None),
        ({"target_confidence": 1.0, "embedding": np.ones(3, np.float32)}, None),
        ({"mask": np.ones((2, 2), dtype=bool)}, "expected a mask of"),
        ({"mask": np.ones(shape, dtype=np.uint8)}, "bool, got"),
        ({"id": -1}, "expected an id in"),
        ({"id": 2**32}, "expected an id in"),
        ({"score": 1.5}, r"expected score in [0, 1], got 1.5"),
        ({"label_confidence": float("nan")}, "expected label_confidence in [0, 1], got nan"),
        ({"target_confidence": -0.1}, "expected target_confidence"),
        ({"embedding": np.array([np.nan], np.float32)}, "expected a finite embedding"),
    ):
        said = dataclasses.replace(
            answer(one.keyframe, one.instruction), candidates=(dataclasses.replace(good, **changes),)
        )
        (outcome,) = ask(Confused([said]), (one,))
        assert outcome is said if expected is None else expected in str(outcome), changes


def test_what_a_reasoner_raises_while_it_closes_is_raised_and_its_threads_end(wait_for):
    class Broken(Fake):
        def close(self):
            raise OSError("the pipe is broken")

    questioner = Questioner(Broken(), lambda outcome: None)
    with pytest.raises(OSError, match="the pipe is broken"):
        questioner.close(timeout_s=0.1)
    wait_for(lambda: not any(thread.is_alive() for thread in questioner._threads))
