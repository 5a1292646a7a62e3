"""What an answer with [SEG]s says: which mask is what, and whether it says anything at all."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lira_ros.reasoning.color import COLORS
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.plain_text import plain_text

# Longer than any colour and class, shorter than a sentence.
_MAX_LABEL_CHARACTERS = 60
_MAX_SHOWN_CHARACTERS = 200
# Names of the same colours that people and models use.
_OTHER_NAMES = {"grey": "gray", "golden": "gold", "violet": "purple", "tan": "beige"}
_SHADES = ("light", "dark", "bright", "deep", "pale")
_LEADING = ("and", "a", "an", "the", "one", "another", "some", "two", "three", "several")
_NOTHING = re.compile(r"\W*no\s+objects?\b", re.IGNORECASE)
# The last words before a [SEG], back to what separates things.
_LAST_WORDS = re.compile(r"[\w' /-]*$")


@dataclass(frozen=True)
class NamedMask:
    """What the words before a [SEG] call its mask; "" = they do not say."""

    label: str
    color: str


def name_mask(words: str) -> NamedMask:
    """Return colour and class from the words before a [SEG], "<colour> <class>"; either may be missing.

    Colours may be of two words ("light blue"), classes of several ("shower curtain").
    """
    # Byte pieces that spell no character leave these behind.
    line = plain_text(words.replace("\N{REPLACEMENT CHARACTER}", " "), 10 * _MAX_LABEL_CHARACTERS).lower().rstrip()
    match = _LAST_WORDS.search(line)
    parts = match[0].split() if match else []
    while parts and parts[0] in _LEADING:
        parts.pop(0)
    color = ""
    start = 1 if len(parts) > 1 and parts[0] in _SHADES else 0
    if len(parts) > start:
        said = _OTHER_NAMES.get(parts[start], parts[start])
        if said in COLORS:
            color, parts = said, parts[start + 1 :]
    return NamedMask(plain_text(" ".join(parts), _MAX_LABEL_CHARACTERS), color)


def says_nothing_there(text: str) -> bool:
    """Return whether an answer states that nothing is there, in LIRA's words."""
    return _NOTHING.match(text) is not None


def check_answer(text: str, masks: int, finished: bool, may_be_silent: bool) -> str:
    """Return what is wrong with an answer that can still be used, "" for nothing.

    masks: how many [SEG]s it has. finished: the model ended by itself. may_be_silent: words without a mask are an
    answer too (LISA knows no other way to say that nothing is there).
    Raises ReasoningError when the answer says nothing that can be used; never takes it for "nothing there".
    """
    shown = plain_text(text, _MAX_SHOWN_CHARACTERS)
    if masks:
        return "" if finished else f"cut off after {masks} masks, before the model had ended (lisa.max_new_tokens)"
    if not finished:
        raise ReasoningError(f"the model's answer was cut off before its first mask (lisa.max_new_tokens): {shown!r}")
    if not shown:
        raise ReasoningError("the model ended its answer without a word")
    if not may_be_silent and not says_nothing_there(text):
        raise ReasoningError(f"expected '<colour> <class> [SEG]' or 'No object.' from the model, got {shown!r}")
    return ""
