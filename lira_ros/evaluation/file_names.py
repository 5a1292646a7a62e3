"""Names of files and folders that are made for instructions and evaluations."""

from __future__ import annotations

import re

# Enough to tell instructions apart by eye; the number keeps them apart in any case.
_WORD_CHARACTERS = 40
# What names an evaluation ends with what tells it from others; a fingerprint follows.
_FOLDER_CHARACTERS = 60


def instruction_stem(number: int, text: str) -> str:
    """Return "01-find-the-sofa" for the first instruction "Find the sofa."; only a to z, 0 to 9 and "-" are in it."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower())[:_WORD_CHARACTERS].strip("-")
    return f"{number:02d}-{words or 'instruction'}"


def folder_name(words: str) -> str:
    """Return the words of a text joined by "-", the last of them where there are many."""
    return re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-")[-_FOLDER_CHARACTERS:]
