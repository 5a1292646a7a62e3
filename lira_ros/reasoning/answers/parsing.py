"""Reads the answer of a vision-language model: tolerant of its form, strict about what comes out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lira_ros.reasoning.answers.contracts import (
    MAX_CLAUSE_CHARACTERS,
    MAX_INSTANCES,
    MAX_NAME_CHARACTERS,
    AnswerError,
    BoxUnits,
    ConstraintKind,
    DetectedInstance,
    StatedConstraint,
    StructuredAnswer,
)
from lira_ros.reasoning.answers.loose_json import MAX_ANSWER_CHARACTERS, LooseValue, loose_values
from lira_ros.reasoning.color import COLORS
from lira_ros.reasoning.contracts import Role
from lira_ros.reasoning.plain_text import plain_text

# Names under which models write the same thing, the one of the schema first; compared in lower case.
_LISTS = ("objects", "instances", "candidates", "detections", "results", "items", "answer", "result", "output")
_BOXES = ("bbox_2d", "bbox", "box_2d", "box", "bounding_box", "boundingbox", "box_px", "coordinates")
_POINTS = ("point_2d", "point", "points", "points_1", "center", "point_px")
_LABELS = ("label", "name", "class", "category", "object", "phrase")
_COLORS = ("color", "colour")
_CONFIDENCES = ("confidence", "score", "probability")
_REASONS = ("reason", "reasoning", "explanation")
# Corners written as an object.
_CORNERS = (
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
)
_ROLES = {role.name.lower(): role for role in Role}
_KINDS = {kind.value: kind for kind in ConstraintKind}

# Beyond this a coordinate overshoots no edge but is in other units, and the box would become the whole picture. Other
# units are found out as boxes of less than a pixel.
_LARGEST_FRACTION = 2.0
# A model that names something without a number is taken at its word.
_UNSTATED_CONFIDENCE = 1.0
# Boxes of one label that overlap this much are one thing said twice; neighbours on a shelf overlap far less.
_DUPLICATE_IOU = 0.9
# A model caught in a loop repeats itself; of more objects than this nothing new is expected.
_MAX_EXAMINED = 500
_MAX_PROBLEMS = 10
_MAX_EXCERPT_CHARACTERS = 80
_NUMBER_TEXT = re.compile(r"\s*([-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][-+]?\d{1,4})?)\s*(%?)\s*")
_NUMBERS_TEXT = re.compile(r"[-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})")


def parse_answer(
    text: str,
    width_px: int,
    height_px: int,
    units: BoxUnits,
    shown_size_px: tuple[int, int] | None = None,
    max_instances: int = MAX_INSTANCES,
) -> StructuredAnswer:
    """Return the instances of an answer in pixels of the keyframe's image of width_px x height_px.

    shown_size_px: width and height of the image as the model saw it, for units PIXELS; None = the keyframe's own.
    The first list or object that has the form of an answer counts, one with instances before an empty one. Instances
    whose box is no box are left out, boxes are clamped to the image, and what is said twice counts once; all of it is
    told in ``problems``. Raises AnswerError when there is no answer in the text, when it was cut off before the first
    whole instance, and when none of its instances can be used: only a stated empty list means "nothing there".
    """
    if width_px < 1 or height_px < 1:
        raise ValueError(f"parse_answer: expected a size of at least 1 x 1 px, got {width_px} x {height_px}")
    raw, reason, problems = _find_instances(text)
    scale = _scale(width_px, height_px, units, shown_size_px)
    largest = _LARGEST_FRACTION if units is BoxUnits.RELATIVE_1 else math.inf
    kept: list[DetectedInstance] = []
    for number, item in enumerate(raw[:_MAX_EXAMINED], 1):
        instance, wrong = _read_instance(item, scale, largest, width_px, height_px)
        problems += [f"object {number}: {problem}" for problem in wrong]
        if instance is None:
            continue
        if any(_same(instance, other) for other in kept):
            problems.append(f"object {number}: named twice")
        elif len(kept) == max_instances:
            problems.append(f"object {number} and those behind it: more than {max_instances}")
            break
        else:
            kept.append(instance)
    if len(raw) > _MAX_EXAMINED:
        problems.append(f"{len(raw)} objects, of which {_MAX_EXAMINED} were looked at")
    if len(problems) > _MAX_PROBLEMS:
        problems[_MAX_PROBLEMS:] = [f"and {len(problems) - _MAX_PROBLEMS} more problems"]
    if raw and not kept:
        raise AnswerError(f"none of the {len(raw)} objects of the answer can be used: {'; '.join(problems)}")
    return StructuredAnswer(tuple(kept), reason, tuple(problems))


def _find_instances(text: str) -> tuple[list[Any], str, list[str]]:
    answers: list[tuple[LooseValue, list[Any], bool]] = []
    # Whether all that was found says that nothing is there. Beside anything else, also what could not be read, an empty
    # list may be a part of that; so it may in a thought that never ended, or by itself within other words.
    nothing_there = True
    for found in loose_values(text):
        if found is None:
            answers.clear()
            nothing_there = True
            continue
        shape = _instances_of(found.value)
        if shape is not None:
            answers.append((found, *shape))
        stated = found.alone if isinstance(found.value, list) else found.whole and not found.thought
        nothing_there = nothing_there and shape is not None and not shape[0] and stated
    usable = [answer for answer in answers if answer[1] or nothing_there]
    if not usable:
        excerpt = plain_text(text, _MAX_EXCERPT_CHARACTERS)
        where = f" in its first {MAX_ANSWER_CHARACTERS} characters" if len(text) > MAX_ANSWER_CHARACTERS else ""
        raise AnswerError(
            f'expected a JSON object {{"objects": [...]}}{where}, got {"an answer that breaks off" if answers else ""}'
            f"{' ' if answers else ''}{excerpt!r}"
        )
    chosen = next((answer for answer in usable if answer[1]), usable[0])
    found, raw, bare = chosen
    problems: list[str] = []
    if found.thought:
        problems.append("the answer stands in a thought that never ends")
    if not found.whole:
        problems.append(f"the answer is cut off or broken after {len(raw)} whole objects")
    if bare or not found.whole:
        # Objects one after the other without a list, or behind a broken one.
        behind = usable[usable.index(chosen) + 1 :]
        raw = raw + [item for _, items, alone in behind if alone for item in items]
    reason = found.value.get("reason", "") if isinstance(found.value, dict) and not bare else ""
    return raw, _text(reason, MAX_CLAUSE_CHARACTERS), problems


def _instances_of(value: Any) -> tuple[list[Any], bool] | None:
    """Return the list of instances in a value and whether it is a single bare one, None when it is no answer."""
    # An answer is wrapped twice at most: {"answer": {"objects": [...]}}, [[{...}]].
    for _ in range(3):
        if isinstance(value, list):
            if not value or any(isinstance(item, dict) for item in value):
                return value, False
            if len(value) != 1 or not isinstance(value[0], list) or not value[0]:
                return None
            value = value[0]
        elif isinstance(value, dict):
            if _get(value, _BOXES) is not None or _corners(value) is not None:
                return [value], True
            lower = {str(key).strip().lower(): item for key, item in value.items()}
            wrapped = [lower[name] for name in _LISTS if isinstance(lower.get(name), list | dict)]
            if not wrapped:
                return None
            # Of several, one that says something.
            value = next((item for item in wrapped if item), wrapped[0])
            if isinstance(value, list):
                return (value, False) if not value or any(isinstance(item, dict) for item in value) else None
    return None


def _get(item: Mapping[str, Any], names: Sequence[str]) -> Any:
    lower = {str(key).strip().lower(): value for key, value in item.items()}
    return next((lower[name] for name in names if lower.get(name) is not None), None)


def _corners(item: Mapping[str, Any]) -> list[Any] | None:
    lower = {str(key).strip().lower(): value for key, value in item.items()}
    for names in _CORNERS:
        if all(name in lower for name in names):
            return [lower[name] for name in names]
    if all(name in lower for name in ("x", "y", "width", "height")):
        left, top, width, height = (_number(lower[name]) for name in ("x", "y", "width", "height"))
        return [left, top, left + width, top + height]
    return None


def _scale(width_px: int, height_px: int, units: BoxUnits, shown: tuple[int, int] | None) -> tuple[float, float]:
    if units is BoxUnits.RELATIVE_1000:
        return width_px / 1000.0, height_px / 1000.0
    if units is BoxUnits.RELATIVE_1:
        return float(width_px), float(height_px)
    shown_width, shown_height = shown or (width_px, height_px)
    if shown_width < 1 or shown_height < 1:
        raise ValueError(f"shown_size_px: expected at least 1 x 1 px, got {shown_width} x {shown_height}")
    return width_px / shown_width, height_px / shown_height


def _read_instance(
    item: Any, scale: tuple[float, float], largest: float, width_px: int, height_px: int
) -> tuple[DetectedInstance | None, list[str]]:
    if not isinstance(item, dict):
        return None, [f"expected an object, got {_shown(item)}"]
    box, problem = _read_box(item, scale, largest, width_px, height_px)
    if box is None:
        return None, [problem]
    problems: list[str] = []
    point = _read_point(_get(item, _POINTS), scale)
    if point is not None and not (box[0] <= point[0] < box[2] and box[1] <= point[1] < box[3]):
        # A point beside the box contradicts it; the box is the better-trained answer of all families.
        problems.append("the point lies outside the box and is left out")
        point = None
    said_role = _text(_get(item, ("role",)), MAX_NAME_CHARACTERS).lower()
    # Models that answer with a plain list of boxes list what was asked for.
    role = _ROLES.get(said_role, Role.CONTEXT) if said_role else Role.TARGET
    if said_role and said_role not in _ROLES:
        problems.append(f"role: expected one of {', '.join(_ROLES)}, got {said_role!r}")
    confidence, doubt = _read_confidence(_get(item, _CONFIDENCES))
    problems += doubt
    return (
        DetectedInstance(
            label=_text(_get(item, _LABELS), MAX_NAME_CHARACTERS).lower(),
            color=_read_color(_get(item, _COLORS)),
            box_px=box,
            point_px=point,
            role=role,
            confidence=confidence,
            constraint=_read_constraint(_get(item, ("constraint",))),
            reason=_text(_get(item, _REASONS), MAX_CLAUSE_CHARACTERS),
        ),
        problems,
    )


def _read_box(
    item: Mapping[str, Any], scale: tuple[float, float], largest: float, width_px: int, height_px: int
) -> tuple[tuple[float, float, float, float] | None, str]:
    said = _get(item, _BOXES)
    if said is None:
        said = _corners(item)
    elif isinstance(said, dict):
        said = _corners(said)
    numbers = _numbers(said)
    if len(numbers) != 4:
        return None, f"box: expected four numbers, got {_shown(said)}"
    if any(math.isnan(number) for number in numbers):
        return None, f"box: expected numbers, got {_shown(said)}"
    left, top, right, bottom = numbers
    if left >= right or top >= bottom:
        return None, f"box: expected left < right and top < bottom, got {_shown(said)}"
    if max(numbers) > largest:
        return None, f"box: expected fractions from 0 to 1, got {_shown(said)}"
    left, right = (min(max(number * scale[0], 0.0), float(width_px)) for number in (left, right))
    top, bottom = (min(max(number * scale[1], 0.0), float(height_px)) for number in (top, bottom))
    if right - left < 1.0 or bottom - top < 1.0:
        return None, f"box: less than a pixel of {_shown(said)} lies in the image"
    return (left, top, right, bottom), ""


def _read_point(said: Any, scale: tuple[float, float]) -> tuple[float, float] | None:
    if isinstance(said, dict):
        lower = {str(key).strip().lower(): value for key, value in said.items()}
        said = [lower.get("x"), lower.get("y")]
    numbers = _numbers(said)
    if len(numbers) != 2 or not all(math.isfinite(number) for number in numbers):
        return None
    return numbers[0] * scale[0], numbers[1] * scale[1]


def _read_confidence(said: Any) -> tuple[float, list[str]]:
    if said is None:
        return _UNSTATED_CONFIDENCE, []
    number = _number(said)
    # Some models answer in percent.
    number = number / 100.0 if 1.0 < number <= 100.0 and not isinstance(said, bool) else number
    if 0.0 <= number <= 1.0:
        return number, []
    return _UNSTATED_CONFIDENCE, [f"confidence: expected a number from 0 to 1, got {_shown(said)}"]


def _read_color(said: Any) -> str:
    """Return the basic colour that was named, also within "dark grey"; "" for none of them."""
    words = _text(said, MAX_NAME_CHARACTERS).lower().replace("grey", "gray").replace("-", " ").split()
    return next((word for word in reversed(words) if word in COLORS), "")


def _read_constraint(said: Any) -> StatedConstraint:
    if not isinstance(said, dict):
        return StatedConstraint()
    kind = _KINDS.get(_text(_get(said, ("type", "kind")), MAX_NAME_CHARACTERS).lower(), ConstraintKind.NONE)
    if kind is ConstraintKind.NONE:
        return StatedConstraint()
    return StatedConstraint(
        kind, _text(_get(said, ("order",)), MAX_NAME_CHARACTERS), _text(_get(said, ("anchor",)), MAX_NAME_CHARACTERS)
    )


def _numbers(said: Any) -> list[float]:
    """Return the numbers of a list, of a list of one or two lists ([[x1, y1], [x2, y2]]), or of a text of numbers."""
    if isinstance(said, str):
        return [float(number) for number in _NUMBERS_TEXT.findall(said[:_MAX_EXCERPT_CHARACTERS])]
    if not isinstance(said, list) or len(said) > 4:
        return []
    if said and all(isinstance(item, list) and len(item) <= 4 for item in said):
        return [_number(number) for item in said for number in item]
    return [_number(item) for item in said]


def _number(said: Any) -> float:
    """Return a number, also from a text ("12", "80 %"); NaN for anything else."""
    if isinstance(said, str):
        match = _NUMBER_TEXT.fullmatch(said[:_MAX_EXCERPT_CHARACTERS])
        return float(match.group(1)) / (100.0 if match.group(2) else 1.0) if match else math.nan
    return float(said) if isinstance(said, float) else math.nan


def _same(one: DetectedInstance, other: DetectedInstance) -> bool:
    if one.label != other.label:
        return False
    a, b = one.box_px, other.box_px
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared >= _DUPLICATE_IOU * union


def _text(said: Any, max_characters: int) -> str:
    if isinstance(said, float) and said.is_integer() and abs(said) < 1e15:
        return str(int(said))
    return plain_text(said, max_characters) if isinstance(said, str) else ""


def _shown(said: Any) -> str:
    """Return what came as a short text for a person, however large or deep it is."""
    if isinstance(said, list):
        said = said[:6]
    elif isinstance(said, dict):
        said = dict(list(said.items())[:6])
    return plain_text(repr(said)[: 2 * _MAX_EXCERPT_CHARACTERS], _MAX_EXCERPT_CHARACTERS)
