"""Text that came from outside (an instruction, a label, the answer of a model) made safe to show and to log."""

from __future__ import annotations

import unicodedata

# Code points that show nothing and are no controls (Default_Ignorable_Code_Point in Unicode's DerivedCoreProperties,
# without category C): joiners, fillers of Hangul, vowels of Khmer, variation selectors. Models read what they hide.
_INVISIBLE = frozenset(
    map(chr, (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x3164, *range(0xFE00, 0xFE10), 0xFFA0))
) | frozenset(map(chr, range(0xE0100, 0xE01F0)))
# No writing stacks more accents on a letter; heaps of them cover the lines above and below.
_MAX_MARKS = 4


def plain_text(text: str, max_characters: int) -> str:
    """Return the text as one line without control characters, cut to a length.

    White space of any kind becomes one space; characters of the Unicode categories Cc, Cf, Cs, Co and Cn (controls,
    direction marks, lone surrogates, private and unassigned ones), others that show nothing, and heaps of accents are
    left out, so that the text can neither move the cursor of a terminal nor hide what it says. A cut text ends in
    "...".
    """
    if len(text) <= max_characters and text.isascii() and text.isprintable():
        return " ".join(text.split())  # nearly all texts, and they are many
    kept: list[str] = []
    marks = 0
    # Ten times the length is more than enough to fill it; the rest is not even looked at.
    for character in text[: 10 * max_characters]:
        category = unicodedata.category(character)
        if character.isspace():
            kept.append(" ")
        elif category.startswith("C") or character in _INVISIBLE:
            continue
        elif category not in ("Mn", "Me") or marks < _MAX_MARKS:
            kept.append(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
    line = " ".join("".join(kept).split())
    if len(line) <= max_characters and len(text) <= 10 * max_characters:
        return line
    return line[: max(0, max_characters - 3)].rstrip() + "..."[:max_characters]
