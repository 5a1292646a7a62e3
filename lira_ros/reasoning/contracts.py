"""What the reasoning room speaks: instructions, attributes, candidates and the Reasoner that answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.constraint import Constraint
from lira_ros.reasoning.plain_text import plain_text
from lira_ros.state.columns import Array

# Long enough for a paragraph of task description, short enough to bound parsing and prompts.
MAX_INSTRUCTION_CHARACTERS = 2000
# Longer than any name of a class, short enough for a marker.
MAX_LABEL_CHARACTERS = 80
# What was measured and what a model said, a line or two.
MAX_REASON_CHARACTERS = 500
# Names of back ends with their models, as servers and folders call them.
MAX_MODEL_CHARACTERS = 200


class Role(IntEnum):
    """What a candidate is for; values equal lira_msgs/Candidate."""

    TARGET = 1
    ANCHOR = 2
    CONTEXT = 3


@dataclass(frozen=True)
class Attributes:
    """What was measured of an instance or of one view of it; fields as in lira_msgs/Attributes.

    Lengths in metres, heights along gravity. NaN or "" = not measured. Texts are kept as those of a candidate are.
    """

    color: str = ""
    size_m: tuple[float, float, float] = (float("nan"),) * 3  # length (longer), width (shorter), vertical
    bottom_height_m: float = float("nan")
    top_height_m: float = float("nan")
    flatness: float = float("nan")
    horizontality: float = float("nan")
    roundness: float = float("nan")
    elongation: float = float("nan")
    fill: float = float("nan")
    supported_by: str = ""  # "floor", "surface", "wall" or ""

    def __post_init__(self) -> None:
        """Make the texts safe to show: reasons are made of them."""
        object.__setattr__(self, "color", plain_text(self.color, MAX_LABEL_CHARACTERS))
        object.__setattr__(self, "supported_by", plain_text(self.supported_by, MAX_LABEL_CHARACTERS))


@dataclass(frozen=True)
class Candidate:
    """One instance that a reasoner saw in a keyframe; fields as in lira_msgs/Candidate.

    mask: (H, W) bool in the pixels of the keyframe. embedding: (D,) float32 of unit length, or (0,).
    target_confidence: how sure a model that read the instruction is that this is wanted (1) or not (0); NaN when no
    model gave an opinion, and words and measures decide alone. Label and reason are kept as one line without control
    characters, wherever they come from.
    """

    id: int
    mask: NDArray[np.bool_]
    label: str
    label_confidence: float
    score: float
    role: Role
    attributes: Attributes
    reason: str = ""
    embedding: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    target_confidence: float = float("nan")

    STATE: ClassVar[dict[str, Any]] = {
        "id": int,
        "mask": Array("|b1", ("rows", "columns")),
        "label": str,
        "label_confidence": float,
        "score": float,
        "role": Role,
        "attributes": Attributes,
        "reason": str,
        "embedding": Array("<f4", ("embedding",)),
        "target_confidence": float,
    }

    def __post_init__(self) -> None:
        """Make the texts safe to show."""
        object.__setattr__(self, "label", plain_text(self.label, MAX_LABEL_CHARACTERS))
        object.__setattr__(self, "reason", plain_text(self.reason, MAX_REASON_CHARACTERS))


@dataclass(frozen=True)
class Opinion:
    """What a model that read an instruction thinks of an instance: wanted (confidence 1) or not (0).

    reason: why, as a sentence or clause for a person. model: which model said so, for reasons shown to a person.
    """

    confidence: float
    reason: str = ""
    model: str = ""

    def __post_init__(self) -> None:
        """Make the texts safe to show."""
        object.__setattr__(self, "reason", plain_text(self.reason, MAX_REASON_CHARACTERS))
        object.__setattr__(self, "model", plain_text(self.model, MAX_MODEL_CHARACTERS))


@dataclass(frozen=True)
class Exchange:
    """One request to a model and what came back, as texts; images are named by their keyframe.

    problem: why the answer could not be used, "" when it could.
    """

    prompt: str
    answer: str
    problem: str = ""
    latency_s: float = 0.0


@dataclass(frozen=True)
class CandidateSet:
    """The answer of a reasoner for one keyframe and one instruction; no candidates = looked, nothing there.

    exchanges: what was asked of a model and answered, retries included; empty for back ends without a model.
    """

    keyframe_id: int
    stamp_ns: int
    instruction_id: str
    model: str
    latency_s: float
    candidates: tuple[Candidate, ...]
    exchanges: tuple[Exchange, ...] = ()

    def __post_init__(self) -> None:
        """Make the name of the model safe to show."""
        object.__setattr__(self, "model", plain_text(self.model, MAX_MODEL_CHARACTERS))


@dataclass(frozen=True)
class Instruction:
    """An accepted instruction: what to look for, as text and as the parsed constraint.

    The text is kept as one line without control characters: topics, log lines, markers, pictures and prompts show it.
    """

    id: str
    text: str
    constraint: Constraint
    submitted_ns: int = 0

    def __post_init__(self) -> None:
        """Make the text safe to show, wherever the instruction comes from."""
        object.__setattr__(self, "text", plain_text(self.text, MAX_INSTRUCTION_CHARACTERS))


@dataclass(frozen=True)
class Task:
    """One question: what in this keyframe matters for this instruction."""

    keyframe: Keyframe
    instruction: Instruction


class ReasoningError(RuntimeError):
    """A reasoner could not answer; the message is a sentence for a person. Never means "nothing there".

    exchanges: what was asked of a model and answered, as far as it came to that.
    """

    def __init__(self, message: str, exchanges: tuple[Exchange, ...] = ()) -> None:
        super().__init__(message)
        self.exchanges = exchanges


class ServerUnavailable(ReasoningError):
    """The server that answers is away or asks to wait; the question was not looked at and may be asked again.

    retry_after_s: before that the server is not asked again, and calls fail at once.
    """

    def __init__(self, message: str, retry_after_s: float, exchanges: tuple[Exchange, ...] = ()) -> None:
        super().__init__(message, exchanges)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Lane:
    """A part of a reasoner that answers by itself; as many calls as it takes may be made to it at the same time."""

    name: str
    parallel_calls: int


class Reasoner(ABC):
    """A back end that looks at a keyframe with an instruction in mind.

    name: back end and model, for CandidateSet.model. batch_size: how many tasks one call takes at once.
    parallel_calls: how many calls may be made at the same time from different threads; 1 = one thread owns it.
    needs_depth: it sees nothing in a keyframe without depth.
    any_language: it reads the instruction itself and says what is wanted (Candidate.target_confidence), so one that is
    not in English can be given to it.
    """

    name: str = ""
    batch_size: int = 1
    parallel_calls: int = 1
    needs_depth: bool = False
    any_language: bool = False

    @abstractmethod
    def propose(self, keyframe: Keyframe, instruction: Instruction) -> CandidateSet:
        """Return the candidates of one keyframe; raises ReasoningError when no answer could be had."""

    def propose_batch(self, tasks: Sequence[Task]) -> list[CandidateSet | ReasoningError]:
        """Answer up to ``batch_size`` tasks; a task that fails leaves the others alone."""
        answers: list[CandidateSet | ReasoningError] = []
        for task in tasks:
            try:
                answers.append(self.propose(task.keyframe, task.instruction))
            except ReasoningError as error:
                answers.append(error)
        return answers

    def lane(self, instruction: Instruction) -> Lane:
        """Return which part answers an instruction; a call should hold tasks of one lane, or the slowest delays all."""
        return Lane("", self.parallel_calls)

    def diagnose(self) -> dict[str, object]:
        """Return what a person who watches the back end wants to know, by name; called from any thread."""
        return {}

    def close(self) -> None:  # noqa: B027 (most back ends hold nothing)
        """Let go of connections, threads and memory; the reasoner is not used afterwards.

        At the end of a node a call that does not end in time may still be made by another thread: it may fail then.
        """


class BatchReasoner(Reasoner):
    """A back end that answers several tasks at once; a single one is a batch of one."""

    def propose(self, keyframe: Keyframe, instruction: Instruction) -> CandidateSet:
        """Return the candidates of one keyframe; raises the ReasoningError that propose_batch() returns."""
        (answer,) = self.propose_batch([Task(keyframe, instruction)])
        if isinstance(answer, ReasoningError):
            raise answer
        return answer

    @abstractmethod
    def propose_batch(self, tasks: Sequence[Task]) -> list[CandidateSet | ReasoningError]:
        """Answer tasks ``batch_size`` at a time; one that fails leaves the others alone."""
