"""Text that came from outside (an instruction, a label, the answer of a model) made safe to show and to log."""

from __future__ import annotations

import unicodedata


def plain_text(text: str, max_characters: int) -> str:
    """Return the text as one line without control characters, cut to a length.

    White space of any kind becomes one space; characters of the Unicode categories Cc, Cf, Cs, Co and Cn (controls,
    direction marks, lone surrogates, private and unassigned ones) are left out, so that the text can neither move the
    cursor of a terminal nor hide what it says. A cut text ends in "...".
    """
    if len(text) <= max_characters and text.isascii() and text.isprintable():
        return " ".join(text.split())  # nearly all texts, and they are many
    # Ten times the length is more than enough to fill it; the rest is not even looked at.
    kept = "".join(
        " " if character.isspace() else character
        for character in text[: 10 * max_characters]
        if character.isspace() or not unicodedata.category(character).startswith("C")
    )
    line = " ".join(kept.split())
    if len(line) <= max_characters and len(text) <= 10 * max_characters:
        return line
    return line[: max(0, max_characters - 3)].rstrip() + "..."[:max_characters]
