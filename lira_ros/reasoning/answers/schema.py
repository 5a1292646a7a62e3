"""The JSON schema of an answer, as servers and llguidance enforce it."""

from __future__ import annotations

from typing import Any

from lira_ros.reasoning.answers.contracts import (
    MAX_CLAUSE_CHARACTERS,
    MAX_INSTANCES,
    MAX_NAME_CHARACTERS,
    BoxUnits,
    ConstraintKind,
)
from lira_ros.reasoning.color import COLORS

# What a model says when no basic colour fits.
OTHER_COLOR = "other"
# No camera of a robot has more columns.
MAX_PIXELS = 10000
_COORDINATES: dict[BoxUnits, dict[str, Any]] = {
    BoxUnits.RELATIVE_1000: {"type": "integer", "minimum": 0, "maximum": 1000},
    BoxUnits.RELATIVE_1: {"type": "number", "minimum": 0, "maximum": 1},
    BoxUnits.PIXELS: {"type": "integer", "minimum": 0, "maximum": MAX_PIXELS},
}


def answer_schema(box_units: BoxUnits, max_instances: int = MAX_INSTANCES) -> dict[str, Any]:
    """Return the JSON schema of an answer: bounded lists and texts, the reasons last.

    A model writes the fields in this order, so that what is needed is there when an answer is cut off at its bound.
    """
    coordinate = _COORDINATES[box_units]
    name = {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARACTERS}
    clause = {"type": "string", "maxLength": MAX_CLAUSE_CHARACTERS}
    constraint = _object(
        {
            "type": {"type": "string", "enum": [kind.value for kind in ConstraintKind]},
            "order": {"type": "string", "maxLength": MAX_NAME_CHARACTERS},
            "anchor": {"type": "string", "maxLength": MAX_NAME_CHARACTERS},
        },
        optional=("order", "anchor"),
    )
    instance = _object(
        {
            "label": name,
            "color": {"type": "string", "enum": [*COLORS, OTHER_COLOR]},
            "bbox_2d": {"type": "array", "items": coordinate, "minItems": 4, "maxItems": 4},
            "point_2d": {"type": "array", "items": coordinate, "minItems": 2, "maxItems": 2},
            "role": {"type": "string", "enum": ["target", "anchor", "context"]},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            "constraint": constraint,
            "reason": clause,
        },
        optional=("point_2d", "constraint", "reason"),
    )
    instances = {"type": "array", "items": instance, "minItems": 0, "maxItems": max_instances}
    return _object({"objects": instances, "reason": clause})


def _object(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }
