"""JSON as models write it: fences, thoughts, single quotes, trailing commas, cut off in the middle.

One pass over a bounded text with a bounded depth: nothing is evaluated, and no text can cost more than its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# Longer than any answer at the bounds of the schema by far; what comes behind it is not looked at.
MAX_ANSWER_CHARACTERS = 262_144
# An answer is three deep (answer, objects, box), constraints four; some models wrap it once or twice more.
MAX_DEPTH = 12

_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_WORD = re.compile(r"[-+]?[A-Za-z_][A-Za-z_0-9]*")
_WORDS: dict[str, Any] = {
    "true": True,
    "false": False,
    "null": None,
    "none": None,
    "nan": float("nan"),
    "inf": float("inf"),
    "+inf": float("inf"),
    "-inf": float("-inf"),
    "infinity": float("inf"),
    "+infinity": float("inf"),
    "-infinity": float("-inf"),
}
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_CHUNKS = {quote: re.compile(rf"[^{quote}\\]*") for quote in "\"'"}
# Two halves of one character (UTF-16), one character, and Python's short form.
_CODE = re.compile(
    r"\\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\u(?P<long>[0-9a-fA-F]{4})|\\x(?P<short>[0-9a-fA-F]{2})"
)
# An object begins with a name or ends at once: other braces are passed over, which keeps a text full of them cheap.
_MARK = re.compile(r"<think>|</think>|<answer>|</answer>|\[|\{(?=\s*[\"'A-Za-z_+}-])", re.IGNORECASE)
_THOUGHT_END = re.compile(r"</think>", re.IGNORECASE)
# What may stand before and behind an answer that is the answer alone.
_BEFORE = re.compile(r"\s*(?:```\w*\s*)?")
_BEHIND = re.compile(r"\s*(?:```\s*)?(?:\Z|</answer>)", re.IGNORECASE)
_CLOSING = {"[": "]", "(": ")", "{": "}"}


@dataclass(frozen=True)
class LooseValue:
    """A list or an object of a text; None where one begins of which nothing is whole.

    whole: False when it was cut off or broken, and only its whole parts are here. thought: it stands in a thought that
    never ended. alone: nothing but a fence stands around it.
    """

    value: Any
    whole: bool
    thought: bool = False
    alone: bool = False


@dataclass(frozen=True)
class _Read:
    value: Any
    end: int
    whole: bool


class _Broken(Exception):
    """What comes is no value. position: where that was seen."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


def loose_values(text: str) -> Iterator[LooseValue | None]:
    """Yield the lists and objects of a text in order, and None where what was said before proves a mere thought.

    Thoughts (<think> ... </think>, the start of which may lie in the prompt) are skipped, and so is what stands before
    <answer> and after </answer>; marks within strings are text. Reads MAX_ANSWER_CHARACTERS at most.
    """
    text = text[:MAX_ANSWER_CHARACTERS]
    position, thought = 0, False
    # Where the answer begins, until something of it was read.
    begin: int | None = 0
    while mark := _MARK.search(text, position):
        position = mark.end()
        found = mark.group().lower()
        if found == "<think>" and not thought:
            end = _THOUGHT_END.search(text, position)
            if end is None:
                thought = True
            else:
                begin = position = end.end()
        elif found in ("</think>", "<answer>"):
            thought, begin = False, position
            yield None
        elif found == "</answer>":
            return
        elif found in "[{":
            try:
                read = _read(text, mark.start(), 0)
            except _Broken as broken:
                position, begin = max(position, broken.position), None
                yield LooseValue(None, False, thought)
                continue
            first = begin is not None and _BEFORE.fullmatch(text, begin, mark.start()) is not None
            alone = first and _BEHIND.match(text, read.end) is not None
            position, begin = max(position, read.end), None
            yield LooseValue(read.value, read.whole, thought, alone)


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _read(text: str, position: int, depth: int) -> _Read:
    position = _skip(text, position)
    first = text[position : position + 1]
    if first in ("[", "{", "("):
        if depth >= MAX_DEPTH:
            raise _Broken(position + 1)
        return _read_list(text, position, depth) if first != "{" else _read_object(text, position, depth)
    if first in ('"', "'"):
        return _read_string(text, position)
    if number := _NUMBER.match(text, position):
        # float and not int: digits without end are infinite then, and refused later, instead of costing time.
        return _Read(float(number.group()), number.end(), True)
    if (word := _WORD.match(text, position)) and word.group().lower() in _WORDS:
        return _Read(_WORDS[word.group().lower()], word.end(), True)
    raise _Broken(position)


