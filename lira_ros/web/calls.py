"""What a page may ask for: read strictly from its JSON, so that nothing unexpected gets further."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lira_ros.reasoning.contracts import MAX_INSTRUCTION_CHARACTERS

# One that is a little too long for an instruction is refused by the reasoning node, in its own words.
LONGEST_TEXT = 2 * MAX_INSTRUCTION_CHARACTERS
# The longest message: such a text, each character escaped as two times six signs, and its head.
MAX_MESSAGE_BYTES = 12 * LONGEST_TEXT + 1024
MAX_ID_CHARACTERS = 64  # of an instruction, as in lira_msgs/SubmitInstruction
MAX_NAME_CHARACTERS = 128  # of a map file, as in lira_msgs/SaveMap
LARGEST_ID = 2**32 - 1  # ids of instances are uint32
LARGEST_NUMBER = 2**53 - 1  # the whole numbers that JavaScript counts exactly


class CallError(ValueError):
    """A message of a page is none that is known; the text names the field, what was expected and what came."""


@dataclass(frozen=True)
class Call:
    """A question or an order of a page; ``number`` is the page's own, and comes back with the answer."""

    name: str
    number: int
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Received:
    """A page has received so many messages in all."""

    messages: int


@dataclass(frozen=True)
class Answer:
    """What came of a call: whether it worked, a sentence for a person, and further values that JSON can hold."""

    success: bool
    message: str
    values: Mapping[str, Any] = field(default_factory=dict)


def _text(longest: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and len(value) <= longest


def _number(largest: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and 0 <= value <= largest


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


# Of each call the arguments, all of which are needed: what to check, and what is expected in words.
_ID = (_text(MAX_ID_CHARACTERS), f"a text of at most {MAX_ID_CHARACTERS} characters")
CALLS: dict[str, dict[str, tuple[Callable[[Any], bool], str]]] = {
    "submit": {
        "text": (
            _text(2 * MAX_INSTRUCTION_CHARACTERS),
            f"a text of at most {2 * MAX_INSTRUCTION_CHARACTERS} characters",
        ),
        "id": _ID,
        "replace": (_flag, "true or false"),
    },
    "cancel": {"id": _ID},
    "views": {"id": (_number(LARGEST_ID), f"a whole number from 0 to {LARGEST_ID}")},
    "pause": {},
    "resume": {},
    "reset": {},
    "save": {"name": (_text(MAX_NAME_CHARACTERS), f"a text of at most {MAX_NAME_CHARACTERS} characters")},
    "echo": {},
}


def read_message(text: str) -> Call | Received:
    """Return what a page says; raises CallError that says what was expected."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CallError("expected a message in JSON") from error
    if not isinstance(value, dict):
        raise CallError(f"expected a JSON object, got {type(value).__name__}")
    if set(value) == {"received"}:
        if not _number(LARGEST_NUMBER)(value["received"]):
            raise CallError("received: expected a whole number")
        return Received(value["received"])
    if set(value) != {"call", "number", "arguments"}:
        raise CallError("expected the fields call, number and arguments")
    name, number, arguments = value["call"], value["number"], value["arguments"]
    if not isinstance(name, str) or name not in CALLS:
        raise CallError(f"call: expected one of {', '.join(CALLS)}")
    if not _number(LARGEST_NUMBER)(number):
        raise CallError("number: expected a whole number")
    expected = CALLS[name]
    if not isinstance(arguments, dict) or set(arguments) != set(expected):
        raise CallError(f"arguments: {name} expects {', '.join(expected) or 'none'}")
    for key, (fits, words) in expected.items():
        if not fits(arguments[key]):
            raise CallError(f"{key}: expected {words}")
    return Call(name, number, arguments)
