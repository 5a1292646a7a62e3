"""Ask a reasoner in threads of its own, so that a model that thinks for seconds keeps nobody else waiting."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lira_ros.reasoning.contracts import Candidate, CandidateSet, Instruction, Reasoner, ReasoningError, Task

LARGEST_ID = 2**32 - 1  # lira_msgs/Candidate


@dataclass(frozen=True)
class Outcome:
    """What came of one call: an answer or what went wrong, for each task in order."""

    tasks: tuple[Task, ...]
    answers: tuple[CandidateSet | Exception, ...]


def ask(reasoner: Reasoner, tasks: Sequence[Task]) -> tuple[CandidateSet | ReasoningError, ...]:
    """Ask about some tasks in one call and check that there is an answer to each.

    Raises whatever the reasoner raises besides the errors that it returns. An answer to another question, one with a
    mask of another size or a number out of its range, and answers of another number than there are tasks become a
    ReasoningError: a back end that is wrong, or a record that was changed, must not spoil a map.
    """
    answers = reasoner.propose_batch(tasks)
    if len(answers) != len(tasks):
        error = ReasoningError(f"{reasoner.name}: expected {len(tasks)} answers, got {len(answers)}")
        return (error,) * len(tasks)
    return tuple(_checked(reasoner, task, answer) for task, answer in zip(tasks, answers, strict=True))


class Questioner:
    """Owns a reasoner and asks it in ``parallel_calls`` daemon threads, one call at a time in each.

    on_outcome is called in such a thread, once for every call of ask(), before the thread is free again; it must
    neither block nor raise. Whatever the reasoner raises becomes an outcome. All methods may be called from any thread.
    """

    def __init__(self, reasoner: Reasoner, on_outcome: Callable[[Outcome], None]) -> None:
        self.reasoner = reasoner
        self._on_outcome = on_outcome
        self._condition = threading.Condition()
        self._waiting: list[tuple[Task, ...]] = []
        self._began_s: dict[int, float] = {}  # of the calls in hand, by thread
        # Calls that were begun and have no outcome yet; by identity, for tasks hold arrays.
        self._in_hand: dict[int, tuple[Task, ...]] = {}
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"{reasoner.name} {number}", daemon=True)
            for number in range(max(1, reasoner.parallel_calls))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def free(self) -> int:
        """Return how many calls could begin at once."""
        with self._condition:
            return 0 if self._closed else len(self._threads) - len(self._waiting) - len(self._began_s)

    @property
    def in_flight(self) -> int:
        """Return how many tasks are being asked."""
        with self._condition:
            return sum(len(tasks) for tasks in self._in_hand.values())

    @property
    def longest_s(self) -> float:
        """Return for how long the oldest call in hand has been running, 0 without one."""
        with self._condition:
            return max((time.monotonic() - began_s for began_s in self._began_s.values()), default=0.0)

    def lane(self, instruction: Instruction) -> str | None:
        """Return which part of the reasoner answers an instruction, None while it has as many calls as it takes."""
        lane = self.reasoner.lane(instruction)
        with self._condition:
            taken = sum(self.reasoner.lane(tasks[0].instruction).name == lane.name for tasks in self._in_hand.values())
        return lane.name if taken < lane.parallel_calls else None

    def ask(self, tasks: Sequence[Task]) -> None:
        """Begin a call with up to ``batch_size`` tasks; raises RuntimeError when no thread is free."""
        with self._condition:
            if self._closed or len(self._waiting) + len(self._began_s) >= len(self._threads):
                raise RuntimeError(f"{self.reasoner.name}: no thread is free to ask")
            call = tuple(tasks)
            self._waiting.append(call)
            self._in_hand[id(call)] = call
            self._condition.notify()

    def close(self, timeout_s: float = 2.0) -> bool:
        """Ask no more, close the reasoner and wait for its threads; calls in hand have no outcome any more.

        Returns False when a call, or the closing, did not end in time: its thread is a daemon and is left behind.
        Whatever the reasoner raises while it closes is raised.
        """
        with self._condition:
            if self._closed:
                return True
            self._closed = True
            self._waiting.clear()
            self._condition.notify_all()
        deadline_s = time.monotonic() + timeout_s
        # A call that ends by itself is not disturbed; closing the reasoner then cuts connections that still wait.
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        raised: list[Exception] = []
        # It may wait for a lock that a call which never ends holds.
        closing = threading.Thread(target=self._close_reasoner, args=(raised,), name="closing", daemon=True)
        closing.start()
        for thread in (closing, *self._threads):
            thread.join(max(0.0, deadline_s + timeout_s / 2 - time.monotonic()))
        if raised:
            raise raised[0]
        return not any(thread.is_alive() for thread in (closing, *self._threads))

    def _close_reasoner(self, raised: list[Exception]) -> None:
        try:
            self.reasoner.close()
        except Exception as error:
            raised.append(error)

    def _run(self, number: int) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                tasks = self._waiting.pop(0)
                self._began_s[number] = time.monotonic()
            answers: tuple[CandidateSet | Exception, ...]
            try:
                answers = ask(self.reasoner, tasks)
            except Exception as error:
                answers = (error,) * len(tasks)
            except BaseException as error:  # a library that wants to exit must not silence the asking
                answers = (ReasoningError(f"{self.reasoner.name}: {type(error).__name__}: {error}"),) * len(tasks)
            if not self._closed:
                self._on_outcome(Outcome(tasks, answers))
            with self._condition:
                del self._began_s[number]
                del self._in_hand[id(tasks)]


def _checked(reasoner: Reasoner, task: Task, answer: CandidateSet | ReasoningError) -> CandidateSet | ReasoningError:
    if isinstance(answer, ReasoningError):
        return answer
    if not isinstance(answer, CandidateSet):
        return ReasoningError(f"{reasoner.name}: expected a CandidateSet, got {type(answer).__name__}")
    asked = (task.keyframe.id, task.instruction.id)
    answered = (answer.keyframe_id, answer.instruction_id)
    if answered != asked:
        return ReasoningError(f"{reasoner.name}: was asked about {asked}, answered about {answered}")
    for candidate in answer.candidates:
        wrong = _wrong_value(candidate, task)
        if wrong:
            return ReasoningError(f"{reasoner.name}: candidate {candidate.id}: expected {wrong}")
    return answer


def _wrong_value(candidate: Candidate, task: Task) -> str:
    """Return which value of a candidate is not what it must be, "" when all are."""
    mask, shape = candidate.mask, task.keyframe.frame.depth_m.shape
    if mask.shape != shape or mask.dtype != np.bool_:
        return f"a mask of {shape} bool, got {mask.shape} {mask.dtype}"
    if not 0 <= candidate.id <= LARGEST_ID:
        return f"an id in [0, {LARGEST_ID}]"
    for name in ("score", "label_confidence", "target_confidence"):
        value = getattr(candidate, name)
        if not (0.0 <= value <= 1.0 or (math.isnan(value) and name == "target_confidence")):
            return f"{name} in [0, 1], got {value}"
    if candidate.embedding.ndim != 1 or not np.isfinite(candidate.embedding).all():
        return f"a finite embedding of one dimension, got {candidate.embedding.shape}"
    return ""