def _read_list(text: str, position: int, depth: int) -> _Read:
    closing = _CLOSING[text[position]]
    values: list[Any] = []
    position += 1
    while True:
        position = _skip(text, position)
        if text.startswith(closing, position):
            return _Read(values, position + 1, True)
        try:
            item = _read(text, position, depth + 1)
        except _Broken as broken:
            if not values:
                raise
            return _Read(values, broken.position, False)
        if not item.whole:
            # The members of a list that was cut off inside another one are whole all the same.
            if isinstance(item.value, list) and item.value and isinstance(item.value[0], dict):
                values.append(item.value)
            if not values:
                raise _Broken(item.end)
            return _Read(values, item.end, False)
        values.append(item.value)
        position = _skip(text, item.end)
        if text.startswith(",", position):
            position += 1
        elif not text.startswith(closing, position):
            return _Read(values, position, False)


def _read_object(text: str, position: int, depth: int) -> _Read:
    values: dict[str, Any] = {}
    position += 1
    while True:
        position = _skip(text, position)
        if text.startswith("}", position):
            return _Read(values, position + 1, True)
        try:
            key, position = _read_key(text, position)
            item = _read(text, position, depth + 1)
        except _Broken as broken:
            if not values:
                raise
            return _Read(values, broken.position, False)
        # Of a name that comes twice the first counts, as what comes later may be the work of a quoted instruction; but
        # a list without anything says less than one with something.
        if (item.whole or isinstance(item.value, list | dict)) and values.get(key, []) in ([], {}):
            values[key] = item.value
        if not item.whole:
            return _Read(values, item.end, False)
        position = _skip(text, item.end)
        if text.startswith(",", position):
            position += 1
        elif not text.startswith("}", position):
            return _Read(values, position, False)


def _read_key(text: str, position: int) -> tuple[str, int]:
    if text.startswith(('"', "'"), position):
        read = _read_string(text, position)
        if not read.whole:
            raise _Broken(read.end)
        key, position = read.value, read.end
    elif word := _WORD.match(text, position):
        key, position = word.group(), word.end()
    else:
        raise _Broken(position)
    position = _skip(text, position)
    if not text.startswith(":", position):
        raise _Broken(position)
    return key, position + 1


def _read_string(text: str, position: int) -> _Read:
    quote = text[position]
    parts: list[str] = []
    position += 1
    while True:
        chunk = _CHUNKS[quote].match(text, position)
        if chunk is not None:
            parts.append(chunk.group())
            position = chunk.end()
        if position >= len(text):
            return _Read("".join(parts), position, False)
        if text[position] == quote:
            after = _skip(text, position + 1)
            following = text[after : after + 1]
            # Within single quotes an apostrophe ends the text only where a value can end: 'the man's chair'.
            if quote == '"' or following in ("", ",", ":", "]", "}", ")"):
                return _Read("".join(parts), position + 1, True)
            parts.append(quote)
            position += 1
            continue
        if code := _CODE.match(text, position):
            parts.append(_character(code))
            position = code.end()
        else:
            escaped = text[position + 1 : position + 2]
            parts.append(_ESCAPES.get(escaped, escaped))
            position += 2


def _character(code: re.Match[str]) -> str:
    if code["high"]:
        return chr(0x10000 + (int(code["high"], 16) - 0xD800) * 0x400 + int(code["low"], 16) - 0xDC00)
    return chr(int(code["long"] or code["short"], 16))
