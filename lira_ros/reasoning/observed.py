"""A reasoner around another one that lets somebody see every answer: for records, reports and scores."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence

from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.contracts import CandidateSet, Instruction, Lane, Reasoner, ReasoningError, Task


class ObservedReasoner(Reasoner):
    """Passes everything on to a reasoner and calls observe() with what came of each question."""

    def __init__(self, reasoner: Reasoner) -> None:
        self.name = reasoner.name
        self.batch_size = reasoner.batch_size
        self.parallel_calls = reasoner.parallel_calls
        self.needs_depth = reasoner.needs_depth
        self.any_language = reasoner.any_language
        self._reasoner = reasoner

    @abstractmethod
    def observe(self, task: Task, outcome: CandidateSet | Exception, latency_s: float) -> None:
        """Take note of an answer, or of what went wrong; called in the thread that asked.

        latency_s: how long the call took, that of a whole batch for each of its tasks.
        """

    def propose(self, keyframe: Keyframe, instruction: Instruction) -> CandidateSet:
        """Ask the reasoner and show its answer."""
        task = Task(keyframe, instruction)
        began_s = time.perf_counter()
        try:
            answer = self._reasoner.propose(keyframe, instruction)
        except Exception as error:
            self.observe(task, error, time.perf_counter() - began_s)
            raise
        self.observe(task, answer, time.perf_counter() - began_s)
        return answer

    def propose_batch(self, tasks: Sequence[Task]) -> list[CandidateSet | ReasoningError]:
        """Ask the reasoner and show its answers."""
        began_s = time.perf_counter()
        try:
            answers = self._reasoner.propose_batch(tasks)
        except Exception as error:
            for task in tasks:
                self.observe(task, error, time.perf_counter() - began_s)
            raise
        latency_s = time.perf_counter() - began_s
        for task, answer in zip(tasks, answers, strict=False):  # whoever asked checks their number
            self.observe(task, answer, latency_s)
        return answers

    def lane(self, instruction: Instruction) -> Lane:
        """Return which part of the reasoner answers an instruction."""
        return self._reasoner.lane(instruction)

    def diagnose(self) -> dict[str, object]:
        """Return what the reasoner says of itself."""
        return self._reasoner.diagnose()

    def close(self) -> None:
        """Close the reasoner."""
        self._reasoner.close()
