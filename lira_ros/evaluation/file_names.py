"""Names of files that are made for instructions."""

from __future__ import annotations

import re

# Enough to tell instructions apart by eye; the number keeps them apart in any case.
_WORD_CHARACTERS = 40


def instruction_stem(number: int, text: str) -> str:
    """Return "01-find-the-sofa" for the first instruction "Find the sofa."; only a to z, 0 to 9 and "-" are in it."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower())[:_WORD_CHARACTERS].strip("-")
    return f"{number:02d}-{words or 'instruction'}"
