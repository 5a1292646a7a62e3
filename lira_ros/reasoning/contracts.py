"""What the reasoning room speaks: instructions, attributes, candidates and the Reasoner protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.constraint import Constraint

# Long enough for a paragraph of task description, short enough to bound parsing and prompts.
MAX_INSTRUCTION_CHARACTERS = 2000


class Role(IntEnum):
    """What a candidate is for; values equal lira_msgs/Candidate."""

    TARGET = 1
    ANCHOR = 2
    CONTEXT = 3


@dataclass(frozen=True)
class Attributes:
    """What was measured of an instance or of one view of it; fields as in lira_msgs/Attributes.

    Lengths in metres, heights along gravity. NaN or "" = not measured.
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


@dataclass(frozen=True)
class Candidate:
    """One instance that a reasoner saw in a keyframe; fields as in lira_msgs/Candidate.

    mask: (H, W) bool in the pixels of the keyframe. embedding: (D,) float32 of unit length, or (0,).
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


@dataclass(frozen=True)
class CandidateSet:
    """The answer of a reasoner for one keyframe and one instruction; no candidates = looked, nothing there."""

    keyframe_id: int
    stamp_ns: int
    instruction_id: str
    model: str
    latency_s: float
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Instruction:
    """An accepted instruction: what to look for, as text and as the parsed constraint."""

    id: str
    text: str
    constraint: Constraint
    submitted_ns: int = 0


class ReasoningError(RuntimeError):
    """A reasoner could not answer; the message is a sentence for a person. Never means "nothing there"."""


class Reasoner(Protocol):
    """A back end that looks at a keyframe with an instruction in mind."""

    name: str  # back end and model, for CandidateSet.model

    def propose(self, keyframe: Keyframe, instruction: Instruction) -> CandidateSet:
        """Return the candidates of one keyframe; raises ReasoningError when no answer could be had."""
        ...
