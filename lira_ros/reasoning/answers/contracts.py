"""What a vision-language model says of a picture: instances with boxes, and the units in which it says so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lira_ros.reasoning.contracts import ReasoningError, Role

# A room seen from one place shows fewer things that matter for one instruction; it bounds the tokens of an answer.
MAX_INSTANCES = 16
# Long enough for "wooden dining room table", short enough that no model fills it with prose.
MAX_NAME_CHARACTERS = 48
# A clause, not a chain of thought: every token delays the answer by 10 to 50 ms.
MAX_CLAUSE_CHARACTERS = 100


class BoxUnits(Enum):
    """In which numbers a model says where something is; the value is the wording of model cards.

    RELATIVE_1000: 0 to 1000 across the image, whatever its size (Qwen2-VL, Qwen3-VL, GLM-V). RELATIVE_1: 0 to 1
    (LLaVA). PIXELS: pixels of the image as the model saw it, which may be a resized one (Qwen2.5-VL).
    """

    RELATIVE_1000 = "relative_1000"
    RELATIVE_1 = "relative_1"
    PIXELS = "pixels"


class ConstraintKind(Enum):
    """By what an instruction chooses among things of a kind; the value is the wording in answers."""

    NONE = "none"
    SIZE = "size"
    DISTANCE = "distance"
    COLOR = "color"
    POSITION = "position"


@dataclass(frozen=True)
class StatedConstraint:
    """What a model says the instruction demands of an instance.

    order: "largest", "second nearest", ..., "" = none. anchor: to what the instance is compared, "" = to nothing.
    """

    kind: ConstraintKind = ConstraintKind.NONE
    order: str = ""
    anchor: str = ""


@dataclass(frozen=True)
class DetectedInstance:
    """One instance that a model named, checked and in pixels of the keyframe's image.

    label: "" = not said. color: one of reasoning.color.COLORS, "" = not said or none of them. box_px: left, top, right,
    bottom within the image. point_px: x, y inside the box, None = not said. confidence: in [0, 1].
    """

    label: str
    color: str
    box_px: tuple[float, float, float, float]
    point_px: tuple[float, float] | None
    role: Role
    confidence: float
    constraint: StatedConstraint = StatedConstraint()
    reason: str = ""


@dataclass(frozen=True)
class StructuredAnswer:
    """What was understood of an answer; no instances = the model looked and nothing is there.

    problems: what was wrong with the rest, as sentences for a person.
    """

    instances: tuple[DetectedInstance, ...]
    reason: str = ""
    problems: tuple[str, ...] = ()


class AnswerError(ReasoningError):
    """An answer holds nothing that can be used; says what was expected and what came. Never means "nothing there"."""
