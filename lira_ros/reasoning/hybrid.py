"""The hybrid back end: a fast one answers plain names, another one everything that must be understood."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lira_ros.configuration import parameter
from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.constraint import is_plain_name
from lira_ros.reasoning.contracts import CandidateSet, Instruction, Lane, Reasoner, ReasoningError, Task


@dataclass(frozen=True)
class HybridConfiguration:
    """Which back end answers what."""

    fast: str = parameter("detector", "Back end for instructions that are a plain name, like 'red chair'")
    slow: str = parameter("vlm", "Back end for everything else")


class HybridReasoner(Reasoner):
    """Sends an instruction to one of two reasoners, by its constraint alone, so always to the same one.

    A fast answer without candidates is an answer: what a robot has not seen yet must not wake the slow model at every
    keyframe. Neither waits for the other: each has its own lane, and within it as many calls as it takes.
    """

    def __init__(self, fast: Reasoner, slow: Reasoner) -> None:
        """Take both, made and loaded: that a model is missing is said when the back end is made, not at a sentence."""
        self.name = f"hybrid ({fast.name} | {slow.name})"
        self.batch_size = max(fast.batch_size, slow.batch_size)
        self.parallel_calls = fast.parallel_calls + slow.parallel_calls
        # One that sees nothing without depth leaves its share of the instructions unanswered.
        self.needs_depth = fast.needs_depth or slow.needs_depth
        self.any_language = slow.any_language  # what is not in English is no plain name
        self._parts = {"fast": _Part(fast), "slow": _Part(slow)}

    def lane(self, instruction: Instruction) -> Lane:
        """Return "fast" for a plain name and "slow" for everything else."""
        name = "fast" if is_plain_name(instruction.constraint) else "slow"
        return Lane(name, self._parts[name].reasoner.parallel_calls)

    def propose(self, keyframe: Keyframe, instruction: Instruction) -> CandidateSet:
        """Ask the one that the instruction is for."""
        (answer,) = self._part(instruction).ask([Task(keyframe, instruction)])
        if isinstance(answer, ReasoningError):
            raise answer
        return answer

    def propose_batch(self, tasks: Sequence[Task]) -> list[CandidateSet | ReasoningError]:
        """Ask each about its tasks, the fast one first, in calls of the size that it takes."""
        answers: dict[int, CandidateSet | ReasoningError] = {}
        for part in self._parts.values():
            own = [number for number, task in enumerate(tasks) if self._part(task.instruction) is part]
            for start in range(0, len(own), part.reasoner.batch_size):
                numbers = own[start : start + part.reasoner.batch_size]
                answers.update(zip(numbers, part.ask([tasks[number] for number in numbers]), strict=True))
        return [answers[number] for number in range(len(tasks))]

    def diagnose(self) -> dict[str, object]:
        """Return how much each was asked, and what each says of itself, with "fast" or "slow" before it."""
        values: dict[str, object] = {}
        for name, part in self._parts.items():
            said = {**part.counts(), **part.reasoner.diagnose()}
            values.update({f"{name} {key}": value for key, value in said.items()})
        return values

    def close(self) -> None:
        """Close both, the second one also when the first one fails."""
        try:
            self._parts["fast"].reasoner.close()
        finally:
            self._parts["slow"].reasoner.close()

    def _part(self, instruction: Instruction) -> _Part:
        return self._parts[self.lane(instruction).name]


class _Part:
    """One of the two, asked by no more threads at once than it takes, with what came of it."""

    def __init__(self, reasoner: Reasoner) -> None:
        self.reasoner = reasoner
        self._room = threading.BoundedSemaphore(max(1, reasoner.parallel_calls))
        self._lock = threading.Lock()
        self._asked = self._failed = self._empty = 0
        self._busy_s = 0.0

    def ask(self, tasks: Sequence[Task]) -> list[CandidateSet | ReasoningError]:
        answers: list[CandidateSet | ReasoningError] = []
        with self._room:
            began_s = time.perf_counter()
            try:
                answers = self.reasoner.propose_batch(tasks)
                if len(answers) != len(tasks):
                    raise ReasoningError(f"{self.reasoner.name}: expected {len(tasks)} answers, got {len(answers)}")
                return answers
            finally:
                with self._lock:
                    self._busy_s += time.perf_counter() - began_s
                    self._asked += len(tasks)
                    good = [answer for answer in answers if isinstance(answer, CandidateSet)]
                    self._failed += len(tasks) - len(good)
                    self._empty += sum(not answer.candidates for answer in good)

    def counts(self) -> dict[str, object]:
        with self._lock:
            mean_s = self._busy_s / self._asked if self._asked else 0.0
            return {
                "reasoner": self.reasoner.name,
                "asked": self._asked,
                "failed": self._failed,
                "without candidates": self._empty,
                "mean s": f"{mean_s:.2f}",
            }
